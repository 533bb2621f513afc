/* SPDX-License-Identifier: MIT */
/*
 * test_ad.c: rules AD-1, 2 (both policies), 3, 5: which entries a walk writes, when and in which order; what it does
 * when others write them at the same time; what it does when memory is missing.
 *
 * The callbacks of these tests keep a tape. "r4 r3 r2 r1 w4A w1AD!": the entries of levels 4 to 1 were read, A was set
 * in that of level 4, and A and D in that of level 1, but the compare-exchange was lost; "r2x": there was no memory.
 */
#include "tables.h"

static struct case_question q;

#define MAX_CHANGES 4

/* What somebody else writes, before the event of that number (0: the first). */
struct change {
	int event;
	unsigned level;
	uint64_t set, clear;
};

static struct {
	/* To be done. */
	struct change change[MAX_CHANGES];
	uint64_t lose;              /* bit n: the nth compare-exchange is lost, for no reason */
	int missing;                /* the event that finds no memory, or -1 */
	bool pretend;               /* read-only memory: say done and do nothing */
	/* Done. */
	char text[1000];
	size_t length;
	int events;
	unsigned reads, writes, strange; /* strange: calls that break the contract of the callbacks */
	uint64_t seen[6];                /* as last read, by level */
	uint64_t value[CASE_MAX_WORDS];
} tape;

/* The walker is not the first thing in its structure. */
struct owner {
	char name[20];
	struct kvm_pagewalk walk;
};

static unsigned level_of(uint64_t pa)
{
	for (unsigned level = table_levels(&q); level; level--)
		if (table_slot(&q, level) == pa && !table_is_pdpte(&q, level))
			return level;
	return 0;
}

static void write_down(const char *text)
{
	size_t length = strlen(text);

	if (tape.length + length >= sizeof(tape.text))
		return;
	memcpy(tape.text + tape.length, text, length + 1);
	tape.length += length;
}

/* Every event begins so; gives the level of the entry. */
static unsigned begin(const struct kvm_pagewalk *w, char kind, uint64_t pa, unsigned size)
{
	const struct owner *owner = PAGEWALK_CONTAINER_OF(w, struct owner, walk);
	unsigned level = level_of(pa);
	char text[8];

	for (unsigned i = 0; i < MAX_CHANGES; i++) {
		const struct change *c = &tape.change[i];

		if (!c->level || c->event != tape.events)
			continue;
		uint64_t entry = table_get(&q, tape.value, c->level);
		case_store(&q.memory, tape.value, table_slot(&q, c->level), table_entry_size(&q),
			   (entry & ~c->clear) | c->set);
	}
	if (strcmp(owner->name, "owner") != 0 || size != table_entry_size(&q) || pa % size || !level)
		tape.strange++;
	snprintf(text, sizeof(text), "%s%c%u", tape.events ? " " : "", kind, level % 10);
	write_down(text);
	tape.events++;
	return level;
}

static int read_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	unsigned level = begin(w, 'r', pa, size);

	tape.reads++;
	if (tape.missing == tape.events - 1 || !case_load(&q.memory, tape.value, pa, size, gpte)) {
		write_down("x");
		return -1;
	}
	tape.seen[level] = *gpte;
	return 0;
}

static int cmpxchg_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t old, uint64_t new_gpte)
{
	unsigned level = begin(w, 'w', pa, size), number = tape.writes++;
	uint64_t now = 0, flags = old ^ new_gpte;

	if (!flags || (flags & ~(A | D)) || (old & flags) || !(old & P) || old != tape.seen[level])
		tape.strange++;
	write_down(flags & A ? "A" : "");
	write_down(flags & D ? "D" : "");
	if (tape.missing == tape.events - 1 || !case_load(&q.memory, tape.value, pa, size, &now)) {
		write_down("x");
		return -1;
	}
	if (tape.pretend)
		return 0;
	if (now != old || (number < 64 && tape.lose >> number & 1)) {
		write_down("!");
		return 1;
	}
	return case_store(&q.memory, tape.value, pa, size, new_gpte) ? 0 : -1;
}

static void rewind_tape(void)
{
	memset(&tape, 0, sizeof(tape) - sizeof(tape.value));
	memcpy(tape.value, q.memory.value, q.memory.count * sizeof(*tape.value));
	tape.missing = -1;
}

/* The walker of q's machine with the tape's callbacks. PAE's registers are loaded without the tape. */
static struct owner make_owner(void)
{
	struct owner o = { "owner", { .read_gpte = read_gpte, .cmpxchg_gpte = cmpxchg_gpte } };
	struct pagewalk_cpu cpu = library_cpu(&q);
	struct pagewalk_regs regs = { q.cr0, q.cr4, q.efer, q.compatibility };

	cr_assert_eq(pagewalk_init(&o.walk, &cpu, &regs), PAGEWALK_OK, "init");
	o.walk.pgd = q.cr3;
	o.walk.rflags = q.rflags;
	if (table_levels(&q) == 3)
		o.walk.pdptr[table_index(&q, q.va, 3)] = table_get(&q, q.memory.value, 3);
	return o;
}

