#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""lab.py run|check|shell LINE KERNEL DIR - boots the test kernel on the emulated machine.

DIR holds tests/, the variants' modules (c, rust, before-*) and gets the initramfs, logs and
results. run: our tests and a few of the kernel's, on Rust. check: every test on pristine C
and on Rust, compared, and ours on each defect put back. Prints a line a test, then
'N passed, N failed, N skipped'. Runs in the sysroot.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

PROJECT = pathlib.Path("/project")
USUAL_SECONDS = 120
SILENCE = 60  # nothing printed for that long after a test's time is up: the machine hangs
TROUBLE = re.compile(r"WARNING: |BUG: |\bOops\b|general protection fault|kernel panic|Kernel panic|"
                     r"possible (circular|recursive) locking|inconsistent lock state|suspicious RCU|"
                     r"INFO: (task|rcu)|KASAN|UBSAN|unable to handle|Call Trace:")


class Manifest:
    """selftests/manifest: see there."""

    def __init__(self, path):
        self.ours, self.quick, self.seconds, self.left, self.broken = {}, [], {}, {}, {}
        for n, text in enumerate(open(path), 1):
            words = text.split()
            if not words or words[0].startswith("#"):
                continue
            verb, rest = words[0], words[1:]
            if verb == "our":
                self.ours[rest[0]] = {}
                self.seconds[rest[0]] = int(rest[1])
                last = rest[0]
            elif verb == "fails":
                self.ours[last].setdefault(rest[0], set()).update(rest[1:])
            elif verb == "kernel":
                self.quick.append(rest[0])
            elif verb == "seconds":
                self.seconds[rest[0]] = int(rest[1])
            elif verb in ("leave", "broken") and len(rest) > 1:
                (self.left if verb == "leave" else self.broken)[rest[0]] = " ".join(rest[1:])
            else:
                sys.exit(f"error: {path}:{n}: what is '{text.strip()}'?")


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


def plan(manifest, mode, variants, built):
    """The lines of /plan, and which (variant, test) it runs."""
    only = os.environ.get("TESTS", "").split()
    kernel = [t for t in built if t not in manifest.ours and (t not in manifest.left or t in only)]
    lines, runs = [], []
    for v in variants:
        if mode == "run":
            tests = [*manifest.ours, *(t for t in manifest.quick if t in built)]
        elif v in ("c", "rust"):
            tests = [*manifest.ours, *kernel]
        else:
            tests = [t for t, fails in manifest.ours.items() if v in fails]
        tests = [t for t in tests if not only or t in only]
        lines += [f"load {v}", *(f"test {t} {manifest.seconds.get(t, USUAL_SECONDS)}" for t in tests),
                  f"unload {v}"]
        runs += [(v, t) for t in tests]
    return lines, runs


def initramfs(directory, variants, lines):
    """Packs busybox, the modules, the tests and the plan."""
    root = directory / "initramfs"
    shutil.rmtree(root, ignore_errors=True)
    for d in ("bin", "lib", "t", "proc", "sys", "dev", "tmp"):
        (root / d).mkdir(parents=True)
    shutil.copy("/usr/bin/busybox", root / "bin/busybox")
    shutil.copy(PROJECT / "scripts/lab-init", root / "init")
    os.chmod(root / "init", 0o755)
    for t in (directory / "tests").iterdir():
        shutil.copy(t, root / ("lib" if t.suffix == ".ko" else "t") / t.name)
    for name, modules in variants.items():
        (root / "lib" / name).mkdir()
        for m in modules.glob("*.ko"):
            shutil.copy(m, root / "lib" / name / m.name)
    (root / "plan").write_text("\n".join(lines) + "\n")
    image = directory / "initramfs.cpio"
    with open(image, "wb") as out:
        names = subprocess.run(["find", "."], cwd=root, capture_output=True, check=True).stdout
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names, stdout=out, check=True)
    shutil.rmtree(root)
    return image


def qemu(kernel, image, append):
    return ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "EPYC,+svm,+npt", "-smp", "2",
            "-m", "4096", "-nographic", "-no-reboot", "-nic", "none", "-kernel", f"{kernel}/arch/x86/boot/bzImage",
            "-initrd", str(image), "-append", f"console=ttyS0 panic=-1 oops=panic {append}"]


