# SPDX-License-Identifier: GPL-2.0-or-later
"""gdb in Debian's kernel, with the symbols of Debian's -dbg package: a breakpoint, a watchpoint and
what the stack unwinds to."""
import re
import subprocess
import urllib.parse

import pytest

from conftest import ROOT
from debugger import run_gdb
from guest import Guest

pytestmark = [pytest.mark.slow, pytest.mark.boot]
GUEST = ROOT / "build/guest/cloud"


@pytest.fixture(scope="module")
def symbols():
    ran = subprocess.run([ROOT / "tools/mksymbols", GUEST], capture_output=True, text=True)
    if ran.returncode:
        pytest.skip(f"no symbols of the kernel: {ran.stderr.strip()}")
    return str(GUEST / "vmlinux")


def test_breakpoint_watchpoint_backtrace(viv, symbols, tmp_path):
    socket = tmp_path / "gdb"
    command = urllib.parse.quote("echo 7 >/proc/sys/kernel/panic; echo 8 >/proc/sys/kernel/panic")
    commands = ["hbreak start_kernel", "continue", "backtrace", "delete",
                "break __x64_sys_mount", "continue", "backtrace 4", "x/s linux_banner", "delete",
                "watch panic_timeout", "continue", "backtrace 12", "continue",
                "print panic_timeout", "delete", "detach"]
    with Guest([viv, "run", "--kernel", GUEST / "vmlinuz", "--initrd", GUEST / "initrd.gz",
                "--cpus", "2", "--gdb", f"unix:{socket}", "--gdb-wait", "--append",
                f"console=ttyS0 viv_end=poweroff viv_cmd={command}"]) as guest:
        ran = run_gdb(socket, symbols, commands, timeout=300)
        # The guest goes on without its debugger, as if nothing had been.
        guest.expect("viv-guest: exit 0")
        assert guest.finish()[0] == 0
    at_boot, at_mount, at_write = re.split(r"^Hardware watchpoint 3: .*$|Breakpoint 2, ",
                                           ran.stdout, maxsplit=2, flags=re.MULTILINE)
    assert "Breakpoint 1, start_kernel ()" in at_boot
    assert re.search(r"#0 +start_kernel \(\)", at_boot)
    assert re.search(r"#1 .* in secondary_startup_64 \(\)", at_boot)
    assert at_mount.startswith("__x64_sys_mount (")
    assert re.search(r"#2 +do_syscall_64 .*\n#3 .* in entry_SYSCALL_64 \(\)", at_mount)
    assert re.search(r'"Linux version \S+-cloud-amd64 ', at_mount)
    assert "Old value = 0\nNew value = 7" in at_write
    frames = re.findall(r"^#\d+ +(?:0x\w+ in )?(\w+) \(", at_write, re.MULTILINE)
    order = [frames.index(name) for name in
             ("proc_dointvec", "proc_sys_call_handler", "vfs_write", "ksys_write",
              "do_syscall_64", "entry_SYSCALL_64")]
    assert order == sorted(order)
    assert "Old value = 7\nNew value = 8" in at_write
    assert "$1 = 8\n" in at_write
