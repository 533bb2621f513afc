/* SPDX-License-Identifier: MIT */
/*
 * race [--seconds S]: threads rewrite table entries and roots while others walk over them, all with one walker. Build
 * it with -fsanitize=thread, which watches the library; the rest is checked here:
 *
 *   answers   Each walk's callbacks are logged, and the log is played again by the rules alone: what a walk that was
 *             given these values must read next, when it must set which flag with which compare-exchange, when it must
 *             start anew, and what it must answer at the end. So every answer follows from values that the entries had,
 *             and a flag is only ever asked for by a walk of a stage that went through that entry's value.
 *   entries   Each entry has one writer. What its exchange takes out must be what it put in, but for A and D flags that
 *             were added: no walk brought an old value back, and no flag got lost.
 *   flags     For each entry and each of its values: as many A and D flags are found, by the exchanges or at the end,
 *             as compare-exchanges have set.
 *   it raced  All that is to be checked has happened: translations, faults, lost compare-exchanges, walks that gave up,
 *             flags that were found.
 *
 * Then callbacks that are wrong must fail these checks: one that stores without comparing, one that ORs the flags into
 * whatever is there.
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pagewalk/pagewalk.h>

#define WRITERS 2
#define WALKERS 2
#define VARIANTS 8      /* values that an entry takes turns with */
#define MAX_SLOTS 128
#define MAX_EVENTS 1024
#define PAGES 64

/* ---- What is walked ---------------------------------------------------------------------------------- */

enum second { NO_SECOND, EPT, NPT };

struct config {
	const char *name;
	int levels;         /* of the guest: 4, 2 (32-bit); 0: the second stage alone */
	enum second second;
	bool ept_ad, as_walked;
	unsigned good;      /* of 16 new values, how many let a walk go on */
};

static const struct config configs[] = {
	{ "4-level", 4, NO_SECOND, false, false, 12 },
	{ "4-level, A as walked", 4, NO_SECOND, false, true, 12 },
	{ "32-bit", 2, NO_SECOND, false, false, 11 },
	{ "EPT", 0, EPT, true, false, 12 },
	{ "4-level over EPT", 4, EPT, true, false, 15 },
	{ "4-level over EPT without A/D", 4, EPT, false, false, 14 },
	{ "32-bit over EPT", 2, EPT, true, false, 15 },
	{ "4-level over NPT", 4, NPT, false, false, 15 },
};

/* How the compare-exchange works; all but HONEST are wrong. */
enum exchange { HONEST, STORES, ORS };

static union {
	_Atomic uint64_t whole[PAGES * 512];
	_Atomic uint32_t half[PAGES * 1024]; /* a page holds entries of one size */
} memory;

/* An entry, its values, and what became of them. Only its writer looks at what is not constant. */
struct slot {
	uint64_t pa;
	unsigned size;
	bool ept, page[VARIANTS]; /* page: that value maps one */
	uint64_t value[VARIANTS];
	uint64_t now;             /* what was put there last */
	uint64_t found_a[VARIANTS], found_d[VARIANTS];
};

static struct {
	const struct config *c;
	enum exchange exchange;
	struct kvm_pagewalk guest, second;
	const struct kvm_pagewalk *walk; /* the one to ask */
	_Atomic uint64_t root[2];        /* of guest and second */
	uint64_t roots[2][2];
	struct slot slot[MAX_SLOTS];
	unsigned slots;
	uint8_t slot_at[PAGES * 1024];   /* number + 1 of the entry at 4 * index */
	atomic_bool stop;
	atomic_uint wrong_answers, wrong_entries;
	/* Of all walkers. */
	uint64_t set_a[MAX_SLOTS][VARIANTS], set_d[MAX_SLOTS][VARIANTS];
	uint64_t walks, ok, faults, lost, gave_up, exchanges;
} race;

static void complain(atomic_uint *count, const char *format, ...)
{
	va_list arguments;

	if (atomic_fetch_add(count, 1) >= 10 || race.exchange != HONEST)
		return;
	va_start(arguments, format);
	printf("%s: ", race.c->name);
	vprintf(format, arguments);
	printf("\n");
	va_end(arguments);
}

static uint32_t random_next(uint64_t *state, uint32_t below)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 33) % below;
}

/* ---- Entries ----------------------------------------------------------------------------------------- */

/* Which of its values an entry has is in bits that no walk looks at, with a count above it where there is room. */
static unsigned variant_shift(unsigned size)
{
	return size == 4 ? 9 : 52;
}

static unsigned variant_of(unsigned size, uint64_t value)
{
	return (unsigned)(value >> variant_shift(size)) % VARIANTS;
}

static uint64_t accessed(bool ept)
{
	return ept ? PAGEWALK_EPT_ACCESSED : PAGEWALK_PTE_ACCESSED;
}

static uint64_t dirty(bool ept)
{
	return ept ? PAGEWALK_EPT_DIRTY : PAGEWALK_PTE_DIRTY;
}

#define RESERVED PAGEWALK_BIT(50) /* with MAXPHYADDR 46 */

