# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk of real-mode tests (dosdisk/), which says what keys it wants and when its screen is to be looked at."""
import contextlib
import json
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import time

import pytest

from conftest import BUILD, ROOT
from pc import PATIENCE, Pc, Picture
from test_control import FOLDER, Socket

SOURCES = ROOT / "tests/e2e/dosdisk"
IMAGES = ROOT / "tests/data/dosdisk"
SECTOR = 512
IMAGE_SECTORS = 64
FLOPPY_SECTORS = 80 * 2 * 18
DISK_SECTORS = 16 << 11
CD_SECTOR = 2048
CD_IMAGE_SECTOR = 20
MARKED_SECTOR = 40 * 2 * 18  # where floppy disks differ
FILLED_TRACK = 2

# Rows of the text screen at a look.
TEXTS = {
    "text_attributes": (17, "Text of mode 3"),
    "text_scrolling": (23, "Text of mode 3"),
    "text_50_lines": (49, "   Text of mode 3"),
    "bios_mode_01h": (3, "   " + "S" * 20),
    "bios_mode_07h": (16, " " * 16 + "`" * 20),
}

# Where QEMU 7.2 does not do what its originals do.
QEMU_DIFFERS = {
    "dma_boundary": "the 8237A's address has 16 bits, QEMU's counts on into the page",
    "dma_end_of_track": "the 82077AA ends a read abnormally at the track's end without TC",
    "real_limit": "QEMU does not check limits in real mode",
    "pit_one_shot": "the 8254's mode 0 stands still without its gate",
    "cmos_checksum": "QEMU leaves it to nobody",
    "bios_mode_01h": "characters of 9 dots twice each are 18 wide, not 16",
    "text_attributes": "characters from C0h on have a ninth dot, not from B0h on",
    "text_fonts": "the same",
    "text_split": "QEMU does not pan by dots or lines in text modes",
    "vbe_planes": "QEMU shows nothing",
    "vbe_15": "QEMU makes 8 bits of 5 by zeros below, of which no white comes",
}


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """The disk's code, as the boot sector and what follows."""
    folder = tmp_path_factory.mktemp("dosdisk")
    objects = []
    sources = sorted(SOURCES.glob("*.S"), key=lambda path: (path.name != "start.S", path.name))
    for source in sources:
        objects.append(folder / f"{source.stem}.o")
        subprocess.run(["gcc", "-m32", "-c", f"-DIMAGE_SECTORS={IMAGE_SECTORS}",
                        f"-DDISK_SECTORS={DISK_SECTORS}", f"-DCD_IMAGE_SECTOR={CD_IMAGE_SECTOR}",
                        "-o", objects[-1], source], check=True)
    program = folder / "program"
    subprocess.run(["ld", "-melf_i386", "-Ttext=0x7c00", "--oformat=binary", "-o", program, *objects],
                   check=True)
    code = program.read_bytes()
    assert code[510:512] == b"\x55\xaa" and len(code) <= IMAGE_SECTORS * SECTOR
    return code.ljust(IMAGE_SECTORS * SECTOR, b"\0")


def make_floppy(path, code, mark):
    disk = bytearray(code.ljust(FLOPPY_SECTORS * SECTOR, b"\0"))
    for i in range(FILLED_TRACK * 2 * 18 * SECTOR, (FILLED_TRACK + 1) * 2 * 18 * SECTOR, 4):
        struct.pack_into("<I", disk, i, i * 2654435761 & 0xffffffff)
    disk[MARKED_SECTOR * SECTOR:MARKED_SECTOR * SECTOR + 2] = mark
    path.write_bytes(disk)
    return path


def make_disk(path, code):
    path.write_bytes(code.ljust(DISK_SECTORS * SECTOR, b"\0"))
    return path


def make_cd(path, code):
    """ISO 9660 volume descriptors of no files, and El Torito's boot record and catalog."""
    primary = b"\1CD001\1".ljust(CD_SECTOR, b"\0")
    record = b"\0CD001\1" + b"EL TORITO SPECIFICATION".ljust(64, b"\0") + struct.pack("<I", 19)
    end = b"\xffCD001\1".ljust(CD_SECTOR, b"\0")
    validation = bytearray(b"\1".ljust(30, b"\0") + b"\x55\xaa")
    struct.pack_into("<H", validation, 28, -sum(struct.unpack("<16H", validation)) & 0xffff)
    entry = struct.pack("<BBHBBHI", 0x88, 0, 0x7c0, 0, 0, IMAGE_SECTORS, CD_IMAGE_SECTOR).ljust(32, b"\0")
    catalog = (bytes(validation) + entry).ljust(CD_SECTOR, b"\0")
    path.write_bytes(b"".join([bytes(16 * CD_SECTOR), primary, record.ljust(CD_SECTOR, b"\0"), end, catalog, code]))
    return path


