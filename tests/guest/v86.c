/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual-8086 mode (SDM volume 3, 21.2, 21.3): entry and exit, IOPL, the I/O map, VME. */
#include "guest32.h"

enum { CR4_VME = 1 };
enum { SS16 = 0x600, DS16 = 0x123, ES16 = 0x234, FS16 = 0x345, GS16 = 0x456 };

#define V86_CODE(name, text)                                                \
	extern char name[], name##_at[];                                    \
	asm(".pushsection .text16, \"awx\"\n\t.code16\n" #name ":\n\t" text \
	    "\n\tud2\n\t.code32\n\t.popsection")

V86_CODE(ud, "ud_at:");
V86_CODE(int80, "int $0x80\nint80_at:");
V86_CODE(int21, "int21_at:\n\tint $0x21");
V86_CODE(do_cli, "do_cli_at:\n\tcli");
V86_CODE(do_sti, "do_sti_at:\n\tsti");
V86_CODE(do_pushf, "do_pushf_at:\n\tpushf\n\tpop %ax");
V86_CODE(do_popf, "do_popf_at:\n\tpushw $0x202\n\tpopf");
V86_CODE(do_popfl, "do_popfl_at:\n\tpushl $0x202\n\tpopfl");
V86_CODE(do_iret, "do_iret_at:\n\tpushw $0x3202\n\tpush %cs\n\tpush $1f\n\tiret\n1:");
V86_CODE(do_hlt, "do_hlt_at:\n\thlt");
V86_CODE(do_out, "do_out_at:\n\tmov $0x80, %dx\n\tout %al, %dx");
V86_CODE(do_int3, "do_int3_at:\n\tint3");
V86_CODE(do_load, "do_load_at:\n\tmov $0x800, %ax\n\tmov %ax, %ds\n\tmov 0, %ebx");
V86_CODE(do_arpl, "do_arpl_at:\n\t.byte 0x63, 0xc8");
V86_CODE(handler21, "handler21_at:\n\tmov %sp, %bp\n\tmov 4(%bp), %cx");

static uint32_t v86_eflags;
static char *v86_code;

static void enter(void)
{
	asm volatile("push %[gs]\n\tpush %[fs]\n\tpush %[ds]\n\tpush %[es]\n\tpush %[ss]\n\t"
		     "push $0x1000\n\tpush %[flags]\n\tpush $0\n\tpush %[eip]\n\tiret"
		     :
		     : [gs] "i"(GS16), [fs] "i"(FS16), [ds] "i"(DS16), [es] "i"(ES16),
		       [ss] "i"(SS16), [flags] "r"(v86_eflags | EFLAGS_VM | 2), [eip] "r"(v86_code)
		     : "memory");
}

/* Runs the code, which ends in some exception, with these flags. */
static void run_v86(char *code, uint32_t eflags)
{
	v86_code = code;
	v86_eflags = eflags;
	run(enter);
}

static void raises(char *code, uint32_t eflags, unsigned vector, char *at)
{
	run_v86(code, eflags);
	check_equal(last_vector, vector);
	check_equal(last.error, 0);
	check_equal(last.eip, (uint32_t)at);
	check(last.eflags & EFLAGS_VM);
}

/* Ends at the code's own UD2: nothing in it faulted. */
static void completes(char *code, uint32_t eflags)
{
	run_v86(code, eflags);
	check_equal(last_vector, 6);
}

static void frame(void)
{
	raises(ud, EFLAGS_IF, 6, ud_at);
	check_equal(last.cs, 0);
	check_equal(last.esp, 0x1000);
	check_equal(last.ss, SS16);
	check_equal(last.v86_ds, DS16);
	check_equal(last.v86_es, ES16);
	check_equal(last.v86_fs, FS16);
	check_equal(last.v86_gs, GS16);
	check_equal(last.ds | last.es | last.fs | last.gs, 0);
	check(last.eflags & EFLAGS_IF);
	check(last.eflags & EFLAGS_RF);
}

