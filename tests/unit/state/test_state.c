/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "state/state.h"

#include <string.h>

#include "base/error.h"

enum mode { MODE_A, MODE_B };

struct thing {
	void *untouched;
	bool on;
	uint8_t index;
	uint16_t words[3];
	uint32_t grid[2][2];
	int64_t when;
	enum mode mode;
	bool flags[2];
	struct {
		void *untouched;
		uint16_t size;
		bool ready;
	} parts[3];
	uint8_t late;
};

static bool thing_check(const void *object)
{
	return ((const struct thing *)object)->index < 4;
}

static const struct state_field fields_v1[] = {
	STATE_FIELD(struct thing, on),	  STATE_FIELD(struct thing, index),
	STATE_FIELD(struct thing, words), STATE_FIELD(struct thing, grid),
	STATE_FIELD(struct thing, when),  STATE_FIELD(struct thing, mode),
	STATE_FIELD(struct thing, flags), STATE_FIELD_EACH(struct thing, parts, size),
	STATE_FIELD_EACH(struct thing, parts, ready),
};

static const struct state_field fields_v2[] = {
	STATE_FIELD(struct thing, on),	  STATE_FIELD(struct thing, index),
	STATE_FIELD(struct thing, words), STATE_FIELD(struct thing, grid),
	STATE_FIELD(struct thing, when),  STATE_FIELD(struct thing, mode),
	STATE_FIELD(struct thing, flags), STATE_FIELD_EACH(struct thing, parts, size),
	STATE_FIELD_EACH(struct thing, parts, ready), STATE_FIELD_SINCE(struct thing, late, 2),
};

static const struct state_table table_v1 = {
	"thing", 1, sizeof(struct thing), fields_v1, G_N_ELEMENTS(fields_v1), thing_check,
};
static const struct state_table table_v2 = {
	"thing", 2, sizeof(struct thing), fields_v2, G_N_ELEMENTS(fields_v2), thing_check,
};

static const struct thing sample = {
	.on = true,
	.index = 3,
	.words = {1, 0x8000, 0xffff},
	.grid = {{1, 2}, {3, 0xdeadbeef}},
	.when = -5,
	.mode = MODE_B,
	.flags = {false, true},
	.parts = {{.size = 7}, {.size = 8, .ready = true}, {.size = 9}},
	.late = 9,
};

static bool load(const struct state_table *table, const GByteArray *bytes, struct thing *thing,
		 size_t *end)
{
	struct state_reader reader = {bytes->data, bytes->len, 0};
	g_autoptr(GError) error = NULL;
	bool ok = state_load(table, 7, thing, &reader, &error);

	g_assert_true(ok == (error == NULL));
	if (error)
		g_assert_nonnull(strstr(error->message, "'thing' 7"));
	*end = reader.pos;
	return ok;
}

static void test_shapes(void)
{
	g_assert_cmpuint(fields_v1[3].size, ==, 4);
	g_assert_cmpuint(fields_v1[3].count, ==, 4);
	g_assert_cmpuint(fields_v1[5].size, ==, 4);
	g_assert_true(fields_v1[6].boolean);
	g_assert_cmpstr(fields_v1[7].name, ==, "parts[].size");
	g_assert_cmpuint(fields_v1[7].count, ==, 3);
	g_assert_true(fields_v1[8].boolean);
	g_assert_false(fields_v1[1].boolean);
}

static void test_round_trip(void)
{
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	g_autoptr(GByteArray) again = g_byte_array_new();
	struct thing thing = {.untouched = &thing, .parts[1].untouched = &thing};
	size_t end;

	state_save(&table_v2, 7, &sample, bytes);
	g_assert_true(load(&table_v2, bytes, &thing, &end));
	g_assert_cmpuint(end, ==, bytes->len);
	g_assert_true(thing.untouched == &thing);
	g_assert_cmpuint(thing.grid[1][1], ==, 0xdeadbeef);
	g_assert_cmpint(thing.when, ==, -5);
	g_assert_true(thing.parts[1].untouched == &thing);
	g_assert_cmpuint(thing.parts[2].size, ==, 9);
	g_assert_true(thing.parts[1].ready);
	state_save(&table_v2, 7, &thing, again);
	g_assert_cmpmem(bytes->data, bytes->len, again->data, again->len);
}

static void test_versions(void)
{
	g_autoptr(GByteArray) v1 = g_byte_array_new();
	g_autoptr(GByteArray) v2 = g_byte_array_new();
	struct thing thing = {.late = 42};
	size_t end;

	state_save(&table_v1, 7, &sample, v1);
	state_save(&table_v2, 7, &sample, v2);
	g_assert_true(load(&table_v2, v1, &thing, &end));
	g_assert_cmpuint(thing.late, ==, 42);
	g_assert_cmpuint(thing.index, ==, 3);
	g_assert_false(load(&table_v1, v2, &thing, &end));
}

static void test_refusals(void)
{
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	struct thing bad = sample, thing = {0};
	struct state_reader reader;
	size_t end;

	bad.index = 4;
	state_save(&table_v2, 7, &bad, bytes);
	g_assert_false(load(&table_v2, bytes, &thing, &end));
	g_assert_cmpuint(end, ==, 0);
	g_assert_false(thing.on);

	g_byte_array_set_size(bytes, 0);
	state_save(&table_v2, 8, &sample, bytes);
	g_assert_false(load(&table_v2, bytes, &thing, &end));

	g_byte_array_set_size(bytes, 0);
	bad = sample;
	memset(&bad.flags[1], 2, 1);
	state_save(&table_v2, 7, &bad, bytes);
	g_assert_false(load(&table_v2, bytes, &thing, &end));

	/* Cut anywhere: refused, and the object as it was. */
	g_byte_array_set_size(bytes, 0);
	state_save(&table_v2, 7, &sample, bytes);
	for (size_t len = 0; len < bytes->len; len++) {
		g_autofree uint8_t *cut = g_memdup2(bytes->data, len);

		reader = (struct state_reader){cut, len, 0};
		g_assert_false(state_load(&table_v2, 7, &thing, &reader, NULL));
		g_assert_false(thing.on);
	}
}

static void test_flipped_bits(void)
{
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	struct thing thing;
	size_t end;

	state_save(&table_v2, 7, &sample, bytes);
	for (size_t bit = 0; bit < bytes->len * 8; bit++) {
		bytes->data[bit / 8] ^= 1 << (bit % 8);
		thing = (struct thing){0};
		if (load(&table_v2, bytes, &thing, &end))
			g_assert_cmpuint(thing.index, <, 4);
		else
			g_assert_cmpuint(thing.words[2], ==, 0);
		bytes->data[bit / 8] ^= 1 << (bit % 8);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/state/shapes", test_shapes);
	g_test_add_func("/state/round-trip", test_round_trip);
	g_test_add_func("/state/versions", test_versions);
	g_test_add_func("/state/refusals", test_refusals);
	g_test_add_func("/state/flipped-bits", test_flipped_bits);
	return g_test_run();
}
