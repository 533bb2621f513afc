/* SPDX-License-Identifier: MIT */
/*
 * Oracle B: a case through Bochs's VMX with EPT; one of one dimension has an EPT of the oracle's, each page to itself.
 * See README.md.
 *
 * The access begins in a first world of tables, where the code is mapped; its first instruction puts the EPT's root
 * entry back, and from then on every walk is through the tables of the case.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "library.h"
#include "mailbox.h"
#include "oracle.h"

#define BIT(n) ((uint64_t)1 << (n))
#define PAGE ((uint64_t)4096)
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define START_SECONDS 60
#define ASK_SECONDS 20
#define MAXPHYADDR 40

static struct {
	pid_t pid;
	int disk;
	char folder[64];
	uint32_t seq;
} bochs = { .disk = -1 };

static char version[128];

/* ---- The machine ------------------------------------------------------------------------------------------------- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool has_ended(void)
{
	if (bochs.pid > 0 && waitpid(bochs.pid, NULL, WNOHANG) == bochs.pid)
		bochs.pid = 0;
	return !bochs.pid;
}

static void in_folder(char *name, size_t n, const char *file)
{
	snprintf(name, n, "%s/%s", bochs.folder, file);
}

static void remove_folder(void)
{
	static const char *const files[] = { "disk", "disk.lock", "bochsrc", "commands", "log" };
	char name[128];

	for (size_t i = 0; bochs.folder[0] && i < COUNT(files); i++) {
		in_folder(name, sizeof(name), files[i]);
		unlink(name);
	}
	if (bochs.folder[0])
		rmdir(bochs.folder);
	bochs.folder[0] = '\0';
}

static void stop(void)
{
	if (bochs.pid > 0) {
		kill(bochs.pid, SIGKILL);
		waitpid(bochs.pid, NULL, 0);
	}
	bochs.pid = 0;
	if (bochs.disk >= 0)
		close(bochs.disk);
	bochs.disk = -1;
	remove_folder();
}

/* The guest's disk, from build/bochs/guest.bin next to the program. */
static bool make_disk(char *reason, size_t n)
{
	char name[640] = "", *slash;
	static uint8_t image[(GUEST_SECTORS + 1) * SECTOR];
	ssize_t length = readlink("/proc/self/exe", name, 512), size;
	int from;

	slash = length > 0 ? strrchr(name, '/') : NULL;
	if (!slash)
		return false;
	snprintf(slash, sizeof(name) - 512, "/bochs/guest.bin");
	from = open(name, O_RDONLY);
	if (from < 0) {
		snprintf(reason, n, "there is no bochs/guest.bin next to the program");
		return false;
	}
	size = read(from, image, sizeof(image));
	close(from);
	in_folder(name, sizeof(name), "disk");
	bochs.disk = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (size < SECTOR || bochs.disk < 0 || ftruncate(bochs.disk, DISK_SECTORS * SECTOR) ||
	    pwrite(bochs.disk, image, (size_t)size, 0) != size) {
		snprintf(reason, n, "%.100s: %s", name, strerror(errno));
		return false;
	}
	return true;
}

static bool make_configuration(char *reason, size_t n)
{
	char name[128];
	FILE *f;

	in_folder(name, sizeof(name), "bochsrc");
	f = fopen(name, "w");
	if (!f) {
		snprintf(reason, n, "%s: %s", name, strerror(errno));
		return false;
	}
	fprintf(f, "config_interface: textconfig\n"
		"display_library: rfb, options=\"timeout=0\"\n"
		"cpu: model=tigerlake, count=1, ips=50000000, reset_on_triple_fault=0\n"
		"memory: guest=%u, host=%u\n" /* of which only what is in use exists */
		"romimage: file=/usr/share/bochs/BIOS-bochs-latest\n"
		"vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest\n"
		"ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14\n"
		"ata0-master: type=disk, path=\"%s/disk\", mode=flat, cylinders=%u, heads=16, spt=63\n"
		"boot: disk\n"
		"clock: sync=none\n"
		"log: %s/log\n"
		"panic: action=fatal\n"
		"error: action=ignore\n" /* each VM exit is one */
		"info: action=ignore\n"
		"debug: action=ignore\n"
		"sound: driver=dummy\n", MACHINE_MEMORY >> 20, MEMORY_END >> 20, bochs.folder, DISK_SECTORS / (16 * 63),
		bochs.folder);
	fclose(f);
	in_folder(name, sizeof(name), "commands");
	f = fopen(name, "w"); /* this build has the debugger, which waits for a word */
	if (!f)
		return false;
	fprintf(f, "c\n");
	fclose(f);
	return true;
}

static void run_bochs(pid_t parent)
{
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || chdir(bochs.folder))
		_exit(1);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	execlp("bochs-bin", "bochs-bin", "-q", "-f", "bochsrc", "-rc", "commands", (char *)NULL);
	_exit(127);
}

static bool wait_for_guest(char *reason, size_t n)
{
	double end = now() + START_SECONDS;
	struct hello hello = { 0 };

	while (hello.magic != HELLO_MAGIC) {
		if (pread(bochs.disk, &hello, sizeof(hello), HELLO_AT * SECTOR) != sizeof(hello))
			return false;
		if (has_ended() || now() > end) {
			snprintf(reason, n, "%s", bochs.pid ? "the guest does not come up" : "Bochs has ended");
			return false;
		}
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	}
	if (hello.phys_bits != MAXPHYADDR) {
		snprintf(reason, n, "the guest's CPU has %u physical address bits, not %u", hello.phys_bits,
			 MAXPHYADDR);
		return false;
	}
	return true;
}

static bool find_version(void)
{
	FILE *f = popen("dpkg-query -W -f '${Version}' bochs 2>/dev/null; command -v bochs-bin >/dev/null || echo none",
			"r");
	char line[64] = "";

	if (f && fgets(line, sizeof(line), f))
		line[strcspn(line, "\n")] = '\0';
	if (f)
		pclose(f);
	snprintf(version, sizeof(version), "Bochs %s", line);
	return line[0] && !strstr(line, "none");
}