static void by_iopl(void)
{
	completes(int80, EFLAGS_IOPL);
	raises(int80, 0, 13, int80);
	raises(do_cli, 0, 13, do_cli_at);
	raises(do_sti, 0, 13, do_sti_at);
	raises(do_pushf, 0, 13, do_pushf_at);
	raises(do_popf, 0, 13, do_popf_at + 3);
	raises(do_iret, 0, 13, do_iret_at + 7);
	completes(do_cli, EFLAGS_IOPL | EFLAGS_IF);
	check_equal(last.eflags & EFLAGS_IF, 0);
	completes(do_pushf, EFLAGS_IOPL);
	check_equal(last.eax & 0x3200, 0x3000);
	completes(do_iret, EFLAGS_IOPL);
	check_equal(last.eflags & (EFLAGS_IF | EFLAGS_IOPL), EFLAGS_IF | EFLAGS_IOPL);
	raises(do_hlt, EFLAGS_IOPL, 13, do_hlt_at);
	raises(do_arpl, EFLAGS_IOPL, 6, do_arpl_at);
	/* INT3 is not sensitive to IOPL. */
	run_v86(do_int3, 0);
	check_equal(last_vector, 3);
}

static void io_map(void)
{
	raises(do_out, EFLAGS_IOPL, 13, do_out_at + 3);
	tss.io[0x80 / 8] = 0xfe;
	completes(do_out, 0);
	tss.io[0x80 / 8] = 0xff;
}

/* A load of a segment register makes a base of 16 times its value, as in real mode. */
static void segments(void)
{
	completes(do_load, 0);
	check_equal(last.v86_ds, 0x800);
	check_equal(last.ebx, *(volatile uint32_t *)0x8000);
}

/* 21.3: with VME, INT n goes to the program's own vectors where the bitmap says 0. */
static void vme(void)
{
	volatile uint32_t *vectors = NULL;

	asm("" : "+r"(vectors));
	vectors[0x21] = (uint32_t)handler21;
	write_cr4(CR4_VME);
	for (unsigned i = 0; i < 32; i++)
		tss.redirection[i] = 0xff;
	raises(int21, 0, 13, int21_at);
	tss.redirection[0x21 / 8] = 0xfd;
	/* IOPL 0: the pushed image has IOPL 3 and VIF for IF; VIF is cleared, IF is not touched. */
	run_v86(int21, EFLAGS_VIF | EFLAGS_IF);
	check_equal(last_vector, 6);
	check_equal(last.eip, (uint32_t)handler21 + 5);
	check_equal(last.ecx & 0x3200, 0x3200);
	check_equal(last.eflags & (EFLAGS_VIF | EFLAGS_IF), EFLAGS_IF);
	run_v86(int21, 0);
	check_equal(last.ecx & 0x3200, 0x3000);
	/* IOPL 3: IF itself. */
	run_v86(int21, EFLAGS_IOPL | EFLAGS_IF | EFLAGS_VIF);
	check_equal(last.eip, (uint32_t)handler21 + 5);
	check_equal(last.eflags & (EFLAGS_VIF | EFLAGS_IF), EFLAGS_VIF);
	completes(do_sti, 0);
	check_equal(last.eflags & (EFLAGS_VIF | EFLAGS_IF), EFLAGS_VIF);
	completes(do_cli, EFLAGS_VIF | EFLAGS_IF);
	check_equal(last.eflags & (EFLAGS_VIF | EFLAGS_IF), EFLAGS_IF);
	raises(do_sti, EFLAGS_VIP, 13, do_sti_at);
	completes(do_pushf, EFLAGS_VIF);
	check_equal(last.eax & 0x3200, 0x3200);
	completes(do_popf, 0);
	check_equal(last.eflags & (EFLAGS_VIF | EFLAGS_IF), EFLAGS_VIF);
	raises(do_popf, EFLAGS_VIP, 13, do_popf_at + 3);
	raises(do_popfl, 0, 13, do_popfl_at + 6);
	completes(do_iret, 0);
	check_equal(last.eflags & (EFLAGS_VIF | EFLAGS_IF | EFLAGS_IOPL), EFLAGS_VIF);
	write_cr4(0);
}

void test_main(void)
{
	frame();
	by_iopl();
	io_map();
	segments();
	vme();
}
