"""`hyperpage backup new-key`, `signing-key`, `sign-archive`: the keys of backups and archive."""

from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from domain.counting import counted
from ops.cli.stopped import require_store, stopped_directory
from ops.cli.terminal.exits import Exit, failure
from ops.cli.terminal.failures import understandable
from ops.cli.terminal.options import DataOption, JsonOption, option, settings_for
from ops.cli.terminal.output import print_result, shown_progress
from ops.cli.terminal.recording import recorded


def new_key(
    file: Annotated[Path, Parameter(help="The file for the secret key, which must not exist yet.")],
    /,
    *,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes a pair of keys for encrypted backups: writes the secret key to a file, prints the public one.

    For example:

        hyperpage backup new-key backup-key.txt

    The file has the format of age, as age-keygen writes it.
    Run this on another machine than the service's, and keep two copies of the
    file there: without it, no encrypted backup can be restored. The service
    needs only the public key, in HYPERPAGE_ENCRYPT_TO. If there is a store on
    this machine all the same, its audit log notes that a key was made.
    Another key shows which store has made a backup: see `signing-key`.
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
    """Prints the public key of the signatures on this store's backups and archive.

    For example:

        hyperpage backup signing-key
        hyperpage backup signing-key --new

    The secret key is made at the first start or backup, and stays in the data
    directory; it is in no backup. Keep the public key elsewhere: with it in
    HYPERPAGE_TRUSTED_KEYS, any machine can tell the files of this store from
    forged ones. A running service uses a new key at once.
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


def sign_archive(*, data: DataOption = None, as_json: JsonOption = False) -> int:
    """Signs the segments of the archive that were written before there was a key.

    For example:

        hyperpage backup sign-archive

    No segment is signed unseen: the hash chain of the store's log is checked
    first, and each unsigned segment with the very same events is written anew
    from the log. Segments with events that the log lacks, as those of a timeline
    that a restore has left, stay unsigned and are named; the exit code is then
    1. The service must be stopped.
    """
    from bus.log import chain
    from bus.log.cloud_events import read_origin
    from bus.log.reader_pool import ReaderPool
    from ops.archive.archiver import Archiver
    from ops.archive.sign import sign_archive as carry_out
    from ops.backup.sound import require_chain

    settings = settings_for(data)
    require_store(settings.store_path)
    readers = ReaderPool(settings.store_path)
    with stopped_directory(settings), understandable(), closing(readers), shown_progress() as progress:
        with readers.connection() as connection:
            origin, head = read_origin(connection), chain.read_head(connection)
            require_chain(connection, settings.store_path.name, head, chain.Head())
        read_log = Archiver(
            settings.archive_folder, origin, readers.connection, store=settings.store_path
        ).read_log
        with recorded(settings, "backup.sign_archive", {"position": head.position}) as said:
            done = carry_out(
                settings.archive_folder,
                read_log,
                recipients=settings.encrypt_to,
                signing=settings.signing,
                progress=progress,
            )
            said.update(signed=done.signed, left=len(done.left))
    note = "; ".join(f"{name}: {reason}" for name, reason in done.left.items())
    signed = counted(done.signed, "segment is", "segments are")
    lines = f"{signed} signed now; before: {done.before}, left: {len(done.left)}"
    print_result(done, as_json, lines, note=note)
    return Exit.FAILED if done.left else Exit.DONE
