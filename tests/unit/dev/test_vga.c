/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets modes as a VGA BIOS does, register by register, writes to them as programs do, and looks at
 * the picture. With VGA_TEST_PICTURES=DIRECTORY each picture that is looked at is left there.
 */
#include "base/le.h"
#include "dev/pci/pci.h"
#include "dev/table.h"
#include "display/picture.h"

#include "rig.h"

#define WINDOW 0xa0000ull
#define TEXT   0xb8000ull

/* The BIOS's parameter tables, IBM PS/2 and PC BIOS Interface Technical Reference. */
struct parameters {
	uint8_t misc, seq[5], crtc[25], gfx[9], attr[21];
};

#define ATTR_16 0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f

static const struct parameters mode_03 = {
	0x67,
	{0x03, 0x00, 0x03, 0x00, 0x02},
	{0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
	 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
	{0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x00, 0xff},
	{ATTR_16, 0x0c, 0x00, 0x0f, 0x08, 0x00},
};
static const struct parameters mode_04 = {
	0x63,
	{0x03, 0x09, 0x03, 0x00, 0x02},
	{0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc1, 0x00, 0x00, 0x00,
	 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xa2, 0xff},
	{0x00, 0x00, 0x00, 0x00, 0x00, 0x30, 0x0f, 0x00, 0xff},
	{0x00, 0x13, 0x15, 0x17, 0x02, 0x04, 0x06, 0x07, 0x10, 0x11, 0x12,
	 0x13, 0x14, 0x15, 0x16, 0x17, 0x01, 0x00, 0x03, 0x00, 0x00},
};
static const struct parameters mode_0d = {
	0x63,
	{0x03, 0x09, 0x0f, 0x00, 0x06},
	{0x2d, 0x27, 0x28, 0x90, 0x2b, 0x80, 0xbf, 0x1f, 0x00, 0xc0, 0x00, 0x00, 0x00,
	 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x14, 0x00, 0x96, 0xb9, 0xe3, 0xff},
	{0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0f, 0xff},
	{0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x10, 0x11, 0x12,
	 0x13, 0x14, 0x15, 0x16, 0x17, 0x01, 0x00, 0x0f, 0x00, 0x00},
};
static const struct parameters mode_12 = {
	0xe3,
	{0x03, 0x01, 0x0f, 0x00, 0x06},
	{0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0x00, 0x00, 0x00,
	 0x00, 0x00, 0x00, 0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff},
	{0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0f, 0xff},
	{ATTR_16, 0x01, 0x00, 0x0f, 0x00, 0x00},
};
static const struct parameters mode_13 = {
	0x63,
	{0x03, 0x01, 0x0f, 0x00, 0x0e},
	{0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0x00, 0x00, 0x00,
	 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff},
	{0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x05, 0x0f, 0xff},
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x41, 0x00, 0x0f, 0x00, 0x00},
};

static struct rig *setup(void)
{
	return rig_new_row(rig_row_of(&vga_class));
}

static void seq(struct rig *rig, uint8_t index, uint8_t value)
{
	rig_out16(rig, 0x3c4, value << 8 | index);
}

static void gfx(struct rig *rig, uint8_t index, uint8_t value)
{
	rig_out16(rig, 0x3ce, value << 8 | index);
}

static void crtc(struct rig *rig, uint8_t index, uint8_t value)
{
	rig_out16(rig, 0x3d4, value << 8 | index);
}

static void attr(struct rig *rig, uint8_t index, uint8_t value)
{
	rig_in8(rig, 0x3da);
	rig_out8(rig, 0x3c0, index);
	rig_out8(rig, 0x3c0, value);
	rig_out8(rig, 0x3c0, 0x20);
}

static void set_dac(struct rig *rig, uint8_t index, uint8_t r, uint8_t g, uint8_t b)
{
	rig_out8(rig, 0x3c8, index);
	rig_out8(rig, 0x3c9, r);
	rig_out8(rig, 0x3c9, g);
	rig_out8(rig, 0x3c9, b);
}

/* The EGA's 64 colours: bits 0 to 2 are two thirds of blue, green and red, bits 3 to 5 one third.
 */
static void set_ega_palette(struct rig *rig)
{
	for (unsigned i = 0; i < 64; i++)
		set_dac(rig, i, (i >> 2 & 1) * 42 + (i >> 5 & 1) * 21,
			(i >> 1 & 1) * 42 + (i >> 4 & 1) * 21, (i & 1) * 42 + (i >> 3 & 1) * 21);
}

/* As the modes of 200 lines have them: bit 4 is for all three. */
static void set_cga_palette(struct rig *rig)
{
	for (unsigned i = 0; i < 8; i++)
		set_dac(rig, 0x10 | i, (i >> 2 & 1) * 42 + 21, (i >> 1 & 1) * 42 + 21,
			(i & 1) * 42 + 21);
}

