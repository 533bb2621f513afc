# SPDX-License-Identifier: MIT
#
#   make                 the command, build/pagewalk
#   make demo            shows it on the page tables of a real Linux (installs what is missing: libjansson-dev)
#   make test            all tests (installs what is missing, by apt)
#   make install         headers, pkg-config file and command, under PREFIX (/usr/local) and DESTDIR
#   make run-vectors     build/run-vectors FILE...: page-walk vectors, tests/vectors/README.md
#   make fuzz DURATION=s each libFuzzer target, and random walks against the model and each oracle, for so long each
#   make coverage        lines, branches and MC/DC of include/ that the suites reach (installs clang-19)
#   make mutate          changes include/ in one place after the other: do the tests tell? MUTATE="--file fault.h", tests/mutate.pl
#   make prove           Frama-C's Eva: no undefined behaviour, bounds, fields in range; tests/prove (installs frama-c-base)
#   make bench           the cost of a walk, as a ratio to bare loads in the same run
#   make clean

CC = gcc
CFLAGS = -O2 -g
WARNINGS = -Wall -Wextra -Wconversion -Wshadow -Werror
PREFIX = /usr/local
DESTDIR =
VERSION = 0.1.0

CPPFLAGS_ALL = -D_GNU_SOURCE -Iinclude -Itests -Iexamples/pagewalk $(CPPFLAGS)
CFLAGS_ALL = -std=gnu11 $(WARNINGS) $(CFLAGS)
COMPILE = $(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL)

HEADERS = $(wildcard include/pagewalk/*.h)
COMMAND = $(wildcard examples/pagewalk/*.c)
SUITES = $(wildcard tests/test_*.c)
SUPPORT = tests/library.c tests/model.c tests/vector.c tests/generate.c examples/pagewalk/image.c
ALL_HEADERS = $(HEADERS) $(wildcard tests/*.h examples/pagewalk/*.h)

# Linked statically: the command needs nothing at run time.
JANSSON = -l:libjansson.a

DEMO_PACKAGES = gcc libc6-dev libjansson-dev
TEST_PACKAGES = gcc g++ libc6-dev libjansson-dev libcriterion-dev clang libclang-rt-14-dev gcc-12-multilib g++-12-multilib \
	gcc-s390x-linux-gnu libc6-dev-s390x-cross qemu-user qemu-system-x86 busybox-static binutils perl \
	linux-source-6.12 xz-utils bochs bochsbios vgabios frama-c-base

all: build/pagewalk

build:
	mkdir -p build

build/pagewalk: $(COMMAND) $(ALL_HEADERS) | build
	$(COMPILE) $(COMMAND) $(JANSSON) -o $@

run-vectors: build/run-vectors

build/run-vectors: tests/run_vectors.c $(SUPPORT) $(ALL_HEADERS) | build
	$(COMPILE) tests/run_vectors.c $(SUPPORT) $(JANSSON) -o $@

build/compare: tests/compare.c $(SUPPORT) $(ALL_HEADERS) | build
	$(COMPILE) tests/compare.c $(SUPPORT) $(JANSSON) -o $@

build/tests: $(SUITES) $(SUPPORT) $(ALL_HEADERS) | build
	$(COMPILE) $(SUITES) $(SUPPORT) $(JANSSON) -lcriterion -o $@

# The suites without Criterion, in one process: for sanitizers, for leaks, for other machines (tests/suite.h).
PLAIN = -DSUITE_PLAIN tests/plain.c $(SUITES) $(SUPPORT)
# All but what needs JSON, for machines whose libraries are not here.
PLAIN_FEW = -DSUITE_PLAIN tests/plain.c $(filter-out tests/test_vector.c,$(SUITES)) \
	tests/library.c tests/model.c tests/generate.c examples/pagewalk/image.c

build/tests-sanitized: $(SUITES) $(SUPPORT) $(ALL_HEADERS) tests/plain.c | build
	$(COMPILE) -O1 -fsanitize=address,undefined -fno-sanitize-recover=all $(PLAIN) $(JANSSON) -o $@

build/pagewalk-sanitized: $(COMMAND) $(ALL_HEADERS) | build
	$(COMPILE) -O1 -fsanitize=address,undefined -fno-sanitize-recover=all $(COMMAND) $(JANSSON) -o $@

build/compare-sanitized: tests/compare.c $(SUPPORT) $(ALL_HEADERS) | build
	$(COMPILE) -O1 -fsanitize=address,undefined -fno-sanitize-recover=all tests/compare.c $(SUPPORT) $(JANSSON) -o $@

build/tests-m32: $(SUITES) $(SUPPORT) $(ALL_HEADERS) tests/plain.c | build
	gcc -m32 -msse2 -mfpmath=sse -idirafter /usr/include/x86_64-linux-gnu $(CPPFLAGS_ALL) -std=gnu11 $(WARNINGS) -O2 $(PLAIN_FEW) -o $@

build/tests-s390x: $(SUITES) $(SUPPORT) $(ALL_HEADERS) tests/plain.c | build
	s390x-linux-gnu-gcc -static $(CPPFLAGS_ALL) -std=gnu11 $(WARNINGS) -O2 $(PLAIN_FEW) -o $@

# The oracles: other implementations, run on the same cases (fuzz/oracle.h). Each is a part of build/differ.
DIFFER = fuzz/differ.c fuzz/judge.c fuzz/oracles.c fuzz/minimise.c
ORACLES = KVM QEMU DEVKVM KVMGUEST BOCHS
ORACLE_FLAGS = -Ifuzz -Ifuzz/kvm -Ifuzz/devkvm -Ibuild/kvm $(addprefix -DORACLE_,$(ORACLES))
ORACLE_FILES = fuzz/kvm/kvm.c fuzz/qemu/qemu.c fuzz/qemu/deviate.c fuzz/devkvm/devkvm.c fuzz/devkvm/probe.c \
	fuzz/kvmguest/kvmguest.c fuzz/bochs/bochs.c
ORACLE_GUESTS = build/qemu/probe.elf build/kvmguest/initramfs build/bochs/guest.bin
ORACLE_HEADERS = $(ALL_HEADERS) $(wildcard fuzz/*.h fuzz/*/*.h)

