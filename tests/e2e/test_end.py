# SPDX-License-Identifier: GPL-2.0-or-later
"""How a run ends: each way its own exit status, and the terminal given back."""
import contextlib
import os
import signal
import subprocess
import termios

import pytest

from pc import PATIENCE

CTRL_BRACKET = "\x1d"
STOPPING = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
CRASHING = [signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT]


@pytest.mark.parametrize("letter, status, says", [
    ("p", 0, ""),
    ("r", 3, "reset"),
    ("k", 3, "reset"),
    ("t", 4, "crashed"),
], ids=["power-off", "reset by CF9", "reset by i8042", "triple fault"])
def test_guest_ends(start_monitor, letter, status, says):
    guest = start_monitor()
    guest.send(letter)
    returned, output, errors = guest.finish()
    assert returned == status, errors
    assert output == "ready\r\n" + letter
    assert says in errors and errors.count("\n") == bool(says)


def test_reboot_starts_again(start_monitor):
    guest = start_monitor("--reboot")
    for letter in "rk":
        guest.send(letter)
        guest.expect("ready\r\n")
    guest.send("p")
    assert guest.finish()[0] == 0


def test_no_input(viv, monitor):
    """End of file on standard input ends nothing."""
    process = subprocess.Popen([viv, "run", "--kernel", monitor, "-m", "64M"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\r\n"
    assert process.poll() is None
    process.terminate()
    assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    process.stdout.close()


def open_files(pid):
    files = {}
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            files[entry.name] = os.readlink(entry.path)
    return files


def test_closed_descriptors_are_not_taken_by_others(viv, monitor):
    """Else the guest's RAM or a disk would become its console."""
    process = subprocess.Popen([viv, "run", "--kernel", monitor, "-m", "64M"],
                               stderr=subprocess.PIPE,
                               preexec_fn=lambda: os.closerange(0, 2))
    with process:
        files = {}
        while not any("guest-ram" in target for target in files.values()):
            assert process.poll() is None
            files = open_files(process.pid)
        # The look that finds RAM may have passed the standard descriptors before they were there.
        files = open_files(process.pid)
        process.terminate()
    assert files["0"] == files["1"] == "/dev/null"


def test_escape_is_a_byte_like_others_on_a_pipe(start_monitor):
    guest = start_monitor()
    guest.send(CTRL_BRACKET + "x")
    guest.expect(CTRL_BRACKET + "x")
    guest.send("p")
    assert guest.finish()[0] == 0


def test_stats(start_monitor):
    guest = start_monitor("--stats")
    guest.send("p")
    status, _, errors = guest.finish()
    assert status == 0
    assert "instructions in" in errors and "MIPS" in errors


def is_raw(attributes):
    return not attributes[3] & (termios.ICANON | termios.ECHO | termios.ISIG)


@pytest.fixture
def on_terminal(start_monitor):
    """A monitor on a terminal that is raw now, and its attributes before."""
    def start(state):
        guest = start_monitor(tty=True)
        before = termios.tcgetattr(guest.slave)
        if state:
            guest.send(state)
            guest.expect(state)
        return guest, before
    return start


@pytest.fixture
def cooked():
    master, slave = os.openpty()
    attributes = termios.tcgetattr(slave)
    os.close(master)
    os.close(slave)
    return attributes


@pytest.mark.parametrize("state", ["", "h", "s"], ids=["polling", "halted", "spinning"])
def test_escape_leaves(on_terminal, cooked, state):
    guest, during = on_terminal(state)
    assert is_raw(during)
    guest.send(CTRL_BRACKET)
    status, _, errors = guest.finish()
    assert status == 0
    assert "left" in errors
    assert termios.tcgetattr(guest.slave) == cooked


@pytest.mark.parametrize("number", STOPPING, ids=lambda number: number.name)
@pytest.mark.parametrize("state", ["h", "s"], ids=["halted", "spinning"])
def test_signal_ends(on_terminal, cooked, number, state):
    guest, _ = on_terminal(state)
    guest.process.send_signal(number)
    assert guest.finish()[0] == 128 + number
    assert termios.tcgetattr(guest.slave) == cooked


@pytest.mark.parametrize("number", CRASHING, ids=lambda number: number.name)
def test_crash_restores_the_terminal(on_terminal, cooked, number):
    guest, _ = on_terminal("h")
    guest.process.send_signal(number)
    assert guest.finish()[0] == -number
    assert termios.tcgetattr(guest.slave) == cooked


def test_closing_the_window_ends(on_terminal):
    guest, _ = on_terminal("s")
    guest.close_terminal()
    assert guest.finish()[0] == 128 + signal.SIGHUP


def test_control_characters_reach_the_guest(on_terminal):
    guest, _ = on_terminal("")
    guest.send("\x03\x1a\x1c\r\n")  # Ctrl-C, Ctrl-Z, Ctrl-backslash
    guest.expect("\x03\x1a\x1c\r\n")
    guest.send("p")
    assert guest.finish()[0] == 0
