"""The relational database: engine, unit of work, migrations and the outbox.

The one room that knows SQLite from PostgreSQL. A room above declares its tables on :data:`metadata` and works through a
:class:`Transaction` handed to it; it never commits. Committing is the edge's business::

    with store.write() as tx:
        receipt = readings.ingest(tx, batch=batch, now=clock.now())
        prepay.deduct(tx, changes=receipt.changes, now=clock.now())
"""

from wattledger.store._engine import Row, Store, StoreUnreachable, Transaction, chunked
from wattledger.store._facts import Fact, JsonText, RecordedFact
from wattledger.store._outbox import Handlers, dispatch_outbox, facts_since, recent_facts, undelivered
from wattledger.store._tables import Instant, metadata

__all__ = [
    "Fact",
    "Handlers",
    "Instant",
    "JsonText",
    "RecordedFact",
    "Row",
    "Store",
    "StoreUnreachable",
    "Transaction",
    "chunked",
    "dispatch_outbox",
    "facts_since",
    "metadata",
    "recent_facts",
    "undelivered",
]
