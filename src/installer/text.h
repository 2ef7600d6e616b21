#ifndef DCOS_INSTALLER_TEXT_H
#define DCOS_INSTALLER_TEXT_H

/* Files of templates/ and web/, which the build puts into the program. */

/* By its name; NUL-terminated. Asserts that there is such a file. */
const char *installer_text(const char *name);

#endif
