#ifndef DCOS_INSTALLER_TEXTS_H
#define DCOS_INSTALLER_TEXTS_H

/* Files of templates/ and web/, which the build puts into the program (embed.py makes the
 * definitions). */

#include "base/macro.h"

struct installer_text {
    const char *name; /* of the file */
    const char *p;    /* NUL-terminated */
    size_t n;
};

extern const struct installer_text text_dcos_install_sh, text_dcos_node_upgrade_sh, text_stub_sh,
    text_index_html, text_installer_js, text_installer_css;

#endif
