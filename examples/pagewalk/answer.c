/* SPDX-License-Identifier: MIT */
/* What came out of a translation: see answer.h. */
#include <inttypes.h>
#include <stdio.h>

#include "answer.h"

static const struct bit_name no_bits[] = { { 0, NULL } };

static const struct bit_name error_bits[] = { /* ERR-1 ... ERR-6, and NPT-5 */
	{ PAGEWALK_PFERR_PRESENT, "P" }, { PAGEWALK_PFERR_WRITE, "W" }, { PAGEWALK_PFERR_USER, "U" },
	{ PAGEWALK_PFERR_RSVD, "RSVD" }, { PAGEWALK_PFERR_FETCH, "I/D" }, { PAGEWALK_PFERR_PK, "PK" },
	{ PAGEWALK_PFERR_GUEST_FINAL, "final" }, { PAGEWALK_PFERR_GUEST_PAGE, "table" },
	{ 0, NULL }
};

static const struct bit_name qualification_bits[] = { /* EPT-8 */
	{ PAGEWALK_EPT_VIOLATION_READ, "read" }, { PAGEWALK_EPT_VIOLATION_WRITE, "write" },
	{ PAGEWALK_EPT_VIOLATION_FETCH, "fetch" },
	{ PAGEWALK_EPT_READ << PAGEWALK_EPT_VIOLATION_RWX_SHIFT, "R" },
	{ PAGEWALK_EPT_WRITE << PAGEWALK_EPT_VIOLATION_RWX_SHIFT, "W" },
	{ PAGEWALK_EPT_EXEC << PAGEWALK_EPT_VIOLATION_RWX_SHIFT, "X" },
	{ PAGEWALK_EPT_VIOLATION_XU, "XU" }, { PAGEWALK_EPT_VIOLATION_LA_VALID, "linear" },
	{ PAGEWALK_EPT_VIOLATION_FINAL, "final" }, { PAGEWALK_EPT_VIOLATION_LA_USER, "user-page" },
	{ PAGEWALK_EPT_VIOLATION_LA_WRITE, "writable-page" }, { PAGEWALK_EPT_VIOLATION_LA_NX, "nx-page" },
	{ 0, NULL }
};

struct fault fault_of(enum pagewalk_status status, const struct pagewalk_walk *walk)
{
	const struct pagewalk_fault *f = &walk->fault;

	if (status == PAGEWALK_NO_MEMORY)
		return (struct fault){ "no-memory", "address", f->gpa, true, no_bits };
	if (status == PAGEWALK_NESTED_FAULT) {
		if (f->exit == PAGEWALK_EXIT_NPF)
			return (struct fault){ "npf", "exitinfo1", f->error_code, false, error_bits };
		if (f->exit == PAGEWALK_EXIT_EPT_MISCONFIG)
			return (struct fault){ "ept-misconfig", "gpa", f->gpa, true, no_bits };
		return (struct fault){ "ept-violation", "exit_qualification", f->exit_qualification, false,
				       qualification_bits };
	}
	if (f->vector == PAGEWALK_VECTOR_PF)
		return (struct fault){ "page-fault", "error_code", f->error_code, false, error_bits };
	if (f->rule == PAGEWALK_RULE(MODE, 16))
		return (struct fault){ "non-canonical", "error_code", f->error_code, false, no_bits };
	return (struct fault){ "pdpte-fault", "error_code", f->error_code, false, no_bits };
}

char *put_code(char *to, const struct fault *fault)
{
	if (fault->is_address)
		return put_address(to, fault->code);
	return to + sprintf(to, "0x%" PRIx64, fault->code);
}

json_t *json_code(const struct fault *fault)
{
	return fault->is_address ? json_address(fault->code) : json_hex(fault->code);
}

unsigned fault_bits(const struct fault *fault, const char *names[FAULT_BITS])
{
	unsigned count = 0;

	for (const struct bit_name *b = fault->bits; b->name; b++)
		if (fault->code & b->mask)
			names[count++] = b->name;
	return count;
}

uint16_t rule_of(const struct machine *m, enum pagewalk_status status, const struct pagewalk_walk *walk)
{
	if (status != PAGEWALK_OK)
		return walk->fault.rule;
	if (m->guest.walk.fmt.kind == PAGEWALK_KIND_DIRECT)
		return PAGEWALK_RULE(MODE, 1);
	if (m->access & PAGEWALK_ACCESS_USER)
		return PAGEWALK_RULE(PERM, 6);
	if (m->access & PAGEWALK_ACCESS_FETCH)
		return PAGEWALK_RULE(PERM, 5);
	return m->access & PAGEWALK_ACCESS_WRITE ? PAGEWALK_RULE(PERM, 4) : PAGEWALK_RULE(PERM, 3);
}

json_t *json_answer(const struct machine *m, uint64_t va, enum pagewalk_status status,
		    const struct pagewalk_walk *walk)
{
	json_t *json = json_pack("{s:o}", "va", json_address(va));
	uint16_t rule = rule_of(m, status, walk);
	char name[RULE_SIZE];
	int failed;

	if (status == PAGEWALK_OK) {
		failed = json_object_set_new(json, "pa", json_address(walk->pa)) ||
			 json_object_set_new(json, "page_shift", json_integer(pagewalk_page_shift(walk))) ||
			 json_object_set_new(json, "rights", json_rights(pagewalk_rights(&m->guest.walk, walk)));
	} else {
		const struct fault fault = fault_of(status, walk);

		failed = json_object_set_new(json, "fault", json_string(fault.kind)) ||
			 json_object_set_new(json, fault.code_name, json_code(&fault));
		if (walk->fault.vector)
			failed |= json_object_set_new(json, "vector", json_integer(walk->fault.vector));
		if (walk->fault.exit && walk->fault.exit != PAGEWALK_EXIT_EPT_MISCONFIG) /* whose code is the GPA */
			failed |= json_object_set_new(json, "gpa", json_address(walk->fault.gpa));
	}
	if (rule) {
		rule_name(rule, name);
		failed |= json_object_set_new(json, "rule", json_string(name));
	}
	if (!failed)
		return json;
	json_decref(json);
	return NULL;
}
