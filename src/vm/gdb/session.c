/* SPDX-License-Identifier: GPL-2.0-or-later */
/* GDB manual, appendix "GDB Remote Serial Protocol"; sections are named below. */
#include "vm/gdb/session.h"

#include <string.h>

#include "cpu/x86/translate.h"
#include "mem/mem.h"
#include "vm/gdb/packet.h"
#include "vm/gdb/registers.h"

/* Answers to what cannot be done; gdb shows the number, which is an errno. */
#define ERROR_ADDRESS	"E0e" /* EFAULT: nothing is there */
#define ERROR_MALFORMED "E16" /* EINVAL */
#define ERROR_TOO_MANY	"E1c" /* ENOSPC */
#define ERROR_BUSY	"E10" /* EBUSY: the guest runs */

#define SIGNAL_NONE 0
#define SIGNAL_INT  2
#define SIGNAL_TRAP 5

enum { THREAD_ANY = 0, THREAD_ALL = -1 };

struct point {
	struct engine_point point;
	char type; /* of Z and z packets */
};

struct gdb_session {
	const struct gdb_target *target;
	struct gdb_parser parser;
	bool no_ack, knows_swbreak, knows_hwbreak;
	bool running, over;
	bool physical;	  /* m, M and X take guest-physical addresses */
	unsigned current; /* vCPU that registers and addresses are of: Hg */
	unsigned resumed; /* vCPU that c and s without a thread are for: Hc */
	bool resume_all;
	struct point points[ENGINE_MAX_POINTS];
	unsigned n_points;
	char *stop; /* the last stop reply, for ? */
	char *xml;
	GByteArray *out; /* of the call in progress */
};

static void reply(struct gdb_session *session, const char *text)
{
	gdb_frame(session->out, text, strlen(text));
}

static void reply_hex(struct gdb_session *session, const uint8_t *bytes, size_t len)
{
	g_autoptr(GString) text = g_string_sized_new(2 * len);

	for (size_t i = 0; i < len; i++)
		g_string_append_printf(text, "%02x", bytes[i]);
	gdb_frame(session->out, text->str, text->len);
}

/* Readers of a packet's parts; each moves *at past what it took. */

static bool take_char(const char **at, char c)
{
	if (**at != c)
		return false;
	++*at;
	return true;
}

static bool take_word(const char **at, const char *word)
{
	if (!g_str_has_prefix(*at, word))
		return false;
	*at += strlen(word);
	return true;
}

static bool take_hex(const char **at, uint64_t *value)
{
	unsigned digits = 0;

	*value = 0;
	for (; g_ascii_isxdigit(**at); ++*at, digits++) {
		if (digits == 16)
			return false;
		*value = *value << 4 | g_ascii_xdigit_value(**at);
	}
	return digits;
}

static bool take_bytes(const char **at, uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++, *at += 2) {
		int high = g_ascii_xdigit_value((*at)[0]);
		int low = high < 0 ? -1 : g_ascii_xdigit_value((*at)[1]);

		if (low < 0)
			return false;
		bytes[i] = high << 4 | low;
	}
	return true;
}

/* A thread-id: a vCPU's number + 1, 0 for any, -1 for all. */
static bool take_thread(const struct gdb_session *session, const char **at, int *thread)
{
	uint64_t id;

	if (take_word(at, "-1")) {
		*thread = THREAD_ALL;
		return true;
	}
	if (!take_hex(at, &id) || id > session->target->n_vcpus)
		return false;
	*thread = id;
	return true;
}

/* Registers: g, G, p, P ("Packets"). */

static void read_registers(struct gdb_session *session, const char *args)
{
	uint8_t value[GDB_REGISTER_MAX_SIZE];
	g_autoptr(GByteArray) all = g_byte_array_new();
	struct x86_state state;

	session->target->get_state(session->target->opaque, session->current, &state);
	for (unsigned i = 0; i < gdb_registers_count(); i++) {
		gdb_register_read(&state, i, value);
		g_byte_array_append(all, value, gdb_register_size(i));
	}
	reply_hex(session, all->data, all->len);
}

