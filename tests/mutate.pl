#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# mutate.pl: is there a test for every operator, constant and condition of include/pagewalk? One of them is changed at a
# time, in a copy, and the fast tests are run: random walks against the model, then the suites, until one fails; at last
# the random walks under UBSan.
#
#     mutate.pl [--file NAME] [--line N] [--sample N [--seed S]] [--jobs N] [--list] [--verbose]
#
#   --file, --line   only mutants of this header, of this line of it
#   --sample         so many of them, chosen by the seed (1)
#   --jobs           so many at a time (2)
#   --list           says what the mutants are, runs nothing
#   --verbose        says of each mutant what killed it
#
# A mutant that does not compile is none. One that gives the same machine code is equivalent. One that no test can tell
# from the original is in tests/mutants_equivalent.txt with its reason; if a test can, the list is wrong, and that is a
# failure too. A mutant that survives is a missing test: exit 1. The last line is the sum.
#
# What is changed: arithmetic, shifts, bits, comparisons, && and || to their neighbours; ! and ~ left out; a number to
# one more, one less, 0; true and false; the condition of if, while, for, ?: and each operand of && and || to 1 and to 0,
# and if and ?: negated; a statement left out. Not what has no effect by itself: declarations, the sizes of arrays, (void).
# & becomes |, | becomes &; a | between bits of their own could become ^ or + without a difference.
use strict;
use warnings;
no warnings 'portable'; # 64-bit numbers
use File::Temp qw(tempdir);
use Getopt::Long;
use POSIX qw(:sys_wait_h _exit);
use Time::HiRes qw(time);

my $list = 'tests/mutants_equivalent.txt';
my @headers = map { s{.*/}{}r } sort glob('include/pagewalk/*.h');
my ($only_file, $only_line, $sample, $seed, $jobs, $only_list, $verbose) = (undef, undef, 0, 1, 2, 0, 0);
GetOptions('file=s' => \$only_file, 'line=i' => \$only_line, 'sample=i' => \$sample, 'seed=i' => \$seed,
	   'jobs=i' => \$jobs, 'list' => \$only_list, 'verbose' => \$verbose) && !@ARGV or
	die "mutate.pl [--file NAME] [--line N] [--sample N [--seed S]] [--jobs N] [--list] [--verbose]\n";
$only_file = $only_file =~ s{.*/}{}r if defined $only_file;

# ---- The source: tokens ------------------------------------------------------------------------

my %source; # file => text
my $operators = join '|', map { quotemeta } split(' ', '<<= >>= -> ++ -- << >> <= >= == != && || += -= *= |= &= ^= ## ' .
	'{ } [ ] ( ) ; : ? , . + - * / % & | ^ ! ~ < > = #');

# [text, offset, in a macro's body: its name]...; comments, strings and all directives but #define are no tokens.
sub tokens_of
{
	my ($text) = @_;
	my (@tokens, $macro);

	pos($text) = 0;
	while (pos($text) < length($text)) {
		if ($text =~ /\G\n/gc) {
			undef $macro;
		} elsif ($text =~ m{\G(?:[ \t]+|\\\n|/\*.*?\*/)}gcs) {
		} elsif ($text =~ /\G#[ \t]*define[ \t]+(\w+)(\([^)]*\))?/gc) {
			$macro = $1;
		} elsif ($text =~ /\G#(?:\\\n|[^\n])*/gc) {
		} elsif ($text =~ /\G("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])+'|\w+|$operators)/gco) {
			push @tokens, [$1, pos($text) - length($1), $macro];
		} else {
			die 'mutate: what is this: ' . substr($text, pos($text), 20) . "\n";
		}
	}
	return @tokens;
}

my %closes = ('(' => ')', '[' => ']', '{' => '}');

# For each token that opens the index of the one that closes, and the other way round.
sub matches_of
{
	my ($t) = @_;
	my (@open, @match);

	for my $i (0 .. $#$t) {
		if ($closes{$t->[$i][0]}) {
			push @open, $i;
		} elsif ($t->[$i][0] =~ /^[\]})]$/) {
			my $o = pop @open;
			($match[$o], $match[$i]) = ($i, $o);
		}
	}
	return @match;
}

# ---- Mutants -----------------------------------------------------------------------------------

