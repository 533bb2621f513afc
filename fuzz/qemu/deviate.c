/* SPDX-License-Identifier: MIT */
/* What QEMU's TCG does otherwise than the rules: docs/deviations.md. */
#include "deviate.h"

#include "library.h"

#define BIT(n) ((uint64_t)1 << (n))

enum { /* QEMU-1, QEMU-2, ..., and one of KVM's */
	RSVD_ALONE = 1 << 0, PDPTE_ACCESSED = 1 << 1, PDPTE_MEMORY = 1 << 2, AS_WALKED = 1 << 3, STACK_GP = 1 << 4,
	ANY_CPU = 1 << 5, NO_VENDOR = 1 << 6, GIB_ACCESSED = 1 << 7, IMPLICIT_AC = 1 << 8, KVM_AGAIN = 1 << 9
};

#define BITS_63_40 (~(BIT(QEMU_MAXPHYADDR) - 1))
#define BITS_51_40 (BIT(52) - BIT(QEMU_MAXPHYADDR))

static bool is_pae(const struct case_question *q)
{
	return (q->cr0 & BIT(31)) && (q->cr4 & BIT(5)) && !(q->efer & BIT(8));
}

static void add_accessed(const struct case_question *q, struct case_answer *a, uint64_t pa)
{
	uint64_t entry;

	if (case_load(&q->memory, a->value, pa, 8, &entry))
		case_store(&q->memory, a->value, pa, 8, entry | BIT(5));
}

/* PAE's PDPTE in memory: read by the walk. */
static void pdpte_from_memory(struct case_question *q, struct case_answer *a, uint64_t pdpte)
{
	q->has_pdpte = true;
	q->pdpte[q->va >> 30 & 3] = pdpte;
	library_walk(q, a);
	if (!(pdpte & 1) || !(pdpte & BITS_63_40))
		return;
	memset(a, 0, offsetof(struct case_answer, value));
	memcpy(a->value, q->memory.value, q->memory.count * sizeof(*a->value));
	a->outcome = CASE_PAGE_FAULT;
	a->cr2 = q->va;
	a->error_code = 9 | (q->access == CASE_WRITE ? 2 : 0) | (q->user && !q->implicit ? 4 : 0);
	if (q->access == CASE_FETCH && ((q->efer & BIT(11)) || (q->cr4 & BIT(20))))
		a->error_code |= 16;
}

/* The entry of a 1 GiB page, if the walk has come so far, and found nothing wrong above bit 39 of it. */
static bool faulted_at_gigabyte(const struct case_question *q, const struct library_run *run, uint64_t *pa)
{
	const struct pagewalk_stage *s = &run->walk.guest;
	uint64_t entry = s->entry[2].pte, reserved = BITS_51_40 | (q->efer & BIT(11) ? 0 : BIT(63));

	*pa = s->entry[2].pa;
	return run->status == PAGEWALK_FAULT && s->max_level > 3 && s->level == 3 && (entry & 1) && (entry & BIT(7)) &&
	       !(entry & reserved);
}

/*
 * Where the walk or the access meets no memory, KVM takes it for a device's and walks anew, by itself; but if the place in
 * the page is that of the access, it takes the address that it was stopped at, a table's, for where the access leads.
 */
static bool walk_again(const struct case_question *q, struct case_answer *a, uint64_t missing)
{
	static struct case_question other;

	if (a->outcome != CASE_NO_MEMORY && (a->outcome != CASE_TRANSLATED || a->pa < q->memory.size))
		return false;
	if (a->outcome == CASE_NO_MEMORY && q->access != CASE_FETCH && !((missing ^ q->va) & 0xfff)) {
		a->outcome = CASE_TRANSLATED;
		a->pa = missing;
		return true;
	}
	other = *q;
	memcpy(other.memory.value, a->value, q->memory.count * sizeof(*a->value));
	other.profile = CASE_KVM_AMD;
	other.knobs = 0;
	if (is_pae(q) && !q->has_pdpte) { /* KVM has them since CR3 was loaded, before QEMU set A in them */
		other.has_pdpte = true;
		for (unsigned i = 0; i < 4; i++)
			case_load(&q->memory, q->memory.value, (q->cr3 & 0xffffffe0) + 8 * i, 8, &other.pdpte[i]);
	}
	library_walk(&other, a);
	return true;
}

/* The library's answer with some deviations made. False: one of them has no occasion here. */
static bool deviate(const struct case_question *q, unsigned deviations, bool ring3, struct case_answer *a)
{
	static struct case_question other;
	static struct library_run run;
	uint64_t pa = (q->cr3 & 0xffffffe0) + (q->va >> 30 & 3) * 8, pdpte = 0;
	uint64_t missing = ~q->va; /* the address where there was no memory; this is none that matters */
	bool pae = is_pae(q);

	if (!pae && (deviations & (PDPTE_ACCESSED | PDPTE_MEMORY)))
		return false;
	if (pae)
		case_load(&q->memory, q->memory.value, pa, 8, &pdpte);
	if ((deviations & IMPLICIT_AC) && (!q->implicit || ring3))
		return false;
	other = *q;
	if (deviations & IMPLICIT_AC)
		other.implicit = false;
	if (deviations & AS_WALKED)
		other.knobs |= CASE_AD_AS_WALKED;
	if (deviations & ANY_CPU)
		other.features |= CASE_PSE36 | CASE_PAT | CASE_PAGE1GB;
	if (deviations & NO_VENDOR)
		other.profile = CASE_INTEL;
	if (deviations & PDPTE_MEMORY)
		pdpte_from_memory(&other, a, pdpte);
	else
		library_walk_run(&other, a, &run);
	if (!(deviations & PDPTE_MEMORY) && a->outcome == CASE_NO_MEMORY)
		missing = run.walk.fault.gpa;
	if (deviations & GIB_ACCESSED) {
		uint64_t leaf;

		if (pae || !faulted_at_gigabyte(&other, &run, &leaf))
			return false;
		add_accessed(q, a, leaf);
	}
	if ((deviations & PDPTE_ACCESSED) && (pdpte & 1) && !(pdpte & BITS_63_40))
		add_accessed(q, a, pa);
	if ((deviations & RSVD_ALONE) && a->outcome == CASE_PAGE_FAULT && (a->error_code & 8))
		a->error_code &= ~(uint64_t)1;
	if ((deviations & STACK_GP) && a->outcome == CASE_NON_CANONICAL)
		a->vector = 13;
	if (deviations & KVM_AGAIN)
		return walk_again(q, a, missing);
	return true;
}

static bool same(const struct case_question *q, const struct case_answer *a, const struct case_answer *b)
{
	return a->outcome == b->outcome && a->pa == b->pa && a->vector == b->vector && a->error_code == b->error_code &&
	       a->cr2 == b->cr2 && !memcmp(a->value, b->value, q->memory.count * sizeof(*a->value));
}

unsigned qemu_explain(const struct case_question *q, const struct case_answer *theirs, bool ring3, bool kvm)
{
	static struct case_answer other;
	int known = kvm ? 10 : 9;

	for (int n = 1; n <= known; n++)
		for (unsigned set = 1; set < 1u << known; set++)
			if (__builtin_popcount(set) == n && deviate(q, set, ring3, &other) && same(q, &other, theirs))
				return set;
	return 0;
}
