/* SPDX-License-Identifier: MIT */
/*
 * model.h: the second opinion on the library: one page walk, told as the rules tell it and in their order. It knows no
 * line of the library, keeps nothing between walks and is no faster than reading along allows.
 */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include "case.h"

/* Answers *q: fills every field of *a; of a->value, the first q->memory.count words, as they are after the walk. */
void model_walk(const struct case_question *q, struct case_answer *a);

#endif
