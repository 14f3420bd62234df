// SPDX-License-Identifier: GPL-2.0
/*
 * For kvm.ko's Rust: inline functions and macros that Rust cannot reach, module parameters, and
 * the file in debugfs.
 */
#include <linux/debugfs.h>
#include <linux/kvm_host.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <asm/cpufeature.h>

#include "rust/bindings/events.h"
#include "rust/helpers/owner.h"

bool kvm_sipi_behind_init;
module_param_named(sipi_behind_init, kvm_sipi_behind_init, bool, 0644);
MODULE_PARM_DESC(sipi_behind_init,
		 "Keep a SIPI that arrives while SMM or GIF holds back an INIT (default: drop it)");

bool kvm_sipi_after_reset;
module_param_named(sipi_after_reset, kvm_sipi_after_reset, bool, 0644);
MODULE_PARM_DESC(sipi_after_reset,
		 "A SIPI starts an AP that saw no INIT yet, as after RESET (default: drop it)");

bool kvm_warn_requestless_kick;
module_param_named(warn_requestless_kick, kvm_warn_requestless_kick, bool, 0644);
MODULE_PARM_DESC(warn_requestless_kick,
		 "Warn of a vCPU in guest mode that kicks itself with nothing requested");

#ifdef CONFIG_LOCKDEP
void kvm_events_assert_owner(struct kvm_vcpu *vcpu)
{
	assert_owner(vcpu);
}
#endif

void kvm_events_warn_no_request(struct kvm_vcpu *vcpu)
{
	WARN_ONCE(1, "vCPU %d kicked itself with nothing requested\n", vcpu->vcpu_id);
}

/* Rare enough for an indirect call. */
void kvm_events_clear_vnmi_pending(struct kvm_vcpu *vcpu)
{
	if (kvm_x86_ops.clear_vnmi_pending)
		kvm_x86_ops.clear_vnmi_pending(vcpu);
}

/* SVM blocks INIT while GIF is clear; VMX blocks it in root operation. */
bool kvm_events_init_waits_for_gif(void)
{
	return cpu_feature_enabled(X86_FEATURE_SVM);
}

static int events_show(struct seq_file *file, void *unused)
{
	rust_kvm_events_show(file->private, file);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(events);

void kvm_events_create_debugfs(struct kvm_vcpu *vcpu, struct dentry *parent)
{
	debugfs_create_file("events", 0444, parent, vcpu, &events_fops);
}
