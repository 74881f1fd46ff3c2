/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VGA's graphics modes, drawn by its registers: planes of mode 12h, 13h with its palette, mode X, CGA's mode 4. */
#include "test.inc"

#define VGA_SEG		0xa000
#define CGA_SEG		0xb800
#define LINE		80		/* bytes, or addresses of 4 planes */

#define MISC		0x3c2
#define SEQ		0x3c4
#define DAC_INDEX	0x3c8
#define GFX		0x3ce
#define CRTC		0x3d4
#define SET_RESET	0
#define ENABLE_SET_RESET	1
#define COMPARE		2
#define ROTATE		3
#define READ_MAP	4
#define MODE		5
#define DONT_CARE	7
#define BIT_MASK	8
#define MAP_MASK	2

/* Two registers of one access. */
.macro SET port, index, value
	mov	$\port, %dx
	mov	$\index | (\value) << 8, %ax
	out	%ax, %dx
.endm

/* The same, of a value in AH. */
.macro SET_AH port, index
	mov	$\port, %dx
	mov	$\index, %al
	out	%ax, %dx
.endm

/* CX lines from DI on, each address written with the low byte of what BX points to. */
fill_lines:
	push	%cx
	mov	$LINE, %cx
1:	call	*%bx
	mov	%es:(%di), %ah		/* latches */
	mov	%al, %es:(%di)
	inc	%di
	loop	1b
	pop	%cx
	loop	fill_lines
	ret

all_dots:	mov	$0xff, %al
		ret
columns:	mov	%cl, %al
		ret
stripes:	mov	$0xc8, %al
		ret
checks:		mov	%cl, %al
		and	$1, %al
		dec	%al
		ret

/* Each colour's bar by set/reset, which does not ask what is written. */
draw_bars:
	xor	%di, %di
	mov	$100, %cx
1:	push	%cx
	xor	%bl, %bl
2:	mov	%bl, %ah
	SET_AH	GFX, SET_RESET
	mov	$LINE / 16, %cx
	rep stosb
	inc	%bl
	cmp	$16, %bl
	jb	2b
	pop	%cx
	loop	1b
	ret

/* A diagonal, dot by dot. */
draw_diagonal:
	SET	GFX, SET_RESET, 15
	xor	%bx, %bx
1:	mov	%bx, %di
	shr	$3, %di
	mov	%bx, %cx
	and	$7, %cl
	mov	$0x80, %ah
	shr	%cl, %ah
	SET_AH	GFX, BIT_MASK
	imul	$LINE, %bx, %ax
	add	%ax, %di
	mov	%es:100 * LINE(%di), %al
	mov	%al, %es:100 * LINE(%di)
	inc	%bx
	cmp	$100, %bx
	jb	1b
	SET	GFX, BIT_MASK, 0xff
	ret

	.globl	mode_12h
