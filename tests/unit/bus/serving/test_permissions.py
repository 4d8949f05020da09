"""Which keys a command names, in the eyes of a user who has some alone."""

import msgspec
import pytest

from bus.contract.rights import Principal, Rights
from bus.serving.permissions import require_may_send
from domain.catalogue import VERBS
from domain.errors import Forbidden

BILLING = Principal(name="billing", rights=Rights(commands=("*",), keys=("billing/",)))


def send(**body: object) -> None:
    _, verb = VERBS["jobs.enqueue"]
    command = msgspec.convert({"id": "billing/1", "type": "sync"} | body, verb.command)
    require_may_send(BILLING, "jobs.enqueue", verb, command)


def test_a_job_draws_on_a_rate_limit_of_its_users_own():
    send(budget={"platform": "billing/api", "resource": "core"})
    with pytest.raises(Forbidden, match="github:core is not a key of billing"):
        send(budget={"platform": "github", "resource": "core"})
