// The PMI of a HLT whose own retirement overflows a counter.
// file: arch/x86/kvm/x86.c
// restates: include/linux/kvm_host.h kvm_check_request by core/request.rs:take

@ vcpu_block @
identifier v, h;
position p;
@@
 vcpu_block(struct kvm_vcpu *v)
 {
 	bool h;
+
+	rust_kvm_pmu_settle(v);

 	if (!kvm_arch_vcpu_runnable@p(v)) { ... }
 	...
 }
