/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest-physical memory: one memfd, mapped so that hva = base + gpa.
 *
 * RAM starts at gpa 0 and ends where the chipset has its devices at the latest; what is left
 * lies from MEM_HOLE_END (4 GiB) up. Between them is device space. Banks are memory besides that:
 * a ROM, a flash, a frame buffer. A chipset shows pieces of them below 4 GiB, in device space or in
 * RAM's place. What is shown says whether it can be read and written as memory; what cannot is the
 * bus's.
 *
 * Two maps go with it, one entry a page: the dirty bitmap (a page written since
 * the bitmap was last fetched) and the code map (which of a page's 64 lines of
 * 64 bytes an engine has decoded instructions from). Engines fill them and honour
 * them by leaving such pages out of their write TLBs; device writes go through
 * mem_write(), which keeps both.
 *
 * Threads: all functions but new/free from any thread. Guest RAM itself is
 * shared with running vCPUs: read it once into a private copy, then check the copy.
 */
#ifndef VIV_MEM_MEM_H
#define VIV_MEM_MEM_H

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define MEM_PAGE_SIZE  4096ull
#define MEM_HOLE_START 0xc0000000ull /* where mem_new() has it */
#define MEM_HOLE_END   0x100000000ull
#define MEM_MIN_SIZE   (16ull << 20)
#define MEM_MAX_SIZE   (256ull << 30)

/*
 * An engine's vCPU with decoded code and write TLBs. written(): lines that held code were written and are no
 * longer marked; what was decoded from them is to be dropped. protect(): gpa's page holds code from
 * now on; when the call returns, no more stores go to it but through mem_written(). cleaned():
 * dirty bits were cleared; when the call returns, the next store to each clean page sets its bit.
 * remapped(): what is RAM has changed; seen at the next branch at the latest. gather(): sets the dirty bits
 * of stores so far that the engine has noted elsewhere; NULL: it notes none. Any thread; remapped() and gather()
 * under any lock.
 */
struct mem_listener {
	void (*written)(void *opaque, uint64_t gpa, uint64_t len);
	void (*protect)(void *opaque, uint64_t gpa);
	void (*cleaned)(void *opaque);
	void (*remapped)(void *opaque);
	void *opaque;
	void (*gather)(void *opaque);
};

/* How a page answers as memory. */
enum mem_access {
	MEM_NO_ACCESS,
	MEM_READ = 1, /* and instructions are fetched from it */
	MEM_WRITE = 2,
	MEM_READ_WRITE = MEM_READ | MEM_WRITE, /* what can be written can be read */
};

struct mem_bank;

/* Ranges of RAM that a chipset can keep for system-management mode, of its two kinds. */
enum mem_smram { MEM_SMRAM_COMPATIBLE, MEM_SMRAM_TOP, MEM_N_SMRAM };

struct mem {
	uint8_t *base;
	uint64_t hole_start; /* where RAM from gpa 0 ends at the latest */
	uint64_t low_size;  /* bytes of RAM from gpa 0 */
	uint64_t high_size; /* bytes of RAM from MEM_HOLE_END */
	uint64_t span;      /* bytes reserved from `base`: 4 GiB, or to the end of RAM */
	int fd;
	_Atomic uint8_t *access;      /* enum mem_access of each page below MEM_HOLE_END */
	_Atomic uint64_t *dirty;      /* a bit a page of `span` */
	_Atomic uint64_t *code_lines; /* a word a page of `span` */
	_Atomic unsigned protecting;  /* mem_add_code_lines() in progress */
	_Atomic bool has_smram;	      /* some is closed */
	_Atomic uint64_t a20_mask;    /* of processors' addresses */
	struct mem_smram_range {
		_Atomic uint64_t gpa, len; /* len 0: nothing is closed */
	} smram[MEM_N_SMRAM];
	GArray *listeners;	      /* struct mem_listener; set up before vCPUs run */
	GMutex windows_lock;
	GArray *windows; /* bank.c's: where what is shown */
	GPtrArray *banks;
	uint64_t file_size; /* RAM, then the banks */
};

