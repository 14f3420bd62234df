// VMX acknowledges a PIC's interrupt, and then finds that it can't deliver it to L1 yet: the
// interrupt is lost. Linux 6.12 asks in the other order.
// file: arch/x86/kvm/vmx/nested.c

// since: 7.0
@ vmx_check_nested_events @
identifier irq;
expression v;
position p;
@@
-irq = kvm_cpu_get_extint@p(v);
+/* To take a PIC's interrupt is to acknowledge it. */
+irq = block_nested_events ? -1 : kvm_cpu_get_extint(v);
 if (irq != -1) {
-	if (block_nested_events)
-		return -EBUSY;
 	...
 }
 irq = kvm_apic_has_interrupt(v);
+if (irq < 0 && block_nested_events)
+	return -EBUSY;
