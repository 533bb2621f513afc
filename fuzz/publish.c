/* SPDX-License-Identifier: MIT */
/*
 * publish: makes the vectors of tests/vectors/, and asks about them again.
 *
 *     publish FAMILY [STREAM...] >FILE    32 pae 4-level 5-level ept npt permissions
 *     publish --again FILE >FILE2         the same cases, `source` as the oracles of this build agree now
 *
 * A case is published if the library, the model and every other oracle that can be asked (fuzz/oracles.c) give the same
 * answer; a documented deviation counts as neither yes nor no. All families but permissions come in pairs of one bit's
 * difference (fuzz/pairs.h): `a`, where a rule applies, and `b`, where it does not. Which pairs is a matter of
 * coverage: the row with the fewest pairs so far, and in it the kind of pair that is rarest, comes first. permissions
 * is a loop over the rights and all that decides about them.
 *
 * A family is made of streams, one for each oracle: the model's has the hardware's profiles; that of another oracle has
 * cases that it can be asked. They depend on nothing but the family, the stream, the library and generate.c, so a new
 * oracle adds cases and changes none. The ids count the pairs that were chosen; one that somebody disagrees with leaves
 * a gap.
 *
 * What is published turns on no open question: a hardware case whose answer a knob would change is left out, and flags
 * that CPUs may set or not (AD-2), bits that are undefined (EPT-8) and AMD's I/D with SMEP alone (ERR-5) are masked.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "judge.h"
#include "pairs.h"
#include "vector.h"

#define BIT(n) ((uint64_t)1 << (n))
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define PAIRS_OF_MODEL 780
#define PAIRS_OF_OTHERS 40
static const struct { const char *name; unsigned pairs; } more_pairs[] = { { "kvm", 250 }, { "qemu", 120 } };

#define MAX_DRAWS 60000
#define PATIENCE 300    /* draws without a new pair before the limits are raised */
#define TRIED 10        /* candidates of a draw that are looked at closely */
#define TAKEN 3         /* and that may become pairs */

struct family {
	const char *name;
	unsigned modes, stages, have;
};

static const struct family families[] = {
	{ "32", 1 << 2, 1 << CASE_ONE_DIMENSION, 0 },
	{ "pae", 1 << 3, 1 << CASE_ONE_DIMENSION, CASE_PAE },
	{ "4-level", 1 << 4, 1 << CASE_ONE_DIMENSION, CASE_PAE },
	{ "5-level", 1 << 5, 1 << CASE_ONE_DIMENSION, CASE_PAE | CASE_LA57 },
	{ "ept", 0, 1 << CASE_EPT, CASE_PAE },
	{ "npt", 0, 1 << CASE_NPT, CASE_PAE },
	{ "permissions", 0, 1 << CASE_ONE_DIMENSION, 0 },
};

static _Noreturn void die(const char *what, const char *which)
{
	fprintf(stderr, "publish: %s%s%s\n", what, which ? ": " : "", which ? which : "");
	exit(2);
}

static bool is_kvm(const struct case_question *q)
{
	return q->profile >= CASE_KVM_INTEL;
}

/* ---- What is settled, and what is expected --------------------------------------------------------------------- */

static bool same_fields(const struct case_answer *a, const struct case_answer *b)
{
	return !memcmp(a, b, offsetof(struct case_answer, value));
}

/* PDPTE registers hold nothing that a load would have refused (MODE-7). */
static bool possible_pdptes(const struct case_question *q)
{
	for (unsigned i = 0; q->has_pdpte && i < 4; i++)
		if (q->pdpte[i] & 1 && q->pdpte[i] & ~((BIT(q->maxphyaddr) - 1) & ~(uint64_t)0x1e6))
			return false;
	return true;
}

/* NPT: the rules do not say what becomes of a GPA's bits, or nCR3's, over the width of the host's mode. */
static bool npt_too_wide(const struct seen *s)
{
	const struct pagewalk_stage *g = &s->run.walk.guest;
	unsigned level = s->run.second.walk.fmt.root_level, width = level == 5 ? 57 : level == 4 ? 48 : 32;

	if (s->q.stage2 != CASE_NPT)
		return false;
	for (unsigned l = g->level; g->max_level && l <= g->max_level; l++)
		if (g->entry[l - 1].gpa != PAGEWALK_INVALID_GPA && g->entry[l - 1].gpa >> width)
			return true;
	return s->run.walk.nested.address >> width || s->q.cr3 >> width || (width == 32 && s->q.ncr3 >> 32);
}

/* Whether rules decide the case, and nothing that they leave open. */
static bool settled(struct case_question *q, const struct seen *s)
{
	static const unsigned knobs[] = { CASE_AD_AS_WALKED, CASE_PDPTE_BIT8, CASE_PSE36_BY_M };
	static struct case_answer other;

	if (s->a.outcome == CASE_NO_MEMORY || s->a.outcome == CASE_BAD_STATE || q->knobs || !possible_pdptes(q))
		return false;
	if (!(q->cr0 & BIT(31)) && q->va >> q->maxphyaddr)
		return false;
	if (is_kvm(q))
		return !(q->user && q->implicit);
	if (npt_too_wide(s))
		return false;
	if (q->profile == CASE_AMD && s->run.guest.walk.fmt.pae && q->has_pdpte)
		return false; /* MODE-8: some have no such registers, whatever the stages */
	if (q->profile == CASE_AMD && s->a.outcome == CASE_PDPTE_FAULT)
		return false;
	for (unsigned i = 0; i < COUNT(knobs); i++) {
		q->knobs = knobs[i];
		library_walk(q, &other);
		q->knobs = 0;
		if (!same_fields(&other, &s->a))
			return false;
	}
	return true;
}

