/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A task in virtual-8086 mode and its monitor: software interrupts and those of devices go to the BIOS' vectors, and a
 * port that the I/O bitmap keeps is the monitor's. Interrupt controllers are moved aside, where exceptions are not.
 */
#include "test.inc"

#define TSS_SEG		0x5000		/* with a bitmap of all ports */
#define TSS_SIZE	0x68
#define BITMAP_SIZE	0x2000
#define IDT_SEG		0x5400
#define MONITOR_STACK	0x58000
#define TASK_STACK_SEG	0x5800
#define KEPT_PORT	0x5e0
#define EXIT		0xfe		/* the task's way out */
#define IRQ_VECTORS	0x50

#define CODE		0x08
#define DATA		0x10
#define CODE_16		0x18
#define DATA_16		0x20
#define TSS		0x28

#define FLAG_IF		0x200
#define FLAG_VM		0x20000
#define TASK_FLAGS	0x4fd5		/* those that the task may set by POPF and IRET: not IOPL */

/* A frame of the task, behind a vector or error code; below those, PUSHA's. */
#define FRAME_EIP	0
#define FRAME_CS	4
#define FRAME_EFLAGS	8
#define FRAME_ESP	12
#define FRAME_SS	16
#define FRAME_EAX	(-8)
#define FRAME_EDX	(-16)

	.balign	8
v86_gdt:
	.quad	0
	.quad	0x00cf9a000000ffff
	.quad	0x00cf92000000ffff
	.quad	0x00009a000000ffff
	.quad	0x000092000000ffff
	.word	TSS_SIZE + BITMAP_SIZE, (TSS_SEG << 4) & 0xffff, 0x8900 | TSS_SEG >> 12, 0
	.set	v86_gdt_size, . - v86_gdt
v86_gdt_pointer:
	.word	v86_gdt_size - 1
	.long	v86_gdt
idt_pointer:
	.word	256 * 8 - 1
	.long	IDT_SEG << 4
real_idt_pointer:
	.word	0x3ff
	.long	0

/* The controllers' first vectors: BL and BH. */
move_interrupts:
	in	$0x21, %al
	mov	%al, %cl
	in	$0xa1, %al
	mov	%al, %ch
	mov	$0x11, %al
	out	%al, $0x20
	out	%al, $0xa0
	mov	%bl, %al
	out	%al, $0x21
	mov	%bh, %al
	out	%al, $0xa1
	mov	$4, %al
	out	%al, $0x21
	mov	$2, %al
	out	%al, $0xa1
	mov	$1, %al
	out	%al, $0x21
	out	%al, $0xa1
	mov	%cl, %al
	out	%al, $0x21
	mov	%ch, %al
	out	%al, $0xa1
	ret

make_tss:
	push	$TSS_SEG
	pop	%es
	xor	%di, %di
	xor	%ax, %ax
	mov	$(TSS_SIZE + BITMAP_SIZE) / 2, %cx
	rep stosw
	movl	$MONITOR_STACK, %es:4
	movw	$DATA, %es:8
	movw	$TSS_SIZE, %es:0x66
	movb	$1 << (KEPT_PORT % 8), %es:TSS_SIZE + KEPT_PORT / 8
	movb	$0xff, %es:TSS_SIZE + BITMAP_SIZE
	ret

/* Gates at DI for CX vectors: the routine AX, and the ones each DX further on. */
make_gates:
	stosw
	movw	$CODE, %es:(%di)
	movw	$0x8e00, %es:2(%di)
	movw	$0, %es:4(%di)
	add	$6, %di
	add	%dx, %ax
	loop	make_gates
	ret

make_idt:
	push	$IDT_SEG
	pop	%es
	xor	%di, %di
	mov	$on_anything, %ax
	xor	%dx, %dx
	mov	$256, %cx
	call	make_gates
	mov	$13 * 8, %di
	mov	$on_protection, %ax
	mov	$1, %cx
	call	make_gates
	mov	$IRQ_VECTORS * 8, %di
	mov	$irq_stubs, %ax
	mov	$irq_stub_size, %dx
	mov	$16, %cx
	jmp	make_gates

	.globl	v86
