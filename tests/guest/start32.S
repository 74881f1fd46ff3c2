/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Entry in 32-bit protected mode; exception stubs; the ways into real mode, CPL 3 and back. */
#define SEL_CODE	0x08
#define SEL_DATA	0x10
#define SEL_CODE16	0x28
#define SEL_DATA16	0x30

	.section .text.start, "ax"
	.globl _start
_start:
	mov	$stack_top, %esp
	call	guest_setup
	call	test_main
	xor	%eax, %eax
	out	%eax, $0xf4
1:	hlt
	jmp	1b

	.text
	.macro load_data_segments
	mov	$SEL_DATA, %eax
	.irp s, ds, es, fs, gs
	mov	%eax, %\s
	.endr
	.endm

/* What an exception pushes is completed to struct frame. */
	.macro stub n has_code
	.balign 16
	.if \has_code == 0
	push	$0
	.endif
	push	$\n
	jmp	common_exception
	.endm

	.balign 16
	.globl exception_stubs
exception_stubs:
	.set i, 0
	.rept 256
	.if (i == 8) || (i >= 10 && i <= 14) || (i == 17)
	stub i 1
	.else
	stub i 0
	.endif
	.set i, i + 1
	.endr

common_exception:
	pusha
	.irp s, ds, es, fs, gs
	push	%\s
	.endr
	load_data_segments
	mov	%esp, %eax
	cld
	push	%eax
	call	on_exception
	pop	%eax
	.irp s, gs, fs, es, ds
	pop	%\s
	.endr
	popa
	add	$8, %esp
	iret

/* void run(void (*fn)(void)): calls fn, which may end by an exception instead (leave_run). */
	.globl run
run:
	pusha
	pushf
	movl	$256, last_vector
	mov	%esp, run_esp
	mov	40(%esp), %eax
	call	*%eax
leave_run_here:
	movl	$0, run_esp
	popf
	popa
	ret
	.globl leave_run
leave_run:
	mov	run_esp, %esp
	load_data_segments
	jmp	leave_run_here

/* void run_user(void (*fn)(void)), within run(): at CPL 3, which only an exception leaves. */
	.globl run_user
run_user:
	mov	4(%esp), %eax
	push	$0x23
	push	$user_top
	pushf
	push	$0x1b
	push	%eax
	mov	$0x23, %ecx
	.irp s, ds, es, fs, gs
	mov	%ecx, %\s
	.endr
	iret

/* void run_real(void (*fn)(void)): calls fn, 16-bit code in segment 0, in real mode. */
	.globl run_real
run_real:
	pusha
	mov	36(%esp), %ebx
	mov	%esp, real_saved_esp
	lidt	real_idtr
	ljmp	$SEL_CODE16, $enter_real
leave_real:
	load_data_segments
	mov	%eax, %ss
	mov	real_saved_esp, %esp
	lidt	protected_idtr
	popa
	ret

	.section .text16, "awx"
	.code16
enter_real:
	mov	$SEL_DATA16, %ax
	.irp s, ds, es, fs, gs, ss
	mov	%ax, %\s
	.endr
	mov	%cr0, %eax
	and	$~1, %eax
	mov	%eax, %cr0
	ljmp	$0, $1f
1:	xor	%ax, %ax
	.irp s, ds, es, fs, gs, ss
	mov	%ax, %\s
	.endr
	mov	$0x7000, %sp
	call	*%bx
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$SEL_CODE, $leave_real
real_saved_esp:
	.long	0
real_idtr:
	.word	0x3ff
	.long	0
	.code32

	.bss
	.globl run_esp
	.globl ring0_top, stack_top, user_top
	.balign 16
run_esp:
	.skip 16
	.skip 16384
stack_top:
	.skip 16384
ring0_top:
	.skip 4096
user_top:
