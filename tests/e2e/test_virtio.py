# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's drivers of virtio devices, on both kinds of rings."""
import hashlib
import os
import subprocess
import time

import pytest

from guest import Guest
from test_boot import bad_news, start

pytestmark = pytest.mark.boot
PACKED = 34  # the feature bit


@pytest.mark.parametrize("rings", ["packed", "split"])
def test_disk_queues(viv, tmp_path, rings):
    """A queue a processor, and all of them at once."""
    disk, parts = tmp_path / "disk", 3
    content = [os.urandom(1 << 20) for _ in range(parts)]
    disk.write_bytes(b"".join(content) + bytes(parts << 20))
    with start(viv, "cloud", "--cpus", str(parts), "--disk", disk, "--virtio-rings", rings) as guest:
        features = guest.run("cat /sys/block/vda/device/features").split()[-1]
        assert features[PACKED] == str(int(rings == "packed"))
        assert guest.run("ls /sys/block/vda/mq | wc -l").split()[-1] == str(parts)
        guest.run(f"for i in 0 1 2; do taskset $((1 << i)) dd if=/dev/vda of=/dev/vda bs=4k count=256 "
                  f"skip=$((256 * i)) seek=$((256 * (i + {parts}))) conv=fsync 2>/dev/null & done; wait")
        guest.run("echo 3 >/proc/sys/vm/drop_caches")
        for i, part in enumerate(content):
            assert hashlib.md5(part).hexdigest() in guest.run(
                f"dd if=/dev/vda bs=1M count=1 skip={i + parts} 2>/dev/null | md5sum")
        assert bad_news(guest.run("dmesg")) == []
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0
    assert disk.read_bytes() == b"".join(content) * 2


def test_mtu(viv):
    """A network of small packets tells its card, and that its driver."""
    with start(viv, "cloud", "--net", "user,mtu=1400") as guest:
        assert guest.run("cat /sys/class/net/eth0/mtu").split()[-1] == "1400"
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0


@pytest.mark.parametrize("rings", ["split", "packed"])
def test_network(viv, tmp_path, rings):
    """Two machines whose cards do all that Linux knows: a pair of queues a processor, segments and checksums
    left to the card, large packets and small ones, another address, promiscuous or not."""
    content = os.urandom(8 << 20)
    (tmp_path / "disk").write_bytes(content)
    network = ["--cpus", "2", "--virtio-rings", rings, "--net", f"private=virtio-{os.getpid()}"]
    with start(viv, "cloud", *network, "--disk", tmp_path / "disk") as a, start(viv, "cloud", *network) as b:
        for i, guest in enumerate((a, b), 1):
            features = guest.run("cat /sys/class/net/eth0/device/features").split()[-1]
            assert features[PACKED] == str(int(rings == "packed"))
            assert guest.run("ls -d /sys/class/net/eth0/queues/rx-* | wc -l").split()[-1] == "2"
            guest.run(f"ip addr add 192.0.2.{i}/24 dev eth0; ip link set eth0 up")
        assert b.run("cat /sys/class/net/eth0/carrier").split()[-1] == "1"
        a.run("ping -c 3 -W 10 192.0.2.2; ping -c 3 -s 60000 -W 10 192.0.2.2")
        for _ in range(3):
            a.run("(nc -l -p 99 -e cat /dev/vda &)")
            wanted = hashlib.md5(content).hexdigest()
            assert wanted in b.run("until nc -w 60 192.0.2.1 99 </dev/null >/tmp/file; do sleep 0.1; done; md5sum /tmp/file")
            b.run("(nc -l -p 99 -e cat /tmp/file &)")
            assert wanted in a.run("until nc -w 60 192.0.2.2 99 </dev/null >/tmp/file; do sleep 0.1; done; md5sum /tmp/file")
        for i, guest in enumerate((a, b), 1):
            guest.run(f"ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:0{i}; ip link set eth0 up")
            guest.run(f"ip addr add 198.51.100.{i}/24 dev eth0; ip link set eth0 promisc on; ip link set eth0 promisc off")
        a.run("ping -c 3 -W 10 198.51.100.2")
        for guest in (a, b):
            assert bad_news(guest.run("dmesg")) == []
            guest.send("poweroff -f\n")
            assert guest.finish()[0] == 0


def test_netboot(viv, tmp_path):
    """iPXE's driver, from the ROM that the card brings."""
    (tmp_path / "script").write_text("#!ipxe\necho so far so good\nsleep 1000\n")
    name = f"netboot-{os.getpid()}"
    with Guest([viv, "run", "--firmware", "bios", "--boot", "net", "--net", f"user,tftp={tmp_path},bootfile=script",
                "--name", name, "--display", "vnc"]):
        end = time.monotonic() + 300
        text = ""
        while "so far so good" not in text:
            assert time.monotonic() < end, text
            time.sleep(0.5)
            text = subprocess.run([viv, "text", name], capture_output=True, text=True, timeout=60).stdout
