"""Files as C definitions of struct installer_text, see texts.h. Usage: embed.py OUTPUT FILE..."""

import os
import re
import sys


def literal(data):
    """Strings of at most some hundred bytes; octal escapes end after three digits, so nothing can follow on."""
    out = []
    for i in range(0, len(data), 64):
        piece = data[i : i + 64]
        out.append('    "' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}" for b in piece) + '"')
    return "\n".join(out) or '    ""'


def main(output, files):
    parts = ['#include "installer/texts.h"\n']
    for path in files:
        with open(path, "rb") as f:
            data = f.read()
        name = os.path.basename(path)
        symbol = "text_" + re.sub("[^a-z0-9]", "_", name.lower())
        parts.append(f'const struct installer_text {symbol} = {{"{name}",\n{literal(data)},\n    {len(data)}}};\n')
    with open(output, "w") as f:
        f.write("\n".join(parts))


main(sys.argv[1], sys.argv[2:])
