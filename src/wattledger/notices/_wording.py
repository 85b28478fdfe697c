"""What each kind of message says, in each language. A new kind or language is a row here."""

from __future__ import annotations

from collections.abc import Mapping

from wattledger.kernel import Problem


class UnknownKind(Problem):
    """A message of a kind that has no wording."""

    slug = "unknown-notice-kind"
    title = "Unknown kind of notice"
    status = 422


_WORDING: dict[str, dict[str, str]] = {
    "low_balance": {
        "en": "Your electricity balance is {available} {currency}. Recharge soon so that the light stays on.",
        "zh": "您的电费余额为 {available} {currency}，请及时充值，以免停电。",
    },
    "low_balance_tomorrow": {
        "en": "Your electricity balance is {available} {currency}, about one more day at your usual use. "
        "Recharge soon so that the light stays on.",
        "zh": "您的电费余额为 {available} {currency}，按平时用量约可用 1 天，请及时充值，以免停电。",
    },
    "low_balance_days": {
        "en": "Your electricity balance is {available} {currency}, about {days} more days at your usual use. "
        "Recharge soon so that the light stays on.",
        "zh": "您的电费余额为 {available} {currency}，按平时用量约可用 {days} 天，请及时充值，以免停电。",
    },
    "low_balance_today": {
        "en": "Your electricity balance is {available} {currency}, less than a day at your usual use. "
        "Recharge now so that the light stays on.",
        "zh": "您的电费余额为 {available} {currency}，按平时用量不足一天，请尽快充值，以免停电。",
    },
    "cut_off_warning": {
        "en": "Your electricity balance is used up ({available} {currency}). "
        "Without a recharge the supply is switched off at {cut_off_at}.",
        "zh": "您的电费余额已用完（{available} {currency}），如未充值，将于 {cut_off_at} 停电。",
    },
    "disconnected": {
        "en": "Your electricity supply was switched off because the balance is used up. "
        "It comes back within a minute of a recharge.",
        "zh": "因余额用完，您的供电已断开。充值后一分钟内恢复供电。",
    },
    "reconnected": {
        "en": "Your electricity supply is on again.",
        "zh": "您的供电已恢复。",
    },
    "recharge_receipt": {
        "en": "{amount} {currency} received. Your balance is now {available} {currency}.",
        "zh": "已收到 {amount} {currency}，当前余额 {available} {currency}。",
    },
    "load_notice": {
        "en": "Your electricity use has been high since {since}, up to {peak} kW. Please use less for now.",
        "zh": "您自 {since} 起用电负荷偏高，最高 {peak} 千瓦，请暂时减少用电。",
    },
    "load_curtail": {
        "en": "Your electricity use has been above what is agreed since {since}, up to {peak} kW. "
        "It may be limited until it falls.",
        "zh": "您自 {since} 起用电负荷超过约定，最高 {peak} 千瓦，回落前可能被限制。",
    },
    "bill_ready": {
        "en": "Your electricity bill for {month} is ready: {amount} {currency}.",
        "zh": "您 {month} 的电费账单已出：{amount} {currency}。",
    },
    "statement_ready": {
        "en": "Your electricity statement for {month} is ready: {amount} {currency}, already deducted.",
        "zh": "您 {month} 的用电结算单已出：{amount} {currency}，已从余额扣除。",
    },
}

KINDS = frozenset(_WORDING)
"""Every kind of message there is."""


def worded(kind: str, values: Mapping[str, str]) -> dict[str, str]:
    """The message in every language; raises :class:`UnknownKind`, and ``KeyError`` when a value is not given."""
    if kind not in _WORDING:
        raise UnknownKind(f"no notice is of kind {kind!r}", remedy=f"use one of {', '.join(sorted(_WORDING))}")
    return {language: text.format(**values) for language, text in _WORDING[kind].items()}
