#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# coverage.pl [--check | --write]: does tests/vectors/*.jsonl show each rule of docs/rules.md on both sides?
#
# Prints a table of the rules: in how many vectors each applies or refuses, in how many, one bit away, it does not, and
# in which files. --write puts it into docs/vectors.md; --check looks whether that is what it would be now. The last
# line is the sum; exit 1 if anything is wrong:
#
#   - an implemented rule lacks a side; a vector names a rule that is unknown or not implemented yet
#   - an id appears twice, or is in revoked.txt
#   - a family has less than 2000 vectors, or lacks a profile, a kind of access or a physical address width
#   - a source does not say how many oracles agreed, and which
#   - a pair (ids ending in a and b) is not one bit apart, or expects the same of both
#   - what a vector expects is not what the rules that it names are about
#   - the files and counts in tests/vectors/README.md are others, or the case that it explains
#
# All this is read from the files alone; nothing is walked here (that is run-vectors).
use strict;
use warnings;
no warnings 'portable'; # 64-bit numbers
use FindBin;
use JSON::PP;

my $dir = $FindBin::Bin;
my $docs = "$dir/../../docs";
my %floor = map { $_ => 2000 } qw(32 pae 4-level 5-level ept npt permissions);
my $mode = @ARGV ? shift : '';
die "coverage.pl [--check | --write]\n" if @ARGV || $mode !~ /^(--check|--write|)$/;

my $wrong = 0;

sub wrong
{
	print "wrong: @_\n" if ++$wrong <= 20;
}

sub slurp
{
	my ($file) = @_;

	open(my $in, '<:raw', $file) or die "coverage.pl: $file: $!\n";
	local $/;
	return scalar <$in>;
}

# ---- The rules ---------------------------------------------------------------------------------

my (@rules, %rule); # id => { what, state, applies, other, files }

