#include "installer/action.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/parse.h"

/* Preflight, deploy, postflight, uninstall. */

enum {
    POSTFLIGHT_SECONDS = 900,
    UNINSTALL_SECONDS = 300,
    SETTLE_SECONDS = 60,
    INSTALL_SECONDS = 900 /* process_timeout, 120 seconds by default, is for small things */
};

const char *action_name(enum action a)
{
    static const char *const names[] = {"preflight", "deploy", "postflight", "uninstall"};
    return names[a];
}

void action_result_done(struct action_result *r)
{
    free(r->hosts);
    free(r->results);
    json_decref(r->addresses);
    *r = (struct action_result){0};
}

/* ---- hosts ---- */

static int read_number(
    const struct gen *g, const char *name, const char *fallback, uint32_t *ret, struct error *err)
{
    const char *text = config_value(g, name, fallback);
    return parse_u32(str_of(text), ret) < 0
               ? error_set(err, -EINVAL, "%s: %s is no number", name, text)
               : 0;
}

int action_hosts(const struct gen *g, struct action_result *ret, struct error *err)
{
    static const struct {
        const char *list, *role, *install_role;
    } lists[] = {{"master_list", "master", "master"}, {"agent_list", "agent", "slave"},
        {"public_agent_list", "agent", "slave_public"}};
    uint32_t port;
    int r = read_number(g, "ssh_port", "22", &port, err);
    if (r < 0)
        return r;
    VEC(struct chain_host) hosts = {0};
    json_t *addresses = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        _cleanup_json_ json_t *list = gen_list(g, lists[i].list);
        json_t *address;
        size_t k;
        json_array_foreach(list, k, address)
        {
            const char *text = json_string_value(address);
            if (!text)
                continue;
            json_array_append(addresses, address);
            vec_push(&hosts, (struct chain_host){.address = text,
                                 .port = (uint16_t)port,
                                 .role = lists[i].role,
                                 .install_role = lists[i].install_role});
        }
    }
    *ret = (struct action_result){.hosts = hosts.items, .n = hosts.n, .addresses = addresses};
    if (hosts.n == 0) {
        action_result_done(ret);
        return error_set(err, -EINVAL,
            "config.yaml names no hosts: master_list, agent_list and public_agent_list are empty");
    }
    ret->results = xnew_array(struct chain_result, hosts.n);
    return 0;
}

/* ---- a chain ---- */

static void on_progress(
    const struct chain *chain, const struct chain_event *event, const struct chain_result *result)
{
    const struct action_context *c = chain->userdata;
    if (c->options->progress)
        c->options->progress(chain, event, result, c->options->userdata);
}

