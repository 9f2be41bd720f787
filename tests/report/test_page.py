import json
import re
import sys
from html.parser import HTMLParser

import pytest
from PIL import Image

import drml.report
from drml.core.errors import InputError
from drml.report import write_report

VOID = {"meta", "img", "br", "path", "line", "circle", "rect", "use"}


class Page(HTMLParser):
    """What a page consists of: tags, attributes, ids, exact numbers and the text that is seen."""

    def __init__(self, markup):
        super().__init__()
        self.tags, self.ids, self.sources, self.values, self.words = set(), [], [], [], []
        self.open = []
        self.feed(markup)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        assert not [name for name in found if name.startswith("on")]
        self.tags.add(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.sources += [found[name] for name in ("src", "srcset", "href", "xlink:href", "data") if name in found]
        self.values += [float(found["value"])] if tag == "data" else []
        self.open += [] if tag in VOID else [tag]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def full_page(full_run):
    markup = write_report(full_run).read_text(encoding="utf-8")
    return markup, Page(markup)


def test_the_page_needs_nothing_else(full_page):
    markup, page = full_page
    assert not page.tags & {"script", "link", "iframe", "object", "embed", "base", "form", "audio", "video"}
    assert all(source.startswith(("data:image/webp;base64,", "data:image/png;base64,", "#")) for source in page.sources)
    assert len([source for source in page.sources if source.startswith("data:")]) == 4  # two films, two strips
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", markup.split("</head>")[0] + page.text)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", markup).replace("http-equiv", "")
    assert "default-src 'none'" in markup


def test_ids_are_unique_and_every_reference_has_its_target(full_page):
    markup, page = full_page
    assert len(page.ids) == len(set(page.ids))
    targets = {source[1:] for source in page.sources if source.startswith("#")}
    assert targets | set(re.findall(r"url\(#([^)]+)\)", markup)) <= set(page.ids)


def test_numbers_on_the_page_are_those_of_the_files(full_page, run_files):
    _, page = full_page
    _, _, test, _ = run_files
    ends = (0, 1)  # the number of steps trained with, though the test took two
    expected = [test["return_by_step"][end]["mean"] for end in ends]  # the headline
    expected += [-3.5, 154.5]  # the films, before adaptation first
    for task in test["tasks"]:
        before, after = (task["return_by_step"][end] for end in ends)
        expected += [task["params"]["direction"], before, after, after - before]
    expected += [40.0, 25.0, 10.0]  # phases
    assert page.values == expected
    for words in (
        "promp on half_cheetah_direction",
        "95 % interval −3.2 to 1.1 over episodes on 2 tasks, one seed",
        "95 % interval 140.5 to 150.5 over episodes on 2 tasks, one seed",
        "depends on how adaptation and its episodes went (Student's t); other seeds are not in it",
        "after 1 adaptation step ",
        "before adaptation and after 1 step of it",
        "2.4 million",
        "1 min 15 s",
        "iteration 20",
        "53.3 %",
        "schedule.start",
        "2.13.0",
    ):
        assert words in page.text, words
    assert "no held-out tasks" not in page.text


def test_figures_lie_beside_the_page_with_their_numbers(full_run, full_page, run_files):
    _, _, test, rows = run_files
    load = {path.stem: json.loads(path.read_text()) for path in (full_run / "figures").glob("*.json")}
    assert sorted(load) == ["adaptation", "learning", "phases"]
    for key in ("step", "iqm", "mean"):
        assert load["adaptation"][key] == [row[key] for row in test["return_by_step"]]
    assert load["adaptation"]["low"] == [-3.25, 140.5, None] and load["adaptation"]["high"] == [1.125, 150.5, None]
    assert load["adaptation"]["estimand"] == "over episodes on 2 tasks, one seed"
    assert [task["return_by_step"] for task in load["adaptation"]["tasks"]] == [
        task["return_by_step"] for task in test["tasks"]
    ]
    train, validation = ([row for row in rows if row["kind"] == kind] for kind in ("train", "validation"))
    for key in ("meta_iter", "env_steps", "pre_return", "post_return"):
        assert load["learning"]["train"][key] == [row[key] for row in train]
    assert load["learning"]["validation"]["post_return"] == [row["return_by_step"][-1] for row in validation]
    assert load["learning"]["best"] == [{"meta_iter": 20, "env_steps": 1_600_000, "post_return": 130.0}]
    assert load["phases"] == {"seconds": test["phases"]}
    for name in load:
        with Image.open(full_run / "figures" / f"{name}.png") as image:
            assert image.width >= 800


def test_the_page_is_a_function_of_the_run(full_run, full_page):
    assert write_report(full_run).read_text(encoding="utf-8") == full_page[0]


def test_hostile_words_stay_words(tmp_path, run_files):
    write_run, config, test, _ = run_files
    attack = "</style></title><script>alert(1)</script><img src=x onerror=alert(2)>\"' --> $title ]]> $\\frac$"
    path = "/home/ada/secret/place"
    hostile = {
        **config,
        "suite": attack,
        "learner": f"{attack}\ud800\u2028",
        "train": {attack: [attack], "out": path, "both": f"a:{path} b={path}"},
        "versions": {"名前": "漢字"},
    }
    tasks = [{"params": {attack: 1.0, "b": attack}, "return_by_step": [0.0, None, 1e-9], "std_by_step": [1, 1, 1]}]
    bad_test = {**test, "split": attack, "tasks": tasks, "phases": {attack: 1.0, "名前": 2.0, "": None}}
    run_dir = write_run(tmp_path / "run", config=hostile, test=bad_test)
    films = json.loads((run_dir / "films.json").read_text())
    (run_dir / "films.json").write_text(json.dumps([{**film, "task": attack} for film in films]))
    markup = write_report(run_dir).read_text(encoding="utf-8")
    page = Page(markup)
    assert "script" not in page.tags
    assert all(source.startswith(("data:image/", "#")) for source in page.sources)
    assert "<script>alert(1)</script>" in page.text  # as words
    assert "ada" not in re.sub(r"adapt\w*|base64,[A-Za-z0-9+/=]+", "", markup)
    assert str(tmp_path) not in markup


