/* SPDX-License-Identifier: MIT */
/* All tables that CR3 leads to: see tables.h. Recursion ends with the levels, whatever the tables point at. */
#include <inttypes.h>

#include "entry.h"
#include "report.h"
#include "tables.h"

/* The addresses of long mode are canonical: the upper bits repeat the highest one that is translated (MODE-16). */
static uint64_t canonical(const struct kvm_pagewalk *w, uint64_t va)
{
	unsigned width = 12 + 9u * w->fmt.root_level;

	if (w->fmt.root_level < 4 || !(va >> (width - 1) & 1))
		return va;
	return va | PAGEWALK_BITS(63, (int)width);
}

/* The table of the level at pa, which translates the addresses from va on, below entries that allow access. */
static enum tables_status walk_table(struct tables *t, uint64_t pa, int level, uint64_t va, unsigned access)
{
	const struct kvm_pagewalk *w = &t->m->guest.walk;
	unsigned count = entry_count(w, level), size = entry_size(w);
	unsigned char copy[IMAGE_PAGE_SIZE];
	const unsigned char *table = machine_page(t->m, pa, copy);
	enum tables_status status = TABLES_DONE;

	if (!table) {
		t->outside++;
		return TABLES_DONE;
	}
	if (t->enter) {
		enum tables_visit visit = t->enter(t, pa & ~UINT64_C(0xfff), level, table);

		if (visit != TABLES_ENTER)
			return visit == TABLES_STOP ? TABLES_STOPPED : TABLES_DONE;
	}
	if (count > t->limit - t->entries)
		return TABLES_LIMIT;
	t->entries += count;
	progress(t->entries, "entries", t->entries * size);

	table += pa & 0xfff; /* PAE's root may begin anywhere in its page */
	for (unsigned i = 0; i < count && status == TABLES_DONE; i++) {
		struct leaf leaf = { .pte = machine_number(table + i * size, size), .level = level };
		const struct entry e = entry_decode(w, level, leaf.pte);

		if (!e.good)
			continue;
		leaf.va = va | (uint64_t)i << e.shift;
		leaf.pa = e.target;
		leaf.shift = e.shift;
		leaf.access = access & e.access;
		if (!e.last) {
			status = walk_table(t, e.target, level - 1, leaf.va, leaf.access);
		} else if (t->leaf) {
			leaf.va = canonical(w, leaf.va);
			if (!t->leaf(t, &leaf))
				status = TABLES_STOPPED;
		}
	}
	return status;
}

enum tables_status tables_walk(struct tables *t)
{
	const struct kvm_pagewalk *w = &t->m->guest.walk;

	t->entries = t->outside = 0;
	return walk_table(t, w->pgd & w->fmt.root_mask, w->fmt.root_level, 0, PAGEWALK_ACC_ALL);
}

void tables_note(const struct tables *t)
{
	if (t->outside)
		note(t->m->path, "tables that lie outside the image, left out: %" PRIu64, t->outside);
}
