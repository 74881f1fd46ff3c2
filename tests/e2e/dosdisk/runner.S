/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the tests of the table, and tells of each on COM1 `ok NAME` or `not ok NAME: WHY, AX = HEX`. */
#include "test.inc"

#define COM1	0x3f8
#define LSR	(COM1 + 5)
#define THRE	0x20
#define PIT	0x40
#define PIC1	0x20
#define PIC2	0xa0

	.globl	run_tests
run_tests:
	mov	%dl, boot_drive
	mov	$VECTORS_SEG, %ax
	mov	%ax, %es
	xor	%si, %si
	xor	%di, %di
	mov	$512, %cx
	rep movsw
	in	$PIC1 + 1, %al
	mov	%al, masks
	in	$PIC2 + 1, %al
	mov	%al, masks + 1
	mov	$tests, %bx
	cmpb	$0, boot_drive
	je	next
	mov	$short_tests, %bx

/* A row: the routine, then the name. */
next:	mov	(%bx), %ax
	test	%ax, %ax
	jz	summary
	lea	2(%bx), %si
	mov	%si, name
	mov	%sp, stack
	call	*%ax
	call	tidy
	incw	n_ok
	mov	$words_ok, %si
	call	tell
	mov	name, %si
	call	tell
	call	tell_end
forward:
	mov	name, %bx
1:	inc	%bx
	cmpb	$0, -1(%bx)
	jne	1b
	jmp	next

/* From CHECK, with the text after the call. */
	.globl	failed
failed:
	cli
	xor	%cx, %cx
	mov	%cx, %ss
	mov	%cx, %ds
	pop	%bp
	mov	stack, %sp
	push	%ax
	call	tidy
	mov	n_failed, %bx
	incw	n_failed
	mov	name, %ax
	shl	$1, %bx
	mov	%ax, failed_names(%bx)
	mov	$words_not_ok, %si
	call	tell
	mov	name, %si
	call	tell
	mov	$words_colon, %si
	call	tell
	mov	%bp, %si
	call	tell
	mov	$words_ax, %si
	call	tell
	pop	%ax
	call	tell_hex
	call	tell_end
	jmp	forward

/* What a test is called with. */
tidy:	cli
	xor	%ax, %ax
	mov	%ax, %es
	mov	$VECTORS_SEG, %ax
	mov	%ax, %ds
	xor	%si, %si
	xor	%di, %di
	mov	$512, %cx
	cld
	rep movsw
	xor	%ax, %ax
	mov	%ax, %ds
	mov	masks, %al
	out	%al, $PIC1 + 1
	mov	masks + 1, %al
	out	%al, $PIC2 + 1
	mov	$0x36, %al
	out	%al, $PIT + 3
	xor	%al, %al
	out	%al, $PIT
	out	%al, $PIT
	mov	$0x0b, %al		/* no interrupts of the clock */
	out	%al, $0x70
	mov	$0x02, %al
	out	%al, $0x71
	sti
	mov	$3, %ax
	int	$0x10
	ret

/* The screen's last picture: how it went. Then the power goes off. */
summary:
	mov	$3, %ax
	int	$0x10
	mov	n_ok, %ax
	call	show_number
	mov	$words_passed, %si
	call	show
	mov	n_failed, %ax
	call	show_number
	mov	$words_failed, %si
	call	show
	xor	%bx, %bx
1:	cmp	n_failed, %bx
	je	2f
	push	%bx
	shl	$1, %bx
	mov	failed_names(%bx), %si
	call	show
	mov	$words_line, %si
	call	show
	pop	%bx
	inc	%bx
	jmp	1b
2:	mov	$0x0100, %ax		/* no cursor */
	mov	$0x2000, %cx
	int	$0x10
	ASK	"read summary"
	xor	%ax, %ax
	int	$0x16
	mov	$words_done, %si
	call	tell
	call	tell_end
	jmp	power_off

/* SI: text, on the screen. */
show:	lodsb
	test	%al, %al
	jz	1f
	mov	$0x0e, %ah
	mov	$7, %bx
	int	$0x10
	jmp	show
1:	ret

/* AX below 100, in decimal. */
show_number:
	aam
	add	$0x3030, %ax
	xchg	%al, %ah
	mov	%ax, words_number
	mov	$words_number, %si
	cmp	$'0', %al
	jne	show
	inc	%si
	jmp	show

/* From ASK, with the text after the call; SI is changed. */
	.globl	ask
ask:	pop	%si
	push	%ax
	push	%dx
	push	%ds
	xor	%ax, %ax
	mov	%ax, %ds
	call	tell_line
	pop	%ds
	pop	%dx
	pop	%ax
	jmp	*%si

/* A line, begun afresh: the BIOS may write to COM1, too, at each tick. SI moves behind the text; AX and DX change. */
	.globl	tell_line
tell_line:
	pushf
	cli
	mov	$'\n', %al
	call	tell_letter
	call	tell
	mov	$'\n', %al
	call	tell_letter
	popf
	ret

tell:	pushf
	cli
1:	lodsb
	test	%al, %al
	jz	2f
	call	tell_letter
	jmp	1b
2:	popf
	ret

tell_end:
	mov	$'\n', %al
tell_letter:
	push	%ax
	mov	$LSR, %dx
1:	in	%dx, %al
	test	$THRE, %al
	jz	1b
	pop	%ax
	mov	$COM1, %dx
	out	%al, %dx
	ret

/* AX. */
tell_hex:
	mov	$4, %cx
1:	rol	$4, %ax
	push	%ax
	and	$15, %al
	add	$'0', %al
	cmp	$'9', %al
	jbe	2f
	add	$'a' - '0' - 10, %al
2:	call	tell_letter
	pop	%ax
	loop	1b
	ret

words_ok:	.asciz	"\nok "
words_not_ok:	.asciz	"\nnot ok "
words_colon:	.asciz	": "
words_ax:	.asciz	", AX = "
words_done:	.asciz	"\ndone"
words_passed:	.asciz	" ok, "
words_failed:	.asciz	" not ok"
words_line:	.asciz	"\r\n"
words_number:	.asciz	"00"

	.globl	boot_drive
boot_drive:	.byte	0
name:		.word	0
stack:		.word	0
n_ok:		.word	0
n_failed:	.word	0
masks:		.byte	0, 0
failed_names:	.space	2 * 100
