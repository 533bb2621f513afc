/* SPDX-License-Identifier: MIT */
/*
 * format.h: registers + CPU -> everything that a walk needs and that stays the same from walk to walk.
 *
 *   role      which mode, and the register bits that matter, in one word; impossible registers are refused here
 *   masks     which bits of an entry are reserved, per level (MODE-4 ... MODE-12, EPT-3)
 *   bitmaps   which rights refuse which access (PERM-3 ... PERM-7, EPT-6, NPT-4, NPT-7)
 */
#ifndef PAGEWALK_FORMAT_H
#define PAGEWALK_FORMAT_H

#include "types.h"

/* struct kvm_pagewalk.cpu_role: kind, root level, and these. */
#define PAGEWALK_ROLE_KIND_SHIFT        0
#define PAGEWALK_ROLE_LEVEL_SHIFT       4
#define PAGEWALK_ROLE_PSE               (1u << 8)
#define PAGEWALK_ROLE_NXE               (1u << 9)
#define PAGEWALK_ROLE_WP                (1u << 10)
#define PAGEWALK_ROLE_SMEP              (1u << 11)
#define PAGEWALK_ROLE_SMAP              (1u << 12)
#define PAGEWALK_ROLE_PKE               (1u << 13)
#define PAGEWALK_ROLE_64BIT             (1u << 14) /* 64-bit mode: linear addresses must be canonical */
#define PAGEWALK_ROLE_EPT_AD            (1u << 15)
#define PAGEWALK_ROLE_MBEC              (1u << 16)
#define PAGEWALK_ROLE_GMET              (1u << 17)
/* A change in these alone leaves the masks as they are. */
#define PAGEWALK_ROLE_RIGHTS            (PAGEWALK_ROLE_WP | PAGEWALK_ROLE_SMEP | PAGEWALK_ROLE_SMAP | PAGEWALK_ROLE_PKE)

static inline unsigned pagewalk_role_kind_(uint32_t role)
{
	return role >> PAGEWALK_ROLE_KIND_SHIFT & 7;
}

static inline unsigned pagewalk_role_level_(uint32_t role)
{
	return role >> PAGEWALK_ROLE_LEVEL_SHIFT & 7;
}

/* MODE-12 */
static inline int pagewalk_maxphyaddr_(const struct pagewalk_cpu *cpu)
{
	return cpu->maxphyaddr > 52 ? 52 : cpu->maxphyaddr;
}

/* ---- Role -------------------------------------------------------------------------------------------- */

/*
 * Whether a CPU can hold these registers at all: what MOV to CR and WRMSR refuse with #GP (S2.5, S4.1.1), and bits
 * of features that it has not.
 */
static inline bool pagewalk_possible_(const struct pagewalk_cpu *cpu, const struct pagewalk_regs *r)
{
	static const struct {
		uint64_t cr4, efer, feature;
	} needs[] = {
		{ PAGEWALK_CR4_PSE, 0, PAGEWALK_FEATURE_PSE },
		{ PAGEWALK_CR4_PAE, 0, PAGEWALK_FEATURE_PAE },
		{ PAGEWALK_CR4_LA57, 0, PAGEWALK_FEATURE_LA57 },
		{ PAGEWALK_CR4_SMEP, 0, PAGEWALK_FEATURE_SMEP },
		{ PAGEWALK_CR4_SMAP, 0, PAGEWALK_FEATURE_SMAP },
		{ PAGEWALK_CR4_PKE, 0, PAGEWALK_FEATURE_PKU },
		{ 0, PAGEWALK_EFER_NXE, PAGEWALK_FEATURE_NX },
		/* These change answers, and no pagewalk_cpu has them so far: better a refusal than a wrong answer. */
		{ PAGEWALK_CR4_PKS | PAGEWALK_CR4_LASS | PAGEWALK_CR4_LAM_SUP, PAGEWALK_EFER_UAIE, 0 },
	};
	bool pg = (r->cr0 & PAGEWALK_CR0_PG) != 0;
	bool lme = (r->efer & PAGEWALK_EFER_LME) != 0;
	bool lma = (r->efer & PAGEWALK_EFER_LMA) != 0;
	size_t i;

	if (cpu->maxphyaddr < 32 || r->cr0 >> 32)
		return false;
	if (pg && !(r->cr0 & PAGEWALK_CR0_PE))
		return false;
	if ((r->cr0 & PAGEWALK_CR0_NW) && !(r->cr0 & PAGEWALK_CR0_CD))
		return false;
	if (lma != (lme && pg) || (lma && !(r->cr4 & PAGEWALK_CR4_PAE)))
		return false;
	if ((r->cr4 & PAGEWALK_CR4_PCIDE) && !lma)
		return false;
	if ((r->cr4 & PAGEWALK_CR4_CET) && !(r->cr0 & PAGEWALK_CR0_WP))
		return false;
	for (i = 0; i < sizeof(needs) / sizeof(needs[0]); i++)
		if (((r->cr4 & needs[i].cr4) | (r->efer & needs[i].efer)) && !(cpu->features & needs[i].feature))
			return false;
	return true;
}

