/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/jit/outcome.h"

#include <inttypes.h>
#include <string.h>

#include "cpu/x86/exec.h"
#include "cpu/x86/vector.h"

void outcome_take(struct cpu *cpu, struct outcome *o)
{
	vector_leave(cpu);
	o->state = cpu->state;
	memcpy(o->state.gpr, cpu->gpr, sizeof(o->state.gpr));
	o->state.rflags = cpu_rflags(cpu);
	memcpy(o->pdpte, cpu->pdpte, sizeof(o->pdpte));
	o->debug_pending = cpu->debug_pending;
	o->flags = cpu->flags;
	o->zmm_used = cpu->zmm_used;
	o->no_step = cpu->no_step;
	o->faulted = false;
}

void outcome_take_fault(struct cpu *cpu, struct outcome *o)
{
	outcome_take(cpu, o);
	o->faulted = true;
	o->vector = cpu->fault.vector;
	o->has_error_code = cpu->fault.has_error_code;
	o->error_code = cpu->fault.error_code;
}

void outcome_restore(struct cpu *cpu, const struct outcome *o)
{
	cpu->x87_live = false;
	cpu->state = o->state;
	memcpy(cpu->gpr, o->state.gpr, sizeof(cpu->gpr));
	cpu_set_rflags(cpu, o->state.rflags);
	memcpy(cpu->pdpte, o->pdpte, sizeof(cpu->pdpte));
	cpu->debug_pending = o->debug_pending;
	cpu->flags = o->flags;
	cpu->zmm_used = o->zmm_used;
	cpu->no_step = o->no_step;
	cpu_update_mode(cpu);
}

static uint64_t rflags_of(uint8_t fl)
{
	static const uint16_t bits[] = {RFLAGS_CF, RFLAGS_PF, RFLAGS_AF,
					RFLAGS_ZF, RFLAGS_SF, RFLAGS_OF};
	uint64_t rflags = 0;

	for (unsigned i = 0; i < G_N_ELEMENTS(bits); i++)
		if (fl >> i & 1)
			rflags |= bits[i];
	return rflags;
}

static uint64_t element(const void *object, const struct state_field *f, unsigned i)
{
	uint64_t v = 0;

	memcpy(&v, (const uint8_t *)object + f->offset + i * f->size, f->size);
	return v;
}

static void append_name(GString *text, const struct state_field *f, unsigned i)
{
	static const char *const registers[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp",
						"rsi", "rdi", "r8",  "r9",  "r10", "r11",
						"r12", "r13", "r14", "r15"};

	if (f->offset == offsetof(struct x86_state, gpr))
		g_string_append(text, registers[i]);
	else if (f->count > 1)
		g_string_append_printf(text, "%s[%u]", f->name, i);
	else
		g_string_append(text, f->name);
}

/* Elements of a field that differ; the first is named. */
static unsigned compare_field(const struct state_field *f, const struct x86_state *t1,
			      const struct x86_state *t0, bool is_first, GString *text)
{
	const uint8_t *a = (const uint8_t *)t1 + f->offset, *b = (const uint8_t *)t0 + f->offset;
	unsigned n = 0;

	if (!memcmp(a, b, (size_t)f->size * f->count))
		return 0;
	for (unsigned i = 0; i < f->count; i++) {
		uint64_t v1 = element(t1, f, i), v0 = element(t0, f, i);

		if (v1 == v0 || n++ || !is_first)
			continue;
		append_name(text, f, i);
		g_string_append_printf(text, " is %" PRIx64 " on T1 and %" PRIx64 " on T0", v1, v0);
	}
	return n;
}

unsigned outcome_compare(const struct outcome *first, const struct outcome *t0, uint8_t flags_live,
			 bool early, GString *text)
{
	struct x86_state t1 = first->state;
	unsigned n = 0;

	t1.rflags ^= (t1.rflags ^ t0->state.rflags) & RFLAGS_ARITH & ~rflags_of(flags_live);
	/* T1 does without STI's shadow, since it would not end there by itself. */
	if (early && !t1.interrupt_shadow && !t0->state.shadow_by_ss) {
		t1.interrupt_shadow = t0->state.interrupt_shadow;
		t1.shadow_by_ss = false;
	}
	/* Says something only while there is a shadow. */
	if (!t1.interrupt_shadow && !t0->state.interrupt_shadow)
		t1.shadow_by_ss = t0->state.shadow_by_ss;
	for (size_t i = 0; i < x86_state_table.n_fields; i++)
		n += compare_field(&x86_state_table.fields[i], &t1, &t0->state, !n, text);
	if (memcmp(first->pdpte, t0->pdpte, sizeof(t0->pdpte)) && !n++)
		g_string_append(text, "the PDPTE registers differ");
	if (first->debug_pending != t0->debug_pending && !n++)
		g_string_append(text, "pending debug exceptions differ");
	return n;
}
