# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's gdb on --gdb: what a user of it types, and what it says."""
import json
import re
import socket
import subprocess

import pytest

from conftest import PM1A_CNT, ROOT
from debugger import run_gdb
from guest import Guest


@pytest.fixture(scope="session")
def kernel(tmp_path_factory):
    """The guest of debug.S, with symbols, as an ELF kernel."""
    path = tmp_path_factory.mktemp("debug") / "debug"
    subprocess.run(["gcc", "-g", "-nostdlib", "-static", "-Wl,-Ttext=0x200000",
                    "-Wl,--build-id=none", f"-DPM1A_CNT={PM1A_CNT}", "-o", path,
                    ROOT / "tests/e2e/debug.S"], check=True)
    return str(path)


class Debugged:
    """A guest that waits for gdb, and gdbs that come one after another."""

    def __init__(self, viv, kernel, address, *options):
        self.kernel = kernel
        self.address = address
        self.guest = Guest([viv, "run", "--kernel", kernel, "-m", "64M", "--gdb", address,
                            "--gdb-wait", *options])
        self.remote = address.removeprefix("unix:").removeprefix("tcp:")

    def gdb(self, *commands):
        """Runs gdb with these commands; returns what it said on both outputs."""
        ran = run_gdb(self.remote, self.kernel, commands, timeout=300)
        assert "Traceback" not in ran.stderr, ran.stderr
        return ran.stdout + ran.stderr


@pytest.fixture
def debug(viv, kernel, tmp_path):
    started = []

    def start(*options, address=None):
        started.append(Debugged(viv, kernel, address or f"unix:{tmp_path}/gdb", *options))
        return started[-1]

    yield start
    for debugged in started:
        debugged.guest.__exit__()


def test_breakpoint_registers_memory_step(debug):
    said = debug().gdb("p/x $rip", "break leaf", "continue", "p/x $rip == &leaf", "stepi",
                       "p/x $rbx", "p $cs", "p/x $efer", "p *(int *)&source + 1000",
                       "set var *(int *)&source = 77", "set var $r10 = 0x1234", "p/x $r10",
                       "set var $cr3 = 0", "continue", "p *(int *)&counter", "p $eax", "bt 1")
    assert "$1 = 0x200000" in said
    assert said.count("Breakpoint 1, leaf ()") == 2
    assert "$2 = 0x1\n" in said
    assert "$3 = 0x1122334455667788" in said
    assert "$4 = 16" in said
    assert "$5 = 0x500" in said
    assert "$6 = 1005" in said
    assert "$7 = 0x1234" in said
    assert "Could not write register" in said
    assert "$8 = 2" in said and "$9 = 77" in said
    assert re.search(r"#0 +leaf \(\)", said)


def test_hardware_breakpoint_and_finish(debug):
    said = debug().gdb("hbreak leaf", "continue", "delete", "finish", "p *(int *)&counter")
    assert "Breakpoint 1, leaf ()" in said
    assert "work () at" in said and "$1 = 1\n" in said


def test_watchpoints(debug):
    said = debug().gdb("watch *(int *)&counter", "continue", "continue", "p *(int *)&counter",
                       "delete", "rwatch *(int *)&source", "continue", "x/i $pc", "delete",
                       "awatch *(int *)&counter", "continue", "continue", "x/i $pc")
    assert "Old value = 0\nNew value = 1" in said
    assert "Old value = 1\nNew value = 2" in said
    assert "$1 = 2" in said
    assert "Hardware read watchpoint 2" in said and "Value = 5" in said
    assert re.search(r"=> 0x\w+ <work\+12>:\s+call", said), "not after the reading instruction"
    assert said.count("Hardware access (read/write) watchpoint 3") >= 2


def test_a_page_beside_the_watched_bytes_is_not_watched(debug):
    said = debug().gdb("watch *(int *)((char *)&source + 8)", "hbreak leaf if *(int *)&counter == 50",
                       "continue", "p *(int *)&counter")
    assert "New value" not in said
    assert "$1 = 50" in said


