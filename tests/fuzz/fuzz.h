/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a fuzz target defines: one function, given bytes that may be anything. It
 * must return 0, free what it allocates and keep nothing between calls.
 */
#ifndef VIV_TESTS_FUZZ_FUZZ_H
#define VIV_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
