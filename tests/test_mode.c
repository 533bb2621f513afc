/* SPDX-License-Identifier: MIT */
/*
 * test_mode.c: rules MODE-1 ... MODE-7, 9 ... 13, 16: which mode the registers select, what is reserved in an entry and
 * where it leads, CR3 and the PDPTE registers, canonical addresses, registers that no CPU can hold.
 */
#include "tables.h"

static struct case_question q;
static struct case_answer want, got;
static struct library_run run;

/* ---- MODE-1, MODE-2: which mode -------------------------------------------------------------- */

static const struct {
	uint64_t cr0, cr4, efer;
	unsigned levels;
} selections[] = {
	{ 0, 0, 0, 0 },
	{ CR0_PE, 0, 0, 0 },
	{ CR0_PE, CR4_PSE | CR4_PAE | CR4_LA57, EFER_LME | EFER_NXE, 0 }, /* on the way to long mode */
	{ CR0_PE | CR0_PG, 0, 0, 2 },
	{ CR0_PE | CR0_PG, CR4_PSE, 0, 2 },
	{ CR0_PE | CR0_PG, CR4_LA57, EFER_NXE, 2 },                       /* LA57 is for long mode */
	{ CR0_PE | CR0_PG, CR4_PAE, 0, 3 },
	{ CR0_PE | CR0_PG, CR4_PAE | CR4_PSE | CR4_LA57, 0, 3 },
	{ CR0_PE | CR0_PG, CR4_PAE, EFER_LME | EFER_LMA, 4 },
	{ CR0_PE | CR0_PG, CR4_PAE | CR4_LA57, EFER_LME | EFER_LMA, 5 },
};

Test(mode, registers_select_the_mode)
{
	for (size_t i = 0; i < COUNT(selections); i++) {
		table_question(&q, 0);
		q.cr0 = selections[i].cr0;
		q.cr4 = selections[i].cr4;
		q.efer = selections[i].efer;
		q.cr3 = 0;
		library_walk_run(&q, &got, &run); /* memory is zero: no mode translates, but for paging off */
		cr_expect(run.walk.guest.max_level == selections[i].levels &&
				  run.guest.walk.fmt.root_level == selections[i].levels &&
				  run.guest.walk.fmt.pae == (selections[i].levels == 3) &&
				  run.guest.walk.fmt.pdpte_registers == (selections[i].levels == 3) &&
				  got.outcome == (selections[i].levels ? CASE_PAGE_FAULT : CASE_TRANSLATED),
			  "row %u: cr0=%#" PRIx64 " cr4=%#" PRIx64 " efer=%#" PRIx64
			  " => %u levels, outcome %d, expected %u levels",
			  (unsigned)i, q.cr0, q.cr4, q.efer, run.walk.guest.max_level, got.outcome,
			  selections[i].levels);
	}
}

