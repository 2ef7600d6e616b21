#ifndef DCOS_CONSOLE_COMPLETION_H
#define DCOS_CONSOLE_COMPLETION_H

/*
 * A completion script for bash and zsh, made from a tree of commands: one function for each
 * command,
 * `_dcos_cluster_attach`, that offers its options and either its children or the words that its
 * `words` command prints.
 */

#include "base/buf.h"
#include "console/command.h"

void command_completion(const struct command *root, struct buf *out);

#endif
