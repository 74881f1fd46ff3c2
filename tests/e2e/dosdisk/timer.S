/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The timer's channels 0 and 2, the clock's periodic interrupt, and the interrupt controller. */
#include "test.inc"

#define PIC1		0x20
#define PIC2		0xa0
#define READ_IRR	0x0a
#define READ_ISR	0x0b
#define POLL		0x0c
#define EOI		0x20
#define SPECIFIC_EOI	0x60		/* and the line */
#define PIT		0x40
#define PIT_CONTROL	0x43
#define PORT_B		0x61
#define GATE_2		1
#define OUT_2		0x20

/* Channel 0 counts 65536 ticks as it does for the BIOS, but by ones. */
start_clock:
	mov	$0x34, %al
	out	%al, $PIT_CONTROL
	xor	%al, %al
	out	%al, $PIT
	out	%al, $PIT
	ret

/* AX: ticks since DX, which is what it returned before. */
read_clock:
	push	%bx
	xor	%al, %al		/* latches */
	out	%al, $PIT_CONTROL
	in	$PIT, %al
	mov	%al, %bl
	in	$PIT, %al
	mov	%al, %bh
	neg	%bx			/* it counts down */
	mov	%bx, %ax
	sub	%dx, %ax
	mov	%bx, %dx
	pop	%bx
	ret

/* AX: channel 2, by a latch. */
read_2:	mov	$0x80, %al
	out	%al, $PIT_CONTROL
	in	$PIT + 2, %al
	mov	%al, %ah
	in	$PIT + 2, %al
	xchg	%al, %ah
	ret

/* AL: control word, BX: count. */
program_2:
	out	%al, $PIT_CONTROL
	mov	%bl, %al
	out	%al, $PIT + 2
	mov	%bh, %al
	out	%al, $PIT + 2
	ret

gate:	in	$PORT_B, %al
	and	$0xfc, %al		/* the speaker stays silent */
	or	$GATE_2, %al
	out	%al, $PORT_B
	ret

no_gate:
	in	$PORT_B, %al
	and	$0xfc, %al
	out	%al, $PORT_B
	ret

	.globl	pit_one_shot
pit_one_shot:
	call	start_clock
	call	no_gate
	mov	$0xb0, %al		/* mode 0 */
	mov	$0x4000, %bx
	call	program_2
	call	read_2
	mov	%ax, %bp
	mov	$100, %cx
1:	in	$PORT_B, %al
	loop	1b
	call	read_2
	cmp	%bp, %ax
	CHECK	e, "counts without its gate"
	in	$PORT_B, %al
	test	$OUT_2, %al
	CHECK	z, "the output is high before the count's end"
	mov	$20, %bp		/* a processor that is held up sees the clock go around */
2:	call	no_gate
	mov	$0xb0, %al
	call	program_2
	xor	%dx, %dx
	call	read_clock		/* before the gate opens */
	call	gate
3:	in	$PORT_B, %al
	test	$OUT_2, %al
	jz	3b
	call	read_clock
	cmp	$0x4000, %ax
	jae	4f
	dec	%bp
	CHECK	nz, "the count ended early"
	jmp	2b
4:	mov	$0xe8, %al		/* status of channel 2 */
	out	%al, $PIT_CONTROL
	in	$PIT + 2, %al
	cmp	$0xb0, %al		/* output high, both bytes, mode 0 */
	CHECK	e, "the status read back"
	call	no_gate
	ret

#define TONE		400		/* 3 kHz */
#define LISTEN		(TONE * 11 / 2)	/* ticks: high first, so five edges rise */
#define GAP		150		/* between two looks, and none was missed */

/* The tone's rising edges, as often as it takes to look without a gap: the processor may be held up. */
	.globl	pit_tone
pit_tone:
	call	start_clock		/* its interrupts go on */
	mov	BDA_TICKS, %si
1:	mov	BDA_TICKS, %ax
	sub	%si, %ax
	cmp	$PATIENCE, %ax
	CHECK	b, "no time without a gap in a minute"
	call	start_tone
	xor	%bp, %bp		/* ticks */
	xor	%cx, %cx		/* edges */
	mov	$OUT_2, %bl		/* the output at the last look */
2:	in	$PORT_B, %al
	and	$OUT_2, %al
	not	%bl
	and	%al, %bl
	jz	3f
	inc	%cx
3:	mov	%al, %bl
	call	read_clock
	cmp	$GAP, %ax
	ja	1b
	add	%ax, %bp
	cmp	$LISTEN, %bp
	jb	2b
	mov	%cx, %ax
	cmp	$5, %cx
	CHECK	e, "not five edges"
	jmp	no_gate

