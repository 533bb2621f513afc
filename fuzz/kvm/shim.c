/* SPDX-License-Identifier: MIT */
/*
 * shim.c: KVM's walker, and what it calls. This unit is the kernel's code (cut_*.h) more than ours, so no binary that
 * has it in may be given to others; see README.md.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "shim.h"

void shim_impossible(const char *condition, const char *file, int line)
{
	fprintf(stderr, "kvm: %s:%d: what KVM takes for impossible: %s\n", file, line, condition);
	abort();
}

/* ---- Memory: one slot, whose host addresses are the guest's physical ones ---------------------------------------- */

#define kvm_vcpu_gfn_to_memslot(vcpu, gfn) ((gfn) < (vcpu)->kvm->slot.pages ? &(vcpu)->kvm->slot : NULL)
#define kvm_is_visible_memslot(slot) ((slot) != NULL)
#define kvm_is_error_hva(address) ((void)(address), false)

static inline unsigned long gfn_to_hva_memslot_prot(const struct kvm_memory_slot *slot, gfn_t gfn, bool *writable)
{
	(void)slot;
	*writable = true;
	return gfn << PAGE_SHIFT;
}

/* These two find the vCPU, and with it the memory, in the function that uses them: there is always one. */
#define __get_user(x, p)								\
	({										\
		u64 word_;								\
		bool there_ = case_load(vcpu->memory, vcpu->value, (unsigned long)(p), sizeof(*(p)), &word_); \
		if (there_)								\
			(x) = (__typeof__(x))word_;					\
		there_ ? 0 : -EFAULT;							\
	})
#define __try_cmpxchg_user(p, old, new_value, label) \
	shim_cmpxchg(vcpu, (unsigned long)(p), sizeof(*(p)), *(old), new_value)

static int shim_cmpxchg(struct kvm_vcpu *vcpu, unsigned long address, unsigned size, u64 old, u64 new_value)
{
	u64 now;

	if (!case_load(vcpu->memory, vcpu->value, address, size, &now))
		return -EFAULT;
	if (now != old)
		return 1;
	return case_store(vcpu->memory, vcpu->value, address, size, new_value) ? 0 : -EFAULT;
}

/* Whole words; KVM reads nothing else here. */
static int kvm_vcpu_read_guest_page(struct kvm_vcpu *vcpu, gfn_t gfn, void *data, int offset, int length)
{
	for (int i = 0; i < length; i += 8) {
		u64 word;

		if (gfn >= vcpu->kvm->slot.pages ||
		    !case_load(vcpu->memory, vcpu->value, (gfn << PAGE_SHIFT) + (u64)(offset + i), 8, &word))
			return -EFAULT;
		memcpy((char *)data + i, &word, 8);
	}
	return 0;
}

/* ---- The rest of KVM, as far as the walker looks at it ----------------------------------------------------------- */

/* As on a host whose hardware has EPT or NPT; only then may CR0.WP change behind a walker. */
static const bool tdp_enabled = true;

#define kvm_x86_call(name) shim_x86_##name
#define shim_x86_get_rflags(vcpu) ((vcpu)->rflags)

/* All registers are in struct kvm_vcpu, all the time. */
static void shim_x86_cache_reg(struct kvm_vcpu *vcpu, enum kvm_reg reg)
{
	(void)vcpu;
	(void)reg;
	shim_impossible("a register that is not cached", __FILE__, __LINE__);
}

#define is_smm(vcpu) ((void)(vcpu), false)
#define to_svm(vcpu) (&(vcpu)->svm)
#define to_vmx(vcpu) (&(vcpu)->vmx)
#define get_vmcs12(vcpu) (&(vcpu)->vmcs12)
#define vmx_get_exit_qual(vcpu) ((void)(vcpu), 0ul) /* no exit of the hardware's comes before a fault here */
#define CC(refused) (refused)                       /* a tracepoint around it */

