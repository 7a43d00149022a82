#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Frames for the classifier's tests, made by scapy, with the verdict that each must get.

make_frames.py                  writes the corpus as JSON to standard output
make_frames.py --check FILE     reads the answers that the classifier gave, dissects them with scapy, and compares

The world of a case is built in corpus_test.cpp: guests 1 and 2 share 10.0.0.1 / 2001:db8::1, guests 3 and 4 are dedicated.
"""
import json
import sys

from frames_wire import wire_cases
from frames_guest import guest_cases
from frames_segment import checksum_cases, segment_cases
from frames_world import check_answer


def all_cases():
    cases = wire_cases() + guest_cases()
    names = [case["name"] for case in cases]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
    return cases


def write_corpus():
    cases = []
    for case in all_cases():
        steps = [{key: value for key, value in step.items() if key != "check"} for step in case["steps"]]
        cases.append({**case, "steps": steps})
    json.dump({"cases": cases, "segments": segment_cases(), "checksums": checksum_cases()}, sys.stdout)


def check_answers(path):
    with open(path, encoding="utf-8") as file:
        answers = json.load(file)
    wrong = 0
    for case in all_cases():
        for number, step in enumerate(case["steps"]):
            if "check" not in step:
                continue
            for answer in answers.get(case["name"], {}).get(str(number), [""]):
                problem = check_answer(step, bytes.fromhex(answer))
                if problem:
                    wrong += 1
                    print(f"{case['name']} step {number}: {problem}")
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        sys.exit(check_answers(sys.argv[2]))
    write_corpus()
