"""Wattledger: open-source meter-to-cash.

Collects readings from smart meters, checks them, turns them into money and acts on the result.
The rooms of the house, and who may import whom, are described in ``docs/architecture.md``.
"""

__version__ = "0.1.0"
