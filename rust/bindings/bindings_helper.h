/* SPDX-License-Identifier: GPL-2.0 */
/* What bindgen reads for kvm.ko's Rust. Constants that are expressions get a name here. */

#include <linux/kvm_host.h>
#include "lapic.h"
#include "pmu.h"
#include "smm.h"
#include "rust/bindings/events.h"

/* As in kvm_host.h, less the build-time check, which can't stand in a constant. */
#undef KVM_ARCH_REQ_FLAGS
#define KVM_ARCH_REQ_FLAGS(nr, flags) (((nr) + KVM_REQUEST_ARCH_BASE) | (flags))

/* The request's number, without the flags of kvm_make_request(). */
static const u32 KVM_EVENTS_REQ_EVENT = KVM_REQ_EVENT & KVM_REQUEST_MASK;
static const u32 KVM_EVENTS_REQ_NMI = KVM_REQ_NMI & KVM_REQUEST_MASK;
static const u32 KVM_EVENTS_REQ_PMU = KVM_REQ_PMU & KVM_REQUEST_MASK;
static const u32 KVM_EVENTS_REQ_PMI = KVM_REQ_PMI & KVM_REQUEST_MASK;
static const u32 KVM_EVENTS_REQ_SMI = KVM_REQ_SMI & KVM_REQUEST_MASK;
static const u32 KVM_EVENTS_REQ_UPDATE_PROTECTED_GUEST_STATE =
	KVM_REQ_UPDATE_PROTECTED_GUEST_STATE & KVM_REQUEST_MASK;
static const u32 KVM_EVENTS_HF_SMM_MASK = HF_SMM_MASK;
