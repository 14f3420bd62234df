#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""bench.py LINE KERNEL DIR OUT NAME=MODULES... - measures the defects, pristine C and Rust, side by side.

Boots the machines that selftests/bench.toml names, loads each set of modules in turn, several rounds, and
collects what its programs print. Writes OUT/bench.json and OUT/bench.html, prints a table, and fails where a
program failed, a measure is missing, a bound is exceeded without a reason, or, with OUT/base.json there, where a
measure of Rust's got worse by more than its margin. In the environment: VENDOR, ROUNDS, ONLY (numbers of
measures). OUT/built has what scripts/bench measured of the build. Runs in the sysroot.
"""

import concurrent.futures
import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tomllib

import lab
import paths
from machines import Bochs, CountingQemu, Qemu

VARIANTS = ["before", "c", "rust"]
# Which machine, whose vendor, and how many of its names exist: the two that count run at the same time.
MACHINES = {"count": (CountingQemu, "amd"), "intel": (Bochs, "intel"), "rate": (Qemu, "amd")}
SILENCE = 60


def load_plan(path):
    """The runs, and the measures by id."""
    with open(path, "rb") as f:
        plan = tomllib.load(f)
    for m in plan["measure"]:
        missing = {"id", "number", "title", "unit", "text", "margin"} - m.keys()
        if missing:
            sys.exit(f"error: {path}: measure {m.get('id', '?')}: no {', '.join(sorted(missing))}")
    for r in plan["run"]:
        if r["machine"] not in MACHINES:
            sys.exit(f"error: {path}: no such machine: {r['machine']}")
    return plan["run"], {m["id"]: m for m in plan["measure"]}


class Reader(lab.Run):
    """A boot, and the samples in what its programs print."""

    def __init__(self, log, vendor, silence):
        super().__init__(log, vendor, silence)
        self.samples, self.absent, self.ran = {}, {}, []

    def line(self, text):
        words = text.split()
        if words[:2] == ["@@", "sample"] and len(words) == 4:
            self.samples.setdefault((words[2], self.variant), []).append(float(words[3]))
        elif words[:2] == ["@@", "absent"] and len(words) > 3:
            self.absent[words[2], self.variant] = " ".join(words[3:])
        else:
            test = self.test
            super().line(text)
            if words[:2] == ["@@", "end"] and test:
                self.ran.append((self.variant, words[2], test))


def plan_lines(runs, rounds):
    """What the machine is to do: each variant in turn, and that several times."""
    lines = []
    for _ in range(rounds):
        for v in VARIANTS:
            lines.append(f"load {v}")
            lines += [f"test {r['program']} {r['seconds']} {a}" for r in runs for a in r["args"]]
            lines.append(f"unload {v}")
    return lines


def boot(machine, kernel, directory, out, variants, runs, rounds):
    """Boots one machine; the errors say what went wrong there."""
    kind, vendor = MACHINES[machine]
    lines = plan_lines(runs, rounds)
    place = out / machine
    place.mkdir(exist_ok=True)
    image = lab.initramfs(directory, vendor, variants, lines, {r["program"] for r in runs}, place)
    run = Reader(out / f"{machine}.log", f"bench: {machine}", max(r["seconds"] for r in runs) + SILENCE)
    run.run(kind(kernel, image, "loglevel=5", place))
    for variant, name, result in run.ran:
        if result.rc != 0 or result.trouble:
            run.errors.append(f"{variant}: {name}: {result.verdict} {' '.join((result.trouble or result.output[-3:]))}")
    expected = sum(line.startswith("test ") for line in lines)
    if len(run.ran) != expected:
        run.errors.append(f"{expected - len(run.ran)} of {expected} programs did not end")
    return run


def ordered(key, measures):
    """By the list's number, then as in bench.toml, then by the number of vCPUs."""
    (name, vcpus), vendor = split(key[0]), key[1]
    return measures[name]["number"], list(measures).index(name), vendor, vcpus


def split(measure):
    name, _, vcpus = measure.partition("@")
    return name, int(vcpus or 0)


def collect(samples, measures):
    """The results, of {(measure, vendor): {variant: [samples]}}."""
    results = []
    for key in sorted(samples, key=lambda k: ordered(k, measures)):
        for v in VARIANTS:
            values = samples[key].get(v)
            if values:
                results.append({"measure": key[0], "variant": v, "vendor": key[1],
                                "unit": measures[split(key[0])[0]]["unit"], "samples": values,
                                "median": statistics.median(values)})
    return results


def medians(results):
    """{(measure, vendor): {variant: median}}"""
    table = {}
    for r in results:
        table.setdefault((r["measure"], r["vendor"]), {})[r["variant"]] = r["median"]
    return table


