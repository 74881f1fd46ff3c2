/* SPDX-License-Identifier: GPL-2.0-or-later */
/* INT 13h, of the floppy and of the hard disk. */
#include "test.inc"

#define TRACK	40			/* one that is nobody's */

/* DX: drive and head, CX: cylinder and sector, AX: function and count, at the buffer's start. */
transfer:
	push	%es
	push	$BUFFER_SEG
	pop	%es
	xor	%bx, %bx
	int	$0x13
	pop	%es
	ret

/* The buffer's first 1024 bytes become a pattern of BX, or are compared with it. */
fill:	push	%es
	push	$BUFFER_SEG
	pop	%es
	xor	%di, %di
	mov	$512, %cx
1:	mov	%di, %ax
	xor	%bx, %ax
	stosw
	loop	1b
	pop	%es
	ret

matches:
	push	%es
	push	$BUFFER_SEG
	pop	%es
	xor	%di, %di
	mov	$512, %cx
1:	mov	%di, %ax
	xor	%bx, %ax
	scasw
	loope	1b
	pop	%es
	ret

clear:	xor	%ax, %ax
	push	%es
	push	$BUFFER_SEG
	pop	%es
	xor	%di, %di
	mov	$512, %cx
	rep stosw
	pop	%es
	ret

/* What the boot drive holds is what was loaded. */
	.globl	disk_boot_sector
disk_boot_sector:
	mov	boot_drive, %dl
	cmp	$0xe0, %dl
	jae	boot_cd
	xor	%dh, %dh
	mov	$1, %cx
	mov	$0x0201, %ax
	call	transfer
	CHECK	nc, "no read"
boot_compare:
	push	$BUFFER_SEG
	pop	%es
	mov	$0x7c00, %si
	xor	%di, %di
	mov	$256, %cx
	repe cmpsw
	CHECK	e, "not the sector that was booted"
	ret
boot_cd:
	mov	$packet_cd, %si		/* sectors of 2048 bytes */
	mov	$0x42, %ah
	int	$0x13
	CHECK	nc, "no read"
	jmp	boot_compare

	.globl	floppy_geometry
floppy_geometry:
	mov	$0x0800, %ax
	xor	%dx, %dx
	xor	%di, %di
	int	$0x13
	CHECK	nc, "no answer"
	mov	%cx, %ax
	cmp	$0x4f12, %cx		/* 80 tracks, 18 sectors */
	CHECK	e, "tracks and sectors"
	mov	%dx, %ax
	cmp	$0x0101, %dx		/* 2 sides, one drive */
	CHECK	e, "sides and drives"
	cmp	$4, %bl
	CHECK	e, "not a drive of 1.44 MB"
	cmpb	$2, %es:3(%di)
	CHECK	e, "the table's bytes a sector"
	cmpb	$18, %es:4(%di)
	CHECK	e, "the table's sectors a track"
	ret

	.globl	floppy_write_and_read
floppy_write_and_read:
	mov	$0x5aa5, %bx
	call	fill
	mov	$0x0302, %ax
	mov	$TRACK << 8 | 17, %cx
	mov	$0x0100, %dx
	call	transfer
	CHECK	nc, "no write"
	cmp	$2, %al
	CHECK	e, "not two sectors written"
	mov	$0x0402, %ax
	mov	$TRACK << 8 | 17, %cx
	mov	$0x0100, %dx
	call	transfer
	CHECK	nc, "no verification"
	call	clear
	mov	$0x0202, %ax
	mov	$TRACK << 8 | 17, %cx
	mov	$0x0100, %dx
	call	transfer
	CHECK	nc, "no read"
	mov	$0x5aa5, %bx
	call	matches
	CHECK	e, "something else came back"
	ret

/* The error stays to be asked for, until all is well again. */
	.globl	floppy_errors
