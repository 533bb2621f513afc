/* SPDX-License-Identifier: MIT */
/*
 * test_shadow.c: the functions of paging_tmpl.h one by one, as shadow paging calls them, for all three formats; the
 * record of a walk, from which a shadow is built; and an instance of the template with memory inlined.
 */
#include "tables.h"

static struct case_question q;
static struct case_answer got;
static struct library_run run;

/* ---- An instance of one's own: a window of guest memory -------------------------------------- */

struct window {
	const unsigned char *base;
	uint64_t gpa, size;
	struct kvm_pagewalk walk;
};

static inline int window_read(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	const struct window *window = PAGEWALK_CONTAINER_OF(w, struct window, walk);
	uint64_t at = pa - window->gpa, value = 0;

	if (pa < window->gpa || window->size < size || at > window->size - size)
		return -1;
	for (unsigned i = size; i--;)
		value = value << 8 | window->base[at + i];
	*gpte = value;
	return 0;
}

#define PTTYPE 64
#define FNAME(name) window64_##name
#define PAGEWALK_READ_GPTE(w, pa, size, gpte) window_read(w, pa, size, gpte)
#include <pagewalk/paging_tmpl.h>

#define PTTYPE 32
#define FNAME(name) window32_##name
#define PAGEWALK_READ_GPTE(w, pa, size, gpte) window_read(w, pa, size, gpte)
#include <pagewalk/paging_tmpl.h>

#define PTTYPE PAGEWALK_PTTYPE_EPT
#define FNAME(name) window_ept_##name
#define PAGEWALK_READ_GPTE(w, pa, size, gpte) window_read(w, pa, size, gpte)
#include <pagewalk/paging_tmpl.h>

/* Its parameters are gone, or the next include would not be what it says. */
#if defined(PTTYPE) || defined(FNAME) || defined(PAGEWALK_READ_GPTE) || defined(pt_element_t) ||                      \
	defined(PT_LEVEL_BITS) || defined(PT_ADDRESS) || defined(PT_NX) || defined(PT_ACCESSED) ||                    \
	defined(PT_DIRTY) || defined(PT_SHIFT)
#error "paging_tmpl.h leaves a parameter behind"
#endif

/* ---- Walkers --------------------------------------------------------------------------------- */

static int read_nothing(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	(void)w;
	(void)pa;
	(void)size;
	(void)gpte;
	return -1;
}

/* q's machine. */
static struct kvm_pagewalk guest_walker(void)
{
	struct kvm_pagewalk w = { .read_gpte = read_nothing, .pgd = q.cr3, .rflags = q.rflags };
	struct pagewalk_cpu cpu = library_cpu(&q);
	struct pagewalk_regs regs = { q.cr0, q.cr4, q.efer, q.compatibility };

	cr_assert_eq(pagewalk_init(&w, &cpu, &regs), PAGEWALK_OK, "init");
	return w;
}

#define EXEC_ONLY PAGEWALK_FEATURE_EPT_EXEC_ONLY

static struct kvm_pagewalk ept_walker(uint64_t without, uint64_t quirks, bool ad, bool mbec)
{
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 46, PAGEWALK_FEATURES_ALL & ~without);
	struct kvm_pagewalk w = { .read_gpte = read_nothing };

	cpu.quirks = quirks;
	cr_assert_eq(pagewalk_init_ept(&w, &cpu, 0x1000 | 3 << 3 | 6 | (ad ? BIT(6) : 0), mbec), PAGEWALK_OK, "init");
	return w;
}

/* ---- One entry ------------------------------------------------------------------------------- */

Test(shadow, is_present)
{
	for (unsigned levels = 2; levels <= 5; levels++) {
		table_question(&q, levels);
		struct kvm_pagewalk w = guest_walker();

		for (unsigned n = 0; n < 64; n++) {
			if (levels > 2)
				cr_expect_eq(pagewalk64_is_present_gpte(&w, BIT(n)), n == 0, "%u levels, bit %u",
					     levels, n);
			else if (n < 32)
				cr_expect_eq(pagewalk32_is_present_gpte(&w, (uint32_t)BIT(n)), n == 0, "bit %u", n);
		}
		if (levels > 2)
			cr_expect(!pagewalk64_is_present_gpte(&w, ~P) && pagewalk64_is_present_gpte(&w, ~UINT64_C(0)),
				  "present");
		else
			cr_expect(!pagewalk32_is_present_gpte(&w, 0xfffffffe) &&
				  pagewalk32_is_present_gpte(&w, 0xffffffff), "present");
	}
	for (unsigned mbec = 0; mbec < 2; mbec++) { /* EPT-2 */
		struct kvm_pagewalk w = ept_walker(0, 0, true, mbec);

		for (unsigned n = 0; n < 64; n++)
			cr_expect_eq(pagewalk_ept_is_present_gpte(&w, BIT(n)), n < 3 || (n == 10 && mbec),
				     "MBEC %u, bit %u", mbec, n);
		cr_expect(!pagewalk_ept_is_present_gpte(&w, ~UINT64_C(0x407)), "present");
	}
}

/* Against MODE-4 ... MODE-13 for each bit of each level, with and without bit 7. */
Test(shadow, is_rsvd_bits_set)
{
	static const unsigned char widths[] = { 32, 36, 40, 46, 52, 57 };
	unsigned differ = 0;

	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned i = 0; i < COUNT(widths) * 4 * 16; i++) {
			table_question(&q, levels);
			q.maxphyaddr = widths[i % COUNT(widths)];
			unsigned how = i / (unsigned)COUNT(widths);
			q.profile = (enum case_profile)(how & 3);
			q.features &= ~(how & 4 ? (unsigned)CASE_PAT : 0) &
				      ~(how & 8 ? (unsigned)(CASE_PAGE1GB | CASE_PSE36) : 0);
			q.efer ^= how & 16 ? EFER_NXE : 0;
			q.cr4 ^= (how & 32) && levels == 2 ? CR4_PSE : 0;
			struct kvm_pagewalk w = guest_walker();

			for (unsigned level = levels; level; level--)
				for (unsigned n = 0; n < (levels == 2 ? 32 : 64) * 2; n++) {
					uint64_t entry = P | BIT(n / 2) | (n & 1 ? PS : 0);
					bool leaf = rule_is_leaf(&q, level, entry), expected = false, is;

					for (unsigned bit = 1; bit < 64; bit++)
						expected = expected || ((entry & BIT(bit)) &&
									rule_is_reserved(&q, level, leaf, bit));
					is = levels == 2 ?
						     pagewalk32_is_rsvd_bits_set(&w, (uint32_t)entry, (int)level) :
						     pagewalk64_is_rsvd_bits_set(&w, entry, (int)level);
					if (is == expected || !table_counts(&differ))
						continue;
					table_print_question(&q);
					printf(" level %u entry %#" PRIx64 " => %d, expected %d\n", level, entry, is,
					       expected);
				}
		}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* EPT-3 c, d, e: bits 51:M; 7:3 of levels 5 and 4, 6:3 of a table, 7 without the size; 29:12 and 20:12 of a page. */
