#!/bin/bash
# SPDX-License-Identifier: MIT
#
# headers.sh: include/ as strangers compile it. Each header alone, twice and in any order; two units; C and C++ of
# all ages; gcc and clang; 32-bit, freestanding, MSVC's mode, big-endian; and no name or macro left behind.
set -u
cd "$(dirname "$0")/.." || exit 2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
warn='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror'

check() # check NAME COMMAND...
{
	local name=$1
	shift
	if "$@" >"$work/out" 2>&1; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "headers: $name failed: $*"
		head -n 10 "$work/out"
	fi
}

headers=$(cd include && ls pagewalk/*.h | grep -v -e paging_tmpl.h)
use='#include <pagewalk/pagewalk.h>
enum pagewalk_status use_@(struct kvm_pagewalk *w, struct pagewalk_walk *out);
enum pagewalk_status use_@(struct kvm_pagewalk *w, struct pagewalk_walk *out)
{
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_AMD, 48, PAGEWALK_FEATURES_ALL);
	struct pagewalk_regs regs;
	regs.cr0 = regs.cr4 = regs.efer = 0;
	regs.compatibility = false;
	if (pagewalk_init(w, &cpu, &regs) || pagewalk_refresh(w, &regs) || pagewalk_init_ept(w, &cpu, 0x1e, true) ||
	    pagewalk_init_npt(w, &cpu, &regs, 0, false) || pagewalk_load_pdptrs(w, 0, w->pdptr, out))
		return PAGEWALK_BAD_STATE;
	if (pagewalk_permission_fault(w, 0, 0, 0) || pagewalk_page_shift(out) || pagewalk_rights(w, out))
		return PAGEWALK_FAULT;
	return pagewalk_translate(w, 0, PAGEWALK_ACCESS_READ, out);
}
'
printf '%s' "${use//@/one}" >"$work/one.c"
printf '%s' "${use//@/two}" >"$work/two.c"
cat >"$work/main.c" <<'END'
#include <pagewalk/pagewalk.h>
enum pagewalk_status use_one(struct kvm_pagewalk *w, struct pagewalk_walk *out);
enum pagewalk_status use_two(struct kvm_pagewalk *w, struct pagewalk_walk *out);
int main(int argc, char **argv)
{
	return argv[0] && argc > 9 ? (int)use_one(NULL, NULL) + (int)use_two(NULL, NULL) : 0;
}
END

# Alone, twice, before and after the whole.
for h in $headers; do
	printf '#include <%s>\n#include <%s>\n#include <pagewalk/pagewalk.h>\n#include <%s>\nint x;\n' "$h" "$h" "$h" >"$work/alone.c"
	check "$h first" gcc -std=c99 $warn -Iinclude -fsyntax-only "$work/alone.c"
	check "$h first, C++" g++ -std=c++11 $warn -Iinclude -fsyntax-only -x c++ "$work/alone.c"
	for other in $headers; do
		printf '#include <%s>\n#include <%s>\nint x;\n' "$h" "$other" >"$work/pair.c"
		check "$h, $other" gcc -std=c99 $warn -Iinclude -fsyntax-only "$work/pair.c"
	done
done

for optimize in -O0 -O2; do
	for std in c99 c11 c17; do
		check "gcc $std" gcc -std=$std $warn $optimize -Iinclude -c "$work/one.c" -o "$work/one.o"
		check "clang $std" clang -std=$std $warn $optimize -Iinclude -c "$work/one.c" -o "$work/one.o"
	done
	for std in c++11 c++14 c++17 c++20; do
		check "g++ $std" g++ -std=$std $warn $optimize -Iinclude -x c++ -c "$work/one.c" -o "$work/one.o"
		check "clang++ $std" clang++ -std=$std $warn $optimize -Iinclude -x c++ -c "$work/one.c" -o "$work/one.o"
	done
	check "gcc -m32" gcc -m32 -std=c99 $warn $optimize -Iinclude -c "$work/one.c" -o "$work/one.o"
	check "g++ -m32" g++ -m32 -std=c++11 $warn $optimize -ffreestanding -Iinclude -x c++ -c "$work/one.c" -o "$work/one.o"
	check "clang -m32" clang -m32 -std=c99 $warn $optimize -Iinclude -c "$work/one.c" -o "$work/one.o"
	check "s390x" s390x-linux-gnu-gcc -std=c99 $warn $optimize -Iinclude -c "$work/one.c" -o "$work/one.o"
	# Nothing but the compiler's own headers, and no libc to call.
	for cc in gcc clang; do
		check "$cc freestanding" $cc -std=c99 $warn $optimize -ffreestanding -nostdlib -Iinclude -c "$work/one.c" -o "$work/free.o"
		check "$cc calls nothing" sh -c "! nm -u '$work/free.o' | grep -vE ' (memset|memcpy|memmove|memcmp|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail)\$'"
	done
	check "MSVC mode" clang --target=x86_64-pc-windows-msvc -std=c11 $warn $optimize -ffreestanding -Iinclude -c "$work/one.c" -o "$work/msvc.o"
	check "MSVC mode, C++" clang --target=x86_64-pc-windows-msvc -std=c++14 $warn $optimize -ffreestanding -Iinclude -x c++ -c "$work/one.c" -o "$work/msvc.o"
done

check "two units" gcc -std=c99 -Iinclude "$work/main.c" "$work/one.c" "$work/two.c" -o "$work/two"
check "two units run" "$work/two"
check "two units, C++" g++ -std=c++11 -Iinclude -x c++ "$work/main.c" "$work/one.c" "$work/two.c" -o "$work/two"
check "another tag" sh -c "sed 's/struct kvm_pagewalk/struct other/g' '$work/one.c' | gcc -DPAGEWALK_TAG=other -std=c99 $warn -Iinclude -fsyntax-only -x c -"

# Macros: what including pagewalk.h adds beyond the standard headers it needs is PAGEWALK_... .
printf '#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n' | gcc -std=c99 -dM -E - | sort >"$work/before"
printf '#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <pagewalk/pagewalk.h>\n' | gcc -std=c99 -Iinclude -dM -E - | sort >"$work/after"
check "macros were found" sh -c "comm -13 '$work/before' '$work/after' | grep -c PAGEWALK_ | grep -qE '^[0-9]{2,}\$'"
check "macro leak" sh -c "! comm -13 '$work/before' '$work/after' | grep -vE '^#define PAGEWALK_'"

# Names: every function, tag, enumerator, typedef and variable that debug information lists.
gcc -std=c99 -g -O0 -ffreestanding -fno-eliminate-unused-debug-types -fkeep-inline-functions -Iinclude -c -x c -o "$work/names.o" - <<'END'
#include <pagewalk/pagewalk.h>
END
readelf --debug-dump=info "$work/names.o" 2>/dev/null | awk '
	/DW_TAG_/ { depth = $0; sub(/^ *</, "", depth); sub(/>.*/, "", depth); tag = $NF }
	/DW_AT_name/ && (tag ~ /(subprogram|structure_type|union_type|enumeration_type|enumerator)/ || (depth == 1 && tag ~ /(variable|typedef)/)) { print $NF }' |
	sort -u >"$work/names"
check "names were found" grep -q pagewalk64_walk_addr "$work/names"
check "name leak" sh -c "! grep -vE '^(pagewalk|PAGEWALK_|kvm_pagewalk\$|(u?int(8|16|32|64)_t|size_t|wchar_t|ptrdiff_t|max_align_t|_Bool|__u?int.*|u?int_(fast|least)[0-9]+_t|u?int(max|ptr)_t)\$)' '$work/names'"

# What the library may include.
check "only standard headers" sh -c "! grep -hE '#[[:space:]]*include[[:space:]]*<' include/pagewalk/*.h | grep -vE '<(stdint|stddef|stdbool)\.h>|\* '"

echo "headers: $passed passed, $failed failed"
[ $failed = 0 ]
