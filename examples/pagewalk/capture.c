/* SPDX-License-Identifier: MIT */
/* pagewalk capture: a small ELF core of the registers and the pages that hold page tables, and nothing else. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "commands.h"
#include "report.h"
#include "tables.h"
#include "text.h"

/* A page that holds tables, of which levels is told: pages that point at each other are entered once a level. */
struct page {
	uint64_t pa;
	const unsigned char *bytes;
	unsigned char *copy; /* bytes, if they are not in the image in one piece; otherwise NULL */
	unsigned levels;     /* bit n: it was entered as a table of level n; 0: the slot is free */
};

/* A set of pages: a hash table with open addressing, at most half full. */
struct capture {
	struct tables tables;
	struct page *slots;
	size_t size, count; /* size: a power of two, or 0 */
};

/* Where the page is, or belongs. */
static struct page *find_slot(struct page *slots, size_t size, uint64_t pa)
{
	size_t at = (size_t)((pa >> 12) * UINT64_C(0x9e3779b97f4a7c15) >> 20);

	while (slots[at & (size - 1)].levels && slots[at & (size - 1)].pa != pa)
		at++;
	return &slots[at & (size - 1)];
}

static bool grow(struct capture *c)
{
	size_t size = c->size ? c->size * 2 : 1024;
	struct page *slots = calloc(size, sizeof(*slots));

	if (!slots)
		return false;
	for (size_t i = 0; i < c->size; i++)
		if (c->slots[i].levels)
			*find_slot(slots, size, c->slots[i].pa) = c->slots[i];
	free(c->slots);
	c->slots = slots;
	c->size = size;
	return true;
}

static enum tables_visit capture_table(struct tables *t, uint64_t pa, int level, const unsigned char *bytes)
{
	struct capture *c = (struct capture *)t; /* its first member */
	struct page *page;

	if (c->count >= c->size / 2 && !grow(c))
		return TABLES_STOP;
	page = find_slot(c->slots, c->size, pa);
	if (page->levels >> level & 1)
		return TABLES_SKIP;
	if (!page->levels) {
		*page = (struct page){ .pa = pa, .bytes = bytes };
		if (bytes != image_window(&t->m->image, pa)) {
			page->bytes = page->copy = malloc(IMAGE_PAGE_SIZE);
			if (!page->copy)
				return TABLES_STOP;
			memcpy(page->copy, bytes, IMAGE_PAGE_SIZE);
		}
		c->count++;
	}
	page->levels |= 1u << level;
	return TABLES_ENTER;
}

static int write_core(const struct capture *c, const char *path)
{
	struct image_page *pages = calloc(c->count, sizeof(*pages));
	char error[IMAGE_ERROR_SIZE];
	size_t n = 0;
	int status = STATUS_OK;

	if (!pages)
		return fail(path, "out of memory");
	for (size_t i = 0; i < c->size; i++)
		if (c->slots[i].levels)
			pages[n++] = (struct image_page){ c->slots[i].pa, c->slots[i].bytes };
	if (image_write_core(path, &c->tables.m->registers, pages, n, error, sizeof(error)))
		status = fail_line(error);
	free(pages);
	return status;
}

static int report(const struct capture *c, const char *path, bool json)
{
	char *line, text[64];
	struct stat st;

	if (stat(path, &st))
		return fail(path, "%s", strerror(errno));
	if (json) {
		output_json(json_pack("{s:o, s:I, s:I}", "file", json_text(path), "pages", (json_int_t)c->count,
				      "bytes", (json_int_t)st.st_size));
		return STATUS_OK;
	}
	output_text(path);
	line = put_text(put_decimal(put_text(text, " "), c->count), " pages ");
	line = put_text(put_decimal(line, (uint64_t)st.st_size), " bytes\n");
	output(text, (size_t)(line - text));
	return STATUS_OK;
}

static void capture_free(struct capture *c)
{
	for (size_t i = 0; i < c->size; i++)
		free(c->slots[i].copy);
	free(c->slots);
}

int command_capture(const struct machine *m, const struct options *o)
{
	const char *path = o->value[OPTION_OUTPUT].text;
	struct capture c = { .tables = { .m = m, .limit = UINT64_MAX, .enter = capture_table } };
	int status;

	if (machine_second_stage(m))
		return fail(m->path, "capture follows one stage of translation: not with --eptp or --ncr3");
	if (m->guest.walk.fmt.kind == PAGEWALK_KIND_DIRECT)
		return fail(m->path, "paging is off: there are no tables to capture");

	progress_start(false);
	if (tables_walk(&c.tables) == TABLES_STOPPED)
		status = fail(m->path, "out of memory");
	else
		status = write_core(&c, path);
	if (!status) {
		tables_note(&c.tables);
		status = report(&c, path, o->value[OPTION_JSON].given);
	}
	capture_free(&c);
	return status;
}
