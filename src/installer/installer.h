#ifndef DCOS_INSTALLER_INSTALLER_H
#define DCOS_INSTALLER_INSTALLER_H

/*
 * What dcos_generate_config.sh does, apart from its command line: configurations become a folder
 * that is served to nodes (genconf.c, script.c), and nodes are installed, looked at, changed and
 * cleared over SSH (action.c, upgrade.c).
 *
 * Everything of the operator is below one folder, "genconf":
 *   config.yaml, ip-detect, ssh_key                    what the operator writes
 *   superuser.password, superuser.hash                 drawn here when config.yaml has no hash
 *   secrets/                                           drawn here: what masters alone may know
 *   serve/                                             what nodes fetch
 *   cluster_packages.json
 *   state/<action>.json, state/known_hosts             results, keys of hosts
 *   state/digests                                      of what is served
 *   logs/<address>_<port>.log                          what hosts printed
 */

#include "gen/gen.h"
#include "pkgpanda/names.h"
#include "ssh/chain.h"

enum { CONFIG_MAX = GEN_CONFIG_MAX, SCRIPT_MAX = 8 * 1024 * 1024 };

#define INSTALL_TMP "/opt/dcos_install_tmp"      /* on nodes */
#define SECRETS_FOLDER "/etc/mesosphere/secrets" /* on masters, as src/bootstrap reads it */

struct installer {
    const char *genconf;   /* the folder */
    const char *artifacts; /* what the installer file carries: bootstrap/, packages/, complete/ */
    const char *commit;    /* of the source it was built from */
    const char *version;   /* of the release that it carries; NULL = this program's */
    const char *bootstrap_id, *variant;
    bool verbose;
};

/* Reads genconf/config.yaml and works it out. 0 also when it is wrong: see gen_ok(). The message
 * is for operators. */
int config_load(const struct installer *in, struct gen **ret, struct error *err);
/* The same for what is to be generated: a cluster that has no password for its first superuser gets
 * one, in genconf/superuser.password (mode 0600); nodes get its hash, as all masters must have the
 * same. */
int config_load_whole(const struct installer *in, struct gen **ret, struct error *err);
/* Draws the password and its hash, once for a folder. */
int config_draw_password(const struct installer *in, struct error *err);
/* Calls `use` with genconf/config.yaml and what the installer knows, for who makes something else
 * of it than a cluster of one's own machines. What `input` points to lasts as long as the call. */
typedef int config_use_fn(const struct gen_input *input, void *userdata, struct error *err);
int config_use(const struct installer *in, config_use_fn *use, void *userdata, struct error *err);
/* Whether the password is the one in genconf/superuser.password. */
bool config_drew_password(const struct installer *in, const struct gen *g);
/* The same for a text that is not in the file yet. */
int config_load_text(
    const struct installer *in, const char *text, size_t n, struct gen **ret, struct error *err);
/* One line for each thing wrong: "name: message (line 3)". */
void config_problems(const struct gen *g, struct buf *out);
void config_warnings(const struct gen *g, struct buf *out);
/* Value of a parameter, or the fallback. */
const char *config_value(const struct gen *g, const char *name, const char *fallback);

/* Draws what genconf/secrets has not yet (0700; files 0600), for good: the cluster's authority and,
 * for several masters, what their services log in to ZooKeeper with. Never below genconf/serve,
 * which anybody may read: action_copy_secrets() brings it to masters. */
int secrets_draw(const struct installer *in, const struct gen *g, struct error *err);

/* Everything that nodes fetch, below genconf/serve, and genconf/cluster_packages.json. What is
 * there is replaced file by file, each whole, dcos_install.sh last; when something fails, files
 * that this call made are removed. Artifacts are checked against the digests that came with them:
 * -EBADMSG names the damaged one. */
int genconf_make(const struct installer *in, const struct gen *g, struct error *err);