/* Registers that cannot be changed are let be, as gdb sends them along with the others. */
static void write_registers(struct gdb_session *session, const char *args)
{
	uint8_t value[GDB_REGISTER_MAX_SIZE];
	struct x86_state state;

	session->target->get_state(session->target->opaque, session->current, &state);
	for (unsigned i = 0; i < gdb_registers_count(); i++) {
		if (!take_bytes(&args, value, gdb_register_size(i))) {
			reply(session, ERROR_MALFORMED);
			return;
		}
		gdb_register_write(&state, i, value);
	}
	session->target->set_state(session->target->opaque, session->current, &state);
	reply(session, "OK");
}

static void read_register(struct gdb_session *session, const char *args)
{
	uint8_t value[GDB_REGISTER_MAX_SIZE];
	struct x86_state state;
	uint64_t number;

	if (!take_hex(&args, &number) || *args || number >= gdb_registers_count()) {
		reply(session, ERROR_MALFORMED);
		return;
	}
	session->target->get_state(session->target->opaque, session->current, &state);
	gdb_register_read(&state, number, value);
	reply_hex(session, value, gdb_register_size(number));
}

static void write_register(struct gdb_session *session, const char *args)
{
	uint8_t value[GDB_REGISTER_MAX_SIZE];
	struct x86_state state;
	uint64_t number;

	if (!take_hex(&args, &number) || !take_char(&args, '=') ||
	    number >= gdb_registers_count() ||
	    !take_bytes(&args, value, gdb_register_size(number)) || *args) {
		reply(session, ERROR_MALFORMED);
		return;
	}
	session->target->get_state(session->target->opaque, session->current, &state);
	if (!gdb_register_write(&state, number, value)) {
		reply(session, ERROR_MALFORMED);
		return;
	}
	session->target->set_state(session->target->opaque, session->current, &state);
	reply(session, "OK");
}

/* Memory: m, M, X. Only RAM: a look at a device's register would change it. */

/* The RAM behind `address`, and how much of `len` lies in its page; 0: none. */
static size_t piece_of(const struct gdb_session *session, const struct x86_state *state,
		       uint64_t address, size_t len, uint64_t *gpa)
{
	*gpa = address;
	if (!session->physical && !x86_translate(state, session->target->mem, address, gpa))
		return 0;
	return mem_is_ram(session->target->mem, *gpa) ? MIN(len, 4096 - *gpa % 4096) : 0;
}

static void read_memory(struct gdb_session *session, const char *args)
{
	uint8_t bytes[GDB_PACKET_MAX / 2];
	uint64_t address, len, gpa;
	struct x86_state state;
	size_t done = 0, piece;

	if (!take_hex(&args, &address) || !take_char(&args, ',') || !take_hex(&args, &len) ||
	    *args) {
		reply(session, ERROR_MALFORMED);
		return;
	}
	len = MIN(len, sizeof(bytes));
	session->target->get_state(session->target->opaque, session->current, &state);
	while (done < len &&
	       (piece = piece_of(session, &state, address + done, len - done, &gpa))) {
		mem_read(session->target->mem, gpa, bytes + done, piece);
		done += piece;
	}
	/* What could be read is an answer: gdb asks for the rest and sees where it ends. */
	if (len && !done)
		reply(session, ERROR_ADDRESS);
	else
		reply_hex(session, bytes, done);
}

static void write_bytes(struct gdb_session *session, uint64_t address, const uint8_t *bytes,
			size_t len)
{
	struct x86_state state;
	uint64_t gpa;
	size_t piece;

	session->target->get_state(session->target->opaque, session->current, &state);
	for (size_t done = 0; done < len; done += piece)
		if (!(piece = piece_of(session, &state, address + done, len - done, &gpa))) {
			reply(session, ERROR_ADDRESS);
			return;
		}
	for (size_t done = 0; done < len; done += piece) {
		piece = piece_of(session, &state, address + done, len - done, &gpa);
		/* The bytes before may have been those of a page table. */
		if (!piece)
			break;
		mem_write(session->target->mem, gpa, bytes + done, piece);
	}
	/* The TLBs, too, may hold what a table said before. */
	for (unsigned i = 0; i < session->target->n_vcpus; i++) {
		session->target->get_state(session->target->opaque, i, &state);
		session->target->set_state(session->target->opaque, i, &state);
	}
	reply(session, "OK");
}

