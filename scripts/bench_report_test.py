#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The report of make bench, on figures made up for it: nothing is left out, and nothing comes from elsewhere."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import bench  # noqa: E402
import bench_report  # noqa: E402

PLAN = """
[[run]]
machine = "count"
program = "event_costs"
args = ["all"]
seconds = 9
"""
for _id, _number, _unit, _more in [("way.short", 7, "instructions", 'bound = "c"'),
                                   ("way.long", 7, "instructions", 'bound = "c"\nknown = [{most = 9, why = "a call & a <return>"}]'),
                                   ("way.grows", 6, "instructions", 'bound = "c"'),
                                   ("kick.locked", 5, "locked", "bound = 0"), ("share", 1, "% of alone", ""),
                                   ("size", 9, "bytes", "")]:
    PLAN += f"""
[[measure]]
id = "{_id}"
number = {_number}
title = "Title of {_id} < & >"
unit = "{_unit}"
margin = 1
text = "What {_id} is."
{_more}
"""
NAMESPACES = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def samples():
    """Rust no more than C anywhere; to be made worse."""
    found = {("way.short", v): {"before": [30000.0], "c": [20000.0, 20000.0, 21000.0],
                                "rust": [20000.0, 19990.0, 19999.0]} for v in ("amd", "intel")}
    found["way.long", "amd"] = {"before": [10.0], "c": [10.0], "rust": [9.0]}
    for n in (1, 2, 16):
        found[f"way.grows@{n}", "intel"] = {"c": [1000.0 + n], "rust": [1000.0 + n]}
    found["kick.locked", "amd"] = {"before": [1.0], "c": [0.0], "rust": [0.0]}
    found["share", "amd"] = {"before": [1.25], "c": [99.5], "rust": [100.0]}
    found["size", "both"] = {"before": [1000.0], "c": [1000.0], "rust": [1010.0]}
    return found


class Files(unittest.TestCase):
    """Through the files, as a reader of an earlier run has them."""

    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = pathlib.Path(place.name)
        (self.place / "bench.toml").write_text(PLAN)
        self.measures = bench.load_plan(self.place / "bench.toml")[1]
        self.samples = samples()
        self.bench = {"kernel": "6.12.99-x", "line": "6.12", "date": "2026-01-02", "rounds": 3,
                      "tools": {"clang": "clang <19>", "rustc": "rustc 1.85"}, "command": "make bench KERNEL=6.12",
                      "absent": [{"measure": f"way.grows@{n}", "vendor": "intel", "variant": "before",
                                  "why": "it hangs"} for n in (1, 2, 16)]}

    def call(self, *args):
        return subprocess.run([sys.executable, bench_report.__file__, *map(str, args)], capture_output=True,
                              text=True, check=False)

    def written(self):
        """The page, by the program."""
        self.bench["results"] = bench.collect(self.samples, self.measures)
        (self.place / "bench.json").write_text(json.dumps(self.bench))
        done = self.call(*(self.place / n for n in ("bench.json", "bench.toml", "out.html")))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return (self.place / "out.html").read_text()

    def page(self):
        """The same, quicker."""
        self.bench["results"] = bench.collect(self.samples, self.measures)
        absent = {(a["measure"], a["vendor"], a["variant"]) for a in self.bench["absent"]}
        bad, known = bench.problems(self.bench["results"], self.measures, absent, "6.12")
        return bench_report.html(self.bench, self.measures, known, bad)

    def row(self, page, measure, vendor):
        """The table's cells: unit, before, C, Rust, Rust/C."""
        found = re.findall(rf"<tr><td>{re.escape(measure)}</td><td>{vendor}</td>(.*?)</tr>", page)
        self.assertEqual(len(found), 1, measure)
        return re.findall(r"<td[^>]*>(.*?)</td>", found[0]), 'class="more"' in found[0]


class Content(Files):
    def test_the_program_writes_what_make_bench_does(self):
        self.samples["way.short", "amd"]["rust"] = self.samples["way.long", "amd"]["rust"] = [20001.0]
        # Matplotlib's names of the parts are the same, given the same parts.
        self.assertEqual(self.written(), self.page())

    def test_every_measure(self):
        page = self.page()
        for measure, vendor in self.samples:
            self.row(page, measure, vendor)
        for m in self.measures.values():
            self.assertIn(f"Title of {m['id']} &lt; &amp; &gt;", page)
            self.assertIn(f"What {m['id']} is.", page)
        self.assertEqual(self.row(page, "way.short", "intel")[0],
                         ["instructions", "30,000", "20,000", "19,999", "1.000"])
        self.assertEqual(self.row(page, "share", "amd")[0], ["% of alone", "1.25", "99.50", "100", "1.005"])
        self.assertEqual(self.row(page, "way.grows@16", "intel")[0], ["instructions", "-", "1,016", "1,016", "1.000"])

    def test_how_it_was_measured(self):
        page = self.page()
        for text in ("6.12.99-x", "2026-01-02", "3 rounds", "clang: clang &lt;19&gt;", "rustc: rustc 1.85",
                     "<code>make bench KERNEL=6.12</code>", "icount", "Bochs", "wall time"):
            self.assertIn(text, page)

    def test_what_a_machine_cannot_show_is_said_once(self):
        self.assertEqual(self.page().count("No way.grows of defects put back on Intel (VMX): it hangs."), 1)

    def test_a_plot_for_each(self):
        page = self.page()
        plots = re.findall(r"<svg.*?</svg>", page, re.S)
        self.assertEqual(len(plots), len(self.measures))
        texts = []
        for plot in plots:
            root = xml.etree.ElementTree.fromstring(plot)
            texts.append([e.text.strip() for e in root.iter("{http://www.w3.org/2000/svg}text") if e.text])
        grows = [t for t in texts if "vCPUs" in t]
        self.assertEqual(len(grows), 1)
        self.assertLessEqual({"1", "2", "16", "Intel (VMX)", "instructions", "C", "Rust"}, set(grows[0]))
        short = next(t for t in texts if "30,000" in t)
        self.assertLessEqual({"AMD (SVM)", "Intel (VMX)", "20,000", "instructions"}, set(short))

    def test_a_scale_is_in_full_numbers_and_has_room(self):
        self.samples["size", "both"] = {v: [1704079.0] for v in bench.VARIANTS}
        page = self.page()
        self.assertNotIn("1e6", page)
        self.assertIn(">1,500,000<", page)
        figure, axes = bench_report.pyplot.subplots()
        self.addCleanup(bench_report.pyplot.close, figure)
        for most, top in ((1000.0, 1150.0), (0.0, 1.0)):
            bench_report.scale(axes.yaxis, [{"c": [most]}, {"rust": [0.0]}])
            self.assertEqual(axes.get_ylim()[0], 0)
            self.assertAlmostEqual(axes.get_ylim()[1], top)

    def test_nothing_from_elsewhere(self):
        page = self.page()
        self.assertLessEqual(set(re.findall(r"\w+://[^\"'<>\s]*", page)), NAMESPACES)
        # XML's names of its vocabularies are nothing that is loaded.
        self.assertNotRegex(re.sub(r'xmlns(:\w+)?="[^"]*"', "", page), "://")
        self.assertNotRegex(page, r'(?i)<(script|link|iframe|img|object|embed|base)\b|@import|\bsrc\s*=')
        self.assertNotRegex(page, r'href="(?!#)|url\((?!#)')


