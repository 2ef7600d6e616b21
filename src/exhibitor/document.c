#include "exhibitor/document.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "base/parse.h"
#include "json/writer.h"

enum { VERSION = 1 };

bool master_address_valid(const char *text)
{
    struct in_addr a;
    return strlen(text) < MASTER_ADDRESS_MAX && inet_pton(AF_INET, text, &a) == 1;
}

static bool token_valid(const char *text)
{
    return strlen(text) == MASTER_TOKEN_MAX - 1 && strspn(text, "0123456789abcdef") == strlen(text);
}

/* ---- reading ---- */

static int read_number(
    const json_t *o, const char *name, int64_t max, uint64_t *ret, struct error *err)
{
    const json_t *v = json_at(o, name);
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
        return error_set(
            err, -EBADMSG, "\"%s\" is not a number from 0 to %lld", name, (long long)max);
    *ret = (uint64_t)json_integer_value(v);
    return 0;
}

static int read_small(
    const json_t *o, const char *name, uint32_t max, uint32_t *ret, struct error *err)
{
    uint64_t n = 0;
    int r = read_number(o, name, max, &n, err);
    *ret = (uint32_t)n;
    return r;
}

static int read_sees(const json_t *o, struct master_record *m, struct error *err)
{
    const json_t *list = json_at(o, "sees");
    if (!json_is_array(list) || json_array_size(list) > MASTERS_MAX)
        return error_set(err, -EBADMSG, "\"sees\" is not a list of at most %d ids", MASTERS_MAX);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 1 ||
            json_integer_value(id) > SERVER_ID_MAX)
            return error_set(err, -EBADMSG, "\"sees\" has what is no id");
        m->sees[m->n_sees++] = (uint32_t)json_integer_value(id);
    }
    return 0;
}

static int read_record(const json_t *o, bool member, struct master_record *m, struct error *err)
{
    const char *address = json_str_at(o, "address", ""), *token = json_str_at(o, "token", "");
    *m = (struct master_record){0};
    if (!master_address_valid(address))
        return error_set(err, -EBADMSG, "a master without an IPv4 address");
    if (!token_valid(token))
        return error_set(err, -EBADMSG, "%s has no token", address);
    snprintf(m->address, sizeof(m->address), "%s", address);
    snprintf(m->token, sizeof(m->token), "%s", token);
    int r = read_number(o, "beat", INT64_MAX, &m->beat, err);
    if (r < 0 || !member)
        return r;
    m->serving = json_bool_at(o, "serving", false);
    r = read_small(o, "id", SERVER_ID_MAX, &m->id, err);
    if (r == 0 && m->id == 0)
        r = error_set(err, -EBADMSG, "%s has the id 0", address);
    if (r == 0)
        r = read_number(o, "joined", INT64_MAX, &m->joined, err);
    if (r == 0)
        r = read_number(o, "applied", INT64_MAX, &m->applied, err);
    return r < 0 ? r : read_sees(o, m, err);
}

static int read_list(const json_t *o, const char *name, bool members, size_t max,
    struct master_record *to, size_t *ret_n, struct error *err)
{
    const json_t *list = json_at(o, name);
    if (!json_is_array(list) || json_array_size(list) > max)
        return error_set(err, -EBADMSG, "\"%s\" is not a list of at most %zu", name, max);
    for (size_t i = 0; i < json_array_size(list); i++) {
        int r = read_record(json_array_get(list, i), members, &to[i], err);
        if (r < 0)
            return r;
        if (members && i > 0 && to[i].id <= to[i - 1].id)
            return error_set(err, -EBADMSG, "members are not sorted by id");
    }
    *ret_n = json_array_size(list);
    return 0;
}

static int read_document(const json_t *o, struct document *d, struct error *err)
{
    uint64_t version = 0;
    const char *cluster = json_str_at(o, "cluster", "");
    int r = read_number(o, "version", INT64_MAX, &version, err);
    if (r == 0 && version > VERSION)
        r = error_set(err, -EPROTO, "written by a newer version of this program");
    if (r == 0 && !token_valid(cluster))
        r = error_set(err, -EBADMSG, "\"cluster\" is no token");
    if (r == 0)
        r = read_number(o, "generation", INT64_MAX - 1, &d->generation, err);
    if (r == 0)
        r = read_small(o, "next_id", SERVER_ID_MAX + 1, &d->next_id, err);
    if (r == 0)
        r = read_list(o, "members", true, MASTERS_MAX, d->members, &d->n_members, err);
    if (r == 0)
        r = read_list(o, "waiting", false, WAITING_MAX, d->waiting, &d->n_waiting, err);
    if (r == 0 && (d->generation == 0) != (d->n_members == 0))
        r = error_set(err, -EBADMSG, "members and generation do not fit");
    if (r == 0)
        snprintf(d->cluster, sizeof(d->cluster), "%s", cluster);
    return r;
}

