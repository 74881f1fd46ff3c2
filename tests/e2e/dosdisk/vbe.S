/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VESA BIOS Extension 2 and 3: modes past the VGA's, by a window of 64 KiB and by all of the memory at once. */
#include "test.inc"

#define VGA_SEG		0xa000
#define MODE_LIST	0x0e		/* of the controller's information */
#define PITCH		0x10		/* of a mode's */
#define WIDTH		0x12
#define HEIGHT		0x14
#define BITS		0x19
#define BASE		0x28
#define LINEAR		0x4000
#define DAC_INDEX	0x3c8

.macro VBE function
	mov	$0x4f\function, %ax
	int	$0x10
	cmp	$0x004f, %ax
	CHECK	e, "function 4F\function"
.endm

	.globl	vbe_information
vbe_information:
	push	$BUFFER_SEG
	pop	%es
	xor	%di, %di
	movl	$0x32454256, %es:(%di)	/* "VBE2": we know more than version 1 */
	VBE	00
	cmpl	$0x41534556, %es:(%di)
	CHECK	e, "not VESA"
	mov	%es:4(%di), %ax
	cmp	$0x0200, %ax
	CHECK	ae, "an old version"
	mov	%es:0x12(%di), %ax	/* of 64 KiB */
	cmp	$64, %ax
	CHECK	ae, "less than 4 MiB"
	xor	%bp, %bp
	mov	%es:MODE_LIST(%di), %si
	mov	%es:MODE_LIST + 2(%di), %fs
1:	mov	%fs:(%si), %cx
	add	$2, %si
	cmp	$0xffff, %cx
	je	2f
	mov	$512, %di
	VBE	01
	mov	%cx, %ax
	testb	$1, %es:(%di)
	CHECK	nz, "a mode of the list that cannot be set"
	inc	%bp
	jmp	1b
2:	mov	%bp, %ax
	cmp	$10, %bp
	CHECK	ae, "less than ten modes"
	ret

/* CX: the mode of 640 x 480 dots of AL bits each, whose information is at the buffer's 512. */
find_mode:
	mov	%al, wanted
	push	$BUFFER_SEG
	pop	%es
	xor	%di, %di
	movl	$0x32454256, %es:(%di)
	VBE	00
	mov	%es:MODE_LIST(%di), %si
	mov	%es:MODE_LIST + 2(%di), %fs
	mov	$512, %di
1:	mov	%fs:(%si), %cx
	add	$2, %si
	cmp	$0xffff, %cx
	CHECK	ne, "there is no such mode"
	VBE	01
	cmpw	$640, %es:WIDTH(%di)
	jne	1b
	cmpw	$480, %es:HEIGHT(%di)
	jne	1b
	mov	wanted, %al
	cmp	%al, %es:BITS(%di)
	jne	1b
	ret

/* A screen of 640 x 480 within lines of 800: dots are where the line's new length and the start say. */
	.globl	vbe_linear
vbe_linear:
	mov	$32, %al
	call	find_mode
	mov	%es:BASE(%di), %ebp
	testb	$0x80, %es:(%di)
	CHECK	nz, "no linear memory"
	mov	%cx, %bx
	or	$LINEAR, %bx
	mov	%bx, mode
	VBE	02
	VBE	03
	mov	%bx, %ax
	cmp	mode, %bx
	CHECK	e, "another mode"
	xor	%bx, %bx
	mov	$800, %cx
	VBE	06
	mov	%bx, %ax
	cmp	$3200, %bx
	CHECK	e, "the line's length"
	xor	%bx, %bx
	mov	$16, %cx
	mov	$32, %dx
	VBE	07
	call	unreal_enter
	xor	%ecx, %ecx		/* y */
1:	xor	%ebx, %ebx		/* x */
	imul	$3200, %ecx, %edi
	add	%ebp, %edi
2:	mov	%ebx, %eax
	xor	%ecx, %eax
	shl	$8, %eax
	mov	%cl, %al
	shl	$8, %eax
	mov	%bl, %al
	mov	%eax, %fs:(%edi, %ebx, 4)
	inc	%bx
	cmp	$640 + 16, %bx
	jb	2b
	inc	%cx
	cmp	$480 + 32, %cx
	jb	1b
	call	unreal_leave
	SHOT	vbe_linear
	mov	$1, %bx			/* asks */
	VBE	07
	mov	%dx, %ax
	cmp	$32, %dx
	CHECK	e, "the first line"
	ret

/* 256 colours of 8 bits each, window by window. */
	.globl	vbe_banked
vbe_banked:
	mov	$8, %al
	call	find_mode
	mov	%cx, %bx
	VBE	02
	mov	$0x0800, %bx		/* 8 bits in the DAC */
	VBE	08
	mov	%bx, %ax
	cmp	$8, %bh
	CHECK	e, "no DAC of 8 bits"
	mov	$DAC_INDEX, %dx
	xor	%al, %al
	out	%al, %dx
	inc	%dx
	xor	%bx, %bx
