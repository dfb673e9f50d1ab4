import string
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from berth_sandbox.cluster.network import BLOCK_BITS, POOL, choose
from berth_sandbox.errors import SandboxError

names = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=40)
blocks = st.sampled_from(list(POOL.subnets(new_prefix=BLOCK_BITS)))


@given(names, st.sets(blocks, max_size=100))
def test_a_block_never_overlaps_what_is_in_use(name: str, used: set[IPv4Network]) -> None:
    chosen = choose(name, used)
    assert not any(chosen.block.overlaps(other) for other in used)
    assert chosen.block.subnet_of(POOL)


@given(names)
def test_the_parts_of_a_block_do_not_overlap(name: str) -> None:
    network = choose(name, [])
    link = IPv4Network(f"{network.host}/24", strict=False)
    parts = [link, network.outward, network.pods, network.services]
    assert all(part.subnet_of(network.block) for part in parts)
    assert not any(a.overlaps(b) for index, a in enumerate(parts) for b in parts[index + 1 :])
    assert network.node in link
    assert network.resolver in network.outward
    assert network.api_service in network.services


@given(names)
def test_the_interface_name_fits_the_kernel(name: str) -> None:
    assert len(choose(name, []).link) <= 15


def test_the_same_name_gets_the_same_block_while_it_is_free() -> None:
    first = choose("demo", [])
    assert choose("demo", []) == first
    assert choose("demo", [first.block]).block != first.block


def test_a_full_pool_is_told_with_a_remedy() -> None:
    with pytest.raises(SandboxError, match="stop a cluster"):
        choose("demo", [POOL])
