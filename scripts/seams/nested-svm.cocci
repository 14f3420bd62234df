// What Rust owns of L2's events on SVM: which comes first, and what L1 sees of it.
// file: arch/x86/kvm/svm/nested.c
// file: arch/x86/kvm/svm/svm.c
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

// vnmi.cocci needs it too.
// matches: 2
@ declare_events_svm @
@@
 #include "svm.h"
+#include "rust/bindings/events.h"

@ svm_check_nested_events @
identifier v;
position p;
@@
-static int svm_check_nested_events@p(struct kvm_vcpu *v) { ... }

@ svm_apic_init_signal_blocked @
typedef bool;
identifier v;
position p;
@@
-static bool svm_apic_init_signal_blocked@p(struct kvm_vcpu *v) { ... }

// C's own, which Rust calls.
@ nested_svm_inject_exception_vmexit @
identifier v;
position p;
@@
-static
 void nested_svm_inject_exception_vmexit@p(struct kvm_vcpu *v) { ... }

// The SIPI that is kept behind an INIT: only where it is GIF that holds the INIT back.
@ svm_init_waits_for_gif @
position p;
identifier ops;
@@
 struct kvm_x86_ops ops = {
 	...,
 	.apic_init_signal_blocked@p = svm_apic_init_signal_blocked,
+	.init_waits_for_gif = true,
 	...,
 };

@ nested_exit_on_init @
typedef bool;
identifier s;
position p;
@@
-static inline bool nested_exit_on_init@p(struct vcpu_svm *s) { ... }
