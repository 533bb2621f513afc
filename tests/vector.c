/* SPDX-License-Identifier: MIT */
/*
 * vector.c: reads, prints and compares vectors (vector.h), by jansson.
 *
 * Every object of a line is read by a table of its keys, so that a missing key, a wrong type and an unknown key are
 * found in one place, read_object(). What the format has and we have not yet is all in not_implemented_yet().
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>

#include "vector.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define ALL (~(uint64_t)0)

/* Names, as the format has them. Features print in this order, which is that of the measured files. */
struct name {
	const char *name;
	unsigned value;
};

static const struct name profiles[] = {
	{ "intel", CASE_INTEL }, { "amd", CASE_AMD }, { "kvm-intel", CASE_KVM_INTEL }, { "kvm-amd", CASE_KVM_AMD },
};

static const struct name features[] = {
	{ "pse", CASE_PSE }, { "pse36", CASE_PSE36 }, { "pae", CASE_PAE }, { "nx", CASE_NX }, { "pat", CASE_PAT },
	{ "smep", CASE_SMEP }, { "smap", CASE_SMAP }, { "pku", CASE_PKU }, { "la57", CASE_LA57 },
	{ "page1gb", CASE_PAGE1GB }, { "pks", CASE_PKS }, { "lam", CASE_LAM }, { "lass", CASE_LASS },
	{ "cet_ss", CASE_CET_SS }, { "uai", CASE_UAI }, { "hlat", CASE_HLAT },
};

static const struct name ept_features[] = {
	{ "exec_only", CASE_EPT_EXEC_ONLY }, { "ept_2m", CASE_EPT_2M }, { "ept_1g", CASE_EPT_1G },
	{ "ept_ad", CASE_EPT_AD }, { "ept_5l", CASE_EPT_5L }, { "ept_advanced", CASE_EPT_ADVANCED },
	{ "ept_sss", CASE_EPT_SSS }, { "ept_pw", CASE_EPT_PW }, { "ept_vpw", CASE_EPT_VPW }, { "spp", CASE_EPT_SPP },
};

static const struct name accesses[] = { { "read", CASE_READ }, { "write", CASE_WRITE }, { "fetch", CASE_FETCH } };

/* All but ss are one: DS and ES differ from the others in UAI only. */
static const struct name segments[] = {
	{ "ds", false }, { "es", false }, { "cs", false }, { "fs", false }, { "gs", false }, { "ss", true },
};

static const struct name outcomes[] = {
	{ "translated", CASE_TRANSLATED }, { "page-fault", CASE_PAGE_FAULT }, { "pdpte-fault", CASE_PDPTE_FAULT },
	{ "non-canonical", CASE_NON_CANONICAL }, { "ept-violation", CASE_EPT_VIOLATION },
	{ "ept-misconfig", CASE_EPT_MISCONFIG }, { "npf", CASE_NPF }, { "no-memory", CASE_NO_MEMORY },
};

/* The fields that an outcome has. */
static unsigned outcome_fields(enum case_outcome outcome)
{
	switch (outcome) {
	case CASE_TRANSLATED: return VECTOR_PA | VECTOR_PAGE_SHIFT | VECTOR_RIGHTS;
	case CASE_PAGE_FAULT: return VECTOR_ERROR_CODE | VECTOR_CR2;
	case CASE_PDPTE_FAULT:
	case CASE_NON_CANONICAL: return VECTOR_VECTOR;
	case CASE_EPT_VIOLATION: return VECTOR_EXIT_QUALIFICATION | VECTOR_GPA | VECTOR_GPA_PAGE;
	case CASE_EPT_MISCONFIG: return VECTOR_GPA | VECTOR_GPA_PAGE;
	case CASE_NPF: return VECTOR_ERROR_CODE | VECTOR_GPA | VECTOR_GPA_PAGE;
	case CASE_NO_MEMORY:
	case CASE_BAD_STATE: break;
	}
	return 0;
}

static const struct name *by_name(const struct name *table, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(table[i].name, name))
			return &table[i];
	return NULL;
}

static const char *by_value(const struct name *table, size_t count, unsigned value)
{
	for (size_t i = 0; i < count; i++)
		if (table[i].value == value)
			return table[i].name;
	return NULL;
}

static const struct { char letter; unsigned bit; } rights_letters[4] = {
	{ 'u', CASE_U }, { 'r', CASE_R }, { 'w', CASE_W }, { 'x', CASE_X },
};

static void rights_text(unsigned rights, char text[5])
{
	for (int i = 0; i < 4; i++)
		text[i] = rights & rights_letters[i].bit ? rights_letters[i].letter : '-';
	text[4] = '\0';
}

/* An id or a source: not empty, fits, and stays on its line when it is printed. */
static bool text_fits(const char *text, size_t size)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return length && length < size;
}

/* Reading. */

struct reader {
	enum vector_result result;
	char *reason;
	size_t n;
};

