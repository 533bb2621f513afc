/* SPDX-License-Identifier: MIT */
/*
 * tables2.h: for the suites of the second stage. Builds page tables of one or two dimensions in a case's memory, asks
 * the library, and says what a second stage alone does with a guest-physical address: entry by entry, as the rules
 * read, without a mask or a bitmap made beforehand.
 */
#ifndef TESTS_TABLES2_H
#define TESTS_TABLES2_H

#include <stdio.h>

#include "library.h"
#include "suite.h"

#define BIT(n) ((uint64_t)1 << (n))
#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define HEX(n) ((unsigned long long)(n)) /* for %llx */
#define BITS(high, low) ((~(uint64_t)0 >> (63 - (high))) & (~(uint64_t)0 << (low)))

/* The same, but none if high < low. */
static inline uint64_t bits(int high, int low)
{
	return high < low ? 0 : BITS(high, low);
}

/* ---- What came out, in three words ------------------------------------------------------------------------------- */

enum what { TO, PF, GP, VIOLATION, MISCONFIG, NPF, NO_MEMORY, RETRY, BAD_STATE, GARBAGE };

struct outcome {
	enum what what;
	uint64_t code; /* TO: the address; PF, GP: the error code; VIOLATION: the qualification; NPF: EXITINFO1 */
	uint64_t at;   /* PF: CR2; the second stage's: the GPA; NO_MEMORY: the address without memory */
};

#define LEADS(pa) ((struct outcome){ TO, pa, 0 })
#define VIOLATES(code, at) ((struct outcome){ VIOLATION, code, at })
#define NPFS(code, at) ((struct outcome){ NPF, code, at })

static inline struct outcome outcome_of(enum pagewalk_status status, const struct pagewalk_walk *walk)
{
	const struct pagewalk_fault *f = &walk->fault;
	struct outcome o = { GARBAGE, 0, 0 };

	switch (status) {
	case PAGEWALK_OK:
		return (struct outcome){ TO, walk->pa, 0 };
	case PAGEWALK_RETRY:
		o.what = RETRY;
		return o;
	case PAGEWALK_BAD_STATE:
		o.what = BAD_STATE;
		return o;
	case PAGEWALK_NO_MEMORY:
		if (!f->error_code && !f->exit_qualification && !f->exit && !f->vector)
			return (struct outcome){ NO_MEMORY, 0, f->gpa };
		return o;
	case PAGEWALK_FAULT:
		if (f->gpa || f->exit_qualification || f->exit || f->second_stage)
			return o;
		o.what = f->vector == 14 ? PF : f->vector == 13 ? GP : GARBAGE;
		o.code = f->error_code;
		o.at = f->vector == 14 ? f->address : 0;
		return o;
	case PAGEWALK_NESTED_FAULT:
		if (f->vector || !f->second_stage)
			return o;
		o.at = f->gpa;
		if (f->exit == 48 && !f->error_code) {
			o.what = VIOLATION;
			o.code = f->exit_qualification;
		} else if (f->exit == 49 && !f->error_code && !f->exit_qualification) {
			o.what = MISCONFIG;
		} else if (f->exit == 0x400 && !f->exit_qualification) {
			o.what = NPF;
			o.code = f->error_code;
		}
		return o;
	}
	return o;
}

static inline bool same_outcome(struct outcome a, struct outcome b)
{
	return a.what == b.what && a.code == b.code && a.at == b.at;
}

struct outcome_text {
	char s[80];
};

static inline struct outcome_text outcome_text(struct outcome o)
{
	static const char *const names[] = { "pa", "#PF", "#GP", "violation", "misconfig", "npf", "no memory", "retry",
					     "bad state", "garbage" };
	struct outcome_text t;

	snprintf(t.s, sizeof(t.s), "{ %s, 0x%llx, 0x%llx }", names[o.what], HEX(o.code), HEX(o.at));
	return t;
}

static unsigned mismatches;

