/* SPDX-License-Identifier: MIT */
/*
 * fuzz_init: pagewalk_init(), _init_ept(), _init_npt() and _refresh() with any registers on any CPU.
 *
 * The answer is OK or BAD_STATE, and registers that some rule forbids are never OK. What a walker becomes depends on
 * the registers alone: one that has a history, of refreshes too, equals a new one byte for byte. Its masks are sound,
 * its rights follow PERM-3 ... PERM-6, EPT-6 and NPT-4. A refused walker answers BAD_STATE, reads nothing and allows
 * nothing, also as another one's second stage.
 */
#include "fuzz.h"

#define HISTORY 4 /* registers that a walker sees one after the other, at most */

static int read_never(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	(void)w, (void)pa, (void)size, (void)gpte;
	require_failed_(__FILE__, __LINE__, "a refused walker reads nothing");
	return -1;
}

static int read_nothing(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	(void)w, (void)pa, (void)size;
	*gpte = 0;
	return 0;
}

#define GARBAGE 0xa5

/* A walker before its init: the callback, live registers, and in all that init derives what happens to be there. */
static void new_walker_over(struct kvm_pagewalk *w, bool reads, int garbage)
{
	memset(w, garbage, sizeof(*w));
	w->read_gpte = reads ? read_nothing : NULL;
	w->cmpxchg_gpte = NULL;
	w->get_guest_pgd = NULL;
	w->get_pdptr = NULL;
	w->ngpa_walk = NULL;
	w->rflags = w->pgd = w->pkru = 0;
	memset(w->pdptr, 0, sizeof(w->pdptr));
}

static void new_walker(struct kvm_pagewalk *w, bool reads)
{
	new_walker_over(w, reads, GARBAGE);
}

/* ---- Refused --------------------------------------------------------------------------------------- */

static void check_refused(struct kvm_pagewalk *w, uint64_t va, uint64_t access)
{
	const struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 52, PAGEWALK_FEATURES_ALL);
	const struct pagewalk_regs off = { .cr0 = 1, .cr4 = 0 };
	struct kvm_pagewalk guest;
	struct pagewalk_walk out;
	uint64_t pdptr[4] = { 1, 2, 3, 4 };

	REQUIRE(w->fmt.kind == PAGEWALK_KIND_NONE && w->gva_to_gpa);
	w->read_gpte = read_never;
	REQUIRE(pagewalk_translate(w, va, access, &out) == PAGEWALK_BAD_STATE);
	REQUIRE(w->gva_to_gpa(w, va, access, &out) == PAGEWALK_BAD_STATE);
	REQUIRE(pagewalk64_walk_addr(w, va, access, &out) == PAGEWALK_BAD_STATE);
	REQUIRE(pagewalk32_walk_addr(w, va, access, &out) == PAGEWALK_BAD_STATE);
	REQUIRE(pagewalk_ept_walk_addr(w, va, access, &out) == PAGEWALK_BAD_STATE);
	REQUIRE(pagewalk_load_pdptrs(w, va, pdptr, &out) == PAGEWALK_BAD_STATE);
	REQUIRE(pdptr[0] == 1 && pdptr[1] == 2 && pdptr[2] == 3 && pdptr[3] == 4);
	for (unsigned rights = 0; rights < 16; rights++)
		REQUIRE(pagewalk_permission_fault(w, rights, 0, access));

	new_walker(&guest, false);
	REQUIRE(pagewalk_init(&guest, &cpu, &off) == PAGEWALK_OK);
	guest.ngpa_walk = w;
	REQUIRE(pagewalk_translate(&guest, va, access, &out) == PAGEWALK_BAD_STATE);
}

/* ---- Accepted -------------------------------------------------------------------------------------- */

