# SPDX-License-Identifier: GPL-2.0-or-later
"""Folders of the host's in a Linux guest, by virtio-fs and by virtio-9p."""
import hashlib
import os

import pytest

from test_boot import start

pytestmark = pytest.mark.boot
FS = "mount -t virtiofs"
NINE = "mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288"
# Kernel, what follows the volume, and how the guest mounts it. Debian's cloud kernel has no 9P.
WAYS = {"virtiofs": ("cloud", "", FS), "virtiofs-generic": ("generic", "", FS), "9p": ("generic", ":9p", NINE)}


@pytest.fixture
def folder(tmp_path):
    shared = tmp_path / "shared"
    (shared / "deep/er").mkdir(parents=True)
    (shared / "deep/er/file").write_text("from the host\n")
    return shared


@pytest.fixture(params=WAYS.values(), ids=WAYS.keys())
def way(request):
    return request.param


def test_share(viv, folder, way):
    """What one side writes the other reads; names, links, modes, big files, many files."""
    kernel, option, mount = way
    big = os.urandom(5 << 20)
    (folder / "big").write_bytes(big)
    with start(viv, kernel, "-v", f"{folder}:tag{option}") as guest:
        guest.run(f"mkdir -p /mnt && {mount} tag /mnt")
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
        # What the host does is seen, at the latest when what is known is a second old.
        (folder / "deep/er/file").write_text("once more\n")
        (folder / "deep/er/second").write_text("")
        guest.run("sleep 1.1; grep 'once more' deep/er/file && ls deep/er/second && echo more >>deep/er/file")
        assert (folder / "deep/er/file").read_text() == "once more\nmore\n"
        guest.run(f"rm -r new && ! ls new && df /mnt && cd / && umount /mnt && {mount} tag /mnt && ls /mnt/deep")
        assert not (folder / "new").exists()
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0


def test_read_only(viv, folder, way):
    """And tags: two folders, one without."""
    kernel, option, mount = way
    with start(viv, kernel, "-v", f"{folder}:ro{option}", "-v", f"{folder}/deep:/data/deep:ro{option}") as guest:
        guest.run(f"mkdir -p /mnt && {mount} shared /mnt && cat /mnt/deep/er/file")
        guest.run("! touch /mnt/new && ! rm /mnt/deep/er/file && ! sh -c 'echo x >>/mnt/deep/er/file'")
        guest.run(f"mkdir -p /data/deep && {mount} /data/deep /data/deep && ls /data/deep/er/file")
    assert (folder / "deep/er/file").read_text() == "from the host\n"


def test_confinement(viv, folder, way):
    """Symbolic links lead where the guest's own files are; above the folder is the guest's own."""
    kernel, option, mount = way
    (folder.parent / "secret").write_text("of the host\n")
    (folder / "up").symlink_to("../secret")
    (folder / "away").symlink_to(folder.parent / "secret")
    with start(viv, kernel, "-v", f"{folder}:tag{option}") as guest:
        guest.run(f"mkdir -p /mnt && {mount} tag /mnt && cd /mnt")
        guest.run("! cat up && ! cat away && ! cat ../secret && ! cat deep/../../secret")
        guest.run("ln -s /etc/passwd own && grep root own && ln -s .. above && ls above/mnt/deep")
        guest.run("echo guest >/secret && cat up | grep guest && echo more >>up")
    assert (folder.parent / "secret").read_text() == "of the host\n"


def test_many_files(viv, folder, tmp_path):
    """More files than descriptors: the guest is made to forget those that it does not use."""
    for i in range(3000):
        (folder / f"deep/er/{i}").write_text("")
    limited = tmp_path / "limited"
    limited.write_text(f'#!/bin/sh\nulimit -n 1500\nexec {viv} "$@"\n')
    limited.chmod(0o755)
    with start(limited, "cloud", "-v", f"{folder}:tag") as guest:
        guest.run(f"mkdir -p /mnt && {FS} tag /mnt && cd /mnt")
        assert "3002" in guest.run("ls -l deep/er | wc -l")
        guest.run("cat deep/er/* && find . -type f | wc -l | grep 3001 && md5sum deep/er/* >/dev/null && cat deep/er/file")