/* The levels of the paging mode that the registers select; 0: paging is off (MODE-1, MODE-2). */
static inline unsigned pagewalk_mode_level_(const struct pagewalk_regs *r)
{
	if (!(r->cr0 & PAGEWALK_CR0_PG))
		return 0;
	if (!(r->cr4 & PAGEWALK_CR4_PAE))
		return 2;
	if (!(r->efer & PAGEWALK_EFER_LME))
		return 3;
	return r->cr4 & PAGEWALK_CR4_LA57 ? 5 : 4;
}

static inline uint32_t pagewalk_role_if_(uint64_t bit, uint32_t role)
{
	return bit ? role : 0;
}

/* The role of a guest's (or a host's) paging; *role is valid if true. */
static inline bool pagewalk_calc_role_(const struct pagewalk_cpu *cpu, const struct pagewalk_regs *r, uint32_t *role)
{
	unsigned level = pagewalk_mode_level_(r);
	uint32_t kind = level ? PAGEWALK_KIND_GUEST : PAGEWALK_KIND_DIRECT;

	if (!pagewalk_possible_(cpu, r))
		return false;
	*role = kind << PAGEWALK_ROLE_KIND_SHIFT | level << PAGEWALK_ROLE_LEVEL_SHIFT;
	if (!level)
		return true;
	*role |= pagewalk_role_if_(r->cr4 & PAGEWALK_CR4_PSE, PAGEWALK_ROLE_PSE) |
		 pagewalk_role_if_(r->efer & PAGEWALK_EFER_NXE, PAGEWALK_ROLE_NXE) |
		 pagewalk_role_if_(r->cr0 & PAGEWALK_CR0_WP, PAGEWALK_ROLE_WP) |
		 pagewalk_role_if_(r->cr4 & PAGEWALK_CR4_SMEP, PAGEWALK_ROLE_SMEP) |
		 pagewalk_role_if_(r->cr4 & PAGEWALK_CR4_SMAP, PAGEWALK_ROLE_SMAP);
	if (level >= 4) /* keys exist in long mode only (PERM-7) */
		*role |= pagewalk_role_if_(r->cr4 & PAGEWALK_CR4_PKE, PAGEWALK_ROLE_PKE) |
			 pagewalk_role_if_(!r->compatibility, PAGEWALK_ROLE_64BIT);
	return true;
}

/* ---- Reserved bits ----------------------------------------------------------------------------------- */

static inline void pagewalk_set_rsvd_(struct pagewalk_page_format *f, int level, uint64_t table, uint64_t page)
{
	f->rsvd_bits_mask[0][level - 1] = table;
	f->rsvd_bits_mask[1][level - 1] = page;
}

/* 32-bit paging: MODE-4, MODE-5, MODE-6. */
static inline void
pagewalk_set_format_32_(struct pagewalk_page_format *f, const struct pagewalk_cpu *cpu, uint32_t role, bool pat)
{
	int m = pagewalk_maxphyaddr_(cpu); /* becomes M', the width of a 4 MiB page's address */

	f->root_mask = PAGEWALK_BITS(31, 12);
	if (!(role & PAGEWALK_ROLE_PSE))
		return;
	f->ps_mask[1] = PAGEWALK_PTE_PS;
	if (cpu->quirks & PAGEWALK_QUIRK_KVM_PSE36)
		m = 36;
	else if (!(cpu->features & PAGEWALK_FEATURE_PSE36))
		m = 32;
	else if (m > 40 || (cpu->vendor == PAGEWALK_AMD && !(cpu->quirks & PAGEWALK_QUIRK_AMD_PSE36_BY_M)))
		m = 40;
	f->pse36_mask = PAGEWALK_BITS(m - 20, 13);
	f->rsvd_bits_mask[1][1] = PAGEWALK_BITS(21, m - 19) | (pat ? 0 : PAGEWALK_PTE_PAT_LARGE);
	f->rsvd_bits_mask[1][0] = pat ? 0 : PAGEWALK_PTE_PAT;
}