start_tone:
	call	no_gate
	mov	$0xb6, %al		/* mode 3 */
	mov	$TONE, %bx
	call	program_2
	xor	%dx, %dx
	call	read_clock
	jmp	gate

count_8:
	incw	%cs:n_timer
	jmp	eoi_1
count_70:
	incw	%cs:n_clock
	push	%ax
	mov	$0x0c, %al		/* asked for, or there is no other */
	out	%al, $0x70
	in	$0x71, %al
	mov	$EOI, %al
	out	%al, $PIC2
	jmp	1f
eoi_1:	push	%ax
1:	mov	$EOI, %al
	out	%al, $PIC1
	pop	%ax
	iret

count_8_only:
	incw	%cs:n_timer
	iret

/* Interrupts of the timer at 100 Hz during 8 of the clock at 64 Hz: 12 or 13. */
	.globl	timer_and_clock
timer_and_clock:
	mov	$400, %bp		/* a processor that is held up misses some */
1:	cli
	movw	$count_8, 8 * 4
	movw	$0, 8 * 4 + 2
	movw	$count_70, 0x70 * 4
	movw	$0, 0x70 * 4 + 2
	mov	$0x34, %al
	out	%al, $PIT_CONTROL
	mov	$11932 & 255, %al
	out	%al, $PIT
	mov	$11932 >> 8, %al
	out	%al, $PIT
	in	$PIC2 + 1, %al
	and	$0xfe, %al
	out	%al, $PIC2 + 1
	mov	$0x0a, %al
	out	%al, $0x70
	mov	$0x2a, %al		/* 64 Hz */
	out	%al, $0x71
	mov	$0x0b, %al
	out	%al, $0x70
	mov	$0x42, %al		/* periodic, 24 hours */
	out	%al, $0x71
	mov	$0x0c, %al
	out	%al, $0x70
	in	$0x71, %al
	movw	$0, n_clock
	sti
2:	hlt
	cmpw	$0, n_clock
	je	2b
	movw	$0, n_timer
3:	hlt
	cmpw	$9, n_clock
	jb	3b
	mov	n_timer, %ax
	mov	%ax, %bx
	sub	$12, %bx
	cmp	$1, %bx
	jbe	4f
	dec	%bp
	CHECK	nz, "another number of ticks"
	jmp	1b
4:	mov	$0x0a, %al
	out	%al, $0x70
	mov	$0x26, %al
	out	%al, $0x71
	ret

/* A register of the first controller's, in AL. */
.macro READ_PIC register
	mov	$\register, %al
	out	%al, $PIC1
	in	$PIC1, %al
.endm

wait_irr_0:
	READ_PIC READ_IRR
	test	$1, %al
	jz	wait_irr_0
	ret

	.globl	pic_mask
pic_mask:
	cli
	movw	$count_8, 8 * 4
	movw	$0, 8 * 4 + 2
	movw	$0, n_timer
	mov	$0xff, %al
	out	%al, $PIC1 + 1
	call	start_clock
	call	wait_irr_0
	sti
	nop
	nop
	cli
	mov	n_timer, %ax
	test	%ax, %ax
	CHECK	z, "an interrupt that was masked"
	mov	$0xfe, %al
	out	%al, $PIC1 + 1
	sti
	nop
	nop
	cli
	mov	n_timer, %ax
	cmp	$1, %ax
	CHECK	e, "the request was not kept"
	READ_PIC READ_ISR
	test	%al, %al
	CHECK	z, "something in service after its end"
	ret

	.globl	pic_end_of_interrupt
pic_end_of_interrupt:
	cli
	movw	$count_8_only, 8 * 4
	movw	$0, 8 * 4 + 2
	movw	$0, n_timer
	mov	$0xfe, %al
	out	%al, $PIC1 + 1
	call	start_clock
	sti
1:	hlt
	cmpw	$0, n_timer
	je	1b
	READ_PIC READ_ISR
	test	$1, %al
	CHECK	nz, "not in service"
	call	wait_irr_0		/* the next one */
	nop
	mov	n_timer, %ax
	cmp	$1, %ax
	CHECK	e, "interrupted in its service"
	cli
	mov	$SPECIFIC_EOI, %al
	out	%al, $PIC1
	sti
	nop
	nop
	cli
	mov	n_timer, %ax
	cmp	$2, %ax
	CHECK	e, "no interrupt after the end of the first"
	mov	$SPECIFIC_EOI, %al
	out	%al, $PIC1
	READ_PIC READ_ISR
	test	%al, %al
	CHECK	z, "still in service"
	ret

