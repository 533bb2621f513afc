/* SPDX-License-Identifier: MIT */
/* minimise.h: the smallest case that is still interesting: the fewest words, the fewest bits. */
#ifndef FUZZ_MINIMISE_H
#define FUZZ_MINIMISE_H

#include "case.h"

/*
 * Takes words, bits of words, registers and features away from *q for as long as interesting(q, context) holds; it
 * must hold at the start. Stops after about so many tries.
 */
void minimise(struct case_question *q, unsigned tries, bool (*interesting)(const struct case_question *, void *),
	      void *context);

#endif
