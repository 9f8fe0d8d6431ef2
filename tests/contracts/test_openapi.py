"""What is published of the services' HTTP is what they answer to."""

import pytest

from tests.contracts.openapi import FOLDER, SERVICES, text


@pytest.mark.parametrize("name", SERVICES)
def test_the_published_description_is_the_applications(name: str) -> None:
    published = (FOLDER / f"openapi-{name}.json").read_text(encoding="utf-8")
    assert published == text(name), "out of date: run python -m tests.contracts.openapi"