static bool start(char *reason, size_t n)
{
	pid_t parent = getpid();

	snprintf(reason, n, "it cannot be started");
	if (!find_version()) {
		snprintf(reason, n, "Bochs is not installed");
		return false;
	}
	snprintf(bochs.folder, sizeof(bochs.folder), "/tmp/pagewalk-bochs-XXXXXX");
	if (!mkdtemp(bochs.folder)) {
		bochs.folder[0] = '\0';
		return false;
	}
	if (!make_disk(reason, n) || !make_configuration(reason, n)) {
		stop();
		return false;
	}
	fflush(NULL);
	bochs.pid = fork();
	if (!bochs.pid)
		run_bochs(parent);
	if (bochs.pid < 0 || !wait_for_guest(reason, n)) {
		stop();
		return false;
	}
	remove_folder(); /* both sides have the disk open; nothing is left when the harness is killed */
	return true;
}

/* ---- What the case touches --------------------------------------------------------------------------------------- */

static unsigned levels_of(const struct case_question *q)
{
	if (!(q->cr0 & BIT(31)))
		return 0;
	if (!(q->cr4 & BIT(5)))
		return 2;
	return q->efer & BIT(10) ? 4 : 3;
}

static bool is_ram(uint64_t pa, unsigned size)
{
	return pa + size <= LOW_END || (pa >= OWN_END && pa + size <= MEMORY_END);
}

/* The library's walk, with an eye on where its entries are. */
static struct sight {
	struct library_run run;
	struct case_answer a;
	bool outside;
	bool leads;  /* to pa, by the rules or by one of Bochs's deviations */
	uint64_t pa;
	const struct case_question *q;
} sight;

static int watch_gpte(const struct kvm_pagewalk *w, uint64_t pa, unsigned size, uint64_t *gpte)
{
	const struct library_stage *s = PAGEWALK_CONTAINER_OF(w, struct library_stage, walk);

	sight.outside |= !is_ram(pa, size) || pa >= sight.q->memory.size;
	return case_load(&sight.q->memory, s->value, pa, size, gpte) ? 0 : -1;
}

/* False: there is memory in the walk that is none here, or the guest's own. */
static bool look(const struct case_question *q)
{
	static struct case_question with_pdpte; /* so that they are not loaded before somebody watches */
	struct kvm_pagewalk *guest = &sight.run.guest.walk;

	sight.q = &with_pdpte;
	sight.outside = false;
	with_pdpte = *q;
	with_pdpte.has_pdpte = true;
	memcpy(sight.a.value, q->memory.value, q->memory.count * sizeof(*sight.a.value));
	if (library_open(&sight.run, &with_pdpte, sight.a.value) != PAGEWALK_OK)
		return false;
	guest->read_gpte = watch_gpte;
	if (q->stage2)
		sight.run.second.walk.read_gpte = watch_gpte;
	sight.run.status = PAGEWALK_OK;
	if (levels_of(q) == 3 && !q->has_pdpte)
		sight.run.status = pagewalk_load_pdptrs(guest, q->cr3, guest->pdptr, &sight.run.walk);
	if (sight.run.status == PAGEWALK_OK)
		sight.run.status = pagewalk_translate(guest, q->va, library_access(q), &sight.run.walk);
	return !sight.outside && sight.run.status != PAGEWALK_NO_MEMORY && sight.run.status != PAGEWALK_BAD_STATE;
}

static bool has_word(const struct case_question *q, uint64_t pa, unsigned size)
{
	for (unsigned w = 0; w < q->memory.count; w++)
		if (q->memory.address[w] < pa + size && q->memory.address[w] + 8 > pa)
			return true;
	return false;
}

/* ---- The first world --------------------------------------------------------------------------------------------- */

/*
 * Pages of it, from PRIME on. Guest-physically they are where they are, but in the half of the guest's root table, for
 * one entry of the EPT's root leads to all of them. The last two are the EPT of a case of one dimension.
 */
enum {
	CODE, GUEST_ROOT, GUEST_PDPT, GUEST_PD, GUEST_PT, EPT_PDPT, EPT_PD_OWN, EPT_PT_OWN, EPT_PD_ROOT, EPT_PT_ROOT,
	WINDOW, SAME_ROOT, SAME_PDPT
};

static uint64_t prime(unsigned page)
{
	return PRIME + page * PAGE;
}

static struct ask_buffer {
	struct ask head;
	struct pair pair[CASE_MAX_WORDS + 64 + 96];
} out;

static void add(uint64_t key, uint64_t value)
{
	unsigned n = out.head.words + out.head.fields;

	out.pair[n] = (struct pair){ key, value };
	if (out.head.fields)
		out.head.fields++;
	else
		out.head.words++;
}

/* A word of memory; one that is there already (half of a 32-bit table) is added to. */
static void add_word(uint64_t pa, uint64_t value)
{
	for (unsigned i = out.head.case_words; i < out.head.words; i++)
		if (out.pair[i].key == pa) {
			out.pair[i].value |= value;
			return;
		}
	add(pa, value);
}

static void add_word32(uint64_t pa, uint32_t value)
{
	add_word(pa & ~(uint64_t)7, pa & 4 ? (uint64_t)value << 32 : value);
}

struct world {
	unsigned levels;
	uint64_t code, window; /* linear addresses */
	uint64_t root;         /* guest-physical, of the case's root table */
	uint64_t half;         /* 0 or 512 GiB: what the root table and the first world have in common */
	unsigned pdptr;        /* PAE: the register that leads to the code */
	uint64_t eptp;
	uint64_t entry;        /* the EPT's root entry, as the case has it */
	bool ring3;
	unsigned key;          /* of its pages */
};

/* An implicit access is a supervisor's whatever the ring is: both are tried. */
static bool is_ring3(const struct case_question *q)
{
	return q->user || (q->implicit && (q->va & BIT(12)));
}

