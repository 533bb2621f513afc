#!/bin/bash
# SPDX-License-Identifier: MIT
# test_readme.sh: what the README shows is so. Its C is that of examples/minimal.c, which gives the answers it should; its
# commands exist; its links lead somewhere; `make install` gives a tree that compiles by pkg-config's words.
set -u
cd "$(dirname "$0")/.." || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

check()
{
	local name=$1
	shift
	if "$@" >"$work/out" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "readme: $name failed"
		head -n 10 "$work/out"
	fi
}

sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d' >"$work/readme.c"
sed -n '/README ----/,/README ----/p' examples/minimal.c | sed '1d;$d' >"$work/minimal.c"
check 'there is C' test -s "$work/readme.c"
check 'the C is minimal.c' diff "$work/readme.c" "$work/minimal.c"
printf '0x5678 -> 0x12345678\n0x5678 #PF, error code 0x7\n0x6000 #PF, error code 0\n' >"$work/expected"
check 'minimal.c answers' sh -c "build/minimal | diff - '$work/expected'"

# The two commands. make demo is run; make test is what runs this.
check 'there are commands' test "$(sed -n '/^```sh$/,/^```$/p' README.md | grep -c '^make ')" = 2
check 'make demo' sh -c "timeout 60 make --no-print-directory demo >'$work/demo'"
check 'make demo explains' grep -q 'refused by PERM-6' "$work/demo"
check 'make test exists' make --no-print-directory -n test

for command in translate explain map capture; do
	check "the command has $command" sh -c "build/pagewalk --help | grep -q '^ *pagewalk $command'"
done
for link in $(grep -oE '\]\([^)h#][^)#]*\)' README.md docs/*.md tests/vectors/README.md examples/data/README.md |
		sed -E 's/^([^:]*):\]\((.*)\)$/\1:\2/'); do
	check "link $link" test -e "$(dirname "${link%%:*}")/${link#*:}"
done

check 'make install' make --no-print-directory install DESTDIR="$work/root" PREFIX=/usr
check 'the command is installed' "$work/root/usr/bin/pagewalk" --version
cflags=$(sed -n 's/^Cflags: //p' "$work/root/usr/lib/pkgconfig/pagewalk.pc" | sed "s,\${includedir},$work/root/usr/include,")
check 'installed headers compile' gcc -std=c99 -Wall -Werror $cflags examples/minimal.c -o "$work/minimal"
check 'and work' sh -c "'$work/minimal' | diff - '$work/expected'"

echo "readme: $passed passed, $failed failed"
[ $failed = 0 ]
