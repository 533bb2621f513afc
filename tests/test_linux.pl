#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# test_linux.pl PAGEWALK FOLDER: the command against QEMU's own walk of a stopped Linux (tests/linux/boot.sh made FOLDER).
# Every leaf of `info tlb` must be in `pagewalk map` and the other way round: address, frame, size, flags and rights;
# `pagewalk translate` must say what the monitor's gva2gpa says.
use strict;
use warnings;
no warnings 'portable'; # 64-bit numbers

my ($command, $folder) = @ARGV;
my ($passed, $failed) = (0, 0);

sub check {
	my ($name, $ok, @why) = @_;
	$ok ? $passed++ : $failed++;
	print "test_linux: $folder: $name: ", ($ok ? "ok" : "FAILED"), (@why ? " (@why)" : ""), "\n";
}

sub lines {
	open(my $in, '-|', @_) or die "@_: $!\n";
	my @lines = <$in>;
	close($in);
	chomp @lines;
	return @lines;
}

# The registers that QEMU prints.
my %reg;
for (lines('cat', "$folder/registers.txt")) {
	$reg{$1} = $2 while /\b(CR[034]|EFER)=([0-9a-f]+)/g;
}
my @registers = map { ("--" . lc $_, "0x$reg{$_}") } qw(CR0 CR3 CR4 EFER);

# "VA: PA flags", a leaf a line; flags X (which is NX), G, P (PS), D, A, C, T, U, W. The size is not printed: a leaf
# without P has 4 KiB; one with P has 2 MiB or 1 GiB, which only the other side tells.
my %theirs;
for (lines('cat', "$folder/tlb.txt")) {
	/^([0-9a-f]{16}): ([0-9a-f]{16}) (.)(.)(.)(.)(.)(.)(.)(.)(.)\s*$/ or next;
	$theirs{$1} = join ' ', $2, $5 eq 'P' ? 'large' : '4k',
		($10 eq 'U' ? 'u' : '-') . 'r' . ($11 eq 'W' ? 'w' : '-') . ($3 eq 'X' ? '-' : 'x'),
		join '', map { $_ eq '-' ? '-' : lc $_ } $4, $6, $7, $8, $9;
}

sub leaves {
	my %leaves;
	for (lines($command, 'map', @_)) {
		my ($start, $end, $pa, $shift, $rights, $flags) = split ' ';
		$start =~ s/^0x//; $end =~ s/^0x//; $pa =~ s/^0x//;
		# The last range may end at 2^64, which has 17 digits.
		my $size = (hex(substr $end, -13) - hex(substr $start, -13)) & 0xfffffffffffff;
		for (my $at = 0; $at < $size; $at += 1 << $shift) {
			my $key = sprintf '%016x', hex($start) + $at;
			$leaves{$key} = join ' ', sprintf('%016x', hex($pa) + $at), $shift > 12 ? 'large' : '4k', $rights, substr $flags, 0, 5;
		}
	}
	return \%leaves;
}

for my $image (['memory.raw', @registers], ['dump.elf']) {
	my ($name, @options) = @$image;
	my $ours = leaves(@options, "$folder/$name");
	my @missing = grep { !exists $ours->{$_} } keys %theirs;
	my @extra = grep { !exists $theirs{$_} } keys %$ours;
	my @differ = grep { exists $ours->{$_} && $ours->{$_} ne $theirs{$_} } keys %theirs;
	for (grep { defined } ((sort @missing, @differ), (sort @extra))[0 .. 9]) {
		print "    $_: info tlb ", $theirs{$_} // 'nothing', ', pagewalk ', $ours->{$_} // 'nothing', "\n";
	}
	check("map of $name against info tlb", keys %theirs > 1000 && !@missing && !@extra && !@differ,
	      scalar(keys %theirs) . " leaves in info tlb, " . scalar(keys %$ours) . " in map, " .
	      scalar(@missing) . " missing, " . scalar(@extra) . " extra, " . scalar(@differ) . " different");
}

# 1000 addresses; gva2gpa is a supervisor's read.
my (@va, @gpa);
for (lines('cat', "$folder/gva2gpa.txt")) {
	my ($va, $gpa) = split ' ';
	push @va, $va;
	push @gpa, $gpa;
}
my @answers = lines('sh', '-c', 'cut -d" " -f1 "$1" | "$2" translate "$3" -', 'sh', "$folder/gva2gpa.txt", $command, "$folder/dump.elf");
my @wrong = grep {
	my ($va, $pa) = split ' ', $answers[$_] // 'nothing nothing';
	$va ne $va[$_] || ($gpa[$_] eq 'unmapped' ? $pa ne 'fault' : $pa ne $gpa[$_]);
} 0 .. $#va;
print "    $va[$_]: gva2gpa $gpa[$_], pagewalk ", $answers[$_] // 'nothing', "\n" for @wrong > 10 ? @wrong[0 .. 9] : @wrong;
check('translate against gva2gpa', @va == 1000 && @answers == @va && !@wrong,
      scalar(@va) . " addresses, " . scalar(grep { $_ ne 'unmapped' } @gpa) . " mapped, " . scalar(@wrong) . " different");

# What is captured of the image answers the same.
my $small = "$folder/small.elf";
system($command, 'capture', "$folder/dump.elf", '-o', $small) == 0 or check('capture', 0);
check('map of the capture', join("\n", lines($command, 'map', $small)) eq join("\n", lines($command, 'map', "$folder/dump.elf")),
      (-s $small) . ' bytes');

print "$passed passed, $failed failed\n";
exit($failed ? 1 : 0);
