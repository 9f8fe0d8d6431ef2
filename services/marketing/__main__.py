"""`python -m services.marketing`."""

from pathlib import Path

from kielto.service.process.main import main
from services.marketing.app import build

if __name__ == "__main__":
    main("marketing", Path(__file__).parent / "migrations", build)