/* The first BAD is the reason, or else the first SKIP. */
__attribute__((format(printf, 3, 4)))
static void verdict(struct reader *r, enum vector_result result, const char *format, ...)
{
	va_list args;

	if (result <= r->result)
		return;
	r->result = result;
	va_start(args, format);
	vsnprintf(r->reason, r->n, format, args);
	va_end(args);
	/* The line's own text may be in it. */
	for (size_t i = 0; i < r->n && r->reason[i]; i++)
		if (r->reason[i] < 0x20 || r->reason[i] > 0x7e)
			r->reason[i] = '?';
}

static bool hex_number(const char *text, uint64_t *number)
{
	size_t length = strlen(text);

	if (length < 3 || length > 18 || text[0] != '0' || text[1] != 'x')
		return false;
	*number = 0;
	for (const char *c = text + 2; *c; c++) {
		if (*c >= '0' && *c <= '9')
			*number = *number << 4 | (uint64_t)(*c - '0');
		else if (*c >= 'a' && *c <= 'f')
			*number = *number << 4 | (uint64_t)(*c - 'a' + 10);
		else if (*c >= 'A' && *c <= 'F')
			*number = *number << 4 | (uint64_t)(*c - 'A' + 10);
		else
			return false;
	}
	return true;
}

/* A key of an object, and where its value goes. */
struct key {
	const char *name;
	enum { HEX, INTEGER, BOOLEAN, STRING, OBJECT, ARRAY, ANY } type;
	bool optional;
	void *to;          /* HEX: uint64_t, INTEGER: unsigned, BOOLEAN: bool, STRING: char *, others: json_t *; or NULL */
	uint64_t min, max; /* HEX, INTEGER; max 0: any */
};

static void read_value(struct reader *r, const char *path, const struct key *k, json_t *value)
{
	uint64_t number;

	switch (k->type) {
	case HEX:
		if (!json_is_string(value) || !hex_number(json_string_value(value), &number))
			verdict(r, VECTOR_BAD, "%s%s: not a string of 0x and 1 to 16 hex digits", path, k->name);
		else if (k->max && number > k->max)
			verdict(r, VECTOR_BAD, "%s%s: over 0x%" PRIx64, path, k->name, k->max);
		else if (k->to)
			*(uint64_t *)k->to = number;
		return;
	case INTEGER:
		if (!json_is_integer(value) || json_integer_value(value) < (json_int_t)k->min ||
		    json_integer_value(value) > (json_int_t)k->max)
			verdict(r, VECTOR_BAD, "%s%s: not an integer from %" PRIu64 " to %" PRIu64, path, k->name, k->min,
				k->max);
		else if (k->to)
			*(unsigned *)k->to = (unsigned)json_integer_value(value);
		return;
	case BOOLEAN:
		if (!json_is_boolean(value))
			verdict(r, VECTOR_BAD, "%s%s: not true or false", path, k->name);
		else if (k->to)
			*(bool *)k->to = json_is_true(value);
		return;
	case STRING:
		if (!json_is_string(value))
			verdict(r, VECTOR_BAD, "%s%s: not a string", path, k->name);
		else if (k->to)
			*(const char **)k->to = json_string_value(value);
		return;
	case OBJECT:
		if (!json_is_object(value))
			verdict(r, VECTOR_BAD, "%s%s: not an object", path, k->name);
		else if (k->to)
			*(json_t **)k->to = value;
		return;
	case ARRAY:
		if (!json_is_array(value))
			verdict(r, VECTOR_BAD, "%s%s: not an array", path, k->name);
		else if (k->to)
			*(json_t **)k->to = value;
		return;
	case ANY:
		if (k->to)
			*(json_t **)k->to = value;
		return;
	}
}

/*
 * Reads an object's keys; what is absent or bad leaves its place as it was. NULL: it was missing, which has been said.
 * Returns a bit for each key of the table that was there.
 */
static unsigned read_object(struct reader *r, const char *path, json_t *object, const struct key *keys, size_t count)
{
	unsigned there = 0;
	const char *name;
	json_t *value;
	size_t i;

	for (i = 0; object && i < count; i++) {
		value = json_object_get(object, keys[i].name);
		if (value) {
			there |= 1u << i;
			read_value(r, path, &keys[i], value);
		} else if (!keys[i].optional) {
			verdict(r, VECTOR_BAD, "%s%s: missing", path, keys[i].name);
		}
	}
	json_object_foreach(object, name, value) {
		for (i = 0; i < count && strcmp(keys[i].name, name); i++)
			;
		if (i == count)
			verdict(r, VECTOR_SKIP, "%s%.60s: unknown key", path, name);
	}
	return there;
}

static void read_text(struct reader *r, const char *key, const char *text, char *to, size_t size)
{
	if (!text)
		return;
	if (text_fits(text, size))
		memcpy(to, text, strlen(text) + 1);
	else
		verdict(r, VECTOR_BAD, "%s: not 1 to %zu bytes without control characters", key, size - 1);
}

