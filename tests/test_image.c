/* SPDX-License-Identifier: MIT */
/*
 * The memory images of the command (examples/pagewalk/image.h): every format read, every way in which a file can be
 * wrong with the line that it gets, and cores written and read back. All files are built here.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"
#include "suite.h"

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

/* A folder of the test's own, and the one file in it that most tests need. */
struct folder {
	char path[1000], file[1100];
};

static void make_folder(struct folder *f)
{
	const char *parent = getenv("TMPDIR");

	snprintf(f->path, sizeof(f->path), "%s/test_image.XXXXXX", parent && *parent ? parent : "/tmp");
	cr_assert(mkdtemp(f->path), "%s: %s", f->path, strerror(errno));
	snprintf(f->file, sizeof(f->file), "%s/image", f->path);
}

/* Calls remove() for all that is in the folder, if asked to; returns how many names that is. */
static int list_folder(const struct folder *f, bool remove_them)
{
	DIR *d = opendir(f->path);
	int count = 0;

	for (struct dirent *e; d && (e = readdir(d));) {
		char path[1400];

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(path, sizeof(path), "%s/%s", f->path, e->d_name);
		if (remove_them)
			remove(path);
		count++;
	}
	if (d)
		closedir(d);
	return count;
}

static void remove_folder(const struct folder *f)
{
	list_folder(f, true);
	cr_expect(!rmdir(f->path), "%s: %s", f->path, strerror(errno));
}

static void write_at(const char *path, const void *bytes, size_t size, off_t at)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	cr_assert(fd >= 0 && pwrite(fd, bytes, size, at) == (ssize_t)size, "%s: %s", path, strerror(errno));
	close(fd);
}

/* A file in the making. */
struct blob {
	unsigned char bytes[0x4000];
	size_t size;
};

static void put_le(unsigned char *p, size_t width, uint64_t value)
{
	for (size_t i = 0; i < width; i++)
		p[i] = (unsigned char)(value >> 8 * i & 0xff);
}

static void write_blob(const struct folder *f, const struct blob *b)
{
	unlink(f->file);
	write_at(f->file, b->bytes, b->size, 0);
}

/* What the physical memory of every file here holds. */
static unsigned char memory_at(uint64_t pa)
{
	return (unsigned char)((pa * 37 + (pa >> 8) * 11 + (pa >> 32)) & 0xff);
}

static void fill(unsigned char *p, uint64_t pa, size_t size)
{
	for (size_t i = 0; i < size; i++)
		p[i] = memory_at(pa + i);
}

/* Is [pa, pa + size) all there, with the right bytes? */
static bool reads(const struct image *im, uint64_t pa, size_t size)
{
	unsigned char got[3 * IMAGE_PAGE_SIZE];

	if (size > sizeof(got) || !image_read(im, pa, got, size))
		return false;
	for (size_t i = 0; i < size; i++)
		if (got[i] != memory_at(pa + i))
			return false;
	return true;
}

static bool window_is_right(const struct image *im, uint64_t pa)
{
	const unsigned char *page = image_window(im, pa);

	for (size_t i = 0; page && i < IMAGE_PAGE_SIZE; i++)
		if (page[i] != memory_at((pa & ~(uint64_t)(IMAGE_PAGE_SIZE - 1)) + i))
			return false;
	return page;
}

/* Opens what has to open. */
static void open_good(struct image *im, const struct folder *f)
{
	char error[IMAGE_ERROR_SIZE] = "";

	cr_assert(!image_open(im, f->file, error, sizeof(error)), "%s", error);
}

/* Expects "FILE: reason" of image_open(). */
static void expect_refusal(const struct folder *f, const char *name, const char *reason)
{
	char error[IMAGE_ERROR_SIZE] = "", expected[2 * IMAGE_ERROR_SIZE + 1000];
	struct image im;

	snprintf(expected, sizeof(expected), "%s: %s", f->file, reason);
	if (!image_open(&im, f->file, error, sizeof(error))) {
		image_close(&im);
		cr_expect(false, "%s => opened, expected: %s", name, expected);
	} else {
		cr_expect(!strcmp(error, expected), "%s => %s, expected: %s", name, error, expected);
	}
}

/*
 * The core that the tests below change: a note segment, and two pieces of memory that touch but are not one piece of
 * the file. Of the second one's last page p_filesz covers half.
 *   [10000, 11800) at 0x1008   [11800, 12000) at 0x3008, p_memsz to 12800
 */
enum {
	TABLE = sizeof(Elf64_Ehdr), NOTES = 0x200, QEMU_NOTE = NOTES + 20 + 336, QEMU_DATA = QEMU_NOTE + 20,
	NOTES_END = QEMU_DATA + 440
};

/* Where something is in the file, and its width. The QEMU note's data are a QEMUCPUState. */
#define FIELD(at, type, field) (at) + offsetof(type, field), sizeof(((type *)0)->field)
#define HEADER(field) FIELD(0, Elf64_Ehdr, field)
#define SEGMENT(i, field) FIELD(TABLE + (i) * sizeof(Elf64_Phdr), Elf64_Phdr, field)
#define SECTION(at, field) FIELD(at, Elf64_Shdr, field)
#define QEMU_RIP QEMU_DATA + 136, 8
#define QEMU_RFLAGS QEMU_DATA + 144, 8
#define QEMU_CS QEMU_DATA + 152, 4
#define QEMU_CS_FLAGS QEMU_DATA + 160, 4
#define QEMU_CR(i) QEMU_DATA + 392 + 8 * (i), 8

struct edit {
	size_t at, width;
	uint64_t value;
};

static void apply(struct blob *b, const struct edit *edits, size_t count)
{
	for (size_t i = 0; i < count; i++)
		put_le(b->bytes + edits[i].at, edits[i].width, edits[i].value);
}

static void put_segment(struct blob *b, unsigned i, uint32_t type, uint64_t offset, uint64_t pa, uint64_t filesz,
			uint64_t memsz)
{
	const struct edit edits[] = {
		{ SEGMENT(i, p_type), type }, { SEGMENT(i, p_offset), offset }, { SEGMENT(i, p_paddr), pa },
		{ SEGMENT(i, p_filesz), filesz }, { SEGMENT(i, p_memsz), memsz },
	};

	apply(b, edits, COUNT(edits));
}

static void put_note_header(struct blob *b, size_t at, const char *owner, uint64_t size, uint64_t type)
{
	put_le(b->bytes + at, 4, strlen(owner) + 1);
	put_le(b->bytes + at + 4, 4, size);
	put_le(b->bytes + at + 8, 4, type);
	memcpy(b->bytes + at + 12, owner, strlen(owner) + 1);
}

