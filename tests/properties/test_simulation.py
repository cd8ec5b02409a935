"""Three to eight cores in bad weather; `SEED=n` plays one run again, `WEFT_RUNS=n` plays more."""

import os
from functools import partial

import pytest

from peer.core.certificates import Role
from tests.simulator import Node, World

RUNS = int(os.environ.get("WEFT_RUNS", "500"))
BATCHES = 20


def happen(world: World, node: Node) -> None:
    """Most often somebody types; now and then something goes wrong."""
    dice = world.random
    chance = dice.random()
    if chance < 0.70:
        if node.role is not Role.VIEWER:
            world.type_somewhere(node)
    elif chance < 0.76 and node.core is not None:
        world.kill(node)
        world.later(dice.uniform(0.1, 8.0), partial(world.start_again, node))
    elif chance < 0.84:
        world.partitioned ^= {frozenset(dice.sample(range(len(world.nodes)), 2))}
    elif chance < 0.88:
        world.drop_connection(node)
    elif chance < 0.92:
        world.switch_server()
    elif chance < 0.96:
        world.change_network(node)


def play(seed: int) -> None:
    """One life of a session: bad weather for a while, then peace."""
    world = World(seed, nodes=3 + seed % 6)
    dice = world.random
    if seed % 4 == 1:
        world.nodes[-1].role = Role.VIEWER
    if seed % 3 == 1:
        world.nodes[0].policy = "relay"
    for node in world.nodes:
        world.later(dice.uniform(0, 2), partial(world.start, node))
    world.run(2.5)
    for _ in range(40):
        node = dice.choice(world.nodes)
        happen(world, node)
        world.run(dice.choice((0.001, 0.01, 0.1, 0.1, 1.0, 3.0)))
    world.heal()
    assert world.run(120.0, until=world.converged), f"SEED={seed}: not equal two minutes after peace"
    world.check()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_all_texts_become_equal_and_every_character_is_there_once(batch: int) -> None:
    if "SEED" in os.environ:
        seeds = [int(os.environ["SEED"])] if batch == 0 else []
    else:
        seeds = list(range(batch * RUNS // BATCHES, (batch + 1) * RUNS // BATCHES))
    for seed in seeds:
        try:
            play(seed)
        except BaseException:
            print(f"repeat this run with SEED={seed}")
            raise
