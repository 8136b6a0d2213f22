"""Each thing that can be wrong with a configuration, and the words for it."""

# ruff: noqa: E501, ISC004 - a case reads best on a line

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oxllm.config.compile import load
from oxllm.config.excerpt import LINE_MAX
from oxllm.config.lines import find_places
from oxllm.config.masking import MASKED_MAX, lift
from oxllm.config.veil import veiled
from tests.unit.config.conftest import Load

GOOD = """\
[server]
[[providers]]
name = "alpha"
base_url = "http://alpha"
[[providers]]
name = "beta"
base_url = "http://beta"
[virtual_models]
smart = [{ provider = "alpha", model = "m" }, { provider = "beta", model = "m" }]
"""
PROVIDER = '[[providers]]\nname = "alpha"\nbase_url = "http://alpha"\n'


def serving(text: str) -> str:
    """The same with a model that can be asked for."""
    return text if "[virtual_models]" in text else text + '\nmodels = ["m"]\n'


def said(problems: tuple[object, ...]) -> list[str]:
    return [str(problem).removeprefix("config.toml:") for problem in problems]


@pytest.mark.parametrize("line", [
    "otel_endpoint = 'https://u:pa/ss@c'",
    "otel_endpoint = 'ftp://c?key=pass'",
    "host = 'https://u:pass@c'",
    "host = 'u:pass@c/?key=pass'",
    "cors_origins = ['https://u:pass@c']",
    "admin_hosts = ['https://c?key=pass', 'u:pa/ss@c']",
    "health_allow = ['https://u:pass@c']",
    "bind_family = 'https://u:pass@c'",
])  # fmt: skip
def test_a_url_where_none_belongs_is_told_without_its_credentials(line: str, load_text: Load) -> None:
    loaded = load_text(f"[server]\n{line}\n{serving(PROVIDER)}")
    assert loaded.errors
    for problem in loaded.errors:
        assert problem.excerpt is not None
        assert not any(secret in f"{problem} {problem.excerpt}" for secret in ("pass", "pa/ss", "ss@"))


def test_a_good_file_has_neither_errors_nor_warnings(load_text: Load) -> None:
    loaded = load_text(GOOD)
    assert (loaded.errors, loaded.warnings) == ((), ())


COLLECTOR = 'write for example "http://127.0.0.1:4318"; OTEL_EXPORTER_OTLP_HEADERS is for credentials'
SERVER_ERRORS = [
    ("otel_endpoint = 'https://u:pass@c'", f"server.otel_endpoint: has credentials in the URL; {COLLECTOR}"),
    (
        "otel_endpoint = 'https://c/?key=pass'",
        f"server.otel_endpoint: has a query or a fragment, but paths are appended to it; {COLLECTOR}",
    ),
    ("prot = 1", "server.prot: is not a key that oxllm knows; did you mean 'port'?"),
    ("idle = 1", "server.idle: is not a key that oxllm knows; it belongs in [timeouts]"),
    ("failures = 1", "server.failures: is not a key that oxllm knows; it belongs in [breaker]"),
    ("api_key = 'x'", "server.api_key: is not a key that oxllm knows; write a list: api_keys = [...]"),
    ("port = 65536", "server.port: 65536 is out of range: must be at most 65535; write for example port = 8080"),
    ("port = -1", "server.port: -1 is out of range: must be at least 0; write for example port = 8080"),
    ("port = 80.0", "server.port: takes a whole number, not 80.0; write for example port = 8080"),
    ("port = true", "server.port: takes a whole number, not true; write for example port = 8080"),
    (
        "port = 'x'",
        'server.port: "x" is a string that does not spell a whole number; write for example port = 8080',
    ),
    (
        "host = 'http://127.0.0.1'",
        'server.host: "http://127.0.0.1" is neither an IP address nor a host name; write an address such as '
        '"127.0.0.1", or "0.0.0.0" for all of them; the port is a key of its own',
    ),
    ("host = 1", 'server.host: takes text in quotes, not 1; write for example host = "127.0.0.1"'),
    (
        "host = '127.0.0.1:80'",
        'server.host: "127.0.0.1:80" is neither an IP address nor a host name; write an address such as '
        '"127.0.0.1", or "0.0.0.0" for all of them; the port is a key of its own',
    ),
    *(
        (
            f"host = '{host}'",
            f'server.host: "{host}" is no IP address, and no name ends in a number; write all four numbers, 0 to 255',
        )
        for host in ("999.1.1.1", "8.8.8.999", "127.0.0", "127.1", "10.0.0.01", "1", "0x7f000001", "1.2.3.4.", "a.0x1F")
    ),
    *(
        (
            f"host = '{host}'",
            f"server.host: {shown} is neither an IP address nor a host name; write an address such as "
            '"127.0.0.1", or "0.0.0.0" for all of them; the port is a key of its own',
        )
        for host, shown in (("a..b", '"a..b"'), ("h" * 64, f'"{"h" * 58}…'), ("a" + ".a" * 127, f'"{"a." * 29}…'))
    ),
    (
        "bind_family = 'both'",
        "server.bind_family: \"both\" is none of 'ipv4', 'ipv6' or 'dual'; write for example bind_family = \"dual\"",
    ),
    (
        "bind_family = 'ipv6'\nhost = '127.0.0.1'",
        'server.bind_family: ipv6 contradicts host, which is an IPv4 address; write "ipv4" or leave it out',
    ),
    (
        "bind_family = 'dual'\nhost = '192.0.2.1'",
        "server.bind_family: dual contradicts host, which is one IPv4 address; "
        'leave bind_family out, or write host = "::" to bind all addresses of both families',
    ),
    (
        "upstream_timeout_secs = 0",
        "server.upstream_timeout_secs: 0 is out of range: must be over 0; write for example upstream_timeout_secs = 30",
    ),
    ("api_keys = ['']", "server.api_keys[0]: is empty, so anyone would have it; write a secret, or leave the key out"),
    (
        "admin_token = 'a b'",
        "server.admin_token: holds a character that no Bearer token has; printable ASCII without spaces only",
    ),
    (
        "admin_allow = ['10.0.0.0/99']",
        'server.admin_allow[0]: "10.0.0.0/99" is not a network; write for example "10.0.0.0/8" or "fd00::/8"',
    ),
    (
        "admin_hosts = ['http://x']",
        'server.admin_hosts[0]: "http://x" is not a host name; write it without scheme, port and path: '
        '"gateway.example.com"',
    ),
    (
        "cors_origins = ['*']",
        'server.cors_origins[0]: "*" is not an origin; write scheme and host, for example "https://chat.example.com"',
    ),
    (
        "predictive_cooldown = 1",
        "server.predictive_cooldown: takes true or false, not 1; write for example predictive_cooldown = true",
    ),
    (
        "max_body_bytes = 9000000",
        "server.max_body_bytes: max_body_bytes is over max_buffered_bytes, which has to hold a body; "
        "lower it to 8388608, or raise max_buffered_bytes",
    ),
    (
        "max_body_bytes = 2000000\nmax_buffered_bytes = 1000000",
        "server.max_body_bytes: max_body_bytes is over max_buffered_bytes, which has to hold a body; "
        "lower it to 1000000, or raise max_buffered_bytes",
    ),
    (
        "max_connections = 0",
        "server.max_connections: 0 is out of range: must be at least 1; write for example max_connections = 4096",
    ),
    (
        "otel_endpoint = 'collector:4318'",
        f"server.otel_endpoint: is not an http or https URL; {COLLECTOR}",
    ),
    (
        "drain_timeout_secs = nan",
        "server.drain_timeout_secs: nan is out of range: must be at most 1000000000; write for example drain_timeout_secs = 30",
    ),
]


