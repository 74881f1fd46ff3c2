# SPDX-License-Identifier: GPL-2.0-or-later
"""What people are shown of translated code: --perf-map, --dump-regions and tools/regions."""
import os
import pathlib
import re
import subprocess

import pytest

from conftest import BUILD, PM1A_CNT, ROOT

# Runs the loop often enough to be translated, then switches the machine off.
LOOP = f"""
	.globl _start
_start:	mov $1000, %ecx
loop:	add $3, %eax
	adc %ecx, (%rsp)
	dec %ecx
	jnz loop
	mov ${PM1A_CNT}, %edx
	mov $0x2000, %eax
	out %ax, %dx
	hlt
"""


@pytest.fixture(scope="module")
def loop(tmp_path_factory):
    """(kernel, address of its loop)"""
    folder = tmp_path_factory.mktemp("loop")
    (folder / "loop.S").write_text(LOOP)
    subprocess.run(["gcc", "-nostdlib", "-static", "-Wl,-Ttext=0x200000", "-Wl,--build-id=none",
                    "-o", folder / "loop", folder / "loop.S"], check=True)
    symbols = subprocess.run(["nm", folder / "loop"], capture_output=True, text=True, check=True)
    return folder / "loop", int(re.search(r"(\w+) \w loop", symbols.stdout)[1], 16)


def run(viv, kernel, *options):
    process = subprocess.Popen([viv, "run", "--kernel", kernel, "-m", "64M", *options],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    output, _ = process.communicate(timeout=60)
    return process, output


def test_perf_map_names_regions(viv, loop):
    kernel, address = loop
    process, output = run(viv, kernel, "--perf-map")
    path = pathlib.Path(f"/tmp/perf-{process.pid}.map")
    assert process.returncode == 0, output
    lines = [line.split() for line in path.read_text().splitlines()]
    path.unlink()
    ranges = sorted((int(start, 16), int(size, 16), name) for start, size, name in lines)
    assert {f"guest:{address:x}:kernel64", f"guest:{address:x}:kernel64:out-of-line",
            "viv:thunks"} <= {name for _, _, name in ranges}
    for (start, size, name), (after, _, _) in zip(ranges, ranges[1:]):
        assert size > 0 and start + size <= after, name


def test_perf_map_opens_nothing_that_is_there(viv, loop, tmp_path):
    """Somebody else may have guessed the name."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    script = f"ln -s {victim} /tmp/perf-$$.map; echo $$; " \
        f"exec {viv} run --kernel {loop[0]} -m 64M --perf-map </dev/null"
    ran = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60)
    path = pathlib.Path(f"/tmp/perf-{ran.stdout.split()[0]}.map")
    assert ran.returncode == 0 and victim.read_text() == "mine" and not path.is_symlink()
    assert "viv:thunks" in path.read_text()
    path.unlink()


def test_code_cache_is_what_perf_takes_for_jitted(start_monitor):
    """perf looks into its map for anonymous memory only; and no page is writable and executable."""
    guest = start_monitor("--engine", "soft", "--perf-map")
    maps = pathlib.Path(f"/proc/{guest.process.pid}/maps").read_text()
    pathlib.Path(f"/tmp/perf-{guest.process.pid}.map").unlink()
    code = [line for line in maps.splitlines() if " r-xs " in line and "/dev/zero" in line]
    assert len(code) == 1, maps
    assert "rwx" not in maps


def test_regions_are_listed_and_disassembled(viv, loop, tmp_path):
    kernel, address = loop
    listing = tmp_path / "regions"
    process, output = run(viv, kernel, "--dump-regions", listing)
    assert process.returncode == 0, output
    text = listing.read_text()
    assert f"region {address:x} at gpa {address:x}, kernel64" in text
    # ADC reads what ADD, or DEC of the round before, gives; DEC leaves the carry.
    assert re.search(rf"guest64 {address:x} 83c003 ; flags [\w' ]+, read from here on: -\n", text)
    assert re.search(r"guest64 \w+ 110c24 ; flags [\w' ]+, read from here on: C\n", text)
    assert text.count(f" {address:x} 83c003 ;") == 2 and "; a loop, listed twice" in text
    assert re.search(r"  exit to \w+: not linked", text)

    shown = subprocess.run([BUILD / "tools/regions", listing, f"{address:x}"], capture_output=True,
                           text=True, check=True, timeout=60).stdout
    assert shown.count("region ") == 1
    guest = re.findall(r"^  (\w+)  (\w+) +(.*?) ;", shown, re.MULTILINE)
    assert [text for _, _, text in guest][:3] == ["add eax, 0x03", "adc [rsp], ecx", "dec ecx"]
    host = re.findall(r"^    \w+  \w+ +(.*)", shown, re.MULTILINE)
    assert "add eax, 0x03" in host and "(bad)" not in shown
    # All regions, where none is named.
    everything = subprocess.run([BUILD / "tools/regions", listing], capture_output=True, text=True,
                                check=True, timeout=60).stdout
    assert everything.count("\nregion ") == text.count("\nregion ")


def test_samples_of_cpu_time(viv, tmp_path):
    """A guest that only computes is mostly in translated code; the interpreter has no such line."""
    kernel = tmp_path / "compute"
    subprocess.run(["gcc", "-O2", "-ffreestanding", "-nostdlib", "-static", "-mgeneral-regs-only",
                    "-mno-red-zone", "-fno-stack-protector", "-fno-pie", "-no-pie",
                    "-Wl,-Ttext=0x200000", "-Wl,--build-id=none", f"-DPM1A_CNT={PM1A_CNT}",
                    "-o", kernel, ROOT / "tests/bench/compute.c"], check=True)
    shares = r"vCPU 0: of (\d+) samples of CPU time ([\d.]+) % in translated code, " \
        r"([\d.]+) % translating, ([\d.]+) % on T0"
    process, output = run(viv, kernel, "--engine", "soft", "--stats")
    found = re.search(shares, output)
    assert process.returncode == 0 and found, output
    count, code, translator, rest = map(float, found.groups())
    assert count >= 5 and code > 50 and abs(code + translator + rest - 100) < 0.5, output
    _, output = run(viv, kernel, "--engine", "soft")
    assert "samples" not in output
    _, output = run(viv, kernel, "--engine", "interp", "--stats")
    assert "MIPS" in output and "samples" not in output


def test_full_disk(viv, loop):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    process, output = run(viv, loop[0], "--dump-regions", "/dev/full")
    assert process.returncode == 1 and "--dump-regions" in output and "No space" in output
