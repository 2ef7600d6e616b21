/* What was read is written the same, and a value that is set can be read back. */

#include <assert.h>

#include "base/buf.h"
#include "cli/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(const struct toml *t, bool set)
{
    _cleanup_buf_ struct buf text = BUF_INIT, again = BUF_INIT;
    struct toml copy;
    toml_write(t, &text);
    assert(toml_parse(buf_str(&text), &copy, NULL) == 0);
    toml_write(&copy, &again);
    assert(streq(buf_cstr(&text), buf_cstr(&again)));
    if (set)
        assert(streq(toml_get(&copy, "core.dcos_url")->value, "a\"b\\\n\x01"));
    toml_done(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct toml t;
    if (toml_parse((struct str){(const char *)data, size}, &t, NULL) < 0)
        return 0;
    check_again(&t, false);
    toml_set(&t, "core.dcos_url", "a\"b\\\n\x01", false);
    assert(streq(toml_get(&t, "core.dcos_url")->value, "a\"b\\\n\x01"));
    check_again(&t, true);
    while (toml_unset(&t, "core.dcos_url"))
        ;
    assert(!toml_get(&t, "core.dcos_url"));
    check_again(&t, false);
    toml_done(&t);
    return 0;
}
