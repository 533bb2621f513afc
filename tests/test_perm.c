/* SPDX-License-Identifier: MIT */
/*
 * test_perm.c: rules PERM-1 ... PERM-7, 10, 11: who may do what to which page, by the rights of all levels together;
 * and which of two defects of a walk is the one that counts.
 */
#include "tables.h"

static struct case_question q;
static struct case_answer want, got;
static struct library_run run;

/* ---- The rules, as a table ------------------------------------------------------------------- */

enum { READ = CASE_READ, WRITE = CASE_WRITE, FETCH = CASE_FETCH, USER = 4, IMPLICIT = 8, AC = 16 };
#define OK UINT64_MAX

static const struct row {
	const char *rule;
	uint64_t cr0, cr4;       /* WP; SMEP, SMAP, PKE */
	unsigned access;         /* READ, WRITE, FETCH; USER, IMPLICIT, AC */
	uint64_t table, page;    /* flags of the entries above, and of the leaf */
	uint32_t pkru;
	uint64_t error_code;
} rows[] = {
	/* PERM-1: implicit accesses are the system's at any CPL. */
	{ "PERM-1", 0, 0, READ | USER, P | W, P | W, 0, 5 },
	{ "PERM-1", 0, 0, READ | USER | IMPLICIT, P | W, P | W, 0, OK },
	{ "PERM-1", 0, 0, WRITE | USER | IMPLICIT, P, P, 0, OK },
	{ "PERM-1", CR0_WP, 0, WRITE | USER | IMPLICIT, P, P, 0, 3 },
	{ "PERM-1", 0, CR4_SMAP, READ | USER | IMPLICIT | AC, P | U, P | U, 0, 1 },
	/* PERM-2: one level is enough to take a right away. */
	{ "PERM-2", 0, 0, READ | USER, P, P | U, 0, 5 },
	{ "PERM-2", 0, 0, READ | USER, P | U, P, 0, 5 },
	{ "PERM-2", 0, 0, WRITE | USER, P | U, P | U | W, 0, 7 },
	{ "PERM-2", 0, 0, WRITE | USER, P | U | W, P | U, 0, 7 },
	{ "PERM-2", 0, 0, FETCH | USER, P | U | XD, P | U, 0, 0x15 },
	{ "PERM-2", 0, 0, FETCH | USER, P | U, P | U | XD, 0, 0x15 },
	/* PERM-3: supervisor reads. */
	{ "PERM-3", 0, 0, READ, P, P, 0, OK },
	{ "PERM-3", 0, 0, READ, P | U, P | U, 0, OK },
	{ "PERM-3", 0, CR4_SMAP, READ, P, P, 0, OK },
	{ "PERM-3", 0, CR4_SMAP, READ, P | U, P, 0, OK }, /* one level without U: a supervisor page */
	{ "PERM-3", 0, CR4_SMAP, READ, P, P | U, 0, OK },
	{ "PERM-3", 0, CR4_SMAP, READ, P | U, P | U, 0, 1 },
	{ "PERM-3", 0, CR4_SMAP, READ | AC, P | U, P | U, 0, OK },
	{ "PERM-3", 0, CR4_SMAP, READ | IMPLICIT, P | U, P | U, 0, 1 },
	{ "PERM-3", 0, CR4_SMAP, READ | IMPLICIT | AC, P | U, P | U, 0, 1 },
	{ "PERM-3", 0, CR4_SMAP, READ | IMPLICIT, P, P, 0, OK },
	{ "PERM-3", 0, 0, READ | IMPLICIT, P | U, P | U, 0, OK },
	/* PERM-4: supervisor writes. */
	{ "PERM-4", 0, 0, WRITE, P, P, 0, OK },
	{ "PERM-4", CR0_WP, 0, WRITE, P | W, P, 0, 3 },
	{ "PERM-4", CR0_WP, 0, WRITE, P, P | W, 0, 3 },
	{ "PERM-4", CR0_WP, 0, WRITE, P | W, P | W, 0, OK },
	{ "PERM-4", CR0_WP, 0, WRITE, P | U, P | U, 0, 3 },
	{ "PERM-4", 0, 0, WRITE, P | U, P | U, 0, OK },
	{ "PERM-4", 0, CR4_SMAP, WRITE, P | U | W, P | U | W, 0, 3 },
	{ "PERM-4", 0, CR4_SMAP, WRITE | AC, P | U, P | U, 0, OK },
	{ "PERM-4", CR0_WP, CR4_SMAP, WRITE | AC, P | U, P | U | W, 0, 3 },
	{ "PERM-4", CR0_WP, CR4_SMAP, WRITE | AC, P | U | W, P | U | W, 0, OK },
	/* PERM-5: supervisor fetches; SMAP is not for them, SMEP and XD for nothing else. */
	{ "PERM-5", 0, 0, FETCH, P, P, 0, OK },
	{ "PERM-5", 0, 0, FETCH, P | U, P | U, 0, OK },
	{ "PERM-5", 0, 0, FETCH, P, P | XD, 0, 0x11 },
	{ "PERM-5", 0, CR4_SMEP, FETCH, P | U, P | U, 0, 0x11 },
	{ "PERM-5", 0, CR4_SMEP, FETCH, P, P | U, 0, OK },
	{ "PERM-5", 0, CR4_SMEP, FETCH | AC, P | U, P | U, 0, 0x11 },
	{ "PERM-5", 0, CR4_SMAP, FETCH, P | U, P | U, 0, OK },
	{ "PERM-5", 0, CR4_SMEP, READ, P | U | XD, P | U | XD, 0, OK },
	{ "PERM-5", 0, CR4_SMEP, WRITE, P | U | XD, P | U | XD, 0, OK },
	/* PERM-6: users. */
	{ "PERM-6", 0, 0, READ | USER, P | U, P | U, 0, OK },
	{ "PERM-6", 0, 0, WRITE | USER, P | U, P | U, 0, 7 }, /* WP is not for them */
	{ "PERM-6", 0, 0, WRITE | USER, P | U | W, P | U | W, 0, OK },
	{ "PERM-6", 0, 0, FETCH | USER, P | U, P | U, 0, OK },
	{ "PERM-6", 0, 0, FETCH | USER, P | U, P, 0, 0x15 },
	{ "PERM-6", 0, CR4_SMEP | CR4_SMAP, FETCH | USER, P | U, P | U, 0, OK },
	{ "PERM-6", 0, CR4_SMEP | CR4_SMAP, READ | USER, P | U, P | U | XD, 0, OK },
	/* PERM-7: keys, here key 5. */
#define KEY5 (UINT64_C(5) << 59)
	{ "PERM-7", 0, CR4_PKE, READ | USER, P | U, P | U | KEY5, 0, OK },
	{ "PERM-7", 0, CR4_PKE, READ | USER, P | U, P | U | KEY5, 1u << 10, 0x25 },
	{ "PERM-7", 0, 0, READ | USER, P | U, P | U | KEY5, 1u << 10, OK },
	{ "PERM-7", 0, CR4_PKE, READ | USER, P | U, P | U | KEY5, ~(3u << 10), OK },
	{ "PERM-7", 0, CR4_PKE, READ | USER, P | U, P | U | KEY5, 2u << 10, OK },
	{ "PERM-7", 0, CR4_PKE, READ, P | U, P | U | KEY5, 1u << 10, 0x21 },
	{ "PERM-7", 0, CR4_PKE, READ, P, P | U | KEY5, 1u << 10, OK }, /* a supervisor page */
	{ "PERM-7", 0, CR4_PKE, READ, P | U, P | KEY5, 3u << 10, OK },
	{ "PERM-7", 0, CR4_PKE, WRITE | USER, P | U | W, P | U | W | KEY5, 2u << 10, 0x27 },
	{ "PERM-7", 0, CR4_PKE, WRITE, P | U | W, P | U | W | KEY5, 2u << 10, OK }, /* WP = 0 */
	{ "PERM-7", CR0_WP, CR4_PKE, WRITE, P | U | W, P | U | W | KEY5, 2u << 10, 0x23 },
	{ "PERM-7", 0, CR4_PKE, WRITE, P | U | W, P | U | W | KEY5, 1u << 10, 0x23 },
	{ "PERM-7", 0, CR4_PKE, FETCH | USER, P | U, P | U | KEY5, 3u << 10, OK },
	{ "PERM-7", 0, CR4_PKE, READ | USER, P | U | KEY5, P | U, 3u << 10, OK }, /* only the leaf has a key */
	{ "PERM-7", 0, CR4_PKE, READ | USER, P | U | KEY5, P | U, 3, 0x25 },
	{ "PERM-7", 0, CR4_PKE, READ | IMPLICIT | USER, P | U, P | U | KEY5, 1u << 10, 0x21 },
	{ "PERM-7", 0, CR4_PKE, WRITE | IMPLICIT | USER, P | U | W, P | U | W | KEY5, 2u << 10, OK },
	/* PERM-11 with ERR-6: other checks fail too, and PK is there all the same. */
	{ "PERM-11", 0, CR4_PKE, WRITE | USER, P | U, P | U | KEY5, 2u << 10, 0x27 },
	{ "PERM-11", 0, CR4_PKE | CR4_SMAP, READ, P | U, P | U | KEY5, 1u << 10, 0x21 },
	{ "PERM-11", CR0_WP, CR4_PKE | CR4_SMAP, WRITE, P | U, P | U | KEY5, 2u << 10, 0x23 },
	{ "PERM-11", 0, CR4_PKE, READ | USER, P | U, P | KEY5, 1u << 10, 5 }, /* a supervisor page has no key */
};

static void set_access(unsigned access)
{
	q.access = (enum case_access)(access & 3);
	q.user = access & USER;
	q.implicit = access & IMPLICIT;
	q.rflags = 2 | (access & AC ? RFLAGS_AC : 0);
}

static unsigned rights_of(uint64_t entries)
{
	return CASE_R | (entries & W ? CASE_W : 0) | (entries & U ? CASE_U : 0) | (entries & XD ? 0 : CASE_X);
}

Test(perm, rules)
{
	for (size_t i = 0; i < COUNT(rows); i++)
		for (unsigned levels = 4; levels <= 5; levels++)
			for (unsigned leaf = 1; leaf <= 3; leaf++) {
				const struct row *r = &rows[i];
				unsigned differ = 0;

				table_question(&q, levels);
				q.cr0 = (q.cr0 & ~CR0_WP) | r->cr0;
				q.cr4 |= r->cr4;
				q.pkru = r->pkru;
				set_access(r->access);
				table_path(&q, leaf, r->table);
				table_set(&q, leaf, (table_get(&q, q.memory.value, leaf) & ~r->table) | r->page);
				if (r->error_code != OK) {
					want_fault(&q, &want, r->error_code);
				} else {
					want_page(&q, &want, TABLE_PAGE | (q.va & (BIT(table_shift(&q, leaf)) - 1)),
						  table_shift(&q, leaf),
						  rights_of((r->table & r->page & (W | U)) |
							    ((r->table | r->page) & XD)));
					want_accessed(&q, &want, leaf);
				}
				table_check(&q, &want, &differ);
				cr_expect(!differ, "row %u, %s", (unsigned)i, r->rule);
			}
}

