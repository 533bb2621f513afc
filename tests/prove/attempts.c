/* SPDX-License-Identifier: MIT */
/*
 * attempts.c: FNAME(walk_addr) of each instance. Of FNAME(gva_to_gpa) only the contract below is used: any status and
 * any record, which is less than what walk.c and second.c prove, and a count. In case 1 it is the function itself.
 * cases: -DGUEST=2 / -DINSTANCE=32 -DGUEST=2 / -DINSTANCE=64 -DGUEST=3 / -DINSTANCE=64 -DGUEST=4 / -DINSTANCE=64 -DGUEST=5
 * cases: -DINSTANCE=64 -DSTAGE=2 -DSECOND=4 / -DINSTANCE=18 -DSTAGE=2 -DSECOND=EPT4
 * partition: depth,missing,as_walked,attempts
 */
#include "prove.h"

#if !defined STAGE
#define walker guest
#else
#define walker second
#endif

#if !defined INSTANCE
#define walk_addr pagewalk32_walk_addr
#else
static int last;
#if INSTANCE == 32
#define walk_addr pagewalk32_walk_addr
#define one_attempt pagewalk32_gva_to_gpa
#elif INSTANCE == 64
#define walk_addr pagewalk64_walk_addr
#define one_attempt pagewalk64_gva_to_gpa
#else
#define walk_addr pagewalk_ept_walk_addr
#define one_attempt pagewalk_ept_gva_to_gpa
#endif
/*@ requires walker: w == &walker;
  @ requires one_of_8: attempts < 8;
  @ assigns *out, attempts, last, \result \from any64, attempts;
  @ ensures assumed_answer: 0 <= \result <= 5 && last == \result;
  @ ensures assumed_count: attempts == \old(attempts) + 1;
  @*/
static inline enum pagewalk_status
one_attempt(const struct kvm_pagewalk *w, uint64_t addr, uint64_t access, struct pagewalk_walk *out);
#endif

int main(void)
{
	struct pagewalk_walk out;
	enum pagewalk_status status;

#ifdef STAGE
	if (init_second() != PAGEWALK_OK)
		return 0;
#else
	if (init_guest() != PAGEWALK_OK)
		return 0;
#endif
	split_ad(&walker);
	start_attempt();
	attempts = 0;
	status = walk_addr(&walker, any64, any64, &out);
	//@ assert status: PAGEWALK_OK <= status <= PAGEWALK_BAD_STATE;
#ifdef INSTANCE
	//@ assert attempts_bound: 1 <= attempts <= PAGEWALK_MAX_ATTEMPTS;
	if (status == PAGEWALK_RETRY) {
		//@ assert retried: attempts == PAGEWALK_MAX_ATTEMPTS;
	}
#else
	//@ assert all_reads: reads <= 2 * PAGEWALK_MAX_ATTEMPTS;
	//@ assert all_writes: writes <= 2 * PAGEWALK_MAX_ATTEMPTS;
#endif
	return 0;
}
