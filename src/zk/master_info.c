#include "zk/master_info.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/parse.h"
#include "json/json.h"
#include "json/writer.h"

static bool set_text(char ret[ZK_MASTER_HOST_MAX], struct str text)
{
    if (text.n >= ZK_MASTER_HOST_MAX)
        return false;
    for (size_t i = 0; i < text.n; i++)
        if ((unsigned char)text.p[i] <= ' ' || (unsigned char)text.p[i] == 0x7f)
            return false;
    if (text.n > 0) /* a field of another kind has no bytes at all */
        memcpy(ret, text.p, text.n);
    ret[text.n] = '\0';
    return true;
}

static void ip_of_number(uint32_t number, char ret[ZK_MASTER_HOST_MAX])
{
    if (number != 0 && !ret[0])
        (void)snprintf(ret, ZK_MASTER_HOST_MAX, "%u.%u.%u.%u", number & 255, number >> 8 & 255,
            number >> 16 & 255, number >> 24);
}

static uint32_t number_of_ip(const char *ip)
{
    struct in_addr a;
    if (inet_pton(AF_INET, ip, &a) != 1)
        return 0;
    unsigned char b[4];
    memcpy(b, &a, sizeof(b));
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

void zk_master_write(const struct zk_master *m, const char *version,
    const char *const capabilities[], struct buf *ret)
{
    struct json_writer w;
    jw_init(&w, ret);
    jw_begin_object(&w);
    jw_key(&w, "address");
    jw_begin_object(&w);
    jw_field_string(&w, "hostname", m->hostname);
    jw_field_string(&w, "ip", m->ip);
    jw_field_i64(&w, "port", m->port);
    jw_end_object(&w);
    jw_key(&w, "capabilities");
    jw_begin_array(&w);
    for (size_t i = 0; capabilities[i]; i++) {
        jw_begin_object(&w);
        jw_field_string(&w, "type", capabilities[i]);
        jw_end_object(&w);
    }
    jw_end_array(&w);
    jw_field_string(&w, "hostname", m->hostname);
    jw_field_string(&w, "id", m->id);
    jw_field_i64(&w, "ip", number_of_ip(m->ip));
    _cleanup_free_ char *pid = xasprintf("master@%s:%u", m->ip, m->port);
    jw_field_string(&w, "pid", pid);
    jw_field_i64(&w, "port", m->port);
    jw_field_string(&w, "version", version);
    jw_end_object(&w);
}

/* ---- JSON ---- */

static bool take(char ret[ZK_MASTER_HOST_MAX], const json_t *object, const char *key)
{
    const char *s = json_str_at(object, key, NULL);
    return !s || !*s || set_text(ret, str_of(s));
}

static bool take_address(struct zk_master *m, const json_t *object, const char *ip_key)
{
    int64_t port = json_i64_at(object, "port", 0);
    if (port > 0 && port <= UINT16_MAX)
        m->port = (uint16_t)port;
    return take(m->hostname, object, "hostname") && take(m->ip, object, ip_key);
}

static int read_json(const char *p, size_t n, struct zk_master *m, struct error *err)
{
    _cleanup_json_ json_t *root = NULL;
    int r = json_parse(p, n, &root, err);
    if (r < 0)
        return r;
    int64_t number = json_i64_at(root, "ip", 0);
    bool good = json_is_object(root) && take_address(m, root, "no ip as text here") &&
                take_address(m, json_at(root, "address"), "ip") && take(m->id, root, "id") &&
                take(m->pid, root, "pid");
    if (!good)
        return error_set(err, -EBADMSG, "malformed MasterInfo");
    if (number > 0 && number <= UINT32_MAX)
        ip_of_number((uint32_t)number, m->ip);
    return 0;
}

/* ---- protobuf ---- */

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* Fields of MasterInfo and Address. */
enum {
    INFO_ID = 1,
    INFO_IP = 2,
    INFO_PORT = 3,
    INFO_PID = 4,
    INFO_HOSTNAME = 5,
    INFO_ADDRESS = 7,
    ADDRESS_HOSTNAME = 1,
    ADDRESS_IP = 2,
    ADDRESS_PORT = 3,
};

struct wire_field {
    uint32_t number;
    uint64_t value;   /* of a number */
    struct str bytes; /* of a text or message */
};

static bool cut_varint(struct str *s, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && s->n > 0; shift += 7) {
        unsigned char b = (unsigned char)s->p[0];
        s->p++;
        s->n--;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *ret = v;
            return true;
        }
    }
    return false;
}

