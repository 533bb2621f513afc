/* SPDX-License-Identifier: MIT */
/*
 * pagewalk: what does an x86 CPU do with this address? Include this header; nothing needs to be linked.
 *
 *   arch.h          the architecture's bits
 *   types.h         struct kvm_pagewalk, the CPU and its registers; status, record and fault
 *   format.h        registers + CPU -> reserved bits and permission bitmaps, once per register change
 *   fault.h         what the CPU reports: error code, exit qualification, EXITINFO
 *   linear.h        before paging: canonical addresses
 *   nested.h        the second stage, PDPTE loads, paging switched off
 *   paging_tmpl.h   the walker, a template; instances pagewalk64_..., pagewalk32_... and pagewalk_ept_...
 *   this file       init, refresh, translate, permission_fault
 *
 * Threads: a call writes nothing but what it is given to write, and keeps nothing. Any number of threads may walk with
 * one walker; init, refresh and writes of its registers need the caller's own order against those.
 * The rules that comments cite (MODE-10, PERM-7, ...) are in docs/rules.md, with the manuals' sections.
 */
#ifndef PAGEWALK_H
#define PAGEWALK_H

#define PTTYPE 64
#include "paging_tmpl.h"

#define PTTYPE 32
#include "paging_tmpl.h"

#define PTTYPE PAGEWALK_PTTYPE_EPT
#include "paging_tmpl.h"

/* ---- CPUs -------------------------------------------------------------------------------------------- */

enum pagewalk_profile {
	PAGEWALK_PROFILE_INTEL,
	PAGEWALK_PROFILE_AMD,
	PAGEWALK_PROFILE_KVM_INTEL,
	PAGEWALK_PROFILE_KVM_AMD
};

/*
 * The hardware of a vendor, or KVM's imitation of it, bit for bit. features: PAGEWALK_FEATURE_..., or FEATURES_ALL.
 * The result is the caller's to change.
 */
static inline struct pagewalk_cpu
pagewalk_cpu_profile(enum pagewalk_profile profile, uint8_t maxphyaddr, uint64_t features)
{
	struct pagewalk_cpu cpu;

	cpu.vendor =
		profile == PAGEWALK_PROFILE_AMD || profile == PAGEWALK_PROFILE_KVM_AMD ? PAGEWALK_AMD : PAGEWALK_INTEL;
	cpu.quirks =
		profile == PAGEWALK_PROFILE_KVM_INTEL || profile == PAGEWALK_PROFILE_KVM_AMD ? PAGEWALK_QUIRKS_KVM : 0;
	cpu.maxphyaddr = maxphyaddr;
	cpu.features = features;
	return cpu;
}

/* ---- Init -------------------------------------------------------------------------------------------- */

static inline enum pagewalk_status
pagewalk_refuse_walk_(const struct PAGEWALK_TAG *w, uint64_t addr, uint64_t access, struct pagewalk_walk *out)
{
	(void)w;
	pagewalk_no_guest_walk_(addr, access, out);
	pagewalk_no_nested_walk_(out);
	return PAGEWALK_BAD_STATE;
}

static inline enum pagewalk_status pagewalk_set_bad_(struct PAGEWALK_TAG *w)
{
	w->cpu_role = 0;
	w->fmt.kind = PAGEWALK_KIND_NONE;
	w->fmt.pdpte_registers = false;
	w->gva_to_gpa = pagewalk_refuse_walk_;
	return PAGEWALK_BAD_STATE;
}

static inline enum pagewalk_status pagewalk_set_role_(struct PAGEWALK_TAG *w, uint32_t role)
{
	if (!w->read_gpte && pagewalk_role_kind_(role) != PAGEWALK_KIND_DIRECT)
		return pagewalk_set_bad_(w);
	w->cpu_role = role;
	pagewalk_set_format_(&w->fmt, &w->cpu, role);
	pagewalk_set_rights_(&w->fmt, &w->cpu, role);
	if (w->fmt.kind == PAGEWALK_KIND_EPT)
		w->gva_to_gpa = pagewalk_ept_gva_to_gpa;
	else if (w->fmt.kind == PAGEWALK_KIND_DIRECT)
		w->gva_to_gpa = pagewalk_nonpaging_gva_to_gpa;
	else
		w->gva_to_gpa = w->fmt.root_level == 2 ? pagewalk32_gva_to_gpa : pagewalk64_gva_to_gpa;
	return PAGEWALK_OK;
}

