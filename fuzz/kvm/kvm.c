/* SPDX-License-Identifier: MIT */
/*
 * Oracle K0: a case through KVM's own walker, that of Debian's linux-source-6.12, for comparison with the library's
 * profiles kvm-intel and kvm-amd. See README.md.
 */
#include "oracle.h"
#include "shim.h"

/*
 * What KVM has changed since 6.12, and the profiles follow: each bit has the walker do it the later way. The order is
 * that of oracle_kvm.known.
 */
enum { SINCE_EPT_READ = 1 << 0, SINCE_NPF_STAGE = 1 << 1 };

/* ---- What can be asked ------------------------------------------------------------------------------------------- */

/* Whether a CPU can hold the registers (S2.5, S4.1.1): KVM refuses the others long before a walk. */
static bool possible(const struct case_question *q, uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	static const struct {
		uint64_t cr4, efer;
		unsigned feature;
	} needs[] = {
		{ X86_CR4_PSE, 0, CASE_PSE }, { X86_CR4_PAE, 0, CASE_PAE }, { X86_CR4_LA57, 0, CASE_LA57 },
		{ X86_CR4_SMEP, 0, CASE_SMEP }, { X86_CR4_SMAP, 0, CASE_SMAP }, { X86_CR4_PKE, 0, CASE_PKU },
		{ 0, EFER_NX, CASE_NX },
		{ BIT(24) | BIT(27) | BIT(28), BIT(20), 0 }, /* PKS, LASS, LAM, UAI */
	};
	bool pg = cr0 & X86_CR0_PG, lma = efer & EFER_LMA;

	for (size_t i = 0; i < ARRAY_SIZE(needs); i++)
		if (((cr4 & needs[i].cr4) | (efer & needs[i].efer)) && !(q->features & needs[i].feature))
			return false;
	return !(cr0 >> 32) && (!pg || (cr0 & 1)) && (!(cr0 & X86_CR0_NW) || (cr0 & BIT(30))) &&
	       lma == (pg && (efer & EFER_LME)) && (!lma || (cr4 & X86_CR4_PAE)) &&
	       (lma || !(cr4 & BIT(17))) && ((cr0 & X86_CR0_WP) || !(cr4 & BIT(23)));
}

static bool inside(const struct case_question *q)
{
	if (q->profile != CASE_KVM_INTEL && q->profile != CASE_KVM_AMD)
		return false;
	if (q->maxphyaddr < 32 || q->maxphyaddr > 52 || !possible(q, q->cr0, q->cr4, q->efer))
		return false;
	if (q->user && q->implicit) /* nothing in KVM asks that */
		return false;
	if (!q->stage2 && !(q->cr0 & X86_CR0_PG) && q->va == INVALID_GPA) /* as an answer it means a fault */
		return false;
	if (q->stage2 == CASE_EPT)
		return !q->mbec;
	if (q->stage2 == CASE_NPT)
		return !q->gmet && (q->hcr0 & X86_CR0_PG) && possible(q, q->hcr0, q->hcr4, q->hefer);
	return true;
}

/* ---- The vCPU ---------------------------------------------------------------------------------------------------- */

static void set_registers(struct kvm_vcpu *vcpu, struct kvm *kvm, const struct case_question *q, uint64_t *value)
{
	kvm->slot.pages = (q->memory.size >> PAGE_SHIFT) + (q->memory.size & ~PAGE_MASK ? 1 : 0);
	vcpu->kvm = kvm;
	vcpu->memory = &q->memory;
	vcpu->value = value;

	vcpu->rflags = q->rflags;
	vcpu->arch.cr0 = q->cr0;
	vcpu->arch.cr3 = q->cr3;
	vcpu->arch.cr4 = q->cr4;
	vcpu->arch.efer = q->efer;
	vcpu->arch.pkru = (u32)q->pkru;
	vcpu->arch.regs_avail = ~0ul;
	vcpu->arch.maxphyaddr = (int)q->maxphyaddr;
	vcpu->arch.reserved_gpa_bits = shim_reserved_gpa_bits(vcpu);
	vcpu->arch.is_amd_compatible = q->profile == CASE_KVM_AMD;
	vcpu->arch.gbpages = q->features & CASE_PAGE1GB;

	vcpu->guest.level = vcpu->second.level = 0;
	vcpu->event.vector = 0;
	vcpu->event.exit_reason = 0;
	vcpu->event.npf = false;
}