/* False for the first ten mismatches of a test and, after them, for none. */
static inline bool enough(void)
{
#ifdef SUITE_PLAIN
	if (!suite_failures) /* another test; Criterion has a process for each */
		mismatches = 0;
#endif
	return mismatches++ >= 10;
}

/* inputs => got, expected */
#define EXPECT(got, want, ...) \
	do { \
		struct outcome got_ = (got), want_ = (want); \
		char inputs_[240]; \
		if (!same_outcome(got_, want_) && !enough()) { \
			snprintf(inputs_, sizeof(inputs_), __VA_ARGS__); \
			cr_expect(0, "%s => %s, expected %s", inputs_, outcome_text(got_).s, outcome_text(want_).s); \
		} \
	} while (0)

#define EXPECT_NUMBER(got, want, ...) \
	do { \
		uint64_t got_ = (got), want_ = (want); \
		char inputs_[240]; \
		if (got_ != want_ && !enough()) { \
			snprintf(inputs_, sizeof(inputs_), __VA_ARGS__); \
			cr_expect(0, "%s => 0x%llx, expected 0x%llx", inputs_, HEX(got_), HEX(want_)); \
		} \
	} while (0)

/* ---- Tables ------------------------------------------------------------------------------------------------------ */

enum shape { SHAPE_OFF, SHAPE_32, SHAPE_PAE, SHAPE_4, SHAPE_5, SHAPE_EPT4, SHAPE_EPT5 };

static const struct {
	const char *name;
	unsigned levels, size, bits;
} shapes[] = {
	{ "off", 0, 0, 0 },          { "32-bit", 2, 4, 10 }, { "PAE", 3, 8, 9 },  { "4-level", 4, 8, 9 },
	{ "5-level", 5, 8, 9 },      { "EPT4", 4, 8, 9 },    { "EPT5", 5, 8, 9 },
};

/* What a guest's walk accesses in guest-physical memory: an entry of each level and, level 0, where it leads. */
struct step {
	unsigned level;
	uint64_t gpa, pa;
};

struct tables {
	struct case_question q;
	enum shape guest, second;      /* second: SHAPE_OFF if there is none */
	char name[64];                 /* of the two, for messages */
	unsigned second_leaf;          /* level of the second stage's pages */
	uint64_t next;                 /* free physical memory */
	unsigned steps;
	struct step step[6];
};

#define ROOT 0x2000u /* of the second stage */

static inline unsigned shape_shift(enum shape s, unsigned level)
{
	return 12 + shapes[s].bits * (level - 1);
}

static inline uint64_t entry_at(enum shape s, uint64_t table, uint64_t address, unsigned level)
{
	uint64_t index = address >> shape_shift(s, level) & (BIT(shapes[s].bits) - 1);

	return table + (s == SHAPE_PAE && level == 3 ? index & 3 : index) * shapes[s].size;
}

static inline uint64_t entry_get(const struct tables *t, const uint64_t *value, enum shape s, uint64_t at)
{
	uint64_t entry = 0;

	case_load(&t->q.memory, value, at, shapes[s].size, &entry);
	return entry;
}

/* The value before the walk. */
static inline uint64_t entry_now(const struct tables *t, enum shape s, uint64_t at)
{
	return entry_get(t, t->q.memory.value, s, at);
}

static inline void entry_set(struct tables *t, enum shape s, uint64_t at, uint64_t entry)
{
	if (case_find(&t->q.memory, at & ~(uint64_t)7) < 0)
		cr_assert(case_set(&t->q.memory, at & ~(uint64_t)7, 0), "no room for 0x%llx", HEX(at));
	cr_assert(case_store(&t->q.memory, t->q.memory.value, at, shapes[s].size, entry), "no word at 0x%llx", HEX(at));
}

