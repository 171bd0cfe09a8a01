"""Where projects may be written, and what survives there."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from codegen import flow
from codegen.emit import project
from codegen.errors import UserError
from codegen.graph import file as nestfile
from codegen.target import manifest, toolchain
from codegen.target.target import resolve
from tests.support.projects import SHA256, small_graph


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def write(folder: Path, name: str = "tiny") -> Path:
    return project.write(small_graph(name), SHA256, resolve("stm32f7"), folder)


@pytest.mark.parametrize("content", ["file", "folder", "link"])
def test_a_foreign_folder_is_left_alone(tmp_path: Path, content: str) -> None:
    out = tmp_path / "out"
    if content == "file":
        out.write_text("mine")
    elif content == "folder":
        out.mkdir()
        (out / "thesis.tex").write_text("mine")
    else:
        (tmp_path / "elsewhere").mkdir()
        out.symlink_to(tmp_path / "elsewhere")
    before = tree(tmp_path)
    with pytest.raises(UserError, match="the output folder is not ours"):
        write(out)
    assert tree(tmp_path) == before


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert (write(tmp_path / "out") / "library/model.c").is_file()


@pytest.mark.parametrize("out", ["file/below", "file/far/below"])
def test_a_place_that_cannot_be_written_is_a_user_error(tmp_path: Path, out: str) -> None:
    """A file where a folder should be fails for every user; permissions do not stop root."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=r"cannot write the project; .*--out"):
        write(tmp_path / out)
    assert tree(tmp_path) == {"file": b"mine"}


def test_a_failure_leaves_the_old_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "out")
    before = tree(tmp_path)
    real = Path.rename

    def broken(self: Path, target: Path) -> Path:
        """Fail to put the new folder into its place, after the old one has been moved away."""
        if self.name.endswith("-new"):
            raise OSError(28, "No space left on device")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(UserError, match="No space left on device"):
        write(tmp_path / "out", name="other")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("moment", ["writing", "between the renames", "removing"])
def test_what_a_killed_call_left_is_mended(tmp_path: Path, moment: str) -> None:
    write(tmp_path / "out")
    before = tree(tmp_path / "out")
    if moment == "writing":
        (tmp_path / ".out.nestnet-new").mkdir()
        (tmp_path / ".out.nestnet-new" / "Makefile").write_text("half of i")
    elif moment == "between the renames":
        (tmp_path / "out").rename(tmp_path / ".out.nestnet-old")
        (tmp_path / ".out.nestnet-new").mkdir()
    else:
        (tmp_path / ".out.nestnet-old").mkdir()
    write(tmp_path / "out")
    assert tree(tmp_path / "out") == before
    assert os.listdir(tmp_path) == ["out"]


def test_files_of_the_user_stay_and_stale_ones_go(tmp_path: Path) -> None:
    out = write(tmp_path / "out")
    (out / "my").mkdir()
    (out / "my" / "app.c").write_text("int mine;")
    (out / "build").mkdir()
    (out / "build" / "main.o").write_text("made by make")
    marker = (out / manifest.MARKER).read_text()
    older = b"written by an older version"
    (out / "old.c").write_bytes(older)
    digest = hashlib.sha256(older).hexdigest()
    known = marker.replace('"example/main.c":', f'"old.c": "{digest}", "example/main.c":')
    (out / manifest.MARKER).write_text(known)
    fresh = tree(write(tmp_path / "fresh", name="other"))
    assert tree(write(out, name="other")) == fresh | {"my/app.c": b"int mine;"}


def test_the_same_content_is_not_written_again(tmp_path: Path) -> None:
    out = write(tmp_path / "out")
    before = (out / "library/model.c").stat()
    write(out)
    assert (out / "library/model.c").stat().st_ino == before.st_ino


@pytest.mark.parametrize(
    "name", ["example/main.c", "rig/linker.ld", "Makefile", "library/firmware/nestnet.c"]
)
def test_edited_files_are_not_overwritten(tmp_path: Path, name: str) -> None:
    out = write(tmp_path / "out")
    with (out / name).open("a") as stream:
        stream.write("edited")
    before = tree(tmp_path)
    for network in ("tiny", "other"):
        with pytest.raises(UserError, match=rf"got edited {name}, .*Keep your changes in files"):
            write(out, network)
    assert tree(tmp_path) == before
    (out / name).rename(out / "mine.txt")
    write(out, "other")
    assert (out / "mine.txt").read_text().endswith("edited")
    assert not (out / name).read_text().endswith("edited")


@pytest.mark.parametrize("files", [["example/main.c"], None])
def test_an_older_folder_is_not_overwritten(tmp_path: Path, files: list[str] | None) -> None:
    """Markers held no hashes once: an edited file cannot be told from a generated one."""
    out = write(tmp_path / "out")
    marker = out / manifest.MARKER
    facts = json.loads(marker.read_text())
    del facts["files"]
    marker.write_text(json.dumps(facts if files is None else {**facts, "files": files}))
    write(out)  # nothing differs: nothing is lost
    marker.write_text(json.dumps(facts if files is None else {**facts, "files": files}))
    with (out / "example/main.c").open("a") as stream:
        stream.write("edited")
    before = tree(out)
    with pytest.raises(UserError, match=r"different example/main\.c.*Choose another folder"):
        write(out)
    assert tree(out) == before


@pytest.mark.parametrize(
    "lost", ["library/weights.c", "library/firmware/nestnet.c", manifest.MARKER]
)
def test_half_of_a_project_is_an_error_and_is_completed(tmp_path: Path, lost: str) -> None:
    path = tmp_path / "model.nestnet"
    nestfile.save(small_graph(), path)
    out = flow.codegen(path, "host", tmp_path / "out")
    before = tree(out)
    (out / lost).unlink() if lost != manifest.MARKER else (out / lost).write_text("{")
    with pytest.raises(UserError, match=r"no (library/\S+\.c|usable).*again"):
        toolchain.build(out)
    assert tree(flow.prepare(path, "host", out)) == before
