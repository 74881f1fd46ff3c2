/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The manifest of an image. */
#include "store/manifest.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	g_autofree char *text = g_strndup(len ? (const char *)data : "", len);
	struct manifest manifest;

	manifest_init(&manifest);
	if (manifest_parse(&manifest, "m", text, len, NULL))
		json_object_unref(manifest_json(&manifest));
	manifest_fini(&manifest);
	return 0;
}
