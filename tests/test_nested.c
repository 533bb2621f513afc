/* SPDX-License-Identifier: MIT */
/*
 * test_nested.c: two dimensions together: every paging mode of a guest on every kind of second stage. EPT-12, NPT-6,
 * AD-2, AD-5, MODE-8, the record, the bounds of the callbacks, and memory that is not there.
 */
#include "tables2.h"

static struct tables t;
static struct asked a;

static const enum shape guests[] = { SHAPE_OFF, SHAPE_32, SHAPE_PAE, SHAPE_4, SHAPE_5 };
static const enum shape seconds[] = { SHAPE_EPT4, SHAPE_EPT5, SHAPE_32, SHAPE_PAE, SHAPE_4, SHAPE_5 };

#define VA 0x23456789u /* fits all modes */
#define ALL_RIGHTS (CASE_W | CASE_X | CASE_U)
#define KVM PAGEWALK_QUIRKS_KVM

#define PAIRS (COUNT(guests) * COUNT(seconds)) /* each guest on each second stage */

static bool is_ept(enum shape s)
{
	return s >= SHAPE_EPT4;
}

static enum case_profile profile_for(enum shape second, bool kvm)
{
	if (is_ept(second))
		return kvm ? CASE_KVM_INTEL : CASE_INTEL;
	return kvm ? CASE_KVM_AMD : CASE_AMD;
}

/* MODE-8: this guest's PDPTEs are no registers, but in KVM; each walk reads the one that it needs. */
static bool pdptes_in_memory(enum shape guest, enum shape second)
{
	return guest == SHAPE_PAE && second && !is_ept(second);
}

/* Good tables of both. */
static void start_as(enum shape guest, enum shape second, bool ept_ad, bool kvm)
{
	tables_start(&t, profile_for(second, kvm), 51, guest, second, ept_ad);
	tables_guest(&t, VA, 1, !kvm && pdptes_in_memory(guest, second));
}

static void start(enum shape guest, enum shape second, bool ept_ad)
{
	start_as(guest, second, ept_ad, false);
}

/* A and D in all of the guest's entries. */
static void set_guest_flags(void)
{
	for (unsigned i = 0; i < t.steps; i++)
		if (t.step[i].level && !(t.guest == SHAPE_PAE && t.step[i].level == 3))
			tables_edit(&t, t.step[i].level, 0x60, 0);
}

/* ---- All refusals of the second stage ---------------------------------------------------------------------------- */

struct expected {
	struct outcome outcome;
	unsigned reads, writes;
	unsigned step;                  /* the step that was the last */
	bool done;                      /* the guest's tables were walked to the end */
	struct judged last;             /* and the second stage's last walk */
	uint64_t pte[5];                /* the guest's entries as read; [level - 1] */
	uint64_t value[CASE_MAX_WORDS]; /* the memory's words in the end */
};

/* AD-1, EPT-16: flags for a guest's entry; false: the second stage refuses to write it. */
static bool flag_guest(struct expected *e, unsigned step, uint64_t flags)
{
	const struct step *s = &t.step[step];
	struct judged j;

	if ((t.guest == SHAPE_PAE && s->level == 3) || (entry_get(&t, e->value, t.guest, s->pa) & flags) == flags)
		return true;
	j = judge(&t, e->value, s->gpa, BY_UPDATE, CASE_WRITE, true, 0);
	if (j.outcome.what != TO) {
		e->reads += j.reads;
		e->outcome = j.outcome;
		e->step = step;
		e->last = j;
		return false;
	}
	e->writes += flag_entry(&t, e->value, t.guest, s->pa, flags);
	return true;
}

/* EPT-12, NPT-6: the whole walk of a guest whose own entries are all good. */
static void follow(struct expected *e)
{
	bool as_walked = t.q.profile < CASE_KVM_INTEL && (t.q.knobs & CASE_AD_AS_WALKED);

	e->reads = e->writes = 0;
	e->done = false;
	memcpy(e->value, t.q.memory.value, t.q.memory.count * sizeof(*e->value));
	for (e->step = 0;; e->step++) {
		const struct step *s = &t.step[e->step];

		e->done = !s->level;
		e->last = judge(&t, e->value, s->gpa, s->level ? BY_WALK : BY_ACCESS, t.q.access, t.q.user, ALL_RIGHTS);
		e->reads += e->last.reads;
		e->writes += judged_flags(&t, e->value, &e->last);
		e->outcome = e->last.outcome;
		if (e->outcome.what != TO)
			return;
		if (!s->level)
			break;
		e->reads++;
		e->pte[s->level - 1] = entry_get(&t, e->value, t.guest, s->pa);
		if (as_walked && t.step[e->step + 1].level && !flag_guest(e, e->step, 0x20))
			return;
	}
	for (unsigned i = 0; i < t.steps - 1; i++) {
		bool page = i == t.steps - 2;

		if (page || !as_walked)
			if (!flag_guest(e, i, page && t.q.access == CASE_WRITE ? 0x60 : 0x20))
				return;
	}
}

/* The record of the walk that follow() expects. */
static void check_record(const struct expected *e, unsigned guest_leaf, const char *name)
{
	const struct pagewalk_walk *walk = &a.run.walk;
	bool refused = e->outcome.what != TO;
	unsigned level = t.guest == SHAPE_OFF ? 0 : e->done ? guest_leaf : t.step[e->step].level; /* the guest's */

	EXPECT_NUMBER(walk->guest.address, t.q.va, "%s: guest.address", name);
	EXPECT_NUMBER(walk->guest.max_level, shapes[t.guest].levels, "%s: guest.max_level", name);
	EXPECT_NUMBER(walk->guest.level, level, "%s: guest.level", name);
	for (unsigned i = 0; i < t.steps && t.step[i].level; i++) {
		const struct pagewalk_entry *entry = &walk->guest.entry[t.step[i].level - 1];

		if (t.step[i].level >= level)
			EXPECT_NUMBER(entry->gpa, t.step[i].gpa, "%s: guest.entry[%u].gpa", name, t.step[i].level - 1);
		if (t.step[i].level > level || (e->done && t.step[i].level == level)) {
			EXPECT_NUMBER(entry->pa, t.step[i].pa, "%s: guest.entry[%u].pa", name, t.step[i].level - 1);
			EXPECT_NUMBER(entry->pte, e->pte[t.step[i].level - 1], "%s: guest.entry[%u].pte", name,
				      t.step[i].level - 1);
		}
	}
	if (refused && !e->done && e->last.by == BY_WALK) /* never read */
		EXPECT_NUMBER(walk->guest.entry[level - 1].pte, 0, "%s: guest.entry[%u].pte", name, level - 1);
	if (!t.step[e->step].level)
		EXPECT_NUMBER(walk->guest.gpa, t.step[e->step].gpa, "%s: guest.gpa", name);
	EXPECT_NUMBER(walk->nested.address, t.step[e->step].gpa, "%s: nested.address", name);
	EXPECT_NUMBER(walk->nested.max_level, shapes[t.second].levels, "%s: nested.max_level", name);
	EXPECT_NUMBER(walk->nested.level, e->last.level, "%s: nested.level", name);
	EXPECT_NUMBER(walk->nested.access & (BIT(32) | BIT(33)), t.step[e->step].level ? BIT(33) : BIT(32),
		      "%s: nested.access", name);
	for (unsigned l = shapes[t.second].levels; l >= e->last.level; l--) {
		EXPECT_NUMBER(walk->nested.entry[l - 1].gpa, e->last.at[l - 1], "%s: nested.entry[%u].gpa", name,
			      l - 1);
		EXPECT_NUMBER(walk->nested.entry[l - 1].pa, e->last.at[l - 1], "%s: nested.entry[%u].pa", name, l - 1);
		EXPECT_NUMBER(walk->nested.entry[l - 1].pte, e->last.pte[l - 1], "%s: nested.entry[%u].pte", name,
			      l - 1);
	}
	if (refused) {
		EXPECT_NUMBER(walk->fault.second_stage, true, "%s: second_stage", name);
		EXPECT_NUMBER(walk->fault.address, t.q.va, "%s: fault.address", name);
	} else {
		unsigned shift = t.guest == SHAPE_OFF ? 64 : shape_shift(t.guest, guest_leaf);

		EXPECT_NUMBER(walk->nested.gpa, e->outcome.code, "%s: nested.gpa", name);
		EXPECT_NUMBER(walk->guest.page_shift, shift, "%s: guest.page_shift", name);
		EXPECT_NUMBER(walk->nested.page_shift, e->last.shift, "%s: nested.page_shift", name);
		EXPECT_NUMBER(pagewalk_page_shift(walk), shift < e->last.shift ? shift : e->last.shift,
			      "%s: page_shift()", name);
	}
}

static void check_walk(unsigned guest_leaf, const char *name)
{
	static struct expected e;

	follow(&e);
	EXPECT(ask(&a, &t), e.outcome, "%s", name);
	EXPECT_MEMORY(&t, a.value, e.value, "%s", name);
	EXPECT_NUMBER(a.run.reads, e.reads, "%s: reads", name);
	EXPECT_NUMBER(a.run.writes, e.writes, "%s: writes", name);
	check_record(&e, guest_leaf, name);
}

/*
 * For each entry of the second stage's tables, and each way to spoil it, one walk: the first step that needs the
 * entry is refused, with what the rules say about that step; or none is, if none needs what was taken.
 */
static void check_refusals(enum shape guest, enum shape second, unsigned variant, bool kvm)
{
	static const struct { uint64_t set, clear; } ept_ways[] = {
		{ 0, 0 }, { 0, 0x407 }, { BIT(51) | 0x38, 0x407 }, { BIT(51), 0 }, { 0, 1 }, { 0, 2 }, { 0, 4 },
		{ 0, 3 }, { 0, 7 }, { 0, 0x400 },
	}, npt_ways[] = {
		{ 0, 0 }, { 0, 1 }, { BIT(51), 1 }, { BIT(51), 0 }, { BIT(21), 0 }, { 0, 2 }, { 0, 4 },
		{ BIT(63), 0 }, { BIT(8), 0 },
	};
	unsigned leaf = 1, ways = is_ept(second) ? COUNT(ept_ways) : COUNT(npt_ways);
	bool preset = variant & 8;
	char name[160];

	tables_start(&t, profile_for(second, kvm), 51, guest, second, variant & 1);
	t.q.mbec = t.q.gmet = variant & 2;
	t.q.knobs = variant & 4 ? CASE_AD_AS_WALKED : 0;
	t.second_leaf = variant & 16 ? 2 : 1;
	if (variant & 32 && guest)
		leaf = 2;
	t.q.access = (enum case_access)(variant % 3);
	t.q.user = variant & 64;
	tables_guest(&t, VA, leaf, !kvm && pdptes_in_memory(guest, second));
	if (preset)
		set_guest_flags();

	for (unsigned i = 0; i < t.steps; i++)
		for (unsigned level = t.second_leaf; level <= shapes[second].levels; level++)
			for (unsigned way = 0; way < ways; way++) {
				uint64_t at = second_at(&t, t.step[i].gpa, level), good = entry_now(&t, second, at);
				uint64_t set = is_ept(second) ? ept_ways[way].set : npt_ways[way].set;
				uint64_t clear = is_ept(second) ? ept_ways[way].clear : npt_ways[way].clear;

				if (set == BIT(21) && (second != SHAPE_32 || level == 1 || level > t.second_leaf))
					continue; /* a bit of an address */
				if (second == SHAPE_32)
					set = (uint32_t)set;
				snprintf(name, sizeof(name),
					 "%s, variant %u, kvm %d: for level %u, entry %u: set 0x%llx, clear 0x%llx",
					 t.name, variant, kvm, t.step[i].level, level, HEX(set), HEX(clear));
				entry_set(&t, second, at, (good | set) & ~clear);
				check_walk(leaf, name);
				entry_set(&t, second, at, good);
			}
}

