# SPDX-License-Identifier: GPL-2.0-or-later
"""Networks as a guest and its user see them: user mode, private ones, firewall, capture."""
import functools
import hashlib
import http.server
import json
import os
import re
import socket
import struct
import subprocess
import threading
import time
import urllib.request

import pytest

from conftest import ROOT
from guest import Guest

GUEST = ROOT / "build/guest/generic"
FOUND_BY = "nettest"

boot = pytest.mark.boot
# What udhcpc has set up by.
DHCP_SCRIPT = r"""printf '#!/bin/sh\n[ "$1" = bound ] && ip addr add $ip/$mask dev $interface &&
ip route add default via $router\n[ "$1" = bound ] && echo "$domain $search" >/tmp/domain\nexit 0\n' >/tmp/dhcp"""


@pytest.fixture
def www(tmp_path):
    """A server on the host's loopback; its address and what it serves."""
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "file").write_bytes(os.urandom(2 << 20))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                             functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], (folder / "file").read_bytes()
    server.shutdown()
    server.server_close()


@pytest.fixture
def start(viv):
    guests = []

    def start(*options):
        guest = Guest([viv, "run", "--kernel", GUEST / "vmlinuz", "--initrd", GUEST / "initrd.gz",
                       *options])
        guests.append(guest)
        return guest

    yield start
    for guest in guests:
        guest.__exit__()


def ready(guest):
    guest.expect("/ # ", timeout=300)
    guest.run("dmesg -n 1")
    return guest


def get_address(guest):
    """By DHCP, and IPv6 by the router's advertisement."""
    guest.run(DHCP_SCRIPT + "; chmod +x /tmp/dhcp; ip link set eth0 up")
    guest.run("udhcpc -i eth0 -n -q -f -s /tmp/dhcp")


def finish(guest):
    guest.send("poweroff\n")
    status, _, errors = guest.finish()
    assert status == 0, errors


