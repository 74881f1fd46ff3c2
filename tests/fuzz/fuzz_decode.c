/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instruction bytes in all three modes: the decoder stays within them, gives the same answer
 * twice, and has the length that Zydis has where both find an instruction.
 */
#include <Zydis/Zydis.h>
#include <glib.h>
#include <string.h>

#include "cpu/x86/insn.h"
#include "cpu/x86/model.h"
#include "fuzz.h"

static unsigned zydis_length(const uint8_t *bytes, size_t n, enum insn_mode mode)
{
	static const struct {
		ZydisMachineMode mode;
		ZydisStackWidth width;
	} modes[] = {
		[INSN_MODE_16] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
		[INSN_MODE_32] = {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
		[INSN_MODE_64] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
	};
	ZydisDecodedInstruction z;
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, modes[mode].mode, modes[mode].width);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, NULL, bytes, n, &z)))
		return 0;
	return z.length;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	size_t n = MIN(len, 20);
	uint8_t *bytes = g_memdup2(data, n); /* so that the sanitizer sees a read past the end */
	struct insn insn, again;

	const bool *has = x86_model_host()->has;

	insn_table_init();
	for (enum insn_mode mode = INSN_MODE_16; mode <= INSN_MODE_64; mode++) {
		enum insn_status status = insn_decode(bytes, n, mode, has, 100, &insn);

		g_assert(insn_decode(bytes, n, mode, has, 100, &again) == status);
		g_assert(!memcmp(&insn, &again, sizeof(insn)));
		g_assert(insn.len <= MIN(n, 15));
		g_assert((status == INSN_OK) == (insn.exec != NULL));
		if (status != INSN_OK)
			continue;
		g_assert(insn.row < insn_table_size());
		g_assert(insn_mem_size(insn_row_get(insn.row), &insn) <= 64);

		unsigned length = zydis_length(bytes, n, mode);
		g_assert(!length || length == insn.len);
	}
	g_free(bytes);
	return 0;
}
