# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever the user gets wrong: status 2 and one line that names the culprit and the remedy."""
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

CASES = [
    # arguments, what the line must say ({dir} holds: text, empty, fifo, short, large)
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
    ("run --kernel {kernel} --disk {dir}/empty,bus=isa", ["--disk", "'isa'", "bus=virtio"]),
    ("run --kernel {kernel} --disk {dir}/empty,format=vhs", ["--disk", "'vhs'", "raw"]),
    ("run --kernel {kernel} --disk {dir}/empty,direct=yes", ["--disk", "'yes'", "on nor off"]),
    ("run --kernel {kernel} --disk {dir}/empty,iops=many", ["--disk", "'iops=many'", "500"]),
    ("run --kernel {kernel} --disk {dir}/empty,secret={dir}/empty", ["--disk", "{dir}/empty", "passphrase"]),
    ("run --kernel {kernel} --disk {dir}/empty,iop=5", ["{dir}/empty,iop=5", "No such file"]),
    ("run --kernel {kernel} -m 1M", ["--memory", "1M", "16M"]),
    ("run --kernel {kernel} -m 0", ["--memory", "16M"]),
    ("run --kernel {kernel} -m 999999999999999999999", ["--memory", "not a size"]),
    ("run --kernel {kernel} -m 17179869184G", ["--memory", "not a size"]),
    ("run --kernel {kernel} -m 4T", ["--memory", "4T", "256G"]),
    ("run --kernel {kernel} -m lots", ["--memory", "'lots'", "512M"]),
    ("run --kernel {kernel} -m -5", ["--memory", "'-5'", "512M"]),
    ("run --kernel {kernel} -m 2GB", ["--memory", "'2GB'", "2G"]),
    ("run --kernel {kernel} -m 16385K", ["--memory", "16385K", "4K"]),
    ("run --kernel {kernel} --board pcat", ["--board", "'pcat'", "pc or q35"]),
    ("run --board q35 --cdrom none,bus=ide", ["'q35'", "'ide'", "bus="]),
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
    ("run --kernel {kernel} --net lan", ["--net", "'lan'", "user, tap, private=NAME or none"]),
    ("run --kernel {kernel} --net user,color=red", ["--net", "'color'", "restrict"]),
    ("run --kernel {kernel} --net none,rate=1M", ["--net", "'rate'", "model, mac"]),
    ("run --kernel {kernel} --net user,restrict=maybe", ["--net", "'maybe'", "on nor off"]),
    ("run --kernel {kernel} --net user,restrict", ["--net", "restrict="]),
    ("run --kernel {kernel} --net user,net=10.0.2.1/24", ["--net", "'10.0.2.1/24'", "10.0.2.0/24"]),
    ("run --kernel {kernel} --net user,mtu=1", ["--net", "'1'", "576"]),
    ("run --kernel {kernel} --net user,hostname=a_b", ["--net", "'a_b'", "letters"]),
    ("run --kernel {kernel} --net user,tftp={dir}/absent", ["--net", "{dir}/absent", "folder"]),
    ("run --kernel {kernel} --net user,model=ne3k", ["--net", "'ne3k'", "e1000"]),
    ("run --kernel {kernel} --net user,mac=01:00:00:00:00:00", ["--net", "01:00", "52:54"]),
    ("run --kernel {kernel} --net user,rate=10", ["--net", "'10'", "100M"]),
    ("run --kernel {kernel} --net user,ip=1.2.3", ["--net", "'1.2.3'", "192.0.2.7"]),
    ("run --kernel {kernel} --net private=a/b", ["--net", "'a/b'", "name"]),
    ("run --kernel {kernel} --net tap,ifname=interface-of-mine", ["--net", "'interface-of-mine'", "15"]),
    ("run --kernel {kernel} -p 80", ["--publish", "'80'", "8080:80"]),
    ("run --kernel {kernel} -p 80:80/sctp", ["--publish", "80/sctp", "/udp"]),
    ("run --kernel {kernel} --net none -p 1:2", ["--publish", "--net user"]),
    ("run --kernel {kernel} --allow out:tcp:99999", ["--allow", "'99999'", "65535"]),
    ("run --kernel {kernel} --deny sideways", ["--deny", "'sideways'", "in|out|any"]),
    ("run --kernel {kernel} --allow out:tcp:443", ["--allow", "default-deny"]),
    ("run --kernel {kernel} --firewall {dir}/absent", ["--firewall", "{dir}/absent", "No such file"]),
    ("run --kernel {kernel} --firewall {dir}/text", ["--firewall", "{dir}/text", "line 2"]),
    ("run --kernel {kernel} --firewall default-deny --firewall default-allow", ["--firewall", "contradict"]),
    ("run --kernel {kernel} --pcap {dir}/c", ["--pcap", "--net user"]),
    ("run --kernel {kernel} --net user --pcap {dir}/absent/c", ["--pcap", "{dir}/absent/c", "No such file"]),
    ("run --kernel {kernel} --virtio-rings round", ["--virtio-rings", "'round'", "split or packed"]),
    ("run --kernel {kernel} --input usb,adb", ["--input", "'adb'", "ps2, usb or virtio"]),
    ("run --kernel {kernel} --input usb,", ["--input", "ps2, usb or virtio"]),
    ("run --kernel {kernel} --video cirrus", ["--video", "'cirrus'", "vga or virtio"]),
    ("run --kernel {kernel} --uuid 1234", ["--uuid", "'1234'", "4cde"]),
    ("run --kernel {kernel} --display vnc --name tls --vnc-tls {dir}/text", ["--vnc-tls", "{dir}/text", "openssl req"]),
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
    ("run --kernel {kernel} --disk {dir}/fifo,ro", ["{dir}/fifo", "neither a file"]),
    ("run --kernel {kernel} -v {dir}/absent", ["--volume", "{dir}/absent", "No such file", "folder"]),
    ("run --kernel {kernel} -v {dir}/text:tag", ["--volume", "{dir}/text'", "Not a directory"]),
    ("run --kernel {kernel} -v {dir}:a,b", ["--volume", "'a,b'", "letters"]),
    ("run --kernel {kernel} -v {dir}:/a/path/of/more/than/thirty-six/letters", ["--volume", "36 letters", ":9p"]),
    ("run --kernel {kernel} -v {dir}:a -v {dir}:a:ro", ["--volume", "'a'", "TAG"]),
    ("run --kernel {kernel} --hvc com1", ["--hvc", "'com1'", "unix:PATH"]),
    ("run --kernel {kernel} --hvc stdio --serial stdio", ["--hvc", "--serial none"]),
    ("run --kernel {kernel} --hvc stdio --detach", ["--detach", "--hvc unix:PATH"]),
    ("run --kernel {kernel} --hvc file:{dir}/absent/f", ["--hvc", "{dir}/absent/f", "No such"]),
    ("run --kernel {kernel} --port name", ["--port", "'name'", "NAME=unix:PATH"]),
    ("run --kernel {kernel} --port a/b=unix:x", ["--port", "'a/b'", "A-Z"]),
    ("run --kernel {kernel} --port a=stdio", ["--port", "'stdio'", "file:PATH"]),
    ("run --kernel {kernel} --port a=file:{dir}/absent/f", ["--port", "{dir}/absent/f", "No such"]),
    ("run --kernel {kernel} --port a=file:{dir}/f --port a=file:{dir}/g", ["--port", "'a'", "once"]),
    ("run --kernel {kernel} --agent --port org.qemu.guest_agent.0=file:{dir}/f", ["--agent", "once"]),
    ("run --kernel {kernel} --vsock 2", ["--vsock", "'2'", "from 3 on"]),
    ("run --kernel {kernel} --vsock 3 --vsock 4", ["--vsock", "twice"]),
    ("run --kernel {kernel} --vsock 3,{dir}/absent/v", ["--vsock", "{dir}/absent/v", "No such"]),
    ("run --kernel {kernel} --serial com1", ["--serial", "'com1'", "unix:PATH"]),
    ("run --kernel {kernel} --serial none2", ["--serial", "'none2'", "unix:PATH"]),
    ("run --kernel {kernel} --serial unix:", ["--serial", "unix:PATH"]),
    ("run --kernel {kernel} --serial none --serial none", ["--serial", "twice"]),
    ("run --kernel {kernel} --serial unix:{dir}/text", ["--serial", "{dir}/text", "in use"]),
    ("run --kernel {kernel} --serial unix:{dir}/" + "x" * 108, ["--serial", "107 bytes"]),
    ("run --kernel {kernel} --serial file:{dir}/absent/f", ["--serial", "{dir}/absent/f", "No such"]),
    ("run --kernel {kernel} --serial file:{dir}/fifo", ["--serial", "{dir}/fifo", "No such device"]),
    ("run --kernel {kernel} --name a/b", ["--name", "'a/b'", "A-Z"]),
    ("run --kernel {kernel} --name .a", ["--name", "'.a'", "no dot first"]),
    ("run --kernel {kernel} --name " + "n" * 64, ["--name", "1 to 63"]),
    ("run --kernel {kernel} --name a --name b", ["--name", "twice"]),
    ("run --kernel {kernel} --detach --serial stdio", ["--detach", "--serial unix:PATH"]),
    ("run --kernel {dir}/absent --detach", ["{dir}/absent", "No such file", "check the path"]),
    ("ls web", ["'web'", "one word too many", "viv ls"]),
    ("ls --jsn", ["--jsn", "viv ls --help"]),
    ("stop", ["viv stop NAME"]),
    ("stop web --timeout 0", ["--timeout", "'0'", "60"]),
    ("stop web", ["'web'", "viv ls"]),
    ("kill", ["viv kill NAME"]),
    ("kill a/b", ["'a/b'", "A-Z"]),
    ("kill web", ["'web'", "viv ls"]),
    ("pause web", ["'web'", "viv ls"]),
    ("resume web", ["'web'", "viv ls"]),
    ("reset web", ["'web'", "viv ls"]),
    ("reset web web", ["'web'", "one word too many", "viv reset NAME"]),
    ("eject", ["viv eject NAME [DRIVE]"]),
    ("eject web", ["'web'", "viv ls"]),
    ("insert web", ["viv insert NAME FILE [DRIVE]"]),
    ("insert web file cd0 more", ["'more'", "viv insert NAME FILE [DRIVE]"]),
    ("insert web {dir}/absent", ["'web'", "viv ls"]),
    ("console", ["viv console NAME"]),
    ("console web", ["'web'", "viv ls"]),
    ("monitor", ["viv monitor NAME"]),
    ("monitor web --jsn", ["--jsn", "viv monitor --help"]),
    ("monitor web", ["'web'", "viv ls"]),
]


