/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "firmware/elf.h"

#include <elf.h>
#include <string.h>

#include "base/error.h"

/* What an x86-64 processor can address. */
#define PHYSICAL_LIMIT (1ull << 52)

static bool fail(GError **error, const char *what)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "%s", what);
	return false;
}

static bool parse_header(const uint8_t *data, size_t len, Elf64_Ehdr *header, GError **error)
{
	if (len < sizeof(*header) || memcmp(data, ELFMAG, SELFMAG) != 0)
		return fail(error, "no ELF header: the file is cut short or not an ELF executable");
	memcpy(header, data, sizeof(*header));
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != EM_X86_64)
		return fail(error, "an ELF file, but not for a 64-bit x86 machine: "
				   "give an x86-64 kernel");
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return fail(error, "an ELF object, not an executable: give a linked vmlinux");
	if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0)
		return fail(error, "an ELF file without program headers: "
				   "nothing in it can be loaded");
	if (header->e_phoff > len || (len - header->e_phoff) / sizeof(Elf64_Phdr) < header->e_phnum)
		return fail(error, "its ELF program headers lie past the end: "
				   "the file is cut short");
	return true;
}

static bool overlaps(const struct elf_segment *a, const struct elf_segment *b)
{
	return a->gpa < b->gpa + b->mem_size && b->gpa < a->gpa + a->mem_size;
}

static bool add_segment(struct elf_image *image, const uint8_t *data, size_t len,
			const Elf64_Phdr *ph, GError **error)
{
	struct elf_segment *s = &image->segments[image->n_segments];

	if (image->n_segments == ELF_MAX_SEGMENTS)
		return fail(error, "its ELF header names too many segments for a kernel");
	if (ph->p_filesz > ph->p_memsz)
		return fail(error, "an ELF segment is larger in the file than in memory");
	if (ph->p_offset > len || ph->p_filesz > len - ph->p_offset)
		return fail(error, "an ELF segment lies past the end: the file is cut short");
	if (ph->p_paddr >= PHYSICAL_LIMIT || ph->p_memsz > PHYSICAL_LIMIT - ph->p_paddr)
		return fail(error, "an ELF segment's physical address is beyond any x86 machine's");
	*s = (struct elf_segment){data + ph->p_offset, ph->p_filesz, ph->p_paddr, ph->p_memsz};
	for (unsigned i = 0; i < image->n_segments; i++) {
		if (overlaps(s, &image->segments[i]))
			return fail(error, "two ELF segments overlap in memory");
	}
	image->start = MIN(image->start, s->gpa);
	image->end = MAX(image->end, s->gpa + s->mem_size);
	image->n_segments++;
	return true;
}

static bool entry_is_loaded(const struct elf_image *image)
{
	for (unsigned i = 0; i < image->n_segments; i++) {
		if (image->entry - image->segments[i].gpa < image->segments[i].file_size)
			return true;
	}
	return false;
}

bool elf_parse(const uint8_t *data, size_t len, struct elf_image *image, GError **error)
{
	Elf64_Ehdr header;

	if (!parse_header(data, len, &header, error))
		return false;
	*image = (struct elf_image){.entry = header.e_entry, .start = UINT64_MAX};
	for (unsigned i = 0; i < header.e_phnum; i++) {
		Elf64_Phdr ph;

		memcpy(&ph, data + header.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_LOAD && ph.p_memsz &&
		    !add_segment(image, data, len, &ph, error))
			return false;
	}
	if (!entry_is_loaded(image))
		return fail(error, "its ELF entry point is in none of its segments");
	return true;
}

bool elf_fits(const struct elf_image *image, const struct mem *mem)
{
	for (unsigned i = 0; i < image->n_segments; i++) {
		if (!mem_range(mem, image->segments[i].gpa, image->segments[i].mem_size))
			return false;
	}
	return true;
}

void elf_load(const struct elf_image *image, struct mem *mem)
{
	for (unsigned i = 0; i < image->n_segments; i++) {
		const struct elf_segment *s = &image->segments[i];
		uint8_t *hva = mem_range(mem, s->gpa, s->mem_size);

		g_assert(hva);
		memcpy(hva, s->data, s->file_size);
		memset(hva + s->file_size, 0, s->mem_size - s->file_size);
		mem_written(mem, s->gpa, s->mem_size);
	}
}
