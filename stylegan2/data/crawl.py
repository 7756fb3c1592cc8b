"""From a webtoon's address to a folder of its pages, for works whose owners have agreed.

    report = crawl(CrawlConfig(url, "pages", rights_confirmed=True))

    pages/001-the-beginning/0001.jpg    pictures as they came, in order
    pages/manifest.jsonl                where each came from, when, and its hash; what was refused, and why

Run it again to go on: what is there is never fetched twice, and no file of another address is ever replaced. Manners
are those of :mod:`stylegan2.data.polite`; where the pictures are is the business of :mod:`stylegan2.data.crawl_sites`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from stylegan2.data.crawl_sites import Episode, ImageRef, Site, SiteError, site_for, title_slug
from stylegan2.data.images import Refused, decode
from stylegan2.data.locks import only_writer
from stylegan2.data.polite import Answer, Manners, Missing, NotAllowed, PoliteSession, check_address
from stylegan2.text_files import append_row, read_rows, write_bytes

MANIFEST = "manifest.jsonl"
KNOWN = {"url": str, "status": str}  # what every row says
STORED = {"file": str, "sha256": str, "bytes": int}  # what the row of a picture says, too
ENDINGS = {b"\xff\xd8\xff": "jpg", b"\x89PNG\r\n\x1a\n": "png", b"GIF8": "gif", b"RIFF": "webp"}
PERMISSION = (
    "Pictures of a webtoon belong to those who drew it. The original course used works with their authors' written "
    "consent. Confirm that you have the rights to collect these (rights_confirmed=True)"
)


@dataclass(frozen=True)
class CrawlConfig:
    """What is collected.

    Attributes:
        url: a title's list, one episode, or any page with pictures.
        out: folder to write.
        rights_confirmed: you have the permission of those who own the pictures.
        site: adapter, see `crawl_sites.SITES`; None: by the host.
        episodes: first and last number, or None for all.
        limit: pictures in all; None: all.
        min_side: smaller pictures (buttons, counters) are refused, in pixels.
        selector: CSS, for the site "images".
        manners: how politely.

    Raises:
        PermissionError: rights that are not confirmed.
        ValueError: an address or numbers that cannot work.
    """

    url: str
    out: str | os.PathLike
    rights_confirmed: bool = False
    site: str | None = None
    episodes: tuple[int, int] | None = None
    limit: int | None = None
    min_side: int = 200
    selector: str = "img"
    manners: Manners = field(default_factory=Manners)

    def __post_init__(self) -> None:
        check_address(self.url)
        if not self.rights_confirmed:
            raise PermissionError(PERMISSION)
        if self.episodes is not None and not 0 <= self.episodes[0] <= self.episodes[1]:
            raise ValueError(f"episodes are {self.episodes}: expected a first and a last number, such as 1-3")
        if (self.limit is not None and self.limit < 1) or self.min_side < 1:
            raise ValueError(f"limit is {self.limit}, min_side {self.min_side}: expected at least 1")


@dataclass
class CrawlReport:
    """What a crawl did. `print(report)` says it."""

    out: str
    episodes: int = 0
    stored: int = 0
    known: int = 0  # there already: not asked for again
    useless: int = 0  # refused by an earlier run for what they are: not asked for again
    refused: list[tuple[str, str]] = field(default_factory=list)  # (address of a picture or episode, reason)

    def __str__(self) -> str:
        lines = [
            f"{self.out}: {self.stored} pictures stored from {self.episodes} episodes, {self.known} were known, "
            f"{len(self.refused)} refused{f', {self.useless} had been before' * bool(self.useless)}; see {MANIFEST}"
        ]
        lines += [f"  refused {url}: {reason}" for url, reason in self.refused[:10]]
        lines += [f"  ... and {len(self.refused) - 10} more"] * (len(self.refused) > 10)
        return "\n".join(lines)


def crawl(config: CrawlConfig, session: PoliteSession | None = None, progress: bool = True) -> CrawlReport:
    """Collect the pictures; run it again to go on. Ctrl-C loses nothing.

    Args:
        config: what.
        session: fetches; None: one with the config's manners.
        progress: a bar.

    Raises:
        crawl_sites.SiteError: no adapter for the address, or a site that has changed.
        polite.Stopped: the host refuses, or fails for too long; what was stored stays.
        polite.NotAllowed, polite.Missing: the address itself, or every episode, is forbidden or not there.
        RuntimeError: another process writes into this folder.
    """
    from tqdm import tqdm

    site, out = site_for(config.url, config.site, config.selector), Path(config.out)
    with only_writer(out), session or PoliteSession(config.manners) as fetcher:
        work = _Work(config, site, fetcher, Manifest(out / MANIFEST))
        with tqdm(desc="crawl", unit="img", disable=not progress) as bar:
            for episode in work.wanted(site.episodes(fetcher, config.url)):
                for _ in work.episode(episode):
                    bar.update()
                    bar.set_postfix(episode=episode.number, refused=len(work.report.refused), refresh=False)
                if work.full:
                    break
    if work.failed and not work.report.stored + work.report.known:
        raise work.failed[0]
    return work.report


class _Work:
    """One crawl under way.

    Attributes:
        failed: what episodes in a row failed with.
    """

    def __init__(self, config: CrawlConfig, site: Site, session: PoliteSession, manifest: Manifest):
        self.config, self.site, self.session, self.manifest = config, site, session, manifest
        self.report, self.failed = CrawlReport(str(config.out)), []

    @property
    def full(self) -> bool:
        """Are there as many pictures as were asked for?"""
        return self.config.limit is not None and self.report.stored + self.report.known >= self.config.limit

    def wanted(self, episodes: Iterator[Episode]) -> Iterator[Episode]:
        first, last = self.config.episodes or (0, 1 << 62)
        yield from (episode for episode in episodes if first <= episode.number <= last)

    def episode(self, episode: Episode) -> Iterator[None]:
        """Its pictures, one after the other. One that is missing, forbidden or empty does not keep us from the next.

        Raises:
            SiteError: the same was the matter with as many before it as `Manners.patience` allows.
        """
        try:
            check_host(episode.url, self.config.url, self.site.hosts)
            refs = self.site.images(self.session, episode)
        except (NotAllowed, Missing, SiteError) as error:
            self.report.refused.append((episode.url, str(error)))
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
        if self.manifest.has(ref.url):
            self.report.known += 1
            return
        if self.manifest.is_useless(ref.url, self.config.min_side):
            self.report.useless += 1
            return
        try:
            check_host(ref.url, ref.referer, self.site.image_hosts)
            self._store(ref, self.session.get(ref.url, ref.referer), stem)
        except (NotAllowed, Missing, Refused) as error:
            self._refuse(ref, str(error), "useless" if isinstance(error, Refused) else "forbidden")

    def _refuse(self, ref: ImageRef, reason: str, status: str, **more: int) -> None:
        """Report it, and note it once. What is "useless" is not asked for again; the rest may be there next time."""
        self.report.refused.append((ref.url, reason))
        if self.manifest.rows.get(ref.url, {}).get("reason") != reason:
            self.manifest.add({"url": ref.url, "page": ref.referer, "status": status, "reason": reason, **more})

    def _store(self, ref: ImageRef, answer: Answer, stem: str) -> None:
        """Write a picture that is one. Raises Refused otherwise."""
        ending = next((e for magic, e in ENDINGS.items() if answer.content.startswith(magic)), None)
        if ending is None:
            raise Refused(f"no JPEG, PNG, GIF or WebP ({answer.kind or 'unknown type'})")
        width, height = decode(answer.content).size
        if min(width, height) < self.config.min_side:
            reason = f"{width}x{height} pixels: smaller than {self.config.min_side}"
            self._refuse(ref, reason, "useless", width=width, height=height)
            return
        digest = hashlib.sha256(answer.content).hexdigest()
        file = self.manifest.file_of(digest)
        if file is None:
            file = self.manifest.free_name(ref.url, stem, ending, digest)
            write_bytes(self.manifest.path.parent / file, answer.content)
        row = {"url": ref.url, "page": ref.referer, "status": "stored", "file": file, "sha256": digest}
        self.manifest.add(row | {"bytes": len(answer.content), "width": width, "height": height})
        self.report.stored += 1


def check_host(url: str, page: str, hosts: tuple[str, ...]) -> None:
    """A page's links lead to its own host, or to those that the site is known to use.

    Raises:
        NotAllowed: this one does not.
    """
    host = check_address(url)
    if host != check_address(page) and host.rpartition(":")[0] not in hosts:
        raise NotAllowed(f"{host} is neither the page's host nor one of the site's")


def _says(row: dict, types: dict[str, type]) -> bool:
    """Has it these entries, of these types?"""
    return all(isinstance(row.get(name), kind) for name, kind in types.items())


class Manifest:
    """What is known of every address, one JSON object a line; the last row of an address counts.

    Args:
        path: the file; made at the first row.

    Attributes:
        rows: by address.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rows: dict[str, dict] = {}
        self._by_hash: dict[str, str] = {}
        self._owner: dict[str, str] = {}  # file -> the address it was stored for
        for row in read_rows(path):
            if _says(row, KNOWN) and (row["status"] != "stored" or _says(row, STORED)):
                self._take(row)

    def _take(self, row: dict) -> None:
        self.rows[row["url"]] = row
        if row["status"] == "stored":
            self._by_hash[row["sha256"]] = row["file"]
            self._owner.setdefault(row["file"], row["url"])

    def has(self, url: str) -> bool:
        """Is the picture of this address here, and whole?"""
        row = self.rows.get(url, {})
        return row.get("status") == "stored" and self._is_whole(row["file"], row["bytes"])

    def _is_whole(self, file: str, size: int) -> bool:
        path = self.path.parent / file
        try:
            return path.is_file() and path.stat().st_size == size
        except (OSError, ValueError):  # no name that a file can have
            return False

    def is_useless(self, url: str, min_side: int) -> bool:
        """Was it refused for what it is, and would it be again?"""
        row = self.rows.get(url, {})
        side = min(row["width"], row["height"]) if _says(row, {"width": int, "height": int}) else 0
        return row.get("status") == "useless" and side < min_side

    def file_of(self, digest: str) -> str | None:
        """The file that holds these very bytes, or None."""
        file = self._by_hash.get(digest)
        row = self.rows.get(self._owner.get(file, ""), {})
        return file if row.get("sha256") == digest and self._is_whole(file, row["bytes"]) else None

    def free_name(self, url: str, stem: str, ending: str, digest: str) -> str:
        """A name for the picture of an address, which no other one has: titles and numbers may be equal."""
        name = f"{stem}.{ending}"
        path, owner = self.path.parent / name, self._owner.get(name)
        if owner == url or (owner is None and not path.exists()):
            return name
        if owner is None and hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            return name  # written just before a kill
        return f"{stem}-{digest[:16]}.{ending}"

    def add(self, row: dict) -> None:
        """Write a row, with the time."""
        row = {**row, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        append_row(self.path, row)
        self._take(row)
