/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 8042 keyboard controller with keyboard and mouse, and port 92h (system control port A).
 *
 * There is one output buffer for answers of the controller and bytes of both devices. While it is full the
 * devices' clocks are held, so that what they have to say waits in them, and a byte needs its
 * time on the wire: interrupt routines that read port 60h twice get the same byte twice.
 *
 * Where no input comes from, nothing is plugged in: bytes for a device find nobody, and the controller answers
 * FEh with the time-out bit, as it does when the wire stays silent. The A20 gate goes to
 * the processors' A20M#.
 */
#include "dev/table.h"

#include <string.h>

#include "dev/input/ps2.h"

/* Start bit, eight bits, parity and stop bit at 16.7 kHz, the fastest clock allowed. */
#define BYTE_NS 659000

enum {
	KBC_DATA = 0x60,
	KBC_COMMAND = 0x64,
	PORT92 = 0x92,
	KBD_IRQ = 1,
	AUX_IRQ = 12,

	STR_OBF = 0x01,
	STR_SYSFLAG = 0x04,
	STR_CMDDAT = 0x08,
	STR_KEYLOCK = 0x10, /* set: not locked */
	STR_AUXDATA = 0x20,
	STR_TIMEOUT = 0x40,

	CTR_KBDINT = 0x01,
	CTR_AUXINT = 0x02,
	CTR_SYSFLAG = 0x04,
	CTR_KBDDIS = 0x10,
	CTR_AUXDIS = 0x20,
	CTR_XLATE = 0x40, /* of the keyboard's set 2 into set 1 */

	CMD_READ_RAM = 0x20,
	CMD_WRITE_RAM = 0x60,
	CMD_AUX_DISABLE = 0xa7,
	CMD_AUX_ENABLE = 0xa8,
	CMD_AUX_TEST = 0xa9,
	CMD_SELF_TEST = 0xaa,
	CMD_KBD_TEST = 0xab,
	CMD_KBD_DISABLE = 0xad,
	CMD_KBD_ENABLE = 0xae,
	CMD_READ_INPUT = 0xc0,
	CMD_READ_OUTPUT = 0xd0,
	CMD_WRITE_OUTPUT = 0xd1,
	CMD_KBD_LOOP = 0xd2,
	CMD_AUX_LOOP = 0xd3,
	CMD_AUX_SEND = 0xd4,
	CMD_PULSE = 0xf0,

	RAM_INDEX = 0x1f, /* in the two commands above */
	RAM_CTR = 0,	  /* the command byte's place in the controller's RAM */
	SELF_TEST_OK = 0x55,
	TEST_OK = 0x00,
	NO_DEVICE = 0xfe,
	RELEASED = 0x80, /* in set 1 */
	INPUT_NOT_INHIBITED = 0x80,
	OUTPUT_RESET = 0x01, /* active low: 0 resets */
	OUTPUT_A20 = 0x02,
	OUTPUT_IDLE = 0xcc, /* the device clock and data lines at rest */

	PORT92_RESET = 0x01,
	PORT92_A20 = 0x02,
};

struct i8042 {
	struct device device;
	struct irq_line kbd_irq, aux_irq;
	struct input *input; /* NULL: nothing is plugged in */
	struct timer timer;
	struct ps2_keyboard keyboard;
	struct ps2_mouse mouse;
	int64_t arrival_ns; /* of a device's next byte; TIMER_NEVER: none is on its way */
	uint8_t status;
	uint8_t output;	 /* the output buffer */
	uint8_t command; /* that awaits its data byte; 0: none */
	uint8_t ram[32];
	bool a20;
	bool port92_reset;
};

static void update_irq(struct i8042 *kbc)
{
	bool full = kbc->status & STR_OBF, aux = kbc->status & STR_AUXDATA;

	irq_line_set(&kbc->kbd_irq, full && !aux && kbc->ram[RAM_CTR] & CTR_KBDINT);
	irq_line_set(&kbc->aux_irq, full && aux && kbc->ram[RAM_CTR] & CTR_AUXINT);
}