static bool take_range(const char **at, uint64_t *address, uint64_t *len)
{
	return take_hex(at, address) && take_char(at, ',') && take_hex(at, len) &&
	       take_char(at, ':');
}

static void write_memory(struct gdb_session *session, const char *args)
{
	uint8_t bytes[GDB_PACKET_MAX / 2];
	uint64_t address, len;

	if (!take_range(&args, &address, &len) || len > sizeof(bytes) ||
	    !take_bytes(&args, bytes, len) || *args)
		reply(session, ERROR_MALFORMED);
	else
		write_bytes(session, address, bytes, len);
}

static void write_binary(struct gdb_session *session, const char *args)
{
	uint64_t address, len;

	if (!take_range(&args, &address, &len) ||
	    len != session->parser.data + session->parser.len - args)
		reply(session, ERROR_MALFORMED);
	else
		write_bytes(session, address, (const uint8_t *)args, len);
}

/* Breakpoints and watchpoints: Z and z. */

static bool take_point(const char **at, struct point *point)
{
	static const enum engine_point_kind kinds[] = {
		ENGINE_POINT_EXECUTE, ENGINE_POINT_EXECUTE, ENGINE_POINT_WRITE,
		ENGINE_POINT_READ,    ENGINE_POINT_ACCESS,
	};
	unsigned type = **at - '0';

	memset(point, 0, sizeof(*point));
	if (type >= G_N_ELEMENTS(kinds))
		return false;
	point->type = *(*at)++;
	point->point.kind = kinds[type];
	return take_char(at, ',') && take_hex(at, &point->point.address) && take_char(at, ',') &&
	       take_hex(at, &point->point.len) && point->point.len &&
	       point->point.len - 1 <= UINT64_MAX - point->point.address;
}

static struct point *find_point(struct gdb_session *session, const struct point *point)
{
	for (unsigned i = 0; i < session->n_points; i++)
		if (!memcmp(&session->points[i], point, sizeof(*point)))
			return &session->points[i];
	return NULL;
}

static bool apply_points(struct gdb_session *session, unsigned vcpu, bool step)
{
	struct engine_point points[ENGINE_MAX_POINTS];
	struct engine_debug debug = {.step = step, .points = points, .n_points = session->n_points};

	memset(points, 0, sizeof(points));
	for (unsigned i = 0; i < session->n_points; i++)
		points[i] = session->points[i].point;
	return session->target->set_debug(session->target->opaque, vcpu, &debug);
}

static void insert_point(struct gdb_session *session, const char *args)
{
	struct point point;

	/* Conditions, which follow, were not offered. */
	if (!take_point(&args, &point) || *args) {
		reply(session, point.type ? ERROR_MALFORMED : "");
		return;
	}
	if (!find_point(session, &point)) {
		if (session->n_points == G_N_ELEMENTS(session->points)) {
			reply(session, ERROR_TOO_MANY);
			return;
		}
		session->points[session->n_points++] = point;
		if (!apply_points(session, 0, false)) {
			session->n_points--;
			reply(session, ERROR_TOO_MANY);
			return;
		}
	}
	reply(session, "OK");
}

static void remove_point(struct gdb_session *session, const char *args)
{
	struct point point, *found;

	if (!take_point(&args, &point) || *args) {
		reply(session, point.type ? ERROR_MALFORMED : "");
		return;
	}
	found = find_point(session, &point);
	if (found)
		*found = session->points[--session->n_points];
	reply(session, "OK");
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
	reply(session, session->stop);
}

static void interrupt(struct gdb_session *session)
{
	if (!session->running)
		return;
	session->target->hold(session->target->opaque);
	session->running = false;
	remember_stop(session, "T%02xthread:%x;", SIGNAL_INT, session->current + 1);
	reply(session, session->stop);
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
		apply_points(session, i, actions[i] == ACTION_STEP);
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
	if (g_ascii_isupper(letter) && !take_hex(at, &signal))
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
		reply(session, ERROR_MALFORMED);
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

		if (!take_char(&args, ';') || (action = take_action(&args)) == ACTION_NONE ||
		    (take_char(&args, ':') && !take_thread(session, &args, &thread)))
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
		reply(session, ERROR_MALFORMED);
	else
		resume(session, actions);
}

static void tell_actions(struct gdb_session *session, const char *args)
{
	reply(session, "vCont;c;C;s;S");
}

