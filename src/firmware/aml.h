/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A writer of ACPI Machine Language (ACPI 6.5, chapter 20): terms are appended in
 * order, and those with a body are opened and closed around it, which is when their
 * package length is known. Resource descriptors (section 6.4) are terms of a resource
 * template. Names are given as in ASL, of one segment or two, with short segments padded.
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

/* Terms follow. */
void aml_open_method(struct aml *aml, const char *name, uint8_t n_args);
/* The condition, then terms follow. */
void aml_open_if(struct aml *aml);
/* Right behind a closed If. */
void aml_open_else(struct aml *aml);
/* Bytes of a device's PCI configuration space, from `offset` on; then the units of a field over them, each 8 bits, at
 * ascending offsets in that space. */
void aml_config_region(struct aml *aml, const char *name, uint8_t offset, uint8_t len);
void aml_open_field(struct aml *aml, const char *region);
void aml_field_unit(struct aml *aml, const char *name);
void aml_field_skip(struct aml *aml, unsigned n_bytes);

/* The object it names follows. */
void aml_name(struct aml *aml, const char *name);
/* What is named. */
void aml_path(struct aml *aml, const char *name);
void aml_integer(struct aml *aml, uint64_t value);
void aml_buffer(struct aml *aml, const uint8_t *bytes, uint8_t len);

/* Operators, whose operands follow; those of two operands with a result have a target after them, and Store a source and
 * a target. A name, as AML_CREATE_DWORD_FIELD's last operand, is an aml_path(). */
enum aml_op {
	AML_NO_TARGET = 0x00,
	AML_LOCAL0 = 0x60,
	AML_ARG0 = 0x68,
	AML_ARG1 = 0x69,
	AML_ARG3 = 0x6b,
	AML_STORE = 0x70,
	AML_AND = 0x7b,
	AML_OR = 0x7d,
	AML_CREATE_DWORD_FIELD = 0x8a,
	AML_NOT = 0x92,
	AML_EQUAL = 0x93,
	AML_RETURN = 0xa4,
};
void aml_op(struct aml *aml, enum aml_op op);
/* Seven characters, such as PNP0A03. */
void aml_eisa_id(struct aml *aml, const char *id);

/* Fixed ports, decoded on 16 lines. */
void aml_io(struct aml *aml, uint16_t base, uint8_t len);
/* An edge-triggered ISA line. */
void aml_irq(struct aml *aml, unsigned irq);
/* An ISA DMA channel of byte transfers. */
void aml_dma(struct aml *aml, unsigned channel);

/* Level-triggered, active low, shared lines of any number: one that is used, or several of which one may be. */
void aml_interrupt(struct aml *aml, const uint8_t *lines, uint8_t n);
#define AML_INTERRUPT_LINE 5 /* where in its bytes the first line is, a dword */
/* Addresses that are used. */
void aml_memory(struct aml *aml, uint32_t base, uint32_t len);

/* Values of an address space descriptor's resource type (table 6.47). */
enum aml_space { AML_SPACE_MEMORY = 0, AML_SPACE_IO = 1, AML_SPACE_BUS = 2 };
/* What a bridge passes on: `last` included. */
void aml_window16(struct aml *aml, enum aml_space space, uint16_t first, uint16_t last);
void aml_window32(struct aml *aml, enum aml_space space, uint32_t first, uint32_t last);
void aml_window64(struct aml *aml, enum aml_space space, uint64_t first, uint64_t last);

#endif
