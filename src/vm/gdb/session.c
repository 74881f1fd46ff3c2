/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GDB manual, appendix "GDB Remote Serial Protocol"; sections are named below. */
#include "vm/gdb/session_int.h"

#include <string.h>

#include "vm/gdb/registers.h"

#define SIGNAL_NONE 0
#define SIGNAL_INT  2
#define SIGNAL_TRAP 5

enum { THREAD_ANY = 0, THREAD_ALL = -1 };

void gdb_reply(struct gdb_session *session, const char *text)
{
	gdb_frame(session->out, text, strlen(text));
}

void gdb_reply_hex(struct gdb_session *session, const uint8_t *bytes, size_t len)
{
	g_autoptr(GString) text = g_string_sized_new(2 * len);

	for (size_t i = 0; i < len; i++)
		g_string_append_printf(text, "%02x", bytes[i]);
	gdb_frame(session->out, text->str, text->len);
}

/* A thread-id: a vCPU's number + 1, 0 for any, -1 for all. */
static bool take_thread(const struct gdb_session *session, const char **at, int *thread)
{
	uint64_t id;

	if (gdb_take_word(at, "-1")) {
		*thread = THREAD_ALL;
		return true;
	}
	if (!gdb_take_hex(at, &id) || id > session->target->n_vcpus)
		return false;
	*thread = id;
	return true;
}

/* Running: c, s, C, S, vCont; and what comes of it ("Stop Reply Packets"). */

