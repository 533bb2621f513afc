/* SPDX-License-Identifier: MIT */
/*
 * suite.h: Criterion, or with SUITE_PLAIN a stand-in of the few macros that the suites use, in one process and without
 * fork. It runs the same suites where Criterion does not: on another byte order, with 32-bit pointers, and under a leak
 * checker, which sees nothing of what a forked test leaks. tests/plain.c is its main().
 */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#ifndef SUITE_PLAIN

#include <criterion/criterion.h>

#else

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct suite_test {
	const char *suite, *name;
	void (*run)(void);
	struct suite_test *next;
};

extern struct suite_test *suite_tests;
extern int suite_failures; /* of the test that runs */

#define Test(suite_, name_) \
	static void suite_##_##name_(void); \
	static struct suite_test suite_##_##name_##_test = { #suite_, #name_, suite_##_##name_, NULL }; \
	__attribute__((constructor)) static void suite_##_##name_##_add(void) \
	{ \
		suite_##_##name_##_test.next = suite_tests; \
		suite_tests = &suite_##_##name_##_test; \
	} \
	static void suite_##_##name_(void)

#define SUITE_CHECK(fatal, cond, ...) \
	do { \
		if (!(cond)) { \
			printf("%s:%d: %s: ", __FILE__, __LINE__, #cond); \
			printf("" __VA_ARGS__); \
			putchar('\n'); \
			suite_failures++; \
			if (fatal) \
				exit(1); \
		} \
	} while (0)

#define cr_assert(...) SUITE_CHECK(1, __VA_ARGS__)
#define cr_expect(...) SUITE_CHECK(0, __VA_ARGS__)
#define cr_fail(...) SUITE_CHECK(1, 0, "" __VA_ARGS__)
#define cr_assert_eq(a, b, ...) SUITE_CHECK(1, (a) == (b), "" __VA_ARGS__)
#define cr_expect_eq(a, b, ...) SUITE_CHECK(0, (a) == (b), "" __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) SUITE_CHECK(1, !strcmp(a, b), "" __VA_ARGS__)

#endif
#endif
