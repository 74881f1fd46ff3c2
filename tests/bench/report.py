# SPDX-License-Identifier: GPL-2.0-or-later
"""What was measured, as ratios, means and tables."""
import platform
import re
import statistics
import subprocess

CLASSES = ("int", "fp", "sys", "jit", "smp", "tool")
# CPU time is accounted when the scheduler's clock ticks; what is not even half a tick (at 250 Hz)
# says nothing.
LEAST_S = 0.002


def raw(time, metric, full):
    return time[metric] * time["n"] / full


def metric_for(times, full):
    """cpu_s, or where one is too short for the accounting wall_s, or where one of those is, too, None."""
    return next((metric for metric in ("cpu_s", "wall_s")
                 if all(raw(time, metric, full) >= LEAST_S for time in times if time)), None)


def ratio(a, b, metric):
    return a[metric] / b[metric] if a and b and metric else None


def row(name, program, times):
    native, tcg, viv = (times.get(monitor, {}).get(name) for monitor in ("native", "tcg", "viv"))
    metric = metric_for((native, tcg, viv), program["full"])
    # Guests may take long enough to be compared with each other where the host does not.
    between = metric or metric_for((tcg, viv), program["full"])
    return {"name": name, "class": program["class"], "metric": metric,
            "native_s": native[metric] if native and metric else None,
            "measured": sorted(m for m in times if name in times[m]),
            "full_scale": all(t["n"] == program["full"] for t in (native, tcg, viv) if t),
            "tcg_x": ratio(tcg, native, metric), "viv_x": ratio(viv, native, metric),
            "tcg_by_viv": ratio(tcg, viv, between)}


def mean(values):
    values = [value for value in values if value]
    return statistics.geometric_mean(values) if values else None


RATIOS = ("tcg_x", "viv_x", "tcg_by_viv")


def means(rows):
    return {key: {"mean": mean(r[key] for r in rows), "of": sum(1 for r in rows if r[key])}
            for key in RATIOS}


def checksum_errors(programs, times):
    """Programs that did the same work and came to different ends."""
    errors = []
    for name in programs:
        seen = {}
        for monitor, results in times.items():
            if name in results:
                seen.setdefault(results[name]["n"], {})[monitor] = results[name]["sums"]
        for n, sums in seen.items():
            if len({s for monitor_sums in sums.values() for s in monitor_sums}) > 1:
                said = "; ".join(f"{monitor} {' '.join(s)}" for monitor, s in sums.items())
                errors.append(f"{name}, n={n}: {said}")
    return errors


def summarize(results):
    """Adds the rows, the means and the errors."""
    programs, times = results.get("programs", {}), results.get("times", {})
    rows = [row(name, program, times) for name, program in programs.items()
            if any(name in monitor for monitor in times.values())]
    results["rows"] = rows
    results["means"] = {group: means([r for r in rows if group in (r["class"], "all")])
                        for group in (*CLASSES, "all")
                        if any(group in (r["class"], "all") for r in rows)}
    results["checksum_errors"] = checksum_errors(programs, times)
    results["host"] = about_host()


def about_host():
    model = re.search(r"model name\s*:\s*(.*)", open("/proc/cpuinfo").read())
    try:
        qemu = subprocess.run(["qemu-system-x86_64", "--version"], capture_output=True,
                              text=True).stdout.splitlines()[0]
    except (OSError, IndexError):
        qemu = "no QEMU"
    return {"cpu": model[1] if model else platform.machine(), "qemu": qemu}


def status(results):
    mips = results.get("mips", {})
    return 1 if results["checksum_errors"] or results.get("failures") or \
        len(mips.get("checksums", [])) > 1 else 0


def cell(value, digits):
    return "-" if value is None else f"{value:.{digits}f}"


def notes(rows, results):
    scaled = [r["name"] for r in rows if not r["full_scale"]]
    if not scaled:
        yield "Every program ran at its full size."
    else:
        yield f"{len(scaled)} of {len(rows)} programs ran at a fraction of their full size, to which " \
            "the times are converted."
    wall = [r["name"] for r in rows if r["metric"] == "wall_s"]
    if wall:
        yield f"By wall time, a CPU time being too short for its accounting: {', '.join(wall)}."
    short = [r["name"] for r in rows if r["metric"] is None and "native" in r["measured"]]
    if short:
        yield f"Not in the means against native, a time being too short to be told: {', '.join(short)}."
    errors = results["checksum_errors"]
    if errors:
        yield "CHECKSUMS DIFFER: " + ". ".join(errors)
    elif any(len(r["measured"]) > 1 for r in rows):
        yield "Equal work gave equal checksums everywhere."
    for failure in results.get("failures", []):
        yield "FAILED: " + failure


def kit_section(results):
    rows = results["rows"]
    lines = ["| program | native s | TCG x native | viv x native | TCG by viv |", "|---|---|---|---|---|"]
    for group, mean_of in results["means"].items():
        for r in rows:
            if r["class"] == group:
                wall = " (wall)" if r["metric"] == "wall_s" else ""
                lines.append(f"| {r['name']}{wall} | {cell(r['native_s'], 3)} | " +
                             " | ".join(cell(r[key], 2) for key in RATIOS) + " |")
        size = sum(1 for r in rows if group in (r["class"], "all"))
        cells = []
        for key in RATIOS:
            of = mean_of[key]["of"]
            fewer = f" (of {of})" if of not in (0, size) else ""
            cells.append(f"**{cell(mean_of[key]['mean'], 2)}**{fewer}")
        lines.append(f"| **{group}**, geometric mean of {size} |  | " + " | ".join(cells) + " |")
    lines += ["", *notes(rows, results)]
    return lines


