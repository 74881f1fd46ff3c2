/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Input devices: virtio 1.2, section 5.8. A keyboard, a mouse and a tablet, which differ in what they say
 * they have and in whose events they are given.
 *
 * What happens at one time is a report: events that end in EV_SYN. Reports wait here, whole, until the driver
 * gives buffers (section 5.8.6.2: none is torn); where there is no room left, those of keys that go up still
 * find some, so that none stays down. Events go to the device from the time that its driver gives buffers
 * until it resets it.
 */
#include "display/input.h"

#include <string.h>

#include "base/le.h"
#include "dev/virtio/virtio_pci.h"

enum { EVENT_QUEUE, STATUS_QUEUE, N_QUEUES };

/* struct virtio_input_config, section 5.8.4. */
enum {
	CONFIG_SELECT = 0,
	CONFIG_SUBSEL = 1,
	CONFIG_SIZE = 2,
	CONFIG_DATA = 8,
	CONFIG_DATA_SIZE = 128,
	CONFIG_LEN = CONFIG_DATA + CONFIG_DATA_SIZE,

	CFG_ID_NAME = 0x01,
	CFG_ID_SERIAL = 0x02,
	CFG_ID_DEVIDS = 0x03,
	CFG_EV_BITS = 0x11,
	CFG_ABS_INFO = 0x12,
	/* Of CFG_PROP_BITS there are none. */
};

/* struct virtio_input_devids, and _absinfo, whose other members are 0. */
enum { DEVIDS_SIZE = 8, BUS_VIRTUAL = 6, ABSINFO_MAX = 4, ABSINFO_SIZE = 20 };

enum {
	EVENT_SIZE = 8,	   /* type, code, value */
	REPORT_EVENTS = 3, /* at most: two axes and EV_SYN */
	WAITING_EVENTS = 128,
};

/* Codes first to last of an event type that a device has. */
struct codes {
	uint8_t type;
	uint16_t first, last;
};

struct variant {
	enum input_kind kind;
	const char *name;
	uint16_t product;
	const struct codes *codes; /* end with type 0 */
};

struct virtio_input {
	struct virtio virtio;
	const struct variant *variant;
	struct input *input; /* NULL: no events come */
	bool listening;
	uint8_t select, subsel;
	uint8_t config[CONFIG_LEN];	  /* follows from these */
	uint64_t waiting[WAITING_EVENTS]; /* as they go on the wire, little-endian */
	uint8_t n_waiting;
	struct queue_chain chain;
};

static bool has_code(const struct virtio_input *in, unsigned type, unsigned code)
{
	for (const struct codes *c = in->variant->codes; c->type; c++) {
		if (c->type == type && code >= c->first && code <= c->last)
			return true;
	}
	return false;
}

static unsigned fill_text(uint8_t *data, const char *text)
{
	memcpy(data, text, strlen(text));
	return strlen(text);
}

static unsigned fill_devids(const struct virtio_input *in, uint8_t *data)
{
	le16_store(data, BUS_VIRTUAL);
	le16_store(data + 2, VIRTIO_VENDOR);
	le16_store(data + 4, in->variant->product);
	le16_store(data + 6, 1);
	return DEVIDS_SIZE;
}

/* A bit a code; as many bytes as have one set. */
static unsigned fill_codes(const struct virtio_input *in, uint8_t *data)
{
	unsigned size = 0;

	for (const struct codes *c = in->variant->codes; c->type; c++) {
		if (c->type != in->subsel)
			continue;
		for (unsigned code = c->first; code <= c->last; code++)
			data[code / 8] |= 1 << code % 8;
		size = MAX(size, c->last / 8 + 1u);
	}
	return size;
}

static unsigned fill_absinfo(const struct virtio_input *in, uint8_t *data)
{
	if (!has_code(in, EV_ABS, in->subsel))
		return 0;
	le32_store(data + ABSINFO_MAX, INPUT_ABS_MAX);
	return ABSINFO_SIZE;
}

static unsigned fill_data(const struct virtio_input *in, uint8_t *data)
{
	switch (in->select) {
	case CFG_ID_NAME:
		return in->subsel ? 0 : fill_text(data, in->variant->name);
	case CFG_ID_SERIAL:
		return in->subsel ? 0 : fill_text(data, "1");
	case CFG_ID_DEVIDS:
		return in->subsel ? 0 : fill_devids(in, data);
	case CFG_EV_BITS:
		return fill_codes(in, data);
	case CFG_ABS_INFO:
		return fill_absinfo(in, data);
	}
	return 0;
}

