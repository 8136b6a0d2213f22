"""Where LiteLLM sends the requests for an entry of its config: which API, at which address, with which variable's key.

After LiteLLM 1.108 (`get_llm_provider`) and docs.litellm.ai/docs/providers, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from oxllm.config.hosts import base_of

BASES = {
    "openai": base_of("api.openai.com"),
    "anthropic": base_of("api.anthropic.com"),
    "groq": base_of("api.groq.com"),
    "mistral": base_of("api.mistral.ai"),
    "deepseek": "https://api.deepseek.com/v1",
    "openrouter": base_of("openrouter.ai"),
    "together_ai": base_of("api.together.xyz"),
    "fireworks_ai": base_of("api.fireworks.ai"),
    "xai": base_of("api.x.ai"),
    "perplexity": "https://api.perplexity.ai",
    "gemini": base_of("generativelanguage.googleapis.com"),
    "cerebras": base_of("api.cerebras.ai"),
    "cohere": "https://api.cohere.ai/compatibility/v1",
    "cohere_chat": "https://api.cohere.ai/compatibility/v1",
    "deepinfra": "https://api.deepinfra.com/v1/openai",
    "nvidia_nim": "https://integrate.api.nvidia.com/v1",
    "sambanova": "https://api.sambanova.ai/v1",
    "moonshot": "https://api.moonshot.ai/v1",
    "github": "https://models.inference.ai.azure.com",
    "huggingface": "https://router.huggingface.co/v1",
    "dashscope": "https://dashscope.aliyuncs.com/compatible-mode/v1",
    "zai": "https://api.z.ai/api/paas/v4",
    "novita": "https://api.novita.ai/v3/openai",
    "nebius": "https://api.studio.nebius.ai/v1",
    "hyperbolic": "https://api.hyperbolic.xyz/v1",
    "lambda_ai": "https://api.lambda.ai/v1",
    "featherless_ai": "https://api.featherless.ai/v1",
    "nscale": "https://inference.api.nscale.com/v1",
    "baseten": "https://inference.baseten.co/v1",
    "volcengine": "https://ark.cn-beijing.volces.com/api/v3",
    "vercel_ai_gateway": "https://ai-gateway.vercel.sh/v1",
    "ollama": "http://127.0.0.1:11434/v1",
    "ollama_chat": "http://127.0.0.1:11434/v1",
    "lm_studio": "http://127.0.0.1:1234/v1",
    "azure": "${AZURE_API_BASE}/openai/v1",
    "azure_ai": "${AZURE_AI_API_BASE}/openai/v1",
    "hosted_vllm": "",
    "litellm_proxy": "",
    "openai_like": "",
    "custom_openai": "",
    "databricks": "",
    "cometapi": "",
    "docker_model_runner": "",
    "llamafile": "",
    "xinference": "",
    "infinity": "",
    "oobabooga": "",
    "snowflake": "",
}
"""Prefix of a model's name -> base URL; empty: only `api_base` tells."""
NATIVE = frozenset({"bedrock", "vertex_ai", "vertex_ai_beta", "sagemaker", "sagemaker_chat", "watsonx", "replicate"})
"""Prefixes of providers that speak only a protocol of their own, at any address."""
SAME = {"text-completion-openai": "openai", "custom_openai": "openai", "openai_like": "openai"}
KEYLESS = frozenset({"ollama", "ollama_chat", "lm_studio", "hosted_vllm"})
PLACEHOLDERS = frozenset({"", "none", "null", "empty", "dummy", "fake-key", "not-needed", "no-key", "anything"})
"""What people write as the key when the server needs none but LiteLLM insists."""
PROTOCOLS = {
    "openai": ("chat", "completions", "embeddings", "json", "responses"),
    "anthropic": ("chat", "messages"),
    "openrouter": ("chat", "completions", "embeddings", "responses", "messages"),
}
"""Of the providers that speak more than the default ones."""
VARIABLES = {
    "together_ai": "TOGETHERAI_API_KEY",
    "perplexity": "PERPLEXITYAI_API_KEY",
    "cohere_chat": "COHERE_API_KEY",
    "lambda_ai": "LAMBDA_API_KEY",
}
"""The variable that LiteLLM takes a key from, if that is not PREFIX_API_KEY."""


class Place(NamedTuple):
    """Where an entry goes."""

    prefix: str
    """LiteLLM's name for the provider."""
    model: str
    """The model's name at the provider."""
    base: str
    """Its base URL; empty if there is none."""
    lost: tuple[str, ...] = ()
    """Parts of `api_base` that no base URL here has."""

    @property
    def protocols(self) -> tuple[str, ...]:
        """What is spoken there; empty for the default protocols."""
        return PROTOCOLS.get(self.prefix, ()) if self.base == BASES[self.prefix] else ()

    @property
    def variable(self) -> str:
        """The variable that holds its key if the entry names none."""
        return VARIABLES.get(self.prefix) or f"{self.prefix.upper().replace('-', '_')}_API_KEY"


def place(given: Mapping[str, Any]) -> Place:
    """Where `litellm_params` lead."""
    prefix, model = _split(given)
    base, lost = _bare(str(given.get("api_base") or given.get("base_url") or ""))
    if prefix in NATIVE or prefix not in BASES:
        return Place(prefix, model, "")
    return Place(prefix, model, _completed(prefix, base) if base else BASES[prefix], lost)


def environment(text: str) -> str:
    """NAME of `os.environ/NAME`; empty for any other text."""
    found = re.fullmatch(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)", text)
    return found[1] if found else ""


def _split(given: Mapping[str, Any]) -> tuple[str, str]:
    """Prefix and model. Without a known prefix it is OpenAI's, Anthropic's, or a model of the server at `api_base`."""
    full, named = str(given["model"]), str(given.get("custom_llm_provider") or "")
    prefix, slash, model = full.partition("/")
    if named:
        prefix, model = named, full.removeprefix(f"{named}/")
    elif not slash:
        prefix, model = "anthropic" if full.startswith("claude") else "openai", full
    elif prefix not in BASES and prefix not in SAME and prefix not in NATIVE and given.get("api_base"):
        prefix, model = "openai", full
    prefix = SAME.get(prefix, prefix)
    return prefix, model.removeprefix("responses/") if prefix in ("openai", "azure") else model


def _completed(prefix: str, base: str) -> str:
    """A base URL completed with the path that LiteLLM appends by itself."""
    variable = environment(base)
    written = f"${{{variable}}}" if variable else base
    path = "" if variable else _path(base)
    if prefix.startswith("azure"):
        known = path in ("", "/openai", "/models") or path.startswith("/openai/deployments/")
        return f"{written.removesuffix(path)}/openai/v1" if known else written
    if prefix == "anthropic":
        written = written.removesuffix("/messages")
    if prefix in ("ollama", "ollama_chat", "anthropic") and not written.endswith("/v1"):
        return f"{written}/v1"
    return written


def _bare(url: str) -> tuple[str, tuple[str, ...]]:
    """A URL without the parts where credentials stand, and what these were: keys are not copied, nor can a base URL
    have any here."""
    url, *query = re.split(r"[?#]", url, maxsplit=1)
    scheme, mark, rest = url.partition("://")
    credentials, _, host = rest.rpartition("@") if "@" in rest.partition("/")[0] else ("", "", rest)
    lost = (*(["the query of its api_base"] if query else []), *(["the user in its api_base"] if credentials else []))
    return f"{scheme}{mark}{host}".rstrip("/"), lost


def _path(base: str) -> str:
    try:
        return urlsplit(base).path
    except ValueError:  # not a URL, which `validate` reports
        return base
