"""A webtoon is collected from a site of our own: both structures, faults, interruptions, and what must never happen."""

from __future__ import annotations

import hashlib
import json
import re
from functools import cache
from pathlib import Path

import pytest
from noise_pictures import noise_picture
from typer.testing import CliRunner

from stylegan2 import cli
from stylegan2.collect.crawl import MANIFEST, CrawlConfig, crawl, runs, spans
from stylegan2.collect.polite import Answer, Manners, Missing, NotAllowed, Stopped
from stylegan2.collect.sites import NAVER_KINDS, SITES, SiteError, site_for, title_slug
from stylegan2.data.images import decode
from stylegan2.files import InUse, only_writer
from stylegan2.pocket.world.site import Fault, LocalSite, page_jpeg


@cache
def noise(episode: int, number: int, side: int = 240) -> bytes:
    """A picture of its own for each."""
    return noise_picture(side, 100 * episode + number, 8)


@pytest.fixture
def site():
    with LocalSite(picture=noise) as site:
        yield site


@pytest.fixture
def pages(monkeypatch) -> dict[str, str]:
    """Path -> HTML, or JSON, that sites show there."""
    more, page = {}, LocalSite.page

    def both(self, path, query, referer):
        known = more.get(path)
        return page(self, path, query, referer) if known is None else (200, "text/html", known.encode())

    monkeypatch.setattr(LocalSite, "page", both)
    return more


def collect(site: LocalSite, out: Path, kind: str = "webtoons", **settings):
    name = kind if kind in ("webtoons", "naver") else "images"
    manners = Manners(**({"delay": 0.0, "timeout": 5.0, "allow_local": site.allowed} | settings.pop("manners", {})))
    config = CrawlConfig(site.url(kind), out, True, **({"site": name} | settings), manners=manners)
    return crawl(config, progress=False)


def rows(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / MANIFEST).read_text().splitlines()]


def pictures(out: Path) -> list[str]:
    return sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file() and p.name != MANIFEST)


@pytest.mark.parametrize("kind", ["webtoons", "naver"])
def test_both_sites_are_collected_whole_and_in_order(site, tmp_path, kind):
    report = collect(site, tmp_path, kind)
    assert (report.episodes, report.stored, report.known, report.refused) == (3, 6, 0, [])
    expected = [f"00{e}-ep-{e}-a-face-in-the-crowd/000{n}.png" for e in (1, 2, 3) for n in (1, 2)]
    assert pictures(tmp_path) == expected
    for path, (e, n) in zip(expected, [(e, n) for e in (1, 2, 3) for n in (1, 2)], strict=True):
        assert (tmp_path / path).read_bytes() == noise(e, n)
    row = rows(tmp_path)[0]
    assert row["sha256"] == hashlib.sha256(noise(1, 1)).hexdigest() and row["bytes"] == len(noise(1, 1))
    assert row["url"].startswith(site.base + "/image/1/1.jpg") and row["page"] and row["time"].endswith("+00:00")
    assert (row["width"], row["height"], row["status"]) == (240, 240, "stored")


def test_the_old_list_of_naver_is_understood_too(site, tmp_path, pages):
    links = "".join(
        f'<tr><td class="title"><a href="/webtoon/detail?titleId=95&amp;no={n}">t</a></td></tr>' for n in (2, 1)
    )
    pages["/webtoon/list"] = f"<table>{links}</table>"
    for i, gone in enumerate((Fault(99, body=b"<html>gone</html>"), Fault(99, 404), Fault(99, body=b"[1]"))):
        site.faults["/api/article/list"] = gone
        assert collect(site, tmp_path / str(i), "naver").stored == 4


@pytest.mark.parametrize("kind", ["gallery", "list"])
def test_any_page_or_list_of_pictures_is_an_episode(site, tmp_path, kind):
    report = collect(site, tmp_path, kind)
    assert report.stored == 2
    forbidden = [reason for url, reason in report.refused if "/secret/" in url]
    assert len(forbidden) == (kind == "gallery") and all("robots.txt" in reason for reason in forbidden)
    assert collect(site, tmp_path / "b", "gallery", selector="figure img").refused == []
    with pytest.raises(SiteError, match="no pictures by the selector"):
        collect(site, tmp_path / "c", "gallery", selector="video")


