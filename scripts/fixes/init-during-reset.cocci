// A SIPI behind an INIT that comes during the reset of the INIT before is taken without its own
// INIT: the AP starts, that INIT resets it, and it waits for a SIPI for ever.
// file: arch/x86/kvm/lapic.c

@ sipi_alone @
expression a;
position p;
@@
-if (test_and_clear_bit@p(KVM_APIC_SIPI, &a->pending_events)) {
+	/*
+	 * A SIPI beside an INIT is for the state that the INIT leads to.  If
+	 * both came during the reset, take the INIT first.
+	 */
+if (cmpxchg(&a->pending_events, BIT(KVM_APIC_SIPI), 0) == BIT(KVM_APIC_SIPI)) {
 	...
 }