/* CR0, CR4 and EFER of a mode; WP, PSE and NXE on. */
static inline void shape_registers(enum shape s, uint64_t *cr0, uint64_t *cr4, uint64_t *efer)
{
	*cr0 = 0x10001 | (s == SHAPE_OFF ? 0 : BIT(31));
	*cr4 = BIT(4) | (s >= SHAPE_PAE ? BIT(5) : 0) | (s == SHAPE_5 ? BIT(12) : 0);
	*efer = (s >= SHAPE_PAE ? BIT(11) : 0) | (s >= SHAPE_4 ? BIT(8) | BIT(10) : 0);
}

/* Empty tables of both stages, and a CPU that has everything. ept_ad: EPTP bit 6. */
static inline void tables_start(struct tables *t, enum case_profile profile, unsigned m, enum shape guest,
				enum shape second, bool ept_ad)
{
	struct case_question *q = &t->q;

	memset(q, 0, offsetof(struct case_question, memory));
	case_clear(&q->memory, BIT(52));
	q->profile = profile;
	q->maxphyaddr = m;
	q->features = CASE_PSE | CASE_PSE36 | CASE_PAE | CASE_NX | CASE_PAT | CASE_PAGE1GB | CASE_SMEP | CASE_SMAP |
		      CASE_PKU | CASE_LA57;
	q->ept_features =
		CASE_EPT_EXEC_ONLY | CASE_EPT_2M | CASE_EPT_1G | CASE_EPT_AD | CASE_EPT_5L | CASE_EPT_ADVANCED;
	q->rflags = 2;
	shape_registers(guest, &q->cr0, &q->cr4, &q->efer);
	if (second >= SHAPE_EPT4) {
		q->stage2 = CASE_EPT;
		q->eptp = ROOT | (second == SHAPE_EPT5 ? 0x26u : 0x1eu) | (ept_ad ? BIT(6) : 0);
	} else if (second) {
		q->stage2 = CASE_NPT;
		q->ncr3 = ROOT;
		shape_registers(second, &q->hcr0, &q->hcr4, &q->hefer);
	}
	t->guest = guest;
	t->second = second;
	snprintf(t->name, sizeof(t->name), "%s on %s%s", shapes[guest].name, shapes[second].name,
		 ept_ad ? " with A/D" : "");
	t->second_leaf = 1;
	t->steps = 0;
	/* High addresses where the entries have room for them. */
	t->next = (second == SHAPE_32 || (!second && guest == SHAPE_32) ? BIT(22) : BIT(m - 1));
}

/* Physical memory of 2^shift bytes, aligned. */
static inline uint64_t tables_take(struct tables *t, unsigned shift)
{
	uint64_t taken = (t->next + BIT(shift) - 1) & ~(BIT(shift) - 1);

	t->next = taken + BIT(shift);
	return taken;
}

/* An entry with all rights: a table, or a page of that level. */
static inline uint64_t entry_good(enum shape s, uint64_t address, unsigned level, bool page)
{
	if (s >= SHAPE_EPT4)
		return address | 0x407 | (page ? 0x30 : 0) | (page && level > 1 ? 0x80 : 0); /* bit 10 is XU; type WB */
	if (s == SHAPE_PAE && level == 3)
		return address | 1;
	return address | 7 | (page && level > 1 ? 0x80 : 0);
}

/* Maps the page at gpa's to page in the second stage, where it is mapped not yet. leaf: the page's level. */
static inline void tables_map(struct tables *t, uint64_t gpa, uint64_t page, unsigned leaf)
{
	enum shape s = t->second;
	uint64_t table = ROOT, at;

	for (unsigned level = shapes[s].levels; level > leaf; level--) {
		at = entry_at(s, table, gpa, level);
		if (!entry_now(t, s, at))
			entry_set(t, s, at, entry_good(s, tables_take(t, 12), level, false));
		table = entry_now(t, s, at) & bits(51, 12);
	}
	entry_set(t, s, entry_at(s, table, gpa, leaf), entry_good(s, page, leaf, true));
}

/*
 * Where the guest has its n-th page: each at other indices of the second stage's tables than the others, as far as the
 * address has room for that.
 */
