/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SDM volume 3, 6.8.3, and volume 2, STI, MOV and POP: after which instruction an interrupt that
 * waits is taken; 6.7: NMIs, which one is held back by another.
 */
#include "guest32.h"

enum { VECTOR = 0x50, SVR = 0xf0, ICR = 0x300, SELF = 1 << 18 };

static volatile uint32_t *apic(unsigned reg)
{
	return (volatile uint32_t *)(0xfee00000 + reg);
}

/* Where the interrupts came. */
static volatile uint32_t came_at[4], n_came;
extern char note_interrupt[], note_nmi[];
static volatile uint32_t nmis, nmi_depth, nmi_deepest;
asm(".text\nnote_interrupt: push %eax\n\tpush %ebx\n\tmov 8(%esp), %eax\n\tmov n_came, %ebx\n\t"
    "mov %eax, came_at(,%ebx,4)\n\tincl n_came\n\tmovl $0, 0xfee000b0\n\tpop %ebx\n\tpop "
    "%eax\n\tiret\n"
    /* The first one sends another, which waits for its IRET. */
    "note_nmi: incl nmis\n\tincl nmi_depth\n\tpush %eax\n\tmov nmi_depth, %eax\n\tcmp nmi_deepest, "
    "%eax\n\t"
    "jbe 1f\n\tmov %eax, nmi_deepest\n1:\tcmpl $1, nmis\n\tjne 2f\n\tmovl $0x40400, "
    "0xfee00300\n\tnop\n\tnop\n\tnop\n"
    "2:\tpop %eax\n\tdecl nmi_depth\n\tiret");

/* Code that starts with interrupts off and one waiting, and ends with them off. */
#define CODE(name, text)                                                                       \
	extern const char name##_at[];                                                         \
	static void __attribute__((noinline)) name(void)                                       \
	{                                                                                      \
		asm volatile(text "\n\tcli" : : "a"(SEL_DATA) : "ebx", "ecx", "memory", "cc"); \
	}
CODE(after_sti, "sti\n\tnop\nafter_sti_at:\n\tnop")
CODE(after_popf, "pushl $0x202\n\tpopf\nafter_popf_at:\n\tnop")
CODE(after_iret, "pushl $0x202\n\tpush %%cs\n\tpush $after_iret_at\n\tiret\nafter_iret_at:\n\tnop")
CODE(sti_mov_ss, "sti\n\tmov %%eax, %%ss\n\tnop\nsti_mov_ss_at:\n\tnop")
CODE(sti_pop_ss, "push %%ss\n\tsti\n\tpop %%ss\n\tnop\nsti_pop_ss_at:\n\tnop")
CODE(sti_mov_ds, "sti\n\tmov %%eax, %%ds\nsti_mov_ds_at:\n\tnop")
CODE(sti_lss, "push %%ss\n\tpush %%esp\n\taddl $4, (%%esp)\n\tmov %%esp, %%ebx\n\tsti\n\t"
	      "lss (%%ebx), %%esp\nsti_lss_at:\n\tnop")
CODE(sti_sti, "sti\n\tsti\nsti_sti_at:\n\tnop")
CODE(sti_cli, "sti\n\tcli\nsti_cli_at:\n\tnop")
CODE(sti_hlt, "sti\n\thlt\nsti_hlt_at:\n\tnop")
CODE(sti_jump, "sti\n\tjmp sti_jump_at\n\tnop\nsti_jump_at:\n\tnop")
CODE(mov_ss_sti, "mov %%eax, %%ss\n\tsti\n\tnop\nmov_ss_sti_at:\n\tnop")

static void expect(void (*fn)(void), const char *at)
{
	n_came = 0;
	*apic(ICR) = SELF | VECTOR;
	fn();
	if (!at) {
		check_equal(n_came, 0);
		asm volatile("sti\n\tnop\n\tcli");
	} else {
		check_equal(came_at[0], (uint32_t)at);
	}
	check_equal(n_came, 1);
}

/* An NMI's handler is not interrupted by another one. */
CODE(send_nmi, "movl $0x40400, 0xfee00300\n\tnop")

static void test_nmis(void)
{
	nmis = nmi_depth = nmi_deepest = 0;
	send_nmi();
	check_equal(nmis, 2);
	check_equal(nmi_deepest, 1);
	check_equal(nmi_depth, 0);
}

void test_main(void)
{
	*apic(SVR) = 0x1ff;
	set_gate(VECTOR, SEL_CODE, note_interrupt, 0x0e);
	set_gate(2, SEL_CODE, note_nmi, 0x0e);
	expect(after_sti, after_sti_at);
	expect(after_popf, after_popf_at);
	expect(after_iret, after_iret_at);
	expect(sti_mov_ss, sti_mov_ss_at);
	expect(sti_pop_ss, sti_pop_ss_at);
	expect(sti_mov_ds, sti_mov_ds_at);
	expect(sti_lss, sti_lss_at);
	expect(sti_sti, sti_sti_at);
	expect(sti_cli, NULL);
	expect(sti_hlt, sti_hlt_at);
	expect(sti_jump, sti_jump_at);
	expect(mov_ss_sti, mov_ss_sti_at);
	test_nmis();
}
