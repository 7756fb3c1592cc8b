"""Manners towards other people's servers, tried on one of our own, with a clock that nobody has to wait for."""

from __future__ import annotations

import email.utils
import time

import pytest

from stylegan2.collect import polite
from stylegan2.collect.polite import (
    LEAST_DELAY,
    Manners,
    Missing,
    NotAllowed,
    PoliteSession,
    Stopped,
    check_address,
    check_peer,
    join,
)
from stylegan2.pocket.world.site import Fault, LocalSite


class Clock:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self):
        self.now, self.slept = 0.0, []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        self.now += seconds


@pytest.fixture
def site():
    with LocalSite(picture=lambda episode, number: b"picture") as site:
        yield site


@pytest.fixture
def clock() -> Clock:
    return Clock()


def session(site: LocalSite, clock: Clock, **manners) -> PoliteSession:
    allowed = {"allow_local": site.allowed, "delay": 1.0, "timeout": 5.0}
    return PoliteSession(Manners(**(allowed | manners)), clock, clock.sleep)


def test_robots_is_asked_once_and_obeyed(site, clock):
    with session(site, clock) as s:
        assert b"figure" in s.get(site.url("gallery")).content
        s.get(site.url("list"))
        with pytest.raises(NotAllowed, match="robots.txt of 127.0.0.1.*forbids.*/secret/1/1.jpg"):
            s.get(f"{site.base}/secret/1/1.jpg", referer=site.base)
    assert site.counts()["/robots.txt"] == 1 and site.counts()["/secret/1/1.jpg"] == 0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418, 451])
def test_where_no_robots_can_be_had_all_is_allowed(site, clock, status):
    """RFC 9309, 2.3.1.3. It is no refusal of the pages, either: patience is for those."""
    site.faults["/robots.txt"] = Fault(99, status)
    with session(site, clock, patience=1) as s:
        assert s.get(site.url("gallery")).content
    note = f"{site.base[7:]} answered {status} to its robots.txt: it has no rules, then"
    assert s.notes == ([] if status in (404, 410) else [note])


def test_robots_are_asked_for_from_the_same_page_as_the_picture(site, clock):
    with session(site, clock) as s:
        s.get(f"{site.base}/image/1/1.jpg", referer=site.base)
    assert [request.referer for request in site.requests] == [site.base, site.base]


def test_while_robots_cannot_be_read_nothing_is_fetched(site, clock):
    site.faults["/robots.txt"] = Fault(99, 503)
    with session(site, clock, retries=1) as s, pytest.raises(Stopped, match="robots.txt cannot be read, so nothing"):
        s.get(site.url("gallery"))
    assert site.counts() == {"/robots.txt": 2}


def test_between_two_requests_there_is_a_pause(site, clock):
    with session(site, clock, delay=2.5) as s:
        for _ in range(3):
            s.get(site.url("gallery"))
    assert clock.slept == [2.5, 2.5, 2.5]  # before each page, after robots.txt


def test_robots_may_ask_for_longer_pauses(clock):
    for delay in (7, 2.5):
        with LocalSite(delay=delay, picture=lambda *_: b"") as site, session(site, clock) as s:
            s.get(site.url("gallery"))
            s.get(site.url("gallery"))
        assert clock.slept[-1] == delay


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("User-agent: *\nCrawl-delay: 0.2\nDisallow: /x", 0.2),
        ("User-agent: a\nUser-agent: *\nDisallow:\nCrawl-delay: 3 # please", 3),
        ("User-agent: *\nCrawl-delay: 9\n\nUser-agent: cartoonize-yourself\nCrawl-delay: 2", 2),
        ("User-agent: somebody\nCrawl-delay: 50", 0),
        ("Crawl-delay: 5\nUser-agent: *\nCrawl-delay: soon", 0),
        ("User-agent: *\nCrawl-delay: -4", 0),
        ("User-agent: *\nCrawl-delay: inf", 0),
        ("", 0),
    ],
)
def test_the_delay_that_counts(site, clock, text, delay):
    site.faults["/robots.txt"] = Fault(1, body=text.encode())
    with session(site, clock, delay=0.0) as s:
        s.get(site.url("gallery"))
        s.get(site.url("gallery"))
    assert clock.slept == ([delay] if delay else [])