@pytest.mark.parametrize("trained", [2, 5])
def test_the_headline_is_the_return_after_as_many_steps_as_trained_with_and_tested(tmp_path, run_files, trained):
    write_run, _, test, _ = run_files
    run_dir = write_run(tmp_path / "run", test={**test, "trained_adapt_steps": trained}, films=False)
    page = Page(write_report(run_dir).read_text())
    assert page.values[:2] == [-1.0625, 196.5625]
    assert "after 2 adaptation steps" in page.text


def test_an_interval_that_is_not_known_is_not_shown(tmp_path, run_files):
    write_run, _, test, _ = run_files
    points = [{**point, "mean_half_width_95": None, "over": "tasks"} for point in test["return_by_step"]]
    run_dir = write_run(tmp_path / "run", test={**test, "return_by_step": points}, films=False)
    page = Page(write_report(run_dir).read_text())
    assert "no interval over 2 tasks, one seed: no spread to tell it from" in page.text
    assert "depends on which tasks were drawn" in page.text and "95 % interval −" not in page.text


def test_intervals_of_older_versions_are_not_shown(tmp_path, run_files):
    write_run, _, test, _ = run_files
    points = [
        {"step": point["step"], "mean": point["mean"], "iqm": point["mean"], "low": -3.25, "high": 1.125}
        for point in test["return_by_step"]
    ]
    run_dir = write_run(tmp_path / "run", test={**test, "return_by_step": points}, films=False)
    page = Page(write_report(run_dir).read_text())
    assert "no interval: tested by an older version" in page.text and "test the run anew" in page.text
    assert "−3.2" not in page.text.split("Task by task")[0] and page.values[:2] == [-1.0625, 145.5]


def test_a_run_without_test_or_films_says_so(tmp_path, run_files):
    write_run, _, _, rows = run_files
    page = Page(write_report(write_run(tmp_path / "run", test=None, rows=rows, films=False)).read_text())
    assert "This run has not been tested yet" in page.text
    assert "This run has not been filmed." in page.text
    newest = [row for row in rows if row["kind"] == "train"][-1]
    assert page.values == [newest["pre_return"], newest["post_return"]]


def test_a_run_that_has_only_begun_and_cannot_be_filmed(tmp_path, run_files):
    write_run, *_ = run_files
    run_dir = write_run(tmp_path / "run", test=None, films=False)
    (run_dir / "films.json").write_text(json.dumps({"unavailable": "EGL is missing: <install> libegl1"}))
    page = Page(write_report(run_dir).read_text())
    assert "No meta-iteration has been logged yet" in page.text
    assert 'class="facts"' not in (run_dir / "report.html").read_text()  # no empty strip below the headline
    assert "EGL is missing: <install> libegl1" in page.text


def test_a_family_without_held_out_tasks_is_named_as_such(tmp_path, run_files):
    write_run, _, test, _ = run_files
    page = Page(write_report(write_run(tmp_path / "run", test={**test, "held_out": False}, films=False)).read_text())
    assert "This family has no held-out tasks" in page.text


def test_a_film_that_is_gone_is_one_clear_line(tmp_path, run_files):
    write_run, *_ = run_files
    run_dir = write_run(tmp_path / "run", test=None)
    (run_dir / "films" / "0.webp").unlink()
    with pytest.raises(InputError, match=r"0\.webp cannot be read: No such file or directory; film the run anew"):
        write_report(run_dir)
    assert not (run_dir / "report.html").exists()


def test_without_matplotlib_one_line_says_what_to_install(tmp_path, run_files, monkeypatch):
    write_run, *_ = run_files
    run_dir = write_run(tmp_path / "run", films=False)
    for name in ("figures", "sections"):
        monkeypatch.delitem(sys.modules, f"drml.report.{name}", raising=False)
        monkeypatch.delattr(drml.report, name, raising=False)
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r'^reports need matplotlib: pip install "drml\[report\]"$'):
        write_report(run_dir)


def test_warnings_are_told_by_name_and_number_of_meta_iterations(tmp_path, run_files):
    write_run, config, test, rows = run_files
    for row in rows[:3]:
        row["warnings"] = [{"name": "nothing-to-learn", "text": f"all <b>the same</b> at {row['meta_iter']}"}]
    markup = write_report(write_run(tmp_path / "run", config, test, rows)).read_text(encoding="utf-8")
    section = markup[markup.index("Warnings") :]
    assert "nothing-to-learn" in section and "all &lt;b&gt;the same&lt;/b&gt; at 3" in section
    assert '<td class="">3</td>' in section[: section.index("all &lt;b&gt;")]
    silent = write_report(write_run(tmp_path / "silent", config, test, run_files[3][3:])).read_text(encoding="utf-8")
    assert "Warnings" not in silent


def test_a_test_of_an_older_version_says_nothing_of_what_it_took(full_page):
    assert "Taken by one agent" not in full_page[0] and "Between before and after lie" not in full_page[0]
