/* SPDX-License-Identifier: MIT */
#include <stddef.h>

#include "model.h"

/* ---- Small things ------------------------------------------------------------------------------------------------- */

static bool bit(uint64_t v, int n)
{
	return v >> n & 1;
}

/* Bits high:low of v, where they stand; none if high < low. */
static uint64_t at(uint64_t v, int high, int low)
{
	for (int i = 0; i < 64; i++)
		if (i < low || i > high)
			v &= ~((uint64_t)1 << i);
	return v;
}

/* Whether any of bits high:low is set. */
static bool any(uint64_t v, int high, int low)
{
	if (high < low)
		return false;
	v >>= low;
	return high - low < 63 ? (v & (((uint64_t)1 << (high - low + 1)) - 1)) != 0 : v != 0;
}

enum purpose { FOR_TABLE, FOR_FINAL, FOR_PDPTE_LOAD };

/* What is asked, what is answered, and what of the question is asked often. */
struct model {
	const struct case_question *q;
	struct case_answer *a;
	bool kvm, amd, as_walked;
	int m;
};

/* What a stage gives when it lets an access pass. */
struct passed {
	uint64_t address;
	int shift;
	bool r, w, x, u;
	bool writable; /* EPT: the page may be written (EPT-7) */
};

/* An entry that a walk used. */
struct used {
	uint64_t address, entry;
	bool has_flags; /* it has A: a PDPTE of PAE has none (AD-3) */
	bool writable;  /* the second stage lets it be written */
	uint64_t gpa;
};

static void set_bit(struct model *m, uint64_t address, unsigned size, int n)
{
	uint64_t now = 0;

	case_load(&m->q->memory, m->a->value, address, size, &now);
	if (!bit(now, n)) /* AD-1: sticky */
		case_store(&m->q->memory, m->a->value, address, size, now | (uint64_t)1 << n);
}

static bool stop(struct model *m, enum case_outcome outcome)
{
	m->a->outcome = outcome;
	return false;
}

/* ---- EPT ---------------------------------------------------------------------------------------------------------- */

/* EPT-8. r, w, x, xu: AND of the entries. g: what the guest's own tables allow, for bits 9 ... 11. */
static bool ept_violation(struct model *m, uint64_t gpa, enum case_access access, enum purpose purpose, bool r, bool w, bool x, bool xu,
			  const struct passed *g)
{
	uint64_t q = 0;

	if (purpose == FOR_FINAL) {
		q |= access == CASE_READ ? 1 : access == CASE_WRITE ? 2 : 4;
	} else {
		q |= 1;
		if (access == CASE_WRITE)
			q |= 2;
	}
	q |= r ? 1 << 3 : 0;
	q |= w ? 1 << 4 : 0;
	q |= x ? 1 << 5 : 0;
	if (m->q->mbec && xu)
		q |= 1 << 6;
	if (purpose != FOR_PDPTE_LOAD || m->kvm)
		q |= 1 << 7;
	if (purpose == FOR_FINAL) {
		q |= 1 << 8;
		if ((m->q->ept_features & CASE_EPT_ADVANCED) && !m->kvm) {
			q |= g->u ? 1 << 9 : 0;
			q |= g->w ? 1 << 10 : 0;
			q |= g->x ? 0 : 1 << 11;
		}
	}
	m->a->exit_qualification = q;
	m->a->gpa = m->kvm ? at(gpa, 63, 12) : gpa; /* deviation 4 */
	return stop(m, CASE_EPT_VIOLATION);
}

/* EPT-3 for a present entry. */
static bool ept_misconfigured(const struct model *m, uint64_t e, int level)
{
	unsigned f = m->q->ept_features;
	bool r = bit(e, 0), w = bit(e, 1), x = bit(e, 2);
	bool page = level == 1 || ((level == 2 || level == 3) && bit(e, 7));

	if (m->q->mbec || m->kvm) /* under MBEC XU is an execute right too; deviation 10: always */
		x = x || bit(e, 10);
	if (w && !r) /* a */
		return true;
	if (!r && x && !(f & CASE_EPT_EXEC_ONLY)) /* b */
		return true;
	if (any(e, 51, m->m)) /* c */
		return true;
	if (level >= 4 && any(e, 7, 3)) /* d */
		return true;
	if ((level == 3 || level == 2) && !page && any(e, 6, 3))
		return true;
	if (level == 3 && page && !(f & CASE_EPT_1G))
		return true;
	if (level == 2 && page && !(f & CASE_EPT_2M))
		return true;
	if (level == 3 && page && any(e, 29, 12)) /* e */
		return true;
	if (level == 2 && page && any(e, 20, 12))
		return true;
	if (page) { /* f */
		unsigned type = e >> 3 & 7;
		if (type == 2 || type == 3 || type == 7)
			return true;
	}
	return false;
}

