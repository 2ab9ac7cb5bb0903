"""Result tables and their Markdown and JSON files."""

import json
import math
import os
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

from studio_avatar.imaging.files import write_atomically


@dataclass(frozen=True)
class Column:
    """One metric: its key in the rows, its heading, its decimals, which way is better, and what stands for all items."""

    key: str
    heading: str
    decimals: int = 2
    better: str = ""  # "higher", "lower" or "" for neither
    of_all: str = "mean"  # or "median", which a few odd items do not move


@dataclass
class Table:
    """Methods × metrics.

    Attributes:
        rows: method name → {column key: one value an item}; NaN and missing values are left out of the mean.
    """

    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, method: str, values: dict[str, float]) -> None:
        """Append one item's values to a method's row."""
        row = self.rows.setdefault(method, {})
        for key, value in values.items():
            row.setdefault(key, []).append(float(value))

    def means(self, method: str) -> dict[str, float]:
        """Mean (or median) of each column over the items that have it, in the columns' order."""
        values = self.rows[method]
        return {column.key: AVERAGES[column.of_all](values.get(column.key, [])) for column in self.columns}

    def to_markdown(self) -> str:
        """A Markdown section; the best value of each column is bold."""
        means = {method: self.means(method) for method in self.rows}
        best = {
            column.key: _best(column, [row[column.key] for row in means.values()]) for column in self.columns
        }
        lines = [f"## {self.title}", "", self.caption, ""]
        lines.append(
            "| method | " + " | ".join(column.heading + _arrow(column) for column in self.columns) + " |"
        )
        lines.append("|---|" + "---:|" * len(self.columns))
        for method, row in means.items():
            cells = [_cell(row[column.key], column.decimals, best[column.key]) for column in self.columns]
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict:
        """JSON-ready: the columns and, for each method, means and the single values; NaN becomes null."""
        return {
            "title": self.title,
            "caption": self.caption,
            "columns": [asdict(column) for column in self.columns],
            "rows": [
                {
                    "method": method,
                    "mean": {key: _json_number(value) for key, value in self.means(method).items()},
                    "items": {key: [_json_number(v) for v in values] for key, values in row.items()},
                }
                for method, row in self.rows.items()
            ],
        }

    @classmethod
    def from_dict(cls, data: dict) -> "Table":
        """The table that `to_dict` wrote, to six decimals."""
        rows = {
            row["method"]: {
                key: [float("nan") if value is None else value for value in values]
                for key, values in row["items"].items()
            }
            for row in data["rows"]
        }
        columns = tuple(Column(**column) for column in data["columns"])
        return cls(data["title"], data["caption"], columns, rows)


def finite_mean(values: list[float]) -> float:
    """Mean of the finite values; NaN when there is none."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else float("nan")


def finite_median(values: list[float]) -> float:
    """Median of the finite values; NaN when there is none."""
    finite = [value for value in values if math.isfinite(value)]
    return statistics.median(finite) if finite else float("nan")


AVERAGES = {"mean": finite_mean, "median": finite_median}


def write_report(
    tables: list[Table], facts: dict, json_path: str | os.PathLike, markdown_path: str | os.PathLike
):
    """Write both files, each whole or not at all; their folders are made.

    Args:
        facts: what was measured on (counts, resolution, seed, command), put in front of the tables.
    """
    for path in (json_path, markdown_path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    report = {"facts": facts, "tables": [table.to_dict() for table in tables]}
    write_atomically(json_path, (json.dumps(report, indent=1) + "\n").encode())
    write_atomically(markdown_path, to_markdown(tables, facts).encode())


def to_markdown(tables: list[Table], facts: dict) -> str:
    """The whole report as one Markdown page."""
    listing = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    return "# Evaluation\n\n" + listing + "\n\n" + "\n".join(table.to_markdown() for table in tables)


def _arrow(column: Column) -> str:
    return {"higher": " ↑", "lower": " ↓", "": ""}[column.better]


def _best(column: Column, values: list[float]) -> float | None:
    """The best value as shown, so that ties are all bold; None when neither way is better."""
    finite = [round(value, column.decimals) for value in values if math.isfinite(value)]
    if not column.better or not finite:
        return None
    return max(finite) if column.better == "higher" else min(finite)


def _cell(value: float, decimals: int, best: float | None) -> str:
    if not math.isfinite(value):
        return "–"
    text = f"{value:.{decimals}f}"
    return f"**{text}**" if best is not None and round(value, decimals) == best else text


def _json_number(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
