/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/device.h"

#include "base/error.h"

/* A latch: one byte register that drives a line. */
struct latch {
	struct device device;
	struct irq_line irq;
	uint8_t value;
};

static uint64_t latch_read(void *opaque, uint64_t offset, unsigned size)
{
	return ((struct latch *)opaque)->value;
}

static void latch_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	((struct latch *)opaque)->value = value;
}

static const struct bus_ops latch_ops = {latch_read, latch_write, 1, 1};

static bool latch_init(struct device *device, const struct device_config *config, GError **error)
{
	struct latch *latch = (struct latch *)device;

	irq_line_init(&latch->irq, device->env->bus, config->irq);
	return device_map(device, BUS_PIO, config->base, 1, &latch_ops, error);
}

static void latch_reset(struct device *device)
{
	((struct latch *)device)->value = 0x11;
}

static void latch_post_load(struct device *device)
{
	struct latch *latch = (struct latch *)device;

	irq_line_set(&latch->irq, latch->value & 1);
}

static bool latch_check(const void *object)
{
	return ((const struct latch *)object)->value < 0x80;
}

static const struct state_field latch_fields[] = {STATE_FIELD(struct latch, value)};

static const struct state_table latch_state = {
	"latch", 1, sizeof(struct latch), latch_fields, G_N_ELEMENTS(latch_fields), latch_check,
};

static const struct device_class latch_class = {
	.name = "latch",
	.document = "none",
	.size = sizeof(struct latch),
	.state = &latch_state,
	.init = latch_init,
	.reset = latch_reset,
	.post_load = latch_post_load,
};

static void test_life(void)
{
	struct device_env env = {.bus = bus_new()};
	const struct device_config config = {.base = 0x300, .irq = 5};
	struct device *device = device_new(&latch_class, &env, &config, NULL);
	g_autoptr(GError) error = NULL;

	g_assert_nonnull(device);
	g_assert_cmphex(bus_read(env.bus, BUS_PIO, 0x300, 1), ==, 0x11);
	g_assert_null(device_new(&latch_class, &env, &config, &error));
	g_assert_error(error, VIV_ERROR, VIV_ERROR_INPUT);
	g_assert_nonnull(strstr(error->message, "'latch': ports 0x300 to 0x300"));
	bus_write(env.bus, BUS_PIO, 0x300, 0x22, 1);
	device_reset(device);
	g_assert_cmphex(bus_read(env.bus, BUS_PIO, 0x300, 1), ==, 0x11);
	device_free(device);
	g_assert_cmphex(bus_read(env.bus, BUS_PIO, 0x300, 1), ==, 0xff);
	device_free(NULL);
	bus_free(env.bus);
}

static void test_state(void)
{
	struct device_env env = {.bus = bus_new()};
	struct device *a = device_new(&latch_class, &env, &(struct device_config){.base = 1}, NULL);
	struct device *b = device_new(&latch_class, &env, &(struct device_config){.base = 2}, NULL);
	g_autoptr(GByteArray) bytes = g_byte_array_new();
	struct state_reader reader;

	bus_write(env.bus, BUS_PIO, 1, 0x43, 1);
	device_save(a, 0, bytes);
	bus_write(env.bus, BUS_PIO, 1, 0x84, 1);
	device_save(a, 1, bytes);
	reader = (struct state_reader){bytes->data, bytes->len, 0};
	g_assert_true(device_load(b, 0, &reader, NULL));
	g_assert_cmphex(bus_read(env.bus, BUS_PIO, 2, 1), ==, 0x43);
	g_assert_true(((struct latch *)b)->irq.level);
	g_assert_false(device_load(b, 1, &reader, NULL));
	g_assert_cmphex(bus_read(env.bus, BUS_PIO, 2, 1), ==, 0x43);
	device_free(a);
	device_free(b);
	bus_free(env.bus);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/device/life", test_life);
	g_test_add_func("/device/state", test_state);
	return g_test_run();
}