floppy_errors:
	mov	$0x0201, %ax
	mov	$TRACK << 8 | 19, %cx
	xor	%dx, %dx
	call	transfer
	CHECK	c, "sector 19 was read"
	mov	%ah, error
	mov	$0x0100, %ax
	xor	%dx, %dx
	int	$0x13
	CHECK	c, "the status has no error"
	cmp	error, %ah
	CHECK	e, "the status is not that of the read"
	mov	$0x0201, %ax
	mov	$100 << 8 | 1, %cx
	xor	%dx, %dx
	call	transfer
	CHECK	c, "track 100 was read"
	mov	$0x0201, %ax
	mov	$1, %cx
	mov	$1, %dx
	call	transfer
	CHECK	c, "drive B was read"
	xor	%ax, %ax
	xor	%dx, %dx
	int	$0x13
	CHECK	nc, "no reset"
	mov	$0x0201, %ax
	mov	$1, %cx
	xor	%dx, %dx
	call	transfer
	CHECK	nc, "no read after the errors"
	mov	$0x0100, %ax
	xor	%dx, %dx
	int	$0x13
	CHECK	nc, "the status has an error still"
	ret

/* The other disk has another mark. */
	.globl	floppy_change
floppy_change:
	mov	$0x0201, %ax
	mov	$TRACK << 8 | 1, %cx
	xor	%dx, %dx
	call	transfer
	CHECK	nc, "no read of the first disk"
	push	$BUFFER_SEG
	pop	%es
	mov	%es:0, %ax
	cmp	$0x3141, %ax
	CHECK	e, "the first disk's mark"
	mov	$0x3f2, %dx		/* the motor is on for the drive to tell */
	mov	$0x1c, %al
	out	%al, %dx
	ASK	"insert other"
	mov	BDA_TICKS, %cx
	mov	$0x3f7, %dx
1:	mov	BDA_TICKS, %bx
	sub	%cx, %bx
	cmp	$PATIENCE, %bx
	CHECK	b, "no disk change to be seen in a minute"
	in	%dx, %al
	test	$0x80, %al
	jz	1b
	mov	$5, %bp			/* a program tries again, as the first read may say `changed' */
2:	push	%bp
	mov	$0x0201, %ax
	mov	$TRACK << 8 | 1, %cx
	xor	%dx, %dx
	call	transfer
	pop	%bp
	jnc	3f
	xor	%ax, %ax
	xor	%dx, %dx
	int	$0x13
	dec	%bp
	CHECK	nz, "no read of the second disk"
	jmp	2b
3:	push	$BUFFER_SEG
	pop	%es
	mov	%es:0, %ax
	cmp	$0x3242, %ax
	CHECK	e, "the second disk's mark"
	mov	$0x0201, %ax		/* a step, which tells the drive that its disk is known */
	mov	$1, %cx
	xor	%dx, %dx
	call	transfer
	CHECK	nc, "no read of another track"
	mov	$0x3f2, %dx
	mov	$0x1c, %al
	out	%al, %dx
	mov	$0x3f7, %dx
	in	%dx, %al
	test	$0x80, %al
	CHECK	z, "still changed after a step"
	ret

/* What the BIOS makes of 16 MiB: 16 heads of 63 sectors. */
	.globl	disk_geometry
disk_geometry:
	mov	$0x0800, %ax
	mov	$HARD_DISK, %dx
	int	$0x13
	CHECK	nc, "no answer"
	cmp	$1, %dl
	CHECK	e, "not one drive"
	mov	%cx, %ax
	and	$0x3f, %cx
	mov	%cx, sectors
	xchg	%al, %ah
	shr	$6, %ah
	inc	%ax
	mov	%ax, cylinders
	mov	%dh, %al
	xor	%ah, %ah
	inc	%ax
	mov	%ax, heads
	mulw	sectors
	mulw	cylinders
	mov	%ax, product
	mov	%dx, product + 2
	cmp	$DISK_SECTORS >> 16, %dx
	CHECK	be, "more sectors than the disk has"
	mov	$0x1500, %ax
	mov	$HARD_DISK, %dx
	int	$0x13
	CHECK	nc, "no disk type"
	cmp	$3, %ah
	CHECK	e, "not a hard disk"
	mov	%dx, %ax
	sub	product, %ax		/* some leave the last cylinder to the drive's makers */
	CHECK	ae, "sectors of the type and of the geometry"
	ret

	.globl	disk_chs
