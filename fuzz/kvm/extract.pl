#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# extract.pl OUTDIR [TARBALL]: cuts KVM's guest page-table walker, by name, out of a kernel source package.
#
# TARBALL is Debian's linux-source-6.12 (found in /usr/src if not given). The few files that are needed are unpacked
# into OUTDIR/source once; the pieces go to OUTDIR/cut_*.h. This script holds names and none of the kernel's text; what
# it writes is the kernel's (GPL-2.0) and belongs in a build folder, never in this repository.
#
# Needs perl-base, tar, xz-utils. Exit 1, with the names, if something is not found: then the kernel is another one.
use strict;
use warnings;

sub fail {
	print STDERR 'extract.pl: ', @_, "\n";
	exit 1;
}

my ($out, $tarball) = @ARGV;
fail("usage: extract.pl OUTDIR [TARBALL]") unless defined $out && @ARGV <= 2;

# 6.12 if it is there, else the newest: then most of the names may still be the same.
sub version {
	my @number = $_[0] =~ /-(\d+)\.(\d+)\.tar/ or return 0;
	return "@number" eq '6 12' ? 1e9 : $number[0] * 1e4 + $number[1];
}
($tarball) = sort { version($b) <=> version($a) } glob '/usr/src/linux-source-*.tar.xz' unless defined $tarball;
fail("no /usr/src/linux-source-*.tar.xz: install linux-source-6.12") unless defined $tarball;
fail("$tarball: $!") unless -r $tarball;

# ---- The list: what to cut, from where, in which order ------------------------------------------------------------

# `= FILE` begins an output file, `@ FILE` a source file; the rest are pieces (see %cut below). Names may be patterns.
my (@pieces, %sources);
my ($piece_out, $piece_from);
while (my $line = <DATA>) {
	my ($kind, $name) = $line =~ /^(\S+)\s+(\S+)/ or next;
	next if $kind eq '#';
	if ($kind eq '=') {
		$piece_out = $name;
	} elsif ($kind eq '@') {
		$piece_from = $name;
		$sources{$name} = 1;
	} else {
		push @pieces, { out => $piece_out, from => $piece_from, kind => $kind, name => $name };
	}
}
# Not every 6.12 has these; a piece that is not in its file is looked for in all the others.
my %optional = ('arch/x86/kvm/regs.c' => 1);

# ---- Unpack, once -------------------------------------------------------------------------------------------------

my $source = "$out/source";
my $stamp = "$source/unpacked";
my $identity = join ' ', $tarball, (stat $tarball)[7, 9], sort keys %sources;

sub slurp {
	my ($file) = @_;
	open my $f, '<', $file or return undef;
	local $/;
	return scalar <$f>;
}

# Runs what it is given without its complaints.
sub quietly {
	my ($do) = @_;
	open my $saved, '>&', \*STDERR or fail("standard error: $!");
	open STDERR, '>', '/dev/null' or fail("/dev/null: $!");
	my @result = $do->();
	open STDERR, '>&', $saved or exit 1;
	return @result;
}

sub output_of { # a command's first line
	my @command = @_;
	my ($line) = quietly(sub {
		open my $f, '-|', @command or return '';
		return scalar <$f>;
	});
	return $line // '';
}

