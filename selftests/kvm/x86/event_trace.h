/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How often a thread went through a function of KVM's: kprobes that a test defines in tracefs,
 * and perf counters on them. A perf counter, as it counts for one thread and takes a filter;
 * kprobe_profile has the hits of all threads, filtered or not.
 */
#ifndef SELFTEST_KVM_EVENT_TRACE_H
#define SELFTEST_KVM_EVENT_TRACE_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/perf_event.h>

#include "test_util.h"

#define TRACE_GROUP	"event_count"

static const char *trace_root;

/* Finds where this process may set kprobes. */
static inline bool trace_find(void)
{
	static const char * const roots[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	char path[128];
	int i;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/kprobe_events", roots[i]);
		if (!access(path, W_OK)) {
			trace_root = roots[i];
			return true;
		}
	}
	return false;
}

static inline bool trace_command(const char *text)
{
	char path[128];
	bool done;
	int fd;

	snprintf(path, sizeof(path), "%s/kprobe_events", trace_root);
	fd = open(path, O_WRONLY | O_APPEND);
	if (fd < 0)
		return false;
	done = write(fd, text, strlen(text)) == strlen(text);
	close(fd);
	return done;
}

static inline void trace_remove(const char *name)
{
	char text[128];

	snprintf(text, sizeof(text), "-:" TRACE_GROUP "/%s\n", name);
	trace_command(text);
}

/* @what: a function and what to fetch there, as in Documentation/trace/kprobetrace.rst. */
static inline bool trace_probe(char type, const char *name, const char *what)
{
	char text[256];

	/* An earlier run may have been killed. */
	trace_remove(name);
	snprintf(text, sizeof(text), "%c:" TRACE_GROUP "/%s %s\n", type, name, what);
	return trace_command(text);
}

/* A counter of the hits in the calling thread, interrupts on top of it included. */
static inline int trace_count(const char *name, const char *filter)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
	};
	char path[128];
	FILE *f;
	int fd;

	snprintf(path, sizeof(path), "%s/events/" TRACE_GROUP "/%s/id", trace_root, name);
	f = fopen(path, "r");
	TEST_ASSERT(f && fscanf(f, "%llu", &attr.config) == 1, "no %s", path);
	fclose(f);
	fd = syscall(__NR_perf_event_open, &attr, 0, -1, -1, 0);
	TEST_ASSERT(fd >= 0, "perf_event_open: %s: errno %d", name, errno);
	if (filter)
		TEST_ASSERT(!ioctl(fd, PERF_EVENT_IOC_SET_FILTER, filter),
			    "filter %s: errno %d", filter, errno);
	return fd;
}

/* Reads and ends such a counter. */
static inline long trace_hits(int fd)
{
	__u64 hits;

	TEST_ASSERT(read(fd, &hits, sizeof(hits)) == sizeof(hits), "read: errno %d", errno);
	close(fd);
	return hits;
}

#endif /* SELFTEST_KVM_EVENT_TRACE_H */
