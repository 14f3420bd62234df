// What Rust keeps of a vCPU for an operator to see, and the file in debugfs that shows it.
// file: arch/x86/include/asm/kvm_host.h
// file: arch/x86/kvm/debugfs.c

@ counts @
position p;
@@
 struct kvm_vcpu_arch {
 	...
 	atomic_t nmi_queued@p;
+	/* What came of INITs and SIPIs: rust/core/state.rs. */
+	struct kvm_event_counts {
+		u64 init_latched;
+		u64 init_taken;
+		u64 sipi_taken;
+		u64 sipi_blocked;
+		u64 sipi_not_awaited;
+		bool init_waits;
+	} event_counts;
 	...
 };

@ init_waits_for_gif @
position p;
@@
 struct kvm_x86_ops {
 	...
 	bool (*apic_init_signal_blocked@p)(struct kvm_vcpu *vcpu);
+	bool init_waits_for_gif;
 	...
 };

@ declare_events_debugfs @
@@
 #include "lapic.h"
+#include "rust/bindings/events.h"

@ kvm_arch_create_vcpu_debugfs @
identifier v, d;
position p;
@@
 void kvm_arch_create_vcpu_debugfs@p(struct kvm_vcpu *v, struct dentry *d)
 {
+	kvm_events_create_debugfs(v, d);
 	...
 }