/* Puts a byte into the output buffer; `origin` is a combination of STR_AUXDATA, STR_TIMEOUT. */
static void answer(struct i8042 *kbc, uint8_t byte, uint8_t origin)
{
	kbc->output = byte;
	kbc->status = (kbc->status & ~(STR_AUXDATA | STR_TIMEOUT)) | STR_OBF | origin;
	update_irq(kbc);
}

static bool keyboard_is_ready(const struct i8042 *kbc)
{
	return !(kbc->ram[RAM_CTR] & CTR_KBDDIS) && ps2_is_ready(&kbc->keyboard.ps2);
}

static bool mouse_is_ready(const struct i8042 *kbc)
{
	return !(kbc->ram[RAM_CTR] & CTR_AUXDIS) && ps2_is_ready(&kbc->mouse.ps2);
}

/* Lets a device that may begin to send. To be called when that may have changed. */
static void release_clocks(struct i8042 *kbc)
{
	if (!kbc->input || kbc->status & STR_OBF || kbc->arrival_ns != TIMER_NEVER)
		return;
	ps2_mouse_report(&kbc->mouse);
	if (!keyboard_is_ready(kbc) && !mouse_is_ready(kbc))
		return;
	kbc->arrival_ns = clock_now_ns(kbc->device.env->clock) + BYTE_NS;
	timer_set(&kbc->timer, kbc->arrival_ns);
}

/* The keyboard's next byte as the system is to see it. A release is taken as a whole, so that no answer
 * comes between its prefix, which the system does not see, and its code. */
static uint8_t take_from_keyboard(struct i8042 *kbc)
{
	struct ps2_device *keyboard = &kbc->keyboard.ps2;
	uint8_t byte = ps2_take(keyboard);

	if (!(kbc->ram[RAM_CTR] & CTR_XLATE))
		return byte;
	if (byte == PS2_RELEASE && ps2_is_ready(keyboard))
		return ps2_translate(ps2_take(keyboard)) | RELEASED;
	return ps2_translate(byte);
}

/* A device's byte has arrived. */
static void on_timer(void *opaque)
{
	struct i8042 *kbc = opaque;

	kbc->arrival_ns = TIMER_NEVER;
	if (kbc->status & STR_OBF)
		return;
	if (keyboard_is_ready(kbc))
		answer(kbc, take_from_keyboard(kbc), 0);
	else if (mouse_is_ready(kbc))
		answer(kbc, ps2_take(&kbc->mouse.ps2), STR_AUXDATA);
}

static void on_input(void *opaque, const struct input_event *event)
{
	struct i8042 *kbc = opaque;

	g_mutex_lock(&kbc->device.lock);
	if (event->type == INPUT_KEY)
		ps2_keyboard_event(&kbc->keyboard, event);
	else
		ps2_mouse_event(&kbc->mouse, event);
	release_clocks(kbc);
	g_mutex_unlock(&kbc->device.lock);
}

static void set_ctr_bits(struct i8042 *kbc, uint8_t bits, bool on)
{
	kbc->ram[RAM_CTR] = on ? kbc->ram[RAM_CTR] | bits : kbc->ram[RAM_CTR] & ~bits;
	release_clocks(kbc);
}

static void reset_machine(struct i8042 *kbc)
{
	bus_request(kbc->device.env->bus, BUS_REQUEST_RESET);
}

static void write_ram(struct i8042 *kbc, unsigned index, uint8_t value)
{
	kbc->ram[index] = value;
	if (index != RAM_CTR)
		return;
	kbc->status = (kbc->status & ~STR_SYSFLAG) | (value & CTR_SYSFLAG ? STR_SYSFLAG : 0);
	update_irq(kbc);
	release_clocks(kbc);
}

