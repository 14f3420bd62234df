// The local APIC: how it accepts INIT and SIPI, and how the vCPU takes them.
// file: arch/x86/kvm/lapic.c

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