static enum pagewalk_status walk_tape(struct pagewalk_walk *walk)
{
	struct owner o = make_owner();

	return pagewalk_translate(&o.walk, q.va, library_access(&q), walk);
}

/* A page at level leaf; A in the levels of the number's bits (bit 1: level 1, ...), D in the leaf by bit 0. */
static void make_path(unsigned levels, unsigned leaf, bool as_walked, unsigned flags)
{
	table_question(&q, levels);
	q.knobs = as_walked ? CASE_AD_AS_WALKED : 0;
	q.user = true;
	table_path(&q, leaf, P | W | U);
	for (unsigned level = levels; level >= leaf; level--)
		if (!table_is_pdpte(&q, level))
			table_set(&q, level, table_get(&q, q.memory.value, level) | (flags >> level & 1 ? A : 0) |
					     (level == leaf && (flags & 1) ? D : 0));
}

static const char *const accesses[] = { "read", "write", "fetch" };

/* ---- AD-1, AD-2, AD-3: the order of all that a walk does ------------------------------------- */

enum { READ = CASE_READ, WRITE = CASE_WRITE, FETCH = CASE_FETCH };

static const struct {
	unsigned levels, leaf, access;
	bool as_walked;
	unsigned flags;
	const char *tape;
} walks[] = {
	/* Nothing is set yet. */
	{ 4, 1, READ, false, 0, "r4 r3 r2 r1 w4A w3A w2A w1A" },
	{ 4, 1, WRITE, false, 0, "r4 r3 r2 r1 w4A w3A w2A w1AD" },
	{ 4, 1, FETCH, false, 0, "r4 r3 r2 r1 w4A w3A w2A w1A" },
	{ 4, 2, WRITE, false, 0, "r4 r3 r2 w4A w3A w2AD" },
	{ 4, 3, READ, false, 0, "r4 r3 w4A w3A" },
	{ 5, 1, WRITE, false, 0, "r5 r4 r3 r2 r1 w5A w4A w3A w2A w1AD" },
	{ 5, 2, READ, false, 0, "r5 r4 r3 r2 w5A w4A w3A w2A" },
	{ 5, 3, WRITE, false, 0, "r5 r4 r3 w5A w4A w3AD" },
	{ 3, 1, WRITE, false, 0, "r2 r1 w2A w1AD" }, /* AD-3: the PDPTE is a register */
	{ 3, 2, READ, false, 0, "r2 w2A" },
	{ 2, 1, WRITE, false, 0, "r2 r1 w2A w1AD" },
	{ 2, 2, WRITE, false, 0, "r2 w2AD" },
	{ 2, 2, FETCH, false, 0, "r2 w2A" },
	/* The same as the CPU goes down. */
	{ 4, 1, READ, true, 0, "r4 w4A r3 w3A r2 w2A r1 w1A" },
	{ 4, 1, WRITE, true, 0, "r4 w4A r3 w3A r2 w2A r1 w1AD" },
	{ 5, 1, FETCH, true, 0, "r5 w5A r4 w4A r3 w3A r2 w2A r1 w1A" },
	{ 5, 3, WRITE, true, 0, "r5 w5A r4 w4A r3 w3AD" },
	{ 3, 1, WRITE, true, 0, "r2 w2A r1 w1AD" },
	{ 3, 2, WRITE, true, 0, "r2 w2AD" },
	{ 2, 1, READ, true, 0, "r2 w2A r1 w1A" },
	{ 2, 2, READ, true, 0, "r2 w2A" },
	/* What is set stays, and is not written again. */
	{ 4, 1, READ, false, 0x1e, "r4 r3 r2 r1" },
	{ 4, 1, READ, false, 0x1f, "r4 r3 r2 r1" },
	{ 4, 1, WRITE, false, 0x1f, "r4 r3 r2 r1" },
	{ 4, 1, WRITE, false, 0x1e, "r4 r3 r2 r1 w1D" },
	{ 4, 1, WRITE, false, 0x1d, "r4 r3 r2 r1 w1A" },
	{ 4, 1, READ, false, 0x1d, "r4 r3 r2 r1 w1A" },
	{ 4, 1, READ, false, 0x16, "r4 r3 r2 r1 w3A" },
	{ 4, 1, WRITE, false, 0x0f, "r4 r3 r2 r1 w4A" },
	{ 4, 1, WRITE, false, 0x14, "r4 r3 r2 r1 w3A w1AD" },
	{ 4, 2, WRITE, false, 0x1c, "r4 r3 r2 w2D" },
	{ 5, 1, FETCH, false, 0x1e, "r5 r4 r3 r2 r1 w5A" },
	{ 3, 1, WRITE, false, 0x06, "r2 r1 w1D" },
	{ 2, 2, WRITE, false, 0x04, "r2 w2D" },
	{ 2, 1, WRITE, false, 0x01, "r2 r1 w2A w1A" },
	{ 4, 1, WRITE, true, 0x1e, "r4 r3 r2 r1 w1D" },
	{ 4, 1, WRITE, true, 0x16, "r4 r3 w3A r2 r1 w1D" },
	{ 5, 1, READ, true, 0x3e, "r5 r4 r3 r2 r1" },
};

