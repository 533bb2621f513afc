/* SPDX-License-Identifier: MIT */
/*
 * fault.h: from "refused" to what the CPU says about it. The page fault's error code (ERR), the EPT violation's exit
 * qualification (EPT-8), AMD's EXITINFO (NPT-5), and the rule that decided.
 */
#ifndef PAGEWALK_FAULT_H
#define PAGEWALK_FAULT_H

#include "format.h"

/* ---- Rights ------------------------------------------------------------------------------------------ */

/*
 * Whether rights refuse an access: 0, or PRESENT and, if it is a key that denies, PK (ERR-6). A key only counts on a
 * page that is a user's, and its bits are looked at whether or not another check fails too (PERM-7, PERM-11).
 */
static inline uint64_t
pagewalk_check_rights_(const struct PAGEWALK_TAG *w, unsigned pte_access, unsigned pte_pkey, uint64_t access)
{
	const uint64_t plain = PAGEWALK_PFERR_WRITE | PAGEWALK_PFERR_USER | PAGEWALK_PFERR_FETCH;
	/* PERM-3: AC = 1 opens user pages to explicit accesses. It takes RSVD's place, which no access has. */
	uint64_t smap_off = w->rflags >> 18 & ~(access >> 48) & 1;
	unsigned index = (unsigned)((access & plain) >> 1 | smap_off << 2);
	uint64_t error = 0;

	if (w->fmt.permissions[index] >> pte_access & 1)
		error = PAGEWALK_PFERR_PRESENT;
	if (w->fmt.pkru_mask && (pte_access & PAGEWALK_ACC_USER) &&
	    (w->pkru >> 2 * pte_pkey & w->fmt.pkru_mask >> 2 * index & 3))
		error = PAGEWALK_PFERR_PRESENT | PAGEWALK_PFERR_PK;
	return error;
}

/* The rule by which check_rights_ decides about an access; key: a protection key denies it. */
static inline uint16_t pagewalk_rights_rule_(const struct PAGEWALK_TAG *w, uint64_t access, bool key)
{
	if (w->fmt.kind == PAGEWALK_KIND_EPT)
		return PAGEWALK_RULE(EPT, 6);
	if (w->fmt.kind == PAGEWALK_KIND_NPT)
		return (access & PAGEWALK_PFERR_FETCH) && w->fmt.gmet ? PAGEWALK_RULE(NPT, 7) : PAGEWALK_RULE(NPT, 4);
	if (key)
		return PAGEWALK_RULE(PERM, 7);
	if (access & PAGEWALK_PFERR_USER)
		return PAGEWALK_RULE(PERM, 6);
	if (access & PAGEWALK_PFERR_FETCH)
		return PAGEWALK_RULE(PERM, 5);
	return access & PAGEWALK_PFERR_WRITE ? PAGEWALK_RULE(PERM, 4) : PAGEWALK_RULE(PERM, 3);
}

/* The rule by which a present entry of the level is refused for these of its bits. */
static inline uint16_t pagewalk_rsvd_rule_(const struct PAGEWALK_TAG *w, int level, uint64_t bits)
{
	switch (w->fmt.kind == PAGEWALK_KIND_EPT ? 0 : w->fmt.root_level) {
	case 0:
		return PAGEWALK_RULE(EPT, 3);
	case 2:
		return level == 1 || bits == PAGEWALK_PTE_PAT_LARGE ? PAGEWALK_RULE(MODE, 6) : PAGEWALK_RULE(MODE, 5);
	case 3:
		if (level == 3)
			return PAGEWALK_RULE(MODE, 7);
		return bits == (level == 1 ? PAGEWALK_PTE_PAT : PAGEWALK_PTE_PAT_LARGE) ? PAGEWALK_RULE(MODE, 6)
											: PAGEWALK_RULE(MODE, 9);
	default:
		return bits == PAGEWALK_PTE_GLOBAL ? PAGEWALK_RULE(MODE, 11) : PAGEWALK_RULE(MODE, 10);
	}
}

