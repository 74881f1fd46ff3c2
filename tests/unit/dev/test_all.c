/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What holds for every device of the table: a saved state restored into a fresh device cannot
 * be told from the original by anything a guest can do, and no state stream, however
 * made, is the end of the program.
 */
#include "dev/table.h"

#include "rig.h"

enum {
	ROUNDS = 40,
	STEPS = 500,
	MUTANTS = 150,
	MUTANT_STEPS = 100,
};

static uint8_t *random_bytes(GRand *rand, size_t len)
{
	uint8_t *bytes = g_malloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = g_rand_int(rand);
	return bytes;
}

static void drive_random(struct rig *rig, GRand *rand, unsigned steps)
{
	g_autofree uint8_t *bytes = random_bytes(rand, steps * RIG_STEP_LEN);

	rig_drive(rig, bytes, steps * RIG_STEP_LEN);
}

/* Shows the first difference: the logs are long. */
static void assert_same_log(struct rig *a, struct rig *b)
{
	size_t at = 0, from;

	if (!strcmp(a->log->str, b->log->str))
		return;
	while (a->log->str[at] == b->log->str[at])
		at++;
	from = at > 60 ? at - 60 : 0;
	g_error("the restored %s differs:\n%.100s\n%.100s", a->device->class->name,
		a->log->str + from, b->log->str + from);
}

/* Of what either wrote since their RAM was the same. */
static void assert_same_ram(struct rig *a, struct rig *b)
{
	uint64_t dirty[2][MEM_MIN_SIZE / MEM_PAGE_SIZE / 64];

	mem_fetch_dirty(a->env.mem, 0, dirty[0], G_N_ELEMENTS(dirty[0]));
	mem_fetch_dirty(b->env.mem, 0, dirty[1], G_N_ELEMENTS(dirty[1]));
	for (uint64_t page = 0; page < MEM_MIN_SIZE / MEM_PAGE_SIZE; page++) {
		uint64_t gpa = page * MEM_PAGE_SIZE;

		g_assert_true(mem_is_ram(a->env.mem, gpa) == mem_is_ram(b->env.mem, gpa));
		if (mem_is_ram(a->env.mem, gpa) &&
		    (dirty[0][page / 64] | dirty[1][page / 64]) >> page % 64 & 1)
			g_assert_cmpmem(mem_hva(a->env.mem, gpa), MEM_PAGE_SIZE,
					mem_hva(b->env.mem, gpa), MEM_PAGE_SIZE);
	}
}

static void check_round_trip(const struct rig_row *row, GRand *rand)
{
	struct rig *a = rig_new_row(row), *b = rig_new_row(row);
	g_autofree uint8_t *further = random_bytes(rand, STEPS * RIG_STEP_LEN);

	drive_random(a, rand, STEPS);
	rig_clone(b, a);
	g_assert_cmphex(a->levels, ==, b->levels);
	g_assert_true(a->intr == b->intr);
	rig_drive(a, further, STEPS * RIG_STEP_LEN);
	rig_drive(b, further, STEPS * RIG_STEP_LEN);
	assert_same_log(a, b);
	g_assert_true(a->intr == b->intr);
	assert_same_ram(a, b);
	rig_free(a);
	rig_free(b);
}

static void test_round_trip(gconstpointer data)
{
	GRand *rand = g_rand_new_with_seed(1);

	for (unsigned i = 0; i < ROUNDS; i++)
		check_round_trip(data, rand);
	g_rand_free(rand);
}

/* Some bits or bytes of a good stream changed; names and shapes mostly stay. */
static void mutate(GRand *rand, uint8_t *data, size_t len)
{
	unsigned n = g_rand_int_range(rand, 1, 9);

	for (unsigned i = 0; i < n; i++) {
		size_t at = g_rand_int_range(rand, 0, len);

		switch (g_rand_int_range(rand, 0, 3)) {
		case 0:
			data[at] ^= 1 << g_rand_int_range(rand, 0, 8);
			break;
		case 1:
			data[at] = g_rand_int(rand);
			break;
		case 2:
			data[at] = g_rand_boolean(rand) ? 0xff : 0x7f;
			break;
		}
	}
}

/* One stream into a fresh device, whose guest then goes on. */
static bool try_stream(const struct rig_row *row, GRand *rand, const uint8_t *data, size_t len)
{
	/* A copy of its own, so that a sanitizer sees a read past its end. */
	g_autofree uint8_t *copy = g_memdup2(data, len);
	struct rig *rig = rig_new_row(row);
	bool accepted = rig_load(rig, copy, len, NULL);

	drive_random(rig, rand, MUTANT_STEPS);
	rig_free(rig);
	return accepted;
}

static void test_hostile(gconstpointer data)
{
	const struct rig_row *row = data;
	GRand *rand = g_rand_new_with_seed(2);
	struct rig *origin = rig_new_row(row);
	g_autoptr(GByteArray) saved = NULL;
	unsigned accepted = 0;

	drive_random(origin, rand, STEPS);
	saved = rig_save(origin);
	for (unsigned i = 0; i < MUTANTS; i++) {
		g_autofree uint8_t *mutant = g_memdup2(saved->data, saved->len);
		g_autofree uint8_t *bytes = random_bytes(rand, 1024);
		g_autoptr(GByteArray) forged = rig_forge(origin, bytes, 1024);

		g_assert_false(
			try_stream(row, rand, saved->data, g_rand_int_range(rand, 0, saved->len)));
		g_assert_false(try_stream(row, rand, bytes, 1024));
		mutate(rand, mutant, saved->len);
		try_stream(row, rand, mutant, saved->len);
		accepted += try_stream(row, rand, forged->data, forged->len);
	}
	/* Otherwise only the refusals were tried. */
	g_assert_cmpuint(accepted, >, 0);
	rig_free(origin);
	g_rand_free(rand);
}

/* A reset machine starts as a new one does, whatever the guest did before. */
static void test_reset(gconstpointer data)
{
	const struct rig_row *row = data;
	GRand *rand = g_rand_new_with_seed(3);
	struct rig *rig = rig_new_row(row);

	for (unsigned i = 0; i < ROUNDS; i++) {
		drive_random(rig, rand, STEPS / 4);
		device_reset(rig->device);
		for (unsigned line = 0; line < BUS_LINES; line++)
			irq_line_set(&rig->sources[line], false);
		g_assert_cmphex(rig->levels, ==, 0);
		g_assert_false(rig->intr);
	}
	rig_free(rig);
	g_rand_free(rand);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	for (unsigned i = 0; device_table[i]; i++) {
		const struct rig_row *row = rig_row_of(device_table[i]);
		const char *name = row->class->name;
		g_autofree char *round_trip = g_strdup_printf("/%s/round-trip", name);
		g_autofree char *hostile = g_strdup_printf("/%s/hostile", name);
		g_autofree char *reset = g_strdup_printf("/%s/reset", name);

		g_test_add_data_func(round_trip, row, test_round_trip);
		g_test_add_data_func(hostile, row, test_hostile);
		g_test_add_data_func(reset, row, test_reset);
	}
	return g_test_run();
}
