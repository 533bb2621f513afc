/* SPDX-License-Identifier: MIT */
/*
 * test_err.c: rules ERR-1 ... ERR-6, 10: the error code of every kind of page fault for every access, and CR2.
 */
#include "tables.h"

static struct case_question q;
static struct case_answer want, got;
static struct library_run run;

enum { READ = CASE_READ, WRITE = CASE_WRITE, FETCH = CASE_FETCH, USER = 4, IMPLICIT = 8 };

static void set_access(unsigned access)
{
	q.access = (enum case_access)(access & 3);
	q.user = access & USER;
	q.implicit = access & IMPLICIT;
}

/* ---- As a table ------------------------------------------------------------------------------ */

static const struct row {
	const char *rule;
	unsigned levels;
	uint64_t cr4, off; /* more of CR4; off: EFER.NXE */
	unsigned access;
	uint64_t page;     /* the leaf; the tables above allow everything */
	uint64_t error_code;
} rows[] = {
	/* P and RSVD. */
	{ "ERR-1", 4, 0, 0, READ, 0, 0 },
	{ "ERR-1", 4, 0, 0, READ, ~P, 0 },
	{ "ERR-1", 4, 0, 0, READ | USER, P, 5 },
	{ "ERR-4", 4, 0, 0, READ, P | BIT(51), 9 },
	{ "ERR-4", 4, 0, 0, READ | USER, P | BIT(51), 0xd }, /* and not for the missing U alone */
	{ "ERR-4", 4, 0, EFER_NXE, READ, P | XD, 9 },
	{ "ERR-4", 3, 0, 0, WRITE, P | BIT(46), 0xb },
	/* W */
	{ "ERR-2", 4, 0, 0, WRITE, 0, 2 },
	{ "ERR-2", 4, 0, 0, WRITE, P, 3 },
	{ "ERR-2", 4, 0, 0, WRITE, P | BIT(51), 0xb },
	{ "ERR-2", 2, 0, 0, WRITE, 0, 2 },
	{ "ERR-2", 2, 0, 0, WRITE | USER, P | U, 7 },
	{ "ERR-2", 4, 0, 0, WRITE | USER, P | W,
	  7 }, /* W is there, and U what is missing; the bit tells of the access */
	/* U */
	{ "ERR-3", 4, 0, 0, READ | USER, 0, 4 },
	{ "ERR-3", 4, 0, 0, READ | IMPLICIT, 0, 0 },
	{ "ERR-3", 4, 0, 0, READ | USER | IMPLICIT, 0, 0 },
	{ "ERR-3", 4, 0, 0, WRITE | USER | IMPLICIT, 0, 2 },
	{ "ERR-3", 4, 0, 0, WRITE | USER | IMPLICIT, P | U, 3 },
	{ "ERR-3", 4, 0, 0, READ | USER | IMPLICIT, P | BIT(51), 9 },
	{ "ERR-3", 4, CR4_SMAP, 0, READ | USER | IMPLICIT, P | U, 1 },
	/* I/D: shown if SMEP, or PAE and NXE. */
	{ "ERR-5", 2, 0, EFER_NXE, FETCH, 0, 0 },
	{ "ERR-5", 2, 0, 0, FETCH, 0, 0 }, /* NXE alone */
	{ "ERR-5", 2, CR4_SMEP, 0, FETCH, 0, 0x10 },
	{ "ERR-5", 2, CR4_SMEP, EFER_NXE, FETCH, 0, 0x10 },
	{ "ERR-5", 2, CR4_SMEP, EFER_NXE, FETCH, P | U, 0x11 },
	{ "ERR-5", 2, 0, 0, FETCH | USER, P, 5 },
	{ "ERR-5", 3, 0, EFER_NXE, FETCH, 0, 0 },
	{ "ERR-5", 3, 0, 0, FETCH, 0, 0x10 },
	{ "ERR-5", 3, CR4_SMEP, EFER_NXE, FETCH, 0, 0x10 },
	{ "ERR-5", 4, 0, EFER_NXE, FETCH, 0, 0 },
	{ "ERR-5", 4, 0, 0, FETCH, 0, 0x10 },
	{ "ERR-5", 4, 0, EFER_NXE, FETCH, P | XD, 9 },
	{ "ERR-5", 4, CR4_SMEP, EFER_NXE, FETCH, P | XD, 0x19 },
	{ "ERR-5", 5, 0, 0, FETCH | USER, P | BIT(51), 0x1d },
	{ "ERR-5", 5, 0, EFER_NXE, FETCH | USER, P, 5 },
	{ "ERR-5", 4, CR4_SMEP, 0, READ, 0, 0 },
	{ "ERR-5", 4, CR4_SMEP, 0, WRITE, 0, 2 },
	/* PK: pages here have key 0, which PKRU denies. */
	{ "ERR-6", 4, CR4_PKE, 0, READ | USER, P | U | W, 0x25 },
	{ "ERR-6", 4, CR4_PKE, 0, WRITE, P | U | W, 0x23 },
	{ "ERR-6", 4, CR4_PKE, 0, WRITE | USER, P | U, 0x27 }, /* also without W */
	{ "ERR-6", 4, CR4_PKE | CR4_SMAP, 0, READ, P | U | W, 0x21 },
	{ "ERR-6", 4, CR4_PKE, 0, READ | USER, P | W, 5 },
	{ "ERR-6", 4, CR4_PKE, 0, FETCH | USER, P | U | W | XD, 0x15 },
	{ "ERR-6", 4, CR4_PKE | CR4_SMEP, 0, FETCH, P | U | W, 0x11 },
	{ "ERR-6", 4, CR4_PKE, 0, READ | USER, U | W, 4 },
	{ "ERR-6", 4, CR4_PKE, 0, READ | USER, P | U | W | BIT(51), 0xd },
	{ "ERR-6", 3, CR4_PKE, 0, WRITE | USER, P | U, 7 },
	{ "ERR-6", 2, CR4_PKE, 0, WRITE | USER, P | U, 7 },
};

