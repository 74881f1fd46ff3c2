# SPDX-License-Identifier: GPL-2.0-or-later
"""What ./dev bench makes of times: ratios, means, and what it says of times that say nothing."""
import ctypes
import gzip
import importlib
import json
import lzma
import math
import shutil
import subprocess
import sys

import pytest

from conftest import ROOT


def time(cpu_s, wall_s=None, n=1000, sums=("aa",)):
    return {"cpu_s": cpu_s, "wall_s": wall_s or cpu_s, "n": n, "sums": list(sums), "runs": 1}


def programs(**classes):
    return {name: {"class": group, "full": 1000} for name, group in classes.items()}


@pytest.fixture
def bench(tmp_path):
    """Runs the tables' part on these results; (status, text, what is in bench.json after)."""
    shutil.copytree(ROOT / "tests/bench", tmp_path / "tests/bench")
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs/performance.md", tmp_path / "docs")
    out = tmp_path / "build/bench"
    out.mkdir(parents=True)

    def run(results, *arguments):
        (out / "bench.json").write_text(json.dumps(results))
        ran = subprocess.run([tmp_path / "tests/bench/bench", "table", *arguments],
                             capture_output=True, text=True, timeout=60)
        assert not ran.stderr or "QEMU" in ran.stderr or "qemu" in ran.stderr, ran.stderr
        return ran.returncode, ran.stdout, json.loads((out / "bench.json").read_text())

    run.docs = tmp_path / "docs/performance.md"
    return run


def test_ratios_and_means(bench):
    status, text, results = bench({
        "programs": programs(fib="int", lz="int", nbody="fp"),
        "times": {"native": {"fib": time(0.1), "lz": time(0.2), "nbody": time(0.5)},
                  "tcg": {"fib": time(0.8), "lz": time(0.4), "nbody": time(20)},
                  "viv": {"fib": time(0.2), "lz": time(0.2), "nbody": time(1)}}})
    assert status == 0
    rows = {row["name"]: row for row in results["rows"]}
    assert (rows["fib"]["tcg_x"], rows["fib"]["viv_x"], rows["fib"]["tcg_by_viv"]) == (8, 2, 4)
    means = results["means"]
    assert list(means) == ["int", "fp", "all"]
    assert math.isclose(means["int"]["tcg_x"]["mean"], 4)
    assert math.isclose(means["int"]["viv_x"]["mean"], math.sqrt(2))
    assert math.isclose(means["all"]["tcg_by_viv"]["mean"], (4 * 2 * 20) ** (1 / 3))
    assert "| fib | 0.100 | 8.00 | 2.00 | 4.00 |" in text
    assert "full size" in text and "Equal work gave equal checksums" in text


def test_scaled_runs_say_so(bench):
    _, text, _ = bench({"programs": programs(fib="int", lz="int"),
                        "times": {"native": {"fib": time(9, n=20), "lz": time(9)},
                                  "viv": {"fib": time(18, n=20), "lz": time(18)}}})
    assert "1 of 2 programs ran at a fraction" in text


def test_times_too_short_to_be_told(bench):
    """At a scale of 20: 0.1 s converted are 2 ms measured."""
    short = dict(n=20)
    status, text, results = bench({
        "programs": programs(fib="int", lz="int", div="int"),
        "times": {"native": {"fib": time(0, **short), "lz": time(0, 0.2, **short),
                             "div": time(0.5, **short)},
                  "tcg": {"fib": time(4, **short), "lz": time(4, 5, **short), "div": time(2, **short)},
                  "viv": {"fib": time(2, **short), "lz": time(2, 4, **short), "div": time(1, **short)}}})
    rows = {row["name"]: row for row in results["rows"]}
    assert status == 0
    assert rows["fib"]["viv_x"] is None and rows["fib"]["tcg_by_viv"] == 2
    assert math.isclose(rows["lz"]["viv_x"], 20) and math.isclose(rows["lz"]["tcg_by_viv"], 1.25)
    assert results["means"]["all"]["viv_x"]["of"] == 2
    assert "By wall time" in text and ": lz." in text
    assert "Not in the means against native" in text and ": fib." in text


