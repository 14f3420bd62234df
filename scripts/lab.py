#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""lab.py run|check|deep|shell LINE KERNEL DIR NAME=MODULES... - boots the test kernel on the emulated machines.

DIR holds tests/, the variants' modules (c, fixed, fixed-*, rust, before-*) and gets the initramfs, logs
and results. run: our tests and a few of the kernel's, on Rust; the tests of the five pieces on pristine C
and on the defects; the tests of upstream's faults on pristine C and on C with all fixes. check: every test
on pristine C, on fixed C and on Rust, compared, and ours on each defect put back. deep: our tests on C with
each fix alone. VENDOR in the environment: amd, intel, or both. Prints a line a test, what each piece's and
each fault's tests saw, then 'N passed, N failed, N skipped'. Runs in the sysroot.
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

from machines import MACHINES, Qemu

PROJECT = pathlib.Path("/project")
STEP = os.environ.get("STEP")  # of how many, in make run
USUAL_SECONDS = 120
OURS = set()  # our tests, of whatever vendor
SILENCE = 60  # nothing printed for that long after a test's time is up: the machine hangs
TROUBLE = re.compile(r"WARNING: |BUG: |\bOops\b|general protection fault|kernel panic|Kernel panic|"
                     r"possible (circular|recursive) locking|inconsistent lock state|suspicious RCU|"
                     r"INFO: (task|rcu)|KASAN|UBSAN|unable to handle|Call Trace:")


WHOLE = ("rust", "fixed", "c")  # no defect, and every fix or none
PIECES = ["nmi-request", "pmi", "kick", "service-order", "init-sipi"]
PARAMETER = re.compile(r"kvm(-intel|-amd)?\.\w+=\S+")


def known_lines():
    rows = (row.split() for row in (PROJECT / "scripts/lines").read_text().splitlines())
    return {row[0] for row in rows if row and not row[0].startswith("#")}


class Manifest:
    """What selftests/manifest says of one vendor and kernel line: see there."""

    def __init__(self, path, vendor, line):
        self.ours, self.quick, self.chosen, self.seconds, self.loads = {}, [], [], {}, {}
        self.every = MACHINES[vendor].every
        self.left, self.broken, self.pieces, self.spared, self.bench = {}, {}, {}, {}, []
        self.faults = {}  # by name: {test: cases that fail on pristine C}
        slower = MACHINES[vendor].slower
        last, named = None, set()

        for n, text in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
            words = text.split()
            if not words or words[0].startswith("#"):
                continue
            verb, rest = words[0], words[1:]
            verb, *only = verb.split("@")
            unknown = {*only} - {*MACHINES} - known_lines()
            if unknown:
                sys.exit(f"error: {path}:{n}: no such vendor or kernel line: {' '.join(unknown)}")
            if verb == "our":
                named.update(rest[:1])
            if not {*only} <= {vendor, line}:
                if verb == "our":
                    last = None
                continue
            if verb == "our" and len(rest) == 2:
                last = self.ours[rest[0]] = {}
                self.seconds[rest[0]] = int(rest[1]) * slower
            elif verb == "fails" and len(rest) > 1:
                # Of a test of the other vendor's: not ours to judge.
                if last is not None:
                    last.setdefault(rest[0], set()).update(rest[1:])
            elif verb == "fault" and len(rest) > 2 and (PROJECT / f"scripts/fixes/{rest[0]}.cocci").exists():
                self.faults.setdefault(rest[0], {}).setdefault(rest[1], set()).update(rest[2:])
            elif verb == "piece" and len(rest) == 3 and rest[0] in PIECES:
                self.pieces.setdefault(rest[0], []).append((rest[1], rest[2]))
            elif verb in ("kernel", "check", "bench") and len(rest) == 1:
                {"kernel": self.quick, "check": self.chosen, "bench": self.bench}[verb].append(rest[0])
            elif verb == "load" and len(rest) > 1 and all(map(PARAMETER.fullmatch, rest[1:])):
                self.loads[rest[0]] = rest[1:]
            elif verb == "seconds" and len(rest) == 2:
                self.seconds[rest[0]] = int(rest[1]) * slower
            elif verb == "spare" and len(rest) > 2:
                self.spared[rest[0], rest[1]] = " ".join(rest[2:])
            elif verb in ("leave", "broken") and len(rest) > 1:
                (self.left if verb == "leave" else self.broken)[rest[0]] = " ".join(rest[1:])
            else:
                sys.exit(f"error: {path}:{n}: what is '{text.strip()}'?")
        for fault, tests in self.faults.items():
            for test, cases in tests.items():
                if test not in named:
                    sys.exit(f"error: {path}: fault {fault}: {test} is none of ours")
                if test not in self.ours:
                    continue
                # On pristine C, and on C with any other fix alone.
                for variant in ("c", *(f"fixed-{f.stem}" for f in (PROJECT / "scripts/fixes").glob("*.cocci")
                                       if f.stem != fault)):
                    self.ours[test].setdefault(variant, set()).update(cases)
                    if variant != "c" and ("c", test) in self.spared:
                        self.spared[variant, test] = self.spared["c", test]
        for piece, pairs in self.pieces.items():
            for test, variant in pairs:
                if variant not in self.ours.get(test, {}):
                    sys.exit(f"error: {path}: piece {piece}: {test} must fail on {variant}, and no line says where")

    def limit(self, test, slower):
        return self.seconds.get(test, USUAL_SECONDS * slower)