/* The bits of an entry may be as they are or not. */
static void forget(struct vector_expect *e, const struct case_question *q, uint64_t pa, unsigned size, uint64_t bits)
{
	int at = case_find(&q->memory, pa & ~(uint64_t)7);

	if (at >= 0) /* a flag that is set stays set */
		e->mask[at] &= ~(size == 4 && pa & 4 ? bits << 32 : bits) | q->memory.value[at];
}

static void forget_stage(struct vector_expect *e, const struct case_question *q, const struct seen *s,
			 const struct kvm_pagewalk *w, const struct pagewalk_stage *stage)
{
	unsigned size = w->fmt.root_level == 2 ? 4 : 8;

	for (int level = stage->level; stage->max_level && level <= stage->max_level; level++)
		forget(e, q, stage->entry[level - 1].pa, size, pagewalk_ad_dont_care(w, stage, level, s->run.status));
}

/* A settled case's. */
static void expectation(struct case_question *q, const struct seen *s, struct vector_expect *e)
{
	const struct pagewalk_stage *guest = &s->run.walk.guest;
	static struct case_answer as_walked;
	uint64_t undefined = BIT(12); /* NMI unblocking, not the walk's */

	vector_expect_answer(e, q, &s->a);
	if (is_kvm(q))
		return;
	q->knobs = CASE_AD_AS_WALKED;
	library_walk(q, &as_walked);
	q->knobs = 0;
	for (unsigned w = 0; w < q->memory.count; w++)
		e->mask[w] &= ~(as_walked.value[w] ^ s->a.value[w]);
	if (s->run.status == PAGEWALK_FAULT || s->run.status == PAGEWALK_NESTED_FAULT)
		forget_stage(e, q, s, &s->run.guest.walk, guest);
	if (s->run.status == PAGEWALK_NESTED_FAULT) {
		forget_stage(e, q, s, &s->run.second.walk, &s->run.walk.nested);
		/* The guest's own walk was over: some set its D before they ask the second stage for the page. */
		if (guest->max_level && q->access == CASE_WRITE &&
		    s->run.walk.nested.access & PAGEWALK_PFERR_GUEST_FINAL)
			forget(e, q, guest->entry[guest->level - 1].pa, s->run.guest.walk.fmt.root_level == 2 ? 4 : 8,
			       PAGEWALK_PTE_DIRTY);
	}
	if (e->outcome == CASE_PAGE_FAULT && q->profile == CASE_AMD && q->access == CASE_FETCH && q->cr4 & BIT(20) &&
	    !(q->cr4 & BIT(5) && q->efer & BIT(11)))
		e->error_code_mask = 0xffffffff & ~(uint64_t)PAGEWALK_PFERR_FETCH; /* ERR-5 */
	if (e->outcome == CASE_EPT_VIOLATION) { /* EPT-8 */
		if (!q->mbec)
			undefined |= PAGEWALK_EPT_VIOLATION_XU;
		if (!(q->ept_features & CASE_EPT_ADVANCED) || !(e->exit_qualification & PAGEWALK_EPT_VIOLATION_FINAL))
			undefined |= PAGEWALK_BITS(11, 9);
		e->exit_qualification_mask = 0x1ffff & ~undefined;
	}
	for (unsigned w = 0; w < q->memory.count; w++) /* a word that nobody can be wrong about */
		if (e->mask[w] != ~(uint64_t)0 && !(e->mask[w] & (e->value[w] ^ q->memory.value[w])))
			e->value[w] = q->memory.value[w];
}

/* Whether the expectations of a pair tell it apart: a walker that takes the one case for the other fails. */
static bool visible(const struct case_question *q, const struct seen *a, const struct seen *b,
		    const struct vector_expect *x, const struct vector_expect *y)
{
	if (x->outcome != y->outcome || x->pa != y->pa || x->page_shift != y->page_shift || x->rights != y->rights ||
	    x->vector != y->vector || x->cr2 != y->cr2 || x->gpa != y->gpa ||
	    (x->error_code ^ y->error_code) & x->error_code_mask & y->error_code_mask ||
	    (x->exit_qualification ^ y->exit_qualification) & x->exit_qualification_mask & y->exit_qualification_mask)
		return true;
	for (unsigned w = 0; w < q->memory.count; w++)
		if ((a->changed[w] ^ b->changed[w]) & x->mask[w] & y->mask[w])
			return true;
	return false;
}

/* ---- The oracles ----------------------------------------------------------------------------------------------- */

#define MAX_ORACLES 16

static struct {
	struct oracle *oracle;
	unsigned long long agreed, known, outside, differs;
} asked[MAX_ORACLES];
static unsigned asked_count;

static void start_oracles(void)
{
	char reason[256];

	for (struct oracle *const *o = oracles; *o && asked_count < MAX_ORACLES; o++) {
		if ((*o)->start(reason, sizeof(reason)))
			asked[asked_count++].oracle = *o;
		else
			fprintf(stderr, "publish: %s skipped: %s\n", (*o)->name, reason);
	}
}

static void stop_oracles(void)
{
	for (unsigned i = 0; i < asked_count; i++) {
		const struct oracle *o = asked[i].oracle;

		fprintf(stderr, "publish: %s (%s): agreed %llu, known deviation %llu, not asked %llu, disagreed %llu\n",
			o->name, o->version, asked[i].agreed, asked[i].known, asked[i].outside, asked[i].differs);
		if (o->stop)
			o->stop();
	}
}

/* Whether an oracle gives what is expected, in all that it sees and that counts. */
static bool as_expected(const struct oracle *o, const struct case_question *q, const struct vector_expect *e)
{
	static struct case_answer theirs;
	static struct vector v;

	memset(&theirs, 0, offsetof(struct case_answer, value));
	if (o->ask(q, &theirs) != ORACLE_ANSWERED)
		return false;
	v.question = *q;
	v.expect = *e;
	v.expect.have &= o->sees;
	return vector_match(&v, &theirs, NULL, 0);
}

