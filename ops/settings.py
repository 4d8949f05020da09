"""All settings, each with its meaning, unit and default. `ops/settings_sources.py` reads them."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from domain.credentials.scanning import AllowedPaths
from ops.broker_settings import SettingsError
from ops.stream_settings import MIB, StreamSettings
from ops.targets.bucket import bucket_path, is_bucket
from ops.targets.places import Places
from ops.targets.sealing import Compression, Sealing, require_recipients
from ops.targets.signing import SIGNING_KEY_FILE, Signing, signing_with
from ops.targets.target import Place

__all__ = ["MIB", "LogFormat", "Settings", "SettingsError"]

# By default, a backup that is kept on the nats-servers has at most this size.
USUAL_SHARED_MIB = 1024

LogFormat = Literal["console", "json"]


class Settings(StreamSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of a service."""

    aggregates: tuple[str, ...] = ()
    """Aggregates to try out, beside those that installed packages bring: modules, as `shop.basket`, or
    classes, as `dogs=school.domain:Dog`; `none`: not even those of packages. Default: no others."""

    reader_connections: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    """How many read-only connections may be open at once. Default 20."""

    reader_idle_seconds: Annotated[float, msgspec.Meta(gt=0)] = 30.0
    """After how many idle seconds a read-only connection is closed. Default 30."""

    reader_wait_seconds: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    """How many seconds a query waits for a connection before it is refused as `busy`. Default 2."""

    busy_after_ms: Annotated[int, msgspec.Meta(ge=0)] = 250
    """How many milliseconds a command or a query may wait for its turn; if it would wait longer, it is
    refused as `busy` at once. 0: it waits as long as there is room. Default 250."""

    writer_cache_kib: Annotated[int, msgspec.Meta(ge=1024)] = 64 * 1024
    """Page cache of the writing connection, in KiB. Default 65536 (64 MiB)."""

    hot_aggregates: Annotated[int, msgspec.Meta(ge=1)] = 50_000
    """How many aggregates' states are kept in memory at most. Default 50000."""

    hot_aggregates_kib: Annotated[int, msgspec.Meta(ge=1)] = 64 * 1024
    """How much memory those states may take together, in KiB, by an estimate. Default 65536 (64 MiB)."""

    prune_completed_after_hours: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """After how many hours a completed job leaves the tables; its events stay. Default: never."""

    prune_failed_after_hours: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """The same for failed jobs. Default: never."""

    prune_cancelled_after_hours: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """The same for cancelled jobs. Default: never."""

    prune_timeout_after_hours: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """The same for jobs that timed out. Default: never."""

    backups: str | None = None
    """Where backups are kept: a folder, or `s3://bucket/prefix`. Default: `backups` in the data directory;
    another disk is safer."""

    archive: str | None = None
    """Where the archive is kept: a folder, or `s3://bucket/prefix`. Default: `archive` in the data directory;
    another disk survives this one."""

    s3_endpoint: str | None = None
    """Address of the S3-compatible server of those buckets, as in `https://s3.example.org`. Region and
    credentials come from the variables that other programs read, too: `AWS_REGION`, `AWS_ACCESS_KEY_ID`,
    `AWS_SECRET_ACCESS_KEY`. Default: `AWS_ENDPOINT_URL`, or else Amazon's."""

    backup_compression: Compression = "none"
    """How backups are compressed: `none` or `zstd`, a third of the size. Default `none`: a file that any
    SQLite opens."""

    encrypt_to: tuple[str, ...] = ()
    """The public keys of age (`age1…`) that backups and archive are encrypted to. The owner of any of these
    keys can read them; the service cannot. In a variable, commas between them. Default: none, not
    encrypted."""

    trusted_keys: tuple[str, ...] = ()
    """The public keys (`ed25519:…`) whose signatures of backups and archive are trusted, beside the store's
    own, which `hyperpage backup signing-key` prints. In a variable, commas between them. Default: none."""

    require_signed: bool = False
    """Whether backups and segments of the archive are refused if no trusted key has signed them, even those
    that are older than their store's key. Default false: a warning only."""

    check_at_start: Literal["after_a_crash", "always", "never"] = "after_a_crash"
    """When the store's file, its log and its answers are checked before serving: `after_a_crash`, `always` or
    `never`. It takes some seconds for a gigabyte, and for a million events. Default `after_a_crash`."""

    upgrade_check_seconds: Annotated[float, msgspec.Meta(ge=0)] = 600.0
    """How long it may take at most, in seconds, to check before migrations that the rows of an older
    version's store stay as they are; a million events take some 25. 0: no check. Default 600."""

    restore_when_damaged: bool = False
    """Whether a store that is missing at the start, or has lost data to damage, is restored as far as backups
    and archive reach; otherwise the service does not start, and says how to restore it. Never done where
    other services have its log. Default false."""

    backup_interval_minutes: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    """How many minutes after a backup the next one is made; 0: backups are made by hand only. Default 60."""

    backup_drill_hours: Annotated[float, msgspec.Meta(ge=0)] = 24.0
    """How many hours after a backup was proven the newest one is proven; 0: by hand only. Default 24."""

    backup_keep_newest: Annotated[int, msgspec.Meta(ge=1)] = 3
    """How many of the newest backups, and of the newest proven ones, are kept, however old. Default 3."""

    backup_retention_days: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    """For how many days backups are kept. Default 30."""

    backup_keep_hourly: Annotated[int, msgspec.Meta(ge=0)] = 0
    """For how many hours, in addition, the last backup of each hour is kept. Default 0."""

    backup_keep_daily: Annotated[int, msgspec.Meta(ge=0)] = 0
    """For how many days, in addition, the last backup of each day is kept. Default 0."""

    backup_keep_weekly: Annotated[int, msgspec.Meta(ge=0)] = 0
    """For how many weeks, in addition, the last backup of each week is kept. Default 0."""

    backup_keep_monthly: Annotated[int, msgspec.Meta(ge=0)] = 0
    """For how many months, in addition, the last backup of each month is kept. Default 0."""

    allowed_secret_paths: tuple[str, ...] = ()
    """Where values that look like credentials are stored all the same: a list of `<table>.<verb>:<path>`,
    with the path in the refusal; `*` stands for any text within one step. In a variable, commas between them.
    For false alarms only: what is stored is kept for ever. Default: nowhere."""

    audit_kept_mib: Annotated[int, msgspec.Meta(ge=0)] = 256
    """How much of the audit log is kept, in MiB; beyond that, the oldest files are deleted, and a line of the
    log says so. 0: everything is kept. Default 256, some 400,000 acts."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """DEBUG, INFO, WARNING or ERROR; logs go to stderr. Default INFO."""

    log_format: LogFormat = "console"
    """Lines of the log: `console`, for people, or `json`, an object on each line. Default console."""

    health_interval_seconds: Annotated[float, msgspec.Meta(gt=0, le=60)] = 2.0
    """How often the service looks at its store, its disks and its memory, in seconds. Default 2."""

    integrity_check_minutes: Annotated[float, msgspec.Meta(ge=0)] = 60.0
    """How many minutes after a check of the whole store the next one begins, beside the commands: SQLite
    checks each table, and all hashes of the log are recomputed. 0: never. Default 60."""

    disk_free_degraded_mib: Annotated[int, msgspec.Meta(ge=0)] = 1024
    """The service is degraded if the disk of the store, the backups or the archive has less free than this,
    in MiB. Default 1024."""

    disk_free_unhealthy_mib: Annotated[int, msgspec.Meta(ge=0)] = 128
    """The service is unhealthy if one of those disks has less free than this, in MiB. Default 128."""

    memory_degraded_percent: Annotated[float, msgspec.Meta(gt=0, le=100)] = 90.0
    """The service is degraded if more than this of the container's or the machine's memory is in use, in
    percent. Default 90."""

    wal_degraded_mib: Annotated[int, msgspec.Meta(ge=0)] = 256
    """The service is degraded if the WAL beside the store is larger than this, in MiB. Default 256."""

    query_latency_degraded_ms: Annotated[float, msgspec.Meta(gt=0)] = 100.0
    """The service is degraded if reading one row takes longer than this, in milliseconds. Default 100."""

    relay_lag_degraded_seconds: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """The service is degraded if an event waits longer than this to be published, in seconds. Default 5."""

    unhandled_jobs_degraded_minutes: Annotated[float, msgspec.Meta(ge=0)] = 15.0
    """The service is degraded if no worker has asked for the type of a due job for this long, in minutes.
    Jobs of paused queues do not count. 0: never. Default 15."""

    writer_stalled_seconds: Annotated[float, msgspec.Meta(gt=0)] = 10.0
    """The service is unhealthy if the writer takes longer than this for one group of commands, in seconds.
    Default 10."""

    @property
    def allowed_secrets(self) -> AllowedPaths:
        """The paths at which texts that look like credentials are stored all the same.

        Raises:
            SettingsError: one of them is no such path.
        """
        try:
            return AllowedPaths(self.allowed_secret_paths)
        except ValueError as error:
            raise SettingsError(f"allowed_secret_paths: {error}") from None

    @property
    def prune_after_ms(self) -> dict[str, int]:
        """The milliseconds after which ended jobs leave the tables, by the state that they ended in."""
        hours = {
            "completed": self.prune_completed_after_hours,
            "failed": self.prune_failed_after_hours,
            "cancelled": self.prune_cancelled_after_hours,
            "timeout": self.prune_timeout_after_hours,
        }
        return {state: int(age * 3_600_000) for state, age in hours.items() if age is not None}

    @property
    def store_path(self) -> Path:
        return self.data / "hyperpage.db"

    @property
    def backup_folder(self) -> Place:
        """The folder of the backups.

        Raises:
            SettingsError: the setting is no address of a bucket, but begins like one.
        """
        return self._place("backups", self.backups)

    @property
    def archive_folder(self) -> Place:
        """The folder of the archive.

        Raises:
            SettingsError: the setting is no address of a bucket, but begins like one.
        """
        return self._place("archive", self.archive)

    @property
    def shared_backup_bytes(self) -> int:
        """The size up to which a backup is kept on the nats-servers, too; 0: none is.

        Raises:
            SettingsError: as `backup_folder`.
        """
        folder, mib = self.backup_folder, self.replication_backup_mib
        if not (self.is_replicated and isinstance(folder, Path)):
            return 0
        if mib is None:
            # The guide has members share a backup folder outside the data directory. Encrypted backups are of
            # no use to other members, which have no key.
            is_own = folder.resolve().is_relative_to(self.data.resolve())
            mib = USUAL_SHARED_MIB if is_own and not self.encrypt_to else 0
        return mib * MIB

    def _place(self, name: str, given: str | None) -> Place:
        staging = self.data / name
        if given is None or not is_bucket(given):
            return staging if given is None else Path(given).expanduser()
        try:
            return bucket_path(given, endpoint=self.s3_endpoint, staging=staging)
        except ValueError as error:
            raise SettingsError(f"{name}: {error}") from None

    @property
    def sealing(self) -> Sealing:
        """How backups are compressed and encrypted.

        Raises:
            SettingsError: one of `encrypt_to` is no public key.
        """
        try:
            require_recipients(self.encrypt_to)
        except ValueError as error:
            raise SettingsError(f"encrypt_to: {error}") from None
        return Sealing(self.backup_compression, self.encrypt_to)

    @property
    def signing(self) -> Signing:
        """The key that signs backups and archive, and the keys that are trusted.

        Raises:
            SettingsError: one of `trusted_keys` is no public key.
        """
        key_file = self.data / SIGNING_KEY_FILE
        try:
            return signing_with(key_file, self.trusted_keys, is_required=self.require_signed)
        except ValueError as error:
            raise SettingsError(f"trusted_keys: {error}") from None

    @property
    def places(self) -> Places:
        """The places of the store, its backups and its archive."""
        return Places(
            store=self.store_path,
            backups=self.backup_folder,
            archive=self.archive_folder,
            sealing=self.sealing,
            signing=self.signing,
        )