Test(ad, what_a_walk_does)
{
	for (size_t i = 0; i < COUNT(walks); i++) {
		struct pagewalk_walk walk;

		make_path(walks[i].levels, walks[i].leaf, walks[i].as_walked, walks[i].flags);
		q.access = (enum case_access)walks[i].access;
		rewind_tape();
		enum pagewalk_status status = walk_tape(&walk);
		cr_expect(status == PAGEWALK_OK && !tape.strange && !strcmp(tape.text, walks[i].tape),
			  "%u levels, leaf %u, %s, flags %#x%s => status %d, %s, expected %s", walks[i].levels,
			  walks[i].leaf, accesses[walks[i].access], walks[i].flags,
			  walks[i].as_walked ? ", as walked" : "", (int)status, tape.text, walks[i].tape);
		for (unsigned level = walks[i].levels; level >= walks[i].leaf;
		     level--) /* the record has them as read */
			if (!table_is_pdpte(&q, level))
				cr_expect_eq(walk.guest.entry[level - 1].pte, table_get(&q, q.memory.value, level),
					     "row %u level %u", (unsigned)i, level);
	}
}

/* AD-1: who writes; implicit writes and those that CR0.WP = 0 lets through count, fetches and refused writes don't. */
Test(ad, dirty_by_whom)
{
	static const struct {
		unsigned access;
		bool user, implicit, wp;
		uint64_t page;
		const char *tape;
	} who[] = {
		{ WRITE, true, false, true, P | W | U, "r4 r3 r2 r1 w4A w3A w2A w1AD" },
		{ WRITE, false, false, true, P | W, "r4 r3 r2 r1 w4A w3A w2A w1AD" },
		{ WRITE, true, true, true, P | W, "r4 r3 r2 r1 w4A w3A w2A w1AD" },
		{ WRITE, false, false, false, P, "r4 r3 r2 r1 w4A w3A w2A w1AD" },
		{ WRITE, false, false, true, P, "r4 r3 r2 r1" },
		{ WRITE, true, false, false, P | U, "r4 r3 r2 r1" },
		{ FETCH, true, false, true, P | W | U, "r4 r3 r2 r1 w4A w3A w2A w1A" },
		{ READ, true, false, true, P | W | U, "r4 r3 r2 r1 w4A w3A w2A w1A" },
	};

	for (size_t i = 0; i < COUNT(who); i++) {
		struct pagewalk_walk walk;

		make_path(4, 1, false, 0);
		table_set(&q, 1, TABLE_PAGE | who[i].page);
		q.cr0 = (q.cr0 & ~CR0_WP) | (who[i].wp ? CR0_WP : 0);
		q.access = (enum case_access)who[i].access;
		q.user = who[i].user;
		q.implicit = who[i].implicit;
		rewind_tape();
		walk_tape(&walk);
		cr_expect(!strcmp(tape.text, who[i].tape) && !tape.strange, "row %u => %s, expected %s", (unsigned)i,
			  tape.text, who[i].tape);
	}
}

/* Bit 6 of a table's entry is no D, and bit 5 of a page not that of its table. */
Test(ad, flags_of_other_levels)
{
	struct pagewalk_walk walk;

	make_path(4, 1, false, 0x1c); /* A in 4, 3, 2 */
	for (unsigned level = 4; level > 1; level--)
		table_set(&q, level, table_get(&q, q.memory.value, level) | D);
	q.access = CASE_WRITE;
	rewind_tape();
	cr_expect(walk_tape(&walk) == PAGEWALK_OK && !strcmp(tape.text, "r4 r3 r2 r1 w1AD"), "%s", tape.text);
}

/* ---- AD-2: walks that fault ------------------------------------------------------------------ */

static const struct {
	unsigned levels, leaf, access, level; /* level: of the entry that is changed */
	uint64_t clear, set;
	const char *after, *as_walked;
} faults[] = {
	{ 4, 1, WRITE, 4, P, 0, "r4", "r4" },
	{ 4, 1, WRITE, 3, P, 0, "r4 r3", "r4 w4A r3" },
	{ 4, 1, WRITE, 1, P, 0, "r4 r3 r2 r1", "r4 w4A r3 w3A r2 w2A r1" },
	{ 4, 1, READ, 4, 0, PS, "r4", "r4" },
	{ 4, 1, READ, 2, 0, BIT(46), "r4 r3 r2", "r4 w4A r3 w3A r2" },
	{ 4, 1, READ, 1, 0, BIT(51), "r4 r3 r2 r1", "r4 w4A r3 w3A r2 w2A r1" },
	{ 4, 2, READ, 2, 0, BIT(13), "r4 r3 r2", "r4 w4A r3 w3A r2" },
	{ 4, 1, WRITE, 1, W, 0, "r4 r3 r2 r1", "r4 w4A r3 w3A r2 w2A r1" }, /* rights: the leaf's A stays as it is */
	{ 4, 1, WRITE, 4, W, 0, "r4 r3 r2 r1", "r4 w4A r3 w3A r2 w2A r1" },
	{ 4, 1, READ, 3, U, 0, "r4 r3 r2 r1", "r4 w4A r3 w3A r2 w2A r1" },
	{ 4, 3, WRITE, 3, W, 0, "r4 r3", "r4 w4A r3" },
	{ 5, 1, FETCH, 1, 0, XD, "r5 r4 r3 r2 r1", "r5 w5A r4 w4A r3 w3A r2 w2A r1" },
	{ 3, 1, WRITE, 1, W, 0, "r2 r1", "r2 w2A r1" },
	{ 3, 1, WRITE, 3, P, 0, "", "" },
	{ 2, 1, READ, 1, P, 0, "r2 r1", "r2 w2A r1" },
	{ 2, 2, READ, 2, 0, BIT(21), "r2", "r2" },
};

