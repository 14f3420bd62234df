#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""bench_report.py BENCH.JSON BENCH.TOML OUT.HTML - the report of make bench, again, from its figures.

One HTML file with everything in it, for somebody who has not seen the code. scripts/bench.py writes it at the end of
a run; this is for an earlier run's figures, or when the words in selftests/bench.toml changed. Runs in the sysroot.
"""

import html as markup
import io
import json
import pathlib
import statistics
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9, "font.family": "sans-serif"})
from matplotlib import pyplot, ticker  # pylint: disable=wrong-import-position

VARIANTS = {"before": "defects put back", "c": "C", "rust": "Rust"}
COLOURS = {"before": "#c2554d", "c": "#8a8a8a", "rust": "#3b6ea5"}
# C's line is the widest, and behind the others: where they coincide it is seen around them.
WIDTHS = {"before": 1.5, "c": 4, "rust": 1.5}
VENDORS = {"amd": "AMD (SVM)", "intel": "Intel (VMX)", "both": ""}
HEADINGS = {
    1: "A vCPU that waits to be started, and the one beside it",
    2: "Waiting for SIPI",
    3: "Cancelled VM-Enters",
    4: "Two overflows in one VM-Exit",
    5: "The kick",
    6: "From the event to the guest",
    7: "Round trips",
    9: "Size and build time",
}
# Units of which Rust is to have no more than C.
COUNTED = {"instructions", "locked"}
# No date, and no addresses of Matplotlib's and of vocabularies: the page refers to nothing.
NO_METADATA = dict.fromkeys(["Creator", "Date", "Format", "Type"])
STYLE = """body { font: 15px/1.5 sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: .2em .7em; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left } .more { color: #a03020 }
h2 { margin-top: 2em } svg { max-width: 100%; height: auto } .note { color: #555 }"""
ABOUT = """<p>KVM decides, on every VM-Exit, what reaches a virtual processor (vCPU) next: an NMI, a performance-counter
interrupt (PMI), an SMI, an INIT, a SIPI; and how a vCPU that sleeps or runs is made to look (the kick). Three builds of the
same KVM, loaded one after the other into one kernel, several times in turn:</p>
<ul><li><b>defects put back</b>: the C with the five defects that were fixed in it since 2020;</li>
<li><b>C</b>: the C as released;</li><li><b>Rust</b>: the same, with these decisions in Rust.</li></ul>
<p>The machines are emulated. Where the unit is <em>instructions</em>, the emulator's clock counts them (QEMU with icount for
AMD, Bochs for Intel): the figure is exact, and the same in every run but for a timer now and then. Those of a kick are
counted one by one, as QEMU executes them on two processors, in KVM's modules only. Rates and times are wall time on the
host's processors: compare them within one run only. Shown are medians; bench.json has every sample.</p>"""
BOUNDS = """<p>Bounds are on Rust: of instructions it is to execute no more than C. Compared is the least of the samples
where the path goes through the guest, as no timer interrupted that one; medians elsewhere, and in the table.</p>"""


def number(x):
    if x == int(x):
        return f"{int(x):,}"
    return f"{x:,.2f}" if abs(x) < 100 else f"{x:,.0f}"


def svg(figure):
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", metadata=NO_METADATA)
    pyplot.close(figure)
    text = out.getvalue()
    return text[text.index("<svg"):]


def scale(axis, rows):
    """From zero to a little more than the most, in full numbers; of zeros alone to one."""
    most = max(statistics.median(samples) for row in rows for samples in row.values())
    axis.axes.set(**{f"{axis.axis_name}lim": (0, most * 1.15 or 1)})
    axis.set_major_locator(ticker.MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda x, _: number(x))


def bars(title, rows):
    """One bar a variant, of a measure without numbers of vCPUs; rows: {vendor: {variant: samples}}."""
    figure, axes = pyplot.subplots(figsize=(6.2, 0.5 + 0.62 * len(rows)))
    labels, at = [], 0
    for vendor, row in rows.items():
        for k, variant in enumerate(VARIANTS):
            if variant in row:
                middle = statistics.median(row[variant])
                axes.barh(at + 0.26 * k, middle, 0.24, color=COLOURS[variant])
                axes.text(middle, at + 0.26 * k, f" {number(middle)}", va="center", fontsize=8)
        labels.append((at + 0.26, VENDORS[vendor]))
        at += 1
    axes.set_yticks([y for y, _ in labels], [text for _, text in labels])
    axes.invert_yaxis()
    scale(axes.xaxis, rows.values())
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(title)
    return svg(figure)


def lines(title, unit, rows):
    """A line a variant over the number of vCPUs; rows: {vendor: {vcpus: {variant: samples}}}."""
    figure, each = pyplot.subplots(1, len(rows), figsize=(4.2 * len(rows), 2.8), squeeze=False)
    for axes, (vendor, points) in zip(each[0], rows.items()):
        for variant in VARIANTS:
            some = [(n, statistics.median(row[variant])) for n, row in sorted(points.items()) if variant in row]
            if some:
                axes.plot(*zip(*some), marker="o", markersize=WIDTHS[variant] + 2, linewidth=WIDTHS[variant],
                          color=COLOURS[variant], label=VARIANTS[variant], clip_on=False,
                          zorder=3 if variant == "c" else 4)
        axes.set_xscale("log", base=2)
        ticks = sorted(points)
        axes.set_xticks(ticks, [str(n) for n in ticks])
        scale(axes.yaxis, points.values())
        axes.set_title(VENDORS[vendor], fontsize=9)
        axes.set_xlabel("vCPUs")
        axes.set_ylabel(unit)
        axes.spines[["top", "right"]].set_visible(False)
    each[0][0].legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    return svg(figure)


def row_of(name, vendor, unit, row):
    middles = {v: statistics.median(s) for v, s in row.items()}
    c, rust = middles.get("c"), middles.get("rust")
    ratio = "-" if c is None or rust is None else f"{rust / c:.3f}" if c else "1.000" if rust == 0 else "-"
    # Not by the ratio, which is rounded, and which zero has none of.
    more = ' class="more"' if unit in COUNTED and {"c", "rust"} <= middles.keys() and rust > c else ""
    cells = "".join(f"<td>{number(middles[v]) if v in middles else '-'}</td>" for v in VARIANTS)
    return (f"<tr><td>{markup.escape(name)}</td><td>{vendor}</td><td>{markup.escape(unit)}</td>{cells}"
            f"<td{more}>{ratio}</td></tr>")


def listed(title, texts):
    items = "".join(f"<li>{markup.escape(text)}</li>" for text in texts)
    return f"<h3>{title}</h3><ul>{items}</ul>" if items else ""


def html(bench, measures, known, bad=()):
    """The page. measures: those of bench.toml by id; known: lines on what exceeds its bound for a known reason;
    bad: on what fails."""
    found = {}
    for r in bench["results"]:
        found.setdefault(r["measure"], {}).setdefault(r["vendor"], {})[r["variant"]] = r["samples"]
    parts, at = [], None
    for name, m in sorted(measures.items(), key=lambda i: i[1]["number"]):
        of_name = {i: row for i, row in found.items() if i.partition("@")[0] == name}
        if not of_name:
            continue
        if m["number"] != at:
            at = m["number"]
            parts.append(f"<h2>{at}. {HEADINGS.get(at, '')}</h2>")
        parts.append(f"<h3>{markup.escape(m['title'])}</h3><p>{markup.escape(m['text'])}</p>")
        if any("@" in i for i in of_name):
            rows = {}
            for i, by_vendor in of_name.items():
                for vendor, row in by_vendor.items():
                    rows.setdefault(vendor, {})[int(i.partition("@")[2])] = row
            parts.append(lines(m["title"], m["unit"], rows))
        else:
            parts.append(bars(m["unit"], of_name[name]))
    table = "".join(row_of(i, vendor, measures[i.partition("@")[0]]["unit"], row)
                    for i, by_vendor in found.items() for vendor, row in by_vendor.items())
    beyond = listed("Where Rust executes more than C", known) + listed("What fails", bad)
    lacking = sorted({(a["measure"].partition("@")[0], VENDORS[a["vendor"]], VARIANTS[a["variant"]], a["why"])
                      for a in bench["absent"] if not a["why"].startswith("there is no")})
    absent = "".join(f"<br>No {markup.escape(i)} of {v} on {on}: {markup.escape(why)}." for i, on, v, why in lacking)
    tools = "; ".join(f"{markup.escape(k)}: {markup.escape(v)}" for k, v in bench["tools"].items())
    key = " ".join(f'<span style="color:{COLOURS[v]}">&#9632;</span> {text}' for v, text in VARIANTS.items())
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>KVM event delivery: C and Rust</title><style>{STYLE}</style></head>
<body><h1>KVM event delivery: the defects, C and Rust</h1>
<p class="note">Linux {markup.escape(bench['kernel'])}, {bench['date']}, {bench['rounds']} rounds. {tools}.
Made by <code>{markup.escape(bench['command'])}</code>.</p>
{ABOUT}<p>{key}</p>
<h2>All figures</h2>
<table><tr><th>measure</th><th>vendor</th><th>unit</th><th>defects</th><th>C</th><th>Rust</th><th>Rust/C</th></tr>{table}</table>
<p>A name with @N is of a machine with N vCPUs, or with N that wait.{absent}</p>
{BOUNDS + beyond if beyond else ''}
{''.join(parts)}
</body></html>
"""


def load(path, measures):
    """The figures of an earlier run."""
    try:
        bench = json.loads(pathlib.Path(path).read_text())
        _ = [bench[k] for k in ("kernel", "line", "date", "rounds", "command")], dict(bench["tools"])
        unknown = sorted({r["measure"] for r in bench["results"] if r["measure"].partition("@")[0] not in measures})
        _ = [(VENDORS[r["vendor"]], r["unit"], VARIANTS[r["variant"]], r["median"] + statistics.median(r["samples"]))
             for r in bench["results"]]
        _ = [(a["measure"], a["vendor"], a["variant"], a["why"]) for a in bench["absent"]]
    except OSError as e:
        sys.exit(f"error: {path}: {e.strerror}")
    except (ValueError, KeyError, TypeError) as e:
        sys.exit(f"error: {path}: not a bench.json of make bench: {type(e).__name__}: {e}")
    if unknown:
        sys.exit(f"error: {path}: not described: {', '.join(unknown)}: use the bench.toml of that run")
    return bench


def main():
    import bench as rules  # pylint: disable=import-outside-toplevel # which imports this for its own report

    if len(sys.argv) != 4:
        sys.exit("usage: bench_report.py BENCH.JSON BENCH.TOML OUT.HTML")
    figures, plan, out = sys.argv[1:]
    try:
        measures = rules.load_plan(plan)[1]
    except OSError as e:
        sys.exit(f"error: {plan}: {e.strerror}")
    except (ValueError, KeyError) as e:
        sys.exit(f"error: {plan}: not a bench.toml: {type(e).__name__}: {e}")
    bench = load(figures, measures)
    absent = {(a["measure"], a["vendor"], a["variant"]) for a in bench["absent"]}
    bad, known = rules.problems(bench["results"], measures, absent, bench["line"])
    try:
        pathlib.Path(out).write_text(html(bench, measures, known, bad))
    except OSError as e:
        sys.exit(f"error: {out}: {e.strerror}")


if __name__ == "__main__":
    main()