/* False: KVM refuses to run the guest like that. */
static bool enter(struct kvm_vcpu *vcpu, const struct case_question *q, unsigned since)
{
	u32 caps = VMX_EPTP_UC_BIT | VMX_EPTP_WB_BIT | VMX_EPT_PAGE_WALK_4_BIT | VMX_EPT_PAGE_WALK_5_BIT |
		   VMX_EPT_AD_BIT;

	if ((q->efer & EFER_LMA) && !shim_cr3_good(vcpu, q->cr3))
		return false;
	switch (q->stage2) {
	case CASE_ONE_DIMENSION:
		shim_init_one_dimension(vcpu);
		return true;
	case CASE_EPT:
		caps |= q->ept_features & CASE_EPT_EXEC_ONLY ? (u32)VMX_EPT_EXECUTE_ONLY_BIT : 0;
		caps |= q->ept_features & CASE_EPT_2M ? (u32)VMX_EPT_2MB_PAGE_BIT : 0;
		caps |= q->ept_features & CASE_EPT_1G ? (u32)VMX_EPT_1GB_PAGE_BIT : 0;
		vcpu->vmx.nested.msrs.ept_caps = caps;
		vcpu->vmcs12.ept_pointer = q->eptp;
		if (!shim_eptp_good(vcpu, q->eptp))
			return false;
		shim_init_ept(vcpu);
		if (since & SINCE_EPT_READ)
			shim_read_only_if_read(vcpu);
		return true;
	case CASE_NPT:
		vcpu->svm.vmcb = &vcpu->vmcb;
		vcpu->svm.vmcb01.ptr = &vcpu->vmcb01;
		vcpu->vmcb01.save.cr4 = q->hcr4;
		vcpu->vmcb01.save.efer = q->hefer;
		vcpu->svm.nested.ctl.nested_cr3 = q->ncr3;
		vcpu->vmcb.control.exit_code = 0;
		if (!shim_cr3_good(vcpu, q->ncr3))
			return false;
		shim_init_npt(vcpu);
		return true;
	}
	return false;
}

/* ---- The answer -------------------------------------------------------------------------------------------------- */

/* log2 of the page that a stage's last walk ended at; 64 without a walk. */
static unsigned page_shift(const struct kvm_mmu *mmu, const struct shim_seen *seen)
{
	unsigned bits = mmu->cpu_role.base.has_4_byte_gpte ? 10 : 9;

	return seen->level ? 12 + bits * ((unsigned)seen->level - 1) : 64;
}

/* What both stages allow, of what KVM gave its own permission check (ACC_EXEC 1, ACC_WRITE 2, ACC_USER 4). */
static unsigned rights(const struct kvm_vcpu *vcpu, enum case_stage2 stage2)
{
	unsigned guest = vcpu->guest.level ? vcpu->guest.pte_access : 7;
	unsigned second = vcpu->second.level ? vcpu->second.pte_access : 7;
	unsigned both = guest & second;

	return (stage2 == CASE_EPT && !(second & 4) ? 0 : CASE_R) | (both & 2 ? CASE_W : 0) | (both & 1 ? CASE_X : 0) |
	       (guest & 4 ? CASE_U : 0);
}

static void answer_translated(struct case_answer *a, const struct kvm_vcpu *vcpu, const struct case_question *q,
			      gpa_t gpa)
{
	unsigned guest = page_shift(vcpu->arch.walk_mmu, &vcpu->guest);
	unsigned second = page_shift(&vcpu->arch.guest_mmu, &vcpu->second);
	unsigned smaller = guest < second ? guest : second;

	a->outcome = CASE_TRANSLATED;
	a->pa = gpa;
	a->page_shift = smaller == 64 ? 0 : smaller;
	a->rights = rights(vcpu, q->stage2);
}

static void answer_fault(struct case_answer *a, struct kvm_vcpu *vcpu, struct x86_exception *fault, unsigned since)
{
	if (since & SINCE_NPF_STAGE) {
		/* As if the CPU had met the fault first: 6.12 takes the stage from there, later ones from the walk. */
		vcpu->vmcb.control.exit_code = SVM_EXIT_NPF;
		vcpu->vmcb.control.exit_info_1 = vcpu->second.access & (PFERR_GUEST_FINAL_MASK | PFERR_GUEST_PAGE_MASK);
		vcpu->vmcb.control.exit_info_2 = fault->address;
	}
	shim_inject(vcpu, fault);
	if (vcpu->event.vector == PF_VECTOR) {
		a->outcome = CASE_PAGE_FAULT;
		a->error_code = vcpu->event.error_code;
		a->cr2 = vcpu->event.address;
	} else if (vcpu->event.npf) {
		a->outcome = CASE_NPF;
		a->error_code = vcpu->vmcb.control.exit_info_1;
		a->gpa = vcpu->vmcb.control.exit_info_2;
	} else {
		bool misconfig = vcpu->event.exit_reason == EXIT_REASON_EPT_MISCONFIG;

		a->outcome = misconfig ? CASE_EPT_MISCONFIG : CASE_EPT_VIOLATION;
		a->exit_qualification = vcpu->event.exit_qualification;
		a->gpa = vcpu->vmcs12.guest_physical_address;
	}
}

