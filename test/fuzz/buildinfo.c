/* buildinfo.json and treeinfo.json: what passes is whole. */

#include <assert.h>

#include "mkpanda/store.h"
#include "pkgpanda/id.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct buildinfo *b = NULL;
    struct treeinfo t;
    struct error err = ERROR_INIT;
    if (buildinfo_parse("name", "", text, size, &b, &err) == 0) {
        assert(b->n_sources <= SOURCES_MAX && b->n_requires <= REQUIRES_MAX);
        for (size_t i = 0; i < b->n_sources; i++)
            assert(package_name_valid(str_of(b->sources[i].name)));
        for (size_t i = 0; i < b->n_requires; i++)
            assert(package_name_valid(str_of(b->requires[i].name)));
        buildinfo_free(b);
    } else {
        assert(err.msg[0] != '\0');
    }
    if (treeinfo_parse(text, size, &t, NULL) == 0)
        treeinfo_done(&t);
    return 0;
}
