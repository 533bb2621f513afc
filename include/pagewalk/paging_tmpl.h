/* SPDX-License-Identifier: MIT */
/*
 * paging_tmpl.h: THE walker, a template.
 *
 *     #define PTTYPE 64                    64 (PAE, 4-level, 5-level, NPT), 32, or PAGEWALK_PTTYPE_EPT
 *     #include <pagewalk/paging_tmpl.h>    defines FNAME(walk_addr) and the rest
 *
 * pagewalk.h makes the three instances pagewalk64_..., pagewalk32_... and pagewalk_ept_..., which call w->read_gpte.
 * For one of your own with memory inlined, include pagewalk.h first and then this once more with, besides PTTYPE,
 *
 *     #define FNAME(name) my64_##name
 *     #define PAGEWALK_READ_GPTE(w, pa, size, gpte) ...     as read_gpte: 0, or < 0 if there is no memory
 *
 * Set w->gva_to_gpa = my64_gva_to_gpa after the walker's init to have pagewalk_translate() and nested walks use it.
 * All parameters are gone after the include.
 */
#include "linear.h"
#include "nested.h"

#if PTTYPE == 64
#define pt_element_t uint64_t
#define PT_LEVEL_BITS 9
#define PT_ADDRESS PAGEWALK_ADDRESS
#define PT_NX PAGEWALK_PTE_NX
#define PT_ACCESSED PAGEWALK_PTE_ACCESSED
#define PT_DIRTY PAGEWALK_PTE_DIRTY
#define PT_DEFAULT_NAME(name) pagewalk64_##name
#elif PTTYPE == 32
#define pt_element_t uint32_t
#define PT_LEVEL_BITS 10
#define PT_ADDRESS PAGEWALK_BITS(31, 12)
#define PT_NX PAGEWALK_PTE_NX /* no entry has it, so that all are executable */
#define PT_ACCESSED PAGEWALK_PTE_ACCESSED
#define PT_DIRTY PAGEWALK_PTE_DIRTY
#define PT_DEFAULT_NAME(name) pagewalk32_##name
#elif PTTYPE == PAGEWALK_PTTYPE_EPT
#define pt_element_t uint64_t
#define PT_LEVEL_BITS 9
#define PT_ADDRESS PAGEWALK_ADDRESS
#define PT_NX UINT64_C(0)
#define PT_ACCESSED PAGEWALK_EPT_ACCESSED
#define PT_DIRTY PAGEWALK_EPT_DIRTY
#define PT_DEFAULT_NAME(name) pagewalk_ept_##name
#else
#error "PTTYPE is 64, 32 or PAGEWALK_PTTYPE_EPT"
#endif

#ifndef FNAME
#define FNAME(name) PT_DEFAULT_NAME(name)
#endif
#ifndef PAGEWALK_READ_GPTE
#define PAGEWALK_READ_GPTE(w, pa, size, gpte) (w)->read_gpte(w, pa, size, gpte)
#endif

/* log2 of what an entry of the level maps. */
#define PT_SHIFT(level) (12 + PT_LEVEL_BITS * ((level) - 1))

/* ---- One entry --------------------------------------------------------------------------------------- */

/* Whether the entry is there at all: P, or in EPT one of the rights (EPT-2). Otherwise no other bit of it counts. */
static inline bool FNAME(is_present_gpte)(const struct PAGEWALK_TAG *w, pt_element_t gpte)
{
	return (gpte & w->fmt.present_mask) != 0;
}

/*
 * EPT-3 a, b, f: rights that cannot go together, or a memory type that does not exist. Other formats have no such
 * thing.
 */
static inline bool FNAME(is_bad_mt_xwr)(const struct PAGEWALK_TAG *w, pt_element_t gpte)
{
#if PTTYPE == PAGEWALK_PTTYPE_EPT
	uint64_t xu_as_x = (gpte & w->fmt.xu_fold) >> 8;

	return w->fmt.bad_mt_xwr >> ((gpte & 0x3f) | xu_as_x) & 1;
#else
	(void)w;
	(void)gpte;
	return false;
#endif
}