static bool rule_ept_reserved(unsigned level, bool leaf, unsigned n, bool has_1g, bool has_2m)
{
	if (n >= 46 && n < 52)
		return true;
	if (level >= 4)
		return n >= 3 && n <= 7;
	if (level == 1)
		return false;
	if (n == 7)
		return level == 3 ? !has_1g : !has_2m;
	return leaf ? n >= 12 && n <= (level == 3 ? 29 : 20) : n >= 3 && n <= 6;
}

Test(shadow, is_rsvd_bits_set_ept)
{
	unsigned differ = 0;

	for (unsigned i = 0; i < 8; i++) {
		bool has_1g = !(i & 1), has_2m = !(i & 2), mbec = i & 4;
		struct kvm_pagewalk w =
			ept_walker((has_1g ? 0 : PAGEWALK_FEATURE_EPT_1G) | (has_2m ? 0 : PAGEWALK_FEATURE_EPT_2M), 0,
				   true, mbec);

		for (unsigned level = 5; level; level--)
			for (unsigned n = 0; n < 64 * 2; n++) {
				uint64_t entry = 7 | BIT(n / 2) | (n & 1 ? PS : 0);
				bool leaf = level == 1 || (level == 2 && has_2m && (entry & PS)) ||
					    (level == 3 && has_1g && (entry & PS));
				bool expected = (entry & BITS(5, 3)) == 2 << 3; /* the one bad type with one bit */
				bool is;

				for (unsigned bit = 3; bit < 64; bit++)
					expected = expected || ((entry & BIT(bit)) &&
								rule_ept_reserved(level, leaf, bit, has_1g, has_2m));
				is = pagewalk_ept_is_rsvd_bits_set(&w, entry, (int)level);
				if (is != expected && table_counts(&differ))
					printf("level %u entry %#" PRIx64 " 1G %d 2M %d => %d, expected %d\n", level,
					       entry, has_1g, has_2m, is, expected);
			}
	}
	cr_expect_eq(differ, 0, "%u differ", differ);
}

/* EPT-3 a, b, f; EPT-2 and KVM's deviation 10 for bit 10. */
Test(shadow, is_bad_mt_xwr)
{
	unsigned differ = 0;

	for (unsigned i = 0; i < 16; i++) {
		bool exec_only = i & 1, mbec = i & 2, quirk = i & 4, noise = i & 8;
		struct kvm_pagewalk w =
			ept_walker(exec_only ? 0 : EXEC_ONLY, quirk ? PAGEWALK_QUIRK_KVM_XU_IS_X : 0, true, mbec);

		for (unsigned bits = 0; bits < 64 * 2; bits++) {
			uint64_t entry = (bits & 63) | (bits & 64 ? BIT(10) : 0);
			bool r = entry & 1, wr = entry & 2, x = entry & 4, xu = (entry & BIT(10)) && (mbec || quirk),
			     is, expected;
			unsigned type = (unsigned)(entry >> 3) & 7;

			if (!(entry & 7) && !((entry & BIT(10)) && mbec)) /* not present: nobody asks */
				continue;
			expected = (wr && !r) || (!r && (x || xu) && !exec_only) || type == 2 || type == 3 || type == 7;
			is = pagewalk_ept_is_bad_mt_xwr(&w, entry | (noise ? BITS(63, 11) | BITS(9, 6) : 0));
			if (is != expected && table_counts(&differ))
				printf("exec-only %d MBEC %d quirk %d entry %#" PRIx64 " => %d, expected %d\n",
				       exec_only, mbec, quirk, entry, is, expected);
			if (!noise && is && !pagewalk_ept_is_rsvd_bits_set(&w, entry, 1) && table_counts(&differ))
				printf("entry %#" PRIx64 " is bad, but not malformed\n", entry);
		}
	}
	table_question(&q, 4);
	struct kvm_pagewalk w = guest_walker();
	for (unsigned bits = 0; bits < 64; bits++) /* other formats have nothing like it */
		if (pagewalk64_is_bad_mt_xwr(&w, bits) || pagewalk32_is_bad_mt_xwr(&w, bits))
			differ++;
	cr_expect_eq(differ, 0, "%u differ", differ);
}

Test(shadow, is_last)
{
	static const struct {
		unsigned levels, without;
		uint64_t cr4; /* its bits that are off */
		unsigned large; /* bit n: level n can map a page */
	} formats[] = {
		{ 2, 0, 0, 1 << 2 }, { 2, 0, CR4_PSE, 0 }, { 2, CASE_PSE36, 0, 1 << 2 },
		{ 3, 0, 0, 1 << 2 }, { 3, CASE_PAGE1GB | CASE_PSE, 0, 1 << 2 }, /* MODE-9: whatever PSE is */
		{ 4, 0, 0, 1 << 2 | 1 << 3 }, { 4, CASE_PAGE1GB, 0, 1 << 2 }, { 5, 0, 0, 1 << 2 | 1 << 3 },
	};

	for (size_t i = 0; i < COUNT(formats); i++) {
		table_question(&q, formats[i].levels);
		q.features &= ~formats[i].without;
		q.cr4 &= ~formats[i].cr4;
		struct kvm_pagewalk w = guest_walker();

		for (unsigned level = formats[i].levels; level; level--)
			for (unsigned ps = 0; ps < 2; ps++) {
				bool expected = level == 1 || (ps && (formats[i].large >> level & 1));
				uint64_t entry = (P | W | U | A | D | G | BITS(31, 12)) | (ps ? PS : 0);
				bool is = formats[i].levels == 2 ?
						  pagewalk32_is_last_gpte(&w, (int)level, (uint32_t)entry) :
						  pagewalk64_is_last_gpte(&w, (int)level, entry);

				cr_expect_eq(is, expected, "row %u level %u bit 7 %u => %d", (unsigned)i, level, ps,
					     is);
			}
	}
	for (unsigned i = 0; i < 4; i++) {
		struct kvm_pagewalk w = ept_walker(
			(i & 1 ? PAGEWALK_FEATURE_EPT_1G : 0) | (i & 2 ? PAGEWALK_FEATURE_EPT_2M : 0), 0, true, false);

		for (int level = 5; level; level--) {
			cr_expect_eq(pagewalk_ept_is_last_gpte(&w, level, 7), level == 1, "pagewalk_ept_is_last_gpte");
			cr_expect_eq(pagewalk_ept_is_last_gpte(&w, level, 7 | PS),
				     level == 1 || (level == 2 && !(i & 2)) || (level == 3 && !(i & 1)),
				     "EPT %u level %d", i, level);
		}
	}
}

