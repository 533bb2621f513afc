#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# report.pl: reads what prove.sh had Frama-C write.
#
#     report.pl [-p] [-v] HARNESS SECONDS LOG...  one harness; LOG.log and LOG.csv of each of its cases
#     report.pl -a HEADERS.i INCLUDE HERE LOG...  all of them: every function and every assertion is reached by one
#
# -p: not all of the cases, so that assertions may be out of reach. -v: also prints the functions of which no case
# reaches every statement. Exit 1: something is not as it should be.
use strict;
use warnings;

my %option;
$option{$1} = shift while @ARGV && $ARGV[0] =~ /^-([apv])$/;
my ($all, $verbose) = @option{qw(a v)};
my @head = splice @ARGV, 0, $all ? 3 : 2;

my (%assertion, %assumed, %alarm, %function, @trouble);
for my $log (@ARGV) {
	my ($name) = $log =~ m{([^/]+)$};
	my $complete = 0;

	open my $in, '<', "$log.log" or push @trouble, "$name: no log";
	while ($in && defined(my $line = <$in>)) {
		$complete = 1 if $line =~ /Statements analyzed by Eva/;
		push @trouble, "$name: $line" if $line =~ /^FAILED|User Error|aborted|Failure/;
		if ($line =~ /^\[(?!eva:alarm)[^]]*\].*Warning/) {
			my $next = <$in> // '';
			push @trouble, "$name: $line$next";
		}
		if ($line =~ /^\s+(\w+): (\d+) stmts out of (\d+)/) {
			my $part = $3 ? $2 / $3 : 1;
			$function{$1} = $part if !defined $function{$1} || $part > $function{$1};
		}
	}
	push @trouble, "$name: the analysis did not finish\n" unless $complete;
	open my $csv, '<', "$log.csv" or push(@trouble, "$name: no list of properties\n"), next;
	while (my $row = <$csv>) {
		chomp $row;
		my ($directory, $file, $line, $where, $kind, $status, $text) = split /\t/, $row;

		next if $directory eq 'directory' || $status eq 'Considered valid';
		if ($kind eq 'user assertion') {
			my $a = $assertion{"$file:$line"} //= { proven => 0, open => [] };
			$a->{proven}++ if $status eq 'Valid';
			push @{$a->{open}}, "$name: $file:$line: $where: assertion is $status: $text\n"
				if $status !~ /^(Valid|Dead|Unreachable)$/;
		} elsif ($kind eq 'postcondition' && $text =~ /^assumed_/) {
			$assumed{"$file:$line"} = 1; # of a contract that stands for the function: README.md
		} elsif ($status !~ /^(Valid|Dead|Unreachable)$/) {
			$alarm{"$file:$line: $where: $kind: $text"} = "$name: $file:$line: $where: $kind is $status: $text\n";
		}
	}
}

my $bad = @trouble;
print @trouble;

if ($all) {
	my ($headers, $include, $here) = @head;
	my ($file, $text) = ('', '');
	my %defined;

	open my $in, '<', $headers or die "$headers: $!\n";
	while (my $line = <$in>) {
		if ($line =~ /^# \d+ "([^"]*)"/) {
			$file = $1;
		} elsif (index($file, "$include/") == 0) {
			$text .= $line;
		}
	}
	$defined{$1} = 1 while $text =~ /^static inline\b[^;{}()]*?(\w+)\s*\([^;{}]*\)\s*\{/mg;
	my $count = () = $text =~ /^static inline\b/mg;
	if ($count != keys %defined || !$count) {
		print "report.pl finds ", scalar(keys %defined), " of $count functions in the headers\n";
		$bad++;
	}
	for my $f (sort keys %defined) {
		next if $function{$f};
		print "no harness reaches $f()\n";
		$bad++;
	}
	my ($asserts, $reached) = (0, 0);
	for my $path (sort glob("$here/*.[ch]")) {
		my ($base) = $path =~ m{([^/]+)$};

		open my $source, '<', $path or die "$path: $!\n";
		while (my $line = <$source>) {
			next unless $line =~ /^\s*\/\/\@ assert /;
			$asserts++;
			my $a = $assertion{"$base:$."};
			if ($a && $a->{proven} && !@{$a->{open}}) {
				$reached++;
			} elsif (!$a || !$a->{proven} && !@{$a->{open}}) {
				print "no harness reaches the assertion at $base:$.\n";
				$bad++;
			} else {
				$bad++;
			}
		}
	}
	my $whole = grep { ($function{$_} // 0) == 1 } keys %defined;
	printf "prove: all: %d of %d functions of include/ reached (%d with every statement in one analysis), %d of %d assertions\n",
		scalar(grep { $function{$_} } keys %defined), scalar(keys %defined), $whole, $reached, $asserts;
	exit($bad ? 1 : 0);
}

my ($harness, $seconds) = @head;
my ($proven, $reached) = (0, 0);
for my $place (sort keys %assertion) {
	my $a = $assertion{$place};

	if (@{$a->{open}}) {
		print @{$a->{open}};
		$reached++;
		$bad++;
	} elsif ($a->{proven}) {
		$reached++;
		$proven++;
	} elsif ($place =~ /^\Q$harness\E\.c:/ && !$option{p}) {
		print "$harness: not reached: $place\n";
		$reached++;
		$bad++;
	}
}
print map { $alarm{$_} } sort keys %alarm;
$bad += keys %alarm;
my @mine = grep { /^pagewalk/ && $function{$_} } keys %function;
if ($verbose) {
	printf "%s: %s: %d %% of its statements\n", $harness, $_, 100 * $function{$_}
		for sort grep { $function{$_} < 1 } @mine;
}
if (!$reached) {
	print "$harness: no assertion at all\n";
	$bad++;
}
my $assumed = keys %assumed ? sprintf(' (%d assumed)', scalar(keys %assumed)) : '';
printf "prove: %s: %d alarm%s, %d of %d assertions%s, %d functions, %d s%s\n", $harness, scalar(keys %alarm),
	keys %alarm == 1 ? '' : 's', $proven, $reached, $assumed, scalar(@mine), $seconds, $bad ? ': FAILED' : '';
exit($bad ? 1 : 0);