/* Shadow pages, roots, TLBs: a walk does not depend on them. */
#define KVM_MMU_ROOT_CURRENT 0
#define KVM_REQ_LOAD_MMU_PGD 0
#define kvm_make_request(request, vcpu) ((void)(vcpu))
#define kvm_mmu_new_pgd(vcpu, pgd) ((void)(pgd))
#define kvm_mmu_free_roots(kvm, mmu, roots) ((void)(mmu))
#define kvm_mmu_invalidate_addr(vcpu, mmu, address, roots) ((void)(address))
#define nested_ept_invalidate_addr(vcpu, eptp, address) ((void)(address))
#define kvm_vcpu_mark_page_dirty(vcpu, gfn) ((void)(gfn))
#define drop_spte(kvm, spte) ((void)(spte))
#define reset_shadow_zero_bits_mask(vcpu, context) ((void)(context))
#define reset_tdp_shadow_zero_bits_mask(context) ((void)(context))
#define reset_ept_shadow_zero_bits_mask(context, execonly) ((void)(context))
#define kvm_mmu_get_tdp_level(vcpu) ((void)(vcpu), PT64_ROOT_4LEVEL)
#define kvm_ad_enabled() true
#define kvm_tdp_page_fault NULL
#define nonpaging_page_fault NULL
#define paging32_page_fault NULL
#define paging64_page_fault NULL
#define ept_page_fault NULL
#define paging32_sync_spte NULL
#define paging64_sync_spte NULL
#define ept_sync_spte NULL

/* A hypervisor that does not use page-modification logging. */
static int shim_write_log_dirty(struct kvm_vcpu *vcpu, gpa_t address)
{
	(void)vcpu;
	(void)address;
	return 0;
}

static const struct {
	int (*write_log_dirty)(struct kvm_vcpu *vcpu, gpa_t address);
} shim_nested_ops = { shim_write_log_dirty };

static const struct {
	__typeof__(shim_nested_ops) *nested_ops;
} kvm_x86_ops = { &shim_nested_ops };

/* What happens to a fault in the end. */
static void kvm_queue_exception_e_p(struct kvm_vcpu *vcpu, unsigned vector, u32 error_code, unsigned long payload)
{
	vcpu->event.vector = vector;
	vcpu->event.error_code = error_code;
	vcpu->event.address = payload;
}

#define kvm_queue_exception_vmexit(vcpu, vector, has_error, error_code, has_payload, payload) \
	shim_impossible("an asynchronous page fault", __FILE__, __LINE__)

static void nested_vmx_vmexit(struct kvm_vcpu *vcpu, u32 reason, u32 interrupt, unsigned long qualification)
{
	(void)interrupt;
	vcpu->event.exit_reason = reason;
	vcpu->event.exit_qualification = qualification;
}

static void nested_svm_vmexit(struct vcpu_svm *svm)
{
	((struct kvm_vcpu *)(void *)((char *)svm - offsetof(struct kvm_vcpu, svm)))->event.npf = true;
}

/* ---- Listening to the walker ------------------------------------------------------------------------------------- */

static struct shim_seen *shim_seen_of(struct kvm_vcpu *vcpu, const struct kvm_mmu *mmu)
{
	return mmu == &vcpu->arch.guest_mmu ? &vcpu->second : &vcpu->guest;
}

static void shim_seen_walk(struct kvm_vcpu *vcpu, const struct kvm_mmu *mmu, u64 access)
{
	struct shim_seen *seen = shim_seen_of(vcpu, mmu);

	seen->access = access;
	seen->level = 0;
}

/* The tracepoints have no vCPU; but where they stand there are two variables of these names. */
#define trace_kvm_mmu_pagetable_walk(address, access) shim_seen_walk(vcpu, mmu, access)
#define trace_kvm_mmu_paging_element(gpte, at) (shim_seen_of(vcpu, mmu)->level = (int)(at))
#define trace_kvm_mmu_walker_error(error_code) ((void)0)
#define trace_kvm_mmu_set_accessed_bit(gfn, index, size) ((void)(gfn), (void)(index))
#define trace_kvm_mmu_set_dirty_bit(gfn, index, size) ((void)(gfn), (void)(index))

/* ---- KVM --------------------------------------------------------------------------------------------------------- */

/* KVM's headers call what is defined further down. */
void __kvm_mmu_refresh_passthrough_bits(struct kvm_vcpu *vcpu, struct kvm_mmu *mmu);
gpa_t translate_nested_gpa(struct kvm_vcpu *vcpu, gpa_t gpa, u64 access, struct x86_exception *exception);
u64 kvm_vcpu_reserved_gpa_bits_raw(struct kvm_vcpu *vcpu);

/* And these are called from other files of KVM's, which declare them; here nothing does. */
void kvm_init_shadow_npt_mmu(struct kvm_vcpu *vcpu, unsigned long cr0, unsigned long cr4, u64 efer, gpa_t nested_cr3);
void kvm_init_shadow_ept_mmu(struct kvm_vcpu *vcpu, bool execonly, int huge_page_level, bool accessed_dirty,
			     gpa_t new_eptp);
