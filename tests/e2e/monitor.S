/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest of a few instructions, entered as a Linux kernel is: it says `ready` on the
 * serial port, echoes what it is sent, and obeys some letters. Tests of how `viv run` ends
 * need no more, and need not wait for Linux.
 *
 *	p  power off by ACPI PM1a_CNT		r  reset by port CF9h
 *	k  reset by the keyboard controller	t  triple fault
 *	h  halt with interrupts off, for good	s  spin for good
 *	b  power off when the power button is pressed
 */
	.equ	COM1, 0x3f8
	.equ	COM1_LSR, COM1 + 5
	.equ	PM1A_EVT, PM1A_CNT - 4
	.equ	PWRBTN, 1 << 8
	.equ	LSR_DR, 1 << 0
	.equ	LSR_THRE, 1 << 5

	.globl	_start
_start:
	lea	ready(%rip), %rsi
1:	lodsb
	test	%al, %al
	jz	next
	call	put
	jmp	1b

next:	mov	$COM1_LSR, %dx
	in	%dx, %al
	test	$LSR_DR, %al
	jz	next
	mov	$COM1, %dx
	in	%dx, %al
	call	put
	cmp	$'p', %al
	je	power_off
	cmp	$'r', %al
	je	reset_cf9
	cmp	$'k', %al
	je	reset_keyboard
	cmp	$'t', %al
	je	triple_fault
	cmp	$'h', %al
	je	halt
	cmp	$'s', %al
	je	spin
	cmp	$'b', %al
	je	await_button
	jmp	next

put:	mov	%al, %bl
	mov	$COM1_LSR, %dx
1:	in	%dx, %al
	test	$LSR_THRE, %al
	jz	1b
	mov	$COM1, %dx
	mov	%bl, %al
	out	%al, %dx
	ret

await_button:
	mov	$(PM1A_EVT + 2), %dx
	mov	$PWRBTN, %ax
	out	%ax, %dx
	mov	$'!', %al
	call	put
	mov	$PM1A_EVT, %dx
1:	in	%dx, %ax
	test	$PWRBTN, %ax
	jz	1b
power_off:
	mov	$PM1A_CNT, %dx
	mov	$(1 << 13), %ax	/* SLP_EN; the SLP_TYP of \_S5 is 0 */
	out	%ax, %dx
	jmp	spin
reset_cf9:
	mov	$0xcf9, %dx
	mov	$0x06, %al
	out	%al, %dx
	jmp	spin
reset_keyboard:
	mov	$0xfe, %al
	out	%al, $0x64
	jmp	spin
triple_fault:
	lidt	no_idt(%rip)
	ud2
halt:	cli
	hlt
	jmp	halt
spin:	jmp	spin

ready:	.asciz	"ready\r\n"
	.balign	2
no_idt:	.short	0
	.quad	0
	.section .note.GNU-stack, "", @progbits
