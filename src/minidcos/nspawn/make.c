/* minidcos nspawn create, provision, install, upgrade, wait */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "minidcos/nspawn/commands.h"

enum {
    BOOT_TIMEOUT_S = 120,
    WAIT_DEFAULT_S = 3600,
    PORTS_MAX = 32,
    VOLUMES_MAX = 64,
    FOLDER_TRIES = 10
};

/* ---- options ---- */

/* Those of the Docker backend that mean nothing to machines are known, so that the answer says
 * why rather than that there is no such option. */
static const struct {
    const char *name, *why;
} foreign[] = {{"docker-version", "there is no Docker on the nodes"},
    {"docker-storage-driver", "there is no Docker on the nodes"},
    {"linux-distribution", "nodes run the Debian release of this host"},
    {"workspace-dir", "everything of a cluster is in one folder, which --dir chooses"}};

static int check_foreign(const struct invocation *inv, struct error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        if (option_text(inv, foreign[i].name))
            return error_set(err, -EINVAL, "--%s has no meaning for machines: %s", foreign[i].name,
                foreign[i].why);
    }
    if (option_bool(inv, "no-mount-sys-fs-cgroup"))
        return error_set(err, -EINVAL,
            "--no-mount-sys-fs-cgroup has no meaning for machines: each has control groups of its "
            "own");
    const char *variant = option_text(inv, "variant");
    if (variant && !streq(variant, "auto") && !streq(variant, "oss"))
        return error_set(err, -EINVAL, "--variant=%s: there is one variant, 'oss'", variant);
    return check_transport(inv, err);
}

static int read_volumes(const struct invocation *inv, struct machines *m, struct error *err)
{
    static const struct {
        const char *option;
        unsigned roles;
    } kinds[] = {{"custom-volume", 7}, {"custom-master-volume", 1u << NODE_MASTER},
        {"custom-agent-volume", 1u << NODE_AGENT},
        {"custom-public-agent-volume", 1u << NODE_PUBLIC_AGENT}};
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        const char *const *specs;
        size_t n = option_list(inv, kinds[i].option, &specs);
        for (size_t k = 0; k < n; k++) {
            struct volume volume = {.roles = kinds[i].roles};
            int r = volume_parse(specs[k], &volume, err);
            if (r < 0)
                return error_prefix(err, r, "--%s %s", kinds[i].option, specs[k]);
            volume.spec = xstrdup(specs[k]);
            vec_push(&m->volumes, volume);
            if (m->volumes.n > VOLUMES_MAX)
                return error_set(
                    err, -EINVAL, "a cluster here has at most %d volumes", VOLUMES_MAX);
            if (!path_exists(volume.source))
                return error_set(
                    err, -EINVAL, "--%s: there is no %s here", kinds[i].option, volume.source);
        }
    }
    return 0;
}

static int read_ports(const struct invocation *inv, struct machines *m, struct error *err)
{
    const char *const *specs;
    size_t n = option_list(inv, "one-master-host-port-map", &specs);
    for (size_t i = 0; i < n; i++) {
        struct str rest = str_of(specs[i]), host, node;
        struct port_map map;
        if (i >= PORTS_MAX || !str_split(&rest, ':', &host) || !str_split(&rest, ':', &node) ||
            rest.n || parse_port(host, &map.host) < 0 || parse_port(node, &map.node) < 0 ||
            map.host == 0 || map.node == 0)
            return error_set(err, -EINVAL,
                "--one-master-host-port-map %s: write it as HOST:NODE, two ports", specs[i]);
        vec_push(&m->ports, map);
    }
    return 0;
}

