// The PMI: recording an overflow, perf's callback, delivery through the local vector table.
// file: arch/x86/kvm/pmu.c
// file: arch/x86/kvm/lapic.c

@ declare_events_pmu @
@@
 #include "pmu.h"
+#include "rust/bindings/events.h"

@ __kvm_perf_overflow @
typedef bool;
identifier c, i;
position p;
@@
-static inline void __kvm_perf_overflow@p(struct kvm_pmc *c, bool i) { ... }
+static inline void __kvm_perf_overflow(struct kvm_pmc *c, bool i)
+{
+	rust_kvm_pmc_overflow(c, i);
+}

@ kvm_perf_overflow @
identifier e, d, r;
position p;
@@
 static void kvm_perf_overflow@p(struct perf_event *e, struct perf_sample_data *d, struct pt_regs *r)
 {
-	...
+	rust_kvm_perf_overflow(e->overflow_handler_context);
 }

@ kvm_apic_local_deliver @
identifier a, t;
position p;
@@
-int kvm_apic_local_deliver@p(struct kvm_lapic *a, int t) { ... }
+int kvm_apic_local_deliver(struct kvm_lapic *a, int t)
+{
+	return rust_kvm_apic_local_deliver(a, t);
+}

// Rust calls it: __apic_accept_irq() is static.
@ kvm_events_accept_irq @
identifier v, w;
position p;
@@
+int kvm_events_accept_irq(struct kvm_lapic *apic, int mode, int vector, int trig_mode)
+{
+	return __apic_accept_irq(apic, mode, vector, 1, trig_mode, NULL);
+}
+
 int kvm_apic_compare_prio@p(struct kvm_vcpu *v, struct kvm_vcpu *w) { ... }