static void set_mode(struct rig *rig, const struct parameters *p)
{
	rig_out8(rig, 0x3c2, p->misc);
	for (unsigned i = 0; i < 5; i++)
		seq(rig, i, p->seq[i]);
	crtc(rig, 0x11, 0);
	for (unsigned i = 0; i < 25; i++)
		crtc(rig, i, p->crtc[i]);
	for (unsigned i = 0; i < 9; i++)
		gfx(rig, i, p->gfx[i]);
	for (unsigned i = 0; i < 21; i++)
		attr(rig, i, p->attr[i]);
	set_ega_palette(rig);
}

static void poke(struct rig *rig, uint64_t at, uint8_t value)
{
	bus_write(rig->env.bus, BUS_MMIO, at, value, 1);
}

static uint8_t peek(struct rig *rig, uint64_t at)
{
	return bus_read(rig->env.bus, BUS_MMIO, at, 1);
}

static struct display_picture look(struct rig *rig, struct display_rect *rect, const char *name)
{
	const char *dir = g_getenv("VGA_TEST_PICTURES");
	struct display_picture picture;

	if (!display_refresh(rig->display, rect) && rect)
		*rect = (struct display_rect){0};
	display_get_picture(rig->display, &picture);
	if (dir && name) {
		g_autofree char *path = g_strdup_printf("%s/%s.png", dir, name);

		g_assert_true(picture_write_png(&picture, path, NULL));
	}
	return picture;
}

static uint32_t dot(const struct display_picture *p, unsigned x, unsigned y)
{
	g_assert_cmpuint(x, <, p->width);
	g_assert_cmpuint(y, <, p->height);
	return p->pixels[y * p->width + x];
}

static void assert_size(const struct display_picture *p, unsigned width, unsigned height)
{
	g_assert_cmpuint(p->width, ==, width);
	g_assert_cmpuint(p->height, ==, height);
}

static void assert_rect(const struct display_rect *r, unsigned x, unsigned y, unsigned w,
			unsigned h)
{
	g_assert_cmpuint(r->x, ==, x);
	g_assert_cmpuint(r->y, ==, y);
	g_assert_cmpuint(r->width, ==, w);
	g_assert_cmpuint(r->height, ==, h);
}

/* Writes the 16 lines of `ch`'s glyph to plane 2, as the BIOS does, and goes back to text. */
static void load_glyph(struct rig *rig, unsigned font_at, uint8_t ch, const uint8_t lines[16])
{
	seq(rig, 2, 0x04);
	seq(rig, 4, 0x07);
	gfx(rig, 5, 0x00);
	gfx(rig, 6, 0x04);
	for (unsigned i = 0; i < 16; i++)
		poke(rig, WINDOW + font_at + ch * 32 + i, lines[i]);
	seq(rig, 2, 0x03);
	seq(rig, 4, 0x03);
	gfx(rig, 5, 0x10);
	gfx(rig, 6, 0x0e);
}

static const uint8_t frame_glyph[16] = {0xff, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81,
					0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0x81, 0xff};
static const uint8_t bar_glyph[16] = {0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01,
				      0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01};

static void put_cell(struct rig *rig, unsigned column, unsigned row, uint8_t ch, uint8_t attribute)
{
	bus_write(rig->env.bus, BUS_MMIO, TEXT + (row * 80 + column) * 2, attribute << 8 | ch, 2);
}

static void clear_text(struct rig *rig)
{
	for (unsigned i = 0; i < 4000; i += 8)
		bus_write(rig->env.bus, BUS_MMIO, TEXT + i, 0x0720072007200720, 8);
}

static struct rig *setup_text(void)
{
	struct rig *rig = setup();

	set_mode(rig, &mode_03);
	load_glyph(rig, 0, 'A', frame_glyph);
	load_glyph(rig, 0, 0xb3, bar_glyph);
	load_glyph(rig, 0, 0xdf, bar_glyph);
	load_glyph(rig, 0, 0xe0, bar_glyph);
	clear_text(rig);
	crtc(rig, 0x0a, 0x20); /* no cursor */
	return rig;
}

