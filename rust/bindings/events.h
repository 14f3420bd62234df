/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What C calls of event delivery in Rust, and what Rust calls of the helpers. A
 * declaration of the first kind is checked against its definition (../kvm/entry.rs,
 * ../vmx, ../svm) at compile time. What a function does is said there.
 */
#ifndef __KVM_RUST_EVENTS_H
#define __KVM_RUST_EVENTS_H

#include <linux/percpu.h>
#include <linux/types.h>

struct dentry;
struct kvm_lapic;
struct kvm_pmc;
struct kvm_vcpu;
struct kvm_vcpu_events;
struct perf_event;
struct perf_sample_data;
struct pt_regs;
struct seq_file;

/* The requests that kvm_service_events() serves; core/request.rs has the same. */
#define KVM_EVENTS_BIT(req)	(1ull << ((req) & KVM_REQUEST_MASK))
#define KVM_EVENTS_SERVED	(KVM_EVENTS_BIT(KVM_REQ_PMU) | KVM_EVENTS_BIT(KVM_REQ_PMI) |	\
				 KVM_EVENTS_BIT(KVM_REQ_SMI) | KVM_EVENTS_BIT(KVM_REQ_NMI))

/* NMI, and the order of service. */
void kvm_service_events(struct kvm_vcpu *vcpu);
void kvm_nmi_collect(struct kvm_vcpu *vcpu);
void kvm_nmi_reset(struct kvm_vcpu *vcpu);
bool kvm_nmi_has_event(struct kvm_vcpu *vcpu);
void kvm_nmi_save(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events);
void kvm_nmi_restore(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events);

/* PMI. */
void kvm_perf_overflow(struct perf_event *event, struct perf_sample_data *data,
		       struct pt_regs *regs);
void kvm_pmc_emulated_overflow(struct kvm_pmc *pmc);
void kvm_pmu_settle(struct kvm_vcpu *vcpu);

/* INIT and SIPI. */
int kvm_apic_accept_smi(struct kvm_vcpu *vcpu);
int kvm_apic_accept_nmi(struct kvm_vcpu *vcpu);
int kvm_apic_accept_init(struct kvm_vcpu *vcpu, int level, int trig_mode);
int kvm_apic_accept_sipi(struct kvm_vcpu *vcpu, int vector);
int kvm_apic_accept_events(struct kvm_vcpu *vcpu);
bool kvm_apic_init_sipi_allowed(struct kvm_vcpu *vcpu);
bool kvm_waits_for_sipi(struct kvm_vcpu *vcpu);
bool kvm_sipi_wait_is_over(struct kvm_vcpu *vcpu);
int kvm_init_wait_ended(struct kvm_vcpu *vcpu);
u32 kvm_mp_state_get(struct kvm_vcpu *vcpu);
void kvm_init_save(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events);
void kvm_init_restore(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events);

/* L2's events. */
int vmx_check_nested_events(struct kvm_vcpu *vcpu);
bool vmx_has_nested_events(struct kvm_vcpu *vcpu, bool for_injection);
int svm_check_nested_events(struct kvm_vcpu *vcpu);
bool svm_apic_init_signal_blocked(struct kvm_vcpu *vcpu);

/* C's own, which the seams make visible. */
DECLARE_PER_CPU(struct kvm_vcpu *, kvm_running_vcpu);
void nested_vmx_update_pending_dbg(struct kvm_vcpu *vcpu);
void nested_vmx_inject_exception_vmexit(struct kvm_vcpu *vcpu);
int vmx_complete_nested_posted_interrupt(struct kvm_vcpu *vcpu);
void nested_svm_inject_exception_vmexit(struct kvm_vcpu *vcpu);

/* helpers/kvm.c */
extern bool kvm_sipi_behind_init;
extern bool kvm_warn_requestless_kick;
void kvm_events_create_debugfs(struct kvm_vcpu *vcpu, struct dentry *parent);
void kvm_events_show(struct kvm_vcpu *vcpu, struct seq_file *file);
void kvm_events_preempt_disable(void);
void kvm_events_preempt_enable(void);
void kvm_events_kick_cpu(int cpu);
void kvm_events_kick_cpu_and_wait(int cpu);
void kvm_events_warn_no_request(struct kvm_vcpu *vcpu);
bool kvm_events_signal_pending(void);
#ifdef CONFIG_LOCKDEP
void kvm_events_assert_owner(struct kvm_vcpu *vcpu);
#endif

/* helpers/vmx.c, helpers/svm.c */
u8 vmx_events_requesting_vector(void);
int vmx_events_posted_vector(struct kvm_vcpu *vcpu);
void vmx_events_warn_no_interrupt(void);
void vmx_events_vmexit(struct kvm_vcpu *vcpu, u32 reason, u32 info, u64 qualification);
void svm_clear_vnmi_pending(struct kvm_vcpu *vcpu);
bool svm_events_gif(struct kvm_vcpu *vcpu);
void svm_events_vmexit(struct kvm_vcpu *vcpu, u32 exit_code);

#endif /* __KVM_RUST_EVENTS_H */
