#!/usr/bin/perl
# SPDX-License-Identifier: MIT
#
# initramfs.pl BUSYBOX INIT: writes to standard output an initramfs (cpio, format "newc", not compressed) with /init,
# /bin/busybox, /dev/console and an empty /sys. By hand, because it is this short, needs no cpio, and can make the device node
# without being root. Times and owners are 0: the same input gives the same bytes.
use strict;
use warnings;

@ARGV == 2 or die "usage: initramfs.pl BUSYBOX INIT\n";
my ($busybox, $init) = @ARGV;
my $inode = 0;

sub slurp
{
	my ($name) = @_;
	open(my $file, '<:raw', $name) or die "$name: $!\n";
	local $/;
	my $content = <$file>;
	return $content;
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
entry('bin', 0040755, '', 0, 0);
entry('bin/busybox', 0100755, slurp($busybox), 0, 0);
entry('dev', 0040755, '', 0, 0);
entry('dev/console', 0020600, '', 5, 1);
entry('sys', 0040755, '', 0, 0);
entry('init', 0100755, slurp($init), 0, 0);
entry('TRAILER!!!', 0, '', 0, 0);
close(STDOUT) or die "standard output: $!\n";
