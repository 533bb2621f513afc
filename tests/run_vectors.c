/* SPDX-License-Identifier: MIT */
/*
 * run-vectors [-v] [--model] FILE...: runs vector files through the library, or through the model, and compares.
 *
 * A mismatch is one line on standard output, `FILE:LINE: ID: difference`; the last line is the counts. Exit status:
 * 0; 1: a case failed; 2: a file or a line that cannot be read, no case at all, or a wrong command line. A line that
 * cannot be read ends the run at once and without counts: half a run must not look like a whole one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "library.h"
#include "model.h"
#include "vector.h"

#define LONGEST_LINE (1 << 20)

typedef void walker(const struct case_question *q, struct case_answer *a);

struct run {
	walker *walk;
	bool verbose;
	unsigned long passed, failed, skipped;
};

static _Noreturn void refuse(const char *file, unsigned long line, const char *reason)
{
	fflush(stdout); /* the mismatches so far come first */
	if (line)
		fprintf(stderr, "run-vectors: %s:%lu: %s\n", file, line, reason);
	else
		fprintf(stderr, "run-vectors: %s: %s\n", file, reason);
	exit(2);
}

/*
 * Reads a line without its newline, at most LONGEST_LINE bytes and one more, that shows that it is too long: unlike
 * getline(), this never holds more of a file than that. False: the file ends here. A NUL is a byte like any other.
 */
static bool read_line(FILE *f, char *line, size_t *length)
{
	int c = EOF;

	for (*length = 0; *length <= LONGEST_LINE; line[(*length)++] = (char)c) {
		c = getc_unlocked(f);
		if (c == EOF || c == '\n')
			break;
	}
	return *length || c != EOF;
}

static void run_line(struct run *run, const char *file, unsigned long number, const char *line, size_t length)
{
	static struct vector v;
	static struct case_answer a;
	char text[1024];

	switch (vector_parse(line, length, &v, text, sizeof(text))) {
	case VECTOR_BAD:
		refuse(file, number, text);
	case VECTOR_SKIP:
		run->skipped++;
		if (run->verbose)
			printf("%s:%lu: %s: skipped: %s\n", file, number, v.id, text);
		return;
	case VECTOR_OK:
		break;
	}
	memset(&a, 0, sizeof(a)); /* nothing of the case before */
	run->walk(&v.question, &a);
	if (vector_match(&v, &a, text, sizeof(text))) {
		run->passed++;
	} else {
		run->failed++;
		printf("%s:%lu: %s: %s\n", file, number, v.id, text);
	}
}

static void run_file(struct run *run, const char *file)
{
	static char line[LONGEST_LINE + 1];
	FILE *f = fopen(file, "r");
	size_t length;
	int next;

	if (!f)
		refuse(file, 0, strerror(errno));
	for (unsigned long number = 1; read_line(f, line, &length); number++) {
		if (ferror(f))
			break;
		if (length > LONGEST_LINE)
			refuse(file, number, "longer than 1 MiB");
		if (!length) {
			next = getc(f);
			if (next != EOF)
				refuse(file, number, "an empty line that is not the last one");
			break;
		}
		run_line(run, file, number, line, length);
	}
	if (ferror(f))
		refuse(file, 0, strerror(errno));
	fclose(f);
}

int main(int argc, char **argv)
{
	struct run run = { .walk = library_walk };
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "-v")) {
			run.verbose = true;
		} else if (!strcmp(argv[i], "--model")) {
			run.walk = model_walk;
		} else if (!strcmp(argv[i], "--")) {
			i++;
			break;
		} else {
			i = argc;
		}
	}
	if (i >= argc) {
		fprintf(stderr, "usage: run-vectors [-v] [--model] FILE...\n");
		return 2;
	}
	for (; i < argc; i++)
		run_file(&run, argv[i]);
	if (!run.passed && !run.failed && !run.skipped) {
		fprintf(stderr, "run-vectors: no vectors\n");
		return 2;
	}
	printf("%lu passed, %lu failed, %lu skipped\n", run.passed, run.failed, run.skipped);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "run-vectors: standard output: %s\n", strerror(errno));
		return 2;
	}
	return run.failed ? 1 : 0;
}
