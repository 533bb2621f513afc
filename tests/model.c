/* SPDX-License-Identifier: MIT */
/*
 * model.c: a page walk as docs/rules.md has it, to be read beside it. A check stands where its rule puts it, says what the
 * rule says and names it; nothing is precomputed. "Deviation n" is KVM's, of the section on known deviations: it
 * replaces the hardware's rule in the profiles kvm-intel and kvm-amd.
 */
#include "model.h"

enum mode { MODE_OFF, MODE_32, MODE_PAE, MODE_4, MODE_5 };

/* A table format of MODE-2 with the register bits that its entries depend on. */
struct format {
	enum mode mode;
	bool pse, nxe;
};

struct walk {
	const struct case_question *q;
	struct case_answer *a;
	unsigned m;      /* MAXPHYADDR */
	bool kvm, amd;
	bool as_walked;  /* AD-2: the policy */
	bool user;       /* PERM-1: a user access */
	uint64_t la;     /* the linear address that is walked, and CR2 */
	uint64_t pdpte[4];
	bool lost;       /* AD-5: a compare-exchange lost, so the walk starts again */
};

/* What both stages and their entries allow. XU is EPT's. */
struct rights {
	bool r, w, x, xu, u;
};

/* A question to the second stage, and what it answers if it doesn't refuse. */
struct second {
	uint64_t gpa;
	bool read, write, fetch;
	bool final;          /* else: a guest table's entry, or the PDPTEs */
	bool pdpte_load;
	bool user;           /* EPT: a user-mode linear address; NPT: a user access */
	struct rights guest; /* final: what the guest's own tables allow */

	uint64_t hpa;
	unsigned shift;
	struct rights rights;
};

/* An entry that a walk used, and where it lies. */
struct used {
	uint64_t pa, gpa, entry;
	struct rights rights; /* the second stage's for the page that it lies in */
};

static bool bit(uint64_t v, unsigned n)
{
	return v >> n & 1;
}

/* Bits high:low of v; none if high < low. */
static uint64_t bits(uint64_t v, unsigned high, unsigned low)
{
	return high < low ? 0 : v >> low & ~(uint64_t)0 >> (63 - (high - low));
}

/* v with only its bits high:low. */
static uint64_t keep(uint64_t v, unsigned high, unsigned low)
{
	return high < low ? 0 : bits(v, high, low) << low;
}

static bool outcome(struct walk *w, enum case_outcome o)
{
	w->a->outcome = o;
	return false;
}

static bool load(const struct walk *w, uint64_t pa, unsigned size, uint64_t *entry)
{
	return case_load(&w->q->memory, w->a->value, pa, size, entry);
}

/*
 * AD-1, AD-5: flags that the entry lacks are set, sticky, by a compare-exchange against what the walk read. Nobody else
 * writes, but the walk itself may have, where one word is the entry of two levels, or of both stages.
 */
static bool set_bits(struct walk *w, uint64_t pa, unsigned size, uint64_t seen, uint64_t set)
{
	uint64_t entry;

	if ((seen & set) == set)
		return true;
	if (!load(w, pa, size, &entry) || entry != seen) {
		w->lost = true;
		return false;
	}
	case_store(&w->q->memory, w->a->value, pa, size, entry | set);
	return true;
}

/* ---- MODE: the formats of the guest's and of a nested table --------------------------------------------------- */

static unsigned levels_of(enum mode mode)
{
	return mode == MODE_32 ? 2 : mode == MODE_PAE ? 3 : mode == MODE_4 ? 4 : 5;
}

static unsigned entry_size(enum mode mode)
{
	return mode == MODE_32 ? 4 : 8;
}

/* The lowest address bit that this level's index takes: log2 of the page that a leaf here maps. */
static unsigned shift_of(enum mode mode, unsigned level)
{
	return mode == MODE_32 ? 12 + 10 * (level - 1) : 12 + 9 * (level - 1);
}