static unsigned read_features(struct reader *r, const char *path, json_t *array, const struct name *table, size_t count)
{
	const struct name *feature;
	unsigned bits = 0;
	json_t *value;
	size_t i;

	json_array_foreach(array, i, value) { /* none if it was missing */
		if (!json_is_string(value)) {
			verdict(r, VECTOR_BAD, "%s: not an array of strings", path);
			continue;
		}
		feature = by_name(table, count, json_string_value(value));
		if (feature)
			bits |= feature->value;
		else
			verdict(r, VECTOR_SKIP, "%s: unknown feature %.60s", path, json_string_value(value));
	}
	return bits;
}

/* The index of the word at an address, as a key has it; -1: bad. A word that is new was zero, and stays so. */
static int word_at(struct reader *r, const char *path, const char *key, struct vector *v)
{
	struct case_memory *m = &v->question.memory;
	uint64_t address;
	int at;

	if (!hex_number(key, &address)) {
		verdict(r, VECTOR_BAD, "%s: %.60s: the address is not 0x and 1 to 16 hex digits", path, key);
		return -1;
	}
	at = case_find(m, address);
	if (at >= 0)
		return at;
	if (!case_set(m, address, 0)) {
		if (address & 7)
			verdict(r, VECTOR_BAD, "%s: %s: the address is no multiple of 8", path, key);
		else if (m->size < 8 || address > m->size - 8)
			verdict(r, VECTOR_BAD, "%s: %s: the word is not below mem.size", path, key);
		else
			verdict(r, VECTOR_BAD, "%s: more than %d words", path, CASE_MAX_WORDS);
		return -1;
	}
	at = (int)m->count - 1;
	v->expect.value[at] = 0;
	v->expect.mask[at] = ALL;
	return at;
}

/* Words by address, into to[] by index. */
static void read_words(struct reader *r, const char *path, json_t *object, struct vector *v, uint64_t *to)
{
	bool seen[CASE_MAX_WORDS] = { false };
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value) {
		int at = word_at(r, path, key, v);

		if (at < 0)
			return;
		if (seen[at]) /* 0x8 and 0x08; the same key twice never comes here */
			verdict(r, VECTOR_BAD, "%s: %s: twice", path, key);
		else if (!json_is_string(value) || !hex_number(json_string_value(value), &to[at]))
			verdict(r, VECTOR_BAD, "%s: %s: not a string of 0x and 1 to 16 hex digits", path, key);
		seen[at] = true;
	}
}

static void read_pdpte(struct reader *r, json_t *array, struct case_question *q)
{
	json_t *value;
	size_t i;

	if (!array)
		return;
	q->has_pdpte = true;
	if (json_array_size(array) != 4) {
		verdict(r, VECTOR_BAD, "pdpte: not four registers");
		return;
	}
	json_array_foreach(array, i, value)
		if (!json_is_string(value) || !hex_number(json_string_value(value), &q->pdpte[i]))
			verdict(r, VECTOR_BAD, "pdpte: not strings of 0x and 1 to 16 hex digits");
}

static void read_stage2(struct reader *r, json_t *stage2, struct case_question *q)
{
	const char *kind = NULL;
	json_t *list = NULL;
	const struct key ept[] = {
		{ .name = "kind", .type = STRING },
		{ .name = "eptp", .type = HEX, .to = &q->eptp },
		{ .name = "mbec", .type = BOOLEAN, .to = &q->mbec },
		{ .name = "features", .type = ARRAY, .to = &list },
	}, npt[] = {
		{ .name = "kind", .type = STRING },
		{ .name = "ncr3", .type = HEX, .to = &q->ncr3 },
		{ .name = "cr0", .type = HEX, .to = &q->hcr0 },
		{ .name = "cr4", .type = HEX, .to = &q->hcr4 },
		{ .name = "efer", .type = HEX, .to = &q->hefer },
		{ .name = "gmet", .type = BOOLEAN, .to = &q->gmet },
		{ .name = "rogpt", .type = BOOLEAN, .optional = true },
		{ .name = "sss", .type = BOOLEAN, .optional = true },
	};

	if (!stage2)
		return;
	/* The other keys depend on the kind: of a kind that we don't know, none is known. */
	kind = json_string_value(json_object_get(stage2, "kind"));
	if (!json_object_get(stage2, "kind")) {
		verdict(r, VECTOR_BAD, "stage2.kind: missing");
	} else if (!kind) {
		verdict(r, VECTOR_BAD, "stage2.kind: not a string");
	} else if (!strcmp(kind, "ept")) {
		q->stage2 = CASE_EPT;
		read_object(r, "stage2.", stage2, ept, COUNT(ept));
		q->ept_features = read_features(r, "stage2.features", list, ept_features, COUNT(ept_features));
	} else if (!strcmp(kind, "npt")) {
		q->stage2 = CASE_NPT;
		read_object(r, "stage2.", stage2, npt, COUNT(npt));
	} else {
		verdict(r, VECTOR_SKIP, "stage2.kind: unknown %.60s", kind);
	}
}

