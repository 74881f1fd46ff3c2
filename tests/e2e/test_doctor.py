# SPDX-License-Identifier: GPL-2.0-or-later
"""viv doctor: what it says is one story, in text and in JSON, and is what the engines do."""
import json
import subprocess

import pytest


def doctor(viv, *options):
    ran = subprocess.run([viv, "doctor", *options], stdin=subprocess.DEVNULL, capture_output=True,
                         text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return ran.stdout


def test_json_tells_the_choice_and_why(viv):
    found = json.loads(doctor(viv, "--json"))
    engines = found["engines"]
    assert engines["soft"]["runs"] and engines["soft"]["mips"] > 0
    fast = engines["kvm"]["runs"] and engines["kvm"]["mips"] >= 200
    assert engines["auto"] == ("kvm" if fast else "soft")
    assert engines["kvm"].get("error", "MIPS") in engines["reason"]
    assert engines["kvm"]["runs"] != ("error" in engines["kvm"])
    assert found["host"]["processors"] >= 1
    assert found["host"]["memory"] >= found["host"]["memory_free"] > 0
    assert {"sse2", "nx", "cx16"} <= set(found["guests"]["features"])


def test_text_has_a_line_for_each_finding(viv):
    lines = doctor(viv).splitlines()
    assert {"kvm", "soft", "auto", "host", "guests", "features"} <= {x.split()[0] for x in lines}


def test_help(viv):
    assert doctor(viv, "--help").startswith("Usage: viv doctor")
    assert "doctor" in subprocess.run([viv, "help"], capture_output=True, text=True).stdout


@pytest.mark.narrow
def test_limit_of_address_space_is_told(viv):
    ran = subprocess.run(["sh", "-c", f"ulimit -v 4000000; exec {viv} doctor --json"],
                         capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["host"]["address_space_limit"] == 4000000 * 1024


def test_kvm_runs_the_monitor_or_says_why_not(viv, monitor, start_monitor):
    kvm = json.loads(doctor(viv, "--json"))["engines"]["kvm"]
    if kvm["runs"]:
        start_monitor("--engine", "kvm")
        return
    ran = subprocess.run([viv, "run", "--kernel", monitor, "--engine", "kvm"],
                         stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert "--engine soft" in ran.stderr