/* `size` bytes of zeroed RAM, a multiple of the page size within MEM_MIN_SIZE..MEM_MAX_SIZE. */
struct mem *mem_new(uint64_t size, GError **error);
/* The same with device space from another address on, a multiple of the page size. */
struct mem *mem_new_with_hole(uint64_t size, uint64_t hole_start, GError **error);
void mem_free(struct mem *mem);
static inline uint64_t mem_size(const struct mem *mem)
{
	return mem->low_size + mem->high_size;
}

/* Whether gpa's page answers reads, or writes, as memory; SMRAM apart. */
static inline bool mem_answers(const struct mem *mem, uint64_t gpa, enum mem_access access)
{
	if (gpa < MEM_HOLE_END)
		return atomic_load_explicit(&mem->access[gpa / MEM_PAGE_SIZE], memory_order_relaxed) &
		       access;
	return gpa - MEM_HOLE_END < mem->high_size;
}

/* Host address of readable memory at `gpa` as system-management mode sees it, or NULL; valid up to the
 * end of gpa's page. */
static inline uint8_t *mem_hva_smm(const struct mem *mem, uint64_t gpa)
{
	return mem_answers(mem, gpa, MEM_READ) ? mem->base + gpa : NULL;
}
/* Whether some of gpa .. gpa+len-1 is closed to all but system-management mode. */
bool mem_is_closed(const struct mem *mem, uint64_t gpa, uint64_t len);

/* The same for everybody else: where SMRAM is closed there is no RAM. */
static inline uint8_t *mem_hva(const struct mem *mem, uint64_t gpa)
{
	if (G_UNLIKELY(atomic_load_explicit(&mem->has_smram, memory_order_relaxed)) &&
	    mem_is_closed(mem, gpa, 1))
		return NULL;
	return mem_hva_smm(mem, gpa);
}
static inline bool mem_is_ram(const struct mem *mem, uint64_t gpa)
{
	return mem_hva(mem, gpa) != NULL;
}
/* The end of a run of pages from gpa on, which is below MEM_HOLE_END, that answer all alike to everybody but
 * system-management mode, and how they do. */
uint64_t mem_run(const struct mem *mem, uint64_t gpa, enum mem_access *access);

/*
 * A bank of `len` zeroed bytes, whole pages; before vCPUs run, and freed with `mem`. NULL with the error set.
 * mem_bank_data(): all of it, always mapped. mem_bank_written(): data has been written there.
 */
struct mem_bank *mem_bank_new(struct mem *mem, uint64_t len, GError **error);
uint8_t *mem_bank_data(const struct mem_bank *bank);
uint64_t mem_bank_size(const struct mem_bank *bank);
void mem_bank_written(struct mem_bank *bank, uint64_t offset, uint64_t len);
/*
 * The bank's dirty bits, one a page, since they were last taken. mem_bank_collect() asks the processors
 * for them, so its caller holds no lock that a vCPU takes; mem_bank_take() moves what was collected to `out`, a
 * word for 64 pages.
 */
void mem_bank_collect(struct mem_bank *bank);
void mem_bank_take(struct mem_bank *bank, uint64_t *out);

/*
 * Shows `len` bytes of `bank` from `offset` on at gpa, or RAM where `bank` is NULL (in device space: nothing).
 * All whole pages below MEM_HOLE_END. From a register's function: no vCPU is waited for; one that
 * runs may use what was shown before up to its next branch.
 */
void mem_show(struct mem *mem, uint64_t gpa, uint64_t len, struct mem_bank *bank, uint64_t offset,
	      enum mem_access access);
/* Whether some of gpa .. gpa+len-1 shows a bank. */
bool mem_shows(struct mem *mem, uint64_t gpa, uint64_t len);
/* Only changes how pages answer that are shown already. */
void mem_set_access(struct mem *mem, uint64_t gpa, uint64_t len, enum mem_access access);
/* Writes RAM at gpa, within one page, where something else is shown that cannot be written. */
void mem_write_under(struct mem *mem, uint64_t gpa, const void *buf, uint64_t len);

/*
 * SMRAM: closes whole pages of RAM to all but processors in system-management mode, who reach them
 * also where a device's memory lies; `len` 0 opens what was closed. What a chipset's register says, from
 * the register's function: no lock is taken, none is waited for.
 */