static void test_text(void)
{
	struct rig *rig = setup_text();
	g_autoptr(GString) text = g_string_new(NULL);
	g_auto(GStrv) rows = NULL;
	struct display_picture p;
	struct display_rect rect;

	put_cell(rig, 0, 0, 'A', 0x1e);
	put_cell(rig, 79, 24, 'A', 0x07);
	put_cell(rig, 2, 1, 0xb3, 0x07);
	put_cell(rig, 3, 1, 0xdf, 0x07);
	put_cell(rig, 5, 1, 0xe0, 0x07);
	p = look(rig, &rect, "text");
	assert_size(&p, 720, 400);
	g_assert_cmphex(dot(&p, 0, 0), ==, 0xffff55);
	g_assert_cmphex(dot(&p, 1, 1), ==, 0x0000aa);
	g_assert_cmphex(dot(&p, 7, 15), ==, 0xffff55);
	g_assert_cmphex(dot(&p, 8, 15), ==, 0x0000aa);
	g_assert_cmphex(dot(&p, 718, 399), ==, 0xaaaaaa);
	g_assert_cmphex(dot(&p, 719, 399), ==, 0);
	/* Only characters C0h to DFh go on in the ninth dot. */
	g_assert_cmphex(dot(&p, 2 * 9 + 7, 16), ==, 0xaaaaaa);
	g_assert_cmphex(dot(&p, 2 * 9 + 8, 16), ==, 0);
	g_assert_cmphex(dot(&p, 3 * 9 + 8, 16), ==, 0xaaaaaa);
	g_assert_cmphex(dot(&p, 5 * 9 + 8, 16), ==, 0);

	g_assert_true(display_get_text(rig->display, text));
	rows = g_strsplit(text->str, "\n", 0);
	g_assert_cmpuint(g_strv_length(rows), ==, 26);
	g_assert_cmpstr(rows[0], ==, "A");
	g_assert_cmpstr(rows[1], ==, "  │▀ α");
	g_assert_cmpuint(strlen(rows[24]), ==, 80);

	/* Only what differs is damage. */
	look(rig, &rect, NULL);
	assert_rect(&rect, 0, 0, 0, 0);
	put_cell(rig, 10, 2, 'A', 0x07);
	look(rig, &rect, NULL);
	assert_rect(&rect, 90, 32, 8, 16);
	rig_free(rig);
}

static void test_cursor(void)
{
	struct rig *rig = setup_text();
	struct display_picture p;
	struct display_rect rect;

	look(rig, NULL, NULL);
	crtc(rig, 0x0a, 0x0d);
	crtc(rig, 0x0b, 0x0e);
	crtc(rig, 0x0e, 0);
	crtc(rig, 0x0f, 81);
	p = look(rig, &rect, "cursor");
	assert_rect(&rect, 9, 16 + 13, 9, 2);
	g_assert_cmphex(dot(&p, 17, 30), ==, 0xaaaaaa);
	/* It blinks. */
	clock_step(rig->env.clock, 300 * MS);
	p = look(rig, &rect, NULL);
	assert_rect(&rect, 9, 16 + 13, 9, 2);
	g_assert_cmphex(dot(&p, 17, 30), ==, 0);
	rig_free(rig);
}

static void test_attributes(void)
{
	struct rig *rig = setup_text();
	struct display_picture p;

	/* Blinking, or a bright background. */
	put_cell(rig, 0, 0, 'A', 0xc7);
	p = look(rig, NULL, NULL);
	g_assert_cmphex(dot(&p, 0, 0), ==, 0xaaaaaa);
	g_assert_cmphex(dot(&p, 1, 1), ==, 0xaa0000);
	clock_step(rig->env.clock, 600 * MS);
	p = look(rig, NULL, NULL);
	g_assert_cmphex(dot(&p, 0, 0), ==, 0xaa0000);
	attr(rig, 0x10, 0x04);
	p = look(rig, NULL, NULL);
	g_assert_cmphex(dot(&p, 0, 0), ==, 0xaaaaaa);
	g_assert_cmphex(dot(&p, 1, 1), ==, 0xff5555);
	/* The MDA's underline: attribute 1, at the CRTC's line. */
	put_cell(rig, 4, 0, ' ', 0x01);
	attr(rig, 0x10, 0x06);
	crtc(rig, 0x14, 0x0d);
	p = look(rig, NULL, NULL);
	g_assert_cmphex(dot(&p, 36, 12), ==, 0);
	g_assert_cmphex(dot(&p, 36, 13), ==, 0x0000aa);
	/* 512 characters: bit 3 picks the second font. */
	load_glyph(rig, 0x4000, 'A', bar_glyph);
	put_cell(rig, 0, 0, 'A', 0x0f);
	seq(rig, 3, 0x04);
	p = look(rig, NULL, NULL);
	g_assert_cmphex(dot(&p, 0, 0), ==, 0);
	g_assert_cmphex(dot(&p, 7, 0), ==, 0xffffff);
	/* 8 dots, 40 columns: each dot twice. */
	seq(rig, 1, 0x09);
	crtc(rig, 0x11, 0x0e);
	crtc(rig, 0x01, 39);
	crtc(rig, 0x13, 20);
	p = look(rig, NULL, NULL);
	assert_size(&p, 640, 400);
	g_assert_cmphex(dot(&p, 13, 0), ==, 0);
	g_assert_cmphex(dot(&p, 14, 0), ==, 0xffffff);
	g_assert_cmphex(dot(&p, 15, 0), ==, 0xffffff);
	g_assert_cmphex(dot(&p, 16, 0), ==, 0);
	rig_free(rig);
}

