/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 32-bit Linux program: system calls by INT 80h and by the kernel's fast entry (SYSENTER or SYSCALL,
 * found through AT_SYSINFO), segment registers, instructions that 64-bit mode lacks.
 */
	.code32
	.globl	_start
_start:
	mov	%esp, %esi
	mov	(%esi), %ecx		/* argc */
	lea	8(%esi,%ecx,4), %esi	/* past argv's end: the environment */
1:	lodsl
	test	%eax, %eax
	jnz	1b
2:	lodsl				/* auxiliary vector: type, value */
	mov	%eax, %ecx
	lodsl
	test	%ecx, %ecx
	jz	fail
	cmp	$32, %ecx		/* AT_SYSINFO */
	jne	2b
	mov	%eax, sysinfo

	/* all registers through the stack, and back */
	mov	$0x11223344, %ebx
	pusha
	xor	%ebx, %ebx
	popa
	cmp	$0x11223344, %ebx
	jne	fail
	/* decimal: 38 + 45 = 83 */
	mov	$0x38, %al
	add	$0x45, %al
	daa
	cmp	$0x83, %al
	jne	fail
	/* a data segment loaded from another's selector, and string stores through ES */
	push	%ds
	pop	%es
	mov	$buffer, %edi
	mov	$0x5a5a5a5a, %eax
	mov	$1024, %ecx
	rep stosl
	mov	$buffer, %edi
	mov	$4096, %ecx
	mov	$0x5a, %al
	repe scasb
	jne	fail
	/* 16-bit addressing reaches only the low 64 KiB: a fault there would end us, LEA does not */
	mov	$0x1fff0, %ebx
	.byte	0x67, 0x8d, 0x47, 0x20	/* lea eax, [bx + 0x20] */
	cmp	$0x10, %eax
	jne	fail

	mov	$20, %eax		/* getpid, both ways */
	int	$0x80
	mov	%eax, %edi
	mov	$20, %eax
	call	*sysinfo
	cmp	%eax, %edi
	jne	fail

	mov	$good, %ecx
	mov	$good_end - good, %edx
	jmp	say
fail:
	mov	$bad, %ecx
	mov	$bad_end - bad, %edx
say:
	mov	$4, %eax		/* write */
	mov	$1, %ebx
	int	$0x80
	mov	$1, %eax		/* exit */
	xor	%ebx, %ebx
	call	*sysinfo

	.data
good:	.ascii	"compat: all well\n"
good_end:
bad:	.ascii	"compat: failed\n"
bad_end:
	.bss
sysinfo: .skip	4
buffer:	.skip	4096
