/* SPDX-License-Identifier: MIT */
/*
 * test_npt.c: AMD's nested paging: NPT-1, 2, 4, 5, 6, 7, MODE-8, and KVM's deviations 1, 2, 4, 5, 7, 8 and 11 as far as
 * nested tables meet them. Known values are written down; large spaces go against tables2.h's judge().
 */
#include "tables2.h"

static struct tables t;
static struct asked a;

static const enum shape hosts[] = { SHAPE_32, SHAPE_PAE, SHAPE_4, SHAPE_5 };

#define KVM PAGEWALK_QUIRKS_KVM
#define HOST_VA 0x9abcda30u /* another index at each level that has room for one */

/* A second stage without a guest's tables, and room for one page. */
static void start_plain(unsigned m, enum shape second, unsigned leaf)
{
	tables_start(&t, CASE_AMD, m, SHAPE_OFF, second, false);
	t.second_leaf = leaf;
	tables_guest(&t, second >= SHAPE_4 ? 0x123456789a30u & bits((int)m - 1, 0) : HOST_VA, 0, false);
}

/* One access of the guest's (paging off) against judge(), with the flags that it leaves behind. */
static void check_plain(const char *name, unsigned level, uint64_t entry)
{
	struct judged j =
		judge(&t, t.q.memory.value, t.q.va, BY_ACCESS, t.q.access, t.q.user, CASE_W | CASE_X | CASE_U);
	uint64_t want[CASE_MAX_WORDS];

	EXPECT(ask(&a, &t), j.outcome,
	       "%s: %s, entry %u 0x%llx, M %u, features 0x%x, hCR4 0x%llx, hEFER 0x%llx, GMET %d, %s, user %d", name,
	       shapes[t.second].name, level, HEX(entry), t.q.maxphyaddr, t.q.features, HEX(t.q.hcr4), HEX(t.q.hefer),
	       t.q.gmet, kind_name(t.q.access), t.q.user);
	memcpy(want, t.q.memory.value, t.q.memory.count * sizeof(*want));
	judged_flags(&t, want, &j);
	EXPECT_MEMORY(&t, a.value, want, "%s: %s, entry %u 0x%llx", name, shapes[t.second].name, level, HEX(entry));
}

/* ---- NPT-5: known values ----------------------------------------------------------------------------------------- */


/* A 4-level guest, M = 51, all entries good, on 4-level nested tables. */
static void start_long(enum case_profile profile)
{
	tables_start(&t, profile, 51, SHAPE_4, SHAPE_4, false);
	tables_guest(&t, 0x123456789abc, 1, false);
}

