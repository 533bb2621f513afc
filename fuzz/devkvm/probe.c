/* SPDX-License-Identifier: MIT */
/*
 * One case through /dev/kvm. The guest's memory is the case's, from 0, and PROBE_OWN pages of the probe's, high up: they
 * hold the code of each access, the tables of the exception handlers, and a stack. The case's root table gets one
 * entry that leads to them, where neither the access nor a word of the case can meet it. README.md has the reasons.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#define BIT(n) ((uint64_t)1 << (n))
#define PAGE 4096u
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

#define CR0_ALLOWED (BIT(0) | BIT(1) | BIT(4) | BIT(5) | BIT(16) | BIT(31))
#define CR0_PG BIT(31)
#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define CR4_LA57 BIT(12)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define CR4_PKE BIT(22)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)
#define RFLAGS_AC BIT(18)
#define RFLAGS_IOPL_3 0x3000u

/* The probe's pages, by number, and what is where in the first. The first four are mapped. */
#define PROBE_OWN 0x5a5a0000u
enum { SYSTEM, KERNEL, USER, STACK, MAPPED, PT64 = MAPPED, PD64, PDPT64, PML4, PT32, PDPT_PAE, OWN_PAGES, LENT = OWN_PAGES, ALL_PAGES };
enum { IDT64 = 0, IDT32 = 0x200, GDT = 0x300, TSS64 = 0x400, TSS32 = 0x480, HANDLERS = 0x600 };
#define VECTORS 32

/* For sweep(): the case's memory, in PT64 from this entry on, and code in the page KERNEL, behind the stubs. */
#define SWEPT 128
#define SWEEP (OPS * STUB_KINDS * STUB_SIZE)

enum { SEL_KCODE64 = 0x08, SEL_KDATA = 0x10, SEL_KCODE32 = 0x18, SEL_UDATA = 0x23, SEL_UCODE64 = 0x2b,
       SEL_UCODE32 = 0x33, SEL_TSS = 0x38, SEL_LDT = 4 };

/* A byte that is written: no token has it, nor any other even one. */
#define WRITTEN 0xb5

enum op { OP_READ1, OP_READ2, OP_READ4, OP_READ8, OP_WRITE, OP_STACK_READ1, OP_STACK_READ2, OP_STACK_READ4,
	  OP_STACK_READ8, OP_STACK_WRITE, OP_OUTS, OP_INS, OP_JUMP, OP_LOAD_LDT, OP_LSL, OPS };

/* An instruction on the address in BX, BP, SI and DI. */
static const struct {
	unsigned char length, code[8];
} ops[OPS] = {
	[OP_READ1] = { 2, { 0x8a, 0x03 } }, [OP_READ2] = { 3, { 0x66, 0x8b, 0x03 } },
	[OP_READ4] = { 2, { 0x8b, 0x03 } }, [OP_READ8] = { 3, { 0x48, 0x8b, 0x03 } },
	[OP_WRITE] = { 3, { 0xc6, 0x03, WRITTEN } },
	[OP_STACK_READ1] = { 3, { 0x8a, 0x45, 0x00 } }, [OP_STACK_READ2] = { 4, { 0x66, 0x8b, 0x45, 0x00 } },
	[OP_STACK_READ4] = { 3, { 0x8b, 0x45, 0x00 } }, [OP_STACK_READ8] = { 4, { 0x48, 0x8b, 0x45, 0x00 } },
	[OP_STACK_WRITE] = { 4, { 0xc6, 0x45, 0x00, WRITTEN } },
	[OP_OUTS] = { 1, { 0x6e } }, [OP_INS] = { 1, { 0x6c } },
	[OP_JUMP] = { 2, { 0xff, 0xe3 } },
	[OP_LOAD_LDT] = { 2, { 0x8e, 0xd8 } },       /* mov ds, ax */
	[OP_LSL] = { 3, { 0x0f, 0x03, 0xc8 } },      /* lsl ecx, eax */
};

static const unsigned char force_emulation[] = { 0x0f, 0x0b, 'k', 'v', 'm' };
static const unsigned char write_pkru[] = { 0x0f, 0x01, 0xef };
static const unsigned char load_cr3[] = { 0x0f, 0x22, 0xd9 }; /* mov cr3, ecx */

/* Each stub is an instruction with what comes before it; the same in both rings, but for its end. */
enum { STUB_PKRU = 1, STUB_FORCED = 2, STUB_CR3 = 4, STUB_KINDS = 8, STUB_SIZE = 32 };
static unsigned char stub_op[OPS][STUB_KINDS]; /* offset in the stub of its instruction */

struct machine {
	unsigned key, age;
	int vm, vcpu;
	uint64_t size; /* of the case's memory */
	struct kvm_run *run;
	struct kvm_sregs fresh;
};

#define MACHINES 96

static struct {
	enum probe_kind kind;
	unsigned max_phys;
	int kvm;
	size_t run_size;
	uint8_t *memory, *own;
	struct machine machine[MACHINES];
	unsigned clock;
	uint64_t base;            /* where the mapped pages are, as the handlers' tables say */
	char error[256];
} probe = { .kvm = -1 };

static enum probe_result broken(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(probe.error, sizeof(probe.error), format, args);
	va_end(args);
	return PROBE_BROKEN;
}

const char *probe_error(void)
{
	return probe.error;
}

/* ---- Time: a vCPU that does not come back is called back ------------------------------------------------------- */

#define TICK_MS 250
#define TICKS 12

static struct kvm_run *volatile running;
static volatile sig_atomic_t ticks;

static void tick(int signal)
{
	struct kvm_run *run = running;

	(void)signal;
	ticks++;
	if (run)
		run->immediate_exit = 1; /* the signal may have come just before KVM_RUN */
}

