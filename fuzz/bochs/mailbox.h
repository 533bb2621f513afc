/* SPDX-License-Identifier: MIT */
/*
 * mailbox.h: what the oracle and the guest in Bochs say to each other, in sectors of the guest's disk, and where the
 * guest's own pages are. The same file for both sides, and for boot.S.
 */
#ifndef FUZZ_BOCHS_MAILBOX_H
#define FUZZ_BOCHS_MAILBOX_H

#define SECTOR          512
#define GUEST_SECTORS   63        /* boot.S and guest.c, behind the boot sector */
#define HELLO_AT        100       /* sector: the guest's, once it runs */
#define ASK_AT          128
#define ANSWER_AT       256
#define DISK_SECTORS    (16 * 63 * 2)

/* Physical memory. The case's has all but these: what is under it, and the guest's own megabyte. */
#define MEMORY_END      0x80000000 /* 2 GiB */
#define MACHINE_MEMORY  0x81000000 /* the firmware has its tables at the end */
#define LOW_END         0x9f000
#define OWN             0x100000
#define OWN_END         0x200000
#define GUEST           OWN       /* code, data, stack */
#define STACK_TOP       0x140000
#define ASK_BUFFER      0x140000
#define ANSWER_BUFFER   0x150000
#define TABLES          0x160000  /* the guest's own page tables: 6 pages */
#define VMXON_REGION    0x170000
#define VMCS_REGION     0x171000
#define PRIME           0x180000  /* pages of the first world (bochs.c) */

#define VMCALL_LENGTH   3

#ifndef __ASSEMBLER__
#include <stdint.h>

struct hello {
	uint32_t magic, phys_bits;
	uint64_t ept_capabilities, secondary_controls, control_misc;
};
#define HELLO_MAGIC     0x6f6c6c65

/* Words: physical address, value. Fields: number of a VMCS field, value. */
struct pair {
	uint64_t key, value;
};

struct ask {
	uint32_t seq, sectors;          /* sectors: of all of it */
	uint32_t words, case_words;     /* the first case_words are the case's, which come back */
	uint32_t fields, bait_size;
	uint64_t bait_at;               /* bytes of bait[] go there; one comes back */
	uint8_t bait[8];
	uint64_t rax, rbx, rcx, rbp, mm0;
	uint64_t pkru;
	uint8_t pad[SECTOR - 88];
	struct pair pair[];             /* words, then fields */
};

struct answer {
	uint32_t seq, status;           /* status: 0, or VMfail's 1 or 2 */
	uint64_t instruction_error, reason, qualification, gpa, info, error_code, rip, rax;
	uint64_t bait;                  /* the byte there, afterwards */
	uint64_t pdpte[4];
	uint8_t pad[SECTOR - 112];
	uint64_t value[];               /* of the case's words */
};
#endif
#endif
