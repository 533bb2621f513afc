/* SPDX-License-Identifier: MIT */
/* entry.h: one entry of a table of any format, taken apart by the library's own functions. */
#ifndef ENTRY_H
#define ENTRY_H

#include <pagewalk/pagewalk.h>

struct entry {
	uint64_t reserved; /* bits that are set and must be 0 */
	uint64_t target;   /* the page that it maps, or the next table */
	unsigned access;   /* PAGEWALK_ACC_... */
	unsigned shift;    /* log2 of what it covers */
	bool present, good; /* good: present and well-formed; only then the fields below and target count */
	bool last;         /* it maps a page */
};

/* pte: an entry of the level, of a table that w walks. */
struct entry entry_decode(const struct kvm_pagewalk *w, int level, uint64_t pte);

/* Entries in a table of the level, and the bytes of one. */
unsigned entry_count(const struct kvm_pagewalk *w, int level);
unsigned entry_size(const struct kvm_pagewalk *w);

/* PML5E ... PTE */
const char *entry_name(int level);

enum { ENTRY_FLAGS = 20 };

/* The names of the flags that mean something in this entry; returns how many. */
unsigned entry_flags(const struct kvm_pagewalk *w, int level, uint64_t pte, const char *names[ENTRY_FLAGS]);

#endif