/* Whether a present entry of the level (1 ... 5) has a bit set that must be 0 (MODE-4 ... MODE-11, EPT-3). */
static inline bool FNAME(is_rsvd_bits_set)(const struct PAGEWALK_TAG *w, pt_element_t gpte, int level)
{
	return (gpte & w->fmt.rsvd_bits_mask[gpte >> 7 & 1][level - 1]) != 0 || FNAME(is_bad_mt_xwr)(w, gpte);
}

/* Whether a good entry of the level maps a page, not a table. */
static inline bool FNAME(is_last_gpte)(const struct PAGEWALK_TAG *w, int level, pt_element_t gpte)
{
	return level == 1 || (gpte & w->fmt.ps_mask[level - 1]) != 0;
}

/* PAGEWALK_ACC_... of the entry. */
static inline unsigned FNAME(gpte_access)(const struct PAGEWALK_TAG *w, uint64_t gpte)
{
#if PTTYPE == PAGEWALK_PTTYPE_EPT
	return (unsigned)((gpte & PAGEWALK_EPT_READ) << 2 | (gpte & PAGEWALK_EPT_WRITE) |
			  (gpte & PAGEWALK_EPT_EXEC) >> 2) |
	       (w->fmt.mbec && (gpte & PAGEWALK_EPT_USER_EXEC) ? PAGEWALK_ACC_USER_EXEC : 0);
#else
	(void)w; /* U/S and R/W stand where PAGEWALK_ACC_USER and _WRITE do */
	return (unsigned)(gpte & (PAGEWALK_PTE_WRITABLE | PAGEWALK_PTE_USER)) | (gpte & PT_NX ? 0 : PAGEWALK_ACC_EXEC);
#endif
}

/* The protection key of a leaf (MODE-13); counts where CR4.PKE does. */
static inline unsigned FNAME(gpte_pkeys)(pt_element_t gpte)
{
#if PTTYPE == 64
	return gpte >> PAGEWALK_PTE_PKEY_SHIFT & 15;
#else
	(void)gpte;
	return 0;
#endif
}

/* The address of the page that a good leaf of the level maps. */
static inline uint64_t FNAME(gpte_to_gpa_lvl)(const struct PAGEWALK_TAG *w, pt_element_t gpte, int level)
{
	uint64_t gpa = gpte & PT_ADDRESS & ~(PAGEWALK_BIT(PT_SHIFT(level)) - 1);

#if PTTYPE == 32
	if (level == 2)
		gpa |= (gpte & w->fmt.pse36_mask) << 19; /* MODE-5: bit 13 is PA[32] */
#else
	(void)w;
#endif
	return gpa;
}

/* ---- For shadow paging: one guest entry, without a walk ---------------------------------------------- */

/*
 * Takes WRITE out of access if the leaf is not dirty yet: a shadow of it must trap the first write, so that D can be
 * set then. Where the format has no D flag access stays.
 */
static inline void FNAME(protect_clean_gpte)(const struct PAGEWALK_TAG *w, unsigned *access, pt_element_t gpte)
{
	if (w->fmt.have_ad && !(gpte & PT_DIRTY))
		*access &= ~PAGEWALK_ACC_WRITE;
}

/* Whether a level-1 entry must not be shadowed ahead of its use: not present, malformed, or A would have to be set. */
static inline bool FNAME(prefetch_invalid_gpte)(const struct PAGEWALK_TAG *w, pt_element_t gpte)
{
	return !FNAME(is_present_gpte)(w, gpte) || (w->fmt.have_ad && !(gpte & PT_ACCESSED)) ||
	       FNAME(is_rsvd_bits_set)(w, gpte, 1);
}

/*
 * What a shadow of the level-1 entry may map: false, or its frame number and its rights below tables that allow
 * pt_access (record.guest.pt_access[0]), write-protected while clean.
 */
static inline bool FNAME(prefetch_gpte)(const struct PAGEWALK_TAG *w, unsigned pt_access, pt_element_t gpte,
					uint64_t *gfn, unsigned *access)
{
	if (FNAME(prefetch_invalid_gpte)(w, gpte))
		return false;
	*gfn = FNAME(gpte_to_gpa_lvl)(w, gpte, 1) >> 12;
	*access = pt_access & FNAME(gpte_access)(w, gpte);
	FNAME(protect_clean_gpte)(w, access, gpte);
	return true;
}

