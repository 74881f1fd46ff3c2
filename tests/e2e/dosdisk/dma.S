/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A floppy's sectors by the 82077AA and channel 2 of the 8237A, without the BIOS but for its interrupt handler. */
#include "test.inc"

#define DOR		0x3f2
#define MSR		0x3f4
#define FIFO		0x3f5
#define RQM		0x80
#define DIO		0x40
#define DMA_ADDRESS	0x04
#define DMA_COUNT	0x05
#define DMA_STATUS	0x08
#define DMA_MASK	0x0a
#define DMA_MODE	0x0b
#define DMA_CLEAR	0x0c
#define DMA_PAGE	0x81
#define TO_MEMORY	0x46		/* single, channel 2 */
#define INTERRUPTED	0x43e		/* of the BIOS: bit 7 */
#define MOTOR_TICKS	0x440

#define TRACK		2		/* one with something on it */

/* The controller takes the bytes after SI's count. */
send:	lodsb
	movzx	%al, %cx
1:	call	wait_ready
	lodsb
	mov	$FIFO, %dx
	out	%al, %dx
	loop	1b
	ret

wait_ready:
	mov	$MSR, %dx
1:	in	%dx, %al
	test	$RQM, %al
	jz	1b
	ret

/* Its CX result bytes, at `result'. */
receive:
	mov	$result, %di
1:	call	wait_ready
	test	$DIO, %al
	CHECK	nz, "no result"
	mov	$FIFO, %dx
	in	%dx, %al
	stosb
	loop	1b
	ret

await_interrupt:
	AWAIT	nz, testb $0x80, INTERRUPTED
	andb	$0x7f, INTERRUPTED
	ret

/* SI: its command; then the interrupt, and what it was for. */
run_seek:
	andb	$0x7f, INTERRUPTED
	call	send
	call	await_interrupt
	mov	$sense, %si
	call	send
	mov	$2, %cx
	call	receive
	mov	result, %ax
	ret

start_drive:
	movb	$0xff, MOTOR_TICKS
	mov	$DOR, %dx
	mov	$0x1c, %al		/* drive A and its motor, interrupts and DMA */
	out	%al, %dx
	movw	$specify, %si
	call	send
	mov	$recalibrate, %si
	call	run_seek
	cmp	$0x0020, %ax		/* seek end, track 0 */
	CHECK	e, "no recalibration"
	mov	$seek, %si
	call	run_seek
	cmp	$0x0020 | TRACK << 8, %ax
	CHECK	e, "no seek"
	ret

/* Channel 2 to BX in page AL, CX + 1 bytes. */
program:
	out	%al, $DMA_PAGE
	mov	$6, %al			/* masked */
	out	%al, $DMA_MASK
	out	%al, $DMA_CLEAR
	mov	$TO_MEMORY, %al
	out	%al, $DMA_MODE
	mov	%bl, %al
	out	%al, $DMA_ADDRESS
	mov	%bh, %al
	out	%al, $DMA_ADDRESS
	mov	%cl, %al
	out	%al, $DMA_COUNT
	mov	%ch, %al
	out	%al, $DMA_COUNT
	in	$DMA_STATUS, %al	/* forgets earlier ends */
	mov	$2, %al
	out	%al, $DMA_MASK
	ret

/* SI: the command. */
run_read:
	andb	$0x7f, INTERRUPTED
	call	send
	call	await_interrupt
	mov	$7, %cx
	call	receive
	mov	result, %al
	ret

/* The buffer's first sectors are those of the track, by the BIOS. */
read_by_bios:
	push	$BUFFER_SEG
	pop	%es
	xor	%bx, %bx
	mov	$0x0204, %ax
	mov	$TRACK << 8 | 1, %cx
	xor	%dx, %dx
	int	$0x13
	CHECK	nc, "no read by the BIOS"
	push	$0
	pop	%es
	ret

/* CX bytes at BP:DI are those of the buffer from SI on. */
compare:
	push	%ds
	push	$BUFFER_SEG
	pop	%ds
	mov	%bp, %es
	repe cmpsb
	pop	%ds
	push	$0
	pop	%es
	ret

	.globl	dma_read