def test_a_delay_that_nobody_can_keep_is_a_no(site, clock):
    site.faults["/robots.txt"] = Fault(1, body=b"User-agent: *\nCrawl-delay: 86400")
    with session(site, clock) as s, pytest.raises(Stopped, match="asks for 86400 seconds between two requests"):
        s.get(site.url("gallery"))
    assert site.counts() == {"/robots.txt": 1} and not clock.slept


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("\ufeffUser-agent: *\nDisallow: /gallery", False),  # a byte order mark
        ("User-agent: *\n\nDisallow: /gal", False),  # blank lines end nothing (RFC 9309)
        ("User-agent: *\nDisallow: /*llery$", False),  # wildcards
        ("User-agent: *\nDisallow: /gal\nAllow: /gallery", True),  # the longest rule counts
        ("User-agent: *\nDisallow: /\n\nUser-agent: cartoonize-yourself\nDisallow: /other", True),  # ours counts
        ("<html>no rules at all</html>", True),
    ],
)
def test_rules_are_read_as_the_standard_says(site, clock, text, allowed):
    site.faults["/robots.txt"] = Fault(1, body=text.encode())
    with session(site, clock) as s:
        if allowed:
            assert s.get(site.url("gallery")).content
        else:
            with pytest.raises(NotAllowed, match="robots.txt of .* forbids"):
                s.get(site.url("gallery"))


def test_robots_is_asked_about_redirects_too(site, clock):
    site.faults["/old"] = Fault(1, 302, {"Location": "/secret/1/1.jpg"})
    with session(site, clock) as s, pytest.raises(NotAllowed, match="forbids .*/secret/1/1.jpg"):
        s.get(f"{site.base}/old", referer=site.base)
    assert site.counts() == {"/robots.txt": 1, "/old": 1}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(99, 302, {"Location": "/robots.txt"}),
        Fault(99, 302, {"Location": "https://example.org/robots.txt"}),
        Fault(99, cut=0.5),
        Fault(99, 429),
        Fault(99, 500),
    ],
)
def test_rules_that_cannot_be_read_whole_allow_nothing(site, clock, fault):
    site.faults["/robots.txt"] = fault
    with session(site, clock, retries=1) as s:
        with pytest.raises((Stopped, NotAllowed), match="cannot be read, so nothing is fetched"):
            s.get(site.url("gallery"))
        with pytest.raises(NotAllowed, match="forbids"):
            s.get(site.url("gallery"))
    assert set(site.counts()) == {"/robots.txt"}


@pytest.mark.parametrize("public", [True, False])
def test_other_peoples_servers_are_never_asked_quickly(site, clock, monkeypatch, public):
    """Whatever --allow-local says: the address they have decides."""
    monkeypatch.setattr(polite, "check_peer", lambda *a: public)
    with session(site, clock, delay=0.0) as s:
        s.get(site.url("gallery"))
        s.get(site.url("gallery"))
    assert clock.slept == ([LEAST_DELAY] * 2 if public else []) and LEAST_DELAY > 0


def test_who_asks_is_said_honestly_and_nothing_else_is_sent(site, clock):
    with session(site, clock, contact="me@example.org") as s:
        s.get(site.url("gallery"), referer="http://page/")
    asked = site.requests[-1]
    assert asked.agent.startswith("cartoonize-yourself/") and "me@example.org" in asked.agent and "+http" in asked.agent
    assert asked.referer == "http://page/"


def test_what_fails_for_the_moment_is_tried_again_later_and_later(site, clock):
    site.faults["/gallery"] = Fault(3, 503)
    with session(site, clock, delay=0.0) as s:
        assert s.get(site.url("gallery")).content
    assert site.counts()["/gallery"] == 4 and clock.slept == [1, 2, 4]


