/* dcos cluster link|unlink */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cli/links.h"
#include "console/prompt.h"
#include "http/http.h"

static int links_call(struct cli *c, const char *method, const char *suffix, const json_t *body,
    struct reply *ret, struct error *err)
{
    _cleanup_free_ char *url = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_free_ char *path = xasprintf("/cluster/v1/links%s", suffix);
    int r = cli_base_url(c, NULL, path, &url, NULL, err);
    if (r < 0)
        return r;
    if (body)
        json_dump(body, &text);
    return cli_send(c, "the cluster",
        &(struct request){.method = method, .url = url, .body = text.p, .body_n = text.n}, ret,
        err);
}

int links_get(struct cli *c, json_t **ret, struct error *err)
{
    struct reply reply = {0};
    _cleanup_json_ json_t *json = NULL;
    int r = links_call(c, "GET", "", NULL, &reply, err);
    if (r == 0 && reply.status == 404)
        r = error_set(err, -ENOSYS, "inaccessible endpoint, cannot link cluster");
    else if (r == 0 && reply.status != 200)
        r = error_set(err, -EPROTO, "HTTP %d error", reply.status);
    if (r == 0)
        r = cli_parse_reply("the cluster", &reply, &json, err);
    reply_done(&reply);
    if (r < 0)
        return r;
    const json_t *links = json_at(json, "links");
    *ret = json_is_array(links) ? json_deep_copy(links) : json_array();
    return 0;
}

const json_t *links_find(const json_t *links, const char *word)
{
    const json_t *by_prefix = NULL;
    for (size_t i = 0; i < json_array_size(links); i++) {
        const json_t *link = json_array_get(links, i);
        const char *id = json_str_at(link, "id", "");
        if (streq(id, word) || streq(json_str_at(link, "name", NULL), word))
            return link;
        if (*word && has_prefix(id, word))
            by_prefix = link;
    }
    return by_prefix;
}

/* Providers of the cluster that is linked to; the login flags tell which. */
static int choose_provider(struct cli *c, const struct known_cluster *k,
    const struct login_flags *flags, json_t **ret, struct error *err)
{
    _cleanup_json_ json_t *all = NULL;
    const char *id = NULL;
    int r = cli_connect_to(c, k, err);
    if (r == 0)
        r = login_providers(c, known_get(k, "core.dcos_url", ""), &all, err);
    if (r == 0 && !all)
        r = error_set(err, -ENOENT, "couldn't determine a login provider");
    if (r == 0)
        r = login_choose(all, flags, &id, err);
    if (r < 0)
        return r;
    json_t *provider = json_object();
    json_object_set_new(provider, "id", json_string(id));
    json_object_set_new(
        provider, "type", json_string(json_str_at(json_at(all, id), "authentication-type", "")));
    *ret = provider;
    return 0;
}

static int post_link(struct cli *c, const struct known_cluster *from, const struct known_cluster *k,
    json_t *provider, struct error *err)
{
    struct reply reply = {0};
    _cleanup_json_ json_t *link = json_object();
    json_object_set_new(link, "id", json_string(k->id));
    json_object_set_new(link, "name", json_string(known_get(k, "cluster.name", k->id)));
    json_object_set_new(link, "url", json_string(known_get(k, "core.dcos_url", "")));
    json_object_set(link, "login_provider", provider);
    int r = cli_connect_to(c, from, err);
    if (r == 0)
        r = links_call(c, "POST", "", link, &reply, err);
    if (r == 0 && reply.status == 404)
        r = error_set(err, -ENOSYS, "inaccessible endpoint, cannot link cluster");
    else if (r == 0 && reply.status / 100 != 2)
        r = error_set(err, -EPROTO, "HTTP %d error: %.200s", reply.status, buf_cstr(&reply.body));
    reply_done(&reply);
    return r;
}

static int run_link(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    struct clusters all;
    struct setup_flags flags;
    const char *word = inv->args[0];
    setup_flags_of(inv, &flags);
    int r = clusters_load(&all, err);
    if (r < 0)
        return r;
    /* There must be one to link from, before anything is asked. */
    ssize_t from = clusters_current(&all, err), to = -1;
    if (from < 0)
        r = (int)from;
    else
        to = clusters_find(&all, word, true, err);
    if (to == -ENOENT) {
        _cleanup_free_ char *id = NULL;
        r = prompt_confirm("The cluster you want to link to is not set up locally, would you like "
                           "to do it now? [Y/n] ",
            1, err);
        if (r == 0)
            r = error_set(err, -EACCES, "couldn't get confirmation");
        flags.keep_attached = true;
        if (r > 0)
            r = setup(c, word, &flags, &id, err);
        clusters_done(&all);
        if (r == 0)
            r = clusters_load(&all, err);
        if (r < 0)
            return r;
        from = clusters_current(&all, err);
        to = from < 0 ? from : clusters_find(&all, id, false, err);
    }
    if (r == 0 && to < 0)
        r = (int)to;
    if (r == 0 && to == from)
        r = error_set(err, -EINVAL, "cannot link a cluster to itself");
    json_t *provider = NULL;
    if (r == 0)
        r = choose_provider(c, &all.items.items[to], &flags.login, &provider, err);
    if (r == 0)
        r = post_link(c, &all.items.items[from], &all.items.items[to], provider, err);
    json_decref(provider);
    clusters_done(&all);
    return r;
}

static int run_unlink(const struct invocation *inv, struct error *err)
{
    struct cli *c = cli_of(inv);
    struct reply reply = {0};
    _cleanup_json_ json_t *links = NULL;
    _cleanup_buf_ struct buf suffix = BUF_INIT;
    int r = links_get(c, &links, err);
    if (r < 0 && r != -ENOSYS)
        return r;
    const json_t *link = r < 0 ? NULL : links_find(links, inv->args[0]);
    if (!link)
        return error_set(err, -ENOENT, "no match found");
    buf_putc(&suffix, '/');
    http_escape(&suffix, str_of(json_str_at(link, "id", "")));
    r = links_call(c, "DELETE", buf_cstr(&suffix), NULL, &reply, err);
    if (r == 0 && reply.status / 100 != 2)
        r = error_set(err, -EPROTO, "HTTP %d error", reply.status);
    reply_done(&reply);
    return r;
}

static const struct option_spec link_options[] = {SETUP_OPTIONS};

const struct command command_cluster_link = {.name = "link",
    .arguments = "<cluster>",
    .summary = "Link the current cluster to another one",
    .words = "dcos cluster list --names",
    OPTIONS(link_options),
    .min_args = 1,
    .max_args = 1,
    .run = run_link};
const struct command command_cluster_unlink = {.name = "unlink",
    .arguments = "<cluster>",
    .summary = "Unlink the current cluster from a linked cluster",
    .min_args = 1,
    .max_args = 1,
    .run = run_unlink};
