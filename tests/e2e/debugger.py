# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's gdb, run on viv's --gdb with commands of a test."""
import subprocess
import tempfile

# viv listens a moment after it was started.
SCRIPT = """
set confirm off
set pagination off
set width 0
set tcp auto-retry on
python
import os, time
while not os.path.exists("{remote}") and ":" not in "{remote}": time.sleep(0.01)
end
target remote {remote}
"""


def run_gdb(remote, program, commands, timeout):
    """gdb on `program`, which runs at `remote`, a path or HOST:PORT; gives what subprocess.run() does."""
    # gdb takes no script from its standard input.
    with tempfile.NamedTemporaryFile("w", suffix=".gdb") as script:
        script.write(SCRIPT.format(remote=remote))
        script.flush()
        return subprocess.run(["gdb", "-nx", "-batch", "-x", script.name,
                               *(word for command in commands for word in ("-ex", command)),
                               program],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout)
