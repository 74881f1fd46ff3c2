# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's own kernels on the software CPU, to a shell and back."""
import hashlib
import json
import os
import re
import subprocess
import time

import pytest

import media
from conftest import ROOT
from guest import Guest
from pc import Picture

pytestmark = pytest.mark.boot
GUEST = ROOT / "build/guest"
PROMPT = "/ # "
BOOT_CPU_SECONDS = 60
# What a healthy kernel on healthy hardware does not say.
BAD_NEWS = re.compile(
    r"WARNING|BUG|Oops|Call Trace|unable to handle|nobody cared|rcu: INFO|tsc: Marking"
    r"|clocksource: .*unstable|Kernel panic|general protection|segfault|traps:|ACPI.* Error"
    r"|MP-BIOS bug|Firmware Bug|[Ss]purious|timed out|not responding|I/O error|soft lockup|stall")


def start(viv, kernel, *options):
    """A guest at its shell's prompt; checks what getting there cost."""
    guest = Guest([viv, "run", "--kernel", GUEST / kernel / "vmlinuz", "--initrd",
                   GUEST / kernel / "initrd.gz", *options])
    guest.expect(PROMPT, timeout=600)
    used = cpu_seconds(guest.process.pid)
    assert used < BOOT_CPU_SECONDS, f"the boot took {used:.1f} s of CPU time"
    return guest


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def bad_news(log):
    """The lines of the kernel's log that are."""
    return [line for line in log.splitlines() if BAD_NEWS.search(line)]


def last_line(text):
    """Of a command's output, which the terminal's echo comes before."""
    return text.strip().splitlines()[-1]


@pytest.mark.parametrize("kernel", ["cloud", "generic"])
def test_shell(viv, kernel):
    with start(viv, kernel) as guest:
        assert "Linux" in guest.run("uname -a") and "x86_64" in guest.run("uname -m")
        cpuinfo = guest.run("cat /proc/cpuinfo")
        assert re.search(r"^processor\s*: 0$", cpuinfo, re.MULTILINE)
        assert {"lm", "nx", "sse2", "syscall"} <= set(
            re.search(r"^flags\s*: (.*)$", cpuinfo, re.MULTILINE).group(1).split())
        assert "init" in guest.run("ls /")
        assert int(re.search(r"MemTotal:\s+(\d+) kB", guest.run("cat /proc/meminfo"))[1]) > 900_000
        log = guest.run("dmesg")
        assert "Linux version" in log
        assert bad_news(log) == []
        guest.send("poweroff\n")
        status, output, errors = guest.finish()
        assert status == 0, errors
        assert "Kernel panic" not in output


def test_kernel_cache(viv, tmp_path):
    """The second boot takes the kernel that the first one unpacked; a damaged one is replaced."""
    cache = tmp_path / "kernels"

    def boot(where):
        with start(viv, "cloud", "--kernel-cache", where) as guest:
            guest.send("poweroff\n")
            assert guest.finish()[0] == 0

    boot(cache)
    kept, = cache.iterdir()
    first = kept.stat()
    assert kept.read_bytes()[:4] == b"\x7fELF"
    boot(cache)
    assert (kept.stat().st_ino, kept.stat().st_size) == (first.st_ino, first.st_size)
    kept.write_bytes(b"no kernel")
    boot(cache)
    assert kept.stat().st_size == first.st_size
    boot("off")


