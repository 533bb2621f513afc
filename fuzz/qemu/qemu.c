/* SPDX-License-Identifier: MIT */
/*
 * Oracle T: a case through the page walker of QEMU's TCG. A guest of ours (guest.S) makes the access, in a machine
 * whose memory is mapped here too. See README.md.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "deviate.h"
#include "library.h"
#include "mailbox.h"
#include "oracle.h"

#define BIT(n) ((uint64_t)1 << (n))
#define GIB BIT(30)
#define PAGE ((uint64_t)4096)

/*
 * The machine's memory: nearly all that 40 bits can name, in a file of which only the pages in use exist. In the file
 * it lies without the hole under 4 GiB.
 */
#define MAXPHYADDR QEMU_MAXPHYADDR /* the only one that TCG has */
#define RAM_LOW    (3 * GIB)
#define RAM_END    (960 * GIB)
#define RAM_HOLE   (4 * GIB - RAM_LOW)
#define RAM_SIZE   (RAM_END - RAM_HOLE)
#define BIOS_START ((uint64_t)0xa0000)
#define BIOS_END   ((uint64_t)0x100000)

/* Pages that may be in use before all are given back. */
#define MAX_PAGES  16384

/* Bits that a case may have. Those that do not concern paging are not loaded. */
#define CR0_LOADED  (BIT(0) | BIT(16) | BIT(31))                    /* PE, WP, PG */
#define CR0_MAY     (CR0_LOADED | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(18))
#define CR4_LOADED  (BIT(4) | BIT(5) | BIT(7) | BIT(12) | BIT(20) | BIT(21) | BIT(22))
						/* PSE, PAE, PGE, LA57, SMEP, SMAP, PKE */
#define CR4_MAY     (CR4_LOADED | 0xf | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(16))
#define EFER_LOADED (BIT(0) | BIT(8) | BIT(11))                     /* SCE, LME, NXE */
#define EFER_MAY    (EFER_LOADED | BIT(10))

#define FEATURES_ALL  (CASE_PSE | CASE_PSE36 | CASE_PAE | CASE_NX | CASE_PAT | CASE_PAGE1GB | CASE_SMEP | CASE_SMAP | \
		       CASE_PKU | CASE_LA57)
#define FEATURES_HAVE (CASE_PAE | CASE_LA57) /* in every CPU that is started */

static struct {
	pid_t child;
	int file, log;
	uint8_t *ram;
	volatile struct mailbox *box;
	uint32_t seq;
	unsigned pages;               /* that may be in use */
	enum case_profile profile;    /* the CPU that was started */
	unsigned features;
	uint64_t random;
} machine = { .file = -1, .log = -1 };

static char version[128] = "QEMU";

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static void *at(uint64_t pa)
{
	return machine.ram + (pa < RAM_LOW ? pa : pa - RAM_HOLE);
}

