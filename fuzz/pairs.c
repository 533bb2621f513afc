/* SPDX-License-Identifier: MIT */
#include "pairs.h"

#include <inttypes.h>
#include <stdio.h>

#define BIT(n) ((uint64_t)1 << (n))

/* ---- One bit of a case ----------------------------------------------------------------------------------------- */

static const char *const flip_what_names[] = {
	"word", "pdpte", "cr0", "cr3", "cr4", "efer", "rflags", "pkru", "eptp", "ncr3", "host's cr0", "host's cr4",
	"host's efer", "va", "feature", "ept feature", "maxphyaddr", "user", "implicit", "segment", "cs_l", "mbec",
	"gmet", "access", "profile"
};

static uint64_t *register_of(struct case_question *q, const struct flip *f)
{
	switch (f->what) {
	case FLIP_PDPTE: return &q->pdpte[f->index];
	case FLIP_CR0: return &q->cr0;
	case FLIP_CR3: return &q->cr3;
	case FLIP_CR4: return &q->cr4;
	case FLIP_EFER: return &q->efer;
	case FLIP_RFLAGS: return &q->rflags;
	case FLIP_PKRU: return &q->pkru;
	case FLIP_EPTP: return &q->eptp;
	case FLIP_NCR3: return &q->ncr3;
	case FLIP_HCR0: return &q->hcr0;
	case FLIP_HCR4: return &q->hcr4;
	case FLIP_HEFER: return &q->hefer;
	case FLIP_VA: return &q->va;
	default: return NULL;
	}
}

static bool *flag_of(struct case_question *q, const struct flip *f)
{
	switch (f->what) {
	case FLIP_USER: return &q->user;
	case FLIP_IMPLICIT: return &q->implicit;
	case FLIP_STACK: return &q->stack;
	case FLIP_COMPATIBILITY: return &q->compatibility;
	case FLIP_MBEC: return &q->mbec;
	case FLIP_GMET: return &q->gmet;
	default: return NULL;
	}
}

bool flip_apply(struct case_question *q, const struct flip *f)
{
	uint64_t *value = register_of(q, f);
	bool *flag = flag_of(q, f);
	int at;

	if (value) {
		*value ^= f->bits;
		return true;
	}
	if (flag) {
		*flag = !*flag;
		return true;
	}
	switch (f->what) {
	case FLIP_WORD:
		at = case_find(&q->memory, f->address);
		if (at >= 0)
			q->memory.value[at] ^= f->bits;
		return at >= 0;
	case FLIP_FEATURE:
		q->features ^= (unsigned)f->bits;
		return true;
	case FLIP_EPT_FEATURE:
		q->ept_features ^= (unsigned)f->bits;
		return true;
	case FLIP_M:
		q->maxphyaddr ^= (unsigned)f->bits;
		return true;
	case FLIP_ACCESS:
		q->access = (enum case_access)((unsigned)q->access ^ (unsigned)f->bits);
		return q->access <= CASE_FETCH;
	case FLIP_PROFILE:
		q->profile = (enum case_profile)((unsigned)q->profile ^ (unsigned)f->bits);
		return true;
	default:
		return false;
	}
}

static unsigned add(struct flip *flips, unsigned n, enum flip_what what, unsigned index, uint64_t address,
		    uint64_t bits)
{
	for (uint64_t left = bits; left && n < FLIP_MAX; left &= left - 1)
		flips[n++] = (struct flip){ what, index, address, left & -left };
	return n;
}

unsigned flip_list(const struct case_question *q, struct flip flips[FLIP_MAX])
{
	static const struct flip pairs_of_bits = { .what = FLIP_EFER, .bits = BIT(8) | BIT(10) }; /* LME, LMA */
	const uint64_t cr4 = BIT(4) | BIT(5) | BIT(12) | BIT(20) | BIT(21) | BIT(22);
	unsigned n = 0;

	for (unsigned w = 0; w < q->memory.count; w++)
		n = add(flips, n, FLIP_WORD, 0, q->memory.address[w], ~(uint64_t)0);
	for (unsigned i = 0; q->has_pdpte && i < 4; i++)
		n = add(flips, n, FLIP_PDPTE, i, 0, ((BIT(q->maxphyaddr) - 1) & ~(uint64_t)0xfff) | 0xe19);
	n = add(flips, n, FLIP_CR0, 0, 0, BIT(31) | BIT(16));
	n = add(flips, n, FLIP_CR3, 0, 0, q->cr0 & BIT(31) ? ~(uint64_t)0 >> 12 : 0);
	n = add(flips, n, FLIP_CR4, 0, 0, cr4);
	n = add(flips, n, FLIP_EFER, 0, 0, BIT(11));
	flips[n++] = pairs_of_bits;
	n = add(flips, n, FLIP_RFLAGS, 0, 0, BIT(18));
	if (q->cr4 & BIT(22))
		n = add(flips, n, FLIP_PKRU, 0, 0, UINT32_MAX);
	n = add(flips, n, FLIP_VA, 0, 0, ~(uint64_t)0);
	n = add(flips, n, FLIP_FEATURE, 0, 0, CASE_PSE | CASE_PSE36 | CASE_PAE | CASE_NX | CASE_PAT | CASE_PAGE1GB);
	for (unsigned bit = 0; bit < 6; bit++)
		if ((q->maxphyaddr ^ 1u << bit) >= 32 && (q->maxphyaddr ^ 1u << bit) <= 52)
			n = add(flips, n, FLIP_M, 0, 0, BIT(bit));
	n = add(flips, n, FLIP_USER, 0, 0, 1);
	n = add(flips, n, FLIP_IMPLICIT, 0, 0, 1);
	if (q->access != CASE_FETCH)
		n = add(flips, n, FLIP_STACK, 0, 0, 1);
	if (q->efer & BIT(10))
		n = add(flips, n, FLIP_COMPATIBILITY, 0, 0, 1);
	for (unsigned other = 1; other < 4; other++) {
		unsigned access = (unsigned)q->access ^ other;

		if (access <= CASE_FETCH && !(q->stack && access == CASE_FETCH))
			flips[n++] = (struct flip){ .what = FLIP_ACCESS, .bits = other };
	}
	if (q->stage2 == CASE_ONE_DIMENSION)
		n = add(flips, n, FLIP_PROFILE, 0, 0, 1);
	if (q->stage2 == CASE_EPT) {
		n = add(flips, n, FLIP_EPTP, 0, 0, ~(uint64_t)0 >> 12);
		n = add(flips, n, FLIP_EPT_FEATURE, 0, 0,
			CASE_EPT_EXEC_ONLY | CASE_EPT_2M | CASE_EPT_1G | CASE_EPT_ADVANCED);
		n = add(flips, n, FLIP_MBEC, 0, 0, 1);
	}
	if (q->stage2 == CASE_NPT) {
		struct flip lma = pairs_of_bits;

		lma.what = FLIP_HEFER;
		flips[n++] = lma;
		n = add(flips, n, FLIP_NCR3, 0, 0, BIT(q->maxphyaddr) - 1);
		n = add(flips, n, FLIP_HCR4, 0, 0, cr4);
		n = add(flips, n, FLIP_HEFER, 0, 0, BIT(11));
		n = add(flips, n, FLIP_GMET, 0, 0, 1);
	}
	return n;
}

