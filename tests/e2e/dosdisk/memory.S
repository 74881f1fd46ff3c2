/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What lies above 1 MiB and the ways there: A20, 4 GiB segments, INT 15h. */
#include "test.inc"

	.balign	8
gdt:	.quad	0
	.quad	0x008f92000000ffff	/* 8: data, 4 GiB */
	.quad	0x00009a000000ffff	/* 10h: code of 16 bits */
	.quad	0x000092000000ffff	/* 18h: data, 64 KiB */
	.set	gdt_size, . - gdt
gdt_pointer:
	.word	gdt_size - 1
	.long	gdt

/*
 * Unreal mode: FS, at 0, reaches 4 GiB. Protected mode gives it that limit, and real mode, which sets bases alone, does
 * not take it away; so leaving is another visit there.
 */
	.globl	unreal_enter, unreal_leave
unreal_enter:
	push	$8
	jmp	1f
unreal_leave:
	push	$0x18
1:	pushl	%eax
	pushfw
	cli
	lgdtl	gdt_pointer
	mov	%cr0, %eax
	inc	%ax
	mov	%eax, %cr0
	push	%bp
	mov	%sp, %bp
	mov	8(%bp), %fs
	pop	%bp
	dec	%ax
	mov	%eax, %cr0
	ljmp	$0, $2f
2:	push	$0
	pop	%fs
	popfw
	popl	%eax
	add	$2, %sp
	ret

#define ALIASED		0x500		/* free, below; and 1 MiB above */
#define KEYBOARD	0x64
#define KEYBOARD_DATA	0x60
#define PORT_A		0x92

wait_8042:
	in	$KEYBOARD, %al
	test	$2, %al
	jnz	wait_8042
	ret

/* AL: the 8042's output port. */
write_8042:
	push	%ax
	call	wait_8042
	mov	$0xd1, %al
	out	%al, $KEYBOARD
	call	wait_8042
	pop	%ax
	out	%al, $KEYBOARD_DATA
	jmp	wait_8042

/* ZF where what is written at 1 MiB and ALIASED comes to be at ALIASED. */
is_wrapped:
	push	$0xffff
	pop	%es
	movw	$0x1234, ALIASED
	movw	$0x4321, %es:ALIASED + 16
	cmpw	$0x4321, ALIASED
	push	$0
	pop	%es
	ret

/* Both gates' bits: either lets A20 through. */
all_off:
	mov	$0xdd, %al
	call	write_8042
	in	$PORT_A, %al
	and	$0xfc, %al
	out	%al, $PORT_A
	ret

	.globl	a20_of_port_92
a20_of_port_92:
	call	all_off
	call	is_wrapped
	CHECK	e, "not off"
	in	$PORT_A, %al
	or	$2, %al
	out	%al, $PORT_A
	call	is_wrapped
	CHECK	ne, "not on"
	in	$PORT_A, %al
	test	$2, %al
	CHECK	nz, "does not read as on"
	and	$0xfc, %al
	out	%al, $PORT_A
	call	is_wrapped
	CHECK	e, "not off again"
	or	$2, %al
	out	%al, $PORT_A
	ret

	.globl	a20_of_8042
a20_of_8042:
	call	all_off
	mov	$0xdf, %al
	call	write_8042
	call	is_wrapped
	CHECK	ne, "not on"
	mov	$0xdd, %al
	call	write_8042
	call	is_wrapped
	CHECK	e, "not off"
	in	$PORT_A, %al
	or	$2, %al
	out	%al, $PORT_A
	ret

	.globl	a20_of_bios
a20_of_bios:
	mov	$0xdd, %al		/* the BIOS knows of port 92h only */
	call	write_8042
	mov	$0x2400, %ax
	int	$0x15
	CHECK	nc, "2400h"
	call	is_wrapped
	CHECK	e, "not off"
	mov	$0x2402, %ax
	int	$0x15
	test	%al, %al
	CHECK	z, "2402h: not off"
	mov	$0x2401, %ax
	int	$0x15
	CHECK	nc, "2401h"
	call	is_wrapped
	CHECK	ne, "not on"
	mov	$0x2402, %ax
	int	$0x15
	cmp	$1, %al
	CHECK	e, "2402h: not on"
	ret

#define RAM	(64 << 20)

/* E820h's ranges do not overlap, and its RAM is nearly all that there is; 88h tells of nearly the same. */
	.globl	memory_map
memory_map:
	push	$BUFFER_SEG
	pop	%es
	xor	%ebx, %ebx
	xor	%ebp, %ebp		/* RAM */
	movl	$0, %es:64		/* the end of the range before */
