"""Where the pictures of a webtoon are: one adapter per site, all with the same two questions.

    site = site_for("https://www.webtoons.com/en/fantasy/some-title/list?title_no=95")
    for episode in site.episodes(session, url):
        refs = site.images(session, episode)

Sites change. An adapter that finds nothing where it looks says so, instead of reporting an empty success.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from bs4 import BeautifulSoup

from stylegan2.data.polite import Missing, PoliteSession, join

MOST_PAGES = 500  # of a list: more is a list without an end


class SiteError(ValueError):
    """An address that no adapter knows, or a page that looks otherwise than it used to."""


@dataclass(frozen=True)
class Episode:
    """One page with pictures.

    Attributes:
        number: as the site counts.
        title: as the site writes it; not to be trusted as a file name.
        url: of the page.
    """

    number: int
    title: str
    url: str


@dataclass(frozen=True)
class ImageRef:
    """A picture, and the page that has to be named as Referer when it is fetched."""

    url: str
    referer: str


class Site(Protocol):
    """What an adapter answers.

    Attributes:
        name: for `--site`.
        hosts: of its pages; links of a list may also lead to the list's own host.
        image_hosts: from which its pictures may come; the page's own host always may.
    """

    name: str
    hosts: tuple[str, ...]
    image_hosts: tuple[str, ...]

    def episodes(self, session: PoliteSession, url: str) -> Iterator[Episode]:
        """Episodes behind an address, the first first."""

    def images(self, session: PoliteSession, episode: Episode) -> list[ImageRef]:
        """Its pictures, from top to bottom."""


def _soup(text: str) -> BeautifulSoup:
    return BeautifulSoup(text, "html.parser")


def _query(url: str, **values: object) -> str:
    """The address with these values in its query."""
    parts = urlsplit(url)
    query = {k: v[-1] for k, v in parse_qs(parts.query).items()} | {k: str(v) for k, v in values.items()}
    return urlunsplit(parts._replace(query=urlencode(query), fragment=""))


def _value(url: str, name: str) -> str | None:
    """Of the address's query; None: it has no such value, or it is no address."""
    try:
        return parse_qs(urlsplit(url).query).get(name, [None])[-1]
    except ValueError:
        return None


def _number(url: str, name: str) -> int:
    text = _value(url, name) or ""
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _changed(what: str, url: str) -> SiteError:
    return SiteError(f"{url} shows no {what} where they used to be: has the site changed, or is a login needed?")


def _all_pages(read: Callable[[int], tuple[str, dict]]) -> list[Episode]:
    """Episodes of all pages of a list, by number.

    Args:
        read: number of a page -> its address, and its episodes by what tells them apart.
    """
    found: dict = {}
    for page in range(1, MOST_PAGES):
        url, new = read(page)
        if not new and page == 1:
            raise _changed("episodes", url)
        if not new.keys() - found.keys():  # beyond the last page a site may show the last one again
            break
        found |= new
    return sorted(found.values(), key=lambda episode: episode.number)


def _pictures(session: PoliteSession, episode: Episode, selector: str, attribute: str) -> list[ImageRef]:
    """The pictures of an episode's page, in order."""
    answer = session.get(episode.url)
    urls = [image[attribute] for image in _soup(answer.text).select(f"{selector}[{attribute}]")]
    if not urls:
        raise _changed("pictures", answer.url)
    return [ImageRef(join(answer.url, url), answer.url) for url in urls]


class Webtoons:
    """webtoons.com: lists with pages of links, viewer pages whose pictures wait in `data-url`."""

    name = "webtoons"
    hosts = ("www.webtoons.com", "webtoons.com", "m.webtoons.com")
    image_hosts = ("webtoon-phinf.pstatic.net", "swebtoon-phinf.pstatic.net")

    def episodes(self, session: PoliteSession, url: str) -> Iterator[Episode]:
        """The newest come first on the site; all list pages are read, then told the other way round."""
        if _value(url, "episode_no"):
            yield Episode(_number(url, "episode_no"), "", url)
            return

        def read(page: int) -> tuple[str, dict[str, Episode]]:
            answer = session.get(_query(url, page=page))
            return answer.url, {episode.url: episode for episode in self._listed(answer.text, answer.url)}

        yield from _all_pages(read)

    @staticmethod
    def _listed(text: str, base: str) -> Iterator[Episode]:
        for link in _soup(text).select("#_listUl li a[href]"):
            url = join(base, link["href"])
            title = link.select_one(".subj")
            yield Episode(_number(url, "episode_no"), title.get_text(" ", strip=True) if title else "", url)

    def images(self, session: PoliteSession, episode: Episode) -> list[ImageRef]:
        return _pictures(session, episode, "#_imageList img", "data-url")


