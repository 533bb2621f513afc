/* SPDX-License-Identifier: MIT */
/*
 * compare-kvm: random cases through the library and through KVM's own walker, every field of the answers and every word
 * of memory.
 *
 *     compare-kvm [CASES [SEED]]
 *     compare-kvm --seconds S          with a seed of the moment
 *     compare-kvm --vectors FILE...    measured cases of a later KVM through this one, with what has changed since
 *     compare-kvm --speed CASES        KVM's walker alone
 *
 * The cases are those of tests/generate.c with the profile made KVM's, and MBEC and GMET off, which this KVM has not;
 * one in four is stirred. A difference is printed as a vector line with KVM's answer, later changes included, ready
 * for run-vectors, and what the library said. The last line is `kvm ran N, differ M, known K (ids)`: known are those
 * that a change in KVM since then explains (kvm.h). Exit 1 if there is a difference, or if some outcome never came up:
 * then the generator has gone blind.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "generate.h"
#include "kvm.h"
#include "library.h"
#include "vector.h"

static const char *const outcomes[] = {
	[CASE_TRANSLATED] = "translated", [CASE_PAGE_FAULT] = "page-fault", [CASE_PDPTE_FAULT] = "pdpte-fault",
	[CASE_NON_CANONICAL] = "non-canonical", [CASE_EPT_VIOLATION] = "ept-violation",
	[CASE_EPT_MISCONFIG] = "ept-misconfig", [CASE_NPF] = "npf", [CASE_NO_MEMORY] = "no-memory",
	[CASE_BAD_STATE] = "bad-state"
};
#define OUTCOMES (sizeof(outcomes) / sizeof(*outcomes))

/* What KVM's walker can come to. */
static const enum case_outcome wanted[] = {
	CASE_TRANSLATED, CASE_PAGE_FAULT, CASE_PDPTE_FAULT, CASE_EPT_VIOLATION, CASE_EPT_MISCONFIG, CASE_NPF
};

static struct case_question question;
static struct case_answer ours, theirs;

struct counts {
	unsigned long long ran, outside, differ, known, since[KVM_SINCE_BITS], outcome[3][OUTCOMES];
};

/* Spoils a case here and there, as no builder of tables would: stray bits, tables shared and mapping themselves. */
static void stir(struct dice *d, struct case_question *q)
{
	struct case_memory *m = &q->memory;

	if (m->count) {
		unsigned w = dice_below(d, m->count);

		for (unsigned n = 1 + dice_below(d, 3); n; n--)
			m->value[dice_below(d, m->count)] ^= (uint64_t)1 << dice_below(d, 64);
		if (dice_one_in(d, 4))
			m->value[w] = m->value[dice_below(d, m->count)];
		if (dice_one_in(d, 8)) /* the table maps itself */
			m->value[w] = (m->address[w] & ~(uint64_t)0xfff) | (m->value[w] & 0xfff);
	}
	if (q->has_pdpte && dice_one_in(d, 4))
		q->pdpte[dice_below(d, 4)] ^= (uint64_t)1 << dice_below(d, 64);
	if (dice_one_in(d, 8))
		q->cr3 ^= (uint64_t)1 << dice_below(d, 12);
	if (dice_one_in(d, 8))
		q->va ^= (uint64_t)1 << dice_below(d, 64);
	if (q->stage2 == CASE_NPT && dice_one_in(d, 8))
		q->ncr3 ^= (uint64_t)1 << dice_below(d, q->maxphyaddr);
}

static void generate_for_kvm(struct dice *d, struct case_question *q)
{
	generate(d, q);
	if (dice_one_in(d, 4))
		stir(d, q);
	q->profile = q->profile == CASE_AMD || q->profile == CASE_KVM_AMD ? CASE_KVM_AMD : CASE_KVM_INTEL;
	q->knobs = 0; /* the hardware's choices */
	q->mbec = q->gmet = false;
}

static void print_answer(const char *who, const struct case_answer *a)
{
	printf("    %s: %s pa %#" PRIx64 " shift %u rights %u", who, outcomes[a->outcome], a->pa, a->page_shift,
	       a->rights);
	printf(" vector %u code %#" PRIx64 " cr2 %#" PRIx64 " qualification %#" PRIx64 " gpa %#" PRIx64 "\n", a->vector,
	       a->error_code, a->cr2, a->exit_qualification, a->gpa);
}

static void print_difference(unsigned long long seed, unsigned long long i, unsigned since)
{
	char id[64], source[VECTOR_SOURCE_SIZE];
	size_t length = 0;

	snprintf(id, sizeof(id), "random-%llu-%llu", seed, i);
	length = (size_t)snprintf(source, sizeof(source), "%s", kvm_source);
	for (unsigned bit = 0; bit < KVM_SINCE_BITS && length < sizeof(source); bit++)
		if (since >> bit & 1)
			length += (size_t)snprintf(source + length, sizeof(source) - length, " %s", kvm_since[bit].id);
	if (vector_print(stdout, id, source, &question, &theirs, NULL, NULL))
		printf("%s: the vector format has no such case\n", id);
	print_answer("kvm", &theirs);
	print_answer("library", &ours);
	for (unsigned w = 0; w < question.memory.count; w++)
		if (ours.value[w] != theirs.value[w])
			printf("    word %#" PRIx64 " was %#" PRIx64 ": kvm %#" PRIx64 ", library %#" PRIx64 "\n",
			       question.memory.address[w], question.memory.value[w], theirs.value[w], ours.value[w]);
}