/* Start address, panning and the split that they do not reach. */
static void test_scrolling(void)
{
	struct rig *rig = setup_text();
	struct display_picture p;

	put_cell(rig, 1, 0, 'A', 0x07);
	put_cell(rig, 1, 1, 'A', 0x0c);
	crtc(rig, 0x0d, 80);
	p = look(rig, NULL, NULL);
	g_assert_cmphex(dot(&p, 9, 0), ==, 0xff5555);
	attr(rig, 0x13, 1); /* two dots */
	p = look(rig, NULL, NULL);
	g_assert_cmphex(dot(&p, 7, 0), ==, 0xff5555);
	g_assert_cmphex(dot(&p, 6, 0), ==, 0);
	/* Row scan 4 comes first. */
	crtc(rig, 0x08, 4);
	p = look(rig, NULL, NULL);
	g_assert_cmphex(dot(&p, 8, 0), ==, 0);
	g_assert_cmphex(dot(&p, 8, 11), ==, 0xff5555);
	/* Byte panning: a cell more. */
	crtc(rig, 0x0d, 79);
	crtc(rig, 0x08, 0x24);
	p = look(rig, NULL, NULL);
	g_assert_cmphex(dot(&p, 8, 11), ==, 0xff5555);
	/* From line 100 on. */
	crtc(rig, 0x18, 99);
	crtc(rig, 0x07, 0x0f);
	crtc(rig, 0x09, 0x0f);
	p = look(rig, NULL, "split");
	g_assert_cmphex(dot(&p, 7, 100), ==, 0xaaaaaa);
	attr(rig, 0x10, 0x2c);
	p = look(rig, NULL, NULL);
	g_assert_cmphex(dot(&p, 7, 0), ==, 0xff5555);
	g_assert_cmphex(dot(&p, 9, 100), ==, 0xaaaaaa);
	g_assert_cmphex(dot(&p, 8, 100), ==, 0);
	rig_free(rig);
}

static void test_planar(void)
{
	struct rig *rig = setup();
	struct display_picture p;
	struct display_rect rect;

	set_mode(rig, &mode_12);
	p = look(rig, NULL, NULL);
	assert_size(&p, 640, 480);
	/* Set/reset with a bit mask: a bright green dot at (3, 1). */
	gfx(rig, 0, 0x0a);
	gfx(rig, 1, 0x0f);
	gfx(rig, 8, 0x10);
	peek(rig, WINDOW + 80);
	poke(rig, WINDOW + 80, 0);
	p = look(rig, &rect, NULL);
	assert_rect(&rect, 3, 1, 1, 1);
	g_assert_cmphex(dot(&p, 3, 1), ==, 0x55ff55);
	/* Write mode 2: a colour for eight dots. */
	gfx(rig, 1, 0);
	gfx(rig, 8, 0xff);
	gfx(rig, 5, 2);
	poke(rig, WINDOW + 160, 0x0c);
	/* Write mode 1 moves it on. */
	gfx(rig, 5, 1);
	peek(rig, WINDOW + 160);
	poke(rig, WINDOW + 160 + 1, 0x55);
	p = look(rig, &rect, NULL);
	assert_rect(&rect, 0, 2, 16, 1);
	g_assert_cmphex(dot(&p, 15, 2), ==, 0xff5555);
	/* Write mode 3: the data are a mask, with a rotation. */
	gfx(rig, 5, 3);
	gfx(rig, 0, 0x01);
	gfx(rig, 3, 0x01);
	peek(rig, WINDOW + 160);
	poke(rig, WINDOW + 160, 0x01);
	p = look(rig, &rect, "planar");
	assert_rect(&rect, 0, 2, 1, 1);
	g_assert_cmphex(dot(&p, 0, 2), ==, 0x0000aa);
	/* The logic unit: exclusive or with the latches. */
	gfx(rig, 5, 2);
	gfx(rig, 3, 0x18);
	peek(rig, WINDOW + 160 + 1);
	poke(rig, WINDOW + 160 + 1, 0x0f);
	p = look(rig, NULL, NULL);
	g_assert_cmphex(dot(&p, 8, 2), ==, 0x00aaaa);
	/* The map mask leaves planes alone. */
	gfx(rig, 3, 0);
	gfx(rig, 5, 0);
	seq(rig, 2, 0x01);
	poke(rig, WINDOW + 160 + 1, 0x00);
	p = look(rig, NULL, NULL);
	g_assert_cmphex(dot(&p, 8, 2), ==, 0x00aa00);
	/* Reads: a plane, or a comparison with colour 2 that does not care for plane 0. */
	gfx(rig, 4, 1);
	g_assert_cmphex(peek(rig, WINDOW + 161), ==, 0xff);
	gfx(rig, 4, 3);
	g_assert_cmphex(peek(rig, WINDOW + 161), ==, 0x00);
	/* The processor reads planes 2 and 3 by odd and even addresses, too. */
	seq(rig, 2, 0x0c);
	poke(rig, WINDOW + 50, 0x3c);
	gfx(rig, 4, 2);
	gfx(rig, 5, 0x10);
	g_assert_cmphex(peek(rig, WINDOW + 100), ==, 0x3c);
	g_assert_cmphex(peek(rig, WINDOW + 101), ==, 0x3c);
	poke(rig, WINDOW + 50, 0);
	gfx(rig, 5, 8);
	gfx(rig, 2, 2);
	gfx(rig, 7, 0x0e);
	g_assert_cmphex(peek(rig, WINDOW + 161), ==, 0xff);
	g_assert_cmphex(peek(rig, WINDOW + 160), ==, 0x00);
	/* The colour select register's two halves: bits 4 and 5 if asked for, 6 and 7 always. */
	attr(rig, 0x10, 0x81);
	attr(rig, 0x14, 0x06);
	set_dac(rig, 0x62, 1, 2, 3);
	p = look(rig, NULL, NULL);
	g_assert_cmphex(dot(&p, 8, 2), ==, 0x04080c);
	rig_free(rig);
}

