/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What compares T1 with T0: it finds what was broken in translated code, and nothing where nothing
 * is. */
#include <glib.h>
#include <string.h>

#include "cpu/jit/jit_int.h"
#include "cpu/jit/undo.h"
#include "guest.h"

#define ROUNDS 400

/* Each round of a program, whose number counts down in RCX; it ends with UD2. */
#define PROGRAM(name, text)                                                       \
	asm(".pushsection .rodata\n" #name ": " text "\n\tdec %ecx\n\tjnz " #name \
	    "\n\tud2\n" #name "_end:\n"                                           \
	    ".popsection");                                                       \
	extern const uint8_t name[], name##_end[];

PROGRAM(mixed,
	"add $0x11223344, %eax; movl $0x55667788, 0x100(%rbx); push %rax; cmp $0x1e1e1e1e, %edx\n"
	"adc $0, %r12d; paddd %xmm1, %xmm0; mov 0x100(%rbx), %r13d; pop %r10; call 1f; jmp 2f\n"
	"1: cld; inc %edx; ret; 2: mov %ecx, %ebp; mov $9, %ecx; mov %rbx, %rdi\n"
	"lea 0x40(%rbx), %rsi; rep movsb; mov %ebp, %ecx")

static struct vcpu *vcpu_new(struct engine_env *env, unsigned id, GError **error)
{
	struct vcpu *vcpu;

	env->lockstep = 1;
	vcpu = engine_soft.vcpu_new(env, id, error);
	if (vcpu)
		jit_set_threshold((struct cpu *)vcpu, 2);
	return vcpu;
}

static void set_up(struct guest *guest)
{
	struct cpu *cpu = guest->cpu;

	memset(guest->data, 0x5a, HOST_DATA_SIZE);
	memset(cpu->gpr, 0, sizeof(cpu->gpr));
	cpu->gpr[X86_RBX] = HOST_DATA;
	cpu->gpr[X86_RSP] = HOST_DATA + 0x3000;
	cpu->gpr[X86_RCX] = ROUNDS;
	cpu->state.mxcsr = 0x1f80;
	memset(cpu->state.ymm, 0x3c, sizeof(cpu->state.ymm));
	guest_set_mode(guest, INSN_MODE_64);
	cpu->state.idtr.limit = 0;
	cpu_update_mode(cpu);
	cpu->state.rip = HOST_CODE + 0x100;
}

/* The guest, after a run in which nothing differs. */
static bool start(struct guest *guest)
{
	static struct engine lockstep;

	lockstep = engine_soft;
	lockstep.vcpu_new = vcpu_new;
	guest_init(guest, &lockstep);
	if (!guest->cpu->jit.cache)
		return false;
	guest_set_code(guest, 0x100, mixed, mixed_end - mixed);
	set_up(guest);
	g_assert_cmpint(engine_soft.run((struct vcpu *)guest->cpu), ==, ENGINE_EXIT_SHUTDOWN);
	g_assert_cmphex(guest->cpu->state.rip, ==, HOST_CODE + 0x100 + (mixed_end - mixed) - 2);
	return true;
}

static void test_same(void)
{
	g_autoptr(GString) report = g_string_new(NULL);
	struct guest guest = {0};
	const char *line;
	uint64_t compared, entries, regions, agreed, nothing;

	if (!start(&guest))
		return;
	engine_soft.report((struct vcpu *)guest.cpu, report);
	line = strstr(report->str, "lockstep: ");
	g_assert_nonnull(line);
	g_assert_cmpint(sscanf(line,
			       "lockstep: %lu of %lu entries into translated code compared, %lu "
			       "regions; %lu "
			       "agreed, %lu proved nothing",
			       &compared, &entries, &regions, &agreed, &nothing),
			==, 5);
	g_assert_cmpuint(compared, ==, entries);
	g_assert_cmpuint(agreed, >, 10);
	g_assert_cmpuint(regions, >, agreed);
	g_assert_cmpuint(agreed + nothing, ==, compared);
	g_assert_cmpuint(nothing, <=, 1);
}

