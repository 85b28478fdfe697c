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
