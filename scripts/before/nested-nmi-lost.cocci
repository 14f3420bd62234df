// An NMI that L1 intercepts is no exit to L1.
// file: arch/x86/kvm/svm/nested.c
// file: arch/x86/kvm/vmx/nested.c

@ svm @
expression v;
position p;
@@
-if (v->arch.nmi_pending && !svm_nmi_blocked@p(v)) { ... }

@ vmx @
expression v;
position p;
@@
-if (v->arch.nmi_pending && !vmx_nmi_blocked@p(v)) { ... }