Test(err, rules)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *r = &rows[i];
		unsigned differ = 0;

		table_question(&q, r->levels);
		q.cr4 |= r->cr4;
		q.efer &= ~r->off;
		q.pkru = r->cr4 & CR4_PKE ? 3 : 0;
		set_access(r->access);
		table_path(&q, 1, P | W | U);
		table_set(&q, 1, r->page);
		want_fault(&q, &want, r->error_code);
		table_check(&q, &want, &differ);
		cr_expect(!differ, "row %u, %s", (unsigned)i, r->rule);
	}
}

/* ---- Everything: modes, registers, accesses, kinds of fault, levels -------------------------- */

enum kind { NOT_PRESENT, RESERVED, RIGHTS, KEY, KINDS };

/* ERR-1 ... ERR-6; KVM's deviation 1: NXE shows in I/D without PAE. */
static uint64_t rule_error_code(enum kind kind, unsigned levels, bool nxe, bool smep, bool as_kvm, unsigned access)
{
	bool fetch = (access & 3) == FETCH;
	uint64_t code = 0;

	if (kind != NOT_PRESENT)
		code |= 1;
	if ((access & 3) == WRITE)
		code |= 2;
	if ((access & USER) && !(access & IMPLICIT))
		code |= 4;
	if (kind == RESERVED)
		code |= 8;
	if (fetch && (smep || (nxe && (levels > 2 || as_kvm))))
		code |= 0x10;
	if (kind == KEY)
		code |= 0x20;
	return code;
}

