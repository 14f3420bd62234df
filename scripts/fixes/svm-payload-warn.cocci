// SVM: an exception with a payload, as userspace may set it with any vector, warns when it exits to
// L1, each time.
// file: arch/x86/kvm/svm/nested.c

@ nested_svm_inject_exception_vmexit @
expression e;
position p;
@@
-WARN_ON@p(e->has_payload);
+		/* Userspace may set one with any vector. Nothing looks at it. */
+		e->has_payload = false;
