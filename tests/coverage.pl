#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# coverage.pl FLAG...: lines, branches and MC/DC of include/pagewalk that the suites reach, measured by clang 19. The
# flags are the compiler's; COMPARE=n adds n random walks against the model.
#
# Every function of the headers is counted once, each instance of the template for itself. That needs a trick: a static
# function is counted for each unit that it is in, under the name of the unit's file. All units get the same name here,
# so that their counts, and the test vectors of MC/DC, are added up before anything is judged.
#
# A condition that the suites do not reach must be in tests/coverage_exceptions.txt with its reason, and what is in there
# must be such a condition; anything else is exit 1. The last line: lines, branches, conditions (MC/DC) and exceptions.
use strict;
use warnings;
use JSON::PP;

my $list = 'tests/coverage_exceptions.txt';
my $out = 'build/coverage';
# Suites that do not include the headers cannot reach anything in them.
my @units = ('tests/library.c', 'tests/plain.c', grep { includes_headers($_) } sort glob('tests/test_*.c'));
my @headers = sort glob('include/pagewalk/*.h');
my @clang = (qw(clang-19 -std=gnu11 -O1 -w -fprofile-instr-generate -fcoverage-mapping -fcoverage-mcdc),
	     qw(-Wno-everything -Wbackend-plugin -Xclang -main-file-name -Xclang pagewalk), @ARGV);
my %text;      # of a file, line by line, from 1
my %exception; # "file function: what: condition" => how many entries of the list say so
my $bad = 0;

