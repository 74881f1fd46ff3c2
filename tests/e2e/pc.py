# SPDX-License-Identifier: GPL-2.0-or-later
"""A VM in the background with a screen, for tests that look at it and type."""
import ctypes
import functools
import signal
import struct
import subprocess
import time
import zlib

PATIENCE = 180  # for what comes in seconds, unless the host is busy with others'
PR_SET_PDEATHSIG = 1


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Pc:
    """`viv run` with these options; ended at the end of the `with` block."""

    def __init__(self, viv, name, *options):
        self.viv, self.name = viv, name
        self.process = subprocess.Popen([viv, "run", "--name", name, *map(str, options)], text=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, preexec_fn=die_with_parent)
        while subprocess.run([viv, "monitor", name], input="status\n", text=True, capture_output=True,
                             timeout=PATIENCE).returncode:
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.process.stderr.close()

    def call(self, *words, timeout=PATIENCE):
        ran = subprocess.run([self.viv, *map(str, words)], capture_output=True, text=True, timeout=timeout)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def text(self):
        return self.call("text", self.name)

    def wait(self, text, seconds=PATIENCE):
        """Until the text stands on the screen; the screen."""
        return self.call("text", self.name, "--wait", text, "--timeout", seconds, timeout=seconds + PATIENCE)

    def type(self, text):
        self.call("type", self.name, text)

    def key(self, *keys):
        for each in keys:
            self.call("key", self.name, each)

    def screenshot(self, path):
        self.call("screenshot", self.name, path)
        return Picture(path)

    def wait_end(self, seconds=PATIENCE):
        """Until the VM has ended by itself; its exit status."""
        return self.process.wait(seconds)


class Picture:
    """A PNG file as viv writes it: 8 bits a colour, not interlaced."""

    def __init__(self, path):
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        at, packed = 8, b""
        while at < len(data):
            length, kind = struct.unpack(">I4s", data[at:at + 8])
            body = data[at + 8:at + 8 + length]
            if kind == b"IHDR":
                self.width, self.height, depth, colour, *_ = struct.unpack(">IIBBBBB", body)
                assert (depth, colour) == (8, 2)
            elif kind == b"IDAT":
                packed += body
            at += length + 12
        self.raw = zlib.decompress(packed)

    def __eq__(self, other):
        """Undoing what coded the rows takes long; those who chose the same code need it not."""
        return (self.width, self.height) == (other.width, other.height) and (
            self.raw == other.raw or self.rows == other.rows)

    @functools.cached_property
    def rows(self):
        """PNG specification, section 9: each row is coded by the one above or the pixel before."""
        raw, stride, rows = self.raw, self.width * 3, []
        above = bytearray(stride)
        for y in range(self.height):
            kind, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
            for i in range(stride if kind else 0):
                left, upper_left = (row[i - 3], above[i - 3]) if i >= 3 else (0, 0)
                row[i] = (row[i] + predict(kind, left, above[i], upper_left)) & 255
            rows.append(bytes(row))
            above = row
        return rows

    def pixel(self, x, y):
        return tuple(self.rows[y][x * 3:x * 3 + 3])

    def colours(self):
        """Each colour's share of the picture, the most frequent first."""
        counts = {}
        for row in self.rows:
            for x in range(0, len(row), 3):
                counts[row[x:x + 3]] = counts.get(row[x:x + 3], 0) + 1
        total = self.width * self.height
        return [(tuple(colour), n / total) for colour, n in sorted(counts.items(), key=lambda item: -item[1])]


def predict(kind, left, up, upper_left):
    if kind == 1:
        return left
    if kind == 2:
        return up
    if kind == 3:
        return (left + up) // 2
    estimate = left + up - upper_left
    return min((left, up, upper_left), key=lambda value: abs(estimate - value))
