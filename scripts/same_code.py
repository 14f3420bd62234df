#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""same_code.py CONFIG PRISTINE OTHER MODULE... - fails unless each MODULE is the same in both folders.

Compares every section that is loaded (text, read-only data, data, exception and alternative tables, __ksymtab,
.modinfo, ...), byte by byte, and every relocation of it: offset, type, symbol and addend. Two things are not
compared:

* the u16 `line` of each struct bug_entry in __bug_table: an #ifdef above a WARN() moves the WARN() down;
* .note.gnu.build-id, a hash of the whole file, these lines included.

CONFIG is the .config of both. Prints a line a module.
"""

import pathlib
import re
import struct
import sys

SHF_ALLOC, SHT_NOBITS, SHT_RELA = 2, 8, 4
UNCOMPARED = {".note.gnu.build-id"}
BUGS = "__bug_table"


class Module:
    """The sections of a relocatable 64-bit ELF file, by name."""

    def __init__(self, path):
        data = pathlib.Path(path).read_bytes()
        if data[:6] != b"\x7fELF\x02\x01":
            sys.exit(f"error: {path} is no 64-bit ELF file")
        at, = struct.unpack_from("<Q", data, 0x28)
        size, count, names = struct.unpack_from("<HHH", data, 0x3a)
        headers = [struct.unpack_from("<IIQQQQIIQQ", data, at + i * size) for i in range(count)]

        def text(section, offset):
            start = headers[section][4] + offset
            return data[start:data.index(b"\0", start)].decode()

        self.sections, self.relocations, indices = {}, {}, {}
        for i, h in enumerate(headers):
            name = indices[i] = text(names, h[0])
            if h[2] & SHF_ALLOC:
                if name in self.sections:
                    sys.exit(f"error: {path} has two sections {name}")
                content = h[5] if h[1] == SHT_NOBITS else data[h[4]:h[4] + h[5]]
                self.sections[name] = (h[1], h[2], h[8], content)
        for h in headers:
            of = indices.get(h[7])
            if h[1] != SHT_RELA or of not in self.sections:
                continue
            symbols = headers[h[6]]
            found = []
            for offset, info, addend in struct.iter_unpack("<QQq", data[h[4]:h[4] + h[5]]):
                name, kind, _, section, value, _ = struct.unpack_from("<IBBHQQ", data, symbols[4] + 24 * (info >> 32))
                # A section's own symbol has no name.
                symbol = indices[section] if kind & 15 == 3 else text(symbols[6], name)
                found.append((offset, info & 0xffffffff, symbol, section and indices.get(section), value, addend))
            self.relocations[of] = found


def without_lines(content, relocations, verbose):
    """__bug_table with 0 for each line. An entry is: pointers of 4 bytes, each with a relocation; line, where the kernel
    is configured to keep it; flags. How many pointers there are is read off the relocations."""
    if not verbose:
        return content, 0
    offsets = sorted(r[0] for r in relocations)
    pointers = 0
    while pointers < len(offsets) and offsets[pointers] == 4 * pointers:
        pointers += 1
    size = 4 * pointers + 4
    wanted = [entry + 4 * p for entry in range(0, len(content), size) for p in range(pointers)]
    if not pointers or len(content) % size or offsets != wanted:
        sys.exit(f"error: {BUGS} is no table of struct bug_entry as this script knows it")
    out = bytearray(content)
    for entry in range(0, len(content), size):
        out[entry + size - 4:entry + size - 2] = b"\0\0"
    return bytes(out), len(content) // size


def differences(a, b, verbose):
    """What differs, a line each; and how many bytes, relocations and lines were compared, and lines moved."""
    found, size, moved = [], 0, 0
    for name in sorted({*a.sections, *b.sections} - UNCOMPARED):
        if name not in a.sections or name not in b.sections:
            found.append(f"{name} is only in {'the other' if name in b.sections else 'pristine'}")
            continue
        (*head_a, content_a), (*head_b, content_b) = a.sections[name], b.sections[name]
        relocations = a.relocations.get(name, []), b.relocations.get(name, [])
        if head_a != head_b:
            found.append(f"{name}: another type, flags or alignment")
        if name == BUGS:
            with_lines = content_a, content_b
            content_a, count = without_lines(content_a, relocations[0], verbose)
            content_b, _ = without_lines(content_b, relocations[1], verbose)
            step = len(content_a) // count if count else 1
            moved = sum(with_lines[0][i:i + step] != with_lines[1][i:i + step]
                        for i in range(0, len(content_a), step))
        if content_a != content_b:
            if isinstance(content_a, int) or len(content_a) != len(content_b):
                sizes = [c if isinstance(c, int) else len(c) for c in (content_a, content_b)]
                found.append(f"{name}: {sizes[0]} bytes, and {sizes[1]}")
            else:
                at = [i for i, (x, y) in enumerate(zip(content_a, content_b)) if x != y]
                found.append(f"{name}: {len(at)} bytes differ, the first at {at[0]:#x}")
        if relocations[0] != relocations[1]:
            different = sum(x != y for x, y in zip(*relocations))
            found.append(f"{name}: {len(relocations[0])} relocations, and {len(relocations[1])}; {different} differ")
        size += content_a if isinstance(content_a, int) else len(content_a)
    return found, size, sum(len(r) for n, r in a.relocations.items() if n not in UNCOMPARED), moved


def main():
    config, pristine, other, *modules = sys.argv[1:]
    verbose = re.search("^CONFIG_DEBUG_BUGVERBOSE=y", pathlib.Path(config).read_text(), re.M)
    bad = 0
    for m in modules:
        found, size, relocations, moved = differences(Module(f"{pristine}/{m}"), Module(f"{other}/{m}"), verbose)
        for f in found:
            print(f"error: {m}: {f}")
        if not found:
            print(f"{m}: 0 of {size} bytes and 0 of {relocations} relocations differ; {moved} line numbers of WARN() and BUG()")
        bad |= bool(found)
    sys.exit(bad)


if __name__ == "__main__":
    main()
