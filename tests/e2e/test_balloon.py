# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that a Linux guest gives back (virtio-balloon)."""
import json
import re
import subprocess
import time

import pytest

from pc import PATIENCE
from test_boot import start

pytestmark = pytest.mark.boot
MIB = 1 << 20


def balloon(viv, *words):
    ran = subprocess.run([viv, "balloon", "--json", "elastic", *words], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def resident(guest):
    """What the host has given the VM's process, shared memory alone: that is the guest's RAM."""
    with open(f"/proc/{guest.process.pid}/status") as status:
        return int(re.search(r"RssShmem:\s+(\d+) kB", status.read())[1]) << 10


def wait_for(condition, what):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def test_balloon(viv):
    with start(viv, "cloud", "-m", "512M", "--name", "elastic", "--balloon") as guest:
        guest.run("modprobe virtio_balloon")
        wait_for(lambda: balloon(viv)["driver"], "no driver")
        state = balloon(viv)
        assert (state["target"], state["actual"]) == (512 * MIB, 512 * MIB)
        assert 400 * MIB < state["statistics"]["total"] < 512 * MIB
        # What is used and freed again is reported, and the host's again.
        guest.run("dd if=/dev/zero of=/tmp/much bs=1M count=200")
        full = resident(guest)
        assert full > 250 * MIB
        guest.run("rm /tmp/much")
        wait_for(lambda: resident(guest) < full - 150 * MIB, "unused pages are not given back")
        assert balloon(viv)["reported"] > 150 * MIB
        # Inflated.
        balloon(viv, "256M")
        wait_for(lambda: balloon(viv)["actual"] == 256 * MIB, "not inflated")
        assert resident(guest) < 256 * MIB
        assert balloon(viv)["statistics"]["available"] < 256 * MIB
        # Deflated, and all of it is good memory.
        balloon(viv, "512M")
        wait_for(lambda: balloon(viv)["actual"] == 512 * MIB, "not deflated")
        guest.run("dd if=/dev/urandom of=/tmp/a bs=1M count=90 && cp /tmp/a /tmp/b && cmp /tmp/a /tmp/b")
        # More than there is: the guest takes it back.
        guest.run("rm /tmp/a /tmp/b")
        balloon(viv, "80M")
        wait_for(lambda: balloon(viv)["actual"] < 140 * MIB, "not inflated")
        guest.run("dd if=/dev/zero of=/tmp/much bs=1M count=150")
        assert balloon(viv)["actual"] > 150 * MIB
        ran = subprocess.run([viv, "balloon", "elastic", "1M"], capture_output=True, text=True, timeout=60)
        assert ran.returncode == 2 and "64M" in ran.stderr
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0
