/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of the VGA: vga.c has its registers, vga_window.c the processor's way to its memory,
 * vga_mode.c what the registers say about the picture, vga_draw.c the picture, bochs_vbe.c the
 * extension past 640 x 480.
 *
 * Video memory holds the four planes' bytes of one address side by side: plane p of address a is
 * byte 4 * a + p. So each character clock of the display is one 32-bit word, whatever the mode, and
 * a chained processor address is the byte's own. The CRTC's word and doubleword modes only undo, in
 * the original, what chaining does there to addresses; here nothing needs to be undone.
 */
#ifndef VIV_DEV_VIDEO_VIDEO_INT_H
#define VIV_DEV_VIDEO_VIDEO_INT_H

#include "dev/pci/pci.h"
#include "display/edid.h"

#define VGA_VRAM_SIZE (16u << 20)
#define VGA_PLANES_SIZE                                                          \
	(256u << 10) /* what the VGA's own addresses reach: 64 KiB of each plane \
		      */
#define VGA_DIRTY_WORDS (VGA_VRAM_SIZE / MEM_PAGE_SIZE / 64)

/* Sequencer. */
enum {
	SEQ_CLOCKING = 1,
	SEQ_CLOCKING_8_DOTS = 0x01,
	SEQ_CLOCKING_HALF = 0x08,
	SEQ_CLOCKING_SCREEN_OFF = 0x20,
	SEQ_MAP_MASK = 2,
	SEQ_FONTS = 3,
	SEQ_MEMORY = 4,
	SEQ_MEMORY_NO_ODD_EVEN = 0x04,
	SEQ_MEMORY_CHAIN_4 = 0x08,
	SEQ_COUNT = 5,
};

/* CRT controller. */
enum {
	CRTC_H_TOTAL = 0x00,
	CRTC_H_DISPLAY_END = 0x01,
	CRTC_V_TOTAL = 0x06,
	CRTC_OVERFLOW = 0x07,
	CRTC_OVERFLOW_LINE_COMPARE_8 = 0x10,
	CRTC_PRESET_ROW_SCAN = 0x08,
	CRTC_MAX_SCAN_LINE = 0x09,
	CRTC_MAX_SCAN_LINE_COMPARE_9 = 0x40,
	CRTC_MAX_SCAN_LINE_DOUBLE = 0x80,
	CRTC_CURSOR_START = 0x0a,
	CRTC_CURSOR_START_OFF = 0x20,
	CRTC_CURSOR_END = 0x0b,
	CRTC_START_HIGH = 0x0c,
	CRTC_START_LOW = 0x0d,
	CRTC_CURSOR_HIGH = 0x0e,
	CRTC_CURSOR_LOW = 0x0f,
	CRTC_V_RETRACE_START = 0x10,
	CRTC_V_RETRACE_END = 0x11,
	CRTC_V_RETRACE_END_PROTECT = 0x80,
	CRTC_V_DISPLAY_END = 0x12,
	CRTC_OFFSET = 0x13,
	CRTC_UNDERLINE = 0x14,
	CRTC_MODE = 0x17,
	CRTC_MODE_NO_CGA = 0x01,      /* 0: row scan bit 0 stands in for address bit 13 */
	CRTC_MODE_NO_HERCULES = 0x02, /* the same of bits 1 and 14 */
	CRTC_MODE_BYTE = 0x40,
	CRTC_LINE_COMPARE = 0x18,
	CRTC_COUNT = 0x19,
};

/* Graphics controller. */
enum {
	GFX_SET_RESET = 0,
	GFX_ENABLE_SET_RESET = 1,
	GFX_COLOR_COMPARE = 2,
	GFX_ROTATE = 3,
	GFX_READ_MAP = 4,
	GFX_MODE = 5,
	GFX_MODE_READ_COMPARE = 0x08,
	GFX_MODE_ODD_EVEN = 0x10,
	GFX_MODE_INTERLEAVED = 0x20,
	GFX_MODE_256 = 0x40,
	GFX_MISC = 6,
	GFX_MISC_GRAPHICS = 0x01,
	GFX_COLOR_DONT_CARE = 7,
	GFX_BIT_MASK = 8,
	GFX_COUNT = 9,
};

/* Attribute controller. */
enum {
	ATTR_INDEX_SCREEN_ON = 0x20, /* of the index register: the palette is the display's */
	ATTR_MODE = 0x10,
	ATTR_MODE_MONO = 0x02,
	ATTR_MODE_LINE_GRAPHICS = 0x04,
	ATTR_MODE_BLINK = 0x08,
	ATTR_MODE_PAN_TOP_ONLY = 0x20,
	ATTR_MODE_P54S = 0x80,
	ATTR_PLANES = 0x12,
	ATTR_PAN = 0x13,
	ATTR_COLOR_SELECT = 0x14,
	ATTR_COUNT = 0x15,
};

enum {
	MISC_COLOR = 0x01, /* CRTC and status at 3Dx instead of 3Bx */
	MISC_RAM = 0x02,
	MISC_CLOCK_28 = 0x04,
};

