/* SPDX-License-Identifier: MIT */
/*
 * model.h: an independent model of an x86 page walk, for comparison with the library. Written from the rules alone
 * (docs/rules.md), straight down the page and slow: every check is spelled out where it happens, nothing is computed
 * ahead. It shares no line with include/, and must not.
 */
#ifndef TESTS_MODEL_H
#define TESTS_MODEL_H

#include "case.h"

/* Answers a question whose registers a CPU can hold. Fills every field, and value[] with the words after the walk. */
void model_walk(const struct case_question *q, struct case_answer *a);

#endif