class Result:
    """What one test did on one variant."""

    def __init__(self):
        self.rc, self.took, self.output, self.trouble = None, 0.0, [], []

    @property
    def verdict(self):
        if self.trouble:
            return "kernel trouble"
        if self.rc in (137, 143):
            return "timeout"
        return {0: "pass", 4: "skip", None: "no end"}.get(self.rc, "fail")

    @property
    def failed_cases(self):
        return {m.group(1).removeprefix("global.") for m in
                (re.match(r"not ok \d+ (?:- )?(\S+)", o) for o in self.output) if m}

    @property
    def reason(self):
        for o in self.output:
            m = re.search(r"# SKIP[\s-]*(.+)|(Requirement not met: .+|.*not supported.*)", o)
            if m:
                return (m.group(1) or m.group(2)).strip()
        return "no reason given"


def load(variant, parameters=()):
    """The line of /plan that loads a variant. Rust's kick is to warn of what it should never see."""
    if variant == "rust":
        parameters = ["kvm.warn_requestless_kick=1", *parameters]
    return " ".join(["load", variant, *parameters])


def plan(manifest, mode, variants, built, slower, part=slice(None)):
    """The lines of /plan, and which (variant, test) it runs: of each variant's tests, this part."""
    only = os.environ.get("TESTS", "").split()
    kernel = [t for t in built if t not in OURS and (t not in manifest.left or t in only) and
              (manifest.every or t in [*manifest.quick, *manifest.chosen, *only])]
    of_pieces = [(t, v) for pairs in manifest.pieces.values() for t, v in pairs]
    lines, runs = [], []
    for v in variants:
        if mode == "check" and v in WHOLE:
            tests = [*manifest.ours, *kernel]
        elif mode == "deep":
            tests = [*manifest.ours]
        elif mode == "check":
            tests = [t for t, fails in manifest.ours.items() if v in fails]
        elif v == "rust":
            tests = [*manifest.ours, *(t for t in manifest.quick if t in built)]
            # Named, any test can be run.
            tests += [t for t in only if t in built and t not in OURS and t not in tests]
        elif v in ("c", "fixed"):
            of_faults = {t for tests in manifest.faults.values() for t in tests}
            tests = [t for t in manifest.ours if t in of_faults or (v == "c" and t in (t for t, _ in of_pieces))]
        else:
            tests = [t for t in manifest.ours if (t, v) in of_pieces]
        tests = [t for t in tests if (t in only if only else (v, t) not in manifest.spared)][part]
        # All in one load, but for those that want other parameters.
        loads = [((), [t for t in tests if t not in manifest.loads])]
        loads += [(manifest.loads[t], [t]) for t in tests if t in manifest.loads]
        for parameters, loaded in loads:
            if loaded:
                lines += [load(v, parameters), *(f"test {t} {manifest.limit(t, slower)}" for t in loaded),
                          f"unload {v}"]
                runs += [(v, t) for t in loaded]
    return lines, runs


