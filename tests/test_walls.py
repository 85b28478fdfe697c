"""Two walls that neither import-linter nor ruff can see: rooms meet only at their faces, and money meets no float."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "wattledger"
ROOMS = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))
MODULES = {
    path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for room in ROOMS
    for path in sorted((SOURCE / room).rglob("*.py"))
}
OF_MONEY = ("kernel", "sts", "tariffs", "pricing", "ledger", "billing", "prepay", "payments")


def shown_by(room: str) -> set[str]:
    """The names on the room's face: its ``__all__`` and what its ``__init__`` defines in public."""
    names = set[str]()
    for node in MODULES[f"{room}/__init__.py"].body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                names.update(ast.literal_eval(value))
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) if not name.startswith("_"):
                names.add(name)
    return names


def taken_from_behind_a_face(home: str, tree: ast.Module) -> Iterator[str]:
    """Each import in ``home`` that reaches past another room's face."""
    wanted: list[tuple[list[str], str | None]]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                wanted = [(alias.name.split("."), None) for alias in aliases]
            case ast.ImportFrom(module=str(module), names=aliases, level=0):
                wanted = [(module.split("."), alias.name) for alias in aliases]
            case _:
                continue
        for path, name in wanted:
            match path:
                case ["wattledger", room, *_] if room == home:
                    pass
                case ["wattledger", room] if name is None or name in shown_by(room):
                    pass
                case ["wattledger"] if name is None or name in ROOMS or name == "__version__":
                    pass
                case ["wattledger", *_]:
                    yield f"line {node.lineno}: {'.'.join(path)}{f' import {name}' if name else ''}"


def floats(tree: ast.Module) -> Iterator[str]:
    """Each place where a float is named or written down, but to be told from what is welcome."""
    asked = set[ast.expr]()
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, kinds]):
                asked.add(kinds)
            case ast.expr() if node in asked:
                pass
            case ast.Name(id=name) | ast.Attribute(attr=name) if name.startswith("float"):
                yield f"line {node.lineno}: {name}"
            case ast.Constant(value=float(value)):
                yield f"line {node.lineno}: {value}"


@pytest.mark.parametrize("module", MODULES)
def test_a_room_takes_from_another_only_what_its_face_shows(module: str) -> None:
    assert list(taken_from_behind_a_face(module.partition("/")[0], MODULES[module])) == []


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith(OF_MONEY)])
def test_no_float_comes_near_an_amount(module: str) -> None:
    assert list(floats(MODULES[module])) == []


@pytest.mark.parametrize(
    "statement",
    [
        "from wattledger.ledger._book import post",
        "from wattledger.ledger import _book",
        "from wattledger.ledger import no_such_name",
        "from wattledger.readings.formats import anything",
        "import wattledger.ledger._book",
        "from wattledger import _secret",
        "def lazily():\n    from wattledger.ledger._book import post",
    ],
)
def test_a_reach_behind_a_face_is_seen(statement: str) -> None:
    assert list(taken_from_behind_a_face("billing", ast.parse(statement)))


@pytest.mark.parametrize(
    "statement",
    [
        "from wattledger.ledger import post",
        "from wattledger import ledger",
        "import wattledger.ledger",
        "import wattledger",
        "from wattledger.billing._bills import Bill",
    ],
)
def test_a_call_at_the_door_is_allowed(statement: str) -> None:
    assert not list(taken_from_behind_a_face("billing", ast.parse(statement)))


@pytest.mark.parametrize("statement", ["x: float", "x = float(3)", "x = np.float64(3)", "x = 0.5", "x = np.floating"])
def test_a_float_is_seen(statement: str) -> None:
    assert list(floats(ast.parse(statement)))


def test_a_float_may_be_told_from_a_number() -> None:
    assert not list(floats(ast.parse("refuse = isinstance(value, float)")))
