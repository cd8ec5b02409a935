"""What compose.yaml allows a container is what coturn in its image needs: the same rights, without Docker.

The image starts a shell as `nobody`, and that coturn, whose file has `cap_net_bind_service=+ep`.  Docker
gives a user who is not root no rights of their own, only a bound for what files may give them (`cap_drop`,
`cap_add`).
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]

from signaling.turn_command import templates
from signaling.turn_config import TurnConfig, render
from tests.conftest import PATIENCE, TEST_ALL
from tests.e2e.town import until
from tests.turn.coturn import certificate

pytestmark = pytest.mark.needs("turnserver", "setcap", "setpriv", "unshare", "ip")

NOBODY: Final = "65534"
HTTPS: Final = 443
LISTENING: Final = "0A"
"""In /proc/net/tcp."""
START_SECONDS: Final = 10.0

Service = dict[str, Any]


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that everybody may read, as pytest's own are not."""
    if os.geteuid():
        if TEST_ALL:
            pytest.fail("needs root, to become somebody else", pytrace=False)
        pytest.skip("needs root, to become somebody else")
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def rights(service: Service) -> list[str]:
    """`setpriv` with what the service gives its container."""
    bound = ["-all" if each == "ALL" else f"-{each.lower()}" for each in service.get("cap_drop", [])]
    bound += [f"+{each.lower()}" for each in service.get("cap_add", [])]
    options = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all"]
    options.append(f"--bounding-set={','.join(bound)}")
    strict = "no-new-privileges:true" in service.get("security_opt", [])
    return ["setpriv", *options, *(["--no-new-privs"] if strict else [])]


def written(shared: Path, *, tls: bool) -> tuple[Service, list[str]]:
    """The service, and its command with the places of this test."""
    config = TurnConfig(domain="turn.example.org", secrets=("x" * 40,), external=("127.0.0.1",))
    if tls:
        chain, key, _ = certificate(shared)
        Path(key).chmod(0o644)
        config = TurnConfig(
            domain="turn.example.org",
            secrets=("x" * 40,),
            external=("127.0.0.1",),
            certificate=str(chain),
            key=str(key),
        )
    made = render(config, templates())
    conf = shared / "turnserver.conf"
    conf.write_text(f"{made['turnserver.conf']}userdb={shared}/users.db\n")
    (service,) = yaml.safe_load(made["compose.yaml"])["services"].values()
    places = {"/etc/coturn/turnserver.conf": str(conf)}
    return service, [places.get(word, word) for word in service["command"]]


@contextmanager
def container(shared: Path, service: Service, command: list[str]) -> "Iterator[subprocess.Popen[bytes]]":
    """The program, started as in the image."""
    program = shared / "turnserver"
    shutil.copy(shutil.which("turnserver") or "", program)
    subprocess.run(["setcap", "cap_net_bind_service=+ep", program], check=True)
    shell = ["sh", "-c", 'exec "$@"', "sh", str(program), *command]
    network = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    with (shared / "said").open("wb") as said:
        process = subprocess.Popen([*network, *rights(service), *shell], stdout=said, stderr=said, cwd=shared)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def listens(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Whether somebody listens for TCP in the network of *process*."""
    lines = Path(f"/proc/{process.pid}/net/tcp").read_text().splitlines()[1:]
    found = [line.split() for line in lines]
    return any(each[3] == LISTENING and int(each[1].rpartition(":")[2], 16) == port for each in found)


@pytest.mark.parametrize("tls", [True, False], ids=["with TLS on 443", "without TLS"])
def test_coturn_starts_and_listens_with_the_rights_of_the_compose_file(shared: Path, tls: bool) -> None:
    service, command = written(shared, tls=tls)
    with container(shared, service, command) as process:

        def up() -> bool:
            assert process.poll() is None, (shared / "said").read_text()
            return listens(process, 3478) and (not tls or listens(process, HTTPS))

        until(up, START_SECONDS * PATIENCE, "coturn on its ports")


def test_where_the_right_is_forbidden_it_does_not_even_start(shared: Path) -> None:
    service, command = written(shared, tls=False)
    with container(shared, {**service, "cap_add": []}, command) as process:
        assert process.wait(START_SECONDS * PATIENCE) != 0
        assert "not permitted" in (shared / "said").read_text()


def test_the_service_is_one_that_docker_compose_understands(shared: Path) -> None:
    service, _ = written(shared, tls=True)
    words = "image network_mode restart command volumes cap_drop cap_add ulimits logging"
    assert set(service) == set(words.split())
    assert all(isinstance(each, str) for each in (*service["command"], *service["volumes"]))
    assert all(each.count(":") == 2 and each.endswith(":ro") for each in service["volumes"])
    assert service["logging"]["driver"] == "json-file", "its options are unknown to other drivers"
    assert all(isinstance(each, str) for each in service["logging"]["options"].values())
    assert service["network_mode"] == "host"
    assert not set("$`'\"") & set("".join(service["command"])), "the image puts the command through a shell"
