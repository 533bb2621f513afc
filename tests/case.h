/* SPDX-License-Identifier: MIT */
/*
 * One question to a page walker, and its answer: the registers, the memory and the access of a case, and the
 * outcome, in the terms of the vector format (tests/vectors/README.md). It knows no walker. The vector reader
 * fills it, the random generator fills it, and the library, the model and every other oracle are run on it.
 */
#ifndef TESTS_CASE_H
#define TESTS_CASE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum case_profile { CASE_INTEL, CASE_AMD, CASE_KVM_INTEL, CASE_KVM_AMD };
enum case_access { CASE_READ, CASE_WRITE, CASE_FETCH };
enum case_stage2 { CASE_ONE_DIMENSION, CASE_EPT, CASE_NPT };

/* CPUID features, in the order of the vector format's list. */
enum {
	CASE_PSE = 1 << 0, CASE_PSE36 = 1 << 1, CASE_PAE = 1 << 2, CASE_NX = 1 << 3, CASE_PAT = 1 << 4,
	CASE_PAGE1GB = 1 << 5, CASE_SMEP = 1 << 6, CASE_SMAP = 1 << 7, CASE_PKU = 1 << 8, CASE_LA57 = 1 << 9,
	CASE_PKS = 1 << 10, CASE_LAM = 1 << 11, CASE_LASS = 1 << 12, CASE_CET_SS = 1 << 13, CASE_UAI = 1 << 14,
	CASE_HLAT = 1 << 15
};

/* EPT capabilities. */
enum {
	CASE_EPT_EXEC_ONLY = 1 << 0, CASE_EPT_2M = 1 << 1, CASE_EPT_1G = 1 << 2, CASE_EPT_AD = 1 << 3,
	CASE_EPT_5L = 1 << 4, CASE_EPT_ADVANCED = 1 << 5, CASE_EPT_SSS = 1 << 6, CASE_EPT_PW = 1 << 7,
	CASE_EPT_VPW = 1 << 8, CASE_EPT_SPP = 1 << 9
};

/* Choices that the rules leave open; all off is what the vector format means. */
enum {
	CASE_AD_AS_WALKED = 1 << 0,    /* AD-2: A of each non-leaf entry is set as soon as the walk descends through it */
	CASE_EPT_IGNORE_HIGH = 1 << 1, /* EPT-13: GPA bits above the EPT's width are ignored; off: EPT violation */
	CASE_PDPTE_BIT8 = 1 << 2,      /* MODE-11: AMD also reserves bit 8 in a non-leaf PDPTE of long mode */
	CASE_PSE36_BY_M = 1 << 3       /* MODE-5: AMD bounds the 4 MiB page's address by M as Intel does; off: always PA[39:32] */
};

/*
 * Memory: zero from 0 to size but for some little-endian 8-byte words; at and past size there is none.
 * The initial values stay in the case; every run has values of its own.
 */
#define CASE_MAX_WORDS 512
#define CASE_SLOTS 2048 /* open addressing, at most a quarter full */

struct case_memory {
	uint64_t size;
	unsigned count;
	uint64_t address[CASE_MAX_WORDS]; /* multiples of 8, each once */
	uint64_t value[CASE_MAX_WORDS];
	uint16_t slot[CASE_SLOTS];        /* index + 1 of the word that hashes here; 0: free */
};

struct case_question {
	enum case_profile profile;
	unsigned maxphyaddr;
	unsigned features, knobs;

	uint64_t cr0, cr3, cr4, efer, rflags, pkru;
	bool compatibility;                /* long mode, but CS.L = 0 */
	bool has_pdpte;                    /* false: load the PDPTEs from memory first, as MOV CR3 does (PAE paging only) */
	uint64_t pdpte[4];

	enum case_stage2 stage2;
	uint64_t eptp;                     /* CASE_EPT */
	bool mbec;
	unsigned ept_features;
	uint64_t ncr3, hcr0, hcr4, hefer;  /* CASE_NPT: the host's registers */
	bool gmet;

	uint64_t va;
	enum case_access access;
	bool user, implicit, stack;        /* stack: a stack-segment reference */

	struct case_memory memory;
};

