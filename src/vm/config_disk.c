/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands behind a disk's path on the command line. */
#include <string.h>

#include "base/error.h"
#include "base/size.h"
#include "block/image.h"
#include "vm/config_int.h"

static bool set_on_off(bool *member, bool on, const char *value, GError **error)
{
	*member = on == !strcmp(value, "on");
	return !strcmp(value, "on") || !strcmp(value, "off") ||
	       viv_refuse(error, "'%s' is neither on nor off", value);
}

static bool set_disk_bus(struct vm_disk *disk, const char *value, GError **error)
{
	for (unsigned i = 0; i < MACHINE_N_DISK_BUSES; i++) {
		if (strcmp(value, machine_disk_bus_name(i)))
			continue;
		disk->bus = i;
		return true;
	}
	return viv_refuse(
		error, "'%s' is no bus of disks; write bus=virtio, ide, sata, scsi or nvme", value);
}

static bool set_disk_format(struct vm_disk *disk, const char *value, GError **error)
{
	/* A disk may outlive the option's text. */
	disk->format = g_intern_string(value);
	return image_find_format(value, error) != NULL;
}

static bool set_disk_direct(struct vm_disk *disk, const char *value, GError **error)
{
	return set_on_off(&disk->direct, true, value, error);
}

static bool set_disk_discard(struct vm_disk *disk, const char *value, GError **error)
{
	return set_on_off(&disk->no_discard, false, value, error);
}

static bool set_disk_secret(struct vm_disk *disk, const char *value, GError **error)
{
	g_free(disk->secret);
	disk->secret = image_read_secret(value, error);
	return disk->secret != NULL;
}

/* The words NAME=VALUE that a disk's path can be followed by, besides ro, snapshot and those of its
 * limits. */
static const struct {
	const char *name;
	bool (*set)(struct vm_disk *disk, const char *value, GError **error);
} disk_words[] = {
	{"bus=", set_disk_bus},		{"format=", set_disk_format}, {"direct=", set_disk_direct},
	{"discard=", set_disk_discard}, {"secret=", set_disk_secret},
};

/* False: it is none of the words, or one with the error set. */
static bool set_disk_word(struct vm_disk *disk, const char *word, GError **error)
{
	const char *equals = strchr(word, '=');
	uint64_t *limit;

	if (!strcmp(word, "ro"))
		return disk->read_only = true;
	if (!strcmp(word, "snapshot"))
		return disk->snapshot = true;
	if (!equals)
		return false;
	for (size_t i = 0; i < G_N_ELEMENTS(disk_words); i++)
		if (g_str_has_prefix(word, disk_words[i].name))
			return disk_words[i].set(disk, equals + 1, error);
	limit = block_find_limit(&disk->limits, word, equals - word);
	return limit &&
	       (size_parse(equals + 1, 0, limit) ||
		viv_refuse(error, "'%s' is not a number; write it like 500 or 20M", word));
}

bool vm_disk_parse(struct vm_disk *disk, const char *value, GError **error)
{
	GError *wrong = NULL;
	char *comma;

	disk->path = g_strdup(value);
	while ((comma = strrchr(disk->path, ',')) && set_disk_word(disk, comma + 1, &wrong))
		*comma = '\0';
	if (wrong)
		g_propagate_error(error, wrong);
	return !wrong;
}
