/* SPDX-License-Identifier: MIT */
/*
 * translate.c: pagewalk_translate() around the attempts, and what a caller then asks of the record. REAL: with attempts of
 * the library's own; else with attempts that answer whatever walk.c and second.c prove that they can.
 * cases: -DREAL -DGUEST=0 / -DREAL -DGUEST=2
 * cases: -DGUEST=0 / -DGUEST=2 / -DGUEST=3 / -DGUEST=4 / -DGUEST=5 / -DSTAGE=2 -DSECOND=4 / -DSTAGE=2 -DSECOND=EPT4
 * cases: -DNESTED -DGUEST=4 -DSECOND=4 / -DNESTED -DGUEST=4 -DSECOND=EPT4
 * partition: depth,missing,last,as_walked,read_none
 */
#include "model.h"

#ifndef STAGE
#define STAGE 1
#endif

#if STAGE == 2
#define walker second
#else
#define walker guest
#endif

static enum pagewalk_status (*real)(const struct kvm_pagewalk *w, uint64_t addr, uint64_t access,
				    struct pagewalk_walk *out);
static int last;       /* what the last attempt answered */
static bool read_none; /* and it had read no entry */

#ifndef REAL
/* A stage that has been passed. */
static void any_good_stage(struct pagewalk_stage *s)
{
	s->level = any8 % 3 + 1;
	s->max_level = any8 % 4 + 2;
	s->gpa = any64;
	s->page_shift = any8 % 31;
	s->pte_access = any8 & PAGEWALK_ACC_ALL;
	s->pte_pkey = any8 & 15;
}

/* A stage that went no further than this. */
static void any_ended_stage(struct pagewalk_stage *s)
{
	if (any & 1) {
		read_none = true;
		s->max_level = s->level = 0;
	} else {
		read_none = false;
		any_read_stage(s);
	}
}

static enum pagewalk_status model(uint64_t addr, uint64_t access, struct pagewalk_walk *out)
{
	unsigned answer = any8 % 6;

	if (answer != PAGEWALK_OK) {
		any_ended_stage(STAGE == 1 ? &out->guest : &out->nested);
#ifdef NESTED
		if (any & 1)
			out->nested.max_level = any8 % 6;
#else
		if (STAGE == 1)
			pagewalk_no_nested_walk_(out);
#endif
	} else {
		if (STAGE == 1 && GUEST)
			any_good_stage(&out->guest);
		else if (STAGE == 1)
			pagewalk_no_guest_walk_(addr, access, out);
#if STAGE == 2 || defined NESTED
		any_good_stage(&out->nested);
#else
		pagewalk_no_nested_walk_(out);
#endif
	}
	out->pa = any64;
	switch (answer) {
	case 0:
		return PAGEWALK_OK;
	case 1:
		return PAGEWALK_FAULT;
	case 2:
		return PAGEWALK_NESTED_FAULT;
	case 3:
		return PAGEWALK_NO_MEMORY;
	case 4:
		return PAGEWALK_RETRY;
	default:
		out->guest.max_level = out->guest.level = 0;
		out->nested.max_level = out->nested.level = 0;
		return PAGEWALK_BAD_STATE;
	}
}
#endif

static enum pagewalk_status
attempt(const struct kvm_pagewalk *w, uint64_t addr, uint64_t access, struct pagewalk_walk *out)
{
	enum pagewalk_status status;

	start_attempt();
	read_none = false;
	//@ assert attempts_bound: attempts <= PAGEWALK_MAX_ATTEMPTS;
#ifdef REAL
	status = real(w, addr, access, out);
#else
	//@ assert attempt_walker: w == &walker;
	status = model(addr, access, out);
#endif
	last = (int)status;
	return status;
}

static void check(enum pagewalk_status status, const struct pagewalk_walk *out)
{
	uint64_t flags, error;
	unsigned shift, rights;
	int level;

	//@ assert status: PAGEWALK_OK <= status <= PAGEWALK_BAD_STATE;
	if (attempts) {
		//@ assert answers_the_last: status == last;
	}
	if (status == PAGEWALK_RETRY) {
		//@ assert retried: attempts == PAGEWALK_MAX_ATTEMPTS;
	}
	for (level = 1; level <= PAGEWALK_MAX_LEVEL; level++) {
		flags = pagewalk_ad_dont_care(&walker, STAGE == 1 ? &out->guest : &out->nested, level, status);
		//@ assert dont_care: flags == 0 || flags == PAGEWALK_PTE_ACCESSED || flags == PAGEWALK_EPT_ACCESSED;
	}
	if (status != PAGEWALK_OK)
		return;
	shift = pagewalk_page_shift(out);
	//@ assert page_shift_of_both: shift <= 64;
	rights = pagewalk_rights(&walker, out);
	//@ assert rights_of_both: rights <= 15;
	if (STAGE == 1) {
		error = pagewalk_permission_fault(&guest, out->guest.pte_access, out->guest.pte_pkey, any64);
		//@ assert permission_error: error <= 0x3f;
	}
}

int main(void)
{
	struct pagewalk_walk out;
	enum pagewalk_status status;

#if STAGE == 2 || defined NESTED
	if (init_second() != PAGEWALK_OK)
		return 0;
#endif
#if STAGE == 1
	if (init_guest() != PAGEWALK_OK)
		return 0;
#endif
#ifdef NESTED
	guest.ngpa_walk = &second;
#endif
	split_ad(&walker);
	real = walker.gva_to_gpa;
	walker.gva_to_gpa = attempt;
	status = pagewalk_translate(&walker, any64, any64, &out);
	check(status, &out);
	return 0;
}