Test(ad, faulting_walks)
{
	for (size_t i = 0; i < COUNT(faults) * 2; i++) {
		const char *expected = i & 1 ? faults[i / 2].as_walked : faults[i / 2].after;
		struct pagewalk_walk walk;

		make_path(faults[i / 2].levels, faults[i / 2].leaf, i & 1, 0);
		q.access = (enum case_access)faults[i / 2].access;
		uint64_t entry = table_get(&q, q.memory.value, faults[i / 2].level);
		table_set(&q, faults[i / 2].level, (entry & ~faults[i / 2].clear) | faults[i / 2].set);
		rewind_tape();
		enum pagewalk_status status = walk_tape(&walk);
		cr_expect(status == PAGEWALK_FAULT && !strcmp(tape.text, expected) && !tape.strange,
			  "row %u%s => status %d, %s, expected %s", (unsigned)i / 2, i & 1 ? ", as walked" : "",
			  (int)status, tape.text, expected);
	}
}

/*
 * AD-2: what a comparison must not look at: A of what was used, in walks that did not succeed. Never D; nothing of an
 * entry that is not present, or that was not read.
 */
Test(ad, dont_care)
{
	for (size_t i = 0; i < COUNT(faults); i++) {
		struct pagewalk_walk walk;

		make_path(faults[i].levels, faults[i].leaf, false, 0);
		q.access = (enum case_access)faults[i].access;
		uint64_t entry = table_get(&q, q.memory.value, faults[i].level);
		table_set(&q, faults[i].level, (entry & ~faults[i].clear) | faults[i].set);
		rewind_tape();
		memset(&walk, 0xff, sizeof(walk));
		struct owner o = make_owner();
		enum pagewalk_status status = pagewalk_translate(&o.walk, q.va, library_access(&q), &walk);
		for (unsigned level = 1; level <= 5; level++) {
			bool read = level <= faults[i].levels && level >= walk.guest.level;
			uint64_t expected = read && !table_is_pdpte(&q, level) &&
					    (table_get(&q, q.memory.value, level) & P) ? A : 0;
			uint64_t mask = pagewalk_ad_dont_care(&o.walk, &walk.guest, (int)level, status);

			/* refused for a reserved bit an entry is not used; a mask with its A is generous, not wrong */
			if (level == faults[i].level && (faults[i].set & ~XD))
				expected = mask & A;
			cr_expect_eq(mask, expected, "row %u level %u => %#" PRIx64 ", expected %#" PRIx64, (unsigned)i,
				     level, mask, expected);
		}
	}
}

Test(ad, dont_care_is_for_walks_that_did_not_succeed)
{
	for (unsigned levels = 2; levels <= 5; levels++)
		for (int missing = -1; missing < 2; missing++) { /* the event without memory */
			struct pagewalk_walk walk;

			make_path(levels, 1, false, 0);
			rewind_tape();
			tape.missing = missing;
			memset(&walk, 0xff, sizeof(walk));
			struct owner o = make_owner();
			enum pagewalk_status status = pagewalk_translate(&o.walk, q.va, library_access(&q), &walk);
			cr_expect_eq(status, missing < 0 ? PAGEWALK_OK : PAGEWALK_NO_MEMORY, "status %d", (int)status);
			for (unsigned level = 1; level <= 5; level++) {
				unsigned first = levels == 3 ? 2 : levels;
				uint64_t expected = missing == 1 && level == first ? A : 0;
				uint64_t mask = pagewalk_ad_dont_care(&o.walk, &walk.guest, (int)level, status);

				cr_expect_eq(mask, expected, "%u levels, missing %d, level %u => %#" PRIx64, levels,
					     missing, level, mask);
			}
		}
}

/* Refused before the first entry: an address that is not canonical, a reserved bit in CR3. */
Test(ad, dont_care_without_a_walk)
{
	for (unsigned bad_cr3 = 0; bad_cr3 < 2; bad_cr3++) {
		struct pagewalk_walk walk;

		make_path(4, 1, false, 0);
		q.cr3 |= bad_cr3 ? BIT(63) : 0;
		rewind_tape();
		memset(&walk, 0xff, sizeof(walk));
		struct owner o = make_owner();
		enum pagewalk_status status =
			pagewalk_translate(&o.walk, q.va ^ (bad_cr3 ? 0 : BIT(63)), PAGEWALK_ACCESS_READ, &walk);
		cr_expect(status == (bad_cr3 ? PAGEWALK_BAD_STATE : PAGEWALK_FAULT) && !walk.guest.max_level &&
				  !tape.events,
			  "bad CR3 %u => status %d, %u levels", bad_cr3, (int)status, walk.guest.max_level);
		for (int level = 1; level <= 5; level++)
			cr_expect_eq(pagewalk_ad_dont_care(&o.walk, &walk.guest, level, status), 0, "level %d", level);
	}
}

