/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/progress.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/size.h"
#include "cli/verb.h"

#define BAR 30

/* What a signal's handler may write to. */
static volatile sig_atomic_t caught;

static void on_signal(int number)
{
	caught = number;
}

static bool report(void *opaque, uint64_t done, uint64_t total)
{
	struct progress *progress = opaque;
	unsigned mille = total ? (unsigned)((double)done / total * 1000) : 1000;
	g_autofree char *size = NULL;
	char bar[BAR + 1];

	if (progress->shows && mille != progress->shown) {
		for (unsigned i = 0; i < BAR; i++)
			bar[i] = i * 1000 < mille * BAR ? '#' : '.';
		bar[BAR] = '\0';
		size = size_format(total);
		fprintf(stderr, "\r[%s] %3u.%u %% of %s ", bar, mille / 10, mille % 10, size);
		progress->shown = mille;
	}
	return !caught;
}

void progress_begin(struct progress *progress, bool always)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	*progress = (struct progress){
		.watch = {report, progress},
		.shows = always || isatty(STDERR_FILENO),
		.shown = UINT32_MAX,
	};
	for (unsigned i = 0; i < G_N_ELEMENTS(signals); i++)
		sigaction(signals[i], &action, NULL);
}

int progress_end(struct progress *progress, GError *error)
{
	int status;

	if (progress->shows && progress->shown != UINT32_MAX)
		fputc('\n', stderr);
	if (!error)
		return EXIT_STATUS_OK;
	status = report_error(error);
	return caught ? EXIT_STATUS_SIGNAL + caught : status;
}
