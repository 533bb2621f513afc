/* SPDX-License-Identifier: MIT */
/*
 * Memory images: see image.h. Everything is decoded byte by byte, so the host's byte order and alignment do not
 * matter, and every offset is checked against the file before it is used. <elf.h> gives names and offsets only;
 * libelf would not do, because it hides truncation.
 */
#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#ifndef _FILE_OFFSET_BITS
#define _FILE_OFFSET_BITS 64
#endif

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"

#define PHYSICAL_END (UINT64_C(1) << 52) /* no x86 CPU has more physical address bits */

#define CR0_PE (UINT64_C(1) << 0)
#define CR0_PG (UINT64_C(1) << 31)
#define CR4_PAE (UINT64_C(1) << 5)
#define EFER_LME (UINT64_C(1) << 8)
#define EFER_LMA (UINT64_C(1) << 10)
#define EFER_NXE (UINT64_C(1) << 11)
#define RFLAGS_VM (UINT64_C(1) << 17)

/* A segment's flags are the second word of its descriptor. */
#define SEGMENT_CODE 0x9b00u
#define SEGMENT_DATA 0x9300u
#define SEGMENT_DPL_SHIFT 13
#define SEGMENT_L (1u << 21)
#define SEGMENT_DB (1u << 22)
#define SEGMENT_G (1u << 23)

/*
 * The "QEMU" note, QEMUCPUState: u32 version, size; u64 rax..r15, rip, rflags; ten segments of u32 selector, limit,
 * flags, pad and u64 base (cs ds es fs gs ss ldt tr gdt idt); u64 cr[5]; u64 kernel_gs_base. The last one came later.
 */
enum {
	QEMU_VERSION = 0, QEMU_SIZE = 4, QEMU_RIP = 136, QEMU_RFLAGS = 144, QEMU_CS = 152, QEMU_SS = 272, QEMU_CR = 392,
	QEMU_MINIMUM = 432, QEMU_WHOLE = 440,
	SEGMENT_LIMIT = 4, SEGMENT_FLAGS = 8 /* within a segment, whose first word is the selector */
};

/* The "PAGEWALK" note of image.h. */
enum {
	OWN_VERSION = 0, OWN_SIZE = 4, OWN_FLAGS = 8, OWN_EFER = 16, OWN_PKRU = 24, OWN_PKRS = 32, OWN_EPTP = 40,
	OWN_WHOLE = 48,
	OWN_EFER_DERIVED = 1, OWN_HAS_PKRU = 2, OWN_HAS_PKRS = 4, OWN_HAS_EPTP = 8
};

#define NOTES_SIZE 1024 /* more than the three notes that are written need */

/* LiME: u32 magic, version; u64 first and last address; 8 reserved bytes; then the bytes. */
enum { LIME_VERSION = 4, LIME_FIRST = 8, LIME_LAST = 16, LIME_HEADER = 32 };
#define LIME_MAGIC UINT32_C(0x4c694d45)

static uint64_t get(const unsigned char *p, size_t width)
{
	uint64_t value = 0;

	while (width--)
		value = value << 8 | p[width];
	return value;
}

static void put(unsigned char *p, uint64_t value, size_t width)
{
	for (size_t i = 0; i < width; i++, value >>= 8)
		p[i] = (unsigned char)(value & 0xff);
}

#define GET(p, type, field) get((p) + offsetof(type, field), sizeof(((type *)0)->field))
#define PUT(p, type, field, value) put((p) + offsetof(type, field), value, sizeof(((type *)0)->field))

/* Where errors go: the path that they name, and the caller's buffer. */
struct report {
	const char *path;
	char *text;
	size_t size;
};

#ifdef __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
static int fail(const struct report *r, const char *format, ...)
{
	char reason[256];
	const char *path = r->path, *cut = "";
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);

	size_t length = strlen(path), rest = strlen(": ") + strlen(reason) + 1;
	if (length + rest > r->size) { /* the reason matters more than the beginning of a long path */
		cut = "...";
		path += length - (r->size > rest + 3 ? r->size - rest - 3 : 0);
		while ((*path & 0xc0) == 0x80) /* no half of a UTF-8 character */
			path++;
	}
	snprintf(r->text, r->size, "%s%s: %s", cut, path, reason);
	for (char *c = r->text; r->size && *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return -1;
}

