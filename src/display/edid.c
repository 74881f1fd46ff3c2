/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "display/edid.h"

#include <glib.h>
#include <string.h>

#include "base/le.h"

/* Section 3: where what is in the block. */
enum {
	VENDOR = 0x08,
	YEAR = 0x11,
	VERSION = 0x12,
	INPUT = 0x14,
	WIDTH_CM = 0x15,
	HEIGHT_CM = 0x16,
	GAMMA = 0x17,
	FEATURES = 0x18,
	CHROMATICITY = 0x19,
	ESTABLISHED = 0x23,
	STANDARD = 0x26,
	DESCRIPTORS = 0x36,
	DESCRIPTOR_SIZE = 18,
	CHECKSUM = 0x7f,

	INPUT_DIGITAL_8_BITS = 0xa0,
	FEATURES_SRGB_PREFERRED = 0x06,
	DOTS_PER_INCH = 96,
	FIRST_YEAR = 1990,
};

/* Reduced blanking (VESA CVT 1.1, section 3.4.2) for 60 Hz. */
enum {
	H_BLANK = 160,
	H_FRONT = 48,
	H_SYNC = 32,
	V_FRONT = 3,
	V_SYNC = 6,
	V_BLANK_US = 460,
	REFRESH_HZ = 60,
};

static unsigned v_blank(unsigned height)
{
	/* The lines that take 460 us of a frame whose other lines are `height`. */
	unsigned frame_us = 1000000 / REFRESH_HZ;

	return height * V_BLANK_US / (frame_us - V_BLANK_US) + 1;
}

static unsigned millimetres(unsigned dots)
{
	return dots * 254 / (DOTS_PER_INCH * 10);
}

/* Section 3.10.2, detailed timing. */
static void put_timing(uint8_t *d, unsigned width, unsigned height)
{
	unsigned vb = v_blank(height);
	unsigned w_mm = millimetres(width), h_mm = millimetres(height);

	le16_store(d, (uint64_t)(width + H_BLANK) * (height + vb) * REFRESH_HZ / 10000);
	d[2] = width;
	d[3] = H_BLANK;
	d[4] = width >> 8 << 4 | H_BLANK >> 8;
	d[5] = height;
	d[6] = vb;
	d[7] = height >> 8 << 4 | vb >> 8;
	d[8] = H_FRONT;
	d[9] = H_SYNC;
	d[10] = V_FRONT << 4 | V_SYNC;
	d[12] = w_mm;
	d[13] = h_mm;
	d[14] = w_mm >> 8 << 4 | h_mm >> 8;
	d[17] = 0x1a; /* digital separate sync, horizontal positive */
}

/* Section 3.10.3: a descriptor that is no timing. */
static void put_text(uint8_t *d, uint8_t tag, const char *text)
{
	size_t len = strlen(text);

	g_assert(len < 13);
	d[3] = tag;
	memset(d + 5, ' ', 13);
	memcpy(d + 5, text, len);
	d[5 + len] = '\n';
}

static void put_range_limits(uint8_t *d)
{
	static const uint8_t limits[] = {
		0,    0,    0,	 0xfd, 0,   50,	 75,	   /* Hz */
		30,   160,				   /* kHz */
		65,					   /* 10 MHz */
		0x01, '\n', ' ', ' ',  ' ', ' ', ' ', ' ', /* limits only */
	};

	memcpy(d, limits, sizeof(limits));
}

/* Section 3.9; the aspect follows from the height. */
static void put_standard_timings(uint8_t *edid)
{
	static const struct {
		uint16_t width;
		uint8_t aspect; /* 0: 16:10, 1: 4:3, 2: 5:4, 3: 16:9 */
	} timings[] = {{1920, 3}, {1920, 0}, {1680, 0}, {1600, 1},
		       {1440, 0}, {1280, 2}, {1280, 0}, {1280, 3}};

	for (unsigned i = 0; i < G_N_ELEMENTS(timings); i++) {
		edid[STANDARD + 2 * i] = timings[i].width / 8 - 31;
		edid[STANDARD + 2 * i + 1] = timings[i].aspect << 6 | (REFRESH_HZ - 60);
	}
}

void edid_make(uint8_t edid[EDID_SIZE], unsigned width, unsigned height)
{
	/* sRGB's primaries and white point, section 3.7. */
	static const uint8_t srgb[] = {0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54};
	/* 640 x 480, 800 x 600 and 1024 x 768 at 60 Hz. */
	static const uint8_t established[] = {0x21, 0x08, 0x00};
	uint8_t *descriptor = edid + DESCRIPTORS, sum = 0;

	g_assert(width >= 640 && width <= 4095 && height >= 480 && height <= 4095);
	memset(edid, 0, EDID_SIZE);
	memset(edid + 1, 0xff, 6);
	/* "VIV", five bits a letter. */
	edid[VENDOR] = ('V' - '@') << 2 | ('I' - '@') >> 3;
	edid[VENDOR + 1] = (('I' - '@') << 5 | ('V' - '@')) & 0xff;
	edid[VENDOR + 2] = 1;
	edid[YEAR] = 2024 - FIRST_YEAR;
	edid[VERSION] = 1;
	edid[VERSION + 1] = 4;
	edid[INPUT] = INPUT_DIGITAL_8_BITS;
	edid[WIDTH_CM] = millimetres(width) / 10;
	edid[HEIGHT_CM] = millimetres(height) / 10;
	edid[GAMMA] = 220 - 100;
	edid[FEATURES] = FEATURES_SRGB_PREFERRED;
	memcpy(edid + CHROMATICITY, srgb, sizeof(srgb));
	memcpy(edid + ESTABLISHED, established, sizeof(established));
	put_standard_timings(edid);
	put_timing(descriptor, width, height);
	put_range_limits(descriptor + DESCRIPTOR_SIZE);
	put_text(descriptor + 2 * DESCRIPTOR_SIZE, 0xfc, "Vivarium");
	put_text(descriptor + 3 * DESCRIPTOR_SIZE, 0xff, "1");
	for (unsigned i = 0; i < CHECKSUM; i++)
		sum += edid[i];
	edid[CHECKSUM] = -sum;
}
