#!/usr/bin/env python3
"""Tables of what `run` has written: report.py FILE.jsonl…

A ratio is taken within each round, where both ran within seconds of each other, and the median of
the rounds is shown: the machine's own drift is in both and cancels out.
"""

import collections
import json
import os
import pathlib
import platform
import statistics
import sys

TITLES = {
    "u1": "unary 100 B, 1 in flight, 1 connection",
    "u64": "unary 100 B, 64 in flight, 1 connection",
    "u64x8": "unary 100 B, 64 in flight, 8 connections",
    "big": "unary 64 KiB, 16 in flight, 1 connection",
    "ss": "server stream, 100 B messages",
    "bidi": "bidi stream, 100 B, one message in flight",
    "u1000": "unary 100 B, 1,000 in flight, 1 connection",
    "meta5": "unary 100 B with five pairs of metadata, 64 in flight, 1 connection",
    "ss-chan": "server stream, 100 B messages that another task hands over in a channel",
    "slow": "unary 100 B, 64 in flight, 1 connection; 10 % wait 10 ms, 1 % compute 5 ms, and the others are counted",
    "tls": "unary 100 B over TLS, 64 in flight, 1 connection",
    "idle": "10,000 connections, each used once: memory of one",
}
BASES = ("go-micro", "tonic", "raw")
HEAD = ("calls/s (min–max)", "CPU µs a call (min–max)", "client / server", "p50 µs", "p99 µs", "RSS MiB idle → most", "foreign")


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(values):
    return f"{number(statistics.median(values))} ({number(min(values))}–{number(max(values))})" if values else "–"


def read(paths):
    """Lines by workload, then framework, then round."""
    runs = collections.defaultdict(lambda: collections.defaultdict(dict))
    for file, path in enumerate(paths):
        for line in pathlib.Path(path).read_text().splitlines():
            run = json.loads(line)
            runs[run["w"]][run["fw"]][file, run["round"]] = run
    return runs


def ratio(runs, base, key):
    """Of the rounds that both have; a run in which nothing ended has no CPU per call."""
    both = [(runs[r], base[r]) for r in runs if r in base and runs[r]["ops"] and base[r]["ops"]]
    return spread([mine[key] / theirs[key] for mine, theirs in both if theirs[key]])


def measured(peer, runs):
    values = list(runs.values())
    median = lambda of: statistics.median(of(run) for run in values)  # noqa: E731
    per_call = lambda side: lambda run: (run[side + "_user"] + run[side + "_sys"]) * 1e6 / max(run["ops"], 1)  # noqa: E731
    return [
        peer,
        spread([run["rps"] for run in values]),
        spread([run["cpu_s_per_m"] for run in values]),
        f"{number(median(per_call('cli')))} / {number(median(per_call('srv')))}",
        number(median(lambda run: run["p50_us"])),
        number(median(lambda run: run["p99_us"])),
        f"{median(lambda run: run['rss_idle']):.1f} → {median(lambda run: run['rss_hwm']):.1f}",
        f"{median(lambda run: run['foreign']):.2f}",
    ]


def compared(peer, runs, by_peer, bases):
    cells = [peer]
    for base in bases:
        cells += [ratio(runs, by_peer[base], key) for key in ("rps", "cpu_s_per_m", "p99_us")]
    return cells


def held(peer, runs):
    """Of connections that nobody uses."""
    values = list(runs.values())
    sides = ("cli_conn_kib", "srv_conn_kib")
    return [peer, *(spread([run[side] for run in values]) for side in sides), f"{max(run['rss_hwm'] for run in values):.0f}"]


def table(head, rows):
    return ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]


def machine():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.machine()
    return f"{os.cpu_count()} × {model}, {platform.system()} {platform.release()}"


def tables(paths):
    out = [machine()]
    runs = read(paths)
    for workload in sorted(runs, key=list(TITLES).index):
        by_peer = runs[workload]
        bases = [base for base in BASES if base in by_peer]
        rounds = max(len(values) for values in by_peer.values())
        out.append(f"\n### {workload}: {TITLES[workload]} ({rounds} rounds)\n")
        if workload == "idle":
            head = ["", "client KiB each (min–max)", "server KiB each (min–max)", "server's most, MiB"]
            out += table(head, [held(peer, by_peer[peer]) for peer in by_peer])
            continue
        out += table(["", *HEAD], [measured(peer, by_peer[peer]) for peer in by_peer])
        head = [f"{what} ÷ {base}" for base in bases for what in ("rate", "CPU", "p99")]
        out += ["", *table(["", *head], [compared(peer, by_peer[peer], by_peer, bases) for peer in by_peer])]
    return "\n".join(out)


if __name__ == "__main__":
    print(tables(sys.argv[1:]))
