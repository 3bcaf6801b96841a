#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Counts the cases in a meson test log: cmocka, TAP and pytest programs by their inner cases.

    count.py LOG.json     prints "PASSED FAILED SKIPPED"; names what failed on standard error
    count.py --self-test
"""

import json
import re
import sys

PYTEST = re.compile(r"^=*\s*((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s", re.M)
CMOCKA = re.compile(r"^\[  (PASSED|FAILED|SKIPPED) ? ?\] (\d+) test\(s\)", re.M)
TAP = re.compile(r"^(not )?ok\b([^\n]*)", re.M)
UNITTEST = re.compile(r"^Ran (\d+) tests? in [\d.]+s\n+(?:OK|FAILED)(?: \((.*)\))?", re.M)


def inner_cases(output):
    """(passed, failed, skipped) that the program reports about its own cases."""
    passed = failed = skipped = 0
    for word, number in CMOCKA.findall(output):
        passed += int(number) * (word == "PASSED")
        failed += int(number) * (word == "FAILED")
        skipped += int(number) * (word == "SKIPPED")
    if re.search(r"^1\.\.\d+", output, re.M):
        for bad, rest in TAP.findall(output):
            skip = re.search(r"#\s*skip", rest, re.I) is not None
            failed += bool(bad)
            skipped += skip and not bad
            passed += not bad and not skip
    for summary in PYTEST.findall(output)[-1:]:
        for number, word in re.findall(r"(\d+) ([a-z]+)", summary):
            passed += int(number) * (word in ("passed", "xpassed"))
            failed += int(number) * (word in ("failed", "error", "errors"))
            skipped += int(number) * (word in ("skipped", "xfailed"))
    for number, detail in UNITTEST.findall(output):
        words = dict(re.findall(r"(\w+)=(\d+)", detail or ""))
        bad = int(words.get("failures", 0)) + int(words.get("errors", 0))
        skip = int(words.get("skipped", 0))
        failed, skipped = failed + bad, skipped + skip
        passed += int(number) - bad - skip
    return passed, failed, skipped


def test_cases(test):
    """(passed, failed, skipped) of one entry of the log."""
    result = test["result"]
    if result == "SKIP":
        return 0, 0, 1
    passed, failed, skipped = inner_cases((test.get("stdout") or "") + (test.get("stderr") or ""))
    if result in ("OK", "EXPECTEDFAIL"):
        if passed + failed + skipped == 0:
            passed = 1
    else:
        failed = max(failed, 1)
    return passed, failed, skipped


def count(lines):
    totals = [0, 0, 0]
    bad = []
    for line in lines:
        if line.strip():
            test = json.loads(line)
            cases = test_cases(test)
            totals = [a + b for a, b in zip(totals, cases)]
            if cases[1]:
                bad.append((test["name"], test["result"], cases[1],
                            (test.get("stdout") or "") + (test.get("stderr") or "")))
    return totals, bad


def self_test():
    cmocka = "[==========] 3 test(s) run.\n[  PASSED  ] 1 test(s).\n" \
             "[  SKIPPED ] 1 test(s), listed below:\n[  SKIPPED ] c\n" \
             "[  FAILED  ] 1 test(s), listed below:\n[  FAILED  ] b\n"
    cases = [
        ("OK", "", (1, 0, 0)),
        ("OK", "[  PASSED  ] 7 test(s).\n[  PASSED  ] 2 test(s).\n", (9, 0, 0)),
        ("FAIL", cmocka, (1, 1, 1)),
        ("OK", cmocka, (1, 1, 1)),
        ("FAIL", "[ RUN      ] a\n", (0, 1, 0)),
        ("TIMEOUT", "", (0, 1, 0)),
        ("ERROR", "1..3\nok 1 - a\n", (1, 1, 0)),
        ("SKIP", "", (0, 0, 1)),
        ("OK", "1..3\nok 1 - a\nok 2 # SKIP no disk\nok 3\n", (2, 0, 1)),
        ("FAIL", "=== short test summary info ===\n1 failed, 41 passed, 2 skipped in 1.32s\n",
         (41, 1, 2)),
        ("OK", "========= 12 passed, 1 warning in 61.32s (0:01:01) =========\n", (12, 0, 0)),
        ("OK", "3 skipped in 0.02s\n", (0, 0, 3)),
        ("FAIL", "1 error in 0.10s\n", (0, 1, 0)),
        ("FAIL", "Ran 5 tests in 0.1s\n\nFAILED (failures=1, errors=1, skipped=1)\n", (2, 2, 1)),
    ]
    wrong = 0
    for result, output, wanted in cases:
        line = json.dumps({"name": "x", "result": result, "stdout": output})
        totals, bad = count([line])
        if tuple(totals) != wanted or bool(bad) != bool(wanted[1]):
            print(f"self-test: {result} {output!r}: {totals}, {wanted} expected")
            wrong += 1
    return 1 if wrong else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    with open(arguments[0], encoding="utf-8") as file:
        totals, bad = count(file)
    for name, result, number, output in bad:
        print(f"--- {name}: {result}, {number} failed", file=sys.stderr)
        print("\n".join(output.splitlines()[-40:]), file=sys.stderr)
    print(*totals)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
