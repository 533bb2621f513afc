#!/bin/bash
# SPDX-License-Identifier: MIT
#
# build.sh: the libFuzzer targets for ClusterFuzzLite (and OSS-Fuzz), which gives CC, CFLAGS, CXX, CXXFLAGS,
# LIB_FUZZING_ENGINE, SANITIZER, SRC and OUT: the programs, their seeds as NAME_seed_corpus.zip, their NAME.dict.
# fuzz/README.md says how to try it without any of that.
set -eu
cd "${SRC:?}/pagewalk"
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT

# target NAME SOURCE...: fuzz/fuzz_NAME.c and these.
target()
{
	local name=$1 source object
	local -a parts=()
	shift
	for source in "fuzz/fuzz_$name.c" "$@"; do
		object=$objects/${name}_${source//\//_}.o
		# shellcheck disable=SC2086 # flags are meant to be split
		$CC ${CFLAGS-} -std=gnu11 -D_GNU_SOURCE -Iinclude -Itests -Iexamples/pagewalk -c "$source" -o "$object"
		parts+=("$object")
	done
	# shellcheck disable=SC2086 # the engine is C++
	${CXX:-$CC} ${CXXFLAGS-${CFLAGS-}} "${parts[@]}" $LIB_FUZZING_ENGINE "${libraries[@]}" -o "$OUT/fuzz_$name"
	rm -f "$OUT/fuzz_${name}_seed_corpus.zip"
	zip -q -j "$OUT/fuzz_${name}_seed_corpus.zip" "fuzz/corpus/$name"/*
	cp "fuzz/corpus/$name.dict" "$OUT/fuzz_$name.dict"
}

command=examples/pagewalk
libraries=()
target walk
target init

# MemorySanitizer sees what code that it built writes: nothing of jansson's, and not all of the C library's.
[ "${SANITIZER-}" = memory ] && exit 0

target image # includes image.c
libraries=(-l:libjansson.a)
target options $command/options.c $command/text.c $command/report.c
target vector tests/library.c tests/model.c tests/vector.c tests/generate.c $command/image.c
# main.c and report.c are included.
rest=()
for source in "$command"/*.c; do
	case $source in
	*/main.c | */report.c) ;;
	*) rest+=("$source") ;;
	esac
done
target command "${rest[@]}"
