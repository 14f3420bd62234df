// Seed 4 put back: NMI is serviced before PMI, which may make one.
// seed: 4
// file: arch/x86/kvm/x86.c

@ remove @
expression v;
position p;
@@
-if (kvm_check_request@p(KVM_REQ_NMI, v)) process_nmi(v);

@ nmi_first @
expression v;
position p;
@@
+if (kvm_check_request(KVM_REQ_NMI, v)) process_nmi(v);
 if (kvm_check_request@p(KVM_REQ_PMU, v)) kvm_pmu_handle_event(v);