Test(shadow, gpte_access)
{
	table_question(&q, 4);
	struct kvm_pagewalk w = guest_walker();
	table_question(&q, 2);
	struct kvm_pagewalk w32 = guest_walker();

	for (unsigned i = 0; i < 8; i++)
		for (unsigned noise = 0; noise < 2; noise++) {
			uint64_t entry = (i & 1 ? W : 0) | (i & 2 ? U : 0) | (noise ? ~(W | U | XD) : P);
			unsigned rights = (i & 1 ? PAGEWALK_ACC_WRITE : 0u) | (i & 2 ? PAGEWALK_ACC_USER : 0u);

			cr_expect_eq(pagewalk64_gpte_access(&w, entry | (i & 4 ? XD : 0)),
				     rights | (i & 4 ? 0 : PAGEWALK_ACC_EXEC), "64");
			cr_expect_eq(pagewalk32_gpte_access(&w32, (uint32_t)entry), rights | PAGEWALK_ACC_EXEC, "32");
		}
	for (unsigned i = 0; i < 64; i++) { /* bits 2:0 and 10; MBEC; noise */
		struct kvm_pagewalk e = ept_walker(0, 0, true, i & 16);
		uint64_t entry = (i & 7) | (i & 8 ? BIT(10) : 0) | (i & 32 ? ~UINT64_C(0x407) : 0);

		cr_expect_eq(pagewalk_ept_gpte_access(&e, entry),
			     (i & 1 ? PAGEWALK_ACC_READ : 0) | (i & 2 ? PAGEWALK_ACC_WRITE : 0) |
				     (i & 4 ? PAGEWALK_ACC_EXEC : 0) |
				     ((i & 8) && (i & 16) ? PAGEWALK_ACC_USER_EXEC : 0),
			     "entry %#" PRIx64, entry);
	}
}

Test(shadow, gpte_pkeys)
{
	for (unsigned key = 0; key < 16; key++) {
		cr_expect_eq(pagewalk64_gpte_pkeys((uint64_t)key << 59), key, "pagewalk64_gpte_pkeys");
		cr_expect_eq(pagewalk64_gpte_pkeys((uint64_t)key << 59 | ~BITS(62, 59)), key, "pagewalk64_gpte_pkeys");
	}
	cr_expect_eq(pagewalk32_gpte_pkeys(0xffffffff), 0, "pagewalk32_gpte_pkeys");
	cr_expect_eq(pagewalk_ept_gpte_pkeys(~UINT64_C(0)), 0, "pagewalk_ept_gpte_pkeys");
}

/* MODE-4 ... MODE-10, EPT-3, EPT-4: where a leaf leads. */
Test(shadow, gpte_to_gpa)
{
	static const struct {
		unsigned levels;
		int level;
		uint64_t entry, gpa;
	} leaves[] = {
		{ 2, 1, 0xffffffff, 0xfffff000 }, { 2, 1, 0x12345fff, 0x12345000 },
		{ 2, 2, 0xffc01fff, 0xffc00000 }, { 2, 2, 0x40002083, 0x140000000 }, { 2, 2, 0x401fe083, 0xff40000000 },
		{ 3, 1, 0x80003ffffffff0ff, 0x3ffffffff000 }, { 3, 2, 0x80003fffffe01fff, 0x3fffffe00000 },
		{ 4, 1, 0xfff03fffffffffff, 0x3ffffffff000 }, { 4, 2, 0xfff03fffffe01fff, 0x3fffffe00000 },
		{ 4, 3, 0xfff03fffc0001fff, 0x3fffc0000000 }, { 5, 3, 0xfff03fffc0001fff, 0x3fffc0000000 },
	};

	for (size_t i = 0; i < COUNT(leaves); i++) {
		table_question(&q, leaves[i].levels);
		struct kvm_pagewalk w = guest_walker();
		uint64_t gpa = leaves[i].levels == 2 ?
				       pagewalk32_gpte_to_gpa_lvl(&w, (uint32_t)leaves[i].entry, leaves[i].level) :
				       pagewalk64_gpte_to_gpa_lvl(&w, leaves[i].entry, leaves[i].level);

		cr_expect_eq(gpa, leaves[i].gpa, "row %u => %#" PRIx64, (unsigned)i, gpa);
	}
	struct kvm_pagewalk e = ept_walker(0, 0, true, false);
	cr_expect_eq(pagewalk_ept_gpte_to_gpa_lvl(&e, 0xfff03fffffffffff, 1), 0x3ffffffff000, "EPT");
	cr_expect_eq(pagewalk_ept_gpte_to_gpa_lvl(&e, 0xfff03fffffe00fff, 2), 0x3fffffe00000, "EPT");
	cr_expect_eq(pagewalk_ept_gpte_to_gpa_lvl(&e, 0xfff03fffc0000fff, 3), 0x3fffc0000000, "EPT");
}

/* ---- Prefetch -------------------------------------------------------------------------------- */

