#include "kernel/ids.h"

#include <errno.h>

#include "base/str.h"

int id_validate(const char *id, struct error *err)
{
    if (!id || !id[0])
        return error_set(err, -EINVAL, "ID must not be empty");
    if (strlen(id) > ID_MAX)
        return error_set(err, -EINVAL, "ID must not be longer than %d bytes", ID_MAX);
    if (streq(id, ".") || streq(id, ".."))
        return error_set(err, -EINVAL, "'%s' is not allowed as an ID", id);
    for (const unsigned char *c = (const unsigned char *)id; *c; c++)
        if (*c < 0x20 || *c == 0x7f || *c == '/' || *c == '\\')
            return error_set(err, -EINVAL, "ID must not contain control characters, '/' or '\\'");
    return 0;
}
