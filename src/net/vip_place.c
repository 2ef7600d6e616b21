#include <openssl/sha.h>

#include "net/vip.h"

/* Where the addresses of names are. */

/* fd01:c::/64 */
static const uint8_t BASE6[8] = {0xfd, 0x01, 0x00, 0x0c};

static uint64_t load(const uint8_t *p)
{
    return (uint64_t)dns_u32(p) << 32 | dns_u32(p + 4);
}

static void store(uint64_t v, uint8_t *p)
{
    dns_set_u32(p, (uint32_t)(v >> 32));
    dns_set_u32(p + 4, (uint32_t)v);
}

/* The SHA-1 as one number, modulo 2^64 - 1: its 64-bit digits are summed up, carries go round. */
static uint64_t sha1_of(const char *name)
{
    uint8_t digest[24] = {0}; /* 160 bits at the end of three digits */
    SHA1((const unsigned char *)name, strlen(name), digest + 4);
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof(digest); i += 8) {
        uint64_t digit = load(digest + i);
        sum += digit;
        if (sum < digit)
            sum++;
    }
    return sum == UINT64_MAX ? 0 : sum;
}

void vip_first(const char *name, bool v6, struct address *ret)
{
    *ret = (struct address){.v6 = v6};
    if (!v6) {
        dns_set_u32(ret->bytes, VIP_BASE + phash2(name, strlen(name), VIP_LAST - VIP_BASE));
        return;
    }
    memcpy(ret->bytes, BASE6, sizeof(BASE6));
    store(sha1_of(name), ret->bytes + 8);
}

void vip_next(struct address *a)
{
    uint32_t ip = dns_u32(a->bytes);
    if (a->v6)
        store(load(a->bytes + 8) + 1, a->bytes + 8); /* and round */
    else
        dns_set_u32(a->bytes, ip == VIP_LAST ? VIP_BASE : ip + 1);
}
