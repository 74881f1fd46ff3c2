/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <elf.h>
#include <string.h>

#include "base/le.h"
#include "firmware/elf.h"
#include "kernel.h"

#define RAM_SIZE (16ull << 20)

#define PHDR(n, field) (KERNEL_PHDRS + (n) * sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, field))

static void test_load(void)
{
	g_autoptr(GByteArray) file = kernel_vmlinux();
	struct mem *mem = mem_new(RAM_SIZE, NULL);
	struct elf_image image;
	uint8_t *data;

	g_assert_true(elf_parse(file->data, file->len, &image, NULL));
	g_assert_cmphex(image.entry, ==, KERNEL_TEXT);
	g_assert_cmphex(image.start, ==, KERNEL_TEXT);
	g_assert_cmphex(image.end, ==, KERNEL_DATA + KERNEL_DATA_SIZE);
	g_assert_cmpuint(image.n_segments, ==, 2);
	g_assert_true(image.is_64);
	g_assert_true(elf_fits(&image, mem));

	memset(mem_hva(mem, KERNEL_DATA), 0xff, KERNEL_DATA_SIZE + 1);
	elf_load(&image, mem);
	g_assert_cmphex(mem_hva(mem, KERNEL_TEXT)[1], ==, 0x41);
	data = mem_hva(mem, KERNEL_DATA);
	g_assert_cmphex(data[KERNEL_DATA_LEN - 1], ==, 0x40 + KERNEL_DATA_LEN - 1);
	for (unsigned i = KERNEL_DATA_LEN; i < KERNEL_DATA_SIZE; i++)
		g_assert_cmphex(data[i], ==, 0);
	g_assert_cmphex(data[KERNEL_DATA_SIZE], ==, 0xff);
	mem_free(mem);
}

/* One field made wrong, and a word of the refusal. */
static const struct bad_field {
	const char *name;
	unsigned offset, size;
	uint64_t value;
	const char *message;
} bad_fields[] = {
	{"magic", 0, 1, 0, "no ELF header"},
	{"class", EI_CLASS, 1, 3, "an x86 machine"},
	{"class-of-another", EI_CLASS, 1, ELFCLASS32, "an x86 machine"},
	{"big-endian", EI_DATA, 1, ELFDATA2MSB, "an x86 machine"},
	{"arm", offsetof(Elf64_Ehdr, e_machine), 2, EM_AARCH64, "an x86 machine"},
	{"object", offsetof(Elf64_Ehdr, e_type), 2, ET_REL, "linked"},
	{"no-phdrs", offsetof(Elf64_Ehdr, e_phnum), 2, 0, "program headers"},
	{"phentsize", offsetof(Elf64_Ehdr, e_phentsize), 2, 32, "program headers"},
	{"phoff", offsetof(Elf64_Ehdr, e_phoff), 8, 0x7ffffffffffffff0, "cut short"},
	{"phoff-wraps", offsetof(Elf64_Ehdr, e_phoff), 8, ~0ull, "cut short"},
	{"many-phdrs", offsetof(Elf64_Ehdr, e_phnum), 2, 0xffff, "cut short"},
	{"entry", offsetof(Elf64_Ehdr, e_entry), 8, KERNEL_TEXT + KERNEL_TEXT_LEN, "entry"},
	{"offset", PHDR(2, p_offset), 8, 0x10000, "cut short"},
	{"offset-wraps", PHDR(2, p_offset), 8, ~0ull - 4, "cut short"},
	{"file-size", PHDR(2, p_filesz), 8, KERNEL_DATA_LEN + 1, "cut short"},
	{"memory-size", PHDR(2, p_memsz), 8, KERNEL_DATA_LEN - 1, "larger"},
	{"memory-wraps", PHDR(2, p_memsz), 8, ~0ull, "physical address"},
	{"address", PHDR(2, p_paddr), 8, ~0ull, "physical address"},
	{"overlap", PHDR(2, p_paddr), 8, KERNEL_TEXT + KERNEL_TEXT_LEN - 1, "overlap"},
};

