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

// C's own, which Rust calls.
// only: 6.12
@ accept_declaration_6 @
identifier a, d, v, l, t, m;
position p;
@@
-static
 int __apic_accept_irq@p(struct kvm_lapic *a, int d, int v, int l, int t, struct dest_map *m);

// only: 6.12
@ accept_6 @
identifier a, d, v, l, t, m;
position p;
@@
-static
 int __apic_accept_irq@p(struct kvm_lapic *a, int d, int v, int l, int t, struct dest_map *m) { ... }

// only: 7.2
@ accept_declaration_7 @
identifier a, d, v, l, t, m;
position p;
@@
-static
 int __apic_accept_irq@p(struct kvm_lapic *a, int d, int v, int l, int t, struct rtc_status *m);

// only: 7.2
@ accept_7 @
identifier a, d, v, l, t, m;
position p;
@@
-static
 int __apic_accept_irq@p(struct kvm_lapic *a, int d, int v, int l, int t, struct rtc_status *m) { ... }