static uint64_t index_of(enum mode mode, unsigned level, uint64_t address)
{
	unsigned shift = shift_of(mode, level);

	if (mode == MODE_32)
		return bits(address, shift + 9, shift);
	if (mode == MODE_PAE && level == 3)
		return bits(address, 31, 30);
	return bits(address, shift + 8, shift);
}

/* MODE-3: where the root table is; of PAE paging, the four PDPTEs. */
static uint64_t root_of(const struct walk *w, enum mode mode, uint64_t cr3)
{
	if (mode == MODE_32)
		return keep(cr3, 31, 12);
	if (mode == MODE_PAE)
		return keep(cr3, w->kvm ? 63 : 31, 5); /* deviation 14 */
	return w->m < 13 ? 0 : keep(cr3, w->m - 1, 12);
}

static bool is_leaf(const struct format *f, unsigned level, uint64_t entry)
{
	if (level == 1)
		return true;
	if (f->mode == MODE_32)
		return f->pse && bit(entry, 7); /* MODE-4 */
	if (f->mode == MODE_PAE)
		return level == 2 && bit(entry, 7); /* MODE-9: whatever PSE is */
	return level <= 3 && bit(entry, 7); /* MODE-10 */
}

/* The reserved bits of a 4 MiB page's PDE, but for the PAT bit. */
static bool reserved_4m(const struct walk *w, uint64_t pde)
{
	unsigned features = w->q->features;
	unsigned m40 = !(features & CASE_PSE36) || w->m < 32 ? 32 : w->m < 40 ? w->m : 40; /* M' */

	if (w->kvm)
		return bits(pde, 21, 17); /* deviation 2 */
	if (w->amd && (features & CASE_PSE36) && !(w->q->knobs & CASE_PSE36_BY_M))
		return bit(pde, 21); /* MODE-5, AMD */
	return bits(pde, 21, m40 - 19); /* MODE-5 */
}

/* PERM-10, the second half: a present entry's reserved bits. */
static bool is_reserved(const struct walk *w, const struct format *f, unsigned level, uint64_t entry)
{
	bool leaf = is_leaf(f, level, entry);
	bool no_pat = !w->kvm && !(w->q->features & CASE_PAT); /* MODE-6; deviation 11 */

	if (f->mode == MODE_32) {
		if (no_pat && f->pse && leaf && bit(entry, level == 1 ? 7 : 12))
			return true; /* MODE-6 */
		return leaf && level == 2 && reserved_4m(w, entry); /* MODE-4: 4 KiB entries have none */
	}
	if (f->mode == MODE_PAE) {
		if (no_pat && leaf && bit(entry, level == 1 ? 7 : 12))
			return true; /* MODE-6 */
		if (bits(entry, 62, w->m))
			return true; /* MODE-9 */
		if (bit(entry, 63) && !f->nxe)
			return true; /* MODE-9 */
		return leaf && level == 2 && bits(entry, 20, 13); /* MODE-9 */
	}
	if (bits(entry, 51, w->m))
		return true; /* MODE-10, MODE-12 */
	if (bit(entry, 63) && !f->nxe)
		return true; /* MODE-10 */
	if (level >= 4 && bit(entry, 7))
		return true; /* MODE-10 */
	if (level == 3 && bit(entry, 7) && !(w->q->features & CASE_PAGE1GB))
		return true; /* MODE-10 */
	if (leaf && level == 3 && bits(entry, 29, 13))
		return true; /* MODE-10 */
	if (leaf && level == 2 && bits(entry, 20, 13))
		return true; /* MODE-10 */
	if (level >= 4 && bit(entry, 8) && w->amd)
		return true; /* MODE-11, deviation 10 */
	if (level == 3 && !leaf && bit(entry, 8) && w->amd && !w->kvm && (w->q->knobs & CASE_PDPTE_BIT8))
		return true; /* MODE-11, the open half */
	return false;
}

/* MODE-7. */
static bool is_reserved_pdpte(const struct walk *w, uint64_t pdpte)
{
	return bits(pdpte, 2, 1) || bits(pdpte, 8, 5) || bits(pdpte, 63, w->m);
}