class Machine:
    """Follows what the disk says on its serial port, and does what it asks for."""

    def __init__(self, serial, shot, other):
        self.serial, self.shot, self.other = serial, shot, other
        self.results = {}
        self.texts = {}  # of the screen, by the name of the look at it; None: not in a text mode
        self.wrong = {}  # images that were seen in place of the known ones

    def follow(self):
        """Until the machine is off."""
        text = b""
        end = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < end, f"last of {self.results}: {text!r}"
            if not select.select([self.serial], [], [], 1)[0]:
                continue
            data = self.serial.recv(4096)
            if not data:
                return
            *lines, text = (text + data).split(b"\n")
            for line in lines:
                self.obey(line.decode("latin1"))
                end = time.monotonic() + PATIENCE

    def obey(self, line):
        word, _, rest = line.partition(" ")
        if match := re.fullmatch(r"(ok|not ok) (\w+)(?:: (.*))?", line):
            self.results[match[2]] = match[1] if match[1] == "ok" else match[3]
        elif word == "press":
            self.press(rest)
        elif word == "type":
            self.type(rest)
        elif word == "insert":
            self.insert(self.other)
        elif word in ("shot", "read"):
            if word == "shot":
                self.compare(rest)
            self.texts[rest] = self.text()
            self.press("enter")

    def compare(self, name):
        """With the known image; a cursor is seen half of the time, so it may take some tries."""
        end = time.monotonic() + 20
        while not self.shows(IMAGES / f"{name}.png"):
            if time.monotonic() > end:
                self.wrong[name] = shutil.copy(self.shot, BUILD / f"dosdisk-{name}{self.shot.suffix}")
                break


class Viv(Machine):
    def __init__(self, control, serial, shot, other):
        super().__init__(serial, shot, other)
        self.control = control

    def ask(self, command, **arguments):
        return self.control.ask({"execute": command, "arguments": arguments})

    def do(self, command, **arguments):
        answer = self.ask(command, **arguments)
        assert "return" in answer, answer

    def press(self, keys):
        self.do("key", keys=keys)

    def type(self, text):
        self.do("type", text=text)

    def text(self):
        answer = self.ask("text")
        return answer["return"]["text"].splitlines() if "return" in answer else None

    def insert(self, path):
        self.do("insert", file=str(path), drive="floppy0")

    def shows(self, known):
        self.do("screenshot", file=str(self.shot))
        return Picture(self.shot) == Picture(known)


class Qemu(Machine):
    """What others make of the same disk."""

    NAMES = {"enter": "ret", "pageup": "pgup", "pagedown": "pgdn", "del": "delete", "ins": "insert",
             "space": "spc", "capslock": "caps_lock", "numlock": "num_lock"}

    def __init__(self, monitor, serial, shot, other):
        super().__init__(serial, shot, other)
        self.monitor = monitor
        self.monitor.recv(4096)
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        self.monitor.sendall(json.dumps({"execute": name, "arguments": arguments}).encode())
        answer = {}
        while "return" not in answer:
            text = b""
            while not text.endswith(b"\n"):
                text += self.monitor.recv(4096)
            answer = next((one for one in map(json.loads, text.splitlines()) if "event" not in one), {})
            assert "error" not in answer, answer

    def press(self, keys):
        self.command("human-monitor-command",
                     **{"command-line": "sendkey " + "-".join(self.NAMES.get(key, key) for key in keys.split("-"))})

    def type(self, text):
        for letter in text:
            self.press({"!": "shift-1"}.get(letter, ("shift-" if letter.isupper() else "") + letter.lower()))

    def text(self):
        return None

    def insert(self, path):
        self.command("human-monitor-command", **{"command-line": f"change floppy0 {path} raw"})

    def compare(self, name):
        if name not in QEMU_DIFFERS:
            super().compare(name)

    def shows(self, known):
        """But for the lower bits of 8, which it makes of the DAC's 6 in another way."""
        self.command("screendump", filename=str(self.shot))
        known = Picture(known)
        return read_ppm(self.shot) == (known.width, known.height, to_six_bits(b"".join(known.rows)))