/*
 * Makes w a walker of linear addresses for a CPU with these registers: paging off, 32-bit, PAE, 4-level or 5-level
 * (MODE-1, MODE-2). The callbacks must be set before (read_gpte at least, unless paging is off) and stay as they are;
 * ngpa_walk and the live registers may be set at any time. cpu and regs are copied.
 * BAD_STATE: no CPU can hold these (CR0.PG without PE, LMA that is not LME and PG, a feature the CPU has not, ...), or
 * read_gpte is missing; walks then give BAD_STATE too.
 */
static inline enum pagewalk_status
pagewalk_init(struct PAGEWALK_TAG *w, const struct pagewalk_cpu *cpu, const struct pagewalk_regs *regs)
{
	uint32_t role;

	w->cpu = *cpu;
	if (!pagewalk_calc_role_(cpu, regs, &role))
		return pagewalk_set_bad_(w);
	return pagewalk_set_role_(w, role);
}

/*
 * Tells a walker of pagewalk_init() that CR0, CR4, EFER or CS.L changed. Costs a few compares when nothing that matters
 * did, and 16 short loops when it was only CR0.WP, CR4.SMEP, SMAP or PKE. CR3, PDPTEs, PKRU and RFLAGS need no refresh.
 * A change of mode also sets gva_to_gpa anew. BAD_STATE: as init; or w is a second stage's walker, which stays as it
 * is.
 */
static inline enum pagewalk_status pagewalk_refresh(struct PAGEWALK_TAG *w, const struct pagewalk_regs *regs)
{
	uint32_t role, changed;

	if (w->fmt.kind >= PAGEWALK_KIND_NPT)
		return PAGEWALK_BAD_STATE;
	if (!pagewalk_calc_role_(&w->cpu, regs, &role))
		return pagewalk_set_bad_(w);
	changed = role ^ w->cpu_role;
	if (!changed)
		return PAGEWALK_OK;
	if (changed & ~PAGEWALK_ROLE_RIGHTS)
		return pagewalk_set_role_(w, role);
	w->cpu_role = role;
	pagewalk_set_rights_(&w->fmt, &w->cpu, role);
	return PAGEWALK_OK;
}

/*
 * Makes w the second stage of a VMX guest: EPT as eptp says it (4-level or 5-level, A/D flags), mbec: mode-based
 * execute control. Stores eptp in w->pgd. Callbacks as for pagewalk_init(); a get_guest_pgd must give an EPTP with the
 * same low bits. BAD_STATE: an EPTP at which VM entry fails (EPT-1).
 */
static inline enum pagewalk_status
pagewalk_init_ept(struct PAGEWALK_TAG *w, const struct pagewalk_cpu *cpu, uint64_t eptp, bool mbec)
{
	uint32_t level = (uint32_t)((eptp & PAGEWALK_EPTP_LEVEL) >> PAGEWALK_EPTP_LEVEL_SHIFT) + 1;
	uint64_t type = eptp & PAGEWALK_EPTP_TYPE;
	uint32_t role = (uint32_t)PAGEWALK_KIND_EPT << PAGEWALK_ROLE_KIND_SHIFT | level << PAGEWALK_ROLE_LEVEL_SHIFT |
			pagewalk_role_if_(eptp & PAGEWALK_EPTP_AD, PAGEWALK_ROLE_EPT_AD) |
			pagewalk_role_if_(mbec, PAGEWALK_ROLE_MBEC);

	uint64_t needs =
		(level == 5 ? PAGEWALK_FEATURE_EPT_5L : 0) | (eptp & PAGEWALK_EPTP_AD ? PAGEWALK_FEATURE_EPT_AD : 0);

	if (cpu->quirks & PAGEWALK_QUIRK_KVM_EPTP)
		needs = 0;
	w->cpu = *cpu;
	w->pgd = eptp;
	if (cpu->maxphyaddr < 32 || (type != PAGEWALK_EPTP_UC && type != PAGEWALK_EPTP_WB) ||
	    (level != 4 && level != 5) || (cpu->features & needs) != needs ||
	    (eptp & (PAGEWALK_BITS(63, pagewalk_maxphyaddr_(cpu)) | PAGEWALK_BITS(11, 7))))
		return pagewalk_set_bad_(w);
	return pagewalk_set_role_(w, role);
}

