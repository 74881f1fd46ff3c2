# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever the user gets wrong: status 2 and one line that names the culprit and the remedy."""
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

CASES = [
    # arguments, what the line must say ({dir} holds: text, empty, short, large)
    ("frobnicate", ["unknown verb 'frobnicate'", "viv help"]),
    ("help frobnicate", ["unknown verb 'frobnicate'", "viv help"]),
    ("run", ["--kernel"]),
    ("run --kernel", ["--kernel needs a value"]),
    ("run --kernal x", ["--kernal", "viv run --help"]),
    ("run vmlinuz", ["vmlinuz", "viv run --help"]),
    ("run --stats=1", ["--stats", "no value"]),
    ("run --kernel a --kernel b", ["--kernel", "twice"]),
    ("run --kernel {dir}/absent", ["{dir}/absent", "No such file", "check the path"]),
    ("run --kernel {dir}", ["{dir}"]),
    ("run --kernel {dir}/text", ["{dir}/text", "kernel"]),
    ("run --kernel {dir}/empty", ["{dir}/empty"]),
    ("run --kernel {kernel} --initrd {dir}/absent", ["{dir}/absent", "No such file"]),
    ("run --kernel {kernel} -m 16M --initrd {dir}/large", ["{dir}/large", "too large", "-m"]),
    ("run --kernel {kernel} --disk {dir}/absent", ["{dir}/absent", "No such file"]),
    ("run --kernel {kernel} --disk {dir}", ["{dir}"]),
    ("run --kernel {kernel} --disk {dir}/short", ["{dir}/short", "512"]),
    ("run --floppy a --floppy b --floppy c", ["--floppy", "'c'", "at most 2"]),
    ("run --floppy {dir}/text,ro", ["{dir}/text"]),
    ("run --kernel {kernel} -m 1M", ["--memory", "1M", "16M"]),
    ("run --kernel {kernel} -m 0", ["--memory", "16M"]),
    ("run --kernel {kernel} -m 999999999999999999999", ["--memory", "not a size"]),
    ("run --kernel {kernel} -m 17179869184G", ["--memory", "not a size"]),
    ("run --kernel {kernel} -m 4T", ["--memory", "4T", "256G"]),
    ("run --kernel {kernel} -m lots", ["--memory", "'lots'", "512M"]),
    ("run --kernel {kernel} -m -5", ["--memory", "'-5'", "512M"]),
    ("run --kernel {kernel} -m 2GB", ["--memory", "'2GB'", "2G"]),
    ("run --kernel {kernel} -m 16385K", ["--memory", "16385K", "4K"]),
    ("run --kernel {kernel} --cpus 0", ["--cpus", "'0'"]),
    ("run --kernel {kernel} --cpus two", ["--cpus", "'two'"]),
    ("run --kernel {kernel} --cpus 100000", ["--cpus", "100000", "at most"]),
    ("run --kernel {kernel} --cpu v9", ["--cpu", "'v9'", "--cpu help"]),
    ("run --kernel {kernel} --cpu v1,avx", ["--cpu", "'avx'", "+FEATURE"]),
    ("run --kernel {kernel} --cpu v1,+avx9", ["--cpu", "'avx9'", "--cpu help"]),
    ("run --kernel {kernel} --cpu v1,-fpu", ["--cpu", "'-fpu'", "every model"]),
    ("run --kernel {kernel} --cpu 486 --engine soft", ["--cpu", "'486'", "64-bit", "32-bit kernel"]),
    ("run --kernel {kernel} --cpu v1,-apic --cpus 2 --engine soft", ["--cpu", "APIC", "--cpus"]),
    ("run --kernel {kernel} --cpu v1,-cpuid --engine kvm", ["--cpu", "KVM", "--engine soft"]),
    ("run --kernel {kernel} --engine fast", ["--engine", "'fast'", "soft", "kvm"]),
    ("run --kernel {kernel} --code-cache 512K", ["--code-cache", "512K", "1M", "1G"]),
    ("run --kernel {kernel} --code-cache 2G", ["--code-cache", "2G", "1G"]),
    ("run --kernel {kernel} --code-cache 1025K", ["--code-cache", "1025K", "4K"]),
    ("run --kernel {kernel} --code-cache big", ["--code-cache", "'big'", "16M"]),
    ("run --kernel {kernel} --code-cache 8M --engine interp", ["--code-cache", "interp", "--engine soft"]),
    ("run --kernel {kernel} --lockstep 0", ["--lockstep", "'0'", "1"]),
    ("run --kernel {kernel} --lockstep 1 --cpus 2", ["--lockstep", "--cpus"]),
    ("run --kernel {kernel} --lockstep 1 --engine interp", ["--lockstep", "interp", "--engine soft"]),
    ("run --kernel {kernel} --trace cpu_cr3,frob", ["--trace", "'frob'", "--trace help"]),
    ("run --kernel {kernel} --trace-file {dir}/t", ["--trace-file", "--trace EVENT"]),
    ("run --kernel {kernel} --trace * --trace-file {dir}/absent/t", ["--trace-file", "{dir}/absent/t", "No such"]),
    ("run --kernel {kernel} --gdb 1234", ["--gdb", "'1234'", "unix:PATH"]),
    ("run --kernel {kernel} --gdb tcp:1234", ["--gdb", "tcp:1234", "127.0.0.1"]),
    ("run --kernel {kernel} --gdb tcp:127.0.0.1:0", ["--gdb", "127.0.0.1:0"]),
    ("run --kernel {kernel} --gdb tcp:0.0.0.0:1234", ["--gdb", "0.0.0.0", "127.0.0.1"]),
    ("run --kernel {kernel} --gdb unix:", ["--gdb", "path"]),
    ("run --kernel {kernel} --gdb unix:{dir}/absent/s", ["--gdb", "{dir}/absent/s", "No such"]),
    ("run --kernel {kernel} --gdb unix:{dir}/text", ["--gdb", "{dir}/text", "in use"]),
    ("run --kernel {kernel} --perf-map --engine interp", ["--perf-map", "interp", "--engine soft"]),
    ("run --kernel {kernel} --dump-regions {dir}/r --engine interp", ["--dump-regions", "interp"]),
    ("run --kernel {kernel} --dump-regions {dir}/absent/r", ["--dump-regions", "{dir}/absent/r", "No such"]),
    ("run --kernel {kernel} --dump-regions a --dump-regions b", ["--dump-regions", "twice"]),
    ("run --kernel {kernel} --gdb-wait", ["--gdb-wait", "--gdb ADDRESS"]),
    ("run --kernel {kernel} --gdb unix:{dir}/s --gdb unix:{dir}/t", ["--gdb", "twice"]),
]


