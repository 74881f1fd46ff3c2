/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Serial port, virtio console and its named ports: where their bytes go. */
#include <string.h>

#include "base/error.h"
#include "base/local_socket.h"
#include "vm/config_int.h"

static bool parse_place(struct vm_serial *serial, const char *value, GError **error)
{
	static const struct {
		const char *word;
		enum vm_serial_kind kind;
	} kinds[] = {
		{"stdio", VM_SERIAL_STDIO},
		{"unix:", VM_SERIAL_UNIX},
		{"file:", VM_SERIAL_FILE},
		{"none", VM_SERIAL_NONE},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
		bool has_path = g_str_has_suffix(kinds[i].word, ":");
		const char *path = value + strlen(kinds[i].word);

		if (!g_str_has_prefix(value, kinds[i].word) || has_path == !*path)
			continue;
		serial->kind = kinds[i].kind;
		serial->path = has_path ? g_canonicalize_filename(path, NULL) : NULL;
		return serial->kind != VM_SERIAL_UNIX || local_socket_check(serial->path, error);
	}
	return viv_refuse(error, "'%s' is no place for it; write stdio, unix:PATH, file:PATH or none",
		      value);
}

static bool set_place(struct vm_serial *serial, const char *value, GError **error)
{
	if (serial->kind != VM_SERIAL_DEFAULT)
		return viv_refuse(error, "given twice; give it once");
	return parse_place(serial, value, error);
}

bool config_set_serial(void *target, const char *value, GError **error)
{
	return set_place(&((struct vm_config *)target)->serial, value, error);
}

bool config_set_hvc(void *target, const char *value, GError **error)
{
	return set_place(&((struct vm_config *)target)->hvc, value, error);
}

static bool check_port(const struct vm_config *config, const char *name, GError **error)
{
	if (!*name || strlen(name) > DEVICE_MAX_TAG || name[strspn(name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-")])
		return viv_refuse(error, "'%s' is no port's name; write 1 to %d of A-Z a-z 0-9 . _ -", name, DEVICE_MAX_TAG);
	if (config->n_ports == VM_MAX_PORTS)
		return viv_refuse(error, "'%s' is one too many; a VM has at most %d ports", name, VM_MAX_PORTS);
	for (unsigned i = 0; i < config->n_ports; i++)
		if (!strcmp(config->ports[i].name, name))
			return viv_refuse(error, "'%s' is two ports' name; name each once", name);
	return true;
}

bool vm_config_add_port(struct vm_config *config, const char *name, const char *path, GError **error)
{
	struct vm_port *port = &config->ports[config->n_ports];

	if (!check_port(config, name, error) || !local_socket_check(path, error))
		return false;
	port->name = g_strdup(name);
	port->place = (struct vm_serial){VM_SERIAL_UNIX, g_strdup(path)};
	config->n_ports++;
	return true;
}

bool config_set_port(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	struct vm_port *port = &config->ports[config->n_ports];
	g_auto(GStrv) words = g_strsplit(value, "=", 2);

	if (!words[0] || !words[1])
		return viv_refuse(error, "'%s' says not where to; write it like NAME=unix:PATH", value);
	if (!check_port(config, words[0], error) || !parse_place(&port->place, words[1], error))
		return false;
	if (port->place.kind != VM_SERIAL_UNIX && port->place.kind != VM_SERIAL_FILE)
		return viv_refuse(error, "'%s' is no place for a port; write unix:PATH or file:PATH", words[1]);
	port->name = g_strdup(words[0]);
	config->n_ports++;
	return true;
}

const char *vm_config_agent(const struct vm_config *config)
{
	for (unsigned i = 0; i < config->n_ports; i++)
		if (!strcmp(config->ports[i].name, VM_AGENT_PORT) && config->ports[i].place.kind == VM_SERIAL_UNIX)
			return config->ports[i].place.path;
	return NULL;
}