/*
 * Makes w the second stage of an SVM guest: nested paging in the format of the host's registers at VMRUN (NPT-1); gmet:
 * guest mode execute trap (NPT-7). Stores ncr3 in w->pgd. Callbacks as for pagewalk_init().
 * BAD_STATE: registers with which VMRUN fails, host paging off among them.
 */
static inline enum pagewalk_status pagewalk_init_npt(struct PAGEWALK_TAG *w, const struct pagewalk_cpu *cpu,
						     const struct pagewalk_regs *host, uint64_t ncr3, bool gmet)
{
	uint32_t role;

	w->cpu = *cpu;
	w->pgd = ncr3;
	if (!pagewalk_calc_role_(cpu, host, &role) || pagewalk_role_kind_(role) == PAGEWALK_KIND_DIRECT)
		return pagewalk_set_bad_(w);
	/* The host's WP, SMAP and keys mean nothing here (NPT-4); SMEP shows in EXITINFO1 (NPT-5). */
	role &= ~(7u << PAGEWALK_ROLE_KIND_SHIFT | PAGEWALK_ROLE_WP | PAGEWALK_ROLE_SMAP | PAGEWALK_ROLE_PKE |
		  PAGEWALK_ROLE_64BIT);
	role |= (uint32_t)PAGEWALK_KIND_NPT << PAGEWALK_ROLE_KIND_SHIFT | pagewalk_role_if_(gmet, PAGEWALK_ROLE_GMET);
	if (pagewalk_set_role_(w, role) != PAGEWALK_OK || (ncr3 & w->fmt.root_rsvd))
		return pagewalk_set_bad_(w);
	return PAGEWALK_OK;
}

/* ---- Walk -------------------------------------------------------------------------------------------- */

/*
 * What the CPU does with an access to a linear address: checks before paging, the guest's tables, the second stage at
 * each step if there is one, A and D flags. With a second stage's walker: what that stage does with a GPA; access then
 * takes PFERR_GUEST_FINAL or _PAGE too.
 *
 *   w       initialised; only read
 *   va      linear address; the bits that the mode has not are ignored (MODE-16)
 *   access  PAGEWALK_ACCESS_...
 *   out     the caller's; written whatever the status
 *
 * OK: out->pa. FAULT, NESTED_FAULT, NO_MEMORY: out->fault. See enum pagewalk_status for all.
 */
static inline enum pagewalk_status
pagewalk_translate(const struct PAGEWALK_TAG *w, uint64_t va, uint64_t access, struct pagewalk_walk *out)
{
	enum pagewalk_status status = pagewalk_linear(w, &va, access, out);
	int attempt;

	if (status != PAGEWALK_OK)
		return status;
	if (w->fmt.kind == PAGEWALK_KIND_NONE)
		return pagewalk_refuse_walk_(w, va, access, out);
	if (w->fmt.kind >= PAGEWALK_KIND_NPT)
		pagewalk_no_guest_walk_(va, access, out);
	status = PAGEWALK_RETRY;
	for (attempt = 0; attempt < PAGEWALK_MAX_ATTEMPTS && status == PAGEWALK_RETRY; attempt++)
		status = w->gva_to_gpa(w, va, access, out);
	return status;
}

/*
 * Whether an access is allowed by a translation that the caller cached: its rights (record.guest.pte_access) and key.
 * 0, or the error code of the #PF; of a second stage's walker: 0, or not 0. The registers are the walker's of now.
 */