def test_a_server_may_say_when_to_come_back(site, clock):
    site.faults["/gallery"] = Fault(1, 429, {"Retry-After": "33"})
    with session(site, clock) as s:
        s.get(site.url("gallery"))
    assert clock.slept[-1] == 33
    site.faults["/gallery"] = Fault(1, 503, {"Retry-After": email.utils.formatdate(time.time() + 50, usegmt=True)})
    with session(site, clock) as s:
        s.get(site.url("gallery"))
    assert 45 < clock.slept[-1] <= 50
    site.faults["/gallery"] = Fault(1, 503, {"Retry-After": "7200"})
    with session(site, clock) as s, pytest.raises(Stopped, match="come back in 7200 seconds"):
        s.get(site.url("gallery"))


def test_what_fails_for_good_is_given_up_and_then_its_host(site, clock):
    for number in range(1, 5):
        site.faults[f"/image/1/{number}.jpg"] = Fault(99, 500)
    with session(site, clock, retries=2, patience=2) as s:
        with pytest.raises(Missing, match=r"1.jpg failed 3 times \(status 500\)$"):
            s.get(f"{site.base}/image/1/1.jpg", "x")
        s.get(site.url("gallery"))  # ends the row
        with pytest.raises(Missing, match="2.jpg failed"):
            s.get(f"{site.base}/image/1/2.jpg", "x")
        with pytest.raises(Stopped, match=r"3.jpg failed 3 times \(status 500\), as others before it: try again later"):
            s.get(f"{site.base}/image/1/3.jpg", "x")
    assert site.counts()["/image/1/1.jpg"] == 3


def test_who_refuses_again_and_again_is_left_alone(site, clock):
    for number in range(1, 6):
        site.faults[f"/image/1/{number}.jpg"] = Fault(99, 403)
    with session(site, clock, patience=3) as s:
        for number in (1, 2):
            with pytest.raises(Missing, match="status 403"):
                s.get(f"{site.base}/image/1/{number}.jpg", "x")
        with pytest.raises(Stopped, match="refused 3 times in a row.*ask its owner"):
            s.get(f"{site.base}/image/1/3.jpg", "x")
    assert sum(path.startswith("/image") for path in site.counts()) == 3


def test_something_given_in_between_ends_the_row(site, clock):
    site.faults["/image/1/1.jpg"] = site.faults["/image/1/2.jpg"] = Fault(99, 403)
    with session(site, clock, patience=2) as s:
        for number in (1, 2):
            with pytest.raises(Missing):
                s.get(f"{site.base}/image/1/{number}.jpg", "x")
            s.get(site.url("gallery"))


def test_what_is_not_there_is_said_at_once(site, clock):
    with session(site, clock) as s, pytest.raises(Missing, match="nothing.html: status 404"):
        s.get(f"{site.base}/nothing.html")
    assert site.counts()["/nothing.html"] == 1


def test_a_cut_off_answer_is_fetched_again(site, clock):
    site.faults["/gallery"] = Fault(1, cut=0.5)
    with session(site, clock) as s:
        assert s.get(site.url("gallery")).text.endswith("</html>")
    site.faults["/gallery"] = Fault(99, cut=0.5)
    with session(site, clock, retries=1) as s, pytest.raises(Missing, match="failed 2 times.*Incomplete"):
        s.get(site.url("gallery"))


def test_a_slow_server_is_not_waited_for_for_ever(site, clock):
    site.faults["/gallery"] = Fault(99, slow=0.5)
    with session(site, clock, timeout=0.1, retries=1) as s, pytest.raises(Missing, match="failed 2 times.*time"):
        s.get(site.url("gallery"))


