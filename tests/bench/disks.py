# SPDX-License-Identifier: GPL-2.0-or-later
"""viv disk beside qemu-img on the same work, and a guest's virtio disk beside QEMU's."""
import gzip
import os
import pathlib
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
MIB = 1 << 20
SIZE = 512 * MIB
QEMU_NAMES = {"vhd": "vpc"}
QEMU = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "512", "-nographic", "-no-reboot",
        "-nodefaults", "-serial", "stdio", "-net", "none"]


def fill(path):
    """A third that does not compress, a third that does, the rest zeroes and holes."""
    dice = random.Random(1)
    text = bytes(dice.choice(b"abcdefghij \n") for _ in range(MIB))
    with open(path, "wb") as file:
        for number in range(SIZE // MIB):
            kind = number % 6
            if kind == 5:
                file.seek(MIB, os.SEEK_CUR)
            else:
                file.write(dice.randbytes(MIB) if kind < 2 else text if kind < 4 else bytes(MIB))
        file.truncate(SIZE)


def scatter(path):
    """A large disk with little on it."""
    dice = random.Random(2)
    with open(path, "wb") as file:
        file.truncate(64 << 30)
        for _ in range(1000):
            file.seek(dice.randrange(16 << 20) * 4096)
            file.write(dice.randbytes(65536))


def convert(viv, source, format, *options):
    """The same conversion by both; qemu-img takes the formats by name."""
    def q(name):
        return QEMU_NAMES.get(name, name)
    source_format = source.split(".")[-1]
    return ([viv, "disk", "convert", *options, source, f"out.{format}"],
            ["qemu-img", "convert", *options, "-f", q(source_format), "-O", q(format), source, f"out.{format}"])


def works(viv, formats):
    """What is done -> (by viv, by qemu-img, how often)."""
    rows = {
        "create, qcow2 of 100 GiB": ([viv, "disk", "create", "out.qcow2", "100G"],
                                     ["qemu-img", "create", "-q", "-f", "qcow2", "out.qcow2", "100G"], 20),
        "create, qcow2 on a backing image": (
            [viv, "disk", "create", "-b", "data.qcow2", "out.qcow2"],
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "data.qcow2", "-F", "qcow2", "out.qcow2"], 20),
        "convert raw to raw": (*convert(viv, "data.raw", "raw"), 1),
        "convert raw of 64 GiB, almost empty, to qcow2": (*convert(viv, "sparse.raw", "qcow2"), 1),
        "convert raw to qcow2, compressed": (*convert(viv, "data.raw", "qcow2", "-c"), 1),
        "convert raw to qcow2, compressed by zstd": (
            *convert(viv, "data.raw", "qcow2", "-c", "-o", "compression_type=zstd"), 1),
        "convert compressed qcow2 to raw": (*convert(viv, "packed.qcow2", "raw"), 1),
        "compare raw and qcow2": ([viv, "disk", "compare", "data.raw", "data.qcow2"],
                                  ["qemu-img", "compare", "-f", "raw", "-F", "qcow2", "data.raw", "data.qcow2"], 1),
        "check qcow2": ([viv, "disk", "check", "data.qcow2"], ["qemu-img", "check", "-f", "qcow2", "data.qcow2"], 5),
    }
    for name in formats:
        if name != "raw":
            rows[f"convert raw to {name}"] = (*convert(viv, "data.raw", name), 1)
            rows[f"convert {name} to raw"] = (*convert(viv, f"data.{name}", "raw"), 1)
    return rows