def initramfs(directory, vendor, variants, lines, tests, where=None):
    """Packs busybox, the modules, these tests and the plan; into a folder of its own, where there is one."""
    where = where or directory
    root = where / f"initramfs-{vendor}"
    shutil.rmtree(root, ignore_errors=True)
    for d in ("bin", "lib", "t", "proc", "sys", "dev", "tmp"):
        (root / d).mkdir(parents=True)
    seen = {}
    shutil.copy("/usr/bin/busybox", root / "bin/busybox")
    shutil.copy(PROJECT / "scripts/lab-init", root / "init")
    os.chmod(root / "init", 0o755)
    for t in (directory / "tests").iterdir():
        if t.suffix == ".ko":
            shutil.copy(t, root / "lib" / t.name)
            # The same module by another name, to be refused.
            (root / "lib" / t.name.replace("lab_pmu", "lab_twn")).write_bytes(
                t.read_bytes().replace(b"lab_pmu", b"lab_twn"))
        elif t.name in tests:
            shutil.copy(t, root / "t" / t.name)
    for name, modules in variants.items():
        (root / "lib" / name).mkdir()
        for m in modules.glob("*.ko"):
            if m.name in (f"kvm-{v}.ko" for v in MACHINES if v != vendor):
                continue
            # What a defect didn't change is packed once: an emulated processor unpacks it all.
            same = seen.setdefault(m.read_bytes(), root / "lib" / name / m.name)
            if same.exists():
                os.link(same, root / "lib" / name / m.name)
            else:
                shutil.copy(m, same)
    (root / "plan").write_text("\n".join(lines) + "\n")
    image = where / f"initramfs-{vendor}.cpio"
    with open(image, "wb") as out:
        names = subprocess.run(["find", "."], cwd=root, capture_output=True, check=True).stdout
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, stdout=out, check=True)
    shutil.rmtree(root)
    return image


class Run:
    """One boot: reads the serial line, knows which variant and test it belongs to."""

    def __init__(self, log, vendor, silence=SILENCE):
        self.log, self.vendor, self.silence = log, vendor, silence
        self.results, self.variant, self.test = {}, None, None
        self.started, self.kernel, self.errors, self.said = time.monotonic(), "?", [], time.monotonic()
        self.done, self.last = False, []

    def progress(self, text):
        now = time.monotonic()
        text = f"[{STEP}] {text}" if STEP else text
        if sys.stderr.isatty():
            print(f"\r  {text:<58} {now - self.started:4.0f} s\033[K", end="", file=sys.stderr, flush=True)
        elif now - self.said > 60:
            print(f"  {text} ... {now - self.started:.0f} s so far", file=sys.stderr, flush=True)
            self.said = now

    def line(self, text):
        words = text.split()
        if words:
            self.last = [*self.last[-5:], text]
        if words[:2] == ["@@", "kernel"]:
            self.kernel = words[2]
        elif words[:2] == ["@@", "loaded"]:
            self.variant = words[2]
        elif words[:2] == ["@@", "done"]:
            self.done = True
        elif words[:2] == ["@@", "failed"]:
            self.errors.append(" ".join(words[1:]))
        elif words[:2] == ["@@", "begin"]:
            self.test = self.results[self.variant, words[2]] = Result()
            self.began = time.monotonic()
            self.progress(f"lab: {self.vendor}: {self.variant}: {words[2]}")
        elif words[:2] == ["@@", "end"] and self.test:
            self.test.rc = int(words[3])
            self.test.took = time.monotonic() - self.began
            self.test = None
        else:
            if TROUBLE.search(text) and "@@" not in text:
                (self.test.trouble if self.test else self.errors).append(text.strip())
            if self.test:
                self.test.output.append(text)

    def last_words(self, machine):
        return [f"last words: {t}" for t in self.last[-3:]] + machine.hints()

    def run(self, machine):
        """Reads until the machine ends. One that says nothing for long hangs: it is ended, and its last words
        are in the errors."""
        with open(self.log, "wb") as log:
            rest, heard = b"", time.monotonic()
            while True:
                data = machine.read()
                if data == b"":
                    if not self.done:
                        self.errors += ["the machine ended before its plan", *self.last_words(machine)]
                    break
                if data is None:
                    if self.done:
                        machine.finish()
                    if time.monotonic() - heard > self.silence:
                        self.errors.append(f"the machine printed nothing for {self.silence} s: ended")
                        self.errors += self.last_words(machine)
                        break
                    time.sleep(0.05)
                    continue
                heard = time.monotonic()
                log.write(data)
                log.flush()
                *lines, rest = (rest + data).split(b"\n")
                for text in lines:
                    self.line(text.decode(errors="replace").rstrip("\r"))
        machine.kill()
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr)


