import itertools
import threading
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattledger import ledger
from wattledger.kernel import Money
from wattledger.ledger import Account, Rule, Transfer
from wattledger.store import Store

_runs = itertools.count()  # one book serves all examples: each uses ids of its own

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def transfer(
    transfer_id: str, amount: int, *, debit: str = "till", credit: str = "wallet", currency: str = "CNY"
) -> Transfer:
    return Transfer(
        id=transfer_id,
        debit_account=debit,
        credit_account=credit,
        amount=Money(amount, currency),
        purpose="test",
        reference="t",
        posted_at=NOW,
    )


@pytest.fixture
def book(store: Store) -> Store:
    with store.write() as tx:
        ledger.open_accounts(
            tx,
            accounts=[
                Account("till", "cash", "CNY"),
                Account("wallet", "wallet", "CNY"),
                Account("bounded", "wallet", "CNY", Rule.DEBITS_NOT_OVER_CREDITS),
            ],
        )
    return store


def test_a_transfer_moves_both_sides(book: Store) -> None:
    with book.write() as tx:
        assert ledger.post(tx, transfers=[transfer("a", 5), transfer("b", 7)]) == 2
    with book.read() as tx:
        assert ledger.balance(tx, account_id="wallet") == Money(12, "CNY")
        assert ledger.balance(tx, account_id="till") == Money(-12, "CNY")
        assert [t.id for t in ledger.transfers_of(tx, account_id="wallet")] == ["b", "a"]
        assert ledger.check_book(tx) == []


def test_the_same_id_again_moves_nothing_and_another_content_is_refused(book: Store) -> None:
    with book.write() as tx:
        assert ledger.post(tx, transfers=[transfer("a", 5), transfer("a", 5)]) == 1
    with book.write() as tx:
        assert ledger.post(tx, transfers=[transfer("a", 5)]) == 0
    with pytest.raises(ledger.TransferConflict), book.write() as tx:
        ledger.post(tx, transfers=[transfer("b", 1), transfer("a", 6)])
    with book.read() as tx:
        assert ledger.balance(tx, account_id="wallet") == Money(5, "CNY")


def test_a_bound_is_kept_and_nothing_of_the_batch_is_posted(book: Store) -> None:
    with book.write() as tx:
        ledger.post(tx, transfers=[transfer("in", 10, credit="bounded")])
    over = [
        transfer("x", 4, debit="bounded", credit="till"),
        transfer("y", 7, debit="bounded", credit="till"),
    ]
    with (
        pytest.raises(ledger.BalanceRuleBroken, match=r"bounded would pass its bound by 0\.000001 CNY"),
        book.write() as tx,
    ):
        ledger.post(tx, transfers=over)
    with book.read() as tx:
        assert ledger.balance(tx, account_id="bounded") == Money(10, "CNY")


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (transfer("a", 0), ledger.TransferConflict),
        (transfer("a", -1), ledger.TransferConflict),
        (transfer("a", 1, debit="wallet"), ledger.TransferConflict),
        (transfer("a", 1, debit="nobody"), ledger.AccountUnknown),
        (transfer("a", 1, currency="EUR"), ledger.AccountUnknown),
    ],
)
def test_a_transfer_that_makes_no_sense_is_refused(book: Store, bad: Transfer, problem: type[Exception]) -> None:
    with pytest.raises(problem), book.write() as tx:
        ledger.post(tx, transfers=[bad])


@pytest.mark.parametrize("statement", ["UPDATE ledger_transfer SET amount = 1", "DELETE FROM ledger_transfer"])
def test_the_database_itself_refuses_to_change_a_posted_transfer(book: Store, statement: str) -> None:
    with book.write() as tx:
        ledger.post(tx, transfers=[transfer("a", 5)])
    with pytest.raises(sa.exc.DBAPIError, match="never changed"), book.write() as tx:
        tx.execute(sa.text(statement))


