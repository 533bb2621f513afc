#!/bin/sh
# SPDX-License-Identifier: MIT
# packages.sh PACKAGE...: installs the Debian packages that are missing, or says the exact line that would.
set -eu

missing=
for package in "$@"; do
	case $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || :) in
	installed) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -n "$missing" ] || exit 0

# --no-remove: what is on the machine stays.
install="apt-get install -y --no-remove --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
	as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	as_root=sudo
else
	echo "packages are missing; as root, run:  apt-get update && $install" >&2
	exit 1
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086 # the list is meant to be split
$as_root $install >/tmp/pagewalk-apt.$$ 2>&1 || {
	tail -n 20 /tmp/pagewalk-apt.$$ >&2
	echo "this failed:  $install" >&2
	rm -f /tmp/pagewalk-apt.$$
	exit 1
}
rm -f /tmp/pagewalk-apt.$$