static const char *const access_names[] = { "read", "write", "fetch" };
static const char *const profile_names[] = { "intel", "amd", "kvm-intel", "kvm-amd" };

static const char *feature_name(bool ept, uint64_t bits)
{
	static const char *const cpu[] = {
		"pse", "pse36", "pae", "nx", "pat", "page1gb", "smep", "smap", "pku", "la57"
	};
	static const char *const second[] = { "exec_only", "ept_2m", "ept_1g", "ept_ad", "ept_5l", "ept_advanced" };
	unsigned n = (unsigned)__builtin_ctzll(bits);

	if (ept)
		return n < 6 ? second[n] : "?";
	return n < 10 ? cpu[n] : "?";
}

void flip_print(const struct case_question *made, const struct flip *f, char *text, size_t n)
{
	struct case_question *q = (struct case_question *)made; /* only read */
	const char *name = flip_what_names[f->what];
	const uint64_t *value = register_of(q, f);
	const bool *flag = flag_of(q, f);
	int at;

	switch (f->what) {
	case FLIP_WORD:
		at = case_find(&made->memory, f->address);
		snprintf(text, n, "word 0x%" PRIx64 " bit %d %s", f->address, __builtin_ctzll(f->bits),
			 at >= 0 && made->memory.value[at] & f->bits ? "set" : "clear");
		return;
	case FLIP_PDPTE:
		snprintf(text, n, "pdpte %u bit %d %s", f->index, __builtin_ctzll(f->bits),
			 *value & f->bits ? "set" : "clear");
		return;
	case FLIP_FEATURE:
		snprintf(text, n, "%s%s", made->features & f->bits ? "" : "no ", feature_name(false, f->bits));
		return;
	case FLIP_EPT_FEATURE:
		snprintf(text, n, "%s%s", made->ept_features & f->bits ? "" : "no ", feature_name(true, f->bits));
		return;
	case FLIP_M:
		snprintf(text, n, "maxphyaddr %u", made->maxphyaddr);
		return;
	case FLIP_ACCESS:
		snprintf(text, n, "a %s", access_names[made->access]);
		return;
	case FLIP_PROFILE:
		snprintf(text, n, "profile %s", profile_names[made->profile]);
		return;
	case FLIP_STACK:
		snprintf(text, n, "segment %s", made->stack ? "ss" : "ds");
		return;
	case FLIP_COMPATIBILITY:
		snprintf(text, n, "cs_l %s", made->compatibility ? "false" : "true");
		return;
	default:
		break;
	}
	if (flag)
		snprintf(text, n, "%s %s", name, *flag ? "true" : "false");
	else if (f->bits & (f->bits - 1))
		snprintf(text, n, "%s lme and lma %s", name, *value & f->bits ? "set" : "clear");
	else
		snprintf(text, n, "%s bit %d %s", name, __builtin_ctzll(f->bits), *value & f->bits ? "set" : "clear");
}

/* ---- What the library says about a case ------------------------------------------------------------------------ */

void see(const struct case_question *q, struct seen *s)
{
	memcpy(&s->q, q, offsetof(struct case_question, memory));
	s->run.walk.fault.rule = 0;
	s->run.walk.fault.second_stage = false;
	library_walk_run(q, &s->a, &s->run);
	for (unsigned w = 0; w < q->memory.count; w++)
		s->changed[w] = s->a.value[w] ^ q->memory.value[w];
}

bool seen_differ(const struct seen *a, const struct seen *b, unsigned words)
{
	const struct case_answer *x = &a->a, *y = &b->a;

	if (x->outcome != y->outcome || x->pa != y->pa || x->page_shift != y->page_shift || x->rights != y->rights ||
	    x->vector != y->vector || x->error_code != y->error_code || x->cr2 != y->cr2 ||
	    x->exit_qualification != y->exit_qualification || x->gpa != y->gpa)
		return true;
	return memcmp(a->changed, b->changed, words * sizeof(*a->changed)) != 0;
}

static const struct pagewalk_stage *guest(const struct seen *s)
{
	return &s->run.walk.guest;
}

static const struct pagewalk_stage *nested(const struct seen *s)
{
	return &s->run.walk.nested;
}

static const struct pagewalk_page_format *format(const struct seen *s)
{
	return &s->run.guest.walk.fmt;
}

static const struct pagewalk_page_format *second_format(const struct seen *s)
{
	return &s->run.second.walk.fmt;
}

/* The level of a stage's entry that lies where the flip is, or 0. size: of an entry. */
static unsigned level_in(const struct pagewalk_stage *stage, unsigned size, const struct flip *f)
{
	for (unsigned level = stage->level; stage->max_level && level <= stage->max_level; level++) {
		uint64_t pa = stage->entry[level - 1].pa;

		if ((pa & ~(uint64_t)7) != f->address)
			continue;
		if (size == 8 || (pa & 4) == (f->bits >> 32 ? 4u : 0u))
			return level;
	}
	return 0;
}

static unsigned entry_size(const struct pagewalk_page_format *f)
{
	return f->root_level == 2 ? 4 : 8;
}

unsigned flip_level(const struct seen *s, const struct flip *f)
{
	unsigned level;

	if (f->what != FLIP_WORD)
		return 0;
	level = level_in(guest(s), entry_size(format(s)), f);
	if (level || !s->q.stage2)
		return level;
	level = level_in(nested(s), entry_size(second_format(s)), f);
	return level ? level + 10 : 0;
}

unsigned flip_bit(const struct seen *s, const struct flip *f)
{
	unsigned bit = (unsigned)__builtin_ctzll(f->bits), level = flip_level(s, f);

	if (level && entry_size(level > 10 ? second_format(s) : format(s)) == 4)
		bit &= 31;
	return bit;
}

/* ---- What a pair shows ----------------------------------------------------------------------------------------- */

#define SHOWS(name) static bool name(const struct seen *a, const struct seen *b, const struct flip *f)
#define UNUSED(x) (void)(x)

