/* SPDX-License-Identifier: MIT */
#include "minimise.h"

struct run {
	struct case_question *best, trial;
	unsigned tries;
	bool (*interesting)(const struct case_question *, void *);
	void *context;
};

/* Is the trial good? Then it is the best so far; if not, the trial is the best again. */
static bool keep(struct run *r)
{
	if (r->tries) {
		r->tries--;
		if (r->interesting(&r->trial, r->context)) {
			*r->best = r->trial;
			return true;
		}
	}
	r->trial = *r->best;
	return false;
}

/* The value at *at, a part of the trial: nothing, and else without each of its bits. */
static bool less64(struct run *r, uint64_t *at)
{
	bool progress = false;

	if (!*at)
		return false;
	*at = 0;
	if (keep(r))
		return true;
	for (uint64_t left = *at; left; left &= left - 1) {
		*at &= ~(left & -left);
		progress |= keep(r);
	}
	return progress;
}

static bool less32(struct run *r, unsigned *at)
{
	bool progress = false;

	for (unsigned left = *at; left; left &= left - 1) {
		*at &= ~(left & -left);
		progress |= keep(r);
	}
	return progress;
}

static bool no(struct run *r, bool *at)
{
	if (!*at)
		return false;
	*at = false;
	return keep(r);
}

/* The trial's words but one; those that are 0 go too. */
static void drop_word(struct run *r, unsigned word)
{
	const struct case_memory *from = &r->best->memory;
	struct case_memory *to = &r->trial.memory;

	case_clear(to, from->size);
	for (unsigned w = 0; w < from->count; w++)
		if (w != word && from->value[w])
			case_set(to, from->address[w], from->value[w]);
}

static bool fewer_words(struct run *r)
{
	bool progress = false;

	for (unsigned w = r->best->memory.count; w--;) {
		if (w >= r->best->memory.count)
			continue;
		drop_word(r, w);
		progress |= keep(r);
	}
	return progress;
}

static bool once(struct run *r)
{
	struct case_question *q = &r->trial;
	uint64_t *const values[] = { &q->va, &q->cr0, &q->cr3, &q->cr4, &q->efer, &q->pkru, &q->rflags, &q->eptp, &q->ncr3,
				     &q->hcr0, &q->hcr4, &q->hefer, &q->pdpte[0], &q->pdpte[1], &q->pdpte[2],
				     &q->pdpte[3] };
	bool *const flags[] = { &q->stack, &q->implicit, &q->user, &q->compatibility, &q->mbec, &q->gmet };
	bool progress = fewer_words(r);

	for (unsigned w = 0; w < q->memory.count; w++)
		progress |= less64(r, &q->memory.value[w]);
	for (unsigned i = 0; i < sizeof(values) / sizeof(*values); i++)
		progress |= less64(r, values[i]);
	for (unsigned i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		progress |= no(r, flags[i]);
	progress |= less32(r, &q->features);
	progress |= less32(r, &q->ept_features);
	progress |= less32(r, &q->knobs);
	if (q->access != CASE_READ) {
		q->access = CASE_READ;
		progress |= keep(r);
	}
	return progress;
}

void minimise(struct case_question *q, unsigned tries, bool (*interesting)(const struct case_question *, void *),
	      void *context)
{
	static struct run r;

	r.best = q;
	r.trial = *q;
	r.tries = tries;
	r.interesting = interesting;
	r.context = context;
	while (once(&r) && r.tries)
		;
}
