/* SPDX-License-Identifier: MIT */
#include "generate.h"

#define BIT(n) ((uint64_t)1 << (n))
#define MEMORY_FRAMES (GENERATE_MEMORY / 4096)

enum format { FORMAT_32, FORMAT_PAE, FORMAT_LONG, FORMAT_EPT };

/* Where a table hierarchy is built: one stage of a case. */
struct stage {
	enum format format;
	int levels;
	uint64_t root;      /* the address in CR3, EPTP or nCR3, for this stage */
	bool pse, nxe;      /* as the registers have it */
	struct stage *next; /* the second stage, whose memory it lies in */
};

void dice_seed(struct dice *d, uint64_t seed)
{
	d->state = seed * 0x9e3779b97f4a7c15u + 0x2545f4914f6cdd1du;
	if (!d->state)
		d->state = 1;
	d->bytes = NULL;
	d->left = 0;
}

void dice_from_bytes(struct dice *d, const uint8_t *bytes, size_t n)
{
	d->state = 1;
	d->bytes = bytes;
	d->left = n;
}

static uint64_t take(struct dice *d, unsigned size)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < size && d->left; i++, d->left--)
		value |= (uint64_t)*d->bytes++ << 8 * i;
	return value;
}

uint64_t dice_bits(struct dice *d) /* xorshift64* */
{
	if (d->bytes)
		return take(d, 8);
	d->state ^= d->state >> 12;
	d->state ^= d->state << 25;
	d->state ^= d->state >> 27;
	return d->state * 0x2545f4914f6cdd1du;
}

unsigned dice_below(struct dice *d, unsigned n)
{
	if (d->bytes)
		return (unsigned)(take(d, 2) * n >> 16);
	return (unsigned)((dice_bits(d) >> 32) * n >> 32);
}

bool dice_one_in(struct dice *d, unsigned n)
{
	return dice_below(d, n) == n - 1; /* so that zeros are the ordinary case */
}

/* Each of the bits is there with n - 1 chances of n. */
static uint64_t mostly(struct dice *d, uint64_t bits, unsigned n)
{
	for (uint64_t left = bits; left; left &= left - 1)
		if (dice_one_in(d, n))
			bits &= ~(left & -left);
	return bits;
}

/* Each of the bits is there or not. */
static uint64_t any_of(struct dice *d, uint64_t bits)
{
	return dice_bits(d) & bits;
}

static uint64_t low_bits(int n)
{
	return n >= 64 ? ~(uint64_t)0 : BIT(n) - 1;
}

/* ---- Registers ------------------------------------------------------------------------------------------------ */

/* One of the choices in a set of bits. */
static unsigned one_of(struct dice *d, unsigned set)
{
	unsigned n = dice_below(d, (unsigned)__builtin_popcount(set));

	while (n--)
		set &= set - 1;
	return (unsigned)__builtin_ctz(set);
}

static void generate_cpu(struct dice *d, const struct generate_limits *limits, struct case_question *q)
{
	static const unsigned char widths[] = { 32, 36, 39, 40, 46, 48, 52 };

	q->profile = (enum case_profile)one_of(d, limits->profiles ? limits->profiles : 15);
	q->maxphyaddr = dice_one_in(d, 8) ? 32 + dice_below(d, 21) : widths[dice_below(d, sizeof(widths))];
	if (limits->maxphyaddr)
		q->maxphyaddr = limits->maxphyaddr;
	q->features = (unsigned)mostly(d, CASE_PSE | CASE_PSE36 | CASE_PAE | CASE_NX | CASE_PAT | CASE_PAGE1GB | CASE_SMEP |
				       CASE_SMAP | CASE_PKU | CASE_LA57, 24);
	q->features = (q->features | limits->have) & ~limits->lack;
	q->ept_features = (unsigned)any_of(d, CASE_EPT_EXEC_ONLY | CASE_EPT_2M | CASE_EPT_1G | CASE_EPT_ADVANCED);
	q->knobs = dice_one_in(d, 2) ? (unsigned)any_of(d, 15) : 0;
}

/* CR0, CR4 and EFER of paging with this many levels (0: off), as far as the CPU has the features; else fewer levels. */
static int generate_paging(struct dice *d, unsigned features, int levels, uint64_t *cr0, uint64_t *cr4, uint64_t *efer)
{
	uint64_t may = (features & CASE_PSE ? BIT(4) : 0) | (features & CASE_LA57 ? BIT(12) : 0) |
		       (features & CASE_SMEP ? BIT(20) : 0) | (features & CASE_SMAP ? BIT(21) : 0) |
		       (features & CASE_PKU ? BIT(22) : 0);

	if (levels == 5 && !(features & CASE_LA57))
		levels = 4;
	if (levels > 2 && !(features & CASE_PAE))
		levels = 2;
	*cr0 = 1 | (levels ? BIT(31) : 0) | any_of(d, BIT(16));
	*cr4 = (levels > 2 ? BIT(5) : 0) | any_of(d, may);
	if (levels == 4)
		*cr4 &= ~BIT(12);
	if (levels == 5)
		*cr4 |= BIT(12);
	*efer = levels > 3 ? BIT(8) | BIT(10) : 0;
	if ((features & CASE_NX) && !dice_one_in(d, 4))
		*efer |= BIT(11);
	return levels;
}