static inline uint64_t tables_gpa(const struct tables *t, unsigned n)
{
	uint64_t k = n + 1, gpa = k << 48 | k << 39 | k << 30 | k << 21 | k << 12;
	unsigned width = t->q.maxphyaddr;

	if (t->second == SHAPE_EPT4 || t->second == SHAPE_4)
		width = 48;
	if (t->second == SHAPE_32 || t->guest == SHAPE_32 || (t->guest == SHAPE_PAE && !n))
		width = 32;
	return gpa & bits((int)width - 1, 12);
}

/* Physical memory for the guest's page at gpa; with a second stage, mapped there. */
static inline uint64_t tables_frame(struct tables *t, uint64_t gpa)
{
	unsigned shift = t->second ? shape_shift(t->second, t->second_leaf) : 12;
	uint64_t frame;

	if (!t->second)
		return gpa;
	frame = tables_take(t, shift);
	tables_map(t, gpa, frame, t->second_leaf);
	return frame | (gpa & (BIT(shift) - 1));
}

/*
 * The guest's tables for va, all rights in each entry, and below them, if there is a second stage, that stage's for
 * each of the steps. leaf: the level of the guest's page. t->step[] says where it all is; a PAE guest's PDPTEs are
 * registers, and no step, unless pdpte_step.
 */
static inline void tables_guest(struct tables *t, uint64_t va, unsigned leaf, bool pdpte_step)
{
	enum shape s = t->guest;
	uint64_t table = tables_gpa(t, 0), address;
	unsigned n = 0, shift;

	t->q.va = va;
	if (s == SHAPE_OFF) {
		t->step[t->steps++] = (struct step){ 0, va, tables_frame(t, va & ~(uint64_t)0xfff) | (va & 0xfff) };
		return;
	}
	t->q.cr3 = table;
	for (unsigned level = shapes[s].levels;; level--) {
		bool page = level == leaf, reg = s == SHAPE_PAE && level == 3 && !pdpte_step;
		uint64_t gpa = entry_at(s, table, va, level);

		address = tables_gpa(t, ++n);
		shift = shape_shift(s, level);
		if (page)
			address &= ~(BIT(shift) - 1);
		if (reg) {
			t->q.has_pdpte = true;
			t->q.pdpte[va >> 30 & 3] = entry_good(s, address, level, false);
		} else {
			uint64_t pa = tables_frame(t, gpa & ~(uint64_t)0xfff) | (gpa & 0xfff);

			t->step[t->steps++] = (struct step){ level, gpa, pa };
			entry_set(t, s, pa, entry_good(s, address, level, page));
		}
		if (page)
			break;
		table = address;
	}
	address |= va & (BIT(shift) - 1);
	t->step[t->steps++] =
		(struct step){ 0, address, tables_frame(t, address & ~(uint64_t)0xfff) | (address & 0xfff) };
}

/* Or-s into a guest's entry of that level, or takes bits out of it. */
static inline void tables_edit(struct tables *t, unsigned level, uint64_t set, uint64_t clear)
{
	for (unsigned i = 0; i < t->steps; i++)
		if (t->step[i].level == level)
			entry_set(t, t->guest, t->step[i].pa, (entry_now(t, t->guest, t->step[i].pa) | set) & ~clear);
	if (t->guest == SHAPE_PAE && level == 3 && t->q.has_pdpte)
		t->q.pdpte[t->q.va >> 30 & 3] = (t->q.pdpte[t->q.va >> 30 & 3] | set) & ~clear;
}

/* Where the guest's walk of that level (0: its access) goes. */
static inline uint64_t guest_gpa(const struct tables *t, unsigned level)
{
	for (unsigned i = 0; i < t->steps; i++)
		if (t->step[i].level == level)
			return t->step[i].gpa;
	cr_assert(false, "no step of level %u", level);
	return 0;
}