def boots_section(results):
    lines = []
    for kernel, boots in results["boots"].items():
        best = {label: min(run["cpu_s"] for run in runs) for label, runs in boots.items() if runs}
        lines += ["", f"| Debian's {kernel} kernel to user space and power-off | CPU s | x viv |",
                  "|---|---|---|"]
        for label, cpu_s in best.items():
            lines.append(f"| {label}, least of {len(boots[label])} | {cpu_s:.2f} | "
                         f"{cpu_s / best['viv']:.2f} |")
    return lines[1:]


def firmware_section(results):
    lines = ["| power-on to | viv, CPU s | TCG, CPU s | x viv | viv, wall s | TCG, wall s |", "|---|---|---|---|---|---|"]
    for what, found in results["firmware"].items():
        cpu = {label: min(run["cpu_s"] for run in runs) for label, runs in found.items()}
        wall = {label: min(run["wall_s"] for run in runs) for label, runs in found.items()}
        ratio = cpu["TCG"] / cpu["viv"] if "TCG" in cpu else None
        lines.append(f"| {what} | {cpu['viv']:.2f} | {cell(cpu.get('TCG'), 2)} | {cell(ratio, 2)} | "
                     f"{wall['viv']:.2f} | {cell(wall.get('TCG'), 2)} |")
    return lines


def net_section(results):
    lines = ["| TCP, best of runs | viv, Mbit/s | TCG, Mbit/s | viv x TCG |", "|---|---|---|---|"]
    for what, found in results["net"].items():
        best = {label: max(speeds) for label, speeds in found.items()}
        ratio = best["viv"] / best["TCG"] if "TCG" in best else None
        lines.append(f"| {what} | {best['viv']} | {cell(best.get('TCG'), 0)} | {cell(ratio, 1)} |")
    return lines


def mips_section(results):
    m = results["mips"]
    lines = ["| a guest that only computes | CPU s |  |", "|---|---|---|",
             f"| T0, least of {m['runs']} | {m['t0_s']:.3f} | "
             f"{m['instructions'] / m['t0_s'] / 1e6:.0f} MIPS, {m['instructions'] / 1e9:.2f} G |",
             f"| T0 and T1, least of {m['runs']} | {m['t1_s']:.3f} | T0's time is "
             f"{m['t0_s'] / m['t1_s']:.1f} x that |"]
    if len(m["checksums"]) > 1:
        lines += ["", "CHECKSUMS DIFFER: " + " ".join(m["checksums"])]
    return lines


def disk_section(results):
    lines = ["| work | viv, s | qemu-img, s | by viv | viv, CPU s | qemu-img, CPU s | by viv |", "|---|---|---|---|---|---|---|"]
    ratios = {"wall_s": [], "cpu_s": []}
    for what, found in results["disk"].items():
        cells = []
        for key in ratios:
            ours, theirs = (min((run[key] for run in found[label]), default=None) for label in ("viv", "qemu-img"))
            ratios[key].append(theirs / ours if ours and theirs else None)
            cells += [cell(ours, 3), cell(theirs, 3), cell(ratios[key][-1], 2)]
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    wall, cpu = (cell(mean(values), 2) for values in ratios.values())
    return [*lines, f"| geometric mean |  |  | **{wall}** |  |  | **{cpu}** |"]


def guestdisk_section(results):
    lines = ["| a guest's disk | viv | TCG | viv by TCG |", "|---|---|---|---|"]
    ratios = []
    for image, found in results["guestdisk"].items():
        for work in found["viv"]:
            best = {label: max(values[work]) for label, values in found.items()}
            ratios.append(best["viv"] / best["TCG"] if best.get("TCG") else None)
            lines.append(f"| {image}: {work} | {best['viv']:.0f} | {cell(best.get('TCG'), 0)} | {cell(ratios[-1], 2)} |")
    return [*lines, f"| geometric mean |  |  | **{cell(mean(ratios), 2)}** |"]


SECTIONS = {"mips": mips_section, "kit": kit_section, "boots": boots_section,
            "firmware": firmware_section, "disk": disk_section, "guestdisk": guestdisk_section,
            "net": net_section}


def sections(results):
    """name -> its text, of what there is."""
    found = {}
    for name, make in SECTIONS.items():
        if results.get("rows" if name == "kit" else name):
            command = results.get("commands", {}).get(name, "./dev bench")
            head = f"`{command}`; {results['host']['cpu']}; {results['host']['qemu']}"
            found[name] = "\n".join([head, "", *make(results), ""])
    return found


def write_into(path, found):
    """Replaces what stands between each section's two comments."""
    text = path.read_text()
    for name, section in found.items():
        begin, end = f"<!-- bench {name} -->\n", f"<!-- end of bench {name} -->"
        head, mark, rest = text.partition(begin)
        _, mark_end, tail = rest.partition(end)
        if not mark or not mark_end:
            raise SystemExit(f"bench: {path} has no comments '{begin.strip()}' and '{end}'")
        text = head + begin + section + end + tail
    path.write_text(text)
