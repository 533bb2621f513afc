/* SPDX-License-Identifier: MIT */
/*
 * kvm.h: oracle K0. A case through KVM's own walker, that of Debian's linux-source-6.12, for comparison with the
 * library's profiles kvm-intel and kvm-amd. See README.md.
 */
#ifndef FUZZ_KVM_KVM_H
#define FUZZ_KVM_KVM_H

#include "case.h"

/* Package and version that it was cut from. */
extern const char kvm_source[];

/*
 * What KVM has changed since 6.12, and the profiles follow: each bit has the walker do it the later way. kvm_since[]
 * says what that is.
 */
enum {
	KVM_SINCE_EPT_READ = 1 << 0,
	KVM_SINCE_NPF_STAGE = 1 << 1,
	KVM_SINCE_BITS = 2,
	KVM_SINCE_ALL = (1 << KVM_SINCE_BITS) - 1
};

struct kvm_since {
	const char *id, *reason;
};
extern const struct kvm_since kvm_since[KVM_SINCE_BITS];

/*
 * KVM's answer, all fields. False: outside of what it can be asked: another profile, MBEC or GMET, which 6.12 has not,
 * registers that no CPU can hold, or a user's implicit access; *a is not to be used then. BAD_STATE: KVM refuses the
 * EPTP, nCR3, or long mode's CR3. Keeps nothing from call to call; threads may call it at once.
 */
bool kvm_walk(const struct case_question *q, struct case_answer *a);
/* The same with some changes made (KVM_SINCE_...). */
bool kvm_walk_since(const struct case_question *q, struct case_answer *a, unsigned since);

enum kvm_verdict { KVM_SAME, KVM_KNOWN, KVM_DIFFERS, KVM_OUTSIDE };

/*
 * Compares an answer with KVM's, every field and every word of memory. KNOWN: equal to the last bit once the changes in
 * *since are made, and not without them. *theirs is 6.12's answer; if DIFFERS, the one with the changes in *since made.
 * since may be NULL.
 */
enum kvm_verdict kvm_judge(const struct case_question *q, const struct case_answer *ours, struct case_answer *theirs,
			   unsigned *since);

#endif
