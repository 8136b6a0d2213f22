"""What people write where TOML is wanted, and what they are told."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from oxllm.config.compile import load
from oxllm.config.syntax import explain
from oxllm.config.veil import veiled
from tests.unit.config.conftest import Load

TWICE = "a key or table may be written only once; tables of a list have two brackets: [[providers]]"
MEANT = [
    ("name = alpha", (1, 8), 'text goes in quotes: name = "alpha"'),
    ("api_key = sk-hush", (1, 11), 'text goes in quotes: api_key = "…"'),
    ("name = “alpha”", (1, 8), 'these are typographic quotes: write plain ones, "…"'),
    ('name = "alpha', (1, 8), 'the text is not closed: write " at its end'),
    ('name = "alpha\nport = 1', (1, 14), 'the text is not closed: write " at its end'),
    ("name = 'alpha\nport = 1", (1, 8), "the text is not closed: write ' at its end"),
    ("a = \"it's\" # don't\nname = 'alpha\n\nport = 1\n", (2, 8), "the text is not closed: write ' at its end"),
    ('name = """alpha\nport = "1"\n', (1, 8), 'the text is not closed: write """ at its end'),
    ("a = \"\"\nname = '''alpha\nport = 1\n", (2, 8), "the text is not closed: write ''' at its end"),
    ('key = "a"b"', (1, 10), 'a " inside text is written \\"'),
    ('api_keys = [ "sk-hush" "b" ]', (1, 24), "a comma is missing there"),
    ('models = [ "a" "b" ]', (1, 16), 'a comma is missing before "b"'),
    ("timeouts = { connect = 1 idle = 2 }", (1, 26), "a comma is missing before idle"),
    ('x = [\n  { a = "x" }\n  { a = "y" },\n]', (3, 3), "a comma is missing before {"),
    ("x = { a = 1, }", (1, 14), "no comma before the }"),
    ("x = { a = 1,\n b = 2 }", (1, 13), "a table in { } stays on one line"),
    ('x = [\n  "a",\ny = 1\n', (3, 1), "the [ of line 1 is not closed"),
    ("x = [ 1, 2", (1, 11), "the [ of line 1 is not closed"),
    ("[server\nport = 1", (1, 8), "write [server]"),
    ("connect = 10s", (1, 13), "a number has no unit (times are in seconds, sizes in bytes): write connect = 10"),
    ("connect = 500ms", (1, 14), "a number has no unit (times are in seconds, sizes in bytes): write connect = 0.5"),
    (
        "max_body_bytes = 8MiB",
        (1, 19),
        "a number has no unit (times are in seconds, sizes in bytes): write max_body_bytes = 8388608",
    ),
    (
        "openai/gpt = []",
        (1, 7),
        'a name with other characters than letters, digits, - and _ is quoted: "openai/gpt" = …',
    ),
    (
        "[virtual_models.a/b]\n",
        (1, 18),
        'a name with other characters than letters, digits, - and _ is quoted: [virtual_models."a/b"…',
    ),
    ("a = 1\nname: x\n", (2, 5), "write = instead of the colon: name = …"),
    ("port 1", (1, 6), "write port = …"),
    ("port == 1", (1, 7), "one = is enough"),
    ("x = True", (1, 5), "write true"),
    ("x = no", (1, 5), "write false"),
    ("x = null", (1, 5), "TOML has no such value: leave the key out"),
    ("x = .5", (1, 5), "write the number as 0.5"),
    ("x = 1,", (1, 6), "no , at the end of a line"),
    ("x=1 y=2", (1, 5), "one key a line"),
    ("// mine\nport = 1", (1, 1), "a comment begins with #"),
    ("; mine\nport = 1", (1, 1), "a comment begins with #"),
    (
        "port = 1\n<<<<<<< HEAD\nhost = 'a'\n",
        (2, 1),
        "a merge conflict is left here: keep one of its sides, and remove the lines of <, = and >",
    ),
    ("port = 08080", (1, 9), "a number has no leading zero: write port = 8080"),
    ("port\u00a0= 1", (1, 5), "an invisible character (U+00A0) stands there: remove it"),
    ("\u200bport = 1", (1, 1), "an invisible character (U+200B) stands there: remove it"),
    (
        "port \uff1d 1",
        (1, 6),
        "\uff1d (U+FF1D) only looks like the character that is meant: write the plain one",
    ),
    ("[server]\n[server]\n", (2, 8), TWICE),
    ("port = $A", (1, 8), 'a variable stands inside a string: write "${A}"'),
    ("api_key = $hushhush", (1, 11), 'a variable stands inside a string: write "${NAME}"'),
    ('x = "C:\\dir"', (1, 9), r"a \ begins an escape there: write \\, or put the text in single quotes"),
]


@pytest.mark.parametrize(("text", "place", "meant"), MEANT)
def test_what_is_no_toml_says_what_to_write(text: str, place: tuple[int, int], meant: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as raised:
        tomllib.loads(text)
    wrong = explain(text, raised.value, veiled(text, None))
    assert (wrong.line, wrong.help) == (place[0], meant)
    assert abs(wrong.column - place[1]) <= 2, "Python releases differ by where they say that it is"
    assert wrong.message.startswith("not valid TOML: ")


def test_of_a_line_that_nobody_types_is_only_said_where_it_breaks(load_text: Load) -> None:
    """A guess at what was meant would take the square of its length."""
    (short,) = load_text("port = 08080").errors
    (long,) = load_text(f"{'port' * 2000} = 08080").errors
    assert (short.line, long.line) == (1, 1)
    assert short.help
    assert not long.help


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("[server]\nport = 1\n".encode("utf-16"), "1: error: is UTF-16; save the file as UTF-8"),
        ("[server]\nport = 1\n".encode("utf-16-le"), "1: error: is UTF-16; save the file as UTF-8"),
        (b"[server]\nport = 1\x00\n", "2: error: holds a NUL character; remove it"),
        (b"[server]\nhost = '\xfc'\n", "2: error: is not UTF-8; save the file as UTF-8"),
        (b"[server]\rport = 1\r", "1: error: has no line breaks but carriage returns; save the file with Unix"),
        (b"[server]\nport = 1\n[server]\n", "3: error: not valid TOML: cannot declare [server] twice; a key"),
    ],
)
def test_what_is_no_text_of_ours_is_called_by_its_name(tmp_path: Path, data: bytes, said: str) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(data)
    (error,) = load(str(file), {}).errors
    assert str(error).startswith(f"{file}:{said}")


@pytest.mark.parametrize(
    "text",
    [
        f"{'a.' * 3000}a = 1",
        f"[{'a.' * 3000}a]",
        f"providers = [{{ extra_body.{'a.' * 3000}a = 1 }}]",
        f"x = {'[' * 150}{']' * 150}",
        f"x = {'[' * 5000}{']' * 5000}",
        f"x = {'{a = ' * 5000}1{'}' * 5000}",
    ],
    ids=["dotted", "heading", "extra body", "lists", "many lists", "tables"],
)
def test_what_is_nested_without_end_is_called_that(load_text: Load, text: str) -> None:
    (error,) = load_text(text).errors
    assert str(error) == "config.toml: error: is nested too deeply to be read"


LITELLM = "# proxy\nmodel_list:\n  - model_name: gpt\n    litellm_params:\n      model: openai/gpt-4o\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server:\n  port: 8080\nproviders:\n  - name: alpha\n", "this is YAML; oxllm reads TOML; write name = value"),
        ('{"server": {"port": 8080}}', 'this is JSON; oxllm reads TOML; write name = "value"'),
        (LITELLM, "this is a LiteLLM config (YAML); oxllm reads TOML; `oxllm adapt FILE` writes the config"),
        ('{"model_list": []}', "this is a LiteLLM config in JSON; oxllm reads TOML; `oxllm adapt FILE` writes"),
    ],
)
def test_another_language_is_called_by_its_name(load_text: Load, text: str, said: str) -> None:
    (error,) = load_text(text).errors
    assert said in str(error)


def test_the_place_is_shown_without_a_secret(load_text: Load) -> None:
    for text in ("api_key = sk-hush", '[server]\napi_keys = ["sk-hush" "sk-hush2"]', '"Authorization" = "sk-hush'):
        (error,) = load_text(text).errors
        assert error.excerpt is not None
        assert "hush" not in repr(error)
        assert 0 <= error.excerpt.column <= len(error.excerpt.text)


def test_a_secret_that_looks_like_a_number_with_a_unit_is_not_shown(load_text: Load) -> None:
    (error,) = load_text("[server]\nadmin_token = 48151623s").errors
    assert "48151623" not in repr(error)