/* MODE-1: any address, any access, no checks, nothing read; M does not matter either. */
Test(mode, paging_off_translates_everything_to_itself)
{
	static const uint64_t addresses[] = {
		0, 0xfff, 0x12345678, 0xffffffff, BIT(32), BIT(46), 0x000fffffffffffff, 0x0000800000000000, BIT(63),
		~UINT64_C(0)
	};
	unsigned differ = 0;

	for (unsigned i = 0; i < COUNT(addresses) * 3 * 2 * 2 * 2 * 2; i++) {
		table_question(&q, 0);
		q.va = addresses[i / 48];
		q.access = (enum case_access)(i % 3);
		q.user = i / 3 & 1;
		q.implicit = i / 6 & 1;
		q.stack = i / 12 & 1;
		if (i / 24 & 1) {
			q.cr0 |= CR0_WP;
			q.cr4 = CR4_PSE | CR4_PAE | CR4_SMEP | CR4_SMAP | CR4_PKE;
			q.pkru = 0xffffffff;
		}
		want_page(&q, &want, q.va, 0, CASE_R | CASE_W | CASE_X | CASE_U);
		table_check(&q, &want, &differ);
		library_walk_run(&q, &got, &run);
		if (run.reads || run.writes || run.walk.guest.page_shift != 64 || run.walk.nested.max_level)
			differ++;
	}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* ---- MODE-3: CR3 ----------------------------------------------------------------------------- */

/* What becomes of a good walk when bit n of CR3 changes. */
static enum case_outcome rule_cr3_bit(unsigned levels, unsigned n)
{
	if (levels == 2 ? n >= 12 && n < 32 : levels == 3 ? n >= 5 && n < 32 : n >= 12 && n < rule_m(&q))
		return n < 32 ? CASE_PAGE_FAULT : CASE_NO_MEMORY; /* zeros there, or nothing */
	return levels > 3 && n >= rule_m(&q) ? CASE_BAD_STATE : CASE_TRANSLATED;
}

Test(mode, every_bit_of_cr3)
{
	static const unsigned char widths[] = { 32, 36, 46, 51, 52, 57 };
	unsigned differ = 0;

	for (unsigned levels = 2; levels <= 5; levels++)
		for (size_t i = 0; i < COUNT(widths); i++)
			for (unsigned n = 0; n < 64; n++) {
				if (n == 61 || n == 62) /* LAM's, which is not modelled */
					continue;
				table_question(&q, levels);
				q.maxphyaddr = widths[i];
				q.cr3 = table_at[levels] ^ BIT(n);
				table_path(&q, 1, P | W | U | A);
				enum case_outcome outcome = rule_cr3_bit(levels, n);
				if (outcome == CASE_TRANSLATED)
					want_page(&q, &want, TABLE_PAGE | 0x678, 12, CASE_R | CASE_W | CASE_X | CASE_U);
				else if (outcome == CASE_PAGE_FAULT)
					want_fault(&q, &want, 0);
				else
					want_outcome(&q, &want, outcome);
				table_check(&q, &want, &differ);
			}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* The highest address bit that a root can have is used. */
Test(mode, root_high_in_memory)
{
	static const struct {
		unsigned levels, maxphyaddr;
		uint64_t cr3, root;
	} rows[] = {
		{ 2, 52, 0xfedcba98fffff018, 0xfffff000 }, /* 63:32 and 11:0 ignored */
		{ 3, 52, 0xfedcba98ffffffff, 0xffffffe0 }, /* 4:0 */
		{ 3, 36, 0x00000000ffffe020, 0xffffe020 },
		{ 4, 52, 0x000ffffffffff000, 0x000ffffffffff000 },
		{ 4, 46, 0x00003ffffffff018, 0x00003ffffffff000 },
		{ 5, 46, 0x0000200000001fff, 0x0000200000001000 },
		{ 5, 36, 0x0000000fffffffff, 0x0000000ffffff000 },
	};
	unsigned differ = 0;

	for (size_t i = 0; i < COUNT(rows); i++) {
		table_question(&q, rows[i].levels);
		q.memory.size = BIT(52);
		q.maxphyaddr = rows[i].maxphyaddr;
		q.cr3 = rows[i].cr3;
		table_path(&q, 1, P | W | U | A);
		uint64_t top = table_get(&q, q.memory.value, rows[i].levels);
		table_set(&q, rows[i].levels, 0);
		uint64_t slot = rows[i].root + table_index(&q, q.va, rows[i].levels) * table_entry_size(&q);
		cr_assert(case_set(&q.memory, slot & ~UINT64_C(7), 0), "room");
		case_store(&q.memory, q.memory.value, slot, table_entry_size(&q), top);
		want_page(&q, &want, TABLE_PAGE | 0x678, 12, CASE_R | CASE_W | CASE_X | CASE_U);
		table_check(&q, &want, &differ);
	}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* The registers may come from callbacks. */
static uint64_t live_pgd(const struct kvm_pagewalk *w)
{
	(void)w;
	return table_at[table_levels(&q)] | 0x18;
}

static uint64_t live_pdptr(const struct kvm_pagewalk *w, unsigned index)
{
	(void)w;
	return index == 2 ? table_at[2] | P : 0;
}

Test(mode, live_registers)
{
	for (unsigned levels = 2; levels <= 5; levels++) {
		table_question(&q, levels);
		table_path(&q, 1, P | W | U | A);
		q.has_pdpte = true;
		memset(q.pdpte, 0, sizeof(q.pdpte));
		cr_assert_eq(library_open(&run, &q, q.memory.value), PAGEWALK_OK, "open");
		run.guest.walk.pgd = 0x7000;
		run.guest.walk.get_guest_pgd = live_pgd;
		run.guest.walk.get_pdptr = live_pdptr;
		enum pagewalk_status status =
			pagewalk_translate(&run.guest.walk, q.va, PAGEWALK_ACCESS_READ, &run.walk);
		cr_expect(status == PAGEWALK_OK && run.walk.pa == (TABLE_PAGE | 0x678), "%u levels => status %d",
			  levels, (int)status);
	}
}

/* ---- MODE-4 ... MODE-13, as a table ---------------------------------------------------------- */

enum { I = CASE_INTEL, AMD = CASE_AMD, KI = CASE_KVM_INTEL, KA = CASE_KVM_AMD };
#define RSVD UINT64_MAX
#define SAME TABLE_PAGE /* the bit is ignored */

static const struct row {
	const char *rule;
	unsigned levels, leaf, profile, maxphyaddr, without, knobs; /* without: features */
	uint64_t off; /* CR4's bits and EFER's that are off */
	unsigned level; /* of the entry that gets bits */
	uint64_t bits;
	uint64_t page; /* where it leads, or RSVD */
} rows[] = {
	/* 32-bit, 4 KiB: nothing is reserved; PSE off makes bit 7 of a PDE nothing. */
	{ "MODE-4", 2, 1, I, 36, 0, 0, 0, 2, 0xf18, SAME },
	{ "MODE-4", 2, 1, I, 36, 0, 0, 0, 1, 0xf98, SAME },
	{ "MODE-4", 2, 1, I, 36, 0, 0, 0, 1, 0x7ffff000, 0xfffff000 },
	{ "MODE-4", 2, 1, I, 36, 0, 0, CR4_PSE, 2, 0xf98, SAME },
	{ "MODE-4", 2, 1, I, 36, CASE_PAT, 0, CR4_PSE, 2, 0x80, SAME },
	/* 4 MiB pages: width 32, then M, then at most 40. */
	{ "MODE-5", 2, 2, I, 36, CASE_PSE36, 0, 0, 2, BIT(13), RSVD },
	{ "MODE-5", 2, 2, I, 36, CASE_PSE36, 0, 0, 2, BIT(21), RSVD },
	{ "MODE-5", 2, 2, I, 36, CASE_PSE36, 0, 0, 2, BIT(12) | BIT(22), SAME | BIT(22) },
	{ "MODE-5", 2, 2, I, 32, 0, 0, 0, 2, BIT(13), RSVD },
	{ "MODE-5", 2, 2, I, 33, 0, 0, 0, 2, BIT(13), SAME | BIT(32) },
	{ "MODE-5", 2, 2, I, 33, 0, 0, 0, 2, BIT(14), RSVD },
	{ "MODE-5", 2, 2, I, 36, 0, 0, 0, 2, BIT(16), SAME | BIT(35) },
	{ "MODE-5", 2, 2, I, 36, 0, 0, 0, 2, BIT(17), RSVD },
	{ "MODE-5", 2, 2, I, 39, 0, 0, 0, 2, BITS(19, 13), SAME | BITS(38, 32) },
	{ "MODE-5", 2, 2, I, 39, 0, 0, 0, 2, BIT(20), RSVD },
	{ "MODE-5", 2, 2, I, 40, 0, 0, 0, 2, BITS(20, 13), SAME | BITS(39, 32) },
	{ "MODE-5", 2, 2, I, 40, 0, 0, 0, 2, BIT(21), RSVD },
	{ "MODE-5", 2, 2, I, 46, 0, 0, 0, 2, BIT(20), SAME | BIT(39) },
	{ "MODE-5", 2, 2, I, 52, 0, 0, 0, 2, BIT(21), RSVD },
	{ "MODE-5", 2, 2, AMD, 36, 0, 0, 0, 2, BIT(20), SAME | BIT(39) },
	{ "MODE-5", 2, 2, AMD, 36, 0, 0, 0, 2, BIT(21), RSVD },
	{ "MODE-5", 2, 2, AMD, 36, 0, CASE_PSE36_BY_M, 0, 2, BIT(16), SAME | BIT(35) },
	{ "MODE-5", 2, 2, AMD, 36, 0, CASE_PSE36_BY_M, 0, 2, BIT(17), RSVD },
	{ "MODE-5", 2, 2, AMD, 48, 0, CASE_PSE36_BY_M, 0, 2, BIT(20), SAME | BIT(39) },
	{ "MODE-5", 2, 2, AMD, 36, CASE_PSE36, 0, 0, 2, BIT(13), RSVD },
	{ "MODE-5", 2, 2, I, 36, 0, CASE_PSE36_BY_M, 0, 2, BIT(16), SAME | BIT(35) },
	/* PAT, and CPUs without it. */
	{ "MODE-6", 2, 1, I, 36, 0, 0, 0, 1, BIT(7), SAME },
	{ "MODE-6", 2, 1, I, 36, CASE_PAT, 0, 0, 1, BIT(7), RSVD },
	{ "MODE-6", 2, 1, I, 36, CASE_PAT, 0, CR4_PSE, 1, BIT(7), SAME },
	{ "MODE-6", 2, 2, I, 36, 0, 0, 0, 2, BIT(12), SAME },
	{ "MODE-6", 2, 2, I, 36, CASE_PAT, 0, 0, 2, BIT(12), RSVD },
	{ "MODE-6", 2, 2, I, 36, CASE_PAT, 0, 0, 2, BIT(8), SAME },
	{ "MODE-6", 3, 1, I, 36, CASE_PAT, 0, 0, 1, BIT(7), RSVD },
	{ "MODE-6", 3, 1, AMD, 36, CASE_PAT, 0, 0, 1, BIT(8), SAME },
	{ "MODE-6", 3, 2, I, 36, CASE_PAT, 0, 0, 2, BIT(12), RSVD },
	{ "MODE-6", 3, 1, I, 36, CASE_PAT, 0, 0, 2, BIT(12), 0 }, /* of a table: its address, where nothing is */
	{ "MODE-6", 3, 1, I, 36, 0, 0, 0, 1, BIT(7) | G, SAME },
	{ "MODE-6", 3, 2, I, 36, 0, 0, 0, 2, BIT(12) | G, SAME },
	{ "MODE-6", 4, 1, I, 46, CASE_PAT, 0, 0, 1, BIT(7), SAME }, /* long mode has PAT */
	{ "MODE-6", 4, 2, I, 46, CASE_PAT, 0, 0, 2, BIT(12), SAME },
	{ "MODE-6", 5, 3, AMD, 46, CASE_PAT, 0, 0, 3, BIT(12), SAME },
	/* PAE. The PDPTE: in the tests of loads. */
	{ "MODE-9", 3, 1, I, 36, 0, 0, 0, 2, BIT(36), RSVD },
	{ "MODE-9", 3, 1, I, 36, 0, 0, 0, 1, BIT(35), SAME | BIT(35) },
	{ "MODE-9", 3, 1, I, 36, 0, 0, 0, 1, BIT(36), RSVD },
	{ "MODE-9", 3, 1, I, 46, 0, 0, 0, 1, BIT(45), SAME | BIT(45) },
	{ "MODE-9", 3, 1, I, 46, 0, 0, 0, 1, BIT(62), RSVD },
	{ "MODE-9", 3, 1, I, 52, 0, 0, 0, 1, BIT(51), SAME | BIT(51) },
	{ "MODE-9", 3, 1, I, 52, 0, 0, 0, 1, BIT(52), RSVD }, /* no ignored bits and no keys here */
	{ "MODE-9", 3, 1, I, 52, 0, 0, 0, 2, BIT(62), RSVD },
	{ "MODE-9", 3, 2, I, 36, 0, 0, 0, 2, BIT(13), RSVD },
	{ "MODE-9", 3, 2, I, 36, 0, 0, 0, 2, BIT(20), RSVD },
	{ "MODE-9", 3, 2, I, 36, 0, 0, 0, 2, BIT(21), SAME | BIT(21) },
	{ "MODE-9", 3, 2, I, 36, 0, 0, 0, 2, BIT(36), RSVD },
	{ "MODE-9", 3, 2, AMD, 36, 0, 0, 0, 2, BITS(11, 8), SAME },
	{ "MODE-9", 3, 1, AMD, 36, 0, 0, 0, 2, BITS(11, 8), SAME },
	{ "MODE-9", 3, 1, I, 36, 0, 0, EFER_NXE, 1, XD, RSVD },
	{ "MODE-9", 3, 1, I, 36, 0, 0, EFER_NXE, 2, XD, RSVD },
	{ "MODE-9", 3, 2, I, 36, 0, 0, EFER_NXE, 2, XD, RSVD },
	/* Long mode. */
	{ "MODE-10", 4, 1, I, 46, 0, 0, 0, 4, BIT(7), RSVD },
	{ "MODE-10", 5, 1, I, 46, 0, 0, 0, 4, BIT(7), RSVD },
	{ "MODE-10", 5, 1, I, 46, 0, 0, 0, 5, BIT(7), RSVD },
	{ "MODE-10", 4, 1, I, 46, 0, 0, 0, 4, BIT(46), RSVD },
	{ "MODE-10", 5, 1, I, 46, 0, 0, 0, 5, BIT(51), RSVD },
	{ "MODE-10", 4, 1, I, 46, 0, 0, 0, 3, BIT(46), RSVD },
	{ "MODE-10", 4, 1, I, 46, 0, 0, 0, 1, BIT(46), RSVD },
	{ "MODE-10", 4, 1, I, 46, 0, 0, 0, 1, BIT(45), SAME | BIT(45) },
	{ "MODE-10", 4, 1, I, 51, 0, 0, 0, 1, BIT(51), RSVD },
	{ "MODE-10", 4, 1, I, 36, 0, 0, 0, 2, BIT(36), RSVD },
	{ "MODE-10", 4, 3, I, 46, 0, 0, 0, 3, BIT(29), RSVD },
	{ "MODE-10", 4, 3, I, 46, 0, 0, 0, 3, BIT(13), RSVD },
	{ "MODE-10", 4, 3, I, 46, 0, 0, 0, 3, BIT(30), SAME | BIT(30) },
	{ "MODE-10", 4, 3, I, 46, CASE_PAGE1GB, 0, 0, 3, 0, RSVD }, /* for its bit 7 */
	{ "MODE-10", 5, 3, I, 46, CASE_PAGE1GB, 0, 0, 3, 0, RSVD },
	{ "MODE-10", 4, 2, I, 46, CASE_PAGE1GB, 0, 0, 2, 0, SAME },
	{ "MODE-10", 4, 2, I, 46, 0, 0, 0, 2, BIT(13), RSVD },
	{ "MODE-10", 4, 2, I, 46, 0, 0, 0, 2, BIT(20), RSVD },
	{ "MODE-10", 4, 2, I, 46, 0, 0, 0, 2, BIT(21), SAME | BIT(21) },
	{ "MODE-10", 4, 1, I, 46, 0, 0, EFER_NXE, 4, XD, RSVD },
	{ "MODE-10", 4, 1, I, 46, 0, 0, EFER_NXE, 1, XD, RSVD },
	{ "MODE-10", 5, 3, I, 46, 0, 0, EFER_NXE, 3, XD, RSVD },
	/* Bit 8 above the leaf. */
	{ "MODE-11", 4, 1, I, 46, 0, 0, 0, 4, G, SAME },
	{ "MODE-11", 4, 1, AMD, 46, 0, 0, 0, 4, G, RSVD },
	{ "MODE-11", 5, 1, AMD, 46, 0, 0, 0, 4, G, RSVD },
	{ "MODE-11", 5, 1, AMD, 46, 0, 0, 0, 5, G, RSVD },
	{ "MODE-11", 5, 1, I, 46, 0, 0, 0, 5, G, SAME },
	{ "MODE-11", 4, 1, AMD, 46, 0, 0, 0, 4, BITS(11, 9), SAME },
	{ "MODE-11", 4, 1, AMD, 46, 0, 0, 0, 3, G, SAME },
	{ "MODE-11", 4, 1, AMD, 46, 0, CASE_PDPTE_BIT8, 0, 3, G, RSVD },
	{ "MODE-11", 4, 1, I, 46, 0, CASE_PDPTE_BIT8, 0, 3, G, SAME },
	{ "MODE-11", 4, 3, AMD, 46, 0, CASE_PDPTE_BIT8, 0, 3, G, SAME }, /* a page's G */
	{ "MODE-11", 4, 1, AMD, 46, 0, CASE_PDPTE_BIT8, 0, 2, G, SAME },
	{ "MODE-11", 3, 1, AMD, 46, 0, CASE_PDPTE_BIT8, 0, 2, G, SAME },
	/* M past 52. */
	{ "MODE-12", 4, 1, I, 52, 0, 0, 0, 1, BITS(51, 32), SAME | BITS(51, 32) },
	{ "MODE-12", 4, 1, I, 57, 0, 0, 0, 1, BITS(51, 32), SAME | BITS(51, 32) },
	{ "MODE-12", 5, 2, I, 255, 0, 0, 0, 2, BITS(62, 32), SAME | BITS(51, 32) },
	{ "MODE-12", 3, 1, I, 64, 0, 0, 0, 1, BIT(51), SAME | BIT(51) },
	{ "MODE-12", 3, 1, I, 64, 0, 0, 0, 1, BIT(52), RSVD },
	/* Ignored bits; the key, without PKE. */
	{ "MODE-13", 4, 1, I, 46, 0, 0, 0, 4, BITS(62, 52) | BITS(11, 9), SAME },
	{ "MODE-13", 4, 1, I, 46, 0, 0, 0, 3, BITS(62, 52) | BITS(11, 8), SAME },
	{ "MODE-13", 4, 1, I, 46, 0, 0, 0, 2, BITS(62, 52) | BITS(11, 8), SAME },
	{ "MODE-13", 4, 1, I, 46, 0, 0, 0, 1, BITS(62, 52) | BITS(11, 7), SAME },
	{ "MODE-13", 5, 1, AMD, 46, 0, 0, 0, 5, BITS(62, 52) | BITS(11, 9), SAME },
	{ "MODE-13", 5, 3, AMD, 46, 0, 0, 0, 3, BITS(62, 52) | BITS(12, 8), SAME },
	/* KVM's 2: 4 MiB pages have 36 bits. */
	{ "KVM 2", 2, 2, KI, 46, 0, 0, 0, 2, BIT(16), SAME | BIT(35) },
	{ "KVM 2", 2, 2, KI, 46, 0, 0, 0, 2, BIT(17), RSVD },
	{ "KVM 2", 2, 2, KI, 32, CASE_PSE36, 0, 0, 2, BITS(16, 13), SAME | BITS(35, 32) },
	{ "KVM 2", 2, 2, KA, 48, 0, 0, 0, 2, BIT(17), RSVD },
	{ "KVM 2", 2, 2, KA, 32, 0, 0, 0, 2, BIT(13), SAME | BIT(32) },
	/* KVM's 10: bit 8 of AMD. */
	{ "KVM 10", 4, 1, KI, 46, 0, 0, 0, 4, G, SAME },
	{ "KVM 10", 4, 1, KA, 46, 0, 0, 0, 4, G, RSVD },
	{ "KVM 10", 5, 1, KA, 46, 0, 0, 0, 5, G, RSVD },
	{ "KVM 10", 4, 1, KA, 46, 0, CASE_PDPTE_BIT8, 0, 3, G, SAME },
	/* KVM's 11: PAT or not. */
	{ "KVM 11", 2, 1, KI, 46, CASE_PAT, 0, 0, 1, BIT(7), SAME },
	{ "KVM 11", 2, 2, KI, 46, CASE_PAT, 0, 0, 2, BIT(12), SAME },
	{ "KVM 11", 3, 1, KA, 46, CASE_PAT, 0, 0, 1, BIT(7), SAME },
	{ "KVM 11", 3, 2, KA, 46, CASE_PAT, 0, 0, 2, BIT(12), SAME },
};

Test(mode, entries)
{
	unsigned differ = 0;

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *r = &rows[i];
		unsigned before = differ;

		table_question(&q, r->levels);
		q.profile = (enum case_profile)r->profile;
		q.maxphyaddr = r->maxphyaddr;
		q.features &= ~r->without;
		q.knobs = r->knobs;
		q.cr4 &= ~(r->off & CR4_PSE);
		q.efer &= ~(r->off & EFER_NXE);
		table_path(&q, r->leaf, P | W | U);
		table_set(&q, r->level, table_get(&q, q.memory.value, r->level) | r->bits);
		if (r->page == RSVD || !r->page) {
			want_fault(&q, &want, r->page ? 9 : 0);
		} else {
			bool xd = r->bits & XD;
			want_page(&q, &want, r->page | (q.va & (BIT(table_shift(&q, r->leaf)) - 1)),
				  table_shift(&q, r->leaf), CASE_R | CASE_W | CASE_U | (xd ? 0 : CASE_X));
			want_accessed(&q, &want, r->leaf);
		}
		table_check(&q, &want, &differ);
		cr_expect(differ == before, "row %u, %s", (unsigned)i, r->rule);
	}
}

/* ---- and as a walk by the rules, for entries of any kind ------------------------------------- */

/*
 * MODE-2 ... MODE-13, PERM-10, ERR-1, ERR-4, AD-1, AD-3 for a supervisor whom no right stops (WP = 0, no SMAP; reads
 * and writes), as slow and plain as it can be.
 */
static void rule_walk(void)
{
	unsigned levels = table_levels(&q), size = table_entry_size(&q), level;
	uint64_t table = q.cr3 & (levels == 2 ? BITS(31, 12) : levels == 3 ? BITS(31, 5) : BITS(rule_m(&q) - 1, 12));
	uint64_t slot[6], entry = 0, page;
	bool w = true, u = true, x = true;

	if (levels == 3)
		for (unsigned i = 0; i < 4; i++) {
			if (!case_load(&q.memory, q.memory.value, table + 8 * i, 8, &entry)) {
				want_outcome(&q, &want, rule_is_kvm(&q) ? CASE_PDPTE_FAULT : CASE_NO_MEMORY);
				return;
			}
			for (unsigned n = 1; n < 64 && (entry & P); n++)
				if ((entry & BIT(n)) && rule_is_reserved(&q, 3, false, n)) {
					want_outcome(&q, &want, CASE_PDPTE_FAULT);
					return;
				}
		}

	want_fault(&q, &want, q.access == CASE_WRITE ? 2 : 0);
	for (level = levels;; level--) {
		slot[level] = table + table_index(&q, q.va, level) * size;
		if (!case_load(&q.memory, q.memory.value, slot[level], size, &entry)) {
			if (!rule_is_kvm(&q)) /* KVM's deviation 7: as if not present */
				want_outcome(&q, &want, CASE_NO_MEMORY);
			return;
		}
		if (!(entry & P))
			return;
		bool leaf = rule_is_leaf(&q, level, entry);
		for (unsigned n = 1; n < 8 * size; n++)
			if ((entry & BIT(n)) && rule_is_reserved(&q, level, leaf, n)) {
				want.error_code |= 9;
				return;
			}
		if (!table_is_pdpte(&q, level)) {
			w = w && (entry & W);
			u = u && (entry & U);
			x = x && !(entry & XD);
		}
		if (leaf)
			break;
		table = entry & BITS(51, 12);
	}

	page = entry & BITS(51, table_shift(&q, level));
	if (levels == 2 && level == 2)
		for (unsigned n = 13; n + 19 < rule_pse_width(&q); n++)
			page |= entry & BIT(n) ? BIT(n + 19) : 0;
	want_page(&q, &want, page | (q.va & (BIT(table_shift(&q, level)) - 1)), table_shift(&q, level),
		  CASE_R | (w ? CASE_W : 0) | (u ? CASE_U : 0) | (x ? CASE_X : 0));
	for (unsigned l = levels; l >= level; l--)
		if (!table_is_pdpte(&q, l)) {
			case_load(&q.memory, want.value, slot[l], size, &entry);
			entry |= A | (l == level && q.access == CASE_WRITE ? D : 0);
			case_store(&q.memory, want.value, slot[l], size, entry);
		}
}

struct cpu {
	enum case_profile profile;
	unsigned knobs;
};

static const struct cpu hardware[] = {
	{ CASE_INTEL, 0 }, { CASE_AMD, 0 }, { CASE_AMD, CASE_PDPTE_BIT8 | CASE_PSE36_BY_M }
};
static const struct cpu kvm[] = { { CASE_KVM_INTEL, 0 }, { CASE_KVM_AMD, 0 } };

/* Every bit of every entry, turned over, in each mode and on each CPU. */
static void check_every_bit(const struct cpu *cpus, size_t count, const unsigned char *widths, size_t width_count)
{
	unsigned differ = 0, walks = 0;

	for (unsigned mode = 1; mode <= 5; mode++) { /* 1: 32-bit without PSE */
		unsigned levels = mode == 1 ? 2 : mode;

		for (unsigned leaf = 1; leaf <= (mode == 1 ? 1 : table_max_leaf(levels)); leaf++)
			for (unsigned level = levels; level >= leaf; level--)
				for (unsigned n = 0; n < (levels == 2 ? 32 : 64); n++) {
					table_question(&q, levels);
					if (mode == 1)
						q.cr4 = 0;
					q.cr0 = CR0_PE | CR0_PG;
					q.access = (n + leaf) & 1 ? CASE_WRITE : CASE_READ;
					table_path(&q, leaf, P | W | U);
					table_set(&q, level, table_get(&q, q.memory.value, level) ^ BIT(n));
					for (size_t i = 0; i < count * width_count * 8; i++, walks++) {
						q.profile = cpus[i / 8 / width_count].profile;
						q.knobs = cpus[i / 8 / width_count].knobs;
						q.maxphyaddr = widths[i / 8 % width_count];
						q.features = ALL_FEATURES & ~(i & 1 ? CASE_PAT : 0u) &
							     ~(i & 2 ? (unsigned)(CASE_PSE36 | CASE_PAGE1GB) : 0u);
						q.efer = (q.efer & ~EFER_NXE) | (i & 4 ? 0 : EFER_NXE);
						rule_walk();
						table_check(&q, &want, &differ);
					}
				}
	}
	cr_expect_eq(differ, 0, "%u of %u walks", differ, walks);
}

Test(mode, every_bit)
{
	static const unsigned char widths[] = { 32, 33, 35, 36, 37, 39, 40, 41, 46, 48, 51, 52, 57 };

	check_every_bit(hardware, COUNT(hardware), widths, COUNT(widths));
}

Test(mode, every_bit_kvm)
{
	static const unsigned char widths[] = { 36, 46, 52 };

	check_every_bit(kvm, COUNT(kvm), widths, COUNT(widths));
}

/* Some bits turned over at once, anywhere on the way; the rest of the machine by chance. */
Test(mode, random_entries)
{
	struct chance c = { 1 };
	unsigned differ = 0, outcomes[CASE_BAD_STATE + 1] = { 0 };

	for (unsigned i = 0; i < 150000; i++) {
		unsigned levels = 2 + chance_below(&c, 4);

		table_question(&q, levels);
		q.profile = (enum case_profile)chance_below(&c, 4);
		q.knobs = chance_below(&c, 2) ? CASE_PDPTE_BIT8 | CASE_PSE36_BY_M : 0;
		q.maxphyaddr = 32 + chance_below(&c, 22);
		q.features &= (unsigned)chance_bits(&c) | ~(unsigned)(CASE_PAT | CASE_PAGE1GB | CASE_PSE36);
		q.cr4 ^= levels == 2 && chance_below(&c, 4) == 0 ? CR4_PSE : 0;
		q.efer ^= chance_below(&c, 2) ? EFER_NXE : 0;
		q.cr0 = CR0_PE | CR0_PG;
		q.access = chance_below(&c, 2) ? CASE_WRITE : CASE_READ;
		table_path(&q, 1 + chance_below(&c, table_max_leaf(levels)), P | W | U);
		for (unsigned level = levels; level; level--) {
			uint64_t entry = table_get(&q, q.memory.value, level);
			for (unsigned n = chance_below(&c, 3); entry && n; n--)
				entry ^= BIT(chance_below(&c, chance_below(&c, 2) ? 12 : levels == 2 ? 32 : 64));
			if (level == 1 && !entry) /* below a large page that may be none any more */
				entry = 0x7003;
			table_set(&q, level, entry);
		}
		rule_walk();
		outcomes[want.outcome]++;
		table_check(&q, &want, &differ);
	}
	cr_expect_eq(differ, 0, "%u differ", differ);
	cr_expect(outcomes[CASE_TRANSLATED] > 1000 && outcomes[CASE_PAGE_FAULT] > 1000 &&
			  outcomes[CASE_NO_MEMORY] > 100 && outcomes[CASE_PDPTE_FAULT] > 100,
		  "the cases have gone blind");
}

/* MODE-12: of an entry with P = 0 no other bit counts, wherever it is. */
Test(mode, not_present_entries_have_no_other_bits)
{
	unsigned differ = 0;

	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned level = levels; level; level--)
			for (unsigned n = 0; n < 65; n++) {
				table_question(&q, levels);
				table_path(&q, 1, P | W | U);
				table_set(&q, level, n == 64 ? ~P : n ? BIT(n) : 0);
				want_fault(&q, &want, 0);
				table_check(&q, &want, &differ);
			}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* ---- A walker without library.c: quirks one by one, registers one after the other ------------ */

static int read_words(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	(void)w;
	return case_load(&q.memory, q.memory.value, pa, size, gpte) ? 0 : -1;
}

/* Sets up q's machine with these quirks, and no A and D updates. */
static struct kvm_pagewalk quirky(uint64_t quirks)
{
	struct kvm_pagewalk w = { .read_gpte = read_words, .pgd = q.cr3, .rflags = q.rflags };
	struct pagewalk_cpu cpu = library_cpu(&q);
	struct pagewalk_regs regs = { q.cr0, q.cr4, q.efer, q.compatibility };

	cpu.quirks = quirks;
	cr_assert_eq(pagewalk_init(&w, &cpu, &regs), PAGEWALK_OK, "init");
	return w;
}

/* ---- MODE-7: PDPTE registers ----------------------------------------------------------------- */

static enum pagewalk_status load_pdptes(uint64_t cr3, uint64_t pdptr[4])
{
	q.has_pdpte = true; /* so that opening loads nothing */
	cr_assert_eq(library_open(&run, &q, q.memory.value), PAGEWALK_OK, "open");
	memset(&run.walk, 0x5a, sizeof(run.walk));
	run.reads = 0;
	return pagewalk_load_pdptrs(&run.guest.walk, cr3, pdptr, &run.walk);
}

Test(mode, pdpte_load_checks_every_bit_of_every_entry)
{
	static const unsigned char widths[] = { 32, 36, 40, 52, 60 };
	unsigned differ = 0;

	for (size_t i = 0; i < COUNT(widths); i++)
		for (unsigned index = 0; index < 4; index++)
			for (unsigned n = 0; n < 64; n++)
				for (unsigned present = 0; present < 2; present++) {
					uint64_t pdptr[4] = { 1, 2, 3, 4 }, value[4] = { 0x1019, 0, 0x80000e01, ~P };
					bool bad, right;

					table_question(&q, 3);
					q.maxphyaddr = widths[i];
					value[index] = BIT(n) | present;
					for (unsigned j = 0; j < 4; j++)
						case_set(&q.memory, 0x3fe0 + 8 * j, value[j]);
					bad = (value[index] & P) && n && rule_is_reserved(&q, 3, false, n);
					enum pagewalk_status status = load_pdptes(0x3fff, pdptr); /* 31:5 is 0x3fe0 */
					if (bad)
						right = status == PAGEWALK_FAULT &&
							run.walk.fault.vector == PAGEWALK_VECTOR_GP &&
							!run.walk.fault.error_code && !run.walk.fault.second_stage &&
							run.walk.fault.rule == PAGEWALK_RULE(MODE, 7) &&
							pdptr[0] == 1 && pdptr[1] == 2 && pdptr[2] == 3 &&
							pdptr[3] == 4;
					else
						right = status == PAGEWALK_OK && !memcmp(pdptr, value, sizeof(value));
					right = right && run.reads == 4 && !run.writes;
					if (!right && table_counts(&differ))
						printf("M=%u PDPTE %u = %#" PRIx64 " => status %d, expected %s\n",
						       widths[i], index, value[index], (int)status,
						       bad ? "#GP and nothing loaded" : "loaded");
				}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* All four are there or none is loaded; a good first half does not count. */
Test(mode, pdpte_load_from_missing_memory)
{
	static const struct {
		uint64_t cr3, size, missing;
		enum case_profile profile;
		enum pagewalk_status status;
	} loads[] = {
		{ 0x3000, 0x3020, 0, CASE_INTEL, PAGEWALK_OK },
		{ 0x3000, 0x3018, 0x3018, CASE_INTEL, PAGEWALK_NO_MEMORY },
		{ 0x3000, 0x3010, 0x3010, CASE_AMD, PAGEWALK_NO_MEMORY },
		{ 0x3000, 0x3008, 0x3008, CASE_INTEL, PAGEWALK_NO_MEMORY },
		{ 0x3000, 0x3000, 0x3000, CASE_INTEL, PAGEWALK_NO_MEMORY },
		{ 0x301f, 0x3020, 0, CASE_INTEL, PAGEWALK_OK }, /* 4:0 of CR3 are no part of it */
		{ 0xfffffff0, 0x3020, 0xffffffe0, CASE_INTEL, PAGEWALK_NO_MEMORY },
		{ 0x3000, 0x3020, 0, CASE_KVM_INTEL, PAGEWALK_OK },
		{ 0x3000, 0x3018, 0, CASE_KVM_INTEL, PAGEWALK_FAULT }, /* KVM's 7 and 11 */
		{ 0x3000, 0x3000, 0, CASE_KVM_AMD, PAGEWALK_FAULT },
	};

	for (size_t i = 0; i < COUNT(loads); i++) {
		uint64_t pdptr[4] = { 1, 2, 3, 4 };
		enum pagewalk_status status;

		table_question(&q, 3);
		q.memory.size = loads[i].size;
		q.profile = loads[i].profile;
		case_set(&q.memory, 0x3000, 0x1001);
		status = load_pdptes(loads[i].cr3, pdptr);
		cr_expect(status == loads[i].status, "row %u: status %d", (unsigned)i, (int)status);
		if (status == PAGEWALK_OK) {
			cr_expect(pdptr[0] == 0x1001 && !pdptr[1] && !pdptr[2] && !pdptr[3], "row %u", (unsigned)i);
			continue;
		}
		cr_expect(pdptr[0] == 1 && pdptr[1] == 2 && pdptr[2] == 3 && pdptr[3] == 4, "row %u: loaded",
			  (unsigned)i);
		if (status == PAGEWALK_NO_MEMORY)
			cr_expect(run.walk.fault.gpa == loads[i].missing && !run.walk.fault.vector &&
					  !run.walk.fault.second_stage,
				  "row %u: missing %#" PRIx64, (unsigned)i, run.walk.fault.gpa);
		else
			cr_expect(run.walk.fault.vector == PAGEWALK_VECTOR_GP && !run.walk.fault.error_code, "row %u",
				  (unsigned)i);
	}
}

/* KVM's deviations 7 and 11 one without the other: whatever becomes of the load, MOV CR3 raises no #PF (MODE-7). */
Test(mode, pdpte_load_raises_no_page_fault)
{
	static const struct {
		uint64_t quirks;
		enum pagewalk_status status;
	} loads[] = {
		{ 0, PAGEWALK_NO_MEMORY },
		{ PAGEWALK_QUIRK_KVM_NOT_PRESENT, PAGEWALK_NO_MEMORY },
		{ PAGEWALK_QUIRK_KVM_PDPTE_LOAD, PAGEWALK_FAULT },
		{ PAGEWALK_QUIRKS_KVM & ~PAGEWALK_QUIRK_KVM_PDPTE_LOAD, PAGEWALK_NO_MEMORY },
		{ PAGEWALK_QUIRKS_KVM, PAGEWALK_FAULT },
	};

	for (size_t i = 0; i < COUNT(loads); i++) {
		uint64_t pdptr[4] = { 1, 2, 3, 4 };

		table_question(&q, 3);
		q.memory.size = 0x3000;
		struct kvm_pagewalk w = quirky(loads[i].quirks);
		enum pagewalk_status status = pagewalk_load_pdptrs(&w, 0x3000, pdptr, &run.walk);
		cr_expect(status == loads[i].status && pdptr[0] == 1 && pdptr[3] == 4 &&
				  run.walk.fault.vector == (status == PAGEWALK_FAULT ? PAGEWALK_VECTOR_GP : 0),
			  "row %u => status %d, vector %u", (unsigned)i, (int)status, run.walk.fault.vector);
	}
}

Test(mode, pdpte_load_belongs_to_pae)
{
	uint64_t pdptr[4] = { 1, 2, 3, 4 };

	for (unsigned levels = 0; levels <= 5; levels++) {
		if (levels == 1 || levels == 3)
			continue;
		table_question(&q, levels);
		cr_expect_eq(load_pdptes(0x3000, pdptr), PAGEWALK_BAD_STATE, "%u levels", levels);
		cr_expect(pdptr[0] == 1 && pdptr[3] == 4 && !run.reads, "%u levels", levels);
	}
}

/* A refused walker is none, whatever it was before. */
Test(mode, pdpte_load_with_a_refused_walker)
{
	struct pagewalk_regs bad = { CR0_PG, CR4_PAE, 0, false };
	uint64_t pdptr[4] = { 1, 2, 3, 4 };

	table_question(&q, 3);
	case_set(&q.memory, 0x3000, 0x1001);
	cr_assert_eq(load_pdptes(0x3000, pdptr), PAGEWALK_OK, "load");
	pdptr[0] = 1;
	run.reads = 0;
	cr_assert_eq(pagewalk_refresh(&run.guest.walk, &bad), PAGEWALK_BAD_STATE, "refresh");
	enum pagewalk_status status = pagewalk_load_pdptrs(&run.guest.walk, 0x3000, pdptr, &run.walk);
	cr_expect(status == PAGEWALK_BAD_STATE && pdptr[0] == 1 && !run.reads,
		  "PDPTE load after a refused refresh => status %d, expected %d", (int)status, (int)PAGEWALK_BAD_STATE);
}

/* At the walk a register is present or not; its memory is not looked at again; it has no rights and no A. */
Test(mode, pdpte_at_the_walk)
{
	static const struct {
		uint64_t pdpte;
		enum case_access access;
		bool user;
		uint64_t error_code; /* ~0: translated */
	} walks[] = {
		{ 0xc0000001, CASE_READ, false, ~UINT64_C(0) },
		{ 0xc0000001, CASE_WRITE, true, ~UINT64_C(0) }, /* R/W and U/S are 0 there */
		{ 0xc0000001, CASE_FETCH, true, ~UINT64_C(0) },
		{ 0xc0000e19, CASE_READ, true, ~UINT64_C(0) },
		{ 0xfff00000c00001e7, CASE_READ, true, ~UINT64_C(0) }, /* only a load looks at reserved bits */
		{ 0xc0000000, CASE_READ, false, 0 },
		{ 0xc0000000, CASE_WRITE, true, 6 },
		{ 0xfffffffffffffffe, CASE_FETCH, false, 0x10 },
		{ 0, CASE_FETCH, true, 0x14 },
	};
	unsigned differ = 0;

	for (size_t i = 0; i < COUNT(walks); i++) {
		table_question(&q, 3);
		table_path(&q, 1, P | W | U);
		case_set(&q.memory, table_slot(&q, 3), 0);
		q.has_pdpte = true;
		memset(q.pdpte, 0, sizeof(q.pdpte));
		q.pdpte[2] = walks[i].pdpte;
		q.access = walks[i].access;
		q.user = walks[i].user;
		if (walks[i].error_code != ~UINT64_C(0)) {
			want_fault(&q, &want, walks[i].error_code);
		} else {
			want_page(&q, &want, TABLE_PAGE | 0x678, 12, CASE_R | CASE_W | CASE_X | CASE_U);
			for (unsigned level = 2; level; level--)
				want_flags(&q, &want, level, A | (level == 1 && q.access == CASE_WRITE ? D : 0));
		}
		table_check(&q, &want, &differ);
		library_walk_run(&q, &got, &run);
		cr_expect(run.walk.guest.max_level == 3 && run.walk.guest.entry[2].pte == walks[i].pdpte &&
				  run.walk.guest.entry[2].gpa == PAGEWALK_INVALID_GPA &&
				  run.walk.guest.entry[2].pa == PAGEWALK_INVALID_GPA,
			  "row %u: the record of the PDPTE", (unsigned)i);
		if (walks[i].error_code != ~UINT64_C(0))
			cr_expect(run.walk.guest.level == 3 && run.walk.fault.rule == PAGEWALK_RULE(MODE, 7) &&
					  !run.reads,
				  "row %u: level %u", (unsigned)i, run.walk.guest.level);
	}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* Each of the four registers maps its GiB. */
Test(mode, pdpte_by_address)
{
	unsigned differ = 0;

	for (unsigned index = 0; index < 4; index++)
		for (unsigned loaded = 0; loaded < 2; loaded++) {
			table_question(&q, 3);
			q.va = (uint64_t)index << 30 | 0x00212abc;
			table_path(&q, 1, P | W | U | A);
			q.has_pdpte = loaded;
			memset(q.pdpte, 0, sizeof(q.pdpte));
			q.pdpte[index] = table_at[2] | P;
			want_page(&q, &want, TABLE_PAGE | 0xabc, 12, CASE_R | CASE_W | CASE_X | CASE_U);
			table_check(&q, &want, &differ);
			q.va ^= 1u << 30;
			want_fault(&q, &want, 0);
			table_check(&q, &want, &differ);
		}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* ---- MODE-16: canonical addresses ------------------------------------------------------------ */

Test(mode, canonical)
{
	static const struct {
		unsigned levels;
		uint64_t va;
		bool canonical;
	} addresses[] = {
		{ 4, 0, true }, { 5, 0, true }, { 4, ~UINT64_C(0), true }, { 5, ~UINT64_C(0), true },
		{ 4, 0x00007fffffffffff, true }, { 4, 0x0000800000000000, false },
		{ 4, 0xffff800000000000, true }, { 4, 0xffff7fffffffffff, false },
		{ 4, 0xfffeffffffffffff, false }, { 4, 0x0001000000000000, false },
		{ 4, 0x7fffffffffffffff, false }, { 4, 0x8000000000000000, false },
		{ 5, 0x0000800000000000, true }, { 5, 0xffff7fffffffffff, true },
		{ 5, 0x00ffffffffffffff, true }, { 5, 0x0100000000000000, false },
		{ 5, 0xff00000000000000, true }, { 5, 0xfeffffffffffffff, false },
		{ 5, 0x7fffffffffffffff, false }, { 5, 0x8000000000000000, false },
	};
	unsigned differ = 0;

	for (size_t i = 0; i < COUNT(addresses); i++)
		for (unsigned how = 0; how < 12; how++) {
			table_question(&q, addresses[i].levels);
			q.va = addresses[i].va;
			q.access = (enum case_access)(how % 3);
			q.user = how / 3 & 1;
			q.stack = how / 6;
			if (addresses[i].canonical) {
				want_fault(&q, &want, (q.access == CASE_WRITE ? 2 : q.access == CASE_FETCH ? 0x10 : 0) |
						      (q.user ? 4 : 0));
			} else {
				want_outcome(&q, &want, CASE_NON_CANONICAL);
				want.vector = q.stack ? 12 : 13;
			}
			table_check(&q, &want, &differ);
			library_walk_run(&q, &got, &run);
			if (!addresses[i].canonical &&
			    (run.reads || run.walk.fault.error_code || run.walk.fault.address != q.va ||
			     run.walk.guest.max_level || run.walk.fault.rule != PAGEWALK_RULE(MODE, 16) ||
			     run.walk.fault.second_stage))
				differ++;
		}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* Each bit turned over in an address of each half. */
Test(mode, canonical_every_bit)
{
	unsigned differ = 0;

	for (unsigned levels = 4; levels <= 5; levels++)
		for (unsigned n = 0; n < 64; n++)
			for (unsigned half = 0; half < 2; half++) {
				unsigned top = levels == 4 ? 47 : 56;

				table_question(&q, levels);
				q.va = (half ? ~UINT64_C(0) << top : 0) ^ 0x123456789abc ^ BIT(n);
				q.stack = n & 1;
				if (n < top) {
					want_fault(&q, &want, 0);
				} else {
					want_outcome(&q, &want, CASE_NON_CANONICAL);
					want.vector = q.stack ? 12 : 13;
				}
				table_check(&q, &want, &differ);
			}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* Outside 64-bit mode bits 63:32 do not exist. */
Test(mode, addresses_outside_64_bit_mode)
{
	static const uint64_t high[] = {
		0, BIT(32), BIT(47), BIT(48), BIT(63), ~UINT64_C(0) << 32, 0x5a5a5a5a00000000
	};
	unsigned differ = 0;

	for (unsigned levels = 2; levels <= 5; levels++)
		for (size_t i = 0; i < COUNT(high); i++)
			for (unsigned present = 0; present < 2; present++) {
				table_question(&q, levels);
				q.compatibility = levels > 3;
				q.va = 0xb6c31678;
				table_path(&q, 1, P | W | U | A);
				if (!present)
					table_set(&q, 1, 0);
				q.va |= high[i];
				q.stack = i & 1;
				if (present)
					want_page(&q, &want, TABLE_PAGE | 0x678, 12, CASE_R | CASE_W | CASE_X | CASE_U);
				else
					want_fault(&q, &want, 0);
				if (!present)
					want.cr2 = 0xb6c31678;
				table_check(&q, &want, &differ);
			}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* CS.L is of long mode; elsewhere it says nothing. */
Test(mode, compatibility_flag_in_legacy_modes)
{
	unsigned differ = 0;

	for (unsigned levels = 2; levels <= 3; levels++) {
		table_question(&q, levels);
		q.compatibility = true;
		table_path(&q, 1, P | W | U | A);
		want_page(&q, &want, TABLE_PAGE | 0x678, 12, CASE_R | CASE_W | CASE_X | CASE_U);
		table_check(&q, &want, &differ);
	}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* KVM's deviation 5. */
Test(mode, kvm_ignores_high_address_bits)
{
	static const uint64_t high[] = { BIT(63), BIT(57), 0x5a00000000000000, ~UINT64_C(0) << 57 };
	unsigned differ = 0;

	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned profile = CASE_KVM_INTEL; profile <= CASE_KVM_AMD; profile++)
			for (size_t i = 0; i < COUNT(high); i++) {
				table_question(&q, levels);
				q.profile = (enum case_profile)profile;
				table_path(&q, 1, P | W | U | A);
				q.va |= high[i] | (levels < 5 ? BIT(48) : 0);
				want_page(&q, &want, TABLE_PAGE | 0x678, 12, CASE_R | CASE_W | CASE_X | CASE_U);
				table_check(&q, &want, &differ);
			}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* ---- KVM's quirks, one bit at a time --------------------------------------------------------- */

Test(mode, quirks_alone)
{
	static const struct {
		uint64_t quirk;
		unsigned levels, leaf, without, level;
		uint64_t bits, va_bits, memory; /* memory: its size, 0: TABLE_MEMORY */
		enum pagewalk_status off, on;
	} quirks[] = {
		{ PAGEWALK_QUIRK_KVM_PSE36, 2, 2, 0, 2, BIT(17), 0, 0, PAGEWALK_OK, PAGEWALK_FAULT },
		{ PAGEWALK_QUIRK_KVM_PSE36, 2, 2, CASE_PSE36, 2, BIT(13), 0, 0, PAGEWALK_FAULT, PAGEWALK_OK },
		{ PAGEWALK_QUIRK_KVM_WIDTH, 4, 1, 0, 1, 0, BIT(48), 0, PAGEWALK_FAULT, PAGEWALK_OK },
		{ PAGEWALK_QUIRK_KVM_WIDTH, 5, 1, 0, 1, 0, BIT(57), 0, PAGEWALK_FAULT, PAGEWALK_OK },
		{ PAGEWALK_QUIRK_KVM_NOT_PRESENT, 2, 1, 0, 2, 0, 0, 0xc0000000, PAGEWALK_NO_MEMORY, PAGEWALK_FAULT },
		{ PAGEWALK_QUIRK_KVM_NOT_PRESENT, 5, 1, 0, 2, 0, 0, 0xc0000000, PAGEWALK_NO_MEMORY, PAGEWALK_FAULT },
		{ PAGEWALK_QUIRK_KVM_NO_PAT, 2, 1, CASE_PAT, 1, BIT(7), 0, 0, PAGEWALK_FAULT, PAGEWALK_OK },
		{ PAGEWALK_QUIRK_KVM_NO_PAT, 2, 2, CASE_PAT, 2, BIT(12), 0, 0, PAGEWALK_FAULT, PAGEWALK_OK },
	};

	for (size_t i = 0; i < COUNT(quirks); i++)
		for (unsigned on = 0; on < 2; on++) {
			struct pagewalk_walk walk;
			struct kvm_pagewalk w;
			enum pagewalk_status status;

			table_question(&q, quirks[i].levels);
			q.features &= ~quirks[i].without;
			table_path(&q, quirks[i].leaf, P | W | U | A);
			table_set(&q, quirks[i].level, table_get(&q, q.memory.value, quirks[i].level) | quirks[i].bits);
			if (quirks[i].memory)
				q.memory.size = quirks[i].memory;
			w = quirky(on ? quirks[i].quirk : PAGEWALK_QUIRKS_KVM & ~quirks[i].quirk);
			status = pagewalk_translate(&w, q.va | quirks[i].va_bits, PAGEWALK_ACCESS_READ, &walk);
			cr_expect(status == (on ? quirks[i].on : quirks[i].off), "row %u, quirk %s => status %d",
				  (unsigned)i, on ? "alone" : "off alone", (int)status);
			w = quirky(on ? PAGEWALK_QUIRKS_KVM : 0);
			status = pagewalk_translate(&w, q.va | quirks[i].va_bits, PAGEWALK_ACCESS_READ, &walk);
			cr_expect(status == (on ? quirks[i].on : quirks[i].off), "row %u, %s quirks => status %d",
				  (unsigned)i, on ? "all" : "no", (int)status);
		}
}

/* ---- Registers that no CPU can hold ---------------------------------------------------------- */

#define PG (CR0_PE | CR0_PG)
#define LONG (EFER_LME | EFER_LMA)

static const struct {
	uint64_t cr0, cr4, efer;
	unsigned without, maxphyaddr;
	bool possible;
} states[] = {
	{ 0, 0, 0, 0, 46, true },
	/* M */
	{ PG, 0, 0, 0, 32, true },
	{ PG, 0, 0, 0, 31, false },
	{ 0, 0, 0, 0, 0, false },
	{ PG, CR4_PAE, LONG, 0, 255, true },
	/* paging without protection */
	{ CR0_PG, 0, 0, 0, 46, false },
	{ CR0_PG, CR4_PAE, LONG, 0, 46, false },
	/* caches: write-back off needs caching off */
	{ PG | CR0_CD, 0, 0, 0, 46, true },
	{ PG | CR0_CD | CR0_NW, 0, 0, 0, 46, true },
	{ PG | CR0_NW, 0, 0, 0, 46, false },
	{ CR0_NW, 0, 0, 0, 46, false },
	/* CR0 has 32 bits */
	{ PG | BIT(32), 0, 0, 0, 46, false },
	{ BIT(63), 0, 0, 0, 46, false },
	/* LMA is LME and PG, and long mode has PAE */
	{ PG, CR4_PAE, LONG, 0, 46, true },
	{ PG, CR4_PAE, EFER_LME, 0, 46, false },
	{ PG, CR4_PAE, EFER_LMA, 0, 46, false },
	{ PG, 0, LONG, 0, 46, false },
	{ PG, 0, EFER_LME, 0, 46, false },
	{ PG, CR4_PSE, EFER_LMA, 0, 46, false },
	{ CR0_PE, CR4_PAE, EFER_LME, 0, 46, true },
	{ CR0_PE, 0, EFER_LME, 0, 46, true },
	{ CR0_PE, CR4_PAE, LONG, 0, 46, false },
	{ CR0_PE, CR4_PAE, EFER_LMA, 0, 46, false },
	{ 0, 0, LONG, 0, 46, false },
	/* PCIDs are long mode's */
	{ PG, CR4_PAE | CR4_PCIDE, LONG, 0, 46, true },
	{ PG, CR4_PAE | CR4_PCIDE, 0, 0, 46, false },
	{ PG, CR4_PCIDE, 0, 0, 46, false },
	{ CR0_PE, CR4_PAE | CR4_PCIDE, EFER_LME, 0, 46, false },
	{ 0, CR4_PCIDE, 0, 0, 46, false },
	/* CET needs WP */
	{ PG | CR0_WP, CR4_PAE | CR4_CET, LONG, 0, 46, true },
	{ PG, CR4_PAE | CR4_CET, LONG, 0, 46, false },
	{ PG, CR4_CET, 0, 0, 46, false },
	{ 0, CR4_CET, 0, 0, 46, false },
	/* features that are not there, paging on or off */
	{ PG, CR4_PSE, 0, CASE_PSE, 46, false },
	{ 0, CR4_PSE, 0, CASE_PSE, 46, false },
	{ PG, 0, 0, CASE_PSE, 46, true },
	{ PG, CR4_PAE, 0, CASE_PAE, 46, false },
	{ 0, CR4_PAE, 0, CASE_PAE, 46, false },
	{ PG, CR4_PAE, LONG, CASE_PAE, 46, false },
	{ PG, 0, 0, CASE_PAE, 46, true },
	{ PG, CR4_PAE | CR4_LA57, LONG, CASE_LA57, 46, false },
	{ PG, CR4_LA57, 0, CASE_LA57, 46, false },
	{ PG, CR4_PAE, LONG, CASE_LA57, 46, true },
	{ PG, CR4_SMEP, 0, CASE_SMEP, 46, false },
	{ PG, CR4_SMEP, 0, CASE_SMAP, 46, true },
	{ PG, CR4_SMAP, 0, CASE_SMAP, 46, false },
	{ PG, CR4_SMAP, 0, CASE_SMEP, 46, true },
	{ PG, CR4_PAE | CR4_PKE, LONG, CASE_PKU, 46, false },
	{ PG, CR4_PKE, 0, CASE_PKU, 46, false },
	{ PG, CR4_PKE, 0, 0, 46, true }, /* without long mode it does nothing */
	{ PG, CR4_PAE, EFER_NXE, CASE_NX, 46, false },
	{ 0, 0, EFER_NXE, CASE_NX, 46, false },
	{ PG, 0, EFER_NXE, 0, 46, true },
	{ PG, CR4_PAE, LONG, CASE_NX | CASE_PAT | CASE_PSE | CASE_PSE36 | CASE_PAGE1GB, 46, true },
	/* features that no pagewalk_cpu can have: MODE-17, MODE-18, MODE-19, PERM-8 */
	{ PG, CR4_PAE | BIT(24), LONG, 0, 46, false },
	{ PG, CR4_PAE | BIT(27), LONG, 0, 46, false },
	{ PG, CR4_PAE | BIT(28), LONG, 0, 46, false },
	{ PG, CR4_PAE, LONG | BIT(20), 0, 46, false },
	/* all at once */
	{ PG | CR0_WP | CR0_CD | CR0_NW, CR4_PSE | CR4_PAE | CR4_LA57 | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE |
	  CR4_CET, LONG | EFER_NXE | 1, 0, 52, true },
};

/* A refused walker answers BAD_STATE, reads and permits nothing, and comes back with registers that are possible. */
Test(mode, impossible_registers)
{
	for (size_t i = 0; i < COUNT(states); i++)
		for (unsigned profile = CASE_INTEL; profile <= CASE_KVM_AMD; profile++) {
			enum pagewalk_status expected = states[i].possible ? PAGEWALK_OK : PAGEWALK_BAD_STATE;
			enum pagewalk_status init, refresh, walked;
			struct pagewalk_regs good = { 0, 0, 0, false };

			table_question(&q, 0);
			q.profile = (enum case_profile)profile;
			q.cr0 = states[i].cr0;
			q.cr4 = states[i].cr4;
			q.efer = states[i].efer;
			q.features &= ~states[i].without;
			q.maxphyaddr = states[i].maxphyaddr;
			q.cr3 = 0;
			q.has_pdpte = true;
			memset(q.pdpte, 0, sizeof(q.pdpte));
			struct pagewalk_regs regs = { q.cr0, q.cr4, q.efer, false };
			init = library_open(&run, &q, q.memory.value);
			walked = pagewalk_translate(&run.guest.walk, 0x1000, PAGEWALK_ACCESS_READ, &run.walk);
			cr_expect(init == expected && (walked == PAGEWALK_BAD_STATE) == !states[i].possible &&
					  (states[i].possible || !run.reads),
				  "row %u: cr0=%#" PRIx64 " cr4=%#" PRIx64 " efer=%#" PRIx64
				  " M=%u without %#x => init %d walk %d",
				  (unsigned)i, q.cr0, q.cr4, q.efer, q.maxphyaddr, states[i].without, (int)init,
				  (int)walked);
			if (q.maxphyaddr < 32)
				continue;

			cr_expect_eq(pagewalk_refresh(&run.guest.walk, &good), PAGEWALK_OK, "row %u", (unsigned)i);
			cr_expect_eq(pagewalk_translate(&run.guest.walk, 0x1000, PAGEWALK_ACCESS_READ, &run.walk),
				     PAGEWALK_OK, "walk");
			refresh = pagewalk_refresh(&run.guest.walk, &regs);
			walked = pagewalk_translate(&run.guest.walk, 0x1000, PAGEWALK_ACCESS_READ, &run.walk);
			cr_expect(refresh == expected && (walked == PAGEWALK_BAD_STATE) == !states[i].possible,
				  "row %u => refresh %d walk %d", (unsigned)i, (int)refresh, (int)walked);
			refresh = pagewalk_refresh(&run.guest.walk, &regs);
			cr_expect_eq(refresh, expected, "row %u => second refresh %d", (unsigned)i, (int)refresh);
			if (!states[i].possible)
				cr_expect(pagewalk_permission_fault(&run.guest.walk, PAGEWALK_ACC_ALL, 0,
								    PAGEWALK_ACCESS_READ), "row %u", (unsigned)i);
		}
}

/* Bits that have no part in paging: a CPU without any feature may have each of them, and it is in the same role. */
Test(mode, registers_that_do_not_matter)
{
	static const unsigned cr0[] = { 1, 2, 3, 4, 5, 18, 29 /* NW: CD is set */ };
	static const unsigned cr4[] = { 0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 13, 14, 16, 18, 19 };
	static const unsigned efer[] = { 0, 12, 13, 14, 15, 17, 18, 21 };
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 32, 0);
	struct pagewalk_regs plain = { CR0_PE | CR0_PG | CR0_CD, 0, 0, false };
	struct kvm_pagewalk w;
	uint32_t role;

	memset(&w, 0, sizeof(w));
	w.read_gpte = read_words;
	cr_assert_eq(pagewalk_init(&w, &cpu, &plain), PAGEWALK_OK, "init");
	role = w.cpu_role;
	for (unsigned i = 0; i < COUNT(cr0) + COUNT(cr4) + COUNT(efer); i++) {
		struct pagewalk_regs regs = plain;

		if (i < COUNT(cr0))
			regs.cr0 |= BIT(cr0[i]);
		else if (i < COUNT(cr0) + COUNT(cr4))
			regs.cr4 |= BIT(cr4[i - COUNT(cr0)]);
		else
			regs.efer |= BIT(efer[i - COUNT(cr0) - COUNT(cr4)]);
		cr_expect(pagewalk_init(&w, &cpu, &regs) == PAGEWALK_OK && w.cpu_role == role,
			  "cr0=%#" PRIx64 " cr4=%#" PRIx64 " efer=%#" PRIx64 " => role %#" PRIx32 ", expected %#" PRIx32,
			  regs.cr0, regs.cr4, regs.efer, w.cpu_role, role);
	}
}

/* What a walker held before its init is gone: a format is written as a whole. */
Test(mode, init_over_remains)
{
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 46, PAGEWALK_FEATURES_ALL);
	const struct pagewalk_regs regs = { CR0_PE | CR0_PG, CR4_PAE, EFER_LME | EFER_LMA, false };
	struct kvm_pagewalk w[2];

	for (unsigned kind = 0; kind < 3; kind++) {
		for (unsigned i = 0; i < 2; i++) {
			memset(&w[i].fmt, i ? 0xff : 0, sizeof(w[i].fmt));
			w[i].read_gpte = read_words;
			w[i].ngpa_walk = NULL;
			cr_assert_eq(kind == 0 ? pagewalk_init(&w[i], &cpu, &regs) :
				     kind == 1 ? pagewalk_init_ept(&w[i], &cpu, 0x101e, false) :
						 pagewalk_init_npt(&w[i], &cpu, &regs, 0x1000, false), PAGEWALK_OK, "%u", kind);
		}
		cr_expect(w[0].fmt.bad_mt_xwr == w[1].fmt.bad_mt_xwr && w[0].fmt.table_access == w[1].fmt.table_access &&
			  w[0].fmt.xu_fold == w[1].fmt.xu_fold && w[0].fmt.pkru_mask == w[1].fmt.pkru_mask &&
			  w[0].fmt.fetch_error == w[1].fmt.fetch_error && w[0].fmt.pse36_mask == w[1].fmt.pse36_mask &&
			  w[0].fmt.root_rsvd == w[1].fmt.root_rsvd && w[0].fmt.present_mask == w[1].fmt.present_mask &&
			  w[0].fmt.va_mask == w[1].fmt.va_mask && w[0].fmt.va_half == w[1].fmt.va_half &&
			  w[0].fmt.va_high == w[1].fmt.va_high, "kind %u", kind);
		cr_expect(!memcmp(w[0].fmt.permissions, w[1].fmt.permissions, sizeof(w[0].fmt.permissions)) &&
			  !memcmp(w[0].fmt.table_mask, w[1].fmt.table_mask, sizeof(w[0].fmt.table_mask)) &&
			  !memcmp(w[0].fmt.ps_mask, w[1].fmt.ps_mask, sizeof(w[0].fmt.ps_mask)) &&
			  !memcmp(w[0].fmt.rsvd_bits_mask, w[1].fmt.rsvd_bits_mask, sizeof(w[0].fmt.rsvd_bits_mask)), "kind %u", kind);
	}
}

/* With paging off it is the same role whatever the bits say that paging has (MODE-1). */
Test(mode, registers_that_do_not_matter_without_paging)
{
	static const uint64_t cr4[] = { 0, CR4_PSE, CR4_PAE, CR4_SMEP, CR4_SMAP, CR4_PKE, CR4_LA57 };
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 46, PAGEWALK_FEATURES_ALL);
	struct kvm_pagewalk w;
	uint32_t role = 0;

	memset(&w, 0, sizeof(w));
	for (unsigned i = 0; i < COUNT(cr4) * 8; i++) {
		struct pagewalk_regs regs = { CR0_PE | (i & 1 ? CR0_WP : 0), cr4[i / 8],
					      (i & 2 ? EFER_NXE : 0) | (i & 4 ? EFER_LME : 0), false };

		cr_assert_eq(pagewalk_init(&w, &cpu, &regs), PAGEWALK_OK, "init");
		if (!i)
			role = w.cpu_role;
		cr_expect(w.cpu_role == role,
			  "cr0=%#" PRIx64 " cr4=%#" PRIx64 " efer=%#" PRIx64 " => role %#" PRIx32 ", expected %#" PRIx32,
			  regs.cr0, regs.cr4, regs.efer, w.cpu_role, role);
	}
}

/* Tables cannot be walked without read_gpte; with paging off there are none. */
Test(mode, no_read_callback)
{
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 46, PAGEWALK_FEATURES_ALL);
	struct pagewalk_regs off = { CR0_PE, 0, 0, false };
	struct pagewalk_regs on = { PG, CR4_PAE, LONG, false };
	struct kvm_pagewalk w = { .pgd = 0x1000 };
	struct pagewalk_walk walk;

	cr_expect_eq(pagewalk_init(&w, &cpu, &on), PAGEWALK_BAD_STATE, "init");
	cr_expect_eq(pagewalk_translate(&w, 0x1234, PAGEWALK_ACCESS_READ, &walk), PAGEWALK_BAD_STATE, "walk");
	cr_expect_eq(pagewalk_init(&w, &cpu, &off), PAGEWALK_OK, "init");
	cr_expect(pagewalk_translate(&w, 0x1234, PAGEWALK_ACCESS_READ, &walk) == PAGEWALK_OK && walk.pa == 0x1234,
		  "walk");
	cr_expect_eq(pagewalk_refresh(&w, &on), PAGEWALK_BAD_STATE, "refresh");
	cr_expect_eq(pagewalk_translate(&w, 0x1234, PAGEWALK_ACCESS_READ, &walk), PAGEWALK_BAD_STATE, "walk");
	cr_expect_eq(pagewalk_refresh(&w, &off), PAGEWALK_OK, "refresh");
	cr_expect_eq(pagewalk_translate(&w, 0x1234, PAGEWALK_ACCESS_READ, &walk), PAGEWALK_OK, "walk");
}

/* ---- Refresh --------------------------------------------------------------------------------- */

static bool same_format(const struct pagewalk_page_format *a, const struct pagewalk_page_format *b)
{
	return a->kind == b->kind && a->root_level == b->root_level && a->pae == b->pae &&
	       a->pdpte_registers == b->pdpte_registers && a->have_ad == b->have_ad && a->gmet == b->gmet &&
	       a->mbec == b->mbec && !memcmp(a->permissions, b->permissions, sizeof(a->permissions)) &&
	       a->pkru_mask == b->pkru_mask && a->fetch_error == b->fetch_error && a->root_mask == b->root_mask &&
	       a->root_rsvd == b->root_rsvd && !memcmp(a->table_mask, b->table_mask, sizeof(a->table_mask)) &&
	       !memcmp(a->ps_mask, b->ps_mask, sizeof(a->ps_mask)) &&
	       !memcmp(a->rsvd_bits_mask, b->rsvd_bits_mask, sizeof(a->rsvd_bits_mask)) &&
	       a->pse36_mask == b->pse36_mask && a->bad_mt_xwr == b->bad_mt_xwr &&
	       a->present_mask == b->present_mask && a->xu_fold == b->xu_fold && a->table_access == b->table_access &&
	       a->va_mask == b->va_mask && a->va_half == b->va_half && a->va_high == b->va_high;
}

/* Registers of some mode, most of them possible. */
static struct pagewalk_regs random_regs(struct chance *c)
{
	static const uint64_t cr0[] = { CR0_WP, CR0_CD, CR0_NW }, cr4[] = {
		CR4_PSE, CR4_SMEP, CR4_SMAP, CR4_PKE, CR4_LA57, CR4_PCIDE, CR4_CET
	};
	unsigned levels = chance_below(c, 6);
	struct pagewalk_regs r = { CR0_PE, 0, 0, chance_below(c, 8) == 0 };

	r.cr0 |= levels > 1 ? CR0_PG : 0;
	r.cr4 |= levels > 2 || (levels < 2 && chance_below(c, 2)) ? CR4_PAE : 0;
	r.efer |= levels > 3 ? LONG : levels < 2 && chance_below(c, 2) ? EFER_LME : 0;
	for (size_t i = 0; i < COUNT(cr0); i++)
		r.cr0 |= chance_below(c, i ? 16 : 2) == 0 ? cr0[i] : 0;
	for (size_t i = 0; i < COUNT(cr4); i++)
		r.cr4 |= chance_below(c, i > 4 ? 16 : 2) == 0 ? cr4[i] : 0;
	r.efer |= chance_below(c, 2) ? EFER_NXE : 0;
	if (chance_below(c, 32) == 0)
		*(chance_below(c, 2) ? &r.cr0 : &r.efer) ^= BIT(chance_below(c, 36));
	return r;
}

/* One bit changes, as a guest does it, or everything. */
static void change_regs(struct chance *c, struct pagewalk_regs *r)
{
	static const uint64_t rights[] = { CR4_SMEP, CR4_SMAP, CR4_PKE, CR4_PSE, CR4_LA57 };

	switch (chance_below(c, 8)) {
	case 0:
		*r = random_regs(c);
		break;
	case 1:
		r->efer ^= EFER_NXE;
		break;
	case 2:
		r->compatibility = !r->compatibility;
		break;
	case 3:
		r->cr0 ^= CR0_WP;
		break;
	case 4:
		r->cr0 ^= CR0_PG;
		if (r->efer & EFER_LME)
			r->efer ^= EFER_LMA;
		break;
	default:
		r->cr4 ^= rights[chance_below(c, COUNT(rights))];
	}
}

Test(mode, refresh_is_as_good_as_init)
{
	static const unsigned char widths[] = { 32, 36, 40, 46, 48, 52, 57 };
	struct chance c = { 7 };
	unsigned differ = 0, good = 0, bad = 0;

	table_question(&q, 0);
	for (unsigned sequence = 0; sequence < 500; sequence++) {
		struct pagewalk_cpu cpu =
			pagewalk_cpu_profile((enum pagewalk_profile)chance_below(&c, 4),
					     widths[chance_below(&c, COUNT(widths))], PAGEWALK_FEATURES_ALL);
		struct kvm_pagewalk w = { .read_gpte = read_words }, fresh;
		struct pagewalk_regs r = random_regs(&c);

		if (chance_below(&c, 2))
			cpu.features &= chance_bits(&c) | chance_bits(&c);
		if (!cpu.quirks)
			cpu.quirks = chance_bits(&c) & BITS(3, 0);
		pagewalk_init(&w, &cpu, &r);
		for (unsigned step = 0; step < 60; step++) {
			enum pagewalk_status refreshed, init;
			struct pagewalk_regs before = r;

			change_regs(&c, &r);
			memset(&fresh, (int)(step & 0xff), sizeof(fresh)); /* init leaves nothing as it was */
			fresh.read_gpte = read_words;
			fresh.cmpxchg_gpte = NULL;
			fresh.ngpa_walk = NULL;
			init = pagewalk_init(&fresh, &cpu, &r);
			refreshed = pagewalk_refresh(&w, &r);
			bool same =
				init == refreshed && w.gva_to_gpa == fresh.gva_to_gpa &&
				w.cpu_role == fresh.cpu_role &&
				(init == PAGEWALK_OK ? same_format(&w.fmt, &fresh.fmt) : w.fmt.kind == fresh.fmt.kind);
			if (!same && table_counts(&differ))
				printf("cr0=%#" PRIx64 " cr4=%#" PRIx64 " efer=%#" PRIx64 " to cr0=%#" PRIx64
				       " cr4=%#" PRIx64 " efer=%#" PRIx64 " => refresh %d, init %d\n",
				       before.cr0, before.cr4, before.efer, r.cr0, r.cr4, r.efer, (int)refreshed,
				       (int)init);
			*(init == PAGEWALK_OK ? &good : &bad) += 1;
		}
	}
	cr_expect_eq(differ, 0, "%u differ", differ);
	cr_expect(good > 5000 && bad > 500, "%u good, %u bad", good, bad);
}

/* What a guest sees of a change, without a look inside: the walk of one page that each register decides upon. */
Test(mode, refresh_changes_what_walks_do)
{
	const struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 46, PAGEWALK_FEATURES_ALL);
	static const struct {
		uint64_t cr0, cr4, efer;
		bool compatibility;
		uint64_t va, access, flags; /* flags: of the page */
		uint64_t error_code;        /* ~0: translated, ~1: not canonical */
	} steps[] = {
		{ PG | CR0_WP, 0, 0, false, 0, PAGEWALK_ACCESS_WRITE, P | U, 3 },
		{ PG, 0, 0, false, 0, PAGEWALK_ACCESS_WRITE, P | U, ~UINT64_C(0) },
		{ PG, CR4_SMAP, 0, false, 0, PAGEWALK_ACCESS_WRITE, P | U, 3 },
		{ PG, CR4_SMAP, 0, false, 0, PAGEWALK_ACCESS_WRITE, P | W, ~UINT64_C(0) },
		{ PG, 0, 0, false, 0, PAGEWALK_ACCESS_FETCH, P | U, ~UINT64_C(0) },
		{ PG, CR4_SMEP, 0, false, 0, PAGEWALK_ACCESS_FETCH, P | U, 0x11 },
		{ PG, CR4_PKE, 0, false, 0, PAGEWALK_ACCESS_READ, P | U, 0x21 },
		{ PG, 0, 0, false, 0, PAGEWALK_ACCESS_READ, P | U, ~UINT64_C(0) },
		{ PG, 0, EFER_NXE, false, 0, PAGEWALK_ACCESS_FETCH, P | XD, 0x11 },
		{ PG, 0, 0, false, 0, PAGEWALK_ACCESS_FETCH, P | XD, 0x9 },
		{ PG, 0, 0, true, 0, PAGEWALK_ACCESS_READ, P, ~UINT64_C(0) },
		{ PG, 0, 0, true, ~UINT64_C(0) << 32, PAGEWALK_ACCESS_READ, P, ~UINT64_C(0) },
		{ PG, 0, 0, false, BIT(48), PAGEWALK_ACCESS_READ, P, ~UINT64_C(1) },
		{ CR0_PE, 0, 0, false, BIT(48), PAGEWALK_ACCESS_READ, 0, ~UINT64_C(0) },
		{ PG, 0, 0, false, BIT(48), PAGEWALK_ACCESS_READ, P, ~UINT64_C(1) },
		{ PG, 0, 0, false, 0, PAGEWALK_ACCESS_READ, 0, 0 },
	};
	struct kvm_pagewalk w = { .read_gpte = read_words, .pkru = 0xffffffff };

	for (size_t i = 0; i < COUNT(steps); i++) {
		struct pagewalk_regs r = { steps[i].cr0, steps[i].cr4 | CR4_PAE, steps[i].efer,
					   steps[i].compatibility };
		struct pagewalk_walk walk;
		uint64_t code;

		r.efer |= r.cr0 & CR0_PG ? LONG : EFER_LME;
		table_question(&q, 4);
		q.va = 0xb6c31678;
		table_path(&q, 1, P | W | U | A);
		table_set(&q, 1, TABLE_PAGE | steps[i].flags);
		w.pgd = q.cr3;
		if (i)
			cr_assert_eq(pagewalk_refresh(&w, &r), PAGEWALK_OK, "refresh");
		else
			cr_assert_eq(pagewalk_init(&w, &cpu, &r), PAGEWALK_OK, "init");
		code = pagewalk_translate(&w, q.va ^ steps[i].va, steps[i].access, &walk) == PAGEWALK_OK ?
			       ~UINT64_C(0) :
		       walk.fault.vector == PAGEWALK_VECTOR_PF ? walk.fault.error_code :
								 ~UINT64_C(1);
		cr_expect_eq(code, steps[i].error_code, "row %u => %#" PRIx64 ", expected %#" PRIx64, (unsigned)i, code,
			     steps[i].error_code);
	}
}

/* ---- The rule that an answer cites ----------------------------------------------------------- */

Test(mode, rules_cited)
{
	static const struct {
		unsigned levels, leaf, profile, without, level;
		uint64_t bits;
		unsigned rule;
	} cited[] = {
		{ 2, 2, I, 0, 2, BIT(21), PAGEWALK_RULE(MODE, 5) },
		{ 2, 2, I, CASE_PSE36, 2, BIT(13), PAGEWALK_RULE(MODE, 5) },
		{ 2, 2, I, CASE_PAT, 2, BIT(12), PAGEWALK_RULE(MODE, 6) },
		{ 2, 1, I, CASE_PAT, 1, BIT(7), PAGEWALK_RULE(MODE, 6) },
		{ 3, 1, I, CASE_PAT, 1, BIT(7), PAGEWALK_RULE(MODE, 6) },
		{ 3, 2, I, CASE_PAT, 2, BIT(12), PAGEWALK_RULE(MODE, 6) },
		{ 3, 2, I, 0, 2, BIT(13), PAGEWALK_RULE(MODE, 9) },
		{ 3, 1, I, 0, 1, BIT(46), PAGEWALK_RULE(MODE, 9) },
		{ 4, 1, I, 0, 1, BIT(46), PAGEWALK_RULE(MODE, 10) },
		{ 4, 3, I, CASE_PAGE1GB, 3, 0, PAGEWALK_RULE(MODE, 10) },
		{ 4, 1, AMD, 0, 4, PS, PAGEWALK_RULE(MODE, 10) },
		{ 4, 1, AMD, 0, 4, G, PAGEWALK_RULE(MODE, 11) },
		{ 5, 1, AMD, 0, 5, G, PAGEWALK_RULE(MODE, 11) },
		{ 4, 1, AMD, 0, 3, G, PAGEWALK_RULE(MODE, 11) },
	};

	for (size_t i = 0; i < COUNT(cited); i++) {
		table_question(&q, cited[i].levels);
		q.profile = (enum case_profile)cited[i].profile;
		q.features &= ~cited[i].without;
		q.knobs = CASE_PDPTE_BIT8;
		table_path(&q, cited[i].leaf, P | W | U);
		table_set(&q, cited[i].level, table_get(&q, q.memory.value, cited[i].level) | cited[i].bits);
		library_walk_run(&q, &got, &run);
		cr_expect(run.status == PAGEWALK_FAULT && run.walk.fault.rule == cited[i].rule,
			  "row %u => status %d, family %u, number %u", (unsigned)i, (int)run.status,
			  PAGEWALK_RULE_FAMILY(run.walk.fault.rule), PAGEWALK_RULE_NUMBER(run.walk.fault.rule));
	}
}