void kvm_init_mmu(struct kvm_vcpu *vcpu);
void kvm_inject_page_fault(struct kvm_vcpu *vcpu, struct x86_exception *fault, bool from_hardware);
void __kvm_inject_emulated_page_fault(struct kvm_vcpu *vcpu, struct x86_exception *fault, bool from_hardware);
int load_pdptrs(struct kvm_vcpu *vcpu, unsigned long cr3);

#include "cut_inline.h"

static inline u8 shim_permission_fault(struct kvm_vcpu *vcpu, struct kvm_mmu *mmu, unsigned pte_access,
				       unsigned pte_pkey, u64 access)
{
	shim_seen_of(vcpu, mmu)->pte_access = pte_access;
	return permission_fault(vcpu, mmu, pte_access, pte_pkey, access);
}
#define permission_fault shim_permission_fault

#define PTTYPE PTTYPE_EPT
#include "cut_template.h"
#undef PTTYPE

#define PTTYPE 64
#include "cut_template.h"
#undef PTTYPE

#define PTTYPE 32
#include "cut_template.h"
#undef PTTYPE

#include "cut_code.h"

/* ---- The way in -------------------------------------------------------------------------------------------------- */

/* Where the registers are those of the case before, KVM would keep its masks, although they are of another CPUID. */
static void forget(struct kvm_vcpu *vcpu)
{
	vcpu->arch.root_mmu.cpu_role.as_u64 = 0;
	vcpu->arch.guest_mmu.cpu_role.as_u64 = 0;
	vcpu->arch.nested_mmu.cpu_role.as_u64 = 0;
	vcpu->arch.mmu = vcpu->arch.walk_mmu = &vcpu->arch.root_mmu;
	vcpu->arch.hflags = 0;
}

void shim_init_one_dimension(struct kvm_vcpu *vcpu)
{
	forget(vcpu);
	kvm_init_mmu(vcpu);
}

void shim_init_ept(struct kvm_vcpu *vcpu)
{
	forget(vcpu);
	vcpu->arch.hflags = HF_GUEST_MASK;
	nested_ept_init_mmu_context(vcpu);
	kvm_init_mmu(vcpu);
}

void shim_init_npt(struct kvm_vcpu *vcpu)
{
	forget(vcpu);
	vcpu->arch.hflags = HF_GUEST_MASK;
	nested_svm_init_mmu_context(vcpu);
	kvm_init_mmu(vcpu);
}

static gpa_t ept_gva_to_gpa_reading(struct kvm_vcpu *vcpu, struct kvm_mmu *mmu, gpa_t gpa, u64 access,
				    struct x86_exception *exception)
{
	if ((access & PFERR_GUEST_FINAL_MASK) && (access & (PFERR_WRITE_MASK | PFERR_FETCH_MASK)))
		access &= ~PFERR_USER_MASK; /* which in an EPT walk stands for reading */
	return ept_gva_to_gpa(vcpu, mmu, gpa, access, exception);
}

void shim_read_only_if_read(struct kvm_vcpu *vcpu)
{
	vcpu->arch.mmu->gva_to_gpa = ept_gva_to_gpa_reading;
}

bool shim_eptp_good(struct kvm_vcpu *vcpu, u64 eptp)
{
	return nested_vmx_check_eptp(vcpu, eptp);
}

bool shim_cr3_good(struct kvm_vcpu *vcpu, u64 cr3)
{
	return kvm_vcpu_is_legal_cr3(vcpu, cr3);
}

bool shim_load_pdptrs(struct kvm_vcpu *vcpu)
{
	return load_pdptrs(vcpu, vcpu->arch.cr3);
}

u64 shim_reserved_gpa_bits(struct kvm_vcpu *vcpu)
{
	return kvm_vcpu_reserved_gpa_bits_raw(vcpu);
}

bool shim_pae_paging(struct kvm_vcpu *vcpu)
{
	return is_pae_paging(vcpu);
}

bool shim_walk(struct kvm_vcpu *vcpu, u64 address, u64 access, gpa_t *gpa, struct x86_exception *fault)
{
	struct kvm_mmu *mmu = vcpu->arch.walk_mmu;

	*gpa = mmu->gva_to_gpa(vcpu, mmu, address, access, fault);
	return *gpa != INVALID_GPA;
}

void shim_inject(struct kvm_vcpu *vcpu, struct x86_exception *fault)
{
	kvm_inject_emulated_page_fault(vcpu, fault);
}
