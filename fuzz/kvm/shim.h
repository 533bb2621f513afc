/* SPDX-License-Identifier: MIT */
/*
 * shim.h: the bit of a kernel that KVM's walker needs around it, in our own words.
 *
 * A vCPU has the registers that decide a walk, the memory of one case, and room for what KVM does with a fault. Nothing
 * here judges an entry or an access: whatever a case's answer depends on is in the pieces that extract.pl cuts out
 * (cut_*.h in the build folder). What the pieces call for the sake of shadow paging, TLBs and tracing is empty.
 */
#ifndef FUZZ_KVM_SHIM_H
#define FUZZ_KVM_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "case.h"

/* ---- The language ------------------------------------------------------------------------------------------------ */

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef unsigned long ulong;
typedef u64 gpa_t, gfn_t, hpa_t;
typedef unsigned long gva_t;

_Static_assert(sizeof(unsigned long) == 8, "KVM's 64-bit code wants a 64-bit long");
#define CONFIG_X86_64 1
#define IS_ENABLED(option) 0

#define __user
#define __maybe_unused __attribute__((unused))
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define fallthrough __attribute__((fallthrough))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define max_t(type, a, b) ((type)(a) > (type)(b) ? (type)(a) : (type)(b))
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (1ul << (n))
#define BIT_ULL(n) (1ull << (n))
#define GENMASK(high, low) ((~0ul >> (63 - (high))) & (~0ul << (low)))
#define GENMASK_ULL(high, low) GENMASK(high, low)
#define REPEAT_BYTE(x) (0x0101010101010101ul * (x))
#define is_power_of_2(n) ((n) && !((n) & ((n) - 1)))
#define might_sleep() ((void)0)

/* What must hold at compile time holds in the kernel that this is cut from. */
#define BUILD_BUG_ON(condition) ((void)0)
/* What KVM takes for impossible: a fault of the shim, or of KVM. Either way its answer is worth nothing. */
_Noreturn void shim_impossible(const char *condition, const char *file, int line);
#define SHIM_CHECK(condition) ((condition) ? (shim_impossible(#condition, __FILE__, __LINE__), true) : false)
#define BUG_ON(condition) ((void)SHIM_CHECK(condition))
#define WARN_ON(condition) SHIM_CHECK(condition)
#define WARN_ON_ONCE(condition) SHIM_CHECK(condition)
#define KVM_BUG_ON(condition, kvm) SHIM_CHECK(condition)

/* ---- The architecture: S2.5, S4, A15, S appendix C --------------------------------------------------------------- */

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ul
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define offset_in_page(p) ((unsigned long)(p) & ~PAGE_MASK)
#define gfn_to_gpa(gfn) ((gpa_t)(gfn) << PAGE_SHIFT)
#define gpa_to_gfn(gpa) ((gfn_t)(gpa) >> PAGE_SHIFT)
#define INVALID_GPA (~(gpa_t)0)

enum { PG_LEVEL_4K = 1, PG_LEVEL_2M, PG_LEVEL_1G };
#define PT64_ROOT_MAX_LEVEL 5

#define X86_CR0_NW BIT(29)
#define X86_CR0_TS BIT(3)
#define X86_CR0_WP BIT(16)
#define X86_CR0_PG BIT(31)
#define X86_CR3_LAM_U57 BIT(61)
#define X86_CR3_LAM_U48 BIT(62)
#define X86_CR4_PVI BIT(1)
#define X86_CR4_TSD BIT(2)
#define X86_CR4_DE BIT(3)
#define X86_CR4_PSE BIT(4)
#define X86_CR4_PAE BIT(5)
#define X86_CR4_PGE BIT(7)
#define X86_CR4_PCE BIT(8)
#define X86_CR4_OSFXSR BIT(9)
#define X86_CR4_OSXMMEXCPT BIT(10)
#define X86_CR4_LA57 BIT(12)
#define X86_CR4_FSGSBASE BIT(16)
#define X86_CR4_SMEP BIT(20)
#define X86_CR4_SMAP BIT(21)
#define X86_CR4_PKE BIT(22)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NX BIT(11)
#define X86_EFLAGS_AC BIT(18)
#define PF_VECTOR 14
#define X86_MEMTYPE_UC 0ull
#define X86_MEMTYPE_WB 6ull
#define EXIT_REASON_EPT_VIOLATION 48
#define EXIT_REASON_EPT_MISCONFIG 49
#define EXIT_REASON_PML_FULL 62
#define INTR_INFO_UNBLOCK_NMI 0x1000
#define SVM_EXIT_NPF 0x400

/* The kernel's struct of one PTE; a leaf's key is in bits 62:59 (MODE-13). */
typedef struct {
	u64 pte;
} pte_t;
#define pte_flags(p) ((p).pte)
#define pte_flags_pkey(flags) ((unsigned)((flags) >> 59) & 15)

