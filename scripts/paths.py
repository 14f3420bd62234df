#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""paths.py KERNEL DIR OUT FUNCTION PROGRAM[:ARGS] NAME=MODULES... - the instructions that KVM executes in a function.

Boots the AMD machine, has QEMU tell each block that it executes in a module and what is in it, and prints for each
call of FUNCTION how many instructions it took up to its return, in its callees in modules too, by function. What the
kernel itself executes (the scheduler's wake-up, the sending of an IPI) is not counted: it is the same for all.
scripts/bench.py counts kicks with it. Runs in the sysroot.
"""

import bisect
import collections
import os
import pathlib
import re
import statistics
import subprocess
import sys
import threading

import lab
from machines import Qemu

# Where the kernel puts modules, wherever it is itself.
MODULES = "0xffffffff88000000..0xfffffffffeffffff"
TRACE = re.compile(rb"^Trace (\d+): \S+ \[[0-9a-f]+/([0-9a-f]+)/")
INSTRUCTION = re.compile(rb"^0x([0-9a-f]+):  ((?:[0-9a-f]{2} )*[0-9a-f]{2})\s+(.*)")
# A scenario begins where the lab's PMU is read.
MARK = re.compile(r"lab_pmu.*tell.*4read|^_RN.*4tell4read$")


def is_locked(text):
    """Whether an instruction, as QEMU prints it, locks the bus: LOCK, and XCHG with memory always."""
    return text.startswith(b"lock ") or (text.startswith(b"xchg") and b"(" in text)


class Symbols:
    """Of the modules that are loaded now."""

    def __init__(self):
        self.addresses, self.names = [], []

    def load(self, pairs):
        pairs = sorted(pairs)
        self.addresses, self.names = [a for a, _ in pairs], [n for _, n in pairs]

    def of(self, address):
        i = bisect.bisect_right(self.addresses, address) - 1
        return self.names[i] if i >= 0 else "?"

    def at(self, address):
        i = bisect.bisect_left(self.addresses, address)
        return self.names[i] if i < len(self.addresses) and self.addresses[i] == address else None


class Call:
    """One call of the function that is looked at."""

    def __init__(self, back):
        self.back, self.count, self.locked, self.by_function = back, 0, 0, collections.Counter()


class Calls:
    """Follows QEMU's log: which blocks there are, and which a CPU executes."""

    def __init__(self, function):
        self.function, self.blocks, self.block, self.stacks, self.open = function, {}, None, {}, {}
        self.symbols, self.done, self.mark = Symbols(), [], -1

    def line(self, text):
        m = TRACE.match(text)
        if m:
            self.block = None
            self.executes(int(m.group(1)), int(m.group(2), 16))
            return
        if text.startswith(b"IN:"):
            self.block = []
            return
        m = INSTRUCTION.match(text)
        if m and self.block is not None:
            address = int(m.group(1), 16)
            if not self.block:
                self.blocks[address] = self.block
            self.block.append((address, len(m.group(2).split()), m.group(3)))

    def executes(self, cpu, address):
        name, stack = self.symbols.at(address), self.stacks.setdefault(cpu, [])
        if address in stack[-8:]:
            while stack.pop() != address:
                pass
        if name and MARK.search(name):
            self.mark += 1
        call = self.open.get(cpu)
        if call and address == call.back:
            self.done.append((self.mark, call))
            call = self.open[cpu] = None
        if not call and name == self.function and stack:
            # Where its caller goes on; or its caller's, who jumped here.
            call = self.open[cpu] = Call(stack[-1])
        block = self.blocks.get(address, [])
        if block and block[-1][2].startswith(b"call"):
            stack.append(block[-1][0] + block[-1][1])
        if call:
            call.count += len(block)
            call.locked += sum(is_locked(text) for _, _, text in block)
            call.by_function[self.symbols.of(address)] += len(block)


class Traced(Qemu):
    """The AMD machine, which tells what it executes in modules."""

    fifo = None

    @classmethod
    def command(cls, kernel, image, append):
        return [*super().command(kernel, image, append + " nokaslr"), "-d", "in_asm,exec,nochain", "-dfilter", MODULES,
                "-D", str(cls.fifo)]


class Reader(lab.Run):
    """Hands on the symbols of each variant, and what its programs said of failing."""

    def __init__(self, log, calls):
        super().__init__(log, "paths", 120)
        self.calls, self.pairs, self.found = calls, [], {}

    def line(self, text):
        words = text.split()
        if words[:2] == ["@@", "symbol"]:
            self.pairs.append((int(words[2], 16), words[3]))
        elif words[:2] == ["@@", "symbols"]:
            self.calls.symbols.load(self.pairs)
            self.calls.stacks.clear()
            self.calls.open.clear()
            self.calls.done, self.calls.mark, self.pairs = [], -1, []
        else:
            test = self.test
            super().line(text)
            if words[:2] == ["@@", "end"] and test:
                if test.rc or test.trouble:
                    self.errors.append(f"{self.variant}: {words[2]}: {test.verdict} {test.trouble or test.output[-3:]}")
                self.found[self.variant] = list(self.calls.done)


def follow(kernel, directory, out, variants, function, program):
    """{variant: [(mark, Call)]}, and errors."""
    name, _, args = program.partition(":")
    place = out / "paths"
    place.mkdir(exist_ok=True)
    fifo = place / "log"
    fifo.unlink(missing_ok=True)
    os.mkfifo(fifo)
    lines = []
    for v in variants:
        lines += [f"load {v}", "symbols", f"test {name} 120 {args.replace(':', ' ')}", f"unload {v}"]
    image = lab.initramfs(directory, "amd", variants, lines, {name}, place)
    Traced.fifo = fifo
    calls = Calls(function)
    reader = Reader(out / "paths.log", calls)

    def read():
        with open(fifo, "rb") as log:
            for text in log:
                calls.line(text)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    reader.run(Traced(kernel, image, "loglevel=5", place))
    thread.join(20)
    return reader.found, reader.errors


KICKS = ["kick.self", "kick.guest", "kick.out", "kick.asleep"]


def kicks(kernel, directory, out, variants):
    """{(measure, variant): [samples]} of measure 5, and errors."""
    version = (pathlib.Path(kernel) / "include/config/kernel.release").read_text()
    function = "kvm_vcpu_kick" if version.startswith("6.") else "__kvm_vcpu_kick"
    found, errors = follow(kernel, directory, out, variants, function, "event_costs:kicks")
    samples = {}
    for variant, calls in found.items():
        for i, kind in enumerate(KICKS):
            of_kind = [c for mark, c in calls if mark == i]
            if not of_kind:
                errors.append(f"{kind}, {variant}: no such kick was seen")
            # A kick now and then is somebody else's, a timer's: by the median, as the bench takes it.
            samples[kind, variant] = [c.count for c in of_kind]
            samples[f"{kind}.locked", variant] = [c.locked for c in of_kind]
    return samples, errors


def main():
    kernel, directory, out, function, program = sys.argv[1], *map(pathlib.Path, sys.argv[2:4]), *sys.argv[4:6]
    variants = {a.split("=")[0]: pathlib.Path(a.split("=")[1]) for a in sys.argv[6:]}
    out.mkdir(exist_ok=True)
    found, errors = follow(kernel, directory, out, variants, function, program)
    marks = sorted({mark for calls in found.values() for mark, _ in calls})
    for mark in marks:
        functions = {}
        for v, calls in found.items():
            of_mark = [c for m, c in calls if m == mark]
            if not of_mark:
                continue
            middle = sorted(of_mark, key=lambda c: c.count)[len(of_mark) // 2]
            print(f"scenario {mark}: {v}: {len(of_mark)} calls, median {middle.count} instructions, "
                  f"{statistics.median(c.locked for c in of_mark)} locked")
            for name, count in middle.by_function.items():
                functions.setdefault(name, {})[v] = count
        for name, counts in sorted(functions.items(), key=lambda f: -max(f[1].values())):
            print(f"    {name:<50}", *(f"{v} {counts.get(v, 0):>6}" for v in variants))
    for e in errors:
        print(f"error: {e}")
    sys.exit(1 if errors or not marks else 0)


if __name__ == "__main__":
    main()
