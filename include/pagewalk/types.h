/* SPDX-License-Identifier: MIT */
/*
 * types.h: what the embedder gives (struct kvm_pagewalk, the CPU, the registers) and what it gets (status, record).
 */
#ifndef PAGEWALK_TYPES_H
#define PAGEWALK_TYPES_H

#include "arch.h"

/* The walker's tag is KVM's. Define PAGEWALK_TAG to another name where kvm_host.h is included too. */
#ifndef PAGEWALK_TAG
#define PAGEWALK_TAG kvm_pagewalk
#endif

struct PAGEWALK_TAG;

/* PTTYPE of paging_tmpl.h for EPT, beside 64 and 32; the number is KVM's. */
#define PAGEWALK_PTTYPE_EPT             18

/* ---- What a call answers ----------------------------------------------------------------------------- */

enum pagewalk_status {
	PAGEWALK_OK,           /* the access goes through; record.pa is where */

	/* The guest's own doing. */
	PAGEWALK_FAULT,        /* the CPU raises record.fault.vector: #PF, or #GP/#SS for a bad address or PDPTE */
	PAGEWALK_NESTED_FAULT, /* the second stage refuses: VM exit record.fault.exit */

	/* The embedder's. */
	PAGEWALK_NO_MEMORY,    /* a callback had no such bytes: record.fault.gpa; says nothing about the guest */
	PAGEWALK_RETRY,        /* the tables changed under each of PAGEWALK_MAX_ATTEMPTS attempts; nothing is wrong, try later */
	PAGEWALK_BAD_STATE     /* registers that no CPU can hold, or a walker that no pagewalk_init...() accepted */
};

/*
 * Bounds (AD-5). An attempt makes at most PAGEWALK_MAX_READS calls of read_gpte (4-level 4, 4-level over 4-level 24,
 * 5-level over 5-level 35; 5 more where EPT without A/D flags refuses to have a guest entry's flag set) and one of
 * cmpxchg_gpte for each entry read. A lost compare-exchange starts the next attempt.
 */
#define PAGEWALK_MAX_LEVEL              5
#define PAGEWALK_MAX_READS              40
#define PAGEWALK_MAX_ATTEMPTS           8

/* ---- The CPU: data, not #ifdefs ---------------------------------------------------------------------- */

enum pagewalk_vendor { PAGEWALK_INTEL, PAGEWALK_AMD };

/* pagewalk_cpu.features: CPUID, then the EPT capabilities of IA32_VMX_EPT_VPID_CAP and the VMX controls (EPT-1). */
#define PAGEWALK_FEATURE_PSE            PAGEWALK_BIT(0)
#define PAGEWALK_FEATURE_PSE36          PAGEWALK_BIT(1)
#define PAGEWALK_FEATURE_PAE            PAGEWALK_BIT(2)
#define PAGEWALK_FEATURE_NX             PAGEWALK_BIT(3)
#define PAGEWALK_FEATURE_PAT            PAGEWALK_BIT(4)
#define PAGEWALK_FEATURE_PAGE1GB        PAGEWALK_BIT(5)
#define PAGEWALK_FEATURE_SMEP           PAGEWALK_BIT(6)
#define PAGEWALK_FEATURE_SMAP           PAGEWALK_BIT(7)
#define PAGEWALK_FEATURE_PKU            PAGEWALK_BIT(8)
#define PAGEWALK_FEATURE_LA57           PAGEWALK_BIT(9)
#define PAGEWALK_FEATURE_EPT_EXEC_ONLY  PAGEWALK_BIT(32)
#define PAGEWALK_FEATURE_EPT_2M         PAGEWALK_BIT(33)
#define PAGEWALK_FEATURE_EPT_1G         PAGEWALK_BIT(34)
#define PAGEWALK_FEATURE_EPT_AD         PAGEWALK_BIT(35)
#define PAGEWALK_FEATURE_EPT_5L         PAGEWALK_BIT(36)
#define PAGEWALK_FEATURE_EPT_ADVANCED   PAGEWALK_BIT(37) /* qualification bits 9 ... 11 (EPT-8) */
#define PAGEWALK_FEATURES_ALL           (PAGEWALK_BITS(9, 0) | PAGEWALK_BITS(37, 32))

