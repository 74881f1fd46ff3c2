# SPDX-License-Identifier: GPL-2.0-or-later
import os
import pathlib
import subprocess
import tempfile

import pytest

from guest import Guest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("VIV_BUILD", ROOT / "build"))
PM1A_CNT = 0x604
# Unpacked kernels are not the user's business here.
os.environ["XDG_CACHE_HOME"] = str(BUILD / "cache")
# Nor are running VMs. A socket's path is short, and a build's may be long.
RUNTIME = tempfile.TemporaryDirectory(prefix="viv-")
os.environ["XDG_RUNTIME_DIR"] = RUNTIME.name


def pytest_configure(config):
    config.addinivalue_line("markers", "boot: boots Linux; too slow under sanitizers")
    config.addinivalue_line("markers", "narrow: little address space; sanitizers need terabytes")
    config.addinivalue_line("markers", "slow: takes minutes; run by ./dev test --slow")


@pytest.fixture(scope="session")
def viv():
    return str(BUILD / "src/cli/viv")


@pytest.fixture(scope="session")
def monitor(tmp_path_factory):
    """The guest of monitor.S, as an ELF kernel."""
    kernel = tmp_path_factory.mktemp("monitor") / "monitor"
    subprocess.run(["gcc", "-nostdlib", "-static", "-Wl,-Ttext=0x200000", "-Wl,--build-id=none",
                    f"-DPM1A_CNT={PM1A_CNT}", "-o", kernel, ROOT / "tests/e2e/monitor.S"],
                   check=True)
    return str(kernel)


@pytest.fixture
def start_monitor(viv, monitor):
    """Starts the monitor with these options, and waits until it listens."""
    guests = []

    def start(*options, tty=False):
        guest = Guest([viv, "run", "--kernel", monitor, "-m", "64M", *options], tty=tty)
        guests.append(guest)
        guest.expect("ready\r\n")
        return guest

    yield start
    for guest in guests:
        guest.__exit__()