static int map_file(struct image *im, const struct report *r)
{
	/* Without O_NONBLOCK, opening a FIFO would wait for its writer. */
	int fd = open(r->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int status = -1;
	struct stat st;
	void *map;

	if (fd < 0)
		return fail(r, "%s", strerror(errno));
	if (fstat(fd, &st))
		fail(r, "%s", strerror(errno));
	else if (S_ISDIR(st.st_mode))
		fail(r, "%s", strerror(EISDIR));
	else if (!S_ISREG(st.st_mode))
		fail(r, "not a regular file");
	else if (!st.st_size)
		fail(r, "empty file");
	else if (im->size = (size_t)st.st_size, (uintmax_t)im->size != (uintmax_t)st.st_size)
		fail(r, "too large to be mapped on this machine: %jd bytes", (intmax_t)st.st_size);
	else if (map = mmap(NULL, im->size, PROT_READ, MAP_PRIVATE, fd, 0), map == MAP_FAILED)
		fail(r, "cannot be mapped: %s", strerror(errno));
	else {
		im->bytes = map;
		status = 0;
	}
	close(fd);
	return status;
}

/* Is [offset, offset + length) in the file? */
static bool inside(const struct image *im, uint64_t offset, uint64_t length)
{
	return offset <= im->size && length <= im->size - offset;
}

/* Before anything is merged, count tells the capacity too: it grows at the powers of two. */
static int add_range(struct image *im, const struct report *r, uint64_t start, uint64_t size, uint64_t offset)
{
	if (!(im->count & (im->count - 1))) {
		size_t capacity = im->count ? im->count * 2 : 1;
		struct image_range *ranges = NULL;

		if (capacity <= SIZE_MAX / sizeof(*ranges))
			ranges = realloc(im->ranges, capacity * sizeof(*ranges));
		if (!ranges)
			return fail(r, "%s", strerror(ENOMEM));
		im->ranges = ranges;
	}
	im->ranges[im->count++] = (struct image_range){ start, size, (size_t)offset };
	return 0;
}

static int compare_ranges(const void *a, const void *b)
{
	const struct image_range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/*
 * Sorts the ranges and joins those that are one piece of the file. With -p QEMU writes a PT_LOAD for every mapping of
 * the page tables, so they overlap; but the memory is there only once, and they agree on its place. Others are refused.
 */
static int merge_ranges(struct image *im, const struct report *r)
{
	struct image_range *last = im->ranges;

	qsort(im->ranges, im->count, sizeof(*im->ranges), compare_ranges);
	for (const struct image_range *next = last + 1; next < im->ranges + im->count; next++) {
		uint64_t distance = next->start - last->start;
		bool joined = next->offset >= last->offset && next->offset - last->offset == distance;

		if (distance > last->size || (distance == last->size && !joined))
			*++last = *next;
		else if (!joined)
			return fail(r, "PT_LOADs overlap at physical address 0x%" PRIx64, next->start);
		else if (next->size > last->size - distance)
			last->size = distance + next->size;
	}
	im->count = (size_t)(last - im->ranges) + 1;
	return 0;
}

static int parse_qemu_note(struct image_registers *to, const struct report *r, const unsigned char *note, uint32_t size)
{
	if (size < QEMU_MINIMUM)
		return fail(r, "QEMU note of %" PRIu32 " bytes, at least %d expected", size, QEMU_MINIMUM);
	if (get(note + QEMU_VERSION, 4) != 1)
		return fail(r, "QEMU note of unknown version %" PRIu64, get(note + QEMU_VERSION, 4));
	if (to->cpus++)
		return 0;
	to->present = true;
	to->rip = get(note + QEMU_RIP, 8);
	to->rflags = get(note + QEMU_RFLAGS, 8);
	to->cr0 = get(note + QEMU_CR, 8);
	to->cr2 = get(note + QEMU_CR + 2 * 8, 8);
	to->cr3 = get(note + QEMU_CR + 3 * 8, 8);
	to->cr4 = get(note + QEMU_CR + 4 * 8, 8);
	to->cs_l = get(note + QEMU_CS + SEGMENT_FLAGS, 4) & SEGMENT_L;
	to->cpl = note[QEMU_CS] & 3;
	if (!(to->cr0 & CR0_PE)) /* where the selector is the address / 16 */
		to->cpl = 0;
	else if (to->rflags & RFLAGS_VM)
		to->cpl = 3;
	return 0;
}

static int parse_own_note(struct image_registers *to, const struct report *r, const unsigned char *note, uint32_t size)
{
	if (size < OWN_WHOLE)
		return fail(r, "PAGEWALK note of %" PRIu32 " bytes, at least %d expected", size, OWN_WHOLE);
	if (get(note + OWN_VERSION, 4) != 1)
		return fail(r, "PAGEWALK note of unknown version %" PRIu64, get(note + OWN_VERSION, 4));

	uint64_t flags = get(note + OWN_FLAGS, 4);
	to->efer = get(note + OWN_EFER, 8);
	to->efer_derived = flags & OWN_EFER_DERIVED;
	to->has_pkru = flags & OWN_HAS_PKRU;
	to->has_pkrs = flags & OWN_HAS_PKRS;
	to->has_eptp = flags & OWN_HAS_EPTP;
	to->pkru = to->has_pkru ? get(note + OWN_PKRU, 8) : 0;
	to->pkrs = to->has_pkrs ? get(note + OWN_PKRS, 8) : 0;
	to->eptp = to->has_eptp ? get(note + OWN_EPTP, 8) : 0;
	return 0;
}

static bool owned_by(const unsigned char *name, uint64_t size, const char *owner)
{
	return size == strlen(owner) + 1 && !memcmp(name, owner, (size_t)size);
}

/* Reads the notes in [at, end) of the file; *own becomes true if a "PAGEWALK" note is among them. */
static int parse_notes(struct image *im, const struct report *r, size_t at, size_t end, bool *own)
{
	struct image_registers *to = &im->registers;

	while (at < end) {
		const unsigned char *note = im->bytes + at;
		uint64_t left = end - at;

		if (left < sizeof(Elf64_Nhdr))
			return fail(r, "note at offset 0x%zx: header cut short", at);

		uint64_t name_size = GET(note, Elf64_Nhdr, n_namesz);
		uint32_t size = (uint32_t)GET(note, Elf64_Nhdr, n_descsz);
		uint64_t type = GET(note, Elf64_Nhdr, n_type);
		uint64_t data = sizeof(Elf64_Nhdr) + ((name_size + 3) & ~UINT64_C(3));

		if (data > left || size > left - data)
			return fail(r, "note at offset 0x%zx: runs past the end of its segment", at);

		const unsigned char *name = note + sizeof(Elf64_Nhdr);
		if (owned_by(name, name_size, "QEMU") && !type) {
			if (parse_qemu_note(to, r, note + data, size))
				return -1;
		} else if (owned_by(name, name_size, "PAGEWALK") && !type) {
			if (parse_own_note(to, r, note + data, size))
				return -1;
			*own = true;
		}
		data += ((uint64_t)size + 3) & ~UINT64_C(3);
		at += (size_t)(data < left ? data : left); /* the last one's padding may be missing */
	}
	return 0;
}

static int parse_program_headers(struct image *im, const struct report *r, uint64_t count, uint64_t table, bool *own)
{
	for (uint64_t i = 0; i < count; i++) {
		const unsigned char *h = im->bytes + table + i * sizeof(Elf64_Phdr);
		uint64_t type = GET(h, Elf64_Phdr, p_type);
		uint64_t offset = GET(h, Elf64_Phdr, p_offset);
		uint64_t size = GET(h, Elf64_Phdr, p_filesz);
		uint64_t in_memory = GET(h, Elf64_Phdr, p_memsz);
		uint64_t start = GET(h, Elf64_Phdr, p_paddr);

		if (type == PT_LOAD && size > in_memory)
			return fail(r, "program header %" PRIu64 ": p_filesz 0x%" PRIx64 " is larger than p_memsz 0x%"
				    PRIx64, i, size, in_memory);
		if (type == PT_LOAD && in_memory && (start >= PHYSICAL_END || in_memory > PHYSICAL_END - start))
			return fail(r, "program header %" PRIu64 ": physical range 0x%" PRIx64 " + 0x%" PRIx64
				    " ends past 2^52", i, start, in_memory);
		/* QEMU gives a mapping of what it did not save p_filesz = 0 and p_offset = -1. */
		if ((type != PT_LOAD && type != PT_NOTE) || !size)
			continue;
		if (!inside(im, offset, size))
			return fail(r, "program header %" PRIu64 ": %s at offset 0x%" PRIx64 " + 0x%" PRIx64
				    " ends past the end of the file, 0x%zx", i, type == PT_LOAD ? "PT_LOAD" : "PT_NOTE",
				    offset, size, im->size);
		if (type == PT_NOTE) {
			if (parse_notes(im, r, (size_t)offset, (size_t)(offset + size), own))
				return -1;
		} else if (add_range(im, r, start, size, offset)) {
			return -1;
		}
	}
	return 0;
}

static int parse_elf(struct image *im, const struct report *r)
{
	const unsigned char *h = im->bytes;
	struct image_registers *to = &im->registers;
	bool own = false;

	if (im->size < sizeof(Elf64_Ehdr))
		return fail(r, "ELF header cut short: the file has %zu bytes", im->size);
	if (h[EI_CLASS] != ELFCLASS64)
		return fail(r, "not an x86-64 core: ELF class %u, not 64-bit", h[EI_CLASS]);
	if (h[EI_DATA] != ELFDATA2LSB)
		return fail(r, "not an x86-64 core: not little-endian");

	unsigned machine = (unsigned)GET(h, Elf64_Ehdr, e_machine);
	if (machine != EM_X86_64 && machine != EM_386)
		return fail(r, "not an x86-64 core: e_machine %u", machine);
	if (GET(h, Elf64_Ehdr, e_type) != ET_CORE)
		return fail(r, "ELF, but not a core: e_type %" PRIu64, GET(h, Elf64_Ehdr, e_type));

	uint64_t table = GET(h, Elf64_Ehdr, e_phoff), count = GET(h, Elf64_Ehdr, e_phnum);
	if (count == PN_XNUM) {
		uint64_t section = GET(h, Elf64_Ehdr, e_shoff);

		if (!section || !inside(im, section, sizeof(Elf64_Shdr)))
			return fail(r, "e_phnum is PN_XNUM, but section header 0, with the number, is not in the file");
		count = GET(h + section, Elf64_Shdr, sh_info);
	}
	if (count && GET(h, Elf64_Ehdr, e_phentsize) != sizeof(Elf64_Phdr))
		return fail(r, "program headers of %" PRIu64 " bytes, %zu expected", GET(h, Elf64_Ehdr, e_phentsize),
			    sizeof(Elf64_Phdr));
	if (count && !inside(im, table, count * sizeof(Elf64_Phdr)))
		return fail(r, "%" PRIu64 " program headers at offset 0x%" PRIx64
			    " end past the end of the file, 0x%zx", count, table, im->size);
	if (parse_program_headers(im, r, count, table, &own))
		return -1;

	/* In a file of anyone else's, EM_386 is no machine with 64-bit ELF. */
	if (machine == EM_386 && !to->present)
		return fail(r, "not an x86-64 core: e_machine %u, and no QEMU note", machine);
	if (!im->count)
		return fail(r, "no memory in this core");
	if (!to->present) {
		*to = (struct image_registers){ 0 };
	} else if (!own) {
		to->efer_derived = true;
		if ((to->cr0 & CR0_PG) && (to->cr4 & CR4_PAE))
			to->efer = EFER_NXE | (machine == EM_X86_64 ? EFER_LME | EFER_LMA : 0);
	}
	return merge_ranges(im, r);
}

static int parse_lime(struct image *im, const struct report *r)
{
	uint64_t free_from = 0; /* the lowest address that the next range may have */

	for (size_t at = 0; at < im->size;) {
		const unsigned char *h = im->bytes + at;

		if (im->size - at < LIME_HEADER)
			return fail(r, "LiME header at offset 0x%zx: cut short", at);
		if (get(h, 4) != LIME_MAGIC)
			return fail(r, "LiME header at offset 0x%zx: wrong magic 0x%08" PRIx64, at, get(h, 4));
		if (get(h + LIME_VERSION, 4) != 1)
			return fail(r, "LiME header at offset 0x%zx: unknown version %" PRIu64, at,
				    get(h + LIME_VERSION, 4));

		uint64_t first = get(h + LIME_FIRST, 8), last = get(h + LIME_LAST, 8);
		if (last < first)
			return fail(r, "LiME header at offset 0x%zx: range 0x%" PRIx64 " to 0x%" PRIx64
				    " runs backward", at, first, last);
		if (last >= PHYSICAL_END)
			return fail(r, "LiME header at offset 0x%zx: range 0x%" PRIx64 " to 0x%" PRIx64
				    " ends past 2^52", at, first, last);
		if (first < free_from) {
			bool overlap = last >= im->ranges[im->count - 1].start;

			return fail(r, "LiME header at offset 0x%zx: range 0x%" PRIx64 " to 0x%" PRIx64
				    " %s the one before", at, first, last, overlap ? "overlaps" : "goes backward from");
		}
		at += LIME_HEADER;
		if (!inside(im, at, last - first + 1))
			return fail(r, "LiME range 0x%" PRIx64 " to 0x%" PRIx64 " at offset 0x%zx + 0x%" PRIx64
				    " ends past the end of the file, 0x%zx", first, last, at, last - first + 1,
				    im->size);
		if (add_range(im, r, first, last - first + 1, at))
			return -1;
		at += (size_t)(last - first + 1);
		free_from = last + 1;
	}
	return 0;
}

/* Files that hold memory, or may be taken for it, in a form that is not read here. */
static const struct {
	const char *magic;
	size_t size;
	const char *name;
} refused[] = {
	{ "KDUMP   ", 8, "a kdump-compressed dump" },
	{ "DISKDUMP", 8, "a diskdump" },
	{ "makedumpfile", 12, "a flattened makedumpfile dump" }, /* dump-guest-memory -z, -l and -s */
	{ "PAGEDUMP", 8, "a Windows crash dump" },
	{ "PAGEDU64", 8, "a Windows crash dump" },
	{ "AVML\2\0\0\0", 8, "AVML's compressed format" },
	{ "QEVM\0\0\0\3", 8, "a QEMU migration stream" },
	{ "LibvirtQemudSave", 16, "a libvirt save file" },
};

static int parse(struct image *im, const struct report *r)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++)
		if (im->size >= refused[i].size && !memcmp(im->bytes, refused[i].magic, refused[i].size))
			return fail(r, "%s cannot be read: write an ELF core, LiME or raw image", refused[i].name);
	if (im->size >= SELFMAG && !memcmp(im->bytes, ELFMAG, SELFMAG)) {
		im->format = IMAGE_ELF;
		return parse_elf(im, r);
	}
	if (im->size >= 4 && get(im->bytes, 4) == LIME_MAGIC) {
		im->format = IMAGE_LIME;
		return parse_lime(im, r);
	}
	uint64_t size = im->size;
	if (size > PHYSICAL_END)
		return fail(r, "raw image of more than 2^52 bytes");
	return add_range(im, r, 0, size, 0);
}