static void read_access(struct reader *r, json_t *access, struct case_question *q)
{
	const char *kind = NULL, *segment = NULL;
	const struct name *found;
	const struct key keys[] = {
		{ .name = "va", .type = HEX, .to = &q->va },
		{ .name = "kind", .type = STRING, .to = &kind },
		{ .name = "user", .type = BOOLEAN, .to = &q->user },
		{ .name = "implicit", .type = BOOLEAN, .to = &q->implicit },
		{ .name = "shadow_stack", .type = BOOLEAN, .optional = true },
		{ .name = "segment", .type = STRING, .optional = true, .to = &segment },
	};

	read_object(r, "access.", access, keys, COUNT(keys));
	if (kind) {
		found = by_name(accesses, COUNT(accesses), kind);
		if (found)
			q->access = (enum case_access)found->value;
		else
			verdict(r, VECTOR_BAD, "access.kind: not read, write or fetch");
	}
	if (segment) {
		found = by_name(segments, COUNT(segments), segment);
		if (found)
			q->stack = found->value;
		else
			verdict(r, VECTOR_BAD, "access.segment: not a segment");
	}
}

static void read_expect(struct reader *r, json_t *expect, struct vector_expect *e)
{
	const char *outcome = NULL, *rights = NULL;
	const struct name *found;
	char text[5];
	/* The first nine are in the order of VECTOR_…, bit by bit. */
	const struct key keys[] = {
		{ .name = "pa", .type = HEX, .optional = true, .to = &e->pa },
		{ .name = "page_shift", .type = INTEGER, .optional = true, .to = &e->page_shift, .max = 63 },
		{ .name = "rights", .type = STRING, .optional = true, .to = &rights },
		{ .name = "vector", .type = INTEGER, .optional = true, .to = &e->vector, .min = 12, .max = 13 },
		{ .name = "error_code", .type = HEX, .optional = true, .to = &e->error_code },
		{ .name = "cr2", .type = HEX, .optional = true, .to = &e->cr2 },
		{ .name = "exit_qualification", .type = HEX, .optional = true, .to = &e->exit_qualification },
		{ .name = "gpa", .type = HEX, .optional = true, .to = &e->gpa },
		{ .name = "gpa_page", .type = HEX, .optional = true, .to = &e->gpa_page, .max = ALL >> 12 },
		{ .name = "outcome", .type = STRING, .to = &outcome },
		/* A mask alone checks nothing, as the value that it belongs to is absent. */
		{ .name = "error_code_mask", .type = HEX, .optional = true, .to = &e->error_code_mask },
		{ .name = "exit_qualification_mask", .type = HEX, .optional = true, .to = &e->exit_qualification_mask },
		{ .name = "memtype", .type = ANY, .optional = true },
	};

	e->error_code_mask = e->exit_qualification_mask = ALL;
	e->have = read_object(r, "expect.", expect, keys, COUNT(keys)) & ((VECTOR_GPA_PAGE << 1) - 1);
	if (rights) {
		for (unsigned bits = 0; bits < 16; bits++) {
			rights_text(bits, text);
			if (!strcmp(text, rights))
				e->rights = bits;
		}
		rights_text(e->rights, text);
		if (strcmp(text, rights))
			verdict(r, VECTOR_BAD, "expect.rights: not four characters u|- r|- w|- x|-");
	}
	if (!outcome)
		return;
	found = by_name(outcomes, COUNT(outcomes), outcome);
	if (!found) {
		verdict(r, VECTOR_SKIP, "expect.outcome: unknown %.60s", outcome);
		return;
	}
	e->outcome = (enum case_outcome)found->value;
	for (size_t i = 0; i < 9; i++)
		if (e->have & ~outcome_fields(e->outcome) & 1u << i)
			verdict(r, VECTOR_SKIP, "expect.%s: unknown for the outcome %s", keys[i].name, outcome);
}

/*
 * NOT IMPLEMENTED YET. The format has these and the library has not, so a case that turns on one is skipped. Whoever
 * implements one takes its line out here (a key gets its place in its object's table above, and in case.h). A feature
 * that the CPU has but the registers leave off is no reason. The outcome `lass` is missing from outcomes[].
 */
static void not_implemented_yet(struct reader *r, json_t *line, const struct case_question *q)
{
	static const struct { const char *object, *key; } keys[] = {
		{ "regs", "pkrs" }, { "regs", "pat" }, { "regs", "hlatp" }, { "regs", "hlat_prefix" },
		{ "stage2", "rogpt" }, { "stage2", "sss" }, { "mem", "mtrr" }, { "access", "shadow_stack" },
		{ "expect", "memtype" },
	};
	const struct { const char *what; uint64_t set; } bits[] = {
		{ "regs.cr4: CET", q->cr4 & 1 << 23 },
		{ "regs.cr4: PKS", q->cr4 & 1 << 24 },
		{ "regs.cr4: LASS", q->cr4 & 1 << 27 },
		{ "regs.cr4: LAM", q->cr4 & 1 << 28 },
		/* Without the feature these bits of CR3 are reserved (MODE-3). */
		{ "regs.cr3: LAM", q->features & CASE_LAM ? q->cr3 & (uint64_t)3 << 61 : 0 },
		{ "regs.efer: UAI", q->efer & 1 << 20 },
		{ "stage2.eptp: SSS", q->eptp & 1 << 7 },
		{ "stage2.features: ept_pw", q->ept_features & CASE_EPT_PW },
		{ "stage2.features: ept_vpw", q->ept_features & CASE_EPT_VPW },
		{ "stage2.features: spp", q->ept_features & CASE_EPT_SPP },
	};
	json_t *value;

	for (size_t i = 0; i < COUNT(keys); i++) {
		value = json_object_get(json_object_get(line, keys[i].object), keys[i].key);
		if (value && !json_is_false(value))
			verdict(r, VECTOR_SKIP, "%s.%s: not implemented yet", keys[i].object, keys[i].key);
	}
	for (size_t i = 0; i < COUNT(bits); i++)
		if (bits[i].set)
			verdict(r, VECTOR_SKIP, "%s: not implemented yet", bits[i].what);
}

