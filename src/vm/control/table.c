/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands: a function and a row each. Answers' members are named as in docs/man/viv.1. */
#include <unistd.h>

#include "base/error.h"
#include "vm/control/command.h"
#include "vm/control/balloon.h"
#include "vm/control/disks.h"
#include "vm/control/net.h"
#include "vm/control/screen.h"
#include "vm/vm.h"

#define MAX_TIMEOUT_S 86400
#define MAX_PIXELS    8192
#define MAX_NOTCHES   100

static void add_argument(JsonBuilder *builder, const struct control_argument *argument)
{
	json_builder_begin_object(builder);
	json_builder_set_member_name(builder, "name");
	json_builder_add_string_value(builder, argument->name);
	json_builder_set_member_name(builder, "type");
	json_builder_add_string_value(builder, control_type_name(argument->type));
	json_builder_set_member_name(builder, "optional");
	json_builder_add_boolean_value(builder, argument->optional);
	json_builder_end_object(builder);
}

static bool run_help(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	g_autoptr(JsonBuilder) builder = json_builder_new();

	json_builder_begin_array(builder);
	for (size_t i = 0; i < control_n_commands; i++) {
		const struct control_command *command = &control_commands[i];

		json_builder_begin_object(builder);
		json_builder_set_member_name(builder, "name");
		json_builder_add_string_value(builder, command->name);
		json_builder_set_member_name(builder, "help");
		json_builder_add_string_value(builder, command->help);
		json_builder_set_member_name(builder, "arguments");
		json_builder_begin_array(builder);
		for (unsigned a = 0; a < CONTROL_MAX_ARGUMENTS && command->arguments[a].name; a++)
			add_argument(builder, &command->arguments[a]);
		json_builder_end_array(builder);
		json_builder_end_object(builder);
	}
	json_builder_end_array(builder);
	json_object_set_member(answer, "commands", json_builder_get_root(builder));
	return true;
}

static void add_firmware(JsonObject *answer, const struct vm_config *config)
{
	g_autofree char *image =
		config->firmware ? g_filename_display_name(config->firmware) : NULL;

	json_object_set_string_member(answer, "firmware",
				      !vm_config_has_firmware(config) ? "none"
				      : image			      ? image
								      : "bios");
}

static void add_serial(JsonObject *answer, const struct vm_serial *serial)
{
	static const char *const kinds[] = {
		[VM_SERIAL_DEFAULT] = "stdio", [VM_SERIAL_STDIO] = "stdio",
		[VM_SERIAL_UNIX] = "unix:",    [VM_SERIAL_FILE] = "file:",
		[VM_SERIAL_NONE] = "none",
	};
	g_autofree char *path = serial->path ? g_filename_display_name(serial->path) : NULL;
	g_autofree char *text = g_strconcat(kinds[serial->kind], path, NULL);

	json_object_set_string_member(answer, "serial", text);
}

static bool run_status(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	static const char *const states[] = {
		[VM_STATE_RUNNING] = "running",
		[VM_STATE_PAUSED] = "paused",
		[VM_STATE_DEBUGGED] = "debugged",
	};
	struct vm_status status;

	vm_get_status(vm, &status);
	json_object_set_string_member(answer, "name", status.config->name);
	json_object_set_int_member(answer, "pid", getpid());
	json_object_set_string_member(answer, "state", states[status.state]);
	json_object_set_string_member(answer, "engine", status.engine->name);
	json_object_set_string_member(answer, "board", status.board);
	json_object_set_int_member(answer, "cpus", status.config->n_vcpus);
	json_object_set_int_member(answer, "memory", status.config->ram_size);
	json_object_set_int_member(answer, "uptime_ms", status.uptime_ns / 1000000);
	json_object_set_int_member(answer, "guest_time_ms", status.virtual_ns / 1000000);
	add_firmware(answer, status.config);
	add_serial(answer, &status.config->serial);
	json_object_set_string_member(answer, "agent", vm_config_agent(status.config) ?: "none");
	json_object_set_string_member(answer, "vsock", status.config->vsock ? status.config->vsock : "none");
	json_object_set_string_member(answer, "display", status.config->vnc ? status.config->vnc : "none");
	return true;
}

/* A guest that stands still would see the button pressed some time, when nobody waits for it. */
static bool run_stop(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	bool has_timeout = json_object_has_member(arguments, "timeout");
	struct vm_status status;

	vm_get_status(vm, &status);
	if (status.state != VM_STATE_RUNNING && !has_timeout) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "the guest stands still and cannot switch itself off; resume it first, "
			    "or kill it");
		return false;
	}
	json_object_set_boolean_member(answer, "listens", vm_press_power_button(vm));
	if (has_timeout)
		vm_end_after(vm, json_object_get_int_member(arguments, "timeout"));
	return true;
}

