/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/control/net.h"

#include "base/error.h"
#include "vm/nets.h"
#include "vm/vm.h"

bool run_net(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	json_object_set_array_member(answer, "cards", nets_describe(vm_nets(vm)));
	return true;
}

bool run_pcap(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	bool off = json_object_get_boolean_member_with_default(arguments, "off", FALSE);
	const char *file = json_object_get_string_member_with_default(arguments, "file", NULL);

	if (off && file) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "a file, and off, contradict each other; give one");
		return false;
	}
	if (file && !nets_capture(vm_nets(vm), file, error))
		return false;
	nets_describe_capture(vm_nets(vm), answer);
	return !off || nets_capture(vm_nets(vm), NULL, error);
}

bool run_firewall(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	const char *rules = json_object_get_string_member_with_default(arguments, "rules", NULL);

	if (rules && !nets_set_firewall(vm_nets(vm), rules, error))
		return false;
	nets_describe_firewall(vm_nets(vm), answer);
	return true;
}
