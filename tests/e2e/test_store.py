# SPDX-License-Identifier: GPL-2.0-or-later
"""Images and VMs of the store: a small image that is none of an operating system, and no network but loopback."""
import concurrent.futures
import functools
import http.server
import json
import os
import re
import resource
import shutil
import subprocess
import threading
import time

import pytest

from store import Store

MIB = 1 << 20
CLONES = 100


@pytest.fixture
def store(viv, tmp_path):
    return Store(viv, tmp_path)


@pytest.fixture
def disk(tmp_path):
    """A disk with something on it."""
    path = tmp_path / "small.raw"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
        file.seek(5 * MIB)
        file.write(bytes(range(256)) * 512)
    return path


@pytest.fixture
def image(store, disk):
    store.run("image", "import", disk, "--name", "small", "--cloud-init", "--user", "ops")
    return "small"


def test_import_and_inspect(store, disk):
    assert store.run("image", "import", disk, "--name", "small", "-q").strip() == "small:1"
    assert store.run("image", "import", disk, "--name", "small", "-q").strip() == "small:2"
    names = [(one["name"], one["version"]) for one in store.json("image", "ls")]
    assert names == [("small", 1), ("small", 2)]
    one = store.json("image", "inspect", "small:1")
    assert (one["size"], one["format"], one["firmware"], one["sealed"]) == (64 * MIB, "qcow2", ["bios"], False)
    assert one["origin"] == str(disk)
    store.run("image", "verify", "small")
    subprocess.run(["qemu-img", "compare", disk, one["path"]], check=True, capture_output=True)
    assert os.stat(one["path"]).st_mode & 0o777 == 0o400
    store.run("image", "rm", "small:1")
    store.run("image", "rm", "small")
    assert store.json("image", "ls") == []


@pytest.mark.parametrize("format", ["qcow2", "raw", "vmdk", "vdi", "ova"])
def test_export_and_back(store, disk, image, format):
    out = store.folder / f"out.{format}"
    store.run("image", "export", image, out)
    assert "there already" in store.refused("image", "export", image, out)
    store.run("image", "import", out, "--name", "back")
    subprocess.run(["qemu-img", "compare", disk, store.json("image", "inspect", "back")["path"]], check=True,
                   capture_output=True)


def test_import_of_a_disk_with_a_data_file_is_refused(store, tmp_path):
    image = tmp_path / "parted.qcow2"
    subprocess.run([store.viv, "disk", "create", "-o", "data_file=parted.data", image, "1M"], check=True)
    assert "parted.data" in store.refused("image", "import", image)


def test_import_of_an_overlay_is_refused(store, disk):
    overlay = store.folder / "overlay.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", overlay], check=True)
    assert "names" in store.refused("image", "import", overlay)
    assert store.json("image", "ls") == []


def test_import_takes_no_other_files(store, disk):
    """A VMDK's descriptor may name what its maker wants to see."""
    evil = store.folder / "evil.vmdk"
    evil.write_text("# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n"
                    f"RW {64 * MIB // 512} FLAT \"{disk}\" 0\n")
    assert "other folders" in store.refused("image", "import", evil)
    evil.write_text(evil.read_text().replace(str(disk), disk.name))
    store.run("image", "import", evil)


def test_import_by_http(store, disk):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=disk.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        store.run("image", "import", f"{url}/small.raw")
        assert "404" in store.refused("image", "import", f"{url}/absent.raw")
        server.shutdown()
    one = store.json("image", "inspect", "small")
    assert one["origin"] == f"{url}/small.raw"
    subprocess.run(["qemu-img", "compare", disk, one["path"]], check=True, capture_output=True)


