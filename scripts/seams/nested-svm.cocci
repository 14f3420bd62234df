// What Rust owns of L2's events on SVM: which comes first, and what L1 sees of it.
// file: arch/x86/kvm/svm/nested.c
// file: arch/x86/kvm/svm/svm.c

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
