"""`hyperpage backup new-key`: a key for encrypted backups."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ops.cli.terminal.exits import Exit, failure
from ops.cli.terminal.options import JsonOption
from ops.cli.terminal.output import print_result


def new_key(
    file: Annotated[Path, Parameter(help="Where the secret key goes; there must be no such file.")],
    /,
    *,
    as_json: JsonOption = False,
) -> None:
    """Makes a key for encrypted backups: writes the secret one into a file, and prints the public one.

    For example:

        hyperpage backup new-key backup-key.txt

    The file is one of age's, as age-keygen writes it.
    Do it on another machine than the service's, and keep the file there, twice:
    without it, nothing that was encrypted can be restored. The service needs
    the public key alone, in HYPERPAGE_ENCRYPT_TO.
    """
    from ops.targets.sealing import write_new_identity

    try:
        public = write_new_identity(file)
    except FileExistsError:
        raise failure(
            Exit.FAILED,
            "exists",
            f"{file} is there already, and may be the only copy of a key",
            "name another",
        ) from None
    note = f"The secret key is in {file}: keep it away from the service, and more than once."
    print_result({"file": str(file.absolute()), "public_key": public}, as_json, public, note=note)