/* A shadow of a clean page must not be writable; where there is no D flag, nothing is to be trapped. */
Test(shadow, protect_clean)
{
	table_question(&q, 4);
	struct kvm_pagewalk w = guest_walker(), ad = ept_walker(0, 0, true, false),
			    no_ad = ept_walker(0, 0, false, false);
	table_question(&q, 2);
	struct kvm_pagewalk w32 = guest_walker();

	for (unsigned rights = 0; rights < 16; rights++)
		for (unsigned dirty = 0; dirty < 2; dirty++) {
			unsigned kept = rights & ~(dirty ? 0u : PAGEWALK_ACC_WRITE), a;

			a = rights;
			pagewalk64_protect_clean_gpte(&w, &a, dirty ? D : ~D);
			cr_expect_eq(a, kept, "rights %u dirty %u => %u", rights, dirty, a);
			a = rights;
			pagewalk32_protect_clean_gpte(&w32, &a, (uint32_t)(dirty ? D : ~D));
			cr_expect_eq(a, kept, "32-bit rights %u dirty %u => %u", rights, dirty, a);
			a = rights;
			pagewalk_ept_protect_clean_gpte(&ad, &a, dirty ? BIT(9) : ~BIT(9));
			cr_expect_eq(a, kept, "EPT rights %u dirty %u => %u", rights, dirty, a);
			a = rights;
			pagewalk_ept_protect_clean_gpte(&no_ad, &a, dirty ? BIT(9) : ~BIT(9));
			cr_expect_eq(a, rights, "EPT without A/D, rights %u dirty %u => %u", rights, dirty, a);
		}
}

Test(shadow, prefetch)
{
	enum { G64, G32, EPT_AD, EPT };
	static const struct {
		unsigned format;
		uint64_t entry;
		unsigned pt_access;
		bool good;
		uint64_t gfn;
		unsigned access;
	} entries[] = {
		{ G64, 0x12345000 | P | W | U | A | D, 7, true, 0x12345, 7 },
		{ G64, 0x12345000 | P | W | U | A, 7, true, 0x12345, 5 },         /* clean */
		{ G64, 0x12345000 | P | W | U | D, 7, false, 0, 0 },              /* not accessed */
		{ G64, 0x12345000 | W | U | A | D, 7, false, 0, 0 },              /* not present */
		{ G64, 0x12345000 | P | W | U | A | D | BIT(46), 7, false, 0, 0 }, /* malformed */
		{ G64, 0x12345000 | P | W | U | A | D | BIT(45), 7, true, 0x200012345, 7 },
		{ G64, 0x12345000 | P | U | A | D | XD, 7, true, 0x12345, 4 },
		{ G64, 0x12345000 | P | W | A | D, 7, true, 0x12345, 3 },
		{ G64, 0x12345000 | P | W | U | A | D | BITS(62, 52) | BITS(11, 7), 7, true, 0x12345, 7 },
		{ G64, 0x12345000 | P | W | U | A | D, 5, true, 0x12345, 5 },     /* the tables above */
		{ G64, 0x12345000 | P | W | U | A | D, 2, true, 0x12345, 2 },
		{ G64, 0x12345000 | P | W | U | A | D, 0, true, 0x12345, 0 },
		{ G32, 0xfffff000 | P | W | U | A | D, 7, true, 0xfffff, 7 },
		{ G32, 0xfffff000 | P | W | U | A, 7, true, 0xfffff, 5 },
		{ G32, 0xfffff000 | P | U | A | D | PS, 6, true, 0xfffff, 4 },
		{ G32, 0xfffff000 | P | W | U | D, 7, false, 0, 0 },
		{ G32, 0xfffff000 | W | U | A | D, 7, false, 0, 0 },
		{ EPT_AD, 0x12345000 | 7 | 6 << 3 | BIT(8) | BIT(9), 7, true, 0x12345, 7 },
		{ EPT_AD, 0x12345000 | 7 | 6 << 3 | BIT(8), 7, true, 0x12345, 5 },
		{ EPT_AD, 0x12345000 | 7 | 6 << 3 | BIT(9), 7, false, 0, 0 },
		{ EPT_AD, 0x12345000 | 4 | 6 << 3 | BIT(8) | BIT(9), 7, true, 0x12345, 1 },
		{ EPT_AD, 0x12345000 | 2 | 6 << 3 | BIT(8) | BIT(9), 7, false, 0, 0 },
		{ EPT_AD, 0x12345000 | 7 | 2 << 3 | BIT(8) | BIT(9), 7, false, 0, 0 },
		{ EPT_AD, 0x12345000 | BIT(8) | BIT(9), 7, false, 0, 0 },
		{ EPT, 0x12345000 | 7 | 6 << 3, 7, true, 0x12345, 7 },            /* neither A nor D counts */
		{ EPT, 0x12345000 | 3 | 6 << 3, 6, true, 0x12345, 6 },
		{ EPT, 0x12345000 | 7 | 6 << 3 | BIT(48), 7, false, 0, 0 },
	};
	struct kvm_pagewalk walker[4];

	table_question(&q, 4);
	walker[G64] = guest_walker();
	table_question(&q, 2);
	walker[G32] = guest_walker();
	walker[EPT_AD] = ept_walker(0, 0, true, false);
	walker[EPT] = ept_walker(0, 0, false, false);
	for (size_t i = 0; i < COUNT(entries); i++) {
		const struct kvm_pagewalk *w = &walker[entries[i].format];
		uint64_t entry = entries[i].entry, gfn = 0;
		unsigned pt_access = entries[i].pt_access, access = 0;
		bool invalid, good;

		if (entries[i].format == G64) {
			invalid = pagewalk64_prefetch_invalid_gpte(w, entry);
			good = pagewalk64_prefetch_gpte(w, pt_access, entry, &gfn, &access);
		} else if (entries[i].format == G32) {
			invalid = pagewalk32_prefetch_invalid_gpte(w, (uint32_t)entry);
			good = pagewalk32_prefetch_gpte(w, pt_access, (uint32_t)entry, &gfn, &access);
		} else {
			invalid = pagewalk_ept_prefetch_invalid_gpte(w, entry);
			good = pagewalk_ept_prefetch_gpte(w, pt_access, entry, &gfn, &access);
		}
		cr_expect(invalid == !entries[i].good && good == entries[i].good && gfn == entries[i].gfn &&
				  access == entries[i].access,
			  "row %u => %d, gfn %#" PRIx64 ", access %u", (unsigned)i, good, gfn, access);
	}
}

