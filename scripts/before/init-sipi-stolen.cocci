// Seed 5's own defect: KVM takes a snapshot of what is pending, and clears all of it in the end. A
// SIPI that arrives after the snapshot is stolen. The delay makes the window so wide that a sender
// meets it on a busy host too.
// file: arch/x86/kvm/lapic.c

@ delay @
@@
 #include "x86.h"
+#include <linux/delay.h>

@ declare @
identifier v, a;
position p;
@@
 int kvm_apic_accept_events@p(struct kvm_vcpu *v)
 {
 	struct kvm_lapic *a = v->arch.apic;
+	unsigned long pending;
 	...
 }

@ snapshot @
identifier a;
statement S;
position p;
@@
-if (test_and_clear_bit(KVM_APIC_INIT@p, &a->pending_events)) S
+pending = READ_ONCE(a->pending_events);
+if (test_bit(KVM_APIC_INIT, &pending)) S

@ clear_all @
identifier a;
statement S;
position p;
@@
-if (test_and_clear_bit(KVM_APIC_SIPI@p, &a->pending_events)) S
+if (test_bit(KVM_APIC_SIPI, &pending)) S
+udelay(100);
+WRITE_ONCE(a->pending_events, 0);