static int read_nodes(const struct invocation *inv, struct machines *m, struct error *err)
{
    const int64_t counts[NODE_ROLES] = {option_i64(inv, "masters", 1), option_i64(inv, "agents", 1),
        option_i64(inv, "public-agents", 1)};
    static const char *const names[NODE_ROLES] = {"--masters", "--agents", "--public-agents"};
    int64_t sum = 0;
    for (enum node_role role = 0; role < NODE_ROLES; role++) {
        if (counts[role] < (role == NODE_MASTER) || counts[role] > NODES_MAX)
            return error_set(
                err, -EINVAL, "%s=%lld is out of range", names[role], (long long)counts[role]);
        sum += counts[role];
    }
    if (sum > NODES_MAX)
        return error_set(err, -EINVAL, "a cluster here has at most %d nodes", NODES_MAX);
    if (counts[NODE_MASTER] % 2 == 0 || counts[NODE_MASTER] > 9)
        return error_set(err, -EINVAL, "the number of masters is 1, 3, 5, 7 or 9");
    for (enum node_role role = 0; role < NODE_ROLES; role++) {
        for (int64_t i = 0; i < counts[role]; i++)
            machines_add(m, role);
    }
    return 0;
}

/* "LOCAL:REMOTE" of --copy-to-master; *ret_local to be freed. */
static int parse_copy(
    const char *spec, char **ret_local, const char **ret_remote, struct error *err)
{
    const char *colon = strrchr(spec, ':');
    if (!colon || colon == spec || colon[1] != '/')
        return error_set(
            err, -EINVAL, "--copy-to-master %s: write it as LOCAL:/absolute/path", spec);
    *ret_local = xstrndup(spec, (size_t)(colon - spec));
    *ret_remote = colon + 1;
    return 0;
}

static int check_copies(const struct invocation *inv, struct error *err)
{
    const char *const *specs, *remote;
    size_t n = option_list(inv, "copy-to-master", &specs);
    for (size_t i = 0; i < n; i++) {
        _cleanup_free_ char *local = NULL;
        int r = parse_copy(specs[i], &local, &remote, err);
        if (r < 0)
            return r;
        if (access(local, R_OK) < 0)
            return error_set(err, -EINVAL, "--copy-to-master: %s: %s", local, errno_text(errno));
    }
    return 0;
}

static void read_install(const struct invocation *inv, struct install_options *o, int *exit_code)
{
    *o = (struct install_options){.installer = arg_at(inv, 0),
        .extra_config = option_text(inv, "extra-config"),
        .genconf_dir = option_text(inv, "genconf-dir"),
        .security_mode = option_text(inv, "security-mode"),
        .license = option_text(inv, "license-key") ?: getenv("DCOS_LICENSE_KEY_PATH"),
        .verbose = option_bool(inv, "verbose"),
        .exit_code = exit_code};
}

/* What can be known to be wrong before minutes are spent. */
static int check_install(const struct install_options *o, struct error *err)
{
    const struct {
        const char *path;
        mode_t type;
    } files[] = {{o->installer, S_IFREG}, {o->extra_config, S_IFREG}, {o->genconf_dir, S_IFDIR},
        {o->license, S_IFREG}};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        struct stat st;
        if (!files[i].path)
            continue;
        if (stat(files[i].path, &st) < 0 || access(files[i].path, R_OK) < 0)
            return error_set(err, -EINVAL, "cannot read %s: %s", files[i].path, errno_text(errno));
        if ((st.st_mode & S_IFMT) != files[i].type)
            return error_set(err, -EINVAL, "%s is not a %s", files[i].path,
                files[i].type == S_IFDIR ? "folder" : "file");
    }
    if (o->security_mode && !streq(o->security_mode, "disabled"))
        return error_set(err, -EINVAL,
            "--security-mode=%s is of the enterprise variant; here it is 'disabled' or not given",
            o->security_mode);
    _cleanup_json_ json_t *extra = NULL;
    return o->extra_config ? install_extra(o->extra_config, &extra, err) : 0;
}

/* ---- machines ---- */

static int taken(const struct machines *m, struct error *err)
{
    return error_set(err, -EEXIST,
        "there is a cluster '%s' in %s/nspawn already; choose another --cluster-id, or destroy it",
        m->id, m->home);
}

