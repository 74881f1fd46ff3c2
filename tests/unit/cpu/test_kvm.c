/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The KVM engine behind its contract, and what the software one takes over from it; KVM's tests are
 * skipped where it does not run. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cpu/engine.h"
#include "cpu/engine_choose.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/lapic.h"
#include "cpu/x86/model.h"
#include "cpu/x86/state.h"

enum {
	PML4 = 0x1000,
	PDPT = 0x2000,
	DIRECTORY = 0x3000,
	CODE = 0x4000,
	DATA = 0x10000,
	PORT = 0xf4
};

struct fixture;

struct row {
	const char *path;
	const struct engine *engine;
	void (*test)(struct fixture *f, gconstpointer row);
	unsigned n_vcpus;
	const char *model;
};

struct fixture {
	const struct engine *engine;
	struct engine_env env;
	struct x86_model model;
	struct vcpu *vcpus[2];
	GMutex lock;
	uint32_t port_value;
};

static uint64_t read_port(void *opaque, uint64_t offset, unsigned size)
{
	return 0;
}

/* Ends the first vCPU's run. */
static void write_port(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct fixture *f = opaque;

	f->port_value = value;
	f->engine->kick(f->vcpus[0]);
}

static void set_up(struct fixture *f, gconstpointer row)
{
	static const struct bus_ops ops = {read_port, write_port, 4, 4};
	static const uint64_t tables[][2] = {
		{PML4, PDPT | 3}, {PDPT, DIRECTORY | 3}, {DIRECTORY, 0x83}};
	g_autoptr(GError) error = NULL;

	g_mutex_init(&f->lock);
	f->engine = ((const struct row *)row)->engine;
	f->model = *x86_model_host();
	if (((const struct row *)row)->model)
		g_assert_true(x86_model_parse(&f->model, ((const struct row *)row)->model, NULL));
	f->env = (struct engine_env){.mem = mem_new(MEM_MIN_SIZE, NULL),
				     .bus = bus_new(),
				     .clock = clock_new(),
				     .model = &f->model,
				     .n_vcpus = ((const struct row *)row)->n_vcpus};
	f->env.lapics = lapic_set_new(f->env.bus, f->env.clock, f->env.n_vcpus);
	bus_map(f->env.bus, BUS_PIO, PORT, 4, &ops, f, &f->lock);
	for (size_t i = 0; i < G_N_ELEMENTS(tables); i++)
		g_assert_true(mem_write(f->env.mem, tables[i][0], &tables[i][1], 8));
	for (unsigned i = 0; i < f->env.n_vcpus; i++) {
		f->vcpus[i] = f->engine->vcpu_new(&f->env, i, &error);
		if (!f->vcpus[i]) {
			g_test_skip(error->message);
			return;
		}
	}
	clock_start(f->env.clock);
}

static void tear_down(struct fixture *f, gconstpointer row)
{
	for (unsigned i = 0; i < f->env.n_vcpus; i++)
		f->engine->vcpu_free(f->vcpus[i]);
	g_assert_null(f->env.engine_vm);
	lapic_set_free(f->env.lapics);
	clock_free(f->env.clock);
	bus_free(f->env.bus);
	mem_free(f->env.mem);
	g_mutex_clear(&f->lock);
}

static bool skipped(const struct fixture *f)
{
	return !f->vcpus[f->env.n_vcpus - 1];
}

static struct x86_state long_mode(void)
{
	struct x86_state s;

	x86_state_reset(&s, true);
	x86_state_enter_long(&s, PML4, CODE);
	s.efer |= EFER_SCE | EFER_NXE;
	return s;
}

static enum engine_exit run_code(struct fixture *f, const struct x86_state *s, const uint8_t *code,
				 size_t len)
{
	g_assert_true(mem_write(f->env.mem, CODE, code, len));
	f->engine->set_state(f->vcpus[0], s);
	return f->engine->run(f->vcpus[0]);
}

static GByteArray *saved(const struct x86_state *s)
{
	GByteArray *out = g_byte_array_new();

	state_save(&x86_state_table, 0, s, out);
	return out;
}