static void compare_one(struct counts *n, unsigned long long seed, unsigned long long i)
{
	unsigned since;

	library_walk(&question, &ours);
	switch (kvm_judge(&question, &ours, &theirs, &since)) {
	case KVM_OUTSIDE:
		n->outside++;
		return;
	case KVM_DIFFERS:
		if (n->differ++ < 10)
			print_difference(seed, i, since);
		break;
	case KVM_KNOWN:
		n->known++;
		for (unsigned bit = 0; bit < KVM_SINCE_BITS; bit++)
			n->since[bit] += since >> bit & 1;
		break;
	case KVM_SAME:
		break;
	}
	n->ran++;
	n->outcome[question.stage2][theirs.outcome]++;
}

static int report(struct counts *n, unsigned long long seed)
{
	printf("%-14s %14s %14s %14s\n", "outcome", "one dimension", "EPT", "NPT");
	for (unsigned o = 0; o < OUTCOMES; o++)
		printf("%-14s %14llu %14llu %14llu\n", outcomes[o], n->outcome[CASE_ONE_DIMENSION][o],
		       n->outcome[CASE_EPT][o], n->outcome[CASE_NPT][o]);
	for (unsigned i = 0; n->ran >= 100000 && i < sizeof(wanted) / sizeof(*wanted); i++) {
		if (n->outcome[0][wanted[i]] | n->outcome[1][wanted[i]] | n->outcome[2][wanted[i]])
			continue;
		printf("compare-kvm: no case was %s\n", outcomes[wanted[i]]);
		n->differ++;
	}
	for (unsigned bit = 0; bit < KVM_SINCE_BITS; bit++)
		printf("known %s, %llu: %s\n", kvm_since[bit].id, n->since[bit], kvm_since[bit].reason);
	printf("compare-kvm: %s, seed %llu, outside of it %llu\n", kvm_source, seed, n->outside);
	printf("kvm ran %llu, differ %llu, known %llu (", n->ran, n->differ, n->known);
	for (unsigned bit = 0, listed = 0; bit < KVM_SINCE_BITS; bit++)
		if (n->since[bit])
			printf("%s%s", listed++ ? " " : "", kvm_since[bit].id);
	puts(")");
	return n->differ || !n->ran;
}

static int run_vectors(char **files)
{
	static char line[1 << 20];
	static struct vector v;
	unsigned passed = 0, failed = 0, outside = 0;
	char text[1024];

	for (; *files; files++) {
		FILE *f = fopen(*files, "r");

		if (!f) {
			perror(*files);
			return 2;
		}
		while (fgets(line, sizeof(line), f)) {
			if (vector_parse(line, strlen(line), &v, text, sizeof(text)) != VECTOR_OK) {
				fprintf(stderr, "compare-kvm: %s: %s\n", *files, text);
				return 2;
			}
			if (!kvm_walk_since(&v.question, &theirs, KVM_SINCE_ALL)) {
				outside++;
			} else if (vector_match(&v, &theirs, text, sizeof(text))) {
				passed++;
			} else {
				failed++;
				printf("%s: %s: %s\n", *files, v.id, text);
			}
		}
		fclose(f);
	}
	printf("compare-kvm: %s, vectors: %u passed, %u failed, %u outside of it\n", kvm_source, passed, failed,
	       outside);
	return failed || !passed;
}

/* The same cases over and over, so that making them is not in the time. */
static int speed(unsigned long long cases)
{
	enum { SAMPLE = 256 };
	struct case_question *sample = calloc(SAMPLE, sizeof(*sample));
	struct dice dice;
	struct timespec from, to;
	double seconds;

	if (!sample) {
		fprintf(stderr, "compare-kvm: no memory\n");
		return 2;
	}
	dice_seed(&dice, 1);
	for (unsigned i = 0; i < SAMPLE; i++)
		generate_for_kvm(&dice, &sample[i]);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (unsigned long long i = 0; i < cases; i++)
		kvm_walk(&sample[i % SAMPLE], &theirs);
	clock_gettime(CLOCK_MONOTONIC, &to);
	seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	printf("kvm_walk: %llu cases, %.2f million a second\n", cases, (double)cases / seconds / 1e6);
	free(sample);
	return 0;
}

int main(int argc, char **argv)
{
	bool timed = argc == 3 && !strcmp(argv[1], "--seconds");
	time_t end = timed ? time(NULL) + strtol(argv[2], NULL, 0) : 0;
	unsigned long long cases = timed ? 0 : argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000, i;
	unsigned long long seed = timed ? (unsigned long long)time(NULL) : argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	struct counts counts = { .ran = 0 };
	struct dice dice;

	if (argc == 3 && !strcmp(argv[1], "--speed"))
		return speed(strtoull(argv[2], NULL, 0));
	if (argc > 2 && !strcmp(argv[1], "--vectors"))
		return run_vectors(argv + 2);
	dice_seed(&dice, seed);
	for (i = 0; timed ? i % 4096 || time(NULL) < end : i < cases; i++) {
		generate_for_kvm(&dice, &question);
		compare_one(&counts, seed, i);
	}
	return report(&counts, seed);
}
