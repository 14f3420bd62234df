// SPDX-License-Identifier: GPL-2.0
/*
 * For kvm.ko's Rust: inline functions and macros of C's that Rust can't reach, module
 * parameters, and the file in debugfs.
 */
#include <linux/debugfs.h>
#include <linux/kvm_host.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/smp.h>
#include <trace/events/ipi.h>

#include "x86.h"
#include "smm.h"
#include "rust/bindings/events.h"

bool kvm_sipi_behind_init;
module_param_named(sipi_behind_init, kvm_sipi_behind_init, bool, 0644);
MODULE_PARM_DESC(sipi_behind_init,
		 "Keep a SIPI that arrives while SMM or GIF holds back an INIT (default: drop it)");

bool kvm_warn_requestless_kick;
module_param_named(warn_requestless_kick, kvm_warn_requestless_kick, bool, 0644);
MODULE_PARM_DESC(warn_requestless_kick,
		 "Warn of a vCPU in guest mode that kicks itself with nothing requested");

#ifdef CONFIG_LOCKDEP
/* Who has the vCPU; when the VM is destroyed, nobody else does. As get_vmcs12(). */
void kvm_events_assert_owner(struct kvm_vcpu *vcpu)
{
	lockdep_assert_once(lockdep_is_held(&vcpu->mutex) ||
			    !refcount_read(&vcpu->kvm->users_count));
}
EXPORT_SYMBOL_GPL(kvm_events_assert_owner);
#endif

#ifdef CONFIG_PREEMPT_COUNT
void kvm_events_preempt_disable(void)
{
	preempt_disable();
}

void kvm_events_preempt_enable(void)
{
	preempt_enable();
}
#endif

static bool is_other_cpu(int cpu)
{
	return cpu != smp_processor_id() && (unsigned int)cpu < nr_cpu_ids && cpu_online(cpu);
}

/*
 * By a reschedule IPI: a kick may come with interrupts off, where the other kind of IPI can
 * deadlock.
 */
void kvm_events_kick_cpu(int cpu)
{
	if (is_other_cpu(cpu))
		smp_send_reschedule(cpu);
}

static void left_guest(void *unused)
{
}

void kvm_events_kick_cpu_and_wait(int cpu)
{
	if (is_other_cpu(cpu))
		smp_call_function_single(cpu, left_guest, NULL, true);
}

void kvm_events_warn_no_request(struct kvm_vcpu *vcpu)
{
	WARN_ONCE(1, "vCPU %d kicked itself with nothing requested\n", vcpu->vcpu_id);
}

bool kvm_events_signal_pending(void)
{
	return signal_pending(current);
}

static int events_show(struct seq_file *file, void *unused)
{
	kvm_events_show(file->private, file);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(events);

void kvm_events_create_debugfs(struct kvm_vcpu *vcpu, struct dentry *parent)
{
	debugfs_create_file("events", 0444, parent, vcpu, &events_fops);
}