static void set_format(struct stage *s, int levels, uint64_t cr4, uint64_t efer)
{
	s->levels = levels;
	s->format = levels == 2 ? FORMAT_32 : levels == 3 ? FORMAT_PAE : FORMAT_LONG;
	s->pse = cr4 & BIT(4);
	s->nxe = efer & BIT(11);
}

/* ---- Tables ----------------------------------------------------------------------------------------------------- */

static int shift_of(enum format format, int level)
{
	return format == FORMAT_32 ? 12 + 10 * (level - 1) : 12 + 9 * (level - 1);
}

/*
 * An address for a table or page of this stage: the frame is in its low bits, so that large second-stage pages at 0
 * reach it.
 */
static uint64_t place(struct dice *d, const struct case_question *q, const struct stage *s, unsigned frame)
{
	uint64_t address = (uint64_t)frame << 12;
	int width = s->format == FORMAT_32 ? 32 : (int)q->maxphyaddr;

	if (s->next && width > 30 && dice_one_in(d, 3))
		address |= any_of(d, low_bits(width) & ~low_bits(30));
	if (dice_one_in(d, 64))
		address |= BIT(20 + dice_below(d, (unsigned)width - 20)); /* most likely out of memory */
	return address;
}

static bool may_be_large(const struct case_question *q, const struct stage *s, int level)
{
	if (s->format == FORMAT_32)
		return level == 2 && s->pse;
	return level == 2 ||
	       (level == 3 && s->format != FORMAT_PAE && ((q->features & CASE_PAGE1GB) || s->format == FORMAT_EPT));
}

/* A page's address and what is ignored or meaningful only in a leaf. */
static uint64_t generate_leaf(struct dice *d, const struct case_question *q, const struct stage *s, int level,
			      unsigned frame)
{
	static const unsigned char types[] = { 6, 0, 1, 4, 5 };
	int shift = shift_of(s->format, level);
	uint64_t entry;

	if (!s->next && frame) /* the second stage's image of a guest's table: the page's place in memory */
		entry = (uint64_t)frame << 12;
	else if (dice_one_in(d, 2))
		entry = any_of(d, low_bits((int)q->maxphyaddr));
	else
		entry = place(d, q, s, 1 + dice_below(d, MEMORY_FRAMES - 1));
	entry &= ~low_bits(shift);
	if (s->format == FORMAT_32)
		entry &= low_bits(32);
	if (level > 1)
		entry |= BIT(7);
	if (s->format == FORMAT_EPT) {
		entry |= (uint64_t)(dice_one_in(d, 32) ? dice_below(d, 8) : types[dice_below(d, 5)]) << 3;
		return entry | any_of(d, BIT(6) | BIT(8) | BIT(9));
	}
	if (s->format == FORMAT_32 && level == 2 && dice_one_in(d, 2)) /* PSE-36 */
		entry |= any_of(d, dice_one_in(d, 4) ? 0x3fe000u : 0x1e000u);
	if (dice_one_in(d, 8))
		entry |= level > 1 ? BIT(12) : BIT(7); /* PAT */
	if (s->format == FORMAT_LONG && dice_one_in(d, 2)) /* the key */
		entry |= any_of(d, 0xfull << 59);
	return entry | any_of(d, BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8));
}

static uint64_t generate_entry(struct dice *d, const struct case_question *q, const struct stage *s, int level, bool leaf,
			       unsigned frame)
{
	bool pdpte = s->format == FORMAT_PAE && level == 3;
	unsigned width = s->format == FORMAT_32 ? 32 : 64;
	uint64_t entry = leaf ? generate_leaf(d, q, s, level, frame) : place(d, q, s, frame);

	if (s->format == FORMAT_EPT) {
		entry |= mostly(d, 7, 24);
		entry |= any_of(d, BIT(8) | BIT(10));
	} else if (pdpte) {
		entry |= mostly(d, 1, 32);
		entry |= any_of(d, BIT(3) | BIT(4) | BIT(9));
	} else {
		entry |= mostly(d, 1, 48);
		entry |= mostly(d, 6, 12);
		entry |= any_of(d, BIT(5) | BIT(9));
		if (s->nxe && s->format != FORMAT_32 && dice_one_in(d, 12))
			entry |= BIT(63);
	}
	if (s->format != FORMAT_PAE && dice_one_in(d, 8)) /* bits that are ignored, most of them */
		entry |= any_of(d, s->format == FORMAT_32 ? 0xe00u : 0x7ff0000000000e00u);
	if (dice_one_in(d, 24)) /* one that may not be */
		entry ^= BIT(dice_below(d, width));
	return s->format == FORMAT_32 ? (uint32_t)entry : entry;
}

/* Memory's word (or its half) at an address of this stage. */
static bool load_entry(const struct case_question *q, uint64_t pa, unsigned size, uint64_t *entry)
{
	return case_load(&q->memory, q->memory.value, pa, size, entry);
}

static void store_entry(struct case_question *q, uint64_t pa, unsigned size, uint64_t entry)
{
	uint64_t word = pa & ~(uint64_t)7;

	if (case_find(&q->memory, word) < 0 && !case_set(&q->memory, word, 0))
		return; /* no such memory: nothing there to write */
	case_store(&q->memory, q->memory.value, pa, size, entry);
}

/*
 * Makes the entries that lead from the root to a page for addr; those that are there already are followed. keep: the
 * page is where a guest's table lies, so the second stage should lead to that frame. Returns the address of the page.
 */
static uint64_t build(struct dice *d, struct case_question *q, struct stage *s, uint64_t addr, unsigned *frames, bool keep)
{
	unsigned size = s->format == FORMAT_32 ? 4 : 8;
	uint64_t table = s->root;

	for (int level = s->levels;; level--) {
		int shift = shift_of(s->format, level);
		unsigned last = s->format == FORMAT_32 ? 1023 : s->format == FORMAT_PAE && level == 3 ? 3 : 511;
		uint64_t at = table + ((unsigned)(addr >> shift) & last) * size, entry = 0;
		bool leaf = level == 1;

		if (!leaf && may_be_large(q, s, level))
			leaf = dice_one_in(d, s->format == FORMAT_32 ? 2 : 5);
		if (s->next) {
			build(d, q, s->next, at, frames, true);
			at &= GENERATE_MEMORY - 1;
		}
		if (!load_entry(q, at, size, &entry) || !entry) {
			unsigned frame = keep ? (unsigned)(addr >> 12) & (MEMORY_FRAMES - 1) : 0;

			if (!leaf)
				frame = (*frames)++ % MEMORY_FRAMES;
			entry = generate_entry(d, q, s, level, leaf, frame);
			store_entry(q, at, size, entry);
		} else {
			leaf = level == 1 || (may_be_large(q, s, level) && (entry & BIT(7)));
		}
		if (leaf)
			return (entry & low_bits(52) & ~low_bits(shift)) | (addr & low_bits(shift));
		table = entry & low_bits(52) & ~low_bits(12);
	}
}

/* ---- The case ----------------------------------------------------------------------------------------------------- */

static void generate_second(struct dice *d, struct case_question *q, struct stage *s, unsigned *frames)
{
	bool five = dice_one_in(d, 3);
	int levels = five ? 5 : 4;

	s->root = (uint64_t)(*frames)++ << 12;
	if (q->stage2 == CASE_EPT) {
		q->mbec = dice_one_in(d, 2);
		q->ept_features |= CASE_EPT_AD | CASE_EPT_5L;
		q->eptp = s->root | (five ? 4u << 3 : 3u << 3) | any_of(d, BIT(6));
		q->eptp |= dice_one_in(d, 4) ? 0 : 6;
		s->format = FORMAT_EPT;
		s->levels = levels;
		return;
	}
	q->gmet = dice_one_in(d, 2);
	if (dice_one_in(d, 4))
		levels = 2 + (int)dice_below(d, 2);
	levels = generate_paging(d, q->features, levels, &q->hcr0, &q->hcr4, &q->hefer);
	set_format(s, levels, q->hcr4, q->hefer);
	q->ncr3 = s->root | (dice_one_in(d, 8) ? any_of(d, 0x18) : 0);
}

static void generate_access(struct dice *d, struct case_question *q, int levels)
{
	bool kvm = q->profile >= CASE_KVM_INTEL;
	int width = levels == 5 ? 57 : levels == 4 ? 48 : 32;

	q->access = (enum case_access)dice_below(d, 3);
	q->user = dice_one_in(d, 2);
	q->implicit = !q->user && dice_one_in(d, 4);
	q->stack = q->access != CASE_FETCH && dice_one_in(d, 8);
	q->rflags = 2 | any_of(d, BIT(18));
	q->pkru = dice_one_in(d, 2) ? 0 : (uint32_t)dice_bits(d);
	if (dice_one_in(d, 2))
		q->pkru &= dice_bits(d);
	if (!levels) /* the guest-physical address itself */
		width = dice_one_in(d, 8) ? 64 : (int)q->maxphyaddr;
	q->va = any_of(d, low_bits(width));
	q->compatibility = levels > 3 && dice_one_in(d, 16);
	if (q->compatibility)
		q->va &= low_bits(32);
	else if (levels > 3 && !kvm && (q->va >> (width - 1) & 1))
		q->va |= ~low_bits(width);
	if (levels && dice_one_in(d, 32)) /* bits above the mode's width */
		q->va ^= BIT(32 + dice_below(d, 32));
}

