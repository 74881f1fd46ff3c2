/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What test_insn_host cannot ask the host: the x87's pointers, and exceptions that depend on
 * control registers. */
#include <glib.h>
#include <string.h>

#include "guest.h"
#include "host_run.h"

static struct guest guest;

/* Runs one instruction; its vector, or -1. */
static int run(unsigned offset, const char *hex)
{
	uint8_t bytes[15] = {0};
	unsigned n = strlen(hex) / 2;

	for (unsigned i = 0; i < n; i++)
		bytes[i] = g_ascii_xdigit_value(hex[2 * i]) << 4 |
			   g_ascii_xdigit_value(hex[2 * i + 1]);
	guest_set_code(&guest, offset, bytes, sizeof(bytes));
	return cpu_step(guest.cpu);
}

static void set_up(uint64_t cr0_extra, uint64_t cr4_without)
{
	struct x86_state *state = &guest.cpu->state;

	state->cr0 = (state->cr0 & ~(CR0_TS | CR0_EM)) | cr0_extra;
	state->cr4 = (state->cr4 | CR4_OSXMMEXCPT | CR4_OSFXSR) & ~cr4_without;
	state->mxcsr = 0x1f80;
	state->fpu = (struct x86_fpu){.fcw = 0x37f};
	cpu_update_mode(guest.cpu);
	guest.cpu->gpr[X86_RAX] = HOST_DATA + 0x100;
	guest.cpu->gpr[X86_RBX] = HOST_DATA + 0x200;
}

static uint32_t data32(unsigned offset)
{
	uint32_t v;

	memcpy(&v, guest.data + offset, sizeof(v));
	return v;
}

static void test_pointers(void)
{
	const struct x86_fpu *fpu = &guest.cpu->state.fpu;

	set_up(0, 0);
	g_assert_cmpint(run(0x10, "d900"), ==, -1); /* fld dword [rax] */
	g_assert_cmphex(fpu->fip, ==, HOST_CODE + 0x10);
	g_assert_cmphex(fpu->fdp, ==, HOST_DATA + 0x100);
	g_assert_cmphex(fpu->fop, ==, 0x100);
	g_assert_cmpint(run(0x20, "d933"), ==, -1); /* fnstenv [rbx]: itself not noted */
	g_assert_cmphex(data32(0x200 + 12), ==, HOST_CODE + 0x10);
	g_assert_cmphex(data32(0x200 + 16), ==, 0x100 << 16);
	g_assert_cmphex(data32(0x200 + 20), ==, HOST_DATA + 0x100);
	g_assert_cmpint(run(0x30, "dd33"), ==, -1); /* fnsave [rbx] */
	g_assert_cmphex(fpu->fip, ==, 0);
	g_assert_cmpint(run(0x40, "dd23"), ==, -1); /* frstor [rbx] */
	g_assert_cmphex(fpu->fip, ==, HOST_CODE + 0x10);
	g_assert_cmphex(fpu->fdp, ==, HOST_DATA + 0x100);
	g_assert_cmpint(run(0x50, "480fae03"), ==, -1); /* fxsave64 [rbx] */
	g_assert_cmphex(data32(0x200 + 8), ==, HOST_CODE + 0x10);
	g_assert_cmphex(data32(0x200 + 16), ==, HOST_DATA + 0x100);
}

static void test_environment16(void)
{
	set_up(0, 0);
	g_assert_cmpint(run(0x10, "d900"), ==, -1);
	memset(guest.data + 0x200, 0xaa, 32);
	g_assert_cmpint(run(0x20, "66d933"), ==, -1);
	g_assert_cmphex(data32(0x200) & 0xffff, ==, 0x37f);
	g_assert_cmphex(data32(0x200 + 6), ==, 0x10);
	g_assert_cmphex(data32(0x200 + 10), ==, 0x100);
	g_assert_cmphex(guest.data[0x200 + 14], ==, 0xaa);
}

static void test_simd_exception(void)
{
	static const float one[8] = {1}, zero[8] = {0};
	struct x86_state *state = &guest.cpu->state;

	for (unsigned i = 0; i < 2; i++) {
		set_up(0, i ? CR4_OSXMMEXCPT : 0);
		state->mxcsr = 0x1f80 & ~(1 << 9); /* ZM */
		memcpy(state->ymm[1], one, 32);
		memcpy(state->ymm[2], zero, 32);
		g_assert_cmpint(run(0x10, "f30f5eca"), ==, i ? EXC_UD : EXC_XM); /* divss */
		g_assert_cmpmem(state->ymm[1], 32, one, 32);
		g_assert_cmphex(state->mxcsr, ==, (0x1f80 & ~(1 << 9)) | 1 << 2);
		g_assert_cmphex(state->rip, ==, HOST_CODE + 0x10);
	}
}

static void test_x87_exception(void)
{
	volatile long double a = 1, b = 3;

	set_up(0, 0);
	guest.cpu->state.fpu.fcw = 0x37f & ~(1 << 2);
	g_assert_cmpint(run(0x10, "d9e8"), ==, -1); /* fld1 */
	g_assert_cmpint(run(0x20, "d9ee"), ==, -1); /* fldz */
	g_assert_cmpint(run(0x30, "def9"), ==, -1); /* fdivp: pends */
	g_assert_cmpint(run(0x40, "dfe0"), ==, -1); /* fnstsw ax does not wait */
	g_assert_cmphex(guest.cpu->gpr[X86_RAX] & 0x84, ==, 0x84);
	g_assert_true(a / b < 1); /* and not on the host */
	g_assert_cmpint(run(0x50, "d9e8"), ==, EXC_MF);
	g_assert_cmphex(guest.cpu->state.fpu.fip, ==, HOST_CODE + 0x30);
	g_assert_cmpint(run(0x60, "9b"), ==, EXC_MF);
	g_assert_cmpint(run(0x70, "0f77"), ==, EXC_MF); /* emms */
	g_assert_cmpint(run(0x80, "dbe2"), ==, -1);	/* fnclex */
	g_assert_cmpint(run(0x90, "9b"), ==, -1);
}

static void test_not_available(void)
{
	set_up(CR0_TS, 0);
	g_assert_cmpint(run(0x10, "d9e8"), ==, EXC_NM);
	g_assert_cmpint(run(0x20, "9b"), ==, EXC_NM); /* MP is set */
	g_assert_cmpint(run(0x30, "0f58c1"), ==, EXC_NM);
	g_assert_cmpint(run(0x40, "0fae03"), ==, EXC_NM);
	set_up(CR0_EM, 0);
	g_assert_cmpint(run(0x50, "d9e8"), ==, EXC_NM);
	g_assert_cmpint(run(0x60, "0ffcc1"), ==, EXC_UD); /* paddb mm */
	g_assert_cmpint(run(0x70, "0f58c1"), ==, EXC_UD);
	g_assert_cmpint(run(0x80, "9b"), ==, -1);
	set_up(0, CR4_OSFXSR);
	g_assert_cmpint(run(0x90, "0f58c1"), ==, EXC_UD);
	g_assert_cmpint(run(0xa0, "0ffcc1"), ==, -1);
	set_up(0, 0);
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	guest_init(&guest, &engine_interp);
	g_test_add_func("/vector/pointers", test_pointers);
	g_test_add_func("/vector/environment16", test_environment16);
	g_test_add_func("/vector/simd-exception", test_simd_exception);
	g_test_add_func("/vector/x87-exception", test_x87_exception);
	g_test_add_func("/vector/not-available", test_not_available);
	return g_test_run();
}
