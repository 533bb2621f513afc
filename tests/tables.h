/* SPDX-License-Identifier: MIT */
/*
 * tables.h: questions of one dimension, built entry by entry along the way of one address; the library's answers
 * compared field by field, a difference told in one line `inputs => got, expected`; and the reserved bits as
 * docs/rules.md has them, one bit at a time, for the suites that go through all of them.
 *
 * Paging modes go by their number of levels: 0 (off), 2 (32-bit), 3 (PAE), 4, 5.
 */
#ifndef TESTS_TABLES_H
#define TESTS_TABLES_H

#include <inttypes.h>
#include <stdio.h>

#include "library.h"
#include "suite.h"

#define COUNT(array)    (sizeof(array) / sizeof(*(array)))
#define BIT(n)          (UINT64_C(1) << (n))
#define BITS(high, low) (~UINT64_C(0) >> (63 - (high) + (low)) << (low))

/* An entry's bits. */
#define P       BIT(0)
#define W       BIT(1)
#define U       BIT(2)
#define A       BIT(5)
#define D       BIT(6)
#define PS      BIT(7)
#define G       BIT(8)
#define XD      BIT(63)

#define CR0_PE  BIT(0)
#define CR0_WP  BIT(16)
#define CR0_NW  BIT(29)
#define CR0_CD  BIT(30)
#define CR0_PG  BIT(31)
#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define CR4_LA57 BIT(12)
#define CR4_PCIDE BIT(17)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define CR4_PKE BIT(22)
#define CR4_CET BIT(23)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)
#define RFLAGS_AC BIT(18)

#define ALL_FEATURES ((unsigned)(CASE_PSE | CASE_PSE36 | CASE_PAE | CASE_NX | CASE_PAT | CASE_PAGE1GB | CASE_SMEP | \
				 CASE_SMAP | CASE_PKU | CASE_LA57))

/* ---- The way of one address ------------------------------------------------------------------ */

/*
 * Where the table of each level is. No two places differ in one bit only, so that a wrong bit in a pointer leads to
 * zeros, or out of memory. The pointers to the tables of level 1 and 2 are good addresses of large pages, too.
 */
static const uint64_t table_at[] = { 0, 0x00c00000, 0xc0000000, 0x3000, 0x5000, 0x6000 };
#define TABLE_PAGE   UINT64_C(0x80000000) /* what a leaf of any level maps */
#define TABLE_MEMORY BIT(32)

static inline unsigned table_levels(const struct case_question *q) /* MODE-2 */
{
	if (!(q->cr0 & CR0_PG))
		return 0;
	if (!(q->cr4 & CR4_PAE))
		return 2;
	if (!(q->efer & EFER_LME))
		return 3;
	return q->cr4 & CR4_LA57 ? 5 : 4;
}

static inline unsigned table_entry_size(const struct case_question *q)
{
	return table_levels(q) == 2 ? 4 : 8;
}

/* log2 of what an entry of the level maps. */
static inline unsigned table_shift(const struct case_question *q, unsigned level)
{
	return 12 + (table_levels(q) == 2 ? 10 : 9) * (level - 1);
}

/* The index of an address in the table of the level. */
static inline unsigned table_index(const struct case_question *q, uint64_t va, unsigned level)
{
	unsigned levels = table_levels(q), entries = levels == 2 ? 1024 : levels == 3 && level == 3 ? 4 : 512;

	return (unsigned)(va >> table_shift(q, level)) & (entries - 1);
}

static inline uint64_t table_slot(const struct case_question *q, unsigned level)
{
	return table_at[level] + table_index(q, q->va, level) * table_entry_size(q);
}

/* The entry of the level on the way of q->va; value: the memory's words before or after a walk. */
static inline uint64_t table_get(const struct case_question *q, const uint64_t *value, unsigned level)
{
	uint64_t entry = 0;

	case_load(&q->memory, value, table_slot(q, level), table_entry_size(q), &entry);
	return entry;
}

static inline void table_set(struct case_question *q, unsigned level, uint64_t entry)
{
	uint64_t slot = table_slot(q, level);

	if (case_find(&q->memory, slot & ~UINT64_C(7)) < 0)
		cr_assert(case_set(&q->memory, slot & ~UINT64_C(7), 0), "no room");
	case_store(&q->memory, q->memory.value, slot, table_entry_size(q), entry);
}

static inline bool table_is_pdpte(const struct case_question *q, unsigned level)
{
	return level == 3 && table_levels(q) == 3;
}

/* The way to a page mapped at level leaf; flags in every entry but a PAE PDPTE, which has P alone. */
static inline void table_path(struct case_question *q, unsigned leaf, uint64_t flags)
{
	for (unsigned level = table_levels(q); level > leaf; level--)
		table_set(q, level, table_at[level - 1] | (table_is_pdpte(q, level) ? P : flags));
	table_set(q, leaf, TABLE_PAGE | flags | (leaf > 1 ? PS : 0));
}

/*
 * A CPU with everything, M = 46, in the mode; supervisor reads an address with a different index at each level. WP and
 * NXE on, SMEP, SMAP and PKE off; 32-bit paging with PSE. No tables yet.
 */