/* Makes the walk to a page at level leaf fail so at the entry of a level; false: this mode, or this access, cannot. */
static bool make_fault(enum kind kind, unsigned level, unsigned leaf, unsigned access)
{
	unsigned levels = table_levels(&q);
	uint64_t entry = table_get(&q, q.memory.value, level);

	switch (kind) {
	case NOT_PRESENT:
		table_set(&q, level, entry & ~P);
		return true;
	case RESERVED:
		if (levels == 2 && (level != leaf || (leaf == 1 && rule_is_kvm(&q)))) /* KVM's deviation 11 */
			return false;
		if (levels == 2)
			q.features &= ~(unsigned)CASE_PAT;
		table_set(&q, level, entry | (levels > 2 ? BIT(46) : leaf == 1 ? BIT(7) : BIT(21)));
		return !table_is_pdpte(&q, level);
	case RIGHTS:
		if (table_is_pdpte(&q, level))
			return false;
		if ((access & USER) && !(access & IMPLICIT))
			table_set(&q, level, entry & ~U);
		else if ((access & 3) == READ)
			q.cr4 |= CR4_SMAP;
		else if ((access & 3) == WRITE)
			table_set(&q, level, entry & ~W);
		else if (q.cr4 & CR4_SMEP)
			return true;
		else if (levels > 2 && (q.efer & EFER_NXE))
			table_set(&q, level, entry | XD);
		else
			return false;
		return true;
	default:
		if (levels < 4 || (access & 3) == FETCH)
			return false;
		q.cr4 |= CR4_PKE;
		q.pkru = 1;
		return true;
	}
}

Test(err, every_fault_of_every_access)
{
	unsigned differ = 0, walks = 0;

	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned leaf = 1; leaf <= table_max_leaf(levels); leaf++)
			for (unsigned level = levels; level >= leaf; level--)
				for (unsigned i = 0; i < 4 * 4 * KINDS * 16; i++) {
					unsigned access = i & 15;
					bool nxe = i & 16, smep = i & 32;
					enum case_profile profile = (enum case_profile)(i >> 6 & 3);
					enum kind kind = (enum kind)(i >> 8);

					if ((access & 3) == 3)
						continue;
					table_question(&q, levels);
					q.profile = profile;
					q.efer = (q.efer & ~EFER_NXE) | (nxe ? EFER_NXE : 0);
					q.cr4 |= smep ? CR4_SMEP : 0;
					set_access(access);
					table_path(&q, leaf, P | W | U);
					if (!make_fault(kind, level, leaf, access))
						continue;
					want_fault(&q, &want,
						   rule_error_code(kind, levels, nxe, smep, rule_is_kvm(&q), access));
					table_check(&q, &want, &differ);
					walks++;
				}
	cr_expect(!differ && walks > 8000, "%u of %u walks", differ, walks);
}

/* KVM's deviation 1, as one quirk bit. */
Test(err, kvm_fetch_bit_alone)
{
	static const struct {
		uint64_t quirks, cr4, efer, error_code;
	} faults[] = {
		{ 0, 0, 0, 0 },
		{ 0, 0, EFER_NXE, 0 },
		{ 0, CR4_SMEP, 0, 0x10 },
		{ PAGEWALK_QUIRK_KVM_ID, 0, 0, 0 },
		{ PAGEWALK_QUIRK_KVM_ID, 0, EFER_NXE, 0x10 },
		{ PAGEWALK_QUIRK_KVM_ID, CR4_SMEP, 0, 0x10 },
		{ PAGEWALK_QUIRKS_KVM & ~PAGEWALK_QUIRK_KVM_ID, 0, EFER_NXE, 0 },
		{ PAGEWALK_QUIRKS_KVM, 0, EFER_NXE, 0x10 },
	};

	for (size_t i = 0; i < COUNT(faults); i++) {
		struct pagewalk_regs regs = { CR0_PE | CR0_PG, faults[i].cr4, faults[i].efer, false };

		table_question(&q, 2);
		cr_assert_eq(library_open(&run, &q, q.memory.value), PAGEWALK_OK, "open");
		struct pagewalk_cpu cpu = run.guest.walk.cpu;
		cpu.quirks = faults[i].quirks;
		cr_assert_eq(pagewalk_init(&run.guest.walk, &cpu, &regs), PAGEWALK_OK, "init");
		enum pagewalk_status status =
			pagewalk_translate(&run.guest.walk, q.va, PAGEWALK_ACCESS_FETCH, &run.walk);
		cr_expect(status == PAGEWALK_FAULT && run.walk.fault.error_code == faults[i].error_code,
			  "row %u => status %d code %#" PRIx64, (unsigned)i, (int)status, run.walk.fault.error_code);
		uint64_t code = pagewalk_permission_fault(&run.guest.walk, PAGEWALK_ACC_EXEC, 0,
							  PAGEWALK_ACCESS_FETCH | PAGEWALK_ACCESS_USER);
		cr_expect_eq(code, faults[i].error_code | 5, "row %u => permission fault %#" PRIx64, (unsigned)i, code);
	}
}

