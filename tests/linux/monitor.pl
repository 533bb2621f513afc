#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# monitor.pl SOCKET RAM_BYTES LA57: stops the guest behind QEMU's QMP socket in user mode, writes what boot.sh promises
# into the current directory, which must be QEMU's current directory as well (so no file name needs quoting), and ends
# QEMU. LA57 is what CR4.LA57 must be, 0 or 1.
#
# QMP rather than the monitor for people: an answer is one line of JSON, without prompt, echo and escape sequences.
# The few strings that are read need no JSON library, and everything used here is in Debian's essential perl-base.
use strict;
use warnings;
no warnings 'portable';		# 64-bit hex()
use IO::Handle;
use IO::Socket::UNIX;

use constant ADDRESSES => 1000;
use constant UNMAPPED => 100;	# of these

@ARGV == 3 or die "usage: monitor.pl SOCKET RAM_BYTES LA57\n";
my ($socket, $ram, $la57) = @ARGV;

# Whatever goes wrong with QEMU, this ends.
$SIG{ALRM} = sub { die "monitor.pl: QEMU does not answer\n" };
alarm(100);

my $qmp = IO::Socket::UNIX->new(Peer => $socket) or die "monitor.pl: $socket: $!\n";
$qmp->autoflush(1);

# Sends one command and returns the answer's "return" as it came. A quotation mark inside a JSON string is escaped, so
# the tests for the key cannot be misled by a value.
sub command
{
	my ($json) = @_;
	print $qmp "$json\n";
	while (my $line = <$qmp>) {
		next if $line =~ /"event": /;
		return $1 if $line =~ /^\{"return": (.*)\}\s*$/;
		die "monitor.pl: $json: $line";
	}
	die "monitor.pl: $json: QEMU has gone\n";
}

# A command of the monitor for people; returns its text. QEMU escapes nothing else than these in ASCII text.
sub human
{
	my ($line) = @_;
	my $text = command(qq({"execute": "human-monitor-command", "arguments": {"command-line": "$line"}}));
	$text =~ s/^"(.*)"$/$1/s or die "monitor.pl: $line: not a string: $text\n";
	my %escaped = (n => "\n", r => '', t => "\t", '"' => '"', '\\' => '\\', '/' => '/');
	$text =~ s/\\(.)/$escaped{$1} \/\/ die "monitor.pl: $line: unexpected escape \\$1\n"/ge;
	return $text;
}

sub save
{
	my ($name, $text) = @_;
	open(my $file, '>:raw', $name) or die "$name: $!\n";
	print $file $text;
	close($file) or die "$name: $!\n";
}

# 64 bits that look random and are the same in each run.
sub mix
{
	my ($n) = @_;
	my $high = ($n + 1) * 2654435761 & 0xffffffff;
	my $low = ($n * 40503 + 12345) * 2246822519 & 0xffffffff;
	return $high << 32 | $low;
}

# One address of [first, last]: the ends, the middle and others in turn. The length must be below 2^64.
sub inside
{
	my ($first, $last, $n) = @_;
	return $first if $n % 8 == 0;
	return $last if $n % 8 == 1;
	return $first + ($last - $first >> 1) if $n % 8 == 2;
	return $first + mix($n) % ($last - $first + 1);
}

# The stretches of [first, last] that no leaf of the list covers. leaves: [first byte, last byte, flags], ascending.
sub gaps
{
	my ($first, $last, @leaves) = @_;
	my @gaps;
	for my $leaf (grep { $_->[0] >= $first && $_->[0] <= $last } @leaves) {
		push(@gaps, [$first, $leaf->[0] - 1]) if $first < $leaf->[0];
		return @gaps if $leaf->[1] >= $last;
		$first = $leaf->[1] + 1;
	}
	return (@gaps, [$first, $last]);
}

