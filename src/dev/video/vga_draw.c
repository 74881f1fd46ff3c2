/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The picture, line by line as the CRTC does it. A line is drawn anew where a page that it is
 * fetched from is dirty, into a buffer first: what is the same as on the screen is no damage.
 */
#include "dev/video/video_int.h"

#include <string.h>

#include "base/le.h"
#include "display/display.h"

/* 256 words of 9 dots, each twice, and a word more for panning; VBE's lines are shorter. */
#define MAX_DOTS       (257 * 9 * 2)
#define MAX_LINE_BYTES (VBE_MAX_XRES * 4 + 4)

/* Where the display is. */
struct scan {
	uint32_t row;	   /* byte address of the row */
	unsigned row_scan; /* line in it */
	unsigned repeat;   /* of a doubled line */
	unsigned pan;
};

struct line {
	uint32_t address;
	unsigned row_scan;
	unsigned n_words;
	const uint8_t *bytes;
	uint32_t *out;
};

typedef void (*draw_fn)(const struct vga *vga, const struct vga_mode *mode,
			const struct line *line);

static void draw_cell(const struct vga *vga, const struct vga_mode *mode, const struct line *line,
		      unsigned column)
{
	const uint8_t *cell = line->bytes + column * 4;
	uint8_t ch = cell[0], attr = cell[1];
	uint32_t font = mode->fonts[attr >> 3 & 1];
	unsigned glyph = vga->vram[font + (ch * 32 + line->row_scan) * 4 + 2];
	uint32_t fg = mode->colors[attr & 0xf];
	uint32_t bg = mode->colors[mode->bright_background ? attr >> 4 : attr >> 4 & 7];
	uint32_t *out = line->out + column * mode->word_dots;
	uint32_t address = (line->address + column * 4) & mode->mask;

	if ((attr & 7) == 1 && line->row_scan == mode->underline)
		glyph = 0xff;
	if (attr & 0x80 && !mode->bright_background && mode->blinked_out)
		glyph = 0;
	/* The ninth dot repeats the eighth in characters that draw lines. */
	glyph = glyph << 1 | (glyph & 1 && mode->line_graphics && ch >= 0xc0 && ch <= 0xdf);
	if (mode->cursor_on && address == mode->cursor && line->row_scan >= mode->cursor_first &&
	    line->row_scan <= mode->cursor_last)
		glyph = 0x1ff;
	for (unsigned i = 0; i < mode->word_dots; i++)
		out[i] = glyph << i & 0x100 ? fg : bg;
}

static void draw_text(const struct vga *vga, const struct vga_mode *mode, const struct line *line)
{
	for (unsigned column = 0; column < line->n_words; column++)
		draw_cell(vga, mode, line, column);
}

/* The bits of a byte, the leftmost first, as eight bytes of 0 and 1. */
static uint64_t spread_bits(uint8_t byte)
{
	uint64_t bits = byte * 0x0101010101010101ull & 0x0102040810204080ull;

	return (bits + 0x7f7f7f7f7f7f7f7full) >> 7 & 0x0101010101010101ull;
}

static void draw_planar(const struct vga *vga, const struct vga_mode *mode, const struct line *line)
{
	uint32_t *out = line->out;

	for (unsigned i = 0; i < line->n_words; i++) {
		const uint8_t *word = line->bytes + i * 4;
		uint64_t dots = spread_bits(word[0]) | spread_bits(word[1]) << 1 |
				spread_bits(word[2]) << 2 | spread_bits(word[3]) << 3;

		for (unsigned dot = 0; dot < 8; dot++, dots >>= 8)
			*out++ = mode->colors[dots & 0xf];
	}
}

/* Planes 0 and 1 hold a dot's low bits, four dots each; 2 and 3 its high bits. */
static void draw_interleaved(const struct vga *vga, const struct vga_mode *mode,
			     const struct line *line)
{
	uint32_t *out = line->out;

	for (unsigned i = 0; i < line->n_words * 2; i++) {
		const uint8_t *bytes = line->bytes + i / 2 * 4 + i % 2;

		for (int shift = 6; shift >= 0; shift -= 2)
			*out++ = mode->colors[(bytes[0] >> shift & 3) | (bytes[2] >> shift & 3)
										<< 2];
	}
}

static void draw_packed(const struct vga *vga, const struct vga_mode *mode, const struct line *line)
{
	for (unsigned i = 0; i < line->n_words * 4; i++)
		line->out[2 * i] = line->out[2 * i + 1] = mode->colors[line->bytes[i]];
}

