/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "display/display.h"

#include <string.h>

#define MAX_SOURCES 4

struct display {
	GMutex lock; /* of the sources; taken before a source's own */
	struct display_source sources[MAX_SOURCES]; /* the last one is on the screen */
	unsigned n_sources;
	const void *painter; /* the source whose picture it is */
	uint32_t *pixels;
	unsigned width, height;
	unsigned n_changes;
	/* What changed: x1 and y1 are past its end; x1 is 0 where nothing did. */
	unsigned x0, y0, x1, y1;
};

struct display *display_new(void)
{
	struct display *display = g_new0(struct display, 1);

	g_mutex_init(&display->lock);
	display_set_size(display, 640, 480);
	return display;
}

void display_free(struct display *display)
{
	if (!display)
		return;
	g_assert(!display->n_sources);
	g_mutex_clear(&display->lock);
	g_free(display->pixels);
	g_free(display);
}

static void drop_source(struct display *display, const void *opaque)
{
	for (unsigned i = 0; i < display->n_sources; i++) {
		if (display->sources[i].opaque != opaque)
			continue;
		display->n_sources--;
		memmove(&display->sources[i], &display->sources[i + 1],
			(display->n_sources - i) * sizeof(display->sources[0]));
		return;
	}
}

void display_set_source(struct display *display, const struct display_source *source)
{
	g_mutex_lock(&display->lock);
	drop_source(display, source->opaque);
	g_assert(display->n_sources < MAX_SOURCES);
	display->sources[display->n_sources++] = *source;
	g_mutex_unlock(&display->lock);
}

void display_drop_source(struct display *display, void *opaque)
{
	g_mutex_lock(&display->lock);
	drop_source(display, opaque);
	g_mutex_unlock(&display->lock);
}

bool display_set_size(struct display *display, unsigned width, unsigned height)
{
	g_assert(width && width <= DISPLAY_MAX_WIDTH && height && height <= DISPLAY_MAX_HEIGHT);
	if (display->pixels && width == display->width && height == display->height)
		return false;
	g_free(display->pixels);
	display->pixels = g_new0(uint32_t, (size_t)width * height);
	display->width = width;
	display->height = height;
	display->x0 = display->y0 = 0;
	display->x1 = width;
	display->y1 = height;
	return true;
}

uint32_t *display_pixels(struct display *display)
{
	return display->pixels;
}

void display_damage(struct display *display, unsigned x, unsigned y, unsigned width,
		    unsigned height)
{
	if (x >= display->width || y >= display->height || !width || !height)
		return;
	width = MIN(width, display->width - x);
	height = MIN(height, display->height - y);
	if (!display->x1) {
		display->x0 = x;
		display->y0 = y;
	}
	display->x0 = MIN(display->x0, x);
	display->y0 = MIN(display->y0, y);
	display->x1 = MAX(display->x1, x + width);
	display->y1 = MAX(display->y1, y + height);
}

void display_put_line(struct display *display, unsigned y, const uint32_t *pixels)
{
	uint32_t *old = display->pixels + (size_t)y * display->width;
	unsigned first = 0, end = display->width;

	g_assert(y < display->height);
	if (!memcmp(old, pixels, display->width * sizeof(*pixels)))
		return;
	while (old[first] == pixels[first])
		first++;
	while (old[end - 1] == pixels[end - 1])
		end--;
	memcpy(old + first, pixels + first, (end - first) * sizeof(*pixels));
	display_damage(display, first, y, end - first, 1);
}

/* The source on the screen; false: none. Its lock orders after ours, so ours is not held while it works. */
static bool current_source(struct display *display, struct display_source *source)
{
	bool any;

	g_mutex_lock(&display->lock);
	any = display->n_sources > 0;
	if (any)
		*source = display->sources[display->n_sources - 1];
	g_mutex_unlock(&display->lock);
	return any;
}

bool display_refresh(struct display *display, struct display_rect *rect)
{
	struct display_source source;
	bool changed;

	if (current_source(display, &source)) {
		if (source.prepare)
			source.prepare(source.opaque);
		if (source.opaque != display->painter)
			g_clear_pointer(&display->pixels, g_free);
		display->painter = source.opaque;
		g_mutex_lock(source.lock);
		source.update(source.opaque, display);
		g_mutex_unlock(source.lock);
		g_assert(display->pixels);
	}
	changed = display->x1 != 0;
	display->n_changes += changed;
	if (changed && rect)
		*rect = (struct display_rect){display->x0, display->y0, display->x1 - display->x0,
					      display->y1 - display->y0};
	display->x0 = display->y0 = display->x1 = display->y1 = 0;
	return changed;
}

unsigned display_changes(const struct display *display)
{
	return display->n_changes;
}

void display_get_picture(const struct display *display, struct display_picture *picture)
{
	*picture = (struct display_picture){display->pixels, display->width, display->height};
}

bool display_get_text(struct display *display, GString *out)
{
	struct display_source source;
	bool is_text;

	if (!current_source(display, &source) || !source.text)
		return false;
	g_mutex_lock(source.lock);
	is_text = source.text(source.opaque, out);
	g_mutex_unlock(source.lock);
	return is_text;
}
