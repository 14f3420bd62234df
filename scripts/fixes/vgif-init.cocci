// SVM with vGIF: an INIT that waits for GIF is taken late, or never: the guest sets GIF without an
// exit, and KVM does not ask for one.
// file: arch/x86/kvm/svm/svm.c

@ svm_apic_init_signal_blocked @
identifier v, s;
position p;
@@
 svm_apic_init_signal_blocked@p(struct kvm_vcpu *v)
 {
 	struct vcpu_svm *s = to_svm(v);

-	return !gif_set(s);
+	if (gif_set(s))
+		return false;
+
+	/* Whoever asks has an INIT, which KVM takes when it sees the STGI. */
+	if (vgif)
+		svm_set_intercept(s, INTERCEPT_STGI);
+
+	return true;
 }
