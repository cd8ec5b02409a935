"""The wire vocabulary: what is written is read again, and nonsense raises one kind of error."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from signaling.messages import (
    Away,
    Back,
    Claim,
    CloseCode,
    Declined,
    Enter,
    Error,
    FromClient,
    FromServer,
    Ice,
    IceServer,
    IceServers,
    Joined,
    Left,
    Limits,
    Malformed,
    Nonce,
    PeerGone,
    Ping,
    Pong,
    Relayed,
    Restarting,
    Welcome,
    address_of,
    decode_from_client,
    decode_from_server,
    encode,
    is_retryable,
    pack_frame,
    readdress,
    unpack_frame,
)

LIMITS = Limits(
    members=64, message_bytes=65536, frames_per_second=1.5, bytes_per_second=2.0, queue_bytes=4096
)
WELCOME = Welcome(
    address="0102030405060708",
    members=("1112131415161718",),
    limits=LIMITS,
    ice_servers=(IceServer(urls=("stun:a",)), IceServer(urls=("turn:b",), username="é", credential="日")),
    server="weft/1",
    motd="hello 😀",
    ping_seconds=20.0,
)
FROM_SERVER: list[FromServer] = [
    Nonce(bytes(range(32)), "weft/1", (1, 1)),
    WELCOME,
    IceServers((IceServer(urls=("turn:b",), username="1:é", credential="日"),), 3600.0),
    IceServers(()),
    Declined("ice", 4029, "too-fast", "later", 5000),
    Joined("00" * 8),
    Left("00" * 8),
    Away("00" * 8),
    Back("00" * 8),
    structs.replace(WELCOME, token=b"t" * 32, resume_seconds=120.0, resumed=True),
    PeerGone("00" * 8, "never"),
    PeerGone("00" * 8, "left"),
    Ping(),
    Pong(),
    Restarting(5, 10),
    Error(4001, "restarting", "later", True, 1000),
    Error(4500, "malformed", "no", False),
]
ENTER = Enter(bytes(32), bytes(64), 1)
RESUME = Enter(bytes(32), bytes(64), 1, b"k" * 32, Claim(b"t" * 32, b"s" * 64))


@pytest.mark.parametrize("message", FROM_SERVER, ids=lambda message: type(message).__name__)
def test_what_a_server_writes_a_client_reads(message: FromServer) -> None:
    assert decode_from_server(encode(message)) == message
    assert decode_from_server(encode(message).decode()) == message


@pytest.mark.parametrize(
    "message", [ENTER, RESUME, Ice(), Ping(), Pong()], ids=lambda message: type(message).__name__
)
def test_what_a_client_writes_a_server_reads(message: FromClient) -> None:
    assert decode_from_client(encode(message)) == message


def test_the_wire_is_as_the_protocol_page_says() -> None:
    assert json.loads(encode(ENTER)) == {
        "type": "enter",
        "room_key": base64.b64encode(bytes(32)).decode(),
        "signature": base64.b64encode(bytes(64)).decode(),
        "protocol": 1,
    }
    assert json.loads(encode(PeerGone("00" * 8, "left"))) == {
        "type": "peer-gone",
        "address": "00" * 8,
        "reason": "left",
    }
    assert json.loads(encode(Ping())) == {"type": "ping"}
    assert "retry_after_ms" not in json.loads(encode(Error(4500, "malformed", "no", False)))
    assert json.loads(encode(WELCOME))["ice_servers"][0] == {"urls": ["stun:a"]}


def test_unknown_fields_are_ignored() -> None:
    assert decode_from_server(b'{"type":"joined","address":"aa","since":1,"more":{"x":[]}}') == Joined("aa")
    assert decode_from_client(b'{"new":true,"type":"ping"}') == Ping()


def test_unknown_types_are_ignored() -> None:
    assert decode_from_server(b'{"type":"fireworks","colour":"red"}') is None
    assert decode_from_client(b'{"type":"fireworks","colour":"red"}') is None
    assert decode_from_client(encode(Joined("aa"))) is None
    assert decode_from_server(encode(Ice())) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"type":null}',
        b'{"type":1}',
        b'{"type":"ping"}{"type":"ping"}',
        b'{"type":"ping"',
        b'{"type":"enter"}',
        b'{"type":"enter","room_key":"","signature":"","protocol":1}',
        encode(Enter(bytes(32), bytes(64), 1)).replace(b'"protocol":1', b'"protocol":"1"'),
        b'{"type":"enter","room_key":"\xff","signature":"","protocol":1}',
        b'{"type":"ping","x":' + b"[" * 60_000,
        b'{"x":' + b'{"x":' * 10_000,
    ],
)
def test_nonsense_is_malformed(text: bytes) -> None:
    with pytest.raises(Malformed):
        decode_from_client(text)


@pytest.mark.parametrize(("key", "signature"), [(31, 64), (33, 64), (32, 63), (32, 65)])
def test_a_key_or_signature_of_the_wrong_length_is_malformed(key: int, signature: int) -> None:
    text = json.dumps(
        {
            "type": "enter",
            "room_key": base64.b64encode(bytes(key)).decode(),
            "signature": base64.b64encode(bytes(signature)).decode(),
            "protocol": 1,
        }
    )
    with pytest.raises(Malformed, match="bytes instead of"):
        decode_from_client(text)


@st.composite
def damaged_messages(draw: st.DrawFn) -> bytes:
    """A good message with a few bytes replaced, added or missing somewhere."""
    text = encode(draw(st.sampled_from(FROM_SERVER)))
    place = draw(st.integers(0, len(text)))
    return text[:place] + draw(st.binary(max_size=2)) + text[place + draw(st.integers(0, 2)) :]


@given(st.binary(max_size=60) | damaged_messages())
def test_any_bytes_are_read_or_malformed(text: bytes) -> None:
    for decode in (decode_from_server, decode_from_client):
        try:
            decode(text)
        except Malformed:
            continue


@given(st.binary(max_size=40))
def test_any_binary_message_is_a_frame_unknown_or_malformed(message: bytes) -> None:
    try:
        frame = unpack_frame(message)
    except Malformed:
        assert len(message) < 9
    else:
        assert (frame is None) == (message[0] != 1)
        if frame is not None:
            assert pack_frame(frame.address, frame.payload) == message


def test_frames_keep_their_payload_and_change_their_address() -> None:
    up = pack_frame(b"receiver", b"payload")
    assert up == b"\x01receiverpayload"
    assert unpack_frame(up) == Relayed(b"receiver", b"payload")
    assert address_of(up) == b"receiver"
    assert readdress(up, b"a sender") == b"\x01a senderpayload"
    assert unpack_frame(b"\x01receiver") == Relayed(b"receiver", b"")


def test_a_frame_without_a_whole_address_is_malformed() -> None:
    for short in (b"", b"\x01", b"\x01receive"):
        with pytest.raises(Malformed):
            unpack_frame(short)
        with pytest.raises(Malformed):
            address_of(short)


def test_an_unknown_binary_message_is_ignored() -> None:
    assert unpack_frame(b"\x02anything") is None
    assert address_of(b"\x00") is None


def test_close_codes_below_4500_may_be_retried() -> None:
    retryable = {code for code in CloseCode if is_retryable(code)}
    assert retryable == {
        CloseCode.RESTARTING,
        CloseCode.NO_PONG,
        CloseCode.TOO_SLOW,
        CloseCode.SILENT,
        CloseCode.ROOM_FULL,
        CloseCode.TOO_FAST,
        CloseCode.SERVER_FULL,
        CloseCode.ADDRESS_FULL,
        CloseCode.NO_MORE_ROOMS,
        CloseCode.SERVER_FAULT,
    }
    assert [is_retryable(code) for code in (1000, 1001, 1006, 1011, 4499)] == [True] * 5
    assert [is_retryable(code) for code in (1002, 1003, 1007, 1009, 4500, 4999)] == [False] * 6