@pytest.mark.parametrize(("line", "message"), SERVER_ERRORS)
def test_an_error_in_server_names_line_key_fault_and_remedy(load_text: Load, line: str, message: str) -> None:
    assert said(load_text(f"[server]\n{line}\n{PROVIDER}").errors) == [f"2: error: {message}"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("eu/alpha", 'holds a /; write for example name = "eu-alpha"'),
        ("alpha/", 'holds a /; write for example name = "alpha"'),
        (" alpha", "begins or ends with white space; remove it"),
        ("-p", "cannot be typed as a name; begin it with a letter or a digit"),
        ("..", "cannot be typed as a name; begin it with a letter or a digit"),
        ("", 'is empty; write for example name = "alpha"'),
    ],
)
def test_a_providers_name_is_what_stands_before_the_first_slash_of_a_target(
    load_text: Load, name: str, message: str
) -> None:
    text = PROVIDER.replace("alpha", name, 1)
    assert said(load_text(text).errors) == [f'2: error: providers[0].name: "{name}" {message}']


PROVIDER_ERRORS = [
    (
        "timeouts = { connect = '10s' }",
        'timeouts.connect: "10s" is a string that does not spell a number; times are in seconds: write connect = 10',
    ),
    *(
        (
            f"timeouts = {{ connect = '{value}' }}",
            f'timeouts.connect: "{value}" is a string that does not spell a number; times are in seconds: '
            f"write connect = {seconds}",
        )
        for value, seconds in (("1500 ms", "1.5"), ("3sec", "3"), ("2m", "120"), ("2min", "120"), ("1.5h", "5400"))
    ),
    ('base_ur = "x"', "base_ur: is not a key that oxllm knows; did you mean 'base_url'?"),
    (
        "timeouts = { connect = 0 }",
        "timeouts.connect: 0 is out of range: must be over 0; write for example connect = 5",
    ),
    (
        "timeouts = { request = 1 }",
        "timeouts.request: is not a key that oxllm knows; `request` is of the whole client request: "
        "write it in [timeouts] or a virtual model",
    ),
    (
        "first_byte = 1",
        "first_byte: is not a key that oxllm knows; it belongs in `timeouts`: write timeouts = { first_byte = … }",
    ),
    ("timeouts = 3", "timeouts: takes a table, not 3; write for example timeouts = { answer = 600 }"),
    ("models = 'm'", 'models: takes a list in [ ], not "m"; write models = ["m"]'),
    ("models = ['']", 'models[0]: "" is empty; write for example models = ["big-1", "small-1"]'),
    (
        "enabled = 'yes'",
        'enabled: "yes" is a string that does not spell true or false; write for example enabled = true',
    ),
    (
        'api_key = "a\\nb"',
        "api_key: holds a character that cannot go into a header; "
        "printable ASCII only, no line breaks, no white space at its ends",
    ),
    (
        "api_key = '${K}'\napi_key_file = 'key'",
        "api_key_file: stands beside api_key; write one of the two",
    ),
    ("headers = { Host = 'x' }", "headers.Host: is a reserved header; the gateway sets or forbids it"),
    (
        "headers = { authorization = 'x' }",
        "headers.authorization: is a reserved header; the key is sent as Bearer: write api_key",
    ),
    ("headers = { User-Agent = 'x' }", "headers.User-Agent: is a reserved header; write user_agent"),
    ("headers = { 'X Y' = 'x' }", 'headers."X Y": is not a header\'s name; write letters, digits and - only'),
    ("headers = { X-A = 'x', x-a = 'y' }", "headers.x-a: is the same header as 'X-A'; write it once"),
    ("headers = { X-A = 1 }", 'headers.X-A: takes text in quotes; write for example headers = { X-Team = "search" }'),
    ("extra_body = { model = 'x' }", "extra_body.model: cannot be in extra_body; write it in a target"),
    ("extra_body = { stream = true }", "extra_body.stream: cannot be in extra_body; the client decides that"),
    (
        "extra_body = { a = [{ b = 2020-01-01 }] }",
        "extra_body.a: holds a value that JSON cannot have (a date, inf, nan or an integer over 64 bits)",
    ),
    (
        "extra_body = { a = 9223372036854775808 }",
        "extra_body.a: holds a value that JSON cannot have (a date, inf, nan or an integer over 64 bits)",
    ),
    (
        "protocols = ['chat', 'mesages']",
        "protocols[1]: \"mesages\" is none of 'chat', 'completions', 'embeddings', 'json', 'responses' or 'messages'; "
        'did you mean "messages"?',
    ),
    ("protocols = ['chat', 'chat']", "protocols: a list names one of them twice; write each once"),
    ("protocols = []", 'protocols: is an empty list; write for example protocols = ["chat", "messages"]'),
    (
        "auth = 'basic'",
        "auth: this is none of 'bearer' or 'x-api-key'; write for example auth = \"bearer\"",
    ),
    (
        "max_in_flight = 0",
        "max_in_flight: 0 is out of range: must be at least 1; write for example max_in_flight = 200",
    ),
    (
        "proxy = 'socks5://p:1'",
        "proxy: is not an http proxy: only http:// proxies are spoken to (by CONNECT); "
        'write for example "http://proxy.example.com:3128"',
    ),
    ("ca_file = 'none.pem'", "ca_file: cannot be read: no such file or directory; the path means {cwd}/none.pem"),
    ("ca_file = 'config.toml'", "ca_file: is not a PEM file of certificates; the path means {cwd}/config.toml"),
    ("api_key_file = 'none'", "api_key_file: cannot be read: no such file or directory; the path means {cwd}/none"),
]


