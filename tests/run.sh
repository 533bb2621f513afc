#!/bin/bash
# SPDX-License-Identifier: MIT
#
# run.sh: all tests, one after the other. Prints a line a stage, the end of a stage that fails, and the sum. The logs are in
# build/log. CASES: how many random walks are compared with the model (10 million); FUZZ_SECONDS: how long each fuzzer runs (60).
set -u
cd "$(dirname "$0")/.." || exit 2

cases=${CASES:-10000000}
mkdir -p build/log
passed=0 failed=0 skipped=0

# stage NAME COMMAND...: the last line of the form "N passed, N failed[, N skipped]" (or Criterion's) counts its tests; a command without
# one counts as a test itself.
stage()
{
	local name=$1 log status line p f s start=$SECONDS
	shift
	log=build/log/${name//[^a-z0-9]/-}.log
	"$@" >"$log" 2>&1
	status=$?
	line=$(sed -nE 's/\x1b\[[0-9;]*m//g
		s/.*Tested: ([0-9]+) \| Passing: ([0-9]+) \| Failing: ([0-9]+) \| Crashing: ([0-9]+).*/\2 passed, \3 failed, \4 crashed/
		/[0-9]+ passed, [0-9]+ failed/p' "$log" | tail -n 1)
	p=$(sed -nE 's/.*\b([0-9]+) passed.*/\1/p' <<<"$line")
	f=$(sed -nE 's/.*\b([0-9]+) failed.*/\1/p' <<<"$line")
	s=$(sed -nE 's/.*\b([0-9]+) skipped.*/\1/p' <<<"$line")
	if [ $status -ne 0 ] && [ "${f:-0}" = 0 ]; then
		f=1
	elif grep -qE '^[a-z]+ skipped: ' "$log"; then
		s=1
	elif [ -z "$line" ]; then
		p=1
	fi
	passed=$((passed + ${p:-0})) failed=$((failed + ${f:-0})) skipped=$((skipped + ${s:-0}))
	if [ "${f:-0}" = 0 ]; then
		printf 'ok      %-34s %6s  %4ss\n' "$name" "${p:-0}" $((SECONDS - start))
	else
		printf 'FAILED  %-34s %6s failed; the end of %s:\n' "$name" "${f:-0}" "$log"
		tail -n 30 "$log"
	fi
}

say() # the lines of a log that are results in themselves
{
	sed -n "$2" "build/log/$1.log"
}

stage 'build' make --no-print-directory -j2 all run-vectors build/compare build/tests build/minimal
stage 'suites' build/tests
stage 'headers' tests/headers.sh
stage 'vectors, library' build/run-vectors tests/vectors/*.jsonl
stage 'vectors, model' build/run-vectors --model tests/vectors/*.jsonl
stage 'vectors, coverage' perl tests/vectors/coverage.pl --check
stage 'random walks, library and model' build/compare "$cases" 1
say random-walks--library-and-model '/^compare:/p'
stage 'readme' tests/test_readme.sh
stage 'command' tests/test_command.sh build/pagewalk
stage 'images of a real linux' tests/linux/boot.sh build/linux
stage 'linux, 4-level' perl tests/test_linux.pl build/pagewalk build/linux/la48
say linux--4-level '/^test_linux/p'
stage 'linux, 5-level' perl tests/test_linux.pl build/pagewalk build/linux/la57
say linux--5-level '/^test_linux/p'
stage 'build, sanitizers' make --no-print-directory -j2 build/tests-sanitized build/compare-sanitized build/pagewalk-sanitized
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
stage 'suites, ASan UBSan leaks' build/tests-sanitized
stage 'random walks, ASan UBSan' build/compare-sanitized $((cases / 50)) 2
stage 'command, ASan UBSan leaks' tests/test_command.sh build/pagewalk-sanitized
stage 'build, races' make --no-print-directory build/race
stage 'races, tsan' build/race --seconds 16
say races--tsan '/walks:/p'
stage 'proof' tests/prove/prove.sh
say proof '/^prove: /p'
stage 'build, oracles' make --no-print-directory build/differ
for oracle in $(build/differ --list | grep -v model); do
	seconds=${FUZZ_SECONDS:-60}
	case $oracle in kvm|qemu) ;; *) seconds=$(((seconds + 3) / 4)) ;; esac # the slow ones: long runs are for make fuzz
	stage "oracle $oracle" build/differ "$oracle" --seconds "$seconds"
	say "oracle-$oracle" '/ ran \| skipped:/p'
done
fuzzers='fuzz_walk fuzz_init fuzz_image fuzz_options fuzz_command fuzz_vector fuzz_case'
stage 'build, fuzzers' make --no-print-directory -j2 $(printf 'build/%s ' $fuzzers)
for target in $fuzzers; do
	stage "$target" tests/fuzz.sh "$target" "${FUZZ_SECONDS:-60}"
	say "${target//_/-}" '/ran/p'
done
stage 'build, other machines' make --no-print-directory -j2 build/tests-m32 build/tests-s390x
stage 'suites, 32-bit' build/tests-m32
stage 'suites, big-endian' qemu-s390x build/tests-s390x
stage 'stack' tests/stack.sh

say suites '/Synthesis/p'
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
