/* SPDX-License-Identifier: MIT */
/*
 * mailbox.h: the page range that the oracle and the program inside the guest share: a case in, an answer out. Both are
 * built from the same headers for the same kind of CPU, so the structures are as they are.
 */
#ifndef FUZZ_KVMGUEST_MAILBOX_H
#define FUZZ_KVMGUEST_MAILBOX_H

#include "case.h"

/* Where it is in the guest's memory; the guest's kernel is told to keep off (memmap=). */
#define GUEST_MEMORY 0xc000000
#define MAILBOX_ADDRESS 0xb000000
#define MAILBOX_SIZE 0x100000

enum { MAILBOX_BOOTING, MAILBOX_UP = 0x70726f62, MAILBOX_FAILED };

struct mailbox {
	uint32_t state;       /* MAILBOX_..., the guest's */
	uint32_t seq, done;   /* the case is seq's; done = seq: answered */
	uint32_t result;      /* enum probe_result */
	char text[256];       /* the kernel's version; after FAILED, or a result of BROKEN, what went wrong */
	struct case_question question; /* without memory.slot, which is not copied */
	struct case_answer answer;
};

#endif
