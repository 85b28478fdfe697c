"""Pay after: monthly bill runs, bills and statements.

Every contract gets one document a month: a *bill* to be paid, or for a prepaid contract a *statement* of what its
wallet was charged already, which must agree to the last micro-unit. No guessed bills: readings that are missing
hold a bill back until they come.
"""

from wattledger.billing._bills import (
    Bill,
    BillLine,
    BillNotFound,
    BillPart,
    BillPosted,
    bill_with_id,
    bills_of,
    receivable_account,
)
from wattledger.billing._runs import (
    BillRun,
    BillRunFinished,
    BillRunNotFound,
    BillRunStarted,
    MonthNotOver,
    bill_contracts,
    bill_run_with_id,
    finish_run,
    latest_run,
    month_period,
    run_contracts,
    start_run,
)
from wattledger.billing.ports import Deductions

__all__ = [
    "Bill",
    "BillLine",
    "BillNotFound",
    "BillPart",
    "BillPosted",
    "BillRun",
    "BillRunFinished",
    "BillRunNotFound",
    "BillRunStarted",
    "Deductions",
    "MonthNotOver",
    "bill_contracts",
    "bill_run_with_id",
    "bill_with_id",
    "bills_of",
    "finish_run",
    "latest_run",
    "month_period",
    "receivable_account",
    "run_contracts",
    "start_run",
]
