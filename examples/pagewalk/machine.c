/* SPDX-License-Identifier: MIT */
/* From an image and options to walkers: see machine.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "machine.h"
#include "report.h"

/* Long mode as every system has it, where nothing tells the registers. */
#define ASSUMED_CR0 (PAGEWALK_CR0_PG | PAGEWALK_CR0_WP | PAGEWALK_CR0_PE)
#define ASSUMED_CR4 PAGEWALK_CR4_PAE
#define ASSUMED_EFER (PAGEWALK_EFER_LME | PAGEWALK_EFER_LMA | PAGEWALK_EFER_NXE)

static int read_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	const struct stage *s = PAGEWALK_CONTAINER_OF(w, struct stage, walk);
	unsigned char bytes[8];

	if (!image_read(s->image, pa, bytes, size))
		return -1;
	*gpte = machine_number(bytes, size);
	return 0;
}

/* ---- Registers ------------------------------------------------------------------------------- */

static void choose(struct machine *m, uint64_t *reg, const struct value *option, const char *name, bool known,
		   uint64_t otherwise)
{
	if (option->given) {
		*reg = option->number;
	} else if (!known) {
		*reg = otherwise;
		m->assumed[m->assumed_count].name = name;
		m->assumed[m->assumed_count++].value = otherwise;
	}
}

/* Registers from options, then from the image, then the usual ones. */
static int choose_registers(struct machine *m, const struct options *o)
{
	const struct value *v = o->value;
	struct image_registers *r = &m->registers;
	bool paging, in_image;

	*r = m->image.registers;
	in_image = r->present;
	choose(m, &r->cr0, &v[OPTION_CR0], "CR0", in_image, ASSUMED_CR0);
	choose(m, &r->cr4, &v[OPTION_CR4], "CR4", in_image, ASSUMED_CR4);
	paging = r->cr0 & PAGEWALK_CR0_PG;

	/* A derived EFER is derived anew for other control registers. */
	uint64_t efer = in_image ? r->efer : ASSUMED_EFER;
	if (!paging || !(r->cr4 & PAGEWALK_CR4_PAE))
		efer = 0;
	r->efer_derived = !v[OPTION_EFER].given && (!in_image || r->efer_derived);
	choose(m, &r->efer, &v[OPTION_EFER], "EFER", !r->efer_derived, efer);

	if (paging && !in_image && !v[OPTION_CR3].given)
		return fail(m->path, "no registers in this image: --cr3 is needed");
	choose(m, &r->cr3, &v[OPTION_CR3], "CR3", true, 0);
	choose(m, &r->rflags, &v[OPTION_RFLAGS], "RFLAGS", true, 0);
	choose(m, &r->pkru, &v[OPTION_PKRU], "PKRU", true, 0);
	r->has_pkru |= v[OPTION_PKRU].given;
	if (!in_image)
		r->cs_l = r->efer & PAGEWALK_EFER_LMA;
	r->present = true;
	return STATUS_OK;
}

void machine_note(const struct machine *m)
{
	char names[64] = "", values[128] = "";

	for (unsigned i = 0; i < m->assumed_count; i++) {
		size_t n = strlen(names), k = strlen(values);
		const char *comma = i ? ", " : "";

		snprintf(names + n, sizeof(names) - n, "%s%s", comma, m->assumed[i].name);
		snprintf(values + k, sizeof(values) - k, "%s0x%" PRIx64, comma, m->assumed[i].value);
	}
	if (m->assumed_count)
		note(m->path, "%s %s not in the image; assuming %s", names, m->assumed_count > 1 ? "are" : "is",
		     values);
}

/* ---- Walkers --------------------------------------------------------------------------------- */

static struct pagewalk_cpu choose_cpu(const struct options *o)
{
	const struct value *profile = &o->value[OPTION_PROFILE], *m = &o->value[OPTION_MAXPHYADDR];
	enum pagewalk_profile p = o->value[OPTION_NCR3].given ? PAGEWALK_PROFILE_AMD : PAGEWALK_PROFILE_INTEL;

	if (profile->given)
		p = (enum pagewalk_profile)profile->number;
	return pagewalk_cpu_profile(p, (uint8_t)(m->given ? m->number : 52), PAGEWALK_FEATURES_ALL);
}

static int init_ept(struct machine *m, const struct pagewalk_cpu *cpu, uint64_t eptp, bool mbec)
{
	m->guest.walk.ngpa_walk = &m->nested.walk;
	if (pagewalk_init_ept(&m->nested.walk, cpu, eptp, mbec))
		return fail(m->path, "VM entry fails with EPTP 0x%" PRIx64, eptp);
	return STATUS_OK;
}

static int init_npt(struct machine *m, const struct pagewalk_cpu *cpu, const struct value *v)
{
	const struct pagewalk_regs host = {
		.cr0 = v[OPTION_HCR0].given ? v[OPTION_HCR0].number : ASSUMED_CR0,
		.cr4 = v[OPTION_HCR4].given ? v[OPTION_HCR4].number : ASSUMED_CR4,
		.efer = v[OPTION_HEFER].given ? v[OPTION_HEFER].number : ASSUMED_EFER,
	};

	m->guest.walk.ngpa_walk = &m->nested.walk;
	if (pagewalk_init_npt(&m->nested.walk, cpu, &host, v[OPTION_NCR3].number, false))
		return fail(m->path, "VMRUN fails with hCR0 0x%" PRIx64 ", hCR4 0x%" PRIx64 ", hEFER 0x%" PRIx64
			    ", nCR3 0x%" PRIx64, host.cr0, host.cr4, host.efer, m->nested.walk.pgd);
	return STATUS_OK;
}

