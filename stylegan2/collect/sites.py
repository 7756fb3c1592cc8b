"""Where the pictures of a webtoon are: each site is described by its addresses and CSS selectors.

    site = site_for("https://www.webtoons.com/en/fantasy/some-title/list?title_no=95")
    for episode in site.episodes(session, url):
        refs = site.images(session, episode)

A page without pictures or episodes is an error. A site's question for an age or a login is named, never answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from bs4 import BeautifulSoup, Tag

from stylegan2.collect.polite import NOT_THERE, REFUSALS, Answer, Missing, NotAllowed, PoliteSession, join

MOST_PAGES = 500  # of a list: more is a list without an end
HIDDEN = ("data-url", "data-src", "data-lazy-src", "data-lazy", "data-original")  # where lazy pages keep an address
SEVERAL = ("data-srcset", "data-lazy-srcset", "srcset")  # where they offer the same picture in several sizes
NO_ADDRESS = re.compile(r"(data|about|blob):", re.IGNORECASE)  # what stands in `src` until a script replaces it
NO_FORMAT = re.compile(r"avif|jxl|heic|svg", re.IGNORECASE)  # kinds of pictures that are not stored
CANDIDATE = re.compile(r"\s*,*\s*(\S*[^\s,])(?:\s+([\d.]+)[wx]\b)?[^,]*(?:,|$)")  # address and size, of a srcset
GATE = re.compile(r"age.?gate|adult|login|gdpr", re.IGNORECASE)  # in the path of pages that ask who you are


class SiteError(ValueError):
    """An address that no adapter knows, or a page that is not as it used to be."""


class OtherKind(SiteError):
    """A page of a kind that has no pictures to collect: the next one may have."""


@dataclass(frozen=True)
class Episode:
    """One page with pictures."""

    number: int  # as the site counts
    title: str  # as the site writes it; not to be trusted as a file name
    url: str


@dataclass(frozen=True)
class ImageRef:
    """A picture, and the page that has to be named as Referer when it is fetched."""

    url: str
    referer: str


@dataclass(frozen=True)
class Listing:
    """The episodes behind an address, by number; iterates over them."""

    episodes: list[Episode]
    end: str = ""  # how their list ended, in words; empty: the address is no list
    cut: bool = False  # did it end too early?

    def __iter__(self) -> Iterator[Episode]:
        return iter(self.episodes)


def _query(url: str, **values: object) -> str:
    """The address with these values in its query."""
    parts = urlsplit(url)
    query = {k: v[-1] for k, v in parse_qs(parts.query).items()} | {k: str(v) for k, v in values.items()}
    return urlunsplit(parts._replace(query=urlencode(query), fragment=""))


def _value(url: str, name: str) -> str | None:
    """A value of the address's query; None: there is none, or it is no address."""
    try:
        return parse_qs(urlsplit(url).query).get(name, [None])[-1]
    except ValueError:
        return None


def _episode(url: str, name: str, title: str = "") -> Episode:
    """The episode of an address, numbered by the value `name` of its query."""
    text = _value(url, name) or ""
    return Episode(int(text) if text.isdecimal() and len(text) < 10 else 0, title, url)


def _led(asked: str, answered: str) -> str:
    """Where a page redirected to, in words; empty: nowhere else."""
    if urlsplit(asked)[1:3] == urlsplit(answered)[1:3]:
        return ""
    gate = ", where the site asks for your age or a login" * bool(GATE.search(urlsplit(answered).path))
    return f"leads to {answered}{gate}"


def _changed(what: str, asked: str, answered: str) -> SiteError:
    if led := _led(asked, answered):
        return SiteError(f"{asked} {led}: no {what} there")
    return SiteError(f"{asked} shows no {what} where they used to be: has the site changed, or is a login needed?")


def _pictures(answer: Answer, selector: str) -> list[ImageRef]:
    """The pictures of a page, in order, each once."""
    soup = BeautifulSoup(answer.text, "html.parser")
    base = soup.select_one("base[href]")
    base = join(answer.url, base["href"]) if base else answer.url
    urls = dict.fromkeys(join(base, url) for url in map(_source, soup.select(selector)) if url)
    return [ImageRef(url, answer.url) for url in urls]


