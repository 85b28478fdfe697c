"""``python -m wattledger``: the same as the ``wattledger`` command."""

from wattledger.app import main

if __name__ == "__main__":
    main()
