/* SPDX-License-Identifier: MIT */
/* Prints how C lays out each public struct, for test_layout.py to compare with what Python thinks. */
#include <stddef.h>
#include <stdio.h>

#include <modelmgr/modelmgr.h>

#define STRUCT(name, type) printf("struct " #name " %zu\n", sizeof(type));
#define MEMBER(type, member) \
    printf("member " #member " %zu %zu\n", offsetof(type, member), sizeof(((type *)0)->member));

int main(void)
{
#include "layout.inc"
    return 0;
}
