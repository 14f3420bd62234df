/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What C calls of event delivery in Rust. A declaration here is checked against its
 * definition in ../kvm/entry.rs at compile time. What a function does is said there.
 */
#ifndef __KVM_RUST_EVENTS_H
#define __KVM_RUST_EVENTS_H

#include <linux/types.h>

struct kvm_vcpu;
struct kvm_vcpu_events;

void kvm_service_events(struct kvm_vcpu *vcpu);

void kvm_nmi_collect(struct kvm_vcpu *vcpu);
void kvm_nmi_reset(struct kvm_vcpu *vcpu);
bool kvm_nmi_has_event(struct kvm_vcpu *vcpu);
void kvm_nmi_save(struct kvm_vcpu *vcpu, struct kvm_vcpu_events *events);
void kvm_nmi_restore(struct kvm_vcpu *vcpu, const struct kvm_vcpu_events *events);

bool kvm_waits_for_sipi(struct kvm_vcpu *vcpu);
bool kvm_sipi_wait_is_over(struct kvm_vcpu *vcpu);

/* helpers/svm.c */
void svm_clear_vnmi_pending(struct kvm_vcpu *vcpu);

#endif /* __KVM_RUST_EVENTS_H */