# KVM's own walker, cut out of linux-source-6.12 (fuzz/kvm/README.md).
build/kvm/cut_code.h: fuzz/kvm/extract.pl | build
	perl fuzz/kvm/extract.pl build/kvm

build/kvm/shim.o: build/kvm/cut_code.h $(wildcard fuzz/kvm/shim.*) tests/case.h
	$(COMPILE) -Ifuzz/kvm -Ibuild/kvm -fno-strict-aliasing -fwrapv -c fuzz/kvm/shim.c -o $@

# The guest of the oracle that is QEMU (fuzz/qemu/README.md); qemu.c starts it from there.
build/qemu/probe.elf: fuzz/qemu/guest.S fuzz/qemu/mailbox.h
	mkdir -p build/qemu
	$(CC) -m32 -c fuzz/qemu/guest.S -o build/qemu/guest.o
	ld -m elf_i386 -N --no-warn-rwx-segments -Ttext=0x5a800000 build/qemu/guest.o -o $@

# A Debian kernel with KVM, and the probe as its only program (fuzz/devkvm/README.md).
build/kvmguest/version: fuzz/kvmguest/fetch.sh | build
	sh fuzz/kvmguest/fetch.sh build/kvmguest
	touch $@

build/kvmguest/guest: fuzz/kvmguest/guest.c fuzz/kvmguest/mailbox.h fuzz/devkvm/probe.c fuzz/devkvm/probe.h tests/case.h | build
	mkdir -p build/kvmguest
	$(COMPILE) -Ifuzz/devkvm -static fuzz/kvmguest/guest.c fuzz/devkvm/probe.c -o $@