/* The address of the page that a leaf maps. */
static uint64_t page_of(enum mode mode, unsigned level, uint64_t entry)
{
	if (mode == MODE_32 && level == 2)
		return keep(entry, 31, 22) | bits(entry, 20, 13) << 32; /* MODE-5; in deviation 2 20:17 are 0 */
	if (mode == MODE_32)
		return keep(entry, 31, 12);
	return keep(entry, 51, shift_of(mode, level));
}

/* The address of the table that a non-leaf entry leads to. */
static uint64_t table_of(enum mode mode, uint64_t entry)
{
	return mode == MODE_32 ? keep(entry, 31, 12) : keep(entry, 51, 12);
}

/* PERM-2: what the entries up to here allow, this one included. */
static void narrow(const struct format *f, struct rights *r, uint64_t entry)
{
	r->w = r->w && bit(entry, 1);
	r->u = r->u && bit(entry, 2);
	if (f->mode != MODE_32 && f->nxe && bit(entry, 63))
		r->x = false;
}

/* ---- EPT ------------------------------------------------------------------------------------------------------- */

static bool refuse_at(struct walk *w, enum case_outcome o, uint64_t gpa)
{
	w->a->gpa = w->kvm && bit(w->q->cr0, 31) ? keep(gpa, 63, 12) : gpa; /* deviation 4 */
	return outcome(w, o);
}

/* EPT-8, deviation 8. */
static bool ept_violation(struct walk *w, const struct second *s, const struct rights *r)
{
	const struct case_question *q = w->q;
	uint64_t x = 0;

	x |= (uint64_t)s->read << 0;
	x |= (uint64_t)s->write << 1;
	x |= (uint64_t)s->fetch << 2;
	x |= (uint64_t)r->r << 3;
	x |= (uint64_t)r->w << 4;
	x |= (uint64_t)r->x << 5;
	x |= (uint64_t)(q->mbec && r->xu) << 6;
	x |= (uint64_t)!s->pdpte_load << 7;
	x |= (uint64_t)s->final << 8;
	if (s->final && (q->ept_features & CASE_EPT_ADVANCED) && !w->kvm) {
		x |= (uint64_t)s->guest.u << 9;
		x |= (uint64_t)s->guest.w << 10;
		x |= (uint64_t)!s->guest.x << 11;
	}
	w->a->exit_qualification = x;
	return refuse_at(w, CASE_EPT_VIOLATION, s->gpa);
}

/* EPT-3. */
static bool ept_misconfigured(const struct walk *w, unsigned level, uint64_t entry)
{
	unsigned features = w->q->ept_features;
	bool r = bit(entry, 0), x = bit(entry, 2);
	bool leaf = level == 1 || (level <= 3 && bit(entry, 7));
	uint64_t type = bits(entry, 5, 3);

	if (w->q->mbec || w->kvm) /* deviation 10: also without MBEC */
		x = x || bit(entry, 10);
	if (bit(entry, 1) && !r)
		return true; /* (a) */
	if (!r && x && !(features & CASE_EPT_EXEC_ONLY))
		return true; /* (b) */
	if (bits(entry, 51, w->m))
		return true; /* (c) */
	if (level >= 4 && bits(entry, 7, 3))
		return true; /* (d) */
	if (level <= 3 && !leaf && bits(entry, 6, 3))
		return true; /* (d) */
	if (level == 3 && bit(entry, 7) && !(features & CASE_EPT_1G))
		return true; /* (d) */
	if (level == 2 && bit(entry, 7) && !(features & CASE_EPT_2M) && !(w->kvm && (features & CASE_EPT_1G))) /* KVM-13 */
		return true; /* (d) */
	if (level == 3 && leaf && bits(entry, 29, 12))
		return true; /* (e) */
	if (level == 2 && leaf && bits(entry, 20, 12))
		return true; /* (e) */
	if (leaf && (type == 2 || type == 3 || type == 7))
		return true; /* (f) */
	return false;
}

