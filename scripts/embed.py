"""Files as C strings: embed.py OUTPUT ARRAY FILE..., an array of {name, text} sorted by name."""

import os
import sys


def literal(data):
    lines = []
    for line in data.decode("utf-8").splitlines(keepends=True):
        out = ""
        for byte in line.encode("utf-8"):
            char = chr(byte)
            if char in '"\\?':
                out += "\\" + char
            elif 32 <= byte < 127:
                out += char
            else:
                out += f"\\{byte:03o}"
        lines.append(f'     "{out}"')
    return "\n".join(lines) or '     ""'


def main():
    output, array, *files = sys.argv[1:]
    with open(output, "w", encoding="ascii") as f:
        f.write("/* Made by scripts/embed.py. */\n\n#include \"base/embed.h\"\n\n")
        f.write(f"const struct embedded {array}[] = {{\n")
        for path in sorted(files, key=os.path.basename):
            with open(path, "rb") as source:
                f.write(f"    {{\"{os.path.basename(path)}\",\n{literal(source.read())}}},\n")
        f.write(f"    {{NULL, NULL}},\n}};\n")


main()