def test_pages_are_read_with_a_referer_as_readers_do(site, tmp_path):
    collect(site, tmp_path)
    for request in site.requests:
        if request.path.startswith("/image/"):
            assert "/viewer?" in request.referer


def test_what_is_there_is_never_asked_for_again(site, tmp_path):
    collect(site, tmp_path)
    before = site.counts()
    again = collect(site, tmp_path)
    asked = site.counts() - before
    assert (again.stored, again.known) == (0, 6) and not any(path.startswith("/image/") for path in asked)
    (tmp_path / pictures(tmp_path)[0]).unlink()
    (tmp_path / pictures(tmp_path)[1]).write_bytes(b"half")
    assert (collect(site, tmp_path).stored, len(pictures(tmp_path))) == (2, 6)


def test_an_interrupted_crawl_goes_on(site, tmp_path, monkeypatch):
    asked = []

    def dies(episode, number):
        asked.append((episode, number))
        return noise(episode, number)

    site.picture = dies
    site.faults["/image/2/1.jpg"] = Fault(99, 500)
    with pytest.raises(Stopped, match="failed 1 times"):
        collect(site, tmp_path, manners={"retries": 0, "patience": 1})
    assert len(pictures(tmp_path)) == 2
    with open(tmp_path / MANIFEST, "a") as file:
        file.write('{"url": "cut o')  # as a kill may leave it
    (tmp_path / "001-ep-1-a-face-in-the-crowd" / ".0009.png.part").write_bytes(b"x")
    (tmp_path / "002-ep-2-a-face-in-the-crowd").mkdir()
    (tmp_path / "002-ep-2-a-face-in-the-crowd" / "0001.png").write_bytes(noise(2, 1))  # written, not yet noted
    site.faults.clear()
    assert (report := collect(site, tmp_path)).stored == 4 and report.known == 2
    assert asked.count((1, 1)) == asked.count((1, 2)) == 1 and set(asked) == {(e, n) for e in (1, 2, 3) for n in (1, 2)}
    assert collect(site, tmp_path).known == 6 == len(pictures(tmp_path)) - 1  # and the half one


def test_titles_with_equal_numbers_share_a_folder_without_harm(site, tmp_path):
    """Nothing of another address is replaced: neither what we stored, nor what lay there."""
    (tmp_path / "001").mkdir()
    (tmp_path / "001" / "0002.png").write_bytes(b"mine")
    manners = {"retries": 0, "delay": 0.0}
    with LocalSite(picture=lambda e, n: noise(9, n)) as other:
        for one in (site, other):
            viewer = "/en/fantasy/rendered/viewer?title_no=95&episode_no=1"
            config = {"manners": Manners(**manners, allow_local=one.allowed), "site": "webtoons"}
            assert crawl(CrawlConfig(one.base + viewer, tmp_path, True, **config), progress=False).stored == 2
    assert (tmp_path / "001" / "0002.png").read_bytes() == b"mine"
    stored = [(tmp_path / row["file"]).read_bytes() for row in rows(tmp_path)]
    assert stored == [noise(1, 1), noise(1, 2), noise(9, 1), noise(9, 2)]


def test_one_lost_episode_does_not_keep_us_from_the_next(site, tmp_path):
    viewer = "/en/fantasy/rendered/viewer?title_no=95&episode_no="
    site.faults[viewer + "1"] = Fault(99, 404)
    site.faults[viewer + "2"] = Fault(99, body=b"<html>please log in</html>")
    report = collect(site, tmp_path)
    assert (report.episodes, report.stored) == (1, 2)
    assert "404" in report.refused[0][1] and "shows no pictures" in report.refused[1][1]
    site.faults[viewer + "3"] = Fault(99, 404)
    with pytest.raises(Missing, match="episode_no=1: status 404"):
        collect(site, tmp_path / "none")


def test_one_picture_that_never_comes_whole_does_not_keep_us_from_the_next(site, tmp_path):
    site.faults["/image/1/1.jpg"] = Fault(99, cut=0.4)
    site.faults["/image/2/1.jpg"] = Fault(99, 500)
    for stored in (4, 0):  # nor does it stop the next run
        report = collect(site, tmp_path, manners={"retries": 0})
        assert report.stored == stored and [url for url, _ in report.refused][0].startswith(site.base + "/image/1/1")