static bool walk_ept(struct model *m, uint64_t gpa, enum case_access access, bool user_address, enum purpose purpose, const struct passed *g,
		     struct passed *out)
{
	const struct case_question *q = m->q;
	bool ad = bit(q->eptp, 6), r = true, w = true, x = true, xu = true;
	int levels = (int)(q->eptp >> 3 & 7) + 1, level, used = 0;
	uint64_t table = at(q->eptp, m->m - 1, 12), e = 0;
	uint64_t where[5];

	/* EPT-13 */
	if (!m->kvm && !(q->knobs & CASE_EPT_IGNORE_HIGH) && gpa >> (levels == 5 ? 57 : 48))
		return ept_violation(m, gpa, access, purpose, false, false, false, false, g);

	for (level = levels;; level--) {
		uint64_t address = table + (gpa >> (12 + 9 * (level - 1)) & 511) * 8;

		if (!case_load(&q->memory, m->a->value, address, 8, &e)) {
			if (m->kvm) /* deviation 7 */
				return ept_violation(m, gpa, access, purpose, r, w, x, xu, g);
			return stop(m, CASE_NO_MEMORY);
		}
		where[used++] = address;
		r = r && bit(e, 0);
		w = w && bit(e, 1);
		x = x && bit(e, 2);
		xu = xu && bit(e, 10);
		/* EPT-2, EPT-5 */
		if (!any(e, 2, 0) && !(q->mbec && bit(e, 10)))
			return ept_violation(m, gpa, access, purpose, r, w, x, xu, g);
		if (ept_misconfigured(m, e, level)) {
			m->a->gpa = m->kvm ? at(gpa, 63, 12) : gpa;
			return stop(m, CASE_EPT_MISCONFIG);
		}
		if (level == 1 || (level <= 3 && bit(e, 7)))
			break;
		if (ad && m->as_walked) /* AD-2 */
			set_bit(m, address, 8, 8);
		table = at(e, 51, 12);
	}

	/* EPT-6 */
	bool allowed = access == CASE_READ ? r : access == CASE_WRITE ? w : q->mbec && user_address ? xu : x;
	if (!allowed)
		return ept_violation(m, gpa, access, purpose, r, w, x, xu, g);

	out->shift = 12 + 9 * (level - 1);
	out->address = at(e, 51, out->shift) | at(gpa, out->shift - 1, 0);
	out->r = r;
	out->w = out->writable = w;
	out->x = q->mbec && user_address ? xu : x;
	out->u = true; /* EPT knows no user pages */
	if (ad) {
		for (int i = 0; i < used; i++)
			set_bit(m, where[i], 8, 8);
		if (access == CASE_WRITE)
			set_bit(m, where[used - 1], 8, 9);
	}
	return true;
}

/* ---- Entries of 32-bit, PAE, 4-level and 5-level tables, a guest's or a host's ------------------------------------------------ */

enum what { ABSENT, MALFORMED, TABLE, PAGE };

static enum what classify(const struct model *m, int levels, int level, uint64_t e, bool pse, bool nxe)
{
	unsigned f = m->q->features;
	bool no_pat = !(f & CASE_PAT) && !m->kvm; /* deviation 11 */

	if (!bit(e, 0))
		return ABSENT; /* MODE-12: nothing else of it counts */

	if (levels == 2) {
		if (level == 1)
			return pse && no_pat && bit(e, 7) ? MALFORMED : PAGE; /* MODE-4, MODE-6 */
		if (!pse || !bit(e, 7))
			return TABLE; /* MODE-4 */
		int width = 32; /* MODE-5: M' */
		if (m->kvm)
			width = 36; /* deviation 2 */
		else if ((f & CASE_PSE36) && m->amd && !(m->q->knobs & CASE_PSE36_BY_M))
			width = 40;
		else if (f & CASE_PSE36)
			width = m->m < 40 ? m->m : 40;
		if (any(e, 21, width - 19))
			return MALFORMED;
		return no_pat && bit(e, 12) ? MALFORMED : PAGE; /* MODE-6 */
	}

