/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mem/mem.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "mem/mem_int.h"

static uint64_t pages(const struct mem *mem)
{
	return mem->span / MEM_PAGE_SIZE;
}

static uint64_t dirty_bytes(const struct mem *mem)
{
	return (pages(mem) + 63) / 64 * sizeof(*mem->dirty);
}

static uint64_t code_bytes(const struct mem *mem)
{
	return pages(mem) * sizeof(*mem->code_lines);
}

/* Address space of zeroes; NULL where the host has none left. */
static void *map_zero(uint64_t len, int prot)
{
	void *p = mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

bool mem_map_file(struct mem *mem, uint64_t gpa, uint64_t len, uint64_t file_offset)
{
	return !len || mmap(mem->base + gpa, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			    mem->fd, file_offset) != MAP_FAILED;
}

static bool map_all(struct mem *mem)
{
	mem->file_size = mem_size(mem);
	mem->fd = memfd_create("guest-ram", MFD_CLOEXEC);
	if (mem->fd < 0 || ftruncate(mem->fd, mem->file_size) < 0)
		return false;
	mem->base = map_zero(mem->span, PROT_NONE);
	if (!mem->base || !mem_map_file(mem, 0, mem->low_size, 0) ||
	    !mem_map_file(mem, MEM_HOLE_END, mem->high_size, mem->low_size))
		return false;
	mem->access = map_zero(ACCESS_BYTES, PROT_READ | PROT_WRITE);
	if (!mem->access)
		return false;
	memset((void *)mem->access, MEM_READ_WRITE, mem->low_size / MEM_PAGE_SIZE);
	mem->dirty = map_zero(dirty_bytes(mem), PROT_READ | PROT_WRITE);
	mem->code_lines = map_zero(code_bytes(mem), PROT_READ | PROT_WRITE);
	return mem->dirty && mem->code_lines;
}

struct mem *mem_new(uint64_t size, GError **error)
{
	return mem_new_with_hole(size, MEM_HOLE_START, error);
}

struct mem *mem_new_with_hole(uint64_t size, uint64_t hole_start, GError **error)
{
	struct mem *mem;

	if (size < MEM_MIN_SIZE || size > MEM_MAX_SIZE || size % MEM_PAGE_SIZE) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "memory size of %" G_GUINT64_FORMAT " bytes: give a multiple of 4 KiB "
			    "from %llu MiB to %llu GiB",
			    size, MEM_MIN_SIZE >> 20, MEM_MAX_SIZE >> 30);
		return NULL;
	}
	mem = g_new0(struct mem, 1);
	atomic_store(&mem->a20_mask, ~0ull);
	mem->hole_start = hole_start;
	mem->low_size = MIN(size, hole_start);
	mem->high_size = size - mem->low_size;
	mem->span = MEM_HOLE_END + mem->high_size;
	mem->listeners = g_array_new(FALSE, FALSE, sizeof(struct mem_listener));
	mem_banks_init(mem);
	if (!map_all(mem)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "cannot map %" G_GUINT64_FORMAT " MiB of guest memory: %s; give the VM "
			    "less memory or raise the limit of address space",
			    size >> 20, g_strerror(errno));
		mem_free(mem);
		return NULL;
	}
	return mem;
}

void mem_free(struct mem *mem)
{
	if (!mem)
		return;
	mem_banks_fini(mem);
	if (mem->base)
		munmap(mem->base, mem->span);
	if (mem->access)
		munmap((void *)mem->access, ACCESS_BYTES);
	if (mem->dirty)
		munmap(mem->dirty, dirty_bytes(mem));
	if (mem->code_lines)
		munmap(mem->code_lines, code_bytes(mem));
	if (mem->fd >= 0)
		close(mem->fd);
	g_array_unref(mem->listeners);
	g_free(mem);
}

/* Whether all of gpa .. gpa+len-1 is memory of that kind, in one run. */
static bool all_answers(const struct mem *mem, uint64_t gpa, uint64_t len, enum mem_access access)
{
	if (atomic_load(&mem->has_smram) && mem_is_closed(mem, gpa, len))
		return false;
	if (gpa >= MEM_HOLE_END)
		return gpa - MEM_HOLE_END < mem->high_size &&
		       len <= mem->high_size - (gpa - MEM_HOLE_END);
	if (len > MEM_HOLE_END - gpa)
		return false;
	for (uint64_t page = gpa / MEM_PAGE_SIZE; page <= (gpa + len - 1) / MEM_PAGE_SIZE; page++)
		if ((mem->access[page] & access) != access)
			return false;
	return true;
}

uint8_t *mem_range(const struct mem *mem, uint64_t gpa, uint64_t len)
{
	return len && all_answers(mem, gpa, len, MEM_READ_WRITE) ? mem->base + gpa : NULL;
}

