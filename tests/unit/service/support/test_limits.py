"""The limits: documented as they are, settable by their names, refused when they are none."""

import pytest
from pydantic import ValidationError

from deploy.local.paths import ROOT
from kielto.service.support.limits import Limits, document


def test_the_document_is_what_the_module_says() -> None:
    written = (ROOT / "docs/limits.md").read_text("utf-8")
    assert written == document(), "run ./kielto generate"


def test_each_is_set_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIELTO_LIMIT_HEADER_BYTES", "4096")
    assert Limits().header_bytes == 4096


@pytest.mark.parametrize("wrong", ["0", "-1", "many", ""])
def test_a_limit_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("KIELTO_LIMIT_HEADER_BYTES", wrong)
    with pytest.raises(ValidationError) as refused:
        Limits()
    assert "header_bytes" in str(refused.value)
    assert "many" not in str(refused.value)