static void test_bad_field(gconstpointer param)
{
	const struct bad_field *bad = param;
	g_autoptr(GByteArray) file = kernel_vmlinux();
	g_autoptr(GError) error = NULL;
	struct elf_image image;

	memcpy(file->data + bad->offset, &bad->value, bad->size);
	g_assert_false(elf_parse(file->data, file->len, &image, &error));
	g_assert_nonnull(error);
	if (!strstr(error->message, bad->message))
		g_error("%s: '%s' does not tell of '%s'", bad->name, error->message, bad->message);
}

static void test_32_bit(void)
{
	static const uint8_t text[] = {0xf4, 0xeb, 0xfd, 0x55};
	struct {
		Elf32_Ehdr header;
		Elf32_Phdr ph;
		uint8_t text[sizeof(text)];
	} file = {
		.header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
			   .e_type = ET_EXEC,
			   .e_machine = EM_386,
			   .e_entry = KERNEL_TEXT + 1,
			   .e_phoff = sizeof(Elf32_Ehdr),
			   .e_phentsize = sizeof(Elf32_Phdr),
			   .e_phnum = 1},
		.ph = {.p_type = PT_LOAD,
		       .p_offset = sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr),
		       .p_vaddr = 0xc0000000 + KERNEL_TEXT,
		       .p_paddr = KERNEL_TEXT,
		       .p_filesz = sizeof(text),
		       .p_memsz = 4096},
	};
	struct mem *mem = mem_new(RAM_SIZE, NULL);
	struct elf_image image;

	memcpy(file.text, text, sizeof(text));
	g_assert_true(elf_parse((uint8_t *)&file, sizeof(file), &image, NULL));
	g_assert_false(image.is_64);
	g_assert_cmphex(image.entry, ==, KERNEL_TEXT + 1);
	g_assert_cmphex(image.end, ==, KERNEL_TEXT + 4096);
	elf_load(&image, mem);
	g_assert_cmpmem(mem_hva(mem, KERNEL_TEXT), sizeof(text), text, sizeof(text));
	g_assert_false(elf_parse((uint8_t *)&file, sizeof(file) - 1, &image, NULL));
	mem_free(mem);
}

static void test_does_not_fit(void)
{
	g_autoptr(GByteArray) file = kernel_vmlinux();
	struct mem *mem = mem_new(RAM_SIZE, NULL);
	struct elf_image image;

	le64_store(file->data + PHDR(2, p_paddr), RAM_SIZE - KERNEL_DATA_SIZE + 1);
	g_assert_true(elf_parse(file->data, file->len, &image, NULL));
	g_assert_false(elf_fits(&image, mem));
	le64_store(file->data + PHDR(2, p_paddr), RAM_SIZE - KERNEL_DATA_SIZE);
	g_assert_true(elf_parse(file->data, file->len, &image, NULL));
	g_assert_true(elf_fits(&image, mem));
	mem_free(mem);
}

static void test_cut_short(void)
{
	g_autoptr(GByteArray) file = kernel_vmlinux();
	struct elf_image image;

	for (unsigned len = 0; len < file->len; len++) {
		g_autofree uint8_t *exact = g_memdup2(file->data, len);

		g_assert_false(elf_parse(exact, len, &image, NULL));
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/elf/load", test_load);
	g_test_add_func("/elf/32-bit", test_32_bit);
	g_test_add_func("/elf/does-not-fit", test_does_not_fit);
	g_test_add_func("/elf/cut-short", test_cut_short);
	for (unsigned i = 0; i < G_N_ELEMENTS(bad_fields); i++) {
		g_autofree char *path = g_strdup_printf("/elf/bad/%s", bad_fields[i].name);

		g_test_add_data_func(path, &bad_fields[i], test_bad_field);
	}
	return g_test_run();
}
