#include "net/packet.h"

#include <errno.h>

enum { OPT_SIZE = 11, POINTERS_MAX = 16 };

int dns_name_read(const uint8_t *p, size_t n, size_t *pos, char text[NAME_TEXT_MAX], size_t *ret_n)
{
    size_t at = *pos, out = 0, wire = 1;
    unsigned pointers = 0;
    bool jumped = false;
    for (;;) {
        if (at >= n)
            return -EBADMSG;
        unsigned len = p[at];
        if ((len & 0xc0) == 0xc0) {
            if (at + 1 >= n || ++pointers > POINTERS_MAX)
                return -EBADMSG;
            size_t to = (len & 0x3f) << 8 | p[at + 1];
            if (to >= at) /* only backwards: no loops */
                return -EBADMSG;
            if (!jumped)
                *pos = at + 2;
            jumped = true;
            at = to;
            continue;
        }
        if (len & 0xc0)
            return -EBADMSG;
        at++;
        if (len == 0)
            break;
        wire += len + 1;
        if (at + len > n || wire > NAME_WIRE_MAX)
            return -EBADMSG;
        if (out > 0)
            text[out++] = '.';
        for (unsigned i = 0; i < len; i++) {
            unsigned c = p[at + i];
            if (c >= 'A' && c <= 'Z')
                c += 'a' - 'A';
            if (c > ' ' && c < 0x7f && c != '.' && c != '\\') {
                text[out++] = (char)c;
                continue;
            }
            text[out++] = '\\';
            text[out++] = (char)('0' + c / 100);
            text[out++] = (char)('0' + c / 10 % 10);
            text[out++] = (char)('0' + c % 10);
        }
        at += len;
    }
    text[out] = '\0';
    if (!jumped)
        *pos = at;
    *ret_n = out;
    return 0;
}

/* Records of the other sections; only an OPT among the additional ones means something. */
static int read_rest(const uint8_t *p, size_t n, size_t pos, struct dns_query *q)
{
    unsigned before = dns_u16(p + 6) + dns_u16(p + 8), all = before + dns_u16(p + 10);
    for (unsigned i = 0; i < all; i++) {
        char name[NAME_TEXT_MAX];
        size_t name_n;
        if (dns_name_read(p, n, &pos, name, &name_n) < 0 || pos + 10 > n)
            return -EBADMSG;
        size_t size = dns_u16(p + pos + 8);
        if (dns_u16(p + pos) == DNS_OPT) {
            if (i < before || name_n > 0 || q->edns)
                return -EBADMSG;
            q->edns = true;
            q->udp_size = MAX(dns_u16(p + pos + 2), (uint16_t)DNS_UDP_MIN);
            q->edns_version = p[pos + 5];
            q->dnssec_ok = p[pos + 6] & 0x80;
        }
        pos += 10 + size;
        if (pos > n)
            return -EBADMSG;
    }
    return 0;
}

int dns_query_read(const void *data, size_t n, struct dns_query *q)
{
    const uint8_t *p = data;
    if (n < DNS_HEAD || p[2] & 0x80)
        return -EPROTO;
    q->id = dns_u16(p);
    q->flags = dns_u16(p + 2);
    q->opcode = p[2] >> 3 & 15;
    q->rd = p[2] & 1;
    q->ad = p[3] & 0x20;
    q->cd = p[3] & 0x10;
    q->edns = q->dnssec_ok = false;
    q->edns_version = 0;
    q->udp_size = DNS_UDP_MIN;
    q->question_end = DNS_HEAD;
    q->name_n = 0;
    q->name[0] = '\0';
    if (n > DNS_QUERY_MAX)
        return -EBADMSG;
    if (q->opcode != 0)
        return 0; /* answered NOTIMP without looking further */
    if (dns_u16(p + 4) != 1)
        return -EBADMSG;
    size_t pos = DNS_HEAD;
    if (dns_name_read(p, n, &pos, q->name, &q->name_n) < 0 || pos + 4 > n)
        return -EBADMSG;
    q->type = dns_u16(p + pos);
    q->class = dns_u16(p + pos + 2);
    q->question_end = pos + 4;
    return read_rest(p, n, q->question_end, q);
}

void dns_begin(struct dns_writer *w, void *out, size_t cap, const void *query,
    const struct dns_query *q, unsigned rcode, bool authoritative, bool recursion)
{
    const uint8_t *from = query;
    *w = (struct dns_writer){.p = out, .cap = cap - (q->edns ? OPT_SIZE : 0)};
    w->name = (struct str){q->name, q->name_n};
    memset(w->p, 0, DNS_HEAD);
    dns_set_u16(w->p, q->id);
    w->p[2] = (uint8_t)(0x80 | q->opcode << 3 | (authoritative ? 4 : 0) | (q->rd ? 1 : 0));
    w->p[3] = (uint8_t)((recursion ? 0x80 : 0) | (q->cd ? 0x10 : 0) | (rcode & 15));
    w->n = DNS_HEAD;
    if (q->question_end > DNS_HEAD) {
        dns_set_u16(w->p + 4, 1);
        memcpy(w->p + DNS_HEAD, from + DNS_HEAD, q->question_end - DNS_HEAD);
        w->n = q->question_end;
    }
}

/* One byte of a label in text form. */
static bool text_byte(struct str text, size_t *i, uint8_t *ret)
{
    if (text.p[*i] != '\\') {
        *ret = (uint8_t)text.p[(*i)++];
        return true;
    }
    unsigned v = 0;
    if (*i + 4 > text.n)
        return false;
    for (size_t k = 1; k < 4; k++) {
        char c = text.p[*i + k];
        if (c < '0' || c > '9')
            return false;
        v = v * 10 + (unsigned)(c - '0');
    }
    *i += 4;
    *ret = (uint8_t)v;
    return v < 256;
}

