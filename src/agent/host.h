#ifndef DCOS_AGENT_HOST_H
#define DCOS_AGENT_HOST_H

/* What the machine has. */

#include "base/error.h"
#include "base/buf.h"
#include "kernel/resources.h"

/* Resources named in `text` as they are; cpus, mem, disk and ports that it leaves out are found
 * out. `ret` must be empty. */
int host_resources(const char *text, const char *default_role, const char *work_dir,
    struct resources *ret, struct error *err);
/* Resources to be offered as revocable ones: quantities as in --resources, of which none may be
 * reserved. NULL text = none. `ret` must be empty. */
int host_oversubscribed(const char *text, struct resources *ret, struct error *err);
/* A DomainInfo as JSON, or the name of a file with it; NULL text = none. */
int host_domain(
    const char *text, struct arena *arena, Mesos__V1__DomainInfo **ret, struct error *err);
/* The kernel's boot id; "" when there is none. */
void host_boot_id(struct buf *out);

#endif