static bool refused(const struct seen *s, uint16_t rule)
{
	return (s->run.status == PAGEWALK_FAULT || s->run.status == PAGEWALK_NESTED_FAULT) &&
	       s->run.walk.fault.rule == rule;
}

static bool page_fault(const struct seen *s)
{
	return s->a.outcome == CASE_PAGE_FAULT;
}

static bool translated(const struct seen *s)
{
	return s->a.outcome == CASE_TRANSLATED;
}

static bool kvm(const struct seen *s)
{
	return s->q.profile >= CASE_KVM_INTEL;
}

static bool wp(const struct seen *s)
{
	return s->q.cr0 & BIT(16);
}

/* A #PF for missing rights: the walk was complete. */
static bool denied(const struct seen *s)
{
	return page_fault(s) && (s->a.error_code & 9) == 1;
}

static bool complete(const struct seen *s)
{
	return guest(s)->max_level && (translated(s) || denied(s));
}

static uint64_t leaf(const struct seen *s)
{
	return guest(s)->entry[guest(s)->level - 1].pte;
}

static bool is_flip(const struct flip *f, enum flip_what what, unsigned bit)
{
	return f->what == what && f->bits == BIT(bit);
}

/* In entries of the guest's tables. */
static bool in_guest(const struct seen *s, const struct flip *f)
{
	unsigned level = flip_level(s, f);

	return level && level < 10;
}

static bool in_nested(const struct seen *s, const struct flip *f)
{
	return flip_level(s, f) > 10;
}

/* In the entry at which the walk of the stage ended. */
static bool in_last(const struct seen *s, const struct flip *f)
{
	unsigned level = flip_level(s, f);

	return level && (level > 10 ? level - 10 == nested(s)->level : level == guest(s)->level);
}

#define REFUSED(name, family, number) \
	SHOWS(name) \
	{ \
		UNUSED(f); \
		return refused(a, PAGEWALK_RULE(family, number)) && !refused(b, PAGEWALK_RULE(family, number)); \
	}

/* MODE */

SHOWS(paging_off)
{
	UNUSED(b);
	return is_flip(f, FLIP_CR0, 31) && !(a->q.cr0 & BIT(31));
}

SHOWS(mode_selected)
{
	unsigned x = format(a)->root_level, y = format(b)->root_level;

	return (f->what == FLIP_CR4 || f->what == FLIP_EFER) && x && y && x != y;
}

SHOWS(root)
{
	const struct pagewalk_page_format *x = format(a);

	UNUSED(b);
	return f->what == FLIP_CR3 && (f->bits & x->root_mask) && (a->q.cr3 & ~x->root_mask & ~x->root_rsvd);
}

SHOWS(pse_off)
{
	UNUSED(b);
	return is_flip(f, FLIP_CR4, 4) && !(a->q.cr4 & BIT(4)) && format(a)->root_level == 2 && guest(a)->level == 1 &&
	       (guest(a)->entry[1].pte & BIT(7));
}

REFUSED(mode_5, MODE, 5)

/* M' is 40 and bit 21 stays reserved. */
SHOWS(mode_5_m41)
{
	return mode_5(a, b, f) && a->q.maxphyaddr == 41 && a->q.features & CASE_PSE36 && a->q.profile == CASE_INTEL;
}

static bool page_4m(const struct seen *s)
{
	return complete(s) && format(s)->root_level == 2 && guest(s)->level == 2;
}

SHOWS(large_4m)
{
	return page_4m(a) && !page_4m(b) && (is_flip(f, FLIP_CR4, 4) || (in_last(a, f) && flip_bit(a, f) == 7));
}

SHOWS(pse36)
{
	return page_4m(a) && page_4m(b) && translated(a) && translated(b) && in_last(a, f) && flip_bit(a, f) >= 13 &&
	       flip_bit(a, f) < 22 && guest(a)->gpa >> 32;
}

REFUSED(mode_6, MODE, 6)

static bool pdpte_in_memory(const struct seen *s)
{
	return s->q.profile == CASE_AMD && s->q.stage2 == CASE_NPT && format(s)->pae;
}

SHOWS(pdpte_load)
{
	UNUSED(f);
	return a->a.outcome == CASE_PDPTE_FAULT && b->a.outcome != CASE_PDPTE_FAULT;
}

SHOWS(pdpte_absent)
{
	UNUSED(f);
	return !pdpte_in_memory(a) && page_fault(a) && refused(a, PAGEWALK_RULE(MODE, 7)) &&
	       !refused(b, PAGEWALK_RULE(MODE, 7));
}

SHOWS(pdpte_walked_rsvd)
{
	UNUSED(f);
	return pdpte_in_memory(a) && page_fault(a) && (a->a.error_code & 8) && refused(a, PAGEWALK_RULE(MODE, 7)) &&
	       !refused(b, PAGEWALK_RULE(MODE, 7));
}

SHOWS(pdpte_walked_absent)
{
	UNUSED(f);
	return pdpte_in_memory(a) && page_fault(a) && !(a->a.error_code & 1) && refused(a, PAGEWALK_RULE(MODE, 7)) &&
	       !refused(b, PAGEWALK_RULE(MODE, 7));
}

/* The reserved bits of the entry at which the walk of the stage that refused ended. */
static uint64_t reserved_bits(const struct seen *s)
{
	bool second = s->run.walk.fault.second_stage;
	const struct pagewalk_stage *stage = second ? nested(s) : guest(s);
	const struct pagewalk_page_format *x = second ? second_format(s) : format(s);
	uint64_t pte = stage->entry[stage->level - 1].pte;

	return pte & x->rsvd_bits_mask[pte >> 7 & 1][stage->level - 1];
}

/* A pair about these reserved bits of MODE-9 and MODE-10, of a page or of a table. */
static bool about(const struct seen *a, const struct seen *b, uint16_t rule, uint64_t bits)
{
	return refused(a, rule) && !refused(b, rule) && (reserved_bits(a) & bits) && !(reserved_bits(a) & ~bits);
}

static uint64_t over_m(const struct seen *s, unsigned last)
{
	return PAGEWALK_BITS((int)last, (int)s->q.maxphyaddr);
}

#define ABOUT(name, family, number, bits) \
	SHOWS(name) \
	{ \
		UNUSED(f); \
		return about(a, b, PAGEWALK_RULE(family, number), bits); \
	}

ABOUT(mode_9_over_m, MODE, 9, over_m(a, 51))
ABOUT(mode_9_high, MODE, 9, PAGEWALK_BITS(62, 52))
ABOUT(mode_9_xd, MODE, 9, BIT(63))
ABOUT(mode_9_large, MODE, 9, PAGEWALK_BITS(20, 13))

