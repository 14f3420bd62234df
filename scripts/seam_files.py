# SPDX-License-Identifier: GPL-2.0
"""What a seam file says: which files it changes, which C its Rust repeats, and its rules.

In the comments of a seam file:
    // file: arch/x86/kvm/x86.c
    // restates: arch/x86/kvm/x86.h is_nmi by view/vcpu.rs:is_nmi [since 7.0] [until 6.99]
and in front of a rule, where that is not the usual (every kernel line, one match):
    // since: 7.0
    // until: 6.99
    // matches: 2
A range holds the line that it names.
"""

import pathlib
import re
import sys

RULE = re.compile(r"((?:^//[^\n]*\n)*)^(@ (\w+)(?: depends on [^@\n]+)? @\n(.*?)^@@\n(.*?))"
                  r"(?=^(?://[^\n]*\n)*@ \w|\Z)", re.M | re.S)
RESTATES = re.compile(r"^// restates: (\S+) (\S+) by (\S+:\S+)(?: since (\S+))?(?: until (\S+))?$", re.M)


def fail(message):
    sys.exit(f"seam: {message}")


def number(version):
    """A version by which it is compared: 6.9 is older than 6.12."""
    return tuple(int(part) for part in version.split("."))


class Range:
    """The kernel lines that a rule is for."""

    def __init__(self, since, until):
        self.since, self.until = since, until

    def __contains__(self, line):
        return ((not self.since or number(self.since) <= number(line)) and
                (not self.until or number(line) <= number(self.until)))

    def __str__(self):
        return " ".join(f"{word} {version}" for word, version in (("since", self.since), ("until", self.until))
                        if version)


class Rule:
    def __init__(self, match):
        comments, self.text, self.name, declarations, self.body = match.groups()
        said = dict(re.findall(r"^// (since|until|matches): (\S+)\s*$", comments, re.M))
        self.lines = Range(said.get("since"), said.get("until"))
        self.matches = int(said.get("matches", 1))
        self.counted = re.search(r"\bposition p;", declarations) is not None
        self.includes = re.findall(r"^\+(#include .*)$", self.body, re.M)


class Restated:
    """A function, macro, type or variable of C's whose meaning Rust repeats."""

    def __init__(self, match):
        self.file, self.name, self.rust, *lines = match.groups()
        self.lines = Range(*lines)


class Seam:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.text = self.path.read_text()
        self.files = re.findall(r"^// file: (\S+)", self.text, re.M)
        self.rules = [Rule(m) for m in RULE.finditer(self.text)]
        self.restated = [Restated(m) for m in RESTATES.finditer(self.text)]
        if not self.files or not self.rules:
            fail(f"{self.path.name} names no file, or has no rule")
        if len(self.restated) != len(re.findall(r"^// restates:", self.text, re.M)):
            fail(f"{self.path.name}: '// restates: FILE NAME by RUSTFILE:FUNCTION [since V] [until V]' is meant")

    def for_line(self, line):
        """Its rules, and what it restates, on that kernel line."""
        return [r for r in self.rules if line in r.lines], [r for r in self.restated if line in r.lines]


def tree_version(tree):
    makefile = (pathlib.Path(tree) / "Makefile").read_text()
    return ".".join(re.search(rf"^{v} = (.*)$", makefile, re.M).group(1)
                    for v in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))
