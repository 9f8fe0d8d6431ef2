"""How long a cached demo takes from the command to the first ban that every subscriber has applied."""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOALS = {"seconds": 20.0}


def measure(rounds: int) -> dict[str, float]:
    """Whole-process seconds: the demo's processes start anew each round, and stop after their first ban."""
    taken = []
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "demo.json"
            began = time.time()
            subprocess.run(
                [sys.executable, "-m", "deploy.local", "demo", "--first-ban", "--json", str(report)],
                check=True,
                stdout=subprocess.DEVNULL,
                timeout=120,
            )
            first = json.loads(report.read_text(encoding="utf-8"))["first_ban_applied_at"] - began
        taken.append(first)
        print(f"round {number} of {rounds}: {first:.1f} s", file=sys.stderr)
    return {"seconds": round(statistics.median(taken), 2), "slowest": round(max(taken), 2)}
