/* SPDX-License-Identifier: MIT */
/* One entry of any format: see entry.h. */
#include "entry.h"
#include "text.h"

/* The level-3 entries of PAE have no rights (PERM-2); elsewhere all have. */
static bool is_pae_pdpte(const struct kvm_pagewalk *w, int level)
{
	return w->fmt.pae && level == 3;
}

/* The same for each instance of the template. A table's address is as wide as that of the smallest page. */
#define DECODE(instance, type)                                                                                   \
	static void decode_##instance(const struct kvm_pagewalk *w, int level, type pte, struct entry *e)        \
	{                                                                                                        \
		e->present = instance##_is_present_gpte(w, pte);                                                 \
		if (!e->present)                                                                                 \
			return;                                                                                  \
		e->good = !instance##_is_rsvd_bits_set(w, pte, level);                                           \
		e->last = instance##_is_last_gpte(w, level, pte);                                                \
		e->access = instance##_gpte_access(w, pte);                                                      \
		e->target = instance##_gpte_to_gpa_lvl(w, pte, e->last ? level : 1);                             \
	}
DECODE(pagewalk32, uint32_t)
DECODE(pagewalk64, uint64_t)
DECODE(pagewalk_ept, uint64_t)

struct entry entry_decode(const struct kvm_pagewalk *w, int level, uint64_t pte)
{
	struct entry e = { .present = false };

	e.shift = 12 + (w->fmt.root_level == 2 ? 10u : 9u) * (unsigned)(level - 1);
	if (w->fmt.kind == PAGEWALK_KIND_EPT)
		decode_pagewalk_ept(w, level, pte, &e);
	else if (w->fmt.root_level == 2)
		decode_pagewalk32(w, level, (uint32_t)pte, &e);
	else
		decode_pagewalk64(w, level, pte, &e);
	if (is_pae_pdpte(w, level))
		e.access = PAGEWALK_ACC_EXEC | PAGEWALK_ACC_WRITE | PAGEWALK_ACC_USER;
	if (e.present)
		e.reserved = pte & w->fmt.rsvd_bits_mask[pte >> 7 & 1][level - 1];
	return e;
}

unsigned entry_count(const struct kvm_pagewalk *w, int level)
{
	if (is_pae_pdpte(w, level))
		return 4;
	return w->fmt.root_level == 2 ? 1024 : 512;
}

unsigned entry_size(const struct kvm_pagewalk *w)
{
	return w->fmt.root_level == 2 ? 4 : 8;
}

const char *entry_name(int level)
{
	static const char *const names[] = { "PTE", "PDE", "PDPTE", "PML4E", "PML5E" };

	return names[level - 1];
}

/* ---- Flags ----------------------------------------------------------------------------------- */

/* The kinds of entries, as far as their flags differ. */
#define PAE_PDPTE 1u
#define TABLE 2u
#define PAGE_4K 4u
#define PAGE_LARGE 8u
#define EPT_TABLE 16u
#define EPT_PAGE_4K 32u
#define EPT_PAGE_LARGE 64u
#define PAGE (PAGE_4K | PAGE_LARGE)
#define EPT_PAGE (EPT_PAGE_4K | EPT_PAGE_LARGE)

static const struct {
	struct bit_name bit;
	unsigned kinds;
} flags[] = {
	{ { PAGEWALK_PTE_PRESENT, "P" }, PAE_PDPTE | TABLE | PAGE },
	{ { PAGEWALK_PTE_WRITABLE, "W" }, TABLE | PAGE },
	{ { PAGEWALK_PTE_USER, "U" }, TABLE | PAGE },
	{ { PAGEWALK_PTE_PWT, "PWT" }, PAE_PDPTE | TABLE | PAGE },
	{ { PAGEWALK_PTE_PCD, "PCD" }, PAE_PDPTE | TABLE | PAGE },
	{ { PAGEWALK_PTE_ACCESSED, "A" }, TABLE | PAGE },
	{ { PAGEWALK_PTE_DIRTY, "D" }, PAGE },
	{ { PAGEWALK_PTE_PS, "PS" }, PAGE_LARGE },
	{ { PAGEWALK_PTE_PAT, "PAT" }, PAGE_4K },
	{ { PAGEWALK_PTE_PAT_LARGE, "PAT" }, PAGE_LARGE },
	{ { PAGEWALK_PTE_GLOBAL, "G" }, PAGE },
	{ { PAGEWALK_PTE_NX, "NX" }, TABLE | PAGE },
	{ { PAGEWALK_EPT_READ, "R" }, EPT_TABLE | EPT_PAGE },
	{ { PAGEWALK_EPT_WRITE, "W" }, EPT_TABLE | EPT_PAGE },
	{ { PAGEWALK_EPT_EXEC, "X" }, EPT_TABLE | EPT_PAGE },
	{ { PAGEWALK_EPT_USER_EXEC, "XU" }, EPT_TABLE | EPT_PAGE },
	{ { PAGEWALK_BIT(6), "IPAT" }, EPT_PAGE },
	{ { PAGEWALK_EPT_PS, "PS" }, EPT_PAGE_LARGE },
	{ { PAGEWALK_EPT_ACCESSED, "A" }, EPT_TABLE | EPT_PAGE },
	{ { PAGEWALK_EPT_DIRTY, "D" }, EPT_PAGE },
};

static unsigned kind_of(const struct kvm_pagewalk *w, int level, bool last)
{
	bool ept = w->fmt.kind == PAGEWALK_KIND_EPT;

	if (is_pae_pdpte(w, level))
		return PAE_PDPTE;
	if (!last)
		return ept ? EPT_TABLE : TABLE;
	if (level == 1)
		return ept ? EPT_PAGE_4K : PAGE_4K;
	return ept ? EPT_PAGE_LARGE : PAGE_LARGE;
}

unsigned entry_flags(const struct kvm_pagewalk *w, int level, uint64_t pte, const char *names[ENTRY_FLAGS])
{
	static const char *const types[] = { "UC", "WC", "type2", "type3", "WT", "WP", "WB", "type7" };
	static const char *const keys[] = { "key0", "key1", "key2", "key3", "key4", "key5", "key6", "key7",
					    "key8", "key9", "key10", "key11", "key12", "key13", "key14", "key15" };
	const struct entry e = entry_decode(w, level, pte);
	unsigned kind = kind_of(w, level, e.last), count = 0;
	uint64_t meant = ~e.reserved;

	if (!w->fmt.have_ad)
		meant &= ~(PAGEWALK_EPT_ACCESSED | PAGEWALK_EPT_DIRTY);
	if (w->fmt.kind == PAGEWALK_KIND_EPT && !w->fmt.mbec)
		meant &= ~PAGEWALK_EPT_USER_EXEC;
	for (size_t i = 0; e.present && i < sizeof(flags) / sizeof(*flags); i++)
		if ((flags[i].kinds & kind) && (pte & meant & flags[i].bit.mask))
			names[count++] = flags[i].bit.name;
	if (e.present && (kind & EPT_PAGE))
		names[count++] = types[pte >> 3 & 7];
	if (e.good && (kind & PAGE) && w->fmt.pkru_mask)
		names[count++] = keys[pagewalk64_gpte_pkeys(pte)];
	return count;
}
