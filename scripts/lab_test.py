#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The lab's judge, on serial lines made up for it: what must count as a failure does."""

import contextlib
import io
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import lab  # noqa: E402

MANIFEST = """
our ours_test 10
  fails before-x fixture.case
kernel quick_test
leave slow_test takes long
broken odd_test fails everywhere
"""


class Judge(unittest.TestCase):
    def setUp(self):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(MANIFEST)
            f.flush()
            self.manifest = lab.Manifest(f.name)
        self.machine = lab.Machine([], None)

    def boot(self, variant, test, rc, *lines):
        for text in (f"@@ loaded {variant}", f"@@ begin {test}", *lines, f"@@ end {test} {rc}"):
            self.machine.line(text)

    def judge(self, variant=None, kernel=()):
        report = lab.Report()
        with contextlib.redirect_stdout(io.StringIO()):
            if variant:
                lab.judge_ours(report, self.manifest, self.machine.results, variant, "6.12")
            lab.judge_kernel(report, self.manifest, self.machine.results, kernel, "6.12")
        return report.passed, report.failed, report.skipped

    def test_ours_passes(self):
        self.boot("rust", "ours_test", 0)
        self.assertEqual(self.judge("rust"), (1, 0, 0))

    def test_ours_fails(self):
        self.boot("rust", "ours_test", 1, "not ok 1 fixture.case")
        self.assertEqual(self.judge("rust"), (0, 1, 0))

    def test_ours_must_not_skip(self):
        self.boot("rust", "ours_test", 4, "1..0 # SKIP no PMU")
        self.assertEqual(self.judge("rust"), (0, 1, 0))

    def test_ours_times_out(self):
        self.boot("rust", "ours_test", 137)
        self.assertEqual(self.judge("rust"), (0, 1, 0))

    def test_defect_is_seen(self):
        self.boot("before-x", "ours_test", 1, "ok 1 fixture.other", "not ok 2 fixture.case")
        self.assertEqual(self.judge("before-x"), (1, 0, 0))

    def test_defect_is_not_seen(self):
        self.boot("before-x", "ours_test", 0)
        self.assertEqual(self.judge("before-x"), (0, 1, 0))

    def test_defect_fails_elsewhere_too(self):
        self.boot("before-x", "ours_test", 1, "not ok 1 fixture.other", "not ok 2 fixture.case")
        self.assertEqual(self.judge("before-x"), (0, 1, 0))

    def test_warning_fails_a_test_that_passes(self):
        self.boot("rust", "ours_test", 0, "WARNING: CPU: 0 PID: 1 at arch/x86/kvm/x86.c:1 f+0x1/0x2")
        self.assertEqual(self.judge("rust"), (0, 1, 0))

    def test_lockdep_fails_a_kernel_test_that_passes(self):
        self.boot("c", "quick_test", 0)
        self.boot("rust", "quick_test", 0, "WARNING: possible circular locking dependency detected")
        self.assertEqual(self.judge(kernel=["quick_test"]), (0, 1, 0))

    def test_trouble_between_tests(self):
        self.machine.line("BUG: kernel NULL pointer dereference, address: 0000000000000000")
        self.assertEqual(len(self.machine.errors), 1)

    def test_kernel_test_worse_than_c(self):
        for rc in (1, 4, 137):
            self.boot("c", "quick_test", 0)
            self.boot("rust", "quick_test", rc)
            self.assertEqual(self.judge(kernel=["quick_test"]), (0, 1, 0), rc)

    def test_kernel_test_fails_on_both(self):
        self.boot("c", "quick_test", 1)
        self.boot("rust", "quick_test", 1)
        self.assertEqual(self.judge(kernel=["quick_test"]), (0, 1, 0))

    def test_kernel_test_skips_on_both(self):
        self.boot("c", "quick_test", 4)
        self.boot("rust", "quick_test", 4)
        self.assertEqual(self.judge(kernel=["quick_test"]), (0, 0, 1))

    def test_broken_is_a_skip_as_long_as_c_fails(self):
        self.boot("c", "odd_test", 1)
        self.boot("rust", "odd_test", 1)
        self.assertEqual(self.judge(kernel=["odd_test"]), (0, 0, 1))
        self.boot("c", "odd_test", 0)
        self.assertEqual(self.judge(kernel=["odd_test"]), (0, 1, 0))

    def test_left_without_a_reason(self):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write("leave some_test\n")
            f.flush()
            with self.assertRaises(SystemExit):
                lab.Manifest(f.name)


if __name__ == "__main__":
    unittest.main()
