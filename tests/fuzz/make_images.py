#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the corpus of fuzz_qcow2.c with qemu-img: make_images.py FORMAT FOLDER.

Each file is a small image behind operations, as the head of fuzz_qcow2.c says.
"""
import pathlib
import random
import subprocess
import sys
import tempfile

# Options of create, what is done to the image then, and the size of the disk.
QCOW2 = [
    ("cluster_size=512", [], "64K"),
    ("cluster_size=512,compat=0.10", [], "64K"),
    ("cluster_size=512", ["snapshot -c a"], "64K"),
    ("cluster_size=512,refcount_bits=1", [], "64K"),
    ("cluster_size=512,refcount_bits=64", ["snapshot -c b", "snapshot -c a"], "64K"),
    ("cluster_size=512,lazy_refcounts=on", [], "1M"),
    ("cluster_size=512,compression_type=zstd", [], "64K"),
    ("cluster_size=1K", ["bitmap --add -g 512 x", "bitmap --add --disable y"], "64K"),
    ("cluster_size=512,preallocation=metadata", [], "32K"),
    ("cluster_size=16K,extended_l2=on", [], "256K"),
    ("cluster_size=512,data_file=data", [], "64K"),
    ("cluster_size=512,data_file=data,data_file_raw=on", [], "32K"),
    ("cluster_size=16K,extended_l2=on,data_file=data", [], "256K"),
]
FORMATS = {"qcow2": QCOW2}


def qemu_img(*args, **how):
    subprocess.run(["qemu-img", *args], check=True, stdout=subprocess.DEVNULL, **how)


def main():
    name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    rand = random.Random(1)
    folder.mkdir(parents=True, exist_ok=True)
    for number, (options, then, size) in enumerate(FORMATS[name]):
        with tempfile.TemporaryDirectory() as work:
            raw, image = f"{work}/raw", f"{work}/image"
            qemu_img("create", "-q", "-f", "raw", raw, size)
            with open(raw, "r+b") as disk:
                disk.seek(3 * 512)
                disk.write(bytes(range(256)) * 8)
                disk.seek(20 * 512)
                disk.write(b"plain text, again and again; " * 60)
            plain = "prealloc" in options or "data_file" in options
            compress = ["-c"] if number % 2 and not plain else []
            qemu_img("convert", "-q", *compress, "-f", "raw", "-O", name, "-o", options, raw, image,
                     cwd=work)
            for step in then:
                verb, *args = step.split()
                tail = [args.pop()] if verb == "bitmap" else []
                qemu_img(verb, *args, image, *tail)
            steps = bytes(rand.randrange(256) for _ in range(3 * 12))
            data = bytes([len(steps) // 3]) + steps + pathlib.Path(image).read_bytes()
        (folder / f"{name}-{number}").write_bytes(data)


main()