static void test_ega_and_cga(void)
{
	struct rig *rig = setup();
	struct display_picture p;

	set_mode(rig, &mode_0d);
	set_cga_palette(rig);
	gfx(rig, 5, 2);
	poke(rig, WINDOW + 40, 0x0e);
	p = look(rig, NULL, NULL);
	assert_size(&p, 640, 400);
	g_assert_cmphex(dot(&p, 0, 1), ==, 0);
	g_assert_cmphex(dot(&p, 0, 2), ==, 0xffff55);
	g_assert_cmphex(dot(&p, 15, 3), ==, 0xffff55);
	g_assert_cmphex(dot(&p, 16, 3), ==, 0);
	poke(rig, WINDOW + 40, 0);

	/* Odd rows are at 2000h. */
	set_mode(rig, &mode_04);
	set_cga_palette(rig);
	poke(rig, TEXT, 0x1b);
	poke(rig, TEXT + 0x2000 + 1, 0xc0);
	p = look(rig, NULL, "cga");
	assert_size(&p, 640, 400);
	g_assert_cmphex(dot(&p, 0, 0), ==, 0);
	g_assert_cmphex(dot(&p, 2, 0), ==, 0x55ffff);
	g_assert_cmphex(dot(&p, 4, 1), ==, 0xff55ff);
	g_assert_cmphex(dot(&p, 7, 1), ==, 0xffffff);
	g_assert_cmphex(dot(&p, 8, 2), ==, 0xffffff);
	g_assert_cmphex(dot(&p, 10, 2), ==, 0);
	rig_free(rig);
}

static void test_packed(void)
{
	struct rig *rig = setup();
	struct display_picture p;
	struct display_rect rect;

	set_mode(rig, &mode_13);
	set_dac(rig, 200, 63, 1, 32);
	look(rig, NULL, NULL);
	bus_write(rig->env.bus, BUS_MMIO, WINDOW + 320 * 100 + 16, 0x00c80000, 4);
	p = look(rig, &rect, "packed");
	assert_size(&p, 640, 400);
	assert_rect(&rect, 36, 200, 2, 2);
	g_assert_cmphex(dot(&p, 36, 201), ==, 0xff0482);
	g_assert_cmphex(peek(rig, WINDOW + 320 * 100 + 18), ==, 200);
	/* Beyond the window nothing answers. */
	g_assert_cmphex(peek(rig, WINDOW + 0x10000), ==, 0xff);

	/* Mode X: 320 x 240, four pixels an address; the old pixel is at plane 2 of 320 * 100 / 4
	 * + 4. */
	rig_out8(rig, 0x3c2, 0xe3);
	seq(rig, 4, 0x06);
	crtc(rig, 0x11, 0x2c);
	crtc(rig, 0x06, 0x0d);
	crtc(rig, 0x07, 0x3e);
	crtc(rig, 0x10, 0xea);
	crtc(rig, 0x11, 0xac);
	crtc(rig, 0x12, 0xdf);
	crtc(rig, 0x14, 0x00);
	crtc(rig, 0x15, 0xe7);
	crtc(rig, 0x16, 0x06);
	crtc(rig, 0x17, 0xe3);
	seq(rig, 2, 0x0a);
	poke(rig, WINDOW + 80 * 239, 200);
	p = look(rig, NULL, "mode_x");
	assert_size(&p, 640, 480);
	g_assert_cmphex(dot(&p, 36, 201), ==, 0xff0482);
	g_assert_cmphex(dot(&p, 0, 479), ==, 0);
	g_assert_cmphex(dot(&p, 2, 479), ==, 0xff0482);
	g_assert_cmphex(dot(&p, 4, 479), ==, 0);
	g_assert_cmphex(dot(&p, 7, 478), ==, 0xff0482);
	rig_free(rig);
}