static inline uint64_t
pagewalk_permission_fault(const struct PAGEWALK_TAG *w, unsigned pte_access, unsigned pte_pkey, uint64_t access)
{
	uint64_t reasons;

	if (w->fmt.kind == PAGEWALK_KIND_NONE) /* no walker, no right */
		return PAGEWALK_PFERR_PRESENT;
	if (w->fmt.kind == PAGEWALK_KIND_DIRECT)
		return 0;
	access = pagewalk_guest_access_(access);
	reasons = pagewalk_check_rights_(w, pte_access & PAGEWALK_ACC_ALL, pte_pkey & 15, access);
	return reasons ? pagewalk_error_code_(w, access, reasons) : 0;
}

/*
 * log2 of the largest block around the address in which a translation holds: the smaller page of the two stages, 64 if
 * none.
 */
static inline unsigned pagewalk_page_shift(const struct pagewalk_walk *out)
{
	return out->guest.page_shift < out->nested.page_shift ? out->guest.page_shift : out->nested.page_shift;
}

/*
 * What a translation allows, both stages together. Keys, SMEP, SMAP and WP, which depend on the moment, are not in it.
 */
#define PAGEWALK_RIGHTS_READ            1u
#define PAGEWALK_RIGHTS_WRITE           2u
#define PAGEWALK_RIGHTS_EXEC            4u
#define PAGEWALK_RIGHTS_USER            8u /* for CPL 3 too; the second stage knows no such thing */

/* PAGEWALK_RIGHTS_... of a walk by w that was OK (PERM-2, EPT-6, NPT-4, NPT-7). */
static inline unsigned pagewalk_rights(const struct PAGEWALK_TAG *w, const struct pagewalk_walk *out)
{
	unsigned guest = out->guest.pte_access, nested;
	bool user = (guest & PAGEWALK_ACC_USER) != 0;
	unsigned rights = PAGEWALK_RIGHTS_READ | (user ? PAGEWALK_RIGHTS_USER : 0) |
			  (guest & PAGEWALK_ACC_WRITE ? PAGEWALK_RIGHTS_WRITE : 0) |
			  (guest & PAGEWALK_ACC_EXEC ? PAGEWALK_RIGHTS_EXEC : 0);
	const struct pagewalk_page_format *f;

	if (!out->nested.max_level)
		return rights;
	nested = out->nested.pte_access;
	f = w->fmt.kind >= PAGEWALK_KIND_NPT ? &w->fmt : &w->ngpa_walk->fmt;
	if (!(nested & PAGEWALK_ACC_WRITE))
		rights &= ~PAGEWALK_RIGHTS_WRITE;
	if (!(nested & (f->mbec && user ? PAGEWALK_ACC_USER_EXEC : PAGEWALK_ACC_EXEC)))
		rights &= ~PAGEWALK_RIGHTS_EXEC;
	if (f->kind == PAGEWALK_KIND_EPT && !(nested & PAGEWALK_ACC_READ))
		rights &= ~PAGEWALK_RIGHTS_READ;
	if (f->gmet && (nested & PAGEWALK_ACC_USER) && !user)
		rights &= ~PAGEWALK_RIGHTS_EXEC;
	return rights;
}

/*
 * AD-2: which flags of the entry at a level of the stage (1 ... 5) hardware may have set or not after a walk with this
 * status. For comparisons with other walkers; 0 where the answer is exact, or no entry was read.
 */
static inline uint64_t pagewalk_ad_dont_care(const struct PAGEWALK_TAG *w, const struct pagewalk_stage *s, int level,
					     enum pagewalk_status status)
{
	uint64_t accessed = w->fmt.kind == PAGEWALK_KIND_EPT ? PAGEWALK_EPT_ACCESSED : PAGEWALK_PTE_ACCESSED;

	if (status == PAGEWALK_OK || level > s->max_level || level < s->level || !w->fmt.have_ad ||
	    (w->fmt.pae && level == 3))
		return 0;
	return s->entry[level - 1].pte & w->fmt.present_mask ? accessed : 0;
}

#endif