static bool large(const struct seen *s, unsigned root, unsigned level)
{
	return complete(s) && format(s)->root_level >= root && (root > 3 || format(s)->root_level == root) &&
	       guest(s)->level == level;
}

SHOWS(large_pae)
{
	return large(a, 3, 2) && !large(b, 3, 2) && in_last(a, f) && flip_bit(a, f) == 7;
}

ABOUT(mode_10_over_m, MODE, 10, over_m(a, 51))
ABOUT(mode_10_xd, MODE, 10, BIT(63))
ABOUT(mode_10_ps, MODE, 10, BIT(7))
ABOUT(mode_10_large, MODE, 10, PAGEWALK_BITS(29, 13))

SHOWS(large_2m)
{
	return large(a, 4, 2) && !large(b, 4, 2) && in_last(a, f) && flip_bit(a, f) == 7;
}

SHOWS(large_1g)
{
	return large(a, 4, 3) && !large(b, 4, 3) && (f->what == FLIP_FEATURE || (in_last(a, f) && flip_bit(a, f) == 7));
}

REFUSED(mode_11, MODE, 11)

SHOWS(m52)
{
	return a->q.maxphyaddr == 52 && f->what == FLIP_M && complete(a) && page_fault(b) && (b->a.error_code & 8);
}

SHOWS(absent_only)
{
	uint64_t pte;

	if (!refused(a, PAGEWALK_RULE(ERR, 1)) || !page_fault(a) || !page_fault(b) || !(b->a.error_code & 8) ||
	    !in_last(a, f) || flip_bit(a, f) != 0)
		return false;
	pte = leaf(a);
	return (pte & format(a)->rsvd_bits_mask[pte >> 7 & 1][guest(a)->level - 1]) != 0;
}

static uint64_t ignored_bits(const struct seen *s, unsigned level)
{
	uint64_t bits = 0x7ff0000000000e00;

	return format(s)->pkru_mask && level == guest(s)->level ? bits & ~(15ull << 59) : bits;
}

SHOWS(ignored)
{
	bool some = false;

	if (format(a)->root_level < 4 || !complete(a) || !refused(b, PAGEWALK_RULE(MODE, 10)) || !in_guest(a, f))
		return false;
	for (unsigned level = guest(a)->level; level <= guest(a)->max_level; level++)
		some = some || (guest(a)->entry[level - 1].pte & ignored_bits(a, level));
	return some;
}

SHOWS(key_of_leaf)
{
	return refused(a, PAGEWALK_RULE(PERM, 7)) && !refused(b, PAGEWALK_RULE(PERM, 7)) && in_last(a, f) &&
	       flip_bit(a, f) >= 59 && flip_bit(a, f) < 63;
}

SHOWS(key_of_table)
{
	if (!translated(a) || !refused(b, PAGEWALK_RULE(PERM, 7)) || !in_last(a, f) || flip_bit(a, f) < 59)
		return false;
	for (unsigned level = guest(a)->level + 1; level <= guest(a)->max_level; level++)
		if (a->q.pkru >> 2 * (guest(a)->entry[level - 1].pte >> 59 & 15) & 1)
			return true;
	return false;
}

REFUSED(non_canonical, MODE, 16)

SHOWS(canonical_first)
{
	return non_canonical(a, b, f) && page_fault(b);
}

SHOWS(non_canonical_stack)
{
	return a->a.outcome == CASE_NON_CANONICAL && a->a.vector == 12 && b->a.vector != 12 && (UNUSED(f), true);
}

SHOWS(cut_to_32)
{
	if (kvm(a) || !guest(a)->max_level || (a->q.efer & BIT(10) && !a->q.compatibility) || !(a->q.va >> 32))
		return false;
	return f->what == FLIP_COMPATIBILITY ||
	       (f->what == FLIP_VA && f->bits >> 12 && !(f->bits >> 32) && a->a.outcome != b->a.outcome);
}

/* PERM */

SHOWS(implicit)
{
	UNUSED(b);
	return f->what == FLIP_IMPLICIT && a->q.implicit;
}

SHOWS(user)
{
	UNUSED(b);
	return f->what == FLIP_USER && a->q.user;
}

static bool less_right(const struct seen *a, const struct seen *b, const struct flip *f)
{
	unsigned bit = flip_bit(a, f);
	uint64_t pte;

	if (!complete(a) || !complete(b) || !in_guest(a, f) || (bit != 1 && bit != 2 && bit != 63))
		return false;
	pte = guest(a)->entry[flip_level(a, f) - 1].pte;
	return bit == 63 ? pte >> 63 : !(pte >> bit & 1);
}

SHOWS(right_of_table)
{
	return less_right(a, b, f) && flip_level(a, f) > guest(a)->level;
}

SHOWS(right_of_leaf)
{
	return less_right(a, b, f) && flip_level(a, f) == guest(a)->level;
}

REFUSED(perm_3, PERM, 3)
REFUSED(perm_4, PERM, 4)
REFUSED(perm_5, PERM, 5)
REFUSED(perm_6, PERM, 6)
REFUSED(perm_7, PERM, 7)

/* SMAP denies it, and else nothing does; the other way round. */
static bool smap_denies(const struct seen *s)
{
	return (guest(s)->pte_access & PAGEWALK_ACC_USER) && s->q.cr4 & BIT(21) &&
	       (s->q.implicit || !(s->q.rflags & BIT(18)));
}

SHOWS(perm_4_smap)
{
	return perm_4(a, b, f) && smap_denies(a) && (guest(a)->pte_access & PAGEWALK_ACC_WRITE || !wp(a));
}

SHOWS(perm_4_wp)
{
	return perm_4(a, b, f) && !smap_denies(a);
}

SHOWS(perm_5_smep)
{
	return perm_5(a, b, f) && guest(a)->pte_access & PAGEWALK_ACC_EXEC;
}

SHOWS(perm_5_xd)
{
	return perm_5(a, b, f) && !(guest(a)->pte_access & PAGEWALK_ACC_EXEC);
}

SHOWS(perm_6_read)
{
	return perm_6(a, b, f) && a->q.access == CASE_READ;
}

SHOWS(perm_6_write)
{
	return perm_6(a, b, f) && a->q.access == CASE_WRITE;
}

SHOWS(perm_6_fetch)
{
	return perm_6(a, b, f) && a->q.access == CASE_FETCH;
}

static bool access_disabled(const struct seen *s)
{
	return s->q.pkru >> 2 * guest(s)->pte_pkey & 1;
}

SHOWS(perm_7_ad)
{
	return perm_7(a, b, f) && access_disabled(a);
}

SHOWS(perm_7_wd)
{
	return perm_7(a, b, f) && !access_disabled(a);
}