static uint64_t bar(struct rig *rig, unsigned index)
{
	bus_write(rig->env.bus, BUS_PIO, 0xcf8,
		  1u << 31 | PCI_DEVFN(2, 0) << 8 | (PCI_BAR_0 + 4 * index), 4);
	return rig_in32(rig, 0xcfc) & ~0xfu;
}

static void vbe(struct rig *rig, uint16_t index, uint16_t value)
{
	rig_out16(rig, 0x1ce, index);
	rig_out16(rig, 0x1cf, value);
}

static uint16_t vbe_get(struct rig *rig, uint16_t index)
{
	rig_out16(rig, 0x1ce, index);
	return bus_read(rig->env.bus, BUS_PIO, 0x1cf, 2);
}

static void set_vbe_mode(struct rig *rig, unsigned width, unsigned height, unsigned bpp)
{
	vbe(rig, 4, 0);
	vbe(rig, 1, width);
	vbe(rig, 2, height);
	vbe(rig, 3, bpp);
	vbe(rig, 4, 0x41);
	rig_in8(rig, 0x3da);
	rig_out8(rig, 0x3c0, 0x20);
}

static void test_vbe(void)
{
	struct rig *rig = setup();
	struct display_picture p;
	struct display_rect rect;
	uint64_t lfb = bar(rig, 0);

	g_assert_cmphex(vbe_get(rig, 0), ==, 0xb0c5);
	vbe(rig, 0, 0xb0c2);
	g_assert_cmphex(vbe_get(rig, 0), ==, 0xb0c2);
	vbe(rig, 0, 0x1234);
	g_assert_cmphex(vbe_get(rig, 0), ==, 0xb0c2);
	g_assert_cmpuint(vbe_get(rig, 10), ==, 256);
	vbe(rig, 4, 2);
	g_assert_cmpuint(vbe_get(rig, 1), ==, 2560);

	set_vbe_mode(rig, 800, 600, 32);
	look(rig, NULL, NULL);
	bus_write(rig->env.bus, BUS_MMIO, lfb + (800 * 300 + 400) * 4, 0xff123456, 4);
	p = look(rig, &rect, "vbe");
	assert_size(&p, 800, 600);
	assert_rect(&rect, 400, 300, 1, 1);
	g_assert_cmphex(dot(&p, 400, 300), ==, 0x123456);
	/* A larger screen behind it, and a look at another place of that. */
	vbe(rig, 6, 1024);
	vbe(rig, 8, 10);
	vbe(rig, 9, 20);
	g_assert_cmpuint(vbe_get(rig, 7), ==, 4096);
	mem_write(rig->env.mem, lfb + (1024 * 25 + 12) * 4, &(uint32_t){0xabcdef}, 4);
	p = look(rig, NULL, NULL);
	g_assert_cmphex(dot(&p, 2, 5), ==, 0xabcdef);
	vbe(rig, 4, 0);
	vbe(rig, 4, 0xc1);
	g_assert_cmphex(bus_read(rig->env.bus, BUS_MMIO, lfb + (1024 * 25 + 12) * 4, 4), ==,
			0xabcdef);
	/* Without VBE_NO_CLEAR the memory is cleared. */
	set_vbe_mode(rig, 1024, 768, 16);
	p = look(rig, NULL, NULL);
	assert_size(&p, 1024, 768);
	g_assert_cmphex(bus_read(rig->env.bus, BUS_MMIO, lfb + (1024 * 25 + 12) * 4, 4), ==, 0);
	/* The last line, through the last bank. */
	rig_out8(rig, 0x3c2, 0x03);
	vbe(rig, 5, 1024 * 2 * 767 >> 16);
	bus_write(rig->env.bus, BUS_MMIO, WINDOW + (1024 * 2 * 767 & 0xffff), 0x07e0f800, 4);
	p = look(rig, &rect, NULL);
	assert_rect(&rect, 0, 767, 2, 1);
	g_assert_cmphex(dot(&p, 0, 767), ==, 0xff0000);
	g_assert_cmphex(dot(&p, 1, 767), ==, 0x00ff00);
	/* And the memory's last byte. */
	vbe(rig, 5, 0xff);
	poke(rig, WINDOW + 0xffff, 0x5a);
	g_assert_cmphex(bus_read(rig->env.bus, BUS_MMIO, lfb + (16 << 20) - 1, 1), ==, 0x5a);
	rig_free(rig);
}

