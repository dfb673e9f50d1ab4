from hypothesis import given
from hypothesis import strategies as st

from berth.core.backoff import Backoff


def test_doubles_until_the_cap() -> None:
    backoff: Backoff[str] = Backoff(base=0.05, cap=0.3, rand=lambda: 0.0)
    assert [backoff.next("a") for _ in range(5)] == [0.05, 0.1, 0.2, 0.3, 0.3]


def test_keys_do_not_share_their_failures() -> None:
    backoff: Backoff[str] = Backoff(base=1, rand=lambda: 0.0)
    backoff.next("a")
    assert backoff.next("b") == 1


def test_success_starts_anew() -> None:
    backoff: Backoff[str] = Backoff(base=1, rand=lambda: 0.0)
    backoff.next("a")
    backoff.next("a")
    backoff.reset("a")
    assert backoff.failures("a") == 0
    assert backoff.next("a") == 1


def test_a_key_that_never_failed_can_be_reset() -> None:
    backoff: Backoff[str] = Backoff()
    backoff.reset("a")
    assert backoff.failures("a") == 0


@given(st.integers(1, 3000), st.floats(0, 1, exclude_max=True), st.floats(0, 0.9))
def test_every_delay_is_within_its_bounds(failures: int, rand: float, jitter: float) -> None:
    backoff: Backoff[str] = Backoff(base=0.05, cap=300, jitter=jitter, rand=lambda: rand)
    delays = [backoff.next("a") for _ in range(failures)]
    assert all(0.05 * (1 - jitter) <= delay <= 300 for delay in delays)
    assert delays == sorted(delays)
