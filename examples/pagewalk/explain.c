/* SPDX-License-Identifier: MIT */
/*
 * pagewalk explain: one line an entry, in the order in which the CPU reads them, then the verdict.
 *
 *   NAME WHERE VALUE FLAGS [-> TARGET]     a line of the second stage is indented and begins with EPT or NPT
 *   verdict: ...
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "commands.h"
#include "entry.h"
#include "report.h"

/* An entry that the walk came to. */
struct step {
	const struct kvm_pagewalk *w; /* of which stage */
	int level;
	struct pagewalk_entry entry;
	unsigned pdpte;               /* entry.gpa is INVALID_GPA: the number of the register */
	bool missing;                 /* the image has no such memory, and entry.pte no value */
};

/* Besides the walk's own there may be the five of a PDPTE load; more than that is cut, and cannot be. */
#define MAX_STEPS (PAGEWALK_MAX_READS + PAGEWALK_MAX_LEVEL)

struct explanation {
	const struct machine *m;
	uint64_t va;
	enum pagewalk_status status;
	struct pagewalk_walk walk;
	struct step steps[MAX_STEPS];
	unsigned count;
};

/* ---- Which entries --------------------------------------------------------------------------- */

/* Adds the entry of the level; false if its memory is missing. */
static bool add_step(struct explanation *x, const struct kvm_pagewalk *w, const struct pagewalk_stage *s, int level)
{
	struct step *step = &x->steps[x->count];
	uint64_t value;

	if (x->count == MAX_STEPS)
		return false;
	x->count++;
	*step = (struct step){ .w = w, .level = level, .entry = s->entry[level - 1] };
	if (step->entry.gpa == PAGEWALK_INVALID_GPA)
		step->pdpte = s->address >> 30 & 3;
	else
		step->missing = w->read_gpte(w, step->entry.pa, entry_size(w), &value) < 0;
	return !step->missing;
}

/* A walk of the second stage. */
static void add_nested(struct explanation *x, const struct pagewalk_stage *s)
{
	/* EPT-13: refused for the address alone; no entry was read. */
	if (x->status == PAGEWALK_NESTED_FAULT && x->walk.fault.rule == PAGEWALK_RULE(EPT, 13) &&
	    s->address == x->walk.nested.address)
		return;
	for (int level = s->max_level; level && level >= s->level; level--)
		if (!add_step(x, machine_second_stage(x->m), s, level))
			return;
}

/*
 * The guest's entries, each below the second stage's walk to it. The record has the last of those walks only; the
 * others are done again, and say the same: an image does not change. False: the second stage refuses one, the last.
 */
static bool add_guest(struct explanation *x)
{
	const struct kvm_pagewalk *w = &x->m->guest.walk, *n = machine_second_stage(x->m);
	const struct pagewalk_stage *s = &x->walk.guest;
	uint64_t access = n ? n->fmt.table_access | PAGEWALK_PFERR_GUEST_PAGE : 0;

	for (int level = s->max_level; level && level >= s->level; level--) {
		const struct pagewalk_entry *e = &s->entry[level - 1];

		if (n && e->gpa != PAGEWALK_INVALID_GPA) {
			struct pagewalk_walk walk = x->walk;
			uint64_t pa;

			if (pagewalk_translate_gpa(w, e->gpa, access, &pa, &walk))
				return false;
			add_nested(x, &walk.nested);
		}
		if (!add_step(x, w, s, level))
			break;
	}
	return true;
}

static void explain(struct explanation *x)
{
	const struct machine *m = x->m;

	x->status = machine_translate(m, x->va, &x->walk);
	if (m->guest.walk.fmt.pdpte_registers && machine_second_stage(m))
		add_nested(x, &m->pdpte_load.nested);
	if (m->pdpte_status != PAGEWALK_OK)
		return;

	/* What is left is the walk of the final address, or the one in which the second stage ended it. */
	bool whole = add_guest(x);
	bool in_guest = x->status == PAGEWALK_FAULT ||
			(x->status == PAGEWALK_NO_MEMORY && !x->walk.fault.second_stage);
	if (!whole || !in_guest)
		add_nested(x, &x->walk.nested);
}