/* Registers that surely no CPU has (S2.5, S4.1.1). Not all such registers: that is the library's list. */
static bool surely_impossible(const struct pagewalk_cpu *cpu, const struct pagewalk_regs *r)
{
	bool pg = r->cr0 & PAGEWALK_CR0_PG, lme = r->efer & PAGEWALK_EFER_LME, lma = r->efer & PAGEWALK_EFER_LMA;

	return (pg && !(r->cr0 & PAGEWALK_CR0_PE)) || r->cr0 >> 32 || cpu->maxphyaddr < 32 ||
	       (r->cr0 & (PAGEWALK_CR0_NW | PAGEWALK_CR0_CD)) == PAGEWALK_CR0_NW ||
	       lma != (lme && pg) || (lma && !(r->cr4 & PAGEWALK_CR4_PAE)) ||
	       (!lma && (r->cr4 & PAGEWALK_CR4_PCIDE)) ||
	       ((r->efer & PAGEWALK_EFER_NXE) && !(cpu->features & PAGEWALK_FEATURE_NX)) ||
	       ((r->cr4 & PAGEWALK_CR4_PSE) && !(cpu->features & PAGEWALK_FEATURE_PSE)) ||
	       ((r->cr4 & PAGEWALK_CR4_PAE) && !(cpu->features & PAGEWALK_FEATURE_PAE)) ||
	       ((r->cr4 & PAGEWALK_CR4_LA57) && !(cpu->features & PAGEWALK_FEATURE_LA57)) ||
	       ((r->cr4 & PAGEWALK_CR4_SMEP) && !(cpu->features & PAGEWALK_FEATURE_SMEP)) ||
	       ((r->cr4 & PAGEWALK_CR4_SMAP) && !(cpu->features & PAGEWALK_FEATURE_SMAP)) ||
	       ((r->cr4 & PAGEWALK_CR4_PKE) && !(cpu->features & PAGEWALK_FEATURE_PKU));
}

/* Registers that the kind's bit 0 of fuzz.h made, on a CPU that has what they ask for. */
static bool surely_possible(const struct pagewalk_cpu *cpu, const struct pagewalk_regs *r)
{
	const uint64_t plain = PAGEWALK_CR4_PSE | PAGEWALK_CR4_PAE | PAGEWALK_CR4_SMEP | PAGEWALK_CR4_SMAP |
			       PAGEWALK_CR4_PKE | PAGEWALK_CR4_LA57 | PAGEWALK_CR4_PCIDE;

	return !surely_impossible(cpu, r) && !(r->cr0 & ~(PAGEWALK_CR0_PG | PAGEWALK_CR0_PE | PAGEWALK_CR0_WP)) &&
	       !(r->cr4 & ~plain) && !(r->efer & ~(PAGEWALK_EFER_LME | PAGEWALK_EFER_LMA | PAGEWALK_EFER_NXE));
}

/* What holds for the masks of every mode. */
static void check_format(const struct kvm_pagewalk *w, const struct pagewalk_cpu *cpu)
{
	const struct pagewalk_page_format *f = &w->fmt;
	int maxphyaddr = cpu->maxphyaddr;
	bool ept = f->kind == PAGEWALK_KIND_EPT;

	if (f->kind == PAGEWALK_KIND_DIRECT) {
		REQUIRE(!f->root_level && !f->pdpte_registers);
		return;
	}
	REQUIRE(f->root_level >= 2 && f->root_level <= PAGEWALK_MAX_LEVEL);
	REQUIRE(f->pae == (f->root_level == 3) && !(f->pdpte_registers && !f->pae));
	REQUIRE(f->present_mask && f->root_mask);
	/* KVM-14 looks at all of nCR3 for PAE tables, after it has refused what lies above the width. */
	REQUIRE(!(f->root_mask & f->root_rsvd) || (f->pae && (cpu->quirks & PAGEWALK_QUIRK_KVM_ROOT)));
	REQUIRE(f->have_ad || ept);
	for (int level = 1; level <= f->root_level; level++) {
		REQUIRE(!f->ps_mask[level - 1] || (f->ps_mask[level - 1] == PAGEWALK_BIT(7) && level > 1));
		for (int page = 0; page < 2; page++) {
			uint64_t reserved = f->rsvd_bits_mask[page][level - 1];

			/* Rights, and A and D where the level has them, are never reserved. */
			REQUIRE(!(reserved & 1));
			if (f->pae && level == 3)
				continue;
			REQUIRE(!(reserved & (ept ? PAGEWALK_BITS(2, 0) | PAGEWALK_BITS(9, 8) | PAGEWALK_EPT_USER_EXEC :
						    PAGEWALK_BITS(2, 0) | PAGEWALK_BITS(6, 5))));
			if (maxphyaddr < 52 && f->root_level > 2)
				REQUIRE((reserved & PAGEWALK_BITS(51, maxphyaddr)) == PAGEWALK_BITS(51, maxphyaddr));
		}
		REQUIRE(!(f->table_mask[level - 1] & PAGEWALK_PTE_ACCESSED) || (f->pae && level == 3) || ept);
	}
}