static void remember_stop(struct gdb_session *session, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void remember_stop(struct gdb_session *session, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	g_free(session->stop);
	session->stop = g_strdup_vprintf(format, args);
	va_end(args);
}

/* swbreak and hwbreak, which say that rip stands at the point, only if gdb asked for them. */
static char *stop_reason(const struct gdb_session *session, const struct engine_stop *stop)
{
	static const char *const watch[] = {
		[ENGINE_POINT_WRITE] = "watch",
		[ENGINE_POINT_READ] = "rwatch",
		[ENGINE_POINT_ACCESS] = "awatch",
	};

	if (!stop->is_point)
		return g_strdup("");
	if (stop->point.kind != ENGINE_POINT_EXECUTE)
		return g_strdup_printf("%s:%" G_GINT64_MODIFIER "x;", watch[stop->point.kind],
				       stop->point.address);
	for (unsigned i = 0; i < session->n_points; i++) {
		const struct point *point = &session->points[i];

		if (memcmp(&point->point, &stop->point, sizeof(stop->point)))
			continue;
		if (point->type == '0' && session->knows_swbreak)
			return g_strdup("swbreak:;");
		if (point->type == '1' && session->knows_hwbreak)
			return g_strdup("hwbreak:;");
	}
	return g_strdup("");
}

static void report_stop(struct gdb_session *session, unsigned vcpu, const struct engine_stop *stop)
{
	g_autofree char *reason = stop_reason(session, stop);

	session->running = false;
	session->current = vcpu;
	remember_stop(session, "T%02x%sthread:%x;", SIGNAL_TRAP, reason, vcpu + 1);
	gdb_reply(session, session->stop);
}

static void interrupt(struct gdb_session *session)
{
	if (!session->running)
		return;
	session->target->hold(session->target->opaque);
	session->running = false;
	remember_stop(session, "T%02xthread:%x;", SIGNAL_INT, session->current + 1);
	gdb_reply(session, session->stop);
}

/*
 * Several vCPUs may stop at once and gdb takes one stop at a time. A breakpoint will be met
 * again; a watchpoint will not, and is reported in place of the next resumption.
 */
static bool report_left_over(struct gdb_session *session)
{
	struct engine_stop stop;
	unsigned vcpu;

	while (session->target->take_stop(session->target->opaque, &vcpu, &stop)) {
		if (!stop.is_point || stop.point.kind == ENGINE_POINT_EXECUTE)
			continue;
		report_stop(session, vcpu, &stop);
		return true;
	}
	return false;
}

enum action { ACTION_NONE, ACTION_CONTINUE, ACTION_STEP };

static void resume(struct gdb_session *session, const enum action *actions)
{
	if (report_left_over(session))
		return;
	session->running = true;
	for (unsigned i = 0; i < session->target->n_vcpus; i++)
		gdb_apply_points(session, i, actions[i] == ACTION_STEP);
	for (unsigned i = 0; i < session->target->n_vcpus; i++)
		if (actions[i] != ACTION_NONE)
			session->target->release(session->target->opaque, i);
}

/* An action's letter and, with C and S, a signal, which a processor has no use for. */
static enum action take_action(const char **at)
{
	char letter = **at;
	uint64_t signal;

	if (!letter || !strchr("cCsS", letter))
		return ACTION_NONE;
	++*at;
	if (g_ascii_isupper(letter) && !gdb_take_hex(at, &signal))
		return ACTION_NONE;
	return g_ascii_tolower(letter) == 's' ? ACTION_STEP : ACTION_CONTINUE;
}

static void resume_one_way(struct gdb_session *session, const char *args)
{
	const char *at = session->parser.data;
	g_autofree enum action *actions = g_new0(enum action, session->target->n_vcpus);
	enum action action = take_action(&at);

	/* An address to go on at was last sent by a gdb of long ago. */
	if (action == ACTION_NONE || *at) {
		gdb_reply(session, ERROR_MALFORMED);
		return;
	}
	for (unsigned i = 0; i < session->target->n_vcpus; i++) {
		if (i == session->resumed)
			actions[i] = action;
		else if (session->resume_all)
			actions[i] = ACTION_CONTINUE;
	}
	resume(session, actions);
}

/* vCont: for each thread the leftmost action that names it, or none. */
static void resume_each(struct gdb_session *session, const char *args)
{
	g_autofree enum action *actions = g_new0(enum action, session->target->n_vcpus);
	bool any = false;

	while (*args) {
		int thread = THREAD_ALL;
		enum action action;

		if (!gdb_take_char(&args, ';') || (action = take_action(&args)) == ACTION_NONE ||
		    (gdb_take_char(&args, ':') && !take_thread(session, &args, &thread)))
			break;
		for (unsigned i = 0; i < session->target->n_vcpus; i++) {
			bool named = thread == THREAD_ALL || thread == i + 1 ||
				     (thread == THREAD_ANY && i == session->current);

			if (named && actions[i] == ACTION_NONE)
				actions[i] = action;
			any |= named;
		}
	}
	if (*args || !any)
		gdb_reply(session, ERROR_MALFORMED);
	else
		resume(session, actions);
}

static void tell_actions(struct gdb_session *session, const char *args)
{
	gdb_reply(session, "vCont;c;C;s;S");
}

static void tell_stop(struct gdb_session *session, const char *args)
{
	gdb_reply(session, session->stop);
}

static void kill_guest(struct gdb_session *session, const char *args)
{
	session->target->kill(session->target->opaque);
	session->over = true;
}

static void kill_and_answer(struct gdb_session *session, const char *args)
{
	gdb_reply(session, "OK");
	kill_guest(session, args);
}

static void detach(struct gdb_session *session, const char *args)
{
	gdb_reply(session, "OK");
	session->over = true;
}

/* Threads: H, T, qC, qfThreadInfo, qThreadExtraInfo. */

static void select_thread(struct gdb_session *session, const char *args)
{
	bool for_resuming = gdb_take_char(&args, 'c');
	int thread;

	if ((!for_resuming && !gdb_take_char(&args, 'g')) || !take_thread(session, &args, &thread) ||
	    *args) {
		gdb_reply(session, ERROR_MALFORMED);
		return;
	}
	if (for_resuming) {
		session->resume_all = thread <= 0;
		session->resumed = thread > 0 ? thread - 1 : session->current;
	} else if (thread > 0) {
		session->current = thread - 1;
	}
	gdb_reply(session, "OK");
}

static void tell_alive(struct gdb_session *session, const char *args)
{
	int thread;

	gdb_reply(session, take_thread(session, &args, &thread) && thread > 0 && !*args
			       ? "OK"
			       : ERROR_MALFORMED);
}

static void tell_current(struct gdb_session *session, const char *args)
{
	g_autofree char *text = g_strdup_printf("QC%x", session->current + 1);

	gdb_reply(session, *args ? "" : text); /* qCRC is another one */
}

static void tell_threads(struct gdb_session *session, const char *args)
{
	g_autoptr(GString) text = g_string_new("m");

	for (unsigned i = 0; i < session->target->n_vcpus; i++)
		g_string_append_printf(text, "%s%x", i ? "," : "", i + 1);
	gdb_reply(session, text->str);
}

static void tell_no_more(struct gdb_session *session, const char *args)
{
	gdb_reply(session, "l");
}

static void tell_thread_name(struct gdb_session *session, const char *args)
{
	static const char *const activities[] = {[X86_ACTIVE] = "running",
						 [X86_HALTED] = "halted",
						 [X86_WAIT_FOR_SIPI] = "waiting for SIPI"};
	g_autofree char *text = NULL;
	struct x86_state state;
	int thread;

	if (!take_thread(session, &args, &thread) || thread <= 0) {
		gdb_reply(session, ERROR_MALFORMED);
		return;
	}
	session->target->get_state(session->target->opaque, thread - 1, &state);
	text = g_strdup_printf("CPU %d, %s", thread - 1, activities[state.activity]);
	gdb_reply_hex(session, (const uint8_t *)text, strlen(text));
}

/* What each side can do ("General Query Packets"), and the target description. */

static void exchange_features(struct gdb_session *session, const char *args)
{
	g_auto(GStrv) features = g_strsplit(args, ";", -1);
	g_autofree char *text = g_strdup_printf(
		"PacketSize=%x;QStartNoAckMode+;qXfer:features:read+;vContSupported+%s%s",
		GDB_PACKET_MAX,
		g_strv_contains((const char *const *)features, "swbreak+") ? ";swbreak+" : "",
		g_strv_contains((const char *const *)features, "hwbreak+") ? ";hwbreak+" : "");

	session->knows_swbreak = strstr(text, "swbreak+");
	session->knows_hwbreak = strstr(text, "hwbreak+");
	gdb_reply(session, text);
}

static void read_description(struct gdb_session *session, const char *args)
{
	uint64_t offset, len;
	size_t total = strlen(session->xml);
	g_autoptr(GString) text = NULL;

	if (!gdb_take_hex(&args, &offset) || !gdb_take_char(&args, ',') || !gdb_take_hex(&args, &len) ||
	    *args) {
		gdb_reply(session, ERROR_MALFORMED);
		return;
	}
	offset = MIN(offset, total);
	len = MIN(len, GDB_PACKET_MAX - 1);
	text = g_string_new(offset + len < total ? "m" : "l");
	g_string_append_len(text, session->xml + offset, MIN(len, total - offset));
	gdb_frame(session->out, text->str, text->len);
}

static void stop_acknowledging(struct gdb_session *session, const char *args)
{
	gdb_reply(session, "OK");
	session->no_ack = true;
}

static void tell_attached(struct gdb_session *session, const char *args)
{
	gdb_reply(session, "1"); /* so that gdb, when it ends, leaves the VM running */
}

/* `monitor` commands: qRcmd, text in hex both ways. */
static void run_command(struct gdb_session *session, const char *args)
{
	size_t len = strlen(args) / 2;
	g_autofree char *command = g_malloc0(len + 1);
	const char *answer = "";

	if (!gdb_take_bytes(&args, (uint8_t *)command, len) || *args) {
		gdb_reply(session, ERROR_MALFORMED);
		return;
	}
	if (!strcmp(command, "phys on"))
		session->physical = true;
	else if (!strcmp(command, "phys off"))
		session->physical = false;
	else
		answer = "monitor phys on    addresses are guest-physical from now on\n"
			 "monitor phys off   addresses are those of the current processor\n";
	if (*answer)
		gdb_reply_hex(session, (const uint8_t *)answer, strlen(answer));
	else
		gdb_reply(session, "OK");
}

/* By prefix; the first that fits counts. */
static const struct {
	const char *prefix;
	void (*serve)(struct gdb_session *session, const char *args);
	bool anytime; /* while the guest runs, too */
} commands[] = {
	{"?", tell_stop},
	{"g", gdb_read_registers},
	{"G", gdb_write_registers},
	{"p", gdb_read_register},
	{"P", gdb_write_register},
	{"m", gdb_read_memory},
	{"M", gdb_write_memory},
	{"X", gdb_write_binary},
	{"Z", gdb_insert_point},
	{"z", gdb_remove_point},
	{"vCont?", tell_actions},
	{"vCont", resume_each},
	{"c", resume_one_way},
	{"C", resume_one_way},
	{"s", resume_one_way},
	{"S", resume_one_way},
	{"H", select_thread},
	{"T", tell_alive},
	{"qC", tell_current},
	{"qfThreadInfo", tell_threads},
	{"qsThreadInfo", tell_no_more},
	{"qThreadExtraInfo,", tell_thread_name},
	{"qSupported", exchange_features},
	{"qXfer:features:read:target.xml:", read_description},
	{"qAttached", tell_attached},
	{"qRcmd,", run_command},
	{"QStartNoAckMode", stop_acknowledging},
	{"vKill", kill_and_answer, true},
	{"k", kill_guest, true},
	{"D", detach, true},
};

static void serve_packet(struct gdb_session *session)
{
	const char *data = session->parser.data;

	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
		if (!g_str_has_prefix(data, commands[i].prefix))
			continue;
		if (session->running && !commands[i].anytime)
			gdb_reply(session, ERROR_BUSY);
		else
			commands[i].serve(session, data + strlen(commands[i].prefix));
		return;
	}
	gdb_reply(session, ""); /* gdb takes it for: not supported */
}