def test_links_of_a_list_do_not_lead_anywhere(site, tmp_path):
    with LocalSite(picture=noise) as other:
        links = (f"{other.base}/en/fantasy/rendered/viewer?episode_no=1", "http://[bad/x", "viewer?episode_no=2")
        body = "".join(f'<li><a href="{link}"><span class="subj">t</span></a></li>' for link in links)
        site.faults["/en/fantasy/rendered/list"] = Fault(99, body=f'<ul id="_listUl">{body}</ul>'.encode())
        report = collect(site, tmp_path, manners={"allow_local": site.allowed | other.allowed})
        assert not other.requests and report.stored == 2
    reasons = sorted(reason for _, reason in report.refused)
    assert "is no address" in reasons[0] and "neither the page's host" in reasons[1]


def test_new_episodes_are_added(site, tmp_path):
    collect(site, tmp_path)
    site.episodes = 5
    report = collect(site, tmp_path)
    assert (report.stored, report.known) == (4, 6)


def test_only_the_episodes_and_pictures_asked_for(site, tmp_path):
    assert collect(site, tmp_path / "a", episodes=(2, 2)).stored == 2
    assert all(name.startswith("002") for name in pictures(tmp_path / "a"))
    assert collect(site, tmp_path / "b", limit=3).stored == 3
    assert collect(site, tmp_path / "b", limit=3).stored == 0  # there already


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(99, body=b"<html>please log in</html>", kind="image/jpeg"), "no JPEG, PNG, GIF or WebP"),
        (Fault(99, body=noise(1, 1)[:300], kind="image/png"), "damaged"),
        (Fault(99, body=noise(1, 1, 64)), "64x64 pixels: smaller than 200"),
        (Fault(99, body=b"GIF89a\xff\xff"), "damaged|not an image"),
        (Fault(99, body=b"\xff\xd8\xff" + b"no" * 50), "not an image"),
        (Fault(99, body=b""), "no JPEG"),
    ],
)
def test_what_is_no_whole_picture_is_refused_with_its_reason_and_not_asked_again(site, tmp_path, fault, reason):
    site.faults["/image/1/2.jpg"] = fault
    report = collect(site, tmp_path)
    small = "smaller" in reason  # as wanted: nothing that was promised is missing
    assert report.stored == 5 and (report.too_small, len(report.refused)) == (small, not small)
    (row,) = [row for row in rows(tmp_path) if row["status"] == "useless"]
    assert re.search(reason, row["reason"]) and (small or row["reason"] in str(report))
    before = site.counts()["/image/1/2.jpg?type=q90"]
    again = collect(site, tmp_path, limit=6)  # what is useless does not count as one of those asked for
    assert (again.known, again.refused, again.too_small) == (5, report.refused, small)
    assert site.counts()["/image/1/2.jpg?type=q90"] == before
    assert all(decode((tmp_path / name).read_bytes()) for name in pictures(tmp_path))


def test_a_picture_that_is_missing_today_may_be_there_tomorrow(site, tmp_path):
    site.faults["/image/1/2.jpg"] = Fault(1, 404)
    assert len(collect(site, tmp_path).refused) == 1
    assert collect(site, tmp_path).stored == 1


def test_what_was_too_small_is_judged_again_by_another_measure(site, tmp_path):
    site.faults["/image/1/2.jpg"] = Fault(99, body=noise(1, 1, 64))
    assert collect(site, tmp_path).too_small == 1
    assert collect(site, tmp_path, min_side=100).too_small == 1
    assert collect(site, tmp_path, min_side=64).stored == 1


def test_what_was_forbidden_is_noted_once_and_may_be_allowed_later(site, tmp_path):
    for _ in range(3):
        assert len(collect(site, tmp_path, "gallery").refused) == 1
    assert [row["status"] for row in rows(tmp_path)].count("forbidden") == 1
    site.faults["/robots.txt"] = Fault(99, 404)
    assert collect(site, tmp_path, "gallery").refused == []