/* The physical address of the second stage's entry of a level for a GPA, which all entries above lead to. */
static inline uint64_t second_at(const struct tables *t, uint64_t gpa, unsigned level)
{
	uint64_t table = ROOT;

	for (unsigned l = shapes[t->second].levels; l > level; l--)
		table = entry_now(t, t->second, entry_at(t->second, table, gpa, l)) &
			bits((int)t->q.maxphyaddr - 1, 12);
	return entry_at(t->second, table, gpa, level);
}

static inline void second_edit(struct tables *t, uint64_t gpa, unsigned level, uint64_t set, uint64_t clear)
{
	uint64_t at = second_at(t, gpa, level);

	entry_set(t, t->second, at, (entry_now(t, t->second, at) | set) & ~clear);
}

static inline const char *kind_name(enum case_access kind)
{
	return kind == CASE_FETCH ? "fetch" : kind == CASE_WRITE ? "write" : "read";
}

/* ---- The library's answer ---------------------------------------------------------------------------------------- */

struct asked {
	struct library_run run;
	uint64_t value[CASE_MAX_WORDS]; /* the memory's words, after the walk */
};

/* Walkers for the question with these quirks, ready for a walk. */
static inline enum pagewalk_status asked_open(struct asked *a, const struct case_question *q, uint64_t quirks)
{
	struct pagewalk_regs regs = { q->cr0, q->cr4, q->efer, q->compatibility },
			     host = { q->hcr0, q->hcr4, q->hefer, false };
	struct kvm_pagewalk *w = &a->run.guest.walk, *n = &a->run.second.walk;
	struct pagewalk_cpu cpu = library_cpu(q);
	enum pagewalk_status status;

	memset(&a->run.walk, 0xa5, sizeof(a->run.walk)); /* "Nothing in it need be set before." */
	memcpy(a->value, q->memory.value, q->memory.count * sizeof(*a->value));
	status = library_open(&a->run, q, a->value);
	if (quirks == cpu.quirks)
		return status;
	memcpy(a->value, q->memory.value, q->memory.count * sizeof(*a->value));
	a->run.reads = a->run.writes = 0;
	cpu.quirks = quirks;
	status = PAGEWALK_OK;
	if (q->stage2 == CASE_EPT)
		status = pagewalk_init_ept(n, &cpu, q->eptp, q->mbec);
	else if (q->stage2)
		status = pagewalk_init_npt(n, &cpu, &host, q->ncr3, q->gmet);
	if (status == PAGEWALK_OK)
		status = pagewalk_init(w, &cpu, &regs);
	if (status == PAGEWALK_OK && w->fmt.pdpte_registers && !q->has_pdpte)
		status = pagewalk_load_pdptrs(w, q->cr3, w->pdptr, &a->run.walk);
	return status;
}

static inline struct outcome ask_with(struct asked *a, const struct case_question *q, uint64_t quirks)
{
	struct library_run *run = &a->run;

	run->status = asked_open(a, q, quirks);
	if (run->status == PAGEWALK_OK)
		run->status = pagewalk_translate(&run->guest.walk, q->va, library_access(q), &run->walk);
	return outcome_of(run->status, &run->walk);
}

/* One walk of a walker that is open already. */
static inline struct outcome ask_walker(struct asked *a, const struct kvm_pagewalk *w, uint64_t address,
					uint64_t access)
{
	a->run.status = pagewalk_translate(w, address, access, &a->run.walk);
	return outcome_of(a->run.status, &a->run.walk);
}

static inline uint64_t access_bits(bool write, bool fetch, bool user)
{
	return (write ? PAGEWALK_ACCESS_WRITE : 0) | (fetch ? PAGEWALK_ACCESS_FETCH : 0) |
	       (user ? PAGEWALK_ACCESS_USER : 0);
}

static inline struct outcome ask(struct asked *a, const struct tables *t)
{
	return ask_with(a, &t->q, library_cpu(&t->q).quirks);
}

/* ---- The second stage alone, by the rules ------------------------------------------------------------------------ */

