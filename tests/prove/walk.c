/* SPDX-License-Identifier: MIT */
/*
 * walk.c: an attempt (gva_to_gpa) at a guest's linear addresses in each mode, without a second stage, over NPT, over EPT
 * (model.h). REFRESH: after a refresh from that mode; init.c has all pairs of modes.
 * partition: depth,missing,stages,eptp_low,wide_root,table_write,asked,pdptes,as_walked
 * cases: -DGUEST=0 / -DGUEST=2 / -DGUEST=3 / -DGUEST=4 / -DGUEST=5
 * cases: -DGUEST=2 -DREFRESH=2 / -DGUEST=3 -DREFRESH=2
 * cases: -DSTAGES=2 -DSECOND=4 -DGUEST=0 / -DSTAGES=2 -DSECOND=4 -DGUEST=2 / -DSTAGES=2 -DSECOND=4 -DGUEST=3
 * cases: -DSTAGES=2 -DSECOND=4 -DGUEST=4 / -DSTAGES=2 -DSECOND=4 -DGUEST=5
 * cases: -DSTAGES=2 -DSECOND=EPT4 -DGUEST=0 / -DSTAGES=2 -DSECOND=EPT4 -DGUEST=2 / -DSTAGES=2 -DSECOND=EPT4 -DGUEST=3
 * cases: -DSTAGES=2 -DSECOND=EPT4 -DAD=1 -DGUEST=4 / -DSTAGES=2 -DSECOND=EPT4 -DAD=0 -DGUEST=4
 * cases: -DSTAGES=2 -DSECOND=EPT4 -DAD=1 -DGUEST=5 / -DSTAGES=2 -DSECOND=EPT4 -DAD=0 -DGUEST=5
 */
#include "model.h"

#ifndef STAGES
#define STAGES 1
#endif

static void check(enum pagewalk_status status, const struct pagewalk_walk *out)
{
	const struct pagewalk_stage *s = &out->guest;

	//@ assert status: PAGEWALK_OK <= status <= PAGEWALK_BAD_STATE;
	//@ assert reads_bound: depth <= GUEST;
	//@ assert stages_bound: stages <= (STAGES == 1 ? 0 : GUEST + (table_write ? 1 : 2));
	//@ assert all_reads_bound: reads + second_reads <= PAGEWALK_MAX_READS;
	//@ assert writes_bound: writes <= reads;
	if (status == PAGEWALK_BAD_STATE)
		return;
	check_entries(s, GUEST);
	if (status == PAGEWALK_RETRY)
		return;
	if (status != PAGEWALK_OK) {
		check_fault(status, &out->fault);
		return;
	}
	//@ assert ok_rights: s->pte_access <= PAGEWALK_ACC_ALL;
	//@ assert ok_key: s->pte_pkey <= 15;
	if (GUEST) {
		//@ assert ok_walked: s->max_level == GUEST && s->level >= 1;
		//@ assert ok_level: s->level <= 3;
		//@ assert ok_gpa: IN_MEMORY(s->gpa);
		//@ assert ok_pa: IN_MEMORY(out->pa);
		check_page_shift(s);
	} else {
		//@ assert ok_no_walk: s->max_level == 0 && s->page_shift == 64;
		//@ assert ok_no_walk_gpa: \initialized(&s->gpa) && \initialized(&out->pa);
	}
}

static unsigned pdptes; /* where they are, in PAE over NPT (MODE-8) */

/* Says to Eva what pagewalk_has_pdptrs_() will answer. Nothing changes. */
static void split_pdptes(void)
{
	pdptes = 1;
	if (guest.cpu.quirks & PAGEWALK_QUIRK_KVM_PAE_CACHED) {
		guest.cpu.quirks |= PAGEWALK_QUIRK_KVM_PAE_CACHED;
		return;
	}
	guest.cpu.quirks &= ~PAGEWALK_QUIRK_KVM_PAE_CACHED;
	if (guest.cpu.vendor == PAGEWALK_AMD)
		pdptes = 2;
	else
		pdptes = 3;
}

int main(void)
{
	struct pagewalk_walk out;
	enum pagewalk_status status;

	if (init_guest() != PAGEWALK_OK)
		return 0;
#if STAGES == 2
	if (init_model() != PAGEWALK_OK)
		return 0;
	guest.ngpa_walk = &second;
	if (GUEST == 3 && SECOND < EPT4)
		split_pdptes();
#endif
	split_ad(&guest);
	start_attempt();
	status = guest.gva_to_gpa(&guest, any64, any64, &out);
	check(status, &out);
	return 0;
}