static bool run_kill(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	vm_stop(vm, VM_ENDED);
	return true;
}

static bool run_pause(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	vm_pause(vm);
	return true;
}

static bool run_resume(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	vm_resume(vm);
	return true;
}

static bool run_reset(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	vm_stop(vm, VM_RESTART);
	return true;
}

static const char *get_drive(JsonObject *arguments)
{
	return json_object_get_string_member_with_default(arguments, "drive", "cd0");
}

static bool run_eject(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	return vm_set_medium(vm, get_drive(arguments), NULL, error);
}

static bool run_insert(struct vm *vm, JsonObject *arguments, JsonObject *answer, GError **error)
{
	return vm_set_medium(vm, get_drive(arguments),
			     json_object_get_string_member(arguments, "file"), error);
}

const struct control_command control_commands[] = {
	{"help", "the commands and their arguments", run_help},
	{"status", "name, state, processors, bytes of memory, times", run_status},
	{"stop",
	 "press the power button; kill after `timeout` seconds",
	 run_stop,
	 {{"timeout", CONTROL_INTEGER, .optional = true, .min = 1, .max = MAX_TIMEOUT_S}}},
	{"kill", "end at once, like pulling the plug", run_kill},
	{"pause", "hold the guest and its clock", run_pause},
	{"resume", "let a paused guest run on", run_resume},
	{"reset", "start again from power-on", run_reset},
	{"eject",
	 "take the medium out of a drive; without one: cd0",
	 run_eject,
	 {{"drive", CONTROL_STRING, .optional = true}}},
	{"insert",
	 "put a medium into a drive; without one: cd0",
	 run_insert,
	 {{"file", CONTROL_PATH}, {"drive", CONTROL_STRING, .optional = true}}},
	{"balloon",
	 "what memory the guest has and uses; leave it `size` bytes",
	 run_balloon,
	 {{"size", CONTROL_INTEGER, .optional = true, .min = 0, .max = INT64_MAX}}},
	{"disks", "disks and media, what they have done, and their limits", run_disks},
	{"limit",
	 "limit a disk's requests and bytes a second; 0: no limit",
	 run_limit,
	 {{"disk", CONTROL_STRING},
	  {"iops", CONTROL_INTEGER, .optional = true, .max = INT64_MAX},
	  {"iops-rd", CONTROL_INTEGER, .optional = true, .max = INT64_MAX},
	  {"iops-wr", CONTROL_INTEGER, .optional = true, .max = INT64_MAX},
	  {"iops-burst", CONTROL_INTEGER, .optional = true, .max = INT64_MAX},
	  {"bps", CONTROL_INTEGER, .optional = true, .max = INT64_MAX},
	  {"bps-rd", CONTROL_INTEGER, .optional = true, .max = INT64_MAX},
	  {"bps-wr", CONTROL_INTEGER, .optional = true, .max = INT64_MAX},
	  {"bps-burst", CONTROL_INTEGER, .optional = true, .max = INT64_MAX}}},
	{"screenshot", "write the screen as a PNG file", run_screenshot, {{"file", CONTROL_PATH}}},
	{"text", "what stands on the text screen", run_text},
	{"type", "press the keys for a text, a US keyboard's", run_type, {{"text", CONTROL_STRING}}},
	{"key", "press keys together, like ctrl-alt-del", run_key, {{"keys", CONTROL_STRING}}},
	{"mouse",
	 "move the pointer, to x and y or by them, click a button, turn the wheel",
	 run_mouse,
	 {{"x", CONTROL_INTEGER, .optional = true, .min = -MAX_PIXELS, .max = MAX_PIXELS},
	  {"y", CONTROL_INTEGER, .optional = true, .min = -MAX_PIXELS, .max = MAX_PIXELS},
	  {"relative", CONTROL_BOOLEAN, .optional = true},
	  {"click", CONTROL_STRING, .optional = true},
	  {"wheel", CONTROL_INTEGER, .optional = true, .min = -MAX_NOTCHES, .max = MAX_NOTCHES}}},
	{"net", "the network cards, what they are connected to, forwarded ports", run_net},
	{"pcap",
	 "capture packets in a file, or end that; how it goes",
	 run_pcap,
	 {{"file", CONTROL_PATH, .optional = true}, {"off", CONTROL_BOOLEAN, .optional = true}}},
	{"firewall",
	 "the firewall's rules and counts; new `rules`, a line each",
	 run_firewall,
	 {{"rules", CONTROL_STRING, .optional = true}}},
};
const size_t control_n_commands = G_N_ELEMENTS(control_commands);