struct fault {
	const char *name;
	uint32_t find, replace; /* in the code */
	const char *says;
};

/* Breaks all regions that hold the constant. */
static void test_broken(gconstpointer data)
{
	const struct fault *fault = data;
	struct guest guest = {0};
	struct jit_cache *cache;
	unsigned broken = 0;
	g_autofree char *place = NULL;

	if (!start(&guest))
		return;
	cache = guest.cpu->jit.cache;
	for (unsigned i = 0; i < cache->regions->len; i++) {
		struct jit_region *region = cache->regions->pdata[i];

		for (const uint8_t *p = region->code; p + 4 <= region->code_end; p++) {
			if (memcmp(p, &fault->find, 4))
				continue;
			memcpy((uint8_t *)p - region->to_rx, &fault->replace, 4);
			broken++;
			g_free(place);
			place = g_strdup_printf("code at %" G_GINT64_MODIFIER "x", region->rip);
		}
	}
	g_assert_cmpuint(broken, >, 0);
	set_up(&guest);
	g_assert_cmpint(engine_soft.run((struct vcpu *)guest.cpu), ==, ENGINE_EXIT_ERROR);
	g_test_message("%s", guest.cpu->error);
	g_assert_nonnull(strstr(guest.cpu->error, fault->says));
	if (broken == 1)
		g_assert_nonnull(strstr(guest.cpu->error, place));
}

static void test_undo(void)
{
	struct mem *mem = mem_new(MEM_MIN_SIZE, NULL);
	struct undo *undo = undo_new(mem);
	struct undo_difference d;

	mem->base[0x5008] = 0x10;
	undo_begin(undo);
	/* The first writer: a mark by a walk, a byte that the second one writes, too, and one of
	 * its own. */
	undo_note_marks(undo, 0x5008, 0x20);
	mem->base[0x5008] = 0x30;
	undo_note(undo, 0x6000);
	mem->base[0x6000] = 1;
	mem->base[0x6001] = 2;
	undo_rewind(undo);
	g_assert_cmphex(mem->base[0x5008], ==, 0x10);
	g_assert_cmphex(mem->base[0x6000], ==, 0);
	undo_note(undo, 0x6000);
	mem->base[0x6000] = 1;
	undo_compare(undo, &d);
	g_assert_cmpuint(d.n, ==, 1);
	g_assert_cmphex(d.gpa, ==, 0x6001);
	g_assert_cmphex(d.first, ==, 2);
	g_assert_cmphex(d.second, ==, 0);
	mem->base[0x6001] = 2;
	undo_compare(undo, &d);
	g_assert_cmpuint(d.n, ==, 0);
	/* A page that only the second one writes; bits beside the mark. */
	undo_note(undo, 0x7000);
	mem->base[0x7fff] = 3;
	mem->base[0x5008] |= 1;
	undo_compare(undo, &d);
	g_assert_cmpuint(d.n, ==, 2);
	g_assert_cmphex(d.gpa, ==, 0x5008);
	undo_restore(undo);
	g_assert_cmphex(mem->base[0x7fff], ==, 0);
	g_assert_cmphex(mem->base[0x6001], ==, 0);
	undo_free(undo);
	mem_free(mem);
}

int main(int argc, char **argv)
{
	static const struct fault faults[] = {
		{"register", 0x11223344, 0x11223345, "rax is "},
		{"memory", 0x55667788, 0x55667789, "r13 is 55667789 on T1 and 55667788 on T0"},
		{"flags", 0x1e1e1e1e, 0x00000001, "r12 is "},
	};

	g_test_init(&argc, &argv, NULL);
	host_init();
	g_test_add_func("/lockstep/undo", test_undo);
	g_test_add_func("/lockstep/same", test_same);
	for (size_t i = 0; i < G_N_ELEMENTS(faults); i++) {
		g_autofree char *path = g_strdup_printf("/lockstep/broken/%s", faults[i].name);

		g_test_add_data_func(path, &faults[i], test_broken);
	}
	return g_test_run();
}
