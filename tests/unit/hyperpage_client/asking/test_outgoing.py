"""The form in which the client sends a command."""

from typing import Any

import pytest

from hyperpage_client.asking.outgoing import Outgoing


def test_what_nobody_can_say_about_a_command_is_not_left_out_without_a_word():
    about: Any = {"command_id": "c-1", "actor": None, "prio": 3}

    with pytest.raises(TypeError, match="nor what may be said about one: prio"):
        Outgoing.of("jobs.enqueue", {"type": "mail"}, about)
