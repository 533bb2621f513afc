/* SPDX-License-Identifier: MIT */
/*
 * model.h: a second stage that answers whatever a real one can: what second.c proves about one attempt, and no more.
 * It stands in for all formats of a second stage, so that a guest's walk need not be analysed with each of them.
 */
#ifndef PROVE_MODEL_H
#define PROVE_MODEL_H

#include "prove.h"

static unsigned second_reads; /* of the second stage's entries; second.c: at most one a level */
static bool table_write;      /* second.fmt.table_access is a write */
static unsigned asked;        /* what for, the last time: 1 entry of a table, 2 to set flags in it, 3 the access itself */

/* A stage as any walk may leave it that has read an entry, at whatever level it ended. */
static void any_read_stage(struct pagewalk_stage *s)
{
	int level;

	s->max_level = any8 % 4 + 2;
	s->level = any8 % 5 + 1;
	for (level = 1; level <= PAGEWALK_MAX_LEVEL; level++) {
		s->entry[level - 1].gpa = any64;
		s->entry[level - 1].pa = any64;
		s->entry[level - 1].pte = any64;
		s->pt_access[level - 1] = any8 & PAGEWALK_ACC_ALL;
	}
	if (any & 1)
		s->pte_access = any8 & PAGEWALK_ACC_ALL;
	if (any & 1)
		s->pte_pkey = any8 & 15;
}

/* The same, or one that has read none. */
static void any_stage(struct pagewalk_stage *s, uint64_t address, uint64_t access)
{
	/*@ slevel 0; */
	s->address = address;
	s->access = access;
	s->max_level = s->level = 0;
	if (any & 1)
		any_read_stage(s);
}

static enum pagewalk_status
second_model(const struct kvm_pagewalk *w, uint64_t address, uint64_t access, struct pagewalk_walk *out)
{
	struct pagewalk_fault *f = &out->fault;
	struct pagewalk_stage *s = &out->nested;

	/* What second.c starts from. */
	//@ assert model_walker: w == &second;
	//@ assert model_record: \initialized(&out->guest.address) && \initialized(&out->guest.max_level);
	bool table = access == (second.fmt.table_access | PAGEWALK_PFERR_GUEST_PAGE);
	bool load = (access & (PAGEWALK_PFERR_GUEST_PAGE | PAGEWALK_ACCESS_NO_LINEAR)) ==
		    (PAGEWALK_PFERR_GUEST_PAGE | PAGEWALK_ACCESS_NO_LINEAR);
	bool flags = access == (PAGEWALK_ACCESS_WRITE | PAGEWALK_PFERR_GUEST_PAGE);

	//@ assert model_rights: table || flags || \initialized(&out->guest.pte_access);
	asked = table ? 1 : flags ? 2 : 3;
	stages++;
	second_reads += any8 % (PAGEWALK_MAX_LEVEL + 1);
	any_stage(s, address, access);
	if (any & 1)
		return PAGEWALK_RETRY;
	if (any & 1) {
		s->max_level = s->level = 0;
		return PAGEWALK_BAD_STATE;
	}
	if (any & 1) {
		s->max_level = any8 % 4 + 2;
		s->level = any8 % 3 + 1;
		s->page_shift = any8;
		s->pte_access = any8 & PAGEWALK_ACC_ALL;
		s->pte_pkey = 0;
		s->gpa = any64 & 0xfffffffffffff;
		/* An entry stays where it is in its page, and can be written if that was asked. */
		if (table && address % 8 == 0)
			s->gpa &= 0xffffffffffff8;
		if (table && address % 4 == 0)
			s->gpa &= 0xffffffffffffc;
		if (load && address % 32 == 0)
			s->gpa &= 0xfffffffffffe0;
		if (table && table_write)
			s->pte_access |= PAGEWALK_ACC_WRITE;
		out->pa = s->gpa;
		return PAGEWALK_OK;
	}
	f->error_code = f->gpa = f->exit_qualification = 0;
	f->exit = f->vector = f->rule = 0;
	f->address = out->guest.address;
	f->gpa = any64;
	f->second_stage = true;
	if (any & 1)
		return PAGEWALK_NO_MEMORY;
	f->rule = any & 1 ? PAGEWALK_RULE(EPT, 2) : PAGEWALK_RULE(NPT, 4); /* one of them */
	if (second.fmt.kind == PAGEWALK_KIND_NPT) {
		f->exit = PAGEWALK_EXIT_NPF;
		f->error_code = any64 & 0x30000001f;
	} else {
		f->exit = any & 1 ? PAGEWALK_EXIT_EPT_VIOLATION : PAGEWALK_EXIT_EPT_MISCONFIG;
		f->exit_qualification = any64 & 0xfff;
	}
	return PAGEWALK_NESTED_FAULT;
}

/* A second stage of this mode, walked by the model. */
static enum pagewalk_status init_model(void)
{
	enum pagewalk_status status = init_second();

	if (second.fmt.table_access & PAGEWALK_ACCESS_WRITE)
		table_write = true;
	else
		table_write = false;
	second.gva_to_gpa = second_model;
	return status;
}
#endif
