/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "virtio_driver.h"

enum { CFG_NAME = 1, CFG_SERIAL, CFG_DEVIDS, CFG_PROP_BITS = 0x10, CFG_EV_BITS, CFG_ABS_INFO };
enum { EVENTS, STATUS };

#define EVENT_AT(i) (DATA_AT + 8 * (i))

/* As Linux asks: select, then size, then bytes. */
static unsigned query(struct driver *d, uint8_t select, uint8_t subsel, uint8_t data[128])
{
	uint64_t at = d->structure[4];
	unsigned size;

	bus_write(d->env.bus, BUS_MMIO, at, select, 1);
	bus_write(d->env.bus, BUS_MMIO, at + 1, subsel, 1);
	size = bus_read(d->env.bus, BUS_MMIO, at + 2, 1);
	for (unsigned i = 0; i < 128; i++)
		data[i] = bus_read(d->env.bus, BUS_MMIO, at + 8 + i, 1);
	for (unsigned i = size; i < 128; i++)
		g_assert_cmphex(data[i], ==, 0);
	return size;
}

static bool has(struct driver *d, unsigned type, unsigned code)
{
	uint8_t data[128];

	return code / 8 < query(d, CFG_EV_BITS, type, data) && data[code / 8] >> code % 8 & 1;
}

static void test_config(void)
{
	uint8_t data[128];
	struct driver d;

	driver_init(&d, &virtio_keyboard_class, 0, false);
	g_assert_cmphex(config_read(&d, 0, 4), ==, 0x10521af4);
	g_assert_cmpuint(query(&d, 0, 0, data), ==, 0);
	g_assert_cmpuint(query(&d, CFG_NAME, 0, data), ==, strlen("Vivarium virtio keyboard"));
	g_assert_cmpstr((char *)data, ==, "Vivarium virtio keyboard");
	g_assert_cmpuint(query(&d, CFG_NAME, 1, data), ==, 0);
	g_assert_cmpuint(query(&d, CFG_SERIAL, 0, data), ==, 1);
	g_assert_cmpuint(query(&d, CFG_DEVIDS, 0, data), ==, 8);
	g_assert_cmphex(le64_load(data), ==, 0x000100011af40006);
	g_assert_cmpuint(query(&d, CFG_PROP_BITS, 0, data), ==, 0);
	g_assert_true(has(&d, EV_KEY, KEY_ESC) && has(&d, EV_KEY, KEY_COMPOSE) && has(&d, EV_KEY, KEY_F24));
	g_assert_false(has(&d, EV_KEY, KEY_RESERVED) || has(&d, EV_KEY, BTN_LEFT));
	g_assert_true(has(&d, EV_LED, LED_CAPSL));
	g_assert_cmpuint(query(&d, CFG_EV_BITS, EV_REP, data), >, 0);
	g_assert_cmpuint(query(&d, CFG_EV_BITS, EV_REL, data), ==, 0);
	g_assert_cmpuint(query(&d, 0xff, 0xff, data), ==, 0);
	driver_fini(&d);

	driver_init(&d, &virtio_mouse_class, 0, false);
	g_assert_true(has(&d, EV_REL, REL_X) && has(&d, EV_REL, REL_Y) && has(&d, EV_REL, REL_WHEEL));
	g_assert_true(has(&d, EV_KEY, BTN_LEFT) && !has(&d, EV_KEY, KEY_ESC));
	g_assert_cmpuint(query(&d, CFG_ABS_INFO, ABS_X, data), ==, 0);
	driver_fini(&d);

	driver_init(&d, &virtio_tablet_class, 0, false);
	g_assert_true(has(&d, EV_ABS, ABS_X) && has(&d, EV_ABS, ABS_Y) && !has(&d, EV_REL, REL_X));
	g_assert_cmpuint(query(&d, CFG_ABS_INFO, ABS_Y, data), ==, 20);
	g_assert_cmphex(le32_load(data), ==, 0);
	g_assert_cmphex(le32_load(data + 4), ==, 32767);
	g_assert_cmpuint(query(&d, CFG_ABS_INFO, 2, data), ==, 0);
	driver_fini(&d);
}

