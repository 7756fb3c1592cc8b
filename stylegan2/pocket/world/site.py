"""A small webtoon site on this machine: to try the crawler, and to test it, without troubling anybody.

    with LocalSite() as site:
        crawl(CrawlConfig(site.url("webtoons"), "pages", rights_confirmed=True, site="webtoons",
                          manners=Manners(delay=0.05, allow_local=site.allowed)))

Its pages are built as those of the real sites are (lists, viewers, pictures in `data-url`, a Referer that is needed),
its pictures are rendered webtoon pages. Faults can be switched on, path by path.
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
from urllib.parse import parse_qs, urlsplit

TITLE_NO = 95
PER_PAGE = 2  # episodes on a page of a list


@functools.lru_cache(maxsize=256)
def strip_jpeg(episode: int, number: int) -> bytes:
    """A rendered webtoon page as a JPEG."""
    from stylegan2.pocket.world.pages import make_strip

    data = io.BytesIO()
    make_strip(2_000_000 + 100 * episode + number, panels=3).image.save(data, "jpeg", quality=92)
    return data.getvalue()


@dataclass
class Fault:
    """What goes wrong at a path.

    Attributes:
        times: so many times, then no more.
        status: instead of 200.
        headers: sent with it.
        slow: seconds before the answer.
        cut: send only this part of the body.
        drip: seconds before every tenth of the body.
        body: another body.
        kind: another type.
    """

    times: int = 1
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    slow: float = 0.0
    cut: float = 1.0
    drip: float = 0.0
    body: bytes | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Request:
    """One that came."""

    path: str
    time: float
    referer: str | None
    agent: str


class LocalSite:
    """A web server on 127.0.0.1, at a free port, while the `with` block lasts.

    Args:
        episodes: of the one title it has.
        pictures: of each episode.
        picture: (episode, number) -> bytes of a picture.
        delay: what its robots.txt asks for, in seconds.

    Attributes:
        faults: path -> what goes wrong there; paths are with query, as in `requests`.
        requests: all that came, in order.
    """

    def __init__(
        self,
        episodes: int = 3,
        pictures: int = 2,
        picture: Callable[[int, int], bytes] = strip_jpeg,
        delay: float = 0.0,
    ):
        self.episodes, self.pictures, self.picture, self.delay = episodes, pictures, picture, delay
        self.faults: dict[str, Fault] = {}
        self.requests: list[Request] = []

    def start(self) -> LocalSite:
        """Serve until `stop`."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, self))
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()  # seconds until `stop` is seen
        return self

    def stop(self) -> None:
        """Serve no more."""
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

        Raises:
            ValueError: another name.
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
        route = {
            "/robots.txt": self._robots,
            "/en/fantasy/rendered/list": self._webtoons_list,
            "/en/fantasy/rendered/viewer": self._webtoons_viewer,
            "/api/article/list": self._naver_list,
            "/webtoon/list": lambda query: ("text/html", "<html><script>/* draws the list */</script></html>"),
            "/webtoon/detail": self._naver_detail,
            "/gallery": self._gallery,
            "/pictures.txt": self._pictures,
        }.get(path)
        if route is not None:
            kind, body = route(query)
            return 200, kind, body.encode()
        if path.startswith(("/image/", "/secret/")):
            if referer is None:  # as the real servers do: pictures are for readers of the page
                return 403, "text/plain", b"no Referer"
            numbers = path.removesuffix(".jpg").split("/")[-2:]
            if all(number.isdecimal() for number in numbers):
                return 200, "image/jpeg", self.picture(*map(int, numbers))
        return 404, "text/html", b"<html>not found</html>"

    def _robots(self, query) -> tuple[str, str]:
        return "text/plain", f"User-agent: *\nDisallow: /secret/\nCrawl-delay: {self.delay:g}\n"

    def _image_urls(self, episode: int) -> list[str]:
        return [f"{self.base}/image/{episode}/{number}.jpg" for number in range(1, self.pictures + 1)]

    def _title(self, episode: int) -> str:
        return f"Ep. {episode} - A face / in the crowd?"

    def _webtoons_list(self, query) -> tuple[str, str]:
        numbers = list(range(self.episodes, 0, -1))  # the newest first
        last = -(-len(numbers) // PER_PAGE)
        page = min(int(query.get("page", 1)), last)
        items = "".join(
            f'<li data-episode-no="{n}"><a href="/en/fantasy/rendered/viewer?title_no={TITLE_NO}&amp;episode_no={n}">'
            f'<span class="subj"><span>{html.escape(self._title(n))}</span></span></a></li>'
            for n in numbers[(page - 1) * PER_PAGE : page * PER_PAGE]
        )
        return "text/html", f'<html><body><ul id="_listUl">{items}</ul></body></html>'

    def _webtoons_viewer(self, query) -> tuple[str, str]:
        urls = self._image_urls(int(query.get("episode_no", 1)))
        images = "".join(f'<img src="{self.base}/blank.gif" data-url="{url}?type=q90">' for url in urls)
        return "text/html", f'<html><body><div id="_imageList">{images}</div><img src="/ad.png"></body></html>'

    def _naver_list(self, query) -> tuple[str, str]:
        page = int(query.get("page", 1))
        numbers = list(range(self.episodes, 0, -1))[(page - 1) * PER_PAGE : page * PER_PAGE]
        rows = [{"no": n, "subtitle": self._title(n)} for n in numbers]
        return "application/json", json.dumps({"titleId": TITLE_NO, "articleList": rows})

    def _naver_detail(self, query) -> tuple[str, str]:
        images = "".join(f'<img src="{url}">' for url in self._image_urls(int(query.get("no", 1))))
        return "text/html", f'<html><body><div class="wt_viewer">{images}</div></body></html>'

    def _gallery(self, query) -> tuple[str, str]:
        images = "".join(f'<figure><img src="{url}"></figure>' for url in self._image_urls(1))
        return "text/html", f'<html><body>{images}<img src="/secret/1/1.jpg"></body></html>'

    def _pictures(self, query) -> tuple[str, str]:
        return "text/plain", "# one address per line\n" + "\n".join(self._image_urls(1)) + "\n"


class _Handler(BaseHTTPRequestHandler):
    """Answers with the site's pages, and their faults."""

    def __init__(self, site: LocalSite, *args):
        self.site = site
        super().__init__(*args)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        referer, agent = self.headers.get("Referer"), self.headers.get("User-Agent", "")
        self.site.requests.append(Request(self.path, time.monotonic(), referer, agent))
        fault = self.site.faults.get(self.path) or self.site.faults.get(parts.path) or Fault(0)
        fault = fault if fault.times > 0 else Fault(0)
        fault.times -= 1
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        status, kind, body = self.site.page(parts.path, query, referer)
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
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the other end had enough
            for start in range(0, len(sent), part):
                time.sleep(fault.drip)
                self.wfile.write(sent[start : start + part])
                self.wfile.flush()
        if fault.cut < 1:
            self.close_connection = True

    def log_message(self, *args) -> None:
        """Not a word: notebooks show what is printed."""
