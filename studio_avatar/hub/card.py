"""The model card: its figures come from the evaluation command's JSON, its metadata is checked before an upload."""

import json
import math
import re
from pathlib import Path

from studio_avatar.errors import WeightsError
from studio_avatar.evaluation.report import Table
from studio_avatar.imaging.files import write_atomically

CARD_FILE = "README.md"
PLACEHOLDER = "org/studio-avatar"  # stands for the repository's name until it is published
MODEL_NAME = "Studio Avatar small"
TASK = "image-to-3d"
BEGIN = "<!-- evaluation: written by `python -m studio_avatar.hub card`, not by hand -->"
END = "<!-- end of the evaluation -->"
# Whose rows the metadata gives: the method as published is the last of each table's rows with this beginning.
OURS = "ours"
EXPECTED_METADATA = {"library_name": "diffusers", "pipeline_tag": TASK, "license": "apache-2.0"}


def refresh_card(card: Path, evaluation: Path) -> None:
    """Write the figures of `evaluation` (JSON of `studio_avatar.evaluation`) into the card's text and metadata.

    Raises:
        WeightsError: the card has no place for them.
    """
    from huggingface_hub import ModelCard

    report = json.loads(evaluation.read_text())
    text = card.read_text(encoding="utf-8")
    model_card = ModelCard(replace_evaluation(text, evaluation_section(report)))
    model_card.data.model_name = MODEL_NAME
    model_card.data.eval_results = evaluation_results(report)
    write_atomically(card, str(model_card).encode())


def replace_evaluation(text: str, section: str) -> str:
    """The card's text with `section` between the marks."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        raise WeightsError(f"The card has no place for the evaluation: add the lines {BEGIN} and {END}.")
    return pattern.sub(lambda _: f"{BEGIN}\n\n{section}\n{END}", text)


def evaluation_section(report: dict) -> str:
    """The report's facts and all its tables as Markdown, headings one level down."""
    facts = "; ".join(f"{name}: {value}" for name, value in report["facts"].items())
    tables = (Table.from_dict(table).to_markdown() for table in report["tables"])
    return f"{facts}.\n\n" + "\n".join(f"#{table}" for table in tables)


def evaluation_results(report: dict) -> list:
    """The published method's row of each table as `EvalResult`s, for the card's `model-index`."""
    from huggingface_hub import EvalResult

    results = []
    for table in map(Table.from_dict, report["tables"]):
        ours = [name for name in table.rows if name.startswith(OURS)]
        for column in table.columns if ours else ():
            value = table.means(ours[-1])[column.key]
            if column.better and math.isfinite(value):
                result = EvalResult(
                    task_type=TASK,
                    dataset_type=re.sub(r"\W+", "-", table.title.lower()),
                    dataset_name=table.title,
                    metric_type=column.key,
                    metric_name=column.heading,
                    metric_value=round(value, column.decimals),
                )
                results.append(result)
    return results


def published_card(text: str, repository: str) -> str:
    """The card under the name it is published as, checked.

    Raises:
        WeightsError: the metadata is not what the Hub needs to show the repository rightly.
    """
    text = text.replace(PLACEHOLDER, repository)
    check_card(text)
    return text


def check_card(text: str) -> None:
    """Raises `WeightsError` unless huggingface_hub reads the card's metadata and they say what this repository is."""
    from huggingface_hub import ModelCard

    try:
        metadata = ModelCard(text).data.to_dict()
    except ValueError as error:
        raise WeightsError(f"The metadata of {CARD_FILE} cannot be read: {error}") from error
    wrong = [name for name, value in EXPECTED_METADATA.items() if metadata.get(name) != value]
    if wrong or not metadata.get("tags"):
        raise WeightsError(f"The metadata of {CARD_FILE} lack or misstate: {', '.join(wrong) or 'tags'}.")
