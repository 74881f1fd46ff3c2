# SPDX-License-Identifier: GPL-2.0-or-later
"""A real VNC viewer on a screen of its own: what it shows, and what is typed into it."""
import os
import pathlib
import socket
import ssl
import struct
import subprocess
import time

import pytest

import media
from conftest import RUNTIME
from pc import PATIENCE, Pc


@pytest.fixture
def desktop():
    """An X server for viewers; the environment to reach it. Without -noreset it starts over when its last client has
    gone, which an xdotool often is, and then loses a viewer that is about to connect."""
    reader, writer = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(writer), "-screen", "0", "800x600x24", "-nolisten", "tcp",
                               "-noreset"], pass_fds=[writer], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(writer)
    with os.fdopen(reader) as answer:
        number = answer.readline().strip()
    yield {**os.environ, "DISPLAY": f":{number}"}
    server.terminate()
    server.wait()


def socket_of(name):
    return pathlib.Path(RUNTIME.name) / "viv" / f"{name}.vnc"


def xdotool(desktop, *words):
    return subprocess.run(["xdotool", *words], env=desktop, capture_output=True, text=True, timeout=PATIENCE).stdout


def find_window(desktop, viewer):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert viewer.poll() is None, "the viewer has ended"
        found = xdotool(desktop, "search", "--onlyvisible", "--name", "TigerVNC").split()
        if found:
            return found[-1]
        time.sleep(0.1)
    raise AssertionError("the viewer has no window")


def test_viewer(viv, tmp_path, desktop):
    """TigerVNC's viewer connects, and types into GRUB."""
    with Pc(viv, "vnc", "-m", "64M", "--cdrom", media.RESCUE_CD, "--display", "vnc") as pc:
        pc.wait("GNU GRUB")
        viewer = subprocess.Popen(["xtigervncviewer", "-ReconnectOnError=0", socket_of("vnc")], env=desktop)
        try:
            window = find_window(desktop, viewer)
            xdotool(desktop, "windowfocus", "--sync", window)
            xdotool(desktop, "key", "--window", window, "c")
            pc.wait("grub>")
            xdotool(desktop, "type", "--window", window, "echo Hello_from_VNC!")
            xdotool(desktop, "key", "--window", window, "Return")
            pc.wait("\nHello_from_VNC!")
        finally:
            viewer.terminate()
            viewer.wait()
        assert "grub>" in pc.text()
    assert not socket_of("vnc").exists()


def connect(name):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(PATIENCE)
    peer.connect(str(socket_of(name)))
    return peer