/* All that the command line says, before anything is made. */
static int plan(const struct invocation *inv, struct machines *m, struct error *err)
{
    _cleanup_free_ char *home = NULL;
    const char *network = option_text(inv, "network");
    uint32_t unused;
    int r = check_foreign(inv, err);
    if (r == 0)
        r = home_of(inv, &home, err);
    if (r == 0)
        r = machines_check_id(name_of(inv), err);
    if (r == 0)
        r = check_folder(home, err);
    if (r < 0)
        return r;
    machines_init(m, home, name_of(inv));
    r = read_nodes(inv, m, err);
    if (r == 0)
        r = read_volumes(inv, m, err);
    if (r == 0)
        r = read_ports(inv, m, err);
    if (r == 0)
        r = check_copies(inv, err);
    if (r == 0 && network)
        r = network_parse(network, &unused, err);
    return r < 0 ? r : path_exists(m->dir) ? taken(m, err) : 0;
}

/* Takes the id: the folder is this command's alone. */
static int take_id(struct machines *m, int *ret_lock, struct error *err)
{
    _cleanup_free_ char *folder = path_join(m->home, "nspawn");
    int r = mkdir_all(folder, 0755, err);
    /* Whoever destroys the last cluster removes the folder too, at this moment perhaps. */
    for (int i = 0; r == 0 && mkdir(m->dir, 0755) < 0; i++) {
        if (errno == EEXIST)
            r = taken(m, err);
        else if (errno == ENOENT && i < FOLDER_TRIES)
            r = mkdir_all(folder, 0755, err);
        else
            r = error_errno(err, -errno, "cannot make %s", m->dir);
    }
    if (r == 0) {
        r = *ret_lock = nspawn_lock(m, err);
        r = MIN(r, 0);
    }
    return r;
}

static int boot_all(struct machines *m, struct error *err)
{
    static const char *const folders[] = {"logs", "nodes"};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(folders); i++) {
        _cleanup_free_ char *path = machines_path(m, folders[i]);
        r = mkdir_all(path, 0755, err);
    }
    if (r >= 0)
        r = ssh_make_keys(m, err);
    for (size_t i = 0; r >= 0 && i < m->nodes.n; i++) {
        r = node_prepare(m, &m->nodes.items[i], err);
        if (r >= 0)
            r = node_boot(m, &m->nodes.items[i], err);
    }
    return r < 0 ? r : nodes_wait(m, NULL, BOOT_TIMEOUT_S, err);
}

static int copy_to_masters(
    const struct invocation *inv, const struct machines *m, struct error *err)
{
    const char *const *specs, *remote;
    size_t n = option_list(inv, "copy-to-master", &specs);
    int r = 0;
    for (size_t i = 0; r >= 0 && i < n; i++) {
        _cleanup_free_ char *local = NULL;
        r = parse_copy(specs[i], &local, &remote, err);
        for (size_t k = 0; r >= 0 && k < m->nodes.n; k++) {
            if (m->nodes.items[k].role == NODE_MASTER)
                r = node_send(m, &m->nodes.items[k], local, remote, err);
        }
    }
    return r;
}

static int provision(
    const struct invocation *inv, struct machines *m, int *ret_lock, struct error *err)
{
    _cleanup_free_ char *cache = NULL;
    int r = nspawn_cache(inv, &cache, err);
    /* The tree first: it may take minutes, and is nobody's cluster. */
    if (r == 0)
        r = tree_ensure(cache, true, &m->tree, err);
    if (r < 0)
        return r;
    int64_t start = clock_monotonic_us();
    r = take_id(m, ret_lock, err);
    m->created_us = clock_realtime_us();
    if (r == 0)
        r = network_create(m, option_text(inv, "network"), err);
    if (r >= 0)
        r = boot_all(m, err);
    if (r >= 0) {
        fprintf(stderr, "%zu machines ... %.1f s\n", m->nodes.n,
            (double)(clock_monotonic_us() - start) / 1e6);
        r = copy_to_masters(inv, m, err);
    }
    return MIN(r, 0);
}

/* A cluster that could not be made leaves nothing. */
static void give_up(struct machines *m, int lock)
{
    struct error why = ERROR_INIT;
    if (lock >= 0 && machines_destroy(m, &why) < 0)
        fprintf(stderr, "Error: %s\n", why.msg);
}

static int wait_for(const struct invocation *inv, const struct machines *m, struct error *err)
{
    const struct ready_options o = {
        .timeout_s = option_i64(inv, "timeout", WAIT_DEFAULT_S), .progress = true};
    return machines_wait(m, &o, err);
}