/* The bits of a value besides its address. 0, 1, 6: all is allowed; the others refuse some accesses, 5 and 7 all. */
static uint64_t bits_of(const struct slot *s, unsigned variant, bool page)
{
	static const uint64_t guest[VARIANTS] = { 7, 7, 5, 3, 7 | PAGEWALK_PTE_NX, 0, 7, 7 | RESERVED };
	static const uint64_t ept[VARIANTS] = { 7, 7, 5, 3, 1, 0, 7, 2 };
	static const uint64_t narrow[VARIANTS] = { 7, 7, 5, 3, 1, 0, 7, 0 };
	uint64_t bits = (s->ept ? ept : s->size == 4 ? narrow : guest)[variant];

	if (s->ept && page)
		bits |= 6 << 3;
	if (variant == 6 && page) /* both flags are set already */
		bits |= accessed(s->ept) | dirty(s->ept);
	return bits | (uint64_t)variant << variant_shift(s->size);
}

/* What an entry may lead to: tables, for all its values but where page says otherwise; 0: none. */
struct leads {
	uint64_t table[2];
	uint64_t page, step; /* page + variant * step; one more value of an entry that has tables is a page */
	bool pages;          /* all values are pages */
};

static void add_slot(bool ept, unsigned size, uint64_t pa, int level, const struct leads *to)
{
	struct slot *s = &race.slot[race.slots++];

	if (race.slots > MAX_SLOTS)
		abort();
	memset(s, 0, sizeof(*s));
	s->pa = pa;
	s->size = size;
	s->ept = ept;
	race.slot_at[pa / 4] = (uint8_t)race.slots;
	for (unsigned v = 0; v < VARIANTS; v++) {
		bool page = to->pages || (v == 6 && to->step);
		uint64_t target = page ? to->page + v * to->step : to->table[v & 1];

		s->page[v] = page;
		s->value[v] = target | bits_of(s, v, page) | (page && level > 1 ? PAGEWALK_PTE_PS : 0);
	}
}

/* The table of a level of the guest; there are two of each, in the second dimension each at two places. */
static uint64_t guest_table(int level, unsigned which)
{
	return (uint64_t)(2 * level + (int)which) << 12;
}

#define OTHER_PLACE (UINT64_C(16) << 12)

static uint64_t second_table(int level, unsigned which)
{
	return (uint64_t)(32 + 2 * level + (int)which) << 12;
}

static unsigned shift_of(int level, unsigned size)
{
	return 12 + (size == 4 ? 10u : 9u) * (unsigned)(level - 1);
}

/* Two tables a level, two entries in each. Behind a second stage all pages lie in its few pages: see add_second(). */
static void add_tree(bool ept, int levels, unsigned size, uint64_t (*table)(int level, unsigned which), uint64_t place,
		     bool nested)
{
	for (int level = levels; level >= 1; level--) {
		for (unsigned i = 0; i < 4; i++) {
			struct leads to = { { 0, 0 }, 0, 0, level == 1 };
			unsigned shift = shift_of(level, size);

			if (level > 1) {
				to.table[0] = table(level - 1, 0);
				to.table[1] = table(level - 1, 1);
			}
			if (!nested) {
				to.step = UINT64_C(1) << shift;
				to.page = (16 + (uint64_t)race.slots * VARIANTS) << shift;
			} else if (level == 1) {
				to.step = 0x1000;
				to.page = 0x200000 + ((uint64_t)race.slots % 64 * VARIANTS << 12);
			} else if (size == 4 || level == 2) {
				to.page = size == 4 ? 0 : 0x200000;
				to.step = to.page ? 0x100000 : 0x200000; /* the sixth: 8 MiB, or 12 MiB */
			} else {
				to.step = 0;
			}
			if (level == 4)
				to.step = 0;
			add_slot(ept, size, place + table(level, i >> 1) + (i & 1) * size, level, &to);
		}
	}
}

/* The second stage below a guest: 4 KiB pages for its tables, large ones for what it maps. */
static void add_second(bool ept)
{
	for (unsigned which = 0; which < 2; which++) {
		for (int level = 4; level > 1; level--) {
			struct leads to = { { second_table(level - 1, 0), second_table(level - 1, 1) }, 0, 0, false };

			add_slot(ept, 8, second_table(level, which), level, &to);
		}
		for (unsigned i = 1; i < 8; i++) { /* 2 MiB to 16 MiB */
			struct leads to = { { 0, 0 }, ((uint64_t)race.slots * VARIANTS + 64) << 21, 1 << 21, true };

			if (i == 1 || i == 4 || i == 6)
				add_slot(ept, 8, second_table(2, which) + 8 * i, 2, &to);
		}
		for (int level = 1; level <= race.c->levels; level++) {
			for (unsigned i = 0; i < 2; i++) {
				uint64_t gpa = guest_table(level, i);
				struct leads to = { { 0, 0 }, gpa, 0, true };

				add_slot(ept, 8, second_table(1, which) + (gpa >> 12) * 8, 1, &to);
				struct slot *s = &race.slot[race.slots - 1];
				for (unsigned v = 1; v < VARIANTS; v += 2) /* odd values lead to the other place */
					s->value[v] += OTHER_PLACE;
			}
		}
	}
}

