/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What test_insn_host cannot ask the host of AVX-512: what is left after a fault in the middle,
 * what control registers hide, and the state's stream. */
#include <glib.h>
#include <string.h>

#include "cpu/x86/mmu.h"
#include "guest.h"
#include "host_run.h"

static struct guest guest;
static struct x86_state *state;
static const struct x86_model *host;

/* Runs one instruction; its vector, or -1. */
static int run(const char *hex)
{
	static unsigned offset;
	uint8_t bytes[15] = {0};
	unsigned n = strlen(hex) / 2;

	for (unsigned i = 0; i < n; i++)
		bytes[i] = g_ascii_xdigit_value(hex[2 * i]) << 4 |
			   g_ascii_xdigit_value(hex[2 * i + 1]);
	offset = (offset + 16) % 4096;
	guest_set_code(&guest, offset, bytes, sizeof(bytes));
	return cpu_step(guest.cpu);
}

static bool skipped(void)
{
	if (host->has[F_AVX512F])
		return false;
	g_test_skip("this host has no AVX-512");
	return true;
}

static void set_up(void)
{
	state->cr0 &= ~(CR0_TS | CR0_EM);
	state->cr4 |= CR4_OSXSAVE | CR4_OSXMMEXCPT;
	state->xcr0 = host->xcr0_mask;
	state->mxcsr = 0x1f80;
	memset(state->ymm, 0, sizeof(state->ymm));
	memset(state->zmm_high, 0, sizeof(state->zmm_high));
	memset(state->k, 0, sizeof(state->k));
	memset(guest.data, 0, HOST_DATA_SIZE);
	cpu_update_mode(guest.cpu);
	mmu_flush(guest.cpu);
}

/* Doubleword `i` of a vector register. */
static uint32_t *dword(unsigned reg, unsigned i)
{
	uint8_t *half = i < 8 ? state->ymm[reg] : state->zmm_high[reg];

	return (uint32_t *)half + i % 8;
}

static uint32_t *memory(unsigned offset)
{
	return (uint32_t *)(guest.data + offset);
}

static void test_not_available(void)
{
	static const uint64_t parts[] = {XCR0_OPMASK, XCR0_ZMM_HIGH, XCR0_ZMM_16_31, XCR0_AVX};

	if (skipped())
		return;
	set_up();
	g_assert_cmpint(run("62f16c4858d9"), ==, -1); /* vaddps zmm3, zmm2, zmm1 */
	g_assert_cmpint(run("c4e1f890d1"), ==, -1);   /* kmovq k2, k1 */
	for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
		state->xcr0 = host->xcr0_mask & ~parts[i];
		cpu_update_mode(guest.cpu);
		g_assert_cmpint(run("62f16c4858d9"), ==, EXC_UD);
		g_assert_cmpint(run("c4e1f890d1"), ==, EXC_UD);
		g_assert_cmpint(run("c5ec58d9"), ==, parts[i] == XCR0_AVX ? EXC_UD : -1);
	}
	set_up();
	state->cr4 &= ~CR4_OSXSAVE;
	cpu_update_mode(guest.cpu);
	g_assert_cmpint(run("62f16c4858d9"), ==, EXC_UD);
	set_up();
	state->cr0 |= CR0_TS;
	cpu_update_mode(guest.cpu);
	g_assert_cmpint(run("62f16c4858d9"), ==, EXC_NM);
	g_assert_cmpint(run("c4e1f890d1"), ==, EXC_NM);
	set_up();
	state->mxcsr = 0x1f80 & ~(1 << 9); /* ZM */
	*dword(2, 0) = 0x3f800000;
	g_assert_cmpint(run("62f16e095ed9"), ==, -1); /* vdivss xmm3{k1}, xmm2, xmm1: masked off */
	state->k[1] = 1;
	g_assert_cmpint(run("62f16e095ed9"), ==, EXC_XM);
	set_up();
}