/*
 * pagewalk_cpu.quirks: first the choices that the manuals leave to the model of CPU; off is the documented default.
 */
#define PAGEWALK_QUIRK_AD_AS_WALKED     PAGEWALK_BIT(0) /* AD-2: A of a table's entry is set on the way down, whatever follows;
							   off: A and D are set when the stage's walk has succeeded */
#define PAGEWALK_QUIRK_EPT_HIGH_IGNORED PAGEWALK_BIT(1) /* EPT-13: GPA bits over the walk's width are ignored; off: EPT violation */
#define PAGEWALK_QUIRK_AMD_PDPTE_BIT8   PAGEWALK_BIT(2) /* MODE-11: AMD reserves bit 8 in a PDPTE that maps no page, too */
#define PAGEWALK_QUIRK_AMD_PSE36_BY_M   PAGEWALK_BIT(3) /* MODE-5: AMD bounds a 4 MiB page by MAXPHYADDR as Intel does; off: 40 bits */
/* Then where KVM departs from the hardware; the number is that of docs/deviations.md. Number 6 is AD_AS_WALKED off, number 9 is
 * what EPT-6 and NPT-2 say anyway, and so is the first half of 10. */
#define PAGEWALK_QUIRK_KVM_ID           PAGEWALK_BIT(8)  /* 1: the I/D error bit by NXE or SMEP alone, whatever PAE is */
#define PAGEWALK_QUIRK_KVM_PSE36        PAGEWALK_BIT(9)  /* 2: a 4 MiB page has 36 address bits whatever the CPU has */
#define PAGEWALK_QUIRK_KVM_TABLE_WRITE  PAGEWALK_BIT(10) /* 3: guest tables are written at the EPT, its A/D flags on or off */
#define PAGEWALK_QUIRK_KVM_PAGE_BASE    PAGEWALK_BIT(11) /* 4: under guest paging, a second-stage fault gives its page's base */
#define PAGEWALK_QUIRK_KVM_WIDTH        PAGEWALK_BIT(12) /* 5: no canonical check, address bits over the width ignored */
#define PAGEWALK_QUIRK_KVM_NOT_PRESENT  PAGEWALK_BIT(13) /* 7: a table outside memory reads as an entry that is not present */
#define PAGEWALK_QUIRK_KVM_EXIT_INFO    PAGEWALK_BIT(14) /* 8: qualification bit 7 always, bits 9 ... 11 never */
#define PAGEWALK_QUIRK_KVM_XU_IS_X      PAGEWALK_BIT(15) /* 10: EPT bit 10 counts as execute for misconfiguration, MBEC or not */
#define PAGEWALK_QUIRK_KVM_NO_PAT       PAGEWALK_BIT(16) /* 11: no CPUID.PAT still leaves the PAT bits unreserved */
#define PAGEWALK_QUIRK_KVM_PDPTE_LOAD   PAGEWALK_BIT(17) /* 11: a PDPTE load writes at the second stage; any failure is #GP */
#define PAGEWALK_QUIRK_KVM_NPT_PDPTE    PAGEWALK_BIT(18) /* 11: reserved bits of a nested PAE table's PDPTEs are not checked */
#define PAGEWALK_QUIRK_KVM_EPTP         PAGEWALK_BIT(19) /* 12: the EPTP's walk length and A/D bit need no capability */
#define PAGEWALK_QUIRK_KVM_PAE_CACHED   PAGEWALK_BIT(20) /* 11: the PDPTE registers count under NPT too (against MODE-8) */
#define PAGEWALK_QUIRK_KVM_EPT_1G       PAGEWALK_BIT(21) /* 13: a CPU with 1 GiB pages in EPT has those of 2 MiB too */
#define PAGEWALK_QUIRK_KVM_ROOT         PAGEWALK_BIT(22) /* 14: PAE tables are at all of CR3 or nCR3; nCR3 is checked in any format */
#define PAGEWALK_QUIRKS_KVM             (PAGEWALK_BITS(22, 8) | PAGEWALK_QUIRK_EPT_HIGH_IGNORED)

