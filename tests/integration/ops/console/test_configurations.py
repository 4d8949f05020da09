"""Configurations in the console: their history, how versions differ, changing them, and the way back."""

from typing import Any

from tests.support.services.asking import HttpTalk
from tests.support.services.visiting import HOSTILE, Visitor, buttons

PAGE, EDIT = "/console/tool_configs/github", "/console/tool_configs/-/edit"


def configure(talk: HttpTalk, config: Any, **fields: Any) -> None:
    body = {"tool_name": "github", "config": config, **fields}
    assert talk.command("tool_configs.set", body).code is None


def row(talk: HttpTalk) -> Any:
    return talk.query("tool_configs.get", {"tool_name": "github"}).said


def test_a_page_says_who_changed_what_and_why(talk: HttpTalk, operator: Visitor) -> None:
    configure(talk, {"pages": 10, "owner": HOSTILE}, reason=HOSTILE)
    configure(talk, {"pages": 20}, reason="more of them", refresh_interval=60_000)

    page = operator.page(PAGE)
    for text in ("Version 2: set", "more of them", "From version 1 to 2", "<del>10</del>", "<ins>20</ins>"):
        assert text in page
    assert "<script>alert" not in page
    assert "1 min<" in operator.page("/console/tool_configs")
    assert "From version 2 to 1" in operator.page(PAGE + "?from=2&to=1")
    assert "They say the same." in operator.page(PAGE + "?from=2&to=2")
    for nothing in ("?from=1&to=7", "?rollback=7"):
        assert operator.get(PAGE + nothing).status_code == 404
    assert operator.get("/console/tool_configs/nobody").status_code == 404


def test_the_way_back_is_shown_before_it_is_gone(talk: HttpTalk, operator: Visitor) -> None:
    configure(talk, {"pages": 10})
    configure(talk, {"pages": 20})

    look = operator.page(PAGE + "?rollback=1")
    assert "Back to version 1?" in look
    assert "<del>20</del>" in look
    assert "<ins>10</ins>" in look
    assert row(talk)["version"] == 2

    told = operator.does(PAGE, verb="rollback", to_version="1", version="2", reason="too many")
    assert told == "The old content is back, as a new version"
    assert (row(talk)["version"], row(talk)["config"]) == (3, {"pages": 10})
    # This form is from a page before that change.
    assert "version" in operator.does(PAGE, verb="rollback", to_version="2", version="2")
    assert row(talk)["version"] == 3


def test_a_form_that_is_refused_comes_back_as_it_was_filled_in(talk: HttpTalk, operator: Visitor) -> None:
    configure(talk, {"pages": 10}, enabled=False)
    form = {"tool": "github", "version": "1", "notifications": "yes"}

    for config, told in (
        ("{", "config"),
        ("[1]", "object"),
        ('{"token": "ghp_0123456789abcdefghijklmnopqrstuvwxyz"}', "credential"),
    ):
        refused = operator.post(EDIT, **form, config=config, reason="because")
        assert refused.status_code in (400, 422)
        assert told in refused.text
        assert 'value="because"' in refused.text
        # The page names the place of the credential, and does not show the credential again.
        assert "ghp_" not in refused.text
        is_secret = "token" in config
        assert ("(at $.config.token)" in refused.text) is is_secret
        assert ("${env:NAME}&#34;" in refused.text) is is_secret
    assert operator.post(EDIT, **{**form, "version": "7"}, config='{"pages": 11}').status_code == 409
    assert operator.post(EDIT, **form, config="{}", refresh_interval="soon").status_code == 400
    assert row(talk)["version"] == 1

    told = operator.does(EDIT, **form, config='{"pages": 11}', refresh_interval="60000", reason="one more")
    assert told == "The configuration of github is stored"
    stored = row(talk)
    assert (stored["config"], stored["enabled"], stored["refresh_interval"]) == ({"pages": 11}, False, 60_000)


def test_what_was_deleted_comes_back_by_a_form_or_by_its_history(talk: HttpTalk, operator: Visitor) -> None:
    configure(talk, {"pages": 10})
    assert operator.does(PAGE, verb="delete", version="1") == "The tool has no configuration any more"
    assert 'name="version" value="2"' in operator.page(EDIT + "?tool=github")
    operator.does(PAGE, verb="rollback", to_version="1", version="2")
    assert row(talk)["config"] == {"pages": 10}


def test_who_may_only_read_sees_no_buttons_and_is_refused(talk: HttpTalk) -> None:
    configure(talk, {"pages": 10})
    reader = Visitor(talk, "read")
    assert buttons(reader.page("/console/tool_configs")) == []
    assert buttons(reader.page(PAGE)) == []
    assert buttons(reader.page(PAGE + "?rollback=1")) == []
    for refused in (
        reader.post(PAGE, verb="disable", version="1"),
        reader.post(EDIT, tool="github", version="1", config="{}"),
        reader.get(EDIT + "?tool=github"),
    ):
        assert refused.status_code == 403
    assert row(talk)["version"] == 1
