# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP throughput by iperf3: a guest and its host by user mode, and two guests, on viv and on TCG."""
import contextlib
import gzip
import json
import pathlib
import re
import socket
import subprocess
import sys
import time

E2E = pathlib.Path(__file__).resolve().parents[1] / "e2e"
IPERF = "/usr/bin/iperf3"
SECONDS = 8
BOOT_S = 300
CARDS = {"virtio": "virtio-net-pci", "e1000": "e1000"}
# TCG's timer interrupts are late on a busy host, of which Linux makes a panic.
APPEND = "console=ttyS0 no_timer_check"


def make_initrd(guest, out):
    """The end-to-end tests' initrd, and the host's iperf3 with its libraries."""
    listed = subprocess.run(["ldd", IPERF], capture_output=True, text=True, check=True).stdout
    files = [IPERF, *re.findall(r"(/\S+) \(0x", listed)]
    names = "\n".join(sorted({str(parent) for file in files for parent in pathlib.Path(file).parents} - {"/"}) + files)
    archive = subprocess.run(["cpio", "-o", "-L", "-H", "newc", "--quiet", "-D", "/"], check=True, capture_output=True,
                             input="\n".join(f".{name}" for name in names.split("\n")).encode()).stdout
    initrd = out / "net-initrd.gz"
    initrd.write_bytes((guest / "initrd.gz").read_bytes() + gzip.compress(archive, 1))
    return initrd


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Rig:
    """Starts guests of one kind."""

    def __init__(self, label, viv, kernel, initrd, model):
        self.viv, self.model = label == "viv", model
        self.port = free_port()
        boot = [str(word) for word in ("-kernel", kernel, "-initrd", initrd, "-append", APPEND, "-m", "1G")]
        self.argv = ([viv, "run", "--engine", "soft", *("-" + word if word.startswith("-") and len(word) > 2 else word
                                                        for word in boot)] if self.viv else
                     ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-nodefaults", "-nographic", "-serial",
                      "stdio", *boot])

    def network(self, number):
        """0: user mode; else one of the two of a private network."""
        device = ["-device", f"{CARDS[self.model]},netdev=n,mac=52:54:00:00:00:0{number}"]
        if number == 0:
            return ["--net", f"user,model={self.model}"] if self.viv else ["-netdev", "user,id=n", *device]
        if self.viv:
            return ["--net", f"private=bench-{self.port},model={self.model}"]
        end = "listen" if number == 1 else "connect"
        return ["-netdev", f"socket,id=n,{end}=127.0.0.1:{self.port}", *device]

    @contextlib.contextmanager
    def start(self, number, address):
        sys.path.insert(0, str(E2E))
        from guest import Guest  # the end-to-end tests'; tables are made without it
        with Guest([*self.argv, *self.network(number)]) as guest:
            guest.expect("/ # ", timeout=BOOT_S)
            guest.run(f"dmesg -n 1; ip addr add {address}/24 dev eth0; ip link set lo up; ip link set eth0 up")
            yield guest


def run_client(guest, arguments):
    """Megabits a second."""
    text = guest.run(f"iperf3 -J -t {SECONDS} {arguments}", timeout=SECONDS + 120)
    report = json.loads(text[text.index("{"):text.rindex("}") + 1])
    return report["end"]["sum_received"]["bits_per_second"] / 1e6


def measure_user(rig):
    server = subprocess.Popen([IPERF, "-s", "-B", "127.0.0.1", "-p", str(rig.port)], stdout=subprocess.DEVNULL)
    try:
        with rig.start(0, "10.0.2.15") as guest:
            yield "guest to host", run_client(guest, f"-c 10.0.2.2 -p {rig.port}")
            yield "host to guest", run_client(guest, f"-c 10.0.2.2 -p {rig.port} -R")
    finally:
        server.kill()
        server.wait()


def measure_pair(rig):
    with rig.start(1, "192.0.2.1") as first, rig.start(2, "192.0.2.2") as second:
        first.run("iperf3 -s -D")
        time.sleep(1)
        yield "guest to guest", run_client(second, "-c 192.0.2.1")


def measure(viv, guest, out, options, results):
    initrd = make_initrd(guest, out)
    results["net"] = {}
    for model in CARDS:
        for number in range(options.runs):
            for label in ("viv",) if options.skip_tcg else ("viv", "TCG"):
                rig = Rig(label, viv, guest / "vmlinuz", initrd, model)
                for way in (measure_user, measure_pair):
                    for what, speed in way(rig):
                        print(f"{what}, {model}, on {label}, run {number + 1} of {options.runs}: {speed:.0f} Mbit/s",
                              file=sys.stderr, flush=True)
                        row = results["net"].setdefault(f"{what}, {model}", {})
                        row.setdefault(label, []).append(round(speed))