static int init_walkers(struct machine *m, const struct options *o)
{
	static const uint64_t kinds[] = {
		[ACCESS_READ] = PAGEWALK_ACCESS_READ,
		[ACCESS_WRITE] = PAGEWALK_ACCESS_WRITE,
		[ACCESS_FETCH] = PAGEWALK_ACCESS_FETCH,
	};
	const struct value *v = o->value;
	const struct image_registers *r = &m->registers;
	const struct pagewalk_regs regs = { .cr0 = r->cr0, .cr4 = r->cr4, .efer = r->efer };
	const struct pagewalk_cpu cpu = choose_cpu(o);

	m->guest.image = m->nested.image = &m->image;
	m->guest.walk.read_gpte = m->nested.walk.read_gpte = read_gpte;
	m->guest.walk.pgd = r->cr3;
	m->guest.walk.rflags = r->rflags;
	/* Who asks about no CPL in particular wants to know where a page is, not that SMAP guards it (PERM-3). */
	if (!v[OPTION_CPL].given && !v[OPTION_RFLAGS].given)
		m->guest.walk.rflags |= PAGEWALK_RFLAGS_AC;
	m->guest.walk.pkru = (uint32_t)r->pkru;
	m->access = kinds[v[OPTION_ACCESS].number] | (v[OPTION_CPL].number == 3 ? PAGEWALK_ACCESS_USER : 0);

	if (pagewalk_init(&m->guest.walk, &cpu, &regs))
		return fail(m->path, "impossible or not supported: CR0 0x%" PRIx64 ", CR4 0x%" PRIx64
			    ", EFER 0x%" PRIx64, r->cr0, r->cr4, r->efer);
	if (v[OPTION_NCR3].given)
		return init_npt(m, &cpu, v);
	if (v[OPTION_EPTP].given || r->has_eptp)
		return init_ept(m, &cpu, v[OPTION_EPTP].given ? v[OPTION_EPTP].number : r->eptp, v[OPTION_MBEC].given);
	return STATUS_OK;
}

/* The table that a walk begins with must be there, or no answer would be worth anything. */
static int check_root(const struct machine *m, const struct kvm_pagewalk *w, const char *name)
{
	uint64_t root = w->pgd & w->fmt.root_mask;
	unsigned char table[IMAGE_PAGE_SIZE];
	struct pagewalk_walk walk = { .pa = 0 };

	if (w->fmt.kind == PAGEWALK_KIND_DIRECT)
		return STATUS_OK;
	if (w->pgd & w->fmt.root_rsvd)
		return fail(m->path, "%s 0x%016" PRIx64 " has reserved bits set: no CPU can hold it", name, w->pgd);
	if (w->ngpa_walk &&
	    pagewalk_translate_gpa(w, root, w->ngpa_walk->fmt.table_access | PAGEWALK_PFERR_GUEST_PAGE, &root, &walk))
		return STATUS_OK; /* the second stage refuses: that is an answer */
	if (!image_read(&m->image, root, table, w->fmt.pae ? 32 : sizeof(table)))
		return fail(m->path, "%s 0x%016" PRIx64 " lies outside the image", name, w->pgd);
	return STATUS_OK;
}

int machine_open(struct machine *m, const struct options *o)
{
	char error[IMAGE_ERROR_SIZE];
	int status;

	*m = (struct machine){ .path = o->image };
	if (image_open(&m->image, o->image, error, sizeof(error)))
		return fail_line(error);
	status = choose_registers(m, o);
	if (!status)
		status = init_walkers(m, o);
	if (!status && machine_second_stage(m))
		status = check_root(m, &m->nested.walk, m->nested.walk.fmt.kind == PAGEWALK_KIND_EPT ? "EPTP" : "nCR3");
	if (!status)
		status = check_root(m, &m->guest.walk, "CR3");
	if (status) {
		machine_close(m);
		return status;
	}
	m->pdpte_status = PAGEWALK_OK;
	if (m->guest.walk.fmt.pdpte_registers)
		m->pdpte_status = pagewalk_load_pdptrs(&m->guest.walk, m->guest.walk.pgd, m->guest.walk.pdptr,
						       &m->pdpte_load);
	return STATUS_OK;
}

void machine_close(struct machine *m)
{
	image_close(&m->image);
}

enum pagewalk_status machine_translate(const struct machine *m, uint64_t va, struct pagewalk_walk *out)
{
	if (m->pdpte_status == PAGEWALK_OK)
		return pagewalk_translate(&m->guest.walk, va, m->access, out);
	*out = m->pdpte_load;
	return m->pdpte_status;
}

const unsigned char *machine_page(const struct machine *m, uint64_t pa, unsigned char copy[IMAGE_PAGE_SIZE])
{
	const void *window;

	pa &= ~(uint64_t)(IMAGE_PAGE_SIZE - 1);
	window = image_window(&m->image, pa);
	if (window)
		return window;
	return image_read(&m->image, pa, copy, IMAGE_PAGE_SIZE) ? copy : NULL;
}