/* Linear addresses for the code and the window that share no place in Bochs's TLBs with the access. */
static void plan_world(const struct case_question *q, struct world *w)
{
	uint64_t page = q->va >> 12;

	w->levels = levels_of(q);
	w->root = q->cr3 & (w->levels == 2 ? 0xfffff000 : 0xfffffffffffff000);
	w->half = w->levels == 4 ? w->root & BIT(39) : 0;
	w->eptp = q->stage2 ? q->eptp : prime(SAME_ROOT) | 0x1e;
	w->ring3 = is_ring3(q);
	w->key = w->levels == 4 && (q->cr4 & BIT(22)) ? 15 : 0;
	w->pdptr = (unsigned)(q->va >> 30 ^ 1) & 3;
	w->code = ((page ^ 0x15) & 0x1ff) << 12 | (w->levels == 3 ? (uint64_t)w->pdptr << 30 : 0x200000);
	w->window = ((page ^ 0x2a) & 0x1ff) << 12 | (w->code & ~(uint64_t)0x1fffff);
	if (!w->levels) {
		w->code = prime(CODE);
		w->window = prime(WINDOW);
	}
}

static void map_guest(const struct world *w, uint64_t va, uint64_t gpa)
{
	uint64_t flags = (w->ring3 ? 0x67 : 0x63) | w->half, leaf = flags | (uint64_t)w->key << 59;

	if (w->levels == 2) {
		add_word32(prime(GUEST_ROOT) + (va >> 22) * 4, (uint32_t)(prime(GUEST_PT) | flags));
		add_word32(prime(GUEST_PT) + (va >> 12 & 1023) * 4, (uint32_t)(gpa | flags));
		return;
	}
	if (w->levels == 4) {
		add_word(prime(GUEST_ROOT) + (va >> 39 & 511) * 8, prime(GUEST_PDPT) | flags);
		add_word(prime(GUEST_PDPT) + (va >> 30 & 511) * 8, prime(GUEST_PD) | flags);
	}
	add_word(prime(GUEST_PD) + (va >> 21 & 511) * 8, prime(GUEST_PT) | flags);
	add_word(prime(GUEST_PT) + (va >> 12 & 511) * 8, gpa | leaf);
}

#define EPT_TABLE 0x307
#define EPT_PAGE  0x337

static void map_ept(uint64_t gpa, uint64_t pa, unsigned pd, unsigned pt)
{
	add_word(prime(EPT_PDPT) + (gpa >> 30 & 511) * 8, prime(pd) | EPT_TABLE);
	add_word(prime(pd) + (gpa >> 21 & 511) * 8, prime(pt) | EPT_TABLE);
	add_word(prime(pt) + (gpa >> 12 & 511) * 8, pa | EPT_PAGE);
}

/* Pages of one GiB, or of two MiB, share their tables. */
static void make_world(const struct case_question *q, struct world *w)
{
	uint64_t ept_root = w->eptp & 0xfffffff000, entry = ept_root + (w->half >> 39) * 8, root = w->root - w->half;
	unsigned pd = root >> 30 ? EPT_PD_ROOT : EPT_PD_OWN, pt = root >> 21 ? EPT_PT_ROOT : EPT_PT_OWN;
	int at = case_find(&q->memory, entry);

	w->entry = at < 0 ? 0 : q->memory.value[at];
	if (!q->stage2) {
		w->entry = prime(SAME_PDPT) | 7;
		for (uint64_t pa = 0; pa < MEMORY_END; pa += BIT(30))
			add_word(prime(SAME_PDPT) + (pa >> 30) * 8, pa | 0xb7);
	}
	if (at >= 0)
		out.pair[at].value = prime(EPT_PDPT) | EPT_TABLE;
	else
		add_word(entry, prime(EPT_PDPT) | EPT_TABLE);
	for (unsigned page = CODE; page <= GUEST_PT; page++)
		map_ept(prime(page), prime(page), EPT_PD_OWN, EPT_PT_OWN);
	map_ept(prime(WINDOW), ept_root, EPT_PD_OWN, EPT_PT_OWN);
	if (!w->levels)
		return;
	if (w->levels != 3)
		map_ept(root, prime(GUEST_ROOT), pd, pt);
	map_guest(w, w->code, prime(CODE));
	map_guest(w, w->window, prime(WINDOW));
}

/* ---- What Bochs does otherwise ----------------------------------------------------------------------------------- */

enum {
	GUEST_UPDATE = 1 << 0, WRITE_ALONE = 1 << 1, BIT_12_FREE = 1 << 2, UPDATE_FIRST = 1 << 3, IMPLICIT_AC = 1 << 4,
	KEY_BY_RING = 1 << 5, KNOWN = 6
};

static bool same(const struct case_question *q, const struct case_answer *a, const struct case_answer *b)
{
	return a->outcome == b->outcome && a->pa == b->pa && a->vector == b->vector && a->error_code == b->error_code &&
	       a->cr2 == b->cr2 && a->exit_qualification == b->exit_qualification && a->gpa == b->gpa &&
	       !memcmp(a->value, b->value, q->memory.count * sizeof(*a->value));
}

static struct case_question deviated;

/* A violation of a guest's table that was to be written: as if the second stage allowed it. */
static bool allow_update(const struct case_answer *a, const struct pagewalk_stage *n)
{
	bool changed = false;

	if (a->outcome != CASE_EPT_VIOLATION || (a->exit_qualification & 0x102) != 2 || (deviated.eptp & BIT(6)))
		return false;
	for (int level = n->level; level <= n->max_level; level++) {
		int at = case_find(&deviated.memory, n->entry[level - 1].pa);

		changed |= at >= 0 && !(deviated.memory.value[at] & 2);
		if (at >= 0)
			deviated.memory.value[at] |= 2;
	}
	return changed;
}

/* A large page whose entry has bit 12 set: as if it had not. */
static bool allow_bit_12(const struct case_answer *a, const struct pagewalk_stage *n)
{
	int at;

	if (a->outcome != CASE_EPT_MISCONFIG || (n->level != 2 && n->level != 3))
		return false;
	at = case_find(&deviated.memory, n->entry[n->level - 1].pa);
	if (at < 0 || (deviated.memory.value[at] & (BIT(7) | BIT(12))) != (BIT(7) | BIT(12)))
		return false;
	deviated.memory.value[at] &= ~BIT(12);
	return true;
}

