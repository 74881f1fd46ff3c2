/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv agent: a request to the QEMU guest agent in a VM. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/local_socket.h"
#include "cli/relay.h"
#include "cli/remote.h"
#include "cli/verb.h"
#include "store/json_input.h"
#include "vm/client.h"

#define DEFAULT_S  10
#define MAX_ANSWER (64u << 20)

/* A conversation, and what has come of it that is not a whole line yet. */
struct agent {
	int fd;
	GString *input;
	int64_t deadline; /* of the monotonic clock */
};

static bool set_timeout(void *target, const char *value, GError **error)
{
	guint64 seconds;

	if (!g_ascii_string_to_unsigned(value, 10, 1, 86400, &seconds, NULL)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "'%s' is not a number of seconds; write 1 to 86400", value);
		return false;
	}
	*(unsigned *)target = seconds;
	return true;
}

static int connect_agent(const char *name, GError **error)
{
	struct client *client = client_open(name, error);
	g_autoptr(JsonObject) status = client ? client_call(client, "status", NULL, error) : NULL;
	const char *path = status ? json_object_get_string_member_with_default(status, "agent", "none") : NULL;
	int fd;

	client_close(client);
	if (!path)
		return -1;
	if (!strcmp(path, "none")) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "VM '%s' has no port for an agent; start it with --agent", name);
		return -1;
	}
	fd = local_socket_connect(path, DEFAULT_S);
	if (fd < 0)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "VM '%s': cannot connect to its agent's port at %s: %s; try again",
			    name, path, g_strerror(errno));
	return fd;
}

/* The next line that is a JSON object; NULL where none comes in time. */
static JsonNode *read_answer(struct agent *agent)
{
	struct pollfd poll_fd = {.fd = agent->fd, .events = POLLIN};
	char bytes[4096], *end;

	for (;;) {
		int64_t left = agent->deadline - g_get_monotonic_time();
		ssize_t n;

		while ((end = memchr(agent->input->str, '\n', agent->input->len))) {
			JsonNode *node = json_input(agent->input->str, end - agent->input->str);

			g_string_erase(agent->input, 0, end + 1 - agent->input->str);
			if (node)
				return node;
		}
		if (left <= 0 || agent->input->len > MAX_ANSWER || poll(&poll_fd, 1, left / 1000 + 1) == 0)
			return NULL;
		n = read(agent->fd, bytes, sizeof(bytes));
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return NULL;
		if (n > 0)
			g_string_append_len(agent->input, bytes, n);
	}
}

/* Gets past what is left of others' conversations: their answers, and half a request. */
static bool synchronise(struct agent *agent)
{
	gint64 id = g_random_int_range(1, G_MAXINT32), answered;
	g_autofree char *request = g_strdup_printf(
		"\n{\"execute\": \"guest-sync\", \"arguments\": {\"id\": %" G_GINT64_FORMAT "}}\n", id);

	if (!relay_write(agent->fd, request, strlen(request)))
		return false;
	do {
		g_autoptr(JsonNode) answer = read_answer(agent);
		JsonNode *member;

		if (!answer)
			return false;
		member = json_object_get_member(json_node_get_object(answer), "return");
		answered = member && JSON_NODE_HOLDS_VALUE(member) ? json_node_get_int(member) : 0;
	} while (answered != id);
	return true;
}

/* The answer, as text; NULL: there is none. */
static JsonNode *ask(struct agent *agent, JsonNode *request)
{
	g_autofree char *text = json_to_string(request, FALSE), *line = g_strconcat(text, "\n", NULL);

	return synchronise(agent) && relay_write(agent->fd, line, strlen(line)) ? read_answer(agent) : NULL;
}

static int converse(const char *name, int fd, JsonNode *request, unsigned timeout)
{
	struct agent agent = {
		.fd = fd,
		.input = g_string_new(NULL),
		.deadline = g_get_monotonic_time() + (int64_t)timeout * G_USEC_PER_SEC,
	};
	g_autoptr(JsonNode) answer = ask(&agent, request);
	g_autofree char *text = answer ? json_to_string(answer, FALSE) : NULL;
	bool failed = !answer || json_object_has_member(json_node_get_object(answer), "error");

	g_string_free(agent.input, TRUE);
	if (!answer)
		return report_error(g_error_new(VIV_ERROR, VIV_ERROR_HOST,
						"VM '%s': no agent answers; install and start qemu-guest-agent in "
						"the guest, or wait longer: --timeout", name));
	puts(text);
	return failed ? EXIT_STATUS_HOST : EXIT_STATUS_OK;
}

static int agent_main(int argc, char **argv)
{
	static const struct option_row rows[] = {
		{"timeout", 0, "SECONDS", "how long to wait for the answer; without it: 10", set_timeout},
	};
	static const struct usage usage = {
		.words = "NAME REQUEST",
		.min_words = 2,
		.max_words = 2,
		.text = "Asks the QEMU guest agent in a running VM, which was started with --agent, and prints\n"
			"its answer, both JSON, as in: viv agent web '{\"execute\": \"guest-ping\"}'\n",
		.rows = rows,
		.n_rows = G_N_ELEMENTS(rows),
	};
	const char *words[USAGE_MAX_WORDS];
	g_autoptr(JsonNode) request = NULL;
	unsigned timeout = DEFAULT_S;
	GError *error = NULL;
	int status, fd;

	if (!usage_parse(&usage, argc, argv, &timeout, words, &status))
		return status;
	request = json_input(words[1], strlen(words[1]));
	if (!request)
		return report_error(g_error_new(VIV_ERROR, VIV_ERROR_INPUT,
						"'%s' is no request; write it like {\"execute\": \"guest-ping\"}", words[1]));
	signal(SIGPIPE, SIG_IGN);
	fd = connect_agent(words[0], &error);
	if (fd < 0)
		return report_error(error);
	status = converse(words[0], fd, request, timeout);
	close(fd);
	return status;
}

const struct verb verb_agent = {"agent", "ask the QEMU guest agent in a VM", agent_main};