def _source(image: Tag) -> str | None:
    """The address of a picture: where lazy pages keep it, else the largest of several sizes, else its `src`."""
    sources = image.parent.find_all("source") if image.parent is not None and image.parent.name == "picture" else []
    sizes = [size for tag in (image, *sources) for size in _sizes(tag)]
    largest = max(sizes, key=lambda size: size[1], default=("", 0.0))[0]
    return next(filter(None, [*(_address(image, name) for name in HIDDEN), largest, _address(image, "src")]), None)


def _address(tag: Tag, name: str) -> str:
    """The address in an attribute, stripped; empty: it holds none."""
    url = str(tag.get(name) or "").strip()
    return "" if NO_ADDRESS.match(url) else url


def _sizes(tag: Tag) -> Iterator[tuple[str, float]]:
    """Addresses of one picture in several sizes (HTML, 4.8.4.2.2), with their widths or densities."""
    for name in SEVERAL if not NO_FORMAT.search(str(tag.get("type") or "")) else ():
        for url, size in CANDIDATE.findall(str(tag.get(name) or "")):
            if not NO_ADDRESS.match(url) and not NO_FORMAT.search(url.partition("?")[0].rpartition(".")[2]):
                yield url, float(size) if size.replace(".", "", 1).isdecimal() else 1.0


@dataclass(frozen=True)
class Site:
    """A site; the defaults are any page with pictures, or a text with one address per line, as one episode."""

    hosts: tuple[str, ...] = ()  # of its pages; links of a list may also lead to the list's own host
    one_host: bool = False  # the other hosts lead to the first
    image_hosts: tuple[str, ...] = ()  # from which its pictures may come; the page's own host always may
    needs: str = ""  # value that the address's query must have
    number: str = ""  # value of the query that numbers an episode; empty: any page is an episode
    links: str = ""  # CSS of the episodes on a page of a list
    title: str = ""  # CSS of an episode's title within its link; empty: all of it
    read_page: Callable[[PoliteSession, str, int], list[Episode] | None] | None = None  # of a list; before `links`
    pictures: str = "img"  # CSS of the pictures of an episode
    decoration: str | None = None  # part of the addresses of pictures that belong to the page, not to the episode
    motion: str | None = None  # word on the pages of episodes without pictures, which a script animates

    def episodes(self, session: PoliteSession, url: str) -> Listing:
        """The episode at an address, or those of all pages of the list there."""
        parts = urlsplit(url)
        if not self.number:
            return Listing([Episode(1, parts.path.strip("/").replace("/", " "), url)])
        if self.needs and _value(url, self.needs) is None:
            raise SiteError(f"{url} names no title: expected an address with {self.needs}=...")
        if self.one_host and parts.hostname in self.hosts:
            url = urlunsplit(parts._replace(netloc=parts.netloc.lower().replace(parts.hostname, self.hosts[0])))
        if _value(url, self.number):
            return Listing([_episode(url, self.number)])
        return self._all_pages(session, url)

    def _all_pages(self, session: PoliteSession, url: str) -> Listing:
        """The episodes of all pages of a list. Raises SiteError: there are none."""
        episodes, end, cut = {}, f"only {MOST_PAGES} of its pages are read", True
        for page in range(1, MOST_PAGES + 1):
            try:
                answered, new = self._listed(session, url, page)
            except (Missing, NotAllowed) as error:
                if page == 1:
                    raise
                end, cut = f"its page {page} did not come: {error}", getattr(error, "status", 0) not in NOT_THERE
                break
            if not new and page == 1:
                raise _changed("episodes", url, answered)
            before = len(episodes)
            episodes |= {episode.number or episode.url: episode for episode in new}
            if len(episodes) == before:  # beyond the last page a site may show the last one again
                led = _led(url, answered)
                end, cut = f"its page {page} {led or 'shows no others'}", bool(led)
                break
            url = answered
        return Listing(sorted(episodes.values(), key=lambda episode: episode.number), end, cut)

    def _listed(self, session: PoliteSession, url: str, page: int) -> tuple[str, list[Episode]]:
        """One page of the list: its address after redirects, and its episodes."""
        if self.read_page and (episodes := self.read_page(session, url, page)) is not None:
            return url, episodes
        answer, episodes = session.get(_query(url, page=page)), []
        for link in BeautifulSoup(answer.text, "html.parser").select(self.links):
            title = link.select_one(self.title) if self.title else link
            words = title.get_text(" ", strip=True) if title else ""
            episodes.append(_episode(join(answer.url, link["href"]), self.number, words))
        return answer.url, episodes

    def images(self, session: PoliteSession, episode: Episode) -> list[ImageRef]:
        """Its pictures, from top to bottom. Raises SiteError: none."""
        answer = session.get(episode.url)
        if not self.number and answer.kind == "text/plain":
            lines = (line.strip() for line in answer.text.splitlines() if not line.startswith("#"))
            refs = [ImageRef(join(answer.url, line), answer.url) for line in lines if line]
        else:
            refs = _pictures(answer, self.pictures)
        if self.decoration:
            refs = [ref for ref in refs if self.decoration not in ref.url]
        if refs:
            return refs
        if self.motion and self.motion in answer.text.lower():
            raise OtherKind(f"{answer.url} is a motion toon: a script draws it, there are no pictures to collect")
        if self.number:
            raise _changed("pictures", episode.url, answer.url)
        raise SiteError(f"{answer.url} shows no pictures by the selector {self.pictures!r}: give another --selector")


