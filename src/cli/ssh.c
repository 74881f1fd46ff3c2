/* SPDX-License-Identifier: GPL-2.0-or-later */
/* viv ssh: a shell in a VM of the store, by the port that its user network forwards. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "cli/remote.h"
#include "cli/verb.h"
#include "store/tool.h"
#include "store/vms.h"
#include "vm/client.h"

#define SSH_PORT   22
#define TIMEOUT_S  300 /* for a first start on a busy host */
#define ATTEMPT_MS 2000
#define BANNER	   "SSH-"

static const char help[] =
	"Usage: viv ssh [-t SECONDS] NAME [COMMAND...]\n"
	"\n"
	"A shell in a running VM, or a command there, by ssh: as its image's user, with the key that\n"
	"`viv create` chose. The VM's host key is known from the day on which it was made. Waits\n"
	"until its sshd answers.\n"
	"\n"
	"Options:\n"
	"  -t, --timeout SECONDS      how long to wait at most; without it: 300\n"
	"  -h, --help                 this page\n"
	"\n"
	"Exit status: the command's; 255 where ssh fails; 1 or 2 where it is not reached.\n";

struct request {
	const char *name;
	char **command; /* NULL ends */
	unsigned timeout;
	bool help;
};

/* Options end at the VM's name: what follows is the guest's. */
static bool parse(struct request *request, int argc, char **argv, GError **error)
{
	int i = 1;
	guint64 seconds;

	*request = (struct request){.timeout = TIMEOUT_S};
	for (; i < argc && argv[i][0] == '-'; i += 2) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return request->help = true;
		if ((strcmp(argv[i], "-t") && strcmp(argv[i], "--timeout")) || i + 1 == argc ||
		    !g_ascii_string_to_unsigned(argv[i + 1], 10, 1, 86400, &seconds, NULL)) {
			g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
				    "'%s' is no option here; write viv ssh [-t SECONDS] NAME [COMMAND...]",
				    argv[i]);
			return false;
		}
		request->timeout = seconds;
	}
	if (i < argc) {
		request->name = argv[i];
		request->command = argv + i + 1;
		return true;
	}
	g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "a name is missing; write viv ssh NAME");
	return false;
}

static unsigned find_port(JsonObject *answer)
{
	JsonArray *cards = json_object_get_array_member(answer, "cards");

	for (unsigned i = 0; cards && i < json_array_get_length(cards); i++) {
		JsonObject *card = json_array_get_object_element(cards, i);
		JsonArray *forwards = json_object_has_member(card, "forwards")
					      ? json_object_get_array_member(card, "forwards")
					      : NULL;

		for (unsigned k = 0; forwards && k < json_array_get_length(forwards); k++) {
			JsonObject *forward = json_array_get_object_element(forwards, k);

			if (json_object_get_int_member(forward, "guest_port") == SSH_PORT &&
			    !strcmp(json_object_get_string_member(forward, "host"), "127.0.0.1"))
				return json_object_get_int_member(forward, "host_port");
		}
	}
	return 0;
}

static unsigned ask_port(const char *name, GError **error)
{
	struct client *client = client_open(name, NULL);
	g_autoptr(JsonObject) answer = NULL;
	unsigned port = 0;

	if (!client) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT, "VM '%s' does not run; start it: viv start %s",
			    name, name);
		return 0;
	}
	answer = client_call(client, "net", NULL, error);
	client_close(client);
	if (answer && !(port = find_port(answer)))
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "VM '%s' forwards no port of this host to its port %d; it has no user network",
			    name, SSH_PORT);
	return port;
}

/* The forwarding port answers always; the guest's sshd begins with its version. */
static bool has_banner(unsigned port)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char bytes[sizeof(BANNER) - 1];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct pollfd waits = {fd, POLLIN};
	bool has = fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
		   poll(&waits, 1, ATTEMPT_MS) == 1 &&
		   recv(fd, bytes, sizeof(bytes), MSG_WAITALL) == sizeof(bytes) &&
		   !memcmp(bytes, BANNER, sizeof(bytes));

	if (fd >= 0)
		close(fd);
	return has;
}

static bool wait_for_sshd(const struct request *request, unsigned port, GError **error)
{
	gint64 end = g_get_monotonic_time() + request->timeout * G_USEC_PER_SEC;

	if (has_banner(port))
		return true;
	fprintf(stderr, "viv: waiting for the sshd of '%s', which may still be starting\n", request->name);
	while (g_get_monotonic_time() < end) {
		if (has_banner(port))
			return true;
		if (!ask_port(request->name, error))
			return false;
		g_usleep(G_USEC_PER_SEC / 2);
	}
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
		    "the sshd of '%s' has not answered within %u seconds; see viv console %s, or give -t",
		    request->name, request->timeout, request->name);
	return false;
}

static void run_ssh(const struct request *request, const struct vm_def *vm, unsigned port, GError **error)
{
	g_autoptr(GPtrArray) argv = g_ptr_array_new();
	g_autofree char *known = vm_def_path(vm, "known_hosts");
	g_autofree char *known_option = g_strdup_printf("UserKnownHostsFile=\"%s\"", known);
	g_autofree char *alias = g_strconcat("HostKeyAlias=", vm->name, NULL),
			*number = g_strdup_printf("%u", port);
	const char *const fixed[] = {
		"ssh", "-p", number, "-o", known_option, "-o", alias, "-o", "LogLevel=ERROR", "-o",
		/* One that has no cloud-init has not got the key that we made for it. */
		vm->cloud_init ? "StrictHostKeyChecking=yes" : "StrictHostKeyChecking=accept-new", "-l",
		vm->user ? vm->user : "root"};

	for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++)
		g_ptr_array_add(argv, (char *)fixed[i]);
	if (vm->identity) {
		g_ptr_array_add(argv, (char *)"-o");
		g_ptr_array_add(argv, (char *)"IdentitiesOnly=yes");
		g_ptr_array_add(argv, (char *)"-i");
		g_ptr_array_add(argv, vm->identity);
	}
	g_ptr_array_add(argv, (char *)"--");
	g_ptr_array_add(argv, (char *)"127.0.0.1");
	for (char **word = request->command; *word; word++)
		g_ptr_array_add(argv, *word);
	g_ptr_array_add(argv, NULL);
	execvp("ssh", (char **)argv->pdata);
	g_set_error(error, VIV_ERROR, VIV_ERROR_HOST,
		    "cannot run ssh: %s; as root: apt-get install openssh-client", g_strerror(errno));
}

static int ssh_main(int argc, char **argv)
{
	struct request request;
	GError *error = NULL;
	struct store *store;
	struct vm_def vm;
	unsigned port;

	if (!parse(&request, argc, argv, &error))
		return report_error(error);
	if (request.help) {
		fputs(help, stdout);
		return EXIT_STATUS_OK;
	}
	store = store_open(&error);
	if (store && vms_find(store, request.name, &vm, &error)) {
		port = ask_port(request.name, &error);
		if (port && wait_for_sshd(&request, port, &error))
			run_ssh(&request, &vm, port, &error);
		vm_def_clear(&vm);
	}
	store_close(store);
	return report_error(error);
}

const struct verb verb_ssh = {"ssh", "a shell in a VM", ssh_main};
