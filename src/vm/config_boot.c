/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What starts a guest: a kernel, or firmware and what that boots from. */
#include <string.h>

#include "base/error.h"
#include "vm/config_int.h"

bool config_set_kernel(void *target, const char *value, GError **error)
{
	return config_set_once(&((struct vm_config *)target)->kernel, value, error);
}

bool config_set_initrd(void *target, const char *value, GError **error)
{
	return config_set_once(&((struct vm_config *)target)->initrd, value, error);
}

bool config_set_kernel_cache(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;

	g_free(config->kernel_cache);
	config->kernel_cache = strcmp(value, "off") ? g_strdup(value) : NULL;
	return true;
}

bool config_set_append(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;

	g_free(config->append);
	config->append = g_strdup(value);
	return true;
}

bool config_set_firmware(void *target, const char *value, GError **error)
{
	return config_set_once(&((struct vm_config *)target)->firmware, value, error);
}

bool config_set_vars(void *target, const char *value, GError **error)
{
	return config_set_once(&((struct vm_config *)target)->vars, value, error);
}

bool config_set_firmware_log(void *target, const char *value, GError **error)
{
	return config_set_once(&((struct vm_config *)target)->firmware_log, value, error);
}

static const char *const boot_kinds[MACHINE_N_BOOT] = {
	[MACHINE_BOOT_DISK] = "disk",
	[MACHINE_BOOT_CD] = "cd",
	[MACHINE_BOOT_FLOPPY] = "floppy",
	[MACHINE_BOOT_NET] = "net",
};

static bool add_boot(struct vm_config *config, const char *word, GError **error)
{
	if (!strcmp(word, "menu"))
		return config->boot_menu = true;
	for (unsigned i = 0; i < MACHINE_N_BOOT; i++) {
		if (strcmp(word, boot_kinds[i]))
			continue;
		for (unsigned k = 0; k < config->n_boot; k++)
			if (config->boot[k] == i)
				return viv_refuse(error, "'%s' stands there twice; name it once", word);
		config->boot[config->n_boot++] = i;
		return true;
	}
	return viv_refuse(error, "'%s' cannot be booted from; write disk, cd, floppy, net or menu", word);
}

bool config_set_boot(void *target, const char *value, GError **error)
{
	struct vm_config *config = target;
	g_auto(GStrv) words = g_strsplit(value, ",", 0);

	config->n_boot = 0;
	config->boot_menu = false;
	for (unsigned i = 0; words[i]; i++)
		if (!add_boot(config, words[i], error))
			return false;
	return true;
}

bool vm_config_has_firmware(const struct vm_config *config)
{
	return config->firmware ? strcmp(config->firmware, "none") != 0 : !config->kernel;
}
