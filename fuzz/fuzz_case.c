/* SPDX-License-Identifier: MIT */
/*
 * fuzz_case: a case made from the fuzzer's bytes (tests/generate.c), through the library, the model and every other
 * oracle of this build that lives in the process. The fuzzer sees the branches of all of them. A difference is
 * minimised, printed as a vector line, and ends the run.
 */
#include <stdlib.h>

#include "judge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct case_question question;
	static struct case_answer ours, theirs;

	for (struct oracle *const *o = oracles; *o; o++) {
		struct dice dice;
		unsigned known;

		dice_from_bytes(&dice, data, size);
		generate(&dice, &(*o)->limits, &question);
		if ((*o)->prepare)
			(*o)->prepare(&dice, &question);
		if (judge(*o, &question, &ours, &theirs, &known) == DIFFERS) {
			print_difference(*o, "fuzz", &question);
			abort();
		}
	}
	return 0;
}