SHOWS(perm_7_fetch)
{
	return perm_7(a, b, f) && f->what == FLIP_ACCESS && b->q.access == CASE_FETCH;
}

static bool below(const struct seen *a, const struct seen *b)
{
	return page_fault(b) && (denied(b) || guest(b)->level < guest(a)->level);
}

SHOWS(absent_first)
{
	return refused(a, PAGEWALK_RULE(ERR, 1)) && page_fault(a) && in_last(a, f) && flip_bit(a, f) == 0 &&
	       (below(a, b) || (page_fault(b) && b->a.error_code & 8));
}

SHOWS(reserved_first)
{
	return page_fault(a) && (a->a.error_code & 8) && in_last(a, f) && below(a, b) && !(b->a.error_code & 8);
}

SHOWS(both_reasons)
{
	return refused(a, PAGEWALK_RULE(PERM, 7)) && denied(b) && !(b->a.error_code & 32) && f->what == FLIP_PKRU;
}

/* ERR */

SHOWS(code_p)
{
	return page_fault(a) && !(a->a.error_code & 1) && page_fault(b) && (b->a.error_code & 1) && in_last(a, f);
}

SHOWS(code_w)
{
	return page_fault(a) && page_fault(b) && (a->a.error_code & 2) && !(b->a.error_code & 2) &&
	       f->what == FLIP_ACCESS;
}

SHOWS(code_u)
{
	return page_fault(a) && page_fault(b) && (a->a.error_code & 4) && !(b->a.error_code & 4) &&
	       (f->what == FLIP_USER || f->what == FLIP_IMPLICIT);
}

SHOWS(code_rsvd)
{
	return page_fault(a) && page_fault(b) && (a->a.error_code & 8) && !(b->a.error_code & 8) && (UNUSED(f), true);
}

SHOWS(code_id)
{
	return page_fault(a) && page_fault(b) && (a->a.error_code & 16) && !(b->a.error_code & 16) && (UNUSED(f), true);
}

SHOWS(code_pk)
{
	return page_fault(a) && page_fault(b) && (a->a.error_code & 32) && !(b->a.error_code & 32) && (UNUSED(f), true);
}

SHOWS(cr2)
{
	return page_fault(a) && page_fault(b) && a->a.error_code == b->a.error_code && f->what == FLIP_VA &&
	       a->a.cr2 != b->a.cr2;
}

/* AD */

static bool flag_of_guest(const struct seen *a, const struct seen *b, const struct flip *f, unsigned bit)
{
	return translated(a) && translated(b) && in_guest(a, f) && flip_bit(a, f) == bit &&
	       !(guest(a)->entry[flip_level(a, f) - 1].pte >> bit & 1);
}

SHOWS(accessed_table)
{
	return flag_of_guest(a, b, f, 5) && !in_last(a, f);
}

SHOWS(accessed_leaf)
{
	return flag_of_guest(a, b, f, 5) && in_last(a, f);
}

SHOWS(dirty)
{
	return flag_of_guest(a, b, f, 6) && in_last(a, f) && a->q.access == CASE_WRITE;
}

SHOWS(dirty_by_write)
{
	return translated(a) && translated(b) && guest(a)->max_level && f->what == FLIP_ACCESS &&
	       a->q.access == CASE_WRITE && !(leaf(a) & 64);
}

SHOWS(no_dirty)
{
	return page_fault(a) && translated(b) && guest(b)->max_level && b->q.access == CASE_WRITE && !(leaf(b) & 64) &&
	       a->q.access == CASE_WRITE && (f->what == FLIP_WORD || f->what == FLIP_CR0 || f->what == FLIP_PKRU);
}

SHOWS(pdpte_no_accessed)
{
	uint64_t at = (a->q.cr3 & 0xffffffe0) + 8 * (a->q.va >> 30 & 3);

	return translated(a) && format(a)->pae && !a->q.has_pdpte && is_flip(f, FLIP_WORD, 5) &&
	       b->a.outcome == CASE_PDPTE_FAULT && (f->address == at || a->q.stage2);
}

static bool restarted(const struct seen *s)
{
	unsigned entries = guest(s)->max_level - guest(s)->level + 1u;

	if (format(s)->pae)
		entries = 4 + 3;
	return translated(s) && s->q.stage2 == CASE_ONE_DIMENSION && guest(s)->max_level && s->run.reads > entries;
}

SHOWS(lost)
{
	return restarted(a) && translated(b) && !restarted(b) && f->what == FLIP_WORD;
}

/* EPT */

static bool violation(const struct seen *s)
{
	return s->a.outcome == CASE_EPT_VIOLATION;
}

static bool ept(const struct seen *s)
{
	return s->q.stage2 == CASE_EPT;
}

static bool final(const struct seen *s)
{
	return s->run.walk.nested.access & PAGEWALK_PFERR_GUEST_FINAL;
}

/* Refused to have a guest entry's flag set, which it would have let be read. */
static bool refused_update(const struct seen *s)
{
	return ept(s) && refused(s, PAGEWALK_RULE(EPT, 6)) && !final(s) && !second_format(s)->have_ad && !kvm(s) &&
	       (nested(s)->access & PAGEWALK_PFERR_WRITE);
}

SHOWS(eptp_ad)
{
	return ept(a) && is_flip(f, FLIP_EPTP, 6) && a->q.eptp & 64 && translated(a) && translated(b);
}

SHOWS(eptp_root)
{
	UNUSED(b);
	return ept(a) && f->what == FLIP_EPTP && f->bits >> 12;
}

REFUSED(ept_2, EPT, 2)

SHOWS(ept_2_xu)
{
	UNUSED(f);
	return refused(b, PAGEWALK_RULE(EPT, 2)) && !refused(a, PAGEWALK_RULE(EPT, 2)) && a->q.mbec && ept(a) &&
	       nested(a)->max_level && (nested(a)->entry[nested(a)->level - 1].pte & 0x407) == 0x400;
}

REFUSED(ept_3, EPT, 3)

/* The letter of EPT-3 by which an entry is wrong; the first. */
static char letter(const struct seen *s)
{
	unsigned level = nested(s)->level;
	uint64_t pte = nested(s)->entry[level - 1].pte, m = s->q.maxphyaddr;
	const struct pagewalk_page_format *x = second_format(s);

	if ((pte & 3) == 2)
		return 'a';
	if (!(pte & 1) && (pte & (4 | x->xu_fold)) && x->bad_mt_xwr >> 4 & 1)
		return 'b';
	if (m < 52 && pte >> m & (BIT(52 - m) - 1))
		return 'c';
	if (level == 1 || (pte & x->ps_mask[level - 1]))
		return (pte & 56) == 16 || (pte & 56) == 24 || (pte & 56) == 56 ? 'f' : 'e';
	return 'd';
}