static void read_line(struct reader *r, json_t *line, struct vector *v)
{
	struct case_question *q = &v->question;
	const char *id = NULL, *source = NULL, *profile = NULL;
	json_t *rules = NULL, *cpu = NULL, *regs = NULL, *pdpte = NULL, *stage2 = NULL, *mem = NULL, *access = NULL;
	json_t *expect = NULL, *after = NULL, *mask = NULL, *list = NULL, *words = NULL, *value;
	const struct name *found;
	bool cs_l = true;
	size_t i;
	const struct key line_keys[] = {
		{ .name = "id", .type = STRING, .to = &id },
		{ .name = "source", .type = STRING, .to = &source },
		{ .name = "note", .type = STRING, .optional = true },
		{ .name = "rules", .type = ANY, .optional = true, .to = &rules },
		{ .name = "profile", .type = STRING, .to = &profile },
		{ .name = "cpu", .type = OBJECT, .to = &cpu },
		{ .name = "regs", .type = OBJECT, .to = &regs },
		{ .name = "pdpte", .type = ARRAY, .optional = true, .to = &pdpte },
		{ .name = "stage2", .type = OBJECT, .optional = true, .to = &stage2 },
		{ .name = "mem", .type = OBJECT, .to = &mem },
		{ .name = "access", .type = OBJECT, .to = &access },
		{ .name = "expect", .type = OBJECT, .to = &expect },
		/* Absent is as empty: every word is as before. */
		{ .name = "mem_after", .type = OBJECT, .optional = true, .to = &after },
		{ .name = "mem_mask", .type = OBJECT, .optional = true, .to = &mask },
	}, cpu_keys[] = {
		/* CPUID's byte. More than 52 counts as 52 (MODE-12); less than 32 no CPU has. */
		{ .name = "maxphyaddr", .type = INTEGER, .to = &q->maxphyaddr, .min = 32, .max = 255 },
		{ .name = "features", .type = ARRAY, .to = &list },
	}, regs_keys[] = {
		{ .name = "cr0", .type = HEX, .to = &q->cr0 },
		{ .name = "cr3", .type = HEX, .to = &q->cr3 },
		{ .name = "cr4", .type = HEX, .to = &q->cr4 },
		{ .name = "efer", .type = HEX, .to = &q->efer },
		{ .name = "rflags", .type = HEX, .to = &q->rflags },
		{ .name = "pkru", .type = HEX, .to = &q->pkru, .max = UINT32_MAX },
		{ .name = "cs_l", .type = BOOLEAN, .optional = true, .to = &cs_l },
		{ .name = "pkrs", .type = HEX, .optional = true },
		{ .name = "pat", .type = HEX, .optional = true },
		{ .name = "hlatp", .type = HEX, .optional = true },
		{ .name = "hlat_prefix", .type = INTEGER, .optional = true, .max = 64 },
	}, mem_keys[] = {
		{ .name = "size", .type = HEX, .to = &q->memory.size },
		{ .name = "words", .type = OBJECT, .to = &words },
		{ .name = "mtrr", .type = ANY, .optional = true },
	};

	read_object(r, "", line, line_keys, COUNT(line_keys));
	read_text(r, "id", id, v->id, sizeof(v->id));
	read_text(r, "source", source, v->source, sizeof(v->source));
	/* One rule or some; for people, so nothing but its type matters. */
	if (rules && !json_is_string(rules) && !json_is_array(rules))
		verdict(r, VECTOR_BAD, "rules: not an array of strings");
	json_array_foreach(rules, i, value)
		if (!json_is_string(value))
			verdict(r, VECTOR_BAD, "rules: not an array of strings");
	if (profile) {
		found = by_name(profiles, COUNT(profiles), profile);
		if (found)
			q->profile = (enum case_profile)found->value;
		else
			verdict(r, VECTOR_SKIP, "profile: unknown %.60s", profile);
	}
	read_object(r, "cpu.", cpu, cpu_keys, COUNT(cpu_keys));
	q->features = read_features(r, "cpu.features", list, features, COUNT(features));
	read_object(r, "regs.", regs, regs_keys, COUNT(regs_keys));
	q->compatibility = !cs_l;
	read_pdpte(r, pdpte, q);
	read_stage2(r, stage2, q);
	read_object(r, "mem.", mem, mem_keys, COUNT(mem_keys));
	read_words(r, "mem.words", words, v, q->memory.value);
	memcpy(v->expect.value, q->memory.value, q->memory.count * sizeof(*v->expect.value));
	read_access(r, access, q);
	read_expect(r, expect, &v->expect);
	read_words(r, "mem_after", after, v, v->expect.value);
	read_words(r, "mem_mask", mask, v, v->expect.mask);
	not_implemented_yet(r, line, q);
}