/* Without PAT, CR4.PSE = 1, bit 7 of a 4 KiB entry is reserved (MODE-6): not to be prefetched. */
Test(shadow, prefetch_without_pat)
{
	for (unsigned levels = 2; levels <= 3; levels++)
		for (unsigned pat = 0; pat < 2; pat++) {
			uint64_t entry = 0x12345000 | P | W | U | A | D | PS;

			table_question(&q, levels);
			q.features &= ~(pat ? 0 : (unsigned)CASE_PAT);
			struct kvm_pagewalk w = guest_walker();
			bool invalid = levels == 2 ? pagewalk32_prefetch_invalid_gpte(&w, (uint32_t)entry) :
						     pagewalk64_prefetch_invalid_gpte(&w, entry);
			cr_expect_eq(invalid, !pat, "%u levels, PAT %u => %d", levels, pat, invalid);
		}
}

/* ---- The record ------------------------------------------------------------------------------ */

/* Where each entry is, what it was, what the tables above it allow, and how it ends. */
Test(shadow, record_of_a_walk)
{
	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned leaf = 1; leaf <= table_max_leaf(levels); leaf++)
			for (unsigned writes = 0; writes < 32; writes++) { /* bit n - 1: W in level n */
				unsigned allowed = PAGEWALK_ACC_EXEC | PAGEWALK_ACC_WRITE | PAGEWALK_ACC_USER;
				const struct pagewalk_stage *s = &run.walk.guest;

				table_question(&q, levels);
				q.user = true;
				q.implicit = writes & 1;
				table_path(&q, leaf, P | U | W);
				for (unsigned level = levels; level >= leaf; level--)
					if (!(writes >> (level - 1) & 1) && !table_is_pdpte(&q, level))
						table_set(&q, level, table_get(&q, q.memory.value, level) & ~W);
				q.has_pdpte = levels == 3;
				memset(q.pdpte, 0, sizeof(q.pdpte));
				q.pdpte[2] = table_get(&q, q.memory.value, 3);
				memset(&run.walk, 0x5a, sizeof(run.walk));
				library_walk_run(&q, &got, &run);
				cr_assert_eq(run.status, PAGEWALK_OK, "run");
				for (unsigned level = levels; level >= leaf; level--) {
					uint64_t slot = table_is_pdpte(&q, level) ? PAGEWALK_INVALID_GPA :
										    table_slot(&q, level);
					uint64_t entry = table_get(&q, q.memory.value, level);

					cr_expect(s->entry[level - 1].gpa == slot && s->entry[level - 1].pa == slot &&
							  s->entry[level - 1].pte == entry &&
							  s->pt_access[level - 1] == allowed,
						  "%u levels, leaf %u, W %#x, level %u => gpa %#" PRIx64
						  " pte %#" PRIx64 " access %u, expected %u",
						  levels, leaf, writes, level, s->entry[level - 1].gpa,
						  s->entry[level - 1].pte, s->pt_access[level - 1], allowed);
					if (!(entry & W) && !table_is_pdpte(&q, level))
						allowed &= ~PAGEWALK_ACC_WRITE;
				}
				cr_expect(s->pte_access == allowed && s->pte_pkey == 0 && s->max_level == levels &&
						  s->level == leaf && s->page_shift == table_shift(&q, leaf) &&
						  s->address == q.va && s->gpa == run.walk.pa &&
						  s->access == (q.implicit ? PAGEWALK_ACCESS_IMPLICIT :
									     PAGEWALK_ACCESS_USER) &&
						  run.walk.nested.max_level == 0 &&
						  pagewalk_page_shift(&run.walk) == s->page_shift,
					  "%u levels, leaf %u => access %u level %u shift %u", levels, leaf,
					  s->pte_access, s->level, s->page_shift);
			}
}

/* Of a walk that is refused the record goes down to the entry that did it. */
Test(shadow, record_of_a_fault)
{
	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned bad = levels - (levels == 3); bad; bad--) {
			const struct pagewalk_stage *s = &run.walk.guest;

			table_question(&q, levels);
			table_path(&q, 1, P | U | W);
			table_set(&q, bad, 0x123456 << 1);
			memset(&run.walk, 0x5a, sizeof(run.walk));
			library_walk_run(&q, &got, &run);
			cr_expect(run.status == PAGEWALK_FAULT && s->max_level == levels && s->level == bad &&
					  s->entry[bad - 1].pte == 0x123456 << 1 &&
					  s->entry[bad - 1].gpa == table_slot(&q, bad) &&
					  s->entry[levels - 1].pte == table_get(&q, q.memory.value, levels),
				  "%u levels, bad %u => status %d, level %u", levels, bad, (int)run.status, s->level);
		}
}

/* ---- walk_addr ------------------------------------------------------------------------------- */

/* As pagewalk_translate(), but for the checks before paging: any address is walked as it is. */
Test(shadow, walk_addr)
{
	for (unsigned levels = 2; levels <= 5; levels++)
		for (unsigned bad = 0; bad < 3; bad++) {
			uint64_t high = bad == 2 ? BITS(63, 58) ^ BIT(60) : 0;
			struct pagewalk_walk walk;
			enum pagewalk_status status;

			table_question(&q, levels);
			q.user = true;
			table_path(&q, 1, P | W | U);
			if (bad == 1)
				table_set(&q, 1, TABLE_PAGE | P);
			q.has_pdpte = levels == 3;
			memset(q.pdpte, 0, sizeof(q.pdpte));
			q.pdpte[2] = table_at[2] | P;
			cr_assert_eq(library_open(&run, &q, q.memory.value), PAGEWALK_OK, "open");
			memset(&walk, 0x5a, sizeof(walk));
			status = levels == 2 ? pagewalk32_walk_addr(&run.guest.walk, q.va | high, PAGEWALK_ACCESS_USER,
								    &walk) :
					       pagewalk64_walk_addr(&run.guest.walk, q.va | high, PAGEWALK_ACCESS_USER,
								    &walk);
			if (bad == 1)
				cr_expect(status == PAGEWALK_FAULT && walk.fault.error_code == 5 &&
						  walk.fault.address == q.va,
					  "%u levels => status %d", levels, (int)status);
			else
				cr_expect(status == PAGEWALK_OK && walk.pa == (TABLE_PAGE | 0x678) &&
						  walk.nested.max_level == 0 && (table_get(&q, q.memory.value, 1) & A),
					  "%u levels, high %d => status %d", levels, bad == 2, (int)status);
		}
}

