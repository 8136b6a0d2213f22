"""Lines of generated TOML: the generator knows where it wrote each key."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from oxllm.config.lines import Path, find_places

NAMES = st.sampled_from(["a", "b", "c", "server", "providers", "x-y", "7", "k.l", "= #", '"q"', "", "ü", "[t]"])
SCALARS = st.sampled_from(
    [
        "1",
        "-0.5",
        "true",
        "inf",
        "1979-05-27 07:32:00Z",
        "07:32:00",
        '"text"',
        "'[x]'",
        '"a # b = 1"',
        '"q\\" ]"',
        "'''\nb = 1\n[c]\n'''",
        '"""\\\n  [[providers]]\n"""',
        '"""two ""quotes"""""',
        "''''one'''",
    ]
)


@dataclass
class Writer:
    """TOML under construction, and where its keys are."""

    text: str = ""
    lines: dict[Path, int] = field(default_factory=dict)

    def put(self, text: str) -> None:
        self.text += text

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def key(self, draw: st.DrawFn, name: str) -> None:
        bare = name.isascii() and name.replace("-", "").isalnum()
        forms = [f"'{name}'", '"' + "".join(f"\\u{ord(c):04X}" for c in name) + '"'] + [name] * bare
        self.put(draw(st.sampled_from(forms)))


@st.composite
def documents(draw: st.DrawFn) -> Writer:
    """A valid document: top-level keys, then tables and arrays of tables with keys, comments and blank lines."""
    writer = Writer()
    pairs(draw, writer, (), draw(st.lists(NAMES, unique=True, max_size=3)))
    sizes: dict[str, int] = {}
    for name in draw(st.lists(st.sampled_from(["t1", "t2", "t 3"]), max_size=4)):
        if name not in sizes:
            sizes[name] = draw(st.integers(-1, 0))  # -1: a plain table, written once
            if sizes[name] == -1:
                path = header(draw, writer, name, "[", "]", ())
                pairs(draw, writer, path, draw(st.lists(NAMES, unique=True, max_size=3)))
                continue
        if sizes[name] == -1:
            continue
        path = header(draw, writer, name, "[[", "]]", (sizes[name],))
        sizes[name] += 1
        pairs(draw, writer, path, draw(st.lists(NAMES, unique=True, max_size=3)))
    return writer


def header(draw: st.DrawFn, writer: Writer, name: str, opening: str, closing: str, index: Path) -> Path:
    path: Path = (name, *index)
    writer.note((name,))
    writer.note(path)
    writer.put(opening + draw(st.sampled_from(["", " "])))
    writer.key(draw, name)
    writer.put(closing + end(draw))
    return path


def end(draw: st.DrawFn) -> str:
    return draw(st.sampled_from(["\n", "  # [c] k = 1\n", "\n\n", "\n# x = [\n", "\r\n"]))


def pairs(draw: st.DrawFn, writer: Writer, table: Path, names: list[str]) -> None:
    for name in names:
        pair(draw, writer, table, name)
        writer.put(end(draw))


def pair(draw: st.DrawFn, writer: Writer, table: Path, name: str) -> None:
    path = (*table, name)
    writer.note(path)
    writer.key(draw, name)
    if draw(st.booleans()):
        writer.put(draw(st.sampled_from([".", " . "])))
        path = (*path, "sub")
        writer.note(path)
        writer.put("sub")
    writer.put(draw(st.sampled_from(["=", " = "])))
    value(draw, writer, path, 0)


def value(draw: st.DrawFn, writer: Writer, path: Path, depth: int) -> None:
    kind = draw(st.sampled_from(["scalar", "scalar", "array", "table"] if depth < 3 else ["scalar"]))
    if kind == "scalar":
        writer.put(draw(SCALARS))
    elif kind == "array":
        count = draw(st.integers(0, 3))
        writer.put("[")
        for index in range(count):
            writer.put(draw(st.sampled_from(["", " ", "\n  ", " # ] ,\n"])))
            writer.note((*path, index))
            value(draw, writer, (*path, index), depth + 1)
            writer.put(draw(st.sampled_from(["", "\n"])) + ("," if index < count - 1 or draw(st.booleans()) else ""))
        writer.put(draw(st.sampled_from(["", "\n"])) + "]")
    else:
        names = draw(st.lists(NAMES, unique=True, max_size=3))
        writer.put("{ ")
        for index, name in enumerate(names):
            writer.put(", " if index else "")
            writer.note((*path, name))
            writer.key(draw, name)
            writer.put(" = ")
            value(draw, writer, (*path, name), depth + 1)
        writer.put(" }")


def paths(value: object, path: Path = ()) -> set[Path]:
    """Every path of a parsed document."""
    items: list[tuple[str | int, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    found = {path} if path else set()
    return found.union(*(paths(item, (*path, key)) for key, item in items))


@given(documents())
def test_each_key_has_the_line_that_it_was_written_on(writer: Writer) -> None:
    assert find_places(writer.text).lines == writer.lines


@given(documents())
def test_the_finder_names_exactly_what_tomllib_parses(writer: Writer) -> None:
    assert set(find_places(writer.text).lines) == paths(tomllib.loads(writer.text))