class Report:
    """Counts verdicts, and prints them as they are found."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def say(self, ok, what, why=""):
        if ok is None:
            self.skipped += 1
        elif ok:
            self.passed += 1
        else:
            self.failed += 1
        word = {None: "skip", True: "ok", False: "FAIL"}[ok]
        print(f"{word:<5}{what}{': ' + why if why else ''}")


def judge_ours(report, manifest, results, variant, line):
    for test, fails in manifest.ours.items():
        r = results.get((variant, test))
        if r is None:
            continue
        what = f"{line} {variant:<8} {test:<28} {r.took:5.1f} s"
        if variant in fails:
            names = sorted(fails[variant])
            right = r.verdict == "fail" and r.failed_cases == fails[variant]
            shown = " ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            report.say(right, what, f"fails there, as it must: {shown}" if right else
                       f"must fail in {' '.join(names)}; it did {r.verdict}, "
                       f"in {' '.join(sorted(r.failed_cases)) or 'no case'}")
        elif r.verdict == "skip":
            # The lab has all that ours need: a skip would hide what it lacks.
            report.say(False, what, f"skipped: {r.reason}")
        else:
            report.say(r.verdict == "pass", what, "" if r.verdict == "pass" else
                       f"{r.verdict} {' '.join(r.trouble[:1]) or ' '.join(sorted(r.failed_cases))}")


def judge_kernel(report, manifest, results, tests, line):
    """The kernel's own tests: on fixed C what pristine C does, and on Rust what fixed C does."""
    for test in tests:
        for variant, other in (("fixed", "c"), ("rust", "fixed" if ("fixed", test) in results else "c")):
            r, than = results.get((variant, test)), results.get((other, test))
            if r is None:
                continue
            name = {"c": "pristine C", "fixed": "fixed C"}[other]
            what = f"{line} {variant:<8} {test:<28} {r.took:5.1f} s"
            if r.trouble or (than and than.trouble):
                report.say(False, what, f"kernel trouble: {' '.join((r.trouble or than.trouble)[:1])}")
            elif r.verdict == "pass":
                report.say(True, what, f"{name}: {than.verdict}" if than and than.verdict != "pass" else "")
            elif test in manifest.broken and (than is None or than.verdict != "pass"):
                report.say(None, what, f"{r.verdict}, as in {name}: {manifest.broken[test]}")
            elif r.verdict == "skip" and (than is None or than.verdict == "skip"):
                report.say(None, what, r.reason)
            else:
                report.say(False, what, f"{r.verdict}; {name}: {than.verdict if than else 'not run'}")


