/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "firmware/aml.h"

#include <string.h>

#include "base/le.h"

/* ACPI 6.5, table 20.2 */
enum {
	ZERO_OP = 0x00,
	ONE_OP = 0x01,
	NAME_OP = 0x08,
	BYTE_PREFIX = 0x0a,
	WORD_PREFIX = 0x0b,
	DWORD_PREFIX = 0x0c,
	QWORD_PREFIX = 0x0e,
	SCOPE_OP = 0x10,
	BUFFER_OP = 0x11,
	PACKAGE_OP = 0x12,
	METHOD_OP = 0x14,
	DUAL_NAME_PREFIX = 0x2e,
	EXT_OP_PREFIX = 0x5b,
	REGION_OP = 0x80,
	FIELD_OP = 0x81,
	DEVICE_OP = 0x82,
	IF_OP = 0xa0,
	ELSE_OP = 0xa1,
};

/* Section 6.4: a small item's tag holds its length in the low three bits. */
enum {
	SMALL_IRQ_NO_FLAGS = 0x22,
	SMALL_DMA = 0x2a,
	SMALL_IO = 0x47,
	SMALL_END = 0x79,
	LARGE_MEMORY32_FIXED = 0x86,
	LARGE_DWORD_ADDRESS = 0x87,
	LARGE_WORD_ADDRESS = 0x88,
	LARGE_INTERRUPT = 0x89,
	LARGE_QWORD_ADDRESS = 0x8a,
};

void aml_init(struct aml *aml)
{
	aml->code = g_byte_array_new();
	aml->open = g_array_new(FALSE, FALSE, sizeof(guint));
}

void aml_fini(struct aml *aml)
{
	g_byte_array_unref(aml->code);
	g_array_unref(aml->open);
}

static void put(struct aml *aml, uint64_t value, unsigned size)
{
	uint8_t bytes[8];

	le64_store(bytes, value);
	g_byte_array_append(aml->code, bytes, size);
}

static void insert(struct aml *aml, guint at, const uint8_t *bytes, guint len)
{
	guint tail = aml->code->len - at;

	g_byte_array_set_size(aml->code, aml->code->len + len);
	memmove(aml->code->data + at + len, aml->code->data + at, tail);
	memcpy(aml->code->data + at, bytes, len);
}

static void open_body(struct aml *aml)
{
	g_array_append_val(aml->open, aml->code->len);
}

/* Section 20.2.4: the length counts its own bytes. One byte holds six bits; the first of
 * several holds four and the number of those that follow, eight bits each. */
void aml_close(struct aml *aml)
{
	guint body = g_array_index(aml->open, guint, aml->open->len - 1);
	guint len = aml->code->len - body, n = 1;
	uint8_t encoded[4] = {len + 1};

	g_array_set_size(aml->open, aml->open->len - 1);
	if (len + 1 >= 1 << 6) {
		for (n = 2; len + n >= 1u << (4 + 8 * (n - 1)); n++)
			g_assert(n < sizeof(encoded));
		len += n;
		encoded[0] = (n - 1) << 6 | (len & 0xf);
		for (guint i = 1; i < n; i++)
			encoded[i] = len >> (4 + 8 * (i - 1));
	}
	insert(aml, body, encoded, n);
}

static void put_segment(struct aml *aml, const char *name, size_t len)
{
	g_assert(len >= 1 && len <= 4);
	for (unsigned i = 0; i < 4; i++)
		put(aml, i < len ? name[i] : '_', 1);
}

/* One segment or two, with a root prefix or without. */
static void put_path(struct aml *aml, const char *name)
{
	const char *dot;

	if (*name == '\\') {
		put(aml, '\\', 1);
		name++;
	}
	dot = strchr(name, '.');
	if (dot) {
		put(aml, DUAL_NAME_PREFIX, 1);
		put_segment(aml, name, dot - name);
		name = dot + 1;
	}
	put_segment(aml, name, strlen(name));
}