def test_processors_are_threads(debug):
    said = debug("--cpus", "2").gdb(
        "break work if *(int *)&counter == 1000", "continue", "info threads", "delete",
        "hbreak *&ap_loop", "continue", "thread", "p *(int *)&ap_counter >= 0", "stepi",
        "info threads", "set scheduler-locking on", "stepi", "p/x $pc == &ap_loop")
    assert re.search(r"2 +Thread 2 \(CPU 1, running\)", said)
    assert "[Current thread is 2 (Thread 2)]" in said
    assert "$1 = 1" in said
    assert "$2 = 0x1" in said


def test_physical_addresses(debug):
    said = debug().gdb("monitor phys on", "x/3xb 0x200000", "x/x 0xfffffff0", "monitor phys off",
                       "monitor what")
    assert re.search(r"0x200000 <_start>:\s+0x48\s+0x8d\s+0x35", said)
    assert "Cannot access memory at address 0xfffffff0" in said
    assert "monitor phys off" in said


def test_guest_goes_on_without_gdb(debug):
    debugged = debug()
    said = debugged.gdb("break leaf", "continue", "detach")
    assert "detached" in said
    debugged.gdb("p 1")  # gdb ends: the connection is lost
    debugged.guest.send("x")
    assert debugged.guest.finish()[0] == 0


def test_end_of_the_guest(debug):
    debugged = debug()
    debugged.guest.send("x")
    assert "exited normally" in debugged.gdb("continue")
    assert debugged.guest.finish()[0] == 0


def test_kill(debug):
    debugged = debug()
    debugged.gdb("break leaf", "continue", "kill")
    status, _, errors = debugged.guest.finish()
    assert status == 0 and "killed by gdb" in errors


def test_kvm(viv, debug):
    """Breakpoints and steps by the processor's own debug registers, of which there are four."""
    doctor = subprocess.run([viv, "doctor", "--json"], capture_output=True, text=True, check=True)
    if not json.loads(doctor.stdout)["engines"]["kvm"]["runs"]:
        pytest.skip("KVM does not run here")
    said = debug("--engine", "kvm").gdb(
        "hbreak leaf", "continue", "stepi", "p/x $rip != &leaf", "continue",
        "p *(int *)&counter", "finish", "p *(int *)&counter", "delete",
        *(f"hbreak *{address}" for address in range(0x200000, 0x200005)), "stepi", "kill")
    assert said.count("Breakpoint 1, leaf ()") == 2
    assert "$1 = 0x1\n" in said
    assert "$2 = 2\n" in said and "$3 = 2\n" in said
    assert "Could not insert hardware breakpoint" in said or "Cannot insert" in said


def test_interrupt(debug):
    debugged = debug()
    said = debugged.gdb("python import os, signal, threading; threading.Timer("
                        "0.3, os.kill, (os.getpid(), signal.SIGINT)).start()", "continue", "p *(int *)&counter > 0", "detach")
    assert "SIGINT" in said and "$1 = 1" in said


def test_tcp(debug):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert "$1 = 0x200000" in debug(address=f"tcp:127.0.0.1:{port}").gdb("p/x $rip", "kill")


def test_nonsense_is_answered(debug, tmp_path):
    debugged = debug()
    debugged.gdb("detach")
    packets = ["p", "pzz", "Pfff=00", "m1", "mffffffffffffffff,4", "M0,1:zz", "Z9,0,1", "Z0,0,0",
               "vCont;x", "vCont;c:99", "Hg99", "H", "qXfer:features:read:target.xml:", "T99",
               "qRcmd,z", "nonsense"]
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(tmp_path / "gdb"))
        stream = peer.makefile("rb")
        peer.sendall(b"$?#00")
        assert stream.read(1) == b"-"
        for packet in packets:
            peer.sendall(f"${packet}#{sum(packet.encode()) % 256:02x}".encode())
            answer = b""
            while not re.fullmatch(rb"\+\$(E..)?#..", answer):
                byte = stream.read(1)
                assert byte and len(answer) < 20, (packet, answer)
                answer += byte
        stream.close()