static void set_timer(bool on)
{
	struct itimerval every = { { 0, on ? TICK_MS * 1000 : 0 }, { 0, on ? TICK_MS * 1000 : 0 } };
	struct sigaction action = { .sa_handler = tick };

	if (on)
		sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

/* ---- The probe's pages ------------------------------------------------------------------------------------------- */

static void put64(unsigned page, unsigned offset, uint64_t value)
{
	memcpy(probe.own + page * PAGE + offset, &value, 8);
}

static void put32(unsigned page, unsigned offset, uint32_t value)
{
	memcpy(probe.own + page * PAGE + offset, &value, 4);
}

static uint64_t own_address(unsigned page)
{
	return PROBE_OWN + (uint64_t)page * PAGE;
}

static unsigned append(uint8_t *to, unsigned at, const unsigned char *bytes, unsigned n)
{
	memcpy(to + at, bytes, n);
	return at + n;
}

static unsigned stub_at(unsigned op, unsigned kind)
{
	return (op * STUB_KINDS + kind) * STUB_SIZE;
}

/* Code that fills the page is INT3, so that whatever goes astray ends. */
static void write_stubs(unsigned page, unsigned char end)
{
	uint8_t *code = probe.own + page * PAGE;

	memset(code, 0xcc, PAGE);
	for (unsigned op = 0; op < OPS; op++) {
		for (unsigned kind = 0; kind < STUB_KINDS; kind++) {
			unsigned at = stub_at(op, kind);

			if (at + STUB_SIZE > PAGE)
				abort();
			if (kind & STUB_CR3)
				at = append(code, append(code, at, force_emulation, sizeof(force_emulation)), load_cr3,
					    sizeof(load_cr3));
			if (kind & STUB_PKRU) {
				at = append(code, at, (const unsigned char[]){ 0x31, 0xc9 }, 2); /* xor ecx, ecx */
				at = append(code, at, write_pkru, sizeof(write_pkru));
			}
			if (op == OP_LOAD_LDT || op == OP_LSL)
				at = append(code, at, (const unsigned char[]){ 0xb8, SEL_LDT, 0, 0, 0 }, 5);
			if (kind & STUB_FORCED)
				at = append(code, at, force_emulation, sizeof(force_emulation));
			stub_op[op][kind] = (unsigned char)(at - stub_at(op, kind));
			at = append(code, at, ops[op].code, ops[op].length);
			code[at] = end;
		}
	}
}

static void write_own_pages(void)
{
	static const uint64_t gdt[] = { 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff, 0x00cff3000000ffff,
					0x00affb000000ffff, 0x00cffb000000ffff };
	uint64_t flags[MAPPED] = { [SYSTEM] = 0x63, [KERNEL] = 0x63, [USER] = 0x67, [STACK] = 0x63 };

	memset(probe.own, 0, OWN_PAGES * PAGE);
	memset(probe.own + SYSTEM * PAGE + HANDLERS, 0xf4, PAGE - HANDLERS); /* HLT */
	for (unsigned i = 0; i < COUNT(gdt); i++)
		put64(SYSTEM, GDT + 8 * i, gdt[i]);
	write_stubs(KERNEL, 0xf4);
	write_stubs(USER, 0xcc);
	for (unsigned page = 0; page < MAPPED; page++) {
		put64(PT64, 8 * page, own_address(page) | flags[page]);
		put32(PT32, 4 * page, (uint32_t)(own_address(page) | flags[page]));
	}
	for (unsigned frame = 0; frame < PROBE_MEMORY / PAGE; frame++)
		put64(PT64, 8 * (SWEPT + frame), (uint64_t)frame * PAGE | 0x63);
	put64(PD64, 0, own_address(PT64) | 0x27);
	put64(PDPT64, 0, own_address(PD64) | 0x27);
	put64(PML4, 0, own_address(PDPT64) | 0x27);
	probe.base = ~(uint64_t)0;
}

/* What in the handlers' tables depends on the linear address of the mapped pages. */
static void set_base(uint64_t base)
{
	if (base == probe.base)
		return;
	for (unsigned v = 0; v < VECTORS; v++) {
		uint64_t handler = base + HANDLERS + 2 * v, type = v == 3 ? 0xee : 0x8e; /* INT3 is for all */
		uint64_t offset = (handler & 0xffff) | (handler >> 16 & 0xffff) << 48 | type << 40;

		put64(SYSTEM, IDT64 + 16 * v, offset | SEL_KCODE64 << 16);
		put64(SYSTEM, IDT64 + 16 * v + 8, handler >> 32);
		put64(SYSTEM, IDT32 + 8 * v, offset | SEL_KCODE32 << 16);
	}
	put64(SYSTEM, TSS64 + 4, base + MAPPED * PAGE);
	put32(SYSTEM, TSS32 + 4, (uint32_t)base + MAPPED * PAGE);
	put32(SYSTEM, TSS32 + 8, SEL_KDATA);
	probe.base = base;
}

/* ---- Virtual machines: one for each CPU, since a vCPU's CPUID cannot change once it has run ---------------------- */

static bool set_memory(struct machine *m, unsigned slot, uint64_t gpa, uint64_t size, void *from)
{
	struct kvm_userspace_memory_region region = { .slot = slot, .guest_phys_addr = gpa, .memory_size = size,
						      .userspace_addr = (uintptr_t)from };

	return !ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region);
}

static bool set_cpuid(struct machine *m, bool intel, unsigned maxphyaddr, bool page1gb)
{
	static const char *const vendor[] = { "AuthenticAMD", "GenuineIntel" };
	static union {
		struct kvm_cpuid2 head;
		char room[sizeof(struct kvm_cpuid2) + 256 * sizeof(struct kvm_cpuid_entry2)];
	} cpuid;

	memset(&cpuid, 0, sizeof(cpuid));
	cpuid.head.nent = 256;
	if (ioctl(probe.kvm, KVM_GET_SUPPORTED_CPUID, &cpuid))
		return false;
	for (unsigned i = 0; i < cpuid.head.nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid.head.entries[i];

		if (e->function == 0) {
			memcpy(&e->ebx, vendor[intel], 4);
			memcpy(&e->edx, vendor[intel] + 4, 4);
			memcpy(&e->ecx, vendor[intel] + 8, 4);
		}
		if (e->function == 7 && e->index == 0)
			e->ebx |= (uint32_t)(BIT(7) | BIT(20)); /* SMEP, SMAP: KVM's walker has them on any CPU */
		if (e->function == 0x80000001)
			e->edx = (uint32_t)((e->edx & ~BIT(26)) | BIT(20) | (page1gb ? BIT(26) : 0));
		if (e->function == 0x80000008)
			e->eax = (e->eax & ~0xffu) | maxphyaddr;
	}
	return !ioctl(m->vcpu, KVM_SET_CPUID2, &cpuid);
}

static void close_machine(struct machine *m)
{
	if (m->run)
		munmap(m->run, probe.run_size);
	if (m->vcpu >= 0)
		close(m->vcpu);
	if (m->vm >= 0)
		close(m->vm);
	m->run = NULL;
	m->vcpu = m->vm = -1;
	m->key = 0;
}

