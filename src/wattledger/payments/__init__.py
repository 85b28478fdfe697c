"""Money in, by way of providers: orders to pay, call-backs that are believed, and what an operator has to look at."""

from wattledger.payments import _tables as _tables