def test_all_times_zero(bench):
    status, text, results = bench({
        "programs": programs(fib="int"),
        "times": {monitor: {"fib": time(0, n=20)} for monitor in ("native", "tcg", "viv")}})
    assert status == 0 and results["means"]["all"]["viv_x"]["mean"] is None


def test_checksums_that_differ(bench):
    times = {"native": {"fib": time(1)}, "tcg": {"fib": time(1)}, "viv": {"fib": time(1, sums=["bb"])}}
    status, text, _ = bench({"programs": programs(fib="int"), "times": times})
    assert status == 1 and "CHECKSUMS DIFFER: fib" in text
    # Another amount of work has another end.
    times["viv"]["fib"] = time(1, n=20, sums=["bb"])
    status, text, _ = bench({"programs": programs(fib="int"), "times": times})
    assert status == 0 and "DIFFER" not in text


def test_failures_and_programs_that_are_missing(bench):
    status, text, _ = bench({"programs": programs(fib="int", lz="int"),
                             "times": {"native": {"fib": time(1), "lz": time(1)},
                                       "viv": {"fib": time(2)}},
                             "failures": ["viv, int: lz: no result"]})
    assert status == 1 and "FAILED: viv, int: lz: no result" in text
    assert "| lz | 1.000 | - | - | - |" in text and "**2.00** (of 1)" in text


def test_documentation_is_written_between_its_comments(bench):
    before = bench.docs.read_text()
    results = {"programs": programs(fib="int"),
               "times": {"native": {"fib": time(1)}, "viv": {"fib": time(3)}},
               "boots": {"cloud": {"viv": [{"cpu_s": 2, "wall_s": 3}, {"cpu_s": 1.5, "wall_s": 9}],
                                   "TCG, bzImage": [{"cpu_s": 6, "wall_s": 7}]}}}
    bench(results)
    assert bench.docs.read_text() == before
    bench(results, "--docs")
    text = bench.docs.read_text()
    for name, row in (("kit", "| fib | 1.000 | - | 3.00 | - |"),
                      ("boots", "| TCG, bzImage, least of 1 | 6.00 | 4.00 |")):
        section = text.partition(f"<!-- bench {name} -->")[2].partition("<!-- end of bench")[0]
        assert row in section
    assert text.startswith(before[:200])
    bench(results, "--docs")
    assert bench.docs.read_text() == text


def lz4_legacy(data):
    """As Linux's build packs: LZ4's legacy frame, blocks of at most 8 MiB, and the size of all."""
    library, out = ctypes.CDLL("liblz4.so.1"), b"\x02\x21\x4c\x18"
    for at in range(0, len(data), 8 << 20):
        block = data[at:at + (8 << 20)]
        packed = ctypes.create_string_buffer(library.LZ4_compressBound(len(block)))
        size = library.LZ4_compress_default(block, packed, len(block), len(packed))
        out += size.to_bytes(4, "little") + packed.raw[:size]
    return out + len(data).to_bytes(4, "little")


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: lzma.compress(data) + b"\0\0\0\1",
                                  lz4_legacy], ids=["gzip", "xz", "lz4"])
def test_kernels_are_unpacked_for_pvh(pack):
    sys.path.insert(0, str(ROOT / "tests/bench"))
    boots = importlib.import_module("boots")
    vmlinux = b"\x7fELF" + bytes(range(256)) * 40000  # more than one block of LZ4's
    payload = pack(vmlinux)
    setup = bytearray(2 * 512)
    setup[0x1f1] = 1  # setup_sects
    setup[0x248:0x250] = (100).to_bytes(4, "little") + len(payload).to_bytes(4, "little")
    assert boots.unpack(bytes(setup) + bytes(100) + payload + bytes(50)) == vmlinux
