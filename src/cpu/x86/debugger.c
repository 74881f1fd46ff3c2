/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/debugger.h"

#include "cpu/x86/code.h"
#include "cpu/x86/mmu.h"

static bool same_points(const struct cpu_debugger *debugger, const struct engine_debug *debug)
{
	return debugger->n_points == debug->n_points &&
	       (!debug->n_points || !memcmp(debugger->points, debug->points,
					    debug->n_points * sizeof(debug->points[0])));
}

bool debugger_set(struct cpu *cpu, const struct engine_debug *debug)
{
	struct cpu_debugger *debugger = &cpu->debugger;

	if (debug->n_points > ENGINE_MAX_POINTS)
		return false;
	if (!same_points(debugger, debug)) {
		memset(debugger->points, 0, sizeof(debugger->points));
		debugger->n_watches = 0;
		debugger->n_points = debug->n_points;
		for (unsigned i = 0; i < debug->n_points; i++) {
			debugger->points[i] = debug->points[i];
			debugger->n_watches += debug->points[i].kind != ENGINE_POINT_EXECUTE;
		}
		code_drop_all(cpu);
		mmu_flush(cpu);
	}
	debugger->step = debug->step;
	debugger->alone = debugger->noted = false;
	cpu_update_mode(cpu);
	return true;
}

bool debugger_splits_at(const struct cpu *cpu, unsigned page_offset)
{
	const struct cpu_debugger *debugger = &cpu->debugger;

	for (unsigned i = 0; i < debugger->n_points; i++)
		if (debugger->points[i].kind == ENGINE_POINT_EXECUTE &&
		    debugger->points[i].address % 4096 == page_offset)
			return true;
	return false;
}

static void note_point(struct cpu *cpu, const struct engine_point *point)
{
	if (cpu->debugger.noted)
		return;
	cpu->debugger.noted = true;
	cpu->debugger.stop = (struct engine_stop){.is_point = true, .point = *point};
}

bool debugger_stops_here(struct cpu *cpu)
{
	struct cpu_debugger *debugger = &cpu->debugger;
	uint64_t address = cpu->state.rip;

	if (!(cpu->mode_key & MODE_64))
		address = (uint32_t)(address + cpu->state.seg[X86_CS].base);
	for (unsigned i = 0; i < debugger->n_points && !debugger->noted; i++)
		if (debugger->points[i].kind == ENGINE_POINT_EXECUTE &&
		    debugger->points[i].address == address)
			note_point(cpu, &debugger->points[i]);
	return debugger->noted;
}

bool debugger_stepped(struct cpu *cpu)
{
	struct cpu_debugger *debugger = &cpu->debugger;

	if (debugger->step && !debugger->noted) {
		debugger->noted = true;
		debugger->stop = (struct engine_stop){.is_point = false};
	}
	return debugger->noted;
}

void debugger_report(struct cpu *cpu)
{
	cpu->debugger.reported = cpu->debugger.stop;
	cpu->debugger.noted = false;
}

static bool is_watch(const struct engine_point *point, uint64_t address, uint64_t size)
{
	return point->kind != ENGINE_POINT_EXECUTE && address < point->address + point->len &&
	       point->address < address + size;
}

bool debugger_watches_page(const struct cpu *cpu, uint64_t address)
{
	for (unsigned i = 0; i < cpu->debugger.n_points; i++)
		if (is_watch(&cpu->debugger.points[i], address & ~4095ull, 4096))
			return true;
	return false;
}

void debugger_watch_access(struct cpu *cpu, const struct insn *insn, uint64_t address,
			   unsigned size, bool write)
{
	enum engine_point_kind other = write ? ENGINE_POINT_READ : ENGINE_POINT_WRITE;
	const struct cpu_debugger *debugger = &cpu->debugger;

	for (unsigned i = 0; i < debugger->n_points; i++) {
		if (debugger->points[i].kind == other ||
		    !is_watch(&debugger->points[i], address, size))
			continue;
		if (insn && cpu->block->n > 1) {
			cpu->fault_insn = insn;
			siglongjmp(*cpu->jump, JUMP_ALONE);
		}
		note_point(cpu, &debugger->points[i]);
		/* A repeated string instruction stops after the element. */
		atomic_store(&cpu->attention, true);
		return;
	}
}