static void check_guest_on_all(enum shape guest)
{
	for (size_t s = 0; s < COUNT(seconds); s++)
		for (unsigned variant = 0; variant < 128; variant += 3) { /* not all, but each bit beside each other */
			check_refusals(guest, seconds[s], variant, false);
			if (!(variant & 4)) /* a knob of the hardware's */
				check_refusals(guest, seconds[s], variant, true);
		}
}

Test(nested, refusals_paging_off)
{
	check_guest_on_all(SHAPE_OFF);
}

Test(nested, refusals_32)
{
	check_guest_on_all(SHAPE_32);
}

Test(nested, refusals_pae)
{
	check_guest_on_all(SHAPE_PAE);
}

Test(nested, refusals_4)
{
	check_guest_on_all(SHAPE_4);
}

Test(nested, refusals_5)
{
	check_guest_on_all(SHAPE_5);
}

/* ---- EPT-12, NPT-6: the guest's faults and the second stage's ---------------------------------------------------- */

enum guest_way { G_ABSENT, G_RESERVED, G_READ_ONLY, G_WAYS };

/* The guest's entry of step k and the second stage's leaf for step i are spoilt; a user writes. */
static void check_order(enum guest_way way, unsigned k, unsigned i, bool absent)
{
	static const unsigned codes[] = { [G_ABSENT] = 6, [G_RESERVED] = 0xf, [G_READ_ONLY] = 7 };
	const struct step *s = &t.step[i];
	unsigned spoilt = t.step[k].level;
	struct outcome want = { PF, codes[way], t.q.va };

	t.q.access = CASE_WRITE;
	t.q.user = true;
	tables_edit(&t, spoilt, way == G_RESERVED ? BIT(51) : 0, way == G_ABSENT ? 1 : way == G_READ_ONLY ? 2 : 0);
	second_edit(&t, s->gpa, 1, 0, !absent ? 2 : is_ept(t.second) ? 0x407 : 1);
	/* The second stage is asked before: for entries up to the spoilt one; and for all of them, if it is rights. */
	if (way == G_READ_ONLY ? s->level > 0 : i <= k)
		want = judge(&t, t.q.memory.value, s->gpa, BY_WALK, CASE_READ, true, 0).outcome;
	if (want.what == TO) /* EPT without A/D flags lets a read-only table be read; the update would come later */
		want = (struct outcome){ PF, codes[way], t.q.va };
	EXPECT(ask(&a, &t), want, "%s: level %u spoilt (%d), second stage for level %u %s", t.name, spoilt, (int)way,
	       s->level, absent ? "absent" : "read-only");
	if (want.what == PF) {
		EXPECT_NUMBER(a.run.walk.fault.second_stage, false, "%s: second_stage of a #PF", t.name);
		EXPECT_NUMBER(a.run.walk.guest.level, way == G_READ_ONLY ? 1 : spoilt, "%s: guest.level of a #PF",
			      t.name);
	}
}

/* Which comes first on the way decides. */
Test(nested, order)
{
	for (unsigned p = 0; p < PAIRS; p++)
		for (unsigned n = 0; n < G_WAYS * 2 * 2 * 5 * 6; n++) {
			enum guest_way way = (enum guest_way)(n % G_WAYS);
			unsigned k = n / (G_WAYS * 4) % 5, i = n / (G_WAYS * 4) / 5;

			start(guests[p % COUNT(guests)], seconds[p / COUNT(guests)], n / G_WAYS & 1);
			if (i >= t.steps || k >= t.steps - 1)
				continue;
			if (way == G_RESERVED && t.guest == SHAPE_32)
				continue; /* 4 KiB tables have nothing reserved */
			if (way == G_READ_ONLY && t.guest == SHAPE_PAE && t.step[k].level == 3)
				continue; /* a PDPTE has no rights */
			check_order(way, k, i, n / G_WAYS & 2);
		}
}

/* ---- Counts ------------------------------------------------------------------------------------------------------ */