enum vector_result vector_parse(const char *line, size_t length, struct vector *v, char *reason, size_t n)
{
	struct reader r = { VECTOR_OK, reason, n };
	json_error_t error;
	json_t *root;

	memset(v, 0, sizeof(*v));
	if (n)
		*reason = '\0';
	root = json_loadb(line, length, JSON_REJECT_DUPLICATES, &error);
	if (!root)
		verdict(&r, VECTOR_BAD, "not JSON: %s at byte %d", error.text, error.position);
	else if (!json_is_object(root))
		verdict(&r, VECTOR_BAD, "not an object");
	else
		read_line(&r, root, v);
	json_decref(root);
	return r.result;
}

/* Comparing. */

struct differences {
	char *text;
	size_t n, length;
	bool any;
};

__attribute__((format(printf, 2, 3)))
static void differ(struct differences *d, const char *format, ...)
{
	size_t room = d->length < d->n ? d->n - d->length : 0;
	char one[160];
	va_list args;
	int wrote;

	va_start(args, format);
	vsnprintf(one, sizeof(one), format, args);
	va_end(args);
	wrote = snprintf(room ? d->text + d->length : NULL, room, "%s%s", d->any ? "; " : "", one);
	d->length += wrote > 0 ? (size_t)wrote : 0;
	d->any = true;
}

static void differ_number(struct differences *d, const char *field, uint64_t got, uint64_t expected, uint64_t mask)
{
	if (!((got ^ expected) & mask))
		return;
	if (mask == ALL)
		differ(d, "%s got 0x%" PRIx64 ", expected 0x%" PRIx64, field, got, expected);
	else
		differ(d, "%s got 0x%" PRIx64 ", expected 0x%" PRIx64 " in the bits 0x%" PRIx64, field, got, expected, mask);
}

bool vector_match(const struct vector *v, const struct case_answer *a, char *difference, size_t n)
{
	const struct vector_expect *e = &v->expect;
	const struct case_memory *m = &v->question.memory;
	struct differences d = { difference, n, 0, false };
	unsigned vector = a->outcome == CASE_PDPTE_FAULT ? 13 : a->vector;
	const char *got, *expected;
	char text[2][5], word[32];

	if (n)
		*difference = '\0';
	if (a->outcome != e->outcome) {
		got = by_value(outcomes, COUNT(outcomes), a->outcome);
		expected = by_value(outcomes, COUNT(outcomes), e->outcome);
		differ(&d, "outcome got %s, expected %s", got ? got : "bad-state", expected ? expected : "bad-state");
		return false;
	}
	if (e->have & VECTOR_PA)
		differ_number(&d, "pa", a->pa, e->pa, ALL);
	if (e->have & VECTOR_PAGE_SHIFT && a->page_shift != e->page_shift)
		differ(&d, "page_shift got %u, expected %u", a->page_shift, e->page_shift);
	if (e->have & VECTOR_RIGHTS && a->rights != e->rights) {
		rights_text(a->rights, text[0]);
		rights_text(e->rights, text[1]);
		differ(&d, "rights got %s, expected %s", text[0], text[1]);
	}
	if (e->have & VECTOR_VECTOR && vector != e->vector)
		differ(&d, "vector got %u, expected %u", vector, e->vector);
	if (e->have & VECTOR_ERROR_CODE)
		differ_number(&d, "error_code", a->error_code, e->error_code, e->error_code_mask);
	if (e->have & VECTOR_CR2)
		differ_number(&d, "cr2", a->cr2, e->cr2, ALL);
	if (e->have & VECTOR_EXIT_QUALIFICATION)
		differ_number(&d, "exit_qualification", a->exit_qualification, e->exit_qualification,
			      e->exit_qualification_mask);
	if (e->have & VECTOR_GPA)
		differ_number(&d, "gpa", a->gpa, e->gpa, ALL);
	if (e->have & VECTOR_GPA_PAGE)
		differ_number(&d, "gpa_page", a->gpa >> 12, e->gpa_page, ALL);
	for (unsigned i = 0; i < m->count; i++) {
		if (!((a->value[i] ^ e->value[i]) & e->mask[i]))
			continue;
		snprintf(word, sizeof(word), "mem[0x%" PRIx64 "]", m->address[i]);
		differ_number(&d, word, a->value[i], e->value[i], e->mask[i]);
	}
	return !d.any;
}

/* Printing. */

