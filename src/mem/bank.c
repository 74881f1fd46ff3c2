/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Banks lie in the memfd after the RAM. A window is a run of pages that shows one; pages of no window
 * show RAM where there is some.
 *
 * What a page showed before stays mapped for the host until something else is shown there: a vCPU that
 * has not looked again yet reads and writes memory of the guest's, never a hole.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "mem/mem_int.h"

struct mem_bank {
	struct mem *mem;
	uint8_t *data;
	uint64_t len, file_offset;
	_Atomic uint64_t *dirty; /* a bit a page: what was collected, or written by the host */
};

struct window {
	uint64_t gpa, len;
	struct mem_bank *bank;
	uint64_t offset;
};

void mem_banks_init(struct mem *mem)
{
	g_mutex_init(&mem->windows_lock);
	mem->windows = g_array_new(FALSE, FALSE, sizeof(struct window));
	mem->banks = g_ptr_array_new();
}

void mem_banks_fini(struct mem *mem)
{
	for (unsigned i = 0; i < mem->banks->len; i++) {
		struct mem_bank *bank = mem->banks->pdata[i];

		munmap(bank->data, bank->len);
		g_free((void *)bank->dirty);
		g_free(bank);
	}
	g_ptr_array_unref(mem->banks);
	g_array_unref(mem->windows);
	g_mutex_clear(&mem->windows_lock);
}

static uint64_t n_words(const struct mem_bank *bank)
{
	return (bank->len / MEM_PAGE_SIZE + 63) / 64;
}

struct mem_bank *mem_bank_new(struct mem *mem, uint64_t len, GError **error)
{
	struct mem_bank *bank;
	uint8_t *data = MAP_FAILED;

	g_assert(len && len % MEM_PAGE_SIZE == 0);
	if (ftruncate(mem->fd, mem->file_size + len) == 0)
		data = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, mem->fd, mem->file_size);
	if (data == MAP_FAILED) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "cannot map %" G_GUINT64_FORMAT " KiB of device memory: %s", len >> 10,
			    g_strerror(errno));
		return NULL;
	}
	bank = g_new0(struct mem_bank, 1);
	bank->mem = mem;
	bank->data = data;
	bank->len = len;
	bank->file_offset = mem->file_size;
	bank->dirty = (_Atomic uint64_t *)g_new0(uint64_t, n_words(bank));
	mem->file_size += len;
	g_ptr_array_add(mem->banks, bank);
	return bank;
}

uint8_t *mem_bank_data(const struct mem_bank *bank)
{
	return bank->data;
}

uint64_t mem_bank_size(const struct mem_bank *bank)
{
	return bank->len;
}

static struct window *window_at(const struct mem *mem, unsigned i)
{
	return &g_array_index(mem->windows, struct window, i);
}

static void set_dirty(struct mem_bank *bank, uint64_t first_page, uint64_t word)
{
	unsigned shift = first_page % 64;

	atomic_fetch_or(&bank->dirty[first_page / 64], word << shift);
	if (shift && word >> (64 - shift))
		atomic_fetch_or(&bank->dirty[first_page / 64 + 1], word >> (64 - shift));
}

/* Moves the dirty bits of a window to its bank. Pages before and after it in the same word keep theirs. */
static bool collect_window(const struct window *w)
{
	struct mem *mem = w->bank->mem;
	uint64_t page = w->gpa / MEM_PAGE_SIZE, end = (w->gpa + w->len) / MEM_PAGE_SIZE;
	uint64_t to = w->offset / MEM_PAGE_SIZE;
	bool any = false;

	while (page < end) {
		unsigned n = MIN(64 - page % 64, end - page);
		uint64_t mask = (~0ull >> (64 - n)) << page % 64, bits;

		if (atomic_load_explicit(&mem->dirty[page / 64], memory_order_relaxed) & mask) {
			bits = atomic_fetch_and(&mem->dirty[page / 64], ~mask) & mask;
			set_dirty(w->bank, to, bits >> page % 64);
			any = true;
		}
		page += n;
		to += n;
	}
	return any;
}

void mem_bank_collect(struct mem_bank *bank)
{
	struct mem *mem = bank->mem;
	bool any = false;

	mem_gather(mem);
	g_mutex_lock(&mem->windows_lock);
	for (unsigned i = 0; i < mem->windows->len; i++)
		if (window_at(mem, i)->bank == bank)
			any |= collect_window(window_at(mem, i));
	g_mutex_unlock(&mem->windows_lock);
	if (any)
		mem_cleaned(mem);
}

void mem_bank_take(struct mem_bank *bank, uint64_t *out)
{
	for (uint64_t i = 0; i < n_words(bank); i++)
		out[i] = atomic_load_explicit(&bank->dirty[i], memory_order_relaxed)
				 ? atomic_exchange(&bank->dirty[i], 0)
				 : 0;
}

