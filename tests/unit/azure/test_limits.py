"""The limiter and the breaker of a subscription, through any history."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from berth.azure.limits import ARM_RATES, Breaker, Bucket, Budget, Limiter, Rate

PAUSES = st.lists(st.floats(0, 5), max_size=200)
RATE = Rate(burst=5, per_second=2)


def taken(bucket: Bucket, pauses: list[float]) -> list[float]:
    """The times at which the bucket gave a token, asked once after each pause."""
    times = itertools.accumulate(pauses)
    return [now for now in times if bucket.take(now) == 0]


@given(PAUSES)
def test_no_stretch_of_time_has_more_calls_than_the_rate(pauses: list[float]) -> None:
    times = taken(Bucket(RATE), pauses)
    for first, last in itertools.combinations(range(len(times)), 2):
        seconds = times[last] - times[first]
        assert last - first + 1 <= RATE.burst + RATE.per_second * seconds + 1e-6


@given(PAUSES)
def test_who_comes_back_when_told_is_served(pauses: list[float]) -> None:
    bucket = Bucket(RATE)
    now = 0.0
    for pause in pauses:
        now += pause
        if wait := bucket.take(now):
            now += wait
            assert bucket.take(now) == 0


@given(PAUSES, st.floats(0, 100))
def test_nothing_is_given_while_held(pauses: list[float], until: float) -> None:
    bucket = Bucket(RATE)
    bucket.hold(until)
    assert all(now >= until - 1e-6 for now in taken(bucket, pauses))


def test_an_earlier_hold_does_not_shorten_a_later_one() -> None:
    bucket = Bucket(RATE)
    bucket.hold(30)
    bucket.hold(10)
    assert bucket.take(0) == 30


@given(PAUSES, st.integers(0, 10))
def test_the_server_counts_too(pauses: list[float], remaining: int) -> None:
    bucket = Bucket(RATE)
    bucket.take(0)
    bucket.learn(remaining)
    assert sum(bucket.take(0) == 0 for _ in range(20)) == min(remaining, 4)


def test_a_clock_that_goes_back_gives_nothing_for_it() -> None:
    bucket = Bucket(RATE)
    assert [bucket.take(now) for now in (5, 4, 3, 2, 1)] == [0] * 5
    assert bucket.take(1) == 0.5


def test_reads_writes_and_deletes_are_counted_apart() -> None:
    limiter = Limiter(share=1.0)
    while not limiter.take(Budget.READS, 0):
        pass
    assert limiter.take(Budget.WRITES, 0) == 0
    limiter.hold(Budget.WRITES, 7)
    assert limiter.take(Budget.WRITES, 0) == 7
    assert limiter.take(Budget.DELETES, 0) == 0


def test_only_a_share_of_what_azure_takes_is_used() -> None:
    limiter = Limiter(share=0.5)
    for budget, rate in ARM_RATES.items():
        assert sum(limiter.take(budget, 0) == 0 for _ in range(400)) == rate.burst / 2
        assert sum(limiter.take(budget, 4) == 0 for _ in range(400)) == rate.per_second * 2


def test_the_limiter_learns_from_the_counters_that_it_knows() -> None:
    limiter = Limiter()
    limiter.learn({"reads": 3, "resource-requests-pt5m": 0, "global-writes": 0})
    assert sum(limiter.take(Budget.READS, 0) == 0 for _ in range(20)) == 3
    assert limiter.take(Budget.WRITES, 0) == 0


def opened(breaker: Breaker, now: float = 0.0, failures: int = 3) -> Breaker:
    for _ in range(failures):
        assert breaker.admit(now) == 0
        breaker.failed(now)
    return breaker


def test_the_breaker_opens_after_failures_in_a_row() -> None:
    breaker = Breaker(failures=3, cooldown=10)
    opened(breaker, failures=2)
    breaker.succeeded()
    opened(breaker, failures=2)
    opened(breaker, failures=1)
    assert breaker.admit(4) == 6


def test_one_call_tries_and_the_others_wait_for_it() -> None:
    breaker = opened(Breaker(failures=3, cooldown=10))
    assert breaker.admit(10) == 0
    assert breaker.admit(10) == 10
    breaker.succeeded()
    assert [breaker.admit(11) for _ in range(5)] == [0] * 5


def test_each_try_that_fails_makes_the_next_one_later() -> None:
    breaker = opened(Breaker(failures=3, cooldown=10, cap=30))
    waits, now = [], 0.0
    for _ in range(4):
        now += breaker.admit(now)
        assert breaker.admit(now) == 0
        breaker.failed(now)
        waits.append(breaker.admit(now))
    assert waits == [20, 30, 30, 30]
    assert breaker.admit(now + 30) == 0
    breaker.succeeded()
    assert opened(breaker, now).admit(now) == 10


def test_a_try_that_was_cancelled_leaves_room_for_another() -> None:
    breaker = opened(Breaker(failures=3, cooldown=10))
    assert breaker.admit(10) == 0
    breaker.abandoned()
    assert breaker.admit(10) == 0


def test_calls_that_were_under_way_do_not_keep_it_open_for_longer() -> None:
    breaker = opened(Breaker(failures=3, cooldown=10))
    breaker.failed(9)
    assert breaker.admit(10) == 0


@given(st.lists(st.tuples(st.floats(0, 60), st.sampled_from(["succeeded", "failed", "abandoned"]))))
def test_a_server_that_answers_again_is_found_within_the_cap(history: list[tuple[float, str]]) -> None:
    breaker = Breaker(failures=2, cooldown=10, cap=60)
    now = 0.0
    for pause, outcome in history:
        now += pause
        if breaker.admit(now) == 0:
            breaker.failed(now) if outcome == "failed" else getattr(breaker, outcome)()
    wait = breaker.admit(now)
    assert wait <= 60
    assert wait == 0 or breaker.admit(now + wait) == 0
