#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The lab's judge, on serial lines made up for it: what must count as a failure does."""

import contextlib
import io
import itertools
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import lab  # noqa: E402

MANIFEST = """
our ours_test 10
  fails before-x fixture.case
our@intel vmx_test 10
  fails before-y fixture.nested
our@amd svm_test 10
our@intel real_mode_test 10
  fails@6.12 c fixture.old
  fails@7.2 c fixture.new
load@intel real_mode_test kvm-intel.unrestricted_guest=0 kvm.tdp_mmu=0
piece kick ours_test before-x
spare@intel c ours_test takes long
piece@intel init-sipi vmx_test before-y
kernel quick_test
kernel@intel quick_vmx_test
check@intel other_test
leave slow_test takes long
broken odd_test fails everywhere
broken@intel strange_test fails on Bochs
"""


FAULTS = """
our ours_test 10
fault wait-for-sipi ours_test fixture.sleeps fixture.wakes
fault@intel halt-pmi ours_test fixture.halts
our@amd svm_test 10
spare@intel c ours_test takes long
"""


class Silent:
    """A machine that says this, and then nothing more, but doesn't end; or does."""

    def __init__(self, said, ends):
        self.said, self.ends, self.killed = list(said), ends, False

    def read(self):
        return self.said.pop(0) if self.said else b"" if self.ends else None

    def finish(self):
        self.ends = True

    def kill(self):
        self.killed = True

    def hints(self):
        return ["VMFAIL: a reason"]


class Faults(unittest.TestCase):
    def setUp(self):
        self.amd, self.intel = (self.manifest(FAULTS, vendor) for vendor in ("amd", "intel"))

    @staticmethod
    def manifest(text, vendor):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(text)
            f.flush()
            return lab.Manifest(f.name, vendor, "6.12")

    def test_cases_fail_on_pristine_c_and_with_any_other_fix(self):
        fails = self.intel.ours["ours_test"]
        self.assertEqual(fails["c"], {"fixture.sleeps", "fixture.wakes", "fixture.halts"})
        self.assertEqual(fails["fixed-wait-for-sipi"], {"fixture.halts"})
        self.assertEqual(fails["fixed-halt-pmi"], {"fixture.sleeps", "fixture.wakes"})
        self.assertNotIn("fixed-wait-for-sipi", self.amd.ours["ours_test"])
        self.assertNotIn("fixed", fails)
        self.assertNotIn("rust", fails)

    def test_refused(self):
        for wrong in ("fault no-such-fix ours_test fixture.case", "fault halt-pmi no_such_test fixture.case",
                      "fault halt-pmi ours_test"):
            with self.assertRaises(SystemExit, msg=wrong):
                self.manifest(f"{FAULTS}{wrong}\n", "amd")
        # A test of the other vendor's is none of ours, and no error.
        self.manifest(f"{FAULTS}fault halt-pmi svm_test fixture.case\n", "intel")

    def test_plan(self):
        variants = ["rust", "fixed", "c"]
        _, runs = lab.plan(self.amd, "run", variants, [], 1)
        self.assertEqual(runs, [("rust", "ours_test"), ("rust", "svm_test"), ("fixed", "ours_test"), ("c", "ours_test")])
        _, runs = lab.plan(self.amd, "check", ["fixed"], [], 1)
        self.assertEqual(runs, [("fixed", "ours_test"), ("fixed", "svm_test")])
        _, runs = lab.plan(self.intel, "deep", ["fixed-halt-pmi"], [], 1)
        self.assertEqual(runs, [])  # Spared: it still has the other fault's cases.

    def test_what_is_seen(self):
        run = lab.Run("/dev/null", "amd")
        for variant, rc, *lines in (("c", 1, "not ok 1 fixture.sleeps"), ("fixed", 0), ("rust", 1, "not ok 1 fixture.else")):
            for text in (f"@@ loaded {variant}", "@@ begin ours_test", *lines, f"@@ end ours_test {rc}"):
                run.line(text)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            lab.table_of_faults({"amd": self.amd}, {"amd": run.results}, [])
        self.assertRegex(out.getvalue(), r"wait-for-sipi  amd     ours_test  fails: 1 case  pass     pass")

    def test_fixed_c_is_what_rust_must_equal(self):
        run = lab.Run("/dev/null", "amd")
        for variant, rc in (("c", 1), ("fixed", 1), ("rust", 0)):
            for text in (f"@@ loaded {variant}", "@@ begin k_test", f"@@ end k_test {rc}"):
                run.line(text)
        report = lab.Report()
        with contextlib.redirect_stdout(io.StringIO()):
            lab.judge_kernel(report, self.amd, run.results, ["k_test"], "6.12")
        self.assertEqual((report.passed, report.failed), (1, 1))


