/* Ids, pkginfo.json, late configuration: nothing wrong passes, what passes stays the same. */

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "pkgpanda/hash.h"
#include "pkgpanda/late.h"
#include "pkgpanda/package.h"
#include "json/yaml_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_id(const char *text)
{
    struct package_id id;
    if (package_id_parse(text, &id, NULL) < 0)
        return;
    assert(strlen(text) <= PACKAGE_ID_MAX && !strchr(text, '/') && text[0] != '.');
    assert(id.name.p == text && id.name.n + 2 + id.version.n == strlen(text));
}

static void check_pkginfo(const char *text, size_t n)
{
    json_t *info = NULL;
    struct error err = ERROR_INIT;
    if (pkginfo_parse(text, n, &info, &err) < 0) {
        assert(err.msg[0] != '\0');
        return;
    }
    _cleanup_buf_ struct buf again = BUF_INIT;
    char first[SHA1_TEXT] = "", second[SHA1_TEXT] = "";
    json_t *copy = NULL;
    json_write_pretty(info, &again);
    assert(pkginfo_parse(buf_cstr(&again), again.n, &copy, NULL) == 0);
    assert(content_hash(info, first, NULL) == content_hash(copy, second, NULL));
    assert(streq(first, second));
    json_decref(info);
    json_decref(copy);
}

static void check_yaml(const char *text, size_t n)
{
    json_t *json = NULL;
    _cleanup_buf_ struct buf out = BUF_INIT;
    if (yaml_read(text, n, &json, NULL) == 0 && late_substitute(text, json, &out, NULL) == 0)
        assert(out.n > 0 || n == 0 || *text == '\0' || strstr(text, "LATE_BIND"));
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = xstrndup((const char *)data, size);
    check_id(text);
    check_pkginfo((const char *)data, size);
    check_yaml(text, strlen(text));
    (void)user_name_valid(text);
    (void)group_name_valid(text);
    return 0;
}
