// What Rust owns of the wait for SIPI: what ends it.
// file: arch/x86/kvm/x86.c

@ kvm_vcpu_has_events @
identifier v;
position p;
@@
 kvm_vcpu_has_events@p(struct kvm_vcpu *v)
 {
+	if (kvm_waits_for_sipi(v))
+		return kvm_sipi_wait_is_over(v);
+
 ...
 }