dma_read:
	call	read_by_bios
	call	start_drive
	mov	$DMA_SEG >> 12, %al
	mov	$0x1000, %bx
	mov	$4 * 512 - 1, %cx
	call	program
	mov	$read, %si
	call	run_read
	test	$0xc0, %al
	CHECK	z, "not a normal end"
	in	$DMA_STATUS, %al
	test	$4, %al
	CHECK	nz, "no terminal count"
	in	$DMA_STATUS, %al
	test	$4, %al
	CHECK	z, "a terminal count for ever"
	out	%al, $DMA_CLEAR
	in	$DMA_COUNT, %al
	mov	%al, %ah
	in	$DMA_COUNT, %al
	cmp	$0xffff, %ax
	CHECK	e, "the count is not used up"
	out	%al, $DMA_CLEAR
	in	$DMA_ADDRESS, %al
	mov	%al, %ah
	in	$DMA_ADDRESS, %al
	xchg	%al, %ah
	cmp	$0x1800, %ax
	CHECK	e, "the address is not behind the last byte"
	mov	$DMA_SEG, %bp
	mov	$0x1000, %di
	xor	%si, %si
	mov	$4 * 512, %cx
	call	compare
	CHECK	e, "other bytes than by the BIOS"
	ret

/* Pages do not count: past FFFFh comes 0 of the same 64 KiB. The BIOS refuses such a buffer. */
	.globl	dma_boundary
dma_boundary:
	mov	$DMA_SEG + 0x1000, %ax
	mov	%ax, %es
	movl	$0x55555555, %es:0
	call	read_by_bios
	call	start_drive
	mov	$DMA_SEG >> 12, %al
	mov	$0xff00, %bx
	mov	$511, %cx
	call	program
	mov	$read, %si
	call	run_read
	test	$0xc0, %al
	CHECK	z, "not a normal end"
	mov	$DMA_SEG, %bp
	mov	$0xff00, %di
	xor	%si, %si
	mov	$256, %cx
	call	compare
	CHECK	e, "the first half"
	mov	$DMA_SEG, %bp
	xor	%di, %di
	mov	$256, %si
	mov	$256, %cx
	call	compare
	CHECK	e, "the second half"
	mov	$DMA_SEG + 0x1000, %ax
	mov	%ax, %es
	cmpl	$0x55555555, %es:0
	CHECK	e, "the next 64 KiB were written"

	mov	$DMA_SEG, %ax
	mov	%ax, %es
	mov	$0xff00, %bx
	mov	$0x0201, %ax
	mov	$TRACK << 8 | 1, %cx
	xor	%dx, %dx
	int	$0x13
	CHECK	c, "the BIOS read across 64 KiB"
	cmp	$9, %ah
	CHECK	e, "another error of the BIOS"
	ret

/* The last sector of a track is the end, if nobody counts. */
	.globl	dma_end_of_track
dma_end_of_track:
	call	start_drive
	mov	$DMA_SEG >> 12, %al
	xor	%bx, %bx
	mov	$4 * 512 - 1, %cx
	call	program
	mov	$read_last, %si
	call	run_read
	and	$0xc0, %al
	cmp	$0x40, %al
	CHECK	e, "not an abnormal end"
	mov	result + 1, %al
	test	$0x80, %al
	CHECK	nz, "not the end of a cylinder"
	in	$DMA_STATUS, %al
	test	$4, %al
	CHECK	z, "a terminal count"
	ret

sense:		.byte	1, 0x08
specify:	.byte	3, 0x03, 0xdf, 0x02
recalibrate:	.byte	2, 0x07, 0
seek:		.byte	3, 0x0f, 0, TRACK
read:		.byte	9, 0xe6, 0, TRACK, 0, 1, 2, 18, 0x1b, 0xff
read_last:	.byte	9, 0x66, 0, TRACK, 0, 18, 2, 18, 0x1b, 0xff
result:		.space	7
