/* SPDX-License-Identifier: MIT */
/*
 * fuzz_walk: every entry point of the library with memory and callbacks that know no mercy.
 *
 * Memory answers with whatever the input holds, another thing at each read; or it is 64 words, which may change after
 * each read. Reads and compare-exchanges fail, and compare-exchanges lose: now and then, or always. Whatever happens,
 * there is an answer within the stated number of callbacks and attempts, it fits what the callbacks did, nothing but A
 * and D is ever written, and the record is in range. Memory that is left alone gives the same answer twice, and the
 * second time nothing is left to be set. The sanitizers watch the rest.
 */
#include "fuzz.h"

enum memory { STREAM, WORDS, WORDS_THAT_CHANGE, WORDS_WITH_HOLES };
enum exchange { HONEST, FROM_INPUT, LOSES, FAILS, SAYS_DONE, NONE };

#define WORD_COUNT 64

static struct {
	struct input input;
	enum memory memory;
	enum exchange exchange;
	uint64_t word[WORD_COUNT];
	/* Of one call of the library; dirtied: how often D was set, in a guest's entries and in a second stage's. */
	unsigned reads, writes, lost, failed, dirtied[2];
} run;

static uint64_t take(unsigned size)
{
	return input_take(&run.input, size);
}

/* Nine bytes; the first one may make an entry of the rest that lets the walk go on. */
static uint64_t take_entry(bool *absent)
{
	uint64_t how = take(1), gpte = take(8);

	*absent = how == 255;
	if (how < 128) /* A, D and the rights are as they come in half of them */
		gpte = (gpte & (PAGEWALK_BITS(31, 12) | (how & 4 ? 0x66 : 0))) | (how & 4 ? 1 : 0x67) | (how & 1) << 7 |
		       (how & 2) << 8;
	return gpte;
}

/* Tables that follow each other lie in different words, and so do the entries of one. */
static uint64_t *word_at(uint64_t pa)
{
	return &run.word[((pa >> 3) + (pa >> 12)) % WORD_COUNT];
}

static uint64_t value_at(uint64_t pa, unsigned size)
{
	return size == 8 ? *word_at(pa) : (uint32_t)(*word_at(pa) >> (pa & 4) * 8);
}

static int read_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	bool absent = false;

	(void)w;
	REQUIRE(size == 4 || size == 8);
	REQUIRE(pa % size == 0);
	run.reads++;
	if (run.memory == STREAM) {
		*gpte = take_entry(&absent);
	} else {
		*gpte = value_at(pa, size);
		absent = run.memory == WORDS_WITH_HOLES && (pa >> 12) % 4 == 3;
	}
	if (run.memory == WORDS_THAT_CHANGE) {
		uint64_t at = take(1);
		run.word[at % WORD_COUNT] ^= PAGEWALK_BIT(take(1) % 64) * (at >> 7);
	}
	run.failed += absent;
	return absent ? -1 : 0;
}

static int exchange(uint64_t pa, unsigned size, uint64_t old, uint64_t new_gpte)
{
	if (run.exchange == FROM_INPUT) {
		uint64_t how = take(1);
		return how == 0 ? -1 : how < 4;
	}
	if (run.exchange != HONEST)
		return run.exchange == LOSES ? 1 : run.exchange == FAILS ? -1 : 0;
	if (run.memory == STREAM)
		return 0;
	if (value_at(pa, size) != old)
		return 1;
	*word_at(pa) ^= (old ^ new_gpte) << (size == 4 ? (pa & 4) * 8 : 0);
	return 0;
}

static int cmpxchg_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t old, uint64_t new_gpte)
{
	uint64_t changed = old ^ new_gpte;
	bool ept = w->fmt.kind == PAGEWALK_KIND_EPT;
	uint64_t dirty = ept ? PAGEWALK_EPT_DIRTY : PAGEWALK_PTE_DIRTY;
	uint64_t flags = (ept ? PAGEWALK_EPT_ACCESSED : PAGEWALK_PTE_ACCESSED) | dirty;
	int status = exchange(pa, size, old, new_gpte);

	REQUIRE(size == 8 || (size == 4 && !(old >> 32)));
	REQUIRE(pa % size == 0);
	REQUIRE(changed && !(changed & ~flags) && (new_gpte & changed) == changed);
	run.writes++;
	run.lost += status > 0;
	run.failed += status < 0;
	run.dirtied[w->fmt.kind >= PAGEWALK_KIND_NPT] += !status && (changed & dirty);
	return status;
}

