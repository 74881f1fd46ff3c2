/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No C runs with the guest's vector registers in the host's: all code in the cache is disassembled.
 * Only thunks call, each after it has looked whether the registers are live and, if so, stored all
 * 16 of them and MXCSR and taken the host's MXCSR back; translated code calls nothing.
 */
#include <Zydis/Zydis.h>
#include <glib.h>
#include <string.h>

#include "cpu/jit/jit_int.h"
#include "guest.h"
#include "insn_program.h"

static ZydisDecoder decoder;

/* What has been seen since the last place that can be jumped to from elsewhere. */
struct seen {
	bool asked, cleared, mxcsr_stored, mxcsr_loaded;
	unsigned stored; /* vector registers, a bit each */
};

static bool is_field(const ZydisDecodedOperand *o, int64_t offset)
{
	return o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->mem.segment == ZYDIS_REGISTER_GS &&
	       o->mem.base == ZYDIS_REGISTER_NONE && o->mem.disp.value == offset;
}

static void note(struct seen *seen, const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o)
{
	switch (z->mnemonic) {
	case ZYDIS_MNEMONIC_CMP:
		seen->asked |= is_field(&o[0], GS(jit.vectors_live));
		break;
	case ZYDIS_MNEMONIC_MOV:
		seen->cleared |= is_field(&o[0], GS(jit.vectors_live)) &&
				 o[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && !o[1].imm.value.u;
		break;
	case ZYDIS_MNEMONIC_STMXCSR:
		seen->mxcsr_stored |= is_field(&o[0], GS(state.mxcsr));
		break;
	case ZYDIS_MNEMONIC_LDMXCSR:
		seen->mxcsr_loaded |= is_field(&o[0], GS(jit.host_mxcsr));
		break;
	case ZYDIS_MNEMONIC_VMOVDQU:
	case ZYDIS_MNEMONIC_MOVUPS:
		for (unsigned i = 0; i < 16; i++)
			if (is_field(&o[0], GS(state.ymm) + 32 * i) &&
			    ZydisRegisterGetId(o[1].reg.value) == i)
				seen->stored |= 1 << i;
		break;
	default:
		break;
	}
}

static bool is_thunk(const struct jit_cache *cache, const uint8_t *at)
{
	const uint8_t *const *thunks = (const uint8_t *const *)&cache->thunk;

	for (size_t i = 0; i < sizeof(cache->thunk) / sizeof(*thunks); i++)
		if (thunks[i] == at)
			return true;
	return false;
}

/* Zeros to the next place where code may start. */
static unsigned padding_at(const uint8_t *p)
{
	static const uint8_t zeros[16];
	unsigned n = 16 - (uintptr_t)p % 16;

	return memcmp(p, zeros, n) ? 0 : n;
}

static bool is_call(const ZydisDecodedInstruction *z)
{
	return z->meta.category == ZYDIS_CATEGORY_CALL ||
	       z->meta.category == ZYDIS_CATEGORY_INTERRUPT ||
	       z->meta.category == ZYDIS_CATEGORY_SYSCALL;
}

/* Returns how many calls there are; each has to follow all that saves the registers. */
static unsigned check_calls(const struct jit_cache *cache, size_t from, size_t to)
{
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	struct seen seen = {0};
	unsigned n = 0;

	for (size_t at = from; at < to; at += z.length) {
		if (is_thunk(cache, cache->rx + at))
			seen = (struct seen){0};
		z.length = padding_at(cache->rx + at);
		if (z.length)
			continue;
		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, cache->rx + at, to - at, &z, o)))
			g_error("at %zx of %zx to %zx: %02x %02x %02x %02x %02x %02x", at, from, to,
				cache->rx[at], cache->rx[at + 1], cache->rx[at + 2],
				cache->rx[at + 3], cache->rx[at + 4], cache->rx[at + 5]);
		note(&seen, &z, o);
		if (!is_call(&z))
			continue;
		n++;
		g_assert_true(seen.asked && seen.cleared && seen.mxcsr_stored && seen.mxcsr_loaded);
		g_assert_cmphex(seen.stored, ==, 0xffff);
	}
	return n;
}

static void test_calls(void)
{
	g_autofree struct guest_outcome *outcome = g_new0(struct guest_outcome, 1);
	g_autofree struct insn_program *p = g_new0(struct insn_program, 1);
	const struct jit_cache *cache;
	struct guest guest = {0};

	guest_init(&guest, &engine_soft);
	jit_set_threshold(guest.cpu, 1);
	cache = guest.cpu->jit.cache;
	if (!cache) {
		g_test_skip("the host cannot translate");
		return;
	}
	for (unsigned i = 0; i < 300; i++) {
		sample_seed(3, i, 0);
		insn_program_make(p, 20);
		guest_set_registers(&guest, &p->registers);
		guest_set_mode(&guest, INSN_MODE_64);
		guest_set_code(&guest, p->offset, p->bytes, p->len);
		guest_run_blocks(&guest, 0, 0, 0, outcome);
	}
	/* access, group, page twice, second, step, fault, load_x87 */
	g_assert_cmpuint(check_calls(cache, 0, cache->code_start), ==, 8);
	g_assert_cmpuint(cache->used - cache->code_start, >, 100000);
	for (unsigned i = 0; i < cache->regions->len; i++) {
		const struct jit_region *region = cache->regions->pdata[i];

		g_assert_cmpuint(
			check_calls(cache, region->code - cache->rx, region->code_end - cache->rx),
			==, 0);
	}
	g_assert_cmpuint(check_calls(cache, cache->size / 2, cache->cold_used), ==, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	host_init();
	sample_set_mode(INSN_MODE_64);
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	g_test_add_func("/jit/calls", test_calls);
	return g_test_run();
}
