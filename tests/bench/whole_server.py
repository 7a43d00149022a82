# SPDX-License-Identifier: BSD-2-Clause
def measure(build, quick):
    return []