/* Bochs VBE's registers. */
enum {
	VBE_ID = 0,
	VBE_ID_FIRST = 0xb0c0,
	VBE_ID_LAST = 0xb0c5,
	VBE_XRES = 1,
	VBE_YRES = 2,
	VBE_BPP = 3,
	VBE_ENABLE = 4,
	VBE_ENABLED = 0x01,
	VBE_GET_CAPS = 0x02,
	VBE_8_BIT_DAC = 0x20,
	VBE_NO_CLEAR = 0x80,
	VBE_BANK = 5,
	VBE_VIRT_WIDTH = 6,
	VBE_VIRT_HEIGHT = 7,
	VBE_X_OFFSET = 8,
	VBE_Y_OFFSET = 9,
	VBE_MEMORY_64K = 10,
	VBE_COUNT = 11,
	/* The largest that the memory holds at 32 bits. */
	VBE_MAX_XRES = 2560,
	VBE_MAX_YRES = 1600,
	VBE_MAX_BPP = 32,
};

enum vga_kind {
	VGA_BLANK,
	VGA_TEXT,
	VGA_PLANAR,	 /* 16 colours, a bit in each plane */
	VGA_INTERLEAVED, /* the CGA's 4 colours, two bits in a plane */
	VGA_PACKED,	 /* 256 colours, 2 dots a byte */
	VGA_LINEAR,	 /* VBE, 8 bits a pixel and more */
};

/* All that the registers say about the picture; two that are equal byte by byte show the same
 * memory the same way. */
struct vga_mode {
	enum vga_kind kind;
	unsigned width, height;
	/* Of a line: words that are fetched, and dots of each on the screen. */
	unsigned n_words, word_dots;
	bool wide;	   /* each dot twice */
	unsigned pan;	   /* dots that the line begins to the left of the screen */
	bool pan_top_only; /* not below the split */
	uint32_t mask;	   /* of addresses in bytes */
	uint32_t start, pitch;
	unsigned row_scans; /* counts of the row scan counter before the address moves on */
	unsigned first_row_scan;
	unsigned double_scan; /* 1: each count lasts two lines */
	unsigned split;	      /* first line that is shown from address 0 */
	unsigned cga_shift,
		hercules_shift; /* address bits that row scan bits stand in for; 0: none */
	unsigned bpp;		/* VGA_LINEAR */
	uint32_t colors[256];	/* VGA_LINEAR of more than 8 bits has no use for them */
	/* VGA_TEXT. */
	uint32_t fonts[2]; /* by bit 3 of the attribute: byte of the first line of character 0 */
	bool bright_background; /* bit 7 of the attribute is the background's, and does not blink */
	bool blinked_out, cursor_on;
	bool line_graphics;
	unsigned underline; /* row scan; 32: none */
	uint32_t cursor;
	unsigned cursor_first, cursor_last;
};

struct vga {
	struct pci_device pci;
	struct display *display;
	struct mem_bank *bank;
	uint8_t *vram; /* the bank's bytes */
	uint8_t edid[EDID_SIZE];

	uint8_t misc, feature;
	uint8_t seq_index, seq[SEQ_COUNT];
	uint8_t crtc_index, crtc[CRTC_COUNT];
	uint8_t gfx_index, gfx[GFX_COUNT];
	uint8_t attr_index, attr[ATTR_COUNT];
	bool attr_data; /* the next write to 3C0h is data */
	uint8_t dac_mask, dac_index, dac_component, dac_write[3];
	bool dac_reads;
	uint8_t dac[256][3];
	uint32_t latch;
	uint16_t vbe_index, vbe[VBE_COUNT];

	/* What is on the screen. */
	struct vga_mode drawn;
};

static inline bool vbe_is_on(const struct vga *vga)
{
	return vga->vbe[VBE_ENABLE] & VBE_ENABLED;
}

/* VBE memory is linear, but for 4 bits a pixel, which are planes. */
static inline bool vbe_is_linear(const struct vga *vga)
{
	return vbe_is_on(vga) && vga->vbe[VBE_BPP] != 4;
}

/* Ten bits of a vertical CRTC register, two of them in the overflow register. */
static inline unsigned vga_vertical(const struct vga *vga, unsigned index, unsigned bit_8,
				    unsigned bit_9)
{
	unsigned overflow = vga->crtc[CRTC_OVERFLOW];

	return vga->crtc[index] | (overflow >> bit_8 & 1) << 8 | (overflow >> bit_9 & 1) << 9;
}

/* A mask of planes, bit by bit, as one of their bytes in a word. */
static inline uint32_t vga_plane_bytes(unsigned planes)
{
	return ((planes & 0xf) * 0x00204081u & 0x01010101u) * 0xff;
}

extern const struct bus_ops vga_window_ops; /* A0000h to BFFFFh, struct vga as opaque */

uint16_t vbe_read(const struct vga *vga, unsigned index);
void vbe_write(struct vga *vga, unsigned index, uint16_t value);
void vbe_reset(struct vga *vga);
bool vbe_check(const struct vga *vga);
extern const struct bus_ops vbe_port_ops; /* 1CEh to 1D1h */

/* `now_ns` is what blinks go by. */
void vga_get_mode(const struct vga *vga, int64_t now_ns, struct vga_mode *mode);

/* The display_source's functions. */
void vga_prepare(void *opaque);
void vga_update(void *opaque, struct display *display);
bool vga_text(void *opaque, GString *out);

#endif