static void assert_same(const struct x86_state *a, const struct x86_state *b)
{
	g_autoptr(GByteArray) x = saved(a), y = saved(b);

	g_assert_cmpmem(x->data, x->len, y->data, y->len);
}

/* Every field that a KVM of any host takes. */
static void fill(struct x86_state *s)
{
	*s = long_mode();
	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = 0x0101010101010101 * (i + 1);
	s->rflags = RFLAGS_FIXED | RFLAGS_CF | RFLAGS_DF | RFLAGS_ID;
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		s->seg[i].selector = 8 * (i + 1);
	s->seg[X86_FS].base = 0x123456789000;
	s->seg[X86_GS].base = 0xffff888000001000;
	s->seg[X86_DS].selector = 0;
	s->seg[X86_DS].attr = 0;
	s->seg[X86_DS].limit = 0;
	s->gdtr = (struct x86_table){0xffff800000002000, 127};
	s->idtr = (struct x86_table){0xffff800000003000, 4095};
	s->cr2 = 0xdeadbeef000;
	s->dr[0] = 0x1111;
	s->dr[3] = 0x4444;
	s->star = 0x0023001000000000;
	s->lstar = 0xffffffff81000000;
	s->cstar = 0xffffffff81001000;
	s->sfmask = 0x47700;
	s->kernel_gs_base = 0xffff888000002000;
	s->sysenter_cs = 0x10;
	s->sysenter_esp = 0xffffc90000001000;
	s->sysenter_eip = 0xffffffff81002000;
	s->mtrr_def_type = 0xc06;
	s->mtrr_fix[1] = 0x0606060606060606;
	s->mtrr_var[0] = 0xc0000000;
	s->mtrr_var[1] = 0xffc0000800;
	s->fpu = (struct x86_fpu){.fcw = 0x27f, .fsw = 3 << 11, .ftw = 0x18, .fop = 0x123};
	memset(s->fpu.st[1], 0x5a, 10);
	s->mxcsr = 0x1fa0;
	for (unsigned i = 0; i < 16; i++)
		memset(s->ymm[i], 0x30 + i, 16);
}

static void test_state(struct fixture *f, gconstpointer row)
{
	struct x86_state in, out;

	if (skipped(f))
		return;
	fill(&in);
	f->engine->set_state(f->vcpus[0], &in);
	f->engine->get_state(f->vcpus[0], &out);
	assert_same(&out, &in);
	in.activity = X86_HALTED;
	in.interrupt_shadow = true;
	in.nmi_masked = true;
	f->engine->set_state(f->vcpus[0], &in);
	f->engine->get_state(f->vcpus[0], &out);
	assert_same(&out, &in);
}

/* The components of XCR0 that this KVM's guests have. */
static uint64_t kvm_xcr0(void)
{
	enum { MAX_ENTRIES = 256 };
	g_autofree struct kvm_cpuid2 *cpuid =
		g_malloc0(sizeof(*cpuid) + MAX_ENTRIES * sizeof(cpuid->entries[0]));
	uint64_t xcr0 = 0;
	bool has_xsave = false;
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	cpuid->nent = MAX_ENTRIES;
	g_assert_cmpint(ioctl(fd, KVM_GET_SUPPORTED_CPUID, cpuid), ==, 0);
	close(fd);
	for (unsigned i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		has_xsave |= e->function == 1 && (e->ecx & 1 << 26);
		if (e->function == 0xd && e->index == 0)
			xcr0 = e->eax;
	}
	return has_xsave ? xcr0 : 0;
}

