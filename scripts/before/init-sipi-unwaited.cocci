// A SIPI is taken by a vCPU that doesn't wait for one.
// file: arch/x86/kvm/lapic.c

@ unwaited @
expression v, a;
statement S;
position p;
@@
 if (test_and_clear_bit(KVM_APIC_SIPI, &a->pending_events)) {
-	if (v->arch.mp_state@p == KVM_MP_STATE_INIT_RECEIVED)
+	if (true)
 	S
 }
