/* SPDX-License-Identifier: MIT */
/*
 * guest.S: the guest of oracle T, one access a case. See README.md for the order of things; mailbox.h for the places.
 *
 * It waits with paging off. For a case it turns paging on with the case's registers, goes to the case's CPL, and comes
 * back by INT3. All pages of its own that the access will need are in the TLB then, in the same CPL and with the same
 * EFLAGS.AC. Now it puts the root table's entry that led to them back to what the case has there, goes to the CPL once
 * more, makes the access, and comes back by that access's exception, or by INT3 if there was none. Any exception comes
 * to the same place.
 */
#include "mailbox.h"

#define BOX(field) PROBE_BOX + BOX_##field

	.text
	.code32
	.globl _start
header:
	.long 0x1badb002, 0, -0x1badb002 /* multiboot: magic, no flags, checksum */

_start:
	cli
	cld
	mov $PROBE_STACK, %esp
	lgdt gdtr
	ljmp $SEL_KCODE32, $1f
1:	mov $SEL_UDATA, %eax             /* good for ring 0 and for ring 3 */
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov $SEL_KDATA, %eax
	mov %eax, %ss
	mov $SEL_TSS, %eax
	ltr %ax
	call fill_idts
	call read_cpuid
	movl $PROBE_UP, BOX(UP)

/* ---- Paging is off ----------------------------------------------------------------------------------------------- */

wait:
	mov BOX(SEQ), %eax
	cmp BOX(DONE), %eax
	je wait

	pushl $2                         /* AC was as the last case had it */
	popf
	mov BOX(CR4), %eax
	mov %eax, %cr4
	test $1 << 22, %eax
	jz 1f
	mov BOX(PKRU), %eax
	xor %ecx, %ecx
	xor %edx, %edx
	wrpkru
1:	mov $0xc0000080, %ecx
	mov BOX(EFER), %eax
	xor %edx, %edx
	wrmsr
	mov BOX(FIRST_CR3), %eax
	mov %eax, %cr3
	mov BOX(CR0), %eax
	cmpl $0, BOX(LONG)
	jne 2f
	lidt idtr32
	mov %eax, %cr0
	jmp warm32
2:	lidt idtr64
	mov %eax, %cr0
	ljmp $SEL_KCODE64, $warm64

/* Back from paging, and in 32-bit code if it was long mode. */
finish:
	mov %cr0, %eax
	and $0x7fffffff, %eax
	mov %eax, %cr0
	mov $SEL_KDATA, %eax             /* exceptions of long mode leave SS empty */
	mov %eax, %ss
	mov $PROBE_STACK, %esp
	mov BOX(SEQ), %eax
	mov %eax, BOX(DONE)
	jmp wait

/* ---- 32-bit and PAE paging --------------------------------------------------------------------------------------- */

warm32:
	movl $probe32, BOX(NEXT)
	mov BOX(WARM), %edx
enter32:                                 /* to edx; an exception's frame will be at the same place whatever the CPL */
	mov $PROBE_STACK, %esp
	pushl BOX(SS)
	pushl $0
	pushl BOX(FLAGS)
	pushl BOX(CS)
	pushl %edx
	mov BOX(RAX), %eax
	mov $7, %ecx
	mov BOX(VA), %ebx
	mov %ebx, %ebp
	iret

probe32:
	mov BOX(LDT), %eax
	test %eax, %eax
	jz 1f
	lldt %ax
1:	mov BOX(SLOT), %edi
	mov BOX(SLOT_VALUE), %eax
	mov %eax, (%edi)
	cmpl $8, BOX(SLOT_SIZE)
	jne 2f
	mov BOX(SLOT_VALUE) + 4, %eax
	mov %eax, 4(%edi)
2:	movl $finish, BOX(NEXT)
	mov BOX(OP), %edx
	jmp enter32

exception32:
	popl BOX(VECTOR)
	mov %eax, BOX(RAX_OUT)
	mov PROBE_STACK - 24, %eax       /* the error code, if it has one */
	mov %eax, BOX(ERROR)
	mov PROBE_STACK - 20, %eax
	mov %eax, BOX(RIP)
	mov %cr2, %eax
	mov %eax, BOX(CR2)
	jmp *BOX(NEXT)

	.balign 8
vectors32:
	.set vector, 0
	.rept 32
	.balign 8
	push $vector
	jmp exception32
	.set vector, vector + 1
	.endr

/* ---- Long mode; compatibility mode has its exceptions here too --------------------------------------------------- */

	.code64
warm64:
	mov BOX(CR3), %rax
	test %rax, %rax
	jz ready64
	mov %rax, %cr3
	pushq $SEL_KCODE32               /* this page for 32-bit code again (see finish64): the TLB is empty now */
	mov $1f, %eax
	push %rax
	lretq
	.code32
1:	ljmp $SEL_KCODE64, $ready64
	.code64
ready64:
	movl $probe64, BOX(NEXT)
	mov BOX(WARM), %rdx
enter64:
	mov $PROBE_STACK, %esp
	pushq BOX(SS)
	pushq $0
	pushq BOX(FLAGS)
	pushq BOX(CS)
	pushq %rdx
	mov BOX(RAX), %rax
	mov $7, %ecx
	mov BOX(VA), %rbx
	mov %rbx, %rbp
	iretq