1:	mov	%bl, %al
	shl	$4, %al
	out	%al, %dx
	mov	%bl, %al
	not	%al
	out	%al, %dx
	mov	%bl, %al
	out	%al, %dx
	inc	%bl
	jnz	1b
	mov	$VGA_SEG, %ax
	mov	%ax, %es
	xor	%dx, %dx		/* bank */
	call	set_bank
	xor	%di, %di
	xor	%bp, %bp		/* y */
2:	xor	%cx, %cx		/* x */
3:	mov	%cx, %ax
	shr	$1, %ax
	add	%bp, %ax
	stosb
	test	%di, %di
	jnz	4f
	inc	%dx
	call	set_bank
4:	inc	%cx
	cmp	$640, %cx
	jb	3b
	inc	%bp
	cmp	$480, %bp
	jb	2b
	mov	$0x0100, %bx		/* asks */
	VBE	05
	mov	%dx, %ax
	cmp	$4, %dx
	CHECK	e, "not the last bank"
	SHOT	vbe_banked
	ret

/* DX */
set_bank:
	push	%cx
	push	%bx
	push	%dx
	xor	%bx, %bx
	mov	$0x4f05, %ax
	int	$0x10
	pop	%dx
	pop	%bx
	pop	%cx
	ret

	.globl	vbe_edid
vbe_edid:
	push	$BUFFER_SEG
	pop	%es
	xor	%bx, %bx
	xor	%cx, %cx
	VBE	15
	test	$3, %bl			/* DDC1 or DDC2 */
	CHECK	nz, "no DDC"
	mov	$1, %bx
	xor	%cx, %cx
	xor	%dx, %dx
	xor	%di, %di
	VBE	15
	cmpl	$0xffffff00, %es:0
	CHECK	e, "no EDID's first bytes"
	cmpl	$0x00ffffff, %es:4
	CHECK	e, "no EDID's next bytes"
	xor	%si, %si
	xor	%al, %al
	mov	$128, %cx
1:	add	%es:(%si), %al
	inc	%si
	loop	1b
	test	%al, %al
	CHECK	z, "the sum of an EDID"
	ret

wanted:	.byte	0
mode:	.word	0

/* The beginning of memory as it lies: bytes that count up, from another number each 1920. */
.macro DEPTH name, bits
	.globl	\name
\name:	mov	$\bits, %al
	call	draw_bytes
	SHOT	\name
	ret
.endm

	DEPTH	vbe_15, 15
	DEPTH	vbe_16, 16
	DEPTH	vbe_24, 24

draw_bytes:
	call	find_mode
	mov	%es:BASE(%di), %ebp
	mov	%cx, %bx
	or	$LINEAR, %bx
	VBE	02
	call	unreal_enter
	mov	$48, %cx
1:	mov	$640 * 3, %bx
	mov	%cl, %al
2:	mov	%al, %fs:(%ebp)
	add	$7, %al
	inc	%ebp
	dec	%bx
	jnz	2b
	loop	1b
	jmp	unreal_leave

/* 800 x 600 of 16 colours: planes, of 100 addresses a line. */
	.globl	vbe_planes
vbe_planes:
	mov	$0x0102, %bx
	VBE	02
	mov	$VGA_SEG, %ax
	mov	%ax, %es
	mov	$0x03c4, %dx
	mov	$1, %bl
1:	mov	$2, %al
	mov	%bl, %ah
	out	%ax, %dx
	xor	%di, %di
	mov	$60000, %cx
2:	mov	%di, %ax		/* colours of eight addresses each */
	shr	$3, %ax
	and	%bl, %al
	neg	%al
	sbb	%al, %al
	stosb
	loop	2b
	shl	$1, %bl
	cmp	$16, %bl
	jb	1b
	SHOT	vbe_planes
	ret

/* What is saved of the DAC comes back. */
	.globl	vbe_state
vbe_state:
	mov	$15, %cx
	xor	%dx, %dx
	VBE	04
	mov	%bx, %ax		/* blocks of 64 bytes */
	test	%ax, %ax
	CHECK	nz, "no size"
	cmp	$256, %ax
	CHECK	be, "too large a size"
	push	$BUFFER_SEG
	pop	%es
	xor	%bx, %bx
	mov	$15, %cx
	mov	$1, %dx
	VBE	04
	call	write_dac_7
	xor	%bx, %bx
	mov	$15, %cx
	mov	$2, %dx
	VBE	04
	mov	$7, %al
	mov	$DAC_INDEX - 1, %dx
	out	%al, %dx
	add	$2, %dx
	in	%dx, %al
	cmp	$0x2a, %al
	CHECK	e, "the DAC's entry 7 did not come back"
	ret

write_dac_7:
	mov	$DAC_INDEX, %dx
	mov	$7, %al
	out	%al, %dx
	inc	%dx
	mov	$3, %cx
1:	out	%al, %dx
	loop	1b
	ret
