#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""smoke.py KERNEL DIR MODULES TEST[:ARGS]... - loads KVM on the AMD machine and runs a few cases: for make matrix.

DIR has tests/ and gets the initramfs and the serial log. Exits with 0 when all is well, with 2 when KVM could not be
loaded and unloaded without trouble, with 1 when a test failed. Runs in the sysroot.
"""

import pathlib
import sys

import lab
from machines import Qemu

# Kernels that check themselves are slow.
SECONDS = 240


def main():
    kernel, directory, modules, tests = sys.argv[1], *map(pathlib.Path, sys.argv[2:4]), sys.argv[4:]
    lines = [lab.load("rust")]
    for t in tests:
        name, *args = t.split(":")
        lines.append(" ".join(["test", name, str(SECONDS), *args]))
    lines.append("unload rust")
    image = lab.initramfs(directory, "amd", {"rust": modules}, lines, {t.split(":")[0] for t in tests})
    run = lab.Run(directory / "boot.log", "matrix", SECONDS + lab.SILENCE)
    run.run(Qemu(kernel, image, "loglevel=5", directory))
    for e in run.errors:
        print(f"error: the machine: {e}")
    bad = 0
    for t in tests:
        r = run.results.get(("rust", t))
        verdict = r.verdict if r else "not reached"
        print(f"{t}: {verdict}" + (f", {r.took:.1f} s" if r else ""))
        if verdict != "pass":
            bad = 1
            for text in [*r.trouble, *r.output[-20:]] if r else []:
                print(f"    {text}")
    sys.exit(2 if run.errors or run.variant != "rust" else bad)


if __name__ == "__main__":
    main()