/* ---- Every combination of flags -------------------------------------------------------------- */

Test(ad, every_combination_of_flags)
{
	unsigned differ = 0, count = 0;

	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned leaf = 1; leaf <= table_max_leaf(levels); leaf++)
			for (unsigned i = 0; i < 64 * 3 * 2; i++) {
				struct pagewalk_walk walk;
				unsigned flags = i % 64, writes = 0;
				bool right = true;

				make_path(levels, leaf, i / 64 % 2, flags);
				q.access = (enum case_access)(i / 128);
				rewind_tape();
				enum pagewalk_status status = walk_tape(&walk);
				for (unsigned level = levels; level; level--) {
					uint64_t before = table_get(&q, q.memory.value, level), expected = before;
					if (level >= leaf && !table_is_pdpte(&q, level))
						expected |= A | (level == leaf && q.access == CASE_WRITE ? D : 0);
					writes += expected != before;
					right = right && table_get(&q, tape.value, level) == expected;
				}
				right = right && status == PAGEWALK_OK && tape.writes == writes && !tape.strange &&
					tape.reads == levels - leaf + 1 - (levels == 3);
				count++;
				if (!right && table_counts(&differ))
					printf("%u levels, leaf %u, flags %#x, %s, knobs %#x => status %d, %s\n",
					       levels, leaf, flags, accesses[q.access], q.knobs, (int)status,
					       tape.text);
			}
	cr_expect_eq(differ, 0, "%u of %u", differ, count);
}

/* ---- AD-5: races ----------------------------------------------------------------------------- */

