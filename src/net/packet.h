#ifndef DCOS_NET_PACKET_H
#define DCOS_NET_PACKET_H

/* DNS messages: reading questions of strangers, writing answers (RFC 1035, 2782, 3596, 6891). */

#include "net/name.h"

enum {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_SOA = 6,
    DNS_PTR = 12,
    DNS_AAAA = 28,
    DNS_SRV = 33,
    DNS_OPT = 41,
    DNS_IXFR = 251,
    DNS_AXFR = 252,
    DNS_ANY = 255,
    DNS_CLASS_IN = 1,

    DNS_NOERROR = 0,
    DNS_FORMERR = 1,
    DNS_SERVFAIL = 2,
    DNS_NXDOMAIN = 3,
    DNS_NOTIMP = 4,
    DNS_REFUSED = 5,
    DNS_BADVERS = 16,

    DNS_HEAD = 12,        /* bytes */
    DNS_UDP_MIN = 512,    /* without EDNS */
    DNS_UDP_MAX = 4096,   /* whatever EDNS says */
    DNS_QUERY_MAX = 4096, /* bytes of a question, over TCP as well */
    DNS_MESSAGE_MAX = 65535,
};

struct dns_query {
    uint16_t id, flags; /* flags as on the wire */
    uint8_t opcode;
    bool rd, cd, ad;
    char name[NAME_TEXT_MAX];
    size_t name_n;
    uint16_t type, class;
    size_t question_end; /* offset: the question is [DNS_HEAD, question_end) */
    bool edns, dnssec_ok;
    uint8_t edns_version;
    uint16_t udp_size; /* what the sender takes, at least DNS_UDP_MIN */
};

/* 0, or -EBADMSG with ret->id set: what cannot be read is answered FORMERR, unless it has no head
 * or is an answer itself (-EPROTO): that gets nothing. */
int dns_query_read(const void *p, size_t n, struct dns_query *ret);

/* Reads the name at *pos (compressed or not) as text and moves *pos behind it. -EBADMSG. */
int dns_name_read(const uint8_t *p, size_t n, size_t *pos, char text[NAME_TEXT_MAX], size_t *ret_n);

/* ---- writing ---- */
struct dns_writer {
    uint8_t *p;
    size_t cap, n; /* n stays at the last whole record when it does not fit */
    bool full;
    struct str name;    /* of the question: owners that equal it are written as a pointer */
    uint16_t counts[3]; /* answers, authority, additional */
};
enum dns_section { DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL };

/* Begins an answer to the query by copying its question. */
void dns_begin(struct dns_writer *w, void *out, size_t cap, const void *query,
    const struct dns_query *q, unsigned rcode, bool authoritative, bool recursion);
/* data is on the wire form; sections in order. false when there is no room. */
bool dns_put(struct dns_writer *w, enum dns_section section, struct str owner, uint16_t type,
    uint32_t ttl, const void *data, size_t n);
/* Appends a name in wire form; false when it is none or there is no room. */
bool dns_name_write(struct str text, uint8_t *out, size_t cap, size_t *n);
/* Drops all records: an answer that only says that it was too long. */
void dns_truncate(struct dns_writer *w);
void dns_set_truncated(struct dns_writer *w);
/* Adds the OPT record for EDNS (room for it is kept by dns_begin) and returns the size. */
size_t dns_end(struct dns_writer *w, const struct dns_query *q);

/* ---- answers of others ---- */
/* Whether p is an answer with this id to this question. */
bool dns_reply_fits(
    const void *p, size_t n, uint16_t id, const void *query, const struct dns_query *q);
enum { DNS_TTLS_MAX = 64 };
/* Seconds for which the answer may be kept (0 = not at all: errors, truncated, malformed, too many
 * records), and where in it the TTLs are. */
uint32_t dns_reply_ttl(const void *p, size_t n, uint16_t offsets[DNS_TTLS_MAX], size_t *ret_n);

static inline uint16_t dns_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static inline uint32_t dns_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline void dns_set_u16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static inline void dns_set_u32(uint8_t *p, uint32_t v)
{
    dns_set_u16(p, v >> 16);
    dns_set_u16(p + 2, v & 0xffff);
}

#endif