def read(peer, n):
    data = b""
    while len(data) < n:
        more = peer.recv(n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def test_password(viv, tmp_path):
    """RFB 3.8, 7.1.2: the server offers VNC authentication alone."""
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    with Pc(viv, "secret", "-m", "64M", "--firmware", "bios", "--display", "vnc", "--vnc-password", secret):
        assert oct(socket_of("secret").stat().st_mode & 0o777) == "0o600"
        with connect("secret") as peer:
            assert read(peer, 12) == b"RFB 003.008\n"
            peer.sendall(b"RFB 003.008\n")
            kinds = read(peer, read(peer, 1)[0])
            assert 2 in kinds and 1 not in kinds
            peer.sendall(bytes([2]))
            read(peer, 16)
            peer.sendall(bytes(16))
            assert struct.unpack(">I", read(peer, 4)) == (1,)


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    """A certificate for localhost, and a file of it and its key."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key", "-out", folder / "cert"],
                   check=True, capture_output=True)
    (folder / "both").write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return folder


def to_tls(name, pem, subtype):
    """VeNCrypt, by the RFB community's specification: the peer in its TLS session."""
    peer = connect(name)
    assert read(peer, 12) == b"RFB 003.008\n"
    peer.sendall(b"RFB 003.008\n")
    assert read(peer, 2) == bytes([1, 19])
    peer.sendall(bytes([19]))
    assert read(peer, 2) == bytes([0, 2])
    peer.sendall(bytes([0, 2]))
    assert read(peer, 2) == bytes([0, 1])
    assert struct.unpack(">I", read(peer, 4)) == (subtype,)
    peer.sendall(struct.pack(">I", subtype))
    assert read(peer, 1) == b"\1"
    return ssl.create_default_context(cafile=pem / "cert").wrap_socket(peer, server_hostname="localhost")


def test_tls(viv, pem):
    with Pc(viv, "tls", "-m", "64M", "--firmware", "bios", "--display", "vnc", "--vnc-tls", pem / "both"):
        for speech in (b"RFB 003.008\n\1", b"RFB 003.008\n\x13\0\2" + bytes(4), b"\x16\3\1" + b"\xff" * 4096):
            with connect("tls") as peer:
                peer.sendall(speech)
        with to_tls("tls", pem, 260) as peer:
            assert read(peer, 4) == bytes(4)
            peer.sendall(bytes([1]))
            assert struct.unpack(">HH", read(peer, 4))[0] >= 640
        # What stays silent in the session, and is closed with the VM.
        silent = to_tls("tls", pem, 260)
    silent.close()


def test_tls_password(viv, pem, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("hush\n")
    with Pc(viv, "both", "-m", "64M", "--firmware", "bios", "--display", "vnc", "--vnc-tls", pem / "both",
            "--vnc-password", secret):
        with to_tls("both", pem, 261) as peer:
            read(peer, 16)
            peer.sendall(bytes(16))
            assert struct.unpack(">I", read(peer, 4)) == (1,)


def test_tls_viewer(viv, pem, desktop, tmp_path):
    """TigerVNC's viewer, which takes nothing but this certificate."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Pc(viv, "real", "-m", "64M", "--cdrom", media.RESCUE_CD, "--display", f"vnc:tcp:127.0.0.1:{port}",
            "--vnc-tls", pem / "both") as pc:
        pc.wait("GNU GRUB")
        viewer = subprocess.Popen(["xtigervncviewer", "-ReconnectOnError=0", "-SecurityTypes=X509None",
                                   f"-X509CA={pem / 'cert'}", f"localhost::{port}"],
                                  env={**desktop, "HOME": str(tmp_path)})
        try:
            window = find_window(desktop, viewer)
            xdotool(desktop, "windowfocus", "--sync", window)
            xdotool(desktop, "key", "--window", window, "c")
            pc.wait("grub>")
        finally:
            viewer.terminate()
            viewer.wait()


def test_size_at_first(viv):
    """A viewer hears the size that the screen has, not the one that it had when nobody looked."""
    with Pc(viv, "size", "-m", "64M", "--cdrom", media.RESCUE_CD, "--display", "vnc") as pc:
        pc.wait("GNU GRUB")
        peer, *size = handshake("size")
        with peer:
            assert size == [720, 400]


def test_hostile_peers(viv):
    """Nonsense ends the peer that speaks it, and nothing else."""
    with Pc(viv, "hostile", "-m", "64M", "--cdrom", media.RESCUE_CD, "--display", "vnc") as pc:
        for speech in (b"GET / HTTP/1.0\r\n\r\n", b"RFB 003.008\n\x01\x01" + b"\xff" * 4096, b""):
            with connect("hostile") as peer:
                peer.sendall(speech)
        pc.wait("GNU GRUB")
        with connect("hostile") as peer:
            assert read(peer, 12) == b"RFB 003.008\n"


@pytest.mark.slow
def test_silent_peers(viv):
    """Those that say nothing lose their places to one that does."""
    with Pc(viv, "silent", "-m", "64M", "--firmware", "bios", "--display", "vnc"):
        silent = []
        try:
            for _ in range(8):
                silent.append(connect("silent"))
                read(silent[-1], 12)
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    handshake("silent")[0].close()
                    break
                except (EOFError, ConnectionError):
                    assert time.monotonic() < deadline
                    time.sleep(0.5)
        finally:
            for peer in silent:
                peer.close()


KEY_DOWN = 0xff54
GTK_CONFIG = "DEFAULT install\nLABEL install\n KERNEL /linux\n APPEND initrd=/initrd.gz vga=788 ---\n"


def handshake(name):
    """RFC 6143, 7.1 to 7.3, without a password; the peer, and the size of the screen."""
    peer = connect(name)
    read(peer, 12)
    peer.sendall(b"RFB 003.008\n")
    read(peer, read(peer, 1)[0])
    peer.sendall(bytes([1]))
    assert read(peer, 4) == bytes(4)
    peer.sendall(bytes([1]))
    width, height = struct.unpack(">HH", read(peer, 4))
    read(peer, 16)
    read(peer, struct.unpack(">I", read(peer, 4))[0])
    return peer, width, height


def press(peer, keysym):
    for down in (1, 0):
        peer.sendall(struct.pack(">BBxxI", 4, down, keysym))


def settle(pc, shot, until):
    """The screen, once it fits and does not change any more."""
    deadline, before = time.monotonic() + 300, None
    while time.monotonic() < deadline:
        now = pc.screenshot(shot)
        if before and now.rows == before.rows and until(now):
            return now
        before = now
        time.sleep(2)
    raise AssertionError("the screen did not come to what was waited for")


@pytest.mark.boot
@pytest.mark.slow
def test_graphical_installer(viv, tmp_path):
    """Debian's installer asks its first question in its graphical form, and obeys a key that comes by VNC."""
    folder = media.installer("gtk")
    cd = media.isolinux_cd(tmp_path, {"linux": folder / "linux", "initrd.gz": folder / "initrd.gz"}, GTK_CONFIG)
    shot = tmp_path / "shot.png"
    with Pc(viv, "gtk", "-m", "1G", "--cdrom", cd, "--display", "vnc") as pc:
        # A list of languages, one selected: white, and darker than the window's background.
        first = settle(pc, shot, lambda picture: picture.colours()[0][0] == (255, 255, 255))
        peer, width, height = handshake("gtk")
        with peer:
            assert (width, height) == (first.width, first.height)
            press(peer, KEY_DOWN)
            settle(pc, shot, lambda picture: picture.rows != first.rows)
