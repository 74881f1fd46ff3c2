/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IN and OUT. */
#include "cpu/x86/debug.h"
#include "cpu/x86/exec.h"
#include "cpu/x86/flags.h"

enum { TSS_IO_MAP_BASE = 102 };

/* SDM volume 1, section 19.5: the map's bits for all bytes of the access must be clear, and the byte
 * after them must lie in the segment too. */
static bool map_allows(struct cpu *cpu, const struct insn *insn, uint16_t port, unsigned size)
{
	const struct x86_segment *tr = &cpu->state.tr;
	uint16_t base, bits;

	if (TSS_IO_MAP_BASE + 1 > tr->limit)
		return false;
	mmu_sys_read(cpu, insn, tr->base + TSS_IO_MAP_BASE, &base, 2);
	if (base + port / 8 + 1 > tr->limit)
		return false;
	mmu_sys_read(cpu, insn, tr->base + base + port / 8, &bits, 2);
	return !(bits >> port % 8 & ((1 << size) - 1));
}

void cpu_check_port(struct cpu *cpu, const struct insn *insn, uint16_t port, unsigned size)
{
	bool by_map = flags_v86(cpu) ||
		      ((cpu->state.cr0 & CR0_PE) && cpu_cpl(cpu) > flags_iopl(cpu));

	if (by_map && !map_allows(cpu, insn, port, size))
		cpu_fault_code(cpu, insn, EXC_GP, 0);
	if (G_UNLIKELY(debug_enabled(cpu)))
		debug_note_port(cpu, port, size);
}

static void read_port(struct cpu *cpu, const struct insn *insn, uint16_t port)
{
	unsigned size = MIN(insn->opsize, 4);
	uint32_t v;

	cpu_check_port(cpu, insn, port, size);
	v = bus_read(cpu->env.bus, BUS_PIO, port, size);
	if (size == 1)
		SET_REG8(R_RAX, v);
	else if (size == 2)
		SET_REG16(R_RAX, v);
	else
		SET_REG32(R_RAX, v);
}

/* The end of a block: the port may be a chipset's that asks for an SMI, or that changes what is memory, and the
 * processor does not go on before it has heard of it. */
static void write_port(struct cpu *cpu, const struct insn *insn, uint16_t port)
{
	unsigned size = MIN(insn->opsize, 4);

	cpu_check_port(cpu, insn, port, size);
	bus_write(cpu->env.bus, BUS_PIO, port, REG(uint32_t, R_RAX), size);
	cpu->state.rip = insn_next_pc(cpu, insn);
	set_rip_mode(cpu);
}

ROUTINE(in_I)
{
	read_port(cpu, insn, (uint8_t)insn->imm);
	NEXT();
}
EXEC_ONE(in_I)

ROUTINE(in_D)
{
	read_port(cpu, insn, REG(uint16_t, R_RDX));
	NEXT();
}
EXEC_ONE(in_D)

ROUTINE(out_I)
{
	write_port(cpu, insn, (uint8_t)insn->imm);
}
EXEC_ONE(out_I)

ROUTINE(out_D)
{
	write_port(cpu, insn, REG(uint16_t, R_RDX));
}
EXEC_ONE(out_D)