/* The same without keys and XD: 32-bit and PAE paging have the rest. */
Test(perm, rules_in_legacy_modes)
{
	for (size_t i = 0; i < COUNT(rows); i++)
		for (unsigned levels = 2; levels <= 3; levels++) {
			const struct row *r = &rows[i];
			unsigned differ = 0;

			if ((r->cr4 & CR4_PKE) || ((r->table | r->page) & XD))
				continue;
			table_question(&q, levels);
			q.cr0 = (q.cr0 & ~CR0_WP) | r->cr0;
			q.cr4 |= r->cr4;
			set_access(r->access);
			table_path(&q, 1, r->table);
			table_set(&q, 1, TABLE_PAGE | (r->page & ~KEY5));
			if (r->error_code != OK) { /* 32-bit paging: NXE does not show (ERR-5) */
				want_fault(&q, &want,
					   levels == 2 && !(r->cr4 & CR4_SMEP) ? r->error_code & ~UINT64_C(0x10) :
										 r->error_code);
			} else {
				want_page(&q, &want, TABLE_PAGE | 0x678, 12, rights_of(r->table & r->page & (W | U)));
				want_accessed(&q, &want, 1);
			}
			table_check(&q, &want, &differ);
			cr_expect(!differ, "row %u, %s", (unsigned)i, r->rule);
		}
}