mode_12h:
	mov	$0x12, %ax
	int	$0x10
	mov	$VGA_SEG, %ax
	mov	%ax, %es
	SET	GFX, ENABLE_SET_RESET, 15
	call	draw_bars
	call	draw_diagonal

	SET	GFX, MODE, 1		/* copies of latches */
	push	%ds
	push	%es
	pop	%ds
	mov	$10 * LINE + 2, %si
	mov	$200 * LINE, %di
	mov	$45 * LINE, %cx
	rep movsb
	pop	%ds

	SET	GFX, MODE, 2		/* colours, through the mask */
	SET	GFX, BIT_MASK, 0xaa
	mov	$250 * LINE, %di
	mov	$45, %cx
	mov	$columns, %bx
	call	fill_lines

	SET	GFX, MODE, 3		/* masks, of the colour of set/reset */
	SET	GFX, BIT_MASK, 0x7e
	SET	GFX, SET_RESET, 14
	SET	GFX, ROTATE, 2
	mov	$300 * LINE, %di
	mov	$45, %cx
	mov	$stripes, %bx
	call	fill_lines

	SET	GFX, MODE, 0
	SET	GFX, ROTATE, 0
	SET	GFX, BIT_MASK, 0xff
	SET	GFX, ENABLE_SET_RESET, 2	/* plane 1 alone */
	SET	GFX, SET_RESET, 2
	mov	$350 * LINE, %di
	mov	$45, %cx
	mov	$checks, %bx
	call	fill_lines
	SET	GFX, ENABLE_SET_RESET, 0
	SET	GFX, ROTATE, 0x18 | 3	/* XOR, turned by 3 */
	SET	SEQ, MAP_MASK, 5
	mov	$370 * LINE, %di
	mov	$45, %cx
	mov	$stripes, %bx
	call	fill_lines
	SET	GFX, ROTATE, 0x08	/* AND */
	SET	SEQ, MAP_MASK, 15
	mov	$150 * LINE, %di
	mov	$10, %cx
	mov	$stripes, %bx
	call	fill_lines
	SET	GFX, ROTATE, 0x10	/* OR */
	mov	$90 * LINE, %di
	mov	$5, %cx
	call	fill_lines
	SET	GFX, ROTATE, 0

	SET	GFX, READ_MAP, 2	/* bar 5 has planes 0 and 2 */
	mov	%es:5 * 5, %al
	cmp	$0xff, %al
	CHECK	e, "plane 2 of colour 5"
	SET	GFX, READ_MAP, 1
	mov	%es:5 * 5, %al
	test	%al, %al
	CHECK	z, "plane 1 of colour 5"
	SET	GFX, MODE, 8		/* reads compare */
	SET	GFX, COMPARE, 5
	SET	GFX, DONT_CARE, 15
	mov	%es:5 * 5, %al
	cmp	$0xff, %al
	CHECK	e, "colour 5 does not compare"
	mov	%es:7 * 5, %al
	test	%al, %al
	CHECK	z, "colour 7 compares as 5"
	SET	GFX, DONT_CARE, 13	/* plane 1 does not matter */
	mov	%es:7 * 5, %al
	cmp	$0xff, %al
	CHECK	e, "plane 1 matters"
	SHOT	mode_12h
	ret

/* Entry i: i / 4 of red, low bits of green, the rest of blue. */
set_palette:
	mov	$DAC_INDEX, %dx
	xor	%al, %al
	out	%al, %dx
	inc	%dx
	xor	%bx, %bx
1:	mov	%bl, %al
	shr	$2, %al
	out	%al, %dx
	mov	%bl, %al
	and	$15, %al
	shl	$2, %al
	out	%al, %dx
	mov	%bl, %al
	shr	$2, %al
	xor	$63, %al
	out	%al, %dx
	inc	%bl
	jnz	1b
	ret

	.globl	mode_13h
mode_13h:
	mov	$0x13, %ax
	int	$0x10
	call	set_palette
	mov	$VGA_SEG, %ax
	mov	%ax, %es
	xor	%di, %di
	xor	%bx, %bx		/* y */
1:	xor	%cx, %cx		/* x */
2:	mov	%cl, %al
	xor	%bl, %al
	stosb
	inc	%cx
	cmp	$320, %cx
	jb	2b
	inc	%bx
	cmp	$200, %bx
	jb	1b
	mov	$0x0c00 | 201, %ax	/* a dot by the BIOS */
	xor	%bx, %bx
	mov	$319, %cx
	mov	$199, %dx
	int	$0x10
	mov	$0x0d00, %ax
	int	$0x10
	cmp	$201, %al
	CHECK	e, "the dot is not what was written"
	mov	%es:63999, %al
	cmp	$201, %al
	CHECK	e, "the dot is elsewhere"
	mov	%es:5 * 320 + 260, %al
	cmp	$(260 ^ 5) & 255, %al
	CHECK	e, "memory does not hold the gradient"
	SHOT	mode_13h
	ret

