/* SPDX-License-Identifier: MIT */
/*
 * Memory images for the command: the physical memory of a machine, and where the image has them its registers.
 *
 * Read, and told apart by content:
 *   ELF core   what QEMU's dump-guest-memory writes (without or with -p), and what image_write_core() writes
 *   LiME       version 1, uncompressed
 *   raw        anything else: the offset in the file is the physical address
 * Formats that are known but not read (compressed kdump, Windows crash dumps and the like) are refused by name.
 *
 * The file is mapped, never read whole. Nothing here keeps hidden state: threads may share an open image.
 * A file that another process truncates while it is open makes the next access raise SIGBUS, as with any mapping.
 */
#ifndef IMAGE_H
#define IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMAGE_PAGE_SIZE 4096
#define IMAGE_ERROR_SIZE 512 /* enough for every error line; of a longer path the end is shown */

enum image_format { IMAGE_RAW, IMAGE_ELF, IMAGE_LIME };

/*
 * Registers of the first CPU. A core of QEMU's has CR0, CR2, CR3, CR4, RIP, RFLAGS and CS in its "QEMU" note, but no
 * EFER. Without a better source EFER is derived, for a CPU with CR0.PG = CR4.PAE = 1: LMA and LME from the machine
 * type, by which QEMU tells whether the first CPU was in long mode (EM_X86_64) or not (EM_386, in an ELF64 file too),
 * and NXE is assumed to be set. CS.L would not do: it is 0 in 32-bit code under a 64-bit kernel.
 *
 * The better source is the note that image_write_core() adds: owner "PAGEWALK", type 0, 48 bytes, little-endian:
 *   u32 version = 1, u32 size = 48, u32 flags, u32 zero, u64 efer, pkru, pkrs, eptp
 *   flags: 1 efer was derived, 2 pkru is known, 4 pkrs is known, 8 eptp is known
 * Fields may be appended to version 1; a reader ignores what it does not know.
 */
struct image_registers {
	bool present;                     /* false: the image has no registers, and all below is 0 */
	bool efer_derived;
	bool has_pkru, has_pkrs, has_eptp;
	bool cs_l;                        /* CS.L: 64-bit code; means nothing while EFER.LMA = 0 */
	unsigned cpl;                     /* CS & 3; real mode: 0, virtual-8086 mode: 3 */
	unsigned cpus;                    /* how many CPUs the image has registers of; only the first one's are here */
	uint64_t cr0, cr2, cr3, cr4, efer, rip, rflags;
	uint64_t pkru, pkrs, eptp;        /* 0 unless known */
};

/* A piece of physical memory: [start, start + size) is at `offset` of the file. */
struct image_range {
	uint64_t start, size;
	size_t offset;
};

/* Read the fields freely; only image_open() and image_close() write them. */
struct image {
	enum image_format format;
	const unsigned char *bytes;       /* the whole file */
	size_t size;
	struct image_range *ranges;       /* ascending, disjoint, none empty, all below 2^52 */
	size_t count;                     /* of ranges; at least 1 */
	struct image_registers registers;
};

/*
 * Returns 0, or -1 with one line "PATH: reason" in error[n] and nothing left to close. Control characters of the path
 * are shown as '?', so it is one line whatever the path.
 */
int image_open(struct image *im, const char *path, char *error, size_t n);
void image_close(struct image *im);

/*
 * Copies n bytes of physical memory. False: not all of them are in the image, and what `to` then holds is unspecified.
 * A read may span ranges that touch.
 */
bool image_read(const struct image *im, uint64_t pa, void *to, size_t n);

/*
 * The 4 KiB page that pa lies in, without a copy: valid until image_close(), aligned to nothing.
 * NULL if the file does not hold the whole page in one piece; image_read() may still succeed.
 */
const void *image_window(const struct image *im, uint64_t pa);

/* A page to write: pa is a multiple of IMAGE_PAGE_SIZE below 2^52, and bytes points to IMAGE_PAGE_SIZE bytes. */
struct image_page {
	uint64_t pa;
	const void *bytes;
};

/*
 * Writes an ELF core as dump-guest-memory lays it out: a segment with the notes "CORE", "QEMU" and "PAGEWALK" of one
 * CPU (none if registers is NULL or not present), and one PT_LOAD for each run of adjacent pages. Of the CPU there is
 * what struct image_registers holds, and CS and SS of flat segments at cpl; all other registers are zero.
 * Pages may come in any order; of pages with the same pa one is written.
 *
 * Returns 0, or -1 with a line in error[n] as image_open() does. The file is written beside its place and renamed into
 * it, so `path` holds the whole core or what it held before. A path that exists and is no regular file is refused.
 */
int image_write_core(const char *path, const struct image_registers *registers, const struct image_page *pages,
		     size_t count, char *error, size_t n);

#endif
