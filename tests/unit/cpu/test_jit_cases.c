/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Programs that T1 once ran differently from T0: what fuzz_jit finds becomes a row here. The steps
 * of a row run one after another on the same pair, all at HOST_CODE + 0x100. rdx is the first data
 * page, rsp another, rax and rbx are equal.
 */
#include <string.h>

#include "cpu/jit/jit_int.h"
#include "engine_pair.h"

struct step {
	const char *hex;
	unsigned place;
	bool rewritten;
	unsigned others; /* so many other places are used before */
};

static const struct jit_case {
	const char *what;
	struct step steps[3];
} cases[] = {
	/* cmp eax, ebx; mov eax, 5; mov ecx, [rdx]; sete dl; cmp cl, cl */
	{"registers of a recipe written before it is needed", {{"39d8b8050000008b0a0f94c238c9"}}},
	/* xor ecx, ecx; stc; mov rdi, rdx; repne scasb; setb bl */
	{"flags that a scan of nothing leaves", {{"31c9f94889d7f2ae0f92c3"}}},
	/* mov ecx, 0x3000; lea rdi, [rdx + 0xff0]; repne scasb; sete bl; setb cl */
	{"a scan over the end of a page", {{"b900300000488dbaf00f0000f2ae0f94c30f92c1"}}},
	/* mov ecx, 0x800; lea rdi, [rdx + 0xffc]; lea rsi, [rdi - 8]; mov [rdi], rsi; repe cmpsd; sete bl */
	{"a comparison that ends early", {{"b900080000488dbafc0f0000488d77f8488937f3a70f94c3"}}},
	/* mov ecx, 0x800; lea rdi, [rdx + 0xff8]; mov rsi, rdi; cmp cl, ah; repe cmpsb; sete bl; setb ah */
	{"a comparison of equals over two pages", {{"b900080000488dbaf80f00004889fe38e1f3a60f94c30f92c4"}}},
	/* lea rax, [L]; push rax; push rcx; pop rcx; sub al, 0xb3; ret; L: setb bl */
	{"flags over an indirect branch of a group",
	 {{"488d0506000000505159"
	   "2cb3c3"
	   "0f92c3"}}},
	/* cmp al, al; mov ecx, [rdx]; imul ecx, ecx */
	{"flags that a multiplication leaves", {{"38c08b0a0fafc9"}}},
	{"flags that a division leaves", {{"b90700000031d28b0424f7f1"}}},
	/* mov rax, 1 << 63; push rax; ret */
	{"return to what is not canonical", {{"48b8000000000000008050c3"}}},
	/* mov rax, 1 << 63; jmp rax */
	{"jump to what is not canonical", {{"48b80000000000000080ffe0"}}},
	/* mov rax, 1 << 63; call rax */
	{"call of what is not canonical", {{"48b80000000000000080ffd0"}}},
	/* push -1 & ~TF & ~IOPL...; popf; xor eax, eax; pushf; pop rcx */
	{"PUSHF after POPF", {{"68d70800009d31c09c59"}}},
	/* lea rax, [L]; jmp rax; L: xor eax, eax: then as another page, with setb bl */
	{"another page at a target whose code sets flags",
	 {{"909090488d0502000000ffe031c0"}, {"38c0f9488d0502000000ffe00f92c3", 1}}},
	{"another code at a target of compared code that sets flags",
	 {{"31c031c90fb6c0", 2, true}, {"0f92c30fb6c090", 2}, {"31c031c90fb6c0", 2}}},
	/* mov ecx, 100; L: add rdx, 16; mov [rdx + rcx], cl; sub rdx, 16; dec rcx; jnz L */
	{"a loop that moves a base to and fro", {{"b9640000004883c210880c0a4883ea1048ffc975f0"}}},
	/* mov edi, 200; mov ecx, 8; L: add rcx, 8; mov [rdx + rcx], al; sub rcx, 8; inc rdx; dec rdi; jnz L */
	{"a loop that moves an index to and fro",
	 {{"bfc8000000b9080000004883c10888040a4883e90848ffc248ffcf75ed"}}},
	/* mov al, [rdx]; mov rbp, rsp; mov esp, 0xdff0; mov edi, 64; L: mov rcx, rsp; mov al, [rdx + rcx];
	 * add rsp, 1; dec edi; jnz L; mov rsp, rbp */
	{"a loop whose index was the stack pointer",
	 {{"8a024889e5bcf0df0000bf400000004889e18a040a4883c401ffcf75f24889ec"}}},
	{"a loop whose index is the stack pointer all along",
	 {{"bf280000004889e5bc001000004889e140883c0a48ffc2ffcf75f24889ec"}}},
	/* lea rax, [L]; mov [rdx], rax; mov [rdx + 8], rax; stc; call [rdx + 8]; L: setb cl */
	{"flags over a call through a group's memory", {{"488d050b00000048890248894208f9ff52080f92c1"}}},
	/* lea rax, [rdx + 0x1ffc]; mov [rdx], rax; mov edi, 4000; L: mov rbx, [rdx]; mov ecx, [rbx];
	 * mov esi, [rbx + 4]; sub edi, 1; jnz L */
	{"a loop with a group on two pages", {{"488d82fc1f0000488902bfa00f0000488b1a8b0b8b730483ef0175f3"}}},
	{"compared code that is compared no longer", {{"31c0", 3, true}, {"31c9", 3, false, 300}}},
};