def seen(manifest, results, variant, test):
    """What a piece's test saw, in a word or two."""
    r = results.get((variant, test))
    if r is None:
        return "not run"
    cases = len(r.failed_cases)
    return f"fails: {cases} case{'s'[cases == 1:]}" if r.verdict == "fail" else r.verdict


def table(report, manifests, results, only):
    """The five pieces, on each vendor: the defect put back, pristine C, Rust."""
    rows = []
    for piece in PIECES:
        for vendor, manifest in manifests.items():
            pairs = [(t, v) for t, v in manifest.pieces.get(piece, []) if not only or t in only]
            if not pairs and not only:
                report.say(False, f"piece {piece}, {vendor}", "no test")
            rows += [(piece, vendor, t, v.removeprefix("before-"),
                      *(seen(manifest, results[vendor], x, t) for x in (v, "c", "rust"))) for t, v in pairs]
    show(("piece", "vendor", "test", "defect", "defect put back", "pristine C", "Rust"), rows)


def show(head, rows):
    if not rows:
        return
    widths = [max(len(r[k]) for r in (head, *rows)) for k in range(len(head))]
    print()
    for r in (head, *rows):
        print("  ".join(c.ljust(w) for c, w in zip(r, widths)).rstrip())
    print()


def fault_seen(manifest, results, variant, test, cases):
    """What a fault's cases did."""
    r = results.get((variant, test))
    if r is None:
        return "spared" if (variant, test) in manifest.spared else "not run"
    failed = len(r.failed_cases & cases)
    if failed:
        return f"fails: {failed} case{'s'[failed == 1:]}"
    return "pass" if r.verdict in ("pass", "fail") else r.verdict


def table_of_faults(manifests, results, only):
    """Upstream's faults, on each vendor: pristine C, C with the fixes, Rust."""
    show(("fault", "vendor", "test", "pristine C", "fixed C", "Rust"),
         [(fault, vendor, test, *(fault_seen(manifest, results[vendor], v, test, cases) for v in ("c", "fixed", "rust")))
          for fault in sorted({f for m in manifests.values() for f in m.faults})
          for vendor, manifest in manifests.items()
          for test, cases in sorted(manifest.faults.get(fault, {}).items())
          if test in manifest.ours and (not only or test in only)])


def shares(variants, n):
    """How a vendor's work is divided into boots, as (name, variants, part of their tests): of Rust's tests, of
    fixed and pristine C's, and of the other variants, n shares each."""
    defects = [v for v in variants if v not in WHOLE]
    for i in range(n):
        number = f"-{i + 1}" if n > 1 else ""
        yield from ((v + number, [v], slice(i, None, n)) for v in WHOLE if v in variants)
        if defects[i::n]:
            yield f"others{number}", defects[i::n], slice(None)


def boot(vendor, share, mode, kernel, directory, variants, manifest, built):
    """One boot, of one share of a vendor's work: what ran, and what was meant to."""
    kind, (name, chosen, part) = MACHINES[vendor], share
    variants = {v: variants[v] for v in chosen}
    lines, runs = plan(manifest, mode, variants, built, kind.slower, part)
    if not runs:
        return None, runs
    place = directory / "boots" / f"{vendor}-{name}"
    place.mkdir(parents=True, exist_ok=True)
    image = initramfs(directory, vendor, variants, lines, {t for _, t in runs}, place)
    longest = max(manifest.limit(t, kind.slower) for _, t in runs)
    run = Run(directory / f"{mode}-{vendor}-{name}.log", vendor, longest + SILENCE)
    run.run(kind(kernel, image, "loglevel=5", place))
    run.ended = time.monotonic()
    return run, runs


class Boots:
    """All boots of a vendor: what each saw, together."""

    def __init__(self, boots):
        ran = [run for run, _ in boots if run]
        self.runs = [r for _, runs in boots for r in runs]
        self.results = {what: result for run in ran for what, result in run.results.items()}
        self.errors = [e for run in ran for e in run.errors]
        self.kernel = ran[0].kernel if ran else "?"
        self.logs = [run.log for run in ran]
        self.took = max(run.ended for run in ran) - min(run.started for run in ran) if ran else 0