/* A supervisor by an implicit access, there as elsewhere (PERM-1). */
Test(shadow, walk_addr_implicit)
{
	struct pagewalk_walk walk;

	table_question(&q, 4);
	table_path(&q, 1, P | W);
	cr_assert_eq(library_open(&run, &q, q.memory.value), PAGEWALK_OK, "open");
	cr_expect_eq(pagewalk64_walk_addr(&run.guest.walk, q.va, PAGEWALK_ACCESS_USER, &walk), PAGEWALK_FAULT, "walk");
	cr_expect_eq(
		pagewalk64_walk_addr(&run.guest.walk, q.va, PAGEWALK_ACCESS_USER | PAGEWALK_ACCESS_IMPLICIT, &walk),
		PAGEWALK_OK, "walk");
}

/* Memory for EPT tables and for the window: words at 0x1000 and up. */
#define WINDOW_GPA  UINT64_C(0x40000)
#define WINDOW_SIZE 0x10000
static unsigned char window_bytes[WINDOW_SIZE];
static unsigned default_reads;

static int window_callback(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	default_reads++;
	return window_read(w, pa, size, gpte);
}

static void window_set(uint64_t pa, uint64_t value)
{
	for (unsigned i = 0; i < 8; i++)
		window_bytes[pa - WINDOW_GPA + i] = (unsigned char)(value >> 8 * i & 0xff);
}

static bool same_stage(const struct pagewalk_stage *a, const struct pagewalk_stage *b, bool complete)
{
	if (a->max_level != b->max_level)
		return false;
	if (!a->max_level)
		return true;
	if (a->address != b->address || a->access != b->access || a->level != b->level)
		return false;
	for (int level = a->max_level; level >= a->level; level--)
		if (a->entry[level - 1].gpa != b->entry[level - 1].gpa ||
		    a->entry[level - 1].pa != b->entry[level - 1].pa)
			return false;
	return !complete || (a->gpa == b->gpa && a->page_shift == b->page_shift && a->pte_access == b->pte_access &&
			     a->pte_pkey == b->pte_pkey);
}

static bool same_walk(enum pagewalk_status status, const struct pagewalk_walk *a, const struct pagewalk_walk *b)
{
	const struct pagewalk_fault *f = &a->fault, *g = &b->fault;

	if (!same_stage(&a->guest, &b->guest, status == PAGEWALK_OK) ||
	    !same_stage(&a->nested, &b->nested, status == PAGEWALK_OK))
		return false;
	if (status == PAGEWALK_OK)
		return a->pa == b->pa;
	return f->error_code == g->error_code && f->address == g->address && f->gpa == g->gpa &&
	       f->exit_qualification == g->exit_qualification && f->exit == g->exit && f->rule == g->rule &&
	       f->vector == g->vector && f->second_stage == g->second_stage;
}

/* A shadow of a guest's EPT is built with walk_addr of that format. It has to say what pagewalk_translate() says. */
Test(shadow, walk_addr_ept)
{
	static const struct {
		uint64_t leaf, access;
		enum pagewalk_status status;
		unsigned exit;
		uint64_t qualification; /* EPT-8: for no linear address of the walk itself: bits 5:0 */
	} walks[] = {
		{ 0x80000000 | 6 << 3 | 7, PAGEWALK_ACCESS_READ, PAGEWALK_OK, 0, 0 },
		{ 0x80000000 | 6 << 3 | 1, PAGEWALK_ACCESS_WRITE, PAGEWALK_NESTED_FAULT, PAGEWALK_EXIT_EPT_VIOLATION,
		  1 << 3 | 2 },
		{ 0x80000000 | 6 << 3 | 3, PAGEWALK_ACCESS_FETCH, PAGEWALK_NESTED_FAULT, PAGEWALK_EXIT_EPT_VIOLATION,
		  3 << 3 | 4 },
		{ 0, PAGEWALK_ACCESS_READ, PAGEWALK_NESTED_FAULT, PAGEWALK_EXIT_EPT_VIOLATION, 1 },
		{ 0x80000000 | 6 << 3 | 2, PAGEWALK_ACCESS_READ, PAGEWALK_NESTED_FAULT, PAGEWALK_EXIT_EPT_MISCONFIG,
		  0 },
	};
	const uint64_t gpa = 0x123456789abc;

	for (size_t i = 0; i < COUNT(walks); i++) {
		struct window window = { window_bytes, WINDOW_GPA, WINDOW_SIZE, { .read_gpte = window_callback } };
		struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 46, PAGEWALK_FEATURES_ALL);
		struct pagewalk_walk direct, walk;

		memset(window_bytes, 0, sizeof(window_bytes));
		for (unsigned level = 4; level; level--)
			window_set(WINDOW_GPA + (uint64_t)(4 - level) * 0x1000 +
					   (gpa >> (12 + 9 * (level - 1)) & 511) * 8,
				   level > 1 ? (WINDOW_GPA + (uint64_t)(5 - level) * 0x1000) | 7 : walks[i].leaf);
		cr_assert_eq(pagewalk_init_ept(&window.walk, &cpu, WINDOW_GPA | 3 << 3 | 6, false), PAGEWALK_OK,
			     "init");
		memset(&direct, 0x5a, sizeof(direct));
		memset(&walk, 0x5a, sizeof(walk));
		enum pagewalk_status expected = pagewalk_translate(&window.walk, gpa, walks[i].access, &direct);
		enum pagewalk_status status = pagewalk_ept_walk_addr(&window.walk, gpa, walks[i].access, &walk);
		cr_expect(expected == walks[i].status && status == walks[i].status,
			  "row %u => translate %d, walk_addr %d, expected %d", (unsigned)i, (int)expected, (int)status,
			  (int)walks[i].status);
		cr_expect(same_walk(status, &walk, &direct), "row %u => another record", (unsigned)i);
		if (status == PAGEWALK_OK) {
			cr_expect(walk.pa == 0x80000abc && direct.pa == walk.pa, "row %u => %#" PRIx64, (unsigned)i,
				  walk.pa);
			continue;
		}
		cr_expect(direct.fault.exit == walks[i].exit && direct.fault.gpa == gpa &&
				  (direct.fault.exit_qualification & 0x3f) == walks[i].qualification,
			  "row %u, translate => exit %u gpa %#" PRIx64 " qualification %#" PRIx64, (unsigned)i,
			  direct.fault.exit, direct.fault.gpa, direct.fault.exit_qualification);
		cr_expect(walk.fault.exit == walks[i].exit && walk.fault.gpa == gpa &&
				  (walk.fault.exit_qualification & 0x3f) == walks[i].qualification,
			  "row %u, walk_addr => exit %u gpa %#" PRIx64 " qualification %#" PRIx64
			  ", expected %u %#" PRIx64 " %#" PRIx64,
			  (unsigned)i, walk.fault.exit, walk.fault.gpa, walk.fault.exit_qualification, walks[i].exit,
			  gpa, walks[i].qualification);
	}
}

