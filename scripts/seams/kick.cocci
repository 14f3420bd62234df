// What Rust owns of the kick: all of it, the waking of a vCPU that sleeps too.
// file: virt/kvm/kvm_main.c
// file: arch/x86/kvm/x86.c

@ declare_events_main @
@@
 #include "kvm_mm.h"
+#include "rust/bindings/events.h"

// only: 6.12
@ kvm_vcpu_kick @
identifier v;
position p;
@@
-void kvm_vcpu_kick@p(struct kvm_vcpu *v) { ... }

// only: 7.2
@ kvm_vcpu_kick_wait @
identifier v, w;
position p;
@@
-void __kvm_vcpu_kick@p(struct kvm_vcpu *v, bool w) { ... }

@ kvm_vcpu_wake_up @
typedef bool;
identifier v;
position p;
@@
-bool kvm_vcpu_wake_up@p(struct kvm_vcpu *v) { ... }

@ kvm_arch_vcpu_should_kick @
identifier v;
position p;
@@
-int kvm_arch_vcpu_should_kick@p(struct kvm_vcpu *v) { ... }

@ running_vcpu @
declarer name DEFINE_PER_CPU;
position p;
@@
-static DEFINE_PER_CPU@p(struct kvm_vcpu *, kvm_running_vcpu);
+DEFINE_PER_CPU(struct kvm_vcpu *, kvm_running_vcpu);
