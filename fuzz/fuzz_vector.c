/* SPDX-License-Identifier: MIT */
/*
 * fuzz_vector: any bytes as a line of a vector file. What can be read is run on the library and on the model, which
 * must agree, and printed and read again.
 */
#include "fuzz.h"
#include "library.h"
#include "model.h"
#include "vector.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vector vector, again;
	static struct case_answer ours, theirs;
	char reason[256] = "", *text = NULL;
	size_t length = 0;
	FILE *out;

	if (vector_parse((const char *)data, size, &vector, reason, sizeof(reason)) != VECTOR_OK) {
		REQUIRE(*reason && !strchr(reason, '\n'));
		return 0;
	}
	library_walk(&vector.question, &ours);
	if (ours.outcome == CASE_BAD_STATE) /* the model takes only what a CPU can hold */
		return 0;
	model_walk(&vector.question, &theirs);
	REQUIRE(!memcmp(&ours, &theirs, offsetof(struct case_answer, value) + vector.question.memory.count * 8));

	out = open_memstream(&text, &length);
	REQUIRE(out && !vector_print(out, vector.id, vector.source, &vector.question, &ours, NULL, NULL));
	REQUIRE(!fclose(out));
	REQUIRE(vector_parse(text, length, &again, reason, sizeof(reason)) == VECTOR_OK);
	REQUIRE(vector_match(&again, &theirs, reason, sizeof(reason)));
	free(text);
	return 0;
}