# The addresses to ask about, ascending; bits is the width of a canonical address.
sub choose
{
	my ($bits, @leaves) = @_;
	my $low_end = (1 << $bits - 1) - 1;
	my (%chosen, %kinds, @some, @rest);
	my $n = 0;

	# One leaf of each kind first, as the rare kinds are easily missed; then evenly over the rest of the list.
	for my $leaf (@leaves) {
		my $kind = ($leaf->[0] <= $low_end ? 'low ' : 'high ') . $leaf->[2];
		push(@{$kinds{$kind}++ ? \@rest : \@some}, $leaf);
	}
	my $missing = ADDRESSES - UNMAPPED - @some;
	$missing >= 0 && @rest >= $missing or die "monitor.pl: info tlb lists only " . @leaves . " mappings\n";
	push(@some, map { $rest[int(($_ + 0.5) * @rest / $missing)] } 0 .. $missing - 1);
	$chosen{inside($_->[0], $_->[1], $n++)} = 1 for @some;

	# The gaps: each order of magnitude in turn, as most of them are small, and a walk in a small one ends at level 1,
	# in a large one near the top.
	my %sizes;
	for my $gap (gaps(0, $low_end, @leaves), gaps(~$low_end, ~0, @leaves)) {
		push(@{$sizes{length(sprintf('%b', $gap->[1] - $gap->[0]))}}, $gap);
	}
	my @sizes = @sizes{sort { $a <=> $b } keys(%sizes)};
	for ($n = 0; keys(%chosen) < ADDRESSES; $n++) {
		my $turn = int($n / @sizes);
		my $alike = $sizes[$n % @sizes];
		my $gap = $alike->[$turn % @$alike];
		$chosen{inside($gap->[0], $gap->[1], $turn)} = 1;
	}
	return sort { $a <=> $b } keys(%chosen);
}

<$qmp>;		# the greeting
command('{"execute": "qmp_capabilities"}');

# The process spins in user mode, but a stop may hit a timer interrupt in it.
my $registers;
for (my $try = 0; ; $try++) {
	command('{"execute": "stop"}');
	$registers = human('info registers');
	last if $registers =~ /\bCPL=3\b/;
	$try < 100 or die "monitor.pl: the guest is never in user mode\n";
	command('{"execute": "cont"}');
	select(undef, undef, undef, 0.01);
}
$registers =~ /\bCR4=([0-9a-f]+)/ or die "monitor.pl: no CR4 in info registers\n";
(hex($1) >> 12 & 1) == $la57 or die "monitor.pl: CR4 is $1, CR4.LA57 should be $la57\n";
save('registers.txt', $registers);

my $tlb = human('info tlb');
save('tlb.txt', $tlb);
my @leaves;
for (split(/\n/, $tlb)) {
	/^([0-9a-f]{16}): [0-9a-f]{16} (\S{9})$/ or die "monitor.pl: info tlb: cannot read '$_'\n";
	# The third flag is PS: 2 MB, for what is done here also if it is 1 GB, which the list does not tell.
	push(@leaves, [hex($1), hex($1) + (substr($2, 2, 1) eq 'P' ? 0x1fffff : 0xfff), $2]);
}

my $translated = '';
for my $va (map { sprintf('0x%016x', $_) } choose($la57 ? 57 : 48, @leaves)) {
	my $answer = human("gva2gpa $va");
	if ($answer =~ /^gpa: (?:0x)?([0-9a-f]+)$/) {		# zero comes without 0x
		$translated .= sprintf("%s 0x%016x\n", $va, hex($1));
	} elsif ($answer =~ /^Unmapped$/) {
		$translated .= "$va unmapped\n";
	} else {
		die "monitor.pl: gva2gpa $va: $answer";
	}
}
save('gva2gpa.txt', $translated);

command(qq({"execute": "pmemsave", "arguments": {"val": 0, "size": $ram, "filename": "memory.raw"}}));
command('{"execute": "dump-guest-memory", "arguments": {"paging": false, "protocol": "file:dump.elf"}}');

# That all of it belongs together: nothing has run since the first line was written.
human('info registers') eq $registers or die "monitor.pl: the guest has run meanwhile\n";
# To the end of its answer: QEMU forgets a command whose sender has hung up.
command('{"execute": "quit"}');
1 while <$qmp>;
