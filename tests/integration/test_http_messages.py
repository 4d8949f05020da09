"""Commands and queries over HTTP: the same meaning, the same limits, the same writer as over the bus."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.data_directory import read_runtime
from tests.integration.asking import HttpTalk, problem


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpTalk]:
    with HttpTalk(tmp_path_factory.mktemp("http")) as talk:
        yield talk


def test_where_the_api_is_stands_in_the_runtime_file(talk: HttpTalk) -> None:
    runtime = read_runtime(talk.data)

    assert runtime is not None
    assert runtime.http_url == talk.url
    assert talk.get("/api/v1/jobs").status_code == 200


def test_a_command_by_its_verb_is_answered_as_on_the_bus(talk: HttpTalk) -> None:
    answer = talk.post("/api/v1/jobs/enqueue", {"id": "a", "type": "sync", "name": "A"})

    assert answer.status_code == 200
    assert answer.json()["stream"] == "jobs/a"
    assert answer.json()["events"] == ["job.enqueued.v1"]
    assert talk.query("jobs.get", {"id": "a"}).said == talk.get("/api/v1/jobs/a").json()


def test_what_is_not_there_is_a_problem(talk: HttpTalk) -> None:
    problem(talk.get("/api/v1/jobs/nobody"), 404, "not_found")
    problem(talk.get("/api/v1/nothing"), 404, "not_found")
    problem(talk.get("/elsewhere"), 404, "not_found")
    assert "GET" in talk.ask("DELETE", "/api/v1/jobs/a").headers["allow"]


def test_without_http_there_is_no_address(tmp_path: Path) -> None:
    with HttpTalk(tmp_path, no_http=True) as talk:
        runtime = read_runtime(talk.data)

        assert runtime is not None
        assert runtime.http_url is None
