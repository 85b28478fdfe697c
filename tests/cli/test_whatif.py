import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from grid import FLAT, Grid, intervals

from wattledger.app import main

FIRST = datetime.fromisoformat("2026-03-01T00:00+08:00")

FLAT_YAML = """
id: {id}
version: "1"
currency: CNY
zone: Asia/Shanghai
charges:
  - {{name: energy, kind: energy, price: {price}}}
  - {{name: standing charge, kind: fixed, price: {standing}, per: month}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tariffs, and the readings of two homes in March."""
    for identity, price, standing in (("new", "0.40", "30"), ("old", "0.50", "0")):
        text = FLAT_YAML.format(id=identity, price=price, standing=standing)
        (tmp_path / f"{identity}.yaml").write_text(text, encoding="utf-8")
    for name, kwh in (("small", "0.1"), ("large", "1")):
        rows = [f"{(FIRST + timedelta(hours=n)).isoformat()},{kwh}" for n in range(31 * 24)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["start,kwh", *rows]) + "\n", encoding="utf-8")
    return tmp_path


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["wattledger", "whatif", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def files(folder: Path) -> list[object]:
    return ["--tariff", folder / "new.yaml", "--readings", folder / "small.csv", "--readings", folder / "large.csv"]


def test_files_are_a_population(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(monkeypatch, capsys, *files(folder), "--against", folder / "old.yaml", "--json")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    assert (found["customers"], found["bills"], found["currency"], found["missing"]) == (2, 2, "CNY", 0)
    assert found["revenue"] == {"old": "409.20", "new": "387.36", "change": "-21.84", "percent": "-5.34"}
    assert found["winners"] == {
        "customers": 1,
        "change": "-44.40",
        "median": "-44.40",
        "most": "-44.40",
        "top": [{"customer": "large", "old": "372.00", "new": "327.60", "change": "-44.40"}],
    }
    assert found["losers"]["top"] == [{"customer": "small", "old": "37.20", "new": "59.76", "change": "22.56"}]
    assert sum(one["customers"] for one in found["histogram"]) == 2


def test_the_picture_for_people(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, *files(folder), "--against", folder / "old.yaml")
    assert code == 0
    assert "new 1 instead of old 1" in out
    assert "2 customers, 2 bills, amounts in CNY" in out
    assert "pay less             1" in out
    assert "#" in out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "files do not say what is paid today"),
        (["--against", "{folder}/old.yaml", "--from", "2027-01-01"], "nobody has a bill under both"),
        (["--from", "2026-02-30"], "is not a day"),
        (["--from", "2026-02-02", "--to", "2026-02-01"], "is not before"),
        (["--against", "{folder}/old.yaml", "--fact", "kw"], "tells nothing"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    folder: Path,
    more: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [part.format(folder=folder) for part in more]
    code, out, err = run(monkeypatch, capsys, *files(folder), *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_a_database_is_a_population(
    grid: Grid, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grid.publish()
    grid.homes(3, mode="prepay")
    grid.deliver("a", {f"h{n}": intervals([100 * n] * 96 * 40) for n in (1, 2)})
    url = grid.store.url.render_as_string(hide_password=False)
    arguments = ["--tariff", folder / "new.yaml", "--database", url, "--json"]
    code, out, err = run(monkeypatch, capsys, *arguments)
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["customers"], found["bills"], found["old"]) == (2, 2, None)  # the whole months; h0 was never read
    assert found["revenue"]["old"] == "452.60"  # 892.8 kWh at 0.50, and 62 days at 0.10
    code, out, _ = run(monkeypatch, capsys, *arguments, "--to", "2026-05-01")
    assert json.loads(out)["bills"] == 4
    assert FLAT["id"] == "flat"


def compared(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    code, out, err = run(monkeypatch, capsys, *arguments, "--json")
    assert (code, err) == (0, "")
    found: dict[str, Any] = json.loads(out)
    return found


def test_published_prices_events_and_facts_are_told_of_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    head = "id: new\nversion: '1'\ncurrency: CNY\nzone: Asia/Shanghai\n"
    (folder / "new.yaml").write_text(
        head + "events: [alert]\nperiods: {hot: {events: alert}, plain: otherwise}\ncharges:\n"
        "  - {name: energy, kind: energy, price: {hot: 2, plain: 0}}\n"
        "  - {name: market, kind: energy, index: {series: spot, missing: last}}\n"
        "  - {name: capacity, kind: fixed, price: 3, per: month, times: contracted_kw}\n"
    )
    (folder / "spot.csv").write_text("start,price\n2026-03-01T00:00+08:00,0.10\n2026-03-02T00:00+08:00,0.20\n")
    arguments = [*files(folder), "--against", folder / "old.yaml", "--fact", "contracted_kw=6"]
    told = [*arguments, "--prices", f"spot={folder / 'spot.csv'}", "--event", "alert=2026-03-05"]
    found = compared(monkeypatch, capsys, *told)
    # The large home: 24 kWh at 0.10, 720 at 0.20, 24 at 2.00 besides, and 18; the small one a tenth of that energy.
    assert found["winners"]["top"] == [{"customer": "large", "old": "372.00", "new": "212.40", "change": "-159.60"}]
    assert found["losers"]["top"] == [{"customer": "small", "old": "37.20", "new": "37.44", "change": "0.24"}]
    code, out, err = run(monkeypatch, capsys, *arguments, "--prices", f"sport={folder / 'spot.csv'}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--prices sport: new and old know no such series" in err


def test_registers_are_channels_of_both_tariffs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ones = ",".join(["0.5"] * 48)
    (folder / "meter.csv").write_text(
        "100,NEM12,202607020000,A,B\n"
        f"200,NMI1234567,E1E2,1,E1,N1,M1,KWH,30,20260703\n300,20260701,{ones},A,,,20260702000000,\n"
        f"200,NMI1234567,E1E2,2,E2,N2,M1,KWH,30,20260703\n300,20260701,{ones},A,,,20260702000000,\n900\n"
    )
    for name, price in (("new", "0.10"), ("old", "0.20")):
        text = (folder / f"{name}.yaml").read_text().replace("Asia/Shanghai", "Australia/Brisbane")
        more = f"  - {{name: water, kind: energy, channel: controlled, price: {price}}}\n"
        (folder / f"{name}-2.yaml").write_text(text + more)
    arguments = ["--tariff", folder / "new-2.yaml", "--readings", folder / "meter.csv", "--against"]
    told = [*arguments, folder / "old-2.yaml", "--channel"]
    revenue = compared(monkeypatch, capsys, *told, "E2=controlled")["revenue"]
    assert revenue["old"] == "16.80"  # 24 kWh at 0.50 and 24 at 0.20
    assert "no register is called E9" in run(monkeypatch, capsys, *told, "E9=controlled")[2]
    said = run(monkeypatch, capsys, *arguments, folder / "old.yaml", "--channel", "E2=controlled")[2]
    assert "old prices no channel controlled" in said


def test_the_median_of_an_even_number_is_between_the_two_in_the_middle(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*files(folder), "--against", folder / "old.yaml"]
    (folder / "new.yaml").write_text(FLAT_YAML.format(id="new", price="0.60", standing="0"))
    assert compared(monkeypatch, capsys, *arguments)["losers"]["median"] == "40.92"  # of 7.44 and 74.40
    assert "+40.92" in run(monkeypatch, capsys, *arguments)[1]


def test_where_there_is_no_database_none_is_made(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, value in (("--data", folder / "typo"), ("--database", f"sqlite:///{folder}/typo/w.db")):
        code, out, err = run(monkeypatch, capsys, "--tariff", folder / "new.yaml", option, value)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "there is no database" in err
    assert not (folder / "typo").exists()
    said = run(monkeypatch, capsys, "--tariff", folder / "new.yaml", "--fact", "kw=1")[2]
    assert "--fact is told of files" in said