static void make_core(struct blob *b)
{
	const struct edit edits[] = {
		{ HEADER(e_type), ET_CORE }, { HEADER(e_machine), EM_X86_64 }, { HEADER(e_version), EV_CURRENT },
		{ HEADER(e_phoff), TABLE }, { HEADER(e_phentsize), sizeof(Elf64_Phdr) }, { HEADER(e_phnum), 3 },
		{ HEADER(e_ehsize), 8 }, /* so QEMU 7.2 */
		{ QEMU_DATA, 4, 1 }, { QEMU_DATA + 4, 4, 440 },
		{ QEMU_RIP, 0xffffffff81000abc }, { QEMU_RFLAGS, 0x40246 },
		{ QEMU_CS, 0x10 }, { QEMU_CS_FLAGS, 0x00af9b00 },
		{ QEMU_CR(0), 0x80050033 }, { QEMU_CR(2), 0x5794a9 }, { QEMU_CR(3), 0x10000 }, { QEMU_CR(4), 0x750eb0 },
	};

	memset(b, 0, sizeof(*b));
	memcpy(b->bytes, ELFMAG, SELFMAG);
	b->bytes[EI_CLASS] = ELFCLASS64;
	b->bytes[EI_DATA] = ELFDATA2LSB;
	b->bytes[EI_VERSION] = EV_CURRENT;
	put_segment(b, 0, PT_NOTE, NOTES, 0, NOTES_END - NOTES, NOTES_END - NOTES);
	put_segment(b, 1, PT_LOAD, 0x1008, 0x10000, 0x1800, 0x1800);
	put_segment(b, 2, PT_LOAD, 0x3008, 0x11800, 0x800, 0x1000);
	put_note_header(b, NOTES, "CORE", 336, NT_PRSTATUS);
	put_note_header(b, QEMU_NOTE, "QEMU", 440, 0);
	apply(b, edits, COUNT(edits));
	fill(b->bytes + 0x1008, 0x10000, 0x1800);
	fill(b->bytes + 0x3008, 0x11800, 0x800);
	b->size = 0x3808;
}

/* Two pieces that touch, a page, and a byte; and where their headers are in the file. */
static const uint64_t lime_ranges[][2] = {
	{ 0x1000, 0x2234 }, { 0x2235, 0x3000 }, { 0x5000, 0x5fff }, { 0x7000, 0x7000 }
};
enum {
	LIME_1 = 0, LIME_2 = LIME_1 + 0x20 + 0x1235, LIME_3 = LIME_2 + 0x20 + 0xdcc, LIME_4 = LIME_3 + 0x20 + 0x1000,
	LIME_END = LIME_4 + 0x20 + 1
};

static void make_lime(struct blob *b)
{
	memset(b, 0, sizeof(*b));
	for (size_t i = 0; i < COUNT(lime_ranges); i++) {
		uint64_t first = lime_ranges[i][0], last = lime_ranges[i][1];
		unsigned char *h = b->bytes + b->size;

		memcpy(h, "EMiL", 4);
		put_le(h + 4, 4, 1);
		put_le(h + 8, 8, first);
		put_le(h + 16, 8, last);
		fill(h + 32, first, (size_t)(last - first + 1));
		b->size += (size_t)(32 + last - first + 1);
	}
}

/* What is done to a good file, where it is cut (0: nowhere), and what is then said. */
struct bad {
	const char *name;
	struct edit edits[4];
	size_t cut;
	const char *reason;
};

static void expect_refusals(void (*make)(struct blob *), const struct bad *table, size_t count)
{
	struct folder f;
	struct blob b;

	make_folder(&f);
	for (size_t i = 0; i < count; i++) {
		make(&b);
		apply(&b, table[i].edits, COUNT(table[i].edits));
		if (table[i].cut)
			b.size = table[i].cut;
		write_blob(&f, &b);
		expect_refusal(&f, table[i].name, table[i].reason);
	}
	remove_folder(&f);
}

