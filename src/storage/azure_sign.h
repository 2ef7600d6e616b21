#ifndef DCOS_STORAGE_AZURE_SIGN_H
#define DCOS_STORAGE_AZURE_SIGN_H

/* What is signed of a request to Azure's blob storage ("SharedKey"). */

#include "base/buf.h"
#include "storage/request.h"

/* `path`: of the URL, encoded as it is sent. `query`: "a=1&b=2", plain values, sorted by name. */
void azure_string_to_sign(const struct request *q, const char *account, const char *path,
    const char *query, struct buf *ret);

#endif
