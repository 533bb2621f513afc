/* SPDX-License-Identifier: MIT */
/*
 * nested.c: nested.h called by an embedder: a GPA of a guest, and the load of the PDPTE registers, without a second stage, over
 * NPT, over EPT (model.h), and over a walker that is no second stage.
 * cases: -DGUEST=3 / -DGUEST=3 -DSTAGES=2 -DSECOND=4 / -DGUEST=3 -DSTAGES=2 -DSECOND=EPT4 / -DGUEST=3 -DSTAGES=3
 * cases: -DGUEST=0 / -DGUEST=2 / -DGUEST=4 / -DGUEST=5
 * partition: wide_root,table_write,asked,stages,missing
 */
#include "model.h"

#ifndef STAGES
#define STAGES 1
#endif

static void check_loaded(enum pagewalk_status status, const uint64_t pdptr[4], const struct pagewalk_walk *out)
{
	//@ assert load_status: PAGEWALK_OK <= status <= PAGEWALK_BAD_STATE;
	//@ assert load_reads: reads <= 4 * PAGEWALK_MAX_ATTEMPTS;
	//@ assert load_stages: stages <= (STAGES == 2 ? PAGEWALK_MAX_ATTEMPTS : 0);
	//@ assert load_writes: writes == 0;
	//@ assert load_record: out->guest.max_level == 0 && out->guest.page_shift == 64;
	if (status != PAGEWALK_OK) {
		//@ assert load_keeps: pdptr[0] == 1 && pdptr[1] == 2 && pdptr[2] == 3 && pdptr[3] == 4;
	}
	if (GUEST != 3) {
		//@ assert load_not_pae: status == PAGEWALK_BAD_STATE;
	}
	if (STAGES != 2) {
		//@ assert load_no_nested_fault: status != PAGEWALK_NESTED_FAULT && status != PAGEWALK_RETRY;
	}
	if (status == PAGEWALK_FAULT || status == PAGEWALK_NESTED_FAULT || status == PAGEWALK_NO_MEMORY)
		check_fault(status, &out->fault);
}

int main(void)
{
	struct pagewalk_walk out, record;
	uint64_t pdptr[4] = { 1, 2, 3, 4 }, pa;
	enum pagewalk_status status;

	if (init_guest() != PAGEWALK_OK)
		return 0;
#if STAGES == 2
	if (init_model() != PAGEWALK_OK)
		return 0;
	guest.ngpa_walk = &second;
#elif STAGES == 3
	guest.ngpa_walk = any & 1 ? &guest : &second; /* itself, or one that nobody initialised */
#endif
	start_attempt();
	status = pagewalk_load_pdptrs(&guest, any64, pdptr, &out);
	check_loaded(status, pdptr, &out);

	/* Outside a walk of its own the record says whose GPA it is, and what that walk allowed. */
	record.guest.address = any64;
	record.guest.max_level = any8;
	record.guest.pte_access = any8 & PAGEWALK_ACC_ALL;
	start_attempt();
	status = pagewalk_translate_gpa(&guest, any64, any64, &pa, &record);
	//@ assert gpa_status: PAGEWALK_OK <= status <= PAGEWALK_BAD_STATE && status != PAGEWALK_FAULT;
	//@ assert gpa_stages: stages <= 1;
	if (STAGES == 1) {
		//@ assert gpa_is_pa: status == PAGEWALK_OK && \initialized(&pa);
	} else if (STAGES == 3) {
		//@ assert gpa_no_second_stage: status == PAGEWALK_BAD_STATE;
	} else if (status == PAGEWALK_OK) {
		//@ assert gpa_in_memory: IN_MEMORY(pa);
	}
	return 0;
}
