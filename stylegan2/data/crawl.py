"""From a webtoon's address to a folder of its pages, for works whose owners have agreed.

    report = crawl(CrawlConfig(url, "pages", rights_confirmed=True))

    pages/001-the-beginning/0001.jpg    pictures as they came, in order
    pages/manifest.jsonl                where each came from, when, and its hash; what was refused, and why

Run it again to go on: what is there is never fetched twice. Manners are those of :mod:`stylegan2.data.polite`; where
the pictures are is the business of :mod:`stylegan2.data.crawl_sites`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from stylegan2.data.crawl_sites import Episode, ImageRef, Site, site_for, title_slug
from stylegan2.data.images import Refused, decode
from stylegan2.data.locks import only_writer
from stylegan2.data.polite import Answer, Manners, Missing, NotAllowed, PoliteSession, check_address
from stylegan2.text_files import write_bytes

MANIFEST = "manifest.jsonl"
ENDINGS = {b"\xff\xd8\xff": "jpg", b"\x89PNG\r\n\x1a\n": "png", b"GIF8": "gif", b"RIFF": "webp"}
PERMISSION = (
    "Pictures of a webtoon belong to those who drew it. The original course used works with their authors' written "
    "consent. Confirm that you have the rights to collect these (rights_confirmed=True, or --i-have-the-rights)"
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
    refused: list[tuple[str, str]] = field(default_factory=list)  # (address, reason)

    def __str__(self) -> str:
        lines = [
            f"{self.out}: {self.stored} pictures stored from {self.episodes} episodes, {self.known} were known, "
            f"{len(self.refused)} refused; see {MANIFEST}"
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
        polite.NotAllowed, polite.Missing: the address itself is forbidden, or not there.
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
    return work.report


class _Work:
    """One crawl under way."""

    def __init__(self, config: CrawlConfig, site: Site, session: PoliteSession, manifest: Manifest):
        self.config, self.site, self.session, self.manifest = config, site, session, manifest
        self.report = CrawlReport(str(config.out))

    @property
    def full(self) -> bool:
        """Are there as many pictures as were asked for?"""
        return self.config.limit is not None and self.report.stored + self.report.known >= self.config.limit

    def wanted(self, episodes: Iterator[Episode]) -> Iterator[Episode]:
        first, last = self.config.episodes or (0, 1 << 62)
        yield from (episode for episode in episodes if first <= episode.number <= last)

    def episode(self, episode: Episode) -> Iterator[None]:
        """Its pictures, one after the other."""
        self.report.episodes += 1
        folder = f"{episode.number:03d}-{title_slug(episode.title)}".rstrip("-")
        for number, ref in enumerate(self.site.images(self.session, episode), start=1):
            if self.full:
                return
            self._image(ref, f"{folder}/{number:04d}")
            yield

    def _image(self, ref: ImageRef, stem: str) -> None:
        if self.manifest.knows(ref.url):
            self.report.known += 1
            return
        try:
            self._check_host(ref)
            answer = self.session.get(ref.url, ref.referer)
            self._store(ref, answer, stem)
        except (NotAllowed, Missing, Refused) as error:
            reason = str(error)
            self.report.refused.append((ref.url, reason))
            # what robots.txt forbids, or what is no picture, stays so; what was missing may be there next time
            if not isinstance(error, Missing):
                self.manifest.add({"url": ref.url, "page": ref.referer, "status": "refused", "reason": reason})

    def _check_host(self, ref: ImageRef) -> None:
        """Pictures come from the page's host, or from those the site is known to use."""
        host = check_address(ref.url)
        if host == check_address(ref.referer) or host.rpartition(":")[0] in self.site.image_hosts:
            return
        raise NotAllowed(f"{host} is neither the page's host nor one of the site's for pictures")

    def _store(self, ref: ImageRef, answer: Answer, stem: str) -> None:
        """Write a picture that is one. Raises Refused otherwise."""
        ending = next((e for magic, e in ENDINGS.items() if answer.content.startswith(magic)), None)
        if ending is None:
            raise Refused(f"no JPEG, PNG, GIF or WebP ({answer.kind or 'unknown type'})")
        image = decode(answer.content)
        if min(image.size) < self.config.min_side:
            raise Refused(f"{image.width}x{image.height} pixels: smaller than {self.config.min_side}")
        digest = hashlib.sha256(answer.content).hexdigest()
        file = self.manifest.by_hash.get(digest)
        if file is None:
            file = f"{stem}.{ending}"
            write_bytes(self.manifest.path.parent / file, answer.content)
        row = {"url": ref.url, "page": ref.referer, "status": "stored", "file": file, "sha256": digest}
        self.manifest.add(row | {"bytes": len(answer.content), "width": image.width, "height": image.height})
        self.report.stored += 1


class Manifest:
    """What is known of every address, one JSON object a line; the last row of an address counts.

    Args:
        path: the file; made at the first row.

    Attributes:
        rows: by address.
        by_hash: SHA-256 -> file, of what is stored.
    """

    def __init__(self, path: Path):
        self.path = path
        self.rows: dict[str, dict] = {}
        self.by_hash: dict[str, str] = {}
        if path.is_file():
            self._read()

    def _read(self) -> None:
        text = self.path.read_text(encoding="utf-8")
        for line in text.splitlines():
            try:
                self._take(json.loads(line))
            except (json.JSONDecodeError, KeyError, TypeError):
                continue  # a row that a kill cut off
        if text and not text.endswith("\n"):
            with open(self.path, "a", encoding="utf-8") as file:
                file.write("\n")

    def _take(self, row: dict) -> None:
        self.rows[row["url"]] = row
        if row["status"] == "stored":
            self.by_hash[row["sha256"]] = row["file"]

    def knows(self, url: str) -> bool:
        """Is this picture here whole, or known to be refused?"""
        row = self.rows.get(url)
        if row is None:
            return False
        if row["status"] == "refused":
            return True
        file = self.path.parent / row["file"]
        if file.is_file() and file.stat().st_size == row["bytes"]:
            return True
        self.by_hash.pop(row["sha256"], None)  # somebody removed it: it is fetched again
        return False

    def add(self, row: dict) -> None:
        """Write a row, with the time."""
        row = {**row, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._take(row)
