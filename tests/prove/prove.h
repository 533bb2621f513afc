/* SPDX-License-Identifier: MIT */
/*
 * prove.h: the world that the harnesses put around the library for Frama-C's Eva. Registers, CPU, guest memory and
 * callbacks are whatever they can be: each read of a volatile is another unknown value.
 *
 * A harness is analysed once for each of its cases (the comment "cases:" in it), which fix the paging modes by GUEST
 * and SECOND. Together the cases are all modes.
 */
#ifndef PROVE_H
#define PROVE_H

#include <pagewalk/pagewalk.h>

static volatile uint64_t any64;
static volatile uint32_t any32;
static volatile uint16_t any16;
static volatile uint8_t any8;
static volatile int any;

/* GUEST: the level of the guest's mode; 0: paging off. SECOND: the level of nested paging, or one of these. */
#define EPT4 14
#define EPT5 15
#ifndef AD
#define AD (any & 1) /* EPT: accessed and dirty flags */
#endif
#ifndef GUEST
#define GUEST 4
#endif
#ifndef SECOND
#define SECOND 4
#endif

#define IN_MEMORY(address) ((address) <= 0xfffffffffffff) /* 52 bits, MODE-12 */

static struct kvm_pagewalk guest, second;

/*
 * What the callbacks have been asked. Eva keeps states apart by depth, stages, missing and the like (prove.sh), so that
 * it knows how far a walk has come.
 */
static unsigned reads, writes;
static unsigned depth;    /* entries read in the walk of the last stage */
static unsigned stages;   /* walks of a second stage that is a model (walk.c) */
static unsigned attempts;
static bool missing;      /* the last read had no memory */
static bool wide_root;    /* KVM-14: PAE tables anywhere in 64 bits, on a CPU with this quirk */

static bool as_walked;    /* split_ad() */

static void start_attempt(void)
{
	reads = writes = depth = stages = 0;
	missing = false;
	attempts++;
}

/* ---- Callbacks --------------------------------------------------------------------------------------- */

static int read_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	int answer = any;

	//@ assert read_by_a_walker: w == &guest || w == &second;
	//@ assert read_size: size == 4 || size == 8;
	//@ assert read_aligned: pa % size == 0;
	//@ assert read_in_memory: IN_MEMORY(pa) || wide_root;
	reads++;
	depth++;
	if (answer < 0) {
		missing = true;
		if (any & 1)
			*gpte = any64;
	} else {
		missing = false;
		*gpte = any64;
	}
	return answer;
}

static int cmpxchg_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t old, uint64_t new_gpte)
{
	(void)old;
	(void)new_gpte;
	//@ assert write_by_a_walker: w == &guest || w == &second;
	//@ assert write_size: size == 4 || size == 8;
	//@ assert write_aligned: pa % size == 0;
	//@ assert write_in_memory: IN_MEMORY(pa) || wide_root;
	writes++;
	return any;
}

static uint64_t get_guest_pgd(const struct kvm_pagewalk *w)
{
	//@ assert pgd_of_a_walker: w == &guest || w == &second;
	return any64;
}

static uint64_t get_pdptr(const struct kvm_pagewalk *w, unsigned index)
{
	//@ assert pdptr_of_the_guest: w == &guest;
	//@ assert pdptr_index: index <= 3;
	return any64;
}

/* ---- Walkers ----------------------------------------------------------------------------------------- */

static void any_cpu(struct pagewalk_cpu *cpu)
{
	cpu->features = any64;
	cpu->quirks = any64;
	cpu->vendor = any8;
	cpu->maxphyaddr = any8;
}

/*
 * A CPU for a walk in a mode; wide_root is set where it can matter. None has less than 32 address bits: init.c shows
 * that it would be refused.
 */
