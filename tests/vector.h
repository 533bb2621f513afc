/* SPDX-License-Identifier: MIT */
/*
 * vector.h: lines of a vector file, format 1 (tests/vectors/README.md), to and from a case.
 *
 * A line is BAD if it cannot be read, and a runner stops there. It is SKIP if it can be read but asks for something
 * that is not known here: a key, a feature, a profile, an outcome, or a field that the outcome does not have. Nothing
 * is guessed. Nothing of this allocates memory that outlives the call.
 */
#ifndef TESTS_VECTOR_H
#define TESTS_VECTOR_H

#include <stddef.h>
#include <stdio.h>

#include "case.h"

enum vector_result { VECTOR_OK, VECTOR_SKIP, VECTOR_BAD };

/* What an expectation holds besides the outcome and the memory. */
enum {
	VECTOR_PA = 1 << 0, VECTOR_PAGE_SHIFT = 1 << 1, VECTOR_RIGHTS = 1 << 2, VECTOR_VECTOR = 1 << 3,
	VECTOR_ERROR_CODE = 1 << 4, VECTOR_CR2 = 1 << 5, VECTOR_EXIT_QUALIFICATION = 1 << 6, VECTOR_GPA = 1 << 7,
	VECTOR_GPA_PAGE = 1 << 8
};

struct vector_expect {
	enum case_outcome outcome;
	unsigned have;                  /* VECTOR_…: the fields that count; the others are 0 */
	uint64_t pa;
	unsigned page_shift, rights;
	unsigned vector;                /* PDPTE_FAULT may have it too: that is always 13 */
	uint64_t error_code, error_code_mask;
	uint64_t cr2;
	uint64_t exit_qualification, exit_qualification_mask;
	uint64_t gpa, gpa_page;         /* gpa_page: gpa >> 12 */
	uint64_t value[CASE_MAX_WORDS]; /* the words after the walk, parallel to the question's; [0, memory.count) */
	uint64_t mask[CASE_MAX_WORDS];  /* the bits of them that count */
};

#define VECTOR_ID_SIZE 128              /* 1 to 127 bytes, without control characters */
#define VECTOR_SOURCE_SIZE 256

struct vector {
	char id[VECTOR_ID_SIZE];
	char source[VECTOR_SOURCE_SIZE];
	struct case_question question;
	struct vector_expect expect;
};

/*
 * Reads one line, with or without its newline. If not OK, reason (n bytes; NULL if 0) is one printable line that
 * names the key; the id is set if it could be read, the rest of *v is not to be used. BAD goes before SKIP.
 * A word of mem_after or mem_mask that mem.words lacks becomes a word of the question, 0 as it was.
 */
enum vector_result vector_parse(const char *line, size_t length, struct vector *v, char *reason, size_t n);

/*
 * Is the answer (value[] included) to v's question as expected? If not, difference is one line, `field got X,
 * expected Y` for each field, separated by `; `. If the outcomes differ, that is all it says.
 */
bool vector_match(const struct vector *v, const struct case_answer *a, char *difference, size_t n);

/* The expectation of exactly this answer: every field that its outcome has, every word in all its bits. */
void vector_expect_answer(struct vector_expect *e, const struct case_question *q, const struct case_answer *a);

/*
 * Prints a line that vector_parse() reads back to the same thing. note and rules ("PERM-3 AD-2") may be NULL.
 * 0, or -1 with nothing written: the format has no such case (an outcome BAD_STATE, a knob, an id that would be
 * refused, a field that the outcome does not have), or no memory; or -1 after a write error.
 * The second one leaves the choice of fields and masks to the caller, for an oracle that cannot measure all.
 */
int vector_print(FILE *out, const char *id, const char *source, const struct case_question *q,
		 const struct case_answer *a, const char *note, const char *rules);
int vector_print_expect(FILE *out, const char *id, const char *source, const struct case_question *q,
			const struct vector_expect *e, const char *note, const char *rules);

#endif
