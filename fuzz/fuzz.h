/* SPDX-License-Identifier: MIT */
/* fuzz.h: what the libFuzzer targets share: a check, and an input that is taken to pieces from its front. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pagewalk/pagewalk.h>

/* Active in every build: a target without its checks would find crashes only. */
#define REQUIRE(cond) ((cond) ? (void)0 : require_failed_(__FILE__, __LINE__, #cond))

static inline void require_failed_(const char *file, int line, const char *cond)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, cond);
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *bytes;
	size_t left;
};

/* The next size bytes, 1 to 8, as a number; past the end there are zeros. */
static inline uint64_t input_take(struct input *in, unsigned size)
{
	uint64_t value = 0;
	unsigned i;

	for (i = 0; i < size && in->left; i++, in->left--)
		value |= (uint64_t)*in->bytes++ << 8 * i;
	return value;
}

/* 15 bytes: a profile, and what is to be changed in it. */
static inline struct pagewalk_cpu input_cpu(struct input *in)
{
	enum pagewalk_profile profile = (enum pagewalk_profile)(input_take(in, 1) & 3);
	uint8_t maxphyaddr = (uint8_t)input_take(in, 1);
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(profile, maxphyaddr, PAGEWALK_FEATURES_ALL ^ input_take(in, 8));

	cpu.quirks ^= input_take(in, 5);
	return cpu;
}

/*
 * 25 bytes: a kind, and three registers. Most registers are impossible; bit 0 of the kind makes paging out of them
 * that a CPU with all features can have, bit 1 long mode if PAE is on, bit 2 compatibility mode.
 */
static inline struct pagewalk_regs input_regs(struct input *in)
{
	unsigned kind = (unsigned)input_take(in, 1);
	struct pagewalk_regs regs;

	regs.cr0 = input_take(in, 8);
	regs.cr4 = input_take(in, 8);
	regs.efer = input_take(in, 8);
	regs.compatibility = kind & 4;
	if (!(kind & 1))
		return regs;
	regs.cr0 = PAGEWALK_CR0_PG | PAGEWALK_CR0_PE | (regs.cr0 & PAGEWALK_CR0_WP);
	regs.cr4 &= PAGEWALK_CR4_PSE | PAGEWALK_CR4_PAE | PAGEWALK_CR4_SMEP | PAGEWALK_CR4_SMAP | PAGEWALK_CR4_PKE |
		    PAGEWALK_CR4_LA57;
	regs.efer &= PAGEWALK_EFER_NXE;
	if ((kind & 2) && (regs.cr4 & PAGEWALK_CR4_PAE))
		regs.efer |= PAGEWALK_EFER_LME | PAGEWALK_EFER_LMA;
	return regs;
}

#endif