class More(Files):
    def test_nowhere(self):
        page = self.page()
        for text in ("Where Rust executes more", "What fails", 'class="more"'):
            self.assertNotIn(text, page)

    def test_for_a_reason(self):
        self.samples["way.long", "amd"]["rust"] = [12.0]
        page = self.page()
        self.assertIn("<h3>Where Rust executes more than C</h3><ul><li>way.long, amd: Rust 12, at most 10 instructions "
                      "(+2): a call &amp; a &lt;return&gt;</li></ul>", page)
        self.assertNotIn("What fails", page)

    def test_for_none(self):
        # Too little for the ratio to show.
        self.samples["way.short", "intel"]["rust"] = [20001.0]
        page = self.page()
        self.assertIn("<h3>What fails</h3><ul><li>way.short, intel: Rust 20,001, at most 20,000 instructions (+1)</li>"
                      "</ul>", page)
        self.assertNotIn("Where Rust executes more", page)
        self.assertEqual(self.row(page, "way.short", "intel"),
                         (["instructions", "30,000", "20,000", "20,001", "1.000"], True))
        self.assertFalse(self.row(page, "way.short", "amd")[1])

    def test_with_many_vcpus(self):
        self.samples["way.grows@16", "intel"]["rust"] = [1021.0]
        page = self.page()
        self.assertIn("<li>way.grows@16, intel: Rust 1,021, at most 1,016 instructions (+5)</li>", page)
        self.assertTrue(self.row(page, "way.grows@16", "intel")[1])
        self.assertFalse(self.row(page, "way.grows@2", "intel")[1])

    def test_than_zero(self):
        self.samples["kick.locked", "amd"]["rust"] = [1.0]
        page = self.page()
        self.assertIn("<li>kick.locked, amd: Rust 1, at most 0 locked</li>", page)
        self.assertEqual(self.row(page, "kick.locked", "amd"), (["locked", "1", "0", "1", "-"], True))

    def test_where_nothing_was_measured_of_c(self):
        del self.samples["way.short", "amd"]["c"]
        page = self.page()
        self.assertIn("<li>way.short, amd: nothing measured of c</li>", page)
        self.assertFalse(self.row(page, "way.short", "amd")[1])


class Refused(Files):
    def refused(self, words, *args):
        done = self.call(*args)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, words)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertFalse((self.place / "out.html").exists())

    def changed(self, words, **change):
        self.bench["results"] = bench.collect(self.samples, self.measures)
        (self.place / "bench.json").write_text(json.dumps({**self.bench, **change}))
        self.refused(words, *(self.place / n for n in ("bench.json", "bench.toml", "out.html")))

    def test_too_few_words(self):
        self.refused("usage: bench_report.py", self.place / "bench.json")

    def test_no_such_file(self):
        self.refused("error: .*no.json: No such file", self.place / "no.json", self.place / "bench.toml",
                     self.place / "out.html")

    def test_another_json(self):
        self.changed("not a bench.json of make bench: KeyError: 'median'",
                     results=[{"measure": "share", "vendor": "amd", "variant": "c", "unit": "%", "samples": [1]}])
        self.changed("not a bench.json of make bench", results=None)
        (self.place / "bench.json").write_text("{")
        self.refused("not a bench.json of make bench: JSONDecodeError",
                     *(self.place / n for n in ("bench.json", "bench.toml", "out.html")))

    def test_another_toml(self):
        (self.place / "bad.toml").write_text("[[measure")
        self.refused("not a bench.toml", self.place / "bench.json", self.place / "bad.toml", self.place / "out.html")

    def test_a_measure_that_is_not_described(self):
        self.samples["gone", "amd"] = {"rust": [1.0]}
        self.measures["gone"] = {"number": 1, "unit": "s"}
        self.changed("not described: gone: use the bench.toml of that run")


if __name__ == "__main__":
    unittest.main()
