"""The office's own certificate authority: its key, and the certificates of the office's own ends.

ca.key, ca.pem        the authority: EC P-256, ten years; the key 0600, never leaves this folder
enrol.key, enrol.pem  the enrolment listener's
office.pem            the office's own at the broker, certificate and key in one file
broker.key, .pem      the broker's; copied to where the broker reads them (`office.enrol.broker`)

A certificate begins a little before it is made, so that a clock that is slightly behind accepts it at once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from office import trust
from sitekeeper import files
from sitekeeper.model.clock import DAY, MINUTE, SECOND, Micros
from sitekeeper.model.errors import FormatError, StorageError

if TYPE_CHECKING:
    from sitekeeper.certificates import Facts

CA_LASTS: Final[Micros] = 3_650 * DAY
OWN_LASTS: Final[Micros] = 398 * DAY
OFFICE_NAME: Final = "sitekeeper.office"
"""Who the office is to the broker; no site can be called so."""
_CA_NAME: Final = "Sitekeeper office"
_EARLY: Final[Micros] = 5 * MINUTE

End = Literal["enrol", "office", "broker"]


class Authority:
    """The authority in `folder`. `open` it before anything else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, now: Micros) -> bool:
        """Make the authority if there is none; tell whether it was made.

        Raises:
            StorageError: it cannot be read or made, is damaged, or others may read its key.
        """
        from sitekeeper import certificates

        trust.command_key(self.folder)
        with trust.locked(self.folder):
            key, own = files.get(self.folder / "ca.key", private=True), files.get(self.folder / "ca.pem")
            if key is None and own is not None:
                raise StorageError(f"{self.folder}: ca.pem is there but not its key, ca.key; restore it from a backup")
            made = key is None
            if key is None:
                key = certificates.new_key()
                files.put(self.folder / "ca.key", key, mode=files.PRIVATE)
            if own is None:  # also after a death between the two
                own = certificates.authority(key, _CA_NAME, now - _EARLY, now + CA_LASTS)
                files.put(self.folder / "ca.pem", own)
        self._signer = certificates.Signer(certificate=own, key=key)
        self.facts: Facts = self._facts(self.folder / "ca.pem", own)
        return made

    @property
    def certificate(self) -> bytes:
        """The authority's certificate, PEM."""
        return self._signer.certificate

    def site(self, request: bytes, site: str, now: Micros, lasts: Micros) -> bytes:
        """Return a certificate for a site.

        Raises:
            Refused: the request is for another name, its key is weak, or it is no request.
        """
        from sitekeeper import certificates

        certificates.check_request(request, site)
        return self._signer.client(request, site, now - early(lasts), now + lasts)

    def revocations(self, rows: Sequence[tuple[str, Micros]], now: Micros) -> bytes:
        """Return the list of revoked certificates; good as long as the authority, because it is replaced at once."""
        return self._signer.revocations(rows, now - _EARLY, self.facts.ends)

    def own(self, end: End, hosts: Sequence[str], now: Micros) -> bool:
        """Make one of the office's own certificates if it lacks, is old, or is for other hosts; tell whether it did."""
        from sitekeeper import certificates

        single = end == "office"
        path, note = self.folder / f"{end}.pem", self.folder / f"{end}.hosts"
        names = "\n".join((self.facts.serial, *hosts)).encode()
        if files.get(note) == names and self._lasts(path, path if single else self.folder / f"{end}.key", now):
            return False
        key = certificates.new_key()
        begins, ends = now - _EARLY, now + OWN_LASTS
        if single:
            request = certificates.request(key, OFFICE_NAME)
            files.put(path, self._signer.client(request, OFFICE_NAME, begins, ends) + key, mode=files.PRIVATE)
        else:
            files.put(self.folder / f"{end}.key", key, mode=files.PRIVATE)
            files.put(path, self._signer.server(key, hosts, begins, ends))
        files.put(note, names)
        return True

    def _lasts(self, path: Path, key_path: Path, now: Micros) -> bool:
        """Tell whether one of our own is whole and young; a death may have left a new key beside an old certificate."""
        from sitekeeper import certificates

        known, key = files.get(path), files.get(key_path, private=True)
        try:
            if known is None or key is None or not certificates.belong(known, key):
                return False
            facts = certificates.facts(known)
        except FormatError:
            return False
        return now < facts.begins + (facts.ends - facts.begins) * 2 // 3

    def _facts(self, path: Path, pem: bytes) -> "Facts":
        from sitekeeper import certificates

        try:
            return certificates.facts(pem)
        except FormatError as error:
            raise StorageError(f"{path}: {error}; restore it from a backup") from None


def early(lasts: Micros) -> Micros:
    """Return how long before now a certificate that lasts so long begins."""
    return min(_EARLY, lasts // 10) // SECOND * SECOND
