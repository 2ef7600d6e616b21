#ifndef DCOS_BOOTSTRAP_BOOTSTRAP_H
#define DCOS_BOOTSTRAP_BOOTSTRAP_H

/*
 * What a service needs of its node before it starts: folders, the cluster's id, addresses, kernel
 * settings. Units call `dcos-bootstrap SERVICE` as root before the service; with the exit status 1
 * the service does not start now and is tried again by systemd. Everything may be done twice.
 *
 * What is found out goes to /run/dcos/env/SERVICE as KEY='value' lines, which the unit reads before
 * it starts the service. Settings come from the unit's environment, as gen wrote them to
 * /opt/mesosphere/etc.
 *
 * All paths are below `prefix`, "" on nodes; another one is for tests.
 */

#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "json/json.h"

enum {
    NODE_TEXT_MAX = 64 * 1024,
    NODE_MASTERS_MAX = 9,
    NODE_ID_MAX = 64,
};

struct node {
    const char *prefix;
    const char *service;
    struct buf env; /* lines for /run/dcos/env/SERVICE */
};

/* ---- node.c ---- */

/* "<prefix><path>"; caller frees. */
char *node_path(const struct node *n, const char *path);
/* A variable of the environment; NULL when it is not set or empty. */
const char *node_setting(const char *name);
bool node_is_master(const struct node *n);
/* Text of a small file without blanks around it; caller frees. NULL when it is not there. */
char *node_text(const struct node *n, const char *path);
/* A value for the service. -EINVAL for one with a quote or a line break. */
int node_tell(struct node *n, const char *key, const char *value, struct error *err);
/* Writes the lines to /run/dcos/env/SERVICE. */
int node_told(const struct node *n, struct error *err);
/* The folder, made when missing, and its owner. NULL leaves the owner alone. Owners count only for
 * root, and users that do not exist are an error then. A folder for a user must not be a link:
 * -ENOTDIR. */
int node_folder(
    const struct node *n, const char *path, const char *user, mode_t mode, struct error *err);
/* A file for one user, whole or not at all. The folder must be root's, or node_become() come first.
 */
int node_file(const struct node *n, const char *path, const char *text, const char *user,
    mode_t mode, struct error *err);
/* Between the two, root does what it does to files as the user, who may have put links anywhere
 * below a folder of their own. Nothing when this is not root. */
int node_become(const char *user, struct error *err);
int node_root(struct error *err);
/* Addresses in /opt/mesosphere/etc/master_list, a JSON list. The caller's reference. */
int node_masters(const struct node *n, json_t **ret, struct error *err);

/* ---- address.c ---- */

/* What detect_ip prints: one address. Caller frees. */
int node_detect_ip(const struct node *n, char **ret, struct error *err);
/* What detect_fault_domain prints; NULL when there is no such program or it prints nothing. */
int node_detect_domain(const struct node *n, char **ret, struct error *err);

/* ---- kernel.c ---- */

/* Settings of the service in etc/dcos-service-configuration.json. One that cannot be written, as in
 * a container, is told and left. */
int kernel_settings(const struct node *n, struct error *err);
/* Reverse path filters of all interfaces to "loose": packets of containers come in where answers
 * would not go out. */
void kernel_loose_filters(const struct node *n);
/* With ENABLE_CHECK_TIME=true: -EAGAIN while the clock is not in step with others. */
int kernel_check_time(struct error *err);

/* ---- secrets.c ---- */

/*
 * What the installer draws once for a cluster and brings to masters alone, for root alone:
 * dcos-ca.crt and dcos-ca.key, the authority that all masters sign with, and, for several masters,
 * zk_master_credentials, a line "user:password". Any of it may be missing.
 */
#define SECRETS_FOLDER "/etc/mesosphere/secrets"