/* False: one of them disagrees. Otherwise source is `rules; agreed N: NAMES`. */
static bool agree(const struct case_question *q, const struct vector_expect *e, const char *id,
		  char source[VECTOR_SOURCE_SIZE])
{
	static struct case_answer ours, theirs;
	char names[VECTOR_SOURCE_SIZE] = "";
	size_t length = 0;
	unsigned known, n = 0;

	for (unsigned i = 0; i < asked_count; i++) {
		const struct oracle *o = asked[i].oracle;
		enum verdict verdict = judge(o, q, &ours, &theirs, &known);

		if ((verdict == KNOWN || verdict == DIFFERS) && as_expected(o, q, e))
			verdict = SAME; /* the difference is one that the vector leaves open */
		switch (verdict) {
		case SAME:
			asked[i].agreed++;
			length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s%s%s", n++ ? ", " : "",
						   o->name, o == &oracle_model ? "" : " ",
						   o == &oracle_model ? "" : o->version);
			if (length >= sizeof(names) - 24)
				die("the names of the oracles are too long for a source", NULL);
			break;
		case KNOWN:
			asked[i].known++;
			break;
		case OUTSIDE:
			asked[i].outside++;
			break;
		case DIFFERS:
			asked[i].differs++;
			fprintf(stderr, "publish: %s: %s disagrees\n", id, o->name);
			return false;
		case BROKEN:
			die("an oracle stopped", o->name);
		}
	}
	if (!n)
		return false;
	snprintf(source, VECTOR_SOURCE_SIZE, "rules; agreed %u: %s", n, names);
	return true;
}

/* Whether the oracle can be asked, and does not say otherwise. */
static bool can_ask(const struct oracle *o, const struct case_question *q)
{
	static struct case_answer ours, theirs;
	unsigned known;

	switch (judge(o, q, &ours, &theirs, &known)) {
	case BROKEN:
		die("an oracle stopped", o->name);
	case OUTSIDE:
		return false;
	default:
		return true; /* agree() decides */
	}
}

/* ---- A pair ---------------------------------------------------------------------------------------------------- */

struct pair {
	struct case_question q;  /* a; b is one flip away */
	struct flip flip;
	unsigned row;
};

static struct seen sight[2];

/* Both sides, in sight[]. False: b is no case. */
static bool look(struct case_question *q, const struct flip *f)
{
	bool good;

	see(q, &sight[0]);
	good = flip_apply(q, f);
	if (good)
		see(q, &sight[1]);
	flip_apply(q, f);
	return good;
}

static bool both_settled(struct case_question *q, const struct flip *f)
{
	bool good = settled(q, &sight[0]);

	if (!good)
		return false;
	flip_apply(q, f);
	good = settled(q, &sight[1]);
	flip_apply(q, f);
	return good;
}

static bool both_asked(const struct oracle *o, struct case_question *q, const struct flip *f)
{
	bool good = can_ask(o, q);

	if (!good || !flip_apply(q, f))
		return false;
	good = can_ask(o, q);
	flip_apply(q, f);
	return good;
}

/* What simplification must not change. */
struct essence {
	struct case_answer a[2];
	uint16_t rule[2];
	unsigned count;
	uint64_t address[CASE_MAX_WORDS], changed[2][CASE_MAX_WORDS];
};

static void keep_essence(struct essence *e, const struct case_question *q)
{
	for (unsigned i = 0; i < 2; i++) {
		memcpy(&e->a[i], &sight[i].a, offsetof(struct case_answer, value));
		e->rule[i] = sight[i].run.walk.fault.rule;
		memcpy(e->changed[i], sight[i].changed, q->memory.count * sizeof(uint64_t));
	}
	e->count = q->memory.count;
	memcpy(e->address, q->memory.address, e->count * sizeof(uint64_t));
}

static bool has_essence(struct case_question *q, const struct essence *e, const struct pair *p, const struct oracle *o)
{
	if (!look(q, &p->flip) || !rows[p->row].shows(&sight[0], &sight[1], &p->flip))
		return false;
	for (unsigned i = 0; i < 2; i++) {
		if (!same_fields(&sight[i].a, &e->a[i]) || sight[i].run.walk.fault.rule != e->rule[i])
			return false;
		for (unsigned w = 0; w < e->count; w++) {
			int at = case_find(&q->memory, e->address[w]);

			if (e->changed[i][w] != (at < 0 ? 0 : sight[i].changed[at]))
				return false;
		}
	}
	return !o || both_asked(o, q, &p->flip);
}

static void drop_word(struct case_question *q, unsigned word)
{
	static struct case_memory old;

	old = q->memory;
	case_clear(&q->memory, old.size);
	for (unsigned w = 0; w < old.count; w++)
		if (w != word)
			case_set(&q->memory, old.address[w], old.value[w]);
}

/*
 * Takes away what does not matter: words, features, AC, keys; ignored bits of entries too if plain. Addresses stay, so
 * that a walker's arithmetic is tested.
 */
