/* SPDX-License-Identifier: MIT */
/*
 * test_arch.c: the numbers that the headers give names to, as the manuals have them: an embedder uses them, too, and some
 * no walk ever looks at. The bits of the CPU's description and of the record are the library's own; they stay what they
 * are, as programs keep them.
 */
#include "tables.h"

struct number {
	const char *name;
	uint64_t is, should_be;
};

#define NUMBER(name, number) { #name, PAGEWALK_##name, number }

static void check_numbers(const struct number *numbers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		cr_expect(numbers[i].is == numbers[i].should_be, "PAGEWALK_%s => %#" PRIx64 ", expected %#" PRIx64,
			  numbers[i].name, numbers[i].is, numbers[i].should_be);
}

/* S2.5, A3.1. */
Test(arch, registers)
{
	static const struct number numbers[] = {
		NUMBER(CR0_PE, 0x1), NUMBER(CR0_WP, 0x10000), NUMBER(CR0_NW, 0x20000000), NUMBER(CR0_CD, 0x40000000),
		NUMBER(CR0_PG, 0x80000000),
		NUMBER(CR3_LAM_U57, 0x2000000000000000), NUMBER(CR3_LAM_U48, 0x4000000000000000),
		NUMBER(CR4_PSE, 0x10), NUMBER(CR4_PAE, 0x20), NUMBER(CR4_LA57, 0x1000), NUMBER(CR4_PCIDE, 0x20000),
		NUMBER(CR4_SMEP, 0x100000), NUMBER(CR4_SMAP, 0x200000), NUMBER(CR4_PKE, 0x400000),
		NUMBER(CR4_CET, 0x800000), NUMBER(CR4_PKS, 0x1000000), NUMBER(CR4_LASS, 0x8000000),
		NUMBER(CR4_LAM_SUP, 0x10000000),
		NUMBER(EFER_LME, 0x100), NUMBER(EFER_LMA, 0x400), NUMBER(EFER_NXE, 0x800), NUMBER(EFER_UAIE, 0x100000),
		NUMBER(RFLAGS_AC, 0x40000),
		NUMBER(PKRU_AD, 1), NUMBER(PKRU_WD, 2),
		NUMBER(VECTOR_SS, 12), NUMBER(VECTOR_GP, 13), NUMBER(VECTOR_PF, 14),
	};

	check_numbers(numbers, COUNT(numbers));
}

/* S4.3 ... S4.7, A15.25.6. */
Test(arch, entries_and_errors)
{
	static const struct number numbers[] = {
		NUMBER(PTE_PRESENT, 0x1), NUMBER(PTE_WRITABLE, 0x2), NUMBER(PTE_USER, 0x4), NUMBER(PTE_PWT, 0x8),
		NUMBER(PTE_PCD, 0x10), NUMBER(PTE_ACCESSED, 0x20), NUMBER(PTE_DIRTY, 0x40), NUMBER(PTE_PS, 0x80),
		NUMBER(PTE_PAT, 0x80), NUMBER(PTE_GLOBAL, 0x100), NUMBER(PTE_PAT_LARGE, 0x1000),
		NUMBER(PTE_PKEY_SHIFT, 59), NUMBER(PTE_NX, 0x8000000000000000),
		NUMBER(ADDRESS, 0x000ffffffffff000),
		NUMBER(PFERR_PRESENT, 0x1), NUMBER(PFERR_WRITE, 0x2), NUMBER(PFERR_USER, 0x4), NUMBER(PFERR_RSVD, 0x8),
		NUMBER(PFERR_FETCH, 0x10), NUMBER(PFERR_PK, 0x20),
		NUMBER(PFERR_GUEST_FINAL, 0x100000000), NUMBER(PFERR_GUEST_PAGE, 0x200000000),
	};

	check_numbers(numbers, COUNT(numbers));
}

/* S28.2, S27.2.1, S appendix C, A appendix C. */
Test(arch, ept_and_exits)
{
	static const struct number numbers[] = {
		NUMBER(EPT_READ, 0x1), NUMBER(EPT_WRITE, 0x2), NUMBER(EPT_EXEC, 0x4), NUMBER(EPT_PS, 0x80),
		NUMBER(EPT_ACCESSED, 0x100), NUMBER(EPT_DIRTY, 0x200), NUMBER(EPT_USER_EXEC, 0x400),
		NUMBER(EPTP_TYPE, 0x7), NUMBER(EPTP_LEVEL_SHIFT, 3), NUMBER(EPTP_LEVEL, 0x38), NUMBER(EPTP_AD, 0x40),
		NUMBER(EPTP_UC, 0), NUMBER(EPTP_WB, 6),
		NUMBER(EPT_VIOLATION_READ, 0x1), NUMBER(EPT_VIOLATION_WRITE, 0x2), NUMBER(EPT_VIOLATION_FETCH, 0x4),
		NUMBER(EPT_VIOLATION_RWX_SHIFT, 3), NUMBER(EPT_VIOLATION_XU, 0x40),
		NUMBER(EPT_VIOLATION_LA_VALID, 0x80), NUMBER(EPT_VIOLATION_FINAL, 0x100),
		NUMBER(EPT_VIOLATION_LA_USER, 0x200), NUMBER(EPT_VIOLATION_LA_WRITE, 0x400),
		NUMBER(EPT_VIOLATION_LA_NX, 0x800),
		NUMBER(EXIT_NONE, 0), NUMBER(EXIT_EPT_VIOLATION, 48), NUMBER(EXIT_EPT_MISCONFIG, 49),
		NUMBER(EXIT_NPF, 0x400),
	};

	check_numbers(numbers, COUNT(numbers));
}

