# SPDX-License-Identifier: MIT
"""Derived layouts."""


def derive(built):
    return []
