/* SPDX-License-Identifier: MIT */
#include "judge.h"

#include <inttypes.h>

#include "library.h"
#include "minimise.h"

#define MINIMISE 20000 /* tries */

const char *const outcome_names[CASE_BAD_STATE + 1] = {
	[CASE_TRANSLATED] = "translated", [CASE_PAGE_FAULT] = "page-fault", [CASE_PDPTE_FAULT] = "pdpte-fault",
	[CASE_NON_CANONICAL] = "non-canonical", [CASE_EPT_VIOLATION] = "ept-violation",
	[CASE_EPT_MISCONFIG] = "ept-misconfig", [CASE_NPF] = "npf", [CASE_NO_MEMORY] = "no-memory",
	[CASE_BAD_STATE] = "bad-state"
};

static bool same(unsigned sees, const struct case_question *q, const struct case_answer *a, const struct case_answer *b)
{
	return a->outcome == b->outcome && (!(sees & VECTOR_PA) || a->pa == b->pa) &&
	       (!(sees & VECTOR_PAGE_SHIFT) || a->page_shift == b->page_shift) &&
	       (!(sees & VECTOR_RIGHTS) || a->rights == b->rights) && (!(sees & VECTOR_VECTOR) || a->vector == b->vector) &&
	       (!(sees & VECTOR_ERROR_CODE) || a->error_code == b->error_code) && (!(sees & VECTOR_CR2) || a->cr2 == b->cr2) &&
	       (!(sees & VECTOR_EXIT_QUALIFICATION) || a->exit_qualification == b->exit_qualification) &&
	       (!(sees & VECTOR_GPA) || a->gpa == b->gpa) && !memcmp(a->value, b->value, q->memory.count * sizeof(*a->value));
}

enum verdict judge(const struct oracle *o, const struct case_question *q, struct case_answer *ours,
			  struct case_answer *theirs, unsigned *known)
{
	struct library_run run;

	*known = 0;
	memset(theirs, 0, offsetof(struct case_answer, value));
	switch (o->ask(q, theirs)) {
	case ORACLE_OUTSIDE:
		return OUTSIDE;
	case ORACLE_BROKEN:
		return BROKEN;
	case ORACLE_ANSWERED:
		break;
	}
	library_walk_run(q, ours, &run);
	/* More than one attempt happens where one entry serves two levels, and its A is set twice. */
	if (run.reads > PAGEWALK_MAX_ATTEMPTS * PAGEWALK_MAX_READS || run.writes > PAGEWALK_MAX_ATTEMPTS * PAGEWALK_MAX_READS) {
		printf("%s: %u reads and %u writes are over the bound\n", o->name, run.reads, run.writes);
		return DIFFERS;
	}
	if (same(o->sees, q, ours, theirs))
		return SAME;
	if (o->explain)
		*known = o->explain(q, ours, theirs);
	return *known ? KNOWN : DIFFERS;
}

/* ---- A difference ------------------------------------------------------------------------------------------------- */

struct shrink {
	const struct oracle *oracle;
	enum case_outcome ours, theirs; /* what the difference was about: it shall not turn into another */
};

static bool still_differs(const struct case_question *q, void *context)
{
	static struct case_answer ours, theirs;
	const struct shrink *s = context;
	unsigned known;

	return judge(s->oracle, q, &ours, &theirs, &known) == DIFFERS && ours.outcome == s->ours &&
	       theirs.outcome == s->theirs;
}

static void print_answer(const char *who, unsigned sees, const struct case_answer *a)
{
	const struct {
		unsigned bit;
		const char *name;
		uint64_t value;
	} fields[] = {
		{ VECTOR_PA, "pa", a->pa }, { VECTOR_PAGE_SHIFT, "shift", a->page_shift }, { VECTOR_RIGHTS, "rights", a->rights },
		{ VECTOR_VECTOR, "vector", a->vector }, { VECTOR_ERROR_CODE, "code", a->error_code },
		{ VECTOR_CR2, "cr2", a->cr2 }, { VECTOR_EXIT_QUALIFICATION, "qualification", a->exit_qualification },
		{ VECTOR_GPA, "gpa", a->gpa }
	};

	printf("    %s: %s", who, outcome_names[a->outcome]);
	for (unsigned i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (sees & fields[i].bit)
			printf(" %s %#" PRIx64, fields[i].name, fields[i].value);
	putchar('\n');
}

void print_difference(const struct oracle *o, const char *id, const struct case_question *q)
{
	static struct case_question small;
	static struct case_answer ours, theirs;
	static struct vector_expect expect;
	struct shrink shrink = { .oracle = o };
	unsigned known;

	small = *q;
	if (judge(o, &small, &ours, &theirs, &known) == DIFFERS) { /* it is not for an oracle that forgets */
		shrink.ours = ours.outcome;
		shrink.theirs = theirs.outcome;
		minimise(&small, MINIMISE, still_differs, &shrink);
		judge(o, &small, &ours, &theirs, &known);
	} else {
		printf("%s: asked again, the difference is gone\n", id);
	}
	if (small.knobs)
		printf("%s: with knobs %#x, which the format has not:\n", id, small.knobs);
	vector_expect_answer(&expect, &small, &theirs);
	expect.have &= o->sees;
	known = small.knobs;
	small.knobs = 0;
	if (vector_print_expect(stdout, id, o->version, &small, &expect, NULL, NULL))
		printf("%s: the vector format has no such case\n", id);
	small.knobs = known;
	print_answer(o->name, o->sees, &theirs);
	print_answer("library", o->sees, &ours);
	for (unsigned w = 0; w < small.memory.count; w++)
		if (ours.value[w] != theirs.value[w])
			printf("    word %#" PRIx64 " was %#" PRIx64 ": %s %#" PRIx64 ", library %#" PRIx64 "\n",
			       small.memory.address[w], small.memory.value[w], o->name, theirs.value[w], ours.value[w]);
	fflush(stdout);
}
