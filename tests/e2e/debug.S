/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest for a debugger: the first processor counts in `counter`, others in `ap_counter`, for
 * good. Entered as a Linux kernel is. An `x` on the serial port powers off.
 */
	.equ	COM1, 0x3f8
	.equ	COM1_LSR, COM1 + 5
	.equ	LSR_DR, 1 << 0
	.equ	AP_BASE, 0x8000			/* SIPI vector 08h */
	.equ	MSR_APIC_BASE, 0x1b
	.equ	APIC_BASE_EXTD, 1 << 10
	.equ	MSR_X2APIC_ICR, 0x830
	.equ	ICR_INIT_OTHERS, 0xc4500
	.equ	ICR_SIPI_OTHERS, 0xc4600 | AP_BASE >> 12

	.globl	_start
_start:	lea	ap(%rip), %rsi
	mov	$AP_BASE, %edi
	mov	$ap_end - ap, %ecx
	rep movsb
	mov	$MSR_APIC_BASE, %ecx
	rdmsr
	or	$APIC_BASE_EXTD, %eax
	wrmsr
	mov	$MSR_X2APIC_ICR, %ecx
	xor	%edx, %edx
	mov	$ICR_INIT_OTHERS, %eax
	wrmsr
	mov	$ICR_SIPI_OTHERS, %eax
	wrmsr

work:	incl	counter(%rip)
	mov	source(%rip), %eax
	call	leaf
	mov	$COM1_LSR, %dx
	in	%dx, %al
	test	$LSR_DR, %al
	jz	work
	mov	$PM1A_CNT, %dx
	mov	$(1 << 13), %ax	/* SLP_EN; the SLP_TYP of \_S5 is 0 */
	out	%ax, %dx
	jmp	work

leaf:	mov	$0x1122334455667788, %rbx
	nop
	ret

	.code16
ap:	ljmp	$0, $AP_BASE + (1f - ap)	/* so that IP is the linear address */
1:	xor	%ax, %ax
	mov	%ax, %ds
2:	incl	AP_BASE + (ap_count - ap)
	jmp	2b
	.balign	4
ap_count:
	.long	0
ap_end:
	.equ	ap_loop, AP_BASE + (2b - ap)
	.equ	ap_counter, AP_BASE + (ap_count - ap)
	.globl	ap_loop, ap_counter

	.data
	.balign	4096
counter:
	.long	0
source:	.long	5
	.section .note.GNU-stack, "", @progbits