static const struct race {
	unsigned levels, access;
	bool as_walked;
	unsigned flags;
	uint64_t lose;
	struct change change[MAX_CHANGES];
	enum pagewalk_status status;
	uint64_t result; /* pa, or error code */
	const char *tape;
} races[] = {
	/* Lost once, for nothing: once more from the root. What is set is set. */
	{ 4, READ, false, 0, 1, { { 0 } }, PAGEWALK_OK, TABLE_PAGE,
	  "r4 r3 r2 r1 w4A! r4 r3 r2 r1 w4A w3A w2A w1A" },
	{ 4, READ, false, 0, 4, { { 0 } }, PAGEWALK_OK, TABLE_PAGE,
	  "r4 r3 r2 r1 w4A w3A w2A! r4 r3 r2 r1 w2A w1A" },
	{ 4, WRITE, false, 0, 8, { { 0 } }, PAGEWALK_OK, TABLE_PAGE,
	  "r4 r3 r2 r1 w4A w3A w2A w1AD! r4 r3 r2 r1 w1AD" },
	{ 4, WRITE, false, 0, 0x7, { { 0 } }, PAGEWALK_OK, TABLE_PAGE,
	  "r4 r3 r2 r1 w4A! r4 r3 r2 r1 w4A! r4 r3 r2 r1 w4A! r4 r3 r2 r1 w4A w3A w2A w1AD" },
	{ 4, READ, true, 0, 2, { { 0 } }, PAGEWALK_OK, TABLE_PAGE,
	  "r4 w4A r3 w3A! r4 r3 w3A r2 w2A r1 w1A" },
	{ 2, WRITE, false, 0, 2, { { 0 } }, PAGEWALK_OK, TABLE_PAGE,
	  "r2 r1 w2A w1AD! r2 r1 w1AD" },
	{ 3, WRITE, false, 0, 1, { { 0 } }, PAGEWALK_OK, TABLE_PAGE,
	  "r2 r1 w2A! r2 r1 w2A w1AD" },
	{ 5, READ, false, 0, 0x10, { { 0 } }, PAGEWALK_OK, TABLE_PAGE,
	  "r5 r4 r3 r2 r1 w5A w4A w3A w2A w1A! r5 r4 r3 r2 r1 w1A" },
	/* Another CPU sets the same flag: lost, and then there is nothing to do. */
	{ 4, READ, false, 0, 0, { { 5, 3, A, 0 } }, PAGEWALK_OK, TABLE_PAGE,
	  "r4 r3 r2 r1 w4A w3A! r4 r3 r2 r1 w2A w1A" },
	{ 4, WRITE, false, 0x1e, 0, { { 4, 1, D, 0 } }, PAGEWALK_OK, TABLE_PAGE,
	  "r4 r3 r2 r1 w1D! r4 r3 r2 r1" },
	{ 4, WRITE, false, 0, 0, { { 7, 1, A, 0 } }, PAGEWALK_OK, TABLE_PAGE,
	  "r4 r3 r2 r1 w4A w3A w2A w1AD! r4 r3 r2 r1 w1D" },
	{ 4, READ, true, 0, 0, { { 1, 4, A, 0 } }, PAGEWALK_OK, TABLE_PAGE,
	  "r4 w4A! r4 r3 w3A r2 w2A r1 w1A" },
	/* A software bit is enough, and so is the page's address. */
	{ 4, READ, false, 0x1c, 0, { { 4, 1, BIT(9), 0 } }, PAGEWALK_OK, TABLE_PAGE,
	  "r4 r3 r2 r1 w1A! r4 r3 r2 r1 w1A" },
	{ 2, READ, false, 0x04, 0, { { 2, 1, BIT(30), 0 } }, PAGEWALK_OK, TABLE_PAGE | BIT(30),
	  "r2 r1 w1A! r2 r1 w1A" },
	/* The page goes, moves, or loses a right before its flags are set. */
	{ 4, WRITE, false, 0x1e, 0, { { 4, 1, 0, P } }, PAGEWALK_FAULT, 6,
	  "r4 r3 r2 r1 w1D! r4 r3 r2 r1" },
	{ 4, WRITE, false, 0x1e, 0, { { 4, 1, BIT(20), 0 } }, PAGEWALK_OK, TABLE_PAGE | BIT(20),
	  "r4 r3 r2 r1 w1D! r4 r3 r2 r1 w1D" },
	{ 4, WRITE, false, 0x1e, 0, { { 4, 1, 0, W } }, PAGEWALK_FAULT, 7,
	  "r4 r3 r2 r1 w1D! r4 r3 r2 r1" },
	{ 4, WRITE, false, 0x1e, 0, { { 4, 1, BIT(50), 0 } }, PAGEWALK_FAULT, 0xf,
	  "r4 r3 r2 r1 w1D! r4 r3 r2 r1" },
	{ 4, READ, false, 0, 0, { { 6, 2, 0, P } }, PAGEWALK_FAULT, 4,
	  "r4 r3 r2 r1 w4A w3A w2A! r4 r3 r2" },
	{ 4, READ, true, 0, 0, { { 3, 3, 0, P } }, PAGEWALK_FAULT, 4,
	  "r4 w4A r3 w3A! r4 r3" },
	/* Before it is read, a change is the truth; after it has been read and has its flags, it comes too late. */
	{ 4, READ, false, 0x1e, 0, { { 3, 1, 0, P } }, PAGEWALK_FAULT, 4, "r4 r3 r2 r1" },
	{ 4, READ, false, 0x1e, 0, { { 1, 4, 0, P } }, PAGEWALK_OK, TABLE_PAGE, "r4 r3 r2 r1" },
	{ 4, READ, false, 0x1c, 0, { { 1, 4, 0, P } }, PAGEWALK_OK, TABLE_PAGE, "r4 r3 r2 r1 w1A" },
	{ 4, READ, true, 0x1e, 0, { { 2, 3, 0, P } }, PAGEWALK_OK, TABLE_PAGE, "r4 r3 r2 r1" },
	/* A flag that goes away after it was read is not missed; it was set when it counted. */
	{ 4, READ, false, 0x1c, 0, { { 4, 3, 0, A } }, PAGEWALK_OK, TABLE_PAGE, "r4 r3 r2 r1 w1A" },
	/* Two changes, two attempts more. */
	{ 4, READ, false, 0, 0, { { 4, 4, BIT(9), 0 }, { 9, 4, BIT(10), 0 } }, PAGEWALK_OK, TABLE_PAGE,
	  "r4 r3 r2 r1 w4A! r4 r3 r2 r1 w4A! r4 r3 r2 r1 w4A w3A w2A w1A" },
	{ 4, READ, false, 0, 0, { { 4, 4, BIT(9), 0 }, { 8, 1, 0, P } }, PAGEWALK_FAULT, 4,
	  "r4 r3 r2 r1 w4A! r4 r3 r2 r1" },
};

Test(ad, races)
{
	for (size_t i = 0; i < COUNT(races); i++) {
		const struct race *r = &races[i];
		struct pagewalk_walk walk;

		make_path(r->levels, 1, r->as_walked, r->flags);
		q.access = (enum case_access)r->access;
		rewind_tape();
		tape.lose = r->lose;
		memcpy(tape.change, r->change, sizeof(tape.change));
		enum pagewalk_status status = walk_tape(&walk);
		uint64_t result = status == PAGEWALK_OK ? walk.pa & ~UINT64_C(0xfff) : walk.fault.error_code;
		cr_expect(status == r->status && result == r->result && !strcmp(tape.text, r->tape) && !tape.strange,
			  "row %u => status %d, %#" PRIx64 ", %s, expected %d, %#" PRIx64 ", %s", (unsigned)i,
			  (int)status, result, tape.text, (int)r->status, r->result, r->tape);
	}
}

/* Always lost: RETRY after PAGEWALK_MAX_ATTEMPTS attempts, each of which ends at its first compare-exchange. */
Test(ad, lost_for_ever)
{
	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned as_walked = 0; as_walked < 2; as_walked++)
			for (unsigned last = 0; last < 2; last++) { /* last: only the leaf's flags are missing */
				unsigned reads = levels - (levels == 3);
				struct pagewalk_walk walk;

				make_path(levels, 1, as_walked, last ? 0x3c : 0);
				rewind_tape();
				tape.lose = ~UINT64_C(0);
				enum pagewalk_status status = walk_tape(&walk);
				if (as_walked && !last)
					reads = 1;
				cr_expect(status == PAGEWALK_RETRY && tape.writes == PAGEWALK_MAX_ATTEMPTS &&
						  tape.reads == PAGEWALK_MAX_ATTEMPTS * reads && !tape.strange,
					  "%u levels => status %d, %u reads, %u writes", levels, (int)status,
					  tape.reads, tape.writes);
				cr_expect(!memcmp(tape.value, q.memory.value, q.memory.count * sizeof(*tape.value)),
					  "memory");
			}
}

/* Lost one time less than that: it still goes through. One time more would be too much. */
Test(ad, lost_as_often_as_possible)
{
	for (unsigned lost = 0; lost <= PAGEWALK_MAX_ATTEMPTS; lost++) {
		enum pagewalk_status expected = lost < PAGEWALK_MAX_ATTEMPTS ? PAGEWALK_OK : PAGEWALK_RETRY, status;
		struct pagewalk_walk walk;

		make_path(4, 1, false, 0x1e);
		q.access = CASE_WRITE;
		rewind_tape();
		tape.lose = BIT(lost) - 1;
		status = walk_tape(&walk);
		cr_expect(status == expected && tape.writes == (lost < PAGEWALK_MAX_ATTEMPTS ? lost + 1 : lost),
			  "lost %u times => status %d, %u writes", lost, (int)status, tape.writes);

		make_path(4, 1, false, 0x1e);
		q.access = CASE_WRITE;
		rewind_tape();
		tape.lose = BIT(lost) - 1;
		struct owner o = make_owner();
		status = pagewalk64_walk_addr(&o.walk, q.va, library_access(&q), &walk);
		cr_expect(status == expected && tape.writes == (lost < PAGEWALK_MAX_ATTEMPTS ? lost + 1 : lost),
			  "walk_addr, lost %u times => status %d, %u writes", lost, (int)status, tape.writes);
	}
}

/* gva_to_gpa is one attempt. */
Test(ad, one_attempt)
{
	struct pagewalk_walk walk;

	make_path(4, 1, false, 0);
	rewind_tape();
	tape.lose = 2;
	struct owner o = make_owner();
	enum pagewalk_status status = o.walk.gva_to_gpa(&o.walk, q.va, PAGEWALK_ACCESS_READ, &walk);
	cr_expect(status == PAGEWALK_RETRY && !strcmp(tape.text, "r4 r3 r2 r1 w4A w3A!"), "status %d, %s", (int)status,
		  tape.text);
}

/* Others write A, D and software bits all the time, and every third compare-exchange is lost. */
Test(ad, storm)
{
	struct chance c = { 3 };
	unsigned differ = 0, retries = 0;

	for (unsigned i = 0; i < 20000; i++) {
		unsigned levels = 2 + chance_below(&c, 4);
		struct pagewalk_walk walk;
		bool right = true;

		make_path(levels, 1, chance_below(&c, 2), chance_below(&c, 64));
		q.access = (enum case_access)chance_below(&c, 3);
		rewind_tape();
		tape.lose = chance_bits(&c) & chance_bits(&c);
		for (unsigned n = 0; n < MAX_CHANGES; n++) {
			unsigned level = 1 + chance_below(&c, levels);
			struct change change = { (int)chance_below(&c, 12), table_is_pdpte(&q, level) ? 1 : level,
						 chance_bits(&c) & (A | D | BIT(9) | BIT(10)), 0 };
			tape.change[n] = change;
		}
		enum pagewalk_status status = walk_tape(&walk);
		for (unsigned level = levels; level; level--) {
			uint64_t before = table_get(&q, q.memory.value, level),
				 after = table_get(&q, tape.value, level);
			uint64_t must =
				table_is_pdpte(&q, level) ? 0 : A | (level == 1 && q.access == CASE_WRITE ? D : 0);

			right = right && (before & ~after) == 0 && !((before ^ after) & ~(A | D | BIT(9) | BIT(10))) &&
				(status != PAGEWALK_OK || (after & must) == must);
		}
		retries += status == PAGEWALK_RETRY;
		right = right && !tape.strange && tape.writes <= PAGEWALK_MAX_ATTEMPTS * levels &&
			tape.reads <= PAGEWALK_MAX_ATTEMPTS * levels &&
			(status == PAGEWALK_OK ? walk.pa == (TABLE_PAGE | 0x678) : status == PAGEWALK_RETRY);
		if (!right && table_counts(&differ))
			printf("storm %u, %u levels => status %d, %s\n", i, levels, (int)status, tape.text);
	}
	cr_expect_eq(differ, 0, "%u differ", differ);
	cr_expect(retries < 1000, "%u retries", retries);
}

/* ---- Embedders that do not write ------------------------------------------------------------- */