/* ---- The instance of one's own --------------------------------------------------------------- */

/* Fills the window with entries, most of which lead somewhere in it. */
static void random_window(struct chance *c, unsigned size, bool ept)
{
	for (uint64_t at = 0; at < WINDOW_SIZE; at += size) {
		uint64_t page = chance_below(c, 8) ?
					WINDOW_GPA + (uint64_t)chance_below(c, WINDOW_SIZE >> 12) * 0x1000 :
					chance_bits(c) & BITS(35, 12);
		uint64_t entry = page | (ept ? 7 | (chance_below(c, 16) ? 0 : PS | 6 << 3) :
					       P | U | (chance_below(c, 4) ? W : 0));

		entry ^= chance_below(c, 32) ? 0 : BIT(chance_below(c, 8 * size));
		for (unsigned i = 0; i < size; i++)
			window_bytes[at + i] = (unsigned char)(entry >> 8 * i & 0xff);
	}
}

/* The same tables by the default instance and by the window's, through pagewalk_translate() and walk_addr. */
Test(shadow, own_instance)
{
	struct chance c = { 11 };
	unsigned differ = 0, good = 0;

	for (unsigned mode = 2; mode <= 6; mode++) /* 6: EPT */
		for (unsigned i = 0; i < 4000; i++) {
			struct window def = { window_bytes, WINDOW_GPA, WINDOW_SIZE, { .read_gpte = window_callback } };
			struct window own = def;
			struct pagewalk_cpu cpu =
				pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 36, PAGEWALK_FEATURES_ALL);
			uint64_t va = chance_bits(&c);
			uint64_t access = chance_bits(&c) & (PAGEWALK_ACCESS_WRITE | PAGEWALK_ACCESS_USER);
			struct pagewalk_walk a, b;
			enum pagewalk_status status, again;

			if (i % 200 == 0)
				random_window(&c, mode == 2 ? 4 : 8, mode == 6);
			if (mode == 6) {
				cr_assert_eq(pagewalk_init_ept(&def.walk, &cpu, WINDOW_GPA | 3 << 3 | 6, false),
					     PAGEWALK_OK, "init");
				va &= BITS(47, 0);
			} else {
				table_question(&q, mode);
				struct pagewalk_regs regs = { q.cr0, q.cr4, q.efer, false };
				cr_assert_eq(pagewalk_init(&def.walk, &cpu, &regs), PAGEWALK_OK, "init");
				va &= mode < 4 ? BITS(31, 0) : mode == 4 ? BITS(46, 0) : BITS(55, 0);
			}
			def.walk.pgd = WINDOW_GPA | (mode == 6 ? 3 << 3 | 6 : 0);
			for (unsigned j = 0; j < 4; j++)
				def.walk.pdptr[j] = (WINDOW_GPA + 0x1000 * (uint64_t)j) | P;
			own.walk = def.walk;
			own.walk.read_gpte = read_nothing;
			own.walk.gva_to_gpa = mode == 2 ? window32_gva_to_gpa :
					      mode == 6 ? window_ept_gva_to_gpa :
							  window64_gva_to_gpa;

			memset(&a, 0x5a, sizeof(a));
			memset(&b, 0x5a, sizeof(b));
			status = pagewalk_translate(&def.walk, va, access, &a);
			default_reads = 0;
			again = pagewalk_translate(&own.walk, va, access, &b);
			if ((again != status || !same_walk(status, &a, &b) || default_reads) && table_counts(&differ))
				printf("mode %u va %#" PRIx64 " => %d %#" PRIx64 ", expected %d %#" PRIx64 "\n", mode,
				       va, (int)again, b.pa, (int)status, a.pa);
			good += status == PAGEWALK_OK;
			memset(&b, 0x5a, sizeof(b));
			again = mode == 2 ? window32_walk_addr(&own.walk, va, access, &b) :
				mode == 6 ? window_ept_walk_addr(&own.walk, va, access, &b) :
					    window64_walk_addr(&own.walk, va, access, &b);
			if ((again != status || !same_walk(status, &a, &b) || default_reads) && table_counts(&differ))
				printf("mode %u va %#" PRIx64 " walk_addr => %d, expected %d\n", mode, va, (int)again,
				       (int)status);
		}
	cr_expect(!differ && good > 1000, "%u differ, %u translated", differ, good);
}

/* A window at the very start and at the very end of what a base can be. */
Test(shadow, own_instance_outside)
{
	struct window window = { window_bytes, WINDOW_GPA, 8, { .read_gpte = read_nothing } };
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 36, PAGEWALK_FEATURES_ALL);
	static const struct {
		uint64_t pgd, missing; /* 0: the entry is there, and is zero */
	} roots[] = {
		{ WINDOW_GPA, 0 },
		{ WINDOW_GPA + 0x1000, WINDOW_GPA + 0x1000 },
		{ WINDOW_GPA - 0x1000, WINDOW_GPA - 0x1000 },
		{ 0, ~UINT64_C(0) },
	};

	memset(window_bytes, 0, sizeof(window_bytes));
	table_question(&q, 4);
	struct pagewalk_regs regs = { q.cr0, q.cr4, q.efer, false };
	cr_assert_eq(pagewalk_init(&window.walk, &cpu, &regs), PAGEWALK_OK, "init");
	window.walk.gva_to_gpa = window64_gva_to_gpa;
	for (size_t i = 0; i < COUNT(roots); i++) {
		struct pagewalk_walk walk;

		window.walk.pgd = roots[i].pgd;
		enum pagewalk_status status = pagewalk_translate(&window.walk, 0, PAGEWALK_ACCESS_READ, &walk);
		cr_expect_eq(status, roots[i].missing ? PAGEWALK_NO_MEMORY : PAGEWALK_FAULT, "row %u => %d",
			     (unsigned)i, (int)status);
		if (roots[i].missing)
			cr_expect_eq(walk.fault.gpa, roots[i].pgd, "walk");
	}
}

