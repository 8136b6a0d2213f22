"""The files to deploy with say what the code does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from oxllm.config.compile import load
from oxllm.gateway.observe.metrics import FAMILIES
from oxllm.gateway.observe.telemetry import FLUSH_S
from oxllm.plan import Server

ROOT = Path(__file__).parents[2]
KUBERNETES = (ROOT / "contrib" / "kubernetes.yaml").read_text(encoding="utf-8")
UNIT = (ROOT / "contrib" / "systemd" / "oxllm.service").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_dashboard_shows_only_metrics_that_there_are() -> None:
    board = json.loads((ROOT / "contrib" / "grafana" / "oxllm.json").read_text(encoding="utf-8"))
    used: set[str] = set()
    for panel in board["panels"]:
        for target in panel["targets"]:
            found = re.findall(r"\b(?:oxllm|process)_\w+", target["expr"])
            assert found, target
            used.update(re.sub(r"_bucket$", "", name) for name in found)
    assert used <= set(FAMILIES)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_every_query_of_the_dashboard_is_of_the_chosen_job() -> None:
    board = json.loads((ROOT / "contrib" / "grafana" / "oxllm.json").read_text(encoding="utf-8"))
    for panel in board["panels"]:
        for target in panel["targets"]:
            metrics = re.findall(r"\b(?:oxllm|process)_\w+", target["expr"])
            assert target["expr"].count('{job=~"$job"}') == len(metrics), target["expr"]


RULES = ROOT / "contrib" / "prometheus" / "oxllm.rules.yml"
RULES_TEST = ROOT / "contrib" / "prometheus" / "oxllm.rules.test.yml"


def alerts() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def test_each_alert_says_how_bad_it_is_what_it_means_and_what_to_type() -> None:
    for name, rule in alerts().items():
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}, name
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert set(rule["annotations"]) == {"summary", "description"}, name
        assert "oxllm " in rule["annotations"]["description"], name
        used = {re.sub(r"_bucket$", "", metric) for metric in re.findall(r"\boxllm_\w+", rule["expr"])}
        assert used <= set(FAMILIES), name


def test_each_alert_has_a_case_where_it_fires_and_one_where_it_does_not() -> None:
    tests = yaml.safe_load(RULES_TEST.read_text(encoding="utf-8"))
    assert tests["rule_files"] == [RULES.name]
    cases: dict[str, set[bool]] = {name: set() for name in alerts()}
    for test in tests["tests"]:
        for case in test["alert_rule_test"]:
            cases[case["alertname"]].add(bool(case["exp_alerts"]))
    assert all(found == {True, False} for found in cases.values()), cases


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_agrees() -> None:
    for command in (["check", "rules", RULES.name], ["test", "rules", RULES_TEST.name]):
        done = subprocess.run(["promtool", *command], cwd=RULES.parent, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_groups_by_labels_that_there_are() -> None:
    board = (ROOT / "contrib" / "grafana" / "oxllm.json").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    labels = dict(re.findall(r"^\| `(\w+)`(?: \{(.*?)\})? \|", page, re.MULTILINE))
    found = re.findall(r"by \(([\w, ]+)\) \((?:rate|increase)\((\w+?)(?:_bucket)?\{[^}]*\}\[", board)
    assert len(found) > 5
    for grouped, name in found:
        assert set(grouped.split(", ")) - {"le"} <= set(labels[name].split(", ")), (name, grouped)


def test_the_document_asks_only_for_metrics_that_there_are() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    found = {re.sub(r"_bucket$", "", name) for name in re.findall(r"\boxllm_[a-z_]+[a-z]\b", page)}
    assert found <= {*FAMILIES, "oxllm_request"}


def test_the_kubernetes_config_is_a_good_one(tmp_path: Path) -> None:
    text = re.search(r"config\.toml: \|\n(.*?)\n---", KUBERNETES, re.DOTALL)
    assert text is not None
    file = tmp_path / "config.toml"
    file.write_text(textwrap.dedent(text[1]))
    secrets = dict.fromkeys(("CLIENT_KEY", "ADMIN_TOKEN", "ALPHA_KEY"), "x")
    loaded = load(str(file), secrets)
    assert loaded.plan is not None, loaded.errors
    assert all(name in KUBERNETES.split("stringData:")[1] for name in secrets)
    grace = re.search(r"terminationGracePeriodSeconds: (\d+)", KUBERNETES)
    assert grace is not None
    before = re.search(r"preStop: .*sleep, \"(\d+)\"", KUBERNETES)
    assert before is not None
    server = loaded.plan.server
    assert int(grace[1]) > int(before[1]) + server.drain_delay + server.drain_timeout + FLUSH_S
    assert server.health_allow, "the probes do not come from this machine"


def test_the_kubernetes_example_keeps_one_replica_and_its_memory() -> None:
    for words in ("replicas: 2", "kind: PodDisruptionBudget", "minAvailable: 1", "limits: { memory: 96Mi }"):
        assert words in KUBERNETES


def test_the_run_file_has_a_directory_that_only_its_user_can_write_to() -> None:
    (pod,) = (part for part in yaml.safe_load_all(KUBERNETES) if part["kind"] == "Deployment")
    spec = pod["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    (mount,) = (mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "run")
    (place,) = (entry["value"] for entry in container["env"] if entry["name"] == "RUNTIME_DIRECTORY")
    assert place.startswith(f"{mount}/"), "an emptyDir itself is anybody's"
    release = (ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8")
    assert f"--tmpfs {mount}:uid={spec['securityContext']['runAsUser']},mode=700 " in release


def test_systemd_waits_longer_than_a_drain_takes() -> None:
    found = re.search(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)
    assert found is not None
    assert int(found[1]) > Server().drain_delay + Server().drain_timeout + FLUSH_S


def test_no_example_opens_the_operators_routes() -> None:
    for text in (KUBERNETES, UNIT, DOCKERFILE):
        assert "admin_allow" not in text


def test_the_container_has_the_openssl_for_which_the_memory_limits_are_promised() -> None:
    # What is compiled on one release of Debian needs its libraries, so both stages stand on the same.
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == [
        "python:3.13-${DEBIAN}",
        "python:3.13-slim-${DEBIAN}",
    ]
    assert "ARG DEBIAN=bookworm" in DOCKERFILE.partition("FROM")[0], "trixie has OpenSSL 3.5"


def test_the_container_compiles_all_and_runs_as_nobody_in_particular() -> None:
    assert "STOPSIGNAL SIGTERM" in DOCKERFILE
    assert DOCKERFILE.index("compileall") < DOCKERFILE.index("USER 10001") < DOCKERFILE.index("ENTRYPOINT")
