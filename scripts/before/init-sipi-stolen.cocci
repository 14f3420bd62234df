// Seed 5's own defect: what is pending is a snapshot, and all of it is cleared in the end. A
// SIPI that is sent after the snapshot was taken is stolen.
// file: arch/x86/kvm/lapic.c

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
+WRITE_ONCE(a->pending_events, 0);
