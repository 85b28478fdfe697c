"""What stretches of time cost: segments and stored readings into rating states, for whoever bills, deducts or shows.

It keeps what a price depends on beside the tariff (announced events, published prices) and carries what a contract's
earlier bills left (a year's counters, ratchets, banks) to the later ones.
"""

from wattledger.pricing._blocks import PricedBlock, priced_together
from wattledger.pricing._counting import (
    WAITS,
    Dossier,
    Kept,
    Outcome,
    counted,
    dossier,
    fits,
    reaches,
    running,
    settled,
)
from wattledger.pricing._loads import LoadExceeded, watch_loads
from wattledger.pricing._population import compare_contracts
from wattledger.pricing._signals import (
    EventAnnounced,
    PricesPublished,
    SignalRefused,
    announce_event,
    call_off_event,
    publish_prices,
    signals,
)
from wattledger.pricing._whatif import Bin, Change, Comparison, Customer, NothingToCompare, Side, compare
from wattledger.pricing._worth import worth_of

__all__ = [
    "WAITS",
    "Bin",
    "Change",
    "Comparison",
    "Customer",
    "Dossier",
    "EventAnnounced",
    "Kept",
    "LoadExceeded",
    "NothingToCompare",
    "Outcome",
    "PricedBlock",
    "PricesPublished",
    "Side",
    "SignalRefused",
    "announce_event",
    "call_off_event",
    "compare",
    "compare_contracts",
    "counted",
    "dossier",
    "fits",
    "priced_together",
    "publish_prices",
    "reaches",
    "running",
    "settled",
    "signals",
    "watch_loads",
    "worth_of",
]
