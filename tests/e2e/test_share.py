# SPDX-License-Identifier: GPL-2.0-or-later
"""Folders of the host's in a Linux guest (virtio-9p)."""
import hashlib
import os

import pytest

from test_boot import start

pytestmark = pytest.mark.boot
MOUNT = "mkdir -p /mnt && mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288"


@pytest.fixture
def folder(tmp_path):
    shared = tmp_path / "shared"
    (shared / "deep/er").mkdir(parents=True)
    (shared / "deep/er/file").write_text("from the host\n")
    return shared


def test_share(viv, folder):
    """What one side writes the other reads; names, links, modes, big files, many files."""
    big = os.urandom(5 << 20)
    (folder / "big").write_bytes(big)
    with start(viv, "generic", "-v", f"{folder}:tag") as guest:
        guest.run(f"{MOUNT} tag /mnt")
        assert "from the host" in guest.run("cat /mnt/deep/er/file")
        assert hashlib.md5(big).hexdigest() in guest.run("md5sum /mnt/big")
        guest.run("dd if=/dev/urandom of=/tmp/made bs=1M count=5 && cp /tmp/made /mnt/made")
        made = hashlib.md5((folder / "made").read_bytes()).hexdigest()
        assert made in guest.run("md5sum /tmp/made")
        guest.run("cd /mnt && mkdir new && mv made new/moved && ln -s ../big new/link && ln big new/hard")
        assert os.readlink(folder / "new/link") == "../big"
        assert (folder / "new/hard").samefile(folder / "big")
        assert hashlib.md5(big).hexdigest() in guest.run("md5sum new/link")
        guest.run("chmod 4711 new/moved && touch -d '2001-02-03 04:05:06' new/moved && truncate -s 7 new/moved")
        stat = (folder / "new/moved").stat()
        assert (stat.st_mode & 0o7777, stat.st_size) == (0o711, 7)
        guest.run("for i in $(seq 300); do echo $i >new/f$i; done")
        assert sorted(path.name for path in (folder / "new").glob("f*")) == sorted(f"f{i}" for i in range(1, 301))
        assert "303" in guest.run("ls new | wc -l")
        guest.run("mknod new/pipe p && (echo through >new/pipe & grep through new/pipe)")
        guest.run("! mknod new/null c 1 3 && ! cat new/none")
        guest.run("rm -r new && ! ls new && df /mnt && cd / && umount /mnt && mount -t 9p tag /mnt && ls /mnt/deep")
        assert not (folder / "new").exists()
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0


def test_read_only(viv, folder):
    """And tags: two folders, one without."""
    with start(viv, "generic", "-v", f"{folder}:ro", "-v", f"{folder}/deep:/data/deep:ro") as guest:
        guest.run(f"{MOUNT} shared /mnt && cat /mnt/deep/er/file")
        guest.run("! touch /mnt/new && ! rm /mnt/deep/er/file && ! sh -c 'echo x >>/mnt/deep/er/file'")
        guest.run("mkdir -p /data/deep && mount -t 9p -o trans=virtio /data/deep /data/deep && ls /data/deep/er/file")
    assert (folder / "deep/er/file").read_text() == "from the host\n"