def test_at_once(store, disk):
    """Versions are given once each."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        said = pool.map(lambda _: store.run("image", "import", disk, "--name", "small", "-q").strip(), range(8))
    assert sorted(said) == [f"small:{n}" for n in range(1, 9)]


def test_damage_is_told(store, image):
    path = store.json("image", "inspect", image)["path"]
    os.chmod(path, 0o600)
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    assert "checksum" in store.refused("image", "verify", image)
    (store.data / "images/bad/1").mkdir(parents=True)
    (store.data / "images/bad/1/manifest.json").write_text('{"schema": 1, "name": "../x"')
    done = store.try_run("image", "ls")
    assert done.returncode == 0 and "small" in done.stdout and "damaged" in done.stderr
    assert "damaged" in store.refused("create", "x", "--image", "bad")


def test_clones(store, image):
    """A hundred VMs of an image: each a machine of its own, cheap in time and space."""
    store.run("create", "first", "--image", image)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    for n in range(CLONES):
        store.run("create", f"vm{n}", "--image", image)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - start
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{CLONES} clones: {wall:.2f} s, {cpu:.2f} s of CPU")
    assert cpu < 5  # of the wall's time others on the host have their part
    vms = [store.json("inspect", f"vm{n}") for n in range(CLONES)]
    for what in ("uuid", "mac", "instance", "host", "password"):
        assert len({vm[what] for vm in vms}) == CLONES, what
    keys = {(store.data / "vms" / vm["name"] / "ssh_host_ed25519_key.pub").read_text().split()[1] for vm in vms}
    assert len(keys) == CLONES
    for vm in vms:
        files = (store.data / "vms" / vm["name"]).iterdir()
        assert sum(file.stat().st_blocks * 512 for file in files) < 200 << 10


def test_create(store, image):
    (store.folder / "key.pub").write_text("# mine\nssh-ed25519 AAAAC3Nz me\n")
    (store.folder / "cloud").write_text("#cloud-config\npackages: [nginx]\n")
    vm = store.json("create", "web", "--image", image, "--type", "small", "--ssh-key", "key.pub", "--user-data", "cloud",
                    "--hostname", "www", "-p", "8080:80", "-m", "1G")
    assert (vm["memory"], vm["cpus"], vm["host"], vm["user"]) == (1 << 30, 1, "www", "ops")
    assert vm["keys"] == ["ssh-ed25519 AAAAC3Nz me"]
    assert vm["options"] == ["-p", "8080:80", "-m", "1G"]
    overlay = json.loads(subprocess.run(["qemu-img", "info", "--output=json", store.data / "vms/web/disk.qcow2"],
                                        capture_output=True, check=True).stdout)
    assert overlay["virtual-size"] == 20 << 30
    assert overlay["full-backing-filename"].endswith("images/small/1/disk.qcow2")
    assert "there is a VM 'web' already" in store.refused("create", "web", "--image", image)
    assert "in use" in store.refused("image", "rm", image)
    assert [vm["state"] for vm in store.json("ls", "--all")] == ["stopped"]
    clone = store.json("clone", "web", "web2")
    assert clone["options"] == vm["options"] and clone["host"] == "web2" and clone["cloned"]
    for what in ("uuid", "mac", "instance", "password"):
        assert clone[what] != vm[what]
    for name in ("web", "web2"):
        store.run("rm", name)
    store.run("image", "rm", image)


@pytest.mark.parametrize("argv, says", [
    ("create web", "--image is missing"),
    ("create --image small", "one name"),
    ("create web --image absent", "no image 'absent'"),
    ("create web --image small:7", "small:7"),
    ("create web --image small:x", "NAME:VERSION"),
    ("create ../web --image small", "no name"),
    ("create web --image small --type huge", "no type 'huge'"),
    ("create web --image small --disk-size 1M", "64 MiB"),
    ("create web --image small --hostname a_b", "--hostname"),
    ("create web --image small --ssh-key small.raw", "--ssh-key"),
    ("create web --image small --user-data absent", "absent"),
    ("run absent", "no image, recipe or VM"),
    ("run small small", "one word too many"),
    ("run --type small", "--type is for"),
    ("run small --rm --detach", "viv rm"),
    ("start absent", "no VM 'absent'"),
    ("rm absent", "no VM 'absent'"),
    ("clone absent web", "no VM 'absent'"),
    ("ssh absent", "no VM 'absent'"),
    ("ssh", "name is missing"),
    ("image frobnicate", "viv image"),
    ("image build absent", "no recipe 'absent'"),
    ("image build ../x", "no name"),
    ("image export small out.xyz --format xyz", "xyz"),
    ("image import absent.raw", "absent.raw"),
    ("image import small.raw --name a/b", "no name"),
    ("image seal small -q", "no ext4"),
])
def test_errors(store, image, argv, says):
    line = store.refused(*argv.split())
    assert says in line
    assert len(line.splitlines()) == 1
    assert not (store.data / "vms/web").exists()


def test_types(store):
    assert {"general", "cpu", "memory", "burst"} == {one["family"] for one in store.json("type", "ls")}
    (store.folder / "config/viv").mkdir(parents=True)
    (store.folder / "config/viv/types.yaml").write_text("- {name: mine, family: cpu, cpus: 3, memory: 1G, disk: 1G}\n")
    assert "mine" in store.run("type", "ls")
    (store.folder / "config/viv/types.yaml").write_text("- {name: mine, family: cpu, cpu: 3}\n")
    assert "types.yaml:1: 'cpu'" in store.refused("type", "ls")


def test_gc(store, disk, image):
    store.run("create", "web", "--image", image)
    for _ in range(2):
        store.run("image", "import", disk, "--name", "small")
    (store.data / "images/.new-dead").mkdir()
    assert "small:2" in store.run("image", "gc")
    assert [one["version"] for one in store.json("image", "ls")] == [1, 3]
    assert not (store.data / "images/.new-dead").exists()


@pytest.fixture
def linux_disk(tmp_path):
    """What is left of a Linux system that has run: in the first partition, ext4."""
    tree, path = tmp_path / "tree", tmp_path / "linux.raw"
    files = {"etc/machine-id": "0123\n", "etc/hostname": "web\n", "etc/ssh/ssh_host_rsa_key": "secret",
             "etc/ssh/sshd_config": "x", "usr/lib/os-release": "ID=x\n", "var/log/syslog": "secret",
             "var/log/nginx/access.log": "secret", "var/lib/cloud/data/instance-id": "iid",
             "var/lib/systemd/random-seed": "seed", "var/lib/dbus/machine-id": "0123\n"}
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    with path.open("wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["sfdisk", "-q", path], input="label: gpt\nstart=2048, size=98304\n", text=True, check=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, "-E", f"offset={MIB}", path, "48M"], check=True)
    return path


def tree_of(raw, offset):
    """Paths of a file system's files, and the bytes of one."""
    out = raw.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    subprocess.run(["debugfs", "-R", f"rdump / {out}", f"{raw}?offset={offset}"], check=True, capture_output=True)
    return {str(path.relative_to(out)): path for path in out.rglob("*")}


