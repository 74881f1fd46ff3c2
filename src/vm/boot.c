/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vm/boot.h"

#include "base/error.h"
#include "cpu/x86/cpuid.h"
#include "firmware/linux_boot.h"

/* A flat 4 GiB segment as its descriptor in the loader's GDT has it, accessed bit set. */
static struct x86_segment flat_segment(uint16_t selector, uint16_t attr)
{
	return (struct x86_segment){
		.selector = selector,
		.limit = UINT32_MAX,
		.attr = attr | SEG_TYPE_RW | SEG_TYPE_ACC | SEG_S | SEG_P | SEG_G,
	};
}

/* Memory types (SDM volume 3, 12.11): RAM write-back, the VGA window and the device hole uncached.
 */
static void set_memory_types(struct x86_state *state, uint64_t hole_start)
{
	enum { UNCACHED = 0, WRITE_BACK = 6, ENABLED = 3 << 10, VALID = 1 << 11 };
	uint64_t hole_size = MEM_HOLE_END - hole_start;

	state->mtrr_def_type = ENABLED | WRITE_BACK;
	for (unsigned i = 0; i < G_N_ELEMENTS(state->mtrr_fix); i++)
		state->mtrr_fix[i] = 0x0101010101010101 * WRITE_BACK;
	state->mtrr_fix[2] = 0; /* A0000h to BFFFFh */
	state->mtrr_var[0] = hole_start | UNCACHED;
	state->mtrr_var[1] = (((1ull << CPU_PHYS_BITS) - 1) & ~(hole_size - 1)) | VALID;
}

void boot_park(const struct machine *machine, struct x86_state *state, bool bsp)
{
	x86_state_reset(state, bsp);
	state->cr0 &= ~(CR0_CD | CR0_NW);
	set_memory_types(state, machine->env.mem->hole_start);
}

static void enable_long_mode(struct x86_state *state, uint64_t cr3)
{
	state->cr0 |= CR0_PG;
	state->cr3 = cr3;
	state->cr4 |= CR4_PAE;
	state->efer |= EFER_LME | EFER_LMA;
}

/* The state of boot.rst's 64-bit or 32-bit boot protocol, which the loader's header spells out. */
static void enter_kernel(const struct machine *machine, struct x86_state *state,
			 const struct linux_boot_entry *entry)
{
	boot_park(machine, state, true);
	state->cr0 |= CR0_PE;
	if (entry->is_64)
		enable_long_mode(state, entry->cr3);
	state->gdtr = (struct x86_table){.base = entry->gdt_base, .limit = entry->gdt_limit};
	for (unsigned i = 0; i < X86_N_SEGS; i++)
		state->seg[i] = flat_segment(LINUX_BOOT_DS, SEG_DB);
	state->seg[X86_CS] =
		flat_segment(LINUX_BOOT_CS, SEG_TYPE_CODE | (entry->is_64 ? SEG_L : SEG_DB));
	state->rip = entry->rip;
	state->gpr[X86_RSI] = entry->rsi;
	state->gpr[X86_RSP] = entry->rsp;
	state->rflags = RFLAGS_FIXED;
}

bool boot_load(struct machine *machine, const struct vm_config *config, struct x86_state *state,
	       GError **error)
{
	struct linux_boot_config boot = {
		.kernel_path = config->kernel,
		.initrd_path = config->initrd,
		.cmdline = config->append,
		.cache = config->kernel_cache,
		.rsdp_gpa = machine->rsdp_gpa,
	};
	struct linux_boot_entry entry;

	if (!linux_boot_load(machine->env.mem, &boot, &entry, error))
		return false;
	if (entry.is_64 && !config->cpu.has[F_LM]) {
		g_set_error(error, VIV_ERROR, VIV_ERROR_INPUT,
			    "--cpu: '%s' has no 64-bit mode, in which %s starts; take a 32-bit "
			    "kernel, or v1",
			    config->cpu.name, config->kernel);
		return false;
	}
	enter_kernel(machine, state, &entry);
	return true;
}
