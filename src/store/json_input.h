/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON of files, peers and guests: hostile. */
#ifndef VIV_STORE_JSON_INPUT_H
#define VIV_STORE_JSON_INPUT_H

#include <json-glib/json-glib.h>
#include <stddef.h>

/* The one object that the text is; NULL: it is none, or nested too deep. Any thread. */
JsonNode *json_input(const char *text, size_t len);

#endif
