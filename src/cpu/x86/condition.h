/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 16 conditions, on flags in the form of exec.h. */
#ifndef VIV_CPU_X86_CONDITION_H
#define VIV_CPU_X86_CONDITION_H

#include "cpu/x86/exec.h"

#define FOR_CONDITIONS(M)                                                                          \
	M(o) M(no) M(b) M(ae) M(e) M(ne) M(be) M(a) M(s) M(ns) M(p) M(np) M(l) M(ge) M(le) M(g)

#define CONDITION(cc, opposite, expression)                                                        \
	static inline bool condition_##cc(uint16_t f)                                              \
	{                                                                                          \
		return expression;                                                                 \
	}                                                                                          \
	static inline bool condition_##opposite(uint16_t f)                                        \
	{                                                                                          \
		return !condition_##cc(f);                                                         \
	}
CONDITION(o, no, f & FLAG_OF)
CONDITION(b, ae, f & FLAG_CF)
CONDITION(e, ne, f & FLAG_ZF)
CONDITION(be, a, f & (FLAG_CF | FLAG_ZF))
CONDITION(s, ns, f & FLAG_SF)
CONDITION(p, np, f & FLAG_PF)
CONDITION(l, ge, (f >> 15 ^ f) & 1)
CONDITION(le, g, (f & FLAG_ZF) || condition_l(f))
#undef CONDITION

#endif