/* A and D of the guest's entries, as if the access had gone through. */
static void update_guest(const struct case_question *q, struct case_answer *a, const struct library_run *run)
{
	const struct pagewalk_stage *g = &run->walk.guest;
	unsigned size = run->guest.walk.fmt.root_level == 2 ? 4 : 8;

	for (int level = g->level; g->max_level && level <= g->max_level; level++) {
		const struct pagewalk_entry *e = &g->entry[level - 1];
		uint64_t value;

		if (e->gpa != PAGEWALK_INVALID_GPA && case_load(&q->memory, a->value, e->pa, size, &value))
			case_store(&q->memory, a->value, e->pa, size,
				   value | (level == g->level && q->access == CASE_WRITE ? 0x60 : 0x20));
	}
}

static bool has_keys(const struct case_question *q)
{
	return levels_of(q) == 4 && (q->cr4 & BIT(22));
}

/* A user access that has come to a page, but is refused: the key is looked at although the page is not a user's. */
static bool is_refused_by_key(const struct case_question *q, const struct case_answer *a, const struct library_run *run)
{
	const struct pagewalk_stage *g = &run->walk.guest;
	uint64_t entry = g->level ? g->entry[g->level - 1].pte : 0;
	unsigned denied = q->access == CASE_WRITE ? 3 : 1;

	return has_keys(q) && q->user && q->access != CASE_FETCH && a->outcome == CASE_PAGE_FAULT &&
	       (a->error_code & 9) == 1 && (q->pkru >> 2 * (entry >> 59 & 15) & denied);
}

/* A supervisor's write has come to a page: write-disable counts for it as for a user's. */
static void make_user_page(const struct case_question *q, const struct pagewalk_stage *g)
{
	if (q->user || q->access != CASE_WRITE)
		return;
	for (int level = g->level; level <= g->max_level; level++) {
		int at = case_find(&deviated.memory, g->entry[level - 1].pa);

		if (at >= 0)
			deviated.memory.value[at] |= 4;
	}
}

/* The library's answer with some deviations made, and the question of which it is an answer by the rules. */

static void deviate(const struct case_question *q, unsigned deviations, struct case_answer *a)
{
	static struct library_run run;
	bool changed = true;

	deviated = *q;
	if (deviations & IMPLICIT_AC)
		deviated.implicit = false;
	if ((deviations & KEY_BY_RING) && !q->user)
		deviated.pkru &= 0xaaaaaaaa;
	library_walk_run(&deviated, a, &run);
	if ((deviations & KEY_BY_RING) && has_keys(q) && (q->pkru >> 2 * run.walk.guest.pte_pkey & 2)) {
		make_user_page(q, &run.walk.guest);
		library_walk_run(&deviated, a, &run);
	}
	for (unsigned turn = 0; changed && turn < 16; turn++) {
		changed = false;
		if (deviations & GUEST_UPDATE)
			changed = allow_update(a, &run.walk.nested);
		if (!changed && (deviations & BIT_12_FREE))
			changed = allow_bit_12(a, &run.walk.nested);
		if (changed)
			library_walk_run(&deviated, a, &run);
	}
	if ((deviations & UPDATE_FIRST) && run.status == PAGEWALK_NESTED_FAULT &&
	    (run.walk.nested.access & PAGEWALK_PFERR_GUEST_FINAL))
		update_guest(&deviated, a, &run);
	if ((deviations & KEY_BY_RING) && is_refused_by_key(q, a, &run))
		a->error_code |= BIT(5);
	for (unsigned w = 0; w < deviated.memory.count; w++) /* what was changed in the question */
		a->value[w] = (a->value[w] ^ deviated.memory.value[w]) ^ q->memory.value[w];
	if ((deviations & WRITE_ALONE) && a->outcome == CASE_EPT_VIOLATION && (q->eptp & BIT(6)) &&
	    (a->exit_qualification & 0x180) == 0x80)
		a->exit_qualification &= ~(uint64_t)1;
}

/* ---- The access -------------------------------------------------------------------------------------------------- */

#define WRITTEN 0xb5

/* The code: the EPT's root entry goes back, at once, then the access, VMCALL. Returns the address of the access. */
static uint64_t add_code(const struct case_question *q, const struct world *w)
{
	static const uint8_t restore[] = { 0x0f, 0x7f, 0x01 }; /* movq [rcx], mm0 */
	uint8_t code[24] = { 0 }, *at = code + sizeof(restore);
	uint64_t words[3];

	memcpy(code, restore, sizeof(restore));
	if (q->access == CASE_FETCH) {
		*at++ = 0xff; /* jmp rbx */
		*at++ = 0xe3;
	} else if (q->implicit) {
		*at++ = 0x0f; /* lsl eax, bx: reads a descriptor */
		*at++ = 0x03;
		*at++ = 0xc3;
	} else if (q->stack) {
		*at++ = q->access == CASE_WRITE ? 0x88 : 0x8a; /* mov [rbp], al, or the other way */
		*at++ = 0x45;
		*at++ = 0;
	} else {
		*at++ = q->access == CASE_WRITE ? 0x88 : 0x8a; /* [rbx] */
		*at++ = 0x03;
	}
	memcpy(at, "\x0f\x01\xc1", VMCALL_LENGTH);
	memcpy(words, code, sizeof(code));
	for (unsigned i = 0; i < COUNT(words); i++)
		add_word(prime(CODE) + 8 * i, words[i]);
	return w->code + sizeof(restore);
}

static uint64_t length_of(const struct case_question *q)
{
	return q->stack || q->implicit ? 3 : 2;
}

