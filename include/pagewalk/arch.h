/* SPDX-License-Identifier: MIT */
/*
 * arch.h: the bits of the x86 architecture that a page walk looks at.
 *
 * Nothing here but names for positions. What a bit means for a walk is said where it is used, under the id of its
 * rule (docs/rules.md). S: Intel SDM volume 3; A: AMD APM volume 2.
 */
#ifndef PAGEWALK_ARCH_H
#define PAGEWALK_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGEWALK_BIT(n)                 (UINT64_C(1) << (n))
/* Bits high:low, both included; empty if high < low. 0 <= low, high <= 63. */
#define PAGEWALK_BITS(high, low)        ((high) < (low) ? UINT64_C(0) : \
					 (~UINT64_C(0) >> (63 - ((high) - (low)))) << (low))

/* Control registers (S2.5, A3.1). */
#define PAGEWALK_CR0_PE                 PAGEWALK_BIT(0)
#define PAGEWALK_CR0_WP                 PAGEWALK_BIT(16)
#define PAGEWALK_CR0_NW                 PAGEWALK_BIT(29)
#define PAGEWALK_CR0_CD                 PAGEWALK_BIT(30)
#define PAGEWALK_CR0_PG                 PAGEWALK_BIT(31)

#define PAGEWALK_CR3_LAM_U57            PAGEWALK_BIT(61)
#define PAGEWALK_CR3_LAM_U48            PAGEWALK_BIT(62)

#define PAGEWALK_CR4_PSE                PAGEWALK_BIT(4)
#define PAGEWALK_CR4_PAE                PAGEWALK_BIT(5)
#define PAGEWALK_CR4_LA57               PAGEWALK_BIT(12)
#define PAGEWALK_CR4_PCIDE              PAGEWALK_BIT(17)
#define PAGEWALK_CR4_SMEP               PAGEWALK_BIT(20)
#define PAGEWALK_CR4_SMAP               PAGEWALK_BIT(21)
#define PAGEWALK_CR4_PKE                PAGEWALK_BIT(22)
#define PAGEWALK_CR4_CET                PAGEWALK_BIT(23)
#define PAGEWALK_CR4_PKS                PAGEWALK_BIT(24)
#define PAGEWALK_CR4_LASS               PAGEWALK_BIT(27)
#define PAGEWALK_CR4_LAM_SUP            PAGEWALK_BIT(28)

#define PAGEWALK_EFER_LME               PAGEWALK_BIT(8)
#define PAGEWALK_EFER_LMA               PAGEWALK_BIT(10)
#define PAGEWALK_EFER_NXE               PAGEWALK_BIT(11)
#define PAGEWALK_EFER_UAIE              PAGEWALK_BIT(20)

#define PAGEWALK_RFLAGS_AC              PAGEWALK_BIT(18)

#define PAGEWALK_PKRU_AD                1u /* of the two bits of a key (PERM-7) */
#define PAGEWALK_PKRU_WD                2u

/* The #PF error code (ERR-1 ... ERR-6) and AMD's EXITINFO1, which extends it (NPT-5). */
#define PAGEWALK_PFERR_PRESENT          PAGEWALK_BIT(0)
#define PAGEWALK_PFERR_WRITE            PAGEWALK_BIT(1)
#define PAGEWALK_PFERR_USER             PAGEWALK_BIT(2)
#define PAGEWALK_PFERR_RSVD             PAGEWALK_BIT(3)
#define PAGEWALK_PFERR_FETCH            PAGEWALK_BIT(4)
#define PAGEWALK_PFERR_PK               PAGEWALK_BIT(5)
#define PAGEWALK_PFERR_GUEST_FINAL      PAGEWALK_BIT(32)
#define PAGEWALK_PFERR_GUEST_PAGE       PAGEWALK_BIT(33)

#define PAGEWALK_VECTOR_SS              12
#define PAGEWALK_VECTOR_GP              13
#define PAGEWALK_VECTOR_PF              14

/* Entries of 32-bit, PAE, 4-level and 5-level paging (S4.3 ... S4.5). */
#define PAGEWALK_PTE_PRESENT            PAGEWALK_BIT(0)
#define PAGEWALK_PTE_WRITABLE           PAGEWALK_BIT(1)
#define PAGEWALK_PTE_USER               PAGEWALK_BIT(2)
#define PAGEWALK_PTE_PWT                PAGEWALK_BIT(3)
#define PAGEWALK_PTE_PCD                PAGEWALK_BIT(4)
#define PAGEWALK_PTE_ACCESSED           PAGEWALK_BIT(5)
#define PAGEWALK_PTE_DIRTY              PAGEWALK_BIT(6)
#define PAGEWALK_PTE_PS                 PAGEWALK_BIT(7)  /* of an entry above level 1 */
#define PAGEWALK_PTE_PAT                PAGEWALK_BIT(7)  /* of a level-1 entry (MODE-6) */
#define PAGEWALK_PTE_GLOBAL             PAGEWALK_BIT(8)
#define PAGEWALK_PTE_PAT_LARGE          PAGEWALK_BIT(12) /* of a large page's entry (MODE-6) */
#define PAGEWALK_PTE_PKEY_SHIFT         59
#define PAGEWALK_PTE_NX                 PAGEWALK_BIT(63)

/* EPT entries and the EPTP (EPT-1 ... EPT-4). */
#define PAGEWALK_EPT_READ               PAGEWALK_BIT(0)
#define PAGEWALK_EPT_WRITE              PAGEWALK_BIT(1)
#define PAGEWALK_EPT_EXEC               PAGEWALK_BIT(2)
#define PAGEWALK_EPT_PS                 PAGEWALK_BIT(7)
#define PAGEWALK_EPT_ACCESSED           PAGEWALK_BIT(8)
#define PAGEWALK_EPT_DIRTY              PAGEWALK_BIT(9)
#define PAGEWALK_EPT_USER_EXEC          PAGEWALK_BIT(10)

#define PAGEWALK_EPTP_TYPE              PAGEWALK_BITS(2, 0)
#define PAGEWALK_EPTP_LEVEL_SHIFT       3
#define PAGEWALK_EPTP_LEVEL             PAGEWALK_BITS(5, 3)
#define PAGEWALK_EPTP_AD                PAGEWALK_BIT(6)
#define PAGEWALK_EPTP_UC                UINT64_C(0)
#define PAGEWALK_EPTP_WB                UINT64_C(6)

/* The exit qualification of an EPT violation (EPT-8). */
#define PAGEWALK_EPT_VIOLATION_READ     PAGEWALK_BIT(0)
#define PAGEWALK_EPT_VIOLATION_WRITE    PAGEWALK_BIT(1)
#define PAGEWALK_EPT_VIOLATION_FETCH    PAGEWALK_BIT(2)
#define PAGEWALK_EPT_VIOLATION_RWX_SHIFT 3 /* what the entries allow: READ, WRITE, EXEC */
#define PAGEWALK_EPT_VIOLATION_XU       PAGEWALK_BIT(6)
#define PAGEWALK_EPT_VIOLATION_LA_VALID PAGEWALK_BIT(7)
#define PAGEWALK_EPT_VIOLATION_FINAL    PAGEWALK_BIT(8)
#define PAGEWALK_EPT_VIOLATION_LA_USER  PAGEWALK_BIT(9)
#define PAGEWALK_EPT_VIOLATION_LA_WRITE PAGEWALK_BIT(10)
#define PAGEWALK_EPT_VIOLATION_LA_NX    PAGEWALK_BIT(11)

#define PAGEWALK_ADDRESS                PAGEWALK_BITS(51, 12) /* the address in a 64-bit entry or root */

#endif