static bool ept_walk(struct walk *w, struct second *s)
{
	const struct case_question *q = w->q;
	unsigned levels = bits(q->eptp, 5, 3) == 4 ? 5 : 4; /* EPT-1 */
	bool ad = bit(q->eptp, 6); /* EPT-1 */
	uint64_t table = w->m < 13 ? 0 : keep(q->eptp, w->m - 1, 12); /* EPT-1 */
	struct rights r = { true, true, true, true, false };
	uint64_t path[6], seen[6], entry;
	unsigned level;

	/* EPT-13, deviation 5 */
	if (!w->kvm && !(q->knobs & CASE_EPT_IGNORE_HIGH) && bits(s->gpa, 63, levels == 5 ? 57 : 48)) {
		static const struct rights none = { false, false, false, false, false };
		return ept_violation(w, s, &none);
	}

	for (level = levels;; level--) {
		path[level] = table + 8 * bits(s->gpa, 9 * level + 11, 9 * level + 3);
		if (!load(w, path[level], 8, &entry)) {
			if (w->kvm)
				return ept_violation(w, s, &r); /* deviation 7 */
			return outcome(w, CASE_NO_MEMORY);
		}
		seen[level] = entry;
		r.r = r.r && bit(entry, 0); /* EPT-6, EPT-8 */
		r.w = r.w && bit(entry, 1);
		r.x = r.x && bit(entry, 2);
		r.xu = r.xu && bit(entry, 10);
		if (!bits(entry, 2, 0) && !(q->mbec && bit(entry, 10)))
			return ept_violation(w, s, &r); /* EPT-2, EPT-5 */
		if (ept_misconfigured(w, level, entry))
			return refuse_at(w, CASE_EPT_MISCONFIG, s->gpa); /* EPT-3, EPT-5 */
		if (level == 1 || (level <= 3 && bit(entry, 7)))
			break;
		if (ad && w->as_walked && !set_bits(w, path[level], 8, entry, 1 << 8)) /* AD-2 */
			return false;
		table = keep(entry, 51, 12);
	}

	if (s->read && !r.r)
		return ept_violation(w, s, &r); /* EPT-6 */
	if (s->write && !r.w)
		return ept_violation(w, s, &r); /* EPT-6 */
	if (s->fetch && !(q->mbec && s->user ? r.xu : r.x))
		return ept_violation(w, s, &r); /* EPT-6 */

	if (ad) { /* EPT-4, AD-1: root first */
		for (unsigned i = levels; i > level && !w->as_walked; i--)
			if (!set_bits(w, path[i], 8, seen[i], 1 << 8))
				return false;
		if (!set_bits(w, path[level], 8, entry, s->write ? 1 << 8 | 1 << 9 : 1 << 8))
			return false;
	}
	s->shift = 12 + 9 * (level - 1);
	s->hpa = keep(entry, 51, s->shift) | keep(s->gpa, s->shift - 1, 0);
	s->rights = r;
	return true;
}

/* ---- NPT ------------------------------------------------------------------------------------------------------- */

/* NPT-5. */
static bool npf(struct walk *w, const struct second *s, bool present, bool rsvd)
{
	uint64_t code = 0;

	code |= (uint64_t)present << 0;
	code |= (uint64_t)s->write << 1;
	code |= (uint64_t)s->user << 2;
	code |= (uint64_t)rsvd << 3;
	code |= (uint64_t)(s->fetch && (bit(w->q->hefer, 11) || bit(w->q->hcr4, 20))) << 4;
	code |= (uint64_t)s->final << 32;
	code |= (uint64_t)!s->final << 33;
	w->a->error_code = code;
	return refuse_at(w, CASE_NPF, s->gpa);
}

