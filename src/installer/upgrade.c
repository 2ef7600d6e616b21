#include <errno.h>

#include "base/alloc.h"
#include "base/file.h"
#include "installer/action.h"

/* A cluster's nodes changed in place, a few at a time. */

enum { UPGRADE_SECONDS = 1800 /* fetching, changing, and up to 300 looks at the node's health */ };

#define SCRIPT_ON_NODE INSTALL_TMP "/dcos_node_upgrade.sh"

struct group {
    size_t first, n;
};

/* Masters one by one; agents in chunks that do not mix private and public ones. At most as many as
 * hosts. */
static size_t make_groups(const struct action_result *hosts, size_t chunk, struct group *groups)
{
    size_t n = 0, agents = 0;
    for (size_t i = 0; i < hosts->n; i++)
        agents += streq(hosts->hosts[i].role, "agent");
    if (chunk == 0)
        chunk = MAX(agents / 10, (size_t)1);
    for (size_t i = 0; i < hosts->n;) {
        size_t most = streq(hosts->hosts[i].role, "master") ? 1 : chunk, k = 1;
        while (k < most && i + k < hosts->n &&
               streq(hosts->hosts[i + k].install_role, hosts->hosts[i].install_role))
            k++;
        groups[n++] = (struct group){i, k};
        i += k;
    }
    return n;
}

/* The script of the way forth is kept: the way back is the same script, whatever config.yaml says
 * by then. */
static int write_script(
    const struct installer *in, const struct gen *g, bool back, char **ret_path, struct error *err)
{
    _cleanup_free_ char *path = installer_path(in, "state/dcos_node_upgrade.sh");
    _cleanup_buf_ struct buf script = BUF_INIT_MAX(SCRIPT_MAX);
    int r = 0;
    if (back && !path_exists(path))
        return error_set(err, -ENOENT, "%s is not there: no upgrade was made from here", path);
    if (!back)
        r = script_upgrade(in, g, "", &script, err);
    if (r == 0 && !back)
        r = file_write_atomic(path, script.p, script.n, 0755, err);
    if (r == 0)
        *ret_path = TAKE_PTR(path);
    return r;
}

static int make_steps(struct action_context *c, bool back, struct error *err)
{
    _cleanup_free_ char *path = NULL;
    int r = write_script(c->in, c->g, back, &path, err);
    if (r < 0)
        return r;
    if (!back && (r = action_check_secrets(c, err)) < 0)
        return r;
    struct chain_step *step = action_step(c, "make room");
    step->text = "mkdir -p " INSTALL_TMP " && chmod 755 " INSTALL_TMP;
    step->repeatable = true;
    r = action_copy(c, "copy dcos_node_upgrade.sh", path, SCRIPT_ON_NODE, 0755, err);
    if (r == 0 && !back)
        r = action_copy_secrets(c, err);
    if (r == 0 && !back)
        r = action_copy_packages(c, false, err);
    if (r < 0)
        return r;
    step = action_step(c, back ? "go back" : "upgrade");
    step->text = back ? "sh " SCRIPT_ON_NODE " --rollback" : "sh " SCRIPT_ON_NODE;
    step->repeatable = true; /* the script finds out how far it came */
    step->timeout_us = UPGRADE_SECONDS * USEC_PER_SEC;
    step = action_step(c, "clean up");
    step->text = "rm -rf " INSTALL_TMP;
    step->always = true;
    return 0;
}

int upgrade_run(const struct installer *in, const struct gen *g, bool back,
    const struct action_options *options, struct action_result *ret, struct error *err)
{
    struct action_context c;
    struct action_result hosts = {0};
    int r = action_hosts(g, &hosts, err);
    if (r < 0)
        return r;
    r = action_begin(&c, in, g, back ? "rollback" : "upgrade", options, err);
    if (r < 0) {
        action_result_done(&hosts);
        return r;
    }
    struct group *groups = xnew_array(struct group, hosts.n);
    size_t n = make_groups(&hosts, options->chunk, groups);
    r = make_steps(&c, back, err);
    for (size_t i = 0; i < n && r == 0; i++) {
        const struct group *group = &groups[back ? n - 1 - i : i];
        r = action_chain(
            &c, hosts.hosts + group->first, group->n, hosts.results + group->first, err);
    }
    free(groups);
    action_end(&c);
    if (r < 0)
        action_result_done(&hosts);
    else
        *ret = hosts;
    return r;
}
