/* SPDX-License-Identifier: MIT */
/* The example host once more, compiled as C++17. */
#include "host.c"
#include "host_downloads.c"
#include "host_plugins.c"
