/* SPDX-License-Identifier: MIT */
/* The conformance suite on the SQLite back end. */
#include "conformance.h"

int main(void)
{
    return store_conformance(".db");
}