/* ---- Callbacks --------------------------------------------------------------------------------------- */

enum event_kind { ROOT, READ, EXCHANGE };

struct event {
	enum event_kind kind;
	bool second;         /* the second stage's */
	int result;
	unsigned size;
	uint64_t pa, value;  /* value: the root, what was read, or what was expected */
	uint64_t new_value;
};

/* One walk of a thread. */
struct log {
	struct event event[MAX_EVENTS];
	unsigned count;
	uint64_t random;
	bool stubborn;       /* waits before each compare-exchange until it is too late */
	uint64_t set_a[MAX_SLOTS][VARIANTS], set_d[MAX_SLOTS][VARIANTS];
	uint64_t walks, ok, faults, lost, gave_up;
};

static _Thread_local struct log *own;

static struct event *add_event(enum event_kind kind, const struct kvm_pagewalk *w)
{
	struct event *e = &own->event[own->count < MAX_EVENTS ? own->count++ : MAX_EVENTS - 1];

	e->kind = kind;
	e->second = w == &race.second;
	return e;
}

/* Threads share few processors and would meet seldom: now and then another one's turn is in the middle of a walk. */
static void interrupt(void)
{
	if (random_next(&own->random, 16) == 0)
		sched_yield();
}

static uint64_t load(uint64_t pa, unsigned size)
{
	if (size == 4)
		return atomic_load_explicit(&memory.half[pa / 4], memory_order_relaxed);
	return atomic_load_explicit(&memory.whole[pa / 8], memory_order_relaxed);
}

static int read_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	struct event *e = add_event(READ, w);

	e->pa = pa;
	e->size = size;
	e->value = 0;
	if (pa >= sizeof(memory) || !race.slot_at[pa / 4])
		return -1;
	*gpte = e->value = load(pa, size);
	interrupt();
	return 0;
}

static bool compare_exchange(uint64_t pa, unsigned size, uint64_t old, uint64_t new_value)
{
	uint32_t old32 = (uint32_t)old;

	if (size == 4)
		return atomic_compare_exchange_strong_explicit(&memory.half[pa / 4], &old32, (uint32_t)new_value,
							       memory_order_relaxed, memory_order_relaxed);
	return atomic_compare_exchange_strong_explicit(&memory.whole[pa / 8], &old, new_value, memory_order_relaxed,
						       memory_order_relaxed);
}

/* What is wrong, in two ways; it claims to be done. */
static void overwrite(uint64_t pa, unsigned size, uint64_t old, uint64_t new_value)
{
	if (race.exchange == STORES && size == 4)
		atomic_store_explicit(&memory.half[pa / 4], (uint32_t)new_value, memory_order_relaxed);
	else if (race.exchange == STORES)
		atomic_store_explicit(&memory.whole[pa / 8], new_value, memory_order_relaxed);
	else if (size == 4)
		atomic_fetch_or_explicit(&memory.half[pa / 4], (uint32_t)(new_value & ~old), memory_order_relaxed);
	else
		atomic_fetch_or_explicit(&memory.whole[pa / 8], new_value & ~old, memory_order_relaxed);
}

static int cmpxchg_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t old, uint64_t new_value)
{
	struct event *e = add_event(EXCHANGE, w);
	bool ept = race.c->second == EPT && e->second;
	unsigned at, v = variant_of(size, old);

	e->pa = pa;
	e->size = size;
	e->value = old;
	e->new_value = new_value;
	e->result = -1;
	if (pa >= sizeof(memory) || !race.slot_at[pa / 4])
		return -1;
	at = race.slot_at[pa / 4] - 1u;
	interrupt();
	for (int i = 0; own->stubborn && i < 1000 && load(pa, size) == old; i++)
		sched_yield();
	e->result = 0;
	if (race.exchange != HONEST)
		overwrite(pa, size, old, new_value);
	else if (!compare_exchange(pa, size, old, new_value))
		e->result = 1;
	if (e->result) {
		own->lost++;
		return e->result;
	}
	own->set_a[at][v] += (new_value & ~old & accessed(ept)) != 0;
	own->set_d[at][v] += (new_value & ~old & dirty(ept)) != 0;
	return 0;
}

static uint64_t get_guest_pgd(const struct kvm_pagewalk *w)
{
	struct event *e = add_event(ROOT, w);

	e->value = atomic_load_explicit(&race.root[e->second], memory_order_relaxed);
	return e->value;
}

/* ---- The replay -------------------------------------------------------------------------------------- */

/* How a stage's walk, or an attempt, ends. */
enum end { PASSED, REFUSED, LOST, CONTRADICTED };

/* What a stage does, from the log. */
struct stage_replay {
	uint64_t entry[5], pa[5]; /* [level] */
	int level;
	unsigned shift;
	uint64_t gpa;
	bool w, u, nx;            /* of a guest or NPT: the entries together */
	uint64_t rwx;             /* of EPT */
};

struct replay {
	const struct log *log;
	unsigned at;
	const char *problem;      /* CONTRADICTED */
	uint64_t va, access;
	struct stage_replay guest, second;
	unsigned second_walks;
	/* REFUSED */
	enum pagewalk_status status;
	uint64_t error_code, exit_qualification, gpa;
	unsigned exit;
};