/* Where the access leads, and whether there is anything that the guest cannot have: false. */
static bool find_page(const struct case_question *q)
{
	static const unsigned deviations[] = {
		0, GUEST_UPDATE, BIT_12_FREE, GUEST_UPDATE | BIT_12_FREE
	};
	static struct case_answer a;

	sight.leads = false;
	for (unsigned i = 0; i < 4 * COUNT(deviations) && !sight.leads; i++) {
		deviate(q, deviations[i / 4] | (i & 1 ? IMPLICIT_AC : 0) | (i & 2 ? KEY_BY_RING : 0), &a);
		if (!look(&deviated))
			return false;
		sight.leads = a.outcome == CASE_TRANSLATED;
		sight.pa = a.pa;
	}
	return true;
}

/* Bytes at the physical address by which the access is known to have been there. False: nothing can be put there. */
static bool add_bait(const struct case_question *q)
{
	struct ask *ask = &out.head;

	ask->bait_size = 0;
	if (!find_page(q))
		return false;
	if (!sight.leads)
		return true;
	ask->bait_size = q->implicit ? 8 : q->access == CASE_FETCH ? VMCALL_LENGTH : 1;
	ask->bait_at = sight.pa;
	if (!is_ram(ask->bait_at, 8) || has_word(q, ask->bait_at, ask->bait_size) ||
	    (q->va & (PAGE - 1)) + ask->bait_size > PAGE)
		return false;
	if (q->stage2 && (q->eptp & 0xfffffff000) == (ask->bait_at & ~(PAGE - 1)))
		return false;
	memcpy(ask->bait, "\x0f\x01\xc1", VMCALL_LENGTH);
	if (q->implicit) { /* data of ring 3, whose limit comes back */
		ask->bait[0] = (uint8_t)(ask->bait_at >> 12);
		ask->bait[1] = (uint8_t)(ask->bait_at >> 20);
		ask->bait[2] = 0;
		ask->bait[5] = 0xf3;
		ask->bait[6] = 0x45;
	} else if (q->access != CASE_FETCH) {
		ask->bait[0] = q->access == CASE_READ ? (uint8_t)(0x5b ^ (ask->bait_at >> 12)) | 1 : 0;
	}
	return true;
}

static void add_segment(unsigned n, unsigned selector, uint64_t rights, uint64_t limit, uint64_t base)
{
	add(0x0800 + 2 * n, selector);
	add(0x4800 + 2 * n, limit);
	add(0x4814 + 2 * n, rights);
	add(0x6806 + 2 * n, base);
}

/* The VMCS. The order of segments: ES, CS, SS, DS, FS, GS, LDTR, TR. */
static void add_fields(const struct case_question *q, const struct world *w, uint64_t pdptr)
{
	bool lma = q->efer & BIT(10), code64 = lma && !q->compatibility;
	uint64_t dpl = w->ring3 ? 0x60 : 0;
	unsigned rpl = w->ring3 ? 3 : 0;

	out.head.fields = 0;
	out.pair[out.head.words] = (struct pair){ 0x4000, 0 };
	out.head.fields = 1;
	add(0x4002, BIT(31));                                /* secondary controls */
	add(0x401e, BIT(1) | BIT(7));                        /* EPT, unrestricted guest */
	add(0x400c, BIT(9) | BIT(20) | BIT(21));             /* 64-bit host, EFER saved and loaded */
	add(0x4012, (lma ? BIT(9) : 0) | BIT(15));           /* IA-32e guest, EFER loaded */
	add(0x4004, 0xffffffff);                             /* every exception comes back */
	add(0x4006, 0);
	add(0x4008, 0);
	add(0x400e, 0);
	add(0x4010, 0);
	add(0x4014, 0);
	add(0x4016, 0);
	add(0x401a, 0);
	add(0x6000, 0);                                      /* the guest owns all of CR0 and CR4 */
	add(0x6002, 0);
	add(0x201a, w->eptp);
	add(0x2800, ~(uint64_t)0);
	add(0x2802, 0);
	add(0x2806, q->efer);
	add(0x4824, 0);
	add(0x4826, 0);
	add(0x482a, 0);
	add(0x6822, 0);
	add(0x6824, 0);
	add(0x6826, 0);
	for (unsigned n = 0; n < 6; n++) {
		bool code = n == 1;

		add_segment(n, (code ? 8 : 16) | rpl, (code ? code64 ? 0xa09b : 0xc09b : 0xc093) | dpl, 0xffffffff, 0);
	}
	add_segment(6, 0, q->implicit ? 0x82 : 0x10000, q->implicit ? 7 : 0, q->implicit ? q->va : 0);
	add_segment(7, 24, 0x8b, 0x67, 0);
	add(0x6816, 0);
	add(0x4810, 0xffff);
	add(0x6818, 0);
	add(0x4812, 0xffff);
	add(0x681a, 0x400);
	add(0x6800, q->cr0 | BIT(5));                        /* NE */
	add(0x6802, q->cr3);
	add(0x6804, q->cr4 | BIT(13));                       /* VMXE */
	add(0x681c, 0);
	add(0x681e, w->code);
	add(0x6820, 2 | (q->rflags & BIT(18)));
	for (unsigned i = 0; i < 4; i++)
		add(0x280a + 2 * i, w->levels != 3 ? 0 : i == w->pdptr ? pdptr : q->pdpte[i]);
}

/* ---- What can be asked ------------------------------------------------------------------------------------------- */

#define EPT_PAGES    ((unsigned)(CASE_EPT_EXEC_ONLY | CASE_EPT_2M | CASE_EPT_1G))
#define EPT_FEATURES (EPT_PAGES | CASE_EPT_AD)
#define FEATURES     ((unsigned)(CASE_PSE | CASE_PSE36 | CASE_PAE | CASE_NX | CASE_PAT | CASE_PAGE1GB | CASE_SMEP | \
				 CASE_SMAP | CASE_PKU))

static uint64_t canonical(uint64_t va)
{
	return (uint64_t)((int64_t)(va << 16) >> 16);
}

