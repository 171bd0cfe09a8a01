"""The command line: help, bad input of every kind, results as JSON."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from codegen.target import boards
from nestnet.preview.untrained import untrained, write_untrained
from tests.support.commands import Done, Here, nestnet

COMMANDS = [
    "train", "codegen", "build", "run", "bench", "predict", "models", "datasets", "boards", "info",
]  # fmt: skip
FORM = re.compile(r"^.+: .+; got .*, expected .*\. .+[.?]$", re.S)


def test_help_is_one_screen_and_shows_the_flow(tmp_path: Path) -> None:
    done = nestnet("--help", folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.count("\n") <= 40
    positions = [done.stdout.index(f"nestnet {c}") for c in ("train", "codegen", "build", "run")]
    assert positions == sorted(positions)
    for command in COMMANDS:
        assert re.search(rf"^  {command}\b", done.stdout, flags=re.M), command
    assert nestnet(folder=tmp_path).stdout == done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, here: Here, tmp_path: Path) -> None:
    done = here(command, "--help")
    assert done.returncode == 0
    assert f"nestnet {command}" in done.stdout


BAD_ARGUMENTS: list[tuple[str, str]] = [
    ("trian", r"no such command; got 'trian'.*bench \| boards.*Did you mean 'train'"),
    ("--bogus", r"no such option; got '--bogus', expected --help \| --version"),
    ("train --epoch 3", r"no such option; got '--epoch'.*Did you mean '--epochs'"),
    ("run --bord host", r"no such option.*--board.*Did you mean '--board'"),
    ("train extra", r"got unexpected extra argument.*extra.*See nestnet train --help"),
    (
        "codegen x.nestnet",
        r"got .*x\.nestnet.*A run or a \.nestnet file goes after --run: nestnet ",
    ),
    ("run a b", r"goes after --run: nestnet run --run a\."),
    ("train --levels four", r"--levels"),
    ("train --levels", r"--levels"),
    ("train --flash", r"'--flash' requires an argument.*See nestnet train --help"),
    ("bench --untrained --model", r"'--model' requires an argument.*See nestnet bench --help"),
    ("info", r"Missing argument"),
    ("train --model resnet9", r"unknown model; got 'resnet9', expected one of .*resnet8"),
    ("train --model nothere.py:make", r"model file does not exist"),
    ("train --dataset digitz", r"no such data set; got 'digitz', expected arrays \| cifar10 \| .*"),
    ("train --dataset folder", r"--data: .*got nothing"),
    ("train --dataset folder --data nowhere", r"nowhere: no such file or directory"),
    ("train --dataset cifar10", r"not part of any dependency"),
    ("train --data x", r"no such file or directory; got nothing, expected the data of 'folder'"),
    ("train --dataset digits --data x", r"x: no such file|takes no data"),
    ("train --levels 0", r"no such number of levels; got 0, expected 1\.\.8"),
    ("train --levels 3 --sparsity 0.9,0.5", r"--levels: differs .*got 3, expected 2"),
    ("train --sparsity 1.2", r"sparsity: not a share of pruned weights; got 1\.2"),
    ("train --sparsity=-0.1", r"not a share of pruned weights"),
    ("train --sparsity 0.5,0.9", r"not strictly nested; got 0\.5, 0\.9.*Try 0\.9, 0\.5"),
    ("train --sparsity 0.5,0.5", r"not strictly nested"),
    ("train --sparsity high", r"not a list of numbers"),
    ("train --sparsity nan", r"sparsity"),
    ("train --sparsity 0.9999,0.9998,0.9997,0.9996", r"group"),
    ("train --group 4x1", r"1x1 \| 1x2 \| 1x4"),
    ("train --routing sheel", r"shared \| shell.*Did you mean 'shell'"),
    ("train --allocation x", r"global \| latency \| uniform"),
    ("train --device gpu", r"auto \| cpu \| cuda.*Did you mean 'cuda'"),
    ("train --augment x", r"auto \| crop \| flip-crop \| .*none"),
    ("train --epochs 0", r"epochs.*at least 1"),
    ("train --batch 1", r"batch.*at least 2"),
    ("train --lr 0", r"lr.*above 0"),
    ("train --lr nan", r"lr"),
    ("train --seed=-1", r"seed"),
    ("train --resize large", r"--resize: not a size; got 'large', expected HEIGHTxWIDTH"),
    ("train --resize 32x32x3", r"--resize: not a size; got '32x32x3'"),
    ("train --resize 32x", r"--resize: not a size"),
    ("train --resize 0", r"at least 1"),
    ("train --resize 0x8", r"at least 1"),
    ("train --resize 9000", r"got 9000x9000.*1\.\.4096"),
    ("train --resize 9000x8", r"1\.\.4096"),
    ("train --name a/b", r"name"),
    ("train --config nowhere.toml", r"nowhere\.toml: cannot read the configuration"),
    ("train --resume nowhere", r"--resume: no such run"),
    ("train --resume nowhere --lr 0.1", r"got --lr, expected no other flag"),
    ("train --init-from nowhere", r"--init-from: no such run; got 'nowhere'"),
    ("train --out /dev/null", r"/dev/null: --out is a file; got the file /dev/null"),
    ("train --resume x --flash 48KiB --levels 2", r"got --levels, --flash, expected no other"),
    ("train --resume x --config y.toml", r"got --config, expected no other flag"),
    ("codegen", rf"unknown board; got '', expected one of {', '.join(boards.names())}"),
    ("codegen --board stm32f8", rf"got 'stm32f8', expected one of {', '.join(boards.names())}"),
    ("codegen --board stm32f77", r"Did you mean stm32f7\? Choose one with --board"),
    ("codegen --board host --run nowhere", r"--run: no such run"),
    ("codegen --board host --run nowhere.nestnet", r"nowhere\.nestnet"),
    ("build", r"no generated project.*nestnet codegen --board"),
    ("build --out nowhere", r"nowhere"),
    ("run --images 0", r"no finished run|--images"),
    ("run --board qemu_m5", r"no finished run|unknown board"),
    ("bench --board qemu_m5", r"unknown board"),
    ("bench --model resnet8", r"--model: only an untrained network.*Add --untrained"),
    ("bench --levels 4 --seed 1", r"--levels: only an untrained.*got --levels, --seed,"),
    ("bench --untrained", r"--untrained: which model.*Add --model resnet8"),
    ("bench --untrained --model resnet9", r"unknown model"),
    ("bench --untrained --model resnet8 --run r", r"--run: a run is trained"),
    ("bench --untrained --model resnet8 --data d", r"--data: a run is trained; got --data beside"),
    ("bench --untrained --model resnet8 --input-shape 32x32", r"HEIGHTxWIDTHxCHANNELS"),
    ("bench --untrained --model digits_cnn --classes 0", r"classes"),
    ("bench --untrained --model digits_cnn --images 0", r"--images: no image to run"),
    ("codegen --board host --cycles nowhere.json", r"no finished run|nowhere\.json"),
    ("codegen --board host --optimize fast", r"--optimize.*expected balanced or size or speed"),
    ("build --codecs zip", r"--codecs: unknown codecs; got zip, expected all or lz4 or raw"),
    ("run --decode never", r"--decode.*expected inference or level"),
    ("bench --untrained --model digits_cnn --codecs zip", r"--codecs: unknown codecs"),
    ("info nowhere", r"nowhere: not something of nestnet; got nothing there"),
    ("models --json /proc/nothing/x.json", r"cannot write the result"),
    ("train --epochs 1 --json /proc/nothing/x.json", r"cannot write the result"),
    ("bench --csv /proc", r"/proc: cannot write the result; got a folder"),
    ("predict", r"Missing argument"),
    ("predict x.png", r"no finished run"),
    ("predict x.png --c-array /proc/nothing/x.h", r"cannot write the result"),
    ("train --test-share 1", r"test_share.*below 1"),
    ("train --test-share 0.3", r"--test-share: .*of their own"),
]


@pytest.mark.parametrize(("line", "message"), BAD_ARGUMENTS, ids=[b[0] for b in BAD_ARGUMENTS])
def test_bad_arguments(line: str, message: str, here: Here, tmp_path: Path) -> None:
    """Run in an empty folder: one message of the fixed form, exit code 2, nothing written."""
    done = here(*line.split(" "))
    _check(done, message)
    assert not list(tmp_path.iterdir()), "a refused command must leave nothing behind"


def _check(done: Done, message: str) -> None:
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert FORM.match(done.stderr.strip()), done.stderr
    assert re.search(message, done.stderr, flags=re.S), done.stderr


def _damage(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


def _flip(content: bytes) -> bytes:
    middle = len(content) * 3 // 4
    return content[:middle] + bytes([content[middle] ^ 0x55]) + content[middle + 1 :]


@pytest.fixture
def copy(workspace: Path, tmp_path: Path) -> Path:
    """Return a folder with a finished run to damage."""
    shutil.copytree(workspace / "runs", tmp_path / "runs")
    return tmp_path


@pytest.mark.parametrize("change", [_flip, lambda c: c[:-100], lambda c: c[:10], lambda c: b""],
                         ids=["flipped", "cut", "stub", "empty"])  # fmt: skip
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("model.nestnet", "codegen --board host"),
        ("model.nestnet", "run --board host"),
        ("model.nestnet", "info runs/net-digits-1/model.nestnet"),
        ("checkpoint.safetensors", "info runs/net-digits-1/checkpoint.safetensors"),
        ("checkpoint.safetensors", "train --resume net-digits-1"),
    ],
)
def test_damaged_files(
    change: Callable[[bytes], bytes], name: str, line: str, copy: Path, here: Here
) -> None:
    _damage(copy / "runs/net-digits-1" / name, change)
    _check(here(*line.split(" ")), re.escape(name))
    assert not (copy / "build").exists()


def test_newer_network_file(copy: Path, here: Here) -> None:
    from codegen.graph import file as nestfile

    path = copy / "runs/net-digits-1/model.nestnet"
    content = path.read_bytes()
    newer = content.replace(
        b'schema_version\\":%d' % nestfile.SCHEMA_VERSION, b'schema_version\\":9'
    )
    assert newer != content
    digits = re.search(rb'content_sha256\\":\\"([0-9a-f]{64})', newer)
    assert digits is not None
    import hashlib

    blank = newer.replace(digits[1], b"0" * 64)
    path.write_bytes(blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode(), 1))
    assert nestfile.SCHEMA_VERSION < 9
    _check(here("codegen", "--board", "host"), r"newer .*schema version 9")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t + "epoch = 3\n", r"unknown key.*Did you mean 'epochs'"),
        (lambda t: re.sub(r"seed = .*\n", "", t), r"missing key; got no seed"),
        (lambda t: t.replace("batch = 256", 'batch = "big"'), r"batch"),
        (lambda t: t + "===", r"not a TOML file"),
        (lambda t: t.replace("batch = 256", "batch = 128"), r"configuration of the checkpoint"),
    ],
    ids=["unknown", "missing", "type", "syntax", "changed"],
)
def test_damaged_configuration(
    change: Callable[[str], str], message: str, copy: Path, here: Here
) -> None:
    path = copy / "runs/net-digits-1/config.toml"
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))
    _check(here("train", "--resume", "net-digits-1"), message)


def test_out_folder_that_is_not_ours(copy: Path, here: Here) -> None:
    precious = copy / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("do not lose")
    line = "codegen --board host --out precious"
    _check(here(*line.split()), r"precious: the output folder is not ours")
    assert [p.name for p in precious.iterdir()] == ["thesis.txt"]


def test_a_network_away_from_its_run(copy: Path, here: Here) -> None:
    """Any name will do; without the run's data set the images are random, which is said."""
    lone = copy / "network.bin"
    shutil.copy(copy / "runs" / "net-digits-1" / "model.nestnet", lone)
    out = copy / "lone"
    assert here("codegen", "--board", "host", "--run", str(lone), "--out", str(out)).returncode == 0
    assert (out / "library/model.c").is_file()
    done = here("run", "--run", str(lone), "--images", "7", "--json", "r.json")
    assert done.returncode == 0, done.stderr
    assert "7 random images: bit-exactness only, no accuracy" in done.stdout
    for level in json.loads((copy / "r.json").read_text())["levels"]:
        assert level["bit_exact"] is True and level["images"] == 7
        assert level["accuracy_device"] is None and level["accuracy_reference"] is None
    _check(here("run", "--run", str(lone), "--images", "0"), r"--images: no image to run")
    _check(here("run", "--run", str(lone), "--data", "x"), r"--data: the network lies in no run")


