from __future__ import annotations

from pathlib import Path

import pytest

from wattledger.demo import DemoOptions, FolderNotOurs, prepare_data


def test_a_folder_remembers_its_town(tmp_path: Path) -> None:
    options = DemoOptions(data=tmp_path / "demo", seed=3)
    prepare_data(options)
    (options.data / "wattledger.db").write_text("x")
    prepare_data(options)
    assert (options.data / "wattledger.db").exists()
    with pytest.raises(FolderNotOurs, match="seed 3") as refused:
        prepare_data(DemoOptions(data=options.data, seed=4))
    assert refused.value.remedy is not None
    assert "--fresh" in refused.value.remedy
    assert "--data" in refused.value.remedy
    prepare_data(DemoOptions(data=options.data, seed=3, speed=60, port=1))


def test_fresh_throws_a_town_away_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    prepare_data(DemoOptions(data=folder, seed=3))
    (folder / "wattledger.db").write_text("x")
    prepare_data(DemoOptions(data=folder, seed=4, fresh=True))
    assert not (folder / "wattledger.db").exists()
    prepare_data(DemoOptions(data=folder, seed=4))
    private = tmp_path / "private"
    private.mkdir()
    (private / "letter").write_text("dear")
    for fresh in (False, True):
        with pytest.raises(FolderNotOurs, match="not a simulated town"):
            prepare_data(DemoOptions(data=private, fresh=fresh))
    assert (private / "letter").read_text() == "dear"


def test_a_half_made_folder_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "town.new").write_text("{")  # killed while it was written
    prepare_data(DemoOptions(data=tmp_path / "demo"))
    assert (tmp_path / "demo" / "town.json").is_file()