class Machine:
    """One boot: reads the serial line, knows which variant and test it belongs to."""

    def __init__(self, command, log, silence=SILENCE):
        self.command, self.log, self.silence = command, log, silence
        self.results, self.variant, self.test = {}, None, None
        self.started, self.kernel, self.errors, self.said = time.monotonic(), "?", [], time.monotonic()

    def progress(self, text):
        now = time.monotonic()
        if sys.stderr.isatty():
            print(f"\r  {text:<58} {now - self.started:4.0f} s\033[K", end="", file=sys.stderr, flush=True)
        elif now - self.said > 60:
            print(f"  lab: {text} ... {now - self.started:.0f} s so far", file=sys.stderr, flush=True)
            self.said = now

    def line(self, text):
        words = text.split()
        if words[:2] == ["@@", "kernel"]:
            self.kernel = words[2]
        elif words[:2] == ["@@", "loaded"]:
            self.variant = words[2]
        elif words[:2] == ["@@", "failed"]:
            self.errors.append(" ".join(words[1:]))
        elif words[:2] == ["@@", "begin"]:
            self.test = self.results[self.variant, words[2]] = Result()
            self.began = time.monotonic()
            self.progress(f"{self.variant}: {words[2]}")
        elif words[:2] == ["@@", "end"] and self.test:
            self.test.rc = int(words[3])
            self.test.took = time.monotonic() - self.began
            self.test = None
        else:
            if TROUBLE.search(text) and "@@" not in text:
                (self.test.trouble if self.test else self.errors).append(text.strip())
            if self.test:
                self.test.output.append(text)

    def run(self):
        with open(self.log, "wb") as log, subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as machine:
            os.set_blocking(machine.stdout.fileno(), False)
            rest, heard = b"", time.monotonic()
            while True:
                data = machine.stdout.read(65536)
                if data == b"":
                    break
                if data is None:
                    if time.monotonic() - heard > self.silence:
                        self.errors.append(f"the machine printed nothing for {self.silence} s: ended")
                        machine.kill()
                        break
                    time.sleep(0.05)
                    continue
                heard = time.monotonic()
                log.write(data)
                log.flush()
                *lines, rest = (rest + data).split(b"\n")
                for text in lines:
                    self.line(text.decode(errors="replace").rstrip("\r"))
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
            right = r.verdict == "fail" and r.failed_cases == fails[variant]
            report.say(right, what, "fails there, as it must: " + " ".join(sorted(fails[variant])) if right else
                       f"must fail in {' '.join(sorted(fails[variant]))}; it did {r.verdict}, "
                       f"in {' '.join(sorted(r.failed_cases)) or 'no case'}")
        elif r.verdict == "skip":
            # The lab has all that ours need: a skip would hide what it lacks.
            report.say(False, what, f"skipped: {r.reason}")
        else:
            report.say(r.verdict == "pass", what, "" if r.verdict == "pass" else
                       f"{r.verdict} {' '.join(r.trouble[:1]) or ' '.join(sorted(r.failed_cases))}")


def judge_kernel(report, manifest, results, tests, line):
    """The kernel's own tests: on Rust what pristine C does."""
    for test in tests:
        c, rust = results.get(("c", test)), results.get(("rust", test))
        if rust is None:
            continue
        what = f"{line} rust     {test:<28} {rust.took:5.1f} s"
        if rust.trouble or (c and c.trouble):
            report.say(False, what, f"kernel trouble: {' '.join((rust.trouble or c.trouble)[:1])}")
        elif rust.verdict == "pass":
            report.say(True, what, f"pristine C: {c.verdict}" if c and c.verdict != "pass" else "")
        elif test in manifest.broken and (c is None or c.verdict != "pass"):
            report.say(None, what, f"{rust.verdict}, as in pristine C: {manifest.broken[test]}")
        elif rust.verdict == "skip" and (c is None or c.verdict == "skip"):
            report.say(None, what, rust.reason)
        else:
            report.say(False, what, f"{rust.verdict}; pristine C: {c.verdict if c else 'not run'}")


def main():
    mode, line, kernel, directory = sys.argv[1], sys.argv[2], sys.argv[3], pathlib.Path(sys.argv[4])
    variants = {a.split("=")[0]: pathlib.Path(a.split("=")[1]) for a in sys.argv[5:]}
    if mode == "shell":
        image = initramfs(directory, variants, [f"load {v}\nshell {v}" for v in variants])
        os.execvp("qemu-system-x86_64", qemu(kernel, image, "loglevel=4"))

    manifest = Manifest(PROJECT / "selftests/manifest")
    built = sorted(t.name for t in (directory / "tests").iterdir() if t.suffix != ".ko")
    missing = [t for t in manifest.ours if t not in built]
    if missing:
        sys.exit(f"error: in selftests/manifest, but not built: {' '.join(missing)}")
    lines, runs = plan(manifest, mode, variants, built)
    log = directory / f"{mode}.log"
    unknown = set(os.environ.get("TESTS", "").split()) - set(built)
    if unknown:
        sys.exit(f"error: TESTS: no such selftest: {' '.join(sorted(unknown))}")
    longest = max(manifest.seconds.get(t, USUAL_SECONDS) for _, t in runs) if runs else 0
    machine = Machine(qemu(kernel, initramfs(directory, variants, lines), "loglevel=5"), log, longest + SILENCE)
    machine.run()

    report = Report()
    print(f"# Linux {machine.kernel}, emulated AMD (QEMU), {time.monotonic() - machine.started:.0f} s, "
          f"serial log: {log.relative_to(PROJECT)}")
    for v in variants:
        judge_ours(report, manifest, machine.results, v, line)
    judge_kernel(report, manifest, machine.results, [t for t in built if t not in manifest.ours], line)
    not_run = [f"{v}:{t}" for v, t in runs if (v, t) not in machine.results]
    if not_run:
        report.say(False, f"{line} {len(not_run)} tests were not reached", ", ".join(not_run[:4]))
    for e in machine.errors:
        report.say(False, f"{line} the machine", e)
    if mode == "check":
        for t, why in manifest.left.items():
            if t in built:
                report.say(None, f"{line} {t}", why)
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