/* PAE: MODE-6, MODE-7, MODE-9. */
static inline void
pagewalk_set_format_pae_(struct pagewalk_page_format *f, const struct pagewalk_cpu *cpu, uint32_t role, bool pat)
{
	int m = pagewalk_maxphyaddr_(cpu);
	uint64_t high = PAGEWALK_BITS(62, m) | (role & PAGEWALK_ROLE_NXE ? 0 : PAGEWALK_PTE_NX);
	uint64_t pdpte = PAGEWALK_BITS(63, m) | PAGEWALK_BITS(8, 5) | PAGEWALK_BITS(2, 1);

	f->pae = true;
	f->pdpte_registers = pagewalk_role_kind_(role) == PAGEWALK_KIND_GUEST;
	f->root_mask = PAGEWALK_BITS(cpu->quirks & PAGEWALK_QUIRK_KVM_ROOT ? 63 : 31, 5);
	f->ps_mask[1] = PAGEWALK_PTE_PS;
	pagewalk_set_rsvd_(f, 3, pdpte, pdpte);
	pagewalk_set_rsvd_(f, 2, high, high | PAGEWALK_BITS(20, 13) | (pat ? 0 : PAGEWALK_PTE_PAT_LARGE));
	pagewalk_set_rsvd_(f, 1, high, high | (pat ? 0 : PAGEWALK_PTE_PAT));
}

/* 4-level and 5-level paging: MODE-10, MODE-11. */
static inline void
pagewalk_set_format_long_(struct pagewalk_page_format *f, const struct pagewalk_cpu *cpu, uint32_t role)
{
	int m = pagewalk_maxphyaddr_(cpu);
	uint64_t high = PAGEWALK_BITS(51, m) | (role & PAGEWALK_ROLE_NXE ? 0 : PAGEWALK_PTE_NX);
	bool amd = cpu->vendor == PAGEWALK_AMD;
	uint64_t top = high | PAGEWALK_PTE_PS | (amd ? PAGEWALK_PTE_GLOBAL : 0);
	uint64_t pdpte = high;

	if (amd && (cpu->quirks & PAGEWALK_QUIRK_AMD_PDPTE_BIT8))
		pdpte |= PAGEWALK_PTE_GLOBAL;
	f->root_mask = PAGEWALK_BITS(m - 1, 12);
	f->root_rsvd = PAGEWALK_BITS(63, m);
	f->ps_mask[1] = PAGEWALK_PTE_PS;
	pagewalk_set_rsvd_(f, 5, top, top);
	pagewalk_set_rsvd_(f, 4, top, top);
	if (cpu->features & PAGEWALK_FEATURE_PAGE1GB) {
		f->ps_mask[2] = PAGEWALK_PTE_PS;
		pagewalk_set_rsvd_(f, 3, pdpte, high | PAGEWALK_BITS(29, 13));
	} else {
		pagewalk_set_rsvd_(f, 3, pdpte, pdpte | PAGEWALK_PTE_PS);
	}
	pagewalk_set_rsvd_(f, 2, high, high | PAGEWALK_BITS(20, 13));
	pagewalk_set_rsvd_(f, 1, high, high);
}