/* Whether there is memory, and none of the firmware's or ours. */
static bool is_ram(uint64_t pa, uint64_t size)
{
	static const struct {
		uint64_t from, to;
	} good[] = {
		{ 0, BIOS_START }, { BIOS_END, PROBE_BASE }, { PROBE_END, RAM_LOW }, { 4 * GIB, RAM_END }
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (pa >= good[i].from && pa <= good[i].to - size)
			return true;
	return false;
}

/* Zeros everywhere but in the guest's own pages. */
static bool scrub(void)
{
	machine.pages = 0;
	return !fallocate(machine.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PROBE_BASE) &&
	       !fallocate(machine.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PROBE_END, RAM_SIZE - PROBE_END);
}

/* A number that no memory holds by chance. */
static uint64_t token(void)
{
	machine.random ^= machine.random << 13;
	machine.random ^= machine.random >> 7;
	machine.random ^= machine.random << 17;
	return machine.random | 0x0101010101010101;
}

/* ---- The machine ------------------------------------------------------------------------------------------------- */

static bool is_alive(void)
{
	if (machine.child > 0 && waitpid(machine.child, NULL, WNOHANG) == machine.child)
		machine.child = 0;
	return machine.child > 0;
}

static long milliseconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits till the guest has set *word to value; false: it has not, or is gone. */
static bool wait_for(const volatile uint32_t *word, uint32_t value, long milliseconds)
{
	long from;

	for (unsigned i = 0; i < 2000; i++) {
		if (*word == value) {
			__atomic_thread_fence(__ATOMIC_ACQUIRE);
			return true;
		}
		__builtin_ia32_pause();
	}
	from = milliseconds_now();
	for (unsigned i = 1; *word != value; i++) {
		sched_yield();
		if (i % 1024 == 0 && (!is_alive() || milliseconds_now() - from > milliseconds))
			return false;
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return true;
}

static void stop(void)
{
	if (is_alive()) {
		kill(machine.child, SIGKILL);
		waitpid(machine.child, NULL, 0);
	}
	machine.child = 0;
	if (machine.ram)
		munmap(machine.ram, RAM_SIZE);
	machine.ram = NULL;
	machine.box = NULL;
	if (machine.file >= 0)
		close(machine.file);
	if (machine.log >= 0)
		close(machine.log);
	machine.file = machine.log = -1;
}

/* QEMU's names, and where CPUID shows them: index in mailbox.cpuid, register, bit. */
static const struct {
	unsigned feature;
	const char *name;
	unsigned leaf, word, bit;
} cpuid_of[] = {
	{ CASE_PSE, "pse", 1, 3, 3 }, { CASE_PAE, "pae", 1, 3, 6 }, { CASE_PAT, "pat", 1, 3, 16 },
	{ CASE_PSE36, "pse36", 1, 3, 17 }, { CASE_NX, "nx", 4, 3, 20 }, { CASE_PAGE1GB, "pdpe1gb", 4, 3, 26 },
	{ CASE_SMEP, "smep", 2, 1, 7 }, { CASE_SMAP, "smap", 2, 1, 20 }, { CASE_PKU, "pku", 2, 2, 3 },
	{ CASE_LA57, "la57", 2, 2, 16 },
};

#define N_CPUID (sizeof(cpuid_of) / sizeof(*cpuid_of))

static const char *vendor(enum case_profile profile)
{
	return profile == CASE_AMD ? "AuthenticAMD" : "GenuineIntel";
}

/* build/qemu/probe.elf beside this program. */
static void probe_path(char *path, size_t n)
{
	ssize_t length = readlink("/proc/self/exe", path, n - 1);
	char *slash;

	path[length > 0 ? length : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash)
		snprintf(slash, n - (size_t)(slash - path), "/qemu/probe.elf");
}

/* In the child. Nobody may be left behind when the harness ends, however it ends. */
static void run_qemu(pid_t parent, enum case_profile profile, unsigned features)
{
	const char *machine_type = "pc,memory-backend=r,smm=off,max-ram-below-4g=3G";
	char cpu[256], memory[128], size[32], probe[512];
	int length = snprintf(cpu, sizeof(cpu), "max,vendor=%s", vendor(profile));

	for (size_t i = 0; i < N_CPUID; i++)
		if (!(features & cpuid_of[i].feature))
			length += snprintf(cpu + length, sizeof(cpu) - (size_t)length, ",%s=off", cpuid_of[i].name);
	snprintf(size, sizeof(size), "%lluG", (unsigned long long)(RAM_SIZE / GIB));
	snprintf(memory, sizeof(memory), "memory-backend-file,id=r,size=%s,mem-path=/proc/self/fd/%d,share=on", size,
		 machine.file);
	probe_path(probe, sizeof(probe));
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(126);
	fcntl(machine.file, F_SETFD, 0);
	dup2(open("/dev/null", O_RDWR), 0);
	dup2(machine.log, 1);
	dup2(machine.log, 2);
	execlp("qemu-system-x86_64", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
	       "-no-reboot", "-object", memory, "-m", size, "-M", machine_type, "-accel", "tcg,tb-size=32", "-cpu", cpu,
	       "-kernel", probe, (char *)NULL);
	dprintf(2, "qemu-system-x86_64: %s\n", strerror(errno));
	_exit(127);
}

/* The first line that QEMU said, if it did. */
static void why(char *reason, size_t n, const char *otherwise)
{
	char text[200];
	ssize_t length = pread(machine.log, text, sizeof(text) - 1, 0);

	text[length > 0 ? length : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	snprintf(reason, n, "%s", *text ? text : otherwise);
}

/* Does the guest's CPU say of itself what the case says? */
static bool check_cpu(char *reason, size_t n)
{
	const volatile struct mailbox *box = machine.box;
	const char *name = vendor(machine.profile);
	unsigned width = box->cpuid[5][0] & 0xff;
	char seen[12];

	for (unsigned i = 0; i < 3; i++) {
		uint32_t part = box->cpuid[0][i == 0 ? 1 : i == 1 ? 3 : 2];
		memcpy(seen + 4 * i, &part, 4);
	}
	if (memcmp(seen, name, sizeof(seen))) {
		snprintf(reason, n, "the guest's CPU is of %.12s, not %s", seen, name);
		return false;
	}
	if (box->cpuid[0][0] < 7 || box->cpuid[3][0] < 0x80000008 || width != MAXPHYADDR) {
		snprintf(reason, n, "the guest's CPU has %u physical address bits, not %u", width, MAXPHYADDR);
		return false;
	}
	for (size_t i = 0; i < N_CPUID; i++) {
		bool have = box->cpuid[cpuid_of[i].leaf][cpuid_of[i].word] >> cpuid_of[i].bit & 1;

		if (have != !!(machine.features & cpuid_of[i].feature)) {
			snprintf(reason, n, "the guest's CPU %s %s", have ? "has" : "lacks", cpuid_of[i].name);
			return false;
		}
	}
	return true;
}

/*
 * The oracle's own page tables: they map the first PROBE_MAPPED pages at PROBE_BASE to themselves. The guest turns
 * paging on with one entry of the case's root leading here. A and D are set, so that nothing is ever written.
 */
enum { PT32, PT64, PD, PDPT, PML4, PML5 };

static uint64_t table_of(unsigned table)
{
	return PROBE_TABLES + table * PAGE;
}

static void put64(uint64_t pa, uint64_t value)
{
	memcpy(at(pa), &value, sizeof(value));
}

static void put32(uint64_t pa, uint32_t value)
{
	memcpy(at(pa), &value, sizeof(value));
}

static void make_tables(void)
{
	/* Of code, ring 3's code, mailbox, window. */
	static const unsigned rights[PROBE_MAPPED] = { 0x63, 0x25, 0x63, 0x63 };

	for (unsigned i = 0; i < PROBE_MAPPED; i++) {
		uint32_t pte = (PROBE_BASE + i * 4096) | rights[i];

		put32(table_of(PT32) + 4 * i, pte);
		put64(table_of(PT64) + 8 * i, pte);
	}
	put64(table_of(PD) + 8 * (PROBE_BASE >> 21 & 511), table_of(PT64) | 0x27);
	put64(table_of(PDPT) + 8 * (PROBE_BASE >> 30), table_of(PD) | 0x27);
	put64(table_of(PML4), table_of(PDPT) | 0x27);
	put64(table_of(PML5), table_of(PML4) | 0x27);
}

/* Another machine with this CPU; the one that runs is ended. */
static bool start_machine(enum case_profile profile, unsigned features, char *reason, size_t n)
{
	pid_t parent = getpid();

	stop();
	machine.profile = profile;
	machine.features = features;
	machine.seq = 0;
	machine.file = memfd_create("pagewalk-qemu", MFD_CLOEXEC);
	machine.log = memfd_create("pagewalk-qemu-log", MFD_CLOEXEC);
	if (machine.file < 0 || machine.log < 0 || ftruncate(machine.file, RAM_SIZE)) {
		snprintf(reason, n, "no memory file: %s", strerror(errno));
		return false;
	}
	machine.ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, machine.file, 0);
	if (machine.ram == MAP_FAILED) {
		machine.ram = NULL;
		snprintf(reason, n, "the memory file cannot be mapped: %s", strerror(errno));
		return false;
	}
	machine.box = at(PROBE_BOX);
	machine.child = fork();
	if (machine.child < 0) {
		snprintf(reason, n, "no process: %s", strerror(errno));
		return false;
	}
	if (!machine.child)
		run_qemu(parent, profile, features);
	if (!wait_for(&machine.box->up, PROBE_UP, 10000)) {
		why(reason, n, is_alive() ? "the guest did not come up in 10 s" : "QEMU ended without a word");
		return false;
	}
	if (!check_cpu(reason, n))
		return false;
	if (!scrub()) {
		snprintf(reason, n, "the memory file cannot be cleared: %s", strerror(errno));
		return false;
	}
	make_tables();
	return true;
}

/* ---- What can be asked ------------------------------------------------------------------------------------------- */

static unsigned levels_of(const struct case_question *q)
{
	if (!(q->cr0 & BIT(31)))
		return 0;
	if (!(q->cr4 & BIT(5)))
		return 2;
	if (!(q->efer & BIT(8)))
		return 3;
	return q->cr4 & BIT(12) ? 5 : 4;
}

static bool is_canonical(uint64_t va, unsigned levels)
{
	unsigned width = levels == 5 ? 57 : 48;

	return va >> (width - 1) == 0 || va >> (width - 1) == ~(uint64_t)0 >> (width - 1);
}

/* Registers that a CPU can hold, with no bit that the guest is not made for. */
static bool is_possible(const struct case_question *q)
{
	static const struct {
		uint64_t cr4, efer;
		unsigned feature;
	} needs[] = {
		{ BIT(4), 0, CASE_PSE }, { BIT(20), 0, CASE_SMEP }, { BIT(21), 0, CASE_SMAP }, { BIT(22), 0, CASE_PKU },
		{ 0, BIT(11), CASE_NX },
	};
	bool lme = q->efer & BIT(8), lma = q->efer & BIT(10);

	if ((q->cr0 & ~CR0_MAY) || (q->cr4 & ~CR4_MAY) || (q->efer & ~EFER_MAY))
		return false;
	for (size_t i = 0; i < sizeof(needs) / sizeof(*needs); i++)
		if (((q->cr4 & needs[i].cr4) | (q->efer & needs[i].efer)) && !(q->features & needs[i].feature))
			return false;
	return (q->cr0 & 1) && (q->cr0 & BIT(31)) && lme == lma && (!lma || (q->cr4 & BIT(5)));
}

static bool is_inside(const struct case_question *q)
{
	unsigned levels = levels_of(q);

	if (q->profile > CASE_AMD || q->stage2 || q->maxphyaddr != MAXPHYADDR || !is_possible(q))
		return false;
	if ((q->features & ~(unsigned)FEATURES_ALL) || (~q->features & FEATURES_HAVE))
		return false;
	if (q->knobs & ~(unsigned)CASE_AD_AS_WALKED)
		return false;
	if (q->cr3 >> (levels < 4 ? 32 : MAXPHYADDR))
		return false;
	if ((levels < 4 || q->compatibility) && q->va >> 32) /* 32-bit code has no such address */
		return false;
	if (q->va >= PROBE_BASE && q->va < PROBE_BASE + PROBE_MAPPED * PAGE)
		return false;
	if (q->stack && q->access == CASE_FETCH)
		return false;
	if (q->implicit) { /* a descriptor of 8 bytes that is read */
		if (q->access != CASE_READ || (q->va & 0xfff) > 0xff8)
			return false;
		if (levels > 3 && !q->compatibility && !is_canonical(q->va, levels))
			return false;
	}
	for (unsigned w = 0; w < q->memory.count; w++)
		if (!is_ram(q->memory.address[w], 8))
			return false;
	return true;
}

/*
 * Where the walk will read, and where it leads to if nothing is wrong with it. This is how the oracle knows where to
 * wait for the access; it judges nothing but P and where the tables are.
 */
struct way {
	unsigned levels, n, size;  /* entries that are read, and their size */
	uint64_t entry[5];         /* their addresses */
	bool leads;                /* to pa */
	int level;                 /* of the leaf */
	uint64_t pa;
};

static void find_way(const struct case_question *q, struct way *way)
{
	unsigned levels = levels_of(q);
	uint64_t table = levels == 3 ? q->cr3 & 0xffffffe0 : q->cr3 & (BIT(MAXPHYADDR) - PAGE), entry;

	way->levels = levels;
	way->n = 0;
	way->size = levels == 2 ? 4 : 8;
	way->leads = false;
	for (int level = (int)levels; level; level--) {
		unsigned bits = levels == 2 ? 10 : levels == 3 && level == 3 ? 2 : 9;
		int shift = 12 + (levels == 2 ? 10 : 9) * (level - 1);
		bool large = level == 2 ? levels != 2 || (q->cr4 & BIT(4)) : level == 3 && levels > 3;

		way->entry[way->n] = table + (q->va >> shift & (BIT(bits) - 1)) * way->size;
		if (!case_load(&q->memory, q->memory.value, way->entry[way->n++], way->size, &entry) || !(entry & 1))
			return;
		if (entry & (BIT(52) - BIT(MAXPHYADDR))) /* reserved */
			return;
		table = entry & (BIT(MAXPHYADDR) - PAGE);
		if (level > 1 && !(large && (entry & BIT(7))))
			continue;
		way->leads = true;
		way->level = level;
		way->pa = (table & ~(BIT(shift) - 1)) | (q->va & (BIT(shift) - 1));
		if (levels == 2 && level == 2)
			way->pa |= (entry & 0x1fe000) << 19; /* PSE-36 */
		return;
	}
}

/* ---- The root's entry -------------------------------------------------------------------------------------------- */

/* The root's entry that leads to our pages while the guest gets ready. */
struct slot {
	uint64_t address;
	unsigned size;
	uint64_t before, ours;
};

static bool make_slot(const struct case_question *q, unsigned levels, struct slot *slot)
{
	static const struct {
		unsigned index, table, size, flags;
	} own[] = {
		[2] = { PROBE_BASE >> 22, PT32, 4, 0x27 }, [3] = { PROBE_BASE >> 30, PD, 8, 0x01 },
		[4] = { 0, PDPT, 8, 0x27 }, [5] = { 0, PML4, 8, 0x27 }
	};
	uint64_t root = levels == 3 ? q->cr3 & ~(uint64_t)31 : q->cr3 & ~(PAGE - 1);

	slot->size = own[levels].size;
	slot->address = root + own[levels].index * slot->size;
	slot->ours = table_of(own[levels].table) | own[levels].flags;
	return is_ram(slot->address, slot->size) &&
	       case_load(&q->memory, q->memory.value, slot->address, slot->size, &slot->before);
}

/* ---- Bait: what lies where the access should hit ----------------------------------------------------------------- */

struct bait {
	unsigned op;
	unsigned size;         /* bytes at the place */
	uint8_t bytes[8];      /* that are there before, or after a write */
	uint64_t rax;          /* of the access; a read that hits returns the same */
	uint64_t rax_mask;
	bool placed;           /* the place was empty, and has to be again */
	bool spoils;           /* it is a word of the case: the byte is to be restored */
	uint8_t spoilt;
};

/* Code that returns a number of its place, and only that: QEMU may run what it has translated the last time. */
static void bait_fetch(struct bait *bait, uint64_t pa)
{
	uint32_t number = (uint32_t)((pa + 1) * 0x9e3779b97f4a7c15 >> 32) | 1;

	bait->rax = bait->rax_mask = 0;
	bait->size = 1;
	bait->bytes[0] = 0xcc; /* int3 */
	if ((pa & 0xfff) > 0xffa)
		return;
	bait->size = 6;
	bait->bytes[0] = 0xb8; /* mov eax, number; int3 */
	memcpy(bait->bytes + 1, &number, 4);
	bait->bytes[5] = 0xcc;
	bait->rax = number;
	bait->rax_mask = 0xffffffff;
}

/* A descriptor for LSL: data of ring 3, a random limit, which is what LSL returns. */
static void bait_ldt(struct bait *bait)
{
	uint64_t random = token();

	bait->op = OP_LDT;
	bait->size = 8;
	memcpy(bait->bytes, &random, 8);
	bait->bytes[5] = 0xf3;
	bait->bytes[6] &= 0x0f;
	bait->rax = (uint64_t)(bait->bytes[0] | bait->bytes[1] << 8 | bait->bytes[6] << 16);
	bait->rax_mask = 0xffffffff;
}

/* Is a byte of these in a word of the case? */
static bool has_word(const struct case_question *q, uint64_t pa, unsigned size)
{
	uint64_t last = pa + size - 1;

	return case_find(&q->memory, pa & ~(uint64_t)7) >= 0 || case_find(&q->memory, last & ~(uint64_t)7) >= 0;
}

/* False: this access cannot be told from another there. */
static bool make_bait(const struct case_question *q, const struct way *way, const struct slot *slot, struct bait *bait)
{
	uint64_t random = token(), pa = way->leads ? way->pa : q->va & 0xfff;
	bool stack = q->stack, one = (pa & 0xfff) > 0xffc || (way->leads && has_word(q, pa, 4));

	memset(bait, 0, sizeof(*bait));
	if (way->leads && (!is_ram(pa, 1) || pa - slot->address + 8 < 16))
		return false;
	if (q->access == CASE_FETCH) {
		bait->op = OP_FETCH;
		bait_fetch(bait, pa);
		return !way->leads || !has_word(q, pa, bait->size);
	}
	if (q->implicit) {
		bait_ldt(bait);
		return !way->leads || !has_word(q, pa, bait->size);
	}
	bait->op = q->access == CASE_READ ? (one ? OP_READ1 : OP_READ4) : one ? OP_WRITE1 : OP_WRITE4;
	if (stack)
		bait->op += OP_STACK_READ1 - OP_READ1;
	bait->size = one ? 1 : 4;
	memcpy(bait->bytes, &random, 8);
	if (way->leads && has_word(q, pa, 1)) {
		uint8_t there = (uint8_t)(q->memory.value[case_find(&q->memory, pa & ~(uint64_t)7)] >> (pa & 7) * 8);

		if (q->access == CASE_READ) /* zeros are everywhere */
			return there;
		if (!(pa & (way->size - 1))) /* A and D are in an entry's first byte */
			return false;
		bait->spoils = true;
		bait->spoilt = there;
		bait->bytes[0] = (uint8_t)~there;
	}
	bait->rax_mask = one ? 0xff : 0xffffffff;
	memcpy(&bait->rax, bait->bytes, 8);
	return true;
}

static void place_bait(const struct case_question *q, const struct way *way, struct bait *bait)
{
	if (!way->leads || has_word(q, way->pa, bait->size))
		return;
	bait->placed = true;
	if (++machine.pages > MAX_PAGES)
		scrub();
	if (q->access != CASE_WRITE)
		memcpy(at(way->pa), bait->bytes, bait->size);
}

/* Did the access, which went through, go there? The words of the case are still in memory. */
static bool took_bait(const struct case_question *q, const struct way *way, const struct bait *bait)
{
	const uint8_t *there = at(way->pa);

	if (q->access == CASE_WRITE)
		return !memcmp(there, bait->bytes, bait->size);
	if (!bait->placed) /* a table's entry: as it is now */
		return *there == (uint8_t)machine.box->rax_out;
	return !((machine.box->rax_out ^ bait->rax) & bait->rax_mask);
}

/* ---- The access -------------------------------------------------------------------------------------------------- */

/* An implicit access may come from either ring, with the same answer; the address decides. */
static bool is_ring3(const struct case_question *q)
{
	return q->user || (q->implicit && (q->va & 8));
}

static void fill_mailbox(const struct case_question *q, unsigned levels, const struct slot *slot,
			 const struct bait *bait)
{
	volatile struct mailbox *box = machine.box;
	bool long_mode = levels > 3, code64 = long_mode && !q->compatibility, user = is_ring3(q);
	uint64_t ops = PROBE_BASE + (user ? PROBE_USER_OPS : PROBE_OPS), window = (slot->address & ~(PAGE - 1)) | 0x63;

	box->cr0 = (uint32_t)(q->cr0 & CR0_LOADED);
	box->cr4 = (uint32_t)(q->cr4 & CR4_LOADED);
	box->efer = (uint32_t)(q->efer & EFER_LOADED);
	box->pkru = (uint32_t)q->pkru;
	box->long_mode = long_mode;
	box->first_cr3 = (uint32_t)q->cr3;
	box->cr3 = 0;
	if (q->cr3 >> 32) {
		box->first_cr3 = (uint32_t)table_of(levels == 5 ? PML5 : PML4);
		box->cr3 = q->cr3;
	}
	if (user)
		box->cs = code64 ? SEL_UCODE64 : SEL_UCODE32;
	else
		box->cs = code64 ? SEL_KCODE64 : SEL_KCODE32;
	box->ss = user ? SEL_UDATA : SEL_KDATA;
	box->flags = 2 | (q->rflags & BIT(18));
	box->warm = ops;
	box->op = ops + 16 * bait->op;
	box->va = q->va;
	box->rax = bait->rax;
	box->ldt = 0;
	if (q->implicit) {
		box->ldt = SEL_LDT;
		put64(PROBE_GDT + SEL_LDT, /* P, type 2, 64 KiB */
		      (q->va >> 24 & 0xff) << 56 | BIT(47) | BIT(41) | (q->va & 0xffffff) << 16 | 0xffff);
		put64(PROBE_GDT + SEL_LDT + 8, q->va >> 32);
	}
	box->slot = PROBE_WINDOW + (slot->address & (PAGE - 1));
	box->slot_size = slot->size;
	box->slot_value = slot->before;
	if (levels == 2)
		put32(table_of(PT32) + 4 * 3, (uint32_t)window);
	else
		put64(table_of(PT64) + 8 * 3, window);
}

static bool has_error_code(unsigned vector)
{
	return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

/* What the guest's last exception means. */
static void read_answer(const struct case_question *q, const struct way *way, const struct bait *bait,
			struct case_answer *a)
{
	const volatile struct mailbox *box = machine.box;
	uint64_t mask = levels_of(q) > 3 ? ~(uint64_t)0 : 0xffffffff, error = box->error & 0xffffffff;
	unsigned vector = (unsigned)box->vector & 0xff;

	if (vector == 3) {
		uint64_t rip = q->access == CASE_FETCH ? q->va + bait->size : box->op + (bait->op == OP_LDT ? 4 : 3);
		bool there = way->leads && took_bait(q, way, bait);

		if (bait->op == OP_STACK_READ1 || bait->op == OP_STACK_READ4 || bait->op == OP_STACK_WRITE1 ||
		    bait->op == OP_STACK_WRITE4)
			rip++;
		a->outcome = CASE_TRANSLATED;
		a->pa = there && ((box->rip ^ rip) & mask) == 0 ? way->pa : ~(uint64_t)0;
	} else if (vector == 14) {
		a->outcome = CASE_PAGE_FAULT;
		a->error_code = error;
		a->cr2 = box->cr2 & mask;
	} else if ((vector == 13 || vector == 12) && !error) {
		a->outcome = CASE_NON_CANONICAL;
		a->vector = vector;
	} else {
		a->outcome = CASE_BAD_STATE;
		a->vector = vector;
		a->error_code = has_error_code(vector) ? error : 0;
	}
}

static enum oracle_result ask(const struct case_question *q, struct case_answer *a)
{
	volatile struct mailbox *box;
	const struct case_memory *m = &q->memory;
	struct slot slot;
	struct bait bait;
	struct way way;
	char reason[256];

	if (!is_inside(q))
		return ORACLE_OUTSIDE;
	find_way(q, &way);
	for (unsigned i = 0; i < way.n; i++)
		if (!is_ram(way.entry[i], way.size) || way.entry[i] >= m->size)
			return ORACLE_OUTSIDE;
	if (!make_slot(q, way.levels, &slot) || !make_bait(q, &way, &slot, &bait))
		return ORACLE_OUTSIDE;
	if ((q->profile != machine.profile || q->features != machine.features) &&
	    !start_machine(q->profile, q->features, reason, sizeof(reason))) {
		fprintf(stderr, "qemu: %s\n", reason);
		return ORACLE_BROKEN;
	}
	box = machine.box;

	place_bait(q, &way, &bait);
	for (unsigned w = 0; w < m->count; w++)
		put64(m->address[w], m->value[w]);
	if (slot.size == 4)
		put32(slot.address, (uint32_t)slot.ours);
	else
		put64(slot.address, slot.ours);
	fill_mailbox(q, way.levels, &slot, &bait);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	box->seq = ++machine.seq;
	if (!wait_for(&box->done, machine.seq, 2000))
		return ORACLE_BROKEN;

	memset(a, 0, offsetof(struct case_answer, value));
	read_answer(q, &way, &bait, a);
	if (bait.spoils)
		memcpy(at(way.pa), &bait.spoilt, 1);
	for (unsigned w = 0; w < m->count; w++) {
		memcpy(&a->value[w], at(m->address[w]), 8);
		put64(m->address[w], 0);
	}
	if (slot.size == 4)
		put32(slot.address, 0);
	else
		put64(slot.address, 0);
	if (bait.placed)
		memset(at(way.pa), 0, bait.size);
	if ((a->outcome == CASE_TRANSLATED && a->pa == ~(uint64_t)0) || a->outcome == CASE_BAD_STATE)
		scrub(); /* whatever it has hit */
	return ORACLE_ANSWERED;
}

/* ---- Random cases ------------------------------------------------------------------------------------------------ */

/* The CPU changes all so many cases: it takes another machine. */
#define CASES_A_CPU 65536

static unsigned made;               /* cases, since start() */
static enum case_profile profile_now;
static unsigned features_now;

static void next_cpu(struct dice *d)
{
	static const unsigned may_lack[] = {
		CASE_PSE, CASE_PSE36, CASE_PAT, CASE_NX, CASE_PAGE1GB, CASE_SMEP, CASE_SMAP, CASE_PKU
	};

	if (made++ % CASES_A_CPU)
		return;
	profile_now = dice_one_in(d, 2) ? CASE_AMD : CASE_INTEL;
	features_now = FEATURES_ALL;
	if (made > 1 && dice_one_in(d, 2))
		for (size_t i = 0; i < sizeof(may_lack) / sizeof(*may_lack); i++)
			features_now &= dice_one_in(d, 4) ? ~may_lack[i] : ~0u;
}

static void set_cpu(struct dice *d, struct case_question *q)
{
	q->profile = profile_now;
	q->features = features_now;
	q->cr4 &= ~((features_now & CASE_PSE ? 0 : BIT(4)) | (features_now & CASE_SMEP ? 0 : BIT(20)) |
		    (features_now & CASE_SMAP ? 0 : BIT(21)) | (features_now & CASE_PKU ? 0 : BIT(22)));
	q->efer &= ~(features_now & CASE_NX ? 0 : BIT(11));
	q->knobs = dice_one_in(d, 2) ? CASE_AD_AS_WALKED : 0;
}

static void set_access(struct dice *d, struct case_question *q, unsigned levels)
{
	if (levels < 4)
		q->cr3 &= 0xffffffff;
	if (levels < 4 || q->compatibility)
		q->va &= 0xffffffff;
	if (q->access == CASE_FETCH)
		q->stack = false;
	if (!q->implicit)
		return;
	if (q->access != CASE_READ && dice_one_in(d, 2))
		q->implicit = false;
	else
		q->access = CASE_READ;
	if (q->implicit) {
		q->va &= ~(uint64_t)7;
		if (levels > 3 && !is_canonical(q->va, levels))
			q->va &= BIT(47) - 1; /* another place, so the tables may not lead there */
	}
}

/*
 * The gigabytes where tables and pages are put when they are not to lie low. Few, since QEMU and the kernel keep
 * something for each part of memory that was ever used; between them every bit of an address is 0 and 1.
 */
static uint64_t far_away(struct dice *d, unsigned levels)
{
	static const uint16_t gigabytes[] = { 0, 1, 2, 4, 0x155, 0x2aa, 0x333, 0x3bf };

	return gigabytes[dice_below(d, levels == 2 ? 3 : 8)] * GIB;
}

static void set_entry(struct case_question *q, const struct way *way, unsigned i, uint64_t clear, uint64_t set)
{
	uint64_t entry;

	if (case_load(&q->memory, q->memory.value, way->entry[i], way->size, &entry))
		case_store(&q->memory, q->memory.value, way->entry[i], way->size, (entry & ~clear) | set);
}

/* Puts one of the tables on the way somewhere else, with all that is in its page. */
static void move_table(struct dice *d, struct case_question *q, const struct way *way)
{
	static struct case_memory old;
	unsigned i = dice_below(d, way->n);
	uint64_t from = way->entry[i] & ~(PAGE - 1), address = BIT(MAXPHYADDR) - PAGE, to;

	if (way->levels == 2 || (way->levels == 3 && !i))
		address &= 0xffffffff;
	to = far_away(d, address >> 32 ? 4 : 2) + ((uint64_t)dice_below(d, 1 << 9) << 21);
	if (dice_one_in(d, 8))
		to = (address >> 32 ? RAM_END : RAM_LOW) - PAGE;
	old = q->memory;
	case_clear(&q->memory, old.size);
	for (unsigned w = 0; w < old.count; w++) {
		bool moves = (old.address[w] & ~(PAGE - 1)) == from;

		case_set(&q->memory, moves ? old.address[w] - from + to : old.address[w], old.value[w]);
	}
	if (!i)
		q->cr3 = (q->cr3 & ~address) | to;
	else if ((way->entry[i - 1] & ~(PAGE - 1)) != from)
		set_entry(q, way, i - 1, address, to);
}

/* Puts the page where the machine has memory. Bits that are reserved stay as they are. */
static void move_page(struct dice *d, struct case_question *q, const struct way *way)
{
	uint64_t gigabyte = far_away(d, way->levels == 2 && way->level == 1 ? 2 : 4);

	if (way->levels == 2)
		set_entry(q, way, way->n - 1, 0xc0000000 | (way->level == 2 ? 0x1fe000u : 0),
			  (gigabyte & 0xffffffff) | gigabyte >> 32 << 13);
	else
		set_entry(q, way, way->n - 1, BIT(MAXPHYADDR) - GIB, gigabyte);
}

static void prepare(struct dice *d, struct case_question *q)
{
	unsigned levels = levels_of(q);
	struct way way;
	struct slot slot;
	struct bait bait;

	next_cpu(d);
	set_cpu(d, q);
	set_access(d, q, levels);
	q->memory.size = RAM_END;
	find_way(q, &way);
	if (dice_one_in(d, 4)) {
		move_table(d, q, &way);
		find_way(q, &way);
	}
	for (unsigned tries = 0; tries < 8; tries++) {
		if (!way.leads || (is_ram(way.pa, 8) && (tries || way.pa < RAM_LOW)))
			break;
		move_page(d, q, &way);
		find_way(q, &way);
	}
	for (unsigned tries = 0; tries < 8; tries++) {
		if (!make_slot(q, levels, &slot) || make_bait(q, &way, &slot, &bait))
			break;
		q->va = (q->va & ~(PAGE - 1)) | dice_below(d, 4096);
		if (q->implicit)
			q->va &= ~(uint64_t)7;
		find_way(q, &way);
	}
}

/* The fewest deviations that make the answers equal. */
static unsigned explain(const struct case_question *q, const struct case_answer *ours, struct case_answer *theirs)
{
	(void)ours;
	return qemu_explain(q, theirs, is_ring3(q), false);
}

/* ---- The oracle -------------------------------------------------------------------------------------------------- */

static bool start(char *reason, size_t n)
{
	FILE *f = popen("qemu-system-x86_64 --version 2>/dev/null", "r");
	char line[100] = "";

	machine.random = 0x2545f4914f6cdd1d;
	made = 0;
	if (f) {
		if (!fgets(line, sizeof(line), f))
			line[0] = '\0';
		pclose(f);
	}
	line[strcspn(line, "\n")] = '\0';
	if (!*line) {
		snprintf(reason, n, "qemu-system-x86_64 does not run (apt-get install qemu-system-x86)");
		return false;
	}
	snprintf(version, sizeof(version), "%s TCG", line);
	if (start_machine(CASE_INTEL, FEATURES_ALL, reason, n))
		return true;
	stop();
	return false;
}

struct oracle oracle_qemu = {
	.name = "qemu",
	.version = version,
	.sees = VECTOR_PA | VECTOR_VECTOR | VECTOR_ERROR_CODE | VECTOR_CR2,
	.jobs = 1,
	.outcomes = 1 << CASE_TRANSLATED | 1 << CASE_PAGE_FAULT | 1 << CASE_NON_CANONICAL,
	.limits = {
		.profiles = 1 << CASE_INTEL | 1 << CASE_AMD, .modes = 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5,
		.stages = 1 << CASE_ONE_DIMENSION, .maxphyaddr = MAXPHYADDR, .have = FEATURES_ALL, .wild = true,
	},
	.known = QEMU_KNOWN,
	.start = start,
	.stop = stop,
	.prepare = prepare,
	.ask = ask,
	.explain = explain,
};
