/* SPDX-License-Identifier: MIT */
/* deviate.h: what QEMU's TCG does otherwise than the rules, for the oracles whose CPU it is (docs/deviations.md). */
#ifndef FUZZ_QEMU_DEVIATE_H
#define FUZZ_QEMU_DEVIATE_H

#include "case.h"

#define QEMU_MAXPHYADDR 40

/* struct oracle_known of the bits that qemu_explain() returns, in their order; the last one with kvm only. */
#define QEMU_KNOWN { \
	{ "QEMU-1", "RSVD comes without P in the error code" }, \
	{ "QEMU-2", "A is set in PAE's PDPTEs" }, \
	{ "QEMU-3", "PAE's PDPTEs are read at each walk; bits 63:M give a #PF then, other reserved bits nothing" }, \
	{ "QEMU-4", "A is set on the way down, also when the walk faults" }, \
	{ "QEMU-5", "a stack reference to a non-canonical address is #GP, not #SS" }, \
	{ "QEMU-6", "reserved bits are those of a CPU with PSE-36, PAT and 1 GiB pages, whatever CPUID says" }, \
	{ "QEMU-7", "bit 8 of a PML4E or PML5E is not reserved on AMD" }, \
	{ "QEMU-8", "A of a 1 GiB page is set before its rights and reserved bits 29:13 are looked at" }, \
	{ "QEMU-9", "implicit accesses from ring 0 pass SMAP when EFLAGS.AC is 1" }, \
	{ "KVMGUEST-1", "where there is no memory KVM walks anew, with deviations of its own" }, \
}

/*
 * Which deviations, the fewest, make the library's answer to q, in the hardware's profiles, equal theirs to the last bit
 * (1 << index in QEMU_KNOWN each)? 0: none do. ring3: implicit accesses came from ring 3. kvm: memory is KVM's.
 */
unsigned qemu_explain(const struct case_question *q, const struct case_answer *theirs, bool ring3, bool kvm);

#endif