/* ---- As text --------------------------------------------------------------------------------- */

static const char *stage_name(const struct kvm_pagewalk *w)
{
	if (w->fmt.kind == PAGEWALK_KIND_EPT)
		return "EPT";
	return w->fmt.kind == PAGEWALK_KIND_NPT ? "NPT" : "guest";
}

/* " reserved:51,50", the highest first. */
static char *put_reserved(char *to, uint64_t reserved)
{
	const char *before = " reserved:";

	for (int bit = 63; bit >= 0; bit--)
		if (reserved >> bit & 1) {
			to = put_decimal(put_text(to, before), (unsigned)bit);
			before = ",";
		}
	return to;
}

static void print_step(const struct step *step)
{
	const struct entry e = entry_decode(step->w, step->level, step->entry.pte);
	bool nested = step->w->fmt.kind >= PAGEWALK_KIND_NPT;
	const char *names[ENTRY_FLAGS];
	char line[512], *p;

	p = line;
	if (nested)
		p += sprintf(p, "  %s ", stage_name(step->w));
	p += sprintf(p, "%-5s ", entry_name(step->level));
	if (step->entry.gpa == PAGEWALK_INVALID_GPA)
		p += sprintf(p, "register %-9u", step->pdpte);
	else
		p = put_address(p, step->entry.gpa);
	if (step->missing) {
		p = put_text(p, " outside the image\n");
		output(line, (size_t)(p - line));
		return;
	}
	p = put_address(put_text(p, " "), step->entry.pte);
	if (!e.present)
		p = put_text(p, " not present");
	for (unsigned i = 0, n = entry_flags(step->w, step->level, step->entry.pte, names); i < n; i++)
		p = put_text(put_text(p, " "), names[i]);
	p = put_reserved(p, e.reserved);
	if (e.good)
		p = put_address(put_text(p, e.last ? " -> page " : " -> table "), e.target);
	else if (e.present && !e.reserved)
		p = put_text(p, " misconfigured");
	*p++ = '\n';
	output(line, (size_t)(p - line));
}

/* "user write" */
static char *put_access(char *to, uint64_t access)
{
	to = put_text(to, access & PAGEWALK_ACCESS_USER ? "user " : "supervisor ");
	if (access & PAGEWALK_ACCESS_FETCH)
		return put_text(to, "fetch");
	return put_text(to, access & PAGEWALK_ACCESS_WRITE ? "write" : "read");
}

/* "4 KiB page" */
static char *put_page(char *to, unsigned shift)
{
	if (shift == 64)
		return put_text(to, "no page");
	to = put_decimal(to, UINT64_C(1) << shift % 10);
	return put_text(to, shift >= 30 ? " GiB page" : shift >= 20 ? " MiB page" : " KiB page");
}

static void print_verdict(const struct explanation *x)
{
	uint16_t rule = rule_of(x->m, x->status, &x->walk);
	const char *names[FAULT_BITS];
	char line[512], name[RULE_SIZE], *p = put_text(line, "verdict: ");

	p = put_text(put_address(p, x->va), " ");
	if (x->status == PAGEWALK_OK) {
		p = put_text(put_address(put_text(p, "leads to "), x->walk.pa), " (");
		p = put_text(put_page(p, pagewalk_page_shift(&x->walk)), ", ");
		p = put_text(put_rights(p, pagewalk_rights(&x->m->guest.walk, &x->walk)), "): ");
	} else {
		const struct fault fault = fault_of(x->status, &x->walk);
		unsigned n = fault_bits(&fault, names);

		p = put_code(put_text(put_text(p, fault.kind), " "), &fault);
		for (unsigned i = 0; i < n; i++)
			p = put_text(put_text(p, i ? " " : " ("), names[i]);
		p = put_text(p, n ? "): " : ": ");
	}
	p = put_access(p, x->m->access);
	if (rule) {
		rule_name(rule, name);
		p = put_text(p, x->status == PAGEWALK_OK ? " allowed by " : " refused by ");
		p = put_text(put_text(p, name), " (docs/rules.md): ");
		p = put_text(p, rule_sentence(rule));
	} else {
		p = put_text(p, " not answered: the image lacks the entry at this physical address");
	}
	*p++ = '\n';
	output(line, (size_t)(p - line));
}