/* `bits` of a colour, from `shift` on, to 8, so that the brightest is. */
static uint32_t widen(unsigned pixel, unsigned shift, unsigned bits)
{
	unsigned v = pixel >> shift & ((1u << bits) - 1);

	return v << (8 - bits) | v >> (2 * bits - 8);
}

static void draw_16(const struct vga_mode *mode, const struct line *line)
{
	unsigned green = mode->bpp == 15 ? 5 : 6;

	for (unsigned i = 0; i < mode->width; i++) {
		unsigned pixel = le16_load(line->bytes + 2 * i);

		line->out[i] = widen(pixel, 5 + green, 5) << 16 | widen(pixel, 5, green) << 8 |
			       widen(pixel, 0, 5);
	}
}

static void draw_linear(const struct vga *vga, const struct vga_mode *mode, const struct line *line)
{
	const uint8_t *in = line->bytes;

	switch (mode->bpp) {
	case 8:
		for (unsigned i = 0; i < mode->width; i++)
			line->out[i] = mode->colors[in[i]];
		break;
	case 15:
	case 16:
		draw_16(mode, line);
		break;
	case 24:
		for (unsigned i = 0; i < mode->width; i++)
			line->out[i] = le16_load(in + 3 * i) | (uint32_t)in[3 * i + 2] << 16;
		break;
	case 32:
		for (unsigned i = 0; i < mode->width; i++)
			line->out[i] = le32_load(in + 4 * i) & 0xffffff;
		break;
	}
}

static const draw_fn draw_line[] = {
	[VGA_TEXT] = draw_text,
	[VGA_PLANAR] = draw_planar,
	[VGA_INTERLEAVED] = draw_interleaved,
	[VGA_PACKED] = draw_packed,
	[VGA_LINEAR] = draw_linear,
};

/* The bytes of a line, in one piece also where it goes around the memory's end. */
static const uint8_t *fetch(const struct vga *vga, const struct vga_mode *mode, uint32_t address,
			    unsigned len, uint8_t *buffer)
{
	uint32_t left = mode->mask + 1 - address;

	if (len <= left)
		return vga->vram + address;
	memcpy(buffer, vga->vram + address, left);
	memcpy(buffer + left, vga->vram, len - left);
	return buffer;
}

static void double_dots(uint32_t *dots, unsigned n)
{
	for (unsigned i = n; i-- > 0;)
		dots[2 * i] = dots[2 * i + 1] = dots[i];
}

static void first_scan(const struct vga_mode *mode, struct scan *scan)
{
	*scan = (struct scan){mode->start, mode->first_row_scan, 0, mode->pan};
}

/* To line y from the one before. */
static void next_scan(const struct vga_mode *mode, struct scan *scan, unsigned y)
{
	if (y == mode->split) {
		*scan = (struct scan){.pan = mode->pan_top_only ? 0 : mode->pan};
		return;
	}
	if (scan->repeat++ < mode->double_scan)
		return;
	scan->repeat = 0;
	if (++scan->row_scan < mode->row_scans)
		return;
	scan->row_scan = 0;
	scan->row = (scan->row + mode->pitch) & mode->mask;
}

/* `bit` of the row scan counter in the place of an address bit. */
static uint32_t replace_bit(uint32_t address, unsigned shift, unsigned row_scan, unsigned bit)
{
	if (!shift)
		return address;
	return (address & ~(1u << shift)) | (row_scan >> bit & 1) << shift;
}

static uint32_t line_address(const struct vga_mode *mode, const struct scan *scan)
{
	uint32_t address = replace_bit(scan->row, mode->cga_shift, scan->row_scan, 0);

	return replace_bit(address, mode->hercules_shift, scan->row_scan, 1) & mode->mask;
}

static bool is_dirty(const uint64_t *dirty, const struct vga_mode *mode, uint32_t address,
		     unsigned len)
{
	uint32_t pages = (mode->mask + 1) / MEM_PAGE_SIZE;
	uint32_t first = address / MEM_PAGE_SIZE, last = (address + len - 1) / MEM_PAGE_SIZE;

	for (uint32_t page = first; page <= last; page++)
		if (dirty[page % pages / 64] >> page % 64 & 1)
			return true;
	return false;
}

static void draw(const struct vga *vga, const struct vga_mode *mode, const uint64_t *dirty,
		 struct display *display)
{
	g_autofree uint32_t *dots = g_new(uint32_t, MAX_DOTS);
	g_autofree uint8_t *buffer = g_malloc(MAX_LINE_BYTES);
	struct line line = {.out = dots};
	struct scan scan;

