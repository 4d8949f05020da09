"""The names of consumers: each user's own, and not to be guessed."""

from hypothesis import assume, given
from hypothesis import strategies as st

from bus.contract.senders import USER_PATTERN
from bus.serving.consumer_names import ConsumerNames

NAMES = ConsumerNames(b"a key of the service")
STREAM = "HYPERPAGE_EVENTS"

users = st.from_regex(USER_PATTERN, fullmatch=True)
names = st.text(
    st.characters(codec="utf-8", exclude_characters="\x7f.*>/\\ ", min_codepoint=33), min_size=1, max_size=128
)


@given(users, names)
def test_a_name_comes_back_to_its_user_and_to_nobody_else(user: str, name: str):
    real = NAMES.real(user, STREAM, name)

    assert real is not None
    assert NAMES.known(user, STREAM, real) == name
    assert NAMES.user_of(STREAM, real) == user
    assert NAMES.known(user, "HYPERPAGE_RESULTS", real) is None


@given(users, names, users, names)
def test_two_consumers_never_have_one_real_name(user: str, name: str, other: str, others: str):
    assume((user, name) != (other, others))

    assert NAMES.real(user, STREAM, name) != NAMES.real(other, STREAM, others)


@given(users, users, names)
def test_the_real_name_of_another_is_no_way_to_it(user: str, other: str, name: str):
    assume(user != other)
    real = NAMES.real(user, STREAM, name)

    assert real is not None
    assert NAMES.known(other, STREAM, real) is None
    assert NAMES.real(other, STREAM, real[:128]) != real


@given(users, names)
def test_it_takes_the_key_to_make_a_name(user: str, name: str):
    assert NAMES.real(user, STREAM, name) != ConsumerNames(b"another key").real(user, STREAM, name)
    assert NAMES.real(user, STREAM, name) == ConsumerNames(b"a key of the service").real(user, STREAM, name)


@given(st.text())
def test_what_was_not_made_here_is_nobodys(real: str):
    assert NAMES.user_of(STREAM, real) is None
    assert NAMES.known("billing", STREAM, real) is None


@given(
    users,
    st.sampled_from(["", ".", "a.b", "*", "a>", "a b", "a\tb", "a/b", "a\\b", "a\0", "a\r\n", "x" * 129]),
)
def test_a_name_that_jetstream_could_not_have_is_none(user: str, name: str):
    assert NAMES.real(user, STREAM, name) is None
