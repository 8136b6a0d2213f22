"""Azure OpenAI: `code` "429" as a string and no type, waits of a day, a first event of filter results.

Facts: learn.microsoft.com/azure/ai-services/openai (quota, content filtering); issue reports of "Please retry after
86400 seconds", of 429s while `remaining` is above 0, and of headers that read -1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from oxllm.sim.dialects.base import Error, Json, Level, Words, event
from oxllm.sim.dialects.openai import OpenAI

SAFE = {word: {"filtered": False, "severity": "safe"} for word in ("hate", "self_harm", "sexual", "violence")}
_UNTYPED = ("rate", "auth", "missing")
"""Errors of the gateway in front of the models, which have only a code and a message."""
_TIER = "of your current OpenAI S0 pricing tier"


class Azure(OpenAI):
    name = "azure"
    words: ClassVar[Mapping[str, Words]] = {
        **OpenAI.words,
        "rate": Words(
            None,
            "429",
            "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded "
            f"call rate limit {_TIER}. Please retry after {{seconds}} seconds. Please go here: "
            "https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit.",
        ),
        "auth": Words(
            None,
            "401",
            "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for "
            "an active subscription and use a correct regional API endpoint for your resource.",
        ),
        "missing": Words(
            None,
            "DeploymentNotFound",
            "The API deployment for this resource does not exist. If you created the deployment within the last 5 "
            "minutes, please wait a moment and try again.",
        ),
    }

    def headers(self, request_id: str) -> list[tuple[str, str]]:
        return [("apim-request-id", request_id), ("x-ms-region", "West Europe"), ("x-ms-client-request-id", "sim")]

    def limit_headers(self, levels: Mapping[str, Level], wall: float) -> list[tuple[str, str]]:
        return [(f"x-ratelimit-remaining-{word}", str(level.remaining)) for word, level in levels.items()]

    def fields(self, error: Error) -> Json:
        if error.word not in _UNTYPED:
            return super().fields(error)
        return {"code": self.names(error)[1], "message": self.message(error)}

    def prelude(self, base: Json) -> Iterator[bytes]:
        results = [{"prompt_index": 0, "content_filter_results": SAFE}]
        yield event({**base, "id": "", "model": "", "choices": [], "prompt_filter_results": results})


DIALECT = Azure()
