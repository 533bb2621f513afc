/* SPDX-License-Identifier: MIT */
/*
 * compare: random cases through the library and the model, every field of the answers and every word of memory.
 *
 *     compare [CASES [SEED]]
 *     compare --seconds S          with a seed of the moment
 *
 * A difference is printed as a vector line with the model's answer, ready for run-vectors, and what the library said.
 * Exit 1 if there is one, or if some outcome never came up: then the generator has gone blind.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "generate.h"
#include "library.h"
#include "model.h"
#include "vector.h"

static const char *const outcomes[] = {
	[CASE_TRANSLATED] = "translated", [CASE_PAGE_FAULT] = "page-fault", [CASE_PDPTE_FAULT] = "pdpte-fault",
	[CASE_NON_CANONICAL] = "non-canonical", [CASE_EPT_VIOLATION] = "ept-violation", [CASE_EPT_MISCONFIG] = "ept-misconfig",
	[CASE_NPF] = "npf", [CASE_NO_MEMORY] = "no-memory"
};

static struct case_question question;
static struct case_answer ours, theirs;
static struct library_run run;

static bool same(const struct case_question *q, const struct case_answer *a, const struct case_answer *b)
{
	return a->outcome == b->outcome && a->pa == b->pa && a->page_shift == b->page_shift && a->rights == b->rights &&
	       a->vector == b->vector && a->error_code == b->error_code && a->cr2 == b->cr2 &&
	       a->exit_qualification == b->exit_qualification && a->gpa == b->gpa &&
	       !memcmp(a->value, b->value, q->memory.count * sizeof(*a->value));
}

int main(int argc, char **argv)
{
	bool timed = argc == 3 && !strcmp(argv[1], "--seconds");
	time_t end = timed ? time(NULL) + strtol(argv[2], NULL, 0) : 0;
	unsigned long long cases = timed ? 0 : argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000, differ = 0, bound = 0, i;
	unsigned long long seed = timed ? (unsigned long long)time(NULL) : argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	unsigned long long count[3][CASE_BAD_STATE + 1] = { { 0 } };
	struct dice dice;

	dice_seed(&dice, seed);
	for (i = 0; timed ? i % 4096 || time(NULL) < end : i < cases; i++) {
		generate(&dice, NULL, &question);
		library_walk_run(&question, &ours, &run);
		model_walk(&question, &theirs);
		count[question.stage2][theirs.outcome]++;
		/* More than one attempt happens where one entry serves two levels, and its A is set twice. */
		if (run.reads > PAGEWALK_MAX_ATTEMPTS * PAGEWALK_MAX_READS || run.writes > PAGEWALK_MAX_ATTEMPTS * PAGEWALK_MAX_READS)
			bound++;
		if (same(&question, &ours, &theirs))
			continue;
		if (differ++ < 10) {
			unsigned knobs = question.knobs;
			char id[64];

			snprintf(id, sizeof(id), "random-%llu-%llu", seed, i);
			question.knobs = 0; /* the format knows none; they are in the next line */
			vector_print(stdout, id, "model", &question, &theirs, NULL, NULL);
			printf("    library: outcome %s pa %#" PRIx64 " shift %u rights %u vector %u code %#" PRIx64 " cr2 %#" PRIx64
			       " qualification %#" PRIx64 " gpa %#" PRIx64 "%s; knobs %#x\n",
			       ours.outcome == CASE_BAD_STATE ? "bad-state" : outcomes[ours.outcome], ours.pa, ours.page_shift, ours.rights,
			       ours.vector, ours.error_code, ours.cr2, ours.exit_qualification, ours.gpa,
			       memcmp(ours.value, theirs.value, question.memory.count * 8) ? ", memory differs" : "", knobs);
		}
	}

	printf("%-14s %14s %14s %14s\n", "outcome", "one dimension", "EPT", "NPT");
	for (int o = 0; o < CASE_BAD_STATE; o++) {
		printf("%-14s %14llu %14llu %14llu\n", outcomes[o], count[0][o], count[1][o], count[2][o]);
		if (i >= 100000 && !(count[0][o] | count[1][o] | count[2][o])) {
			printf("compare: no case was %s\n", outcomes[o]);
			differ++;
		}
	}
	printf("compare: model ran %llu, differ %llu, over the bound of callbacks %llu, seed %llu\n", i, differ, bound, seed);
	return differ || bound;
}
