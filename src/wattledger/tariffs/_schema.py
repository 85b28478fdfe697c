"""The JSON Schema of the tariff language, which ships with the package."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, cast


def tariff_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a tariff document, for editors and other programs.

    It knows the shape of every clause. What depends on several clauses at once (coverage, names, order), only
    :func:`parse_tariff` can tell.
    """
    text = files("wattledger.tariffs").joinpath("schema.json").read_text(encoding="utf-8")
    return cast("dict[str, Any]", json.loads(text))