static void any_cpu_for(struct pagewalk_cpu *cpu, int mode)
{
	uint8_t width = any8;

	any_cpu(cpu);
	cpu->vendor = any & 1 ? PAGEWALK_AMD : PAGEWALK_INTEL;
	cpu->maxphyaddr = width < 32 ? 32 : width;
	if (mode != 3)
		return;
	if (any & 1) {
		cpu->quirks |= PAGEWALK_QUIRK_KVM_ROOT;
		wide_root = true;
	} else {
		cpu->quirks &= PAGEWALK_QUIRK_KVM_ROOT - 1; /* it is the last one; there is no quirk above */
		wide_root = false;
	}
}

/* All registers that select the mode. */
static void any_regs(struct pagewalk_regs *regs, int mode)
{
	regs->cr0 = any64;
	regs->cr4 = any64;
	regs->efer = any64;
	regs->compatibility = any & 1;
	if (mode == 0)
		regs->cr0 &= ~PAGEWALK_CR0_PG;
	else
		regs->cr0 |= PAGEWALK_CR0_PG;
	if (mode == 2)
		regs->cr4 &= ~PAGEWALK_CR4_PAE;
	else if (mode > 2)
		regs->cr4 |= PAGEWALK_CR4_PAE;
	if (mode == 3)
		regs->efer &= ~PAGEWALK_EFER_LME;
	else if (mode > 3)
		regs->efer |= PAGEWALK_EFER_LME;
	if (mode == 4)
		regs->cr4 &= ~PAGEWALK_CR4_LA57;
	else if (mode == 5)
		regs->cr4 |= PAGEWALK_CR4_LA57;
}

/* The optional callbacks are there or not. */
static void set_callbacks(struct kvm_pagewalk *w)
{
	w->read_gpte = read_gpte;
	w->cmpxchg_gpte = any & 1 ? cmpxchg_gpte : NULL;
	w->get_guest_pgd = any & 1 ? get_guest_pgd : NULL;
	w->get_pdptr = any & 1 ? get_pdptr : NULL;
}

static void set_registers(struct kvm_pagewalk *w)
{
	int i;

	w->pgd = any64;
	for (i = 0; i < 4; i++)
		w->pdptr[i] = any64;
	w->rflags = any64;
	w->pkru = any32;
}

static enum pagewalk_status init_guest(void)
{
	struct pagewalk_cpu cpu;
	struct pagewalk_regs regs;

	any_cpu_for(&cpu, GUEST);
	any_regs(&regs, GUEST);
	set_callbacks(&guest);
	set_registers(&guest);
#ifdef REFRESH
	/* By a change of the registers, from the mode REFRESH. */
	struct pagewalk_regs before;

	any_regs(&before, REFRESH);
	if (pagewalk_init(&guest, &cpu, &before) == PAGEWALK_OK)
		return pagewalk_refresh(&guest, &regs);
#endif
	return pagewalk_init(&guest, &cpu, &regs);
}

/*
 * The EPTPs that can be accepted; init.c shows that the others are not. The sum says to Eva which bits are known. A and
 * D flags are kept apart for what follows, the memory type is not; the EPTP itself may change at any time.
 */
static unsigned eptp_low;

static enum pagewalk_status init_ept(struct kvm_pagewalk *w, const struct pagewalk_cpu *cpu, int mode)
{
	enum pagewalk_status status;

	eptp_low = (unsigned)(mode - 11) << PAGEWALK_EPTP_LEVEL_SHIFT;
	if (any & 1)
		eptp_low += PAGEWALK_EPTP_WB;
	if (AD)
		eptp_low += PAGEWALK_EPTP_AD;
	status = pagewalk_init_ept(w, cpu, (any64 & ~UINT64_C(0xfff)) + eptp_low, any & 1);
	w->pgd = any64;
	eptp_low &= PAGEWALK_EPTP_AD;
	return status;
}

static enum pagewalk_status init_second(void)
{
	struct pagewalk_cpu cpu;
	struct pagewalk_regs host;

