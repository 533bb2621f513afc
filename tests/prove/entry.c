/* SPDX-License-Identifier: MIT */
/*
 * entry.c: the functions that look at one entry, and the rights of a translation that the caller cached, for each format
 * and whatever entry, level and rights.
 * cases: -DGUEST=2 / -DGUEST=3 / -DGUEST=4 / -DGUEST=5 / -DGUEST=0 / -DSTAGES=2 -DSECOND=2 / -DSTAGES=2 -DSECOND=3
 * cases: -DSTAGES=2 -DSECOND=4 / -DSTAGES=2 -DSECOND=5 / -DSTAGES=2 -DSECOND=EPT4 / -DSTAGES=2 -DSECOND=EPT5
 * partition: eptp_low,wide_root
 */
#include "prove.h"

/* The instance that belongs to the format. */
#if defined STAGES && SECOND >= EPT4
#define INSTANCE(name) pagewalk_ept_##name
#define entry uint64_t
#define LEVELS LEVELS_OF(SECOND)
#elif defined STAGES ? SECOND == 2 : GUEST == 2
#define INSTANCE(name) pagewalk32_##name
#define entry uint32_t
#define LEVELS 2
#else
#define INSTANCE(name) pagewalk64_##name
#define entry uint64_t
#define LEVELS (STAGED ? LEVELS_OF(SECOND) : GUEST)
#endif
#ifdef STAGES
#define STAGED 1
#else
#define STAGED 0
#endif

int main(void)
{
	const struct kvm_pagewalk *w = STAGED ? &second : &guest;
	entry gpte = (entry)any64;
	unsigned access = any8 & PAGEWALK_ACC_ALL, given = access, pkey;
	uint64_t gfn = 0, error;
	int level;
	bool yes;

	if ((STAGED ? init_second() : init_guest()) != PAGEWALK_OK)
		return 0;
	error = pagewalk_permission_fault(w, any32, any32, any64);
	//@ assert permission_error: error <= 0x3f;
	for (level = 1; level <= LEVELS; level++) {
		yes = INSTANCE(is_present_gpte)(w, gpte);
		//@ assert present: yes <= 1;
		yes = INSTANCE(is_bad_mt_xwr)(w, gpte);
		yes = INSTANCE(is_rsvd_bits_set)(w, gpte, level);
		yes = INSTANCE(is_last_gpte)(w, level, gpte);
		if (level <= 3) {
			uint64_t gpa = INSTANCE(gpte_to_gpa_lvl)(w, gpte, level);
			//@ assert page_in_memory: IN_MEMORY(gpa);
			//@ assert page_aligned: gpa % 4096 == 0;
		}
	}
	access = INSTANCE(gpte_access)(w, gpte);
	//@ assert rights: access <= PAGEWALK_ACC_ALL;
	pkey = INSTANCE(gpte_pkeys)(gpte);
	//@ assert key: pkey <= 15;
	access = any8 & PAGEWALK_ACC_ALL;
	INSTANCE(protect_clean_gpte)(w, &access, gpte);
	//@ assert protected: access <= PAGEWALK_ACC_ALL;
	yes = INSTANCE(prefetch_invalid_gpte)(w, gpte);
	yes = INSTANCE(prefetch_gpte)(w, given, gpte, &gfn, &access);
	//@ assert prefetch_frame: gfn <= 0xffffffffff;
	//@ assert prefetch_rights: access <= PAGEWALK_ACC_ALL;
	(void)yes;
	return 0;
}
