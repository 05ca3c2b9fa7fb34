"""The redis store over TLS: a cluster whose nodes tell their TLS ports, and sentinels that do."""

from __future__ import annotations

import datetime
import ipaddress
import select
import ssl
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from django_multisession.bridge import pause, run_sync
from django_multisession.exceptions import StoreUnavailable
from django_multisession.stores.base import StoreOptions
from django_multisession.stores.redis.store import RedisStore
from django_multisession.testing.servers.base import LOOPBACK, free_port
from django_multisession.testing.servers.redis import RedisServer, follows_its_master
from django_multisession.testing.servers.redis_cluster import RedisCluster, RedisNode
from django_multisession.testing.servers.redis_sentinel import SERVICE, RedisSentinel, SentinelServer
from tests.stores.helpers import PATIENCE, V1, V2, Drive, payload

KEYS = [f"{number:040x}" for number in range(60)]
TLS_AMONG_THEM = ("--tls-cluster", "yes", "--tls-replication", "yes")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and its certificate, which signs itself and is for the loopback address."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(LOOPBACK))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def tls(certificate: Path) -> list[str]:
    """Return the options of a server that speaks TLS."""
    files = [f"--tls-{name}-file" for name in ("cert", "key", "ca-cert")]
    return [*(part for name in files for part in (name, str(certificate))), "--tls-auth-clients", "no"]


class OverTLS(RedisServer):
    """Speaks TLS on a port of its own; `port` is for raw questions of the tests."""

    tls_port = 0  # until started

    def choose_ports(self) -> None:
        super().choose_ports()
        self.tls_port = free_port()


class TLSNode(OverTLS, RedisNode):
    """A node that speaks TLS, with the other nodes, too."""

    name = "redis-tls-node"

    def command(self) -> Sequence[str]:
        return [*super().command(), "--tls-port", str(self.tls_port), *TLS_AMONG_THEM]


class TLSCluster(RedisCluster):
    name = "redis-tls-cluster"
    node_class = TLSNode

    @property
    def location(self) -> str:
        return "rediss+cluster://" + ",".join(f"{LOOPBACK}:{node.tls_port}" for node in self.nodes)  # type: ignore[attr-defined]  # its nodes are TLSNode


@pytest.fixture(scope="module")
def tls_cluster(certificate: Path) -> Iterator[TLSCluster]:
    with TLSCluster(*tls(certificate)) as cluster:
        yield cluster


def store_at(location: str, **options: Any) -> RedisStore:
    return RedisStore(StoreOptions(location=location, timeout=PATIENCE, options=options))


async def use(store: RedisStore) -> None:
    for key in KEYS:
        token = await store.insert(key, payload(V1), 600, V1)
        assert token
        assert await store.replace(key, payload(V2), 600, token, V2)
    assert await store.exists(KEYS) == set(KEYS)
    assert await store.delete_many(KEYS) == len(KEYS)


async def is_refused(store: RedisStore) -> None:
    with pytest.raises(StoreUnavailable):
        await store.read(KEYS[0])
    await pause(0.2)  # some turns of the loop later, asyncio has closed what has not become a TLS connection


def test_cluster_is_served_over_tls(drive: Drive, tls_cluster: TLSCluster, certificate: Path) -> None:
    store = store_at(tls_cluster.location, ssl_ca_certs=str(certificate))
    drive(use(store))
    store.close()


def test_cluster_whose_certificate_nobody_knows_is_not_trusted(drive: Drive, tls_cluster: TLSCluster) -> None:
    store = store_at(tls_cluster.location)
    drive(is_refused(store))
    store.close()


# Sentinel: it names the port that it watches.


class TLSServer(OverTLS):
    """A server that speaks TLS; a replica if it is told of a master."""

    name = "redis-tls"

    def __init__(self, *options: str, master: TLSServer | None = None) -> None:
        self._master = master
        super().__init__(*options)

    def command(self) -> Sequence[str]:
        master = self._master
        following = [] if master is None else ["--replicaof", LOOPBACK, str(master.tls_port)]
        speaking = ["--tls-port", str(self.tls_port), "--tls-replication", "yes"]
        return [*super().command(), *speaking, "--repl-diskless-sync-delay", "0", *following]


class TLSSentinelServer(OverTLS, SentinelServer):
    name = "redis-tls-sentinel"

    def __init__(self, master: TLSServer, *options: str) -> None:
        super().__init__(master, 2, 1.0)
        self._tls_master = master
        self._tls = options

    @property
    def watched_port(self) -> int:
        return self._tls_master.tls_port

    def command(self) -> Sequence[str]:
        *command, mode = super().command()
        return [*command, *self._tls, "--tls-port", str(self.tls_port), "--tls-replication", "yes", mode]


class TLSSentinel(RedisSentinel):
    name = "redis-tls-sentinel"

    def __init__(self, *options: str) -> None:
        master = TLSServer(*options)
        self.servers = [master, *(TLSServer(*options, master=master) for _ in range(self.replicas))]
        self.sentinels = [TLSSentinelServer(master, *options) for _ in range(3)]

    def answers(self) -> bool:
        states = [sentinel.ask(b"INFO sentinel\r\n").decode() for sentinel in self.sentinels]
        return all("status=ok" in state and "slaves=2,sentinels=3" in state for state in states) and (
            sum(map(follows_its_master, self.servers)) == self.replicas
        )

    @property
    def location(self) -> str:
        hosts = ",".join(f"{LOOPBACK}:{sentinel.tls_port}" for sentinel in self.sentinels)  # type: ignore[attr-defined]  # its nodes are TLSNode
        return f"rediss+sentinel://{hosts}/{SERVICE}"


@pytest.fixture(scope="module")
def tls_sentinel(certificate: Path) -> Iterator[TLSSentinel]:
    def serves() -> bool:
        # Sentinels agree a moment before each of them has reached the master over TLS.
        with closing(store_at(sentinel.location, ssl_ca_certs=str(certificate))) as store, suppress(StoreUnavailable):
            return run_sync(store.read(KEYS[0])) is None
        return False

    with TLSSentinel(*tls(certificate)) as sentinel:
        sentinel.wait_for(serves, "serve over TLS")
        yield sentinel


def test_sentinel_and_its_servers_are_asked_over_tls(
    drive: Drive, tls_sentinel: TLSSentinel, certificate: Path
) -> None:
    store = store_at(tls_sentinel.location, ssl_ca_certs=str(certificate))
    drive(use(store))
    store.close()


def test_sentinel_whose_session_tickets_are_there_before_the_question_is_asked(
    drive: Drive, tls_sentinel: TLSSentinel, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handshake = ssl.SSLSocket.do_handshake

    def handshake_on_a_busy_machine(socket: ssl.SSLSocket, block: bool = False) -> None:
        handshake(socket, block)
        # Tickets of TLS 1.3 follow the handshake. redis-py's pool takes a connection that can be read for one in use.
        select.select([socket.fileno()], [], [], PATIENCE)

    monkeypatch.setattr(ssl.SSLSocket, "do_handshake", handshake_on_a_busy_machine)
    store = store_at(tls_sentinel.location, ssl_ca_certs=str(certificate))
    assert drive(store.read(KEYS[0])) is None
    store.close()


def test_sentinel_whose_certificate_nobody_knows_is_not_trusted(drive: Drive, tls_sentinel: TLSSentinel) -> None:
    store = store_at(tls_sentinel.location)
    drive(is_refused(store))
    store.close()