static const struct bad bad_cores[] = {
	{ "header cut", { { 0 } }, 63, "ELF header cut short: the file has 63 bytes" },
	{ "magic alone", { { 0 } }, 4, "ELF header cut short: the file has 4 bytes" },
	{ "header alone", { { HEADER(e_phnum), 0 } }, 64, "no memory in this core" },
	{ "ELF32", { { EI_CLASS, 1, ELFCLASS32 } }, 0, "not an x86-64 core: ELF class 1, not 64-bit" },
	{ "big-endian", { { EI_DATA, 1, ELFDATA2MSB } }, 0, "not an x86-64 core: not little-endian" },
	{ "AArch64", { { HEADER(e_machine), EM_AARCH64 } }, 0, "not an x86-64 core: e_machine 183" },
	{ "i386 not of QEMU", { { HEADER(e_machine), EM_386 }, { SEGMENT(0, p_type), PT_NULL } }, 0,
	  "not an x86-64 core: e_machine 3, and no QEMU note" },
	{ "executable", { { HEADER(e_type), ET_EXEC } }, 0, "ELF, but not a core: e_type 2" },
	{ "shared object", { { HEADER(e_type), ET_DYN } }, 0, "ELF, but not a core: e_type 3" },
	{ "small program headers", { { HEADER(e_phentsize), 32 } }, 0, "program headers of 32 bytes, 56 expected" },
	{ "no program headers", { { HEADER(e_phnum), 0 } }, 0, "no memory in this core" },
	{ "notes alone", { { HEADER(e_phnum), 1 } }, 0, "no memory in this core" },
	{ "nothing saved", { { SEGMENT(1, p_filesz), 0 }, { SEGMENT(2, p_filesz), 0 } }, 0, "no memory in this core" },
	{ "table cut", { { 0 } }, TABLE + 3 * sizeof(Elf64_Phdr) - 1,
	  "3 program headers at offset 0x40 end past the end of the file, 0xe7" },
	{ "table elsewhere", { { HEADER(e_phoff), 0xffffffffffffffff } }, 0,
	  "3 program headers at offset 0xffffffffffffffff end past the end of the file, 0x3808" },
	{ "table too long", { { HEADER(e_phnum), 0xfffe } }, 0,
	  "65534 program headers at offset 0x40 end past the end of the file, 0x3808" },
	{ "PN_XNUM, no sections", { { HEADER(e_phnum), PN_XNUM } }, 0,
	  "e_phnum is PN_XNUM, but section header 0, with the number, is not in the file" },
	{ "PN_XNUM, section past the end", { { HEADER(e_phnum), PN_XNUM }, { HEADER(e_shoff), 0x37c9 } }, 0,
	  "e_phnum is PN_XNUM, but section header 0, with the number, is not in the file" },
	{ "PN_XNUM, too many",
	  { { HEADER(e_phnum), PN_XNUM }, { HEADER(e_shoff), 0x100 }, { SECTION(0x100, sh_info), 0xffffffff } }, 0,
	  "4294967295 program headers at offset 0x40 end past the end of the file, 0x3808" },
	{ "memory cut", { { 0 } }, 0x3807,
	  "program header 2: PT_LOAD at offset 0x3008 + 0x800 ends past the end of the file, 0x3807" },
	{ "memory starts past the end", { { SEGMENT(1, p_offset), 0x3809 } }, 0,
	  "program header 1: PT_LOAD at offset 0x3809 + 0x1800 ends past the end of the file, 0x3808" },
	{ "offset + size wraps", { { SEGMENT(1, p_offset), 0xffffffffffffff00 } }, 0,
	  "program header 1: PT_LOAD at offset 0xffffffffffffff00 + 0x1800 ends past the end of the file, 0x3808" },
	{ "more in the file than in memory", { { SEGMENT(1, p_memsz), 0x17ff } }, 0,
	  "program header 1: p_filesz 0x1800 is larger than p_memsz 0x17ff" },
	{ "ends past 2^52", { { SEGMENT(2, p_paddr), 0xffffffffff001 } }, 0,
	  "program header 2: physical range 0xffffffffff001 + 0x1000 ends past 2^52" },
	{ "starts past 2^52", { { SEGMENT(2, p_paddr), 0x10000000000000 } }, 0,
	  "program header 2: physical range 0x10000000000000 + 0x1000 ends past 2^52" },
	{ "wraps past 2^64", { { SEGMENT(2, p_paddr), 0xfffffffffffff800 } }, 0,
	  "program header 2: physical range 0xfffffffffffff800 + 0x1000 ends past 2^52" },
	{ "size wraps past 2^64", { { SEGMENT(2, p_memsz), 0xffffffffffffffff } }, 0,
	  "program header 2: physical range 0x11800 + 0xffffffffffffffff ends past 2^52" },
	{ "overlap by a byte", { { SEGMENT(2, p_paddr), 0x117ff } }, 0,
	  "PT_LOADs overlap at physical address 0x117ff" },
	{ "the same memory twice", { { SEGMENT(2, p_paddr), 0x10000 } }, 0,
	  "PT_LOADs overlap at physical address 0x10000" },
	{ "one within the other", { { SEGMENT(2, p_paddr), 0x10800 } }, 0,
	  "PT_LOADs overlap at physical address 0x10800" },
	{ "notes past the end", { { SEGMENT(0, p_offset), 0x3800 } }, 0,
	  "program header 0: PT_NOTE at offset 0x3800 + 0x330 ends past the end of the file, 0x3808" },
	{ "note header cut", { { SEGMENT(0, p_filesz), NOTES_END - NOTES + 11 } }, 0,
	  "note at offset 0x530: header cut short" },
	{ "note data past the end", { { SEGMENT(0, p_filesz), NOTES_END - NOTES - 1 } }, 0,
	  "note at offset 0x364: runs past the end of its segment" },
	{ "note data of 4 GiB", { { QEMU_NOTE + 4, 4, 0xffffffff } }, 0,
	  "note at offset 0x364: runs past the end of its segment" },
	{ "note name of 4 GiB", { { QEMU_NOTE, 4, 0xffffffff } }, 0,
	  "note at offset 0x364: runs past the end of its segment" },
	{ "QEMU note too short", { { QEMU_NOTE + 4, 4, 431 }, { SEGMENT(0, p_filesz), NOTES_END - NOTES - 8 } }, 0,
	  "QEMU note of 431 bytes, at least 432 expected" },
	{ "QEMU note of the future", { { QEMU_DATA, 4, 2 } }, 0, "QEMU note of unknown version 2" },
};

Test(image, malformed_cores)
{
	expect_refusals(make_core, bad_cores, COUNT(bad_cores));
}

static const struct bad bad_limes[] = {
	{ "header cut", { { 0 } }, 31, "LiME header at offset 0x0: cut short" },
	{ "magic alone", { { 0 } }, 4, "LiME header at offset 0x0: cut short" },
	{ "version 0", { { LIME_1 + 4, 4, 0 } }, 0, "LiME header at offset 0x0: unknown version 0" },
	{ "version 2", { { LIME_2 + 4, 4, 2 } }, 0, "LiME header at offset 0x1255: unknown version 2" },
	{ "magic in the middle", { { LIME_2, 4, 0x4c694d44 } }, 0,
	  "LiME header at offset 0x1255: wrong magic 0x4c694d44" },
	{ "runs backward", { { LIME_1 + 16, 8, 0xfff } }, 0,
	  "LiME header at offset 0x0: range 0x1000 to 0xfff runs backward" },
	{ "overlap by a byte", { { LIME_2 + 8, 8, 0x2234 } }, 0,
	  "LiME header at offset 0x1255: range 0x2234 to 0x3000 overlaps the one before" },
	{ "the same again", { { LIME_2 + 8, 8, 0x1000 }, { LIME_2 + 16, 8, 0x2234 } }, 0,
	  "LiME header at offset 0x1255: range 0x1000 to 0x2234 overlaps the one before" },
	{ "goes backward", { { LIME_2 + 8, 8, 0 }, { LIME_2 + 16, 8, 0xfff } }, 0,
	  "LiME header at offset 0x1255: range 0x0 to 0xfff goes backward from the one before" },
	{ "past 2^52", { { LIME_3 + 8, 8, 0xffffffffff001 }, { LIME_3 + 16, 8, 0x10000000000000 } }, 0,
	  "LiME header at offset 0x2041: range 0xffffffffff001 to 0x10000000000000 ends past 2^52" },
	{ "everything", { { LIME_3 + 16, 8, 0xffffffffffffffff } }, 0,
	  "LiME header at offset 0x2041: range 0x5000 to 0xffffffffffffffff ends past 2^52" },
	{ "overlap from below", { { LIME_2 + 8, 8, 0xf00 }, { LIME_2 + 16, 8, 0x1000 } }, 0,
	  "LiME header at offset 0x1255: range 0xf00 to 0x1000 overlaps the one before" },
	{ "range cut", { { 0 } }, LIME_4 - 1,
	  "LiME range 0x5000 to 0x5fff at offset 0x2061 + 0x1000 ends past the end of the file, 0x3060" },
	{ "last range cut", { { 0 } }, LIME_END - 1,
	  "LiME range 0x7000 to 0x7000 at offset 0x3081 + 0x1 ends past the end of the file, 0x3081" },
	{ "last header cut", { { 0 } }, LIME_3 + 31, "LiME header at offset 0x2041: cut short" },
	{ "bytes after the last range", { { 0 } }, LIME_END + 1, "LiME header at offset 0x3082: cut short" },
};

