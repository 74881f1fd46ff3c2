# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets between the host and a Linux guest (virtio-vsock)."""
import hashlib
import os
import socket
import subprocess
import threading

import pytest

from conftest import ROOT
from test_boot import start

pytestmark = pytest.mark.boot


@pytest.fixture(scope="module")
def helper(tmp_path_factory):
    """The guest's program, as a disk that holds it."""
    program = tmp_path_factory.mktemp("vsock") / "vsock"
    subprocess.run(["gcc", "-O2", "-static", "-s", "-o", program, ROOT / "tests/e2e/vsock.c"], check=True)
    program.write_bytes(program.read_bytes() + bytes(-program.stat().st_size % 512))
    return program


def start_guest(viv, helper, *options):
    guest = start(viv, "cloud", "--disk", f"{helper},ro", *options)
    guest.run("cat /dev/vda >/bin/vsock && chmod +x /bin/vsock")
    return guest


def test_host_to_guest(viv, helper):
    """By `viv vsock`, by which anything can go: here a file in each direction, with its end."""
    data = os.urandom(3 << 20)
    with start_guest(viv, helper, "--name", "sockets", "--vsock", "3") as guest:
        guest.send("cat /bin/vsock | vsock listen 5000 >/tmp/got; echo ENDED\n")
        guest.expect("listening")
        ran = subprocess.run([viv, "vsock", "sockets", "5000"], input=data, capture_output=True, timeout=60)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout == helper.read_bytes()
        guest.expect("ENDED")
        assert hashlib.md5(data).hexdigest() in guest.run("md5sum /tmp/got")
        # Nobody listens; no such VM; no port.
        ran = subprocess.run([viv, "vsock", "sockets", "5001"], input=b"", capture_output=True, timeout=60)
        assert ran.returncode == 1 and b"5001" in ran.stderr and b"listen" in ran.stderr
        for name, port, text in (("nobody", "1", b"nobody"), ("sockets", "x", b"'x'")):
            ran = subprocess.run([viv, "vsock", name, port], input=b"", capture_output=True, timeout=60)
            assert ran.returncode == 2 and text in ran.stderr


def test_guest_to_host(viv, helper, tmp_path):
    """To whoever listens at PATH_PORT."""
    got = []

    def serve(listener):
        peer = listener.accept()[0]
        with peer:
            peer.sendall(b"welcome\n")
            while data := peer.recv(65536):
                got.append(data)
            peer.sendall(b"thanks\n")

    with start_guest(viv, helper, "--vsock", f"99,{tmp_path}/v") as guest, \
            socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{tmp_path}/v_70")
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        text = guest.run("cat /bin/vsock | vsock connect 70")
        assert "welcome" in text and "thanks" in text
        thread.join()
        assert b"".join(got) == helper.read_bytes()
        assert "connect: Connection reset by peer" in guest.run("! vsock connect 71 2>&1")
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0
    assert not (tmp_path / "v").exists()
