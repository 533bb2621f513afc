/* SPDX-License-Identifier: MIT */
/*
 * nested.h: the second stage as a guest's walk sees it (EPT-7, EPT-12, NPT-2, NPT-6), paging switched off (MODE-1) and
 * the load of the PDPTE registers (MODE-7). The second stage's own walk is paging_tmpl.h like any other.
 */
#ifndef PAGEWALK_NESTED_H
#define PAGEWALK_NESTED_H

#include "fault.h"

/* ERR-3: an implicit access is the system's, at CPL 3 too. */
static inline uint64_t pagewalk_guest_access_(uint64_t access)
{
	return access & PAGEWALK_ACCESS_IMPLICIT ? access & ~PAGEWALK_ACCESS_USER : access;
}

/*
 * Where a guest-physical address of this walker leads: itself without a second stage, else one attempt at that stage's
 * walk. access says for what: READ, WRITE or FETCH; USER (EPT: of a user-mode linear address, EPT-6; NPT without GMET:
 * always, NPT-2); PFERR_GUEST_PAGE for an entry of a guest table or PFERR_GUEST_FINAL for the access itself.
 * OK: *pa is valid. NESTED_FAULT, NO_MEMORY, BAD_STATE: as for a walk. RETRY: an A/D update lost, call again.
 */
static inline enum pagewalk_status pagewalk_translate_gpa(const struct PAGEWALK_TAG *w, uint64_t gpa, uint64_t access,
							  uint64_t *pa, struct pagewalk_walk *out)
{
	const struct PAGEWALK_TAG *n = w->ngpa_walk;
	enum pagewalk_status status;

	if (!n) {
		*pa = gpa;
		return PAGEWALK_OK;
	}
	if (n->fmt.kind < PAGEWALK_KIND_NPT) /* a guest's walker is no second stage, and could lead back here */
		return PAGEWALK_BAD_STATE;
	status = n->gva_to_gpa(n, gpa, access, out);
	if (status == PAGEWALK_OK)
		*pa = out->nested.gpa;
	return status;
}

/* The access that the guest makes in the end, as the second stage sees it. */
static inline enum pagewalk_status pagewalk_translate_final_(const struct PAGEWALK_TAG *w, uint64_t gpa,
							     uint64_t access, unsigned pte_access, uint64_t *pa,
							     struct pagewalk_walk *out)
{
	access &= PAGEWALK_PFERR_WRITE | PAGEWALK_PFERR_FETCH | PAGEWALK_PFERR_USER;
	if (w->ngpa_walk && w->ngpa_walk->fmt.kind == PAGEWALK_KIND_EPT) {
		access &= ~PAGEWALK_PFERR_USER; /* the address's mode, not the access's */
		access |= pte_access & PAGEWALK_ACC_USER ? PAGEWALK_PFERR_USER : 0;
	}
	return pagewalk_translate_gpa(w, gpa, access | PAGEWALK_PFERR_GUEST_FINAL, pa, out);
}

/* MODE-1: gva_to_gpa with paging off. The address is the guest-physical one, all 64 bits of it. */
static inline enum pagewalk_status
pagewalk_nonpaging_gva_to_gpa(const struct PAGEWALK_TAG *w, uint64_t addr, uint64_t access, struct pagewalk_walk *out)
{
	access = pagewalk_guest_access_(access);
	pagewalk_no_guest_walk_(addr, access, out);
	pagewalk_no_nested_walk_(out);
	return pagewalk_translate_final_(w, addr, access, out->guest.pte_access, &out->pa, out);
}

/* MODE-8: AMD under nested paging has no PDPTE registers; each walk reads the PDPTE that it needs. */
static inline bool pagewalk_has_pdptrs_(const struct PAGEWALK_TAG *w)
{
	bool in_memory = w->cpu.vendor == PAGEWALK_AMD && w->ngpa_walk && w->ngpa_walk->fmt.kind == PAGEWALK_KIND_NPT;

	return w->fmt.pdpte_registers && !(in_memory && !(w->cpu.quirks & PAGEWALK_QUIRK_KVM_PAE_CACHED));
}

static inline enum pagewalk_status
pagewalk_load_pdptrs_once_(const struct PAGEWALK_TAG *w, uint64_t cr3, uint64_t pdptr[4], struct pagewalk_walk *out)
{
	uint64_t gpa = cr3 & w->fmt.root_mask, pa, value[4];
	uint64_t access = PAGEWALK_PFERR_GUEST_PAGE | PAGEWALK_ACCESS_NO_LINEAR;
	bool as_kvm = (w->cpu.quirks & PAGEWALK_QUIRK_KVM_PDPTE_LOAD) != 0;
	enum pagewalk_status status;
	unsigned i;

	pagewalk_no_guest_walk_(cr3, PAGEWALK_ACCESS_READ, out);
	pagewalk_no_nested_walk_(out);
	if (!w->fmt.pdpte_registers)
		return PAGEWALK_BAD_STATE;
	if (!pagewalk_has_pdptrs_(w))
		return PAGEWALK_OK;
	/* EPT-7: under EPT the load stays a read, A/D flags or not. */
	if (w->ngpa_walk && (w->ngpa_walk->fmt.kind == PAGEWALK_KIND_NPT || as_kvm))
		access |= w->ngpa_walk->fmt.table_access;
	status = pagewalk_translate_gpa(w, gpa, access, &pa, out);
	for (i = 0; i < 4 && status == PAGEWALK_OK; i++)
		if (w->read_gpte(w, pa + 8 * i, 8, &value[i]) < 0)
			status = pagewalk_no_memory_(w, pa + 8 * i, out);
	if (as_kvm && (status == PAGEWALK_NESTED_FAULT || status == PAGEWALK_NO_MEMORY))
		return pagewalk_general_protection_(PAGEWALK_VECTOR_GP, cr3, PAGEWALK_RULE(MODE, 7), out);
	if (status != PAGEWALK_OK)
		return status;
	for (i = 0; i < 4; i++)
		if ((value[i] & PAGEWALK_PTE_PRESENT) && (value[i] & w->fmt.rsvd_bits_mask[0][2]))
			return pagewalk_general_protection_(PAGEWALK_VECTOR_GP, cr3, PAGEWALK_RULE(MODE, 7), out);
	for (i = 0; i < 4; i++)
		pdptr[i] = value[i];
	return PAGEWALK_OK;
}

/*
 * What MOV to CR3 (and the other loads of MODE-7) does in PAE paging: reads the four PDPTEs at cr3 into pdptr,
 * typically the walker's own field or what get_pdptr returns. FAULT: #GP(0) for a reserved bit in a present one; then,
 * and in every other case but OK, pdptr is as before; also where the CPU has no such registers (MODE-8), which is OK.
 * BAD_STATE: not PAE paging. S4.4.1.
 */
static inline enum pagewalk_status
pagewalk_load_pdptrs(const struct PAGEWALK_TAG *w, uint64_t cr3, uint64_t pdptr[4], struct pagewalk_walk *out)
{
	enum pagewalk_status status = PAGEWALK_RETRY;
	int attempt;

	for (attempt = 0; attempt < PAGEWALK_MAX_ATTEMPTS && status == PAGEWALK_RETRY; attempt++)
		status = pagewalk_load_pdptrs_once_(w, cr3, pdptr, out);
	return status;
}

#endif
