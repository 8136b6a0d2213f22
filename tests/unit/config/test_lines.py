"""Where the keys of a TOML file stand."""

from __future__ import annotations

import tomllib

import pytest

from oxllm.config.lines import find_places, line_of, show

DOCUMENT = '''\
# server.port = 1
top = "[server]"
[server]  # not here: port = 2
host = "127.0.0.1"
tls.cert.file = "a"   # dotted
tls . "key file" = 'b'

text = """
port = 3
[[providers]]
"""
dates = [ 1979-05-27 07:32:00Z, 1979-05-27,
  07:32:00,
]
[[providers]]
name = "a # not a comment"
models = [
  "one", # "zero"
  "two",
  { deep = [ 1,
     2 ] },
]
[providers.headers]
"X-\\u0041 \\"q\\"" = "v"
[[providers]]
extra = { a = { b = 1 }, "c.d" = \'\'\'
x = 1
\'\'\', e.f = [[], {}] }
[a.b.c]
d = """ends in quotes"""""
[virtual_models]
'quoted = key' = [{ model = "m" }, { model = "n" }]
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 2),
        (("server",), 3),
        (("server", "host"), 4),
        (("server", "tls"), 5),
        (("server", "tls", "cert", "file"), 5),
        (("server", "tls", "key file"), 6),
        (("server", "text"), 8),
        (("server", "dates"), 12),
        (("server", "dates", 1), 12),
        (("server", "dates", 2), 13),
        (("providers",), 15),
        (("providers", 0), 15),
        (("providers", 0, "models", 0), 18),
        (("providers", 0, "models", 1), 19),
        (("providers", 0, "models", 2, "deep", 1), 21),
        (("providers", 0, "headers", 'X-A "q"'), 24),
        (("providers", 1), 25),
        (("providers", 1, "extra", "a", "b"), 26),
        (("providers", 1, "extra", "e", "f", 1), 28),
        (("a", "b"), 29),
        (("a", "b", "c", "d"), 30),
        (("virtual_models", "quoted = key", 1, "model"), 32),
    ],
)
def test_a_key_has_the_line_where_it_is_written(path: tuple[str | int, ...], line: int) -> None:
    tomllib.loads(DOCUMENT)
    assert find_places(DOCUMENT).lines[path] == line


def test_strings_and_comments_that_look_like_keys_are_none() -> None:
    assert ("server", "port") not in find_places(DOCUMENT).lines
    assert max(path[1] for path in find_places(DOCUMENT).lines if path[0] == "providers" and len(path) == 2) == 1


def test_carriage_returns_do_not_shift_lines() -> None:
    assert find_places("a = 1\r\n\r\n[b]\r\nc = '''\r\n'''\r\nd = 1\r\n").lines["b", "d"] == 6


def test_a_missing_key_has_the_line_of_the_table_that_lacks_it() -> None:
    lines = find_places("\n[server]\n").lines
    assert line_of(lines, ("server", "port")) == 2
    assert line_of(lines, ("retry", "budget")) is None


def test_a_path_is_shown_as_the_file_would_write_it() -> None:
    assert show(("providers", 0, "headers", "X Team")) == 'providers[0].headers."X Team"'
    assert show(("virtual_models", 'a"b\n', 2, "model")) == 'virtual_models."a\\u0022b\\u000a"[2].model'
