/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bochs VBE, the "dispi" interface that Bochs' VGA BIOS defined: an index and a data register of 16
 * bits, by which any size and depth is set without CRTC timings. Values are kept as they were
 * written; what makes no sense is brought within bounds where it is used (vga_mode.c).
 */
#include "dev/video/video_int.h"

#include <string.h>

/* In bytes. */
static unsigned pixel_bits(const struct vga *vga)
{
	unsigned bpp = vga->vbe[VBE_BPP];

	return bpp == 15 ? 16 : bpp;
}

static uint16_t virtual_height(const struct vga *vga)
{
	uint64_t width = MAX(vga->vbe[VBE_VIRT_WIDTH], vga->vbe[VBE_XRES]);
	uint64_t line = width * pixel_bits(vga) / 8;

	return MIN(VGA_VRAM_SIZE / MAX(line, 1), UINT16_MAX);
}

uint16_t vbe_read(const struct vga *vga, unsigned index)
{
	bool caps = vga->vbe[VBE_ENABLE] & VBE_GET_CAPS;

	switch (index) {
	case VBE_XRES:
		return caps ? VBE_MAX_XRES : vga->vbe[index];
	case VBE_YRES:
		return caps ? VBE_MAX_YRES : vga->vbe[index];
	case VBE_BPP:
		return caps ? VBE_MAX_BPP : vga->vbe[index];
	case VBE_VIRT_HEIGHT:
		return virtual_height(vga);
	case VBE_MEMORY_64K:
		return VGA_VRAM_SIZE >> 16;
	default:
		return index < VBE_COUNT ? vga->vbe[index] : 0;
	}
}

static void write_enable(struct vga *vga, uint16_t value)
{
	bool begins = value & VBE_ENABLED && !vbe_is_on(vga);

	vga->vbe[VBE_ENABLE] = value;
	if (!begins)
		return;
	vga->vbe[VBE_VIRT_WIDTH] = vga->vbe[VBE_XRES];
	vga->vbe[VBE_X_OFFSET] = vga->vbe[VBE_Y_OFFSET] = vga->vbe[VBE_BANK] = 0;
	if (!(value & VBE_NO_CLEAR)) {
		uint64_t len =
			(uint64_t)vga->vbe[VBE_XRES] * vga->vbe[VBE_YRES] * pixel_bits(vga) / 8;

		len = MIN(len, VGA_VRAM_SIZE);
		memset(vga->vram, 0, len);
		mem_bank_written(vga->bank, 0, len);
	}
}

void vbe_write(struct vga *vga, unsigned index, uint16_t value)
{
	static const uint16_t bpps[] = {4, 8, 15, 16, 24, 32};

	switch (index) {
	case VBE_ID:
		if (value >= VBE_ID_FIRST && value <= VBE_ID_LAST)
			vga->vbe[index] = value;
		break;
	case VBE_XRES:
		vga->vbe[index] = CLAMP(value, 1, VBE_MAX_XRES);
		break;
	case VBE_YRES:
		vga->vbe[index] = CLAMP(value, 1, VBE_MAX_YRES);
		break;
	case VBE_BPP:
		/* 0 stands for 8 in the interface's first versions. */
		vga->vbe[index] = 8;
		for (unsigned i = 0; i < G_N_ELEMENTS(bpps); i++)
			if (bpps[i] == value)
				vga->vbe[index] = value;
		break;
	case VBE_ENABLE:
		write_enable(vga, value);
		break;
	case VBE_BANK:
		vga->vbe[index] = value % (VGA_VRAM_SIZE >> 16);
		break;
	case VBE_VIRT_WIDTH:
	case VBE_X_OFFSET:
	case VBE_Y_OFFSET:
		vga->vbe[index] = value;
		break;
	}
}

void vbe_reset(struct vga *vga)
{
	memset(vga->vbe, 0, sizeof(vga->vbe));
	vga->vbe_index = 0;
	vga->vbe[VBE_ID] = VBE_ID_LAST;
	vga->vbe[VBE_XRES] = vga->vbe[VBE_VIRT_WIDTH] = 640;
	vga->vbe[VBE_YRES] = 480;
	vga->vbe[VBE_BPP] = 8;
}

bool vbe_check(const struct vga *vga)
{
	struct vga copy = {0};

	for (unsigned i = 0; i < VBE_COUNT; i++) {
		if (i == VBE_ENABLE)
			continue;
		vbe_write(&copy, i, vga->vbe[i]);
		if (copy.vbe[i] != vga->vbe[i])
			return false;
	}
	return true;
}

/* The data register is at the odd port next to the index, and again at the even one after it. */
static uint64_t port_read(void *opaque, uint64_t offset, unsigned size)
{
	struct vga *vga = opaque;

	return offset == 0 ? vga->vbe_index : vbe_read(vga, vga->vbe_index);
}

static void port_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct vga *vga = opaque;

	if (offset == 0)
		vga->vbe_index = value;
	else
		vbe_write(vga, vga->vbe_index, value);
}

const struct bus_ops vbe_port_ops = {port_read, port_write, 1, 2};
