// What Rust owns of the wait for SIPI: what ends it.
// file: arch/x86/kvm/x86.c
// restates: arch/x86/kvm/x86.c kvm_vcpu_has_events by core/mp_state.rs:wait_is_over
// restates: arch/x86/kvm/x86.c kvm_arch_vcpu_runnable by core/mp_state.rs:wait_is_over
// restates: arch/x86/kvm/x86.c kvm_vcpu_running by core/mp_state.rs:wait_is_over
// restates: arch/x86/kvm/lapic.h kvm_apic_has_pending_init_or_sipi by kvm/vcpu.rs:has_init_or_sipi
// restates: include/linux/kvm_host.h kvm_test_request by kvm/vcpu.rs:has_new_protected_state

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
