/* SPDX-License-Identifier: MIT */
/* Standard output and standard error: see report.h. What is static here is the state of those two streams. */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "report.h"

static struct {
	bool wanted, shown;
	unsigned calls;       /* the clock is looked at in every 64th */
	struct timespec next; /* when the line may be written again */
} line;

static int output_error;      /* errno of the first write that failed */
static char notes[4][1024];  /* for the end */
static unsigned note_count;

static void compose(char *text, size_t size, const char *subject, const char *format, va_list arguments)
{
	int n = snprintf(text, size, "%.400s: ", subject);

	if (n > 0 && (size_t)n < size)
		vsnprintf(text + n, size - (size_t)n, format, arguments);
}

/* What the user gave may hold anything; it stays one line. */
static void write_line(const char *text)
{
	fputs("pagewalk: ", stderr);
	for (; *text; text++)
		fputc((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text, stderr);
	fputc('\n', stderr);
}

int fail(const char *subject, const char *format, ...)
{
	va_list arguments;
	char text[1024];

	va_start(arguments, format);
	compose(text, sizeof(text), subject, format, arguments);
	va_end(arguments);
	return fail_line(text);
}

void note(const char *subject, const char *format, ...)
{
	va_list arguments;

	if (note_count == sizeof(notes) / sizeof(*notes))
		return;
	va_start(arguments, format);
	compose(notes[note_count++], sizeof(*notes), subject, format, arguments);
	va_end(arguments);
}

int fail_line(const char *text)
{
	progress_clear();
	write_line(text);
	return STATUS_ERROR;
}

/* ---- Standard output ------------------------------------------------------------------------- */

void output(const char *text, size_t n)
{
	errno = EIO; /* should a failure not say which it is */
	if (!output_error && fwrite(text, 1, n, stdout) != n)
		output_error = errno;
}

void output_text(const char *text)
{
	output(text, strlen(text));
}

void output_json(json_t *object)
{
	char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	if (text) {
		output_text(text);
		output_text("\n");
	} else if (!output_error) {
		output_error = ENOMEM;
	}
	free(text);
	json_decref(object);
}

bool output_failed(void)
{
	return output_error != 0;
}

int output_finish(int status)
{
	errno = EIO;
	if (fflush(stdout) && !output_error)
		output_error = errno;
	if (output_error && status != STATUS_ERROR)
		return fail("standard output", "%s", strerror(output_error));
	progress_clear();
	for (unsigned i = 0; status != STATUS_ERROR && i < note_count; i++)
		write_line(notes[i]);
	return status;
}

/* ---- Progress -------------------------------------------------------------------------------- */

/* Sets the time before which nothing is to be written. */
static void wait_for(struct timespec now, time_t seconds, long milliseconds)
{
	line.next.tv_sec = now.tv_sec + seconds;
	line.next.tv_nsec = now.tv_nsec + milliseconds * 1000000;
	if (line.next.tv_nsec >= 1000000000) {
		line.next.tv_nsec -= 1000000000;
		line.next.tv_sec++;
	}
}

void progress_start(bool results)
{
	struct timespec now;

	line.wanted = isatty(STDERR_FILENO) && !(results && isatty(STDOUT_FILENO));
	if (line.wanted && !clock_gettime(CLOCK_MONOTONIC, &now))
		wait_for(now, 1, 0);
}

void progress(uint64_t count, const char *what, uint64_t bytes)
{
	struct timespec now;

	if (!line.wanted || ++line.calls % 64 || clock_gettime(CLOCK_MONOTONIC, &now))
		return;
	if (now.tv_sec < line.next.tv_sec || (now.tv_sec == line.next.tv_sec && now.tv_nsec < line.next.tv_nsec))
		return;
	fprintf(stderr, "pagewalk: %" PRIu64 " %s", count, what);
	if (bytes)
		fprintf(stderr, ", %" PRIu64 " MB", bytes >> 20);
	fputs("...\033[K\r", stderr);
	line.shown = true;
	wait_for(now, 0, 300);
}

void progress_clear(void)
{
	if (line.shown)
		fputs("\033[K", stderr);
	line.shown = false;
}
