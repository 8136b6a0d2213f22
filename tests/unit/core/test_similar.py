"""Names offered for one that does not exist."""

from __future__ import annotations

import pytest

from oxllm.core.routing.similar import similar
from tests.support.effort import passes
from tests.support.routers import provider, router, virtual


def test_close_names_are_offered_for_one_that_does_not_exist() -> None:
    models = [virtual(name, "a/m") for name in ("smart", "smarter", "fast", "embed")]
    subject = router(*models, providers=[provider("a", models=("gpt-4o-mini", "gpt-4o"))])
    assert subject.similar("Smrt") == ["smart", "smarter"]
    assert subject.similar("gpt-4o-mini")[0] == "a/gpt-4o-mini"
    assert subject.similar("zzz") == []
    assert subject.similar("") == []
    assert subject.similar("s" * 10_000_000) == []


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [("gtp4", "gpt4"), ("gp4", "gpt4"), ("gpt", "gpt4"), ("cluade", "claude"), ("smatr", "smart"), ("gpt5", "gpt4")],
)
def test_letters_that_changed_places_are_close_even_in_a_short_name(wanted: str, meant: str) -> None:
    subject = router(
        virtual("gpt4", "a/m"), virtual("claude", "a/m"), virtual("smart", "a/m"), providers=[provider("a")]
    )
    assert subject.similar(wanted) == [meant]


def test_the_close_names_among_thousands_are_found_in_little_time() -> None:
    names = [f"provider-{i}/model-{j}-large" for i in range(100) for j in range(50)] + ["claude", "smart"]
    assert similar("porvider-70/mdoel-4-large", names)[0] == "provider-70/model-4-large"
    assert similar("smatr", names) == ["smart"]
    assert passes(lambda: similar("porvider-70/mdoel-4-large", names)) < 15