Test(ad, no_compare_exchange)
{
	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned as_walked = 0; as_walked < 2; as_walked++) {
			struct pagewalk_walk walk;

			make_path(levels, 1, as_walked, 0);
			q.access = CASE_WRITE;
			rewind_tape();
			struct owner o = make_owner();
			o.walk.cmpxchg_gpte = NULL;
			enum pagewalk_status status = pagewalk_translate(&o.walk, q.va, library_access(&q), &walk);
			cr_expect(status == PAGEWALK_OK && walk.pa == (TABLE_PAGE | 0x678) &&
					  tape.reads == levels - (levels == 3) &&
					  !memcmp(tape.value, q.memory.value, q.memory.count * sizeof(*tape.value)),
				  "%u levels => status %d, %s", levels, (int)status, tape.text);
		}
}

/* Read-only memory: a compare-exchange that says "done" and did nothing is asked once an entry. */
Test(ad, pretended_compare_exchange)
{
	struct pagewalk_walk walk;

	make_path(4, 1, false, 0);
	q.access = CASE_WRITE;
	rewind_tape();
	tape.pretend = true;
	enum pagewalk_status status = walk_tape(&walk);
	cr_expect(status == PAGEWALK_OK && !strcmp(tape.text, "r4 r3 r2 r1 w4A w3A w2A w1AD"), "status %d, %s",
		  (int)status, tape.text);
}

/* ---- No memory ------------------------------------------------------------------------------- */

/* The nth event fails, whichever it is: NO_MEMORY tells where and says nothing of the guest; KVM's deviation 7. */
Test(ad, missing_memory_at_each_event)
{
	unsigned differ = 0, count = 0;

	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned leaf = 1; leaf <= table_max_leaf(levels); leaf++)
			for (unsigned i = 0; i < 2 * 2 * 3; i++) {
				bool as_walked = i & 1, kvm = i & 2;
				struct pagewalk_walk walk;
				int events;

				make_path(levels, leaf, as_walked, 0);
				q.access = (enum case_access)(i / 4);
				rewind_tape();
				cr_assert_eq(walk_tape(&walk), PAGEWALK_OK, "walk");
				events = tape.events;
				if (kvm) {
					q.profile = CASE_KVM_AMD;
					events = 2 * (int)(levels - leaf + 1 - (levels == 3));
				}
				for (int missing = 0; missing < events; missing++, count++) {
					const struct pagewalk_fault *f = &walk.fault;
					bool right;

					rewind_tape();
					tape.missing = missing;
					memset(&walk, 0x5a, sizeof(walk));
					enum pagewalk_status status = walk_tape(&walk);
					right = tape.events == missing + 1 && !tape.strange && !f->second_stage &&
						f->address == q.va && !f->exit && !f->exit_qualification &&
						tape.text[tape.length - 1] == 'x';
					if (kvm) {
						uint64_t code = 4 | (q.access == CASE_WRITE ? 2 :
								     q.access == CASE_FETCH ? 0x10 :
											      0);
						right = right && status == PAGEWALK_FAULT &&
							f->vector == PAGEWALK_VECTOR_PF && f->error_code == code &&
							!f->gpa;
					} else {
						/* the level is the last digit on the tape */
						size_t at = tape.length;
						while (at && !(tape.text[at - 1] >= '0' && tape.text[at - 1] <= '9'))
							at--;
						unsigned level = at ? (unsigned)(tape.text[at - 1] - '0') : 0;
						bool read = tape.text[at - 2] == 'r';
						right = right && status == PAGEWALK_NO_MEMORY &&
							f->gpa == table_slot(&q, level) && !f->vector &&
							!f->error_code &&
							walk.guest.entry[level - 1].pte ==
								(read ? 0 : tape.seen[level]);
					}
					if (!right && table_counts(&differ))
						printf("%u levels, leaf %u, event %d of %s%s%s => status %d, %s, gpa %#"
						       PRIx64 " vector %u code %#" PRIx64 "\n",
						       levels, leaf, missing, accesses[q.access],
						       as_walked ? ", as walked" : "", kvm ? ", kvm" : "", (int)status,
						       tape.text, f->gpa, f->vector, f->error_code);
				}
			}
	cr_expect(!differ && count > 300, "%u of %u", differ, count);
}

/* The quirk alone does it. */
Test(ad, missing_memory_by_quirk)
{
	for (unsigned quirk = 0; quirk < 2; quirk++) {
		struct pagewalk_regs regs;
		struct pagewalk_walk walk;

		make_path(4, 1, false, 0);
		regs.cr0 = q.cr0;
		regs.cr4 = q.cr4;
		regs.efer = q.efer;
		regs.compatibility = false;
		rewind_tape();
		tape.missing = 2;
		struct owner o = make_owner();
		struct pagewalk_cpu cpu = o.walk.cpu;
		cpu.quirks =
			quirk ? PAGEWALK_QUIRK_KVM_NOT_PRESENT : PAGEWALK_QUIRKS_KVM & ~PAGEWALK_QUIRK_KVM_NOT_PRESENT;
		cr_assert_eq(pagewalk_init(&o.walk, &cpu, &regs), PAGEWALK_OK, "init");
		enum pagewalk_status status = pagewalk_translate(&o.walk, q.va, PAGEWALK_ACCESS_READ, &walk);
		cr_expect_eq(status, quirk ? PAGEWALK_FAULT : PAGEWALK_NO_MEMORY, "quirk %u => status %d", quirk,
			     (int)status);
	}
}
