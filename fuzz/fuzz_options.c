/* SPDX-License-Identifier: MIT */
/*
 * fuzz_options: any words as the command line of the command, one a line of the input.
 *
 * They are refused with one line on standard error, or taken without a word. What was taken is in range, is what an
 * independent reading of the words says, and is taken again, the same, when it is written anew in the plainest form.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>

#include "fuzz.h"
#include "options.h"
#include "report.h"
#include "text.h"

#define MAX_WORDS 64
#define MAX_TEXT 4096

/* How each option is written and what it takes, by hand: the parser's own table is what is tested. */
static const struct {
	const char *name;
	char kind; /* 0: no value; x, d: a number; c: one of the choices; t: text */
	uint64_t low, high;
	const char *choices;
} forms[OPTION_COUNT] = {
	[OPTION_CR0] = { "--cr0", 'x', 0, UINT64_MAX, NULL },
	[OPTION_CR3] = { "--cr3", 'x', 0, UINT64_MAX, NULL },
	[OPTION_CR4] = { "--cr4", 'x', 0, UINT64_MAX, NULL },
	[OPTION_EFER] = { "--efer", 'x', 0, UINT64_MAX, NULL },
	[OPTION_PKRU] = { "--pkru", 'x', 0, UINT32_MAX, NULL },
	[OPTION_RFLAGS] = { "--rflags", 'x', 0, UINT64_MAX, NULL },
	[OPTION_CPL] = { "--cpl", 'd', 0, 3, NULL },
	[OPTION_ACCESS] = { "--access", 'c', 0, 2, "r w x " },
	[OPTION_PROFILE] = { "--profile", 'c', 0, 3, "intel amd kvm-intel kvm-amd " },
	[OPTION_MAXPHYADDR] = { "--maxphyaddr", 'd', 32, 52, NULL },
	[OPTION_EPTP] = { "--eptp", 'x', 0, UINT64_MAX, NULL },
	[OPTION_MBEC] = { "--mbec", 0, 1, 1, NULL },
	[OPTION_NCR3] = { "--ncr3", 'x', 0, UINT64_MAX, NULL },
	[OPTION_HCR0] = { "--hcr0", 'x', 0, UINT64_MAX, NULL },
	[OPTION_HCR4] = { "--hcr4", 'x', 0, UINT64_MAX, NULL },
	[OPTION_HEFER] = { "--hefer", 'x', 0, UINT64_MAX, NULL },
	[OPTION_LIMIT] = { "--limit", 'd', 1, UINT64_MAX, NULL },
	[OPTION_OUTPUT] = { "-o", 't', 0, 0, NULL },
	[OPTION_JSON] = { "--json", 0, 1, 1, NULL },
	[OPTION_HELP] = { "--help", 0, 1, 1, NULL },
	[OPTION_VERSION] = { "--version", 0, 1, 1, NULL },
};
static const char *const commands[COMMAND_COUNT] = {
	[COMMAND_TRANSLATE] = "translate", [COMMAND_EXPLAIN] = "explain",
	[COMMAND_MAP] = "map", [COMMAND_CAPTURE] = "capture",
};

/* A call with a standard error of its own; *said is what was written there, for the caller to free. */
static int parse(struct options *o, int count, char **words, char **said)
{
	FILE *saved = stderr;
	size_t size;
	int status;

	*said = NULL;
	stderr = open_memstream(said, &size);
	REQUIRE(stderr);
	status = options_parse(o, count, words);
	fclose(stderr);
	stderr = saved;
	return status;
}

/* One line, that begins as it should, and no control character in it. */
static void check_line(const char *said)
{
	size_t n = strlen(said);

	REQUIRE(n > 20 && !strncmp(said, "pagewalk: ", 10) && said[n - 1] == '\n');
	for (size_t i = 0; i < n - 1; i++)
		REQUIRE((unsigned char)said[i] >= ' ' && said[i] != 0x7f);
}

/* The number that strtoull reads, which takes more than the command does; the text has passed the parser. */
static uint64_t number_of(const char *text, int base)
{
	uint64_t number;
	char *end;

	REQUIRE(isxdigit((unsigned char)*text));
	errno = 0;
	number = strtoull(text, &end, base);
	REQUIRE(!errno && end > text && !*end);
	return number;
}

/* The place of a word in a list whose words end with a space; -1: it is not there. */
static int place_of(const char *text, const char *list)
{
	size_t n = strlen(text);

	for (int i = 0; *list; i++, list = strchr(list, ' ') + 1)
		if (!strncmp(list, text, n) && list[n] == ' ')
			return i;
	return -1;
}

static void check_value(unsigned option, const struct value *v)
{
	if (!v->given) {
		REQUIRE(!v->number && !v->text);
		return;
	}
	REQUIRE(!v->text == !forms[option].kind);
	switch (forms[option].kind) {
	case 'x':
		REQUIRE(v->number == number_of(v->text, 16) && strlen(v->text) <= 18);
		break;
	case 'd':
		REQUIRE(isdigit((unsigned char)*v->text) && v->number == number_of(v->text, 10));
		break;
	case 'c':
		REQUIRE(place_of(v->text, forms[option].choices) == (int)v->number);
		break;
	case 't':
		REQUIRE(*v->text);
		return;
	}
	REQUIRE(v->number >= forms[option].low && v->number <= forms[option].high);
}

