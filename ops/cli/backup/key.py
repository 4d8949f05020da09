"""`hyperpage backup new-key`, `signing-key`: the key that opens what is encrypted, and the one that signs."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ops.cli.stopped import require_store
from ops.cli.terminal.exits import Exit, failure
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_result
from ops.cli.terminal.recording import recorded


def new_key(
    file: Annotated[Path, Parameter(help="Where the secret key goes; there must be no such file.")],
    /,
    *,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes a key for encrypted backups: writes the secret one into a file, and prints the public one.

    For example:

        hyperpage backup new-key backup-key.txt

    The file is one of age's, as age-keygen writes it.
    Do it on another machine than the service's, and keep the file there, twice:
    without it, nothing that was encrypted can be restored. The service needs
    the public key alone, in HYPERPAGE_ENCRYPT_TO. Where there is a store all the
    same, its audit log has that a key was made.
    Whose a backup is, is another key's business: see `signing-key`.
    """
    from ops.targets.sealing import write_new_identity

    settings = settings_for(data)
    wish = {"file": str(file.absolute())}
    try:
        with ExitStack() as stack:
            if settings.store_path.exists():
                stack.enter_context(recorded(settings, "backup.new_key", wish))
            public = write_new_identity(file)
    except FileExistsError:
        raise failure(
            Exit.FAILED,
            "exists",
            f"{file} is there already, and may be the only copy of a key",
            "name another",
        ) from None
    note = f"The secret key is in {file}: keep it away from the service, and more than once."
    print_result({**wish, "public_key": public}, as_json, public, note=note)


def signing_key(
    *,
    new: Annotated[bool, option("Make another key in the place of the present one.")] = False,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prints the public key with which the backups and the archive of this store are signed.

    For example:

        hyperpage backup signing-key
        hyperpage backup signing-key --new

    The secret one is made with the first start or backup, and stays in the data
    directory; no backup has it. Keep the public one elsewhere: with it in
    HYPERPAGE_TRUSTED_KEYS, any machine tells what this store has made from what
    somebody else has written in its place. A running service takes a new key at
    once.
    """
    from ops.targets.signing import make_key

    settings = settings_for(data)
    signing = settings.signing
    assert signing.key_file is not None, "settings name one"
    note = "Keep it elsewhere, too; with it in `trusted_keys`, other machines know what is this store's."
    with understandable():
        before = signing.own_key
        if new:
            require_store(settings.store_path)
            with recorded(
                settings, "backup.signing_key", {"previous": None if before is None else before.public}
            ):
                make_key(signing.key_file, replace=True)
            if before is not None:
                note += f" What the old one has signed is trusted if that is named there: {before.public}"
        present = signing.own_key
    if present is None:
        raise failure(
            Exit.NOT_FOUND,
            "not_found",
            f"there is no signing key in {settings.data} yet",
            "it is made when the service starts, or with the first backup",
        )
    answer = {
        "public_key": present.public,
        "file": str(signing.key_file.absolute()),
        "previous": before.public if new and before is not None else None,
    }
    print_result(answer, as_json, present.public, note=note)
