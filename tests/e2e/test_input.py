# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys and the pointer, from the control socket to Debian's drivers of USB and virtio input devices."""
import re
import struct
import subprocess
import time

import pytest

from conftest import ROOT
from guest import Guest
from pc import PATIENCE

pytestmark = pytest.mark.boot
GUEST = ROOT / "build/guest/generic"
EVENT = struct.Struct("<qqHHi")  # struct input_event of a 64-bit Linux: time, type, code, value
EV_KEY, EV_REL, EV_ABS = 1, 2, 3
KEY_A, KEY_LEFTSHIFT, BTN_LEFT, REL_WHEEL, REL_WHEEL_HI_RES = 30, 42, 0x110, 8, 11


def recorded(guest, name):
    """What the device of that name has told, as (type, code, value) of keys, wheels and positions."""
    dump = guest.run(f"grep -A 5 'Name=\"{name}\"' /proc/bus/input/devices | sed -n 's/.*\\(event[0-9]*\\).*/\\1/p' |"
                     " while read event; do hexdump -v -e '24/1 \"%02x\" \"\\n\"' /run/$event; done")
    events = [EVENT.unpack(bytes.fromhex(line))[2:] for line in re.findall(r"^[0-9a-f]{48}$", dump, re.MULTILINE)]
    # Linux adds the wheel in finer steps.
    return [e for e in events if e[0] in (EV_KEY, EV_REL, EV_ABS) and e[:2] != (EV_REL, REL_WHEEL_HI_RES)]


@pytest.mark.parametrize("board", ["pc", "q35"])
@pytest.mark.parametrize("kind", ["usb", "virtio"])
def test_events(viv, kind, board):
    brand = f"Vivarium {'USB' if kind == 'usb' else kind}"
    name = f"input-{kind}-{board}"
    with Guest([viv, "run", "--kernel", GUEST / "vmlinuz", "--initrd", GUEST / "initrd.gz", "--name", name,
                "--board", board, "--display", "vnc", "--input", kind]) as guest:
        guest.expect("/ # ", timeout=600)
        guest.run("modprobe evdev")
        guest.run(f"until grep -q '{brand} tablet' /proc/bus/input/devices; do sleep 0.1; done")
        # Opened before the shell goes on.
        guest.run("for e in /dev/input/event*; do exec 9<$e; cat <&9 >/run/${e##*/} & done")
        commands = "type text=A\nmouse x=8192 y=0 click=left\nmouse wheel=-1\n"
        subprocess.run([viv, "monitor", name], input=commands, text=True, check=True)
        expected = {
            "keyboard": [(EV_KEY, KEY_LEFTSHIFT, 1), (EV_KEY, KEY_A, 1), (EV_KEY, KEY_A, 0), (EV_KEY, KEY_LEFTSHIFT, 0)],
            "tablet": [(EV_ABS, 0, 32767), (EV_KEY, BTN_LEFT, 1), (EV_KEY, BTN_LEFT, 0), (EV_REL, REL_WHEEL, -1)],
        }
        end = time.monotonic() + PATIENCE
        seen = None
        while seen != expected and time.monotonic() < end:
            seen = {what: recorded(guest, f"{brand} {what}") for what in expected}
        assert seen == expected
        assert recorded(guest, "AT Raw Set 2 keyboard") == []
