/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trace points: events that are told to people who ask for them by name (docs/adr/0015). A row of trace.inc makes
 * trace_NAME(trace, vcpu, ...), whose arguments are those of the row; `vcpu` is TRACE_NO_VCPU outside of
 * a vCPU's thread.
 *
 * A struct trace is handed down by whoever makes the parts of a VM, and is complete before they run; NULL is
 * one that is off. Any thread may tell.
 */
#ifndef VIV_BASE_TRACE_H
#define VIV_BASE_TRACE_H

#include <glib.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define TRACE_NO_VCPU (-1)

enum trace_id {
#define TRACE_POINT(name, ...) TRACE_##name,
#include "base/trace.inc"
#undef TRACE_POINT
	TRACE_N
};

struct trace {
	bool on[TRACE_N];
	FILE *to;
	int64_t (*now_ns)(const void *clock); /* virtual time */
	const void *clock;
};

/* Switches on what one of the patterns names, which are separated by commas and may hold * and ?. The error
 * says which names none. */
bool trace_enable(bool on[TRACE_N], const char *patterns, GError **error);
/* The rows, a line each. */
void trace_append_help(GString *out);

void trace_print(const struct trace *trace, enum trace_id id, int vcpu, const char *format, ...)
	G_GNUC_PRINTF(4, 5);

#define TRACE_LIST(...) __VA_ARGS__
#define TRACE_POINT(name, help, parameters, format, ...)                                           \
	static inline void trace_##name(const struct trace *trace, int vcpu, TRACE_LIST parameters) \
	{                                                                                          \
		if (G_UNLIKELY(trace != NULL) && trace->on[TRACE_##name])                          \
			trace_print(trace, TRACE_##name, vcpu, format, __VA_ARGS__);               \
	}
#include "base/trace.inc"
#undef TRACE_POINT
#undef TRACE_LIST

#endif
