// KVM_SET_VCPU_EVENTS sets the number of pending NMIs, and leaves the one that KVM gave to vNMI: it
// is delivered in addition.
// file: arch/x86/include/asm/kvm_host.h
// file: arch/x86/kvm/svm/svm.c
// file: arch/x86/kvm/x86.c

@ operation @
typedef bool;
position p;
@@
 struct kvm_x86_ops {
 	...
 	bool (*set_vnmi_pending@p)(struct kvm_vcpu *vcpu);
+	void (*clear_vnmi_pending)(struct kvm_vcpu *vcpu);
 	...
 };

@ svm_clear_vnmi_pending @
identifier v;
position p;
@@
 static bool svm_set_vnmi_pending@p(struct kvm_vcpu *v) { ... }
+
+static void svm_clear_vnmi_pending(struct kvm_vcpu *vcpu)
+{
+	struct vcpu_svm *svm = to_svm(vcpu);
+
+	if (!is_vnmi_enabled(svm))
+		return;
+
+	svm->vmcb->control.int_ctl &= ~V_NMI_PENDING_MASK;
+	vmcb_mark_dirty(svm->vmcb, VMCB_INTR);
+}

@ svm_operation @
position p;
identifier ops;
@@
 struct kvm_x86_ops ops = {
 	...,
 	.set_vnmi_pending@p = svm_set_vnmi_pending,
+	.clear_vnmi_pending = svm_clear_vnmi_pending,
 	...,
 };

@ svm_no_vnmi @
position p;
@@
 svm_x86_ops.set_vnmi_pending@p = NULL;
+svm_x86_ops.clear_vnmi_pending = NULL;

// Not a static call: a semantic patch can't name the operation in kvm-x86-ops.h.
@ set_vcpu_events @
expression v;
identifier e;
position p;
@@
 if (e->flags & KVM_VCPUEVENT_VALID_NMI_PENDING) {
+	if (kvm_x86_ops.clear_vnmi_pending)
+		kvm_x86_ops.clear_vnmi_pending(v);
 	v->arch.nmi_pending@p = 0;
 	...
 }
