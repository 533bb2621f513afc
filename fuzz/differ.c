/* SPDX-License-Identifier: MIT */
/*
 * differ: the same cases through the library and through other implementations, every field that those can see and
 * every word of memory.
 *
 *     differ [NAME...] [--seconds S | --cases N] [--seed S] [--jobs N] [-v]
 *     differ NAME --vectors FILE...
 *     differ NAME --speed N              the oracle alone, on the same 256 cases over and over
 *     differ --list
 *
 * Without a name, all of them, one after the other, so long each (a million cases if neither is said). The cases are
 * those of tests/generate.c; the seed is the moment's unless one is given. A difference is minimised and printed as a
 * vector line with the oracle's answer, ready for run-vectors, and what the library said. At the end comes a line for
 * each oracle, `NAME ran N, differ M, known K (ids)` or `NAME skipped: reason`; known are those that a documented
 * deviation explains to the last bit. Exit 1 if anything differs, if an oracle stops, or if an outcome that the
 * generator is good for never came up.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "judge.h"

#define MAX_JOBS 64
#define SHOWN 5        /* differences that each process prints */

#define OUTCOMES (CASE_BAD_STATE + 1)

struct counts {
	unsigned long long ran, outside, differ, known, each[ORACLE_MAX_KNOWN], outcome[3][OUTCOMES];
	bool broken;
};

static struct {
	unsigned long long cases, seed;
	unsigned seconds, jobs;
	bool verbose;
} options = { .cases = 1000000 };

static char summary[16][512];

/* ---- Random cases ------------------------------------------------------------------------------------------------- */

static void count(struct counts *n, enum verdict verdict, unsigned known)
{
	n->ran++;
	n->differ += verdict == DIFFERS;
	n->known += verdict == KNOWN;
	for (unsigned i = 0; i < ORACLE_MAX_KNOWN; i++)
		n->each[i] += known >> i & 1;
}

static void run_job(const struct oracle *o, unsigned job, unsigned jobs, struct counts *n)
{
	static struct case_question question;
	static struct case_answer ours, theirs;
	time_t end = time(NULL) + (time_t)options.seconds;
	unsigned long long cases = options.cases / jobs + (job < options.cases % jobs);
	struct dice dice;
	unsigned known;
	char id[96];

	dice_seed(&dice, options.seed * MAX_JOBS + job);
	for (unsigned long long i = 0; options.seconds ? i % 64 || time(NULL) < end : i < cases; i++) {
		enum verdict verdict;

		generate(&dice, &o->limits, &question);
		if (o->prepare)
			o->prepare(&dice, &question);
		verdict = judge(o, &question, &ours, &theirs, &known);
		if (verdict == BROKEN) {
			n->broken = true;
			return;
		}
		if (verdict == OUTSIDE) {
			n->outside++;
			continue;
		}
		count(n, verdict, known);
		n->outcome[question.stage2][theirs.outcome]++;
		if (verdict == DIFFERS && n->differ <= SHOWN) {
			snprintf(id, sizeof(id), "%s-%llu-%u-%llu", o->name, options.seed, job, i);
			print_difference(o, id, &question);
		}
	}
}

static void add(struct counts *to, const struct counts *n)
{
	to->ran += n->ran;
	to->outside += n->outside;
	to->differ += n->differ;
	to->known += n->known;
	to->broken |= n->broken;
	for (unsigned i = 0; i < ORACLE_MAX_KNOWN; i++)
		to->each[i] += n->each[i];
	for (unsigned i = 0; i < 3 * OUTCOMES; i++)
		to->outcome[i / OUTCOMES][i % OUTCOMES] += n->outcome[i / OUTCOMES][i % OUTCOMES];
}

