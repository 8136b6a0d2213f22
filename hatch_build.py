"""Compiles the hot half of oxllm by mypyc where there is a C compiler. The same files run without it, and do the same.

    pip install .                             compiled where there is a compiler, else pure Python
    OXLLM_COMPILE=0 pip install .             pure Python
    OXLLM_COMPILE=required python -m build    compiled, or no wheel (the release)
    pip install --editable .                  pure Python: what is compiled would hide the files that one edits
    python hatch_build.py SOURCE TREE         a copy of it in TREE, compiled in place (tox -e py311-compiled)

Modules of one group call each other without the interpreter between them, so the core and what stands between it and
the sockets are one. Left out is what does not gain (the operator's side), what asyncio's classes are bases of, and what
msgspec decodes into (`oxllm/core/shape.py` says why).
"""

from __future__ import annotations

import atexit
import os
import platform
import re
import shlex
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

PLACES = (
    "",
    "core",
    "core/budget",
    "core/protocols",
    "core/reading",
    "core/request",
    "core/routing",
    "core/wire",
    "gateway",
    "gateway/client",
    "gateway/observe",
    "gateway/reactor",
    "gateway/upstream",
)
LEFT_OUT = {
    "core": {"known", "native", "shape"},
    "core/protocols": {"asked"},
    "core/request": {"step"},
    "core/routing": {"owners"},  # compiled, the pairs that it keeps would be made anew for each who asks
    "gateway/client": {"hangup"},
    "gateway/upstream": {"dial", "failure", "proxy", "resolver"},
}
"""Of these places all is compiled but what is here, packages' own files and `*_shapes`."""
CHOSEN = {
    "": {"words"},
    "core/reading": {"echo", "hints", "outcome", "rules"},
    "gateway": {
        "access",
        "clock",
        "cors",
        "dispatch",
        "life",
        "link",
        "relay",
        "runtime",
        "service",
        "sessions",
        "transport",
        "upstream_request",
        "wheel",
    },
    "gateway/observe": {"ended", "journal", "lines", "log", "records"},
    "gateway/reactor": {"connect", "listener", "reactor", "stream", "watched"},
}
"""Of these only what is here."""
SIZE = "s"
"""What the C compiler optimizes for. With `-Os` a request takes some 6 % more instructions than with `-O2`, and at 500
streams half a megabyte less of the library is in memory."""
FLAGS = ("-fvisibility=hidden", "-fno-semantic-interposition", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables")
"""For the C compiler. Nobody else looks for what our modules call in each other, so these calls are direct: a tenth
less code. And nothing unwinds C: without the tables for it the library is a tenth smaller: 0.1 MB less in memory."""
NOT_COPIED = (".git", ".tox", ".venv", ".*_cache", ".hypothesis", "__pycache__", "build", "dist", "*.so")
NEEDED = ["mypy[mypyc]>=1.18", "setuptools>=68", "pybind11>=2.10", "httptools>=0.6.4", "msgspec>=0.21"]
"""setuptools compiles one file after another, and pybind11 has it done on all cores. httptools and msgspec are there
for their types: without them it does not even check."""


def wanted() -> str:
    """Whether to compile: `no`, `if possible`, or `required`. Raises ValueError for what OXLLM_COMPILE cannot be."""
    asked = os.environ.get("OXLLM_COMPILE") or "1"
    if asked not in ("0", "1", "required"):
        raise ValueError(f"OXLLM_COMPILE is 0, 1 or required, not {asked!r}")
    if asked == "1":
        return "if possible" if can_compile() else "no"
    return "no" if asked == "0" else "required"


def can_compile() -> bool:
    """A look at what there is, before anything is downloaded for it: CPython, its headers, and a compiler for them."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    return platform.python_implementation() == "CPython" and headers().exists() and shutil.which(compiler) is not None


def headers() -> Path:
    """The first of CPython's headers."""
    return Path(sysconfig.get_path("include")) / "Python.h"


def modules(root: Path) -> list[str]:
    """The files that are compiled, relative to `root`."""
    found = []
    for place in PLACES:
        for file in sorted((root / "oxllm" / place).glob("*.py")):
            name = file.stem
            chosen = name in CHOSEN[place] if place in CHOSEN else name not in LEFT_OUT.get(place, set())
            if chosen and not name.startswith("__") and not name.endswith("_shapes"):
                found.append(file.relative_to(root).as_posix())
    return found


def compile_in(root: Path) -> list[Path]:
    """Compile in place; what was made. Raises whatever mypyc, setuptools and the C compiler do."""
    from mypyc.build import mypycify
    from pybind11.setup_helpers import ParallelCompile
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    before = Path.cwd()
    os.chdir(root)
    try:
        chosen = modules(root)
        extensions = mypycify(
            chosen, only_compile_paths=chosen, opt_level=SIZE, debug_level="0", multi_file=True, group_name="oxllm"
        )
        if os.name == "posix":
            set_apart(Path("build/__native_internal_oxllm.h"))
            for extension in extensions:
                extension.extra_compile_args += FLAGS
        command = build_ext(Distribution({"name": "oxllm", "ext_modules": extensions}))
        command.inplace, command.build_temp = False, "build/temp"
        command.build_lib, command.parallel = ".", os.cpu_count()
        command.ensure_finalized()
        with ParallelCompile():
            command.run()
    finally:
        os.chdir(before)
    return [*root.glob("*.so"), *(root / "oxllm").rglob("*.so")]


def set_apart(header: Path) -> None:
    """Have the C compiler put what modules do once, when they are loaded, apart from what they do for each request.

    A sixth of the code, which would stay in memory for its neighbours' sake: the kernel maps 64 KB around what is used.
    """
    once = re.compile(r"^(extern char CPyDef_\w+___top_level__\(void\));$", re.MULTILINE)
    header.write_text(once.sub(r"\1 __attribute__((cold));", header.read_text("utf-8")), "utf-8")


def copy(source: Path, tree: Path) -> None:
    """The repository, without what was built or installed in it. An old copy goes first."""
    for old in tree.iterdir() if tree.exists() else ():
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    shutil.copytree(source, tree, ignore=shutil.ignore_patterns(*NOT_COPIED), dirs_exist_ok=True)


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # a copy is made without hatchling
    pass
else:

    class Compiled(BuildHookInterface):  # type: ignore[type-arg]
        """Puts the compiled modules into the wheel, beside the files that they were made of."""

        PLUGIN_NAME = "custom"

        def dependencies(self) -> list[str]:
            """What the build needs beside hatchling."""
            return [] if wanted() == "no" else NEEDED

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Before the wheel is made."""
            how = wanted()
            if how == "no" or version == "editable":
                return
            root, tree = Path(self.root), self._tree()
            try:
                shutil.copytree(root / "oxllm", tree / "oxllm", ignore=shutil.ignore_patterns(*NOT_COPIED))
                shutil.copy(root / "pyproject.toml", tree)
                made = compile_in(tree)
            except (Exception, SystemExit) as error:
                if how == "required":
                    raise
                self.app.display_warning(f"not compiled, so this is pure Python: {error}")
                return
            build_data["pure_python"], build_data["infer_tag"] = False, True
            build_data["force_include"].update({str(file): file.relative_to(tree).as_posix() for file in made})

        def _tree(self) -> Path:
            """A directory to compile in, which is gone when this process ends: the wheel is made of what is there."""
            directory = tempfile.mkdtemp(prefix="oxllm-build-")
            atexit.register(shutil.rmtree, directory, ignore_errors=True)
            return Path(directory)


if __name__ == "__main__":
    copy(Path(sys.argv[1]), Path(sys.argv[2]))
    print(*compile_in(Path(sys.argv[2])), sep="\n")