/* Spoils a case here and there, as no builder of tables would. */
static void stir(struct dice *d, struct case_question *q)
{
	struct case_memory *m = &q->memory;

	if (m->count) {
		unsigned w = dice_below(d, m->count);

		for (unsigned n = 1 + dice_below(d, 3); n; n--) {
			uint64_t bit = BIT(dice_below(d, 64));
			m->value[dice_below(d, m->count)] ^= bit;
		}
		if (dice_one_in(d, 4))
			m->value[w] = m->value[dice_below(d, m->count)];
		if (dice_one_in(d, 8)) /* the table maps itself */
			m->value[w] = (m->address[w] & ~(uint64_t)0xfff) | (m->value[w] & 0xfff);
	}
	if (q->has_pdpte && dice_one_in(d, 4)) {
		uint64_t bit = BIT(dice_below(d, 64));
		q->pdpte[dice_below(d, 4)] ^= bit;
	}
	if (dice_one_in(d, 8))
		q->cr3 ^= BIT(dice_below(d, q->efer & BIT(10) ? 12 : 64)); /* long mode reserves the high ones */
	if (dice_one_in(d, 8))
		q->va ^= BIT(dice_below(d, 64));
	if (q->stage2 == CASE_NPT && dice_one_in(d, 8))
		q->ncr3 ^= BIT(dice_below(d, q->maxphyaddr));
}

/* Often used modes come up oftener. */
static int generate_mode(struct dice *d, unsigned modes)
{
	static const unsigned char often[] = { 0, 2, 2, 3, 3, 4, 4, 4, 5, 5 };

	if (!modes)
		return often[dice_below(d, sizeof(often))];
	return (int)one_of(d, modes);
}

void generate(struct dice *d, const struct generate_limits *limits, struct case_question *q)
{
	static const struct generate_limits none = { .profiles = 0 };
	struct stage guest = { .levels = 0 }, second = { .levels = 0 };
	unsigned frames = 1, stages, dimension;
	uint64_t gpa;
	int levels;

	if (!limits)
		limits = &none;
	stages = limits->stages ? limits->stages : 7;
	case_clear(&q->memory, GENERATE_MEMORY);
	q->eptp = q->ncr3 = q->hcr0 = q->hcr4 = q->hefer = 0;
	q->mbec = q->gmet = q->has_pdpte = false;
	generate_cpu(d, limits, q);
	levels = generate_mode(d, limits->modes);
	levels = generate_paging(d, q->features, levels, &q->cr0, &q->cr4, &q->efer);
	generate_access(d, q, levels);
	set_format(&guest, levels, q->cr4, q->efer);

	dimension = 1u << (q->profile == CASE_AMD || q->profile == CASE_KVM_AMD ? CASE_NPT : CASE_EPT);
	stages &= 1u << CASE_ONE_DIMENSION | dimension;
	q->stage2 = (enum case_stage2)one_of(d, stages ? stages : 1);
	if (q->stage2) {
		generate_second(d, q, &second, &frames);
		guest.next = &second;
	}

	gpa = q->va;
	q->cr3 = 0;
	if (levels) {
		guest.root = place(d, q, &guest, frames++) & (levels < 4 ? low_bits(32) : ~(uint64_t)0);
		if (levels == 3)
			guest.root |= (uint64_t)dice_below(d, 128) << 5;
		q->cr3 = guest.root | (dice_one_in(d, 8) ? any_of(d, 0x18) : 0);
		gpa = build(d, q, &guest, q->va, &frames, false);
	}
	if (guest.next)
		build(d, q, &second, gpa, &frames, false);
	if (levels == 3 && dice_one_in(d, 2)) {
		q->has_pdpte = true;
		for (unsigned i = 0; i < 4; i++) {
			uint64_t at = guest.root + 8 * i, entry = 0;

			load_entry(q, guest.next ? at & (GENERATE_MEMORY - 1) : at, 8, &entry);
			q->pdpte[i] = entry & (low_bits((int)q->maxphyaddr) & ~(uint64_t)0x1e6);
		}
	}
	if (limits->wild && dice_one_in(d, 4))
		stir(d, q);
}