/* PERM-3 ... PERM-6, EPT-6, NPT-4, written out for one access; no keys. smap_off: EFLAGS.AC = 1. */
static bool allowed(const struct kvm_pagewalk *w, const struct pagewalk_regs *r, unsigned rights, uint64_t access,
		    bool smap_off)
{
	bool user_page = rights & PAGEWALK_ACC_USER, writable = rights & PAGEWALK_ACC_WRITE;
	bool user = (access & PAGEWALK_ACCESS_USER) && !(access & PAGEWALK_ACCESS_IMPLICIT);
	bool executable = rights & PAGEWALK_ACC_EXEC, fetch = access & PAGEWALK_ACCESS_FETCH;

	if (w->fmt.kind == PAGEWALK_KIND_EPT) {
		if (fetch)
			return rights & (w->fmt.mbec && user ? PAGEWALK_ACC_USER_EXEC : PAGEWALK_ACC_EXEC);
		return access & PAGEWALK_ACCESS_WRITE ? writable : rights & PAGEWALK_ACC_READ;
	}
	if (w->fmt.kind == PAGEWALK_KIND_NPT) {
		if (!w->fmt.gmet)
			return user_page && (!fetch || executable) && (!(access & PAGEWALK_ACCESS_WRITE) || writable);
		if (fetch)
			return executable && (user || !user_page);
		return !(access & PAGEWALK_ACCESS_WRITE) || writable;
	}
	if (user)
		return user_page && (!fetch || executable) && (!(access & PAGEWALK_ACCESS_WRITE) || writable);
	if (fetch)
		return executable && !(user_page && (r->cr4 & PAGEWALK_CR4_SMEP));
	if (user_page && (r->cr4 & PAGEWALK_CR4_SMAP) && !(smap_off && !(access & PAGEWALK_ACCESS_IMPLICIT)))
		return false;
	return !(access & PAGEWALK_ACCESS_WRITE) || writable || !(r->cr0 & PAGEWALK_CR0_WP);
}

static void check_rights(struct kvm_pagewalk *w, const struct pagewalk_regs *r)
{
	static const uint64_t kinds[] = { PAGEWALK_ACCESS_READ, PAGEWALK_ACCESS_WRITE, PAGEWALK_ACCESS_FETCH };

	w->pkru = 0; /* PERM-7: no key denies */
	for (unsigned i = 0; i < 3 * 2 * 2 * 2; i++) {
		uint64_t access = kinds[i % 3] | (i / 3 & 1 ? PAGEWALK_ACCESS_USER : 0) |
				  (i / 6 & 1 ? PAGEWALK_ACCESS_IMPLICIT : 0);
		bool ac = i / 12;

		w->rflags = ac ? PAGEWALK_RFLAGS_AC : 0;
		for (unsigned rights = 0; rights < 16; rights++) {
			uint64_t refused = pagewalk_permission_fault(w, rights, 0, access);

			if (w->fmt.kind == PAGEWALK_KIND_DIRECT) /* MODE-1 */
				REQUIRE(!refused);
			else
				REQUIRE(!refused == allowed(w, r, rights, access, ac));
			REQUIRE(!refused || (refused & PAGEWALK_PFERR_PRESENT));
		}
	}
	w->rflags = 0;
}

/* ---- Guests: init and refresh ---------------------------------------------------------------------- */

/* All that init derives. Two walkers that began with the same garbage have the same padding too. */
static void check_same(const struct kvm_pagewalk *a, const struct kvm_pagewalk *b)
{
	REQUIRE(a->cpu_role == b->cpu_role && a->gva_to_gpa == b->gva_to_gpa);
	REQUIRE(a->cpu.features == b->cpu.features && a->cpu.quirks == b->cpu.quirks);
	REQUIRE(a->cpu.vendor == b->cpu.vendor && a->cpu.maxphyaddr == b->cpu.maxphyaddr);
	REQUIRE(!memcmp(&a->fmt, &b->fmt, sizeof(a->fmt)));
}