static void simplify(struct pair *p, const struct oracle *o, bool plain)
{
	static struct essence e;
	static struct case_question trial;
	struct case_question *q = &p->q;
	uint64_t *const registers[] = { &trial.pkru, &trial.rflags, &trial.pdpte[0], &trial.pdpte[1], &trial.pdpte[2],
					&trial.pdpte[3] };
	uint64_t *const theirs[] = { &q->pkru, &q->rflags, &q->pdpte[0], &q->pdpte[1], &q->pdpte[2], &q->pdpte[3] };

	look(q, &p->flip);
	keep_essence(&e, q);
	for (unsigned w = q->memory.count; w--;) {
		if (q->memory.address[w] == p->flip.address && p->flip.what == FLIP_WORD)
			continue;
		trial = *q;
		drop_word(&trial, w);
		if (has_essence(&trial, &e, p, o))
			*q = trial;
	}
	for (unsigned i = 0; i < COUNT(registers); i++) {
		trial = *q;
		*registers[i] &= i == 1 ? 2 : 0;
		if (*registers[i] != *theirs[i] && has_essence(&trial, &e, p, o))
			*q = trial;
	}
	for (unsigned bit = 0; bit < 16; bit++) {
		trial = *q;
		trial.features &= ~(1u << bit);
		if (trial.features != q->features && has_essence(&trial, &e, p, o))
			*q = trial;
		trial = *q;
		trial.ept_features &= ~(1u << bit);
		if (trial.ept_features != q->ept_features && has_essence(&trial, &e, p, o))
			*q = trial;
	}
	for (unsigned w = 0; plain && w < q->memory.count; w++) {
		uint64_t left = q->memory.value[w] & (is_kvm(q) ? 0x7ff0000000000e18 : 0x7ff0071800000e18 | 0x718);

		for (trial = *q; left; left &= left - 1) {
			trial.memory.value[w] &= ~(left & -left);
			if (has_essence(&trial, &e, p, o))
				*q = trial;
			else
				trial = *q;
		}
	}
	look(q, &p->flip);
}

/* ---- Choosing pairs -------------------------------------------------------------------------------------------- */

#define BUCKETS (1 << 16)

static struct pair chosen[PAIRS_OF_MODEL];
static unsigned chosen_count;
static unsigned in_row[MAX_ROWS], failed[MAX_ROWS];
static uint16_t in_bucket[BUCKETS];

static unsigned mix(unsigned hash, unsigned value)
{
	return (hash ^ value) * 0x01000193u + (hash >> 15);
}

/* Bits where masks begin and end count for themselves. */
static bool at_edge(const struct seen *a, const struct flip *f, unsigned bit)
{
	unsigned m = a->q.maxphyaddr;

	if (f->what == FLIP_VA)
		return bit == 31 || bit == 32 || bit == 47 || bit == 48 || bit == 56 || bit == 57 || bit == 63;
	if (f->what == FLIP_CR3 || f->what == FLIP_NCR3)
		return bit >= 31 && bit < 34;
	return f->what == FLIP_WORD &&
	       (bit == m || bit + 1 == m || bit == 12 || bit == 13 || bit == 20 || bit == 21 || bit == 29 ||
		bit == 30 || bit == 51 || bit == 52 || bit == 62 || bit == 63);
}

static unsigned bit_class(const struct seen *a, const struct flip *f, unsigned bit)
{
	unsigned m = a->q.maxphyaddr;

	if (f->what == FLIP_PKRU)
		return bit & 1;
	if (f->what != FLIP_WORD && f->what != FLIP_VA)
		return bit;
	if (at_edge(a, f, bit))
		return f->what == FLIP_WORD && bit == m ? 64 : f->what == FLIP_WORD && bit + 1 == m ? 65 : bit;
	if (bit < 13)
		return bit;
	if (bit < 30)
		return bit < 21 ? 66 : 67;
	if (bit < 52)
		return bit < m ? 68 : 69;
	return bit < 59 ? 70 : 71;
}

/* Pairs in one bucket show the same in the same way. */
static unsigned bucket_of(unsigned row, const struct seen *a, const struct seen *b, const struct flip *f)
{
	unsigned hash = mix(0x811c9dc5u, row), bit = flip_bit(a, f);

	hash = mix(hash, (unsigned)f->what);
	hash = mix(hash, flip_level(a, f));
	hash = mix(hash, bit_class(a, f, bit));
	hash = mix(hash, (unsigned)a->a.outcome << 4 | (unsigned)b->a.outcome);
	hash = mix(hash, a->run.walk.fault.rule);
	hash = mix(hash, b->run.walk.fault.rule);
	hash = mix(hash, (unsigned)a->q.access << 4 | (unsigned)a->q.profile << 1 | a->q.user);
	hash = mix(hash, a->run.guest.walk.fmt.root_level);
	hash = mix(hash, a->q.stage2 ? a->run.second.walk.fmt.root_level : 0);
	hash = mix(hash, a->run.walk.guest.level);
	return (hash ^ hash >> 16) & (BUCKETS - 1);
}

/* The pair only sends the walk to a place where nothing is: it shows little. */
static bool elsewhere(const struct seen *a, const struct seen *b, const struct flip *f)
{
	unsigned bit = flip_bit(a, f);
	uint16_t rule = b->run.walk.fault.rule;

	return f->what == FLIP_WORD && bit >= 12 && bit < a->q.maxphyaddr && b->run.status != PAGEWALK_OK &&
	       (rule == PAGEWALK_RULE(ERR, 1) || rule == PAGEWALK_RULE(EPT, 2));
}

struct candidate {
	struct flip flip;
	unsigned row, bucket;
	bool turned;    /* the case drawn is b */
	unsigned count; /* pairs in its bucket */
	unsigned order; /* random */
};

/* The best pair of each row that a case is part of. */
static unsigned candidates_of(struct case_question *q, struct dice *d, struct candidate best[MAX_ROWS])
{
	static struct flip flips[FLIP_MAX];
	static struct seen x, y;
	unsigned n = flip_list(q, flips), found = 0;
	bool here[MAX_ROWS] = { false };

	see(q, &x);
	if (!settled(q, &x))
		return 0;
	for (unsigned i = 0; i < n; i++) {
		bool good = flip_apply(q, &flips[i]);

		if (good) {
			see(q, &y);
			good = y.run.status != PAGEWALK_BAD_STATE && y.run.status != PAGEWALK_NO_MEMORY;
		}
		flip_apply(q, &flips[i]);
		if (!good || !seen_differ(&x, &y, q->memory.count))
			continue;
		for (unsigned r = 0; r < rows_count; r++) {
			for (unsigned turned = 0; turned < 2; turned++) {
				const struct seen *a = turned ? &y : &x, *b = turned ? &x : &y;
				struct candidate c = { flips[i], r, 0, turned, 0, 0 };

				if (!rows[r].shows(a, b, &flips[i]))
					continue;
				c.bucket = bucket_of(r, a, b, &flips[i]);
				c.count = in_bucket[c.bucket] + (elsewhere(a, b, &flips[i]) ? 3u : 0u);
				c.order = (unsigned)dice_bits(d);
				if (at_edge(a, &flips[i], flip_bit(a, &flips[i])))
					c.order >>= 6;
				if (!here[r] || c.count < best[r].count ||
				    (c.count == best[r].count && c.order < best[r].order))
					best[r] = c;
				here[r] = true;
			}
		}
	}
	for (unsigned r = 0; r < rows_count; r++)
		if (here[r])
			best[found++] = best[r];
	return found;
}

