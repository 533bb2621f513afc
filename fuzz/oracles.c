/* SPDX-License-Identifier: MIT */
/* oracles.c: the oracles that this build has (ORACLE_...: see the Makefile), and the model's, which is always there. */
#include "model.h"
#include "oracle.h"

static bool start_model(char *reason, size_t n)
{
	(void)reason;
	(void)n;
	return true;
}

static enum oracle_result ask_model(const struct case_question *q, struct case_answer *a)
{
	model_walk(q, a);
	return ORACLE_ANSWERED;
}

struct oracle oracle_model = {
	.name = "model",
	.version = "tests/model.c",
	.sees = ORACLE_SEES_ALL,
	.outcomes = 1 << CASE_TRANSLATED | 1 << CASE_PAGE_FAULT | 1 << CASE_PDPTE_FAULT | 1 << CASE_NON_CANONICAL |
		    1 << CASE_EPT_VIOLATION | 1 << CASE_EPT_MISCONFIG | 1 << CASE_NPF | 1 << CASE_NO_MEMORY,
	.limits = { .wild = true },
	.start = start_model,
	.ask = ask_model,
};

struct oracle *const oracles[] = {
	&oracle_model,
#ifdef ORACLE_KVM
	&oracle_kvm,
#endif
#ifdef ORACLE_QEMU
	&oracle_qemu,
#endif
#ifdef ORACLE_DEVKVM
	&oracle_devkvm,
#endif
#ifdef ORACLE_KVMGUEST
	&oracle_kvmguest,
#endif
#ifdef ORACLE_BOCHS
	&oracle_bochs,
#endif
	NULL
};