	any_cpu_for(&cpu, SECOND);
	set_callbacks(&second);
	set_registers(&second);
	second.ngpa_walk = any & 1 ? &guest : NULL; /* a second stage has none of its own, whatever this says */
	if (SECOND >= EPT4)
		return init_ept(&second, &cpu, SECOND);
	any_regs(&host, SECOND);
	return pagewalk_init_npt(&second, &cpu, &host, any64, any & 1);
}

/* Says to Eva when A flags are set: on the way, or at the end. Nothing changes. */
static void split_ad(struct kvm_pagewalk *w)
{
	if (w->cpu.quirks & PAGEWALK_QUIRK_AD_AS_WALKED) {
		w->cpu.quirks |= PAGEWALK_QUIRK_AD_AS_WALKED;
		as_walked = true;
	} else {
		w->cpu.quirks &= ~PAGEWALK_QUIRK_AD_AS_WALKED;
		as_walked = false;
	}
}

/* ---- What a walk answers ----------------------------------------------------------------------------- */

#define LEVELS_OF(mode) ((mode) >= EPT4 ? (mode) - 10 : (mode))

static void check_rule(const struct pagewalk_fault *f)
{
	//@ assert rule_family: PAGEWALK_FAMILY_MODE <= f->rule / 256 <= PAGEWALK_FAMILY_NPT;
	//@ assert rule_number: 1 <= f->rule % 256 <= 16;
}

/* All fields of a fault are written, and those that mean nothing are 0. */
static void check_fault(enum pagewalk_status status, const struct pagewalk_fault *f)
{
	//@ assert fault_initialized: \initialized(&f->error_code) && \initialized(&f->address) && \initialized(&f->gpa) && \initialized(&f->exit_qualification);
	//@ assert fault_initialized_too: \initialized(&f->exit) && \initialized(&f->rule) && \initialized(&f->vector) && \initialized(&f->second_stage);
	if (status == PAGEWALK_FAULT) {
		//@ assert fault_vector: PAGEWALK_VECTOR_SS <= f->vector <= PAGEWALK_VECTOR_PF;
		//@ assert fault_error_code: f->error_code <= 0x3f;
		//@ assert fault_no_exit: f->exit == 0 && f->exit_qualification == 0 && f->gpa == 0;
		//@ assert fault_of_the_guest: !f->second_stage;
		check_rule(f);
	} else if (status == PAGEWALK_NESTED_FAULT) {
		//@ assert nested_exit: f->exit == PAGEWALK_EXIT_EPT_VIOLATION || f->exit == PAGEWALK_EXIT_EPT_MISCONFIG || f->exit == PAGEWALK_EXIT_NPF;
		//@ assert nested_error_code: f->error_code <= 0x30000001f;
		//@ assert nested_qualification: f->exit_qualification <= 0xfff;
		//@ assert nested_no_vector: f->vector == 0;
		//@ assert nested_second_stage: f->second_stage == true;
		check_rule(f);
	} else if (status == PAGEWALK_NO_MEMORY) {
		//@ assert no_memory_clear: f->error_code == 0 && f->exit_qualification == 0 && f->exit == 0 && f->vector == 0 && f->rule == 0;
		//@ assert no_memory_stage: f->second_stage <= 1;
	}
}

/* entry[] and pt_access[] from max_level down to level. */
static void check_entries(const struct pagewalk_stage *s, int levels)
{
	int level;

	//@ assert stage_max_level: s->max_level == 0 || s->max_level == levels;
	//@ assert stage_level: s->level <= s->max_level;
	if (!s->max_level)
		return;
	//@ assert stage_level_not_0: s->level >= 1;
	for (level = s->level; level <= s->max_level; level++) {
		//@ assert entry_gpa: \initialized(&s->entry[level - 1].gpa);
		//@ assert entry_pte: \initialized(&s->entry[level - 1].pte);
		//@ assert entry_rights: s->pt_access[level - 1] <= PAGEWALK_ACC_ALL;
	}
}

static void check_page_shift(const struct pagewalk_stage *s)
{
	//@ assert page_shift: s->page_shift == 12 || s->page_shift == 21 || s->page_shift == 22 || s->page_shift == 30;
}
#endif