def test_a_damaged_manifest_costs_only_the_damaged_rows(site, tmp_path):
    collect(site, tmp_path)
    lines = (tmp_path / MANIFEST).read_bytes().splitlines()
    broken = [b"\xff\xfe\x00", b"[]", b'{"url": "x", "status": "stored"}', b'"text"', b"{}", b""]
    (tmp_path / MANIFEST).write_bytes(b"\n".join([lines[0], *broken, *lines[2:]]))
    report = collect(site, tmp_path)
    assert (report.stored, report.known) == (1, 5) and len(pictures(tmp_path)) == 6


def test_a_cut_off_picture_is_fetched_again(site, tmp_path):
    site.faults["/image/1/2.jpg"] = Fault(1, cut=0.4)
    assert collect(site, tmp_path, manners={"retries": 1}).stored == 6
    assert (tmp_path / pictures(tmp_path)[1]).read_bytes() == noise(1, 2)


def test_pictures_do_not_come_from_anywhere(site, tmp_path):
    with LocalSite(picture=noise) as other:
        body = (
            f'<div id="_imageList"><img data-url="{other.base}/image/1/1.jpg"><img data-url="file:///etc/passwd"></div>'
        )
        site.faults["/en/fantasy/rendered/viewer"] = Fault(99, body=body.encode())
        both = {"allow_local": site.allowed | other.allowed}
        report = collect(site, tmp_path, episodes=(1, 1), manners=both)
        assert report.stored == 0 and len(report.refused) == 2 and not other.requests
        assert "neither the page's host" in report.refused[0][1] and "no web address" in report.refused[1][1]


def test_refusals_in_a_row_end_the_crawl_and_keep_what_there_is(site, tmp_path):
    for path in ("/image/2/1.jpg", "/image/2/2.jpg", "/image/3/1.jpg"):
        site.faults[path] = Fault(99, 403)
    site.faults["/en/fantasy/rendered/viewer"] = Fault(0)
    with pytest.raises(Stopped, match="refused 2 times in a row"):
        collect(site, tmp_path, manners={"patience": 2})
    assert len(pictures(tmp_path)) == 2


@pytest.mark.parametrize("kind", ["webtoons", "naver"])
def test_a_site_that_has_changed_says_so(site, tmp_path, kind):
    for path in ("/en/fantasy/rendered/list", "/api/article/list", "/webtoon/list"):
        site.faults[path] = Fault(99, body=b"<html>new design</html>")
    with pytest.raises(SiteError, match="shows no episodes where they used to be"):
        collect(site, tmp_path, kind)
    site.faults.clear()
    for path in ("/en/fantasy/rendered/viewer", "/webtoon/detail"):
        site.faults[path] = Fault(99, body=b"<html>new design</html>")
    with pytest.raises(SiteError, match="shows no pictures"):
        collect(site, tmp_path, kind)


def test_without_rights_nothing_is_asked(site, tmp_path):
    with pytest.raises(PermissionError, match="consent.*rights_confirmed=True"):
        CrawlConfig(site.url(), tmp_path)
    assert not site.requests
    for wrong in ({"episodes": (3, 1)}, {"limit": 0}, {"min_side": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            CrawlConfig(site.url(), tmp_path, True, **wrong)
    with pytest.raises(NotAllowed, match="no web address"):
        CrawlConfig("pages.html", tmp_path, True)


def test_two_crawls_do_not_share_a_folder(site, tmp_path):
    with only_writer(tmp_path), pytest.raises(InUse, match="another process"):
        collect(site, tmp_path)


def test_the_adapter_follows_from_the_host():
    assert site_for("https://www.webtoons.com/en/x/list?title_no=1") is SITES["webtoons"]
    assert site_for("https://comic.naver.com/webtoon/list?titleId=1") is SITES["naver"]
    assert site_for("https://example.org/", "images") == SITES["images"]
    with pytest.raises(
        SiteError, match=r"knows 'example.org'; there are some for www.webtoons.com, comic.naver.com.*--site images"
    ):
        site_for("https://www.webtoons.com.example.org/".replace("www.webtoons.com.", ""))
    with pytest.raises(SiteError, match="expected one of webtoons, naver, images"):
        site_for("https://example.org/", "tumblr")
    with pytest.raises(SiteError, match="names no title"):
        SITES["naver"].episodes(None, "https://comic.naver.com/webtoon")


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("CON", "con"),
        ("a" * 99, "a" * 40),
        ("마음의 소리 1화", "마음의-소리-1화"),
        ("?:*", ""),
    ],
)
def test_titles_become_harmless(title, slug):
    assert title_slug(title) == slug