Test(nested, number_of_reads)
{
	static const struct { enum shape guest, second; unsigned reads; } rows[] = {
		{ SHAPE_OFF, SHAPE_OFF, 0 }, { SHAPE_32, SHAPE_OFF, 2 }, { SHAPE_PAE, SHAPE_OFF, 2 },
		{ SHAPE_4, SHAPE_OFF, 4 }, { SHAPE_5, SHAPE_OFF, 5 },
		{ SHAPE_OFF, SHAPE_EPT4, 4 }, { SHAPE_OFF, SHAPE_32, 2 }, { SHAPE_OFF, SHAPE_PAE, 3 },
		{ SHAPE_4, SHAPE_EPT4, 24 }, { SHAPE_4, SHAPE_4, 24 }, { SHAPE_4, SHAPE_EPT5, 29 },
		{ SHAPE_5, SHAPE_EPT5, 35 }, { SHAPE_5, SHAPE_5, 35 }, { SHAPE_5, SHAPE_EPT4, 29 },
		{ SHAPE_32, SHAPE_EPT4, 14 }, { SHAPE_32, SHAPE_32, 8 }, { SHAPE_PAE, SHAPE_EPT4, 14 },
		{ SHAPE_4, SHAPE_PAE, 19 }, { SHAPE_4, SHAPE_32, 14 }, { SHAPE_PAE, SHAPE_4, 19 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		start(rows[i].guest, rows[i].second, true);
		EXPECT(ask(&a, &t), LEADS(t.step[t.steps - 1].pa), "%s", t.name);
		EXPECT_NUMBER(a.run.reads, rows[i].reads, "%s: reads", t.name);
		cr_expect(a.run.reads <= PAGEWALK_MAX_READS, "%u reads", a.run.reads);
		/* once more, with all flags set: nothing is written */
		memcpy(t.q.memory.value, a.value, t.q.memory.count * sizeof(*a.value));
		EXPECT(ask(&a, &t), LEADS(t.step[t.steps - 1].pa), "%s, again", t.name);
		EXPECT_NUMBER(a.run.writes, 0, "%s, again: writes", t.name);
	}
	/* The worst case, which PAGEWALK_MAX_READS is: the last flag is refused after everything else. */
	start(SHAPE_5, SHAPE_EPT5, false);
	second_edit(&t, guest_gpa(&t, 1), 1, 0, 2);
	EXPECT(ask(&a, &t), VIOLATES(0xab, guest_gpa(&t, 1)), "the worst case");
	EXPECT_NUMBER(a.run.reads, PAGEWALK_MAX_READS, "the worst case: reads");
}

/* ---- Callbacks that fail, and memory that others write ----------------------------------------------------------- */

static struct {
	unsigned reads, fail_read;     /* the fail_read-th read fails; 0: none */
	uint64_t read_at[PAGEWALK_MAX_READS + 8];
	bool read_second[PAGEWALK_MAX_READS + 8];
	unsigned writes, fail_write;
	uint64_t write_at;             /* of the write that failed */
	bool write_second;
	unsigned lose_guest, lose_second; /* so many of the stage's compare-exchanges lose */
	unsigned guest_writes, second_writes;
	uint64_t spoil_at, spoil_clear; /* what the other CPU does to the entry when the first one loses */
	unsigned open_read;             /* before this read the other CPU makes the second stage's entry writable */
	uint64_t open_at;
} hook;

static int (*real_read)(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte);
static int (*real_cmpxchg)(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t old, uint64_t new_gpte);

static int hooked_read(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	bool second = w == &a.run.second.walk;
	enum shape s = second ? t.second : t.guest;

	if (hook.reads < COUNT(hook.read_at)) {
		hook.read_at[hook.reads] = pa;
		hook.read_second[hook.reads] = second;
	}
	hook.reads++;
	if ((size != shapes[s].size || pa % size) && !enough())
		cr_expect(false, "a read of %u bytes at 0x%llx", size, HEX(pa));
	if (hook.reads == hook.fail_read) {
		*gpte = 0x5a5a5a5a; /* must not show */
		return -1;
	}
	if (hook.reads == hook.open_read)
		case_store(&t.q.memory, a.value, hook.open_at, 8, entry_get(&t, a.value, t.second, hook.open_at) | 2);
	return real_read(w, pa, size, gpte);
}

static int hooked_cmpxchg(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t old, uint64_t new_gpte)
{
	bool second = w == &a.run.second.walk;
	enum shape s = second ? t.second : t.guest;
	unsigned nth = second ? ++hook.second_writes : ++hook.guest_writes;
	uint64_t flags = is_ept(s) ? 0x300 : 0x60;

	if ((size != shapes[s].size || pa % size || (old ^ new_gpte) & ~flags || old & ~new_gpte || old == new_gpte) &&
	    !enough())
		cr_expect(false, "a write of %u bytes at 0x%llx, 0x%llx to 0x%llx", size, HEX(pa), HEX(old),
			  HEX(new_gpte));
	if (++hook.writes == hook.fail_write) {
		hook.write_at = pa;
		hook.write_second = second;
		return -1;
	}
	if (nth <= (second ? hook.lose_second : hook.lose_guest)) {
		if (hook.spoil_at)
			case_store(&t.q.memory, a.value, hook.spoil_at, shapes[s].size,
				   entry_get(&t, a.value, s, hook.spoil_at) & ~hook.spoil_clear);
		return 1;
	}
	return real_cmpxchg(w, pa, size, old, new_gpte);
}

static void hooked_open(void)
{
	struct library_run *run = &a.run;

	cr_assert_eq(asked_open(&a, &t.q, library_cpu(&t.q).quirks), PAGEWALK_OK, "the walkers are refused");
	real_read = run->guest.walk.read_gpte;
	real_cmpxchg = run->guest.walk.cmpxchg_gpte;
	run->guest.walk.read_gpte = run->second.walk.read_gpte = hooked_read;
	run->guest.walk.cmpxchg_gpte = run->second.walk.cmpxchg_gpte = hooked_cmpxchg;
}

static struct outcome ask_hooked(void)
{
	hooked_open();
	return ask_walker(&a, &a.run.guest.walk, t.q.va, library_access(&t.q));
}

static void hook_clear(void)
{
	memset(&hook, 0, sizeof(hook));
}

/* Every entry is read once, root first, each guest's after those that lead to it; and the size is the entry's. */
Test(nested, reads_in_order)
{
	for (unsigned p = 0; p < PAIRS; p++) {
		unsigned n = 0;

		start(guests[p % COUNT(guests)], seconds[p / COUNT(guests)], true);
		hook_clear();
		EXPECT(ask_hooked(), LEADS(t.step[t.steps - 1].pa), "%s", t.name);
		for (unsigned i = 0; i < t.steps; i++) {
			for (unsigned level = shapes[t.second].levels; level; level--, n++) {
				EXPECT_NUMBER(hook.read_at[n], second_at(&t, t.step[i].gpa, level), "%s: read %u",
					      t.name, n);
				EXPECT_NUMBER(hook.read_second[n], true, "%s: read %u: stage", t.name, n);
			}
			if (t.step[i].level) {
				EXPECT_NUMBER(hook.read_at[n], t.step[i].pa, "%s: read %u", t.name, n);
				EXPECT_NUMBER(hook.read_second[n], false, "%s: read %u: stage", t.name, n);
				n++;
			}
		}
		EXPECT_NUMBER(hook.reads, n, "%s: reads", t.name);
	}
}

/*
 * The k-th read fails: of the second stage's entry of a level for a step or, level 0, of the guest's entry. Hardware's
 * profile: NO_MEMORY there. KVM's (deviation 7): not present; of a guest's table a #PF, of the second stage's a
 * violation with the rights of the entries above, or an NPF.
 */
static void check_read_fails(unsigned k, unsigned i, unsigned level, bool kvm)
{
	const struct step *s = &t.step[i];
	bool fetch = t.q.access == CASE_FETCH, second = level > 0;
	unsigned write = t.q.access == CASE_WRITE ? 2 : 0, user = t.q.user ? 4 : 0;
	unsigned guest_level = s->level || !t.guest ? s->level : 1;
	uint64_t page = t.guest ? s->gpa & ~(uint64_t)0xfff : s->gpa, flags[CASE_MAX_WORDS]; /* KVM-4 */
	struct outcome want;

	if (!kvm)
		want = (struct outcome){ NO_MEMORY, 0, second ? second_at(&t, s->gpa, level) : s->pa };
	else if (!second) /* NXE is on where there is PAE */
		want = (struct outcome){ PF, write | user | (fetch && t.guest >= SHAPE_PAE ? 0x10u : 0), t.q.va };
	else if (is_ept(t.second))
		want = VIOLATES(0x78 | (s->level ? 0x83u : write ? 0x182u : fetch ? 0x184u : 0x181u), page);
	else
		want = NPFS(s->level ? 0x200000006 : 0x100000004 | write | (fetch && t.second != SHAPE_32 ? 0x10u : 0),
			    page);
	hook_clear();
	hook.fail_read = k;
	EXPECT(ask_hooked(), want, "%s, kvm %d, kind %d, user %u: read %u fails", t.name, kvm, (int)t.q.access, user,
	       k);
	EXPECT_NUMBER(hook.reads, k, "%s: read %u fails: reads", t.name, k);
	EXPECT_NUMBER(a.run.walk.fault.second_stage, second, "%s: read %u fails: second_stage", t.name, k);
	EXPECT_NUMBER(a.run.walk.guest.level, guest_level, "%s: read %u fails: guest.level", t.name, k);
	if (second) {
		EXPECT_NUMBER(a.run.walk.nested.level, level, "%s: read %u fails: nested.level", t.name, k);
		EXPECT_NUMBER(a.run.walk.nested.entry[level - 1].pte, 0, "%s: read %u fails: nested.pte", t.name, k);
	}
	if (s->level)
		EXPECT_NUMBER(a.run.walk.guest.entry[s->level - 1].pte, 0, "%s: read %u fails: guest.pte", t.name, k);
	if (!kvm)
		EXPECT_NUMBER(a.run.walk.fault.address, t.q.va, "%s: read %u fails: fault.address", t.name, k);
	/* What the second stage's walks before it have left, and nothing of the guest's. */
	memcpy(flags, t.q.memory.value, t.q.memory.count * sizeof(*flags));
	for (unsigned before = 0; before < (second ? i : i + 1); before++) {
		struct judged j = judge(&t, flags, t.step[before].gpa, BY_WALK, CASE_READ, true, 0);

		judged_flags(&t, flags, &j);
	}
	EXPECT_MEMORY(&t, a.value, flags, "%s, kvm %d: read %u fails", t.name, kvm, k);
}

Test(nested, read_k_fails)
{
	for (unsigned p = 0; p < PAIRS; p++)
		for (unsigned n = 0; n < 2 * 3 * 2 * 2; n++) {
			bool kvm = n & 1;
			unsigned k = 0;

			start_as(guests[p % COUNT(guests)], seconds[p / COUNT(guests)], n & 2, kvm);
			t.q.access = (enum case_access)(n / 8);
			t.q.user = n & 4;
			t.q.mbec = true;
			for (unsigned i = 0; i < t.steps; i++) {
				for (unsigned level = shapes[t.second].levels; level; level--)
					check_read_fails(++k, i, level, kvm);
				if (t.step[i].level)
					check_read_fails(++k, i, 0, kvm);
			}
		}
}

/* The k-th compare-exchange finds no memory. */
Test(nested, write_k_fails)
{
	for (unsigned p = 0; p < 2 * PAIRS; p++) {
		unsigned all;

		start(guests[p % COUNT(guests)], seconds[p / COUNT(guests) % COUNT(seconds)], true);
		t.q.knobs = p >= PAIRS ? CASE_AD_AS_WALKED : 0;
		t.q.access = CASE_WRITE;
		hook_clear();
		EXPECT(ask_hooked(), LEADS(t.step[t.steps - 1].pa), "%s", t.name);
		all = hook.writes;
		for (unsigned k = 1; k <= all; k++) {
			struct outcome o;

			hook_clear();
			hook.fail_write = k;
			o = ask_hooked();
			EXPECT(o, ((struct outcome){ NO_MEMORY, 0, hook.write_at }), "%s, knobs %u: write %u fails",
			       t.name, t.q.knobs, k);
			EXPECT_NUMBER(a.run.walk.fault.second_stage, hook.write_second,
				      "%s: write %u fails: second_stage", t.name, k);
			EXPECT_NUMBER(a.run.walk.fault.rule, 0, "%s: write %u fails: no rule says so", t.name, k);
			EXPECT_NUMBER(hook.writes, k, "%s: write %u fails: writes", t.name, k);
		}
	}
}

/* The same for KVM: an entry that is not present, of rights that the walk has found by then (deviations 7 and 8). */
Test(nested, write_k_fails_kvm)
{
	static const struct { enum shape second; struct outcome table, final; } rows[] = {
		{ SHAPE_EPT4, { VIOLATION, 0xbb, 0 }, { VIOLATION, 0x1ba, 0 } },
		{ SHAPE_4, { NPF, 0x200000006, 0 }, { NPF, 0x100000006, 0 } },
	};

	for (size_t s = 0; s < COUNT(rows); s++) {
		unsigned all;

		start_as(SHAPE_4, rows[s].second, true, true);
		t.q.access = CASE_WRITE;
		hook_clear();
		EXPECT(ask_hooked(), LEADS(t.step[4].pa), "4-level on %s", shapes[rows[s].second].name);
		all = hook.writes;
		for (unsigned k = 1; k <= all; k++) {
			struct outcome want = { PF, 2, t.q.va };
			struct outcome o;

			hook_clear();
			hook.fail_write = k;
			o = ask_hooked();
			if (hook.write_second) {
				unsigned step = (k - 1) / 4;

				want = t.step[step].level ? rows[s].table : rows[s].final;
				want.at = t.step[step].gpa & ~(uint64_t)0xfff;
			}
			EXPECT(o, want, "4-level on %s, kvm: write %u fails", shapes[rows[s].second].name, k);
		}
	}
}

/* AD-5: a compare-exchange that loses starts the walk anew, PAGEWALK_MAX_ATTEMPTS times in all. */
Test(nested, lost_updates)
{
	for (unsigned p = 0; p < 2 * PAIRS; p++) {
		bool as_walked = p >= PAIRS;
		unsigned levels, whole, first;
		struct outcome to;

		start(guests[p % COUNT(guests)], seconds[p / COUNT(guests) % COUNT(seconds)], true);
		if (t.guest == SHAPE_OFF)
			continue; /* nothing of the guest's to update */
		t.q.knobs = as_walked ? CASE_AD_AS_WALKED : 0;
		t.q.access = CASE_WRITE;
		to = LEADS(t.step[t.steps - 1].pa);
		hook_clear();
		EXPECT(ask_hooked(), to, "%s", t.name);
		levels = shapes[t.second].levels;
		whole = hook.reads;
		/* Reads up to the guest's first update; a PDPTE has none. */
		first = as_walked ? levels + 1 : whole;
		if (as_walked && pdptes_in_memory(t.guest, t.second))
			first *= 2;

		for (unsigned lost = 1; lost <= PAGEWALK_MAX_ATTEMPTS; lost++) {
			bool over = lost == PAGEWALK_MAX_ATTEMPTS;
			struct outcome want = over ? (struct outcome){ RETRY, 0, 0 } : to;

			hook_clear();
			hook.lose_guest = lost;
			EXPECT(ask_hooked(), want, "%s, as walked %d: the guest's update loses %u times", t.name,
			       as_walked, lost);
			EXPECT_NUMBER(hook.reads, lost * first + (over ? 0 : whole),
				      "%s: the guest's update loses %u times: reads", t.name, lost);
			hook_clear();
			hook.lose_second = lost;
			EXPECT(ask_hooked(), want, "%s, as walked %d: the second stage's loses %u times", t.name,
			       as_walked, lost);
			if (!as_walked)
				EXPECT_NUMBER(hook.reads, lost * levels + (over ? 0 : whole),
					      "%s: the second stage's loses %u times: reads", t.name, lost);
		}
		/* for ever */
		hook_clear();
		hook.lose_guest = hook.lose_second = ~0u;
		EXPECT_NUMBER(ask_hooked().what, RETRY, "%s: all updates lose", t.name);
		cr_expect(hook.reads <= PAGEWALK_MAX_READS * PAGEWALK_MAX_ATTEMPTS, "%s: %u reads", t.name, hook.reads);
		EXPECT_NUMBER(hook.writes, PAGEWALK_MAX_ATTEMPTS, "%s: all updates lose: writes", t.name);
	}
}

/* The most reads in all: everything goes well but the very last update, again and again. */
Test(nested, lost_updates_worst_case)
{
	start(SHAPE_5, SHAPE_EPT5, true);
	t.q.access = CASE_WRITE;
	for (unsigned level = 2; level <= 5; level++)
		tables_edit(&t, level, 0x20, 0);
	hook_clear();
	hook.lose_guest = ~0u;
	EXPECT(ask_hooked(), ((struct outcome){ RETRY, 0, 0 }), "the last update loses");
	EXPECT_NUMBER(hook.reads, 35 * PAGEWALK_MAX_ATTEMPTS, "the last update loses: reads");
	EXPECT_NUMBER(hook.guest_writes, PAGEWALK_MAX_ATTEMPTS, "the last update loses: the guest's writes");
	EXPECT_NUMBER(hook.second_writes, 6 * 5, "the second stage's writes, all of the first attempt");
}

/* What made it lose is what the next attempt finds. */
Test(nested, lost_update_finds_the_new_entry)
{
	for (size_t s = 0; s < COUNT(seconds); s++) {
		uint64_t gpa;

		start(SHAPE_4, seconds[s], true);
		hook_clear();
		hook.lose_guest = 1;
		hook.spoil_at = t.step[2].pa;
		hook.spoil_clear = 1;
		EXPECT(ask_hooked(), ((struct outcome){ PF, 0, t.q.va }), "%s: the guest's entry goes away",
		       shapes[seconds[s]].name);
		EXPECT_NUMBER(a.run.walk.guest.level, 2, "the guest's entry goes away: guest.level");

		hook_clear();
		hook.lose_second = 1;
		gpa = t.step[0].gpa;
		hook.spoil_at = second_at(&t, gpa, 1);
		hook.spoil_clear = 7 | BIT(10);
		EXPECT(ask_hooked(), (is_ept(seconds[s]) ? VIOLATES(0x83, gpa) : NPFS(0x200000006, gpa)),
		       "%s: the second stage's goes away", shapes[seconds[s]].name);
		EXPECT_NUMBER(a.run.walk.guest.level, 4, "the second stage's entry goes away: guest.level");
	}
}

/*
 * EPT-16: a table's page that becomes writable between its reading and the update: the walk starts anew, and all is
 * well.
 */
Test(nested, refused_update_no_more)
{
	static const enum shape rows[] = { SHAPE_32, SHAPE_4 };

	for (unsigned n = 0; n < 2 * COUNT(rows); n++) {
		enum shape guest = rows[n / 2];
		unsigned as_walked = n % 2, levels = shapes[guest].levels, all = levels * 5 + 4; /* reads of a walk */

		for (unsigned level = 1; level <= levels; level++) {
			/* Reads up to the update. */
			unsigned before = as_walked && level > 1 ? (levels + 1 - level) * 5 : all;

			start(guest, SHAPE_EPT4, false);
			t.q.knobs = as_walked ? CASE_AD_AS_WALKED : 0;
			hook_clear();
			hook.open_read = before + 1;
			hook.open_at = second_at(&t, guest_gpa(&t, level), 1);
			second_edit(&t, guest_gpa(&t, level), 1, 0, 2);
			EXPECT(ask_hooked(), LEADS(t.step[levels].pa),
			       "%s: level %u's page becomes writable, as walked %u", t.name, level, as_walked);
			EXPECT_NUMBER(hook.reads, before + 4 + all,
				      "%s: level %u's page becomes writable, as walked %u: reads", t.name, level,
				      as_walked);
			for (unsigned i = 0; i < levels; i++)
				EXPECT_NUMBER(entry_get(&t, a.value, guest, t.step[i].pa) & 0x60, 0x20,
					      "%s: level %u's page becomes writable, as walked %u: flags of level %u",
					      t.name, level, as_walked, t.step[i].level);
		}
	}
}

/* Without a cmpxchg_gpte nothing is written, in either stage. */
Test(nested, no_cmpxchg)
{
	for (size_t s = 0; s < COUNT(seconds); s++)
		for (unsigned n = 1; n < 4; n++) {
			uint64_t want[CASE_MAX_WORDS];

			start(SHAPE_4, seconds[s], true);
			t.q.access = CASE_WRITE;
			cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
			if (n & 1)
				a.run.guest.walk.cmpxchg_gpte = NULL;
			if (n & 2)
				a.run.second.walk.cmpxchg_gpte = NULL;
			EXPECT(ask_walker(&a, &a.run.guest.walk, VA, PAGEWALK_ACCESS_WRITE), LEADS(t.step[4].pa),
			       "%s, no cmpxchg %u", t.name, n);
			memcpy(want, t.q.memory.value, t.q.memory.count * sizeof(*want));
			for (unsigned i = 0; i < t.steps && !(n & 2); i++) {
				struct judged j = judge(&t, want, t.step[i].gpa, t.step[i].level ? BY_WALK : BY_ACCESS,
							CASE_WRITE, true, 0);

				judged_flags(&t, want, &j);
			}
			for (unsigned i = 0; i < 4 && !(n & 1); i++)
				flag_entry(&t, want, SHAPE_4, t.step[i].pa, i == 3 ? 0x60 : 0x20);
			EXPECT_MEMORY(&t, a.value, want, "%s, no cmpxchg %u", t.name, n);
		}
}

/* ---- Walkers that are no second stage ---------------------------------------------------------------------------- */

Test(nested, bad_second_stages)
{
	static struct kvm_pagewalk other;
	struct pagewalk_regs regs, off = { 1, 0, 0, false };
	struct pagewalk_cpu cpu;

	for (size_t g = 0; g < COUNT(guests); g++)
		for (unsigned n = 0; n < 7; n++) {
			uint64_t pa, pdpte[4] = { 1, 2, 3, 4 };
			struct kvm_pagewalk *w = &a.run.guest.walk;

			start(guests[g], SHAPE_EPT4, true);
			cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
			cpu = w->cpu;
			regs = (struct pagewalk_regs){ t.q.cr0, t.q.cr4, t.q.efer, false };
			memset(&other, 0, sizeof(other));
			other.read_gpte = w->read_gpte;
			switch (n) {
			case 0: /* not initialised */
				break;
			case 1: /* a guest's */
				cr_assert_eq(pagewalk_init(&other, &cpu, &regs), PAGEWALK_OK,
					     "the guest's walker is refused");
				break;
			case 2: /* a guest's, which has a good second stage */
				cr_assert_eq(pagewalk_init(&other, &cpu, &regs), PAGEWALK_OK,
					     "the guest's walker is refused");
				other.ngpa_walk = &a.run.second.walk;
				break;
			case 3: /* paging off */
				cr_assert_eq(pagewalk_init(&other, &cpu, &off), PAGEWALK_OK, "paging off is refused");
				break;
			case 4: /* refused */
				cr_assert_eq(pagewalk_init_ept(&other, &cpu, 0x1f, false), PAGEWALK_BAD_STATE,
					     "a bad EPTP is accepted");
				break;
			case 5: /* refused when it was good already */
				cr_assert_eq(pagewalk_init_ept(&other, &cpu, t.q.eptp, false), PAGEWALK_OK,
					     "an EPTP is refused");
				cr_assert_eq(pagewalk_init_npt(&other, &cpu, &off, 0, false), PAGEWALK_BAD_STATE,
					     "NPT without paging");
				break;
			}
			w->ngpa_walk = n == 6 ? w : &other; /* itself */
			EXPECT_NUMBER(pagewalk_translate(w, VA, PAGEWALK_ACCESS_READ, &a.run.walk), PAGEWALK_BAD_STATE,
				      "%s, bad second stage %u", t.name, n);
			EXPECT_NUMBER(pagewalk_translate_gpa(w, 0, PAGEWALK_PFERR_GUEST_PAGE, &pa, &a.run.walk),
				      PAGEWALK_BAD_STATE, "%s, bad second stage %u, translate_gpa",
				      t.name, n);
			EXPECT_NUMBER(pagewalk_load_pdptrs(w, 0, pdpte, &a.run.walk), PAGEWALK_BAD_STATE,
				      "%s, bad second stage %u, load_pdptrs", t.name, n);
			EXPECT_NUMBER(pdpte[0] | pdpte[1] << 4 | pdpte[2] << 8 | pdpte[3] << 12, 0x4321,
				      "PDPTEs of a load in a bad state");
			EXPECT_NUMBER(a.run.reads, 0, "%s, bad second stage %u: reads", t.name, n);
			w->ngpa_walk = NULL;
		}
}

/* Tables that nobody reads. */
Test(nested, second_stage_without_read_callback)
{
	for (size_t i = 0; i < COUNT(seconds); i++) {
		struct kvm_pagewalk *w = &a.run.second.walk;
		struct pagewalk_regs host;
		struct pagewalk_cpu cpu;
		bool ept = is_ept(seconds[i]);

		start(SHAPE_4, seconds[i], true);
		cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
		cpu = w->cpu;
		host = (struct pagewalk_regs){ t.q.hcr0, t.q.hcr4, t.q.hefer, false };
		w->read_gpte = NULL;
		EXPECT_NUMBER(ept ? pagewalk_init_ept(w, &cpu, t.q.eptp, false) :
				    pagewalk_init_npt(w, &cpu, &host, t.q.ncr3, false),
			      PAGEWALK_BAD_STATE, "%s, no read_gpte: init", shapes[seconds[i]].name);
		EXPECT(ask_walker(&a, w, t.q.va, PAGEWALK_ACCESS_READ), ((struct outcome){ BAD_STATE, 0, 0 }),
		       "%s, no read_gpte: walk", shapes[seconds[i]].name);
		EXPECT(ask_walker(&a, &a.run.guest.walk, t.q.va, PAGEWALK_ACCESS_READ),
		       ((struct outcome){ BAD_STATE, 0, 0 }), "4-level on %s, no read_gpte: walk",
		       shapes[seconds[i]].name);
	}
}

/* A second stage has none of its own, whatever its field says. */
Test(nested, second_stage_of_a_second_stage)
{
	start(SHAPE_4, SHAPE_EPT4, true);
	cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
	a.run.second.walk.ngpa_walk = &a.run.second.walk;
	EXPECT_NUMBER(pagewalk_translate(&a.run.guest.walk, VA, PAGEWALK_ACCESS_READ, &a.run.walk), PAGEWALK_OK,
		      "its own second stage");
	EXPECT_NUMBER(a.run.walk.pa, t.step[4].pa, "its own second stage: pa");
	a.run.second.walk.ngpa_walk = &a.run.guest.walk;
	EXPECT_NUMBER(pagewalk_translate(&a.run.guest.walk, VA, PAGEWALK_ACCESS_READ, &a.run.walk), PAGEWALK_OK,
		      "a circle");
	EXPECT_NUMBER(pagewalk_translate(&a.run.second.walk, t.step[4].gpa, PAGEWALK_ACCESS_READ, &a.run.walk),
		      PAGEWALK_OK, "alone, in a circle");
}

/* A walker of any kind: a second stage, or a guest's own. */
static enum pagewalk_status init_as(struct kvm_pagewalk *w, const struct pagewalk_cpu *cpu, enum shape s, bool guest)
{
	struct pagewalk_regs regs = { 0, 0, 0, false };

	if (is_ept(s))
		return pagewalk_init_ept(w, cpu, s == SHAPE_EPT5 ? 0x66 : 0x5e, true);
	shape_registers(s, &regs.cr0, &regs.cr4, &regs.efer);
	regs.cr4 |= BIT(20) | BIT(21) | BIT(22); /* SMEP, SMAP, keys */
	return guest ? pagewalk_init(w, cpu, &regs) : pagewalk_init_npt(w, cpu, &regs, 0x5000, true);
}

/* Each bit of the entries on the way to one GPA, for a walker of the second stage that is open. */
static void check_each_bit(const char *before)
{
	uint64_t gpa = t.step[0].gpa;

	for (unsigned level = 1; level <= shapes[t.second].levels; level++)
		for (unsigned bit = 0; bit < 8 * shapes[t.second].size; bit++) {
			uint64_t at = second_at(&t, gpa, level), good = entry_now(&t, t.second, at);
			struct judged j;

			case_store(&t.q.memory, a.value, at, shapes[t.second].size, good ^ BIT(bit));
			j = judge(&t, a.value, gpa, BY_ACCESS, CASE_READ, true, ALL_RIGHTS);
			EXPECT(ask_walker(&a, &a.run.second.walk, gpa, PAGEWALK_PFERR_GUEST_FINAL), j.outcome,
			       "%s after %s, features 0x%x, bit %u of entry %u", t.name, before, t.q.features, bit,
			       level);
			case_store(&t.q.memory, a.value, at, shapes[t.second].size, good);
		}
}

/* A walker may change its kind; nothing of the old one stays. */
Test(nested, init_again)
{
	for (size_t n = 0; n < COUNT(seconds) * COUNT(seconds) * 2 * 2; n++) {
		enum shape second = seconds[n % COUNT(seconds)], before = seconds[n / COUNT(seconds) % COUNT(seconds)];
		bool guest = n / (COUNT(seconds) * COUNT(seconds)) & 1,
		     poor = n / (COUNT(seconds) * COUNT(seconds)) & 2;
		struct kvm_pagewalk *w = &a.run.second.walk;
		struct pagewalk_cpu cpu;
		struct pagewalk_regs host;

		start(SHAPE_OFF, second, true);
		if (!is_ept(second)) /* bits of nCR3 that are ignored there */
			t.q.ncr3 |= 0x18 | (second <= SHAPE_PAE ? BITS(63, 32) : 0);
		cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
		cpu = w->cpu;
		w->pkru = ~(uint32_t)0;
		cr_assert_eq(init_as(w, &cpu, before, guest), PAGEWALK_OK, "%s is refused", shapes[before].name);
		if (poor) {
			t.q.features &= ~(unsigned)(CASE_PAGE1GB | CASE_PSE36 | CASE_PAT);
			t.q.ept_features = CASE_EPT_AD | CASE_EPT_5L;
			t.q.hcr4 &= ~BIT(4);
			t.q.hefer &= ~BIT(11);
		}
		cpu = library_cpu(&t.q);
		host = (struct pagewalk_regs){ t.q.hcr0, t.q.hcr4, t.q.hefer, false };
		if (is_ept(second))
			cr_assert_eq(pagewalk_init_ept(w, &cpu, t.q.eptp, false), PAGEWALK_OK, "%s is refused", t.name);
		else
			cr_assert_eq(pagewalk_init_npt(w, &cpu, &host, t.q.ncr3, false), PAGEWALK_OK, "%s is refused",
				     t.name);
		EXPECT(ask_walker(&a, &a.run.guest.walk, t.q.va, PAGEWALK_ACCESS_WRITE), LEADS(t.step[0].pa),
		       "%s after %s", t.name, shapes[before].name);
		EXPECT_NUMBER(a.run.reads, shapes[second].levels, "%s after %s: reads", t.name, shapes[before].name);
		EXPECT_NUMBER(pagewalk_rights(&a.run.guest.walk, &a.run.walk), 15, "%s after %s: rights()", t.name,
			      shapes[before].name);
		w->cmpxchg_gpte = NULL; /* the flags are checked elsewhere */
		check_each_bit(shapes[before].name);
	}
}

/* ---- One stage by itself ----------------------------------------------------------------------------------------- */

Test(nested, second_stage_alone)
{
	static const struct {
		enum shape second;
		uint64_t access, clear;
		struct outcome want; /* at is added */
	} rows[] = {
		{ SHAPE_EPT4, PAGEWALK_PFERR_GUEST_FINAL, 0x407, { VIOLATION, 0x781, 0 } },
		{ SHAPE_EPT4, PAGEWALK_PFERR_GUEST_FINAL | PAGEWALK_ACCESS_WRITE, 2, { VIOLATION, 0x7aa, 0 } },
		{ SHAPE_EPT4, PAGEWALK_PFERR_GUEST_FINAL | PAGEWALK_ACCESS_FETCH, 4, { VIOLATION, 0x79c, 0 } },
		{ SHAPE_EPT4, PAGEWALK_PFERR_GUEST_PAGE, 0x407, { VIOLATION, 0x81, 0 } },
		{ SHAPE_EPT4, PAGEWALK_PFERR_GUEST_PAGE | PAGEWALK_ACCESS_WRITE, 2, { VIOLATION, 0xab, 0 } },
		{ SHAPE_EPT5, PAGEWALK_PFERR_GUEST_PAGE | PAGEWALK_ACCESS_NO_LINEAR, 0x407, { VIOLATION, 0x01, 0 } },
		{ SHAPE_EPT5, 0, 0x407, { VIOLATION, 0x81, 0 } }, /* no one said final */
		{ SHAPE_EPT5, PAGEWALK_ACCESS_WRITE, 2, { VIOLATION, 0xaa, 0 } },
		{ SHAPE_4, PAGEWALK_PFERR_GUEST_FINAL, 1, { NPF, 0x100000004, 0 } },
		{ SHAPE_4, PAGEWALK_PFERR_GUEST_FINAL | PAGEWALK_ACCESS_USER, 1, { NPF, 0x100000004, 0 } },
		{ SHAPE_5, PAGEWALK_PFERR_GUEST_PAGE | PAGEWALK_ACCESS_WRITE, 2, { NPF, 0x200000007, 0 } },
		{ SHAPE_PAE, 0, 1, { NPF, 0x4, 0 } },
		{ SHAPE_PAE, PAGEWALK_ACCESS_FETCH, 1, { NPF, 0x14, 0 } },
		{ SHAPE_32, PAGEWALK_ACCESS_WRITE, 2, { NPF, 0x7, 0 } },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct outcome want = rows[i].want;

		start(SHAPE_OFF, rows[i].second, true);
		second_edit(&t, t.q.va, 1, 0, rows[i].clear);
		cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
		want.at = t.q.va;
		EXPECT(ask_walker(&a, &a.run.second.walk, t.q.va, rows[i].access), want, "%s alone, access 0x%llx",
		       shapes[rows[i].second].name, HEX(rows[i].access));
		EXPECT_NUMBER(a.run.walk.guest.max_level, 0, "%s alone: guest.max_level", shapes[rows[i].second].name);
		EXPECT_NUMBER(a.run.walk.fault.address, t.q.va, "%s alone: fault.address", shapes[rows[i].second].name);
	}
}

static struct outcome translate_gpa(uint64_t gpa, uint64_t access)
{
	uint64_t pa = 1;

	a.run.status = pagewalk_translate_gpa(&a.run.guest.walk, gpa, access, &pa, &a.run.walk);
	return a.run.status == PAGEWALK_OK ? LEADS(pa) : outcome_of(a.run.status, &a.run.walk);
}

/* Without a second stage: itself, and the record is not touched. */
Test(nested, translate_gpa_one_dimension)
{
	static const uint64_t gpas[] = { 0, 0xfff, BIT(31), BIT(47) + 5, BIT(52), ~(uint64_t)0 };

	for (size_t g = 0; g < COUNT(guests); g++)
		for (size_t n = 0; n < COUNT(gpas) * 8; n++) {
			unsigned char before[sizeof(a.run.walk)];
			uint64_t access = access_bits(n & 1, false, n & 2) | BIT(n & 4 ? 32 : 33);

			start(guests[g], SHAPE_OFF, false);
			cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walker is refused");
			memcpy(before, &a.run.walk, sizeof(before));
			EXPECT(translate_gpa(gpas[n / 8], access), LEADS(gpas[n / 8]), "%s, access 0x%llx", t.name,
			       HEX(access));
			EXPECT_NUMBER(memcmp(before, &a.run.walk, sizeof(before)) == 0, 1, "%s: the record", t.name);
		}
}

/* With one: its walk, for this address alone. */
Test(nested, translate_gpa)
{
	const uint64_t access = PAGEWALK_PFERR_GUEST_PAGE | PAGEWALK_ACCESS_WRITE;

	for (size_t s = 0; s < COUNT(seconds); s++) {
		uint64_t gpa;

		start(SHAPE_4, seconds[s], true);
		gpa = guest_gpa(&t, 2);
		second_edit(&t, gpa, 1, 0, 0x407);
		cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
		for (unsigned i = 0; i < t.steps; i++)
			if (t.step[i].level != 2) {
				EXPECT(translate_gpa(t.step[i].gpa, access), LEADS(t.step[i].pa), "%s, step %u", t.name,
				       i);
				EXPECT_NUMBER(a.run.walk.nested.gpa, t.step[i].pa, "%s, step %u: nested.gpa", t.name,
					      i);
			}
		EXPECT(translate_gpa(gpa, access), (is_ept(seconds[s]) ? VIOLATES(0x83, gpa) : NPFS(0x200000006, gpa)),
		       "%s, absent", t.name);
	}
}

/* FNAME(walk_addr) of the instance that belongs to the tables. */
static struct outcome walk_addr(const struct kvm_pagewalk *w, enum shape s, uint64_t address, uint64_t access)
{
	struct pagewalk_walk *walk = &a.run.walk;

	if (is_ept(s))
		return outcome_of(pagewalk_ept_walk_addr(w, address, access, walk), walk);
	if (s == SHAPE_32)
		return outcome_of(pagewalk32_walk_addr(w, address, access, walk), walk);
	return outcome_of(pagewalk64_walk_addr(w, address, access, walk), walk);
}

/* ---- The record where a stage was not walked --------------------------------------------------------------------- */

/* MODE-1: no guest tables, so that all is allowed to the address itself. */
static void check_no_guest_walk(uint64_t address, uint64_t access, const char *name)
{
	const struct pagewalk_stage *s = &a.run.walk.guest;

	EXPECT_NUMBER(s->address, address, "%s: guest.address", name);
	EXPECT_NUMBER(s->gpa, address, "%s: guest.gpa", name);
	EXPECT_NUMBER(s->access, access, "%s: guest.access", name);
	EXPECT_NUMBER(s->max_level, 0, "%s: guest.max_level", name);
	EXPECT_NUMBER(s->level, 0, "%s: guest.level", name);
	EXPECT_NUMBER(s->page_shift, 64, "%s: guest.page_shift", name);
	EXPECT_NUMBER(s->pte_access, PAGEWALK_ACC_EXEC | PAGEWALK_ACC_WRITE | PAGEWALK_ACC_USER, "%s: guest.pte_access",
		      name);
	EXPECT_NUMBER(s->pte_pkey, 0, "%s: guest.pte_pkey", name);
}

static void check_no_nested_walk(const char *name)
{
	EXPECT_NUMBER(a.run.walk.nested.max_level, 0, "%s: nested.max_level", name);
	EXPECT_NUMBER(a.run.walk.nested.page_shift, 64, "%s: nested.page_shift", name);
}

/* "Nothing in it need be set before": what the record held must not show. */
static void open_with_garbage(enum shape guest, enum shape second)
{
	start(guest, second, true);
	cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
	memset(&a.run.walk, 0xa5, sizeof(a.run.walk));
}

Test(nested, record_without_walk)
{
	const uint64_t access = PAGEWALK_ACCESS_WRITE | PAGEWALK_ACCESS_USER;
	struct pagewalk_regs bad = { BIT(31), 0, 0, false }; /* PG without PE */
	struct kvm_pagewalk *w = &a.run.guest.walk;
	uint64_t loaded[4];

	open_with_garbage(SHAPE_OFF, SHAPE_OFF);
	EXPECT(ask_walker(&a, w, VA, access), LEADS(VA), "paging off");
	check_no_guest_walk(VA, access, "paging off");
	check_no_nested_walk("paging off");

	open_with_garbage(SHAPE_4, SHAPE_OFF);
	EXPECT_NUMBER(ask_walker(&a, w, VA, access).what, TO, "one dimension");
	check_no_nested_walk("one dimension");

	open_with_garbage(SHAPE_4, SHAPE_EPT4);
	EXPECT(ask_walker(&a, w, BIT(60), access), ((struct outcome){ GP, 0, 0 }), "not canonical");
	check_no_guest_walk(BIT(60), access, "not canonical");
	check_no_nested_walk("not canonical");

	for (size_t s = 0; s < COUNT(seconds); s++) {
		char name[40];

		snprintf(name, sizeof(name), "%s alone", shapes[seconds[s]].name);
		open_with_garbage(SHAPE_OFF, seconds[s]);
		EXPECT_NUMBER(ask_walker(&a, &a.run.second.walk, VA, access).what, TO, "%s", name);
		check_no_guest_walk(VA, access, name);
	}

	tables_start(&t, CASE_INTEL, 51, SHAPE_PAE, SHAPE_OFF, false);
	tables_guest(&t, VA, 1, true);
	cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
	memset(&a.run.walk, 0xa5, sizeof(a.run.walk));
	EXPECT_NUMBER(pagewalk_load_pdptrs(w, t.q.cr3, loaded, &a.run.walk), PAGEWALK_OK, "load of PDPTEs");
	check_no_guest_walk(t.q.cr3, PAGEWALK_ACCESS_READ, "load of PDPTEs");
	check_no_nested_walk("load of PDPTEs");

	open_with_garbage(SHAPE_4, SHAPE_EPT4);
	EXPECT_NUMBER(pagewalk_refresh(w, &bad), PAGEWALK_BAD_STATE, "PG without PE");
	EXPECT(ask_walker(&a, w, VA, access), ((struct outcome){ BAD_STATE, 0, 0 }), "a refused walker");
	check_no_guest_walk(VA, access, "a refused walker");
	check_no_nested_walk("a refused walker");
	memset(&a.run.walk, 0xa5, sizeof(a.run.walk));
	EXPECT_NUMBER(w->gva_to_gpa(w, VA, access, &a.run.walk), PAGEWALK_BAD_STATE, "a refused walker's gva_to_gpa");
	check_no_guest_walk(VA, access, "a refused walker's gva_to_gpa");
	check_no_nested_walk("a refused walker's gva_to_gpa");
}

/* It walks either stage, and tries again as pagewalk_translate() does. */
Test(nested, walk_addr)
{
	for (unsigned n = 0; n < 2 * PAIRS * (PAGEWALK_MAX_ATTEMPTS + 1); n++) {
		unsigned p = n / 2 % PAIRS, lost = n / 2 / (unsigned)PAIRS;
		bool second = n & 1;
		struct outcome want;
		enum shape s;

		start(guests[p % COUNT(guests)], seconds[p / COUNT(guests)], true);
		s = second ? t.second : t.guest;
		if (s == SHAPE_OFF)
			continue; /* no tables to walk */
		want = LEADS(t.step[second ? 0 : t.steps - 1].pa);
		if (lost == PAGEWALK_MAX_ATTEMPTS)
			want = (struct outcome){ RETRY, 0, 0 };
		hook_clear();
		hook.lose_second = lost;
		hooked_open();
		if (second)
			EXPECT(walk_addr(&a.run.second.walk, s, t.step[0].gpa, PAGEWALK_PFERR_GUEST_FINAL), want,
			       "%s: walk_addr of the second stage, %u updates lose", t.name, lost);
		else
			EXPECT(walk_addr(&a.run.guest.walk, s, VA, PAGEWALK_ACCESS_READ), want,
			       "%s: walk_addr of the guest, %u updates lose", t.name, lost);
		EXPECT_NUMBER(a.run.walk.guest.max_level, second ? 0 : shapes[s].levels, "%s: guest.max_level", t.name);
		if (second) /* each attempt reads everything, and there are no more of them than needed */
			EXPECT_NUMBER(hook.reads,
				      shapes[s].levels * (lost < PAGEWALK_MAX_ATTEMPTS ? lost + 1 : lost),
				      "%s: walk_addr of the second stage, %u updates lose: reads", t.name, lost);
	}
}

/* Where there are no tables, or no walker yet, it has nothing to walk. */
Test(nested, walk_addr_without_tables)
{
	static const enum shape instances[] = { SHAPE_32, SHAPE_4, SHAPE_EPT4 };
	static struct kvm_pagewalk fresh;

	for (size_t i = 0; i < COUNT(instances); i++)
		for (size_t s = 0; s < COUNT(seconds); s++) {
			start(SHAPE_OFF, seconds[s], true);
			cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
			EXPECT(walk_addr(&a.run.guest.walk, instances[i], VA, 0), ((struct outcome){ BAD_STATE, 0, 0 }),
			       "%s, instance %s", t.name, shapes[instances[i]].name);
			EXPECT(walk_addr(&fresh, instances[i], VA, 0), ((struct outcome){ BAD_STATE, 0, 0 }),
			       "a fresh walker, instance %s", shapes[instances[i]].name);
			EXPECT_NUMBER(a.run.reads, 0, "%s: reads", t.name);
		}
}

/* A refused walker says so whatever it is asked, also what it would have known before. */
Test(nested, refused_walker)
{
	struct pagewalk_regs bad = { BIT(31), 0, 0, false }; /* PG without PE */
	struct kvm_pagewalk *w = &a.run.guest.walk;
	struct pagewalk_cpu cpu;

	start(SHAPE_4, SHAPE_EPT4, true);
	cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
	cpu = w->cpu;
	EXPECT(ask_walker(&a, w, BIT(60), PAGEWALK_ACCESS_READ), ((struct outcome){ GP, 0, 0 }),
	       "a good one, not canonical");
	EXPECT_NUMBER(pagewalk_init(w, &cpu, &bad), PAGEWALK_BAD_STATE, "PG without PE");
	EXPECT(ask_walker(&a, w, BIT(60), PAGEWALK_ACCESS_READ), ((struct outcome){ BAD_STATE, 0, 0 }),
	       "a refused one, not canonical");
	EXPECT(ask_walker(&a, w, VA, PAGEWALK_ACCESS_READ), ((struct outcome){ BAD_STATE, 0, 0 }), "a refused one");
}

/* pagewalk_refresh() is for guests: a second stage's walker stays as it is. */
Test(nested, refresh_of_a_second_stage)
{
	for (size_t s = 0; s < COUNT(seconds); s++) {
		struct kvm_pagewalk *w = &a.run.second.walk;
		struct pagewalk_regs regs;

		start(SHAPE_OFF, seconds[s], true);
		cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
		for (size_t g = 0; g < COUNT(guests); g++) {
			regs = (struct pagewalk_regs){ 0, 0, 0, false };
			shape_registers(guests[g], &regs.cr0, &regs.cr4, &regs.efer);
			EXPECT_NUMBER(pagewalk_refresh(w, &regs), PAGEWALK_BAD_STATE, "%s, refreshed as %s", t.name,
				      shapes[guests[g]].name);
			regs.cr0 = BIT(31);
			EXPECT_NUMBER(pagewalk_refresh(w, &regs), PAGEWALK_BAD_STATE,
				      "%s, refreshed with PG without PE", t.name);
			EXPECT(ask_walker(&a, &a.run.guest.walk, VA, PAGEWALK_ACCESS_WRITE), LEADS(t.step[0].pa),
			       "%s, refreshed as %s", t.name, shapes[guests[g]].name);
		}
	}
}

/* MODE-3: bits 63:M of nCR3 are reserved in long mode, and VMRUN refuses them; elsewhere 63:32 are ignored. */
Test(nested, root_of_npt_at_init)
{
	static const enum shape rows[] = { SHAPE_32, SHAPE_PAE, SHAPE_4, SHAPE_5 };

	for (size_t i = 0; i < COUNT(rows); i++)
		for (unsigned n = 0; n < 64; n++) {
			struct kvm_pagewalk *w = &a.run.second.walk;
			bool good = n < 51 || rows[i] < SHAPE_4;
			struct pagewalk_regs host;
			struct pagewalk_cpu cpu;

			start(SHAPE_OFF, rows[i], false);
			cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
			cpu = w->cpu;
			host = (struct pagewalk_regs){ t.q.hcr0, t.q.hcr4, t.q.hefer, false };
			EXPECT_NUMBER(pagewalk_init_npt(w, &cpu, &host, ROOT | BIT(n), false),
				      good ? PAGEWALK_OK : PAGEWALK_BAD_STATE, "%s, nCR3 bit %u: init",
				      shapes[rows[i]].name, n);
			if (good)
				continue;
			w->pgd = ROOT; /* too late */
			EXPECT(ask_walker(&a, w, VA, PAGEWALK_ACCESS_READ), ((struct outcome){ BAD_STATE, 0, 0 }),
			       "%s, nCR3 bit %u: walk", shapes[rows[i]].name, n);
		}
}

/* MODE-3, EPT-1: each address bit of the root counts, up to M - 1: the first entry is read there. */
Test(nested, root_of_second_stages)
{
	static const unsigned widths[] = { 36, 45, 51, 52 };

	for (size_t i = 0; i < COUNT(seconds) * COUNT(widths); i++) {
		enum shape second = seconds[i / COUNT(widths)];
		unsigned m = widths[i % COUNT(widths)], levels = shapes[second].levels;

		for (unsigned bit = second == SHAPE_PAE ? 5 : 12; bit < (second < SHAPE_4 ? 32 : m); bit++) {
			uint64_t root = BIT(bit);

			tables_start(&t, profile_for(second, false), m, SHAPE_OFF, second, true);
			t.q.ncr3 = root;
			t.q.eptp = (t.q.eptp & 0xfff) | root;
			t.q.va = VA;
			hook_clear();
			ask_hooked();
			EXPECT_NUMBER(hook.reads, 1, "%s, M %u, root bit %u: reads", t.name, m, bit);
			EXPECT_NUMBER(hook.read_at[0], entry_at(second, root, VA, levels), "%s, M %u, root bit %u",
				      t.name, m, bit);
		}
	}
}

/* The host's WP, SMAP, PKE and CS.L are no part of NPT (NPT-4), nor of its role; NXE, LA57, SMEP and GMET are. */
Test(nested, role_of_npt)
{
	static const struct {
		uint64_t cr0, cr4, efer;
		bool compatibility, gmet, same;
	} rows[] = {
		{ BIT(16), 0, 0, false, false, true },      { 0, BIT(21), 0, false, false, true },
		{ 0, BIT(22), 0, false, false, true },      { BIT(16), BIT(21) | BIT(22), 0, false, false, true },
		{ 0, 0, 0, true, false, true },             { 0, BIT(20), 0, false, false, false },
		{ 0, 0, BIT(11), false, false, false },     { 0, 0, 0, false, true, false },
		{ 0, BIT(12), 0, false, false, false },
	};
	struct kvm_pagewalk *w = &a.run.second.walk;
	struct pagewalk_regs host = { 0x80000001, 0x20, 0x500, false };
	struct pagewalk_cpu cpu;
	uint32_t role;

	start(SHAPE_OFF, SHAPE_4, false);
	cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
	cpu = w->cpu;
	cr_assert_eq(pagewalk_init_npt(w, &cpu, &host, ROOT, false), PAGEWALK_OK, "init");
	role = w->cpu_role;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct pagewalk_regs other = { host.cr0 | rows[i].cr0, host.cr4 | rows[i].cr4, host.efer | rows[i].efer,
					       rows[i].compatibility };

		cr_assert_eq(pagewalk_init_npt(w, &cpu, &other, ROOT, rows[i].gmet), PAGEWALK_OK, "init");
		EXPECT_NUMBER(w->cpu_role == role, rows[i].same, "row %u: the same role", (unsigned)i);
	}
}

