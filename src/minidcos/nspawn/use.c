/* minidcos nspawn run, send-file, sync, web, kill, start */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/credentials.h"
#include "auth/rsa.h"
#include "base/file.h"
#include "minidcos/door.h"
#include "minidcos/nspawn/commands.h"

enum { SECRET_MAX = 4096, BOOT_TIMEOUT_S = 120 };

static const char TESTS[] = "/opt/mesosphere/active/dcos-integration-test";

/* The nodes of --node, the first master when there is none. Returns how many, or a negative errno.
 */
static int chosen_nodes(const struct invocation *inv, const struct machines *m,
    const struct node *ret[NODES_MAX], struct error *err)
{
    const char *const *words;
    size_t n = option_list(inv, "node", &words);
    if (n > NODES_MAX)
        return error_set(err, -E2BIG, "too many nodes");
    for (size_t i = 0; i < n; i++) {
        ret[i] = machines_node(m, words[i], err);
        if (!ret[i])
            return -ENOENT;
    }
    if (n > 0)
        return (int)n;
    ret[0] = machines_first(m, NODE_MASTER);
    return 1;
}

static int for_nodes(const struct invocation *inv, struct error *err,
    int (*fn)(
        const struct invocation *, const struct machines *, const struct node *, struct error *))
{
    struct machines m;
    const struct node *nodes[NODES_MAX];
    int r = nspawn_load(inv, &m, err);
    if (r != 0)
        return r;
    int n = chosen_nodes(inv, &m, nodes, err);
    r = n == -ENOENT ? usage_error(err) : MIN(n, 0);
    for (int i = 0; r == 0 && i < n; i++)
        r = fn(inv, &m, nodes[i], err);
    machines_done(&m);
    return r;
}

/* ---- run ---- */

/* The password goes through the environment of ssh: command lines are for everybody to read. */
static int give_login(const struct invocation *inv, const struct machines *m, struct error *err)
{
    const char *name = option_text(inv, "dcos-login-uname") ?: SUPERUSER;
    const char *word = option_text(inv, "dcos-login-pw");
    _cleanup_free_ char *file = machines_path(m, "secrets/superuser.password");
    _cleanup_secret_ struct buf password = BUF_INIT;
    int r = 0;
    if (word)
        buf_puts(&password, word);
    else if (path_exists(file))
        r = file_read(file, SECRET_MAX, &password, err);
    if (r < 0)
        return r;
    char *secret = str_dup(str_trim(buf_str(&password)));
    setenv("DCOS_LOGIN_UNAME", name, 1);
    setenv("DCOS_LOGIN_PW", secret, 1);
    rsa_wipe(secret);
    return 0;
}

static int sync_tests(
    const struct machines *m, const struct node *node, const char *checkout, struct error *err)
{
    _cleanup_free_ char *extra = path_join(checkout, "packages/dcos-integration-test/extra");
    _cleanup_free_ char *all = xasprintf("%s/.", extra);
    _cleanup_buf_ struct buf output = BUF_INIT;
    if (!path_exists(extra))
        return error_set(err, -EINVAL,
            "%s is not a checkout of DC/OS: it has no packages/dcos-integration-test/extra",
            checkout);
    char command[256];
    snprintf(command, sizeof(command),
        "cd %s/ && find . -mindepth 1 -maxdepth 1 ! -name '*.json' -exec rm -rf {} +", TESTS);
    int r = node_run(m, node, command, &output, err);
    if (r > 0)
        return error_set(
            err, -ENOENT, "%s has no integration tests: %s", node->name, buf_cstr(&output));
    return r < 0 ? r : node_send(m, node, all, TESTS, err);
}