static enum end contradict(struct replay *r, const char *problem)
{
	r->problem = problem;
	return CONTRADICTED;
}

/* The next event, if it is of this kind and stage. */
static const struct event *next_event(struct replay *r, enum event_kind kind, bool second)
{
	const struct event *e = &r->log->event[r->at];

	if (r->at == r->log->count || e->kind != kind || e->second != second)
		return NULL;
	r->at++;
	return e;
}

static enum end expect_read(struct replay *r, bool second, uint64_t pa, unsigned size, uint64_t *value)
{
	const struct event *e = next_event(r, READ, second);

	if (!e || e->pa != pa || e->size != size)
		return contradict(r, "an entry that is not read, or another one");
	const struct slot *s = &race.slot[race.slot_at[pa / 4] - 1];
	uint64_t flags = accessed(s->ept) | dirty(s->ept), count = size == 8 ? PAGEWALK_BITS(56, 55) : 0;
	if ((e->value & ~flags & ~count) != (s->value[variant_of(size, e->value)] & ~flags))
		return contradict(r, "a value that this entry never had");
	*value = e->value;
	return PASSED;
}

/* Sets flags in the entry of a level unless they are set. */
static enum end expect_flags(struct replay *r, bool second, const struct stage_replay *s, int level, unsigned size,
			     uint64_t flags)
{
	const struct event *e;

	if ((s->entry[level] & flags) == flags)
		return PASSED;
	e = next_event(r, EXCHANGE, second);
	if (!e || e->pa != s->pa[level] || e->size != size || e->value != s->entry[level] ||
	    e->new_value != (s->entry[level] | flags))
		return contradict(r, "flags that are not set, or other ones");
	return e->result ? LOST : PASSED;
}

static enum end refuse_second(struct replay *r, bool ept, uint64_t gpa, uint64_t access, uint64_t reasons)
{
	uint64_t where = access & (PAGEWALK_PFERR_GUEST_FINAL | PAGEWALK_PFERR_GUEST_PAGE), q;

	r->status = PAGEWALK_NESTED_FAULT;
	r->gpa = gpa;
	if (!ept) {
		r->exit = PAGEWALK_EXIT_NPF;
		r->error_code = reasons | where | PAGEWALK_PFERR_USER |
				(access & (PAGEWALK_PFERR_WRITE | PAGEWALK_PFERR_FETCH));
		return REFUSED;
	}
	r->exit = reasons & PAGEWALK_PFERR_RSVD ? PAGEWALK_EXIT_EPT_MISCONFIG : PAGEWALK_EXIT_EPT_VIOLATION;
	if (r->exit == PAGEWALK_EXIT_EPT_MISCONFIG)
		return REFUSED;
	q = access & PAGEWALK_PFERR_WRITE ? 2 : access & PAGEWALK_PFERR_FETCH ? 4 : 1;
	if (access & PAGEWALK_PFERR_GUEST_PAGE) /* EPT-7, EPT-8 */
		q |= 1;
	q |= r->second.rwx << 3 | PAGEWALK_BIT(7);
	if (access & PAGEWALK_PFERR_GUEST_FINAL) /* without a guest's tables everything is a user's and writable */
		q |= PAGEWALK_BIT(8) | (!race.c->levels || r->guest.u ? PAGEWALK_BIT(9) : 0) |
		     (!race.c->levels || r->guest.w ? PAGEWALK_BIT(10) : 0) | (r->guest.nx ? PAGEWALK_BIT(11) : 0);
	r->exit_qualification = q;
	return REFUSED;
}

/* One walk of the second stage. PASSED: r->second.gpa. */
static enum end replay_second(struct replay *r, uint64_t gpa, uint64_t access)
{
	bool ept = race.c->second == EPT, ad = !ept || race.c->ept_ad;
	struct stage_replay *s = &r->second;
	const struct event *root = next_event(r, ROOT, true);
	uint64_t table, e, page;
	enum end end;
	bool allowed;

