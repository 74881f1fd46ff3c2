/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mode 3, by INT 10h: 80 x 25 characters, their attributes, colours, fonts and cursor. */
#include "test.inc"

#define TEXT_SEG	0xb800

begin:	mov	$3, %ax
	int	$0x10
	mov	$0x1003, %ax		/* bright backgrounds in place of blinking */
	xor	%bx, %bx
	int	$0x10
hide_cursor:
	mov	$0x0100, %ax
	mov	$0x2000, %cx
	int	$0x10
	ret

/* DX: row and column. */
locate:	mov	$0x0200, %ax
	xor	%bx, %bx
	int	$0x10
	ret

/* SI: text, as by a teletype. */
type:	lodsb
	test	%al, %al
	jz	1f
	mov	$0x0e, %ah
	mov	$7, %bx
	int	$0x10
	jmp	type
1:	ret

/* Each attribute, in 16 rows of 16. */
draw_attributes:
	xor	%bp, %bp
1:	mov	%bp, %ax
	mov	%al, %dl
	shr	$4, %al
	mov	%al, %dh
	and	$15, %dl
	shl	$1, %dl
	call	locate
	mov	%bp, %bx
	mov	$0x0900 + 'A', %ax
	add	%dl, %al
	mov	$2, %cx
	xor	%bh, %bh
	int	$0x10
	inc	%bp
	cmp	$256, %bp
	jb	1b
	ret

	.globl	text_attributes
text_attributes:
	call	begin
	cmpb	$3, 0x449
	CHECK	e, "the BIOS' data has another mode"
	mov	$0x0f00, %ax
	int	$0x10
	cmp	$80 << 8 | 3, %ax
	CHECK	e, "not 80 columns of mode 3"
	call	draw_attributes
	mov	$5 << 8 | 7, %dx
	call	locate
	mov	$0x0300, %ax
	xor	%bx, %bx
	int	$0x10
	mov	%dx, %ax
	cmp	$5 << 8 | 7, %dx
	CHECK	e, "the cursor is elsewhere"
	mov	$0x0800, %ax
	xor	%bx, %bx
	int	$0x10
	cmp	$0x5300 + 'A' + 6, %ax
	CHECK	e, "another character at the cursor"
	mov	$17 << 8, %dx
	call	locate
	mov	$words, %si
	call	type
	mov	$0x1301, %ax		/* a string with its attribute; the cursor moves */
	mov	$0x004e, %bx
	mov	$n_box, %cx
	mov	$19 << 8 | 10, %dx
	mov	$box, %bp
	int	$0x10
	mov	$0x0300, %ax
	xor	%bx, %bx
	int	$0x10
	mov	%dx, %ax
	cmp	$19 << 8 | (10 + n_box), %dx
	CHECK	e, "the cursor is not behind the string"
	SHOT	text_attributes
	ret

/* A window's lines go up and down, and the whole screen's at its end. */
	.globl	text_scrolling
text_scrolling:
	call	begin
	call	draw_attributes
	mov	$0x0603, %ax
	mov	$0x1f00, %bx
	mov	$2 << 8 | 4, %cx
	mov	$10 << 8 | 20, %dx
	int	$0x10
	mov	$0x0702, %ax
	mov	$0x2f00, %bx
	mov	$6 << 8 | 16, %cx
	mov	$14 << 8 | 31, %dx
	int	$0x10
	mov	$24 << 8, %dx
	call	locate
	mov	$words, %si
	call	type
	mov	$words_line, %si
	call	type
	mov	$TEXT_SEG, %ax
	mov	%ax, %es
	mov	%es:23 * 160, %ax
	cmp	$0x0700 + 'T', %ax
	CHECK	e, "the last line has not gone up"
	SHOT	text_scrolling
	ret

	.globl	text_palette
text_palette:
	call	begin
	call	draw_attributes
	mov	$0x1000, %ax		/* attribute 2 is the DAC's entry 5 */
	mov	$0x0502, %bx
	int	$0x10
	mov	$0x1010, %ax
	mov	$7, %bx
	mov	$63 << 8, %dx		/* red, and the others */
	mov	$17 << 8 | 42, %cx
	int	$0x10
	mov	$0x1015, %ax
	mov	$7, %bx
	int	$0x10
	mov	%cx, %ax
	cmp	$17 << 8 | 42, %cx
	CHECK	e, "green and blue are others"
	mov	%dx, %ax
	cmp	$63, %dh
	CHECK	e, "red is another"
	mov	$0x3c7, %dx		/* the same by the registers */
	mov	$7, %al
	out	%al, %dx
	mov	$0x3c9, %dx
	in	%dx, %al
	cmp	$63, %al
	CHECK	e, "the DAC's red is another"
	in	%dx, %al
	cmp	$17, %al
	CHECK	e, "the DAC's green is another"
	in	%dx, %al
	cmp	$42, %al
	CHECK	e, "the DAC's blue is another"
	SHOT	text_palette
	ret

	.globl	text_50_lines
text_50_lines:
	call	begin
	mov	$0x1112, %ax		/* the font of 8 x 8 */
	xor	%bx, %bx
	int	$0x10
	call	hide_cursor
	mov	0x484, %al
	cmp	$49, %al
	CHECK	e, "not 50 rows"
	call	draw_attributes
	mov	$49 << 8 | 3, %dx
	call	locate
	mov	$words, %si
	call	type
	SHOT	text_50_lines
	ret

	.globl	text_cursor
text_cursor:
	call	begin
	mov	$3 << 8 | 2, %dx
	call	locate
	mov	$words, %si
	call	type
	mov	$0x0100, %ax
	mov	$0x0206, %cx		/* lines 2 to 6 of 8, which the BIOS brings to 16 */
	int	$0x10
	SHOT	text_cursor
	ret

words:		.asciz	"Text of mode 3"
words_line:	.asciz	"\r\n"
/* A box's side, which the ninth column of dots joins, and blocks. */
box:		.byte	0xc9, 0xcd, 0xcd, 0xcd, 0xd1, 0xcd, 0xcd, 0xbb, 0xdb, 0xdf, 0xdf, 0xb0, 0xb1, 0xb2
		.set	n_box, . - box
