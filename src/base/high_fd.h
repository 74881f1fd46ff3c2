/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that a guest decides the number of. */
#ifndef VIV_BASE_HIGH_FD_H
#define VIV_BASE_HIGH_FD_H

/*
 * Another number for the descriptor, past those that select() can take (FD_SETSIZE), where the limit of open files allows
 * them: libraries use it, and would write past its set once guests had taken the lower numbers. -1 stays -1.
 */
int high_fd(int fd);

#endif