/* Element 5 is in no page at first. */
static void test_gather(void)
{
	if (skipped())
		return;
	set_up();
	guest.cpu->gpr[X86_RAX] = HOST_DATA;
	for (unsigned i = 0; i < 16; i++) {
		*memory(64 * i) = 1000 + i;
		*dword(4, i) = 7;
		*dword(5, i) = 16 * i;
	}
	*dword(5, 5) = HOST_DATA_SIZE;
	state->k[1] = 0xffff00000000ff7f;
	g_assert_cmpint(run("62f27d499024a8"), ==, EXC_PF); /* vpgatherdd zmm4{k1}, [rax+zmm5*4] */
	g_assert_cmphex(state->cr2, ==, HOST_DATA + 4 * HOST_DATA_SIZE);
	g_assert_cmphex(state->k[1] & 0xffff, ==, 0xff60);
	for (unsigned i = 0; i < 16; i++)
		g_assert_cmpuint(*dword(4, i), ==, i < 5 ? 1000 + i : 7);
	*dword(5, 5) = 16 * 5;
	g_assert_cmpint(run("62f27d499024a8"), ==, -1);
	g_assert_cmphex(state->k[1], ==, 0);
	for (unsigned i = 0; i < 16; i++)
		g_assert_cmpuint(*dword(4, i), ==, i == 7 ? 7 : 1000 + i);
}

static void test_scatter(void)
{
	if (skipped())
		return;
	set_up();
	guest.cpu->gpr[X86_RAX] = HOST_DATA;
	for (unsigned i = 0; i < 16; i++) {
		*dword(4, i) = 1000 + i;
		*dword(5, i) = 16 * i;
	}
	*dword(5, 5) = HOST_DATA_SIZE;
	*dword(5, 9) = 16 * 8; /* the later one wins */
	state->k[1] = 0xff7f;
	g_assert_cmpint(run("62f27d49a024a8"), ==, EXC_PF); /* vpscatterdd [rax+zmm5*4]{k1}, zmm4 */
	g_assert_cmphex(state->k[1], ==, 0xff60);
	for (unsigned i = 0; i < 16; i++)
		g_assert_cmpuint(*memory(64 * i), ==, i < 5 ? 1000 + i : 0);
	*dword(5, 5) = 16 * 5;
	g_assert_cmpint(run("62f27d49a024a8"), ==, -1);
	g_assert_cmphex(state->k[1], ==, 0);
	for (unsigned i = 0; i < 16; i++)
		g_assert_cmpuint(*memory(64 * i), ==,
				 i == 7 || i == 9 ? 0
				 : i == 8	  ? 1009
						  : 1000 + i);
}

/* The operand's last two elements are past the last page. */
static void test_masked_off(void)
{
	unsigned at = HOST_DATA_SIZE - 14 * 4;

	if (skipped())
		return;
	set_up();
	guest.cpu->gpr[X86_RAX] = HOST_DATA + at;
	for (unsigned i = 0; i < 16; i++)
		*dword(4, i) = 500 + i;
	state->k[1] = 0x7ffd;
	g_assert_cmpint(run("62f17e497f20"), ==, EXC_PF); /* vmovdqu32 [rax]{k1}, zmm4 */
	g_assert_cmphex(state->cr2, ==, HOST_DATA + HOST_DATA_SIZE);
	for (unsigned i = 0; i < 14; i++) /* all or nothing */
		g_assert_cmpuint(*memory(at + 4 * i), ==, 0);
	state->k[1] = 0x3ffd;
	g_assert_cmpint(run("62f17e497f20"), ==, -1);
	for (unsigned i = 0; i < 14; i++)
		g_assert_cmpuint(*memory(at + 4 * i), ==, i == 1 ? 0 : 500 + i);
	g_assert_cmpint(run("62f17ec96f20"), ==, -1); /* vmovdqu32 zmm4{k1}{z}, [rax] */
	for (unsigned i = 0; i < 16; i++)
		g_assert_cmpuint(*dword(4, i), ==, i == 1 || i >= 14 ? 0 : 500 + i);
	/* Where the exception class does not suppress them, they fault. */
	guest.cpu->gpr[X86_RAX] = HOST_DATA + HOST_DATA_SIZE - 24;
	state->k[1] = 7;
	g_assert_cmpint(run("62f3fd493b2001"), ==, EXC_PF); /* vextracti64x4 [rax]{k1}, zmm4, 1 */
}

