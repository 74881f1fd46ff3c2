# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux's drivers of virtio devices, on both kinds of rings."""
import hashlib
import os

import pytest

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