/* ---- As JSON --------------------------------------------------------------------------------- */

static json_t *json_names(const char *const *names, unsigned count)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < count; i++)
		if (json_array_append_new(array, json_string(names[i])))
			return json_decref(array), NULL;
	return array;
}

static json_t *json_bits(uint64_t bits)
{
	json_t *array = json_array();

	for (int bit = 63; bit >= 0; bit--)
		if ((bits >> bit & 1) && json_array_append_new(array, json_integer(bit)))
			return json_decref(array), NULL;
	return array;
}

static json_t *json_step(const struct step *step)
{
	const struct entry e = entry_decode(step->w, step->level, step->entry.pte);
	const char *names[ENTRY_FLAGS];
	json_t *json = json_pack("{s:s, s:s, s:i}", "stage", stage_name(step->w), "name", entry_name(step->level),
				 "level", step->level);
	int failed;

	if (step->entry.gpa == PAGEWALK_INVALID_GPA)
		failed = json_object_set_new(json, "register", json_integer(step->pdpte));
	else
		failed = json_object_set_new(json, "address", json_address(step->entry.gpa));
	if (step->missing) {
		failed |= json_object_set_new(json, "value", json_null());
	} else {
		unsigned n = entry_flags(step->w, step->level, step->entry.pte, names);

		failed |= json_object_set_new(json, "value", json_address(step->entry.pte)) ||
			  json_object_set_new(json, "present", json_boolean(e.present)) ||
			  json_object_set_new(json, "flags", json_names(names, n)) ||
			  json_object_set_new(json, "reserved", json_bits(e.reserved));
		if (e.good)
			failed |= json_object_set_new(json, e.last ? "page" : "table", json_address(e.target));
		else if (e.present)
			failed |= json_object_set_new(json, "malformed", json_true());
	}
	if (!failed)
		return json;
	json_decref(json);
	return NULL;
}

static json_t *json_explanation(const struct explanation *x)
{
	json_t *entries = json_array(), *verdict = json_answer(x->m, x->va, x->status, &x->walk);
	const char *names[FAULT_BITS];
	char access[32];
	int failed = 0;

	for (unsigned i = 0; i < x->count; i++)
		failed |= json_array_append_new(entries, json_step(&x->steps[i]));
	if (x->status != PAGEWALK_OK) {
		const struct fault fault = fault_of(x->status, &x->walk);

		failed |= json_object_set_new(verdict, "bits", json_names(names, fault_bits(&fault, names)));
	}
	if (failed) {
		json_decref(entries);
		json_decref(verdict);
		return NULL;
	}
	*put_access(access, x->m->access) = '\0';
	return json_pack("{s:o, s:s, s:o, s:o}", "va", json_address(x->va), "access", access, "entries", entries,
			 "verdict", verdict);
}

int command_explain(const struct machine *m, const struct options *o)
{
	struct explanation x = { .m = m, .va = o->addresses[0].va };

	explain(&x);
	if (o->value[OPTION_JSON].given) {
		output_json(json_explanation(&x));
	} else {
		for (unsigned i = 0; i < x.count; i++)
			print_step(&x.steps[i]);
		print_verdict(&x);
	}
	return x.status == PAGEWALK_OK ? STATUS_OK : STATUS_FAULTS;
}