@pytest.mark.parametrize(("lines", "message"), PROVIDER_ERRORS)
def test_an_error_in_a_provider_names_line_key_fault_and_remedy(load_text: Load, lines: str, message: str) -> None:
    errors = said(load_text(PROVIDER + lines, K="k").errors)
    line = 3 + len(lines.splitlines())
    assert errors == [f"{line}: error: providers[0].{message.replace('{cwd}', str(Path.cwd()))}"]


MODEL_ERRORS = [
    ("m = []", "virtual_models.m: is an empty list"),
    (
        "m = 'alpha/x'",
        'virtual_models.m: takes a table, not "alpha/x"; write m = [{ provider = "alpha", model = "x" }]',
    ),
    ("m = ['alpha/x']", 'virtual_models.m[0]: takes a table, not "alpha/x"; write { provider = "alpha", model = "x" }'),
    (
        "gpt-4.1 = [{ provider = 'alpha', model = 'x' }]",
        "virtual_models.gpt-4: a dot parts names, so this is '1' inside 'gpt-4'; put the whole name in quotes: \"gpt-4.1\"",
    ),
    (
        "m = { target = [{ provider = 'alpha', model = 'x' }] }",
        "virtual_models.m.target: is not a key that oxllm knows; did you mean 'targets'?",
    ),
    (
        "m = 'alpha'",
        'virtual_models.m: takes a table, not "alpha"; write m = [{ provider = "…", model = "…" }]',
    ),
    ("admin_token = 'hush-hush'", "virtual_models.admin_token: takes a table; it belongs in [server]"),
    ("proxy = 'http://u:hush/hush@p'", "virtual_models.proxy: takes a table; it belongs in [[providers]]"),
    ("apikey = ['hush/hush']", "virtual_models.apikey[0]: takes a table; write for example"),
    ("port = 80", "virtual_models.port: takes a table, not 80; it belongs in [server]"),
    (
        "m = 'http://u:hush@h'",
        'virtual_models.m: takes a table, not "http://***@h"; write m = [{ provider = "http:", model = "/***@h" }]',
    ),
    ("m = ['alpha']", 'virtual_models.m[0]: takes a table, not "alpha"; write { provider = "…", model = "…" }'),
    (
        "m = { targets = [{ provider = 'alpha', model = 'x' }], timeouts = '3/s' }",
        'virtual_models.m.timeouts: takes a table, not "3/s"; write for example timeouts = { first_byte = 10 }',
    ),
    (
        "m = [{ provider = 'alhpa', model = 'x' }]",
        "virtual_models.m[0].provider: no provider is named 'alhpa'; did you mean 'alpha'?",
    ),
    (
        "m = [{ provider = 'zzz', model = 'x' }]",
        "virtual_models.m[0].provider: no provider is named 'zzz'; there is 'alpha'",
    ),
    ("m = [{ provider = 'alpha' }]", 'virtual_models.m[0].model: is missing; write for example model = "big-1"'),
    (
        "m = [{ provider = 'alpha', model = 'x', weigth = 1 }]",
        "virtual_models.m[0].weigth: is not a key that oxllm knows; did you mean 'weight'?",
    ),
    (
        "m = [{ provider = 'alpha', model = 'x', weight = 0 }]",
        "virtual_models.m[0].weight: 0 is out of range: must be at least 1; write for example weight = 3",
    ),
    (
        "m = [{ provider = 'alpha', model = 'x', tier = 1 }, { provider = 'alpha', model = 'y' }]",
        "virtual_models.m[1]: has no tier, while other targets of the list have one; "
        "write a tier for each target, or for none",
    ),
    ("'' = [{ provider = 'alpha', model = 'x' }]", 'virtual_models."": the model\'s name is empty'),
    (
        '"a\\tb" = [{ provider = "alpha", model = "x" }]',
        'virtual_models."a\\u0009b": the model\'s name holds a control character; remove it',
    ),
    (
        "m = { targets = [{ provider = 'alpha', model = 'x' }], hold_back = 'forever' }",
        'virtual_models.m.hold_back: "forever" is not a way to hold back; '
        'write "first_token", "20 tokens", "800ms" or "full"',
    ),
    (
        "m = { targets = [{ provider = 'alpha', model = 'x' }], hedge_after = 0 }",
        "virtual_models.m.hedge_after: 0 is out of range: must be over 0; write for example hedge_after = 4.0",
    ),
    ("m = { hedge_after = 1 }", "virtual_models.m.targets: is missing"),
]


