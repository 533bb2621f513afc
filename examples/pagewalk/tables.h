/* SPDX-License-Identifier: MIT */
/*
 * tables.h: all tables that CR3 leads to, from the lowest address up. One stage only. An entry with a reserved bit
 * leads nowhere, as for the CPU. Make struct tables the first member of a structure of your own, for the callbacks.
 */
#ifndef TABLES_H
#define TABLES_H

#include "machine.h"

enum tables_status {
	TABLES_DONE,
	TABLES_STOPPED, /* a callback said so */
	TABLES_LIMIT    /* more entries than the limit; what was found is right, but not all */
};

/* What enter() says of a table. */
enum tables_visit { TABLES_ENTER, TABLES_SKIP, TABLES_STOP };

struct leaf {
	uint64_t va, pa;
	uint64_t pte;
	int level;
	unsigned shift;  /* log2 of the page's size */
	unsigned access; /* PAGEWALK_ACC_... of all entries on the way */
};

struct tables {
	const struct machine *m;
	uint64_t limit; /* of entries to look at: tables that point at themselves have 2^36 pages and more */
	/* NULL: enter all. bytes: the page that holds the table, as machine_page() gives it. */
	enum tables_visit (*enter)(struct tables *t, uint64_t pa, int level, const unsigned char *bytes);
	/* NULL: pages do not matter. False: stop. */
	bool (*leaf)(struct tables *t, const struct leaf *leaf);

	uint64_t entries; /* looked at so far */
	uint64_t outside; /* how many times a table outside the image was left out */
};

enum tables_status tables_walk(struct tables *t);
/* Says so if some tables were left out. */
void tables_note(const struct tables *t);

#endif
