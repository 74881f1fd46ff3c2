/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/error.h"

G_DEFINE_QUARK(viv-error-quark, viv_error)

bool viv_refuse(GError **error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_propagate_error(error, g_error_new_valist(VIV_ERROR, VIV_ERROR_INPUT, format, args));
	va_end(args);
	return false;
}