uint8_t *mem_map_pair(const struct mem *mem, uint8_t *old, const uint64_t pages[2])
{
	uint8_t *pair = old ? old : map_zero(2 * MEM_PAGE_SIZE, PROT_NONE);

	g_assert(pair);
	/* An old size of 0 maps a shared page once more. What the host has there, and not what is shown by now: another
	 * vCPU may have hidden it since the caller looked. */
	for (unsigned i = 0; i < 2; i++)
		g_assert(mremap(mem->base + pages[i], 0, MEM_PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
				pair + i * MEM_PAGE_SIZE) != MAP_FAILED);
	return pair;
}

void mem_unmap_pair(uint8_t *pair)
{
	if (pair)
		munmap(pair, 2 * MEM_PAGE_SIZE);
}

bool mem_read(const struct mem *mem, uint64_t gpa, void *buf, uint64_t len)
{
	if (!len)
		return true;
	if (!all_answers(mem, gpa, len, MEM_READ))
		return false;
	memcpy(buf, mem->base + gpa, len);
	return true;
}

bool mem_write(struct mem *mem, uint64_t gpa, const void *buf, uint64_t len)
{
	if (!len)
		return true;
	if (!all_answers(mem, gpa, len, MEM_READ_WRITE))
		return false;
	memcpy(mem->base + gpa, buf, len);
	mem_written(mem, gpa, len);
	return true;
}

static bool is_zero_page(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, MEM_PAGE_SIZE - 1) == 0;
}

/* Whole pages of zeros. */
static void clear_pages(struct mem *mem, uint64_t gpa, uint64_t len)
{
	if (fallocate(mem->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, mem_file_offset(mem, gpa),
		      len) < 0)
		memset(mem->base + gpa, 0, len);
}

/* Through the file: a page that is written whole need not be cleared first, nor mapped. */
static void copy_pages(struct mem *mem, uint64_t gpa, const uint8_t *data, uint64_t len)
{
	ssize_t n = pwrite(mem->fd, data, len, mem_file_offset(mem, gpa));

	if (n < 0)
		n = 0;
	memcpy(mem->base + gpa + n, data + n, len - n);
}

static void copy_or_clear(struct mem *mem, uint64_t gpa, const uint8_t *data, uint64_t len)
{
	if (data)
		memcpy(mem->base + gpa, data, len);
	else
		memset(mem->base + gpa, 0, len);
}

void mem_fill(struct mem *mem, uint64_t gpa, const uint8_t *data, uint64_t len)
{
	uint64_t head = MIN(len, -gpa % MEM_PAGE_SIZE), at = head, end;

	g_assert(!len || mem_range(mem, gpa, len));
	copy_or_clear(mem, gpa, data, head);
	for (; len - at >= MEM_PAGE_SIZE; at = end) {
		bool zero = !data || is_zero_page(data + at);

		end = at;
		do
			end += MEM_PAGE_SIZE;
		while (len - end >= MEM_PAGE_SIZE && (!data || is_zero_page(data + end) == zero));
		if (zero)
			clear_pages(mem, gpa + at, end - at);
		else
			copy_pages(mem, gpa + at, data + at, end - at);
	}
	copy_or_clear(mem, gpa + at, data ? data + at : NULL, len - at);
	if (len)
		mem_written(mem, gpa, len);
}

void mem_discard(struct mem *mem, uint64_t gpa, uint64_t len)
{
	uint64_t head = MIN(len, -gpa % MEM_PAGE_SIZE), whole = (len - head) / MEM_PAGE_SIZE * MEM_PAGE_SIZE;

	gpa += head;
	if (!mem_range(mem, gpa, whole))
		return;
	clear_pages(mem, gpa, whole);
	mem_written(mem, gpa, whole);
}

bool mem_is_closed(const struct mem *mem, uint64_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < MEM_N_SMRAM; i++) {
		uint64_t start = atomic_load(&mem->smram[i].gpa);
		uint64_t size = atomic_load(&mem->smram[i].len);

		if (size && gpa < start + size && start < gpa + len)
			return true;
	}
	return false;
}

uint64_t mem_run(const struct mem *mem, uint64_t gpa, enum mem_access *access)
{
	uint64_t page = gpa / MEM_PAGE_SIZE, end = MEM_HOLE_END;

	for (unsigned i = 0; i < MEM_N_SMRAM; i++) {
		uint64_t start = atomic_load(&mem->smram[i].gpa);
		uint64_t size = atomic_load(&mem->smram[i].len);

		if (gpa - start < size) {
			*access = MEM_NO_ACCESS;
			return start + size;
		}
		if (size && start > gpa)
			end = MIN(end, start);
	}
	*access = mem->access[page];
	while (page < end / MEM_PAGE_SIZE &&
	       atomic_load_explicit(&mem->access[page], memory_order_relaxed) == *access)
		page++;
	return page * MEM_PAGE_SIZE;
}

