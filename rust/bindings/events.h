/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Event delivery in Rust (CONFIG_KVM_X86_EVENTS_RUST): the functions of Rust that C calls, rust_*(), and
 * the C that Rust calls. The compiler checks each rust_*() against its definition
 * (../kvm/entry.rs, ../vmx/entry.rs, ../svm/entry.rs), which also says what it does.
 */
#ifndef __KVM_RUST_EVENTS_H
#define __KVM_RUST_EVENTS_H

#include <linux/types.h>

struct dentry;
struct kvm_lapic;
struct kvm_pmc;
struct kvm_vcpu;
struct kvm_vcpu_events;
struct seq_file;

/* The requests that rust_kvm_service_events() serves; core/request.rs has the same. */
#define KVM_EVENTS_BIT(req)	(1ull << ((req) & KVM_REQUEST_MASK))
#ifdef CONFIG_KVM_SMM
#define KVM_EVENTS_SMI		KVM_EVENTS_BIT(KVM_REQ_SMI)
#else
#define KVM_EVENTS_SMI		0
#endif
#define KVM_EVENTS_SERVED	(KVM_EVENTS_BIT(KVM_REQ_PMU) | KVM_EVENTS_BIT(KVM_REQ_PMI) |	\
				 KVM_EVENTS_BIT(KVM_REQ_NMI) | KVM_EVENTS_SMI)

/* NMI, and the order of service. */
void rust_kvm_inject_nmi(struct kvm_vcpu *vcpu);
void rust_process_nmi(struct kvm_vcpu *vcpu);
void rust_kvm_service_events(struct kvm_vcpu *vcpu);
void rust_kvm_nmi_reset(struct kvm_vcpu *vcpu);
bool rust_kvm_nmi_has_event(struct kvm_vcpu *vcpu);
void rust_kvm_set_pending_nmis(struct kvm_vcpu *vcpu, u8 count);

/* PMI. */
void rust_kvm_perf_overflow(void *pmc);
void rust_kvm_pmc_overflow(struct kvm_pmc *pmc, bool in_pmi);
int rust_kvm_apic_local_deliver(struct kvm_lapic *apic, int lvt_type);
void rust_kvm_pmu_settle(struct kvm_vcpu *vcpu);

/* The kick. */
void rust_kvm_vcpu_kick_self(struct kvm_vcpu *vcpu);
int rust_kvm_arch_vcpu_should_kick(struct kvm_vcpu *vcpu);

/* INIT and SIPI. */
int rust_kvm_apic_accept_init(struct kvm_vcpu *vcpu, int level, int trig_mode);
int rust_kvm_apic_accept_sipi(struct kvm_vcpu *vcpu, int vector);
int rust_kvm_apic_accept_events(struct kvm_vcpu *vcpu);
bool rust_kvm_waits_for_sipi(struct kvm_vcpu *vcpu);
bool rust_kvm_sipi_wait_is_over(struct kvm_vcpu *vcpu);
void rust_kvm_set_mp_state(struct kvm_vcpu *vcpu, u32 state);
void rust_kvm_init_save(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events);
void rust_kvm_init_restore(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events);

/* L2's events. */
int rust_vmx_check_nested_events(struct kvm_vcpu *vcpu);
bool rust_vmx_has_nested_events(struct kvm_vcpu *vcpu, bool for_injection);
int rust_svm_check_nested_events(struct kvm_vcpu *vcpu);

/* An operator's view. */
void rust_kvm_events_show(struct kvm_vcpu *vcpu, struct seq_file *file);

/* C's static functions that Rust calls; not static with CONFIG_KVM_X86_EVENTS_RUST. */
int kvm_events_accept_irq(struct kvm_lapic *apic, int mode, int vector, int trig_mode);
void nested_vmx_update_pending_dbg(struct kvm_vcpu *vcpu);
void nested_vmx_inject_exception_vmexit(struct kvm_vcpu *vcpu);
int vmx_complete_nested_posted_interrupt(struct kvm_vcpu *vcpu);
void nested_svm_inject_exception_vmexit(struct kvm_vcpu *vcpu);

/* ../helpers/{kvm,vmx,svm}.c: each module has its own, which is not exported. */
#ifdef CONFIG_LOCKDEP
void kvm_events_assert_owner(struct kvm_vcpu *vcpu);
void vmx_events_assert_owner(struct kvm_vcpu *vcpu);
void svm_events_assert_owner(struct kvm_vcpu *vcpu);
#endif

/* ../helpers/kvm.c */
extern bool kvm_sipi_behind_init;
extern bool kvm_sipi_after_reset;
extern bool kvm_warn_requestless_kick;
void kvm_events_create_debugfs(struct kvm_vcpu *vcpu, struct dentry *parent);
void kvm_events_warn_no_request(struct kvm_vcpu *vcpu);
void kvm_events_clear_vnmi_pending(struct kvm_vcpu *vcpu);
bool kvm_events_init_waits_for_gif(void);

/* ../helpers/vmx.c */
u8 vmx_events_requesting_vector(void);
int vmx_events_posted_vector(struct kvm_vcpu *vcpu);
void vmx_events_warn_no_interrupt(void);
void vmx_events_vmexit(struct kvm_vcpu *vcpu, u32 reason, u32 info, u64 qualification);

/* ../helpers/svm.c */
void svm_events_vmexit(struct kvm_vcpu *vcpu, u32 exit_code);

#endif /* __KVM_RUST_EVENTS_H */
