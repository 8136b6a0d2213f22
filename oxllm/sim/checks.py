"""Checks the options of `oxllm sim`, before anything runs, for contradictions and for options without effect."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from oxllm.sim.options import Options
from oxllm.sim.serve.files import check_new, check_writable

_REHEARSING = ("models", "rps", "streams", "speed", "report", "beside", "junit", "try_advice", "as_json", "grade")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[\x20-\x7e]+")
_SERVING = ("script", "before", "tls", "write_config", "force", "host", "port")
"""Parameters that apply to only one kind of run."""


def check(context: click.Context, asked: Options) -> None:
    """Raises UsageError."""
    if sum(played is not None for played in (asked.chaos, asked.scene, asked.exhibit, asked.script)) > 1:
        raise click.UsageError("--chaos, --scene, --exhibit and --script are different runs; give one of them")
    if asked.blackout and asked.chaos is None and (not asked.rehearses or asked.scene or asked.exhibit):
        raise click.UsageError("--blackout lifts a rule of --chaos; give --chaos too")
    if asked.fate is not None and asked.seed is not None:
        raise click.UsageError("--fate names a seed itself; leave out --seed")
    _check_against(asked)
    _check_before(asked)
    _check_useless(context, asked)
    if asked.fate is None and not asked.explain:
        for file in filter(None, (asked.report, asked.junit)):
            check_writable(file)
        if asked.write_config is not None:
            check_new(asked.write_config, asked.force)


def _check_against(asked: Options) -> None:
    """Options for a gateway that is not ours."""
    if asked.config is not None and asked.against is not None:
        raise click.UsageError("--rehearse starts a gateway, --against asks one that is there; give one of them")
    if asked.against is not None and not asked.models:
        raise click.UsageError("--against: give --model NAME, a model that this gateway serves from the providers")
    if asked.against is not None and not _is_base_url(asked.against):
        raise click.UsageError(f"--against {asked.against!r}: write its base URL, such as http://127.0.0.1:4000/v1")
    if asked.against is not None and asked.try_advice:
        raise click.UsageError("--try-advice: only for --rehearse CONFIG, since advice is about its keys")
    if asked.key_env is not None and asked.against is None:
        raise click.UsageError("--key-env: only for --against URL")
    if asked.header and asked.against is None:
        raise click.UsageError("--header: only for --against URL")
    for header in asked.header:
        if not _HEADER.fullmatch(header):
            raise click.UsageError(f"--header {header!r}: write 'NAME: VALUE'")


def _check_before(asked: Options) -> None:
    """Options for a real provider."""
    if asked.before is None:
        return
    if not _is_base_url(asked.before):
        raise click.UsageError(f"--before {asked.before!r}: write its base URL, such as https://api.openai.com/v1")
    if asked.script is not None or asked.write_config is not None:
        raise click.UsageError("--before has answers and models of its own; leave out --script and --write-config")


def _is_base_url(text: str) -> bool:
    url = urlsplit(text)
    return url.scheme in ("http", "https") and bool(url.hostname) and not url.query and not url.username


def _check_useless(context: click.Context, asked: Options) -> None:
    """Options that are for the other kind of run."""
    useless = set(_SERVING if asked.rehearses else _REHEARSING)
    if asked.against is not None:
        useless.discard("port")
    given = [name for name in useless if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    if not given:
        return
    options = ", ".join(param.opts[0] for param in context.command.params if param.name in given)
    if not asked.rehearses:
        raise click.UsageError(f"{options}: only for a rehearsal; give --rehearse CONFIG too")
    raise click.UsageError(f"{options}: not for a rehearsal; leave {'it' if len(given) == 1 else 'them'} out")
