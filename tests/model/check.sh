#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Searches the whole state space of a model.  check.sh CC MODEL sound|broken [-DVARIANT ..]
# sound: no error in a complete search. broken: pan must find an invalid end state.
set -eu
compiler=$1
model=$2
expected=$3
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
spin "$@" -a "$model"
"$compiler" -O2 -w -DSAFETY -DMEMLIM=2048 -o pan pan.c
./pan -m1000000 >report 2>&1 || true
cat report
grep -q '^Full statespace search' report || { echo "not a full search"; exit 1; }
if grep -qE 'max search depth too small|out of memory|Search not completed' report && [ "$expected" = sound ]; then
    echo "the search is not complete"
    exit 1
fi
case $expected in
sound) grep -q 'errors: 0$' report || { echo "the protocol is broken"; exit 1; } ;;
broken)
    grep -q '^pan:[0-9]*: invalid end state' report || { echo "pan did not find the lost wake-up of: $*"; exit 1; }
    ;;
*) echo "expected: sound or broken"; exit 1 ;;
esac