v86:	call	make_tss
	call	make_idt
	int	$0x11
	mov	%ax, equipment
	cli
	mov	$IRQ_VECTORS | (IRQ_VECTORS + 8) << 8, %bx
	call	move_interrupts
	mov	%sp, real_sp
	lgdtl	v86_gdt_pointer
	lidtl	idt_pointer
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmp	$CODE, $enter_task
back:	lidtl	real_idt_pointer
	mov	$0x7008, %bx
	call	move_interrupts
	sti

	mov	ended, %ax
	test	%ax, %ax
	CHECK	z, "an exception, or an instruction that nobody knows"
	mov	kept_value, %ax
	cmp	$0x42, %al
	CHECK	e, "the kept port was not written by way of the monitor"
	mov	task_read, %ax
	cmp	$0xa5, %al
	CHECK	e, "the kept port was not read by way of the monitor"
	mov	n_ports, %ax
	cmp	$2, %ax
	CHECK	e, "other accesses to ports trapped"
	mov	n_irqs, %ax
	test	%ax, %ax
	CHECK	nz, "no timer interrupt"
	mov	task_equipment, %ax
	cmp	equipment, %ax
	CHECK	e, "INT 11h had another answer"
	mov	task_flags, %ax
	test	$FLAG_IF, %ax
	CHECK	nz, "no IF at the task's start"
	mov	task_flags_cli, %ax
	test	$FLAG_IF, %ax
	CHECK	z, "IF after CLI"
	mov	task_sum, %ax
	cmp	$0x3333, %ax
	CHECK	e, "what lies past 1 MiB by FFFFh"
	ret

task:	pushf
	popw	task_flags
	cli
	pushf
	popw	task_flags_cli
	sti
	int	$0x11
	mov	%ax, task_equipment
	mov	$KEPT_PORT, %dx
	mov	$0x42, %al
	out	%al, %dx
	in	%dx, %al
	mov	%al, task_read
	mov	$0x3fd, %dx
	in	%dx, %al
	mov	$0xffff, %ax		/* segments are paragraphs here, too */
	mov	%ax, %fs
	movw	$0x1111, %fs:0x1010
	mov	$TASK_STACK_SEG, %ax
	mov	%ax, %gs
	mov	$0x2222, %ax
	add	%fs:0x1010, %ax
	mov	%ax, task_sum
	mov	BDA_TICKS, %bx
1:	cmp	BDA_TICKS, %bx
	je	1b
	int	$EXIT

	.code32
enter_task:
	mov	$DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$MONITOR_STACK, %esp
	mov	$TSS, %eax
	ltr	%ax
	xor	%eax, %eax
	push	%eax			/* GS, FS, DS, ES */
	push	%eax
	push	%eax
	push	%eax
	push	$TASK_STACK_SEG
	push	$0x7ffe
	push	$FLAG_VM | FLAG_IF | 2
	push	%eax
	push	$task
	iret

irq_stubs:
	.set	line, 0
	.rept	16
	push	$line
	jmp	on_irq
	.balign	8
	.set	line, line + 1
	.endr
	.set	irq_stub_size, (. - irq_stubs) / 16

/* What every way into the monitor begins with: EBP is the frame. */
.macro ENTER
	pusha
	mov	$DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	lea	36(%esp), %ebp
.endm

leave_monitor:
	popa
	add	$4, %esp
	iret

on_irq:	ENTER
	mov	-4(%ebp), %eax
	incw	n_irqs
	cmp	$8, %eax
	jb	1f
	add	$0x70 - 8 - 8, %eax
1:	add	$8, %eax
	call	reflect
	jmp	leave_monitor

/* EAX: vector of the BIOS. */
reflect:
	mov	FRAME_EFLAGS(%ebp), %edx
	call	push_word
	mov	FRAME_CS(%ebp), %edx
	call	push_word
	mov	FRAME_EIP(%ebp), %edx
	call	push_word
	andl	$~(FLAG_IF | 0x100), FRAME_EFLAGS(%ebp)
	movzwl	(, %eax, 4), %edx
	mov	%edx, FRAME_EIP(%ebp)
	movzwl	2(, %eax, 4), %edx
	mov	%edx, FRAME_CS(%ebp)
	ret

/* DX, on the task's stack. */
push_word:
	subw	$2, FRAME_ESP(%ebp)
	call	stack_top
	mov	%dx, (%edi)
	ret

/* EDX: CL bytes, 2 or 4, of the task's stack. */
pop_size:
	call	stack_top
	mov	(%edi), %edx
	add	%cx, FRAME_ESP(%ebp)
	cmp	$4, %cl
	je	1f
	movzwl	%dx, %edx
