#!/bin/bash
# SPDX-License-Identifier: MIT
# fuzz.sh TARGET SECONDS: one libFuzzer target, from its seeds and with its dictionary; what it finds is kept in
# build/corpus. Exit 1 at a crash.
set -eu
cd "$(dirname "$0")/.."
target=$1 name=${1#fuzz_} log=build/log/$1.log
options=(-max_total_time="$2" -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix="build/$target-")
mkdir -p "build/corpus/$name" build/log
if [ -e "fuzz/corpus/$name.dict" ]; then
	options+=(-dict="fuzz/corpus/$name.dict")
fi
if ! "build/$target" "${options[@]}" "build/corpus/$name" "fuzz/corpus/$name" >"$log" 2>&1; then
	tail -n 40 "$log"
	echo "$target: 0 passed, 1 failed"
	exit 1
fi
ran=$(sed -nE 's/^stat::number_of_executed_units: *//p' "$log")
echo "$target: ran ${ran:-0} inputs without a finding"
[ "${ran:-0}" -gt 0 ]
