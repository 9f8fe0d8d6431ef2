"""`python -m services.customers`."""

from pathlib import Path

from kielto.service.process.main import main
from services.customers.app import build

if __name__ == "__main__":
    main("customers", Path(__file__).parent / "migrations", build)
