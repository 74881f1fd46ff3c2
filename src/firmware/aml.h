/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A writer of ACPI Machine Language (ACPI 6.5, chapter 20): terms are appended in
 * order, and those with a body are opened and closed around it, which is when their
 * package length is known. Resource descriptors (section 6.4) are terms of a resource
 * template. Names are given as in ASL, with short segments padded.
 */
#ifndef VIV_FIRMWARE_AML_H
#define VIV_FIRMWARE_AML_H

#include <glib.h>
#include <stdint.h>

struct aml {
	GByteArray *code;
	GArray *open; /* offsets of the bodies' first bytes */
};

void aml_init(struct aml *aml);
void aml_fini(struct aml *aml);

/* Closes the innermost open term. */
void aml_close(struct aml *aml);

void aml_open_scope(struct aml *aml, const char *name);
void aml_open_device(struct aml *aml, const char *name);
/* The elements follow; `n` must be their count. */
void aml_open_package(struct aml *aml, uint8_t n);
/* Descriptors follow; ended by aml_close_resources(). */
void aml_open_resources(struct aml *aml);
void aml_close_resources(struct aml *aml);

/* The object it names follows. */
void aml_name(struct aml *aml, const char *name);
void aml_integer(struct aml *aml, uint64_t value);
/* Seven characters, such as PNP0A03. */
void aml_eisa_id(struct aml *aml, const char *id);

/* Fixed ports, decoded on 16 lines. */
void aml_io(struct aml *aml, uint16_t base, uint8_t len);
/* An edge-triggered ISA line. */
void aml_irq(struct aml *aml, unsigned irq);
/* An ISA DMA channel of byte transfers. */
void aml_dma(struct aml *aml, unsigned channel);

/* Values of an address space descriptor's resource type (table 6.47). */
enum aml_space { AML_SPACE_MEMORY = 0, AML_SPACE_IO = 1, AML_SPACE_BUS = 2 };
/* What a bridge passes on: `last` included. */
void aml_window16(struct aml *aml, enum aml_space space, uint16_t first, uint16_t last);
void aml_window32(struct aml *aml, enum aml_space space, uint32_t first, uint32_t last);
void aml_window64(struct aml *aml, enum aml_space space, uint64_t first, uint64_t last);

#endif
