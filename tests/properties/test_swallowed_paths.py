"""Direct paths that swallow everything and say nothing, beside a relay; `SEED=n` plays one again."""

import os
from functools import partial

import pytest

from peer.core.detour import DETOUR_AFTER
from peer.core.edits import Edit
from peer.core.events import DocumentEdited
from peer.core.notices import PeerPath
from tests.simulator import DOCS, Node, Weather, World

SEEDS = [int(os.environ["SEED"])] if "SEED" in os.environ else list(range(30))
SOON = DETOUR_AFTER + 0.5
"""Seconds: the patience with the path, the way over the relay, and what the relay's delay adds."""


def all_direct(world: World) -> bool:
    """Whether nobody's contents go through the server."""
    peers = [peer for node in world.nodes if node.core is not None for peer in node.core.peers()]
    return len(peers) == len(world.nodes) * (len(world.nodes) - 1) and all(
        peer.path not in (None, "relay") for peer in peers
    )


def write(world: World, node: Node, character: str) -> None:
    assert node.core is not None
    document = node.core.documents.open(DOCS[0])
    document.edit([Edit(0, 0, character)])
    node.typed[character] = world.now
    world.feed(node, DocumentEdited(document.id))


def holds(world: World, characters: set[str]) -> bool:
    return all(characters <= set(world.texts(node)[0]) for node in world.nodes)


def connected(seed: int) -> World:
    """Some nodes that all have direct paths."""
    world = World(seed, nodes=2 + seed % 4, weather=Weather(relay_break=0.0, direct_works=1.0))
    for node in world.nodes:
        world.start(node)
    assert world.run(20.0, until=lambda: all_direct(world)), f"SEED={seed}: not connected"
    world.run(world.random.uniform(0.0, 5.0))
    return world


def pairs(world: World) -> set[frozenset[int]]:
    numbers = range(len(world.nodes))
    return {frozenset((one, other)) for one in numbers for other in numbers if one < other}


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_typed_arrives_within_a_second_or_so_and_once(seed: int) -> None:
    world = connected(seed)
    world.partitioned = pairs(world)
    typist = world.random.choice(world.nodes)
    typed = [chr(0x4E00 + number) for number in range(40)]
    for count, character in enumerate(typed, start=1):
        write(world, typist, character)
        began, limit = world.now, SOON if count == 1 else 0.1
        arrived = world.run(limit, until=partial(holds, world, set(typed[:count])))
        assert arrived or count > 1, f"SEED={seed}: the first one is not there after {limit} s"
        world.run(max(0.0, began + 0.1 - world.now))
    world.run(SOON)
    for node in world.nodes:
        assert sorted(world.texts(node)[0]) == sorted(typed), f"SEED={seed}"
    world.check()


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_both_ends_go_back_to_the_relay_and_find_each_other_again(seed: int) -> None:
    world = connected(seed)
    world.partitioned = pairs(world)
    for node in world.nodes:
        write(world, node, chr(0x4E00 + node.number))
    world.run(8.0)
    for node in world.nodes:
        assert node.core is not None
        assert {peer.path for peer in node.core.peers()} == {"relay"}, f"SEED={seed}"
    world.partitioned.clear()
    assert world.run(400.0, until=lambda: all_direct(world)), f"SEED={seed}: the paths did not come back"
    world.check()


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_two_ends_of_a_path_call_it_by_one_name(seed: int) -> None:
    world = connected(seed)
    world.run(2.0)
    words: dict[frozenset[str], set[str]] = {}
    for node in world.nodes:
        assert node.core is not None
        for peer in node.core.peers():
            assert peer.path is not None
            words.setdefault(frozenset((f"node {node.number}", peer.name)), set()).add(peer.path)
        told = {notice.name: notice.path for notice in node.notices if isinstance(notice, PeerPath)}
        assert told == {peer.name: peer.path for peer in node.core.peers()}
    assert all(len(word) == 1 for word in words.values()), f"SEED={seed}: {words}"
