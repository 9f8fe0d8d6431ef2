"""The rule file: whole, readable, and refused when it does not answer everything once."""

import tomllib
from importlib import resources

import pytest

from services.consents import model
from services.consents.model.rules import Rules, RulesError
from services.consents.model.rules_file import Judgement, RulesFile

TEXT = resources.files(model).joinpath("rules.toml").read_text(encoding="utf-8")


def test_the_shipped_rules_load_and_hold_their_safe_defaults() -> None:
    file = RulesFile.model_validate(tomllib.loads(TEXT))
    assert all(s.value == s.default and s.approver and s.reason for s in file.switch)
    assert Rules.shipped().switches == {s.name: s.value for s in file.switch}
    for said in ([(e.section, e.says) for e in entries] for entries in (file.row, file.block, file.act)):
        assert all(section and says for section, says in said), (
            "each entry names its section and says what it means"
        )


@pytest.mark.parametrize("switch", Judgement)
def test_a_switch_is_read(switch: Judgement) -> None:
    """By a row of the file, or by the code of the model."""
    folder = resources.files(model)
    code = "".join(f.read_text("utf-8") for f in folder.iterdir() if f.name.endswith(".py"))
    assert f'only_if = "{switch}"' in TEXT or f"switches[Judgement.{switch.name}]" in code


def test_a_switch_can_be_set() -> None:
    assert Rules.shipped({Judgement.POINT_MAY_CONSENT: True}).switches[Judgement.POINT_MAY_CONSENT]
    assert not Rules.shipped().switches[Judgement.POINT_MAY_CONSENT]


def _changed(old: str, new: str, times: int = 1) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, times)


LEGAL = TEXT[TEXT.index('[[row]]\nid = "legal"') :].split("\n# ---")[0]

BROKEN = {
    "no TOML": ("[[row", "not TOML"),
    "a case without a row": (TEXT.replace(LEGAL, ""), "legal customer .* no row"),
    "a case with two rows": (TEXT + LEGAL.replace('"legal"', '"twice"', 1), "legal, twice"),
    "a misspelt rule": (_changed('rule = "soft_opt_in"', 'rule = "soft"'), r"row\.0\.rule"),
    "a misspelt field": (_changed("otherwise =", "else ="), "row"),
    "half a judgement": (_changed('otherwise = "none"\n', ""), "only_if, otherwise"),
    "modes of own marketing": (
        _changed('purpose = "own_marketing"', 'purpose = "own_marketing"\nmodes = ["we_send"]'),
        "modes: must be given",
    ),
    "a switch missing": (_changed('name = "point_may_consent"', 'name = "group_is_same_seller"'), "switch: "),
    "a route missing": (_changed('route = "letter"', 'route = "shop"'), "route: letter is missing"),
    "an act missing": (_changed('act = "objection"', 'act = "ban"'), "act: objection is missing"),
    "a block missing": (_changed('fact = "minor"', 'fact = "deceased"'), "block: minor is missing"),
    "a route twice": (TEXT + TEXT[TEXT.rindex("[[route]]") :], "twice"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_refused(case: str) -> None:
    text, message = BROKEN[case]
    with pytest.raises(RulesError, match=message):
        Rules.parse(text)