/* Several processes, each with a stream of cases of its own. */
static void run_jobs(const struct oracle *o, unsigned jobs, struct counts *sum)
{
	struct counts *each = mmap(NULL, MAX_JOBS * sizeof(*each), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (each == MAP_FAILED) {
		perror("differ: mmap");
		exit(2);
	}
	fflush(stdout);
	for (unsigned job = 0; job < jobs; job++) {
		pid_t child = jobs > 1 ? fork() : 0;

		if (child > 0)
			continue;
		if (child == 0)
			run_job(o, job, jobs, &each[job]);
		else
			each[job].broken = true;
		if (jobs > 1) {
			fflush(stdout);
			_exit(0);
		}
	}
	for (int status; jobs > 1 && wait(&status) > 0;)
		if (status)
			sum->broken = true;
	for (unsigned job = 0; job < jobs; job++)
		add(sum, &each[job]);
	munmap(each, MAX_JOBS * sizeof(*each));
}

static void report(const struct oracle *o, struct counts *n)
{
	if (options.verbose) {
		printf("%-14s %14s %14s %14s\n", "outcome", "one dimension", "EPT", "NPT");
		for (unsigned i = 0; i < OUTCOMES; i++)
			printf("%-14s %14llu %14llu %14llu\n", outcome_names[i], n->outcome[0][i], n->outcome[1][i],
			       n->outcome[2][i]);
	}
	for (unsigned i = 0; n->ran >= 100000 && i < OUTCOMES; i++) {
		if (!(o->outcomes >> i & 1) || n->outcome[0][i] + n->outcome[1][i] + n->outcome[2][i])
			continue;
		printf("%s: no case was %s\n", o->name, outcome_names[i]);
		n->differ++;
	}
	for (unsigned i = 0; i < ORACLE_MAX_KNOWN && o->known[i].id; i++)
		if (n->each[i])
			printf("%s: known %s, %llu: %s\n", o->name, o->known[i].id, n->each[i], o->known[i].reason);
	printf("%s: %s, seed %llu, %llu cases were outside of it\n", o->name, o->version, options.seed, n->outside);
	if (n->broken)
		printf("%s: it stopped\n", o->name);
}

static int summarise(const struct oracle *o, const struct counts *n, char *line, size_t size)
{
	size_t length = (size_t)snprintf(line, size, "%s ran %llu, differ %llu, known %llu (", o->name, n->ran, n->differ,
					 n->known);

	for (unsigned i = 0, listed = 0; i < ORACLE_MAX_KNOWN && o->known[i].id && length < size; i++)
		if (n->each[i])
			length += (size_t)snprintf(line + length, size - length, "%s%s", listed++ ? " " : "", o->known[i].id);
	if (length < size)
		snprintf(line + length, size - length, ")%s", n->broken ? ", and stopped" : "");
	return n->differ || n->broken || !n->ran;
}

static int run(struct oracle *o, char *line, size_t size)
{
	struct counts n = { .ran = 0 };
	char reason[256] = "";
	unsigned jobs = options.jobs ? options.jobs : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);

	if (!o->start(reason, sizeof(reason))) {
		snprintf(line, size, "%s skipped: %s", o->name, reason);
		return 0;
	}
	if (o->jobs && jobs > o->jobs)
		jobs = o->jobs;
	run_jobs(o, jobs > MAX_JOBS ? MAX_JOBS : jobs, &n);
	if (o->stop)
		o->stop();
	report(o, &n);
	return summarise(o, &n, line, size);
}

/* ---- Cases from files --------------------------------------------------------------------------------------------- */

static int run_vectors(struct oracle *o, char **files)
{
	static char line[1 << 20], text[1024];
	static struct vector v;
	static struct case_answer ours, theirs;
	unsigned long long passed = 0, failed = 0, outside = 0;
	struct counts n = { .ran = 0 };
	unsigned known;

	if (!o->start(text, sizeof(text))) {
		printf("%s skipped: %s\n", o->name, text);
		return 0;
	}
	for (; *files; files++) {
		FILE *f = fopen(*files, "r");

		if (!f) {
			perror(*files);
			return 2;
		}
		while (fgets(line, sizeof(line), f)) {
			enum vector_result result = vector_parse(line, strlen(line), &v, text, sizeof(text));
			enum verdict verdict = OUTSIDE;

			if (result == VECTOR_BAD) {
				fprintf(stderr, "differ: %s: %s\n", *files, text);
				return 2;
			}
			if (result == VECTOR_OK)
				verdict = judge(o, &v.question, &ours, &theirs, &known);
			v.expect.have &= o->sees;
			if (verdict == BROKEN) {
				printf("%s: it stopped at %s: %s\n", o->name, *files, v.id);
				return 1;
			}
			if (verdict == OUTSIDE) {
				outside++;
			} else if (verdict == KNOWN) {
				count(&n, KNOWN, known);
			} else if (vector_match(&v, &theirs, text, sizeof(text))) {
				passed++;
			} else {
				failed++;
				printf("%s: %s: %s\n", *files, v.id, text);
			}
		}
		fclose(f);
	}
	if (o->stop)
		o->stop();
	for (unsigned i = 0; i < ORACLE_MAX_KNOWN && o->known[i].id; i++)
		if (n.each[i])
			printf("%s: known %s, %llu: %s\n", o->name, o->known[i].id, n.each[i], o->known[i].reason);
	printf("%s: %s: vectors: %llu passed, %llu failed, %llu known, %llu outside of it\n", o->name, o->version, passed,
	       failed, n.known, outside);
	return failed || !(passed + n.known);
}

