"""A notebook's columns: pandas, Polars, NumPy and lists give the bill that the same readings give."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from wattledger.kernel import Quality
from wattledger.tariffs import ColumnsDoNotFit, Tariff, monthly, parse_tariff, series_of

STARTS = [datetime(2026, 1, 31, 22, tzinfo=UTC) + timedelta(minutes=30 * n) for n in range(8)]
KWH = [0.1, 0.25, 0.3, 1.7, 0.123456789, 2.0, 0.0, 0.7]


@pytest.fixture
def flat() -> Tariff:
    charge = {"name": "energy", "kind": "energy", "price": "0.2890"}
    header = {"id": "flat", "version": "1", "currency": "EUR", "zone": "Europe/Berlin"}
    return parse_tariff({**header, "charges": [charge]}, source="test")


def columns(kind: str) -> tuple[Any, Any]:
    if kind == "pandas":
        pandas = pytest.importorskip("pandas")
        return pandas.Series(STARTS).dt.tz_convert("Europe/Berlin"), pandas.Series(KWH)
    if kind == "polars":
        polars = pytest.importorskip("polars")
        return polars.Series("at", STARTS).dt.convert_time_zone("Asia/Tokyo"), polars.Series("kwh", KWH)
    return STARTS, [Decimal(str(value)) for value in KWH]


@pytest.mark.parametrize("kind", ["pandas", "polars", "list"])
def test_columns_become_bills_of_local_months(flat: Tariff, kind: str) -> None:
    starts, kwh = columns(kind)
    bills = monthly(tariff=flat, series=series_of(starts=starts, kwh=kwh))
    assert [bill.total.text for bill in bills] == [
        "0.10",
        "1.39",
    ]  # 0.35 kWh until midnight in Berlin, 4.823456789 after
    assert [bill.lines[0].quantity for bill in bills] == [Decimal("0.35"), Decimal("4.823456789")]


def test_rows_in_any_order_and_gaps_are_missing() -> None:
    series = series_of(starts=STARTS[::-1], kwh=[*KWH[:0:-1], float("nan")])
    assert series.starts.tolist() == sorted(series.starts.tolist())
    assert series.seconds == 1800
    assert series.qualities.tolist() == [Quality.MISSING] + [Quality.ACTUAL] * 7


@pytest.mark.parametrize(
    ("starts", "kwh", "words"),
    [
        ([datetime(2026, 1, 1)], [1], "time zone"),  # noqa: DTZ001 - without a zone is the point
        (STARTS[:2], [1], "2 starts and 1 values"),
        ([STARTS[0], STARTS[0]], [1, 2], "two intervals begin at 2026-01-31T22:00:00Z"),
        (STARTS[:2], ["1", "2"], "'1' is no number of kWh"),
        (STARTS[:2], [True, False], "'True' is no number of kWh"),
        (STARTS[:2], [Decimal(1), "n/a"], "'n/a' is no number of kWh"),
        (STARTS[:2], [[1, 2], [3, 4]], "one column of kWh is expected, not an array of 2 dimensions"),
        (STARTS[:2], [1, 20_000_000_000], "at most 9,223,372,036 can be counted"),
        (STARTS[:2], [-20_000_000_000, 1], "at most 9,223,372,036 can be counted"),
        (STARTS[:2], [0.1, 1e300], "at most 9,223,372,036 can be counted"),
        (STARTS[:2], [0.1, float("inf")], "'inf' kWh: at most"),
        (STARTS[:2], [Decimal("0.1"), Decimal("1e300")], "at most 9,223,372,036 can be counted"),
    ],
)
def test_what_is_no_reading_is_refused(starts: list[datetime], kwh: list[Any], words: str) -> None:
    with pytest.raises(ColumnsDoNotFit, match=words):
        series_of(starts=starts, kwh=kwh)


def test_a_length_longer_than_the_rows_distance_is_refused() -> None:
    with pytest.raises(ColumnsDoNotFit, match="3600 s begin 1800 s apart"):
        series_of(starts=STARTS, kwh=KWH, seconds=3600)


@pytest.mark.parametrize("seconds", [0, -900, True, 900.0])
def test_a_length_that_is_none_is_refused(seconds: Any) -> None:  # noqa: ANN401 - whatever a notebook holds
    with pytest.raises(ColumnsDoNotFit, match="a whole number of seconds above 0"):
        series_of(starts=STARTS, kwh=KWH, seconds=seconds)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_a_start_that_is_null_is_refused(kind: str) -> None:
    starts, kwh = columns(kind)
    library = pytest.importorskip(kind)
    with_null = starts.mask(starts == starts[3]) if kind == "pandas" else starts.scatter(3, None)
    assert isinstance(with_null, library.Series)
    with pytest.raises(ColumnsDoNotFit, match="1 of the starts are null"):
        series_of(starts=with_null, kwh=kwh)


def test_nulls_of_pandas_whole_numbers_are_missing() -> None:
    pandas = pytest.importorskip("pandas")
    series = series_of(starts=STARTS[:2], kwh=pandas.Series([1, None], dtype="Int64"))
    assert series.qualities.tolist() == [Quality.ACTUAL, Quality.MISSING]


def test_the_readmes_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    code = readme.split("## In a notebook")[1].split("```python\n")[1].split("```")[0]
    rows = [f"2024-08-01T{hour:02d}:00:00+02:00,{hour}.5" for hour in range(24)]
    (tmp_path / "use.csv").write_text("\n".join(["start,kwh", *rows]))
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(code, found)  # noqa: S102 - the code is the README's
    (bill,) = found["bills"]
    energy = [line for line in bill.lines if line.kind == "energy"]
    assert sum(line.quantity for line in energy) == 288  # 0.5 + 1.5 + ... + 23.5
    assert bill.missing == 0