disk_chs:
	call	disk_geometry
	mov	$0x1234, %bx
	call	fill
	mov	$0x0302, %ax
	mov	$0x0503, %cx
	mov	$0x0300 | HARD_DISK, %dx
	call	transfer
	CHECK	nc, "no write"
	mov	$0x0402, %ax
	mov	$0x0503, %cx
	mov	$0x0300 | HARD_DISK, %dx
	call	transfer
	CHECK	nc, "no verification"
	/* The same sectors by their number. */
	mov	$5, %ax
	mulw	heads
	add	$3, %ax
	mulw	sectors
	add	$2, %ax
	adc	$0, %dx
	mov	%ax, packet + 8
	mov	%dx, packet + 10
	call	clear
	mov	$0x4200, %ax
	call	by_packet
	CHECK	nc, "no read"
	mov	$0x1234, %bx
	call	matches
	CHECK	e, "CHS and LBA are different sectors"
	mov	$0x0201, %ax
	mov	cylinders, %cx		/* behind the last, and behind the one for its makers */
	inc	%cx
	xchg	%cl, %ch
	shl	$6, %cl
	or	$1, %cl
	mov	$HARD_DISK, %dx
	call	transfer
	CHECK	c, "a cylinder past the end was read"
	ret

by_packet:
	mov	$packet, %si
	mov	$HARD_DISK, %dl
	int	$0x13
	ret

	.globl	disk_extensions
disk_extensions:
	mov	$0x4100, %ax
	mov	$0x55aa, %bx
	mov	$HARD_DISK, %dl
	int	$0x13
	CHECK	nc, "no extensions"
	cmp	$0xaa55, %bx
	CHECK	e, "no signature"
	test	$1, %cl
	CHECK	nz, "no packets"
	movw	$0x1e, parameters
	mov	$0x4800, %ax
	mov	$HARD_DISK, %dl
	mov	$parameters, %si
	int	$0x13
	CHECK	nc, "no parameters"
	cmpw	$512, parameters + 24
	CHECK	e, "sectors are not of 512 bytes"
	cmpl	$DISK_SECTORS, parameters + 16
	CHECK	e, "not as many sectors as the disk has"

	/* The last two. */
	movl	$DISK_SECTORS - 2, packet + 8
	mov	$0x4321, %bx
	call	fill
	mov	$0x4300, %ax
	call	by_packet
	CHECK	nc, "no write"
	mov	$0x4400, %ax
	call	by_packet
	CHECK	nc, "no verification"
	call	clear
	mov	$0x4200, %ax
	call	by_packet
	CHECK	nc, "no read"
	mov	$0x4321, %bx
	call	matches
	CHECK	e, "something else came back"
	mov	$0x4700, %ax
	call	by_packet
	CHECK	nc, "no seek"

	/* One of them is past the end; then both. */
	movl	$DISK_SECTORS - 1, packet + 8
	mov	$0x4200, %ax
	call	by_packet
	CHECK	c, "read past the end"
	movl	$DISK_SECTORS, packet + 8
	mov	$0x4300, %ax
	call	by_packet
	CHECK	c, "written past the end"
	movl	$DISK_SECTORS - 2, packet + 8
	movw	$2, packet + 2
	mov	$0x4200, %ax
	call	by_packet
	CHECK	nc, "no read after the errors"
	ret

packet:		.word	16, 2
		.word	0, BUFFER_SEG
		.quad	0
packet_cd:	.word	16, 1
		.word	0, BUFFER_SEG
		.quad	CD_IMAGE_SECTOR
parameters:	.space	0x1e
error:		.byte	0
sectors:	.word	0
heads:		.word	0
cylinders:	.word	0
product:	.long	0
