/* SPDX-License-Identifier: MIT */
/*
 * Oracle K2: a case through KVM inside QEMU's TCG: its own walker, or the walk of two dimensions by the CPU that QEMU
 * emulates. See ../devkvm/README.md.
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

#include "../qemu/deviate.h"
#include "mailbox.h"
#include "oracle.h"
#include "probe.h"

#define START_SECONDS 60
#define ASK_SECONDS 20

static pid_t qemu;
static int ram = -1, serial = -1;
static struct mailbox *box;
static char version[512];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool has_ended(void)
{
	if (qemu > 0 && waitpid(qemu, NULL, WNOHANG) == qemu)
		qemu = 0;
	return !qemu;
}

static void stop(void)
{
	if (qemu > 0) {
		kill(qemu, SIGKILL);
		waitpid(qemu, NULL, 0);
	}
	qemu = 0;
	if (box)
		munmap(box, MAILBOX_SIZE);
	box = NULL;
	if (ram >= 0)
		close(ram);
	if (serial >= 0)
		close(serial);
	ram = serial = -1;
}

/* The files are next to the program: build/kvmguest for build/differ. */
static bool find_files(char *kernel, char *initramfs, size_t n)
{
	char program[512], line[128] = "";
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	char *slash;
	FILE *f;

	if (length <= 0)
		return false;
	program[length] = 0;
	slash = strrchr(program, '/');
	if (!slash)
		return false;
	*slash = 0;
	snprintf(kernel, n, "%s/kvmguest/version", program);
	f = fopen(kernel, "r");
	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		line[0] = 0;
	fclose(f);
	line[strcspn(line, "\n")] = 0;
	snprintf(version, sizeof(version), "%s", line);
	snprintf(kernel, n, "%s/kvmguest/vmlinuz", program);
	snprintf(initramfs, n, "%s/kvmguest/initramfs", program);
	return !access(kernel, R_OK) && !access(initramfs, R_OK);
}

/* The number alone: the rest is in the oracle qemu's. */
static void add_qemu_version(void)
{
	char number[32] = "";
	FILE *f = popen("qemu-system-x86_64 --version 2>/dev/null", "r");

	if (!f)
		return;
	if (fscanf(f, "QEMU emulator version %31s", number) == 1) {
		strncat(version, " in QEMU ", sizeof(version) - strlen(version) - 1);
		strncat(version, number, sizeof(version) - strlen(version) - 1);
	}
	pclose(f);
}

static void run_qemu(const char *kernel, const char *initramfs, pid_t parent)
{
	char memory[128], console[64], append[256], size[32];
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	dup2(null, 0);
	dup2(serial, 1);
	dup2(serial, 2);
	snprintf(size, sizeof(size), "%uM", GUEST_MEMORY >> 20);
	snprintf(memory, sizeof(memory), "memory-backend-file,id=ram,share=on,size=%s,mem-path=/proc/self/fd/%d", size, ram);
	snprintf(console, sizeof(console), "file:/proc/self/fd/%d", serial);
	snprintf(append, sizeof(append),
		 "console=ttyS0 loglevel=3 panic=-1 nokaslr mitigations=off nosmp random.trust_cpu=on memmap=%uK$%#x",
		 MAILBOX_SIZE >> 10, MAILBOX_ADDRESS);
	execlp("qemu-system-x86_64", "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
	       "-accel", "tcg", "-cpu", "max,+svm", "-smp", "1", "-m", size, "-object", memory, "-M", "q35,memory-backend=ram",
	       "-serial", console, "-kernel", kernel, "-initrd", initramfs, "-append", append, (char *)NULL);
	_exit(127);
}

/* The last line that the guest or QEMU printed. */
static void last_line(char *to, size_t n)
{
	char text[513];
	ssize_t size = lseek(serial, 0, SEEK_END);
	ssize_t got = size < 0 ? 0 : pread(serial, text, sizeof(text) - 1, size > 512 ? size - 512 : 0);
	char *line;

	text[got < 0 ? 0 : got] = 0;
	for (size_t end = strlen(text); end && (text[end - 1] == '\n' || text[end - 1] == '\r');)
		text[--end] = 0;
	line = strrchr(text, '\n');
	snprintf(to, n, "%s", line ? line + 1 : text);
}

static bool wait_for_guest(char *reason, size_t n)
{
	double end = now() + START_SECONDS;
	char line[160];

	while (__atomic_load_n(&box->state, __ATOMIC_ACQUIRE) == MAILBOX_BOOTING) {
		if (has_ended() || now() > end) {
			last_line(line, sizeof(line));
			snprintf(reason, n, "%s: %s", qemu ? "the guest does not come up" : "QEMU has ended", line);
			return false;
		}
		nanosleep(&(struct timespec){ 0, 10000000 }, NULL);
	}
	if (box->state == MAILBOX_UP)
		return true;
	snprintf(reason, n, "in the guest: %s", box->text);
	return false;
}

