#include "router/head.h"

static bool after(struct str text, struct str mark, struct str *ret)
{
    for (size_t i = 0; i + mark.n <= text.n; i++) {
        if (memcmp(text.p + i, mark.p, mark.n) == 0) {
            *ret = (struct str){text.p + i + mark.n, text.n - i - mark.n};
            return true;
        }
    }
    return false;
}

bool head_token(struct str authorization, struct str *ret)
{
    return after(authorization, STR("token="), ret) || after(authorization, STR("Bearer "), ret);
}

static struct str trim(struct str s)
{
    while (s.n && *s.p == ' ') {
        s.p++;
        s.n--;
    }
    while (s.n && s.p[s.n - 1] == ' ')
        s.n--;
    return s;
}

/* Next cookie that is not empty, with its name. */
static bool next_cookie(struct str *rest, struct str *pair, struct str *name)
{
    struct str part;
    while (str_split(rest, ';', &part)) {
        *pair = trim(part);
        if (!pair->n)
            continue;
        const ptrdiff_t eq = str_index(*pair, '=');
        *name = trim((struct str){pair->p, eq < 0 ? pair->n : (size_t)eq});
        return true;
    }
    return false;
}

bool head_cookie(struct str cookies, const char *wanted, struct str *ret)
{
    struct str pair, name;
    while (next_cookie(&cookies, &pair, &name)) {
        if (!str_eq_c(name, wanted))
            continue;
        const ptrdiff_t eq = str_index(pair, '=');
        const size_t skip = eq < 0 ? pair.n : (size_t)eq + 1;
        *ret = (struct str){pair.p + skip, pair.n - skip};
        return true;
    }
    return false;
}

size_t head_scrub(struct str cookies, char *out, size_t at)
{
    struct str pair, name;
    while (next_cookie(&cookies, &pair, &name)) {
        if (str_eq_c(name, "dcos-acs-auth-cookie") || str_eq_c(name, "dcos-acs-info-cookie"))
            continue;
        if (at) {
            out[at++] = ';';
            out[at++] = ' ';
        }
        memcpy(out + at, pair.p, pair.n);
        at += pair.n;
    }
    return at;
}

static bool plain_escape(char a, char b)
{
    if (a == '2')
        return b != 'e' && b != 'E' && b != 'f' && b != 'F';
    if (a == '5')
        return b != 'c' && b != 'C';
    return a != '0' || b != '0';
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* `s` is what is behind a slash. */
static bool plain_segment(struct str s)
{
    size_t dots = 0;
    if (s.n && *s.p == '/')
        return false;
    while (dots < s.n && s.p[dots] == '.')
        dots++;
    return dots == 0 || dots > 2 || (dots < s.n && s.p[dots] != '/');
}

bool head_path_is_plain(struct str path)
{
    if (!path.n || *path.p != '/')
        return false;
    for (size_t i = 0; i < path.n; i++) {
        const char c = path.p[i];
        const size_t left = path.n - i - 1;
        if (c == '/' && !plain_segment((struct str){path.p + i + 1, left}))
            return false;
        if (c == '%' && (left < 2 || !is_hex(path.p[i + 1]) || !is_hex(path.p[i + 2]) ||
                            !plain_escape(path.p[i + 1], path.p[i + 2])))
            return false;
        if (c == '#' || c == '\\' || c <= ' ' || c >= 0x7f)
            return false;
    }
    return true;
}

bool head_covers(const char *entry, struct str rid)
{
    const size_t n = strlen(entry);
    return n <= rid.n && memcmp(entry, rid.p, n) == 0 && (n == rid.n || rid.p[n] == ':');
}