static void write_command(struct i8042 *kbc, uint8_t command)
{
	kbc->command = 0;
	kbc->status |= STR_CMDDAT;
	if (command >= CMD_PULSE) {
		if (!(command & OUTPUT_RESET))
			reset_machine(kbc);
		return;
	}
	if (command >= CMD_READ_RAM && command < CMD_READ_RAM + sizeof(kbc->ram)) {
		answer(kbc, kbc->ram[command & RAM_INDEX], 0);
		return;
	}
	if (command >= CMD_WRITE_RAM && command < CMD_WRITE_RAM + sizeof(kbc->ram)) {
		kbc->command = command;
		return;
	}
	switch (command) {
	case CMD_AUX_DISABLE:
	case CMD_AUX_ENABLE:
		set_ctr_bits(kbc, CTR_AUXDIS, command == CMD_AUX_DISABLE);
		break;
	case CMD_KBD_DISABLE:
	case CMD_KBD_ENABLE:
		set_ctr_bits(kbc, CTR_KBDDIS, command == CMD_KBD_DISABLE);
		break;
	case CMD_SELF_TEST:
		kbc->status |= STR_SYSFLAG;
		answer(kbc, SELF_TEST_OK, 0);
		break;
	case CMD_AUX_TEST:
	case CMD_KBD_TEST:
		answer(kbc, TEST_OK, 0);
		break;
	case CMD_READ_INPUT:
		answer(kbc, INPUT_NOT_INHIBITED, 0);
		break;
	case CMD_READ_OUTPUT:
		answer(kbc, OUTPUT_IDLE | OUTPUT_RESET | (kbc->a20 ? OUTPUT_A20 : 0), 0);
		break;
	case CMD_WRITE_OUTPUT:
	case CMD_KBD_LOOP:
	case CMD_AUX_LOOP:
	case CMD_AUX_SEND:
		kbc->command = command;
		break;
	}
}

static void set_a20(struct i8042 *kbc, bool enabled)
{
	kbc->a20 = enabled;
	mem_set_a20(kbc->device.env->mem, enabled);
}

static void write_output_port(struct i8042 *kbc, uint8_t value)
{
	set_a20(kbc, value & OUTPUT_A20);
	if (!(value & OUTPUT_RESET))
		reset_machine(kbc);
}

/* Sending to a device also enables it. */
static void send_to_keyboard(struct i8042 *kbc, uint8_t value)
{
	if (kbc->input)
		ps2_keyboard_write(&kbc->keyboard, value);
	else
		answer(kbc, NO_DEVICE, STR_TIMEOUT);
	set_ctr_bits(kbc, CTR_KBDDIS, false);
}

static void send_to_mouse(struct i8042 *kbc, uint8_t value)
{
	if (kbc->input)
		ps2_mouse_write(&kbc->mouse, value);
	else
		answer(kbc, NO_DEVICE, STR_AUXDATA | STR_TIMEOUT);
	set_ctr_bits(kbc, CTR_AUXDIS, false);
}

static void write_data(struct i8042 *kbc, uint8_t value)
{
	uint8_t command = kbc->command;

	kbc->command = 0;
	kbc->status &= ~STR_CMDDAT;
	switch (command) {
	case 0:
		send_to_keyboard(kbc, value);
		break;
	case CMD_WRITE_OUTPUT:
		write_output_port(kbc, value);
		break;
	case CMD_KBD_LOOP:
		answer(kbc, value, 0);
		break;
	case CMD_AUX_LOOP:
		answer(kbc, value, STR_AUXDATA);
		break;
	case CMD_AUX_SEND:
		send_to_mouse(kbc, value);
		break;
	default:
		write_ram(kbc, command & RAM_INDEX, value);
		break;
	}
}

static uint64_t data_read(void *opaque, uint64_t offset, unsigned size)
{
	struct i8042 *kbc = opaque;

	kbc->status &= ~(STR_OBF | STR_AUXDATA | STR_TIMEOUT);
	update_irq(kbc);
	release_clocks(kbc);
	return kbc->output;
}

static void data_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	write_data(opaque, value);
}

static uint64_t status_read(void *opaque, uint64_t offset, unsigned size)
{
	return ((struct i8042 *)opaque)->status;
}

static void command_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	write_command(opaque, value);
}

static uint64_t port92_read(void *opaque, uint64_t offset, unsigned size)
{
	struct i8042 *kbc = opaque;

	return (kbc->a20 ? PORT92_A20 : 0) | (kbc->port92_reset ? PORT92_RESET : 0);
}

static void port92_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct i8042 *kbc = opaque;
	bool reset = value & PORT92_RESET;

	set_a20(kbc, value & PORT92_A20);
	if (reset && !kbc->port92_reset)
		reset_machine(kbc);
	kbc->port92_reset = reset;
}

