"""Small files of the service and its operators while the power is cut: each a `Scenario` with its chance."""

import random
from collections.abc import Callable
from pathlib import Path

from bus.serving.durable import suspects as durable
from hyperpage_client.transport.nkeys import NKey
from ops.audit.entry import Head
from ops.audit.own_acts import own_act
from ops.audit.trail import AuditTrail
from ops.audit.verification import verify
from ops.http.access.tokens import TokenFile
from ops.security.outside_nats import ROLES, write_configuration
from ops.security.users import UserFile, rights_of
from ops.settings import Settings
from ops.store.data_directory import DataDirectory, kept_key
from ops.targets.sealing import read_identities, write_new_identity
from ops.targets.signing import make_key, signing_with
from tests.lab.cuts.cutting import Heard, Notes
from tests.lab.cuts.scenarios import DATA
from tests.lab.experiment import Broken
from tests.lab.oracle import require_tokens


class Tokens:
    """Tokens and users are made and revoked."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def play(self, root: Path, notes: Notes) -> None:
        data = root / DATA
        DataDirectory(data).release()
        tokens, users = TokenFile(data), UserFile(data)
        rights = rights_of(allow=["*"], keys=[], tables=[], reads=True, follows=True)
        good: list[str] = []
        for number in range(20):
            if good and self._chance.random() < 0.4:
                gone = good.pop(self._chance.randrange(len(good)))
                notes(begins_to_revoke=gone)
                tokens.revoke(gone)
                notes(revoked=gone)
            elif self._chance.random() < 0.7:
                token, _ = tokens.create(f"token-{number}", "read")
                good.append(token.id)
                notes(token=token.id)
            else:
                users.create(f"user-{number}", rights)
                notes(user=f"user-{number}")
                if self._chance.random() < 0.5:
                    notes(begins_to_revoke_user=f"user-{number}")
                    users.revoke(f"user-{number}")
                    notes(revoked_user=f"user-{number}")

    def require(self, root: Path, heard: Heard) -> int:
        def told(name: str) -> set[str]:
            return {one[name] for one in heard if name in one}

        require_tokens(root / DATA, told("token") - told("begins_to_revoke"), told("revoked"))
        users = {one.name: one.revoked_at is None for one in UserFile(root / DATA).read()}
        if lost := [one for one in told("user") - told("begins_to_revoke_user") if not users.get(one)]:
            raise Broken(f"users that were made are gone: {lost}")
        if back := [one for one in told("revoked_user") if users.get(one)]:
            raise Broken(f"users that were revoked are good again: {back}")
        return len(heard)


class Keys:
    """Keys are made: of backups, of signatures, of a nats-server's roles, which also get new ones."""

    def __init__(self, chance: random.Random) -> None:
        self._rotations = chance.randint(1, 4)

    def play(self, root: Path, notes: Notes) -> None:
        data, folder = root / DATA, root / "keys"
        DataDirectory(data).release()
        folder.mkdir()
        notes.settled()
        notes(identity=write_new_identity(folder / "identity.txt"))
        make_key(folder / "signing.key")
        notes(signing=(folder / "signing.key").read_text())
        notes(consumer_names=kept_key(data / "consumer-names.key").hex())
        nats = root / "nats-server"
        for rotation in range(self._rotations):
            write_configuration(Settings(data=data), nats, rotate=rotation > 0)
            notes(roles={role: NKey((nats / f"{role}.nk").read_text()).public for role in ROLES})

    def require(self, root: Path, heard: Heard) -> int:
        found: dict[str, Callable[[], str]] = {
            "identity": lambda: str(read_identities(root / "keys" / "identity.txt")[0].to_public()),
            "signing": (root / "keys" / "signing.key").read_text,
            "consumer_names": lambda: kept_key(root / DATA / "consumer-names.key").hex(),
        }
        for name, there in found.items():
            if any(name in one and one[name] != there() for one in heard):
                raise Broken(f"the key {name} is another one than was told")
        if (root / "keys" / "signing.key").exists():
            signing_with(root / "keys" / "signing.key", (), is_required=True).signer()
        roles = [one["roles"] for one in heard if "roles" in one]
        for role, public in (roles[-1] if roles else {}).items():
            # A role that just got a new key may still have the old one beside it.
            files = [root / "nats-server" / f"{role}{old}.nk" for old in ("", ".old")]
            if public not in (root / "nats-server" / "hyperpage.conf").read_text():
                raise Broken(f"a nats-server does not know the key of {role}")
            if public not in [NKey(one.read_text()).public for one in files if one.exists()]:
                raise Broken(f"the key of {role} is gone")
        return len(heard)


class Audit:
    """Acts are written to the audit log."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def play(self, root: Path, notes: Notes) -> None:
        # Fewer bytes are kept in the end, so that several files are removed at once.
        for kept_bytes in (40_000, 40_000, 5_000):
            trail = AuditTrail(root / DATA, kept_bytes=kept_bytes)
            for number in range(10):
                head = trail.append(
                    own_act("test", {"number": number, "more": "x" * self._chance.randint(0, 300)})
                )
                notes(sequence=head.sequence, hash=head.hash)

    def require(self, root: Path, heard: Heard) -> int:
        trail = AuditTrail(root / DATA)
        known = [Head(one["sequence"], one["hash"]) for one in heard]
        found = verify(trail.folder, known)
        if found.wrong is not None:
            raise Broken(f"the audit log: {found.wrong}")
        if known and trail.head().sequence < known[-1].sequence:
            raise Broken(f"the audit log ends with {trail.head()}, and had {known[-1]}")
        trail.append(own_act("after a cut", {}))
        if (found := verify(trail.folder, known)).wrong is not None:
            raise Broken(f"the audit log, once it goes on: {found.wrong}")
        return len(known)


class Suspects:
    """A durable command that may have taken the service down is marked on disk, and then decided alone."""

    STREAM = 1

    def __init__(self, chance: random.Random) -> None:
        self._sequences = chance.sample(range(1, 1_000), 10)

    def play(self, root: Path, notes: Notes) -> None:
        folder = root / DATA / "durable"
        suspects = durable.Suspects(folder)
        suspects.mark(self.STREAM, [(one, one) for one in self._sequences])
        suspects.close()
        # The service went down, and starts again.
        suspects = durable.Suspects(folder)
        for sequence in self._sequences:
            suspects.mark(self.STREAM, [(sequence, sequence)], synced=True)
            notes(marked=sequence)
            # With the last command, the service goes down again.
            if sequence != self._sequences[-1]:
                notes(is_decided=sequence)
                suspects.clear()
                suspects.decided(self.STREAM, (sequence, sequence))

    def require(self, root: Path, heard: Heard) -> int:
        found = durable.Suspects(root / DATA / "durable")
        try:
            if (
                heard
                and (marked := heard[-1].get("marked"))
                and found.downs(self.STREAM, (marked, marked)) < 2
            ):
                raise Broken(f"nothing tells which command was decided: {found.count} are suspected")
        finally:
            found.close()
        return len(heard)
