"""oxllm validate, and what init writes."""

from __future__ import annotations

import json
import re
import resource
import socket
from pathlib import Path

import httpx
import pytest
import respx

from tests.support.plain_user import plain_user
from tests.unit.cli.conftest import CONFIG, Run


def test_a_valid_file_is_summed_up(run: Run, config: Path) -> None:
    result = run("validate")
    assert result.exit_code == 0
    assert result.stdout == (
        f"{config}: valid (0 warnings)\n2 providers, 1 virtual model, listens on 127.0.0.1 port 8080\n"
    )
    assert result.stderr == ""


def test_errors_go_to_stderr_with_place_message_and_help(run: Run, config: Path) -> None:
    config.write_text("[server]\nprot = 1\n" + CONFIG)
    result = run("validate", "-c", "config.toml")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == (
        "config.toml:2: error: server.prot\n"
        "    is not a key that oxllm knows\n"
        "    2 | prot = 1\n"
        "      | ^^^^\n"
        "    help: did you mean 'port'?\n"
        "1 error, 0 warnings\n"
    )


def test_the_place_in_a_long_line_is_in_sight(run: Run, config: Path) -> None:
    line = "x = [" + "{ provider = 'alpha', model = 'm' }, " * 5 + "{ provider = 'alpah', model = '日' }]"
    config.write_text(CONFIG + line + "\n")
    lines = run("validate").stderr.splitlines()
    shown = next(index for index, text in enumerate(lines) if text.startswith("    11 | "))
    assert "'alpah'" in lines[shown]
    assert lines[shown].index("'alpah'") == lines[shown + 1].index("^")
    assert max(map(len, lines)) <= 80


def test_what_can_serve_nothing_is_warned_of(run: Run, config: Path) -> None:
    provider = '[[providers]]\nname = "a"\nbase_url = "http://127.0.0.1:1/v1"\n'
    for text in (provider, f'{provider}enabled = false\nmodels = ["m"]\n'):
        config.write_text(text)
        result = run("validate")
        assert result.exit_code == 0
        assert "no model can be served: there is no virtual model" in " ".join(result.stderr.split())
        assert run("validate", "--strict").exit_code == 1
    config.write_text(f'{provider}models = ["m"]\n')
    assert run("validate", "--strict").exit_code == 0


def test_long_messages_are_wrapped_at_80_columns(run: Run, config: Path) -> None:
    config.write_text(CONFIG + "x = [{ provider = 'alpha', model = '" + "long " * 20 + "' }]\n")
    stderr = run("validate").stderr
    assert len(stderr.splitlines()) > 4
    assert max(map(len, stderr.splitlines())) <= 80


def test_warnings_fail_only_when_strict(run: Run, config: Path) -> None:
    config.write_text("[server]\nhost = '0.0.0.0'\n" + CONFIG)
    assert run("validate").exit_code == 0
    assert run("validate", "--strict").exit_code == 1


def test_a_note_is_shown_and_fails_nothing(run: Run, config: Path) -> None:
    config.write_text(CONFIG.replace("https://beta.example/v1", "https://api.openai.com/v1"))
    result = run("validate", "--strict")
    assert result.exit_code == 0
    assert "config.toml:6: note: providers[1].protocols\n    api.openai.com also speaks responses\n" in result.stderr
    assert [note["key"] for note in json.loads(run("validate", "--json").stdout)["notes"]] == ["providers[1].protocols"]


def test_json_has_all_problems(run: Run, config: Path) -> None:
    config.write_text("[server]\nprot = 1\nhost = '0.0.0.0'\n" + CONFIG)
    result = run("validate", "--json")
    answer = json.loads(result.stdout)
    assert result.exit_code == 1
    assert answer["ok"] is False
    assert [(error["line"], error["key"]) for error in answer["errors"]] == [(2, "server.prot")]
    assert [warning["line"] for warning in answer["warnings"]] == [3]


def test_without_a_file_it_says_where_it_looked(run: Run) -> None:
    result = run("validate")
    assert result.exit_code == 1
    assert "there is no configuration: looked for ./config.toml" in result.stderr