static void check_options(const struct options *o)
{
	const struct value *v = o->value;
	bool addresses = o->command == COMMAND_TRANSLATE || o->command == COMMAND_EXPLAIN;

	for (unsigned i = 0; i < OPTION_COUNT; i++)
		check_value(i, &v[i]);
	if (v[OPTION_HELP].given || v[OPTION_VERSION].given)
		return;
	REQUIRE(o->command < COMMAND_COUNT && o->image);
	REQUIRE(addresses ? o->count >= 1 : !o->count);
	REQUIRE(o->command != COMMAND_EXPLAIN || (o->count == 1 && !o->addresses[0].standard_input));
	REQUIRE(addresses || (!v[OPTION_ACCESS].given && !v[OPTION_CPL].given));
	REQUIRE(v[OPTION_LIMIT].given <= (o->command == COMMAND_MAP));
	REQUIRE(v[OPTION_OUTPUT].given == (o->command == COMMAND_CAPTURE));
	REQUIRE(!v[OPTION_EPTP].given || !v[OPTION_NCR3].given);
	REQUIRE(v[OPTION_EPTP].given || !v[OPTION_MBEC].given);
	REQUIRE(v[OPTION_NCR3].given || (!v[OPTION_HCR0].given && !v[OPTION_HCR4].given && !v[OPTION_HEFER].given));
}

/* Writes what was taken as a command line again: options first, with =, then --, then the words. Returns the count. */
static int write_words(const struct options *o, char text[MAX_TEXT], char *words[3 * MAX_WORDS])
{
	char *at = text;
	int count = 0;

#define ADD(...) (words[count++] = at, at += snprintf(at, (size_t)(text + MAX_TEXT - at), __VA_ARGS__) + 1)
	ADD("pagewalk");
	for (unsigned i = 0; i < OPTION_COUNT; i++) {
		const struct value *v = &o->value[i];

		if (!v->given)
			continue;
		else if (!forms[i].kind)
			ADD("%s", forms[i].name);
		else if (forms[i].kind == 'x')
			ADD("%s=0X%" PRIX64, forms[i].name, v->number);
		else if (forms[i].kind == 'd')
			ADD("%s=%" PRIu64, forms[i].name, v->number);
		else if (forms[i].kind == 'c')
			ADD("%s=%s", forms[i].name, v->text);
		else {
			ADD("%s", forms[i].name);
			words[count++] = (char *)(uintptr_t)v->text;
		}
	}
	ADD("--");
	ADD("%s", commands[o->command]);
	words[count++] = (char *)(uintptr_t)o->image;
	for (size_t i = 0; i < o->count; i++) {
		if (o->addresses[i].standard_input)
			ADD("-");
		else
			ADD("%" PRIx64, o->addresses[i].va);
	}
#undef ADD
	REQUIRE(at < text + MAX_TEXT);
	words[count] = NULL;
	return count;
}

static void check_again(const struct options *o)
{
	char text[MAX_TEXT], *words[3 * MAX_WORDS], *said;
	struct options again;
	int count = write_words(o, text, words);

	REQUIRE(parse(&again, count, words, &said) == STATUS_OK && !*said);
	free(said);
	REQUIRE(again.command == o->command && !strcmp(again.image, o->image) && again.count == o->count);
	for (unsigned i = 0; i < OPTION_COUNT; i++)
		REQUIRE(again.value[i].given == o->value[i].given && again.value[i].number == o->value[i].number);
	for (size_t i = 0; i < o->count; i++)
		REQUIRE(again.addresses[i].standard_input == o->addresses[i].standard_input &&
			again.addresses[i].va == o->addresses[i].va);
	options_free(&again);
}

/* The parsers of numbers and addresses on a word by itself: what they take is what strtoull reads, and all of that. */
static void check_numbers(const char *word)
{
	const char *digits = word[0] == '0' && (word[1] | 0x20) == 'x' ? word + 2 : word;
	size_t hex = strspn(digits, "0123456789abcdefABCDEF"), decimal = strspn(word, "0123456789");
	uint64_t value;
	bool good;

	REQUIRE(parse_hex(word, &value) == (hex >= 1 && hex <= 16 && !digits[hex]));
	REQUIRE(!parse_hex(word, &value) || value == number_of(word, 16));
	errno = 0;
	good = decimal >= 1 && !word[decimal] && (strtoull(word, NULL, 10), !errno);
	REQUIRE(parse_decimal(word, &value) == good);
	REQUIRE(!good || value == number_of(word, 10));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[MAX_TEXT / 2 + 1], *words[MAX_WORDS + 2] = { (char[]){ "pagewalk" } }, *said = NULL;
	struct options o;
	int count = 1, status;

	if (size > MAX_TEXT / 2)
		size = MAX_TEXT / 2;
	memcpy(text, data, size);
	text[size] = '\0';
	for (char *line = text; line < text + size && count <= MAX_WORDS; line += strlen(line) + 1) {
		line[strcspn(line, "\n")] = '\0';
		words[count++] = line;
		check_numbers(line);
	}
	words[count] = NULL;

	status = parse(&o, count, words, &said);
	REQUIRE(status == STATUS_OK || status == STATUS_ERROR);
	if (status == STATUS_ERROR) {
		check_line(said);
	} else {
		REQUIRE(!*said);
		check_options(&o);
		if (!o.value[OPTION_HELP].given && !o.value[OPTION_VERSION].given)
			check_again(&o);
	}
	free(said);
	options_free(&o);
	return 0;
}