unless ((slurp($stamp) // '') eq $identity) {
	system('rm', '-rf', $source) == 0 && system('mkdir', '-p', $source) == 0 or fail("$source: cannot be made");
	my ($top) = output_of('tar', '-tJf', $tarball) =~ m{^([^/\n]+)}
		or fail("$tarball: not an archive that tar and xz can read");
	# --occurrence lets tar stop at the last of them, some way before the archive's end. It fails if one is missing.
	my ($status) = quietly(sub {
		return system 'tar', '-xJf', $tarball, '-C', $source, '--strip-components=1', '--occurrence=1',
			map { "$top/$_" } sort keys %sources;
	});
	my @missing = grep { !-e "$source/$_" } sort keys %sources;
	fail("$tarball: not in it: @missing") if grep { !$optional{$_} } @missing;
	fail("$tarball: cannot be unpacked into $source") if $status && !@missing;
	open my $f, '>', $stamp or fail("$stamp: $!");
	print $f $identity;
	close $f or fail("$stamp: $!");
}

my %text;
for my $file (sort keys %sources) {
	my $text = slurp("$source/$file");
	$text{$file} = $text if defined $text;
}

# For reports: the package's version, or of a tarball that is in no package's place its name.
my ($package) = $tarball =~ m{^/usr/src/([^/]+)\.tar\.xz$};
my $origin = $tarball =~ s{.*/}{}r;
$origin = "$package " . output_of('dpkg-query', '-W', '-f', '${Version}', $package) if defined $package;

# ---- Cut ----------------------------------------------------------------------------------------------------------

# Each takes a file's text and a name, and gives offset and length of the piece, pair by pair. All of them lean on the
# kernel's style: what is at file level begins in column 0, and its closing brace is there too.
sub all_of {
	my ($text, $pattern) = @_;
	my @found;
	push @found, [$-[0], $+[0] - $-[0]] while $text =~ /$pattern/g;
	return @found;
}

sub function {
	my ($text, $name) = @_;
	my $quoted = quotemeta $name;
	# A prototype has a ; where this wants the {. The return type may stand on a line of its own.
	my $rest = qr/$quoted\([^;{}#]*?\)\n\{\n(?s:.*?)^\}\n/m;
	my @found = all_of($text, qr/^[a-z_][^\n;{}#]*?(?<!\w)$rest/m);
	return @found ? @found : all_of($text, qr/^[a-z][^\n;{}()#]*\n$rest/m);
}

my %cut = (
	function => \&function,
	# #define NAME..., with its continuation lines
	macro => sub { all_of($_[0], qr/^\#[ \t]*define[ \t]+$_[1]\b(?:[^\n]*\\\n)*[^\n]*\n/m) },
	struct => sub { all_of($_[0], qr/^struct $_[1] \{\n(?s:.*?)^\};\n/m) },
	union => sub { all_of($_[0], qr/^union $_[1] \{\n(?s:.*?)^\};\n/m) },
	# NAME(...); at file level
	lines => sub { all_of($_[0], qr/^$_[1]\([^\n]*\);?\n/m) },
	# a file's beginning, up to a function
	before => sub {
		my ($first) = function(@_);
		return $first ? [0, $first->[0]] : ();
	},
	# the last lines of a file, those that #undef
	undefs => sub { all_of($_[0], qr/(?:^\#undef \w+\n)+\z/m) },
);

my (%written, @lost);
for my $p (@pieces) {
	my @found;
	for my $file ($p->{from}, sort grep { $_ ne $p->{from} } keys %text) {
		next unless defined $text{$file};
		@found = $cut{$p->{kind}}->($text{$file}, $p->{name});
		if (@found) {
			$p->{from} = $file;
			last;
		}
	}
	if (!@found || ($p->{kind} eq 'function' && @found > 1)) {
		push @lost, "$p->{kind} $p->{name} ($p->{from}" . (@found ? ', ' . @found . ' times)' : ')');
		next;
	}
	for my $at (@found) {
		my $before = substr $text{$p->{from}}, 0, $at->[0];
		my $line = 1 + ($before =~ tr/\n//);
		$written{$p->{out}} .= "#line $line \"$p->{from}\"\n" . substr($text{$p->{from}}, $at->[0], $at->[1]);
	}
}
$written{'cut_types.h'} .= "#define KVM_SOURCE \"$origin\"\n";

fail("$tarball is not the kernel this was written for; not found:", map { "\n\t$_" } @lost) if @lost;

for my $file (sort keys %written) {
	open my $f, '>', "$out/$file" or fail("$out/$file: $!");
	# The pragma keeps our warning flags, which are stricter than the kernel's, off the kernel's code.
	print $f "/* SPDX-License-Identifier: GPL-2.0-only */\n/* Cut out of $tarball; do not distribute. */\n",
		"#pragma GCC system_header\n", $written{$file};
	close $f or fail("$out/$file: $!");
}

__DATA__
# Types: what the shim's struct kvm_vcpu is made of.
= cut_types.h
@ arch/x86/include/asm/kvm_host.h
macro PFERR_\w+
macro KVM_MMU_NUM_PREV_ROOTS
union kvm_mmu_page_role
union kvm_mmu_extended_role
union kvm_cpu_role
struct rsvd_bits_validate
struct kvm_mmu_root_info
struct kvm_mmu
@ arch/x86/kvm/kvm_emulate.h
struct x86_exception
@ arch/x86/include/asm/vmx.h
macro VMX_EPT\w+
macro EPT_VIOLATION_\w+
function vmx_eptp_page_walk_level
@ arch/x86/kvm/mmu.h
macro PT(?:32E?|64)?_\w+
macro KVM_MMU_\w+_ROLE_BITS
function rsvd_bits

# What the headers do with a struct kvm_vcpu.
= cut_inline.h
@ arch/x86/kvm/kvm_cache_regs.h
macro KVM_POSSIBLE_CR[04]_GUEST_BITS
function kvm_register_is_available
function kvm_register_mark_dirty
function kvm_pdptr_read
function kvm_read_cr0_bits
function kvm_is_cr0_bit_set
function kvm_read_cr4_bits
function kvm_is_cr4_bit_set
function kvm_read_cr3
function is_guest_mode
@ arch/x86/kvm/x86.h
function is_long_mode
function mmu_is_nested
function is_pae
function is_paging
function is_pae_paging
@ arch/x86/kvm/cpuid.h
function cpuid_maxphyaddr
function kvm_vcpu_is_legal_gpa
function kvm_vcpu_is_legal_cr3
function guest_cpuid_is_amd_compatible
@ arch/x86/kvm/cpuid.c
function kvm_vcpu_reserved_gpa_bits_raw
@ arch/x86/kvm/mmu.h
function kvm_mmu_refresh_passthrough_bits
function permission_fault
function kvm_translate_gpa
@ arch/x86/kvm/mmu/mmu_internal.h
macro __PT_\w+
@ arch/x86/kvm/mmu/spte.h
macro ACC_\w+
function get_rsvd_bits
function __is_rsvd_bits_set
function __is_bad_mt_xwr
@ arch/x86/kvm/mmu/mmu.c
macro PTE_PREFETCH_NUM
macro PTTYPE_EPT
struct kvm_mmu_role_regs
macro BUILD_MMU_ROLE_(?:REGS_)?ACCESSOR
lines BUILD_MMU_ROLE_(?:REGS_)?ACCESSOR
function is_cr0_pg
function is_cr4_pae
function vcpu_to_role_regs
function get_guest_cr3
function kvm_mmu_get_guest_pgd
function is_cpuid_PSE36

# The walker, a template.
= cut_template.h
@ arch/x86/kvm/mmu/paging_tmpl.h
before FNAME(walk_addr)
function FNAME(gva_to_gpa)
undefs *

# What sets the walker up, stage by stage, and what becomes of its faults.
= cut_code.h
@ arch/x86/kvm/mmu/mmu.c
function nonpaging_gva_to_gpa
function nonpaging_init_context
function __reset_rsvds_bits_mask
function reset_guest_rsvds_bits_mask
function __reset_rsvds_bits_mask_ept
function reset_rsvds_bits_mask_ept
macro BYTE_MASK
function update_permission_bitmask
function update_pkru_bitmask
function reset_guest_paging_metadata
function paging64_init_context
function paging32_init_context
function kvm_calc_cpu_role
function __kvm_mmu_refresh_passthrough_bits
function kvm_calc_tdp_mmu_root_page_role
function init_kvm_tdp_mmu
function shadow_mmu_init_context
function kvm_init_shadow_npt_mmu
function kvm_calc_shadow_ept_root_page_role
function kvm_init_shadow_ept_mmu
function kvm_init_shadow_mmu
function init_kvm_softmmu
function init_kvm_nested_mmu
function kvm_init_mmu
@ arch/x86/kvm/x86.c
function translate_nested_gpa
function kvm_inject_page_fault
function __kvm_inject_emulated_page_fault
@ arch/x86/include/asm/kvm_host.h
function kvm_inject_emulated_page_fault
@ arch/x86/kvm/regs.c
function pdptr_rsvd_bits
function load_pdptrs
@ arch/x86/kvm/vmx/nested.h
function nested_ept_get_eptp
function nested_ept_ad_enabled
@ arch/x86/kvm/vmx/capabilities.h
function ept_caps_to_lpage_level
@ arch/x86/kvm/vmx/nested.c
function nested_vmx_check_eptp
function nested_ept_inject_page_fault
function nested_ept_new_eptp
function nested_ept_init_mmu_context
@ arch/x86/kvm/svm/nested.c
function nested_svm_inject_npf_exit
function nested_svm_get_tdp_pdptr
function nested_svm_get_tdp_cr3
function nested_svm_init_mmu_context