	r->second_walks++;
	*s = (struct stage_replay){ .w = true, .u = true, .rwx = 7 };
	if (!root)
		return contradict(r, "the second stage's root is not read");
	table = root->value & PAGEWALK_ADDRESS;
	for (s->level = 4;; s->level--) {
		s->pa[s->level] = table + (gpa >> shift_of(s->level, 8) & 511) * 8;
		end = expect_read(r, true, s->pa[s->level], 8, &e);
		if (end != PASSED)
			return end;
		s->entry[s->level] = e;
		s->rwx &= e;
		s->w &= e >> 1 & 1;
		s->u &= e >> 2 & 1;
		s->nx |= e >> 63;
		if (ept ? !(e & 7) : !(e & 1))
			return refuse_second(r, ept, gpa, access, 0);
		if (ept ? (e & 3) == 2 : (e & RESERVED) != 0)
			return refuse_second(r, ept, gpa, access, PAGEWALK_PFERR_PRESENT | PAGEWALK_PFERR_RSVD);
		if (s->level == 1 || (e & PAGEWALK_PTE_PS))
			break;
		table = e & PAGEWALK_ADDRESS;
	}
	s->shift = shift_of(s->level, 8);
	if (ept)
		allowed = s->rwx >> (access & PAGEWALK_PFERR_WRITE ? 1 : access & PAGEWALK_PFERR_FETCH ? 2 : 0) & 1;
	else
		allowed = s->u && (s->w || !(access & PAGEWALK_PFERR_WRITE)) &&
			  !(s->nx && (access & PAGEWALK_PFERR_FETCH));
	if (!allowed)
		return refuse_second(r, ept, gpa, access, PAGEWALK_PFERR_PRESENT);
	page = PAGEWALK_BIT(s->shift) - 1;
	s->gpa = (e & PAGEWALK_ADDRESS & ~page) | (gpa & page);
	for (int level = 4; level >= s->level && ad && end == PASSED; level--)
		end = expect_flags(r, true, s, level, 8, accessed(ept) |
				   (level == s->level && (access & PAGEWALK_PFERR_WRITE) ? dirty(ept) : 0));
	return end;
}

static enum end refuse_guest(struct replay *r, uint64_t reasons)
{
	uint64_t seen = PAGEWALK_PFERR_WRITE | PAGEWALK_PFERR_USER | (race.c->levels == 4 ? PAGEWALK_PFERR_FETCH : 0);

	r->status = PAGEWALK_FAULT;
	r->error_code = reasons | (r->access & seen);
	return REFUSED;
}

/* A flag of a guest's entry. read_only: EPT let it be read only, and is asked for the write (EPT-16). */
static enum end replay_guest_flags(struct replay *r, int level, unsigned size, uint64_t flags, const uint64_t *gpas,
				   unsigned read_only)
{
	enum end end;

	if (!(read_only >> level & 1))
		return expect_flags(r, false, &r->guest, level, size, flags);
	if ((r->guest.entry[level] & flags) == flags)
		return PASSED;
	end = replay_second(r, gpas[level], PAGEWALK_PFERR_WRITE | PAGEWALK_PFERR_GUEST_PAGE);
	return end == PASSED ? LOST : end; /* it changed meanwhile */
}

/* One attempt. PASSED: out of the last stage in r->second.gpa or r->guest.gpa. */
static enum end replay_guest(struct replay *r)
{
	const struct config *c = race.c;
	uint64_t table_access = PAGEWALK_PFERR_GUEST_PAGE | (c->second == NPT || c->ept_ad ? PAGEWALK_PFERR_WRITE : 0);
	bool write = r->access & PAGEWALK_PFERR_WRITE, fetch = r->access & PAGEWALK_PFERR_FETCH;
	bool user = r->access & PAGEWALK_PFERR_USER;
	unsigned size = c->levels == 2 ? 4 : 8, read_only = 0;
	uint64_t address = size == 4 ? PAGEWALK_BITS(31, 12) : PAGEWALK_ADDRESS;
	const struct event *root = next_event(r, ROOT, false);
	struct stage_replay *s = &r->guest;
	uint64_t table, e, page, gpas[5];
	enum end end = PASSED;

	*s = (struct stage_replay){ .w = true, .u = true };
	r->second_walks = 0;
	if (!root)
		return contradict(r, "the root is not read");
	table = root->value & address;
	for (s->level = c->levels;; s->level--) {
		int level = s->level;

		gpas[level] = s->pa[level] = table + (r->va >> shift_of(level, size) & (size == 4 ? 1023 : 511)) * size;
		if (c->second) {
			end = replay_second(r, gpas[level], table_access);
			if (end != PASSED)
				return end;
			s->pa[level] = r->second.gpa;
			read_only |= (unsigned)!r->second.w << level;
		}
		end = expect_read(r, false, s->pa[level], size, &e);
		if (end != PASSED)
			return end;
		s->entry[level] = e;
		s->w &= e >> 1 & 1;
		s->u &= e >> 2 & 1;
		s->nx |= e >> 63;
		if (!(e & 1))
			return refuse_guest(r, 0);
		if (size == 8 && (e & RESERVED))
			return refuse_guest(r, PAGEWALK_PFERR_PRESENT | PAGEWALK_PFERR_RSVD);
		if (level == 1 || (e & PAGEWALK_PTE_PS))
			break;
		if (c->as_walked)
			end = replay_guest_flags(r, level, size, PAGEWALK_PTE_ACCESSED, gpas, read_only);
		if (end != PASSED)
			return end;
		table = e & address;
	}
	if ((user && !s->u) || (write && !s->w) || (fetch && s->nx))
		return refuse_guest(r, PAGEWALK_PFERR_PRESENT);
	s->shift = shift_of(s->level, size);
	page = PAGEWALK_BIT(s->shift) - 1;
	s->gpa = (e & address & ~page) | (r->va & page);
	if (c->second) {
		end = replay_second(r, s->gpa, (r->access & ~PAGEWALK_PFERR_USER) | PAGEWALK_PFERR_GUEST_FINAL);
		if (end != PASSED)
			return end;
	}
	for (int level = c->as_walked ? s->level : c->levels; level >= s->level && end == PASSED; level--) {
		uint64_t flags = PAGEWALK_PTE_ACCESSED | (level == s->level && write ? PAGEWALK_PTE_DIRTY : 0);

		end = replay_guest_flags(r, level, size, flags, gpas, read_only);
	}
	return end;
}

