"""`hyperpage user` where no service runs."""

from pathlib import Path

from tests.support.services.command_line import hyperpage


def test_a_name_is_that_of_a_user_or_of_a_token_and_of_one_of_them_alone(tmp_path: Path):
    def made(kind: str, name: str) -> int:
        out = ("--out", tmp_path / f"{name}.nk") if kind == "user" else ()
        result = hyperpage(kind, "create", name, *out, "--data", tmp_path / "data")
        assert result.code == 0 or "choose another name" in result.err
        return result.code

    assert [made("user", "billing"), made("token", "billing")] == [0, 1]
    assert [made("token", "shop"), made("user", "shop")] == [0, 1]
    # A revoked name stays taken: events name the user or token that it once meant.
    assert hyperpage("token", "revoke", "shop", "--data", tmp_path / "data").code == 0
    assert hyperpage("user", "revoke", "billing", "--data", tmp_path / "data").code == 0
    assert [made("user", "shop"), made("token", "billing")] == [1, 1]