def judge(report, manifest, run, variants, built, label):
    for v in variants:
        judge_ours(report, manifest, run.results, v, label)
    judge_kernel(report, manifest, run.results, [t for t in built if t not in OURS], label)
    not_run = [f"{v}:{t}" for v, t in run.runs if (v, t) not in run.results]
    if not_run:
        report.say(False, f"{label} {len(not_run)} tests were not reached", ", ".join(not_run[:4]))
    for e in run.errors:
        report.say(False, f"{label} the machine", e)


def main():
    mode, line, kernel, directory = sys.argv[1], sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4])
    variants = {a.split("=")[0]: pathlib.Path(a.split("=")[1]) for a in sys.argv[5:]}
    manifests = {v: Manifest(PROJECT / "selftests/manifest", v, line) for v in MACHINES}
    of_bench = {t for m in manifests.values() for t in m.bench}
    built = sorted(t.name for t in (directory / "tests").iterdir() if t.suffix != ".ko" and t.name not in of_bench)
    if mode == "shell":
        image = initramfs(directory, "amd", variants, [f"{load(v)}\nshell {v}" for v in variants], built)
        os.execvp("qemu-system-x86_64", Qemu.command(kernel, image, "loglevel=4"))

    vendors = list(MACHINES) if os.environ.get("VENDOR", "both") == "both" else [os.environ["VENDOR"]]
    OURS.update(t for m in manifests.values() for t in m.ours)
    missing = [t for t in OURS if t not in built]
    if missing:
        sys.exit(f"error: in selftests/manifest, but not built: {' '.join(missing)}")
    only = os.environ.get("TESTS", "").split()
    unknown = set(only) - set(built)
    if unknown:
        sys.exit(f"error: TESTS: no such selftest: {' '.join(sorted(unknown))}")

    # More at once than there are processors: half of the time a test waits. The slow machine's first.
    with concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 1)) as pool:
        boots = {vendor: [pool.submit(boot, vendor, share, mode, kernel, directory, variants, manifests[vendor], built)
                          for share in shares(variants, MACHINES[vendor].shares)]
                 for vendor in sorted(vendors, key=lambda v: -MACHINES[v].slower)}
    report, results = Report(), {}
    for vendor in vendors:
        manifest, run = manifests[vendor], Boots([b.result() for b in boots[vendor]])
        if not run.runs:
            continue
        print(f"# Linux {run.kernel}, {MACHINES[vendor].name}, {run.took:.0f} s, "
              f"serial logs: {' '.join(str(log.relative_to(PROJECT)) for log in run.logs)}", flush=True)
        results[vendor] = run.results
        judge(report, manifest, run, variants, built, f"{line} {vendor:<5}")
        if mode == "check":
            left = {t: why for t, why in manifest.left.items() if t in built}
            if not manifest.every:
                left = {t: "of the kernel's tests, only some are run on this machine" for t in built
                        if t not in (*manifest.quick, *manifest.chosen, *OURS)}
            left.update({f"{v} {t}": why for (v, t), why in manifest.spared.items()})
            for t, why in left.items():
                report.say(None, f"{line} {vendor:<5} {t}", why)
    if not results:
        sys.exit(f"error: TESTS: {' '.join(only)}: none of them is for {' or '.join(vendors)}")
    if mode != "deep":
        table(report, {v: manifests[v] for v in results}, results, only)
        table_of_faults({v: manifests[v] for v in results}, results, only)
    print(f"# {line}: {report.passed} passed, {report.failed} failed, {report.skipped} skipped")
    counts = PROJECT / "build/counts"
    counts.mkdir(exist_ok=True)
    (counts / f"lab-{line}").write_text(f"{report.passed} {report.failed} {report.skipped}\n")
    sys.exit(1 if report.failed or not report.passed else 0)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
