"""An S3-compatible bucket, and the paths in it: `BucketPath` has the methods of `pathlib.Path` that fit both.

S3 promises that a file that was put is complete and on disk, or not there at all, so nothing is renamed. The
library repeats failed requests, within limits; if they still fail, `BucketError` is raised.
"""

import os
import posixpath
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obstore.store import S3Store

SCHEME = "s3://"
# Limits of one request: the time to connect, and the time without any data.
CONNECT_TIMEOUT = timedelta(seconds=5)
READ_TIMEOUT = timedelta(seconds=30)
# Limit of a whole request: long enough for a part of an upload at 200 kB/s.
REQUEST_TIMEOUT = timedelta(seconds=60)
MAXIMUM_RETRIES = 3
# Limit of all attempts together. A service that stops waits for the archive, but no longer than this.
RETRY_TIMEOUT = timedelta(seconds=10)
# Size of the parts of an upload: 80 GB fit into the 10,000 parts that S3 allows. Few are sent at once, since
# they fill the memory of the service.
PART_BYTES = 8 * 1024 * 1024
PARTS_AT_ONCE = 4
READS_AT_ONCE = 16
# Limit of a file that is read as a whole: metadata and segments.
MAXIMUM_READ_BYTES = 160 * 1024 * 1024


class BucketError(OSError):
    """A bucket does not answer, or refuses; the message names it, and has the server's answer."""

    hint = "see the address, HYPERPAGE_S3_ENDPOINT and the AWS_… variables"


@dataclass(frozen=True, eq=False)
class Bucket:
    """A bucket. Credentials come from the environment (`AWS_…`), and are kept nowhere else."""

    name: str
    endpoint: str | None
    staging: Path
    """A local folder for what is to go there, or comes from there."""
    # Contents that were read, by key and ETag. The ETags of a listing show which are still valid.
    _known: dict[tuple[str, str], bytes] = field(default_factory=dict)

    def store(self) -> "S3Store":
        """The library's object for the bucket.

        Raises:
            BucketError: the library is not installed, or cannot be set up.
        """
        return _store(self.name, self.endpoint)


@dataclass(frozen=True)
class BucketPath:
    """A file or folder in a bucket, by its key."""

    bucket: Bucket
    key: str

    def __str__(self) -> str:
        return f"{SCHEME}{self.bucket.name}/{self.key}"

    def __truediv__(self, name: str) -> "BucketPath":
        return BucketPath(self.bucket, posixpath.join(self.key, name))

    @property
    def name(self) -> str:
        return posixpath.basename(self.key)

    @property
    def parent(self) -> "BucketPath":
        return BucketPath(self.bucket, posixpath.dirname(self.key))

    def with_name(self, name: str) -> "BucketPath":
        return self.parent / name

    def exists(self) -> bool:
        """Whether there is a file of that name."""
        try:
            self.size()
        except FileNotFoundError:
            return False
        return True

    def size(self) -> int:
        """The size of the file, in bytes.

        Raises:
            FileNotFoundError: it is not there.
        """
        with bucket_errors(self) as obstore:
            return int(obstore.head(self.bucket.store(), self.key)["size"])

    def read_bytes(self, most_bytes: int = MAXIMUM_READ_BYTES) -> bytes:
        """The content of the file.

        Raises:
            FileNotFoundError: it is not there.
            BucketError: it has more than `most_bytes`.
        """
        with bucket_errors(self) as obstore:
            found = obstore.get(self.bucket.store(), self.key)
            if found.meta["size"] > most_bytes:
                raise BucketError(f"{self} has more than {most_bytes} bytes")
            return bytes(found.bytes())

    def chunks(self, size_bytes: int) -> Iterator[bytes]:
        """The content of the file, piece by piece.

        Raises:
            FileNotFoundError: it is not there.
        """
        with bucket_errors(self) as obstore:
            for chunk in obstore.get(self.bucket.store(), self.key).stream(size_bytes):
                yield bytes(chunk)

    def put(self, content: bytes | Path) -> None:
        """Puts the whole file there; it replaces a file of that name."""
        with bucket_errors(self) as obstore:
            obstore.put(
                self.bucket.store(), self.key, content, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE
            )

    def unlink(self, missing_ok: bool = False) -> None:
        """Deletes the file; S3 does not say whether it was there."""
        with bucket_errors(self) as obstore:
            obstore.delete(self.bucket.store(), self.key)

    def files(self) -> Iterator[tuple["BucketPath", int, str]]:
        """The files in this folder and below, with sizes and ETags, in no particular order."""
        prefix = self.key + "/" if self.key else None
        with bucket_errors(self) as obstore:
            for page in obstore.list(self.bucket.store(), prefix):
                for one in page:
                    yield BucketPath(self.bucket, one["path"]), one["size"], one["e_tag"] or ""