def test_a_title_cannot_leave_the_folder(site, tmp_path, monkeypatch):
    monkeypatch.setattr(LocalSite, "title", "../../../outside")
    collect(site, tmp_path / "a" / "b" / "c")
    assert {p.name for p in tmp_path.rglob("*") if p.is_dir()} == {
        "a",
        "b",
        "c",
        "001-outside",
        "002-outside",
        "003-outside",
    }


def test_the_stand_in_site_serves_rendered_pages():
    image = decode(page_jpeg(1, 1))
    assert image.width == 400 and image.height > 500 and page_jpeg(1, 1) != page_jpeg(1, 2)


def test_the_verb_collects_and_says_what_it_did(site, tmp_path):
    (host,) = site.allowed
    words = [
        "crawl",
        site.url(),
        "--out",
        str(tmp_path / "pages"),
        "--site",
        "webtoons",
        "--allow-local",
        host,
        "--delay",
        "0",
    ]
    refused = CliRunner().invoke(cli.app, words)
    assert refused.exit_code == 2 and "--i-have-the-rights" in refused.stderr and refused.stderr.count("\n") == 1
    result = CliRunner().invoke(cli.app, [*words, "--i-have-the-rights", "--episodes", "1-2"])
    assert result.exit_code == 0 and "4 pictures stored from 2 episodes" in result.output, result.output
    for wrong in (["--episodes", "a"], ["--site", "x"], ["--limit", "0"]):
        result = CliRunner().invoke(cli.app, [*words, "--i-have-the-rights", *wrong])
        assert result.exit_code == 2 and result.stderr.startswith("error: ") and "Traceback" not in result.output


# ------------------------------------------------------------------------------ less than was promised, and other pages
LIST, VIEWER = "/en/fantasy/rendered/list", "/en/fantasy/rendered/viewer"


def verb(site: LocalSite, out: Path, *options: str, kind: str = "webtoons", url: str = "", code: int = 0) -> str:
    """What `crawl` says on stderr; its return code must be `code`."""
    name = kind if kind in ("webtoons", "naver") else "images"
    words = [url or site.url(kind), "--out", str(out), "--site", name, "--i-have-the-rights", "--delay", "0"]
    allowed = [word for host in site.allowed for word in ("--allow-local", host)]
    result = CliRunner().invoke(cli.app, ["crawl", *words, *allowed, *options])
    assert result.exit_code == code, f"{result.output}\n{result.exception!r}"
    lines = re.split(r"[\r\n]+", result.stderr)
    return "".join(f"{line}\n" for line in lines if line.strip() and not line.startswith("crawl: "))  # its bar


def test_an_age_gate_on_the_second_page_of_a_list_is_told(site, tmp_path, pages):
    site.episodes, pages["/en/gdpr/ageGate"] = 5, "<form>When were you born?</form>"
    site.faults[f"{LIST}?title_no=95&page=2"] = Fault(99, 302, {"Location": "/en/gdpr/ageGate"})
    for _ in range(2):  # the second run knows all pictures, and says the same
        said = verb(site, tmp_path / "a", code=1)
        assert (
            "lists no episode 1-3: its page 2 leads to" in said and "ageGate, where the site asks for your age" in said
        )
    assert len(pictures(tmp_path / "a")) == 4
    said = verb(site, tmp_path / "b", "--episodes", "1-2", code=2)
    assert "has no episode 1-2, only 4-5 (its page 2 leads to" in said
    site.faults[f"{LIST}?title_no=95&page=1"] = site.faults[f"{LIST}?title_no=95&page=2"]
    assert "ageGate, where the site asks for your age or a login: no episodes there" in verb(
        site, tmp_path / "c", code=2
    )


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(99, 404), "did not come: .*status 404"),
        (Fault(99, 403), "did not come: .*status 403"),
        (Fault(99, 302, {"Location": "https://example.org/login"}), "did not come: .*another host"),
        (Fault(99, body=b"<html>please log in</html>"), "shows no others"),
    ],
)
def test_a_list_of_which_a_page_is_missing_brings_the_rest(site, tmp_path, fault, why):
    site.episodes, site.faults[f"{LIST}?title_no=95&page=2"] = 5, fault
    assert re.search(f"lists no episode 1-3: its page 2 {why}", verb(site, tmp_path / "a", code=1))
    assert len(pictures(tmp_path / "a")) == 4
    assert verb(site, tmp_path / "b", "--episodes", "4-5") == ""  # all that was asked for