int image_open(struct image *im, const char *path, char *error, size_t n)
{
	struct report r = { path, error, n };

	*im = (struct image){ .format = IMAGE_RAW };
	if (map_file(im, &r))
		return -1;
	if (!parse(im, &r))
		return 0;
	image_close(im);
	return -1;
}

void image_close(struct image *im)
{
	if (im->bytes)
		munmap((void *)(uintptr_t)im->bytes, im->size);
	free(im->ranges);
	*im = (struct image){ .format = IMAGE_RAW };
}

static const struct image_range *find_range(const struct image *im, uint64_t pa)
{
	size_t low = 0, high = im->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct image_range *range = &im->ranges[middle];

		if (pa < range->start)
			high = middle;
		else if (pa - range->start >= range->size)
			low = middle + 1;
		else
			return range;
	}
	return NULL;
}

bool image_read(const struct image *im, uint64_t pa, void *to, size_t n)
{
	unsigned char *out = to;

	while (n) {
		const struct image_range *range = find_range(im, pa);
		if (!range)
			return false;

		uint64_t skip = pa - range->start, left = range->size - skip;
		size_t part = left < n ? (size_t)left : n;
		memcpy(out, im->bytes + range->offset + skip, part);
		out += part;
		pa += part;
		n -= part;
	}
	return true;
}