static void test_extended_state(struct fixture *f, gconstpointer row)
{
	struct x86_state in, out;

	if (skipped(f))
		return;
	fill(&in);
	in.cr4 |= CR4_OSXSAVE;
	in.xcr0 = x86_model_host()->xcr0_mask & kvm_xcr0();
	if (!in.xcr0) {
		g_test_skip("this KVM has no XSAVE");
		return;
	}
	for (unsigned i = 0; i < 16 && (in.xcr0 & XCR0_AVX); i++)
		memset(in.ymm[i] + 16, 0x50 + i, 16);
	for (unsigned i = 0; i < 32 && (in.xcr0 & XCR0_AVX512); i++) {
		memset(in.ymm[i] + 16, 0x50 + i, 16);
		memset(in.zmm_high[i], 0x90 + i, 32);
		in.k[i % 8] = 0x0123456789abcdef * (i + 1);
	}
	f->engine->set_state(f->vcpus[0], &in);
	f->engine->get_state(f->vcpus[0], &out);
	assert_same(&out, &in);
}

static void test_taken_interrupt(struct fixture *f, gconstpointer row)
{
	struct x86_state in = long_mode(), out;

	if (skipped(f))
		return;
	in.interrupt_taken = true;
	in.interrupt_vector = 0x77;
	f->engine->set_state(f->vcpus[0], &in);
	f->engine->get_state(f->vcpus[0], &out);
	g_assert_true(out.interrupt_taken);
	g_assert_cmpuint(out.interrupt_vector, ==, 0x77);
}

/* An interrupt that another engine took from the APIC enters its handler, before anything else
 * runs. */
static void test_taken_is_delivered(struct fixture *f, gconstpointer row)
{
	enum { GDT = 0x5000, IDT = 0x6000, HANDLER = 0x7000, VECTOR = 0x77 };
	static const uint64_t code_segment = 0x00af9b000000ffff;
	static const uint64_t gate[2] = {HANDLER | 8 << 16 | 0x8eull << 40};
	static const uint8_t handler[] = {0xe7, PORT, 0xeb, 0xfe}, code[] = {0xeb, 0xfe};
	struct x86_state s = long_mode();

	if (skipped(f))
		return;
	g_assert_true(mem_write(f->env.mem, GDT + 8, &code_segment, 8));
	g_assert_true(mem_write(f->env.mem, IDT + 16 * VECTOR, gate, 16));
	g_assert_true(mem_write(f->env.mem, HANDLER, handler, sizeof(handler)));
	s.seg[X86_CS].selector = 8;
	s.gdtr = (struct x86_table){GDT, 15};
	s.idtr = (struct x86_table){IDT, 4095};
	s.gpr[X86_RSP] = DATA;
	s.gpr[X86_RAX] = 0x77777777;
	s.interrupt_taken = true;
	s.interrupt_vector = VECTOR;
	s.rflags |= RFLAGS_IF;
	g_assert_cmpint(run_code(f, &s, code, sizeof(code)), ==, ENGINE_EXIT_KICK);
	g_assert_cmphex(f->port_value, ==, 0x77777777);
	f->engine->get_state(f->vcpus[0], &s);
	g_assert_false(s.interrupt_taken);
	g_assert_cmphex(s.rip, ==, HANDLER + 2);
	g_assert_cmphex(s.gpr[X86_RSP], ==, DATA - 40);
}

/* A state that no processor can be in, or that this host's cannot: said by run(), once, and undone
 * by another state. */
static void test_refused_state(struct fixture *f, gconstpointer row)
{
	static const uint8_t code[] = {0xe7, PORT}; /* out PORT, eax */
	struct x86_state s = long_mode();

	if (skipped(f))
		return;
	s.cr4 |= 1ull << 50;
	g_assert_cmpint(run_code(f, &s, code, sizeof(code)), ==, ENGINE_EXIT_ERROR);
	g_assert_nonnull(strstr(f->engine->last_error(f->vcpus[0]), "control and segment"));
	s = long_mode();
	g_assert_cmpint(run_code(f, &s, code, sizeof(code)), ==, ENGINE_EXIT_KICK);
}

/* The access that asked for the kick is complete. */
static void test_port(struct fixture *f, gconstpointer row)
{
	static const uint8_t code[] = {0xe7, PORT}; /* out PORT, eax */
	struct x86_state s = long_mode();

	if (skipped(f))
		return;
	s.gpr[X86_RAX] = 0x12345678;
	g_assert_cmpint(run_code(f, &s, code, sizeof(code)), ==, ENGINE_EXIT_KICK);
	g_assert_cmphex(f->port_value, ==, 0x12345678);
	f->engine->get_state(f->vcpus[0], &s);
	g_assert_cmphex(s.rip, ==, CODE + 2);
}

