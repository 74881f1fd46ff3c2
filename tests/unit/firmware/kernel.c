/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kernel.h"

#include <elf.h>
#include <string.h>

#include "base/le.h"
#include "firmware/bzimage.h"

#define TEXT_OFFSET 0x200
#define DATA_OFFSET (TEXT_OFFSET + KERNEL_TEXT_LEN)
#define SETUP_SECTS 2

GByteArray *kernel_vmlinux(void)
{
	const Elf64_Ehdr header = {
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = KERNEL_TEXT,
		.e_phoff = KERNEL_PHDRS,
		.e_ehsize = sizeof(header),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 3,
	};
	const Elf64_Phdr phdrs[] = {
		{.p_type = PT_LOAD,
		 .p_offset = TEXT_OFFSET,
		 .p_vaddr = 0xffffffff80000000 + KERNEL_TEXT,
		 .p_paddr = KERNEL_TEXT,
		 .p_filesz = KERNEL_TEXT_LEN,
		 .p_memsz = KERNEL_TEXT_LEN},
		{.p_type = PT_NOTE, .p_offset = ~0ull},
		{.p_type = PT_LOAD,
		 .p_offset = DATA_OFFSET,
		 .p_paddr = KERNEL_DATA,
		 .p_filesz = KERNEL_DATA_LEN,
		 .p_memsz = KERNEL_DATA_SIZE},
	};
	GByteArray *file = g_byte_array_set_size(g_byte_array_new(), DATA_OFFSET + KERNEL_DATA_LEN);

	memset(file->data, 0, file->len);
	memcpy(file->data, &header, sizeof(header));
	memcpy(file->data + KERNEL_PHDRS, phdrs, sizeof(phdrs));
	for (unsigned i = 0; i < KERNEL_TEXT_LEN; i++)
		file->data[TEXT_OFFSET + i] = 0x40 + i;
	for (unsigned i = 0; i < KERNEL_DATA_LEN; i++)
		file->data[DATA_OFFSET + i] = 0x40 + i;
	return file;
}

GByteArray *kernel_bzimage(const GByteArray *payload, guint32 unpacked_len)
{
	const unsigned payload_offset = 0x80, start = (SETUP_SECTS + 1) * 512 + payload_offset;
	GByteArray *file = g_byte_array_set_size(g_byte_array_new(), start);
	guint8 *bp = file->data;

	memset(bp, 0, start);
	bp[BP_SETUP_SECTS] = SETUP_SECTS;
	le16_store(bp + BP_BOOT_FLAG, 0xaa55);
	bp[BP_JUMP] = 0xeb;
	bp[BP_JUMP + 1] = 0x6a;
	memcpy(bp + BP_HEADER, "HdrS", 4);
	le16_store(bp + BP_VERSION, 0x20f);
	bp[BP_LOADFLAGS] = 1;
	le32_store(bp + BP_INITRD_ADDR_MAX, 0x7fffffff);
	le16_store(bp + BP_XLOADFLAGS, 1);
	le32_store(bp + BP_CMDLINE_SIZE, KERNEL_CMDLINE);
	le32_store(bp + BP_PAYLOAD_OFFSET, payload_offset);
	le32_store(bp + BP_PAYLOAD_LENGTH, payload->len + 4);
	le64_store(bp + BP_PREF_ADDRESS, KERNEL_TEXT);
	le32_store(bp + BP_INIT_SIZE, KERNEL_INIT_SIZE);
	g_byte_array_append(file, payload->data, payload->len);
	return g_byte_array_append(file, (guint8 *)&unpacked_len, 4);
}