class Naver:
    """comic.naver.com: the list as JSON (or as the older HTML table), pictures in `.wt_viewer`."""

    name = "naver"
    hosts = ("comic.naver.com", "m.comic.naver.com")
    image_hosts = ("image-comic.pstatic.net", "shared-comic.pstatic.net")

    def episodes(self, session: PoliteSession, url: str) -> Iterator[Episode]:
        title = _value(url, "titleId")
        if title is None:
            raise SiteError(f"{url} names no title: expected an address with titleId=...")
        if _value(url, "no"):
            yield Episode(_number(url, "no"), "", url)
            return
        yield from _all_pages(lambda page: (url, self._listed(session, url, title, page)))

    def _listed(self, session: PoliteSession, url: str, title: str, page: int) -> dict[int, Episode]:
        """One page of the list: the site's page is made by a script from this JSON."""
        address = _query(join(url, "/api/article/list"), titleId=title, page=page)
        try:
            text = session.get(address, referer=url).text
        except Missing:
            return self._listed_in_html(session, url, page)
        try:
            rows = json.loads(text)["articleList"]
            pairs = [(int(row["no"]), str(row.get("subtitle", ""))) for row in rows]
        except (ValueError, KeyError, TypeError, AttributeError):
            return self._listed_in_html(session, url, page)
        detail = join(url, "/webtoon/detail")
        return {no: Episode(no, text, _query(detail, titleId=title, no=no)) for no, text in pairs}

    @staticmethod
    def _listed_in_html(session: PoliteSession, url: str, page: int) -> dict[int, Episode]:
        answer = session.get(_query(url, page=page))
        links = _soup(answer.text).select("td.title a[href*='no=']")
        urls = [(join(answer.url, link["href"]), link.get_text(" ", strip=True)) for link in links]
        return {_number(u, "no"): Episode(_number(u, "no"), text, u) for u, text in urls}

    def images(self, session: PoliteSession, episode: Episode) -> list[ImageRef]:
        return _pictures(session, episode, ".wt_viewer img", "src")


class ImageList:
    """Any page with pictures, or a text with one address per line: all pictures of it are one episode.

    Args:
        selector: CSS of the pictures on a page.
    """

    name = "images"
    hosts: tuple[str, ...] = ()
    image_hosts: tuple[str, ...] = ()

    def __init__(self, selector: str = "img"):
        self.selector = selector

    def episodes(self, session: PoliteSession, url: str) -> Iterator[Episode]:
        yield Episode(1, urlsplit(url).path.strip("/").replace("/", " "), url)

    def images(self, session: PoliteSession, episode: Episode) -> list[ImageRef]:
        answer = session.get(episode.url)
        if answer.kind == "text/plain":
            urls = [line.strip() for line in answer.text.splitlines() if line.strip() and not line.startswith("#")]
        else:
            urls = [_source(image) for image in _soup(answer.text).select(self.selector)]
        refs = [ImageRef(join(answer.url, url), answer.url) for url in urls if url]
        if not refs:
            raise SiteError(
                f"{answer.url} shows no pictures by the selector {self.selector!r}: give another --selector"
            )
        return refs


def _source(image) -> str | None:
    """Where a picture is: lazy pages keep it in another attribute."""
    return image.get("data-url") or image.get("data-src") or image.get("src")


SITES = {"webtoons": Webtoons, "naver": Naver, "images": ImageList}


def site_for(url: str, name: str | None = None, selector: str = "img") -> Site:
    """The adapter of an address.

    Args:
        url: where to begin.
        name: one of `SITES`, whatever the host.
        selector: for "images".

    Raises:
        SiteError: an unknown name, or a host that no adapter knows.
    """
    if name is not None and name not in SITES:
        raise SiteError(f"site is {name!r}, expected one of {', '.join(SITES)}")
    host = (urlsplit(url).hostname or "").lower()
    name = name or next((n for n, site in SITES.items() if host in site.hosts), None)
    if name is None:
        known = ", ".join(site.hosts[0] for site in SITES.values() if site.hosts)
        raise SiteError(
            f"no adapter knows {host or url!r}; there are some for {known}; for any other page: --site images"
        )
    return ImageList(selector) if name == "images" else SITES[name]()


def title_slug(title: str) -> str:
    """A title as part of a file name: letters, digits and hyphens of any script, at most 40."""
    return re.sub(r"[\W_]+", "-", title).strip("-")[:40].strip("-").lower()
