/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/control/balloon.h"

#include <inttypes.h>

#include "base/error.h"
#include "base/size.h"
#include "dev/virtio/virtio_balloon.h"
#include "vm/vm.h"

/* What a guest is left with at the least: below it has no room to give anything back. */
#define MIN_SIZE (64ull << 20)

static bool set_size(struct device *balloon, uint64_t ram, uint64_t size, GError **error)
{
	if (size < MIN(MIN_SIZE, ram) || size > ram) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "%" PRIu64 " bytes cannot be what the guest is left with; "
			    "give between 64M and its %" PRIu64 "M", size, ram >> 20);
		return false;
	}
	virtio_balloon_set_target(balloon, ram - size);
	return true;
}

static void add_statistics(JsonObject *answer, const struct balloon_status *status)
{
	JsonObject *statistics = json_object_new();

	for (unsigned i = 0; i < BALLOON_N_STATISTICS; i++)
		if (status->statistics[i] != UINT64_MAX)
			json_object_set_int_member(statistics, balloon_statistic_names[i], status->statistics[i]);
	json_object_set_int_member(answer, "updates", status->n_updates);
	json_object_set_object_member(answer, "statistics", statistics);
}

bool run_balloon(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	struct device *balloon = vm_balloon(vm);
	struct balloon_status status;
	struct vm_status vm_status;
	uint64_t ram;

	if (!balloon) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "the guest has no balloon; start it with --balloon");
		return false;
	}
	vm_get_status(vm, &vm_status);
	ram = vm_status.config->ram_size;
	if (json_object_has_member(arguments, "size") &&
	    !set_size(balloon, ram, json_object_get_int_member(arguments, "size"), error))
		return false;
	virtio_balloon_get(balloon, &status);
	json_object_set_boolean_member(answer, "driver", status.has_driver);
	json_object_set_int_member(answer, "target", ram - status.target);
	json_object_set_int_member(answer, "actual", ram - MIN(status.actual, ram));
	json_object_set_int_member(answer, "reported", status.reported);
	add_statistics(answer, &status);
	return true;
}
