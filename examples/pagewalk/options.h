/* SPDX-License-Identifier: MIT */
/* options.h: the command line, wholly checked before anything is opened or written. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum command { COMMAND_TRANSLATE, COMMAND_EXPLAIN, COMMAND_MAP, COMMAND_CAPTURE, COMMAND_COUNT };

enum option {
	OPTION_CR0, OPTION_CR3, OPTION_CR4, OPTION_EFER, OPTION_PKRU, OPTION_RFLAGS,
	OPTION_CPL, OPTION_ACCESS, OPTION_PROFILE, OPTION_MAXPHYADDR,
	OPTION_EPTP, OPTION_MBEC, OPTION_NCR3, OPTION_HCR0, OPTION_HCR4, OPTION_HEFER,
	OPTION_LIMIT, OPTION_OUTPUT, OPTION_JSON, OPTION_HELP, OPTION_VERSION,
	OPTION_COUNT
};

/* The values of OPTION_ACCESS; those of OPTION_PROFILE are enum pagewalk_profile. */
enum { ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH };

struct value {
	bool given;
	uint64_t number;  /* a flag: 1; a choice: which */
	const char *text; /* as it was given */
};

/* Where an address to translate comes from. */
struct address {
	bool standard_input; /* "-": many, from there */
	uint64_t va;
};

struct options {
	struct value value[OPTION_COUNT];
	enum command command;
	const char *image;
	struct address *addresses;
	size_t count; /* of addresses */
};

/*
 * STATUS_OK: o is complete, or only value[OPTION_HELP] or _VERSION is given. STATUS_ERROR: said so.
 * In both cases options_free() is to be called.
 */
int options_parse(struct options *o, int argc, char **argv);
void options_free(struct options *o);

/* Parses one address: STATUS_OK, or STATUS_ERROR and said so. */
int parse_address(const char *text, uint64_t *va);

#endif
