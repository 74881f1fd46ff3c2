/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processor models: what the guest's processor says it is and has. A model belongs to a VM, whose
 * engine shows it by CPUID; the software engine also refuses what the model lacks. Constant once
 * made, so any thread may read it.
 */
#ifndef VIV_CPU_X86_MODEL_H
#define VIV_CPU_X86_MODEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "cpu/x86/feature.h"

struct x86_model {
	const char *name;
	char vendor[13];    /* as CPUID leaf 0 gives it */
	bool is_amd;	    /* some system instructions differ */
	uint32_t signature; /* type, family, model and stepping: CPUID leaf 1, EAX */
	uint32_t max_leaf, max_extended_leaf; /* the latter 0: no extended leaves */
	bool exact; /* each feature was asked for; else an engine may leave out what its host lacks
		     */
	bool hides; /* by wish it lacks something that an engine may not show then */
	bool has[F_N_FEATURES];
	/* What software may set. */
	uint64_t cr4_mask, xcr0_mask, efer_mask, rflags_mask;
};

/* Everything that the host and the engines can give. */
const struct x86_model *x86_model_host(void);

/* Without AVX-512: its state is four times as large, and what translated code saves and loads on its
 * way to C costs more than the instructions gain (docs/adr/0014). */
const struct x86_model *x86_model_default(void);

/* "NAME[,+FEATURE][,-FEATURE]...": +FEATURE brings what the feature needs, -FEATURE takes what
 * needs it, from left to right. The error says what is wrong and what to write. */
bool x86_model_parse(struct x86_model *model, const char *text, GError **error);

/* The models and features, for `--cpu help`. */
void x86_model_append_help(GString *out);

/* For tests over all models; NULL past the last. */
const char *x86_model_name(unsigned n);

#endif