const void *image_window(const struct image *im, uint64_t pa)
{
	pa &= ~(uint64_t)(IMAGE_PAGE_SIZE - 1);

	const struct image_range *range = find_range(im, pa);
	if (!range || range->size - (pa - range->start) < IMAGE_PAGE_SIZE)
		return NULL;
	return im->bytes + range->offset + (pa - range->start);
}

static int compare_pages(const void *a, const void *b)
{
	const struct image_page *x = a, *y = b;

	return (x->pa > y->pa) - (x->pa < y->pa);
}

/* Puts a note's header and owner at *at, moves *at past the note and returns where its data go. */
static unsigned char *put_note(unsigned char **at, const char *owner, uint32_t type, size_t size)
{
	unsigned char *note = *at;
	size_t name_size = strlen(owner) + 1;
	size_t data = sizeof(Elf64_Nhdr) + ((name_size + 3) & ~(size_t)3);

	PUT(note, Elf64_Nhdr, n_namesz, name_size);
	PUT(note, Elf64_Nhdr, n_descsz, size);
	PUT(note, Elf64_Nhdr, n_type, type);
	memcpy(note + sizeof(Elf64_Nhdr), owner, name_size);
	*at = note + data + ((size + 3) & ~(size_t)3);
	return note + data;
}

static void put_selector(unsigned char *segment, uint64_t selector, uint64_t flags)
{
	put(segment, selector, 4);
	put(segment + SEGMENT_LIMIT, UINT32_MAX, 4);
	put(segment + SEGMENT_FLAGS, flags, 4);
}