static int run_on(const struct invocation *inv, const struct machines *m, const struct node *node,
    struct error *err)
{
    _cleanup_buf_ struct buf command = BUF_INIT;
    const char *const *env;
    size_t n = option_list(inv, "env", &env);
    const char *checkout = option_text(inv, "sync-dir");
    int r = checkout ? sync_tests(m, node, checkout, err) : 0;
    if (r < 0)
        return r == -EINVAL ? usage_error(err) : r;
    if (option_bool(inv, "test-env")) {
        buf_printf(&command, ". /opt/mesosphere/environment.export; cd %s; export ", TESTS);
        test_environment(m, &command);
        buf_printf(
            &command, "COLUMNS=%s LINES=%s; ", getenv("COLUMNS") ?: "80", getenv("LINES") ?: "24");
    }
    for (size_t i = 0; i < n; i++) {
        const char *equals = strchr(env[i], '=');
        bool good = equals && equals != env[i];
        for (const char *p = env[i]; good && p < equals; p++)
            good = (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || *p == '_' ||
                   (p > env[i] && *p >= '0' && *p <= '9');
        if (!good) {
            error_set(err, -EINVAL, "--env takes NAME=VALUE, not '%s'", env[i]);
            return usage_error(err);
        }
        buf_printf(&command, "export %.*s=", (int)(equals - env[i]), env[i]);
        shell_quote(&command, equals + 1);
        buf_puts(&command, "; ");
    }
    /* As in miniDC/OS, the words make one line of a shell. */
    for (size_t i = 0; i < inv->n_args; i++)
        buf_printf(&command, "%s%s", i ? " " : "", inv->args[i]);
    if (option_bool(inv, "test-env"))
        r = give_login(inv, m, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *config = machines_path(m, "ssh/config");
    const char *const argv[] = {"ssh", "-F", config, isatty(STDIN_FILENO) ? "-t" : "-T", "-o",
        "SendEnv=DCOS_LOGIN_UNAME DCOS_LOGIN_PW", node->ip, "--", buf_cstr(&command), NULL};
    fflush(stdout);
    return child_foreground(argv, err);
}

static int run_run(const struct invocation *inv, struct error *err)
{
    return for_nodes(inv, err, run_on);
}

/* ---- files ---- */

static int send_to(const struct invocation *inv, const struct machines *m, const struct node *node,
    struct error *err)
{
    return node_send(m, node, inv->args[0], inv->args[1], err);
}

static int run_send_file(const struct invocation *inv, struct error *err)
{
    if (access(inv->args[0], R_OK) < 0) {
        error_set(err, -EINVAL, "cannot read %s: %s", inv->args[0], errno_text(errno));
        return usage_error(err);
    }
    return for_nodes(inv, err, send_to);
}

static int run_sync(const struct invocation *inv, struct error *err)
{
    struct machines m;
    const char *checkout = arg_at(inv, 0) ?: getenv("DCOS_CHECKOUT_DIR") ?: ".";
    int r = nspawn_load(inv, &m, err);
    if (r != 0)
        return r;
    VEC_FOREACH (node, &m.nodes) {
        if (r == 0 && node->role == NODE_MASTER)
            r = sync_tests(&m, node, checkout, err);
    }
    machines_done(&m);
    return r == -EINVAL ? usage_error(err) : r;
}

static int run_web(const struct invocation *inv, struct error *err)
{
    struct machines m;
    int r = nspawn_load(inv, &m, err);
    if (r != 0)
        return r;
    _cleanup_free_ char *url = xasprintf("http://%s", machines_first(&m, NODE_MASTER)->ip);
    _cleanup_buf_ struct buf output = BUF_INIT;
    const char *const argv[] = {"xdg-open", url, NULL};
    printf("%s\n", url);
    /* A machine without a desktop has no browser to open: the address is printed all the same. */
    (void)child_run(argv, NULL, &output, NULL);
    machines_done(&m);
    return 0;
}

/* ---- power ---- */

static int kill_node(const struct invocation *inv, const struct machines *m,
    const struct node *node, struct error *err)
{
    (void)inv;
    if (!groups_alive(m, node))
        return error_set(err, -ESRCH, "%s does not run", node->name);
    return groups_remove(m, node, err);
}

static int run_kill(const struct invocation *inv, struct error *err)
{
    int r = need_root(err);
    return r < 0 ? r : for_nodes(inv, err, kill_node);
}

static int start_node(const struct invocation *inv, const struct machines *m,
    const struct node *node, struct error *err)
{
    int r = option_bool(inv, "blank") ? node_blank(m, node, err) : 0;
    if (r >= 0)
        r = node_boot(m, node, err);
    return r < 0 ? r : nodes_wait(m, node, BOOT_TIMEOUT_S, err);
}

static int run_start(const struct invocation *inv, struct error *err)
{
    struct machines m;
    const char *const *words;
    bool chosen = option_list(inv, "node", &words) > 0;
    if (!chosen && option_bool(inv, "blank")) {
        error_set(err, -EINVAL, "--blank needs --node: which machine loses its disk?");
        return usage_error(err);
    }
    int r = need_root(err);
    if (r == 0)
        r = nspawn_load(inv, &m, err);
    if (r != 0)
        return r;
    r = network_ensure(&m, err);
    if (r >= 0 && chosen) {
        machines_done(&m);
        return for_nodes(inv, err, start_node);
    }
    /* All that do not run. */
    for (size_t i = 0; r >= 0 && i < m.nodes.n; i++) {
        if (!groups_alive(&m, &m.nodes.items[i]))
            r = node_boot(&m, &m.nodes.items[i], err);
    }
    if (r >= 0)
        r = nodes_wait(&m, NULL, BOOT_TIMEOUT_S, err);
    machines_done(&m);
    return MIN(r, 0);
}

static const struct option_spec run_options[] = {OPTION_CLUSTER, OPTIONS_COMMON, OPTION_NODE,
    {"test-env", 'T', OPTION_BOOL,
        "With the variables and in the folder of the integration tests (also -te)", .word = "te"},
    {"env", 0, OPTION_LIST, "NAME=VALUE for the command"},
    {"sync-dir", 0, OPTION_STRING, "Checkout whose integration tests go to the node first"},
    {"dcos-login-uname", 0, OPTION_STRING, "DCOS_LOGIN_UNAME of --test-env (the first user)"},
    {"dcos-login-pw", 0, OPTION_STRING, "DCOS_LOGIN_PW of --test-env"}};
static const struct option_spec node_options[] = {OPTION_CLUSTER, OPTIONS_COMMON, OPTION_NODE};
static const struct option_spec start_options[] = {OPTION_CLUSTER, OPTIONS_COMMON, OPTION_NODE,
    {"blank", 0, OPTION_BOOL, "With an empty disk: another machine with the same address"}};
static const struct option_spec plain_options[] = {OPTION_CLUSTER, OPTIONS_COMMON};

const struct command nspawn_run = {.name = "run",
    .arguments = "<command>...",
    .summary = "Run a shell command on nodes (the first master)",
    .examples = "    minidcos nspawn run --node agent_0 systemctl status dcos-mesos-slave\n"
                "    minidcos nspawn run --test-env pytest -x test_units.py",
    OPTIONS(run_options),
    .min_args = 1,
    .max_args = UINT_MAX,
    .first_ends = true,
    .run = run_run};
const struct command nspawn_send_file = {.name = "send-file",
    .arguments = "<source> <destination>",
    .summary = "Copy a file or folder to nodes (the first master)",
    OPTIONS(node_options),
    .min_args = 2,
    .max_args = 2,
    .run = run_send_file};
const struct command nspawn_sync = {.name = "sync",
    .arguments = "[<checkout>]",
    .summary = "Replace the integration tests on masters by those of a checkout",
    OPTIONS(plain_options),
    .max_args = 1,
    .run = run_sync};
const struct command nspawn_web = {.name = "web",
    .summary = "Open the web page of a master",
    OPTIONS(plain_options),
    .run = run_web};
const struct command nspawn_kill = {.name = "kill",
    .summary = "Cut the power of nodes (the first master)",
    OPTIONS(node_options),
    .run = run_kill};
const struct command nspawn_start = {.name = "start",
    .summary = "Boot nodes again (all that do not run)",
    OPTIONS(start_options),
    .run = run_start};
