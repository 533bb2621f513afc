#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# initramfs.pl INIT FILE...: writes to standard output an initramfs (cpio, format "newc", not compressed) with INIT as
# /init, the other files under their own names in /, and /dev/console and /dev/mem. Needs neither cpio nor root.
use strict;
use warnings;

@ARGV or die "usage: initramfs.pl INIT FILE...\n";
my ($init, @files) = @ARGV;
my $inode = 0;

sub slurp
{
	my ($name) = @_;
	open(my $file, '<:raw', $name) or die "$name: $!\n";
	local $/;
	return scalar <$file>;
}

sub pad
{
	my ($bytes) = @_;
	return $bytes . "\0" x (-length($bytes) % 4);
}

# mode is that of stat(2), with the type; major and minor are those of a device node.
sub entry
{
	my ($name, $mode, $content, $major, $minor) = @_;
	my @fields = ($inode++, $mode, 0, 0, 1, 0, length($content), 0, 0, $major, $minor, length($name) + 1, 0);
	print pad('070701' . join('', map { sprintf('%08X', $_) } @fields) . "$name\0"), pad($content);
}

binmode(STDOUT);
entry('dev', 0040755, '', 0, 0);
entry('dev/console', 0020600, '', 5, 1);
entry('dev/mem', 0020600, '', 1, 1);
entry('init', 0100755, slurp($init), 0, 0);
entry(m{([^/]+)$}, 0100644, slurp($_), 0, 0) for @files;
entry('TRAILER!!!', 0, '', 0, 0);
close(STDOUT) or die "standard output: $!\n";