/* Fills notes[NOTES_SIZE], which is zero, and returns how much of it is used. */
static size_t build_notes(unsigned char *notes, const struct image_registers *from)
{
	bool lma = from->efer & EFER_LMA;
	uint64_t rpl = from->cpl & 3, cs = 0x10 | rpl, ss = 0x18 | rpl, flags = SEGMENT_G | rpl << SEGMENT_DPL_SHIFT;
	const uint64_t cr[5] = { from->cr0, 0, from->cr2, from->cr3, from->cr4 };
	unsigned char *at = notes, *p;

	/* NT_PRSTATUS differs with the machine type: the sizes, and where pid, ip, cs, flags and ss are. */
	p = put_note(&at, "CORE", NT_PRSTATUS, lma ? 336 : 144);
	size_t width = lma ? 8 : 4, ip = lma ? 112 + 16 * 8 : 72 + 12 * 4;
	put(p + (lma ? 32 : 24), 1, 4);
	put(p + ip, from->rip, width);
	put(p + ip + width, cs, width);
	put(p + ip + 2 * width, from->rflags, width);
	put(p + ip + 4 * width, ss, width);

	p = put_note(&at, "QEMU", 0, QEMU_WHOLE);
	put(p + QEMU_VERSION, 1, 4);
	put(p + QEMU_SIZE, QEMU_WHOLE, 4);
	put(p + QEMU_RIP, from->rip, 8);
	put(p + QEMU_RFLAGS, from->rflags, 8);
	put_selector(p + QEMU_CS, cs, SEGMENT_CODE | flags | (from->cs_l ? SEGMENT_L : SEGMENT_DB));
	put_selector(p + QEMU_SS, ss, SEGMENT_DATA | flags | SEGMENT_DB);
	for (size_t i = 0; i < 5; i++)
		put(p + QEMU_CR + i * 8, cr[i], 8);

	p = put_note(&at, "PAGEWALK", 0, OWN_WHOLE);
	put(p + OWN_VERSION, 1, 4);
	put(p + OWN_SIZE, OWN_WHOLE, 4);
	put(p + OWN_FLAGS, (from->efer_derived ? OWN_EFER_DERIVED : 0u) | (from->has_pkru ? OWN_HAS_PKRU : 0u) |
	    (from->has_pkrs ? OWN_HAS_PKRS : 0u) | (from->has_eptp ? OWN_HAS_EPTP : 0u), 4);
	put(p + OWN_EFER, from->efer, 8);
	put(p + OWN_PKRU, from->pkru, 8);
	put(p + OWN_PKRS, from->pkrs, 8);
	put(p + OWN_EPTP, from->eptp, 8);
	return (size_t)(at - notes);
}