static bool npt_walk(struct walk *w, struct second *s)
{
	const struct case_question *q = w->q;
	struct format f = { .pse = bit(q->hcr4, 4), .nxe = bit(q->hefer, 11) };
	struct rights r = { true, true, true, true, true };
	uint64_t table, path[6], seen[6], entry;
	unsigned size, levels, level;

	if (!bit(q->hcr4, 5)) /* NPT-1, MODE-2 */
		f.mode = MODE_32;
	else if (!bit(q->hefer, 10))
		f.mode = MODE_PAE;
	else if (!bit(q->hcr4, 12))
		f.mode = MODE_4;
	else
		f.mode = MODE_5;
	size = entry_size(f.mode);
	levels = levels_of(f.mode);
	table = root_of(w, f.mode, q->ncr3);

	if (f.mode == MODE_PAE) { /* no registers: from memory at each walk */
		if (!load(w, table + 8 * index_of(f.mode, 3, s->gpa), 8, &entry)) {
			if (w->kvm)
				return npf(w, s, false, false); /* deviation 7 */
			return outcome(w, CASE_NO_MEMORY);
		}
		if (!bit(entry, 0))
			return npf(w, s, false, false); /* PERM-10 */
		if (!w->kvm && is_reserved_pdpte(w, entry))
			return npf(w, s, true, true); /* MODE-7, deviation 11 */
		table = table_of(f.mode, entry);
		levels = 2;
	}

	for (level = levels;; level--) {
		path[level] = table + size * index_of(f.mode, level, s->gpa);
		if (!load(w, path[level], size, &entry)) {
			if (w->kvm)
				return npf(w, s, false, false); /* deviation 7 */
			return outcome(w, CASE_NO_MEMORY);
		}
		seen[level] = entry;
		if (!bit(entry, 0))
			return npf(w, s, false, false); /* PERM-10 */
		if (is_reserved(w, &f, level, entry))
			return npf(w, s, true, true); /* PERM-10 */
		narrow(&f, &r, entry);
		if (is_leaf(&f, level, entry))
			break;
		if (w->as_walked && !set_bits(w, path[level], size, entry, 1 << 5)) /* AD-2 */
			return false;
		table = table_of(f.mode, entry);
	}

	if (!q->gmet && !r.u)
		return npf(w, s, true, false); /* NPT-2: all are user accesses; deviation 9 */
	if (s->write && !r.w)
		return npf(w, s, true, false); /* NPT-4: whatever hCR0.WP is */
	if (s->fetch && !r.x)
		return npf(w, s, true, false); /* NPT-4 */
	if (q->gmet && s->fetch && !s->user && r.u)
		return npf(w, s, true, false); /* NPT-7 */

	for (unsigned i = levels; i > level && !w->as_walked; i--) /* AD-1: root first */
		if (!set_bits(w, path[i], size, seen[i], 1 << 5))
			return false;
	if (!set_bits(w, path[level], size, entry, s->write ? 1 << 5 | 1 << 6 : 1 << 5))
		return false;
	s->shift = shift_of(f.mode, level);
	s->hpa = page_of(f.mode, level, entry) | keep(s->gpa, s->shift - 1, 0);
	s->rights = r;
	return true;
}

/* ---- Two dimensions -------------------------------------------------------------------------------------------- */

static bool second_stage(struct walk *w, struct second *s)
{
	if (w->q->stage2 == CASE_EPT)
		return ept_walk(w, s);
	if (w->q->stage2 == CASE_NPT)
		return npt_walk(w, s);
	s->hpa = s->gpa;
	return true;
}

/* The second stage's translation of the address of a guest table's entry, or of the four PDPTEs. */
static bool second_stage_of_table(struct walk *w, uint64_t gpa, bool pdpte_load, struct used *e)
{
	struct second s = { .gpa = gpa, .pdpte_load = pdpte_load };

	if (w->q->stage2 == CASE_NPT) {
		s.write = true; /* NPT-2: a user write */
		s.user = true;
	} else {
		s.read = true; /* EPT-7 */
		if (w->kvm)
			s.write = true; /* deviations 3 and 11 */
		else if (bit(w->q->eptp, 6) && !pdpte_load)
			s.write = true; /* EPT-7 */
	}
	if (!second_stage(w, &s))
		return false;
	e->gpa = gpa;
	e->pa = s.hpa;
	e->rights = s.rights;
	return true;
}