#define LETTER(name, which) \
	SHOWS(name) \
	{ \
		return ept_3(a, b, f) && letter(a) == which; \
	}

/* A bit that is reserved in an entry that can only be a table's. */
static bool ept_3_top(const struct seen *a, const struct seen *b, const struct flip *f, unsigned level)
{
	return ept_3(a, b, f) && nested(a)->level == level && letter(a) >= 'c' && in_nested(a, f);
}

SHOWS(ept_3_pml5e)
{
	return ept_3_top(a, b, f, 5);
}

SHOWS(ept_3_pml4e)
{
	return ept_3_top(a, b, f, 4);
}

LETTER(ept_3a, 'a')
LETTER(ept_3b, 'b')
LETTER(ept_3c, 'c')
LETTER(ept_3d, 'd')
LETTER(ept_3e, 'e')
LETTER(ept_3f, 'f')

static bool flag_of_nested(const struct seen *a, const struct seen *b, const struct flip *f, unsigned bit)
{
	return translated(a) && translated(b) && in_nested(a, f) && flip_bit(a, f) == bit &&
	       !(nested(a)->entry[flip_level(a, f) - 11].pte >> bit & 1);
}

SHOWS(ept_accessed)
{
	return ept(a) && flag_of_nested(a, b, f, 8);
}

SHOWS(ept_dirty)
{
	return ept(a) && flag_of_nested(a, b, f, 9) && in_last(a, f) && a->q.access == CASE_WRITE;
}

SHOWS(ept_xu)
{
	return ept(a) && a->q.mbec && b->q.mbec && in_nested(a, f) && flip_bit(a, f) == 10 &&
	       nested(a)->entry[flip_level(a, f) - 11].pte & BIT(10);
}

SHOWS(ept_bit_7)
{
	return ept(a) && translated(a) && nested(a)->level == 1 && nested(a)->entry[0].pte & 128 && in_last(a, f) &&
	       in_nested(a, f) && !translated(b);
}

static bool nested_below(const struct seen *a, const struct seen *b)
{
	return b->run.status == PAGEWALK_NESTED_FAULT && a->run.walk.fault.gpa == b->run.walk.fault.gpa &&
	       (nested(b)->level < nested(a)->level || (denied(b) || refused(b, PAGEWALK_RULE(EPT, 6))));
}

SHOWS(ept_absent_first)
{
	return refused(a, PAGEWALK_RULE(EPT, 2)) && in_nested(a, f) && in_last(a, f) &&
	       b->run.status == PAGEWALK_NESTED_FAULT && !refused(b, PAGEWALK_RULE(EPT, 2));
}

SHOWS(ept_misconfig_first)
{
	return refused(a, PAGEWALK_RULE(EPT, 3)) && in_nested(a, f) && in_last(a, f) && nested_below(a, b) &&
	       !refused(b, PAGEWALK_RULE(EPT, 3));
}

static bool ept_6(const struct seen *a, const struct seen *b)
{
	return refused(a, PAGEWALK_RULE(EPT, 6)) && !refused(b, PAGEWALK_RULE(EPT, 6)) && final(a);
}

SHOWS(ept_6_read)
{
	UNUSED(f);
	return ept_6(a, b) && a->q.access == CASE_READ;
}

SHOWS(ept_6_write)
{
	UNUSED(f);
	return ept_6(a, b) && a->q.access == CASE_WRITE;
}

SHOWS(ept_6_fetch)
{
	UNUSED(f);
	return ept_6(a, b) && a->q.access == CASE_FETCH && !a->q.mbec;
}

SHOWS(ept_6_user_fetch)
{
	UNUSED(f);
	return ept_6(a, b) && a->q.access == CASE_FETCH && a->q.mbec && nested(a)->access & PAGEWALK_PFERR_USER;
}

SHOWS(ept_6_supervisor_fetch)
{
	UNUSED(f);
	return ept_6(a, b) && a->q.access == CASE_FETCH && a->q.mbec && !(nested(a)->access & PAGEWALK_PFERR_USER);
}

SHOWS(ept_table_write)
{
	return ept(a) && is_flip(f, FLIP_EPTP, 6) && a->q.eptp & 64 && violation(a) && !final(a) &&
	       (!violation(b) || b->a.exit_qualification != a->a.exit_qualification || a->a.gpa != b->a.gpa);
}

static bool dirties(const struct seen *a, const struct seen *b, const struct flip *f, unsigned bit)
{
	return translated(a) && translated(b) && f->what == FLIP_WORD && !in_guest(a, f) &&
	       (unsigned)__builtin_ctzll(f->bits) % 32 == bit && a->q.access != CASE_WRITE && b->q.access != CASE_WRITE;
}

SHOWS(ept_table_dirty)
{
	return ept(a) && a->q.eptp & 64 && dirties(a, b, f, 9) && !in_nested(a, f);
}

SHOWS(ept_pdpte_load)
{
	UNUSED(f);
	return ept(a) && violation(a) && !kvm(a) && !(a->a.exit_qualification & 128) && a->q.eptp & 64 &&
	       !(violation(b) && !(b->a.exit_qualification & 128));
}

static bool qualification(const struct seen *a, const struct seen *b, uint64_t bits)
{
	return violation(a) && violation(b) && (a->a.exit_qualification & ~b->a.exit_qualification & bits) &&
	       !((a->a.exit_qualification ^ b->a.exit_qualification) & ~bits & 0x1ff);
}

SHOWS(q_access)
{
	UNUSED(f);
	return qualification(a, b, 7);
}

SHOWS(q_rights)
{
	UNUSED(f);
	return qualification(a, b, 0x38);
}

SHOWS(q_xu)
{
	UNUSED(f);
	return qualification(a, b, 0x40);
}

SHOWS(q_linear)
{
	UNUSED(f);
	return violation(a) && violation(b) && (a->a.exit_qualification & ~b->a.exit_qualification & 128);
}

SHOWS(q_final)
{
	UNUSED(f);
	return violation(a) && violation(b) && (a->a.exit_qualification & ~b->a.exit_qualification & 256);
}

SHOWS(q_advanced)
{
	return qualification(a, b, 0xe00) && f->what != FLIP_EPT_FEATURE; /* without the feature they are undefined */
}

SHOWS(ept_before_entry)
{
	UNUSED(f);
	return ept(a) && violation(a) && !final(a) && page_fault(b);
}

SHOWS(rights_before_ept)
{
	UNUSED(f);
	return ept(a) && denied(a) && violation(b) && final(b);
}