static int by_need(const void *x, const void *y)
{
	const struct candidate *a = x, *b = y;
	unsigned m = in_row[a->row] + failed[a->row] / 4, n = in_row[b->row] + failed[b->row] / 4;

	if (m != n)
		return m < n ? -1 : 1;
	if (a->count != b->count)
		return a->count < b->count ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* Makes a candidate a pair; false: it is not fit to be published. */
static bool choose(const struct case_question *q, const struct candidate *c, const struct oracle *o, struct dice *d,
		   unsigned max_words)
{
	static struct vector_expect x, y;
	struct pair *p = &chosen[chosen_count];
	bool plain = dice_below(d, 3) != 0;

	p->q = *q;
	p->flip = c->flip;
	p->row = c->row;
	if (c->turned)
		flip_apply(&p->q, &p->flip);
	look(&p->q, &p->flip);
	if (!both_settled(&p->q, &p->flip) || (o && !both_asked(o, &p->q, &p->flip)))
		return false;
	simplify(p, o, plain);
	if (p->q.memory.count > max_words || !both_settled(&p->q, &p->flip))
		return false;
	expectation(&p->q, &sight[0], &x);
	flip_apply(&p->q, &p->flip);
	expectation(&p->q, &sight[1], &y);
	flip_apply(&p->q, &p->flip);
	if (!visible(&p->q, &sight[0], &sight[1], &x, &y))
		return false;
	for (unsigned i = 0; i < chosen_count; i++) /* the same case again */
		if (chosen[i].row == p->row && !memcmp(&chosen[i].q, &p->q, offsetof(struct case_question, memory)) &&
		    !memcmp(&chosen[i].flip, &p->flip, sizeof(p->flip)))
			return false;
	chosen_count++;
	return true;
}

/* What generate() seldom has: bits that a walker has to ignore, odd rights in EPT, tables that map themselves. */
static void season(struct dice *d, const struct family *family, struct case_question *q)
{
	struct case_memory *m = &q->memory;
	unsigned level = family->modes ? (unsigned)__builtin_ctz(family->modes) : 0;

	if (level >= 4 && m->count && dice_one_in(d, 4)) {
		uint64_t bits = dice_bits(d) & 0x7ff0000000000e00;

		m->value[dice_below(d, m->count)] |= bits;
	}
	if (level >= 4 && dice_one_in(d, 16)) /* under one key nothing may be done, but that is not the leaf's */
		q->pkru |= 1u << 2 * (1 + dice_below(d, 15));
	if (!is_kvm(q) && q->cr0 & BIT(31) && !(q->efer & BIT(10)) && dice_one_in(d, 8)) /* MODE-3 */
		q->cr3 |= dice_bits(d) << 32;
	if (q->stage2 == CASE_EPT && m->count && dice_one_in(d, 4)) {
		unsigned w = dice_below(d, m->count);
		uint64_t bits = dice_bits(d) & 0x407;

		if (dice_one_in(d, 2))
			m->value[w] |= 0x80;
		else
			m->value[w] = (m->value[w] & ~(uint64_t)0x407) | bits;
	}
	if (level && level != 3 && dice_one_in(d, 24)) {
		unsigned index = 1 + dice_below(d, level == 2 ? 1023 : 255), bits = level == 2 ? 10 : 9;
		uint64_t root = (uint64_t)(1 + dice_below(d, 31)) << 12, entry = root | (dice_bits(d) & 0x46) | 1;

		case_clear(m, m->size);
		q->cr3 = root;
		q->va = dice_below(d, 4096);
		for (unsigned l = 1; l <= level; l++)
			q->va |= (uint64_t)index << (12 + bits * (l - 1));
		if (level == 2)
			case_set(m, root + index / 2 * 8, entry << (index & 1) * 32);
		else
			case_set(m, root + index * 8, entry);
		q->compatibility = false;
	}
}

static bool limits_of(const struct family *family, const struct oracle *o, struct generate_limits *limits)
{
	*limits = o ? o->limits : (struct generate_limits){ .profiles = 1 << CASE_INTEL | 1 << CASE_AMD };
	limits->wild = false;
	limits->have |= family->have;
	if (limits->have & limits->lack)
		return false;
	if (family->modes)
		limits->modes = limits->modes ? limits->modes & family->modes : family->modes;
	limits->stages = limits->stages ? limits->stages & family->stages : family->stages;
	if (!limits->profiles)
		limits->profiles = 15;
	if (family->stages == 1 << CASE_EPT)
		limits->profiles &= 1 << CASE_INTEL | 1 << CASE_KVM_INTEL;
	if (family->stages == 1 << CASE_NPT)
		limits->profiles &= 1 << CASE_AMD | 1 << CASE_KVM_AMD;
	return limits->profiles && limits->stages && (limits->modes || !family->modes);
}

/* Chooses the pairs of a stream. o: whose it is, if not the model's. */
static void choose_pairs(const struct family *family, const struct oracle *o, unsigned target)
{
	static struct case_question q;
	struct candidate best[MAX_ROWS];
	struct generate_limits limits;
	unsigned idle = 0, cap = 2, bucket_cap = 1, max_words = family->modes ? 12 : 9, seed = 2166136261u;
	struct dice d;
	bool any_m;

	chosen_count = 0;
	memset(in_row, 0, sizeof(in_row));
	memset(failed, 0, sizeof(failed));
	memset(in_bucket, 0, sizeof(in_bucket));
	if (!limits_of(family, o, &limits))
		return;
	any_m = !limits.maxphyaddr;
	for (const char *c = family->name; *c; c++)
		seed = mix(seed, (unsigned char)*c);
	for (const char *c = o ? o->name : ""; *c; c++)
		seed = mix(seed, (unsigned char)*c);
	dice_seed(&d, seed);
	for (unsigned draw = 0; draw < MAX_DRAWS && chosen_count < target; draw++) {
		unsigned found, taken = 0;

		if (any_m)
			limits.maxphyaddr = 32 + draw % 21; /* each as often */
		generate(&d, &limits, &q);
		q.knobs = 0;
		if (q.profile == CASE_AMD && dice_one_in(&d, 2))
			q.has_pdpte = false;
		season(&d, family, &q);
		if (o && o->prepare)
			o->prepare(&d, &q);
		q.knobs = 0;
		if (o && !can_ask(o, &q))
			continue;
		found = candidates_of(&q, &d, best);
		qsort(best, found, sizeof(*best), by_need);
		for (unsigned i = 0; i < found && i < TRIED && taken < TAKEN && chosen_count < target; i++) {
			const struct candidate *c = &best[i];

			if (in_row[c->row] >= cap || in_bucket[c->bucket] >= bucket_cap)
				continue;
			if (!choose(&q, c, o, &d, max_words)) {
				failed[c->row]++;
				continue;
			}
			in_row[c->row]++;
			in_bucket[c->bucket]++;
			taken++;
		}
		idle = taken ? 0 : idle + 1;
		if (idle == PATIENCE) {
			idle = 0;
			cap += 1;
			bucket_cap = 1 + cap / 8;
			if (max_words < 40 && cap % 3 == 0)
				max_words += 2;
		}
	}
}

/* The first rule is the row's; the others are those that the pair shows too. */
static void rules_of(const struct pair *p, char *text, size_t n)
{
	size_t length = (size_t)snprintf(text, n, "%s", rows[p->row].rule);

	for (unsigned r = 0; r < rows_count; r++) {
		size_t rule = strlen(rows[r].rule);
		const char *at = text;

		if (!rows[r].shows(&sight[0], &sight[1], &p->flip))
			continue;
		while ((at = strstr(at, rows[r].rule)) && at[rule] && at[rule] != ' ')
			at += rule;
		if (!at && length + rule + 2 < n)
			length += (size_t)snprintf(text + length, n - length, " %s", rows[r].rule);
	}
}

static void print(struct case_question *q, const struct seen *s, const char *id, const char *source, const char *note,
		  const char *rules)
{
	static struct vector_expect e;

	expectation(q, s, &e);
	if (vector_print_expect(stdout, id, source, q, &e, note, rules))
		die("a case that cannot be printed", id);
}

static int by_row(const void *x, const void *y)
{
	const struct pair *a = *(const struct pair *const *)x, *b = *(const struct pair *const *)y;

	return a->row != b->row ? a->row < b->row ? -1 : 1 : a < b ? -1 : a > b;
}

static void publish_stream(const struct family *family, const struct oracle *o)
{
	static const struct pair *order[PAIRS_OF_MODEL];
	static struct vector_expect e;
	unsigned target = o ? PAIRS_OF_OTHERS : PAIRS_OF_MODEL, dropped = 0;
	char base[64], id[2][80], source[2][VECTOR_SOURCE_SIZE], rules[256], flip[80], note[160];

	for (unsigned i = 0; o && i < COUNT(more_pairs); i++)
		if (!strcmp(o->name, more_pairs[i].name))
			target = more_pairs[i].pairs;
	choose_pairs(family, o, target);
	for (unsigned i = 0; i < chosen_count; i++)
		order[i] = &chosen[i];
	qsort(order, chosen_count, sizeof(*order), by_row);
	for (unsigned i = 0; i < chosen_count; i++) {
		static struct pair p;

		p = *order[i];
		snprintf(base, sizeof(base), "%s%s%s-%04u", family->name, o ? "-" : "", o ? o->name : "", i + 1);
		snprintf(id[0], sizeof(id[0]), "%sa", base);
		snprintf(id[1], sizeof(id[1]), "%sb", base);
		look(&p.q, &p.flip);
		rules_of(&p, rules, sizeof(rules));
		expectation(&p.q, &sight[0], &e);
		if (!agree(&p.q, &e, id[0], source[0])) {
			dropped++;
			continue;
		}
		flip_apply(&p.q, &p.flip);
		flip_print(&p.q, &p.flip, flip, sizeof(flip));
		expectation(&p.q, &sight[1], &e);
		if (agree(&p.q, &e, id[1], source[1])) {
			flip_apply(&p.q, &p.flip);
			print(&p.q, &sight[0], id[0], source[0], rows[p.row].what, rules);
			flip_apply(&p.q, &p.flip);
			snprintf(note, sizeof(note), "not so: %s", flip);
			print(&p.q, &sight[1], id[1], source[1], note, rules);
		} else {
			dropped++;
		}
	}
	fprintf(stderr, "publish: %s, stream %s: %u pairs of %u, %u dropped\n", family->name, o ? o->name : "model",
		chosen_count - dropped, target, dropped);
	for (unsigned r = 0; r < rows_count; r++)
		if (in_row[r] + failed[r])
			fprintf(stderr, "publish: %6u  %s, %s\n", in_row[r], rows[r].rule, rows[r].what);
}

/* ---- Permissions ----------------------------------------------------------------------------------------------- */

/* Everything that decides about rights, but the mode. */
struct permission {
	enum case_access access;
	unsigned who;            /* 0 supervisor, 1 user, 2 implicit */
	bool u, w, xd;           /* the page's */
	bool wp, smep, smap, ac, nxe;
	unsigned key;            /* 0: CR4.PKE = 0; 1: nothing denied; 2: AD; 3: WD; 4: both */
};

/* What a walk asks about a page; the rights are missing in an entry of the walk, now in this one, now in that. */
static void make_permission(struct case_question *q, const struct permission *p, unsigned levels, struct dice *d)
{
	unsigned bits = levels == 2 ? 10 : 9, size = levels == 2 ? 4 : 8, key = 1 + dice_below(d, 15);
	uint64_t lacks[3] = { p->u ? 0 : 4, p->w ? 0 : 2, p->xd ? BIT(63) : 0 }, table;
	unsigned where[3], tables = levels == 3 ? 2 : levels;

	for (unsigned i = 0; i < 3; i++)
		where[i] = 1 + dice_below(d, tables);
	q->maxphyaddr = 32 + dice_below(d, 21);
	q->features = CASE_PAT | (levels > 2 ? CASE_PAE : 0u) | (p->nxe ? CASE_NX : 0u) | (p->smep ? CASE_SMEP : 0u) |
		      (p->smap ? CASE_SMAP : 0u) | (p->key ? CASE_PKU : 0u) | (levels == 5 ? CASE_LA57 : 0u);
	q->cr0 = BIT(31) | 1 | (p->wp ? BIT(16) : 0);
	q->cr4 = (levels > 2 ? BIT(5) : 0) | (levels == 5 ? BIT(12) : 0) | (p->smep ? BIT(20) : 0) |
		 (p->smap ? BIT(21) : 0) | (p->key ? BIT(22) : 0);
	q->efer = (levels > 3 ? BIT(8) | BIT(10) : 0) | (p->nxe ? BIT(11) : 0);
	q->rflags = 2 | (p->ac ? BIT(18) : 0);
	q->pkru = p->key < 2 ? 0 : (uint64_t)(p->key - 1) << 2 * key;
	if (p->key == 1) /* all keys but this one deny all */
		q->pkru = UINT32_MAX & ~(3ull << 2 * key);
	q->compatibility = q->has_pdpte = q->mbec = q->gmet = q->stack = false;
	q->knobs = q->ept_features = 0;
	q->stage2 = CASE_ONE_DIMENSION;
	q->eptp = q->ncr3 = q->hcr0 = q->hcr4 = q->hefer = 0;
	q->access = p->access;
	q->user = p->who == 1 || (p->who == 2 && !is_kvm(q) && dice_one_in(d, 2));
	q->implicit = p->who == 2;

	case_clear(&q->memory, GENERATE_MEMORY);
	q->va = dice_bits(d) & (levels < 4 ? 0xffffffff : BIT(12 + 9 * levels) - 1);
	if (levels > 3 && !is_kvm(q) && q->va >> (11 + 9 * levels))
		q->va |= ~(uint64_t)0 << (11 + 9 * levels);
	q->cr3 = table = 0x1000;
	for (unsigned level = levels; level; level--) {
		unsigned last = levels == 3 && level == 3 ? 3 : (1u << bits) - 1;
		uint64_t at = table + (q->va >> (12 + bits * (level - 1)) & last) * size, entry = table + 0x1000;

		if (level == 1)
			entry = dice_bits(d) & (BIT(levels == 2 ? 32 : q->maxphyaddr) - 4096);

		if (levels == 3 && level == 3) {
			entry |= 1;
		} else {
			entry |= 0x27 | (level == 1 ? 0x40 : 0);
			for (unsigned i = 0; i < 3; i++)
				if (where[i] == level)
					entry = i < 2 ? entry & ~lacks[i] : entry | lacks[i];
			if (level == 1 && levels > 3)
				entry |= (uint64_t)key << 59;
		}
		case_set(&q->memory, at & ~(uint64_t)7, at & 4 ? entry << 32 : entry);
		table += 0x1000;
	}
}

static void permission_note(const struct permission *p, char *text, size_t n)
{
	static const char *const who[] = { "supervisor", "user", "implicit" };
	static const char *const what[] = { "read", "write", "fetch" };
	static const char *const keys[] = { "", ", key", ", key AD", ", key WD", ", key AD WD" };

	snprintf(text, n, "%s %s of a %s page, %s%s%s%s%s%s%s%s", who[p->who], what[p->access],
		 p->u ? "user" : "supervisor", p->w ? "R/W" : "read-only", p->xd ? ", XD" : "", p->wp ? ", WP" : "",
		 p->smep ? ", SMEP" : "", p->smap ? ", SMAP" : "", p->ac ? ", AC" : "", p->nxe ? ", NXE" : "",
		 keys[p->key]);
}

static unsigned permissions_printed;

static void publish_permission(const struct permission *p, enum case_profile profile, unsigned levels,
			       const char *stream, struct dice *d)
{
	static struct case_question q;
	static struct seen s;
	static struct vector_expect e;
	static const char *const of_supervisor[] = { "PERM-3", "PERM-4", "PERM-5" };
	char id[80], source[VECTOR_SOURCE_SIZE], note[160], rules[64];
	const char *asks;

	q.profile = profile;
	make_permission(&q, p, levels, d);
	see(&q, &s);
	snprintf(id, sizeof(id), "permissions-%s%04u", stream, ++permissions_printed);
	if (!settled(&q, &s))
		die("a case of permissions is open", id);
	permission_note(p, note, sizeof(note));
	asks = p->who == 1 ? "PERM-6" : of_supervisor[p->access];
	if (s.a.outcome == CASE_PAGE_FAULT && s.a.error_code & 32)
		snprintf(rules, sizeof(rules), "PERM-7 ERR-6");
	else if (s.a.outcome == CASE_TRANSLATED && p->key && p->u && p->access != CASE_FETCH)
		snprintf(rules, sizeof(rules), "%s PERM-7", asks);
	else
		snprintf(rules, sizeof(rules), "%s", asks);
	expectation(&q, &s, &e);
	if (agree(&q, &e, id, source))
		print(&q, &s, id, source, note, rules);
}

/* All that can matter to an access; each of the other settings one way or the other, by the dice. Every step-th. */
static void loop_permissions(unsigned levels, enum case_profile first, unsigned step, const char *stream,
			     struct dice *d)
{
	unsigned n = 0;

	for (unsigned bits = 0; bits < 3u * 3 * 5 << 8; bits++) {
		unsigned left = bits;
		struct permission p = {
			.u = left & 1, .w = left >> 1 & 1, .xd = left >> 2 & 1, .wp = left >> 3 & 1,
			.smep = left >> 4 & 1, .smap = left >> 5 & 1, .ac = left >> 6 & 1, .nxe = left >> 7 & 1
		};

		left >>= 8;
		p.access = (enum case_access)(left % 3);
		p.who = left / 3 % 3;
		p.key = left / 9;
		if ((p.xd && !p.nxe) || (p.nxe && levels == 2) || (p.key && levels < 4))
			continue;
		if (p.access == CASE_FETCH) { /* only two settings of what concerns data: all off, and all on */
			if (p.smap != p.wp || p.ac || p.key != (p.smap && levels > 3 ? 4u : 0u) || p.w != p.wp)
				continue;
		} else { /* and the other way round */
			if (p.smep != p.xd || p.nxe != (p.xd || levels == 2 ? p.xd : p.wp))
				continue;
			if (p.ac && !p.smap && p.key != 1)
				continue;
			if (p.access == CASE_READ && p.w != p.u)
				continue;
		}
		if (n++ % step == 0)
			publish_permission(&p, (enum case_profile)((unsigned)first + (n / step & 1)), levels, stream,
					   d);
	}
}

static bool chosen_stream(char **names, const char *name)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

static void publish_permissions(char **streams)
{
	struct dice d;

	if (chosen_stream(streams, "model")) {
		dice_seed(&d, 1);
		loop_permissions(4, CASE_INTEL, 1, "", &d);
		loop_permissions(5, CASE_INTEL, 3, "", &d);
		loop_permissions(3, CASE_INTEL, 1, "", &d);
		loop_permissions(2, CASE_INTEL, 1, "", &d);
	}
	for (unsigned i = 0; i < asked_count; i++) {
		if (strcmp(asked[i].oracle->name, "kvm") || !chosen_stream(streams, "kvm"))
			continue;
		dice_seed(&d, 2);
		permissions_printed = 0;
		loop_permissions(4, CASE_KVM_INTEL, 4, "kvm-", &d);
		loop_permissions(5, CASE_KVM_INTEL, 8, "kvm-", &d);
		loop_permissions(3, CASE_KVM_INTEL, 4, "kvm-", &d);
		loop_permissions(2, CASE_KVM_INTEL, 4, "kvm-", &d);
	}
}

/* ---- The same cases again -------------------------------------------------------------------------------------- */

/* Prints the lines of a file with `source` as it is now. Those that are wrong now are left out, and named: exit 1. */
static int again(const char *file)
{
	static char line[1 << 20], text[1024];
	static struct vector v;
	static struct case_answer a;
	char source[VECTOR_SOURCE_SIZE];
	FILE *in = fopen(file, "r");
	int status = 0;

	if (!in)
		die("cannot be read", file);
	while (fgets(line, sizeof(line), in)) {
		json_t *json;
		char *out;

		if (vector_parse(line, strlen(line), &v, text, sizeof(text)) != VECTOR_OK)
			die(file, text);
		library_walk(&v.question, &a);
		if (!vector_match(&v, &a, text, sizeof(text))) {
			fprintf(stderr, "publish: %s: the library says otherwise: %s\n", v.id, text);
			status = 1;
			continue;
		}
		if (!agree(&v.question, &v.expect, v.id, source)) {
			status = 1;
			continue;
		}
		json = json_loads(line, 0, NULL);
		json_object_set_new(json, "source", json_string(source));
		out = json_dumps(json, JSON_COMPACT);
		if (!out)
			die("out of memory", NULL);
		puts(out);
		free(out);
		json_decref(json);
	}
	fclose(in);
	return status;
}

/* ---- The command line ------------------------------------------------------------------------------------------ */

static const struct family *find(const char *name)
{
	for (unsigned i = 0; i < COUNT(families); i++)
		if (!strcmp(families[i].name, name))
			return &families[i];
	die("no such family", name);
}

int main(int argc, char **argv)
{
	const struct family *family;
	int status = 0;

	if (argc < 2)
		die("usage: publish FAMILY [STREAM...] | publish --again FILE", NULL);
	if (!strcmp(argv[1], "--again")) {
		if (argc != 3)
			die("--again takes one file", NULL);
		start_oracles();
		status = again(argv[2]);
		stop_oracles();
		return fflush(stdout) || ferror(stdout) ? 2 : status;
	}
	family = find(argv[1]);
	start_oracles();
	if (!strcmp(family->name, "permissions")) {
		publish_permissions(argv + 2);
	} else {
		if (chosen_stream(argv + 2, "model"))
			publish_stream(family, NULL);
		for (unsigned i = 0; i < asked_count; i++)
			if (asked[i].oracle != &oracle_model && chosen_stream(argv + 2, asked[i].oracle->name))
				publish_stream(family, asked[i].oracle);
	}
	stop_oracles();
	return fflush(stdout) || ferror(stdout) ? 2 : 0;
}