Test(image, malformed_lime)
{
	expect_refusals(make_lime, bad_limes, COUNT(bad_limes));
}

Test(image, other_formats_by_name)
{
	static const struct {
		char magic[17];
		const char *name;
	} table[] = {
		{ "KDUMP   ", "a kdump-compressed dump" },
		{ "DISKDUMP", "a diskdump" },
		{ "makedumpfile", "a flattened makedumpfile dump" },
		{ "PAGEDUMP", "a Windows crash dump" },
		{ "PAGEDU64", "a Windows crash dump" },
		{ "AVML\2", "AVML's compressed format" },
		{ "QEVM\0\0\0\3", "a QEMU migration stream" },
		{ "LibvirtQemudSave", "a libvirt save file" },
	};
	struct folder f;
	struct blob b;

	make_folder(&f);
	for (size_t i = 0; i < COUNT(table); i++) {
		char reason[200];

		memset(&b, 0, sizeof(b));
		memcpy(b.bytes, table[i].magic, sizeof(table[i].magic));
		b.size = 16; /* the longest magic */
		write_blob(&f, &b);
		snprintf(reason, sizeof(reason), "%s cannot be read: write an ELF core, LiME or raw image",
			 table[i].name);
		expect_refusal(&f, table[i].name, reason);

		b.size = 3; /* too short for any format: 3 bytes of memory */
		struct image im;
		write_blob(&f, &b);
		open_good(&im, &f);
		cr_expect(im.format == IMAGE_RAW && im.size == 3, "%s", table[i].name);
		image_close(&im);
	}
	remove_folder(&f);
}

Test(image, not_a_file)
{
	struct folder f;

	make_folder(&f);
	expect_refusal(&f, "nothing", strerror(ENOENT));
	write_at(f.file, "", 0, 0);
	expect_refusal(&f, "empty", "empty file");
	cr_assert(!unlink(f.file) && !mkdir(f.file, 0700), "%s", strerror(errno));
	expect_refusal(&f, "folder", strerror(EISDIR));
	cr_assert(!rmdir(f.file) && !mkfifo(f.file, 0600), "%s", strerror(errno));
	expect_refusal(&f, "FIFO", "not a regular file");
	cr_assert(!unlink(f.file) && !symlink("image", f.file), "%s", strerror(errno));
	expect_refusal(&f, "link to itself", strerror(ELOOP));
	cr_assert(!unlink(f.file) && !symlink("/dev/zero", f.file), "%s", strerror(errno));
	expect_refusal(&f, "device", "not a regular file");
	remove_folder(&f);
}

Test(image, error_is_one_line_that_fits)
{
	static const struct {
		const char *path;
		size_t size;
		const char *expected;
	} table[] = {
		{ "no/such file%s", 512, "no/such file%s: No such file or directory" },
		{ "no/such\nfile\t\x1b[0m", 512, "no/such?file??[0m: No such file or directory" },
		{ "no/such/a/b/c/d/e/f", 47, "no/such/a/b/c/d/e/f: No such file or directory" },
		{ "no/such/a/b/c/d/e/f", 46, "...uch/a/b/c/d/e/f: No such file or directory" },
		{ "no/such/a/\xc3\xa4/c/d/e/f", 40, ".../c/d/e/f: No such file or directory" },
		{ "no/such", 29, "...: No such file or director" },
		{ "no/such", 5, "...:" },
		{ "no/such", 1, "" },
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		char error[513], expected[513];
		struct image im;

		memset(error, '#', sizeof(error));
		snprintf(expected, table[i].size, "%s", table[i].expected);
		cr_expect(image_open(&im, table[i].path, error, table[i].size) == -1, "%zu", i);
		cr_expect(!strcmp(error, expected), "%zu, %zu bytes => %s, expected %s", i, table[i].size, error,
			  expected);
		cr_expect(error[table[i].size] == '#', "%zu: written past the end", i);
	}
	struct image im;
	cr_expect(image_open(&im, "no/such", NULL, 0) == -1, "no buffer");
}

static bool is_there(uint64_t pa, size_t size, const uint64_t (*there)[2], size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (pa >= there[i][0] && pa <= there[i][1] && size - 1 <= there[i][1] - pa)
			return true;
	/* Or in two of them that touch. */
	for (size_t i = 1; i < count; i++)
		if (there[i][0] == there[i - 1][1] + 1 && pa >= there[i - 1][0] && pa <= there[i - 1][1] &&
		    size - 1 <= there[i][1] - pa)
			return true;
	return false;
}

/* Every read of 1 to 3 bytes around the bounds of what is there: first and last address of each piece. */
static void expect_memory(const struct image *im, const char *name, const uint64_t (*there)[2], size_t count)
{
	for (size_t i = 0; i < 2 * count; i++)
		for (uint64_t pa = there[i / 2][i & 1] - 3; pa != there[i / 2][i & 1] + 4; pa++)
			for (size_t n = 1; n <= 3; n++) {
				bool expected = is_there(pa, n, there, count);

				cr_expect(reads(im, pa, n) == expected, "%s: read of %zu at 0x%" PRIx64 " => %d", name,
					  n, pa, !expected);
			}
}

Test(image, core)
{
	static const uint64_t there[][2] = { { 0x10000, 0x11fff } };
	struct folder f;
	struct blob b;
	struct image im;

	make_folder(&f);
	make_core(&b);
	write_blob(&f, &b);
	open_good(&im, &f);
	cr_assert(im.format == IMAGE_ELF && im.count == 2, "%zu ranges", im.count);
	const struct image_range *a = im.ranges;
	cr_expect(a[0].start == 0x10000 && a[0].size == 0x1800 && a[0].offset == 0x1008, "the first");
	cr_expect(a[1].start == 0x11800 && a[1].size == 0x800 && a[1].offset == 0x3008, "the second");
	expect_memory(&im, "core", there, COUNT(there));
	cr_expect(reads(&im, 0x10000, 0x2000), "across the two pieces");
	cr_expect(window_is_right(&im, 0x10000) && window_is_right(&im, 0x10fff), "a whole page");
	cr_expect(!image_window(&im, 0x11000), "a page of two pieces");
	cr_expect(!image_window(&im, 0x12000) && !image_window(&im, 0xf000), "no page");
	cr_expect(!image_window(&im, UINT64_MAX), "no page");
	cr_expect(image_read(&im, 0, NULL, 0), "nothing is always there");
	cr_expect(!reads(&im, UINT64_MAX - 1, 4), "wraps");

	const struct image_registers *r = &im.registers;
	cr_expect(r->present && r->efer_derived && r->cs_l && r->cpl == 0 && r->cpus == 1, "CPU");
	cr_expect(!r->has_pkru && !r->has_pkrs && !r->has_eptp, "not in QEMU's note");
	cr_expect(r->cr0 == 0x80050033 && r->cr2 == 0x5794a9 && r->cr3 == 0x10000 && r->cr4 == 0x750eb0, "CRs");
	cr_expect(r->efer == 0xd00 && r->rip == 0xffffffff81000abc && r->rflags == 0x40246, "EFER, RIP, RFLAGS");
	image_close(&im);
	cr_expect(!im.bytes && !im.ranges && !im.count, "closed");
	image_close(&im); /* a second time is nothing */
	remove_folder(&f);
}