def figures(results, measures):
    """What a bound holds for: the median; of a path through the machine the least,
    which no timer interrupted."""
    table = {}
    for r in results:
        m = measures[split(r["measure"])[0]]
        exact = m["unit"] == "instructions" and m["number"] != 5
        table.setdefault((r["measure"], r["vendor"]), {})[r["variant"]] = min(r["samples"]) if exact else r["median"]
    return table


def problems(results, measures, absent, line):
    """What the figures must be, and are not; and what exceeds a bound for a reason that is known."""
    bad, known = [], []
    for (measure, vendor), row in figures(results, measures).items():
        m = measures[split(measure)[0]]
        missing = [v for v in VARIANTS if v not in row and (measure, vendor, v) not in absent]
        if missing or "rust" not in row:
            bad.append(f"{measure}, {vendor}: nothing measured of {', '.join(missing)}")
            continue
        bound = m.get("bound")
        most = row["c"] if bound == "c" else bound
        if most is None or row["rust"] <= most:
            continue
        what = f"{measure}, {vendor}: Rust {number(row['rust'])}, at most {number(most)} {m['unit']}"
        if bound == "c":
            what += f" ({row['rust'] - row['c']:+.0f})"
        reasons = [k for k in m.get("known", []) if line.startswith(k.get("on", ""))]
        if not reasons:
            bad.append(what)
        elif row["rust"] - most > max(k["most"] for k in reasons):
            bad.append(f"{what}: more than the +{max(k['most'] for k in reasons)} that is known")
        else:
            known.append(f"{what}: {reasons[0]['why']}")
    return bad, known


def compare(base, results, measures):
    """How Rust's medians changed against an earlier run: lines to print, and which are regressions."""
    old, new = medians(base["results"]), medians(results)
    lines, bad = [], []
    for key, row in old.items():
        name = split(key[0])[0]
        if "rust" not in row:
            continue
        if name not in measures or "rust" not in new.get(key, {}):
            bad.append(f"{key[0]}, {key[1]}: was measured, and is no more")
            continue
        m, was, now = measures[name], row["rust"], new[key]["rust"]
        change = (now - was) * 100 / was if was else (0 if now == was else float("inf"))
        lines.append((key[0], key[1], number(was), number(now), f"{change:+.2f} %"))
        worse = -change if m.get("better", "lower") == "higher" else change
        if m.get("better") != "none" and worse > m["margin"]:
            bad.append(f"{key[0]}, {key[1]}: {number(was)} before, {number(now)} now: "
                       f"{change:+.2f} %, margin {m['margin']} %")
    return lines, bad


def number(x):
    if x == int(x):
        return f"{int(x):,}"
    return f"{x:,.2f}" if abs(x) < 100 else f"{x:,.0f}"


def ratio(row):
    c, rust = row.get("c"), row.get("rust")
    if c is None or rust is None:
        return "-"
    return f"{rust / c:.3f}" if c else ("1.000" if rust == 0 else "-")


def columns(rows):
    widths = [max(len(r[k]) for r in rows) for k in range(len(rows[0]))]
    return ["  ".join(c.ljust(w) if k < 2 else c.rjust(w) for k, (c, w) in enumerate(zip(r, widths))).rstrip()
            for r in rows]


def table(results, measures):
    rows = [("measure", "vendor", "unit", "before", "C", "Rust", "Rust/C")]
    for (measure, vendor), row in medians(results).items():
        rows.append((measure, vendor, measures[split(measure)[0]]["unit"],
                     *(number(row[v]) if v in row else "-" for v in VARIANTS), ratio(row)))
    return columns(rows)


def tools():
    """Of the sysroot, what has a say in the figures."""
    versions = {}
    for name, command in {"clang": "clang --version", "rustc": "rustc --version", "qemu":
                          "qemu-system-x86_64 --version", "bochs": "dpkg-query -Wf ${Version} bochs"}.items():
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
        versions[name] = (done.stdout.splitlines() or ["?"])[0]
    return versions


def read_base(path):
    """An earlier bench.json, or None where there is none to compare with."""
    if not path.exists():
        return None
    try:
        base = json.loads(path.read_text())
        for r in base["results"]:
            _ = r["measure"], r["vendor"], r["variant"], r["median"] + 0
        return base
    except (ValueError, KeyError, TypeError) as e:
        sys.exit(f"error: BASE: not a bench.json of make bench: {type(e).__name__}: {e}")


def built(path):
    """What scripts/bench measured of the build: lines 'MEASURE VARIANT VALUE'."""
    samples = {}
    if path.exists():
        for measure, variant, value in (line.split() for line in path.read_text().splitlines()):
            samples.setdefault((measure, "both"), {}).setdefault(variant, []).append(float(value))
    return samples