/* Bochs's CPU has all of FEATURES. What matters only if a register turns it on, as SMEP, may lack in the case. */
static bool is_its_cpu(const struct case_question *q, unsigned levels)
{
	static const unsigned formats[] = { 0, 0, CASE_PSE36 | CASE_PAT, CASE_PAT, CASE_PAGE1GB };

	if (q->profile != CASE_INTEL || q->maxphyaddr != MAXPHYADDR || q->knobs || (~q->features & formats[levels]))
		return false;
	if (q->stage2 == CASE_ONE_DIMENSION)
		return true;
	return q->stage2 == CASE_EPT && !q->mbec && (q->ept_features & EPT_PAGES) == EPT_PAGES &&
	       !(q->ept_features & ~(EPT_FEATURES | CASE_EPT_5L));
}

/* The registers are such as the VMCS can give to a guest, and nothing is where the oracle's own pages have to be. */
static bool is_possible(const struct case_question *q)
{
	uint64_t cr4 = BIT(4) | BIT(5) | BIT(20) | BIT(21) | BIT(22), narrow = BIT(63) | ~(BIT(MAXPHYADDR) - 1);
	uint64_t root = q->cr3 & ~(PAGE - 1) & ~BIT(39), ept_root = q->eptp & 0xfffffff000;
	unsigned levels = levels_of(q);

	if (!is_its_cpu(q, levels) || (q->cr0 & ~(BIT(0) | BIT(16) | BIT(31) | BIT(5))) || (q->cr4 & ~cr4) ||
	    (q->efer & ~(BIT(8) | BIT(10) | BIT(11))))
		return false;
	if (!(q->cr0 & 1) || !!(q->efer & BIT(10)) != (levels && (q->efer & BIT(8))))
		return false;
	if (q->compatibility && levels < 4)
		return false;
	if (q->stage2 && ((q->eptp & 0xf80) || (q->eptp >> 3 & 7) != 3 || q->eptp >> MAXPHYADDR))
		return false;
	if (q->stage2 && !is_ram(ept_root, PAGE))
		return false;
	if (has_keys(q) && q->pkru >> 30) /* the key of the oracle's own pages */
		return false;
	if (levels && q->cr3 >> (levels == 4 ? MAXPHYADDR : 32))
		return false;
	if (root >= OWN && root < OWN_END)
		return false;
	if ((levels < 4 || q->compatibility) && q->va >> 32)
		return false;
	for (unsigned i = 0; levels == 3 && q->has_pdpte && i < 4; i++)
		if ((q->pdpte[i] & 1) && (q->pdpte[i] & (narrow | 0x1e6)))
			return false;
	if (!levels && q->va >= OWN && q->va < OWN_END)
		return false;
	if (q->implicit) /* a descriptor of 8 bytes that is read; the VMCS takes no other base */
		return q->access == CASE_READ && !q->stack && !(q->va & 7) && (levels < 4 || canonical(q->va) == q->va);
	/* A jump to where no canonical address is never begins. */
	return q->access != CASE_FETCH || (!q->stack && (levels < 4 || canonical(q->va) == q->va));
}

/* ---- Asking ------------------------------------------------------------------------------------------------------ */

static bool send(void)
{
	size_t bytes = sizeof(out.head) + (out.head.words + out.head.fields) * sizeof(struct pair);

	out.head.sectors = (uint32_t)((bytes + SECTOR - 1) / SECTOR);
	out.head.seq = ++bochs.seq;
	return pwrite(bochs.disk, out.pair, (out.head.sectors - 1) * SECTOR, (ASK_AT + 1) * SECTOR) ==
		       (ssize_t)((out.head.sectors - 1) * SECTOR) &&
	       pwrite(bochs.disk, &out.head, SECTOR, ASK_AT * SECTOR) == SECTOR;
}

static bool receive(struct answer *in, const struct case_question *q, struct case_answer *a)
{
	double end = now() + ASK_SECONDS;
	ssize_t bytes = (ssize_t)(q->memory.count * sizeof(*a->value));

	for (unsigned turn = 1;; turn++) {
		if (pread(bochs.disk, in, SECTOR, ANSWER_AT * SECTOR) != SECTOR)
			return false;
		if (in->seq == bochs.seq)
			break;
		if (turn % 64 == 0 && (has_ended() || now() > end))
			return false;
		nanosleep(&(struct timespec){ 0, 20000 }, NULL);
	}
	return pread(bochs.disk, a->value, (size_t)bytes, (ANSWER_AT + 1) * SECTOR) == bytes;
}

/* Whether the access was where the library says that it goes. */
static bool took_bait(const struct case_question *q, const struct answer *in)
{
	if (!sight.leads)
		return false;
	if (q->implicit)
		return in->rax == (0x50000 | (uint64_t)out.head.bait[1] << 8 | out.head.bait[0]);
	if (q->access == CASE_READ)
		return (uint8_t)in->rax == out.head.bait[0];
	return q->access == CASE_FETCH || in->bait == WRITTEN;
}

static enum oracle_result understand(const struct case_question *q, const struct world *w, const struct answer *in,
				     uint64_t at, struct case_answer *a)
{
	uint64_t mask = w->levels == 4 && !q->compatibility ? ~(uint64_t)0 : 0xffffffff, expected = at + length_of(q);
	unsigned vector = (unsigned)in->info & 0xff;

	if (q->access == CASE_FETCH)
		at = expected = q->va;
	if (in->status) {
		fprintf(stderr, "bochs: VM entry fails, error %u\n", (unsigned)in->instruction_error);
		return ORACLE_BROKEN;
	}
	switch (in->reason) {
	case 18: /* VMCALL */
		a->outcome = CASE_TRANSLATED;
		a->pa = !((in->rip ^ expected) & mask) && took_bait(q, in) ? sight.pa : ~(uint64_t)0;
		return ORACLE_ANSWERED;
	case 0: /* an exception */
		if ((in->rip ^ at) & mask)
			break;
		if (vector == 14) {
			a->outcome = CASE_PAGE_FAULT;
			a->error_code = in->error_code;
			a->cr2 = in->qualification;
			return ORACLE_ANSWERED;
		}
		if ((vector == 12 || vector == 13) && !in->error_code) {
			a->outcome = CASE_NON_CANONICAL;
			a->vector = vector;
			return ORACLE_ANSWERED;
		}
		break;
	case 48:
		a->outcome = CASE_EPT_VIOLATION;
		a->exit_qualification = in->qualification;
		a->gpa = in->gpa;
		return ORACLE_ANSWERED;
	case 49:
		a->outcome = CASE_EPT_MISCONFIG;
		a->gpa = in->gpa;
		return ORACLE_ANSWERED;
	}
	fprintf(stderr, "bochs: exit %#llx, vector %u, error code %#llx, RIP %#llx\n", (unsigned long long)in->reason,
		vector, (unsigned long long)in->error_code, (unsigned long long)in->rip);
	a->outcome = CASE_BAD_STATE; /* which the library never says of these cases */
	return ORACLE_ANSWERED;
}