/* The bytes of a format that init leaves as they are: its padding. */
static const bool *padding(void)
{
	const struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 46, PAGEWALK_FEATURES_ALL);
	const struct pagewalk_regs regs = { .cr0 = 0x80010001, .cr4 = 0x20, .efer = 0xd00 };
	static bool is_padding[sizeof(struct pagewalk_page_format)], known;
	unsigned char a[sizeof(is_padding)], b[sizeof(is_padding)];
	struct kvm_pagewalk w;

	if (known)
		return is_padding;
	new_walker_over(&w, true, 0);
	REQUIRE(pagewalk_init(&w, &cpu, &regs) == PAGEWALK_OK);
	memcpy(a, &w.fmt, sizeof(a));
	new_walker(&w, true);
	REQUIRE(pagewalk_init(&w, &cpu, &regs) == PAGEWALK_OK);
	memcpy(b, &w.fmt, sizeof(b));
	for (size_t i = 0; i < sizeof(a); i++)
		is_padding[i] = a[i] == 0 && b[i] == GARBAGE;
	known = true;
	return is_padding;
}

/* A walker over zeros and one over garbage: nothing is left of either. */
static void check_all_written(const struct kvm_pagewalk *zero, const struct kvm_pagewalk *garbage)
{
	unsigned char a[sizeof(zero->fmt)], b[sizeof(zero->fmt)];

	REQUIRE(zero->cpu_role == garbage->cpu_role && zero->gva_to_gpa == garbage->gva_to_gpa);
	memcpy(a, &zero->fmt, sizeof(a));
	memcpy(b, &garbage->fmt, sizeof(b));
	for (size_t i = 0; i < sizeof(a); i++)
		REQUIRE(padding()[i] || a[i] == b[i]);
}

static void fuzz_guest(struct input *in, const struct pagewalk_cpu *cpu, bool reads, uint64_t va, uint64_t access)
{
	struct kvm_pagewalk old, fresh, copy;
	enum pagewalk_status status = PAGEWALK_BAD_STATE;
	bool bad = true;

	new_walker(&old, reads);
	for (unsigned i = 0; i < HISTORY && (i == 0 || in->left); i++) {
		unsigned how = (unsigned)input_take(in, 1);
		struct pagewalk_regs regs = input_regs(in);
		enum pagewalk_status expected;

		if (i && (how & 2)) { /* only what a refresh is cheap for, besides what else changed above */
			regs.cr0 ^= PAGEWALK_CR0_WP;
			regs.cr4 ^= input_take(in, 4) & (PAGEWALK_CR4_SMEP | PAGEWALK_CR4_SMAP | PAGEWALK_CR4_PKE);
		}
		old.read_gpte = reads ? read_nothing : NULL;
		if (i && (how & 1))
			status = pagewalk_refresh(&old, &regs);
		else
			status = pagewalk_init(&old, cpu, &regs);
		bad = status != PAGEWALK_OK;
		REQUIRE(status == PAGEWALK_OK || status == PAGEWALK_BAD_STATE);
		REQUIRE(!surely_impossible(cpu, &regs) || bad);
		REQUIRE(!surely_possible(cpu, &regs) || !bad || (!reads && (regs.cr0 & PAGEWALK_CR0_PG)));

		new_walker(&fresh, reads);
		expected = pagewalk_init(&fresh, cpu, &regs);
		REQUIRE(status == expected);
		if (bad) {
			check_refused(&old, va, access);
			check_refused(&fresh, va, access);
			continue;
		}
		check_same(&old, &fresh);
		new_walker_over(&copy, reads, 0);
		REQUIRE(pagewalk_init(&copy, cpu, &regs) == PAGEWALK_OK);
		check_all_written(&copy, &fresh);
		REQUIRE(pagewalk_refresh(&old, &regs) == PAGEWALK_OK); /* nothing changed */
		check_same(&old, &fresh);
		check_format(&old, cpu);
		check_rights(&old, &regs);
		/* A copy that is refreshed to what it is, over another WP, comes back. */
		copy = old;
		regs.cr0 ^= PAGEWALK_CR0_WP;
		if (pagewalk_refresh(&copy, &regs) == PAGEWALK_OK) {
			check_rights(&copy, &regs);
			regs.cr0 ^= PAGEWALK_CR0_WP;
			REQUIRE(pagewalk_refresh(&copy, &regs) == PAGEWALK_OK);
			check_same(&copy, &fresh);
		}
	}
}

/* ---- Second stages --------------------------------------------------------------------------------- */

