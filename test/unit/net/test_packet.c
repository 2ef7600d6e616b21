#include "unit.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "net/cache.h"
#include "net/limit.h"

static size_t ask(uint8_t *p, const char *name, uint16_t type, bool edns, uint16_t size)
{
    size_t n = DNS_HEAD;
    memset(p, 0, DNS_HEAD);
    dns_set_u16(p, 0x1234);
    p[2] = 1;
    p[5] = 1;
    assert_true(dns_name_write(str_of(name), p, 512, &n));
    dns_set_u16(p + n, type);
    dns_set_u16(p + n + 2, DNS_CLASS_IN);
    n += 4;
    if (edns) {
        p[11] = 1;
        memset(p + n, 0, 11);
        dns_set_u16(p + n + 1, DNS_OPT);
        dns_set_u16(p + n + 3, size);
        n += 11;
    }
    return n;
}

static void questions(void **state)
{
    uint8_t p[600];
    struct dns_query q;
    (void)state;
    size_t n = ask(p, "A.Example", DNS_A, true, 1400);
    assert_int_equal(dns_query_read(p, n, &q), 0);
    assert_string_equal(q.name, "a.example");
    assert_int_equal(q.udp_size, 1400);
    assert_true(q.edns && q.rd);
    for (size_t cut = 0; cut < n; cut++)
        assert_true(dns_query_read(p, cut, &q) < 0);
    p[2] |= 0x80;
    assert_int_equal(dns_query_read(p, n, &q), -EPROTO);
    n = ask(p, "x", DNS_A, true, 100); /* less than the minimum counts as it */
    assert_int_equal(dns_query_read(p, n, &q), 0);
    assert_int_equal(q.udp_size, DNS_UDP_MIN);
    p[5] = 2;
    assert_int_equal(dns_query_read(p, n, &q), -EBADMSG);
    p[5] = 0;
    assert_int_equal(dns_query_read(p, n, &q), -EBADMSG);
    n = ask(p, "x", DNS_A, false, 0);
    p[DNS_HEAD] = 0xc0; /* a pointer at itself */
    p[DNS_HEAD + 1] = DNS_HEAD;
    assert_int_equal(dns_query_read(p, n, &q), -EBADMSG);
    n = ask(p, "x", DNS_A, false, 0);
    p[DNS_HEAD] = 0x40;
    assert_int_equal(dns_query_read(p, n, &q), -EBADMSG);
}

static void text(void **state)
{
    static const uint8_t wire[] = {3, 'a', '.', 0, 2, '\\', 'B', 0};
    char name[NAME_TEXT_MAX];
    size_t pos = 0, n, back = 0;
    uint8_t out[32];
    (void)state;
    assert_int_equal(dns_name_read(wire, sizeof(wire), &pos, name, &n), 0);
    assert_string_equal(name, "a\\046\\000.\\092b");
    assert_int_equal(pos, sizeof(wire));
    assert_true(dns_name_write((struct str){name, n}, out, sizeof(out), &back));
    assert_int_equal(back, sizeof(wire));
    static const char *const bad[] = {"a..b", ".a", "a.", "\\1", "\\256", "\\abc"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        back = 0;
        assert_false(dns_name_write(str_of(bad[i]), out, sizeof(out), &back));
        assert_int_equal(back, 0);
    }
    char longest[256];
    memset(longest, 'a', 64);
    longest[64] = '\0';
    back = 0;
    uint8_t large[300];
    assert_false(dns_name_write(str_of(longest), large, sizeof(large), &back));
    longest[63] = '\0';
    assert_true(dns_name_write(str_of(longest), large, sizeof(large), &back));
}

/* An answer with one A record, or with a SOA when negative. */
static size_t reply(
    uint8_t *p, const uint8_t *query, const struct dns_query *q, bool negative, uint32_t ttl)
{
    static const uint8_t ip[4] = {1, 2, 3, 4};
    uint8_t soa[64];
    struct dns_writer w;
    dns_begin(&w, p, 512, query, q, negative ? DNS_NXDOMAIN : 0, false, true);
    if (!negative)
        assert_true(dns_put(&w, DNS_ANSWER, (struct str){q->name, q->name_n}, DNS_A, ttl, ip, 4));
    size_t n = 0;
    if (negative) {
        assert_true(dns_name_write(STR("ns"), soa, sizeof(soa), &n));
        assert_true(dns_name_write(STR("mail"), soa, sizeof(soa), &n));
        memset(soa + n, 0, 20);
        dns_set_u32(soa + n + 16, 7);
        assert_true(dns_put(&w, DNS_AUTHORITY, STR("zone"), DNS_SOA, ttl, soa, n + 20));
    }
    return dns_end(&w, q);
}

