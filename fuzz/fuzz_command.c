/* SPDX-License-Identifier: MIT */
/*
 * fuzz_command: the whole command, with any memory image, registers and addresses, on its standard streams.
 *
 * It ends with a status that it may end with. An error is one line on standard error, and all that is there; output is
 * whole lines, with --json an object each; translate answers each address. A capture can be opened again, and where
 * the image lacks no table it translates to the same.
 */
#include <inttypes.h>
#include <jansson.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

#define main command_main
#include "main.c"
#undef main
#include "report.c" /* whose state ends with the process; here a process has many runs */

#define MAX_WORDS 32
#define ADDRESSES 4
#define SPARSE_WORDS (8 * 512)
#define MAP_LIMIT 4096
#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number

static const char *const commands[] = { "translate", "explain", "map", "capture" };

/* ---- One run of the command -------------------------------------------------------------------------- */

struct outcome {
	int status;
	char *out, *err;
	size_t out_size, err_size;
};

/* words: up to a NULL. */
static struct outcome run_command(const char *const *words, const char *input, size_t size)
{
	FILE *saved[3] = { stdin, stdout, stderr };
	struct outcome r = { .out = NULL };
	char *argv[MAX_WORDS]; /* the command's to change */
	int argc = 0;

	for (; words[argc]; argc++) {
		REQUIRE(argc < MAX_WORDS - 1);
		argv[argc] = (char *)(uintptr_t)words[argc];
	}
	argv[argc] = NULL;
	output_error = 0;
	note_count = 0;
	stdin = fmemopen((char *)(uintptr_t)input, size, "r");
	stdout = open_memstream(&r.out, &r.out_size);
	stderr = open_memstream(&r.err, &r.err_size);
	REQUIRE(stdin && stdout && stderr);
	r.status = command_main(argc, argv);
	fclose(stdin);
	fclose(stdout);
	fclose(stderr);
	stdin = saved[0];
	stdout = saved[1];
	stderr = saved[2];
	return r;
}

static void free_outcome(struct outcome *r)
{
	free(r->out);
	free(r->err);
}

/* Whole lines without control characters; how many. prefix: what each begins with. */
static size_t check_lines(const char *text, size_t size, const char *prefix, bool json)
{
	size_t lines = 0;

	REQUIRE(!size || text[size - 1] == '\n');
	for (const char *start = text, *end; start < text + size; start = end + 1, lines++) {
		end = strchr(start, '\n');
		REQUIRE(end && end > start && !strncmp(start, prefix, strlen(prefix)));
		for (const char *c = start; c < end; c++)
			REQUIRE((unsigned char)*c >= ' ' && *c != 0x7f);
		if (json) {
			json_error_t error;
			json_t *object = json_loadb(start, (size_t)(end - start), JSON_REJECT_DUPLICATES, &error);

			REQUIRE(json_is_object(object));
			json_decref(object);
		}
	}
	return lines;
}

/* How many lines of output there are. */
static size_t check_outcome(const struct outcome *r, bool json)
{
	size_t said = check_lines(r->err, r->err_size, "pagewalk: ", false);

	REQUIRE(r->status == STATUS_OK || r->status == STATUS_FAULTS || r->status == STATUS_ERROR);
	REQUIRE(r->status != STATUS_ERROR || said == 1);
	return check_lines(r->out, r->out_size, "", json);
}

/* ---- Files ------------------------------------------------------------------------------------------- */

/* A raw image of 8 pages, zero but for some words: ten bytes each, the word's number and its value. */
static const uint8_t *sparse_image(struct input *in)
{
	static uint8_t bytes[SPARSE_WORDS * 8];

	memset(bytes, 0, sizeof(bytes));
	while (in->left) {
		size_t at = input_take(in, 2) % SPARSE_WORDS * 8;
		uint64_t value = input_take(in, 8);

		for (unsigned i = 0; i < 8; i++)
			bytes[at + i] = (uint8_t)(value >> 8 * i & 0xff);
	}
	return bytes;
}

