/* SPDX-License-Identifier: MIT */
/* judge.h: one case through the library and an oracle. */
#ifndef FUZZ_JUDGE_H
#define FUZZ_JUDGE_H

#include "oracle.h"

enum verdict { SAME, KNOWN, DIFFERS, OUTSIDE, BROKEN };

/* By enum case_outcome, as the vector format has them. */
extern const char *const outcome_names[CASE_BAD_STATE + 1];

/*
 * Compares every field that the oracle sees, and the words of memory. *known: the deviations that explain the
 * difference, 1 << index in o->known each. Answers over the library's bound of callbacks differ too.
 */
enum verdict judge(const struct oracle *o, const struct case_question *q, struct case_answer *ours,
		   struct case_answer *theirs, unsigned *known);

/* Minimises a case that differs, and prints it as a vector line with the oracle's answer, and both answers below. */
void print_difference(const struct oracle *o, const char *id, const struct case_question *q);

#endif
