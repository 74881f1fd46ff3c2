/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A section on the wire, all little-endian:
 *
 *   u8 name_len, name, u16 instance, u16 version, u16 n_fields, then for each field
 *   u8 name_len, name, u8 element size, u32 elements, the elements.
 *
 * Fields come in the table's order, so that there is one encoding of one state. The
 * host is little-endian: an element's bytes are its encoding.
 */
#include "state/state.h"

#include <string.h>

#include "base/error.h"
#include "base/le.h"

/* Where loading stands, for error messages. */
struct load {
	const struct state_table *table;
	uint16_t instance;
	struct state_reader in;
	uint16_t version; /* the section's, once its header is read */
	GError **error;
};

static void put(GByteArray *out, uint64_t value, unsigned size)
{
	g_byte_array_append(out, (const uint8_t *)&value, size);
}

static void put_name(GByteArray *out, const char *name)
{
	size_t len = strlen(name);

	g_assert(len && len <= UINT8_MAX);
	put(out, len, 1);
	g_byte_array_append(out, (const uint8_t *)name, len);
}

static unsigned fields_of_version(const struct state_table *table, uint16_t version)
{
	unsigned n = 0;

	for (size_t i = 0; i < table->n_fields; i++)
		n += table->fields[i].since <= version;
	return n;
}

static size_t field_bytes(const struct state_field *field)
{
	return (size_t)field->size * field->count;
}

/* Elements to a place where, and from one where, they are so many bytes apart. */
static void copy_elements(const struct state_field *field, uint8_t *to, size_t to_stride,
			  const uint8_t *from, size_t from_stride)
{
	bool packed = to_stride == field->size && from_stride == field->size;
	size_t piece = packed ? field_bytes(field) : field->size;

	for (size_t done = 0; done < field_bytes(field); done += piece) {
		memcpy(to, from, piece);
		to += to_stride;
		from += from_stride;
	}
}

void state_field_set(const struct state_field *field, void *object, const void *elements)
{
	copy_elements(field, (uint8_t *)object + field->offset, field->stride, elements, field->size);
}

static void put_elements(GByteArray *out, const struct state_field *field, const void *object)
{
	guint at = out->len;

	g_byte_array_set_size(out, at + field_bytes(field));
	copy_elements(field, out->data + at, field->size, (const uint8_t *)object + field->offset,
		      field->stride);
}

void state_save(const struct state_table *table, uint16_t instance, const void *object,
		GByteArray *out)
{
	put_name(out, table->name);
	put(out, instance, 2);
	put(out, table->version, 2);
	put(out, fields_of_version(table, table->version), 2);
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct state_field *field = &table->fields[i];

		g_assert(field->since <= table->version &&
			 field->offset + (size_t)field->stride * (field->count - 1) + field->size <=
				 table->object_size);
		put_name(out, field->name);
		put(out, field->size, 1);
		put(out, field->count, 4);
		put_elements(out, field, object);
	}
}

G_GNUC_PRINTF(2, 3)
static bool refuse(struct load *load, const char *format, ...)
{
	g_autofree char *why = NULL;
	va_list ap;

	va_start(ap, format);
	why = g_strdup_vprintf(format, ap);
	va_end(ap);
	g_set_error(load->error, VIV_ERROR, VIV_ERROR_INPUT,
		    "saved state of '%s' %u, at byte %zu: %s", load->table->name, load->instance,
		    load->in.pos, why);
	return false;
}

/* The next `len` bytes, or NULL past the end. */
static const uint8_t *take(struct load *load, size_t len)
{
	const uint8_t *p = load->in.data + load->in.pos;

	if (load->in.len - load->in.pos < len) {
		refuse(load, "the stream ends early; it was cut short, make the snapshot again");
		return NULL;
	}
	load->in.pos += len;
	return p;
}

static bool expect_name(struct load *load, const char *what, const char *name)
{
	const uint8_t *p = take(load, 1);
	size_t len = p ? *p : 0;

	if (!p || !(p = take(load, len)))
		return false;
	if (len != strlen(name) || memcmp(p, name, len)) {
		g_autofree char *got = g_strndup((const char *)p, len);
		g_autofree char *printable = g_strescape(got, NULL);

		return refuse(load,
			      "expected %s '%s', found '%s'; the stream is damaged or of a "
			      "differently built machine",
			      what, name, printable);
	}
	return true;
}

static bool load_field(struct load *load, const struct state_field *field, void *object)
{
	const uint8_t *p;

	if (!expect_name(load, "field", field->name) || !(p = take(load, 5)))
		return false;
	if (p[0] != field->size || le32_load(p + 1) != field->count)
		return refuse(load, "field '%s' has the wrong shape; the stream is damaged",
			      field->name);
	p = take(load, field_bytes(field));
	if (!p)
		return false;
	for (uint32_t i = 0; field->boolean && i < field->count; i++) {
		if (p[i] > 1)
			return refuse(load,
				      "field '%s' is neither true nor false; the stream is "
				      "damaged",
				      field->name);
	}
	state_field_set(field, object, p);
	return true;
}

/* Everything up to the fields. */
static bool load_header(struct load *load)
{
	const uint8_t *p;

	if (!expect_name(load, "section", load->table->name) || !(p = take(load, 6)))
		return false;
	if (le16_load(p) != load->instance)
		return refuse(load,
			      "found instance %u; the stream is of a differently built machine",
			      le16_load(p));
	if (le16_load(p + 2) > load->table->version)
		return refuse(load,
			      "its version %u is newer than %u, the newest this program knows; "
			      "use a newer program",
			      le16_load(p + 2), load->table->version);
	if (le16_load(p + 4) != fields_of_version(load->table, le16_load(p + 2)))
		return refuse(load, "version %u has %u fields, not %u; the stream is damaged",
			      le16_load(p + 2), fields_of_version(load->table, le16_load(p + 2)),
			      le16_load(p + 4));
	load->version = le16_load(p + 2);
	return true;
}

bool state_load(const struct state_table *table, uint16_t instance, void *object,
		struct state_reader *reader, GError **error)
{
	struct load load = {table, instance, *reader, 0, error};
	g_autofree uint8_t *scratch = NULL;

	g_assert(reader->pos <= reader->len);
	if (!load_header(&load))
		return false;
	scratch = g_memdup2(object, table->object_size);
	for (size_t i = 0; i < table->n_fields; i++) {
		if (table->fields[i].since <= load.version &&
		    !load_field(&load, &table->fields[i], scratch))
			return false;
	}
	if (table->check && !table->check(scratch))
		return refuse(&load, "its values contradict each other; the stream is damaged");
	/* Field by field: what the table does not name (locks, pointers) stays untouched. */
	for (size_t i = 0; i < table->n_fields; i++) {
		const struct state_field *field = &table->fields[i];

		copy_elements(field, (uint8_t *)object + field->offset, field->stride,
			      scratch + field->offset, field->stride);
	}
	reader->pos = load.in.pos;
	return true;
}
