/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs instructions natively, on given registers. The linear addresses of code and data are
 * fixed, so that a guest which maps the same pages sees the same pointers.
 */
#ifndef VIV_TESTS_CPU_HOST_RUN_H
#define VIV_TESTS_CPU_HOST_RUN_H

#include <stdbool.h>
#include <stdint.h>

#define HOST_DATA      0x10000000ull /* HOST_DATA_SIZE bytes, nothing mapped around them */
#define HOST_DATA_SIZE 0x6000u
#define HOST_READ_ONLY 0x4000u /* offset of the one page there that cannot be written */
/* No multiple of the data's address: arithmetic on pointers is not to lead there. */
#define HOST_CODE      0x26a40000ull
#define HOST_CODE_SIZE 0x2000u

struct host_registers {
	uint64_t gpr[16];
	uint64_t rflags;
	uint64_t mxcsr;
	uint8_t ymm[32][32];
	/* Where the host has no AVX-512, these and the upper YMM registers are left alone. */
	uint8_t zmm_high[32][32];
	uint64_t k[8];
	/* FXSAVE64's image; MXCSR and the vectors in it count for nothing. */
	struct {
		uint16_t fcw, fsw;
		uint8_t ftw, reserved;
		uint16_t fop;
		uint64_t fip, fdp;
		uint32_t mxcsr, mxcsr_mask;
		uint8_t st[8][16];
		uint8_t rest[352];
	} x87 __attribute__((aligned(64)));
};

/* The bytes at HOST_DATA, all writable. */
extern uint8_t *host_data;

/* Of the exception that host_run() has returned. */
struct host_fault {
	uint64_t rip, cr2;
	uint32_t error_code;
};

/* Maps the pages, installs handlers for the signals that faults raise. */
void host_init(void);
const struct host_fault *host_last_fault(void);
/* What to say on standard error should a signal be the test's own. */
void host_set_epitaph(const char *text);

/*
 * Runs the code of `len` bytes at HOST_CODE + offset, in place, with a way back after it
 * and, for a branch out of it, at HOST_CODE + landing (0: no branch). Returns -1, HOST_LANDED, or
 * the vector of the exception it raised.
 */
#define HOST_LANDED (-2)
#define HOST_CS32   0x23 /* Linux's selectors for 32-bit code and its data */
#define HOST_DS32   0x2b
#define HOST_RETURN 14u /* bytes that a way back takes */
int host_run(struct host_registers *registers, unsigned offset, unsigned len, unsigned landing,
	     bool compat);

#endif