static void test_triple_fault(struct fixture *f, gconstpointer row)
{
	static const uint8_t code[] = {0x0f, 0x0b}; /* ud2, without an IDT */
	struct x86_state s = long_mode();

	if (skipped(f))
		return;
	s.idtr.limit = 0;
	g_assert_cmpint(run_code(f, &s, code, sizeof(code)), ==, ENGINE_EXIT_SHUTDOWN);
	g_assert_nonnull(strstr(f->engine->last_error(f->vcpus[0]), "triple fault"));
}

/* Waits for the guest to be well on its way. */
static gpointer kick_running(gpointer opaque)
{
	struct fixture *f = opaque;
	volatile uint8_t *flag = mem_hva(f->env.mem, DATA);

	while (!*flag)
		g_thread_yield();
	*flag = 0;
	f->engine->kick(f->vcpus[0]);
	return NULL;
}

static void test_kick(struct fixture *f, gconstpointer row)
{
	static const uint8_t loop[] = {0xc6, 0x04, 0x25, 0, 0, 1, 0, 1, 0xeb, 0xfe},
			     halt[] = {0xc6, 0x04, 0x25, 0, 0, 1, 0, 1, 0xfa, 0xf4};
	struct x86_state s = long_mode();

	if (skipped(f))
		return;
	f->engine->kick(f->vcpus[0]);
	g_assert_cmpint(run_code(f, &s, loop, sizeof(loop)), ==, ENGINE_EXIT_KICK);
	for (unsigned i = 0; i < 50; i++) {
		GThread *thread = g_thread_new("kick", kick_running, f);

		g_assert_cmpint(run_code(f, &s, i % 2 ? halt : loop, sizeof(loop)), ==,
				ENGINE_EXIT_KICK);
		g_thread_join(thread);
	}
}

static void test_dirty_log(struct fixture *f, gconstpointer row)
{
	static const uint8_t code[] = {
		0xc6, 0x04, 0x25, 0, 0, 1, 0, 1, /* mov byte [DATA], 1 */
		0xe7, PORT,
	};
	struct x86_state s = long_mode();
	uint64_t word;

	if (skipped(f))
		return;
	g_assert_true(f->engine->log_dirty(&f->env, true, NULL));
	mem_fetch_dirty(f->env.mem, 0, &word, 1);
	g_assert_cmpint(run_code(f, &s, code, sizeof(code)), ==, ENGINE_EXIT_KICK);
	g_assert_true(f->engine->fetch_dirty(&f->env, NULL));
	g_assert_true(mem_is_dirty(f->env.mem, DATA));
	g_assert_false(mem_is_dirty(f->env.mem, DATA + 0x2000));
	g_assert_true(f->engine->log_dirty(&f->env, false, NULL));
}

/* CPUID(eax, ecx) into eax, then out. */
static uint32_t guest_cpuid(struct fixture *f, uint32_t leaf, unsigned reg)
{
	static const uint8_t to_eax[][2] = {{0x89, 0xc0}, {0x89, 0xd8}, {0x89, 0xc8}, {0x89, 0xd0}};
	const uint8_t code[] = {0x0f, 0xa2, to_eax[reg][0], to_eax[reg][1], 0xe7, PORT};
	struct x86_state s = long_mode();

	s.gpr[X86_RAX] = leaf;
	g_assert_cmpint(run_code(f, &s, code, sizeof(code)), ==, ENGINE_EXIT_KICK);
	return f->port_value;
}

