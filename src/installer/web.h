#ifndef DCOS_INSTALLER_WEB_H
#define DCOS_INSTALLER_WEB_H

/*
 * The installer for the browser: an HTTP API (that of DC/OS 1.10 and before) and a page.
 *
 * Who comes in has read the installer's terminal or a file of the operator's, see web_door. The SSH
 * key goes in and does not come out again. There is no TLS: beyond this machine it is for a network
 * that is trusted, or a tunnel.
 */

#include "installer/installer.h"

struct web_options {
    const char *host; /* address to listen on */
    uint16_t port;    /* 0 picks one, which is printed */
    bool record_host_keys;
};

/* Serves until SIGINT or SIGTERM. State files of earlier runs go, a config.yaml is made when there
 * is none. */
int web_run(const struct installer *in, const struct web_options *options, struct error *err);

/* ---- config.yaml as the browser sees it (web_config.c) ---- */

/* The mapping, with ip_detect_script added, the contents of the file or null, and ssh_key, which is
 * always null. */
int web_config_read(const struct installer *in, json_t **ret, struct error *err);
/* {name: message} of all that is wrong; what SSH needs included. */
int web_config_check(const struct installer *in, json_t **ret_errors, struct error *err);
/* Takes a posted mapping over; null takes a name out, and leaves files as they are. *ret_errors =
 * what is wrong with the posted names; then nothing was changed. */
int web_config_change(
    const struct installer *in, const json_t *posted, json_t **ret_errors, struct error *err);
/* "minimal" or "advanced". */
const char *web_config_type(const json_t *config);
int web_config_default(const struct installer *in, struct error *err);

#endif