/* EFER, CPL and CS.L from what QEMU notes. */
Test(image, derived_registers)
{
	enum { PE = 1, PAE = 0x20, VM = 0x20000, L = 0xaf9b00, D = 0xcf9b00 };
	static const struct {
		const char *name;
		unsigned machine;
		uint64_t cr0, cr4, rflags, cs, cs_flags;
		uint64_t efer;
		unsigned cpl;
		bool cs_l;
	} table[] = {
		{ "kernel",              EM_X86_64, 0x80000001, PAE, 2,      0x10,   L, 0xd00, 0, true },
		{ "user",                EM_X86_64, 0x80000001, PAE, 2,      0x33,   L, 0xd00, 3, true },
		{ "32-bit user",         EM_X86_64, 0x80000001, PAE, 2,      0x23,   D, 0xd00, 3, false },
		{ "hypervisor's ring 1", EM_X86_64, 0x80000001, PAE, 2,      0x31,   L, 0xd00, 1, true },
		{ "PAE",                 EM_386,    0x80000001, PAE, 2,      0x08,   D, 0x800, 0, false },
		{ "32-bit",              EM_386,    0x80000001, 0,   2,      0x1b,   D, 0,     3, false },
		{ "virtual-8086",        EM_386,    0x80000001, 0,   VM | 2, 0xf000, D, 0,     3, false },
		{ "paging off",          EM_386,    PE,         PAE, 2,      0x08,   D, 0,     0, false },
		{ "real mode",           EM_386,    0,          0,   2,      0xf003, D, 0,     0, false },
		{ "x86-64, paging off",  EM_X86_64, PE,         PAE, 2,      0x08,   D, 0,     0, false },
		{ "x86-64, PAE off",     EM_X86_64, 0x80000001, 0,   2,      0x08,   D, 0,     0, false },
	};
	struct folder f;
	struct blob b;
	struct image im;

	make_folder(&f);
	for (size_t i = 0; i < COUNT(table); i++) {
		const struct edit edits[] = {
			{ HEADER(e_machine), table[i].machine }, { QEMU_CR(0), table[i].cr0 },
			{ QEMU_CR(4), table[i].cr4 }, { QEMU_RFLAGS, table[i].rflags },
			{ QEMU_CS, table[i].cs }, { QEMU_CS_FLAGS, table[i].cs_flags },
		};
		const struct image_registers *r = &im.registers;

		make_core(&b);
		apply(&b, edits, COUNT(edits));
		write_blob(&f, &b);
		open_good(&im, &f);
		cr_expect(r->present && r->efer_derived && r->efer == table[i].efer && r->cpl == table[i].cpl &&
			  r->cs_l == table[i].cs_l, "%s => EFER 0x%" PRIx64 " CPL %u CS.L %d", table[i].name, r->efer,
			  r->cpl, r->cs_l);
		image_close(&im);
	}
	remove_folder(&f);
}

/* Good cores that are not the usual one, each with what is read of it. */
Test(image, unusual_cores)
{
	static const struct {
		const char *name;
		struct edit edits[8];
		size_t ranges;
		uint64_t there[3][2];
		unsigned cpus;
	} table[] = {
		{ "two segments", { { HEADER(e_phnum), 2 } }, 1, { { 0x10000, 0x117ff } }, 1 },
		{ "no notes", { { SEGMENT(0, p_type), PT_NULL } }, 2, { { 0x10000, 0x11fff } }, 0 },
		{ "empty notes", { { SEGMENT(0, p_filesz), 0 }, { SEGMENT(0, p_offset), UINT64_MAX } },
		  2, { { 0x10000, 0x11fff } }, 0 },
		{ "notes of someone else", { { QEMU_NOTE + 12, 1, 'q' } }, 2, { { 0x10000, 0x11fff } }, 0 },
		{ "QEMU note of another type", { { QEMU_NOTE + 8, 4, 1 } }, 2, { { 0x10000, 0x11fff } }, 0 },
		{ "an old QEMU's note",
		  { { QEMU_NOTE + 4, 4, 432 }, { SEGMENT(0, p_filesz), NOTES_END - NOTES - 8 } },
		  2, { { 0x10000, 0x11fff } }, 1 },
		{ "an empty note at the end", { { SEGMENT(0, p_filesz), NOTES_END - NOTES + 12 } },
		  2, { { 0x10000, 0x11fff } }, 1 },
		{ "two CPUs",
		  { { HEADER(e_phnum), 4 }, { SEGMENT(3, p_type), PT_NOTE }, { SEGMENT(3, p_offset), QEMU_NOTE },
		    { SEGMENT(3, p_filesz), NOTES_END - QEMU_NOTE } },
		  2, { { 0x10000, 0x11fff } }, 2 },
		{ "PN_XNUM",
		  { { HEADER(e_phnum), PN_XNUM }, { HEADER(e_shoff), 0x180 }, { SECTION(0x180, sh_info), 3 } },
		  2, { { 0x10000, 0x11fff } }, 1 },
		{ "an unknown segment",
		  { { SEGMENT(2, p_type), 0x6474e551 }, { SEGMENT(2, p_offset), UINT64_MAX } },
		  1, { { 0x10000, 0x117ff } }, 1 },
		/* As QEMU's -p does for each mapping: within another; and a device, which is not saved. */
		{ "overlaps that agree",
		  { { HEADER(e_phnum), 4 }, { SEGMENT(2, p_paddr), 0x10800 }, { SEGMENT(2, p_offset), 0x1808 },
		    { SEGMENT(3, p_type), PT_LOAD }, { SEGMENT(3, p_paddr), 0xfee00000 },
		    { SEGMENT(3, p_memsz), 0x1000 }, { SEGMENT(3, p_offset), UINT64_MAX } },
		  1, { { 0x10000, 0x117ff } }, 1 },
		{ "the same twice",
		  { { SEGMENT(2, p_paddr), 0x10000 }, { SEGMENT(2, p_offset), 0x1008 } },
		  1, { { 0x10000, 0x117ff } }, 1 },
		{ "the second reaches further",
		  { { SEGMENT(1, p_filesz), 0x900 },
		    { SEGMENT(2, p_paddr), 0x10800 }, { SEGMENT(2, p_offset), 0x1808 } },
		  1, { { 0x10000, 0x10fff } }, 1 },
		{ "one piece in two",
		  { { SEGMENT(1, p_filesz), 0x800 },
		    { SEGMENT(2, p_paddr), 0x10800 }, { SEGMENT(2, p_offset), 0x1808 } },
		  1, { { 0x10000, 0x10fff } }, 1 },
		{ "a gap of a byte", { { SEGMENT(1, p_filesz), 0x17ff } },
		  2, { { 0x10000, 0x117fe }, { 0x11800, 0x11fff } }, 1 },
		{ "descending",
		  { { SEGMENT(1, p_paddr), 0x11800 }, { SEGMENT(1, p_offset), 0x3008 }, { SEGMENT(1, p_filesz), 0x800 },
		    { SEGMENT(2, p_paddr), 0x10000 }, { SEGMENT(2, p_offset), 0x1008 } },
		  2, { { 0x10000, 0x107ff }, { 0x11800, 0x11fff } }, 1 },
	};
	struct folder f;
	struct blob b;
	struct image im;

	make_folder(&f);
	for (size_t i = 0; i < COUNT(table); i++) {
		size_t count = 0;

		make_core(&b);
		apply(&b, table[i].edits, COUNT(table[i].edits));
		write_blob(&f, &b);
		open_good(&im, &f);
		cr_expect(im.count == table[i].ranges, "%s => %zu ranges", table[i].name, im.count);
		cr_expect(im.registers.cpus == table[i].cpus && im.registers.present == !!table[i].cpus &&
			  im.registers.efer_derived == !!table[i].cpus &&
			  im.registers.efer == (table[i].cpus ? 0xd00u : 0), "%s => %u CPUs, EFER 0x%" PRIx64,
			  table[i].name, im.registers.cpus, im.registers.efer);
		while (count < COUNT(table[i].there) && table[i].there[count][1])
			count++;
		expect_memory(&im, table[i].name, table[i].there, count);
		image_close(&im);
	}
	remove_folder(&f);
}

