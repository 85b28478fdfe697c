"""The HTTP edge: accounts, balances, usage, recharges, bills and the live pages' data."""

from wattledger.api._app import ApiServices, create_api, serve

__all__ = ["ApiServices", "create_api", "serve"]
