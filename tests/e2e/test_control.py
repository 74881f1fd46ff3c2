# SPDX-License-Identifier: GPL-2.0-or-later
"""A running VM answers: its control socket, and the verbs that use it."""
import contextlib
import fcntl
import json
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import termios
import time

import pytest

from conftest import ROOT, RUNTIME
from guest import Guest
from pc import PATIENCE

FOLDER = pathlib.Path(RUNTIME.name) / "viv"
CTRL_BRACKET = "\x1d"


class Socket:
    """A line-wise peer of a Unix socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.socket.settimeout(PATIENCE)
        self.input = b""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read_until(self, end):
        while end not in self.input:
            data = self.socket.recv(65536)
            if not data:
                raise EOFError(self.input)
            self.input += data
        text, self.input = self.input.split(end, 1)
        return text + end

    def answer(self):
        return json.loads(self.read_until(b"\n"))

    def ask(self, line):
        self.send(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
        return self.answer()

    def is_closed(self):
        with contextlib.suppress(ConnectionResetError):
            return self.socket.recv(1) == b""
        return True


@pytest.fixture
def run(viv):
    """Runs a verb; returns (status, output, standard error)."""
    def run(*arguments, input="", **options):
        ran = subprocess.run([viv, *map(str, arguments)], input=input, capture_output=True,
                             text=True, timeout=PATIENCE, **options)
        return ran.returncode, ran.stdout, ran.stderr
    return run


@pytest.fixture
def detach(run, monitor):
    """Starts the monitor in the background; returns its name."""
    names = []

    def start(*options):
        status, output, errors = run("run", "--kernel", monitor, "-m", "64M", "--detach", *options)
        assert (status, errors) == (0, "")
        names.append(output.strip())
        return names[-1]

    yield start
    for name in names:
        run("kill", name)
        assert not list(FOLDER.glob(f"{name}.*"))


@pytest.fixture
def control():
    peers = []

    def connect(name):
        peers.append(Socket(FOLDER / f"{name}.sock"))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.__exit__()


def status(run, name):
    return next(vm for vm in json.loads(run("ls", "--json")[1]) if vm["name"] == name)


def test_two_vms_are_listed(run, detach, start_monitor):
    guest = start_monitor("--name", "front", "--cpus", "2", "--engine", "interp")
    detach("--name", "back.1_x-y")
    code, output, errors = run("ls")
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "back.1_x-y", "front"]
    assert re.match(rf"front +running +{guest.process.pid} interp +2 +64 MiB +0:00:\d\d$", lines[2])
    one = status(run, "front")
    assert one.pop("uptime_ms") >= 0 and one.pop("guest_time_ms") >= 0
    assert one == {"name": "front", "pid": guest.process.pid, "state": "running", "board": "pc",
                   "engine": "interp", "cpus": 2, "memory": 64 << 20, "firmware": "none",
                   "serial": "stdio", "agent": "none", "vsock": "none", "display": "none"}
    guest.send("p")
    assert guest.finish()[0] == 0


def test_name_without_the_option(run, start_monitor):
    guest = start_monitor()
    assert status(run, f"vm-{guest.process.pid}")["pid"] == guest.process.pid
    guest.send("p")
    guest.finish()


def test_folder_and_socket_are_the_users_alone(detach):
    name = detach()
    assert stat.S_IMODE(FOLDER.stat().st_mode) == 0o700
    assert stat.S_IMODE((FOLDER / f"{name}.sock").stat().st_mode) == 0o600


def test_name_in_use(run, detach, monitor):
    name = detach("--name", "web")
    for more in [], ["--detach"]:
        code, output, errors = run("run", "--kernel", monitor, "--name", name, *more)
        assert (code, output) == (2, "")
        assert "'web' runs already" in errors and "viv kill web" in errors
    assert status(run, "web")["state"] == "running"


def test_what_a_dead_vm_left(run, start_monitor):
    """Neither holds its name nor is listed."""
    for again in True, False:
        guest = start_monitor("--name", "dead")
        guest.process.kill()
        guest.process.wait()
        assert (FOLDER / "dead.sock").exists() and (FOLDER / "dead.lock").exists()
        if again:
            guest = start_monitor("--name", "dead")
            guest.send("p")
            assert guest.finish()[0] == 0
            assert not (FOLDER / "dead.sock").exists()
    code, _, errors = run("pause", "dead")
    assert code == 2 and "no VM named 'dead'" in errors
    assert run("ls", "--json") == (0, "[]\n", "")
    assert list(FOLDER.iterdir()) == []


def test_name_is_the_lock(run, start_monitor):
    """Of a VM that has no socket yet, or no longer."""
    with open(FOLDER / "held.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run("ls", "--json") == (0, "[]\n", "")
        with pytest.raises(AssertionError):
            start_monitor("--name", "held")
    start_monitor("--name", "held")


@pytest.mark.parametrize("spoil, says", [
    (lambda folder: folder.mkdir(mode=0o750), "chmod 700"),
    (lambda folder: folder.write_text(""), "somebody else's"),
    (lambda folder: folder.symlink_to("/tmp"), "somebody else's"),
    (lambda folder: folder.mkdir() or os.chown(folder, 12345, 0) or folder.chmod(0o700),
     "somebody else's"),
], ids=["open", "file", "link", "foreign"])
def test_folder_is_refused(run, monitor, tmp_path, spoil, says):
    try:
        spoil(tmp_path / "viv")
    except PermissionError:
        pytest.skip("only root can give a folder away")
    (tmp_path / "viv").chmod(0o750) if says == "chmod 700" else None
    for arguments in ["run", "--kernel", monitor], ["ls"], ["kill", "web"]:
        code, output, errors = run(*arguments, env={"XDG_RUNTIME_DIR": str(tmp_path)})
        assert (code, output) == (1, "")
        assert says in errors and str(tmp_path / "viv") in errors and errors.count("\n") == 1


def test_kill(run, start_monitor):
    guest = start_monitor("--name", "web")
    assert run("kill", "web") == (0, "", "")
    assert not list(FOLDER.glob("web.*"))
    code, _, errors = guest.finish()
    assert code == 0 and "killed" in errors


def test_stop(run, start_monitor):
    guest = start_monitor("--name", "web")
    guest.send("b")
    guest.expect("!")
    assert run("stop", "web") == (0, "", "")
    code, _, errors = guest.finish()
    assert (code, errors) == (0, "")


def test_stop_of_a_guest_that_does_not_listen(run, detach):
    name = detach()
    code, _, errors = run("stop", name)
    assert code == 1
    assert "does not listen" in errors and f"viv kill {name}" in errors and "--timeout" in errors
    start = time.monotonic()
    assert run("stop", "--timeout", "1", name) == (0, "", "")
    assert 1 <= time.monotonic() - start < PATIENCE
    assert run("stop", name)[0] == 2


def test_stop_of_a_paused_guest(run, detach):
    name = detach()
    run("pause", name)
    code, _, errors = run("stop", name)
    assert code == 2 and "resume" in errors
    assert run("stop", "--timeout", "1", name)[0] == 0


def test_pause_and_resume(run, start_monitor):
    guest = start_monitor("--name", "web")
    for _ in range(2):  # twice is as once
        assert run("pause", "web") == (0, "", "")
    before = status(run, "web")
    guest.send("x")
    after = status(run, "web")
    assert before["state"] == after["state"] == "paused"
    assert before["guest_time_ms"] == after["guest_time_ms"]
    assert before["uptime_ms"] <= after["uptime_ms"]
    guest.output += b"|"
    assert run("resume", "web") == (0, "", "")
    guest.expect(r"\|x")
    assert status(run, "web")["state"] == "running"
    guest.send("p")
    assert guest.finish()[0] == 0


@pytest.mark.parametrize("letter", ["h", "s"], ids=["halted", "spinning"])
@pytest.mark.parametrize("verb", ["pause", "reset", "kill"])
@pytest.mark.parametrize("engine", ["interp", "soft", "kvm"])
def test_busy_and_idle_guests_obey(run, start_monitor, letter, verb, engine):
    if engine == "kvm" and not json.loads(run("doctor", "--json")[1])["engines"]["kvm"]["runs"]:
        pytest.skip("KVM does not run here")
    guest = start_monitor("--name", "web", "--cpus", "2", "--engine", engine)
    guest.send(letter)
    guest.expect(letter)
    assert run(verb, "web") == (0, "", "")
    if verb == "reset":
        guest.expect("ready")
    if verb == "pause":
        assert status(run, "web")["guest_time_ms"] == status(run, "web")["guest_time_ms"]


def test_reset(run, start_monitor):
    guest = start_monitor("--name", "web")
    for _ in range(3):
        assert run("reset", "web") == (0, "", "")
        guest.expect("ready\r\n")
    guest.send("p")
    assert guest.finish()[0] == 0


def test_a_paused_vm_stays_so_over_a_reset(run, start_monitor):
    guest = start_monitor("--name", "web")
    run("pause", "web")
    run("reset", "web")
    assert status(run, "web")["state"] == "paused"
    assert status(run, "web")["guest_time_ms"] == status(run, "web")["guest_time_ms"]
    guest.output += b"|"
    run("resume", "web")
    guest.expect(r"\|ready")


def test_pause_and_gdb_are_apart(run, start_monitor, tmp_path):
    guest = start_monitor("--name", "web", "--gdb", f"unix:{tmp_path}/gdb")
    gdb = socket.socket(socket.AF_UNIX)
    gdb.settimeout(PATIENCE)
    gdb.connect(str(tmp_path / "gdb"))
    gdb.sendall(b"+$?#3f")
    while b"#" not in gdb.recv(100):
        pass
    assert status(run, "web")["state"] == "debugged"
    run("pause", "web")
    gdb.sendall(b"+$D#44")
    while b"OK" not in gdb.recv(100):
        pass
    gdb.close()
    before = status(run, "web")
    guest.send("x")
    assert before["state"] == "paused"
    assert status(run, "web")["guest_time_ms"] == before["guest_time_ms"]
    guest.output += b"|"
    run("resume", "web")
    guest.expect(r"\|x")


def test_media_of_a_vm_without_drives(run, detach, tmp_path):
    name = detach()
    for arguments in ["eject", name], ["insert", name, tmp_path / "absent"]:
        code, _, errors = run(*arguments)
        assert code == 2
        assert "no drive 'cd0'" in errors and "none" in errors
    code, _, errors = run("eject", name, "floppy7")
    assert code == 2 and "'floppy7'" in errors


def test_monitor(run, detach):
    name = detach()
    code, output, errors = run("monitor", name, input="status\n\n  pause\nstatus\nhelp\n")
    assert (code, errors) == (0, "")
    assert output.count(f"name: {name}\n") == 2
    assert output.index("state: running") < output.index("state: paused")
    assert "\ninsert file=path [drive=string]: " in output
    code, output, errors = run("monitor", name, cwd="/", input=(
        "eject drive='a b'\ninsert file=x nonsense=1\ninsert drive=cd0\nstop timeout=soon\n"
        "stop timeout=0\nfrob\npause now\nkill 'x\nresume\nkill\n"))
    assert (code, output) == (1, "")
    said = errors.splitlines()
    assert len(said) == 8
    for line, words in zip(said, ["no drive 'a b'", "no argument 'nonsense'", "needs the argument 'file'",
                                  "'timeout=soon' is not a whole number", "from 1 to", "no command 'frob'",
                                  "'now' is not written NAME=VALUE", "quot"]):
        assert words in line, line


def test_monitor_passes_json(run, detach):
    name = detach()
    code, output, errors = run("monitor", "--json", name, input=(
        '{"execute": "pause", "id": 1}\n{"execute": 2, "id": [1, {"a": null}]}\n'))
    assert (code, errors) == (0, "")
    assert output.splitlines()[0] == '{"return":{},"id":1}'
    assert json.loads(output.splitlines()[1])["id"] == [1, {"a": None}]


def test_monitor_of_a_vm_that_ends(run, detach):
    name = detach()
    code, _, errors = run("monitor", name, input="kill\nstatus\nstatus\n")
    assert code == 1 and errors == f"viv: VM '{name}' has ended\n"


def commands_of(peer):
    return peer.ask({"execute": "help"})["return"]["commands"]


def test_manual_page_has_every_command(detach, control, run):
    page = (ROOT / "docs/man/viv.1").read_text()
    page = page[page.index(".SH CONTROL SOCKET"):page.index(".SH DOCTOR")]
    peer = control(detach())
    shown = run("monitor", "--help")[1]
    commands = commands_of(peer)
    assert len(commands) > 8
    for command in commands:
        for word in [command["name"], *(a["name"] for a in command["arguments"])]:
            assert re.search(rf"\b{word}\b", page), word
        assert re.search(rf"^  {command['name']}\b.* {re.escape(command['help'])}$", shown, re.MULTILINE)
    for member in peer.ask({"execute": "status"})["return"]:
        assert re.search(rf"\b{member}\b", page), member


def test_requests_in_pieces_and_in_one(detach, control):
    peer = control(detach())
    for byte in b'\n \n{"execute":"status","id":"a"}\r\n':
        peer.send(bytes([byte]))
    assert peer.answer()["id"] == "a"
    peer.send(b"".join(b'{"execute":"status","id":%d}\n' % i for i in range(500)))
    assert [peer.answer()["id"] for _ in range(500)] == list(range(500))


BAD = [
    b"hello\n", b"\xff\n", b"\0\n", b"[]\n", b"3\n", b"null\n", b"{\n", b"{}\n",
    b'{"execute":"status"}}\n', b'{"execute":"status"} {"execute":"status"}\n', b'{"execute":"status",}\n',
    b'{"execute":"help","id":"\\u0000"}\n', b'{"execute":"help","id":"\\ud800"}\n',
    b'{"execute":"help","id":"\\udc00\\ud800"}\n', b'{"execute":"help","id":"\\u12"}\n',
    b'{"execute":null}\n', b'{"execute":["status"]}\n', b'{"execute":""}\n', b'{"execute":"\\ud800"}\n',
    b'{"execute":"status","extra":1}\n', b'{"execute":"status","arguments":[]}\n',
    b'{"execute":"status","arguments":{"a":1}}\n', b'{"arguments":{}}\n',
    b'{"execute":"stop","arguments":{"timeout":"1"}}\n', b'{"execute":"stop","arguments":{"timeout":1.5}}\n',
    b'{"execute":"stop","arguments":{"timeout":99999999999999999999}}\n',
    b'{"execute":"stop","arguments":{"timeout":-1}}\n', b'{"execute":"stop","arguments":{"timeout":true}}\n',
    b'{"execute":"stop","arguments":{"timeout":null}}\n', b'{"execute":"stop","arguments":{"timeout":{}}}\n',
    b'{"execute":"insert","arguments":{"file":"relative"}}\n', b'{"execute":"insert"}\n',
    b'{"execute":"eject","arguments":{"drive":3}}\n', b'/* */{"execute":"status"}\n',
    b'var a = {"execute":"status"};\n', b"[" * 60000 + b"\n", b'{"execute":' * 5000 + b"\n",
    b'{"id":' + b"[" * 20 + b"]" * 20 + b',"execute":"status"}\n', b'"' + b"x" * 65000 + b"\n",
    b'/*"*/' + b"[" * 60000 + b"\n",
]


@pytest.mark.parametrize("line", BAD, ids=[line[:40] for line in BAD])
def test_nonsense_gets_an_error(detach, control, line):
    name = detach()
    peer = control(name)
    answer = peer.ask(line)
    assert list(answer) == ["error"] and list(answer["error"]) == ["message"]
    assert answer["error"]["message"]
    assert peer.ask({"execute": "status"})["return"]["name"] == name


def test_ids_come_back(detach, control):
    peer = control(detach())
    for id in [0, -1.5, "x\n\u00e4\x01\U0001f600\\u0000", None, [], {"a": [True]}]:
        assert peer.ask({"execute": "pause", "id": id}) == {"return": {}, "id": id}
        assert peer.ask({"execute": "frob", "id": id})["id"] == id


def test_a_line_without_end(detach, control):
    name = detach()
    peer = control(name)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(20):
            peer.send(b" " * 8192)
    assert "too long" in peer.answer()["error"]["message"]
    assert peer.is_closed()
    assert control(name).ask({"execute": "status"})["return"]


def test_a_line_of_the_greatest_length(detach, control):
    peer = control(detach())
    request = b'{"execute":"status"}'
    assert "return" in peer.ask(request + b" " * (65536 - len(request)) + b"\n")
    assert "too long" in peer.ask(request + b" " * (65537 - len(request)) + b"\n")["error"]["message"]


def test_too_many_connections(run, detach, control):
    name = detach()
    peers = [control(name) for _ in range(16)]
    assert all("return" in peer.ask({"execute": "status"}) for peer in peers)
    late = control(name)
    assert "too many" in late.answer()["error"]["message"] and late.is_closed()
    for _ in range(50):
        peers.pop(3).socket.close()
        peers.append(control(name))
        assert "return" in peers[-1].ask({"execute": "status"})


def test_a_peer_that_reads_nothing(run, control, start_monitor):
    """Holds up nobody but itself, and loses its place."""
    guest = start_monitor("--name", "web")
    peer = control("web")
    peer.socket.setblocking(False)
    line = b'{"execute":"help"}\n' * 1000
    with pytest.raises(BlockingIOError):
        while True:
            peer.socket.send(line)
    guest.send("x")
    guest.expect("x")
    assert status(run, "web")["state"] == "running"
    end = time.monotonic() + PATIENCE
    with pytest.raises(ConnectionError):
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                peer.socket.send(b"\n")
            time.sleep(0.1)


def test_a_peer_that_leaves_at_once(run, detach):
    name = detach()
    for _ in range(100):
        with Socket(FOLDER / f"{name}.sock") as peer:
            peer.send(b'{"execute":"help"}\n' * 10)
    assert status(run, name)["state"] == "running"


def test_detached_is_a_process_of_its_own(run, detach):
    name = detach()
    pid = status(run, name)["pid"]
    assert os.getsid(pid) != os.getsid(0) and os.getsid(pid) != pid
    for fd in 0, 1, 2:
        assert os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/null"
    os.kill(pid, signal.SIGTERM)
    while status_or_none(run, name):
        pass


def status_or_none(run, name):
    return next((vm for vm in json.loads(run("ls", "--json")[1]) if vm["name"] == name), None)


def test_serial_file(run, detach, tmp_path):
    (tmp_path / "log").write_text("what was there before\n" * 9)
    name = detach("--serial", f"file:{tmp_path}/log")
    end = time.monotonic() + PATIENCE
    while (tmp_path / "log").read_text() != "ready\n" and time.monotonic() < end:
        pass
    assert (tmp_path / "log").read_bytes() == b"ready\r\n"
    assert status(run, name)["serial"] == f"file:{tmp_path}/log"


def test_serial_socket(run, detach, tmp_path):
    path = tmp_path / "serial"
    name = detach("--serial", f"unix:{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for letter in b"x", b"y":  # the first gets what was printed before
        with Socket(path) as peer:
            peer.send(letter)
            said = peer.read_until(letter)
            assert said == (b"ready\r\nx" if letter == b"x" else b"y")
            with Socket(path) as second:
                assert second.is_closed()
    with Socket(path) as peer:
        peer.send(b"p")
    assert run("monitor", name, input="status\n" * 99)[0] in (0, 1, 2)
    while status_or_none(run, name):
        pass
    assert not path.exists()


def test_serial_none(run, start_monitor, viv, monitor):
    with Guest([viv, "run", "--kernel", monitor, "-m", "64M", "--name", "web", "--serial", "none"]) as guest:
        guest.send("p")
        while not status_or_none(run, "web"):
            assert guest.process.poll() is None
        assert run("kill", "web")[0] == 0
        assert guest.finish()[:2] == (0, "")


def test_console(run, viv, detach, tmp_path):
    name = detach("--serial", f"unix:{tmp_path}/serial")
    for _ in range(2):
        with Guest([viv, "console", name], tty=True) as console:
            while termios.tcgetattr(console.slave)[3] & termios.ECHO:
                assert console.process.poll() is None
            console.send("x")
            console.expect("x")
            console.send(CTRL_BRACKET)
            code, _, errors = console.finish()
            assert code == 0 and "left the console" in errors
    with Guest([viv, "console", name]) as console:
        console.send(CTRL_BRACKET + "p")
        code, output, errors = console.finish()
        assert code == 0 and "closed" in errors and output == CTRL_BRACKET + "p"


def test_console_of_a_vm_without(run, detach):
    code, _, errors = run("console", detach())
    assert code == 2 and "none" in errors and "--serial unix:PATH" in errors
