// L2's events on SVM: which comes first, and what L1 sees of it.
// file: arch/x86/kvm/svm/nested.c

@ declare_events_svm @
@@
 #include "svm.h"
+#include "rust/bindings/events.h"

@ svm_check_nested_events @
identifier v;
position p;
@@
-static int svm_check_nested_events@p(struct kvm_vcpu *v) { ... }
+static int svm_check_nested_events(struct kvm_vcpu *v)
+{
+	return rust_svm_check_nested_events(v);
+}

// Rust calls it.
@ nested_svm_inject_exception_vmexit @
identifier v;
position p;
@@
-static
 void nested_svm_inject_exception_vmexit@p(struct kvm_vcpu *v) { ... }
