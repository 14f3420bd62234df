// The wait for SIPI: what makes a vCPU in it runnable.
// file: arch/x86/kvm/x86.c

@ kvm_arch_vcpu_runnable @
identifier v;
position p;
@@
 kvm_arch_vcpu_runnable@p(struct kvm_vcpu *v)
 {
+	if (rust_kvm_waits_for_sipi(v))
+		return rust_kvm_sipi_wait_is_over(v);
+
 	...
 }
