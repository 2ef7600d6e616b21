#ifndef DCOS_PROCESS_COMPAT_FLAGS_H
#define DCOS_PROCESS_COMPAT_FLAGS_H

/*
 * Flags of mesos-master and mesos-agent that our daemons know by name only, so that a configuration
 * written for those starts ours. Most have no effect here and are taken with any value. A few
 * choose a part that is not in our daemons (another registry, an authorizer from a module): what we
 * do anyway is taken, all else is refused with what to do instead. docs/compatibility.md has the
 * list.
 */

#include "base/flags.h"

enum compat_daemon { COMPAT_MASTER, COMPAT_AGENT };

enum { COMPAT_FLAGS_MAX = 96 }; /* of either daemon */

/* Appends the rows for the daemon; returns how many. */
size_t compat_flags(enum compat_daemon daemon, struct flag *out);

/* After flags_parse, with the address that the daemon will have. 0, or -EINVAL when one of them
 * asks for what is not here. */
int compat_flags_check(const struct flag *flags, size_t n, const char *ip, struct error *err);

/* One line in the log with the names of those that were given and have no effect. */
void compat_flags_log(const struct flag *flags, size_t n);

/* --ip_discovery_command: runs it with the shell, a minute at most, and takes the first word that
 * it prints, which must be a numeric address. *ret_ip is the caller's to free. -EINVAL with the
 * reason. */
int compat_discover_ip(const char *command, char **ret_ip, struct error *err);

#endif
