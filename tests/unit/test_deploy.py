"""What ``deploy/`` says is taken by those who read it: systemd, Compose, Kubernetes, and rostra's own command line. Nothing is run."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from rostra.config import load
from rostra.config.values import ALL_ROLES
from rostra.errors import ConfigError

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = sorted((DEPLOY / "docker").glob("compose*.yaml"))
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
KUBERNETES = ("1.30", "1.34")
EXPOSURE_MAX = 2.0
"""Of ``systemd-analyze security``, from 0 (confined) to 10 (unsafe)."""
OPEN_DOOR = re.compile("neither encrypted nor authenticated|this is the only server")
"""What rostra warns of, rightly, where there is no ``tls`` block yet, and where there is one server."""
HEALTH = {"/health/live", "/health/ready"}


def units(folder: Path) -> list[Path]:
    """The units, with a program that is there in the place of ours."""
    made = []
    for name in ("rostra.service", "rostra@.service", "rostra-roles.target"):
        text = (DEPLOY / "systemd" / name).read_text()
        (folder / name).write_text(text.replace("/opt/rostra/bin/rostra", shutil.which("true") or "/bin/true"))
        made.append(folder / name)
    return made


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_the_units_and_finds_them_confined(tmp_path: Path) -> None:
    agent, role, target = units(tmp_path)
    instances = [tmp_path / f"rostra@{name}.service" for name in ALL_ROLES]
    run = ["systemd-analyze", "verify", str(agent), *map(str, instances), str(target)]
    verified = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    ours = [line for line in verified.stderr.splitlines() if "rostra" in line]
    assert (verified.returncode, ours) == (0, [])
    for unit in (agent, role):
        run = ["systemd-analyze", "security", "--offline=yes", "--no-pager", f"--threshold={round(EXPOSURE_MAX * 10)}", str(unit)]
        rated = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
        assert rated.returncode == 0, rated.stdout[-300:] + rated.stderr


def test_the_role_unit_is_confined_as_the_agents_is() -> None:
    agent, role = (_service(DEPLOY / "systemd" / name) for name in ("rostra.service", "rostra@.service"))
    differing = {key for key in agent.keys() | role.keys() if agent.get(key) != role.get(key)}
    assert differing == {"execstart", "timeoutstopsec"}


def _service(path: Path) -> Mapping[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read(path)
    return parser["Service"]


@pytest.mark.parametrize("file", COMPOSE, ids=lambda path: path.name)
def test_compose_files_are_of_the_compose_specification(file: Path) -> None:
    schema = json.loads(resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text())
    jsonschema.validate(yaml.safe_load(file.read_text()), schema)


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("file", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_of_kubernetes_schemas(file: Path, version: str) -> None:
    for document in yaml.safe_load_all(file.read_text()):
        kubernetes_validate.validate(document, version, strict=True)


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in MANIFESTS:
        for document in yaml.safe_load_all(file.read_text()):
            template = document["spec"].get("template")
            for container in template["spec"]["containers"] if template else ():
                yield f"{file.name}: {document['metadata']['name']}/{container['name']}", container


@pytest.mark.parametrize(("name", "container"), list(containers()), ids=lambda value: value if isinstance(value, str) else "")
def test_probes_ask_what_the_metrics_door_answers(name: str, container: dict[str, Any]) -> None:
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("readinessProbe", "livenessProbe"):
        asked = container[probe]["httpGet"]
        assert asked["path"] in HEALTH
        assert "-metrics-addr=" in "".join(container["args"])
        assert any(argument.endswith(f":{ports[asked['port']]}") for argument in container["args"] if "-metrics-addr" in argument), name


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Every rostra command line in the folder, by where it stands."""
    for name in ("rostra.service", "rostra@.service"):
        line = _service(DEPLOY / "systemd" / name)["execstart"].split()[1:]
        for role in ALL_ROLES if "%i" in line else ("",):
            yield f"{name} {role}".strip(), [word.replace("%i", role) for word in line]
    for file in COMPOSE:
        for service, content in yaml.safe_load(file.read_text())["services"].items():
            yield f"{file.name}: {service}", content["command"]
    for name, container in containers():
        yield name, container["args"]
    words = re.search(r"^CMD (\[.*\])$", (DEPLOY / "docker" / "Dockerfile").read_text(), re.MULTILINE)
    assert words is not None
    yield "Dockerfile", json.loads(words[1])


VARIABLES = {"POD_NAME": "rostra-server-0", "POD_IP": "10.0.0.7", "HOST_IP": "10.0.0.8", "NODE_NAME": "machine-1", "NAMESPACE": "default"}


@pytest.mark.parametrize(("name", "line"), list(command_lines()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_line_is_one_that_rostra_takes(name: str, line: list[str], tmp_path: Path) -> None:
    (tmp_path / "rostra.hcl").write_text((DEPLOY / "systemd" / "server.hcl").read_text().replace("{{ GetPrivateIP }}", "10.0.0.1"))
    role, *words = line
    for variable, value in VARIABLES.items():
        words = [word.replace(f"$({variable})", value) for word in words]
    words = [word.replace("/etc/rostra.d", str(tmp_path)).replace("-bind=0.0.0.0", "-bind=10.0.0.7") for word in words]
    try:
        loaded = load(words, {}, role=None if role == "agent" else role)
    except ConfigError as error:
        raise AssertionError(f"{name}: {error}") from None
    assert [warning for warning in loaded.warnings if not OPEN_DOOR.search(warning)] == []