Test(npt, known_values)
{
	/* The nested entry of a level for the guest's entry of a level (0: the access) is edited. */
	static const struct {
		unsigned guest_level, level;
		uint64_t set, clear;
		enum case_access access;
		uint64_t want;
	} rows[] = {
		{ 0, 1, 0, 1, CASE_READ, 0x100000004 },           /* absent */
		{ 0, 4, 0, 1, CASE_READ, 0x100000004 },
		{ 0, 1, 0, 1, CASE_WRITE, 0x100000006 },
		{ 0, 1, 0, 1, CASE_FETCH, 0x100000014 },
		{ 4, 1, 0, 2, CASE_READ, 0x200000007 },           /* table walk to a read-only page */
		{ 1, 3, 0, 2, CASE_FETCH, 0x200000007 },
		{ 3, 1, BIT(51), 0, CASE_READ, 0x20000000f },     /* reserved bit in a table walk */
		{ 2, 4, BIT(7), 0, CASE_FETCH, 0x20000000f },
		{ 2, 4, BIT(7), 0, CASE_WRITE, 0x20000000f },
		{ 0, 1, BIT(51), 0, CASE_READ, 0x10000000d },     /* final reserved */
		{ 0, 2, BIT(51), 0, CASE_FETCH, 0x10000001d },    /* +10h for a fetch */
		{ 0, 2, BIT(51), 0, CASE_WRITE, 0x10000000f },
		/* and what follows from them */
		{ 4, 1, 0, 1, CASE_READ, 0x200000006 }, { 1, 2, 0, 1, CASE_FETCH, 0x200000006 },
		{ 1, 1, 0, 4, CASE_READ, 0x200000007 },           /* a table is a user's */
		{ 0, 1, 0, 2, CASE_WRITE, 0x100000007 }, { 0, 1, 0, 4, CASE_READ, 0x100000005 },
		{ 0, 3, 0, 4, CASE_FETCH, 0x100000015 }, { 0, 1, BIT(63), 0, CASE_FETCH, 0x100000015 },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		for (unsigned user = 0; user < 2; user++) { /* the guest's privilege doesn't show */
			uint64_t gpa;

			start_long(CASE_AMD);
			t.q.access = rows[i].access;
			t.q.user = user;
			gpa = guest_gpa(&t, rows[i].guest_level);
			second_edit(&t, gpa, rows[i].level, rows[i].set, rows[i].clear);
			EXPECT(ask(&a, &t), NPFS(rows[i].want, gpa),
			       "guest level %u, nested level %u: set 0x%llx, clear 0x%llx, %s, user %u",
			       rows[i].guest_level, rows[i].level, HEX(rows[i].set), HEX(rows[i].clear),
			       kind_name(rows[i].access), user);
		}
	start_long(CASE_AMD); /* what is no reason */
	second_edit(&t, guest_gpa(&t, 0), 1, 0, 2);
	second_edit(&t, guest_gpa(&t, 2), 1, BIT(63), 0);
	second_edit(&t, guest_gpa(&t, 3), 3, BIT(63), 0);
	EXPECT(ask(&a, &t), LEADS(t.step[4].pa), "a read of a read-only page, tables in NX pages");
}

/* Bit 4 shows a fetch if the host has NXE or SMEP on, in every format. */
Test(npt, id_bit)
{
	for (size_t h = 0; h < COUNT(hosts); h++)
		for (unsigned n = 0; n < 4; n++) {
			bool nxe = n & 1, smep = n & 2;

			start_plain(45, hosts[h], 1);
			t.q.hefer = (t.q.hefer & ~BIT(11)) | (nxe ? BIT(11) : 0);
			t.q.hcr4 |= smep ? BIT(20) : 0;
			t.q.access = CASE_FETCH;
			second_edit(&t, t.q.va, 1, 0, 1);
			EXPECT(ask(&a, &t), NPFS(0x100000004 | (nxe || smep ? 0x10 : 0), t.q.va), "%s: NXE %d, SMEP %d",
			       shapes[hosts[h]].name, nxe, smep);
			/* The guest's say nothing about it. */
			t.q.cr4 |= BIT(20) | BIT(5);
			t.q.efer |= BIT(11);
			EXPECT(ask(&a, &t), NPFS(0x100000004 | (nxe || smep ? 0x10 : 0), t.q.va),
			       "%s: NXE %d, SMEP %d; the guest has both", shapes[hosts[h]].name, nxe, smep);
		}
}

/* ---- NPT-1: formats ---------------------------------------------------------------------------------------------- */

/* Which rule reserves a bit of an entry. */
static unsigned reserved_rule(enum shape host, unsigned level, uint64_t bit)
{
	if (host == SHAPE_32)
		return bit == BIT(7) || bit == BIT(12) ? PAGEWALK_RULE(MODE, 6) : PAGEWALK_RULE(MODE, 5);
	if (host == SHAPE_PAE && level == 3)
		return PAGEWALK_RULE(MODE, 7);
	if (host == SHAPE_PAE)
		return bit == BIT(7) || bit == BIT(12) ? PAGEWALK_RULE(MODE, 6) : PAGEWALK_RULE(MODE, 9);
	return bit == BIT(8) ? PAGEWALK_RULE(MODE, 11) : PAGEWALK_RULE(MODE, 10);
}

Test(npt, formats_known)
{
	/* On the way to a page of leaf's level, the entry of a level gets bits. Then a read meets it. */
	static const struct {
		enum shape host;
		unsigned leaf, level;
		uint64_t set;
		unsigned m, without;
		uint64_t hcr4, hefer; /* taken away */
		bool good;
	} rows[] = {
		/* 32-bit (MODE-4, 5, 6) */
		{ SHAPE_32, 1, 2, 0xe18, 45, 0, 0, 0, true }, { SHAPE_32, 1, 1, 0xf98, 45, 0, 0, 0, true },
		{ SHAPE_32, 2, 2, BIT(21), 45, 0, 0, 0, false }, { SHAPE_32, 2, 2, BIT(20), 45, 0, 0, 0, true },
		{ SHAPE_32, 2, 2, BIT(20), 36, 0, 0, 0, true },                    /* AMD: 40 bits whatever M is */
		{ SHAPE_32, 2, 2, BIT(13), 45, CASE_PSE36, 0, 0, false },
		{ SHAPE_32, 2, 2, BIT(13), 45, 0, 0, 0, true },
		{ SHAPE_32, 2, 2, BIT(12), 45, CASE_PAT, 0, 0, false }, { SHAPE_32, 2, 2, BIT(12), 45, 0, 0, 0, true },
		{ SHAPE_32, 1, 1, BIT(7), 45, CASE_PAT, 0, 0, false },
		{ SHAPE_32, 1, 1, BIT(7), 45, CASE_PAT, BIT(4), 0, true },
		{ SHAPE_32, 1, 2, BIT(7), 45, 0, BIT(4), 0, true },                /* PSE = 0: bit 7 is ignored */
		/* PAE (MODE-6, 7, 9) */
		{ SHAPE_PAE, 1, 3, BIT(1), 45, 0, 0, 0, false }, { SHAPE_PAE, 1, 3, BIT(2), 45, 0, 0, 0, false },
		{ SHAPE_PAE, 1, 3, BIT(5), 45, 0, 0, 0, false }, { SHAPE_PAE, 1, 3, BIT(7), 45, 0, 0, 0, false },
		{ SHAPE_PAE, 1, 3, BIT(8), 45, 0, 0, 0, false }, { SHAPE_PAE, 1, 3, BIT(45), 45, 0, 0, 0, false },
		{ SHAPE_PAE, 1, 3, BIT(63), 45, 0, 0, 0, false }, { SHAPE_PAE, 1, 3, 0xe18, 45, 0, 0, 0, true },
		{ SHAPE_PAE, 1, 2, BIT(52), 45, 0, 0, 0, false }, { SHAPE_PAE, 1, 1, BIT(62), 45, 0, 0, 0, false },
		{ SHAPE_PAE, 1, 1, BIT(63), 45, 0, 0, 0, true }, { SHAPE_PAE, 1, 1, BIT(63), 45, 0, 0, BIT(11), false },
		{ SHAPE_PAE, 2, 2, BIT(13), 45, 0, 0, 0, false }, { SHAPE_PAE, 2, 2, BIT(20), 45, 0, 0, 0, false },
		{ SHAPE_PAE, 2, 2, BIT(12), 45, 0, BIT(4), 0, true },
		{ SHAPE_PAE, 2, 2, BIT(12), 45, CASE_PAT, 0, 0, false },
		{ SHAPE_PAE, 1, 1, BIT(7), 45, CASE_PAT, 0, 0, false }, { SHAPE_PAE, 1, 1, BIT(7), 45, 0, 0, 0, true },
		/* 4-level and 5-level (MODE-10, 11) */
		{ SHAPE_4, 1, 4, BIT(7), 45, 0, 0, 0, false }, { SHAPE_4, 1, 4, BIT(8), 45, 0, 0, 0, false },
		{ SHAPE_5, 1, 5, BIT(7), 45, 0, 0, 0, false }, { SHAPE_5, 1, 5, BIT(8), 45, 0, 0, 0, false },
		{ SHAPE_5, 1, 4, BIT(8), 45, 0, 0, 0, false }, { SHAPE_4, 1, 3, BIT(8), 45, 0, 0, 0, true },
		{ SHAPE_4, 3, 3, 0, 45, 0, 0, 0, true }, { SHAPE_4, 3, 3, 0, 45, CASE_PAGE1GB, 0, 0, false },
		{ SHAPE_4, 3, 3, BIT(12), 45, 0, 0, 0, true }, { SHAPE_4, 3, 3, BIT(13), 45, 0, 0, 0, false },
		{ SHAPE_4, 3, 3, BIT(29), 45, 0, 0, 0, false }, { SHAPE_4, 2, 2, BIT(12), 45, 0, 0, 0, true },
		{ SHAPE_4, 2, 2, BIT(13), 45, 0, 0, 0, false }, { SHAPE_4, 2, 2, BIT(20), 45, 0, 0, 0, false },
		{ SHAPE_4, 1, 1, BIT(45), 45, 0, 0, 0, false }, { SHAPE_4, 1, 1, BIT(44), 45, 0, 0, 0, true },
		{ SHAPE_4, 1, 1, BIT(51), 51, 0, 0, 0, false }, { SHAPE_4, 1, 1, BIT(51), 52, 0, 0, 0, true },
		{ SHAPE_4, 1, 1, BIT(63), 45, 0, 0, 0, true }, { SHAPE_4, 1, 3, BIT(63), 45, 0, 0, BIT(11), false },
		{ SHAPE_5, 1, 1, BITS(62, 52) | BIT(11) | BIT(10) | BIT(9) | BIT(7), 45, 0, 0, 0, true },
		{ SHAPE_4, 1, 1, BIT(7), 45, CASE_PAT, 0, 0, true },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct outcome o;

		start_plain(rows[i].m, rows[i].host, rows[i].leaf);
		t.q.features &= ~rows[i].without;
		t.q.hcr4 &= ~rows[i].hcr4;
		t.q.hefer &= ~rows[i].hefer;
		second_edit(&t, t.q.va, rows[i].level, rows[i].set, 0);
		o = ask(&a, &t);
		EXPECT_NUMBER(o.what == NPF ? o.code : o.what, rows[i].good ? TO : 0x10000000d,
			      "%s, leaf %u, entry %u: set 0x%llx, M %u, without 0x%x, hCR4 0x%llx, hEFER 0x%llx",
			      shapes[rows[i].host].name, rows[i].leaf, rows[i].level, HEX(rows[i].set), rows[i].m,
			      rows[i].without, HEX(rows[i].hcr4), HEX(rows[i].hefer));
		if (!rows[i].good)
			EXPECT_NUMBER(a.run.walk.fault.rule, reserved_rule(rows[i].host, rows[i].level, rows[i].set),
				      "the rule of row %u", (unsigned)i);
	}
}

/* Each bit of each entry of each format, for pages of all sizes, several M, and what the host has switched off. */
Test(npt, formats_each_bit)
{
	static const unsigned widths[] = { 36, 45, 52 };

	for (unsigned n = 0; n < 4 * 3 * 3 * 16; n++) {
		enum shape host = hosts[n % 4];
		unsigned leaf = n / 4 % 3 + 1, off = n / 36;

		if (leaf > (host < SHAPE_4 ? 2u : 3u))
			continue;
		start_plain(widths[n / 12 % 3], host, leaf);
		t.q.features &= ~((off & 1 ? CASE_PAT : 0u) | (off & 2 ? CASE_PSE36 | CASE_PAGE1GB : 0u));
		t.q.hefer &= ~(off & 4 ? BIT(11) : 0);
		t.q.hcr4 &= ~(off & 8 ? BIT(4) : 0);
		for (unsigned level = leaf; level <= shapes[host].levels; level++) {
			uint64_t at = second_at(&t, t.q.va, level), good = entry_now(&t, host, at);

			for (unsigned bit = 0; bit < 8 * shapes[host].size; bit++) {
				entry_set(&t, host, at, good ^ BIT(bit));
				t.q.access = (enum case_access)(n / 12 % 3);
				if (off & 8 && host == SHAPE_32 && leaf == 2)
					continue; /* a page's address where a table's should be */
				check_plain("each bit", level, good ^ BIT(bit));
			}
			entry_set(&t, host, at, good);
		}
	}
}

/* Where 4 MiB pages have bits 39:32 of their address (MODE-5). */
Test(npt, pse36)
{
	for (unsigned bit = 13; bit <= 20; bit++) {
		start_plain(45, SHAPE_32, 2);
		second_edit(&t, t.q.va, 2, BIT(bit), 0);
		EXPECT(ask(&a, &t), LEADS(t.step[0].pa | BIT(bit + 19)), "PSE-36, bit %u", bit);
		t.q.knobs = CASE_PSE36_BY_M; /* AMD bounds it by M = 36 too */
		t.q.maxphyaddr = 36;
		EXPECT(ask(&a, &t), (bit < 17 ? LEADS(t.step[0].pa | BIT(bit + 19)) : NPFS(0x10000000d, t.q.va)),
		       "PSE-36 by M = 36, bit %u", bit);
	}
}

/* MODE-11's knob holds for the host's PDPTEs too. */
Test(npt, pdpte_bit8)
{
	for (unsigned n = 0; n < 2 * 2 * 2; n++) {
		bool knob = n & 1, page = n & 2;

		start_plain(45, n & 4 ? SHAPE_5 : SHAPE_4, page ? 3 : 1);
		t.q.knobs = knob ? CASE_PDPTE_BIT8 : 0;
		second_edit(&t, t.q.va, 3, BIT(8), 0);
		EXPECT(ask(&a, &t), (knob && !page ? NPFS(0x10000000d, t.q.va) : LEADS(t.step[0].pa)),
		       "PDPTE bit 8: knob %d, page %d", knob, page);
	}
}

/* The root, nCR3: MODE-3, MODE-7. */
Test(npt, root)
{
	static const struct {
		enum shape host;
		unsigned m;
		uint64_t set;
		enum what what; /* NPF: it is another root, which is empty */
	} rows[] = {
		{ SHAPE_4, 45, 0xfff, TO }, { SHAPE_5, 45, 0xfff, TO }, { SHAPE_32, 45, 0xfff, TO },
		{ SHAPE_PAE, 45, 0x1f, TO },
		{ SHAPE_PAE, 45, 0x20, NPF }, { SHAPE_PAE, 45, 0x800, NPF },
		{ SHAPE_4, 45, BIT(44), NPF }, { SHAPE_4, 45, BIT(45), BAD_STATE }, { SHAPE_5, 45, BIT(63), BAD_STATE },
		{ SHAPE_4, 52, BIT(51), NPF }, { SHAPE_5, 52, BIT(52), BAD_STATE },
		{ SHAPE_PAE, 45, BITS(63, 32), TO }, { SHAPE_32, 45, BITS(63, 32), TO },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		start_plain(rows[i].m, rows[i].host, 1);
		t.q.ncr3 |= rows[i].set;
		EXPECT_NUMBER(ask(&a, &t).what, rows[i].what, "%s: nCR3 0x%llx, M %u", shapes[rows[i].host].name,
			      HEX(t.q.ncr3), rows[i].m);
	}
}

/* Bits of a GPA above what the host's format translates are ignored. */
Test(npt, high_addresses)
{
	static const int width[] = { [SHAPE_32] = 32, [SHAPE_PAE] = 32, [SHAPE_4] = 48, [SHAPE_5] = 57 };

	for (size_t h = 0; h < COUNT(hosts); h++)
		for (int bit = width[hosts[h]] - 1; bit < 64; bit++) {
			start_plain(52, hosts[h], 1);
			t.q.va ^= BIT(bit);
			EXPECT(ask(&a, &t), (bit >= width[hosts[h]] ? LEADS(t.step[0].pa) : NPFS(0x100000004, t.q.va)),
			       "%s: bit %d", shapes[hosts[h]].name, bit);
			EXPECT_NUMBER(ask_with(&a, &t.q, KVM).what, bit >= width[hosts[h]] ? TO : NPF,
				      "%s: bit %d, KVM", shapes[hosts[h]].name, bit); /* deviation 5 */
		}
}

/* Registers with which VMRUN fails. */
Test(npt, bad_hosts)
{
	static const struct { uint64_t cr0, cr4, efer; bool good; unsigned without; } rows[] = {
		{ 0x80000001, 0x20, 0xd00, true, 0 }, { 0x80000001, 0x1020, 0xd00, true, 0 },
		{ 0x80000001, 0x20, 0x800, true, 0 },
		{ 0x80000001, 0, 0, true, 0 },
		{ 0x00000001, 0x20, 0x100, false, 0 },             /* no paging at all */
		{ 0x00000001, 0, 0, false, 0 }, { 0x80000000, 0, 0, false, 0 },
		{ 0x80000001, 0x20, 0x100, false, 0 },             /* LME and PG without LMA */
		{ 0x80000001, 0x20, 0x400, false, 0 }, { 0x80000001, 0, 0x500, false, 0 },
		{ 0xa0000001, 0x20, 0xd00, false, 0 },             /* NW without CD */
		{ 0x180000001, 0x20, 0xd00, false, 0 },
		{ 0x80000001, 0x1020, 0xd00, false, CASE_LA57 }, { 0x80000001, 0x20, 0xd00, false, CASE_NX },
		{ 0x80000001, 0x20, 0, false, CASE_PAE }, { 0x80000001, 0x100020, 0x500, false, CASE_SMEP },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		start_plain(45, SHAPE_4, 1);
		t.q.features &= ~rows[i].without;
		t.q.hcr0 = rows[i].cr0, t.q.hcr4 = rows[i].cr4, t.q.hefer = rows[i].efer;
		EXPECT_NUMBER(ask(&a, &t).what != BAD_STATE, rows[i].good,
			      "hCR0 0x%llx, hCR4 0x%llx, hEFER 0x%llx, without 0x%x", HEX(rows[i].cr0),
			      HEX(rows[i].cr4), HEX(rows[i].efer), rows[i].without);
	}
}

/* The host's format is the host's: a guest with and without NXE, PSE and LA57 sees the same (NPT-1). */
Test(npt, guest_registers_play_no_part)
{
	static const enum shape guests[] = { SHAPE_32, SHAPE_PAE, SHAPE_4, SHAPE_5 };

	for (size_t h = 0; h < COUNT(hosts); h++)
		for (size_t g = 0; g < COUNT(guests); g++)
			for (unsigned n = 0; n < 2 * 2; n++) {
				bool guest_nxe = n & 1, host_nxe = n & 2;
				struct outcome want;

				tables_start(&t, CASE_AMD, 51, guests[g], hosts[h], false);
				tables_guest(&t, 0x23456789, 1, guests[g] == SHAPE_PAE); /* MODE-8 */
				t.q.efer = (t.q.efer & ~BIT(11)) | (guest_nxe ? BIT(11) : 0);
				t.q.hefer = (t.q.hefer & ~BIT(11)) | (host_nxe ? BIT(11) : 0);
				t.q.access = CASE_FETCH;
				if (hosts[h] != SHAPE_32) {
					second_edit(&t, guest_gpa(&t, 0), 1, BIT(63), 0);
					want = NPFS(host_nxe ? 0x100000015 : 0x10000000d, guest_gpa(&t, 0));
				} else {
					second_edit(&t, guest_gpa(&t, 0), 1, 0, 1);
					want = NPFS(host_nxe ? 0x100000014 : 0x100000004, guest_gpa(&t, 0));
				}
				EXPECT(ask(&a, &t), want, "%s, NXE %d and %d", t.name, guest_nxe, host_nxe);
				EXPECT_NUMBER(a.run.walk.nested.max_level, shapes[hosts[h]].levels, "%s: depth",
					      t.name);
			}
}

/* ---- NPT-2, NPT-4, NPT-7: rights --------------------------------------------------------------------------------- */

/*
 * All rights of three levels (two of 32-bit and PAE tables, whose PDPTE has none) for each access, with and without
 * GMET, in each format, against a predicate.
 */
static void check_rights(bool gmet)
{
	for (size_t h = 0; h < COUNT(hosts); h++) {
		unsigned levels = hosts[h] < SHAPE_4 ? 2 : 3;
		uint64_t at[3], good[3];
		struct kvm_pagewalk *w = &a.run.second.walk;

		start_plain(45, hosts[h], 1);
		t.q.gmet = gmet;
		for (unsigned l = 0; l < levels; l++) {
			at[l] = second_at(&t, t.q.va, l + 1);
			good[l] = entry_now(&t, hosts[h], at[l]) & ~(uint64_t)7;
		}
		cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
		for (unsigned n = 0; n < 1u << 3 * levels; n++) {
			unsigned all = 7;

			for (unsigned l = 0; l < levels; l++) {
				unsigned p = n >> 3 * l & 7; /* W, U, X */

				if (hosts[h] == SHAPE_32)
					p |= 4; /* no NX */
				all &= p;
				case_store(&t.q.memory, a.value, at[l], shapes[hosts[h]].size,
					   good[l] | 1 | (p & 3) << 1 | (p & 4 ? 0 : BIT(63)));
			}
			for (unsigned access = 0; access < 16; access++) {
				bool table = access % 4 == 3, write = access % 4 == 1 || table, fetch = access % 4 == 2;
				bool user = access & 4 || table; /* NPT-2: a table's is a user's write */
				bool writable = all & 1, us = all & 2, x = all & 4, ok;
				uint64_t code = 1u | (write ? 2 : 0) | (user || !gmet ? 4 : 0);
				struct outcome o;

				if (gmet) /* NPT-7 */
					ok = (!write || writable) && (!fetch || (x && (user || !us)));
				else
					ok = us && (!write || writable) && (!fetch || x);
				if (fetch && hosts[h] != SHAPE_32)
					code |= 0x10; /* hNXE */
				w->rflags = access & 8 ? BIT(18) : 0; /* AC: no part either */
				o = ask_walker(&a, w, t.q.va, access_bits(write, fetch, user) |
					       (table ? PAGEWALK_PFERR_GUEST_PAGE : PAGEWALK_PFERR_GUEST_FINAL));
				EXPECT(o, (ok ? LEADS(t.step[0].pa) : NPFS(code | (table ? BIT(33) : BIT(32)), t.q.va)),
				       "%s: levels' XUW 0%03o, GMET %d, access %u", shapes[hosts[h]].name, n, gmet,
				       access);
				if (o.what == NPF)
					EXPECT_NUMBER(a.run.walk.fault.rule,
						      gmet && fetch ? PAGEWALK_RULE(NPT, 7) : PAGEWALK_RULE(NPT, 4),
						      "the rule");
			}
		}
	}
}

Test(npt, rights)
{
	check_rights(false);
}

Test(npt, rights_gmet)
{
	check_rights(true);
}

/* A cached translation's rights: every access against all sixteen, of which bit 3 has no meaning here. */
Test(npt, permission_fault)
{
	for (unsigned gmet = 0; gmet < 2; gmet++) {
		start_plain(45, SHAPE_4, 1);
		t.q.gmet = gmet;
		cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
		for (unsigned n = 0; n < 16 * 16; n++) {
			bool write = n & 1, user = n & 2, fetch = n & 8, x = n & 0x10, w = n & 0x20, us = n & 0x40, ok;

			if (write && fetch)
				continue; /* no such access */
			if (gmet)
				ok = fetch ? x && (user || !us) : !write || w;
			else
				ok = us && (fetch ? x : !write || w); /* NPT-2: a user's in any case */
			a.run.second.walk.rflags = n & 4 ? BIT(18) : 0; /* AC */
			EXPECT_NUMBER(pagewalk_permission_fault(&a.run.second.walk, n >> 4, 0,
								access_bits(write, fetch, user)) == 0,
				      ok, "rights 0x%x, access 0x%x, GMET %u", n >> 4, n & 15, gmet);
		}
	}
}

/* hCR0.WP, hCR4.SMEP, SMAP and PKE: on or off, the same rights (NPT-4); and the same code, as hEFER.NXE is on. */
Test(npt, host_protections_play_no_part)
{
	for (unsigned n = 0; n < 16 * 16 * 6; n++) {
		unsigned access = n / 256, p = n >> 4 & 7;
		struct outcome plain;

		start_plain(45, n >> 7 & 1 ? SHAPE_4 : SHAPE_PAE, 1);
		t.q.access = (enum case_access)(access / 2);
		t.q.user = access & 1;
		second_edit(&t, t.q.va, 1, p & 4 ? 0 : BIT(63), ~p << 1 & 6);
		t.q.hcr0 &= ~BIT(16);
		plain = ask(&a, &t);
		t.q.hcr0 |= n & 1 ? BIT(16) : 0;
		t.q.hcr4 |= (n & 2 ? BIT(20) : 0) | (n & 4 ? BIT(21) : 0) | (n & 8 ? BIT(22) : 0);
		EXPECT(ask(&a, &t), plain, "%s: hCR0 0x%llx, hCR4 0x%llx, entry 0x%x, kind %d, user %d",
		       shapes[t.second].name, HEX(t.q.hcr0), HEX(t.q.hcr4), p, (int)t.q.access, t.q.user);
		EXPECT_NUMBER(plain.what == TO,
			      (p & 2) && (t.q.access == CASE_WRITE ? p & 1 : t.q.access == CASE_READ || p & 4) ? 1 : 0,
			      "entry 0x%x, kind %d", p, (int)t.q.access);
	}
}

/* A nested leaf's protection key means nothing, whatever PKRU is. */
Test(npt, no_keys)
{
	start_plain(45, SHAPE_4, 1);
	second_edit(&t, t.q.va, 1, BITS(62, 59), 0);
	t.q.hcr4 |= BIT(22);
	cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
	a.run.second.walk.pkru = ~(uint32_t)0;
	EXPECT_NUMBER(pagewalk_translate(&a.run.guest.walk, t.q.va, PAGEWALK_ACCESS_WRITE, &a.run.walk), PAGEWALK_OK,
		      "key 15");
}

/* GMET: tables are a user's writes as ever; the access itself has the guest's own privilege, in the code too. */
Test(npt, gmet_known)
{
	static const struct {
		unsigned guest_level;
		uint64_t set, clear;   /* in the nested leaf */
		enum case_access access;
		bool user, implicit;
		uint64_t want;         /* 0: it goes through */
	} rows[] = {
		{ 0, 0, 1, CASE_READ, false, false, 0x100000000 }, { 0, 0, 1, CASE_READ, true, false, 0x100000004 },
		{ 0, 0, 1, CASE_WRITE, false, false, 0x100000002 }, { 0, 0, 1, CASE_FETCH, false, false, 0x100000010 },
		{ 0, 0, 1, CASE_READ, true, true, 0x100000000 },         /* implicit: the system's own */
		{ 0, 0, 0, CASE_FETCH, false, false, 0x100000011 }, { 0, 0, 0, CASE_FETCH, true, false, 0 },
		{ 0, 0, 4, CASE_FETCH, false, false, 0 }, { 0, 0, 4, CASE_FETCH, true, false, 0 },
		{ 0, BIT(63), 4, CASE_FETCH, false, false, 0x100000011 },
		{ 0, BIT(63), 4, CASE_FETCH, true, false, 0x100000015 },
		{ 0, 0, 4, CASE_READ, true, false, 0 }, { 0, 0, 4, CASE_WRITE, false, false, 0 },
		{ 0, 0, 6, CASE_WRITE, false, false, 0x100000003 }, { 0, 0, 2, CASE_WRITE, true, false, 0x100000007 },
		{ 0, BIT(51), 0, CASE_FETCH, false, false, 0x100000019 },
		{ 3, 0, 1, CASE_READ, false, false, 0x200000006 }, { 3, 0, 2, CASE_FETCH, false, false, 0x200000007 },
		{ 3, BIT(51), 0, CASE_READ, false, false, 0x20000000f }, { 3, 0, 4, CASE_FETCH, true, false, 0 },
		{ 1, BIT(63), 0, CASE_FETCH, false, false, 0x100000011 }, /* the table is; the access isn't */
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct outcome want;

		start_long(CASE_AMD);
		t.q.gmet = true;
		t.q.access = rows[i].access;
		t.q.user = rows[i].user;
		t.q.implicit = rows[i].implicit;
		second_edit(&t, guest_gpa(&t, rows[i].guest_level), 1, rows[i].set, rows[i].clear);
		want = LEADS(t.step[4].pa);
		if (rows[i].want)
			want = NPFS(rows[i].want, guest_gpa(&t, rows[i].want >> 33 ? rows[i].guest_level : 0));
		EXPECT(ask(&a, &t), want, "GMET: guest level %u, set 0x%llx, clear 0x%llx, %s, user %d, implicit %d",
		       rows[i].guest_level, HEX(rows[i].set), HEX(rows[i].clear), kind_name(rows[i].access),
		       rows[i].user, rows[i].implicit);
	}
}

/* ---- NPT-2: flags ------------------------------------------------------------------------------------------------ */

/* The nested entries get A; leaves D too, for a guest's table or a write. PAE's PDPTEs have no flags (AD-3). */
Test(npt, accessed_dirty)
{
	for (size_t h = 0; h < COUNT(hosts); h++)
		for (int access = CASE_READ; access <= CASE_FETCH; access++) {
			uint64_t want[CASE_MAX_WORDS];

			tables_start(&t, CASE_AMD, 51, SHAPE_32, hosts[h], false);
			tables_guest(&t, 0x23456789, 1, false);
			t.q.access = (enum case_access)access;
			memcpy(want, t.q.memory.value, t.q.memory.count * sizeof(*want));
			for (unsigned i = 0; i < t.steps; i++) {
				bool written = t.step[i].level || access == CASE_WRITE;

				for (unsigned level = 1; level <= shapes[hosts[h]].levels; level++)
					if (hosts[h] != SHAPE_PAE || level < 3)
						flag_entry(&t, want, hosts[h], second_at(&t, t.step[i].gpa, level),
							   level == 1 && written ? 0x60 : 0x20);
				if (t.step[i].level)
					flag_entry(&t, want, SHAPE_32, t.step[i].pa,
						   t.step[i].level == 1 && access == CASE_WRITE ? 0x60 : 0x20);
			}
			EXPECT(ask(&a, &t), LEADS(t.step[2].pa), "%s, %s", shapes[hosts[h]].name,
			       kind_name(t.q.access));
			EXPECT_MEMORY(&t, a.value, want, "%s, %s", shapes[hosts[h]].name, kind_name(t.q.access));
			EXPECT_NUMBER(a.run.reads, 2 * (shapes[hosts[h]].levels + 1) + shapes[hosts[h]].levels,
				      "%s: reads", shapes[hosts[h]].name);
		}
}

/* ---- NPT-6: order ------------------------------------------------------------------------------------------------ */

Test(npt, order)
{
	/* The guest's entry of a level is edited, and the nested leaf for a level; which of them stops a write? */
	static const struct {
		unsigned guest_level;
		uint64_t guest_set, guest_clear;
		unsigned nested_step;
		uint64_t nested_set, nested_clear;
		struct outcome want; /* PF: at the address; NPF: at the step's GPA */
		uint64_t accessed;   /* guest levels that have A when it is set as walked: bit n = level n */
	} rows[] = {
		{ 4, 0, 1, 3, 0, 1, { PF, 6, 0 }, 0 }, /* guest's P before the next table's nested fault */
		/* the table that can't be reached is not looked at */
		{ 3, 0, 1, 3, 0, 1, { NPF, 0x200000006, 0 }, 0x10 },
		{ 3, BIT(51), 0, 3, 0, 2, { NPF, 0x200000007, 0 }, 0x10 },
		{ 3, BIT(51), 0, 2, 0, 2, { PF, 0xf, 0 }, 0x10 },              /* guest's RSVD before the next table */
		{ 4, 0, 2, 1, BIT(51), 0, { NPF, 0x20000000f, 0 }, 0x1c },     /* guest's rights after the last table */
		{ 4, 0, 2, 0, BIT(51), 0, { PF, 7, 0 }, 0x1c },                /* but before the final access */
		{ 1, 0, 4, 0, 0, 1, { PF, 7, 0 }, 0x1c },
		{ 1, 0, 1, 0, 0, 1, { PF, 6, 0 }, 0x1c },
		{ 2, 0, 0, 0, 0, 2, { NPF, 0x100000007, 0 }, 0x1c },
		{ 2, 0, 0, 1, 0, 2, { NPF, 0x200000007, 0 }, 0x1c },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		for (unsigned as_walked = 0; as_walked < 2; as_walked++) {
			struct outcome want = rows[i].want;

			start_long(CASE_AMD);
			t.q.user = true;
			t.q.access = CASE_WRITE;
			t.q.knobs = as_walked ? CASE_AD_AS_WALKED : 0;
			want.at = want.what == PF ? t.q.va : guest_gpa(&t, rows[i].nested_step);
			second_edit(&t, guest_gpa(&t, rows[i].nested_step), 1, rows[i].nested_set,
				    rows[i].nested_clear);
			tables_edit(&t, rows[i].guest_level, rows[i].guest_set, rows[i].guest_clear);
			EXPECT(ask(&a, &t), want, "order, row %u", (unsigned)i);
			for (unsigned level = 1; level <= 4; level++) /* NPT-6: A set as walked; never D */
				EXPECT_NUMBER(entry_get(&t, a.value, SHAPE_4, t.step[4 - level].pa) & 0x60,
					      as_walked && rows[i].accessed >> level & 1 ? 0x20 : 0,
					      "order, row %u, as walked %u, flags of level %u", (unsigned)i, as_walked,
					      level);
		}
}

/* ---- MODE-8: a PAE guest's PDPTEs -------------------------------------------------------------------------------- */

/* A PAE guest on hardware: CR3's table is read at every walk, through the second stage, like any other. */
Test(npt, mode_8_pdptes_are_memory)
{
	static const struct {
		const char *name;
		uint64_t set, clear;     /* in the PDPTE that the address uses */
		uint64_t other;          /* set in another one */
		uint64_t nested_set, nested_clear; /* in the nested leaf of CR3's page */
		struct outcome want;     /* NPF: at the PDPTE; TO: where it should lead */
	} rows[] = {
		{ "good", 0, 0, 0, 0, 0, { TO, 0, 0 } },
		{ "absent", 0, 1, 0, 0, 0, { PF, 0, 0 } },
		{ "reserved bit 1", BIT(1), 0, 0, 0, 0, { PF, 9, 0 } },
		{ "reserved bit 51", BIT(51), 0, 0, 0, 0, { PF, 9, 0 } },
		{ "another one is reserved", 0, 0, BIT(1), 0, 0, { TO, 0, 0 } },
		{ "nested: absent", 0, 0, 0, 0, 1, { NPF, 0x200000006, 0 } },
		{ "nested: read-only", 0, 0, 0, 0, 2, { NPF, 0x200000007, 0 } },
		{ "nested: reserved", 0, 0, 0, BIT(51), 0, { NPF, 0x20000000f, 0 } },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		for (unsigned registers = 0; registers < 2; registers++) { /* stale ones, which the CPU has not */
			struct outcome want = rows[i].want;
			uint64_t other;

			tables_start(&t, CASE_AMD, 51, SHAPE_PAE, SHAPE_4, false);
			tables_guest(&t, 0x23456789, 1, true);
			want.at = want.what == NPF ? guest_gpa(&t, 3) : want.what == PF ? t.q.va : 0;
			want.code = want.what == TO ? t.step[3].pa : want.code;
			second_edit(&t, guest_gpa(&t, 3), 1, rows[i].nested_set, rows[i].nested_clear);
			tables_edit(&t, 3, rows[i].set, rows[i].clear);
			other = (t.step[0].pa & ~(uint64_t)0x1f) + 24;
			entry_set(&t, SHAPE_PAE, other, rows[i].other | 1);
			t.q.has_pdpte = registers;
			EXPECT(ask(&a, &t), want, "MODE-8: %s, stale registers %u", rows[i].name, registers);
		}
}

/* ---- KVM --------------------------------------------------------------------------------------------------------- */

static void check_quirk(const char *name, uint64_t quirk, struct outcome hw, struct outcome hw_quirk,
			struct outcome kvm_not, struct outcome kvm)
{
	EXPECT(ask_with(&a, &t.q, 0), hw, "%s: hardware", name);
	EXPECT(ask_with(&a, &t.q, quirk), hw_quirk, "%s: hardware with the quirk", name);
	EXPECT(ask_with(&a, &t.q, KVM & ~quirk), kvm_not, "%s: KVM without the quirk", name);
	EXPECT(ask_with(&a, &t.q, KVM), kvm, "%s: KVM", name);
	t.q.profile = CASE_KVM_AMD;
	EXPECT(ask(&a, &t), kvm, "%s: kvm-amd", name);
	t.q.profile = CASE_AMD;
}

/* For a nested walk the I/D bit goes by NXE or SMEP in any case. */
Test(npt, kvm_1_id)
{
	start_plain(45, SHAPE_32, 1);
	t.q.hefer |= BIT(11);
	t.q.access = CASE_FETCH;
	second_edit(&t, t.q.va, 1, 0, 1);
	check_quirk("1", PAGEWALK_QUIRK_KVM_ID, NPFS(0x100000014, t.q.va), NPFS(0x100000014, t.q.va),
		    NPFS(0x100000014, t.q.va), NPFS(0x100000014, t.q.va));
}

Test(npt, kvm_2_pse36)
{
	for (unsigned bit = 13; bit <= 20; bit++)
		for (unsigned has = 0; has < 2; has++) {
			struct outcome to, no;

			start_plain(45, SHAPE_32, 2);
			t.q.features &= has ? ~0u : ~(unsigned)CASE_PSE36;
			second_edit(&t, t.q.va, 2, BIT(bit), 0);
			to = LEADS(t.step[0].pa | BIT(bit + 19));
			no = NPFS(0x10000000d, t.q.va);
			check_quirk("2", PAGEWALK_QUIRK_KVM_PSE36, has ? to : no, bit < 17 ? to : no, has ? to : no,
				    bit < 17 ? to : no);
		}
}

Test(npt, kvm_4_page_base)
{
	uint64_t gpa;

	start_long(CASE_AMD);
	gpa = guest_gpa(&t, 0);
	second_edit(&t, gpa, 1, 0, 1);
	check_quirk("4", PAGEWALK_QUIRK_KVM_PAGE_BASE, NPFS(0x100000004, gpa),
		    NPFS(0x100000004, gpa & ~(uint64_t)0xfff), NPFS(0x100000004, gpa),
		    NPFS(0x100000004, gpa & ~(uint64_t)0xfff));
	start_long(CASE_AMD);
	gpa = guest_gpa(&t, 3);
	second_edit(&t, gpa, 2, BIT(51), 0);
	check_quirk("4, table", PAGEWALK_QUIRK_KVM_PAGE_BASE, NPFS(0x20000000f, gpa),
		    NPFS(0x20000000f, gpa & ~(uint64_t)0xfff), NPFS(0x20000000f, gpa),
		    NPFS(0x20000000f, gpa & ~(uint64_t)0xfff));
	start_plain(45, SHAPE_4, 1); /* without guest paging, the whole address in any case */
	second_edit(&t, t.q.va, 1, 0, 1);
	check_quirk("4, paging off", PAGEWALK_QUIRK_KVM_PAGE_BASE, NPFS(0x100000004, t.q.va), NPFS(0x100000004, t.q.va),
		    NPFS(0x100000004, t.q.va), NPFS(0x100000004, t.q.va));
}

Test(npt, kvm_7_no_memory)
{
	for (unsigned level = 2; level <= 4; level++)
		for (int access = CASE_READ; access <= CASE_FETCH; access++) {
			uint64_t code = 0x100000004;
			struct outcome nothing;

			code |= access == CASE_WRITE ? 2 : access == CASE_FETCH ? 0x10 : 0;
			start_plain(45, SHAPE_4, 1);
			t.q.access = (enum case_access)access;
			t.q.memory.size = BIT(44) + BIT(43);
			second_edit(&t, t.q.va, level, BIT(43), 0);
			nothing = (struct outcome){ NO_MEMORY, 0, second_at(&t, t.q.va, level - 1) };
			check_quirk("7", PAGEWALK_QUIRK_KVM_NOT_PRESENT, nothing, NPFS(code, t.q.va), nothing,
				    NPFS(code, t.q.va));
		}
}

/* 8: NPT: the error code and bit 32 or 33, as the hardware has it. */
Test(npt, kvm_8_exit_info)
{
	uint64_t gpa;

	for (unsigned level = 0; level <= 4; level++) {
		start_long(CASE_AMD);
		gpa = guest_gpa(&t, level);
		second_edit(&t, gpa, 1, 0, 6);
		t.q.access = CASE_FETCH;
		check_quirk("8", PAGEWALK_QUIRK_KVM_EXIT_INFO, NPFS(level ? 0x200000007 : 0x100000015, gpa),
			    NPFS(level ? 0x200000007 : 0x100000015, gpa),
			    NPFS(level ? 0x200000007 : 0x100000015, gpa & ~(uint64_t)0xfff),
			    NPFS(level ? 0x200000007 : 0x100000015, gpa & ~(uint64_t)0xfff));
	}
}

/* 9: U in the nested walk: always, unless GMET. */
Test(npt, kvm_9_user)
{
	for (unsigned n = 0; n < 8; n++)
		for (unsigned kvm = 0; kvm < 2; kvm++) {
			bool gmet = n & 1, user = n & 2, supervisor_page = n & 4;

			if (user && supervisor_page)
				continue;
			start_long(CASE_AMD);
			t.q.gmet = gmet;
			t.q.user = user;
			tables_edit(&t, 1, 0, supervisor_page ? 4 : 0);
			EXPECT_NUMBER(ask_with(&a, &t.q, kvm ? KVM : 0).what, TO, "9: user %d, GMET %d", user, gmet);
			EXPECT_NUMBER((a.run.walk.nested.access & PAGEWALK_ACCESS_USER) != 0, user || !gmet,
				      "9: user %d, GMET %d, nested.access", user, gmet);
		}
}

Test(npt, kvm_10_bit8)
{
	for (unsigned level = 2; level <= 5; level++) {
		struct outcome to, no;

		start_plain(45, SHAPE_5, 1);
		second_edit(&t, t.q.va, level, BIT(8), 0);
		to = LEADS(t.step[0].pa);
		no = NPFS(0x10000000d, t.q.va);
		EXPECT(ask_with(&a, &t.q, 0), (level >= 4 ? no : to), "10: hardware, level %u", level);
		EXPECT(ask_with(&a, &t.q, KVM), (level >= 4 ? no : to), "10: KVM, level %u", level);
	}
}

Test(npt, kvm_11_pat)
{
	static const struct { enum shape host; unsigned leaf, bit; } rows[] = {
		{ SHAPE_32, 1, 7 }, { SHAPE_32, 2, 12 }, { SHAPE_PAE, 1, 7 }, { SHAPE_PAE, 2, 12 }
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct outcome to, no;

		start_plain(45, rows[i].host, rows[i].leaf);
		t.q.features &= ~(unsigned)CASE_PAT;
		second_edit(&t, t.q.va, rows[i].leaf, BIT(rows[i].bit), 0);
		to = LEADS(t.step[0].pa);
		no = NPFS(0x10000000d, t.q.va);
		check_quirk("11, PAT", PAGEWALK_QUIRK_KVM_NO_PAT, no, to, no, to);
	}
}

/* PDPTEs of a nested PAE table: reserved bits are not checked; P is. */
Test(npt, kvm_11_nested_pdptes)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		struct outcome to, no;
		bool reserved = bit == 1 || bit == 2 || (bit >= 5 && bit <= 8) || bit >= 45;

		if (bit >= 12 && bit < 52)
			continue; /* the address */
		start_plain(45, SHAPE_PAE, 1);
		second_edit(&t, t.q.va, 3, bit ? BIT(bit) : 0, bit ? 0 : 1);
		to = bit ? LEADS(t.step[0].pa) : NPFS(0x100000004, t.q.va);
		no = reserved ? NPFS(0x10000000d, t.q.va) : to;
		check_quirk("11, PDPTE", PAGEWALK_QUIRK_KVM_NPT_PDPTE, no, to, no, bit ? to : no);
	}
}

/* The root of a nested PAE table: bits of nCR3 over 31 count for KVM, up to MAXPHYADDR; 4:0 for nobody. */
Test(npt, kvm_14_nested_pae_root)
{
	for (unsigned bit = 0; bit < 45; bit++) {
		struct outcome here, away;

		if (bit >= 5 && bit < 32)
			continue; /* it is another table for everybody */
		start_plain(45, SHAPE_PAE, 1);
		t.q.ncr3 |= BIT(bit);
		here = LEADS(t.step[0].pa);
		away = NPFS(0x100000004, t.q.va); /* where there is memory, and no table */
		t.q.memory.size = BIT(46);
		check_quirk("14", PAGEWALK_QUIRK_KVM_ROOT, here, bit < 5 ? here : away, here, bit < 5 ? here : away);
	}
	for (unsigned n = 0; n < 2; n++) { /* over MAXPHYADDR: refused */
		const struct outcome bad = { BAD_STATE, 0, 0 };

		start_plain(45, n ? SHAPE_PAE : SHAPE_32, 1);
		t.q.ncr3 |= BIT(45 + 18 * n);
		check_quirk("14, M", PAGEWALK_QUIRK_KVM_ROOT, LEADS(t.step[0].pa), bad, LEADS(t.step[0].pa), bad);
	}
}

/* The same of a guest's PDPTEs, in one dimension too: where bits of CR3 over 31 lead, there are zeros. */
Test(npt, kvm_14_pae_root)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		struct outcome here, away;

		if (bit >= 5 && bit < 32)
			continue;
		tables_start(&t, CASE_AMD, 45, SHAPE_PAE, SHAPE_OFF, false);
		tables_guest(&t, 0x23456789, 1, true);
		t.q.cr3 |= BIT(bit);
		here = LEADS(t.step[3].pa);
		away = (struct outcome){ PF, 0, t.q.va };
		if (t.q.cr3 < t.q.memory.size)
			check_quirk("14, guest", PAGEWALK_QUIRK_KVM_ROOT, here, bit < 5 ? here : away, here, bit < 5 ? here : away);
		else /* no memory: for KVM a load that fails (KVM-11) */
			check_quirk("14, guest", PAGEWALK_QUIRK_KVM_ROOT, here, (struct outcome){ NO_MEMORY, 0, t.q.cr3 }, here,
				    (struct outcome){ GP, 0, 0 });
	}
}