/*
 * KVM's answer with some changes made (SINCE_...), all fields. False: outside of what it can be asked: another profile,
 * MBEC or GMET, registers that no CPU can hold, or a user's implicit access. BAD_STATE: KVM refuses the EPTP, nCR3, or
 * long mode's CR3. Keeps nothing from call to call.
 */
static bool walk(const struct case_question *q, struct case_answer *a, unsigned since)
{
	static _Thread_local struct kvm_vcpu the_vcpu; /* set_registers() and enter() write all that is read */
	static _Thread_local struct kvm kvm;
	struct kvm_vcpu *vcpu = &the_vcpu;
	struct x86_exception fault;
	gpa_t gpa;

	if (!inside(q))
		return false;
	memset(a, 0, offsetof(struct case_answer, value));
	memcpy(a->value, q->memory.value, q->memory.count * sizeof(*a->value));
	set_registers(vcpu, &kvm, q, a->value);
	if (!enter(vcpu, q, since)) {
		a->outcome = CASE_BAD_STATE;
		return true;
	}
	if (shim_pae_paging(vcpu)) {
		if (q->has_pdpte) {
			memcpy(vcpu->arch.walk_mmu->pdptrs, q->pdpte, sizeof(q->pdpte));
		} else if (!shim_load_pdptrs(vcpu)) {
			a->outcome = CASE_PDPTE_FAULT;
			return true;
		}
		vcpu->guest.level = vcpu->second.level = 0;
	}

	u64 access = (q->access == CASE_WRITE ? PFERR_WRITE_MASK : q->access == CASE_FETCH ? PFERR_FETCH_MASK : 0) |
		     (q->user ? PFERR_USER_MASK : 0) | (q->implicit ? PFERR_IMPLICIT_ACCESS : 0);
	if (shim_walk(vcpu, q->va, access, &gpa, &fault))
		answer_translated(a, vcpu, q, gpa);
	else
		answer_fault(a, vcpu, &fault, since);
	return true;
}

/* ---- The oracle --------------------------------------------------------------------------------------------------- */

static bool start(char *reason, size_t n)
{
	(void)reason;
	(void)n;
	return true;
}

/* 6.12 has neither mode-based execute control nor guest mode execute trap; the knobs are the hardware's choices. */
static void prepare(struct dice *d, struct case_question *q)
{
	(void)d;
	q->mbec = q->gmet = false;
	q->knobs = 0;
}

static enum oracle_result ask(const struct case_question *q, struct case_answer *a)
{
	return walk(q, a, 0) ? ORACLE_ANSWERED : ORACLE_OUTSIDE;
}

static bool same(const struct case_question *q, const struct case_answer *a, const struct case_answer *b)
{
	return a->outcome == b->outcome && a->pa == b->pa && a->page_shift == b->page_shift && a->rights == b->rights &&
	       a->vector == b->vector && a->error_code == b->error_code && a->cr2 == b->cr2 &&
	       a->exit_qualification == b->exit_qualification && a->gpa == b->gpa &&
	       !memcmp(a->value, b->value, q->memory.count * sizeof(*a->value));
}

static unsigned explain(const struct case_question *q, const struct case_answer *ours, struct case_answer *theirs)
{
	static _Thread_local struct case_answer later;
	static const unsigned changed[] = { [CASE_EPT] = SINCE_EPT_READ, [CASE_NPT] = SINCE_NPF_STAGE };

	if (!changed[q->stage2])
		return 0;
	walk(q, &later, changed[q->stage2]);
	if (same(q, ours, &later))
		return changed[q->stage2];
	*theirs = later;
	return 0;
}

struct oracle oracle_kvm = {
	.name = "kvm",
	.version = KVM_SOURCE,
	.sees = ORACLE_SEES_ALL,
	.outcomes = 1 << CASE_TRANSLATED | 1 << CASE_PAGE_FAULT | 1 << CASE_PDPTE_FAULT | 1 << CASE_EPT_VIOLATION |
		    1 << CASE_EPT_MISCONFIG | 1 << CASE_NPF,
	.limits = { .profiles = 1 << CASE_KVM_INTEL | 1 << CASE_KVM_AMD, .wild = true },
	.known = {
		{ "ept-read", "6.12 demands read access of a nested EPT's page whatever the access, and reports a read in bit 0 "
			      "of every violation; later ones have the access's own bits" },
		{ "npf-stage", "6.12 reports the final access for every fault that its own nested walk finds; later ones tell a "
			       "guest's table from it" },
	},
	.start = start,
	.prepare = prepare,
	.ask = ask,
	.explain = explain,
};
