// INIT drops the NMIs that are pending, but not their request.
// file: arch/x86/kvm/x86.c

@ kvm_vcpu_reset @
expression v;
position p;
@@
+/* Before the count: a sender makes the request after it has counted. */
+kvm_clear_request(KVM_REQ_NMI, v);
 atomic_set@p(&v->arch.nmi_queued, 0);
 v->arch.nmi_pending = 0;
 v->arch.nmi_injected = false;