@pytest.mark.parametrize(("line", "message"), MODEL_ERRORS)
def test_an_error_in_a_virtual_model_names_line_key_fault_and_remedy(load_text: Load, line: str, message: str) -> None:
    loaded = load_text(f"{PROVIDER}[virtual_models]\n{line}\n")
    (error,) = said(loaded.errors)
    assert error.startswith(f"5: error: {message}")
    assert "hush" not in f"{error} {loaded.errors[0].excerpt}"


FILE_ERRORS = [
    ("", "config.toml: error: providers: there is no provider; write [[providers]] with name = \"alpha\" and a base_url"),
    ("providers = []", "config.toml:1: error: providers: there is no provider; write [[providers]] with name = \"alpha\" and a base_url"),
    ("[providers]\nname = 'a'", "config.toml:1: error: providers: takes tables; write it as [[providers]]"),
    ("virtual_models = 1\n" + PROVIDER, "config.toml:1: error: virtual_models: takes a table; write it as [virtual_models]"),
    ("server = 1\n" + PROVIDER, "config.toml:1: error: server: takes a table, not 1"),
    ("[[provider]]\n" + PROVIDER, "config.toml:1: error: provider: is not a key that oxllm knows; did you mean 'providers'?"),
    ("[breaker]\ncooldown = 30\ncooldown_max = 20\n" + PROVIDER, "config.toml:2: error: breaker.cooldown: cooldown (30) is over cooldown_max (20); raise cooldown_max, or lower cooldown"),
    ("[retry]\nbudget = 1.5\n" + PROVIDER, "config.toml:2: error: retry.budget: 1.5 is out of range: must be at most 1; write for example budget = 0.2"),
    ("a = 1\na = 2", "config.toml:2: error: not valid TOML: cannot overwrite a value; a key or table may be written only once; tables of a list have two brackets: [[providers]]"),
    ("[server]\nport = ${PORT}\n", 'config.toml:2: error: not valid TOML: invalid value; a variable stands inside a string: write "${PORT}"'),
    ('[server]\nhost = "x', "config.toml:2: error: not valid TOML: unterminated string; the text is not closed: write \" at its end"),
    ("x = " + "[" * 5000, "config.toml: error: is nested too deeply to be read"),
    ("x = " + "1" * 5000, "config.toml: error: holds a number too long to be read; write shorter numbers"),
    (PROVIDER + PROVIDER, "config.toml:5: error: providers[1].name: 'alpha' is already the name of a provider (line 2); names must be unique"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), FILE_ERRORS)
