/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine of 16 MiB and one vCPU of the interpreter in 64-bit user mode, whose page tables
 * map the pages of host_run.h and nothing else.
 */
#ifndef VIV_TESTS_CPU_GUEST_H
#define VIV_TESTS_CPU_GUEST_H

#include "cpu/x86/cpu.h"

struct guest {
	struct engine_env env;
	struct cpu *cpu;
	uint8_t *data; /* host addresses of what lies at HOST_DATA in the guest */
};

void guest_init(struct guest *guest);
/* Goes to 64-bit or to 32-bit (compatibility) mode. */
void guest_set_mode(struct guest *guest, enum insn_mode mode);
/* Writes an instruction's bytes at HOST_CODE + offset and sets rip to it. */
void guest_set_code(struct guest *guest, unsigned offset, const uint8_t *bytes, unsigned n);

#endif
