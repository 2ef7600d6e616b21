#include "net/name.h"

#include <openssl/sha.h>

/* The character that a byte becomes, or 0. */
static char mapped(char c)
{
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
        return c;
    return c == '-' || c == '_' || c == '.' ? '-' : 0;
}

void name_label(struct str text, bool strict, struct buf *out)
{
    const size_t max = strict ? LABEL_RFC952_MAX : NAME_LABEL_MAX;
    char label[NAME_LABEL_MAX];
    size_t n = 0, dashes = 0;
    /* Dashes wait until something follows them: those at the end never get in. A run that would
     * reach the limit is dropped, and what comes after it takes its place. */
    for (size_t i = 0; i < text.n && n < max; i++) {
        char c = mapped(text.p[i]);
        if (!c || (c == '-' && n == 0) || (strict && n == 0 && c >= '0' && c <= '9'))
            continue;
        if (c == '-') {
            dashes++;
            continue;
        }
        if (n + dashes >= max)
            dashes = 0;
        for (; dashes > 0; dashes--)
            label[n++] = '-';
        label[n++] = c;
    }
    buf_append(out, label, n);
}

void name_fragment(struct str text, bool strict, struct buf *out)
{
    size_t start = out->n;
    struct str rest = text, part;
    while (str_split(&rest, '.', &part)) {
        size_t before = out->n;
        if (before > start)
            buf_putc(out, '.');
        size_t dotted = out->n;
        name_label(part, strict, out);
        if (out->n == dotted && dotted > before) {
            out->n = before;
            out->p[before] = '\0';
        }
    }
}

bool name_valid(struct str text)
{
    if (text.n == 0 || text.n > NAME_WIRE_MAX - 2)
        return false;
    struct str rest = text, part;
    while (str_split(&rest, '.', &part))
        if (part.n == 0 || part.n > NAME_LABEL_MAX)
            return false;
    return text.p[text.n - 1] != '.';
}

bool name_within(struct str name, struct str zone)
{
    if (zone.n == 0)
        return true;
    return str_has_suffix(name, zone) && (name.n == zone.n || name.p[name.n - zone.n - 1] == '.');
}

void name_hash(struct str text, size_t n, char *ret)
{
    static const char alphabet[] = "ybndrfg8ejkmcpqxot1uwisza345h769";
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1((const unsigned char *)text.p, text.n, digest);
    for (size_t i = 0; i < n; i++) {
        size_t bit = i * 5;
        unsigned word = (unsigned)digest[bit / 8] << 8;
        if (bit / 8 + 1 < sizeof(digest))
            word |= digest[bit / 8 + 1];
        ret[i] = alphabet[(word >> (11 - bit % 8)) & 31];
    }
    ret[n] = '\0';
}