def test_an_error_of_the_whole_file_says_what_to_write(load_text: Load, text: str, message: str) -> None:
    assert [str(error) for error in load_text(text).errors] == [message]


def test_a_file_that_is_not_utf8_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.toml"
    file.write_bytes(b"# one\nname = '\xfc'\n")
    assert str(load(str(file), {}).errors[0]) == f"{file}:2: error: is not UTF-8; save the file as UTF-8"


def test_a_file_that_is_not_there_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    (error,) = load(str(tmp_path / "none.toml"), {}).errors
    assert error.message == "cannot be read: no such file or directory"
    assert error.help == "put that right, or start `oxllm serve` with another --config", "a reload has no such option"


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "bom.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(str(file), {}).errors == ()


def test_a_wrong_value_in_a_table_hides_no_other_fault_of_that_table(load_text: Load) -> None:
    errors = said(load_text(PROVIDER + "headers = { Host = 'x', X-A = 1, 'X Y' = 'z' }").errors)
    keys = [error.split(": ")[2].removeprefix("providers[0].headers.") for error in errors]
    assert sorted(keys) == ['"X Y"', "Host", "X-A"]


def test_all_errors_come_at_once_in_the_order_of_the_file(load_text: Load) -> None:
    loaded = load_text(
        """\
        [server]
        port = "http"
        bind_family = "ipv9"
        max_body_bytes = 99999999
        [timeouts]
        connect = 0
        [[providers]]
        name = "alpha"
        base_url = "ftp://alpha"
        api_key = "${NOPE}"
        headers = { Host = "x" }
        extra_body = { model = "x" }
        [[providers]]
        name = "alpha"
        [virtual_models]
        a = []
        b = [{ provider = "alpa", model = "m", teir = 1 }, { provider = "alpha", model = "m", tier = 1 }]
        """
    )
    assert [(error.line, error.key) for error in loaded.errors] == [
        (2, "server.port"),
        (3, "server.bind_family"),
        (4, "server.max_body_bytes"),
        (6, "timeouts.connect"),
        (9, "providers[0].base_url"),
        (10, "providers[0].api_key"),
        (11, "providers[0].headers.Host"),
        (12, "providers[0].extra_body.model"),
        (13, "providers[1].base_url"),
        (14, "providers[1].name"),
        (16, "virtual_models.a"),
        (17, "virtual_models.b[0].teir"),
        (17, "virtual_models.b[0].provider"),
        (17, "virtual_models.b[0]"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        'api_key = "sk-hush\\u0000"',
        'api_key = ["sk-hush"]',
        'proxy = "socks5://u:sk-hush@p"',
        'base_url2 = "https://u:sk-hush@a"',
        'headers = { api-key = ["sk-hush"], X = "sk-hush\\n" }',
    ],
)
def test_no_error_shows_a_secret(load_text: Load, text: str) -> None:
    loaded = load_text(PROVIDER + text)
    assert loaded.errors
    assert "sk-hush" not in repr(loaded)


WARNINGS = [
    (PROVIDER + "api_key = 'sk-hush'", "4: warning: providers[0].api_key: a secret is written into the file; write ${NAME} and set it in the environment"),
    (PROVIDER + "headers = { x-api-key = 'sk-hush' }", "4: warning: providers[0].headers.x-api-key: a secret is written into the file; write ${NAME} and set it in the environment"),
    (PROVIDER + "proxy = 'http://u:sk-hush@p:1'", "4: warning: providers[0].proxy: a secret is written into the file; write ${NAME} and set it in the environment"),
    ("[server]\napi_keys = ['${K}', 'sk-hush']\n" + PROVIDER, "2: warning: server.api_keys[1]: a secret is written into the file; write ${NAME} and set it in the environment"),
    ("[server]\nadmin_token = 'sk-hush'\n" + PROVIDER, "2: warning: server.admin_token: a secret is written into the file; write ${NAME} and set it in the environment"),
    ("[server]\nhost = '0.0.0.0'\n" + PROVIDER, "2: warning: server.host: '0.0.0.0' can be reached from outside, and there are no api_keys; anyone who can connect spends your keys; write api_keys"),
    (PROVIDER + "enabled = false\n[virtual_models]\nm = [{ provider = 'alpha', model = 'x' }]", "6: warning: virtual_models.m: all of its providers are disabled, so it cannot be served"),
    (PROVIDER + "[virtual_models]\nm = [{ provider = 'alpha', model = 'x' }]", "5: warning: virtual_models.m: 'alpha' is its only provider: nothing to fail over to; add a target of another provider"),
    (GOOD + "[[providers]]\nname = 'c'\nbase_url = 'http://c'\nmodels = ['big-1']\n[virtual_models.x]\ntargets = [{ provider = 'c', model = 'bg-1' }, { provider = 'alpha', model = 'y' }]", "15: warning: virtual_models.x.targets[0].model: 'bg-1' is not among the models of 'c'; did you mean 'big-1'?"),
    (GOOD + "vectors = [{ provider = 'alpha', model = 'text-embedding-3-small' }, { provider = 'beta', model = 'bge-m3' }]", "10: warning: virtual_models.vectors: an embedding model whose targets differ ('bge-m3', 'text-embedding-3-small'): their vectors do not compare; name the same model in each target"),
    (GOOD + "x = [{ provider = 'alpha', model = 'y' }, { provider = 'beta', model = 'y' }, { provider = 'alpha', model = 'y' }]", "10: warning: virtual_models.x[2]: alpha/y is in the list already; only the first counts; remove it"),
    (GOOD + "x = [{ provider = 'alpha', model = 'y', weight = 2 }, { provider = 'beta', model = 'y' }]", "10: warning: virtual_models.x[0].weight: has no effect: without tier each target is a tier of its own; write the same tier for those that share"),
    (GOOD + "[timeouts]\nrequest = 100", "9: warning: virtual_models.smart: 2 attempts may take 130 s (connect + first_byte), past request (100 s); lower them, or raise request"),
    (GOOD + "[timeouts]\nanswer = 900", "9: warning: virtual_models.smart: an answer may take 900 s, past request (600 s); lower them, or raise request"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), WARNINGS)