def test_a_probe_asks_each_provider_with_its_key(run: Run, config: Path, http: respx.MockRouter) -> None:
    config.write_text(CONFIG.replace('models = ["m"]', 'models = ["m"]\nuser_agent = "acme"\nheaders = { X-T = "1" }'))
    alpha = http.get("https://alpha.example/v1/models").respond(json={"data": [{"id": "m"}, {"id": "n"}]})
    beta = http.get("https://beta.example/v1/models").respond(json={"data": [{"id": "other"}]})
    http.post().respond(404)
    result = run("validate", "--probe")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split()[:2] == ["alpha", "ok"]
    assert "beta does not list m\n" in result.stdout
    sent = alpha.calls.last.request.headers
    assert (sent["authorization"], sent["user-agent"], sent["x-t"]) == ("Bearer sk-hush", "acme", "1")
    assert "authorization" not in beta.calls.last.request.headers
    strict = run("validate", "--probe", "--strict")
    assert (strict.exit_code, strict.stderr) == (1, "oxllm: with --strict a warning fails\n")


@pytest.mark.parametrize(
    ("answer", "words", "code"),
    [
        (httpx.Response(401, text="bad key sk-hush"), "the key is refused (HTTP 401)", 1),
        (httpx.Response(403), "the key is refused (HTTP 403)", 1),
        (httpx.Response(404), "ok, but it lists no models (HTTP 404)", 0),
        (httpx.Response(500), "alpha.example:443: HTTP 500", 1),
        (httpx.Response(200, text="<html>"), "alpha.example:443: no list of models in the answer", 1),
        (httpx.Response(200, json=[]), "alpha.example:443: no list of models in the answer", 1),
        (httpx.ConnectError("refused"), "alpha.example:443: no HTTP (ConnectError)", 1),
        (httpx.ReadTimeout("slow"), "alpha.example:443: no answer within 10 s", 1),
    ],
)
def test_a_probe_says_what_came_of_it(
    run: Run, config: Path, http: respx.MockRouter, answer: httpx.Response | Exception, words: str, code: int
) -> None:
    http.get("https://beta.example/v1/models").respond(json={"data": []})
    http.post().respond(400)
    route = http.get("https://alpha.example/v1/models")
    if isinstance(answer, Exception):
        route.mock(side_effect=answer)
    else:
        route.mock(return_value=answer)
    result = run("validate", "--probe")
    assert f"alpha     {words}" in result.stdout
    assert ("1 of 2 providers cannot be used" in result.stderr) == (code == 1)
    assert result.exit_code == code
    assert "sk-hush" not in result.output


@pytest.mark.parametrize(("protocols", "code"), [("", 1), ('protocols = ["messages"]', 1), ('protocols = ["json"]', 0)])
def test_where_no_path_exists_the_base_url_is_wrong(
    run: Run, config: Path, http: respx.MockRouter, protocols: str, code: int
) -> None:
    config.write_text(CONFIG.replace('models = ["m"]', protocols))
    http.get(host="beta.example").respond(json={"data": []})
    http.route(host="alpha.example").respond(404)
    http.post().respond(400)
    result = run("validate", "--probe")
    words = "alpha.example:443: no path that was asked for exists; is base_url right?"
    assert (words in result.stdout, result.exit_code) == (code == 1, code)


def test_probes_are_in_the_json(run: Run, config: Path, http: respx.MockRouter) -> None:
    http.get(host="alpha.example").respond(401)
    http.post().respond(404)
    http.get(host="beta.example").respond(json={"data": [{"id": "m"}]})
    probes = json.loads(run("validate", "--probe", "--json").stdout)["probes"]
    assert (probes[0]["provider"], probes[0]["ok"], probes[0]["answer"]) == (
        "alpha",
        False,
        "the key is refused (HTTP 401)",
    )
    assert (probes[1]["ok"], probes[1]["models"]) == (True, 1)


def test_a_probe_tries_what_is_spoken(run: Run, config: Path, http: respx.MockRouter) -> None:
    config.write_text(CONFIG.replace('models = ["m"]', 'protocols = ["chat", "embeddings"]'))
    http.get(host="alpha.example").respond(json={"data": [{"id": "m"}]})
    http.get(host="beta.example").respond(json={"data": []})
    for path, status in (("chat/completions", 400), ("responses", 422), ("embeddings", 404)):
        http.post(f"https://alpha.example/v1/{path}").respond(status)
    http.post().respond(405)
    result = run("validate", "--probe", "--json")
    alpha, beta = json.loads(result.stdout)["probes"]
    assert (alpha["speaks"], alpha["does_not_speak"], alpha["also_speaks"]) == (
        ["chat", "responses"],
        ["embeddings"],
        ["responses"],
    )
    assert (beta["speaks"], beta["does_not_speak"]) == ([], []), "a default is not taken at its word"
    assert all(call.request.content == b"{}" for call in http.calls if call.request.method == "POST")
    text = run("validate", "--probe").stdout
    assert "alpha does not speak embeddings: its protocols should not list that\n" in text
    assert "alpha also speaks responses: its protocols may list that, too\n" in text


