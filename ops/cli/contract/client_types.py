"""`hyperpage client-types`: types of installed aggregates, for client programs; needs no service."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ops.cli.terminal.completing import tables_of_others
from ops.cli.terminal.exits import Exit, failure, usage_failure
from ops.cli.terminal.options import AggregatesOption, DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_result

Language = Literal["python", "typescript"]

_ENDINGS: dict[str, Language] = {".py": "python", ".pyi": "python", ".ts": "typescript", ".mts": "typescript"}
# A file that this command made has this name among its first characters.
_MADE_BY, _LOOKED_AT = "hyperpage client-types", 10_000


def client_types(
    *tables: Annotated[
        str,
        Parameter(
            name="TABLES",
            help="Tables that packages bring. Default: all of them.",
            completer=tables_of_others,
        ),
    ],
    language: Annotated[
        Language | None, option("Of which client. Default: that which the name of the file ends like.")
    ] = None,
    out: Annotated[
        Path | None, option("The file, which is written anew where this command made it. Default: print it.")
    ] = None,
    check: Annotated[
        bool, option("Write nothing, and fail where the file is not what would be written.")
    ] = False,
    aggregates: AggregatesOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes the types of your own aggregates for programs that use the client.

    For example:

        hyperpage client-types --out shop_client.py
        hyperpage client-types baskets --language typescript > shop.ts
        hyperpage client-types --aggregates shop.basket --out shop_client.py
        hyperpage client-types --out shop_client.py --check

    A Python module has a class for each table, with a method for each of its
    commands and queries. A TypeScript file has the types for the client's own
    methods. The aggregates are those that a service here would have. Needs no
    running service.
    """
    chosen = language or (None if out is None else _ENDINGS.get(out.suffix))
    if chosen is None:
        hint = "add `--language python`, or `--language typescript`"
        raise usage_failure("of which client is not said", hint)
    if check and out is None:
        raise usage_failure("there is no file to check", "name it: `--out FILE`")
    # This sets the aggregates for the modules that are imported later.
    settings_for(data, aggregates=aggregates)
    source = _source(tables, chosen)
    if out is None:
        print_result({"source": source}, as_json, lambda result: print(result["source"], end=""))
        return
    tried = [] if aggregates is None else ["--aggregates", aggregates]
    again = " ".join([_MADE_BY, *tables, *tried, "--out", str(out)])
    is_changed = _put(out, source, check=again if check else None)
    print_result({"file": str(out), "language": chosen, "changed": is_changed}, as_json, _print)


def _put(out: Path, source: str, *, check: str | None) -> bool:
    """Writes the file, unless another program made it; whether its content has changed.

    With `check`, which is the command that would write the file, nothing is written.

    Raises:
        CommandFailure: with `check`, the content would change; without, another program made the file.
    """
    before = out.read_text(encoding="utf-8") if out.exists() else None
    if before == source:
        return False
    if check is not None:
        message, hint = f"{out} is not what the aggregates say", f"write it anew: `{check}`"
        raise failure(Exit.FAILED, "stale", message, hint)
    if before is not None and _MADE_BY not in before[:_LOOKED_AT]:
        message, hint = f"{out} was not made by this command", "nothing was written: name another file"
        raise failure(Exit.FAILED, "not_ours", message, hint)
    out.write_text(source, encoding="utf-8")
    if before is None:
        # Sources are for other users, too, unlike all other files that the program writes.
        out.chmod(0o644)
    return True


def _source(tables: tuple[str, ...], language: Language) -> str:
    from ops.contract.client_types.brought import UnknownTableError
    from ops.contract.client_types.python.module import source
    from ops.contract.client_types.typescript import source_beside

    make = source if language == "python" else source_beside
    try:
        return make(tables, " ".join([_MADE_BY, *tables, "--language", language]))
    except UnknownTableError as error:
        raise failure(Exit.NOT_FOUND, "not_found", str(error), error.hint) from error


def _print(result: dict[str, Any]) -> None:
    print(f"{result['file']}: {'written' if result['changed'] else 'as it was'}")
