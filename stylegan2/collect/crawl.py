"""From a webtoon's address to a folder of its pages, for works whose owners have agreed.

    pages/001-the-beginning/0001.jpg    pictures as they came, in order
    pages/manifest.jsonl                where each came from, when, and its hash; what was refused, and why

Run it again to go on: what is there is never fetched twice, and no file of another address is ever replaced.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from stylegan2.bars import bar
from stylegan2.collect.polite import Manners, Missing, NotAllowed, PoliteSession, check_address
from stylegan2.collect.rows import append_row, read_rows
from stylegan2.collect.sites import Episode, ImageRef, Listing, OtherKind, Site, SiteError, site_for, title_slug
from stylegan2.data.images import Refused, decode
from stylegan2.files import counted, only_writer, replacing, sha256

MANIFEST = "manifest.jsonl"
STORED = {"file": str, "sha256": str, "bytes": int}  # entries of a stored picture's row, beside address and status
ENDINGS = {b"\xff\xd8\xff": "jpg", b"\x89PNG\r\n\x1a\n": "png", b"GIF8": "gif", b"RIFF": "webp"}
PERMISSION = (
    "Pictures of a webtoon belong to those who drew it. The original course used works with their authors' written "
    "consent. Confirm that you have the rights to collect these (rights_confirmed=True)"
)


@dataclass(frozen=True)
class CrawlConfig:
    """What is collected. Raises PermissionError: rights not confirmed; ValueError: a wrong address or number."""

    url: str  # a title's list, one episode, or any page with pictures
    out: str | os.PathLike  # folder to write
    rights_confirmed: bool = False  # you have the permission of those who own the pictures
    site: str | None = None  # one of `sites.SITES`; None: by the host
    episodes: tuple[int, int] | None = None  # first and last number; None: all
    limit: int | None = None  # pictures in all; None: all
    min_side: int = 200  # smaller pictures (buttons, counters) are refused, in pixels
    selector: str = "img"  # CSS, for the site "images"
    manners: Manners = field(default_factory=Manners)
    image_hosts: tuple[str, ...] = ()  # "HOST" or "HOST:PORT" of pictures, besides the page's own and the site's

    def __post_init__(self) -> None:
        check_address(self.url)
        if not self.rights_confirmed:
            raise PermissionError(PERMISSION)
        if self.episodes is not None and not 0 <= self.episodes[0] <= self.episodes[1]:
            raise ValueError(f"episodes are {self.episodes}: expected a first and a last number, such as 1-3")
        if (self.limit is not None and self.limit < 1) or self.min_side < 1:
            raise ValueError(f"limit is {self.limit}, min_side {self.min_side}: expected at least 1")
        if wrong := [host for host in self.image_hosts if "/" in host or not host.strip()]:
            raise ValueError(f"image host is {wrong[0]!r}: expected a name such as img.example.org, without http://")


@dataclass
class CrawlReport:
    """What a crawl did, also in words: `print(report)`."""

    out: str
    episodes: int = 0
    stored: int = 0
    known: int = 0  # there already: not fetched again
    too_small: int = 0  # smaller than `min_side`
    refused: list[tuple[str, str]] = field(default_factory=list)  # (address of a picture, episode or list, reason)
    notes: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """The numbers, in a line."""
        small = f", {self.too_small} too small" * bool(self.too_small)
        return (
            f"{self.out}: {counted(self.stored, 'picture')} stored from {counted(self.episodes, 'episode')}, "
            f"{self.known} were known, {len(self.refused)} refused{small}; see {MANIFEST}"
        )

    @property
    def reasons(self) -> list[str]:
        """What was refused and why, a line for each reason; then the notes."""
        grouped: dict[str, list[str]] = {}
        for url, reason in self.refused:
            grouped.setdefault(reason, []).append(url)
        lines = [
            f"refused {why}" if url in why else f"refused {url}{f' and {len(more)} more' * bool(more)}: {why}"
            for why, (url, *more) in grouped.items()
        ]
        return lines[:10] + [f"... and {len(lines) - 10} more"] * (len(lines) > 10) + self.notes

    def __str__(self) -> str:
        return "\n  ".join([self.summary, *self.reasons])


def crawl(config: CrawlConfig, progress: bool = True) -> CrawlReport:
    """Collect the pictures; an interrupted crawl goes on when it is run again.

    Raises:
        sites.SiteError: no adapter for the address, a site that has changed, or none of the episodes is there.
        polite.Stopped: the host refuses or fails too often; what was stored stays.
        polite.NotAllowed, polite.Missing: the address itself, or every episode, is forbidden or not there.
        InUse: another process writes into this folder.
    """
    site, out = site_for(config.url, config.site, config.selector), Path(config.out)
    with only_writer(out), PoliteSession(config.manners) as session:
        work = _Work(config, site, session, Manifest(out / MANIFEST))
        with bar(what="crawl", unit="img", shown=progress) as shown:
            listing = site.episodes(session, config.url)
            for episode in work.wanted(listing):
                for _ in work.episode(episode):
                    shown.update()
                    shown.set_postfix(episode=episode.number, refused=len(work.report.refused), refresh=False)
                if work.full:
                    break
            else:
                work.note_missing(listing)
        work.report.notes += session.notes
    if work.failed and not work.report.stored + work.report.known:
        raise work.failed[0]
    return work.report


class _Work:
    """One crawl; `failed` holds the errors of episodes that failed in a row."""

    def __init__(self, config: CrawlConfig, site: Site, session: PoliteSession, manifest: Manifest):
        self.config, self.site, self.session, self.manifest = config, site, session, manifest
        self.report, self.failed = CrawlReport(str(config.out)), []

    @property
    def full(self) -> bool:
        """Are there as many pictures as were asked for?"""
        return self.config.limit is not None and self.report.stored + self.report.known >= self.config.limit

    def wanted(self, listing: Listing) -> list[Episode]:
        """Those that were asked for. Raises SiteError: none of them is there."""
        first, last = self.config.episodes or (0, 1 << 62)
        wanted = [episode for episode in listing if first <= episode.number <= last]
        if not wanted:
            asked = spans([(first, last)])
            listed, why = spans(runs(episode.number for episode in listing)), f" ({listing.end})" * listing.cut
            raise SiteError(f"{self.config.url} has no episode {asked}, only {listed}{why}")
        return wanted

    def note_missing(self, listing: Listing) -> None:
        """Report numbers that were asked for, or that a list leaves out, and are not there."""
        numbers = [episode.number for episode in listing]
        if self.config.episodes is None and not listing.end:
            return
        first, last = self.config.episodes or (1, max(numbers))
        known = runs([first - 1, last + 1, *(n for n in numbers if first <= n <= last)])
        missing = spans((a + 1, b - 1) for (_, a), (b, _) in pairwise(known))
        if missing or (listing.cut and self.config.episodes is None):
            what = f"it lists no episode {missing}: " * bool(missing)
            self.report.refused.append((self.config.url, what + (listing.end or "it is the address of one episode")))

    def episode(self, episode: Episode) -> Iterator[None]:
        """Store its pictures, one after the other; an episode that is missing, forbidden or empty is reported.

        Raises SiteError: `Manners.patience` episodes in a row failed.
        """
        try:
            check_host(episode.url, self.config.url, self.site.hosts)
            refs = self.site.images(self.session, episode)
        except (NotAllowed, Missing, SiteError) as error:
            self.report.refused.append((episode.url, str(error)))
            if not isinstance(error, OtherKind):
                self.failed.append(error)
            if isinstance(error, SiteError) and len(self.failed) >= self.session.manners.patience:
                raise
            return
        self.failed.clear()
        self.report.episodes += 1
        folder = f"{episode.number:03d}-{title_slug(episode.title)}".rstrip("-")
        for number, ref in enumerate(refs, start=1):
            if self.full:
                return
            self._image(ref, f"{folder}/{number:04d}")
            yield

    def _image(self, ref: ImageRef, stem: str) -> None:
        """Store a picture, unless that was done, or it is known to be useless."""
        if self.manifest.has(ref.url):
            self.report.known += 1
            return
        row = known = self.manifest.rows.get(ref.url, {})
        if row.get("status") != "useless" or smaller_side(row) >= self.config.min_side:
            row = self._fetched(ref, stem)
        if row["status"] == "stored" or row.get("reason") != known.get("reason"):  # each reason is noted once
            self.manifest.add(row)
        if row["status"] == "stored":
            self.report.stored += 1
        elif smaller_side(row):
            self.report.too_small += 1
        else:
            self.report.refused.append((ref.url, str(row.get("reason"))))

    def _fetched(self, ref: ImageRef, stem: str) -> dict[str, object]:
        """The row of a picture, which is stored if it is one. What is "useless" is not fetched again."""
        row = {"url": ref.url, "page": ref.referer}
        try:
            check_host(ref.url, ref.referer, self.site.image_hosts + self.config.image_hosts, "--image-host")
            answer = self.session.get(ref.url, ref.referer)
            content, ending = answer.content, next((e for m, e in ENDINGS.items() if answer.content.startswith(m)), "")
            if not ending:
                raise Refused(f"no JPEG, PNG, GIF or WebP ({answer.kind or 'unknown type'})")
            width, height = decode(content).size
        except (NotAllowed, Missing, Refused) as error:  # the first two may be there next time
            return row | {"status": "useless" if isinstance(error, Refused) else "forbidden", "reason": str(error)}
        size = {"width": width, "height": height}
        if min(width, height) < self.config.min_side:
            reason = f"{width}x{height} pixels: smaller than {self.config.min_side}"
            return row | {"status": "useless", "reason": reason} | size
        digest = hashlib.sha256(content).hexdigest()
        file = self.manifest.free_name(ref.url, stem, ending, digest)
        with replacing(self.manifest.path.parent / file) as part:
            part.write_bytes(content)
        return row | {"status": "stored", "file": file, "sha256": digest, "bytes": len(content)} | size


def check_host(url: str, page: str, hosts: tuple[str, ...], option: str = "") -> None:
    """Raise NotAllowed for a link to another host than its page's, the site's, and those allowed by an `option`."""
    host, allowed = check_address(url), {name.lower() for name in hosts}
    if host != check_address(page) and not {host, host.rpartition(":")[0]} & allowed:
        name = urlsplit(url).netloc
        hint = f" (it can be allowed with {option} {name})" * bool(option)
        raise NotAllowed(f"{name} is neither the page's host nor one of the site's{hint}")


def runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """First and last of numbers that follow each other: [1, 2, 3, 7] -> [(1, 3), (7, 7)]."""
    numbers = set(numbers)
    first, last = (sorted(n for n in numbers if n + step not in numbers) for step in (-1, 1))
    return list(zip(first, last, strict=True))


def spans(pairs: Iterable[tuple[int, int]]) -> str:
    """Such runs in words: [(1, 3), (7, 7)] -> "1-3, 7"."""
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in pairs)


def _has(row: dict, **types: type) -> bool:
    """Has it these entries, of these types?"""
    return all(isinstance(row.get(name), kind) for name, kind in types.items())


def smaller_side(row: dict) -> int:
    """Of a picture that was too small, in pixels; 0: it was refused for another reason."""
    return min(row["width"], row["height"]) if _has(row, width=int, height=int) else 0


class Manifest:
    """The record of every address, one JSON object a line; the last row of an address counts."""

    def __init__(self, path: Path):
        self.path = path
        self.rows: dict[str, dict] = {}  # by address
        for row in read_rows(path):
            if _has(row, url=str, status=str) and (row["status"] != "stored" or _has(row, **STORED)):
                self.rows[row["url"]] = row

    def has(self, url: str) -> bool:
        """Is the picture of this address here, and whole?"""
        row = self.rows.get(url, {})
        try:
            return row.get("status") == "stored" and (self.path.parent / row["file"]).stat().st_size == row["bytes"]
        except (OSError, ValueError):  # not there, or no valid file name
            return False

    def free_name(self, url: str, stem: str, ending: str, digest: str) -> str:
        """A name for the picture of an address that no other address has: titles and numbers may be equal."""
        name = f"{stem}.{ending}"
        path, owners = self.path.parent / name, [u for u, row in self.rows.items() if row.get("file") == name]
        if owners == [url] or (not owners and not path.exists()):
            return name
        if not owners and sha256(path) == digest:
            return name  # written just before a kill
        return f"{stem}-{digest[:16]}.{ending}"

    def add(self, row: dict) -> None:
        """Write a row, with the time."""
        row = {**row, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        append_row(self.path, row)
        self.rows[row["url"]] = row
