# SPDX-License-Identifier: GPL-2.0-or-later
"""A running `viv run` and what it prints, for tests that talk to it."""
import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time

from pc import PATIENCE


class Guest:
    """Starts viv with its console on pipes, or on a terminal of its own (`tty`)."""

    def __init__(self, argv, tty=False, env=None):
        self.output = b""
        self.seen = 0  # what expect() has gone past
        self.slave = None
        if tty:
            self.reader, self.slave = pty.openpty()
            self.writer = self.reader
            self.process = subprocess.Popen(argv, stdin=self.slave, stdout=self.slave,
                                            stderr=subprocess.PIPE, start_new_session=True, env=env,
                                            preexec_fn=take_terminal)
        else:
            self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.PIPE, env=env)
            self.reader = self.process.stdout.fileno()
            self.writer = self.process.stdin.fileno()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.slave is not None:
            os.close(self.slave)
            if self.reader is not None:
                os.close(self.reader)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()

    def send(self, text):
        os.write(self.writer, text.encode())

    def _read(self, timeout):
        """Adds to the output; False at its end."""
        if not select.select([self.reader], [], [], timeout)[0]:
            return True
        try:
            data = os.read(self.reader, 65536)
        except OSError:  # the last user of the terminal has gone
            data = b""
        self.output += data
        return bool(data)

    def expect(self, pattern, timeout=PATIENCE):
        """Waits for the pattern in output not yet gone past; returns the match."""
        end = time.monotonic() + timeout
        while True:
            match = re.compile(pattern.encode()).search(self.output, self.seen)
            if match:
                self.seen = match.end()
                return match
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                tail = self.output[-2000:].decode(errors="replace")
                raise AssertionError(f"no {pattern!r} within {timeout} s, or before the end; "
                                     f"last output:\n{tail}")

    def run(self, command, timeout=PATIENCE):
        """Types a command at the guest's shell; returns what it printed."""
        self.send(f"{command}; echo END''OF $?\n")
        start = self.seen
        end = self.expect(r"ENDOF (\d+)\r*\n", timeout)
        text = self.output[start:end.start()].decode(errors="replace").replace("\r", "")
        assert end.group(1) == b"0", f"{command}: status {end.group(1).decode()}\n{text}"
        return text

    def close_terminal(self):
        os.close(self.reader)
        self.reader = None

    def finish(self, timeout=PATIENCE):
        """Waits for viv's end; returns (exit status, output, standard error)."""
        end = time.monotonic() + timeout
        if self.slave is None:
            while self._read(max(0, end - time.monotonic())) and time.monotonic() < end:
                pass
        errors = self.process.communicate(timeout=timeout)[1] if self.slave is not None else \
            self.process.stderr.read()
        self.process.wait(timeout)
        return self.process.returncode, self.output.decode(errors="replace"), errors.decode()


def take_terminal():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)