/* An A/D update of a guest's entry. False: the EPT doesn't let it happen. */
static bool update(struct walk *w, const struct used *e, unsigned size, uint64_t set)
{
	struct second s = { .gpa = e->gpa, .read = true, .write = true };

	if ((e->entry & set) == set)
		return true;
	if (w->q->stage2 == CASE_EPT && !bit(w->q->eptp, 6) && !w->kvm && !e->rights.w) {
		/* EPT-7, EPT-16: refused, by the EPT as it is now, which the walk may have changed */
		if (second_stage(w, &s))
			w->lost = true;
		return false;
	}
	return set_bits(w, e->pa, size, e->entry, set);
}

/* ---- The guest ------------------------------------------------------------------------------------------------- */

/* ERR-1 ... ERR-6, ERR-10. */
static bool page_fault(struct walk *w, bool present, bool rsvd, bool pk)
{
	const struct case_question *q = w->q;
	bool pae = bit(q->cr4, 5), smep = bit(q->cr4, 20), nxe = bit(q->efer, 11);
	bool id = q->access == CASE_FETCH && (smep || (pae && nxe)); /* ERR-5 */

	if (w->kvm)
		id = q->access == CASE_FETCH && (smep || nxe); /* deviation 1 */
	w->a->error_code = (uint64_t)present << 0 | (uint64_t)(q->access == CASE_WRITE) << 1 | (uint64_t)w->user << 2 |
			   (uint64_t)rsvd << 3 | (uint64_t)id << 4 | (uint64_t)pk << 5;
	w->a->cr2 = w->la;
	return outcome(w, CASE_PAGE_FAULT);
}

/* MODE-7: what MOV CR3 does; deviations 7 and 11: KVM raises #GP whatever goes wrong. */
static bool load_pdptes(struct walk *w)
{
	uint64_t *pdpte = w->pdpte;
	struct used table;

	if (!second_stage_of_table(w, root_of(w, MODE_PAE, w->q->cr3), true, &table)) {
		if (w->kvm && !w->lost) {
			w->a->error_code = w->a->exit_qualification = w->a->gpa = 0;
			w->a->outcome = CASE_PDPTE_FAULT;
		}
		return false;
	}
	for (unsigned i = 0; i < 4; i++)
		if (!load(w, table.pa + 8 * i, 8, &pdpte[i]))
			return outcome(w, w->kvm ? CASE_PDPTE_FAULT : CASE_NO_MEMORY);
	for (unsigned i = 0; i < 4; i++)
		if (bit(pdpte[i], 0) && is_reserved_pdpte(w, pdpte[i]))
			return outcome(w, CASE_PDPTE_FAULT);
	return true;
}

/* PERM-3 ... PERM-7. False: refused. */
static bool check_rights(struct walk *w, const struct rights *r, unsigned key, bool has_key)
{
	const struct case_question *q = w->q;
	bool wp = bit(q->cr0, 16), smep = bit(q->cr4, 20), smap = bit(q->cr4, 21), pke = bit(q->cr4, 22);
	bool ac = bit(q->rflags, 18);
	bool denied = false, pk = false;

	if (!w->user && q->access == CASE_READ) { /* PERM-3 */
		if (r->u && smap && (q->implicit || !ac))
			denied = true;
	}
	if (!w->user && q->access == CASE_WRITE) { /* PERM-4 */
		if (r->u && smap && (q->implicit || !ac))
			denied = true;
		if (!r->w && wp)
			denied = true;
	}
	if (!w->user && q->access == CASE_FETCH) { /* PERM-5 */
		if (!r->x)
			denied = true;
		if (r->u && smep)
			denied = true;
	}
	if (w->user) { /* PERM-6 */
		if (!r->u)
			denied = true;
		if (q->access == CASE_WRITE && !r->w)
			denied = true;
		if (q->access == CASE_FETCH && !r->x)
			denied = true;
	}
	if (has_key && pke && r->u && q->access != CASE_FETCH) { /* PERM-7 */
		if (bit(q->pkru, 2 * key))
			pk = true;
		if (q->access == CASE_WRITE && bit(q->pkru, 2 * key + 1) && (w->user || wp))
			pk = true;
	}
	if (denied || pk)
		return page_fault(w, true, false, pk); /* PERM-11, ERR-6 */
	return true;
}

