"""The search for the shortest beginning of a history that breaks a law."""

from hyperpage_client.testing.conformance.broken import Law, LawBroken
from hyperpage_client.testing.conformance.checking import Report, shortest


def broken_by(count: int, law: Law = "rebuilt", *, at_the_end: bool = True) -> LawBroken:
    broken = LawBroken(law, "it")
    broken.lived = [f"command {number}" for number in range(count)]
    broken.count = count if at_the_end else 120
    broken.is_at_the_end = at_the_end
    return broken


class Tried:
    """Runs of beginnings: with `enough` commands they break a law, with `other` ones another law."""

    def __init__(self, enough: int, *, other: int = 1000, law: Law = "rebuilt") -> None:
        self.counts: list[int] = []
        self._enough, self._other, self._law = enough, other, law

    def __call__(self, count: int) -> Report:
        self.counts.append(count)
        if count >= self._enough:
            raise broken_by(count, self._law)
        if count >= self._other:
            raise broken_by(count, "stream")
        return Report(table="t", seed=1, tallies={})


def test_what_is_seen_at_the_end_is_looked_for_by_halving():
    tried = Tried(17)

    assert len(shortest(tried, broken_by(120)).lived) == 17
    assert len(tried.counts) <= 7


def test_what_breaks_another_law_is_not_taken_for_it():
    assert len(shortest(Tried(50, other=10), broken_by(120)).lived) == 50


def test_what_an_answer_breaks_is_as_short_as_it_can_be():
    tried = Tried(9, law="declared")

    assert shortest(tried, broken_by(9, "declared", at_the_end=False)).count == 9
    assert tried.counts == [9]


def test_what_an_answer_breaks_only_after_a_restart_is_looked_for_by_halving():
    tried = Tried(100, law="declared")

    assert shortest(tried, broken_by(60, "declared", at_the_end=False)).count == 100
