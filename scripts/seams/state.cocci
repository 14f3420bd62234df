// What Rust keeps of a vCPU for an operator to see, and the file in debugfs that shows it.
// file: arch/x86/include/asm/kvm_host.h
// file: arch/x86/kvm/debugfs.c

@ counts @
typedef bool, u64;
position p;
@@
 struct kvm_vcpu_arch {
 	...
+	struct kvm_event_counts {
+		u64 init_latched;
+		u64 init_taken;
+		u64 sipi_taken;
+		u64 sipi_blocked;
+		u64 sipi_not_awaited;
+		bool init_waits;
+	} event_counts;
 	atomic_t nmi_queued@p;
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
