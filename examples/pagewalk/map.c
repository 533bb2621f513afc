/* SPDX-License-Identifier: MIT */
/* pagewalk map: all mappings, `START END PA SHIFT RIGHTS FLAGS`, neighbours that differ in nothing in one line. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "report.h"
#include "tables.h"
#include "text.h"

#define FLAGS 6

/* Entries that are looked at unless --limit says otherwise: 256 GiB of 4 KiB pages. */
#define DEFAULT_LIMIT (UINT64_C(1) << 26)

/* Pages that follow each other here and in physical memory, and are equal otherwise. */
struct range {
	uint64_t start, end, pa; /* end: exclusive; 0 is 2^64 */
	unsigned shift, rights;
	char flags[FLAGS];
	bool any;                /* there is one */
};

struct map {
	struct tables tables;
	struct range range; /* not written yet: it may grow */
	bool json;
};

/* END of the last range may be 2^64, which has a digit more. */
static char *put_end(char *to, uint64_t end)
{
	return end ? put_address(to, end) : put_text(to, "0x10000000000000000");
}

static void put_range(const struct map *map)
{
	const struct range *r = &map->range;
	/*
	 * JSON is written as text here: all in it is digits and letters, and building an object for each of millions
	 * of lines would take several times as long.
	 */
	static const char *const plain[] = { "", " ", " ", " ", " ", " ", "\n" };
	static const char *const json[] = { "{\"start\":\"", "\",\"end\":\"", "\",\"pa\":\"", "\",\"page_shift\":",
					    ",\"rights\":\"", "\",\"flags\":\"", "\"}\n" };
	const char *const *between = map->json ? json : plain;
	char line[256], *p = line;

	if (!r->any)
		return;
	p = put_address(put_text(p, between[0]), r->start);
	p = put_end(put_text(p, between[1]), r->end);
	p = put_address(put_text(p, between[2]), r->pa);
	p = put_decimal(put_text(p, between[3]), r->shift);
	p = put_rights(put_text(p, between[4]), r->rights);
	p = put_text(p, between[5]);
	memcpy(p, r->flags, FLAGS);
	p = put_text(p + FLAGS, between[6]);
	output(line, (size_t)(p - line));
}

/* g global, d dirty, a accessed, c PCD, t PWT, p PAT: those of the entry that maps the page. */
static void set_flags(char flags[FLAGS], uint64_t pte, int level)
{
	const uint64_t masks[FLAGS] = {
		PAGEWALK_PTE_GLOBAL, PAGEWALK_PTE_DIRTY, PAGEWALK_PTE_ACCESSED, PAGEWALK_PTE_PCD, PAGEWALK_PTE_PWT,
		level == 1 ? PAGEWALK_PTE_PAT : PAGEWALK_PTE_PAT_LARGE,
	};

	for (int i = 0; i < FLAGS; i++)
		flags[i] = pte & masks[i] ? "gdactp"[i] : '-';
}

static bool map_leaf(struct tables *t, const struct leaf *leaf)
{
	struct map *map = (struct map *)t; /* its first member */
	struct range *r = &map->range, next;
	struct pagewalk_walk walk;

	/* What pagewalk_rights() looks at, as a walk would leave it. */
	walk.guest.pte_access = (uint8_t)leaf->access;
	walk.nested.max_level = 0;

	next.start = leaf->va;
	next.end = leaf->va + (UINT64_C(1) << leaf->shift);
	next.pa = leaf->pa;
	next.shift = leaf->shift;
	next.rights = pagewalk_rights(&t->m->guest.walk, &walk);
	next.any = true;
	set_flags(next.flags, leaf->pte, leaf->level);

	if (r->any && r->end == next.start && r->pa + (r->end - r->start) == next.pa && r->shift == next.shift &&
	    r->rights == next.rights && !memcmp(r->flags, next.flags, FLAGS)) {
		r->end = next.end;
		return true;
	}
	put_range(map);
	*r = next;
	return !output_failed();
}

int command_map(const struct machine *m, const struct options *o)
{
	static const struct range everything = { /* MODE-1 */
		.shift = 64, .flags = "------", .any = true,
		.rights = PAGEWALK_RIGHTS_READ | PAGEWALK_RIGHTS_WRITE | PAGEWALK_RIGHTS_EXEC | PAGEWALK_RIGHTS_USER,
	};
	const struct value *limit = &o->value[OPTION_LIMIT];
	struct map map = {
		.tables = { .m = m, .limit = limit->given ? limit->number : DEFAULT_LIMIT, .leaf = map_leaf },
		.json = o->value[OPTION_JSON].given,
	};
	enum tables_status status = TABLES_DONE;

	if (machine_second_stage(m))
		return fail(m->path, "map shows one stage of translation: not with --eptp or --ncr3");
	if (m->pdpte_status != PAGEWALK_OK)
		return fail(m->path, "a PDPTE at CR3 0x%016" PRIx64 " has reserved bits set: no CPU loads it (MODE-7)",
			    m->guest.walk.pgd);

	progress_start(true);
	if (m->guest.walk.fmt.kind == PAGEWALK_KIND_DIRECT)
		map.range = everything;
	else
		status = tables_walk(&map.tables);
	put_range(&map);
	if (status == TABLES_LIMIT)
		return fail(m->path, "stopped at the limit of %" PRIu64 " entries, and there are more: maybe tables "
			    "that point at themselves; see --limit", map.tables.limit);
	tables_note(&map.tables);
	return STATUS_OK;
}
