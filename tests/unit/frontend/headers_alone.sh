#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Compiles each public header alone, as C11 and as C++20.  headers_alone.sh COMPILER INCLUDE_FOLDER
set -u
compiler=$1
include=$2
command -v "$compiler" >/dev/null || { echo "skipped: no $compiler here"; exit 77; }

failed=0
count=0
for header in "$include"/librettos/*.h; do
    count=$((count + 1))
    name=librettos/$(basename "$header")
    for language in "c c11" "c++ c++20"; do
        set -- $language
        printf '#include <%s>\n#include <%s>\nint not_empty;\n' "$name" "$name" |
            "$compiler" -x "$1" -std="$2" -pedantic -Wall -Wextra -Wundef -Werror -fsyntax-only -I "$include" - ||
            { echo "$name does not compile alone as $2 with $compiler"; failed=1; }
    done
done
[ "$count" -gt 0 ] || { echo "no headers in $include/librettos"; exit 1; }
exit "$failed"