static bool open_machine(struct machine *m, bool intel, unsigned maxphyaddr, bool page1gb, uint64_t size)
{
	struct kvm_enable_cap failures = { .cap = KVM_CAP_EXIT_ON_EMULATION_FAILURE, .args = { 1 } };
	void *run;

	m->vcpu = -1;
	m->run = NULL;
	m->vm = ioctl(probe.kvm, KVM_CREATE_VM, 0);
	if (m->vm < 0)
		return false;
	m->vcpu = ioctl(m->vm, KVM_CREATE_VCPU, 0);
	if (m->vcpu < 0)
		return false;
	run = mmap(NULL, probe.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu, 0);
	if (run == MAP_FAILED)
		return false;
	m->run = run;
	m->size = size;
	return !ioctl(m->vm, KVM_ENABLE_CAP, &failures) && set_memory(m, 0, 0, size, probe.memory) &&
	       set_memory(m, 1, PROBE_OWN, OWN_PAGES * PAGE, probe.own) && set_cpuid(m, intel, maxphyaddr, page1gb) &&
	       !ioctl(m->vcpu, KVM_GET_SREGS, &m->fresh);
}

/* The machine with the case's CPU and as much memory as the case has. NULL: there is none. */
static struct machine *machine_for(const struct case_question *q)
{
	bool intel = q->profile == CASE_INTEL || q->profile == CASE_KVM_INTEL, page1gb = q->features & CASE_PAGE1GB;
	unsigned key = q->maxphyaddr << 2 | (unsigned)intel << 1 | page1gb;
	struct machine *m = &probe.machine[0];

	for (unsigned i = 0; i < MACHINES; i++) {
		if (probe.machine[i].key == key) {
			m = &probe.machine[i];
			break;
		}
		if (probe.machine[i].age < m->age)
			m = &probe.machine[i];
	}
	m->age = ++probe.clock;
	if (m->key != key) {
		close_machine(m);
		if (!open_machine(m, intel, q->maxphyaddr, page1gb, q->memory.size)) {
			broken("a virtual machine cannot be made: %s", strerror(errno));
			close_machine(m);
			return NULL;
		}
		m->key = key;
	}
	if (m->size != q->memory.size) {
		if (!set_memory(m, 0, 0, 0, probe.memory) || !set_memory(m, 0, 0, q->memory.size, probe.memory)) {
			broken("the memory cannot be resized: %s", strerror(errno));
			close_machine(m);
			return NULL;
		}
		m->size = q->memory.size;
	}
	return m;
}

/* ---- The plan: what can be asked, and how ------------------------------------------------------------------------ */

struct plan {
	int levels;
	bool forced;              /* KVM's walker by the prefix */
	bool canonical;
	unsigned entry_size, slot;
	uint64_t root;            /* the address of the root table */
	uint64_t base;            /* linear, of the probe's pages */
	enum op op;
	unsigned kind;            /* STUB_... */
	unsigned key;             /* of the page USER */
	unsigned size;            /* of the access, in bytes */
};

static int shift_of(const struct plan *p, int level)
{
	return p->levels == 2 ? 12 + 10 * (level - 1) : 12 + 9 * (level - 1);
}

static unsigned index_of(const struct plan *p, int level, uint64_t va)
{
	unsigned last = p->levels == 2 ? 1023 : p->levels == 3 && level == 3 ? 3 : 511;

	return (unsigned)(va >> shift_of(p, level)) & last;
}

static bool plan_registers(const struct case_question *q, struct plan *p)
{
	uint64_t cr4 = CR4_PSE | CR4_PAE | CR4_SMEP | CR4_SMAP;
	bool pg = q->cr0 & CR0_PG, lma = q->efer & EFER_LMA;

	if (probe.kind == PROBE_NESTED)
		cr4 |= CR4_LA57 | CR4_PKE;
	if ((q->cr0 & ~CR0_ALLOWED) || !(q->cr0 & 1) || (q->cr4 & ~cr4) || (q->efer & ~(EFER_LME | EFER_LMA | EFER_NXE)))
		return false;
	if (lma != (pg && (q->efer & EFER_LME)) || (lma && !(q->cr4 & CR4_PAE)) || (!pg && (q->efer & EFER_LME)))
		return false;
	if (((q->cr4 & CR4_PSE) && !(q->features & CASE_PSE)) || ((q->cr4 & CR4_PAE) && !(q->features & CASE_PAE)) ||
	    ((q->cr4 & CR4_SMEP) && !(q->features & CASE_SMEP)) || ((q->cr4 & CR4_SMAP) && !(q->features & CASE_SMAP)) ||
	    ((q->cr4 & CR4_PKE) && !(q->features & CASE_PKU)) || ((q->cr4 & CR4_LA57) && !(q->features & CASE_LA57)) ||
	    ((q->efer & EFER_NXE) && !(q->features & CASE_NX)))
		return false;
	p->levels = !pg ? 0 : lma ? q->cr4 & CR4_LA57 ? 5 : 4 : q->cr4 & CR4_PAE ? 3 : 2;
	p->entry_size = p->levels == 2 ? 4 : 8;
	if (probe.kind == PROBE_SHADOW && p->levels != 4)
		return false;
	if (!lma && (q->va >> 32 || (q->cr4 & CR4_LA57)))
		return false;
	p->root = q->cr3 & (p->levels == 2 ? 0xfffff000 : p->levels == 3 ? 0xffffffe0 : 0xfffffffffffff000);
	return p->levels < 3 ? !(q->cr3 >> 32) : p->levels == 3 ? !(q->cr3 >> 32) : !(q->cr3 >> q->maxphyaddr);
}

/* Whether one of the words, or the address itself, leads into the probe's pages. */
static bool leads_to_own(const struct case_question *q, const struct plan *p)
{
	const uint64_t first = PROBE_OWN, end = PROBE_OWN + OWN_PAGES * PAGE;

	for (unsigned w = 0; w < q->memory.count; w++) {
		for (unsigned half = 0; half < (p->levels == 2 ? 2 : 1); half++) {
			uint64_t entry = q->memory.value[w] >> 32 * half & (p->levels == 2 ? 0xffffffff : 0xfffffffffffff);

			for (unsigned shift = 12; shift <= 30; shift++) {
				uint64_t low = BIT(shift) - 1, to = (entry & ~low) | (q->va & low);

				if ((shift == 12 || shift == 21 || shift == 22 || shift == 30) && to >= first && to < end)
					return true;
			}
		}
	}
	return !p->levels && q->va >= first - PAGE && q->va < end;
}

