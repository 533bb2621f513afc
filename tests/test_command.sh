#!/bin/bash
# SPDX-License-Identifier: MIT
#
# test_command.sh PAGEWALK: the command's output, errors and exit statuses, on images that are made here from hand-written
# tables. Needs bash and perl-base. Prints what fails, as `NAME: got, expected`, then "N passed, N failed".
set -u

if [ $# != 1 ] || [ ! -x "$1" ]; then
	echo "usage: test_command.sh PAGEWALK" >&2
	exit 2
fi
pagewalk=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 2
passed=0 failed=0 skipped=0
unset LANG LC_ALL LANGUAGE
export LC_ALL=C

# ---- Helpers ------------------------------------------------------------------------------------

# image FILE SIZE WIDTH ADDRESS=VALUE...: a raw image with entries of 4 or 8 bytes; all hexadecimal, SIZE without 0x.
image()
{
	perl -e 'my ($file, $size, $width, @entries) = @ARGV;
		my $bytes = "\0" x hex $size;
		for (@entries) {
			my ($at, $high, $low) = /^0x([0-9a-f]+)=0x([0-9a-f]*?)([0-9a-f]{1,8})$/ or die "$_\n";
			substr($bytes, hex $at, $width) = substr(pack("VV", hex $low, hex($high || 0)), 0, $width);
		}
		open(my $out, ">:raw", $file) or die "$file: $!\n";
		print $out $bytes;
		close($out) or die "$file: $!\n"' "$@" || exit 2
}

# run ARGUMENT...: sets status, and leaves what was said in the files out and err.
run()
{
	"$pagewalk" "$@" >out 2>err </dev/null
	status=$?
}

# same NAME GOT EXPECTED
same()
{
	if [ "$2" = "$3" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		printf '%s: got:\n%s\nexpected:\n%s\n' "$1" "$2" "$3"
	fi
}

# check NAME STATUS OUTPUT ARGUMENT...: nothing on standard error.
check()
{
	local name=$1 expected=$2 output=$3
	shift 3
	run "$@"
	same "$name" "$(cat out; echo "status $status"; cat err)" "$output
status $expected"
}

# bad REASON ARGUMENT...: status 2, nothing on standard output, and "pagewalk: REASON" the only line on standard error.
bad()
{
	local reason=$1
	shift
	run "$@"
	same "bad: $*" "$(cat out; echo "status $status"; cat err)" "status 2
pagewalk: $reason"
}

# like NAME PATTERN FILE: the file has one line, and it matches.
like()
{
	same "$1" "$(wc -l <"$3") $(grep -c -x -e "$2" "$3")" '1 1'
}

# ---- Images -------------------------------------------------------------------------------------

long='--cr0 80010001 --cr4 20 --efer d00'

# 4-level, CR3 0x1000. PML4E 0 and 511 lead to the same tables, the latter for the supervisor only.
#   0x1000  4 KiB pages: 0x1000 read-only, 0x2000 and 0x3000 no-execute, 0x4000 global, 0x5000 PWT PCD PAT
#   0x200000 2 MiB page; 0x400000 reserved bit 13; 0x600000 a table outside the image
#   0x40000000 and the last one: 1 GiB pages
image four.raw 6000 8 0x1000=0x2007 0x1ff8=0x2003 0x2000=0x3007 0x2008=0x40000083 0x2ff8=0x80000000c0000083 \
	0x3000=0x4007 0x3008=0xe001e7 0x3010=0x402087 0x3018=0x9007 0x4008=0x5025 0x4010=0x8000000000006067 \
	0x4018=0x8000000000007067 0x4020=0x9163 0x4028=0xa09b
four="$long --cr3 1000 four.raw"

# 5-level, CR3 0: PML5E 511 and 256 -> PML4E 511 -> PDPTE 0 is a 1 GiB page.
image five.raw 3000 8 0xff8=0x1003 0x800=0x1003 0x1ff8=0x2003 0x2000=0x83
five='--cr0 80010001 --cr4 1020 --efer d00 --cr3 0 five.raw'

# PAE, CR3 0x1020: PDPTE 0 and 3 -> PD; 4 KiB pages 0x1000, 0x2000 (above 4 GiB, no-execute), 2 MiB page 0x200000
image pae.raw 5000 8 0x1020=0x2001 0x1038=0x3009 0x2000=0x4007 0x2008=0x2000e3 0x4008=0x5007 \
	0x4010=0x8000000f12345067 0x3ff8=0xffe00083
pae='--cr0 80010001 --cr4 20 --efer 800 --cr3 1020 pae.raw'

# 32-bit, CR3 0x1000: 0x10000 a read-only user page; 4 MiB pages: 0x400000, 0x800000 (PSE-36: PA bit 32),
# 0xc00000 (bit 21 reserved); PDE 1023 is the self-map of Windows and others.
image two.raw 3000 4 0x1000=0x2007 0x1004=0x4000e7 0x1008=0x802083 0x100c=0xe00083 0x1ffc=0x1063 0x2040=0x3005
two='--cr0 80010001 --cr4 10 --efer 0 --cr3 1000 two.raw'

# A guest over EPT or nested paging. The second stage's root 0x1000; the guest's CR3 0x10000 is at 0x5000.
# VA 0x1000 is at GPA 0x14000, which the second stage maps read-only; 0x2000 is misconfigured, 0x3000 absent there;
# 0x200000: a guest table at an absent GPA; 0x400000: one behind a table outside the image; 0x600000: absent in the guest
stages='0x1000=0x2007 0x2000=0x3007 0x3000=0x4007 0x5000=0x11007 0x6000=0x12007 0x7000=0x13007 0x7008=0x17007 0x7010=0x200007
	0x8008=0x14067 0x8010=0x15007 0x8018=0x16007 0x3008=0x20000007'
# shellcheck disable=SC2086 # the lists of entries and of options are meant to be split, here and below
image ept.raw a000 8 $stages 0x4080=0x5037 0x4088=0x6037 0x4090=0x7037 0x4098=0x8037 0x40a0=0x9031 0x40a8=0xa032
ept="$long --cr3 10000 --eptp 101e ept.raw"
# shellcheck disable=SC2086
image npt.raw a000 8 $stages 0x4080=0x5067 0x4088=0x6067 0x4090=0x7067 0x4098=0x8067 0x40a0=0x9065
npt="$long --cr3 10000 --ncr3 1000 npt.raw"

# Tables that point at themselves: all entries, and only the last table empty.
perl -e 'print pack("VV", 7, 0) x 512' >self.raw
perl -e 'print pack("VV", 0x1000 * $_ + 7, 0) x 512 for 1 .. 3; print "\0" x 4096' >empty.raw

# ---- translate ----------------------------------------------------------------------------------

# shellcheck disable=SC2086
{
check 'translate' 0 '0x0000000000001abc 0x0000000000005abc 12 ur-x' translate $four 1abc
check 'translate: 0x, capitals, leading zeros' 0 '0x0000000000001abc 0x0000000000005abc 12 ur-x' translate $four 0X0000000000001ABC
check 'translate: options behind' 0 '0x0000000000001abc 0x0000000000005abc 12 ur-x' translate four.raw 1abc $long --cr3=0x1000
check 'translate: --' 0 '0x0000000000001abc 0x0000000000005abc 12 ur-x' translate $long --cr3 1000 -- four.raw 1abc
check 'translate: many' 1 '0x0000000000002fff 0x0000000000006fff 12 urw-
0x0000000000200123 0x0000000000e00123 21 urwx
0xffffffffffffffff 0x00000000ffffffff 30 -rw-
0x0000000000000000 fault page-fault 0x0
0x0000000000400000 fault page-fault 0x9
0x0000000000600000 fault no-memory 0x0000000000009000
0x0000800000000000 fault non-canonical 0x0' translate $four 2fff 200123 ffffffffffffffff 0 400000 600000 800000000000
check 'translate: user write to a read-only page' 1 '0x0000000000001000 fault page-fault 0x7' translate $four --cpl 3 --access w 1000
check 'translate: supervisor write, WP' 1 '0x0000000000001000 fault page-fault 0x3' translate $four --access w 1000
check 'translate: supervisor write, no WP' 0 '0x0000000000001000 0x0000000000005000 12 ur-x' translate $four --cr0 80000001 --access w 1000
check 'translate: fetch from NX' 1 '0x0000000000002000 fault page-fault 0x11' translate $four --access x 2000
check 'translate: user read of a supervisor page' 1 '0x0000000000004000 fault page-fault 0x5' translate $four --cpl 3 4000
check 'translate: SMAP, no CPL asked for' 0 '0x0000000000001000 0x0000000000005000 12 ur-x' translate $four --cr4 200020 1000
check 'translate: SMAP' 1 '0x0000000000001000 fault page-fault 0x1' translate $four --cr4 200020 --cpl 0 1000
check 'translate: SMAP, AC' 0 '0x0000000000001000 0x0000000000005000 12 ur-x' translate $four --cr4 200020 --cpl 0 --rflags 40000 1000
check 'translate: PKRU' 1 '0x0000000000001000 fault page-fault 0x21' translate $four --cr4 400020 --pkru 1 1000
check 'translate: MAXPHYADDR' 1 '0x0000000000002234 fault page-fault 0x9' translate $pae --maxphyaddr 35 2234
check 'translate: MAXPHYADDR, just enough' 0 '0x0000000000002234 0x0000000f12345234 12 urw-' translate $pae --maxphyaddr 36 2234
check 'translate: kvm profile' 1 '0x0000000000600000 fault page-fault 0x0' translate $four --profile kvm-intel 600000
check 'translate: bit 8 of a PML4E, Intel' 1 '0x0000020000000000 fault no-memory 0x0000000000009000' translate $long --cr3 4000 four.raw 20000000000
check 'translate: bit 8 of a PML4E, AMD' 1 '0x0000020000000000 fault page-fault 0x9' translate $long --cr3 4000 --profile amd four.raw 20000000000

check 'translate: 5-level' 1 '0xffffff8000000000 0x0000000000000000 30 -rwx
0xff00ff8000000000 0x0000000000000000 30 -rwx
0x0100000000000000 fault non-canonical 0x0' translate $five ffffff8000000000 ff00ff8000000000 0100000000000000
check 'translate: PAE' 1 '0x0000000000001234 0x0000000000005234 12 urwx
0x0000000000002234 0x0000000f12345234 12 urw-
0x0000000000200000 0x0000000000200000 21 -rwx
0x00000000ffe00000 0x00000000ffe00000 21 -rwx
0x0000000040000000 fault page-fault 0x0' translate $pae 1234 2234 200000 ffe00000 40000000
check 'translate: PAE, PDPTE with reserved bits' 1 '0x0000000000000000 fault pdpte-fault 0x0' translate $pae --cr3 4000 0
check 'translate: 32-bit' 1 '0x0000000000010fff 0x0000000000003fff 12 ur-x
0x0000000000400000 0x0000000000400000 22 urwx
0x0000000000800000 0x0000000100800000 22 -rwx
0x0000000000c00000 fault page-fault 0x9
0xffffffffffc00000 0x0000000000002000 12 -rwx' translate $two 10fff 400000 800000 c00000 ffffffffffc00000
check 'translate: paging off' 0 '0x0000000012345678 0x0000000012345678 64 urwx' translate --cr0 1 --cr4 0 --efer 0 four.raw 12345678

check 'translate: EPT' 1 '0x0000000000001234 0x0000000000009234 12 ur--
0x0000000000002000 fault ept-misconfig 0x0000000000015000
0x0000000000003000 fault ept-violation 0x781
0x0000000000200000 fault ept-violation 0x81
0x0000000000400000 fault no-memory 0x0000000020000000
0x0000000000600000 fault page-fault 0x0' translate $ept 1234 2000 3000 200000 400000 600000
check 'translate: EPT, write' 1 '0x0000000000001234 fault ept-violation 0x78a' translate $ept --access w 1234
check 'translate: EPT, MBEC' 1 '0x0000000000001234 fault ept-violation 0x78c' translate $ept --mbec --access x 1234
check 'translate: EPT, root absent' 1 '0x0000000000001234 fault ept-violation 0x81' translate $ept --cr3 17000 1234
check 'translate: EPT, GPA too wide' 1 '0x0000000000001234 fault ept-violation 0x81' translate $ept --cr3 1000000000000 1234
check 'translate: EPT, paging off' 0 '0x0000000000014234 0x0000000000009234 12 ur--' translate --cr0 1 --cr4 0 --efer 0 --eptp 101e ept.raw 14234
check 'translate: NPT' 1 '0x0000000000001234 0x0000000000009234 12 ur-x
0x0000000000002000 fault npf 0x100000004
0x0000000000200000 fault npf 0x200000006' translate $npt 1234 2000 200000
check 'translate: NPT, write' 1 '0x0000000000001234 fault npf 0x100000007' translate $npt --access w 1234
check 'translate: NPT, PAE host' 1 '0x0000000000001234 fault npf 0x200000006' translate $npt --hcr4 20 --hefer 800 --ncr3 9000 1234

check 'translate --json' 1 '{"va":"0x0000000000001abc","pa":"0x0000000000005abc","page_shift":12,"rights":"ur-x","rule":"PERM-3"}
{"va":"0x0000000000000000","fault":"page-fault","error_code":"0x0","vector":14,"rule":"ERR-1"}
{"va":"0x0000000000600000","fault":"no-memory","address":"0x0000000000009000"}
{"va":"0x0000800000000000","fault":"non-canonical","error_code":"0x0","vector":13,"rule":"MODE-16"}' translate --json $four 1abc 0 600000 800000000000
check 'translate --json, EPT' 1 '{"va":"0x0000000000002000","fault":"ept-misconfig","gpa":"0x0000000000015000","rule":"EPT-3"}
{"va":"0x0000000000003000","fault":"ept-violation","exit_qualification":"0x781","gpa":"0x0000000000016000","rule":"EPT-2"}' translate --json $ept 2000 3000
check 'translate --json, NPT' 1 '{"va":"0x0000000000002000","fault":"npf","exitinfo1":"0x100000004","gpa":"0x0000000000015000","rule":"ERR-1"}' translate --json $npt 2000

printf ' 1abc\n\n0x2000\t200123 0' | "$pagewalk" translate $four 1000 - 3000 >out 2>err
same 'translate -' "$? $(cat out err)" '1 0x0000000000001000 0x0000000000005000 12 ur-x
0x0000000000001abc 0x0000000000005abc 12 ur-x
0x0000000000002000 0x0000000000006000 12 urw-
0x0000000000200123 0x0000000000e00123 21 urwx
0x0000000000000000 fault page-fault 0x0
0x0000000000003000 0x0000000000007000 12 urw-'
run translate $four -
same 'translate -: nothing' "$status $(cat out err)" '0 '
perl -e 'printf "%x\n", 0x1000 + $_ % 4096 for 1 .. 100000' | "$pagewalk" translate $four - >out 2>err
same 'translate -: 100000' "$? $(wc -l <out) $(tail -n 1 out)" '0 100000 0x00000000000016a0 0x00000000000056a0 12 ur-x'
printf '1abc\nzz\n2000\n' | "$pagewalk" translate $four - >out 2>err
same 'translate -: malformed' "$? $(cat out err)" '2 0x0000000000001abc 0x0000000000005abc 12 ur-x
pagewalk: zz: not an address: 1 to 16 hexadecimal digits are expected'
printf '1\0abc' | "$pagewalk" translate $four - >out 2>err
same 'translate -: zero byte' "$? $(cat out err)" '2 pagewalk: 1?abc: not an address: 1 to 16 hexadecimal digits are expected'
perl -e 'print "1" x 1000000' | "$pagewalk" translate $four - >out 2>err
same 'translate -: a word without end' "$? $(cat out err | cut -c 1-30)" '2 pagewalk: 11111111111111111111'
"$pagewalk" translate $four - <. >out 2>err
same 'translate -: a directory' "$? $(cat out err)" '2 pagewalk: standard input: Is a directory'

# ---- explain ------------------------------------------------------------------------------------

check 'explain' 0 'PML4E 0x0000000000001000 0x0000000000002007 P W U -> table 0x0000000000002000
PDPTE 0x0000000000002000 0x0000000000003007 P W U -> table 0x0000000000003000
PDE   0x0000000000003000 0x0000000000004007 P W U -> table 0x0000000000004000
PTE   0x0000000000004008 0x0000000000005025 P U A -> page 0x0000000000005000
verdict: 0x0000000000001abc leads to 0x0000000000005abc (4 KiB page, ur-x): user read allowed by PERM-6 (docs/rules.md): a user access needs U in every entry; a write W too, a fetch NX=0' \
	explain $four --cpl 3 1abc
check 'explain: refused' 1 'PML4E 0x0000000000001000 0x0000000000002007 P W U -> table 0x0000000000002000
PDPTE 0x0000000000002000 0x0000000000003007 P W U -> table 0x0000000000003000
PDE   0x0000000000003000 0x0000000000004007 P W U -> table 0x0000000000004000
PTE   0x0000000000004008 0x0000000000005025 P U A -> page 0x0000000000005000
verdict: 0x0000000000001abc page-fault 0x7 (P W U): user write refused by PERM-6 (docs/rules.md): a user access needs U in every entry; a write W too, a fetch NX=0' \
	explain $four --cpl 3 --access w 1abc
check 'explain: a 2 MiB page, keys' 0 'PML4E 0x0000000000001000 0x0000000000002007 P W U -> table 0x0000000000002000
PDPTE 0x0000000000002000 0x0000000000003007 P W U -> table 0x0000000000003000
PDE   0x0000000000003008 0x0000000000e001e7 P W U A D PS G key0 -> page 0x0000000000e00000
verdict: 0x0000000000200000 leads to 0x0000000000e00000 (2 MiB page, urwx): supervisor fetch allowed by PERM-5 (docs/rules.md): a supervisor fetch needs NX=0 in every entry, and no user page under SMEP' \
	explain $four --cr4 400020 --access x 200000
check 'explain: reserved bits' 1 'PML4E 0x0000000000001000 0x0000000000002007 P W U -> table 0x0000000000002000
PDPTE 0x0000000000002ff8 0x80000000c0000083 P W PS reserved:63
verdict: 0x0000007fc0000000 page-fault 0x9 (P RSVD): supervisor read refused by MODE-10 (docs/rules.md): in long mode these bits are reserved' \
	explain $four --efer 500 7fc0000000
check 'explain: no memory' 1 'PML4E 0x0000000000001000 0x0000000000002007 P W U -> table 0x0000000000002000
PDPTE 0x0000000000002000 0x0000000000003007 P W U -> table 0x0000000000003000
PDE   0x0000000000003018 0x0000000000009007 P W U -> table 0x0000000000009000
PTE   0x0000000000009000 outside the image
verdict: 0x0000000000600000 no-memory 0x0000000000009000: supervisor read not answered: the image lacks the entry at this physical address' \
	explain $four 600000
check 'explain: non-canonical' 1 'verdict: 0x0000800000000000 non-canonical 0x0: supervisor read refused by MODE-16 (docs/rules.md): an address must be canonical: its upper bits all equal' \
	explain $four 800000000000
check 'explain: paging off' 0 'verdict: 0x0000000000001234 leads to 0x0000000000001234 (no page, urwx): supervisor read allowed by MODE-1 (docs/rules.md): with paging off an address is the physical address, and nothing is checked' \
	explain --cr0 1 --cr4 0 --efer 0 four.raw 1234
check 'explain: PAE' 0 'PDPTE register 3         0x0000000000003009 P PWT -> table 0x0000000000003000
PDE   0x0000000000003ff8 0x00000000ffe00083 P W PS -> page 0x00000000ffe00000
verdict: 0x00000000ffe00000 leads to 0x00000000ffe00000 (2 MiB page, -rwx): supervisor write allowed by PERM-4 (docs/rules.md): a supervisor write needs W everywhere if WP=1, and no user page under SMAP, AC=0' \
	explain $pae --access w ffe00000
check 'explain: 32-bit' 1 'PDE   0x000000000000100c 0x0000000000e00083 P W PS reserved:21
verdict: 0x0000000000c00000 page-fault 0x9 (P RSVD): supervisor read refused by MODE-5 (docs/rules.md): a 4 MiB page'"'"'s entry has reserved bits below its address' \
	explain $two c00000
check 'explain: EPT' 1 '  EPT PML4E 0x0000000000001000 0x0000000000002007 R W X -> table 0x0000000000002000
  EPT PDPTE 0x0000000000002000 0x0000000000003007 R W X -> table 0x0000000000003000
  EPT PDE   0x0000000000003000 0x0000000000004007 R W X -> table 0x0000000000004000
  EPT PTE   0x0000000000004080 0x0000000000005037 R W X WB -> page 0x0000000000005000
PML4E 0x0000000000010000 0x0000000000011007 P W U -> table 0x0000000000011000
  EPT PML4E 0x0000000000001000 0x0000000000002007 R W X -> table 0x0000000000002000
  EPT PDPTE 0x0000000000002000 0x0000000000003007 R W X -> table 0x0000000000003000
  EPT PDE   0x0000000000003000 0x0000000000004007 R W X -> table 0x0000000000004000
  EPT PTE   0x0000000000004088 0x0000000000006037 R W X WB -> page 0x0000000000006000
PDPTE 0x0000000000011000 0x0000000000012007 P W U -> table 0x0000000000012000
  EPT PML4E 0x0000000000001000 0x0000000000002007 R W X -> table 0x0000000000002000
  EPT PDPTE 0x0000000000002000 0x0000000000003007 R W X -> table 0x0000000000003000
  EPT PDE   0x0000000000003000 0x0000000000004007 R W X -> table 0x0000000000004000
  EPT PTE   0x0000000000004090 0x0000000000007037 R W X WB -> page 0x0000000000007000
PDE   0x0000000000012000 0x0000000000013007 P W U -> table 0x0000000000013000
  EPT PML4E 0x0000000000001000 0x0000000000002007 R W X -> table 0x0000000000002000
  EPT PDPTE 0x0000000000002000 0x0000000000003007 R W X -> table 0x0000000000003000
  EPT PDE   0x0000000000003000 0x0000000000004007 R W X -> table 0x0000000000004000
  EPT PTE   0x0000000000004098 0x0000000000008037 R W X WB -> page 0x0000000000008000
PTE   0x0000000000013010 0x0000000000015007 P W U -> page 0x0000000000015000
  EPT PML4E 0x0000000000001000 0x0000000000002007 R W X -> table 0x0000000000002000
  EPT PDPTE 0x0000000000002000 0x0000000000003007 R W X -> table 0x0000000000003000
  EPT PDE   0x0000000000003000 0x0000000000004007 R W X -> table 0x0000000000004000
  EPT PTE   0x00000000000040a8 0x000000000000a032 W WB misconfigured
verdict: 0x0000000000002000 ept-misconfig 0x0000000000015000: supervisor read refused by EPT-3 (docs/rules.md): the EPT entry has rights that cannot go together, a bad type, or a reserved bit' \
	explain $ept 2000
check 'explain: EPT refuses the root' 1 '  EPT PML4E 0x0000000000001000 0x0000000000002007 R W X -> table 0x0000000000002000
  EPT PDPTE 0x0000000000002000 0x0000000000003007 R W X -> table 0x0000000000003000
  EPT PDE   0x0000000000003000 0x0000000000004007 R W X -> table 0x0000000000004000
  EPT PTE   0x00000000000040b8 0x0000000000000000 not present
verdict: 0x0000000000001234 ept-violation 0x81 (read linear): supervisor read refused by EPT-2 (docs/rules.md): the EPT entry is not present: none of R, W, X' \
	explain $ept --cr3 17000 1234
run explain $ept --cr3 1000000000000 1234
same 'explain: EPT, GPA too wide' "$status $(cat out err)" '1 verdict: 0x0000000000001234 ept-violation 0x81 (read linear): supervisor read refused by EPT-13 (docs/rules.md): the guest-physical address has more bits than the EPT walk translates'
run explain $npt --access w 1234
same 'explain: NPT' "$status $(wc -l <out) $(tail -n 2 out)" '1 25   NPT PTE   0x00000000000040a0 0x0000000000009065 P U A D -> page 0x0000000000009000
verdict: 0x0000000000001234 npf 0x100000007 (P W U final): supervisor write refused by NPT-4 (docs/rules.md): a nested access needs U in every entry of the host; a write W too, a fetch NX=0'
check 'explain --json' 1 '{"va":"0x0000000000c00000","access":"user read","entries":[{"stage":"guest","name":"PDE","level":2,"address":"0x000000000000100c","value":"0x0000000000e00083","present":true,"flags":["P","W","PS"],"reserved":[21],"malformed":true}],"verdict":{"va":"0x0000000000c00000","fault":"page-fault","error_code":"0xd","vector":14,"rule":"MODE-5","bits":["P","U","RSVD"]}}' \
	explain --json --cpl 3 $two c00000
check 'explain --json, PAE' 1 '{"va":"0x0000000040000000","access":"supervisor read","entries":[{"stage":"guest","name":"PDPTE","level":3,"register":1,"value":"0x0000000000000000","present":false,"flags":[],"reserved":[]}],"verdict":{"va":"0x0000000040000000","fault":"page-fault","error_code":"0x0","vector":14,"rule":"MODE-7","bits":[]}}' \
	explain --json $pae 40000000

# ---- map ----------------------------------------------------------------------------------------

run map $four
same 'map' "$status $(cat out err)" '0 0x0000000000001000 0x0000000000002000 0x0000000000005000 12 ur-x --a---
0x0000000000002000 0x0000000000004000 0x0000000000006000 12 urw- -da---
0x0000000000004000 0x0000000000005000 0x0000000000009000 12 -rwx gda---
0x0000000000005000 0x0000000000006000 0x000000000000a000 12 -rwx ---ctp
0x0000000000200000 0x0000000000400000 0x0000000000e00000 21 urwx gda---
0x0000000040000000 0x0000000080000000 0x0000000040000000 30 -rwx ------
0x0000007fc0000000 0x0000008000000000 0x00000000c0000000 30 -rw- ------
0xffffff8000001000 0xffffff8000002000 0x0000000000005000 12 -r-x --a---
0xffffff8000002000 0xffffff8000004000 0x0000000000006000 12 -rw- -da---
0xffffff8000004000 0xffffff8000005000 0x0000000000009000 12 -rwx gda---
0xffffff8000005000 0xffffff8000006000 0x000000000000a000 12 -rwx ---ctp
0xffffff8000200000 0xffffff8000400000 0x0000000000e00000 21 -rwx gda---
0xffffff8040000000 0xffffff8080000000 0x0000000040000000 30 -rwx ------
0xffffffffc0000000 0x10000000000000000 0x00000000c0000000 30 -rw- ------
pagewalk: four.raw: tables that lie outside the image, left out: 2'
check 'map: 5-level' 0 '0xff00ff8000000000 0xff00ff8040000000 0x0000000000000000 30 -rwx ------
0xffffff8000000000 0xffffff8040000000 0x0000000000000000 30 -rwx ------' map $five
check 'map: PAE' 0 '0x0000000000001000 0x0000000000002000 0x0000000000005000 12 urwx ------
0x0000000000002000 0x0000000000003000 0x0000000f12345000 12 urw- -da---
0x0000000000200000 0x0000000000400000 0x0000000000200000 21 -rwx -da---
0x00000000ffe00000 0x0000000100000000 0x00000000ffe00000 21 -rwx ------' map $pae
check 'map: 32-bit, with its self-map' 0 '0x0000000000010000 0x0000000000011000 0x0000000000003000 12 ur-x ------
0x0000000000400000 0x0000000000800000 0x0000000000400000 22 urwx -da---
0x0000000000800000 0x0000000000c00000 0x0000000100800000 22 -rwx ------
0x00000000ffc00000 0x00000000ffc01000 0x0000000000002000 12 -rwx ------
0x00000000ffc01000 0x00000000ffc02000 0x0000000000400000 12 -rwx -da--p
0x00000000ffc02000 0x00000000ffc03000 0x0000000000802000 12 -rwx -----p
0x00000000ffc03000 0x00000000ffc04000 0x0000000000e00000 12 -rwx -----p
0x00000000fffff000 0x0000000100000000 0x0000000000001000 12 -rwx -da---' map $two
check 'translate: 32-bit, PSE off' 1 '0x0000000000400000 fault no-memory 0x0000000000400000' translate $two --cr4 0 400000
check 'map: paging off' 0 '0x0000000000000000 0x10000000000000000 0x0000000000000000 64 urwx ------' map --cr0 1 --cr4 0 --efer 0 four.raw
run map --json $four
same 'map --json' "$status $(sed -n '1p;14p' out)" '0 {"start":"0x0000000000001000","end":"0x0000000000002000","pa":"0x0000000000005000","page_shift":12,"rights":"ur-x","flags":"--a---"}
{"start":"0xffffffffc0000000","end":"0x10000000000000000","pa":"0x00000000c0000000","page_shift":30,"rights":"-rw-","flags":"------"}'

# Tables that point at themselves: an end, and no silence about what is missing.
bad 'empty.raw: stopped at the limit of 67108864 entries, and there are more: maybe tables that point at themselves; see --limit' \
	map $long --cr3 0 empty.raw
run map $long --cr3 0 --limit 3000 self.raw
same 'map: itself, limited' "$status $(wc -l <out) $(cat err)" \
	'2 1024 pagewalk: self.raw: stopped at the limit of 3000 entries, and there are more: maybe tables that point at themselves; see --limit'
check 'translate: itself' 0 '0xffffffffffffffff 0x0000000000000fff 12 urwx' translate $long --cr3 0 self.raw ffffffffffffffff

# ---- capture ------------------------------------------------------------------------------------

# captured NAME PAGES OPTIONS-AND-IMAGE...: what is captured maps the same, and its capture is the same file.
captured()
{
	local name=$1 pages=$2
	shift 2
	"$pagewalk" map "$@" >whole.txt 2>/dev/null
	run capture "$@" -o small.elf
	same "capture: $name" "$status $(cat out)" "0 small.elf $pages pages $(wc -c <small.elf) bytes"
	"$pagewalk" map small.elf >small.txt 2>/dev/null
	same "capture: $name: map" "$? $(cmp whole.txt small.txt)" '0 '
	"$pagewalk" capture -o again.elf small.elf >out 2>/dev/null
	same "capture: $name: again" "$? $(cmp small.elf again.elf)" '0 '
}
captured '4-level' 4 $four
captured '5-level' 3 $five
captured 'PAE' 4 $pae
captured '32-bit' 2 $two
captured 'registers assumed' 1 --cr3 0 --cr4 20 four.raw
captured 'with keys' 4 $four --cr4 400020 --pkru 55555554
check 'capture: PKRU' 0 '0x0000000000001000 0x0000000000005000 12 ur-x' translate small.elf 1000
"$pagewalk" capture $five -o small.elf >out
check 'capture: over the image' 0 "small.elf 3 pages $(wc -c <small.elf) bytes" capture small.elf -o small.elf
run capture --json $four -o small.elf
same 'capture --json' "$status $(cat out)" "0 {\"file\":\"small.elf\",\"pages\":4,\"bytes\":$(wc -c <small.elf)}"
run capture --json $four -o $'\xff"\n.elf'
same 'capture --json: a strange name' "$status $(cat out)" "0 {\"file\":\"?\\\"\\n.elf\",\"pages\":4,\"bytes\":$(wc -c <small.elf)}"
run capture $long --cr3 0 -o small.elf empty.raw
same 'capture: tables that point at themselves' "$status $(cut -d ' ' -f 2 out)" '0 4'

# ---- Registers and notes ------------------------------------------------------------------------

run translate --cr3 1000 four.raw 1abc
same 'note: all assumed' "$status $(cat out err)" '0 0x0000000000001abc 0x0000000000005abc 12 ur-x
pagewalk: four.raw: CR0, CR4, EFER are not in the image; assuming 0x80010001, 0x20, 0xd00'
run translate --cr3 1000 --cr0 80000001 --cr4 10 two.raw 10fff
same 'note: EFER follows CR4' "$status $(cat out err)" '0 0x0000000000010fff 0x0000000000003fff 12 ur-x
pagewalk: two.raw: EFER is not in the image; assuming 0x0'
"$pagewalk" capture --cr3 1000 --cr0 80010001 --cr4 20 four.raw -o derived.elf >out 2>err
run translate derived.elf 1abc
same 'note: EFER derived' "$status $(cat out err)" '0 0x0000000000001abc 0x0000000000005abc 12 ur-x
pagewalk: derived.elf: EFER is not in the image; assuming 0xd00'
check 'note: EFER given' 0 '0x0000000000001abc 0x0000000000005abc 12 ur-x' translate --efer 500 derived.elf 1abc
check 'registers: one from an option' 1 '0x0000000000001abc fault page-fault 0x0' translate --cr3 4000 --efer d00 derived.elf 1abc

# ---- Bad input ----------------------------------------------------------------------------------

help='; see pagewalk --help'
bad "no command: translate, explain, map or capture$help"
bad "frob: unknown command$help" frob four.raw
bad "map: IMAGE is missing$help" map
bad "translate: an address is missing$help" translate four.raw
bad "2: one argument too many$help" explain $four 1 2
bad "1: one argument too many$help" map $four 1
bad "capture: -o SMALL is missing$help" capture $four
bad "--frob: unknown option$help" map $four --frob
bad "-x: unknown option$help" map $four -x
bad '--cr3: its value is missing' map four.raw --cr3
bad "--cr3: 'zz' is not a hexadecimal number up to 0xffffffffffffffff" map four.raw --cr3 zz
bad "--cr3: '' is not a hexadecimal number up to 0xffffffffffffffff" map four.raw --cr3=
bad "--cr3: '0x' is not a hexadecimal number up to 0xffffffffffffffff" map four.raw --cr3 0x
bad "--cr3: '-1' is not a hexadecimal number up to 0xffffffffffffffff" map four.raw --cr3 -1
bad "--cr3: '10000000000000000' is not a hexadecimal number up to 0xffffffffffffffff" map four.raw --cr3 10000000000000000
bad "--pkru: '100000000' is not a hexadecimal number up to 0xffffffff" map $four --pkru 100000000
bad "--cpl: '4' is not a decimal number from 0 to 3" translate $four --cpl 4 1
bad "--maxphyaddr: '53' is not a decimal number from 32 to 52" map $four --maxphyaddr 53
bad "--limit: '18446744073709551616' is not a decimal number from 1 to 18446744073709551615" map $four --limit 18446744073709551616
bad "--access: 'rw' is none of r, w, x" translate $four --access rw 1
bad "--profile: 'via' is none of intel, amd, kvm-intel, kvm-amd" map $four --profile via
bad '--json: takes no value' map $four --json=1
bad "-o: means nothing to map$help" map $four -o small.elf
bad "--cpl: means nothing to map$help" map $four --cpl 3
bad '--mbec: means something only with --eptp' translate $four --mbec 1
bad '--ncr3: there is one second stage: --eptp or --ncr3' translate $four --eptp 101e --ncr3 1000 1
bad '-o: the name of a file is missing' capture $four -o ''
for address in 0x '' zz 1g 0x1x 10000000000000000 00000000000000001 '1 2' +1 0x-1; do
	bad "$address: not an address: 1 to 16 hexadecimal digits are expected" translate $four 1abc "$address"
done
bad '-: not an address: 1 to 16 hexadecimal digits are expected' explain $four -
bad 'a?b: not an address: 1 to 16 hexadecimal digits are expected' translate $four $'a\nb'
bad 'zz: not an address: 1 to 16 hexadecimal digits are expected' translate missing.raw zz

bad 'missing.raw: No such file or directory' map --cr3 0 missing.raw
bad '.: Is a directory' map --cr3 0 .
bad 'four.raw: no registers in this image: --cr3 is needed' map four.raw
: >nothing.raw
bad 'nothing.raw: empty file' map --cr3 0 nothing.raw
for command in 'translate' 'explain' 'map' 'capture -o small2.elf'; do
	address=
	case $command in translate | explain) address=1000 ;; esac
	bad 'four.raw: CR3 0x0000000000006000 lies outside the image' $command $long --cr3 6000 four.raw $address
	bad 'four.raw: CR3 0x000ffffffffff000 lies outside the image' $command $long --cr3 ffffffffff000 four.raw $address
	bad 'four.raw: impossible or not supported: CR0 0x80010001, CR4 0x0, EFER 0xd00' $command $four --cr4 0 $address
	bad 'four.raw: CR3 0x8000000000001000 has reserved bits set: no CPU can hold it' \
		$command $four --cr3 8000000000001000 $address
done
same 'no capture is left' "$(ls small2.elf 2>&1)" "ls: cannot access 'small2.elf': No such file or directory"
bad 'four.raw: CR3 0x0000004000001000 has reserved bits set: no CPU can hold it' map $four --cr3 4000001000 --maxphyaddr 36
bad 'pae.raw: a PDPTE at CR3 0x0000000000004000 has reserved bits set: no CPU loads it (MODE-7)' map $pae --cr3 4000
bad 'pae.raw: CR3 0x0000000000005000 lies outside the image' translate $pae --cr3 5000 0
bad 'ept.raw: VM entry fails with EPTP 0x1000' translate $ept --eptp 1000 1
bad 'ept.raw: EPTP 0x000000000000a01e lies outside the image' translate $ept --eptp a01e 1
bad 'npt.raw: nCR3 0x000000000000a000 lies outside the image' translate $npt --ncr3 a000 1
bad 'npt.raw: VMRUN fails with hCR0 0x1, hCR4 0x20, hEFER 0xd00, nCR3 0x1000' translate $npt --hcr0 1 1
bad 'ept.raw: map shows one stage of translation: not with --eptp or --ncr3' map $ept
bad 'npt.raw: capture follows one stage of translation: not with --eptp or --ncr3' capture $npt -o small2.elf
bad 'four.raw: paging is off: there are no tables to capture' capture --cr0 1 --cr4 0 --efer 0 four.raw -o small2.elf

# Images that are broken. The reason is image.c's and tested with it; here, that it is one line and all there is.
broken()
{
	run map --cr3 1000 "$1"
	same "broken: $1" "$status $(wc -c <out)" '2 0'
	like "broken: $1: one line" "pagewalk: $1: .*" err
}
head -c 40 small.elf >header.elf
head -c 300 small.elf >notes.elf
perl -e 'local $/; $_ = <>; chop; print' small.elf >past-the-end.elf
perl -e 'local $/; $_ = <>; substr($_, 16, 1) = "\2"; print' small.elf >no-core.elf
perl -e 'local $/; $_ = <>; substr($_, 18, 1) = "\xb7"; print' small.elf >aarch64.elf
perl -e 'local $/; $_ = <>; substr($_, 4, 1) = "\1"; print' small.elf >class-32.elf
perl -e 'sub lime { pack("VVVVVVVV", 0x4c694d45, 1, $_[0], 0, $_[1], 0, 0, 0) . "\0" x 4096 }
	for (["overlap", 0, 4095, 2048, 6143], ["backward", 8192, 12287, 0, 4095], ["reverse", 4095, 0], ["short", 0, 8191]) {
		my ($name, @ends) = @$_;
		open(my $out, ">:raw", "$name.lime") or die;
		while (my ($first, $last) = splice(@ends, 0, 2)) { print $out lime($first, $last) }
	}' || exit 2
for file in header.elf notes.elf past-the-end.elf no-core.elf aarch64.elf class-32.elf \
	overlap.lime backward.lime reverse.lime short.lime; do
	broken $file
done

# Output that cannot be written.
for command in "translate $four 1abc" "explain $four 1abc" "map $four" "capture $four -o small.elf" '--help' '--version' \
	"map $long --cr3 0 --limit 100000 self.raw" "translate --json $four 1abc"; do
	"$pagewalk" $command >/dev/full 2>err
	same "full: $command" "$? $(cat err)" '2 pagewalk: standard output: No space left on device'
	"$pagewalk" $command >&- 2>err
	same "closed: $command" "$? $(cat err)" '2 pagewalk: standard output: Bad file descriptor'
done
mkdir folder
for path in missing/small.elf folder /dev/full; do
	run capture $four -o $path
	same "unwritable: $path" "$status $(wc -c <out)" '2 0'
	like "unwritable: $path: one line" "pagewalk: $path: .*" err
done
before=$(cksum <small.elf)
(ulimit -f 8; trap '' XFSZ; "$pagewalk" capture $four -o small.elf >out 2>err; echo "$?" >code)
same 'capture: cut short' "$(cat code out) $(cksum <small.elf)" "2 $before"
like 'capture: cut short: one line' 'pagewalk: small.elf: .*' err
same 'capture: nothing half-written' "$(find . -name '*.tmp' -o -name 'small2*')" ''

# ---- Help, and progress on a terminal -----------------------------------------------------------

run --help
same 'help' "$status $(grep -c 'pagewalk translate IMAGE' out) $(cat err)" '0 1 '
check 'version' 0 'pagewalk 0.1.0' --version
if script -qec true /dev/null >/dev/null 2>&1; then
	cat >slow.sh <<-END2
		(echo 1000; sleep 1.3; yes 1000 | head -n 200) | "$pagewalk" translate $four - >out
	END2
	script -qec 'bash slow.sh' /dev/null </dev/null >tty.txt
	same 'progress' "$(wc -l <out) $(tr '\r\033' '\n\n' <tty.txt | grep -c -x 'pagewalk: [0-9]* addresses...')" '201 1'
else
	skipped=1
	echo 'progress: skipped: script(1) finds no pseudo-terminal here'
fi
}

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
