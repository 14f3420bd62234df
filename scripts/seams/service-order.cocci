// The order of service before VM-Enter: PMU, PMI, SMI and NMI requests. Two rules: C has the SMI
// request inside an #ifdef, where Coccinelle matches no sequence across it.
// file: arch/x86/kvm/x86.c
// restates: include/linux/kvm_host.h kvm_check_request by core/request.rs:take
// restates: include/linux/kvm_host.h kvm_test_request by core/request.rs:is_made
// restates: include/linux/kvm_host.h kvm_clear_request by core/request.rs:drop_request

@ pmu_pmi @
identifier v;
position p;
@@
 vcpu_enter_guest(struct kvm_vcpu *v)
 {
 <...
-if (kvm_check_request@p(KVM_REQ_PMU, v)) kvm_pmu_handle_event(v);
-if (kvm_check_request(KVM_REQ_PMI, v)) kvm_pmu_deliver_pmi(v);
+if (READ_ONCE(v->requests) & KVM_EVENTS_SERVED)
+	rust_kvm_service_events(v);
 ...>
 }

@ smi @
identifier v;
position p;
@@
 vcpu_enter_guest(struct kvm_vcpu *v)
 {
 <...
-if (kvm_check_request@p(KVM_REQ_SMI, v)) process_smi(v);
 ...>
 }

@ nmi @
expression v;
position p;
@@
-if (kvm_check_request@p(KVM_REQ_NMI, v)) process_nmi(v);
