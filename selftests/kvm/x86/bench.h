/* SPDX-License-Identifier: GPL-2.0 */
/* What programs of make bench say, and how: scripts/bench.py reads it. */
#ifndef SELFTEST_KVM_BENCH_H
#define SELFTEST_KVM_BENCH_H

#include <stdio.h>

#include "kvm_util.h"
#include "processor.h"

/* @n: how many vCPUs there are, where that matters; 0 where it doesn't. */
static inline void bench_id(const char *verb, const char *id, int n)
{
	if (n)
		printf("@@ %s %s@%d ", verb, id, n);
	else
		printf("@@ %s %s ", verb, id);
}

static inline void sample(const char *id, int n, double value)
{
	bench_id("sample", id, n);
	printf("%.17g\n", value);
	fflush(stdout);
}

/* What this machine can't show, and why. */
static inline void absent(const char *id, int n, const char *why)
{
	bench_id("absent", id, n);
	printf("%s\n", why);
}

static inline int bad_usage(const char *text)
{
	fprintf(stderr, "usage: %s\n", text);
	return 2;
}

/* The vCPU's TSC without an offset: what it reads and what the host reads can be compared. */
static inline void use_tsc_of_host(struct kvm_vcpu *vcpu)
{
	u64 offset = 0;

	vcpu_device_attr_set(vcpu, KVM_VCPU_TSC_CTRL, KVM_VCPU_TSC_OFFSET, &offset);
}

#endif /* SELFTEST_KVM_BENCH_H */