REFUSED(ept_13, EPT, 13)

SHOWS(ept_16)
{
	UNUSED(f);
	return refused_update(a) && !refused_update(b);
}

/* NPT */

static bool npt(const struct seen *s)
{
	return s->q.stage2 == CASE_NPT;
}

static bool npf(const struct seen *s)
{
	return s->a.outcome == CASE_NPF;
}

SHOWS(npt_format)
{
	UNUSED(b);
	return npt(a) && (f->what == FLIP_HCR4 || f->what == FLIP_HEFER) &&
	       second_format(a)->root_level >= second_format(b)->root_level;
}

SHOWS(npt_root)
{
	UNUSED(b);
	return npt(a) && f->what == FLIP_NCR3;
}

/* MODE-3 says bits 31:5, and KVM takes them all. */
SHOWS(npt_root_pae)
{
	UNUSED(b);
	return npt(a) && f->what == FLIP_NCR3 && second_format(a)->root_level == 3 &&
	       (f->bits >> 32 || a->q.ncr3 >> 32);
}

SHOWS(npt_reserved_pml5e)
{
	UNUSED(f);
	return npf(a) && (refused(a, PAGEWALK_RULE(MODE, 10)) || refused(a, PAGEWALK_RULE(MODE, 11))) &&
	       nested(a)->level == 5 && !(npf(b) && b->a.error_code & 8);
}

SHOWS(npt_table_write)
{
	UNUSED(f);
	return npt(a) && refused(a, PAGEWALK_RULE(NPT, 4)) && !final(a) &&
	       !(refused(b, PAGEWALK_RULE(NPT, 4)) && !final(b));
}

SHOWS(npt_table_dirty)
{
	return npt(a) && dirties(a, b, f, 6) && !in_nested(a, f);
}

SHOWS(npt_accessed)
{
	return npt(a) && flag_of_nested(a, b, f, 5);
}

SHOWS(npt_dirty)
{
	return npt(a) && flag_of_nested(a, b, f, 6) && in_last(a, f) && a->q.access == CASE_WRITE;
}

static bool npt_4(const struct seen *a, const struct seen *b)
{
	return refused(a, PAGEWALK_RULE(NPT, 4)) && final(a) && !refused(b, PAGEWALK_RULE(NPT, 4));
}

SHOWS(npt_4_write)
{
	UNUSED(f);
	return npt_4(a, b) && a->q.access == CASE_WRITE && (nested(a)->pte_access & PAGEWALK_ACC_USER || a->q.gmet);
}

SHOWS(npt_4_fetch)
{
	UNUSED(f);
	return npt_4(a, b) && a->q.access == CASE_FETCH && nested(a)->pte_access & PAGEWALK_ACC_USER;
}

SHOWS(npt_4_user)
{
	UNUSED(f);
	return npt_4(a, b) && !(nested(a)->pte_access & PAGEWALK_ACC_USER) && !a->q.gmet;
}

static bool info(const struct seen *a, const struct seen *b, uint64_t bits)
{
	return npf(a) && npf(b) && (a->a.error_code & ~b->a.error_code & bits);
}

SHOWS(i_p)
{
	UNUSED(f);
	return info(a, b, 1);
}

SHOWS(i_rw)
{
	UNUSED(f);
	return info(a, b, 2) && f->what == FLIP_ACCESS;
}

SHOWS(i_us)
{
	UNUSED(f);
	return info(a, b, 4);
}

SHOWS(i_rsv)
{
	UNUSED(f);
	return info(a, b, 8);
}

SHOWS(i_id)
{
	UNUSED(f);
	return info(a, b, 16);
}

SHOWS(i_final)
{
	UNUSED(f);
	return info(a, b, BIT(32));
}

SHOWS(npt_before_entry)
{
	UNUSED(f);
	return npt(a) && npf(a) && !final(a) && page_fault(b);
}

SHOWS(rights_before_npt)
{
	UNUSED(f);
	return npt(a) && denied(a) && npf(b) && final(b);
}

static bool npt_7(const struct seen *a, const struct seen *b)
{
	return refused(a, PAGEWALK_RULE(NPT, 7)) && !refused(b, PAGEWALK_RULE(NPT, 7));
}

SHOWS(gmet_supervisor)
{
	UNUSED(f);
	return npt_7(a, b) && nested(a)->pte_access & PAGEWALK_ACC_EXEC;
}

SHOWS(gmet_nx)
{
	UNUSED(f);
	return npt_7(a, b) && !(nested(a)->pte_access & PAGEWALK_ACC_EXEC);
}

SHOWS(gmet_data)
{
	return npt(a) && f->what == FLIP_GMET && a->q.gmet && translated(a) && refused(b, PAGEWALK_RULE(NPT, 4));
}

