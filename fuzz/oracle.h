/* SPDX-License-Identifier: MIT */
/*
 * oracle.h: one interface to every implementation that answers a case. The harness (fuzz/differ.c) makes a random
 * case, runs it through the library and through an oracle, and compares every field that the oracle can see.
 *
 * An oracle is a file that defines one of these and is named in fuzz/oracles.c. It is used by one thread of one process;
 * after start() the harness may fork if jobs is not 1, so an oracle with a process of its own behind it says 1.
 */
#ifndef FUZZ_ORACLE_H
#define FUZZ_ORACLE_H

#include <stddef.h>

#include "case.h"
#include "generate.h"
#include "vector.h"

enum oracle_result {
	ORACLE_ANSWERED,
	ORACLE_OUTSIDE, /* the case is none that it can be asked; nothing is counted */
	ORACLE_BROKEN   /* it does not run any more: an error, whatever the reason */
};

/* A documented deviation: docs/deviations.md has the same id. */
struct oracle_known {
	const char *id, *reason;
};

#define ORACLE_MAX_KNOWN 16

#define ORACLE_SEES_ALL (VECTOR_PA | VECTOR_PAGE_SHIFT | VECTOR_RIGHTS | VECTOR_VECTOR | VECTOR_ERROR_CODE | VECTOR_CR2 | \
			 VECTOR_EXIT_QUALIFICATION | VECTOR_GPA)

struct oracle {
	const char *name;
	const char *version;              /* set by start(): package and version */
	unsigned sees;                    /* VECTOR_...: what it measures besides the outcome and memory's words */
	unsigned jobs;                    /* processes that may ask at once; 0: as many as there are CPUs */
	unsigned outcomes;                /* 1 << enum case_outcome each: those that come up in any long run */
	struct generate_limits limits;    /* of the cases that are made for it */
	struct oracle_known known[ORACLE_MAX_KNOWN]; /* up to the first without an id */

	/* Starts it; false: it does not run on this machine, and reason says why in one line. */
	bool (*start)(char *reason, size_t n);
	void (*stop)(void);               /* may be NULL; also after a failed ask() */

	/*
	 * Makes a random case one that it can be asked: registers, addresses, words of its own. May be NULL. A case
	 * that cannot be made so may be left to ask() to refuse.
	 */
	void (*prepare)(struct dice *d, struct case_question *q);

	/*
	 * Its answer. Fields that it does not see are 0; value[0, memory.count) are the words after the access. A case
	 * that comes from a file of vectors or from the minimiser has not been through prepare().
	 */
	enum oracle_result (*ask)(const struct case_question *q, struct case_answer *a);

	/*
	 * Called when the answers differ. Which of the known deviations explain the difference to the last bit
	 * (1 << index each)? 0: none do. May be NULL. *theirs may be set to what the oracle would say without them.
	 */
	unsigned (*explain)(const struct case_question *q, const struct case_answer *ours, struct case_answer *theirs);
};

/* All of them, in the order in which they run; ends with NULL. */
extern struct oracle *const oracles[];

extern struct oracle oracle_model;    /* the independent model of tests/ */
extern struct oracle oracle_kvm;      /* KVM's own walker, in this process */
extern struct oracle oracle_qemu;     /* QEMU's TCG */
extern struct oracle oracle_devkvm;   /* /dev/kvm of this machine */
extern struct oracle oracle_kvmguest; /* Debian's KVM inside QEMU's TCG */
extern struct oracle oracle_bochs;    /* Bochs with VMX */

#endif