sub includes_headers
{
	my ($file) = @_;

	open(my $in, '<', $file) or die "$file: $!\n";
	return scalar grep { m{^#include ("library\.h"|"tables2?\.h"|<pagewalk/)} } <$in>;
}

sub run
{
	system(@_) == 0 or die "coverage: this failed: @_\n";
}

sub output
{
	open(my $in, '-|', @_) or die "coverage: $_[0]: $!\n";
	my $all = do { local $/; <$in> };
	close $in or die "coverage: this failed: @_\n";
	return $all;
}

sub lines_of
{
	my ($file) = @_;

	if (!$text{$file}) {
		open(my $in, '<', $file) or die "$file: $!\n";
		$text{$file} = ['', map { s/\n//r } <$in>];
	}
	return $text{$file};
}

# The source from line and column to line and column, in one line.
sub source
{
	my ($file, $l1, $c1, $l2, $c2) = @_;
	my $lines = lines_of($file);
	my $all = $l1 == $l2 ? substr($lines->[$l1], $c1 - 1, $c2 - $c1) :
		join(' ', substr($lines->[$l1], $c1 - 1), @$lines[$l1 + 1 .. $l2 - 1], substr($lines->[$l2], 0, $c2 - 1));

	return $all =~ s/\s+/ /gr;
}

sub short
{
	return $_[0] =~ s{.*/}{}r;
}

# The macro of a function that one of its files is: where the function has it, and "MACRO(...): " for each around the next.
sub within
{
	my ($f, $id) = @_;

	return (undef, '') if !$id;
	for my $r (grep { $_->[7] == 1 && $_->[6] == $id } @{$f->{regions}}) {
		my ($line, $macros) = within($f, $r->[5]);
		return ($line // $r->[0], $macros . whole_macro($f->{filenames}[$r->[5]], @$r[0 .. 3]) . ': ');
	}
	die "coverage: no macro $id in $f->{name}\n";
}

# clang gives the place of a macro's name; its arguments go on to the parenthesis that closes them.
sub whole_macro
{
	my ($file, $l1, $c1, $l2, $c2) = @_;
	my $lines = lines_of($file);
	my $name = source($file, $l1, $c1, $l2, $c2);
	my $rest = join(' ', substr($lines->[$l2], $c2 - 1), @$lines[$l2 + 1 .. ($l2 + 3 < $#$lines ? $l2 + 3 : $#$lines)]);

	return $rest =~ /^\s*(\((?:[^()]++|(?1))*\))/ && $name !~ /\)$/ ? ($name . $1) =~ s/\s+/ /gr : $name;
}

# What the suites do not reach of a function: [place, "file function: what: condition"]...
sub missing
{
	my ($f, $count) = @_;
	my ($name, $home) = ($f->{name} =~ s/^.*://r, short($f->{filenames}[0]));
	my (@missing, %told);

	for my $b (@{$f->{branches}}) {
		my ($l1, $c1, $l2, $c2, $true, $false, $id) = @$b;
		my $file = $f->{filenames}[$id];
		my $what = $true ? $false ? undef : 'never false' : $false ? 'never true' : 'never reached';

		$count->{branches} += 2;
		next if !$what;
		$count->{branches_missed} += !$true + !$false;
		$told{"$id $l1 $c1"} = 1;
		my ($line, $macros) = within($f, $id);
		push @missing, [$line // $l1, "$home $name: $what: $macros" . source($file, $l1, $c1, $l2, $c2)];
	}
	for my $m (@{$f->{mcdc_records}}) {
		my ($l1, $c1, $l2, $c2, $id) = @$m;
		my ($covered) = grep { ref } @$m;
		# The decision's conditions, in their order in the source.
		my @conditions = sort { $a->[0] <=> $b->[0] || $a->[1] <=> $b->[1] }
			grep { $_->[8] == 6 && $_->[6] == $id && ($_->[0] > $l1 || ($_->[0] == $l1 && $_->[1] >= $c1)) &&
			       ($_->[2] < $l2 || ($_->[2] == $l2 && $_->[3] <= $c2)) } @{$f->{branches}};

		die "coverage: $home:$l1: conditions are missing\n" if @conditions != @$covered;
		for my $i (0 .. $#conditions) {
			my ($cl1, $cc1, $cl2, $cc2) = @{$conditions[$i]};

			$count->{mcdc}++;
			next if $covered->[$i];
			$count->{mcdc_missed}++;
			next if $told{"$id $cl1 $cc1"}; # it has only ever one value, which says it all
			my ($line, $macros) = within($f, $id);
			push @missing, [$line // $cl1, "$home $name: no effect alone: $macros" .
				source($f->{filenames}[$id], $cl1, $cc1, $cl2, $cc2)];
		}
	}
	return @missing;
}

# Entries: "file function: what: condition", then indented lines, the reason. function{64,32} is two entries.
sub read_list
{
	my ($entry, $reason);

	open(my $in, '<', $list) or die "$list: $!\n";
	while (<$in>) {
		chomp;
		if (/^\s+\S/) {
			die "$list:$.: a reason of nothing\n" if !defined $entry;
			$reason = 1;
		} else {
			die "$list:$.: the entry above has no reason\n" if defined $entry && !$reason;
			undef $entry;
			next if /^#/ || !/\S/;
			($entry, $reason) = ($_, 0);
			if ($entry =~ /^([^:]*?)\{([^}]*)\}([^:]*:.*)$/) {
				$exception{"$1$_$3"}++ for split(/,/, $2);
			} else {
				$exception{$entry}++;
			}
		}
	}
	die "$list: the last entry has no reason\n" if defined $entry && !$reason;
}

# ---- Measure -----------------------------------------------------------------------------------

run('rm', '-rf', $out);
run('mkdir', '-p', $out);
push @units, qw(tests/compare.c tests/model.c tests/generate.c tests/vector.c) if $ENV{COMPARE};
my (@objects, %unmeasured);
for my $unit (@units) {
	my $object = "$out/" . short($unit) =~ s/c$/o/r;

	open(my $in, '-|', join(' ', @clang, '-DSUITE_PLAIN', '-c', $unit, '-o', $object, '2>&1')) or die;
	while (<$in>) {
		print if /error/;
		$unmeasured{"$1:$2:$3"} = 1 if m{(include/pagewalk/\w+\.h):(\d+):(\d+): .*unsupported MC/DC};
	}
	close $in or die "coverage: $unit does not compile\n";
	push @objects, $object;
}
my @suites = grep { !m{/(compare|model|generate|vector)\.o$} } @objects;
my @programs = "$out/suites";
run('clang-19', '-fprofile-instr-generate', @suites, '-o', "$out/suites");
$ENV{LLVM_PROFILE_FILE} = "$out/suites.profraw";
print output("$out/suites") =~ s/^(\d+) passed.*/suites: $1 tests/sr, "\n";
if ($ENV{COMPARE}) {
	run('clang-19', '-fprofile-instr-generate', (grep { !m{/(plain|test_\w+)\.o$} } @objects), '-l:libjansson.a',
	    '-o', "$out/compare");
	$ENV{LLVM_PROFILE_FILE} = "$out/compare.profraw";
	print output("$out/compare", $ENV{COMPARE}) =~ s/.*\n(?=.)//sr;
	push @programs, '-object', "$out/compare";
}
run('llvm-profdata-19', 'merge', '-o', "$out/profile", glob("$out/*.profraw"));
my @show = (@programs, '-instr-profile', "$out/profile");
my $report = output('llvm-cov-19', 'report', @show, '-show-functions', '-show-mcdc-summary', @headers);
my $json = decode_json(output('llvm-cov-19', 'export', '-skip-expansions', @show, '-sources', @headers));

# ---- Judge -------------------------------------------------------------------------------------

my (%lines, %count, @missing);
my $file = '';
for (split(/\n/, $report)) {
	$file = short($1) if /^File '(.*)':/;
	# Name, regions, missed, %, lines, missed, %, ...; other instances of the template are the tests' own.
	if (/^pagewalk:pagewalk\w+\s/) {
		my @field = split;
		$lines{$file}[0] += $field[4];
		$lines{$file}[1] += $field[5];
	}
}
for my $f (@{$json->{data}[0]{functions}}) {
	next if $f->{filenames}[0] !~ m{include/pagewalk/\w+\.h$} || $f->{name} !~ /^pagewalk:pagewalk/;
	my $home = short($f->{filenames}[0]);
	push @missing, map { [$home, @$_] } missing($f, $count{$home} ||= {});
}
for (sort keys %unmeasured) {
	my ($path, $line) = split(/:/);
	my $decision = lines_of($path)->[$line] =~ s/^\s+|\s+$//gr;
	push @missing, [short($path), $line, short($path) . " decision: not measured: $decision"];
}

read_list();
my %sum;
my $format = "%-16s %16s %16s %16s\n";
printf $format, '', 'lines', 'branches', 'MC/DC';
for my $home (map { short($_) } @headers) {
	my $c = $count{$home};
	if (!$c) {
		printf "%-16s %16s\n", $home, 'no code';
		next;
	}
	my @row = ([$lines{$home}[0], $lines{$home}[1]], [$c->{branches} || 0, $c->{branches_missed} || 0],
		   [$c->{mcdc} || 0, $c->{mcdc_missed} || 0]);
	printf $format, $home, map { sprintf('%d/%d', $_->[0] - $_->[1], $_->[0]) } @row;
	for my $i (0 .. 2) {
		$sum{$i}[$_] += $row[$i][$_] for 0, 1;
	}
}
my $exceptions = 0;
for my $m (sort { $a->[0] cmp $b->[0] || $a->[1] <=> $b->[1] || $a->[2] cmp $b->[2] } @missing) {
	my ($home, $line, $what) = @$m;
	my $known = ($exception{$what} || 0) > 0;

	$exception{$what}-- if $known;
	$exceptions += $known;
	$bad += !$known;
	printf "%-9s %s:%d %s\n", $known ? 'exception' : 'MISSED', $home, $line, $what =~ s/^\S+\s//r;
}
for (sort grep { $exception{$_} > 0 } keys %exception) {
	print "REACHED   $_; $list says that it is not\n";
	$bad++;
}
printf "coverage: lines %s, branches %s, MC/DC %s, exceptions %d\n",
	(map { sprintf('%d/%d', $sum{$_}[0] - $sum{$_}[1], $sum{$_}[0]) } 0 .. 2), $exceptions;
exit($bad ? 1 : 0);
