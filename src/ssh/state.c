#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/utf8.h"
#include "json/writer.h"
#include "ssh/chain.h"

/* The state file of a chain. */

enum { STATE_MAX = 512 * 1024 * 1024, HOST_KEY_MAX = 64, DATE_MAX = 40 };

struct chain_state {
    const char *path;
    json_t *root;  /* the whole document */
    json_t *hosts; /* borrowed from it */
    const struct chain *chain;
};

const char *chain_status_name(enum chain_status s)
{
    static const char *const names[] = {"unstarted", "running", "success", "failed", "terminated"};
    return names[s];
}

static void host_key(const struct chain_host *h, char ret[HOST_KEY_MAX])
{
    (void)snprintf(ret, HOST_KEY_MAX, "%s:%u", h->address, h->port);
}

int chain_state_read(const char *path, json_t **ret, struct error *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    if (!path_exists(path))
        return error_set(err, -ENOENT, "%s is not there", path);
    int r = file_read(path, STATE_MAX, &text, err);
    if (r < 0)
        return r;
    _cleanup_json_ json_t *root = NULL;
    r = json_parse(buf_cstr(&text), text.n, &root, err);
    if (r == 0 && !json_is_object(json_at(root, "hosts")))
        r = error_set(err, -EBADMSG, "it has no hosts");
    if (r < 0)
        return error_prefix(err, r, "%s is no state file", path);
    *ret = TAKE_PTR(root);
    return 0;
}

int chain_state_open(const struct chain *chain, struct chain_state **ret, struct error *err)
{
    _cleanup_(chain_state_freep)
    struct chain_state *s = xnew(struct chain_state);
    s->path = chain->state_path;
    s->chain = chain;
    if (s->path && path_exists(s->path)) {
        int r = chain_state_read(s->path, &s->root, err);
        if (r < 0)
            return r;
    } else {
        s->root = json_object();
        json_object_set_new(s->root, "hosts", json_object());
    }
    s->hosts = json_object_get(s->root, "hosts");
    for (size_t i = 0; i < chain->n_hosts; i++) {
        const struct chain_host *h = &chain->hosts[i];
        char key[HOST_KEY_MAX];
        host_key(h, key);
        json_t *tags = json_object(), *host = json_object();
        json_object_set_new(tags, "role", json_string(h->role));
        if (h->install_role)
            json_object_set_new(tags, "dcos_install_param", json_string(h->install_role));
        json_object_set_new(host, "host_status", json_string("unstarted"));
        json_object_set_new(host, "tags", tags);
        json_object_set_new(host, "commands", json_array());
        json_object_set_new(s->hosts, key, host);
    }
    *ret = TAKE_PTR(s);
    return 0;
}

void chain_state_free(struct chain_state *s)
{
    if (!s)
        return;
    json_decref(s->root);
    free(s);
}

/* What hosts print need not be UTF-8; JSON has to be. Nor has whoever shows the file to give a
 * terminal orders: JSON escapes control characters of ASCII, the others are taken out here. */
static json_t *line_of(const char *p, size_t n)
{
    _cleanup_buf_ struct buf clean = BUF_INIT;
    for (size_t i = 0; i < n;) {
        uint32_t c = 0;
        size_t size = utf8_decode(p + i, n - i, &c);
        if (size == 0 || (c >= 0x7f && utf8_is_control(c)))
            buf_putc(&clean, '?');
        else
            buf_append(&clean, p + i, size);
        i += size ? size : 1;
    }
    return json_stringn(clean.p ? clean.p : "", clean.n);
}

static json_t *lines_of(struct str text)
{
    json_t *lines = json_array();
    struct str line;
    while (text.n > 0 && str_split(&text, '\n', &line)) {
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (text.n == 0 && line.n == 0)
            break;
        json_array_append_new(lines, line_of(line.p, line.n));
    }
    return lines;
}

static json_t *host_of(struct chain_state *s, size_t host)
{
    char key[HOST_KEY_MAX];
    host_key(&s->chain->hosts[host], key);
    return json_object_get(s->hosts, key);
}

/* The fields beside the hosts come with the first result. */
static void count_hosts(struct chain_state *s)
{
    const char *key;
    json_t *host;
    int64_t masters = 0, total = 0;
    json_object_foreach(s->hosts, key, host)
    {
        total++;
        masters += streq(json_str_at(json_at(host, "tags"), "role", ""), "master");
    }
    json_object_set_new(s->root, "chain_name", json_string(s->chain->name));
    json_object_set_new(s->root, "total_hosts", json_integer(total));
    json_object_set_new(s->root, "total_masters", json_integer(masters));
    json_object_set_new(s->root, "total_agents", json_integer(total - masters));
}

void chain_state_command(struct chain_state *s, size_t host, const struct chain_command *c)
{
    json_t *entry = host_of(s, host), *command = json_object();
    char date[DATE_MAX];
    time_t seconds = (time_t)(c->date_us / USEC_PER_SEC);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
    (void)snprintf(date + n, sizeof(date) - n, ".%06lld", (long long)(c->date_us % USEC_PER_SEC));
    json_object_set_new(command, "cmd", line_of(c->cmd, strlen(c->cmd)));
    json_object_set_new(command, "stdout", lines_of(c->out));
    json_object_set_new(command, "stderr", lines_of(c->err));
    json_object_set_new(
        command, "returncode", c->returncode < 0 ? json_null() : json_integer(c->returncode));
    json_object_set_new(command, "pid", json_integer(getpid()));
    json_object_set_new(command, "stage", json_string(c->stage));
    json_object_set_new(command, "date", json_string(date));
    json_array_append_new(json_object_get(entry, "commands"), command);
    if (streq(json_str_at(entry, "host_status", ""), "unstarted"))
        chain_state_host(s, host, CHAIN_RUNNING);
    count_hosts(s);
}

void chain_state_host(struct chain_state *s, size_t host, enum chain_status status)
{
    json_object_set_new(host_of(s, host), "host_status", json_string(chain_status_name(status)));
    if (status != CHAIN_UNSTARTED)
        count_hosts(s);
}

int chain_state_write(struct chain_state *s, struct error *err)
{
    if (!s->path)
        return 0;
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct json_writer w;
    jw_init(&w, &text);
    w.indent = 2;
    jw_tree(&w, s->root);
    buf_putc(&text, '\n');
    return file_write_atomic(s->path, text.p, text.n, 0644, err);
}
