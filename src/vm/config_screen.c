/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Video card, keyboards and VNC server. */
#include <string.h>

#include "base/error.h"
#include "vm/address.h"
#include "vm/config_int.h"

static bool add_input(struct vm_config *config, const char *word, GError **error)
{
	static const char *const kinds[MACHINE_N_INPUTS] = {
		[MACHINE_USB_INPUT] = "usb",
		[MACHINE_VIRTIO_INPUT] = "virtio",
	};

	if (!strcmp(word, "ps2"))
		return true;
	for (unsigned i = 0; i < MACHINE_N_INPUTS; i++) {
		if (!strcmp(word, kinds[i]))
			return config->inputs[i] = true;
	}
	return viv_refuse(error, "'%s' is no keyboard; write ps2, usb or virtio", word);
}

/* PS/2's are always there. */
bool config_set_input(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	g_auto(GStrv) words = g_strsplit(value, ",", 0);

	memset(config->inputs, 0, sizeof(config->inputs));
	if (!words[0])
		return add_input(config, "", error);
	for (unsigned i = 0; words[i]; i++)
		if (!add_input(config, words[i], error))
			return false;
	return true;
}

bool vm_config_has_input(const struct vm_config *config)
{
	for (unsigned i = 0; i < MACHINE_N_INPUTS; i++)
		if (config->inputs[i])
			return true;
	return vm_config_has_screen(config);
}

/* A guest with firmware has what a PC has. */
bool vm_config_has_screen(const struct vm_config *config)
{
	return config->has_vnc || config->has_video || vm_config_has_firmware(config);
}

bool config_set_video(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;

	config->virtio_gpu = !strcmp(value, "virtio");
	if (!config->virtio_gpu && strcmp(value, "vga"))
		return viv_refuse(error, "'%s' is no video card; write vga or virtio", value);
	return config->has_video = true;
}

/* vnc[:ADDRESS], none. Without an address: where the name says. */
bool config_set_display(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;

	config->has_vnc = !strcmp(value, "vnc") || g_str_has_prefix(value, "vnc:");
	if (!config->has_vnc && strcmp(value, "none"))
		return viv_refuse(error, "'%s' is not a display; write none, vnc, vnc:unix:PATH or "
				     "vnc:tcp:127.0.0.1:PORT", value);
	g_clear_pointer(&config->vnc, g_free);
	if (!config->has_vnc || !value[strlen("vnc")])
		return true;
	config->vnc = g_strdup(value + strlen("vnc:"));
	return address_check(config->vnc, error);
}

bool config_set_vnc_password(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	gsize len;

	if (config->vnc_password)
		return viv_refuse(error, "given twice; give it once");
	if (!g_file_get_contents(value, &config->vnc_password, &len, error)) {
		(*error)->domain = VIV_ERROR;
		(*error)->code = VIV_ERROR_INPUT;
		return false;
	}
	g_strchomp(config->vnc_password);
	if (*config->vnc_password && strlen(config->vnc_password) <= 8)
		return true;
	return viv_refuse(error, "a VNC password has 1 to 8 characters; '%s' holds another number", value);
}

bool config_set_vnc_tls(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;

	g_free(config->vnc_tls);
	config->vnc_tls = g_strdup(value);
	return true;
}