static void test_cpuid(struct fixture *f, gconstpointer row)
{
	uint32_t khz;

	if (skipped(f))
		return;
	g_assert_cmphex(guest_cpuid(f, 0x40000000, 1), ==, 0x4b4d564b);
	khz = guest_cpuid(f, 0x40000010, 0);
	g_assert_cmpuint(khz, >=, 100000);
	g_assert_cmpuint(guest_cpuid(f, 0x15, 2), ==, khz * 1000);
	g_assert_true(guest_cpuid(f, 1, 3) & 1 << 9);	/* APIC */
	g_assert_true(guest_cpuid(f, 1, 2) & 1u << 31); /* hypervisor */
	g_assert_false(guest_cpuid(f, 1, 2) & 1 << 5);	/* VMX, which no engine offers */
}

/* A model's leaves as they are, whatever the host has. */
static void test_model(struct fixture *f, gconstpointer row)
{
	if (skipped(f))
		return;
	g_assert_cmphex(guest_cpuid(f, 0, 0), ==, 1);
	g_assert_cmphex(guest_cpuid(f, 1, 0), ==, 0xf5a);
	/* Some KVMs add the multi-threading bit. */
	g_assert_cmphex(guest_cpuid(f, 1, 3) & ~(1u << 28), ==, 0x78bfbff);
	g_assert_cmphex(guest_cpuid(f, 1, 2), ==, 1u << 31);
	g_assert_cmphex(guest_cpuid(f, 0x80000001, 3), ==, 0x20100800);
	g_assert_cmphex(guest_cpuid(f, 7, 1), ==, 0);
}

/* A KVM that cannot give all of a model refuses it. */
static void test_refused_model(struct fixture *f, gconstpointer row)
{
	g_autoptr(GError) error = NULL;
	struct vcpu *vcpu;

	if (skipped(f))
		return;
	f->engine->vcpu_free(f->vcpus[0]);
	f->vcpus[0] = NULL;
	memset(f->model.has, true, sizeof(f->model.has));
	f->model.exact = true;
	vcpu = f->engine->vcpu_new(&f->env, 0, &error);
	if (vcpu) {
		f->vcpus[0] = vcpu;
		g_test_skip("this KVM can give everything");
		return;
	}
	g_assert_nonnull(strstr(error->message, "cannot give 'host' its "));
	g_assert_nonnull(strstr(error->message, "--engine soft"));
}

/* A KVM that has the guest read the host's TSC as it is ignores what is set; asked without our
 * code. */
static bool tsc_can_be_set(void)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} one = {.head.nmsrs = 1, .entry = {.index = 0x10, .data = 1ull << 50}};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = ioctl(kvm, KVM_CREATE_VM, 0);
	int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	bool can = ioctl(vcpu, KVM_SET_MSRS, &one) == 1 && ioctl(vcpu, KVM_GET_MSRS, &one) == 1 &&
		   one.entry.data >> 50 == 1;

	close(vcpu);
	close(vm);
	close(kvm);
	return can;
}

static uint64_t guest_tsc(struct fixture *f, uint64_t offset)
{
	static const uint8_t code[] = {0x0f, 0x31, 0xe7, PORT}; /* rdtsc */
	struct x86_state s = long_mode();

	s.tsc_offset = offset;
	g_assert_cmpint(run_code(f, &s, code, sizeof(code)), ==, ENGINE_EXIT_KICK);
	f->engine->get_state(f->vcpus[0], &s);
	return s.gpr[X86_RDX] << 32 | s.gpr[X86_RAX];
}

