/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Entry in 64-bit mode with the low 1 GiB mapped; exception stubs. */
	.section .text.start, "ax"
	.globl _start
_start:
	mov	$stack_top, %rsp
	call	guest_setup
	call	test_main
	xor	%eax, %eax
	out	%eax, $0xf4
1:	hlt
	jmp	1b

	.text
/* What an exception pushes is completed to vector, error code, rip, cs, rflags, rsp, ss. */
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

	.macro each_register op
	.irp r, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
	\op	%\r
	.endr
	.endm

common_exception:
	each_register push
	mov	%rsp, %rdi
	cld
	call	on_exception
	.irp r, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax
	pop	%\r
	.endr
	add	$16, %rsp
	iretq

	.bss
	.balign 16
	.skip 16384
	.globl stack_top
stack_top:
	.skip 16384
	.globl ist_top
ist_top:
	.skip 16384
	.globl ring0_top
ring0_top:
