/* SPDX-License-Identifier: MIT */
/* The command line: see options.h. All options are rows of one table. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "report.h"
#include "text.h"

#define SEE_HELP "; see pagewalk --help"

static const char *const commands[COMMAND_COUNT] = {
	[COMMAND_TRANSLATE] = "translate", [COMMAND_EXPLAIN] = "explain",
	[COMMAND_MAP] = "map", [COMMAND_CAPTURE] = "capture",
};

enum kind { FLAG, HEX, DECIMAL, CHOICE, TEXT };

/* Which commands an option means something to. */
#define ALL ((1u << COMMAND_COUNT) - 1)
#define ADDRESSES (1u << COMMAND_TRANSLATE | 1u << COMMAND_EXPLAIN)

static const char *const accesses[] = { "r", "w", "x", NULL };
static const char *const profiles[] = { "intel", "amd", "kvm-intel", "kvm-amd", NULL };

static const struct spec {
	const char *name;
	enum kind kind;
	unsigned commands;
	uint64_t low, high;         /* DECIMAL, HEX */
	const char *const *choices; /* CHOICE */
	enum option needs;          /* means something only beside this one; itself: alone too */
} specs[OPTION_COUNT] = {
	[OPTION_CR0] = { "--cr0", HEX, ALL, 0, UINT64_MAX, NULL, OPTION_CR0 },
	[OPTION_CR3] = { "--cr3", HEX, ALL, 0, UINT64_MAX, NULL, OPTION_CR3 },
	[OPTION_CR4] = { "--cr4", HEX, ALL, 0, UINT64_MAX, NULL, OPTION_CR4 },
	[OPTION_EFER] = { "--efer", HEX, ALL, 0, UINT64_MAX, NULL, OPTION_EFER },
	[OPTION_PKRU] = { "--pkru", HEX, ALL, 0, UINT32_MAX, NULL, OPTION_PKRU },
	[OPTION_RFLAGS] = { "--rflags", HEX, ALL, 0, UINT64_MAX, NULL, OPTION_RFLAGS },
	[OPTION_CPL] = { "--cpl", DECIMAL, ADDRESSES, 0, 3, NULL, OPTION_CPL },
	[OPTION_ACCESS] = { "--access", CHOICE, ADDRESSES, 0, 0, accesses, OPTION_ACCESS },
	[OPTION_PROFILE] = { "--profile", CHOICE, ALL, 0, 0, profiles, OPTION_PROFILE },
	[OPTION_MAXPHYADDR] = { "--maxphyaddr", DECIMAL, ALL, 32, 52, NULL, OPTION_MAXPHYADDR },
	[OPTION_EPTP] = { "--eptp", HEX, ALL, 0, UINT64_MAX, NULL, OPTION_EPTP },
	[OPTION_MBEC] = { "--mbec", FLAG, ALL, 0, 0, NULL, OPTION_EPTP },
	[OPTION_NCR3] = { "--ncr3", HEX, ALL, 0, UINT64_MAX, NULL, OPTION_NCR3 },
	[OPTION_HCR0] = { "--hcr0", HEX, ALL, 0, UINT64_MAX, NULL, OPTION_NCR3 },
	[OPTION_HCR4] = { "--hcr4", HEX, ALL, 0, UINT64_MAX, NULL, OPTION_NCR3 },
	[OPTION_HEFER] = { "--hefer", HEX, ALL, 0, UINT64_MAX, NULL, OPTION_NCR3 },
	[OPTION_LIMIT] = { "--limit", DECIMAL, 1u << COMMAND_MAP, 1, UINT64_MAX, NULL, OPTION_LIMIT },
	[OPTION_OUTPUT] = { "-o", TEXT, 1u << COMMAND_CAPTURE, 0, 0, NULL, OPTION_OUTPUT },
	[OPTION_JSON] = { "--json", FLAG, ALL, 0, 0, NULL, OPTION_JSON },
	[OPTION_HELP] = { "--help", FLAG, ALL, 0, 0, NULL, OPTION_HELP },
	[OPTION_VERSION] = { "--version", FLAG, ALL, 0, 0, NULL, OPTION_VERSION },
};

static int parse_choice(const struct spec *s, struct value *v)
{
	char list[64] = "";

	for (v->number = 0; s->choices[v->number]; v->number++) {
		if (!strcmp(v->text, s->choices[v->number]))
			return STATUS_OK;
		strcat(strcat(list, list[0] ? ", " : ""), s->choices[v->number]);
	}
	return fail(s->name, "'%.100s' is none of %s", v->text, list);
}