/* Offsets are honoured, up and down, and time that the VM does not see goes by unseen. */
static void test_tsc(struct fixture *f, gconstpointer row)
{
	static const uint64_t offsets[] = {1ull << 40, 1ull << 45, 1ull << 41};
	static const uint8_t code[] = {0x0f, 0x31, 0xe7, PORT};
	const uint64_t minute = 60000000000 * 4; /* a generous one, in ticks of any host */
	struct x86_state s;
	uint64_t tsc;

	if (skipped(f))
		return;
	if (!tsc_can_be_set()) {
		g_test_skip("this host's KVM does not set the TSC");
		return;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(offsets); i++) {
		tsc = guest_tsc(f, offsets[i]);
		g_assert_cmpuint(tsc, >=, offsets[i]);
		g_assert_cmpuint(tsc, <, offsets[i] + minute);
	}
	/* The clock goes on two hours later. */
	clock_stop(f->env.clock);
	clock_set_ns(f->env.clock, clock_now_ns(f->env.clock) + 7200 * 1000000000ll);
	clock_start(f->env.clock);
	f->engine->get_state(f->vcpus[0], &s);
	g_assert_true(mem_write(f->env.mem, s.rip, code, sizeof(code)));
	g_assert_cmpint(f->engine->run(f->vcpus[0]), ==, ENGINE_EXIT_KICK);
	f->engine->get_state(f->vcpus[0], &s);
	tsc = s.gpr[X86_RDX] << 32 | s.gpr[X86_RAX];
	g_assert_cmpuint(tsc, >=, offsets[2] + 7200 * 1000000000ull);
	g_assert_cmpuint(tsc, <, offsets[2] + 7200 * 1000000000ull + 2 * minute);
}

/* A deadline's distance on the VM's clock is the same when the state has been taken. */
static void test_deadline(struct fixture *f, gconstpointer row)
{
	static const uint8_t code[] =
		{
			0x0f, 0x30,		   /* wrmsr: LVT timer */
			0xb9, 0xe0, 0x06, 0,	0, /* mov ecx, 6e0h */
			0x0f, 0x31, 0x81, 0xc2, 0,    1,
			0,    0,    0x0f, 0x30, /* rdtsc; add edx, 256; wrmsr */
			0xb9, 0xe8, 0x03, 0,	0,    0xff,
			0xc9, 0x75, 0xfc, 0xe7, PORT, /* loop; out */
		};
	struct lapic *lapic = lapic_get(f->env.lapics, 0);
	struct x86_state in = long_mode(), out;
	uint64_t before;

	if (skipped(f))
		return;
	g_assert_true(lapic_set_base(lapic, lapic_base(lapic) | APIC_BASE_EXTD));
	in.gpr[X86_RCX] = 0x832;
	in.gpr[X86_RAX] = 2 << 17 | 0x40;
	in.gpr[X86_RDX] = 0;
	in.tsc_offset = 12345;
	g_assert_cmpint(run_code(f, &in, code, sizeof(code)), ==, ENGINE_EXIT_KICK);
	before = lapic_tsc_deadline(lapic);
	g_assert_cmpuint(before, !=, 0);
	f->engine->get_state(f->vcpus[0], &out);
	g_assert_cmpuint(lapic_tsc_deadline(lapic) - out.tsc_offset, ==, before - in.tsc_offset);
}

/* INIT and SIPI from the first processor; the second one answers by its port, in real mode. */
static gpointer run_second(gpointer opaque)
{
	struct fixture *f = opaque;

	g_assert_cmpint(f->engine->run(f->vcpus[1]), ==, ENGINE_EXIT_KICK);
	return NULL;
}

static void test_startup(struct fixture *f, gconstpointer row)
{
	static const uint8_t real_code[] = {
		0x66, 0xb8, 0x44, 0x33, 0x22, 0x11, /* mov eax, 0x11223344 */
		0x66, 0xe7, PORT,		    /* out PORT, eax */
		0xf4,				    /* hlt */
	};
	static const uint8_t code[] = {
		0xc7, 0x80,	  0x10, 3, 0,
		0,    0,	  0,	0, 1, /* mov dword [rax + ICR_HIGH], 1 << 24 */
		0xc7, 0x80,	  0x00, 3, 0,
		0,    0x00,	  0x45, 0, 0, /* mov dword [rax + ICR], INIT */
		0xc7, 0x80,	  0x00, 3, 0,
		0,    DATA >> 12, 0x46, 0, 0, /* mov dword [rax + ICR], SIPI */
		0xeb, 0xfe,
	};
	/* The APIC's page, in the second 2 MiB. */
	uint64_t entry = (APIC_DEFAULT_BASE & ~0x1fffffull) | 0x83;
	struct x86_state s = long_mode();
	GThread *second;

	if (skipped(f))
		return;
	g_assert_true(mem_write(f->env.mem, DIRECTORY + 8, &entry, 8));
	g_assert_true(mem_write(f->env.mem, DATA, real_code, sizeof(real_code)));
	s.gpr[X86_RAX] = 0x200000 + APIC_DEFAULT_BASE % 0x200000;
	second = g_thread_new("second", run_second, f);
	g_assert_cmpint(run_code(f, &s, code, sizeof(code)), ==, ENGINE_EXIT_KICK);
	g_assert_cmphex(f->port_value, ==, 0x11223344);
	f->engine->kick(f->vcpus[1]);
	g_thread_join(second);
}