def ask(viv, *words):
    run = subprocess.run([viv, *words], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return run.stdout


@boot
@pytest.mark.parametrize("model, more", [
    ("virtio", ["--no-spoof"]),  # which it does not do
    ("e1000", []),
    ("rtl8139", []),
])
def test_user(viv, start, www, tmp_path, model, more):
    """DHCP; a file through the gateway's address; a forward into the guest; the capture of it all."""
    port, data = www
    capture = tmp_path / "capture"
    guest = ready(start("--net", f"user,model={model},domain=example.org", "-p", "0:8080", "--name",
                        FOUND_BY, "--pcap", capture, *more))
    get_address(guest)
    assert "inet 10.0.2.15/24" in guest.run("ip addr show eth0")
    assert "example.org" in guest.run("cat /tmp/domain")
    guest.run(f"wget -q -O /tmp/file http://10.0.2.2:{port}/file", timeout=120)
    assert hashlib.md5(data).hexdigest() in guest.run("md5sum /tmp/file")
    guest.run("ping -c 1 -W 5 10.0.2.2")
    # The server in the guest, by the port that was chosen.
    guest.run("httpd -p 8080 -h /tmp")
    host_port = re.search(r"127\.0\.0\.1:(\d+) -> 8080/tcp", ask(viv, "net", FOUND_BY))[1]
    with urllib.request.urlopen(f"http://127.0.0.1:{host_port}/file", timeout=60) as answer:
        assert answer.read() == data
    # IPv6, by the router's advertisement.
    assert guest.run("for i in 1 2 3 4 5 6 7 8 9; do ip addr show eth0 | grep -q 'fec0::.*scope site $' &&"
                     " break; sleep 1; done; ping -6 -c 1 -W 5 fec0::2")
    assert re.search(r"[1-9]\d* passed .* 0 malformed 0 spoofed", ask(viv, "firewall", FOUND_BY))
    ask(viv, "pcap", FOUND_BY, "off")
    finish(guest)
    frames = read_capture(capture)
    assert {frame[12:14] for frame in frames} >= {b"\x08\x00", b"\x08\x06", b"\x86\xdd"}
    assert any(b"GET /file" in frame for frame in frames)


def read_capture(path):
    """The frames of a pcapng file."""
    data, frames, at = path.read_bytes(), [], 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == 6:
            captured, = struct.unpack_from("<I", data, at + 20)
            frames.append(data[at + 28:at + 28 + captured])
        at += length
    assert at == len(data)
    return frames


@boot
def test_restricted(start, www):
    port, _ = www
    guest = ready(start("--net", "user,restrict=on"))
    get_address(guest)
    assert "failed" in guest.run(f"wget -q -T 3 -O - http://10.0.2.2:{port}/file || echo failed")
    finish(guest)


@boot
def test_private(viv, start):
    """Two machines ping each other; rules that come while they run count."""
    guests = [start("--net", "private=office", "--name", f"{FOUND_BY}{i}") for i in range(2)]
    for i, guest in enumerate(guests):
        ready(guest)
        guest.run(f"ip addr add 192.0.2.{i + 1}/24 dev eth0; ip link set eth0 up")
    first, second = guests
    second.run("ping -c 3 -W 10 192.0.2.1")
    first.run("ping -c 3 -W 10 192.0.2.2")
    assert "office" in ask(viv, "net", f"{FOUND_BY}0") and "1 peers" in ask(viv, "net", f"{FOUND_BY}0")
    second.run("(nc -l -p 22 -e cat &) ; (nc -l -p 23 -e cat &)")
    subprocess.run([viv, "firewall", f"{FOUND_BY}0", "-"], input="default-deny\nallow out:tcp:22\n",
                   text=True, check=True)
    assert "failed" in first.run("ping -c 1 -W 2 192.0.2.2 || echo failed")
    assert "failed" in second.run("ping -c 1 -W 2 192.0.2.1 || echo failed")
    assert "hello" in first.run("echo hello | nc -w 5 192.0.2.2 22")
    assert "hello" not in first.run("echo 'h''ello' | nc -w 2 192.0.2.2 23 || true").split("\n", 1)[1]
    shown = ask(viv, "firewall", f"{FOUND_BY}0")
    assert shown.startswith("default-deny\n")
    assert re.search(r"allow out:tcp:22 +# net0: [1-9]", shown)
    for guest in guests:
        finish(guest)


# A network of the test's own, and a server in it.
NAMESPACE = """
set -e
ip tuntap add dev tap7 mode tap
ip addr add 192.0.2.1/24 dev tap7
ip link set lo up
ip link set tap7 up
python3 -m http.server --bind 192.0.2.1 --directory "$1" 8000 >/dev/null 2>&1 &
shift
exec "$@"
"""


@boot
@pytest.mark.skipif(subprocess.run(["unshare", "-Urnpf", "test", "-w", "/dev/net/tun"]).returncode != 0,
                    reason="no network namespaces here, or no /dev/net/tun")
@pytest.mark.parametrize("model", ["virtio", "e1000"])
def test_tap(viv, www, tmp_path, model):
    """A given interface, whose kernel sends and takes 64 KiB at once."""
    _, data = www
    argv = ["unshare", "-Urnpf", "--kill-child", "sh", "-c", NAMESPACE, "sh", tmp_path / "www", viv, "run", "--kernel",
            GUEST / "vmlinuz", "--initrd", GUEST / "initrd.gz", "--net", f"tap,ifname=tap7,model={model}"]
    with Guest(argv) as guest:
        ready(guest)
        guest.run("ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up; ping -c 1 -W 60 192.0.2.1")
        guest.run("wget -q -O /tmp/file http://192.0.2.1:8000/file", timeout=120)
        assert hashlib.md5(data).hexdigest() in guest.run("md5sum /tmp/file")
        finish(guest)


@boot
def test_no_spoof(viv, start):
    """A guest that takes another's address, or MAC, is not heard."""
    guests = [start("--net", f"private=lab,ip=192.0.2.{i + 1}", "--no-spoof", "--name", f"{FOUND_BY}{i}")
              for i in range(2)]
    for i, guest in enumerate(guests):
        ready(guest)
        guest.run(f"ip addr add 192.0.2.{i + 1}/24 dev eth0; ip link set eth0 up")
    first, second = guests
    first.run("ping -c 1 -W 60 192.0.2.2")
    first.run("ip addr add 192.0.2.77/24 dev eth0")
    assert "failed" in first.run("ping -c 1 -W 2 -I 192.0.2.77 192.0.2.2 || echo failed")
    first.run("ip link set eth0 down; ip link set eth0 address 52:54:00:00:00:77; ip link set eth0 up")
    assert "failed" in first.run("ping -c 1 -W 2 192.0.2.2 || echo failed")
    assert re.search(r"[1-9]\d* spoofed", ask(viv, "firewall", f"{FOUND_BY}0"))
    assert "192.0.2.77" not in second.run("ip neigh")
    for guest in guests:
        finish(guest)


@boot
def test_rate(start, www):
    port, _ = www
    guest = ready(start("--net", "user,rate=8M"))
    get_address(guest)
    begin = time.monotonic()
    guest.run(f"wget -q -O /dev/null http://10.0.2.2:{port}/file", timeout=120)
    # Two megabytes at one a second.
    assert time.monotonic() - begin > 1.7
    finish(guest)


@boot
@pytest.mark.parametrize("model", ["virtio", "e1000"])
def test_boot_from_net(viv, www, tmp_path, model):
    """iPXE asks DHCP and TFTP for a script, and HTTP for a kernel."""
    port, _ = www
    served = tmp_path / "www"
    for name in "vmlinuz", "initrd.gz":
        (served / name).symlink_to(GUEST / name)
    (served / "boot.ipxe").write_text(
        f"#!ipxe\nkernel http://10.0.2.2:{port}/vmlinuz initrd=initrd.gz console=ttyS0\n"
        f"initrd http://10.0.2.2:{port}/initrd.gz\nboot\n")
    with Guest([viv, "run", "--boot", "net", "--net",
                f"user,model={model},tftp={served},bootfile=boot.ipxe"]) as guest:
        guest.expect("boot.ipxe.*ok")
        ready(guest)
        finish(guest)


@pytest.mark.parametrize("options, cards", [
    ("--disk {disk}", "user"),
    ("--firmware uefi --cdrom {disk}", "user"),
    ("--firmware uefi", ""),
    ("--firmware uefi -p 0:22", "user"),
    ("--disk {disk} --net none", "none"),
    ("--kernel {kernel} --disk {disk}", ""),
    ("--kernel {kernel} -p 0:22", "user"),
])
def test_default(viv, monitor, tmp_path, options, cards):
    """Who boots from a disk has a network."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    words = options.format(disk=disk, kernel=monitor).split()
    subprocess.run([viv, "run", "--detach", "--name", FOUND_BY, "-m", "64M", *words], check=True,
                   stdout=subprocess.DEVNULL)
    try:
        found = ask(viv, "net", FOUND_BY)
    finally:
        ask(viv, "kill", FOUND_BY)
    assert [line.split()[1] for line in found.splitlines() if line.startswith("net")] == cards.split()


def test_port_in_use(viv, monitor):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        run = subprocess.run([viv, "run", "--kernel", monitor, "-m", "64M", "-p", f"{port}:22"],
                             capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1 and f"port {port}" in run.stderr and "in use" in run.stderr


def test_verbs(viv, start_monitor, tmp_path):
    """On a machine whose guest knows of no card."""
    rules = tmp_path / "rules"
    rules.write_text("default-deny\nallow in:tcp:22 # ssh\nno-spoof\n")
    start_monitor("--name", FOUND_BY, "--net", "user", "--net", "none,model=ne2k", "-p",
                  "0:53/udp", "--firewall", str(rules))
    assert re.fullmatch(r"net0  user  virtio  52:54:00(:[0-9a-f]{2}){3}  10.0.2.15\n"
                        r"      127.0.0.1:\d+ -> 53/udp\n"
                        r"net1  none  ne2k  52:54:00(:[0-9a-f]{2}){3}\n", ask(viv, "net", FOUND_BY))
    assert ask(viv, "firewall", FOUND_BY).splitlines()[:2] == ["default-deny", "no-spoof"]
    rules.write_text("allow in:tcp:x\n")
    run = subprocess.run([viv, "firewall", FOUND_BY, rules], capture_output=True, text=True)
    assert run.returncode == 2 and "line 1: 'x' is no port" in run.stderr
    assert "allow in:tcp:22" in ask(viv, "firewall", FOUND_BY)
    rules.write_text("")
    ask(viv, "firewall", FOUND_BY, rules)
    assert ask(viv, "firewall", FOUND_BY).startswith("default-allow\n# net0: 0 passed")
    assert ask(viv, "pcap", FOUND_BY) == "off  0 frames  0 dropped\n"
    capture = tmp_path / "capture"
    assert f"{capture}  0 frames" in ask(viv, "pcap", FOUND_BY, str(capture))
    ask(viv, "pcap", FOUND_BY, "off")
    assert capture.stat().st_size > 28 + 20
    answer = subprocess.run([viv, "monitor", "--json", FOUND_BY], input='{"execute": "net"}\n',
                            capture_output=True, text=True, check=True).stdout
    status = json.loads(answer)["return"]
    assert [card["kind"] for card in status["cards"]] == ["user", "none"]