	first_scan(mode, &scan);
	for (unsigned y = 0; y < mode->height; y++) {
		if (y)
			next_scan(mode, &scan, y);
		line.address = line_address(mode, &scan);
		line.row_scan = scan.row_scan;
		line.n_words = mode->n_words + (scan.pan != 0);
		if (dirty && !is_dirty(dirty, mode, line.address, line.n_words * 4))
			continue;
		line.bytes = fetch(vga, mode, line.address, line.n_words * 4, buffer);
		draw_line[mode->kind](vga, mode, &line);
		if (mode->wide)
			double_dots(dots, line.n_words * mode->word_dots);
		display_put_line(display, y, dots + (scan.pan << mode->wide));
	}
}

static void draw_blank(const struct vga_mode *mode, struct display *display)
{
	memset(display_pixels(display), 0, (size_t)mode->width * mode->height * sizeof(uint32_t));
	display_damage(display, 0, 0, mode->width, mode->height);
}

/* The planes' first 256 KiB, where cells and fonts are. */
static bool is_text_dirty(const uint64_t *dirty)
{
	G_STATIC_ASSERT(VGA_PLANES_SIZE / MEM_PAGE_SIZE == 64);
	return dirty[0];
}

void vga_prepare(void *opaque)
{
	mem_bank_collect(((struct vga *)opaque)->bank);
}

void vga_update(void *opaque, struct display *display)
{
	struct vga *vga = opaque;
	uint64_t dirty[VGA_DIRTY_WORDS];
	struct vga_mode mode;
	bool all;

	mem_bank_take(vga->bank, dirty);
	vga_get_mode(vga, clock_now_ns(vga->pci.device.env->clock), &mode);
	all = display_set_size(display, mode.width, mode.height);
	all |= memcmp(&mode, &vga->drawn, sizeof(mode)) != 0;
	vga->drawn = mode;
	if (mode.kind == VGA_BLANK) {
		if (all)
			draw_blank(&mode, display);
	} else if (mode.kind == VGA_TEXT) {
		if (all || is_text_dirty(dirty))
			draw(vga, &mode, NULL, display);
	} else {
		draw(vga, &mode, all ? NULL : dirty, display);
	}
}

/* Unicode of code page 437, the fonts' character set, where it is not ASCII: 0 to 1Fh, and from 7Fh
 * on. */
static const uint16_t cp437_low[] = {
	0x0020, 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022, 0x25d8, 0x25cb, 0x25d9,
	0x2642, 0x2640, 0x266a, 0x266b, 0x263c, 0x25ba, 0x25c4, 0x2195, 0x203c, 0x00b6, 0x00a7,
	0x25ac, 0x21a8, 0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc,
};
static const uint16_t cp437_high[] = {
	0x2302, 0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb,
	0x00e8, 0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6,
	0x00f2, 0x00fb, 0x00f9, 0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192,
	0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba, 0x00bf, 0x2310, 0x00ac,
	0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb, 0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561,
	0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510, 0x2514,
	0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569, 0x2566,
	0x2560, 0x2550, 0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553,
	0x256b, 0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580, 0x03b1, 0x00df,
	0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4, 0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e,
	0x03c6, 0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
	0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x0020,
};

static gunichar unicode_of(uint8_t ch)
{
	if (ch < 0x20)
		return cp437_low[ch];
	return ch < 0x7f ? ch : cp437_high[ch - 0x7f];
}

static void append_row(const struct vga *vga, const struct vga_mode *mode, uint32_t row,
		       GString *out)
{
	gsize end = out->len;

	for (unsigned column = 0; column < mode->n_words; column++) {
		gunichar ch = unicode_of(vga->vram[(row + column * 4) & mode->mask]);

		g_string_append_unichar(out, ch);
		if (ch != ' ')
			end = out->len;
	}
	g_string_truncate(out, end);
	g_string_append_c(out, '\n');
}

bool vga_text(void *opaque, GString *out)
{
	const struct vga *vga = opaque;
	struct vga_mode mode;
	unsigned rows;

	vga_get_mode(vga, 0, &mode);
	if (mode.kind != VGA_TEXT)
		return false;
	rows = mode.height / (mode.row_scans << mode.double_scan);
	for (unsigned i = 0; i < rows; i++)
		append_row(vga, &mode, (mode.start + i * mode.pitch) & mode.mask, out);
	return true;
}
