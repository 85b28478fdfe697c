"""The pages' copy of the API's description is the API's own."""

from __future__ import annotations

import json
from pathlib import Path

from wattledger.app._system import openapi_document

_COPY = Path(__file__).parents[2] / "web/openapi.json"


def test_the_pages_are_built_against_the_api_as_it_is() -> None:
    assert json.loads(_COPY.read_text()) == json.loads(openapi_document()), "run `make openapi`"


def test_the_lock_of_the_pages_names_no_index() -> None:
    lock = json.loads((_COPY.parent / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if "integrity" not in package] == []