void aml_open_scope(struct aml *aml, const char *name)
{
	put(aml, SCOPE_OP, 1);
	open_body(aml);
	put_path(aml, name);
}

void aml_open_device(struct aml *aml, const char *name)
{
	put(aml, EXT_OP_PREFIX, 1);
	put(aml, DEVICE_OP, 1);
	open_body(aml);
	put_path(aml, name);
}

void aml_open_package(struct aml *aml, uint8_t n)
{
	put(aml, PACKAGE_OP, 1);
	open_body(aml);
	put(aml, n, 1);
}

/* Serialized, since methods may name objects of their own. */
void aml_open_method(struct aml *aml, const char *name, uint8_t n_args)
{
	const uint8_t serialized = 0x08;

	put(aml, METHOD_OP, 1);
	open_body(aml);
	put_path(aml, name);
	put(aml, n_args | serialized, 1);
}

void aml_open_if(struct aml *aml)
{
	put(aml, IF_OP, 1);
	open_body(aml);
}

void aml_open_else(struct aml *aml)
{
	put(aml, ELSE_OP, 1);
	open_body(aml);
}

void aml_config_region(struct aml *aml, const char *name, uint8_t offset, uint8_t len)
{
	const uint8_t pci_config = 2;

	put(aml, EXT_OP_PREFIX, 1);
	put(aml, REGION_OP, 1);
	put_path(aml, name);
	put(aml, pci_config, 1);
	aml_integer(aml, offset);
	aml_integer(aml, len);
}

void aml_open_field(struct aml *aml, const char *region)
{
	const uint8_t byte_access = 1; /* no lock; other bits are preserved */

	put(aml, EXT_OP_PREFIX, 1);
	put(aml, FIELD_OP, 1);
	open_body(aml);
	put_path(aml, region);
	put(aml, byte_access, 1);
}

void aml_field_unit(struct aml *aml, const char *name)
{
	put_path(aml, name);
	put(aml, 8, 1);
}

/* The number of bits has the form of a package length, here of one byte. */
void aml_field_skip(struct aml *aml, unsigned n_bytes)
{
	g_assert(n_bytes * 8 < 1 << 6);
	if (!n_bytes)
		return;
	put(aml, 0, 1);
	put(aml, n_bytes * 8, 1);
}

void aml_path(struct aml *aml, const char *name)
{
	put_path(aml, name);
}

void aml_op(struct aml *aml, enum aml_op op)
{
	put(aml, op, 1);
}

void aml_buffer(struct aml *aml, const uint8_t *bytes, uint8_t len)
{
	put(aml, BUFFER_OP, 1);
	open_body(aml);
	aml_integer(aml, len);
	g_byte_array_append(aml->code, bytes, len);
	aml_close(aml);
}

void aml_name(struct aml *aml, const char *name)
{
	put(aml, NAME_OP, 1);
	put_path(aml, name);
}

void aml_integer(struct aml *aml, uint64_t value)
{
	static const struct {
		uint8_t prefix, size;
	} forms[] = {
		{BYTE_PREFIX, 1},
		{WORD_PREFIX, 2},
		{DWORD_PREFIX, 4},
		{QWORD_PREFIX, 8},
	};
	unsigned i = 0;

	if (value <= 1) {
		put(aml, value ? ONE_OP : ZERO_OP, 1);
		return;
	}
	while (i < 3 && value >> (8 * forms[i].size))
		i++;
	put(aml, forms[i].prefix, 1);
	put(aml, value, forms[i].size);
}

/* Section 19.3.4: three letters of five bits each, then four hexadecimal digits; the
 * 32-bit number is stored with its bytes swapped. */
void aml_eisa_id(struct aml *aml, const char *id)
{
	uint32_t v = 0;

	g_assert(strlen(id) == 7);
	for (unsigned i = 0; i < 3; i++)
		v = v << 5 | ((id[i] - 'A' + 1) & 0x1f);
	for (unsigned i = 3; i < 7; i++)
		v = v << 4 | g_ascii_xdigit_value(id[i]);
	put(aml, DWORD_PREFIX, 1);
	put(aml, GUINT32_SWAP_LE_BE(v), 4);
}

