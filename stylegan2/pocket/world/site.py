"""A small webtoon site on this machine, to try and test the crawler without loading a real one.

    with LocalSite() as site:
        crawl(CrawlConfig(site.url("webtoons"), "pages", rights_confirmed=True, site="webtoons",
                          manners=Manners(delay=0.05, allow_local=site.allowed)))

Its pages are built as those of the real sites are (lists, viewers, pictures in `data-url`, a Referer that is needed),
its pictures are rendered webtoon pages. Each path can be given a fault.
"""

from __future__ import annotations

import contextlib
import functools
import html
import io
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from stylegan2.pocket.world.pages import make_page

TITLE_NO = 95
PER_PAGE = 2  # episodes on a page of a list
STARTS = {  # kind of site -> where a crawl of it begins
    "webtoons": f"/en/fantasy/rendered/list?title_no={TITLE_NO}",
    "naver": f"/webtoon/list?titleId={TITLE_NO}",
    "gallery": "/gallery",
    "list": "/pictures.txt",
}
Answer = tuple[int, str, bytes]  # status, type and body


@functools.lru_cache(maxsize=256)
def page_jpeg(episode: int, number: int) -> bytes:
    """A rendered webtoon page as a JPEG."""
    data = io.BytesIO()
    make_page(2_000_000 + 100 * episode + number, panels=3).image.save(data, "jpeg", quality=92)
    return data.getvalue()


@dataclass
class Fault:
    """What goes wrong at a path."""

    times: int = 1  # as often as this
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)  # sent as well
    slow: float = 0.0  # seconds before the answer
    cut: float = 1.0  # send only this part of the body
    drip: float = 0.0  # seconds before every tenth of the body
    body: bytes | None = None  # instead of the page's
    kind: str | None = None  # Content-Type instead of the page's


class Request(NamedTuple):
    """A request that came in."""

    path: str  # with query
    time: float
    referer: str | None
    agent: str


@dataclass
class LocalSite:
    """A web server on 127.0.0.1, at a free port, while the `with` block lasts (or from `start` to `stop`)."""

    title = "Ep. {} - A face / in the crowd?"  # of an episode, by number
    episodes: int = 3  # of its one title
    pictures: int = 2  # of each episode
    picture: Callable[[int, int], bytes] = page_jpeg  # (episode, number) -> a picture's file
    delay: float = 0.0  # seconds that its robots.txt asks for
    faults: dict[str, Fault] = field(default_factory=dict)  # path, with or without query -> what goes wrong there
    requests: list[Request] = field(default_factory=list)  # all that came in, in order

    def start(self) -> LocalSite:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.site = self
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()  # looks for `stop` every 0.02 s
        return self

    def stop(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    __enter__, __exit__ = start, stop

    @property
    def base(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def allowed(self) -> frozenset[str]:
        """For `Manners.allow_local`."""
        return frozenset([f"127.0.0.1:{self._server.server_port}"])

    def url(self, site: str = "webtoons") -> str:
        """Where a crawl begins: a list of episodes ("webtoons", "naver"), a "gallery", or a "list" of addresses."""
        return self.base + STARTS[site]

    def counts(self) -> Counter[str]:
        """Requests by path."""
        return Counter(request.path for request in self.requests)

    def page(self, path: str, query: dict[str, str], referer: str | None) -> Answer:
        """What is answered at a path when nothing goes wrong."""
        if path.startswith(("/image/", "/secret/")):
            if referer is None:  # as on the real servers: pictures are for readers of the page
                return 403, "text/plain", b"no Referer"
            numbers = path.removesuffix(".jpg").split("/")[-2:]
            if all(number.isdecimal() for number in numbers):
                return 200, "image/jpeg", self.picture(*map(int, numbers))
        if text := self._text(path, query):
            kind = "text/plain" if path.endswith(".txt") else "text/html"
            return 200, "application/json" if path.startswith("/api") else kind, text.encode()
        return 404, "text/html", b"<html>not found</html>"

    def _text(self, path: str, query: dict[str, str]) -> str:
        """A page in words; empty where there is none."""
        page, episode = int(query.get("page", 1)), int(query.get("episode_no", query.get("no", 1)))
        match path:
            case "/robots.txt":
                return f"User-agent: *\nDisallow: /secret/\nCrawl-delay: {self.delay:g}\n"
            case "/pictures.txt":
                return "# one address per line\n" + self._images(1, "{}\n")
            case "/gallery":
                figures = self._images(1, '<figure><img src="{}"></figure>')
                return f'<html><body>{figures}<img src="/secret/1/1.jpg"></body></html>'
            case "/en/fantasy/rendered/list":
                items = "".join(
                    f'<li data-episode-no="{n}">'
                    f'<a href="/en/fantasy/rendered/viewer?title_no={TITLE_NO}&amp;episode_no={n}">'
                    f'<span class="subj"><span>{html.escape(title)}</span></span></a></li>'
                    for n, title in self._episodes(min(page, -(-self.episodes // PER_PAGE)))
                )
                return f'<html><body><ul id="_listUl">{items}</ul></body></html>'
            case "/en/fantasy/rendered/viewer":
                images = self._images(episode, f'<img src="{self.base}/blank.gif" data-url="{{}}?type=q90">')
                return f'<html><body><div id="_imageList">{images}</div><img src="/ad.png"></body></html>'
            case "/webtoon/list":
                return "<html><script>/* draws the list */</script></html>"
            case "/api/article/list":
                rows = [{"no": n, "subtitle": title} for n, title in self._episodes(page)]
                return json.dumps({"titleId": TITLE_NO, "articleList": rows})
            case "/webtoon/detail":
                images = self._images(episode, '<img src="{}">')
                return f'<html><body><div class="wt_viewer">{images}</div></body></html>'
        return ""

    def _images(self, episode: int, form: str) -> str:
        """The addresses of an episode's pictures, each in a form."""
        urls = (f"{self.base}/image/{episode}/{number}.jpg" for number in range(1, self.pictures + 1))
        return "".join(form.format(url) for url in urls)

    def _episodes(self, page: int) -> list[tuple[int, str]]:
        """Number and title of the episodes on a page of the list, the newest first."""
        numbers = range(self.episodes, 0, -1)[(page - 1) * PER_PAGE : page * PER_PAGE]
        return [(number, self.title.format(number)) for number in numbers]


class _Handler(BaseHTTPRequestHandler):
    """Answers with the site's pages and faults."""

    def do_GET(self) -> None:
        site, parts, referer = self.server.site, urlsplit(self.path), self.headers.get("Referer")
        site.requests.append(Request(self.path, time.monotonic(), referer, self.headers.get("User-Agent", "")))
        fault = site.faults.get(self.path) or site.faults.get(parts.path) or Fault(0)
        fault = fault if fault.times > 0 else Fault(0)
        fault.times -= 1
        status, kind, body = site.page(parts.path, dict(parse_qsl(parts.query)), referer)
        if fault.status != 200:
            status, kind, body = fault.status, "text/html", b"<html>error</html>"
        body = body if fault.body is None else fault.body
        time.sleep(fault.slow)
        self.send_response(status)
        for name, value in {"Content-Type": fault.kind or kind, "Content-Length": len(body), **fault.headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        part = max(1, -(-len(body) // 10)) if fault.drip else max(1, len(body))
        sent = body[: round(len(body) * fault.cut)]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client went away
            for start in range(0, len(sent), part):
                time.sleep(fault.drip)
                self.wfile.write(sent[start : start + part])
                self.wfile.flush()
        if fault.cut < 1:
            self.close_connection = True

    def log_message(self, *args) -> None:
        """Print nothing: notebooks would show it."""
