"""Fetching from other people's servers with good manners, and without being led astray.

    session = PoliteSession(Manners(delay=1.0, contact="me@example.org"))
    page = session.get("https://example.org/list")

One request at a time to a host, with a pause between two; robots.txt is asked first and obeyed, for redirects too; an
honest User-Agent; what fails for the moment is tried again later and later; whoever refuses or fails several times in a
row is left alone. Redirects to other hosts, and addresses inside your own network, are refused.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from protego import Protego
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from stylegan2 import __repository__, __version__

AGENT = "cartoonize-yourself"  # what a robots.txt may name
FOR_A_MOMENT = (429, 500, 502, 503, 504)  # try again later
REFUSALS = (401, 403, 429, 451)
NOT_THERE = (404, 410)
NOTHING = "User-agent: *\nDisallow: /"  # a robots.txt that forbids all
REDIRECTS = (301, 302, 303, 307, 308)
LEAST_DELAY = 0.5  # seconds between two requests to a server that is not yours
LONGEST_WAIT = 120.0  # seconds; a server that asks for more is left alone
CHUNK = 1 << 16


@dataclass(frozen=True)
class Manners:
    """How politely.

    Attributes:
        delay: seconds between two requests to a host, at least; robots.txt may ask for more.
        timeout: seconds without an answer after which a request has failed.
        retries: how often something that failed for the moment is tried again.
        patience: refusals, or addresses that fail, in a row after which a host is left alone.
        most_bytes: of one answer.
        contact: a mail address or web page for the User-Agent, so that a site's owner can reach you.
        allow_local: "host:port" of servers on this machine or in its network that may be asked all the same.

    Raises:
        ValueError: numbers that cannot work.
    """

    delay: float = 1.0
    timeout: float = 20.0
    retries: int = 4
    patience: int = 3
    most_bytes: int = 32 << 20
    contact: str = ""
    allow_local: frozenset[str] = frozenset()

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
    """A host refuses, or fails for so long that it is left alone; the message says what to do."""


class NotAllowed(ValueError):
    """This address is not fetched: robots.txt forbids it, or it leads where nothing of ours has to go."""


class Missing(OSError):
    """The server has no such page, or cannot give it whole now.

    Args:
        message: what happened.
        status: what the server answered; 0: nothing that is an answer.
    """

    def __init__(self, message: str, status: int = 0):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """What came: the address after redirects, the body, its type."""

    url: str
    content: bytes
    kind: str = ""

    @property
    def text(self) -> str:
        """As UTF-8; what is none of it is replaced."""
        return self.content.decode("utf-8", "replace")


@dataclass
class _Host:
    """What is known of a server."""

    free_at: float = 0.0
    delay: float = 0.0
    refusals: int = 0  # in a row
    failures: int = 0  # addresses in a row
    robots: Protego | None = None


class PoliteSession:
    """Fetches addresses one after the other.

    Args:
        manners: see there.
        clock, sleep: seconds, and waiting for so many; for tests.

    Attributes:
        notes: what is worth knowing about the servers asked.
    """

    def __init__(
        self,
        manners: Manners | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self.manners, self._clock, self._sleep = manners or Manners(), clock, sleep
        self.notes: list[str] = []
        self._hosts: dict[str, _Host] = {}
        self._session = requests.Session()
        self._session.trust_env = False  # no proxies or passwords from elsewhere
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # none is kept, none is sent
        self._session.headers = requests.structures.CaseInsensitiveDict({"User-Agent": self.manners.user_agent})
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(self._met))

    def __enter__(self) -> PoliteSession:
        return self

    def __exit__(self, *_) -> None:
        self._session.close()

    def get(self, url: str, referer: str | None = None) -> Answer:
        """The page or picture at an address.

        Raises:
            NotAllowed: robots.txt forbids it; it is no http(s) address; it leads to another host or into a private
                network; or it is too large.
            Missing: there is no such thing, or it never comes whole.
            Stopped: the host refuses, or has failed too often.
        """
        return self._follow(url, referer, self._check_robots)

    def _host(self, url: str) -> _Host:
        return self._hosts.setdefault(check_address(url), _Host(delay=self.manners.delay))

    def _met(self, address: str, host: str, port: int) -> None:
        """Look at a new connection's other end: nobody else's server is asked quickly, none inside asked at all."""
        if check_peer(address, host, port, self.manners.allow_local):
            known = self._hosts[f"{host.lower()}:{port}"]
            known.delay = max(known.delay, LEAST_DELAY)

    def _check_robots(self, url: str, referer: str | None) -> None:
        host = self._host(url)
        if host.robots is None:
            host.robots = Protego.parse(NOTHING)  # for as long as they cannot be read
            host.robots, delay = self._read_robots(url, referer)
            host.delay = max(host.delay, delay)
        if not host.robots.can_fetch(url, AGENT):
            raise NotAllowed(f"the robots.txt of {urlsplit(url).netloc} forbids {url}")

    def _read_robots(self, url: str, referer: str | None) -> tuple[Protego, float]:
        """The host's rules and delay.

        A server that answers with 400 to 499 (but 429) has no rules, and all is allowed (RFC 9309, 2.3.1.3); one that
        is out of order allows nothing (2.3.1.4). Referer is that of the page or picture that is wanted: servers of
        pictures often refuse everything without one.
        """
        address = urljoin(url, "/robots.txt")
        try:
            text = self._follow(address, referer).content.decode("utf-8-sig", "replace")
        except (Missing, NotAllowed, Stopped) as error:
            status = getattr(error, "status", 0)
            if not 400 <= status < 500:
                kind = NotAllowed if isinstance(error, NotAllowed) else Stopped
                raise kind(f"{address} cannot be read, so nothing is fetched from there: {error}") from error
            if status not in NOT_THERE:
                self.notes.append(f"{urlsplit(url).netloc} answered {status} to its robots.txt: it has no rules, then")
            text = ""
        rules = Protego.parse(text)
        delay = rules.crawl_delay(AGENT) or 0.0
        if delay > LONGEST_WAIT:
            raise Stopped(f"{address} asks for {delay:.0f} seconds between two requests: too long for a crawl")
        return rules, delay

    def _follow(self, url: str, referer: str | None, check: Callable[[str, str | None], None] | None = None) -> Answer:
        """The answer at the end of the redirects, all within the host; `check` is asked about every address."""
        for _ in range(6):
            if check:
                check(url, referer)
            answer = self._persist(url, referer)
            if isinstance(answer, Answer):
                return answer
            target = join(url, answer)
            if not _same_host(url, target):
                raise NotAllowed(f"{url} leads to another host ({urlsplit(target).netloc}): not followed")
            url = target
        raise Missing(f"{url} leads in a circle")

    def _persist(self, url: str, referer: str | None) -> Answer | str:
        """An answer, or where it is said to be; what fails for the moment is tried again."""
        host, why = self._host(url), ""
        for attempt in range(self.manners.retries + 1):
            self._wait(host)
            try:
                status, after, result = self._ask(url, referer)
            except (requests.RequestException, urllib3.exceptions.HTTPError, _Cut) as error:
                status, after, why = 0, None, f"{type(error).__name__.lstrip('_')}: {error}"
            finally:
                host.free_at = self._clock() + host.delay
            if status in REFUSALS:
                why = f"status {status}"
                if urlsplit(url).path != "/robots.txt":
                    self._count_refusal(host, url, status)
            elif status in FOR_A_MOMENT:
                why = f"status {status}"
            elif status:
                host.refusals = host.failures = 0
                if status >= 400:
                    raise Missing(f"{url}: status {status}", status)
                return result
            if status in (401, 403, 451):
                raise Missing(f"{url}: refused with status {status}", status)
            host.free_at = max(host.free_at, self._clock() + self._pause(attempt, after, url))
        host.failures += 1
        told = f"{url} failed {self.manners.retries + 1} times ({why})"
        if host.failures >= self.manners.patience:
            raise Stopped(f"{told}, as others before it: try again later")
        raise Missing(told)

    def _count_refusal(self, host: _Host, url: str, status: int) -> None:
        host.refusals += 1
        if host.refusals >= self.manners.patience:
            raise Stopped(
                f"{urlsplit(url).netloc} refused {host.refusals} times in a row (status {status}, last for {url}): "
                "it does not want this. Wait, ask its owner, or go on later with a longer delay"
            )

    def _pause(self, attempt: int, after: str | None, url: str) -> float:
        """Seconds until the next try: what the server asks for, else twice as long each time."""
        seconds = _seconds(after) if after else 2.0**attempt
        if seconds > LONGEST_WAIT:
            raise Stopped(f"{url}: the server asks to come back in {seconds:.0f} seconds: go on then")
        return seconds

    def _wait(self, host: _Host) -> None:
        if (left := host.free_at - self._clock()) > 0:
            self._sleep(left)

    def _ask(self, url: str, referer: str | None) -> tuple[int, str | None, Answer | str]:
        """Status, Retry-After, and the answer or where it is said to be."""
        headers = {"Referer": referer} if referer else {}
        timeout = self.manners.timeout
        with self._session.get(url, headers=headers, timeout=timeout, stream=True, allow_redirects=False) as response:
            after, where = response.headers.get("Retry-After"), response.headers.get("Location")
            if response.status_code in REDIRECTS and where:
                return response.status_code, after, where
            if response.status_code != 200:
                return response.status_code, after, ""
            body = b"".join(self._body(response, url))
            return 200, None, Answer(url, body, response.headers.get("Content-Type", "").partition(";")[0])

    def _body(self, response: requests.Response, url: str) -> Iterator[bytes]:
        """Its parts as they come; not more, not for longer, and not less than was promised."""
        deadline, got = self._clock() + 10 * self.manners.timeout, 0
        promised = response.headers.get("Content-Length", "")
        while chunk := response.raw.read1(CHUNK, decode_content=True):  # `read` would wait until so much is there
            got += len(chunk)
            if got > self.manners.most_bytes:
                raise NotAllowed(f"{url} is larger than {self.manners.most_bytes >> 20} MiB")
            if self._clock() > deadline:
                raise _Cut(f"not done after {10 * self.manners.timeout:.0f} s")
            yield chunk
        if promised.isdecimal() and "Content-Encoding" not in response.headers and got < int(promised):
            raise _Cut(f"{got} of {promised} bytes")


class _Cut(Exception):
    """The body ended too early."""


def _seconds(after: str) -> float:
    """Retry-After as seconds from now: a number, or a date."""
    try:
        return float(urllib3.Retry().parse_retry_after(after))
    except urllib3.exceptions.InvalidHeader:
        return 1.0


# -------------------------------------------------------------------------------------------------------- where to, not


def check_address(url: str) -> str:
    """ "host:port" of an http(s) address.

    Raises:
        NotAllowed: something else, or one with a password.
    """
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
    """A link of a page as a whole address; one that is none stays as it is, and is refused when it is asked for."""
    try:
        return urljoin(base, link)
    except ValueError:
        return link


def _same_host(a: str, b: str) -> bool:
    """One host, and not from https to http; http to https is an ordinary step."""
    one, two = urlsplit(a), urlsplit(b)
    if check_address(a) == check_address(b):
        return one.scheme == two.scheme
    plain = one.port in (None, 80) and two.port in (None, 443)
    return one.hostname == two.hostname and (one.scheme, two.scheme) == ("http", "https") and plain


def check_peer(address: str, host: str, port: int, allow_local: frozenset[str]) -> bool:
    """Is this a server on the public internet?

    Args:
        address: the IP address that the connection went to, whatever the name said before.
        host, port: what was asked for.
        allow_local: see `Manners`.

    Returns:
        False for one inside that was allowed by name.

    Raises:
        NotAllowed: one inside that was not.
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
    if ip.version == 4 or ip.is_loopback:
        return ip
    if ip in NAT64 or ip in COMPATIBLE:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1]) or ip


class _Adapter(HTTPAdapter):
    """Connections whose other end is looked at before anything is sent.

    Args:
        met: called with IP address, host and port; raises NotAllowed.
    """

    def __init__(self, met: Callable[[str, str, int], None]):
        self.met = met
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args, **kwargs) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": _pool(urllib3.HTTPConnectionPool, HTTPConnection, self.met),
            "https": _pool(urllib3.HTTPSConnectionPool, HTTPSConnection, self.met),
        }


def _pool(pool: type, connection: type, met: Callable[[str, str, int], None]) -> type:
    class Checked(connection):
        def _new_conn(self):
            sock = super()._new_conn()
            try:
                met(sock.getpeername()[0], self.host, self.port)
            except NotAllowed:
                sock.close()
                raise
            return sock

    return type("Pool", (pool,), {"ConnectionCls": Checked})