/* ---- A and D ----------------------------------------------------------------------------------------- */

/*
 * Sets flags in the entry of the level unless they are set (AD-1, AD-5). read_only: the second stage let the entry be
 * read but refuses to write it (EPT-7 with A/D off); then the refusal is the answer (EPT-16). rights: of the walk so
 * far.
 */
static inline enum pagewalk_status FNAME(set_flags)(const struct PAGEWALK_TAG *w, const struct pagewalk_entry *e,
						    uint64_t flags, bool read_only, uint64_t rights,
						    struct pagewalk_walk *out)
{
	uint64_t pa;
	int lost;

	if ((e->pte & flags) == flags)
		return PAGEWALK_OK;
	if (read_only) {
		enum pagewalk_status status =
			pagewalk_translate_gpa(w, e->gpa, PAGEWALK_ACCESS_WRITE | PAGEWALK_PFERR_GUEST_PAGE, &pa, out);
		return status == PAGEWALK_OK ? PAGEWALK_RETRY : status; /* OK: the second stage changed meanwhile */
	}
	if (!w->cmpxchg_gpte)
		return PAGEWALK_OK;
	lost = w->cmpxchg_gpte(w, e->pa, sizeof(pt_element_t), e->pte, e->pte | flags);
	if (lost < 0)
		return pagewalk_no_entry_(w, e->pa, rights, out);
	return lost ? PAGEWALK_RETRY : PAGEWALK_OK;
}

/*
 * A in the entries of a finished walk from the level down, root first, and D in the leaf if it is written (AD-1, AD-3).
 */
static inline enum pagewalk_status
FNAME(update_accessed_dirty_bits)(const struct PAGEWALK_TAG *w, const struct pagewalk_stage *s, int level,
				  unsigned read_only, uint64_t rights, struct pagewalk_walk *out)
{
	enum pagewalk_status status = PAGEWALK_OK;

	for (; level >= s->level && status == PAGEWALK_OK; level--) {
		uint64_t flags = PT_ACCESSED;

		if (level == s->level && (s->access & PAGEWALK_PFERR_WRITE))
			flags |= PT_DIRTY;
		status = FNAME(set_flags)(w, &s->entry[level - 1], flags, read_only >> level & 1, rights, out);
	}
	return status;
}

/* ---- The walk ---------------------------------------------------------------------------------------- */

#if PTTYPE == 64
/*
 * PAE's level 3: a register of the guest's (MODE-7), or memory: of a nested table, or MODE-8. n: the second stage that
 * the table lies behind. OK: *table is the level-2 table.
 */
static inline enum pagewalk_status FNAME(walk_pdpte)(const struct PAGEWALK_TAG *w, const struct PAGEWALK_TAG *n,
						     uint64_t addr, uint64_t *table, struct pagewalk_stage *s,
						     struct pagewalk_walk *out)
{
	struct pagewalk_entry *e = &s->entry[2];
	unsigned index = addr >> 30 & 3;
	bool is_register = pagewalk_has_pdptrs_(w);

	s->pt_access[2] = PAGEWALK_ACC_EXEC | PAGEWALK_ACC_WRITE | PAGEWALK_ACC_USER;
	e->pte = 0;
	if (is_register) {
		e->gpa = e->pa = PAGEWALK_INVALID_GPA;
		e->pte = w->get_pdptr ? w->get_pdptr(w, index) : w->pdptr[index];
	} else {
		e->gpa = e->pa = *table + index * sizeof(e->pte);
		if (n) {
			enum pagewalk_status status = pagewalk_translate_gpa(
				w, e->gpa, n->fmt.table_access | PAGEWALK_PFERR_GUEST_PAGE, &e->pa, out);
			if (status != PAGEWALK_OK)
				return status;
		}
		if (PAGEWALK_READ_GPTE(w, e->pa, (unsigned)sizeof(e->pte), &e->pte) < 0) {
			e->pte = 0;
			return pagewalk_no_entry_(w, e->pa, 0, out);
		}
	}
	if (!FNAME(is_present_gpte)(w, e->pte))
		return pagewalk_refuse_(w, 0, 0, PAGEWALK_RULE(MODE, 7), out);
	/* A register was checked when it was loaded; a nested table's PDPTE is not checked by KVM. */
	if (!is_register && !(w->fmt.kind == PAGEWALK_KIND_NPT && (w->cpu.quirks & PAGEWALK_QUIRK_KVM_NPT_PDPTE)) &&
	    FNAME(is_rsvd_bits_set)(w, e->pte, 3))
		return pagewalk_refuse_(w, PAGEWALK_PFERR_PRESENT | PAGEWALK_PFERR_RSVD, 0, PAGEWALK_RULE(MODE, 7),
					out);
	*table = e->pte & PAGEWALK_ADDRESS;
	return PAGEWALK_OK;
}
#endif