class Judge(unittest.TestCase):
    def setUp(self):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(MANIFEST)
            f.flush()
            self.manifest = lab.Manifest(f.name, "amd", "6.12")
            self.intel = lab.Manifest(f.name, "intel", "6.12")
        lab.OURS.update(self.manifest.ours, self.intel.ours)
        self.machine = lab.Run("/dev/null", "amd")

    def boot(self, variant, test, rc, *lines):
        for text in (f"@@ loaded {variant}", f"@@ begin {test}", *lines, f"@@ end {test} {rc}"):
            self.machine.line(text)

    def judge(self, variant=None, kernel=()):
        report = lab.Report()
        with contextlib.redirect_stdout(io.StringIO()):
            if variant:
                lab.judge_ours(report, self.manifest, self.machine.results, variant, "6.12 amd")
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
                lab.Manifest(f.name, "amd", "6.12")

    def refused(self, text):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(text)
            f.flush()
            with self.assertRaises(SystemExit):
                lab.Manifest(f.name, "amd", "6.12")

    def test_manifest_refuses(self):
        self.refused("our@arm some_test 10\n")
        self.refused("our@6.13 some_test 10\n")
        self.refused("our some_test\n")
        self.refused("load some_test\n")
        self.refused("load some_test enable_apicv=0\n")
        self.refused("load some_test kvm-arm.enable_apicv=0\n")
        self.refused("piece kick some_test before-x\n")
        self.refused("our some_test 10\n  fails before-x a.b\npiece kitchen some_test before-x\n")

    def test_vendors(self):
        self.assertEqual(sorted(self.manifest.ours), ["ours_test", "svm_test"])
        self.assertEqual(sorted(self.intel.ours), ["ours_test", "real_mode_test", "vmx_test"])
        self.assertEqual(self.manifest.quick, ["quick_test"])
        self.assertEqual(self.intel.quick, ["quick_test", "quick_vmx_test"])
        self.assertIn("strange_test", self.intel.broken)
        self.assertNotIn("strange_test", self.manifest.broken)
        self.assertEqual(self.intel.limit("ours_test", 2), 2 * self.manifest.limit("ours_test", 1))

    def test_fails_of_the_other_vendors_test(self):
        """The line after a test that is not ours says nothing of the test before it."""
        self.assertEqual(self.manifest.ours["ours_test"], {"before-x": {"fixture.case"}})
        self.assertEqual(self.manifest.pieces, {"kick": [("ours_test", "before-x")]})

    def test_lines(self):
        self.assertEqual(self.intel.ours["real_mode_test"], {"c": {"fixture.old"}})

    def test_loads(self):
        """A test that wants other parameters has a load of its own; Rust's kick may warn in each."""
        built, parameters = ["ours_test", "real_mode_test"], "kvm-intel.unrestricted_guest=0 kvm.tdp_mmu=0"
        lines, runs = lab.plan(self.intel, "check", ["c", "rust"], built, 2)
        self.assertEqual(lines, [
            "load c", "test vmx_test 20", "unload c",
            f"load c {parameters}", "test real_mode_test 20", "unload c",
            "load rust kvm.warn_requestless_kick=1", "test ours_test 20", "test vmx_test 20", "unload rust",
            f"load rust kvm.warn_requestless_kick=1 {parameters}", "test real_mode_test 20", "unload rust"])
        self.assertEqual(runs, [("c", "vmx_test"), ("c", "real_mode_test"), ("rust", "ours_test"),
                                ("rust", "vmx_test"), ("rust", "real_mode_test")])
        self.assertNotIn("real_mode_test", self.manifest.loads)

    def test_plan(self):
        built = ["any_test", "other_test", "ours_test", "quick_test", "slow_test", "svm_test", "vmx_test"]
        _, runs = lab.plan(self.manifest, "run", ["rust", "c", "before-x", "before-y"], built, 1)
        self.assertEqual(runs, [("rust", "ours_test"), ("rust", "svm_test"), ("rust", "quick_test"),
                                ("c", "ours_test"), ("before-x", "ours_test")])
        _, runs = lab.plan(self.intel, "check", ["rust", "before-x", "before-y"], built, 4)
        self.assertEqual(runs, [("rust", "ours_test"), ("rust", "vmx_test"), ("rust", "other_test"),
                                ("rust", "quick_test"), ("rust", "real_mode_test"), ("before-x", "ours_test"),
                                ("before-y", "vmx_test")])
        _, runs = lab.plan(self.intel, "check", ["c"], built, 2)
        self.assertNotIn(("c", "ours_test"), runs)
        _, runs = lab.plan(self.manifest, "check", ["rust"], built, 1)
        self.assertEqual([t for _, t in runs], ["ours_test", "svm_test", "any_test", "other_test", "quick_test"])

    def test_shares(self):
        """Every test of every variant is in one boot, whichever there are."""
        variants = ["c", "rust", "before-x", "before-y"]
        self.assertEqual([s[:2] for s in lab.shares(["rust"], 1)], [("rust", ["rust"])])
        for manifest, n in itertools.product((self.manifest, self.intel), (1, 2, 3)):
            for mode in ("run", "check"):
                whole = lab.plan(manifest, mode, variants, ["any_test", "quick_test"], 1)[1]
                parts = [lab.plan(manifest, mode, vs, ["any_test", "quick_test"], 1, part)[1]
                         for _, vs, part in lab.shares(variants, n)]
                self.assertEqual(sorted(sum(parts, [])), sorted(whole))

    def test_boots_of_a_vendor(self):
        """What one boot saw, and what another did not reach, are the vendor's together."""
        self.boot("rust", "ours_test", 0)
        other = lab.Run("/dev/null", "amd")
        other.errors.append("the machine printed nothing")
        self.machine.ended, other.ended = self.machine.started + 1, self.machine.started + 5
        together = lab.Boots([(self.machine, [("rust", "ours_test")]), (other, [("c", "ours_test")]), (None, [])])
        report = lab.Report()
        with contextlib.redirect_stdout(io.StringIO()):
            lab.judge(report, self.manifest, together, ["rust", "c"], [], "6.12 amd")
        self.assertEqual((report.passed, report.failed), (1, 2))
        self.assertEqual(round(together.took), 5)

    def test_hang(self):
        machine = Silent([b"@@ loaded rust\n@@ begin ours_test\nlast word\n"], ends=False)
        run = lab.Run("/dev/null", "amd", silence=0.1)
        run.run(machine)
        self.assertTrue(machine.killed)
        self.assertIn("last words: last word", run.errors)
        self.assertIn("VMFAIL: a reason", run.errors)

    def test_end_before_the_plan(self):
        run = lab.Run("/dev/null", "amd")
        run.run(Silent([b"@@ loaded rust\n"], ends=True))
        self.assertIn("the machine ended before its plan", run.errors)

    def test_end(self):
        run = lab.Run("/dev/null", "amd")
        run.run(Silent([b"@@ loaded rust\n@@ done\n"], ends=False))
        self.assertEqual(run.errors, [])

    def table(self):
        report, out = lab.Report(), io.StringIO()
        with contextlib.redirect_stdout(out):
            lab.table(report, {"amd": self.manifest}, {"amd": self.machine.results}, [])
        return report.failed, out.getvalue()

    def test_table(self):
        self.boot("rust", "ours_test", 0)
        self.boot("before-x", "ours_test", 1, "not ok 2 fixture.case")
        failed, text = self.table()
        # Four pieces have no test.
        self.assertEqual(failed, 4)
        self.assertRegex(text, r"kick +amd +ours_test +x +fails: 1 case +not run +pass")


if __name__ == "__main__":
    unittest.main()
