/* SPDX-License-Identifier: MIT */
/*
 * second.c: one attempt of a second stage, by itself: EPT, NPT. What is proven here is all that second_model()
 * (model.h) takes for granted about it.
 * cases: -DSECOND=2 / -DSECOND=3 / -DSECOND=4 / -DSECOND=5 / -DSECOND=EPT4 / -DSECOND=EPT5
 * cases: -DTABLE -DSECOND=2 / -DTABLE -DSECOND=3 / -DTABLE -DSECOND=4 / -DTABLE -DSECOND=5
 * cases: -DTABLE -DSECOND=EPT4 / -DTABLE -DSECOND=EPT5
 * partition: depth,missing,eptp_low,wide_root,low,writable,as_walked
 */
#include "prove.h"

#define LEVELS LEVELS_OF(SECOND)

static unsigned low;  /* 2^n - 1: the address is aligned to 2^n */
static bool writable; /* the rights of all entries have WRITE */

#ifdef TABLE
/*
 * An instance of the template of our own, which is the library's, but for the check of rights: Eva is told there to keep
 * apart what may be written and what may not.
 */
static uint64_t
check_rights(const struct kvm_pagewalk *w, const uint8_t *pte_access, unsigned pte_pkey, uint64_t access)
{
	unsigned a = *pte_access;

	(void)a;
	if (*pte_access == 2 || *pte_access == 3 || *pte_access == 6 || *pte_access == 7 || *pte_access == 10 ||
	    *pte_access == 11 || *pte_access == 14 || *pte_access == 15)
		writable = true;
	else
		writable = false;
	return pagewalk_check_rights_(w, *pte_access, pte_pkey, access);
}

#if SECOND >= EPT4
#define PTTYPE PAGEWALK_PTTYPE_EPT
#elif SECOND == 2
#define PTTYPE 32
#else
#define PTTYPE 64
#endif
#define FNAME(name) own_##name
#define PAGEWALK_READ_GPTE(w, pa, size, gpte) read_gpte(w, pa, size, gpte)
#define pagewalk_check_rights_(w, pte_access, pte_pkey, access) check_rights(w, &(pte_access), pte_pkey, access)
#include <pagewalk/paging_tmpl.h>
#endif

static void check(enum pagewalk_status status, const struct pagewalk_walk *out)
{
	const struct pagewalk_stage *s = &out->nested;

	//@ assert status: PAGEWALK_OK <= status <= PAGEWALK_BAD_STATE && status != PAGEWALK_FAULT;
	//@ assert reads_bound: reads <= LEVELS;
	//@ assert writes_bound: writes <= reads;
	if (status == PAGEWALK_BAD_STATE) {
		//@ assert bad_state_no_entry: s->max_level == 0 && s->level == 0;
		return;
	}
	check_entries(s, LEVELS);
	if (status == PAGEWALK_RETRY)
		return;
	if (status != PAGEWALK_OK) {
		check_fault(status, &out->fault);
		//@ assert met_in_the_second_stage: out->fault.second_stage == true;
		return;
	}
	//@ assert ok_walked: s->max_level == LEVELS && s->level >= 1;
	//@ assert ok_level: s->level <= 3;
	//@ assert ok_rights: s->pte_access <= PAGEWALK_ACC_ALL;
	//@ assert ok_key: s->pte_pkey == 0;
	//@ assert ok_gpa: IN_MEMORY(s->gpa);
	//@ assert ok_pa: IN_MEMORY(out->pa);
	check_page_shift(s);
	//@ assert ok_aligned: s->gpa % (low + 1) == 0 && out->pa % (low + 1) == 0;
#ifdef TABLE
	if (out->nested.access & PAGEWALK_ACCESS_WRITE) {
		//@ assert ok_write: writable == true;
		//@ assert ok_write_rights: s->pte_access == 2 || s->pte_access == 3 || s->pte_access == 6 || s->pte_access == 7 || s->pte_access == 10 || s->pte_access == 11 || s->pte_access == 14 || s->pte_access == 15;
	}
#endif
}

/* Of the guest's part of the record a second stage writes nothing. */
static void check_guest(const struct pagewalk_walk *out)
{
	//@ assert keeps_access: out->guest.access == 1 && out->guest.gpa == 2;
	//@ assert keeps_level: out->guest.level == 3 && out->guest.page_shift == 4 && out->guest.pte_pkey == 5;
	//@ assert keeps_entries: \forall integer i; 0 <= i < 5 ==> out->guest.entry[i].pte == 6 && out->guest.pt_access[i] == 7;
#ifdef TABLE
	//@ assert keeps_address: out->guest.address == 8 && out->guest.max_level == 5;
	//@ assert keeps_rights: !\initialized(&out->guest.pte_access);
#endif
}

int main(void)
{
	uint64_t address = any64, access = any64;
	struct pagewalk_walk out;
	enum pagewalk_status status;
	int i;

	if (init_second() != PAGEWALK_OK)
		return 0;
	out.guest.access = 1;
	out.guest.gpa = 2;
	out.guest.level = 3;
	out.guest.page_shift = 4;
	out.guest.pte_pkey = 5;
	for (i = 0; i < PAGEWALK_MAX_LEVEL; i++) {
		out.guest.entry[i].pte = 6;
		out.guest.pt_access[i] = 7;
	}
	writable = true;
#ifdef TABLE
	/* For a guest table's entry, at its alignment. The guest's walk has no rights yet. */
	access = PAGEWALK_PFERR_GUEST_PAGE | PAGEWALK_ACCESS_WRITE;
	low = any & 1 ? 7 : 3;
	out.guest.address = 8;
	out.guest.max_level = 5;
	second.gva_to_gpa = own_gva_to_gpa;
#else
	/* Any access, of whatever rights the guest's walk has found. */
	out.guest.address = any64;
	out.guest.max_level = any8;
	out.guest.pte_access = any8 & PAGEWALK_ACC_ALL;
#endif
	address &= ~(uint64_t)low;
	split_ad(&second);
	start_attempt();
	status = second.gva_to_gpa(&second, address, access, &out);
	check(status, &out);
	check_guest(&out);
	return 0;
}