/* The last step of a walk: the final address's second stage. With paging off the guest's page has no size: shift 0. */
static bool final_stage(struct walk *w, uint64_t gpa, const struct rights *guest, bool paging, unsigned shift)
{
	const struct case_question *q = w->q;
	struct second s = { .gpa = gpa, .final = true, .guest = *guest };
	struct rights r = *guest;

	s.read = q->access == CASE_READ;
	s.write = q->access == CASE_WRITE;
	s.fetch = q->access == CASE_FETCH;
	if (q->stage2 == CASE_EPT)
		s.user = !paging || guest->u; /* EPT-6, deviation 9 */
	else
		s.user = !q->gmet || w->user; /* NPT-2, NPT-7, deviation 9 */
	if (!second_stage(w, &s))
		return false;

	if (q->stage2 == CASE_EPT) { /* EPT-6 */
		r.r = r.r && s.rights.r;
		r.w = r.w && s.rights.w;
		r.x = r.x && (q->mbec && s.user ? s.rights.xu : s.rights.x);
	}
	if (q->stage2 == CASE_NPT) { /* NPT-4 */
		r.w = r.w && s.rights.w;
		r.x = r.x && s.rights.x;
		if (q->gmet && s.rights.u && !guest->u)
			r.x = false; /* NPT-7 */
	}
	if (q->stage2 != CASE_ONE_DIMENSION && (!paging || s.shift < shift))
		shift = s.shift;
	w->a->pa = s.hpa;
	w->a->page_shift = shift;
	w->a->rights = (r.r ? CASE_R : 0u) | (r.w ? CASE_W : 0u) | (r.x ? CASE_X : 0u) | (r.u ? CASE_U : 0u);
	return true;
}

static bool guest_walk(struct walk *w, const struct format *f)
{
	const struct case_question *q = w->q;
	uint64_t table = root_of(w, f->mode, q->cr3), entry, gpa;
	unsigned size = entry_size(f->mode), levels = levels_of(f->mode), level, shift;
	struct rights r = { true, true, true, true, true };
	struct used path[6];

	if (f->mode == MODE_PAE) { /* MODE-7, AD-3: the PDPTE has neither rights nor A */
		if (w->amd && !w->kvm && q->stage2 == CASE_NPT) { /* MODE-8, deviation 11 */
			struct used e;

			if (!second_stage_of_table(w, table + 8 * index_of(f->mode, 3, w->la), false, &e))
				return false;
			if (!load(w, e.pa, 8, &entry))
				return outcome(w, CASE_NO_MEMORY);
			if (bit(entry, 0) && is_reserved_pdpte(w, entry))
				return page_fault(w, true, true, false);
		} else {
			entry = w->pdpte[index_of(f->mode, 3, w->la)];
		}
		if (!bit(entry, 0))
			return page_fault(w, false, false, false); /* MODE-7 */
		table = table_of(f->mode, entry);
		levels = 2;
	}

	for (level = levels;; level--) { /* EPT-12, NPT-6: this order for each entry */
		struct used *e = &path[level];

		if (!second_stage_of_table(w, table + size * index_of(f->mode, level, w->la), false, e))
			return false;
		if (!load(w, e->pa, size, &entry)) {
			if (w->kvm)
				return page_fault(w, false, false, false); /* deviation 7 */
			return outcome(w, CASE_NO_MEMORY);
		}
		e->entry = entry;
		if (!bit(entry, 0))
			return page_fault(w, false, false, false); /* PERM-10, ERR-1 */
		if (is_reserved(w, f, level, entry))
			return page_fault(w, true, true, false); /* PERM-10, ERR-4 */
		narrow(f, &r, entry); /* PERM-2 */
		if (is_leaf(f, level, entry))
			break;
		if (w->as_walked && !update(w, e, size, 1 << 5))
			return false; /* AD-2, EPT-16 */
		table = table_of(f->mode, entry);
	}

	/* PERM-10: rights after a complete translation. MODE-13: the key. */
	if (!check_rights(w, &r, (unsigned)bits(entry, 62, 59), f->mode == MODE_4 || f->mode == MODE_5))
		return false;

	shift = shift_of(f->mode, level);
	gpa = page_of(f->mode, level, entry) | keep(w->la, shift - 1, 0);
	if (!final_stage(w, gpa, &r, true, shift))
		return false;

	for (unsigned i = levels; i > level && !w->as_walked; i--) /* AD-1, AD-2, deviation 6: root first */
		if (!update(w, &path[i], size, 1 << 5))
			return false;
	return update(w, &path[level], size, q->access == CASE_WRITE ? 1 << 5 | 1 << 6 : 1 << 5);
}

