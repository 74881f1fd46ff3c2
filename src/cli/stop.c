/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv stop: the power button, and the wait for the guest to obey it. */
#include "base/error.h"
#include "cli/remote.h"
#include "cli/verb.h"
#include "vm/client.h"

#define MAX_TIMEOUT_S 86400
#define GRACE_S	      30 /* for a VM that is killed to close its disks */

struct stop_options {
	unsigned timeout; /* 0: none */
};

static bool set_timeout(void *target, const char *value, GError **error)
{
	guint64 seconds;

	if (!g_ascii_string_to_unsigned(value, 10, 1, MAX_TIMEOUT_S, &seconds, NULL)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' is not from 1 to %d seconds; write it like 60", value,
			    MAX_TIMEOUT_S);
		return false;
	}
	((struct stop_options *)target)->timeout = seconds;
	return true;
}

static const struct option_row stop_rows[] = {
	{"timeout", 0, "SECONDS", "kill a guest that has not ended by then", set_timeout},
};

static const struct usage stop_usage = {
	.words = "NAME",
	.min_words = 1,
	.max_words = 1,
	.text = "Presses the power button of a running VM and waits until its guest has\n"
		"switched itself off. A guest that does not listen for the button goes on:\n"
		"without --timeout that is an error, and `viv kill` ends it.\n",
	.rows = stop_rows,
	.n_rows = G_N_ELEMENTS(stop_rows),
};

static bool stop(const char *name, unsigned timeout, struct client *client, GError **error)
{
	JsonObject *arguments = json_object_new();
	g_autoptr(JsonObject) answer = NULL;

	if (timeout)
		json_object_set_int_member(arguments, "timeout", timeout);
	answer = client_call(client, "stop", arguments, error);
	if (!answer)
		return false;
	if (!timeout && !json_object_get_boolean_member_with_default(answer, "listens", TRUE)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "the guest of VM '%s' does not listen for its power button; end it "
			    "with viv kill %s, or give --timeout",
			    name, name);
		return false;
	}
	if (client_wait_end(client, timeout ? (int)timeout + GRACE_S : -1))
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
		    "VM '%s' has not ended %d seconds after it was killed; end its process", name,
		    GRACE_S);
	return false;
}

static int stop_main(int argc, char **argv)
{
	const char *words[USAGE_MAX_WORDS];
	struct stop_options options = {0};
	struct client *client;
	GError *error = NULL;
	int status;

	if (!usage_parse(&stop_usage, argc, argv, &options, words, &status))
		return status;
	client = client_open(words[0], &error);
	if (client)
		stop(words[0], options.timeout, client, &error);
	client_close(client);
	return error ? report_error(error) : EXIT_STATUS_OK;
}

const struct verb verb_stop = {"stop", "press a VM's power button, and wait for its end",
			       stop_main};
