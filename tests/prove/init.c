/* SPDX-License-Identifier: MIT */
/*
 * init.c: whatever the CPU and the registers are, init and refresh accept them with a sound format or refuse them. The
 * other harnesses start from walkers that were accepted; that nothing else is, is shown here.
 * cases: -DPART=1 / -DPART=2 / -DPART=3 / -DPART=4
 * partition: depth
 */
#include "prove.h"

static const int modes[] = { 0, 2, 3, 4, 5 };
#define MODES 5

static struct pagewalk_walk record;

/* What a format needs for a walk to stay in bounds. */
static void check_format(const struct kvm_pagewalk *w, unsigned kind, unsigned level)
{
	const struct pagewalk_page_format *f = &w->fmt;

	//@ assert format_kind: f->kind == kind;
	//@ assert format_level: f->root_level == level;
	//@ assert format_pae: f->pae == (level == 3);
	//@ assert format_root: f->root_mask % 32 == 0;
	//@ assert format_entries: f->ps_mask[0] == 0 && f->ps_mask[3] == 0 && f->ps_mask[4] == 0 && f->table_mask[0] == 0;
	//@ assert format_fetch: f->fetch_error == 0 || f->fetch_error == PAGEWALK_PFERR_FETCH;
	//@ assert format_table_access: f->table_access <= (PAGEWALK_PFERR_WRITE | PAGEWALK_PFERR_USER);
}

static void check_refused(const struct kvm_pagewalk *w, enum pagewalk_status status)
{
	//@ assert refused: status == PAGEWALK_BAD_STATE;
	//@ assert refused_kind: w->fmt.kind == PAGEWALK_KIND_NONE && w->cpu_role == 0;
	//@ assert refused_attempts: w->gva_to_gpa == &pagewalk_refuse_walk_ && !w->fmt.pdpte_registers;
}

/* A walker that was refused, or only cleared, gives no answer. */
static void check_no_walk(const struct kvm_pagewalk *w)
{
	struct pagewalk_walk out;
	enum pagewalk_status status;
	uint64_t error, pdptr[4];

	status = pagewalk_translate(w, any64, any64, &out);
	//@ assert refused_walk: status == PAGEWALK_BAD_STATE;
	//@ assert refused_record: out.guest.max_level == 0 && out.nested.max_level == 0;
	status = pagewalk_load_pdptrs(w, any64, pdptr, &out);
	//@ assert refused_load: status == PAGEWALK_BAD_STATE;
	status = pagewalk64_walk_addr(w, any64, any64, &out);
	//@ assert refused_walk_64: status == PAGEWALK_BAD_STATE;
	status = pagewalk32_walk_addr(w, any64, any64, &out);
	//@ assert refused_walk_32: status == PAGEWALK_BAD_STATE;
	status = pagewalk_ept_walk_addr(w, any64, any64, &out);
	//@ assert refused_walk_ept: status == PAGEWALK_BAD_STATE;
	error = pagewalk_permission_fault(w, any32, any32, any64);
	//@ assert refused_rights: error == PAGEWALK_PFERR_PRESENT;
}

static void any_cpu_of(struct pagewalk_cpu *cpu, bool wide)
{
	uint8_t width = any8;

	any_cpu(cpu);
	if (wide)
		cpu->maxphyaddr = width < 32 ? 32 : width;
	else
		cpu->maxphyaddr = width < 32 ? width : 31;
}

static unsigned kind_of(int mode)
{
	return mode ? PAGEWALK_KIND_GUEST : PAGEWALK_KIND_DIRECT;
}

/* A mode; then a refresh to another, or the same. */
static void init_and_refresh(int mode, int next)
{
	struct pagewalk_cpu cpu;
	struct pagewalk_regs regs;
	enum pagewalk_status status;

	set_callbacks(&guest);
	set_registers(&guest);
	any_cpu_of(&cpu, true);
	any_regs(&regs, mode);
	status = pagewalk_init(&guest, &cpu, &regs);
	if (status == PAGEWALK_OK)
		check_format(&guest, kind_of(mode), (unsigned)mode);
	else
		check_refused(&guest, status);
	any_regs(&regs, next);
	status = pagewalk_refresh(&guest, &regs);
	if (status == PAGEWALK_OK)
		check_format(&guest, kind_of(next), (unsigned)next);
	else
		check_refused(&guest, status);
}

static void each_mode(void)
{
	int i, j;

	for (i = 0; i < MODES; i++)
		for (j = 0; j < MODES; j++)
			init_and_refresh(modes[i], modes[j]);
}

