"""Price as data: the tariff language, its calendar, and rating readings into charge lines. Pure."""

from wattledger.tariffs._document import TariffRefused
from wattledger.tariffs._files import load_tariff
from wattledger.tariffs._language import Tariff, parse_tariff
from wattledger.tariffs._prices import PricePoint, PriceSpan, by_period, period_indexes, price_at, prices_between
from wattledger.tariffs._rating import (
    ChargeLine,
    ExactRating,
    NegativeEnergy,
    OutOfOrder,
    Rating,
    RatingState,
    advance,
    open_state,
    rate,
    settle,
)
from wattledger.tariffs._segments import TariffNotInForce, TariffWithoutZone
from wattledger.tariffs._urdb import TierConvention, import_urdb

__all__ = [
    "ChargeLine",
    "ExactRating",
    "NegativeEnergy",
    "OutOfOrder",
    "PricePoint",
    "PriceSpan",
    "Rating",
    "RatingState",
    "Tariff",
    "TariffNotInForce",
    "TariffRefused",
    "TariffWithoutZone",
    "TierConvention",
    "advance",
    "by_period",
    "import_urdb",
    "load_tariff",
    "open_state",
    "parse_tariff",
    "period_indexes",
    "price_at",
    "prices_between",
    "rate",
    "settle",
]