/* Whether a stage of the record is what the replay has seen. */
static bool same_stage(const struct pagewalk_stage *got, const struct stage_replay *s, int levels, bool ept,
		       bool passed)
{
	unsigned rights = (s->nx ? 0 : PAGEWALK_ACC_EXEC) | (s->w ? PAGEWALK_ACC_WRITE : 0) |
			  (s->u ? PAGEWALK_ACC_USER : 0);

	if (ept)
		rights = (unsigned)((s->rwx & 1) << 2 | (s->rwx & 2) | s->rwx >> 2);
	if (got->max_level != levels || got->level != s->level)
		return false;
	for (int level = levels; level >= s->level; level--)
		if (got->entry[level - 1].pte != s->entry[level] || got->entry[level - 1].pa != s->pa[level])
			return false;
	return !passed || (got->gpa == s->gpa && got->page_shift == s->shift && got->pte_access == rights);
}

/* NULL, or what is wrong with the answer. */
static const char *compare_answer(const struct replay *r, enum end end, enum pagewalk_status status,
				  const struct pagewalk_walk *out)
{
	const struct pagewalk_fault *f = &out->fault;
	bool guest = race.c->levels, second = race.c->second && r->second_walks, ept = race.c->second == EPT;

	if (end == CONTRADICTED)
		return r->problem;
	if (r->at != r->log->count)
		return "callbacks after the walk's end";
	if (end == LOST)
		return status == PAGEWALK_RETRY ? NULL : "all attempts lost, but an answer";
	if (status != (end == PASSED ? PAGEWALK_OK : r->status))
		return "the wrong status";
	if (end == PASSED && out->pa != (second ? r->second.gpa : r->guest.gpa))
		return "the wrong address";
	if (end == REFUSED && (f->error_code != r->error_code || f->address != r->va || f->gpa != r->gpa ||
			       f->exit_qualification != r->exit_qualification || f->exit != r->exit ||
			       f->vector != (status == PAGEWALK_FAULT ? PAGEWALK_VECTOR_PF : 0)))
		return "the wrong fault";
	if (guest && status != PAGEWALK_NESTED_FAULT &&
	    !same_stage(&out->guest, &r->guest, race.c->levels, false, end == PASSED))
		return "the wrong record";
	if (second && !same_stage(&out->nested, &r->second, 4, ept, end == PASSED))
		return "the wrong record of the second stage";
	return NULL;
}

static void check_answer(const struct log *log, uint64_t va, uint64_t access, enum pagewalk_status status,
			 const struct pagewalk_walk *out)
{
	struct replay r = { .log = log, .va = va, .access = access & ~PAGEWALK_PFERR_GUEST_FINAL };
	enum end end = LOST;
	const char *wrong;

	for (int attempt = 0; attempt < PAGEWALK_MAX_ATTEMPTS && end == LOST; attempt++)
		end = race.c->levels ? replay_guest(&r) : replay_second(&r, va, access);
	wrong = compare_answer(&r, end, status, out);
	if (wrong)
		complain(&race.wrong_answers, "va 0x%" PRIx64 " access 0x%" PRIx64 " => status %d pa 0x%" PRIx64
			 " error 0x%" PRIx64 " after %u callbacks, %s (at %u)", va, access, status, out->pa,
			 out->fault.error_code, log->count, wrong, r.at);
}

/* ---- Threads ----------------------------------------------------------------------------------------- */

static void *walker(void *argument)
{
	static const uint64_t accesses[] = { 0, 2, 16, 4, 6, 20 }; /* read, write, fetch; the same by a user */
	struct log *log = argument;
	unsigned size = race.c->levels == 2 ? 4 : 8;
	struct pagewalk_walk out;

	own = log;
	while (!atomic_load_explicit(&race.stop, memory_order_relaxed)) {
		uint64_t access = accesses[random_next(&log->random, 6)], va = random_next(&log->random, 4096);
		enum pagewalk_status status;

		if (!race.c->levels)
			access = (access & ~PAGEWALK_PFERR_USER) | PAGEWALK_PFERR_GUEST_FINAL;
		for (int level = 1; level <= (race.c->levels ? race.c->levels : 4); level++)
			va |= (uint64_t)random_next(&log->random, 2) << shift_of(level, size);
		log->stubborn = random_next(&log->random, 16) == 0;
		log->count = 0;
		status = pagewalk_translate(race.walk, va, access, &out);
		check_answer(log, va, access, status, &out);
		log->walks++;
		log->ok += status == PAGEWALK_OK;
		log->faults += status == PAGEWALK_FAULT || status == PAGEWALK_NESTED_FAULT;
		log->gave_up += status == PAGEWALK_RETRY;
	}
	return NULL;
}

