/* SPDX-License-Identifier: MIT */
/*
 * boot.S: the boot sector, the way to 64-bit mode, and the few instructions that C has no words for. The sectors behind
 * the first are loaded at 64 KiB and then moved to GUEST, so that all memory below belongs to the cases.
 */
#include "mailbox.h"

	.code16
	.section .boot, "ax"
	.globl boot
boot:
	ljmp $0, $1f
1:	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %ss
	mov $0x7c00, %sp
	mov $packet, %si
	mov $0x42, %ah
	int $0x13
	jc 2f
	in $0x92, %al
	or $2, %al
	out %al, $0x92
	cli
	lgdt gdtr
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmp $0x18, $protected
2:	hlt
	jmp 2b

	.code32
protected:
	mov $0x10, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $0x10000, %esi
	mov $GUEST, %edi
	mov $GUEST_SECTORS * SECTOR / 4, %ecx
	rep movsl
	mov $TABLES, %edi /* 4 GiB, each to itself, by pages of 2 MiB */
	mov $6 * 4096 / 4, %ecx
	xor %eax, %eax
	rep stosl
	movl $TABLES + 0x1003, TABLES
	mov $4, %ecx
	mov $TABLES + 0x2003, %eax
	mov $TABLES + 0x1000, %edi
3:	mov %eax, (%edi)
	add $0x1000, %eax
	add $8, %edi
	loop 3b
	mov $2048, %ecx
	mov $0x83, %eax
	mov $TABLES + 0x2000, %edi
4:	mov %eax, (%edi)
	add $0x200000, %eax
	add $8, %edi
	loop 4b
	mov $TABLES, %eax
	mov %eax, %cr3
	mov %cr4, %eax
	or $0x2020, %eax /* PAE, VMXE */
	mov %eax, %cr4
	mov $0xc0000080, %ecx
	rdmsr
	or $0x900, %eax /* LME, NXE */
	wrmsr
	mov %cr0, %eax
	or $0x80000020, %eax /* PG, NE */
	mov %eax, %cr0
	ljmp $8, $GUEST

	.balign 8
gdt:	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff
gdtr:	.word . - gdt - 1
	.long gdt
packet:	.byte 16, 0
	.word GUEST_SECTORS, 0, 0x1000
	.quad 1
	.org 510
	.word 0xaa55

	.code64
	.section .start, "ax"
	.globl start
start:
	lgdt own_gdtr(%rip)
	mov $0x10, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov %ax, %fs
	mov %ax, %gs
	mov $0x18, %ax
	ltr %ax
	mov $STACK_TOP, %rsp
	call guest_main
5:	hlt
	jmp 5b

	.balign 16
	.globl own_gdt
own_gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x0000890000000067, 0
own_gdtr: .word . - own_gdt - 1
	.quad own_gdt

	.text
/*
 * unsigned enter(const struct ask *): enters the guest of the current VMCS with the registers of the question. 0: it
 * has come back, its RAX is in guest_rax; 1, 2: VMfailInvalid, VMfailValid.
 */
	.globl enter
enter:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov $0x6c14, %eax /* the host's RSP, RIP */
	vmwrite %rsp, %rax
	lea 7f(%rip), %rdx
	mov $0x6c16, %eax
	vmwrite %rdx, %rax
	mov 40(%rdi), %rax
	mov 48(%rdi), %rbx
	mov 56(%rdi), %rcx
	mov 64(%rdi), %rbp
	movq 72(%rdi), %mm0
	vmlaunch
	mov $1, %eax
	jc 8f
	mov $2, %eax
	jmp 8f
7:	mov %rax, guest_rax(%rip)
	xor %eax, %eax
8:	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.bss
	.globl guest_rax
guest_rax: .quad 0
	.section .note.GNU-stack, "", @progbits
