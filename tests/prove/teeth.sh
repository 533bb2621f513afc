#!/bin/sh
# SPDX-License-Identifier: MIT
#
# teeth.sh: does prove.sh fail where it should? Each line spoils one place of include/ in a copy and has the case
# analysed that must notice; the same case of the headers as they are must pass. Exit 1: one did not.
here=$(cd "$(dirname "$0")" && pwd)
include=${INCLUDE:-$(cd "$here/../../include" && pwd)}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
bad=0
count=0

# spoil NAME CASE HEADER SED-SCRIPT
spoil()
{
	count=$((count + 1))
	rm -rf "$work/include"
	cp -r "$include" "$work/include"
	sed "$4" "$include/pagewalk/$3" > "$work/include/pagewalk/$3"
	if cmp -s "$include/pagewalk/$3" "$work/include/pagewalk/$3"; then
		echo "teeth: $1: the place is not there any more"
		bad=1
		return
	fi
	if ! INCLUDE=$include BUILD=$work/build "$here/prove.sh" "$2" > "$work/log"; then
		echo "teeth: $2: fails without the change too"
		cat "$work/log"
		bad=1
	elif INCLUDE=$work/include BUILD=$work/build "$here/prove.sh" "$2" > "$work/log"; then
		echo "teeth: $1: not noticed by $2"
		bad=1
	else
		echo "teeth: $1: $(head -1 "$work/log" | cut -c1-100)"
	fi
}

spoil 'one attempt too many' translate:4 pagewalk.h 's/attempt < PAGEWALK_MAX_ATTEMPTS &&/attempt <= PAGEWALK_MAX_ATTEMPTS \&\&/'
spoil 'index one too far' second:3 paging_tmpl.h 's/\*e = &s->entry\[level - 1\];/*e = \&s->entry[level];/'
spoil 'shift too far' entry:3 fault.h 's/w->pkru >> 2 \* pte_pkey/w->pkru >> 4 * pte_pkey/'
spoil 'status not looked at' walk:9 paging_tmpl.h \
	'/w, e->gpa, n->fmt.table_access/,/return status/s/if (status != PAGEWALK_OK) {/if (status == PAGEWALK_NO_MEMORY) {/'
spoil 'field out of range' walk:2 paging_tmpl.h 's/page_shift = (uint8_t)PT_SHIFT(level);/page_shift = (uint8_t)(PT_SHIFT(level) + 1);/'
spoil 'bound too small' walk:19 types.h 's/^\(#define PAGEWALK_MAX_READS  *\)40/\134/'
spoil 'address not aligned' second:3 paging_tmpl.h 's/LEVEL_BITS) - 1)) \* sizeof(pt_element_t)/LEVEL_BITS) - 1)) * (sizeof(pt_element_t) - 1)/'
spoil 'callback that may be NULL' walk:2 paging_tmpl.h 's/if (!w->cmpxchg_gpte)/if (0)/'
spoil 'PDPTE 4 ... 7' walk:3 paging_tmpl.h 's/index = addr >> 30 & 3;/index = addr >> 30 \& 7;/'
[ $bad = 0 ] && echo "teeth: $count of $count noticed"
exit $bad
