#include "router/service.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/parse.h"

void service_name(struct buf *out, const char *text)
{
    size_t end = strlen(text);
    while (end > 0) {
        size_t begin = end;
        while (begin > 0 && text[begin - 1] != '/')
            begin--;
        if (end > begin) {
            if (out->n)
                buf_putc(out, '.');
            buf_append(out, text + begin, end - begin);
        }
        end = begin ? begin - 1 : 0;
    }
}

/* Labels are strings; older ones may be booleans. */
static bool label_is_false(const json_t *labels, const char *name)
{
    const json_t *v = json_at(labels, name);
    return json_is_false(v) || (json_is_string(v) && streq(json_string_value(v), "false"));
}

static bool read_index(const json_t *labels, size_t *ret)
{
    const json_t *v = json_at(labels, "DCOS_SERVICE_PORT_INDEX");
    uint32_t n;
    if (json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) < 65536) {
        *ret = (size_t)json_integer_value(v);
        return true;
    }
    if (!json_is_string(v) || parse_u32(str_of(json_string_value(v)), &n) < 0)
        return false;
    *ret = n;
    return true;
}

struct network {
    bool container;      /* mode `container`: tasks have addresses of their own */
    uint16_t fixed_port; /* of the container; 0: the task's */
    bool none;           /* the index names no port */
};

static struct network read_network(const json_t *app, size_t index)
{
    struct network n = {0};
    const json_t *container = json_at(app, "container");
    const json_t *first = json_array_get(json_at(app, "networks"), 0);
    n.container = container && streq(json_str_at(first, "mode", ""), "container");
    const json_t *mappings = json_at(container, "portMappings");
    if (!n.container || !json_is_array(mappings))
        return n;
    const json_t *mapping = json_array_get(mappings, index);
    if (!mapping) {
        n.none = true;
        return n;
    }
    const int64_t port = json_i64_at(mapping, "containerPort", 0);
    n.fixed_port = port > 0 && port < 65536 ? (uint16_t)port : 0;
    return n;
}

static bool read_instance(
    const json_t *task, const struct network *network, size_t index, struct instance *ret)
{
    if (!streq(json_str_at(task, "state", ""), "TASK_RUNNING"))
        return false;
    const char *host = json_str_at(task, "host", NULL);
    if (network->container)
        host = json_str_at(json_array_get(json_at(task, "ipAddresses"), 0), "ipAddress", NULL);
    int64_t port = network->fixed_port;
    if (!port)
        port = json_integer_value(json_array_get(json_at(task, "ports"), index));
    if (!host || !*host || port < 1 || port > 65535)
        return false;
    ret->host = xstrdup(host);
    ret->task = xstrdup(json_str_at(task, "id", ""));
    ret->port = (uint16_t)port;
    return true;
}

struct service *service_read(const json_t *app)
{
    const json_t *labels = json_at(app, "labels");
    const char *name = json_str_at(labels, "DCOS_SERVICE_NAME", NULL);
    const char *scheme = json_str_at(labels, "DCOS_SERVICE_SCHEME", NULL);
    const char *id = json_str_at(app, "id", NULL);
    size_t index;
    if (!name || !id || !scheme || strlen(name) > SERVICE_NAME_MAX || !read_index(labels, &index))
        return NULL;
    const bool tls = streq(scheme, "https");
    _cleanup_buf_ struct buf normal = BUF_INIT;
    service_name(&normal, name);
    const struct network network = read_network(app, index);
    if ((!tls && !streq(scheme, "http")) || !normal.n || network.none)
        return NULL;
    struct service *s = xcalloc(1, sizeof(*s) + strlen(id) + 1);
    memcpy(s->app, id, strlen(id) + 1);
    s->name = buf_steal(&normal);
    s->flags = (tls ? TARGET_TLS : 0) |
               (label_is_false(labels, "DCOS_SERVICE_REWRITE_REQUEST_URLS") ? TARGET_KEEP_PREFIX
                                                                            : 0) |
               (label_is_false(labels, "DCOS_SERVICE_REQUEST_BUFFERING") ? TARGET_NO_BUFFERING : 0);
    const json_t *tasks = json_at(app, "tasks");
    const size_t room = MIN(json_array_size(tasks), (size_t)SERVICE_INSTANCES_MAX);
    s->instances = xnew_array(struct instance, MAX(room, (size_t)1));
    size_t i;
    json_t *task;
    json_array_foreach(tasks, i, task)
    {
        if (s->n_instances < room &&
            read_instance(task, &network, index, &s->instances[s->n_instances]))
            s->n_instances++;
    }
    return s;
}

static void instance_done(struct instance *i)
{
    free(i->task);
    free(i->host);
}

void service_free(struct service *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_instances; i++)
        instance_done(&s->instances[i]);
    free(s->instances);
    free(s->name);
    free(s);
}

bool service_drop(struct service *s, const char *task)
{
    for (size_t i = 0; i < s->n_instances; i++) {
        if (!streq(s->instances[i].task, task))
            continue;
        instance_done(&s->instances[i]);
        memmove(&s->instances[i], &s->instances[i + 1],
            (s->n_instances - i - 1) * sizeof(s->instances[0]));
        s->n_instances--;
        return true;
    }
    return false;
}
