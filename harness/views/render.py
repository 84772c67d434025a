"""A finished table and its formats: text for terminals, Markdown, HTML, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import math
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

SIGNS = {"": "", "unbeaten": " ●", "untested": " ○"}
VERDICTS = {"agrees": "✓", "differs": "✗", "not comparable": "~"}
MAX_COLUMNS = 10
WORDS = ("mark", "verdict")
SMALL = "<small>{}</small>"


@dataclass(frozen=True)
class Head:
    """A column: `key` names it in CSV and JSON, `title` is what people read; `needed` ones always are."""

    key: str
    title: str
    align: Literal["left", "right"] = "left"
    needed: bool = False


@dataclass(frozen=True)
class TableCell:
    """What is shown, and the numbers behind it by suffix: "" for the value itself, low, high, n, published.

    `beside` is the published value as printed, `verdict` what is to be said of ours beside it.
    """

    text: str
    numbers: Mapping[str, float | int | None] = field(default_factory=dict)
    mark: Literal["", "unbeaten", "untested"] = ""
    beside: str = ""
    verdict: str = ""

    @property
    def printed(self) -> str:
        """The published value with the sign of the verdict, or ""."""
        signs = (sign for words, sign in VERDICTS.items() if self.verdict.startswith(words))
        return " ".join(filter(None, (self.beside, next(signs, ""))))


@dataclass(frozen=True)
class Table:
    """A view of rows, ready to be shown: every row has one cell per head."""

    title: str
    heads: list[Head]
    rows: list[list[TableCell]]
    footnotes: list[str]


def brief(table: Table, most: int = MAX_COLUMNS) -> Table:
    """The table for people: at most so many columns, and none that says the same in all rows.

    What all rows share is told below; of the rest the first columns stay, and those that are `needed`.
    """
    kept: list[int] = []
    same: dict[str, list[str]] = {}
    for index, head in enumerate(table.heads):
        texts = {_plain(row[index]) for row in table.rows} - {"–"}
        if head.needed or len(table.rows) < 2 or len(texts) > 1:
            kept.append(index)
        elif texts:
            same.setdefault(texts.pop(), []).append(head.title)
    spare = [index for index in kept if not table.heads[index].needed]
    left_out = spare[max(0, most - len(kept) + len(spare)) :]
    kept = [index for index in kept if index not in left_out]
    told = [
        f"{', '.join(titles)} {'is' if len(titles) == 1 else 'are'} {text}" for text, titles in same.items()
    ]
    notes = [f"In all rows to which it applies, {'; '.join(told)}."] if told else []
    if left_out:
        names = ", ".join(table.heads[index].key for index in left_out)
        notes.append(f"Left out here, shown by --all and in CSV: {names}.")
    rows = [[row[index] for index in kept] for row in table.rows]
    return Table(table.title, [table.heads[index] for index in kept], rows, [*notes, *table.footnotes])


def to_text(table: Table) -> str:
    """Aligned columns for a terminal. Characters that could steer the terminal are replaced."""
    lines = [[_printable(head.title) for head in table.heads]]
    lines += [[_printable(_plain(cell)) for cell in row] for row in table.rows]
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
        lines.append([_marked(cell, _escape_markdown, "**", "**", "<sub>{}</sub>") for cell in row])
    body = ["| " + " | ".join(line) + " |" for line in lines]
    notes = [f"- {_escape_markdown(note)}" for note in table.footnotes]
    return "\n".join([f"### {_escape_markdown(table.title)}", "", *body, "", *notes]) + "\n"


def to_html(table: Table) -> str:
    """A `<figure>` without style of its own; every text is escaped."""
    heads = "".join(
        f'<th scope="col" class="{head.align}">{html.escape(head.title)}</th>' for head in table.heads
    )
    rows = []
    for row in table.rows:
        cells = [
            f'<td class="{head.align}">{_marked(cell, html.escape, "<strong>", "</strong>", SMALL)}</td>'
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
                **{name: getattr(cell, name) for name in WORDS},
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
FOR_PROGRAMS = ("csv", "json")


def _align(head: Head, text: str, width: int) -> str:
    return text.rjust(width) if head.align == "right" else text.ljust(width)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _escape_markdown(text: str) -> str:
    escaped = "".join("\\" + letter if letter in "\\|*`<[]" else letter for letter in _printable(text))
    return escaped.replace("&", "&amp;")


def _plain(cell: TableCell) -> str:
    return cell.text + SIGNS[cell.mark] + (f" [{cell.printed}]" if cell.beside else "")


def _marked(cell: TableCell, escape: Callable[[str], str], start: str, end: str, small: str) -> str:
    """A cell with its marks; unbeaten ones between `start` and `end`, the published value put in `small`."""
    text = escape(cell.text)
    text = f"{start}{text}{end}" if cell.mark == "unbeaten" else text
    return text + SIGNS[cell.mark] + (f" {small.format(escape(f'[{cell.printed}]'))}" if cell.beside else "")


def _suffixes(table: Table, index: int) -> list[str | None]:
    """The CSV columns of one table column: its text, or its numbers; mark and verdict where it has some."""
    cells = [row[index] for row in table.rows]
    numbers = dict.fromkeys(suffix for cell in cells for suffix in cell.numbers)
    words: list[str | None] = [name for name in WORDS if any(getattr(cell, name) for cell in cells)]
    return [*(numbers or [None]), *words]


def _csv_value(cell: TableCell, suffix: str | None) -> str | float | int | None:
    if suffix is None:
        return cell.text
    return str(getattr(cell, suffix)) if suffix in WORDS else cell.numbers.get(suffix)


def _finite(number: float | int | None) -> float | int | None:
    return number if number is None or math.isfinite(number) else None
