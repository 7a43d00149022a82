# SPDX-License-Identifier: BSD-2-Clause
"""The quantile that all figures of this project have."""

import math


def quantile(values, part):
    """By nearest rank: the least of the values that `part` (0..1) of them do not exceed. 0 of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * part) - 1)] if ordered else 0.0