/*
 * One attempt at a walk, of a guest's tables or, second_stage, of those that translate its GPAs. The order of checks is
 * PERM-10, EPT-5, EPT-12 and NPT-6: top down, each entry present, then well-formed; rights after the last; then the
 * second stage of the result; then A and D.
 */
static inline enum pagewalk_status FNAME(walk_addr_generic)(const struct PAGEWALK_TAG *w, uint64_t addr,
							    uint64_t access, bool second_stage,
							    struct pagewalk_walk *out)
{
	const struct pagewalk_page_format *f = &w->fmt;
	struct pagewalk_stage *s = second_stage ? &out->nested : &out->guest;
	const struct PAGEWALK_TAG *n = second_stage ? NULL : w->ngpa_walk;
	bool as_walked = f->have_ad && (w->cpu.quirks & PAGEWALK_QUIRK_AD_AS_WALKED);
	uint64_t table = w->get_guest_pgd ? w->get_guest_pgd(w) : w->pgd;
	uint64_t rights = ~UINT64_C(0); /* the AND of the entries; NX is inverted, so that it can be ANDed too */
	uint64_t offset, reasons, unset;
	unsigned read_only = 0;         /* levels whose entries the second stage refuses to write */
	enum pagewalk_status status;
	pt_element_t gpte;
	int level = f->root_level, first;

	if (!second_stage)
		pagewalk_no_nested_walk_(out);
	s->address = addr;
	s->access = access;
	s->max_level = s->level = 0; /* nothing is read yet */
	if (table & f->root_rsvd)
		return PAGEWALK_BAD_STATE;
	table &= f->root_mask;
#if PTTYPE == PAGEWALK_PTTYPE_EPT
	if (addr & f->va_high)
		return pagewalk_refuse_(w, 0, 0, PAGEWALK_RULE(EPT, 13), out);
#endif
	s->max_level = s->level = (uint8_t)level;
#if PTTYPE == 64
	if (f->pae) {
		status = FNAME(walk_pdpte)(w, n, addr, &table, s, out);
		if (status != PAGEWALK_OK)
			return status;
		level--; /* no rights and no A there (PERM-2, AD-3) */
	}
#endif

	for (first = level;; level--) {
		struct pagewalk_entry *e = &s->entry[level - 1];
		uint64_t value;

		s->level = (uint8_t)level;
		s->pt_access[level - 1] = (uint8_t)FNAME(gpte_access)(w, rights ^ PT_NX);
		e->gpa = e->pa =
			table + (addr >> PT_SHIFT(level) & (PAGEWALK_BIT(PT_LEVEL_BITS) - 1)) * sizeof(pt_element_t);
		if (n) {
			status = pagewalk_translate_gpa(w, e->gpa, n->fmt.table_access | PAGEWALK_PFERR_GUEST_PAGE,
							&e->pa, out);
			if (status != PAGEWALK_OK) {
				e->pte = 0;
				return status;
			}
			if (!(out->nested.pte_access & PAGEWALK_ACC_WRITE))
				read_only |= 1u << level;
		}
		if (PAGEWALK_READ_GPTE(w, e->pa, (unsigned)sizeof(pt_element_t), &value) < 0) {
			e->pte = 0;
			return pagewalk_no_entry_(w, e->pa, rights, out);
		}
		gpte = (pt_element_t)value;
		e->pte = gpte;
		rights &= (uint64_t)gpte ^ PT_NX;

		if ((gpte & f->table_mask[level - 1]) != PAGEWALK_PTE_PRESENT) { /* not plainly a table */
			if (!FNAME(is_present_gpte)(w, gpte))
				return pagewalk_refuse_absent_(w, rights, out);
			if (FNAME(is_rsvd_bits_set)(w, gpte, level))
				return pagewalk_refuse_rsvd_(w, gpte, level, rights, out);
			if (FNAME(is_last_gpte)(w, level, gpte))
				break;
		}
		if (as_walked) {
			status = FNAME(set_flags)(w, e, PT_ACCESSED, read_only >> level & 1, rights, out);
			if (status != PAGEWALK_OK)
				return status;
		}
		table = gpte & PT_ADDRESS;
	}