const struct row rows[] = {
	{ "MODE-1", "paging off", paging_off },
	{ "MODE-2", "the mode that the registers select", mode_selected },
	{ "MODE-3", "the root is the address in CR3, not its other bits", root },
	{ "MODE-4", "bit 7 of a PDE ignored without PSE", pse_off },
	{ "MODE-5", "reserved bit of a 4 MiB page", mode_5 },
	{ "MODE-5", "reserved bit of a 4 MiB page, M = 41", mode_5_m41 },
	{ "MODE-5", "4 MiB page", large_4m },
	{ "MODE-5", "4 MiB page over 4 GiB", pse36 },
	{ "MODE-6", "PAT bit reserved without PAT", mode_6 },
	{ "MODE-7", "reserved bit in a PDPTE that is loaded", pdpte_load },
	{ "MODE-7", "PDPTE register not present", pdpte_absent },
	{ "MODE-8", "reserved bit in a PDPTE that is walked", pdpte_walked_rsvd },
	{ "MODE-8", "PDPTE in memory not present", pdpte_walked_absent },
	{ "MODE-9", "address bit over M", mode_9_over_m },
	{ "MODE-9", "bit of 62:52", mode_9_high },
	{ "MODE-9", "XD without NXE", mode_9_xd },
	{ "MODE-9", "reserved bit of a 2 MiB page", mode_9_large },
	{ "MODE-9", "2 MiB page", large_pae },
	{ "MODE-10", "address bit over M", mode_10_over_m },
	{ "MODE-10", "XD without NXE", mode_10_xd },
	{ "MODE-10", "PS where no page can be", mode_10_ps },
	{ "MODE-10", "reserved bit of a large page", mode_10_large },
	{ "MODE-10", "2 MiB page", large_2m },
	{ "MODE-10", "1 GiB page", large_1g },
	{ "MODE-11", "bit 8 reserved on AMD", mode_11 },
	{ "MODE-12", "no high bit reserved with M = 52", m52 },
	{ "MODE-12", "reserved bits in an entry that is not present", absent_only },
	{ "MODE-13", "ignored bits set", ignored },
	{ "MODE-13", "the leaf's key", key_of_leaf },
	{ "MODE-13", "a table's entry has no key", key_of_table },
	{ "MODE-15", "canonical check before the walk", canonical_first },
	{ "MODE-16", "not canonical", non_canonical },
	{ "MODE-16", "not canonical, stack segment", non_canonical_stack },
	{ "MODE-16", "address of 32 bits", cut_to_32 },
	{ "PERM-1", "implicit access", implicit },
	{ "PERM-1", "user access", user },
	{ "PERM-2", "right missing in a table's entry", right_of_table },
	{ "PERM-2", "right missing in the leaf", right_of_leaf },
	{ "PERM-3", "SMAP denies a supervisor read", perm_3 },
	{ "PERM-4", "SMAP denies a supervisor write", perm_4_smap },
	{ "PERM-4", "WP denies a supervisor write", perm_4_wp },
	{ "PERM-5", "SMEP denies a supervisor fetch", perm_5_smep },
	{ "PERM-5", "XD denies a supervisor fetch", perm_5_xd },
	{ "PERM-6", "user read denied", perm_6_read },
	{ "PERM-6", "user write denied", perm_6_write },
	{ "PERM-6", "user fetch denied", perm_6_fetch },
	{ "PERM-7", "key denies access", perm_7_ad },
	{ "PERM-7", "key denies a write", perm_7_wd },
	{ "PERM-7", "keys do not concern fetches", perm_7_fetch },
	{ "PERM-10", "not present before all else", absent_first },
	{ "PERM-10", "reserved bit before what is below", reserved_first },
	{ "PERM-11", "a key and a right deny", both_reasons },
	{ "ERR-1", "P = 0", code_p },
	{ "ERR-2", "W/R", code_w },
	{ "ERR-3", "U/S", code_u },
	{ "ERR-4", "RSVD", code_rsvd },
	{ "ERR-5", "I/D", code_id },
	{ "ERR-6", "PK", code_pk },
	{ "ERR-10", "CR2", cr2 },
	{ "AD-1", "A set in a table's entry", accessed_table },
	{ "AD-1", "A set in the leaf", accessed_leaf },
	{ "AD-1", "D set", dirty },
	{ "AD-1", "D set by a write only", dirty_by_write },
	{ "AD-2", "no D from a walk that faults", no_dirty },
	{ "AD-3", "no A in a PDPTE", pdpte_no_accessed },
	{ "AD-5", "the table maps itself: the second update finds A set", lost },
	{ "EPT-1", "A/D flags on", eptp_ad },
	{ "EPT-1", "the root", eptp_root },
	{ "EPT-2", "not present", ept_2 },
	{ "EPT-2", "present by XU alone", ept_2_xu },
	{ "EPT-3", "(a) W without R", ept_3a },
	{ "EPT-3", "(b) X without R", ept_3b },
	{ "EPT-3", "(c) address bit over M", ept_3c },
	{ "EPT-3", "(d) reserved bit of a table's entry", ept_3d },
	{ "EPT-3", "(c), (d) reserved bit of a PML5E", ept_3_pml5e },
	{ "EPT-3", "(c), (d) reserved bit of a PML4E", ept_3_pml4e },
	{ "EPT-3", "(e) reserved bit of a large page", ept_3e },
	{ "EPT-3", "(f) memory type", ept_3f },
	{ "EPT-4", "A set", ept_accessed },
	{ "EPT-4", "D set", ept_dirty },
	{ "EPT-4", "XU", ept_xu },
	{ "EPT-4", "bit 7 of a 4 KiB entry ignored", ept_bit_7 },
	{ "EPT-5", "not present before all else", ept_absent_first },
	{ "EPT-5", "misconfiguration before what is below", ept_misconfig_first },
	{ "EPT-6", "read denied", ept_6_read },
	{ "EPT-6", "write denied", ept_6_write },
	{ "EPT-6", "fetch denied", ept_6_fetch },
	{ "EPT-6", "fetch from a user-mode address denied", ept_6_user_fetch },
	{ "EPT-6", "fetch from a supervisor-mode address denied", ept_6_supervisor_fetch },
	{ "EPT-7", "guest tables are written with A/D on", ept_table_write },
	{ "EPT-7", "a table's page becomes dirty", ept_table_dirty },
	{ "EPT-7", "a PDPTE load is a read", ept_pdpte_load },
	{ "EPT-8", "the access", q_access },
	{ "EPT-8", "the rights", q_rights },
	{ "EPT-8", "XU", q_xu },
	{ "EPT-8", "linear address valid", q_linear },
	{ "EPT-8", "final access", q_final },
	{ "EPT-8", "the guest page's rights", q_advanced },
	{ "EPT-12", "EPT of an entry before the entry", ept_before_entry },
	{ "EPT-12", "guest's rights before EPT of the page", rights_before_ept },
	{ "EPT-13", "address too wide", ept_13 },
	{ "EPT-16", "A/D update refused", ept_16 },
	{ "NPT-1", "the host's mode", npt_format },
	{ "NPT-1", "the root", npt_root },
	{ "NPT-1", "the root of a PAE table", npt_root_pae },
	{ "NPT-1", "reserved bit of a PML5E", npt_reserved_pml5e },
	{ "NPT-2", "a guest table needs a user's right to write", npt_table_write },
	{ "NPT-2", "a table's page becomes dirty", npt_table_dirty },
	{ "NPT-2", "A set", npt_accessed },
	{ "NPT-2", "D set", npt_dirty },
	{ "NPT-4", "write denied", npt_4_write },
	{ "NPT-4", "fetch denied", npt_4_fetch },
	{ "NPT-4", "supervisor page denied", npt_4_user },
	{ "NPT-5", "P", i_p },
	{ "NPT-5", "RW", i_rw },
	{ "NPT-5", "US", i_us },
	{ "NPT-5", "RSV", i_rsv },
	{ "NPT-5", "ID", i_id },
	{ "NPT-5", "final address", i_final },
	{ "NPT-6", "nested walk of an entry before the entry", npt_before_entry },
	{ "NPT-6", "guest's rights before the nested walk of the page", rights_before_npt },
	{ "NPT-7", "GMET denies a supervisor fetch", gmet_supervisor },
	{ "NPT-7", "NX denies a fetch under GMET", gmet_nx },
	{ "NPT-7", "GMET: U/S does not concern data", gmet_data },
};
const unsigned rows_count = sizeof(rows) / sizeof(*rows);