static void expect_stop(struct fixture *f, bool is_point, enum engine_point_kind kind, uint64_t rip)
{
	struct engine_stop stop;
	struct x86_state s;

	g_assert_cmpint(f->engine->run(f->vcpus[0]), ==, ENGINE_EXIT_DEBUG);
	f->engine->debug_stop(f->vcpus[0], &stop);
	g_assert_cmpint(stop.is_point, ==, is_point);
	if (is_point)
		g_assert_cmpint(stop.point.kind, ==, kind);
	f->engine->get_state(f->vcpus[0], &s);
	g_assert_cmphex(s.rip, ==, rip);
	g_assert_cmphex(s.dr7, ==, 0x400); /* the guest sees nothing of it */
	g_assert_false(s.rflags & RFLAGS_TF);
}

/* nop; mov eax, 5; nop; inc eax; nop; out PORT, eax */
static void test_breakpoints_and_steps(struct fixture *f, gconstpointer row)
{
	static const uint8_t code[] = {0x90, 0xb8, 5, 0, 0, 0, 0x90, 0xff, 0xc0, 0x90, 0xe7, PORT};
	const struct engine_point at[] = {{ENGINE_POINT_EXECUTE, CODE + 6, 1},
					  {ENGINE_POINT_EXECUTE, CODE + 9, 1}};
	struct engine_debug debug = {.points = at, .n_points = 2};
	struct x86_state s = long_mode();

	if (skipped(f))
		return;
	g_assert_true(mem_write(f->env.mem, CODE, code, sizeof(code)));
	f->engine->set_state(f->vcpus[0], &s);
	g_assert_true(f->engine->set_debug(f->vcpus[0], &debug));
	expect_stop(f, true, ENGINE_POINT_EXECUTE, CODE + 6);
	/* The first instruction of a run, too. */
	expect_stop(f, true, ENGINE_POINT_EXECUTE, CODE + 6);
	debug = (struct engine_debug){.step = true};
	g_assert_true(f->engine->set_debug(f->vcpus[0], &debug));
	expect_stop(f, false, 0, CODE + 7);
	expect_stop(f, false, 0, CODE + 9);
	f->engine->get_state(f->vcpus[0], &s);
	g_assert_cmphex(s.gpr[X86_RAX], ==, 6);
	debug = (struct engine_debug){0};
	g_assert_true(f->engine->set_debug(f->vcpus[0], &debug));
	g_assert_cmpint(f->engine->run(f->vcpus[0]), ==, ENGINE_EXIT_KICK);
	g_assert_cmphex(f->port_value, ==, 6);
}

/* mov [DATA + 4], eax; nop; mov eax, [DATA + 8]; nop; out PORT, eax; a KVM that emulates lets
 * accesses pass. */