Test(image, lime)
{
	struct folder f;
	struct blob b;
	struct image im;

	make_folder(&f);
	make_lime(&b);
	cr_assert(b.size == LIME_END, "0x%zx bytes", b.size);
	write_blob(&f, &b);
	open_good(&im, &f);
	cr_expect(im.format == IMAGE_LIME && !im.registers.present, "LiME has no registers");
	cr_expect(im.count == COUNT(lime_ranges), "%zu ranges", im.count);
	expect_memory(&im, "LiME", lime_ranges, COUNT(lime_ranges));
	cr_expect(reads(&im, 0x1000, 0x2001), "across the two pieces");
	cr_expect(window_is_right(&im, 0x1234) && window_is_right(&im, 0x5000) && !image_window(&im, 0x2000), "pages");
	image_close(&im);
	remove_folder(&f);
}

Test(image, raw)
{
	static const size_t sizes[] = { 1, 3, 4, 31, 4095, 4096, 4097, 0x2064 };
	struct folder f;
	struct blob b = { .size = 0 };
	struct image im;

	make_folder(&f);
	fill(b.bytes, 0, sizeof(b.bytes));
	for (size_t i = 0; i < COUNT(sizes); i++) {
		const uint64_t there[][2] = { { 0, sizes[i] - 1 } };

		b.size = sizes[i];
		write_blob(&f, &b);
		open_good(&im, &f);
		cr_expect(im.format == IMAGE_RAW && !im.registers.present && im.count == 1, "%zu ranges", im.count);
		expect_memory(&im, "raw", there, 1);
		for (uint64_t pa = 0; pa < 0x4000; pa += 0x1000)
			cr_expect(window_is_right(&im, pa + 5) == (pa + 0x1000 <= sizes[i]), "%zu bytes, 0x%" PRIx64,
				  sizes[i], pa);
		image_close(&im);
	}
	remove_folder(&f);
}

/* Offsets over 4 GiB, in files that take no room on the disk. */
Test(image, large_sparse)
{
	const uint64_t size = UINT64_C(64) << 30, high = UINT64_C(5) << 30;
	struct folder f;
	struct blob b;
	struct image im;
	unsigned char page[IMAGE_PAGE_SIZE];

	make_folder(&f);
	if (SIZE_MAX < size) {
		write_at(f.file, "", 1, (off_t)size - 1);
		expect_refusal(&f, "64 GiB", "too large to be mapped on this machine: 68719476736 bytes");
		remove_folder(&f);
		return;
	}
	fill(page, size - sizeof(page), sizeof(page));
	write_at(f.file, page, sizeof(page), (off_t)(size - sizeof(page)));
	fill(page, high, sizeof(page));
	write_at(f.file, page, sizeof(page), (off_t)high);
	open_good(&im, &f);
	cr_expect(im.format == IMAGE_RAW && im.ranges[0].size == size, "raw");
	cr_expect(reads(&im, high, 4096) && reads(&im, size - 4096, 4096) && !reads(&im, size - 4095, 4096), "reads");
	cr_expect(window_is_right(&im, high) && window_is_right(&im, size - 1) && !image_window(&im, size), "pages");
	image_close(&im);

	/* The same file as a core: high in the file, higher in memory. */
	const uint64_t tera = UINT64_C(1) << 40, last = (UINT64_C(1) << 52) - 8;
	make_core(&b);
	put_segment(&b, 1, PT_LOAD, high + 8, tera, sizeof(page), sizeof(page));
	put_segment(&b, 2, PT_LOAD, size - 8, last, 8, 8);
	write_at(f.file, b.bytes, b.size, 0);
	fill(page, tera, sizeof(page));
	write_at(f.file, page, sizeof(page), (off_t)(high + 8));
	fill(page, last, 8);
	write_at(f.file, page, 8, (off_t)(size - 8));
	open_good(&im, &f);
	cr_expect(im.count == 2 && reads(&im, tera, 4096) && window_is_right(&im, tera), "above 4 GiB");
	cr_expect(reads(&im, last, 8) && !reads(&im, last, 9), "up to 2^52");
	image_close(&im);
	remove_folder(&f);
}