1:	mov	$0xe820, %eax
	mov	$0x534d4150, %edx
	mov	$20, %ecx
	xor	%di, %di
	int	$0x15
	CHECK	nc, "an error"
	cmp	$0x534d4150, %eax
	CHECK	e, "not SMAP"
	mov	%es:0, %eax
	cmp	%es:64, %eax
	CHECK	ae, "ranges overlap"
	add	%es:8, %eax
	mov	%eax, %es:64
	mov	%es:16, %ax
	cmp	$1, %ax
	jne	2f
	add	%es:8, %ebp
2:	test	%ebx, %ebx
	jnz	1b
	mov	%ebp, %eax
	shr	$10, %eax
	cmp	$RAM, %ebp
	CHECK	be, "more RAM than there is"
	cmp	$RAM - (1 << 20), %ebp
	CHECK	ae, "much less RAM than there is"
	mov	$0x8800, %ax
	int	$0x15
	CHECK	nc, "88h"
	cmp	$62 << 10, %ax
	CHECK	ae, "88h: much less RAM than there is"
	cmp	$63 << 10, %ax
	CHECK	be, "88h: more RAM than there is"
	int	$0x12
	cmp	$640, %ax
	CHECK	be, "INT 12h: more than 640 KiB"
	cmp	$600, %ax
	CHECK	ae, "INT 12h: less than 600 KiB"
	ret

	.balign	8
move_gdt:
	.quad	0, 0
	.word	0xffff, 0x7c00, 0x9300, 0	/* from */
	.word	0xffff, 0x0000, 0x9330, 0	/* to: 3 MiB */
	.quad	0, 0
back_gdt:
	.quad	0, 0
	.word	0xffff, 0x0000, 0x9330, 0
	.word	0xffff, 0x0000, 0x9301, 0	/* the buffer */
	.quad	0, 0

	.globl	memory_move
memory_move:
	mov	$0x8700, %ax
	mov	$512, %cx
	mov	$move_gdt, %si
	int	$0x15
	CHECK	nc, "no move up"
	mov	$0x8700, %ax
	mov	$512, %cx
	mov	$back_gdt, %si
	int	$0x15
	CHECK	nc, "no move down"
	push	$BUFFER_SEG
	pop	%es
	xor	%di, %di
	mov	$0x7c00, %si
	mov	$512, %cx
	repe cmpsw
	CHECK	e, "something else came back"
	ret

/* What lies past a segment's 64 KiB is INT 0Dh's. */
	.globl	real_limit
real_limit:
	call	unreal_leave
	cli
	movw	$on_protection, 13 * 4
	movw	$0, 13 * 4 + 2
	mov	$0xffff, %ebx
	xor	%ax, %ax
	mov	%fs:(%ebx), %cl
	test	%ah, %ah
	CHECK	z, "the last byte was not read"
	mov	%fs:(%ebx), %cx
	test	%ah, %ah
	CHECK	nz, "a word past the last byte was read"
	xor	%ax, %ax
	inc	%ebx
	mov	%fs:(%ebx), %cl
	test	%ah, %ah
	CHECK	nz, "a byte past 64 KiB was read"
	ret

/* Goes on behind an instruction of 4 bytes: prefixes of segment and address size, opcode, ModRM. */
on_protection:
	push	%bp
	mov	%sp, %bp
	addw	$4, 2(%bp)
	pop	%bp
	mov	$1, %ah
	iret

	.globl	unreal
unreal:	call	unreal_enter
	mov	$0x00200000, %ebx
	mov	$0x00300000, %ecx
	movl	$0x11223344, %fs:(%ebx)
	movl	$0x55667788, %fs:(%ecx)
	mov	%fs:(%ebx), %eax
	cmp	$0x11223344, %eax
	CHECK	e, "2 MiB does not hold what was written"
	mov	$0x7c00, %esi
	mov	%fs:(%esi), %eax
	cmp	0x7c00, %eax
	CHECK	e, "not the same memory below 1 MiB"
	push	$BUFFER_SEG		/* loading it in real mode changes its base alone */
	pop	%fs
	sub	$BUFFER_SEG * 16, %ecx
	mov	%fs:(%ecx), %eax
	cmp	$0x55667788, %eax
	CHECK	e, "the limit went with a load"
	push	$0
	pop	%fs
	call	all_off
	mov	$0x00300000, %ecx
	mov	%fs:(%ecx), %eax
	push	%eax
	mov	$2, %al
	out	%al, $PORT_A
	pop	%eax
	cmp	$0x11223344, %eax
	CHECK	e, "3 MiB is not 2 MiB without A20"
	call	unreal_leave
	ret
