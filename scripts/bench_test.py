#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The rules of make bench, on samples made up for it: what must fail does; and what a path's reader sees."""

import json
import pathlib
import sys
import tempfile
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import bench  # noqa: E402
import bench_report  # noqa: E402
import paths  # noqa: E402

MEASURES = {
    "cost": {"id": "cost", "number": 7, "title": "A cost", "unit": "instructions", "text": "It costs.", "bound": "c",
             "margin": 0.5},
    "paid": {"id": "paid", "number": 6, "title": "A cost with a reason", "unit": "instructions", "text": "Why.",
             "bound": "c", "margin": 0.5, "known": [{"most": 3, "why": "a call that C has inlined"}]},
    "rate": {"id": "rate", "number": 1, "title": "A <rate>", "unit": "per second", "text": "How often.", "bound": 0,
             "margin": 30},
    "work": {"id": "work", "number": 1, "title": "Work", "unit": "%", "text": "How much.", "margin": 30,
             "better": "higher"},
}


def samples():
    return {("cost", "amd"): {"before": [120.0], "c": [100.0, 100.0, 130.0], "rust": [100.0, 99.0]},
            ("paid", "amd"): {"before": [10.0], "c": [10.0], "rust": [12.0]},
            ("rate@4", "amd"): {"before": [5e5], "c": [4e5], "rust": [0.0]},
            ("work", "amd"): {"before": [10.0], "c": [20.0], "rust": [100.0]}}


class Rules(unittest.TestCase):
    def setUp(self):
        self.samples = samples()

    def results(self):
        return bench.collect(self.samples, MEASURES)

    def problems(self, absent=()):
        return bench.problems(self.results(), MEASURES, set(absent), "6.12")

    def test_all_is_well(self):
        bad, known = self.problems()
        self.assertEqual(bad, [])
        self.assertEqual(len(known), 1)
        self.assertIn("(+2): a call that C has inlined", known[0])

    def test_one_instruction_more_than_c_fails(self):
        self.samples["cost", "amd"]["rust"] = [101.0]
        self.assertIn("cost, amd: Rust 101, at most 100 instructions (+1)", self.problems()[0])

    def test_a_reason_explains_no_more_than_it_says(self):
        self.samples["paid", "amd"]["rust"] = [13.0]
        self.assertEqual(self.problems()[0], [])
        self.samples["paid", "amd"]["rust"] = [14.0]
        self.assertEqual(self.problems(), (["paid, amd: Rust 14, at most 10 instructions (+4): more than the +3 that is known"],
                                           []))

    def test_a_reason_of_another_line_is_none(self):
        with unittest.mock.patch.dict(MEASURES["paid"], known=[{"on": "7.", "most": 3, "why": "a call"}]):
            self.assertEqual(len(self.problems()[0]), 1)
            self.assertEqual(bench.problems(self.results(), MEASURES, set(), "7.2")[0], [])

    def test_a_timer_in_one_sample_does_not(self):
        self.samples["cost", "amd"]["rust"] = [5000.0, 5000.0, 100.0]
        self.assertEqual(self.problems()[0], [])

    def test_a_bound_of_zero(self):
        self.samples["rate@4", "amd"]["rust"] = [1.0]
        self.assertEqual(len(self.problems()[0]), 1)

    def test_a_missing_variant_fails(self):
        del self.samples["work", "amd"]["c"]
        self.assertIn("work, amd: nothing measured of c", self.problems()[0])
        self.assertEqual(self.problems([("work", "amd", "c")])[0], [])
        # Rust can't be excused.
        del self.samples["work", "amd"]["rust"]
        self.assertEqual(len(self.problems([("work", "amd", "c"), ("work", "amd", "rust")])[0]), 1)

    def test_samples_are_kept_raw(self):
        cost = next(r for r in self.results() if r["measure"] == "cost" and r["variant"] == "c")
        self.assertEqual((cost["samples"], cost["median"]), ([100.0, 100.0, 130.0], 100.0))

    def compare(self, change):
        base = {"results": self.results()}
        change(self.samples)
        return bench.compare(base, self.results(), MEASURES)

    def test_nothing_changed(self):
        lines, bad = self.compare(lambda s: None)
        self.assertEqual((len(lines), bad), (4, []))

    def test_a_regression_fails(self):
        _, bad = self.compare(lambda s: s["cost", "amd"].update(rust=[100.0]))
        self.assertEqual(len(bad), 1)
        _, bad = self.compare(lambda s: s["rate@4", "amd"].update(rust=[1.0]))
        self.assertEqual(len(bad), 1)

    def test_more_work_is_no_regression_and_less_is(self):
        _, bad = self.compare(lambda s: s["work", "amd"].update(rust=[200.0]))
        self.assertEqual(bad, [])
        _, bad = self.compare(lambda s: s["work", "amd"].update(rust=[60.0]))
        self.assertEqual(len(bad), 1)

    def test_within_the_margin(self):
        self.samples["work", "amd"]["rust"] = [100.0]
        _, bad = self.compare(lambda s: s["work", "amd"].update(rust=[75.0]))
        self.assertEqual(bad, [])

    def test_what_is_measured_no_more_fails(self):
        _, bad = self.compare(lambda s: s.pop(("work", "amd")))
        self.assertEqual(bad, ["work, amd: was measured, and is no more"])

    def test_a_base_that_is_none(self):
        with tempfile.TemporaryDirectory() as d:
            path = pathlib.Path(d) / "base.json"
            self.assertIsNone(bench.read_base(path))
            for text in ("{", "[]", '{"results": [{"measure": "x"}]}'):
                path.write_text(text)
                with self.assertRaisesRegex(SystemExit, "not a bench.json"):
                    bench.read_base(path)
            path.write_text(json.dumps({"results": self.results()}))
            self.assertEqual(len(bench.read_base(path)["results"]), 12)


