/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What users write: recipes, and catalogues of instance types. */
#include "store/recipe.h"
#include "store/types.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	g_autofree char *text = g_strndup(len ? (const char *)data : "", len);
	g_autoptr(GPtrArray) types = types_new();

	recipe_free(recipe_parse(NULL, "r", text, len, NULL));
	types_parse(types, "t", text, len, NULL);
	return 0;
}
