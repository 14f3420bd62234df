// NMIs: the queue and its request, collection, restore, reset.
// file: arch/x86/kvm/x86.c
// restates: arch/x86/include/asm/kvm_host.h kvm_x86_call by kvm/vendor.rs:static_calls
// restates: include/linux/kvm_host.h kvm_make_request by core/request.rs:make_nmi
// restates: include/linux/kvm_host.h __kvm_make_request by core/request.rs:make_nmi
// restates: include/linux/kvm_host.h kvm_test_request by core/request.rs:is_made

@ declare_events @
@@
 #include "x86.h"
+#include "rust/bindings/events.h"

@ kvm_inject_nmi @
identifier v;
position p;
@@
-void kvm_inject_nmi@p(struct kvm_vcpu *v) { ... }
+void kvm_inject_nmi(struct kvm_vcpu *v)
+{
+	rust_kvm_inject_nmi(v);
+}

@ process_nmi @
identifier v;
position p;
@@
-static void process_nmi@p(struct kvm_vcpu *v) { ... }
+static void process_nmi(struct kvm_vcpu *v)
+{
+	rust_process_nmi(v);
+}

@ set_vcpu_events_nmi @
expression v;
identifier e;
position p;
@@
 if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) {
-	if (kvm_x86_ops.clear_vnmi_pending)
-		kvm_x86_ops.clear_vnmi_pending(v);
-	v->arch.nmi_pending@p = 0;
-	atomic_set(&v->arch.nmi_queued, e->nmi.pending);
-	if (e->nmi.pending)
-		kvm_make_request(KVM_REQ_NMI, v);
+	rust_kvm_set_pending_nmis(v, e->nmi.pending);
 }

@ kvm_vcpu_has_events_nmi @
expression v;
position p;
@@
(
-if (kvm_test_request@p(KVM_REQ_NMI, v) ||
-    (v->arch.nmi_pending && kvm_x86_call(nmi_allowed)(v, false)))
+if (rust_kvm_nmi_has_event(v))
 	return true;
|
-if ((kvm_test_request@p(KVM_REQ_NMI, v) || v->arch.nmi_pending) &&
-    kvm_x86_call(nmi_allowed)(v, false))
+if (rust_kvm_nmi_has_event(v))
 	return true;
)

@ kvm_vcpu_reset @
expression v;
position p;
@@
-kvm_clear_request@p(KVM_REQ_NMI, v);
-atomic_set(&v->arch.nmi_queued, 0);
-v->arch.nmi_pending = 0;
-v->arch.nmi_injected = false;
+rust_kvm_nmi_reset(v);
