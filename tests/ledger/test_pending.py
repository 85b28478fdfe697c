"""Money is set aside, moves or is free again; bounds hold for what is promised; whatever happens, the book adds up."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger import ledger
from wattledger.kernel import Money, Period
from wattledger.ledger import Account, Pending, Rule, Transfer
from wattledger.store import Store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
WALLET = Account("wallet", "wallet", "CNY", Rule.DEBITS_NOT_OVER_CREDITS)
REVENUE = Account("revenue", "revenue", "CNY", shards=4)


def cny(micro: int) -> Money:
    return Money(micro, "CNY")


def paid(identity: str, micro: int, *, debit: str = "till", credit: str = "wallet") -> Transfer:
    return Transfer(identity, debit, credit, cny(micro), "test", "t", NOW)


def aside(
    identity: str, micro: int, *, expires: datetime | None = None, debit: str = "wallet", credit: str = "till"
) -> Pending:
    return Pending(identity, debit, credit, cny(micro), "refund", "r", NOW, expires)


@pytest.fixture
def book(store: Store) -> Store:
    with store.write() as tx:
        ledger.open_accounts(tx, accounts=[Account("till", "cash", "CNY"), WALLET, REVENUE])
        ledger.post(tx, transfers=[paid("in", 100)])
    return store


def stands(book: Store) -> tuple[int, int]:
    with book.read() as tx:
        assert ledger.check_book(tx) == []
        return ledger.balance(tx, account_id="wallet").micro, ledger.reserved(tx, account_id="wallet").micro


def test_what_is_reserved_cannot_be_spent_until_it_is_free(book: Store) -> None:
    with book.write() as tx:
        assert ledger.reserve(tx, pending=[aside("p", 60)]) == 1
        assert ledger.reserve(tx, pending=[aside("p", 60)]) == 0
    assert stands(book) == (100, 60)
    with pytest.raises(ledger.BalanceRuleBroken), book.write() as tx:
        ledger.post(tx, transfers=[paid("spend", 41, debit="wallet", credit="till")])
    with pytest.raises(ledger.BalanceRuleBroken), book.write() as tx:
        ledger.reserve(tx, pending=[aside("q", 41)])
    with pytest.raises(ledger.TransferConflict), book.write() as tx:
        ledger.reserve(tx, pending=[aside("p", 59)])
    with book.write() as tx:
        ledger.void_pending(tx, pending_id="p", now=NOW)
        ledger.void_pending(tx, pending_id="p", now=NOW)
        ledger.post(tx, transfers=[paid("spend", 41, debit="wallet", credit="till")])
    assert stands(book) == (59, 0)
    with pytest.raises(ledger.PendingEnded, match="was voided"), book.write() as tx:
        ledger.post_pending(tx, pending_id="p", now=NOW)
    with pytest.raises(ledger.PendingUnknown), book.write() as tx:
        ledger.void_pending(tx, pending_id="nothing", now=NOW)


def test_what_is_promised_to_an_account_is_not_there_yet(book: Store) -> None:
    with book.write() as tx:
        ledger.reserve(tx, pending=[aside("more", 1_000, debit="till", credit="wallet")])
    with pytest.raises(ledger.BalanceRuleBroken), book.write() as tx:
        ledger.reserve(tx, pending=[aside("q", 101)])


def test_a_part_may_move_and_the_rest_is_free(book: Store) -> None:
    with book.write() as tx:
        ledger.reserve(tx, pending=[aside("p", 60)])
        moved = ledger.post_pending(tx, pending_id="p", amount=cny(25), now=NOW)
        assert ledger.post_pending(tx, pending_id="p", amount=cny(25), now=NOW + HOUR).id == moved.id
    assert stands(book) == (75, 0)
    with pytest.raises(ledger.TransferConflict), book.write() as tx:
        ledger.post_pending(tx, pending_id="p", amount=cny(26), now=NOW)
    with book.read() as tx:
        status = ledger.pending_status(tx, pending_id="p")
    assert (status.state, status.transfer_id, status.pending.amount) == ("posted", "p:posted", cny(60))


def test_what_lapses_is_free_again_and_cannot_move(book: Store) -> None:
    with book.write() as tx:
        ledger.reserve(tx, pending=[aside("p", 60, expires=NOW + HOUR), aside("q", 10)])
        assert not ledger.expiry_due(tx, now=NOW)
    with pytest.raises(ledger.PendingEnded, match="lapsed"), book.write() as tx:
        ledger.post_pending(tx, pending_id="p", now=NOW + HOUR)
    with book.write() as tx:
        assert ledger.expiry_due(tx, now=NOW + HOUR)
        assert ledger.expire_due(tx, now=NOW + HOUR) == 1
        assert ledger.expire_due(tx, now=NOW + HOUR) == 0
        assert ledger.pending_status(tx, pending_id="p").state == "expired"
    assert stands(book) == (100, 10)


@pytest.mark.parametrize("table", ["ledger_pending", "ledger_resolution"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET {}"])
def test_the_database_itself_keeps_them_as_they_are(book: Store, table: str, statement: str) -> None:
    change = {"ledger_pending": "amount = 1", "ledger_resolution": "state = 'expired'"}[table]
    with book.write() as tx:
        ledger.reserve(tx, pending=[aside("p", 60)])
        ledger.void_pending(tx, pending_id="p", now=NOW)
    with pytest.raises(sa.exc.DBAPIError, match="never changed"), book.write() as tx:
        tx.execute(sa.text(statement.format(table, change)))


def test_many_writers_at_once_pass_no_bound_and_lose_nothing(book: Store) -> None:
    barrier, refused = threading.Barrier(4), []

    def write(number: int) -> None:
        barrier.wait()
        for step in range(6):
            try:
                with book.write() as tx:
                    if step % 2:
                        ledger.reserve(tx, pending=[aside(f"{number}:{step}", 9)])
                    else:
                        ledger.post(tx, transfers=[paid(f"{number}:{step}", 9, debit="wallet", credit="revenue")])
            except ledger.BalanceRuleBroken:
                refused.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    balance, waiting = stands(book)
    assert balance - waiting == 100 - 9 * (24 - len(refused)) == 1
    with book.read() as tx:
        assert ledger.balance(tx, account_id="revenue").micro == 100 - balance


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["pay", "spend", "reserve", "post", "part", "void", "expire"]),
        st.integers(0, 5),
        st.integers(1, 60),
    ),
    max_size=25,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_is_done_in_whatever_order_the_book_adds_up(book: Store, steps: list[tuple[str, int, int]]) -> None:
    run = str(datetime.now(UTC).timestamp())  # one book serves all examples
    at = NOW
    for number, (what, which, amount) in enumerate(steps):
        at += timedelta(minutes=20)
        name = f"{run}:{which}"
        try:
            with book.write() as tx:
                _do(tx, what, name, f"{run}:{number}", amount, at)
        except (ledger.BalanceRuleBroken, ledger.PendingEnded, ledger.PendingUnknown, ledger.TransferConflict):
            pass
        balance, waiting = stands(book)
        assert 0 <= waiting <= balance


def _do(tx: Any, what: str, name: str, fresh: str, amount: int, at: datetime) -> None:  # noqa: ANN401 - a unit of work
    if what == "pay":
        ledger.post(tx, transfers=[paid(fresh, amount)])
    elif what == "spend":
        ledger.post(tx, transfers=[paid(fresh, amount, debit="wallet", credit="revenue")])
    elif what == "reserve":
        ledger.reserve(tx, pending=[aside(name, amount, expires=at + HOUR)])
    elif what == "post":
        ledger.post_pending(tx, pending_id=name, now=at)
    elif what == "part":
        ledger.post_pending(tx, pending_id=name, amount=cny(max(amount // 2, 1)), now=at)
    elif what == "void":
        ledger.void_pending(tx, pending_id=name, now=at)
    else:
        ledger.expire_due(tx, now=at)


@pytest.mark.parametrize(
    ("doctoring", "said"),
    [
        ("UPDATE ledger_account SET pending_debits = pending_debits + 1 WHERE id = 'wallet'", "as reserved"),
        ("UPDATE ledger_account_shard SET credits = credits + 1", "its transfers add up to"),
        ("UPDATE ledger_account SET shards = 0 WHERE id = 'revenue'", "no account with shards"),
        ("UPDATE ledger_transfer SET reference = 'another' WHERE id = 'in'", "its hash does not fit"),
        ("UPDATE ledger_transfer SET amount = 99 WHERE id = 'in'", "its hash does not fit"),
        ("UPDATE ledger_pending SET amount = 59", "not what was reserved"),
        ("UPDATE ledger_resolution SET transfer_id = 'none'", "which is not there"),
        ("UPDATE ledger_account SET currency = 'EUR' WHERE id = 'till'", "is not kept in it"),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_audit_finds_what_was_doctored(book: Store, doctoring: str, said: str) -> None:
    with book.write() as tx:
        ledger.post(tx, transfers=[paid("out", 5, debit="wallet", credit="revenue")])
        ledger.reserve(tx, pending=[aside("p", 60), aside("q", 7)])
        ledger.post_pending(tx, pending_id="p", now=NOW)
    assert stands(book) == (35, 7)
    with book.write() as tx:
        for trigger in tx.rows(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")):
            tx.execute(sa.text(f"DROP TRIGGER {trigger[0]}"))
        tx.execute(sa.text(doctoring))
    with book.read() as tx:
        causes = [fault.cause for fault in ledger.check_book(tx)]
    assert any(said in one for one in causes), causes


def test_statements_of_any_time_stay_as_they_were(book: Store) -> None:
    later = [
        Transfer(f"t{number}", "till", "wallet", cny(10), "test", "t", NOW + number * HOUR) for number in range(1, 5)
    ]
    with book.write() as tx:
        ledger.post(tx, transfers=later)
        first = ledger.statement(tx, account_id="wallet", period=Period(NOW + HOUR, NOW + 3 * HOUR))
        assert [line.balance.micro for line in first.lines] == [110, 120]
        assert (first.opening, first.closing) == (cny(100), cny(120))
        assert ledger.balance_at(tx, account_id="wallet", at=NOW + 3 * HOUR) == cny(120)
        behind = Transfer("behind", "till", "wallet", cny(1), "test", "t", NOW + 2 * HOUR)
        ledger.post(tx, transfers=[behind])
        again = ledger.statement(tx, account_id="wallet", period=first.period, through=first.through)
        assert again == first
        assert ledger.statement(tx, account_id="wallet", period=first.period).closing == cny(121)
        with pytest.raises(ledger.AccountUnknown):
            ledger.statement(tx, account_id="nobody", period=first.period)


def test_the_book_is_written_out_exactly(book: Store) -> None:
    with book.write() as tx:
        ledger.open_accounts(
            tx, accounts=[Account("wallet:h/1 é", "wallet", "CNY"), Account("wallet:h-1-", "wallet", "CNY")]
        )
        odd = Transfer('a "b"', "till", "wallet:h/1 é", cny(1_234_567), "test", "x,y", NOW, corrects="in")
        ledger.post(tx, transfers=[odd])
        table = list(ledger.csv_lines(ledger.book(tx)))
        text = list(ledger.beancount_lines(ledger.accounts(tx), ledger.book(tx)))
        some = list(ledger.csv_lines(ledger.book(tx, account_id="wallet")))
    assert table[0].split(",") == list(ledger.CSV_COLUMNS)
    assert table[2] == '"a ""b""",2026-03-01T00:00:00Z,till,wallet:h/1 é,1.234567,CNY,test,"x,y",in'
    assert len(some) == 2
    opened = [line.split()[2] for line in text if " open " in line]
    assert len(set(opened)) == len(opened) == 5
    assert 'option "operating_currency" "CNY"' in text
    assert '  id: "a \\"b\\""' in text
    sums: dict[str, int] = {}
    for line in text:
        if line.startswith("  ") and line.endswith(" CNY"):
            account, amount, _ = line.split()
            sums[account] = sums.get(account, 0) + int(amount.replace(".", ""))
    assert sum(sums.values()) == 0
    told = {line.split()[2]: int(line.split()[3].replace(".", "")) for line in text if " balance " in line}
    assert told == sums


def test_a_bounded_account_has_no_shards() -> None:
    with pytest.raises(ValueError, match="has a bound"):
        Account("wallet", "wallet", "CNY", Rule.DEBITS_NOT_OVER_CREDITS, shards=2)
