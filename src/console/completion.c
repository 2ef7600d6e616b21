#include "console/completion.h"

#include <string.h>

/* "_dcos_cluster_attach" of "_dcos_cluster" and "attach". */
static void put_name(struct buf *out, const char *parent, const char *name)
{
    buf_printf(out, "%s_", parent);
    for (const char *p = name; *p; p++)
        buf_putc(out, *p == '-' ? '_' : *p);
}

static void put_options(struct buf *out, const struct command *c, bool with_value)
{
    bool first = true;
    for (size_t i = 0; i < c->n_options; i++) {
        const struct option_spec *o = &c->options[i];
        if (with_value ? o->type == OPTION_BOOL : o->hidden)
            continue;
        buf_printf(out, "%s--%s", first ? "" : with_value ? "|" : " ", o->name);
        if (o->letter && with_value)
            buf_printf(out, "|-%c", o->letter);
        first = false;
    }
    if (!with_value)
        buf_printf(out, "%s--help", first ? "" : " ");
}

static void put_function(struct buf *out, const struct command *c, const char *own)
{
    _cleanup_buf_ struct buf values = BUF_INIT;
    put_options(&values, c, true);
    buf_printf(out, "%s() {\n", own);
    buf_puts(out, "    local word\n"
                  "    while [ $at -lt $COMP_CWORD ]; do\n"
                  "        word=${COMP_WORDS[at]}\n"
                  "        at=$((at + 1))\n"
                  "        case \"$word\" in\n");
    /* The argument of an option is no command; it may be a file. */
    if (values.n)
        buf_printf(out,
            "        %s)\n"
            "            [ $at -eq $COMP_CWORD ] && _dcos_files && return\n"
            "            at=$((at + 1))\n"
            "            ;;\n",
            buf_cstr(&values));
    for (size_t i = 0; i < c->n_children; i++) {
        const struct command *child = c->children[i];
        if (child->hidden)
            continue;
        buf_printf(out, "        %s) ", child->name);
        put_name(out, own, child->name);
        buf_puts(out, "; return ;;\n");
    }
    buf_puts(out, "        *) ;;\n"
                  "        esac\n"
                  "    done\n"
                  "    case \"$current\" in\n"
                  "    -*) _dcos_words \"");
    put_options(out, c, false);
    buf_puts(out, "\" ;;\n");
    buf_puts(out, "    *) ");
    if (c->n_children) {
        bool first = true;
        buf_puts(out, "_dcos_words \"");
        for (size_t i = 0; i < c->n_children; i++) {
            if (c->children[i]->hidden)
                continue;
            buf_printf(out, "%s%s", first ? "" : " ", c->children[i]->name);
            first = false;
        }
        buf_puts(out, "\"");
    } else if (c->words) {
        buf_printf(out, "_dcos_words \"$(%s 2>/dev/null)\"", c->words);
    } else if (c->max_args) {
        buf_puts(out, "_dcos_files");
    } else {
        buf_puts(out, ":");
    }
    buf_puts(out, " ;;\n    esac\n}\n\n");
}

static void put_functions(struct buf *out, const struct command *c, const char *own)
{
    for (size_t i = 0; i < c->n_children; i++) {
        const struct command *child = c->children[i];
        _cleanup_buf_ struct buf name = BUF_INIT;
        if (child->hidden)
            continue;
        put_name(&name, own, child->name);
        put_functions(out, child, buf_cstr(&name));
    }
    put_function(out, c, own);
}

void command_completion(const struct command *root, struct buf *out)
{
    _cleanup_buf_ struct buf own = BUF_INIT;
    put_name(&own, "", root->name);
    buf_printf(out,
        "# Completion for %s, in bash and in zsh: source <(%s completion bash)\n\n"
        "if [ -n \"${ZSH_VERSION:-}\" ]; then\n"
        "    autoload -U +X compinit && compinit -u\n"
        "    autoload -U +X bashcompinit && bashcompinit\n"
        "fi\n\n"
        "# Both leave what fits the word under the cursor in COMPREPLY.\n"
        "_dcos_words() {\n"
        "    local word\n"
        "    for word in $(echo \"$1\"); do\n"
        "        case \"$word\" in\n"
        "        \"$current\"*) COMPREPLY+=(\"$word\") ;;\n"
        "        esac\n"
        "    done\n"
        "}\n\n"
        "_dcos_files() {\n"
        "    COMPREPLY=($(compgen -f -- \"$current\"))\n"
        "}\n\n",
        root->name, root->name);
    put_functions(out, root, buf_cstr(&own));
    buf_printf(out,
        "%s_complete() {\n"
        "    local at=1 current=${COMP_WORDS[COMP_CWORD]}\n"
        "    COMPREPLY=()\n"
        "    %s\n"
        "}\n\n"
        "complete -o default -F %s_complete %s\n",
        buf_cstr(&own), buf_cstr(&own), buf_cstr(&own), root->name);
}
