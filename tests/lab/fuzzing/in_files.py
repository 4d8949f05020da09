"""Readers of files, as targets: a program that can write such a file must not gain more by that."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import zstandard

from bus.serving.durable.suspects import Suspects
from ops.archive.reading import read_segment
from ops.archive.segment import END_FRAME, Segment, Trailer
from ops.backup.metadata import metadata_path, read_metadata
from ops.http.access.tokens import TokenError, TokenFile
from ops.importing.old_tables import OLD_TABLES
from ops.importing.source import Source, SourceError
from ops.security.users import UserError, UserFile, rights_of
from ops.settings import SettingsError
from ops.settings_sources import load_settings
from ops.targets.errors import BackupError
from tests.lab.fuzzing.mutating import Target
from tests.support.repository import ROOT
from tests.support.stores.archived import Archived
from tests.support.stores.old_databases import APP_STATE, JOB, RATE_LIMIT, TOOL_CONFIG, old_database


def in_files(folder: Path) -> dict[str, Target]:
    """The targets, by name; all files are in `folder`."""
    return {
        **_of_backups(folder),
        **_of_access(folder),
        "hyperpage.toml": _settings(folder),
        "a database of the system before": _old_database(folder),
        **_suspects(folder),
    }


def _rewriting(path: Path, read: Callable[[], object]) -> Callable[[bytes], object]:
    def written_and_read(content: bytes) -> object:
        path.write_bytes(content)
        return read()

    return written_and_read


def _of_backups(folder: Path) -> dict[str, Target]:
    kept = Archived(folder / "kept")
    kept.work(30)
    kept.archive()
    backup = kept.backup("one").place
    kept.close()
    metadata = metadata_path(backup)
    segment = kept.segments[0]
    path = Path(str(segment.place))
    whole = path.read_bytes()
    lines = zstandard.ZstdDecompressor().stream_reader(whole).read(10**8)

    def resealed(content: bytes) -> bytes:
        """Lines as a segment whose checksums fit, so that what stands in them is read."""
        body = content.rpartition(b"\n")[0] + b"\n"
        trailer = msgspec.json.encode(Trailer(sha256=hashlib.sha256(body).hexdigest())) + b"\n"
        compressed = zstandard.ZstdCompressor(write_checksum=True).compress(body + trailer)
        return compressed + END_FRAME + hashlib.sha256(compressed).digest()

    def read() -> object:
        return read_segment(Segment(segment.place, segment.timeline, segment.first, segment.last))

    reading = _rewriting(path, read)
    without_trailer = lines.removesuffix(b"\n").rpartition(b"\n")[0] + b"\n"
    return {
        "the metadata of a backup": Target(
            _rewriting(Path(str(metadata)), lambda: read_metadata(backup)),
            [Path(str(metadata)).read_bytes()],
            (BackupError,),
        ),
        "a segment of the archive": Target(reading, [whole], (BackupError,)),
        "the lines of a segment": Target(
            lambda content: reading(resealed(content)), [without_trailer], (BackupError,)
        ),
    }


def _of_access(folder: Path) -> dict[str, Target]:
    tokens, users = TokenFile(folder), UserFile(folder)
    rights = rights_of(allow=["jobs.*"], keys=["billing/*"], tables=["jobs"], reads=True, follows=True)
    users.create("billing", rights)
    tokens.create("grafana", "read")
    known_users, known_tokens = users.path.read_bytes(), tokens.path.read_bytes()
    return {
        "users.json": Target(_rewriting(users.path, users.read), [known_users], (UserError,)),
        "tokens.json": Target(_rewriting(tokens.path, tokens.read), [known_tokens], (TokenError,)),
    }


def _settings(folder: Path) -> Target:
    file = folder / "hyperpage.toml"
    environment = {"HYPERPAGE_CONFIG": str(file)}
    known = (ROOT / "ops/deploy/hyperpage.toml").read_text(encoding="utf-8")
    # Most settings in that file are comments.
    used = "\n".join(line.removeprefix("# ") for line in known.splitlines() if " = " in line)
    single = [line.encode() for line in used.splitlines()]
    return Target(
        _rewriting(file, lambda: load_settings(environment=environment)),
        [known.encode(), *single],
        (SettingsError,),
    )


def _old_database(folder: Path) -> Target:
    path = old_database(
        folder / "old.db",
        jobs=[JOB | {"id": f"job-{number}"} for number in range(40)],
        rate_limits=[RATE_LIMIT],
        tool_configs=[TOOL_CONFIG],
        app_state=[APP_STATE],
    )

    def read() -> object:
        source = Source(path)
        try:
            return [list(source.rows(table)) for table in OLD_TABLES]
        finally:
            source.close()

    return Target(_rewriting(path, read), [path.read_bytes()], (SourceError,))


def _suspects(folder: Path) -> dict[str, Target]:
    own = folder / "durable"
    own.mkdir()

    def read() -> object:
        Suspects(own).close()
        return None

    mark = b'{"id":"a","stream":1,"places":[[1,10],[2,20],[3,30]]}\n'
    counts = b'{"counted":"a","stream":1,"downs":[[[1,10],2]]}'
    return {
        "the mark of suspects": Target(_rewriting(own / "deciding", read), [mark], ()),
        "the counts of suspects": Target(_rewriting(own / "counts.json", read), [counts], ()),
    }