static void fill_config(struct virtio_input *in)
{
	memset(in->config, 0, sizeof(in->config));
	in->config[CONFIG_SELECT] = in->select;
	in->config[CONFIG_SUBSEL] = in->subsel;
	in->config[CONFIG_SIZE] = fill_data(in, in->config + CONFIG_DATA);
}

static void config_write(struct virtio *virtio, unsigned offset, uint8_t value)
{
	struct virtio_input *in = (struct virtio_input *)virtio;

	if (offset == CONFIG_SELECT)
		in->select = value;
	else if (offset == CONFIG_SUBSEL)
		in->subsel = value;
	fill_config(in);
}

static void deliver(struct virtio_input *in)
{
	struct mem *mem = in->virtio.pci.device.env->mem;
	struct queue_chain *chain = &in->chain;
	unsigned n = 0;

	while (n < in->n_waiting && virtio_pop(&in->virtio, EVENT_QUEUE, chain)) {
		uint8_t event[EVENT_SIZE];
		size_t len;

		le64_store(event, in->waiting[n++]);
		len = iov_write(mem, chain->iov + chain->n_out, chain->n_in, event, sizeof(event));
		virtio_push(&in->virtio, EVENT_QUEUE, chain->head, len);
	}
	in->n_waiting -= n;
	memmove(in->waiting, in->waiting + n, in->n_waiting * sizeof(in->waiting[0]));
}

struct report {
	uint64_t events[REPORT_EVENTS];
	unsigned n;
};

/* What the device has not said that it has, it does not send. */
static void add(const struct virtio_input *in, struct report *report, uint16_t type, uint16_t code,
		int32_t value)
{
	if (has_code(in, type, code))
		report->events[report->n++] = type | (uint32_t)code << 16 | (uint64_t)(uint32_t)value << 32;
}

static void make_report(const struct virtio_input *in, struct report *report, const struct input_event *event)
{
	switch (event->type) {
	case INPUT_KEY:
	case INPUT_BUTTON:
		add(in, report, EV_KEY, event->code, event->value);
		break;
	case INPUT_MOVE:
		add(in, report, EV_REL, REL_X, event->x);
		add(in, report, EV_REL, REL_Y, event->y);
		break;
	case INPUT_PLACE:
		add(in, report, EV_ABS, ABS_X, event->x);
		add(in, report, EV_ABS, ABS_Y, event->y);
		break;
	case INPUT_WHEEL:
		add(in, report, EV_REL, REL_WHEEL, event->value);
		break;
	}
}

static void on_input(void *opaque, const struct input_event *event)
{
	struct virtio_input *in = opaque;
	struct device *device = &in->virtio.pci.device;
	bool goes_up = (event->type == INPUT_KEY || event->type == INPUT_BUTTON) && !event->value;
	unsigned room = goes_up ? WAITING_EVENTS : WAITING_EVENTS / 2;
	struct report report = {0};

	g_mutex_lock(&device->lock);
	make_report(in, &report, event);
	if (in->listening && report.n && in->n_waiting + report.n < room) {
		memcpy(in->waiting + in->n_waiting, report.events, report.n * sizeof(report.events[0]));
		in->n_waiting += report.n;
		in->waiting[in->n_waiting++] = 0; /* EV_SYN, SYN_REPORT */
		deliver(in);
	}
	g_mutex_unlock(&device->lock);
}

static void listen(struct virtio_input *in, bool listening)
{
	in->listening = listening;
	if (in->input)
		input_set_listening(in->input, in, listening);
}

/* The keyboard's lights, which nobody sees: the buffers go back. */
static void take_status(struct virtio_input *in)
{
	for (unsigned i = 0; i < QUEUE_SIZE; i++) {
		if (!virtio_pop(&in->virtio, STATUS_QUEUE, &in->chain))
			return;
		virtio_push(&in->virtio, STATUS_QUEUE, in->chain.head, 0);
	}
	virtio_leave(&in->virtio, STATUS_QUEUE);
}

static void input_notify(struct virtio *virtio, unsigned queue)
{
	struct virtio_input *in = (struct virtio_input *)virtio;

	if (queue == STATUS_QUEUE) {
		take_status(in);
		return;
	}
	if (!in->listening)
		listen(in, true);
	deliver(in);
}

