// L2's events on SVM: which comes first, and what L1 sees of it.
// file: arch/x86/kvm/svm/nested.c
// restates: arch/x86/kvm/svm/svm.h to_svm by svm/l2.rs:svm
// restates: arch/x86/kvm/svm/svm.h vmcb12_is_intercept by svm/l2.rs:intercepts
// restates: arch/x86/kvm/svm/svm.h __vmcb_is_intercept by svm/l2.rs:intercepts since 7.0
// restates: arch/x86/kvm/svm/svm.h nested_exit_on_smi by svm/l2.rs:intercepts
// restates: arch/x86/kvm/svm/svm.h nested_exit_on_intr by svm/l2.rs:intercepts
// restates: arch/x86/kvm/svm/svm.h nested_exit_on_nmi by svm/l2.rs:intercepts
// restates: arch/x86/kvm/x86.h kvm_event_needs_reinjection by view/vcpu.rs:is_reinjecting
// restates: arch/x86/kvm/lapic.h lapic_in_kernel by view/vcpu.rs:apic
// restates: arch/x86/include/uapi/asm/svm.h SVM_EXIT_INTR by core/svm.rs:code
// restates: arch/x86/include/uapi/asm/svm.h SVM_EXIT_NMI by core/svm.rs:code
// restates: arch/x86/include/uapi/asm/svm.h SVM_EXIT_SMI by core/svm.rs:code
// restates: arch/x86/include/uapi/asm/svm.h SVM_EXIT_INIT by core/svm.rs:code
// restates: arch/x86/kvm/svm/nested.c nested_exit_on_init by svm/l2.rs:intercepts

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