/* ---- PDPTE registers --------------------------------------------------------------------------------------------- */

/*
 * Under EPT a read (test_ept.c has more); under nested paging, where KVM has the registers too (deviation 11), a user's
 * write, as all accesses to tables are (NPT-2).
 */
Test(nested, load_pdptrs)
{
	for (unsigned n = 0; n < (COUNT(seconds) + 1) * 2 * 3; n++) {
		enum shape second = n / 6 == COUNT(seconds) ? SHAPE_OFF : seconds[n / 6];
		bool ept = is_ept(second), ad = n & 1;
		unsigned spoil = n / 2 % 3, levels = shapes[second].levels; /* spoil: 1 read-only, 2 absent */
		uint64_t loaded[4] = { 1, 2, 3, 4 }, table, want[CASE_MAX_WORDS];
		struct outcome expected = { TO, 0, 0 }, o;

		tables_start(&t, ept || !second ? CASE_INTEL : CASE_AMD, 51, SHAPE_PAE, second, ad);
		tables_guest(&t, VA, 1, true);
		table = t.step[0].pa & ~(uint64_t)0x1f;
		for (unsigned k = 0; k < 4; k++)
			entry_set(&t, SHAPE_PAE, table + 8 * k, (uint64_t)(k + 5) << 12 | (k & 1));
		if (spoil && second)
			second_edit(&t, t.q.cr3, 1, 0, spoil == 1 ? 2 : 0x407);
		if (second && spoil == 2)
			expected = ept ? VIOLATES(1, t.q.cr3) : NPFS(0x200000006, t.q.cr3);
		else if (second && spoil == 1 && !ept)
			expected = NPFS(0x200000007, t.q.cr3);
		t.q.has_pdpte = true;
		cr_assert_eq(asked_open(&a, &t.q, PAGEWALK_QUIRK_KVM_PAE_CACHED), PAGEWALK_OK,
			     "the walkers are refused");
		a.run.status = pagewalk_load_pdptrs(&a.run.guest.walk, t.q.cr3, loaded, &a.run.walk);
		o = outcome_of(a.run.status, &a.run.walk);
		o.code = o.what == TO ? 0 : o.code;
		EXPECT(o, expected, "load, %s, spoilt %u", t.name, spoil);
		for (unsigned k = 0; k < 4; k++)
			EXPECT_NUMBER(loaded[k], expected.what == TO ? (uint64_t)(k + 5) << 12 | (k & 1) : k + 1,
				      "load, %s: PDPTE %u", t.name, k);
		memcpy(want, t.q.memory.value, t.q.memory.count * sizeof(*want));
		for (unsigned level = 1; level <= levels && expected.what == TO; level++)
			if (ept ? ad : second != SHAPE_PAE || level < 3)
				flag_entry(&t, want, second, second_at(&t, t.q.cr3, level),
					   ept ? 0x100 : level > 1 ? 0x20 : 0x60);
		EXPECT_MEMORY(&t, a.value, want, "load, %s, spoilt %u", t.name, spoil);
		EXPECT_NUMBER(a.run.reads, expected.what == TO ? 4 + levels : levels, "load, %s: reads", t.name);
		EXPECT_NUMBER(a.run.walk.guest.max_level, 0, "load, %s: guest.max_level", t.name);
	}
}

