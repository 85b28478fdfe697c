"""The HTTP edge: accounts, balances, usage, recharges, bills and the live pages' data."""