/* Copies files of the installer (names below its artifacts, added to what `paths` has) that the ids
 * and the bootstrap tarball need to another folder, checked as genconf_make() does. */
int genconf_copy(const struct installer *in, const json_t *ids, const char *folder,
    struct strings *paths, struct error *err);

/*
 * Templates of nested stacks for AWS, for the cluster of config.yaml: everything that machines and
 * CloudFormation fetch goes to genconf/cloudformation/config_id/<id>, and unless
 * aws_template_upload is off to the bucket, what others name first. Prints what to do next. 0; 1
 * when config.yaml is wrong, which is told on stderr.
 */
int cloudformation_make(const struct installer *in, struct error *err);

/* Ids of all packages of the cluster, sorted, from the list that genconf wrote. -ENOENT when it did
 * not. */
int cluster_package_ids(
    const struct installer *in, const struct gen *g, json_t **ret, struct error *err);
/* SHA-256 of everything that nodes fetch, in lines of sha256sum, as genconf found it. -ENOENT when
 * genconf did not run for this configuration. */
int cluster_digests(
    const struct installer *in, const struct gen *g, struct buf *out, struct error *err);
/* "packages/<name>/<id>.tar.xz". Caller frees. */
char *package_file(const char *id);

/* Scripts for nodes. They hold the digests of what nodes fetch: whoever has the right script has
 * the right files, wherever those come from. */
int script_install(const struct gen *g, const char *digests, struct buf *out, struct error *err);
/* installed_version "" = for nodes of any version. */
int script_upgrade(const struct installer *in, const struct gen *g, const char *installed_version,
    struct buf *out, struct error *err);

/* One file of stub and artifacts. The same artifacts give the same bytes. */
struct bundle {
    const char *artifacts, *output, *version, *commit, *bootstrap_id, *variant;
};
int bundle_make(const struct bundle *b, struct error *err);

/* "$6$..." of a password. Caller frees. */
int password_hash(const char *password, char **ret, struct error *err);
/* One parameter of a configuration set to a text; everything else stays to the byte, comments too.
 * -EBADMSG for what is no configuration, or of a form whose lines cannot be told apart (one mapping
 * in braces). */
int config_edit(
    struct str text, const char *name, const char *value, struct buf *out, struct error *err);
/* The same for genconf/config.yaml, which keeps its mode, or is not changed at all. */
int config_set_text(
    const struct installer *in, const char *name, const char *value, struct error *err);

/* ---- on nodes ---- */

enum action { ACTION_PREFLIGHT, ACTION_DEPLOY, ACTION_POSTFLIGHT, ACTION_UNINSTALL };
const char *action_name(enum action a);

struct action_options {
    bool record_host_keys; /* trust hosts on first contact */
    bool retry;            /* only hosts that did not succeed; deploy clears them first */
    size_t chunk;          /* upgrade: agents at a time; 0 = a tenth */
    const struct ssh_cancel *cancel;
    /* As that of struct chain; may be NULL. */
    void (*progress)(const struct chain *chain, const struct chain_event *event,
        const struct chain_result *result, void *userdata);
    void *userdata;
};

/* Hosts of a run with what became of each. */
struct action_result {
    struct chain_host *hosts;
    struct chain_result *results;
    size_t n;
    json_t *addresses; /* owns the hosts' */
};
void action_result_done(struct action_result *r);

/* 0: all well; 1: some host failed; negative errno: could not be begun, or our own disk failed. */
int action_run(const struct installer *in, const struct gen *g, enum action action,
    const struct action_options *options, struct action_result *ret, struct error *err);
/* Rolling: masters one by one, then private agents, then public ones, chunk by chunk; the first
 * group with a failure is the last one. Back: the other way round. */
int upgrade_run(const struct installer *in, const struct gen *g, bool back,
    const struct action_options *options, struct action_result *ret, struct error *err);

char *installer_path(const struct installer *in, const char *name); /* genconf/<name> */

#endif
