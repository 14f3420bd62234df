#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""The digests of what Rust stands for, on small trees made up for them: what must be refused is.

And on the kernel in /kernel/src, where there is one: what changed in kvm_inject_smi() between the
two kernel lines, which is how the port came to deliver SMIs to vCPUs that can take none.
"""

import importlib.machinery
import importlib.util
import pathlib
import re
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import seam_files  # noqa: E402

loader = importlib.machinery.SourceFileLoader("digests", str(HERE / "digests"))
digests = importlib.util.module_from_spec(importlib.util.spec_from_loader("digests", loader))
loader.exec_module(digests)

KERNEL = pathlib.Path("/kernel/src")
# Of kvm_inject_smi() in arch/x86/kvm/smm.h: 7.2 looks whether the vCPU can enter SMM.
INJECT_SMI = {"6.12": "0dcd0a4f90d3ca39", "7.2": "c4c51cd5f5714323"}

C = """
#define LIMIT 2
/* Any context. */
static void ring(struct bell *b)
{
	atomic_inc(&b->rings);
	if (b->loud)
		wake(b);
}
EXPORT_SYMBOL_GPL(ring);

int look(struct bell *b)
{
	int r = 0;

	if (b->a) {
		r = one(b);
		tell(b);
	}
	if (b->b) {
		r = two(b);
		tell(b);
	}
	if (b->c) {
		r = three(b);
		tell(b);
	}
	return r;
}

static int ask(struct bell *b) __must_hold(&b->lock)
{
	if (b->a)
		return 1;
	return 0;
}

static struct ops bell_ops = {
	.ring = ring,
};
"""
H = """
#ifdef CONFIG_BELL
static inline bool is_loud(struct bell *b)
{
	return b->loud && b->volume > 3;
}
#else
static inline bool is_loud(struct bell *b) { return false; }
#endif
"""
SEAM = """// What Rust owns of the bell.
// file: bell.c
// restates: bell.h is_loud by view/bell.rs:is_loud
// restates: bell.c LIMIT by view/bell.rs:LIMIT

@ ring @
position p;
identifier b;
@@
-static void ring@p(struct bell *b) { ... }
+static void ring(struct bell *b) { rust_ring(b); }