/* MODE-8: there is nothing to load, and what there is in memory doesn't matter yet. */
Test(nested, load_pdptrs_mode_8)
{
	for (size_t s = 0; s < COUNT(seconds); s++) {
		uint64_t loaded[4] = { 1, 2, 3, 4 };

		if (is_ept(seconds[s]))
			continue;
		start(SHAPE_PAE, seconds[s], false);
		tables_edit(&t, 3, BIT(1), 0);
		second_edit(&t, t.q.cr3, 1, 0, 2);
		cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
		EXPECT_NUMBER(pagewalk_load_pdptrs(&a.run.guest.walk, t.q.cr3, loaded, &a.run.walk), PAGEWALK_OK,
			      "load, %s", t.name);
		EXPECT_NUMBER(a.run.reads + a.run.writes, 0, "load, %s: callbacks", t.name);
		EXPECT_NUMBER(loaded[0] | loaded[1] << 4 | loaded[2] << 8 | loaded[3] << 12, 0x4321, "load, %s: PDPTEs",
			      t.name);
	}
}

/* A k-th read that fails is NO_MEMORY; a load whose second-stage update loses is tried again, up to the bound. */
/* MODE-8 is about AMD and nested paging: with one of the two alone a guest has its registers. */
Test(nested, load_pdptrs_not_mode_8)
{
	static const struct {
		enum case_profile profile;
		enum shape second;
	} rows[] = { { CASE_AMD, SHAPE_EPT4 }, { CASE_AMD, SHAPE_OFF }, { CASE_INTEL, SHAPE_4 } };

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct kvm_pagewalk *w = &a.run.guest.walk;
		uint64_t entry;

		tables_start(&t, rows[i].profile, 51, SHAPE_PAE, rows[i].second, true);
		tables_guest(&t, VA, 1, true);
		entry = entry_now(&t, SHAPE_PAE, t.step[0].pa);
		cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
		EXPECT_NUMBER(w->pdptr[VA >> 30 & 3], entry, "load, %s: PDPTE", t.name);
		entry_set(&t, SHAPE_PAE, t.step[0].pa, 0); /* the tables' PDPTE is gone, the register is not */
		memcpy(a.value, t.q.memory.value, t.q.memory.count * sizeof(*a.value));
		EXPECT(ask_walker(&a, w, VA, PAGEWALK_ACCESS_READ), LEADS(t.step[3].pa), "walk, %s", t.name);
		EXPECT_NUMBER(a.run.walk.guest.entry[2].gpa, PAGEWALK_INVALID_GPA, "walk, %s: a register", t.name);
		w->pdptr[VA >> 30 & 3] = 0;
		EXPECT(ask_walker(&a, w, VA, PAGEWALK_ACCESS_READ), ((struct outcome){ PF, 0, VA }),
		       "walk, %s, register not present", t.name);
	}
}