/* The processor asks in place of being interrupted. */
	.globl	pic_poll
pic_poll:
	cli
	mov	$0xff, %al
	out	%al, $PIC1 + 1
	READ_PIC POLL
	test	$0x80, %al
	CHECK	z, "a request though all are masked"
	call	start_clock
	call	wait_irr_0
	mov	$0xfe, %al
	out	%al, $PIC1 + 1
	READ_PIC POLL
	cmp	$0x80, %al
	CHECK	e, "not a request of line 0"
	READ_PIC READ_ISR
	cmp	$1, %al
	CHECK	e, "not in service"
	mov	$EOI, %al
	out	%al, $PIC1
	ret

/* INT 1Ah. */
	.globl	bios_time
bios_time:
	mov	$0x0200, %ax
	int	$0x1a
	CHECK	nc, "no time"
	mov	%cx, %ax
	cmp	$0x23, %ch
	CHECK	be, "the hour"
	cmp	$0x59, %cl
	CHECK	be, "the minute"
	mov	$0x0400, %ax
	int	$0x1a
	CHECK	nc, "no date"
	mov	%cx, %ax
	cmp	$0x20, %ch
	CHECK	e, "the century"
	mov	%dx, %ax
	cmp	$0x12, %dh
	CHECK	be, "the month"
	cmp	$0x31, %dl
	CHECK	be, "the day"
	xor	%ax, %ax
	int	$0x1a
	mov	%dx, %bp
1:	hlt
	xor	%ax, %ax
	int	$0x1a
	cmp	%bp, %dx
	je	1b
	mov	$0x0100, %ax		/* a quarter past noon, or so */
	mov	$0x000c, %cx
	mov	$0x1234, %dx
	int	$0x1a
	xor	%ax, %ax
	int	$0x1a
	mov	%cx, %ax
	cmp	$0x000c, %cx
	CHECK	e, "not the ticks that were set"
	mov	$0xb101, %ax		/* PCI BIOS */
	int	$0x1a
	CHECK	nc, "no PCI BIOS"
	cmp	$0x20494350, %edx
	CHECK	e, "not PCI"
	ret

#define CLOCK_PERIOD	1165		/* ticks of the timer, at the clock's 1024 Hz */

/*
 * 20 ms are 21 interrupts of the clock, of which the first may come at once and the second soon. A host so busy that
 * the timer goes around makes another try.
 */
	.globl	bios_wait
bios_wait:
	call	start_clock
	mov	$5, %bp
1:	xor	%dx, %dx
	call	read_clock
	push	%dx
	mov	$0x8600, %ax
	xor	%cx, %cx
	mov	$20000, %dx
	int	$0x15
	pop	%dx
	CHECK	nc, "no wait"
	call	read_clock
	cmp	$19 * CLOCK_PERIOD, %ax
	jae	2f
	dec	%bp
	CHECK	nz, "the wait was too short"
	jmp	1b
2:	ret

on_alarm:
	incw	%cs:n_clock
	iret

/* An alarm of any hour, minute and second, through INT 70h and 4Ah. */
	.globl	clock_alarm
clock_alarm:
	movw	$0, n_clock
	movw	$on_alarm, 0x4a * 4
	movw	$0, 0x4a * 4 + 2
	mov	$0x0600, %ax
	mov	$0xffff, %cx
	mov	$0xffff, %dx
	int	$0x1a
	CHECK	nc, "no alarm"
	AWAIT	ne, cmpw $0, n_clock
	mov	$0x0600, %ax
	int	$0x1a
	CHECK	c, "a second alarm"
	mov	$0x0700, %ax
	int	$0x1a
	CHECK	nc, "the alarm cannot be taken back"
	ret

/* The sum of 10h to 2Dh stands in 2Eh and 2Fh. */
	.globl	cmos_checksum
cmos_checksum:
	mov	$0x10, %cl
	xor	%bx, %bx
	xor	%ah, %ah
1:	mov	%cl, %al
	call	read_cmos
	add	%ax, %bx
	inc	%cl
	cmp	$0x2e, %cl
	jb	1b
	mov	$0x2e, %al
	call	read_cmos
	mov	%al, %ch
	mov	$0x2f, %al
	call	read_cmos
	mov	%ch, %ah
	cmp	%bx, %ax
	CHECK	e, "another sum"
	ret

read_cmos:
	out	%al, $0x70
	in	$0x71, %al
	ret

	.balign	2
n_timer:	.word	0
n_clock:	.word	0