static uint64_t get_guest_pgd(const struct kvm_pagewalk *w)
{
	return w->pgd;
}

static uint64_t get_pdptr(const struct kvm_pagewalk *w, unsigned index)
{
	REQUIRE(index < 4);
	return w->pdptr[index];
}

static void check_stage(const struct pagewalk_stage *s)
{
	REQUIRE(s->max_level <= PAGEWALK_MAX_LEVEL && s->level <= s->max_level);
	REQUIRE(!s->max_level == !s->level);
}

/* Whether a lost race can be told from no compare-exchange: AD-5 and EPT-16 with a second stage that changes. */
static bool may_retry_unseen(const struct kvm_pagewalk *w)
{
	return w->ngpa_walk && !w->ngpa_walk->fmt.have_ad;
}

/* What the callbacks did against what the call answered. attempts: how many it may make. */
static void check(enum pagewalk_status status, const struct kvm_pagewalk *w, const struct pagewalk_walk *out,
		  unsigned attempts)
{
	const uint64_t kvm_absent = PAGEWALK_QUIRK_KVM_NOT_PRESENT | PAGEWALK_QUIRK_KVM_PDPTE_LOAD;
	uint64_t quirks = w->cpu.quirks | (w->ngpa_walk ? w->ngpa_walk->cpu.quirks : 0);

	REQUIRE(status <= PAGEWALK_BAD_STATE);
	REQUIRE(run.reads <= attempts * PAGEWALK_MAX_READS && run.writes <= run.reads);
	REQUIRE(run.lost <= attempts && run.failed <= 1);
	REQUIRE(run.lost < attempts || status == PAGEWALK_RETRY);
	REQUIRE(status != PAGEWALK_RETRY || run.lost == attempts || may_retry_unseen(w));
	REQUIRE(status != PAGEWALK_NO_MEMORY || run.failed);
	/* AD-1: D is set in the leaf, by a write, and that ends the walk. */
	REQUIRE(run.dirtied[w->fmt.kind >= PAGEWALK_KIND_NPT] <= (status == PAGEWALK_OK));
	REQUIRE(!run.failed || status == PAGEWALK_NO_MEMORY ||
		((quirks & kvm_absent) && (status == PAGEWALK_FAULT || status == PAGEWALK_NESTED_FAULT)));

	if (w->fmt.kind != PAGEWALK_KIND_EPT && w->fmt.kind != PAGEWALK_KIND_NPT && status != PAGEWALK_BAD_STATE)
		check_stage(&out->guest);
	if (out->nested.max_level)
		check_stage(&out->nested);
	if (status == PAGEWALK_FAULT)
		REQUIRE(out->fault.vector >= PAGEWALK_VECTOR_SS && out->fault.vector <= PAGEWALK_VECTOR_PF &&
			out->fault.error_code < 64);
	if (status == PAGEWALK_NESTED_FAULT)
		REQUIRE(out->fault.exit != PAGEWALK_EXIT_NONE && out->fault.second_stage &&
			out->fault.exit_qualification < 1 << 12);
	if (status == PAGEWALK_OK)
		REQUIRE(pagewalk_page_shift(out) >= 12 && pagewalk_rights(w, out) < 16);
	run.reads = run.writes = run.lost = run.failed = run.dirtied[0] = run.dirtied[1] = 0;
}