static const struct bus_ops data_ops = {data_read, data_write, 1, 1};
static const struct bus_ops command_ops = {status_read, command_write, 1, 1};
static const struct bus_ops port92_ops = {port92_read, port92_write, 1, 1};

static bool i8042_init(struct device *device, const struct device_config *config, GError **error)
{
	struct i8042 *kbc = (struct i8042 *)device;

	irq_line_init(&kbc->kbd_irq, device->env->bus, KBD_IRQ);
	irq_line_init(&kbc->aux_irq, device->env->bus, AUX_IRQ);
	timer_init(&kbc->timer, device->env->clock, &device->lock, on_timer, kbc);
	if (config->input) {
		kbc->input = config->input;
		input_attach(kbc->input, &(struct input_sink){INPUT_KEYBOARD, on_input, kbc}, true);
		input_attach(kbc->input, &(struct input_sink){INPUT_MOUSE, on_input, kbc}, true);
	}
	return device_map(device, BUS_PIO, KBC_DATA, 1, &data_ops, error) &&
	       device_map(device, BUS_PIO, KBC_COMMAND, 1, &command_ops, error) &&
	       device_map(device, BUS_PIO, PORT92, 1, &port92_ops, error);
}

static void i8042_reset(struct device *device)
{
	struct i8042 *kbc = (struct i8042 *)device;

	kbc->status = STR_KEYLOCK;
	kbc->output = 0;
	kbc->command = 0;
	memset(kbc->ram, 0, sizeof(kbc->ram));
	kbc->ram[RAM_CTR] = CTR_KBDDIS | CTR_AUXDIS;
	set_a20(kbc, true);
	kbc->port92_reset = false;
	ps2_keyboard_reset(&kbc->keyboard);
	ps2_mouse_reset(&kbc->mouse);
	kbc->arrival_ns = TIMER_NEVER;
	timer_cancel(&kbc->timer);
	update_irq(kbc);
}

static void i8042_post_load(struct device *device)
{
	struct i8042 *kbc = (struct i8042 *)device;

	set_a20(kbc, kbc->a20);
	update_irq(kbc);
	timer_set(&kbc->timer, kbc->arrival_ns);
}

static void i8042_fini(struct device *device)
{
	struct i8042 *kbc = (struct i8042 *)device;

	if (kbc->input)
		input_detach(kbc->input, kbc);
	timer_fini(&kbc->timer);
	kbc->status = 0;
	set_a20(kbc, true);
	update_irq(kbc);
}

static bool i8042_check(const void *object)
{
	const struct i8042 *kbc = object;

	if (!ps2_keyboard_check(&kbc->keyboard) || !ps2_mouse_check(&kbc->mouse))
		return false;
	switch (kbc->command) {
	case 0:
	case CMD_WRITE_OUTPUT:
	case CMD_KBD_LOOP:
	case CMD_AUX_LOOP:
	case CMD_AUX_SEND:
		return true;
	default:
		return kbc->command >= CMD_WRITE_RAM &&
		       kbc->command < CMD_WRITE_RAM + sizeof(kbc->ram);
	}
}

#define FIELD(member) STATE_FIELD(struct i8042, member)

static const struct state_field i8042_fields[] = {
	FIELD(status), FIELD(output), FIELD(command), FIELD(ram), FIELD(a20), FIELD(port92_reset),
	PS2_KEYBOARD_FIELDS(struct i8042, keyboard, 2),
	PS2_MOUSE_FIELDS(struct i8042, mouse, 2),
	STATE_FIELD_SINCE(struct i8042, arrival_ns, 2),
};

static const struct state_table i8042_state = {
	.name = "i8042",
	.version = 2,
	.object_size = sizeof(struct i8042),
	.fields = i8042_fields,
	.n_fields = G_N_ELEMENTS(i8042_fields),
	.check = i8042_check,
};

const struct device_class i8042_class = {
	.name = "i8042",
	.document = "Intel UPI-42 (8042) as programmed for the PS/2; IBM PS/2 Technical Reference",
	.size = sizeof(struct i8042),
	.state = &i8042_state,
	.init = i8042_init,
	.reset = i8042_reset,
	.post_load = i8042_post_load,
	.fini = i8042_fini,
};