/* KVM's deviation 7: no memory is not present, with the access's bits. */
Test(err, kvm_missing_memory)
{
	unsigned differ = 0;

	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned level = levels == 3 ? 2 : levels; level; level--)
			for (unsigned access = 0; access < 16; access++)
				for (unsigned profile = CASE_INTEL; profile <= CASE_KVM_AMD; profile++) {
					if ((access & 3) == 3)
						continue;
					table_question(&q, levels);
					q.profile = (enum case_profile)profile;
					set_access(access);
					table_path(&q, 1, P | W | U);
					if (level ==
					    levels) /* CR3, or the entry that points there: 64 MiB below 4 GiB */
						q.cr3 = 0xfc000000;
					else
						table_set(&q, level + 1,
							  0xfc000000 | P | (levels == 3 && level == 2 ? 0 : W | U));
					q.memory.size = 0xfc000000;
					want_fault(&q, &want,
						   rule_error_code(NOT_PRESENT, levels, true, false, rule_is_kvm(&q),
								   access));
					if (!rule_is_kvm(&q))
						want_outcome(&q, &want, CASE_NO_MEMORY);
					table_check(&q, &want, &differ);
				}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* ERR-10: CR2 is the whole address, to the byte, in the mode's width; and what a #PF does not have is 0. */
Test(err, cr2)
{
	static const struct {
		unsigned levels;
		bool compatibility;
		uint64_t va, cr2;
	} addresses[] = {
		{ 2, false, 0, 0 },
		{ 2, false, 0xffffffff, 0xffffffff },
		{ 2, false, 0xffffffff00000001, 1 },
		{ 3, false, 0xfedcba98, 0xfedcba98 },
		{ 3, false, 0x1fedcba98, 0xfedcba98 },
		{ 4, false, 0x00007fffffffffff, 0x00007fffffffffff },
		{ 4, false, 0xffff800000000001, 0xffff800000000001 },
		{ 4, false, 0xffffffffffffffff, 0xffffffffffffffff },
		{ 4, true, 0xffff8000fedcba98, 0xfedcba98 },
		{ 5, false, 0x00ffffffffffffff, 0x00ffffffffffffff },
		{ 5, false, 0xff00000000000fff, 0xff00000000000fff },
		{ 5, true, 0x00000001fedcba98, 0xfedcba98 },
	};
	unsigned differ = 0;

	for (size_t i = 0; i < COUNT(addresses); i++)
		for (unsigned kind = 0; kind < 3; kind++) {
			static const uint64_t flags[] = {
				[NOT_PRESENT] = 0, [RESERVED] = P | W | U | BIT(51), [RIGHTS] = P | W
			};
			static const uint64_t codes[] = { [NOT_PRESENT] = 4, [RESERVED] = 0xd, [RIGHTS] = 5 };

			if (addresses[i].levels == 2 && kind == RESERVED)
				continue;
			table_question(&q, addresses[i].levels);
			q.compatibility = addresses[i].compatibility;
			q.user = true;
			q.va = addresses[i].cr2;
			table_path(&q, 1, P | W | U);
			table_set(&q, 1, TABLE_PAGE | flags[kind]);
			q.va = addresses[i].va;
			want_fault(&q, &want, codes[kind]);
			want.cr2 = addresses[i].cr2;
			table_check(&q, &want, &differ);
			memset(&run.walk, 0xa5, sizeof(run.walk));
			library_walk_run(&q, &got, &run);
			const struct pagewalk_fault *f = &run.walk.fault;
			if ((f->vector != PAGEWALK_VECTOR_PF || f->gpa || f->exit || f->exit_qualification ||
			     f->second_stage || run.walk.guest.address != addresses[i].cr2) &&
			    table_counts(&differ))
				printf("va %#" PRIx64 " => vector %u gpa %#" PRIx64 " exit %u\n", q.va, f->vector,
				       f->gpa, f->exit);
		}
	cr_expect_eq(differ, 0, "%u differ", differ);
}