/* A ROM keeps answering where video memory is laid over it, and is still there when that has gone. */
static void test_over_rom(void)
{
	enum { ROM_SIZE = 0x10000 };
	struct rig *rig = setup();
	struct mem *mem = rig->env.mem;
	struct mem_bank *rom = mem_bank_new(mem, ROM_SIZE, NULL);
	uint64_t at = MEM_HOLE_END - ROM_SIZE, lfb = MEM_HOLE_END - (16 << 20), old = bar(rig, 0);

	memset(mem_bank_data(rom), 0x90, ROM_SIZE);
	mem_show(mem, at, ROM_SIZE, rom, 0, MEM_READ);
	rig_config_write(rig, PCI_DEVFN(2, 0), PCI_BAR_0, lfb);
	g_assert_cmphex(*mem_hva(mem, at), ==, 0x90);
	g_assert_false(mem_write(mem, at, &(uint8_t){0}, 1));
	bus_write(rig->env.bus, BUS_MMIO, lfb, 0x5a, 1);
	rig_config_write(rig, PCI_DEVFN(2, 0), PCI_BAR_0, old);
	g_assert_true(mem_is_ram(mem, at));
	g_assert_cmphex(*mem_hva(mem, at), ==, 0x90);
	g_assert_cmphex(*mem_hva(mem, old), ==, 0x5a);
	rig_free(rig);
}

static void test_vbe_depths(void)
{
	static const struct {
		unsigned bpp;
		uint32_t expected[2];
	} depths[] = {
		{4, {0, 0}},
		{8, {0x030201, 0x060504}},
		{15, {0x42848c, 0x8c089c}},
		{16, {0x21418c, 0x42869c}},
		{24, {0x332211, 0x665544}},
		{32, {0x332211, 0x776655}},
	};
	static const uint8_t bytes[8] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88};

	for (unsigned i = 0; i < G_N_ELEMENTS(depths); i++) {
		struct rig *rig = setup();
		struct display_picture p;

		vbe(rig, 4, 0x20); /* 8 bits in the DAC */
		set_dac(rig, 0x11, 3, 2, 1);
		set_dac(rig, 0x22, 6, 5, 4);
		set_vbe_mode(rig, 640, 480, depths[i].bpp);
		vbe(rig, 4, 0xe1);
		mem_write(rig->env.mem, bar(rig, 0), bytes, sizeof(bytes));
		p = look(rig, NULL, NULL);
		assert_size(&p, 640, 480);
		if (depths[i].bpp != 4) {
			g_test_message("%u bits", depths[i].bpp);
			g_assert_cmphex(dot(&p, 0, 0), ==, depths[i].expected[0]);
			g_assert_cmphex(dot(&p, 1, 0), ==, depths[i].expected[1]);
		}
		rig_free(rig);
	}
}

static void test_mmio(void)
{
	static const uint8_t header[8] = {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0};
	struct rig *rig = setup();
	uint64_t mmio = bar(rig, 2);
	uint8_t sum = 0;

	for (unsigned i = 0; i < 128; i++) {
		sum += peek(rig, mmio + i);
		if (i < 8)
			g_assert_cmphex(peek(rig, mmio + i), ==, header[i]);
	}
	g_assert_cmphex(sum, ==, 0);
	/* As bochs-drm does: the dispi registers, and the attribute controller's index. */
	g_assert_cmphex(bus_read(rig->env.bus, BUS_MMIO, mmio + 0x500, 2), ==, 0xb0c5);
	g_assert_cmpuint(bus_read(rig->env.bus, BUS_MMIO, mmio + 0x514, 2), ==, 256);
	bus_write(rig->env.bus, BUS_MMIO, mmio + 0x502, 1280, 2);
	g_assert_cmpuint(vbe_get(rig, 1), ==, 1280);
	g_assert_cmpuint(bus_read(rig->env.bus, BUS_MMIO, mmio + 0x600, 4), ==, 8);
	g_assert_cmphex(bus_read(rig->env.bus, BUS_MMIO, mmio + 0x604, 4), ==, 0x1e1e1e1e);
	poke(rig, mmio + 0x400, 0x20);
	g_assert_cmphex(rig_in8(rig, 0x3c0), ==, 0x20);
	rig_free(rig);
}