def read_all(files: Sequence[tuple[BucketPath, str]], most_bytes: int) -> list[bytes | OSError]:
    """The content of small files, several read at once; content known by its ETag is not read again."""

    def read(one: tuple[BucketPath, str]) -> bytes | OSError:
        path, tag = one
        known = path.bucket._known.get((path.key, tag)) if tag else None
        if known is not None:
            return known
        try:
            content = path.read_bytes(most_bytes)
        except FileNotFoundError as error:
            return error
        if tag:
            path.bucket._known[path.key, tag] = content
        return content

    if not files:
        return []
    bucket = files[0][0].bucket
    wanted = {(path.key, tag) for path, tag in files}
    for gone in [key for key in bucket._known if key not in wanted]:
        bucket._known.pop(gone, None)
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        return list(pool.map(read, files))


def is_bucket(address: str) -> bool:
    """Whether a text is the address of a folder in a bucket, and no path."""
    return address.startswith(SCHEME)


@cache
def bucket_path(address: str, *, endpoint: str | None, staging: Path) -> BucketPath:
    """The folder `s3://bucket/prefix`. `endpoint` is the address of a server that is not Amazon's.

    Raises:
        ValueError: the address is not of that form.
    """
    name, _, key = address.removeprefix(SCHEME).partition("/")
    parts = [part for part in key.split("/") if part]
    if not is_bucket(address) or not name or ".." in parts:
        raise ValueError(f"{address!r} is no s3://bucket/prefix")
    return BucketPath(Bucket(name, endpoint, staging), "/".join(parts))


@cache
def _store(name: str, endpoint: str | None) -> "S3Store":
    try:
        from obstore.store import S3Store
    except ImportError:
        raise BucketError(
            f"{SCHEME}{name} needs the library obstore: in a copy of the repository, `pip install '.[s3]'`"
        ) from None
    address = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    more: dict[str, Any] = {} if address is None else {"endpoint": address}
    return S3Store(
        name,
        **more,
        client_options={
            # Plain HTTP only if the operator's address begins with `http://`.
            "allow_http": address is not None and address.startswith("http://"),
            "connect_timeout": CONNECT_TIMEOUT,
            "read_timeout": READ_TIMEOUT,
            "timeout": REQUEST_TIMEOUT,
        },
        retry_config={"max_retries": MAXIMUM_RETRIES, "retry_timeout": RETRY_TIMEOUT},
    )


@contextmanager
def bucket_errors(path: BucketPath) -> Iterator[Any]:
    """The library, whose errors within the block are raised with a message of one line.

    Raises:
        BucketError: the bucket does not answer, or refuses.
        FileNotFoundError: the bucket has no such file.
    """
    try:
        import obstore
        from obstore.exceptions import BaseError
    except ImportError:
        path.bucket.store()  # says what is missing
        raise
    try:
        yield obstore
    except FileNotFoundError as error:
        if "NoSuchBucket" in str(error):
            raise BucketError(f"there is no bucket {path.bucket.name}") from error
        raise FileNotFoundError(f"there is no {path}") from error
    except BaseError as error:
        raise BucketError(f"{path}: {_said(str(error))}") from error


def _said(text: str) -> str:
    """The message of an error, without the library's trace; it stays the same for the same error."""
    if "NoSuchBucket" in text:
        return "there is no such bucket"
    for tag in ("Message", "Code"):
        _, found, rest = text.partition(f"<{tag}>")
        if found:
            return f"the bucket refuses: {rest.partition('<')[0]}"
    if "169.254.169.254" in text:
        # The address where machines in a cloud ask for credentials if none are set.
        return "there are no credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"
    first = text.partition("\n")[0]
    _, found, rest = first.partition("HTTP error: ")
    return f"the bucket does not answer: {rest.strip()}" if found else first.strip()
