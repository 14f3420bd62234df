// SVM: a vCPU that is forced out of L2 keeps the exception that was to exit to L1. Userspace sees it
// pending in L1, and the next KVM_RUN warns.
// file: arch/x86/kvm/svm/nested.c

@ svm_leave_nested @
identifier v, s;
position p;
@@
 s->nested.vmcb12_gpa@p = INVALID_GPA;
+	v->arch.exception_vmexit.pending = false;

 leave_guest_mode(v);
