#!/bin/bash
# SPDX-License-Identifier: MIT
#
# stack.sh: how deep the walkers go (gcc -fstack-usage): at most 1 KiB in one dimension, 2 KiB in two. The sum of all
# frames on the longest way is what counts, so everything on it is taken, inlined or not.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/walk.c" <<'END'
#include <pagewalk/pagewalk.h>
enum pagewalk_status translate(const struct kvm_pagewalk *w, uint64_t va, uint64_t access, struct pagewalk_walk *out);
enum pagewalk_status translate(const struct kvm_pagewalk *w, uint64_t va, uint64_t access, struct pagewalk_walk *out)
{
	return pagewalk_translate(w, va, access, out);
}
enum pagewalk_status init(struct kvm_pagewalk *w, const struct pagewalk_cpu *cpu, const struct pagewalk_regs *regs);
enum pagewalk_status init(struct kvm_pagewalk *w, const struct pagewalk_cpu *cpu, const struct pagewalk_regs *regs)
{
	return pagewalk_init_ept(w, cpu, 0, false) || pagewalk_init_npt(w, cpu, regs, 0, false) ? PAGEWALK_BAD_STATE : pagewalk_init(w, cpu, regs);
}
END
passed=0 failed=0
for flags in '-O2' '-Os' '-O2 -m32'; do
	# shellcheck disable=SC2086
	(cd "$work" && gcc $flags -fstack-usage -I"$OLDPWD/include" -c walk.c)
	# A walk is: translate -> gva_to_gpa -> walk_addr_generic and its helpers; a second stage adds gva_to_gpa and below once more.
	read -r entry walk helpers <<<"$(awk -F'[:\t]' '
		$4 == "translate" || $4 == "pagewalk_translate" { entry += $(NF - 1) }
		$4 ~ /gva_to_gpa/ && $(NF - 1) > gva { gva = $(NF - 1) }
		$4 ~ /walk_addr_generic/ && $(NF - 1) > generic { generic = $(NF - 1) }
		$4 !~ /^(translate|pagewalk_translate|init)$|gva_to_gpa|walk_addr_generic|init|role|format|permissions|set_/ { helpers += $(NF - 1) }
		END { print entry + 0, gva + generic, helpers + 0 }' "$work/walk.su")"
	one=$((entry + walk + helpers)) two=$((entry + 2 * walk + 2 * helpers))
	echo "gcc $flags: one dimension at most $one bytes, two dimensions at most $two (entry $entry, walk $walk, helpers $helpers)"
	if [ $one -gt 1024 ] || [ $two -gt 2048 ]; then
		failed=$((failed + 1))
	else
		passed=$((passed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
