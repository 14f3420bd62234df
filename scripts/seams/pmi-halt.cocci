// The PMI of a HLT whose own retirement overflows a counter.
// file: arch/x86/kvm/x86.c
// restates: include/linux/kvm_host.h kvm_check_request by core/request.rs:take

@ vcpu_block @
expression v;
position p;
@@
-if (v->arch.mp_state == KVM_MP_STATE_HALTED && kvm_check_request@p(KVM_REQ_PMU, v)) {
-	kvm_pmu_handle_event(v);
-	if (kvm_check_request(KVM_REQ_PMI, v))
-		kvm_pmu_deliver_pmi(v);
-}
+rust_kvm_pmu_settle(v);