/* Looks at what was in the entry against what was put there. */
static void check_entry(struct slot *s, uint64_t found)
{
	uint64_t a = accessed(s->ept), d = dirty(s->ept), added = found & ~s->now;
	unsigned v = variant_of(s->size, s->now);

	if ((found & ~(a | d)) != (s->now & ~(a | d)) || (s->now & ~found) || ((found & d) && !(found & a)) ||
	    ((added & d) && !s->page[v])) {
		complain(&race.wrong_entries, "entry 0x%" PRIx64 " => 0x%" PRIx64 ", expected 0x%" PRIx64 " and flags",
			 s->pa, found, s->now);
		return;
	}
	s->found_a[v] += (added & a) != 0;
	s->found_d[v] += (added & d) != 0;
}

static uint64_t exchange(const struct slot *s, uint64_t value)
{
	if (s->size == 4)
		return atomic_exchange_explicit(&memory.half[s->pa / 4], (uint32_t)value, memory_order_relaxed);
	return atomic_exchange_explicit(&memory.whole[s->pa / 8], value, memory_order_relaxed);
}

struct writer {
	unsigned number;
	uint64_t random, exchanges;
};

static void *writer(void *argument)
{
	static const unsigned good[] = { 0, 1, 6 };
	struct writer *self = argument;

	while (!atomic_load_explicit(&race.stop, memory_order_relaxed)) {
		unsigned at = random_next(&self->random, race.slots / WRITERS) * WRITERS + self->number;
		struct slot *s = &race.slot[at];
		unsigned v = random_next(&self->random, 16) < race.c->good ? good[random_next(&self->random, 3)] :
									      2 + random_next(&self->random, 6);
		uint64_t value = s->value[v];

		if (s->size == 8)
			value |= (uint64_t)(self->exchanges % 4) << 55;
		check_entry(s, exchange(s, value));
		s->now = value;
		if (++self->exchanges % 16 == 0 && self->number < 2)
			atomic_store_explicit(&race.root[self->number],
					      race.roots[self->number][random_next(&self->random, 2)],
					      memory_order_relaxed);
		if (self->exchanges % 8 == 0)
			sched_yield();
	}
	return NULL;
}

/* ---- A race ------------------------------------------------------------------------------------------ */

static void set_up(const struct config *c, enum exchange how)
{
	const uint64_t features = PAGEWALK_BITS(9, 0) | PAGEWALK_BITS(37, 32);
	const struct pagewalk_cpu cpu = {
		.features = features, .vendor = c->second == NPT ? PAGEWALK_AMD : PAGEWALK_INTEL, .maxphyaddr = 46,
		.quirks = c->as_walked ? PAGEWALK_QUIRK_AD_AS_WALKED : 0,
	};
	const struct pagewalk_regs long_mode = { .cr0 = 0x80010001, .cr4 = 0x20, .efer = 0xd00 };
	const struct pagewalk_regs narrow = { .cr0 = 0x80010001, .cr4 = 0x10, .efer = 0 };
	uint64_t low = c->second == EPT ? 0x1e | (c->ept_ad ? PAGEWALK_EPTP_AD : 0) : 0;
	enum pagewalk_status status = PAGEWALK_OK;

	memset(&race, 0, sizeof(race));
	race.c = c;
	race.exchange = how;
	for (unsigned i = 0; i < PAGES * 512; i++)
		atomic_store_explicit(&memory.whole[i], 0, memory_order_relaxed);

	race.guest.read_gpte = race.second.read_gpte = read_gpte;
	race.guest.cmpxchg_gpte = race.second.cmpxchg_gpte = cmpxchg_gpte;
	race.guest.get_guest_pgd = race.second.get_guest_pgd = get_guest_pgd;
	race.walk = c->levels ? &race.guest : &race.second;
	for (unsigned i = 0; i < 2; i++) {
		race.roots[0][i] = guest_table(c->levels, i);
		race.roots[1][i] = second_table(4, i) | low;
	}
	for (unsigned i = 0; i < 2; i++)
		race.root[i] = race.roots[i][0];
	if (c->levels) {
		add_tree(false, c->levels, c->levels == 2 ? 4 : 8, guest_table, 0, c->second);
		status = pagewalk_init(&race.guest, &cpu, c->levels == 2 ? &narrow : &long_mode);
	}
	if (c->levels && c->second) {
		add_tree(false, c->levels, c->levels == 2 ? 4 : 8, guest_table, OTHER_PLACE, true);
		add_second(c->second == EPT);
		race.guest.ngpa_walk = &race.second;
	} else if (c->second) {
		add_tree(true, 4, 8, second_table, 0, false);
	}
	if (c->second == EPT && status == PAGEWALK_OK)
		status = pagewalk_init_ept(&race.second, &cpu, race.root[1], false);
	else if (c->second && status == PAGEWALK_OK)
		status = pagewalk_init_npt(&race.second, &cpu, &long_mode, race.root[1], false);
	if (status != PAGEWALK_OK || race.slots % WRITERS)
		abort();
	for (unsigned i = 0; i < race.slots; i++) {
		race.slot[i].now = race.slot[i].value[0];
		exchange(&race.slot[i], race.slot[i].now);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void sum_up(struct log *const *logs, const struct writer *writers)
{
	for (unsigned i = 0; i < WALKERS; i++) {
		race.walks += logs[i]->walks;
		race.ok += logs[i]->ok;
		race.faults += logs[i]->faults;
		race.lost += logs[i]->lost;
		race.gave_up += logs[i]->gave_up;
		for (unsigned at = 0; at < race.slots; at++)
			for (unsigned v = 0; v < VARIANTS; v++) {
				race.set_a[at][v] += logs[i]->set_a[at][v];
				race.set_d[at][v] += logs[i]->set_d[at][v];
			}
	}
	for (unsigned i = 0; i < WRITERS; i++)
		race.exchanges += writers[i].exchanges;
}

static void run(const struct config *c, enum exchange how, double seconds, uint64_t seed)
{
	static struct log storage[WALKERS];
	static struct writer writers[WRITERS];
	pthread_t thread[WALKERS + WRITERS];
	struct log *logs[WALKERS];
	double end = now() + seconds;

	set_up(c, how);
	memset(storage, 0, sizeof(storage));
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){ .number = i, .random = seed + 1000 + i };
		if (pthread_create(&thread[WALKERS + i], NULL, writer, &writers[i]))
			abort();
	}
	for (unsigned i = 0; i < WALKERS; i++) {
		logs[i] = &storage[i];
		logs[i]->random = seed + 1 + i;
		if (pthread_create(&thread[i], NULL, walker, logs[i]))
			abort();
	}
	while (now() < end)
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	atomic_store(&race.stop, true);
	for (unsigned i = 0; i < WALKERS + WRITERS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned i = 0; i < race.slots; i++)
		check_entry(&race.slot[i], load(race.slot[i].pa, race.slot[i].size));
	sum_up(logs, writers);
}

