/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A boot sector: reads a track of its floppy disk by INT 13h, tells what the first and the last sector begin
 * with, writes the first two to another track and resets the machine.
 */
	.code16
	.globl _start
_start:
	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %ss
	mov	$0x7c00, %sp
	mov	%dl, drive

	mov	$0x2000, %ax
	mov	%ax, %es
	xor	%bx, %bx
	mov	$0x0200 + SECTORS, %ax
	mov	$0x0501, %cx		/* track 5, sector 1 */
	mov	$1, %dh			/* side 1 */
	int	$0x13
	jc	failed
	mov	%es:0, %ax
	call	print
	mov	%es:(SECTORS - 1) * 512, %ax
	call	print

	mov	$0x0302, %ax
	mov	$0x0601, %cx
	mov	drive, %dl
	mov	$0, %dh
	int	$0x13
	jc	failed
	int	$0x11
	call	print
	mov	$0xfe, %al
	out	%al, $0x64
1:	hlt
	jmp	1b

failed:	mov	$0xbad, %ax
	call	print
	jmp	1b

/* AX in hexadecimal, and a line's end, to COM1. */
print:	mov	%ax, %bp
	mov	$4, %cx
1:	rol	$4, %bp
	mov	%bp, %ax
	and	$15, %al
	add	$'0', %al
	cmp	$'9', %al
	jbe	2f
	add	$'a' - '0' - 10, %al
2:	mov	$0x3f8, %dx
	out	%al, %dx
	loop	1b
	mov	$'\n', %al
	out	%al, %dx
	ret

drive:	.byte	0
	.org	510
	.word	0xaa55
