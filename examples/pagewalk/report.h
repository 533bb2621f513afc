/* SPDX-License-Identifier: MIT */
/*
 * report.h: what the command says, and where. Results go to standard output, and the first write that fails is not
 * forgotten; one line for an error, notes and the progress line go to standard error.
 */
#ifndef REPORT_H
#define REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses. */
enum { STATUS_OK, STATUS_FAULTS, STATUS_ERROR };

#ifdef __GNUC__
#define REPORT_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define REPORT_PRINTF(text, first)
#endif

/* "pagewalk: SUBJECT: ..." on standard error, one line whatever the subject. Returns STATUS_ERROR. */
int fail(const char *subject, const char *format, ...) REPORT_PRINTF(2, 3);
/* The same for a line that names its subject already, as image.h's do. */
int fail_line(const char *line);
/* A line of the same form that is no error. output_finish() writes it, unless there was an error: that is one line. */
void note(const char *subject, const char *format, ...) REPORT_PRINTF(2, 3);

void output(const char *text, size_t n);
void output_text(const char *text);
/* One line of JSON; takes the reference. NULL counts as a failure to build it. */
void output_json(json_t *object);
/* Whether a write failed: the rest would be in vain. */
bool output_failed(void);
/* Writes what is left, and the notes. Returns status, or after a failed write STATUS_ERROR with its line. */
int output_finish(int status);

/*
 * The progress line: only where standard error is a terminal, from the second second on, a few times per second.
 * results: standard output gets a stream of lines meanwhile; if it is a terminal too they show the progress themselves.
 */
void progress_start(bool results);
/* count of what; bytes read for it, 0: not shown. Costs little, call it often. */
void progress(uint64_t count, const char *what, uint64_t bytes);
void progress_clear(void);

#endif
