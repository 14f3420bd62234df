// L2's events on VMX: which comes first, and what L1 sees of it.
// file: arch/x86/kvm/vmx/nested.c

@ declare_events_vmx @
@@
 #include "nested.h"
+#include "rust/bindings/events.h"

@ vmx_check_nested_events @
identifier v;
position p;
@@
-static int vmx_check_nested_events@p(struct kvm_vcpu *v) { ... }
+static int vmx_check_nested_events(struct kvm_vcpu *v)
+{
+	return rust_vmx_check_nested_events(v);
+}

@ vmx_has_nested_events @
typedef bool;
identifier v, i;
position p;
@@
-static bool vmx_has_nested_events@p(struct kvm_vcpu *v, bool i) { ... }
+static bool vmx_has_nested_events(struct kvm_vcpu *v, bool i)
+{
+	return rust_vmx_has_nested_events(v, i);
+}

// Only the two above call these.
@ vmx_is_low_priority_db_trap @
typedef bool;
identifier e;
position p;
@@
-static bool vmx_is_low_priority_db_trap@p(struct kvm_queued_exception *e) { ... }

@ nested_vmx_preemption_timer_pending @
typedef bool;
identifier v;
position p;
@@
-static bool nested_vmx_preemption_timer_pending@p(struct kvm_vcpu *v) { ... }

// Rust calls these.
@ vmx_complete_nested_posted_interrupt @
identifier v;
position p;
@@
-static
 int vmx_complete_nested_posted_interrupt@p(struct kvm_vcpu *v) { ... }

@ nested_vmx_inject_exception_vmexit @
identifier v;
position p;
@@
-static
 void nested_vmx_inject_exception_vmexit@p(struct kvm_vcpu *v) { ... }

@ nested_vmx_update_pending_dbg @
identifier v;
position p;
@@
-static
 void nested_vmx_update_pending_dbg@p(struct kvm_vcpu *v) { ... }
