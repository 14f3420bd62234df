// The local APIC: how it accepts INIT and SIPI, and how the vCPU takes them.
// file: arch/x86/kvm/lapic.c
// restates: arch/x86/include/asm/kvm_host.h kvm_x86_call by kvm/vendor.rs:static_calls
// restates: arch/x86/kvm/smm.h is_smm by view/vcpu.rs:is_smm
// restates: arch/x86/kvm/kvm_cache_regs.h is_guest_mode by view/vcpu.rs:is_guest_mode until 6.99
// restates: arch/x86/kvm/regs.h is_guest_mode by view/vcpu.rs:is_guest_mode since 7.0
// restates: arch/x86/kvm/lapic.h lapic_in_kernel by view/vcpu.rs:apic
// restates: arch/x86/kvm/lapic.h kvm_apic_has_pending_init_or_sipi by view/vcpu.rs:pending
// restates: arch/x86/kvm/x86.h kvm_set_mp_state by kvm/vcpu.rs:set_mp_state since 7.0
// restates: include/linux/kvm_host.h kvm_make_request by core/request.rs:make_event
// restates: include/linux/kvm_host.h __kvm_make_request by core/request.rs:make_event
// restates: arch/x86/kvm/lapic.h kvm_apic_init_sipi_allowed by kvm/vcpu.rs:blocker

@ declare_events_lapic @
@@
 #include "x86.h"
+#include "rust/bindings/events.h"

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
+r = rust_kvm_apic_accept_init(v, l, t);

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
+r = rust_kvm_apic_accept_sipi(v, n);

@ kvm_apic_accept_events @
identifier v;
position p;
@@
-int kvm_apic_accept_events@p(struct kvm_vcpu *v) { ... }
+int kvm_apic_accept_events(struct kvm_vcpu *v)
+{
+	return rust_kvm_apic_accept_events(v);
+}
