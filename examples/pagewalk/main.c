/* SPDX-License-Identifier: MIT */
/*
 * pagewalk: what does an x86 CPU do with this address? The command on an image of a machine's memory.
 *
 *   options.c     the command line
 *   image.c       the image: memory and registers
 *   machine.c     from both to the library's walkers
 *   translate.c   explain.c   map.c   capture.c
 *   tables.c      all tables that CR3 leads to, for map and capture
 *   entry.c       one entry;  answer.c  what a translation came to;  text.c, report.c  how all of it is written
 */
#include <stdio.h>

#include "commands.h"
#include "report.h"

#define VERSION "0.1.0"

static const char help[] =
	"pagewalk: what does an x86 CPU do with this address? Walks the page tables in an image of its memory.\n"
	"\n"
	"  pagewalk translate IMAGE VA...       where each address leads; - reads addresses from standard input\n"
	"  pagewalk explain   IMAGE VA          every table entry on the way, and the verdict with its rule\n"
	"  pagewalk map       IMAGE             all mappings, equal neighbours folded\n"
	"  pagewalk capture   IMAGE -o SMALL    a small ELF core: the registers and the page tables, nothing else\n"
	"\n"
	"IMAGE is an ELF core of QEMU's dump-guest-memory, a LiME image, or raw memory (offset = physical address).\n"
	"VA and X are hexadecimal, up to 16 digits, with or without 0x; N is decimal.\n"
	"\n"
	"Registers; by default those of the image's first CPU. EFER is not in QEMU's cores and is derived; raw and\n"
	"LiME images have none: --cr3 is needed, the others are those of long mode. What was assumed is said. PKRU is\n"
	"0 unless the image or --pkru tells it.\n"
	"  --cr0 X --cr3 X --cr4 X --efer X --pkru X --rflags X\n"
	"The access (translate, explain):\n"
	"  --access r|w|x    read (default), write or instruction fetch\n"
	"  --cpl N           0 ... 3; by default 0, and RFLAGS.AC is taken as 1, so that SMAP hides no user page\n"
	"The CPU:\n"
	"  --profile P       intel (default), amd (default with --ncr3), kvm-intel, kvm-amd: with KVM's deviations\n"
	"  --maxphyaddr N    bits of a physical address, 32 ... 52 (default)\n"
	"A second stage (translate, explain); IMAGE is then the host's memory, and CR3 the guest's:\n"
	"  --eptp X          EPT; --mbec: mode-based execute control\n"
	"  --ncr3 X          AMD nested paging; --hcr0 X --hcr4 X --hefer X: the host's (default: long mode)\n"
	"Other:\n"
	"  --json            one JSON object a line\n"
	"  --limit N         map: how many table entries to look at before giving up (default 67108864)\n"
	"  -o SMALL          capture: the file to write\n"
	"  --help --version; -- ends the options\n"
	"\n"
	"translate prints   VA PA SHIFT RIGHTS   SHIFT: log2 of the page's size (64: none, paging is off)\n"
	"                                        RIGHTS: u or -, r or -, w or -, x or -\n"
	"              or   VA fault KIND CODE\n"
	"    page-fault     CODE is the #PF error code\n"
	"    non-canonical  0x0, the error code of #GP\n"
	"    pdpte-fault    0x0, that of the #GP with which CR3 cannot be loaded (PAE paging)\n"
	"    ept-violation  the exit qualification\n"
	"    ept-misconfig  the guest-physical address\n"
	"    npf            EXITINFO1\n"
	"    no-memory      the physical address of an entry that the image lacks: what the CPU would do is not known\n"
	"map prints         START END PA SHIFT RIGHTS FLAGS   END is exclusive; RIGHTS: of all entries together\n"
	"                                       FLAGS of the last: g global, d dirty, a accessed, c PCD, t PWT, p PAT\n"
	"explain prints     NAME WHERE VALUE FLAGS -> TARGET   for each entry; its rules are in docs/rules.md\n"
	"\n"
	"Exit status: 0; 1 if an address faults; 2 for an error, with one line on standard error.\n";

static int run(const struct options *o)
{
	static int (*const commands[COMMAND_COUNT])(const struct machine *m, const struct options *o) = {
		[COMMAND_TRANSLATE] = command_translate, [COMMAND_EXPLAIN] = command_explain,
		[COMMAND_MAP] = command_map, [COMMAND_CAPTURE] = command_capture,
	};
	struct machine m;
	int status = machine_open(&m, o);

	if (status)
		return status;
	machine_note(&m);
	status = commands[o->command](&m, o);
	machine_close(&m);
	return status;
}

int main(int argc, char **argv)
{
	struct options o;
	int status = options_parse(&o, argc, argv);

	if (!status && o.value[OPTION_HELP].given)
		output_text(help);
	else if (!status && o.value[OPTION_VERSION].given)
		output_text("pagewalk " VERSION "\n");
	else if (!status)
		status = run(&o);
	options_free(&o);
	return output_finish(status);
}
