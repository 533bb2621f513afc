#!/bin/sh
# SPDX-License-Identifier: MIT
#
# fetch.sh OUTDIR: takes the kernel and KVM's modules out of Debian's kernel package, which is not installed, into OUTDIR:
# vmlinuz, version, and modules/*.ko. Nothing is done if they are there. Needs an amd64 Debian with a package index.
set -eu

[ $# = 1 ] || { echo 'usage: fetch.sh OUTDIR' >&2; exit 1; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
[ ! -e "$out/version" ] || exit 0
staging=$(mktemp -d "$out/.fetch.XXXXXX")
trap 'rm -rf "$staging"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The package linux-image-cloud-amd64 is empty, and depends on that of today's version.
fetch()
{
	linux=$(apt-cache show --no-all-versions linux-image-cloud-amd64 2>/dev/null |
		sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p') || return 1
	[ -n "$linux" ] || return 1
	# The user _apt may not write here, and apt-get run by root would say so at length.
	(cd "$staging" && apt-get -qq -o APT::Sandbox::User=root download "$linux")
}

fetch || { [ "$(id -u)" = 0 ] && apt-get -qq update && fetch; } || {
	echo 'fetch.sh: the kernel package cannot be downloaded; is there a package index (apt-get update)?' >&2
	exit 1
}
dpkg-deb --fsys-tarfile "$staging"/*.deb | tar -x -C "$staging" --wildcards './boot/vmlinuz-*' '*/irqbypass.ko*' '*/kvm.ko*' \
	'*/kvm-amd.ko*'
dpkg-deb --fsys-tarfile "$staging"/*.deb | tar -x -C "$staging" --wildcards '*/crypto/ccp/ccp.ko*' 2>/dev/null || :
find "$staging" -name '*.ko.xz' -exec xz -d {} +
mkdir -p "$out/modules"
find "$staging" -name '*.ko' -exec mv {} "$out/modules/" ';'
mv "$staging"/boot/vmlinuz-* "$out/vmlinuz"
dpkg-deb -f "$staging"/*.deb Package Version | sed 's/.*: //' | paste -s -d ' ' >"$out/version"
echo "fetch.sh: took the kernel and KVM out of $(cat "$out/version"); the package is not installed"