Test(nested, load_pdptrs_callbacks)
{
	uint64_t loaded[4];

	start(SHAPE_PAE, SHAPE_EPT4, true);
	for (unsigned n = 0; n < 8 + 8; n++) {
		unsigned k = n & 7;
		struct outcome want, o;
		uint64_t frame;

		tables_start(&t, CASE_INTEL, 51, SHAPE_PAE, SHAPE_EPT4, true);
		tables_guest(&t, VA, 1, true);
		t.q.has_pdpte = true;
		frame = t.step[0].pa & ~(uint64_t)31;
		hook_clear();
		hooked_open();
		hook.fail_read = n < 8 ? k + 1 : 0;
		hook.lose_second = n < 8 ? 0 : k + 1;
		a.run.status = pagewalk_load_pdptrs(&a.run.guest.walk, t.q.cr3, loaded, &a.run.walk);
		o = outcome_of(a.run.status, &a.run.walk);
		if (n < 8) {
			want = (struct outcome){ NO_MEMORY, 0,
						 k < 4 ? second_at(&t, t.q.cr3, 4 - k) : frame + 8 * (k - 4) };
			EXPECT(o, want, "load: read %u fails", k + 1);
			EXPECT_NUMBER(a.run.walk.fault.second_stage, k < 4, "load: read %u fails: second_stage", k + 1);
		} else {
			EXPECT_NUMBER(o.what, k == 7 ? RETRY : TO, "load: %u updates lose", k + 1);
		}
	}
}

