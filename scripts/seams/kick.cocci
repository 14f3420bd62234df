// The kick: the change of the vCPU's mode, by the vCPU's own thread and by others.
// file: virt/kvm/kvm_main.c
// file: arch/x86/kvm/x86.c
// restates: include/linux/kvm_host.h kvm_vcpu_exiting_guest_mode by core/mode.rs:exit_guest
// restates: include/linux/kvm_host.h kvm_request_pending by core/request.rs:any

@ declare_events_main @
@@
 #include "kvm_mm.h"
+#include "rust/bindings/events.h"

@ kick_self @
expression v;
identifier l;
position p;
@@
 if (v == __this_cpu_read@p(kvm_running_vcpu)) {
-	if (v->mode == IN_GUEST_MODE)
-		WRITE_ONCE(v->mode, EXITING_GUEST_MODE);
+	rust_kvm_vcpu_kick_self(v);
 	goto l;
 }

@ kvm_arch_vcpu_should_kick @
identifier v;
position p;
@@
-int kvm_arch_vcpu_should_kick@p(struct kvm_vcpu *v) { ... }
+int kvm_arch_vcpu_should_kick(struct kvm_vcpu *v)
+{
+	return rust_kvm_arch_vcpu_should_kick(v);
+}