static const struct mem_listener *listener_at(const struct mem *mem, unsigned i)
{
	return &g_array_index(mem->listeners, struct mem_listener, i);
}

/* Within one page. The marks go before the listeners are told: one that decodes the line anew
 * meanwhile marks it again, and keeps that mark. */
static void code_written(struct mem *mem, uint64_t gpa, uint64_t len)
{
	uint64_t lines = mem_line_mask(gpa, len);

	if (!(atomic_fetch_and(&mem->code_lines[gpa / MEM_PAGE_SIZE], ~lines) & lines))
		return;
	for (unsigned i = 0; i < mem->listeners->len; i++)
		listener_at(mem, i)->written(listener_at(mem, i)->opaque, gpa, len);
}

void mem_written(struct mem *mem, uint64_t gpa, uint64_t len)
{
	/* An engine marks a line, then reads it; we have written, then look at the mark. With
	 * both in order, either it reads the new bytes or we see the mark. */
	atomic_thread_fence(memory_order_seq_cst);
	for (uint64_t end = gpa + len; gpa < end;) {
		uint64_t chunk = MIN(end - gpa, MEM_PAGE_SIZE - gpa % MEM_PAGE_SIZE);

		mem_set_dirty(mem, gpa);
		if (G_UNLIKELY(mem_code_lines(mem, gpa) & mem_line_mask(gpa, chunk)))
			code_written(mem, gpa, chunk);
		gpa += chunk;
	}
}

void mem_add_code_lines(struct mem *mem, uint64_t gpa, uint64_t lines)
{
	atomic_fetch_add(&mem->protecting, 1);
	if (!atomic_fetch_or(&mem->code_lines[gpa / MEM_PAGE_SIZE], lines))
		for (unsigned i = 0; i < mem->listeners->len; i++)
			listener_at(mem, i)->protect(listener_at(mem, i)->opaque, gpa);
	atomic_fetch_sub(&mem->protecting, 1);
}

void mem_fetch_dirty(struct mem *mem, uint64_t first_page, uint64_t *out, uint64_t n_words)
{
	_Atomic uint64_t *dirty = mem->dirty + first_page / 64;
	bool cleaned = false;

	g_assert(first_page % 64 == 0 &&
		 (first_page / 64 + n_words) * sizeof(*dirty) <= dirty_bytes(mem));
	for (uint64_t i = 0; i < n_words; i++) {
		/* Looked at first: untouched words of a big guest stay unallocated. */
		out[i] = atomic_load_explicit(&dirty[i], memory_order_relaxed)
				 ? atomic_exchange(&dirty[i], 0)
				 : 0;
		cleaned |= out[i] != 0;
	}
	if (cleaned)
		mem_cleaned(mem);
}

void mem_cleaned(struct mem *mem)
{
	for (unsigned i = 0; i < mem->listeners->len; i++)
		listener_at(mem, i)->cleaned(listener_at(mem, i)->opaque);
}

void mem_gather(struct mem *mem)
{
	for (unsigned i = 0; i < mem->listeners->len; i++)
		if (listener_at(mem, i)->gather)
			listener_at(mem, i)->gather(listener_at(mem, i)->opaque);
}

void mem_remapped(struct mem *mem)
{
	for (unsigned i = 0; i < mem->listeners->len; i++)
		listener_at(mem, i)->remapped(listener_at(mem, i)->opaque);
}

void mem_set_smram(struct mem *mem, enum mem_smram which, uint64_t gpa, uint64_t len)
{
	struct mem_smram_range *range = &mem->smram[which];
	bool any = false;

	g_assert(gpa % MEM_PAGE_SIZE == 0 && len % MEM_PAGE_SIZE == 0);
	/* What stays closed, and may be locked, does not open for a moment. */
	if (atomic_load(&range->gpa) == gpa && atomic_load(&range->len) == len)
		return;
	/* Nothing is closed in between that was not or will not be. */
	atomic_store(&range->len, 0);
	atomic_store(&range->gpa, gpa);
	atomic_store(&range->len, len);
	for (unsigned i = 0; i < MEM_N_SMRAM; i++)
		any |= atomic_load(&mem->smram[i].len) != 0;
	atomic_store(&mem->has_smram, any);
	mem_remapped(mem);
}

void mem_set_a20(struct mem *mem, bool enabled)
{
	uint64_t mask = enabled ? ~0ull : ~(1ull << 20);

	if (atomic_exchange(&mem->a20_mask, mask) != mask)
		mem_remapped(mem);
}

void mem_add_listener(struct mem *mem, const struct mem_listener *listener)
{
	g_array_append_val(mem->listeners, *listener);
}

void mem_remove_listener(struct mem *mem, void *opaque)
{
	for (unsigned i = mem->listeners->len; i-- > 0;)
		if (listener_at(mem, i)->opaque == opaque)
			g_array_remove_index(mem->listeners, i);
}
