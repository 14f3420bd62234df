// What Rust owns of the local APIC: how it accepts SMI, NMI, INIT and SIPI, and when the vCPU
// takes INIT and SIPI.
// file: arch/x86/kvm/lapic.c
// file: arch/x86/kvm/lapic.h
// restates: arch/x86/kvm/smm.h kvm_inject_smi by kvm/entry.rs:kvm_apic_accept_smi
// restates: arch/x86/kvm/smm.h is_smm by view/vcpu.rs:is_smm
// restates: arch/x86/kvm/kvm_cache_regs.h is_guest_mode by view/vcpu.rs:is_guest_mode until 6.99
// restates: arch/x86/kvm/regs.h is_guest_mode by view/vcpu.rs:is_guest_mode since 7.0
// restates: arch/x86/kvm/lapic.h lapic_in_kernel by view/vcpu.rs:apic
// restates: arch/x86/kvm/lapic.h kvm_apic_has_pending_init_or_sipi by view/vcpu.rs:pending
// restates: arch/x86/kvm/x86.h kvm_set_mp_state by kvm/vcpu.rs:set_mp_state since 7.0
// restates: include/linux/kvm_host.h kvm_vcpu_kick by kvm/vcpu.rs:kick since 7.0
// restates: include/linux/kvm_host.h kvm_make_request by core/request.rs:make_event
// restates: include/linux/kvm_host.h __kvm_make_request by core/request.rs:make_event
// restates: arch/x86/include/asm/kvm_host.h kvm_x86_call by kvm/vendor.rs:static_calls
// restates: arch/x86/kvm/lapic.h kvm_lapic_latched_init by core/init_sipi.rs:has_init

@ declare_events_lapic @
@@
 #include "x86.h"
+#include "rust/bindings/events.h"

@ accept_smi @
expression v, r;
position p;
@@
-if (!kvm_inject_smi@p(v)) {
-	kvm_vcpu_kick(v);
-	r = 1;
-}
+r = kvm_apic_accept_smi(v);

@ accept_nmi @
expression v, r;
position p;
@@
-r = 1;
-kvm_inject_nmi@p(v);
-kvm_vcpu_kick(v);
+r = kvm_apic_accept_nmi(v);

@ accept_init @
expression v, r, a;
identifier t, l;
position p;
@@
-if (!t || l) {
-	r = 1;
-	a->pending_events@p = (1UL << KVM_APIC_INIT);
-	kvm_make_request(KVM_REQ_EVENT, v);
-	kvm_vcpu_kick(v);
-}
+r = kvm_apic_accept_init(v, l, t);

@ accept_sipi @
expression v, r, a, n;
position p;
@@
-r = 1;
-a->sipi_vector@p = n;
-smp_wmb();
-set_bit(KVM_APIC_SIPI, &a->pending_events);
-kvm_make_request(KVM_REQ_EVENT, v);
-kvm_vcpu_kick(v);
+r = kvm_apic_accept_sipi(v, n);

@ kvm_apic_accept_events @
identifier v;
position p;
@@
-int kvm_apic_accept_events@p(struct kvm_vcpu *v) { ... }

@ kvm_apic_init_sipi_allowed @
typedef bool;
identifier v;
position p;
@@
-static inline bool kvm_apic_init_sipi_allowed@p(struct kvm_vcpu *v) { ... }

@ kvm_lapic_latched_init @
identifier v;
position p;
@@
-static inline int kvm_lapic_latched_init@p(struct kvm_vcpu *v) { ... }
