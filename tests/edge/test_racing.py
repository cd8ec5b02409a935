"""Several at once: the first good answer counts, and nothing of the others stays."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from peer.edge.racing import ADDRESSES_LIMIT, addresses, connect, first


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.001)


async def test_the_first_good_answer_counts_and_what_came_second_is_given_back() -> None:
    given_back: list[str] = []
    both = asyncio.Event()

    async def answer(word: str) -> str:
        await both.wait()
        return word

    async def fail() -> str:
        both.set()
        raise OSError("no")

    async def give_back(word: str) -> None:
        given_back.append(word)

    found = await first([answer("one"), answer("two"), fail()], spare=give_back)
    await until(lambda: bool(given_back))
    assert (found, given_back) == ("one", ["two"])


async def test_what_came_just_as_nobody_waited_any_more_is_given_back() -> None:
    given_back: list[str] = []

    async def answer() -> str:
        return "one"

    async def give_back(word: str) -> None:
        given_back.append(word)

    async def never() -> str:
        await asyncio.Event().wait()
        return "two"

    race = first([answer(), never()], spare=give_back)
    racing = asyncio.ensure_future(race)
    await asyncio.sleep(0)  # they begin
    await asyncio.sleep(0)  # one answers
    racing.cancel()
    assert isinstance((await asyncio.gather(racing, return_exceptions=True))[0], asyncio.CancelledError)
    await until(lambda: given_back == ["one"])


async def test_giving_back_holds_nobody_up_and_may_fail() -> None:
    given_back: list[str] = []

    async def answer(word: str) -> str:
        return word

    async def give_back(word: str) -> None:
        given_back.append(word)
        raise OSError("it is gone already")

    async with asyncio.timeout(5):
        found = await first([answer("one"), answer("two"), answer("three")], spare=give_back)
    assert found == "one"
    await until(lambda: given_back == ["two", "three"])


async def test_where_nobody_answers_there_is_nothing() -> None:
    async def fail() -> str:
        raise OSError("no")

    assert await first([fail(), fail()]) is None


async def test_an_address_at_which_nobody_listens_does_not_keep_from_the_others() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        opened = await connect("localhost", server.getsockname()[1])
        assert opened.getpeername()[0] == "127.0.0.1"
        opened.close()


async def test_the_error_of_the_best_address_is_told_if_none_answers() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        with pytest.raises(ConnectionRefusedError):
            await connect("localhost", held.getsockname()[1])
    with pytest.raises(socket.gaierror):
        await connect("nobody.invalid", 1)


async def test_addresses_are_distinct_and_few() -> None:
    found = await addresses("localhost", 7)
    assert ("127.0.0.1", 7) in found
    assert len(set(found)) == len(found) <= ADDRESSES_LIMIT
    assert await addresses("2001:db8::7", 9) == [("2001:db8::7", 9)]
