"""Where things are. Everything that is made lives under HOME, which git ignores and anyone may delete."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".kielto"
PRIVATE = 0o711 if os.geteuid() == 0 else 0o700
"""HOME's mode. Root's servers run as another account, which must be able to pass through, and no more."""
