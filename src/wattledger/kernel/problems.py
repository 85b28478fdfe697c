"""The base of every error a user can see."""

from __future__ import annotations

from typing import ClassVar


class Problem(Exception):
    """An anticipated failure that a person can act on.

    Shapes itself for both faces of the system: one line on the command line (``str(problem)``) and an RFC 9457
    problem document over HTTP (``type`` slug, ``title``, ``status``, ``detail`` and the extra members).

    Subclasses live beside the code that raises them and set ``slug``, ``title`` and ``status``.
    ``detail`` says what is wrong and where; ``remedy`` says how to mend it.
    """

    slug: ClassVar[str] = "problem"
    title: ClassVar[str] = "The request could not be carried out"
    status: ClassVar[int] = 400

    def __init__(self, detail: str, *, remedy: str | None = None, **members: object) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy
        self.members = members

    def __str__(self) -> str:
        return f"{self.detail} ({self.remedy})" if self.remedy else self.detail