/* PAE guests on KVM have registers; without that, MODE-8, and other quirks have no part in it. */
Test(npt, kvm_11_pae_cached)
{
	const uint64_t quirk = PAGEWALK_QUIRK_KVM_PAE_CACHED;
	struct outcome memory, reserved, registers;

	tables_start(&t, CASE_AMD, 51, SHAPE_PAE, SHAPE_4, false);
	tables_guest(&t, 0x23456789, 1, true);
	t.q.has_pdpte = true; /* all absent */
	memory = LEADS(t.step[3].pa);
	registers = (struct outcome){ PF, 0, t.q.va };
	check_quirk("11, PAE", quirk, memory, registers, memory, registers);
	tables_edit(&t, 3, BIT(1), 0);
	t.q.pdpte[0] = 0;
	reserved = (struct outcome){ PF, 9, t.q.va };
	check_quirk("11, PAE, reserved", quirk, reserved, registers, reserved, registers);
	EXPECT(ask_with(&a, &t.q, PAGEWALK_QUIRK_KVM_NPT_PDPTE), reserved,
	       "11: a guest's PDPTE is not a nested table's");
}

/* PAE guests on KVM have registers, loaded through the nested tables; what refuses the load is #GP. */
Test(npt, kvm_11_pae_guest)
{
	const struct outcome gp = { GP, 0, 0 };

	tables_start(&t, CASE_KVM_AMD, 51, SHAPE_PAE, SHAPE_4, false);
	tables_guest(&t, 0x23456789, 1, true);
	EXPECT(ask(&a, &t), LEADS(t.step[3].pa), "load and walk");
	EXPECT_NUMBER(entry_get(&t, a.value, SHAPE_4, second_at(&t, guest_gpa(&t, 3), 1)) & 0x60, 0x60,
		      "the load writes");
	tables_edit(&t, 3, 0, ~(uint64_t)0); /* registers that are loaded already, and memory that says otherwise */
	t.q.has_pdpte = true;
	t.q.pdpte[0] = tables_gpa(&t, 1) | 1;
	EXPECT(ask(&a, &t), LEADS(t.step[3].pa), "registers");
	t.q.has_pdpte = false;
	EXPECT(ask(&a, &t), ((struct outcome){ PF, 0, t.q.va }), "load of an absent one and walk");
	tables_edit(&t, 3, 3, 0);
	EXPECT(ask(&a, &t), gp, "load of a reserved bit");
	tables_edit(&t, 3, 1, 2);
	second_edit(&t, guest_gpa(&t, 3), 1, 0, 2);
	EXPECT(ask(&a, &t), gp, "load, nested read-only");
	second_edit(&t, guest_gpa(&t, 3), 1, 2, 1);
	EXPECT(ask(&a, &t), gp, "load, nested absent");
}