/* ---- Implicit accesses ------------------------------------------------------------------------------------------- */

/* At CPL 3: a guest's tables see a supervisor (PERM-1), EPT the address's mode, NPT a user or, under GMET, none. */
Test(nested, implicit)
{
	for (size_t s = 0; s < COUNT(seconds); s++)
		for (unsigned n = 0; n < 2 * 2 * 2; n++) {
			bool gmet = n & 1, implicit = n & 2, user_page = n & 4;
			uint64_t gpa;
			struct outcome want;

			start(SHAPE_4, seconds[s], true);
			t.q.gmet = gmet;
			t.q.user = true;
			t.q.implicit = implicit;
			tables_edit(&t, 1, 0, user_page ? 0 : 4);
			gpa = guest_gpa(&t, 0);
			second_edit(&t, gpa, 1, 0, 0x403);
			if (is_ept(seconds[s]))
				want = VIOLATES(user_page ? 0x7a1 : 0x5a1, gpa); /* X is left */
			else
				want = NPFS(gmet && implicit ? 0x100000000 : 0x100000004, gpa);
			if (!implicit && !user_page)
				want = (struct outcome){ PF, 5, t.q.va };
			EXPECT(ask(&a, &t), want, "%s: GMET %d, implicit %d, user page %d", shapes[seconds[s]].name,
			       gmet, implicit, user_page);
			/* SMAP stops an implicit access to a user page before the second stage, AC = 1 or not. */
			t.q.cr4 |= BIT(21);
			t.q.rflags |= BIT(18);
			if (implicit && user_page)
				want = (struct outcome){ PF, 1, t.q.va };
			EXPECT(ask(&a, &t), want, "%s, SMAP: GMET %d, implicit %d, user page %d",
			       shapes[seconds[s]].name, gmet, implicit, user_page);
		}
}

/*
 * What each stage is asked for. The guest: the access, an implicit one not a user's (ERR-3). The second stage: its kind,
 * final, and user as EPT-6 (the address's mode; PG=0 counts as user-mode), NPT-2 and NPT-7 have it; nothing else.
 */
Test(nested, access_of_each_stage)
{
	static const uint64_t kinds[] = { 0, PAGEWALK_ACCESS_WRITE, PAGEWALK_ACCESS_FETCH };

	for (unsigned p = 0; p < PAIRS; p++)
		for (unsigned n = 0; n < 3 * 32; n++) {
			enum shape guest = guests[p % COUNT(guests)], second = seconds[p / COUNT(guests)];
			bool implicit = n & 1, stack = n & 2, user = n & 4, gmet = n & 8, user_page = n & 16, as_user;
			uint64_t kind = kinds[n / 32], want;

			start(guest, second, true);
			t.q.access = (enum case_access)(n / 32);
			t.q.user = user;
			t.q.implicit = implicit;
			t.q.stack = stack;
			t.q.gmet = gmet;
			if (!user_page && user && !implicit)
				continue; /* PERM-6 */
			if (!user_page && guest)
				tables_edit(&t, 1, 0, 4);
			if (gmet && kind == PAGEWALK_ACCESS_FETCH && !is_ept(second))
				second_edit(&t, guest_gpa(&t, 0), 1, 0, 4); /* NPT-7 */
			EXPECT(ask(&a, &t), LEADS(t.step[t.steps - 1].pa), "%s, %u", t.name, n);

			want = kind | (user && !implicit ? PAGEWALK_ACCESS_USER : 0) |
			       (implicit ? PAGEWALK_ACCESS_IMPLICIT : 0) | (stack ? PAGEWALK_ACCESS_STACK : 0);
			EXPECT_NUMBER(a.run.walk.guest.access, want, "%s, %u: guest.access", t.name, n);
			if (is_ept(second))
				as_user = user_page || guest == SHAPE_OFF;
			else
				as_user = !gmet || (user && !implicit);
			want = kind | (as_user ? PAGEWALK_ACCESS_USER : 0) | PAGEWALK_PFERR_GUEST_FINAL;
			EXPECT_NUMBER(a.run.walk.nested.access, want, "%s, %u: nested.access", t.name, n);
		}
}

/* ---- What a translation allows, and where it ends ---------------------------------------------------------------- */