@pytest.mark.parametrize("arguments, wanted", CASES, ids=[case[0] for case in CASES])
def test_one_line_and_status_2(viv, monitor, tmp_path, arguments, wanted):
    (tmp_path / "text").write_text("#!/bin/sh\necho not a kernel\n" * 100)
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "fifo")
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


VERBS = ("run create start ssh ls stop kill pause resume reset eject insert screen screenshot text type key mouse "
         "console vsock agent balloon monitor clone inspect rm image disk net pcap firewall doctor help version").split()


def say(viv, *arguments):
    return subprocess.run([viv, *arguments], capture_output=True, text=True, timeout=60).stdout


def test_help_lists_every_verb(viv):
    assert re.findall(r"^  (\w+) ", say(viv, "help"), re.MULTILINE) == VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_manual_page_has_every_verb_and_option(viv, verb):
    page = (ROOT / "docs/man/viv.1").read_text().replace("\\-", "-")
    assert re.search(rf"\.B\w* \"?viv (\w+\\fR\|\\fP)*{verb}\b", page)
    options = re.findall(r"^  (?:-\w, |    )(--[\w-]+)", say(viv, verb, "--help"), re.MULTILINE)
    assert options or verb in ("disk", "image", "help", "version")
    assert [option for option in options if option not in page] == []
