"""The ways into a session: a new one, an invitation, a folder that belongs to one already.

Each ends in a `Plan` with an open store, whose session record is saved, or in an error that changed nothing.
"""

import contextlib
import getpass
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.candidates import Endpoint
from peer.core.certificates import FOREVER, Role, issue, public_bytes
from peer.core.invitation import Invitation, parse_invitation
from peer.edge import registry
from peer.edge.foothold import Foothold
from peer.edge.identity import Identity, load_identity
from peer.edge.lan.endpoint import parse_endpoint
from peer.edge.node import Plan
from peer.edge.registry import SessionRecord
from peer.edge.store import Store
from peer.errors import UsageError

__all__ = ["INVITATION_SECONDS", "Entry", "enter_again", "enter_by_link", "enter_new", "own_name"]

INVITATION_SECONDS: Final = 365 * 24 * 3600
"""A link works for a year; removing a member, not a date, is how access ends."""
NAME_LIMIT: Final = 64
"""Characters of a name: more would not fit a line."""


class _UnfinishedError(UsageError):
    """The program or the disk stopped us when this folder was being set up; nothing is in it yet."""


At = Sequence[str]
"""Where on the network members are, as a person writes it."""


@dataclass(frozen=True, slots=True)
class Ways:
    """How others are to be met: see `Plan`; *server* is one to use from now on, if any."""

    server: str | None
    policy: str
    lan: bool
    at: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A session about to run.

    Attributes:
        link: the invitation to give to others; empty when this side has none to give.
        resumed: whether this side has been in it before.
        undo: removes what was made for a session that is new here, once its store is closed.
    """

    plan: Plan
    link: str = field(repr=False)  # whoever has it is a member
    resumed: bool
    undo: Callable[[], None] = lambda: None


def own_name(name: str | None) -> str:
    """What others see: *name*, or this machine's user.

    Raises:
        UsageError: it is empty, too long, or not printable.
    """
    if name is None:
        try:
            name = getpass.getuser()
        except (OSError, KeyError):
            name = "someone"
    name = " ".join(name.split())
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        raise UsageError(f"a name has 1 to {NAME_LIMIT} printable characters")
    return name


def enter_new(
    folder: Path | None, *, server: str | None, name: str | None, policy: str, lan: bool = False, at: At = ()
) -> Entry:
    """Start a session, or go on with the one that *folder* belongs to.

    Raises:
        UsageError: the folder is not there, or no server is known and the local network is not wanted.
        StorageError: the disk refuses.
    """
    identity, ways = load_identity(), Ways(server, policy, lan, _endpoints(at))
    if folder is None:
        return _in_memory(identity, _new_record(identity, own_name(name), ways, None), ways)
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: name one that exists, or make it first")
    replica = registry.find(folder)
    if replica is not None:
        with contextlib.suppress(_UnfinishedError):
            return _resume(identity, replica, ways, name=name)
    return _begin(identity, folder, _new_record(identity, own_name(name), ways, folder), ways)


def enter_by_link(
    link: str,
    folder: Path | None,
    *,
    server: str | None,
    name: str | None,
    policy: str,
    lan: bool = False,
    at: At = (),
) -> Entry:
    """Join by invitation, or go on where this folder has been in that session before.

    Raises:
        UsageError: the invitation cannot be used, or the folder belongs to another session.
        StorageError: the disk refuses.
    """
    invitation = parse_invitation(link)
    identity, ways = load_identity(), Ways(server, policy, lan, _endpoints(at))
    record = _joined_record(identity, invitation, own_name(name), ways, folder)
    replica = registry.find(folder, lost_ok=True) if folder is not None and folder.exists() else None
    if folder is None or replica is None:
        invitation.check_date(time.time())
        if folder is None:
            return _in_memory(identity, record, ways)
        return _begin(identity, folder, record, ways, newcomer=True)
    if replica.session != record.session.hex():
        raise UsageError(
            f"{folder} belongs to another session already: join into another folder, or remove "
            f"{folder / '.weft'} if you are done with that one"
        )
    with contextlib.suppress(_UnfinishedError):
        return _resume(identity, replica, ways, name=name, link=invitation)
    return _begin(identity, folder, record, ways, newcomer=True)


def enter_again(
    folder: Path, *, server: str | None, name: str | None, policy: str, lan: bool = False, at: At = ()
) -> Entry:
    """Go on with the session of a folder.

    Raises:
        UsageError: the folder belongs to none.
        StorageError: the disk refuses.
    """
    inside = registry.enclosing(folder)
    replica = registry.find(inside or folder)
    if replica is None:
        raise UsageError(
            f"{folder} belongs to no session on this machine: give the link that `weft share` printed, "
            f"or share it with `weft share {folder}`"
        )
    return _resume(load_identity(), replica, Ways(server, policy, lan, _endpoints(at)), name=name)


# --- records ------------------------------------------------------------------------------------------


def _new_record(identity: Identity, name: str, ways: Ways, folder: Path | None) -> SessionRecord:
    owner_seed = os.urandom(32)
    owner = Ed25519PrivateKey.from_private_bytes(owner_seed)
    session = public_bytes(owner)
    mine = issue(
        owner, session=session, subject=identity.device, role=Role.OWNER, until=FOREVER, may_invite=True
    )
    secret = os.urandom(32)
    invitation = Invitation.make(
        owner,
        (),
        secret=secret,
        session=session,
        role=Role.EDITOR,
        until=int(time.time()) + INVITATION_SECONDS,
        key_seed=os.urandom(32),
    )
    return SessionRecord(
        session=session,
        secret=secret,
        chain=(mine,),
        role=Role.OWNER.word,
        name=name,
        servers=_servers(ways, ()),
        created_unix=time.time(),
        folder="" if folder is None else str(folder.resolve()),
        invite_seed=invitation.key_seed,
        invite_chain=invitation.chain,
        owner_seed=owner_seed,
    )


def _joined_record(
    identity: Identity, invitation: Invitation, name: str, ways: Ways, folder: Path | None
) -> SessionRecord:
    return SessionRecord(
        session=invitation.session,
        secret=invitation.secret,
        chain=invitation.certify(identity.device),
        role=invitation.role.word,
        name=name,
        servers=_servers(ways, invitation.servers),
        created_unix=time.time(),
        folder="" if folder is None else str(folder.resolve()),
        invite_seed=invitation.key_seed,
        invite_chain=invitation.chain,
    )


def _servers(ways: Ways, known: tuple[str, ...]) -> tuple[str, ...]:
    server = ways.server
    servers = known if server is None else (server, *(other for other in known if other != server))
    if not servers and not ways.lan and not ways.at:
        raise UsageError(
            "no server is known where you could meet, and the local network is not to be used: start one "
            "with `weft serve`, and name it with --server http://HOST:8787"
        )
    return servers[:3]


def _endpoints(at: At) -> tuple[Endpoint, ...]:
    return tuple(parse_endpoint(text) for text in at)


def _link(record: SessionRecord) -> str:
    if record.invite_seed is None:
        return ""
    return Invitation(record.secret, record.invite_seed, record.invite_chain, record.servers).to_uri()


# --- stores -------------------------------------------------------------------------------------------


def _in_memory(identity: Identity, record: SessionRecord, ways: Ways) -> Entry:
    plan = _plan(identity, record, None, None, ways)
    return Entry(plan, _link(record), resumed=False)


def _plan(
    identity: Identity,
    record: SessionRecord,
    store: Store | None,
    folder: Path | None,
    ways: Ways,
    *,
    newcomer: bool = False,
) -> Plan:
    # who wants nothing but what the server offers does not want the local network beside it
    lan = ways.lan and (ways.policy not in ("relay", "turn") or not record.servers)
    return Plan(identity, record, store, folder, record.servers, ways.policy, newcomer, lan, ways.at)


def _begin(
    identity: Identity, folder: Path, record: SessionRecord, ways: Ways, *, newcomer: bool = False
) -> Entry:
    foothold = Foothold.look(folder)
    replica = registry.create(folder, record.session)
    undo = partial(foothold.take_back, replica)
    try:
        store = Store.open(replica.database)
    except BaseException:
        undo()
        raise
    try:
        registry.save_record(store, record)
    except BaseException:
        store.close()
        undo()
        raise
    plan = _plan(identity, record, store, folder.resolve(), ways, newcomer=newcomer)
    return Entry(plan, _link(record), resumed=False, undo=undo)


def _resume(
    identity: Identity,
    replica: registry.Replica,
    ways: Ways,
    *,
    name: str | None,
    link: Invitation | None = None,
) -> Entry:
    store = Store.open(replica.database)
    try:
        record = registry.load_record(store)
        if record is None:
            raise _UnfinishedError(
                f"{replica.folder} was never finished being set up: share it again, or join it again "
                "with the link"
            )
        known = record.servers if link is None else (*link.servers, *record.servers)
        record = msgspec.structs.replace(
            record,
            servers=_servers(ways, tuple(dict.fromkeys(known))),
            name=record.name if name is None else own_name(name),
        )
        registry.save_record(store, record)
    except BaseException:
        store.close()
        raise
    # a copy of somebody's folder, or one that was stopped before anybody showed it the session
    newcomer = not store.documents() and (replica.copied or record.owner_seed is None)
    plan = _plan(identity, record, store, replica.folder, ways, newcomer=newcomer)
    return Entry(plan, _link(record), resumed=True)
