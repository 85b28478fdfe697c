"""The tariffs that come with the package: one of each pattern, from published prices where the file says so."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "shipped"


def shipped_tariffs() -> dict[str, Path]:
    """The file of each shipped tariff by its ``id``, for ``load_tariff``; each says at its head where it is from."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}