static void put_segment(unsigned char *h, uint32_t type, uint64_t offset, uint64_t pa, uint64_t size)
{
	PUT(h, Elf64_Phdr, p_type, type);
	PUT(h, Elf64_Phdr, p_offset, offset);
	PUT(h, Elf64_Phdr, p_vaddr, pa); /* as QEMU does without -p */
	PUT(h, Elf64_Phdr, p_paddr, pa);
	PUT(h, Elf64_Phdr, p_filesz, size);
	PUT(h, Elf64_Phdr, p_memsz, size);
}

/*
 * All that precedes the pages, which ascend and are different; registers may be NULL.
 * Returns the block, for the caller to free, and its size; NULL: out of memory.
 */
static unsigned char *build_headers(const struct image_registers *registers, const struct image_page *pages,
				    size_t count, size_t *size)
{
	unsigned char notes[NOTES_SIZE] = { 0 };
	size_t notes_size = registers ? build_notes(notes, registers) : 0;
	size_t segments = notes_size ? 1 : 0;

	for (size_t i = 0; i < count; i++)
		segments += !i || pages[i].pa != pages[i - 1].pa + IMAGE_PAGE_SIZE;

	bool many = segments >= PN_XNUM; /* then section header 0 says how many */
	size_t section = sizeof(Elf64_Ehdr), table = section + (many ? sizeof(Elf64_Shdr) : 0);
	size_t note = table + segments * sizeof(Elf64_Phdr);
	/* QEMU does not align the memory; aligned, whoever maps the file has whole pages. */
	size_t memory = (note + notes_size + IMAGE_PAGE_SIZE - 1) & ~(size_t)(IMAGE_PAGE_SIZE - 1);
	unsigned char *file = calloc(memory, 1);
	if (!file)
		return NULL;

	memcpy(file, ELFMAG, SELFMAG);
	file[EI_CLASS] = ELFCLASS64;
	file[EI_DATA] = ELFDATA2LSB;
	file[EI_VERSION] = EV_CURRENT;
	PUT(file, Elf64_Ehdr, e_type, ET_CORE);
	PUT(file, Elf64_Ehdr, e_machine, registers && !(registers->efer & EFER_LMA) ? EM_386 : EM_X86_64); /* as QEMU */
	PUT(file, Elf64_Ehdr, e_version, EV_CURRENT);
	PUT(file, Elf64_Ehdr, e_ehsize, sizeof(Elf64_Ehdr));
	PUT(file, Elf64_Ehdr, e_phoff, table);
	PUT(file, Elf64_Ehdr, e_phentsize, sizeof(Elf64_Phdr));
	PUT(file, Elf64_Ehdr, e_phnum, many ? PN_XNUM : segments);
	if (many) {
		PUT(file, Elf64_Ehdr, e_shoff, section);
		PUT(file, Elf64_Ehdr, e_shentsize, sizeof(Elf64_Shdr));
		PUT(file, Elf64_Ehdr, e_shnum, 1);
		PUT(file + section, Elf64_Shdr, sh_info, segments);
	}

	unsigned char *h = file + table;
	if (notes_size) {
		memcpy(file + note, notes, notes_size);
		put_segment(h, PT_NOTE, note, 0, notes_size);
		h += sizeof(Elf64_Phdr);
	}
	for (size_t i = 0, end; i < count; i = end, h += sizeof(Elf64_Phdr)) {
		for (end = i + 1; end < count && pages[end].pa == pages[end - 1].pa + IMAGE_PAGE_SIZE;)
			end++;
		put_segment(h, PT_LOAD, memory + (uint64_t)i * IMAGE_PAGE_SIZE, pages[i].pa,
			    (uint64_t)(end - i) * IMAGE_PAGE_SIZE);
	}
	*size = memory;
	return file;
}