my %neighbours = (
	'+' => ['-'], '-' => ['+'], '*' => ['+'], '/' => ['*'], '%' => ['/'], '<<' => ['>>'], '>>' => ['<<'],
	'&' => ['|'], '|' => ['&'], '^' => ['|', '&'], '&&' => ['||'], '||' => ['&&'],
	'==' => ['!='], '!=' => ['=='], '<' => ['<=', '>='], '>' => ['>=', '<='], '<=' => ['<', '>'], '>=' => ['>', '<'],
	'|=' => ['&=', '='], '&=' => ['|=', '='], '^=' => ['|=', '='], '+=' => ['-=', '='], '-=' => ['+=', '='],
	'<<=' => ['>>='], '>>=' => ['<<='], '++' => ['--'], '--' => ['++'],
);
my $type = qr/^(?:const|static|struct|enum|union|unsigned|int|bool|char|void|size_t|u?int\d+_t|pt_element_t)$/;

# The mutants of a file: { file, from, to (offsets), text, where (function or macro) }.
sub mutants_of
{
	my ($file) = @_;
	my $text = $source{$file};
	my @t = tokens_of($text);
	my @match = matches_of(\@t);
	my @where = map { $_->[2] } @t;
	my (@mutants, @body);

	my $mutant = sub {
		my ($from, $to, $new) = @_; # tokens, both included

		push @mutants, { file => $file, from => $t[$from][1], to => $t[$to][1] + length($t[$to][0]), text => $new,
				 where => $where[$from] // 'no function' };
	};
	my $source = sub {
		my ($from, $to) = @_;
		return substr($text, $t[$from][1], $t[$to][1] + length($t[$to][0]) - $t[$from][1]);
	};
	# The bounds of the operand of && or || (or, whole, of a condition before ?) that ends before, or begins after, i.
	my $operand = sub {
		my ($i, $step, $stop) = @_;
		my $j = $i;

		while (1) {
			my $next = $j + $step;
			my $x = $t[$next] ? $t[$next][0] : ';';

			return $j if ($t[$next] && ($t[$next][2] // '') ne ($t[$i][2] // '')) || $x =~ /^(?:$stop)$/ ||
				$x =~ ($step < 0 ? qr/^[(\[{]$/ : qr/^[)\]}]$/);
			$j = defined $match[$next] ? $match[$next] : $next;
		}
	};
	my $ends = qr/[,;?:]|return|case|=|[-+*|&^]=|<<=|>>=/;

	# Functions, and the names of structs and enums.
	for (my $i = 0; $i < @t; $i++) {
		next if defined $where[$i];
		my $end = $i;
		$end = defined $match[$end] && $t[$end][0] ne '{' ? $match[$end] + 1 : $end + 1
			while $end < @t && $t[$end][0] !~ /^[;{]$/;
		my $name;
		for my $k ($i .. $end - 1) {
			next if $t[$k][0] ne '(' || $k == $i;
			$name = $t[$k - 1][0];
			$name = "FNAME($t[$k + 1][0])" if $name eq 'FNAME';
			last;
		}
		if ($end < @t && $t[$end][0] eq '{') {
			push @body, [$end, $match[$end]] if $name;
			$name //= $t[$end - 1][0];
			$end = $match[$end];
			$end++ while $end < @t && !$body[-1] && $t[$end][0] ne ';';
		}
		$where[$_] //= $name for $i .. ($end < @t ? $end : $#t);
		$i = $end;
	}

	for my $i (0 .. $#t) {
		my ($x, $at) = @{$t[$i]};
		my $spaced = substr($text, $at - 1, 1) =~ /\s/ && substr($text, $at + length($x), 1) =~ /\s/;
		my $sized = $i && $t[$i - 1][0] eq '[' && declared(\@t, $i);

		if ($neighbours{$x} && ($spaced || $x =~ /^(\+\+|--)$/)) { # a * or & without a space is no operation
			$mutant->($i, $i, $_) for @{$neighbours{$x}};
		} elsif ($x =~ /^[!~]$/) {
			$mutant->($i, $i, '');
		} elsif (!$sized && $x =~ /^\d/ && $x =~ /^(0x)?([0-9a-f]+)(u?)$/i) {
			my ($hex, $suffix) = ($1, $3);
			my $n = $hex ? hex($2) : $2;
			my %values = map { $_ => 1 } grep { $_ != $n && $_ >= 0 } $n + 1, $n - 1, 0;

			$mutant->($i, $i, sprintf($hex ? '0x%x%s' : '%d%s', $_, $suffix)) for sort { $a <=> $b } keys %values;
		} elsif ($x eq 'true' || $x eq 'false') {
			$mutant->($i, $i, $x eq 'true' ? 'false' : 'true');
		}

		if ($x eq '&&' || $x eq '||') {
			my ($left, $right) = ($operand->($i, -1, qr/$ends|&&|\|\|/), $operand->($i, 1, qr/$ends|&&|\|\|/));

			for my $n (0, 1) {
				# Each operand once: the left one of the first && or ||, the right one of all.
				$mutant->($left, $i - 1, $n) if $t[$left - 1][0] !~ /^(&&|\|\|)$/;
				$mutant->($i + 1, $right, $n);
			}
		} elsif ($x eq '?') {
			my $from = $operand->($i, -1, $ends);

			$mutant->($from, $i - 1, $_) for 0, 1, '!(' . $source->($from, $i - 1) . ')';
		} elsif ($x eq 'if' || $x eq 'while') {
			my ($from, $to) = ($i + 2, $match[$i + 1] - 1);

			$mutant->($from, $to, $_) for 0, 1, '!(' . $source->($from, $to) . ')';
		} elsif ($x eq 'for') {
			my $from = $i + 2;
			$from++ while $t[$from][0] ne ';';
			my $to = ++$from;
			$to++ while $t[$to][0] ne ';';
			$mutant->($from, $to - 1, $_) for $to > $from ? (0, 1) : ();
		}
	}

	# Statements left out.
	for my $body (@body) {
		my $start = $body->[0] + 1;
		for (my $i = $start; $i < $body->[1]; $i++) {
			my $x = $t[$i][0];

			if (defined $t[$i][2]) {
				$start = $i + 1;
			} elsif ($x =~ /^(if|for|while|switch)$/ && $i == $start) {
				$i = $match[$i + 1];
				$start = $i + 1;
			} elsif ($x =~ /^(case|default)$/ && $i == $start) {
				$i++ while $t[$i][0] ne ':';
				$start = $i + 1;
			} elsif ($x eq 'else' || ($x =~ /^[{}]$/ && $i == $start)) {
				$start = $i + 1;
			} elsif ($x =~ /^[({\[]$/) {
				$i = $match[$i];
			} elsif ($x eq ';') {
				$mutant->($start, $i, ';')
					if $start < $i && $t[$start][0] !~ $type && $source->($start, $i) !~ /^\(void\)/;
				$start = $i + 1;
			}
		}
	}
	return @mutants;
}

# Is the number at i the size of an array, not an index?
sub declared
{
	my ($t, $i) = @_;

	$i-- while $i && $t->[$i][0] !~ /^[;{}]$/ && !($t->[$i][0] eq '(' && $t->[$i + 1][0] =~ $type);
	return $t->[$i + 1][0] =~ $type;
}

# Lines, the text before and after, and the key of the list of equivalents.
sub describe
{
	my ($m) = @_;
	my $text = $source{$m->{file}};
	my $from = rindex($text, "\n", $m->{from} - 1) + 1;
	my $to = index($text, "\n", $m->{to} - 1);
	my $before = substr($text, $from, $to - $from);
	my $after = $before;

	substr($after, $m->{from} - $from, $m->{to} - $m->{from}, $m->{text});
	$m->{line} = 1 + (substr($text, 0, $m->{from}) =~ tr/\n//);
	for ($before, $after) {
		s{/\*.*?(?:\*/|$)|\\$}{}gms; # a comment may change
		s/\s+/ /g;
		s/^ | $//g;
	}
	($m->{before}, $m->{after}, $m->{start}) = ($before, $after, $from);
}

my @mutants;
for my $file (@headers) {
	open(my $in, '<', "include/pagewalk/$file") or die "$file: $!\n";
	$source{$file} = do { local $/; <$in> };
	my %seen;
	my @of = grep { describe($_); !$seen{"$_->{line} $_->{after}"}++ } mutants_of($file);
	# A line that is in a function more than once: which of them.
	my (%place, %times);
	for my $m (@of) {
		my $line = "$m->{where}: $m->{before}";
		$place{$line}{$m->{start}} = 1;
	}
	for my $m (@of) {
		my @places = sort { $a <=> $b } keys %{$place{"$m->{where}: $m->{before}"}};
		my ($n) = grep { $places[$_] == $m->{start} } 0 .. $#places;
		$m->{head} = "$file $m->{where}" . (@places > 1 ? ' ' . ($n + 1) : '');
		$m->{key} = join "\n", $m->{head}, $m->{before}, $m->{after};
	}
	push @mutants, @of;
}
my $whole = !defined $only_file && !defined $only_line && !$sample;
@mutants = grep { (!defined $only_file || $_->{file} eq $only_file) &&
		  (!defined $only_line || $_->{line} == $only_line) } @mutants;
if ($sample && $sample < @mutants) {
	srand($seed);
	for my $i (0 .. $sample - 1) {
		my $j = $i + int(rand(@mutants - $i));
		@mutants[$i, $j] = @mutants[$j, $i];
	}
	@mutants = sort { $a->{file} cmp $b->{file} || $a->{from} <=> $b->{from} } @mutants[0 .. $sample - 1];
}

# "file:line function", and the line as it was and as it is.
sub told
{
	my ($m) = @_;
	return "$m->{file}:$m->{line}\n$m->{head}\n-\t$m->{before}\n+\t$m->{after}\n";
}

if ($only_list) {
	print told($_), "\n" for @mutants;
	print scalar(@mutants), " mutants\n";
	exit 0;
}

# ---- The list of equivalents: "file function", "-\tline", "+\tmutated"..., and the reason, indented -----

my %listed; # key => line of the list
{
	my ($head, $before, $pairs, $reason);
	open(my $in, '<', $list) or die "$list: $!\n";
	while (<$in>) {
		chomp;
		if (/^#/ || !/\S/) {
			next;
		} elsif (/^-\s+(.*)/) {
			die "$list:$.: no function above\n" if !defined $head;
			die "$list:$.: the pair above has no reason\n" if $pairs && $reason;
			$before = $1;
		} elsif (/^\+\s+(.*)/) {
			die "$list:$.: no line above\n" if !defined $before;
			$listed{join "\n", $head, $before, $1} = $.;
			$pairs = 1;
		} elsif (/^\s/) {
			die "$list:$.: a reason of nothing\n" if !$pairs;
			$reason = 1;
		} else {
			die "$list:$.: the entry above has no reason\n" if $pairs && !$reason;
			($head, $before, $pairs, $reason) = ($_, undef, 0, 0);
		}
	}
	die "$list: the last entry has no reason\n" if $pairs && !$reason;
}

# ---- Build and run -----------------------------------------------------------------------------

my $dir = tempdir('pagewalk-mutate-XXXXXX', TMPDIR => 1);
my $parent = $$;
END {
	system('rm', '-rf', $dir) if defined $dir && $$ == $parent;
}
$SIG{INT} = $SIG{TERM} = sub { exit 2 };

my @gcc = qw(gcc -std=gnu11 -D_GNU_SOURCE -Werror=return-type);
my @suites = grep { uses_headers($_) } glob('tests/test_*.c');
my $cases = 20000;

sub uses_headers
{
	open(my $in, '<', $_[0]) or die "$_[0]: $!\n";
	return scalar grep { m{^#include ("library\.h"|"tables2?\.h"|<pagewalk/)} } <$in>;
}

# True if the command succeeds in time; its output goes to $log.
sub try
{
	my ($limit, $log, @command) = @_;
	my $pid = fork() // die "fork: $!\n";

	if (!$pid) {
		setpgrp(0, 0);
		open(STDOUT, '>', $log);
		open(STDERR, '>&', \*STDOUT);
		{ no warnings 'exec'; exec(@command) }
		_exit(127);
	}
	my $in_time = eval {
		local $SIG{ALRM} = sub { die "late\n" };
		Time::HiRes::alarm($limit);
		waitpid($pid, 0);
		Time::HiRes::alarm(0);
		1;
	};
	if (!$in_time) {
		kill('KILL', -$pid);
		waitpid($pid, 0);
		return 0;
	}
	return $? == 0;
}

sub spew
{
	my ($path, $text) = @_;
	open(my $to, '>', $path) or die "$path: $!\n";
	print $to $text;
	close $to or die "$path: $!\n";
}

# Whether the sanitizers tell, as they would in make test: an index or a shift that C does not define.
sub is_undefined
{
	my ($into) = @_;
	my @compile = (@gcc, "-I$into/include", '-Itests', '-O1', '-fsanitize=undefined', '-fno-sanitize-recover=all');

	return !try(60, "$into/log", @compile, 'tests/library.c', 'tests/compare.c',
		    map({ "$dir/$_.o" } qw(model generate vector)), '-l:libjansson.a', '-o', "$into/undefined") ||
		!try(60, "$into/output", "$into/undefined", $cases / 10, 1);
}

# All that the headers compile to: every function, and the value of every macro and enumerator.
sub probe
{
	my @macros = map { $source{$_} =~ /^#define (PAGEWALK_\w+)[ \t]+[^\s\\]/mg } @headers;
	my @enums = map { map { /\b(PAGEWALK_\w+)\b\s*(?:=|,|\}|\/)/g } /^enum \w+ \{.*?\}/gms } values %source;
	my %once;
	my @all = grep { !/^PAGEWALK_(TAG|READ_GPTE)$/ && !$once{$_}++ } @macros, sort @enums;

	return "#include <pagewalk/pagewalk.h>\nconst unsigned long long probe[] = {\n" .
		join('', map { "\t(unsigned long long)($_),\n" } @all) . "};\n" .
		"unsigned rule_family(unsigned rule) { return PAGEWALK_RULE_FAMILY(rule); }\n" .
		"unsigned rule_number(unsigned rule) { return PAGEWALK_RULE_NUMBER(rule); }\n";
}

# The machine code of the headers in a folder, or undef.
sub code
{
	my ($include, $into) = @_;

	try(60, "$into/log", @gcc, '-O2', '-fkeep-inline-functions', "-I$include", '-S', "$dir/probe.c", '-o', "$into/probe.s")
		or return undef;
	open(my $in, '<', "$into/probe.s") or return undef;
	return do { local $/; <$in> };
}

my (%limit, %cost); # seconds: what each test may take; what compiling and running it took
my %level;          # a suite's -O, the one that costs less

# What kills the headers in a folder: a test's name; '' if nothing does; undef if they do not compile. The suite that is
# told goes first.
sub killed_by
{
	my ($into, $base, $first) = @_;
	my @compile = (@gcc, "-I$into/include", '-Itests', '-DSUITE_PLAIN');
	my $run = sub {
		my ($name, @command) = @_;
		my $start = time;

		try($limit{$name} // 60, "$into/output", @command) or return 0;
		$limit{$name} = 5 + 10 * (time - $start) if $base;
		return 1;
	};

	try(60, "$into/log", @compile, '-c', 'tests/library.c', '-o', "$into/library.o") or return undef;
	try(60, "$into/log", @compile, 'tests/compare.c', "$into/library.o", map({ "$dir/$_.o" } qw(model generate vector)),
	    '-l:libjansson.a', '-o', "$into/compare") or return 'compare does not compile';
	$run->('compare', "$into/compare", $cases, 1) or return 'compare';
	try(60, "$into/log", @compile, '-O1', '-c', 'tests/library.c', '-o', "$into/library.o") or
		return 'library does not compile';
	$first //= '';
	for my $suite (grep({ $_ eq $first } @suites), grep { $_ ne $first } @suites) {
		my $name = $suite =~ s{^tests/(.*)\.c$}{$1}r;

		for my $o ($base ? (1, 0) : $level{$suite}) {
			my $start = time;

			try(60, "$into/log", @compile, "-O$o", $suite, "$into/library.o", "$dir/plain.o", '-o', "$into/suite") or
				return "$name does not compile";
			$run->($name, "$into/suite") or return $name;
			my $took = time - $start;
			($cost{$suite}, $level{$suite}) = ($took, $o)
				if $base && (!defined $cost{$suite} || $took < $cost{$suite});
		}
	}
	return '';
}

sub fresh_copy
{
	my ($into) = @_;
	system('mkdir', '-p', "$into/include/pagewalk");
	spew("$into/include/pagewalk/$_", $source{$_}) for @headers;
}

for (qw(model generate vector plain)) {
	try(60, "$dir/log", @gcc, '-O2', '-DSUITE_PLAIN', '-Iinclude', '-Itests', '-c', "tests/$_.c", '-o', "$dir/$_.o") or
		die "mutate: tests/$_.c does not compile\n" . `cat $dir/log`;
}
spew("$dir/probe.c", probe());
fresh_copy("$dir/base");
my $fails = killed_by("$dir/base", 1);
die "mutate: the headers do not compile\n" if !defined $fails;
$fails ||= 'sanitizers' if is_undefined("$dir/base");
die "mutate: the tests fail before anything is changed: $fails\n" . `tail -n 5 $dir/base/output` if $fails;
@suites = sort { $cost{$a} <=> $cost{$b} } @suites;
my $code = code("$dir/base/include", "$dir/base") // die "mutate: no probe\n" . `cat $dir/base/log`;

# A job takes every n-th mutant, in a folder of its own, and says "index: what" for each.
my @from;
for my $job (0 .. $jobs - 1) {
	pipe(my $in, my $to) or die "pipe: $!\n";
	my $pid = fork() // die "fork: $!\n";
	if (!$pid) {
		close $in;
		$to->autoflush(1);
		fresh_copy("$dir/$job");
		my %first; # function => the suite that told last
		for (my $i = $job; $i < @mutants; $i += $jobs) {
			my $m = $mutants[$i];
			my $path = "$dir/$job/include/pagewalk/$m->{file}";
			my $text = $source{$m->{file}};

			substr($text, $m->{from}, $m->{to} - $m->{from}, $m->{text});
			spew($path, $text);
			my $began = time;
			my $by = killed_by("$dir/$job", 0, $first{$m->{where}});
			if (!defined $by) {
				$by = 'none';
			} elsif ($by eq '') {
				$by = (code("$dir/$job/include", "$dir/$job") // '') eq $code ? 'same' :
					!$listed{$m->{key}} && is_undefined("$dir/$job") ? 'killed sanitizers' : 'survived';
			} else {
				$first{$m->{where}} = "tests/$by.c";
				$by = "killed $by" . ($verbose ? sprintf(' %.1f s', time - $began) : '');
			}
			spew($path, $source{$m->{file}});
			print $to "$i: $by\n";
		}
		_exit(0);
	}
	close $to;
	push @from, [$in, $pid];
}
my ($n, $killed, $same, $equivalent, $survived, $wrong, $done) = (0) x 7;
my %by;
my $started = time;
# The jobs keep pace, so that reading them in turn is reading them all.
for (my $open = @from; $open;) {
	for my $f (@from) {
		next if !$f->[0];
		my $line = readline($f->[0]);
		if (!defined $line) {
			close $f->[0];
			waitpid($f->[1], 0);
			die "mutate: a job ended early\n" if $?;
			undef $f->[0];
			$open--;
			next;
		}
		my ($i, $what) = $line =~ /^(\d+): (.*)/ or die "mutate: $line";
		my $m = $mutants[$i];
		my $in_list = delete $listed{$m->{key}};

		printf STDERR "\r%d of %d", ++$done, scalar @mutants if -t STDERR;
		next if $what eq 'none';
		$n++;
		print "$what: ", told($m), "\n" if $verbose;
		if ($what eq 'same') {
			$same++;
		} elsif ($what =~ /^killed (.*)/) {
			$killed++;
			$by{(split ' ', $1)[0]}++;
			if ($in_list) {
				print "NOT EQUIVALENT ($1 tells), but in $list:\n", told($m), "\n";
				$wrong++;
			}
		} elsif ($in_list) {
			$equivalent++;
		} else {
			print "SURVIVED ", told($m), "\n";
			$survived++;
		}
	}
}
print STDERR "\n" if -t STDERR;
if ($whole) {
	for (sort { $listed{$a} <=> $listed{$b} } keys %listed) {
		print "NO SUCH MUTANT, $list:$listed{$_}:\n", s/\n/\n-\t/r =~ s/\n(?!-)/\n+\t/r, "\n\n";
		$wrong++;
	}
}
print "killed by ", join(', ', map { "$_ $by{$_}" } sort { $by{$b} <=> $by{$a} } keys %by), "\n" if $killed;
printf "equivalent: same code %d, listed %d; wrong in the list %d; %.0f s\n", $same, $equivalent, $wrong, time - $started;
printf "mutate: %d mutants, %d killed, %d equivalent, %d survived\n", $n, $killed, $same + $equivalent, $survived;
exit($survived || $wrong ? 1 : 0);
