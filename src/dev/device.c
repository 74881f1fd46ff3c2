/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/device.h"

#include "base/error.h"

struct mapping {
	enum bus_space space;
	uint64_t base;
};

struct device *device_new(const struct device_class *class, struct device_env *env,
			  const struct device_config *config, GError **error)
{
	struct device *device = g_malloc0(class->size);

	device->class = class;
	device->env = env;
	device->regions = g_array_new(FALSE, FALSE, sizeof(struct mapping));
	g_mutex_init(&device->lock);
	if (!class->init(device, config, error)) {
		device_free(device);
		return NULL;
	}
	device_reset(device);
	return device;
}

static void drain(struct device *device)
{
	if (device->class->drain)
		device->class->drain(device);
}

void device_free(struct device *device)
{
	if (!device)
		return;
	drain(device);
	for (unsigned i = 0; i < device->regions->len; i++) {
		struct mapping *m = &g_array_index(device->regions, struct mapping, i);

		bus_unmap(device->env->bus, m->space, m->base);
	}
	if (device->class->fini)
		device->class->fini(device);
	g_array_unref(device->regions);
	g_mutex_clear(&device->lock);
	g_free(device);
}

void device_reset(struct device *device)
{
	drain(device);
	device->class->reset(device);
}

bool device_map(struct device *device, enum bus_space space, uint64_t base, uint64_t len,
		const struct bus_ops *ops, GError **error)
{
	struct mapping mapping = {space, base};

	if (!bus_map(device->env->bus, space, base, len, ops, device, &device->lock)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "device '%s': %s 0x%" G_GINT64_MODIFIER "x to 0x%" G_GINT64_MODIFIER
			    "x belong to another device; move one of the two",
			    device->class->name, space == BUS_PIO ? "ports" : "addresses", base,
			    base + len - 1);
		return false;
	}
	g_array_append_val(device->regions, mapping);
	return true;
}

bool device_set_medium(struct device *device, unsigned drive, struct block *medium)
{
	if (!device->class->set_medium)
		return false;
	drain(device);
	return device->class->set_medium(device, drive, medium);
}

void device_save(struct device *device, uint16_t instance, GByteArray *out)
{
	drain(device);
	state_save(device->class->state, instance, device, out);
}

bool device_load(struct device *device, uint16_t instance, struct state_reader *reader,
		 GError **error)
{
	drain(device);
	if (!state_load(device->class->state, instance, device, reader, error))
		return false;
	if (device->class->post_load)
		device->class->post_load(device);
	return true;
}
