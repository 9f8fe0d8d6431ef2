"""`python -m services.consents`."""

from pathlib import Path

from kielto.service.process.main import main
from services.consents.app import build

if __name__ == "__main__":
    main("consents", Path(__file__).parent / "migrations", build)
