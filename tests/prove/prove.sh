#!/bin/sh
# SPDX-License-Identifier: MIT
#
# prove.sh: Frama-C's Eva over include/pagewalk (README.md here).
#
#     prove.sh [-v] [HARNESS[:CASE]...]     all of them without one; with some, what the others reach is not asked for
#     -v: also the functions of which no case reaches every statement
#
# A harness is tests/prove/NAME.c. Its first comment says how it is analysed:
#
#     cases:       numbered from 1, preprocessor options, one analysis for each; / between them
#     partition:   variables by whose values Eva keeps states apart
#
# Fails at an alarm, at an assertion that is not proven or not reached, at a function of include/ that no harness
# reaches, at any warning. INCLUDE: another include directory. BUILD: where logs go (build/prove).
here=$(cd "$(dirname "$0")" && pwd)
include=${INCLUDE:-$(cd "$here/../../include" && pwd)}
build=${BUILD:-$here/../../build/prove}
verbose=
[ "${1-}" = -v ] && verbose=-v && shift
all=
[ $# = 0 ] && all=-a && set -- $(cd "$here" && ls ./*.c | sed 's|^./||; s|\.c$||')

mkdir -p "$build" || exit 1
command -v frama-c > "$build/version" || { echo "prove: frama-c is missing (Debian: frama-c-base)"; exit 1; }

# one NAME NUMBER OPTIONS: one analysis of a harness.
one()
{
	log=$build/$1-$2
	cpp="-I$include -I$here $3"
	gcc -E -CC $cpp "$here/$1.c" > "$log.i"
	# Every function that returns a status: Eva keeps its answers apart; those of the harness that look at them, too.
	statuses=$(perl -0777 -ne 'print "$1\n" while /^[\w \n]*?enum pagewalk_status\s+(\w+)\([^;{}]*\)\s*\{/mg' "$log.i")
	returns= ; slevel=main:4000 ; merge=
	grep -q '^static void check(' "$log.i" && slevel=$slevel,check:4000
	for f in $statuses; do
		returns=$returns,$f:0:1:2:3:4:5
		slevel=$slevel,$f:4000
		case $f in *_walk_addr_generic) merge=$merge,$f ;; esac
	done
	# Registers that a format is made of keep their bits through calls.
	equality=
	for f in init_guest init_second init_reserved_ept; do
		grep -q "^static .*$f(" "$log.i" && equality=$equality,equality:$f+
	done
	# A function of which the harness states a contract is taken by that.
	contract=$(perl -0777 -ne 'print ",$1" while /ensures[^;]*;\s*\@\*\/\s+static inline enum pagewalk_status\s+(\w+)\([^{}]*?\);/g' \
		"$log.i")
	# Nothing is gained where many conditions only choose bits of one number.
	for f in exit_qualification_ error_code_ set_format_ept_ set_permissions_ possible_; do
		slevel=$slevel,pagewalk_$f:0
	done
	partition=$(sed -n 's|^ \* partition: *||p' "$here/$1.c" | tr -d '\n')
	rm -f "$log.csv"
	frama-c -machdep gcc_x86_64 -cpp-extra-args="$cpp" -kernel-warn-key typing:implicit-function-declaration=abort \
		-warn-signed-downcast -warn-right-shift-negative -warn-invalid-pointer "$here/$1.c" \
		-eva -eva-no-print -eva-no-show-progress -eva-warn-key locals-escaping=active \
		-eva-domains cvalue,bitwise \
		-eva-domains-function "${equality#,}" -eva-equality-through-calls all \
		-eva-ilevel 16 -eva-slevel 100 -eva-slevel-function "$slevel" -eva-auto-loop-unroll 40 \
		-eva-split-return auto -eva-split-return-function "${returns#,}" \
		-eva-slevel-merge-after-loop "${merge#,}" -eva-interprocedural-splits -eva-partition-value "$partition" \
		-eva-unroll-recursive-calls 2 -eva-use-spec="${contract#,}" \
		-then -metrics -metrics-eva-cover -report -report-csv "$log.csv" > "$log.log" 2>&1 ||
		echo "FAILED: frama-c" >> "$log.log"
}

passed=0
failed=0
done=
for name in "$@"; do
	case $name in *:*) only=${name#*:} ;; *) only= ;; esac
	name=${name%%:*}
	start=$(date +%s)
	number=0
	logs=
	sed -n 's|^ \* cases: *||p' "$here/$name.c" | tr '/' '\n' > "$build/$name.cases"
	while read -r options; do
		number=$((number + 1))
		[ -z "$only" ] || [ "$only" = $number ] || continue
		one "$name" $number "$options"
		logs="$logs $build/$name-$number"
	done < "$build/$name.cases"
	seconds=$(($(date +%s) - start))
	if perl "$here/report.pl" ${only:+-p} $verbose "$name" $seconds $logs; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
	done="$done $logs"
done

# Of all together: functions and assertions that nobody reaches.
if [ -n "$all" ]; then
	echo '#include <pagewalk/pagewalk.h>' | gcc -E -I"$include" -xc - > "$build/headers.i"
	if perl "$here/report.pl" -a "$build/headers.i" "$include" "$here" $done; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
	fi
fi
echo "prove: $passed passed, $failed failed"
[ "$failed" = 0 ]