@pytest.mark.parametrize("arguments, wanted", CASES, ids=[case[0] for case in CASES])
def test_one_line_and_status_2(viv, monitor, tmp_path, arguments, wanted):
    (tmp_path / "text").write_text("#!/bin/sh\necho not a kernel\n" * 100)
    (tmp_path / "empty").touch()
    (tmp_path / "short").write_bytes(b"x" * 100)
    with open(tmp_path / "large", "wb") as large:
        large.truncate(17 << 20)
    names = {"dir": tmp_path, "kernel": monitor}
    ran = subprocess.run([viv, *arguments.format(**names).split()], stdin=subprocess.DEVNULL,
                         capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2, ran.stderr
    assert ran.stdout == ""
    assert ran.stderr.startswith("viv: ") and ran.stderr.count("\n") == 1, ran.stderr
    for text in wanted:
        assert text.format(**names) in ran.stderr


def test_too_many_disks(viv, monitor, tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(512))
    ran = subprocess.run([viv, "run", "--kernel", monitor, *["--disk", str(disk)] * 17],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert "--disk" in ran.stderr and "at most 16" in ran.stderr


@pytest.mark.parametrize("arguments", ["--help", "help", "help run", "run --help", "run -h",
                                       "help help"])
def test_help(viv, arguments):
    ran = subprocess.run([viv, *arguments.split()], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0 and ran.stderr == ""
    assert ran.stdout.startswith("Usage: viv ")
    assert all(len(line) <= 100 for line in ran.stdout.splitlines())


def test_cpu_help(viv):
    ran = subprocess.run([viv, "run", "--cpu", "help"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0 and ran.stderr == ""
    for name in ["host", "v1", "v4", "486", "core2", "sse4_2", "x2apic"]:
        assert re.search(rf"(^|[ \[]){name}\b", ran.stdout, re.MULTILINE), name
    assert all(len(line) <= 100 for line in ran.stdout.splitlines())


def test_no_verb(viv):
    ran = subprocess.run([viv], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2 and "Usage: viv" in ran.stderr


def test_version(viv):
    ran = subprocess.run([viv, "version"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0 and ran.stdout.startswith("viv 0.")


def test_manual_page_has_every_option(viv):
    page = (ROOT / "docs/man/viv.1").read_text().replace("\\-", "-")
    ran = subprocess.run([viv, "run", "--help"], capture_output=True, text=True, timeout=60)
    options = re.findall(r"^  (?:-\w, |    )(--\w+)", ran.stdout, re.MULTILINE)
    assert len(options) > 5
    assert [option for option in options if option not in page] == []