/* EPT: EPT-1 ... EPT-4. */
static inline void
pagewalk_set_format_ept_(struct pagewalk_page_format *f, const struct pagewalk_cpu *cpu, uint32_t role)
{
	int m = pagewalk_maxphyaddr_(cpu);
	uint64_t high = PAGEWALK_BITS(51, m);
	uint64_t top = high | PAGEWALK_BITS(7, 3), table = high | PAGEWALK_BITS(6, 3);
	bool has_1g = (cpu->features & PAGEWALK_FEATURE_EPT_1G) != 0;
	int type;

	f->mbec = (role & PAGEWALK_ROLE_MBEC) != 0;
	f->have_ad = (role & PAGEWALK_ROLE_EPT_AD) != 0;
	f->present_mask = PAGEWALK_BITS(2, 0) | (f->mbec ? PAGEWALK_EPT_USER_EXEC : 0);
	f->xu_fold = f->mbec || (cpu->quirks & PAGEWALK_QUIRK_KVM_XU_IS_X) ? PAGEWALK_EPT_USER_EXEC : 0;
	f->root_mask = PAGEWALK_BITS(m - 1, 12);
	f->root_rsvd = PAGEWALK_BITS(63, m) | PAGEWALK_BITS(11, 7); /* bit 7, shadow-stack control, is not offered */
	pagewalk_set_rsvd_(f, 5, top, top);
	pagewalk_set_rsvd_(f, 4, top, top);
	pagewalk_set_rsvd_(f, 3, table, high | PAGEWALK_EPT_PS);
	pagewalk_set_rsvd_(f, 2, table, high | PAGEWALK_EPT_PS);
	pagewalk_set_rsvd_(f, 1, high, high);
	if (has_1g) {
		f->ps_mask[2] = PAGEWALK_EPT_PS;
		f->rsvd_bits_mask[1][2] = high | PAGEWALK_BITS(29, 12);
	}
	if ((cpu->features & PAGEWALK_FEATURE_EPT_2M) || (has_1g && (cpu->quirks & PAGEWALK_QUIRK_KVM_EPT_1G))) {
		f->ps_mask[1] = PAGEWALK_EPT_PS;
		f->rsvd_bits_mask[1][1] = high | PAGEWALK_BITS(20, 12);
	}

	/* EPT-3 a, b, f; a bit for each value of memory type (5:3) and X, W, R (2:0). */
	for (type = 0; type < 8; type++) {
		uint64_t bad = PAGEWALK_BIT(2) | PAGEWALK_BIT(6);         /* W without R */
		if (!(cpu->features & PAGEWALK_FEATURE_EPT_EXEC_ONLY))
			bad |= PAGEWALK_BIT(4);                           /* X without R */
		if (type == 2 || type == 3 || type == 7)
			bad = PAGEWALK_BITS(7, 0);
		f->bad_mt_xwr |= bad << 8 * type;
	}
}

/* ---- Rights ------------------------------------------------------------------------------------------ */

/* Where in permissions[] an access is looked up: W, U, SMAP switched off by AC, F. */
#define PAGEWALK_INDEX_WRITE            1u
#define PAGEWALK_INDEX_USER             2u
#define PAGEWALK_INDEX_SMAP_OFF         4u
#define PAGEWALK_INDEX_FETCH            8u

/*
 * permissions[] of a walker of this kind and role. Bit n of a column stands for an entry (or a whole walk) with the
 * rights n, so that a rule is one expression over all of them.
 */
static inline void pagewalk_set_permissions_(struct pagewalk_page_format *f, uint32_t role)
{
	/* The columns of EXEC, WRITE, USER (READ) and USER_EXEC. */
	const unsigned x = 0xaaaa, w = 0xcccc, u = 0xf0f0, xu = 0xff00;
	unsigned kind = pagewalk_role_kind_(role);
	bool wp = (role & PAGEWALK_ROLE_WP) != 0;
	unsigned i;

	f->gmet = (role & PAGEWALK_ROLE_GMET) != 0;
	f->pkru_mask = 0;
	for (i = 0; i < 16; i++) {
		bool write = i & PAGEWALK_INDEX_WRITE, user = i & PAGEWALK_INDEX_USER, fetch = i & PAGEWALK_INDEX_FETCH;
		bool needs_w = write;
		unsigned refused = fetch ? ~x : 0u;

		if (kind == PAGEWALK_KIND_EPT) {
			/* EPT-6: each access needs its own right. */
			if (fetch && f->mbec && user)
				refused = ~xu;
			if (!write && !fetch)
				refused = ~u;
		} else if (kind == PAGEWALK_KIND_NPT && f->gmet) {
			/* NPT-7: the user bit stops supervisor fetches and nothing else. */
			if (fetch && !user)
				refused |= u;
		} else if (kind == PAGEWALK_KIND_NPT || user) {
			/* NPT-2: every access is a user's. PERM-6. */
			refused |= ~u;
		} else {
			needs_w = write && wp; /* PERM-4 */
			if (fetch && (role & PAGEWALK_ROLE_SMEP)) /* PERM-5 */
				refused |= u;
			if (!fetch && (role & PAGEWALK_ROLE_SMAP) &&
			    !(i & PAGEWALK_INDEX_SMAP_OFF)) /* PERM-3, PERM-4 */
				refused |= u;
		}
		if (needs_w)
			refused |= ~w;
		f->permissions[i] = (uint16_t)(refused & 0xffff);

		if ((role & PAGEWALK_ROLE_PKE) && !fetch) { /* PERM-7 */
			uint32_t deny = PAGEWALK_PKRU_AD;
			if (write && (user || wp))
				deny |= PAGEWALK_PKRU_WD;
			f->pkru_mask |= deny << 2 * i;
		}
	}
}