def test_what_is_allowed_but_unwise_is_a_warning(load_text: Load, text: str, message: str) -> None:
    loaded = load_text(serving(text), K="k")
    assert loaded.errors == ()
    assert said(loaded.warnings) == [message]
    assert loaded.plan is not None
    assert loaded.plan.warnings == (f"config.toml:{message}",)
    assert "sk-hush" not in repr(loaded)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ('"sk-hush"', "is in quotes, which are sent with it; leave them out: `docker run --env-file` keeps them"),
        ("'sk-hush'", "is in quotes, which are sent with it; leave them out: `docker run --env-file` keeps them"),
        ("Bearer sk-hush", "begins with Bearer, which is no part of it; leave it out"),
    ],
)
def test_a_key_with_more_than_the_key_in_it_is_warned_of(load_text: Load, key: str, message: str) -> None:
    loaded = load_text(serving(PROVIDER + 'api_key = "${K}"'), K=key)
    assert [text.partition(": warning: ")[2] for text in said(loaded.warnings)] == [f"providers[0].api_key: {message}"]
    assert "sk-hush" not in repr(loaded.warnings)


KEYED = 'api_key = "${K}"\n'
MORE_WARNINGS = [
    (PROVIDER.replace("http://alpha", "https://alpha/v1/chat/completions/"), 'providers[0].base_url: ends in /chat/completions, which the gateway appends itself; write "https://alpha/v1"'),
    (PROVIDER.replace("http://alpha", "http://api.alpha.example/v1") + KEYED, "providers[0].base_url: the key goes to api.alpha.example in the clear, for anyone on the way to read; write https://"),
    (PROVIDER + "api_key = '$ALPHA_KEY'", 'providers[0].api_key: $ALPHA_KEY is no variable but plain text; write "${ALPHA_KEY}"'),
    (PROVIDER + "api_key = 'os.environ/ALPHA_KEY'", 'providers[0].api_key: os.environ/ALPHA_KEY is no variable but plain text; write "${ALPHA_KEY}"'),
    (PROVIDER + "api_key = 'env.ALPHA_KEY'", 'providers[0].api_key: env.ALPHA_KEY is no variable but plain text; write "${ALPHA_KEY}"'),
    (PROVIDER.replace("http://alpha", "https://api.openai.com") + "protocols = ['chat', 'responses']", 'providers[0].base_url: has no path, and nothing is added but that of an endpoint; write "https://api.openai.com/v1"'),
    (PROVIDER.replace("http://alpha", "http://localhost:11434/") + "protocols = ['chat', 'responses', 'messages']", 'providers[0].base_url: has no path, and nothing is added but that of an endpoint; write "http://localhost:11434/v1"'),
    (PROVIDER + 'api_key = "${EMPTY}"', "providers[0].api_key: the environment variable EMPTY is set, but empty; set it to something, or unset it, which is an error"),
    (GOOD + "r = [{ provider = 'alpha', model = 'gpt-5.1' }, { provider = 'beta', model = 'llama-3' }]", "virtual_models.r: 'gpt-5.1' takes max_completion_tokens and no temperature, unlike 'llama-3'; a request that suits the one may be refused by the other (400)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MORE_WARNINGS)
def test_what_is_probably_a_slip_is_a_warning(load_text: Load, text: str, message: str) -> None:
    loaded = load_text(serving(text), K="k", EMPTY="")
    assert [said.partition(": warning: ")[2] for said in said(loaded.warnings)] == [message]


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://vllm:8000/v1", "http://10.1.2.3/v1", "http://gpu.internal", "https://a.b"]
)
def test_a_key_over_http_to_a_near_host_is_no_slip(load_text: Load, url: str) -> None:
    assert load_text(serving(PROVIDER.replace("http://alpha", url) + KEYED), K="k").warnings == ()


def test_a_pipe_a_device_and_a_directory_are_errors_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for file, kind in ((tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device"), (tmp_path, "a directory")):
        (error,) = load(str(file), {}).errors
        assert error.message == f"is {kind}, not a file; it is read again at each reload"
        (tmp_path / "config.toml").write_text(PROVIDER + f'api_key_file = "{file}"\nca_file = "{file}"')
        errors = load(str(tmp_path / "config.toml"), {}).errors
        assert [(e.key, e.message) for e in errors] == [
            ("providers[0].api_key_file", error.message),
            ("providers[0].ca_file", error.message),
        ]


def test_a_key_file_for_everybody_or_with_a_name_in_it_is_a_warning(load_text: Load, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("OPENAI_API_KEY=sk-hush\n")
    key.chmod(0o644)
    loaded = load_text(serving(PROVIDER + 'api_key_file = "key"'))
    assert [warning.message for warning in loaded.warnings] == [
        "everybody on this machine can read the key",
        "the file holds NAME=…, all of which is sent as the key",
    ]
    assert "sk-hush" not in repr(loaded)
    key.chmod(0o640)
    for sound in ("sk-hush", "Zm9vYmFyYmF6cXV4Cg=="):
        key.write_text(f"{sound}\n")
        assert load_text(serving(PROVIDER + 'api_key_file = "key"')).warnings == ()


def test_nothing_of_a_key_file_is_in_a_warning_about_it(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("Zm9vYmFyYmF6=cXV4\n")
    loaded = load_text(serving(PROVIDER + 'api_key_file = "key"'))
    assert len(loaded.warnings) == 2
    assert "Zm9v" not in str(loaded.warnings)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[providers.alpha]\nbase_url = "http://a"\n[virtual_models]\nm = [{ provider = "alpha", model = "x" }]\n',
            '1: error: providers: takes tables; write [[providers]], and below it name = "alpha"',
        ),
        (f"port = 80\n{GOOD}", "1: error: port: is not a key that oxllm knows; it belongs in [server]"),
        (f"[server.timeouts]\nidle = 5\n{GOOD}", "1: error: server.timeouts: is not a key that oxllm knows; "
         "[timeouts] is a table of its own"),
        (
            f'{PROVIDER}[virtual_models]\nm = {{ provider = "alpha", model = "x" }}\n',
            "5: error: virtual_models.m: takes a list of targets, not one; write m = [{ … }]",
        ),
    ],
)  # fmt: skip
def test_what_stands_one_level_too_high_or_too_deep_is_one_error(load_text: Load, text: str, message: str) -> None:
    assert said(load_text(text).errors) == [message]


@pytest.mark.parametrize(
    ("key", "called", "message"),
    [
        ("name", "nam", "did you mean 'name'?"),
        ("base_url", "url", "write base_url"),
        ("base_url", "bas_url", "did you mean 'base_url'?"),
    ],
)
def test_a_key_under_another_name_is_not_missing_as_well(load_text: Load, key: str, called: str, message: str) -> None:
    (error,) = load_text(PROVIDER.replace(f"{key} =", f"{called} =")).errors
    assert str(error).endswith(f"providers[0].{called}: is not a key that oxllm knows; {message}")


def test_an_excerpt_underlines_what_is_meant(load_text: Load) -> None:
    cases = {
        "prot = 1  # c": "prot",
        "headers = { Host = 'x' }": "'***'",
        'timeouts = { connect = "x" }': '"x"',
        "models = ['a', '']": "''",
    }
    for line, meant in cases.items():
        excerpt = load_text(f"{PROVIDER}{line}\n").errors[0].excerpt
        assert excerpt is not None
        underlined = excerpt.text[excerpt.column :][: excerpt.width]
        assert underlined == meant


@pytest.mark.parametrize(
    "line",
    [
        'hold_back = "20 tokens"',
        'name = "keyhole"',
        'base_url = "https://authority.example/tokens/v1"',
        'user_agent = "author/2 (password manager)"',
        'models = ["meta-llama/Llama-3.3-70B-Instruct-Turbo-Free", "anthropic.claude-3-5-sonnet-20241022-v2:0"]',
        "max_in_flight = 200",
        "prot = 8080",
        'nmae = "alpha"',
        'smart = [{ provider = "alpha", model = "big-1" }, { provider = "beta", model = "big-1b" }]',
        'api_key = "${ALPHA_KEY}"',
    ],
)
def test_harmless_text_is_shown(line: str) -> None:
    text = f"[{'virtual_models' if 'smart' in line else '[providers]'}]\n{line}\n"
    assert lift(veiled(text, find_places(text)).splitlines()[1]) == line
    if "nmae" not in line:
        assert lift(veiled(text, None).splitlines()[1]) == line


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('api_key = "hush"  # was hush', 'api_key = "***"'),
        ("api_keys = ['hush', 'hush']", "api_keys = ['***', '***']"),
        ('apikey = "hush"', 'apikey = "***"'),
        ('headers = { X-Team = "hush" }', 'headers = { X-Team = "***" }'),
        ('headers.X-Team = "hush"', 'headers.X-Team = "***"'),
        ('proxy = "http://hush@proxy:1"', 'proxy = "***"'),
        ('name = "sk-proj-hush"', 'name = "***"'),
        ('base_url = "https://hush:hush@alpha.example/v1?hush"', 'base_url = "https://***@alpha.example/v1?***"'),
        ('extra_body = { user = "hush", n = 1 }', 'extra_body = { user = "***", n = *** }'),
        ("admin_token = 'hush'", "admin_token = '***'"),
    ],
)
def test_what_may_be_a_credential_is_not(line: str, shown: str) -> None:
    text = f"[[providers]]\n{line}\n"
    assert lift(veiled(text, find_places(text)).splitlines()[1]).rstrip() == shown
    assert "hush" not in lift(veiled(text + "=", None).splitlines()[1])


