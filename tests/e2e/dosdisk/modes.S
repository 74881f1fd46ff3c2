/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the BIOS' modes, and registers that no BIOS sets, look like. */
#include "test.inc"

#define ATTR		0x3c0
#define CRTC		0x3d4
#define STATUS		0x3da

/* Letters of some colours by the BIOS, and a diagonal of dots where there are dots; then the look at it. */
.macro MODE name, mode
	.globl	\name
\name:	mov	$\mode, %ax
	call	draw_mode
	SHOT	\name
	ret
.endm

	MODE	bios_mode_01h, 0x01
	MODE	bios_mode_05h, 0x05
	MODE	bios_mode_06h, 0x06
	MODE	bios_mode_07h, 0x07
	MODE	bios_mode_0dh, 0x0d
	MODE	bios_mode_0eh, 0x0e
	MODE	bios_mode_0fh, 0x0f
	MODE	bios_mode_10h, 0x10
	MODE	bios_mode_11h, 0x11
	MODE	bios_mode_12h, 0x12
	MODE	bios_mode_13h, 0x13

draw_mode:
	push	%ax
	int	$0x10
	mov	$0x0100, %ax
	mov	$0x2000, %cx
	int	$0x10
	mov	$3, %bp			/* row; and the letters' attribute */
1:	mov	%bp, %dx
	mov	%dl, %dh
	mov	$0x0200, %ax
	xor	%bx, %bx
	int	$0x10
	mov	%bp, %bx
	mov	$0x0900 + 'P', %ax
	add	%bl, %al
	sub	$2, %bl
	xor	%bh, %bh
	mov	$20, %cx
	int	$0x10
	inc	%bp
	cmp	$18, %bp
	jb	1b
	pop	%ax
	cmp	$3, %al
	jbe	3f
	cmp	$7, %al
	je	3f
	mov	$160, %bp
2:	mov	%bp, %ax
	and	$15, %al
	mov	$0x0c, %ah
	xor	%bx, %bx
	mov	%bp, %cx
	mov	%bp, %dx
	int	$0x10
	dec	%bp
	jnz	2b
3:	ret

/* AL: register of the attribute controller, AH: value. */
set_attribute:
	push	%ax
	mov	$STATUS, %dx
	in	%dx, %al
	pop	%ax
	mov	$ATTR, %dx
	or	$0x20, %al
	out	%al, %dx
	mov	%ah, %al
	out	%al, %dx
	ret

.macro SET_CRTC index, value
	mov	$CRTC, %dx
	mov	$\index | (\value) << 8, %ax
	out	%ax, %dx
.endm

/* Letters of all colours on the left. */
fill_text:
	mov	$3, %ax
	int	$0x10
	mov	$0x0100, %ax
	mov	$0x2000, %cx
	int	$0x10
	mov	$0xb800, %ax
	mov	%ax, %es
	xor	%di, %di
	xor	%bl, %bl
1:	mov	$20, %cx		/* columns */
2:	mov	%bl, %al
	mov	%bl, %ah
	and	$0x7f, %ah		/* nothing blinks */
	stosw
	add	$3, %bl
	loop	2b
	add	$(80 - 20) * 2, %di
	cmp	$60 * 160, %di
	jb	1b
	push	$0
	pop	%es
	ret

/* Smooth scrolling: a start between characters, above a part that stands still. */
	.globl	text_split
text_split:
	call	fill_text
	SET_CRTC 0x0d, 81
	SET_CRTC 0x08, 0x25		/* five lines, and a byte, on */
	mov	$0x0213, %ax		/* three dots of nine */
	call	set_attribute
	SET_CRTC 0x18, 239
	SET_CRTC 0x09, 0x0f		/* bit 9 of the line; bit 8 is in 07h, which is locked but for it */
	SET_CRTC 0x07, 0x0f
	mov	$0x2c10, %ax		/* the part that stands does not pan */
	call	set_attribute
	SHOT	text_split
	ret

/* 512 characters: bit 3 of the attribute is the font's, of which the second is flatter. */
	.globl	text_fonts
text_fonts:
	call	fill_text
	mov	$0x1104, %ax		/* of 16 lines, then of 14 over it */
	mov	$1, %bx
	int	$0x10
	mov	$0x1101, %ax
	mov	$1, %bx
	int	$0x10
	mov	$0x1104, %ax
	xor	%bx, %bx
	int	$0x10
	mov	$0x1103, %ax
	mov	$0x04, %bx
	int	$0x10
	mov	$0x0100, %ax
	mov	$0x2000, %cx
	int	$0x10
	SHOT	text_fonts
	ret
