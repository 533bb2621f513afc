/* SPDX-License-Identifier: MIT */
/* The guest's whole user space: process 1 loads KVM's modules and then answers the cases that come by the mailbox. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "mailbox.h"
#include "probe.h"

static struct mailbox *box;

static void say(uint32_t state, const char *what, const char *why)
{
	snprintf(box->text, sizeof(box->text), "%s%s%s", what, *why ? ": " : "", why);
	__atomic_store_n(&box->state, state, __ATOMIC_RELEASE);
}

static bool load(const char *file, const char *parameters)
{
	int module = open(file, O_RDONLY);

	if (module < 0) /* built in, or not needed by this kernel */
		return errno == ENOENT;
	if (!syscall(SYS_finit_module, module, parameters, 0)) {
		close(module);
		return true;
	}
	say(MAILBOX_FAILED, file, strerror(errno));
	return false;
}

static unsigned physical_address_bits(void)
{
	unsigned eax = 0x80000008, ebx, ecx = 0, edx;

	__asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
	return eax & 255;
}

static void serve(void)
{
	for (uint32_t seq = 0;;) {
		uint32_t next = __atomic_load_n(&box->seq, __ATOMIC_ACQUIRE);

		if (next == seq)
			continue;
		seq = next;
		box->result = (uint32_t)probe_ask(&box->question, &box->answer);
		if (box->result == PROBE_BROKEN)
			snprintf(box->text, sizeof(box->text), "%s", probe_error());
		__atomic_store_n(&box->done, seq, __ATOMIC_RELEASE);
	}
}

int main(void)
{
	char reason[200] = "";
	struct utsname name;
	int memory;

	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL); /* a kernel may have done it */
	memory = open("/dev/mem", O_RDWR | O_SYNC);
	if (memory < 0)
		return 1;
	box = mmap(NULL, MAILBOX_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memory, MAILBOX_ADDRESS);
	if (box == MAP_FAILED)
		return 1;
	if (load("/irqbypass.ko", "") && load("/ccp.ko", "") && load("/kvm.ko", "force_emulation_prefix=1 tdp_mmu=0") &&
	    load("/kvm-amd.ko", "npt=1")) {
		if (probe_open(PROBE_NESTED, physical_address_bits(), reason, sizeof(reason))) {
			uname(&name);
			say(MAILBOX_UP, name.release, name.version);
			serve();
		}
		say(MAILBOX_FAILED, reason, "");
	}
	for (;;)
		pause();
}