build/kvmguest/initramfs: build/kvmguest/version build/kvmguest/guest fuzz/kvmguest/initramfs.pl
	perl fuzz/kvmguest/initramfs.pl build/kvmguest/guest build/kvmguest/modules/*.ko >$@

# The guest of Bochs, as the beginning of its disk (fuzz/bochs/README.md).
BOCHS_GUEST = gcc -m64 -ffreestanding -fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables \
	-fcf-protection=none -mno-red-zone -mgeneral-regs-only -std=gnu11 $(WARNINGS) -O2
build/bochs/guest.bin: $(wildcard fuzz/bochs/*)
	mkdir -p build/bochs
	$(BOCHS_GUEST) -c fuzz/bochs/guest.c -o build/bochs/guest.o
	$(BOCHS_GUEST) -c fuzz/bochs/boot.S -o build/bochs/boot.o
	ld -m elf_x86_64 -no-pie --no-warn-rwx-segments -T fuzz/bochs/guest.ld build/bochs/boot.o build/bochs/guest.o -o build/bochs/guest.elf
	objcopy -O binary build/bochs/guest.elf $@

build/differ: $(DIFFER) $(ORACLE_FILES) build/kvm/shim.o $(SUPPORT) $(ORACLE_HEADERS) $(ORACLE_GUESTS)
	$(COMPILE) $(ORACLE_FLAGS) $(DIFFER) $(ORACLE_FILES) build/kvm/shim.o $(SUPPORT) $(JANSSON) -o $@

# The published vectors: build/publish FAMILY >tests/vectors/FAMILY.jsonl, with the oracles that build/differ has.
PUBLISH = fuzz/publish.c fuzz/pairs.c $(filter-out fuzz/differ.c,$(DIFFER))
build/publish: $(PUBLISH) $(ORACLE_FILES) build/kvm/shim.o $(SUPPORT) $(ORACLE_HEADERS) $(ORACLE_GUESTS)
	$(COMPILE) $(ORACLE_FLAGS) $(PUBLISH) $(ORACLE_FILES) build/kvm/shim.o $(SUPPORT) $(JANSSON) -o $@

build/minimal: examples/minimal.c $(HEADERS) | build
	$(CC) -std=c99 -Wall -Wextra -Wpedantic -Werror $(CFLAGS) -Iinclude examples/minimal.c -o $@

build/bench: tests/bench.c $(HEADERS) | build
	$(COMPILE) tests/bench.c -o $@

bench: build/bench
	build/bench

build/race: tests/race.c $(HEADERS) | build
	$(COMPILE) -O1 -fsanitize=thread -pthread tests/race.c -o $@

# libFuzzer targets; a new find goes to build/corpus, the seeds are in fuzz/corpus.
FUZZ = clang $(CPPFLAGS_ALL) -std=gnu11 $(WARNINGS) -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

build/fuzz_walk: fuzz/fuzz_walk.c fuzz/fuzz.h $(HEADERS) | build
	$(FUZZ) fuzz/fuzz_walk.c -o $@

build/fuzz_init: fuzz/fuzz_init.c fuzz/fuzz.h $(HEADERS) | build
	$(FUZZ) fuzz/fuzz_init.c -o $@

# image.c is included by the target.
build/fuzz_image: fuzz/fuzz_image.c fuzz/fuzz.h examples/pagewalk/image.c $(ALL_HEADERS) | build
	$(FUZZ) fuzz/fuzz_image.c -o $@

FUZZ_OPTIONS = fuzz/fuzz_options.c $(addprefix examples/pagewalk/,options.c text.c report.c)
build/fuzz_options: $(FUZZ_OPTIONS) fuzz/fuzz.h $(ALL_HEADERS) | build
	$(FUZZ) $(FUZZ_OPTIONS) $(JANSSON) -o $@

# main.c and report.c are included by the target.
FUZZ_COMMAND = fuzz/fuzz_command.c $(filter-out %/main.c %/report.c,$(COMMAND))
build/fuzz_command: $(FUZZ_COMMAND) $(COMMAND) fuzz/fuzz.h $(ALL_HEADERS) | build
	$(FUZZ) $(FUZZ_COMMAND) $(JANSSON) -o $@

build/fuzz_vector: fuzz/fuzz_vector.c fuzz/fuzz.h $(SUPPORT) $(ALL_HEADERS) | build
	$(FUZZ) fuzz/fuzz_vector.c $(SUPPORT) $(JANSSON) -o $@

# With KVM's walker in the process, its branches seen by the fuzzer, its code as the kernel compiles it.
build/kvm/shim-fuzz.o: build/kvm/cut_code.h $(wildcard fuzz/kvm/shim.*) tests/case.h
	clang $(CPPFLAGS_ALL) -Ifuzz/kvm -Ibuild/kvm -std=gnu11 -g -O1 -w -fno-strict-aliasing -fwrapv \
		-fsanitize=fuzzer-no-link -c fuzz/kvm/shim.c -o $@

build/fuzz_case: fuzz/fuzz_case.c $(DIFFER) fuzz/kvm/kvm.c build/kvm/shim-fuzz.o $(SUPPORT) $(ORACLE_HEADERS)
	$(FUZZ) -Ifuzz -Ifuzz/kvm -Ibuild/kvm -DORACLE_KVM fuzz/fuzz_case.c $(filter-out fuzz/differ.c,$(DIFFER)) \
		fuzz/kvm/kvm.c build/kvm/shim-fuzz.o $(SUPPORT) $(JANSSON) -o $@

FUZZERS = fuzz_walk fuzz_init fuzz_image fuzz_options fuzz_command fuzz_vector fuzz_case
DURATION = 60
fuzz: packages build/differ $(addprefix build/,$(FUZZERS))
	@for f in $(FUZZERS); do tests/fuzz.sh $$f $(DURATION) || exit 1; done
	build/differ --seconds $(DURATION)

# The only use of clang 19: older ones know no MC/DC. What is not reached is in tests/coverage_exceptions.txt.
coverage:
	@tests/packages.sh clang-19 llvm-19 libclang-rt-19-dev libc6-dev libjansson-dev perl
	@tests/coverage.pl $(CPPFLAGS_ALL)

prove:
	@tests/packages.sh frama-c-base gcc libc6-dev perl
	@tests/prove/prove.sh $(HARNESS)

MUTATE =
mutate:
	@tests/packages.sh gcc libc6-dev libjansson-dev perl
	@tests/mutate.pl $(MUTATE)

demo:
	@tests/packages.sh $(DEMO_PACKAGES)
	@$(MAKE) --no-print-directory build/pagewalk
	@examples/demo.sh build/pagewalk

packages:
	@tests/packages.sh $(TEST_PACKAGES)

test: packages
	@tests/run.sh

install: build/pagewalk
	install -d $(DESTDIR)$(PREFIX)/include/pagewalk $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(HEADERS) $(DESTDIR)$(PREFIX)/include/pagewalk
	install -m 755 build/pagewalk $(DESTDIR)$(PREFIX)/bin
	printf 'prefix=%s\nincludedir=$${prefix}/include\n\nName: pagewalk\nDescription: x86 page walks, header-only\nVersion: %s\nCflags: -I$${includedir}\n' \
		'$(PREFIX)' '$(VERSION)' > $(DESTDIR)$(PREFIX)/lib/pkgconfig/pagewalk.pc

clean:
	rm -rf build

HARNESS =
.PHONY: all run-vectors bench fuzz coverage prove mutate demo packages test install clean