static bool write_all(FILE *f, const unsigned char *headers, size_t size, const struct image_page *pages, size_t count)
{
	if (fwrite(headers, 1, size, f) != size)
		return false;
	for (size_t i = 0; i < count; i++)
		if (fwrite(pages[i].bytes, 1, IMAGE_PAGE_SIZE, f) != IMAGE_PAGE_SIZE)
			return false;
	return true;
}

/* Returns 0 or the errno; after a failure the temporary file is gone. */
static int write_file(const char *path, const unsigned char *headers, size_t size, const struct image_page *pages,
		      size_t count)
{
	const char *slash = strrchr(path, '/');
	int folder = slash ? (int)(slash + 1 - path) : 0, code = 0;
	size_t room = (size_t)folder + 64;
	char *temporary = malloc(room);
	FILE *f = NULL;

	if (!temporary)
		return ENOMEM;
	errno = EEXIST;
	for (int i = 0; !f && errno == EEXIST && i < 100; i++) { /* one that was killed may have left its file */
		snprintf(temporary, room, "%.*s.pagewalk-%ld-%d.tmp", folder, path, (long)getpid(), i);
		f = fopen(temporary, "wx");
	}
	if (!f) {
		code = errno;
	} else {
		errno = EIO; /* should a failure not say which it is */
		if (!write_all(f, headers, size, pages, count))
			code = errno;
		if (fclose(f) && !code)
			code = errno;
		if (!code && rename(temporary, path))
			code = errno;
		if (code)
			unlink(temporary);
	}
	free(temporary);
	return code;
}

