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
from urllib.parse import parse_qsl, urlsplit

from stylegan2.pocket.world.pages import make_page

TITLE_NO = 95
PER_PAGE = 2  # episodes on a page of a list


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


@dataclass(frozen=True)
class Request:
    """A request that came in."""

    path: str  # with query
    time: float
    referer: str | None
    agent: str


class LocalSite:
    """A web server on 127.0.0.1, at a free port, while the `with` block lasts (or from `start` to `stop`).

    Args:
        episodes: of its one title.
        pictures: of each episode.
        picture: (episode, number) -> bytes of a picture.
        delay: what its robots.txt asks for, in seconds.

    Attributes:
        faults: path, with or without query -> what goes wrong there.
        requests: all that came in, in order.
    """

    title = "Ep. {} - A face / in the crowd?"  # of an episode, by number

    def __init__(
        self,
        episodes: int = 3,
        pictures: int = 2,
        picture: Callable[[int, int], bytes] = page_jpeg,
        delay: float = 0.0,
    ):
        self.episodes, self.pictures, self.picture, self.delay = episodes, pictures, picture, delay
        self.faults: dict[str, Fault] = {}
        self.requests: list[Request] = []

    def start(self) -> LocalSite:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads, self._server.site = True, self
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()  # looks for `stop` every 0.02 s
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> LocalSite:
        return self.start()

    def __exit__(self, *_) -> None:
        self.stop()

    @property
    def base(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def allowed(self) -> frozenset[str]:
        """For `Manners.allow_local`."""
        return frozenset([f"127.0.0.1:{self._server.server_port}"])

    def url(self, site: str = "webtoons") -> str:
        """Where a crawl begins: a title's list as "webtoons" or "naver" build it, a "gallery", a "list" of addresses.

        Raises ValueError for another name.
        """
        paths = {
            "webtoons": f"/en/fantasy/rendered/list?title_no={TITLE_NO}",
            "naver": f"/webtoon/list?titleId={TITLE_NO}",
            "gallery": "/gallery",
            "list": "/pictures.txt",
        }
        if site not in paths:
            raise ValueError(f"site is {site!r}, expected one of {', '.join(paths)}")
        return self.base + paths[site]

    def counts(self) -> Counter[str]:
        """Requests by path."""
        return Counter(request.path for request in self.requests)

    # ------------------------------------------------------------------------------------------------------------ pages

    def page(self, path: str, query: dict[str, str], referer: str | None) -> tuple[int, str, bytes]:
        """Status, type and body of a path."""
        texts = {
            "/robots.txt": lambda query: f"User-agent: *\nDisallow: /secret/\nCrawl-delay: {self.delay:g}\n",
            "/pictures.txt": lambda query: "\n".join(["# one address per line", *self._image_urls(1), ""]),
            "/api/article/list": self._naver_list,
            "/en/fantasy/rendered/list": self._webtoons_list,
            "/en/fantasy/rendered/viewer": self._webtoons_viewer,
            "/webtoon/list": lambda query: "<html><script>/* draws the list */</script></html>",
            "/webtoon/detail": self._naver_detail,
            "/gallery": self._gallery,
        }
        if path in texts:
            kind = "text/html" if not path.startswith("/api") else "application/json"
            return 200, "text/plain" if path.endswith(".txt") else kind, texts[path](query).encode()
        if path.startswith(("/image/", "/secret/")):
            if referer is None:  # as on the real servers: pictures are for readers of the page
                return 403, "text/plain", b"no Referer"
            numbers = path.removesuffix(".jpg").split("/")[-2:]
            if all(number.isdecimal() for number in numbers):
                return 200, "image/jpeg", self.picture(*map(int, numbers))
        return 404, "text/html", b"<html>not found</html>"

    def _image_urls(self, episode: int | str) -> list[str]:
        return [f"{self.base}/image/{int(episode)}/{number}.jpg" for number in range(1, self.pictures + 1)]

    def _episodes(self, page: int) -> dict[int, str]:
        """Number -> title of the episodes on a page of the list, the newest first."""
        numbers = range(self.episodes, 0, -1)[(page - 1) * PER_PAGE : page * PER_PAGE]
        return {number: self.title.format(number) for number in numbers}

    def _webtoons_list(self, query: dict[str, str]) -> str:
        last = -(-self.episodes // PER_PAGE)
        items = "".join(
            f'<li data-episode-no="{n}"><a href="/en/fantasy/rendered/viewer?title_no={TITLE_NO}&amp;episode_no={n}">'
            f'<span class="subj"><span>{html.escape(title)}</span></span></a></li>'
            for n, title in self._episodes(min(int(query.get("page", 1)), last)).items()
        )
        return f'<html><body><ul id="_listUl">{items}</ul></body></html>'

    def _webtoons_viewer(self, query: dict[str, str]) -> str:
        urls = self._image_urls(query.get("episode_no", 1))
        images = "".join(f'<img src="{self.base}/blank.gif" data-url="{url}?type=q90">' for url in urls)
        return f'<html><body><div id="_imageList">{images}</div><img src="/ad.png"></body></html>'

    def _naver_list(self, query: dict[str, str]) -> str:
        rows = [{"no": n, "subtitle": title} for n, title in self._episodes(int(query.get("page", 1))).items()]
        return json.dumps({"titleId": TITLE_NO, "articleList": rows})

    def _naver_detail(self, query: dict[str, str]) -> str:
        images = "".join(f'<img src="{url}">' for url in self._image_urls(query.get("no", 1)))
        return f'<html><body><div class="wt_viewer">{images}</div></body></html>'

    def _gallery(self, query: dict[str, str]) -> str:
        images = "".join(f'<figure><img src="{url}"></figure>' for url in self._image_urls(1))
        return f'<html><body>{images}<img src="/secret/1/1.jpg"></body></html>'


class _Handler(BaseHTTPRequestHandler):
    """Answers with the site's pages and faults."""

    def do_GET(self) -> None:
        site, parts = self.server.site, urlsplit(self.path)
        referer, agent = self.headers.get("Referer"), self.headers.get("User-Agent", "")
        site.requests.append(Request(self.path, time.monotonic(), referer, agent))
        fault = site.faults.get(self.path) or site.faults.get(parts.path) or Fault(0)
        fault = fault if fault.times > 0 else Fault(0)
        fault.times -= 1
        status, kind, body = site.page(parts.path, dict(parse_qsl(parts.query)), referer)
        if fault.status != 200:
            status, kind, body = fault.status, "text/html", b"<html>error</html>"
        time.sleep(fault.slow)
        self._send(status, fault.kind or kind, body if fault.body is None else fault.body, fault)

    def _send(self, status: int, kind: str, body: bytes, fault: Fault) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in fault.headers.items():
            self.send_header(name, value)
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
