/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The boot sector: loads what follows it, by the BIOS, and goes there with its drive in DL. A CD-ROM's image is loaded
 * whole, by El Torito.
 */
#include "test.inc"

#define CD		0xe0		/* and up: the BIOS' numbers of CD-ROM drives */
#define PER_TRACK	18		/* of the floppy disk */

	.globl	_start
_start:
	ljmp	$0, $1f			/* some come with CS = 07C0h */
1:	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	cli
	mov	%ax, %ss
	mov	$0x7c00, %sp
	sti
	cld
	cmp	$CD, %dl
	jae	run_tests
	test	%dl, %dl
	js	load_disk

	mov	$1, %si			/* sector of the image */
	mov	$0x7e00, %bx
load_floppy:
	mov	%si, %ax
	mov	$PER_TRACK, %cl
	div	%cl
	mov	%ah, %cl
	inc	%cl			/* sectors count from 1 */
	mov	%al, %dh
	and	$1, %dh
	shr	$1, %al
	mov	%al, %ch
	xor	%dl, %dl
	mov	$0x0201, %ax
	int	$0x13
	jc	unreadable
	add	$512, %bx
	inc	%si
	cmp	$IMAGE_SECTORS, %si
	jb	load_floppy
	xor	%dl, %dl
	jmp	run_tests

load_disk:
	mov	$packet, %si
	mov	$0x42, %ah
	int	$0x13
	jnc	run_tests

unreadable:
	mov	$0x0e00 + '?', %ax
	int	$0x10
1:	hlt
	jmp	1b

packet:	.word	16, IMAGE_SECTORS - 1
	.word	0x7e00, 0
	.quad	1

	.org	446
	.space	64			/* no partitions */
	.word	0xaa55
