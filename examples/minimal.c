/* SPDX-License-Identifier: MIT */
/* minimal.c: the README's example. Four pages of memory hold the tables that map one page; who may do what to it? */
#include <inttypes.h>
#include <pagewalk/pagewalk.h>
#include <stdio.h>

static uint64_t memory[4 * 512];

static int read_physical(uint64_t pa, uint64_t *to)
{
	if (pa / 8 >= sizeof(memory) / 8)
		return -1;
	*to = memory[pa / 8];
	return 0;
}

/* ---- README ---- */
static int read_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	return (void)w, (void)size, read_physical(pa, gpte); /* yours: 0, or -1 where there is no memory */
}

static enum pagewalk_status look_up(uint64_t cr3, uint64_t va, uint64_t access, struct pagewalk_walk *walk)
{
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 46, PAGEWALK_FEATURES_ALL);
	struct pagewalk_regs regs = { .cr0 = 0x80010001, .cr4 = 0x20, .efer = 0xd00 };
	struct kvm_pagewalk w = { .read_gpte = read_gpte, .pgd = cr3 };

	pagewalk_init(&w, &cpu, &regs);
	return pagewalk_translate(&w, va, access, walk);
}
/* ---- README ---- */

static void show(uint64_t va, uint64_t access)
{
	struct pagewalk_walk walk;

	if (look_up(0, va, access, &walk) == PAGEWALK_OK)
		printf("%#" PRIx64 " -> %#" PRIx64 "\n", va, walk.pa);
	else
		printf("%#" PRIx64 " #PF, error code %#" PRIx64 "\n", va, walk.fault.error_code);
}

int main(void)
{
	memory[0] = 0x1000 | 7;                                /* PML4E: present, writable, user */
	memory[512] = 0x2000 | 7;                              /* PDPTE */
	memory[1024] = 0x3000 | 7;                             /* PDE */
	memory[1536 + 5] = 0x12345000 | 5;                     /* PTE: present, user, read-only */
	show(0x5678, PAGEWALK_ACCESS_READ);
	show(0x5678, PAGEWALK_ACCESS_WRITE | PAGEWALK_ACCESS_USER);
	show(0x6000, PAGEWALK_ACCESS_READ);
	return 0;
}
