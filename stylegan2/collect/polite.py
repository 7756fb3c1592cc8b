"""Fetching from other people's servers politely and safely.

One request at a time to a host, with pauses; robots.txt is read first and obeyed, for redirects too; an honest
User-Agent; what fails temporarily is tried again after longer and longer waits; a host that refuses or fails several
times in a row is left alone. Redirects to other hosts, and addresses inside your own network, are refused.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import urllib3
from protego import Protego
from requests import certs
from urllib3.exceptions import HTTPError, InvalidHeader, LocationValueError, ProtocolError

from stylegan2 import __repository__, __version__

AGENT = "cartoonize-yourself"  # what a robots.txt may name
TEMPORARY = (429, 500, 502, 503, 504)  # try again later
REFUSALS = (401, 403, 429, 451)
NOT_THERE = (404, 410)
FORBID_ALL = "User-agent: *\nDisallow: /"  # a robots.txt
LEAST_DELAY = 0.5  # seconds between two requests to a server that is not yours
LONGEST_WAIT = 120.0  # seconds; a server that asks for more is left alone
CHUNK = 1 << 16


@dataclass(frozen=True)
class Manners:
    """How politely. Raises ValueError for numbers that cannot work."""

    delay: float = 1.0  # seconds between two requests to a host, at least; robots.txt may ask for more
    timeout: float = 20.0  # seconds without an answer after which a request has failed
    retries: int = 4  # how often something that failed temporarily is tried again
    patience: int = 3  # refusals, or addresses that fail, in a row after which a host is left alone
    most_bytes: int = 32 << 20  # of one answer
    contact: str = ""  # a mail address or web page for the User-Agent, so that a site's owner can reach you
    allow_local: frozenset[str] = frozenset()  # "host:port" of servers in your network that may be asked all the same

    def __post_init__(self) -> None:
        if self.delay < 0 or self.timeout <= 0 or min(self.retries, self.patience - 1, self.most_bytes - 1) < 0:
            raise ValueError(f"{self}: expected delay, retries >= 0, timeout above 0, patience, most_bytes >= 1")
        if not self.contact.isprintable():
            raise ValueError(f"contact is {self.contact!r}: expected one line of text")

    @property
    def user_agent(self) -> str:
        """Who asks, and where to complain."""
        contact = f"; {self.contact}" if self.contact else ""
        return f"{AGENT}/{__version__} (+{__repository__}{contact})"


class Stopped(ConnectionError):
    """A host refuses or fails too often, and is left alone; the message says what to do."""


class NotAllowed(ValueError):
    """This address is not fetched: robots.txt forbids it, or it is not safe."""


class Missing(OSError):
    """The server has no such page, or cannot give it whole now; `status` 0: there was no valid answer."""

    def __init__(self, message: str, status: int = 0):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """An answer: the address after redirects, the body, its media type."""

    url: str
    content: bytes
    kind: str = ""

    @property
    def text(self) -> str:
        """The body as UTF-8; invalid bytes are replaced."""
        return self.content.decode("utf-8", "replace")


@dataclass
class _Host:
    """What is known of a server."""

    free_at: float = 0.0  # by the session's clock
    delay: float = 0.0
    refusals: int = 0  # in a row
    failures: int = 0  # addresses in a row
    robots: Protego | None = None


class PoliteSession:
    """Fetches addresses one after the other, by a clock in seconds; `notes` say what was odd about the servers."""

    def __init__(
        self,
        manners: Manners | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.manners, self._clock, self._sleep = manners or Manners(), clock, sleep
        self.notes: list[str] = []
        self._hosts: dict[str, _Host] = {}
        self._asked = _Host()  # the host of the current request
        self._pools = urllib3.PoolManager(timeout=self.manners.timeout, ca_certs=certs.where())
        kinds = {"http": urllib3.HTTPConnectionPool, "https": urllib3.HTTPSConnectionPool}
        self._pools.pool_classes_by_scheme = {scheme: self._checked(kind) for scheme, kind in kinds.items()}

    def __enter__(self) -> PoliteSession:
        return self

    def __exit__(self, *_) -> None:
        self._pools.clear()

    def get(self, url: str, referer: str | None = None) -> Answer:
        """The page or picture at an address.

        Raises Stopped; Missing: there is none, or it never comes whole; NotAllowed: robots.txt forbids it, it is no
        http(s) address, private, too large, or leads to another host.
        """
        return self._follow(url, referer)

    def _host(self, url: str) -> _Host:
        return self._hosts.setdefault(check_address(url), _Host(delay=self.manners.delay))

    def _check_robots(self, url: str, referer: str | None) -> None:
        host = self._host(url)
        if host.robots is None:
            host.robots = Protego.parse(FORBID_ALL)  # as long as it cannot be read
            host.robots = self._read_robots(url, referer)
            host.delay = max(host.delay, host.robots.crawl_delay(AGENT) or 0.0)
        if not host.robots.can_fetch(url, AGENT):
            raise NotAllowed(f"the robots.txt of {urlsplit(url).netloc} forbids {url}")

    def _read_robots(self, url: str, referer: str | None) -> Protego:
        """The host's rules; servers of pictures often refuse even them without a Referer."""
        address = urljoin(url, "/robots.txt")
        try:
            text = self._follow(address, referer, robots=False).content.decode("utf-8-sig", "replace")
        except (Missing, NotAllowed, Stopped) as error:
            status = getattr(error, "status", 0)
            if not 400 <= status < 500:  # RFC 9309, 2.3.1.3 and 4: with 400 to 499 all is allowed, else nothing
                kind = NotAllowed if isinstance(error, NotAllowed) else Stopped
                raise kind(f"{address} cannot be read, so nothing is fetched from there: {error}") from error
            if status not in NOT_THERE:
                self.notes.append(f"{urlsplit(url).netloc} answered {status} to its robots.txt: it has no rules, then")
            text = ""
        rules = Protego.parse(text)
        if (delay := rules.crawl_delay(AGENT) or 0.0) > LONGEST_WAIT:
            raise Stopped(f"{address} asks for {delay:.0f} seconds between two requests: too long for a crawl")
        return rules

    def _follow(self, url: str, referer: str | None, robots: bool = True) -> Answer:
        """The answer after redirects, all within the host; the robots.txt is asked about every address."""
        for _ in range(6):
            if robots:
                self._check_robots(url, referer)
            answer = self._ask(url, referer)
            if isinstance(answer, Answer):
                return answer
            target = join(url, answer)
            if not _same_host(url, target):
                raise NotAllowed(f"{url} leads to another host ({urlsplit(target).netloc}): not followed")
            url = target
        raise Missing(f"{url} leads in a circle")

    def _ask(self, url: str, referer: str | None) -> Answer | str:
        """An answer, or a redirect's address.

        What fails temporarily is tried again when the server says, else after 1, 2, 4, ... seconds.
        """
        host = self._asked = self._host(url)
        sent = {"User-Agent": self.manners.user_agent} | ({"Referer": referer} if referer else {})
        for number in range(self.manners.retries + 1):
            wait = min(2.0**number, LONGEST_WAIT)
            try:
                response, body = self._send(url, sent)
            except LocationValueError as error:
                raise NotAllowed(f"{url!r} is no address: {error}") from error
            except HTTPError as error:
                why = f"{type(error).__name__}: {error}"
            else:
                if (answer := self._judged(url, response, body)) is not None:
                    return answer
                why = f"status {response.status}"
                with suppress(InvalidHeader):
                    wait = urllib3.Retry().get_retry_after(response) or wait
            if wait > LONGEST_WAIT:
                raise Stopped(f"{url}: the server asks to come back in {wait:.0f} seconds: go on then")
            host.free_at = max(host.free_at, self._clock() + wait)
        host.failures += 1
        failed = f"{url} failed {self.manners.retries + 1} times ({why})"
        if host.failures >= self.manners.patience:
            raise Stopped(f"{failed}, as others before it: try again later")
        raise Missing(failed)

    def _send(self, url: str, sent: dict[str, str]) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        """One request when its host's pause is over: the answer, and its body where the status is 200."""
        host = self._asked
        if (left := host.free_at - self._clock()) > 0:
            self._sleep(left)
        settings = {"headers": sent, "redirect": False, "retries": False, "preload_content": False}
        try:
            with closing(self._pools.urlopen("GET", url, **settings)) as response:
                return response, b"".join(self._body(url, response)) if response.status == 200 else b""
        finally:
            host.free_at = self._clock() + host.delay

    def _body(self, url: str, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        """Its parts as they come, up to a limit of bytes and of time."""
        deadline, size = self._clock() + 10 * self.manners.timeout, 0
        while chunk := response.read1(CHUNK, decode_content=True):  # `read` would wait for the whole chunk
            size += len(chunk)
            if size > self.manners.most_bytes:
                raise NotAllowed(f"{url} is larger than {self.manners.most_bytes >> 20} MiB")
            if self._clock() > deadline:
                raise ProtocolError(f"not done after {10 * self.manners.timeout:.0f} s")
            yield chunk

    def _judged(self, url: str, response: urllib3.BaseHTTPResponse, body: bytes) -> Answer | str | None:
        """An answer, or the address of a redirect; None: a temporary failure. Raises Stopped: too many refusals."""
        host, status = self._asked, response.status
        host.refusals += status in REFUSALS and urlsplit(url).path != "/robots.txt"
        if status in REFUSALS and host.refusals >= self.manners.patience:
            raise Stopped(
                f"{urlsplit(url).netloc} refused {host.refusals} times in a row (status {status}, last for {url}): "
                "it does not want this. Wait, ask its owner, or go on later with a longer delay"
            )
        if status in TEMPORARY:
            return None
        if status in REFUSALS:
            raise Missing(f"{url}: refused with status {status}", status)
        host.refusals = host.failures = 0
        if status >= 400:
            raise Missing(f"{url}: status {status}", status)
        if status != 200:
            return response.get_redirect_location() or ""
        return Answer(url, body, response.headers.get("Content-Type", "").partition(";")[0])

    def _checked(self, kind: type[urllib3.HTTPConnectionPool]) -> type[urllib3.HTTPConnectionPool]:
        """Connections whose address is checked before anything is sent; servers of others are not asked quickly."""
        session = self

        class Connection(kind.ConnectionCls):
            def _new_conn(self):
                sock = super()._new_conn()
                try:
                    public = check_peer(sock.getpeername()[0], self.host, self.port, session.manners.allow_local)
                except NotAllowed:
                    sock.close()
                    raise
                if public:
                    session._asked.delay = max(session._asked.delay, LEAST_DELAY)
                return sock

        return type("CheckedPool", (kind,), {"ConnectionCls": Connection})


# ----------------------------------------------------------------------------------------------------------- addresses
def check_address(url: str) -> str:
    """ "host:port" of an http(s) address. Raises NotAllowed for another address, or one with a password."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError as error:
        raise NotAllowed(f"{url!r} is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotAllowed(f"{url!r} is no web address: expected http://... or https://...")
    if parts.username is not None or parts.password is not None:
        raise NotAllowed(f"the address for {parts.hostname} holds a name or password: leave it out")
    return f"{parts.hostname.lower()}:{port}"


def join(base: str, link: str) -> str:
    """A link of a page as a whole address; an invalid one stays as it is, and is refused when it is fetched."""
    try:
        return urljoin(base, link)
    except ValueError:
        return link


def _same_host(a: str, b: str) -> bool:
    """One host and scheme, or from http to https on their own ports."""
    one, two = urlsplit(a), urlsplit(b)
    if check_address(a) == check_address(b):
        return one.scheme == two.scheme
    own_ports = one.port in (None, 80) and two.port in (None, 443)
    return one.hostname == two.hostname and (one.scheme, two.scheme) == ("http", "https") and own_ports


def check_peer(address: str, host: str, port: int, allow_local: frozenset[str]) -> bool:
    """Is the IP address of a connection to host and port on the public internet?

    False for a private one that is allowed (see `Manners`); raises NotAllowed for any other private one.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    real = _unwrapped(ip)
    public = real.is_global and not real.is_multicast
    if not public and f"{host.lower()}:{port}" not in allow_local:
        raise NotAllowed(
            f"{host}:{port} is {ip}, an address of this machine or of a private network: refused (a server of your own "
            f"can be allowed with --allow-local {host}:{port})"
        )
    return public


NAT64, COMPATIBLE = ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96")


def _unwrapped(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address where an IPv6 one leads to it (mapped, compatible, NAT64, 6to4, Teredo); else itself."""
    if ip.version == 4:
        return ip
    if ip in NAT64 or ip in COMPATIBLE:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1]) or ip