void mem_set_smram(struct mem *mem, enum mem_smram which, uint64_t gpa, uint64_t len);

/*
 * A20M#: while it is not enabled, addresses of processors have bit 20 clear, as an 8086's do at 1 MiB; those of
 * devices do not. As mem_set_smram() in all else. KVM does not heed it.
 */
void mem_set_a20(struct mem *mem, bool enabled);

/* Copy; false, with nothing copied, if any byte of the range is not memory that can be read, or written. */
bool mem_read(const struct mem *mem, uint64_t gpa, void *buf, uint64_t len);
bool mem_write(struct mem *mem, uint64_t gpa, const void *buf, uint64_t len);
/*
 * The same for much, which lies in one run of RAM; `data` NULL: zeros. Whole pages of zeros give their
 * host memory back. While no vCPU runs.
 */
void mem_fill(struct mem *mem, uint64_t gpa, const uint8_t *data, uint64_t len);
/*
 * Gives the host memory of the whole pages in the range back: they read as zeros from now on. Nothing, where not all of
 * the range can be read and written.
 */
void mem_discard(struct mem *mem, uint64_t gpa, uint64_t len);
/* One gpa range as host memory, for block I/O; NULL unless all of it can be read and written in
 * one run. A writer calls mem_written() when the data has arrived. */
uint8_t *mem_range(const struct mem *mem, uint64_t gpa, uint64_t len);
void mem_written(struct mem *mem, uint64_t gpa, uint64_t len);

/*
 * Two pages of RAM (gpas), mapped a second time one after the other, in the place of `old`, which an
 * earlier call gave, or NULL. For accesses over both that one instruction is to make.
 */
uint8_t *mem_map_pair(const struct mem *mem, uint8_t *old, const uint64_t pages[2]);
void mem_unmap_pair(uint8_t *pair);

static inline void mem_set_dirty(struct mem *mem, uint64_t gpa)
{
	uint64_t page = gpa / MEM_PAGE_SIZE, bit = 1ull << (page % 64);

	if (!(atomic_load_explicit(&mem->dirty[page / 64], memory_order_relaxed) & bit))
		atomic_fetch_or(&mem->dirty[page / 64], bit);
}
static inline bool mem_is_dirty(const struct mem *mem, uint64_t gpa)
{
	uint64_t page = gpa / MEM_PAGE_SIZE;

	return atomic_load_explicit(&mem->dirty[page / 64], memory_order_relaxed) >> (page % 64) & 1;
}
/*
 * Moves the dirty bits of `n_words` * 64 pages from `first_page` (a multiple of 64) to `out`. Every store that
 * is older than the return is in it, and in guest RAM; every younger one will be in the next. Waits for
 * vCPUs that run, so its caller holds no lock that they take.
 */
void mem_fetch_dirty(struct mem *mem, uint64_t first_page, uint64_t *out, uint64_t n_words);

/* The lines of 64 bytes that gpa .. gpa+len-1, within one page, touch. */
static inline uint64_t mem_line_mask(uint64_t gpa, uint64_t len)
{
	unsigned first = gpa % MEM_PAGE_SIZE / 64, last = (gpa % MEM_PAGE_SIZE + len - 1) / 64;

	return (~0ull << first) & (~0ull >> (63 - last));
}
static inline uint64_t mem_code_lines(const struct mem *mem, uint64_t gpa)
{
	return atomic_load_explicit(&mem->code_lines[gpa / MEM_PAGE_SIZE], memory_order_relaxed);
}
/*
 * Marks lines of gpa's page as code, which may be read once mem_is_protecting() says no. Where the
 * page had none, all listeners protect it first. A mark goes when its line is written.
 */
void mem_add_code_lines(struct mem *mem, uint64_t gpa, uint64_t lines);
/* Whether a page is being protected; a vCPU that waits for it answers requests meanwhile. */
static inline bool mem_is_protecting(const struct mem *mem)
{
	return atomic_load(&mem->protecting);
}
void mem_add_listener(struct mem *mem, const struct mem_listener *listener);
void mem_remove_listener(struct mem *mem, void *opaque);

#endif
