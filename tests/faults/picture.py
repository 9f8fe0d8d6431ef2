"""A timeline of one seed: what was broken when, which decisions were acknowledged, and what the gates said."""

from pathlib import Path
from typing import Any

COLOURS = {"allowed": "#2a9d8f", "denied": "#9aa0a6", "shut": "#e9c46a", "ok": "#264653", "fault": "#d1495b"}


def draw(events: list[dict[str, Any]], title: str, file: Path) -> None:
    """Writes an SVG or PNG, by the file's ending."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    faults = [(e["since"], e["t"], e["whom"], e["action"]) for e in events if e["what"] == "mended"]
    asks = [e for e in events if e["what"] == "may"]
    rows = [*sorted({f[2] for f in faults}), "decisions", *sorted({e["who"] for e in asks})]
    figure, axes = plt.subplots(figsize=(12, 0.5 + 0.42 * len(rows)), layout="constrained")
    place = {name: len(rows) - 1 - i for i, name in enumerate(rows)}
    for start, end, whom, action in faults:
        axes.broken_barh([(start, max(0.05, end - start))], (place[whom] - 0.3, 0.6), color=COLOURS["fault"])
        axes.annotate(action, (start, place[whom]), fontsize=7, color="white", va="center")
    _dots(axes, [e["t"] for e in events if e["what"] == "ok"], place["decisions"], "ok")
    for event in asks:
        kind = "allowed" if event["allowed"] else "denied" if event["reason"] == "denied" else "shut"
        _dots(
            axes,
            [event["asked"]],
            place[event["who"]] + {"allowed": 0.2, "denied": 0.0, "shut": -0.2}[kind],
            kind,
        )
    for event in events:
        if event["what"] == "phase":
            axes.axvline(event["t"], color="#777777", linewidth=0.8)
            axes.annotate(event["name"], (event["t"], len(rows) - 0.45), fontsize=7)
    axes.set_yticks(list(place.values()), list(place))
    axes.set_xlabel("seconds; a gate's row: above allowed, middle denied, below shut")
    axes.set_title(title, fontsize=10, loc="left")
    axes.set_ylim(-0.6, len(rows))
    figure.savefig(file)
    plt.close(figure)


def _dots(axes: Any, times: list[float], row: float, kind: str) -> None:
    axes.plot(times, [row] * len(times), "|", color=COLOURS[kind], markersize=5)