/* How many entries have other flags than were set; *a and *d: how many flags were found. */
static unsigned wrong_flags(uint64_t *a, uint64_t *d)
{
	unsigned wrong = 0;

	*a = *d = 0;
	for (unsigned at = 0; at < race.slots; at++) {
		const struct slot *s = &race.slot[at];

		for (unsigned v = 0; v < VARIANTS; v++) {
			*a += s->found_a[v];
			*d += s->found_d[v];
			if (s->found_a[v] == race.set_a[at][v] && s->found_d[v] == race.set_d[at][v])
				continue;
			if (wrong++ < 10 && race.exchange == HONEST)
				printf("%s: entry 0x%" PRIx64 " value 0x%" PRIx64 " => A %" PRIu64 " D %" PRIu64
				       " times found, expected %" PRIu64 " and %" PRIu64 "\n", race.c->name, s->pa,
				       s->value[v], s->found_a[v], s->found_d[v], race.set_a[at][v], race.set_d[at][v]);
		}
	}
	return wrong;
}

static unsigned passed, failed;

static void count(bool good, const char *what)
{
	passed += good;
	failed += !good;
	if (!good)
		printf("%s: FAILED: %s\n", race.c->name, what);
}

int main(int argc, char **argv)
{
	const unsigned configs_count = sizeof(configs) / sizeof(*configs);
	double seconds = 16;
	uint64_t a, d;

	if (argc == 3 && !strcmp(argv[1], "--seconds"))
		seconds = atof(argv[2]);
	else if (argc != 1)
		return fprintf(stderr, "usage: race [--seconds S]\n"), 2;

	for (unsigned i = 0; i < configs_count; i++) {
		const struct config *c = &configs[i];
		bool raced = false;
		unsigned wrong = 0;

		/* On a machine that does other things too, a short time may show too little: then once more, longer. */
		for (int round = 1; round <= 32 && !raced; round *= 2) {
			run(c, HONEST, round * seconds / configs_count, UINT64_C(0x9e3779b97f4a7c15) * (i + 1));
			wrong = wrong_flags(&a, &d);
			raced = race.ok && race.faults && race.lost && race.gave_up && a && d;
			if (race.wrong_answers || race.wrong_entries || wrong)
				break;
		}
		printf("%-28s %8" PRIu64 " walks: %8" PRIu64 " ok %8" PRIu64 " faults %6" PRIu64 " gave up; %7" PRIu64
		       " exchanges lost, %7" PRIu64 " A and %6" PRIu64 " D found in %9" PRIu64 " entries\n", c->name,
		       race.walks, race.ok, race.faults, race.gave_up, race.lost, a, d, race.exchanges);
		count(!race.wrong_answers, "answers");
		count(!race.wrong_entries, "entries");
		count(!wrong, "flags");
		count(raced, "it raced");
	}
	for (unsigned i = 0; i < configs_count; i++) {
		for (enum exchange how = STORES; how <= ORS; how++) {
			bool seen = false;

			for (int round = 1; round <= 32 && !seen; round *= 2) {
				run(&configs[i], how, round * 0.1, 12345 + i);
				seen = race.wrong_entries || wrong_flags(&a, &d);
			}
			count(seen, how == STORES ? "a store without a comparison is not seen" :
						    "flags ORed into another value are not seen");
		}
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed != 0;
}
