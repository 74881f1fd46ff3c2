# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the guest benchmark kit on the host, on TCG and on viv, class by class."""
import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys

MONITORS = ("native", "tcg", "viv")
VIV_TEMPLATE = "{viv} run --kernel {{kernel}} --initrd {{initrd}} --append '{{append}}' " \
    "-m {{mem}}M --cpus {{smp}} --engine soft"
PATIENCE = ["--idle", "1800", "--timeout", "14400"]


def prepare(kit, out):
    """A copy of the kit that may be written, with its guest built."""
    copy = out / "kit"
    if copy.exists():
        subprocess.run(["chmod", "-R", "u+w", copy], check=True)
    shutil.copytree(kit, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("out"))
    subprocess.run(["chmod", "-R", "u+w", copy], check=True)
    with open(out / "kit-build.log", "w") as log:
        if subprocess.run(["./build"], cwd=copy, stdout=log, stderr=log).returncode:
            sys.exit(f"bench: the kit's ./build failed; see {out}/kit-build.log")
    return copy


def programs(kit):
    """name -> class and full size, in the order in which they run."""
    found = {}
    listed = subprocess.run([kit / "out/vmbench", "list"], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        name, group, full = line.split()[:3]
        found[name] = {"class": group, "full": int(full)}
    suite = (kit / "guest/suite.sh").read_text()
    for name, group, full in re.findall(r"if wanted (\w+) (\w+); then\s+size (\d+)", suite):
        found[name] = {"class": group, "full": int(full)}
    return found


def selected(all_programs, options):
    """class -> names."""
    only, groups = [set(filter(None, words.split(","))) for words in (options.only, options.group)]
    classes = {program["class"] for program in all_programs.values()}
    unknown = sorted((only - set(all_programs)) | (groups - classes))
    if unknown:
        sys.exit(f"bench: the kit has no '{unknown[0]}'")
    chosen = {}
    for name, program in all_programs.items():
        if (not only or name in only) and (not groups or program["class"] in groups):
            chosen.setdefault(program["class"], []).append(name)
    return chosen


def take(json_file, all_programs, times, wanted=None):
    """Adds the kit's results to `times`; returns what went wrong."""
    data = json.loads(json_file.read_text())
    for name, result in data["median"]["bench"].items():
        if name in all_programs and (wanted is None or name in wanted):
            times[name] = {"cpu_s": result["cpu_min"], "wall_s": result["min"],
                           "n": result["sums"][0][0], "sums": sorted({s for _, s in result["sums"]}),
                           "runs": result["runs"]}
    return [failure for run in data["runs"] for failure in run["fail"]]


def command(monitor, viv):
    return {"native": ["native"], "tcg": ["vmm", "qemu-tcg"],
            "viv": ["cmd", VIV_TEMPLATE.format(viv=shlex.quote(str(viv)))]}[monitor]


def run(kit, monitor, viv, group, names, options, all_programs, results):
    json_file = kit / f"out/{monitor}-{group}.json"
    json_file.unlink(missing_ok=True)
    smp = "2" if group == "smp" else "1"
    subprocess.run(["./run", *command(monitor, viv), "--label", monitor, "--json", json_file,
                    "--runs", str(options.runs), "--scale", str(options.scale), "--smp", smp,
                    "--only", ",".join(names), *PATIENCE],
                   cwd=kit, stdout=subprocess.DEVNULL, check=False)
    times = results["times"][monitor]
    failures = take(json_file, all_programs, times, names) if json_file.exists() else \
        ["the kit's run did not start it"]
    failures += [f"{name}: no result" for name in names if name not in times]
    results["failures"] += [f"{monitor}, {group}: {failure}" for failure in failures]


def is_at_scale(time, program, scale):
    return time["n"] == max(1, program["full"] * scale // 1000)


def keep(results, again, options, same_viv):
    """Of what was measured before, that which counts: at this scale, not to be measured again, and
    with the same viv."""
    programs_, before = results["programs"], results.get("times", {})
    results["times"] = {
        monitor: {name: time for name, time in before.get(monitor, {}).items()
                  if name in programs_ and is_at_scale(time, programs_[name], options.scale)
                  and (options.resume or name not in again) and (same_viv or monitor != "viv")}
        for monitor in MONITORS}


def measure(kit, viv, options, results, save):
    digest = hashlib.sha256(viv.read_bytes()).hexdigest()
    results["programs"] = all_programs = programs(kit)
    chosen = selected(all_programs, options)
    keep(results, {name for names in chosen.values() for name in names}, options,
         results.get("viv_sha256") == digest)
    results.update(viv_sha256=digest, failures=[])
    for monitor in MONITORS:
        for path in getattr(options, monitor):
            take(path, all_programs, results["times"][monitor])
    monitors = [m for m in MONITORS if m != "tcg" or not options.skip_tcg]
    steps = [(group, monitor, missing) for group, names in chosen.items() for monitor in monitors
             if (missing := [n for n in names if n not in results["times"][monitor]])]
    for number, (group, monitor, names) in enumerate(steps, 1):
        print(f"== {number} of {len(steps)}: {group} on {monitor}: {' '.join(names)}",
              file=sys.stderr, flush=True)
        run(kit, monitor, viv, group, names, options, all_programs, results)
        save(results)
