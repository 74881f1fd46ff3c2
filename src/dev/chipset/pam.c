/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/chipset/pam.h"

#include <string.h>

#define AREA_START   0xc0000u
#define AREA_END     0x100000u
#define ROM_START    0xe0000u
#define F_SEGMENT    0xf0000u
#define SMRAM_START  0xa0000u
#define SMRAM_SIZE   0x20000u
#define SEGMENT_SIZE 0x4000u
#define PAM_UNKNOWN  0xff

enum { RE = 1, WE = 2 };

/* Segments 0 to 11 are 16 KiB from C0000h, in PAM1 to PAM6; 12 is all of F0000h, in PAM0. */
static unsigned segment_of(uint32_t gpa)
{
	return MIN((gpa - AREA_START) / SEGMENT_SIZE, PAM_SEGMENTS - 1u);
}

static uint64_t area_read(void *opaque, uint64_t offset, unsigned size)
{
	return UINT64_MAX;
}

/* What the processors cannot write as memory: dropped, but where RAM is enabled for writes only. */
static void area_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct pam *pam = opaque;

	for (unsigned i = 0; i < size; i++, value >>= 8) {
		uint32_t gpa = AREA_START + offset + i;
		uint8_t byte = value;

		if (pam->shown[segment_of(gpa)] == WE)
			mem_write_under(pam->device->env->mem, gpa, &byte, 1);
	}
}

static const struct bus_ops area_ops = {area_read, area_write};

bool pam_init(struct pam *pam, struct device *device, struct mem_bank *rom, GError **error)
{
	pam->device = device;
	pam->rom = rom;
	memset(pam->shown, PAM_UNKNOWN, sizeof(pam->shown));
	return device_map_part(device, BUS_MMIO, AREA_START, AREA_END - AREA_START, &area_ops, pam, error);
}

/* As much of the ROM's end as lies in a segment: one may be smaller than its area. */
static void show_rom(const struct pam *pam, uint32_t gpa, uint32_t len)
{
	struct mem *mem = pam->device->env->mem;
	uint64_t size = pam->rom ? mem_bank_size(pam->rom) : 0;
	uint32_t start = AREA_END - MIN(size, AREA_END - ROM_START);
	uint32_t from = CLAMP(start, gpa, gpa + len);

	if (from > gpa)
		mem_show(mem, gpa, from - gpa, NULL, 0, MEM_NO_ACCESS);
	if (from < gpa + len)
		mem_show(mem, from, gpa + len - from, pam->rom, size - (AREA_END - from), MEM_READ);
}

static void show_segment(const struct pam *pam, unsigned segment, uint8_t enables)
{
	struct mem *mem = pam->device->env->mem;
	uint32_t gpa = AREA_START + segment * SEGMENT_SIZE;
	uint32_t len = gpa == F_SEGMENT ? AREA_END - F_SEGMENT : SEGMENT_SIZE;

	if (enables & RE)
		mem_show(mem, gpa, len, NULL, 0, enables & WE ? MEM_READ_WRITE : MEM_READ);
	else
		show_rom(pam, gpa, len);
}

void pam_update(struct pam *pam, const uint8_t regs[PAM_REGS])
{
	for (unsigned i = 0; i < PAM_SEGMENTS; i++) {
		uint8_t reg = i == PAM_SEGMENTS - 1 ? regs[0] >> 4 : regs[1 + i / 2] >> i % 2 * 4;
		uint8_t enables = reg & (RE | WE);

		if (enables == pam->shown[i])
			continue;
		show_segment(pam, i, enables);
		pam->shown[i] = enables;
	}
}

uint8_t smram_written(uint8_t old, uint8_t value)
{
	uint8_t writable = old & SMRAM_D_LCK ? SMRAM_D_CLS : SMRAM_WRITABLE;
	uint8_t reg = (old & ~writable) | (value & writable);

	return reg & SMRAM_D_LCK ? reg & ~SMRAM_D_OPEN : reg;
}

void smram_update(struct device *device, uint8_t reg)
{
	bool open = (reg & SMRAM_G_SMRAME) && (reg & SMRAM_D_OPEN);

	mem_set_smram(device->env->mem, MEM_SMRAM_COMPATIBLE, SMRAM_START, open ? 0 : SMRAM_SIZE);
}
