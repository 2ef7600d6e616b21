#ifndef DCOS_MINIDCOS_NSPAWN_NSPAWN_H
#define DCOS_MINIDCOS_NSPAWN_NSPAWN_H

/*
 * Clusters of machines: each node is a systemd-nspawn machine that boots its own systemd.
 *
 *   <home>/nspawn/<id>/machines.json    what it was asked to be; written before anything is made
 *   <home>/nspawn/<id>/ssh/             key pair of the cluster, known_hosts, ssh_config
 *   <home>/nspawn/<id>/nodes/<node>/    upper and work folders of its overlay, and its disk
 *                                       (/var/lib/mesos)
 *   <home>/nspawn/<id>/logs/            consoles of the nodes, output of the installer
 *   <home>/nspawn/<id>/install/         genconf and what the installer makes
 *   <home>/nspawn/<id>/secrets/         0700: password of the first user
 *   <home>/nspawn-loopback/<name>/      image of a block device
 *   <cache>/trees/<hash>/               a Debian tree, shared by all nodes as the lower layer
 *
 * What the kernel holds of a cluster can be found from its folder alone, so that any later command
 * can clear away what a killed one left:
 *
 *   control groups   dcos-nspawn/<label>/<node> in every hierarchy: all processes of the node
 *   bridge           mdc-<hash>, whose alias is the folder
 *   packet filter    table inet mdc_<hash>, when ports of the host lead to a master
 *
 * The file systems of a node are mounted in a namespace of its own, and its end of the bridge is in
 * its network namespace: both end with its processes. A node sees only its own part of the control
 * groups, by a namespace; on hosts with version 1 hierarchies they are made writable before its
 * systemd starts.
 */

#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/vec.h"
#include "json/json.h"

enum node_role { NODE_MASTER, NODE_AGENT, NODE_PUBLIC_AGENT, NODE_ROLES };

enum {
    NODES_MAX = 100,         /* of a cluster; addresses of its network are 256 */
    NODE_ADDRESS_FIRST = 11, /* last part of the first node's address; the bridge has 1 */
    HASH_TEXT = 9,
    BRIDGE_TEXT = 16,
};

struct node {
    enum node_role role;
    unsigned index; /* among those of its role */
    char *name;     /* "public_agent_0" */
    char *host;     /* "default-public-agent-0": its host name */
    char *machine;  /* "<hash>-<n>": the name of the systemd machine */
    char *ip;
};

struct volume {
    char *spec;            /* "/on/host:/on/node[:ro]" */
    char *source, *target; /* parts of it */
    bool read_only;
    unsigned roles; /* bits 1u << node_role */
};

struct port_map {
    uint16_t host, node;
};

struct machines {
    char *home, *id, *dir;
    char *label;          /* "<id>-<hash>" */
    char hash[HASH_TEXT]; /* of the folder */
    char bridge[BRIDGE_TEXT];
    int64_t created_us;
    char *tree;
    uint32_t network; /* host byte order, x.y.z.0; 0 = none yet */
    bool installed;   /* the installer went through */
    VEC(struct node) nodes;
    VEC(struct volume) volumes;
    VEC(struct port_map) ports; /* of the first master */
};

/* ---- record.c ---- */

extern const char *const role_words[NODE_ROLES]; /* "master", "agent", "public_agent" */

void machines_init(struct machines *m, const char *home, const char *id);
void machines_done(struct machines *m);
/* [a-zA-Z0-9][a-zA-Z0-9_.-]*, as miniDC/OS has it. */
int machines_check_id(const char *id, struct error *err);
void machines_add(struct machines *m, enum node_role role);
/* Gives each node its address, once the network is known. */
void machines_number(struct machines *m);
/* -ENOENT when there is none of that id. */
int machines_load(const char *home, const char *id, struct machines *ret, struct error *err);
int machines_save(const struct machines *m, struct error *err);
char *machines_path(const struct machines *m, const char *name); /* to be freed */
/* A node by "<role>_<n>", address or host name. NULL with -ENOENT in err. */
const struct node *machines_node(const struct machines *m, const char *word, struct error *err);
const struct node *machines_first(const struct machines *m, enum node_role role);
size_t machines_count(const struct machines *m, enum node_role role);
/* Ids in <home>/nspawn, sorted; each and the array to be freed. */
size_t machines_ids(const char *home, char ***ret);
/* "172.30.4.11"; to be freed. */
char *machines_address(const struct machines *m, unsigned last);

/* ---- child.c: other programs ---- */

struct child {
    const char *const *argv;
    struct buf output; /* both streams, the end of it when it is long */
    int status;        /* exit status; 128 + signal; negative errno when it did not start */
    pid_t pid;
    int fd;
};
/* Runs all at the same time and waits for all. Children end when this process does. Those that run
 * after timeout_ms (0 = no limit) are killed: -ETIMEDOUT. */
void children_run(struct child *children, size_t n, int64_t timeout_ms);
void children_done(struct child *children, size_t n);
/* One; its output appended to `output` (NULL = ours). Exit status or negative errno. */
int child_run(const char *const *argv, const char *cwd, struct buf *output, struct error *err);
/* With our own terminal: for what people or pipes talk to. */
int child_foreground(const char *const *argv, struct error *err);
/* Both streams to our stderr: stdout is for what a command answers. */
int child_loud(const char *const *argv, const char *cwd, struct error *err);
/* Both streams to a file, which is appended to. */
int child_log(const char *const *argv, const char *cwd, const char *log, struct error *err);
/* The same; anything but exit status 0 is an error that has the last lines of the output. */
int child_must(const char *const *argv, struct error *err);
/* "; it said: ..." from the end of a program's output. */
void last_lines(struct str output, size_t lines, struct buf *out);