/* As many elements as the mask has bits, side by side. */
static void test_packed(void)
{
	unsigned at = HOST_DATA_SIZE - 3 * 4;

	if (skipped())
		return;
	set_up();
	guest.cpu->gpr[X86_RAX] = HOST_DATA + at;
	for (unsigned i = 0; i < 16; i++)
		*dword(4, i) = 500 + i;
	state->k[1] = 0x8022;
	g_assert_cmpint(run("62f27d498b20"), ==, -1); /* vpcompressd [rax]{k1}, zmm4 */
	g_assert_cmpuint(*memory(at), ==, 501);
	g_assert_cmpuint(*memory(at + 4), ==, 505);
	g_assert_cmpuint(*memory(at + 8), ==, 515);
	g_assert_cmpint(run("62f27dc98920"), ==, -1); /* vpexpandd zmm4{k1}{z}, [rax] */
	for (unsigned i = 0; i < 16; i++)
		g_assert_cmpuint(*dword(4, i), ==, 0x8022 >> i & 1 ? 500 + i : 0);
	state->k[1] = 0x8023;
	g_assert_cmpint(run("62f27d498b20"), ==, EXC_PF);
	g_assert_cmpint(run("62f27dc98920"), ==, EXC_PF);
}

static void test_cpuid(void)
{
	struct x86_state reset;
	struct cpuid all, seven;
	unsigned end = XSAVE_HEADER_END, packed = XSAVE_HEADER_END;

	x86_state_reset(&reset, true);
	seven = cpuid_get(host, 7, 0, &reset, 0, 1);
	all = cpuid_get(host, 0xd, 0, &reset, 0, 1);
	g_assert_cmpint(seven.ebx >> 16 & 1, ==, host->has[F_AVX512F]);
	g_assert_cmphex(all.eax, ==, host->xcr0_mask);
	g_assert_cmpuint(all.ebx, ==, XSAVE_HEADER_END);
	for (unsigned i = 2; i < 64; i++) {
		struct cpuid part = cpuid_get(host, 0xd, i, &reset, 0, 1);

		g_assert_cmpint(part.eax != 0, ==, i < 32 && (all.eax >> i & 1));
		end = MAX(end, part.ebx + part.eax);
		packed += part.eax;
	}
	g_assert_cmpuint(all.ecx, ==, end);
	reset.xcr0 = all.eax;
	g_assert_cmpuint(cpuid_get(host, 0xd, 0, &reset, 0, 1).ebx, ==, end);
	g_assert_cmpuint(cpuid_get(host, 0xd, 1, &reset, 0, 1).ebx, ==, packed);
}

/* A stream from before AVX-512 leaves its registers at reset. */
static void test_stream(void)
{
	struct state_field fields[128];
	struct state_table old = x86_state_table;
	g_autofree struct x86_state *in = g_new0(struct x86_state, 1),
				    *out = g_new0(struct x86_state, 1);

	for (unsigned version = 1; version <= 3; version++) {
		g_autoptr(GByteArray) bytes = g_byte_array_new();
		g_autoptr(GError) error = NULL;

		old.n_fields = 0;
		for (unsigned i = 0; i < x86_state_table.n_fields; i++)
			if (x86_state_table.fields[i].since <= version)
				fields[old.n_fields++] = x86_state_table.fields[i];
		old.fields = fields;
		old.version = version;
		x86_state_reset(in, true);
		x86_state_reset(out, true);
		memset(in->ymm, 0x5a, sizeof(in->ymm));
		memset(in->zmm_high, 0x6b, sizeof(in->zmm_high));
		in->k[7] = 7;
		state_save(&old, 0, in, bytes);
		struct state_reader reader = {bytes->data, bytes->len, 0};
		g_assert_true(state_load(&x86_state_table, 0, out, &reader, &error));
		if (version < 3) {
			memset(in->ymm[16], 0, 16 * 32);
			memset(in->zmm_high, 0, sizeof(in->zmm_high));
			in->k[7] = 0;
		}
		g_assert_cmpmem(out->ymm, sizeof(out->ymm), in->ymm, sizeof(in->ymm));
		g_assert_cmpmem(out->zmm_high, sizeof(out->zmm_high), in->zmm_high,
				sizeof(in->zmm_high));
		g_assert_cmphex(out->k[7], ==, in->k[7]);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	guest_init(&guest, &engine_soft);
	host = x86_model_host();
	state = &guest.cpu->state;
	g_test_add_func("/avx512/not-available", test_not_available);
	g_test_add_func("/avx512/gather", test_gather);
	g_test_add_func("/avx512/scatter", test_scatter);
	g_test_add_func("/avx512/masked-off", test_masked_off);
	g_test_add_func("/avx512/packed", test_packed);
	g_test_add_func("/avx512/cpuid", test_cpuid);
	g_test_add_func("/avx512/stream", test_stream);
	return g_test_run();
}