def measure_all(kernel, directory, out, variants, runs, wanted, rounds, vendors):
    """Every boot: the samples, what a machine can't show, and what went wrong."""
    samples, absent, errors = {}, {}, []
    boots = {m: [r for r in runs if r["machine"] == m] for m in MACHINES}
    jobs = {}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for m in ("count", "intel"):
            if boots[m]:
                jobs[m] = pool.submit(boot, m, kernel, directory, out, variants, boots[m], rounds)
    if boots["rate"]:
        # Alone: it measures time.
        done = concurrent.futures.Future()
        done.set_result(boot("rate", kernel, directory, out, variants, boots["rate"], rounds))
        jobs["rate"] = done
    for m, job in jobs.items():
        run = job.result()
        absent.update({(i, MACHINES[m][1], v): why for (i, v), why in run.absent.items()})
        errors += [f"{m}: {e}" for e in run.errors]
        for (measure, variant), values in run.samples.items():
            samples.setdefault((measure, MACHINES[m][1]), {})[variant] = values
    if 5 in wanted and "amd" in vendors:
        counted, lost = paths.kicks(kernel, directory, out, variants)
        errors += lost
        for (measure, variant), values in counted.items():
            samples.setdefault((measure, "amd"), {})[variant] = values
    return samples, absent, errors


def main():
    line, kernel, directory, out = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3]), pathlib.Path(sys.argv[4])
    variants = {a.split("=")[0]: pathlib.Path(a.split("=")[1]) for a in sys.argv[5:]}
    runs, measures = load_plan(lab.PROJECT / "selftests/bench.toml")
    vendor, rounds = os.environ.get("VENDOR", "both"), int(os.environ.get("ROUNDS", "3"))
    wanted = {int(n) for n in re.findall(r"\d+", os.environ.get("ONLY", ""))} or set(range(1, 10))
    # How 1 and 6 grow is measured with them.
    wanted |= {1, 6} if 8 in wanted else set()
    base = read_base(out / "base.json")
    runs = [r for r in runs if vendor in ("both", MACHINES[r["machine"]][1])]
    runs = [{**r, "args": [a for a in r["args"] if wanted & numbers_of(r, a)]} for r in runs]
    vendors = [v for v in ("amd", "intel") if vendor in ("both", v)]
    samples, absent, errors = measure_all(kernel, directory, out, variants, [r for r in runs if r["args"]],
                                          wanted, rounds, vendors)
    samples.update(built(out / "built"))
    unknown = sorted({s[0] for s in samples if split(s[0])[0] not in measures})
    errors += [f"{s}: measured, but not in selftests/bench.toml" for s in unknown]
    samples = {k: v for k, v in samples.items() if split(k[0])[0] in measures and
               measures[split(k[0])[0]]["number"] in wanted}
    results = collect(samples, measures)
    version = (pathlib.Path(kernel) / "include/config/kernel.release").read_text().strip()
    asked = "".join(f" {k}='{v}'" for k in ("VENDOR", "ROUNDS", "ONLY") if (v := os.environ.get(k)))
    bench = {"kernel": version, "line": line, "date": datetime.date.today().isoformat(), "tools": tools(),
             "command": f"make bench KERNEL={line}{asked}", "rounds": rounds, "results": results,
             "absent": [{"measure": m, "vendor": v, "variant": x, "why": why} for (m, v, x), why in absent.items()]}
    (out / "bench.json").write_text(json.dumps(bench, indent=1) + "\n")
    if base:
        base["results"] = [r for r in base["results"] if r["vendor"] in (*vendors, "both") and
                           measures.get(split(r["measure"])[0], {"number": 1})["number"] in wanted]
    report(bench, measures, out, errors, base)


def numbers_of(run, args):
    """Which numbered measures a program's arguments serve."""
    return set(run.get("numbers", {}).get(args.split()[0], range(1, 10)))


def report(bench, measures, out, errors, base):
    import bench_report  # pylint: disable=import-outside-toplevel # matplotlib takes seconds to load

    print("\n".join(table(bench["results"], measures)))
    absent = {(a["measure"], a["vendor"], a["variant"]) for a in bench["absent"]}
    bad, known = problems(bench["results"], measures, absent, bench["line"])
    for text in known:
        print(f"known {text}")
    if base:
        lines, worse = compare(base, bench["results"], measures)
        print(f"\nRust against {base.get('date', '?')}, Linux {base.get('kernel', '?')}:")
        print("\n".join(columns([("measure", "vendor", "before", "now", "change"), *lines])))
        bad += worse
    (out / "bench.html").write_text(bench_report.html(bench, measures, known, [*errors, *bad]))
    for text in [*errors, *bad]:
        print(f"FAIL  {text}")
    print(f"# {bench['line']}: bench: {len(medians(bench['results']))} measures, {len(errors) + len(bad)} failed; "
          f"build/bench/bench.json, build/bench/bench.html")
    sys.exit(1 if errors or bad or not bench["results"] else 0)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
