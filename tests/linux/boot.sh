#!/bin/bash
# SPDX-License-Identifier: MIT
#
# boot.sh OUTDIR [CACHE]: boots Debian's kernel in QEMU, stops it in a user process, and saves what the test of the
# library on a real system's page tables needs, in OUTDIR/la48 (4-level paging) and OUTDIR/la57 (5-level paging):
#
#   registers.txt  the monitor's "info registers"; CPL is 3, CR3 that of the process
#   tlb.txt        its "info tlb": all mappings, one leaf a line, by QEMU's own walk
#   gva2gpa.txt    its "gva2gpa" for 1000 addresses: "0xVA 0xGPA" or "0xVA unmapped"
#   memory.raw     all RAM, offset = physical address
#   dump.elf       dump-guest-memory: an ELF core with the registers in a note
#
# All five are of one stop of one VM. Nothing is done if they are there and newer than the files that make them.
#
# The kernel is taken out of its Debian package, and not installed. It is kept in CACHE (or $PAGEWALK_CACHE, or
# OUTDIR/../cache), and with it there no network is needed. Needs qemu-system-x86 and an amd64 Debian; no root, no KVM,
# no cpio. Of this machine's packages busybox-static is used if it is installed.
set -eu

ready_seconds=120
ram_mb=192		# below the hole under 4 GB, so that offset = physical address holds for all of it
outputs='registers.txt tlb.txt gva2gpa.txt memory.raw dump.elf'

here=$(cd "$(dirname "$0")" && pwd)
staging=
package=
pids=

say() { echo "boot.sh: $*"; }
die() { say "$*" >&2; exit 1; }

