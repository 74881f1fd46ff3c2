/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line on standard error that tells how far long work is, where that is a terminal; and the end
 * of such work by SIGINT, SIGTERM or SIGHUP, orderly. One at a time. */
#ifndef VIV_CLI_PROGRESS_H
#define VIV_CLI_PROGRESS_H

#include "block/job.h"

struct progress {
	struct job_watch watch;
	bool shows;
	unsigned shown; /* per mille */
};

/* `always`: even where standard error is no terminal. */
void progress_begin(struct progress *progress, bool always);
/* Prints the error, if there is one; returns the exit status. */
int progress_end(struct progress *progress, GError *error);

#endif
