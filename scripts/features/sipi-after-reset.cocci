// kvm.sipi_after_reset (off by default): a SIPI starts an AP that saw no INIT yet, as it starts a
// processor after RESET.
// file: arch/x86/kvm/lapic.c

@ option @
identifier v;
position p;
@@
+/* Whether an AP in KVM_MP_STATE_UNINITIALIZED waits for SIPI, as after RESET. */
+static bool sipi_after_reset;
+module_param(sipi_after_reset, bool, 0644);
+
+static bool kvm_awaits_sipi(struct kvm_vcpu *vcpu)
+{
+	if (vcpu->arch.mp_state == KVM_MP_STATE_UNINITIALIZED)
+		return sipi_after_reset;
+
+	return vcpu->arch.mp_state == KVM_MP_STATE_INIT_RECEIVED;
+}
+
 int kvm_apic_accept_events@p(struct kvm_vcpu *v) { ... }

@ accept @
expression v, a;
position p;
@@
 if (\( test_and_clear_bit(KVM_APIC_SIPI, &a->pending_events) \|
        cmpxchg(&a->pending_events, BIT(KVM_APIC_SIPI), 0) == BIT(KVM_APIC_SIPI) \)) {
-	if (v->arch.mp_state@p == KVM_MP_STATE_INIT_RECEIVED) {
+	if (kvm_awaits_sipi(v)) {
 		...
 	}
 }
