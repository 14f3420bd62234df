// SVM: the #DB of a VMRUN that L1 single-steps does not tell of the single step in DR6.
// file: arch/x86/kvm/svm/nested.c

@ nested_svm_vmexit @
expression v;
position p;
@@
-kvm_queue_exception@p(v, DB_VECTOR)
+kvm_queue_exception_p(v, DB_VECTOR, DR6_BS)
