"""The same checks on a real Consul 1.8.7 and on rostra: the same statuses, and the same words where people read them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ...process.harness.deployment import Deployment, dev_agent
from ...process.harness.program import Program
from ...process.harness.running import Running
from ...process.harness.waiting import eventually
from . import servers

pytestmark = [pytest.mark.interop("consul"), pytest.mark.process]

NODE = "Alpha"
SCRIPTS = ("-enable-script-checks",)


@dataclass(frozen=True)
class Both:
    """The two agents."""

    consul: Deployment
    rostra: Deployment

    def put(self, path: str, body: Any = None) -> tuple[int, int]:
        return self.consul.api.put(path, body).status_code, self.rostra.api.put(path, body).status_code

    def checks(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.consul.api.get("/v1/agent/checks").json(), self.rostra.api.get("/v1/agent/checks").json()


class _Consul(Deployment):
    """A Consul in a deployment's place: it has the same flags but for those that are rostra's own."""

    def __init__(self, folder: Path, like: Deployment) -> None:
        super().__init__(folder, like.node, like.ports, like.commands)
        self.program = Program([shutil.which("consul") or "consul"], {"DOCKER_HOST": os.environ["DOCKER_HOST"]})

    def start(self, within_s: float = 30.0) -> None:
        self.running["agent"] = Running(self.program, self.folder, self.commands["agent"])
        eventually(lambda: self.api.get(f"/v1/health/node/{self.node}").json(), within_s, "Consul serves")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Where the servers are, by name."""
    sock = tmp_path_factory.mktemp("docker") / "docker.sock"
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", f"unix://{sock}")
        stack.enter_context(servers.docker(sock))
        ports = {name: stack.enter_context(getattr(servers, name)()) for name in ("web", "raw", "grpc_health", "silent", "closed")}
        yield {name: f"{servers.HOST}:{port}" for name, port in ports.items()}