	s->pte_access = (uint8_t)FNAME(gpte_access)(w, rights ^ PT_NX);
	s->pte_pkey = (uint8_t)(f->pkru_mask ? FNAME(gpte_pkeys)(gpte) : 0);
	reasons = pagewalk_check_rights_(w, s->pte_access, s->pte_pkey, access);
	if (reasons)
		return pagewalk_refuse_(w, reasons, rights,
					pagewalk_rights_rule_(w, access, (reasons & PAGEWALK_PFERR_PK) != 0), out);

	offset = addr & (PAGEWALK_BIT(PT_SHIFT(level)) - 1);
	s->page_shift = (uint8_t)PT_SHIFT(level);
	s->gpa = FNAME(gpte_to_gpa_lvl)(w, gpte, level) | offset;
	if (second_stage) {
		out->pa = s->gpa;
	} else {
		status = pagewalk_translate_final_(w, s->gpa, access, s->pte_access, &out->pa, out);
		if (status != PAGEWALK_OK)
			return status;
	}

	/* All entries have A already, and the leaf D if it needs it? */
	unset = (~rights & PT_ACCESSED) | (access & PAGEWALK_PFERR_WRITE ? ~(uint64_t)gpte & PT_DIRTY : 0);
	if (!f->have_ad || !unset)
		return PAGEWALK_OK;
	return FNAME(update_accessed_dirty_bits)(w, s, as_walked ? level : first, read_only, rights, out);
}

/* What w->gva_to_gpa points to: one attempt, of the stage that the walker is. */
static inline enum pagewalk_status
FNAME(gva_to_gpa)(const struct PAGEWALK_TAG *w, uint64_t addr, uint64_t access, struct pagewalk_walk *out)
{
#if PTTYPE != PAGEWALK_PTTYPE_EPT
	if (w->fmt.kind == PAGEWALK_KIND_GUEST)
		return FNAME(walk_addr_generic)(w, addr, pagewalk_guest_access_(access), false, out);
	access |= w->fmt.gmet ? 0 : PAGEWALK_ACCESS_USER; /* NPT-2 */
#endif
	return FNAME(walk_addr_generic)(w, addr, access, true, out);
}

/*
 * Walks for an address as it is, without the checks that come before paging (linear.h); otherwise pagewalk_translate().
 * The walker's format must be one of this PTTYPE. BAD_STATE if it has none: paging is off, or init refused it.
 */
static inline enum pagewalk_status
FNAME(walk_addr)(const struct PAGEWALK_TAG *w, uint64_t addr, uint64_t access, struct pagewalk_walk *out)
{
	enum pagewalk_status status = PAGEWALK_RETRY;
	int attempt;

	if (w->fmt.kind < PAGEWALK_KIND_GUEST)
		return PAGEWALK_BAD_STATE;
	if (w->fmt.kind >= PAGEWALK_KIND_NPT)
		pagewalk_no_guest_walk_(addr, access, out);
	for (attempt = 0; attempt < PAGEWALK_MAX_ATTEMPTS && status == PAGEWALK_RETRY; attempt++)
		status = FNAME(gva_to_gpa)(w, addr, access, out);
	return status;
}

#undef PTTYPE
#undef FNAME
#undef PAGEWALK_READ_GPTE
#undef pt_element_t
#undef PT_LEVEL_BITS
#undef PT_ADDRESS
#undef PT_NX
#undef PT_ACCESSED
#undef PT_DIRTY
#undef PT_DEFAULT_NAME
#undef PT_SHIFT