@pytest.mark.parametrize("cpu, wanted, unwanted", [
    ("v1", {"lm", "sse2", "x2apic"}, {"pni", "avx", "smep"}),
    ("core2", {"lm", "ssse3", "cx16"}, {"sse4_1", "x2apic", "xsave"}),
    ("opteron,+nonstop_tsc", {"lm", "sse2", "nonstop_tsc"}, {"pni", "cx16"}),
])
def test_model(viv, cpu, wanted, unwanted):
    with start(viv, "cloud", "--engine", "soft", "--cpu", cpu, "--cpus", "2") as guest:
        flags = re.search(r"^flags\s*: (.*)$", guest.run("cat /proc/cpuinfo"), re.MULTILINE)
        assert wanted <= set(flags.group(1).split())
        assert not unwanted & set(flags.group(1).split())
        log = guest.run("dmesg")
        # The lines of a kernel that knows no way around some processors' bugs are no surprise.
        assert [line for line in bad_news(log) if "hw-vuln" not in line] == []
        guest.send("poweroff\n")
        assert guest.finish()[0] == 0


@pytest.mark.parametrize("size", [pytest.param("1M", marks=pytest.mark.slow), "4M"])
def test_small_code_cache(viv, size):
    """It is full again and again; what was translated is forgotten, and the kernel sees nothing."""
    with start(viv, "cloud", "--code-cache", size, "--stats") as guest:
        assert "Linux" in guest.run("uname -a")
        log = guest.run("dmesg")
        assert [line for line in log.splitlines() if BAD_NEWS.search(line)] == []
        guest.send("poweroff -f\n")
        status, _, errors = guest.finish()
        assert status == 0, errors
    assert int(re.search(r"(\d+) flushes", errors)[1]) > 10


LOCKSTEP = re.compile(r"lockstep: (\d+) of (\d+) entries .* compared, (\d+) regions; (\d+) agreed, "
                      r"(\d+) proved nothing")


@pytest.mark.parametrize("rate", [pytest.param(1, marks=pytest.mark.slow), 50])
def test_lockstep(viv, tmp_path, rate):
    """What the translator runs of a boot, of programs and of what disks do is what the interpreter makes
    of it."""
    disk = tmp_path / "disk"
    content = os.urandom(1 << 20)
    disk.write_bytes(content)
    guest = Guest([viv, "run", "--kernel", GUEST / "cloud/vmlinuz", "--initrd", GUEST / "cloud/initrd.gz",
                   "--disk", disk, "--lockstep", str(rate), "--stats"])
    with guest:
        guest.expect(PROMPT, timeout=600)
        assert hashlib.md5(content).hexdigest() in guest.run("md5sum /dev/vda", timeout=300)
        guest.run("dd if=/dev/vda of=/dev/vda bs=64k count=8 seek=8 conv=fsync 2>/dev/null", timeout=300)
        log = guest.run("dmesg", timeout=300)
        assert [line for line in log.splitlines() if BAD_NEWS.search(line)] == []
        guest.send("poweroff -f\n")
        status, _, errors = guest.finish(timeout=300)
        assert status == 0, errors
    assert disk.read_bytes() == content[:512 << 10] * 2
    compared, entries, regions, agreed, nothing = map(int, LOCKSTEP.search(errors).groups())
    assert entries > 1_000_000 and compared == (entries + rate - 1) // rate and regions > 5 * compared
    assert agreed + nothing == compared and nothing < compared / 100, errors


