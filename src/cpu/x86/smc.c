/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/smc.h"

#include <x86intrin.h>

/* Losses that follow each other so soon leave no time for the code to earn what it cost. */
#define SOON_TSC (100u << 10)
#define COMPARED 24

static unsigned slot_of(uint64_t gpa)
{
	return (gpa / 4096 ^ gpa >> 20) % SMC_PAGES;
}

bool smc_note(struct smc *smc, uint64_t gpa)
{
	struct smc_page *p = &smc->pages[slot_of(gpa)];
	uint64_t now = __rdtsc();

	if (p->page != gpa / 4096 || now - p->last > SOON_TSC)
		*p = (struct smc_page){.page = gpa / 4096};
	p->last = now;
	return ++p->score == COMPARED;
}

bool smc_is_compared(const struct smc *smc, uint64_t gpa)
{
	const struct smc_page *p = &smc->pages[slot_of(gpa)];

	return p->page == gpa / 4096 && p->score >= COMPARED;
}