int action_begin(struct action_context *c, const struct installer *in, const struct gen *g,
    const char *name, const struct action_options *options, struct error *err)
{
    uint32_t parallelism, timeout;
    *c = (struct action_context){.in = in, .g = g, .options = options};
    int r = read_number(g, "ssh_parallelism", "20", &parallelism, err);
    if (r == 0)
        r = read_number(g, "process_timeout", "120", &timeout, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *file = xasprintf("state/%s.json", name);
    const char *key = config_value(g, "ssh_key_path", "genconf/ssh_key");
    c->state = installer_path(in, file);
    c->logs = installer_path(in, "logs");
    c->known_hosts = installer_path(in, "state/known_hosts");
    /* Names in config.yaml begin beside the folder, which has another name in tests only. */
    c->key = has_prefix(key, "genconf/") ? installer_path(in, key + strlen("genconf/"))
                                         : xstrdup(key);
    c->steps = xnew_array(struct chain_step, STEPS_MAX);
    c->files = xnew_array(struct ssh_file, STEPS_MAX);
    _cleanup_free_ char *state_folder = installer_path(in, "state");
    r = mkdir_all(state_folder, 0755, err);
    if (r == 0 && !path_exists(c->key))
        r = error_set(
            err, -ENOENT, "%s is not there: the private key to log in with (ssh_key_path)", c->key);
    c->chain = (struct chain){.name = name,
        .steps = c->steps,
        .ssh = {.user = config_value(g, "ssh_user", "centos"),
            .key_path = c->key,
            .known_hosts = c->known_hosts,
            .record_unknown = options->record_host_keys,
            .cancel = options->cancel},
        .parallelism = parallelism,
        .attempts = CONNECT_ATTEMPTS,
        .timeout_us = timeout * USEC_PER_SEC,
        .state_path = c->state,
        .log_folder = c->logs,
        .userdata = c,
        .progress = on_progress};
    if (r < 0)
        action_end(c);
    return r;
}

void action_end(struct action_context *c)
{
    for (size_t i = 0; i < c->n_files; i++)
        ssh_file_done(&c->files[i]);
    free(c->files);
    free(c->steps);
    free(c->known_hosts);
    free(c->key);
    free(c->state);
    free(c->logs);
    strings_done(&c->texts);
    *c = (struct action_context){0};
}

struct chain_step *action_step(struct action_context *c, const char *stage)
{
    assert(c->n_steps < STEPS_MAX);
    struct chain_step *step = &c->steps[c->n_steps++];
    step->stage = stage;
    return step;
}

int action_copy(struct action_context *c, const char *stage, const char *path, const char *remote,
    mode_t mode, struct error *err)
{
    if (c->n_steps + 8 >= STEPS_MAX)
        return error_set(err, -E2BIG, "more than %d files to copy", STEPS_MAX - 8);
    struct ssh_file *file = &c->files[c->n_files];
    int r = ssh_file_init(file, path, err);
    if (r < 0)
        return r == -ENOENT ? error_set(err, r, "%s is not there: run --genconf first", path) : r;
    c->n_files++;
    strings_add(&c->texts, remote);
    struct chain_step *step = action_step(c, stage);
    step->file = file;
    step->remote = c->texts.items[c->texts.n - 1];
    step->mode = mode;
    step->timeout_us = COPY_STALL_SECONDS * USEC_PER_SEC;
    return 0;
}

static int copy_served(struct action_context *c, const char *name, struct error *err)
{
    _cleanup_free_ char *file = xasprintf("serve/%s", name);
    _cleanup_free_ char *path = installer_path(c->in, file);
    _cleanup_free_ char *remote = path_join(INSTALL_TMP, name);
    return action_copy(c, "copy packages", path, remote, 0644, err);
}

int action_copy_packages(struct action_context *c, bool with_bootstrap, struct error *err)
{
    if (!streq(config_value(c->g, "bootstrap_url", ""), "file://" INSTALL_TMP))
        return 0;
    _cleanup_json_ json_t *ids = NULL;
    size_t i;
    json_t *id;
    int r = cluster_package_ids(c->in, c->g, &ids, err);
    json_array_foreach(ids, i, id)
    {
        _cleanup_free_ char *file = package_file(json_string_value(id));
        if (r == 0)
            r = copy_served(c, file, err);
    }
    _cleanup_free_ char *list = xasprintf(
        "package_lists/%s.package_list.json", config_value(c->g, "cluster_package_list_id", ""));
    if (r == 0)
        r = copy_served(c, list, err);
    if (r == 0 && with_bootstrap) {
        _cleanup_free_ char *tarball = xasprintf(
            "bootstrap/%s.bootstrap.tar.xz", c->in->bootstrap_id);
        r = copy_served(c, tarball, err);
    }
    return r;
}

int action_chain(struct action_context *c, const struct chain_host *hosts, size_t n,
    struct chain_result *results, struct error *err)
{
    c->chain.n_steps = c->n_steps;
    c->chain.hosts = hosts;
    c->chain.n_hosts = n;
    return chain_run(&c->chain, results, err);
}

/* ---- what the actions do ---- */

static int copy_install_script(struct action_context *c, struct error *err)
{
    _cleanup_free_ char *path = installer_path(c->in, "serve/dcos_install.sh");
    action_step(c, "make room")->text = "mkdir -p " INSTALL_TMP " && chmod 755 " INSTALL_TMP;
    c->steps[c->n_steps - 1].repeatable = true;
    return action_copy(c, "copy dcos_install.sh", path, INSTALL_TMP "/dcos_install.sh", 0755, err);
}

static void clean_up(struct action_context *c, bool always)
{
    struct chain_step *step = action_step(c, "clean up");
    step->text = "rm -rf " INSTALL_TMP;
    step->always = always;
    step->repeatable = true;
}

static char *preflight_command(const struct chain_host *host, void *userdata)
{
    return xasprintf("sh %s/dcos_install.sh --preflight-only %s", INSTALL_TMP, host->install_role);
}

static char *install_command(const struct chain_host *host, void *userdata)
{
    return xasprintf("sh %s/dcos_install.sh %s", INSTALL_TMP, host->install_role);
}

/* Stops everything, takes the packages, units and settings away; what services stored stays. Runs
 * on machines that were never, or only half, installed too. */
static const char uninstall_text[] =
    "set -u\n"
    "systemctl stop dcos-setup.service dcos-download.service 2>/dev/null\n"
    /* Tasks outlive their agent, not DC/OS. */
    "for unit in dcos-mesos-slave.service dcos-mesos-slave-public.service; do\n"
    "    systemctl stop $unit 2>/dev/null && systemctl kill --signal=SIGKILL $unit 2>/dev/null\n"
    "done\n"
    /* Names are no longer served here, nor virtual addresses. */
    "systemctl stop dcos-gen-resolvconf.timer dcos-gen-resolvconf.service dcos-net.service "
    "2>/dev/null\n"
    "if [ -x /opt/mesosphere/bin/dcos-gen-resolvconf ]; then\n"
    "    /opt/mesosphere/bin/dcos-gen-resolvconf --undo\n"
    "fi\n"
    "if [ -x /opt/mesosphere/bin/nft ]; then\n"
    "    /opt/mesosphere/bin/dcos-shell nft delete table inet dcos_l4lb 2>/dev/null\n"
    "fi\n"
    "if [ -x /opt/mesosphere/bin/pkgpanda ]; then\n"
    "    /opt/mesosphere/bin/pkgpanda uninstall || exit\n"
    "fi\n"
    /* Where a change was cut off there may be no pkgpanda, but units of both sets. */
    "for path in /etc/systemd/system/dcos.target.wants*/*; do\n"
    /* Of a pattern that nothing fits "*" would be left, which systemctl takes for every unit. */
    "    [ -e \"$path\" ] || [ -L \"$path\" ] || continue\n"
    "    unit=${path##*/}\n"
    "    systemctl stop \"$unit\" 2>/dev/null\n"
    "    rm -f \"/etc/systemd/system/$unit\" \"/etc/systemd/system/$unit.unit.new\"\n"
    "done\n"
    "systemctl disable dcos-setup.service 2>/dev/null\n"
    "rm -rf /etc/systemd/system/dcos.target.wants /etc/systemd/system/dcos.target.wants.new "
    "/etc/systemd/system/dcos.target.wants.old\n"
    "rm -f /etc/systemd/network/dcos.network /etc/NetworkManager/conf.d/dcos-unmanaged.conf\n"
    "rm -f /etc/systemd/system/dcos.target /etc/systemd/system/dcos-setup.service "
    "/etc/systemd/system/dcos-download.service /etc/systemd/system/dcos-link-env.service\n"
    "systemctl daemon-reload\n"
    "systemctl reset-failed 'dcos*' 2>/dev/null\n"
    "for path in /opt/mesosphere /opt/mesosphere/*; do rm -rf \"$path\" 2>/dev/null; done\n"
    "rm -rf /etc/mesosphere/roles /etc/mesosphere/setup-flags /etc/profile.d/dcos.sh\n"
    "rm -rf " SECRETS_FOLDER "\n"
    "rm -rf " INSTALL_TMP "\n"
    "[ ! -d /opt/mesosphere ] || [ -z \"$(ls -A /opt/mesosphere)\" ] || "
    "{ echo 'something is left in /opt/mesosphere' >&2; exit 1; }\n";

/* Checks need their time after an install: services start, agents register. */
static char *postflight_command(const struct chain_host *host, void *userdata)
{
    const struct action_context *c = userdata;
    bool first = streq(host->address, c->first->address);
    return xasprintf("export LC_ALL=C\n"
                     "run() { /opt/mesosphere/bin/dcos-shell dcos-check-runner check \"$1\" "
                     "--role=%s; }\n"
                     "[ -x /opt/mesosphere/bin/dcos-shell ] || "
                     "{ echo 'DC/OS is not installed' >&2; exit 1; }\n"
                     "end=$(($(date +%%s) + %d))\n"
                     "for type in node-poststart%s; do\n"
                     "    until out=$(run $type 2>&1); do\n"
                     "        if [ \"$(date +%%s)\" -ge \"$end\" ]; then\n"
                     "            echo \"$out\"\n"
                     "            echo \"$type checks fail\" >&2\n"
                     "            exit 1\n"
                     "        fi\n"
                     "        sleep 1\n"
                     "    done\n"
                     "    echo \"$out\"\n"
                     "done",
        streq(host->role, "master") ? "master" : "agent", POSTFLIGHT_SECONDS,
        first ? " cluster" : "");
}

static void uninstall_step(struct action_context *c)
{
    struct chain_step *step = action_step(c, "uninstall");
    step->text = uninstall_text;
    step->repeatable = true;
    step->timeout_us = UNINSTALL_SECONDS * USEC_PER_SEC;
}

static int make_steps(struct action_context *c, enum action action, struct error *err)
{
    int r = 0;
    switch (action) {
    case ACTION_PREFLIGHT:
        r = copy_install_script(c, err);
        if (r < 0)
            return r;
        action_step(c, "preflight")->command = preflight_command;
        c->steps[c->n_steps - 1].repeatable = true;
        clean_up(c, true);
        return 0;
    case ACTION_DEPLOY:
        if (c->options->retry)
            uninstall_step(c);
        r = copy_install_script(c, err);
        if (r == 0)
            r = action_copy_secrets(c, err);
        if (r == 0)
            r = action_copy_packages(c, true, err);
        if (r < 0)
            return r;
        action_step(c, "install DC/OS")->command = install_command;
        c->steps[c->n_steps - 1].timeout_us = MAX(
            c->chain.timeout_us, INSTALL_SECONDS * USEC_PER_SEC);
        clean_up(c, false); /* a host that failed may still want the files, at its next boot */
        return 0;
    case ACTION_POSTFLIGHT:
        action_step(c, "checks")->command = postflight_command;
        c->steps[c->n_steps - 1].repeatable = true;
        c->steps[c->n_steps - 1].timeout_us = (POSTFLIGHT_SECONDS + SETTLE_SECONDS) * USEC_PER_SEC;
        return 0;
    case ACTION_UNINSTALL:
        uninstall_step(c);
        return 0;
    }
    return 0;
}

/* Leaves hosts out that an earlier run brought to success. */
static int only_failed(struct action_context *c, struct action_result *hosts, struct error *err)
{
    _cleanup_json_ json_t *state = NULL;
    size_t kept = 0;
    int r = chain_state_read(c->state, &state, err);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    for (size_t i = 0; i < hosts->n; i++) {
        _cleanup_free_ char *key = xasprintf(
            "%s:%u", hosts->hosts[i].address, hosts->hosts[i].port);
        const json_t *entry = json_at(json_at(state, "hosts"), key);
        if (!streq(json_str_at(entry, "host_status", ""), "success"))
            hosts->hosts[kept++] = hosts->hosts[i];
    }
    hosts->n = kept;
    return 0;
}

int action_run(const struct installer *in, const struct gen *g, enum action action,
    const struct action_options *options, struct action_result *ret, struct error *err)
{
    struct action_context c;
    struct action_result hosts = {0};
    int r = action_hosts(g, &hosts, err);
    if (r < 0)
        return r;
    r = action_begin(&c, in, g, action_name(action), options, err);
    if (r < 0) {
        action_result_done(&hosts);
        return r;
    }
    const struct chain_host first = hosts.hosts[0];
    c.first = &first;
    r = make_steps(&c, action, err);
    if (r == 0 && options->retry)
        r = only_failed(&c, &hosts, err);
    if (r == 0)
        r = action_chain(&c, hosts.hosts, hosts.n, hosts.results, err);
    action_end(&c);
    if (r < 0)
        action_result_done(&hosts);
    else
        *ret = hosts;
    return r;
}