/* What was wrong with the command line, or whose exit code is given on. */
static int failed(int r, int exit_code, const struct error *err)
{
    if (r >= 0 || exit_code == 0)
        return MIN(r, 0);
    (void)usage_error(err);
    return exit_code;
}

static int make_cluster(const struct invocation *inv, bool with_installer, struct error *err)
{
    struct machines m = {0};
    struct install_options o = {0};
    int lock = -1, exit_code = 0;
    int r = need_root(err);
    if (r < 0)
        return r;
    if (with_installer) {
        read_install(inv, &o, &exit_code);
        r = check_install(&o, err);
    }
    if (r == 0)
        r = plan(inv, &m, err);
    if (r < 0)
        exit_code = EXIT_USAGE;
    else
        r = provision(inv, &m, &lock, err);
    if (r == -EEXIST)
        exit_code = EXIT_USAGE;
    if (r >= 0 && with_installer)
        r = install_cluster(&m, &o, err);
    if (r >= 0 && with_installer && option_bool(inv, "wait-for-dcos"))
        r = wait_for(inv, &m, err);
    if (r < 0)
        give_up(&m, lock);
    else
        printf("%s\n", m.id);
    fd_close(lock);
    machines_done(&m);
    return failed(r, exit_code, err);
}

static int run_create(const struct invocation *inv, struct error *err)
{
    return make_cluster(inv, true, err);
}

static int run_provision(const struct invocation *inv, struct error *err)
{
    return make_cluster(inv, false, err);
}

static int change(const struct invocation *inv, struct error *err,
    int (*fn)(struct machines *, const struct install_options *, struct error *), bool upgrades)
{
    struct machines m;
    struct install_options o;
    int r = need_root(err);
    if (r == 0)
        r = nspawn_load(inv, &m, err);
    if (r != 0)
        return r;
    int exit_code = 0;
    read_install(inv, &o, &exit_code);
    o.rollback = upgrades && option_bool(inv, "rollback");
    r = check_install(&o, err);
    if (r < 0)
        exit_code = EXIT_USAGE;
    int lock = r < 0 ? r : nspawn_lock(&m, err);
    if (r == 0)
        r = MIN(lock, 0);
    if (r == 0) {
        r = fn(&m, &o, err);
        if (r < 0 && upgrades && option_bool(inv, "destroy-on-failure"))
            give_up(&m, lock);
    }
    if (r >= 0 && option_bool(inv, "wait-for-dcos"))
        r = wait_for(inv, &m, err);
    fd_close(lock);
    machines_done(&m);
    return failed(r, exit_code, err);
}

static int run_install(const struct invocation *inv, struct error *err)
{
    return change(inv, err, install_cluster, false);
}

static int run_upgrade(const struct invocation *inv, struct error *err)
{
    return change(inv, err, upgrade_cluster, true);
}

static int run_wait(const struct invocation *inv, struct error *err)
{
    struct machines m;
    int r = nspawn_load(inv, &m, err);
    if (r != 0)
        return r;
    const struct ready_options o = {.timeout_s = option_i64(inv, "timeout", WAIT_DEFAULT_S),
        .progress = true,
        .username = option_text(inv, "superuser-username"),
        .password = option_text(inv, "superuser-password"),
        .skip_http = option_bool(inv, "skip-http-checks")};
    r = machines_wait(&m, &o, err);
    machines_done(&m);
    return r;
}

