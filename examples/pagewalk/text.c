/* SPDX-License-Identifier: MIT */
/* Numbers, rights and names: see text.h. */
#include <inttypes.h>
#include <pagewalk/pagewalk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool parse_hex(const char *text, uint64_t *value)
{
	const char *digits = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? text + 2 : text;
	size_t n;

	*value = 0;
	for (n = 0; digits[n] && n <= 16; n++) {
		if (digit_value(digits[n]) < 0)
			return false;
		*value = *value << 4 | (unsigned)digit_value(digits[n]);
	}
	return n >= 1 && n <= 16;
}

bool parse_decimal(const char *text, uint64_t *value)
{
	*value = 0;
	for (const char *c = text; *c; c++) {
		unsigned digit = (unsigned)(*c - '0');

		if (*c < '0' || *c > '9' || *value > (UINT64_MAX - digit) / 10)
			return false;
		*value = *value * 10 + digit;
	}
	return *text;
}

char *put_text(char *to, const char *text)
{
	size_t n = strlen(text);

	memcpy(to, text, n);
	return to + n;
}

char *put_address(char *to, uint64_t value)
{
	*to++ = '0';
	*to++ = 'x';
	for (int shift = 60; shift >= 0; shift -= 4)
		*to++ = "0123456789abcdef"[value >> shift & 15];
	return to;
}

char *put_decimal(char *to, uint64_t value)
{
	if (value >= 10)
		to = put_decimal(to, value / 10);
	*to = (char)('0' + value % 10);
	return to + 1;
}

char *put_rights(char *to, unsigned rights)
{
	*to++ = rights & PAGEWALK_RIGHTS_USER ? 'u' : '-';
	*to++ = rights & PAGEWALK_RIGHTS_READ ? 'r' : '-';
	*to++ = rights & PAGEWALK_RIGHTS_WRITE ? 'w' : '-';
	*to++ = rights & PAGEWALK_RIGHTS_EXEC ? 'x' : '-';
	return to;
}

json_t *json_address(uint64_t value)
{
	char text[HEX_SIZE];

	return json_stringn(text, (size_t)(put_address(text, value) - text));
}

json_t *json_hex(uint64_t value)
{
	return json_sprintf("0x%" PRIx64, value);
}

json_t *json_rights(unsigned rights)
{
	char text[4];

	return json_stringn(text, (size_t)(put_rights(text, rights) - text));
}

json_t *json_text(const char *text)
{
	json_t *json = json_string(text);
	size_t n = strlen(text) + 1;
	char *ascii;

	if (json)
		return json;
	ascii = malloc(n);
	if (!ascii)
		return NULL;
	for (size_t i = 0; i < n; i++)
		ascii[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
	json = json_string(ascii);
	free(ascii);
	return json;
}

/* ---- Rules ----------------------------------------------------------------------------------- */

void rule_name(uint16_t rule, char name[RULE_SIZE])
{
	static const char *const families[] = {
		[PAGEWALK_FAMILY_MODE] = "MODE", [PAGEWALK_FAMILY_PERM] = "PERM", [PAGEWALK_FAMILY_ERR] = "ERR",
		[PAGEWALK_FAMILY_EPT] = "EPT", [PAGEWALK_FAMILY_NPT] = "NPT",
	};
	unsigned family = PAGEWALK_RULE_FAMILY(rule);
	bool known = family < sizeof(families) / sizeof(*families) && families[family];

	snprintf(name, RULE_SIZE, "%s-%u", known ? families[family] : "?", PAGEWALK_RULE_NUMBER(rule));
}

/* Only those that can decide; each in words that fit whether it grants or refuses. */
static const struct {
	uint16_t rule;
	const char *sentence;
} sentences[] = {
	{ PAGEWALK_RULE(MODE, 1), "with paging off an address is the physical address, and nothing is checked" },
	{ PAGEWALK_RULE(MODE, 5), "a 4 MiB page's entry has reserved bits below its address" },
	{ PAGEWALK_RULE(MODE, 6), "on a CPU without PAT the PAT bit is reserved" },
	{ PAGEWALK_RULE(MODE, 7), "a PDPTE must be present, and no CPU loads one with a reserved bit" },
	{ PAGEWALK_RULE(MODE, 9), "in PAE paging these bits are reserved" },
	{ PAGEWALK_RULE(MODE, 10), "in long mode these bits are reserved" },
	{ PAGEWALK_RULE(MODE, 11), "AMD reserves bit 8 in the entries of the upper levels" },
	{ PAGEWALK_RULE(MODE, 16), "an address must be canonical: its upper bits all equal" },
	{ PAGEWALK_RULE(PERM, 3), "a supervisor reads any page, but for a user page under SMAP, AC=0" },
	{ PAGEWALK_RULE(PERM, 4), "a supervisor write needs W everywhere if WP=1, and no user page under SMAP, AC=0" },
	{ PAGEWALK_RULE(PERM, 5), "a supervisor fetch needs NX=0 in every entry, and no user page under SMEP" },
	{ PAGEWALK_RULE(PERM, 6), "a user access needs U in every entry; a write W too, a fetch NX=0" },
	{ PAGEWALK_RULE(PERM, 7), "PKRU denies data accesses to user pages with this protection key" },
	{ PAGEWALK_RULE(ERR, 1), "the entry is not present" },
	{ PAGEWALK_RULE(EPT, 2), "the EPT entry is not present: none of R, W, X" },
	{ PAGEWALK_RULE(EPT, 3), "the EPT entry has rights that cannot go together, a bad type, or a reserved bit" },
	{ PAGEWALK_RULE(EPT, 6), "an access needs its own right, R, W or X, in every EPT entry" },
	{ PAGEWALK_RULE(EPT, 13), "the guest-physical address has more bits than the EPT walk translates" },
	{ PAGEWALK_RULE(NPT, 4), "a nested access needs U in every entry of the host; a write W too, a fetch NX=0" },
	{ PAGEWALK_RULE(NPT, 7), "under GMET a supervisor fetch needs U=0 in an entry of the host" },
};

const char *rule_sentence(uint16_t rule)
{
	for (size_t i = 0; i < sizeof(sentences) / sizeof(*sentences); i++)
		if (sentences[i].rule == rule)
			return sentences[i].sentence;
	return "";
}