/* ---- groups.c ---- */

/* Makes the groups of one node in every hierarchy. */
int groups_create(const struct machines *m, const struct node *node, struct error *err);
/* Moves the calling process there: for the child that becomes systemd-nspawn. */
int groups_join(const struct machines *m, const struct node *node);
/* Kills what is in the groups of a node (NULL = of the cluster) and removes them. */
int groups_remove(const struct machines *m, const struct node *node, struct error *err);
bool groups_alive(const struct machines *m, const struct node *node);

/* ---- network.c ---- */

/* Makes the bridge with a free network, or the one asked for ("10.1.2.0/24"), and the way from
 * ports of the host. */
int network_create(struct machines *m, const char *wanted, struct error *err);
/* The same network again, when the bridge went (a reboot of the host). */
int network_ensure(struct machines *m, struct error *err);
void network_remove(const struct machines *m);
/* The host's end of the device of a node (by its place in the cluster) that ended. */
void network_forget(const struct machines *m, size_t node);
/* Calls fn with the folder of each cluster that has a bridge on this host. */
void network_each(void (*fn)(const char *dir, void *userdata), void *userdata);
int network_parse(const char *text, uint32_t *ret, struct error *err);

/* ---- tree.c ---- */

/* The Debian tree of this host's release; made when the cache has none, which takes minutes.
 * Caller frees. */
int tree_ensure(const char *cache, bool progress, char **ret, struct error *err);
/* Where it would be, whether or not it is there. */
int tree_path(const char *cache, char **ret, struct error *err);

/* Removes what is left of trees that were being made when somebody ended that. */
void tree_clean(const char *cache);

/* ---- boot.c ---- */

/* Makes the files of a node: name, address, keys. */
int node_prepare(const struct machines *m, const struct node *node, struct error *err);
/* Makes them anew and removes all else: a machine that replaces this one. Not while it runs. */
int node_blank(const struct machines *m, const struct node *node, struct error *err);
int node_boot(const struct machines *m, const struct node *node, struct error *err);
/* Waits until all (or the one given) have booted and answer over SSH. */
int nodes_wait(
    const struct machines *m, const struct node *one, int64_t timeout_s, struct error *err);

/* ---- sidecar.c ---- */

/* Calls fn with the number of each loop device of the folder, which are made again where they went.
 */
int sidecars_each(
    const char *home, int (*fn)(unsigned loop, void *userdata), void *userdata, struct error *err);
/* Takes all away, also those whose folder is gone; goes on after errors. */
int sidecars_clean(const char *home, struct error *err);

/* ---- ssh.c ---- */

enum { SSH_ARGS_MAX = 24 };

int ssh_make_keys(const struct machines *m, struct error *err);
/* Appends what `ssh` is called with, up to and without the command, to argv; the strings live in
 * the arena-like `keep` (freed by ssh_words_done). */
struct ssh_words {
    const char *argv[SSH_ARGS_MAX];
    size_t n;
    char *keep[4];
};
void ssh_words(const struct machines *m, const struct node *node, struct ssh_words *ret);
void ssh_words_done(struct ssh_words *w);
/* A shell command on a node; output appended (NULL = ours). Exit status (255 = no connection). */
int node_run(const struct machines *m, const struct node *node, const char *command,
    struct buf *output, struct error *err);
/* The same on several at once: one child per node, by their order in the cluster. */
void nodes_run(
    const struct machines *m, const char *command, struct child *children, int64_t timeout_ms);
/* File or folder to a node. */
int node_send(const struct machines *m, const struct node *node, const char *source,
    const char *target, struct error *err);

/* ---- words.c ---- */

/* Text in single quotes for a shell. */
void shell_quote(struct buf *out, const char *text);
/* A path as an option of an overlay, as a part of systemd-nspawn's --bind, as a value in ssh's
 * configuration. */
void overlay_word(struct buf *out, const char *path);
void bind_word(struct buf *out, const char *path);
void ssh_config_word(struct buf *out, const char *path);
/* Whether clusters can be below this folder: -EINVAL for what ssh_config_word cannot write. */
int check_folder(const char *path, struct error *err);
/* Sets source, target and read_only. -EINVAL. */
int volume_parse(const char *spec, struct volume *ret, struct error *err);

/* ---- install.c ---- */

struct install_options {
    const char *installer, *extra_config, *genconf_dir;
    const char *security_mode, *license;
    bool verbose, rollback;
    int *exit_code; /* of the installer, when that is what failed */
};
/* --extra-config: -EINVAL when it is no map. */
int install_extra(const char *path, json_t **ret, struct error *err);
/* genconf and its files, then preflight, deploy and postflight. */
int install_cluster(struct machines *m, const struct install_options *o, struct error *err);
/* Changes each node in turn to what the installer has; with `rollback` back to what it was. */
int upgrade_cluster(struct machines *m, const struct install_options *o, struct error *err);
/* config.yaml's text for a cluster. */
int install_config(const struct machines *m, const char *extra, struct buf *out, struct error *err);

/* ---- ready.c ---- */

struct ready_options {
    const char *username, *password; /* NULL = the cluster's own superuser */
    bool skip_http;
    int64_t timeout_s;
    bool progress;
};
int machines_wait(const struct machines *m, const struct ready_options *o, struct error *err);

/* ---- remove.c ---- */

/* Ends and removes everything of a cluster; needs only its folder. */
int machines_destroy(struct machines *m, struct error *err);

#endif
