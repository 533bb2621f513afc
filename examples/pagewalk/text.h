/* SPDX-License-Identifier: MIT */
/*
 * text.h: numbers, rights and names as the command reads and writes them. The put_ functions write no terminating zero
 * and return where the text ends; lines are made of them because millions of lines are a common wish.
 */
#ifndef TEXT_H
#define TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 1 to 16 hexadecimal digits, 0x or not before them, and nothing else. */
bool parse_hex(const char *text, uint64_t *value);
/* Decimal digits only, of a number below 2^64. */
bool parse_decimal(const char *text, uint64_t *value);

char *put_text(char *to, const char *text);
char *put_address(char *to, uint64_t value);   /* 0x and 16 digits */
char *put_decimal(char *to, uint64_t value);
char *put_rights(char *to, unsigned rights);   /* PAGEWALK_RIGHTS_...: "urwx", '-' for what is not there */

enum { HEX_SIZE = 20, RULE_SIZE = 16 };

json_t *json_address(uint64_t value);          /* "0x" and 16 digits */
json_t *json_hex(uint64_t value);              /* "0x" and as many as needed */
json_t *json_rights(unsigned rights);
json_t *json_text(const char *text);           /* a text that may be no UTF-8: then with '?' for what is not ASCII */

/* Names of bits, for people. */
struct bit_name {
	uint64_t mask;
	const char *name;
};

/* PAGEWALK_RULE(PERM, 7): "PERM-7". */
void rule_name(uint16_t rule, char name[RULE_SIZE]);
/* What the rule asks of an access, in a sentence without its end; "" if it is not known here. */
const char *rule_sentence(uint16_t rule);

#endif
