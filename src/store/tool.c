/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"

#define MAX_OUTPUT (1 << 20) /* that is kept; a tool may say more */
#define TAIL_LINES 6	     /* of what a failed tool said, for the error */

static const struct {
	const char *name, *package;
} packages[] = {
	{"mmdebstrap", "mmdebstrap"},
	{"mke2fs", "e2fsprogs"},
	{"debugfs", "e2fsprogs"},
	{"e2fsck", "e2fsprogs"},
	{"sfdisk", "fdisk"},
	{"mformat", "mtools"},
	{"mcopy", "mtools"},
	{"newuidmap", "uidmap"},
	{"ssh", "openssh-client"},
	{"ssh-keygen", "openssh-client"},
	{"curl", "curl"},
	{"tar", "tar"},
	{"apt-get", "apt"},
};

static char *find_tool(const char *name)
{
	/* Where a user's PATH does not look, but the system's tools are. */
	static const char *const folders[] = {"/usr/sbin", "/sbin"};
	char *path = g_find_program_in_path(name);

	for (size_t i = 0; !path && i < G_N_ELEMENTS(folders); i++) {
		path = g_build_filename(folders[i], name, NULL);
		if (access(path, X_OK) < 0)
			g_clear_pointer(&path, g_free);
	}
	return path;
}

bool tool_check(const char *const *names, GError **error)
{
	g_autoptr(GString) missing = g_string_new(NULL), wanted = g_string_new(NULL);

	for (; *names; names++) {
		g_autofree char *path = find_tool(*names);
		const char *package = *names;

		if (path)
			continue;
		for (size_t i = 0; i < G_N_ELEMENTS(packages); i++)
			if (!strcmp(packages[i].name, *names))
				package = packages[i].package;
		g_string_append_printf(missing, "%s%s", missing->len ? ", " : "", *names);
		if (!strstr(wanted->str, package))
			g_string_append_printf(wanted, " %s", package);
	}
	if (!missing->len)
		return true;
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
		    "this needs %s, not installed here; as root: apt-get install%s", missing->str,
		    wanted->str);
	return false;
}

void steps_begin(struct steps *steps, const char *what, bool quiet)
{
	*steps = (struct steps){.what = what,
				.quiet = quiet,
				.terminal = isatty(STDERR_FILENO),
				.start_us = g_get_monotonic_time()};
}

void steps_tell(struct steps *steps, const char *step, int percent)
{
	bool same = !g_strcmp0(step, steps->step);
	int seconds = (g_get_monotonic_time() - steps->start_us) / G_USEC_PER_SEC;
	char share[8] = "";

	if (steps->quiet || (same && !steps->terminal))
		return;
	if (percent >= 0)
		snprintf(share, sizeof(share), " %d %%", MIN(percent, 100));
	if (steps->terminal)
		fprintf(stderr, "\r\033[Kviv: %s: %s%s (%d s)", steps->what, step, share, seconds);
	else
		fprintf(stderr, "viv: %s: %s\n", steps->what, step);
	fflush(stderr);
	if (!same) {
		g_free(steps->step);
		steps->step = g_strdup(step);
	}
}

void steps_end(struct steps *steps)
{
	if (steps->terminal && steps->step && !steps->quiet)
		fputs("\r\033[K", stderr);
	g_clear_pointer(&steps->step, g_free);
}

struct run {
	const struct tool *tool;
	int log;
	GString *out, *err;
	size_t line; /* in err, where the line that has not ended begins */
};

/* A progress bar ends its lines with returns. */
static void take_lines(struct run *run)
{
	char *end;

	while ((end = strpbrk(run->err->str + run->line, "\r\n"))) {
		char kind = *end;

		*end = '\0';
		if (run->tool->on_line)
			run->tool->on_line(run->tool->opaque, run->err->str + run->line);
		*end = kind;
		run->line = end + 1 - run->err->str;
	}
	if (run->err->len > MAX_OUTPUT) {
		gsize drop = MIN(run->line, run->err->len / 2);

		g_string_erase(run->err, 0, drop);
		run->line -= drop;
	}
}

/* False at the end of the stream. */
static bool take(struct run *run, int fd, GString *to)
{
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n <= 0)
		return n < 0 && errno == EINTR;
	if (run->log >= 0 && write(run->log, buf, n) < 0)
		run->log = -1;
	if (to != run->out || to->len < MAX_OUTPUT)
		g_string_append_len(to, buf, n);
	if (to == run->err)
		take_lines(run);
	return true;
}

static void listen_to(struct run *run, int out, int err)
{
	struct pollfd fds[] = {{out, POLLIN}, {err, POLLIN}};

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (poll(fds, G_N_ELEMENTS(fds), -1) < 0)
			continue;
		if (fds[0].fd >= 0 && fds[0].revents && !take(run, out, run->out))
			fds[0].fd = -1;
		if (fds[1].fd >= 0 && fds[1].revents && !take(run, err, run->err))
			fds[1].fd = -1;
	}
	close(out);
	close(err);
}

static char *last_lines(const char *text)
{
	g_autofree char *copy = g_strchomp(g_strdup(text));
	char *at = copy + strlen(copy);

	for (int n = 0; at > copy; at--)
		if (at[-1] == '\n' && ++n == TAIL_LINES)
			break;
	return g_strdup(at);
}

/* Where the system's tools are is not in each user's PATH; programs that we run look for others. */
static char **tool_environment(void)
{
	const char *path = g_getenv("PATH");
	g_autofree char *all = g_strconcat(path ? path : "/usr/bin:/bin", ":/usr/sbin:/sbin", NULL);

	return g_environ_setenv(g_get_environ(), "PATH", all, TRUE);
}

bool tool_run(const struct tool *tool, char **output, GError **error)
{
	g_autofree char *program = find_tool(tool->argv[0]), *tail = NULL;
	g_autofree char **argv = NULL;
	g_auto(GStrv) environment = tool_environment();
	g_autoptr(GError) cause = NULL;
	struct run run = {tool, -1};
	int out, err, status;
	GPid pid;

	if (!program)
		return tool_check((const char *const[]){tool->argv[0], NULL}, error);
	argv = g_memdup2(tool->argv, (g_strv_length((char **)tool->argv) + 1) * sizeof(*argv));
	argv[0] = program;
	if (!g_spawn_async_with_pipes(NULL, argv, environment, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, NULL,
				      &out, &err, &cause)) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "cannot run %s: %s", tool->argv[0],
			    cause->message);
		return false;
	}
	run.out = g_string_new(NULL);
	run.err = g_string_new(NULL);
	if (tool->log)
		run.log = open(tool->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	listen_to(&run, out, err);
	if (run.log >= 0)
		close(run.log);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	tail = last_lines(run.err->len ? run.err->str : run.out->str);
	g_string_free(run.err, TRUE);
	if (output && !status)
		*output = g_string_free(run.out, FALSE);
	else
		g_string_free(run.out, TRUE);
	if (status)
		g_set_error(error, VIV_ERROR, VIV_ERROR_HOST, "%s failed%s%s:\n%s", tool->argv[0],
			    tool->log ? "; its log is " : "", tool->log ? tool->log : "", tail);
	return !status;
}