	if (levels == 3) {
		if (level == 3) /* MODE-7 */
			return any(e, 2, 1) || any(e, 8, 5) || any(e, 63, m->m) ? MALFORMED : TABLE;
		if (any(e, 62, m->m) || (!nxe && bit(e, 63))) /* MODE-9 */
			return MALFORMED;
		if (level == 1)
			return no_pat && bit(e, 7) ? MALFORMED : PAGE; /* MODE-6 */
		if (!bit(e, 7))
			return TABLE;
		if (any(e, 20, 13))
			return MALFORMED;
		return no_pat && bit(e, 12) ? MALFORMED : PAGE;
	}

	/* MODE-10 */
	if (any(e, 51, m->m) || (!nxe && bit(e, 63)))
		return MALFORMED;
	if (level >= 4) {
		if (bit(e, 7))
			return MALFORMED;
		return m->amd && bit(e, 8) ? MALFORMED : TABLE; /* MODE-11 */
	}
	if (level == 3) {
		if (!bit(e, 7))
			return m->amd && !m->kvm && (m->q->knobs & CASE_PDPTE_BIT8) && bit(e, 8) ? MALFORMED : TABLE;
		if (!(f & CASE_PAGE1GB))
			return MALFORMED;
		return any(e, 29, 13) ? MALFORMED : PAGE;
	}
	if (level == 2) {
		if (!bit(e, 7))
			return TABLE;
		return any(e, 20, 13) ? MALFORMED : PAGE;
	}
	return PAGE;
}

static int shift_of(int levels, int level)
{
	return levels == 2 ? (level == 2 ? 22 : 12) : 12 + 9 * (level - 1);
}

static uint64_t index_of(int levels, int level, uint64_t address)
{
	if (levels == 2)
		return address >> shift_of(levels, level) & 1023;
	if (levels == 3 && level == 3)
		return address >> 30 & 3;
	return address >> shift_of(levels, level) & 511;
}

/* Where a page's entry leads for this address. */
static uint64_t page_of(const struct model *m, int levels, int level, uint64_t e, uint64_t address)
{
	int shift = shift_of(levels, level);
	uint64_t page = levels == 2 ? at(e, 31, shift) : at(e, 51, shift);

	if (levels == 2 && level == 2 && (m->kvm || (m->q->features & CASE_PSE36)))
		page |= at(e, m->kvm ? 16 : 20, 13) >> 13 << 32; /* MODE-5; what M' does not have was found 0 */
	return page | at(address, shift - 1, 0);
}

static int levels_of(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	if (!bit(cr0, 31)) /* MODE-1, MODE-2 */
		return 0;
	if (!bit(cr4, 5))
		return 2;
	if (!bit(efer, 8))
		return 3;
	return bit(cr4, 12) ? 5 : 4;
}

/* MODE-3 */
static uint64_t root_of(const struct model *m, int levels, uint64_t cr3)
{
	return levels == 2 ? at(cr3, 31, 12) : levels == 3 ? at(cr3, 31, 5) : at(cr3, m->m - 1, 12);
}

/* ---- NPT ------------------------------------------------------------------------------------------------------------ */

/* NPT-5 */
static bool npf(struct model *m, uint64_t gpa, enum case_access access, bool user, enum purpose purpose, bool present, bool reserved)
{
	uint64_t code = 0;

	code |= present ? 1 : 0;
	code |= access == CASE_WRITE ? 2 : 0;
	code |= user ? 4 : 0;
	code |= reserved ? 8 : 0;
	if (access == CASE_FETCH && (bit(m->q->hefer, 11) || bit(m->q->hcr4, 20)))
		code |= 16;
	code |= (uint64_t)1 << (purpose == FOR_FINAL ? 32 : 33);
	m->a->error_code = code;
	m->a->gpa = m->kvm ? at(gpa, 63, 12) : gpa;
	return stop(m, CASE_NPF);
}

