# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest benchmark kit's two-thread programs: each fails, by itself or by its checksum, where
memory ordering or the coherence of several processors is not x86's."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest

from conftest import ROOT

KIT = pathlib.Path(os.environ.get("VIV_BENCH_KIT", ROOT / "../shared/bench"))

pytestmark = [pytest.mark.slow, pytest.mark.boot,
              pytest.mark.skipif(not (KIT / "run").exists(), reason=f"no benchmark kit at {KIT}")]


def run(kit, what, *arguments):
    """Each program's checksums; the kit's status says whether one failed."""
    results = kit / f"{what}.json"
    done = subprocess.run(["./run", *arguments, "--label", what, "--json", results, "--scale", "50",
                           "--group", "smp"], cwd=kit, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAIL" not in done.stdout + done.stderr, done.stdout + done.stderr
    bench = json.loads(results.read_text())["median"]["bench"]
    return {name: result["sums"] for name, result in bench.items()}


def test_smp_group(viv, tmp_path):
    kit = tmp_path / "kit"
    shutil.copytree(KIT, kit)
    subprocess.run(["chmod", "-R", "u+w", kit], check=True)
    subprocess.run(["./build"], cwd=kit, check=True, capture_output=True)
    template = f"{viv} run --kernel {{kernel}} --initrd {{initrd}} --append '{{append}}' " \
        "-m {mem}M --cpus {smp}"
    ours = run(kit, "viv", "cmd", template, "--smp", "2")
    native = run(kit, "native", "native")
    assert len(native) >= 4
    assert ours == native
