# SPDX-License-Identifier: GPL-2.0-or-later
"""A virtio console, named ports and the guest's agent in a Linux guest (virtio-console)."""
import fcntl
import hashlib
import json
import signal
import socket
import struct
import subprocess
import termios
from urllib.parse import quote

import pytest

from guest import Guest
from pc import PATIENCE
from test_boot import GUEST, start

pytestmark = pytest.mark.boot
# Where a port is, by its name.
FIND = "d=$(grep -l '^{}$' /sys/class/virtio-ports/*/name); d=${{d%/name}}; echo /dev/${{d##*/}}"
# As much of the QEMU guest agent as there needs to be.
AGENT = r"""
while :; do
    # While nobody is at the other end there is nothing to read.
    read line || { sleep 0.1; continue; }
    case $line in
    *guest-sync*) id=${line##*: }; echo '{"return": '${id%%\}*}'}' ;;
    *guest-ping*) echo '{"return": {}}' ;;
    ?*) echo '{"error": {"class": "CommandNotFound", "desc": "no such command"}}' ;;
    esac
done
"""


def test_console(viv):
    """hvc0 on a terminal, which has a size, and then another."""
    command = quote("exec sh -i </dev/hvc0 >/dev/hvc0 2>&1")
    with Guest([viv, "run", "--kernel", GUEST / "cloud/vmlinuz", "--initrd", GUEST / "cloud/initrd.gz",
                "--append", f"console=ttyS0 viv_cmd={command}", "--hvc", "stdio"], tty=True) as guest:
        set_size(guest, 33, 111)
        guest.expect("/ # ")
        assert "33 111" in guest.run("stty size")
        set_size(guest, 44, 122)
        guest.process.send_signal(signal.SIGWINCH)
        assert "44 122" in guest.run("sleep 1; stty size")
        guest.send("poweroff -f\n")
        assert guest.process.wait(PATIENCE) == 0


def set_size(guest, rows, columns):
    fcntl.ioctl(guest.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def test_ports(viv, tmp_path):
    with start(viv, "cloud", "--port", f"org.test.port=unix:{tmp_path}/p", "--port", f"log=file:{tmp_path}/log",
               "--hvc", f"unix:{tmp_path}/hvc") as guest:
        port = guest.run(FIND.format("org.test.port")).splitlines()[-1]
        log = guest.run(FIND.format("log")).splitlines()[-1]
        assert port.startswith("/dev/vport") and log.startswith("/dev/vport") and port != log
        with socket.socket(socket.AF_UNIX) as host:
            host.connect(f"{tmp_path}/p")
            host.sendall(b"hello guest\n")
            assert "hello guest" in guest.run(f"head -n 1 {port}")
            guest.run(f"dd if=/bin/busybox of={port} bs=16k count=50 2>/dev/null & sleep 1")
            got = b""
            while len(got) < 50 * 16384:
                got += host.recv(65536)
            guest.run("dd if=/bin/busybox bs=16k count=50 2>/dev/null | md5sum")
            assert hashlib.md5(got).hexdigest() in guest.output.decode()
        guest.run(f"echo logged >{log}")
        with socket.socket(socket.AF_UNIX) as console:
            console.connect(f"{tmp_path}/hvc")
            guest.run("(head -n 1 </dev/hvc0 >/tmp/got; echo over hvc >/dev/hvc0) & sleep 1")
            console.sendall(b"typed\n")
            text = b""
            while b"over hvc" not in text:
                text += console.recv(4096)
            assert "typed" in guest.run("cat /tmp/got")
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0
    assert (tmp_path / "log").read_text() == "logged\n"


def ask(viv, *arguments):
    return subprocess.run([viv, "agent", *arguments], capture_output=True, text=True, timeout=60)


def test_agent(viv, tmp_path):
    (tmp_path / "agent").write_text(AGENT.ljust(512, "\n"))
    with start(viv, "cloud", "--name", "asked", "--agent", "--disk", f"{tmp_path}/agent,ro") as guest:
        ran = ask(viv, "asked", '{"execute": "guest-ping"}', "--timeout", "1")
        assert ran.returncode == 1 and "qemu-guest-agent" in ran.stderr
        ran = ask(viv, "asked", "ping")
        assert ran.returncode == 2 and "guest-ping" in ran.stderr
        port = guest.run(FIND.format("org.qemu.guest_agent.0")).splitlines()[-1]
        guest.run(f"(sh /dev/vda <>{port} >&0 &)")
        ran = ask(viv, "asked", '{"execute": "guest-ping"}')
        assert (ran.returncode, json.loads(ran.stdout)) == (0, {"return": {}})
        ran = ask(viv, "asked", '{"execute": "guest-frob"}')
        assert ran.returncode == 1 and json.loads(ran.stdout)["error"]["desc"] == "no such command"