Test(nested, page_shift)
{
	for (unsigned p = 0; p < PAIRS * 3 * 3; p++) {
		enum shape guest = guests[p % COUNT(guests)], second = seconds[p / COUNT(guests) % COUNT(seconds)];
		unsigned gl = p / PAIRS % 3 + 1, sl = p / PAIRS / 3 + 1, gs, ss;

		if (gl > (guest == SHAPE_OFF ? 1u : guest < SHAPE_4 ? 2u : 3u))
			continue;
		if (sl > (second == SHAPE_32 || second == SHAPE_PAE ? 2u : 3u))
			continue;
		tables_start(&t, profile_for(second, false), 51, guest, second, true);
		t.second_leaf = sl;
		tables_guest(&t, VA, gl, pdptes_in_memory(guest, second));
		EXPECT(ask(&a, &t), LEADS(t.step[t.steps - 1].pa), "%s, levels %u and %u", t.name, gl, sl);
		gs = guest ? shape_shift(guest, gl) : 64;
		ss = shape_shift(second, sl);
		EXPECT_NUMBER(pagewalk_page_shift(&a.run.walk), gs < ss ? gs : ss, "%s, levels %u and %u: page_shift",
			      t.name, gl, sl);
	}
	start(SHAPE_OFF, SHAPE_OFF, false);
	EXPECT(ask(&a, &t), LEADS(VA), "paging off, one dimension");
	EXPECT_NUMBER(pagewalk_page_shift(&a.run.walk), 64, "paging off, one dimension: page_shift");
	start(SHAPE_4, SHAPE_OFF, false);
	EXPECT_NUMBER(ask(&a, &t).what, TO, "4-level, one dimension");
	EXPECT_NUMBER(pagewalk_page_shift(&a.run.walk), 12, "4-level, one dimension: page_shift");
}

/* PERM-2, EPT-6, NPT-4, NPT-7: all rights of both leaves, after a read or, where it is refused, a fetch. */
Test(nested, rights)
{
	for (size_t s = 0; s < COUNT(seconds); s++)
		for (unsigned n = 0; n < 8 * 16 * 2; n++) {
			bool gw = n & 1, gu = n & 2, gx = n & 4, mode = n >> 7, ept = is_ept(seconds[s]);
			bool r = n & 8, w = n & 16, x = n & 32, xu = n & 64, us = !(n & 64), user_may, supervisor_may;
			unsigned want;

			start(SHAPE_4, seconds[s], true);
			t.q.mbec = t.q.gmet = mode;
			tables_edit(&t, 1, gx ? 0 : BIT(63), (gw ? 0 : 2u) | (gu ? 0 : 4u));
			if (ept) {
				if (!r && (w || (!x && !(xu && mode))))
					continue; /* misconfigured, or not present */
				second_edit(&t, guest_gpa(&t, 0), 1, 0,
					    (r ? 0 : 1u) | (w ? 0 : 2u) | (x ? 0 : 4u) | (xu ? 0 : 0x400u));
				user_may = mode ? xu : x;
				supervisor_may = x;
				t.q.access = r ? CASE_READ : CASE_FETCH;
				if (!r && (!gx || !(gu ? user_may : supervisor_may)))
					continue; /* nothing goes through */
			} else {
				if (seconds[s] == SHAPE_32 && !x)
					continue;
				second_edit(&t, guest_gpa(&t, 0), 1, x ? 0 : BIT(63), (w ? 0 : 2u) | (us ? 0 : 4u));
				if (!r || (!mode && !us))
					continue;
				user_may = x;
				supervisor_may = x && !(mode && us);
			}
			want = (r || !ept ? CASE_R : 0u) | (gw && w ? CASE_W : 0u) | (gu ? CASE_U : 0u) |
			       (gx && (gu ? user_may : supervisor_may) ? CASE_X : 0u);
			EXPECT_NUMBER(ask(&a, &t).what, TO, "%s, rights %u", shapes[seconds[s]].name, n);
			EXPECT_NUMBER(
				pagewalk_rights(&a.run.guest.walk, &a.run.walk), want,
				"guest W %d U %d X %d on %s: R %d W %d X %d XU %d U/S %d, MBEC or GMET %d: rights()",
				gw, gu, gx, shapes[seconds[s]].name, r, w, x, xu, us, mode);
		}
}

/* A walk of the second stage by itself: its rights are all there are, and a user may use them. */
Test(nested, rights_of_a_second_stage)
{
	for (size_t s = 0; s < COUNT(seconds); s++)
		for (unsigned n = 0; n < 32; n++) {
			bool r = n & 1, w = n & 2, x = n & 4, xu = n & 8, mode = n & 16, ept = is_ept(seconds[s]);
			bool may = ept && mode ? xu : x;
			struct kvm_pagewalk *walker = &a.run.second.walk;

			start(SHAPE_OFF, seconds[s], true);
			t.q.mbec = t.q.gmet = mode;
			if (ept) {
				if (!r && (w || !may))
					continue; /* misconfigured, or nothing goes through */
				second_edit(&t, t.q.va, 1, 0,
					    (r ? 0 : 1u) | (w ? 0 : 2u) | (x ? 0 : 4u) | (xu ? 0 : 0x400u));
			} else {
				if (!r || (seconds[s] == SHAPE_32 && !x))
					continue;
				second_edit(&t, t.q.va, 1, x ? 0 : BIT(63), w ? 0 : 2u);
			}
			cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
			EXPECT(ask_walker(&a, walker, t.q.va,
					  PAGEWALK_ACCESS_USER | (r ? PAGEWALK_ACCESS_READ : PAGEWALK_ACCESS_FETCH)),
			       LEADS(t.step[0].pa), "%s alone, rights %u", shapes[seconds[s]].name, n);
			EXPECT_NUMBER(pagewalk_rights(walker, &a.run.walk),
				      (r ? CASE_R : 0u) | (w ? CASE_W : 0u) | (may ? CASE_X : 0u) | CASE_U,
				      "%s alone: R %d W %d X %d XU %d, MBEC or GMET %d: rights()",
				      shapes[seconds[s]].name, r, w, x, xu, mode);
		}
}

Test(nested, rights_of_one_dimension)
{
	for (unsigned n = 0; n < 8; n++) {
		start(SHAPE_5, SHAPE_OFF, false);
		tables_edit(&t, 3, n & 4 ? 0 : BIT(63), (n & 1 ? 0 : 2u) | (n & 2 ? 0 : 4u));
		EXPECT_NUMBER(ask(&a, &t).what, TO, "rights %u", n);
		EXPECT_NUMBER(pagewalk_rights(&a.run.guest.walk, &a.run.walk),
			      CASE_R | (n & 1 ? CASE_W : 0u) | (n & 2 ? CASE_U : 0u) | (n & 4 ? CASE_X : 0u),
			      "rights %u", n);
	}
	start(SHAPE_OFF, SHAPE_OFF, false);
	EXPECT_NUMBER(ask(&a, &t).what, TO, "paging off");
	EXPECT_NUMBER(pagewalk_rights(&a.run.guest.walk, &a.run.walk), 15, "paging off: rights()");
}

/* ---- AD-2: what a comparison should leave out -------------------------------------------------------------------- */

/* ad_dont_care() of a level, after a walk whose record held fill before. */
static uint64_t dont_care(bool nested, unsigned level, int fill)
{
	asked_open(&a, &t.q, library_cpu(&t.q).quirks);
	memset(&a.run.walk, fill, sizeof(a.run.walk));
	a.run.status = pagewalk_translate(&a.run.guest.walk, t.q.va, library_access(&t.q), &a.run.walk);
	return pagewalk_ad_dont_care(nested ? &a.run.second.walk : &a.run.guest.walk,
				     nested ? &a.run.walk.nested : &a.run.walk.guest, (int)level, a.run.status);
}

Test(nested, ad_dont_care)
{
	/* A guest's fault at a level of its own, by P = 0, a reserved bit or rights. */
	for (unsigned way = 0; way < 3; way++)
		for (unsigned spoilt = 1; spoilt <= 4; spoilt++)
			for (unsigned level = way == 2 ? 1 : spoilt; level <= 4; level++) {
				start(SHAPE_4, SHAPE_EPT4, true);
				t.q.user = true;
				tables_edit(&t, spoilt, way == 1 ? BIT(51) : 0, way == 0 ? 1 : way == 2 ? 4 : 0);
				EXPECT_NUMBER(dont_care(false, level, 0), way == 0 && level == spoilt ? 0 : 0x20,
					      "guest's level %u, %u at level %u", level, way, spoilt);
			}
	/* A fault of the second stage's on the way to the access, at one of its levels. */
	for (size_t s = 0; s < COUNT(seconds); s++)
		for (unsigned ad = 0; ad < 2; ad++)
			for (unsigned spoilt = 1; spoilt <= shapes[seconds[s]].levels; spoilt++)
				for (unsigned level = spoilt; level <= shapes[seconds[s]].levels; level++) {
					uint64_t want = is_ept(seconds[s]) ? (ad ? 0x100 : 0) : 0x20;

					start(SHAPE_4, seconds[s], ad);
					second_edit(&t, guest_gpa(&t, 0), spoilt, 0, is_ept(seconds[s]) ? 0x407 : 1);
					if (level == spoilt || (seconds[s] == SHAPE_PAE && level == 3))
						want = 0; /* P = 0: no flag ever (AD-1); AD-3 */
					EXPECT_NUMBER(dont_care(true, level, 0), want,
						      "%s, A/D %u: level %u, absent at level %u",
						      shapes[seconds[s]].name, ad, level, spoilt);
				}
	/* A walk that went through is exact; a PAE guest's PDPTE has no flag. */
	for (size_t s = 0; s < COUNT(seconds); s++) {
		start(SHAPE_4, seconds[s], true);
		for (unsigned level = 1; level <= 4; level++)
			EXPECT_NUMBER(dont_care(false, level, 0), 0, "4-level on %s, level %u", shapes[seconds[s]].name,
				      level);
		for (unsigned level = 1; level <= shapes[seconds[s]].levels; level++)
			EXPECT_NUMBER(dont_care(true, level, 0), 0, "4-level on %s, its level %u",
				      shapes[seconds[s]].name, level);
	}
	start(SHAPE_PAE, SHAPE_EPT4, true);
	tables_edit(&t, 1, 0, 1);
	EXPECT_NUMBER(dont_care(false, 3, 0), 0, "PAE, level 3");
	EXPECT_NUMBER(dont_care(false, 2, 0), 0x20, "PAE, level 2");
}

/* An entry that was never read has no flag to speak of, and what the record held before the walk changes nothing. */
Test(nested, ad_dont_care_of_what_was_not_read)
{
	for (size_t s = 0; s < COUNT(seconds); s++)
		for (unsigned level = 1; level <= 4; level++)
			for (unsigned fill = 0; fill < 2; fill++) {
				start(SHAPE_4, seconds[s], true);
				second_edit(&t, guest_gpa(&t, level), 1, 0, is_ept(seconds[s]) ? 0x407 : 1);
				EXPECT_NUMBER(dont_care(false, level, fill ? 0xff : 0), 0,
					      "4-level on %s refused at level %u, record of 0x%02x",
					      shapes[seconds[s]].name, level, fill ? 0xff : 0);
			}
	for (unsigned fill = 0; fill < 2; fill++) { /* EPT-13: no EPT entry was read at all */
		start(SHAPE_OFF, SHAPE_EPT4, true);
		t.q.va |= BIT(50);
		EXPECT_NUMBER(dont_care(true, 4, fill ? 0xff : 0), 0, "EPT4, GPA too wide, record of 0x%02x",
			      fill ? 0xff : 0);
	}
	for (unsigned fill = 0; fill < 2; fill++) { /* no memory */
		start(SHAPE_4, SHAPE_OFF, false);
		t.q.memory.size = 0;
		EXPECT_NUMBER(dont_care(false, 4, fill ? 0xff : 0), 0, "4-level, no memory, record of 0x%02x",
			      fill ? 0xff : 0);
	}
}