static void caching(void **state)
{
    uint8_t p[512], r[512], out[512];
    struct dns_query q;
    struct cache c;
    (void)state;
    cache_init(&c);
    size_t n = ask(p, "a.example", DNS_A, false, 0);
    assert_int_equal(dns_query_read(p, n, &q), 0);
    assert_int_equal(cache_get(&c, p, &q, 0, out, sizeof(out)), 0);
    size_t size = reply(r, p, &q, false, 30);
    assert_true(dns_reply_fits(r, size, 0x1234, p, &q));
    assert_false(dns_reply_fits(r, size, 0x1235, p, &q));
    cache_put(&c, &q, r, size, 0);
    q.id = 0x4321;
    assert_int_equal(cache_get(&c, p, &q, 10 * USEC_PER_SEC, out, sizeof(out)), size);
    assert_int_equal(dns_u16(out), 0x4321);
    uint16_t at[DNS_TTLS_MAX];
    size_t n_at;
    assert_int_equal(dns_reply_ttl(out, size, at, &n_at), 20);
    assert_int_equal(cache_get(&c, p, &q, 30 * USEC_PER_SEC, out, sizeof(out)), 0);
    assert_int_equal(map_size(&c.map), 0);
    /* Negative ones live as long as the SOA's minimum. */
    size = reply(r, p, &q, true, 30);
    cache_put(&c, &q, r, size, 0);
    assert_int_equal(cache_get(&c, p, &q, 6 * USEC_PER_SEC, out, sizeof(out)), size);
    assert_int_equal(cache_get(&c, p, &q, 7 * USEC_PER_SEC, out, sizeof(out)), 0);
    /* Nothing that is truncated, an error, or says 0. */
    size = reply(r, p, &q, false, 30);
    r[2] |= 2;
    cache_put(&c, &q, r, size, 0);
    r[2] = (uint8_t)(r[2] & ~2);
    r[3] = DNS_SERVFAIL;
    cache_put(&c, &q, r, size, 0);
    size = reply(r, p, &q, false, 0);
    cache_put(&c, &q, r, size, 0);
    assert_int_equal(map_size(&c.map), 0);
    /* It stays within its limits. */
    for (unsigned i = 0; i < CACHE_ENTRIES_MAX + 100; i++) {
        (void)snprintf(q.name, sizeof(q.name), "n%u.example", i);
        q.name_n = strlen(q.name);
        size = reply(r, p, &q, false, 30);
        cache_put(&c, &q, r, size, 0);
    }
    assert_int_equal(map_size(&c.map), CACHE_ENTRIES_MAX);
    assert_true(c.bytes <= CACHE_BYTES_MAX);
    cache_done(&c);
}

static void limits(void **state)
{
    static struct limit l;
    struct address a;
    struct network n;
    unsigned got[3] = {0};
    (void)state;
    assert_int_equal(address_parse("203.0.113.9", &a), 0);
    for (size_t i = 0; i < 300; i++)
        got[limit_check(&l, &a, 1000 + (int64_t)i)]++;
    assert_int_equal(got[LIMIT_ANSWER], LIMIT_ANSWERS_PER_SECOND);
    assert_int_equal(got[LIMIT_TRUNCATE], 100);
    assert_int_equal(got[LIMIT_DROP], 100);
    assert_int_equal(limit_check(&l, &a, 1000 + 2 * USEC_PER_SEC), LIMIT_ANSWER);
    assert_int_equal(network_parse(STR("203.0.112.0/20"), &n), 0);
    assert_true(network_has(&n, &a));
    assert_int_equal(network_parse(STR("203.0.113.8"), &n), 0);
    assert_false(network_has(&n, &a));
    assert_int_equal(network_parse(STR("::/0"), &n), 0);
    assert_false(network_has(&n, &a));
    static const char *const bad[] = {"", "x", "1.2.3.4/33", "1.2.3.4/", "::/129", "1.2.3"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(network_parse(str_of(bad[i]), &n), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(questions),
        cmocka_unit_test(text),
        cmocka_unit_test(caching),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
