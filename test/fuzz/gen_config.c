/* config.yaml, up to everything that is made of it in memory. */

#include <assert.h>
#include <errno.h>

#include "gen/calc.h"
#include "gen/config.h"
#include "gen/gen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int read_file(
    void *userdata, const char *name, size_t max, struct buf *out, struct error *err)
{
    buf_puts(out, "#!/bin/sh\necho 10.0.0.1\n");
    return 0;
}

static int list_files(void *userdata, const char *name, struct buf *out, struct error *err)
{
    return error_set(err, -ENOENT, "nothing there");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct gen_files files = {.read = read_file, .list = list_files};
    static const struct gen_setting settings[] = {{"bootstrap_id", "b", .fixed = true}};
    struct gen *g = NULL;
    struct error err = ERROR_INIT;
    if (gen_new(&(struct gen_input){.config = (const char *)data,
                    .config_n = size,
                    .settings = settings,
                    .n_settings = 1,
                    .files = &files},
            &g, &err) < 0) {
        assert(err.msg[0]);
        return 0;
    }
    size_t n;
    const struct gen_problem *p = gen_errors(g, &n);
    for (size_t i = 0; i < n; i++)
        assert(p[i].message[0]);
    assert((n == 0) == gen_ok(g));
    assert((gen_cloud_config(g) != NULL) == gen_ok(g));
    gen_free(g);
    return 0;
}
