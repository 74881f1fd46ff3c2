/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/client.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/local_socket.h"
#include "store/json_input.h"
#include "vm/runtime_dir.h"

#define ANSWER_S 10 /* a loop thread that has not answered by then is stuck */

struct client {
	char *name;
	int fd;
	GString *in; /* what has come and was not looked at */
	bool ended;
};

static int connect_by_name(const char *name, GError **error)
{
	g_autofree char *folder = NULL, *path = NULL;
	int fd;

	if (!vm_name_check(name, error) || !(folder = runtime_dir_open(error)))
		return -1;
	path = runtime_dir_socket(folder, name);
	fd = local_socket_connect(path, ANSWER_S);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ECONNREFUSED)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "no VM named '%s' runs; `viv ls` lists those that do", name);
	else
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
			    "VM '%s': cannot connect to %s: %s; try again, or end its process",
			    name, path, g_strerror(errno));
	return -1;
}

struct client *client_open(const char *name, GError **error)
{
	int fd = connect_by_name(name, error);
	struct client *client;

	if (fd < 0)
		return NULL;
	client = g_new0(struct client, 1);
	client->name = g_strdup(name);
	client->fd = fd;
	client->in = g_string_new(NULL);
	return client;
}

void client_close(struct client *client)
{
	if (!client)
		return;
	close(client->fd);
	g_string_free(client->in, TRUE);
	g_free(client->name);
	g_free(client);
}

static bool wait_for(struct client *client, short events, int64_t deadline_us)
{
	struct pollfd poll_fd = {.fd = client->fd, .events = events};
	int64_t left_ms;
	int result;

	do {
		left_ms = deadline_us == INT64_MAX
				  ? -1
				  : MAX((deadline_us - g_get_monotonic_time()) / 1000, 0);
		result = poll(&poll_fd, 1, MIN(left_ms, G_MAXINT));
	} while (result < 0 && errno == EINTR);
	return result > 0;
}

static bool fail(struct client *client, GError **error, const char *how)
{
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "VM '%s' %s", client->name, how);
	return false;
}

/* Whether more has come, by then. */
static bool receive(struct client *client, int64_t deadline_us, GError **error)
{
	char bytes[4096];
	ssize_t n;

	do {
		if (!wait_for(client, POLLIN, deadline_us))
			return fail(client, error,
				    "does not answer; try again, or end its process");
		n = recv(client->fd, bytes, sizeof(bytes), 0);
	} while (n < 0 && (errno == EAGAIN || errno == EINTR));
	if (n <= 0) {
		client->ended = true;
		return fail(client, error, "has ended");
	}
	g_string_append_len(client->in, bytes, n);
	return true;
}

static bool transmit(struct client *client, const char *text, int64_t deadline_us, GError **error)
{
	size_t len = strlen(text), done = 0;

	while (done < len) {
		ssize_t n = send(client->fd, text + done, len - done, MSG_NOSIGNAL);

		if (n > 0)
			done += n;
		else if (errno != EAGAIN && errno != EINTR)
			return fail(client, error, "has ended");
		else if (!wait_for(client, POLLOUT, deadline_us))
			return fail(client, error,
				    "does not answer; try again, or end its process");
	}
	return true;
}

char *client_exchange(struct client *client, const char *line, GError **error)
{
	int64_t deadline_us = g_get_monotonic_time() + ANSWER_S * G_USEC_PER_SEC;
	g_autofree char *request = g_strconcat(line, "\n", NULL);
	const char *end;
	char *answer;

	if (!transmit(client, request, deadline_us, error))
		return NULL;
	while (!(end = memchr(client->in->str, '\n', client->in->len))) {
		if (!receive(client, deadline_us, error))
			return NULL;
	}
	answer = g_strndup(client->in->str, end - client->in->str);
	g_string_erase(client->in, 0, end + 1 - client->in->str);
	return answer;
}

static char *write_request(const char *command, JsonObject *arguments)
{
	g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
	JsonObject *request = json_object_new();

	json_node_take_object(root, request);
	json_object_set_string_member(request, "execute", command);
	if (arguments)
		json_object_set_object_member(request, "arguments", arguments);
	return json_to_string(root, FALSE);
}

static JsonObject *get_object(JsonObject *object, const char *member)
{
	JsonNode *node = json_object_get_member(object, member);

	return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

JsonObject *client_call(struct client *client, const char *command, JsonObject *arguments,
			GError **error)
{
	g_autofree char *request = write_request(command, arguments);
	g_autofree char *answer = client_exchange(client, request, error);
	g_autoptr(JsonNode) root = answer ? json_input(answer, strlen(answer)) : NULL;
	JsonObject *object = root ? json_node_get_object(root) : NULL;
	JsonObject *result = object ? get_object(object, "return") : NULL;
	JsonObject *failure = object ? get_object(object, "error") : NULL;

	if (result)
		return json_object_ref(result);
	if (failure)
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "VM '%s': %s", client->name,
			    json_object_get_string_member_with_default(failure, "message", ""));
	else if (answer)
		fail(client, error, "gives no answer of ours; is it of another version?");
	return NULL;
}

bool client_wait_end(struct client *client, int seconds)
{
	int64_t deadline_us =
		seconds < 0 ? INT64_MAX : g_get_monotonic_time() + seconds * G_USEC_PER_SEC;

	while (receive(client, deadline_us, NULL))
		;
	return client->ended;
}
