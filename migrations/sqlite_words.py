"""`words_of`: SQLite's message of an error, or ours if that says nothing. `kind_of`: an error's class."""

import apsw

_WORDS: tuple[tuple[type[apsw.Error], str], ...] = (
    (apsw.FullError, "there is no room on its disk"),
    (apsw.ReadOnlyError, "it may only be read"),
    (apsw.PermissionsError, "this user has not the right to it"),
    (apsw.CantOpenError, "it cannot be opened"),
    (apsw.BusyError, "another program has locked it"),
    (apsw.LockedError, "another program has locked it"),
    (apsw.CorruptError, "it is damaged"),
    (apsw.NotADBError, "it is no database, or its beginning is damaged"),
    (apsw.IOError, "its disk does not read or write"),
    (apsw.NoMemError, "there is not enough memory"),
)
# Messages that say nothing: SQLite takes the text from a connection, which may not be the one that failed.
_SAYS_NOTHING = ("", "not an error", "unknown error")


def words_of(error: BaseException) -> str:
    """A text that says what is wrong; never empty."""
    said = str(error)
    kind = kind_of(error)
    if kind is type(error) and said.rpartition(": ")[2] not in _SAYS_NOTHING:
        return said
    return next(
        (words for known, words in _WORDS if issubclass(kind, known)), f"SQLite: {type(error).__name__}"
    )


def kind_of(error: BaseException) -> type[BaseException]:
    """The class of an error; `FullError` for SQLite's I/O error of a WAL index that has no room."""
    code = getattr(error, "extendedresult", None)
    return apsw.FullError if code == apsw.SQLITE_IOERR_SHMSIZE else type(error)