/* The line, which the caller frees; NULL when this node has none. -EINVAL when it is none. */
int secrets_zookeeper(const struct node *n, char **ret, struct error *err);
/* What a service's user logs in to ZooKeeper with, which follows from the line: so a service that
 * falls has lost its own state only. Caller frees. */
int secrets_zookeeper_of(const char *master, const char *user, char **ret, struct error *err);
/* What ZooKeeper's lists have for a "user:password". Caller frees. */
int secrets_zookeeper_id(const char *credentials, char **ret, struct error *err);
/* The authority of this master's router: the cluster's, or one of its own that is made once. An
 * authority of its own that is there stays, unless it is to be replaced. */
int secrets_authority(const struct node *n, bool replace, struct error *err);

/* ---- access.c ---- */

/* "true" or "false" in what a service is told: whether only masters may change its state. */
#define ACCESS_PROTECTED "DCOS_ZOOKEEPER_PROTECTED"

/* For a service that keeps state in ZooKeeper at the setting `key`, a zk:// URL: makes sure of its
 * folder, which only it may change, and hands the URL with its password over in a file that only
 * `user` can read. Without secrets everything stays open. So it does where the folder is open, as
 * it was made before there were secrets: other masters may not have them yet. Both are told. */
int access_prepare(struct node *n, const char *key, const char *user, struct error *err);
/* Settings are gen's again where the environment has what the last start handed over: systemd shows
 * both to us as to the service. */
void access_forget(const struct node *n);
/* Closes everything that masters' services keep in ZooKeeper, while they run. Each of them must
 * have its password by then. May be done twice, and after it was cut off. */
int access_close(const struct node *n, struct error *err);

/* ---- cluster_id.c ---- */

#define CLUSTER_ID_NODE "/cluster-id" /* in ZooKeeper */
#define CLUSTER_ID_FILE "/var/lib/dcos/cluster-id"
/* Makes sure of the file. Several masters agree on the id in ZooKeeper's node /cluster-id, a single
 * one draws it; agents ask for it. A file that is there is enough while nobody can be asked. */
int cluster_id(const struct node *n, struct error *err);
/* Whether the text is a UUID. */
bool cluster_id_valid(const char *text);

/* ---- disks.c ---- */

/*
 * Resources of an agent: `given` (a JSON list, or NULL) and what is known of disks. Mounts at
 * /dcos/volumeN become disks of their own, their size that of the free space less 100 MB; what was
 * found once is kept in /var/lib/dcos/mesos-resources, so that a restart changes nothing. Names in
 * that file count instead of those in `given`. *ret is NULL when there is nothing to add.
 * `mounts`: text of /proc/self/mounts.
 */
int disks_resources(const struct node *n, const char *given, const char *mounts,
    const char *work_dir, const char *role, char **ret, struct error *err);

/* ---- zookeeper.c ---- */

struct ensemble_member {
    uint32_t id;
    char *address;
};
/* "1:10.0.0.1,2:10.0.0.2" as gen writes it, to zoo.cfg; *ret_id is the id of `self`. -EINVAL when
 * it is not among them. `data` is the folder for state. */
int zookeeper_config(const char *ensemble, const char *self, const char *data, uint16_t port,
    struct buf *ret, uint32_t *ret_id, struct error *err);
/* Lines of zoo.cfg about time. ZOOKEEPER_TICK_TIME (500 ms) and ZOOKEEPER_SYNC_LIMIT (4 ticks) may
 * be set for slow machines. */
int zookeeper_timing(struct buf *ret, struct error *err);
/* -EAGAIN while there is no ensemble that this machine is in. */
int zookeeper_prepare(const struct node *n, struct error *err);
/* Folders of dcos-exhibitor, and the master's address. */
int ensemble_prepare(struct node *n, struct error *err);

/* ---- services.c ---- */

/* 0; -ENOENT for a service that is not known. */
int service_prepare(struct node *n, struct error *err);
/* Names of all services, NULL-terminated. */
const char *const *service_names(void);

#endif