static int parse_value(const struct spec *s, struct value *v)
{
	bool good = true;

	switch (s->kind) {
	case FLAG:
		v->number = 1;
		break;
	case CHOICE:
		return parse_choice(s, v);
	case HEX:
		good = parse_hex(v->text, &v->number) && v->number <= s->high;
		if (!good)
			return fail(s->name, "'%.100s' is not a hexadecimal number up to 0x%" PRIx64, v->text, s->high);
		break;
	case DECIMAL:
		good = parse_decimal(v->text, &v->number) && v->number >= s->low && v->number <= s->high;
		if (!good)
			return fail(s->name, "'%.100s' is not a decimal number from %" PRIu64 " to %" PRIu64, v->text,
				    s->low, s->high);
		break;
	case TEXT:
		if (!*v->text)
			return fail(s->name, "the name of a file is missing");
		break;
	}
	return STATUS_OK;
}

/* Takes argv[*at], "--name", "--name value" or "--name=value"; leaves *at at its last word. */
static int parse_option(struct options *o, char **argv, int *at)
{
	const char *name = argv[*at], *equals = NULL;
	size_t length, i;
	struct value *v;

	if (!strcmp(name, "-h"))
		name = "--help";
	else if (name[1] == '-')
		equals = strchr(name, '=');
	length = equals ? (size_t)(equals - name) : strlen(name);
	for (i = 0; i < OPTION_COUNT; i++)
		if (strlen(specs[i].name) == length && !strncmp(specs[i].name, name, length))
			break;
	if (i == OPTION_COUNT)
		return fail(name, "unknown option" SEE_HELP);

	v = &o->value[i];
	v->given = true;
	if (specs[i].kind == FLAG && equals)
		return fail(specs[i].name, "takes no value");
	if (specs[i].kind != FLAG) {
		v->text = equals ? equals + 1 : argv[++*at];
		if (!v->text)
			return fail(specs[i].name, "its value is missing");
	}
	return parse_value(&specs[i], v);
}

int parse_address(const char *text, uint64_t *va)
{
	if (!parse_hex(text, va))
		return fail(text, "not an address: 1 to 16 hexadecimal digits are expected");
	return STATUS_OK;
}

/* words: the command, the image, the addresses. */
static int parse_words(struct options *o, char **words, size_t count)
{
	size_t i, command = 0, wanted;

	if (!count)
		return fail("no command", "translate, explain, map or capture" SEE_HELP);
	while (command < COMMAND_COUNT && strcmp(words[0], commands[command]))
		command++;
	if (command == COMMAND_COUNT)
		return fail(words[0], "unknown command" SEE_HELP);
	o->command = (enum command)command;

	if (count < 2)
		return fail(words[0], "IMAGE is missing" SEE_HELP);
	o->image = words[1];
	o->count = count - 2;
	wanted = 1u << command & ADDRESSES ? 1 : 0;
	if (o->count < wanted)
		return fail(words[0], "an address is missing" SEE_HELP);
	if (o->count > wanted && command != COMMAND_TRANSLATE)
		return fail(words[2 + wanted], "one argument too many" SEE_HELP);

	o->addresses = calloc(count, sizeof(*o->addresses));
	if (!o->addresses)
		return fail(words[0], "out of memory");
	for (i = 0; i < o->count; i++) {
		struct address *a = &o->addresses[i];

		a->standard_input = command == COMMAND_TRANSLATE && !strcmp(words[2 + i], "-");
		if (!a->standard_input && parse_address(words[2 + i], &a->va))
			return STATUS_ERROR;
	}
	return STATUS_OK;
}

/* Options that the command, or the others, give no meaning. */
static int check_options(const struct options *o)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct spec *s = &specs[i];

		if (!o->value[i].given)
			continue;
		if (!(s->commands >> o->command & 1))
			return fail(s->name, "means nothing to %s" SEE_HELP, commands[o->command]);
		if (!o->value[s->needs].given)
			return fail(s->name, "means something only with %s", specs[s->needs].name);
	}
	if (o->value[OPTION_EPTP].given && o->value[OPTION_NCR3].given)
		return fail("--ncr3", "there is one second stage: --eptp or --ncr3");
	if (o->command == COMMAND_CAPTURE && !o->value[OPTION_OUTPUT].given)
		return fail("capture", "-o SMALL is missing" SEE_HELP);
	return STATUS_OK;
}

int options_parse(struct options *o, int argc, char **argv)
{
	bool only_words = false;
	size_t count = 0;

	*o = (struct options){ .image = NULL };
	/* Words move to the front of argv, where there is always room: they come from further behind. */
	for (int i = 1; i < argc; i++) {
		if (only_words || argv[i][0] != '-' || !argv[i][1])
			argv[count++] = argv[i];
		else if (!strcmp(argv[i], "--"))
			only_words = true;
		else if (parse_option(o, argv, &i))
			return STATUS_ERROR;
		if (o->value[OPTION_HELP].given || o->value[OPTION_VERSION].given)
			return STATUS_OK;
	}
	if (parse_words(o, argv, count))
		return STATUS_ERROR;
	return check_options(o);
}

void options_free(struct options *o)
{
	free(o->addresses);
	o->addresses = NULL;
}
