// A VMX-preemption timer of L2 whose deadline passes while L2 is saved, or in SMM, wraps: L2 runs
// without it.
// file: arch/x86/kvm/vmx/nested.c

@ vmx_calc_preemption_timer_value @
identifier v, x, t;
position p;
@@
 vmx_calc_preemption_timer_value@p(struct kvm_vcpu *v)
 {
 	...
-	return x->nested.preemption_timer_deadline - t;
+
+	/* The deadline may have passed while L2 was saved, or in SMM. */
+	return max_t(s64, x->nested.preemption_timer_deadline - t, 0);
 }
