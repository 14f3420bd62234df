// The wait for SIPI: what makes a vCPU in it runnable.
// file: arch/x86/kvm/x86.c
// restates: arch/x86/kvm/x86.c kvm_vcpu_has_events by core/mp_state.rs:wait_is_over
// restates: arch/x86/kvm/x86.c kvm_arch_vcpu_runnable by core/mp_state.rs:wait_is_over
// restates: arch/x86/kvm/x86.c kvm_vcpu_running by core/mp_state.rs:wait_is_over
// restates: arch/x86/kvm/lapic.h kvm_apic_has_pending_init_or_sipi by kvm/vcpu.rs:has_init_or_sipi
// restates: include/linux/kvm_host.h kvm_test_request by kvm/vcpu.rs:has_new_protected_state
// restates: arch/x86/kvm/lapic.h kvm_apic_init_sipi_allowed by kvm/vcpu.rs:blocker

@ kvm_vcpu_waits_for_sipi @
typedef bool;
identifier v;
position p;
@@
-static bool kvm_vcpu_waits_for_sipi@p(struct kvm_vcpu *v) { ... }
+static bool kvm_vcpu_waits_for_sipi(struct kvm_vcpu *v)
+{
+	return rust_kvm_waits_for_sipi(v);
+}

@ kvm_sipi_wait_is_over @
typedef bool;
identifier v;
position p;
@@
-static bool kvm_sipi_wait_is_over@p(struct kvm_vcpu *v) { ... }
+static bool kvm_sipi_wait_is_over(struct kvm_vcpu *v)
+{
+	return rust_kvm_sipi_wait_is_over(v);
+}
