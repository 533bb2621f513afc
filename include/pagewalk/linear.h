/* SPDX-License-Identifier: MIT */
/*
 * linear.h: what the CPU does with a linear address before it walks anything (MODE-15, MODE-16).
 */
#ifndef PAGEWALK_LINEAR_H
#define PAGEWALK_LINEAR_H

#include "fault.h"

/*
 * Cuts *va to the bits that the mode has and checks that it is canonical in 64-bit mode: OK, or FAULT with #GP(0), for
 * a stack reference #SS(0). A walker with paging off or of a second stage lets everything pass.
 */
static inline enum pagewalk_status
pagewalk_linear(const struct PAGEWALK_TAG *w, uint64_t *va, uint64_t access, struct pagewalk_walk *out)
{
	if (w->fmt.kind != PAGEWALK_KIND_GUEST)
		return PAGEWALK_OK;
	*va &= w->fmt.va_mask;
	if (!((*va + w->fmt.va_half) & w->fmt.va_high))
		return PAGEWALK_OK;
	pagewalk_no_guest_walk_(*va, access, out);
	pagewalk_no_nested_walk_(out);
	return pagewalk_general_protection_(access & PAGEWALK_ACCESS_STACK ? PAGEWALK_VECTOR_SS : PAGEWALK_VECTOR_GP,
					    *va, PAGEWALK_RULE(MODE, 16), out);
}

#endif