/* Who accesses guest-physical memory: the guest; its walk, for an entry or for the A and D in it; MOV CR3. */
enum by { BY_ACCESS, BY_WALK, BY_UPDATE, BY_LOAD };

struct judged {
	struct outcome outcome;
	enum by by;
	unsigned level, reads;            /* level: of the last entry read; 0: none was */
	unsigned shift;                   /* of the page */
	bool r, w, x, xu, u;              /* the AND of the entries */
	bool write, denied;               /* denied: by rights */
	uint64_t at[5], pte[5];           /* [level - 1] */
};

/* EPT-3, clause by clause. */
static inline bool ept_misconfigured(const struct case_question *q, uint64_t e, unsigned level)
{
	bool r = e & 1, w = e & 2, x = e & 4, xu = q->mbec && (e & BIT(10));
	bool sized = (level == 3 && (q->ept_features & CASE_EPT_1G)) || (level == 2 && (q->ept_features & CASE_EPT_2M));
	bool page = level == 1 || (sized && (e & BIT(7)));
	unsigned type = e >> 3 & 7;

	if (w && !r) /* a */
		return true;
	if (!r && (x || xu) && !(q->ept_features & CASE_EPT_EXEC_ONLY)) /* b */
		return true;
	if (e & bits(51, (int)q->maxphyaddr)) /* c */
		return true;
	if (level >= 4 && (e & bits(7, 3))) /* d */
		return true;
	if ((level == 3 || level == 2) && !page && (e & (bits(6, 3) | BIT(7)))) /* d */
		return true;
	if (page && ((level == 3 && (e & bits(29, 12))) || (level == 2 && (e & bits(20, 12))))) /* e */
		return true;
	return page && (type == 2 || type == 3 || type == 7); /* f */
}

/* MODE-4 ... MODE-11 on an AMD host; KVM's deviations 2 and 11. */
static inline bool npt_reserved(const struct case_question *q, enum shape s, uint64_t e, unsigned level)
{
	bool kvm = q->profile >= CASE_KVM_INTEL, pat = kvm || (q->features & CASE_PAT);
	bool pse = s != SHAPE_32 || (q->hcr4 & BIT(4));
	bool page = level == 1 || ((e & BIT(7)) && pse &&
				   (level == 2 || (level == 3 && s != SHAPE_PAE && (q->features & CASE_PAGE1GB))));
	int m = (int)q->maxphyaddr, m4 = kvm ? 36 : q->features & CASE_PSE36 ? 40 : 32;

	if (!pat && pse && s <= SHAPE_PAE && page && (e & (level == 1 ? BIT(7) : BIT(12)))) /* MODE-6 */
		return true;
	if (s == SHAPE_32) /* MODE-4, MODE-5 */
		return page && level == 2 && (e & bits(21, m4 - 19));
	if (s == SHAPE_PAE && level == 3) /* MODE-7 */
		return !kvm && (e & (bits(2, 1) | bits(8, 5) | bits(63, m)));
	if (!(q->hefer & BIT(11)) && (e & BIT(63)))
		return true;
	if (e & bits(s == SHAPE_PAE ? 62 : 51, m)) /* MODE-9, MODE-10 */
		return true;
	if (level >= 4 && (e & (BIT(7) | BIT(8)))) /* MODE-10, MODE-11 */
		return true;
	if (level == 3 && (e & BIT(7)) && !(q->features & CASE_PAGE1GB))
		return true;
	return page && ((level == 3 && (e & bits(29, 13))) || (level == 2 && (e & bits(20, 13))));
}

static inline bool is_page(const struct case_question *q, enum shape s, uint64_t e, unsigned level)
{
	if (level == 1 || !(e & BIT(7)))
		return level == 1;
	if (s >= SHAPE_EPT4)
		return q->ept_features & (level == 3 ? CASE_EPT_1G : CASE_EPT_2M);
	return s != SHAPE_32 || (q->hcr4 & BIT(4));
}

