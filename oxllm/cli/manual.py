"""Generates the manual page from the same help as docs/cli.md.

`python -m oxllm.cli.reference docs/cli.md` rewrites both; a test keeps them current. The format is man(7).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from oxllm import __version__
from oxllm.cli import main as oxllm

ENVIRONMENT = (
    ("OXLLM_CONFIG", "Configuration file, where --config does not name one."),
    ("OXLLM_URL, OXLLM_PORT", "The running gateway that commands mean."),
    ("OXLLM_ADMIN_TOKEN", "Its admin token; sent where --url or OXLLM_URL says, and nowhere else."),
    ("NO_COLOR, FORCE_COLOR", "Colours never, or always."),
    ("RUNTIME_DIRECTORY, XDG_RUNTIME_DIR", "Where run files are kept."),
)
FILES = (
    ("./config.toml, $XDG_CONFIG_HOME/oxllm/config.toml", "Configuration, if none is named."),
    ("$XDG_RUNTIME_DIR/oxllm/oxllm-PID.json, /run/oxllm/oxllm-PID.json", "Run file of a running gateway."),
)


def render() -> str:
    """The page as roff."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield f'.TH OXLLM 1 "" "oxllm {__version__}" "User Commands"'
    yield ".SH NAME"
    yield "oxllm \\- one OpenAI\\-compatible address in front of a failing\\-over pool of providers"
    yield ".SH SYNOPSIS"
    yield ".B oxllm\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGS\\fR]..."
    yield ".SH COMMANDS"
    context = click.Context(oxllm, info_name="oxllm")
    for name, command in _commands(oxllm, context, ""):
        yield from _command(name, command, context)
    for title, entries in (("ENVIRONMENT", ENVIRONMENT), ("FILES", FILES)):
        yield f".SH {title}"
        for term, meaning in entries:
            yield f".TP\n.B {_escaped(term)}\n{_escaped(meaning)}"
    yield ".SH SEE ALSO"
    yield "The pages in docs/: quickstart, configuration, failures, operations."


def _commands(group: click.Group, context: click.Context, path: str) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, "it lists only what it has"
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, context, f"{path}{name} ")


def _command(name: str, command: click.Command, context: click.Context) -> Iterator[str]:
    own = click.Context(command, info_name=name, parent=context, **oxllm.context_settings)
    usage = " ".join(command.collect_usage_pieces(own))
    yield f".SS {_escaped(f'oxllm {name} {usage}')}"
    for paragraph in re.split(r"\n{2,}", inspect.cleandoc(command.help or "").replace("\b\n", ".nf\n")):
        yield (
            f"{_escaped(paragraph)}\n.PP" if not paragraph.startswith(".nf") else f".nf\n{_escaped(paragraph[4:])}\n.fi"
        )
    for param in command.get_params(own):
        record = param.get_help_record(own)
        if record is not None and record[1]:  # some releases of click also have an empty one for arguments
            yield f".TP\n.B {_escaped(record[0])}\n{_escaped(record[1])}"


def _escaped(text: str) -> str:
    """Escape whatever roff would interpret."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)
