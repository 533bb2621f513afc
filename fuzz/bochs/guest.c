/* SPDX-License-Identifier: MIT */
/*
 * guest.c: runs in Bochs, in VMX root operation. Reads questions from the disk, writes their words into memory and
 * their fields into the VMCS, enters, and writes to the disk what came of it. It knows nothing of paging: bochs.c does.
 */
#include <stdbool.h>

#include "mailbox.h"

extern uint64_t guest_rax, own_gdt[];
unsigned enter(const struct ask *ask);
void guest_main(void);

static uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static uint64_t vmread(uint64_t field)
{
	uint64_t value;

	__asm__ volatile("vmread %1, %0" : "=r"(value) : "r"(field) : "cc");
	return value;
}

static void vmwrite(uint64_t field, uint64_t value)
{
	__asm__ volatile("vmwrite %0, %1" : : "r"(value), "r"(field) : "cc");
}

/* ---- The disk: the first ATA channel, by polling ----------------------------------------------------------------- */

static void wait_for_disk(bool data)
{
	uint8_t status;

	do
		status = inb(0x1f7);
	while ((status & 0x80) || (data && !(status & 8)));
}

static void command(uint32_t sector, uint8_t what)
{
	wait_for_disk(false);
	outb(0x1f6, (uint8_t)(0xe0 | (sector >> 24 & 15)));
	outb(0x1f2, 1);
	outb(0x1f3, (uint8_t)sector);
	outb(0x1f4, (uint8_t)(sector >> 8));
	outb(0x1f5, (uint8_t)(sector >> 16));
	outb(0x1f7, what);
	wait_for_disk(true);
}

static void read_sector(uint32_t sector, void *to)
{
	uint64_t count = SECTOR / 2;

	command(sector, 0x20);
	__asm__ volatile("rep insw" : "+D"(to), "+c"(count) : "d"(0x1f0) : "memory");
}

static void write_sector(uint32_t sector, const void *from)
{
	uint64_t count = SECTOR / 2;

	command(sector, 0x30);
	__asm__ volatile("rep outsw" : "+S"(from), "+c"(count) : "d"(0x1f0) : "memory");
	wait_for_disk(false);
}

/* ---- VMX --------------------------------------------------------------------------------------------------------- */

#define CONTROL_PIN 0x4000
#define CONTROL_PROCESSOR 0x4002
#define CONTROL_EXIT 0x400c
#define CONTROL_ENTRY 0x4012
#define CONTROL_SECONDARY 0x401e

/* The value, with the bits of a control that have to be 1, without those that have to be 0. */
static uint64_t allowed(uint64_t field, uint64_t value)
{
	static const struct { uint32_t field, msr; } controls[] = {
		{ CONTROL_PIN, 0x481 }, { CONTROL_PROCESSOR, 0x48e }, /* which lets CR3 be loaded */
		{ CONTROL_EXIT, 0x483 }, { CONTROL_ENTRY, 0x484 }, { CONTROL_SECONDARY, 0x48b },
	};

	for (unsigned i = 0; i < sizeof(controls) / sizeof(controls[0]); i++)
		if (controls[i].field == field)
			return (value | (uint32_t)rdmsr(controls[i].msr)) & rdmsr(controls[i].msr) >> 32;
	return value;
}

static void set_host(void)
{
	uint64_t cr0, cr3, cr4;

	__asm__ volatile("mov %%cr0, %0; mov %%cr3, %1; mov %%cr4, %2" : "=r"(cr0), "=r"(cr3), "=r"(cr4));
	vmwrite(0x6c00, cr0);
	vmwrite(0x6c02, cr3);
	vmwrite(0x6c04, cr4);
	vmwrite(0x0c02, 8);
	for (unsigned field = 0xc00; field <= 0xc0a; field += 2)
		if (field != 0xc02)
			vmwrite(field, 0x10);
	vmwrite(0x0c0c, 0x18);
	vmwrite(0x6c0c, (uint64_t)own_gdt);
	vmwrite(0x2c02, rdmsr(0xc0000080));
}

