/* What other masters, or anybody who writes to the store, wrote; lists of servers; zoo.cfg; names
 * of locks; answers of ZooKeeper. */

#include <assert.h>

#include "base/alloc.h"
#include "exhibitor/ask.h"
#include "exhibitor/core.h"
#include "exhibitor/follow.h"
#include "exhibitor/local.h"
#include "exhibitor/object_lock.h"
#include "zk/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A document that can be read is written back as it is, and a step with it ends. */
static void try_document(const char *p, size_t n)
{
    struct document d, again;
    struct core core;
    struct core_result result;
    struct core_options options = {.masters = 3, .fresh_us = 1, .dead_us = 2};
    const struct core_local local = {.wanted = "1:10.0.0.1"};
    _cleanup_buf_ struct buf text = BUF_INIT;
    char ensemble[ENSEMBLE_TEXT_MAX];
    if (document_parse(p, n, &d, NULL) < 0)
        return;
    document_write(&d, &text);
    int r = document_parse(text.p, text.n, &again, NULL);
    assert(r == 0 && memcmp(&d, &again, sizeof(d)) == 0);
    document_ensemble(&d, ensemble);
    memcpy(options.address, "10.0.0.1", sizeof("10.0.0.1"));
    memset(options.token, 'a', sizeof(options.token) - 1);
    core_init(&core, &options, NULL);
    for (int64_t now = 0; now < 3; now++) {
        core_step(&core, &d, &local, now, &result);
        if (result.write)
            d = result.document;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data;
    const struct str whole = {p, size};
    _cleanup_free_ char *text = xstrndup(p, size);
    _cleanup_buf_ struct buf servers = BUF_INIT;
    char ensemble[ENSEMBLE_TEXT_MAX];
    struct document d;
    uint32_t number;
    struct str owner;
    try_document(p, size);
    (void)document_of_ensemble(text, &d, NULL);
    (void)follow_parse(p, size, &servers, NULL);
    local_read_config(whole, ensemble);
    (void)ask_parse(whole);
    (void)object_lock_parse(text, &number, &owner);
    return 0;
}
