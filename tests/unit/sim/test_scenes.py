"""Scene files: what is read, and what is refused with words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from oxllm.config.compile import compile_document
from oxllm.config.files import parse_toml
from oxllm.config.lines import find_places
from oxllm.sim import faults
from oxllm.sim.faults.base import Layer
from oxllm.sim.provider.limits import Limit
from oxllm.sim.provider.pace import FOREVER
from oxllm.sim.rehearsal import gateway
from oxllm.sim.script import exhibits, grammar, presets, scenes, show
from oxllm.sim.script.scenario import Scene, When
from tests.support.by_hand import make_plan

GOOD = """
seed = 7
[upstream.alpha]
dialect = "openai"; models = ["gpt-4o-mini"]; pace = "ttft 400ms lognormal 0.6, out 20..200"
limit = "60 rpm, 40k tpm"
[upstream.beta]
dialect = "openrouter"; pace = "slow"
[[scene]]
name = "alpha browns out"; on = "alpha"; when = "10s..40s"
faults = ["429 x8", "502-html 30%", "cut@token:12 10%", "stall@token:3~45s 5%"]
expect = ["client_errors == 0"]
[[scene]]
name = "beta too"; on = ["beta"]; when = "requests 5..12"
faults = ["500"]
""".replace("; ", "\n")


def test_a_scene_file_says_who_when_and_what() -> None:
    scenario = scenes.load(GOOD, seed=1)
    alpha, beta = scenario.upstreams
    browns, too = scenario.scenes
    assert (scenario.seed, alpha.models, alpha.limit.tokens, beta.dialect) == (
        7,
        ("gpt-4o-mini",),
        Limit(40000, 60.0),
        "openrouter",
    )
    assert (browns.when, too.when, too.on) == (When(10.0, 40.0), When(first=5, last=12), ("beta",))
    assert [str(fault) for fault in browns.faults] == [
        "429 x8",
        "502-html 30%",
        "cut@token:12 10%",
        "stall@token:3~45s 5%",
    ]


HEAD = "[upstream.alpha]\n[upstream.beta]\n"


def scene(body: str) -> str:
    return f'{HEAD}[[scene]]\nname = "s"\non = "alpha"\n{body}\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write [upstream.alpha]"),
        ("seed = ", "not TOML"),
        ("seed = true\n" + HEAD, "seed: write a whole number from 0 up"),
        ("upstream = 4\n", "upstream: write a table for each provider, such as [upstream.alpha]"),
        ("[upstream]\nalpha = 4\n", "upstream: write a table for each provider"),
        ("[[upstream]]\n", "upstream: write a table for each provider"),
        ("scene = 3\n", "scene: write [[scene]] above each scene"),
        ("[scene]\non = 'alpha'\n", "scene: write [[scene]] above each scene"),
        (HEAD + "sede = 7\n", "unknown key 'sede'"),
        ('[upstream."a/b"]\n', "upstream.a/b: its name holds a /"),
        ('[upstream." a"]\n', "its name begins or ends with white space"),
        ("[upstream.-a]\n", "its name cannot be typed as a name"),
        ("[upstream.alpha]\ndialect = 'grok'\n", "unknown dialect 'grok'; did you mean 'groq'?"),
        ("[upstream.alpha]\npace = 'ttfb 3s'\n", "write ttft, itl, out or load"),
        ("[upstream.alpha]\nlimit = '60 rpx'\n", "write 60 rpm, 5 rps or 40k tpm"),
        (scene("faults = ['cutt 3%']"), "did you mean 'cut'?"),
        (scene("when = '40s..10s'"), "the window must end after it begins"),
        (scene("when = '40'"), "write 10s..40s, 10s.. or requests 5..12"),
        (scene("when = 'requests 5..2'"), "the range must rise"),
        (scene("faults = ['429 60%', '500 50%']"), "add up to 110%"),
        (scene("faults = ['429', '500 50%']"), "'429' always strikes, so nothing after it can"),
        (scene("faults = ['refuse']\nwhen = 'requests 1..5'"), "a closed port gets no requests to count"),
        (f"{HEAD}[[scene]]\non = 'gamma'\n", "unknown provider 'gamma'; there are alpha, beta"),
        (f"{HEAD}[[scene]]\nfaults = ['429']\n", "on which provider?"),
        (scene("faults = ['429']") + scene("").removeprefix(HEAD), "two scenes named 's'"),
        (
            scene("faults = ['429 10%']\nwhen = '0s..20s'")
            + "[[scene]]\nname = 't'\non = 'alpha'\nwhen = '10s..'\nfaults = ['refuse']\n",
            (
                "scene 't' gives alpha 'refuse' always (10s..), which leaves nothing for scene 's' (0s..20s); "
                "let their times not overlap"
            ),
        ),
    ],
)
def test_what_cannot_be_played_is_refused_with_what_to_write_instead(text: str, message: str) -> None:
    with pytest.raises(scenes.SceneError) as caught:
        scenes.load(text, 7)
    assert message in str(caught.value)


def test_all_errors_of_a_file_are_told_at_once() -> None:
    with pytest.raises(scenes.SceneError) as caught:
        scenes.load("[upstream.alpha]\ndialect = 'x'\npace = 'y'\nlimit = 'z'\n", 7)
    assert len(caught.value.errors) == 3


MANY = """\
sead = 7
[upstream.alpha]
models = "x"
pace = "quick"
[[scene]]
name = "a"
on = "alpha"
when = "soon"
faults = [
    "429 10%",
    "cutt@token:3",
]
[[scene]]
name = "b"
on = ["alpha", 7]
"""


def test_of_a_file_that_is_named_each_error_has_its_line() -> None:
    with pytest.raises(scenes.SceneError) as caught:
        scenes.load(MANY, 7, file=Path("s.toml"))
    assert [error.partition(", faults")[0].splitlines()[0][:31] for error in caught.value.errors] == [
        "s.toml:1: unknown key 'sead'; d",
        "s.toml:3: upstream.alpha.models",
        "s.toml:4: upstream.alpha.pace: ",
        "s.toml:8: scene 'a', when: 'soo",
        "s.toml:11: scene 'a'",
        "s.toml:15: scene 'b', on: write",
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[upstream.alpha\n", "s.toml:1: not valid TOML: expected ']' at the end of a table declaration"),
        ("", "s.toml: no providers"),
        (scene("faults = ['429']") + scene("").removeprefix(HEAD), "s.toml:8: two scenes named 's'"),
        (scene("faults = ['500', '429']"), "s.toml:3: scene 's': '500' always strikes"),
        ("[upstream.alpha]\nfaults = ['500', '429']\n", "s.toml:2: scene 'always on alpha': '500' always strikes"),
    ],
)
def test_what_is_wrong_as_a_whole_has_the_line_of_what_it_is_about(text: str, error: str) -> None:
    with pytest.raises(scenes.SceneError) as caught:
        scenes.load(text, 7, file=Path("s.toml"))
    assert caught.value.errors[0].startswith(error)


def test_scenes_that_do_not_meet_do_not_contradict() -> None:
    first = "[[scene]]\nname = 'a'\non = 'alpha'\nwhen = '0s..10s'\nfaults = ['refuse']\n"
    second = "[[scene]]\nname = 'b'\non = 'alpha'\nwhen = '10s..20s'\nfaults = ['429 5%']\n"
    assert len(scenes.load(HEAD + first + second, 7).scenes) == 2


@pytest.mark.parametrize("name", exhibits.EXHIBITS)
def test_every_exhibit_can_be_played_and_names_its_source(name: str) -> None:
    scenario = exhibits.scenario(name, 7)
    assert scenario.scenes[0].faults
    assert exhibits.EXHIBITS[name].source
    assert [upstream.name for upstream in scenario.upstreams] == ["alpha", "steady"]


@pytest.mark.parametrize(("name", "share"), [("mild", 3), ("rough", 12), ("hell", 45)])
def test_a_preset_strikes_the_share_that_it_is_known_for(name: str, share: int) -> None:
    table = presets.timetable(name, 7, [["alpha", "beta"]], 120.0)
    longest = max(table, key=lambda scene: len(scene.faults))
    assert sum(fault.dose.value for fault in longest.faults) * 100 == pytest.approx(share)


def hells() -> list[Scene]:
    """The scenes of an hour of hell under some seeds."""
    return [scene for seed in range(4) for scene in presets.timetable("hell", seed, [["alpha", "beta"]], 3600.0)]


def test_hell_has_every_kind_but_those_that_no_preset_can_have() -> None:
    played = {dosed.fault.kind for scene in hells() for dosed in scene.faults}
    assert set(faults.KINDS) - played == {"dns", "tls-expired", "tls-abort", "tls-truncate"} == set(presets.LEFT_OUT)
    assert played < set(faults.KINDS)


def test_what_no_preset_has_cannot_come_and_go_or_needs_the_tls_that_a_rehearsal_has_not() -> None:
    dns = Scene("s", ("alpha",), (grammar.parse("dns"),), When(10.0, 20.0))
    assert list(scenes.in_itself(dns, {"alpha"})) == [
        "scene 's': a name cannot be found for the whole run; leave out when"
    ]
    layers = {kind: grammar.fault(kind).strikes_at() for kind in presets.LEFT_OUT}
    needs_tls = {kind for kind, layer in layers.items() if layer is Layer.HANDSHAKE or kind.startswith("tls-")}
    assert needs_tls == set(presets.LEFT_OUT) - {"dns"}
    plan = gateway.rewired(make_plan("alpha"), {"alpha": "http://127.0.0.1:9000/v1"}, 8080)
    assert not plan.providers[0].tls


def test_in_hell_a_provider_that_is_back_from_an_outage_is_slow_to_take_connections() -> None:
    table = hells()
    back = {(scene.on, scene.when.end) for scene in table if scene.closes}
    slow = [scene for scene in table if [str(dosed) for dosed in scene.faults] == ["slow-accept~1s"]]
    assert {(scene.on, scene.when.start) for scene in slow} == back
    assert {round(scene.when.end - scene.when.start, 3) for scene in slow} == {5.0}


def test_who_has_nowhere_to_go_is_named_in_plain_english() -> None:
    for group, words in ((["alpha"], "alpha has no "), (["alpha", "beta"], "alpha and beta have no ")):
        table = presets.timetable("hell", 7, [group], 60.0, blackout=True)
        assert (presets.unsurvivable(table, [group], 60.0) or "").startswith(words)


def test_a_blackout_is_not_survivable() -> None:
    groups = [["alpha", "beta"]]
    assert presets.unsurvivable(presets.timetable("rough", 7, groups, 60.0, blackout=True), groups, 60.0)
    assert presets.unsurvivable(presets.timetable("rough", 7, groups, 60.0), groups, 60.0) is None


def test_a_handover_that_is_too_short_is_found() -> None:
    alpha = "[[scene]]\nname = 'a'\non = 'alpha'\nwhen = '0s..30s'\nfaults = ['500']\n"
    beta = "[[scene]]\nname = 'b'\non = 'beta'\nwhen = '%ds..90s'\nfaults = ['500']\n"
    for later, survivable in ((51, False), (53, True)):
        table = scenes.load(HEAD + alpha + beta % later, 7).scenes
        assert (presets.unsurvivable(table, [["alpha", "beta"]], 90.0) is None) is survivable


def test_windows_are_told_as_they_are_written() -> None:
    for text in ("10s..40s", "10s..", "requests 5..12"):
        assert str(scenes.parse_when(text)) == text
    assert str(When(0.0, FOREVER)) == "always"


def test_the_config_for_providers_of_any_name_can_be_read() -> None:
    scenes_text = '[upstream."a\\"${b}\\\\"]\nmodels = ["m\\"${n}"]\n'
    scenario = scenes.load(scenes_text, 7)
    (name,) = [upstream.name for upstream in scenario.upstreams]
    text = show.config(scenario, {name: "http://127.0.0.1:1/v1"})
    plan = compile_document("f", parse_toml(text), find_places(text), {}, text).plan
    assert plan is not None
    assert [(provider.name, provider.models) for provider in plan.providers] == [(name, ('m"${n}',))]
    assert [target.model for target in plan.virtual_models[0].targets] == ['m"${n}']


def test_a_provider_without_models_is_told_what_to_write() -> None:
    with pytest.raises(scenes.SceneError, match="a provider has one model at least; leave models out for sim-1"):
        scenes.load("[upstream.alpha]\nmodels = []\n", 1)
