/* SPDX-License-Identifier: MIT */
/*
 * machine.h: an image and the options become a machine: memory, registers, and the walkers that translate as its CPU
 * does. Never writes the image: no A or D flag is ever set.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <pagewalk/pagewalk.h>

#include "image.h"
#include "options.h"

/* A walker and the memory that its read_gpte reads. */
struct stage {
	struct kvm_pagewalk walk;
	const struct image *image;
};

struct machine {
	struct image image;
	const char *path;                 /* of the image, for errors */
	struct image_registers registers; /* the image's, with what the options change */
	struct stage guest, nested;       /* nested: if guest.walk.ngpa_walk is not NULL */
	uint64_t access;                  /* PAGEWALK_ACCESS_...: the one that is asked about */

	/* PAE: how the load of the PDPTE registers went; otherwise OK. */
	enum pagewalk_status pdpte_status;
	struct pagewalk_walk pdpte_load;

	/* Registers that neither the image nor the options tell. */
	struct {
		const char *name;
		uint64_t value;
	} assumed[4];
	unsigned assumed_count;
};

/* STATUS_OK, or STATUS_ERROR, said so, and nothing to close. The machine must not be moved; o must outlive it. */
int machine_open(struct machine *m, const struct options *o);
void machine_close(struct machine *m);
/* Says which registers are assumed, if any. */
void machine_note(const struct machine *m);

/* What the CPU does with the access to va. */
enum pagewalk_status machine_translate(const struct machine *m, uint64_t va, struct pagewalk_walk *out);

/* The page of memory at pa; NULL if not all of it is in the image. copy is used where the file has it in pieces. */
const unsigned char *machine_page(const struct machine *m, uint64_t pa, unsigned char copy[IMAGE_PAGE_SIZE]);

/* Little-endian; size 4 or 8. */
static inline uint64_t machine_number(const unsigned char *bytes, unsigned size)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < 4; i++)
		number |= (uint64_t)bytes[i] << 8 * i;
	return size == 4 ? number : number | machine_number(bytes + 4, 4) << 32;
}

/* The walker of the second stage, or NULL. */
static inline const struct kvm_pagewalk *machine_second_stage(const struct machine *m)
{
	return m->guest.walk.ngpa_walk;
}

#endif
