/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the VGA's registers say about the picture (IBM PS/2 Hardware Interface Technical Reference,
 * Video Subsystem). Whatever they hold, sizes and addresses come out within bounds.
 */
#include "dev/video/video_int.h"

#include <string.h>

/* Sizes below this are those of a CRTC that nobody has programmed yet. */
enum { LEAST_DOTS = 32, BLANK_WIDTH = 640, BLANK_HEIGHT = 480 };

enum { CURSOR_BLINK_NS = 267000000, TEXT_BLINK_NS = 533000000 };

static uint32_t pixel_from(unsigned r, unsigned g, unsigned b)
{
	return r << 16 | g << 8 | b;
}

/* 6 bits to 8, so that the brightest is. */
static unsigned six_to_eight(unsigned v)
{
	return (v & 0x3f) << 2 | (v & 0x3f) >> 4;
}

static uint32_t dac_color(const struct vga *vga, unsigned index)
{
	const uint8_t *entry = vga->dac[index & vga->dac_mask];

	if (vga->vbe[VBE_ENABLE] & VBE_8_BIT_DAC)
		return pixel_from(entry[0], entry[1], entry[2]);
	return pixel_from(six_to_eight(entry[0]), six_to_eight(entry[1]), six_to_eight(entry[2]));
}

/* The attribute controller's way from 4 bits to the DAC's 8. */
static uint32_t attr_color(const struct vga *vga, unsigned index)
{
	unsigned select = vga->attr[ATTR_COLOR_SELECT];
	unsigned value = vga->attr[index & vga->attr[ATTR_PLANES] & 0xf] & 0x3f;

	if (vga->attr[ATTR_MODE] & ATTR_MODE_P54S)
		value = (value & 0xf) | (select & 3) << 4;
	return dac_color(vga, value | (select & 0xc) << 4);
}

static void get_colors(const struct vga *vga, struct vga_mode *mode)
{
	bool direct = mode->kind == VGA_PACKED || mode->kind == VGA_LINEAR;

	for (unsigned i = 0; i < (direct ? 256 : 16); i++)
		mode->colors[i] = direct ? dac_color(vga, i) : attr_color(vga, i);
}

static unsigned word_at(const struct vga *vga, unsigned high)
{
	return vga->crtc[high] << 8 | vga->crtc[high + 1];
}

/* 8 KiB a font; the fonts' numbers go round the plane's 64 KiB twice. */
static uint32_t font_offset(unsigned select)
{
	return ((select & 3) << 14 | (select & 4) << 11) * 4;
}

static void get_text(const struct vga *vga, int64_t now_ns, struct vga_mode *mode)
{
	unsigned fonts = vga->seq[SEQ_FONTS], start = vga->crtc[CRTC_CURSOR_START];
	unsigned flags = vga->attr[ATTR_MODE];

	/* Map B is for attributes without bit 3. */
	mode->fonts[0] = font_offset((fonts & 3) | (fonts >> 2 & 4));
	mode->fonts[1] = font_offset((fonts >> 2 & 3) | (fonts >> 3 & 4));
	mode->bright_background = !(flags & ATTR_MODE_BLINK);
	mode->blinked_out = now_ns / TEXT_BLINK_NS & 1;
	mode->line_graphics = flags & ATTR_MODE_LINE_GRAPHICS;
	mode->underline = flags & ATTR_MODE_MONO ? vga->crtc[CRTC_UNDERLINE] & 0x1f : 32;
	mode->cursor_on = !(start & CRTC_CURSOR_START_OFF) && !(now_ns / CURSOR_BLINK_NS & 1);
	mode->cursor = word_at(vga, CRTC_CURSOR_HIGH) * 4;
	mode->cursor_first = start & 0x1f;
	mode->cursor_last = vga->crtc[CRTC_CURSOR_END] & 0x1f;
}

static void get_pan(const struct vga *vga, struct vga_mode *mode)
{
	unsigned pan = vga->attr[ATTR_PAN];

	/* Of 9 dots, 8 is no shift, and 0 is one by one. */
	mode->pan = mode->word_dots == 9 ? (pan + 1) % 9 : pan & 7;
	mode->pan_top_only = vga->attr[ATTR_MODE] & ATTR_MODE_PAN_TOP_ONLY;
}

