/* SPDX-License-Identifier: MIT */
/*
 * fuzz_walk: every entry point of the library with registers, memory and callbacks that know no mercy. Memory answers
 * with whatever the input holds, another thing at each read; callbacks fail and compare-exchanges lose. Whatever
 * happens, there is an answer within the stated number of callbacks, nothing but A and D is ever written, and the
 * record is in range. The sanitizers watch the rest.
 */
#include <stdlib.h>
#include <string.h>

#include <pagewalk/pagewalk.h>

#define REQUIRE(cond) ((cond) ? (void)0 : abort())

static struct {
	const uint8_t *bytes;
	size_t left;
	unsigned reads, writes;
} input;

static uint64_t take(unsigned size)
{
	uint64_t value = 0;

	if (size > input.left)
		size = (unsigned)input.left;
	memcpy(&value, input.bytes, size);
	input.bytes += size;
	input.left -= size;
	return value;
}

static int read_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	uint64_t how = take(1);

	(void)w;
	REQUIRE(size == 4 || size == 8);
	REQUIRE(pa % size == 0);
	input.reads++;
	*gpte = take(8);
	if (how < 128) /* an entry that lets the walk go on, most likely */
		*gpte = (*gpte & PAGEWALK_BITS(31, 12)) | 0x67 | (how & 1) << 7 | (how & 2) << 8;
	return how == 255 ? -1 : 0;
}

static int cmpxchg_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t old, uint64_t new_gpte)
{
	uint64_t changed = old ^ new_gpte;
	uint64_t flags = w->fmt.kind == PAGEWALK_KIND_EPT ? PAGEWALK_EPT_ACCESSED | PAGEWALK_EPT_DIRTY :
							    PAGEWALK_PTE_ACCESSED | PAGEWALK_PTE_DIRTY;

	REQUIRE(pa % size == 0);
	REQUIRE(changed && !(changed & ~flags) && (new_gpte & changed) == changed);
	input.writes++;
	switch (take(1)) {
	case 0:
		return -1;
	case 1: case 2: case 3:
		return 1;
	default:
		return 0;
	}
}

static void check_stage(const struct pagewalk_stage *s)
{
	REQUIRE(s->max_level <= PAGEWALK_MAX_LEVEL && s->level <= s->max_level);
	REQUIRE(!s->max_level == !s->level);
}

static void check(enum pagewalk_status status, const struct kvm_pagewalk *w, const struct pagewalk_walk *out, unsigned attempts)
{
	REQUIRE(input.reads <= attempts * PAGEWALK_MAX_READS && input.writes <= attempts * PAGEWALK_MAX_READS);
	REQUIRE(status <= PAGEWALK_BAD_STATE);
	if (w->fmt.kind != PAGEWALK_KIND_EPT && w->fmt.kind != PAGEWALK_KIND_NPT && status != PAGEWALK_BAD_STATE)
		check_stage(&out->guest);
	if (out->nested.max_level)
		check_stage(&out->nested);
	if (status == PAGEWALK_FAULT)
		REQUIRE(out->fault.vector >= PAGEWALK_VECTOR_SS && out->fault.vector <= PAGEWALK_VECTOR_PF && out->fault.error_code < 64);
	if (status == PAGEWALK_NESTED_FAULT)
		REQUIRE(out->fault.exit != PAGEWALK_EXIT_NONE && out->fault.second_stage && out->fault.exit_qualification < 1 << 12);
	if (status == PAGEWALK_OK)
		REQUIRE(pagewalk_page_shift(out) >= 12 && pagewalk_rights(w, out) < 16);
	input.reads = input.writes = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kvm_pagewalk guest, second;
	struct pagewalk_walk out;
	struct pagewalk_regs regs;
	struct pagewalk_cpu cpu;
	uint64_t pdptr[4], va, access;
	unsigned kind;

	input.bytes = data;
	input.left = size;
	input.reads = input.writes = 0;
	memset(&guest, 0, sizeof(guest));
	memset(&second, 0, sizeof(second));
	memset(&out, 0xa5, sizeof(out));
	guest.read_gpte = second.read_gpte = read_gpte;
	guest.cmpxchg_gpte = second.cmpxchg_gpte = cmpxchg_gpte;

	cpu = pagewalk_cpu_profile((enum pagewalk_profile)(take(1) & 3), (uint8_t)take(1), PAGEWALK_FEATURES_ALL ^ take(1));
	cpu.features ^= take(1) << 32;
	cpu.quirks ^= take(4);
	kind = (unsigned)take(1);
	regs.cr0 = take(4);
	regs.cr4 = take(4);
	regs.efer = take(4);
	regs.compatibility = kind & 1;
	if (kind & 2) { /* most random registers are impossible; these are not */
		regs.cr0 = PAGEWALK_CR0_PG | PAGEWALK_CR0_PE | (regs.cr0 & PAGEWALK_CR0_WP);
		regs.cr4 &= PAGEWALK_CR4_PSE | PAGEWALK_CR4_PAE | PAGEWALK_CR4_SMEP | PAGEWALK_CR4_SMAP | PAGEWALK_CR4_PKE | PAGEWALK_CR4_LA57;
		regs.efer &= PAGEWALK_EFER_NXE;
		if ((kind & 4) && (regs.cr4 & PAGEWALK_CR4_PAE))
			regs.efer |= PAGEWALK_EFER_LME | PAGEWALK_EFER_LMA;
	}
	guest.pgd = take(8);
	guest.rflags = take(3);
	guest.pkru = (uint32_t)take(4);
	second.rflags = guest.rflags;
	if (kind & 8) {
		uint64_t root = take(8);
		guest.ngpa_walk = kind & 128 ? &guest : &second;
		if (kind & 16)
			pagewalk_init_ept(&second, &cpu, kind & 32 ? (root & 0xfffff040) | (root & 1 ? 0x26 : 0x1e) : root, kind & 64);
		else
			pagewalk_init_npt(&second, &cpu, &regs, root, kind & 64);
	}
	pagewalk_init(&guest, &cpu, &regs);
	va = take(8);
	access = take(8);
	if (kind & 4) {
		access &= PAGEWALK_ACCESS_WRITE | PAGEWALK_ACCESS_USER | PAGEWALK_ACCESS_FETCH | PAGEWALK_ACCESS_IMPLICIT;
		va = (uint64_t)((int64_t)(va << 16) / 65536);
	}

	check(pagewalk_load_pdptrs(&guest, guest.pgd, guest.pdptr, &out), &guest, &out, PAGEWALK_MAX_ATTEMPTS);
	check(pagewalk_translate(&guest, va, access, &out), &guest, &out, PAGEWALK_MAX_ATTEMPTS);
	if (second.gva_to_gpa)
		check(pagewalk_translate(&second, va, access, &out), &second, &out, PAGEWALK_MAX_ATTEMPTS);
	check(guest.gva_to_gpa(&guest, va, access, &out), &guest, &out, 1);
	REQUIRE(pagewalk_permission_fault(&guest, (unsigned)take(1), (unsigned)take(1), access) < 64);
	regs.cr0 ^= PAGEWALK_CR0_WP;
	regs.cr4 ^= take(4);
	pagewalk_refresh(&guest, &regs);
	check(pagewalk_translate(&guest, va, access, &out), &guest, &out, PAGEWALK_MAX_ATTEMPTS);
	check(pagewalk_load_pdptrs(&guest, va, pdptr, &out), &guest, &out, PAGEWALK_MAX_ATTEMPTS);
	return 0;
}