def run(argv, folder, times):
    """(wall, CPU) seconds of one of `times` runs; None: it failed."""
    wall = cpu = 0
    for _ in range(times):
        for old in folder.glob("out.*"):
            old.unlink()
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(argv, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        wall += time.monotonic() - begin
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if done.returncode:
            print(f"bench: {' '.join(map(str, argv))}: {done.stderr.strip()}", file=sys.stderr)
            return None
    return wall / times, cpu / times


def measure_images(viv, options, results):
    viv, results["disk"] = str(viv), {}
    listed = subprocess.run([viv, "disk", "--help"], capture_output=True, text=True).stdout
    formats = re.search(r"^Formats: ([\w, ]+)\.", listed, re.MULTILINE)[1].split(", ")
    formats.remove("luks")  # time is its passphrase's, on purpose
    # In memory: the programs are compared, not what else the host's disk does.
    with tempfile.TemporaryDirectory(prefix="viv-bench-", dir="/dev/shm") as name:
        folder = pathlib.Path(name)
        fill(folder / "data.raw")
        scatter(folder / "sparse.raw")
        for format in formats:
            if format != "raw":
                subprocess.run([viv, "disk", "convert", "data.raw", f"data.{format}"], cwd=folder, check=True)
        subprocess.run([viv, "disk", "convert", "-c", "data.raw", "packed.qcow2"], cwd=folder, check=True)
        for what, (ours, theirs, times) in works(viv, formats).items():
            found = {"viv": [], "qemu-img": []}
            for number in range(options.runs):
                for label, argv in (("viv", ours), ("qemu-img", theirs)):
                    one = run(argv, folder, times)
                    if one:
                        found[label].append({"wall_s": round(one[0], 4), "cpu_s": round(one[1], 4)})
                print(f"{what}, run {number + 1} of {options.runs}", file=sys.stderr, flush=True)
            results["disk"][what] = found


def make_guest(folder, guest):
    """The benchmark kit's kernel with our program in a second archive behind its initrd."""
    (folder / "bin").mkdir()
    subprocess.run(["gcc", "-O2", "-D_GNU_SOURCE", "-static", "-pthread", "-o", folder / "bin/diskbench", HERE / "guestdisk.c"],
                   check=True)
    archive = subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=folder, input=b"bin/diskbench\n",
                             capture_output=True, check=True).stdout
    (folder / "initrd").write_bytes((guest / "initrd.gz").read_bytes() + gzip.compress(archive))


IMAGES = {
    # what -> (format, viv's words, QEMU's words)
    "raw": ("raw", "", ",cache=writeback"),
    "raw, past the page cache": ("raw", ",direct=on", ",cache=none,aio=io_uring"),
    "qcow2": ("qcow2", "", ",cache=writeback"),
}


def boot(argv):
    ran = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    found = re.findall(r"^diskbench (.+): ([\d.]+) (\S+)\r?$", ran.stdout, re.MULTILINE)
    if not found:
        sys.exit(f"bench: {argv[0]} said nothing of its disk: {ran.stdout[-500:]} {ran.stderr[-500:]}")
    return {what: (float(value), unit) for what, value, unit in found}


def measure_guest(viv, guest, out, options, results):
    if not (guest / "vmlinuz").exists():
        print(f"bench: no guest at {guest}; ./dev run makes it", file=sys.stderr)
        return
    results["guestdisk"] = {}
    shutil.rmtree(out / "disk", ignore_errors=True)
    folder = out / "disk"
    folder.mkdir(parents=True)
    make_guest(folder, guest)
    append = "console=ttyS0 quiet viv_cmd=/bin/diskbench%20/dev/vda viv_end=poweroff"
    kernel = guest / "vmlinuz"
    for what, (format, ours, theirs) in IMAGES.items():
        image = folder / f"disk.{format}"
        argvs = {
            "viv": [viv, "run", "--engine", "soft", "-m", "512M", "--kernel", kernel, "--initrd", folder / "initrd",
                    "--append", append, "--disk", f"{image}{ours}"],
            "TCG": [*QEMU, "-kernel", kernel, "-initrd", folder / "initrd", "-append", append, "-drive",
                    f"file={image},if=virtio,format={format},discard=unmap{theirs}"],
        }
        found = {label: {} for label in argvs if label != "TCG" or not options.skip_tcg}
        for number in range(options.runs):
            for label in found:
                image.unlink(missing_ok=True)
                subprocess.run([viv, "disk", "create", image, "1G"], check=True)
                for work, (value, unit) in boot(argvs[label]).items():
                    found[label].setdefault(f"{work}, {unit}", []).append(value)
            print(f"a guest's disk, {what}, run {number + 1} of {options.runs}", file=sys.stderr, flush=True)
        results["guestdisk"][what] = found
    shutil.rmtree(folder)