static const char *image_path(const uint8_t *bytes, size_t size)
{
	static char path[64];
	static int file = -1;

	if (file < 0) {
		file = memfd_create("image", 0);
		REQUIRE(file >= 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	}
	REQUIRE(!ftruncate(file, 0) && pwrite(file, bytes, size, 0) == (ssize_t)size);
	return path;
}

static char capture_folder[] = "/tmp/fuzz_command.XXXXXX", capture_file[sizeof(capture_folder) + 8];

static void remove_folder(void)
{
	rmdir(capture_folder);
}

static const char *capture_path(void)
{
	if (!*capture_file) {
		REQUIRE(mkdtemp(capture_folder) && !atexit(remove_folder));
		snprintf(capture_file, sizeof(capture_file), "%s/small", capture_folder);
	}
	return capture_file;
}

/* ---- An input ---------------------------------------------------------------------------------------- */

struct options_text {
	char text[16][40];
	unsigned count;
	bool lasting; /* a capture carries them over: not so a profile or a width; and --rflags says that AC counts */
};

/* Which registers, a byte; the CPU and the access, two; then a number for each register. */
static void take_options(struct options_text *o, struct input *in, unsigned command)
{
	static const struct {
		const char *name;
		unsigned size;
		bool second; /* a second stage: translate and explain only */
	} registers[] = {
		{ "--cr3", 8, false }, { "--cr0", 4, false }, { "--cr4", 4, false }, { "--efer", 2, false },
		{ "--pkru", 4, false }, { "--rflags", 3, false }, { "--eptp", 8, true }, { "--ncr3", 8, true },
	};
	static const char *const profiles[] = { "intel", "amd", "kvm-intel", "kvm-amd" };
	unsigned which = (unsigned)input_take(in, 1), more = (unsigned)input_take(in, 2);

#define ADD(...) snprintf(o->text[o->count++], sizeof(o->text[0]), __VA_ARGS__)
	o->count = 0;
	o->lasting = !(more & 9) && !(which & 32);
	for (unsigned i = 0; i < sizeof(registers) / sizeof(*registers); i++)
		if ((which >> i & 1) && (command < COMMAND_MAP || !registers[i].second))
			ADD("%s=%" PRIx64, registers[i].name, input_take(in, registers[i].size));
	if (more & 1)
		ADD("--profile=%s", profiles[more >> 1 & 3]);
	if (more & 8)
		ADD("--maxphyaddr=%u", 32 + (more >> 4 & 31) % 21);
	if (command >= COMMAND_MAP)
		return;
	if (more & 512)
		ADD("--cpl=%u", more >> 10 & 3);
	if (more & 4096)
		ADD("--access=%c", "wx"[more >> 13 & 1]);
	if ((more & 16384) && (which & 64))
		ADD("--mbec");
#undef ADD
}

/* A command line; its words end with a NULL. */
struct words {
	const char *word[MAX_WORDS];
	unsigned count;
};

static void add_word(struct words *w, const char *word)
{
	REQUIRE(w->count < MAX_WORDS - 1);
	w->word[w->count++] = word;
	w->word[w->count] = NULL;
}

static void start_words(struct words *w, const char *command, const char *image, const struct options_text *o)
{
	w->count = 0;
	add_word(w, "pagewalk");
	add_word(w, command);
	add_word(w, image);
	for (unsigned i = 0; o && i < o->count; i++)
		add_word(w, o->text[i]);
}

/* What translate says of the image with these options, and of the capture without any: the registers are in it. */
static void check_capture(const char *image, const struct options_text *o, const char *addresses, size_t size)
{
	struct outcome before, after;
	struct words w;

	start_words(&w, "translate", image, o);
	add_word(&w, "-");
	before = run_command(w.word, addresses, size);
	start_words(&w, "translate", capture_path(), NULL);
	add_word(&w, "-");
	after = run_command(w.word, addresses, size);
	check_outcome(&before, false);
	check_outcome(&after, false);
	REQUIRE(before.status != STATUS_ERROR && after.status != STATUS_ERROR);
	if (!strstr(before.out, "no-memory"))
		REQUIRE(after.status == before.status && !strcmp(after.out, before.out));
	free_outcome(&before);
	free_outcome(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	unsigned kind = (unsigned)input_take(&in, 1), command = kind & 3;
	bool json = kind & 4, free_text = (kind & 8) && command == COMMAND_TRANSLATE;
	char addresses[ADDRESSES * 18], first[20];
	struct options_text options;
	const char *image, *text;
	struct outcome r;
	struct words w;
	size_t n = 0, lines;

	/* The layout is in fuzz/seeds.pl too. */
	take_options(&options, &in, command);
	for (unsigned i = 0; i < ADDRESSES; i++)
		n += (size_t)snprintf(addresses + n, sizeof(addresses) - n, "%" PRIx64 "\n", input_take(&in, 8));
	text = addresses;
	if (free_text) { /* standard input as it comes, up to a zero */
		const uint8_t *end = in.left ? memchr(in.bytes, 0, in.left) : NULL;

		free_text = end && end > in.bytes;
		if (free_text) {
			text = (const char *)in.bytes;
			n = (size_t)(end - in.bytes);
			in.left -= n + 1;
			in.bytes = end + 1;
		}
	}
	image = kind & 16 ? image_path(sparse_image(&in), SPARSE_WORDS * 8) : image_path(in.bytes, in.left);

	start_words(&w, commands[command], image, &options);
	if (json)
		add_word(&w, "--json");
	switch (command) {
	case COMMAND_TRANSLATE:
		add_word(&w, "-");
		break;
	case COMMAND_EXPLAIN:
		snprintf(first, sizeof(first), "%.*s", (int)strcspn(addresses, "\n"), addresses);
		add_word(&w, first);
		break;
	case COMMAND_MAP:
		add_word(&w, "--limit=" TEXT_OF(MAP_LIMIT));
		break;
	case COMMAND_CAPTURE:
		add_word(&w, "-o");
		add_word(&w, capture_path());
		break;
	}
	r = run_command(w.word, text, n);
	lines = check_outcome(&r, json);
	REQUIRE(command != COMMAND_TRANSLATE || free_text || r.status == STATUS_ERROR || lines == ADDRESSES);
	REQUIRE(command != COMMAND_MAP || lines <= MAP_LIMIT);
	if (command == COMMAND_CAPTURE && r.status == STATUS_OK && options.lasting && !strstr(r.err, "left out"))
		check_capture(image, &options, addresses, n);
	if (command == COMMAND_CAPTURE)
		unlink(capture_path());
	free_outcome(&r);
	return 0;
}