static void begin(const struct case_question *q)
{
	memset(&out.head, 0, sizeof(out.head));
	for (unsigned i = 0; i < q->memory.count; i++)
		add(q->memory.address[i], q->memory.value[i]);
	out.head.case_words = q->memory.count;
}

static bool converse(const struct case_question *q, struct answer *in, struct case_answer *a)
{
	if (send() && receive(in, q, a))
		return true;
	fprintf(stderr, "bochs: no answer; %s\n", has_ended() ? "Bochs has ended" : "Bochs is stopped");
	stop();
	return false;
}

static enum oracle_result ask_access(const struct case_question *q, struct case_answer *a)
{
	struct answer in;
	struct world w;
	uint64_t at;

	begin(q);
	if (!add_bait(q))
		return ORACLE_OUTSIDE;
	plan_world(q, &w);
	make_world(q, &w);
	at = add_code(q, &w);
	add_fields(q, &w, prime(GUEST_PD) | 1);
	out.head.rax = BIT(62) | WRITTEN;
	out.head.rbx = q->implicit ? (w.ring3 ? 7 : 4) : q->va;
	out.head.rbp = q->va;
	out.head.rcx = w.window + (w.half >> 39) * 8;
	out.head.mm0 = w.entry;
	out.head.pkru = q->pkru;
	if (!converse(q, &in, a))
		return ORACLE_BROKEN;
	return understand(q, &w, &in, at, a);
}

/*
 * PAE's PDPTEs, loaded as MOV CR3 does: ring 0, with TF, so that #DB comes before the next instruction would be
 * fetched. *loaded: they are; else a has the answer.
 */
static enum oracle_result
ask_pdptes(const struct case_question *q, struct case_answer *a, uint64_t *pdpte, bool *loaded)
{
	/* mov edx, [esp], so that the stack is in the TLB; movq [ecx], mm0; popf; mov cr3, eax */
	static const uint8_t code[16] = { 0x8b, 0x14, 0x24, 0x0f, 0x7f, 0x01, 0x9d, 0x0f, 0x22, 0xd8 };
	const uint64_t mov_cr3 = 7, next = 10;
	static struct case_question other;
	struct answer in;
	struct world w;
	uint64_t words[2];

	*loaded = false;
	other = *q;
	other.user = other.implicit = other.stack = false;
	other.access = CASE_FETCH;
	memset(other.pdpte, 0, sizeof(other.pdpte));
	begin(q);
	plan_world(&other, &w);
	make_world(&other, &w);
	memcpy(words, code, sizeof(code));
	add_word(prime(CODE), words[0]);
	add_word(prime(CODE) + 8, words[1]);
	add_word(prime(CODE) + 32, 0x102);
	add_fields(&other, &w, prime(GUEST_PD) | 1);
	add(0x681c, w.code + 32);
	out.head.rax = q->cr3;
	out.head.rcx = w.window;
	out.head.mm0 = w.entry;
	if (!converse(q, &in, a))
		return ORACLE_BROKEN;
	memcpy(pdpte, in.pdpte, sizeof(in.pdpte));
	*loaded = !in.status && !in.reason && (in.info & 0xff) == 1 && in.rip == w.code + next;
	if (*loaded)
		return ORACLE_ANSWERED;
	if (!in.status && !in.reason && (in.info & 0xff) == 13 && !in.error_code && in.rip == w.code + mov_cr3) {
		a->outcome = CASE_PDPTE_FAULT;
		return ORACLE_ANSWERED;
	}
	return understand(&other, &w, &in, w.code + mov_cr3, a);
}

static enum oracle_result ask(const struct case_question *q, struct case_answer *a)
{
	static struct case_question other;
	enum oracle_result result;
	bool loaded;

	if (bochs.disk < 0)
		return ORACLE_BROKEN;
	if (!is_possible(q) || !find_page(q))
		return ORACLE_OUTSIDE;
	if (levels_of(q) != 3 || q->has_pdpte)
		return ask_access(q, a);
	other = *q;
	result = ask_pdptes(q, a, other.pdpte, &loaded);
	if (result != ORACLE_ANSWERED || !loaded)
		return result;
	other.has_pdpte = true;
	memcpy(other.memory.value, a->value, q->memory.count * sizeof(*a->value));
	return is_possible(&other) ? ask_access(&other, a) : ORACLE_OUTSIDE;
}

/* ---- Cases that can be asked ------------------------------------------------------------------------------------- */

/* Of a second stage of five levels, what is under the root's entry for the addresses that there are. */
static void make_four_levels(struct case_question *q)
{
	int at = case_find(&q->memory, q->eptp & 0xfffffff000);
	uint64_t table = at < 0 ? 0 : q->memory.value[at] & 0xfffffff000;

	if ((q->eptp >> 3 & 7) == 4 && is_ram(table, PAGE) && table < GENERATE_MEMORY)
		q->eptp = table | (q->eptp & (PAGE - 1));
	q->eptp = (q->eptp & ~(uint64_t)0x38) | 0x18;
}

