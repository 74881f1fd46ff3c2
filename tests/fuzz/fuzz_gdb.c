/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a peer sends to --gdb, byte for byte, but that packets need no checksum: `$data#` is given
 * the right one. The machine has two vCPUs of the interpreter and no threads; a vCPU that is
 * released stops at once, as code of the input's choice could run for good.
 */
#include <glib.h>
#include <string.h>

#include "cpu/x86/lapic.h"
#include "cpu/x86/state.h"
#include "vm/gdb/session.h"

#include "fuzz.h"

#define N_VCPUS	 2
#define RAM_SIZE MEM_MIN_SIZE
enum { PML4 = 0x1000, PDPT = 0x2000, CODE = 0x200000 };

struct machine {
	struct engine_env env;
	struct vcpu *vcpus[N_VCPUS];
	bool released[N_VCPUS];
	struct gdb_target target;
};

static void get_state(void *opaque, unsigned vcpu, struct x86_state *state)
{
	engine_soft.get_state(((struct machine *)opaque)->vcpus[vcpu], state);
}

static void set_state(void *opaque, unsigned vcpu, const struct x86_state *state)
{
	engine_soft.set_state(((struct machine *)opaque)->vcpus[vcpu], state);
}

static bool set_debug(void *opaque, unsigned vcpu, const struct engine_debug *debug)
{
	return engine_soft.set_debug(((struct machine *)opaque)->vcpus[vcpu], debug);
}

static void hold(void *opaque)
{
	struct machine *machine = opaque;

	for (unsigned i = 0; i < N_VCPUS; i++)
		machine->released[i] = false;
}

static void release(void *opaque, unsigned vcpu)
{
	((struct machine *)opaque)->released[vcpu] = true;
}

static bool take_stop(void *opaque, unsigned *vcpu, struct engine_stop *stop)
{
	struct machine *machine = opaque;

	for (unsigned i = 0; i < N_VCPUS; i++) {
		if (!machine->released[i])
			continue;
		machine->released[i] = false;
		*vcpu = i;
		memset(stop, 0, sizeof(*stop));
		return true;
	}
	return false;
}

static void end(void *opaque)
{
}

/* Identity-mapped by one table of 1 GiB pages. */
static void enter_long_mode(struct machine *machine)
{
	uint64_t pml4e = PDPT | 3, pdpte = 0x83;
	struct x86_state state;

	g_assert_true(mem_write(machine->env.mem, PML4, &pml4e, 8));
	g_assert_true(mem_write(machine->env.mem, PDPT, &pdpte, 8));
	engine_soft.get_state(machine->vcpus[0], &state);
	state.cr0 |= CR0_PE | CR0_PG;
	state.cr3 = PML4;
	state.cr4 |= CR4_PAE;
	state.efer |= EFER_LME | EFER_LMA;
	state.rip = CODE;
	engine_soft.set_state(machine->vcpus[0], &state);
}

static struct machine *machine_start(void)
{
	struct machine *machine = g_new0(struct machine, 1);

	machine->env = (struct engine_env){.mem = mem_new(RAM_SIZE, NULL),
					   .bus = bus_new(),
					   .clock = clock_new_manual(),
					   .n_vcpus = N_VCPUS};
	machine->env.lapics = lapic_set_new(machine->env.bus, machine->env.clock, N_VCPUS);
	for (unsigned i = 0; i < N_VCPUS; i++) {
		machine->vcpus[i] = engine_soft.vcpu_new(&machine->env, i, NULL);
		g_assert_nonnull(machine->vcpus[i]);
	}
	enter_long_mode(machine);
	machine->target = (struct gdb_target){
		.n_vcpus = N_VCPUS,
		.mem = machine->env.mem,
		.opaque = machine,
		.get_state = get_state,
		.set_state = set_state,
		.set_debug = set_debug,
		.hold = hold,
		.release = release,
		.take_stop = take_stop,
		.kill = end,
	};
	return machine;
}

static void machine_end(struct machine *machine)
{
	for (unsigned i = 0; i < N_VCPUS; i++)
		engine_soft.vcpu_free(machine->vcpus[i]);
	lapic_set_free(machine->env.lapics);
	clock_free(machine->env.clock);
	bus_free(machine->env.bus);
	mem_free(machine->env.mem);
	g_free(machine);
}

/* A packet's checksum is put in where its # stands. */
static GByteArray *with_checksums(const uint8_t *data, size_t len)
{
	GByteArray *bytes = g_byte_array_new();
	uint8_t sum = 0;
	char text[4];

	for (size_t i = 0; i < len; i++) {
		g_byte_array_append(bytes, &data[i], 1);
		if (data[i] == '#') {
			g_snprintf(text, sizeof(text), "%02x", sum);
			g_byte_array_append(bytes, (const uint8_t *)text, 2);
		}
		sum = data[i] == '$' ? 0 : sum + data[i];
	}
	return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	g_autoptr(GByteArray) bytes = with_checksums(data, len);
	g_autoptr(GByteArray) out = g_byte_array_new();
	struct machine *machine = machine_start();
	struct gdb_session *session = gdb_session_new(&machine->target);

	for (guint i = 0; i < bytes->len; i++) {
		gdb_session_input(session, bytes->data + i, 1, out);
		gdb_session_poll(session, out);
	}
	gdb_session_end(session, "W00", out);
	gdb_session_free(session);
	machine_end(machine);
	return 0;
}
