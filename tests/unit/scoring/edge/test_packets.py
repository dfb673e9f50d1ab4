import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_sandbox.azure.edge_hub import packets as server
from berth_scoring.edge import packets
from berth_scoring.edge.errors import ProtocolError
from berth_scoring.edge.packets import Decoder, Kind, Login, Packet, Publish

LIMIT = 70_000

messages = st.lists(
    st.tuples(st.text(max_size=40), st.binary(max_size=400), st.integers(1, 0xFFFF)), max_size=6
)


@given(messages, st.integers(1, 50))
def test_a_stream_is_cut_into_its_messages_however_it_arrives(
    sent: list[tuple[str, bytes, int]], piece: int
) -> None:
    stream = b"".join(packets.publish(*message) for message in sent)
    decoder = Decoder(LIMIT)
    pieces = (stream[start : start + piece] for start in range(0, len(stream), piece))
    found = [Publish.from_packet(packet) for each in pieces for packet in decoder.feed(each)]
    assert [(each.topic, each.payload, each.packet_id) for each in found] == sent


@pytest.mark.parametrize("size", [0, 1, 120, 127, 128, 16_383, 16_384, 60_000])
def test_lengths_of_one_to_three_bytes_are_written_and_read(size: int) -> None:
    (packet,) = Decoder(LIMIT).feed(packets.publish("t", b"x" * size, 7))
    assert Publish.from_packet(packet) == Publish("t", b"x" * size, 7)
    assert packets.publish_length("t", b"x" * size) == len(packet.body) - 1 + len(b"t")


@given(st.integers(0, 15), st.binary(max_size=30))
def test_a_message_that_is_none_is_told_so(flags: int, body: bytes) -> None:
    try:
        message = Publish.from_packet(Packet(Kind.PUBLISH, flags, body))
    except ProtocolError:
        return
    assert len(message.topic.encode()) + len(message.payload) <= len(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_packets_or_an_error(data: bytes) -> None:
    try:
        found = list(Decoder(100).feed(data))
    except ProtocolError:
        return
    assert sum(len(packet.body) for packet in found) <= len(data)


@pytest.mark.parametrize(
    "data", [b"\x30\xff\xff\xff\xff\x01", b"\x30\x80\x80\x80\x80", b"\x30\xf1\xa2\x04", b"\x40\x65"]
)
def test_what_is_too_long_is_refused_by_its_head(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        list(Decoder(100).feed(data))


def test_an_acknowledgement_needs_a_number() -> None:
    with pytest.raises(ProtocolError):
        _ = Packet(Kind.PUBACK, 0, b"\x01").packet_id


def test_the_login_is_what_the_device_sdk_sends() -> None:
    login = Login("dev1/amlmodule", "hub/dev1/amlmodule/?api-version=1", "SharedAccessSignature x")
    data = login.packet(60)
    assert data[2:12] == b"\x00\x04MQTT\x04\xc0\x00\x3c"
    read = server.Connect.from_body(data[2:])
    assert (read.client_id, read.username, read.password) == (login.client_id, login.username, login.password)
    assert read.clean is False


def test_a_server_reads_what_is_asked_for() -> None:
    body = server.Body(packets.subscribe(9, ["a/#", "b"])[2:])
    assert (body.number(), body.text(), body.byte(), body.text(), body.byte()) == (9, "a/#", 1, "b", 1)
    assert packets.puback(0x0102) == b"\x40\x02\x01\x02"
    assert (packets.PING, packets.DISCONNECT) == (b"\xc0\x00", b"\xe0\x00")


def test_a_repeated_message_is_marked() -> None:
    (packet,) = Decoder(LIMIT).feed(server.publish("t", b"x", 3, duplicate=True))
    assert Publish.from_packet(packet) == Publish("t", b"x", 3, duplicate=True)