/* out->guest as it stands where no guest tables are walked: everything is allowed (MODE-1). */
static inline void pagewalk_no_guest_walk_(uint64_t addr, uint64_t access, struct pagewalk_walk *out)
{
	out->guest.address = out->guest.gpa = addr;
	out->guest.access = access;
	out->guest.max_level = out->guest.level = 0;
	out->guest.page_shift = 64;
	out->guest.pte_access = PAGEWALK_ACC_EXEC | PAGEWALK_ACC_WRITE | PAGEWALK_ACC_USER;
	out->guest.pte_pkey = 0;
}

static inline void pagewalk_no_nested_walk_(struct pagewalk_walk *out)
{
	out->nested.max_level = 0;
	out->nested.page_shift = 64;
}

/* ---- Faults ------------------------------------------------------------------------------------------ */

static inline void pagewalk_clear_fault_(struct pagewalk_fault *fault, uint16_t rule)
{
	fault->error_code = fault->address = fault->gpa = fault->exit_qualification = 0;
	fault->exit = fault->vector = 0;
	fault->rule = rule;
	fault->second_stage = false;
}

/* The error code of an access that was refused for reasons (PRESENT, RSVD, PK): ERR-1 ... ERR-6. */
static inline uint64_t pagewalk_error_code_(const struct PAGEWALK_TAG *w, uint64_t access, uint64_t reasons)
{
	return reasons | (access & (PAGEWALK_PFERR_WRITE | PAGEWALK_PFERR_USER)) |
	       (access & PAGEWALK_PFERR_FETCH ? w->fmt.fetch_error : 0);
}

/* EPT-8. rights: the AND of the entries, the one that refused included. */
static inline uint64_t
pagewalk_exit_qualification_(const struct PAGEWALK_TAG *w, uint64_t rights, const struct pagewalk_walk *out)
{
	uint64_t access = out->nested.access, q;
	unsigned guest;

	if (access & PAGEWALK_PFERR_GUEST_PAGE) /* a write of a table is a read-modify-write */
		q = PAGEWALK_EPT_VIOLATION_READ | (access & PAGEWALK_PFERR_WRITE ? PAGEWALK_EPT_VIOLATION_WRITE : 0);
	else if (access & PAGEWALK_PFERR_WRITE)
		q = PAGEWALK_EPT_VIOLATION_WRITE;
	else
		q = access & PAGEWALK_PFERR_FETCH ? PAGEWALK_EPT_VIOLATION_FETCH : PAGEWALK_EPT_VIOLATION_READ;

	q |= (rights & (PAGEWALK_EPT_READ | PAGEWALK_EPT_WRITE | PAGEWALK_EPT_EXEC))
	     << PAGEWALK_EPT_VIOLATION_RWX_SHIFT;
	if (w->fmt.mbec && (rights & PAGEWALK_EPT_USER_EXEC))
		q |= PAGEWALK_EPT_VIOLATION_XU;

	if ((access & PAGEWALK_ACCESS_NO_LINEAR) && !(w->cpu.quirks & PAGEWALK_QUIRK_KVM_EXIT_INFO))
		return q;
	q |= PAGEWALK_EPT_VIOLATION_LA_VALID;
	if (!(access & PAGEWALK_PFERR_GUEST_FINAL))
		return q;
	q |= PAGEWALK_EPT_VIOLATION_FINAL;
	guest = out->guest.pte_access; /* written by now: the guest's tables have been walked */
	if ((w->cpu.features & PAGEWALK_FEATURE_EPT_ADVANCED) && !(w->cpu.quirks & PAGEWALK_QUIRK_KVM_EXIT_INFO))
		q |= (guest & PAGEWALK_ACC_USER ? PAGEWALK_EPT_VIOLATION_LA_USER : 0) |
		     (guest & PAGEWALK_ACC_WRITE ? PAGEWALK_EPT_VIOLATION_LA_WRITE : 0) |
		     (guest & PAGEWALK_ACC_EXEC ? 0 : PAGEWALK_EPT_VIOLATION_LA_NX);
	return q;
}

/*
 * The walk that out->guest or, for a second stage, out->nested describes is refused, for reasons in bits of the error
 * code: 0 (not present), PRESENT | RSVD, PRESENT (rights), PRESENT | PK.
 */