static void translate(const struct kvm_pagewalk *w, uint64_t va, uint64_t access, struct pagewalk_walk *out)
{
	enum pagewalk_status first = pagewalk_translate(w, va, access, out);
	struct pagewalk_walk again;

	check(first, w, out, PAGEWALK_MAX_ATTEMPTS);
	/* In two dimensions an A flag can fall on a word that the other stage takes for something else; not in one. */
	if ((run.memory != WORDS && run.memory != WORDS_WITH_HOLES) || run.exchange != HONEST || w->ngpa_walk ||
	    (w->fmt.pae && !w->fmt.pdpte_registers))
		return;
	memset(&again, 0x5a, sizeof(again));
	REQUIRE(pagewalk_translate(w, va, access, &again) == first);
	REQUIRE(!run.writes);
	if (first == PAGEWALK_OK)
		REQUIRE(again.pa == out->pa && pagewalk_page_shift(&again) == pagewalk_page_shift(out));
	else if (first != PAGEWALK_BAD_STATE)
		REQUIRE(again.fault.error_code == out->fault.error_code && again.fault.address == out->fault.address &&
			again.fault.gpa == out->fault.gpa && again.fault.rule == out->fault.rule &&
			again.fault.exit == out->fault.exit && again.fault.vector == out->fault.vector);
	check(first, w, &again, PAGEWALK_MAX_ATTEMPTS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kvm_pagewalk guest, second;
	struct pagewalk_walk out;
	struct pagewalk_regs regs;
	struct pagewalk_cpu cpu;
	uint64_t pdptr[4], va, access;
	unsigned kind;
	bool absent;

	memset(&run, 0, sizeof(run));
	run.input = (struct input){ data, size };
	memset(&guest, 0, sizeof(guest));
	memset(&second, 0, sizeof(second));
	memset(&out, 0xa5, sizeof(out));

	/* 1 + 15 + 25 + 1 + 8 + 3 + 4 + 8 + 8 bytes, fuzz/seeds.pl writes them; then the memory. */
	kind = (unsigned)take(1);
	run.memory = (enum memory)(kind & 3);
	run.exchange = (enum exchange)((kind >> 2 & 7) % (NONE + 1));
	guest.read_gpte = second.read_gpte = read_gpte;
	guest.cmpxchg_gpte = second.cmpxchg_gpte = run.exchange == NONE ? NULL : cmpxchg_gpte;
	if (kind & 32) {
		guest.get_guest_pgd = second.get_guest_pgd = get_guest_pgd;
		guest.get_pdptr = get_pdptr;
	}
	cpu = input_cpu(&run.input);
	regs = input_regs(&run.input);
	kind = (unsigned)take(1);
	guest.pgd = take(8);
	guest.rflags = second.rflags = take(3);
	guest.pkru = (uint32_t)take(4);
	va = take(8);
	access = take(8);
	if (kind & 1) {
		access &= PAGEWALK_ACCESS_WRITE | PAGEWALK_ACCESS_USER | PAGEWALK_ACCESS_FETCH |
			  PAGEWALK_ACCESS_IMPLICIT;
		va = (uint64_t)((int64_t)(va << 16) / 65536);
	}
	if (kind & 8) {
		uint64_t root = take(8);

		guest.ngpa_walk = kind & 128 ? &guest : &second;
		if (kind & 32)
			root = (root & 0xfffff040) | (root & 1 ? 0x26 : 0x1e);
		if (kind & 16)
			pagewalk_init_ept(&second, &cpu, root, kind & 64);
		else
			pagewalk_init_npt(&second, &cpu, &regs, root, kind & 64);
	}
	pagewalk_init(&guest, &cpu, &regs);
	for (unsigned i = 0; run.memory != STREAM && i < WORD_COUNT; i++)
		run.word[i] = take_entry(&absent);

	check(pagewalk_load_pdptrs(&guest, guest.pgd, guest.pdptr, &out), &guest, &out, PAGEWALK_MAX_ATTEMPTS);
	translate(&guest, va, access, &out);
	if (second.gva_to_gpa) {
		translate(&second, va, access, &out);
		check(second.gva_to_gpa(&second, va, access, &out), &second, &out, 1);
	}
	check(guest.gva_to_gpa(&guest, va, access, &out), &guest, &out, 1);
	if (guest.fmt.kind == PAGEWALK_KIND_GUEST && guest.fmt.root_level == 2)
		check(pagewalk32_walk_addr(&guest, va & 0xffffffff, access, &out), &guest, &out, PAGEWALK_MAX_ATTEMPTS);
	else if (guest.fmt.kind == PAGEWALK_KIND_GUEST)
		check(pagewalk64_walk_addr(&guest, va, access, &out), &guest, &out, PAGEWALK_MAX_ATTEMPTS);
	REQUIRE(pagewalk_permission_fault(&guest, (unsigned)take(1), (unsigned)take(1), access) < 64);
	regs.cr0 ^= PAGEWALK_CR0_WP;
	regs.cr4 ^= take(4);
	pagewalk_refresh(&guest, &regs);
	translate(&guest, va, access, &out);
	check(pagewalk_load_pdptrs(&guest, va, pdptr, &out), &guest, &out, PAGEWALK_MAX_ATTEMPTS);
	return 0;
}
