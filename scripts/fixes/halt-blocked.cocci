// An NMI or an SMI that is blocked ends a HLT: KVM looks at the request, and not whether it can
// be delivered.
// file: arch/x86/kvm/x86.c

@ nmi @
expression v;
position p;
@@
 if (
+    (
     kvm_test_request@p(KVM_REQ_NMI, v) ||
-    (
     v->arch.nmi_pending
+    )
     && kvm_x86_call(nmi_allowed)(v, false)
-    )
    )
 	return true;

@ smi @
expression v;
position p;
@@
 if (
+    (
     kvm_test_request@p(KVM_REQ_SMI, v) ||
-    (
     v->arch.smi_pending
+    )
     && kvm_x86_call(smi_allowed)(v, false)
-    )
    )
 	return true;