def test_seal(store, linux_disk):
    store.env["PATH"] = "/usr/bin:/bin"  # as users have it: without e2fsck's folder
    store.run("image", "import", linux_disk, "--name", "linux", "--cloud-init")
    assert store.run("image", "seal", "linux", "-q").strip() == "linux:2"
    one = store.json("image", "inspect", "linux")
    assert one["sealed"] and one["origin"] == "linux:1"
    raw = store.folder / "sealed.raw"
    store.run("image", "export", "linux", raw)
    check = subprocess.run(["e2fsck", "-fn", f"{raw}?offset={MIB}"], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout
    tree = tree_of(raw, MIB)
    assert tree["etc/machine-id"].read_text() == ""
    assert {"etc/hostname", "etc/ssh/sshd_config", "var/log/nginx", "var/lib/dbus"} <= set(tree)
    for gone in ("etc/ssh/ssh_host_rsa_key", "var/log/syslog", "var/log/nginx/access.log", "var/lib/cloud/data",
                 "var/lib/systemd/random-seed", "var/lib/dbus/machine-id"):
        assert gone not in tree, gone


def test_seal_of_a_vm(store, linux_disk):
    store.run("image", "import", linux_disk, "--name", "linux", "--cloud-init")
    store.run("create", "web", "--image", "linux")
    assert store.run("image", "seal", "golden", "--vm", "web", "-q").strip() == "golden:1"
    assert store.json("image", "inspect", "golden")["origin"] == "VM web"


def test_seal_takes_no_commands_from_names(store, tmp_path):
    """debugfs reads a line a command: a name that has lines is not for it."""
    tree, path = tmp_path / "tree", tmp_path / "evil.raw"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/machine-id").write_text("1")
    (tree / "var/log").mkdir(parents=True)
    (tree / "var/log" / f"a\ndump etc stolen").write_text("x")
    with path.open("wb") as file:
        file.truncate(32 * MIB)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, path], check=True)
    store.run("image", "import", path, "--name", "evil")
    done = store.try_run("image", "seal", "evil")
    assert not (store.folder / "stolen").exists()
    assert done.returncode != 0 and "--keep-identity" in done.stderr
    store.run("image", "seal", "evil", "--keep-identity")


def test_start(store, image):
    """The firmware finds nothing to boot; the seed disk is there, and the VM is known as running."""
    store.run("create", "web", "--image", image, "-m", "64M")
    assert store.run("start", "web").strip() == "web"
    try:
        assert [vm["state"] for vm in store.json("ls", "--all")] == ["running"]
        for argv in (["start", "web"], ["rm", "web"], ["clone", "web", "b"], ["run", "web"],
                     ["image", "seal", "x", "--vm", "web"]):
            assert "viv stop web" in store.refused(*argv)
        cards = store.run("net", "web")
        assert "-> 22/tcp" in cards and store.json("inspect", "web")["mac"] in cards
        seed = store.data / "vms/web/seed.iso"
        assert "cidata" in subprocess.run(["xorriso", "-indev", seed], capture_output=True, text=True).stderr.lower()
        subprocess.run(["xorriso", "-osirrox", "on", "-indev", seed, "-extract", "/", store.folder / "seed"],
                       capture_output=True, check=True)
        assert {path.name for path in (store.folder / "seed").iterdir()} == {"meta-data", "user-data", "vendor-data",
                                                                             "network-config"}
        assert re.search("has not answered within 1 seconds", store.refused("ssh", "-t", "1", "web", "true"))
    finally:
        store.run("kill", "web")
    assert [vm["state"] for vm in store.json("ls", "--all")] == ["stopped"]
    store.run("rm", "web")


def test_addresses_of_cards_stay(store, image):
    """Also of those that one says oneself, so that what the guest was told of the first one is true."""
    store.run("create", "web", "--image", image, "-m", "64M", "--net", "user", "--net", "private=lab")
    found = set()
    for _ in range(2):
        store.run("start", "web")
        found.add(tuple(re.findall("52:54:00:[0-9a-f:]{8}", store.run("net", "web"))))
        store.run("kill", "web")
    (first, second), = found
    assert first == store.json("inspect", "web")["mac"] != second