@ look @
expression b, r;
position p;
@@
-if (b->b@p) { ... }
+r = rust_look(b);
"""
RUST = """
export! {
    /// Rings.
    fn rust_ring(b: *mut bell) {}

    /// Looks.
    fn rust_look(b: *mut bell) -> c_int { one(b) + two(b) + three(b) + tell(b) + wake(b) }
}
"""


def cut(text, first, last, instead):
    """text, with what is from first to last replaced: what spatch does."""
    start = text.index(first)
    return text[:start] + instead + text[text.index(last, start) + len(last):]


class Fixture(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = pathlib.Path(folder.name)
        self.addCleanup(setattr, digests, "TOP", digests.TOP)
        self.addCleanup(setattr, digests, "STANDS_FOR", digests.STANDS_FOR)
        digests.TOP, digests.STANDS_FOR = self.top, self.top / "stands-for"
        self.write("rust/kvm/entry.rs", RUST)
        self.write("bell.cocci", SEAM)
        self.seams = [seam_files.Seam(self.top / "bell.cocci")]

    def write(self, path, text):
        path = self.top / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def trees(self, c=C, h=H, sublevel=1, instead="r = rust_look(b);\n"):
        """A pristine tree with this text, and what the seam makes of it."""
        seamed = c
        if "void ring(" in c:
            seamed = cut(seamed, "void ring(", "\n}\n", "void ring(struct bell *b)\n{\n\trust_ring(b);\n}\n")
        if "if (b->b)" in c:
            seamed = cut(seamed, "if (b->b)", "\n\t}\n", instead)
        for tree, text in (("pristine", c), ("seamed", seamed)):
            self.write(f"{tree}/Makefile", f"VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = {sublevel}\n")
            self.write(f"{tree}/bell.c", text)
            self.write(f"{tree}/bell.h", h)
        return "6.12", self.top / "pristine", self.top / "seamed", self.seams

    def accept(self, **texts):
        return digests.accept(*self.trees(**texts))

    def check(self, **texts):
        return digests.check(*self.trees(**texts))

    def refused(self, words, **texts):
        said = self.check(sublevel=2, **texts)
        self.assertEqual(len(said), 2, said)
        self.assertRegex(said[0], words)
        self.assertIn("make accept KDIR=", said[1])


class Check(Fixture):
    def setUp(self):
        super().setUp()
        self.accept()

    def test_what_is_known_passes(self):
        self.assertEqual(self.check(), [])

    def test_a_newer_sublevel_passes(self):
        self.assertEqual(self.check(sublevel=30), [])

    def test_comments_and_white_space_pass(self):
        c = C.replace("atomic_inc(&b->rings);", "/* One\n * more.\n */\n\tatomic_inc( &b -> rings ); // now")
        self.assertEqual(self.check(c=c, h=H.replace("&& b", "&&\n\t       b")), [])

    def test_a_token_of_a_body_is_refused(self):
        self.refused(r"^Linux 6\.12\.2: bell\.c: ring differs: rust/kvm/entry\.rs \(rust_ring\), by bell\.cocci, "
                     r"was tested with 6\.12\.1$", c=C.replace("if (b->loud)", "if (!b->loud)"))

    def test_a_token_that_the_new_body_has_too_is_refused(self):
        self.refused("bell.c: ring differs", c=C.replace("wake(b)", "wake(c)"))

    def test_a_token_of_a_fragment_is_refused(self):
        self.refused(r"bell\.c: look differs: rust/kvm/entry\.rs \(rust_look\)", c=C.replace("two(b)", "two(b, 1)"))

    def test_another_constant_is_refused(self):
        self.refused(r"bell\.c: LIMIT differs: rust/view/bell\.rs \(LIMIT\)", c=C.replace("LIMIT 2", "LIMIT 3"))

    def test_what_is_not_taken_out_may_change(self):
        for old in ("one(b)", "three(b)", "b->c", "int r = 0", "ring = ring"):
            self.assertEqual(self.check(c=C.replace(old, "another")), [], old)

    def test_what_is_cut_is_known_from_the_same_text_beside_it(self):
        self.accept(instead="")
        for old, new in (("one(b)", "another"), ("three(b)", "another"), ("tell(b)", "tell(c)")):
            self.assertEqual(self.check(c=C.replace(old, new, 1), instead=""), [], old)
        self.refused("bell.c: look differs", c=C.replace("two(b)", "another"), instead="")

    def test_each_definition_under_an_ifdef_counts(self):
        self.refused(r"bell\.h: is_loud differs: rust/view/bell\.rs \(is_loud\)", h=H.replace("> 3", "> 4"))
        self.refused(r"bell\.h: is_loud differs", h=H.replace("false", "true"))

    def test_what_is_taken_out_can_have_another_name_in_rust(self):
        self.write("bell.cocci", SEAM.replace("// file: bell.c\n",
                                              "// file: bell.c\n// restates: bell.c ring by core/bell.rs:strike\n"))
        self.seams = [seam_files.Seam(self.top / "bell.cocci")]
        self.assertEqual(self.check(), [])
        self.refused(r"ring differs: rust/kvm/entry\.rs \(rust_ring\) and rust/core/bell\.rs \(strike\), by bell",
                     c=C.replace("wake(b)", "wake(c)"))

    def test_what_is_gone_is_refused(self):
        self.refused(r"bell\.h: is_loud is gone", h=H.replace("is_loud", "is_noisy"))
        self.refused(r"bell\.c: ring is gone", c=C.replace("void ring(", "void rang("))

    def test_what_is_new_is_refused(self):
        self.write("bell.cocci", SEAM.replace("// file: bell.c\n",
                                              "// file: bell.c\n// restates: bell.c ask by view/bell.rs:ask\n"))
        self.seams = [seam_files.Seam(self.top / "bell.cocci")]
        self.refused(r"bell\.c: ask is new: rust/view/bell\.rs \(ask\)")

    def test_a_line_without_digests_is_refused(self):
        (self.top / "stands-for/6.12").unlink()
        self.assertEqual(self.check(), ["Linux 6.12 has no digests of what Rust stands for: make accept KERNEL=6.12"])


class Accept(Fixture):
    def test_it_says_what_changed(self):
        self.assertEqual(self.accept(), ["Linux 6.12: 4 digests, tested with 6.12.1 (before: none)"])
        said = self.accept(c=C.replace("two(b)", "two(b, 1)"), sublevel=7)
        self.assertEqual(said, ["bell.c: look differs",
                                "Linux 6.12: 4 digests, tested with 6.12.7 (before: 6.12.1)"])
        self.assertEqual(self.check(c=C.replace("two(b)", "two(b, 1)")), [])

    def test_it_refuses_a_call_that_rust_does_not_follow(self):
        self.accept()
        before = (self.top / "stands-for/6.12").read_text()
        with self.assertRaisesRegex(SystemExit, r"bell\.c: ring calls silence\(\), and Rust doesn't: .*bell\.cocci"):
            self.accept(c=C.replace("wake(b);", "wake(b);\n\tsilence(b);"))
        self.assertEqual((self.top / "stands-for/6.12").read_text(), before)

    def test_it_refuses_a_name_that_the_tree_lacks(self):
        with self.assertRaisesRegex(SystemExit, r"bell\.h: is_loud is gone: correct 'restates' in .*bell\.cocci"):
            self.accept(h="")


class Names(unittest.TestCase):
    def test_what_stands_at_the_top_of_a_file(self):
        with tempfile.NamedTemporaryFile("w", suffix=".c") as f:
            f.write(C + "__printf(1, 2) int speak(const char *f, ...)\n"
                    "{\n#ifdef A\n\tif (1) {\n#else\n\tif (2) {\n#endif\n\t}\n}\n"
                    "DEFINE_PER_CPU(int, count);\nstruct bell {\n\tint a;\n};\n"
                    "int declared(void);\nint last(void) { return 0; }\n")
            f.flush()
            names = [i.name for i in digests.items(pathlib.Path(f.name))]
        self.assertEqual([n for n in names if n],
                         ["LIMIT", "ring", "look", "ask", "bell_ops", "speak", "count", "bell", "last"])


class Seams(unittest.TestCase):
    def test_ranges_are_numeric_and_hold_their_ends(self):
        since, until = seam_files.Range("7.2", None), seam_files.Range(None, "6.18")
        self.assertEqual([line for line in ("6.9", "6.12", "6.18", "6.19", "7.2", "7.3", "7.10") if line in since],
                         ["7.2", "7.3", "7.10"])
        self.assertEqual([line for line in ("6.9", "6.12", "6.18", "6.19", "7.2") if line in until],
                         ["6.9", "6.12", "6.18"])

    def seam(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".cocci") as f:
            f.write(text)
            f.flush()
            return seam_files.Seam(f.name)

    def test_rules_and_what_is_restated_have_ranges(self):
        seam = self.seam(SEAM.replace("LIMIT\n", "LIMIT since 7.0 until 7.9\n")
                         .replace("@ look", "// until: 6.99\n@ look"))
        for line, names in (("6.12", ["ring", "look", "is_loud"]), ("7.2", ["ring", "is_loud", "LIMIT"]),
                            ("8.0", ["ring", "is_loud"])):
            self.assertEqual([x.name for part in seam.for_line(line) for x in part], names)

    def test_a_line_that_is_not_understood_is_refused(self):
        with self.assertRaisesRegex(SystemExit, "restates: FILE NAME by RUSTFILE:FUNCTION"):
            self.seam(SEAM.replace(" by view/bell.rs:LIMIT", ""))

    def test_what_a_seam_names_in_rust_is_there(self):
        for path in sorted((HERE / "seams").glob("*.cocci")):
            for r in seam_files.Seam(path).restated:
                file, _, name = r.rust.partition(":")
                text = (HERE.parent / "rust" / file).read_text()
                self.assertRegex(text, rf"\b(fn|const|macro_rules!|void|int|bool) {re.escape(name)}\b",
                                 f"{path.name}: {r.rust}")


@unittest.skipUnless((KERNEL / "arch/x86/kvm/smm.h").exists(), "no kernel in /kernel/src")
class Kernel(Fixture):
    """A seam that repeats kvm_inject_smi(), on one line with the digest of the other."""

    def check_inject_smi(self, line, digest):
        self.write("smi.cocci", "// file: bell.c\n// restates: arch/x86/kvm/smm.h kvm_inject_smi by "
                   "kvm/entry.rs:accept_smi\n\n@ r @\n@@\n+#include <a.h>\n")
        digests.STANDS_FOR.mkdir()
        row = f"{digest} restated arch/x86/kvm/smm.h kvm_inject_smi smi kvm/entry.rs:accept_smi\n"
        self.write(f"stands-for/{line}", f"# tested with {line}.1\n{row}")
        return digests.check(line, KERNEL, KERNEL, [seam_files.Seam(self.top / "smi.cocci")])

    def test_the_gate_on_smi_of_7_2_is_not_lost(self):
        line = ".".join(seam_files.tree_version(KERNEL).split(".")[:2])
        other = next(other for other in INJECT_SMI if other != line)
        said = self.check_inject_smi(line, INJECT_SMI[other])
        self.assertEqual(len(said), 2, said)
        self.assertRegex(said[0], rf"arch/x86/kvm/smm\.h: kvm_inject_smi differs: rust/kvm/entry\.rs \(accept_smi\), "
                         rf"by smi\.cocci, was tested with {re.escape(line)}\.1")

    def test_its_own_digest_passes(self):
        line = ".".join(seam_files.tree_version(KERNEL).split(".")[:2])
        self.assertEqual(self.check_inject_smi(line, INJECT_SMI[line]), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