void mem_bank_written(struct mem_bank *bank, uint64_t offset, uint64_t len)
{
	struct mem *mem = bank->mem;

	g_assert(offset <= bank->len && len <= bank->len - offset);
	if (!len)
		return;
	for (uint64_t page = offset / MEM_PAGE_SIZE; page <= (offset + len - 1) / MEM_PAGE_SIZE; page++)
		set_dirty(bank, page, 1);
	/* Decoded code of the bank goes by its gpa. */
	g_mutex_lock(&mem->windows_lock);
	for (unsigned i = 0; i < mem->windows->len; i++) {
		const struct window *w = window_at(mem, i);
		uint64_t first = MAX(offset, w->offset), end = MIN(offset + len, w->offset + w->len);

		if (w->bank == bank && first < end)
			mem_written(mem, w->gpa + (first - w->offset), end - first);
	}
	g_mutex_unlock(&mem->windows_lock);
}

uint64_t mem_file_offset(const struct mem *mem, uint64_t gpa)
{
	uint64_t found = gpa < MEM_HOLE_END ? gpa : gpa - MEM_HOLE_END + mem->low_size;
	GMutex *lock = (GMutex *)&mem->windows_lock;

	g_mutex_lock(lock);
	for (unsigned i = 0; i < mem->windows->len; i++) {
		const struct window *w = window_at(mem, i);

		if (gpa - w->gpa < w->len)
			found = w->bank->file_offset + w->offset + (gpa - w->gpa);
	}
	g_mutex_unlock(lock);
	return found;
}

static void append_piece(GArray *windows, struct window w, uint64_t gpa, uint64_t end)
{
	if (gpa >= end)
		return;
	w.offset += gpa - w.gpa;
	w.gpa = gpa;
	w.len = end - gpa;
	g_array_append_val(windows, w);
}

/* Windows lose what lies in gpa .. end-1. */
static void cut(struct mem *mem, uint64_t gpa, uint64_t end)
{
	GArray *left = g_array_new(FALSE, FALSE, sizeof(struct window));

	for (unsigned i = 0; i < mem->windows->len; i++) {
		struct window w = *window_at(mem, i);
		uint64_t w_end = w.gpa + w.len;

		if (w.gpa < end && gpa < w_end)
			collect_window(&w);
		append_piece(left, w, w.gpa, MIN(w_end, gpa));
		append_piece(left, w, MAX(w.gpa, end), w_end);
	}
	g_array_unref(mem->windows);
	mem->windows = left;
}

static void set_access(struct mem *mem, uint64_t gpa, uint64_t len, enum mem_access access)
{
	for (uint64_t page = gpa / MEM_PAGE_SIZE; page < (gpa + len) / MEM_PAGE_SIZE; page++)
		atomic_store(&mem->access[page], access);
}

static bool is_place(uint64_t gpa, uint64_t len)
{
	return gpa % MEM_PAGE_SIZE == 0 && len % MEM_PAGE_SIZE == 0 && gpa <= MEM_HOLE_END &&
	       len <= MEM_HOLE_END - gpa;
}

void mem_show(struct mem *mem, uint64_t gpa, uint64_t len, struct mem_bank *bank, uint64_t offset,
	      enum mem_access access)
{
	struct window window = {gpa, len, bank, offset};
	uint64_t ram = gpa < mem->low_size ? MIN(len, mem->low_size - gpa) : 0;

	g_assert(is_place(gpa, len));
	mem_gather(mem);
	g_mutex_lock(&mem->windows_lock);
	cut(mem, gpa, gpa + len);
	if (bank) {
		g_assert(offset % MEM_PAGE_SIZE == 0 && offset <= bank->len && len <= bank->len - offset);
		g_array_append_val(mem->windows, window);
		g_assert(mem_map_file(mem, gpa, len, bank->file_offset + offset));
		set_access(mem, gpa, len, access);
	} else {
		g_assert(mem_map_file(mem, gpa, ram, gpa));
		set_access(mem, gpa, ram, access);
		set_access(mem, gpa + ram, len - ram, MEM_NO_ACCESS);
	}
	g_mutex_unlock(&mem->windows_lock);
	mem_written(mem, gpa, len);
	mem_remapped(mem);
}

bool mem_shows(struct mem *mem, uint64_t gpa, uint64_t len)
{
	bool found = false;

	g_mutex_lock(&mem->windows_lock);
	for (unsigned i = 0; i < mem->windows->len; i++) {
		const struct window *w = window_at(mem, i);

		found = found || (w->gpa < gpa + len && gpa < w->gpa + w->len);
	}
	g_mutex_unlock(&mem->windows_lock);
	return found;
}

void mem_set_access(struct mem *mem, uint64_t gpa, uint64_t len, enum mem_access access)
{
	g_assert(is_place(gpa, len));
	set_access(mem, gpa, len, access);
	mem_remapped(mem);
}

void mem_write_under(struct mem *mem, uint64_t gpa, const void *buf, uint64_t len)
{
	ssize_t n;

	g_assert(gpa % MEM_PAGE_SIZE + len <= MEM_PAGE_SIZE);
	if (gpa >= mem->low_size)
		return;
	n = pwrite(mem->fd, buf, len, gpa);
	g_assert(n == (ssize_t)len);
}
