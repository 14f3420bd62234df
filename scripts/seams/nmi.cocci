// What Rust owns of NMIs: queue, collect, count, save and restore, reset.
// file: arch/x86/kvm/x86.c
// restates: include/linux/kvm_host.h kvm_make_request by core/request.rs:make_nmi
// restates: include/linux/kvm_host.h __kvm_make_request by core/request.rs:make_nmi
// restates: include/linux/kvm_host.h kvm_test_request by core/request.rs:is_made
// restates: arch/x86/include/asm/kvm_host.h kvm_x86_call by kvm/vendor.rs:static_calls
// restates: arch/x86/kvm/x86.c process_nmi by core/nmi.rs:collect
// restates: arch/x86/kvm/x86.c kvm_get_nr_pending_nmis by core/nmi.rs:save

@ declare_events @
@@
 #include "x86.h"
+#include "rust/bindings/events.h"

@ kvm_inject_nmi @
identifier v;
position p;
@@
-void kvm_inject_nmi@p(struct kvm_vcpu *v) { ... }

@ process_nmi_declaration @
identifier v;
position p;
@@
-static void process_nmi@p(struct kvm_vcpu *v);

@ process_nmi @
identifier v;
position p;
@@
-static void process_nmi@p(struct kvm_vcpu *v) { ... }

@ kvm_get_nr_pending_nmis @
identifier v;
position p;
@@
-int kvm_get_nr_pending_nmis@p(struct kvm_vcpu *v) { ... }

@ get_vcpu_events_collect @
identifier v;
position p;
@@
 kvm_vcpu_ioctl_x86_get_vcpu_events(struct kvm_vcpu *v, ...)
 {
 ...
-process_nmi@p(v);
+kvm_nmi_collect(v);
 ...
 }

@ get_vcpu_events @
expression v;
identifier e;
position p;
@@
-e->nmi.injected@p = v->arch.nmi_injected;
-e->nmi.pending = kvm_get_nr_pending_nmis(v);
-e->nmi.masked = kvm_x86_call(get_nmi_mask)(v);
+kvm_nmi_save(v, e);

@ set_vcpu_events_collect @
identifier v;
position p;
@@
 kvm_vcpu_ioctl_x86_set_vcpu_events(struct kvm_vcpu *v, ...)
 {
 ...
-process_nmi@p(v);
+kvm_nmi_collect(v);
 ...
 }

@ set_vcpu_events @
expression v;
identifier e;
position p;
@@
-v->arch.nmi_injected@p = e->nmi.injected;
-if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) { ... }
-kvm_x86_call(set_nmi_mask)(v, e->nmi.masked);
+kvm_nmi_restore(v, e);

@ kvm_vcpu_has_events_nmi @
expression v;
position p;
@@
-if (kvm_test_request@p(KVM_REQ_NMI, v) ||
-    (v->arch.nmi_pending && kvm_x86_call(nmi_allowed)(v, false)))
+if (kvm_nmi_has_event(v))
 	return true;

@ kvm_vcpu_reset @
expression v;
position p;
@@
-atomic_set@p(&v->arch.nmi_queued, 0);
-v->arch.nmi_pending = 0;
-v->arch.nmi_injected = false;
+kvm_nmi_reset(v);