static void test_watchpoints(struct fixture *f, gconstpointer row)
{
	static const uint8_t code[] = {0x89, 0x04, 0x25, 4, 0, 1, 0,	0x90, 0x8b,
				       0x04, 0x25, 8,	 0, 1, 0, 0x90, 0xe7, PORT};
	const struct engine_point at[] = {{ENGINE_POINT_WRITE, DATA + 5, 3},
					  {ENGINE_POINT_ACCESS, DATA + 8, 4}};
	struct engine_debug debug = {.points = at, .n_points = 2};
	struct x86_state s = long_mode();

	if (skipped(f))
		return;
	if (f->engine == &engine_kvm && engine_measure(&engine_kvm, NULL) < ENGINE_KVM_MIN_MIPS) {
		g_test_skip("this KVM emulates the guest's instructions, without watchpoints");
		return;
	}
	g_assert_true(mem_write(f->env.mem, CODE, code, sizeof(code)));
	f->engine->set_state(f->vcpus[0], &s);
	g_assert_true(f->engine->set_debug(f->vcpus[0], &debug));
	expect_stop(f, true, ENGINE_POINT_WRITE, CODE + 7);
	expect_stop(f, true, ENGINE_POINT_ACCESS, CODE + 15);
	g_assert_cmpint(f->engine->run(f->vcpus[0]), ==, ENGINE_EXIT_KICK);
}

/* What the processor's four registers cannot do is refused, and nothing changes. */
static void test_points_refused(struct fixture *f, gconstpointer row)
{
	const struct engine_point read = {ENGINE_POINT_READ, DATA, 4},
				  odd = {ENGINE_POINT_WRITE, DATA + 1, 30};
	struct engine_point many[5];
	struct engine_debug debug = {.points = many, .n_points = G_N_ELEMENTS(many)};

	if (skipped(f))
		return;
	for (unsigned i = 0; i < G_N_ELEMENTS(many); i++)
		many[i] = (struct engine_point){ENGINE_POINT_EXECUTE, CODE + i, 1};
	g_assert_false(f->engine->set_debug(f->vcpus[0], &debug));
	debug.n_points = 4;
	g_assert_true(f->engine->set_debug(f->vcpus[0], &debug));
	debug = (struct engine_debug){.points = &read, .n_points = 1};
	g_assert_false(f->engine->set_debug(f->vcpus[0], &debug));
	debug = (struct engine_debug){.points = &odd, .n_points = 1};
	g_assert_false(f->engine->set_debug(f->vcpus[0], &debug));
}

int main(int argc, char **argv)
{
	static const struct row tests[] = {
		{"/kvm/state", &engine_kvm, test_state, 1},
		{"/kvm/extended-state", &engine_kvm, test_extended_state, 1},
		{"/kvm/taken-interrupt", &engine_kvm, test_taken_interrupt, 1},
		{"/kvm/taken-is-delivered", &engine_kvm, test_taken_is_delivered, 1},
		{"/soft/taken-is-delivered", &engine_soft, test_taken_is_delivered, 1},
		{"/kvm/refused-state", &engine_kvm, test_refused_state, 1},
		{"/kvm/port", &engine_kvm, test_port, 1},
		{"/kvm/triple-fault", &engine_kvm, test_triple_fault, 1},
		{"/kvm/kick", &engine_kvm, test_kick, 1},
		{"/kvm/dirty-log", &engine_kvm, test_dirty_log, 1},
		{"/kvm/cpuid", &engine_kvm, test_cpuid, 1},
		{"/kvm/model", &engine_kvm, test_model, 1, "opteron"},
		{"/kvm/refused-model", &engine_kvm, test_refused_model, 1},
		{"/kvm/tsc", &engine_kvm, test_tsc, 1},
		{"/kvm/deadline", &engine_kvm, test_deadline, 1},
		{"/kvm/startup", &engine_kvm, test_startup, 2},
		{"/kvm/breakpoints-and-steps", &engine_kvm, test_breakpoints_and_steps, 1},
		{"/soft/breakpoints-and-steps", &engine_soft, test_breakpoints_and_steps, 1},
		{"/kvm/watchpoints", &engine_kvm, test_watchpoints, 1},
		{"/soft/watchpoints", &engine_soft, test_watchpoints, 1},
		{"/kvm/points-refused", &engine_kvm, test_points_refused, 1},
	};

	g_test_init(&argc, &argv, NULL);
	for (size_t i = 0; i < G_N_ELEMENTS(tests); i++)
		g_test_add(tests[i].path, struct fixture, &tests[i], set_up, tests[i].test,
			   tear_down);
	return g_test_run();
}