/*
 * What the second stage of these tables, in the memory value[], does with an access; kind and user count for BY_ACCESS.
 * guest: CASE_W, CASE_X and CASE_U of the guest's entries together, as EPT-6 and EPT-8 look at them.
 */
static inline struct judged judge(const struct tables *t, const uint64_t *value, uint64_t gpa, enum by by,
				  enum case_access kind, bool user, unsigned guest)
{
	const struct case_question *q = &t->q;
	enum shape s = t->second;
	bool ept = s >= SHAPE_EPT4, kvm = q->profile >= CASE_KVM_INTEL, ad = !ept || (q->eptp & BIT(6));
	struct judged j = { .by = by, .outcome = { TO, 0, 0 }, .r = true, .w = true, .x = true, .xu = true, .u = true };
	enum { GOOD, ABSENT, MALFORMED, DENIED } verdict = GOOD;
	uint64_t table = ROOT, e = 0, address;
	unsigned width = s == SHAPE_EPT5 ? 57 : 48;

	if (by == BY_WALK) /* EPT-7, NPT-2; KVM's deviation 3 */
		kind = ad || kvm ? CASE_WRITE : CASE_READ;
	else if (by != BY_ACCESS)
		kind = by == BY_UPDATE || !ept ? CASE_WRITE : CASE_READ;
	if (ept)
		user = guest & CASE_U;
	else if (by != BY_ACCESS || !q->gmet)
		user = true;
	j.write = kind == CASE_WRITE;

	if (ept && gpa >> width && !kvm && !(q->knobs & CASE_EPT_IGNORE_HIGH)) { /* EPT-13 */
		verdict = ABSENT;
		j.r = j.w = j.x = j.xu = false;
	}
	for (unsigned level = shapes[s].levels; verdict == GOOD; level--) {
		j.level = level;
		j.at[level - 1] = entry_at(s, table, gpa, level);
		j.pte[level - 1] = e = entry_get(t, value, s, j.at[level - 1]);
		j.reads++;
		if (ept) {
			j.r &= e & 1, j.w &= e >> 1 & 1, j.x &= e >> 2 & 1, j.xu &= e >> 10 & 1;
		} else if (s != SHAPE_PAE || level < 3) {
			j.w &= e >> 1 & 1, j.u &= e >> 2 & 1, j.x &= !(e >> 63);
		}
		if (!(e & (ept ? 7 | (q->mbec ? BIT(10) : 0) : 1))) /* EPT-2 */
			verdict = ABSENT;
		else if (ept ? ept_misconfigured(q, e, level) : npt_reserved(q, s, e, level))
			verdict = MALFORMED;
		else if (is_page(q, s, e, level))
			break;
		table = e & bits(s == SHAPE_32 ? 31 : 51, 12);
	}
	if (verdict == GOOD) {
		bool ok;

		if (ept) /* EPT-6 */
			ok = kind == CASE_WRITE ? j.w : kind == CASE_READ ? j.r : q->mbec && user ? j.xu : j.x;
		else if (q->gmet) /* NPT-7 */
			ok = kind == CASE_WRITE ? j.w : kind == CASE_READ || (j.x && (user || !j.u));
		else /* NPT-2, NPT-4 */
			ok = j.u && (kind == CASE_WRITE ? j.w : kind == CASE_READ || j.x);
		if (!ok) {
			verdict = DENIED;
			j.denied = true;
		}
		j.shift = shape_shift(s, j.level);
		address = e & bits(s == SHAPE_32 ? 31 : 51, (int)j.shift);
		if (s == SHAPE_32 && j.level == 2) /* MODE-5 */
			address |= (e >> 13 & 0xff) << 32;
		j.outcome.code = address | (gpa & (BIT(j.shift) - 1));
	}
	if (verdict == GOOD)
		return j;