void vector_expect_answer(struct vector_expect *e, const struct case_question *q, const struct case_answer *a)
{
	memset(e, 0, sizeof(*e));
	e->outcome = a->outcome;
	e->have = outcome_fields(a->outcome) & ~(unsigned)VECTOR_GPA_PAGE; /* gpa says it */
	if (a->outcome == CASE_PDPTE_FAULT)
		e->have = 0; /* always 13 */
	e->pa = a->pa;
	e->page_shift = a->page_shift;
	e->rights = a->rights;
	e->vector = a->vector;
	e->error_code = a->error_code;
	e->cr2 = a->cr2;
	e->exit_qualification = a->exit_qualification;
	e->gpa = a->gpa;
	e->error_code_mask = e->exit_qualification_mask = ALL;
	for (unsigned i = 0; i < q->memory.count; i++) {
		e->value[i] = a->value[i];
		e->mask[i] = ALL;
	}
}

/* The set_… are 0 or -1, as jansson's: the caller ORs them up, since a NULL passes through all of jansson. */
static json_t *hex(uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, number);
	return json_string(text);
}

static int set_hex(json_t *object, const char *key, uint64_t number)
{
	return json_object_set_new(object, key, hex(number));
}

static int set_name(json_t *object, const char *key, const struct name *table, size_t count, unsigned value)
{
	const char *name = by_value(table, count, value);

	return name ? json_object_set_new(object, key, json_string(name)) : -1;
}

static int set_features(json_t *object, const struct name *table, size_t count, unsigned bits)
{
	json_t *list = json_array();
	int failed = 0;

	for (size_t i = 0; i < count; i++)
		if (bits & table[i].value) {
			failed |= json_array_append_new(list, json_string(table[i].name));
			bits &= ~table[i].value;
		}
	return failed | json_object_set_new(object, "features", list) | (bits ? -1 : 0);
}

static int set_word(json_t *object, uint64_t address, uint64_t value)
{
	char key[24];

	snprintf(key, sizeof(key), "0x%" PRIx64, address);
	return set_hex(object, key, value);
}

/* The words between blanks and commas. */
static int set_rules(json_t *object, const char *rules)
{
	json_t *list = json_array();
	int failed = 0;
	size_t length;

	for (rules += strspn(rules, " ,"); *rules; rules += length, rules += strspn(rules, " ,")) {
		length = strcspn(rules, " ,");
		failed |= json_array_append_new(list, json_stringn(rules, length));
	}
	return failed | json_object_set_new(object, "rules", list);
}

static int set_regs(json_t *line, const struct case_question *q)
{
	json_t *regs = json_object();
	int failed = 0;

	failed |= set_hex(regs, "cr0", q->cr0);
	failed |= set_hex(regs, "cr3", q->cr3);
	failed |= set_hex(regs, "cr4", q->cr4);
	failed |= set_hex(regs, "efer", q->efer);
	failed |= set_hex(regs, "rflags", q->rflags);
	failed |= set_hex(regs, "pkru", q->pkru);
	if (q->compatibility)
		failed |= json_object_set_new(regs, "cs_l", json_false());
	failed |= json_object_set_new(line, "regs", regs);
	if (q->has_pdpte) {
		json_t *pdpte = json_array();

		for (int i = 0; i < 4; i++)
			failed |= json_array_append_new(pdpte, hex(q->pdpte[i]));
		failed |= json_object_set_new(line, "pdpte", pdpte);
	}
	return failed;
}

static int set_stage2(json_t *line, const struct case_question *q)
{
	json_t *stage2;
	int failed = 0;

	if (q->stage2 == CASE_ONE_DIMENSION)
		return 0;
	stage2 = json_object();
	if (q->stage2 == CASE_EPT) {
		failed |= json_object_set_new(stage2, "kind", json_string("ept"));
		failed |= set_hex(stage2, "eptp", q->eptp);
		failed |= json_object_set_new(stage2, "mbec", json_boolean(q->mbec));
		failed |= set_features(stage2, ept_features, COUNT(ept_features), q->ept_features);
	} else {
		failed |= json_object_set_new(stage2, "kind", json_string("npt"));
		failed |= set_hex(stage2, "ncr3", q->ncr3);
		failed |= set_hex(stage2, "cr0", q->hcr0);
		failed |= set_hex(stage2, "cr4", q->hcr4);
		failed |= set_hex(stage2, "efer", q->hefer);
		failed |= json_object_set_new(stage2, "gmet", json_boolean(q->gmet));
	}
	return failed | json_object_set_new(line, "stage2", stage2);
}

static int set_access(json_t *line, const struct case_question *q)
{
	json_t *access = json_object();
	int failed = 0;

	failed |= set_hex(access, "va", q->va);
	failed |= set_name(access, "kind", accesses, COUNT(accesses), (unsigned)q->access);
	failed |= json_object_set_new(access, "user", json_boolean(q->user));
	failed |= json_object_set_new(access, "implicit", json_boolean(q->implicit));
	if (q->stack)
		failed |= json_object_set_new(access, "segment", json_string("ss"));
	return failed | json_object_set_new(line, "access", access);
}