static void test_registers(void)
{
	struct rig *rig = setup();

	/* CRTC and status are at one of two places. */
	rig_out8(rig, 0x3c2, 0x67);
	crtc(rig, 0x0f, 0x12);
	g_assert_cmphex(rig_in8(rig, 0x3b5), ==, 0xff);
	rig_out8(rig, 0x3c2, 0x66);
	g_assert_cmphex(rig_in8(rig, 0x3d5), ==, 0xff);
	g_assert_cmphex(rig_in8(rig, 0x3b5), ==, 0x12);
	rig_out8(rig, 0x3c2, 0x67);
	/* Protected, CRTC 0 to 7 keep all but the line compare bit. */
	crtc(rig, 0x11, 0x80);
	crtc(rig, 0x00, 0x55);
	g_assert_cmphex(rig_in8(rig, 0x3d5), ==, 0);
	crtc(rig, 0x07, 0xff);
	g_assert_cmphex(rig_in8(rig, 0x3d5), ==, 0x10);
	/* The DAC counts components and entries. */
	set_dac(rig, 5, 1, 2, 3);
	rig_out8(rig, 0x3c9, 0xff);
	g_assert_cmphex(rig_in8(rig, 0x3c7), ==, 0);
	rig_out8(rig, 0x3c7, 5);
	g_assert_cmphex(rig_in8(rig, 0x3c7), ==, 3);
	g_assert_cmphex(rig_in8(rig, 0x3c9), ==, 1);
	g_assert_cmphex(rig_in8(rig, 0x3c9), ==, 2);
	g_assert_cmphex(rig_in8(rig, 0x3c9), ==, 3);
	g_assert_cmphex(rig_in8(rig, 0x3c9), ==, 0);
	rig_free(rig);
}

/* 70.09 Hz, two lines of 449 in the vertical retrace. */
static void test_retrace(void)
{
	struct rig *rig = setup();
	unsigned frames = 0, in_retrace = 0, displaying = 0;
	bool before = false;

	set_mode(rig, &mode_03);
	for (unsigned i = 0; i < 100000; i++) {
		uint8_t status = rig_in8(rig, 0x3da);
		bool now = status & 8;

		frames += now && !before;
		in_retrace += now;
		displaying += !(status & 1);
		before = now;
		clock_step(rig->env.clock, 10000);
	}
	g_assert_cmpuint(frames, ==, 70);
	g_assert_cmpuint(in_retrace, >, 70 * 5);
	g_assert_cmpuint(in_retrace, <, 70 * 8);
	/* 80 of 100 characters, 400 of 449 lines. */
	g_assert_cmpuint(displaying, >, 70000);
	g_assert_cmpuint(displaying, <, 72500);
	rig_free(rig);
}

/* Pictures past the memory's end go around it. */
static void test_nonsense(void)
{
	struct rig *rig = setup();
	struct display_picture p;

	set_mode(rig, &mode_12);
	for (unsigned i = 0; i < 25; i++)
		crtc(rig, i, 0xff);
	crtc(rig, 0x11, 0);
	for (unsigned i = 0; i < 8; i++)
		crtc(rig, i, 0xff);
	attr(rig, 0x13, 7);
	seq(rig, 1, 0x09);
	p = look(rig, NULL, NULL);
	assert_size(&p, 4096, 1024);
	seq(rig, 1, 0x21);
	p = look(rig, NULL, NULL);
	assert_size(&p, 2048, 1024);
	vbe(rig, 1, 0xffff);
	vbe(rig, 2, 0xffff);
	vbe(rig, 3, 32);
	vbe(rig, 4, 0x01);
	vbe(rig, 6, 0xffff);
	vbe(rig, 8, 0xffff);
	vbe(rig, 9, 0xffff);
	seq(rig, 1, 0x01);
	p = look(rig, NULL, NULL);
	assert_size(&p, 2560, 1600);
	vbe(rig, 1, 0);
	vbe(rig, 2, 0);
	p = look(rig, NULL, NULL);
	assert_size(&p, 640, 480);
	rig_free(rig);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vga/text", test_text);
	g_test_add_func("/vga/cursor", test_cursor);
	g_test_add_func("/vga/attributes", test_attributes);
	g_test_add_func("/vga/scrolling", test_scrolling);
	g_test_add_func("/vga/planar", test_planar);
	g_test_add_func("/vga/ega-and-cga", test_ega_and_cga);
	g_test_add_func("/vga/packed", test_packed);
	g_test_add_func("/vga/vbe", test_vbe);
	g_test_add_func("/vga/over-rom", test_over_rom);
	g_test_add_func("/vga/vbe-depths", test_vbe_depths);
	g_test_add_func("/vga/mmio", test_mmio);
	g_test_add_func("/vga/registers", test_registers);
	g_test_add_func("/vga/retrace", test_retrace);
	g_test_add_func("/vga/nonsense", test_nonsense);
	return g_test_run();
}
