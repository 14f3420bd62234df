// A nested VM-Exit before the VM-Enter that KVM owes L2, as userspace can bring about by a triple
// fault, leaves that VM-Enter pending in L1: VMX ends the VM by a KVM_BUG_ON(), SVM's L1 gets no event.
// file: arch/x86/kvm/svm/nested.c
// file: arch/x86/kvm/vmx/nested.c

// until: 6.99
@ svm_6 @
expression s;
position p;
@@
 s->nested.vmcb12_gpa = 0;
-WARN_ON_ONCE@p(s->nested.nested_run_pending);
+s->nested.nested_run_pending = false;

// since: 7.0
@ svm_7 @
expression s, v;
position p;
@@
 s->nested.vmcb12_gpa = 0;
 kvm_warn_on_nested_run_pending@p(v);
+v->arch.nested_run_pending = 0;

// until: 6.99
@ vmx_6 @
expression x;
position p;
@@
 x->nested.mtf_pending = false;
-WARN_ON_ONCE@p(x->nested.nested_run_pending);
+x->nested.nested_run_pending = false;

// since: 7.0
@ vmx_7 @
expression x, v;
position p;
@@
 x->nested.mtf_pending = false;
 kvm_warn_on_nested_run_pending@p(v);
+v->arch.nested_run_pending = 0;
