// A HLT whose own retirement overflows a counter sleeps: KVM finds the overflow before the next
// VM-Enter, and not before the vCPU blocks.
// file: arch/x86/kvm/x86.c

@ vcpu_block @
identifier v, h;
position p;
@@
 vcpu_block(struct kvm_vcpu *v)
 {
 	bool h;
+
+	/* The HLT itself may have overflowed a counter; its PMI ends the HLT. */
+	if (v->arch.mp_state == KVM_MP_STATE_HALTED && kvm_check_request(KVM_REQ_PMU, v)) {
+		kvm_pmu_handle_event(v);
+		if (kvm_check_request(KVM_REQ_PMI, v))
+			kvm_pmu_deliver_pmi(v);
+	}

 	if (!kvm_arch_vcpu_runnable@p(v)) { ... }
 	...
 }
