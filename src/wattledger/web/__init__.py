"""The built pages, made from ``web/`` at the repository's root and shipped inside the package."""

from pathlib import Path


def built_pages() -> Path | None:
    """The folder of the built pages, or ``None`` when they were not built."""
    pages = Path(__file__).parent / "dist"
    return pages if (pages / "index.html").is_file() else None