struct gdb_session *gdb_session_new(const struct gdb_target *target)
{
	struct gdb_session *session = g_new0(struct gdb_session, 1);

	session->target = target;
	session->resume_all = true;
	session->xml = gdb_registers_xml();
	remember_stop(session, "T%02xthread:1;", SIGNAL_TRAP);
	return session;
}

void gdb_session_free(struct gdb_session *session)
{
	struct engine_stop stop;
	unsigned vcpu;

	if (!session)
		return;
	session->target->hold(session->target->opaque);
	while (session->target->take_stop(session->target->opaque, &vcpu, &stop))
		;
	session->n_points = 0;
	for (unsigned i = 0; i < session->target->n_vcpus; i++)
		gdb_apply_points(session, i, false);
	for (unsigned i = 0; i < session->target->n_vcpus; i++)
		session->target->release(session->target->opaque, i);
	g_free(session->stop);
	g_free(session->xml);
	g_free(session);
}

void gdb_session_input(struct gdb_session *session, const uint8_t *bytes, size_t len,
		       GByteArray *out)
{
	session->out = out;
	for (size_t i = 0; i < len && !session->over; i++) {
		switch (gdb_parse(&session->parser, bytes[i])) {
		case GDB_INPUT_NOTHING:
			break;
		case GDB_INPUT_INTERRUPT:
			interrupt(session);
			break;
		case GDB_INPUT_DAMAGED:
			if (!session->no_ack)
				g_byte_array_append(out, (const uint8_t *)"-", 1);
			break;
		case GDB_INPUT_PACKET:
			if (!session->no_ack)
				g_byte_array_append(out, (const uint8_t *)"+", 1);
			serve_packet(session);
			break;
		}
	}
}

void gdb_session_poll(struct gdb_session *session, GByteArray *out)
{
	struct engine_stop stop;
	unsigned vcpu;

	if (!session->running || !session->target->take_stop(session->target->opaque, &vcpu, &stop))
		return;
	session->out = out;
	session->target->hold(session->target->opaque);
	report_stop(session, vcpu, &stop);
}

void gdb_session_end(struct gdb_session *session, const char *text, GByteArray *out)
{
	session->out = out;
	if (session->running)
		gdb_reply(session, text);
	session->over = true;
}

bool gdb_session_is_over(const struct gdb_session *session)
{
	return session->over;
}
