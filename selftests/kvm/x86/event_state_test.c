// SPDX-License-Identifier: GPL-2.0
/*
 * What debugfs says of a vCPU's events, in its file "events": state that no ioctl gives
 * without changing it, and counters of what was dropped or held back. A KVM without that
 * file passes if its folder of the vCPU is there.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "event_test.h"

#define KVM_DEBUGFS	"/sys/kernel/debug/kvm"
#define READS		500
#define VMS		10

struct state {
	char path[100];
	char text[4096];
};

static void find_state(struct state *state, struct kvm_vcpu *vcpu)
{
	snprintf(state->path, sizeof(state->path), KVM_DEBUGFS "/%d-%d/vcpu%u/events",
		 getpid(), vcpu->vm->fd, vcpu->id);
}

/* Reads the file; returns 0, or the errno that open or read gave. */
static int read_state(struct state *state)
{
	int fd = open(state->path, O_RDONLY);
	ssize_t r;

	if (fd < 0)
		return errno;
	r = read(fd, state->text, sizeof(state->text) - 1);
	if (r < 0)
		r = -errno;
	else
		state->text[r] = 0;
	close(fd);
	return r < 0 ? -r : 0;
}

/* What stands behind "@key: ", up to the end of that line. */
static const char *value_of(struct state *state, const char *key)
{
	static char value[200];
	size_t n = strlen(key);
	char *line;

	for (line = state->text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, n) && line[n] == ':' && line[n + 1] == ' ') {
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(line + n + 2, "\n"),
				 line + n + 2);
			return value;
		}
	}
	return "(no such line)";
}

static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (; words; words = strchr(words, ' ')) {
		words += *words == ' ';
		if (!strncmp(words, word, n) && (words[n] == ' ' || !words[n]))
			return true;
	}
	return false;
}

#define EXPECT_VALUE(state, key, expected)				\
do {									\
	EXPECT_EQ(0, read_state(state));				\
	EXPECT_STREQ(expected, value_of(state, key)) {			\
		TH_LOG("%s in:\n%s", key, (state)->text);		\
	}								\
} while (0)

/* Takes what INIT and SIPI are pending, or drops them. */
static void accept_events(struct kvm_vcpu *vcpu)
{
	struct kvm_mp_state state;

	vcpu_mp_state_get(vcpu, &state);
}

static void set_smm(struct kvm_vcpu *vcpu, bool smm)
{
	struct kvm_vcpu_events events;

	vcpu_events_get(vcpu, &events);
	events.smi.smm = smm;
	vcpu_events_set(vcpu, &events);
}

FIXTURE(event_state)
{
	struct ap ap;
	struct state state;
	bool has_file;
};

FIXTURE_SETUP(event_state)
{
	struct stat st;
	char *end;

	ap_create(&self->ap, KVM_MP_STATE_UNINITIALIZED);
	self->ap.ended = true;
	find_state(&self->state, self->ap.vcpu);
	self->has_file = !stat(self->state.path, &st);
	/* KVM whose events are in Rust has this parameter, and must have the file. */
	if (!access("/sys/module/kvm/parameters/sipi_behind_init", F_OK))
		ASSERT_TRUE(self->has_file);
	end = strrchr(self->state.path, '/');
	*end = 0;
	ASSERT_EQ(0, stat(self->state.path, &st)) {
		TH_LOG("%s: errno %d", self->state.path, errno);
	}
	ASSERT_TRUE(S_ISDIR(st.st_mode));
	*end = '/';
}

FIXTURE_TEARDOWN(event_state)
{
	if (!self->ap.ended)
		ap_stop(&self->ap);
	if (self->ap.vcpu)
		kvm_vm_free(self->ap.vcpu->vm);
}

/* Reading changes nothing: an NMI stays queued until its vCPU, or an ioctl, collects it. */
TEST_F(event_state, nmi_in_wait_for_sipi)
{
	struct state *state = &self->state;

	if (!self->has_file)
		return;
	ap_send(&self->ap, MSI_DM_INIT);
	accept_events(self->ap.vcpu);
	vcpu_ioctl(self->ap.vcpu, KVM_NMI, NULL);
	EXPECT_VALUE(state, "mode", "outside");
	EXPECT_VALUE(state, "mp_state", "init-received");
	EXPECT_VALUE(state, "pending", "none");
	EXPECT_TRUE(has_word(value_of(state, "requests"), "nmi"));
	EXPECT_VALUE(state, "nmi_queued", "1");
	EXPECT_VALUE(state, "nmi_pending", "0");
	EXPECT_VALUE(state, "nmi_injected", "0");

	EXPECT_EQ(1, pending_nmis(self->ap.vcpu));
	EXPECT_VALUE(state, "nmi_queued", "0");
	EXPECT_VALUE(state, "nmi_pending", "1");
	EXPECT_VALUE(state, "nmi_injections", "0");

	ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
	ap_start(&self->ap);
	EXPECT_PORTS(&self->ap, PORT_NMI, PORT_STARTED);
	EXPECT_VALUE(state, "mp_state", "runnable");
	EXPECT_VALUE(state, "nmi_pending", "0");
	/* More than once, if its delivery faulted. */
	EXPECT_LE(1, atoi(value_of(state, "nmi_injections")));
}