1:	ret

/* EDI */
stack_top:
	push	%eax
	movzwl	FRAME_SS(%ebp), %edi
	shl	$4, %edi
	movzwl	FRAME_ESP(%ebp), %eax
	add	%eax, %edi
	pop	%eax
	ret

/* What is the monitor's to do; ESI moves behind the instruction, ECX is the operand's size. */
on_protection:
	ENTER
	testl	$FLAG_VM, FRAME_EFLAGS(%ebp)
	jz	exit_unknown
	movzwl	FRAME_CS(%ebp), %esi
	shl	$4, %esi
	add	FRAME_EIP(%ebp), %esi
	mov	%esi, %ebx
	mov	$2, %ecx
	cld
	lodsb
	cmp	$0x66, %al
	jne	1f
	mov	$4, %ecx
	lodsb
1:	mov	$instructions, %edi
2:	cmpb	$0, (%edi)
	je	exit_unknown
	cmp	%al, (%edi)
	je	3f
	add	$5, %edi
	jmp	2b
3:	push	%ebx
	call	*1(%edi)
	pop	%ebx
	jmp	leave_monitor

.macro INSTRUCTION opcode, routine
	.byte	\opcode
	.long	\routine
.endm

instructions:
	INSTRUCTION 0x9c, do_pushf
	INSTRUCTION 0x9d, do_popf
	INSTRUCTION 0xcd, do_int
	INSTRUCTION 0xcf, do_iret
	INSTRUCTION 0xec, do_in
	INSTRUCTION 0xee, do_out
	INSTRUCTION 0xf4, go_on
	INSTRUCTION 0xfa, do_cli
	INSTRUCTION 0xfb, do_sti
	.byte	0

/* Behind the instruction. */
go_on:	sub	%ebx, %esi
	add	%si, FRAME_EIP(%ebp)
	ret

do_cli:	andl	$~FLAG_IF, FRAME_EFLAGS(%ebp)
	jmp	go_on

do_sti:	orl	$FLAG_IF, FRAME_EFLAGS(%ebp)
	jmp	go_on

do_pushf:
	cmp	$4, %cl
	jne	1f
	xor	%edx, %edx
	call	push_word
1:	mov	FRAME_EFLAGS(%ebp), %edx
	call	push_word
	jmp	go_on

do_popf:
	call	go_on
set_flags:
	call	pop_size
	and	$TASK_FLAGS, %edx
	andl	$~TASK_FLAGS, FRAME_EFLAGS(%ebp)
	or	%edx, FRAME_EFLAGS(%ebp)
	ret

do_iret:
	call	pop_size
	mov	%edx, FRAME_EIP(%ebp)
	call	pop_size
	mov	%dx, FRAME_CS(%ebp)
	jmp	set_flags

do_int:	movzbl	(%esi), %eax
	inc	%esi
	call	go_on
	cmp	$EXIT, %al
	je	exit
	jmp	reflect

do_out:	call	is_kept
	mov	FRAME_EAX(%ebp), %al
	mov	%al, kept_value
	jmp	go_on

do_in:	call	is_kept
	movb	$0xa5, FRAME_EAX(%ebp)
	jmp	go_on

is_kept:
	incw	n_ports
	cmpw	$KEPT_PORT, FRAME_EDX(%ebp)
	jne	exit_unknown
	ret

on_anything:
exit_unknown:
	mov	$DATA, %eax
	mov	%eax, %ds
	movw	$1, ended
exit:	ljmp	$CODE_16, $1f
	.code16
1:	mov	$DATA_16, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %fs
	mov	%ax, %gs
	mov	%ax, %ss
	mov	%cr0, %eax
	and	$0xfe, %al
	mov	%eax, %cr0
	ljmp	$0, $1f
1:	xor	%ax, %ax
	mov	%ax, %ds
	mov	%ax, %es
	mov	%ax, %fs
	mov	%ax, %gs
	mov	%ax, %ss
	mov	real_sp, %sp
	jmp	back

	.balign	2
ended:		.word	0
equipment:	.word	0
real_sp:	.word	0
n_irqs:		.word	0
n_ports:	.word	0
kept_value:	.word	0
task_read:	.word	0
task_equipment:	.word	0
task_flags:	.word	0
task_flags_cli:	.word	0
task_sum:	.word	0
