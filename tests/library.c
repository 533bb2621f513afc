/* SPDX-License-Identifier: MIT */
#include "library.h"

static const struct library_stage *stage_of(const struct kvm_pagewalk *w)
{
	return PAGEWALK_CONTAINER_OF(w, struct library_stage, walk);
}

static int read_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	const struct library_stage *s = stage_of(w);

	++*s->reads;
	return case_load(&s->question->memory, s->value, pa, size, gpte) ? 0 : -1;
}

static int cmpxchg_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t old, uint64_t new_gpte)
{
	const struct library_stage *s = stage_of(w);
	uint64_t now;

	++*s->writes;
	if (!case_load(&s->question->memory, s->value, pa, size, &now))
		return -1;
	if (now != old)
		return 1;
	return case_store(&s->question->memory, s->value, pa, size, new_gpte) ? 0 : -1;
}

struct pagewalk_cpu library_cpu(const struct case_question *q)
{
	static const struct {
		unsigned in;
		uint64_t out;
	} features[] = {
		{ CASE_PSE, PAGEWALK_FEATURE_PSE }, { CASE_PSE36, PAGEWALK_FEATURE_PSE36 },
		{ CASE_PAE, PAGEWALK_FEATURE_PAE }, { CASE_NX, PAGEWALK_FEATURE_NX },
		{ CASE_PAT, PAGEWALK_FEATURE_PAT }, { CASE_PAGE1GB, PAGEWALK_FEATURE_PAGE1GB },
		{ CASE_SMEP, PAGEWALK_FEATURE_SMEP }, { CASE_SMAP, PAGEWALK_FEATURE_SMAP },
		{ CASE_PKU, PAGEWALK_FEATURE_PKU }, { CASE_LA57, PAGEWALK_FEATURE_LA57 },
	}, ept[] = {
		{ CASE_EPT_EXEC_ONLY, PAGEWALK_FEATURE_EPT_EXEC_ONLY }, { CASE_EPT_2M, PAGEWALK_FEATURE_EPT_2M },
		{ CASE_EPT_1G, PAGEWALK_FEATURE_EPT_1G }, { CASE_EPT_AD, PAGEWALK_FEATURE_EPT_AD },
		{ CASE_EPT_5L, PAGEWALK_FEATURE_EPT_5L }, { CASE_EPT_ADVANCED, PAGEWALK_FEATURE_EPT_ADVANCED },
	}, knobs[] = {
		{ CASE_AD_AS_WALKED, PAGEWALK_QUIRK_AD_AS_WALKED }, { CASE_EPT_IGNORE_HIGH, PAGEWALK_QUIRK_EPT_HIGH_IGNORED },
		{ CASE_PDPTE_BIT8, PAGEWALK_QUIRK_AMD_PDPTE_BIT8 }, { CASE_PSE36_BY_M, PAGEWALK_QUIRK_AMD_PSE36_BY_M },
	};
	static const enum pagewalk_profile profiles[] = {
		[CASE_INTEL] = PAGEWALK_PROFILE_INTEL, [CASE_AMD] = PAGEWALK_PROFILE_AMD,
		[CASE_KVM_INTEL] = PAGEWALK_PROFILE_KVM_INTEL, [CASE_KVM_AMD] = PAGEWALK_PROFILE_KVM_AMD,
	};
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(profiles[q->profile], (uint8_t)q->maxphyaddr, 0);

	for (size_t i = 0; i < sizeof(features) / sizeof(*features); i++)
		cpu.features |= q->features & features[i].in ? features[i].out : 0;
	for (size_t i = 0; i < sizeof(ept) / sizeof(*ept); i++)
		cpu.features |= q->ept_features & ept[i].in ? ept[i].out : 0;
	if (!cpu.quirks) /* the knobs are the hardware's */
		for (size_t i = 0; i < sizeof(knobs) / sizeof(*knobs); i++)
			cpu.quirks |= q->knobs & knobs[i].in ? knobs[i].out : 0;
	return cpu;
}

uint64_t library_access(const struct case_question *q)
{
	return (q->access == CASE_WRITE ? PAGEWALK_ACCESS_WRITE : q->access == CASE_FETCH ? PAGEWALK_ACCESS_FETCH : 0) |
	       (q->user ? PAGEWALK_ACCESS_USER : 0) | (q->implicit ? PAGEWALK_ACCESS_IMPLICIT : 0) |
	       (q->stack ? PAGEWALK_ACCESS_STACK : 0);
}

