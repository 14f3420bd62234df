// A vCPU that waits for SIPI runs for events that its processor blocks: an NMI, an SMI, a PMI, a
// paravirtual kick. Its thread spins.
// file: arch/x86/kvm/x86.c

@ wait @
typedef bool;
identifier v;
position p;
@@
+static bool kvm_vcpu_waits_for_sipi(struct kvm_vcpu *vcpu)
+{
+	return vcpu->arch.mp_state == KVM_MP_STATE_UNINITIALIZED ||
+	       vcpu->arch.mp_state == KVM_MP_STATE_INIT_RECEIVED;
+}
+
+/* All other events are blocked, and stay pending. */
+static bool kvm_sipi_wait_is_over(struct kvm_vcpu *vcpu)
+{
+	return (kvm_apic_has_pending_init_or_sipi(vcpu) && kvm_apic_init_sipi_allowed(vcpu)) ||
+	       kvm_test_request(KVM_REQ_UPDATE_PROTECTED_GUEST_STATE, vcpu);
+}
+
 int kvm_arch_vcpu_runnable@p(struct kvm_vcpu *v) { ... }

@ kvm_arch_vcpu_runnable @
identifier v;
position p;
@@
 kvm_arch_vcpu_runnable@p(struct kvm_vcpu *v)
 {
+	if (kvm_vcpu_waits_for_sipi(v))
+		return kvm_sipi_wait_is_over(v);
+
 	...
 }