def test_the_audit_finds_a_sum_that_was_tampered_with(book: Store) -> None:
    with book.write() as tx:
        ledger.post(tx, transfers=[transfer("a", 5)])
        tx.execute(sa.text("UPDATE ledger_account SET credits = credits + 1 WHERE id = 'wallet'"))
    with book.read() as tx:
        assert {fault.account_id for fault in ledger.check_book(tx)} == {"wallet", "all of CNY"}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.lists(
        st.lists(
            st.tuples(st.integers(0, 30), st.integers(1, 10**12), st.sampled_from(["wallet", "bounded"])), max_size=8
        ),
        max_size=5,
    ),
)
def test_whatever_is_posted_in_whatever_batches_the_book_adds_up(
    book: Store, data: list[list[tuple[int, int, str]]]
) -> None:
    run = next(_runs)
    with book.read() as tx:
        before = ledger.balances(tx, account_ids=["wallet", "bounded", "till"])
    expected: dict[str, Transfer] = {}
    for batch in data:
        transfers = [transfer(f"{run}:{key}", amount, credit=credit) for key, amount, credit in batch]
        merged = dict(expected)
        conflict = False
        for one in transfers:
            conflict |= merged.setdefault(one.id, one) != one
        try:
            with book.write() as tx:
                ledger.post(tx, transfers=transfers)
        except ledger.TransferConflict:
            assert conflict
        else:
            assert not conflict
            expected = merged
    with book.read() as tx:
        assert ledger.check_book(tx) == []
        after = ledger.balances(tx, account_ids=["wallet", "bounded", "till"])
    for account in ("wallet", "bounded"):
        moved = sum(one.amount.micro for one in expected.values() if one.credit_account == account)
        assert (after[account] - before[account]).micro == moved
    assert sum(money.micro for money in after.values()) == 0


@pytest.mark.parametrize("count", [3, 80])  # few rows and many go to the driver in different ways
def test_accounts_are_opened_with_what_is_posted_to_them(book: Store, count: int) -> None:
    first = [transfer(f"a{n}", n + 1, debit=f"new{n}") for n in range(count)]
    opening = [Account(f"new{n}", "receivable", "CNY") for n in range(count + 5)]
    again = [transfer(f"b{n}", 10, debit=f"new{n}") for n in range(count + 1)]
    with book.write() as tx:
        assert ledger.post(tx, transfers=first, opening=opening) == count
        assert f"new{count}" not in ledger.balances(tx, account_ids=[one.id for one in opening])
    with book.write() as tx:
        assert ledger.post(tx, transfers=[*first, *again], opening=opening) == count + 1
    with book.read() as tx:
        assert ledger.balance(tx, account_id="new2") == Money(-13, "CNY")
        assert ledger.balance(tx, account_id=f"new{count}") == Money(-10, "CNY")
        assert ledger.check_book(tx) == []


def test_an_account_is_not_opened_past_its_bound(book: Store) -> None:
    opening = [Account("new", "wallet", "CNY", Rule.DEBITS_NOT_OVER_CREDITS)]
    with book.write() as tx:
        with pytest.raises(ledger.BalanceRuleBroken):
            ledger.post(tx, transfers=[transfer("a", 5, debit="new")], opening=opening)
        assert ledger.post(tx, transfers=[transfer("b", 5, credit="new")], opening=opening) == 1
    with book.read() as tx:
        assert ledger.balance(tx, account_id="new") == Money(5, "CNY")


def test_two_that_open_the_same_account_at_once_both_post(book: Store) -> None:
    opening = [Account("new", "revenue", "CNY")]
    both = threading.Barrier(2, timeout=30)

    def posts(name: str) -> None:
        with book.write() as tx:
            if book.dialect == "postgresql":
                tx.execute(sa.select(1))
                both.wait()  # each has begun before the other opens the account
            ledger.post(tx, transfers=[transfer(name, 5, credit="new")], opening=opening)

    threads = [threading.Thread(target=posts, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with book.read() as tx:
        assert ledger.balance(tx, account_id="new") == Money(10, "CNY")
        assert ledger.check_book(tx) == []