static inline enum pagewalk_status pagewalk_refuse_(const struct PAGEWALK_TAG *w, uint64_t reasons, uint64_t rights,
						    uint16_t rule, struct pagewalk_walk *out)
{
	struct pagewalk_fault *fault = &out->fault;
	const struct pagewalk_stage *s = &out->nested;

	pagewalk_clear_fault_(fault, rule);
	if (w->fmt.kind == PAGEWALK_KIND_GUEST) {
		fault->vector = PAGEWALK_VECTOR_PF;
		fault->error_code = pagewalk_error_code_(w, out->guest.access, reasons);
		fault->address = out->guest.address;
		return PAGEWALK_FAULT;
	}

	fault->second_stage = true;
	fault->address = out->guest.address;
	fault->gpa = s->address;
	if ((w->cpu.quirks & PAGEWALK_QUIRK_KVM_PAGE_BASE) && out->guest.max_level)
		fault->gpa &= ~UINT64_C(0xfff);
	if (w->fmt.kind == PAGEWALK_KIND_NPT) {
		fault->exit = PAGEWALK_EXIT_NPF;
		fault->error_code = pagewalk_error_code_(w, s->access, reasons) |
				    (s->access & (PAGEWALK_PFERR_GUEST_FINAL | PAGEWALK_PFERR_GUEST_PAGE));
	} else if (reasons & PAGEWALK_PFERR_RSVD) {
		fault->exit = PAGEWALK_EXIT_EPT_MISCONFIG;
	} else {
		fault->exit = PAGEWALK_EXIT_EPT_VIOLATION;
		fault->exit_qualification = pagewalk_exit_qualification_(w, rights, out);
	}
	return PAGEWALK_NESTED_FAULT;
}

/* An entry that is not present. */
static inline enum pagewalk_status
pagewalk_refuse_absent_(const struct PAGEWALK_TAG *w, uint64_t rights, struct pagewalk_walk *out)
{
	uint16_t rule = w->fmt.kind == PAGEWALK_KIND_EPT ? PAGEWALK_RULE(EPT, 2) : PAGEWALK_RULE(ERR, 1);

	return pagewalk_refuse_(w, 0, rights, rule, out);
}

/* An entry of the level that is present and malformed. */
static inline enum pagewalk_status pagewalk_refuse_rsvd_(const struct PAGEWALK_TAG *w, uint64_t gpte, int level,
							 uint64_t rights, struct pagewalk_walk *out)
{
	uint64_t bits = gpte & w->fmt.rsvd_bits_mask[gpte >> 7 & 1][level - 1];
	uint16_t rule = pagewalk_rsvd_rule_(w, level, bits);

	return pagewalk_refuse_(w, PAGEWALK_PFERR_PRESENT | PAGEWALK_PFERR_RSVD, rights, rule, out);
}

/* A callback has nothing at pa. */
static inline enum pagewalk_status
pagewalk_no_memory_(const struct PAGEWALK_TAG *w, uint64_t pa, struct pagewalk_walk *out)
{
	pagewalk_clear_fault_(&out->fault, 0);
	out->fault.address = out->guest.address;
	out->fault.gpa = pa;
	out->fault.second_stage = w->fmt.kind >= PAGEWALK_KIND_NPT;
	return PAGEWALK_NO_MEMORY;
}

/* The same of a table's entry. KVM takes it for one that is not present; rights are those before it. */
static inline enum pagewalk_status
pagewalk_no_entry_(const struct PAGEWALK_TAG *w, uint64_t pa, uint64_t rights, struct pagewalk_walk *out)
{
	if (w->cpu.quirks & PAGEWALK_QUIRK_KVM_NOT_PRESENT)
		return pagewalk_refuse_absent_(w, rights, out);
	return pagewalk_no_memory_(w, pa, out);
}

/* A #GP(0) or #SS(0) at an address or a PDPTE load. */
static inline enum pagewalk_status
pagewalk_general_protection_(uint8_t vector, uint64_t address, uint16_t rule, struct pagewalk_walk *out)
{
	pagewalk_clear_fault_(&out->fault, rule);
	out->fault.vector = vector;
	out->fault.address = address;
	return PAGEWALK_FAULT;
}

#endif
