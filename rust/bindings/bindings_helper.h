/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for the Rust of kvm.ko, kvm-intel.ko and kvm-amd.ko. Constants that
 * are expressions, or have no name of their own, get one here.
 */

#include <linux/kvm_host.h>
#include <linux/perf_event.h>
#include <linux/seq_file.h>
#include "irq.h"
#include "lapic.h"
#include "pmu.h"
#include "smm.h"
#include "vmx/vmx.h"
#include "vmx/nested.h"
#include "vmx/x86_ops.h"
/* The vendors' headers meet nowhere else: two names are in both. */
#define nested_exit_on_intr svm_nested_exit_on_intr
#define nested_exit_on_nmi svm_nested_exit_on_nmi
#include "svm/svm.h"
#include "rust/bindings/events.h"

/* As in kvm_host.h, less the build-time check, which can't stand in a constant. */
#undef KVM_ARCH_REQ_FLAGS
#define KVM_ARCH_REQ_FLAGS(nr, flags) (((nr) + KVM_REQUEST_ARCH_BASE) | (flags))

/* The request's number, without the flags of kvm_make_request(). */
static const u32 KVM_EVENTS_REQ_EVENT = KVM_REQ_EVENT & KVM_REQUEST_MASK;
static const u32 KVM_EVENTS_REQ_NMI = KVM_REQ_NMI & KVM_REQUEST_MASK;
static const u32 KVM_EVENTS_REQ_PMU = KVM_REQ_PMU & KVM_REQUEST_MASK;
static const u32 KVM_EVENTS_REQ_PMI = KVM_REQ_PMI & KVM_REQUEST_MASK;
#ifdef CONFIG_KVM_SMM
static const u32 KVM_EVENTS_REQ_SMI = KVM_REQ_SMI & KVM_REQUEST_MASK;
static const u32 KVM_EVENTS_HF_SMM_MASK = HF_SMM_MASK;
#endif
static const u32 KVM_EVENTS_REQ_UPDATE_PROTECTED_GUEST_STATE =
	KVM_REQ_UPDATE_PROTECTED_GUEST_STATE & KVM_REQUEST_MASK;

static const u64 KVM_EVENTS_SERVED_BITS = KVM_EVENTS_SERVED;

static const u32 KVM_EVENTS_HF_GUEST_MASK = HF_GUEST_MASK;
static const u32 KVM_EVENTS_APICBASE_ENABLE = MSR_IA32_APICBASE_ENABLE;
static const u32 KVM_EVENTS_APIC_LVTPC = APIC_LVTPC;
static const u32 KVM_EVENTS_APIC_PROCPRI = APIC_PROCPRI;
static const u32 KVM_EVENTS_APIC_INIT = KVM_APIC_INIT;
static const u32 KVM_EVENTS_APIC_SIPI = KVM_APIC_SIPI;
static const u32 KVM_EVENTS_OUTSIDE_GUEST_MODE = OUTSIDE_GUEST_MODE;
static const u32 KVM_EVENTS_IN_GUEST_MODE = IN_GUEST_MODE;
static const u32 KVM_EVENTS_EXITING_GUEST_MODE = EXITING_GUEST_MODE;
static const u32 KVM_EVENTS_READING_SHADOW_PAGE_TABLES = READING_SHADOW_PAGE_TABLES;

static const u32 KVM_EVENTS_PIN_INTR_EXITING = PIN_BASED_EXT_INTR_MASK;
static const u32 KVM_EVENTS_PIN_NMI_EXITING = PIN_BASED_NMI_EXITING;
static const u32 KVM_EVENTS_PIN_PREEMPTION_TIMER = PIN_BASED_VMX_PREEMPTION_TIMER;
static const u32 KVM_EVENTS_EXIT_ACK_INTR = VM_EXIT_ACK_INTR_ON_EXIT;
static const u32 KVM_EVENTS_CPU_SECONDARY_CONTROLS = CPU_BASED_ACTIVATE_SECONDARY_CONTROLS;
static const u32 KVM_EVENTS_CPU2_VIRTUAL_INTERRUPTS = SECONDARY_EXEC_VIRTUAL_INTR_DELIVERY;
static const u32 KVM_EVENTS_INTERCEPT_INTR = INTERCEPT_INTR;
static const u32 KVM_EVENTS_INTERCEPT_NMI = INTERCEPT_NMI;
static const u32 KVM_EVENTS_INTERCEPT_SMI = INTERCEPT_SMI;
static const u32 KVM_EVENTS_INTERCEPT_INIT = INTERCEPT_INIT;
