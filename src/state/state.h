/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Field tables: the one description of what a device or CPU remembers, from
 * which snapshot and migration streams are written and read.
 *
 * A stream is a sequence of sections. A section names its table, an instance
 * number and the table's version, and holds named fields, all little-endian, so
 * that a reader can refuse what it does not know and tell the user its name.
 * A stream is hostile input: loading never reads past its end, never writes
 * outside the object, and changes the object only if the whole section is good.
 *
 * Threads: none; the caller stops whoever owns the object first.
 */
#ifndef VIV_STATE_STATE_H
#define VIV_STATE_STATE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct state_field {
	const char *name;
	uint32_t offset;
	uint8_t size;   /* bytes an element: 1, 2, 4 or 8 */
	uint32_t count; /* elements */
	uint32_t stride; /* bytes from one to the next: `size`, or those of the struct they are in */
	uint16_t since; /* first table version that has it; older streams leave it at reset value */
	bool boolean;   /* any other value than 0 and 1 is refused */
};

struct state_table {
	const char *name;
	uint16_t version;
	size_t object_size;
	const struct state_field *fields;
	size_t n_fields;
	/* Says whether loaded values can be lived with (indices in range, reserved
	 * bits clear). Called on a scratch copy of the object. NULL: any value can. */
	bool (*check)(const void *object);
};

/* An integer, bool or enum member, or an array of them of one or two dimensions. */
#define STATE_FIELD(type, member) STATE_FIELD_SINCE(type, member, 0)
/* The same, added in table version `v`. */
#define STATE_FIELD_SINCE(type, member, v)                                                         \
	{                                                                                          \
		#member, offsetof(type, member), STATE_ELEM(type, member),                         \
			sizeof(((type *)0)->member) / STATE_ELEM(type, member),                    \
			STATE_ELEM(type, member), v, STATE_IS_BOOL(type, member)                   \
	}
/* A scalar member of each struct of an array. */
#define STATE_FIELD_EACH(type, array, member)                                                      \
	{                                                                                          \
		#array "[]." #member, offsetof(type, array[0].member),                             \
			STATE_ELEM(type, array[0].member), G_N_ELEMENTS(((type *)0)->array),       \
			sizeof(((type *)0)->array[0]), 0, STATE_IS_BOOL(type, array[0].member)     \
	}

/* Matches a scalar, an array (which decays to a pointer) and an array of arrays. */
#define STATE_SHAPES(elem, result) elem : result, elem * : result, elem(*)[] : result
/* The innermost element's size; other types do not compile. */
#define STATE_ELEM(type, member)                                                                   \
	_Generic(((type *)0)->member, STATE_SHAPES(bool, 1), STATE_SHAPES(uint8_t, 1),             \
		STATE_SHAPES(int8_t, 1), STATE_SHAPES(uint16_t, 2), STATE_SHAPES(int16_t, 2),      \
		STATE_SHAPES(uint32_t, 4), STATE_SHAPES(int32_t, 4), STATE_SHAPES(uint64_t, 8),    \
		STATE_SHAPES(int64_t, 8))
#define STATE_IS_BOOL(type, member)                                                                \
	_Generic(((type *)0)->member, STATE_SHAPES(bool, true), default : false)

/* Appends one section to `out`. */
void state_save(const struct state_table *table, uint16_t instance, const void *object,
		GByteArray *out);

/* Writes all of a field's elements, which lie one behind the other at `elements`. */
void state_field_set(const struct state_field *field, void *object, const void *elements);

/* A cursor over a stream somebody else owns. */
struct state_reader {
	const uint8_t *data;
	size_t len, pos;
};

/*
 * Reads the next section, which must be `table`, `instance`. On failure the
 * object is unchanged and the error names section and field.
 */
bool state_load(const struct state_table *table, uint16_t instance, void *object,
		struct state_reader *reader, GError **error);

#endif
