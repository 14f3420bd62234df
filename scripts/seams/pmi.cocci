// What Rust owns of the PMI: recording an overflow, perf's callback, delivery.
// file: arch/x86/kvm/pmu.c
// file: arch/x86/kvm/lapic.c
// restates: arch/x86/kvm/pmu.h pmc_to_pmu by kvm/pmu.rs:pmu
// restates: arch/x86/kvm/lapic.h lapic_in_kernel by view/vcpu.rs:apic
// restates: arch/x86/kvm/lapic.h kvm_apic_hw_enabled by kvm/lapic.rs:is_enabled
// restates: arch/x86/kvm/lapic.h kvm_lapic_get_reg by kvm/lapic.rs:entry
// restates: arch/x86/kvm/lapic.h __kvm_lapic_get_reg by kvm/lapic.rs:entry until 6.99
// restates: arch/x86/include/asm/apic.h apic_get_reg by kvm/lapic.rs:entry since 7.0
// restates: arch/x86/kvm/lapic.c kvm_lapic_set_reg by kvm/lapic.rs:set_entry
// restates: arch/x86/kvm/lapic.c __kvm_lapic_set_reg by kvm/lapic.rs:set_entry until 6.99
// restates: arch/x86/include/asm/apic.h apic_set_reg by kvm/lapic.rs:set_entry since 7.0
// restates: arch/x86/kvm/cpuid.h guest_cpuid_is_intel_compatible by kvm/lapic.rs:is_intel_compatible
// restates: arch/x86/kvm/cpuid.h guest_cpuid_is_amd_compatible by kvm/lapic.rs:is_intel_compatible
// restates: arch/x86/include/asm/kvm_host.h kvm_pmu_call by kvm/vendor.rs:static_calls until 6.99
// restates: arch/x86/kvm/pmu.h kvm_pmu_call by kvm/vendor.rs:static_calls since 7.0
// restates: include/linux/kvm_host.h kvm_make_request by core/request.rs:make_pmi
// restates: include/linux/kvm_host.h __kvm_make_request by core/request.rs:make_pmi
// restates: arch/x86/include/asm/apicdef.h APIC_LVT_MASKED by core/lvt.rs:is_masked
// restates: arch/x86/include/asm/apicdef.h APIC_VECTOR_MASK by core/lvt.rs:vector
// restates: arch/x86/include/asm/apicdef.h APIC_MODE_MASK by core/lvt.rs:mode
// restates: arch/x86/include/asm/apicdef.h APIC_LVT_LEVEL_TRIGGER by core/lvt.rs:trigger
// restates: arch/x86/include/asm/perf_event.h GLOBAL_STATUS_BUFFER_OVF_BIT by core/pmi.rs:OVF_BUFFER
// restates: arch/x86/kvm/pmu.c __kvm_perf_overflow by core/pmi.rs:record

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
// until: 6.99
@ accept_declaration_6 @
identifier a, d, v, l, t, m;
position p;
@@
-static
 int __apic_accept_irq@p(struct kvm_lapic *a, int d, int v, int l, int t, struct dest_map *m);

// until: 6.99
@ accept_6 @
identifier a, d, v, l, t, m;
position p;
@@
-static
 int __apic_accept_irq@p(struct kvm_lapic *a, int d, int v, int l, int t, struct dest_map *m) { ... }

// since: 7.0
@ accept_declaration_7 @
identifier a, d, v, l, t, m;
position p;
@@
-static
 int __apic_accept_irq@p(struct kvm_lapic *a, int d, int v, int l, int t, struct rtc_status *m);

// since: 7.0
@ accept_7 @
identifier a, d, v, l, t, m;
position p;
@@
-static
 int __apic_accept_irq@p(struct kvm_lapic *a, int d, int v, int l, int t, struct rtc_status *m) { ... }