static bool cut_bytes(struct str *s, uint64_t n, struct str *ret)
{
    if (n > s->n)
        return false;
    *ret = (struct str){s->p, (size_t)n};
    s->p += n;
    s->n -= (size_t)n;
    return true;
}

static bool cut_field(struct str *s, struct wire_field *ret)
{
    uint64_t key, n;
    *ret = (struct wire_field){0};
    if (!cut_varint(s, &key) || key >> 3 == 0 || key >> 3 > UINT32_MAX)
        return false;
    ret->number = (uint32_t)(key >> 3);
    switch (key & 7) {
    case WIRE_VARINT:
        return cut_varint(s, &ret->value);
    case WIRE_64:
        return cut_bytes(s, 8, &ret->bytes);
    case WIRE_BYTES:
        return cut_varint(s, &n) && cut_bytes(s, n, &ret->bytes);
    case WIRE_32:
        return cut_bytes(s, 4, &ret->bytes);
    default:
        return false;
    }
}

static bool read_address(struct str s, struct zk_master *m)
{
    struct wire_field f;
    while (s.n > 0) {
        if (!cut_field(&s, &f))
            return false;
        if (f.number == ADDRESS_PORT && f.value <= UINT16_MAX)
            m->port = (uint16_t)f.value;
        else if (f.number == ADDRESS_HOSTNAME && !set_text(m->hostname, f.bytes))
            return false;
        else if (f.number == ADDRESS_IP && !set_text(m->ip, f.bytes))
            return false;
    }
    return true;
}

static int read_wire(struct str s, struct zk_master *m, struct error *err)
{
    struct wire_field f;
    struct str address = {0};
    uint32_t number = 0;
    while (s.n > 0) {
        bool good = cut_field(&s, &f);
        if (good && f.number == INFO_ID)
            good = set_text(m->id, f.bytes);
        else if (good && f.number == INFO_PID)
            good = set_text(m->pid, f.bytes);
        else if (good && f.number == INFO_HOSTNAME)
            good = set_text(m->hostname, f.bytes);
        else if (good && f.number == INFO_ADDRESS)
            address = f.bytes;
        else if (good && f.number == INFO_PORT && f.value <= UINT16_MAX)
            m->port = (uint16_t)f.value;
        else if (good && f.number == INFO_IP)
            number = (uint32_t)f.value;
        if (!good)
            return error_set(err, -EBADMSG, "malformed MasterInfo");
    }
    if (!read_address(address, m))
        return error_set(err, -EBADMSG, "malformed address in MasterInfo");
    ip_of_number(number, m->ip);
    return 0;
}

int zk_master_read(const char *p, size_t n, struct zk_master *ret, struct error *err)
{
    struct zk_master m = {0};
    if (n == 0 || n > ZK_MASTER_INFO_MAX)
        return error_set(err, -EBADMSG, "MasterInfo of %zu bytes", n);
    int r = p[0] == '{' ? read_json(p, n, &m, err) : read_wire((struct str){p, n}, &m, err);
    if (r < 0)
        return r;
    if (m.port == 0 || (!m.ip[0] && !m.hostname[0]))
        return error_set(err, -EBADMSG, "MasterInfo without an address");
    *ret = m;
    return 0;
}

const char *zk_master_host(const struct zk_master *m)
{
    return m->ip[0] ? m->ip : m->hostname;
}

bool zk_master_is(const struct zk_master *m, const char *host, uint16_t port)
{
    return m->port == port && (streq(m->ip, host) || streq(m->hostname, host));
}