static struct engine_pair *pair;

static void make_program(struct insn_program *p, const char *hex)
{
	memset(p, 0, sizeof(*p));
	p->offset = 0x100;
	for (; *hex; hex += 2)
		p->bytes[p->len++] =
			g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]);
	memcpy(p->bytes + p->len, GUEST_END, GUEST_END_SIZE);
	p->len += GUEST_END_SIZE;
	sample_seed(1, 1, 1);
	sample_registers(&p->registers);
	p->registers.gpr[X86_RAX] = p->registers.gpr[X86_RBX] = 0x1234;
	p->registers.gpr[X86_RDX] = HOST_DATA;
	p->registers.gpr[X86_RSP] = HOST_DATA + 0x3800;
	p->registers.rflags = RFLAGS_FIXED | RFLAGS_CF | RFLAGS_AF | RFLAGS_SF;
}

static void try_step(const struct step *step)
{
	g_autoptr(GString) why = g_string_new(NULL);
	struct pair_options options = {PAIR_USER, 1, step->place, step->rewritten};
	struct insn_program p;

	make_program(&p, "90");
	for (unsigned i = 0; i < step->others; i++) {
		struct pair_options elsewhere = {PAIR_USER, 1, 100 + i, true};

		g_assert_cmpint(engine_pair_try(pair, &p, &elsewhere, why), ==, PAIR_SAME);
	}
	make_program(&p, step->hex);
	if (engine_pair_try(pair, &p, &options, why) != PAIR_SAME)
		g_test_message("%s:%s", step->hex, why->str);
	g_assert_cmpstr(why->str, ==, "");
}

static void test_case(gconstpointer data)
{
	const struct jit_case *c = data;

	for (unsigned i = 0; i < G_N_ELEMENTS(c->steps) && c->steps[i].hex; i++)
		try_step(&c->steps[i]);
}

/* Instructions that T0 runs for a region are decoded when they first come up, in what room there
 * is. */
static void test_no_room(void)
{
	/* test al, al; jz over: cpuid; over: INT 80h */
	static const uint8_t program[] = {0x84, 0xc0, 0x74, 2, 0x0f, 0xa2, 0xcd, 0x80};
	g_autofree struct guest_outcome *outcome = g_new0(struct guest_outcome, 1);
	struct host_registers r;
	struct guest guest = {0};

	guest_init(&guest, &engine_soft);
	jit_set_threshold(guest.cpu, 1);
	if (!guest.cpu->jit.cache)
		return;
	sample_seed(1, 1, 2);
	sample_registers(&r);
	guest_set_code(&guest, 0, program, sizeof(program));
	for (unsigned i = 0; i < 2; i++) {
		r.gpr[X86_RAX] = i;
		guest_set_registers(&guest, &r);
		guest_set_mode(&guest, INSN_MODE_64);
		guest.cpu->state.rip = HOST_CODE;
		guest_run_blocks(&guest, 0, 0, 0, outcome);
		g_assert_cmpint(outcome->vector, ==, -1);
		guest.cpu->jit.cache->meta_used = guest.cpu->jit.cache->size - 64;
	}
	g_assert_cmphex(outcome->state.gpr[X86_RAX], !=, 1); /* CPUID has run */
}

/* A region leads to one whose translation finds the cache full: when that is there, the exit is not, and
 * what lies in its place is something else. */