/* MODE-16. */
static bool is_canonical(uint64_t la, enum mode mode)
{
	if (mode == MODE_5)
		return bits(la, 63, 56) == 0 || bits(la, 63, 56) == 0xff;
	return bits(la, 63, 47) == 0 || bits(la, 63, 47) == 0x1ffff;
}

static bool walk(struct walk *w)
{
	const struct case_question *q = w->q;
	struct format f = { .pse = bit(q->cr4, 4), .nxe = bit(q->efer, 11) };
	static const struct rights all = { true, true, true, true, true };

	if (!bit(q->cr0, 31)) /* MODE-1 */
		return final_stage(w, w->la, &all, false, 0);

	if (!bit(q->cr4, 5)) /* MODE-2 */
		f.mode = MODE_32;
	else if (!bit(q->efer, 8))
		f.mode = MODE_PAE;
	else if (!bit(q->cr4, 12))
		f.mode = MODE_4;
	else
		f.mode = MODE_5;

	if (w->kvm) {
		/* deviation 5: no canonical check, and the indices don't reach the bits above the mode's width */
	} else if (bit(q->efer, 10) && !q->compatibility) {
		if (!is_canonical(w->la, f.mode)) { /* MODE-16 */
			w->a->vector = q->stack ? 12 : 13;
			return outcome(w, CASE_NON_CANONICAL);
		}
	} else {
		w->la = keep(w->la, 31, 0); /* MODE-16 */
	}
	return guest_walk(w, &f);
}

/* AD-5: nothing is left of a walk that starts again but the flags that it has set. */
static void clear(struct walk *w)
{
	w->la = w->q->va;
	w->lost = false;
	w->a->outcome = CASE_TRANSLATED;
	w->a->pa = w->a->error_code = w->a->cr2 = w->a->exit_qualification = w->a->gpa = 0;
	w->a->page_shift = w->a->rights = w->a->vector = 0;
}

void model_walk(const struct case_question *q, struct case_answer *a)
{
	struct walk w = { .q = q, .a = a };
	bool pae = bit(q->cr0, 31) && bit(q->cr4, 5) && !bit(q->efer, 8), done;
	unsigned attempts = 100; /* each sets a flag that was not set before */

	w.m = q->maxphyaddr > 52 ? 52 : q->maxphyaddr; /* MODE-12 */
	w.kvm = q->profile == CASE_KVM_INTEL || q->profile == CASE_KVM_AMD;
	w.amd = q->profile == CASE_AMD || q->profile == CASE_KVM_AMD;
	w.as_walked = !w.kvm && (q->knobs & CASE_AD_AS_WALKED); /* deviation 6 */
	w.user = q->user && (w.kvm || !q->implicit); /* PERM-1 */

	memcpy(a->value, q->memory.value, q->memory.count * sizeof(a->value[0]));
	memcpy(w.pdpte, q->pdpte, sizeof(w.pdpte));
	if (pae && !q->has_pdpte && !(w.amd && !w.kvm && q->stage2 == CASE_NPT)) { /* MODE-7; MODE-8, deviation 11 */
		do {
			clear(&w);
			done = load_pdptes(&w);
		} while (w.lost && attempts--);
		if (!done)
			return;
	}
	do {
		clear(&w);
		done = walk(&w);
	} while (w.lost && attempts--);
	if (!done) /* a walk that gets past final_stage() may still be refused */
		a->pa = a->page_shift = a->rights = 0;
}
