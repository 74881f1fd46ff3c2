# SPDX-License-Identifier: GPL-2.0-or-later
"""From power-on to what firmware starts: CPU and wall time until its words are on the serial port."""
import os
import subprocess
import sys
import time

TICK = os.sysconf("SC_CLK_TCK")
RESCUE_CD = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"
OVMF = ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd")
QEMU = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "256", "-display", "none", "-vga", "std",
        "-nodefaults", "-serial", "stdio", "-net", "none"]
PATIENCE_S = 120


def cpu_s(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def start(argv, words):
    """(CPU seconds, wall seconds) until the words come; then the process is ended."""
    begin, output = time.monotonic(), b""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        while words not in output:
            more = os.read(process.stdout.fileno(), 65536)
            if not more or time.monotonic() - begin > PATIENCE_S:
                sys.exit(f"bench: {argv[0]} did not come to {words}: {output[-500:]}")
            output += more
        return cpu_s(process.pid), time.monotonic() - begin
    finally:
        process.kill()
        process.wait()


def commands(viv, out):
    variables = out / "vars.fd"
    variables.write_bytes(open(OVMF[1], "rb").read())
    run = [viv, "run", "-m", "256M", "--engine", "soft"]
    flash = [word for number, file in enumerate((OVMF[0], variables))
             for word in ("-drive", f"if=pflash,unit={number},format=raw,file={file}" + ",readonly=on" * (not number))]
    return {
        "SeaBIOS to GRUB's menu": (b"GNU GRUB", {
            "viv": [*run, "--cdrom", RESCUE_CD],
            "TCG": [*QEMU, "-machine", "pc,graphics=off", "-cdrom", RESCUE_CD]}),
        "OVMF to its shell": (b"UEFI Interactive Shell", {
            "viv": [*run, "--firmware", "uefi"],
            "TCG": [*QEMU, "-machine", "pc", *flash]}),
    }


def measure(viv, out, options, results):
    results["firmware"] = {}
    for what, (words, argvs) in commands(viv, out).items():
        found = {label: [] for label in argvs if label != "TCG" or not options.skip_tcg}
        for number in range(options.runs):
            for label in found:
                cpu, wall = start(argvs[label], words)
                print(f"{what} on {label}, run {number + 1} of {options.runs}: {cpu:.2f} s", file=sys.stderr,
                      flush=True)
                found[label].append({"cpu_s": round(cpu, 3), "wall_s": round(wall, 3)})
        results["firmware"][what] = found