def test_a_value_of_any_length_is_covered_and_its_key_cut(load_text: Load) -> None:
    """To look through it for credentials would take the square of its length."""
    value, key = "h" * (MASKED_MAX + 1), "k" * 5000
    warning, *_ = load_text(f"[server]\nhost = '{value[:-3]}'\n" + serving(PROVIDER)).errors
    assert warning.excerpt is not None
    assert "hhh" in warning.excerpt.text
    for error in load_text(f"[server]\nhost = '{value}'\n{key} = 1\n" + serving(PROVIDER)).errors:
        assert error.excerpt is not None
        assert "hhh" not in error.excerpt.text
        assert len(str(error)) < 1000


def test_where_a_long_line_is_cut_there_is_an_ellipsis(load_text: Load) -> None:
    many = ", ".join(f'"model-{number}"' for number in range(100))
    excerpt = load_text(f"{PROVIDER}models = [{many}, 7, {many}]\n").errors[0].excerpt
    assert excerpt is not None
    assert excerpt.text[excerpt.column :][: excerpt.width] == "7"
    assert (excerpt.text[0], excerpt.text[-1]) == ("…", "…")
    assert len(excerpt.text) <= LINE_MAX + 1


def test_providers_that_share_no_protocol_do_not_stand_in_for_each_other(load_text: Load) -> None:
    text = GOOD.replace('"http://beta"', '"http://beta"\nprotocols = ["messages"]')
    assert said(load_text(text).warnings) == [
        "10: warning: virtual_models.smart: no two of its providers speak the same protocol: nothing to fail over to; "
        "add a target of a provider that speaks what one of these does"
    ]
    assert load_text(text.replace('["messages"]', '["json", "messages"]')).warnings == ()


