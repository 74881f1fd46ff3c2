/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What people are told of translations: names for Linux's perf, and listings for tools/regions. */
#include <inttypes.h>
#include <stdio.h>

#include "cpu/jit/jit_int.h"

static const char *mode_name(const struct jit_region *region)
{
	static const char *const names[2][2] = {{"kernel32", "user32"}, {"kernel64", "user64"}};

	return names[!!(region->mode_key & MODE_64)][!!(region->mode_key & MODE_USER)];
}

/* One line of a perf map: start, size, name (Linux's tools/perf/Documentation/jit-interface.txt).
 */
static void map_line(FILE *to, const uint8_t *start, const uint8_t *end, const char *name)
{
	if (end > start)
		fprintf(to, "%" PRIxPTR " %tx %s\n", (uintptr_t)start, end - start, name);
}

void listing_map_region(const struct cpu *cpu, const struct jit_region *region)
{
	FILE *to = cpu->env.perf_map;
	char name[64];

	if (G_LIKELY(!to))
		return;
	snprintf(name, sizeof(name), "guest:%" PRIx64 ":%s", region->rip, mode_name(region));
	map_line(to, region->code, region->code_end, name);
	snprintf(name, sizeof(name), "guest:%" PRIx64 ":%s:out-of-line", region->rip,
		 mode_name(region));
	map_line(to, region->cold, region->cold_end, name);
}

void listing_map_thunks(const struct cpu *cpu)
{
	const struct jit_cache *cache = cpu->jit.cache;

	if (cpu->env.perf_map)
		map_line(cpu->env.perf_map, cache->rx, cache->rx + cache->code_start, "viv:thunks");
}

static void put_bytes(FILE *to, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fprintf(to, "%02x", bytes[i]);
}

static void put_host(FILE *to, const uint8_t *start, const uint8_t *end)
{
	if (start == end)
		return;
	fprintf(to, "    host %" PRIxPTR " ", (uintptr_t)start);
	put_bytes(to, start, end - start);
	fputc('\n', to);
}

static const char *flags_text(char text[8], uint8_t flags)
{
	static const char letters[] = "CPAZSO"; /* as FL_CF to FL_OF */
	unsigned n = 0;

	for (unsigned i = 0; letters[i]; i++)
		if (flags >> i & 1)
			text[n++] = letters[i];
	if (!n)
		text[n++] = '-';
	text[n] = 0;
	return text;
}

static const char *place_text(uint8_t place)
{
	static const char *const texts[] = {
		[FLAGS_HOST] = "in the host's",
		[FLAGS_MEMORY] = "in memory",
		[FLAGS_DEAD] = "dead",
		[FLAGS_RECIPE] = "to be made again",
	};

	return texts[place];
}

static void list_insn(const struct jit_region *region, unsigned i, FILE *to)
{
	const struct jit_insn *in = &region->insns[i];
	bool wide = region->mode_key & MODE_64;
	uint64_t pc = (region->rip & ~4095ull) + in->offset;
	char text[8];

	fprintf(to, "  %s %" PRIx64 " ", wide ? "guest64" : "guest32", wide ? pc : (uint32_t)pc);
	put_bytes(to, in->bytes, in->len);
	fprintf(to, " ; flags %s, read from here on: %s\n", place_text(in->flags_before),
		flags_text(text, in->flags_live));
	put_host(to, region->code + region->starts[i], region->code + region->starts[i + 1]);
}

static void list_exits(const struct jit_region *region, FILE *to)
{
	for (const struct jit_exit *exit = region->exits; exit; exit = exit->from_next)
		fprintf(to, "  exit to %" PRIx64 "%s%s: %s\n", exit->rip,
			exit->other_page ? " on another page" : "",
			exit->plain ? " without groups" : "", exit->to ? "linked" : "not linked");
}

static void list_region(const struct jit_region *region, FILE *to)
{
	unsigned guest_size = 0;
	char text[8];

	for (unsigned i = 0; i < region->n_insns; i++)
		guest_size += region->insns[i].len;
	fprintf(to,
		"region %" PRIx64 " at gpa %" PRIx64
		", %s: %u instructions, %u bytes; %td bytes of "
		"host code and %td out of line; flags read: %s%s%s%s%s\n",
		region->rip, region->gpa, mode_name(region), region->n_insns, guest_size,
		region->code_end - region->code, region->cold_end - region->cold,
		flags_text(text, region->flags_live), region->plain ? "; without groups" : "",
		region->loops ? "; a loop, listed twice" : "",
		region->compared ? "; compared at entry" : "",
		region->dead ? "; dropped since" : "");
	fprintf(to, "  entry\n");
	put_host(to, region->code, region->code + region->starts[0]);
	for (unsigned i = 0; i < region->n_insns; i++)
		list_insn(region, i, to);
	fprintf(to, "  end\n");
	put_host(to, region->code + region->starts[region->n_insns], region->code_end);
	fprintf(to, "  out of line\n");
	put_host(to, region->cold, region->cold_end);
	list_exits(region, to);
}

void jit_list(const struct cpu *cpu, FILE *to)
{
	const struct jit_cache *cache = cpu->jit.cache;

	if (!cache)
		return;
	fprintf(to, "vCPU %u: %u regions since the last of %" PRIu64 " flushes\n", cpu->id,
		cache->regions->len, cpu->jit.count.flushes);
	for (unsigned i = 0; i < cache->regions->len; i++)
		list_region(cache->regions->pdata[i], to);
}
