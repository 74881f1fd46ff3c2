/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The smallest files that have every part of a kernel. */
#ifndef VIV_TESTS_FIRMWARE_KERNEL_H
#define VIV_TESTS_FIRMWARE_KERNEL_H

#include <glib.h>

#define KERNEL_TEXT	 0x200000ull /* entered at its start */
#define KERNEL_TEXT_LEN	 0x180ull
#define KERNEL_DATA	 0x300000ull
#define KERNEL_DATA_LEN	 0x10ull
#define KERNEL_DATA_SIZE 0x3000ull /* with bss */
#define KERNEL_PHDRS	 64	   /* offset of the program headers: text, note, data */
#define KERNEL_INIT_SIZE 0x180000u
#define KERNEL_CMDLINE	 255

/* An ELF64 x86-64 executable; the byte at i of a segment is 0x40 + i of the file's part. */
GByteArray *kernel_vmlinux(void);
/* A bzImage (boot protocol 2.15) of a payload, followed by its unpacked size. */
GByteArray *kernel_bzimage(const GByteArray *payload, guint32 unpacked_len);

#endif
