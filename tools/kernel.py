# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel's modules."""
import lzma
import re


def modinfo(path):
    """The tags of a module: name=value strings, each ended by a zero."""
    data = path.read_bytes()
    if path.suffix == ".xz":
        data = lzma.decompress(data)
    tags = {}
    for tag, value in re.findall(rb"\0?(alias|depends)=([^\0]*)\0", data):
        tags.setdefault(tag.decode(), []).append(value.decode(errors="replace"))
    return tags


class Modules:
    """The wanted modules of a kernel, with what they depend on, for modprobe."""

    def __init__(self, root, wanted):
        self.root = root
        self.paths = {self.name(path): path for path in root.rglob("*.ko*")}
        self.info = {}
        for name in wanted:
            self.add(name)

    @staticmethod
    def name(path):
        return path.name.partition(".")[0].replace("-", "_")

    def add(self, name):
        if name in self.paths and name not in self.info:  # else built in, or seen
            self.info[name] = modinfo(self.paths[name])
            for other in self.depends(name):
                self.add(other)

    def depends(self, name):
        names = ",".join(self.info[name].get("depends", [])).split(",")
        return [n.replace("-", "_") for n in names if n.replace("-", "_") in self.paths]

    def closure(self, name):
        """Dependencies, each before those that it needs itself: the order of modules.dep."""
        order = []
        for other in self.depends(name):
            order += [other] + self.closure(other)
        return list(dict.fromkeys(reversed(order)))[::-1]

    def relative(self, name):
        return str(self.paths[name].relative_to(self.root))

    def dep(self):
        return "".join(f"{self.relative(n)}: {' '.join(map(self.relative, self.closure(n)))}\n"
                       for n in sorted(self.info))

    def alias(self):
        return "".join(f"alias {pattern} {name}\n" for name in sorted(self.info)
                       for pattern in self.info[name].get("alias", []))
