/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Off by the APM BIOS, where there is one, or else a reset. */
#include "test.inc"

	.globl	power_off
power_off:
	mov	$0x5300, %ax		/* is it there? */
	xor	%bx, %bx
	int	$0x15
	jc	reset
	cmp	$0x504d, %bx
	jne	reset
	mov	$0x5301, %ax		/* connect, real mode */
	xor	%bx, %bx
	int	$0x15
	mov	$0x530e, %ax		/* we speak version 1.2 */
	xor	%bx, %bx
	mov	$0x0102, %cx
	int	$0x15
	mov	$0x5307, %ax		/* all devices: off */
	mov	$1, %bx
	mov	$3, %cx
	int	$0x15
reset:	mov	$0xfe, %al
	out	%al, $0x64
1:	hlt
	jmp	1b