for my $entry (split /^### /m, slurp("$docs/rules.md")) {
	my ($id) = $entry =~ /^([A-Z]+-\d+)\n/ or next;
	my ($what) = $entry =~ /\*\*(.+?)\*\*/s;
	my @last = $entry =~ /^(\*[^*].*?\*)$/msg; # the sources and the state; EPT-8's bold words are no such line
	my $state = @last ? $last[-1] =~ s/\s+/ /gr : '';

	$state = $state =~ /\bimplemented\b|· in part/ ? 'implemented' : $state =~ /not yet/ ? 'not yet' : undef;
	wrong("docs/rules.md: $id: not clear whether it is implemented") if !$state;
	$what = ($what // '') =~ s/\s+/ /gr =~ s/[.:,]$//r;
	$rule{$id} = { what => $what, state => $state // '', applies => 0, other => 0 };
	push @rules, $id;
}

# ---- Bits --------------------------------------------------------------------------------------

sub number { return hex(substr($_[0], 2)) }

sub ones { return unpack('%64b*', pack('Q', $_[0])) }

# How many bits two values are apart. What a key is without is its default; words are without zeros.
sub apart
{
	my ($key, $x, $y) = @_;

	if (ref($x // $y) eq 'HASH') {
		my %keys = (%{$x // {}}, %{$y // {}});
		my $sum = 0;
		$sum += apart($_, $x->{$_}, $y->{$_}) for keys %keys;
		return $sum;
	}
	if ($key eq 'features') {
		my %in = map { $_ => 1 } @$x;
		my @both = grep { $in{$_} } @$y;
		return @$x + @$y - 2 * @both;
	}
	return 0 if !defined $x && !defined $y;
	if ($key eq 'pdpte') {
		return 64 if !$x || !$y;
		my $sum = 0;
		$sum += ones(number($x->[$_]) ^ number($y->[$_])) for 0 .. 3;
		return $sum;
	}
	if ($key eq 'segment') {
		return ($x // 'ds') ne ($y // 'ds') ? 1 : 0;
	}
	if ($key eq 'cs_l') {
		return ($x // 1) != ($y // 1) ? 1 : 0;
	}
	return ($x ? 1 : 0) != ($y ? 1 : 0) ? 1 : 0 if JSON::PP::is_bool($x // $y);
	if ($key eq 'maxphyaddr') {
		return ones($x ^ $y);
	}
	if (($x // $y) =~ /^0x/) {
		my $bits = number($x // '0x0') ^ number($y // '0x0');
		return $key eq 'efer' && $bits == 0x500 ? 1 : ones($bits); # LME and LMA, which no CPU has apart
	}
	return ($x // '') ne ($y // '') ? 1 : 0; # the kind of access, the vendor
}

my @inputs = qw(profile cpu regs pdpte stage2 mem access);

# What a vector expects, as one text; words as the bits that change, so that a bit of the input itself does not count.
sub expectation
{
	my ($v) = @_;
	my %change;

	for my $at (keys %{$v->{mem_after}}) {
		$change{$at} = sprintf('%x', number($v->{mem_after}{$at}) ^ number($v->{mem}{words}{$at} // '0x0'));
	}
	return JSON::PP->new->canonical->encode([$v->{expect}, \%change]);
}

# ---- What the rules are about ------------------------------------------------------------------

my ($v, $e); # the vector, its expectation

sub outcome { return grep { $e->{outcome} eq $_ } @_ }
sub ok { return outcome('translated') }
sub code { return number($e->{error_code} // '0x0') }
sub fault { return outcome('page-fault') }
sub rights { return fault() && (code() & 9) == 1 }
sub reserved { return fault() && (code() & 9) == 9 }
sub kind { return $v->{access}{kind} eq $_[0] }
sub user { return $v->{access}{user} && !$v->{access}{implicit} }
sub supervisor { return !user() }
sub reg { return number($v->{regs}{$_[0]}) >> $_[1] & 1 }
sub stage { return ($v->{stage2}{kind} // '') eq $_[0] }
sub second { return outcome('ept-violation', 'ept-misconfig', 'npf') }
sub paging { return reg('cr0', 31) }
sub hardware { return $v->{profile} !~ /^kvm/ }
sub changes { return %{$v->{mem_after}} || %{$v->{mem_mask} // {}} }
sub qualification { return number($e->{exit_qualification} // '0x0') }

# Where a rule applies; a vector of that side expects no other outcome than such a one.
my %applies = (
	'MODE-1' => sub { !paging() && (ok() || second()) },
	'MODE-2' => sub { paging() },
	'MODE-3' => sub { paging() && number($v->{regs}{cr3}) &
		(!reg('cr4', 5) ? ~0xfffff000 : reg('efer', 10) ? 0xfff : ~0xffffffe0) },
	'MODE-4' => sub { !reg('cr4', 4) && !reg('cr4', 5) },
	'MODE-5' => sub { !reg('cr4', 5) || (stage('npt') && !(number($v->{stage2}{cr4}) & 32)) },
	'MODE-6' => sub { (reserved() || second()) && !grep { $_ eq 'pat' } @{$v->{cpu}{features}} },
	'MODE-7' => sub { outcome('pdpte-fault') || (fault() && !(code() & 1)) ||
		(outcome('npf') && (code() & 9) != 1) },
	'MODE-8' => sub { stage('npt') && $v->{profile} eq 'amd' && (reserved() || (fault() && !(code() & 1))) },
	'MODE-9' => sub { reserved() || ok() || rights() || outcome('npf') },
	'MODE-10' => sub { reserved() || ok() || rights() || outcome('npf') },
	'MODE-11' => sub { (reserved() || (outcome('npf') && (code() & 9) == 9)) && $v->{profile} =~ /amd/ },
	'MODE-12' => sub { $v->{cpu}{maxphyaddr} == 52 || (fault() && !(code() & 1)) },
	'MODE-13' => sub { reg('efer', 10) && (ok() || rights()) },
	'MODE-15' => sub { outcome('non-canonical') },
	'MODE-16' => sub { outcome('non-canonical') || number($v->{access}{va}) >> 32 },
	'PERM-1' => sub { $v->{access}{user} || $v->{access}{implicit} },
	'PERM-2' => sub { ok() || rights() || second() },
	'PERM-3' => sub { rights() && supervisor() && kind('read') && reg('cr4', 21) },
	'PERM-4' => sub { rights() && supervisor() && kind('write') && (reg('cr4', 21) || reg('cr0', 16)) },
	'PERM-5' => sub { rights() && supervisor() && kind('fetch') && (reg('cr4', 20) || reg('efer', 11)) },
	'PERM-6' => sub { rights() && user() && !(code() & 32) },
	'PERM-7' => sub { rights() && code() & 32 && !kind('fetch') && reg('cr4', 22) && reg('efer', 10) },
	'PERM-10' => sub { fault() && (code() & 9) != 1 },
	'PERM-11' => sub { rights() && code() & 32 },
	'ERR-1' => sub { fault() && !(code() & 1) },
	'ERR-2' => sub { fault() && code() & 2 && kind('write') },
	'ERR-3' => sub { fault() && code() & 4 && user() },
	'ERR-4' => sub { reserved() },
	'ERR-5' => sub { fault() && code() & 16 && kind('fetch') && (reg('cr4', 20) || reg('efer', 11)) },
	'ERR-6' => sub { rights() && code() & 32 },
	'ERR-10' => sub { fault() && (!hardware() || !((number($e->{cr2}) ^ number($v->{access}{va})) & 0xffffffff)) },
	'AD-1' => sub { ok() && changes() },
	'AD-2' => sub { fault() && kind('write') && (!stage('') || !%{$v->{mem_after}}) },
	'AD-3' => sub { ok() && reg('cr4', 5) && !reg('efer', 10) },
	'AD-5' => sub { ok() && changes() },
	'EPT-1' => sub { stage('ept') },
	'EPT-2' => sub { outcome('ept-violation') || $v->{stage2}{mbec} || outcome('pdpte-fault') },
	'EPT-3' => sub { outcome('ept-misconfig') },
	'EPT-4' => sub { stage('ept') },
	'EPT-5' => sub { outcome('ept-violation', 'ept-misconfig') },
	'EPT-6' => sub { outcome('ept-violation') && (qualification() & 0x180) == 0x180 &&
		qualification() & (kind('read') ? 1 : kind('write') ? 2 : 4) },
	'EPT-7' => sub { stage('ept') && number($v->{stage2}{eptp}) & 64 },
	'EPT-8' => sub { outcome('ept-violation') },
	'EPT-12' => sub { stage('ept') && (rights() || (outcome('ept-violation') && !(qualification() & 0x100))) },
	'EPT-13' => sub { outcome('ept-violation') && number($e->{gpa}) >> 48 },
	'EPT-16' => sub { outcome('ept-violation') && (qualification() & 0x103) == 3 &&
		!(number($v->{stage2}{eptp}) & 64) },
	'NPT-1' => sub { stage('npt') },
	'NPT-2' => sub { stage('npt') && (ok() || (outcome('npf') && (code() & 15) == 7 && code() >> 33)) },
	'NPT-4' => sub { outcome('npf') && (code() & 9) == 1 && code() >> 32 & 1 },
	'NPT-5' => sub { outcome('npf') },
	'NPT-6' => sub { stage('npt') && (rights() || (outcome('npf') && code() >> 33)) },
	'NPT-7' => sub { $v->{stage2}{gmet} && (ok() || (outcome('npf') && kind('fetch'))) },
);

# Where it does not: never what it is on the other side, for the rules whose refusal can be seen.
my %refuses = map { $_ => 1 } qw(MODE-15 PERM-6 PERM-7 ERR-1 ERR-2 ERR-3 ERR-4 ERR-5 ERR-6 EPT-3);

# ---- The vectors -------------------------------------------------------------------------------

my (%seen, %revoked, %count, %spread, %line_of, $pairs);

for my $line (split /\n/, slurp("$dir/revoked.txt")) {
	next if $line =~ /^(#|$)/;
	my ($id, $why) = split ' ', $line, 2;
	wrong("revoked.txt: $id: no reason") if !defined $why;
	$revoked{$id} = 1;
}

# The sides of a pair; permissions has none: there a fault that a rule is about shows the one, anything else the other.
sub look
{
	my ($file, $id, $of_pair) = @_;

	$e = $v->{expect};
	for my $name (@{$v->{rules}}) {
		my $r = $rule{$name};

		if (!$r || $r->{state} ne 'implemented') {
			wrong("$file: $id: " . ($r ? "$name is not implemented yet" : "no rule $name"));
			next;
		}
		my $about = $applies{$name} or wrong("coverage.pl does not know what $name is about");
		next if !$about;
		my $here = $about->();
		my $side = $of_pair // ($here && fault() ? 'a' : 'b');
		wrong("$id: what it expects is not $name") if $side eq 'a' && !$here;
		wrong("$id: what it expects is $name, but it is the other side")
			if $side eq 'b' && $here && $refuses{$name};
		$r->{$side eq 'a' ? 'applies' : 'other'}++;
		$r->{files}{$file}++;
	}
}

for my $path (sort glob("$dir/*.jsonl")) {
	my ($file) = $path =~ m{([^/]+)\.jsonl$};
	my ($first, $number);

	for my $line (split /\n/, slurp($path)) {
		$number++;
		$v = eval { JSON::PP->new->decode($line) };
		if (ref $v ne 'HASH' || !defined $v->{id}) {
			wrong("$file.jsonl:$number: not a vector");
			next;
		}
		my $id = $v->{id};
		$count{$file}++;
		$line_of{$line =~ s/"source":"[^"]*"//r} = 1;
		wrong("$id: twice") if $seen{$id}++;
		wrong("$id: revoked") if $revoked{$id};
		next if !$floor{$file};

		wrong("$id: not an id of $file") if $id !~ /^\Q$file\E-([a-z]+-)?\d{4}[ab]?$/;
		if ($v->{source} =~ /^rules; agreed (\d+): (.+)$/) {
			my @names = split /, /, $2;
			wrong("$id: its source names " . @names . " oracles and says $1") if @names != $1;
		} else {
			wrong("$id: its source does not say who agreed");
		}
		wrong("$id: no rules") if ref $v->{rules} ne 'ARRAY' || !@{$v->{rules}};
		$spread{$file}{$_} = 1 for $v->{profile}, $v->{access}{kind}, $v->{cpu}{maxphyaddr};

		if ($id =~ /a$/) {
			wrong("$first->{id}: half a pair") if $first;
			$first = $v;
			look($file, $id, 'a');
		} elsif ($id =~ /^(.*)b$/) {
			my $other = $1;
			if (!$first || $first->{id} ne "${other}a") {
				wrong("$id: half a pair");
			} else {
				my $bits = 0;
				$bits += apart($_, $first->{$_}, $v->{$_}) for @inputs;
				wrong("$id: $bits bits from $first->{id}") if $bits != 1;
				wrong("$id: expects the same as $first->{id}")
					if expectation($first) eq expectation($v);
				wrong("$id: other rules than $first->{id}") if "@{$first->{rules}}" ne "@{$v->{rules}}";
				$pairs++;
			}
			look($file, $id, 'b');
			undef $first;
		} else {
			wrong("$first->{id}: half a pair") if $first;
			undef $first;
			look($file, $id, undef);
		}
	}
	wrong("$first->{id}: half a pair") if $first;
}

for my $family (sort keys %floor) {
	my $n = $count{$family} // 0;
	my $of = $family eq 'ept' ? ['intel'] : $family eq 'npt' ? ['amd'] : ['intel', 'amd'];

	wrong("$family.jsonl: $n vectors, less than $floor{$family}") if $n < $floor{$family};
	for my $value (@$of, qw(read write fetch), 32 .. 52) {
		wrong("$family.jsonl: none with $value") if !$spread{$family}{$value};
	}
}

# ---- The table ---------------------------------------------------------------------------------

my (@table, @later, $covered);
for my $id (@rules) {
	my $r = $rule{$id};

	if ($r->{state} eq 'not yet') {
		push @later, $id;
		next;
	}
	wrong("$id: in no vector it applies") if !$r->{applies};
	wrong("$id: in no vector does it not apply") if !$r->{other};
	$covered++ if $r->{applies} && $r->{other};
	push @table, sprintf("| [%s](rules.md#%s) | %s | %d | %d | %s |\n", $id, lc $id, $r->{what}, $r->{applies},
			     $r->{other}, join(' ', map { "`$_`" } sort keys %{$r->{files} // {}}));
}
wrong(scalar(@table) . ' implemented rules in docs/rules.md: that cannot be all') if @table < 50;
wrong('hardly any pairs') if ($pairs // 0) < 5000;

my $page = <<'END' . join('', @table) . <<'END' . join(', ', @later) . ".\n";
# What the published vectors show

Written by `tests/vectors/coverage.pl --write` from the files in [tests/vectors](../tests/vectors/README.md). For each
rule: the vectors in which it applies or refuses, those in which, one bit away, it does not, and the files that have
them.

| rule | about | applies | does not | files |
|---|---|---|---|---|
END

No vectors yet, since the library does not follow these rules so far: 
END

my $readme = slurp("$dir/README.md");
for my $file (sort keys %count) {
	my ($n) = $readme =~ /^\| `\Q$file\E\.jsonl` \| (\d+) \|/m;
	wrong("README.md: $file.jsonl has $count{$file} vectors, it says " . ($n // 'nothing'))
		if ($n // '') ne $count{$file};
}

my ($shown) = $readme =~ /^```json\n(\{"id".*?)^```$/ms or wrong('README.md: no case is explained');
wrong('README.md: the case that it explains is in no file')
	if !$line_of{($shown // '') =~ s/\n *//gr =~ s/"source":"[^"]*"//r};

if ($mode eq '--write') {
	open(my $out, '>:raw', "$docs/vectors.md") or die "coverage.pl: docs/vectors.md: $!\n";
	print $out $page;
	close $out or die "coverage.pl: docs/vectors.md: $!\n";
} elsif ($mode eq '--check') {
	wrong('docs/vectors.md: not what the files say; write it anew with tests/vectors/coverage.pl --write')
		if !-e "$docs/vectors.md" || slurp("$docs/vectors.md") ne $page;
} else {
	print $page;
}

my $all = 0;
$all += $_ for values %count;
print "wrong: and ", $wrong - 20, " more\n" if $wrong > 20;
printf "coverage: %d vectors, %d pairs, %d of %d implemented rules on both sides, %d wrong\n", $all, $pairs // 0,
	$covered // 0, scalar @table, $wrong;
exit($wrong ? 1 : 0);
