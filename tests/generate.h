/* SPDX-License-Identifier: MIT */
/*
 * generate.h: random cases, weighted to where walkers go wrong: entries that are good but for one bit, pages of every
 * size, tables at the edge of memory, second stages with holes. The registers are such as a CPU can hold.
 */
#ifndef TESTS_GENERATE_H
#define TESTS_GENERATE_H

#include "case.h"

/* A stream of random numbers; the same seed gives the same cases of one build; compilers may
 * roll in another order. */
struct dice {
	uint64_t state;
};

void dice_seed(struct dice *d, uint64_t seed);
uint64_t dice_bits(struct dice *d);               /* 64 random bits */
unsigned dice_below(struct dice *d, unsigned n);  /* 0 ... n - 1 */
bool dice_one_in(struct dice *d, unsigned n);

/* Fills *q anew. *q must have been zeroed once before its first use. */
void generate(struct dice *d, struct case_question *q);

#endif