def test_numbers_that_are_missing_in_a_list_are_told(site, tmp_path, pages):
    links = "".join(f'<li><a href="{VIEWER}?episode_no={n}">t</a></li>' for n in (6, 5, 2))
    pages[LIST] = f'<ul id="_listUl">{links}</ul>'
    assert "lists no episode 1, 3-4: its page 2 shows no others\n1 left out" in verb(site, tmp_path / "a", code=1)
    assert "lists no episode 3-4" in verb(site, tmp_path / "b", "--episodes", "2-5", code=1)
    assert "lists no episode 7-9" in verb(site, tmp_path / "c", "--episodes", "5-9", code=1)


def test_a_list_that_moved_is_read_to_its_end(site, tmp_path):
    """Its new address comes without the number of the page that was asked for."""
    site.episodes = 5
    site.faults["/en/challenge/rendered/list"] = Fault(99, 301, {"Location": f"{LIST}?title_no=95"})
    site.faults["/robots.txt"] = Fault(99, 404)
    assert verb(site, tmp_path, url=f"{site.base}/en/challenge/rendered/list?title_no=95") == ""
    assert len(pictures(tmp_path)) == 10


def test_episodes_that_are_not_there(site, tmp_path):
    assert "has no episode 100-120, only 1-3" in verb(site, tmp_path, "--episodes", "100-120", code=2)
    assert not pictures(tmp_path)
    one = f"{site.base}{VIEWER}?title_no=95&episode_no=2"
    assert "has no episode 3, only 2" in verb(site, tmp_path, "--episodes", "3", url=one, code=2)
    assert "no episode 3: it is the address of one" in verb(site, tmp_path, "--episodes", "2-3", url=one, code=1)
    assert verb(site, tmp_path, url=one) == ""


def test_what_is_missing_ends_with_1_and_nothing_at_all_with_2(site, tmp_path):
    site.faults[f"{VIEWER}?title_no=95&episode_no=2"] = Fault(99, 404)
    said = verb(site, tmp_path / "a", code=1)
    assert "episode_no=2: status 404" in said and said.endswith("1 left out: see above\n")
    assert verb(site, tmp_path / "b", "--limit", "2") == ""  # enough before it
    site.faults["/image/1/1.jpg"] = site.faults["/image/1/2.jpg"] = Fault(99, 404)
    assert "no picture came of it: see above" in verb(site, tmp_path / "c", "--episodes", "1", code=2)
    said = verb(site, tmp_path / "d", "--min-side", "500", kind="list", code=2)
    assert "2 refused" not in said and "no picture came of it: see above" in said
    site.faults.clear()
    assert "(2 are smaller than --min-side 500)" in verb(site, tmp_path / "d", "--min-side", "500", kind="list", code=2)


def test_runs_of_numbers_in_words():
    assert spans(runs([3, 1, 2, 2, 9, 7])) == "1-3, 7, 9" and spans(runs([5])) == "5" and spans(runs([])) == ""


def test_a_number_beyond_all_reason_costs_no_memory(site, tmp_path, pages):
    pages["/api/article/list"] = json.dumps({"articleList": [{"no": n, "subtitle": "t"} for n in (1, 1 << 60)]})
    assert f"lists no episode 2-{(1 << 60) - 1}: " in verb(site, tmp_path / "a", kind="naver", code=1)
    assert "has no episode 5, only 1, 1152921504606846976" in verb(
        site, tmp_path / "b", "--episodes", "5", kind="naver", code=2
    )


