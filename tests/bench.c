/* SPDX-License-Identifier: MIT */
/*
 * bench: what a full 4-level walk costs, as a ratio to four loads that check nothing, in the same run. Contestants take
 * turns; the figure is the median over the rounds of (its thread CPU time / the baseline's in that round), with the
 * smallest and the largest. Times alone mean nothing on a shared machine and are not shown.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <pagewalk/pagewalk.h>

enum { ROUNDS = 25, WALKS = 1 << 18 };

static unsigned char *memory;
static uint64_t memory_size;

static int read_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	(void)w;
	if (pa > memory_size - size)
		return -1;
	memcpy(gpte, memory + pa, 8);
	return 0;
}

static inline int read_window(uint64_t pa, uint64_t *gpte)
{
	if (pa > memory_size - 8)
		return -1;
	memcpy(gpte, memory + pa, 8);
	return 0;
}

#define PTTYPE 64
#define FNAME(name) window64_##name
#define PAGEWALK_READ_GPTE(w, pa, size, gpte) read_window(pa, gpte)
#include <pagewalk/paging_tmpl.h>

static struct kvm_pagewalk walker;
static uint64_t va[WALKS];

/* Each returns the sum of the results, so that nothing is optimized away. dependent: the next address hangs on the last result. */
static uint64_t raw4(uint64_t dependent)
{
	uint64_t sum = 0, last = 0;

	for (int i = 0; i < WALKS; i++) {
		uint64_t a = va[i] ^ (last & dependent), pte = walker.pgd;
		for (int shift = 39; shift >= 12; shift -= 9)
			memcpy(&pte, memory + (pte & PAGEWALK_ADDRESS) + (a >> shift & 511) * 8, 8);
		last = (pte & PAGEWALK_ADDRESS) | (a & 4095);
		sum += last;
	}
	return sum;
}

static uint64_t raw4cb(uint64_t dependent)
{
	int (*volatile callback)(const struct kvm_pagewalk *, uint64_t, unsigned, uint64_t *) = read_gpte;
	uint64_t sum = 0, last = 0;

	for (int i = 0; i < WALKS; i++) {
		uint64_t a = va[i] ^ (last & dependent), pte = walker.pgd;
		for (int shift = 39; shift >= 12; shift -= 9)
			callback(&walker, (pte & PAGEWALK_ADDRESS) + (a >> shift & 511) * 8, 8, &pte);
		last = (pte & PAGEWALK_ADDRESS) | (a & 4095);
		sum += last;
	}
	return sum;
}

static uint64_t full(uint64_t dependent)
{
	struct pagewalk_walk walk;
	uint64_t sum = 0, last = 0;

	for (int i = 0; i < WALKS; i++) {
		if (pagewalk_translate(&walker, va[i] ^ (last & dependent), PAGEWALK_ACCESS_READ, &walk) != PAGEWALK_OK)
			exit(1);
		last = walk.pa;
		sum += last;
	}
	return sum;
}

static uint64_t window(uint64_t dependent)
{
	struct pagewalk_walk walk;
	uint64_t sum = 0, last = 0;

	for (int i = 0; i < WALKS; i++) {
		if (window64_walk_addr_generic(&walker, va[i] ^ (last & dependent), PAGEWALK_ACCESS_READ, false, &walk) != PAGEWALK_OK)
			exit(1);
		last = walk.pa;
		sum += last;
	}
	return sum;
}

static const struct {
	const char *name, *baseline;
	uint64_t (*run)(uint64_t dependent);
} contestants[] = {
	{ "raw4", NULL, raw4 }, { "raw4cb", NULL, raw4cb }, { "window", "raw4", window }, { "callback", "raw4cb", full },
};
enum { CONTESTANTS = sizeof(contestants) / sizeof(*contestants) };

static double cpu_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Tables that map `pages` pages from 0 up to frames of themselves; addresses spread over them. */
static void build(uint64_t pages)
{
	uint64_t next = 0x1000, seed = 1;
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 46, PAGEWALK_FEATURES_ALL);
	struct pagewalk_regs regs = { PAGEWALK_CR0_PG | PAGEWALK_CR0_PE | PAGEWALK_CR0_WP, PAGEWALK_CR4_PAE | PAGEWALK_CR4_SMEP,
				      PAGEWALK_EFER_LME | PAGEWALK_EFER_LMA | PAGEWALK_EFER_NXE, false };

	memset(memory, 0, memory_size);
	for (uint64_t page = 0; page < pages; page++) {
		uint64_t table = 0;
		for (int shift = 39; shift > 12; shift -= 9) {
			uint64_t at = table + (page << 12 >> shift & 511) * 8, pte;
			memcpy(&pte, memory + at, 8);
			if (!pte) {
				pte = next | 0x67;
				next += 0x1000;
				memcpy(memory + at, &pte, 8);
			}
			table = pte & PAGEWALK_ADDRESS;
		}
		uint64_t pte = page << 12 | 0x67;
		memcpy(memory + table + (page & 511) * 8, &pte, 8);
	}
	memset(&walker, 0, sizeof(walker));
	walker.read_gpte = read_gpte;
	if (pagewalk_init(&walker, &cpu, &regs) != PAGEWALK_OK)
		exit(1);
	for (int i = 0; i < WALKS; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		va[i] = (seed >> 20) % (pages << 12);
	}
}

int main(void)
{
	static const struct {
		const char *name;
		uint64_t pages;
	} images[] = { { "small", 512 }, { "8MiB", 1 << 20 } };

	memory_size = (uint64_t)10 << 20;
	memory = mmap(NULL, memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	printf("%-9s %-12s %-6s %-8s %7s %7s %7s\n", "binding", "order", "tables", "baseline", "ratio", "min", "max");
	for (unsigned i = 0; i < sizeof(images) / sizeof(*images); i++) {
		build(images[i].pages);
		for (int dependent = 0; dependent < 2; dependent++) {
			static double t[CONTESTANTS][ROUNDS];
			uint64_t sum[CONTESTANTS], mask = dependent ? 0x1000 : 0; /* the frame, so that it hangs on the loads */

			for (int round = 0; round < ROUNDS; round++)
				for (int k = 0; k < CONTESTANTS; k++) {
					int c = (round + k) % CONTESTANTS;
					double start = cpu_time();
					sum[c] = contestants[c].run(mask);
					t[c][round] = cpu_time() - start;
				}
			for (int c = 0; c < CONTESTANTS; c++) {
				double ratio[ROUNDS];
				int base = 0;

				if (sum[c] != sum[0])
					return 1; /* they must have found the same */
				if (!contestants[c].baseline)
					continue;
				while (strcmp(contestants[base].name, contestants[c].baseline))
					base++;
				for (int round = 0; round < ROUNDS; round++)
					ratio[round] = t[c][round] / t[base][round];
				qsort(ratio, ROUNDS, sizeof(*ratio), by_value);
				printf("%-9s %-12s %-6s %-8s %7.2f %7.2f %7.2f\n", contestants[c].name, dependent ? "dependent" : "independent",
				       images[i].name, contestants[c].baseline, ratio[ROUNDS / 2], ratio[0], ratio[ROUNDS - 1]);
			}
		}
	}
	return 0;
}