int image_write_core(const char *path, const struct image_registers *registers, const struct image_page *pages,
		     size_t count, char *error, size_t n)
{
	struct report r = { path, error, n };
	struct stat st;

	/* rename() would put a file in the place of /dev/null. */
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return fail(&r, "%s", S_ISDIR(st.st_mode) ? strerror(EISDIR) : "not a regular file");
	if (!count)
		return fail(&r, "no memory to write");
	for (size_t i = 0; i < count; i++)
		if (pages[i].pa % IMAGE_PAGE_SIZE || pages[i].pa >= PHYSICAL_END)
			return fail(&r, "0x%" PRIx64 " is not the physical address of a page", pages[i].pa);

	size_t size = 0, kept = 0;
	struct image_page *sorted = calloc(count, sizeof(*sorted));
	unsigned char *headers = NULL;
	int code = ENOMEM;

	if (sorted) {
		memcpy(sorted, pages, count * sizeof(*sorted));
		qsort(sorted, count, sizeof(*sorted), compare_pages);
		for (size_t i = 0; i < count; i++)
			if (!kept || sorted[i].pa != sorted[kept - 1].pa)
				sorted[kept++] = sorted[i];
		headers = build_headers(registers && registers->present ? registers : NULL, sorted, kept, &size);
	}
	if (headers)
		code = write_file(path, headers, size, sorted, kept);
	free(headers);
	free(sorted);
	return code ? fail(&r, "cannot be written: %s", strerror(code)) : 0;
}
