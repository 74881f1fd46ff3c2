/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/jit/undo.h"

#include <string.h>

struct page {
	uint64_t gpa;
	bool rewound; /* `first` holds something */
	uint8_t before[MEM_PAGE_SIZE], first[MEM_PAGE_SIZE];
};

struct marks {
	uint64_t gpa, bits;
};

struct undo {
	struct mem *mem;
	GPtrArray *pages; /* struct page; the first `n_pages` are in use */
	unsigned n_pages;
	GArray *marks; /* struct marks */
};

struct undo *undo_new(struct mem *mem)
{
	struct undo *undo = g_new0(struct undo, 1);

	undo->mem = mem;
	undo->pages = g_ptr_array_new_with_free_func(g_free);
	undo->marks = g_array_new(false, false, sizeof(struct marks));
	return undo;
}

void undo_free(struct undo *undo)
{
	if (!undo)
		return;
	g_ptr_array_unref(undo->pages);
	g_array_unref(undo->marks);
	g_free(undo);
}

void undo_begin(struct undo *undo)
{
	undo->n_pages = 0;
	g_array_set_size(undo->marks, 0);
}

void undo_note(struct undo *undo, uint64_t gpa)
{
	struct page *page;

	gpa &= ~(MEM_PAGE_SIZE - 1);
	for (unsigned i = undo->n_pages; i-- > 0;)
		if (((struct page *)undo->pages->pdata[i])->gpa == gpa)
			return;
	if (undo->n_pages == undo->pages->len)
		g_ptr_array_add(undo->pages, g_new(struct page, 1));
	page = undo->pages->pdata[undo->n_pages++];
	page->gpa = gpa;
	page->rewound = false;
	memcpy(page->before, mem_hva(undo->mem, gpa), MEM_PAGE_SIZE);
}

void undo_note_marks(struct undo *undo, uint64_t gpa, uint64_t bits)
{
	struct marks marks = {gpa, bits};

	undo_note(undo, gpa);
	g_array_append_val(undo->marks, marks);
}

bool undo_has_marks(const struct undo *undo)
{
	return undo->marks->len;
}

/* Code may have been decoded from what is taken back. */
static void put_back(struct undo *undo, const struct page *page)
{
	uint8_t *now = mem_hva(undo->mem, page->gpa);

	if (!memcmp(now, page->before, MEM_PAGE_SIZE))
		return;
	memcpy(now, page->before, MEM_PAGE_SIZE);
	if (mem_code_lines(undo->mem, page->gpa))
		mem_written(undo->mem, page->gpa, MEM_PAGE_SIZE);
}

void undo_rewind(struct undo *undo)
{
	for (unsigned i = 0; i < undo->n_pages; i++) {
		struct page *page = undo->pages->pdata[i];

		memcpy(page->first, mem_hva(undo->mem, page->gpa), MEM_PAGE_SIZE);
		page->rewound = true;
		put_back(undo, page);
	}
}

void undo_restore(struct undo *undo)
{
	for (unsigned i = 0; i < undo->n_pages; i++)
		put_back(undo, undo->pages->pdata[i]);
}

/* The first writer's page: one that it did not touch stayed as it was. */
static const uint8_t *first_of(const struct page *page)
{
	return page->rewound ? page->first : page->before;
}

/* Bits of the byte at gpa that page walks have set. */
static uint8_t marks_at(const struct undo *undo, uint64_t gpa)
{
	uint8_t bits = 0;

	for (unsigned i = 0; i < undo->marks->len; i++) {
		const struct marks *marks = &g_array_index(undo->marks, struct marks, i);

		if (gpa - marks->gpa < 8)
			bits |= marks->bits >> (8 * (gpa - marks->gpa));
	}
	return bits;
}

void undo_compare(const struct undo *undo, struct undo_difference *difference)
{
	difference->n = 0;
	for (unsigned i = 0; i < undo->n_pages; i++) {
		const struct page *page = undo->pages->pdata[i];
		const uint8_t *first = first_of(page), *second = mem_hva(undo->mem, page->gpa);

		if (!memcmp(first, second, MEM_PAGE_SIZE))
			continue;
		for (unsigned at = 0; at < MEM_PAGE_SIZE; at++) {
			uint64_t gpa = page->gpa + at;

			if (first[at] == second[at] ||
			    !((first[at] ^ second[at]) & ~marks_at(undo, gpa)) || difference->n++)
				continue;
			difference->gpa = gpa;
			difference->first = first[at];
			difference->second = second[at];
		}
	}
}
