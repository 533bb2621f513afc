/* SPDX-License-Identifier: MIT */
/*
 * mailbox.h: what the oracle and its guest agree upon: where the guest's pages are, and the mailbox in one of them.
 * For qemu.c and for guest.S.
 *
 * The pages lie at the same linear and physical address, under 2 GiB and where no test is likely to look. The first
 * PROBE_MAPPED of them are in every address space that the guest is given.
 */
#ifndef FUZZ_QEMU_MAILBOX_H
#define FUZZ_QEMU_MAILBOX_H

#define PROBE_BASE      0x5a800000      /* a multiple of 4 MiB; the Makefile links guest.S there */
#define PROBE_USER      (PROBE_BASE + 0x1000) /* the code of ring 3 */
#define PROBE_BOX       (PROBE_BASE + 0x2000) /* the mailbox, descriptors, stack */
#define PROBE_WINDOW    (PROBE_BASE + 0x3000) /* a linear address only: shows the root table of the case */
#define PROBE_MAPPED    4
#define PROBE_TABLES    (PROBE_BASE + 0x4000) /* page tables of the oracle's own */
#define PROBE_END       (PROBE_BASE + 0xa000)

#define PROBE_OPS       0xe00           /* the code of an access in ring 0, from PROBE_BASE; 16 bytes each */
#define PROBE_USER_OPS  0x1000          /* the same for ring 3 */

#define PROBE_GDT       (PROBE_BOX + 0x200)
#define PROBE_TSS       (PROBE_BOX + 0x280)
#define PROBE_IDT32     (PROBE_BOX + 0x300)
#define PROBE_IDT64     (PROBE_BOX + 0x400)
#define PROBE_STACK     (PROBE_BOX + 0xff0) /* its top */

#define SEL_KCODE32     0x08
#define SEL_KDATA       0x10
#define SEL_UCODE32     0x1b
#define SEL_UDATA       0x23
#define SEL_KCODE64     0x28
#define SEL_UCODE64     0x33
#define SEL_TSS         0x38
#define SEL_LDT         0x48            /* 16 bytes */

/* The accesses; each ends in INT3. */
#define OP_NONE         0
#define OP_READ1        1               /* reads through DS at [BX], through SS at [BP]: both hold the address */
#define OP_READ4        2
#define OP_WRITE1       3
#define OP_WRITE4       4
#define OP_STACK_READ1  5
#define OP_STACK_READ4  6
#define OP_STACK_WRITE1 7
#define OP_STACK_WRITE4 8
#define OP_FETCH        9
#define OP_LDT          10              /* LSL of the first descriptor in the LDT */

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

struct mailbox {
	/* The case is seq's; done = seq: answered. */
	uint32_t seq, done;
	uint32_t up;                    /* PROBE_UP: the guest is there */
	uint32_t next;                  /* the guest's own: where its exception handler goes on */

	uint32_t cr0, cr4, efer, pkru;
	uint32_t first_cr3;             /* the root to turn paging on with, under 4 GiB */
	uint32_t long_mode;
	uint64_t cr3;                   /* long mode: another root after that, or 0 */

	uint64_t cs, ss, flags;
	uint64_t warm, op;              /* the code to enter: first one that does nothing, then the access */
	uint64_t va, rax;
	uint32_t ldt;                   /* selector to load, or 0 */
	uint32_t slot_size;             /* 4 or 8 */
	uint64_t slot;                  /* the address of the root's entry in the window, and what it is in the case */
	uint64_t slot_value;

	/* The answer: the last exception. */
	uint64_t vector, error, cr2, rip, rax_out;

	uint32_t cpuid[6][4];           /* EAX, EBX, ECX, EDX of 0, 1, 7, 8000_0000, 8000_0001, 8000_0008 */
};

#endif

#define PROBE_UP        0x70726f62

/* The assembler's names of the fields: PROBE_BOX + offset. */
#define BOX_SEQ         0x00
#define BOX_DONE        0x04
#define BOX_UP          0x08
#define BOX_NEXT        0x0c
#define BOX_CR0         0x10
#define BOX_CR4         0x14
#define BOX_EFER        0x18
#define BOX_PKRU        0x1c
#define BOX_FIRST_CR3   0x20
#define BOX_LONG        0x24
#define BOX_CR3         0x28
#define BOX_CS          0x30
#define BOX_SS          0x38
#define BOX_FLAGS       0x40
#define BOX_WARM        0x48
#define BOX_OP          0x50
#define BOX_VA          0x58
#define BOX_RAX         0x60
#define BOX_LDT         0x68
#define BOX_SLOT_SIZE   0x6c
#define BOX_SLOT        0x70
#define BOX_SLOT_VALUE  0x78
#define BOX_VECTOR      0x80
#define BOX_ERROR       0x88
#define BOX_CR2         0x90
#define BOX_RIP         0x98
#define BOX_RAX_OUT     0xa0
#define BOX_CPUID       0xa8

#ifndef __ASSEMBLER__
#define BOX_AT(field, offset) _Static_assert(offsetof(struct mailbox, field) == (offset), #field)
BOX_AT(next, BOX_NEXT);
BOX_AT(cr0, BOX_CR0);
BOX_AT(pkru, BOX_PKRU);
BOX_AT(first_cr3, BOX_FIRST_CR3);
BOX_AT(long_mode, BOX_LONG);
BOX_AT(cr3, BOX_CR3);
BOX_AT(cs, BOX_CS);
BOX_AT(op, BOX_OP);
BOX_AT(ldt, BOX_LDT);
BOX_AT(slot_size, BOX_SLOT_SIZE);
BOX_AT(slot, BOX_SLOT);
BOX_AT(vector, BOX_VECTOR);
BOX_AT(rax_out, BOX_RAX_OUT);
BOX_AT(cpuid, BOX_CPUID);
#endif

#endif
