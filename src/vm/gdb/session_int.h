/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of a session share. Handlers get a packet's text behind the prefix that named
 * them. */
#ifndef VIV_VM_GDB_SESSION_INT_H
#define VIV_VM_GDB_SESSION_INT_H

#include "vm/gdb/packet.h"
#include "vm/gdb/session.h"

/* Answers to what cannot be done; gdb shows the number, which is an errno. */
#define ERROR_ADDRESS	"E0e" /* EFAULT: nothing is there */
#define ERROR_MALFORMED "E16" /* EINVAL */
#define ERROR_TOO_MANY	"E1c" /* ENOSPC */
#define ERROR_BUSY	"E10" /* EBUSY: the guest runs */

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

/* session.c */
void gdb_reply(struct gdb_session *session, const char *text);
void gdb_reply_hex(struct gdb_session *session, const uint8_t *bytes, size_t len);

/* access.c: registers and memory */
void gdb_read_registers(struct gdb_session *session, const char *args);
void gdb_write_registers(struct gdb_session *session, const char *args);
void gdb_read_register(struct gdb_session *session, const char *args);
void gdb_write_register(struct gdb_session *session, const char *args);
void gdb_read_memory(struct gdb_session *session, const char *args);
void gdb_write_memory(struct gdb_session *session, const char *args);
void gdb_write_binary(struct gdb_session *session, const char *args);

/* points.c: breakpoints and watchpoints */
void gdb_insert_point(struct gdb_session *session, const char *args);
void gdb_remove_point(struct gdb_session *session, const char *args);
/* Has the engine stop at them; false: it cannot at so many. */
bool gdb_apply_points(struct gdb_session *session, unsigned vcpu, bool step);

#endif