static bool walk_npt(struct model *m, uint64_t gpa, enum case_access access, bool user, enum purpose purpose, struct passed *out)
{
	const struct case_question *q = m->q;
	int levels = levels_of(q->hcr0, q->hcr4, q->hefer), level, used = 0; /* NPT-1 */
	unsigned size = levels == 2 ? 4 : 8;
	bool pse = bit(q->hcr4, 4), nxe = bit(q->hefer, 11), u = true, w = true, x = true;
	uint64_t table = root_of(m, levels, q->ncr3), e = 0;
	uint64_t where[5];

	if (!q->gmet)
		user = true; /* NPT-2 */
	for (level = levels;; level--) {
		uint64_t address = table + index_of(levels, level, gpa) * size;
		bool pdpte = levels == 3 && level == 3;

		if (!case_load(&q->memory, m->a->value, address, size, &e)) {
			if (m->kvm)
				return npf(m, gpa, access, user, purpose, false, false);
			return stop(m, CASE_NO_MEMORY);
		}
		enum what what = classify(m, levels, level, e, pse, nxe);
		if (pdpte && m->kvm && what == MALFORMED)
			what = TABLE; /* deviation 11 */
		if (what == ABSENT)
			return npf(m, gpa, access, user, purpose, false, false);
		if (what == MALFORMED)
			return npf(m, gpa, access, user, purpose, true, true);
		if (!pdpte) { /* PERM-2, AD-3 */
			u = u && bit(e, 2);
			w = w && bit(e, 1);
			x = x && !(levels > 2 && nxe && bit(e, 63));
			where[used++] = address;
		}
		if (what == PAGE)
			break;
		if (!pdpte && m->as_walked)
			set_bit(m, address, size, 5);
		table = levels == 2 ? at(e, 31, 12) : at(e, 51, 12);
	}

	bool allowed = true;
	if (access == CASE_WRITE && !w) /* NPT-4: hCR0.WP plays no part */
		allowed = false;
	if (access == CASE_FETCH && !x)
		allowed = false;
	if (!q->gmet && !u)
		allowed = false;
	if (q->gmet && access == CASE_FETCH && u && !user) /* NPT-7 */
		allowed = false;
	if (!allowed)
		return npf(m, gpa, access, user, purpose, true, false);

	out->shift = shift_of(levels, level);
	out->address = page_of(m, levels, level, e, gpa);
	out->r = true;
	out->w = out->writable = w;
	out->x = x;
	out->u = u;
	for (int i = 0; i < used; i++)
		set_bit(m, where[i], size, 5);
	if (access == CASE_WRITE)
		set_bit(m, where[used - 1], size, 6);
	return true;
}

/* ---- The second stage, whichever it is --------------------------------------------------------------------------------- */

/* An entry of a guest's table (EPT-7, NPT-2). */
static bool second_for_table(struct model *m, uint64_t gpa, bool update, struct passed *out)
{
	const struct case_question *q = m->q;

	out->address = gpa;
	out->writable = true;
	if (q->stage2 == CASE_EPT) {
		bool write = update || bit(q->eptp, 6) || m->kvm; /* deviation 3 */
		return walk_ept(m, gpa, write ? CASE_WRITE : CASE_READ, false, FOR_TABLE, NULL, out);
	}
	if (q->stage2 == CASE_NPT)
		return walk_npt(m, gpa, CASE_WRITE, true, FOR_TABLE, out);
	return true;
}

/* The access itself. g: what the guest's tables gave. */
static bool second_for_final(struct model *m, const struct passed *g, bool user, struct passed *out)
{
	out->address = g->address;
	out->shift = 99;
	out->r = out->w = out->x = out->u = true;
	if (m->q->stage2 == CASE_EPT)
		return walk_ept(m, g->address, m->q->access, g->u, FOR_FINAL, g, out);
	if (m->q->stage2 == CASE_NPT)
		return walk_npt(m, g->address, m->q->access, user, FOR_FINAL, out);
	return true;
}

static void translated(struct model *m, const struct passed *g, const struct passed *s)
{
	int shift = g->shift < s->shift ? g->shift : s->shift;
	bool x = g->x && s->x;

	if (m->q->stage2 == CASE_NPT && m->q->gmet && s->u && !g->u)
		x = false;
	m->a->outcome = CASE_TRANSLATED;
	m->a->pa = s->address;
	m->a->page_shift = shift == 99 ? 0 : (unsigned)shift;
	m->a->rights = (g->u ? CASE_U : 0) | (s->r ? CASE_R : 0) | (g->w && s->w ? CASE_W : 0) | (x ? CASE_X : 0);
}

/* ---- The guest ------------------------------------------------------------------------------------------------------------ */