@pytest.fixture(scope="module")
def both(require: Callable[..., None], places: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    require("consul")
    rostra = dev_agent(tmp_path_factory.mktemp("rostra"), *SCRIPTS, node=NODE)
    rostra.program = Program(rostra.program.command, {**rostra.program.environment, "DOCKER_HOST": os.environ["DOCKER_HOST"]})
    consul = _Consul(folder := tmp_path_factory.mktemp("consul"), dev_agent(folder, *SCRIPTS, node=NODE))
    try:
        consul.start()
        rostra.start()
        yield Both(consul, rostra)
    finally:
        consul.stop()
        rostra.stop()


SH = ["sh", "-c"]
CODES = ("200", "201", "204", "299", "304", "404", "429", "500", "302/200", "302/500", "303/429")
RAW = ("cut", "nothing", "to-close", "chunked", "continue", "hangs")
CHECKS: dict[str, dict[str, Any]] = {
    **{f"http {code}": {"HTTP": "http://{web}/code/" + code} for code in CODES},
    "http slow": {"HTTP": "http://{web}/slow", "Timeout": "500ms"},
    "http refused": {"HTTP": "http://{closed}/x"},
    "http refused by name": {"HTTP": "http://localhost:{closed_port}/x"},
    "http silent": {"HTTP": "http://{silent}/", "Timeout": "500ms"},
    "http no scheme": {"HTTP": "foo"},
    "http ftp": {"HTTP": "ftp://127.0.0.1/"},
    "http big": {"HTTP": "http://{web}/big"},
    "http big, little kept": {"HTTP": "http://{web}/big", "OutputMaxSize": 100},
    "http binary": {"HTTP": "http://{web}/binary"},
    "http post": {"HTTP": "http://{web}/post", "Method": "POST", "Body": "hello"},
    "http head": {"HTTP": "http://{web}/head", "Method": "HEAD"},
    **{f"http {path}": {"HTTP": "http://{raw}/" + path, "Timeout": "500ms"} for path in RAW},
    "tcp": {"TCP": "{web}"},
    "tcp refused": {"TCP": "{closed}"},
    "tcp refused by name": {"TCP": "localhost:{closed_port}"},
    "tcp no port": {"TCP": "127.0.0.1"},
    **{f"script {code}": {"Args": [*SH, f"echo out; echo err >&2; exit {code}"]} for code in (0, 1, 2, 255)},
    "script killed": {"Args": [*SH, "kill -9 $$"]},
    "script slow": {"Args": [*SH, "echo before; sleep 5"], "Timeout": "1s"},
    "script not there": {"Args": ["/no/such"]},
    "script not on the path": {"Args": ["no-such-program"]},
    "script big": {"Args": [*SH, "seq 1 3000"]},
    "script big, little kept": {"Args": [*SH, "seq 1 3000"], "OutputMaxSize": 50},
    "script empty": {"Args": ["true"]},
    "grpc": {"GRPC": "{grpc_health}"},
    "grpc well": {"GRPC": "{grpc_health}/well"},
    "grpc sick": {"GRPC": "{grpc_health}/sick"},
    "grpc unknown": {"GRPC": "{grpc_health}/unknown"},
    "grpc silent": {"GRPC": "{silent}", "Timeout": "500ms"},
    "docker gone": {"DockerContainerID": "gone", "Args": ["a"]},
}  # fmt: skip
OTHER_WORDS: dict[str, dict[str, Any]] = {
    "http no name": {"HTTP": "http://nobody.invalid/"},
    "http bad": {"HTTP": "http://[bad/"},
    "http loop": {"HTTP": "http://{raw}/loop"},
    "https to http": {"HTTP": "https://{web}/"},
    "tcp no name": {"TCP": "nobody.invalid:1"},
    "grpc refused": {"GRPC": "{closed}", "Timeout": "1s"},
    "grpc to http": {"GRPC": "{web}", "Timeout": "1s"},
    **{f"docker {code}": {"DockerContainerID": f"c{code}", "Args": ["a", "b c"]} for code in (0, 1, 2)},
}
"""Where only the status is the same: Go's and Python's libraries explain failures in their own ways, and 1.8.7 shows Docker's frames."""


@pytest.fixture(scope="module")
def checked(both: Both, places: Mapping[str, str]) -> Both:
    """Both, after all checks have run."""
    filled = {**places, "closed_port": places["closed"].partition(":")[2]}
    for name, check in {**CHECKS, **OTHER_WORDS}.items():
        body = {key: value.format(**filled) if isinstance(value, str) else value for key, value in check.items()}
        assert both.put("/v1/agent/check/register", {"Name": name, "Interval": "1s", **body}) == (200, 200), name
    silent = {"script killed", "script empty"}

    def have_run() -> bool:
        return all(check["Output"] or name in silent for checks in both.checks() for name, check in checks.items())

    eventually(have_run, 20.0, "all checks have run")
    eventually(lambda: all(checks["script empty"]["Status"] == "passing" for checks in both.checks()), 5.0)
    return both


def assert_alike(both: Both, name: str, shown: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Both run it every second: a moment in which the machine was slow passes, and what differs stays."""
    theirs: dict[str, Any] = {}
    ours: dict[str, Any] = {}

    def are_alike() -> bool:
        nonlocal theirs, ours
        theirs, ours = (shown(checks[name]) for checks in both.checks())
        return ours == theirs

    with contextlib.suppress(AssertionError):
        eventually(are_alike, 5.0)
    assert ours == theirs


def without_what_differs(check: dict[str, Any]) -> dict[str, Any]:
    return {**check, "Output": re.sub(r"(?i)consul", "x", check["Output"])}


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_says_the_same(checked: Both, name: str) -> None:
    assert_alike(checked, name, without_what_differs)


@pytest.mark.parametrize("name", OTHER_WORDS)
def test_a_check_comes_to_the_same_in_other_words(checked: Both, name: str) -> None:
    assert_alike(checked, name, lambda check: {**check, "Output": ""})


@pytest.fixture
def clean(both: Both) -> Iterator[Both]:
    """Both with no services and checks, before and after."""

    def clear() -> None:
        for deployment in (both.consul, both.rostra):
            for check_id in deployment.api.get("/v1/agent/checks").json():
                deployment.api.put(f"/v1/agent/check/deregister/{check_id}")
            for service_id in deployment.api.get("/v1/agent/services").json():
                deployment.api.put(f"/v1/agent/service/deregister/{service_id}")

    clear()
    yield both
    clear()


def look(both: Both, *check_ids: str) -> list[tuple[Any, ...]]:
    """What both say of these checks; asserts that it is the same."""
    theirs, ours = both.checks()
    fields = ("Status", "Output", "Notes", "Type")
    shown = [[tuple(checks[name][field] for field in fields) for name in check_ids] for checks in (theirs, ours)]
    assert shown[1] == shown[0]
    return shown[0]


def test_ttl_checks_are_told_alike_and_expire_alike(clean: Both) -> None:
    for name in ("told", "untold"):
        assert clean.put("/v1/agent/check/register", {"Name": name, "TTL": "1s"}) == (200, 200)
    assert clean.put("/v1/agent/check/warn/told?note=" + "x" * 5000) == (200, 200)
    assert len(look(clean, "told", "untold")[0][1]) == 4130
    eventually(lambda: all("TTL expired" in check["Output"] for checks in clean.checks() for check in checks.values()), 5.0)
    look(clean, "told", "untold")


def test_registering_again_keeps_the_state_alike(clean: Both) -> None:
    for status in ("critical", "warning"):
        clean.put("/v1/agent/service/register", {"Name": "web", "Checks": [{"TTL": "60s"}, {"TTL": "60s", "Name": "n", "Status": status}]})
        clean.put("/v1/agent/check/pass/service:web:1?note=well")
        look(clean, "service:web:1", "service:web:2")


def test_aliases_follow_alike(clean: Both) -> None:
    def settles(*expected: tuple[str, str]) -> None:
        def same() -> bool:
            return all(
                [(checks[each]["Status"], checks[each]["Output"]) for each in ("here", "there")] == list(expected)
                for checks in clean.checks()
            )

        eventually(same, 10.0, f"{expected}; it is {clean.checks()}")

    for name, node in (("here", {}), ("there", {"AliasNode": NODE})):
        check = {"Name": name, "CheckID": name, "AliasService": "web", **node}
        assert clean.put("/v1/agent/service/register", {"Name": f"front-{name}", "Check": check}) == (200, 200)
    clean.put("/v1/agent/service/register", {"Name": "web", "Check": {"TTL": "60s", "Status": "passing"}})
    settles(("passing", "All checks passing."), ("passing", "All checks passing."))
    for verb, status in (("warn", "warning"), ("fail", "critical")):
        clean.put(f"/v1/agent/check/{verb}/service:web?note=hmm")
        failing = (status, """Aliased check "Service 'web' check" failing: hmm""")
        settles(failing, failing)
    clean.put("/v1/agent/check/pass/service:web")
    settles(("passing", "All checks passing."), ("passing", "All checks passing."))


def test_maintenance_is_alike(clean: Both) -> None:
    clean.put("/v1/agent/service/register", {"Name": "web"})
    clean.put("/v1/agent/maintenance?enable=true")
    clean.put("/v1/agent/service/maintenance/web?enable=true&reason=moving")
    look(clean, "_node_maintenance", "_service_maintenance:web")
    clean.put("/v1/agent/maintenance?enable=false")
    assert [sorted(checks) for checks in clean.checks()] == [["_service_maintenance:web"]] * 2


@pytest.mark.parametrize(
    ("codes", "options"),
    [
        ([0] * 4, {"SuccessBeforePassing": 3}),
        ([2] * 4, {"FailuresBeforeCritical": 3, "Status": "passing"}),
        ([2, 2, 1, 2, 2, 2, 0], {"FailuresBeforeCritical": 3, "Status": "passing"}),
        ([0, 2, 0, 2, 2, 0], {"FailuresBeforeCritical": 2}),
        ([2, 0, 1, 0, 0, 2], {"SuccessBeforePassing": 3}),
    ],
)
def test_thresholds_are_met_alike(clean: Both, tmp_path: Path, codes: list[int], options: dict[str, Any]) -> None:
    """The statuses after each run. Consul was once seen to count one failure twice, on a machine with too much to do: the second try counts
    as well."""
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        theirs, ours = (
            history(deployment, folder / name, codes, options) for name, deployment in (("theirs", clean.consul), ("ours", clean.rostra))
        )
        if ours == theirs:
            break
    assert ours == theirs


def history(deployment: _Consul | Deployment, folder: Path, codes: list[int], options: dict[str, Any]) -> list[str]:
    """The check's status after each code. Its script waits before each step until the step before has been seen, so no state is missed."""
    folder.mkdir()
    step, ran = folder / "step", folder / "ran"
    listed = " ".join(map(str, codes))
    script = f"n=$(cat {step}); rm {step}; echo run-$n; echo x >> {ran}; exit $(echo {listed} | cut -d' ' -f$n)"
    idle = f"while [ ! -e {step} ]; do sleep 0.02; done; "
    deployment.api.put(
        "/v1/agent/check/register", {"Name": "c", "Args": [*SH, idle + script], "Interval": "1s", "Timeout": "30s", **options}
    )
    statuses = []
    for position in range(1, len(codes) + 1):
        (folder / "next").write_text(str(position))
        (folder / "next").rename(step)
        eventually(lambda position=position: ran.read_text().count("x") == position, 10.0)  # type: ignore[misc]
        eventually(lambda: not step.exists(), 1.0)
        settle(deployment)
        statuses.append(deployment.api.get("/v1/agent/checks").json()["c"]["Status"])
    deployment.api.put("/v1/agent/check/deregister/c")
    return statuses


def settle(deployment: Deployment) -> None:
    """The script's process has ended, so its result is about to be seen: some answers of the agent later it has been."""
    last: list[Any] = []

    def same_again() -> bool:
        last.append(deployment.api.get("/v1/agent/checks").json()["c"])
        return len(last) > 25 and last[-1] == last[-25]

    eventually(same_again, 5.0)


@pytest.mark.parametrize(
    "body",
    [
        {"Name": "x", "HTTP": "http://a", "TTL": "5s"},
        {"Name": "x", "HTTP": "http://a"},
        {"Name": "x"},
        {"Name": "x", "Interval": "5s"},
        {"Name": "x", "TTL": "5s", "Interval": "5s"},
        {"Name": "x", "HTTP": "http://a", "Interval": "1ms"},
        {"Name": "", "TTL": "5s"},
        {"Name": "x", "AliasService": "w", "TTL": "4s"},
        {"Name": "x", "DockerContainerID": "abc", "Interval": "5s"},
        {"Name": "x", "Args": [], "Interval": "5s"},
        {"Name": "x", "TTL": "5s", "OutputMaxSize": -1},
        {"Name": "x", "TTL": "5s", "Status": "odd"},
        {"Name": "x", "TTL": "5s", "Unknown": 1},
        {"Name": "x", "TTL": "five"},
    ],
)
def test_what_is_refused_is_refused_alike(clean: Both, body: dict[str, Any]) -> None:
    theirs, ours = clean.put("/v1/agent/check/register", body)
    assert ours == theirs