/* No manual's, but programs have them in files and in other programs. */
Test(arch, interface)
{
	static const struct number numbers[] = {
		NUMBER(PTTYPE_EPT, 18), /* KVM's PTTYPE_EPT */
		NUMBER(MAX_LEVEL, 5), NUMBER(MAX_READS, 40), NUMBER(MAX_ATTEMPTS, 8),
		NUMBER(FEATURE_PSE, 1), NUMBER(FEATURE_PSE36, 2), NUMBER(FEATURE_PAE, 4), NUMBER(FEATURE_NX, 8),
		NUMBER(FEATURE_PAT, 0x10), NUMBER(FEATURE_PAGE1GB, 0x20), NUMBER(FEATURE_SMEP, 0x40),
		NUMBER(FEATURE_SMAP, 0x80), NUMBER(FEATURE_PKU, 0x100), NUMBER(FEATURE_LA57, 0x200),
		NUMBER(FEATURE_EPT_EXEC_ONLY, 0x100000000), NUMBER(FEATURE_EPT_2M, 0x200000000),
		NUMBER(FEATURE_EPT_1G, 0x400000000), NUMBER(FEATURE_EPT_AD, 0x800000000),
		NUMBER(FEATURE_EPT_5L, 0x1000000000), NUMBER(FEATURE_EPT_ADVANCED, 0x2000000000),
		NUMBER(FEATURES_ALL, 0x3f000003ff),
		NUMBER(QUIRK_AD_AS_WALKED, 1), NUMBER(QUIRK_EPT_HIGH_IGNORED, 2), NUMBER(QUIRK_AMD_PDPTE_BIT8, 4),
		NUMBER(QUIRK_AMD_PSE36_BY_M, 8),
		NUMBER(QUIRK_KVM_ID, 0x100), NUMBER(QUIRK_KVM_PSE36, 0x200), NUMBER(QUIRK_KVM_TABLE_WRITE, 0x400),
		NUMBER(QUIRK_KVM_PAGE_BASE, 0x800), NUMBER(QUIRK_KVM_WIDTH, 0x1000),
		NUMBER(QUIRK_KVM_NOT_PRESENT, 0x2000), NUMBER(QUIRK_KVM_EXIT_INFO, 0x4000),
		NUMBER(QUIRK_KVM_XU_IS_X, 0x8000), NUMBER(QUIRK_KVM_NO_PAT, 0x10000),
		NUMBER(QUIRK_KVM_PDPTE_LOAD, 0x20000), NUMBER(QUIRK_KVM_NPT_PDPTE, 0x40000),
		NUMBER(QUIRK_KVM_EPTP, 0x80000), NUMBER(QUIRK_KVM_PAE_CACHED, 0x100000),
		NUMBER(QUIRK_KVM_EPT_1G, 0x200000), NUMBER(QUIRK_KVM_ROOT, 0x400000), NUMBER(QUIRKS_KVM, 0x7fff02),
		NUMBER(ACCESS_READ, 0), NUMBER(ACCESS_WRITE, 0x2), NUMBER(ACCESS_USER, 0x4), NUMBER(ACCESS_FETCH, 0x10),
		NUMBER(ACCESS_IMPLICIT, 0x1000000000000), NUMBER(ACCESS_STACK, 0x2000000000000),
		NUMBER(ACCESS_NO_LINEAR, 0x4000000000000),
		NUMBER(ACC_EXEC, 1), NUMBER(ACC_WRITE, 2), NUMBER(ACC_USER, 4), NUMBER(ACC_READ, 4),
		NUMBER(ACC_USER_EXEC, 8), NUMBER(ACC_ALL, 15),
		NUMBER(RIGHTS_READ, 1), NUMBER(RIGHTS_WRITE, 2), NUMBER(RIGHTS_EXEC, 4), NUMBER(RIGHTS_USER, 8),
		NUMBER(INVALID_GPA, 0xffffffffffffffff),
	};

	check_numbers(numbers, COUNT(numbers));
}

Test(arch, rules)
{
	static const struct {
		uint16_t rule;
		unsigned family, number;
	} rows[] = {
		{ PAGEWALK_RULE(MODE, 16), 1, 16 }, { PAGEWALK_RULE(PERM, 7), 2, 7 }, { PAGEWALK_RULE(ERR, 1), 3, 1 },
		{ PAGEWALK_RULE(EPT, 13), 4, 13 },  { PAGEWALK_RULE(NPT, 0xff), 5, 0xff },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		cr_expect_eq(PAGEWALK_RULE_FAMILY(rows[i].rule), rows[i].family, "family of %#x", rows[i].rule);
		cr_expect_eq(PAGEWALK_RULE_NUMBER(rows[i].rule), rows[i].number, "number of %#x", rows[i].rule);
	}
}

/* Every pair of bounds, by adding up the bits one by one. */
Test(arch, bits)
{
	for (int high = 0; high < 64; high++)
		for (int low = 0; low < 64; low++) {
			uint64_t want = 0;

			for (int n = low; n <= high; n++)
				want += BIT(n);
			cr_expect(PAGEWALK_BITS(high, low) == want,
				  "BITS(%d, %d) => %#" PRIx64 ", expected %#" PRIx64, high, low,
				  PAGEWALK_BITS(high, low), want);
		}
	for (int n = 0; n < 64; n++)
		cr_expect(PAGEWALK_BIT(n) == UINT64_C(1) << n, "BIT(%d)", n);
}
