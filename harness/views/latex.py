"""Tables for papers: a booktabs table, or a macro for each number, so that no text holds a stale figure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.errors import UserError
from harness.views.render import SIGNS, Table, TableCell

SPECIAL = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "“": "``",
    "”": "''",
    "’": "'",
    "…": r"\dots{}",
}
MATHS = {
    "~": r"\sim",
    "<": "<",
    ">": ">",
    "|": "|",
    "−": "-",
    "±": r"\pm",
    "×": r"\times",
    "≤": r"\le",
    "≥": r"\ge",
}
MATHS |= {"↑": r"\uparrow", "↓": r"\downarrow", "→": r"\to", "●": r"\bullet", "○": r"\circ", "∫": r"\int"}
MATHS |= {"✓": r"\surd", "✗": r"\times", "σ": r"\sigma", "λ": r"\lambda", "π": r"\pi", "ε": r"\epsilon"}
NAMES = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")
NUMBER = re.compile(r"(?P<value>\S+)(?: ± (?P<half>\S+))?(?: \((?P<low>[-\d.]+)–(?P<high>[-\d.]+)\))?")
HELD = ("value", "half", "low", "high")


def escape(text: str) -> str:
    """Text that LaTeX prints as it is; letters that plain pdflatex has not become question marks."""
    text = re.sub(r"(?<![\w.-])-(?=\d)", "−", text)
    return "-{}-".join("".join(map(_letter, part)) for part in text.split("--"))


def _letter(letter: str) -> str:
    if letter in MATHS:
        return f"${MATHS[letter]}$"
    if letter in SPECIAL:
        return SPECIAL[letter]
    return letter if " " <= letter <= "~" or "¡" <= letter <= "ÿ" else "?"


def to_latex(table: Table) -> str:
    """A floating table for `booktabs`, its notes below it."""
    align = "".join(head.align[0] for head in table.heads)
    lines = [" & ".join(escape(head.title) for head in table.heads), *map(_line, table.rows)]
    head, *body = (f"    {line} \\\\" for line in lines)
    top = [
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{escape(table.title)}}}",
        f"  \\begin{{tabular}}{{{align}}}",
    ]
    rows = [r"    \toprule", head, r"    \midrule", *body, r"    \bottomrule", r"  \end{tabular}"]
    notes = [f"  \\par\\smallskip\\footnotesize\\raggedright {escape(note)}" for note in table.footnotes]
    return "\n".join([r"% \usepackage{booktabs}", *top, *rows, *notes, r"\end{table}"]) + "\n"


def _line(row: Iterable[TableCell]) -> str:
    return " & ".join(map(_cell, row))


def _cell(cell: TableCell) -> str:
    text = escape(cell.text)
    text = f"\\textbf{{{text}}}" if cell.mark == "unbeaten" else text
    small = f" {{\\scriptsize [{escape(cell.printed)}]}}" if cell.beside else ""
    return text + escape(SIGNS[cell.mark]) + small


def to_macros(table: Table, name: str) -> str:
    """One \\newcommand for each number of a table called `name`.

    A macro is called after the table, the row's labels as far as rows differ, and the metric, with Half
    (of the interval), Low, High (of a range), N or Published behind it. Raises `UserError` for two alike.
    """
    labels = [
        index for index, _ in enumerate(table.heads) if not any(row[index].numbers for row in table.rows)
    ]
    telling = [i for i in labels if table.heads[i].key != "seeds" and _differs(table, i)]
    made: dict[str, str] = {}
    for row in table.rows:
        texts = [
            f"{table.heads[i].key} {row[i].text}" if _bare(row[i].text) else row[i].text for i in telling
        ]
        for head, cell in zip(table.heads, row, strict=True):
            for suffix, number in _numbers(cell).items():
                macro = letters(" ".join([name, *texts, head.key, suffix]))
                if macro in made:
                    raise UserError(
                        f"{name}: two numbers would be called \\{macro}; let the table show what differs"
                    )
                made[macro] = f"\\newcommand{{\\{macro}}}{{\\ensuremath{{{number}}}}}"
    return (
        "\n".join([f"% {name}: {escape(table.title)}", f"% {escape(table.footnotes[-1])}", *made.values()])
        + "\n"
    )


def letters(text: str) -> str:
    """Words run together in camel case, digits spelled: "eps 0.1" is EpsZeroPointOne."""
    text = re.sub(r"(?<=\d)\.(?=\d)", " point ", text)
    text = re.sub(r"(?<![\w.])-(?=[\d.])", " minus ", text)
    text = re.sub(r"\d", lambda digit: f" {NAMES[int(digit[0])]} ", text)
    return "".join(word[0].upper() + word[1:] for word in re.findall(r"[A-Za-z]+", text))


def _differs(table: Table, index: int) -> bool:
    return len({row[index].text for row in table.rows}) > 1


def _bare(text: str) -> bool:
    """Whether a label says nothing without its head: a number, or that there is none."""
    return not re.search(r"[A-Za-z]{2}", text)


def _numbers(cell: TableCell) -> dict[str, str]:
    """The numbers of a cell as printed, by what stands behind a macro's name."""
    found = NUMBER.match(cell.text) if "" in cell.numbers else None
    made = {name if name != "value" else "": found[name] for name in HELD if found and found[name]}
    if "n" in cell.numbers:
        made["n"] = str(cell.numbers["n"])
    if cell.beside:
        value, _, error = cell.beside.partition(" ± ")
        made |= {"published": value, **({"published half": error} if error else {})}
    return made