struct pagewalk_cpu {
	uint64_t features;   /* PAGEWALK_FEATURE_... */
	uint64_t quirks;     /* PAGEWALK_QUIRK_...; 0: the hardware */
	uint8_t  vendor;     /* enum pagewalk_vendor */
	uint8_t  maxphyaddr; /* M: 32 ... 52; more is taken as 52 (MODE-12) */
};

/* The registers that decide how a walk goes. CR3 and the PDPTE registers, which change more often, are the walker's. */
struct pagewalk_regs {
	uint64_t cr0, cr4, efer;
	bool     compatibility; /* IA-32e mode with CS.L = 0: addresses have 32 bits (MODE-16) */
};

/* ---- An access --------------------------------------------------------------------------------------- */

/* The bits of the #PF error code that it would set; none of WRITE and FETCH: a read. A read-modify-write is a write (ERR-2). */
#define PAGEWALK_ACCESS_READ            UINT64_C(0)
#define PAGEWALK_ACCESS_WRITE           PAGEWALK_PFERR_WRITE
#define PAGEWALK_ACCESS_USER            PAGEWALK_PFERR_USER  /* CPL 3 (PERM-1) */
#define PAGEWALK_ACCESS_FETCH           PAGEWALK_PFERR_FETCH
/* Ours; they show in no error code. */
#define PAGEWALK_ACCESS_IMPLICIT        PAGEWALK_BIT(48) /* GDT, IDT, TSS, ...: a supervisor access at any CPL (PERM-1, ERR-3) */
#define PAGEWALK_ACCESS_STACK           PAGEWALK_BIT(49) /* through SS: a non-canonical address is #SS (MODE-16) */
#define PAGEWALK_ACCESS_NO_LINEAR       PAGEWALK_BIT(50) /* second stage: for no linear address, as a PDPTE load (EPT-8) */

/*
 * Rights: one entry's, or those of all entries of a walk together. EPT has no user bit and calls the same place READ.
 * XD counts where NXE = 1 and the format has it (PERM-2).
 */
#define PAGEWALK_ACC_EXEC               1u
#define PAGEWALK_ACC_WRITE              2u
#define PAGEWALK_ACC_USER               4u
#define PAGEWALK_ACC_READ               4u /* EPT */
#define PAGEWALK_ACC_USER_EXEC          8u /* EPT with mode-based execute control: bit 10 (EPT-6) */
#define PAGEWALK_ACC_ALL                15u

/* ---- The record: the evidence for the answer --------------------------------------------------------- */

/* The rule that decided: family and number, as docs/rules.md has it. PAGEWALK_RULE(PERM, 7) is PERM-7. */
enum pagewalk_rule_family {
	PAGEWALK_FAMILY_MODE = 1,
	PAGEWALK_FAMILY_PERM,
	PAGEWALK_FAMILY_ERR,
	PAGEWALK_FAMILY_EPT,
	PAGEWALK_FAMILY_NPT
};
#define PAGEWALK_RULE(family, number)   ((uint16_t)(PAGEWALK_FAMILY_##family << 8 | (number)))
#define PAGEWALK_RULE_FAMILY(rule)      ((unsigned)(rule) >> 8)
#define PAGEWALK_RULE_NUMBER(rule)      ((unsigned)(rule) & 0xff)

/* pagewalk_fault.exit: the basic exit reason (S appendix C) or the exit code (A appendix C). */
enum pagewalk_exit {
	PAGEWALK_EXIT_NONE = 0,
	PAGEWALK_EXIT_EPT_VIOLATION = 48,
	PAGEWALK_EXIT_EPT_MISCONFIG = 49,
	PAGEWALK_EXIT_NPF = 0x400
};

