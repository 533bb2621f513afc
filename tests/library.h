/* SPDX-License-Identifier: MIT */
/* library.h: runs a case through include/pagewalk, as an embedder would. */
#ifndef TESTS_LIBRARY_H
#define TESTS_LIBRARY_H

#include <pagewalk/pagewalk.h>

#include "case.h"

/* One stage's walker in a structure of ours, and the memory that it walks. */
struct library_stage {
	struct kvm_pagewalk walk;
	const struct case_question *question;
	uint64_t *value;                    /* of the memory's words */
	unsigned *reads, *writes;           /* calls of the callbacks, both stages */
};

struct library_run {
	struct library_stage guest, second; /* second: if the question has a second stage */
	unsigned reads, writes;
	enum pagewalk_status status;
	struct pagewalk_walk walk;
};

/* The profile, the features and the knobs of a question. */
struct pagewalk_cpu library_cpu(const struct case_question *q);
uint64_t library_access(const struct case_question *q);

/*
 * Builds the walkers over value[] (memory.count words, initial values included). Anything but OK is the outcome.
 * The run must stay where it is.
 */
enum pagewalk_status library_open(struct library_run *run, const struct case_question *q, uint64_t *value);

/* The whole case, from registers to answer. run tells more and may be NULL. */
void library_walk_run(const struct case_question *q, struct case_answer *a, struct library_run *run);
void library_walk(const struct case_question *q, struct case_answer *a);

#endif
