#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# seeds.pl: writes the seeds of all targets but fuzz_vector, whose seeds are lines of tests/vectors, to fuzz/corpus. A
# seed is an input that goes deep: from there the fuzzer finds the ways to leave the path. The layouts are those that
# the targets take apart with input_take().
use strict;
use warnings;
no warnings "portable"; # numbers of 64 bits

my $corpus = shift // ($0 =~ s{[^/]*$}{}r) . 'corpus';

sub seed
{
	my ($target, $name, @parts) = @_;

	mkdir "$corpus/$target";
	open(my $out, '>:raw', "$corpus/$target/$name") or die "$corpus/$target/$name: $!\n";
	print $out @parts;
	close($out) or die "$corpus/$target/$name: $!\n";
}

sub q8 { return map { pack('Q<', $_) } @_ }

# fuzz.h: input_cpu() and input_regs()
my %profile = (intel => 0, amd => 1, 'kvm-intel' => 2, 'kvm-amd' => 3);

sub cpu
{
	my ($name, $maxphyaddr, $quirks) = @_;

	return pack('CC Q< L<C', $profile{$name}, $maxphyaddr, 0, $quirks // 0, 0); # all features
}

sub regs
{
	my ($cr0, $cr4, $efer, $compatibility) = @_;

	return pack('C Q<3', $compatibility ? 4 : 0, $cr0, $cr4, $efer);
}

my ($off, $paging) = (0x1, 0x80010001);
my ($pse, $pae, $la57, $smep, $smap, $pke) = (0x10, 0x20, 0x1000, 0x100000, 0x200000, 0x400000);
my ($nxe, $long) = (0x800, 0xd00);
my %mode = ( # CR0, CR4, EFER
	off => [$off, 0, 0], '32-bit' => [$paging, $pse, 0], pae => [$paging, $pae, $nxe],
	'4-level' => [$paging, $pae, $long], '5-level' => [$paging, $pae | $la57, $long],
	guarded => [$paging, $pae | $smep | $smap | $pke, $long],
);

# ---- fuzz_walk: a header, then 64 words of memory, nine bytes each ---------------------------------------------

my %memory = (stream => 0, words => 1, change => 2, holes => 3);
my %exchange = (honest => 0, input => 1, loses => 2, fails => 3, done => 4, none => 5);

# The word in which an address lies; 128 before an entry: as it is.
sub words
{
	my %value = @_;
	my @word = (0) x 64;

	$word[(($_ >> 3) + ($_ >> 12)) % 64] = $value{$_} for keys %value;
	return map { pack('C Q<', 128, $_) } @word;
}

sub walk
{
	my ($name, %o) = @_;
	my $second = 0;

	$second = $o{second} eq 'ept' ? 8 | 16 : 8 if $o{second};
	my $kind = $memory{$o{memory} // 'words'} | $exchange{$o{exchange} // 'honest'} << 2 | ($o{calls} ? 32 : 0);
	seed('walk', $name, pack('C', $kind),
		cpu($o{cpu} // 'intel', $o{maxphyaddr} // 46, $o{quirks}), regs(@{$mode{$o{mode}}}),
		pack('C Q< S<C L< Q<2', $second, $o{pgd} // 0x1000, 2, 0, 0, $o{va} // 0x123, $o{access} // 0),
		($second ? pack('Q<', $o{root}) : ''), words(%{$o{words}}));
}

my ($write, $user, $fetch) = (2, 4, 16);
my %four = (0x1000 => 0x2007, 0x2000 => 0x3007, 0x3000 => 0x4007, 0x4000 => 0x9007);
my %ept = (0x5000 => 0x6007, 0x6000 => 0x7007, 0x7000 => 0x8007,
	map { (0x8000 + 8 * $_ => $_ << 12 | 0x37) } 1 .. 4, 9);
my %npt = (0x5000 => 0x6007, 0x6000 => 0x7007, 0x7000 => 0x8007,
	map { (0x8000 + 8 * $_ => $_ << 12 | 0x7) } 1 .. 4, 9);

walk('off', mode => 'off', words => {});
walk('32-bit', mode => '32-bit', access => $write, words => { 0x1000 => 0x2007, 0x2000 => 0x9007 });
walk('32-bit-4m', mode => '32-bit', va => 0x123456, words => { 0x1000 => 0x400187 });
walk('pae', mode => 'pae', calls => 1, words => { 0x1000 => 0x10001, 0x10000 => 0x20007, 0x20000 => 0x9007 });
walk('4-level', mode => '4-level', access => $write | $user, words => \%four);
walk('4-level-2m', mode => '4-level', access => $fetch, words => { %four, 0x3000 => 0x200083 });
walk('4-level-reserved', mode => '4-level', maxphyaddr => 40, words => { %four, 0x4000 => 0x8000000009007 });
walk('4-level-holes', mode => '4-level', memory => 'holes', words => { %four, 0x2000 => 0x7007 });
walk('4-level-changes', mode => '4-level', memory => 'change', access => $write, words => \%four);
walk('4-level-loses', mode => '4-level', exchange => 'loses', words => \%four);
walk('4-level-fails', mode => '4-level', exchange => 'fails', words => \%four);
walk('4-level-no-exchange', mode => '4-level', exchange => 'none', access => $write, words => \%four);
walk('4-level-as-walked', mode => '4-level', quirks => 1, words => { %four, 0x4000 => 0 });
walk('4-level-kvm', mode => '4-level', cpu => 'kvm-intel', memory => 'holes', words => { %four, 0x2000 => 0x7007 });
walk('4-level-key', mode => 'guarded', access => $user, words => { %four, 0x4000 => 0x3000000000009007 });
walk('5-level', mode => '5-level', words => { %four, 0x4000 => 0x5007, 0x5000 => 0x9007 });
walk('ept', mode => '4-level', second => 'ept', root => 0x505e, access => $write, words => { %four, %ept });
walk('ept-without-ad', mode => '4-level', second => 'ept', root => 0x501e, words => { %four, %ept, 0x8020 => 0x4035 });
walk('ept-loses', mode => '4-level', second => 'ept', root => 0x505e, exchange => 'loses', words => { %four, %ept });
walk('npt', mode => '4-level', cpu => 'amd', second => 'npt', root => 0x5000, access => $write,
	words => { %four, %npt });
# The stream: a byte that says how, the entry, and what the compare-exchanges say.
seed('walk', 'stream', pack('C', $exchange{input} << 2), cpu('intel', 46), regs(@{$mode{'4-level'}}),
	pack('C Q< S<C L< Q<2', 0, 0x1000, 2, 0, 0, 0x123, $write),
	map { pack('C Q<', 128, $_ << 12 | 7), "\x05" } 1 .. 16);

# ---- fuzz_init: a CPU, an access, then a history of registers, or a second stage ------------------------------

sub init
{
	my ($name, $kind, $cpu, @rest) = @_;

	seed('init', $name, pack('C', $kind), $cpu, q8(0x7fff12345678, $write), @rest);
}

sub history { return map { pack('C', $_->[0]), regs(@{$mode{$_->[1]}}) } @_ }

init('modes', 0, cpu('intel', 46), history([0, 'off'], [1, '32-bit'], [1, 'pae'], [1, '4-level']));
init('modes-back', 0, cpu('amd', 52), history([0, '5-level'], [1, 'guarded'], [1, '32-bit'], [1, 'off']));
init('again', 0, cpu('kvm-intel', 39), history([0, 'guarded'], [0, 'pae'], [0, 'guarded']));
init('rights', 0, cpu('intel', 46), history([0, 'guarded']), pack('C', 3), regs(@{$mode{guarded}}), pack('L<', $smep),
	pack('C', 3), regs(@{$mode{'4-level'}}), pack('L<', $smap | $pke));
init('refused', 0, cpu('intel', 46), history([0, '4-level']), pack('C', 1), regs(0x80000000, 0, 0),
	history([1, '4-level']));
init('no-callback', 2, cpu('intel', 46), history([0, 'off'], [1, '4-level']));
init('ept', 1, cpu('intel', 46), pack('C', 8), regs(@{$mode{'4-level'}}), q8(0x505e));
init('ept-5-level', 1, cpu('intel', 52), pack('C', 1 | 2 | 4), regs(@{$mode{'5-level'}}), q8(0x5040));
init('npt', 1, cpu('amd', 48), pack('C', 16), regs(@{$mode{'4-level'}}), q8(0x5000));
init('npt-pae', 1, cpu('kvm-amd', 48), pack('C', 0), regs(@{$mode{pae}}), q8(0x5020));

# ---- fuzz_options: a word a line --------------------------------------------------------------------------------

sub options { seed('options', shift, map { "$_\n" } @_) }

options('translate', 'translate', 'image', '0xffffffff81000000', '7f00', '-');
options('registers',
	qw(explain image --cr0=80050033 --cr3 0x1000 --cr4=6a0 --efer d01 --pkru 55555554 --rflags 40202 1000));
options('access', qw(translate --access w --cpl 3 --profile kvm-amd --maxphyaddr 48 image 1));
options('ept', qw(translate image --eptp=505e --mbec --json -- 1000 2000));
options('npt', qw(translate image --ncr3=5000 --hcr0 80000011 --hcr4 20 --hefer d00 1000));
options('map', qw(map --limit 4096 image --access));
options('capture', qw(capture image -o small));
options('help', qw(map -h));
options('version', '--version');
options('largest', qw(map image --limit=18446744073709551615 --cr3=ffffffffffffffff));
options('too-large', qw(map image --limit=18446744073709551616 --cr3=10000000000000000));
options('control', "trans\x01late", "\x7f", "\xff");

# LiME: a range and its bytes
sub lime
{
	my ($first, $bytes) = @_;

	return pack('L<2 Q<3', 0x4c694d45, 1, $first, $first + length($bytes) - 1, 0), $bytes;
}

# ---- fuzz_command: a kind, options, four addresses, then the image ----------------------------------------------

my %command = (translate => 0, explain => 1, map => 2, capture => 3);
my ($json, $text, $sparse) = (4, 8, 16);

sub command
{
	my ($name, $kind, $which, $more, $numbers, $addresses, @image) = @_;

	seed('command', $name, pack('C C S<', $kind, $which, $more), @$numbers, q8(@$addresses), @image);
}

sub sparse { my %value = @_; return map { pack('S< Q<', $_ >> 3, $value{$_}) } sort { $a <=> $b } keys %value }

my @addresses = (0x123, 0x1123, 0xffff800000000000, 0x800000000000);
my %tables = (0x1000 => 0x2007, 0x1008 => 0x1007, 0x1800 => 0x2007, 0x2000 => 0x3007, 0x2008 => 0xc0000087,
	0x3000 => 0x4007, 0x3008 => 0x200087, 0x4000 => 0x8000000000009067, 0x4008 => 0xa005);

for my $name (qw(translate explain map capture)) {
	command("$name-4-level", $command{$name} | $sparse, 1, 0, [q8(0x1000)], \@addresses, sparse(%tables));
	command("$name-json", $command{$name} | $sparse | $json, 1, 0, [q8(0x1000)], \@addresses, sparse(%tables));
}
command('translate-text', $command{translate} | $text | $sparse, 1, 0, [q8(0x1000)], \@addresses,
	"0x123 1123\n\nffff800000000000 nonsense\0", sparse(%tables));
command('map-32-bit', $command{map} | $sparse, 15, 0, [q8(0x1000), pack('L<2S<', $paging, $pse, 0)], \@addresses,
	sparse(0x1000 => 0x40008700002007, 0x2000 => 0x900700000000a067));
command("$_-pae", $command{$_} | $sparse, 15, 0, [q8(0x1020), pack('L<2S<', $paging, $pae, $nxe)], \@addresses,
	sparse(0x1020 => 0x2001, 0x1028 => 0x2001, 0x2000 => 0x3007, 0x2008 => 0x200087, 0x3000 => 0x9067))
	for qw(map capture);
# A page that is a table of level 1, and then one of level 3 that alone leads to another page.
command('capture-shared', $command{capture} | $sparse, 1, 0, [q8(0x1000)], [1 << 40, @addresses[1 .. 3]],
	sparse(0x1000 => 0x2007, 0x1010 => 0x4007, 0x2000 => 0x3007, 0x3000 => 0x4007, 0x4000 => 0x5007,
		0x5000 => 0x200087));
# A table's page in two pieces.
command('capture-pieces', $command{capture}, 15, 0, [q8(0x1000), pack('L<2S<', $paging, $pse, 0)], [0x123, 0, 0, 0],
	lime(0x1000, pack('L<', 0x87) . "\0" x 2044), lime(0x1800, "\0" x 2048));
command('translate-ept', $command{translate} | $sparse, 1 | 64, 0, [q8(0x1000, 0x501e)], \@addresses,
	sparse(%four, %ept));
command('explain-npt', $command{explain} | $sparse, 1 | 128, 4096, [q8(0x1000, 0x5000)], \@addresses,
	sparse(%four, %npt));
command('translate-kvm', $command{translate} | $sparse, 1, 1 | 2 << 1 | 8 | 512 | 3 << 10, [q8(0x1000)], \@addresses,
	sparse(%tables));

# ---- fuzz_image: files ------------------------------------------------------------------------------------------

seed('image', 'raw', map { pack('Q<', $_ << 12 | 7) } 1 .. 8);
seed('image', 'lime', lime(0x1000, 'x' x 32), lime(0x2000, 'y' x 16), lime(0x2010, 'z'));
seed('image', 'lime-overlap', lime(0x1000, 'x' x 16), lime(0x100f, 'y' x 16));
seed('image', 'lime-backward', lime(0x2000, 'y' x 16), lime(0x1000, 'x' x 16));
seed('image', 'lime-cut', substr(join('', lime(0x1000, 'x' x 64)), 0, 80));
seed('image', 'refused', 'KDUMP   ', "\0" x 24);

sub note
{
	my ($owner, $type, $data) = @_;

	return pack('L<3', length($owner) + 1, length($data), $type) . pack('Z*x!4', $owner) . $data .
		"\0" x (-length($data) & 3);
}

# "QEMU": rip, rflags, CS, CR0 to CR4 of long mode
sub qemu
{
	my $size = shift // 440; # 432: without the last field, as an old one
	my $note = "\0" x $size;

	substr($note, 0, 8) = pack('L<2', 1, $size);
	substr($note, 136, 16) = pack('Q<2', 0xffffffff81000000, 0x40202);
	substr($note, 152, 12) = pack('L<3', 0x10, 0xffffffff, 0xa09b00);
	substr($note, 392, 40) = pack('Q<5', 0x80050033, 0, 0, 0x1000, 0x6a0);
	return note('QEMU', 0, $note);
}

sub own { return note('PAGEWALK', 0, pack('L<4 Q<4', 1, 48, 1 | 2 | 8, 0, 0xd01, 0x55555554, 0, 0x505e)) }

# Segments: [type, physical address, bytes, options]. Headers, then all bytes in a row.
sub elf
{
	my ($machine, $many, @segments) = @_;
	my $section = $many ? pack('L<2 Q<4 L<2 Q<2', 0, 0, 0, 0, 0, 0, 0, scalar(@segments), 0, 0) : '';
	my $table = 64 + length($section);
	my $at = $table + 56 * @segments;
	my ($headers, $bytes) = ('', '');

	for (@segments) {
		my ($type, $pa, $data, %o) = @$_;
		my $size = $o{size} // length($data);

		$headers .= pack('L<2 Q<6', $type, 0, $o{offset} // $at + length($bytes), $pa, $pa, $size, $size, 0);
		$bytes .= $data;
	}
	return pack('a4 C12 S<2 L< Q<3 L< S<6', "\x7fELF", 2, 1, 1, (0) x 9, 4, $machine, 1, 0, $table, $many ? 64 : 0,
		0, 64, 56, $many ? 0xffff : scalar(@segments), $many ? 64 : 0, $many ? 1 : 0, 0) .
		$section . $headers . $bytes;
}

my ($load, $notes) = (1, 4);

seed('image', 'elf', elf(62, 0, [$notes, 0, qemu()], [$load, 0x1000, 'x' x 64], [$load, 0x1040, 'y' x 32],
	[$load, 0x9000, 'z' x 8]));
seed('image', 'elf-own', elf(62, 0, [$notes, 0, qemu() . own()], [$load, 0, 'x' x 16]));
seed('image', 'elf-386', elf(3, 0, [$notes, 0, qemu()], [$load, 0, 'x' x 16]));
seed('image', 'elf-two-cpus', elf(62, 0, [$notes, 0, note('CORE', 1, 'p' x 12) . qemu() . qemu()],
	[$load, 0, 'x' x 16]));
seed('image', 'elf-many', elf(62, 1, [$load, 0x1000, 'x' x 16], [$load, 0, 'y' x 16]));
seed('image', 'elf-paging', elf(62, 0, [$load, 0x1000, 'x' x 64, offset => 232],
	[$load, 0x1010, '', offset => 248, size => 32], [$load, 0x1030, '', offset => 280, size => 16]));
seed('image', 'elf-joined', elf(62, 0, [$load, 0x1000, 'x' x 64, offset => 176],
	[$load, 0x1010, '', offset => 192, size => 48]));
seed('image', 'elf-notes-last', elf(62, 0, [$load, 0, 'x' x 16], [$notes, 0, qemu(432)]));
seed('image', 'elf-note-short', elf(62, 0, [$load, 0, 'x' x 16],
	[$notes, 0, note('QEMU', 0, pack('L<2', 1, 400) . "\0" x 392)]));
seed('image', 'elf-overlap', elf(62, 0, [$load, 0x1000, 'x' x 64], [$load, 0x1020, 'y' x 64]));