def test_all_that_the_host_has(viv):
    """AVX-512, where the host has it, is not offered without --cpu."""
    with open("/proc/cpuinfo") as cpuinfo:
        host = re.search(r"^flags\s*: (.*)$", cpuinfo.read(), re.MULTILINE).group(1).split()
    wanted = {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
    if not wanted <= set(host):
        pytest.skip("this host has no AVX-512")
    with start(viv, "cloud", "--engine", "soft", "--cpu", "host") as guest:
        flags = guest.run("grep -m1 ^flags /proc/cpuinfo")
        assert wanted <= set(flags.split())
        log = guest.run("dmesg")
        assert "Enabled xstate features 0xe7" in log
        assert bad_news(log) == []
        guest.send("poweroff\n")
        status, _, errors = guest.finish()
        assert status == 0, errors


def test_reset_is_told_apart(viv):
    with start(viv, "cloud") as guest:
        guest.send("reboot -f\n")
        status, _, errors = guest.finish()
        assert status == 3, errors


def test_disks(viv, tmp_path):
    """What the guest writes arrives in the file; what it reads is what the file holds."""
    writable, read_only = tmp_path / "writable", tmp_path / "read-only"
    writable.write_bytes(bytes(8 << 20))
    content = os.urandom(1 << 20)
    read_only.write_bytes(content)
    with start(viv, "cloud", "--disk", writable, "--disk", f"{read_only},ro") as guest:
        assert guest.run("cat /sys/block/vda/size").strip().endswith(str((8 << 20) // 512))
        guest.run("dd if=/dev/vdb of=/dev/vda bs=64k seek=16 conv=fsync 2>/dev/null")
        assert hashlib.md5(content).hexdigest() in guest.run("md5sum /dev/vdb")
        assert "refused" in guest.run("dd if=/dev/zero of=/dev/vdb count=1 2>/dev/null || "
                                      "echo refused")
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0
    assert writable.read_bytes() == bytes(1 << 20) + content + bytes(6 << 20)
    assert read_only.read_bytes() == content


def test_disk_options(viv, tmp_path):
    """A format by the name's end, a snapshot that is forgotten, counts, and limits that are changed."""
    image, raw = tmp_path / "a.qcow2", tmp_path / "b.raw"
    subprocess.run([viv, "disk", "create", image, "64M"], check=True)
    raw.write_bytes(b"\x5a" * (4 << 20))

    def disk(verb, *words):
        return subprocess.run([viv, "disk", verb, *words], check=True, capture_output=True, text=True,
                              timeout=60).stdout

    with start(viv, "cloud", "--name", "disk-options", "--disk", f"{image},iops=1000000,discard=off", "--disk",
               f"{raw},snapshot,direct=off") as guest:
        assert last_line(guest.run("cat /sys/block/vda/size")) == str((64 << 20) // 512)
        guest.run("head -c 1000000 /dev/urandom >/tmp/x; dd if=/tmp/x of=/dev/vda oflag=direct conv=notrunc bs=4k")
        assert "5a 5a" in guest.run("head -c 2 /dev/vdb | od -An -tx1")
        guest.run("dd if=/tmp/x of=/dev/vdb bs=4k conv=fsync")
        guest.run("cmp -n 1000000 /tmp/x /dev/vda && cmp -n 1000000 /tmp/x /dev/vdb && echo alike")
        ours, other = json.loads(disk("stat", "--json", "disk-options"))
        assert (ours["name"], ours["format"], other["name"]) == ("disk0", "qcow2", "disk1")
        assert ours["write"]["bytes"] >= 1000000 and ours["write"]["errors"] == 0 and ours["write"]["total_ns"]
        assert ours["limits"]["iops"] == 1000000
        disk("limit", "disk-options", "disk0", "iops=20,iops-burst=1")
        begin = time.monotonic()
        guest.run("dd if=/dev/vda of=/dev/null iflag=direct bs=4k count=20")
        assert time.monotonic() - begin > 0.8
        assert "disk0: " in disk("stat", "disk-options")
        guest.send("poweroff\n")
        assert guest.finish()[0] == 0
    assert raw.read_bytes() == b"\x5a" * (4 << 20)
    assert "Nothing is wrong" in disk("check", image)


@pytest.mark.parametrize("board, buses", [("pc", ["ide", "sata", "nvme", "scsi"]), ("q35", ["sata", "nvme"])])
def test_disk_buses(viv, tmp_path, board, buses):
    """By Linux's driver of each bus; the disks are told apart by their sizes."""
    sectors = {bus: 2048 + 8 * n for n, bus in enumerate(buses)}
    contents = {bus: os.urandom(512 * sectors[bus]) for bus in buses}
    options = []
    for bus, content in contents.items():
        (tmp_path / bus).write_bytes(content)
        options += ["--disk", f"{tmp_path / bus},bus={bus}"]
    with start(viv, "generic", "--board", board, *options) as guest:
        for bus in buses:
            disk = f"$(basename $(dirname $(grep -lx {sectors[bus]} /sys/block/*/size)))"
            guest.run(f"until grep -qx {sectors[bus]} /sys/block/*/size; do sleep 0.1; done; disk=/dev/{disk}")
            guest.run("until [ -b $disk ]; do sleep 0.1; done")
            assert hashlib.md5(contents[bus]).hexdigest() in guest.run("md5sum $disk")
            guest.run(f"printf 'sent by {bus}' | dd of=$disk bs=512 seek=5 conv=fsync 2>/dev/null")
        assert bad_news(guest.run("dmesg")) == []
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0
    for bus, content in contents.items():
        text = f"sent by {bus}".encode()
        assert (tmp_path / bus).read_bytes() == content[:2560] + text + content[2560 + len(text):]


@pytest.mark.parametrize("board", ["pc", "q35"])
def test_virtio_gpu(viv, tmp_path, board):
    """Linux's driver takes the screen from the VGA, and its console appears there."""
    shot = tmp_path / "shot.png"
    name = f"gpu-{board}"
    with start(viv, "generic", "--board", board, "--video", "virtio", "--name", name,
               "--append", "console=ttyS0 bochs.modeset=0") as guest:
        assert "virtio_gpudrmfb" in guest.run("cat /sys/class/graphics/fb0/name")
        guest.run("clear >/dev/tty1; head -c 9999 /dev/zero | tr '\\0' W >/dev/tty1")
        subprocess.run([viv, "screenshot", name, shot], check=True, timeout=60)
        picture = Picture(shot)
        assert (picture.width, picture.height) == (1280, 800)
        colours = dict(picture.colours())
        assert colours[0, 0, 0] > 0.2 and colours[170, 170, 170] > 0.2, colours
        assert bad_news(guest.run("dmesg")) == []
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0


def test_compatibility_mode(viv, tmp_path):
    """A 32-bit program under the 64-bit kernel."""
    program, disk = tmp_path / "compat", tmp_path / "disk"
    subprocess.run(["gcc", "-m32", "-nostdlib", "-static", "-no-pie", "-Wl,-z,noexecstack", "-o",
                    program, ROOT / "tests/e2e/compat.S"], check=True)
    size = program.stat().st_size
    disk.write_bytes(program.read_bytes() + bytes(-size % 512))
    with start(viv, "cloud", "--disk", f"{disk},ro") as guest:
        guest.run(f"head -c {size} /dev/vda >/run/compat; chmod +x /run/compat")
        assert last_line(guest.run("/run/compat")) == "compat: all well"


@pytest.mark.slow
@pytest.mark.parametrize("kernel, cpus", [("i386", 1), ("i386-pae", 1), ("rt", 2)])
def test_other_kernels(viv, kernel, cpus):
    """32-bit kernels, without and with PAE, and the one with real-time preemption."""
    subprocess.run([ROOT / "tools/mkguest", GUEST, kernel], check=True)
    with start(viv, kernel, "--cpus", str(cpus)) as guest:
        machine = "i686" if kernel.startswith("i386") else "x86_64"
        assert last_line(guest.run("uname -m")) == machine
        log = guest.run("dmesg")
        assert bad_news(log) == []
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0


GRUB_CONFIG = """set timeout=0
menuentry Linux {
    linux /boot/vmlinuz console=ttyS0
    initrd /boot/initrd.gz
}
"""


@pytest.mark.slow
@pytest.mark.parametrize("drive", ["--disk={},ro,bus=ide", "--cdrom={}"], ids=["disk", "cd"])
@pytest.mark.parametrize("kernel", ["i386", "i386-pae"])
def test_32_bit_kernels_from_grub(viv, tmp_path, kernel, drive):
    """The image is a CD and, by the boot sector in it, a disk."""
    subprocess.run([ROOT / "tools/mkguest", GUEST, kernel], check=True)
    files = {name: GUEST / kernel / name for name in ("vmlinuz", "initrd.gz")}
    image = media.grub_cd(tmp_path, files, GRUB_CONFIG)
    with Guest([viv, "run", drive.format(image)]) as guest:
        guest.expect(PROMPT, timeout=600)
        assert last_line(guest.run("uname -m")) == "i686"
        log = guest.run("dmesg")
        assert bad_news(log) == []
        assert ("non-PAE kernel" in log) == (kernel == "i386")
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0


@pytest.mark.parametrize("cpus", [2, 5])
def test_several_cpus(viv, cpus):
    with start(viv, "cloud", "--cpus", str(cpus)) as guest:
        assert last_line(guest.run("grep -c ^processor /proc/cpuinfo")) == str(cpus)
        # Work on each, that meets in a pipe and in the page cache.
        total = guest.run(f"for i in $(seq {cpus}); do taskset $((1 << (i - 1))) sh -c "
                          "'i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); done; echo $i' & done | "
                          "awk '{ s += $1 } END { print s }'")
        assert last_line(total) == str(2000 * cpus)
        log = guest.run("dmesg")
        assert bad_news(log) == []
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0


@pytest.mark.slow
def test_idle(viv):
    """Four processors with nothing to do take less than a hundredth of one of the host's."""
    with start(viv, "cloud", "--cpus", "4") as guest:
        time.sleep(20)  # what a boot leaves to do later
        before = cpu_seconds(guest.process.pid)
        time.sleep(60)
        assert cpu_seconds(guest.process.pid) - before < 0.01 * 60
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0


@pytest.mark.slow
def test_twenty_boots(viv):
    """Boots in a row with four processors, none of which finds anything to complain of."""
    for _ in range(20):
        with start(viv, "cloud", "--cpus", "4") as guest:
            assert last_line(guest.run("grep -c ^processor /proc/cpuinfo")) == "4"
            log = guest.run("dmesg")
            assert bad_news(log) == []
            guest.send("poweroff -f\n")
            assert guest.finish()[0] == 0


def test_q35(viv, tmp_path):
    """PCI Express is used, nothing is complained of, and it goes off by ACPI."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    with start(viv, "cloud", "--board", "q35", "--cpus", "2", "--disk", f"{disk},bus=nvme") as guest:
        log = guest.run("dmesg")
        assert bad_news(log) == []
        assert "MMCONFIG at [mem 0xb0000000-0xbfffffff] reserved in ACPI motherboard resources" in log
        assert "pcieport 0000:00:1c.0: PME: Signaling with IRQ" in log
        assert "OS now controls [PME PCIeCapability]" in log
        assert last_line(guest.run("cat /sys/bus/pci/devices/0000:01:00.0/class")) == "0x010802"
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0


@pytest.mark.parametrize("board", ["pc", "q35"])
def test_no_ioapic(viv, board):
    """Interrupts reach the 8259s by ACPI's link devices."""
    with start(viv, "cloud", "--board", board, "--append", "console=ttyS0 noapic pci=nomsi") as guest:
        assert re.search(r"^ *1[01]: +[1-9]\d* +XT-PIC +virtio0", guest.run("cat /proc/interrupts"),
                         re.MULTILINE)
        assert bad_news(guest.run("dmesg")) == []


def test_power_button(viv):
    with start(viv, "generic", "--name", "button") as guest:
        guest.run("modprobe button && modprobe evdev && mkdir -p /etc/acpi/PWRF && cd /etc/acpi/PWRF &&"
                  " printf '#!/bin/sh\\npoweroff\\n' >00000080 && chmod +x 00000080 && acpid -l /dev/null")
        ran = subprocess.run([viv, "stop", "button"], capture_output=True, text=True, timeout=60)
        assert (ran.returncode, ran.stderr) == (0, "")
        status, log, _ = guest.finish()
        assert status == 0 and "reboot: Power down" in log