probe64:
	mov BOX(LDT), %eax
	test %eax, %eax
	jz 1f
	lldt %ax
1:	mov BOX(SLOT), %rdi
	mov BOX(SLOT_VALUE), %rax
	mov %rax, (%rdi)
	movl $finish64, BOX(NEXT)
	mov BOX(OP), %rdx
	jmp enter64

finish64:
	pushq $2                         /* AC, as when 32-bit code went to warm64: QEMU's TLB tells these apart */
	popfq
	pushq $SEL_KCODE32
	mov $finish, %eax
	push %rax
	lretq

exception64:                             /* the stack is that of the IST: frames are at the same place */
	popq BOX(VECTOR)
	mov %rax, BOX(RAX_OUT)
	mov PROBE_STACK - 48, %rax
	mov %rax, BOX(ERROR)
	mov PROBE_STACK - 40, %rax
	mov %rax, BOX(RIP)
	mov %cr2, %rax
	mov %rax, BOX(CR2)
	mov BOX(NEXT), %eax
	jmp *%rax

	.balign 8
vectors64:
	.set vector, 0
	.rept 32
	.balign 8
	push $vector
	jmp exception64
	.set vector, vector + 1
	.endr

/* ---- Once -------------------------------------------------------------------------------------------------------- */

	.code32
/* Gates for all exceptions; INT3 is for ring 3 too. */
fill_idts:
	xor %ecx, %ecx
1:	lea vectors32(, %ecx, 8), %eax
	lea PROBE_IDT32(, %ecx, 8), %edi
	mov $SEL_KCODE32, %edx
	call gate
	lea vectors64(, %ecx, 8), %eax
	lea PROBE_IDT64(, %ecx, 8), %edi
	lea (%edi, %ecx, 8), %edi
	mov $SEL_KCODE64, %edx
	call gate
	movb $1, 4(%edi)                 /* IST 1 */
	inc %ecx
	cmp $32, %ecx
	jb 1b
	orb $0x60, PROBE_IDT32 + 3 * 8 + 5
	orb $0x60, PROBE_IDT64 + 3 * 16 + 5
	ret
gate:
	mov %ax, (%edi)
	mov %dx, 2(%edi)
	movw $0x8e00, 4(%edi)
	shr $16, %eax
	mov %ax, 6(%edi)
	ret

read_cpuid:
	mov $leaves, %esi
	mov $BOX(CPUID), %edi
1:	mov (%esi), %eax
	xor %ecx, %ecx
	cpuid
	mov %eax, (%edi)
	mov %ebx, 4(%edi)
	mov %ecx, 8(%edi)
	mov %edx, 12(%edi)
	add $4, %esi
	add $16, %edi
	cmp $leaves_end, %esi
	jb 1b
	ret

leaves:	.long 0, 1, 7, 0x80000000, 0x80000001, 0x80000008
leaves_end:
gdtr:	.word 11 * 8 - 1
	.long PROBE_GDT
idtr32:	.word 32 * 8 - 1
	.long PROBE_IDT32
idtr64:	.word 32 * 16 - 1                /* loaded by 32-bit code, so that the base has 4 bytes */
	.long PROBE_IDT64

/* ---- The accesses: the same bytes in 32-bit and in 64-bit code --------------------------------------------------- */

	.macro accesses
	.balign 16
	int3
	.balign 16
	mov (%ebx), %al
	int3
	.balign 16
	mov (%ebx), %eax
	int3
	.balign 16
	mov %al, (%ebx)
	int3
	.balign 16
	mov %eax, (%ebx)
	int3
	.balign 16
	mov (%ebp), %al
	int3
	.balign 16
	mov (%ebp), %eax
	int3
	.balign 16
	mov %al, (%ebp)
	int3
	.balign 16
	mov %eax, (%ebp)
	int3
	.balign 16
	jmp *%ebx
	.balign 16
	lsl %ecx, %eax
	int3
	.endm

	.org PROBE_OPS
	accesses
	.org PROBE_USER_OPS
	accesses

/* ---- The mailbox's page ------------------------------------------------------------------------------------------ */

	.org PROBE_GDT - PROBE_BASE
	.quad 0
	.quad 0x00cf9b000000ffff         /* SEL_KCODE32 */
	.quad 0x00cf93000000ffff         /* SEL_KDATA */
	.quad 0x00cffb000000ffff         /* SEL_UCODE32 */
	.quad 0x00cff3000000ffff         /* SEL_UDATA */
	.quad 0x00af9b000000ffff         /* SEL_KCODE64 */
	.quad 0x00affb000000ffff         /* SEL_UCODE64 */
	.word 103, PROBE_TSS & 0xffff    /* SEL_TSS */
	.byte PROBE_TSS >> 16 & 0xff, 0x89, 0, PROBE_TSS >> 24
	.quad 0
	.quad 0, 0                       /* SEL_LDT: the oracle fills it */

	/* One TSS for both kinds: ESP0 and SS0 in 32-bit code; IST1, which is elsewhere, in long mode. */
	.org PROBE_TSS - PROBE_BASE + 4
	.long PROBE_STACK, SEL_KDATA
	.org PROBE_TSS - PROBE_BASE + 36
	.quad PROBE_STACK
	.org PROBE_END - PROBE_BASE - 0x6000

	.section .note.GNU-stack, "", @progbits