/* PERM-2: the PAE PDPTE has no rights, XD no meaning without NXE (it is reserved then), 32-bit paging no XD at all. */
Test(perm, entries_without_rights)
{
	unsigned differ = 0;

	for (unsigned access = 0; access < 3; access++)
		for (unsigned user = 0; user < 2; user++) {
			table_question(&q, 3);
			set_access(access | (user ? USER : 0));
			table_path(&q, 1, P | W | U);
			cr_expect_eq(table_get(&q, q.memory.value, 3) & (W | U | XD), 0, "PDPTE");
			want_page(&q, &want, TABLE_PAGE | 0x678, 12, CASE_R | CASE_W | CASE_U | CASE_X);
			want_accessed(&q, &want, 1);
			table_check(&q, &want, &differ);

			table_question(&q, 2);
			set_access(access | (user ? USER : 0));
			table_path(&q, 1, P | W | U);
			table_set(&q, 1, 0xfffff000 | P | W | U); /* all that could be XD */
			want_page(&q, &want, 0xfffff678, 12, CASE_R | CASE_W | CASE_U | CASE_X);
			want_accessed(&q, &want, 1);
			table_check(&q, &want, &differ);
		}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* ---- All accesses to all rights under all registers ------------------------------------------ */

struct machine {
	unsigned levels;
	bool wp, nxe, smep, smap, pke, ac;
	unsigned key; /* AD = 1, WD = 2 of the page's key */
};

/* PERM-1 ... PERM-7, PERM-11, ERR-1, ERR-2, ERR-3, ERR-5, ERR-6: 0, or the error code. */
static uint64_t rule_fault(const struct machine *m, unsigned access, bool w, bool u, bool x)
{
	bool user = (access & USER) && !(access & IMPLICIT);
	unsigned kind = access & 3;
	bool denied = false, key;

	if (kind == FETCH)
		denied = !x || (user ? !u : u && m->smep);
	else if (user)
		denied = !u || (kind == WRITE && !w);
	else
		denied = (u && m->smap && ((access & IMPLICIT) || !m->ac)) || (kind == WRITE && !w && m->wp);
	key = m->pke && m->levels >= 4 && u && kind != FETCH &&
	      ((m->key & 1) || ((m->key & 2) && kind == WRITE && (user || m->wp)));
	if (!denied && !key)
		return 0;
	return 1 | (kind == WRITE ? 2 : 0) | (user ? 4 : 0) |
	       (kind == FETCH && (m->smep || (m->levels > 2 && m->nxe)) ? 0x10 : 0) | (key ? 0x20 : 0);
}

static void set_machine(const struct machine *m)
{
	table_question(&q, m->levels);
	q.cr0 = (q.cr0 & ~CR0_WP) | (m->wp ? CR0_WP : 0);
	q.cr4 |= (m->smep ? CR4_SMEP : 0) | (m->smap ? CR4_SMAP : 0) | (m->pke ? CR4_PKE : 0);
	q.efer = (q.efer & ~EFER_NXE) | (m->nxe ? EFER_NXE : 0);
	q.rflags = 2 | (m->ac ? RFLAGS_AC : 0);
}

static uint64_t access_of(unsigned access)
{
	return ((access & 3) == WRITE ? PAGEWALK_ACCESS_WRITE : (access & 3) == FETCH ? PAGEWALK_ACCESS_FETCH : 0) |
	       (access & USER ? PAGEWALK_ACCESS_USER : 0) | (access & IMPLICIT ? PAGEWALK_ACCESS_IMPLICIT : 0);
}

static void print_machine(const struct machine *m, unsigned access)
{
	printf("%u levels%s%s%s%s%s%s key %u: %s%s%s", m->levels, m->wp ? " WP" : "", m->nxe ? " NXE" : "",
	       m->smep ? " SMEP" : "", m->smap ? " SMAP" : "", m->pke ? " PKE" : "", m->ac ? " AC" : "", m->key,
	       access & USER ? "user " : "", access & IMPLICIT ? "implicit " : "",
	       (access & 3) == WRITE ? "write" :
	       (access & 3) == FETCH ? "fetch" :
				       "read");
}

/* i as a machine of the mode; 256 of them. */
static struct machine machine_of(unsigned levels, unsigned i)
{
	struct machine m = { levels, i & 1, i & 2, i & 4, i & 8, i & 16, i & 32, i >> 6 & 3 };

	return m;
}

/* pagewalk_permission_fault() for cached rights: every key, right and access, the meaningless bits of each too. */
Test(perm, all_accesses_to_cached_rights)
{
	static const struct pagewalk_cpu cpus[] = {
		{ PAGEWALK_FEATURES_ALL, 0, PAGEWALK_INTEL, 46 }, { PAGEWALK_FEATURES_ALL, 0, PAGEWALK_AMD, 48 },
		{ PAGEWALK_FEATURES_ALL, PAGEWALK_QUIRKS_KVM & ~PAGEWALK_QUIRK_KVM_ID, PAGEWALK_INTEL, 46 }
	};
	unsigned differ = 0;

	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned i = 0; i < 256 * COUNT(cpus); i++) {
			struct machine m = machine_of(levels, i & 255);
			set_machine(&m);
			cr_assert_eq(library_open(&run, &q, q.memory.value), PAGEWALK_OK, "open");
			struct pagewalk_regs regs = { q.cr0, q.cr4, q.efer, false };
			cr_assert_eq(pagewalk_init(&run.guest.walk, &cpus[i >> 8], &regs), PAGEWALK_OK, "init");
			for (unsigned access = 0; access < 16; access++)
				for (unsigned rights = 0; rights < 16 && (access & 3) != 3; rights++) {
					unsigned number = (i + access + rights) & 15;
					bool x = rights & PAGEWALK_ACC_EXEC;

					if (!x && (levels == 2 || !m.nxe)) /* all is executable there (PERM-2) */
						continue;
					run.guest.walk.pkru = (uint32_t)m.key << 2 * number;
					uint64_t code = pagewalk_permission_fault(&run.guest.walk, rights, number,
										  access_of(access));
					uint64_t expected = rule_fault(&m, access, rights & PAGEWALK_ACC_WRITE,
								       rights & PAGEWALK_ACC_USER, x);
					/* the other keys do not count */
					run.guest.walk.pkru |= ~(3u << 2 * number);
					uint64_t again =
						pagewalk_permission_fault(&run.guest.walk, rights, number,
									  access_of(access) | PAGEWALK_ACCESS_STACK);
					if ((code == expected && again == expected) || !table_counts(&differ))
						continue;
					print_machine(&m, access);
					printf(", rights %u => %#" PRIx64 " %#" PRIx64 ", expected %#" PRIx64 "\n",
					       rights, code, again, expected);
				}
		}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

Test(perm, paging_off_permits_everything)
{
	table_question(&q, 0);
	q.cr0 |= CR0_WP;
	q.cr4 = CR4_SMEP | CR4_SMAP | CR4_PKE;
	cr_assert_eq(library_open(&run, &q, q.memory.value), PAGEWALK_OK, "open");
	run.guest.walk.pkru = 0xffffffff;
	for (unsigned access = 0; access < 16; access++)
		for (unsigned rights = 0; rights < 16; rights++)
			cr_expect_eq(pagewalk_permission_fault(&run.guest.walk, rights, 3, access_of(access)), 0,
				     "permission");
}

/* The rights of a level in a number of 0 ... 7: what it takes away. */
static uint64_t level_flags(unsigned takes)
{
	return P | A | D | (takes & 1 ? 0 : W) | (takes & 2 ? 0 : U) | (takes & 4 ? XD : 0);
}

/* Walks by all accesses under all registers through the tables of q, whose rights together are w, u, x. */
static void check_walks(unsigned levels, unsigned every, unsigned *differ, bool w, bool u, bool x, unsigned *phase)
{
	for (unsigned i = 0; i < 256; i++) {
		struct machine m = machine_of(levels, i);

		if (((++*phase) * 7) % every || (!x && !m.nxe))
			continue;
		q.cr0 = (q.cr0 & ~CR0_WP) | (m.wp ? CR0_WP : 0);
		q.cr4 = (q.cr4 & ~(CR4_SMEP | CR4_SMAP | CR4_PKE)) | (m.smep ? CR4_SMEP : 0) | (m.smap ? CR4_SMAP : 0) |
			(m.pke ? CR4_PKE : 0);
		q.efer = (q.efer & ~EFER_NXE) | (m.nxe ? EFER_NXE : 0);
		q.rflags = 2 | (m.ac ? RFLAGS_AC : 0);
		q.pkru = (uint64_t)m.key << 2 * 9;
		cr_assert_eq(library_open(&run, &q, q.memory.value), PAGEWALK_OK, "open");
		for (unsigned access = 0; access < 16; access++) {
			if ((access & 3) == 3)
				continue;
			uint64_t expected = rule_fault(&m, access, w, u, x);
			enum pagewalk_status status =
				pagewalk_translate(&run.guest.walk, q.va, access_of(access), &run.walk);
			uint64_t code = status == PAGEWALK_OK ? 0 : run.walk.fault.error_code;
			unsigned rights = (w ? PAGEWALK_RIGHTS_WRITE : 0u) | (u ? PAGEWALK_RIGHTS_USER : 0u) |
					  (x ? PAGEWALK_RIGHTS_EXEC : 0u) | PAGEWALK_RIGHTS_READ;
			bool good =
				status == (expected ? PAGEWALK_FAULT : PAGEWALK_OK) && code == expected &&
				(status != PAGEWALK_OK || pagewalk_rights(&run.guest.walk, &run.walk) == rights) &&
				pagewalk_permission_fault(&run.guest.walk, run.walk.guest.pte_access,
							  run.walk.guest.pte_pkey, access_of(access)) == expected &&
				(!expected ||
				 (run.walk.fault.address == q.va && run.walk.fault.vector == PAGEWALK_VECTOR_PF &&
				  run.walk.guest.level == 1));
			if (good || !table_counts(differ))
				continue;
			print_machine(&m, access);
			for (unsigned level = levels; level; level--)
				printf(" L%u=%#" PRIx64, level, table_get(&q, q.memory.value, level));
			printf(" => status %d code %#" PRIx64 ", expected %#" PRIx64 "\n", (int)status, code, expected);
		}
	}
}

/* Each level takes away any of W, U and X. */
Test(perm, rights_spread_over_the_levels)
{
	static const unsigned every[] = { 0, 0, 1, 1, 7, 61 }; /* of so many machines one walks */
	unsigned differ = 0, phase = 0;

	for (unsigned levels = 2; levels <= 5; levels++) {
		unsigned entries = levels == 3 ? 2 : levels, takes = levels == 2 ? 4 : 8, count = 1;

		for (unsigned i = 0; i < entries; i++)
			count *= takes;
		table_question(&q, levels);
		for (unsigned i = 0; i < count; i++) {
			unsigned taken = 0, rest = i;

			table_path(&q, 1, P | A | D);
			for (unsigned level = entries; level; level--, rest /= takes) {
				uint64_t at = level == 1 ? TABLE_PAGE : table_at[level - 1];

				table_set(&q, level, at | level_flags(rest % takes) |
						     (levels > 3 ? (level == 1 ? UINT64_C(9) : 6) << 59 : 0));
				taken |= rest % takes;
			}
			check_walks(levels, every[levels], &differ, !(taken & 1), !(taken & 2), !(taken & 4), &phase);
		}
	}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* PERM-7: each key has its own two bits of PKRU, and pages of all sizes have keys. */
Test(perm, every_key)
{
	unsigned differ = 0;

	for (unsigned levels = 4; levels <= 5; levels++)
		for (unsigned leaf = 1; leaf <= 3; leaf++)
			for (unsigned key = 0; key < 16; key++)
				for (unsigned bit = 0; bit < 32; bit++)
					for (unsigned write = 0; write < 2; write++) {
						bool denied = bit / 2 == key && (write || !(bit & 1));

						table_question(&q, levels);
						q.cr4 |= CR4_PKE;
						q.pkru = BIT(bit);
						q.access = write ? CASE_WRITE : CASE_READ;
						q.user = true;
						table_path(&q, leaf, P | W | U | A | D | (uint64_t)(15 - key) << 59);
						table_set(&q, leaf,
							  TABLE_PAGE | (leaf > 1 ? PS : 0) | P | W | U | A | D |
								  (uint64_t)key << 59);
						if (denied)
							want_fault(&q, &want, write ? 0x27 : 0x25);
						else
							want_page(&q, &want,
								  TABLE_PAGE |
									  (q.va & (BIT(table_shift(&q, leaf)) - 1)),
								  table_shift(&q, leaf),
								  CASE_R | CASE_W | CASE_X | CASE_U);
						table_check(&q, &want, &differ);
						library_walk_run(&q, &got, &run);
						if (run.walk.guest.pte_pkey != key && table_counts(&differ))
							printf("key %u => %u in the record\n", key,
							       run.walk.guest.pte_pkey);
					}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* Without PKE or long mode there are no keys: pte_pkey is 0 and PKRU nothing. */
Test(perm, no_keys)
{
	for (unsigned levels = 2; levels <= 5; levels++) {
		table_question(&q, levels);
		q.cr4 |= levels < 4 ? CR4_PKE : 0;
		q.pkru = 0xffffffff;
		q.user = true;
		table_path(&q, 1, P | W | U);
		if (levels > 3)
			table_set(&q, 1, TABLE_PAGE | P | W | U | BITS(62, 59));
		library_walk_run(&q, &got, &run);
		cr_expect(got.outcome == CASE_TRANSLATED && run.walk.guest.pte_pkey == 0, "%u levels", levels);
	}
}

/* PKRU and AC are live: a change needs no refresh. */
Test(perm, live_registers)
{
	struct pagewalk_walk walk;
	struct kvm_pagewalk *w = &run.guest.walk;

	table_question(&q, 4);
	q.cr4 |= CR4_PKE | CR4_SMAP;
	table_path(&q, 1, P | W | U);
	cr_assert_eq(library_open(&run, &q, q.memory.value), PAGEWALK_OK, "open");
	cr_expect_eq(pagewalk_translate(w, q.va, PAGEWALK_ACCESS_USER, &walk), PAGEWALK_OK, "walk");
	w->pkru = 1;
	cr_expect(pagewalk_translate(w, q.va, PAGEWALK_ACCESS_USER, &walk) == PAGEWALK_FAULT &&
		  walk.fault.error_code == 0x25, "walk");
	w->pkru = 4;
	cr_expect_eq(pagewalk_translate(w, q.va, PAGEWALK_ACCESS_USER, &walk), PAGEWALK_OK, "walk");
	cr_expect(pagewalk_translate(w, q.va, PAGEWALK_ACCESS_READ, &walk) == PAGEWALK_FAULT &&
		  walk.fault.error_code == 1, "walk");
	w->rflags = RFLAGS_AC;
	cr_expect_eq(pagewalk_translate(w, q.va, PAGEWALK_ACCESS_READ, &walk), PAGEWALK_OK, "walk");
	w->rflags = ~RFLAGS_AC;
	cr_expect(pagewalk_translate(w, q.va, PAGEWALK_ACCESS_READ, &walk) == PAGEWALK_FAULT &&
		  walk.fault.error_code == 1, "walk");
}

/* ---- PERM-10: order -------------------------------------------------------------------------- */

enum defect { NOT_PRESENT, RESERVED, NO_RIGHT, DEFECTS };

/* Puts a defect into the entry of the level on the way to a page mapped at leaf. false: the mode has no such entry. */
static bool put_defect(enum defect defect, unsigned level, unsigned leaf)
{
	uint64_t entry = table_get(&q, q.memory.value, level);

	switch (defect) {
	case NOT_PRESENT:
		table_set(&q, level, entry & ~P);
		return true;
	case RESERVED:
		if (table_levels(&q) == 2 && level != leaf) /* a PDE without PS has none */
			return false;
		if (table_levels(&q) == 2)
			q.features &= ~(unsigned)CASE_PAT;
		table_set(&q, level, entry | (table_levels(&q) > 2 ? BIT(46) : leaf == 1 ? BIT(7) : BIT(21)));
		return true;
	default:
		if (table_is_pdpte(&q, level))
			return false;
		table_set(&q, level, entry & ~U);
		return true;
	}
}

/* Two defects at two levels: the upper one decides; but rights are looked at last of all. */
Test(perm, upper_defect_first_rights_last)
{
	static const uint64_t codes[] = { [NOT_PRESENT] = 4, [RESERVED] = 0xd, [NO_RIGHT] = 5 };
	unsigned differ = 0, walks = 0;

	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned leaf = 1; leaf <= table_max_leaf(levels); leaf++)
			for (unsigned i = 0; i < levels * levels * DEFECTS * DEFECTS; i++) {
				unsigned upper = levels - i % levels, lower = levels - i / levels % levels;
				enum defect first = (enum defect)(i / levels / levels % DEFECTS);
				enum defect second = (enum defect)(i / levels / levels / DEFECTS);

				if (lower < leaf || upper <= lower)
					continue;
				if (levels == 3 && (upper == 3 && first == RESERVED)) /* refused when it is loaded */
					continue;
				table_question(&q, levels);
				q.user = true;
				table_path(&q, leaf, P | W | U);
				if (!put_defect(first, upper, leaf) || !put_defect(second, lower, leaf))
					continue;
				unsigned level = first == NO_RIGHT ? (second == NO_RIGHT ? leaf : lower) : upper;
				want_fault(&q, &want, codes[first == NO_RIGHT ? second : first]);
				table_check(&q, &want, &differ);
				library_walk_run(&q, &got, &run);
				if (run.walk.guest.level != level && table_counts(&differ))
					printf("%u levels, leaf %u, defect %d at %u, %d at %u => at %u, expected %u\n",
					       levels, leaf, (int)first, upper, (int)second, lower,
					       run.walk.guest.level, level);
				walks++;
			}
	cr_expect(!differ && walks > 150, "%u of %u walks", differ, walks);
}

/* Both in one entry: P = 0 hides everything, and a reserved bit goes before rights of whatever kind. */
Test(perm, defects_of_one_entry)
{
	unsigned differ = 0;

	for (unsigned levels = 3; levels <= 5; levels++)
		for (unsigned level = levels == 3 ? 2 : levels; level; level--)
			for (unsigned defects = 1; defects < 8; defects++) {
				table_question(&q, levels);
				q.user = true;
				table_path(&q, 1, P | W | U);
				for (unsigned d = 0; d < DEFECTS; d++)
					if (defects >> d & 1)
						put_defect((enum defect)d, level, 1);
				want_fault(&q, &want, defects & 1 ? 4 : defects & 2 ? 0xd : 5);
				table_check(&q, &want, &differ);
			}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* A defect below the leaf of a large page, or beside the way, is none. */
Test(perm, entries_not_on_the_way_do_not_count)
{
	unsigned differ = 0;

	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned leaf = 2; leaf <= table_max_leaf(levels); leaf++) {
			table_question(&q, levels);
			q.user = true;
			table_path(&q, leaf, P | W | U | A);
			for (unsigned level = 1; level < leaf; level++)
				table_set(&q, level, level == 1 ? 0 : ~UINT64_C(0));
			want_page(&q, &want, TABLE_PAGE | (q.va & (BIT(table_shift(&q, leaf)) - 1)),
				  table_shift(&q, leaf), CASE_R | CASE_W | CASE_X | CASE_U);
			table_check(&q, &want, &differ);
		}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* The rule that a refusal cites. */
Test(perm, rules_cited)
{
	static const struct {
		uint64_t cr4;
		unsigned access;
		uint64_t flags;
		uint32_t pkru;
		unsigned rule;
	} cited[] = {
		{ CR4_SMAP, READ, P | U | W, 0, PAGEWALK_RULE(PERM, 3) },
		{ 0, WRITE, P | U, 0, PAGEWALK_RULE(PERM, 4) },
		{ CR4_SMAP, WRITE, P | U | W, 0, PAGEWALK_RULE(PERM, 4) },
		{ 0, FETCH, P | XD, 0, PAGEWALK_RULE(PERM, 5) },
		{ CR4_SMEP, FETCH, P | U, 0, PAGEWALK_RULE(PERM, 5) },
		{ 0, READ | USER, P, 0, PAGEWALK_RULE(PERM, 6) },
		{ 0, WRITE | USER, P | U, 0, PAGEWALK_RULE(PERM, 6) },
		{ 0, FETCH | USER, P, 0, PAGEWALK_RULE(PERM, 6) },
		{ CR4_PKE, READ | USER, P | U, 1, PAGEWALK_RULE(PERM, 7) },
		{ CR4_PKE, WRITE | USER, P | U | W, 2, PAGEWALK_RULE(PERM, 7) },
		{ 0, READ, 0, 0, PAGEWALK_RULE(ERR, 1) },
	};

	for (size_t i = 0; i < COUNT(cited); i++) {
		table_question(&q, 4);
		q.cr4 |= cited[i].cr4;
		q.pkru = cited[i].pkru;
		set_access(cited[i].access);
		table_path(&q, 1, cited[i].flags ? cited[i].flags & ~XD : P);
		table_set(&q, 1, TABLE_PAGE | cited[i].flags);
		library_walk_run(&q, &got, &run);
		cr_expect(run.status == PAGEWALK_FAULT && run.walk.fault.rule == cited[i].rule,
			  "row %u => status %d, family %u, number %u", (unsigned)i, (int)run.status,
			  PAGEWALK_RULE_FAMILY(run.walk.fault.rule), PAGEWALK_RULE_NUMBER(run.walk.fault.rule));
	}
}
