/* SPDX-License-Identifier: MIT */
/*
 * test_ept.c: the extended page tables: EPT-1 ... EPT-8, EPT-13, EPT-16, and KVM's deviations 3, 4, 5, 7, 8, 9, 10, 11
 * and 12 as far as EPT meets them. Known values are written down; large spaces go against tables2.h's judge().
 */
#include "tables2.h"

#define EPT_VA 0x123456789a30u /* another index at each level */

static struct tables t;
static struct asked a;

static const unsigned widths[] = { 36, 45, 52 };

/* The library's walker of the second stage alone. */
static struct outcome ask_second(uint64_t gpa, uint64_t access)
{
	cr_assert_eq(asked_open(&a, &t.q, library_cpu(&t.q).quirks), PAGEWALK_OK, "the walkers are refused");
	return ask_walker(&a, &a.run.second.walk, gpa, access);
}

/* A second stage without a guest's tables, and room for one page at EPT_VA. */
static void start_plain(unsigned m, enum shape second, bool ad, unsigned leaf)
{
	tables_start(&t, CASE_INTEL, m, SHAPE_OFF, second, ad);
	t.second_leaf = leaf;
	tables_guest(&t, EPT_VA & bits((int)m - 1, 0), 0, false);
}

/* ---- EPT-1: the EPTP --------------------------------------------------------------------------------------------- */

static int no_read(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	(void)w, (void)pa, (void)size, (void)gpte;
	return -1;
}

static bool eptp_accepted(uint64_t eptp, unsigned m, uint64_t features, uint64_t quirks)
{
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, (uint8_t)m, features);
	struct pagewalk_walk walk;
	struct kvm_pagewalk w;
	enum pagewalk_status status, after;

	memset(&w, 0, sizeof(w));
	w.read_gpte = no_read;
	cpu.quirks = quirks;
	status = pagewalk_init_ept(&w, &cpu, eptp, false);
	cr_assert(status == PAGEWALK_OK || status == PAGEWALK_BAD_STATE, "status %d", (int)status);
	after = pagewalk_translate(&w, 0, PAGEWALK_ACCESS_READ, &walk);
	if (after != (status == PAGEWALK_OK ? PAGEWALK_NO_MEMORY : status) && !enough())
		cr_expect(0, "eptp 0x%llx => init %d, walk %d", HEX(eptp), (int)status, (int)after);
	return status == PAGEWALK_OK;
}

#define AD PAGEWALK_FEATURE_EPT_AD
#define L5 PAGEWALK_FEATURE_EPT_5L

