/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's screen: what a video device shows, and what a viewer, a screenshot or a search for
 * text reads.
 *
 * Pull, not push: nothing is drawn while nobody looks. A front end calls display_refresh(); the
 * video device brings the picture up to date and names the rectangles that changed.
 *
 * Threads: device side under the device's lock; front ends on the loop thread. The pixels
 * are the loop thread's: a source touches them within update() only.
 */
#ifndef VIV_DISPLAY_DISPLAY_H
#define VIV_DISPLAY_DISPLAY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define DISPLAY_MAX_WIDTH  8192u
#define DISPLAY_MAX_HEIGHT 8192u

struct display;

struct display_rect {
	unsigned x, y, width, height;
};

/*
 * A picture: rows of `width` pixels 0x00RRGGBB, one after the other. It has the lines and dots that a monitor is sent,
 * so a VGA's 320 x 200 are 640 x 400 and its 40 columns of text are as wide as 80.
 */
struct display_picture {
	const uint32_t *pixels;
	unsigned width, height;
};

/* What a video device does for its display, which takes `lock` around each call but prepare(). */
struct display_source {
	/* Before update(): what waits for processors, like mem_bank_collect(). NULL: nothing. */
	void (*prepare)(void *opaque);
	/* Brings the picture up to date by display_set_size(), display_pixels(), display_damage(). */
	void (*update)(void *opaque, struct display *display);
	/* Appends the rows of the text screen, each ended by a newline, as UTF-8 without trailing
	 * blanks; false: the screen is not in a text mode. NULL: it never is. */
	bool (*text)(void *opaque, GString *out);
	void *opaque;
	GMutex *lock;
};

/* 640 x 480 black pixels, without a source. */
struct display *display_new(void);
void display_free(struct display *display);

/*
 * Device side. A source is set in a device's init, or when its driver takes the screen over from
 * another device; display_drop_source() in its fini, and gives the screen back.
 */
void display_set_source(struct display *display, const struct display_source *source);
void display_drop_source(struct display *display, void *opaque);
/* First of all in each update(). Where the size is new, or the picture another source's, all pixels become black and all of
 * them damage: true. */
bool display_set_size(struct display *display, unsigned width, unsigned height);
uint32_t *display_pixels(struct display *display);
/* All pixels of line `y`: those that differ from what is there are damage. */
void display_put_line(struct display *display, unsigned y, const uint32_t *pixels);
/* Clipped to the picture. */
void display_damage(struct display *display, unsigned x, unsigned y, unsigned width,
		    unsigned height);

/* Front ends. */
/* Asks the source for its picture. Returns whether anything changed since it was last asked, and the rectangle
 * around all of it; `rect` may be NULL. */
bool display_refresh(struct display *display, struct display_rect *rect);
/* How many refreshes had changes: what a viewer has not asked for itself, another one has taken. */
unsigned display_changes(const struct display *display);
/* As the last refresh left it; valid until the next one. */
void display_get_picture(const struct display *display, struct display_picture *picture);
bool display_get_text(struct display *display, GString *out);

#endif