def test_nor_is_one_that_sends_drop_by_drop(site):
    """Every drop comes in time, all of them together do not."""
    site.faults["/gallery"] = Fault(99, drip=0.06)
    manners = Manners(0.0, 0.02 * 10, retries=0, allow_local=site.allowed)
    drops = iter(range(0, 999, 1))
    clock = lambda: next(drops) * 0.5  # noqa: E731 - time that runs faster than the drops fall
    with PoliteSession(manners, clock, lambda seconds: None) as s, pytest.raises(Missing, match="not done after 2 s"):
        s.get(site.url("gallery"))


def test_what_is_too_large_is_refused_before_it_is_all_here(site, clock):
    site.faults["/gallery"] = Fault(1, body=b"x" * (3 << 20))
    with session(site, clock, most_bytes=1 << 20) as s, pytest.raises(NotAllowed, match="larger than 1 MiB"):
        s.get(site.url("gallery"))


def test_redirects_stay_within_the_host(site, clock):
    site.faults["/old"] = Fault(99, 302, {"Location": "/gallery"})
    with session(site, clock) as s:
        assert s.get(f"{site.base}/old").url == site.url("gallery")
    with LocalSite() as other:
        for target in (
            other.url("gallery"),
            "http://169.254.169.254/latest",
            "https://example.org/",
            "file:///etc/passwd",
        ):
            site.faults["/old"] = Fault(99, 302, {"Location": target})
            with session(site, clock) as s, pytest.raises(NotAllowed):
                s.get(f"{site.base}/old")
        assert not other.requests
    site.faults["/a"] = Fault(99, 301, {"Location": "/a"})
    with session(site, clock) as s, pytest.raises(Missing, match="circle"):
        s.get(f"{site.base}/a")


def test_servers_inside_your_own_network_are_refused_before_anything_is_sent(site, clock):
    with (
        session(site, clock, allow_local=frozenset()) as s,
        pytest.raises(NotAllowed, match=r"private network.*--allow-local 127.0.0.1:\d+"),
    ):
        s.get(site.url("gallery"))
    port = site.base.rpartition(":")[2]
    with session(site, clock, allow_local=frozenset()) as s, pytest.raises(NotAllowed):
        s.get(f"http://localhost:{port}/gallery")  # by another name
    assert not site.requests


@pytest.mark.parametrize(
    "address",
    [
        *(
            "10.0.0.1",
            "192.168.1.9",
            "172.16.0.3",
            "169.254.169.254",
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.1",
            "100.64.0.1",
        ),
        *("::1", "fe80::1%eth0", "fd00::1", "ff02::1", "::"),
        *("::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "2002:0a00:0001::", "2001::f5ff:fffe"),  # 10.0.0.1 inside
    ],
)
def test_private_addresses_are_known_whatever_the_name_said(address):
    with pytest.raises(NotAllowed, match="refused"):
        check_peer(address, "innocent.example.org", 80, frozenset())
    assert not check_peer(address, "mine", 80, frozenset(["mine:80"]))


def test_public_addresses_pass():
    for address in ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822"):
        assert check_peer(address, "example.org", 443, frozenset(["example.org:443"]))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.b/",
        "file:///etc/passwd",
        "//a.b/c",
        "a.b",
        "http://me:secret@a.b/",
        "http://a.b:99999/",
        "javascript:1",
        "",
    ],
)
def test_what_is_no_plain_web_address_is_refused(url):
    with pytest.raises(NotAllowed) as error:
        check_address(url)
    assert "secret" not in str(error.value)


def test_a_link_that_is_no_address_is_refused_when_it_is_asked_for(clock):
    assert join("http://a.b/c/", "d e.jpg") == "http://a.b/c/d e.jpg"
    link = join("http://a.b/", "http://[bad/x")
    with pytest.raises(NotAllowed, match="is no address"):
        PoliteSession(clock=clock).get(link)


def test_manners_that_cannot_work_are_refused():
    for wrong in ({"delay": -1}, {"timeout": 0}, {"retries": -1}, {"patience": 0}, {"contact": "a\nHost: b"}):
        with pytest.raises(ValueError, match="expected"):
            Manners(**wrong)
