/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A peer of the control socket, without its socket. A request is a line, a JSON object:
 *
 *	{"execute": NAME, "arguments": {...}, "id": ANY}	arguments and id may be left out
 *
 * and so is its answer, which has the request's id:
 *
 *	{"return": {...}, "id": ANY} or {"error": {"message": "..."}, "id": ANY}
 *
 * What is no such line gets an error, too. The peer is trusted with the VM; its bytes with nothing.
 * Loop thread.
 */
#ifndef VIV_VM_CONTROL_SESSION_H
#define VIV_VM_CONTROL_SESSION_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define CONTROL_MAX_LINE  65536

struct vm;
struct control_session;

struct control_session *control_session_new(struct vm *vm);
void control_session_free(struct control_session *session);
/* Bytes from the peer; answers are appended to `out`. False: a line is too long to go on after. */
bool control_session_input(struct control_session *session, const uint8_t *bytes, size_t len,
			   GByteArray *out);

#endif
