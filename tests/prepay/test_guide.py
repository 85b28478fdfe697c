"""The guide's examples are what the program takes."""

import re
from pathlib import Path

from wattledger import control, prepay

GUIDE = (Path(__file__).parents[2] / "docs/prepayment.md").read_text(encoding="utf-8")


def test_the_examples_of_the_guide_are_taken_and_say_every_key() -> None:
    policy, hours = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    read = prepay.read_policy(policy, source="guide")
    assert (read.second, read.days, read.emergency.amount) == (3_000_000, 3, 20_000_000)
    assert read.arrears is not None
    assert read.arrears.terms.per_day == 500_000
    assert control.read_hours(hours, source="guide").country == "DE"


def test_what_the_guide_calls_by_name_is_there() -> None:
    rooms = {"prepay": prepay, "control": control}
    named = re.findall(r"`(prepay|control)\.(\w+)`", GUIDE)
    assert len(named) > 20
    assert [f"{room}.{name}" for room, name in named if not hasattr(rooms[room], name)] == []