/* If the access goes to where no memory is, or a table: the last entry is made to lead to memory, if it can. */
static void make_page(struct dice *d, struct case_question *q)
{
	static struct library_run run;
	static struct case_answer a;
	const struct pagewalk_stage *s = q->stage2 ? &run.walk.nested : &run.walk.guest;
	uint64_t keep = 0xfff, pa;
	int at;

	library_walk_run(q, &a, &run);
	if (a.outcome != CASE_TRANSLATED || (is_ram(a.pa, 8) && !has_word(q, a.pa, 8)))
		return;
	if (!q->stage2 && !levels_of(q)) {
		q->va = OWN_END + (dice_bits(d) & 0x3ffffff8);
		return;
	}
	pa = s->entry[s->level - 1].pa;
	at = case_find(&q->memory, pa & ~(uint64_t)7);
	if (at < 0)
		return;
	if (!q->stage2 && levels_of(q) == 2) {
		uint32_t address = (uint32_t)dice_bits(d) & (s->level == 2 ? 0x7fc00000 : 0x7ffff000);

		if (s->level == 2)
			keep |= 0x200000; /* which is reserved, and the others are address */
		q->memory.value[at] &= ~((uint64_t)(uint32_t)~keep << (pa & 4) * 8);
		q->memory.value[at] |= (uint64_t)address << (pa & 4) * 8;
		return;
	}
	keep |= s->level > 1 ? 0x1000 : 0;
	q->memory.value[at] &= ~((BIT(MAXPHYADDR) - 1) & ~keep);
	q->memory.value[at] |= dice_bits(d) & (MEMORY_END - 1) & ~(BIT(12 + 9 * (s->level - 1)) - 1);
}

/* A stray bit in one of the entries that the walk comes to last; most of generate()'s are not on the way. */
static void stray(struct dice *d, struct case_question *q)
{
	static struct library_run run;
	static struct case_answer a;
	const struct pagewalk_stage *s = &run.walk.guest;
	const struct pagewalk_entry *e;
	int at, level;

	memset(&run.walk, 0, sizeof(run.walk));
	library_walk_run(q, &a, &run);
	if (q->stage2 && (!s->max_level || !dice_one_in(d, 4)))
		s = &run.walk.nested;
	if (!s->max_level || !s->level)
		return;
	level = s->level + (dice_one_in(d, 2) ? (int)dice_below(d, (unsigned)(s->max_level - s->level + 1)) : 0);
	e = &s->entry[level - 1];
	at = case_find(&q->memory, e->pa & ~(uint64_t)7);
	if (at >= 0)
		q->memory.value[at] ^= BIT(dice_below(d, 64));
}

static void prepare(struct dice *d, struct case_question *q)
{
	unsigned levels;

	q->knobs = 0;
	q->mbec = false;
	q->cr4 &= ~BIT(12);
	q->pkru &= 0x3fffffff; /* one key is for the oracle's own pages */
	q->ept_features = EPT_FEATURES;
	q->memory.size = MEMORY_END;
	if (q->stage2)
		make_four_levels(q);
	levels = levels_of(q);
	q->cr3 &= levels == 4 ? BIT(MAXPHYADDR) - 1 : 0xffffffff;
	if (levels < 4 || q->compatibility)
		q->va &= 0xffffffff;
	if (q->access != CASE_READ)
		q->implicit = false;
	if (q->implicit) {
		q->stack = false;
		q->va &= ~(uint64_t)7;
	}
	if (levels == 4 && (q->access == CASE_FETCH || q->implicit))
		q->va = canonical(q->va);
	q->va &= q->access == CASE_FETCH ? ~(uint64_t)3 : ~(uint64_t)0;
	for (unsigned i = 0; i < 4; i++)
		q->pdpte[i] &= (BIT(MAXPHYADDR) - 1) & ~(uint64_t)0x1e6;
	make_page(d, q);
	if (dice_one_in(d, 6)) {
		stray(d, q);
		make_page(d, q);
	}
}

static unsigned explain(const struct case_question *q, const struct case_answer *ours, struct case_answer *theirs)
{
	static struct case_answer other;

	(void)ours;
	for (int n = 1; n <= KNOWN; n++)
		for (unsigned set = 1; set < 1 << KNOWN; set++) {
			if (__builtin_popcount(set) != n)
				continue;
			deviate(q, set, &other);
			if (same(q, &other, theirs))
				return set;
		}
	return 0;
}

struct oracle oracle_bochs = {
	.name = "bochs",
	.version = version,
	.sees = VECTOR_PA | VECTOR_VECTOR | VECTOR_ERROR_CODE | VECTOR_CR2 | VECTOR_EXIT_QUALIFICATION | VECTOR_GPA,
	.jobs = 1,
	.outcomes = 1 << CASE_TRANSLATED | 1 << CASE_PAGE_FAULT | 1 << CASE_PDPTE_FAULT | 1 << CASE_NON_CANONICAL |
		    1 << CASE_EPT_VIOLATION | 1 << CASE_EPT_MISCONFIG,
	.limits = { .profiles = 1 << CASE_INTEL, .stages = 1 << CASE_ONE_DIMENSION | 1 << CASE_EPT,
		    .maxphyaddr = MAXPHYADDR, .have = FEATURES, .lack = CASE_LA57,
		    .modes = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 4, .wild = true },
	.start = start,
	.stop = stop,
	.prepare = prepare,
	.ask = ask,
	.explain = explain,
	.known = {
		{ "BOCHS-6", "with EPT's A/D flags off, EPT's W is not checked when A or D of a guest's entry is set" },
		{ "BOCHS-7", "with EPT's A/D flags on, a guest's table sets qualification bit 1 without bit 0" },
		{ "BOCHS-9", "bit 12 of an EPT entry that maps 2 MiB or 1 GiB is not reserved" },
		{ "BOCHS-10", "A and D of the guest's entries are set before the EPT is asked for the page" },
		{ "BOCHS-2", "implicit accesses pass SMAP when EFLAGS.AC is 1" },
		{ "BOCHS-1", "PKRU goes by the access, not by the page; of a supervisor's, write-disable alone" },
	},
};