/* Buffers `first` to `last`, and a kick. */
static void give(struct driver *d, unsigned first, unsigned last)
{
	for (unsigned i = first; i <= last; i++) {
		set_desc(ram(d, DESC_AT), i % 16, EVENT_AT(i), 8, DESC_WRITE, 0);
		offer(d, i % 16);
	}
	kick(d);
}

static void assert_event(struct driver *d, unsigned i, unsigned type, unsigned code, int value)
{
	const uint8_t *used = ram(d, USED_AT + 4 + 8 * (i % 16)), *event = ram(d, EVENT_AT(i));

	g_assert_cmpuint(used_index(d), >, i);
	g_assert_cmpuint(le32_load(used), ==, i % 16);
	g_assert_cmpuint(le32_load(used + 4), ==, 8);
	g_assert_cmphex(le16_load(event), ==, type);
	g_assert_cmphex(le16_load(event + 2), ==, code);
	g_assert_cmpint((int32_t)le32_load(event + 4), ==, value);
}

static void test_keyboard(void)
{
	struct driver d;

	driver_init(&d, &virtio_keyboard_class, 0, false);
	start(&d, 0);
	give(&d, 0, 15);
	g_assert_cmpuint(used_index(&d), ==, 0);
	input_key(d.input, KEY_A, true);
	assert_event(&d, 0, EV_KEY, KEY_A, 1);
	assert_event(&d, 1, EV_SYN, SYN_REPORT, 0);
	g_assert_cmpuint(msi_count(&d), >, 0);
	g_assert_cmphex(d.last_msi, ==, 0x40);
	input_key(d.input, KEY_A, false);
	assert_event(&d, 2, EV_KEY, KEY_A, 0);
	/* What the device has not, it does not send. */
	input_key(d.input, KEY_MAX, true);
	input_button(d.input, BTN_LEFT, true);
	g_assert_cmpuint(used_index(&d), ==, 4);
	driver_fini(&d);
}

static void test_pointers(void)
{
	struct driver d;

	driver_init(&d, &virtio_mouse_class, 0, false);
	start(&d, 0);
	give(&d, 0, 15);
	input_move(d.input, -3, 40);
	assert_event(&d, 0, EV_REL, REL_X, -3);
	assert_event(&d, 1, EV_REL, REL_Y, 40);
	assert_event(&d, 2, EV_SYN, SYN_REPORT, 0);
	input_button(d.input, BTN_RIGHT, true);
	assert_event(&d, 3, EV_KEY, BTN_RIGHT, 1);
	input_wheel(d.input, -1);
	assert_event(&d, 5, EV_REL, REL_WHEEL, -1);
	driver_fini(&d);

	driver_init(&d, &virtio_tablet_class, 0, false);
	start(&d, 0);
	give(&d, 0, 15);
	input_place(d.input, 639, 0, 640, 480);
	assert_event(&d, 0, EV_ABS, ABS_X, 32767);
	assert_event(&d, 1, EV_ABS, ABS_Y, 0);
	assert_event(&d, 2, EV_SYN, SYN_REPORT, 0);
	input_move(d.input, 1, 1);
	g_assert_cmpuint(used_index(&d), ==, 3);
	driver_fini(&d);
}

/* Fewer buffers than events: the rest follows when there are more. */
static void test_few_buffers(void)
{
	struct driver d;

	driver_init(&d, &virtio_tablet_class, 0, false);
	start(&d, 0);
	give(&d, 0, 1);
	input_place(d.input, 0, 479, 640, 480);
	input_button(d.input, BTN_LEFT, true);
	g_assert_cmpuint(used_index(&d), ==, 2);
	give(&d, 2, 9);
	assert_event(&d, 1, EV_ABS, ABS_Y, 32767);
	assert_event(&d, 2, EV_SYN, SYN_REPORT, 0);
	assert_event(&d, 3, EV_KEY, BTN_LEFT, 1);
	assert_event(&d, 4, EV_SYN, SYN_REPORT, 0);
	g_assert_cmpuint(used_index(&d), ==, 5);
	driver_fini(&d);
}

