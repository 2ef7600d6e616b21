/* One parameter set in any config.yaml: done and nothing else changed, or refused. */

#include <assert.h>

#include "gen/config.h"
#include "installer/installer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char NAME[] = "superuser_password_hash", VALUE[] = "$6$rounds=656000$a/b.$\"'\\";

static void check(const char *text, size_t n, const struct buf *edited)
{
    struct config before = {0}, after = {0};
    struct error err = ERROR_INIT;
    assert(config_read(text, n, &before, &err) == 0);
    assert(config_read(edited->p, edited->n, &after, &err) == 0);
    const struct config_entry *e = config_get(&after, NAME);
    assert(e && e->value && streq(e->value, VALUE));
    assert(json_object_size(after.json) ==
           json_object_size(before.json) + (config_get(&before, NAME) == NULL));
    config_done(&before);
    config_done(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf out = BUF_INIT, again = BUF_INIT;
    struct error err = ERROR_INIT;
    const char *text = (const char *)data;
    int r = config_edit((struct str){text, size}, NAME, VALUE, &out, &err);
    if (r == 0) {
        check(text, size, &out);
        /* Once more changes nothing. */
        assert(config_edit(buf_str(&out), NAME, VALUE, &again, &err) == 0);
        assert(again.n == out.n && memcmp(again.p, out.p, out.n) == 0);
    } else {
        assert(err.msg[0]);
    }
    buf_done(&out);
    buf_done(&again);
    return 0;
}
