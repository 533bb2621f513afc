/* SPDX-License-Identifier: MIT */
/*
 * probe.h: a case through /dev/kvm: the registers into a vCPU, the words into its memory, the access, and what came of
 * it. The oracle devkvm calls it in its own process; kvmguest has it run inside a guest (README.md).
 */
#ifndef FUZZ_DEVKVM_PROBE_H
#define FUZZ_DEVKVM_PROBE_H

#include <stddef.h>

#include "case.h"

/* The largest memory of a case; the probe's own pages lie far above. */
#define PROBE_MEMORY (256 * 4096)

enum probe_kind {
	PROBE_SHADOW, /* KVM with shadow paging: rings 0 and 3 are both its walker's. Long mode, 4 levels */
	PROBE_NESTED  /* KVM over nested paging, with kvm.force_emulation_prefix=1: its walker or the CPU's. All modes */
};

enum probe_result {
	PROBE_ANSWERED,
	PROBE_OUTSIDE, /* the case cannot be asked */
	PROBE_BROKEN   /* KVM did what it never does, or nothing */
};

/*
 * Opens /dev/kvm. max_phys: the CPU's MAXPHYADDR where the CPU walks (PROBE_NESTED). False, with the reason: it does
 * not run here. One probe a process.
 */
bool probe_open(enum probe_kind kind, unsigned max_phys, char *reason, size_t n);
void probe_close(void);

/* What went wrong, after PROBE_BROKEN. */
const char *probe_error(void);

/*
 * The answer: outcome, pa, vector, error_code, cr2 and the words. Of the question's memory only size, count, address
 * and value are read. The profile chooses the walker: intel and amd the CPU's where there is a choice.
 */
enum probe_result probe_ask(const struct case_question *q, struct case_answer *a);

/* Makes a random case one that can be asked, with these 64 random bits. */
void probe_prepare(enum probe_kind kind, uint64_t random, struct case_question *q);

#endif