/* A driver that takes nothing for long: what is dropped is dropped whole, and no key stays down. */
static void test_flood(void)
{
	unsigned down = 0;
	struct driver d;

	driver_init(&d, &virtio_keyboard_class, 0, false);
	start(&d, 0);
	give(&d, 0, 0);
	for (unsigned i = 0; i < 1000; i++)
		input_key(d.input, KEY_ESC + i % 10, true);
	for (unsigned i = 0; i < 10; i++)
		input_key(d.input, KEY_ESC + i, false);
	for (unsigned i = 1; used_index(&d) == i; i++) {
		give(&d, i, i);
		if (used_index(&d) == i)
			break;
		if (i % 2)
			assert_event(&d, i, EV_SYN, SYN_REPORT, 0);
		else
			down = le16_load(ram(&d, EVENT_AT(i) + 4)) ? 10 : down - 1;
	}
	g_assert_cmpuint(used_index(&d), <, 200);
	g_assert_cmpuint(used_index(&d) % 2, ==, 0);
	g_assert_cmpuint(down, ==, 0);
	driver_fini(&d);
}

/* The older keyboard has the events before the driver has given buffers, and after it has gone. */
static void test_listening(void)
{
	struct driver d;

	driver_init(&d, &virtio_keyboard_class, 0, false);
	input_key(d.input, KEY_A, true);
	start(&d, 0);
	input_key(d.input, KEY_B, true);
	g_assert_cmpuint(d.n_ps2, ==, 2);
	give(&d, 0, 15);
	input_key(d.input, KEY_C, true);
	assert_event(&d, 0, EV_KEY, KEY_C, 1);
	g_assert_cmpuint(d.n_ps2, ==, 2);
	reset(&d);
	input_key(d.input, KEY_D, true);
	g_assert_cmpuint(d.n_ps2, ==, 3);
	driver_fini(&d);
}

static void test_status(void)
{
	struct driver d;
	uint32_t len;

	driver_init(&d, &virtio_keyboard_class, 0, false);
	d.queue = STATUS;
	start(&d, 0);
	le64_store(ram(&d, DATA_AT), EV_LED | LED_CAPSL << 16 | 1ull << 32);
	set_desc(ram(&d, DESC_AT), 0, DATA_AT, 8, 0, 0);
	offer(&d, 0);
	kick(&d);
	g_assert_cmpuint(wait_used(&d, &len), ==, 0);
	g_assert_cmpuint(len, ==, 0);
	driver_fini(&d);
}

/* Saved with events that wait for buffers. */
static void test_state(void)
{
	g_autoptr(GByteArray) saved = g_byte_array_new();
	struct state_reader reader;
	struct driver a, b;

	driver_init(&a, &virtio_keyboard_class, 0, false);
	driver_init(&b, &virtio_keyboard_class, 0, false);
	start(&a, 0);
	give(&a, 0, 0);
	input_key(a.input, KEY_A, true);
	input_key(a.input, KEY_A, false);
	device_save(a.device, 0, saved);
	memcpy(b.env.mem->base, a.env.mem->base, RAM_SIZE);
	reader = (struct state_reader){saved->data, saved->len};
	g_assert_true(device_load(b.device, 0, &reader, NULL));
	b.queue_size = 16;
	b.avail_idx = 1;
	give(&b, 1, 10);
	input_key(b.input, KEY_B, true);
	assert_event(&b, 1, EV_SYN, SYN_REPORT, 0);
	assert_event(&b, 2, EV_KEY, KEY_A, 0);
	assert_event(&b, 4, EV_KEY, KEY_B, 1);
	driver_fini(&a);
	driver_fini(&b);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/virtio-input/config", test_config);
	g_test_add_func("/virtio-input/keyboard", test_keyboard);
	g_test_add_func("/virtio-input/pointers", test_pointers);
	g_test_add_func("/virtio-input/few-buffers", test_few_buffers);
	g_test_add_func("/virtio-input/flood", test_flood);
	g_test_add_func("/virtio-input/listening", test_listening);
	g_test_add_func("/virtio-input/status", test_status);
	g_test_add_func("/virtio-input/state", test_state);
	return g_test_run();
}
