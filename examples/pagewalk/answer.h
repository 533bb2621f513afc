/* SPDX-License-Identifier: MIT */
/* answer.h: what came out of a translation, in the words that translate and explain share. */
#ifndef ANSWER_H
#define ANSWER_H

#include "machine.h"
#include "text.h"

/*
 * A fault as `VA fault KIND CODE` says it:
 *   page-fault     the #PF error code (ERR)
 *   non-canonical  0x0, the error code of #GP (MODE-16)
 *   pdpte-fault    0x0, that of the #GP of the load of CR3 (MODE-7)
 *   ept-violation  the exit qualification (EPT-8)
 *   ept-misconfig  the GPA that could not be translated; the CPU gives no code (EPT-3)
 *   npf            EXITINFO1 (NPT-5)
 *   no-memory      the physical address at which the image has no entry: what the CPU would do is not known
 */
struct fault {
	const char *kind;
	const char *code_name;         /* its name in JSON */
	uint64_t code;
	bool is_address;               /* code is one: written with 16 digits */
	const struct bit_name *bits;   /* of code; ends with a name of NULL */
};

struct fault fault_of(enum pagewalk_status status, const struct pagewalk_walk *walk);

/* "0x7" */
char *put_code(char *to, const struct fault *fault);
json_t *json_code(const struct fault *fault);
/* The names of the bits of code: up to FAULT_BITS, returns how many. */
enum { FAULT_BITS = 16 };
unsigned fault_bits(const struct fault *fault, const char *names[FAULT_BITS]);

/* The rule that granted (OK) or refused; 0: none, there is no memory. */
uint16_t rule_of(const struct machine *m, enum pagewalk_status status, const struct pagewalk_walk *walk);

/* {"va":..., "pa":... or "fault":..., "rule":...}; NULL: no memory. */
json_t *json_answer(const struct machine *m, uint64_t va, enum pagewalk_status status,
		    const struct pagewalk_walk *walk);

#endif