static bool page_fault(struct model *m, uint64_t va, bool user, bool present, bool reserved, bool key)
{
	const struct case_question *q = m->q;
	uint64_t code = 0;

	code |= present ? 1 : 0;                     /* ERR-1 */
	code |= q->access == CASE_WRITE ? 2 : 0;     /* ERR-2 */
	code |= user ? 4 : 0;                        /* ERR-3 */
	code |= reserved ? 8 : 0;                    /* ERR-4 */
	if (q->access == CASE_FETCH) {               /* ERR-5 */
		bool nxe = bit(q->efer, 11), pae = bit(q->cr4, 5), smep = bit(q->cr4, 20);
		if (smep || (nxe && (pae || m->kvm))) /* deviation 1 */
			code |= 16;
	}
	code |= key ? 32 : 0;                        /* ERR-6 */
	m->a->error_code = code;
	m->a->cr2 = va;                              /* ERR-10 */
	return stop(m, CASE_PAGE_FAULT);
}

/* MODE-7: as MOV to CR3. */
static bool load_pdptes(struct model *m, uint64_t pdpte[4])
{
	const struct case_question *q = m->q;
	struct passed s = { .address = at(q->cr3, 31, 5) };
	bool ok = true;

	if (q->stage2 == CASE_EPT) /* EPT-7: a read; deviation 11: a write */
		ok = walk_ept(m, s.address, m->kvm ? CASE_WRITE : CASE_READ, false, FOR_PDPTE_LOAD, NULL, &s);
	else if (q->stage2 == CASE_NPT)
		ok = walk_npt(m, s.address, CASE_WRITE, true, FOR_PDPTE_LOAD, &s);
	for (unsigned i = 0; ok && i < 4; i++) {
		ok = case_load(&q->memory, m->a->value, s.address + 8 * i, 8, &pdpte[i]);
		if (!ok)
			m->a->outcome = CASE_NO_MEMORY;
	}
	if (!ok) {
		if (m->kvm) { /* deviation 11 */
			m->a->exit_qualification = m->a->error_code = m->a->gpa = 0;
			m->a->outcome = CASE_PDPTE_FAULT;
		}
		return false;
	}
	for (unsigned i = 0; i < 4; i++)
		if (classify(m, 3, 3, pdpte[i], false, false) == MALFORMED)
			return stop(m, CASE_PDPTE_FAULT);
	return true;
}

static bool canonical(uint64_t va, int levels)
{
	bool top = bit(va, levels == 5 ? 56 : 47);

	for (int i = levels == 5 ? 56 : 47; i < 64; i++)
		if (bit(va, i) != top)
			return false;
	return true;
}

/* PERM-3 ... PERM-6 */
static bool rights_allow(const struct case_question *q, bool user, bool implicit, bool u, bool w, bool x)
{
	bool wp = bit(q->cr0, 16), smep = bit(q->cr4, 20), smap = bit(q->cr4, 21), ac = bit(q->rflags, 18);

	if (user) /* PERM-6 */
		return u && (q->access != CASE_WRITE || w) && (q->access != CASE_FETCH || x);
	if (q->access == CASE_FETCH) /* PERM-5 */
		return x && !(u && smep);
	if (u && smap && (implicit || !ac)) /* PERM-3 */
		return false;
	return q->access != CASE_WRITE || w || !wp; /* PERM-4 */
}

/* PERM-7 */
static bool key_denies(const struct case_question *q, int levels, bool user, bool u, uint64_t leaf)
{
	unsigned key = leaf >> 59 & 15;

	if (levels < 4 || !bit(q->cr4, 22) || !u || q->access == CASE_FETCH)
		return false;
	if (bit(q->pkru, (int)(2 * key)))
		return true;
	return q->access == CASE_WRITE && bit(q->pkru, (int)(2 * key + 1)) && (user || bit(q->cr0, 16));
}

/* AD-1: A, and D if asked, of an entry. False: the EPT does not let it be written (EPT-16). */
static bool update(struct model *m, const struct used *e, unsigned size, bool dirty)
{
	struct passed s;

	if (!e->has_flags || (bit(e->entry, 5) && (!dirty || bit(e->entry, 6))))
		return true;
	if (!e->writable)
		return second_for_table(m, e->gpa, true, &s);
	set_bit(m, e->address, size, 5);
	if (dirty)
		set_bit(m, e->address, size, 6);
	return true;
}