def test_a_provider_of_messages_is_asked_with_its_own_header_and_then_with_the_other(
    run: Run, config: Path, http: respx.MockRouter
) -> None:
    config.write_text(CONFIG.replace('models = ["m"]', 'protocols = ["messages"]'))
    http.get(host="beta.example").respond(json={"data": []})
    asked = http.get(host="alpha.example").mock(side_effect=[httpx.Response(401), httpx.Response(404)])
    http.post().respond(400)
    assert run("validate", "--probe").exit_code == 0
    heads = [call.request.headers for call in asked.calls]
    assert [head.get("x-api-key") for head in heads] == ["sk-hush", None]
    assert [head.get("authorization") for head in heads] == [None, "Bearer sk-hush"]
    assert heads[0]["anthropic-version"] == "2023-06-01"


def test_a_probe_names_host_port_and_reason(run: Run, config: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    urls = (f"http://127.0.0.1:{port}", "https://nowhere.invalid/v1")
    text = "".join(f'[[providers]]\nname = "p{i}"\nbase_url = "{url}"\n' for i, url in enumerate(urls))
    config.write_text(text)
    result = run("validate", "--probe")
    assert f"p0        127.0.0.1:{port}: connection refused " in result.stdout
    why = "(there is no such host|its name server does not answer)"  # a machine without a network cannot know
    assert re.search(rf"p1        nowhere\.invalid:443: {why} ", result.stdout)


def test_what_init_writes_is_valid(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("init").exit_code == 0
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    result = run("validate", "--strict")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "2 providers (2 off), 2 virtual models" in result.stdout


def test_what_init_proposes_for_agents_is_valid(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    text = run("init", "-").stdout.replace("enabled = false", "enabled = true")
    head, mark, agents = text.partition('# "claude-*"')
    Path("config.toml").write_text(head + (mark + agents).replace("# ", ""))
    for name in ("OPENAI_API_KEY", "OPENROUTER_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "sk-1")
    result = run("validate")
    assert result.exit_code == 0
    assert "4 providers, 3 virtual models" in result.stdout


def test_init_writes_over_nothing_unasked(run: Run, config: Path) -> None:
    result = run("init")
    assert (result.exit_code, result.stderr) == (1, "oxllm: config.toml exists already; write over it with --force\n")
    assert config.read_text() == CONFIG
    assert run("init", "--force").exit_code == 0
    assert config.read_text() != CONFIG


def test_init_leaves_no_part_of_a_file_where_there_is_no_room_for_all_of_it(run: Run) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))
    try:
        result = run("init", "new.toml")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (result.exit_code, result.stderr) == (1, "oxllm: new.toml cannot be written: file too large\n")
    assert not Path("new.toml").exists()


def test_init_can_print(run: Run) -> None:
    assert run("init", "-").stdout.startswith("# oxllm configuration.")
    assert run("init", "no/such/directory.toml").exit_code == 1


@pytest.mark.parametrize("how", ["--config", "OXLLM_CONFIG", "closed directory"])
def test_a_file_that_may_not_be_read_is_a_failure_however_it_is_named(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    assert run("validate", "-c", str(config)).exit_code == 0  # all of it is imported now
    file = "config.toml" if how != "closed directory" else "closed/config.toml"
    if how == "closed directory":
        Path("closed").mkdir(0)
    else:
        config.chmod(0)
    if how == "OXLLM_CONFIG":
        monkeypatch.setenv("OXLLM_CONFIG", file)
    with plain_user() as uid:
        result = run("validate", *([] if how == "OXLLM_CONFIG" else ["-c", file]))
    assert (result.exit_code, "Usage" in result.stderr) == (1, False)
    assert f"cannot be read by user {uid}: permission denied" in result.stderr


@pytest.mark.parametrize("given", [("-c", "nowhere.toml"), ("-c", ""), ()])
def test_as_json_it_says_in_json_that_there_is_no_file(run: Run, given: tuple[str, ...]) -> None:
    Path("config.toml").unlink(missing_ok=True)
    result = run("validate", "--json", *given)
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["ok"], answer["warnings"]) == (1, False, [])
    (error,) = answer["errors"]
    assert error["file"] == "".join(given[1:])
    said = {"nowhere.toml": "does not exist", "": "--config is empty"}.get("".join(given[1:]) if given else "-", "init")
    assert said in error["message"]


def test_an_empty_name_of_a_file_is_not_taken_for_none(run: Run, config: Path) -> None:
    """What a script's -c "$CONFIG" becomes."""
    result = run("validate", "-c", "")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--config is empty" in result.stderr
