/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMs of the store, for the verbs that make and start them: what they are asked for, and the `viv run` that
 * each is. */
#ifndef VIV_CLI_STORED_H
#define VIV_CLI_STORED_H

#include "base/option.h"
#include "store/vms.h"
#include "vm/config.h"

/* What a new VM of the store is asked for besides options of `viv run`. */
struct stored_options {
	char *image, *type, *user_data, *ssh_key, *host, *size_text;
	uint64_t size;
};
extern const struct option_row stored_rows[]; /* their target is a struct stored_options */
extern const size_t stored_n_rows;
extern const struct option_row stored_image_row;
void stored_options_clear(struct stored_options *options);
/* NULL: none was given; or the name of one. */
const char *stored_options_any(const struct stored_options *options);

/* The image, built if there is only a recipe of that name. `argv` is what the user said, of which the options
 * of vm_config_options go with the VM; `groups` begins with these. `vm` is the new one. */
bool stored_create(const struct store *store, const char *name, const struct stored_options *options,
		   const struct option_group *groups, size_t n_groups, int argc, char **argv,
		   struct vm_def *vm, GError **error);
/* The words of `viv run` that start it, and `more` of them; its seed disk is made. The working folder becomes
 * the one in which its options were said. No NULL ends it. */
GPtrArray *stored_command(const struct store *store, const struct vm_def *vm, const GPtrArray *more,
			  bool detach, GError **error);
/* Tells a human at a terminal how to get in. */
void stored_tell(const struct vm_def *vm, bool detached);

#endif
