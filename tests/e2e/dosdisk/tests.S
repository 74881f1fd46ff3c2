/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tests, in this order; a row is a routine and its name. */
#include "test.inc"

.macro TEST name
	.word	\name
	.asciz	"\name"
.endm

	.globl	tests
tests:
	TEST	disk_boot_sector
	TEST	floppy_geometry
	TEST	floppy_write_and_read
	TEST	floppy_errors
	TEST	floppy_change
	TEST	disk_geometry
	TEST	disk_chs
	TEST	disk_extensions
	TEST	dma_read
	TEST	dma_boundary
	TEST	dma_end_of_track
	TEST	a20_of_port_92
	TEST	a20_of_8042
	TEST	a20_of_bios
	TEST	memory_map
	TEST	memory_move
	TEST	real_limit
	TEST	unreal
	TEST	v86
	TEST	keyboard_keys
	TEST	keyboard_shifts
	TEST	keyboard_controller
	TEST	pit_one_shot
	TEST	pit_tone
	TEST	timer_and_clock
	TEST	pic_mask
	TEST	pic_end_of_interrupt
	TEST	pic_poll
	TEST	bios_time
	TEST	bios_wait
	TEST	clock_alarm
	TEST	cmos_checksum
	TEST	text_attributes
	TEST	text_scrolling
	TEST	text_palette
	TEST	text_50_lines
	TEST	text_cursor
	TEST	mode_12h
	TEST	mode_13h
	TEST	mode_x
	TEST	mode_4
	TEST	text_split
	TEST	text_fonts
	TEST	bios_mode_01h
	TEST	bios_mode_05h
	TEST	bios_mode_06h
	TEST	bios_mode_07h
	TEST	bios_mode_0dh
	TEST	bios_mode_0eh
	TEST	bios_mode_0fh
	TEST	bios_mode_10h
	TEST	bios_mode_11h
	TEST	bios_mode_12h
	TEST	bios_mode_13h
	TEST	vbe_information
	TEST	vbe_state
	TEST	vbe_planes
	TEST	vbe_15
	TEST	vbe_16
	TEST	vbe_24
	TEST	vbe_linear
	TEST	vbe_banked
	TEST	vbe_edid
	.word	0

/* When it is not the floppy disk that was booted. */
	.globl	short_tests
short_tests:
	TEST	disk_boot_sector
	.word	0
