#!/bin/bash
# SPDX-License-Identifier: MIT
# demo.sh PAGEWALK: the command on the page tables of two real Linux systems (examples/data/README.md).
set -eu
pagewalk=$1
data=$(dirname "$0")/data

show()
{
	echo "\$ pagewalk $*"
	"$pagewalk" "$@" || [ $? = 1 ] # 1: the address faults, which is an answer
	echo
}

cd "$data"
case $pagewalk in
/*) ;;
*) pagewalk=$OLDPWD/$pagewalk ;;
esac

for image in linux-4-level.elf linux-5-level.elf; do
	echo "\$ pagewalk map $image | head"
	"$pagewalk" map "$image" 2>/dev/null | sed -n '1,5p;200,204p'
	echo "... $("$pagewalk" map "$image" 2>/dev/null | wc -l) ranges"
	echo
done
# The first page of the process's code: may it be executed, may it be written?
code=$("$pagewalk" map linux-4-level.elf 2>/dev/null | awk '$5 ~ /u.*x/ { print $1; exit }')
show explain --cpl 3 --access x linux-4-level.elf "$code"
show explain --cpl 3 --access w linux-4-level.elf "$code"
# The kernel's direct map, from user mode.
show explain --cpl 3 linux-5-level.elf 0xff11000000100000
show translate linux-5-level.elf 0xff11000000100000 "$code" 0x0