	j.outcome.at = kvm && (q->cr0 & BIT(31)) ? gpa & ~(uint64_t)0xfff : gpa; /* KVM's deviation 4 */
	j.outcome.code = 0;
	if (ept && verdict == MALFORMED) {
		j.outcome.what = MISCONFIG;
	} else if (ept) { /* EPT-8; KVM's deviation 8 */
		j.outcome.what = VIOLATION;
		if (by == BY_ACCESS)
			j.outcome.code = kind == CASE_READ ? 1 : kind == CASE_WRITE ? 2 : 4;
		else
			j.outcome.code = kind == CASE_READ ? 1 : 3;
		j.outcome.code |=
			(j.r ? 0x8u : 0) | (j.w ? 0x10u : 0) | (j.x ? 0x20u : 0) | (q->mbec && j.xu ? 0x40u : 0);
		j.outcome.code |= by == BY_LOAD && !kvm ? 0 : by == BY_ACCESS ? 0x180u : 0x80u;
		if (by == BY_ACCESS && (q->ept_features & CASE_EPT_ADVANCED) && !kvm)
			j.outcome.code |= (guest & CASE_U ? BIT(9) : 0) | (guest & CASE_W ? BIT(10) : 0) |
					  (guest & CASE_X ? 0 : BIT(11));
	} else { /* NPT-5 */
		bool id = kind == CASE_FETCH && ((q->hefer & BIT(11)) || (q->hcr4 & BIT(20)));

		j.outcome.what = NPF;
		j.outcome.code = (verdict == ABSENT ? 0u : 1u) | (kind == CASE_WRITE ? 2u : 0) | (user ? 4u : 0) |
				 (verdict == MALFORMED ? 8u : 0) | (id ? 0x10u : 0) |
				 (by == BY_ACCESS ? BIT(32) : BIT(33));
	}
	return j;
}

/* Or-s flags into an entry of value[]; how many entries that changed: 1 or 0. */
static inline unsigned flag_entry(const struct tables *t, uint64_t *value, enum shape s, uint64_t at, uint64_t flags)
{
	uint64_t e = entry_get(t, value, s, at);

	if ((e & flags) == flags)
		return 0;
	cr_assert(case_store(&t->q.memory, value, at, shapes[s].size, e | flags), "no word at 0x%llx", HEX(at));
	return 1;
}

/*
 * AD-1, EPT-7: the flags that the judged walk of the second stage leaves in value[]; how many entries that changed.
 * AD-2: a walk that was refused leaves none, or, as walked, A in the tables' entries that it went through.
 */
static inline unsigned judged_flags(const struct tables *t, uint64_t *value, const struct judged *j)
{
	enum shape s = t->second;
	uint64_t accessed = s >= SHAPE_EPT4 ? BIT(8) : BIT(5), dirty = s >= SHAPE_EPT4 ? BIT(9) : BIT(6);
	bool passed = j->outcome.what == TO,
	     as_walked = t->q.profile < CASE_KVM_INTEL && (t->q.knobs & CASE_AD_AS_WALKED);
	unsigned changed = 0;

	if ((s >= SHAPE_EPT4 && !(t->q.eptp & BIT(6))) || (!passed && !as_walked))
		return 0;
	for (unsigned level = shapes[s].levels; level >= j->level && j->level; level--) {
		bool last = level == j->level;

		if ((last && !passed) || (s == SHAPE_PAE && level == 3)) /* AD-3 */
			continue;
		changed += flag_entry(t, value, s, j->at[level - 1], accessed | (last && j->write ? dirty : 0));
	}
	return changed;
}

/* Every word of the memory as it should be; says which is not. */
#define EXPECT_MEMORY(t, got, want, ...) \
	do { \
		for (unsigned word_ = 0; word_ < (t)->q.memory.count; word_++) \
			if ((got)[word_] != (want)[word_] && !enough()) { \
				char inputs_[240]; \
				snprintf(inputs_, sizeof(inputs_), __VA_ARGS__); \
				cr_expect(0, "%s => word 0x%llx is 0x%llx, expected 0x%llx", inputs_, \
					  HEX((t)->q.memory.address[word_]), HEX((got)[word_]), HEX((want)[word_])); \
			} \
	} while (0)

#endif