NAVER_KINDS = {"WEBTOON": "webtoon", "BEST_CHALLENGE": "bestChallenge", "CHALLENGE": "challenge"}  # JSON -> address


def _naver_list(session: PoliteSession, url: str, page: int) -> list[Episode] | None:
    """One page of the list, from the JSON of which a script makes the site's own page. None: there is no JSON."""
    title = _value(url, "titleId")
    try:
        answer = session.get(_query(join(url, "/api/article/list"), titleId=title, page=page), referer=url)
        content = json.loads(answer.text)
        pairs = [(int(row["no"]), str(row.get("subtitle", ""))) for row in content["articleList"]]
        kind = NAVER_KINDS.get(content.get("webtoonLevelCode"), urlsplit(url).path.strip("/").partition("/")[0])
    except Missing as error:
        if error.status in REFUSALS:
            raise
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    detail = join(url, f"/{kind if kind in NAVER_KINDS.values() else 'webtoon'}/detail")
    return [Episode(number, text, _query(detail, titleId=title, no=number)) for number, text in pairs]


SITES = {
    "webtoons": Site(
        hosts=("www.webtoons.com", "webtoons.com", "m.webtoons.com"),
        one_host=True,
        image_hosts=("webtoon-phinf.pstatic.net", "swebtoon-phinf.pstatic.net"),
        number="episode_no",
        links="#_listUl li a[href]",
        title=".subj",
        pictures="#_imageList img",
        motion="motiontoon",
    ),
    "naver": Site(
        hosts=("comic.naver.com", "m.comic.naver.com"),
        image_hosts=("image-comic.pstatic.net", "shared-comic.pstatic.net"),
        number="no",
        links="td.title a[href*='no='], .section_episode_list a[href*='no=']",  # the older table, the mobile site
        read_page=_naver_list,
        needs="titleId",
        pictures=".wt_viewer img, #toonLayer img",
        decoration="/static/",
    ),
    "images": Site(),
}


def site_for(url: str, name: str | None = None, selector: str = "img") -> Site:
    """The site of an address, or that of a name, whatever the host; `selector` is for "images".

    Raises SiteError: an unknown name, or a host that no adapter knows.
    """
    if name is not None and name not in SITES:
        raise SiteError(f"site is {name!r}, expected one of {', '.join(SITES)}")
    host = urlsplit(url).hostname or ""
    name = name or next((n for n, site in SITES.items() if host in site.hosts), None)
    if name is None:
        known = ", ".join(site.hosts[0] for site in SITES.values() if site.hosts)
        raise SiteError(
            f"no adapter knows {host or url!r}; there are some for {known}; for any other page: --site images"
        )
    return replace(SITES[name], pictures=selector) if name == "images" else SITES[name]


def title_slug(title: str) -> str:
    """A title as part of a file name: letters, digits and hyphens of any script, at most 40."""
    return re.sub(r"[\W_]+", "-", title).strip("-")[:40].strip("-").lower()
