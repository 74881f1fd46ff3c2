/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "vm/gdb/session_int.h"

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
	return gdb_take_char(at, ',') && gdb_take_hex(at, &point->point.address) &&
	       gdb_take_char(at, ',') && gdb_take_hex(at, &point->point.len) && point->point.len &&
	       point->point.len - 1 <= UINT64_MAX - point->point.address;
}

static struct point *find_point(struct gdb_session *session, const struct point *point)
{
	for (unsigned i = 0; i < session->n_points; i++)
		if (!memcmp(&session->points[i], point, sizeof(*point)))
			return &session->points[i];
	return NULL;
}

bool gdb_apply_points(struct gdb_session *session, unsigned vcpu, bool step)
{
	struct engine_point points[ENGINE_MAX_POINTS];
	struct engine_debug debug = {.step = step, .points = points, .n_points = session->n_points};

	memset(points, 0, sizeof(points));
	for (unsigned i = 0; i < session->n_points; i++)
		points[i] = session->points[i].point;
	return session->target->set_debug(session->target->opaque, vcpu, &debug);
}

void gdb_insert_point(struct gdb_session *session, const char *args)
{
	struct point point;

	/* Conditions, which follow, were not offered. */
	if (!take_point(&args, &point) || *args) {
		gdb_reply(session, point.type ? ERROR_MALFORMED : "");
		return;
	}
	if (!find_point(session, &point)) {
		if (session->n_points == G_N_ELEMENTS(session->points)) {
			gdb_reply(session, ERROR_TOO_MANY);
			return;
		}
		session->points[session->n_points++] = point;
		if (!gdb_apply_points(session, 0, false)) {
			session->n_points--;
			gdb_reply(session, ERROR_TOO_MANY);
			return;
		}
	}
	gdb_reply(session, "OK");
}

void gdb_remove_point(struct gdb_session *session, const char *args)
{
	struct point point, *found;

	if (!take_point(&args, &point) || *args) {
		gdb_reply(session, point.type ? ERROR_MALFORMED : "");
		return;
	}
	found = find_point(session, &point);
	if (found)
		*found = session->points[--session->n_points];
	gdb_reply(session, "OK");
}