static int set_expect(json_t *line, const struct vector_expect *e)
{
	json_t *expect = json_object();
	int failed = 0;
	char text[5];

	failed |= set_name(expect, "outcome", outcomes, COUNT(outcomes), (unsigned)e->outcome);
	if (e->have & VECTOR_PA)
		failed |= set_hex(expect, "pa", e->pa);
	if (e->have & VECTOR_PAGE_SHIFT)
		failed |= json_object_set_new(expect, "page_shift", json_integer(e->page_shift));
	if (e->have & VECTOR_RIGHTS) {
		rights_text(e->rights, text);
		failed |= json_object_set_new(expect, "rights", json_string(text));
	}
	if (e->have & VECTOR_VECTOR)
		failed |= json_object_set_new(expect, "vector", json_integer(e->vector));
	if (e->have & VECTOR_ERROR_CODE) {
		failed |= set_hex(expect, "error_code", e->error_code);
		if (e->error_code_mask != ALL)
			failed |= set_hex(expect, "error_code_mask", e->error_code_mask);
	}
	if (e->have & VECTOR_CR2)
		failed |= set_hex(expect, "cr2", e->cr2);
	if (e->have & VECTOR_EXIT_QUALIFICATION) {
		failed |= set_hex(expect, "exit_qualification", e->exit_qualification);
		if (e->exit_qualification_mask != ALL)
			failed |= set_hex(expect, "exit_qualification_mask", e->exit_qualification_mask);
	}
	if (e->have & VECTOR_GPA)
		failed |= set_hex(expect, "gpa", e->gpa);
	if (e->have & VECTOR_GPA_PAGE)
		failed |= set_hex(expect, "gpa_page", e->gpa_page);
	return failed | json_object_set_new(line, "expect", expect);
}

static json_t *line_of(const char *id, const char *source, const struct case_question *q,
		       const struct vector_expect *e, const char *note, const char *rules)
{
	json_t *line = json_object(), *cpu = json_object(), *mem = json_object(), *words = json_object();
	json_t *after = json_object(), *mask = json_object();
	int failed = 0;

	failed |= json_object_set_new(line, "id", json_string(id));
	failed |= json_object_set_new(line, "source", json_string(source));
	if (note)
		failed |= json_object_set_new(line, "note", json_string(note));
	if (rules)
		failed |= set_rules(line, rules);
	failed |= set_name(line, "profile", profiles, COUNT(profiles), (unsigned)q->profile);
	failed |= json_object_set_new(cpu, "maxphyaddr", json_integer(q->maxphyaddr));
	failed |= set_features(cpu, features, COUNT(features), q->features);
	failed |= json_object_set_new(line, "cpu", cpu);
	failed |= set_regs(line, q);
	failed |= set_stage2(line, q);
	for (unsigned i = 0; i < q->memory.count; i++) {
		failed |= set_word(words, q->memory.address[i], q->memory.value[i]);
		if (e->value[i] != q->memory.value[i])
			failed |= set_word(after, q->memory.address[i], e->value[i]);
		if (e->mask[i] != ALL)
			failed |= set_word(mask, q->memory.address[i], e->mask[i]);
	}
	failed |= set_hex(mem, "size", q->memory.size);
	failed |= json_object_set_new(mem, "words", words);
	failed |= json_object_set_new(line, "mem", mem);
	failed |= set_access(line, q);
	failed |= set_expect(line, e);
	failed |= json_object_set_new(line, "mem_after", after);
	if (json_object_size(mask))
		failed |= json_object_set(line, "mem_mask", mask);
	json_decref(mask);
	if (!failed)
		return line;
	json_decref(line);
	return NULL;
}

int vector_print_expect(FILE *out, const char *id, const char *source, const struct case_question *q,
			const struct vector_expect *e, const char *note, const char *rules)
{
	char *text = NULL;
	json_t *line;
	int status = -1;

	/* What would not be read back. The knobs are off in every vector. */
	if (!text_fits(id, VECTOR_ID_SIZE) || !text_fits(source, VECTOR_SOURCE_SIZE) || q->knobs ||
	    q->maxphyaddr < 32 || q->maxphyaddr > 255 || q->pkru > UINT32_MAX ||
	    e->have & ~outcome_fields(e->outcome) ||
	    (e->have & VECTOR_PAGE_SHIFT && e->page_shift > 63) || (e->have & VECTOR_RIGHTS && e->rights > 15) ||
	    (e->have & VECTOR_VECTOR && e->vector != 12 && e->vector != 13) ||
	    (e->have & VECTOR_GPA_PAGE && e->gpa_page > ALL >> 12))
		return -1;
	line = line_of(id, source, q, e, note, rules);
	if (line)
		text = json_dumps(line, JSON_COMPACT);
	if (text && fprintf(out, "%s\n", text) > 0)
		status = 0;
	free(text);
	json_decref(line);
	return status;
}

int vector_print(FILE *out, const char *id, const char *source, const struct case_question *q,
		 const struct case_answer *a, const char *note, const char *rules)
{
	struct vector_expect e;

	vector_expect_answer(&e, q, a);
	return vector_print_expect(out, id, source, q, &e, note, rules);
}