/* The same cases over and over, so that making them is not in the time. */
static int speed(struct oracle *o, unsigned long long cases)
{
	enum { SAMPLE = 256 };
	static struct case_question sample[SAMPLE];
	static struct case_answer answer;
	struct timespec from, to;
	struct dice dice;
	double seconds;
	char reason[256];

	if (!o->start(reason, sizeof(reason))) {
		printf("%s skipped: %s\n", o->name, reason);
		return 0;
	}
	dice_seed(&dice, 1);
	for (unsigned i = 0; i < SAMPLE; i++) {
		generate(&dice, &o->limits, &sample[i]);
		if (o->prepare)
			o->prepare(&dice, &sample[i]);
	}
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (unsigned long long i = 0; i < cases; i++)
		o->ask(&sample[i % SAMPLE], &answer);
	clock_gettime(CLOCK_MONOTONIC, &to);
	if (o->stop)
		o->stop();
	seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	printf("%s: %llu cases, %.4f million a second\n", o->name, cases, (double)cases / seconds / 1e6);
	return 0;
}

/* ---- The command line --------------------------------------------------------------------------------------------- */

static void usage(const char *what)
{
	fprintf(stderr, "differ: %s\nusage: differ [NAME...] [--seconds S | --cases N] [--seed S] [--jobs N] [-v]\n"
		"       differ NAME --vectors FILE...\n       differ NAME --speed N\n       differ --list\n", what);
	exit(2);
}

static unsigned long long number(const char *text)
{
	char *end;
	unsigned long long value = text ? strtoull(text, &end, 0) : 0;

	if (!text || !*text || *end)
		usage("an option lacks its number");
	return value;
}

static struct oracle *find(const char *name)
{
	for (struct oracle *const *o = oracles; *o; o++)
		if (!strcmp((*o)->name, name))
			return *o;
	fprintf(stderr, "differ: %s: no such oracle in this build (--list)\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	struct oracle *chosen[16];
	unsigned n = 0;
	int status = 0;

	options.seed = (unsigned long long)time(NULL);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--list")) {
			for (struct oracle *const *o = oracles; *o; o++)
				puts((*o)->name);
			return 0;
		}
		if (!strcmp(argv[i], "--vectors") && n == 1)
			return run_vectors(chosen[0], argv + i + 1);
		if (!strcmp(argv[i], "--speed") && n == 1)
			return speed(chosen[0], number(argv[i + 1]));
		if (!strcmp(argv[i], "--seconds"))
			options.seconds = (unsigned)number(argv[++i]);
		else if (!strcmp(argv[i], "--cases"))
			options.cases = number(argv[++i]);
		else if (!strcmp(argv[i], "--seed"))
			options.seed = number(argv[++i]);
		else if (!strcmp(argv[i], "--jobs"))
			options.jobs = (unsigned)number(argv[++i]);
		else if (!strcmp(argv[i], "-v"))
			options.verbose = true;
		else if (argv[i][0] == '-' || n == sizeof(chosen) / sizeof(*chosen))
			usage(argv[i]);
		else
			chosen[n++] = find(argv[i]);
	}
	if (!n)
		for (struct oracle *const *o = oracles; *o; o++)
			chosen[n++] = *o;
	for (unsigned i = 0; i < n; i++)
		status |= run(chosen[i], summary[i], sizeof(summary[i]));
	for (unsigned i = 0; i < n; i++)
		puts(summary[i]);
	return status;
}