def to_six_bits(pixels):
    return bytes(value >> 2 for value in pixels)


def read_ppm(path):
    data = path.read_bytes()
    width, height = map(int, re.match(rb"P6\n(\d+) (\d+)\n255\n", data).groups())
    return width, height, to_six_bits(data[-width * height * 3:])


@contextlib.contextmanager
def start_qemu(tmp_path, other, *options):
    listeners = {name: socket.socket(socket.AF_UNIX) for name in ("serial", "monitor")}
    for name, listener in listeners.items():
        listener.bind(str(tmp_path / name))
        listener.listen()
    process = subprocess.Popen(["qemu-system-i386", "-display", "none", "-m", "64M", "-vga", "std", "-nic", "none",
                                "-no-reboot", "-serial", f"unix:{tmp_path}/serial",
                                "-qmp", f"unix:{tmp_path}/monitor", *options])
    try:
        monitor, serial = (listeners[name].accept()[0] for name in ("monitor", "serial"))
        with monitor, serial:
            yield Qemu(monitor, serial, tmp_path / "shot.ppm", other)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def start(viv, tmp_path, other, *options):
    path, name = tmp_path / "serial", f"dosdisk-{os.getpid()}"
    with Pc(viv, name, "-m", "64M", "--serial", f"unix:{path}", *options) as pc:
        with Socket(FOLDER / f"{name}.sock") as control, Socket(path) as serial:
            yield Viv(control, serial.socket, tmp_path / "shot.png", other)
        assert pc.wait_end() == 0  # by APM; a reset would be another start


def check(machine, table, but=()):
    failed = {name: why for name, why in machine.results.items() if why != "ok" and name not in but}
    assert not failed and not machine.wrong
    assert list(machine.results) == names_of(table)


def names_of(table):
    """Of the tests in a table of tests.S."""
    text = (SOURCES / "tests.S").read_text()
    return re.findall(r"^\tTEST\t(\w+)", re.search(rf"^{table}:\n(.*?)\.word\t0", text, re.M | re.S)[1], re.M)


@pytest.mark.parametrize("engine, board, bus", [("soft", "pc", "ide"), ("interp", "q35", "sata")])
def test_floppy(viv, image, tmp_path, engine, board, bus):
    floppy = make_floppy(tmp_path / "floppy", image, b"A1")
    other = make_floppy(tmp_path / "other", image, b"B2")
    disk = make_disk(tmp_path / "disk", b"")
    with start(viv, tmp_path, other, "--engine", engine, "--board", board, "--boot", "floppy", "--floppy", floppy,
               "--disk", f"{disk},bus={bus}") as machine:
        machine.follow()
        check(machine, "tests")
        texts = {name: rows for name, rows in machine.texts.items() if rows}
        assert all(texts[name][row] == text for name, (row, text) in TEXTS.items())
        assert texts.pop("summary")[0] == f"{len(machine.results)} ok, 0 not ok"
        assert texts.keys() == {name for name in machine.texts if name.startswith("text_")} | TEXTS.keys()


@pytest.mark.parametrize("medium", ["disk", "cd"])
def test_other_media(viv, image, tmp_path, medium):
    path = (make_disk if medium == "disk" else make_cd)(tmp_path / medium, image)
    options = ["--disk", f"{path},bus=ide"] if medium == "disk" else ["--cdrom", path]
    with start(viv, tmp_path, None, *options) as machine:
        machine.follow()
        check(machine, "short_tests")


@pytest.mark.slow
def test_reference(image, tmp_path):
    """The disk and its known images are not only what we make of them."""
    if not shutil.which("qemu-system-i386"):
        pytest.skip("there is no QEMU here")
    floppy = make_floppy(tmp_path / "floppy", image, b"A1")
    other = make_floppy(tmp_path / "other", image, b"B2")
    disk = make_disk(tmp_path / "disk", b"")
    with start_qemu(tmp_path, other, "-drive", f"if=floppy,format=raw,file={floppy}", "-boot", "a",
                    "-drive", f"if=ide,format=raw,file={disk}") as machine:
        machine.follow()
        check(machine, "tests", but=QEMU_DIFFERS)
