/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/listing.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "vm/config.h"

/*
 * perf takes the file by the process's number, and only from its owner or root. The name can be
 * guessed, so what an earlier process of that number left is removed and nothing that is there is
 * opened.
 */
static bool open_perf_map(struct listing *listing, GError **error)
{
	g_autofree char *path = g_strdup_printf("/tmp/perf-%ld.map", (long)getpid());
	int fd;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	listing->perf_map = fd < 0 ? NULL : fdopen(fd, "w");
	if (!listing->perf_map) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "--perf-map: cannot create %s: %s; leave the option out, or make room "
			    "for it",
			    path, g_strerror(errno));
		return false;
	}
	setvbuf(listing->perf_map, NULL, _IOLBF, 0);
	return true;
}

static bool open_regions(struct listing *listing, const char *path, GError **error)
{
	listing->regions = fopen(path, "we");
	if (listing->regions)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
		    "--dump-regions: cannot create '%s': %s; check the path", path,
		    g_strerror(errno));
	return false;
}

static bool open_trace(struct listing *listing, const char *path, GError **error)
{
	listing->trace = path ? fopen(path, "we") : stderr;
	if (!listing->trace) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--trace-file: cannot create '%s': %s; check the path", path,
			    g_strerror(errno));
		return false;
	}
	if (path)
		setvbuf(listing->trace, NULL, _IOLBF, 0);
	return true;
}

bool listing_open(struct listing *listing, const struct vm_config *config, GError **error)
{
	return (!config->traces || open_trace(listing, config->trace_file, error)) &&
	       (!config->perf_map || open_perf_map(listing, error)) &&
	       (!config->dump_regions || open_regions(listing, config->dump_regions, error));
}

bool listing_finish(struct listing *listing, const struct vm_config *config, GError **error)
{
	FILE *regions = g_steal_pointer(&listing->regions);
	bool written;

	if (!regions)
		return true;
	written = !ferror(regions);
	if (fclose(regions) || !written) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "--dump-regions: '%s' could not be written: %s; make room for it",
			    config->dump_regions, g_strerror(errno));
		return false;
	}
	return true;
}

void listing_close(struct listing *listing)
{
	if (listing->trace && listing->trace != stderr)
		fclose(listing->trace);
	if (listing->perf_map)
		fclose(listing->perf_map);
	if (listing->regions)
		fclose(listing->regions);
}