static void get_lines(const struct vga *vga, struct vga_mode *mode)
{
	const uint8_t *crtc = vga->crtc;
	unsigned compare = vga_vertical(vga, CRTC_LINE_COMPARE, 4, 4) & 0x1ff;

	compare |= crtc[CRTC_MAX_SCAN_LINE] & CRTC_MAX_SCAN_LINE_COMPARE_9 ? 0x200 : 0;
	mode->split = compare + 1;
	mode->row_scans = (crtc[CRTC_MAX_SCAN_LINE] & 0x1f) + 1;
	mode->double_scan = crtc[CRTC_MAX_SCAN_LINE] & CRTC_MAX_SCAN_LINE_DOUBLE ? 1 : 0;
	mode->first_row_scan = MIN(crtc[CRTC_PRESET_ROW_SCAN] & 0x1f, mode->row_scans - 1);
	mode->start = (word_at(vga, CRTC_START_HIGH) + (crtc[CRTC_PRESET_ROW_SCAN] >> 5 & 3)) * 4;
	mode->pitch = crtc[CRTC_OFFSET] * 8;
	/* The address bit where chained addresses have their bit 13 or 14. */
	mode->cga_shift = crtc[CRTC_MODE] & CRTC_MODE_NO_CGA ? 0
			  : crtc[CRTC_MODE] & CRTC_MODE_BYTE ? 15
							     : 14;
	mode->hercules_shift = crtc[CRTC_MODE] & CRTC_MODE_NO_HERCULES ? 0
			       : crtc[CRTC_MODE] & CRTC_MODE_BYTE      ? 16
								       : 15;
}

static enum vga_kind vga_kind(const struct vga *vga)
{
	if (!(vga->gfx[GFX_MISC] & GFX_MISC_GRAPHICS))
		return VGA_TEXT;
	if (vga->gfx[GFX_MODE] & GFX_MODE_256)
		return VGA_PACKED;
	return vga->gfx[GFX_MODE] & GFX_MODE_INTERLEAVED ? VGA_INTERLEAVED : VGA_PLANAR;
}

static void get_vga(const struct vga *vga, struct vga_mode *mode)
{
	unsigned clocking = vga->seq[SEQ_CLOCKING];

	mode->kind = vga_kind(vga);
	mode->mask = VGA_PLANES_SIZE - 1;
	mode->n_words = vga->crtc[CRTC_H_DISPLAY_END] + 1;
	mode->word_dots = mode->kind != VGA_TEXT || clocking & SEQ_CLOCKING_8_DOTS ? 8 : 9;
	mode->wide = clocking & SEQ_CLOCKING_HALF;
	mode->width = mode->n_words * mode->word_dots << mode->wide;
	mode->height = vga_vertical(vga, CRTC_V_DISPLAY_END, 1, 6) + 1;
	get_lines(vga, mode);
	get_pan(vga, mode);
}

static void get_vbe(const struct vga *vga, struct vga_mode *mode)
{
	unsigned bpp = vga->vbe[VBE_BPP];
	unsigned bits = bpp == 15 ? 16 : bpp;

	mode->kind = bpp == 4 ? VGA_PLANAR : VGA_LINEAR;
	mode->mask = VGA_VRAM_SIZE - 1;
	mode->bpp = bpp;
	mode->width = vga->vbe[VBE_XRES];
	mode->height = vga->vbe[VBE_YRES];
	mode->pitch = MAX(vga->vbe[VBE_VIRT_WIDTH], mode->width) * bits / 8;
	mode->start = vga->vbe[VBE_Y_OFFSET] * mode->pitch + vga->vbe[VBE_X_OFFSET] * bits / 8;
	mode->n_words = (mode->width * bits + 31) / 32;
	mode->word_dots = 8;
	mode->row_scans = 1;
	mode->split = UINT32_MAX;
	if (bpp == 4) {
		mode->pitch &= ~3u;
		mode->start &= ~3u;
		mode->pan = vga->vbe[VBE_X_OFFSET] % 8;
	}
}

static void get_blank(struct vga_mode *mode, unsigned width, unsigned height)
{
	memset(mode, 0, sizeof(*mode));
	mode->kind = VGA_BLANK;
	mode->width = width;
	mode->height = height;
}

static bool is_screen_on(const struct vga *vga)
{
	return vga->attr_index & ATTR_INDEX_SCREEN_ON &&
	       !(vga->seq[SEQ_CLOCKING] & SEQ_CLOCKING_SCREEN_OFF);
}

void vga_get_mode(const struct vga *vga, int64_t now_ns, struct vga_mode *mode)
{
	memset(mode, 0, sizeof(*mode));
	if (vbe_is_on(vga))
		get_vbe(vga, mode);
	else
		get_vga(vga, mode);
	mode->start &= mode->mask;
	if (mode->width < LEAST_DOTS || mode->height < LEAST_DOTS)
		get_blank(mode, BLANK_WIDTH, BLANK_HEIGHT);
	else if (!is_screen_on(vga))
		get_blank(mode, mode->width, mode->height);
	if (mode->kind == VGA_TEXT)
		get_text(vga, now_ns, mode);
	if (mode->kind != VGA_BLANK && mode->bpp <= 8)
		get_colors(vga, mode);
}