def test_a_host_of_pictures_that_refuses_its_robots_without_a_referer(site, tmp_path, pages, monkeypatch):
    with LocalSite(picture=noise) as other:
        pages["/art"] = f'<img src="{other.base}/image/1/1.jpg">'
        host = other.base.removeprefix("http://")
        more = ("--image-host", host, "--allow-local", host)
        assert verb(site, tmp_path / "a", *more, kind="images", url=f"{site.base}/art") == ""
        assert [r.referer for r in other.requests] == [f"{site.base}/art"] * 2 and len(pictures(tmp_path / "a")) == 1
        other.faults["/robots.txt"] = Fault(99, 403)
        said = verb(site, tmp_path / "b", *more, kind="images", url=f"{site.base}/art")
        assert said == f"{host} answered 403 to its robots.txt: it has no rules, then\n"
        other.faults["/image/1/1.jpg"] = Fault(99, 403)
        said = verb(site, tmp_path / "c", *more, kind="images", url=f"{site.base}/art", code=2)
        assert "1/1.jpg: refused with status 403" in said and "robots.txt forbids" not in said


def test_pictures_that_lie_elsewhere_can_be_allowed(site, tmp_path, pages):
    with LocalSite(picture=noise) as other:
        images = "".join(f'<img src="{other.base}/image/1/{n}.jpg">' for n in (1, 2, 3))
        pages["/art"], host = images, other.base.removeprefix("http://")
        options = {"kind": "images", "url": f"{site.base}/art"}
        said = verb(site, tmp_path, "--allow-local", host, **options, code=2)
        assert f"and 2 more: {host} is neither the page's host nor one of the site's" in said
        assert f"--image-host {host})" in said and not other.requests
        for name in (host, "LOCALHOST"):
            pages["/art"] = images.replace("127.0.0.1", "localhost") if name == "LOCALHOST" else images
            allowed = ("--allow-local", host, "--allow-local", host.replace("127.0.0.1", "localhost"))
            assert verb(site, tmp_path / name[:5], *allowed, "--image-host", name, **options) == ""
            assert len(pictures(tmp_path / name[:5])) == 3
        assert "expected a name such as" in verb(site, tmp_path, "--image-host", other.base, **options, code=2)


def test_motion_toons_are_skipped_however_many_there_are(site, tmp_path):
    site.episodes = 5
    for n in (1, 2, 3, 4):
        body = b"<div id='ozViewer'></div><script>window.__motiontoonViewerState__ = {}</script>"
        site.faults[f"{VIEWER}?title_no=95&episode_no={n}"] = Fault(99, body=body)
    said = verb(site, tmp_path / "a", code=1)
    assert said.count("is a motion toon") == 4 and said.endswith("4 left out: see above\n")
    assert [name[:3] for name in pictures(tmp_path / "a")] == ["005", "005"]
    assert "no picture came of it" in verb(site, tmp_path / "b", "--episodes", "1-4", code=2)


@pytest.mark.parametrize("level", [None, "BEST_CHALLENGE", "CHALLENGE"])
@pytest.mark.parametrize("kind", ["bestChallenge", "challenge"])
def test_each_kind_of_naver_has_its_own_pages(site, tmp_path, pages, kind, level):
    kind = kind if level is None else NAVER_KINDS[level]  # what the site says counts more than the address
    rows = [{"no": 1, "subtitle": "t"}]
    pages["/api/article/list"] = json.dumps({"articleList": rows} | ({"webtoonLevelCode": level} if level else {}))
    images = "".join(f'<img src="{site.base}{path}">' for path in ("/image/1/1.jpg", "/static/blank.png"))
    pages[f"/{kind}/detail"] = f'<div class="wt_viewer">{images}</div>'
    begin = f"{site.base}/{'webtoon' if level else kind}/list?titleId=95"
    assert verb(site, tmp_path, kind="naver", url=begin) == "" and len(pictures(tmp_path)) == 1
    assert site.counts()["/webtoon/detail?titleId=95&no=1"] == 0


def test_a_title_that_naver_refuses_is_no_site_that_has_changed(site, tmp_path):
    site.faults["/api/article/list"] = Fault(99, 401)
    assert "refused with status 401" in verb(site, tmp_path, kind="naver", code=2)


