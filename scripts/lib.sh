# SPDX-License-Identifier: GPL-2.0
# Shared by every script here: where things are, how they speak, how they enter
# the sysroot. Sourced by bash, never run.
# shellcheck shell=bash

set -euo pipefail

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
build=$top/build
[ -n "${XDG_CACHE_HOME:-}${HOME:-}" ] ||
	{ echo "error: neither XDG_CACHE_HOME nor HOME is set: set one, caches go there" >&2; exit 1; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kvm-events-rs
mkdir -p "$cache" 2>/dev/null ||
	{ echo "error: cannot make $cache: set XDG_CACHE_HOME to a folder that you can write" >&2; exit 1; }
jobs=${JOBS:-$(nproc)}
mkdir -p "$build"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# key FILE|STRING... - a short hash of what a cache depends on.
key() {
	local a
	for a in "$@"; do
		if [ -f "$a" ]; then cat "$a"; else printf '%s\n' "$a"; fi
	done | sha256sum | cut -c1-12
}

# step WHAT LOG REMEDY CMD... - runs CMD with its output in LOG, and says what is
# going on and for how long. When CMD fails: the log's last lines, then one error
# line that names the log and the remedy. In the environment, STEP=3/8 is the step's number,
# which goes up with each; STEP_BESIDE is set where another step shows its progress.
step() {
	local what=${STEP:+[$STEP] }$1 log=$2 remedy=$3 t0=$SECONDS pid rc=0 tick=0
	shift 3
	mkdir -p "$(dirname "$log")"
	# In a process group of its own, which goes when this script is told to.
	set -m
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	set +m
	trap 'kill -- "-$pid" 2>/dev/null; wait "$pid" 2>/dev/null; say "  $what: interrupted"; exit 130' INT TERM
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.5
		tick=$((tick + 1))
		if [ -n "${STEP_BESIDE:-}" ]; then
			continue
		elif [ -t 2 ]; then
			printf '\r  %-58s %4d s' "$what" $((SECONDS - t0)) >&2
		elif [ $((tick % 120)) = 0 ]; then
			say "  $what ... $((SECONDS - t0)) s so far"
		fi
	done
	wait "$pid" || rc=$?
	trap - INT TERM
	[ -t 2 ] && printf '\r' >&2
	if [ $rc = 0 ]; then
		printf '  %-58s %4d s\n' "$what" $((SECONDS - t0)) >&2
		[ -z "${STEP:-}" ] || STEP=$((${STEP%/*} + 1))/${STEP#*/}
		return 0
	fi
	printf '  %-58s failed after %d s\n' "$what" $((SECONDS - t0)) >&2
	tail -n "${STEP_TAIL:-12}" "$log" | cut -c1-200 | sed 's/^/    | /' >&2
	die "$what failed: $remedy (log: ${log#"$top"/})"
}

# once DIR CMD... - makes the cache entry DIR by running CMD with the name of an
# empty folder, which becomes DIR only when CMD succeeds: an interrupted step
# leaves nothing half-made, and of two runs at once the second waits.
once() {
	local dir=$1 tmp
	shift
	[ -d "$dir" ] && return 0
	mkdir -p "$(dirname "$dir")"
	exec 8>"$dir.lock"
	if ! flock -n 8; then
		say "  waiting for another run that makes ${dir#"$cache"/}"
		flock 8
	fi
	if [ ! -d "$dir" ]; then
		# Whoever held the lock before us is gone, killed perhaps: so is the use of its leftovers.
		rm -rf "$dir".tmp.*
		tmp=$dir.tmp.$$
		mkdir "$tmp"
		# shellcheck disable=SC2064 # the name as it is now
		trap "rm -rf '$tmp'" EXIT
		"$@" "$tmp"
		mv -T "$tmp" "$dir"
		trap - EXIT
	fi
	flock -u 8
	exec 8>&-
}

# need_space GIB WHAT - fails early rather than in the middle of a build.
need_space() {
	local have
	have=$(df --output=avail -BG "$cache" | tail -n 1 | tr -dc 0-9)
	[ "$have" -ge "$1" ] ||
		die "$2 needs $1 GiB in $cache and $have GiB are free: free some, or set XDG_CACHE_HOME to a larger disk"
}

# enter [bwrap options] -- CMD... - runs CMD in the sysroot, as whoever calls, with
# this clone on /project and no network. The kernel's source and output always
# stand at the same two places, so that command lines, and with them ccache and
# kbuild's own memory of them, don't depend on where a variant lives.
enter() {
	local opts=()
	while [ "$1" != -- ]; do opts+=("$1"); shift; done
	shift
	# No inherited locks: a build server that ccache leaves behind must not hold them.
	bwrap --die-with-parent --unshare-pid --unshare-ipc --unshare-net \
		--ro-bind "${sysroot:?}" / --dev /dev --proc /proc --tmpfs /tmp \
		--ro-bind "$top" /project --bind "$build" /project/build \
		--setenv PATH /usr/lib/llvm-19/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		--setenv HOME /tmp --setenv LC_ALL C.UTF-8 --unsetenv MAKEFLAGS --unsetenv MAKELEVEL \
		--unsetenv RUSTUP_TOOLCHAIN --unsetenv CARGO_HOME --unsetenv RUSTUP_HOME --unsetenv MFLAGS --unsetenv XDG_CACHE_HOME \
		"${opts[@]}" -- "$@" 8>&-
}

# in_kernel SRC OUT [bwrap options] -- CMD... - runs CMD in a kernel tree and its output
# folder. ccache and fixed build ids make a build that was done before a quick one; by the
# dependencies that the compiler writes, it needs no preprocessor for one that was not.
in_kernel() {
	local src=$1 out=$2 opts=()
	shift 2
	while [ "$1" != -- ]; do opts+=("$1"); shift; done
	shift
	mkdir -p "$cache/ccache"
	enter --ro-bind "$src" /kernel/src --bind "$out" /kernel/out "${opts[@]}" \
		--bind "$cache/ccache" /kernel/ccache --setenv CCACHE_DIR /kernel/ccache \
		--setenv CCACHE_DEPEND 1 --setenv KBUILD_BUILD_TIMESTAMP "Thu Jan  1 00:00:00 UTC 1970" \
		--setenv KBUILD_BUILD_USER kvm --setenv KBUILD_BUILD_HOST lab \
		--chdir /kernel/src -- "$@"
}
# Where a build of the kernel goes, and with what.
# shellcheck disable=SC2034
kbuild=(make -j"$jobs" O=/kernel/out LLVM=1 "CC=ccache clang")

# text_size MODULE OUT - bytes of text of a file under OUT.
text_size() {
	enter --ro-bind "$2" /kernel/out -- /usr/lib/llvm-19/bin/llvm-size "/kernel/out/${1#"$2"/}" | awk 'NR == 2 {print $1}'
}