TEST_F(event_state, init_and_sipi)
{
	struct state *state = &self->state;

	if (!self->has_file)
		return;
	EXPECT_VALUE(state, "mp_state", "uninitialized");
	EXPECT_VALUE(state, "pending", "none");
	ap_send(&self->ap, MSI_DM_INIT);
	EXPECT_VALUE(state, "pending", "init");
	ap_send(&self->ap, MSI_DM_STARTUP | 0x9a);
	EXPECT_VALUE(state, "pending", "init sipi");
	EXPECT_VALUE(state, "sipi_vector", "0x9a");
	EXPECT_TRUE(has_word(value_of(state, "requests"), "event"));
	EXPECT_VALUE(state, "init_taken", "0");
	EXPECT_VALUE(state, "sipi_taken", "0");

	accept_events(self->ap.vcpu);
	EXPECT_VALUE(state, "mp_state", "runnable");
	EXPECT_VALUE(state, "pending", "none");
	EXPECT_VALUE(state, "init_taken", "1");
	EXPECT_VALUE(state, "sipi_taken", "1");
	EXPECT_VALUE(state, "sipi_dropped_not_waiting", "0");
}

TEST_F(event_state, dropped_and_latched)
{
	struct kvm_mp_state runnable = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct state *state = &self->state;
	int i;

	if (!self->has_file)
		return;
	vcpu_mp_state_set(self->ap.vcpu, &runnable);
	for (i = 0; i < 3; i++) {
		ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
		accept_events(self->ap.vcpu);
	}
	EXPECT_VALUE(state, "sipi_dropped_not_waiting", "3");
	EXPECT_VALUE(state, "sipi_dropped_blocked", "0");

	/* SMM blocks INIT, on either vendor. */
	TEST_REQUIRE(kvm_has_cap(KVM_CAP_X86_SMM));
	set_smm(self->ap.vcpu, true);
	for (i = 0; i < 2; i++) {
		ap_send(&self->ap, MSI_DM_STARTUP | AP_VECTOR);
		accept_events(self->ap.vcpu);
	}
	EXPECT_VALUE(state, "sipi_dropped_blocked", "2");
	EXPECT_VALUE(state, "init_latched", "0");
	ap_send(&self->ap, MSI_DM_INIT);
	accept_events(self->ap.vcpu);
	EXPECT_VALUE(state, "init_latched", "1");
	EXPECT_VALUE(state, "init_taken", "0");
	EXPECT_VALUE(state, "pending", "init");

	set_smm(self->ap.vcpu, false);
	accept_events(self->ap.vcpu);
	EXPECT_VALUE(state, "init_taken", "1");
	EXPECT_VALUE(state, "mp_state", "init-received");
	EXPECT_VALUE(state, "sipi_dropped_not_waiting", "3");
	EXPECT_VALUE(state, "sipi_dropped_blocked", "2");
	EXPECT_VALUE(state, "sipi_taken", "0");
}

static bool is_mode(const char *mode)
{
	return !strcmp(mode, "outside") || !strcmp(mode, "in-guest") ||
	       !strcmp(mode, "exiting") || !strcmp(mode, "reading-shadow-page-tables");
}

static void spin(void)
{
	/* Bochs lets the host interrupt no guest that has them off. */
	asm volatile("sti");
	for (;;)
		cpu_relax();
}

/* Without the vCPU's mutex, which KVM_RUN holds: a read doesn't wait for it to end. */
TEST_F(event_state, read_while_running)
{
	struct state *state = &self->state;
	struct kvm_vm *vm;
	struct ap ap;
	int i, in_guest = 0;

	if (!self->has_file)
		return;
	vm = vm_create_with_one_vcpu(&ap.vcpu, spin);
	find_state(state, ap.vcpu);
	ap_start(&ap);
	for (i = 0; i < READS; i++) {
		EXPECT_EQ(0, read_state(state));
		EXPECT_TRUE(is_mode(value_of(state, "mode"))) {
			TH_LOG("mode '%s'", value_of(state, "mode"));
		}
		in_guest += !strcmp(value_of(state, "mode"), "in-guest");
		EXPECT_STREQ("runnable", value_of(state, "mp_state"));
		EXPECT_FALSE(READ_ONCE(ap.ended));
	}
	TH_LOG("%d of %d reads found it in the guest", in_guest, READS);
	EXPECT_TRUE(ap_stop(&ap));
	EXPECT_VALUE(state, "mode", "outside");
	kvm_vm_free(vm);
}

struct reader {
	struct state state;
	bool stop;
	bool failed;
	long reads;
};

static void *read_on(void *arg)
{
	struct reader *reader = arg;
	int err;

	while (!READ_ONCE(reader->stop)) {
		err = read_state(&reader->state);
		/* Gone, or going. */
		if (err && err != ENOENT && err != EIO)
			reader->failed = true;
		reader->reads += !err;
	}
	return NULL;
}

TEST_F(event_state, read_while_destroyed)
{
	struct reader reader = {};
	struct kvm_vcpu *vcpu;
	pthread_t thread;
	struct kvm_vm *vm;
	char byte;
	int i, fd;

	if (!self->has_file)
		return;
	for (i = 0; i < VMS; i++) {
		vm = vm_create_with_one_vcpu(&vcpu, never_run);
		find_state(&reader.state, vcpu);
		fd = open(reader.state.path, O_RDONLY);
		ASSERT_LE(0, fd);
		reader.stop = false;
		ASSERT_EQ(0, pthread_create(&thread, NULL, read_on, &reader));
		usleep(10000);
		kvm_vm_free(vm);
		/* What was opened before knows nothing of the vCPU any more. */
		EXPECT_GE(0, read(fd, &byte, 1));
		usleep(10000);
		WRITE_ONCE(reader.stop, true);
		pthread_join(thread, NULL);
		close(fd);
	}
	EXPECT_FALSE(reader.failed);
	TH_LOG("%ld reads", reader.reads);
}

TEST_HARNESS_MAIN
