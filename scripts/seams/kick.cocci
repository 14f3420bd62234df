// What Rust owns of the kick: all of it, the waking of a vCPU that sleeps too.
// file: virt/kvm/kvm_main.c
// file: arch/x86/kvm/x86.c
// restates: include/linux/kvm_host.h kvm_vcpu_exiting_guest_mode by core/mode.rs:exit_guest
// restates: include/linux/kvm_host.h kvm_request_pending by core/request.rs:any
// restates: include/linux/kvm_host.h __kvm_vcpu_wake_up by kvm/kick.rs:wake_up
// restates: include/linux/kvm_host.h kvm_arch_vcpu_get_wait by kvm/kick.rs:wake_up
// restates: virt/kvm/kvm_main.c kvm_running_vcpu by kvm/kick.rs:running_vcpu
// restates: virt/kvm/kvm_main.c ack_kick by helpers/kvm.c:left_guest since 7.0

@ declare_events_main @
@@
 #include "kvm_mm.h"
+#include "rust/bindings/events.h"

// until: 6.99
@ kvm_vcpu_kick @
identifier v;
position p;
@@
-void kvm_vcpu_kick@p(struct kvm_vcpu *v) { ... }

// since: 7.0
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
