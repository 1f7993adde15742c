"""The built wheel, alone in an empty environment: it runs, and its contracts are typed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path

import pytest

from .harness.deployment import dev_agent
from .harness.pressure import stretched
from .harness.program import Program

pytestmark = [pytest.mark.process, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]

TYPED = """\
import grpc

from rostra.v1.catalog_pb2 import ListNodesRequest
from rostra.v1.catalog_pb2_grpc import CatalogServiceStub


def names(channel: grpc.Channel) -> list[str]:
    return [node.name for node in CatalogServiceStub(channel).ListNodes(ListNodesRequest()).nodes]
"""


@dataclass(frozen=True)
class Installed:
    """A wheel, and the environment that it is installed in."""

    wheel: Path
    environment: Path

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    def run(self, code: str) -> str:
        """Standard output of a program there, which must succeed."""
        return must([str(self.python), "-I", "-c", code], self.environment)


def must(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=stretched(280), check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Binary packages only: there need be no compiler."""
    folder = tmp_path_factory.mktemp("wheel")
    isolation = ["--no-isolation"] if importlib.util.find_spec("hatchling") else []
    must([sys.executable, "-m", "build", "--wheel", *isolation, f"--outdir={folder}", str(ROOT)], folder)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    must([sys.executable, "-m", "venv", "--without-pip", str(environment)], folder)
    into = ["--python", str(environment / "bin" / "python")]
    must(
        [sys.executable, "-m", "pip", *into, "install", "--quiet", "--only-binary=:all:", "--disable-pip-version-check", str(wheel)], folder
    )
    return Installed(wheel, environment)


def test_the_wheel_holds_the_product_and_nothing_else(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = wheel.namelist()
        metadata = Parser().parsestr(wheel.read(next(name for name in names if name.endswith(".dist-info/METADATA"))).decode())
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"rostra"}
    assert "rostra/__init__.py" not in names
    for root in ("services", "gateway", "proto"):
        for module in (ROOT / root).rglob("rostra/**/*.py"):
            assert str(module.relative_to(ROOT / root)) in names
    assert metadata["License-Expression"] == "Apache-2.0"
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_nothing_of_the_development_environment_is_needed(installed: Installed) -> None:
    packages = installed.run("import importlib.metadata as m; print(*sorted(d.name.lower() for d in m.distributions()))").split()
    assert "rostra" in packages
    for name in ("grpcio-tools", "mypy", "mypy-protobuf", "pytest", "httpx", "hatchling", "setuptools", "pip"):
        assert name not in packages


def test_the_installed_command_runs_a_dev_agent(installed: Installed, tmp_path: Path) -> None:
    agent = dev_agent(tmp_path, node="installed")
    agent.program = Program([str(installed.environment / "bin" / "rostra")])
    try:
        agent.start()
        assert "installed" in agent.cli("members")
        assert agent.only.errors == []
    finally:
        agent.stop()


def test_every_contract_is_imported_with_its_typed_stubs(installed: Installed) -> None:
    contracts = sorted(path.stem for path in (ROOT / "proto/rostra/v1").glob("*.proto"))
    installed.run("\n".join(f"import rostra.v1.{name}_pb2, rostra.v1.{name}_pb2_grpc" for name in contracts))
    folder = Path(installed.run("import rostra.v1; print(rostra.v1.__path__[0])").strip())
    assert (folder / "py.typed").exists()
    assert {f"{name}_pb2{kind}.pyi" for name in contracts for kind in ("", "_grpc")} <= {path.name for path in folder.glob("*.pyi")}


def test_a_type_checker_knows_the_contracts_of_the_installed_package(installed: Installed, tmp_path: Path) -> None:
    """With the stubs of grpcio and protobuf beside it, as every type-checked gRPC program has them."""
    here, there = Path(sysconfig.get_path("purelib")), Path(installed.run("import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    for stubs in ("grpc-stubs", "google-stubs"):
        (there / stubs).symlink_to(here / stubs)

    def check(code: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "client.py").write_text(code)
        command = [sys.executable, "-m", "mypy", "--strict", f"--python-executable={installed.python}", "--config-file=", "client.py"]
        return subprocess.run(
            command, cwd=tmp_path, env={"PATH": os.defpath}, capture_output=True, text=True, timeout=stretched(120), check=False
        )

    good = check(TYPED)
    assert good.returncode == 0, good.stdout + good.stderr
    bad = check(TYPED.replace("node.name", "node.nonsense"))
    assert bad.returncode == 1
    assert '"Node" has no attribute "nonsense"' in bad.stdout
