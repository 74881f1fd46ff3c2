# SPDX-License-Identifier: GPL-2.0-or-later
"""CPU time of booting Debian's kernels (tools/mkguest) to user space and power-off."""
import ctypes
import lzma
import os
import subprocess
import sys
import time
import zlib

APPEND = "console=ttyS0 viv_cmd=true viv_end=poweroff"
READY = b"viv-guest: ready"
QEMU = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "1024",
        "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio", "-net", "none"]
LZ4_BLOCK = 8 << 20  # of the legacy frame, unpacked


def field(image, offset, size=4):
    return int.from_bytes(image[offset:offset + size], "little")


def unpack_lz4(data):
    """LZ4's legacy frame: after the magic, blocks with their size before them; what ends it is the
    size of all that Linux's build puts behind."""
    decompress = ctypes.CDLL("liblz4.so.1").LZ4_decompress_safe
    block, out, at = ctypes.create_string_buffer(LZ4_BLOCK), b"", 4
    while at + 8 <= len(data):
        size = field(data, at)
        n = decompress(data[at + 4:at + 4 + size], block, size, LZ4_BLOCK)
        if n < 0:
            sys.exit("bench: the kernel's LZ4 data is damaged")
        out += block.raw[:n]
        at += 4 + size
    return out


# How a kernel may be packed, by the payload's first bytes.
UNPACKERS = {
    b"\x1f\x8b": lambda data: zlib.decompressobj(31).decompress(data),
    b"\xfd7zXZ\0": lambda data: lzma.LZMADecompressor().decompress(data),
    b"\x02\x21\x4c\x18": unpack_lz4,
}


def unpack(image):
    """The vmlinux in a bzImage: Linux's Documentation/x86/boot.rst, payload_offset and payload_length."""
    start = (field(image, 0x1f1, 1) + 1) * 512 + field(image, 0x248)
    payload = image[start:start + field(image, 0x24c)]
    for magic, unpacker in UNPACKERS.items():
        if payload.startswith(magic):
            return unpacker(payload)
    sys.exit(f"bench: the kernel is packed in a way that starts with {payload[:4].hex()}")


def boot(argv):
    """(CPU seconds, wall seconds) of the process and its children, to its end."""
    start = time.monotonic()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT)
    output = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or READY not in output:
        tail = output[-2000:].decode(errors="replace")
        sys.exit(f"bench: {argv[0]} ended with {process.returncode}; its last output:\n{tail}")
    return used.ru_utime + used.ru_stime, time.monotonic() - start


def commands(viv, guest, out, skip_tcg):
    kernel, initrd = guest / "vmlinuz", guest / "initrd.gz"
    run = [viv, "run", "-m", "1G", "--kernel", kernel, "--initrd", initrd, "--append", APPEND]
    kept = [*run, "--kernel-cache", out / "kernels"]
    argvs = {"viv": [*kept, "--engine", "soft"],
             "viv, T0 alone": [*kept, "--engine", "interp"],
             "viv, unpacking the kernel": [*run, "--kernel-cache", "off", "--engine", "soft"]}
    if not skip_tcg:
        vmlinux = out / f"vmlinux-{guest.name}"
        vmlinux.write_bytes(unpack(kernel.read_bytes()))
        for label, image in (("TCG, bzImage", kernel), ("TCG, unpacked vmlinux (PVH)", vmlinux)):
            argvs[label] = [*QEMU, "-kernel", image, "-initrd", initrd, "-append", APPEND]
    return argvs


def measure(viv, guests, out, options, results):
    kept = results.get("boots", {}) if options.resume or options.skip_tcg else {}
    results["boots"] = {}
    for guest in guests:
        argvs = commands(viv, guest, out, options.skip_tcg)
        found = {label: [] for label in argvs}
        boot(argvs["viv"])  # keeps the kernel for the others
        for number in range(options.runs):
            for label, argv in argvs.items():
                cpu_s, wall_s = boot(argv)
                print(f"boot of {guest.name} on {label}, run {number + 1} of {options.runs}: "
                      f"{cpu_s:.2f} s", file=sys.stderr, flush=True)
                found[label].append({"cpu_s": round(cpu_s, 3), "wall_s": round(wall_s, 3)})
        results["boots"][guest.name] = {**kept.get(guest.name, {}), **found}