static void flush_behind_exit(struct guest *guest, unsigned n)
{
	enum { TARGET = 0x40, LENGTH = 60 };
	g_autofree struct guest_outcome *outcome = g_new0(struct guest_outcome, 1);
	struct jit_cache *cache = guest->cpu->jit.cache;
	uint64_t flushes = guest->cpu->jit.count.flushes;
	uint8_t code[TARGET + LENGTH + GUEST_END_SIZE];
	struct host_registers r;

	memset(code, 0x90, sizeof(code));
	memcpy(code + n, ((const uint8_t[]){0x31, 0xc0, 0x74, TARGET - (n + 4)}), 4); /* xor eax, eax; jz */
	memcpy(code + n + 4, GUEST_END, GUEST_END_SIZE);
	memcpy(code + TARGET + LENGTH, GUEST_END, GUEST_END_SIZE);
	guest_set_code(guest, 0, code, sizeof(code));
	sample_registers(&r);
	guest_set_registers(guest, &r);
	guest_set_mode(guest, INSN_MODE_64);
	guest->cpu->state.rip = HOST_CODE;
	jit_flush(guest->cpu);
	cache->used = cache->size / 2 - JIT_CODE_WORST; /* room for one */
	guest_run_blocks(guest, 0, 0, 0, outcome);
	g_assert_cmpint(outcome->vector, ==, -1);
	g_assert_cmpuint(guest->cpu->jit.count.flushes, ==, flushes + 2);
}

static void test_flush_behind_exit(void)
{
	struct guest guest = {0};

	guest_init(&guest, &engine_soft);
	jit_set_threshold(guest.cpu, 1);
	if (!guest.cpu->jit.cache)
		return;
	sample_seed(1, 1, 2);
	for (unsigned n = 0; n < 16; n++)
		flush_behind_exit(&guest, n);
}

static unsigned translations(const struct guest *guest)
{
	const GPtrArray *regions = guest->cpu->jit.cache->regions;
	unsigned n = 0;

	for (unsigned i = 0; i < regions->len; i++)
		n += ((const struct jit_region *)regions->pdata[i])->gpa / 4096 == guest->code_gpa / 4096;
	return n;
}

/* Code that was translated for one process has to prove hot in the next, which has it elsewhere. */
static void test_hot_elsewhere(void)
{
	enum { THRESHOLD = 3, ELSEWHERE = 4096 };
	static const uint8_t program[] = {0x31, 0xc0, 0xcd, 0x80}; /* xor eax, eax; INT 80h */
	g_autofree struct guest_outcome *outcome = g_new0(struct guest_outcome, 1);
	struct host_registers r;
	struct guest guest = {0};

	guest_init(&guest, &engine_soft);
	jit_set_threshold(guest.cpu, THRESHOLD);
	if (!guest.cpu->jit.cache)
		return;
	sample_seed(1, 1, 2);
	sample_registers(&r);
	guest_set_code(&guest, 0, program, sizeof(program));
	*guest_page(&guest, HOST_CODE + ELSEWHERE) = *guest_page(&guest, HOST_CODE);
	for (unsigned i = 0; i < 2 * THRESHOLD; i++) {
		g_assert_cmpuint(translations(&guest), ==, i / THRESHOLD);
		guest_set_registers(&guest, &r);
		guest_set_mode(&guest, INSN_MODE_64);
		guest.cpu->state.rip = HOST_CODE + (i < THRESHOLD ? 0 : ELSEWHERE);
		guest_run_blocks(&guest, 0, 0, 0, outcome);
		g_assert_cmpint(outcome->vector, ==, -1);
	}
	g_assert_cmpuint(translations(&guest), ==, 2);
}

int main(int argc, char **argv)
{
	int status;

	g_test_init(&argc, &argv, NULL);
	host_init();
	sample_set_mode(INSN_MODE_64);
	pair = engine_pair_new();
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *path = g_strdup_printf("/jit/case/%s", cases[i].what);

		g_test_add_data_func(path, &cases[i], test_case);
	}
	g_test_add_func("/jit/no room for records", test_no_room);
	g_test_add_func("/jit/flush-behind-exit", test_flush_behind_exit);
	g_test_add_func("/jit/hot-elsewhere", test_hot_elsewhere);
	status = g_test_run();
	engine_pair_free(pair);
	return status;
}