static bool same_registers(const struct image_registers *a, const struct image_registers *b)
{
	return a->present == b->present && a->efer_derived == b->efer_derived && a->has_pkru == b->has_pkru &&
	       a->has_pkrs == b->has_pkrs && a->has_eptp == b->has_eptp && a->cs_l == b->cs_l && a->cpl == b->cpl &&
	       a->cpus == b->cpus && a->cr0 == b->cr0 && a->cr2 == b->cr2 && a->cr3 == b->cr3 && a->cr4 == b->cr4 &&
	       a->efer == b->efer && a->rip == b->rip && a->rflags == b->rflags && a->pkru == b->pkru &&
	       a->pkrs == b->pkrs && a->eptp == b->eptp;
}

static const struct image_registers registers_to_write[] = {
	/* 64-bit kernel */
	{ .present = true, .cs_l = true, .cpus = 1, .cr0 = 0x80050033, .cr2 = 0x7fff12345678, .cr3 = 0x12345000,
	  .cr4 = 0x751eb0, .efer = 0xd01, .rip = 0xffffffff81000000, .rflags = 0x246 },
	/* as it comes from QEMU */
	{ .present = true, .efer_derived = true, .cs_l = true, .cpus = 1, .cr0 = 0x80050033, .cr3 = 0x3000, .cr4 = 0x20,
	  .efer = 0xd00 },
	/* everything known, user mode */
	{ .present = true, .has_pkru = true, .has_pkrs = true, .has_eptp = true, .cs_l = true, .cpl = 3, .cpus = 1,
	  .cr0 = 0x80010001, .cr3 = 0xfffffffff000, .cr4 = 0x20, .efer = 0x500, .rflags = 0x40002, .pkru = 0x55555554,
	  .pkrs = 0xcccccccc, .eptp = 0x1234506e },
	/* 32-bit code under a 64-bit kernel */
	{ .present = true, .cpl = 3, .cpus = 1, .cr0 = 0x80010001, .cr3 = 0x1000, .cr4 = 0x20, .efer = 0xd01 },
	/* PAE without NX, which no derivation would guess */
	{ .present = true, .cpl = 1, .cpus = 1, .cr0 = 0x80000001, .cr3 = 0x1fe0, .cr4 = 0x20 },
	/* 32-bit */
	{ .present = true, .cpl = 3, .cpus = 1, .cr0 = 0x80000001, .cr3 = 0xfffff000, .rip = 0xc0100000 },
	/* virtual-8086 mode, real mode */
	{ .present = true, .cpl = 3, .cpus = 1, .cr0 = 0x80000001, .cr3 = 0x1000, .rflags = 0x20002 },
	{ .present = true, .cpus = 1, .rip = 0xfff0, .rflags = 2 },
	/* none */
	{ .present = false },
};

Test(image, write_and_read_back)
{
	static const uint64_t order[] = {
		0x5000, 0x1000, 0x2000, 0xfffffffff000, 0x1000, 0x4000, 0xffffffffff000, 0xfffffffffe000, 0x2000
	};
	static const uint64_t runs[][2] = {
		{ 0x1000, 0x2fff }, { 0x4000, 0x5fff }, { 0xfffffffff000, 0xffffffffffff },
		{ 0xfffffffffe000, 0xfffffffffffff }
	};
	static unsigned char bytes[COUNT(order)][IMAGE_PAGE_SIZE];
	struct image_page pages[COUNT(order)];
	char error[IMAGE_ERROR_SIZE] = "";
	struct folder f;
	struct image im;

	make_folder(&f);
	for (size_t i = 0; i < COUNT(order); i++) {
		fill(bytes[i], order[i], IMAGE_PAGE_SIZE);
		pages[i] = (struct image_page){ order[i], bytes[i] };
	}
	for (size_t i = 0; i < COUNT(registers_to_write); i++) {
		const struct image_registers *r = &registers_to_write[i];

		cr_assert(!image_write_core(f.file, r, pages, COUNT(pages), error, sizeof(error)), "%s", error);
		cr_expect(list_folder(&f, false) == 1, "more than the file is left");
		open_good(&im, &f);
		cr_expect(im.format == IMAGE_ELF && same_registers(&im.registers, r), "registers %zu", i);
		cr_expect(im.count == COUNT(runs), "%zu ranges", im.count);
		cr_expect(im.bytes[offsetof(Elf64_Ehdr, e_phnum)] == COUNT(runs) + r->present, "program headers");
		for (size_t j = 0; j < COUNT(runs); j++)
			cr_expect(reads(&im, runs[j][0], (size_t)(runs[j][1] - runs[j][0] + 1)), "run %zu", j);
		expect_memory(&im, "written", runs, COUNT(runs));
		image_close(&im);
	}
	cr_expect(!image_write_core(f.file, NULL, pages, 1, error, sizeof(error)), "%s", error);
	open_good(&im, &f);
	cr_expect(!im.registers.present && im.count == 1, "no registers given");

	/* What an interrupted run left behind is in nobody's way, also if the process has the same number. */
	char left_over[1100];
	snprintf(left_over, sizeof(left_over), "%s/.pagewalk-%ld-0.tmp", f.path, (long)getpid());
	write_at(left_over, "", 0, 0);
	cr_expect(!image_write_core(f.file, NULL, pages, 1, error, sizeof(error)), "%s", error);
	cr_expect(list_folder(&f, false) == 2, "more than these two are left");

	/* Over itself: what is open stays as it was. */
	struct image_page again = { 0x7000, image_window(&im, 0x5000) };
	cr_expect(!image_write_core(f.file, NULL, &again, 1, error, sizeof(error)), "%s", error);
	cr_expect(reads(&im, 0x5000, 0x1000), "the old file");
	image_close(&im);
	open_good(&im, &f);
	const void *page = image_window(&im, 0x7000);
	cr_expect(page && !memcmp(page, bytes[0], IMAGE_PAGE_SIZE), "the new file");
	image_close(&im);
	remove_folder(&f);
}

static unsigned char *find_bytes(struct blob *b, const char *text)
{
	for (size_t i = 0; i + strlen(text) <= b->size; i++)
		if (!memcmp(b->bytes + i, text, strlen(text)))
			return b->bytes + i;
	return NULL;
}