int document_parse(const char *p, size_t n, struct document *ret, struct error *err)
{
    _cleanup_json_ json_t *json = NULL;
    struct document d = {0};
    int r = n > DOCUMENT_MAX ? error_set(err, -EBADMSG, "larger than %d bytes", DOCUMENT_MAX)
                             : json_parse(p, n, &json, err);
    if (r == 0)
        r = read_document(json, &d, err);
    if (r < 0)
        return error_prefix(err, r == -EPROTO ? r : -EBADMSG, "shared configuration");
    *ret = d;
    return 0;
}

/* ---- writing ---- */

static void write_record(struct json_writer *w, const struct master_record *m)
{
    jw_begin_object(w);
    if (m->id)
        jw_field_i64(w, "id", m->id);
    jw_field_string(w, "address", m->address);
    jw_field_string(w, "token", m->token);
    jw_field_i64(w, "beat", (int64_t)m->beat);
    if (m->id) {
        jw_field_i64(w, "joined", (int64_t)m->joined);
        jw_field_i64(w, "applied", (int64_t)m->applied);
        jw_field_bool(w, "serving", m->serving);
        jw_key(w, "sees");
        jw_begin_array(w);
        for (size_t i = 0; i < m->n_sees; i++)
            jw_i64(w, m->sees[i]);
        jw_end_array(w);
    }
    jw_end_object(w);
}

static void write_list(
    struct json_writer *w, const char *name, const struct master_record *m, size_t n)
{
    jw_key(w, name);
    jw_begin_array(w);
    for (size_t i = 0; i < n; i++)
        write_record(w, &m[i]);
    jw_end_array(w);
}

void document_write(const struct document *d, struct buf *ret)
{
    struct json_writer w;
    jw_init(&w, ret);
    w.indent = 1;
    jw_begin_object(&w);
    jw_field_i64(&w, "version", VERSION);
    jw_field_string(&w, "cluster", d->cluster);
    jw_field_i64(&w, "generation", (int64_t)d->generation);
    jw_field_i64(&w, "next_id", d->next_id);
    write_list(&w, "members", d->members, d->n_members);
    write_list(&w, "waiting", d->waiting, d->n_waiting);
    jw_end_object(&w);
    buf_putc(ret, '\n');
}

void document_ensemble(const struct document *d, char ret[static ENSEMBLE_TEXT_MAX])
{
    size_t n = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < d->n_members; i++)
        n += (size_t)snprintf(ret + n, ENSEMBLE_TEXT_MAX - n, "%s%u:%s", i ? "," : "",
            d->members[i].id, d->members[i].address);
}

int document_of_ensemble(const char *text, struct document *ret, struct error *err)
{
    struct document d = {.generation = 1, .next_id = 1};
    struct str rest = str_of(text), part;
    while (str_split(&rest, ',', &part)) {
        struct master_record m = {.joined = 1, .applied = 1};
        ptrdiff_t colon = str_index(part, ':');
        if (colon > 0 && part.n - (size_t)colon - 1 < sizeof(m.address))
            memcpy(m.address, part.p + colon + 1, part.n - (size_t)colon - 1);
        if (colon <= 0 || parse_u32((struct str){part.p, (size_t)colon}, &m.id) < 0 ||
            m.id < d.next_id || m.id > SERVER_ID_MAX || !master_address_valid(m.address) ||
            d.n_members == MASTERS_MAX)
            return error_set(err, -EINVAL,
                "expected ID:ADDRESS,... sorted by id, at most %d, got " STR_FMT, MASTERS_MAX,
                STR_ARG(part));
        d.members[d.n_members++] = m;
        d.next_id = m.id + 1;
    }
    if (d.n_members == 0)
        return error_set(err, -EINVAL, "no servers are named");
    *ret = d;
    return 0;
}