@pytest.mark.parametrize(
    ("url", "absent"),
    [
        ("https://api.openai.com/v1", "api.openai.com also speaks responses"),
        ("https://openrouter.ai/api/v1", "openrouter.ai also speaks responses and messages"),
        ("https://corp.openai.azure.com/openai/v1/", "corp.openai.azure.com also speaks responses"),
        ("http://localhost:11434/v1", "Ollama also speaks responses and messages"),
        ("https://api.deepseek.com/anthropic/v1", "api.deepseek.com also speaks messages"),
        ("https://api.deepseek.com/v1", ""),
        ("http://localhost:8000/v1", ""),
    ],
)
def test_a_known_host_that_speaks_more_is_noted(load_text: Load, url: str, absent: str) -> None:
    loaded = load_text(f'[[providers]]\nname = "a"\nbase_url = "{url}"\nmodels = ["m"]\n')
    assert [note.message for note in loaded.notes] == [absent] * bool(absent)
    assert loaded.warnings == ()
    assert loaded.plan is not None
    assert loaded.plan.warnings == ()


def test_a_note_says_what_to_write_and_is_gone_then(load_text: Load) -> None:
    text = '[[providers]]\nname = "a"\nbase_url = "https://api.anthropic.com/v1"\nprotocols = ["chat"]\n'
    (note,) = load_text(text).notes
    assert (note.line, note.key) == (4, "providers[0].protocols")
    assert note.help == 'to use that, write protocols = ["chat", "messages"]'
    assert load_text(text.replace('["chat"]', '["chat", "messages"]')).notes == ()
    assert load_text(text + "enabled = false").notes == ()


def test_a_target_for_any_model_is_not_missing_from_the_list(load_text: Load) -> None:
    text = GOOD.replace('"http://beta"', '"http://beta"\nmodels = ["x"]')
    target = '"claude-*" = [{ provider = "alpha", model = "*" }, { provider = "beta", model = "*" }]'
    assert said(load_text(text + target).warnings) == [
        "10: warning: virtual_models.smart[1].model: 'm' is not among the models of 'beta'; there is 'x'"
    ]


def test_the_same_embedding_model_under_another_prefix_is_no_mixture(load_text: Load) -> None:
    text = "e = [{ provider = 'alpha', model = 'openai/text-embedding-3' }, { provider = 'beta', model = 'text-embedding-3' }]"
    assert load_text(GOOD + text).warnings == ()


def test_a_loopback_or_a_keyed_bind_is_no_public_one(load_text: Load) -> None:
    assert load_text(serving("[server]\nbind_family = 'dual'\n" + PROVIDER)).warnings == ()
    assert load_text(serving("[server]\nhost = '::'\napi_keys = ['${K}']\n" + PROVIDER), K="k").warnings == ()
