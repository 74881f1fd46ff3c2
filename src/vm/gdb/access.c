/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registers and memory that gdb reads and writes. */
#include <string.h>

#include "cpu/x86/translate.h"
#include "mem/mem.h"
#include "vm/gdb/registers.h"
#include "vm/gdb/session_int.h"

/* Registers: g, G, p, P ("Packets"). */

void gdb_read_registers(struct gdb_session *session, const char *args)
{
	uint8_t value[GDB_REGISTER_MAX_SIZE];
	g_autoptr(GByteArray) all = g_byte_array_new();
	struct x86_state state;

	session->target->get_state(session->target->opaque, session->current, &state);
	for (unsigned i = 0; i < gdb_registers_count(); i++) {
		gdb_register_read(&state, i, value);
		g_byte_array_append(all, value, gdb_register_size(i));
	}
	gdb_reply_hex(session, all->data, all->len);
}

/* Registers that cannot be changed are let be, as gdb sends them along with the others. */
void gdb_write_registers(struct gdb_session *session, const char *args)
{
	uint8_t value[GDB_REGISTER_MAX_SIZE];
	struct x86_state state;

	session->target->get_state(session->target->opaque, session->current, &state);
	for (unsigned i = 0; i < gdb_registers_count(); i++) {
		if (!gdb_take_bytes(&args, value, gdb_register_size(i))) {
			gdb_reply(session, ERROR_MALFORMED);
			return;
		}
		gdb_register_write(&state, i, value);
	}
	session->target->set_state(session->target->opaque, session->current, &state);
	gdb_reply(session, "OK");
}

void gdb_read_register(struct gdb_session *session, const char *args)
{
	uint8_t value[GDB_REGISTER_MAX_SIZE];
	struct x86_state state;
	uint64_t number;

	if (!gdb_take_hex(&args, &number) || *args || number >= gdb_registers_count()) {
		gdb_reply(session, ERROR_MALFORMED);
		return;
	}
	session->target->get_state(session->target->opaque, session->current, &state);
	gdb_register_read(&state, number, value);
	gdb_reply_hex(session, value, gdb_register_size(number));
}

void gdb_write_register(struct gdb_session *session, const char *args)
{
	uint8_t value[GDB_REGISTER_MAX_SIZE];
	struct x86_state state;
	uint64_t number;

	if (!gdb_take_hex(&args, &number) || !gdb_take_char(&args, '=') ||
	    number >= gdb_registers_count() ||
	    !gdb_take_bytes(&args, value, gdb_register_size(number)) || *args) {
		gdb_reply(session, ERROR_MALFORMED);
		return;
	}
	session->target->get_state(session->target->opaque, session->current, &state);
	if (!gdb_register_write(&state, number, value)) {
		gdb_reply(session, ERROR_MALFORMED);
		return;
	}
	session->target->set_state(session->target->opaque, session->current, &state);
	gdb_reply(session, "OK");
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

void gdb_read_memory(struct gdb_session *session, const char *args)
{
	uint8_t bytes[GDB_PACKET_MAX / 2];
	uint64_t address, len, gpa;
	struct x86_state state;
	size_t done = 0, piece;

	if (!gdb_take_hex(&args, &address) || !gdb_take_char(&args, ',') ||
	    !gdb_take_hex(&args, &len) || *args) {
		gdb_reply(session, ERROR_MALFORMED);
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
		gdb_reply(session, ERROR_ADDRESS);
	else
		gdb_reply_hex(session, bytes, done);
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
			gdb_reply(session, ERROR_ADDRESS);
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
	gdb_reply(session, "OK");
}

static bool take_range(const char **at, uint64_t *address, uint64_t *len)
{
	return gdb_take_hex(at, address) && gdb_take_char(at, ',') && gdb_take_hex(at, len) &&
	       gdb_take_char(at, ':');
}

void gdb_write_memory(struct gdb_session *session, const char *args)
{
	uint8_t bytes[GDB_PACKET_MAX / 2];
	uint64_t address, len;

	if (!take_range(&args, &address, &len) || len > sizeof(bytes) ||
	    !gdb_take_bytes(&args, bytes, len) || *args)
		gdb_reply(session, ERROR_MALFORMED);
	else
		write_bytes(session, address, bytes, len);
}

void gdb_write_binary(struct gdb_session *session, const char *args)
{
	uint64_t address, len;

	if (!take_range(&args, &address, &len) ||
	    len != session->parser.data + session->parser.len - args)
		gdb_reply(session, ERROR_MALFORMED);
	else
		write_bytes(session, address, (const uint8_t *)args, len);
}