static inline void table_question(struct case_question *q, unsigned levels)
{
	static const uint64_t va[] = { 0xb6c31678, 0, 0xb6c31678, 0xb6c31678, 0x00005a3cb6c31678, 0x00a55a3cb6c31678 };

	case_clear(&q->memory, TABLE_MEMORY);
	q->profile = CASE_INTEL;
	q->maxphyaddr = 46;
	q->features = ALL_FEATURES;
	q->knobs = 0;
	q->cr0 = CR0_PE | (levels ? CR0_PG | CR0_WP : 0);
	q->cr3 = table_at[levels];
	q->cr4 = (levels == 2 ? CR4_PSE : levels ? CR4_PAE : 0) | (levels == 5 ? CR4_LA57 : 0);
	q->efer = EFER_NXE | (levels > 3 ? EFER_LME | EFER_LMA : 0);
	q->rflags = 2;
	q->pkru = 0;
	q->compatibility = q->has_pdpte = q->user = q->implicit = q->stack = false;
	q->stage2 = CASE_ONE_DIMENSION;
	q->va = va[levels];
	q->access = CASE_READ;
}

/* The largest page of the mode. */
static inline unsigned table_max_leaf(unsigned levels)
{
	return levels > 3 ? 3 : 2;
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* want: the memory as it was, and nothing else. */
static inline void want_outcome(const struct case_question *q, struct case_answer *want, enum case_outcome outcome)
{
	memset(want, 0, offsetof(struct case_answer, value));
	memcpy(want->value, q->memory.value, q->memory.count * sizeof(*want->value));
	want->outcome = outcome;
}

static inline void want_fault(const struct case_question *q, struct case_answer *want, uint64_t error_code)
{
	want_outcome(q, want, CASE_PAGE_FAULT);
	want->error_code = error_code;
	want->cr2 = q->va;
}

static inline void want_page(const struct case_question *q, struct case_answer *want, uint64_t pa, unsigned shift,
			     unsigned rights)
{
	want_outcome(q, want, CASE_TRANSLATED);
	want->pa = pa;
	want->page_shift = shift;
	want->rights = rights;
}

/* The walk sets flags in the entry of the level. */
static inline void want_flags(const struct case_question *q, struct case_answer *want, unsigned level, uint64_t flags)
{
	case_store(&q->memory, want->value, table_slot(q, level), table_entry_size(q),
		   table_get(q, want->value, level) | flags);
}

/* A in every entry of a walk that ends at level leaf, and D in the leaf if the access is a write. */
static inline void want_accessed(const struct case_question *q, struct case_answer *want, unsigned leaf)
{
	for (unsigned level = table_levels(q); level >= leaf; level--)
		if (!table_is_pdpte(q, level))
			want_flags(q, want, level, A | (level == leaf && q->access == CASE_WRITE ? D : 0));
}

static inline void table_print_answer(const struct case_answer *a)
{
	static const char *const names[] = {
		[CASE_TRANSLATED] = "translated", [CASE_PAGE_FAULT] = "#PF", [CASE_PDPTE_FAULT] = "pdpte-fault",
		[CASE_NON_CANONICAL] = "non-canonical", [CASE_EPT_VIOLATION] = "ept-violation",
		[CASE_EPT_MISCONFIG] = "ept-misconfig", [CASE_NPF] = "npf", [CASE_NO_MEMORY] = "no-memory",
		[CASE_BAD_STATE] = "bad-state"
	};

	printf("%s", names[a->outcome]);
	if (a->outcome == CASE_TRANSLATED)
		printf(" %#" PRIx64 " shift %u rights %u", a->pa, a->page_shift, a->rights);
	else if (a->outcome == CASE_PAGE_FAULT)
		printf(" %#" PRIx64 " cr2 %#" PRIx64, a->error_code, a->cr2);
	else if (a->outcome == CASE_NON_CANONICAL)
		printf(" vector %u", a->vector);
}

static inline void table_print_question(const struct case_question *q)
{
	static const char *const profiles[] = { "intel", "amd", "kvm-intel", "kvm-amd" };
	static const char *const accesses[] = { "read", "write", "fetch" };

	printf("%s M=%u features=%#x knobs=%#x cr0=%#" PRIx64 " cr3=%#" PRIx64 " cr4=%#" PRIx64 " efer=%#" PRIx64
	       " rflags=%#" PRIx64 " pkru=%#" PRIx64 "%s va=%#" PRIx64 " %s%s%s%s",
	       profiles[q->profile], q->maxphyaddr, q->features, q->knobs, q->cr0, q->cr3, q->cr4, q->efer, q->rflags,
	       q->pkru, q->compatibility ? " compatibility" : "", q->va, q->user ? "user " : "",
	       q->implicit ? "implicit " : "", q->stack ? "stack " : "", accesses[q->access]);
	for (unsigned level = table_levels(q); level; level--)
		printf(" L%u=%#" PRIx64, level, table_get(q, q->memory.value, level));
}

static inline bool table_same(const struct case_question *q, const struct case_answer *a, const struct case_answer *b)
{
	return a->outcome == b->outcome && a->pa == b->pa && a->page_shift == b->page_shift && a->rights == b->rights &&
	       a->vector == b->vector && a->error_code == b->error_code && a->cr2 == b->cr2 &&
	       !memcmp(a->value, b->value, q->memory.count * sizeof(*a->value));
}

/* Asks the library; another answer than the one wanted is counted, and the first ten are printed. */
static inline void table_check(const struct case_question *q, const struct case_answer *want, unsigned *differ)
{
	static struct case_answer got;

	library_walk(q, &got);
	if (table_same(q, &got, want) || ++*differ > 10)
		return;
	table_print_question(q);
	printf(" => ");
	table_print_answer(&got);
	printf(", expected ");
	table_print_answer(want);
	for (unsigned i = 0; i < q->memory.count; i++)
		if (got.value[i] != want->value[i])
			printf("; [%#" PRIx64 "] after: %#" PRIx64 ", expected %#" PRIx64, q->memory.address[i],
			       got.value[i], want->value[i]);
	printf("\n");
	fflush(stdout);
}

/* Counts and says whether one of the first ten differences is to be printed. */
static inline bool table_counts(unsigned *differ)
{
	return ++*differ <= 10;
}

/* ---- MODE-4 ... MODE-13, a bit at a time ----------------------------------------------------- */

static inline bool rule_is_kvm(const struct case_question *q)
{
	return q->profile == CASE_KVM_INTEL || q->profile == CASE_KVM_AMD;
}

static inline unsigned rule_m(const struct case_question *q) /* MODE-12 */
{
	return q->maxphyaddr > 52 ? 52 : q->maxphyaddr;
}

/* Address bits of a 4 MiB page (MODE-5, KVM's deviation 2). */
static inline unsigned rule_pse_width(const struct case_question *q)
{
	if (rule_is_kvm(q))
		return 36;
	if (!(q->features & CASE_PSE36))
		return 32;
	if (q->profile == CASE_AMD && !(q->knobs & CASE_PSE36_BY_M))
		return 40;
	return rule_m(q) < 40 ? rule_m(q) : 40;
}

/* Does an entry of the level, if it is well-formed, map a page? */
static inline bool rule_is_leaf(const struct case_question *q, unsigned level, uint64_t entry)
{
	if (level == 1)
		return true;
	if (!(entry & PS))
		return false;
	switch (table_levels(q)) {
	case 2:
		return q->cr4 & CR4_PSE;
	case 3:
		return level == 2;
	default:
		return level == 2 || (level == 3 && (q->features & CASE_PAGE1GB));
	}
}

/* Is bit n reserved in a present entry of the level; leaf: one that maps a page? */
static inline bool rule_is_reserved(const struct case_question *q, unsigned level, bool leaf, unsigned n)
{
	bool amd = q->profile == CASE_AMD || q->profile == CASE_KVM_AMD;
	bool pat = (q->features & CASE_PAT) || rule_is_kvm(q); /* MODE-6, KVM's deviation 11 */
	unsigned m = rule_m(q);

	switch (table_levels(q)) {
	case 2: /* MODE-4, MODE-5, MODE-6 */
		if (!(q->cr4 & CR4_PSE) || (level == 2 && !leaf))
			return false;
		if (level == 1)
			return n == 7 && !pat;
		return n == 12 ? !pat : n <= 21 && n >= rule_pse_width(q) - 19;
	case 3: /* MODE-6, MODE-7, MODE-9 */
		if (level == 3)
			return n == 1 || n == 2 || (n >= 5 && n <= 8) || n >= m;
		if (n == 63)
			return !(q->efer & EFER_NXE);
		if (level == 2 && leaf && ((n >= 13 && n <= 20) || (n == 12 && !pat)))
			return true;
		return n >= m || (level == 1 && n == 7 && !pat);
	default: /* MODE-10, MODE-11, MODE-13 */
		if (n == 63)
			return !(q->efer & EFER_NXE);
		if (n >= 52)
			return false;
		if (n >= m)
			return true;
		if (level >= 4)
			return n == 7 || (n == 8 && amd);
		if (level == 3 && !leaf)
			return n == 7 || (n == 8 && q->profile == CASE_AMD && (q->knobs & CASE_PDPTE_BIT8));
		return leaf && level > 1 && n >= 13 && n <= (level == 3 ? 29 : 20);
	}
}

/* ---- Chance: the same numbers everywhere ----------------------------------------------------- */

struct chance {
	uint64_t state; /* not 0 */
};

static inline uint64_t chance_bits(struct chance *c) /* xorshift64* */
{
	c->state ^= c->state >> 12;
	c->state ^= c->state << 25;
	c->state ^= c->state >> 27;
	return c->state * UINT64_C(0x2545f4914f6cdd1d);
}

static inline unsigned chance_below(struct chance *c, unsigned n)
{
	return (unsigned)((chance_bits(c) >> 32) * n >> 32);
}

#endif
