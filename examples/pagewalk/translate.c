/* SPDX-License-Identifier: MIT */
/* pagewalk translate: one line an address, `VA PA SHIFT RIGHTS` or `VA fault KIND CODE`. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "commands.h"
#include "report.h"

struct translate {
	const struct machine *m;
	bool json, faults;
	uint64_t count;
};

static void translate_one(struct translate *t, uint64_t va)
{
	struct pagewalk_walk walk;
	enum pagewalk_status status = machine_translate(t->m, va, &walk);
	char line[128], *p = put_address(line, va);

	t->faults |= status != PAGEWALK_OK;
	progress(++t->count, "addresses", 0);
	if (t->json) {
		output_json(json_answer(t->m, va, status, &walk));
		return;
	}
	*p++ = ' ';
	if (status == PAGEWALK_OK) {
		p = put_address(p, walk.pa);
		*p++ = ' ';
		p = put_decimal(p, pagewalk_page_shift(&walk));
		*p++ = ' ';
		p = put_rights(p, pagewalk_rights(&t->m->guest.walk, &walk));
	} else {
		const struct fault fault = fault_of(status, &walk);

		p = put_text(put_text(put_text(p, "fault "), fault.kind), " ");
		p = put_code(p, &fault);
	}
	*p++ = '\n';
	output(line, (size_t)(p - line));
}

/* The next word of standard input; what is longer than an address can be is cut. False: there is none. */
static bool read_word(char word[64])
{
	size_t n = 0;
	int c;

	while ((c = getc(stdin)) != EOF && isspace(c))
		;
	for (; c != EOF && !isspace(c); c = getc(stdin))
		if (n < 63)
			word[n++] = c ? (char)c : '?'; /* a zero would end it, maybe after what is an address */
	word[n] = '\0';
	return n > 0;
}

static int translate_input(struct translate *t)
{
	char word[64];
	uint64_t va;

	errno = 0;
	while (!output_failed() && read_word(word)) {
		if (parse_address(word, &va))
			return STATUS_ERROR;
		translate_one(t, va);
	}
	return ferror(stdin) ? fail("standard input", "%s", strerror(errno)) : STATUS_OK;
}

int command_translate(const struct machine *m, const struct options *o)
{
	struct translate t = { .m = m, .json = o->value[OPTION_JSON].given };
	int status = STATUS_OK;

	progress_start(true);
	for (size_t i = 0; i < o->count && !status; i++) {
		if (o->addresses[i].standard_input)
			status = translate_input(&t);
		else
			translate_one(&t, o->addresses[i].va);
	}
	if (status)
		return status;
	return t.faults ? STATUS_FAULTS : STATUS_OK;
}
