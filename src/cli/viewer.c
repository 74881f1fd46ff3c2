/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv screen: a VNC viewer for a running VM, or how to start one. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/remote.h"
#include "cli/verb.h"
#include "vm/address.h"
#include "vm/client.h"

static const char *const viewers[] = {"xtigervncviewer", "vncviewer", NULL};

/* Where the VM serves viewers; NULL with the error set. */
static char *get_address(const char *name, GError **error)
{
	struct client *client = client_open(name, error);
	g_autoptr(JsonObject) answer = client ? client_call(client, "status", NULL, error) : NULL;
	const char *address =
		answer ? json_object_get_string_member_with_default(answer, "display", "none") : NULL;

	client_close(client);
	if (address && strcmp(address, "none"))
		return g_strdup(address);
	if (address)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' serves no viewers; start it with --display vnc, or take a picture with viv "
			    "screenshot",
			    name);
	return NULL;
}

/* As the viewers write it: a path, or host::port. */
static char *viewer_address(const char *address)
{
	const char *tcp = address + strlen("tcp:"), *colon = strrchr(address, ':');

	return address_path(address) ? g_strdup(address_path(address))
				     : g_strdup_printf("%.*s::%s", (int)(colon - tcp), tcp, colon + 1);
}

static bool has_desktop(void)
{
	return g_getenv("DISPLAY") || g_getenv("WAYLAND_DISPLAY");
}

/* Does not return where a viewer was found. */
static void start_viewer(const char *address)
{
	for (unsigned i = 0; has_desktop() && viewers[i]; i++)
		execlp(viewers[i], viewers[i], address, NULL);
}

static int screen_main(int argc, char **argv)
{
	static const struct usage usage = {
		.words = "NAME",
		.min_words = 1,
		.max_words = 1,
		.text = "Opens a viewer for the screen of a VM that runs with --display vnc. Where there is no\n"
			"desktop or no viewer, it prints how to open one.\n",
	};
	const char *words[USAGE_MAX_WORDS];
	g_autofree char *address = NULL, *where = NULL;
	GError *error = NULL;
	int status;

	if (!usage_parse(&usage, argc, argv, NULL, words, &status))
		return status;
	address = get_address(words[0], &error);
	if (!address)
		return report_error(error);
	where = viewer_address(address);
	start_viewer(where);
	printf("No viewer was found here. On a desktop with TigerVNC (package tigervnc-viewer):\n"
	       "  xtigervncviewer %s\n",
	       where);
	return EXIT_STATUS_OK;
}

const struct verb verb_screen = {"screen", "open a viewer for a VM's screen", screen_main};
