"""Environment variables in values."""

from __future__ import annotations

import pytest

from oxllm.config.expand import expand
from oxllm.config.problem import BadValueError
from tests.unit.config.conftest import Load

ENV = {"KEY": "sk-1", "EMPTY": "", "INJECT": 'x"\nport = 1 #${KEY}'}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${KEY}", "sk-1"),
        ("a-${KEY}-${KEY}", "a-sk-1-sk-1"),
        ("${NONE:-default}", "default"),
        ("${NONE:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${KEY:-default}", "sk-1"),
        ("$${KEY}", "${KEY}"),
        ("$$${KEY}", "$${KEY}"),
        ("$KEY costs $5 {KEY}", "$KEY costs $5 {KEY}"),
        ("${INJECT}", 'x"\nport = 1 #${KEY}'),
    ],
)
def test_a_variable_is_replaced_by_its_value_once(text: str, expanded: str) -> None:
    assert expand(text, ENV) == expanded


@pytest.mark.parametrize("text", ["${NONE}", "${", "${}", "${1A}", "${A B}", "${KEY", "${A:-${KEY}}", "${A-b}"])
def test_a_placeholder_that_cannot_be_expanded_is_an_error(text: str) -> None:
    with pytest.raises(BadValueError):
        expand(text, ENV)


def test_a_missing_variable_names_the_key_that_wanted_it(load_text: Load) -> None:
    loaded = load_text("""
        [server]
        api_keys = ["x", "${TEAM_KEY}"]
        [[providers]]
        name = "a"
        base_url = "${URL}"
        """)
    assert [str(error) for error in loaded.errors] == [
        (
            "config.toml:3: error: server.api_keys[1]: the environment variable TEAM_KEY is not set; "
            "set it, or write ${TEAM_KEY:-default}"
        ),
        (
            "config.toml:6: error: providers[0].base_url: the environment variable URL is not set; "
            "set it, or write ${URL:-default}"
        ),
    ]


def test_comments_and_disabled_providers_expand_nothing(load_text: Load) -> None:
    loaded = load_text(
        """
        # ${NOWHERE}
        [[providers]]
        name = "on"
        base_url = "http://a"
        [[providers]]
        name = "off"
        enabled = false
        base_url = "${URL}"
        api_key = "${KEY}"
        max_in_flight = "${LIMIT}"
        headers = { X-Team = "${TEAM}" }
        models = ["${MODEL}"]
        [[providers]]
        name = "off-too"
        enabled = "${USE:-false}"
        base_url = "${URL}"
        """
    )
    assert loaded.errors == ()
    assert loaded.plan is not None
    assert loaded.plan.disabled == ("off", "off-too")


def test_a_provider_that_is_off_is_still_called_what_its_targets_call_it(load_text: Load) -> None:
    text = """
        [[providers]]
        name = "%s"
        base_url = "${URL}"
        enabled = false
        [virtual_models]
        m = [{ provider = "%s", model = "x" }]
        """
    for name in ("$${", "${REGION:-eu}", "${SET}"):
        assert load_text(text % (name, name), SET="us").errors == (), name
    (error,) = load_text(text % ("${UNSET}", "eu")).errors
    assert "no provider is named 'eu'" in error.message, "and what its own name needs is not asked for"


def test_a_disabled_provider_is_still_read_for_mistakes(load_text: Load) -> None:
    loaded = load_text('[[providers]]\nname = "off"\nenabled = false\nbase_url = "${URL}"\nmodel = []\n')
    assert [error.key for error in loaded.errors] == ["providers[0].model"]


def test_numbers_and_booleans_take_strings_that_expand_to_one(load_text: Load) -> None:
    loaded = load_text(
        """
        [server]
        port = "${PORT}"
        predictive_cooldown = "${PREDICT}"
        [timeouts]
        connect = "${CONNECT:-2.5}"
        [[providers]]
        name = "a"
        base_url = "http://${HOST}:${PORT}/v1"
        """,
        PORT="9000",
        PREDICT="false",
        HOST="localhost",
    )
    assert loaded.plan is not None
    assert (loaded.plan.server.port, loaded.plan.server.predictive_cooldown) == (9000, False)
    assert loaded.plan.providers[0].timeouts.connect == 2.5
    assert loaded.plan.providers[0].base_url == "http://localhost:9000/v1"


def test_an_error_shows_the_variable_not_what_it_holds(load_text: Load) -> None:
    loaded = load_text('[server]\nport = "${PORT}"\n[[providers]]\nname="a"\nbase_url="http://a"', PORT="sk-secret")
    assert str(loaded.errors[0]) == (
        'config.toml:2: error: server.port: "${PORT}" is a string that does not spell a whole number; '
        "write for example port = 8080"
    )


def test_a_variable_cannot_change_the_files_syntax(load_text: Load) -> None:
    loaded = load_text('[[providers]]\nname = "${N}"\nbase_url = "http://a"\n', N='x", enabled = false #')
    assert loaded.plan is not None
    assert [provider.name for provider in loaded.plan.providers] == ['x", enabled = false #']


def test_a_variable_that_is_no_utf_8_is_an_error_that_names_it() -> None:
    """Bytes that are no text come from the environment as lone surrogates (PEP 383); no Plan can hold them."""
    for text in ("${K}", "a${K}b", "${K:-x}"):
        with pytest.raises(BadValueError) as told:
            expand(text, {"K": "caf\udce9"})
        assert told.value.args == ("the environment variable K is not UTF-8", "set it to UTF-8 text")
