"""Where things are. Everything that is made lives under HOME, which git ignores and anyone may delete."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".kielto"
