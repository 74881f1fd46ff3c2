/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processor's way to video memory at A0000h to BFFFFh: sequencer and graphics controller (IBM
 * PS/2 Hardware Interface Technical Reference, Video Subsystem, "Graphics Controller").
 *
 * An address stands for one word, a byte in each of the planes, and for some of the planes. Writes
 * go byte by byte through rotation, set/reset, the logic unit with the latches, bit mask and map
 * mask; reads fill the latches.
 */
#include "dev/video/video_int.h"

#include <string.h>

#include "base/le.h"

/* From A0000h, by bits 2 and 3 of the miscellaneous graphics register. */
static const struct {
	uint32_t first, len;
} windows[] = {{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};

enum { LINEAR_WINDOW = 0x10000 };

/* One byte as the processor addresses it. */
struct place {
	uint32_t word; /* byte offset in video memory */
	unsigned planes;
};

static bool is_open(const struct vga *vga, uint64_t offset)
{
	unsigned map = vga->gfx[GFX_MISC] >> 2 & 3;

	if (!(vga->misc & MISC_RAM))
		return false;
	if (vbe_is_linear(vga))
		return offset < LINEAR_WINDOW;
	return offset - windows[map].first < windows[map].len;
}

static bool is_chained(const struct vga *vga)
{
	return vga->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN_4;
}

static struct place place_of(const struct vga *vga, uint64_t offset, bool odd_even)
{
	uint32_t at = offset - windows[vga->gfx[GFX_MISC] >> 2 & 3].first;
	/* VBE's planes are larger than 64 KiB and have banks of it. */
	uint32_t base = vbe_is_on(vga) ? vga->vbe[VBE_BANK] << 16 : 0;
	uint32_t mask = vbe_is_on(vga) ? VGA_VRAM_SIZE - 1 : VGA_PLANES_SIZE - 1;

	if (is_chained(vga))
		return (struct place){(base + at) & mask & ~3u, 1u << (at & 3)};
	if (odd_even)
		return (struct place){(base + (at >> 1)) * 4 & mask, 5u << (at & 1)};
	return (struct place){(base + at) * 4 & mask, 0xf};
}

static uint8_t *linear(const struct vga *vga, uint64_t offset)
{
	return vga->vram + (vga->vbe[VBE_BANK] << 16) + offset;
}

/* Read mode 1: a bit for each dot, set where the planes that are cared for have the compared
 * colour. */
static uint8_t compare_colors(const struct vga *vga)
{
	uint32_t care = vga_plane_bytes(vga->gfx[GFX_COLOR_DONT_CARE]);
	uint32_t differ = (vga->latch ^ vga_plane_bytes(vga->gfx[GFX_COLOR_COMPARE])) & care;

	return ~(differ | differ >> 8 | differ >> 16 | differ >> 24);
}

static uint8_t read_byte(struct vga *vga, uint64_t offset)
{
	bool odd_even = vga->gfx[GFX_MODE] & GFX_MODE_ODD_EVEN;
	struct place place = place_of(vga, offset, odd_even);
	unsigned plane = vga->gfx[GFX_READ_MAP] & 3;

	vga->latch = le32_load(vga->vram + place.word);
	if (vga->gfx[GFX_MODE] & GFX_MODE_READ_COMPARE)
		return compare_colors(vga);
	if (is_chained(vga))
		plane = offset & 3;
	else if (odd_even)
		plane = (plane & 2) | (offset & 1);
	return vga->latch >> plane * 8;
}

static uint8_t rotate(const struct vga *vga, uint8_t value)
{
	unsigned count = vga->gfx[GFX_ROTATE] & 7;

	return value >> count | value << (8 - count);
}

/* Write modes 0, 2 and 3 differ in what goes into the logic unit and in the bit mask. */
static uint32_t combine(const struct vga *vga, uint8_t value)
{
	uint32_t set = vga_plane_bytes(vga->gfx[GFX_SET_RESET]);
	uint32_t is_set = vga_plane_bytes(vga->gfx[GFX_ENABLE_SET_RESET]);
	uint32_t data, mask = vga->gfx[GFX_BIT_MASK] * 0x01010101u;

	switch (vga->gfx[GFX_MODE] & 3) {
	case 0:
		data = rotate(vga, value) * 0x01010101u;
		data = (data & ~is_set) | (set & is_set);
		break;
	case 1:
		return vga->latch;
	case 2:
		data = vga_plane_bytes(value);
		break;
	default:
		data = set;
		mask &= rotate(vga, value) * 0x01010101u;
		break;
	}
	switch (vga->gfx[GFX_ROTATE] >> 3 & 3) {
	case 1:
		data &= vga->latch;
		break;
	case 2:
		data |= vga->latch;
		break;
	case 3:
		data ^= vga->latch;
		break;
	}
	return (data & mask) | (vga->latch & ~mask);
}

static uint32_t write_byte(struct vga *vga, uint64_t offset, uint8_t value)
{
	bool odd_even = !(vga->seq[SEQ_MEMORY] & SEQ_MEMORY_NO_ODD_EVEN);
	struct place place = place_of(vga, offset, odd_even);
	uint32_t planes = vga_plane_bytes(place.planes & vga->seq[SEQ_MAP_MASK]);
	uint8_t *word = vga->vram + place.word;

	le32_store(word, (combine(vga, value) & planes) | (le32_load(word) & ~planes));
	return place.word;
}

static uint64_t window_read(void *opaque, uint64_t offset, unsigned size)
{
	struct vga *vga = opaque;
	uint64_t value = 0;

	for (unsigned i = 0; i < size; i++) {
		uint8_t byte = 0xff;

		if (is_open(vga, offset + i))
			byte = vbe_is_linear(vga) ? *linear(vga, offset + i)
						  : read_byte(vga, offset + i);
		value |= (uint64_t)byte << i * 8;
	}
	return value;
}

static void window_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct vga *vga = opaque;
	uint32_t page = UINT32_MAX;

	for (unsigned i = 0; i < size; i++, value >>= 8) {
		uint32_t at;

		if (!is_open(vga, offset + i))
			continue;
		if (vbe_is_linear(vga)) {
			at = linear(vga, offset + i) - vga->vram;
			vga->vram[at] = value;
		} else {
			at = write_byte(vga, offset + i, value);
		}
		if (at / MEM_PAGE_SIZE != page)
			mem_bank_written(vga->bank, at & ~3u, 4);
		page = at / MEM_PAGE_SIZE;
	}
}

const struct bus_ops vga_window_ops = {window_read, window_write, 1, 8};
