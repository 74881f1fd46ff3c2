# SPDX-License-Identifier: GPL-2.0-or-later
"""viv with images and VMs of its own, for tests."""
import json
import os
import subprocess


class Store:
    """viv with a store of its own."""

    def __init__(self, viv, folder, timeout=120):
        self.viv = viv
        self.timeout = timeout
        self.folder = folder
        self.env = {**os.environ, "XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "config"),
                    "XDG_STATE_HOME": str(folder / "state")}
        self.data = folder / "data/viv"

    def try_run(self, *argv):
        return subprocess.run([self.viv, *map(str, argv)], env=self.env, capture_output=True, text=True,
                              cwd=self.folder, timeout=self.timeout)

    def run(self, *argv):
        done = self.try_run(*argv)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *argv):
        return json.loads(self.run(*argv, "--json"))

    def refused(self, *argv):
        """What it says; a line."""
        done = self.try_run(*argv)
        assert done.returncode in (1, 2), done.stdout
        assert done.stderr.startswith("viv: "), done.stderr
        return done.stderr