static void tell_stop(struct gdb_session *session, const char *args)
{
	reply(session, session->stop);
}

static void kill_guest(struct gdb_session *session, const char *args)
{
	session->target->kill(session->target->opaque);
	session->over = true;
}

static void kill_and_answer(struct gdb_session *session, const char *args)
{
	reply(session, "OK");
	kill_guest(session, args);
}

static void detach(struct gdb_session *session, const char *args)
{
	reply(session, "OK");
	session->over = true;
}

/* Threads: H, T, qC, qfThreadInfo, qThreadExtraInfo. */

static void select_thread(struct gdb_session *session, const char *args)
{
	bool for_resuming = take_char(&args, 'c');
	int thread;

	if ((!for_resuming && !take_char(&args, 'g')) || !take_thread(session, &args, &thread) ||
	    *args) {
		reply(session, ERROR_MALFORMED);
		return;
	}
	if (for_resuming) {
		session->resume_all = thread <= 0;
		session->resumed = thread > 0 ? thread - 1 : session->current;
	} else if (thread > 0) {
		session->current = thread - 1;
	}
	reply(session, "OK");
}

static void tell_alive(struct gdb_session *session, const char *args)
{
	int thread;

	reply(session, take_thread(session, &args, &thread) && thread > 0 && !*args
			       ? "OK"
			       : ERROR_MALFORMED);
}

static void tell_current(struct gdb_session *session, const char *args)
{
	g_autofree char *text = g_strdup_printf("QC%x", session->current + 1);

	reply(session, *args ? "" : text); /* qCRC is another one */
}

static void tell_threads(struct gdb_session *session, const char *args)
{
	g_autoptr(GString) text = g_string_new("m");

	for (unsigned i = 0; i < session->target->n_vcpus; i++)
		g_string_append_printf(text, "%s%x", i ? "," : "", i + 1);
	reply(session, text->str);
}

static void tell_no_more(struct gdb_session *session, const char *args)
{
	reply(session, "l");
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
		reply(session, ERROR_MALFORMED);
		return;
	}
	session->target->get_state(session->target->opaque, thread - 1, &state);
	text = g_strdup_printf("CPU %d, %s", thread - 1, activities[state.activity]);
	reply_hex(session, (const uint8_t *)text, strlen(text));
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
	reply(session, text);
}

static void read_description(struct gdb_session *session, const char *args)
{
	uint64_t offset, len;
	size_t total = strlen(session->xml);
	g_autoptr(GString) text = NULL;

	if (!take_hex(&args, &offset) || !take_char(&args, ',') || !take_hex(&args, &len) ||
	    *args) {
		reply(session, ERROR_MALFORMED);
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
	reply(session, "OK");
	session->no_ack = true;
}

static void tell_attached(struct gdb_session *session, const char *args)
{
	reply(session, "1"); /* so that gdb, when it ends, leaves the VM running */
}

/* `monitor` commands: qRcmd, text in hex both ways. */
static void run_command(struct gdb_session *session, const char *args)
{
	size_t len = strlen(args) / 2;
	g_autofree char *command = g_malloc0(len + 1);
	const char *answer = "";

	if (!take_bytes(&args, (uint8_t *)command, len) || *args) {
		reply(session, ERROR_MALFORMED);
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
		reply_hex(session, (const uint8_t *)answer, strlen(answer));
	else
		reply(session, "OK");
}

/* By prefix; the first that fits counts. */
static const struct {
	const char *prefix;
	void (*serve)(struct gdb_session *session, const char *args);
	bool anytime; /* while the guest runs, too */
} commands[] = {
	{"?", tell_stop},
	{"g", read_registers},
	{"G", write_registers},
	{"p", read_register},
	{"P", write_register},
	{"m", read_memory},
	{"M", write_memory},
	{"X", write_binary},
	{"Z", insert_point},
	{"z", remove_point},
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
			reply(session, ERROR_BUSY);
		else
			commands[i].serve(session, data + strlen(commands[i].prefix));
		return;
	}
	reply(session, ""); /* gdb takes it for: not supported */
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
		apply_points(session, i, false);
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
		reply(session, text);
	session->over = true;
}

bool gdb_session_is_over(const struct gdb_session *session)
{
	return session->over;
}