def test_the_mobile_site_of_naver_is_read(site, tmp_path, pages):
    pages["/api/article/list"] = "<html>not found</html>"
    links = "".join(
        f'<li class="item"><a class="link" href="/webtoon/detail?titleId=5&no={n}">{n}</a></li>' for n in (2, 1)
    )
    pages["/webtoon/list"] = f'<ul class="section_episode_list">{links}</ul>'
    pages["/webtoon/detail"] = f'<div id="toonLayer"><img src="bg.png" data-src="{site.base}/image/1/1.jpg"></div>'
    assert verb(site, tmp_path, kind="naver") == "" and len(rows(tmp_path)) == 1


def test_other_names_of_webtoons_lead_to_the_one_that_answers():
    class Session:
        def __init__(self):
            self.asked = []

        def get(self, url, referer=None):
            self.asked.append(url)
            return Answer(url, b'<ul id="_listUl"><li><a href="viewer?episode_no=1">t</a></li></ul>')

    for host in ("webtoons.com", "m.webtoons.com", "M.Webtoons.com:80", "www.webtoons.com"):
        session, url = Session(), f"http://{host}/en/x/list?title_no=1"
        (episode,) = site_for(url).episodes(session, url)
        port = ":80" * host.endswith("80")
        assert session.asked[0] == f"http://www.webtoons.com{port}/en/x/list?title_no=1&page=1"
        assert episode.url.startswith(f"http://www.webtoons.com{port}/en/x/viewer")
        (one,) = site_for(url).episodes(session, f"http://{host}/en/x/viewer?episode_no=3")
        assert one.url == f"http://www.webtoons.com{port}/en/x/viewer?episode_no=3"


BLANK = 'src="data:image/gif;base64,R0lGODlhAQABAAAAACw="'


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<img src="1.jpg">', ["1.jpg"]),
        (f'<img {BLANK} data-lazy-src="1.jpg">', ["1.jpg"]),
        ('<img src="b.png" data-original="1.jpg">', ["1.jpg"]),
        ('<img src="b.png" data-src="\n\t 1.jpg \n">', ["1.jpg"]),
        ('<img src="b.png" data-url="1.jpg" data-src="2.jpg">', ["1.jpg"]),
        ('<img src="1.jpg" data-src="" data-original="data:,">', ["1.jpg"]),
        ('<img src="b.png" srcset="1.jpg 320w, 2.jpg 1280w, 3.jpg 640w">', ["2.jpg"]),
        ('<img src="b.png" srcset="1.jpg, 2.jpg 2x">', ["2.jpg"]),
        ('<img src="b.png" srcset="1.jpg 1x,\n 2.jpg 1.5x">', ["2.jpg"]),
        ('<img srcset="a,b.jpg 20w, c_1,2.jpg 100w">', ["c_1,2.jpg"]),
        ('<img srcset="data:image/gif;base64,R0lG 2000w, 1.jpg 10w">', ["1.jpg"]),
        (f'<img {BLANK} data-srcset="1.jpg 320w, 2.jpg 640w">', ["2.jpg"]),
        ('<picture><source srcset="4.webp 1x"><img src="b.png"></picture>', ["4.webp"]),
        (
            '<picture><source type="image/avif" srcset="4.avif 3x"><source srcset="4.jpg 2x, 3.jpg"><img src="b.png">'
            "</picture>",
            ["4.jpg"],
        ),
        ('<picture><source srcset="4.avif?w=9 900w"><img src="1.jpg"></picture>', ["1.jpg"]),
        (f'<img {BLANK}><noscript><img src="1.jpg"></noscript>', ["1.jpg"]),
        ('<img data-src="1.jpg"><noscript><img src="1.jpg"></noscript><img src="2.jpg">', ["1.jpg", "2.jpg"]),
        ('<img src="about:blank" data-src="blob:x"><img><img src=" "><img src="1.jpg">', ["1.jpg"]),
        ('<base href="/other/"><img src="1.jpg"><img src="/1.jpg">', ["/other/1.jpg", "/1.jpg"]),
    ],
)
def test_pictures_are_found_where_lazy_pages_hide_them(html, found):
    class Session:
        def get(self, url):
            return Answer(url, html.encode(), "text/html")

    (episode,) = SITES["images"].episodes(Session(), "http://a.b/art/")
    urls = [ref.url for ref in SITES["images"].images(Session(), episode)]
    assert urls == [f"http://a.b{name}" if name.startswith("/") else f"http://a.b/art/{name}" for name in found]
