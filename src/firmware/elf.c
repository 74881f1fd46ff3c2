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

/* The 32-bit header, widened. */
static Elf64_Ehdr widen_header(const uint8_t *data)
{
	Elf32_Ehdr h;
	Elf64_Ehdr wide;

	memcpy(&h, data, sizeof(h));
	memcpy(&wide, data, sizeof(h.e_ident));
	wide.e_type = h.e_type;
	wide.e_machine = h.e_machine;
	wide.e_entry = h.e_entry;
	wide.e_phoff = h.e_phoff;
	wide.e_phentsize = h.e_phentsize;
	wide.e_phnum = h.e_phnum;
	return wide;
}

static Elf64_Phdr read_program_header(const uint8_t *p, bool is_64)
{
	Elf64_Phdr wide;
	Elf32_Phdr h;

	if (is_64) {
		memcpy(&wide, p, sizeof(wide));
		return wide;
	}
	memcpy(&h, p, sizeof(h));
	return (Elf64_Phdr){.p_type = h.p_type,
			    .p_offset = h.p_offset,
			    .p_paddr = h.p_paddr,
			    .p_filesz = h.p_filesz,
			    .p_memsz = h.p_memsz};
}

static bool parse_header(const uint8_t *data, size_t len, Elf64_Ehdr *header, size_t *ph_size,
			 GError **error)
{
	bool is_64;

	if (len < sizeof(*header) || memcmp(data, ELFMAG, SELFMAG) != 0)
		return fail(error, "no ELF header: the file is cut short or not an ELF executable");
	is_64 = data[EI_CLASS] == ELFCLASS64;
	*ph_size = is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	if (is_64)
		memcpy(header, data, sizeof(*header));
	else
		*header = widen_header(data);
	if ((!is_64 && data[EI_CLASS] != ELFCLASS32) || data[EI_DATA] != ELFDATA2LSB ||
	    header->e_machine != (is_64 ? EM_X86_64 : EM_386))
		return fail(error, "an ELF file, but not for an x86 machine: "
				   "give an x86-64 or i386 kernel");
	if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
		return fail(error, "an ELF object, not an executable: give a linked vmlinux");
	if (header->e_phentsize != *ph_size || header->e_phnum == 0)
		return fail(error, "an ELF file without program headers: "
				   "nothing in it can be loaded");
	if (header->e_phoff > len || (len - header->e_phoff) / *ph_size < header->e_phnum)
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
	size_t ph_size;

	if (!parse_header(data, len, &header, &ph_size, error))
		return false;
	*image = (struct elf_image){.is_64 = data[EI_CLASS] == ELFCLASS64,
				    .entry = header.e_entry,
				    .start = UINT64_MAX};
	for (unsigned i = 0; i < header.e_phnum; i++) {
		Elf64_Phdr ph =
			read_program_header(data + header.e_phoff + i * ph_size, image->is_64);

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

		mem_fill(mem, s->gpa, s->data, s->file_size);
		mem_fill(mem, s->gpa + s->file_size, NULL, s->mem_size - s->file_size);
	}
}