/* Valid unless the status is OK, RETRY or BAD_STATE. A field that has no meaning for the fault is 0. */
struct pagewalk_fault {
	uint64_t error_code;         /* FAULT: the exception's; NPF: EXITINFO1 (NPT-5) */
	uint64_t address;            /* FAULT by #PF: CR2 (ERR-10); the linear address that was walked in the other cases */
	uint64_t gpa;                /* NESTED_FAULT: the GPA, EXITINFO2; NO_MEMORY: the address that could not be read or written */
	uint64_t exit_qualification; /* EPT violation (EPT-8) */
	uint16_t exit;               /* NESTED_FAULT: enum pagewalk_exit */
	uint16_t rule;               /* what decided; PAGEWALK_RULE() */
	uint8_t  vector;             /* FAULT: PAGEWALK_VECTOR_... */
	bool     second_stage;       /* it was met in record.nested, not in record.guest */
};

#define PAGEWALK_INVALID_GPA            (~UINT64_C(0))

struct pagewalk_entry {
	uint64_t gpa; /* where the entry is, for the stage that owns it; INVALID_GPA: a PDPTE register */
	uint64_t pa;  /* the same after the second stage: the address given to the callbacks */
	uint64_t pte; /* its value as read, before any A/D update; 0 if the second stage or NO_MEMORY kept it from being read */
};

/* One stage's walk. entry[] and pt_access[] are valid from max_level down to level. */
struct pagewalk_stage {
	uint64_t address;    /* what was walked: a linear address, or a GPA */
	uint64_t access;     /* for what: PAGEWALK_ACCESS_... | PFERR_GUEST_... */
	uint64_t gpa;        /* where it leads, for the next stage; valid if this stage let it pass */
	uint8_t  max_level;  /* level of the first entry; 0: this stage read no entry (paging off, no second stage, EPT-13) */
	uint8_t  level;      /* level of the last entry: the page's, or the one that refused */
	uint8_t  page_shift; /* log2 of the page; 64 if there was no walk; valid like gpa */
	uint8_t  pte_access; /* PAGEWALK_ACC_... of all entries together; valid if the translation is complete */
	uint8_t  pte_pkey;   /* protection key of the leaf, 0 where there are none; valid like pte_access */
	uint8_t  pt_access[PAGEWALK_MAX_LEVEL]; /* [level - 1]: what the entries above that level allow */
	struct pagewalk_entry entry[PAGEWALK_MAX_LEVEL]; /* [level - 1] */
};

/* Written by a walk, owned by the caller. Nothing in it need be set before. */
struct pagewalk_walk {
	uint64_t pa;                   /* OK: where the access goes, after the last stage */
	struct pagewalk_stage guest;   /* the walk of the guest's own tables */
	struct pagewalk_stage nested;  /* the last walk of the second stage: of pa if OK, the one that refused if NESTED_FAULT */
	struct pagewalk_fault fault;
};

/* ---- The walker -------------------------------------------------------------------------------------- */

/* What pagewalk_page_format describes. */
enum pagewalk_kind {
	PAGEWALK_KIND_NONE,   /* not initialised, or refused */
	PAGEWALK_KIND_DIRECT, /* CR0.PG = 0 (MODE-1) */
	PAGEWALK_KIND_GUEST,
	PAGEWALK_KIND_NPT,    /* second stages from here on */
	PAGEWALK_KIND_EPT
};

