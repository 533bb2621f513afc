/* SPDX-License-Identifier: MIT */
/* plain.c: runs the suites without Criterion (suite.h), all in this process. Exit 1 at the first failed test. */
#include "suite.h"

struct suite_test *suite_tests;
int suite_failures;

int main(void)
{
	int tests = 0;

	for (struct suite_test *t = suite_tests; t; t = t->next, tests++) {
		suite_failures = 0;
		t->run();
		if (suite_failures) {
			printf("%s::%s failed\n", t->suite, t->name);
			return 1;
		}
	}
	printf("%d passed, 0 failed\n", tests);
	return tests ? 0 : 1;
}
