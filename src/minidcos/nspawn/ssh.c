/* The way into nodes: as root, with the cluster's own key, to hosts whose keys are known. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "minidcos/nspawn/nspawn.h"

enum { CONNECT_S = 10, KEY_FILE_MAX = 16384, MESSAGE_LINES = 3 };

static int make_key(const char *path, const char *comment, struct error *err)
{
    const char *const argv[] = {
        "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path, NULL};
    return path_exists(path) ? 0 : child_must(argv, err);
}

int ssh_make_keys(const struct machines *m, struct error *err)
{
    _cleanup_free_ char *folder = machines_path(m, "ssh");
    _cleanup_free_ char *key = machines_path(m, "ssh/key");
    _cleanup_free_ char *known = machines_path(m, "ssh/known_hosts");
    _cleanup_free_ char *config = machines_path(m, "ssh/config");
    _cleanup_buf_ struct buf hosts = BUF_INIT, text = BUF_INIT;
    int r = mkdir_all(folder, 0700, err);
    if (r == 0)
        r = make_key(key, m->label, err);
    for (size_t i = 0; r >= 0 && i < m->nodes.n; i++) {
        const struct node *node = &m->nodes.items[i];
        _cleanup_free_ char *own = xasprintf("%s/ssh/host_%s", m->dir, node->name);
        _cleanup_free_ char *public_key = xasprintf("%s.pub", own);
        _cleanup_buf_ struct buf line = BUF_INIT;
        r = make_key(own, node->host, err);
        if (r >= 0)
            r = file_read(public_key, KEY_FILE_MAX, &line, err);
        buf_printf(&hosts, "%s,%s %s", node->ip, node->host, buf_cstr(&line));
    }
    if (r >= 0)
        r = file_write_atomic(known, hosts.p, hosts.n, 0644, err);
    /* For `ssh -F`, and for people. */
    buf_puts(&text, "User root\nIdentityFile ");
    ssh_config_word(&text, key);
    buf_puts(&text, "\nUserKnownHostsFile ");
    ssh_config_word(&text, known);
    buf_printf(&text,
        "\nIdentitiesOnly yes\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking yes\n"
        "BatchMode yes\nConnectTimeout %d\nServerAliveInterval 15\nLogLevel ERROR\n",
        CONNECT_S);
    VEC_FOREACH (node, &m->nodes)
        buf_printf(&text, "Host %s %s\n    HostName %s\n", node->name, node->host, node->ip);
    return r < 0 ? r : file_write_atomic(config, text.p, text.n, 0644, err);
}

void ssh_words(const struct machines *m, const struct node *node, struct ssh_words *ret)
{
    *ret = (struct ssh_words){.keep = {machines_path(m, "ssh/config")}};
    const char *const words[] = {"ssh", "-F", ret->keep[0], "-T", node->ip, "--"};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        ret->argv[ret->n++] = words[i];
}

void ssh_words_done(struct ssh_words *w)
{
    for (size_t i = 0; i < ARRAY_SIZE(w->keep); i++)
        free(w->keep[i]);
}

int node_run(const struct machines *m, const struct node *node, const char *command,
    struct buf *output, struct error *err)
{
    struct ssh_words w;
    ssh_words(m, node, &w);
    w.argv[w.n++] = command;
    int r = child_run(w.argv, NULL, output, err);
    ssh_words_done(&w);
    return r;
}

void nodes_run(
    const struct machines *m, const char *command, struct child *children, int64_t timeout_ms)
{
    struct ssh_words *words = xnew_array(struct ssh_words, m->nodes.n + 1);
    for (size_t i = 0; i < m->nodes.n; i++) {
        ssh_words(m, &m->nodes.items[i], &words[i]);
        words[i].argv[words[i].n++] = command;
        children[i].argv = words[i].argv;
    }
    children_run(children, m->nodes.n, timeout_ms);
    for (size_t i = 0; i < m->nodes.n; i++)
        ssh_words_done(&words[i]);
    free(words);
}

int node_send(const struct machines *m, const struct node *node, const char *source,
    const char *target, struct error *err)
{
    _cleanup_free_ char *config = machines_path(m, "ssh/config");
    _cleanup_free_ char *to = xasprintf("%s:%s", node->ip, target);
    /* A colon before the first slash would make it a file of another host. */
    _cleanup_free_ char *from = xasprintf("%s%s", source[0] == '/' ? "" : "./", source);
    _cleanup_buf_ struct buf output = BUF_INIT, said = BUF_INIT;
    const char *const argv[] = {"scp", "-F", config, "-q", "-r", "--", from, to, NULL};
    int r = child_run(argv, NULL, &output, err);
    if (r <= 0)
        return r;
    last_lines(buf_str(&output), MESSAGE_LINES, &said);
    return error_set(
        err, -EIO, "cannot copy %s to %s of %s: %s", source, target, node->name, buf_cstr(&said));
}