static bool start(char *reason, size_t n)
{
	char kernel[600], initramfs[600];
	pid_t parent = getpid();
	void *at;

	if (!find_files(kernel, initramfs, sizeof(kernel))) {
		snprintf(reason, n, "there is no kvmguest/ with kernel and initramfs next to the program");
		return false;
	}
	add_qemu_version();
	ram = memfd_create("kvmguest-ram", 0);
	serial = memfd_create("kvmguest-serial", 0);
	if (ram < 0 || serial < 0 || ftruncate(ram, GUEST_MEMORY)) {
		snprintf(reason, n, "memfd_create: %s", strerror(errno));
		stop();
		return false;
	}
	at = mmap(NULL, MAILBOX_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ram, MAILBOX_ADDRESS);
	if (at == MAP_FAILED) {
		snprintf(reason, n, "mmap: %s", strerror(errno));
		stop();
		return false;
	}
	box = at;
	fflush(NULL);
	qemu = fork();
	if (!qemu)
		run_qemu(kernel, initramfs, parent);
	if (qemu < 0 || !wait_for_guest(reason, n)) {
		if (qemu < 0)
			snprintf(reason, n, "fork: %s", strerror(errno));
		stop();
		return false;
	}
	return true;
}

static void prepare(struct dice *d, struct case_question *q)
{
	probe_prepare(PROBE_NESTED, dice_bits(d), q);
}

static bool wait_for_answer(uint32_t seq)
{
	double end = 0;

	for (unsigned spins = 1; __atomic_load_n(&box->done, __ATOMIC_ACQUIRE) != seq; spins++) {
		sched_yield(); /* an answer takes a quarter of a millisecond; to sleep would take as long again */
		if (spins % 65536)
			continue;
		if (!end)
			end = now() + ASK_SECONDS;
		if (has_ended() || now() > end)
			return false;
	}
	return true;
}

static enum oracle_result ask(const struct case_question *q, struct case_answer *a)
{
	struct case_memory *m = &box->question.memory;
	uint32_t seq = box->seq + 1;

	if (!qemu)
		return ORACLE_BROKEN;
	memcpy(&box->question, q, offsetof(struct case_question, memory));
	m->size = q->memory.size;
	m->count = q->memory.count;
	memcpy(m->address, q->memory.address, m->count * sizeof(*m->address));
	memcpy(m->value, q->memory.value, m->count * sizeof(*m->value));
	__atomic_store_n(&box->seq, seq, __ATOMIC_RELEASE);
	if (!wait_for_answer(seq)) {
		fprintf(stderr, "kvmguest: no answer; %s\n", qemu ? "QEMU is stopped" : "QEMU has ended");
		stop();
		return ORACLE_BROKEN;
	}
	switch ((enum probe_result)box->result) {
	case PROBE_ANSWERED:
		memcpy(a, &box->answer, offsetof(struct case_answer, value));
		memcpy(a->value, box->answer.value, m->count * sizeof(*a->value));
		return ORACLE_ANSWERED;
	case PROBE_OUTSIDE:
		return ORACLE_OUTSIDE;
	case PROBE_BROKEN:
		break;
	}
	fprintf(stderr, "kvmguest: %.255s\n", box->text);
	return ORACLE_BROKEN;
}

/* The profiles of KVM ask its walker, which has nothing to explain; amd asks QEMU's, over memory that is KVM's. */
static unsigned explain(const struct case_question *q, const struct case_answer *ours, struct case_answer *theirs)
{
	(void)ours;
	return q->profile == CASE_AMD ? qemu_explain(q, theirs, false, true) : 0;
}

struct oracle oracle_kvmguest = {
	.name = "kvmguest",
	.version = version,
	.sees = VECTOR_PA | VECTOR_VECTOR | VECTOR_ERROR_CODE | VECTOR_CR2,
	.jobs = 1,
	.outcomes = 1 << CASE_TRANSLATED | 1 << CASE_PAGE_FAULT | 1 << CASE_PDPTE_FAULT | 1 << CASE_NON_CANONICAL,
	.limits = { .profiles = 1 << CASE_AMD | 1 << CASE_KVM_INTEL | 1 << CASE_KVM_AMD, .stages = 1 << CASE_ONE_DIMENSION,
		    .wild = true },
	.start = start,
	.stop = stop,
	.prepare = prepare,
	.ask = ask,
	.explain = explain,
	.known = QEMU_KNOWN,
};
