/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one error domain of the program. A GError's message is a whole line for
 * a human: what failed, where, and what to do about it. The code tells the
 * command line which exit status to use.
 */
#ifndef VIV_BASE_ERROR_H
#define VIV_BASE_ERROR_H

#include <glib.h>
#include <stdbool.h>

enum viv_error {
	VIV_ERROR_INPUT, /* the user, a file or a stream is wrong: exit status 2 */
	VIV_ERROR_HOST,  /* the host refused something: exit status 1 */
};

#define VIV_ERROR viv_error_quark()
GQuark viv_error_quark(void);

/* Sets an input error; false. */
bool viv_refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

#endif
