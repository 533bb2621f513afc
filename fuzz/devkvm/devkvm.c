/* SPDX-License-Identifier: MIT */
/* Oracle K1: a case through /dev/kvm of this machine, if its KVM uses shadow paging. See README.md. */
#include <stdio.h>
#include <sys/utsname.h>

#include "library.h"
#include "oracle.h"
#include "probe.h"

#define BIT(n) ((uint64_t)1 << (n))

static char version[128];

/* Whether KVM leaves walks to the CPU: then it is the CPU's walker that would answer. */
static bool has_two_dimensions(void)
{
	static const char *const files[] = { "/sys/module/kvm_intel/parameters/ept", "/sys/module/kvm_amd/parameters/npt" };
	bool yes = false;

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		FILE *f = fopen(files[i], "r");
		int c = f ? getc(f) : 'N';

		yes |= c == 'Y' || c == '1';
		if (f)
			fclose(f);
	}
	return yes;
}

static bool start(char *reason, size_t n)
{
	struct utsname name;

	if (has_two_dimensions()) {
		snprintf(reason, n, "the KVM of this machine does not use shadow paging");
		return false;
	}
	uname(&name);
	snprintf(version, sizeof(version), "/dev/kvm of Linux %.60s", name.release);
	return probe_open(PROBE_SHADOW, 0, reason, n);
}

static void prepare(struct dice *d, struct case_question *q)
{
	probe_prepare(PROBE_SHADOW, dice_bits(d), q);
}

static enum oracle_result ask(const struct case_question *q, struct case_answer *a)
{
	switch (probe_ask(q, a)) {
	case PROBE_ANSWERED:
		return ORACLE_ANSWERED;
	case PROBE_OUTSIDE:
		return ORACLE_OUTSIDE;
	case PROBE_BROKEN:
		break;
	}
	fprintf(stderr, "devkvm: %s\n", probe_error());
	return ORACLE_BROKEN;
}

static bool same(const struct case_question *q, const struct case_answer *a, const struct case_answer *b)
{
	return a->outcome == b->outcome && a->pa == b->pa && a->vector == b->vector && a->error_code == b->error_code &&
	       a->cr2 == b->cr2 && !memcmp(a->value, b->value, q->memory.count * sizeof(*a->value));
}

/* What KVM's profile makes of a table where there is no memory. */
static bool explain_absent(const struct case_question *q, const struct case_answer *ours, const struct case_answer *theirs)
{
	static struct case_question other;
	static struct case_answer kvm;

	if (ours->outcome != CASE_NO_MEMORY)
		return false;
	other = *q;
	other.profile = q->profile == CASE_INTEL ? CASE_KVM_INTEL : CASE_KVM_AMD;
	library_walk(&other, &kvm);
	kvm.pa = 0;
	return same(q, &kvm, theirs);
}

/* A supervisor's fetch from a user's page where there is no memory, under SMAP with AC = 0. */
static bool explain_fetch(const struct case_question *q, const struct case_answer *ours, const struct case_answer *theirs)
{
	static struct case_answer refused;
	bool smap = (q->cr4 & BIT(21)) && !(q->rflags & BIT(18)), id = (q->efer & BIT(11)) || (q->cr4 & BIT(20));

	if (q->access != CASE_FETCH || q->user || !smap || ours->outcome != CASE_TRANSLATED || !(ours->rights & CASE_U) ||
	    ours->pa < q->memory.size)
		return false;
	refused = *ours;
	refused.outcome = CASE_PAGE_FAULT;
	refused.pa = 0;
	refused.error_code = id ? 0x11 : 1;
	refused.cr2 = q->va;
	return same(q, &refused, theirs);
}

static unsigned explain(const struct case_question *q, const struct case_answer *ours, struct case_answer *theirs)
{
	return explain_absent(q, ours, theirs) ? 1 : explain_fetch(q, ours, theirs) ? 2 : 0;
}

struct oracle oracle_devkvm = {
	.name = "devkvm",
	.version = version,
	.sees = VECTOR_PA | VECTOR_VECTOR | VECTOR_ERROR_CODE | VECTOR_CR2,
	.jobs = 1,
	.outcomes = 1 << CASE_TRANSLATED | 1 << CASE_PAGE_FAULT | 1 << CASE_NON_CANONICAL,
	/* The CPU below is no other in these, whatever CPUID says. */
	.limits = { .modes = 1 << 4, .stages = 1 << CASE_ONE_DIMENSION, .have = CASE_PAE,
		    .lack = CASE_PKU | CASE_LA57 | CASE_PAGE1GB, .wild = true },
	.start = start,
	.stop = probe_close,
	.prepare = prepare,
	.ask = ask,
	.explain = explain,
	.known = {
		{ "KVM-7", "a table outside memory is a page that is not present" },
		{ "DEVKVM-1", "a supervisor's fetch from a user's page without memory behind it is refused under SMAP" },
	},
};
