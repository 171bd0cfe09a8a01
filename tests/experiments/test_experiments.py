"""Experiments are found by their folder; a page has the numbers of its result, and no other."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codegen.errors import UserError
from experiments.architectures.catalogue import ALL
from experiments.common import driver, trainings
from experiments.common.markdown import spaced, table
from experiments.common.record import Record, command
from experiments.compression import run as compression
from nestnet import runs
from nestnet.config import TrainConfig

NAMES = driver.names()


def test_every_folder_is_an_experiment_and_in_the_readme() -> None:
    folders = {path.name for path in driver.HERE.iterdir() if list(path.glob("*.py"))}
    assert folders == {*NAMES, "common"} and len(NAMES) >= 9
    readme = (driver.HERE / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((\w+)/page\.md\)", readme)) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_written_from_its_result_alone(name: str) -> None:
    folder = driver.HERE / name
    result = driver.read(folder)
    text = (folder / driver.PAGE).read_text(encoding="utf-8")
    assert driver.page(driver.load(name), result) == text
    record = result["record"]
    assert (
        record["command"].startswith(f"python -m experiments {name}") and record["command"] in text
    )
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", record["date"]) and record["date"] in text


@pytest.mark.parametrize("name", NAMES)
def test_no_promise_was_broken(name: str) -> None:
    assert driver.load(name).problems(driver.read(driver.HERE / name)["findings"]) == []


def _level(found: Any, case: str, board: str) -> Any:
    return found["rows"][case]["machines"][board][1]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("architectures", lambda found: found["rows"][2].update(failure="bits differ")),
        ("architectures", lambda found: found["rows"][0].update(difference=0.001)),
        ("bits", lambda found: _level(found, "segmentation", "qemu_m4").update(equal_answers=49)),
        ("bits", lambda found: _level(found, "heat_map", "host").update(equal_outputs=0)),
        (
            "bits",
            lambda found: _level(found, "multi_label", "qemu_m7").update(named_answers=9),
        ),
        ("bits", lambda found: _level(found, "anomaly", "host").update(distinct_answers=1)),
        ("compilers", lambda found: found["rows"][3].update(exact=False)),
        ("compilers", lambda found: found["rows"][5].update(stack_bytes=1 << 20)),
        ("exact", lambda found: found["reports"][1]["levels"][2].update(bit_exact=False)),
        ("flash", lambda found: found["runs"][7].update(stored_bytes=1 << 20)),
        ("install", lambda found: found["rows"][2].update(fine=False)),
        ("tasks", lambda found: found["rows"]["activity"]["levels"][2].update(int8=0.91)),
        ("tasks", lambda found: found["rows"]["beats"]["levels"][0].update(bit_exact=False)),
        ("tasks", lambda found: found["heard"].update(exact=False)),
        ("modules", lambda found: found["failures"].append("seed 7: bits differ")),
        ("speed", lambda found: found["bars"][11].update(met=False)),
    ],
)
def test_a_broken_promise_is_named(name: str, change: Any) -> None:
    findings = driver.read(driver.HERE / name)["findings"]
    change(findings)
    assert len(driver.load(name).problems(findings)) == 1
    driver.load(name).page(findings)


def test_the_list_and_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert driver.main([]) == 0
    listed = capsys.readouterr().out
    assert all(re.search(rf"^{name} ", listed, flags=re.M) for name in NAMES)
    with pytest.raises(SystemExit) as end:
        driver.main(["flash", "--help"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("--data", "--seeds", "--page", driver.load("flash").COST))


def test_every_architecture_is_in_its_result() -> None:
    rows = driver.read(driver.HERE / "architectures")["findings"]["rows"]
    assert [row["name"] for row in rows] == [each.name for each in ALL]


def test_an_unknown_name_is_a_users_mistake() -> None:
    with pytest.raises(UserError, match=r"got spede, expected allocation, .*speed"):
        driver.main(["spede"])
    with pytest.raises(UserError, match="neither --run nor --untrained"):
        list(driver.load("exact").measure(Namespace(run=[], untrained=[])))


def test_a_page_needs_a_result(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such result"):
        driver.main(["speed", "--page", "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


class Counting:
    """An experiment that stops after its second finding."""

    __doc__ = "Count."
    COST = "nothing"
    TOOLS = ()
    SEEDS = (3, 5)

    def arguments(self, parser: ArgumentParser) -> None:
        """Add nothing."""

    def measure(self, options: Namespace) -> Iterator[dict[str, Any]]:
        yield {"count": (1,)}
        yield {"count": (1, 2)}
        raise KeyboardInterrupt

    def page(self, findings: Any) -> str:
        return f"# Count {findings['count']}\n"

    def problems(self, findings: Any) -> list[str]:
        return []


def test_what_is_finished_is_written_before_the_end(tmp_path: Path) -> None:
    options = Namespace(out=tmp_path / "new", date="2026-01-31", machine="7 cores of a thing")
    with pytest.raises(KeyboardInterrupt):
        driver.run(Counting(), options, "python -m experiments counting")
    written = json.loads((tmp_path / "new/result.json").read_text())
    assert written["findings"] == {"count": [1, 2]} and written["record"]["seeds"] == [3, 5]
    text = (tmp_path / "new/page.md").read_text()
    assert text.startswith("# Count [1, 2]\n")
    assert "Date: 2026-01-31; machine: 7 cores of a thing; seeds: 3, 5." in text


@pytest.mark.parametrize("row", [0, 5, 11], ids=["dense, lz4", "nested, raw", "smallest, all"])
def test_compression_gives_its_numbers_again(row: int) -> None:
    """It only computes: three of its cells, to the digits that pages show."""
    findings = driver.read(driver.HERE / "compression")["findings"]
    wanted, column = findings["rows"][row], row % 5
    found = compression.ratio(
        findings["zero_groups"][column], wanted["sparsity"], wanted["storage"]
    )
    assert found == pytest.approx(wanted["ratios"][column], abs=0.00501)


def test_a_command_names_no_folder_of_this_machine() -> None:
    words = ["--data", "/a/b/cifar10.tar.xz", "--runs", "runs/x", "--title", "two words"]
    assert command("flash", words) == (
        "python -m experiments flash --data cifar10.tar.xz --runs runs/x --title 'two words'"
    )


def test_a_record_says_what_there_is() -> None:
    plain = Record("c", (), "2026-01-31", "", ())
    assert (
        plain.footer() == "Written by `c`; the numbers are in `result.json`.\nDate: 2026-01-31.\n"
    )


def test_a_run_with_other_settings_is_not_taken_for_this_one(tmp_path: Path) -> None:
    wanted = TrainConfig(name="one", seed=3)
    folder = tmp_path / "one"
    folder.mkdir()
    from nestnet.config import to_toml

    (folder / runs.CONFIG).write_text(to_toml(TrainConfig(name="one", seed=4)))
    with pytest.raises(UserError, match="other settings"):
        trainings.run(wanted, tmp_path)
    (folder / runs.CONFIG).write_text(to_toml(wanted))
    (folder / runs.MODEL).touch()
    assert trainings.run(wanted, tmp_path) == folder


def test_tables_and_numbers() -> None:
    assert table(["a", "b"], [[1, "x"]]) == "| a | b |\n| --- | --- |\n| 1 | x |"
    assert [spaced(1234567), spaced(3.14159), spaced(1000.0)] == ["1 234 567", "3.14", "1 000"]


def test_a_picture_is_drawn_from_its_result_alone(tmp_path: Path) -> None:
    """The texts are compared: where a line lies depends on the version of the library."""
    for name in NAMES:
        drawn = driver.HERE / name / driver.PICTURE
        experiment = driver.load(name)
        assert drawn.exists() == hasattr(experiment, "picture"), name
        if hasattr(experiment, "picture"):
            found = driver.read(driver.HERE / name)["findings"]
            experiment.picture(found, tmp_path / driver.PICTURE)
            again = (tmp_path / driver.PICTURE).read_text(encoding="utf-8")
            assert re.findall(r">([^<>]+)</text>", again) == re.findall(
                r">([^<>]+)</text>", drawn.read_text(encoding="utf-8")
            )
