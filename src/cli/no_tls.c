/* For a build without the TLS library: https is refused with a reason. */

#include <errno.h>

#include "io/stream.h"

int tls_context_new_client(
    const char *ca_path, bool verify, struct tls_context **ret, struct error *err)
{
    return error_set(err, -ENOTSUP, "this build of dcos speaks no TLS");
}

void tls_context_free(struct tls_context *t)
{
}