/* ---- The vCPU ---------------------------------------------------------------------------------------------------- */

struct kvm_vcpu;
struct kvm_page_fault;
struct kvm_mmu_page;
struct x86_exception;

#include "cut_types.h"

struct kvm_memory_slot {
	gfn_t pages; /* from 0; one slot is all there is */
};

/* What the walker said, through its tracepoints and permission_fault(), of the last walk of a stage. */
struct shim_seen {
	int level;           /* of the last entry read; 0: none */
	unsigned pte_access; /* ACC_... of the whole walk, valid if it got so far */
	u64 access;          /* PFERR_... that it walked with */
};

/* What KVM did about a fault. */
struct shim_event {
	unsigned vector;     /* PF_VECTOR: an exception for the guest; 0: none */
	u64 error_code, address;
	u32 exit_reason;     /* VMX: of the exit to L1; 0: none */
	u64 exit_qualification;
	bool npf;            /* SVM: an exit to L1; the rest is in the VMCB */
};

enum { VCPU_EXREG_PDPTR, VCPU_EXREG_CR0, VCPU_EXREG_CR3, VCPU_EXREG_CR4 };
enum kvm_reg { NR_VCPU_REGS = 17 };
#define HF_GUEST_MASK 1u
#define test_bit(n, word) (*(word) >> (n) & 1)
#define __set_bit(n, word) (*(word) |= BIT(n))

/* CPUID as KVM sees it; what it does not ask about is not here. */
enum { X86_FEATURE_GBPAGES, X86_FEATURE_LAM };
#define guest_cpu_cap_has(vcpu, feature) ((feature) == X86_FEATURE_GBPAGES && (vcpu)->arch.gbpages)

struct vmcs12 {
	u64 ept_pointer, guest_physical_address;
};

struct vcpu_vmx {
	struct {
		bool pml_full;
		struct {
			u32 ept_caps;
		} msrs;
	} nested;
	union {
		u32 basic;
	} exit_reason;
};

struct vmcb {
	struct {
		u32 exit_code, exit_code_hi;
		u64 exit_info_1, exit_info_2;
	} control;
	struct {
		u64 cr4, efer;
	} save;
};

struct vcpu_svm {
	struct vmcb *vmcb;
	struct {
		struct vmcb *ptr;
	} vmcb01;
	struct {
		struct {
			u64 nested_cr3;
		} ctl;
	} nested;
};

struct kvm {
	struct kvm_memory_slot slot;
};

struct kvm_vcpu {
	struct kvm *kvm;
	struct {
		u64 pf_guest;
	} stat;
	struct {
		unsigned long cr0, cr3, cr4, cr0_guest_owned_bits, cr4_guest_owned_bits;
		unsigned long regs_avail, regs_dirty;
		u64 efer, reserved_gpa_bits;
		u32 pkru, hflags;
		int maxphyaddr;
		bool is_amd_compatible, gbpages, pdptrs_from_userspace;
		struct kvm_mmu *mmu, *walk_mmu, root_mmu, guest_mmu, nested_mmu;
	} arch;

	/* Ours from here on. */
	unsigned long rflags;
	const struct case_memory *memory;
	uint64_t *value;              /* of the memory's words */
	struct shim_seen guest, second;
	struct shim_event event;
	struct vmcs12 vmcs12;
	struct vcpu_vmx vmx;
	struct vcpu_svm svm;
	struct vmcb vmcb, vmcb01;
};

/* ---- shim.c: the way in ------------------------------------------------------------------------------------------ */

/* Sets up the stages for the vCPU's registers, as KVM does on entering L2, or for a guest without a second stage. */
void shim_init_one_dimension(struct kvm_vcpu *vcpu);
void shim_init_ept(struct kvm_vcpu *vcpu);
void shim_init_npt(struct kvm_vcpu *vcpu);
/* After shim_init_ept(): the second stage asks for read access where the access is a read, not always. */
void shim_read_only_if_read(struct kvm_vcpu *vcpu);

/* KVM's judgement of an EPTP, of a CR3 or nCR3, and of the PDPTEs in memory, which it loads if it likes them. */
bool shim_eptp_good(struct kvm_vcpu *vcpu, u64 eptp);
bool shim_cr3_good(struct kvm_vcpu *vcpu, u64 cr3);
bool shim_load_pdptrs(struct kvm_vcpu *vcpu);
u64 shim_reserved_gpa_bits(struct kvm_vcpu *vcpu);
bool shim_pae_paging(struct kvm_vcpu *vcpu);

/* The walk; true: *gpa is where it leads. If not, the fault is to be given to shim_inject(). */
bool shim_walk(struct kvm_vcpu *vcpu, u64 address, u64 access, gpa_t *gpa, struct x86_exception *fault);
/* Has KVM do what it does about a fault; vcpu->event says what. */
void shim_inject(struct kvm_vcpu *vcpu, struct x86_exception *fault);

#endif