enum case_outcome {
	CASE_TRANSLATED, CASE_PAGE_FAULT, CASE_PDPTE_FAULT, CASE_NON_CANONICAL,
	CASE_EPT_VIOLATION, CASE_EPT_MISCONFIG, CASE_NPF, CASE_NO_MEMORY,
	CASE_BAD_STATE                     /* registers that no CPU can hold; no vector has it */
};

enum { CASE_R = 1, CASE_W = 2, CASE_X = 4, CASE_U = 8 };

/* A field that the outcome does not have is 0. */
struct case_answer {
	enum case_outcome outcome;
	uint64_t pa;                       /* TRANSLATED: of the last stage */
	unsigned page_shift;               /* TRANSLATED: log2 of the page, the smaller of the two stages; 0 with paging off and no second stage */
	unsigned rights;                   /* TRANSLATED: what both stages allow (PERM-2, EPT-6, NPT-4), key and SMEP/SMAP/WP aside */
	unsigned vector;                   /* NON_CANONICAL: 13 or 12 */
	uint64_t error_code;               /* PAGE_FAULT: of the #PF; NPF: EXITINFO1 */
	uint64_t cr2;                      /* PAGE_FAULT */
	uint64_t exit_qualification;       /* EPT_VIOLATION */
	uint64_t gpa;                      /* EPT_VIOLATION, EPT_MISCONFIG, NPF: the whole GPA; the KVM profiles: the page's base */
	uint64_t value[CASE_MAX_WORDS];    /* the memory's words after the walk; [0, memory.count) */
};

static inline unsigned case_hash_(uint64_t address)
{
	return (unsigned)((address >> 3) * 0x9e3779b97f4a7c15u >> 53) & (CASE_SLOTS - 1);
}

/* The index of the word at address (a multiple of 8), or -1. */
static inline int case_find(const struct case_memory *m, uint64_t address)
{
	for (unsigned h = case_hash_(address); m->slot[h]; h = (h + 1) & (CASE_SLOTS - 1))
		if (m->address[m->slot[h] - 1] == address)
			return m->slot[h] - 1;
	return -1;
}

static inline void case_clear(struct case_memory *m, uint64_t size)
{
	for (unsigned i = 0; i < m->count; i++) /* every slot in use is on the way of some word */
		for (unsigned h = case_hash_(m->address[i]); m->slot[h]; h = (h + 1) & (CASE_SLOTS - 1))
			m->slot[h] = 0;
	m->count = 0;
	m->size = size;
}

/* Sets a word; false: no room, or the address is no multiple of 8 or not below size. */
static inline bool case_set(struct case_memory *m, uint64_t address, uint64_t value)
{
	int at = case_find(m, address);

	if (at >= 0) {
		m->value[at] = value;
		return true;
	}
	if (m->count == CASE_MAX_WORDS || address & 7 || m->size < 8 || address > m->size - 8)
		return false;
	unsigned h = case_hash_(address);
	while (m->slot[h])
		h = (h + 1) & (CASE_SLOTS - 1);
	m->address[m->count] = address;
	m->value[m->count] = value;
	m->slot[h] = (uint16_t)++m->count;
	return true;
}

/* Reads 4 or 8 bytes at an aligned address from a run's values; false: there is no such memory. */
static inline bool case_load(const struct case_memory *m, const uint64_t *value, uint64_t address, unsigned size, uint64_t *out)
{
	if (m->size < size || address > m->size - size)
		return false;
	int at = case_find(m, address & ~(uint64_t)7);
	uint64_t word = at < 0 ? 0 : value[at];
	*out = size == 8 ? word : (uint32_t)(word >> (address & 4) * 8);
	return true;
}

/* Writes 4 or 8 bytes to a run's values. Only a word of the case can be written: a zero word holds no entry that a walk could change. */
static inline bool case_store(const struct case_memory *m, uint64_t *value, uint64_t address, unsigned size, uint64_t in)
{
	int at = case_find(m, address & ~(uint64_t)7);

	if (at < 0)
		return false;
	if (size == 8) {
		value[at] = in;
	} else {
		unsigned shift = (unsigned)(address & 4) * 8;
		value[at] = (value[at] & ~((uint64_t)0xffffffff << shift)) | (uint64_t)(uint32_t)in << shift;
	}
	return true;
}

#endif
