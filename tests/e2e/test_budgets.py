"""Nothing grows unnoticed: instructions, flash, RAM and stack against tests/e2e/budgets.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import budgets
from tests.support.projects import need_tools


@pytest.mark.parametrize("board_id", budgets.BOARDS)
@pytest.mark.parametrize("network", budgets.NETWORKS)
def test_within_budget(network: str, board_id: str, tmp_path: Path) -> None:
    need_tools(board_id)
    kept = budgets.read()
    if budgets.compiler() != kept.compiler:
        pytest.skip(f"budgets are for gcc {kept.compiler}, this is {budgets.compiler()}")
    budget = kept.networks[network][board_id]
    figures = budgets.measure(network, board_id, tmp_path)
    grown = budgets.too_large(budget, figures)
    table = budgets.diff(budget, figures)
    assert not grown, (
        f"{network} on {board_id}: {', '.join(grown)} grew by more than 3 %\n{table}\n"
        "If that is worth it, run `make budgets` and commit the file with the reason."
    )


def test_the_file_lists_every_network_and_board() -> None:
    kept = budgets.read().networks
    assert list(kept) == list(budgets.NETWORKS)
    assert all(tuple(boards) == budgets.BOARDS for boards in kept.values())
    assert budgets.as_toml(budgets.read()) == budgets.FILE.read_text(encoding="utf-8")


def test_growth_is_found_and_shown() -> None:
    budget = {"code_bytes": 1000, "stack_bytes": 100}
    assert not budgets.too_large(budget, {"code_bytes": 1030, "stack_bytes": 50})
    assert budgets.too_large(budget, {"code_bytes": 1031, "stack_bytes": 50}) == ["code_bytes"]
    assert budgets.too_large(budget, {"code_bytes": 1, "new": 1}) == ["new", "stack_bytes"]
    table = budgets.diff(budget, {"code_bytes": 1031, "new": 7})
    assert [line.split() for line in table.splitlines()[1:]] == [
        ["code_bytes", "1000", "1031", "+3.1", "%"],
        ["stack_bytes", "100", "-"],
        ["new", "-", "7"],
    ]