/* "A change of mode also sets gva_to_gpa anew", and one of the protections alone does not. */
Test(shadow, own_instance_and_refresh)
{
	static const uint64_t protections[] = { 0, CR4_SMEP, CR4_SMAP, CR4_PKE, CR4_SMEP | CR4_SMAP | CR4_PKE };
	struct window window = { window_bytes, WINDOW_GPA, WINDOW_SIZE, { .read_gpte = read_nothing } };
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 36, PAGEWALK_FEATURES_ALL);
	struct kvm_pagewalk *w = &window.walk;

	table_question(&q, 4);
	struct pagewalk_regs regs = { q.cr0, q.cr4, q.efer, false };
	cr_assert_eq(pagewalk_init(w, &cpu, &regs), PAGEWALK_OK, "init");
	w->gva_to_gpa = window64_gva_to_gpa;
	for (unsigned from = 0; from < 2 * COUNT(protections); from++)
		for (unsigned to = 0; to < 2 * COUNT(protections); to++) {
			regs.cr0 = from & 1 ? q.cr0 : q.cr0 & ~CR0_WP;
			regs.cr4 = q.cr4 | protections[from / 2];
			cr_assert_eq(pagewalk_refresh(w, &regs), PAGEWALK_OK, "refresh");
			regs.cr0 = to & 1 ? q.cr0 : q.cr0 & ~CR0_WP;
			regs.cr4 = q.cr4 | protections[to / 2];
			cr_assert_eq(pagewalk_refresh(w, &regs), PAGEWALK_OK, "refresh");
			cr_expect(w->gva_to_gpa == window64_gva_to_gpa, "from %u to %u", from, to);
		}
	for (unsigned levels = 2; levels <= 5; levels++) {
		table_question(&q, levels);
		regs = (struct pagewalk_regs){ q.cr0, q.cr4, q.efer, false };
		w->gva_to_gpa = window64_gva_to_gpa;
		cr_assert_eq(pagewalk_refresh(w, &regs), PAGEWALK_OK, "refresh");
		cr_expect(w->gva_to_gpa == (levels == 2 ? pagewalk32_gva_to_gpa : pagewalk64_gva_to_gpa), "%u levels",
			  levels);
	}
}

/* ---- PAGEWALK_CONTAINER_OF ------------------------------------------------------------------- */

struct machine {
	char before[13];
	struct kvm_pagewalk walk, other;
	uint32_t after;
};

Test(shadow, container_of)
{
	static struct machine machines[3];
	struct kvm_pagewalk *const alone = &machines[0].walk;

	for (size_t i = 0; i < COUNT(machines); i++) {
		const struct kvm_pagewalk *w = &machines[i].walk;

		cr_expect(PAGEWALK_CONTAINER_OF(w, struct machine, walk) == &machines[i], "owner");
		cr_expect(PAGEWALK_CONTAINER_OF(&machines[i].other, struct machine, other) == &machines[i], "owner");
		machines[i].after = (uint32_t)i;
		cr_expect_eq(PAGEWALK_CONTAINER_OF(w, struct machine, walk)->after, i, "owner");
	}
	cr_expect(PAGEWALK_CONTAINER_OF(alone, struct machine, walk)->before == machines[0].before, "owner");
}

/* walk_addr() of a walker that has no tables, and refresh() of a second stage's: refused, and nothing else happens. */
Test(shadow, guards)
{
	struct pagewalk_cpu cpu = pagewalk_cpu_profile(PAGEWALK_PROFILE_INTEL, 46, PAGEWALK_FEATURES_ALL);
	struct pagewalk_regs off = { .cr0 = 1 }, impossible = { .cr0 = PAGEWALK_CR0_PG };
	struct kvm_pagewalk w;
	struct pagewalk_walk walk;

	memset(&w, 0, sizeof(w));
	cr_expect_eq(pagewalk_translate(&w, 0, 0, &walk), PAGEWALK_BAD_STATE, "a walker of zeros");
	cr_expect_eq(pagewalk_permission_fault(&w, PAGEWALK_ACC_ALL, 0, 0), PAGEWALK_PFERR_PRESENT, "and its rights");
	cr_assert_eq(pagewalk_init(&w, &cpu, &off), PAGEWALK_OK, "paging off needs no callback");
	cr_expect_eq(pagewalk_permission_fault(&w, 0, 0, 0), 0, "paging off allows all");
	cr_expect_eq(pagewalk64_walk_addr(&w, 0, 0, &walk), PAGEWALK_BAD_STATE, "64, paging off");
	cr_expect_eq(pagewalk32_walk_addr(&w, 0, 0, &walk), PAGEWALK_BAD_STATE, "32, paging off");
	cr_assert_eq(pagewalk_init(&w, &cpu, &impossible), PAGEWALK_BAD_STATE, "PG without PE");
	cr_expect_eq(pagewalk64_walk_addr(&w, 0, 0, &walk), PAGEWALK_BAD_STATE, "64, refused");

	w.read_gpte = read_nothing;
	cr_assert_eq(pagewalk_init_ept(&w, &cpu, 0x101e, false), PAGEWALK_OK, "EPT");
	cr_expect_eq(pagewalk_refresh(&w, &off), PAGEWALK_BAD_STATE, "refresh of EPT");
	cr_expect_eq(w.fmt.kind, PAGEWALK_KIND_EPT, "and it is EPT still");
	cr_expect(w.gva_to_gpa == pagewalk_ept_gva_to_gpa, "with its walk");
}