static void init_seconds(void)
{
	struct pagewalk_cpu cpu;
	struct pagewalk_regs regs;
	enum pagewalk_status status;
	int i;

	for (i = 0; i < MODES; i++) {
		set_callbacks(&second);
		any_cpu_of(&cpu, true);
		any_regs(&regs, modes[i]);
		status = pagewalk_init_npt(&second, &cpu, &regs, any64, any & 1);
		if (status == PAGEWALK_OK) {
			//@ assert paging_is_on: modes[i] != 0;
			check_format(&second, PAGEWALK_KIND_NPT, (unsigned)modes[i]);
			status = pagewalk_refresh(&second, &regs);
			//@ assert second_no_refresh: status == PAGEWALK_BAD_STATE;
			check_format(&second, PAGEWALK_KIND_NPT, (unsigned)modes[i]);
		} else {
			check_refused(&second, status);
		}
	}
}

static void init_an_ept(const struct pagewalk_cpu *cpu, unsigned low)
{
	enum pagewalk_status status;

	status = pagewalk_init_ept(&second, cpu, (any64 & ~UINT64_C(0xfff)) + low, any & 1);
	if (status == PAGEWALK_OK) {
		//@ assert eptp_type: low % 8 == 0 || low % 8 == 6;
		//@ assert eptp_level: low / 8 == 3 || low / 8 == 4 || low / 8 == 11 || low / 8 == 12;
		check_format(&second, PAGEWALK_KIND_EPT, low / 8 % 8 + 1);
	} else {
		//@ assert eptp_refused: status == PAGEWALK_BAD_STATE && second.fmt.kind == PAGEWALK_KIND_NONE;
	}
}

/* One of the bits 11:7 is set. */
static void init_reserved_ept(const struct pagewalk_cpu *cpu, int bit)
{
	uint64_t eptp = any64 | PAGEWALK_BIT(bit);
	enum pagewalk_status status = pagewalk_init_ept(&second, cpu, eptp, any & 1);

	//@ assert eptp_reserved: status == PAGEWALK_BAD_STATE;
}

/* All EPTPs: by the low 7 bits where the reserved ones are clear. */
static void init_epts(void)
{
	struct pagewalk_cpu cpu;
	unsigned low;
	int bit;

	set_callbacks(&second);
	any_cpu_of(&cpu, true);
	//@ loop unroll 5;
	for (bit = 7; bit <= 11; bit++)
		init_reserved_ept(&cpu, bit);
	//@ loop unroll 128;
	for (low = 0; low < 128; low++)
		init_an_ept(&cpu, low);
}

/* Less than 32 address bits; no read_gpte; memory that was only cleared. */
static void init_without(void)
{
	static struct kvm_pagewalk cleared;
	struct pagewalk_cpu cpu;
	struct pagewalk_regs regs;
	enum pagewalk_status status;
	uint64_t kvm = PAGEWALK_QUIRKS_KVM;
	int i;

	for (i = 0; i < MODES; i++) {
		set_callbacks(&guest);
		any_cpu_of(&cpu, false);
		any_regs(&regs, modes[i]);
		status = pagewalk_init(&guest, &cpu, &regs);
		//@ assert narrow_guest: status == PAGEWALK_BAD_STATE;
		check_refused(&guest, status);
		check_no_walk(&guest);
		status = guest.gva_to_gpa(&guest, any64, any64, &record);
		//@ assert refused_attempt: status == PAGEWALK_BAD_STATE;
		status = pagewalk_init_npt(&guest, &cpu, &regs, any64, any & 1);
		//@ assert narrow_npt: status == PAGEWALK_BAD_STATE;
		check_refused(&guest, status);
		status = pagewalk_init_ept(&guest, &cpu, any64, any & 1);
		//@ assert narrow_ept: status == PAGEWALK_BAD_STATE;
		check_refused(&guest, status);

		any_cpu_of(&cpu, true);
		guest.read_gpte = NULL;
		status = pagewalk_init(&guest, &cpu, &regs);
		if (modes[i]) {
			//@ assert no_reader: status == PAGEWALK_BAD_STATE;
		}
		status = pagewalk_init_npt(&guest, &cpu, &regs, any64, any & 1);
		//@ assert no_reader_npt: status == PAGEWALK_BAD_STATE;
		status = pagewalk_init_ept(&guest, &cpu, any64, any & 1);
		//@ assert no_reader_ept: status == PAGEWALK_BAD_STATE;
	}
	check_no_walk(&cleared);
	cpu = pagewalk_cpu_profile((enum pagewalk_profile)(any & 3), any8, any64);
	//@ assert profile_vendor: cpu.vendor <= PAGEWALK_AMD;
	//@ assert profile_quirks: cpu.quirks == 0 || cpu.quirks == kvm;
}

int main(void)
{
	if (PART == 1)
		each_mode();
	else if (PART == 2)
		init_seconds();
	else if (PART == 3)
		init_epts();
	else
		init_without();
	return 0;
}
