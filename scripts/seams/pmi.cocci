// What Rust owns of the PMI: recording an overflow, perf's callback, delivery.
// file: arch/x86/kvm/pmu.c
// file: arch/x86/kvm/lapic.c

@ declare_events_pmu @
@@
 #include "pmu.h"
+#include "rust/bindings/events.h"

@ __kvm_perf_overflow @
identifier c, i;
position p;
@@
-static inline void __kvm_perf_overflow@p(struct kvm_pmc *c, bool i) { ... }

@ kvm_perf_overflow @
identifier e, d, r;
position p;
@@
-static void kvm_perf_overflow@p(struct perf_event *e, struct perf_sample_data *d, struct pt_regs *r) { ... }

@ reprogram_counter @
expression c;
position p;
@@
-__kvm_perf_overflow@p(c, false);
+kvm_pmc_emulated_overflow(c);

@ kvm_pmu_deliver_pmi @
identifier v;
position p;
@@
-void kvm_pmu_deliver_pmi@p(struct kvm_vcpu *v) { ... }

@ kvm_apic_local_deliver @
identifier a, t;
position p;
@@
-int kvm_apic_local_deliver@p(struct kvm_lapic *a, int t) { ... }
+int kvm_events_accept_irq(struct kvm_lapic *a, int mode, int vector, int trigger)
+{
+	return __apic_accept_irq(a, mode, vector, 1, trigger, NULL);
+}
