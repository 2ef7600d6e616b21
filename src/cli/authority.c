#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>

#include "cli/setup.h"
#include "console/prompt.h"

enum { CA_TEXT_MAX = 1024 * 1024 };

bool is_unknown_authority(const char *message)
{
    static const long codes[] = {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
        X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,
        X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE};
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
        if (strstr(message, X509_verify_cert_error_string(codes[i])))
            return true;
    return false;
}

static void put_time(BIO *out, const char *label, const ASN1_TIME *t)
{
    BIO_printf(out, "    %s", label);
    ASN1_TIME_print(out, t);
    BIO_printf(out, "\n");
}

int authority_describe(struct str pem, struct buf *out, struct error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    BIO *in = BIO_new_mem_buf(pem.p ?: "", (int)MIN(pem.n, (size_t)CA_TEXT_MAX));
    X509 *cert = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    BIO_free(in);
    ERR_clear_error();
    if (!cert || X509_digest(cert, EVP_sha256(), digest, &n) != 1) {
        X509_free(cert);
        return error_set(err, -EBADMSG, "the cluster's certificate authority is no certificate");
    }
    BIO *text = BIO_new(BIO_s_mem());
    if (!text)
        abort(); /* out of memory */
    BIO_printf(text, "Cluster Certificate Authority:\n\n  Issuer: ");
    /* Control characters are escaped: the name comes from a stranger. */
    X509_NAME_print_ex(text, X509_get_issuer_name(cert), 0, XN_FLAG_RFC2253);
    BIO_printf(text, "\n  Validity:\n");
    put_time(text, "From:  ", X509_get0_notBefore(cert));
    put_time(text, "Until: ", X509_get0_notAfter(cert));
    BIO_printf(text, "  SHA256 fingerprint: ");
    for (unsigned i = 0; i < n; i++)
        BIO_printf(text, "%s%02X", i ? ":" : "", digest[i]);
    BIO_printf(text, "\n");
    char *p;
    long size = BIO_get_mem_data(text, &p);
    buf_append(out, p, (size_t)size);
    BIO_free(text);
    X509_free(cert);
    return 0;
}

int authority_fetch(
    struct cli *c, const char *url, bool no_check, struct buf *out, struct error *err)
{
    struct reply reply = {0};
    _cleanup_free_ char *path = xasprintf("%s/ca/dcos-ca.crt", url);
    _cleanup_buf_ struct buf shown = BUF_INIT;
    int r = cli_connect(c, &(struct cli_connection){.verify = "false"}, err);
    if (r == 0)
        r = cli_send_raw(
            c, &(struct request){.url = path, .token = "", .accept = "*/*"}, &reply, err);
    if (r == 0 && reply.body.n > CA_TEXT_MAX)
        r = error_set(err, -EFBIG, "%s is larger than %d bytes", path, CA_TEXT_MAX);
    if (r == 0)
        r = authority_describe(buf_str(&reply.body), &shown, err);
    if (r == 0 && !no_check) {
        fprintf(stderr, "%s\n", buf_cstr(&shown));
        r = prompt_confirm("Do you trust it? [y/n] ", -1, err);
        if (r == 0)
            r = error_set(err, -EACCES, "couldn't get confirmation");
    }
    if (r >= 0)
        buf_append(out, reply.body.p, reply.body.n);
    reply_done(&reply);
    return MIN(r, 0);
}
