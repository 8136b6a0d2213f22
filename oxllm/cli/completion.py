"""`oxllm completion`: shell completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a SHELL.

    \b
    bash:  eval "$(oxllm completion bash)"
    zsh:   eval "$(oxllm completion zsh)"
    fish:  oxllm completion fish | source
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows the three"
    script = kind(ctx.find_root().command, {}, "oxllm", "_OXLLM_COMPLETE")
    click.echo(script.source_template % script.source_vars())
