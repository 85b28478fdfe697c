"""Price as data: the tariff language, its calendar, and rating readings into charge lines. Pure."""

from wattledger.tariffs._bulk import BlockDoesNotFit, EngineNotInstalled, RatedBlock, RatedLine, rate_many
from wattledger.tariffs._columns import ColumnsDoNotFit, series_of
from wattledger.tariffs._counting import (
    ChannelWithoutPrice,
    NegativeEnergy,
    OutOfOrder,
    RatingState,
    Readings,
    advance,
    open_state,
)
from wattledger.tariffs._currencies import MINOR_PLACES
from wattledger.tariffs._demand import IntervalsDoNotFit
from wattledger.tariffs._diff import Change, diff
from wattledger.tariffs._document import Fault, TariffRefused
from wattledger.tariffs._explain import Explanation, LineExplanation, Part, explain, readings_hash
from wattledger.tariffs._files import load_tariff
from wattledger.tariffs._history import NO_HISTORY, History, looks_back_to, unknown_before
from wattledger.tariffs._inverse import NoEnergyForMoney, inverse
from wattledger.tariffs._language import Tariff, parse_tariff
from wattledger.tariffs._lines import ChargeLine, ExactRating, LoadNotice, Rating
from wattledger.tariffs._prices import PricePoint, PriceSpan, by_period, period_indexes, price_at, prices_between
from wattledger.tariffs._rating import monthly, rate
from wattledger.tariffs._schema import tariff_schema
from wattledger.tariffs._segments import TariffNotInForce, TariffWithoutZone
from wattledger.tariffs._settling import history_after, settle
from wattledger.tariffs._shipped import shipped_tariffs
from wattledger.tariffs._signals import (
    NO_SIGNALS,
    Fact,
    FactUnknown,
    IndexPriceMissing,
    IndexPrices,
    Signals,
    unmatched_facts,
)
from wattledger.tariffs._tally import Tallied, Tally, may_be_tallied
from wattledger.tariffs._urdb import TierConvention, import_urdb
from wattledger.tariffs._week import WeekGrid, WeekRow, week_grids
from wattledger.tariffs._writing import export_yaml

__all__ = [
    "MINOR_PLACES",
    "NO_HISTORY",
    "NO_SIGNALS",
    "BlockDoesNotFit",
    "Change",
    "ChannelWithoutPrice",
    "ChargeLine",
    "ColumnsDoNotFit",
    "EngineNotInstalled",
    "ExactRating",
    "Explanation",
    "Fact",
    "FactUnknown",
    "Fault",
    "History",
    "IndexPriceMissing",
    "IndexPrices",
    "IntervalsDoNotFit",
    "LineExplanation",
    "LoadNotice",
    "NegativeEnergy",
    "NoEnergyForMoney",
    "OutOfOrder",
    "Part",
    "PricePoint",
    "PriceSpan",
    "RatedBlock",
    "RatedLine",
    "Rating",
    "RatingState",
    "Readings",
    "Signals",
    "Tallied",
    "Tally",
    "Tariff",
    "TariffNotInForce",
    "TariffRefused",
    "TariffWithoutZone",
    "TierConvention",
    "WeekGrid",
    "WeekRow",
    "advance",
    "by_period",
    "diff",
    "explain",
    "export_yaml",
    "history_after",
    "import_urdb",
    "inverse",
    "load_tariff",
    "looks_back_to",
    "may_be_tallied",
    "monthly",
    "open_state",
    "parse_tariff",
    "period_indexes",
    "price_at",
    "prices_between",
    "rate",
    "rate_many",
    "readings_hash",
    "series_of",
    "settle",
    "shipped_tariffs",
    "tariff_schema",
    "unknown_before",
    "unmatched_facts",
    "week_grids",
]
