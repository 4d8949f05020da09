"""uv.lock is the same wherever it was written."""

import tomllib
from urllib.parse import urlsplit

from tests.support.repository import ROOT


def test_packages_come_from_the_public_index_and_not_from_where_one_machine_takes_them():
    packages = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    assert [one["name"] for one in packages if "editable" in one["source"]] == ["hyperpage-persistence"]
    indexes = {one["source"]["registry"] for one in packages if "editable" not in one["source"]}
    assert indexes == {"https://pypi.org/simple"}
    files = [file["url"] for one in packages for file in [*one.get("wheels", []), one.get("sdist")] if file]
    assert {urlsplit(url).netloc for url in files} == {"files.pythonhosted.org"}
