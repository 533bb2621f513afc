/* SPDX-License-Identifier: MIT */
/*
 * pairs.h: what two cases show that differ in one bit: in the one a rule applies, in the other it does not. The cases
 * that fuzz/publish.c publishes are chosen by this.
 */
#ifndef FUZZ_PAIRS_H
#define FUZZ_PAIRS_H

#include "library.h"

/* The place of a bit of a case. The order is that of flip_what_names[]. */
enum flip_what {
	FLIP_WORD, FLIP_PDPTE, FLIP_CR0, FLIP_CR3, FLIP_CR4, FLIP_EFER, FLIP_RFLAGS, FLIP_PKRU, FLIP_EPTP, FLIP_NCR3,
	FLIP_HCR0, FLIP_HCR4, FLIP_HEFER, FLIP_VA, FLIP_FEATURE, FLIP_EPT_FEATURE, FLIP_M, FLIP_USER, FLIP_IMPLICIT,
	FLIP_STACK, FLIP_COMPATIBILITY, FLIP_MBEC, FLIP_GMET, FLIP_ACCESS, FLIP_PROFILE
};

/* One bit of a case, or what is as little: the kind of access, the vendor, EFER.LME together with LMA. */
struct flip {
	enum flip_what what;
	unsigned index;   /* PDPTE: which */
	uint64_t address; /* WORD: where */
	uint64_t bits;    /* exclusive or */
};

#define FLIP_MAX 8192

/* All that *q has. Twice the same flip is none. False: there is no such word, or no such case. */
unsigned flip_list(const struct case_question *q, struct flip flips[FLIP_MAX]);
bool flip_apply(struct case_question *q, const struct flip *f);
/* In words, as a difference that has been made: "cr4 bit 20 set". */
void flip_print(const struct case_question *made, const struct flip *f, char *text, size_t n);

/* A case and all that the library says about it. q.memory is not filled. */
struct seen {
	struct case_question q;
	struct case_answer a;
	struct library_run run;
	uint64_t changed[CASE_MAX_WORDS]; /* bits that the walk changed */
};

void see(const struct case_question *q, struct seen *s);

/* Whether the answers differ in more than what the flip itself is. */
bool seen_differ(const struct seen *a, const struct seen *b, unsigned words);

/* The level of the entry that a flip is in: 1 ... 5 of the guest, 11 ... 15 of the second stage's last walk, else 0. */
unsigned flip_level(const struct seen *s, const struct flip *f);
/* The bit within that entry or register. */
unsigned flip_bit(const struct seen *s, const struct flip *f);

/* What a pair can show. a: the rule applies or refuses. */
struct row {
	const char *rule, *what;
	bool (*shows)(const struct seen *a, const struct seen *b, const struct flip *f);
};

#define MAX_ROWS 128

extern const struct row rows[];
extern const unsigned rows_count;

#endif
