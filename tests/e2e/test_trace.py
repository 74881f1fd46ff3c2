# SPDX-License-Identifier: GPL-2.0-or-later
"""--trace: events of a guest, told by name."""
import re
import subprocess

import pytest

from test_boot import start

LINE = re.compile(r"\[ *(\d+\.\d{9})\] (\d+|-) (\w+): (.*)")


def events(text):
    """(name, what was told) of each line, whose times do not go back."""
    found = [LINE.fullmatch(line) for line in text.splitlines()]
    assert found and all(found), text[:1000]
    on_vcpu = [float(event[1]) for event in found if event[2] == "0"]
    assert on_vcpu == sorted(on_vcpu)
    return [(event[3], event[4]) for event in found]


def test_help(viv):
    ran = subprocess.run([viv, "run", "--trace", "help"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0 and ran.stderr == ""
    assert {"cpu_exception", "jit_region", "blk_request"} <= set(
        re.findall(r"^  (\w+) +\w", ran.stdout, re.MULTILINE))


def test_standard_error(start_monitor):
    """Only what was asked for, beside the guest's output."""
    guest = start_monitor("--engine", "soft", "--trace", "cpu_mode")
    guest.send("r")
    _, output, errors = guest.finish()
    assert "ready" in output and "cpu_mode" not in output
    told = events("".join(line + "\n" for line in errors.splitlines() if not line.startswith("viv: ")))
    assert told and {name for name, _ in told} == {"cpu_mode"}


@pytest.mark.boot
def test_boot(viv, tmp_path):
    disk, trace = tmp_path / "disk", tmp_path / "trace"
    disk.write_bytes(bytes(1 << 20))
    with start(viv, "cloud", "--engine", "soft", "--disk", disk, "--code-cache", "4M", "--trace",
               "cpu_exception,cpu_interrupt,cpu_cr3,jit_*,blk_*", "--trace-file", trace) as guest:
        guest.run("dd if=/dev/zero of=/dev/vda bs=4k seek=7 count=1 conv=fsync 2>/dev/null")
        guest.send("poweroff -f\n")
        assert guest.finish()[0] == 0
    told = events(trace.read_text())
    names = {name for name, _ in told}
    assert names == {"cpu_exception", "cpu_interrupt", "cpu_cr3", "jit_region", "jit_drop", "jit_written",
                     "jit_flush", "blk_request", "blk_done"}
    assert any(name == "cpu_exception" and re.match(r"vector 14, error code 0x\w+, at rip \w+, cr2 \w+", text)
               for name, text in told)
    write = [text for name, text in told if name == "blk_request" and f"4096 bytes at {7 * 4096}" in text]
    assert write == [f"operation 1, 4096 bytes at {7 * 4096}"]
    assert ("blk_done", f"operation 1 at {7 * 4096}, status 0") in told
    assert sum(name == "blk_request" for name, _ in told) <= sum(name == "blk_done" for name, _ in told)
