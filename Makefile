# SPDX-License-Identifier: GPL-2.0
# The only door. Everything runs in a sysroot that the first target makes.

KERNEL ?= 6.12
LINES := $(shell sed '/^\#/d' scripts/lines | awk '{print $$1}' | sort -uV)
# make check also takes every line.
CHECK_LINES := $(if $(filter all,$(KERNEL)),$(if $(KDIR),$(firstword $(LINES)),$(LINES)),$(KERNEL))

export VENDOR ?= both
.DEFAULT_GOAL := help
.PHONY: help run check check-deep shell bench integrate accept lint core-test self-test matrix clean distclean

help:
	@echo 'KVM x86 event delivery in Rust. Targets:'
	@echo '  run        build the kernel with KVM in C and Rust, boot it on emulated AMD and Intel machines, run KVM selftests'
	@echo '  check      every test: rust/core on the host, lints, the build, and the lab on pristine C, fixed C, Rust and the defects'
	@echo '  check-deep what takes long: our tests on pristine C with each of scripts/fixes alone'
	@echo '  shell      the same machine, modules loaded, a shell on its serial line; selftests in /t'
	@echo '  bench      the defects put back, pristine C and Rust side by side: a table, build/bench/bench.json and bench.html'
	@echo '  integrate  KDIR=tree OUT=folder: a copy of the tree with CONFIG_KVM_X86_EVENTS_RUST, off by default;'
	@echo '             FIXES=1: with the option off, C with scripts/fixes and scripts/features'
	@echo '  accept     KDIR=tree or KERNEL=line: the C that Rust stands for was read in that tree, and Rust follows it'
	@echo '  core-test  cargo test over rust/core (also its interleavings, by loom)'
	@echo '  lint       rustfmt, clippy, checkpatch, sparse, shellcheck'
	@echo '  self-test  what must be refused is: wrong trees, seams that do not fit, Rust that can panic, other prototypes'
	@echo '  matrix     every configuration: built, and loaded where that is the question; a table (Documentation/lab.rst)'
	@echo '  clean      remove what this clone built; distclean: the caches too'
	@echo 'Variables:'
	@echo '  KERNEL=$(KERNEL)     which kernel line: one of $(LINES); make check KERNEL=all: every one'
	@echo '  KDIR=tree       your own kernel tree in place of the one fetched; it is never written to'
	@echo '  VENDOR=both     run and check: amd (QEMU), intel (Bochs), or both'
	@echo '  TESTS="a b"     run and check: only these selftests'
	@echo '  BASE=old.json   bench: show the change against an earlier bench.json, fail on a regression'
	@echo '  ROUNDS=3 ONLY="5 7"  bench: how many rounds; only these measures (Documentation/bench.rst)'
	@echo '  ROWS="a b"      matrix: only these rows of scripts/matrix.rows'
	@echo '  JOBS=n          how many jobs a build has (default: a job a processor)'
	@echo '  XDG_CACHE_HOME  where caches live (default ~/.cache), in kvm-events-rs'

run shell:
	@scripts/lab $@ '$(KERNEL)' '$(KDIR)'

bench:
	@scripts/bench '$(KERNEL)' '$(KDIR)' '$(BASE)'

check:
	@scripts/check '$(KDIR)' $(CHECK_LINES)

check-deep:
	@scripts/lab deep '$(KERNEL)' '$(KDIR)'

integrate: export FIXES ?=
integrate:
	@scripts/make-integrated '$(KDIR)' '$(OUT)'

accept:
	@scripts/accept '$(KERNEL)' '$(KDIR)'

core-test:
	@scripts/core-test

lint self-test:
	@scripts/$@ '$(KERNEL)' '$(KDIR)'

matrix:
	@scripts/matrix '$(KERNEL)' '$(KDIR)' $(ROWS)

clean:
	@rm -rf build

distclean: clean
	@scripts/distclean