/* What a reader that knows nothing of the PAGEWALK note finds in our file, and a PAGEWALK note that is wrong. */
Test(image, written_notes)
{
	static const unsigned char page[IMAGE_PAGE_SIZE];
	const struct image_page pages[] = { { 0x1000, page } };
	const struct image_registers *first = &registers_to_write[0];
	char error[IMAGE_ERROR_SIZE] = "";
	struct folder f;
	struct blob b;
	struct image im;

	make_folder(&f);
	cr_assert(!image_write_core(f.file, first, pages, 1, error, sizeof(error)), "%s", error);
	int fd = open(f.file, O_RDONLY);
	b.size = (size_t)read(fd, b.bytes, sizeof(b.bytes));
	close(fd);
	cr_assert(b.size == 0x2000, "0x%zx bytes", b.size);

	unsigned char *core = find_bytes(&b, "CORE"), *qemu = find_bytes(&b, "QEMU"), *own = find_bytes(&b, "PAGEWALK");
	cr_assert(core && qemu && own, "three notes");
	cr_expect(qemu - core == 8 + 336 + 12 && own - qemu == 8 + 440 + 12, "sizes of the notes");
	/* elf_prstatus: pid at 32, registers from 112 on, of which rip is number 16, then cs, rflags, rsp, ss. */
	static const unsigned char expected[] = {
		0, 0, 0, 0x81, 0xff, 0xff, 0xff, 0xff, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x46, 2, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0x18, 0, 0, 0, 0, 0, 0, 0
	};
	cr_expect(core[8 + 32] == 1, "the thread's number");
	cr_expect(!memcmp(core + 8 + 112 + 16 * 8, expected, sizeof(expected)), "the CORE note");

	memcpy(own, "ANYTHING", 8);
	write_blob(&f, &b);
	open_good(&im, &f);
	cr_expect(im.registers.efer_derived && im.registers.efer == 0xd00 && im.registers.cr3 == first->cr3 &&
		  im.registers.cs_l && im.registers.cpl == 0, "QEMU's note alone");
	image_close(&im);

	memcpy(own, "PAGEWALK", 8);
	own[12] = 7;
	write_blob(&f, &b);
	expect_refusal(&f, "version", "PAGEWALK note of unknown version 7");
	own[12] = 1;
	own[-8] = 44;
	write_blob(&f, &b);
	expect_refusal(&f, "size", "PAGEWALK note of 44 bytes, at least 48 expected");
	remove_folder(&f);
}

/* More segments than e_phnum can tell: every second page. */
Test(image, write_many_runs)
{
	enum { RUNS = PN_XNUM - 1 }; /* and the notes: PN_XNUM */
	static const unsigned char page[IMAGE_PAGE_SIZE] = "page";
	struct image_page *pages = calloc(RUNS, sizeof(*pages));
	char error[IMAGE_ERROR_SIZE] = "", start[5] = "";
	struct folder f;
	struct image im;

	make_folder(&f);
	cr_assert(pages, "out of memory");
	for (size_t i = 0; i < RUNS; i++)
		pages[i] = (struct image_page){ i * 2 * IMAGE_PAGE_SIZE, page };
	cr_assert(!image_write_core(f.file, &registers_to_write[0], pages, RUNS, error, sizeof(error)), "%s", error);
	open_good(&im, &f);
	cr_expect(im.count == RUNS && same_registers(&im.registers, &registers_to_write[0]), "%zu ranges", im.count);
	cr_expect(image_read(&im, pages[RUNS - 1].pa, start, 4) && !strcmp(start, "page"), "the last page");
	cr_expect(!memcmp(im.bytes + offsetof(Elf64_Ehdr, e_phnum), "\xff\xff", 2), "e_phnum is PN_XNUM");
	image_close(&im);
	free(pages);
	remove_folder(&f);
}

Test(image, write_errors)
{
	static const unsigned char page[IMAGE_PAGE_SIZE];
	static const struct {
		const char *name, *path; /* path: in the folder */
		uint64_t pa;
		size_t count;
		const char *reason;
		int code;                /* if not 0, its text follows the reason */
		rlim_t limit;            /* if not 0, as much as the disk takes */
	} table[] = {
		{ "no such folder", "no/such/core", 0x1000, 1, "cannot be written: ", ENOENT, 0 },
		{ "a file for a folder", "image/core", 0x1000, 1, "cannot be written: ", ENOTDIR, 0 },
		{ "a folder", ".", 0x1000, 1, "", EISDIR, 0 },
		{ "a device", "null", 0x1000, 1, "not a regular file", 0, 0 },
		{ "no pages", "core", 0x1000, 0, "no memory to write", 0, 0 },
		{ "inside a page", "core", 0x1008, 1, "0x1008 is not the physical address of a page", 0, 0 },
		{ "past 2^52", "core", 0x10000000000000, 1,
		  "0x10000000000000 is not the physical address of a page", 0, 0 },
		{ "the second past 2^52", "core", 0xffffffffff000, 2,
		  "0x10000000000000 is not the physical address of a page", 0, 0 },
		{ "disk full at once", "image", 0x1000, 1, "cannot be written: ", EFBIG, 100 },
		{ "disk full in the middle", "image", 0x1000, 3, "cannot be written: ", EFBIG, 9000 },
		{ "disk full at the end", "image", 0x1000, 1, "cannot be written: ", EFBIG, 8191 },
	};
	struct folder f;
	char null[1100];
	struct rlimit limit;

	make_folder(&f);
	write_at(f.file, "what was here", 13, 0);
	snprintf(null, sizeof(null), "%s/null", f.path);
	cr_assert(!symlink("/dev/null", null) && !getrlimit(RLIMIT_FSIZE, &limit), "%s", strerror(errno));
	void (*old)(int) = signal(SIGXFSZ, SIG_IGN);

	for (size_t i = 0; i < COUNT(table); i++) {
		const struct image_page pages[] = {
			{ table[i].pa, page }, { table[i].pa + 0x1000, page }, { table[i].pa + 0x2000, page }
		};
		char path[1100], error[IMAGE_ERROR_SIZE] = "", expected[1400];

		snprintf(path, sizeof(path), "%s/%s", f.path, table[i].path);
		snprintf(expected, sizeof(expected), "%s: %s%s", path, table[i].reason,
			 table[i].code ? strerror(table[i].code) : "");
		if (table[i].limit)
			setrlimit(RLIMIT_FSIZE, &(struct rlimit){ table[i].limit, limit.rlim_max });
		int status = image_write_core(path, NULL, pages, table[i].count, error, sizeof(error));
		setrlimit(RLIMIT_FSIZE, &limit);
		cr_expect(status == -1 && !strcmp(error, expected), "%s => %d %s, expected %s", table[i].name, status,
			  error, expected);
		cr_expect(list_folder(&f, false) == 2, "%s: left something behind", table[i].name);
	}
	signal(SIGXFSZ, old);

	char was[20] = "";
	int fd = open(f.file, O_RDONLY);
	cr_expect(read(fd, was, sizeof(was)) == 13 && !strcmp(was, "what was here"), "the old file is whole");
	close(fd);
	remove_folder(&f);
}
