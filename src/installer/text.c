#include "installer/text.h"

#include <assert.h>

#include "base/embed.h"
#include "base/str.h"

extern const struct embedded installer_texts[];

const char *installer_text(const char *name)
{
    const struct embedded *e = installer_texts;
    while (e->name && !streq(e->name, name))
        e++;
    assert(e->name);
    return e->text;
}
