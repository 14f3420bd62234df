// Seed 1 put back: KVM_SET_VCPU_EVENTS requests NMI service with no NMI pending.
// seed: 1
// file: arch/x86/kvm/x86.c

@ request_always @
expression v;
identifier e;
position p;
@@
-if (e->nmi.pending)
-	kvm_make_request@p(KVM_REQ_NMI, v);
+kvm_make_request(KVM_REQ_NMI, v);