class Serial(unittest.TestCase):
    def read(self, *lines):
        reader = bench.Reader("/dev/null", "amd", 1)
        for line in ("@@ loaded rust", "@@ begin costs:x", *lines):
            reader.line(line)
        return reader

    def test_samples_of_the_variant(self):
        reader = self.read("@@ sample cost@4 17", "@@ sample cost@4 18", "@@ absent other SVM has none", "@@ end costs:x 0")
        self.assertEqual(reader.samples, {("cost@4", "rust"): [17.0, 18.0]})
        self.assertEqual(reader.absent, {("other", "rust"): "SVM has none"})
        self.assertEqual([(v, n, t.rc) for v, n, t in reader.ran], [("rust", "costs:x", 0)])

    def test_a_program_that_fails_is_seen(self):
        self.assertEqual(self.read("@@ end costs:x 254").ran[0][2].verdict, "fail")
        self.assertEqual(self.read("@@ end costs:x 137").ran[0][2].verdict, "timeout")
        self.assertEqual(self.read("WARNING: CPU: 0", "@@ end costs:x 0").ran[0][2].verdict, "kernel trouble")

    def test_one_that_does_not_end_is_not_among_them(self):
        self.assertEqual(self.read("@@ sample cost 17").ran, [])


class Report(unittest.TestCase):
    def setUp(self):
        results = bench.collect(samples(), MEASURES)
        self.bench = {"kernel": "6.12", "date": "2026-01-01", "rounds": 3, "tools": {"clang": "19"},
                      "command": "make bench", "results": results,
                      "absent": [{"measure": "cost@4", "vendor": "intel", "variant": "before", "why": "it hangs"}]}
        self.known = bench.problems(results, MEASURES, set(), "6.12")[1]
        self.page = bench_report.html(self.bench, MEASURES, self.known)

    def test_every_measure_and_every_median(self):
        for m in MEASURES.values():
            self.assertIn(m["title"].replace("<", "&lt;").replace(">", "&gt;"), self.page)
        for r in self.bench["results"]:
            self.assertIn(f"<td>{bench_report.number(r['median'])}</td>", self.page)
        self.assertEqual(self.page.count("<svg"), 4)

    def test_what_is_not_there(self):
        self.assertIn("No cost of defects put back on Intel (VMX): it hangs.", self.page)

    def test_where_rust_is_more(self):
        self.assertIn("a call that C has inlined", self.page)
        self.assertIn('class="more"', self.page)

    def test_nothing_from_elsewhere(self):
        self.assertNotIn("<script", self.page)
        self.assertNotIn("src=", self.page)
        # A link may only lead into the page; names of XML's are none.
        self.assertNotRegex(self.page, r'href="(?!#)')


class Paths(unittest.TestCase):
    LOG = """----------------
IN: 
0x00001000:  55                       pushq    %rbp
0x00001001:  f0 83 00 01              lock addl $1, (%rax)
0x00001005:  e8 f6 0f 00 00           callq    0x2000
----------------
IN: 
0x00002000:  87 07                    xchgl    %eax, (%rdi)
0x00002002:  e9 f9 0f 00 00           jmp      0x3000
----------------
IN: 
0x00003000:  87 c1                    xchgl    %eax, %ecx
0x00003002:  c3                       retq
----------------
IN: 
0x0000100a:  c3                       retq
"""

    def follow(self, function, *executed):
        calls = paths.Calls(function)
        calls.symbols.load([(0x1000, "caller"), (0x2000, "kick"), (0x3000, "tail"), (0x9000, "x_4tell4read")])
        for line in self.LOG.splitlines():
            calls.line(line.encode())
        for cpu, address in executed:
            calls.line(f"Trace {cpu}: 0x7f00 [00000000/{address:016x}/00c0/ff00] ".encode())
        return [(mark, c.count, c.locked, dict(c.by_function)) for mark, c in calls.done]

    def test_a_call_up_to_its_return(self):
        # With who it jumps to; XCHG of registers locks nothing.
        self.assertEqual(self.follow("kick", (0, 0x1000), (0, 0x2000), (0, 0x3000), (0, 0x100A)),
                         [(-1, 4, 1, {"kick": 2, "tail": 2})])

    def test_another_cpu_between(self):
        self.assertEqual(self.follow("kick", (0, 0x1000), (0, 0x2000), (1, 0x3000), (0, 0x3000), (0, 0x100A))[0][1], 4)

    def test_one_that_was_jumped_to(self):
        self.assertEqual(self.follow("tail", (0, 0x1000), (0, 0x2000), (0, 0x3000), (0, 0x100A)),
                         [(-1, 2, 0, {"tail": 2})])

    def test_one_that_does_not_return_is_not_counted(self):
        self.assertEqual(self.follow("kick", (0, 0x1000), (0, 0x2000), (0, 0x3000)), [])


class Plan(unittest.TestCase):
    def test_of_the_repository(self):
        runs, measures = bench.load_plan(bench.lab.PROJECT / "selftests/bench.toml")
        self.assertTrue(runs and measures)
        self.assertEqual({m["number"] for m in measures.values()}, {1, 2, 3, 4, 5, 6, 7, 9})

    def test_each_variant_in_turn(self):
        lines = bench.plan_lines([{"program": "p", "seconds": 9, "args": ["a 1"]}], 2)
        self.assertEqual(lines, [line for _ in range(2) for v in bench.VARIANTS for line in
                                 (f"load {v}", "test p 9 a 1", f"unload {v}")])


if __name__ == "__main__":
    unittest.main()
