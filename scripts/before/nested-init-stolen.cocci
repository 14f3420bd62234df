// Seed 5 put back: INIT and SIPI are taken without asking what L1 makes of them.
// seed: 5
// file: arch/x86/kvm/lapic.c

@ not_asked @
identifier v, r;
position p;
@@
 int kvm_apic_accept_events(struct kvm_vcpu *v)
 {
 ...
-int r;
 ...
-if (is_guest_mode@p(v)) {
-	r = kvm_check_nested_events(v);
-	if (r < 0)
-		return r == -EBUSY ? 0 : r;
-}
 ...
 }