/* A buffer, whose length, an integer term, precedes its bytes: two bodies are open
 * until it is known. */
void aml_open_resources(struct aml *aml)
{
	put(aml, BUFFER_OP, 1);
	open_body(aml);
	open_body(aml);
}

void aml_close_resources(struct aml *aml)
{
	guint start = g_array_index(aml->open, guint, aml->open->len - 1);
	uint8_t len[3] = {WORD_PREFIX};

	put(aml, SMALL_END, 1);
	put(aml, 0, 1); /* no checksum */
	le16_store(len + 1, aml->code->len - start);
	g_array_set_size(aml->open, aml->open->len - 1);
	insert(aml, start, len, sizeof(len));
	aml_close(aml);
}

void aml_io(struct aml *aml, uint16_t base, uint8_t len)
{
	const uint8_t decode16 = 1, align = 1;

	put(aml, SMALL_IO, 1);
	put(aml, decode16, 1);
	put(aml, base, 2);
	put(aml, base, 2);
	put(aml, align, 1);
	put(aml, len, 1);
}

void aml_irq(struct aml *aml, unsigned irq)
{
	put(aml, SMALL_IRQ_NO_FLAGS, 1);
	put(aml, 1u << irq, 2);
}

/* Section 6.4.2.2. */
void aml_dma(struct aml *aml, unsigned channel)
{
	put(aml, SMALL_DMA, 1);
	put(aml, 1u << channel, 1);
	put(aml, 0, 1); /* compatible speed, no bus master, bytes only */
}

/* Section 6.4.3.6 */
void aml_interrupt(struct aml *aml, const uint8_t *lines, uint8_t n)
{
	const uint8_t consumer = 0x01, active_low = 0x04, shared = 0x08;

	put(aml, LARGE_INTERRUPT, 1);
	put(aml, 2 + 4 * n, 2);
	put(aml, consumer | active_low | shared, 1);
	put(aml, n, 1);
	for (unsigned i = 0; i < n; i++)
		put(aml, lines[i], 4);
}

/* Section 6.4.3.4 */
void aml_memory(struct aml *aml, uint32_t base, uint32_t len)
{
	const uint8_t read_write = 1;

	put(aml, LARGE_MEMORY32_FIXED, 1);
	put(aml, 9, 2);
	put(aml, read_write, 1);
	put(aml, base, 4);
	put(aml, len, 4);
}

/* Section 6.4.3.5. Both ends are fixed, decoding is positive. */
static void put_window(struct aml *aml, uint8_t tag, unsigned size, enum aml_space space,
		       uint64_t first, uint64_t last)
{
	const uint8_t fixed = 0x0c;
	static const uint8_t type_flags[] = {
		[AML_SPACE_MEMORY] = 0x01, /* read-write, not cacheable */
		[AML_SPACE_IO] = 0x03,	   /* the entire range */
		[AML_SPACE_BUS] = 0,
	};

	put(aml, tag, 1);
	put(aml, 3 + 5 * size, 2);
	put(aml, space, 1);
	put(aml, fixed, 1);
	put(aml, type_flags[space], 1);
	put(aml, 0, size); /* granularity */
	put(aml, first, size);
	put(aml, last, size);
	put(aml, 0, size); /* translation */
	put(aml, last - first + 1, size);
}

void aml_window16(struct aml *aml, enum aml_space space, uint16_t first, uint16_t last)
{
	put_window(aml, LARGE_WORD_ADDRESS, 2, space, first, last);
}

void aml_window32(struct aml *aml, enum aml_space space, uint32_t first, uint32_t last)
{
	put_window(aml, LARGE_DWORD_ADDRESS, 4, space, first, last);
}

void aml_window64(struct aml *aml, enum aml_space space, uint64_t first, uint64_t last)
{
	put_window(aml, LARGE_QWORD_ADDRESS, 8, space, first, last);
}
