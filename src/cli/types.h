/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VIV_CLI_TYPES_H
#define VIV_CLI_TYPES_H

/* viv type ls; argv[0] is `ls`. */
int types_ls_main(int argc, char **argv);

#endif
