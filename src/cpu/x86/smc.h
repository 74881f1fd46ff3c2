/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages whose code is rewritten all the time. Code from them is not marked in the memory's code map, so
 * that stores to them cost nothing; instead it is compared with the memory each time before it runs. One
 * such record a vCPU; its thread only.
 */
#ifndef VIV_CPU_X86_SMC_H
#define VIV_CPU_X86_SMC_H

#include <stdbool.h>
#include <stdint.h>

#define SMC_PAGES 256

struct smc {
	struct smc_page {
		uint64_t page; /* guest-physical; 0 with score 0: none */
		uint64_t last; /* host's TSC when code was lost last */
		unsigned score;
	} pages[SMC_PAGES];
};

/* Decoded code of gpa's page was lost to a store. True: it is to be compared from now on. */
bool smc_note(struct smc *smc, uint64_t gpa);
/* Whether it is. */
bool smc_is_compared(const struct smc *smc, uint64_t gpa);

#endif