#define NODE_OPTIONS                                                                               \
    {"masters", 0, OPTION_I64, "Masters (1)"}, {"agents", 0, OPTION_I64, "Private agents (1)"},    \
        {"public-agents", 0, OPTION_I64, "Public agents (1)"},                                     \
        {"network", 0, OPTION_STRING,                                                              \
            "Network of the nodes, such as 172.30.7.0/24 (a free one of 172.30.0.0/16)"},          \
        {"copy-to-master", 0, OPTION_LIST, "LOCAL:REMOTE, copied to each master"},                 \
        {"custom-volume", 0, OPTION_LIST, "/on/host:/on/node[:ro] of each node"},                  \
        {"custom-master-volume", 0, OPTION_LIST, "The same of masters"},                           \
        {"custom-agent-volume", 0, OPTION_LIST, "The same of private agents"},                     \
        {"custom-public-agent-volume", 0, OPTION_LIST, "The same of public agents"},               \
        {"one-master-host-port-map", 0, OPTION_LIST,                                               \
            "HOST:NODE, a port of this host that leads to the first master"},                      \
        OPTION_CACHE, {"variant", 0, OPTION_STRING, "auto or oss", true},                          \
        {"docker-version", 0, OPTION_STRING, "Refused", true},                                     \
        {"docker-storage-driver", 0, OPTION_STRING, "Refused", true},                              \
        {"linux-distribution", 0, OPTION_STRING, "Refused", true},                                 \
        {"workspace-dir", 0, OPTION_STRING, "Refused", true},                                      \
        {"mount-sys-fs-cgroup", 0, OPTION_BOOL, "Always so", true},                                \
    {                                                                                              \
        "no-mount-sys-fs-cgroup", 0, OPTION_BOOL, "Refused", true                                  \
    }
#define INSTALL_OPTIONS                                                                            \
    {"extra-config", 0, OPTION_STRING, "YAML map, added to the configuration"},                    \
        {"genconf-dir", 0, OPTION_STRING, "Folder whose files go to genconf/"},                    \
        {"security-mode", 0, OPTION_STRING, "disabled", true},                                     \
        {"license-key", 0, OPTION_STRING, "File that goes to genconf/license.txt", true},          \
        {"wait-for-dcos", 0, OPTION_BOOL, "Wait until the cluster is ready"},                      \
    {                                                                                              \
        "timeout", 0, OPTION_I64, "Seconds that this waits (3600)"                                 \
    }

static const struct option_spec create_options[] = {
    OPTION_CLUSTER, OPTIONS_COMMON, NODE_OPTIONS, INSTALL_OPTIONS};
static const struct option_spec provision_options[] = {
    OPTION_CLUSTER, OPTIONS_COMMON, NODE_OPTIONS};
static const struct option_spec install_options[] = {
    OPTION_CLUSTER, OPTIONS_COMMON, INSTALL_OPTIONS};
static const struct option_spec upgrade_options[] = {OPTION_CLUSTER, OPTIONS_COMMON,
    INSTALL_OPTIONS, {"rollback", 0, OPTION_BOOL, "Back to what was there before the last upgrade"},
    {"destroy-on-failure", 0, OPTION_BOOL, "Destroy the cluster when its upgrade fails"}};
static const struct option_spec wait_options[] = {OPTION_CLUSTER, OPTIONS_COMMON,
    {"superuser-username", 0, OPTION_STRING, "Who logs in (the cluster's first user)"},
    {"superuser-password", 0, OPTION_STRING, "With what"},
    {"skip-http-checks", 0, OPTION_BOOL, "The checks of the nodes only"},
    {"timeout", 0, OPTION_I64, "Seconds to wait (3600)"}};

const struct command nspawn_create = {.name = "create",
    .arguments = "<installer>",
    .summary = "Boot machines and install a cluster on them",
    .examples = "    minidcos nspawn create build/dist/dcos_generate_config.sh --agents=2 "
                "--wait-for-dcos",
    OPTIONS(create_options),
    .min_args = 1,
    .max_args = 1,
    .run = run_create};
const struct command nspawn_provision = {.name = "provision",
    .summary = "Boot machines with nothing installed",
    OPTIONS(provision_options),
    .run = run_provision};
const struct command nspawn_install = {.name = "install",
    .arguments = "<installer>",
    .summary = "Install a cluster on machines that were provisioned",
    OPTIONS(install_options),
    .min_args = 1,
    .max_args = 1,
    .run = run_install};
const struct command nspawn_upgrade = {.name = "upgrade",
    .arguments = "<installer>",
    .summary = "Change each node in turn to what another installer has",
    OPTIONS(upgrade_options),
    .min_args = 1,
    .max_args = 1,
    .run = run_upgrade};
const struct command nspawn_wait = {.name = "wait",
    .summary = "Wait until checks pass and every master serves",
    OPTIONS(wait_options),
    .run = run_wait};
