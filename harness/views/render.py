"""A finished table and its formats: text for terminals, Markdown, HTML, CSV and JSON."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SIGNS = {"": "", "unbeaten": " ●", "untested": " ○"}


@dataclass(frozen=True)
class Head:
    """A column: `key` names it in CSV and JSON, `title` is what people read."""

    key: str
    title: str
    align: Literal["left", "right"] = "left"


@dataclass(frozen=True)
class TableCell:
    """What is shown, and the numbers behind it by suffix: "" for the value itself, low, high, n, error."""

    text: str
    numbers: Mapping[str, float | int | None] = field(default_factory=dict)
    mark: Literal["", "unbeaten", "untested"] = ""


@dataclass(frozen=True)
class Table:
    """A view of rows, ready to be shown: every row has one cell per head."""

    title: str
    heads: list[Head]
    rows: list[list[TableCell]]
    footnotes: list[str]


def to_text(table: Table) -> str:
    """Aligned columns for a terminal. Characters that could steer the terminal are replaced."""
    lines = [[_printable(head.title) for head in table.heads]]
    lines += [[_printable(cell.text + SIGNS[cell.mark]) for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = ["  ".join(map(_align, table.heads, line, widths)).rstrip() for line in lines]
    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    notes = [
        textwrap.fill(_printable(note), max(len(rule), 80), subsequent_indent="  ")
        for note in table.footnotes
    ]
    return "\n".join([_printable(table.title), "", aligned[0], rule, *aligned[1:], rule, *notes]) + "\n"


def to_markdown(table: Table) -> str:
    """A GitHub table; unbeaten cells are bold as well as signed."""
    heads = [_escape_markdown(head.title) for head in table.heads]
    rules = ["--:" if head.align == "right" else "---" for head in table.heads]
    lines = [heads, rules]
    for row in table.rows:
        lines.append([_bold(_escape_markdown(cell.text), cell, "**", "**") for cell in row])
    body = ["| " + " | ".join(line) + " |" for line in lines]
    notes = [f"- {_escape_markdown(note)}" for note in table.footnotes]
    return "\n".join([f"### {_escape_markdown(table.title)}", "", *body, "", *notes]) + "\n"


def to_html(table: Table) -> str:
    """A `<figure>` without style of its own; every text is escaped."""
    heads = "".join(f'<th class="{head.align}">{html.escape(head.title)}</th>' for head in table.heads)
    rows = []
    for row in table.rows:
        cells = [
            f'<td class="{head.align}">{_bold(html.escape(cell.text), cell, "<strong>", "</strong>")}</td>'
            for head, cell in zip(table.heads, row, strict=True)
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.footnotes)
    return (
        f"<figure>\n<table>\n<caption>{html.escape(table.title)}</caption>\n<thead><tr>{heads}</tr></thead>\n"
        f"<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table>\n<ul>{notes}</ul>\n</figure>\n"
    )


def to_csv(table: Table) -> str:
    """One line per row; a column with numbers behind it becomes `key`, `key_low`, … at full precision."""
    columns = [(index, suffix) for index in range(len(table.heads)) for suffix in _suffixes(table, index)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow("_".join(filter(None, (table.heads[index].key, suffix))) for index, suffix in columns)
    for row in table.rows:
        writer.writerow(_csv_value(row[index], suffix) for index, suffix in columns)
    return out.getvalue()


def to_json(table: Table) -> str:
    """The table as it is, with null for numbers that are not there or not finite."""
    rows = [
        {
            head.key: {
                "text": cell.text,
                "mark": cell.mark,
                **{suffix or "value": _finite(number) for suffix, number in cell.numbers.items()},
            }
            for head, cell in zip(table.heads, row, strict=True)
        }
        for row in table.rows
    ]
    heads = [dataclasses.asdict(head) for head in table.heads]
    made = {"title": table.title, "heads": heads, "rows": rows, "footnotes": table.footnotes}
    return json.dumps(made, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS = {"text": to_text, "markdown": to_markdown, "html": to_html, "csv": to_csv, "json": to_json}


def _align(head: Head, text: str, width: int) -> str:
    return text.rjust(width) if head.align == "right" else text.ljust(width)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _escape_markdown(text: str) -> str:
    escaped = "".join("\\" + letter if letter in "\\|*`<[]" else letter for letter in _printable(text))
    return escaped.replace("&", "&amp;")


def _bold(text: str, cell: TableCell, start: str, end: str) -> str:
    return f"{start}{text}{end}{SIGNS[cell.mark]}" if cell.mark == "unbeaten" else text + SIGNS[cell.mark]


def _suffixes(table: Table, index: int) -> list[str | None]:
    """The CSV columns of one table column: its text, or its numbers and, where it has one, its mark."""
    cells = [row[index] for row in table.rows]
    numbers = dict.fromkeys(suffix for cell in cells for suffix in cell.numbers)
    marked: list[str | None] = ["mark"] if any(cell.mark for cell in cells) else []
    return [*(numbers or [None]), *marked]


def _csv_value(cell: TableCell, suffix: str | None) -> str | float | int | None:
    if suffix is None:
        return cell.text
    return cell.mark if suffix == "mark" else cell.numbers.get(suffix)


def _finite(number: float | int | None) -> float | int | None:
    return number if number is None or math.isfinite(number) else None