static bool start_vmx(void)
{
	uint64_t region = VMXON_REGION;
	bool failed;

	if (!(rdmsr(0x3a) & 1))
		wrmsr(0x3a, rdmsr(0x3a) | 5);
	*(volatile uint32_t *)VMXON_REGION = (uint32_t)rdmsr(0x480);
	*(volatile uint32_t *)VMCS_REGION = (uint32_t)rdmsr(0x480);
	__asm__ volatile("vmxon %1; setna %0" : "=r"(failed) : "m"(region) : "cc", "memory");
	return !failed;
}

static bool load_vmcs(void)
{
	uint64_t region = VMCS_REGION;
	bool failed;

	__asm__ volatile("vmclear %1; setna %0" : "=r"(failed) : "m"(region) : "cc", "memory");
	if (failed)
		return false;
	__asm__ volatile("vmptrld %1; setna %0" : "=r"(failed) : "m"(region) : "cc", "memory");
	return !failed;
}

static void forget_translations(void)
{
	struct { uint64_t eptp, zero; } all = { 0, 0 };

	__asm__ volatile("invept %0, %1" : : "m"(all), "r"((uint64_t)2) : "cc", "memory");
}

/* ---- One question ------------------------------------------------------------------------------------------------ */

static void answer(const struct ask *ask, struct answer *a)
{
	const struct pair *word = ask->pair, *field = ask->pair + ask->words;
	volatile uint8_t *bait = (volatile uint8_t *)ask->bait_at;

	for (unsigned i = 0; i < ask->words; i++)
		*(volatile uint64_t *)word[i].key = word[i].value;
	for (unsigned i = 0; i < ask->bait_size; i++)
		bait[i] = ask->bait[i];
	a->status = 3;
	if (load_vmcs()) {
		set_host();
		for (unsigned i = 0; i < ask->fields; i++)
			vmwrite(field[i].key, allowed(field[i].key, field[i].value));
		forget_translations();
		__asm__ volatile("wrpkru" : : "a"((uint32_t)ask->pkru), "c"(0), "d"(0));
		a->status = enter(ask);
	}
	a->instruction_error = vmread(0x4400);
	a->reason = vmread(0x4402);
	a->qualification = vmread(0x6400);
	a->gpa = vmread(0x2400);
	a->info = vmread(0x4404);
	a->error_code = vmread(0x4406);
	a->rip = vmread(0x681e);
	for (unsigned i = 0; i < 4; i++)
		a->pdpte[i] = vmread(0x280a + 2 * i);
	a->rax = guest_rax;
	a->bait = ask->bait_size ? *bait : 0;
	for (unsigned i = 0; i < ask->bait_size; i++)
		bait[i] = 0;
	for (unsigned i = 0; i < ask->case_words; i++)
		a->value[i] = *(volatile uint64_t *)word[i].key;
	for (unsigned i = 0; i < ask->words; i++)
		*(volatile uint64_t *)word[i].key = 0;
}

void guest_main(void)
{
	struct ask *ask = (struct ask *)ASK_BUFFER;
	struct answer *a = (struct answer *)ANSWER_BUFFER;
	struct hello *hello = (struct hello *)ANSWER_BUFFER;
	uint32_t eax = 0x80000008, ebx, ecx = 0, edx, last = 0;
	uint64_t cr4;

	for (uint64_t at = 0; at < LOW_END; at += 8)
		*(volatile uint64_t *)at = 0;
	outb(0x3f6, 2); /* no interrupts */
	__asm__ volatile("mov %%cr4, %0; bts $22, %0; mov %0, %%cr4" : "=r"(cr4) : : "cc"); /* PKE, for WRPKRU */
	__asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	hello->phys_bits = eax & 255;
	hello->ept_capabilities = rdmsr(0x48c);
	hello->secondary_controls = rdmsr(0x48b);
	hello->magic = start_vmx() ? HELLO_MAGIC : 0;
	write_sector(HELLO_AT, hello);
	for (;;) {
		read_sector(ASK_AT, ask);
		if (ask->seq == last)
			continue;
		last = ask->seq;
		for (uint32_t i = 1; i < ask->sectors; i++)
			read_sector(ASK_AT + i, (uint8_t *)ask + i * SECTOR);
		answer(ask, a);
		a->seq = last;
		for (uint32_t i = (ask->case_words * 8 + SECTOR - 1) / SECTOR; i; i--)
			write_sector(ANSWER_AT + i, (uint8_t *)a + i * SECTOR);
		write_sector(ANSWER_AT, a);
	}
}