# However the script ends, no QEMU and no half-written file stays.
clean_up()
{
	for pid in $pids; do
		kill "$pid" 2>/dev/null || :
	done
	for pid in $pids; do
		wait "$pid" 2>/dev/null || :
	done
	[ -z "$staging" ] || rm -rf "$staging"
	[ -z "$package" ] || rm -rf "$package"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

up_to_date()
{
	for guest in la48 la57; do
		for output in $outputs; do
			for source in boot.sh init initramfs.pl monitor.pl; do
				[ "$out/$guest/$output" -nt "$here/$source" ] || return 1
			done
		done
	done
}

# extract PACKAGE PATTERN: downloads a Debian package and puts the one file of it that matches PATTERN into the cache, at
# once or not at all. Fails without a message of its own: the caller knows what may help.
extract()
{
	[ -z "$package" ] || rm -rf "$package"
	package=$(mktemp -d "$cache/.package.XXXXXX") || return 1
	# The user _apt may not write here, and apt-get run by root would say so at length.
	(cd "$package" && apt-get -qq -o APT::Sandbox::User=root download "$1") || return 1
	dpkg-deb --fsys-tarfile "$package"/*.deb | tar -x -C "$package" --wildcards "$2" || return 1
	find "$package" -type f ! -name '*.deb' -exec mv {} "$cache/" ';'
}

# The package linux-image-cloud-amd64 is empty, and depends on that of today's version.
extract_kernel()
{
	linux=$(apt-cache show --no-all-versions linux-image-cloud-amd64 2>/dev/null |
		sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p') || return 1
	[ -n "$linux" ] || return 1
	extract "$linux" './boot/vmlinuz-*' || return 1
	say "took only vmlinuz out of the Debian package $linux into $cache; the package is not installed"
}

extract_busybox()
{
	extract busybox-static './bin/busybox' || return 1
	say "took only busybox out of the Debian package busybox-static into $cache; the package is not installed"
}

# Tries again with a fresh index: there may be none, or one that lists a version that is no longer on the server.
with_index()
{
	"$1" && return
	[ "$(id -u)" = 0 ] || die "cannot download $2; if apt has no package index, run apt-get update as root"
	apt-get -qq update || die "cannot download $2: apt-get update fails"
	"$1" || die "cannot download $2"
}

is_static_busybox()
{
	# A program that needs no interpreter and no library is one that the initramfs can hold alone.
	[ -x "$1" ] && ! LC_ALL=C grep -q -a -F '/ld-linux' "$1"
}

# start GUEST CPU: boots in the folder of that name, in the background.
start()
{
	mkdir "$staging/$1"
	# timeout: for the case that this script is killed in a way that no trap sees.
	# nokaslr, norandmaps: the next run has nearly the same addresses (not the same frames), so that a failure comes again.
	# vsyscall=emulate: maps a page for the user in the upper half, which is rare and worth having.
	# panic=-1, -no-reboot: a panic ends QEMU at once.
	(
		cd "$staging/$1"
		exec timeout -k 5 $((ready_seconds * 2 + 120)) \
			qemu-system-x86_64 -accel tcg -cpu "$2" -m "$ram_mb" -smp 1 \
			-nodefaults -no-user-config -display none -no-reboot \
			-serial file:serial.txt -qmp unix:qmp,server=on,wait=off \
			-kernel "$kernel" -initrd "$staging/initramfs" -append \
			'console=ttyS0 quiet panic=-1 nokaslr norandmaps vsyscall=emulate' \
			</dev/null >qemu.txt 2>&1
	) &
	pids="$pids $!"
	last_pid=$!
}

# capture GUEST PID LA57: waits for init's line, then saves the five files.
capture()
{
	dir=$staging/$1
	until grep -q -s PAGEWALK-READY "$dir/serial.txt"; do
		problem=
		kill -0 "$2" 2>/dev/null || problem='QEMU has ended'
		[ "$SECONDS" -lt "$ready_seconds" ] || problem="the guest is not ready after $ready_seconds s"
		if [ -n "$problem" ]; then
			cat "$dir/qemu.txt" >&2
			tail -n 40 "$dir/serial.txt" >&2 || :
			die "$1: $problem; above, QEMU's messages and the last lines of the serial port"
		fi
		sleep 0.1
	done
	(cd "$dir" && perl "$here/monitor.pl" qmp $((ram_mb << 20)) "$3") || die "$1: the capture failed"
	wait "$2" || die "$1: QEMU ended with an error: $(cat "$dir/qemu.txt")"

	# More than half of the RAM is zero: holes save the space, where the file system has them.
	fallocate -d "$dir/memory.raw" 2>/dev/null || :
	chmod 644 "$dir/dump.elf"
	fallocate -d "$dir/dump.elf" 2>/dev/null || :

	# The last run's files go first, so that an interruption here cannot leave a mixture.
	mkdir -p "$out/$1"
	for output in $outputs; do
		rm -f "$out/$1/$output"
	done
	for output in $outputs; do
		mv "$dir/$output" "$out/$1/"
	done
	say "$1: $(wc -l <"$out/$1/tlb.txt") mappings, ready and saved after $SECONDS s"
}

[ $# = 1 ] || [ $# = 2 ] || die 'usage: boot.sh OUTDIR [CACHE]'
mkdir -p "$1"
out=$(cd "$1" && pwd)
if up_to_date; then
	say "$out is up to date"
	exit
fi
command -v qemu-system-x86_64 >/dev/null || die 'install qemu-system-x86'
cache=${2:-${PAGEWALK_CACHE:-$out/../cache}}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
staging=$(mktemp -d "$out/.boot.XXXXXX")

newest_kernel()
{
	find "$cache" -maxdepth 1 -name 'vmlinuz-*' | sort -V | tail -n 1
}
kernel=$(newest_kernel)
if [ -z "$kernel" ]; then
	with_index extract_kernel linux-image-cloud-amd64
	kernel=$(newest_kernel)
fi

busybox=/bin/busybox
if ! is_static_busybox $busybox; then
	busybox=$cache/busybox
	[ -x "$busybox" ] || with_index extract_busybox busybox-static
fi
say "kernel $(basename "$kernel"), $busybox, $(qemu-system-x86_64 --version | head -n 1)"
perl "$here/initramfs.pl" "$busybox" "$here/init" >"$staging/initramfs"

# Both boot at the same time; what one of them saves first does not matter.
SECONDS=0
start la48 max,-la57
pid48=$last_pid
start la57 max
pid57=$last_pid
capture la48 "$pid48" 0
capture la57 "$pid57" 1