/* Derived from CPU and registers by format.h, once per change. A reader of a walk needs none of it. */
struct pagewalk_page_format {
	uint8_t  kind;            /* enum pagewalk_kind */
	uint8_t  root_level;      /* 2, 3 (PAE), 4, 5; 0: DIRECT */
	bool     pae;             /* level 3 is PAE's four PDPTEs */
	bool     pdpte_registers; /* and they are registers, not memory (MODE-7; but see MODE-8) */
	bool     have_ad;         /* entries have A/D flags: all but EPT with EPTP bit 6 clear */
	bool     gmet, mbec;
	uint16_t permissions[16]; /* [access >> 1]: bit n set = refused with rights n (PERM, EPT-6, NPT-4) */
	uint32_t pkru_mask;       /* 2 bits an access: which of AD and WD deny it on a user page (PERM-7) */
	uint64_t fetch_error;     /* PFERR_FETCH where a fetch shows in the error code (ERR-5), else 0 */
	uint64_t root_mask;       /* address bits of CR3, EPTP, nCR3 (MODE-3) */
	uint64_t root_rsvd;       /* and the bits that can't be set */
	uint64_t table_mask[PAGEWALK_MAX_LEVEL];       /* [level - 1]: an entry that is plainly a table has only its present bit here */
	uint64_t ps_mask[PAGEWALK_MAX_LEVEL];          /* [level - 1]: PS where it makes a page, else 0 */
	uint64_t rsvd_bits_mask[2][PAGEWALK_MAX_LEVEL]; /* [bit 7][level - 1] */
	uint64_t pse36_mask;      /* bits of a 4 MiB page's entry that go to PA[39:32] (MODE-5) */
	uint64_t bad_mt_xwr;      /* EPT-3: bit n set = an entry whose bits 5:0 are n is misconfigured */
	uint64_t present_mask;    /* EPT-2: present if any of these */
	uint64_t xu_fold;         /* EPT bit 10 where it counts as execute for bad_mt_xwr */
	uint64_t table_access;    /* second stage: the access that a guest table's entry is read with (EPT-7, NPT-2) */
	uint64_t va_mask;         /* linear address bits that exist in the mode */
	uint64_t va_half, va_high; /* canonical if ((va + va_half) & va_high) == 0 (MODE-16) */
};

/*
 * The walker, embedded in the caller's own structure (PAGEWALK_CONTAINER_OF finds that again). Set the callbacks, then
 * call pagewalk_init...(). A walk only reads it: threads may share one while nobody writes its registers.
 */
struct PAGEWALK_TAG {
	/*
	 * Reads the entry of size 4 or 8 at address pa (after the second stage, if there is one), naturally aligned, as
	 * one little-endian number, at once (an aligned load). 0, or < 0: there is no memory there, the walk ends with
	 * NO_MEMORY. Called once per entry and attempt.
	 */
	int (*read_gpte)(const struct PAGEWALK_TAG *w, uint64_t pa, unsigned size, uint64_t *gpte);
	/*
	 * Replaces old by new_gpte at pa, atomically, if old is still there (AD-5). 0: done, or deliberately not done
	 * (read-only memory); > 0: something else was there; < 0: no memory. Only A and D flags ever differ.
	 * NULL: A and D are never written.
	 */
	int (*cmpxchg_gpte)(const struct PAGEWALK_TAG *w, uint64_t pa, unsigned size, uint64_t old, uint64_t new_gpte);
	/* CR3 (EPTP, nCR3). NULL: the field pgd. */
	uint64_t (*get_guest_pgd)(const struct PAGEWALK_TAG *w);
	/* PDPTE register 0 ... 3 of PAE paging. NULL: the field pdptr. */
	uint64_t (*get_pdptr)(const struct PAGEWALK_TAG *w, unsigned index);

	/* The second stage, initialised by pagewalk_init_ept() or _npt(). NULL: a GPA is the physical address. */
	const struct PAGEWALK_TAG *ngpa_walk;

	/* Live registers: write them at any time. */
	uint64_t pgd;     /* CR3, EPTP or nCR3, whole */
	uint64_t pdptr[4];
	uint64_t rflags;  /* only AC is looked at */
	uint32_t pkru;

	/* Derived. */
	uint32_t cpu_role; /* all that the registers say, in bits; equal roles have equal formats */
	struct pagewalk_cpu cpu;
	struct pagewalk_page_format fmt;
	/* One attempt with this walker's format: may also return RETRY when an A/D update lost. */
	enum pagewalk_status (*gva_to_gpa)(const struct PAGEWALK_TAG *w, uint64_t addr, uint64_t access,
					   struct pagewalk_walk *out);
};

/* The structure of type that holds w as its member; const as the walker is inside a walk. */
#define PAGEWALK_CONTAINER_OF(w, type, member) \
	((const type *)(const void *)((const char *)(w) - offsetof(type, member)))

#endif
