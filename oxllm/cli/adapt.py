"""`oxllm adapt`: converts another gateway's config."""

from __future__ import annotations

import sys
from typing import Any

import click

from oxllm.cli.options import FILE, Failure


@click.command(short_help="Write what a LiteLLM config means here.")
@click.argument("file", type=FILE)
@click.option("-o", "--output", metavar="FILE", type=FILE, help="Where to write it. Default: the terminal.")
@click.option("--force", is_flag=True, help="Write over an existing file.")
def command(file: str, output: str | None, force: bool) -> None:
    """Write the configuration that a LiteLLM config (YAML or JSON; - is what is piped in) means.

    What could not be carried over stands in comments on top, and on stderr. Keys that stand in the file are not
    copied: a variable takes their place. Exit: 0, 1 when the file cannot be read as LiteLLM's, or names no provider
    that could be carried over.
    """
    from oxllm.cli.init import write_new
    from oxllm.config.litellm import adapt, render

    adapted = adapt(_parsed(file))
    for lost in adapted.lost:
        click.echo(f"not carried over: {lost}", err=True)
    if not adapted.providers:
        raise Failure(f"no provider of {file} could be carried over")
    text = render(adapted, file)
    if output is None or output == "-":
        click.echo(text, nl=False)
    else:
        write_new(output, text, force)
        click.echo(f"wrote {output}; next: `oxllm validate -c {output} --probe`")
    for variable in adapted.variables:
        click.echo(f"set {variable} to the key that stands in {file}", err=True)


def _parsed(file: str) -> dict[str, Any]:
    """The parsed file. Raises Failure if it is not a LiteLLM config."""
    import yaml

    from oxllm.config.files import check_nesting, read_once
    from oxllm.config.problem import BadValueError

    try:
        config = yaml.safe_load(sys.stdin.buffer.read() if file == "-" else read_once(file))
        if isinstance(config, dict):
            check_nesting(config)
    except BadValueError as bad:
        raise Failure(f"{file} {bad.args[0]}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f":{mark.line + 1}" if mark else ""
        raise Failure(f"{file}{where}: not valid YAML: {error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError):
        raise Failure(f"{file}: not valid YAML") from None
    if not isinstance(config, dict) or not isinstance(config.get("model_list"), list):
        raise Failure(f"{file}: not a LiteLLM config: it has no model_list")
    return config
