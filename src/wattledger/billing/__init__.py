"""Pay after: monthly bill runs, bills and statements.

Every contract gets one document a month: a *bill* to be paid, or for a prepaid contract a *statement* of what its
wallet was charged already, which must agree to the last micro-unit. No guessed bills: readings that are missing
hold a bill back until they come. What comes late for a month that was billed corrects its bill: see docs/late-truth.md.
"""

from wattledger.billing._bills import Bill, BillNotFound, BillPosted, bill_with_id, bills_of, receivable_account
from wattledger.billing._corrections import Cause, Correction, CorrectionPolicy, CorrectionWay, corrections_of
from wattledger.billing._late import (
    BillCorrected,
    correct_due,
    corrections_due,
    corrections_waiting,
    note_event,
    note_fact,
    note_late,
    note_prices,
    take_up_waiting,
)
from wattledger.billing._lines import BillLine, BillPart, LineChange, line_changes, rated_part
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
    "BillCorrected",
    "BillLine",
    "BillNotFound",
    "BillPart",
    "BillPosted",
    "BillRun",
    "BillRunFinished",
    "BillRunNotFound",
    "BillRunStarted",
    "Cause",
    "Correction",
    "CorrectionPolicy",
    "CorrectionWay",
    "Deductions",
    "LineChange",
    "MonthNotOver",
    "bill_contracts",
    "bill_run_with_id",
    "bill_with_id",
    "bills_of",
    "correct_due",
    "corrections_due",
    "corrections_of",
    "corrections_waiting",
    "finish_run",
    "latest_run",
    "line_changes",
    "month_period",
    "note_event",
    "note_fact",
    "note_late",
    "note_prices",
    "rated_part",
    "receivable_account",
    "run_contracts",
    "start_run",
    "take_up_waiting",
]