static void input_reset(struct virtio *virtio)
{
	struct virtio_input *in = (struct virtio_input *)virtio;

	listen(in, false);
	in->n_waiting = 0;
	in->select = in->subsel = 0;
	fill_config(in);
}

static bool init(struct device *device, const struct variant *variant, const struct virtio_ops *ops,
		 const struct device_config *config, GError **error)
{
	struct virtio_input *in = (struct virtio_input *)device;

	in->variant = variant;
	in->input = config->input;
	if (in->input)
		input_attach(in->input, &(struct input_sink){variant->kind, on_input, in}, false);
	return virtio_init(&in->virtio, ops, 0, in->config, sizeof(in->config), config, error);
}

static void input_post_load(struct device *device)
{
	struct virtio_input *in = (struct virtio_input *)device;

	virtio_post_load(device);
	listen(in, in->listening);
	fill_config(in);
}

static void input_fini(struct device *device)
{
	struct virtio_input *in = (struct virtio_input *)device;

	if (in->input)
		input_detach(in->input, in);
	virtio_fini(device);
}

static bool input_check(const void *object)
{
	return ((const struct virtio_input *)object)->n_waiting <= WAITING_EVENTS && virtio_check(object);
}

static const struct state_field input_fields[] = {
	VIRTIO_FIELDS(struct virtio_input, virtio), STATE_FIELD(struct virtio_input, listening),
	STATE_FIELD(struct virtio_input, select),   STATE_FIELD(struct virtio_input, subsel),
	STATE_FIELD(struct virtio_input, waiting),  STATE_FIELD(struct virtio_input, n_waiting),
};

/* The class of a variant, whose codes are in `name`_codes. */
#define INPUT_CLASS(name_, kind_, product_, class_code_)                                                    \
	static bool name_##_init(struct device *device, const struct device_config *config, GError **error) \
	{                                                                                                   \
		static const struct variant variant = {kind_, "Vivarium virtio " #name_, product_,          \
						       name_##_codes};                                      \
		static const struct virtio_ops ops = {                                                      \
			.id = 18,                                                                           \
			.class_code = class_code_,                                                          \
			.n_queues = N_QUEUES,                                                               \
			.notify = input_notify,                                                             \
			.reset = input_reset,                                                               \
			.config_write = config_write,                                                       \
		};                                                                                          \
                                                                                                            \
		return init(device, &variant, &ops, config, error);                                         \
	}                                                                                                   \
	static const struct state_table name_##_state = {                                                   \
		.name = "virtio-" #name_,                                                                   \
		.version = 1,                                                                               \
		.object_size = sizeof(struct virtio_input),                                                 \
		.fields = input_fields,                                                                     \
		.n_fields = G_N_ELEMENTS(input_fields),                                                     \
		.check = input_check,                                                                       \
	};                                                                                                  \
	const struct device_class virtio_##name_##_class = {                                                \
		.name = "virtio-" #name_,                                                                   \
		.document = "OASIS virtio 1.2, section 5.8",                                                \
		.size = sizeof(struct virtio_input),                                                        \
		.state = &name_##_state,                                                                    \
		.init = name_##_init,                                                                       \
		.reset = virtio_reset,                                                                      \
		.post_load = input_post_load,                                                               \
		.fini = input_fini,                                                                         \
	}

static const struct codes keyboard_codes[] = {
	{EV_KEY, KEY_ESC, KEY_COMPOSE},
	{EV_KEY, KEY_F13, KEY_F24},
	{EV_LED, LED_NUML, LED_SCROLLL},
	{EV_REP, REP_DELAY, REP_PERIOD},
	{0},
};
static const struct codes mouse_codes[] = {
	{EV_KEY, BTN_LEFT, BTN_EXTRA},
	{EV_REL, REL_X, REL_Y},
	{EV_REL, REL_WHEEL, REL_WHEEL},
	{0},
};
static const struct codes tablet_codes[] = {
	{EV_KEY, BTN_LEFT, BTN_EXTRA},
	{EV_REL, REL_WHEEL, REL_WHEEL},
	{EV_ABS, ABS_X, ABS_Y},
	{0},
};

INPUT_CLASS(keyboard, INPUT_KEYBOARD, 1, 0x090000);
INPUT_CLASS(mouse, INPUT_MOUSE, 2, 0x090200);
INPUT_CLASS(tablet, INPUT_TABLET, 3, 0x090200);