Test(ept, eptp_known)
{
	static const struct {
		uint64_t eptp;
		unsigned m;
		uint64_t features;
		bool good;
	} rows[] = {
		{ 0x1e, 46, 0, true },                       /* 4-level, WB */
		{ 0x18, 46, 0, true },                       /* UC */
		{ 0x19, 46, 0, false }, { 0x1a, 46, 0, false }, { 0x1b, 46, 0, false }, /* WC, reserved */
		{ 0x1c, 46, 0, false }, { 0x1d, 46, 0, false }, { 0x1f, 46, 0, false }, /* WT, WP, UC- */
		{ 0x26, 46, 0, false }, { 0x26, 46, AD, false }, { 0x26, 46, L5, true }, /* 5-level */
		{ 0x06, 46, AD | L5, false }, { 0x0e, 46, AD | L5, false }, { 0x16, 46, AD | L5, false }, /* 1, 2, 3 */
		{ 0x2e, 46, AD | L5, false }, { 0x36, 46, AD | L5, false }, { 0x3e, 46, AD | L5, false }, /* 6, 7, 8 */
		{ 0x5e, 46, AD, true }, { 0x5e, 46, L5, false }, { 0x5e, 46, 0, false }, /* A/D flags */
		{ 0x66, 46, AD | L5, true }, { 0x66, 46, AD, false }, { 0x66, 46, L5, false },
		{ 0x9e, 46, AD | L5, false },                /* SSS, which the CPU has not */
		{ 0x11e, 46, AD | L5, false }, { 0x21e, 46, AD | L5, false },
		{ 0x41e, 46, AD | L5, false }, { 0x81e, 46, AD | L5, false },
		{ 0x101e, 46, 0, true },
		{ BIT(45) | 0x1e, 46, 0, true }, { BIT(46) | 0x1e, 46, 0, false },
		{ BIT(31) | 0x1e, 32, 0, true }, { BIT(32) | 0x1e, 32, 0, false },
		{ BIT(51) | 0x1e, 52, 0, true }, { BIT(52) | 0x1e, 52, 0, false }, { BIT(63) | 0x1e, 52, 0, false },
		/* MODE-12 */
		{ BIT(51) | 0x1e, 53, 0, true }, { BIT(52) | 0x1e, 64, 0, false }, { BIT(51) | 0x1e, 255, 0, true },
		{ 0x1e, 31, 0, false }, { 0x1e, 0, 0, false },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		EXPECT_NUMBER(eptp_accepted(rows[i].eptp, rows[i].m, rows[i].features, 0), rows[i].good,
			      "eptp 0x%llx, M %u, features 0x%llx", HEX(rows[i].eptp), rows[i].m,
			      HEX(rows[i].features));
}

/* All of bits 11:0, and each higher one; with and without the capabilities, and KVM's deviation 12. */
Test(ept, eptp_each_bit)
{
	for (unsigned m = 32; m <= 54; m += 2)
		for (unsigned i = 0; i < 4096 + 64; i++) {
			uint64_t eptp = i < 4096 ? i : BIT(i - 4096) ^ 0x1e;
			uint64_t features = (m & 4 ? AD : 0) | (m & 8 ? L5 : 0);
			unsigned type = eptp & 7, length = (unsigned)(eptp >> 3 & 7) + 1;
			bool form = (type == 0 || type == 6) && !(eptp & bits(11, 7)) &&
				    !(eptp & bits(63, m > 52 ? 52 : (int)m));
			bool has = (length != 5 || (features & L5)) && (!(eptp & BIT(6)) || (features & AD));

			form = form && (length == 4 || length == 5);
			EXPECT_NUMBER(eptp_accepted(eptp, m, features, 0), form && has,
				      "eptp 0x%llx, M %u, features 0x%llx", HEX(eptp), m, HEX(features));
			EXPECT_NUMBER(eptp_accepted(eptp, m, features, PAGEWALK_QUIRK_KVM_EPTP), form,
				      "KVM_EPTP, eptp 0x%llx, M %u", HEX(eptp), m);
		}
}

static uint64_t eptp_later;

static uint64_t get_eptp(const struct kvm_pagewalk *w)
{
	(void)w;
	return eptp_later;
}

/* The root is what get_guest_pgd() says at the walk; bits that no EPTP may have are found there. */
Test(ept, eptp_at_the_walk)
{
	static const uint64_t bad[] = { BIT(7), BIT(8), BIT(11), BIT(45), BIT(51), BIT(52), BIT(63) };
	struct outcome o;

	start_plain(45, SHAPE_EPT4, false, 1);
	cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
	a.run.second.walk.get_guest_pgd = get_eptp;
	eptp_later = t.q.eptp;
	o = ask_walker(&a, &a.run.guest.walk, t.q.va, PAGEWALK_ACCESS_READ);
	EXPECT(o, ((struct outcome){ TO, t.step[0].pa, 0 }), "get_guest_pgd, the EPTP");
	eptp_later = t.q.eptp + 0x1000; /* an empty root */
	o = ask_walker(&a, &a.run.guest.walk, t.q.va, PAGEWALK_ACCESS_READ);
	EXPECT(o, VIOLATES(0x781, t.q.va), "get_guest_pgd, another root");
	for (size_t i = 0; i < COUNT(bad); i++) {
		eptp_later = t.q.eptp | bad[i];
		EXPECT_NUMBER(pagewalk_translate(&a.run.guest.walk, t.q.va, 0, &a.run.walk), PAGEWALK_BAD_STATE,
			      "EPTP 0x%llx at the walk", HEX(eptp_later));
	}
}

/* ---- EPT-2, EPT-3, EPT-4: one entry ------------------------------------------------------------------------------ */

Test(ept, entry_known)
{
	/* On the way to a page of leaf's level, the entry of a level is edited. Then a fetch meets it. */
	static const struct {
		unsigned leaf, level;
		uint64_t set, clear;
		unsigned m, without;
		bool mbec;
		enum what what;
	} rows[] = {
		{ 1, 1, 0, 0, 45, 0, false, TO },
		/* EPT-2 */
		{ 1, 1, 0, 7, 45, 0, false, VIOLATION },
		{ 1, 1, 0, 7, 45, 0, true, TO },                       /* XU alone */
		{ 1, 1, 0, 0x407, 45, 0, true, VIOLATION },
		{ 1, 5, 0, 7, 45, 0, false, VIOLATION }, { 1, 5, 0, 7, 45, 0, true, TO },
		{ 1, 2, BITS(63, 51) | 0x38, 0x407, 45, 0, true, VIOLATION }, /* not present: no other bit counts */
		/* EPT-3 a: W without R */
		{ 1, 1, 0, 1, 45, 0, false, MISCONFIG }, { 1, 1, 0, 5, 45, 0, false, MISCONFIG },
		{ 1, 1, 0, 1, 45, 0, true, MISCONFIG }, { 1, 2, 0, 1, 45, 0, false, MISCONFIG },
		{ 1, 3, 0, 1, 45, 0, false, MISCONFIG }, { 1, 4, 0, 1, 45, 0, false, MISCONFIG },
		{ 1, 5, 0, 1, 45, 0, false, MISCONFIG }, { 2, 2, 0, 1, 45, 0, false, MISCONFIG },
		{ 3, 3, 0, 1, 45, 0, false, MISCONFIG },
		/* b: execute-only */
		{ 1, 1, 0, 3, 45, 0, false, TO }, { 1, 1, 0, 3, 45, CASE_EPT_EXEC_ONLY, false, MISCONFIG },
		{ 1, 4, 0, 3, 45, 0, false, TO }, { 1, 4, 0, 3, 45, CASE_EPT_EXEC_ONLY, false, MISCONFIG },
		{ 1, 1, 0, 7, 45, CASE_EPT_EXEC_ONLY, true, MISCONFIG },
		{ 1, 1, 0, 7, 45, CASE_EPT_EXEC_ONLY, false, VIOLATION },
		{ 1, 1, 0, 2, 45, CASE_EPT_EXEC_ONLY, true, TO },
		/* c: the address's width */
		{ 1, 1, BIT(44), 0, 45, 0, false, TO }, { 1, 1, BIT(45), 0, 45, 0, false, MISCONFIG },
		{ 1, 1, BIT(51), 0, 45, 0, false, MISCONFIG }, { 1, 1, BIT(51), 0, 52, 0, false, TO },
		{ 1, 3, BIT(45), 0, 45, 0, false, MISCONFIG }, { 1, 5, BIT(51), 0, 51, 0, false, MISCONFIG },
		{ 3, 3, BIT(45), 0, 45, 0, false, MISCONFIG }, { 2, 2, BIT(45), 0, 45, 0, false, MISCONFIG },
		/* d: tables */
		{ 1, 5, BIT(3), 0, 45, 0, false, MISCONFIG }, { 1, 5, BIT(6), 0, 45, 0, false, MISCONFIG },
		{ 1, 5, BIT(7), 0, 45, 0, false, MISCONFIG }, { 1, 4, BIT(3), 0, 45, 0, false, MISCONFIG },
		{ 1, 4, BIT(6), 0, 45, 0, false, MISCONFIG }, { 1, 4, BIT(7), 0, 45, 0, false, MISCONFIG },
		{ 1, 3, BIT(3), 0, 45, 0, false, MISCONFIG }, { 1, 3, BIT(6), 0, 45, 0, false, MISCONFIG },
		{ 1, 2, BIT(3), 0, 45, 0, false, MISCONFIG }, { 1, 2, BIT(6), 0, 45, 0, false, MISCONFIG },
		{ 1, 5, BIT(8) | BIT(9) | BIT(11), 0, 45, 0, false, TO },
		{ 1, 2, BIT(8) | BIT(9) | BIT(11), 0, 45, 0, false, TO },
		{ 1, 4, BITS(63, 52), 0, 45, 0, false, TO }, { 1, 2, BITS(63, 52), 0, 45, 0, false, TO },
		/* d: bit 7 where the CPU has no page of the size */
		{ 3, 3, 0, 0, 45, 0, false, TO }, { 3, 3, 0, 0, 45, CASE_EPT_1G, false, MISCONFIG },
		{ 3, 3, 0, 0x38, 45, CASE_EPT_1G, false, MISCONFIG }, { 3, 3, 0, 0, 45, CASE_EPT_2M, false, TO },
		{ 2, 2, 0, 0, 45, 0, false, TO }, { 2, 2, 0, 0, 45, CASE_EPT_2M, false, MISCONFIG },
		{ 2, 2, 0, 0x38, 45, CASE_EPT_2M, false, MISCONFIG }, { 2, 2, 0, 0, 45, CASE_EPT_1G, false, TO },
		/* e: large pages */
		{ 3, 3, BIT(12), 0, 45, 0, false, MISCONFIG }, { 3, 3, BIT(29), 0, 45, 0, false, MISCONFIG },
		{ 3, 3, BIT(30), 0, 45, 0, false, TO },
		{ 2, 2, BIT(12), 0, 45, 0, false, MISCONFIG }, { 2, 2, BIT(20), 0, 45, 0, false, MISCONFIG },
		{ 2, 2, BIT(21), 0, 45, 0, false, TO },
		/* f: memory types */
		{ 1, 1, 0, 0x38, 45, 0, false, TO }, { 1, 1, 0x08, 0x30, 45, 0, false, TO },
		{ 1, 1, 0x10, 0x28, 45, 0, false, MISCONFIG }, { 1, 1, 0x18, 0x20, 45, 0, false, MISCONFIG },
		{ 1, 1, 0x20, 0x18, 45, 0, false, TO }, { 1, 1, 0x28, 0x10, 45, 0, false, TO },
		{ 1, 1, 0x30, 0x08, 45, 0, false, TO }, { 1, 1, 0x38, 0, 45, 0, false, MISCONFIG },
		{ 2, 2, 0x38, 0, 45, 0, false, MISCONFIG }, { 3, 3, 0x10, 0x28, 45, 0, false, MISCONFIG },
		/* EPT-4: what means nothing, or nothing here */
		{ 1, 1, BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(11) | BITS(63, 52), 0, 45, 0, false, TO },
		{ 2, 2, BIT(6) | BIT(8) | BIT(9) | BIT(11) | BITS(63, 52), 0, 45, 0, false, TO },
		{ 3, 3, BIT(6) | BIT(8) | BIT(9) | BIT(11) | BITS(63, 52), 0, 45, 0, false, TO },
		{ 1, 1, BIT(58), 3, 45, 0, false, TO },                /* g: without paging-write */
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct outcome o;

		start_plain(rows[i].m, SHAPE_EPT5, false, rows[i].leaf);
		t.q.ept_features &= ~rows[i].without;
		t.q.mbec = rows[i].mbec;
		t.q.access = CASE_FETCH;
		second_edit(&t, t.q.va, rows[i].level, rows[i].set, rows[i].clear);
		o = ask(&a, &t);
		EXPECT_NUMBER(o.what, rows[i].what,
			      "leaf %u, entry %u: set 0x%llx, clear 0x%llx, M %u, without 0x%x, MBEC %d", rows[i].leaf,
			      rows[i].level, HEX(rows[i].set), HEX(rows[i].clear), rows[i].m, rows[i].without,
			      rows[i].mbec);
		if (o.what == MISCONFIG) { /* the GPA, and no qualification */
			EXPECT_NUMBER(o.at, t.q.va, "the GPA of misconfiguration %u", (unsigned)i);
			EXPECT_NUMBER(a.run.walk.fault.rule, PAGEWALK_RULE(EPT, 3), "the rule of misconfiguration %u",
				      (unsigned)i);
			EXPECT_NUMBER(a.run.walk.nested.level, rows[i].level, "the level of misconfiguration %u",
				      (unsigned)i);
		}
	}
}

/* One access of the guest's (paging off) against judge(), with the flags that it leaves behind. */
static void check_plain(const char *name, unsigned level, uint64_t entry)
{
	struct judged j =
		judge(&t, t.q.memory.value, t.q.va, BY_ACCESS, t.q.access, t.q.user, CASE_W | CASE_X | CASE_U);
	uint64_t want[CASE_MAX_WORDS];
	unsigned rule = j.denied ? PAGEWALK_RULE(EPT, 6) : PAGEWALK_RULE(EPT, 2);
	unsigned flags;

	EXPECT(ask(&a, &t), j.outcome, "%s: entry %u 0x%llx, M %u, features 0x%x, eptp 0x%llx, MBEC %d, %s", name,
	       level, HEX(entry), t.q.maxphyaddr, t.q.ept_features, HEX(t.q.eptp), t.q.mbec,
	       kind_name(t.q.access));
	if (j.outcome.what == MISCONFIG)
		rule = PAGEWALK_RULE(EPT, 3);
	if (j.outcome.what != TO)
		EXPECT_NUMBER(a.run.walk.fault.rule, rule, "%s: the rule, entry %u 0x%llx", name, level, HEX(entry));
	memcpy(want, t.q.memory.value, t.q.memory.count * sizeof(*want));
	flags = judged_flags(&t, want, &j);
	EXPECT_MEMORY(&t, a.value, want, "%s: entry %u 0x%llx, eptp 0x%llx", name, level, HEX(entry), HEX(t.q.eptp));
	if (j.outcome.what == TO && j.reads == shapes[t.second].levels + 1 - t.second_leaf && a.run.reads == j.reads)
		EXPECT_NUMBER(a.run.writes, flags, "%s: entry %u 0x%llx, writes", name, level, HEX(entry));
}

/* Each bit of each entry, on the way to pages of all sizes, for several M and all combinations of the capabilities. */
Test(ept, entry_each_bit)
{
	for (unsigned n = 0; n < 2 * 3 * 3; n++) {
		unsigned leaf = n / 2 % 3 + 1, m = widths[n / 6];

		for (unsigned caps = 0; caps < 16; caps++) {
			start_plain(m, n & 1 ? SHAPE_EPT5 : SHAPE_EPT4, caps & 1, leaf);
			t.q.ept_features &= ~((caps & 1 ? CASE_EPT_EXEC_ONLY : 0u) | (caps & 2 ? CASE_EPT_2M : 0u) |
					      (caps & 4 ? CASE_EPT_1G : 0u));
			t.q.mbec = caps & 8;
			for (unsigned level = leaf; level <= shapes[t.second].levels; level++) {
				uint64_t at = second_at(&t, t.q.va, level), good = entry_now(&t, t.second, at);

				cr_assert(good, "no entry of level %u", level);
				for (unsigned bit = 0; bit < 64; bit++) {
					entry_set(&t, t.second, at, good ^ BIT(bit));
					t.q.access = (enum case_access)((m / 2 + bit) % 3);
					check_plain("each bit", level, good ^ BIT(bit));
				}
				entry_set(&t, t.second, at, good);
			}
		}
	}
}

/* All memory types, rights and XU in each kind of entry, with and without execute-only and MBEC, for each access. */
Test(ept, entry_types_and_rights)
{
	for (unsigned leaf = 1; leaf <= 3; leaf++)
		for (unsigned level = leaf; level <= (leaf == 1 ? 5u : leaf); level++)
			for (unsigned i = 0; i < 4; i++) {
				uint64_t at, good;

				start_plain(45, SHAPE_EPT5, i & 1, leaf);
				t.q.mbec = i & 2;
				at = second_at(&t, t.q.va, level);
				good = entry_now(&t, t.second, at);
				for (unsigned e = 0; e < 4 * 64; e++) {
					uint64_t entry = (good & ~(uint64_t)0x43f) | (e & 0x3f) | (e & 0x40) << 4;

					t.q.ept_features &= ~(unsigned)CASE_EPT_EXEC_ONLY;
					t.q.ept_features |= e & 0x80 ? CASE_EPT_EXEC_ONLY : 0;
					entry_set(&t, t.second, at, entry);
					for (int access = CASE_READ; access <= CASE_FETCH; access++) {
						t.q.access = (enum case_access)access;
						check_plain("types and rights", level, entry);
					}
				}
			}
}

/* EPT-5: at each level present, then well-formed, and rights only in the end. */
Test(ept, order_known)
{
	static const struct {
		struct { unsigned level; uint64_t set, clear; } edit[2];
		struct outcome want; /* of a write; at is added */
	} rows[] = {
		{ { { 4, 0, 2 }, { 1, BIT(51), 0 } }, { MISCONFIG, 0, 0 } },     /* misconfigured below not writable */
		{ { { 4, 0, 2 }, { 1, 0, 0x407 } }, { VIOLATION, 0x782, 0 } },   /* absent below not writable */
		{ { { 4, BIT(51), 0 }, { 3, 0, 0x407 } }, { MISCONFIG, 0, 0 } }, /* the upper one decides */
		{ { { 3, 0, 0x407 }, { 2, BIT(51), 0 } }, { VIOLATION, 0x782, 0 } },
		{ { { 2, 0, 2 }, { 1, 0x38, 0 } }, { MISCONFIG, 0, 0 } },
		/* one entry: misconfigured before not writable */
		{ { { 1, BIT(51), 2 }, { 1, 0, 0 } }, { MISCONFIG, 0, 0 } },
		/* and absent before misconfigured */
		{ { { 1, BIT(51), 0x407 }, { 1, 0, 0 } }, { VIOLATION, 0x782, 0 } },
		{ { { 4, 0, 2 }, { 2, 0, 4 } }, { VIOLATION, 0x78a, 0 } },       /* R only, together */
		/* R, and X only: nothing, yet no misconfiguration */
		{ { { 3, 0, 6 }, { 1, 0, 3 } }, { VIOLATION, 0x782, 0 } },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct outcome want = rows[i].want;

		start_plain(45, SHAPE_EPT4, false, 1);
		for (unsigned k = 0; k < 2; k++)
			second_edit(&t, t.q.va, rows[i].edit[k].level, rows[i].edit[k].set, rows[i].edit[k].clear);
		t.q.access = CASE_WRITE;
		want.at = t.q.va;
		EXPECT(ask(&a, &t), want, "order, row %u", (unsigned)i);
	}
}

Test(ept, order_all)
{
	/* good; absent; absent with all other bits; reserved; W without R; no W; no R; no X */
	static const struct { uint64_t set, clear; } ways[] = {
		{ 0, 0 }, { 0, 0x407 }, { BIT(51), 0x407 }, { BIT(51), 0 }, { 0, 1 }, { 0, 2 }, { 0, 3 }, { 0, 4 }
	};
	uint64_t at[4], good[4];

	start_plain(45, SHAPE_EPT4, true, 1);
	for (unsigned l = 0; l < 4; l++) {
		at[l] = second_at(&t, t.q.va, l + 1);
		good[l] = entry_now(&t, t.second, at[l]);
	}
	for (unsigned n = 0; n < 8 * 8 * 8 * 8; n++) {
		for (unsigned l = 0; l < 4; l++)
			entry_set(&t, t.second, at[l],
				  (good[l] | ways[n >> 3 * l & 7].set) & ~ways[n >> 3 * l & 7].clear);
		t.q.access = (enum case_access)(n % 3);
		check_plain("order", 1, n);
	}
}

/* ---- EPT-6: rights ----------------------------------------------------------------------------------------------- */

/* PAGEWALK_ACC_... of an entry's bits: execute 1, write 2, read 4, XU 8. */
static unsigned acc(unsigned entry, bool mbec)
{
	return (entry >> 2 & 1) | (entry & 2) | (entry & 1) << 2 | (mbec ? entry >> 7 & 8 : 0);
}

/* The AND of the levels: each access, from a supervisor-mode and from a user-mode address, without and with MBEC. */
Test(ept, rights_over_levels)
{
	/* XU X W R, as bit 10 and bits 2:0; all that are no misconfiguration */
	static const unsigned rights[] = { 0x1, 0x3, 0x5, 0x7, 0x401, 0x403, 0x405, 0x407, 0x4, 0x400, 0x404 };
	static const unsigned levels[] = { 4, 2, 1 };
	uint64_t at[3], good[3];

	start_plain(45, SHAPE_EPT4, false, 1);
	for (unsigned l = 0; l < 3; l++) {
		at[l] = second_at(&t, t.q.va, levels[l]);
		good[l] = entry_now(&t, t.second, at[l]) & ~(uint64_t)0x407;
	}
	for (unsigned mbec = 0; mbec < 2; mbec++) {
		t.q.mbec = mbec;
		cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
		for (unsigned n = 0; n < 11 * 11 * 11; n++) {
			unsigned p[] = { rights[n % 11], rights[n / 11 % 11], rights[n / 121] };

			for (unsigned l = 0; l < 3; l++)
				case_store(&t.q.memory, a.value, at[l], 8, good[l] | p[l]);
			for (unsigned access = 0; access < 6; access++) {
				unsigned user = access & 1;
				enum case_access kind = (enum case_access)(access / 2);
				struct judged j = judge(&t, a.value, t.q.va, BY_ACCESS, kind, false,
							CASE_W | CASE_X | (user ? CASE_U : 0));
				struct outcome o =
					ask_walker(&a, &a.run.second.walk, t.q.va,
						   PAGEWALK_PFERR_GUEST_FINAL |
							   access_bits(kind == CASE_WRITE, kind == CASE_FETCH, user));

				/* Without a guest's walk bits 11:9 are those of paging off. */
				j.outcome.code |= j.outcome.what == VIOLATION ? BIT(9) : 0;
				EXPECT(o, j.outcome, "entries 0x%x 0x%x 0x%x, MBEC %u, kind %d, user %u", p[0], p[1],
				       p[2], mbec, (int)kind, user);
				if (o.what == TO) {
					unsigned all = p[0] & p[1] & p[2];

					EXPECT_NUMBER(a.run.walk.nested.pte_access, acc(all, mbec),
						      "pte_access of 0x%x, MBEC %u", all, mbec);
					for (unsigned level = 1; level <= 4; level++) { /* what is above it allows */
						unsigned above = level == 4 ? 0x407 : level > 1 ? p[0] : p[0] & p[1];

						EXPECT_NUMBER(a.run.walk.nested.pt_access[level - 1], acc(above, mbec),
							      "pt_access[%u], above 0x%x, MBEC %u", level - 1, above,
							      mbec);
					}
				}
			}
		}
	}
}

/* A cached translation's rights: every access against all sixteen. */
Test(ept, permission_fault)
{
	for (unsigned mbec = 0; mbec < 2; mbec++) {
		start_plain(45, SHAPE_EPT4, false, 1);
		t.q.mbec = mbec;
		cr_assert_eq(asked_open(&a, &t.q, 0), PAGEWALK_OK, "the walkers are refused");
		for (unsigned n = 0; n < 16 * 16; n++) {
			bool write = n & 1, user = n & 2, ac = n & 4, fetch = n & 8;
			bool x = n & 0x10, w = n & 0x20, r = n & 0x40, xu = n & 0x80;
			bool ok = fetch ? (mbec && user ? xu : x) : write ? w : r;
			uint64_t code;

			if (write && fetch)
				continue; /* no such access */
			a.run.second.walk.rflags = ac ? BIT(18) : 0;
			code = pagewalk_permission_fault(&a.run.second.walk, n >> 4, 0,
							 access_bits(write, fetch, user));
			EXPECT_NUMBER(code == 0, ok, "rights 0x%x, W %d, U %d, AC %d, F %d, MBEC %u", n >> 4, write,
				      user, ac, fetch, mbec);
		}
	}
}

/*
 * MBEC goes by the mode of the linear address, the AND of U/S of the guest's entries, and not by who accesses it. With
 * paging off every address is a user-mode one.
 */
Test(ept, mbec_goes_by_the_address)
{
	static const enum shape guests[] = { SHAPE_OFF, SHAPE_32, SHAPE_PAE, SHAPE_4, SHAPE_5 };

	for (size_t g = 0; g < COUNT(guests); g++)
		for (unsigned n = 0; n < 32 * 4 * 2 * 6; n++) {
			unsigned supervisor = n & 31, x = n >> 5 & 3, mbec = n >> 7 & 1, access = n >> 8;
			unsigned levels = shapes[guests[g]].levels;
			bool la_user = true;
			struct outcome want;

			tables_start(&t, CASE_INTEL, 51, guests[g], SHAPE_EPT4, false);
			tables_guest(&t, 0x23456789, 1, false);
			for (unsigned level = 1; level <= levels; level++)
				if (supervisor >> (level - 1) & 1 && !(guests[g] == SHAPE_PAE && level == 3)) {
					tables_edit(&t, level, 0, 4);
					la_user = false;
				}
			if (supervisor >> (guests[g] == SHAPE_PAE ? 2 : levels))
				continue;
			second_edit(&t, guest_gpa(&t, 0), 1, 0, (x & 1 ? 0 : 4u) | (x & 2 ? 0 : 0x400u));
			t.q.mbec = mbec;
			t.q.access = (enum case_access)(access / 2);
			t.q.user = access & 1;
			if (guests[g] && t.q.user && !la_user) /* PERM-6; NXE = 1, where there is PAE */
				want = (struct outcome){ PF, 5u | (t.q.access == CASE_WRITE ? 2 : 0) |
					(t.q.access == CASE_FETCH && guests[g] != SHAPE_32 ? 0x10 : 0), t.q.va };
			else
				want = judge(&t, t.q.memory.value, guest_gpa(&t, 0), BY_ACCESS, t.q.access, t.q.user,
					     CASE_W | CASE_X | (la_user ? CASE_U : 0)).outcome;
			EXPECT(ask(&a, &t), want, "%s: U/S clear at levels 0x%x, XU,X %u, MBEC %u, kind %d, user %d",
			       shapes[guests[g]].name, supervisor, x, mbec, (int)t.q.access, t.q.user);
			/* The same as it is seen in the record (KVM's deviation 9 is EPT-6). */
			if (a.run.status == PAGEWALK_OK)
				EXPECT_NUMBER((a.run.walk.nested.access & PAGEWALK_ACCESS_USER) != 0, la_user,
					      "%s: U/S clear at levels 0x%x, nested.access", shapes[guests[g]].name,
					      supervisor);
		}
}

/* ---- EPT-7, EPT-8: table accesses, the exit qualification -------------------------------------------------------- */

/* A 4-level guest, M = 51, all entries good, on a 4-level EPT. No flag is set anywhere. */
static void start_long(bool ept_ad)
{
	tables_start(&t, CASE_INTEL, 51, SHAPE_4, SHAPE_EPT4, ept_ad);
	tables_guest(&t, 0x123456789abc, 1, false);
}

Test(ept, qualification_known)
{
	/* EPT entries on the way to the guest's entry of a level (0: to the access itself) lose rights. */
	static const struct {
		unsigned guest_level;
		struct { unsigned level; uint64_t clear; } edit[2];
		enum case_access access;
		bool ad, mbec, set; /* set: the guest's entries have A and D already */
		uint64_t want;      /* without advanced information */
	} rows[] = {
		/* the final access: bit 7, bit 8, one of 0 ... 2, and the entries' R W X in 5:3 */
		{ 0, { { 1, 0x407 } }, CASE_READ, false, false, true, 0x181 },
		{ 0, { { 1, 0x407 } }, CASE_WRITE, false, false, true, 0x182 },
		{ 0, { { 1, 0x407 } }, CASE_FETCH, false, false, true, 0x184 },
		{ 0, { { 4, 0x407 } }, CASE_READ, true, true, true, 0x181 },
		{ 0, { { 1, 2 } }, CASE_WRITE, false, false, true, 0x1aa },
		{ 0, { { 3, 2 } }, CASE_WRITE, true, false, true, 0x1aa },
		{ 0, { { 1, 4 } }, CASE_FETCH, false, false, true, 0x19c },
		{ 0, { { 1, 6 } }, CASE_FETCH, false, false, true, 0x18c },
		{ 0, { { 1, 3 } }, CASE_READ, false, false, true, 0x1a1 },   /* execute-only */
		{ 0, { { 1, 3 } }, CASE_WRITE, false, false, true, 0x1a2 },
		{ 0, { { 4, 4 }, { 1, 2 } }, CASE_WRITE, false, false, true, 0x18a },
		{ 0, { { 4, 4 }, { 2, 2 } }, CASE_FETCH, false, false, true, 0x18c },
		{ 0, { { 4, 3 }, { 1, 4 } }, CASE_READ, false, false, true, 0x181 },
		/* the absent one counts: no bit is left */
		{ 0, { { 4, 2 }, { 2, 0x407 } }, CASE_READ, false, false, true, 0x181 },
		{ 0, { { 1, 7 } }, CASE_READ, false, false, true, 0x181 }, /* XU is there; undefined without MBEC: 0 */
		/* bit 6 */
		{ 0, { { 1, 0x407 } }, CASE_FETCH, false, true, true, 0x184 },
		{ 0, { { 1, 2 } }, CASE_WRITE, false, true, true, 0x1ea },
		{ 0, { { 1, 0x400 } }, CASE_FETCH, false, true, true, 0x1bc },
		{ 0, { { 3, 0x400 } }, CASE_FETCH, false, true, true, 0x1bc },
		{ 0, { { 3, 0x400 }, { 1, 2 } }, CASE_WRITE, false, true, true, 0x1aa },
		{ 0, { { 1, 7 } }, CASE_READ, false, true, true, 0x1c1 },    /* XU alone is present */
		{ 0, { { 4, 7 } }, CASE_WRITE, false, true, true, 0x1c2 },
		/* the guest's tables: no bit 8; reads, or with A/D flags reads and writes, whatever the access is */
		{ 4, { { 1, 0x407 } }, CASE_READ, false, false, true, 0x81 },
		{ 4, { { 1, 0x407 } }, CASE_WRITE, false, false, true, 0x81 },
		{ 4, { { 1, 0x407 } }, CASE_FETCH, false, false, true, 0x81 },
		{ 4, { { 1, 0x407 } }, CASE_READ, true, false, true, 0x83 },
		{ 1, { { 1, 0x407 } }, CASE_READ, false, false, true, 0x81 },
		{ 1, { { 3, 0x407 } }, CASE_FETCH, true, false, true, 0x83 },
		{ 3, { { 1, 2 } }, CASE_READ, true, false, true, 0xab },
		{ 3, { { 1, 2 } }, CASE_READ, true, true, true, 0xeb },
		{ 2, { { 1, 3 } }, CASE_READ, false, false, true, 0xa1 },
		{ 2, { { 2, 3 } }, CASE_WRITE, true, false, true, 0xa3 },
		{ 2, { { 2, 6 }, { 4, 3 } }, CASE_WRITE, false, false, true, 0x81 },
		/* an A/D update with A/D flags off: 0 and 1 */
		{ 4, { { 1, 2 } }, CASE_READ, false, false, false, 0xab },
		{ 1, { { 1, 2 } }, CASE_WRITE, false, false, false, 0xab },
		{ 1, { { 4, 6 } }, CASE_FETCH, false, false, false, 0x8b },
		{ 1, { { 4, 6 } }, CASE_FETCH, false, true, false, 0xcb },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t gpa;

		start_long(rows[i].ad);
		t.q.mbec = rows[i].mbec;
		t.q.access = rows[i].access;
		t.q.ept_features &= ~(unsigned)CASE_EPT_ADVANCED;
		for (unsigned level = 1; level <= 4 && rows[i].set; level++)
			tables_edit(&t, level, 0x60, 0);
		gpa = guest_gpa(&t, rows[i].guest_level);
		for (unsigned k = 0; k < 2 && rows[i].edit[k].level; k++)
			second_edit(&t, gpa, rows[i].edit[k].level, 0, rows[i].edit[k].clear);
		EXPECT(ask(&a, &t), VIOLATES(rows[i].want, gpa),
		       "guest level %u, EPT level %u clear 0x%llx, kind %d, A/D %d, MBEC %d", rows[i].guest_level,
		       rows[i].edit[0].level, HEX(rows[i].edit[0].clear), (int)rows[i].access, rows[i].ad,
		       rows[i].mbec);
	}
}

/* Bits 9, 10, 11: what the guest's own tables say; of the final access only, and only if the CPU has them. */
Test(ept, qualification_advanced)
{
	static const enum shape guests[] = { SHAPE_OFF, SHAPE_32, SHAPE_PAE, SHAPE_4, SHAPE_5 };

	for (size_t g = 0; g < COUNT(guests); g++)
		for (unsigned n = 0; n < 8 * 2 * 3; n++) {
			bool no_user = n & 1, no_write = n & 2, xd = (n & 4) && guests[g] >= SHAPE_PAE,
			     advanced = n & 8;
			unsigned level = n >> 4;
			uint64_t want = 0x181;

			tables_start(&t, CASE_INTEL, 51, guests[g], SHAPE_EPT5, true);
			tables_guest(&t, 0x23456789, 1, false);
			if (guests[g] == SHAPE_OFF)
				no_user = no_write = xd = false; /* 1, 1, 0 */
			/* each right goes at another level */
			tables_edit(&t, 1 + level % 2, 0, no_user ? 4 : 0);
			tables_edit(&t, 1 + (level + 1) % 2, 0, no_write ? 2 : 0);
			tables_edit(&t, 1 + level / 2, xd ? BIT(63) : 0, 0);
			second_edit(&t, guest_gpa(&t, 0), 1, 0, 0x407);
			t.q.ept_features &= advanced ? ~0u : ~(unsigned)CASE_EPT_ADVANCED;
			if (advanced)
				want |= (no_user ? 0 : BIT(9)) | (no_write ? 0 : BIT(10)) | (xd ? BIT(11) : 0);
			EXPECT(ask(&a, &t), VIOLATES(want, guest_gpa(&t, 0)),
			       "%s: U %d, W %d, XD %d, advanced %d, level %u", shapes[guests[g]].name, !no_user,
			       !no_write, xd, advanced, level);
			/* never for a table */
			if (guests[g] != SHAPE_OFF) {
				second_edit(&t, guest_gpa(&t, 2), 1, 0, 0x407);
				EXPECT(ask(&a, &t), VIOLATES(0x83, guest_gpa(&t, 2)),
				       "%s: table", shapes[guests[g]].name);
			}
		}
}

/* Which EPT entries get A and D, and which of the guest's: EPT-7, AD-1. */
Test(ept, accessed_dirty)
{
	for (unsigned n = 0; n < 2 * 3 * 2; n++) {
		bool ad = n & 1, was_set = n >= 6;
		enum case_access access = (enum case_access)(n / 2 % 3);
		uint64_t want[CASE_MAX_WORDS];

		start_long(ad);
		t.q.access = access;
		if (was_set)
			for (unsigned i = 0; i < t.steps; i++) {
				for (unsigned level = 1; level <= 4; level++)
					second_edit(&t, t.step[i].gpa, level, level == 1 ? 0x300 : 0x100, 0);
				tables_edit(&t, t.step[i].level, t.step[i].level == 1 ? 0x60 : 0x20, 0);
			}
		memcpy(want, t.q.memory.value, t.q.memory.count * sizeof(*want));
		for (unsigned i = 0; i < t.steps; i++) {
			bool written = t.step[i].level || access == CASE_WRITE;

			for (unsigned level = 1; level <= 4 && ad; level++)
				flag_entry(&t, want, t.second, second_at(&t, t.step[i].gpa, level),
					   level == 1 && written ? 0x300 : 0x100);
			if (t.step[i].level)
				flag_entry(&t, want, t.guest, t.step[i].pa,
					   t.step[i].level == 1 && access == CASE_WRITE ? 0x60 : 0x20);
		}
		EXPECT(ask(&a, &t), ((struct outcome){ TO, t.step[4].pa, 0 }), "A/D %d, kind %d, set before %d", ad,
		       (int)access, was_set);
		EXPECT_MEMORY(&t, a.value, want, "A/D %d, kind %d, set before %d", ad, (int)access, was_set);
		EXPECT_NUMBER(a.run.reads, 24, "A/D %d, kind %d, reads", ad, (int)access);
		EXPECT_NUMBER(a.run.writes, was_set ? 0 : ad ? 24 : 4, "A/D %d, kind %d, writes", ad, (int)access);
	}
}

/* EPT-7: a table that the EPT lets only be read does while nothing must be written there. */
Test(ept, read_only_tables)
{
	for (unsigned n = 0; n < 4 * 2 * 3; n++) {
		bool ad = n & 4;
		unsigned level = (n & 3) + 1;
		struct outcome want;

		start_long(ad);
		t.q.access = (enum case_access)(n >> 3);
		for (unsigned l = 1; l <= 4; l++)
			tables_edit(&t, l, 0x60, 0);
		second_edit(&t, guest_gpa(&t, level), 1, 0, 2);
		want = ad ? VIOLATES(0xab, guest_gpa(&t, level)) : LEADS(t.step[4].pa);
		EXPECT(ask(&a, &t), want, "read-only table %u, A/D %d, kind %d", level, ad, n >> 3);
	}
}

/* EPT-16: an update is refused where it happens: after the final translation or, as walked (AD-2), on the way. */
Test(ept, refused_update)
{
	for (unsigned n = 0; n < 4 * 2 * 2 * 3; n++) {
		unsigned level = (n & 3) + 1;
		bool as_walked = n & 4, only_dirty = n & 8;
		enum case_access access = (enum case_access)(n >> 4);
		uint64_t want[CASE_MAX_WORDS];
		bool refused = !only_dirty || (level == 1 && access == CASE_WRITE);

		start_long(false);
		t.q.knobs = as_walked ? CASE_AD_AS_WALKED : 0;
		t.q.access = access;
		if (only_dirty)
			tables_edit(&t, level, 0x20, 0);
		second_edit(&t, guest_gpa(&t, level), 1, 0, 2);
		memcpy(want, t.q.memory.value, t.q.memory.count * sizeof(*want));
		for (unsigned i = 0; i < 4; i++)
			if (t.step[i].level > level || !refused)
				flag_entry(&t, want, t.guest, t.step[i].pa,
					   t.step[i].level == 1 && access == CASE_WRITE ? 0x60 : 0x20);
		EXPECT(ask(&a, &t), (refused ? VIOLATES(0xab, guest_gpa(&t, level)) : LEADS(t.step[4].pa)),
		       "update of level %u, as walked %d, only D %d, kind %d", level, as_walked, only_dirty,
		       (int)access);
		EXPECT_MEMORY(&t, a.value, want, "update of level %u, as walked %d, only D %d, kind %d", level,
			      as_walked, only_dirty, (int)access);
		if (refused)
			EXPECT_NUMBER(a.run.reads, as_walked && level > 1 ? (5 - level) * 5 + 4 : 28,
				      "update of level %u, as walked %d, reads", level, as_walked);
	}
}

Test(ept, refused_update_and_later_faults)
{
	for (unsigned as_walked = 0; as_walked < 2; as_walked++) {
		struct outcome refused, want;

		/* the guest's level 3 can't be flagged; its level 1 is not present */
		start_long(false);
		refused = (struct outcome){ VIOLATION, 0xab, guest_gpa(&t, 3) };
		t.q.knobs = as_walked ? CASE_AD_AS_WALKED : 0;
		second_edit(&t, guest_gpa(&t, 3), 1, 0, 2);
		tables_edit(&t, 1, 0, 1);
		EXPECT(ask(&a, &t), (as_walked ? refused : (struct outcome){ PF, 0, t.q.va }),
		       "update or P = 0, as walked %u", as_walked);
		/* or lets no user in */
		tables_edit(&t, 1, 1, 4);
		t.q.user = true;
		EXPECT(ask(&a, &t), (as_walked ? refused : (struct outcome){ PF, 5, t.q.va }),
		       "update or rights, as walked %u", as_walked);
		/* or leads to a page that is not there */
		t.q.user = false;
		second_edit(&t, guest_gpa(&t, 0), 1, 0, 0x407);
		want = (struct outcome){ VIOLATION, 0x581, guest_gpa(&t, 0) };
		EXPECT(ask(&a, &t), (as_walked ? refused : want), "update or final access, as walked %u", as_walked);
		/* or to a table that is not there */
		second_edit(&t, guest_gpa(&t, 1), 1, 0, 0x407);
		want = (struct outcome){ VIOLATION, 0x81, guest_gpa(&t, 1) };
		EXPECT(ask(&a, &t), (as_walked ? refused : want), "update or table, as walked %u", as_walked);
	}
}

/* ---- EPT-13: addresses wider than the tables --------------------------------------------------------------------- */

Test(ept, high_addresses)
{
	static const struct {
		enum shape second;
		uint64_t gpa;
		bool high;
	} rows[] = {
		{ SHAPE_EPT4, 0x0000ffffffffffff, false }, { SHAPE_EPT4, 0x0001000000000000, true },
		{ SHAPE_EPT4, 0x0008000000000000, true },  { SHAPE_EPT4, 0x8000000000000000, true },
		{ SHAPE_EPT4, 0xffffffffffffffff, true },
		{ SHAPE_EPT5, 0x000fffffffffffff, false }, { SHAPE_EPT5, 0x01ffffffffffffff, false },
		{ SHAPE_EPT5, 0x0200000000000000, true },  { SHAPE_EPT5, 0x8000000000000000, true },
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		for (unsigned ignore = 0; ignore < 2; ignore++) {
			uint64_t width = rows[i].second == SHAPE_EPT4 ? 48 : 57,
				 seen = rows[i].gpa & bits((int)width - 1, 0);
			struct outcome want = { VIOLATION, 0x782, rows[i].gpa };

			tables_start(&t, CASE_INTEL, 52, SHAPE_OFF, rows[i].second, true);
			t.step[0].pa = tables_frame(&t, seen & ~(uint64_t)0xfff) | (seen & 0xfff);
			t.q.va = rows[i].gpa;
			t.q.knobs = ignore ? CASE_EPT_IGNORE_HIGH : 0;
			t.q.access = CASE_WRITE;
			if (!rows[i].high || ignore)
				want = (struct outcome){ TO, t.step[0].pa, 0 };
			EXPECT(ask(&a, &t), want, "%s, GPA 0x%llx, ignored %u", shapes[rows[i].second].name,
			       HEX(rows[i].gpa), ignore);
			if (want.what == VIOLATION) {
				EXPECT_NUMBER(a.run.reads, 0, "GPA 0x%llx, reads", HEX(rows[i].gpa));
				EXPECT_NUMBER(a.run.walk.fault.rule, PAGEWALK_RULE(EPT, 13), "GPA 0x%llx, the rule",
					      HEX(rows[i].gpa));
				EXPECT_NUMBER(a.run.walk.nested.max_level, 0, "GPA 0x%llx: nested.max_level",
					      HEX(rows[i].gpa));
				EXPECT_NUMBER(a.run.walk.nested.address, rows[i].gpa, "GPA 0x%llx: nested.address",
					      HEX(rows[i].gpa));
			}
		}
}

/* The same for what a guest's walk comes to: CR3, a table, a page. The EPT's own tables are good for the low bits. */
Test(ept, high_addresses_of_a_guest)
{
	for (unsigned n = 0; n < 5 * 4 * 2 * 2; n++) {
		unsigned level = n % 5, bit = 48 + n / 5 % 4;
		bool ignore = n & 1, ad = n / 40;
		uint64_t gpa;
		struct outcome want;

		tables_start(&t, CASE_INTEL, 52, SHAPE_4, SHAPE_EPT4, ad);
		tables_guest(&t, 0x123456789abc, 1, false);
		t.q.knobs = ignore ? CASE_EPT_IGNORE_HIGH : 0;
		gpa = guest_gpa(&t, level) | BIT(bit);
		want = (struct outcome){ VIOLATION, level ? (ad ? 0x83 : 0x81) : 0x781, gpa };
		if (level == 4)
			t.q.cr3 |= BIT(bit);
		else
			tables_edit(&t, level + 1, BIT(bit),
				    0); /* the entry above leads there; the page's own is level 1 */
		if (ignore)
			want = (struct outcome){ TO, t.step[4].pa, 0 };
		EXPECT(ask(&a, &t), want, "bit %u in the address of level %u, ignored %d, A/D %d", bit, level, ignore,
		       ad);
		if (!ignore) { /* the walks for the steps before are none of this one */
			EXPECT_NUMBER(a.run.walk.nested.max_level, 0, "bit %u, level %u: nested.max_level", bit, level);
			EXPECT_NUMBER(a.run.walk.nested.level, 0, "bit %u, level %u: nested.level", bit, level);
		}
	}
}

/* ---- MODE-7, EPT-7: the load of the PDPTE registers -------------------------------------------------------------- */

static struct outcome load_pdptrs(uint64_t quirks, uint64_t pdpte[4])
{
	t.q.has_pdpte = true; /* none is loaded before */
	cr_assert_eq(asked_open(&a, &t.q, quirks), PAGEWALK_OK, "the walkers are refused");
	a.run.status = pagewalk_load_pdptrs(&a.run.guest.walk, t.q.cr3, pdpte, &a.run.walk);
	return outcome_of(a.run.status, &a.run.walk);
}

Test(ept, pdpte_load)
{
	/* The EPT entry of that level loses bits; bits of PDPTE n flip, which is present. */
	static const struct {
		unsigned level;
		uint64_t clear;
		unsigned pdpte;
		uint64_t flip;
		struct outcome want; /* TO: loaded */
	} rows[] = {
		{ 1, 0, 0, 0, { TO, 0, 0 } },
		{ 1, 0x407, 0, 0, { VIOLATION, 0x01, 0 } },       /* bit 7 = 0, and so bit 8 */
		{ 3, 0x407, 0, 0, { VIOLATION, 0x01, 0 } },
		{ 1, 2, 0, 0, { TO, 0, 0 } },                     /* a read, A/D flags or not */
		{ 1, 6, 0, 0, { TO, 0, 0 } },
		{ 1, 3, 0, 0, { VIOLATION, 0x21, 0 } },           /* execute-only */
		{ 2, 1, 0, 0, { MISCONFIG, 0, 0 } },
		{ 1, 0, 0, BIT(1), { GP, 0, 0 } }, { 1, 0, 3, BIT(2), { GP, 0, 0 } }, { 1, 0, 2, BIT(5), { GP, 0, 0 } },
		{ 1, 0, 1, BIT(8), { GP, 0, 0 } }, { 1, 0, 1, BIT(51), { GP, 0, 0 } },
		{ 1, 0, 1, BIT(63), { GP, 0, 0 } },
		{ 1, 0, 0, BIT(3) | BIT(4) | BIT(9) | BIT(11), { TO, 0, 0 } },
		{ 1, 0, 3, ~(uint64_t)0, { TO, 0, 0 } },          /* not present: no other bit counts (MODE-12) */
		{ 1, 3, 0, BIT(1), { VIOLATION, 0x21, 0 } },      /* what can't be read is not looked at */
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		for (unsigned ad = 0; ad < 2; ad++) {
			uint64_t loaded[4] = { 1, 2, 3, 4 }, gpa, table, at, want[CASE_MAX_WORDS];
			struct outcome o, expected = rows[i].want;

			tables_start(&t, CASE_INTEL, 51, SHAPE_PAE, SHAPE_EPT4, ad);
			tables_guest(&t, 0x789ab123, 1, true);
			gpa = guest_gpa(&t, 3) & ~(uint64_t)0x1f;
			table = t.step[0].pa & ~(uint64_t)0x1f;
			for (unsigned k = 0; k < 4; k++)
				entry_set(&t, SHAPE_PAE, table + 8 * k,
					  ((uint64_t)0x1234567001 + (k << 12)) ^
						  (k == rows[i].pdpte ? rows[i].flip : 0));
			t.q.cr3 = gpa | 0x18; /* PWT and PCD */
			expected.at = expected.what >= VIOLATION ? gpa : 0;
			memcpy(want, t.q.memory.value, t.q.memory.count * sizeof(*want));
			if (expected.what == TO || expected.what == GP)
				for (unsigned level = 1; level <= 4 && ad; level++)
					flag_entry(&t, want, t.second, second_at(&t, gpa, level), 0x100);
			at = second_at(&t, gpa, rows[i].level);
			entry_set(&t, t.second, at, entry_now(&t, t.second, at) & ~rows[i].clear);
			case_store(&t.q.memory, want, at, 8, want[case_find(&t.q.memory, at)] & ~rows[i].clear);

			o = load_pdptrs(0, loaded);
			o.code = o.what == TO ? 0 : o.code;
			EXPECT(o, expected, "PDPTE load, row %u, A/D %u", (unsigned)i, ad);
			EXPECT_MEMORY(&t, a.value, want, "PDPTE load, row %u, A/D %u", (unsigned)i,
				      ad); /* A, never D */
			for (unsigned k = 0; k < 4; k++)
				EXPECT_NUMBER(loaded[k],
					      expected.what == TO ? entry_now(&t, SHAPE_PAE, table + 8 * k) : k + 1,
					      "PDPTE %u of row %u", k, (unsigned)i);
			if (expected.what == TO)
				EXPECT_NUMBER(a.run.reads, 8, "PDPTE load, reads");
		}
}

/* ---- KVM --------------------------------------------------------------------------------------------------------- */

#define KVM PAGEWALK_QUIRKS_KVM

/* The hardware without and with the quirk, and KVM with and without it: on[] and off[] of each pair. */
static void check_quirk(const char *name, uint64_t quirk, struct outcome hw, struct outcome hw_quirk,
			struct outcome kvm_not, struct outcome kvm)
{
	EXPECT(ask_with(&a, &t.q, 0), hw, "%s: hardware", name);
	EXPECT(ask_with(&a, &t.q, quirk), hw_quirk, "%s: hardware with the quirk", name);
	EXPECT(ask_with(&a, &t.q, KVM & ~quirk), kvm_not, "%s: KVM without the quirk", name);
	EXPECT(ask_with(&a, &t.q, KVM), kvm, "%s: KVM", name);
	t.q.profile = CASE_KVM_INTEL;
	EXPECT(ask(&a, &t), kvm, "%s: kvm-intel", name);
	t.q.profile = CASE_INTEL;
}


Test(ept, kvm_3_tables_are_written)
{
	uint64_t gpa;

	start_long(false);
	for (unsigned l = 1; l <= 4; l++)
		tables_edit(&t, l, 0x60, 0);
	gpa = guest_gpa(&t, 2);
	second_edit(&t, gpa, 1, 0, 2);
	check_quirk("3", PAGEWALK_QUIRK_KVM_TABLE_WRITE, LEADS(t.step[4].pa), VIOLATES(0xab, gpa), LEADS(t.step[4].pa),
		    VIOLATES(0xab, gpa & ~(uint64_t)0xfff));
}

Test(ept, kvm_4_page_base)
{
	uint64_t gpa, page;

	start_long(false);
	gpa = guest_gpa(&t, 0), page = gpa & ~(uint64_t)0xfff;
	second_edit(&t, gpa, 1, 0, 0x407);
	check_quirk("4, violation", PAGEWALK_QUIRK_KVM_PAGE_BASE, VIOLATES(0x781, gpa), VIOLATES(0x781, page),
		    VIOLATES(0x181, gpa), VIOLATES(0x181, page));
	second_edit(&t, gpa, 1, 0x402, 0);
	check_quirk("4, misconfig", PAGEWALK_QUIRK_KVM_PAGE_BASE, (struct outcome){ MISCONFIG, 0, gpa },
		    (struct outcome){ MISCONFIG, 0, page }, (struct outcome){ MISCONFIG, 0, gpa },
		    (struct outcome){ MISCONFIG, 0, page });
	/* a page of 2 MiB is reported by its 4 KiB page too; without guest paging it is the whole address in any case */
	for (unsigned paging = 0; paging < 2; paging++) {
		tables_start(&t, CASE_INTEL, 45, paging ? SHAPE_4 : SHAPE_OFF, SHAPE_EPT4, false);
		t.second_leaf = 2;
		tables_guest(&t, EPT_VA & BITS(44, 0), paging, false);
		gpa = paging ? guest_gpa(&t, 0) : t.q.va, page = paging ? gpa & ~(uint64_t)0xfff : gpa;
		second_edit(&t, gpa, 2, 0, 2);
		t.q.access = CASE_WRITE;
		check_quirk("4, 2 MiB", PAGEWALK_QUIRK_KVM_PAGE_BASE, VIOLATES(0x7aa, gpa), VIOLATES(0x7aa, page),
			    VIOLATES(0x1aa, gpa), VIOLATES(0x1aa, page));
	}
}

Test(ept, kvm_5_width)
{
	const uint64_t both = PAGEWALK_QUIRK_KVM_WIDTH | PAGEWALK_QUIRK_EPT_HIGH_IGNORED;

	for (unsigned bit = 48; bit < 64; bit++) {
		struct outcome to;
		uint64_t gpa;

		start_plain(45, SHAPE_EPT4, true, 1);
		gpa = t.q.va |= BIT(bit);
		to = LEADS(t.step[0].pa);
		EXPECT(ask_with(&a, &t.q, 0), VIOLATES(0x781, gpa), "bit %u", bit);
		EXPECT(ask_with(&a, &t.q, PAGEWALK_QUIRK_EPT_HIGH_IGNORED), to, "bit %u, EPT_HIGH_IGNORED", bit);
		EXPECT(ask_with(&a, &t.q, PAGEWALK_QUIRK_KVM_WIDTH), to, "bit %u, KVM_WIDTH", bit);
		EXPECT(ask_with(&a, &t.q, KVM), to, "bit %u, KVM", bit);
		EXPECT(ask_with(&a, &t.q, KVM & ~both), VIOLATES(0x181, gpa), "bit %u, KVM without 5", bit);
	}
}

/* An EPT table outside memory: 5:3 are the rights of the entries above it. */
Test(ept, kvm_7_no_memory)
{
	static const struct {
		uint64_t clear, qualification;
	} rows[] = { { 0, 0x38 }, { 2, 0x28 }, { 6, 0x08 }, { 3, 0x20 } };

	for (unsigned level = 4; level >= 2; level--) /* whose entry leads out */
		for (size_t i = 0; i < COUNT(rows); i++) {
			uint64_t gpa, q = rows[i].qualification;
			struct outcome nothing;

			start_plain(45, SHAPE_EPT4, false, 1);
			gpa = t.q.va;
			t.q.memory.size = BIT(44) + BIT(43);
			second_edit(&t, gpa, level, BIT(43), rows[i].clear);
			nothing = (struct outcome){
				NO_MEMORY, 0,
				judge(&t, t.q.memory.value, gpa, BY_ACCESS, CASE_READ, true, CASE_U).at[level - 2]
			};
			t.q.access = CASE_WRITE;
			check_quirk("7", PAGEWALK_QUIRK_KVM_NOT_PRESENT, nothing, VIOLATES(0x782 | q, gpa), nothing,
				    VIOLATES(0x182 | q, gpa));
		}
	start_plain(45, SHAPE_EPT4, false, 1); /* the root */
	t.q.memory.size = ROOT;
	check_quirk("7, root", PAGEWALK_QUIRK_KVM_NOT_PRESENT,
		    (struct outcome){ NO_MEMORY, 0, second_at(&t, t.q.va, 4) }, VIOLATES(0x7b9, t.q.va),
		    (struct outcome){ NO_MEMORY, 0, second_at(&t, t.q.va, 4) },
		    VIOLATES(0x1b9, t.q.va));
}

Test(ept, kvm_8_qualification)
{
	uint64_t pdpte[4], gpa;

	/* no bits 11:9 */
	start_plain(45, SHAPE_EPT4, true, 1);
	gpa = t.q.va;
	second_edit(&t, gpa, 1, 0, 0x407);
	check_quirk("8", PAGEWALK_QUIRK_KVM_EXIT_INFO, VIOLATES(0x781, gpa), VIOLATES(0x181, gpa),
		    VIOLATES(0x781, gpa), VIOLATES(0x181, gpa));
	/* bit 7 also for a PDPTE load */
	tables_start(&t, CASE_INTEL, 51, SHAPE_PAE, SHAPE_EPT4, false);
	tables_guest(&t, 0x789ab123, 1, true);
	gpa = t.q.cr3;
	second_edit(&t, gpa, 1, 0, 0x407);
	EXPECT(load_pdptrs(0, pdpte), VIOLATES(0x01, gpa), "8, PDPTE load: hardware");
	EXPECT(load_pdptrs(PAGEWALK_QUIRK_KVM_EXIT_INFO, pdpte), VIOLATES(0x81, gpa),
	       "8, PDPTE load: hardware with the quirk");
	EXPECT(load_pdptrs(KVM & ~PAGEWALK_QUIRK_KVM_PDPTE_LOAD, pdpte), VIOLATES(0x81, gpa), "8, PDPTE load: KVM");
	EXPECT(load_pdptrs(KVM & ~(PAGEWALK_QUIRK_KVM_PDPTE_LOAD | PAGEWALK_QUIRK_KVM_EXIT_INFO), pdpte),
	       VIOLATES(0x01, gpa), "8, PDPTE load: KVM without the quirk");
}

/*
 * Bit 10 as execute in the misconfiguration test. A walk never shows it: without MBEC an entry with R, W, X = 0 is not
 * present, and with any of them bit 10 adds nothing. So it is asked directly.
 */
Test(ept, kvm_10_xu_is_x)
{
	for (unsigned n = 0; n < 8; n++) {
		bool mbec = n & 1, quirk = n & 2, exec_only = n & 4;

		start_plain(45, SHAPE_EPT4, false, 1);
		t.q.mbec = mbec;
		t.q.ept_features &= exec_only ? ~0u : ~(unsigned)CASE_EPT_EXEC_ONLY;
		cr_assert_eq(asked_open(&a, &t.q,
					quirk ? PAGEWALK_QUIRK_KVM_XU_IS_X : KVM & ~PAGEWALK_QUIRK_KVM_XU_IS_X),
			     PAGEWALK_OK, "the walkers are refused");
		EXPECT_NUMBER(pagewalk_ept_is_rsvd_bits_set(&a.run.second.walk, 0x430, 1),
			      (mbec || quirk) && !exec_only, "XU alone: MBEC %d, quirk %d, execute-only %d", mbec,
			      quirk, exec_only);
		EXPECT_NUMBER(pagewalk_ept_is_rsvd_bits_set(&a.run.second.walk, 0x431, 1), 0,
			      "R and XU: MBEC %d, quirk %d", mbec, quirk);
		EXPECT_NUMBER(pagewalk_ept_is_rsvd_bits_set(&a.run.second.walk, 0x432, 1), 1,
			      "W and XU: MBEC %d, quirk %d", mbec, quirk);
		EXPECT_NUMBER(pagewalk_ept_is_present_gpte(&a.run.second.walk, 0x430), mbec,
			      "XU alone: present, MBEC %d", mbec);
	}
}

/* A load of the PDPTE registers writes at the EPT, and whatever refuses it is #GP. */
Test(ept, kvm_11_pdpte_load)
{
	const uint64_t quirk = PAGEWALK_QUIRK_KVM_PDPTE_LOAD;
	uint64_t pdpte[4] = { 1, 2, 3, 4 }, gpa, leaf;
	const struct outcome gp = { GP, 0, 0 };

	for (unsigned ad = 0; ad < 2; ad++) {
		tables_start(&t, CASE_INTEL, 51, SHAPE_PAE, SHAPE_EPT4, ad);
		tables_guest(&t, 0x789ab123, 1, true);
		gpa = t.q.cr3;
		leaf = second_at(&t, gpa, 1);
		EXPECT_NUMBER(load_pdptrs(0, pdpte).what, TO, "11: hardware");
		EXPECT_NUMBER(entry_get(&t, a.value, t.second, leaf) & 0x300, ad ? 0x100 : 0,
			      "11: hardware, the leaf's flags");
		EXPECT_NUMBER(load_pdptrs(quirk, pdpte).what, TO, "11: hardware with the quirk");
		EXPECT_NUMBER(entry_get(&t, a.value, t.second, leaf) & 0x300, ad ? 0x300 : 0,
			      "11: with the quirk, the leaf's flags");
		EXPECT_NUMBER(load_pdptrs(KVM, pdpte).what, TO, "11: KVM");
		EXPECT_NUMBER(entry_get(&t, a.value, t.second, leaf) & 0x300, ad ? 0x300 : 0,
			      "11: KVM, the leaf's flags");
		EXPECT_NUMBER(load_pdptrs(KVM & ~quirk, pdpte).what, TO, "11: KVM without the quirk");
		EXPECT_NUMBER(entry_get(&t, a.value, t.second, leaf) & 0x300, ad ? 0x100 : 0,
			      "11: KVM without it, the leaf's flags");

		second_edit(&t, gpa, 1, 0, 2); /* read-only */
		EXPECT_NUMBER(load_pdptrs(0, pdpte).what, TO, "11, read-only: hardware");
		EXPECT_NUMBER(load_pdptrs(quirk, pdpte).what, ad ? GP : TO, "11, read-only: hardware with the quirk");
		EXPECT_NUMBER(load_pdptrs(KVM & ~quirk, pdpte).what, TO, "11, read-only: KVM without the quirk");
		pdpte[0] = 77;
		EXPECT(load_pdptrs(KVM, pdpte), gp, "11, read-only: KVM");
		EXPECT_NUMBER(pdpte[0], 77, "11, read-only: nothing is loaded");

		second_edit(&t, gpa, 1, 0, 0x407); /* absent */
		EXPECT(load_pdptrs(quirk, pdpte), gp, "11, absent: hardware with the quirk");
		EXPECT(load_pdptrs(KVM, pdpte), gp, "11, absent: KVM");
		second_edit(&t, gpa, 1, 0x406, 0); /* misconfigured */
		EXPECT(load_pdptrs(0, pdpte), ((struct outcome){ MISCONFIG, 0, gpa }), "11, misconfigured: hardware");
		EXPECT(load_pdptrs(KVM, pdpte), gp, "11, misconfigured: KVM");
		second_edit(&t, gpa, 1, BIT(49) | 1, 0); /* and deviation 7: the EPT leads out of memory */
		t.q.memory.size = BIT(50) + BIT(49);
		EXPECT(load_pdptrs(0, pdpte),
		       ((struct outcome){ NO_MEMORY, 0, (t.step[0].pa | BIT(49)) & ~(uint64_t)0x1f }),
		       "11, no memory: hardware");
		EXPECT(load_pdptrs(KVM, pdpte), gp, "11, no memory: KVM");
	}
}

Test(ept, kvm_12_eptp)
{
	for (unsigned n = 0; n < 4; n++) {
		enum shape second = n & 1 ? SHAPE_EPT5 : SHAPE_EPT4;
		struct outcome to, hw;

		start_plain(45, second, n & 2, 1);
		t.q.ept_features &= ~(unsigned)(CASE_EPT_AD | CASE_EPT_5L);
		to = LEADS(t.step[0].pa);
		hw = n ? (struct outcome){ BAD_STATE, 0, 0 } : to;
		check_quirk("12", PAGEWALK_QUIRK_KVM_EPTP, hw, to, hw, to);
		EXPECT_NUMBER((entry_get(&t, a.value, second, second_at(&t, t.q.va, 1)) & 0x100) != 0, n / 2,
			      "12: A, A/D flags on %d", (n & 2) != 0);
	}
}

/* EPT walkers that are asked themselves. */
Test(ept, alone)
{
	start_plain(45, SHAPE_EPT4, true, 1);
	EXPECT(ask_second(t.q.va, PAGEWALK_ACCESS_WRITE), LEADS(t.step[0].pa), "alone, write");
	EXPECT_NUMBER(a.run.walk.guest.max_level, 0, "alone, guest.max_level");
	EXPECT_NUMBER(a.run.walk.guest.address, t.q.va, "alone, guest.address");
	EXPECT_NUMBER(a.run.walk.nested.max_level, 4, "alone, nested.max_level");
	EXPECT_NUMBER(a.run.walk.nested.level, 1, "alone, nested.level");
	EXPECT_NUMBER(a.run.walk.nested.gpa, t.step[0].pa, "alone, nested.gpa");
	second_edit(&t, t.q.va, 1, 0, 2);
	EXPECT(ask_second(t.q.va, PAGEWALK_ACCESS_WRITE | PAGEWALK_PFERR_GUEST_FINAL), VIOLATES(0x7aa, t.q.va),
	       "alone, final write");
	EXPECT(ask_second(t.q.va, PAGEWALK_ACCESS_WRITE | PAGEWALK_PFERR_GUEST_PAGE), VIOLATES(0xab, t.q.va),
	       "alone, write of a table");
	EXPECT(ask_second(t.q.va, PAGEWALK_PFERR_GUEST_PAGE), LEADS(t.step[0].pa), "alone, read of a table");
	second_edit(&t, t.q.va, 1, 0, 0x407);
	EXPECT(ask_second(t.q.va, PAGEWALK_PFERR_GUEST_PAGE), VIOLATES(0x81, t.q.va), "alone, read of a table");
	EXPECT(ask_second(t.q.va, PAGEWALK_PFERR_GUEST_PAGE | PAGEWALK_ACCESS_NO_LINEAR), VIOLATES(0x01, t.q.va),
	       "alone, PDPTE load");
}

/* KVM-13: the 1 GiB capability brings that of 2 MiB with it; on the hardware each stands alone. */
Test(ept, kvm_13_1g_has_2m)
{
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 46, PAGEWALK_FEATURES_ALL);
	struct kvm_pagewalk w;

	for (unsigned n = 0; n < 8; n++) {
		bool has_1g = n & 1, has_2m = n & 2, quirk = n & 4;

		memset(&w, 0, sizeof(w));
		w.read_gpte = no_read;
		cpu.features = (PAGEWALK_FEATURES_ALL & ~(PAGEWALK_FEATURE_EPT_1G | PAGEWALK_FEATURE_EPT_2M)) |
			       (has_1g ? PAGEWALK_FEATURE_EPT_1G : 0) | (has_2m ? PAGEWALK_FEATURE_EPT_2M : 0);
		cpu.quirks = quirk ? PAGEWALK_QUIRK_KVM_EPT_1G : 0;
		cr_assert_eq(pagewalk_init_ept(&w, &cpu, 0x101e, false), PAGEWALK_OK, "EPT");
		cr_expect_eq(pagewalk_ept_is_rsvd_bits_set(&w, 0x2000b7, 2), !(has_2m || (has_1g && quirk)),
			     "1G %d, 2M %d, quirk %d: a page of 2 MiB", has_1g, has_2m, quirk);
		cr_expect_eq(pagewalk_ept_is_rsvd_bits_set(&w, 0x400000b7, 3), !has_1g, "1G %d: a page of 1 GiB", has_1g);
	}
}