static void check_second(struct kvm_pagewalk *w, enum pagewalk_status status, const struct pagewalk_cpu *cpu,
			 const struct pagewalk_regs *regs, uint64_t root, uint64_t va, uint64_t access)
{
	struct kvm_pagewalk before;

	REQUIRE(status == PAGEWALK_OK || status == PAGEWALK_BAD_STATE);
	REQUIRE(w->pgd == root);
	if (status != PAGEWALK_OK) {
		check_refused(w, va, access);
		return;
	}
	REQUIRE(!(root & w->fmt.root_rsvd));
	check_format(w, cpu);
	check_rights(w, regs);
	before = *w; /* a guest's registers are not a second stage's */
	REQUIRE(pagewalk_refresh(w, regs) == PAGEWALK_BAD_STATE);
	check_same(w, &before);
}

static void fuzz_second(struct input *in, const struct pagewalk_cpu *cpu, bool reads, uint64_t va, uint64_t access)
{
	unsigned how = (unsigned)input_take(in, 1);
	struct pagewalk_regs host = input_regs(in);
	uint64_t root = input_take(in, 8), eptp = root;
	unsigned level;
	struct kvm_pagewalk w, again, zero;
	enum pagewalk_status status;

	if (how & 1) /* most random EPTPs are impossible */
		eptp = (root & 0xfffff040) | (how & 2 ? 6 : 0) | (how & 4 ? 4u : 3u) << 3;
	level = (eptp >> 3 & 7) + 1;

	new_walker(&w, reads);
	status = pagewalk_init_ept(&w, cpu, eptp, how & 8);
	REQUIRE(status != PAGEWALK_OK || ((level == 4 || level == 5) && (!(eptp & 7) || (eptp & 7) == 6)));
	REQUIRE(status != PAGEWALK_OK || (reads && !(eptp & PAGEWALK_BITS(11, 8)) && w.fmt.root_level == level));
	REQUIRE(status != PAGEWALK_OK || w.fmt.have_ad == ((eptp & PAGEWALK_EPTP_AD) != 0));
	REQUIRE(status == PAGEWALK_OK || !(how & 1) || cpu->maxphyaddr < 32 || !reads ||
		(level == 5 && !(cpu->features & PAGEWALK_FEATURE_EPT_5L)) ||
		((eptp & PAGEWALK_EPTP_AD) && !(cpu->features & PAGEWALK_FEATURE_EPT_AD)));
	check_second(&w, status, cpu, &host, eptp, va, access);

	/* The other kind of stage over the remains of this one. */
	w.read_gpte = reads ? read_nothing : NULL;
	status = pagewalk_init_npt(&w, cpu, &host, root, how & 16);
	new_walker(&again, reads);
	REQUIRE(pagewalk_init_npt(&again, cpu, &host, root, how & 16) == status);
	new_walker_over(&zero, reads, 0);
	REQUIRE(pagewalk_init_npt(&zero, cpu, &host, root, how & 16) == status);
	REQUIRE(status != PAGEWALK_OK || (reads && (host.cr0 & PAGEWALK_CR0_PG) && !surely_impossible(cpu, &host)));
	if (status == PAGEWALK_OK) {
		check_same(&w, &again);
		check_all_written(&zero, &again);
	}
	check_second(&w, status, cpu, &host, root, va, access);

	w.read_gpte = reads ? read_nothing : NULL;
	status = pagewalk_init_ept(&w, cpu, eptp, how & 8);
	new_walker(&again, reads);
	REQUIRE(pagewalk_init_ept(&again, cpu, eptp, how & 8) == status);
	new_walker_over(&zero, reads, 0);
	REQUIRE(pagewalk_init_ept(&zero, cpu, eptp, how & 8) == status);
	if (status == PAGEWALK_OK) {
		check_same(&w, &again);
		check_all_written(&zero, &again);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct pagewalk_cpu cpu;
	uint64_t va, access;
	unsigned kind;

	/* 1 + 15 + 8 + 8 bytes, then a guest's history or a second stage; fuzz/seeds.pl writes them. */
	kind = (unsigned)input_take(&in, 1);
	cpu = input_cpu(&in);
	va = input_take(&in, 8);
	access = input_take(&in, 8);
	if (kind & 1)
		fuzz_second(&in, &cpu, !(kind & 2), va, access);
	else
		fuzz_guest(&in, &cpu, !(kind & 2), va, access);
	return 0;
}