/* The root's entry for the probe's pages: the walk must not meet it, nor the access, nor a word of the case. */
static bool plan_slot(const struct case_question *q, struct plan *p)
{
	uint64_t table = p->root & ~(uint64_t)(PAGE - 1);
	bool taken[PAGE / 8] = { false };
	unsigned in_page = (unsigned)(p->root & (PAGE - 1)), at = (unsigned)(q->va & (PAGE - 1)), entries;

	if (!p->levels) {
		p->base = PROBE_OWN;
		return true;
	}
	if (p->root >= q->memory.size)
		return false;
	for (unsigned w = 0; w < q->memory.count; w++)
		if ((q->memory.address[w] & ~(uint64_t)(PAGE - 1)) == table)
			taken[(q->memory.address[w] & (PAGE - 1)) / 8] = true;
	for (int level = 1; level <= p->levels; level++)
		taken[((level == p->levels ? in_page : 0) + index_of(p, level, q->va) * p->entry_size) / 8] = true;
	for (unsigned byte = at; byte < at + 16 && byte < PAGE; byte++)
		taken[byte / 8] = true;
	/* The lower half of the address space: that is where ring 3 can be. */
	entries = p->levels == 2 ? 1024 : p->levels == 3 ? 4 : 256;
	for (unsigned i = 0; i < entries; i++) {
		p->slot = (i + entries / 3) % entries;
		if (!taken[(in_page + p->slot * p->entry_size) / 8]) {
			p->base = (uint64_t)p->slot << shift_of(p, p->levels);
			return true;
		}
	}
	return false;
}

static bool plan_access(const struct case_question *q, struct plan *p)
{
	unsigned room = PAGE - (unsigned)(q->va & (PAGE - 1));
	bool lma = q->efer & EFER_LMA;

	p->canonical = !lma || (uint64_t)((int64_t)(q->va << (p->levels == 5 ? 7 : 16)) >> (p->levels == 5 ? 7 : 16)) == q->va;
	p->forced = probe.kind == PROBE_NESTED && q->profile >= CASE_KVM_INTEL;
	p->kind = (q->cr4 & CR4_PKE ? STUB_PKRU : 0) | (p->forced ? STUB_FORCED : 0) |
		  (p->forced && p->levels == 3 && !q->user ? STUB_CR3 : 0);
	p->size = room >= 8 && lma ? 8 : room >= 4 ? 4 : room >= 2 ? 2 : 1;
	if (q->profile >= CASE_KVM_INTEL && !p->canonical)
		return false; /* the walker does not look at it; all that lead to it do */
	if (q->compatibility && (q->access != CASE_FETCH || (q->va >> 32)))
		return false; /* the code of a data access would have to be under 4 GiB, in the same slot */
	if (q->implicit) {
		p->op = probe.kind == PROBE_NESTED && !p->forced ? OP_LSL : OP_LOAD_LDT;
		return !q->user && !q->stack && q->access == CASE_READ && p->canonical && room >= 8;
	}
	switch (q->access) {
	case CASE_READ:
		p->op = OP_READ1 + (p->size == 8 ? 3 : p->size == 4 ? 2 : p->size == 2 ? 1 : 0) +
			(q->stack ? OP_STACK_READ1 - OP_READ1 : 0);
		if (probe.kind == PROBE_SHADOW && q->user && p->canonical) {
			p->op = OP_OUTS;
			p->size = 1;
		}
		return true;
	case CASE_WRITE:
		p->size = 1;
		p->op = q->stack ? OP_STACK_WRITE : OP_WRITE;
		if (probe.kind == PROBE_SHADOW && q->user && p->canonical)
			p->op = OP_INS;
		return true;
	case CASE_FETCH:
		p->size = 2;
		p->op = OP_JUMP;
		if (!p->canonical)
			return !q->compatibility;
		/* Ring 3 runs on the real CPU, whose upper half is not the guest's. */
		return room >= 2 && !p->forced && !(probe.kind == PROBE_SHADOW && q->user && q->va >> 47);
	}
	return false;
}

/* KVM reads the prefix as data, and only then knows it: PKRU must not deny that. False: it denies every key. */
static bool plan_key(const struct case_question *q, struct plan *p)
{
	p->key = 0;
	if (!p->forced || !q->user || !(q->cr4 & CR4_PKE) || p->levels < 4)
		return true;
	while (p->key < 16 && (q->pkru >> 2 * p->key & 1))
		p->key++;
	return p->key < 16;
}

/* PDPTEs that come with the registers, not by MOV CR3: nobody is told if KVM finds one bad. */
static bool has_bad_pdpte(const struct case_question *q, const struct plan *p)
{
	const uint64_t reserved = ~(BIT(q->maxphyaddr) - 1) | 0x1e6;

	for (unsigned w = 0; w < q->memory.count; w++)
		if (q->memory.address[w] - p->root < 32 && (q->memory.value[w] & 1) && (q->memory.value[w] & reserved))
			return true;
	return false;
}

static bool make_plan(const struct case_question *q, struct plan *p)
{
	const unsigned cpu = CASE_PSE36 | CASE_PAT | CASE_PAGE1GB;

	if (probe.kind == PROBE_NESTED && q->profile < CASE_KVM_INTEL) {
		/* The CPU that QEMU emulates is an AMD with all features. */
		if (q->profile != CASE_AMD || q->maxphyaddr != probe.max_phys || (q->features & cpu) != cpu ||
		    (q->knobs & ~(unsigned)CASE_AD_AS_WALKED))
			return false;
	} else if (q->knobs) {
		return false;
	}
	if (probe.kind == PROBE_SHADOW && (q->features & CASE_PAGE1GB)) /* it has none */
		return false;
	if (probe.kind == PROBE_NESTED && !(q->features & CASE_PAGE1GB)) /* KVM over nested paging goes by the CPU's, not CPUID */
		return false;
	if (q->stage2 || q->has_pdpte || q->memory.size & (PAGE - 1) || !q->memory.size ||
	    q->memory.size > PROBE_MEMORY || q->maxphyaddr < 32 || q->maxphyaddr > 52 || (q->user && q->implicit))
		return false;
	if (!plan_registers(q, p) || leads_to_own(q, p) || !plan_access(q, p) || !plan_key(q, p) || !plan_slot(q, p))
		return false;
	return !(p->levels == 3 && !(p->kind & STUB_CR3) && has_bad_pdpte(q, p));
}

/* ---- Memory ------------------------------------------------------------------------------------------------------- */

static uint64_t load_word(uint64_t address)
{
	uint64_t value;

	memcpy(&value, probe.memory + address, 8);
	return value;
}

/*
 * At the accessed offset of each page that has no word there: bytes by which the page is known once it is read or run.
 * None of them makes a present entry: bit 0 of each byte that may hold an entry's is 0. A page with a word there keeps it.
 */
