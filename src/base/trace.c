/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/trace.h"

#include "base/error.h"

static const struct {
	const char *name, *help;
} rows[] = {
#define TRACE_POINT(name, help, ...) [TRACE_##name] = {#name, help},
#include "base/trace.inc"
#undef TRACE_POINT
};

static bool enable(bool on[TRACE_N], const char *pattern)
{
	bool any = false;

	for (unsigned i = 0; i < TRACE_N; i++)
		if (g_pattern_match_simple(pattern, rows[i].name))
			on[i] = any = true;
	return any;
}

bool trace_enable(bool on[TRACE_N], const char *patterns, GError **error)
{
	/* An empty string would be split into nothing. */
	g_auto(GStrv) list = g_strsplit(*patterns ? patterns : ",", ",", -1);

	for (char **pattern = list; *pattern; pattern++) {
		if (enable(on, *pattern))
			continue;
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "'%s' names no event; see --trace help, and write like cpu_* or "
			    "jit_region,jit_flush",
			    *pattern);
		return false;
	}
	return true;
}

void trace_append_help(GString *out)
{
	for (unsigned i = 0; i < TRACE_N; i++)
		g_string_append_printf(out, "  %-18s %s\n", rows[i].name, rows[i].help);
}

void trace_print(const struct trace *trace, enum trace_id id, int vcpu, const char *format, ...)
{
	g_autofree char *text = NULL, *who = NULL;
	int64_t now = trace->now_ns(trace->clock);
	va_list args;

	va_start(args, format);
	text = g_strdup_vprintf(format, args);
	va_end(args);
	who = vcpu == TRACE_NO_VCPU ? g_strdup("-") : g_strdup_printf("%d", vcpu);
	/* One call, so that lines of several threads stay whole. */
	fprintf(trace->to, "[%5" PRId64 ".%09" PRId64 "] %s %s: %s\n", now / 1000000000,
		now % 1000000000, who, rows[id].name, text);
}
