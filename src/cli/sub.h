/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the verbs of the store share. */
#ifndef VIV_CLI_SUB_H
#define VIV_CLI_SUB_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

/* To standard output; these take what they print. */
void sub_print_json(JsonObject *object);
void sub_print_json_array(JsonArray *array);
void sub_print_members(JsonObject *object); /* a line each, for humans */

/* The error says that a VM of that name runs. */
bool sub_check_stopped(const char *name, GError **error);
bool sub_is_running(const char *name);

#endif