/* 320 x 240 of what was 320 x 400: vertical totals, and the planes side by side. */
mode_x_crtc:
	.byte	0x11, 0x2c, 0x06, 0x0d, 0x07, 0x3e, 0x09, 0x41, 0x10, 0xea, 0x11, 0xac
	.byte	0x12, 0xdf, 0x14, 0x00, 0x15, 0xe7, 0x16, 0x06, 0x17, 0xe3
	.set	n_mode_x_crtc, . - mode_x_crtc

#define PAGE		(240 * LINE)
#define SPLIT		160

	.globl	mode_x
mode_x:	mov	$0x13, %ax
	int	$0x10
	call	set_palette
	SET	SEQ, 4, 0x06		/* not chained */
	SET	SEQ, 0, 0x01
	mov	$MISC, %dx
	mov	$0xe3, %al
	out	%al, %dx
	SET	SEQ, 0, 0x03
	mov	$CRTC, %dx
	mov	$mode_x_crtc, %si
	mov	$n_mode_x_crtc / 2, %cx
1:	lodsw
	out	%ax, %dx
	loop	1b

	/* The second page, plane by plane. */
	mov	$VGA_SEG, %ax
	mov	%ax, %es
	xor	%bp, %bp
2:	mov	%bp, %cx
	mov	$1, %ah
	shl	%cl, %ah
	SET_AH	SEQ, MAP_MASK
	mov	$PAGE, %di
	xor	%bx, %bx
3:	mov	%bp, %ax
	xor	%bl, %al
	mov	$LINE, %cx
4:	stosb
	add	$4, %al
	loop	4b
	inc	%bx
	cmp	$240, %bx
	jb	3b
	inc	%bp
	cmp	$4, %bp
	jb	2b

	/* The first page's beginning has four dots a write of one colour, and copies from the second. */
	SET	SEQ, MAP_MASK, 15
	xor	%di, %di
	xor	%al, %al
	mov	$40 * LINE, %cx
5:	stosb
	inc	%al
	loop	5b
	SET	GFX, MODE, 0x41		/* 256 colours still, and latches */
	push	%ds
	push	%es
	pop	%ds
	mov	$PAGE + 20 * LINE, %si
	mov	$20 * LINE, %di
	mov	$10 * LINE, %cx
	rep movsb
	pop	%ds
	SET	GFX, MODE, 0x40

	SET	GFX, READ_MAP, 3
	mov	%es:PAGE + 7 * LINE + 9, %al
	cmp	$(3 ^ 7) + 9 * 4, %al
	CHECK	e, "plane 3 of the second page"
	SET	CRTC, 0x0c, PAGE >> 8
	SET	CRTC, 0x0d, PAGE & 255
	SET	CRTC, 0x18, (2 * SPLIT - 1) & 255	/* line 319 is the upper part's last */
	SET	CRTC, 0x07, 0x3e		/* bit 8 of it */
	SET	CRTC, 0x09, 0x01		/* bit 9 is not */
	SHOT	mode_x
	ret

	.globl	mode_4
mode_4:	mov	$4, %ax
	int	$0x10
	mov	$CGA_SEG, %ax
	mov	%ax, %es
	xor	%bx, %bx
1:	mov	%bx, %ax		/* even lines here, odd ones 2000h further on */
	shr	$1, %ax
	imul	$LINE, %ax, %di
	test	$1, %bl
	jz	2f
	add	$0x2000, %di
2:	mov	%bl, %al
	mov	$LINE, %cx
3:	stosb
	add	$0x1b, %al
	loop	3b
	inc	%bx
	cmp	$200, %bx
	jb	1b
	mov	$0x0d00, %ax		/* dot 6 of line 3: 03h + 1Bh is 00 01 11 10 */
	xor	%bx, %bx
	mov	$6, %cx
	mov	$3, %dx
	int	$0x10
	cmp	$3, %al
	CHECK	e, "another dot"
	SHOT	mode_4
	ret
