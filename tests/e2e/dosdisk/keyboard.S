/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys that the other side presses: what INT 16h makes of them; and the controller's own commands. */
#include "test.inc"

#define DATA		0x60
#define COMMAND		0x64
#define OUTPUT_FULL	1
#define INPUT_FULL	2
#define FLAGS		0x417		/* of the BIOS: shift 2, caps lock 40h */
#define HELD		0x418		/* and the key of caps lock itself */

/* What to ask for, INT 16h's function (0, or 10h, which knows more keys), and what it returns. */
.macro KEY line, function, value
	.byte	\function
	.word	\value
	.asciz	"\line"
.endm

keys:	KEY	"type a", 0, 0x1e61
	KEY	"type Z", 0, 0x2c5a
	KEY	"type 1", 0, 0x0231
	KEY	"type !", 0, 0x0221
	KEY	"press space", 0, 0x3920
	KEY	"press enter", 0, 0x1c0d
	KEY	"press esc", 0, 0x011b
	KEY	"press tab", 0, 0x0f09
	KEY	"press shift-tab", 0, 0x0f00
	KEY	"press backspace", 0, 0x0e08
	KEY	"press ctrl-c", 0, 0x2e03
	KEY	"press alt-a", 0, 0x1e00
	KEY	"press f1", 0, 0x3b00
	KEY	"press shift-f2", 0, 0x5500
	KEY	"press ctrl-f3", 0, 0x6000
	KEY	"press alt-f4", 0, 0x6b00
	KEY	"press f10", 0, 0x4400
	KEY	"press f12", 0x10, 0x8600
	KEY	"press up", 0, 0x4800
	KEY	"press up", 0x10, 0x48e0
	KEY	"press home", 0x10, 0x47e0
	KEY	"press pagedown", 0, 0x5100
	KEY	"press del", 0x10, 0x53e0
	KEY	"press ctrl-left", 0x10, 0x73e0
	KEY	"press ctrl-right", 0, 0x7400
	.byte	0xff

	.globl	keyboard_keys
keyboard_keys:
	mov	$keys, %si
1:	lodsb
	cmp	$0xff, %al
	je	3f
	mov	%al, %dh
	lodsw
	mov	%ax, %bp
	push	%dx
	call	tell_line
	pop	%dx
	mov	BDA_TICKS, %cx
2:	mov	BDA_TICKS, %bx
	sub	%cx, %bx
	cmp	$PATIENCE, %bx
	mov	%bp, %ax
	CHECK	b, "a key did not come in a minute"
	mov	%dh, %ah
	inc	%ah			/* is there one? */
	int	$0x16
	jz	2b
	mov	%dh, %ah
	int	$0x16
	cmp	%bp, %ax
	CHECK	e, "another key"
	jmp	1b
3:	ret

	.globl	keyboard_shifts
keyboard_shifts:
	testb	$0x42, FLAGS
	CHECK	z, "shifted before a key was pressed"
	ASK	"press shift-b"
	AWAIT	nz, testb $2, FLAGS
	mov	$0x0200, %ax
	int	$0x16
	AWAIT	z, testb $2, FLAGS
	xor	%ax, %ax
	int	$0x16
	cmp	$0x3042, %ax
	CHECK	e, "not a shifted b"
	ASK	"press capslock"
	AWAIT	nz, testb $0x40, FLAGS
	ASK	"type c"
	xor	%ax, %ax
	int	$0x16
	cmp	$0x2e43, %ax
	CHECK	e, "not a capital C"
	mov	$0x0200, %ax
	int	$0x16
	test	$0x40, %al
	CHECK	nz, "INT 16h does not know of the lock"
	ASK	"press capslock"
	AWAIT	z, testb $0x40, FLAGS
	AWAIT	z, testb $0x40, HELD	/* its release comes before the next test */
	ret

wait_input:
	in	$COMMAND, %al
	test	$INPUT_FULL, %al
	jnz	wait_input
	ret

/* AL */
send_command:
	push	%ax
	call	wait_input
	pop	%ax
	out	%al, $COMMAND
	ret

send_data:
	push	%ax
	call	wait_input
	pop	%ax
	out	%al, $DATA
	ret

output_full:
	in	$COMMAND, %al
	test	$OUTPUT_FULL, %al
	ret

/* AL. By the clock, as a device's byte takes its time on the wire. */
receive:
	AWAIT	nz, call output_full
	in	$DATA, %al
	ret

.macro ANSWER value
	call	receive
	cmp	$\value, %al
	CHECK	e, "the answer is not \value"
.endm

	.globl	keyboard_controller
keyboard_controller:
	in	$0x21, %al
	or	$2, %al
	out	%al, $0x21
	mov	$0x20, %al
	call	send_command
	call	receive
	mov	%al, command_byte
	test	$0x40, %al
	CHECK	nz, "scan codes are not translated"
	mov	$0xaa, %al
	call	send_command
	ANSWER	0x55
	mov	$0xab, %al
	call	send_command
	ANSWER	0x00
	mov	$0x60, %al
	call	send_command
	mov	command_byte, %al
	call	send_data
	mov	$0xee, %al		/* of the keyboard: echo */
	call	send_data
	ANSWER	0xee
	mov	$0xf2, %al		/* identify yourself: AB 83, of which 83h is translated */
	call	send_data
	ANSWER	0xfa
	ANSWER	0xab
	ANSWER	0x41
	mov	$0xed, %al		/* lamps */
	call	send_data
	ANSWER	0xfa
	xor	%al, %al
	call	send_data
	ANSWER	0xfa
	ret

command_byte:	.byte	0