/* ERR-5, NPT-5: whether a fetch shows in the error code. */
static inline uint64_t pagewalk_fetch_error_(const struct pagewalk_cpu *cpu, uint32_t role)
{
	bool nx = (role & PAGEWALK_ROLE_NXE) != 0;

	if (pagewalk_role_kind_(role) == PAGEWALK_KIND_GUEST && pagewalk_role_level_(role) == 2 &&
	    !(cpu->quirks & PAGEWALK_QUIRK_KVM_ID))
		nx = false; /* EFER.NXE = 1, but CR4.PAE = 0 */
	return nx || (role & PAGEWALK_ROLE_SMEP) ? PAGEWALK_PFERR_FETCH : 0;
}

/* ---- All of it --------------------------------------------------------------------------------------- */

/* What a change of PAGEWALK_ROLE_RIGHTS touches. */
static inline void pagewalk_set_rights_(struct pagewalk_page_format *f, const struct pagewalk_cpu *cpu, uint32_t role)
{
	pagewalk_set_permissions_(f, role);
	f->fetch_error = pagewalk_fetch_error_(cpu, role);
}

static inline void pagewalk_set_format_(struct pagewalk_page_format *f, const struct pagewalk_cpu *cpu, uint32_t role)
{
	bool pat = (cpu->features & PAGEWALK_FEATURE_PAT) || (cpu->quirks & PAGEWALK_QUIRK_KVM_NO_PAT);
	int width, i;

	f->kind = (uint8_t)pagewalk_role_kind_(role);
	f->root_level = (uint8_t)pagewalk_role_level_(role);
	f->pae = f->pdpte_registers = f->mbec = false;
	f->have_ad = true;
	f->present_mask = PAGEWALK_PTE_PRESENT;
	f->root_mask = f->root_rsvd = f->pse36_mask = f->bad_mt_xwr = f->xu_fold = 0;
	for (i = 0; i < PAGEWALK_MAX_LEVEL; i++) {
		f->ps_mask[i] = 0;
		pagewalk_set_rsvd_(f, i + 1, 0, 0);
	}

	if (f->kind == PAGEWALK_KIND_EPT)
		pagewalk_set_format_ept_(f, cpu, role);
	else if (f->root_level == 2)
		pagewalk_set_format_32_(f, cpu, role, pat);
	else if (f->root_level == 3)
		pagewalk_set_format_pae_(f, cpu, role, pat);
	else if (f->root_level)
		pagewalk_set_format_long_(f, cpu, role);

	if (f->kind == PAGEWALK_KIND_NPT && (cpu->quirks & PAGEWALK_QUIRK_KVM_ROOT))
		f->root_rsvd = PAGEWALK_BITS(63, pagewalk_maxphyaddr_(cpu));

	/* A level-1 entry is never a table; the mask that has not even the present bit says so. */
	f->table_mask[0] = 0;
	for (i = 1; i < PAGEWALK_MAX_LEVEL; i++)
		f->table_mask[i] = PAGEWALK_PTE_PRESENT | PAGEWALK_PTE_PS | f->rsvd_bits_mask[0][i];

	/* EPT-7: tables are read, or with A/D flags written. NPT-2: a user's write. */
	f->table_access = PAGEWALK_ACCESS_READ;
	if (f->kind == PAGEWALK_KIND_NPT)
		f->table_access = PAGEWALK_ACCESS_WRITE | PAGEWALK_ACCESS_USER;
	else if (f->have_ad || (cpu->quirks & PAGEWALK_QUIRK_KVM_TABLE_WRITE))
		f->table_access = PAGEWALK_ACCESS_WRITE;

	/*
	 * MODE-16. In EPT, the GPA bits over the walk's width (EPT-13). Without a mask nothing is refused, and the
	 * index of a level takes no more bits than it has.
	 */
	f->va_mask = ~UINT64_C(0);
	f->va_half = f->va_high = 0;
	if (cpu->quirks & PAGEWALK_QUIRK_KVM_WIDTH)
		return;
	width = f->root_level == 5 ? 57 : 48;
	if (role & PAGEWALK_ROLE_64BIT) {
		f->va_half = PAGEWALK_BIT(width - 1);
		f->va_high = PAGEWALK_BITS(63, width);
	} else if (f->kind == PAGEWALK_KIND_GUEST) {
		f->va_mask = PAGEWALK_BITS(31, 0);
	} else if (f->kind == PAGEWALK_KIND_EPT && !(cpu->quirks & PAGEWALK_QUIRK_EPT_HIGH_IGNORED)) {
		f->va_high = PAGEWALK_BITS(63, width);
	}
}

#endif
