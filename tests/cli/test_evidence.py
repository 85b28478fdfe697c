"""``wattledger explain|statement|verify`` as a person runs them, and the same over HTTP."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from entry_point import Result, run_command
from grid import MARCH, Grid, intervals

from wattledger import evidence, ledger, prepay
from wattledger.store import Store


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that paid before, used 24 kWh in a day, and was deducted for it."""
    folder = tmp_path_factory.mktemp("evidence")
    store = Store(f"sqlite:///{folder / 'wattledger.db'}")
    store.migrate()
    grid = Grid(store)
    grid.publish()
    grid.homes(1, mode="prepay")
    grid.recharge("h0", "50")
    grid.clock.move_to(MARCH + timedelta(days=1))
    grid.deliver("day", {"h0": intervals([250] * 96)})
    with store.write() as tx:
        prepay.post_accrual(tx, contract_ids=["h0"], now=grid.clock.now())
    store.close()
    return folder


def run(*arguments: str | Path, data: Path) -> Result:
    return run_command(*arguments, "--data", data)


@pytest.fixture(scope="module")
def deduction(data: Path) -> str:
    store = Store(f"sqlite:///{data / 'wattledger.db'}")
    with store.read() as tx:
        found = [one.id for one in ledger.transfers_of(tx, account_id="wallet:h0") if one.purpose == "deduction"]
    store.close()
    return found[0]


def test_a_deduction_is_explained(data: Path, deduction: str) -> None:
    told = run("explain", deduction, data=data)
    assert told.code == 0, told.err
    for words in ("12.10 CNY", "proved", "charges[0].price", "24 kWh", "standing charge", "m-h0", "0.250 kWh  actual"):
        assert words in told.out
    assert "84 more" in told.out
    proof = run("explain", deduction, "--json", data=data).json["proof"]
    assert proof["proved"]
    assert len(proof["intervals"]) == 96


def test_a_transfer_that_is_none_is_one_line(data: Path) -> None:
    told = run("explain", "nothing", data=data)
    assert (told.code, told.out) == (2, "")
    assert "no transfer is called 'nothing'" in told.err


def test_a_statement_is_verified_by_whoever_has_it(data: Path, tmp_path: Path) -> None:
    stated = run("statement", "h0", "2026-03", data=data)
    assert stated.code == 0, stated.err
    key = run("statement", "--public-key", data=data)
    file, keyfile = tmp_path / "march.json", tmp_path / "key"
    file.write_text(stated.out, encoding="utf-8")
    keyfile.write_text(key.out)
    alone = run_command("verify", file)
    assert alone.code == 0, alone.err
    assert "true  h0, 2026-03" in alone.out
    assert "compare it" in alone.out
    assert run_command("verify", file, "--public-key", keyfile).code == 0
    assert run_command("verify", file, "--public-key", key.out.strip(), "--json").json["known"] is True
    other = evidence.Signer(bytes(32)).public_key
    assert run_command("verify", file, "--public-key", other).code == 1
    document = json.loads(stated.out)
    document["parts"][0]["readings"][0]["values"][5] += 1
    file.write_text(json.dumps(document))
    lied = run_command("verify", file, "--public-key", keyfile)
    assert lied.code == 1
    assert "NOT TRUE" in lied.out
    assert "changed after it was signed" in lied.out
    assert "counted again" in lied.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("verify", "none.json"), "cannot be read"),
        (("verify", __file__), "statement"),
        (("verify", __file__, "--public-key", "abc"), "64 hexadecimal"),
        (("statement", "h0"), "of a contract and a month"),
        (("statement", "h0", "2026-13"), "no month"),
        (("statement", "nobody", "2026-03"), "nobody"),
    ],
)
def test_what_cannot_be_done_is_one_line(data: Path, arguments: tuple[str, ...], said: str) -> None:
    told = run_command(*arguments) if arguments[0] == "verify" else run(*arguments, data=data)
    assert told.code == 2
    assert said in told.err
    assert told.err.count("\n") == 1


def test_the_book_is_read_on_the_command_line(data: Path, tmp_path: Path) -> None:
    assert run("ledger", "check", data=data).code == 0
    assert run("ledger", "balance", "wallet:h0", "--json", data=data).json["balance"] == "37.90"
    assert run("ledger", "balance", "wallet:h0", "--at", "2026-03-01T12:00Z", data=data).out == "50.00 CNY\n"
    statement = run("ledger", "statement", "wallet:h0", data=data)
    assert "deduction:h0:2026-02-28T16:00Z:0" in statement.out
    assert "37.90" in statement.out
    assert "wallet:h0" in run("ledger", "accounts", "wallet:", data=data).out
    out = tmp_path / "book.csv"
    assert run("ledger", "export", out, data=data).code == 0
    assert len(out.read_text().splitlines()) == 3
    assert "balance Liabilities:Wallet:H0" in run("ledger", "export", "--format", "beancount", data=data).out
    for bad in (("balance", "nobody"), ("statement", "wallet:h0", "--from", "soon"), ("export", tmp_path)):
        told = run("ledger", *bad, data=data)
        assert (told.code, told.err.count("\n")) == (2, 1)