def test_a_network_with_random_weights_runs_on_random_images(here: Here, tmp_path: Path) -> None:
    path = write_untrained(untrained("digits_cnn", sparsity=(0.9, 0.5)), tmp_path)
    done = here("run", "--run", path, "--board", "host", "--images", "5")
    assert done.returncode == 0, done.stderr
    assert "5 random images: bit-exactness only" in done.stdout
    assert done.stdout.count("yes") == 2


def test_existing_run_name(copy: Path, here: Here) -> None:
    line = "train --epochs 1 --name net-digits-1"
    _check(here(*line.split()), r"the run exists already")


@pytest.mark.parametrize("board", ["stm32f7", "qemu_m4"])
def test_missing_tools_say_how_to_install_them(
    board: str, copy: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    done = here("run", "--board", board, "--images", "1")
    _check(done, r"is not installed.*apt-get install")


def test_levels_out_of_range(copy: Path, here: Here) -> None:
    for levels in ("0,2", "9", "x"):
        line = f"run --board host --images 1 --levels {levels}"
        _check(here(*line.split()), r"levels: ")


def test_run_writes_the_schema_of_the_demo(copy: Path, here: Here) -> None:
    done = nestnet(
        *["run", "--board", "host", "--images", "3", "--json", "out/r.json"], folder=copy
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy float: of the whole test set, before the quantization-aware" in done.stdout
    report = json.loads((copy / "out/r.json").read_text())
    assert {"levels", "weights_bytes", "arena_bytes", "elf"} <= set(report)
    assert [level["level"] for level in report["levels"]] == [0, 1]
    for level in report["levels"]:
        assert {
            "level", "sparsity", "accuracy_float", "accuracy_reference", "accuracy_device",
            "bit_exact", "images", "instructions", "flash_bytes", "ram_bytes",
        } <= set(level)  # fmt: skip
        assert level["bit_exact"] is True
        assert level["images"] == 3
    assert here("info", "out/r.json").returncode == 0


@pytest.mark.parametrize("command", ["models", "datasets", "boards"])
def test_lists_as_json(command: str, here: Here, tmp_path: Path) -> None:
    done = here(command, "--json", "list.json")
    assert done.returncode == 0
    listed = json.loads((tmp_path / "list.json").read_text())
    names = [*listed["boards"], *listed["cores"]] if command == "boards" else [*listed]
    assert names and all(name in done.stdout for name in names)


def test_the_kernels_of_a_core_are_one_word(here: Here, tmp_path: Path) -> None:
    done = here("boards", "--json", "list.json")
    assert "portable" in done.stdout and "p, o, r" not in done.stdout
    cores = json.loads((tmp_path / "list.json").read_text())["cores"]
    assert cores["cortex-m0"]["kernels"] == "portable"
    for name in ("cortex-m0", "nrf51822"):
        assert here("info", name, "--json", "info.json").returncode == 0
        assert json.loads((tmp_path / "info.json").read_text())["kernels"] == "portable"


def test_info_explains_boards_chips_and_cores(here: Here, tmp_path: Path) -> None:
    (tmp_path / "my_f7.toml").write_text(
        'id = "my_f7"\ntitle = "mine"\nstatus = "builds"\nrunner = "none"\nchip = "stm32f767zi"\n'
        '[place]\narena = "SRAM2"\n'
    )
    pages = {
        "stm32h7": ("board", "SRAM1+SRAM2+SRAM3"),
        "stm32l4r5zi": ("chip", "SRAM3"),
        "cortex-m33_nodsp": ("core", "-mcpu=cortex-m33+nodsp"),
        "my_f7.toml": ("board", "DTCM+SRAM1"),
    }
    for name, (kind, words) in pages.items():
        done = here("info", name, "--json", "info.json")
        assert done.returncode == 0, done.stderr
        assert words in done.stdout
        assert json.loads((tmp_path / "info.json").read_text())["kind"] == kind
    (tmp_path / "my_f7.toml").write_text('id = "my_f7"\nrunner = "none"\n')
    done = here("info", "my_f7.toml")
    assert done.returncode == 2 and "missing key; got no title" in done.stderr


def test_info_explains_every_file_of_a_run(copy: Path, here: Here) -> None:
    run = copy / "runs/net-digits-1"
    kinds = {
        run: "training run",
        run / "model.nestnet": "integer network",
        run / "checkpoint.safetensors": "training checkpoint",
        run / "config.toml": "training configuration",
    }
    for path, kind in kinds.items():
        done = here("info", path, "--json", "info.json")
        assert done.returncode == 0, done.stderr
        assert json.loads((copy / "info.json").read_text())["kind"] == kind
    for path in (run, run / "checkpoint.safetensors"):
        here("info", path, "--json", "info.json")
        assert json.loads((copy / "info.json").read_text())["model"] == "digits_cnn", "not auto"
    (run / "model.nestnet").rename(run / "model")
    here("info", run, "--json", "info.json")
    assert json.loads((copy / "info.json").read_text())["model"] == "digits_cnn"
    (run / "model").rename(run / "model.nestnet")
    assert here("codegen", "--board", "host").returncode == 0
    done = here("info", "build/net-digits-1-host")
    assert "generated C project" in done.stdout
    assert here("info", run / "metrics.jsonl").returncode == 2
