#include "auth/transport.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

size_t transport_flags(struct transport_settings *s, struct flag *out)
{
    const struct flag flags[TRANSPORT_FLAGS] = {
        {"ssl_cert_file", FLAG_STRING, &s->cert_file, NULL, "PATH",
            "certificate (and chain, PEM) of this daemon; its port then speaks TLS only"},
        {"ssl_key_file", FLAG_STRING, &s->key_file, NULL, "PATH", "private key of the certificate"},
        {"ssl_ca_file", FLAG_STRING, &s->ca_file, NULL, "PATH",
            "authorities that signed the certificates of the other daemons"},
        {"ssl_require_client_cert", FLAG_BOOL, &s->require_client_cert, "false", NULL,
            "clients must show a certificate of --ssl_ca_file"},
        {"ssl_verify_server_cert", FLAG_BOOL, &s->verify_server_cert, "true", NULL,
            "verify the certificates of other daemons"},
    };
    memcpy(out, flags, sizeof(flags));
    return TRANSPORT_FLAGS;
}

static bool environment_says(const char *name, bool fallback)
{
    const char *text = getenv(name);
    if (!text || !*text)
        return fallback;
    return strcmp(text, "0") != 0 && strcmp(text, "false") != 0;
}

static void fill(const char **setting, const char *name)
{
    const char *text = getenv(name);
    if (!*setting && text && *text)
        *setting = text;
}

static int read_environment(struct transport_settings *s, struct error *err)
{
    if (!environment_says("LIBPROCESS_SSL_ENABLED", false))
        return 0;
    if (environment_says("LIBPROCESS_SSL_SUPPORT_DOWNGRADE", false))
        return error_set(err, -EINVAL,
            "LIBPROCESS_SSL_SUPPORT_DOWNGRADE is not served: a port speaks either TLS or not");
    fill(&s->cert_file, "LIBPROCESS_SSL_CERT_FILE");
    fill(&s->key_file, "LIBPROCESS_SSL_KEY_FILE");
    fill(&s->ca_file, "LIBPROCESS_SSL_CA_FILE");
    if (environment_says("LIBPROCESS_SSL_REQUIRE_CLIENT_CERT", false))
        s->require_client_cert = true;
    if (!environment_says("LIBPROCESS_SSL_VERIFY_SERVER_CERT", true))
        s->verify_server_cert = false;
    if (!s->cert_file || !s->key_file)
        return error_set(err, -EINVAL,
            "LIBPROCESS_SSL_ENABLED needs LIBPROCESS_SSL_CERT_FILE and LIBPROCESS_SSL_KEY_FILE");
    return 0;
}

static int open_server(
    const struct transport_settings *s, struct tls_context **ret, struct error *err)
{
    int r = tls_context_new_server(s->cert_file, s->key_file, ret, err);
    if (r == 0 && s->require_client_cert)
        r = tls_context_require_client(*ret, s->ca_file, err);
    return r;
}

static int open_client(
    const struct transport_settings *s, struct tls_context **ret, struct error *err)
{
    int r = tls_context_new_client(s->ca_file, s->verify_server_cert, ret, err);
    if (r == 0 && s->cert_file)
        r = tls_context_set_certificate(*ret, s->cert_file, s->key_file, err);
    return r;
}

int transport_open(struct transport_settings *s, struct transport *ret, struct error *err)
{
    struct transport t = {0};
    int r = read_environment(s, err);
    if (r < 0)
        return r;
    if (!s->cert_file != !s->key_file)
        return error_set(err, -EINVAL, "--ssl_cert_file and --ssl_key_file belong together");
    if (s->require_client_cert && (!s->cert_file || !s->ca_file))
        return error_set(err, -EINVAL,
            "--ssl_require_client_cert needs --ssl_cert_file, --ssl_key_file and --ssl_ca_file");
    if (s->cert_file)
        r = open_server(s, &t.server, err);
    if (r == 0 && (s->cert_file || s->ca_file))
        r = open_client(s, &t.client, err);
    if (r < 0) {
        transport_close(&t);
        return r;
    }
    *ret = t;
    return 0;
}

void transport_close(struct transport *t)
{
    tls_context_free(t->server);
    tls_context_free(t->client);
    *t = (struct transport){0};
}
