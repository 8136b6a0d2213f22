"""Whatever is mistyped, and wherever: nothing that is said of a configuration holds a piece of a secret."""

from __future__ import annotations

import random
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oxllm.config.compile import load
from oxllm.config.masking import lift
from oxllm.config.veil import veiled

EACH = 12
"""Texts for an example: few slips are dangerous."""
PIECE = 6
"""Characters of a secret that show where it is from."""
ALPHABETS = (
    string.ascii_letters + string.digits,
    string.ascii_letters + string.digits + "-_",
    string.ascii_lowercase,
    string.hexdigits.lower(),
    string.ascii_letters + string.digits + "+/",
)
CHARACTERS = ("", *"\"'\n=[]{},.#\\\u201c:x $@?\t")
LEAD = ("", "sk-", "sk-proj-", "gsk_", "AIza")
HEADER_NAMES = ("X-Secret", "X-Api-Key", "X-Team", "Cookie", "api-key", "X-B")
BODY = ("user", "name", "provider", "tier", "service_tier")
VARIABLES = {"KEY": "k"}


def secret(rng: random.Random) -> str:
    letters = rng.choice(ALPHABETS)
    made = rng.choice(LEAD) + "".join(rng.choices(letters, k=rng.randint(12, 48)))
    return made + rng.choice(["", "", "", "="])


def config(rng: random.Random) -> tuple[str, list[str]]:
    """A good one, in one of many shapes, and its secrets."""
    secrets = [secret(rng) for _ in range(8)]
    one, two, admin, key, header, other, body, password = secrets
    header = rng.choice(["", "Bearer "]) + header
    quote = rng.choice(['"', '"', '"', "'"])

    def q(text: str) -> str:
        return f"{quote}{text}{quote}"

    keys = rng.choice([f"[{q(one)}, {q(two)}]", f"[\n  {q(one)},\n  {q(two)},\n]", f"[{q('${KEY}')}, {q(one)}]"])
    names = rng.sample(HEADER_NAMES, 2)
    headers = rng.choice(
        [
            f"headers = {{ {names[0]} = {q(header)}, {names[1]} = {q(other)} }}\n",
            f"headers.{names[0]} = {q(header)}\nheaders.{names[1]} = {q(other)}\n",
        ]
    )
    provider = [
        'name = "alpha"\n',
        'base_url = "https://alpha.example/v1"\n',
        f"api_key = {q(key)}\n",
        headers,
        f"extra_body = {{ {', '.join(f'{name} = {q(body)}' for name in rng.sample(BODY, 2))} }}\n",
        f"proxy = {q(f'http://{password}:{password}@proxy:1')}\n",
        'models = ["big-1", "small-1"]\n',
        "max_in_flight = 20\n",
        f'user_agent = "acme/2"  # {rng.choice(["", "was " + key])}\n',
    ]
    if "=" in password or "/" in password or " " in password:
        provider.pop(5)
    rng.shuffle(provider)
    table = f"[providers.headers]\n{names[0]} = {q(header)}\n" if rng.random() < 0.3 else ""
    if table:
        provider = [line for line in provider if not line.startswith("headers")]
    server = ["port = 8080\n", f"api_keys = {keys}\n", f"admin_token = {q(admin)}\n", 'host = "127.0.0.1"\n']
    rng.shuffle(server)
    smart = '[{ provider = "alpha", model = "big-1" }, { provider = "alpha", model = "small-1", weight = 2 }]'
    text = "[server]\n" + "".join(server) + "\n[[providers]]\n" + "".join(provider) + table
    return text + f"\n[virtual_models]\nsmart = {smart}\n", secrets


def mistyped(rng: random.Random, text: str, slips: int) -> str:
    for _ in range(slips):
        at, cut = rng.randrange(len(text)), rng.choice([0, 1, 1])
        text = text[:at] + rng.choice(CHARACTERS) + text[at + cut :]
    return text


def leaked(said: str, secrets: list[str]) -> str | None:
    """A piece of a secret in it."""
    for each in secrets:
        for at in range(len(each) - PIECE + 1):
            if each[at : at + PIECE] in said:
                return each[at : at + PIECE]
    return None


def said_of(file: Path, text: str) -> list[str]:
    file.write_bytes(text.encode())
    loaded = load(str(file), VARIABLES)
    problems = (*loaded.errors, *loaded.warnings, *loaded.notes)
    return [f"{problem} {problem.excerpt.text if problem.excerpt else ''}" for problem in problems]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("config") / "config.toml"


@given(st.integers(0, 1 << 62))
def test_two_slips_show_no_piece_of_a_secret(file: Path, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(EACH):
        text, secrets = config(rng)
        text = mistyped(rng, text, rng.choice([0, 1, 2, 2, 2]))
        for said in said_of(file, text):
            assert leaked(said, secrets) is None, (text, said)


def test_a_comment_that_a_misplaced_quote_has_made_part_of_a_value_is_not_shown() -> None:
    """It may be about a key that was there before."""
    shown = lift(veiled('[[providers]]\nuser_agent = "acme/2}  # was Ug//VtlGdLYp+qRhik9yYi"U1TV8C\n', None))
    assert "user_agent" in shown
    assert "Vtl" not in shown


@given(st.integers(0, 1 << 62))
def test_nothing_but_two_slips_lifts_the_veil_of_any_line(seed: int) -> None:
    """Also of the lines that no error is about."""
    rng = random.Random(seed)
    for _ in range(EACH):
        text, secrets = config(rng)
        text = mistyped(rng, text, 2)
        shown = "\n".join(map(lift, veiled(text, None).split("\n")))
        assert leaked(shown, secrets) is None, (text, shown)


@given(st.text(max_size=200))
def test_a_veil_has_the_shape_of_the_text(text: str) -> None:
    assert list(map(len, veiled(text, None).split("\n"))) == list(map(len, text.split("\n")))