static void open_stage(struct library_stage *s, struct library_run *run, const struct case_question *q, uint64_t *value)
{
	memset(&s->walk, 0, sizeof(s->walk));
	s->walk.read_gpte = read_gpte;
	s->walk.cmpxchg_gpte = cmpxchg_gpte;
	s->question = q;
	s->value = value;
	s->reads = &run->reads;
	s->writes = &run->writes;
}

enum pagewalk_status library_open(struct library_run *run, const struct case_question *q, uint64_t *value)
{
	struct pagewalk_cpu cpu = library_cpu(q);
	struct pagewalk_regs regs = { q->cr0, q->cr4, q->efer, q->compatibility }, host = { q->hcr0, q->hcr4, q->hefer, false };
	struct kvm_pagewalk *w = &run->guest.walk;
	enum pagewalk_status status = PAGEWALK_OK;

	run->reads = run->writes = 0;
	open_stage(&run->guest, run, q, value);
	w->pgd = q->cr3;
	w->rflags = q->rflags;
	w->pkru = (uint32_t)q->pkru;
	if (q->stage2) {
		open_stage(&run->second, run, q, value);
		w->ngpa_walk = &run->second.walk;
		if (q->stage2 == CASE_EPT)
			status = pagewalk_init_ept(&run->second.walk, &cpu, q->eptp, q->mbec);
		else
			status = pagewalk_init_npt(&run->second.walk, &cpu, &host, q->ncr3, q->gmet);
	}
	if (status == PAGEWALK_OK)
		status = pagewalk_init(w, &cpu, &regs);
	if (status != PAGEWALK_OK || !w->fmt.pdpte_registers)
		return status;
	if (!q->has_pdpte)
		return pagewalk_load_pdptrs(w, q->cr3, w->pdptr, &run->walk);
	memcpy(w->pdptr, q->pdpte, sizeof(w->pdptr));
	return PAGEWALK_OK;
}

static void answer_of(struct case_answer *a, const struct library_run *run)
{
	const struct pagewalk_fault *f = &run->walk.fault;
	unsigned shift;

	switch (run->status) {
	case PAGEWALK_OK:
		a->outcome = CASE_TRANSLATED;
		a->pa = run->walk.pa;
		shift = pagewalk_page_shift(&run->walk);
		a->page_shift = shift == 64 ? 0 : shift;
		a->rights = pagewalk_rights(&run->guest.walk, &run->walk); /* the bits are the same */
		return;
	case PAGEWALK_FAULT:
		if (f->vector == PAGEWALK_VECTOR_PF) {
			a->outcome = CASE_PAGE_FAULT;
			a->error_code = f->error_code;
			a->cr2 = f->address;
		} else if (f->rule == PAGEWALK_RULE(MODE, 7)) {
			a->outcome = CASE_PDPTE_FAULT;
		} else {
			a->outcome = CASE_NON_CANONICAL;
			a->vector = f->vector;
		}
		return;
	case PAGEWALK_NESTED_FAULT:
		a->outcome = f->exit == PAGEWALK_EXIT_NPF ? CASE_NPF :
			     f->exit == PAGEWALK_EXIT_EPT_MISCONFIG ? CASE_EPT_MISCONFIG : CASE_EPT_VIOLATION;
		a->error_code = f->error_code;
		a->exit_qualification = f->exit_qualification;
		a->gpa = f->gpa;
		return;
	case PAGEWALK_NO_MEMORY:
		a->outcome = CASE_NO_MEMORY;
		return;
	case PAGEWALK_RETRY: /* nobody else writes this memory, so this shows as a wrong answer */
	case PAGEWALK_BAD_STATE:
		a->outcome = CASE_BAD_STATE;
		return;
	}
}

void library_walk_run(const struct case_question *q, struct case_answer *a, struct library_run *run)
{
	uint64_t *value = a->value;

	memset(a, 0, offsetof(struct case_answer, value));
	memcpy(value, q->memory.value, q->memory.count * sizeof(*value));
	run->status = library_open(run, q, value);
	if (run->status == PAGEWALK_OK)
		run->status = pagewalk_translate(&run->guest.walk, q->va, library_access(q), &run->walk);
	answer_of(a, run);
}

void library_walk(const struct case_question *q, struct case_answer *a)
{
	struct library_run run;

	library_walk_run(q, a, &run);
}
