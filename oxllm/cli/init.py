"""`oxllm init`: a configuration to start from."""

from __future__ import annotations

import os

import click

from oxllm.cli.options import FILE, Failure

STARTER = """\
# oxllm configuration. Every key: docs/configuration.md, or `oxllm schema`.
# Check it with `oxllm validate`, run it with `oxllm serve`.

[server]
host = "127.0.0.1"
port = 8080

# Providers: OpenAI-compatible servers. ${NAME} is taken from the environment,
# so that no key stands in this file.

[[providers]]
name = "openai"
base_url = "https://api.openai.com/v1"
api_key = "${OPENAI_API_KEY}"
protocols = ["chat", "completions", "embeddings", "json", "responses"]
models = ["gpt-4o-mini"]

[[providers]]
name = "openrouter"
enabled = false               # true, once OPENROUTER_API_KEY is set
base_url = "https://openrouter.ai/api/v1"
api_key = "${OPENROUTER_API_KEY}"
protocols = ["chat", "completions", "embeddings", "responses", "messages"]
models = ["openai/gpt-4o-mini"]

[[providers]]
name = "anthropic"
enabled = false               # true, once ANTHROPIC_API_KEY is set
base_url = "https://api.anthropic.com/v1"
api_key = "${ANTHROPIC_API_KEY}"
protocols = ["chat", "messages"]

[[providers]]
name = "local"                # for example Ollama; needs no key
base_url = "http://127.0.0.1:11434/v1"
protocols = ["chat", "completions", "embeddings", "responses", "messages"]
models = ["llama3.2"]

# Virtual models: the names that clients send as `model`. The first target is
# asked first; when it fails, the next one answers and the client sees nothing.

[virtual_models]
smart = [
  { provider = "openai", model = "gpt-4o-mini" },
  { provider = "openrouter", model = "openai/gpt-4o-mini" },
  { provider = "local", model = "llama3.2" },
]

# Agents bring names of their own: Codex asks for gpt-... over `responses`,
# Claude Code for claude-... over `messages`. A `*` in a name stands for any
# text; as a target's model, for the name that was asked for. See docs/agents.md.

"gpt-*" = [
  { provider = "openai", model = "*" },
  { provider = "openrouter", model = "openai/gpt-5.1" },
  { provider = "local", model = "llama3.2" },
]
# Once anthropic or openrouter is switched on:
#
# "claude-*" = [
#   { provider = "anthropic", model = "*" },
#   { provider = "openrouter", model = "anthropic/claude-sonnet-4.5" },
#   { provider = "local", model = "llama3.2" },
# ]
"""


@click.command(short_help="Write a configuration to start from.")
@click.argument("file", type=FILE, default="config.toml")
@click.option("--force", is_flag=True, help="Write over an existing file.")
def command(file: str, force: bool) -> None:
    """Write a configuration to start from to FILE (config.toml), or for - to the terminal."""
    if file == "-":
        click.echo(STARTER, nl=False)
        return
    write_new(file, STARTER, force)
    click.echo(f"wrote {file}; next: set OPENAI_API_KEY, then `oxllm validate --probe` and `oxllm serve`")


def write_new(file: str, text: str, force: bool) -> None:
    """Write a new file, or with `force` overwrite it. Raises Failure if it exists or cannot be written; a new one is
    then removed, since half of a file would be taken for the whole."""
    try:
        with open(file, "w" if force else "x", encoding="utf-8") as out:
            try:
                out.write(text)
                out.flush()
            except OSError:
                if not force:
                    os.unlink(file)
                raise
    except FileExistsError:
        raise Failure(f"{file} exists already; write over it with --force") from None
    except OSError as error:
        raise Failure(f"{file} cannot be written: {(error.strerror or 'unknown error').lower()}") from None
