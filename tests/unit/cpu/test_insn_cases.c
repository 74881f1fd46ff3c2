/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Code that an engine once ran differently from the host's processor: what fuzz_insn finds becomes
 * a row here. rax is HOST_DATA, rbx the start of the read-only page, rcx its end; the data is zero.
 */
#include <string.h>

#include "cpu/x86/model.h"
#include "insn_compare.h"

static struct guest interpreted, translated;
static const struct guest_engine engines[] = {
	{"T0, one by one", &interpreted, 1, false, false, guest_run_steps},
	{"T0, in blocks", &interpreted, 1, false, false, guest_run_blocks},
	{"T1", &translated, 12, true, true, guest_run_blocks},
};

static const struct insn_case {
	const char *what, *hex;
	bool is32;
	enum insn_feature feature;
} cases[] = {
	{"ENTER's new frame over the old one", "bc68210010bda0210010"
					       "c851011c"},
	{"ENTER, the same",
	 "bc68210010bda0210010"
	 "66c8510109",
	 true},
	{"ARPL of a selector that stays, read-only",
	 "ba00000000"
	 "6313",
	 true},
	{"ARPL of a selector that would change, read-only",
	 "ba01000000"
	 "6313",
	 true},
	{"ARPL where nothing is",
	 "63908f000000"
	 "639000ffffff",
	 true},
	{"BOUND over the end of the data, below",
	 "baffffffff"
	 "6291fc0f0000",
	 true},
	{"BOUND over the end of the data, above",
	 "ba01000000"
	 "6291fc0f0000",
	 true},
	{"POP to memory, rSP not canonical", "48bc0000000000000080"
					     "8f00"},
	{"PUSH of memory, rSP not canonical", "48bc0000000000000080"
					      "ff30"},
	{"POP to memory that is not canonical", "bc00210010"
						"48ba0000000000000080"
						"8f02"},
	{"PREFETCHW of a register", "0f0dca"},
	{"flags whose operand is gone when they are wanted", "3c55 b88f040010 66d05071"},
	{"flags whose operand was exchanged", "3c55 86e0 48bb0000001000000000 1103"},
	{"SHA of misaligned memory", "0f38c94801", false, F_SHA},
	{"VCVTPS2PH, invalid, to read-only memory",
	 "c745fc00000000"
	 "0fae55fc"
	 "c4e37d1d03ef",
	 false, F_F16C},
	{"CMPXCHG that fails, read-only", "48c7c2ffffffff"
					  "0fb113"},
	{"LOCK ADD, read-only", "f04801 13"},
	{"MOVS from the data's end", "488db900010000"
				     "be fe5f0010"
				     "b910000000"
				     "f366a5"},
};

static unsigned parse(const char *hex, uint8_t *bytes)
{
	unsigned n = 0;

	for (; *hex; hex++)
		if (*hex != ' ') {
			bytes[n++] =
				g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]);
			hex++;
		}
	return n;
}

static const struct insn_row *row_at(const void *opaque, unsigned offset)
{
	const struct compared_code *code = opaque;
	struct insn insn;

	if (insn_decode(code->bytes + (offset - code->offset), 15,
			code->is32 ? INSN_MODE_32 : INSN_MODE_64, x86_model_host()->has, 0,
			&insn) != INSN_OK)
		return NULL;
	return insn_row_get(insn.row);
}

static void test_case(gconstpointer opaque)
{
	const struct insn_case *c = opaque;
	g_autoptr(GString) why = g_string_new(NULL);
	uint8_t bytes[64] = {0};
	struct compared_code code = {
		.bytes = bytes,
		.offset = 0x100,
		.len = parse(c->hex, bytes),
		.max = 100,
		.is32 = c->is32,
		.row_at = row_at,
		.opaque = &code,
	};

	if (!x86_model_host()->has[c->feature]) {
		g_test_skip("the host has no such instruction");
		return;
	}
	sample_set_mode(c->is32 ? INSN_MODE_32 : INSN_MODE_64);
	sample_seed(1, 0, 0);
	sample_registers(&code.registers);
	code.registers.mxcsr = 0x1f80;
	code.registers.gpr[X86_RAX] = HOST_DATA;
	code.registers.gpr[X86_RBX] = HOST_DATA + HOST_READ_ONLY;
	code.registers.gpr[X86_RCX] = HOST_DATA + HOST_READ_ONLY + 0x1000;
	code.registers.gpr[X86_RBP] = HOST_DATA + 0x2000;
	memset(host_data, 0, HOST_DATA_SIZE);
	if (insn_compare(engines, G_N_ELEMENTS(engines), &code, why) <= COMPARISON_FAULT)
		return;
	g_test_message("%s", why->str);
	g_test_fail();
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	host_init();
	guest_init(&interpreted, &engine_interp);
	guest_init(&translated, &engine_soft);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path = g_strdup_printf("/insn/case/%s", cases[i].what);

		g_test_add_data_func(path, &cases[i], test_case);
	}
	return g_test_run();
}