static void token(const struct case_question *q, const struct plan *p, unsigned frame, uint8_t *bytes)
{
	bool fetch = q->access == CASE_FETCH;

	for (unsigned i = 0; i < p->size; i++)
		bytes[i] = (uint8_t)(0x80 | (i & 1 ? frame >> 6 : frame & 63) << 1);
	if (fetch) { /* out FRAME, al */
		bytes[0] = 0xe6;
		bytes[1] = (uint8_t)((q->va + 1) & 3 ? frame : frame << 1);
	}
}

static bool is_word(const struct case_question *q, uint64_t from, unsigned n)
{
	for (unsigned w = 0; w < q->memory.count; w++)
		if (q->memory.address[w] < from + n && q->memory.address[w] + 8 > from)
			return true;
	return false;
}

static void place_tokens(const struct case_question *q, const struct plan *p, bool there)
{
	unsigned offset = (unsigned)(q->va & (PAGE - 1));
	bool with_word[PROBE_MEMORY / PAGE] = { false };
	uint8_t bytes[8] = { 0 };

	for (unsigned w = 0; w < q->memory.count; w++) {
		unsigned at = (unsigned)(q->memory.address[w] & (PAGE - 1));

		if (at < offset + p->size && at + 8 > offset)
			with_word[q->memory.address[w] / PAGE] = true;
	}
	for (unsigned frame = 0; frame < q->memory.size / PAGE; frame++) {
		if (with_word[frame])
			continue;
		if (there)
			token(q, p, frame, bytes);
		memcpy(probe.memory + (uint64_t)frame * PAGE + offset, bytes, p->size);
	}
}

static void place_words(const struct case_question *q, bool there)
{
	for (unsigned w = 0; w < q->memory.count; w++)
		memcpy(probe.memory + q->memory.address[w], there ? &q->memory.value[w] : &(uint64_t){ 0 }, 8);
}

static void place_slot(const struct plan *p, bool there)
{
	static const unsigned table[] = { 0, 0, PT32, PD64, PDPT64, PML4 };
	put64(PT64, 8 * USER, own_address(USER) | 0x67 | (uint64_t)p->key << 59);
	uint64_t entry = there ? own_address(table[p->levels]) | (p->levels == 3 ? 1 : 0x27) : 0;

	if (p->levels)
		memcpy(probe.memory + p->root + p->slot * p->entry_size, &entry, p->entry_size);
	if (p->levels == 3)
		put64(PDPT_PAE, p->slot * 8, entry);
}

/* ---- Running ------------------------------------------------------------------------------------------------------- */

static struct kvm_segment segment(unsigned selector, unsigned type, bool code64)
{
	return (struct kvm_segment){ .limit = ~0u, .selector = (uint16_t)selector, .type = (uint8_t)type, .present = 1,
				     .dpl = selector & 3, .db = !code64, .s = 1, .l = code64, .g = 1 };
}

static void set_sregs(const struct machine *m, const struct case_question *q, const struct plan *p, bool user,
		      struct kvm_sregs *s)
{
	bool lma = q->efer & EFER_LMA, code64 = lma && !q->compatibility;

	*s = m->fresh;
	s->cr0 = q->cr0 | BIT(4);
	s->cr3 = q->cr3;
	s->cr4 = q->cr4;
	s->efer = q->efer;
	s->cr2 = 0;
	s->cs = segment(user ? code64 ? SEL_UCODE64 : SEL_UCODE32 : code64 ? SEL_KCODE64 : SEL_KCODE32, 11, code64);
	s->ds = s->es = s->fs = s->gs = s->ss = segment(user ? SEL_UDATA : SEL_KDATA, 3, false);
	/* 9 for QEMU, which ends itself when ring 3 of 32-bit code faults and the TSS is a busy one. */
	s->tr = (struct kvm_segment){ .base = p->base + (lma ? TSS64 : TSS32), .limit = 0x67, .selector = SEL_TSS,
				      .type = lma ? 11 : 9, .present = 1 };
	s->ldt = (struct kvm_segment){ .unusable = 1 };
	if (p->kind & STUB_CR3)
		s->cr3 = own_address(PDPT_PAE);
	if (q->implicit)
		s->ldt = (struct kvm_segment){ .base = q->va, .limit = 7, .selector = SEL_TSS + 16, .type = 2, .present = 1 };
	s->gdt = (struct kvm_dtable){ .base = p->base + GDT, .limit = 0x7f };
	s->idt = (struct kvm_dtable){ .base = p->base + (lma ? IDT64 : IDT32), .limit = (lma ? 16 : 8) * VECTORS - 1 };
	memset(s->interrupt_bitmap, 0, sizeof(s->interrupt_bitmap));
}

/* The registers for the next run(), and which of them to show after it. */
static void enter(struct machine *m, const struct case_question *q, const struct plan *p, bool user, uint64_t rip,
		  uint64_t address)
{
	struct kvm_sync_regs *sync = &m->run->s.regs;

	memset(&sync->regs, 0, sizeof(sync->regs));
	sync->regs.rip = rip;
	sync->regs.rsp = p->base + MAPPED * PAGE;
	sync->regs.rbx = sync->regs.rbp = sync->regs.rsi = sync->regs.rdi = address;
	sync->regs.rcx = q->cr3; /* STUB_CR3 */
	sync->regs.rflags = 2 | (q->rflags & RFLAGS_AC) | RFLAGS_IOPL_3;
	set_sregs(m, q, p, user, &sync->sregs);
	m->run->kvm_dirty_regs = m->run->kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
}

/* Until the vCPU comes back with a reason. False: it does not. */
static bool run(struct machine *m, bool finish)
{
	m->run->immediate_exit = finish;
	running = m->run;
	ticks = 0;
	while (ioctl(m->vcpu, KVM_RUN, 0)) {
		if (errno == EINTR && finish)
			break;
		if ((errno != EINTR && errno != EAGAIN) || ticks > TICKS) {
			broken("KVM_RUN: %s", ticks > TICKS ? "nothing comes of it" : strerror(errno));
			running = NULL;
			return false;
		}
		m->run->immediate_exit = 0;
	}
	running = NULL;
	m->run->immediate_exit = 0;
	return true;
}

/* Lets an access end that waits for this side. */
static bool finish(struct machine *m)
{
	m->run->kvm_dirty_regs = m->run->kvm_valid_regs = 0;
	return run(m, true);
}

enum event { EVENT_DONE, EVENT_EXCEPTION, EVENT_MMIO, EVENT_PORT, EVENT_NO_CODE, EVENT_STRANGE };