bool dns_name_write(struct str text, uint8_t *out, size_t cap, size_t *n)
{
    size_t at = *n, start = *n;
    for (size_t i = 0; i < text.n;) {
        size_t head = at++;
        if (head >= cap)
            return false;
        while (i < text.n && text.p[i] != '.') {
            if (at >= cap || !text_byte(text, &i, out + at))
                return false;
            at++;
        }
        size_t len = at - head - 1;
        if (len == 0 || len > NAME_LABEL_MAX)
            return false;
        out[head] = (uint8_t)len;
        if (i < text.n && ++i == text.n)
            return false; /* a dot at the end */
    }
    if (at >= cap || at - start >= NAME_WIRE_MAX)
        return false;
    out[at++] = 0;
    *n = at;
    return true;
}

bool dns_put(struct dns_writer *w, enum dns_section section, struct str owner, uint16_t type,
    uint32_t ttl, const void *data, size_t n)
{
    size_t at = w->n;
    if (str_eq(owner, w->name)) {
        if (at + 2 > w->cap)
            goto full;
        dns_set_u16(w->p + at, 0xc000 | DNS_HEAD);
        at += 2;
    } else if (!dns_name_write(owner, w->p, w->cap, &at)) {
        goto full;
    }
    if (n > UINT16_MAX || at + 10 + n > w->cap)
        goto full;
    dns_set_u16(w->p + at, type);
    dns_set_u16(w->p + at + 2, DNS_CLASS_IN);
    dns_set_u32(w->p + at + 4, ttl);
    dns_set_u16(w->p + at + 8, (unsigned)n);
    memcpy(w->p + at + 10, data, n);
    w->n = at + 10 + n;
    w->counts[section]++;
    return true;
full:
    w->full = true;
    return false;
}

void dns_set_truncated(struct dns_writer *w)
{
    w->p[2] |= 2;
}

void dns_truncate(struct dns_writer *w)
{
    dns_set_truncated(w);
    size_t pos = DNS_HEAD;
    if (w->p[5]) {
        while (w->p[pos])
            pos += w->p[pos] + 1u;
        pos += 5;
    }
    w->n = pos;
    memset(w->counts, 0, sizeof(w->counts));
}

size_t dns_end(struct dns_writer *w, const struct dns_query *q)
{
    if (q->edns) {
        uint8_t *o = w->p + w->n;
        memset(o, 0, OPT_SIZE);
        dns_set_u16(o + 1, DNS_OPT);
        dns_set_u16(o + 3, DNS_UDP_MAX);
        o[5] = q->edns_version > 0 ? DNS_BADVERS >> 4 : 0;
        o[7] = q->dnssec_ok ? 0x80 : 0;
        w->n += OPT_SIZE;
        w->counts[DNS_ADDITIONAL]++;
    }
    for (size_t i = 0; i < 3; i++)
        dns_set_u16(w->p + 6 + 2 * i, w->counts[i]);
    return w->n;
}

bool dns_reply_fits(
    const void *data, size_t n, uint16_t id, const void *query, const struct dns_query *q)
{
    const uint8_t *p = data;
    char name[NAME_TEXT_MAX];
    size_t name_n, pos = DNS_HEAD;
    (void)query;
    if (n < DNS_HEAD || dns_u16(p) != id || !(p[2] & 0x80) || dns_u16(p + 4) != 1)
        return false;
    return dns_name_read(p, n, &pos, name, &name_n) == 0 && pos + 4 <= n &&
           str_eq((struct str){name, name_n}, (struct str){q->name, q->name_n}) &&
           dns_u16(p + pos) == q->type && dns_u16(p + pos + 2) == q->class;
}

uint32_t dns_reply_ttl(const void *data, size_t n, uint16_t offsets[DNS_TTLS_MAX], size_t *ret_n)
{
    const uint8_t *p = data;
    char name[NAME_TEXT_MAX];
    size_t name_n, pos = DNS_HEAD, found = 0;
    if (n < DNS_HEAD || p[2] & 2)
        return 0;
    unsigned rcode = p[3] & 15;
    if ((rcode != DNS_NOERROR && rcode != DNS_NXDOMAIN) || dns_u16(p + 4) != 1)
        return 0;
    if (dns_name_read(p, n, &pos, name, &name_n) < 0 || pos + 4 > n)
        return 0;
    pos += 4;
    unsigned answers = dns_u16(p + 6), authority = answers + dns_u16(p + 8);
    unsigned all = authority + dns_u16(p + 10);
    bool negative = answers == 0 || rcode == DNS_NXDOMAIN;
    uint32_t ttl = UINT32_MAX, soa = 0;
    for (unsigned i = 0; i < all; i++) {
        if (dns_name_read(p, n, &pos, name, &name_n) < 0 || pos + 10 > n)
            return 0;
        unsigned type = dns_u16(p + pos), size = dns_u16(p + pos + 8);
        if (pos + 10 + size > n)
            return 0;
        if (type != DNS_OPT) {
            if (found == DNS_TTLS_MAX || pos + 4 > UINT16_MAX)
                return 0;
            offsets[found++] = (uint16_t)(pos + 4);
            uint32_t t = dns_u32(p + pos + 4);
            ttl = MIN(ttl, t > INT32_MAX ? 0 : t);
            if (type == DNS_SOA && i >= answers && i < authority && size >= 4)
                soa = MIN(t, dns_u32(p + pos + 10 + size - 4));
        }
        pos += 10 + size;
    }
    if (pos != n)
        return 0;
    *ret_n = found;
    return negative ? MIN(soa, ttl) : ttl;
}
