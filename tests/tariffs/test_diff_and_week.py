"""What a tariff looks like in a week, and what changed between two versions, in words."""

from collections.abc import Callable
from typing import Any

from wattledger.tariffs import Tariff, diff, week_grids

Build = Callable[..., Tariff]

PERIODS = {"peak": {"days": "weekday", "times": "16:00-21:00"}, "off-peak": "otherwise"}
DAYS = {"weekday": "mon-fri"}


def charges(peak: str, **more: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - members of a charge
    return [{"name": "energy", "kind": "energy", "price": {"peak": peak, "off-peak": "0.15"}, **more}]


def test_a_week_has_its_periods_step_by_step(tariff_of: Build) -> None:
    (grid,) = week_grids(tariff_of(periods=PERIODS, day_types=DAYS, charges=charges("0.30")))
    assert (grid.minutes, [row.days for row in grid.rows]) == (60, ["Mon-Fri", "Sat-Sun"])
    assert grid.rows[0].periods == ("off-peak",) * 16 + ("peak",) * 5 + ("off-peak",) * 3
    assert set(grid.rows[1].periods) == {"off-peak"}


def test_the_step_is_as_fine_as_the_windows_and_holidays_are_apart(tariff_of: Build) -> None:
    days = {"weekday": {"days": "mon-fri", "holidays": "excluded"}}
    periods = {"peak": {"days": "weekday", "times": "16:10-21:00"}, "off-peak": "otherwise"}
    grids = week_grids(tariff_of(periods=periods, day_types=days, holidays=["2026-05-01"], charges=charges("0.30")))
    assert grids[0].minutes == 10
    assert [row.days for row in grids[0].rows][-1].endswith("holiday")


def test_an_events_week_is_shown_where_it_is_another(tariff_of: Build) -> None:
    periods = {**PERIODS, "critical": {"events": "alert", "times": "12:00-20:00"}}
    price = {"peak": "0.3", "off-peak": "0.1", "critical": "2"}
    energy = [{"name": "energy", "kind": "energy", "price": price}]
    grids = week_grids(tariff_of(periods=periods, day_types=DAYS, events=["alert"], charges=energy))
    assert [grid.event for grid in grids] == [None, "alert"]
    assert grids[1].rows[0].periods[12:20] == ("critical",) * 8


def test_the_same_version_has_no_changes(tariff_of: Build) -> None:
    tariff = tariff_of(periods=PERIODS, day_types=DAYS, charges=charges("0.30"))
    assert diff(old=tariff, new=tariff) == ()


def test_a_price_and_a_window_are_told_in_words(tariff_of: Build) -> None:
    old = tariff_of(periods=PERIODS, day_types=DAYS, charges=charges("0.30"))
    later = {"peak": {"days": "weekday", "times": "17:00-21:00"}, "off-peak": "otherwise"}
    changes = diff(old=old, new=tariff_of(periods=later, day_types=DAYS, charges=charges("0.33")))
    texts = [change.text for change in changes]
    assert "energy, peak: 0.3 becomes 0.33 (+10.0 %)" in texts
    assert "peak: Mon-Fri 16:00-21:00 becomes Mon-Fri 17:00-21:00" in texts
    assert next(c for c in changes if "0.33" in c.text).concerns == "whoever uses energy in peak"


def test_charges_come_and_go_and_conditions_say_for_whom(tariff_of: Build) -> None:
    rent = {"name": "rent", "kind": "fixed", "price": "3", "per": "month", "when": {"facts": {"phases": "3"}}}
    old = tariff_of(charges=[{"name": "energy", "kind": "energy", "price": "0.1"}, rent])
    new = tariff_of(charges=[{"name": "energy", "kind": "energy", "price": "0.1"}, {**rent, "price": "4.50"}])
    (change,) = diff(old=old, new=new)
    assert change.text == "rent, price: 3 becomes 4.5 (+50.0 %)"
    assert "phases 3" in change.concerns
    (gone,) = diff(old=old, new=tariff_of(charges=[{"name": "energy", "kind": "energy", "price": "0.1"}]))
    assert gone.text == "the charge rent (fixed) is gone"


def test_a_period_that_goes_and_one_that_comes(tariff_of: Build) -> None:
    old = tariff_of(periods=PERIODS, day_types=DAYS, charges=charges("0.30"))
    changes = diff(old=old, new=tariff_of(charges=[{"name": "energy", "kind": "energy", "price": "0.2"}]))
    texts = {change.text for change in changes}
    assert "energy: peak is gone" in texts
    assert "energy: any time is new, at 0.2" in texts


def test_days_seasons_and_events_are_told_in_words(tariff_of: Build) -> None:
    def version(working: dict[str, Any], begins: str, hot: str) -> Tariff:
        periods = {
            "critical": {"events": "alert", "times": hot},
            "peak": {"days": "working", "times": "16:00-21:00"},
            "off-peak": "otherwise",
        }
        ends = {"06-01": "05-31", "06-16": "06-15"}[begins]
        return tariff_of(
            periods=periods,
            day_types={"working": working},
            holidays=["2026-05-01"],
            events=["alert"],
            seasons={"summer": f"{begins} to 09-30", "rest": f"10-01 to {ends}"},
            charges=[
                {"name": "energy", "kind": "energy", "price": {"peak": "0.3", "off-peak": "0.1", "critical": "2"}}
            ],
        )

    changes = diff(
        old=version({"days": "mon-fri", "holidays": "excluded"}, "06-01", "12:00-15:00"),
        new=version({"days": ["mon-thu", "sat"], "holidays": "excluded"}, "06-16", "13:00-15:00"),
    )
    texts = [change.text for change in changes]
    assert "day type working: Mon-Fri but holidays becomes Mon-Thu, Sat but holidays" in texts
    assert "season summer: 06-01 to 09-30 becomes 06-16 to 09-30" in texts
    moved = [change for change in changes if change.text.startswith("critical in summer")]
    assert len(moved) == 1
    assert moved[0].text == (
        "critical in summer while alert is on: Mon-Sun 12:00-15:00; holiday 12:00-15:00 "
        "becomes Mon-Sun 13:00-15:00; holiday 13:00-15:00"
    )
    assert moved[0].concerns == "whoever uses energy then in summer while alert is on"
    assert not [text for text in texts if "and tue" in text or "day_types" in text]


def test_an_event_that_begins_to_change_a_season_is_told(tariff_of: Build) -> None:
    def version(seasons: list[str]) -> Tariff:
        return tariff_of(
            seasons={"summer": "04-01 to 09-30", "winter": "10-01 to 03-31"},
            periods={"critical": {"events": "alert", "seasons": seasons, "times": "12:00-15:00"}, "plain": "otherwise"},
            events=["alert"],
            charges=[{"name": "energy", "kind": "energy", "price": {"plain": "0.1", "critical": "2"}}],
        )

    told = "critical in winter while alert is on: {} becomes {}"
    for old, new, text in (
        (["summer"], ["summer", "winter"], told.format("never", "Mon-Sun 12:00-15:00")),
        (["summer", "winter"], ["summer"], told.format("Mon-Sun 12:00-15:00", "never")),
    ):
        assert text in [change.text for change in diff(old=version(old), new=version(new))]
