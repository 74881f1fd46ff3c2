# SPDX-License-Identifier: GPL-2.0-or-later
"""viv disk: each verb on real images, with qemu-img as the judge; locks between programs."""
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import time

import pytest

from conftest import BUILD

ROOT = pathlib.Path(__file__).resolve().parents[2]
VERBS = "create info check resize convert map commit rebase snapshot compare stat limit".split()
MIB = 1 << 20


@pytest.fixture
def disk(viv, tmp_path):
    """Runs a verb in the test's folder; returns its output, or with `status` its error."""

    def call(*arguments, status=0):
        ran = subprocess.run([viv, "disk", *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True,
                             timeout=120)
        assert ran.returncode == status, ran.stderr + ran.stdout
        if status:
            assert ran.stderr.count("\n") <= 1, ran.stderr
        else:
            assert ran.stderr == ""
        return ran.stderr if status and ran.stderr else ran.stdout

    return call


def qemu_img(tmp_path, *arguments):
    ran = subprocess.run(["qemu-img", *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return ran.stdout


def fill(path, size, seed):
    """Data, zeroes and holes in pieces of odd lengths."""
    dice = random.Random(seed)
    with open(path, "wb") as file:
        at = 0
        while at < size:
            length = min(dice.randrange(1, 200) * 4096, size - at)
            kind = dice.randrange(4)
            if kind < 2:
                file.seek(at)
                file.write(dice.randbytes(length) if kind else bytes([dice.randrange(256)]) * length)
            elif kind == 2:
                file.seek(at)
                file.write(bytes(length))
            at += length
        file.truncate(size)


def formats():
    listed = subprocess.run([BUILD / "src/cli/viv", "disk", "--help"], capture_output=True, text=True).stdout
    return re.search(r"^Formats: ([\w, ]+)\.", listed, re.MULTILINE)[1].split(", ")


@pytest.mark.parametrize("verb", VERBS)
def test_help_and_manual_page(viv, verb):
    page = (ROOT / "docs/man/viv-disk.1").read_text().replace("\\-", "-")
    text = subprocess.run([viv, "disk", verb, "--help"], capture_output=True, text=True).stdout
    assert text.startswith(f"Usage: viv disk {verb} ")
    assert all(len(line) <= 100 for line in text.splitlines())
    assert re.search(rf"\.B viv disk {verb}\b", page) and re.search(rf"\.BR? {verb}\b", page)
    options = re.findall(r"^  (?:-\w, |    )(--[\w-]+)", text, re.MULTILINE)
    assert [option for option in options if option not in page and option != "--help"] == []


def test_help_lists_the_verbs(viv):
    text = subprocess.run([viv, "disk", "--help"], capture_output=True, text=True).stdout
    assert re.findall(r"^  (\w+) ", text, re.MULTILINE) == VERBS


@pytest.mark.parametrize("arguments, wanted", [
    (["frob"], ["'disk frob'", "viv disk --help"]),
    (["create", "a.raw"], ["size", "-b"]),
    (["create", "a.raw", "10X"], ["'10X'", "10G"]),
    (["create", "a.raw", "100"], ["100", "512"]),
    (["create", "-f", "vhs", "a.raw", "1M"], ["'vhs'", "qcow2"]),
    (["create", "-o", "colour=red", "a.qcow2", "1M"], ["'colour=red'", "cluster_size"]),
    (["create", "-o", "cluster_size=3K", "a.qcow2", "1M"], ["cluster_size", "512 to 2M"]),
    (["create", "-o", "refcount_bits=3", "a.qcow2", "1M"], ["refcount_bits", "16"]),
    (["create", "-o", "compat=2", "a.qcow2", "1M"], ["compat", "0.10 or 1.1"]),
    (["create", "-o", "compat=0.10,refcount_bits=8", "a.qcow2", "1M"], ["refcount_bits", "compat=1.1"]),
    (["create", "-o", "extended_l2=on,cluster_size=4K", "a.qcow2", "1M"], ["extended_l2", "16K"]),
    (["create", "-o", "preallocation=some", "a.qcow2", "1M"], ["preallocation", "falloc"]),
    (["create", "-o", "preallocation=full", "-b", "named.img", "-F", "qcow2", "a.qcow2"], ["preallocation", "backing"]),
    (["create", "-o", "cluster_size=512", "a.qcow2", "200T"], ["too large", "cluster_size"]),
    (["create", "-o", "data_file_raw=on", "a.qcow2", "1M"], ["data_file_raw", "data_file"]),
    (["create", "-o", "data_file=a.data,compat=0.10", "a.qcow2", "1M"], ["data_file", "compat=1.1"]),
    (["create", "-o", "data_file=there.raw", "a.qcow2", "1M"], ["there.raw", "remove it first"]),
    (["create", "-o", "data_file=a.data,data_file_raw=on", "-b", "named.img", "-F", "qcow2", "a.qcow2"],
     ["data_file_raw", "backing"]),
    (["convert", "-c", "-o", "data_file=a.data", "there.raw", "a.qcow2"], ["--compress", "data_file"]),
    (["create", "-o", "encrypt.format=luks", "a.qcow2", "1M"], ["encrypt.format", "passphrase"]),
    (["create", "a.luks", "1M"], ["luks", "passphrase"]),
    (["create", "-b", "absent.qcow2", "a.qcow2"], ["absent.qcow2", "No such file"]),
    (["create", "-b", "there.raw", "a.raw"], ["raw", "qcow2"]),
    (["create", "there.raw", "1M"], ["there.raw", "remove it"]),
    (["info", "absent.raw"], ["absent.raw", "No such file"]),
    (["info", "named.img"], ["named.img", "looks like qcow2", "-f raw"]),
    (["create", "-b", "named.img", "a.qcow2"], ["-F", "looks like qcow2"]),
    (["resize", "there.raw", "-512K"], ["524288 bytes", "--shrink"]),
    (["resize", "there.raw", "-2M"], ["'-2M'"]),
    (["convert", "there.raw", "there.raw"], ["there.raw"]),
    (["convert", "-c", "there.raw", "b.raw"], ["raw", "--compress", "qcow2"]),
    (["convert", "there.raw", "no/where.raw"], ["no/where.raw", "No such file"]),
    (["check", "there.raw"], ["raw", "checked"]),
    (["check", "-r", "some", "there.raw"], ["'some'", "leaks or all"]),
    (["commit", "there.raw"], ["no backing image"]),
    (["rebase", "there.raw"], ["-b"]),
    (["rebase", "-b", "", "there.raw"], ["raw"]),
    (["snapshot", "there.raw"], ["no snapshots", "qcow2"]),
    (["compare", "there.raw"], ["missing"]),
    (["compare", "there.raw", "absent.raw"], ["absent.raw"]),
    (["limit", "nobody", "disk0", "iops"], ["'iops'", "iops=N"]),
    (["limit", "nobody", "disk0", "bps=x"], ["'bps=x'", "20M"]),
])
def test_errors(disk, tmp_path, arguments, wanted):
    (tmp_path / "there.raw").write_bytes(bytes(MIB))
    disk("create", "-f", "qcow2", "named.img", "1M")
    line = disk(*arguments, status=2)
    assert line.startswith("viv: ")
    assert [text for text in wanted if text not in line] == [], line
    assert sorted(os.listdir(tmp_path)) == ["named.img", "there.raw"]


def test_create_info_resize(disk, tmp_path):
    disk("create", "a.qcow2", "10M")
    assert json.loads(qemu_img(tmp_path, "info", "--output=json", "a.qcow2"))["virtual-size"] == 10 * MIB
    disk("resize", "a.qcow2", "+6M")
    info = json.loads(disk("info", "--json", "a.qcow2"))
    assert (info["virtual-size"], info["format"], info["cluster-size"]) == (16 * MIB, "qcow2", 65536)
    disk("resize", "--shrink", "a.qcow2", "-8M")
    assert json.loads(qemu_img(tmp_path, "info", "--output=json", "a.qcow2"))["virtual-size"] == 8 * MIB
    disk("create", "-b", "a.qcow2", "b.qcow2")
    chain = json.loads(disk("info", "--json", "--backing-chain", "b.qcow2"))
    assert [image["filename"] for image in chain] == ["b.qcow2", "./a.qcow2"]
    assert chain[0]["backing-filename-format"] == "qcow2" and chain[0]["virtual-size"] == 8 * MIB


@pytest.mark.parametrize("format", [format for format in formats() if format != "luks"])
def test_convert_there_and_back(disk, tmp_path, format):
    fill(tmp_path / "a.raw", 24 * MIB, 1)
    disk("convert", "-O", format, "a.raw", "b")
    assert "alike" in disk("compare", "-F", format, "a.raw", "b")
    disk("convert", "-f", format, "b", "c.raw")
    assert (tmp_path / "a.raw").read_bytes() == (tmp_path / "c.raw").read_bytes()[:24 * MIB]
    # Zeroes that stood in the first file take no space in the last.
    assert os.stat(tmp_path / "c.raw").st_blocks < os.stat(tmp_path / "a.raw").st_blocks
    other = "vpc" if format == "vhd" else format
    assert "identical" in qemu_img(tmp_path, "compare", "-f", "raw", "-F", other, "a.raw", "b")


@pytest.mark.parametrize("target, options", [("b.luks", ["-o", "iter-time=10"]), ("b.qcow2", ["-o", "encrypt.format=luks,encrypt.iter-time=10"])])
def test_convert_encrypted(disk, tmp_path, target, options):
    fill(tmp_path / "a.raw", 4 * MIB, 13)
    (tmp_path / "secret").write_text("a passphrase\n")
    (tmp_path / "wrong").write_text("another\n")
    assert "passphrase" in disk("convert", *options, "a.raw", target, status=2)
    disk("convert", "--secret", "secret", *options, "a.raw", target)
    assert "passphrase" in disk("convert", target, "c.raw", status=2)
    assert "passphrase" in disk("convert", "--secret", "wrong", target, "c.raw", status=2)
    disk("convert", "--secret", "secret", target, "c.raw")
    assert (tmp_path / "a.raw").read_bytes() == (tmp_path / "c.raw").read_bytes()


def test_convert_compressed(disk, tmp_path):
    fill(tmp_path / "a.raw", 24 * MIB, 2)
    disk("convert", "-c", "a.raw", "b.qcow2")
    assert "alike" in disk("compare", "a.raw", "b.qcow2")
    qemu_img(tmp_path, "check", "b.qcow2")
    assert "identical" in qemu_img(tmp_path, "compare", "-f", "raw", "-F", "qcow2", "a.raw", "b.qcow2")


def test_convert_over_what_is_there(disk, tmp_path):
    fill(tmp_path / "a.raw", 8 * MIB, 3)
    fill(tmp_path / "b.raw", 8 * MIB, 4)
    (tmp_path / "small.raw").write_bytes(bytes(MIB))
    assert "remove it" in disk("convert", "a.raw", "b.raw", status=2)
    assert "smaller" in disk("convert", "-n", "a.raw", "small.raw", status=2)
    assert (tmp_path / "small.raw").exists()
    disk("convert", "-n", "a.raw", "b.raw")
    assert (tmp_path / "a.raw").read_bytes() == (tmp_path / "b.raw").read_bytes()
    disk("convert", "--force", "small.raw", "b.raw")
    assert (tmp_path / "b.raw").read_bytes() == bytes(MIB)


def test_interrupted_convert_leaves_nothing(viv, tmp_path):
    with open(tmp_path / "a.raw", "wb") as file:
        for _ in range(256):
            file.write(os.urandom(256) * 4096)
    process = subprocess.Popen([viv, "disk", "convert", "-p", "-c", "a.raw", "b.qcow2"], cwd=tmp_path,
                               stderr=subprocess.PIPE)
    os.read(process.stderr.fileno(), 10)  # the bar: it is at work
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 128 + signal.SIGINT, errors
    assert errors.endswith("viv: interrupted\n")
    assert os.listdir(tmp_path) == ["a.raw"]


@pytest.mark.parametrize("target", ["b.qcow2", "-o data_file=b.data b.qcow2",
                                    "-o subformat=monolithicFlat b.vmdk"])
def test_convert_to_a_full_disk_leaves_nothing(disk, viv, tmp_path, target):
    fill(tmp_path / "a.raw", 8 * MIB, 5)
    ran = subprocess.run(["sh", "-c", f'ulimit -f 4096; trap "" XFSZ; exec "$0" disk convert a.raw {target}', viv],
                         cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1 and "File too large" in ran.stderr
    assert os.listdir(tmp_path) == ["a.raw"]


def test_map_agrees_with_qemu_img(disk, tmp_path):
    fill(tmp_path / "a.raw", 8 * MIB, 6)
    qemu_img(tmp_path, "convert", "-f", "raw", "-O", "qcow2", "a.raw", "b.qcow2")

    def allocated(extents):
        return [(e["start"], e["length"], e["offset"]) for e in extents if e["data"]]

    assert allocated(json.loads(disk("map", "--json", "b.qcow2"))) == \
        allocated(json.loads(qemu_img(tmp_path, "map", "--output=json", "b.qcow2")))
    assert len(disk("map", "b.qcow2").splitlines()) > 2


def overlay(tmp_path, disk, seed):
    """base.qcow2 and top.qcow2 on it, both with data; what top reads as is expected.raw."""
    fill(tmp_path / "base.raw", 8 * MIB, seed)
    disk("convert", "base.raw", "base.qcow2")
    disk("create", "-b", "base.qcow2", "top.qcow2", "9M")
    for at, pattern in ((0, 1), (3 * MIB + 512, 2), (8 * MIB, 3)):
        subprocess.run(["qemu-io", "-c", f"write -P {pattern} {at} 300k", "top.qcow2"], cwd=tmp_path, check=True,
                       stdout=subprocess.DEVNULL)
    subprocess.run(["qemu-io", "-c", "write -z 1M 512k", "top.qcow2"], cwd=tmp_path, check=True,
                   stdout=subprocess.DEVNULL)
    disk("convert", "top.qcow2", "expected.raw")


def test_commit(disk, tmp_path):
    overlay(tmp_path, disk, 7)
    disk("commit", "top.qcow2")
    assert "alike" in disk("compare", "-s", "expected.raw", "base.qcow2")
    assert "alike" in disk("compare", "-s", "expected.raw", "top.qcow2")
    for name in ("base.qcow2", "top.qcow2"):
        qemu_img(tmp_path, "check", name)
    assert not any(e["data"] and e["depth"] == 0 for e in json.loads(disk("map", "--json", "top.qcow2")))


@pytest.mark.parametrize("to", ["other.qcow2", ""])
def test_rebase(disk, tmp_path, to):
    overlay(tmp_path, disk, 8)
    fill(tmp_path / "other.raw", 6 * MIB, 9)
    disk("convert", "other.raw", "other.qcow2")
    disk("rebase", "-b", to, "top.qcow2")
    os.remove(tmp_path / "base.qcow2")
    assert "alike" in disk("compare", "-s", "expected.raw", "top.qcow2")
    assert json.loads(disk("info", "--json", "top.qcow2")).get("backing-filename", "") == to
    assert "identical" in qemu_img(tmp_path, "compare", "expected.raw", "top.qcow2")


def test_rebase_of_the_name_only(disk, tmp_path):
    overlay(tmp_path, disk, 10)
    os.rename(tmp_path / "base.qcow2", tmp_path / "moved.qcow2")
    assert "base.qcow2" in disk("compare", "expected.raw", "top.qcow2", status=2)
    disk("rebase", "-u", "-b", "moved.qcow2", "top.qcow2")
    assert "alike" in disk("compare", "-s", "expected.raw", "top.qcow2")


def test_compare(disk, tmp_path):
    fill(tmp_path / "a.raw", 8 * MIB, 11)
    disk("convert", "a.raw", "b.qcow2")
    subprocess.run(["qemu-io", "-c", "write -P 77 5000001 1", "-c", "write -P 77 7M 1", "b.qcow2"], cwd=tmp_path,
                   check=True, stdout=subprocess.DEVNULL)
    assert disk("compare", "a.raw", "b.qcow2", status=1) == "They differ, first at byte 5000001.\n"
    (tmp_path / "c.raw").write_bytes((tmp_path / "a.raw").read_bytes() + bytes(MIB))
    assert "but for their sizes" in disk("compare", "a.raw", "c.raw")
    assert "sizes" in disk("compare", "-s", "a.raw", "c.raw", status=1)


def test_snapshots(disk, tmp_path):
    fill(tmp_path / "a.raw", 2 * MIB, 12)
    disk("convert", "a.raw", "b.qcow2")
    disk("snapshot", "-c", "before", "b.qcow2")
    subprocess.run(["qemu-io", "-c", "write -P 7 0 1M", "b.qcow2"], cwd=tmp_path, check=True,
                   stdout=subprocess.DEVNULL)
    disk("compare", "a.raw", "b.qcow2", status=1)
    assert "before" in disk("snapshot", "b.qcow2") and "before" in qemu_img(tmp_path, "snapshot", "-l", "b.qcow2")
    disk("snapshot", "-a", "before", "b.qcow2")
    disk("compare", "a.raw", "b.qcow2")
    disk("snapshot", "-d", "before", "b.qcow2")
    assert json.loads(disk("snapshot", "--json", "b.qcow2")) == []
    assert "exclude" in disk("snapshot", "-l", "-c", "x", "b.qcow2", status=2)
    qemu_img(tmp_path, "check", "b.qcow2")


def test_check_mends(disk, tmp_path):
    disk("create", "a.qcow2", "1M")
    assert "Nothing is wrong" in disk("check", "a.qcow2")
    with open(tmp_path / "a.qcow2", "r+b") as file:  # one more cluster is counted than is in use
        file.seek(8 * 65536 - 1)
        file.write(b"\0")
        file.seek(2 * 65536 + 2 * 7)
        file.write(b"\0\1")
    report = json.loads(disk("check", "--json", "a.qcow2", status=1))
    assert report["leaks"] == 1 and report["corruptions"] == 0 and len(report["messages"]) == 1
    disk("check", "-r", "leaks", "a.qcow2")
    assert "Nothing is wrong" in disk("check", "a.qcow2")
    qemu_img(tmp_path, "check", "a.qcow2")


class Holder:
    """A program that has an image open while the block runs."""

    def __init__(self, argv, ready, cwd):
        self.process = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        while ready not in self.process.stdout.readline():
            assert self.process.poll() is None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.communicate()


def vm_with(viv, monitor, tmp_path, *disks):
    return Holder([viv, "run", "--kernel", str(monitor), *[word for d in disks for word in ("--disk", d)]], b"ready",
                  tmp_path)


def qemu_with(tmp_path, *options):
    return Holder(["stdbuf", "-oL", "qemu-io", *options, "-c", "read 0 512", "-c", "sleep 60000"], b"read", tmp_path)


IN_USE = "is in use"


def test_one_writer_or_many_readers(viv, monitor, disk, tmp_path):
    disk("create", "a.qcow2", "1M")
    with vm_with(viv, monitor, tmp_path, "a.qcow2"):
        assert IN_USE in disk("resize", "a.qcow2", "2M", status=2)
        assert IN_USE in disk("convert", "a.qcow2", "b.raw", status=2)
        assert IN_USE in disk("check", "a.qcow2", status=2)
        disk("info", "a.qcow2")
        disk("map", "a.qcow2")
    with vm_with(viv, monitor, tmp_path, "a.qcow2,ro"), vm_with(viv, monitor, tmp_path, "a.qcow2,ro"):
        disk("check", "a.qcow2")
        assert IN_USE in disk("resize", "a.qcow2", "2M", status=2)
    ran = subprocess.run([viv, "run", "--kernel", str(monitor), "--disk", "a.qcow2", "--disk", "a.qcow2"], cwd=tmp_path,
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2 and IN_USE in ran.stderr


def test_a_raw_disk_that_looks_like_another(viv, monitor, disk, tmp_path):
    disk("create", "-f", "qcow2", "a.img", "1M")
    for words, hint in (("a.img", b"looks like qcow2"), ("a.img,format=qcow2", b""), ("a.img,format=raw", b"")):
        process = subprocess.Popen([viv, "run", "--kernel", monitor, "--disk", words], cwd=tmp_path,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.readline()
        process.terminate()
        errors = process.communicate(timeout=60)[1]
        assert hint in errors and (b"looks" in errors) == bool(hint), errors


def test_chains_are_locked(viv, monitor, disk, tmp_path):
    disk("create", "base.qcow2", "1M")
    disk("create", "-b", "base.qcow2", "one.qcow2")
    disk("create", "-b", "one.qcow2", "two.qcow2")
    disk("create", "-b", "base.qcow2", "other.qcow2")
    with vm_with(viv, monitor, tmp_path, "two.qcow2"):
        for name in ("base.qcow2", "one.qcow2", "two.qcow2"):
            assert IN_USE in disk("resize", name, "2M", status=2)
        # Another overlay may read the same base, and not be committed to it.
        disk("compare", "other.qcow2", "base.qcow2")
        assert IN_USE in disk("commit", "other.qcow2", status=2)
        with vm_with(viv, monitor, tmp_path, "other.qcow2"):
            pass
    disk("commit", "other.qcow2")


def test_qemu_minds_our_locks_and_we_its(viv, monitor, disk, tmp_path):
    disk("create", "a.qcow2", "1M")
    with vm_with(viv, monitor, tmp_path, "a.qcow2"):
        for options in ([], ["-r"]):
            ran = subprocess.run(["qemu-io", *options, "-c", "read 0 512", "a.qcow2"], cwd=tmp_path,
                                 capture_output=True, text=True)
            assert ran.returncode and "lock" in ran.stderr
    with qemu_with(tmp_path, "a.qcow2"):
        assert IN_USE in disk("resize", "a.qcow2", "2M", status=2)
    with qemu_with(tmp_path, "-r", "a.qcow2"):
        assert IN_USE in disk("resize", "a.qcow2", "2M", status=2)
        disk("check", "a.qcow2")


@pytest.mark.parametrize("name", ["{}/victim", "../victim", "sub/../../victim"])
@pytest.mark.parametrize("kind", ["qcow2", "vmdk"])
def test_an_image_has_no_part_elsewhere(disk, tmp_path, kind, name):
    """A guest would write there, with the rights of who was given the image."""
    victim, folder = tmp_path / "victim", tmp_path / "given"
    (folder / "sub").mkdir(parents=True)
    victim.write_bytes(b"mine" + bytes(MIB - 4))
    name = name.format(tmp_path)
    image = folder / f"disk.{kind}"
    if kind == "qcow2":
        subprocess.run(["qemu-img", "create", "-q", "-f", kind, "-o", "data_file=part.raw,data_file_raw=on", image, "1M"],
                       cwd=folder, check=True)
        subprocess.run(["qemu-img", "amend", "-q", "--image-opts", "-o", f"data_file={name}",
                        f"driver=qcow2,file.filename={image},data-file.filename={folder}/part.raw"], check=True)
    else:
        image.write_text("# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\n"
                         f'createType="monolithicFlat"\n\nRW 2048 FLAT "{name}" 0\n')
    for verb in (["info", image], ["convert", image, folder / "copy.raw"]):
        assert "outside its own folder" in disk(*verb, status=2)