static void walk_guest(struct model *m, uint64_t va, bool user, bool implicit)
{
	const struct case_question *q = m->q;
	int levels = levels_of(q->cr0, q->cr4, q->efer), level, used = 0;
	unsigned size = levels == 2 ? 4 : 8;
	bool pse = bit(q->cr4, 4), nxe = bit(q->efer, 11);
	uint64_t pdpte[4], table = root_of(m, levels, q->cr3), e = 0;
	struct passed g = { .u = true, .w = true, .x = true }, s;
	struct used entries[5];
	bool in_memory = m->amd && !m->kvm && q->stage2 == CASE_NPT; /* MODE-8; deviation 11 */

	if (levels == 3 && !in_memory) {
		memcpy(pdpte, q->pdpte, sizeof(pdpte));
		if (!q->has_pdpte && !load_pdptes(m, pdpte))
			return;
	}
	for (level = levels;; level--) {
		struct used *now = &entries[used];

		if (levels == 3 && level == 3 && !in_memory) { /* a register, checked when it was loaded */
			e = pdpte[index_of(3, 3, va)];
			if (!bit(e, 0)) {
				page_fault(m, va, user, false, false, false);
				return;
			}
			table = at(e, 51, 12);
			continue;
		}
		now->gpa = table + index_of(levels, level, va) * size;
		if (!second_for_table(m, now->gpa, false, &s)) /* EPT-12, NPT-6 */
			return;
		now->address = s.address;
		now->writable = s.writable;
		now->has_flags = true;
		if (!case_load(&q->memory, m->a->value, now->address, size, &e)) {
			if (m->kvm) /* deviation 7 */
				page_fault(m, va, user, false, false, false);
			else
				stop(m, CASE_NO_MEMORY);
			return;
		}
		now->entry = e;
		enum what what = classify(m, levels, level, e, pse, nxe); /* of a PDPTE in memory too: MODE-8 */
		if (what == ABSENT) { /* PERM-10 */
			page_fault(m, va, user, false, false, false);
			return;
		}
		if (what == MALFORMED) {
			page_fault(m, va, user, true, true, false);
			return;
		}
		if (levels == 3 && level == 3) { /* no rights there, no A */
			table = at(e, 51, 12);
			continue;
		}
		g.u = g.u && bit(e, 2); /* PERM-2 */
		g.w = g.w && bit(e, 1);
		g.x = g.x && !(levels > 2 && nxe && bit(e, 63));
		used++;
		if (what == PAGE)
			break;
		if (m->as_walked) {
			if (!update(m, now, size, false))
				return;
			now->has_flags = false; /* done with */
		}
		table = levels == 2 ? at(e, 31, 12) : at(e, 51, 12);
	}

	bool denied = key_denies(q, levels, user, g.u, e);
	if (denied || !rights_allow(q, user, implicit, g.u, g.w, g.x)) { /* PERM-11 */
		page_fault(m, va, user, true, false, denied);
		return;
	}
	g.shift = shift_of(levels, level);
	g.address = page_of(m, levels, level, e, va);
	if (!second_for_final(m, &g, user, &s))
		return;
	for (int i = 0; i < used; i++)
		if (!update(m, &entries[i], size, i == used - 1 && q->access == CASE_WRITE))
			return;
	translated(m, &g, &s);
}

void model_walk(const struct case_question *q, struct case_answer *a)
{
	struct model m = {
		.q = q, .a = a,
		.kvm = q->profile == CASE_KVM_INTEL || q->profile == CASE_KVM_AMD,
		.amd = q->profile == CASE_AMD || q->profile == CASE_KVM_AMD,
		.m = q->maxphyaddr > 52 ? 52 : (int)q->maxphyaddr, /* MODE-12 */
	};
	int levels = levels_of(q->cr0, q->cr4, q->efer);
	bool implicit = q->implicit, user = q->user && !implicit; /* PERM-1, ERR-3 */
	uint64_t va = q->va;

	m.as_walked = !m.kvm && (q->knobs & CASE_AD_AS_WALKED);
	memset(a, 0, offsetof(struct case_answer, value));
	memcpy(a->value, q->memory.value, q->memory.count * sizeof(*a->value));

	if (!levels) { /* MODE-1 */
		struct passed g = { .address = va, .shift = 99, .r = true, .w = true, .x = true, .u = true }, s;
		if (second_for_final(&m, &g, user, &s))
			translated(&m, &g, &s);
		return;
	}
	if (!m.kvm) { /* deviation 5 */
		if (levels > 3 && !q->compatibility) {
			if (!canonical(va, levels)) { /* MODE-16 */
				a->outcome = CASE_NON_CANONICAL;
				a->vector = q->stack ? 12 : 13;
				return;
			}
		} else {
			va = at(va, 31, 0);
		}
	}
	walk_guest(&m, va, user, implicit);
}
