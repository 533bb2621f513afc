/* SPDX-License-Identifier: MIT */
/*
 * generate.h: random cases, weighted to where walkers go wrong: entries that are good but for one bit, pages of every
 * size, tables at the edge of memory, second stages with holes. The registers are such as a CPU can hold.
 */
#ifndef TESTS_GENERATE_H
#define TESTS_GENERATE_H

#include <stddef.h>

#include "case.h"

/*
 * A stream of random numbers: from a seed, or from a fuzzer's bytes, and zeros once they are used up. The same seed
 * gives the same cases, whatever the compiler.
 */
struct dice {
	uint64_t state;
	const uint8_t *bytes; /* NULL: from the state */
	size_t left;
};

void dice_seed(struct dice *d, uint64_t seed);
void dice_from_bytes(struct dice *d, const uint8_t *bytes, size_t n);
uint64_t dice_bits(struct dice *d);               /* 64 random bits */
unsigned dice_below(struct dice *d, unsigned n);  /* 0 ... n - 1; n < 65536 */
bool dice_one_in(struct dice *d, unsigned n);

/* What a case may be. All zeros: anything. */
struct generate_limits {
	unsigned profiles;    /* 1 << enum case_profile each; 0: all */
	unsigned modes;       /* 1 << levels each, 1 << 0 for paging off; 0: all of 0, 2, 3, 4, 5 */
	unsigned stages;      /* 1 << enum case_stage2 each; 0: all */
	unsigned maxphyaddr;  /* 0: any */
	unsigned have, lack;  /* features that the CPU has, or does not have, whatever the dice say */
	bool wild;            /* one case in four is stirred: stray bits, tables shared, tables that map themselves */
};

/* Tables lie below this; so does every page that has to be in memory. */
#define GENERATE_MEMORY (64 * 4096)

/* Fills *q anew. *q must have been zeroed once before its first use. limits may be NULL. */
void generate(struct dice *d, const struct generate_limits *limits, struct case_question *q);

#endif
