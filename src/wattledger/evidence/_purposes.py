"""What each purpose of a transfer means, in words for whoever reads an account."""

from __future__ import annotations

from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    "agent_funded": "an agent paid money into the float that recharges are sold from",
    "agent_lent": "an agent may sell this much before paying it in",
    "agent_settled": "an agent paid back what had been lent to the float",
    "bill": "a bill: what was used in its time, by the tariff that was in force",
    "bill_cancelled": "a bill is cancelled whole; another takes its place",
    "bill_correction": "what a bill costs more or less by what became known after it was made",
    "closing_refund": "what was left in a wallet when it was closed, set aside to be paid out",
    "debt_agreed": "what was owed became a debt that is paid off by agreed shares",
    "debt_by_day": "the agreed part of a debt for the days that have begun since it was taken last",
    "debt_closing": "a debt paid off from what was left when the wallet was closed",
    "debt_share": "the agreed share of a recharge for a debt",
    "deduction": "what was used, by the tariff in force, since it was posted last",
    "deduction_corrected": "what a month that was stated already costs more or less by what became known later",
    "deduction_returned": "less than was deducted before: what became known since made it cheaper",
    "deposit": "a deposit for a supply",
    "deposit_returned": "a deposit put back into the wallet when it was closed",
    "emergency_credit": "emergency credit, lent to keep the light on; the next recharges pay it back",
    "emergency_repaid": "emergency credit that is paid back",
    "recharge": "a payment, credited to the wallet",
    "recharge_fee": "what this way of paying costs, by the published policy",
    "recharge_taken_back": "a recharge that was sold by an agent, taken back",
    "refund": "money that leaves the wallet by the way it came",
    "refund_undone": "a refund that the bank refused: the money is in the wallet again",
    "social_units": "free units that cover a part of what the month costs",
}
"""By purpose. A test holds it against everything that is posted anywhere."""