struct seen {
	enum event event;
	unsigned vector;
	uint64_t error_code, cr2, rip;
	uint64_t pa, data;
};

/* What the handler of an exception found on its stack: at the top of the page, in the order of the mode. */
static void read_frame(const struct case_question *q, struct seen *s)
{
	bool lma = q->efer & EFER_LMA, code = s->vector == 8 || (s->vector >= 10 && s->vector <= 14) || s->vector == 17;
	unsigned words = (lma || q->user ? 5u : 3u) + code;
	const uint8_t *top = probe.own + (STACK + 1) * PAGE;
	uint32_t narrow[2];
	uint64_t wide[2];

	memcpy(wide, top - 8 * words, sizeof(wide));
	memcpy(narrow, top - 4 * words, sizeof(narrow));
	s->error_code = !code ? 0 : lma ? wide[0] : narrow[0];
	s->rip = lma ? wide[code] : narrow[code];
}

static bool see(struct machine *m, const struct case_question *q, const struct plan *p, struct seen *s)
{
	const struct kvm_regs *r = &m->run->s.regs.regs;
	uint64_t handlers = p->base + HANDLERS;
	unsigned vector = (unsigned)(r->rip - handlers - 1) / 2;

	memset(s, 0, sizeof(*s));
	s->event = EVENT_STRANGE;
	switch (m->run->exit_reason) {
	case KVM_EXIT_HLT:
		if (r->rip > handlers && r->rip <= handlers + 2 * VECTORS) {
			s->event = EVENT_EXCEPTION;
			s->vector = vector;
			s->cr2 = m->run->s.regs.sregs.cr2;
			read_frame(q, s);
			if (vector == 3 && s->rip - 1 == p->base + USER * PAGE + stub_at(p->op, p->kind) +
						       stub_op[p->op][p->kind] + ops[p->op].length)
				s->event = EVENT_DONE;
		} else if (r->rip - 1 == p->base + KERNEL * PAGE + stub_at(p->op, p->kind) + stub_op[p->op][p->kind] +
					ops[p->op].length) {
			s->event = EVENT_DONE;
		}
		s->data = r->rax;
		return true;
	case KVM_EXIT_MMIO:
		s->event = m->run->mmio.is_write == (q->access == CASE_WRITE) && q->access != CASE_FETCH ? EVENT_MMIO : EVENT_STRANGE;
		s->pa = m->run->mmio.phys_addr;
		return finish(m);
	case KVM_EXIT_IO:
		s->event = EVENT_PORT;
		s->data = m->run->io.port;
		if (p->op == OP_OUTS)
			s->data = *((uint8_t *)m->run + m->run->io.data_offset);
		if (p->op != OP_INS)
			return finish(m);
		memset((uint8_t *)m->run + m->run->io.data_offset, WRITTEN, m->run->io.size);
		return true;
	case KVM_EXIT_INTERNAL_ERROR:
		if (m->run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
			s->event = EVENT_NO_CODE;
		return true;
	}
	return true;
}

/*
 * Ring 3 runs by KVM's shadows of the tables, and it does not see that this side changes them. A byte that the guest
 * itself stores into a table makes KVM drop that table's shadows, which takes a fifth of the time that a new slot of
 * memory takes. By now memory is zero again, but for the root's entry for the probe, and stays so.
 */
static bool sweep(struct machine *m, const struct case_question *q, const struct plan *p)
{
	bool table[PROBE_MEMORY / PAGE] = { false };
	unsigned at = SWEEP;

	table[p->root / PAGE] = true;
	for (unsigned w = 0; w < q->memory.count; w++)
		table[q->memory.address[w] / PAGE] = true;
	for (unsigned frame = 0; frame < q->memory.size / PAGE; frame++) {
		uint32_t store = (SWEPT + frame) * PAGE + PAGE / 2 + 1; /* the slot is in the root's lower half */

		if (!table[frame])
			continue;
		if (at + 7 > PAGE) {
			return set_memory(m, 0, 0, 0, probe.memory) && set_memory(m, 0, 0, m->size, probe.memory);
		}
		memcpy(probe.own + KERNEL * PAGE + at, (const unsigned char[]){ 0x88, 0x87 }, 2); /* mov [rdi + store], al */
		memcpy(probe.own + KERNEL * PAGE + at + 2, &store, 4);
		at += 6;
	}
	probe.own[KERNEL * PAGE + at] = 0xf4;
	enter(m, q, p, false, p->base + KERNEL * PAGE + SWEEP, p->base);
	m->run->s.regs.sregs.cs = segment(SEL_KCODE64, 11, true);
	return run(m, false) && m->run->exit_reason == KVM_EXIT_HLT &&
	       m->run->s.regs.regs.rip == p->base + KERNEL * PAGE + at + 1;
}

static bool start(struct machine *m, const struct case_question *q, const struct plan *p)
{
	bool direct = q->access == CASE_FETCH && p->canonical;
	uint64_t code = p->base + (q->user ? USER : KERNEL) * PAGE + stub_at(p->op, p->kind);

	/* Whatever is run at the address itself shall reach nothing. */
	enter(m, q, p, q->user, direct ? q->va : code, direct && q->efer & EFER_LMA ? BIT(62) : q->va);
	m->run->s.regs.regs.rax = (uint32_t)q->pkru;
	return run(m, false);
}

/* The address by KVM_TRANSLATE, a supervisor read: with all that could refuse one out of the way. */
static bool translate(struct machine *m, const struct case_question *q, uint64_t *pa)
{
	struct kvm_translation t = { .linear_address = q->va };
	struct kvm_sregs s;

	if (ioctl(m->vcpu, KVM_GET_SREGS, &s))
		return false;
	s.cr4 &= ~(CR4_SMAP | CR4_PKE);
	if (ioctl(m->vcpu, KVM_SET_SREGS, &s) || ioctl(m->vcpu, KVM_TRANSLATE, &t) || !t.valid)
		return false;
	*pa = t.physical_address;
	return true;
}

/* ---- The answer ---------------------------------------------------------------------------------------------------- */

/* The page whose bytes at the accessed offset are these, if it is one only. */
static enum probe_result find_page(const struct case_question *q, const struct plan *p, uint64_t data, struct case_answer *a)
{
	unsigned offset = (unsigned)(q->va & (PAGE - 1)), found = 0;

	for (uint64_t at = offset; at < q->memory.size; at += PAGE) {
		if (memcmp(probe.memory + at, &data, p->size))
			continue;
		a->pa = at;
		found++;
	}
	return found == 1 ? PROBE_ANSWERED : found ? PROBE_OUTSIDE : broken("no page has the data %#" PRIx64, data);
}

/* The page that the byte was written to. A word that it fell into is put right, if its flags are not what was hit. */
static enum probe_result find_written(const struct case_question *q, const struct plan *p, struct case_answer *a)
{
	uint64_t data = WRITTEN;

	if (find_page(q, p, data, a) != PROBE_ANSWERED)
		return PROBE_OUTSIDE;
	if (!is_word(q, a->pa, 1))
		return PROBE_ANSWERED;
	if (!(a->pa & (p->entry_size - 1)))
		return PROBE_OUTSIDE;
	for (unsigned w = 0; w < q->memory.count; w++)
		if (q->memory.address[w] == (a->pa & ~(uint64_t)7))
			probe.memory[a->pa] = (uint8_t)(q->memory.value[w] >> 8 * (a->pa & 7));
	return PROBE_ANSWERED;
}

static void take_words(const struct case_question *q, struct case_answer *a)
{
	for (unsigned w = 0; w < q->memory.count; w++)
		a->value[w] = load_word(q->memory.address[w]);
}

static enum probe_result translated(struct machine *m, const struct case_question *q, const struct plan *p,
				    const struct seen *s, struct case_answer *a)
{
	enum probe_result result = PROBE_ANSWERED;

	a->outcome = CASE_TRANSLATED;
	if (s->event == EVENT_MMIO) {
		a->pa = s->pa;
	} else if (q->access == CASE_FETCH && s->event == EVENT_PORT) {
		a->pa = (s->data >> ((q->va + 1) & 3 ? 0 : 1)) * PAGE + (q->va & (PAGE - 1));
	} else if (q->access == CASE_FETCH || q->implicit) {
		take_words(q, a);
		if (translate(m, q, &a->pa))
			return PROBE_ANSWERED;
		if (p->op == OP_LSL) /* the CPU allowed it, and reserves fewer bits */
			return PROBE_OUTSIDE;
		return broken("KVM_TRANSLATE refuses what the access was allowed");
	} else if (q->access == CASE_READ) {
		result = find_page(q, p, s->data, a);
	} else {
		result = find_written(q, p, a);
	}
	take_words(q, a);
	return result;
}

static enum probe_result answer(struct machine *m, const struct case_question *q, const struct plan *p,
				const struct seen *s, struct case_answer *a)
{
	uint64_t op = p->base + (q->user ? USER : KERNEL) * PAGE + stub_at(p->op, p->kind) + stub_op[p->op][p->kind];
	bool direct = q->access == CASE_FETCH && p->canonical;

	switch (s->event) {
	case EVENT_DONE:
		return q->access == CASE_FETCH ? PROBE_OUTSIDE : translated(m, q, p, s, a);
	case EVENT_MMIO:
		return translated(m, q, p, s, a);
	case EVENT_PORT:
		if (p->op == OP_OUTS || (direct && !is_word(q, (s->data >> ((q->va + 1) & 3 ? 0 : 1)) * PAGE +
							 (q->va & (PAGE - 1)), 2)))
			return translated(m, q, p, s, a);
		return PROBE_OUTSIDE;
	case EVENT_NO_CODE:
		if (p->op == OP_LSL) /* KVM looked at it, for want of memory somewhere, and does not know the instruction */
			return PROBE_OUTSIDE;
		if (direct || q->implicit)
			return translated(m, q, p, s, a);
		break;
	case EVENT_EXCEPTION:
		if (s->vector == 14 && s->cr2 == q->va && s->rip == (direct ? q->va : op)) {
			a->outcome = CASE_PAGE_FAULT;
			a->error_code = s->error_code;
			a->cr2 = s->cr2;
			take_words(q, a);
			return PROBE_ANSWERED;
		}
		if ((s->vector == 13 || s->vector == 12) && !p->canonical && !s->error_code) {
			a->outcome = CASE_NON_CANONICAL;
			a->vector = s->vector;
			take_words(q, a);
			return PROBE_ANSWERED;
		}
		if (p->kind & STUB_CR3 && s->vector == 13 && !s->error_code &&
		    s->rip == p->base + KERNEL * PAGE + stub_at(p->op, p->kind) + sizeof(force_emulation)) {
			a->outcome = CASE_PDPTE_FAULT;
			take_words(q, a);
			return PROBE_ANSWERED;
		}
		/* The descriptor is none, and that is found after it has been read. */
		if (q->implicit && s->vector == 13 && s->rip == op && s->error_code == SEL_LDT)
			return translated(m, q, p, s, a);
		if (direct && s->vector != 14) /* a word was run */
			return PROBE_OUTSIDE;
		break;
	case EVENT_STRANGE:
		break;
	}
	if (direct) {
		for (uint64_t at = q->va & (PAGE - 1); at < q->memory.size; at += PAGE)
			if (is_word(q, at, 15))
				return PROBE_OUTSIDE;
	}
	return broken("exit %u at %#" PRIx64 ", event %d, vector %u, error code %#" PRIx64 ", CR2 %#" PRIx64 ", from %#" PRIx64,
		      m->run->exit_reason, (uint64_t)m->run->s.regs.regs.rip, (int)s->event, s->vector, s->error_code, s->cr2,
		      s->rip);
}

/*
 * KVM goes round in circles if a descriptor lies where there is no memory, so there has to be some, for the time of the
 * access. False: it cannot be had.
 */
static bool lend_memory(struct machine *m, const struct case_question *q, const struct plan *p, bool *lent)
{
	struct kvm_regs r = { .rflags = 2 };
	struct kvm_sregs s;
	uint64_t pa;

	*lent = false;
	set_sregs(m, q, p, false, &s);
	s.cr3 = q->cr3;
	if (ioctl(m->vcpu, KVM_SET_SREGS, &s) || ioctl(m->vcpu, KVM_SET_REGS, &r))
		return false;
	if (!translate(m, q, &pa) || pa < m->size)
		return true;
	*lent = set_memory(m, 2, pa & ~(uint64_t)(PAGE - 1), PAGE, probe.own + LENT * PAGE);
	return *lent;
}

static enum probe_result ask_implicit(struct machine *m, const struct case_question *q, const struct plan *p,
				      struct case_answer *a)
{
	enum probe_result result = PROBE_OUTSIDE;
	struct seen s;
	bool lent;

	if (lend_memory(m, q, p, &lent)) {
		place_words(q, true); /* without what KVM_TRANSLATE has set */
		result = start(m, q, p) && see(m, q, p, &s) ? answer(m, q, p, &s, a) : PROBE_BROKEN;
	}
	if (lent)
		set_memory(m, 2, 0, 0, probe.own);
	return result;
}

static enum probe_result ask_run(struct machine *m, const struct case_question *q, const struct plan *p, struct case_answer *a)
{
	struct seen s;

	if (!start(m, q, p) || !see(m, q, p, &s))
		return PROBE_BROKEN;
	if (p->op == OP_INS && s.event == EVENT_PORT) { /* the write comes when the port has answered */
		m->run->kvm_dirty_regs = 0;
		if (!run(m, false) || !see(m, q, p, &s))
			return PROBE_BROKEN;
	}
	return answer(m, q, p, &s, a);
}

static enum probe_result ask(const struct case_question *q, struct plan p, struct case_answer *a)
{
	struct machine *m = machine_for(q);
	enum probe_result result;

	memset(a, 0, offsetof(struct case_answer, value));
	if (!m)
		return PROBE_BROKEN;
	set_base(p.base);
	place_words(q, true);
	if (!q->implicit)
		place_tokens(q, &p, true);
	place_slot(&p, true);
	result = q->implicit ? ask_implicit(m, q, &p, a) : ask_run(m, q, &p, a);
	if (!q->implicit)
		place_tokens(q, &p, false);
	place_words(q, false);
	if (probe.kind == PROBE_SHADOW && q->user && q->access == CASE_FETCH && result != PROBE_BROKEN && !sweep(m, q, &p))
		result = broken("the shadows cannot be dropped");
	place_slot(&p, false);
	if (result == PROBE_BROKEN)
		close_machine(m);
	return result;
}

/*
 * In one case of some thousands QEMU loses its way where an exception meets a page that the nested tables do not have
 * yet. A case whose end nothing explains is asked once more, of a new machine.
 */
enum probe_result probe_ask(const struct case_question *q, struct case_answer *a)
{
	enum probe_result result;
	struct plan p;

	if (!make_plan(q, &p))
		return PROBE_OUTSIDE;
	result = ask(q, p, a);
	if (result == PROBE_BROKEN && probe.kind == PROBE_NESTED)
		result = ask(q, p, a);
	return result;
}

/* ---- Opening ------------------------------------------------------------------------------------------------------- */

static bool fail(char *reason, size_t n, const char *why)
{
	snprintf(reason, n, "%s%s%s", why, errno ? ": " : "", errno ? strerror(errno) : "");
	probe_close();
	return false;
}

bool probe_open(enum probe_kind kind, unsigned max_phys, char *reason, size_t n)
{
	int sync = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS, size;
	void *memory;

	probe.kind = kind;
	probe.max_phys = max_phys;
	errno = 0;
	for (unsigned i = 0; i < MACHINES; i++)
		probe.machine[i] = (struct machine){ .vm = -1, .vcpu = -1 };
	probe.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (probe.kvm < 0)
		return fail(reason, n, "/dev/kvm cannot be opened");
	if (ioctl(probe.kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		return fail(reason, n, "/dev/kvm speaks another language");
	if ((ioctl(probe.kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS) & sync) != sync ||
	    ioctl(probe.kvm, KVM_CHECK_EXTENSION, KVM_CAP_IMMEDIATE_EXIT) <= 0 ||
	    ioctl(probe.kvm, KVM_CHECK_EXTENSION, KVM_CAP_EXIT_ON_EMULATION_FAILURE) <= 0)
		return fail(reason, n, "this KVM lacks synchronised registers, immediate exit, or exits on emulation failure");
	size = ioctl(probe.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (size < (int)sizeof(struct kvm_run))
		return fail(reason, n, "KVM_GET_VCPU_MMAP_SIZE");
	probe.run_size = (size_t)size;
	memory = mmap(NULL, PROBE_MEMORY + ALL_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return fail(reason, n, "mmap");
	probe.memory = memory;
	probe.own = probe.memory + PROBE_MEMORY;
	write_own_pages();
	set_timer(true);
	return true;
}

void probe_close(void)
{
	set_timer(false);
	for (unsigned i = 0; i < MACHINES; i++)
		close_machine(&probe.machine[i]);
	if (probe.memory)
		munmap(probe.memory, PROBE_MEMORY + ALL_PAGES * PAGE);
	probe.memory = probe.own = NULL;
	if (probe.kvm >= 0)
		close(probe.kvm);
	probe.kvm = -1;
}

/* ---- Cases that can be asked --------------------------------------------------------------------------------------- */

void probe_prepare(enum probe_kind kind, uint64_t random, struct case_question *q)
{
	unsigned above = q->cr4 & CR4_LA57 ? 7 : 16;
	uint64_t extended = (uint64_t)((int64_t)(q->va << above) >> above);
	bool canonical;

	if (q->profile >= CASE_KVM_INTEL && q->efer & EFER_LMA)
		q->va = extended;
	canonical = !(q->efer & EFER_LMA) || q->va == extended;
	q->knobs = 0;
	if (kind == PROBE_NESTED)
		q->features |= CASE_PAGE1GB;
	if (kind == PROBE_NESTED && q->access == CASE_FETCH)
		q->profile = CASE_AMD; /* only the CPU fetches */
	if (kind == PROBE_NESTED && q->profile == CASE_AMD) {
		q->knobs = CASE_AD_AS_WALKED;
		q->features |= CASE_PSE36 | CASE_PAT | CASE_PAGE1GB;
		q->maxphyaddr = 40;
		if (random & 7) /* so that not most of the addresses are too wide */
			for (unsigned w = 0; w < q->memory.count && q->cr4 & CR4_PAE; w++)
				q->memory.value[w] &= ~(uint64_t)0x000fff0000000000;
	}
	if (q->cr4 & CR4_PAE && q->efer & EFER_LMA)
		q->cr3 &= BIT(q->maxphyaddr) - 1;
	if ((q->cr3 & ~(uint64_t)(PAGE - 1)) >= q->memory.size)
		q->cr3 %= q->memory.size;
	q->has_pdpte = false;
	if (q->implicit && (q->access != CASE_READ || !canonical || (q->va & (PAGE - 1)) > PAGE - 8))
		q->implicit = false;
	if (q->implicit)
		q->stack = false;
	if (q->compatibility && q->access != CASE_FETCH)
		q->compatibility = false;
	if (q->access == CASE_FETCH && (q->va & (PAGE - 1)) == PAGE - 1)
		q->va ^= 1;
	if (kind == PROBE_SHADOW && q->access == CASE_FETCH && q->user && canonical && q->va >> 47)
		q->access = CASE_READ;
}
