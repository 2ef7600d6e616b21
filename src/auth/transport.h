#ifndef DCOS_AUTH_TRANSPORT_H
#define DCOS_AUTH_TRANSPORT_H

/*
 * TLS of a daemon: its listener, and what it connects to.
 *
 * With a certificate and its key the daemon's port speaks TLS only. With an authority's certificate
 * (or both of the former) it speaks TLS to the other daemons too, verifies them, and shows them its
 * own certificate. Flags decide; what they leave out comes from the variables that Mesos reads:
 * LIBPROCESS_SSL_ENABLED (nothing of them counts without it), _CERT_FILE, _KEY_FILE, _CA_FILE,
 * _REQUIRE_CLIENT_CERT, _VERIFY_SERVER_CERT. A port that takes both (_SUPPORT_DOWNGRADE) is
 * refused.
 */

#include "base/flags.h"
#include "io/stream.h"

struct transport_settings {
    const char *cert_file, *key_file, *ca_file;
    bool require_client_cert, verify_server_cert;
};
enum { TRANSPORT_FLAGS = 5 };
/* Appends the flags to a table that has room for them; returns how many. */
size_t transport_flags(struct transport_settings *s, struct flag *out);

struct transport {
    struct tls_context *server, *client; /* NULL: plain */
};
/* Fills what flags left out from the environment, and reads the files. */
int transport_open(struct transport_settings *s, struct transport *ret, struct error *err);
void transport_close(struct transport *t);

#endif
